"""`classicnets list`: the available networks, data sets and recipes. Does not import torch."""

from __future__ import annotations

import argparse

from classicnets import api, report
from classicnets.report.output import print
from classicnets.strict_json import dump
from classicnets.text import _, shape

HELP = "list the networks, data sets and recipes"
OPTIONS: tuple[type, ...] = ()


def run(args: argparse.Namespace) -> int:
    """Print three tables, or one JSON document."""
    networks, data, recipes = api.catalog.networks(), api.catalog.data_sets(), api.catalog.recipes()
    if args.json:
        print(dump({"nets": networks, "datasets": data, "recipes": recipes}, indent=2))
        return 0
    table = report.tables.table
    report.tables.console().print(
        table(
            [_("network"), _("input"), _("parameters"), _("MACs"), _("description")],
            [
                [name, shape(net["input"]), net["parameters"], net["macs"], net["title"]]
                for name, net in networks.items()
            ],
            numbers=[_("parameters"), _("MACs")],
        ),
        "",
        table(
            [_("data set"), _("images"), _("classes"), _("description")],
            [[name, shape(facts["shape"]), len(facts["classes"]), facts["title"]] for name, facts in data.items()],
            numbers=[_("classes")],
        ),
        "",
        table(
            [_("recipe"), _("network"), _("data set"), _("epochs"), _("expected test accuracy")],
            [
                [recipe["source"], recipe["net"], recipe["data"], recipe["epochs"], expected]
                for recipe, expected in zip(recipes, api.catalog.expectations(), strict=True)
            ],
            numbers=[_("epochs")],
        ),
    )
    return 0
