"""How a layer table, and two of them side by side, look on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from classicnets.report import tables
from classicnets.text import byte_count, shape

if TYPE_CHECKING:
    from classicnets.inspection.compare import Comparison
    from classicnets.inspection.shapes import Row, Table

_NUMBERS = ["weights", "biases", "parameters", "units", "MACs", "memory", "output memory"]
_COLUMNS = ["layer", "kind", "output", "k/s/p/g", *_NUMBERS]
_SPARE = ["output memory", "memory", "units", "biases", "weights"]  # what a narrow terminal goes without, in this order
_LEGEND = """
k/s/p/g: kernel, stride, padding, groups. units: outputs of layers that carry weights. MACs: multiply-adds
for one image, padding included, bias adds not. memory: of the weights, and of the outputs of one image."""


def print_table(out: Console, name: str, table: Table) -> None:
    """Every layer, the totals, and what the columns mean."""
    out.print(f"{name} for {shape(table.input_shape)} images")
    total = [table.weights, table.biases, table.parameters, table.units, table.macs]
    memory = [byte_count(table.weight_bytes), byte_count(table.activation_bytes)]
    rows = [*(_row(row) for row in table.rows), ["total", "", "", "", *total, *memory]]
    out.print(tables.fit(out, _COLUMNS, rows, numbers=_NUMBERS, spare=_SPARE))
    out.print(_LEGEND)
    for line in _details(table.rows):
        out.print(line)
    if table.unlisted:
        inside = ", ".join(f"{op} x{n}" for op, n in table.unlisted.items())
        out.print(f"inside forward(), without a layer of their own: {inside}")
    if table.note:
        out.print(table.note)


def print_comparison(out: Console, names: Sequence[str], comparison: Comparison, sentences: Sequence[str]) -> None:
    """Aligned layers, the totals with their ratios, and the differences in words."""
    sides = ["layer", "kind", "output", "k/s/p/g", "parameters", "MACs"]
    rows = [[*_half(pair.left), _SIGN[pair.operation], *_half(pair.right)] for pair in comparison.pairs]
    numbers = ["parameters", "MACs"]
    out.print(f"left: {names[0]}   right: {names[1]}")
    out.print(tables.table([*sides, "", *sides], rows, numbers=numbers))
    out.print()
    totals = [
        [what, total.left, total.right, "" if total.ratio is None else f"{total.ratio:,.4g}"]
        for what, total in comparison.totals.items()
    ]
    out.print(tables.table(["in all", *names, "ratio"], totals, numbers=[*names, "ratio"]))
    out.print()
    for line in sentences:
        out.print(f"- {line}")


_SIGN = {"equal": "=", "changed": "~", "added": "+", "removed": "-"}


def _half(row: Row | None) -> list[object]:
    if row is None:
        return [""] * 6
    return [row.name, row.kind, shape(row.outputs), _geometry(row), row.parameters or "", row.macs or ""]


def _row(row: Row) -> list[object]:
    return [
        row.name or "(the net)",
        row.kind,
        shape(row.outputs),
        _geometry(row),
        *(n or "" for n in (row.weights, row.biases, row.parameters, row.units, row.macs)),
        byte_count(row.weight_bytes) if row.weight_bytes else "",
        byte_count(row.activation_bytes) if row.activation_bytes else "",
    ]


def _geometry(row: Row) -> str:
    """5/1/2/1, with 5x3 where the two directions differ; "-" for what the layer does not have."""
    if row.kernel is None:
        return ""
    return "/".join(_short(part) for part in (row.kernel, row.stride, row.padding, row.groups))


def _short(value: tuple[int, ...] | str | int | None) -> str:
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else shape(value)
    return "-" if value is None else str(value)


def _details(rows: Sequence[Row]) -> list[str]:
    """What layers that are not torch's own say of themselves, once for all that say the same."""
    said: dict[str, list[str]] = {}
    for row in rows:
        if row.detail:
            said.setdefault(f"{row.kind}({row.detail})", []).append(row.name)
    return [f"{', '.join(names)}: {text}" for text, names in said.items()]
