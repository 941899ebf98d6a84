"""Layer tables, of one network or of two side by side, for a terminal and for a notebook cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from classicnets.inspection.arithmetic import format_inputs, format_size_change
from classicnets.inspection.windows import kernel_channels, layer_type, taps, with_numeric_padding
from classicnets.report import cell, tables
from classicnets.text import N_, _, byte_count, labeled, shape

if TYPE_CHECKING:
    from classicnets.inspection.compare import Comparison, Total
    from classicnets.inspection.shapes import Row, Table

_TOTALS = {
    "parameters": N_("parameters"),
    "macs": N_("MACs"),
    "units": N_("units"),
    "weights": N_("weights"),
    "biases": N_("biases"),
}
_SIGNS = {"equal": "=", "changed": "~", "added": "+", "removed": "-"}


def print_table(out: Console, name: str, table: Table) -> None:
    """Print every layer, the totals, and what the columns mean."""
    out.print(title(name, table))
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
    for line in _remarks(table):
        out.print(line)


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


def title(name: str, table: Table) -> str:
    """Return the line above a layer table: the network and the images that it is calculated for."""
    return _("{name} for {inputs}", name=name, inputs=format_inputs(table.input_shape))


def html_table(name: str, table: Table) -> str:
    """Return a layer table for a notebook cell, with the calculation of each size and number of parameters."""
    parameters, macs, memory, output_memory = _("parameters"), _("MACs"), _("memory"), _("output memory")
    size, calculation = _("calculation of the size"), _("calculation of the parameters")
    columns = [_("layer"), _("kind"), _("output"), size, parameters, calculation, macs, memory, output_memory]
    rows: list[list[object]] = []
    for row in table.rows:
        shown = _table_row(row)
        calculations = [_size_calculation(row), _parameter_calculation(row)]
        rows.append([*shown[:3], calculations[0], shown[6], calculations[1], shown[8], *shown[9:]])
    total_memory = [byte_count(table.weight_bytes), byte_count(table.activation_bytes)]
    rows.append([_("total"), "", "", "", table.parameters, "", table.macs, *total_memory])
    return cell.cell(
        cell.heading(title(name, table)),
        cell.table(
            columns,
            rows,
            numbers=[parameters, macs, memory, output_memory],
            soft=[size, calculation],
            marks={len(rows) - 1: "total"},
        ),
        *(cell.line(line, soft=line != table.note) for line in _remarks(table)),
        cell.line(
            _(
                "MACs: multiply-accumulates for one image. memory: of weights and biases. output memory: of the outputs"
                " for one image."
            ),
            soft=True,
        ),
    )


def html_comparison(names: Sequence[str], comparison: Comparison, sentences: Sequence[str]) -> str:
    """Return the comparison of two networks for a notebook cell: in words, the layers side by side, the totals."""
    numbers = [_("parameters"), _("MACs")]
    columns = [_("layer"), _("kind"), _("output"), "k/s/p/g", *numbers]
    rows = [
        [*_comparison_cells(pair.left), _SIGNS[pair.operation], *_comparison_cells(pair.right)]
        for pair in comparison.pairs
    ]
    marks = {i: pair.operation for i, pair in enumerate(comparison.pairs) if not pair.equal}
    ratio = _("ratio")
    totals = [_total_row(key, total) for key, total in comparison.totals.items()]
    return cell.cell(
        cell.heading(_("left: {left}   right: {right}", left=names[0], right=names[1])),
        cell.items(sentences),
        cell.table([*columns, "", *columns], rows, numbers=numbers, marks=marks),
        cell.table([_("total"), *names, ratio], totals, numbers=[*names, ratio]),
    )


def _size_calculation(row: Row) -> str:
    """How the output size follows from the input size; "" if the size does not change."""
    if len(row.inputs) > 1 and len(row.outputs) == 1 and math.prod(row.inputs) == row.outputs[0]:
        return f"{shape(row.inputs, ' x ')} = {row.outputs[0]}"
    if len(row.inputs) < 2 or len(row.inputs) != len(row.outputs):
        return ""
    numeric = with_numeric_padding(row)
    return format_size_change(numeric) if row.kernel or row.inputs[1:] != row.outputs[1:] else ""


def _parameter_calculation(row: Row) -> str:
    """How the number of parameters follows from the sizes of the layer; "" if there are none."""
    kind, products = layer_type(row), [row.weights]
    if kind == "conv" and row.weights == row.outputs[0] * taps(row):
        products = [row.outputs[0], kernel_channels(row), *(row.kernel or ())]
    elif kind == "dense" and row.weights == row.inputs[-1] * row.outputs[-1]:
        products = [row.outputs[-1], row.inputs[-1]]
    if not row.parameters or (len(products) == 1 and not row.biases):
        return ""
    return f"{shape(products, ' x ')} + {row.biases}" if row.biases else shape(products, " x ")


def _remarks(table: Table) -> list[str]:
    """What the table does not show: the settings of layers that torch lacks, operations outside layers, its note."""
    lines = _details(table.rows)
    if table.unlisted:
        operations = ", ".join(f"{name} x{n}" for name, n in table.unlisted.items())
        lines.append(_("operations in forward() that are not layers: {operations}", operations=operations))
    return [*lines, table.note] if table.note else lines


def _total_row(key: str, total: Total) -> list[object]:
    """The name of a total in words, its value for both networks, and their ratio."""
    ratio = "" if total.ratio is None else f"{total.ratio:,.4g}"
    if key in {"weight_bytes", "activation_bytes"}:
        name = _("memory") if key == "weight_bytes" else _("output memory")
        return [name, byte_count(total.left), byte_count(total.right), ratio]
    return [_(_TOTALS[key]), total.left, total.right, ratio]


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
        _("not called") if layer_type(row) == "uncalled" else shape(row.outputs),
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
    return [labeled(", ".join(layers), detail) for detail, layers in names.items()]
