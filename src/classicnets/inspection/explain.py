"""Explains in sentences where the shape, the parameters and the cost of a layer or of a whole network come from.

The sentences come from the layer table of any module. The table first gives facts (a key and its numbers), then the
language gives a sentence for each, so that all languages report the same numbers. A calculation is shown only if it
gives the numbers of the table.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

from classicnets.errors import UsageError
from classicnets.inspection.arithmetic import effective_kernel, format_size, output_size_formula, python_path
from classicnets.inspection.messages import EXPLANATIONS, Fact, Term, render
from classicnets.inspection.shapes import Row, Table
from classicnets.inspection.windows import (
    Axis,
    input_range,
    kernel_channels,
    layer_type,
    padding_macs,
    size_steps,
    taps,
    window_axes,
    window_chain,
    with_numeric_padding,
)
from classicnets.text import _, nearest
from classicnets.text import shape as shape_text

_HIDDEN_UNITS = 256  # hidden layer of the book's MLP, for a network without hidden dense layers
_COPIES = {"sgd": 2, "momentum": 3, "adam": 4}  # tensors as large as the weights: weights, gradients, optimizer state
_BATCH = 128  # images, for the memory of the layer outputs


def explain(table: Table, layer: str | None = None, language: str | None = None) -> list[str]:
    """Explain a layer, or the whole network, line by line.

    Args:
        table: the layer table of the network.
        layer: a name of the table ("conv1", "features.0") or its Python path ("net.features[0]"); every call of it is
            explained. None explains the whole network.
        language: "en" or "zh" (default: the language of all texts).

    Raises:
        UsageError: CN202 for an unknown layer, with the nearest name; CN204, the language is not available.
    """
    facts = _network_facts(table) if layer is None else _call_facts(table, layer)
    return render(facts, EXPLANATIONS, language)


def mean_uses(rows: Iterable[Row]) -> float | None:
    """Return how often a weight is used per image on average: MACs / weights; None without weights."""
    rows = tuple(rows)
    weights = sum(row.weights for row in rows)
    return sum(row.macs for row in rows) / weights if weights else None


def _call_facts(table: Table, layer: str) -> Iterator[Fact]:
    names = list(dict.fromkeys(row.name for row in table.rows))
    indices = [i for i, row in enumerate(table.rows) if layer in (row.name, python_path(row.name))]
    if not indices:
        suggestion = nearest(layer, names)
        raise UsageError(
            "CN202",
            _("the network has no layer {layer}; did you mean {suggestion}?", layer=layer, suggestion=suggestion)
            if suggestion
            else _("the network has no layer {layer}", layer=layer),
            where=_("its layers are {names}", names=", ".join(name or python_path(name) for name in names)),
        )
    for number, index in enumerate(indices, 1):
        if len(indices) > 1:
            yield "call", {"number": number, "calls": len(indices)}
        yield from _layer_facts(table, index)


def _layer_facts(table: Table, index: int) -> Iterator[Fact]:
    row = table.rows[index]
    kind = layer_type(row)
    window = {
        "kernel": shape_text(row.kernel or ()),
        "stride": _format_setting(row.stride),
        "padding": _format_setting(row.padding),
    }
    shapes = {"inputs": shape_text(row.inputs), "outputs": shape_text(row.outputs)}
    key = kind if kind != "pool" or row.kernel else "adaptive"
    yield key, {"name": python_path(row.name), "kind": row.kind, **window, **shapes, "parameters": row.parameters}
    if kind == "uncalled":
        return
    if kind in ("conv", "sparse", "local", "pool") and row.kernel:
        yield from _size_facts(row)
    if kind == "pool" and row.kernel:
        yield from _pooling_facts(row)
    elif kind == "dense":
        yield from _input_facts(table, index)
    elif kind == "other" and f"does_{row.kind}" in EXPLANATIONS:
        yield f"does_{row.kind}", {}
    yield from _cost_facts(row, kind)
    if row.parameters or row.macs:
        shares = [_percent(row.parameters, table.parameters), _percent(row.macs, table.macs)]
        yield "share", {"parameters": shares[0], "macs": shares[1]}
    yield "memory", {"units": row.units, "weight_bytes": row.weight_bytes, "bytes": row.activation_bytes}


def _cost_facts(row: Row, kind: str) -> Iterator[Fact]:
    """Parameters and MACs with their calculations."""
    yield _parameter_fact(row, kind)
    kernel, groups, channels = shape_text(row.kernel or (), " x "), row.groups or 1, row.inputs[0] if row.inputs else 0
    positions = row.outputs[1:]
    uses: Fact = ("uses", {"shape": shape_text(positions, " x "), "uses": math.prod(positions)})
    if kind in ("conv", "local"):
        if groups > 1:
            group = {"outputs": row.outputs[0] // groups, "kernel_channels": kernel_channels(row), "inputs": channels}
            yield "groups", {"groups": groups, **group}
        outputs = {"shape": shape_text(row.outputs, " x "), "outputs": math.prod(row.outputs)}
        products = {"kernel_channels": kernel_channels(row), "kernel": kernel, "taps": taps(row)}
        yield "conv_macs", {**outputs, **products, "macs": row.macs}
        if on_padding := padding_macs(row):
            yield "on_padding", {"macs": on_padding}
        if row.weights * math.prod(positions) == row.macs:
            yield uses
    elif kind == "sparse":
        pairs = row.weights // math.prod(row.kernel or ())
        possible = {"inputs": channels, "outputs": row.outputs[0], "possible": channels * row.outputs[0]}
        yield "connections", {"pairs": pairs, **possible}
        yield uses
        yield "macs", {"macs": row.macs}
    elif kind == "dense":
        macs = {"outputs": math.prod(row.outputs), "inputs": row.inputs[-1], "macs": row.macs}
        yield "dense_macs" if row.weights == row.macs else "dense_macs_shared", macs
    elif row.macs:
        yield "macs", {"macs": row.macs}


def _parameter_fact(row: Row, kind: str) -> Fact:
    counts = {"weights": row.weights, "biases": row.biases, "parameters": row.parameters}
    if kind == "conv" and row.weights == row.outputs[0] * taps(row) and row.biases in (0, row.outputs[0]):
        kernel = shape_text(row.kernel or (), " x ")
        kernels = {"kernels": row.outputs[0], "kernel_channels": kernel_channels(row), "kernel": kernel}
        return "conv_parameters", {**kernels, **counts}
    if kind == "dense" and row.weights == row.inputs[-1] * row.outputs[-1] and row.biases in (0, row.outputs[-1]):
        return "dense_parameters", {"outputs": row.outputs[-1], "inputs": row.inputs[-1], **counts}
    if not row.parameters:
        return ("shared" if kind in ("conv", "dense") else "no_parameters"), {}
    return "parameters", counts


def _size_facts(row: Row) -> Iterator[Fact]:
    """The calculation of the output size, and the pixels that no window reads."""
    axes = window_axes(row)
    if not axes:
        yield "size_change", {"before": format_size(row.inputs[1:]), "after": format_size(row.outputs[1:])}
        return
    equal = len(set(axes)) == 1
    names = ["size"] if equal else ["height", "width"] if len(axes) == 2 else ["length"] * len(axes)
    for name, axis in zip(names, axes[:1] if equal else axes, strict=True):
        yield from _axis_facts(axis, name if len(axes) == 2 else "length")
    if equal and max(row.stride or ()) > 1:
        yield _same_output_size(row)


def _axis_facts(axis: Axis, name: str) -> Iterator[Fact]:
    window = f"- {axis.kernel}" if axis.dilation == 1 else f"- {axis.dilation}*({axis.kernel} - 1) - 1"
    span = axis.padded_size - axis.extent
    steps = -(-span // axis.stride) if axis.ceil else span // axis.stride
    key = "size_exact" if span % axis.stride == 0 else "size_ceil" if axis.ceil else "size_floor"
    if steps + 1 != axis.output_size:
        key = "size_dropped"
    quotient = f"({axis.input_size} + 2*{axis.padding} {window}) / {axis.stride} = {span / axis.stride:.6g}"
    yield key, {"axis": Term(name), "formula": quotient, "steps": steps, "after": axis.output_size}
    moves = {"steps": axis.output_size - 1, "stride": axis.stride, "after": axis.output_size}
    yield "window_steps", {"padded": axis.padded_size, **moves}
    read, edges = set(axis.read_positions()), Term(f"{name}_end")
    after_last = range(axis.window_end, axis.padded_size)
    between = sorted(set(range(min(axis.window_end, axis.padded_size))) - read)
    if after_last:
        unread = {"unread": len(after_last), "padded": axis.padded_size, "pixels": axis.count_pixels(after_last)}
        yield "unread_at_end", {**unread, "edges": edges}
    if between:
        unread = {"unread": len(between), "padded": axis.padded_size, "pixels": axis.count_pixels(between)}
        yield "unread_between", unread
    if axis.window_end > axis.padded_size:
        yield "beyond_edge", {"excess": axis.window_end - axis.padded_size, "edges": edges}
    elif axis.stride > 1 and not after_last and not between:
        yield "all_read", {}


def _same_output_size(row: Row) -> Fact:
    """The range of input sizes with the same output size."""
    low, high = input_range([row], row.outputs[1])
    return "same_output_size", {"low": low, "high": high, "after": row.outputs[1], "next_size": high + 1}


def _pooling_facts(row: Row) -> Iterator[Fact]:
    if axes := window_axes(row):
        overlaps = [axis.extent - axis.stride for axis in axes]
        key = "overlapping" if max(overlaps) > 0 else "with_gaps" if min(overlaps) < 0 else "tiling"
        yield key, {"kernel": format_size(effective_kernel(row)), "stride": _format_setting(row.stride)}
    statistic = "maximum" if "Max" in row.kind else "mean" if "Avg" in row.kind else "statistic"
    yield "pooled", {"statistic": Term(statistic), "taps": math.prod(row.kernel or ())}


def _input_facts(table: Table, index: int) -> Iterator[Fact]:
    """Where the inputs of a dense layer come from: units of a layer, or channels of a feature map."""
    row = table.rows[index]
    values = row.inputs[-1]
    if len(row.inputs) > 1:
        yield "each_row", {"rows": math.prod(row.inputs[:-1]), "values": values}
        return
    for earlier in reversed(table.rows[:index]):
        if math.prod(earlier.outputs) != values or not earlier.outputs:
            yield "from_forward", {"values": values}
            return
        if len(earlier.outputs) > 1:
            yield from _channel_facts(table, earlier, values)
            return
        if earlier.macs:
            yield "from_units", {"values": values, "name": python_path(earlier.name)}
            return
    if math.prod(table.input_shape) == values:
        yield "from_image", {"shape": shape_text(table.input_shape, " x "), "values": values}


def _channel_facts(table: Table, row: Row, values: int) -> Iterator[Fact]:
    """The feature map of `row` that a dense layer reads, and the image sizes that lead to it."""
    channels, sizes = row.outputs[0], row.outputs[1:]
    shape = {"channels": channels, "size": format_size(sizes), "product": shape_text(row.outputs, " x ")}
    yield "from_channels", {"values": values, "name": python_path(row.name), **shape}
    chain = window_chain(table)
    if chain and chain[-1].outputs[1:] == sizes:
        path = (chain[0].inputs[1], *(step.outputs[1] for step in chain))
        yield "size_path", {"path": " -> ".join(map(str, path))}
        low, high = input_range(chain, sizes[0])
        key = "fitting_sizes" if low < high else "fitting_size"
        yield key, {"low": low, "high": high, "size": sizes[0], "values": values}


def _network_facts(table: Table) -> Iterator[Fact]:
    convs = [row for row in table.rows if layer_type(row) in ("conv", "sparse")]
    dense = [row for row in table.rows if layer_type(row) == "dense"]
    with_parameters = sum(row.parameters > 0 for row in table.rows)
    counts = {"rows": len(table.rows), "with_parameters": with_parameters, "convs": len(convs), "dense": len(dense)}
    yield "network", counts
    yield "sizes", {"path": " -> ".join(size_steps(table))}
    yield from _first_feature_map(table)
    if dense:
        yield from (
            fact for fact in _input_facts(table, table.rows.index(dense[0])) if fact[0].startswith("fitting_size")
        )
    if table.parameters:
        yield from _distribution_facts(table, convs, dense)
        yield from _memory_facts(table)
    if convs:
        yield from _mlp_facts(table, dense)
    yield from _convention_facts(table, convs)


def _distribution_facts(table: Table, convs: list[Row], dense: list[Row]) -> Iterator[Fact]:
    """Which layers have the parameters, and which the MACs."""
    counts = {"parameters": table.parameters, "weights": table.weights, "biases": table.biases}
    yield "total_parameters", counts
    dense_parameters, conv_macs = 0.0, 0.0  # percent
    for column, key in (("parameters", "parameters_by_type"), ("macs", "macs_by_type")):
        total = getattr(table, column)
        of_convs, of_dense = (sum(getattr(row, column) for row in rows) for rows in (convs, dense))
        largest = max(table.rows, key=lambda row: getattr(row, column))
        most = getattr(largest, column)
        convs_share, dense_share = _percent(of_convs, total), _percent(of_dense, total)
        if column == "parameters":
            dense_parameters = dense_share
        else:
            conv_macs = convs_share
        if total:
            yield (
                key,
                {
                    "total": total,
                    "convs": of_convs,
                    "convs_share": convs_share,
                    "dense": of_dense,
                    "dense_share": dense_share,
                    "others": total - of_convs - of_dense,
                    "name": python_path(largest.name),
                    "most": most,
                    "most_share": _percent(most, total),
                },
            )
    if dense_parameters > 50 and conv_macs > 50:
        yield "parameters_versus_macs", {"parameters": dense_parameters, "macs": conv_macs}
    if uses := mean_uses(table.rows):
        yield "mean_uses", {"macs": table.macs, "weights": table.weights, "uses": uses}
    if convs and dense and (conv_uses := mean_uses(convs)) and (dense_uses := mean_uses(dense)):
        yield "uses_reason", {"convs": conv_uses, "dense": dense_uses}


def _first_feature_map(table: Table) -> Iterator[Fact]:
    """The image sizes with the same first feature map, if its stride is more than 1."""
    row = next((row for row in table.rows if row.kernel and window_axes(row)), None)
    if not row or row.inputs != table.input_shape or len(set(window_axes(row))) > 1 or max(row.stride or ()) == 1:
        return
    formula = output_size_formula(with_numeric_padding(row))[0]
    yield "first_feature_map", {"name": python_path(row.name), "formula": formula, "after": row.outputs[1]}
    yield _same_output_size(row)


def _memory_facts(table: Table) -> Iterator[Fact]:
    """Memory of the weights, of training and of the layer outputs."""
    size = table.weight_bytes
    yield "parameter_memory", {"bytes": size, "mb": _millions(size), "mib": _millions(size, 2**20)}
    trainable = sum(row.weight_bytes * row.trainable // row.parameters for row in table.rows if row.parameters)
    if trainable:
        yield "training_memory", {name: _millions(size + (n - 1) * trainable) for name, n in _COPIES.items()}
    outputs = table.activation_bytes
    batch = {"batch": _BATCH, "batch_mb": _millions(_BATCH * outputs)}
    yield "output_memory", {"bytes": outputs, "mb": _millions(outputs), **batch}


def _mlp_facts(table: Table, dense: list[Row]) -> Iterator[Fact]:
    """The network compared with an MLP that has the same inputs and the widths of its dense layers."""
    linked = all(b.inputs == a.outputs for a, b in itertools.pairwise(dense))
    if not dense or not linked or len(dense[-1].outputs) != 1 or dense[-1].outputs != table.output_shape:
        return
    hidden = [row.outputs[-1] for row in dense[:-1]] or [_HIDDEN_UNITS]
    widths = [math.prod(table.input_shape), *hidden, dense[-1].outputs[-1]]
    macs = sum(a * b for a, b in itertools.pairwise(widths))
    parameters = macs + sum(widths[1:])
    mlp = {"widths": "-".join(map(str, widths)), "parameters": parameters, "macs": macs}
    yield ("mlp" if len(dense) > 1 else "mlp_hidden"), mlp
    if table.parameters < parameters and table.macs > macs:
        yield "mlp_holds", {"parameters": parameters / table.parameters, "macs": table.macs / macs}
    else:
        yield "mlp_fails", {"parameters": table.parameters / parameters, "macs": table.macs / macs}


def _convention_facts(table: Table, convs: list[Row]) -> Iterator[Fact]:
    """What the counts include, and the totals under other conventions."""
    yield "counting_rules", {"macs": table.macs, "units": table.units}
    yield "flops", {"flops": 2 * table.macs}
    biased = {row.name for row in table.rows if row.biases}
    adding = [row for row in table.rows if row.macs and row.name in biased]
    if adding and all(layer_type(row) in ("conv", "sparse", "dense") for row in adding):
        additions = sum(math.prod(row.outputs) for row in adding)
        yield "with_bias_additions", {"additions": additions, "macs": table.macs + additions}
    on_padding = sum(map(padding_macs, convs))
    if on_padding and all(window_axes(row) for row in convs):
        yield "without_padding", {"macs": on_padding, "left": table.macs - on_padding}
    if table.unlisted:
        yield "unlisted", {"operations": ", ".join(f"{op} x{n}" for op, n in table.unlisted.items())}


def _format_setting(value: tuple[int, ...] | str | None) -> str:
    """A stride or padding as text: "2", "2x1", or "same"."""
    return value if isinstance(value, str) else format_size(value or (0,))


def _percent(part: int, total: int) -> float:
    return 100 * part / total if total else 0.0


def _millions(size: int, unit: int = 10**6) -> str:
    return f"{size / unit:,.1f}" if size >= 10 * unit else f"{size / unit:.3f}"
