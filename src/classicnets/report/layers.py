"""Layer tables, of one network or of two side by side, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from classicnets.report import tables
from classicnets.text import _, byte_count, shape

if TYPE_CHECKING:
    from classicnets.inspection.compare import Comparison, Total
    from classicnets.inspection.shapes import Row, Table

_SIGNS = {"equal": "=", "changed": "~", "added": "+", "removed": "-"}


def print_table(out: Console, name: str, table: Table) -> None:
    """Print every layer, the totals, and what the columns mean."""
    out.print(_("{name} for {shape} images", name=name, shape=shape(table.input_shape)))
    weights, biases, units = _("weights"), _("biases"), _("units")
    memory, output_memory = _("memory"), _("output memory")
    numbers = [weights, biases, _("parameters"), units, _("MACs"), memory, output_memory]
    totals = [table.weights, table.biases, table.parameters, table.units, table.macs]
    total_memory = [byte_count(table.weight_bytes), byte_count(table.activation_bytes)]
    rows = [*(_table_row(row) for row in table.rows), [_("total"), "", "", "", *totals, *total_memory]]
    columns = [_("layer"), _("kind"), _("output"), "k/s/p/g", *numbers]
    optional = [output_memory, memory, units, biases, weights]
    out.print(tables.fit(out, columns, rows, numbers=numbers, optional=optional))
    out.print()
    out.print(_legend())
    for line in _details(table.rows):
        out.print(line)
    if table.unlisted:
        operations = ", ".join(f"{name} x{n}" for name, n in table.unlisted.items())
        out.print(_("operations in forward() that are not layers: {operations}", operations=operations))
    if table.note:
        out.print(table.note)


def print_comparison(out: Console, names: Sequence[str], comparison: Comparison, sentences: Sequence[str]) -> None:
    """Print the aligned layers, the totals with their ratios, and the differences in words."""
    numbers = [_("parameters"), _("MACs")]
    columns = [_("layer"), _("kind"), _("output"), "k/s/p/g", *numbers]
    rows = [
        [*_comparison_cells(pair.left), _SIGNS[pair.operation], *_comparison_cells(pair.right)]
        for pair in comparison.pairs
    ]
    out.print(_("left: {left}   right: {right}", left=names[0], right=names[1]))
    out.print(tables.table([*columns, "", *columns], rows, numbers=numbers))
    out.print()
    ratio = _("ratio")
    totals = [_total_row(key, total) for key, total in comparison.totals.items()]
    out.print(tables.table([_("total"), *names, ratio], totals, numbers=[*names, ratio]))
    out.print()
    for sentence in sentences:
        out.print(f"- {sentence}")


def _total_row(key: str, total: Total) -> list[object]:
    """The name of a total in words, its value for both networks, and their ratio."""
    ratio = "" if total.ratio is None else f"{total.ratio:,.4g}"
    if key in {"weight_bytes", "activation_bytes"}:
        name = _("memory") if key == "weight_bytes" else _("output memory")
        return [name, byte_count(total.left), byte_count(total.right), ratio]
    return [_("MACs") if key == "macs" else _(key), total.left, total.right, ratio]


def _legend() -> str:
    return _(
        "k/s/p/g: kernel size, stride, padding, groups. units: outputs of layers with weights. MACs:\n"
        "multiply-accumulates for one image, including those on padding, without bias additions. memory: of weights\n"
        "and biases. output memory: of the outputs for one image."
    )


def _table_row(row: Row) -> list[object]:
    return [
        row.name or _("(network)"),
        row.kind,
        shape(row.outputs),
        _geometry(row),
        *(n or "" for n in (row.weights, row.biases, row.parameters, row.units, row.macs)),
        byte_count(row.weight_bytes) if row.weight_bytes else "",
        byte_count(row.activation_bytes) if row.activation_bytes else "",
    ]


def _comparison_cells(row: Row | None) -> list[object]:
    """The cells of one network; empty where it has no such layer."""
    if row is None:
        return [""] * 6
    return [row.name, row.kind, shape(row.outputs), _geometry(row), row.parameters or "", row.macs or ""]


def _geometry(row: Row) -> str:
    """Kernel, stride, padding and groups as "5/1/2/1", with 5x3 for height and width and "-" for none."""
    if row.kernel is None:
        return ""
    return "/".join(_geometry_part(part) for part in (row.kernel, row.stride, row.padding, row.groups))


def _geometry_part(value: tuple[int, ...] | str | int | None) -> str:
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else shape(value)
    return "-" if value is None else str(value)


def _details(rows: Sequence[Row]) -> list[str]:
    """What layers that torch does not define report about themselves; layers with the same report share a line."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if row.detail:
            names.setdefault(f"{row.kind}({row.detail})", []).append(row.name)
    return [f"{', '.join(layers)}: {detail}" for detail, layers in names.items()]
