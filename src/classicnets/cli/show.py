"""`classicnets show NET`: its layer table; `show FILE`: whose weights these are; `show CODE`: what an error means."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from classicnets.cli.train import settings
from classicnets.errors import CODES, UsageError
from classicnets.report import tables

if TYPE_CHECKING:
    from classicnets.inspection.shapes import Row

HELP = "the layers of a net with shapes, counts and memory; whose weights a file holds; what an error code means"
_NUMBERS = ["weights", "biases", "parameters", "units", "MACs", "memory", "output memory"]
_COLUMNS = ["layer", "kind", "output", "k/s/p/g", *_NUMBERS]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """NET, FILE or CODE; NET for what pictures and classes, and how varied."""
    parser.add_argument(
        "what", metavar="NET|FILE|CODE", help="a name of `classicnets list`, file.py:net, a run; weights.pth; CN201"
    )
    parser.add_argument("--input", metavar="CxHxW", help="show it for pictures of this shape, such as 3x224x224")
    parser.add_argument("--classes", type=int, metavar="N", help="build it for so many classes")
    parser.add_argument(
        "--set", nargs="+", action="extend", metavar="net.KEY=VALUE", default=[], help="vary it: net.activation=relu"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the table with totals, whose weights a file holds, or the explanation of a code."""
    if re.fullmatch(r"CN\d{3}", args.what.upper()):
        return _explain(args.what.upper(), as_json=args.json)
    if args.what.endswith((".safetensors", ".pth", ".pt")):
        return _identify(args.what, as_json=args.json)
    from classicnets.api import layers

    name, table = layers(
        args.what, shape=_shape(args.input), num_classes=args.classes, variation=_variation(settings(args.set))
    )
    if args.json:
        print(json.dumps({"net": name, **table.to_dict()}, indent=2))
        return 0
    out = tables.console()
    out.print(f"{name} for {tables.shape(table.input_shape)} pictures")
    rows = [_row(row) for row in table.rows]
    rows.append(
        ["total", "", "", "", table.weights, table.biases, table.parameters, table.units, table.macs]
        + [tables.bytes_text(table.weight_bytes), tables.bytes_text(table.activation_bytes)]
    )
    out.print(
        tables.fit(
            out, _COLUMNS, rows, numbers=_NUMBERS, spare=["output memory", "memory", "units", "biases", "weights"]
        )
    )
    out.print(
        "\nk/s/p/g: kernel, stride, padding, groups. units: outputs of layers that carry weights. MACs: multiply-adds"
        "\nfor one picture, padding included, bias adds not. memory: of the weights, and of the outputs of one picture."
    )
    for line in _details(table.rows):
        out.print(line)
    if table.unlisted:
        inside = ", ".join(f"{op} x{n}" for op, n in table.unlisted.items())
        out.print(f"inside forward(), without a layer of their own: {inside}")
    if table.note:
        out.print(table.note)
    return 0


def _details(rows: Sequence[Row]) -> list[str]:
    """What layers that are not torch's own say of themselves, once for all that say the same."""
    said: dict[str, list[str]] = {}
    for row in rows:
        if row.detail:
            said.setdefault(f"{row.kind}({row.detail})", []).append(row.name)
    return [f"{', '.join(names)}: {text}" for text, names in said.items()]


def _variation(given: dict[str, str]) -> dict[str, str]:
    from classicnets.runs.origin import split

    variation, others = split(given)
    if others:
        raise UsageError(
            "CN202",
            f"show takes no setting of a recipe, such as {next(iter(others))!r}",
            where=f"--set {' '.join(f'{key}={value}' for key, value in others.items())}",
            hint="--set net.activation=relu",
        )
    return variation


def _row(row: Row) -> list[object]:
    return [
        row.name or "(the net)",
        row.kind,
        tables.shape(row.outputs),
        _geometry(row),
        *(n or "" for n in (row.weights, row.biases, row.parameters, row.units, row.macs)),
        tables.bytes_text(row.weight_bytes) if row.weight_bytes else "",
        tables.bytes_text(row.activation_bytes) if row.activation_bytes else "",
    ]


def _geometry(row: Row) -> str:
    """5/1/2/1, with 5x3 where the two directions differ; "-" for what the layer does not have."""
    if row.kernel is None:
        return ""
    parts = (row.kernel, row.stride, row.padding, row.groups)
    return "/".join(_short(part) for part in parts)


def _short(value: tuple[int, ...] | str | int | None) -> str:
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else tables.shape(value)
    return "-" if value is None else str(value)


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


def _identify(path: str, *, as_json: bool) -> int:
    from classicnets.weights.identify import identify

    found = identify(path)
    print(json.dumps(found.to_dict(), indent=2) if as_json else "\n".join(found.lines()))
    return 0


def _explain(code: str, *, as_json: bool) -> int:
    if code not in CODES:
        raise UsageError("CN202", f"there is no error code {code}", where=f"the codes are {', '.join(CODES)}")
    print(json.dumps({"code": code, "explanation": CODES[code]}) if as_json else f"{code}: {CODES[code]}")
    return 0
