"""`classicnets show`: the one window on a net. Layers, the arithmetic in words, two nets side by side, a figure, its
card; whose weights a file holds; what an error code means.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.cli.train import settings
from classicnets.errors import CODES, UsageError
from classicnets.models import registry
from classicnets.report import tables

if TYPE_CHECKING:
    from classicnets.inspection.shapes import Table

HELP = "a net: layers, arithmetic in words, side by side, figure, card; or whose weights a file holds, or an error code"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to look at, and how."""
    parser.add_argument(
        "what",
        metavar="NET",
        nargs="+",
        help="a name of `classicnets list`, file.py:net or a run; NET NET compares; or weights.pth, or CN201",
    )
    parser.add_argument("--why", action="store_true", help="the arithmetic in words: NET --why, or NET LAYER --why")
    parser.add_argument("--lang", choices=["en", "zh"], default="en", help="of --why and of differences (default: en)")
    parser.add_argument("--svg", metavar="FILE", help="draw the net, or two nets to one scale, into FILE")
    parser.add_argument("--card", action="store_true", help="what was published, what differs, what is assumed")
    parser.add_argument("--input", metavar="CxHxW", help="show it for pictures of this shape, such as 3x224x224")
    parser.add_argument("--classes", type=int, metavar="N", help="build it for so many classes")
    parser.add_argument(
        "--set", nargs="+", action="extend", metavar="net.KEY=VALUE", default=[], help="vary it: net.activation=relu"
    )


def run(args: argparse.Namespace) -> int:
    """Prints what was asked for."""
    first, *more = args.what
    if re.fullmatch(r"CN\d{3}", first.upper()):
        return _explain_code(first.upper(), as_json=args.json)
    if first.endswith((".safetensors", ".pth", ".pt")):
        return _identify(first, as_json=args.json)
    if args.card:
        return _card(first, as_json=args.json)
    if args.why:
        return _why(args, _traced(args, first), more)
    if len(more) > 1:
        raise UsageError("CN206", "show takes one net or two", hint=f"classicnets show {first} {more[0]}")
    nets = [_traced(args, what) for what in args.what]
    if args.svg:
        return _draw(nets, Path(args.svg))
    return _compare(args, nets) if more else _table(args, *nets[0])


def _traced(args: argparse.Namespace, what: str) -> tuple[str, Table]:
    from classicnets.api import layers

    shape, variation = _shape(args.input), _variation(settings(args.set))
    return layers(what, shape=shape, num_classes=args.classes, variation=variation)


def _table(args: argparse.Namespace, name: str, table: Table) -> int:
    from classicnets.cli.layers import print_table

    if args.json:
        print(json.dumps({"net": name, **table.to_dict()}, indent=2))
    else:
        print_table(tables.console(), name, table)
    return 0


def _compare(args: argparse.Namespace, nets: list[tuple[str, Table]]) -> int:
    from classicnets.cli.layers import print_comparison
    from classicnets.inspection.compare import compare, differences

    comparison = compare(nets[0][1], nets[1][1])
    sentences, names = differences(comparison, args.lang), [name for name, _ in nets]
    if args.json:
        print(json.dumps({"nets": names, **comparison.to_dict(), "differences": sentences}, indent=2))
    else:
        print_comparison(tables.console(), names, comparison, sentences)
    return 0


def _why(args: argparse.Namespace, net: tuple[str, Table], more: list[str]) -> int:
    from classicnets.inspection.explain import explain

    name, table = net
    asked: list[str | None] = [*more] or [None]
    lines = [line for layer in asked for line in explain(table, layer, args.lang)]
    if args.json:
        print(json.dumps({"net": name, "why": lines}, indent=2, ensure_ascii=False))
    else:
        tables.console().print("\n".join([name, *lines]))
    return 0


def _draw(nets: list[tuple[str, Table]], path: Path) -> int:
    from classicnets.files import write_whole
    from classicnets.inspection.figure import svg

    write_whole(path, svg(nets).encode())
    print(path)
    return 0


def _card(name: str, *, as_json: bool) -> int:
    if name not in registry.NETS:
        raise UsageError(
            "CN202",
            f"there is no card for {name}",
            why="a card tells a source's net from its source; a net of your own, or a run, has none",
            hint="classicnets list",
        )
    text = registry.card(name)
    print(json.dumps({"net": name, "card": text}) if as_json else text, end="" if not as_json else "\n")
    return 0


def _identify(path: str, *, as_json: bool) -> int:
    from classicnets.weights.identify import identify

    found = identify(path)
    print(json.dumps(found.to_dict(), indent=2) if as_json else "\n".join(found.lines()))
    return 0


def _explain_code(code: str, *, as_json: bool) -> int:
    if code not in CODES:
        raise UsageError("CN202", f"there is no error code {code}", where=f"the codes are {', '.join(CODES)}")
    print(json.dumps({"code": code, "explanation": CODES[code]}) if as_json else f"{code}: {CODES[code]}")
    return 0


def _variation(given: dict[str, str]) -> dict[str, str]:
    from classicnets.runs.net_spec import split

    variation, others = split(given)
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
