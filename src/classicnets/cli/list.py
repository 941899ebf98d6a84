"""`classicnets list`: the nets, data sets and recipes there are. Does not import torch."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from classicnets.datasets.catalogue import DATASETS
from classicnets.models.registry import NETS
from classicnets.recipes.resolve import RECIPES
from classicnets.report import tables

HELP = "the nets, data sets and recipes there are"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This verb takes none."""


def run(args: argparse.Namespace) -> int:
    """Prints three tables, or one JSON document."""
    nets = {
        name: {
            "title": net.title,
            "input": net.input,
            "parameters": net.parameters,
            "macs": net.macs,
            "units": net.units,
            "source": net.source,
            "ours": net.ours,
        }
        for name, net in NETS.items()
    }
    data = {name: {"title": d.title, "shape": d.shape, "classes": d.classes} for name, d in DATASETS.items()}
    recipes = [
        {
            "source": key.source,
            "net": key.label,
            "data": recipe.data,
            "epochs": recipe.epochs,
            "expected": asdict(recipe.expected) if recipe.expected else None,
        }
        for key, recipe in RECIPES.items()
    ]
    if args.json:
        print(json.dumps({"nets": nets, "datasets": data, "recipes": recipes}, indent=2))
        return 0
    out = tables.console()
    out.print(
        tables.table(
            ["net", "input", "parameters", "MACs", "what it is"],
            [[name, tables.shape(net.input), net.parameters, net.macs, net.title] for name, net in NETS.items()],
            numbers=["parameters", "MACs"],
        ),
        "",
        tables.table(
            ["data set", "pictures", "classes", "what it is"],
            [[name, tables.shape(d.shape), len(d.classes), d.title] for name, d in DATASETS.items()],
            numbers=["classes"],
        ),
        "",
        tables.table(
            ["recipe", "net", "data set", "epochs", "expected test accuracy"],
            [
                [
                    key.source,
                    key.label,
                    recipe.data,
                    recipe.epochs,
                    str(recipe.expected or "none published"),
                ]
                for key, recipe in RECIPES.items()
            ],
            numbers=["epochs"],
        ),
    )
    return 0
