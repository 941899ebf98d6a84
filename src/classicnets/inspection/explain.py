"""Why a layer has the shape, the parameters and the cost it has, and where a whole net has them, worked out in words.

Everything is told from the layer table, of any module. What is said is first a list of facts (a key and its numbers),
then a sentence of a language for each, so that all languages say the same numbers. A sum is told only where it gives
what the table has.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

from classicnets.errors import UsageError
from classicnets.inspection.arithmetic import place, side, span, window_sum
from classicnets.inspection.messages import WORDS, Fact, Word, say
from classicnets.inspection.shapes import Row, Table
from classicnets.inspection.windows import Axis, axes_of, chain_of, on_padding, plain, reach, role, seen, stations, taps
from classicnets.text import nearest
from classicnets.text import shape as shape_text

_HIDDEN = 256  # units of the book's MLP, for a net without hidden dense layers
_STATES = {"sgd": 2, "momentum": 3, "adam": 4}  # copies of the weights: themselves, gradients, what the optimizer keeps


def explain(table: Table, layer: str | None = None, language: str = "en") -> list[str]:
    """Plain lines on one layer of the table, or on the whole net; `language` is "en" or "zh" (simplified Chinese).

    `layer` is a name of the table ("conv1", "features.0") or its Python spelling ("net.features[0]"); every call of
    it is explained. Raises UsageError CN202 for a name or a language that is not known, with the nearest one.
    """
    facts = _net(table) if layer is None else _calls(table, layer)
    return say(facts, WORDS, language)


def mean_uses(rows: Iterable[Row]) -> float | None:
    """How often a weight is used for one image: MACs / weights; None without weights."""
    rows = tuple(rows)
    weights = sum(row.weights for row in rows)
    return sum(row.macs for row in rows) / weights if weights else None


def _calls(table: Table, layer: str) -> Iterator[Fact]:
    names = list(dict.fromkeys(row.name for row in table.rows))
    found = [i for i, row in enumerate(table.rows) if layer in (row.name, place(row.name))]
    if not found:
        raise UsageError(
            "CN202",
            f"the net has no layer {layer}",
            where=f"its layers are {', '.join(name or place(name) for name in names)}",
            hint=nearest(layer, names, cutoff=0.3) or (),
        )
    for number, index in enumerate(found, 1):
        if len(found) > 1:
            yield "call", {"number": number, "calls": len(found)}
        yield from _layer(table, index)


def _layer(table: Table, index: int) -> Iterator[Fact]:
    row = table.rows[index]
    part = role(row)
    window = {"kernel": shape_text(row.kernel or ()), "stride": _each(row.stride), "padding": _each(row.padding)}
    key = part if part != "pool" or row.kernel else "adaptive"
    yield key, {"name": place(row.name), "kind": row.kind, **window, **_shapes(row), "parameters": row.parameters}
    if part == "uncalled":
        return
    if part in ("conv", "sparse", "local", "pool") and row.kernel:
        yield from _sides(row)
    if part == "pool" and row.kernel:
        yield from _pooling(row)
    elif part == "dense":
        yield from _origin(table, index)
    elif part == "other" and f"does_{row.kind}" in WORDS["en"]:
        yield f"does_{row.kind}", {}
    yield from _cost(row, part)
    if row.parameters or row.macs:
        shares = [_percent(row.parameters, table.parameters), _percent(row.macs, table.macs)]
        yield "share", {"parameters": shares[0], "macs": shares[1]}
    memory = {"units": row.units, "weight_bytes": row.weight_bytes, "bytes": row.activation_bytes}
    yield "memory", memory


def _cost(row: Row, part: str) -> Iterator[Fact]:
    """Parameters and MACs with their sums."""
    yield _parameters(row, part)
    kernel, groups = shape_text(row.kernel or (), " x "), row.groups or 1
    if part in ("conv", "local"):
        if groups > 1:
            own = {"outputs": row.outputs[0] // groups, "seen": seen(row), "inputs": row.inputs[0]}
            yield "groups", {"groups": groups, **own}
        of = {"shape": shape_text(row.outputs, " x "), "outputs": math.prod(row.outputs), "seen": seen(row)}
        yield "conv_macs", {**of, "kernel": kernel, "taps": taps(row), "macs": row.macs}
        if wasted := on_padding(row):
            yield "on_padding", {"macs": wasted}
        if row.weights * math.prod(row.outputs[1:]) == row.macs:
            yield "uses", {"shape": shape_text(row.outputs[1:], " x "), "uses": math.prod(row.outputs[1:])}
    elif part == "sparse":
        pairs, every = row.weights // math.prod(row.kernel or ()), row.inputs[0] * row.outputs[0]
        yield "pairs", {"pairs": pairs, "inputs": row.inputs[0], "outputs": row.outputs[0], "every": every}
        yield "uses", {"shape": shape_text(row.outputs[1:], " x "), "uses": math.prod(row.outputs[1:])}
        yield "plain_macs", {"macs": row.macs}
    elif part == "dense":
        of = {"outputs": math.prod(row.outputs), "inputs": row.inputs[-1], "macs": row.macs}
        yield "dense_macs" if row.weights == row.macs else "dense_macs_again", of
    elif row.macs:
        yield "plain_macs", {"macs": row.macs}


def _parameters(row: Row, part: str) -> Fact:
    counts = {"weights": row.weights, "biases": row.biases, "parameters": row.parameters}
    if part == "conv" and row.weights == row.outputs[0] * taps(row) and row.biases in (0, row.outputs[0]):
        kernel = shape_text(row.kernel or (), " x ")
        return "conv_parameters", {"kernels": row.outputs[0], "seen": seen(row), "kernel": kernel, **counts}
    if part == "dense" and row.weights == row.inputs[-1] * row.outputs[-1] and row.biases in (0, row.outputs[-1]):
        return "dense_parameters", {"outputs": row.outputs[-1], "inputs": row.inputs[-1], **counts}
    if not row.parameters:
        return ("shared" if part in ("conv", "dense") else "no_parameters"), {}
    return "parameters", counts


def _sides(row: Row) -> Iterator[Fact]:
    """The sum behind the output side, and which pixels no window reads."""
    axes = axes_of(row)
    if not axes:
        yield "side_untold", {"before": side(row.inputs[1:]), "after": side(row.outputs[1:])}
        return
    alike = len(set(axes)) == 1
    names = ["side"] if alike else ["height", "width"] if len(axes) == 2 else ["axis"] * len(axes)
    for name, axis in zip(names, axes[:1] if alike else axes, strict=True):
        yield from _side(axis, name if len(axes) == 2 else "axis")
    if alike and max(row.stride or ()) > 1:
        low, high = reach([row], row.outputs[1])
        yield "same_map", {"low": low, "high": high, "after": row.outputs[1], "next": high + 1}


def _side(axis: Axis, name: str) -> Iterator[Fact]:
    window = f"- {axis.kernel}" if axis.dilation == 1 else f"- {axis.dilation}*({axis.kernel} - 1) - 1"
    top = axis.padded - axis.span
    whole = -(-top // axis.stride) if axis.ceil else top // axis.stride
    key = "sum_exact" if top % axis.stride == 0 else "sum_ceil" if axis.ceil else "sum_floor"
    if whole + 1 != axis.after:
        key = "sum_dropped"
    quotient = f"({axis.before} + 2*{axis.padding} {window}) / {axis.stride} = {top / axis.stride:.6g}"
    yield key, {"axis": Word(name), "sum": quotient, "whole": whole, "after": axis.after}
    yield "steps", {"padded": axis.padded, "steps": axis.after - 1, "stride": axis.stride, "after": axis.after}
    read, ends = set(axis.read()), Word(f"{name}_end")
    tail, gaps = range(axis.end, axis.padded), sorted(set(range(min(axis.end, axis.padded))) - read)
    if tail:
        yield "unread", {"tail": len(tail), "padded": axis.padded, "ends": ends, "pixels": axis.pixels(tail)}
    if gaps:
        yield "gaps", {"gaps": len(gaps), "padded": axis.padded, "pixels": axis.pixels(gaps)}
    if axis.end > axis.padded:
        yield "hangs_over", {"over": axis.end - axis.padded, "ends": ends}
    elif axis.stride > 1 and not tail and not gaps:
        yield "all_read", {}


def _pooling(row: Row) -> Iterator[Fact]:
    if axes := axes_of(row):
        slack = [axis.span - axis.stride for axis in axes]
        key = "overlapping" if max(slack) > 0 else "apart" if min(slack) < 0 else "tiling"
        yield key, {"kernel": side(span(row)), "stride": _each(row.stride)}
    taken = "largest" if "Max" in row.kind else "mean" if "Avg" in row.kind else "one_value"
    yield "pooled", {"taken": Word(taken), "taps": math.prod(row.kernel or ())}


def _origin(table: Table, index: int) -> Iterator[Fact]:
    """Where the numbers come from that a dense layer reads: units of a layer, or a map, channel by channel."""
    row = table.rows[index]
    numbers = row.inputs[-1]
    if len(row.inputs) > 1:
        yield "each_row", {"rows": math.prod(row.inputs[:-1]), "numbers": numbers}
        return
    for earlier in reversed(table.rows[:index]):
        if math.prod(earlier.outputs) != numbers or not earlier.outputs:
            yield "from_forward", {"numbers": numbers}
            return
        if len(earlier.outputs) > 1:
            yield from _from_map(table, earlier, numbers)
            return
        if earlier.macs:
            yield "from_units", {"numbers": numbers, "name": place(earlier.name)}
            return
    if math.prod(table.input_shape) == numbers:
        yield "from_image", {"shape": shape_text(table.input_shape, " x "), "numbers": numbers}


def _from_map(table: Table, row: Row, numbers: int) -> Iterator[Fact]:
    channels, sides = row.outputs[0], row.outputs[1:]
    of = {"numbers": numbers, "name": place(row.name), "channels": channels, "side": side(sides)}
    yield "from_map", {**of, "sum": shape_text(row.outputs, " x ")}
    chain = chain_of(table)
    if chain and chain[-1].outputs[1:] == sides:
        yield "by_way_of", {"path": " -> ".join(str(n) for n in (chain[0].inputs[1], *(r.outputs[1] for r in chain)))}
        low, high = reach(chain, sides[0])
        yield "fitting", {"low": low, "high": high, "side": sides[0], "numbers": numbers}


def _net(table: Table) -> Iterator[Fact]:
    convs = [row for row in table.rows if role(row) in ("conv", "sparse")]
    dense = [row for row in table.rows if role(row) == "dense"]
    carrying = sum(row.parameters > 0 for row in table.rows)
    yield "net", {"rows": len(table.rows), "carrying": carrying, "convs": len(convs), "dense": len(dense)}
    yield "path", {"path": " -> ".join(stations(table))}
    yield from _first_map(table)
    if dense:
        yield from (fact for fact in _origin(table, table.rows.index(dense[0])) if fact[0] == "fitting")
    if table.parameters:
        yield from _where(table, convs, dense)
        yield from _needs(table)
    if convs:
        yield from _against_mlp(table, dense)
    yield from _conventions(table, convs)


def _where(table: Table, convs: list[Row], dense: list[Row]) -> Iterator[Fact]:
    """Which layers hold the parameters and which do the work."""
    yield "sums", {"parameters": table.parameters, "weights": table.weights, "biases": table.biases}
    shares = {}
    for column, key in (("parameters", "hold"), ("macs", "work")):
        total = getattr(table, column)
        in_convs, in_dense = (sum(getattr(row, column) for row in rows) for rows in (convs, dense))
        top = max(table.rows, key=lambda row: getattr(row, column))
        most = getattr(top, column)
        shares[key] = (_percent(in_convs, total), _percent(in_dense, total))
        if total:
            of = {"total": total, "convs": in_convs, "convs_share": shares[key][0], "dense": in_dense}
            of |= {"dense_share": shares[key][1], "rest": total - in_convs - in_dense}
            yield key, {**of, "name": place(top.name), "most": most, "most_share": _percent(most, total)}
    if shares["hold"][1] > 50 and shares["work"][0] > 50:
        yield "the_other_way", {"parameters": shares["hold"][1], "macs": shares["work"][0]}
    if uses := mean_uses(table.rows):
        yield "mean_uses", {"macs": table.macs, "weights": table.weights, "uses": uses}
    if convs and dense and (of_convs := mean_uses(convs)) and (of_dense := mean_uses(dense)):
        yield "why_uses", {"convs": of_convs, "dense": of_dense}


def _first_map(table: Table) -> Iterator[Fact]:
    """Other sizes of image that give the same first map, where the stride makes that possible."""
    row = next((row for row in table.rows if row.kernel and axes_of(row)), None)
    if not row or row.inputs != table.input_shape or len(set(axes_of(row))) > 1 or max(row.stride or ()) == 1:
        return
    yield "first_sum", {"name": place(row.name), "sum": window_sum(plain(row))[0], "after": row.outputs[1]}
    low, high = reach([row], row.outputs[1])
    yield "same_map", {"low": low, "high": high, "after": row.outputs[1], "next": high + 1}


def _needs(table: Table) -> Iterator[Fact]:
    """Memory: the weights, and what training keeps beside them."""
    size = table.weight_bytes
    yield "size", {"bytes": size, "mb": _millions(size), "mib": _millions(size, 2**20)}
    learned = sum(row.weight_bytes * row.trainable // row.parameters for row in table.rows if row.parameters)
    if learned:
        yield "training", {name: _millions(size + (n - 1) * learned) for name, n in _STATES.items()}
    made = table.activation_bytes
    yield "activations", {"bytes": made, "mb": _millions(made), "batch": 128, "batch_mb": _millions(128 * made)}


def _against_mlp(table: Table, dense: list[Row]) -> Iterator[Fact]:
    """The net beside dense layers alone: same inputs, the widths of its own dense layers."""
    linked = all(b.inputs == a.outputs for a, b in itertools.pairwise(dense))
    if not dense or not linked or len(dense[-1].outputs) != 1 or dense[-1].outputs != table.output_shape:
        return
    hidden = [row.outputs[-1] for row in dense[:-1]] or [_HIDDEN]
    widths = [math.prod(table.input_shape), *hidden, dense[-1].outputs[-1]]
    macs = sum(a * b for a, b in itertools.pairwise(widths))
    parameters = macs + sum(widths[1:])
    named = {"widths": "-".join(map(str, widths)), "parameters": parameters, "macs": macs}
    yield ("mlp" if len(dense) > 1 else "mlp_hidden"), named
    if table.parameters < parameters and table.macs > macs:
        yield "mlp_holds", {"parameters": parameters / table.parameters, "macs": table.macs / macs}
    else:
        yield "mlp_fails", {"parameters": table.parameters / parameters, "macs": table.macs / macs}


def _conventions(table: Table, convs: list[Row]) -> Iterator[Fact]:
    yield "counted", {"macs": table.macs, "units": table.units}
    yield "flops", {"flops": 2 * table.macs}
    biased = {row.name for row in table.rows if row.biases}
    adding = [row for row in table.rows if row.macs and row.name in biased]
    if adding and all(role(row) in ("conv", "sparse", "dense") for row in adding):
        adds = sum(math.prod(row.outputs) for row in adding)
        yield "with_adds", {"adds": adds, "macs": table.macs + adds}
    wasted = sum(map(on_padding, convs))
    if wasted and all(axes_of(row) for row in convs):
        yield "without_padding", {"macs": wasted, "left": table.macs - wasted}
    if table.unlisted:
        yield "unlisted", {"operations": ", ".join(f"{op} x{n}" for op, n in table.unlisted.items())}


def _shapes(row: Row) -> dict[str, str]:
    return {"inputs": shape_text(row.inputs), "outputs": shape_text(row.outputs)}


def _each(value: tuple[int, ...] | str | None) -> str:
    return value if isinstance(value, str) else side(value or (0,))


def _percent(part: int, total: int) -> float:
    return 100 * part / total if total else 0.0


def _millions(size: int, unit: int = 10**6) -> str:
    return f"{size / unit:,.1f}" if size >= 10 * unit else f"{size / unit:.3f}"
