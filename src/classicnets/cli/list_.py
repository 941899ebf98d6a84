"""`classicnets list`: the networks, data sets and recipes there are. Does not import torch."""

from __future__ import annotations

import argparse
import json

from classicnets import api, report
from classicnets.text import shape

HELP = "the networks, data sets and recipes there are"
OPTIONS: tuple[type, ...] = ()


def run(args: argparse.Namespace) -> int:
    """Prints three tables, or one JSON document."""
    networks, data, recipes = api.catalog.networks(), api.catalog.data_sets(), api.catalog.recipes()
    if args.json:
        print(json.dumps({"nets": networks, "datasets": data, "recipes": recipes}, indent=2))
        return 0
    tables = report.tables
    expected = api.catalog.expectations()
    tables.console().print(
        tables.table(
            ["net", "input", "parameters", "MACs", "what it is"],
            [[name, shape(n["input"]), n["parameters"], n["macs"], n["title"]] for name, n in networks.items()],
            numbers=["parameters", "MACs"],
        ),
        "",
        tables.table(
            ["data set", "images", "classes", "what it is"],
            [[name, shape(d["shape"]), len(d["classes"]), d["title"]] for name, d in data.items()],
            numbers=["classes"],
        ),
        "",
        tables.table(
            ["recipe", "net", "data set", "epochs", "expected test accuracy"],
            [
                [one["source"], one["net"], one["data"], one["epochs"], text]
                for one, text in zip(recipes, expected, strict=True)
            ],
            numbers=["epochs"],
        ),
    )
    return 0
