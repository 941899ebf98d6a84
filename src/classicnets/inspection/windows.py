"""The windows of a layer: whether it has some, where they lie and what they read; and the sides along a net."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from classicnets.inspection.arithmetic import place, side, span, window_sum
from classicnets.inspection.shapes import Row, Table

_MANY = 40  # stations of a path; in a longer one only those that change the side are named


@dataclass(frozen=True)
class Axis:
    """One side of a window layer: pixels before and after, and how the window goes over it."""

    before: int
    after: int
    kernel: int
    span: int  # what the window covers, holes of a dilated one included
    stride: int
    padding: int
    dilation: int
    ceil: bool

    @property
    def padded(self) -> int:
        """Pixels before, with the padding at both ends."""
        return self.before + 2 * self.padding

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


def role(row: Row) -> str:
    """What a layer does: conv, sparse (a conv that reads some of the maps), local (weights of its own at each place),
    dense, pool, other, or uncalled.

    Layers with MACs are known by these, so that a subclass under any name is one too.
    """
    if not row.inputs or not row.outputs:
        return "other" if row.inputs or row.outputs else "uncalled"
    if row.kernel and row.macs and "Transpose" not in row.kind:
        if row.macs != math.prod(row.outputs) * taps(row):
            return "sparse" if _is_sparse(row) else "other"
        return "local" if row.weights == row.macs and math.prod(row.outputs[1:]) > 1 else "conv"
    carries = row.weights or "Linear" in row.kind  # the weights of a second call were counted in the first
    if carries and not row.kernel and row.macs and row.macs == math.prod(row.outputs) * row.inputs[-1]:
        return "dense"
    window = row.kernel or row.kind.startswith("Adaptive")
    return "pool" if "Pool" in row.kind and window and not row.parameters else "other"


def _is_sparse(row: Row) -> bool:
    """Whether whole kernels are used at every place, but fewer than there are pairs of maps."""
    area, places = math.prod(row.kernel or ()), math.prod(row.outputs[1:])
    return row.weights % area == 0 and row.weights * places == row.macs < math.prod(row.outputs) * taps(row)


def axes_of(row: Row) -> tuple[Axis, ...]:
    """The sides of a window layer; none where the formula of windows does not give what the layer gave."""
    row = plain(row)
    text, sides = window_sum(row)
    if not text or sides != row.outputs[1:]:
        return ()
    dilation: Any = row.dilation or (1,) * len(sides)
    windows: Any = (row.kernel, span(row), row.stride, row.padding, dilation, [row.ceil] * len(sides))
    return tuple(Axis(*values) for values in zip(row.inputs[1:], sides, *windows, strict=True))


def plain(row: Row) -> Row:
    """Padding "valid" and symmetrical "same" as numbers."""
    if row.padding == "valid":
        return replace(row, padding=(0,) * len(row.kernel or ()))
    if row.padding == "same" and all(width % 2 for width in span(row)):
        return replace(row, padding=tuple(width // 2 for width in span(row)))
    return row


def reach(rows: Sequence[Row], output: int) -> tuple[int, int]:
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
    resized = replace(plain(row), inputs=(row.inputs[0], *[before] * len(row.inputs[1:])))
    return window_sum(resized)[1][0]


def chain_of(table: Table) -> list[Row]:
    """The window layers from the image to the first dense layer, if they are one chain of squares; else none."""
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
        if row.inputs[1:] != at or len(set(axes_of(row))) != 1:
            return []
        chain, at = [*chain, row], row.outputs[1:]
    return chain


def stations(table: Table) -> Iterator[str]:
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


def _sides_of(shape: Sequence[int]) -> str:
    return side(shape[1:] or shape)


def on_padding(row: Row) -> int:
    """MACs of a convolution whose tap meets padding."""
    axes = axes_of(row)
    if not axes:
        return 0
    inside = math.prod(axis.pixels(axis.read()) for axis in axes)
    kernels = row.macs // (math.prod(row.kernel or ()) * math.prod(row.outputs[1:]))
    return row.macs - kernels * inside


def seen(row: Row) -> int:
    """Input channels that one kernel sees."""
    return row.inputs[0] // (row.groups or 1)


def taps(row: Row) -> int:
    """Multiply-accumulates of one output of a convolution."""
    return seen(row) * math.prod(row.kernel or ())
