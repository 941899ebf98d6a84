"""What there is by name: networks, data sets, recipes. Imports neither torch nor numpy."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from classicnets.datasets import sources
from classicnets.datasets.catalog import DATASETS
from classicnets.models import registry
from classicnets.models.registry import NETS
from classicnets.recipes.resolve import RECIPES

__all__ = ["card", "data_sets", "go_offline", "networks", "published_data", "recipes"]


def networks() -> dict[str, dict[str, Any]]:
    """Name -> facts of each network of the registry."""
    facts = ("title", "input", "parameters", "macs", "units", "source", "ours")
    return {name: {key: getattr(net, key) for key in facts} for name, net in NETS.items()}


def data_sets() -> dict[str, dict[str, Any]]:
    """Name -> facts of each published data set."""
    return {name: {"title": d.title, "shape": d.shape, "classes": d.classes} for name, d in DATASETS.items()}


def recipes() -> list[dict[str, Any]]:
    """The facts of each recipe."""
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
    """What was published for each recipe, in the order of `recipes`: "0.752 to 0.828 (n = 130)"."""
    return [str(recipe.expected or "none published") for recipe in RECIPES.values()]


def published_data() -> list[dict[str, Any]]:
    """Facts of each data set, with its license and where `data get` would take it from."""
    keys = ("name", "title", "license", "homepage", "train", "test", "shape", "classes", "download_bytes")
    old_keys = {"license": "licence"}  # as version 0.1 wrote it in JSON
    return [
        {old_keys.get(key, key): getattr(d, key) for key in keys} | {"would_come_from": sources.describe_source(d)}
        for d in DATASETS.values()
    ]


def card(name: str) -> str | None:
    """The card of a network of the registry, in Markdown; None for another name."""
    return registry.card(name) if name in NETS else None


def go_offline() -> None:
    """Fetches nothing from now on, in this process and those it starts."""
    sources.go_offline()
