"""The available networks, data sets and recipes. Imports neither torch nor numpy."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from classicnets.datasets import sources
from classicnets.datasets.catalog import DATASETS
from classicnets.language import language
from classicnets.models import registry
from classicnets.models.registry import NETS
from classicnets.recipes.resolve import RECIPES
from classicnets.text import _

__all__ = ["card", "data_sets", "go_offline", "networks", "published_data", "recipes"]


def networks() -> dict[str, dict[str, Any]]:
    """Return the facts of each network of the registry by name."""
    return {
        name: {
            "title": _(net.title),
            "input": net.input,
            "parameters": net.parameters,
            "macs": net.macs,
            "units": net.units,
            "source": _(net.source),
            "ours": net.ours,
        }
        for name, net in NETS.items()
    }


def data_sets() -> dict[str, dict[str, Any]]:
    """Return the facts of each published data set by name."""
    return {
        name: {"title": _(data.title), "shape": data.shape, "classes": data.classes} for name, data in DATASETS.items()
    }


def recipes() -> list[dict[str, Any]]:
    """Return the facts of each recipe."""
    return [
        {
            "source": key.source,
            "net": key.label,
            "data": recipe.data,
            "epochs": recipe.epochs,
            "expected": asdict(recipe.expected) if recipe.expected else None,
        }
        for key, recipe in RECIPES.items()
    ]


def expectations() -> list[str]:
    """Return the published accuracy of each recipe, in the order of `recipes`: "0.752 to 0.828 (n = 130)"."""
    return [str(recipe.expected or _("not published")) for recipe in RECIPES.values()]


def published_data() -> list[dict[str, Any]]:
    """Return the facts of each data set, with its license and the source that `data get` would use."""
    return [
        {
            "name": data.name,
            "title": _(data.title),
            "licence": _(data.license),  # the key of version 0.1
            "homepage": data.homepage,
            "train": data.train,
            "test": data.test,
            "shape": data.shape,
            "classes": data.classes,
            "download_bytes": data.download_bytes,
            "would_come_from": sources.describe_source(data),
        }
        for data in DATASETS.values()
    ]


def card(name: str) -> str | None:
    """Return the card of a network of the registry, in Markdown and the user's language; None for any other name."""
    return registry.card(name, language()) if name in NETS else None


def go_offline() -> None:
    """Disable downloads in this process and its child processes."""
    sources.go_offline()
