"""`classicnets show`: layers, explanation, comparison, figure and card of a network."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classicnets import api, report
from classicnets.cli import arguments, explain, weights
from classicnets.errors import UsageError
from classicnets.files import write_whole
from classicnets.spec import SETTINGS, option
from classicnets.text import _, command

if TYPE_CHECKING:
    from classicnets.api.networks import Table

HELP = "show a network: its layers, an explanation, a comparison, a figure, its card"


@dataclass(frozen=True, kw_only=True)
class Show:
    """Options of `show`."""

    networks: list[str] = option(
        help="a name of `classicnets list`, file.py:net, or a run; two to compare; NET LAYER with --why",
        metavar="NET",
        nargs="+",
    )
    settings: Mapping[str, Any] = option(
        dict,
        **SETTINGS,
        help="change the network: net.activation=relu",
        metavar="net.KEY=VALUE",
    )
    input: str | None = option(
        None, help="shape of the images, such as 3x224x224", group="data", metavar="CxHxW", shown=""
    )
    classes: int | None = option(None, help="number of classes", group="data", metavar="N", shown="as in the source")
    why: bool = option(
        False, help="explain how shapes, parameters and costs are calculated, for NET or for NET LAYER", group="output"
    )
    lang: str = option("en", help="language of --why and of comparisons", group="output", choices=("en", "zh"))
    svg: str | None = option(
        None,
        help="draw the network, or two to the same scale, as an SVG file",
        group="output",
        metavar="FILE",
        shown="",
    )
    card: bool = option(False, help="show what was published, what differs and what is assumed", group="output")


OPTIONS = (Show,)


def run(args: argparse.Namespace) -> int:
    """Prints the layers, the explanation, the comparison, the path of the figure, or the card."""
    options = arguments.read(args, Show)
    first, *others = options.networks
    if re.fullmatch(r"CN\d{3}", first.upper()):
        return explain.explain(first.upper(), as_json=args.json)
    if first.endswith((".safetensors", ".pth", ".pt")):
        return weights.identify(first, as_json=args.json)
    if options.card:
        return _card(first, as_json=args.json)
    if options.why:
        return _explain(options, _layers(options, first), others, as_json=args.json)
    if len(others) > 1:
        raise UsageError(
            "CN206", _("show takes one or two networks"), hint=command("classicnets", "show", Path(first), others[0])
        )
    networks = [_layers(options, name) for name in options.networks]
    if options.svg:
        return _draw(networks, Path(options.svg))
    if others:
        return _compare(networks, options.lang, as_json=args.json)
    return _table(*networks[0], as_json=args.json)


def _layers(options: Show, network: str) -> tuple[str, Table]:
    return api.networks.layers(
        network,
        shape=_shape(options.input),
        num_classes=options.classes,
        variation=_variation(options.settings),
    )


def _table(name: str, table: Table, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"net": name, **table.to_dict()}, indent=2))
    else:
        report.layers.print_table(report.tables.console(), name, table)
    return 0


def _compare(networks: list[tuple[str, Table]], language: str, *, as_json: bool) -> int:
    comparison = api.networks.compare(networks[0][1], networks[1][1])
    sentences, names = api.networks.differences(comparison, language), [name for name, _ in networks]
    if as_json:
        print(json.dumps({"nets": names, **comparison.to_dict(), "differences": sentences}, indent=2))
    else:
        report.layers.print_comparison(report.tables.console(), names, comparison, sentences)
    return 0


def _explain(options: Show, network: tuple[str, Table], layers: list[str], *, as_json: bool) -> int:
    name, table = network
    names: list[str | None] = [*layers] or [None]  # None: the network
    lines = [line for layer in names for line in api.networks.explain(table, layer, options.lang)]
    if as_json:
        print(json.dumps({"net": name, "why": lines}, indent=2, ensure_ascii=False))
    else:
        report.tables.console().print("\n".join([name, *lines]))
    return 0


def _draw(networks: list[tuple[str, Table]], path: Path) -> int:
    write_whole(path, api.networks.draw(networks).encode(), option="--svg")
    print(path)
    return 0


def _card(name: str, *, as_json: bool) -> int:
    text = api.catalog.card(name)
    if text is None:
        raise UsageError(
            "CN202",
            _("there is no card for {name}", name=name),
            why=_("only the networks of `classicnets list` have a card, which compares them with their sources"),
            hint="classicnets list",
        )
    print(json.dumps({"net": name, "card": text}) if as_json else text, end="\n" if as_json else "")
    return 0


def _variation(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of the network without their prefix. Raises UsageError CN202 for a recipe setting."""
    variation, recipe_settings = api.networks.split_settings(settings)
    if recipe_settings:
        raise UsageError(
            "CN202",
            _("show takes no setting of a recipe, such as {name!r}", name=next(iter(recipe_settings))),
            where=command("--set", *(f"{key}={value}" for key, value in recipe_settings.items())),
            hint="--set net.activation=relu",
        )
    return variation


def _shape(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(
            "CN206",
            _("--input {text} is not an image shape", text=text),
            why=_("an image shape is channels x height x width"),
            hint="--input 3x224x224",
        )
    channels, height, width = map(int, parts)
    return channels, height, width
