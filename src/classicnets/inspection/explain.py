"""Why a layer has the shape, the parameters and the cost it has, and where a whole net has them, worked out in words.

Everything is told from the layer table, of any module. What is said is first a list of facts (a key and its numbers),
then a sentence of a language for each, so that all languages say the same numbers. A sum is told only where it gives
what the table has.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from classicnets.errors import UsageError
from classicnets.inspection.arithmetic import place, side, span, window_sum
from classicnets.inspection.shapes import Row, Table, times

Fact = tuple[str, dict[str, Any]]

_MANY = 40  # stations of a path; in a longer one only those that change the side are named
_HIDDEN = 256  # units of the book's MLP, for a net without hidden dense layers
_STATES = {"sgd": 2, "momentum": 3, "adam": 4}  # copies of the weights: themselves, gradients, what the optimiser keeps


class Word(str):
    """A field of a fact that is itself a key of the language."""

    __slots__ = ()


def explain(table: Table, layer: str | None = None, language: str = "en") -> list[str]:
    """Plain lines on one layer of the table, or on the whole net; `language` is "en" or "zh" (simplified Chinese).

    `layer` is a name of the table ("conv1", "features.0") or its Python spelling ("net.features[0]"); every call of
    it is explained. Raises UsageError CN202 for a name or a language that is not known, with the nearest one.
    """
    facts = _net(table) if layer is None else _calls(table, layer)
    return say(facts, WORDS, language)


def say(facts: Iterable[Fact], words: dict[str, dict[str, str]], language: str) -> list[str]:
    """Each fact as the sentence that `words` has for it."""
    if language not in words:
        raise UsageError("CN202", f"there is no explanation in {language!r}", hint=" or ".join(sorted(words)))
    known = words[language]
    lines = []
    for key, fields in facts:
        spoken = {name: known[value] if isinstance(value, Word) else value for name, value in fields.items()}
        lines.append(known[key].format(**spoken))
    return lines


def role(row: Row) -> str:
    """What a layer does: conv, local (weights of its own at each place), dense, pool, other, or uncalled.

    Layers with MACs are known by these, so that a subclass under any name is one too.
    """
    if not row.inputs or not row.outputs:
        return "other" if row.inputs or row.outputs else "uncalled"
    if row.kernel and row.macs and "Transpose" not in row.kind:
        if row.macs != math.prod(row.outputs) * _taps(row):
            return "other"
        return "local" if row.weights == row.macs and math.prod(row.outputs[1:]) > 1 else "conv"
    carries = row.weights or "Linear" in row.kind  # the weights of a second call were counted in the first
    if carries and not row.kernel and row.macs and row.macs == math.prod(row.outputs) * row.inputs[-1]:
        return "dense"
    window = row.kernel or row.kind.startswith("Adaptive")
    return "pool" if "Pool" in row.kind and window and not row.parameters else "other"


def mean_uses(rows: Iterable[Row]) -> float | None:
    """How often a weight is used for one picture: MACs / weights; None without weights."""
    rows = tuple(rows)
    weights = sum(row.weights for row in rows)
    return sum(row.macs for row in rows) / weights if weights else None


@dataclass(frozen=True)
class _Axis:
    """One side of a window layer: pixels before and after, and how the window goes over it."""

    before: int
    after: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    ceil: bool

    @property
    def padded(self) -> int:
        return self.before + 2 * self.padding

    @property
    def span(self) -> int:
        return self.dilation * (self.kernel - 1) + 1

    @property
    def end(self) -> int:
        """Where the last window ends, counted from the start of the padding."""
        return (self.after - 1) * self.stride + self.span

    def read(self) -> list[int]:
        """The positions that the windows read, once for each reading."""
        return [i * self.stride + j * self.dilation for i in range(self.after) for j in range(self.kernel)]

    def pixels(self, positions: Iterable[int]) -> int:
        """How many of the positions are pixels of the input, not padding."""
        return sum(self.padding <= at < self.padding + self.before for at in positions)


def _calls(table: Table, layer: str) -> Iterator[Fact]:
    names = list(dict.fromkeys(row.name for row in table.rows))
    found = [i for i, row in enumerate(table.rows) if layer in (row.name, place(row.name))]
    if not found:
        nearest = difflib.get_close_matches(layer, names, 1, cutoff=0.3)
        raise UsageError(
            "CN202",
            f"the net has no layer {layer}",
            where=f"its layers are {', '.join(name or place(name) for name in names)}",
            hint=nearest[0] if nearest else (),
        )
    for number, index in enumerate(found, 1):
        if len(found) > 1:
            yield "call", {"number": number, "calls": len(found)}
        yield from _layer(table, index)


def _layer(table: Table, index: int) -> Iterator[Fact]:
    row = table.rows[index]
    part = role(row)
    window = {"kernel": times(row.kernel or ()), "stride": _each(row.stride), "padding": _each(row.padding)}
    key = part if part != "pool" or row.kernel else "adaptive"
    yield key, {"name": place(row.name), "kind": row.kind, **window, **_shapes(row), "parameters": row.parameters}
    if part == "uncalled":
        return
    if part in ("conv", "local", "pool") and row.kernel:
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
    kernel, groups = " x ".join(map(str, row.kernel or ())), row.groups or 1
    if part in ("conv", "local"):
        if groups > 1:
            own = {"outputs": row.outputs[0] // groups, "seen": _seen(row), "inputs": row.inputs[0]}
            yield "groups", {"groups": groups, **own}
        of = {"shape": times(row.outputs, " x "), "outputs": math.prod(row.outputs), "seen": _seen(row)}
        yield "conv_macs", {**of, "kernel": kernel, "taps": _taps(row), "macs": row.macs}
        if wasted := _on_padding(row):
            yield "on_padding", {"macs": wasted}
        if row.weights * math.prod(row.outputs[1:]) == row.macs:
            yield "uses", {"shape": times(row.outputs[1:], " x "), "uses": math.prod(row.outputs[1:])}
    elif part == "dense":
        of = {"outputs": math.prod(row.outputs), "inputs": row.inputs[-1], "macs": row.macs}
        yield "dense_macs" if row.weights == row.macs else "dense_macs_again", of
    elif row.macs:
        yield "plain_macs", {"macs": row.macs}


def _parameters(row: Row, part: str) -> Fact:
    counts = {"weights": row.weights, "biases": row.biases, "parameters": row.parameters}
    if part == "conv" and row.weights == row.outputs[0] * _taps(row) and row.biases in (0, row.outputs[0]):
        kernel = " x ".join(map(str, row.kernel or ()))
        return "conv_parameters", {"kernels": row.outputs[0], "seen": _seen(row), "kernel": kernel, **counts}
    if part == "dense" and row.weights == row.inputs[-1] * row.outputs[-1] and row.biases in (0, row.outputs[-1]):
        return "dense_parameters", {"outputs": row.outputs[-1], "inputs": row.inputs[-1], **counts}
    if not row.parameters:
        return ("shared" if part in ("conv", "dense") else "no_parameters"), {}
    return "parameters", counts


def _sides(row: Row) -> Iterator[Fact]:
    """The sum behind the output side, and which pixels no window reads."""
    axes = _axes(row)
    if not axes:
        yield "side_untold", {"before": side(row.inputs[1:]), "after": side(row.outputs[1:])}
        return
    alike = len(set(axes)) == 1
    names = ["side"] if alike else ["height", "width"] if len(axes) == 2 else ["axis"] * len(axes)
    for name, axis in zip(names, axes[:1] if alike else axes, strict=True):
        yield from _side(axis, name if len(axes) == 2 else "axis")
    if alike and max(row.stride or ()) > 1:
        low, high = _reach([row], row.outputs[1])
        yield "same_map", {"low": low, "high": high, "after": row.outputs[1], "next": high + 1}


def _side(axis: _Axis, name: str) -> Iterator[Fact]:
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
    if axes := _axes(row):
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
        yield "from_picture", {"shape": times(table.input_shape, " x "), "numbers": numbers}


def _from_map(table: Table, row: Row, numbers: int) -> Iterator[Fact]:
    channels, sides = row.outputs[0], row.outputs[1:]
    of = {"numbers": numbers, "name": place(row.name), "channels": channels, "side": side(sides)}
    yield "from_map", {**of, "sum": times(row.outputs, " x ")}
    chain = _chain(table)
    if chain and chain[-1].outputs[1:] == sides:
        yield "by_way_of", {"path": " -> ".join(str(n) for n in (chain[0].inputs[1], *(r.outputs[1] for r in chain)))}
        low, high = _reach(chain, sides[0])
        yield "fitting", {"low": low, "high": high, "side": sides[0], "numbers": numbers}


def _net(table: Table) -> Iterator[Fact]:
    convs, dense = ([row for row in table.rows if role(row) == part] for part in ("conv", "dense"))
    carrying = sum(row.parameters > 0 for row in table.rows)
    yield "net", {"rows": len(table.rows), "carrying": carrying, "convs": len(convs), "dense": len(dense)}
    yield "path", {"path": " -> ".join(_stations(table))}
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
    """Other sizes of picture that give the same first map, where the stride makes that possible."""
    row = next((row for row in table.rows if row.kernel and _axes(row)), None)
    if not row or row.inputs != table.input_shape or len(set(_axes(row))) > 1 or max(row.stride or ()) == 1:
        return
    yield "first_sum", {"name": place(row.name), "sum": window_sum(_plain(row))[0], "after": row.outputs[1]}
    low, high = _reach([row], row.outputs[1])
    yield "same_map", {"low": low, "high": high, "after": row.outputs[1], "next": high + 1}


def _needs(table: Table) -> Iterator[Fact]:
    """Memory: the weights, and what training keeps beside them."""
    size = table.weight_bytes
    yield "size", {"bytes": size, "mb": _millions(size), "mib": _millions(size, 2**20)}
    learnt = sum(row.weight_bytes * row.trainable // row.parameters for row in table.rows if row.parameters)
    if learnt:
        yield "training", {name: _millions(size + (n - 1) * learnt) for name, n in _STATES.items()}
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
    if adding and all(role(row) in ("conv", "dense") for row in adding):
        adds = sum(math.prod(row.outputs) for row in adding)
        yield "with_adds", {"adds": adds, "macs": table.macs + adds}
    wasted = sum(map(_on_padding, convs))
    if wasted and all(_axes(row) for row in convs):
        yield "without_padding", {"macs": wasted, "left": table.macs - wasted}
    if table.unlisted:
        yield "unlisted", {"operations": ", ".join(f"{op} x{n}" for op, n in table.unlisted.items())}


def _stations(table: Table) -> Iterator[str]:
    """The sides on the way; a number without a name is what forward() itself made."""
    rows = [row for row in table.rows if row.inputs and row.outputs]
    resizing = [row for row in rows if row.inputs[1:] != row.outputs[1:] or len(row.inputs) != len(row.outputs)]
    rows = [row for row in rows if row.kernel or row.macs or row in resizing]
    before = table.input_shape
    yield _sides_of(before)
    for row in rows if len(rows) <= _MANY else resizing:
        if _sides_of(row.inputs) != _sides_of(before) and len(rows) <= _MANY:
            yield _sides_of(row.inputs)
        before = row.outputs
        yield f"{place(row.name)} {_sides_of(before)}"


def _chain(table: Table) -> list[Row]:
    """The window layers from the picture to the first dense layer, if they are one chain of squares; else none."""
    if len(set(table.input_shape[1:])) != 1 or any("adaptive" in op or "upsample" in op for op in table.unlisted):
        return []
    at = table.input_shape[1:]
    chain: list[Row] = []
    for row in table.rows:
        if role(row) == "dense":
            break
        resizes = row.kernel or "Adaptive" in row.kind or row.inputs[1:] != row.outputs[1:]
        if len(row.outputs) != len(table.input_shape) or not resizes:
            continue
        if row.inputs[1:] != at or len(set(_axes(row))) != 1:
            return []
        chain, at = [*chain, row], row.outputs[1:]
    return chain


def _reach(rows: Sequence[Row], output: int) -> tuple[int, int]:
    """The smallest and the largest input side that give the same output side through all these layers."""
    low = high = output
    for row in reversed(rows):
        smallest = largest = row.inputs[1]
        while smallest > 1 and _gives(row, smallest - 1) >= low:
            smallest -= 1
        while _gives(row, largest + 1) <= high:
            largest += 1
        low, high = smallest, largest
    return low, high


def _gives(row: Row, before: int) -> int:
    resized = replace(_plain(row), inputs=(row.inputs[0], *[before] * len(row.inputs[1:])))
    return window_sum(resized)[1][0]


def _axes(row: Row) -> tuple[_Axis, ...]:
    """The sides of a window layer; none where the formula of windows does not give what the layer gave."""
    row = _plain(row)
    text, sides = window_sum(row)
    if not text or sides != row.outputs[1:]:
        return ()
    dilation: Any = row.dilation or (1,) * len(sides)
    columns: Any = (row.inputs[1:], sides, row.kernel, row.stride, row.padding, dilation, [row.ceil] * len(sides))
    return tuple(_Axis(*values) for values in zip(*columns, strict=True))


def _plain(row: Row) -> Row:
    """Padding "valid" and symmetrical "same" as numbers."""
    if row.padding == "valid":
        return replace(row, padding=(0,) * len(row.kernel or ()))
    if row.padding == "same" and all(width % 2 for width in span(row)):
        return replace(row, padding=tuple(width // 2 for width in span(row)))
    return row


def _on_padding(row: Row) -> int:
    """MACs of a convolution whose tap meets padding."""
    axes = _axes(row)
    if not axes:
        return 0
    inside = math.prod(axis.pixels(axis.read()) for axis in axes)
    return row.macs - row.outputs[0] * _seen(row) * inside


def _seen(row: Row) -> int:
    """Input channels that one kernel sees."""
    return row.inputs[0] // (row.groups or 1)


def _taps(row: Row) -> int:
    return _seen(row) * math.prod(row.kernel or ())


def _shapes(row: Row) -> dict[str, str]:
    return {"inputs": times(row.inputs), "outputs": times(row.outputs)}


def _each(value: tuple[int, ...] | str | None) -> str:
    return value if isinstance(value, str) else side(value or (0,))


def _sides_of(shape: Sequence[int]) -> str:
    return side(shape[1:] or shape)


def _percent(part: int, total: int) -> float:
    return 100 * part / total if total else 0.0


def _millions(size: int, unit: int = 10**6) -> str:
    return f"{size / unit:,.1f}" if size >= 10 * unit else f"{size / unit:.3f}"


# What is said, in each language: the same keys and fields; `{name}` is filled in from the table.
WORDS: dict[str, dict[str, str]] = {
    "en": {
        "call": "call {number} of {calls}",
        "conv": "{name} ({kind}) turns {inputs} into {outputs}: a convolution, kernel {kernel}, stride {stride}, "
        "padding {padding}",
        "local": "{name} ({kind}) turns {inputs} into {outputs}: as a convolution, kernel {kernel}, stride {stride}, "
        "padding {padding}, but every place has weights of its own",
        "dense": "{name} ({kind}) turns {inputs} into {outputs}: a dense layer, every output reads every input",
        "pool": "{name} ({kind}) turns {inputs} into {outputs}: pooling, window {kernel}, stride {stride}, "
        "padding {padding}",
        "adaptive": "{name} ({kind}) turns {inputs} into {outputs}: its windows adapt, the output has this side "
        "whatever comes in",
        "other": "{name} ({kind}) turns {inputs} into {outputs}",
        "uncalled": "{name} ({kind}) is not called in this pass: {parameters:,} parameters that do no work",
        "side": "side",
        "height": "height",
        "width": "width",
        "axis": "length",
        "side_end": "columns on the right, and as many rows at the bottom,",
        "height_end": "rows at the bottom",
        "width_end": "columns on the right",
        "axis_end": "places at the end",
        "side_untold": "side: {before} becomes {after}",
        "sum_exact": "{axis}: {sum}, + 1 = {after}",
        "sum_floor": "{axis}: {sum}, floor {whole}, + 1 = {after}",
        "sum_ceil": "{axis}: {sum}, ceil {whole}, + 1 = {after}",
        "sum_dropped": "{axis}: {sum}, ceil {whole}, + 1, less the last window, which would start in the padding "
        "= {after}",
        "steps": "in words: of {padded} (padding included) the first window takes the beginning, then it moves {steps} "
        "times by {stride}, so there are {after} places",
        "unread": "{tail} of {padded} {ends} are never read: {pixels} of them input, the rest padding",
        "gaps": "between the windows, {gaps} of {padded} are never read: {pixels} of them input, the rest padding",
        "hangs_over": "the last window hangs {over} over the edge: {ends} that do not exist",
        "all_read": "nothing at the edges is left unread",
        "same_map": "inputs of {low}..{high} give the same {after}; the next larger map begins at {next}",
        "overlapping": "overlapping: the window of {kernel} is larger than the stride of {stride}, so neighbours share "
        "inputs",
        "tiling": "not overlapping: the window of {kernel} moves by {stride}, so every input is in at most a single "
        "window",
        "apart": "with gaps: the window of {kernel} is smaller than the stride of {stride} and skips inputs",
        "largest": "the largest",
        "mean": "the mean",
        "one_value": "a single value",
        "pooled": "each output is {taken} of the {taps} places in its window, channel by channel",
        "each_row": "inputs: each of {rows} rows of {numbers} numbers goes through the same weights",
        "from_forward": "inputs: {numbers} numbers, not the plain output of the layer before: forward() makes them",
        "from_units": "inputs: {numbers}, the outputs of {name}",
        "from_picture": "inputs: the picture itself, {shape} = {numbers} numbers",
        "from_map": "why {numbers}? {name} hands over {channels} channels of side {side}: {sum} = {numbers}",
        "by_way_of": "the side comes about so: {path}",
        "fitting": "pictures with a side of {low}..{high} end at side {side} and so fit the dense layer's {numbers} "
        "inputs; others do not",
        "conv_parameters": "parameters: {kernels} output x {seen} input channels x {kernel} = {weights:,} weights, "
        "+ {biases:,} biases = {parameters:,}",
        "dense_parameters": "parameters: {outputs} outputs x {inputs} inputs = {weights:,} weights, "
        "+ {biases:,} biases = {parameters:,}",
        "parameters": "parameters: {weights:,} weights + {biases:,} biases = {parameters:,}",
        "shared": "parameters: no new ones; its weights were counted at an earlier call or layer",
        "no_parameters": "parameters: none, nothing is learnt here",
        "groups": "groups: {groups}; the {outputs} kernels of a group see {seen} of the {inputs} input channels",
        "conv_macs": "MACs: {shape} = {outputs:,} outputs, each does {seen} x {kernel} = {taps:,} multiply-adds: "
        "{macs:,}",
        "on_padding": "of these, {macs:,} meet padding",
        "uses": "each weight is used at every place of the map: {shape} = {uses:,} times for a picture",
        "dense_macs": "MACs: {outputs:,} outputs, each does {inputs:,} multiply-adds: {macs:,}; each weight is used a "
        "single time for a picture",
        "dense_macs_again": "MACs: {outputs:,} outputs, each does {inputs:,} multiply-adds: {macs:,}",
        "plain_macs": "MACs: {macs:,}",
        "share": "share of the net: {parameters:.2f} % of the parameters, {macs:.2f} % of the MACs",
        "memory": "units {units:,}; memory: {weight_bytes:,} bytes of parameters, {bytes:,} bytes of new output for a "
        "picture",
        "does_ReLU": "what it does: max(0, x); negative numbers become 0, positive ones pass with gradient 1",
        "does_Sigmoid": "what it does: 1 / (1 + exp(-x)); the outputs lie between 0 and 1, and far from 0 the gradient "
        "almost vanishes",
        "does_Tanh": "what it does: tanh(x); the outputs lie between -1 and 1, and far from 0 the gradient almost "
        "vanishes",
        "does_Dropout": "what it does: in training it sets numbers to 0 at random and scales up the rest; in "
        "evaluation it does nothing",
        "does_Flatten": "what it does: lays the axes out as a single one; no number changes",
        "does_Softmax": "what it does: exp(x) divided by its sum; the outputs are positive and add up to 1",
        "does_LocalResponseNorm": "what it does: divides each number by a sum over neighbouring channels at its place",
        "does_BatchNorm2d": "what it does: brings each channel to mean 0 and variance 1, then scales and shifts it",
        "net": "layers: {rows} calls, {carrying} of them with parameters; {convs} convolutions, {dense} dense",
        "path": "sides: {path}",
        "first_sum": "the first map: {name} gives {sum} = {after}",
        "sums": "parameters: {weights:,} weights + {biases:,} biases = {parameters:,}",
        "hold": "where they sit: convolutions {convs:,} ({convs_share:.1f} %), dense layers {dense:,} "
        "({dense_share:.1f} %), the rest {rest:,}; most in {name}: {most:,} ({most_share:.1f} %)",
        "work": "MACs: {total:,}; convolutions {convs:,} ({convs_share:.1f} %), dense layers {dense:,} "
        "({dense_share:.1f} %), the rest {rest:,}; most in {name}: {most:,} ({most_share:.1f} %)",
        "the_other_way": "so the parameters sit in the dense layers ({parameters:.1f} %) and the work in the "
        "convolutions ({macs:.1f} %)",
        "mean_uses": "uses per weight: {macs:,} MACs / {weights:,} weights = {uses:,.1f}",
        "why_uses": "why: a kernel is used at every place of its map, here {convs:,.1f} times for a picture on "
        "average; a weight of a dense layer {dense:,.1f} times",
        "size": "memory of the parameters: {bytes:,} bytes = {mb} MB = {mib} MiB",
        "training": "training keeps: weights and gradients, {sgd} MB with plain SGD; also a velocity with momentum, "
        "{momentum} MB; also two moments with Adam, {adam} MB",
        "activations": "outputs of the layers: {bytes:,} bytes = {mb} MB for a picture; a batch of {batch}: "
        "{batch_mb} MB",
        "mlp": "dense layers only, with the same inputs and the net's own dense widths, {widths}: {parameters:,} "
        "parameters, {macs:,} MACs",
        "mlp_hidden": "dense layers only, with the same inputs and a hidden layer as in the book, {widths}: "
        "{parameters:,} parameters, {macs:,} MACs",
        "mlp_holds": "so this net has fewer weights and more multiplications: those have {parameters:,.2f} times its "
        "parameters, and it does {macs:,.2f} times their MACs",
        "mlp_fails": "'fewer weights, more multiplications' does not hold here: the net has {parameters:,.2f} times "
        "their parameters and {macs:,.2f} times their MACs",
        "counted": "counted: {macs:,} MACs with taps on padding; additions of biases, activations, pooling and "
        "normalisation not; {units:,} units, the outputs of layers with weights (normalisation has none)",
        "flops": "other conventions: FLOPs = 2 x MACs = {flops:,}",
        "with_adds": "with the {adds:,} additions of biases: {macs:,}",
        "without_padding": "without the {macs:,} taps on padding: {left:,} MACs",
        "unlisted": "in forward(), outside any layer and not in the MACs: {operations}",
    },
    "zh": {
        "call": "第 {number} 次调用（共 {calls} 次）",
        "conv": "{name}（{kind}）把 {inputs} 变成 {outputs}：卷积，卷积核 {kernel}，步幅 {stride}，填充 {padding}",
        "local": "{name}（{kind}）把 {inputs} 变成 {outputs}：类似卷积，但每个位置有自己的权重，"
        "卷积核 {kernel}，步幅 {stride}，填充 {padding}",
        "dense": "{name}（{kind}）把 {inputs} 变成 {outputs}：全连接层，每个输出都读取全部输入",
        "pool": "{name}（{kind}）把 {inputs} 变成 {outputs}：汇聚层，窗口 {kernel}，步幅 {stride}，填充 {padding}",
        "adaptive": "{name}（{kind}）把 {inputs} 变成 {outputs}：窗口自适应，不论输入多大，输出边长不变",
        "other": "{name}（{kind}）把 {inputs} 变成 {outputs}",
        "uncalled": "{name}（{kind}）在这次前向传播中没有被调用：{parameters:,} 个参数不参与计算",
        "side": "边长",
        "height": "高",
        "width": "宽",
        "axis": "长度",
        "side_end": "右边的列（底边的行也一样）",
        "height_end": "底边的行",
        "width_end": "右边的列",
        "axis_end": "末端的位置",
        "side_untold": "边长：{before} 变成 {after}",
        "sum_exact": "{axis}：{sum}，+ 1 = {after}",
        "sum_floor": "{axis}：{sum}，向下取整 {whole}，+ 1 = {after}",
        "sum_ceil": "{axis}：{sum}，向上取整 {whole}，+ 1 = {after}",
        "sum_dropped": "{axis}：{sum}，向上取整 {whole}，+ 1，再去掉会从填充处开始的最后一个窗口 = {after}",
        "steps": "也就是说：连同填充共 {padded}，第一个窗口在开头，再移动 {steps} 次，步幅 {stride}，"
        "所以有 {after} 个位置",
        "unread": "从未读到的有 {tail}（共 {padded}）：{ends}；其中 {pixels} 属于输入，其余是填充",
        "gaps": "窗口之间从未读到的有 {gaps}（共 {padded}）：其中 {pixels} 属于输入，其余是填充",
        "hangs_over": "最后一个窗口超出边缘 {over}：{ends}，那里并没有数据",
        "all_read": "边缘没有漏读",
        "same_map": "输入边长为 {low}..{high} 时结果同样是 {after}；从 {next} 起输出才变大",
        "overlapping": "有重叠：窗口 {kernel} 大于步幅 {stride}，相邻窗口共用一部分输入",
        "tiling": "无重叠：窗口 {kernel} 每次移动 {stride}，每个输入最多属于一个窗口",
        "apart": "有间隔：窗口 {kernel} 小于步幅 {stride}，会跳过一些输入",
        "largest": "最大值",
        "mean": "平均值",
        "one_value": "一个值",
        "pooled": "逐个通道计算，每个输出取窗口内的{taken}，窗口有 {taps} 个位置",
        "each_row": "输入：{rows} 行中的每一行有 {numbers} 个数，都使用同一组权重",
        "from_forward": "输入：{numbers} 个数，不是前一层的直接输出，而由 forward() 产生",
        "from_units": "输入：{numbers}，即 {name} 的输出",
        "from_picture": "输入：图像本身，{shape} = {numbers} 个数",
        "from_map": "为什么是 {numbers}？{name} 交出 {channels} 个通道，边长 {side}：{sum} = {numbers}",
        "by_way_of": "边长的由来：{path}",
        "fitting": "图像边长为 {low}..{high} 时，最后的边长都是 {side}，正好符合全连接层的 {numbers} 个输入；"
        "其他边长不行",
        "conv_parameters": "参数：{kernels} 个输出通道 x {seen} 个输入通道 x {kernel} = {weights:,} 个权重，"
        "+ {biases:,} 个偏置 = {parameters:,}",
        "dense_parameters": "参数：{outputs} 个输出 x {inputs} 个输入 = {weights:,} 个权重，"
        "+ {biases:,} 个偏置 = {parameters:,}",
        "parameters": "参数：{weights:,} 个权重 + {biases:,} 个偏置 = {parameters:,}",
        "shared": "参数：没有新的；它的权重已在前面的调用或层中计入",
        "no_parameters": "参数：没有，这里不学习任何东西",
        "groups": "分组：{groups}；每组的 {outputs} 个卷积核只看 {seen} 个输入通道（共 {inputs} 个）",
        "conv_macs": "乘加：{shape} = {outputs:,} 个输出，每个做 {seen} x {kernel} = {taps:,} 次乘加：{macs:,}",
        "on_padding": "其中 {macs:,} 次落在填充上",
        "uses": "每个权重在输出的每个位置都用到：每张图像 {shape} = {uses:,} 次",
        "dense_macs": "乘加：{outputs:,} 个输出，每个做 {inputs:,} 次乘加：{macs:,}；每张图像中每个权重只用一次",
        "dense_macs_again": "乘加：{outputs:,} 个输出，每个做 {inputs:,} 次乘加：{macs:,}",
        "plain_macs": "乘加：{macs:,}",
        "share": "占整个网络：参数的 {parameters:.2f} %，乘加的 {macs:.2f} %",
        "memory": "单元 {units:,}；内存：参数 {weight_bytes:,} 字节，每张图像新产生的输出 {bytes:,} 字节",
        "does_ReLU": "作用：max(0, x)；负数变成 0，正数原样通过，梯度为 1",
        "does_Sigmoid": "作用：1 / (1 + exp(-x))；输出在 0 和 1 之间，远离 0 时梯度几乎消失",
        "does_Tanh": "作用：tanh(x)；输出在 -1 和 1 之间，远离 0 时梯度几乎消失",
        "does_Dropout": "作用：暂退法；训练时随机把一些数置为 0，并放大其余的数；评估时什么也不做",
        "does_Flatten": "作用：把各个轴展平成一个轴；数值不变",
        "does_Softmax": "作用：exp(x) 除以它们的和；输出为正，总和为 1",
        "does_LocalResponseNorm": "作用：把每个数除以同一位置上相邻通道的某个和",
        "does_BatchNorm2d": "作用：使每个通道的均值为 0、方差为 1，再缩放和平移",
        "net": "层：{rows} 次调用，其中 {carrying} 次带参数；{convs} 个卷积层，{dense} 个全连接层",
        "path": "边长：{path}",
        "first_sum": "第一个特征图：{name} 给出 {sum} = {after}",
        "sums": "参数：{weights:,} 个权重 + {biases:,} 个偏置 = {parameters:,}",
        "hold": "参数在哪里：卷积层 {convs:,}（{convs_share:.1f} %），全连接层 {dense:,}（{dense_share:.1f} %），"
        "其余 {rest:,}；最多的是 {name}：{most:,}（{most_share:.1f} %）",
        "work": "乘加：{total:,}；卷积层 {convs:,}（{convs_share:.1f} %），全连接层 {dense:,}（{dense_share:.1f} %），"
        "其余 {rest:,}；最多的是 {name}：{most:,}（{most_share:.1f} %）",
        "the_other_way": "所以参数主要在全连接层（{parameters:.1f} %），计算主要在卷积层（{macs:.1f} %）",
        "mean_uses": "每个权重的使用次数：{macs:,} 次乘加 / {weights:,} 个权重 = {uses:,.1f}",
        "why_uses": "原因：卷积核在输出的每个位置都用到，每张图像平均 {convs:,.1f} 次；全连接层的权重 {dense:,.1f} 次",
        "size": "参数占用的内存：{bytes:,} 字节 = {mb} MB = {mib} MiB",
        "training": "训练时要保存：权重和梯度，普通 SGD {sgd} MB；动量法另加速度，{momentum} MB；"
        "Adam 另加两个矩，{adam} MB",
        "activations": "各层的输出：每张图像 {bytes:,} 字节 = {mb} MB；批量大小 {batch} 时 {batch_mb} MB",
        "mlp": "只用全连接层，输入相同，宽度取自网络自己的全连接层，{widths}：{parameters:,} 个参数，{macs:,} 次乘加",
        "mlp_hidden": "只用全连接层，输入相同，隐藏层与书中相同，{widths}：{parameters:,} 个参数，{macs:,} 次乘加",
        "mlp_holds": "所以这个网络权重更少，乘法更多：前者的参数"
        "是它的 {parameters:,.2f} 倍，它的乘加是前者的 {macs:,.2f} 倍",
        "mlp_fails": "“权重更少，乘法更多”在这里不成立：它的参数"
        "是前者的 {parameters:,.2f} 倍，乘加是前者的 {macs:,.2f} 倍",
        "counted": "计入：{macs:,} 次乘加，包括落在填充上的；不计偏置的加法、激活函数、汇聚层和规范化；"
        "{units:,} 个单元，即带权重的层的输出（规范化没有单元）",
        "flops": "其他算法：FLOPs = 2 x 乘加 = {flops:,}",
        "with_adds": "加上 {adds:,} 次偏置加法：{macs:,}",
        "without_padding": "去掉落在填充上的 {macs:,} 次：{left:,} 次乘加",
        "unlisted": "在 forward() 中、不属于任何层、不计入乘加：{operations}",
    },
}
