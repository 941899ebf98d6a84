"""`classicnets show`: the window on a network. Layers, the calculation in words, two networks side by side, a figure,
its card.
"""

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

if TYPE_CHECKING:
    from classicnets.api.networks import Table

HELP = "a network: layers, the calculation in words, side by side, figure, card"


@dataclass(frozen=True, kw_only=True)
class Show:
    """What to look at, and how."""

    what: list[str] = option(
        help="a name of `classicnets list`, file.py:net or a run; NET NET compares; NET LAYER with --why",
        metavar="NET",
        nargs="+",
    )
    settings: Mapping[str, Any] = option(
        dict,
        **SETTINGS,
        help="vary the network: net.activation=relu",
        metavar="net.KEY=VALUE",
    )
    input: str | None = option(
        None, help="show it for images of this shape, such as 3x224x224", group="data", metavar="CxHxW", shown=""
    )
    classes: int | None = option(
        None, help="build it for a number of classes", group="data", metavar="N", shown="its source's"
    )
    why: bool = option(False, help="the calculation in words: NET --why, or NET LAYER --why", group="output")
    lang: str = option("en", help="language of --why and of differences", group="output", choices=("en", "zh"))
    svg: str | None = option(
        None, help="draw the network, or two to one scale, into FILE", group="output", metavar="FILE", shown=""
    )
    card: bool = option(False, help="what was published, what differs, what is assumed", group="output")


OPTIONS = (Show,)


def run(args: argparse.Namespace) -> int:
    """Prints what was asked for."""
    asked = arguments.read(args, Show)
    first, *more = asked.what
    if re.fullmatch(r"CN\d{3}", first.upper()):
        return explain.explain(first.upper(), as_json=args.json)
    if first.endswith((".safetensors", ".pth", ".pt")):
        return weights.identify(first, as_json=args.json)
    if asked.card:
        return _card(first, as_json=args.json)
    if asked.why:
        return _why(asked, _traced(asked, first), more, as_json=args.json)
    if len(more) > 1:
        raise UsageError("CN206", "show takes one net or two", hint=f"classicnets show {first} {more[0]}")
    networks = [_traced(asked, what) for what in asked.what]
    if asked.svg:
        return _draw(networks, Path(asked.svg))
    if more:
        return _compare(networks, asked.lang, as_json=args.json)
    return _table(*networks[0], as_json=args.json)


def _traced(asked: Show, what: str) -> tuple[str, Table]:
    variation = _variation(asked.settings)
    return api.networks.layers(what, shape=_shape(asked.input), num_classes=asked.classes, variation=variation)


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


def _why(asked: Show, network: tuple[str, Table], layers: list[str], *, as_json: bool) -> int:
    name, table = network
    wanted: list[str | None] = [*layers] or [None]
    lines = [line for layer in wanted for line in api.networks.explain(table, layer, asked.lang)]
    if as_json:
        print(json.dumps({"net": name, "why": lines}, indent=2, ensure_ascii=False))
    else:
        report.tables.console().print("\n".join([name, *lines]))
    return 0


def _draw(networks: list[tuple[str, Table]], path: Path) -> int:
    write_whole(path, api.networks.draw(networks).encode())
    print(path)
    return 0


def _card(name: str, *, as_json: bool) -> int:
    text = api.catalog.card(name)
    if text is None:
        raise UsageError(
            "CN202",
            f"there is no card for {name}",
            why="a card tells a source's net from its source; a net of your own, or a run, has none",
            hint="classicnets list",
        )
    print(json.dumps({"net": name, "card": text}) if as_json else text, end="\n" if as_json else "")
    return 0


def _variation(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the network, without their prefix. Raises UsageError CN202 for one of a recipe."""
    variation, others = api.networks.split_settings(given)
    if others:
        raise UsageError(
            "CN202",
            f"show takes no setting of a recipe, such as {next(iter(others))!r}",
            where=f"--set {' '.join(f'{key}={value}' for key, value in others.items())}",
            hint="--set net.activation=relu",
        )
    return variation


def _shape(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(
            "CN206", f"--input {text} is not a shape", why="channels x height x width", hint="--input 3x224x224"
        )
    channels, height, width = map(int, parts)
    return channels, height, width
