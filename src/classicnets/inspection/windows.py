"""The type of a layer, the positions of its windows and what they read, and the sizes along a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from classicnets.inspection.arithmetic import effective_kernel, format_size, output_size_formula, python_path
from classicnets.inspection.shapes import Row, Table

_MAX_STEPS = 40  # in a longer list of sizes, only the layers that change the size are named


@dataclass(frozen=True)
class Axis:
    """One axis of a layer with a window: input and output size in pixels, and how the window moves along it."""

    input_size: int
    output_size: int
    kernel: int
    extent: int  # size of the window, including the holes of a dilated one
    stride: int
    padding: int
    dilation: int
    ceil: bool

    @property
    def padded_size(self) -> int:
        """Input size with the padding at both ends."""
        return self.input_size + 2 * self.padding

    @property
    def window_end(self) -> int:
        """End of the last window, counted from the start of the padding."""
        return (self.output_size - 1) * self.stride + self.extent

    def read_positions(self) -> list[int]:
        """Return the positions that the windows read; a position that is read twice appears twice."""
        return [i * self.stride + j * self.dilation for i in range(self.output_size) for j in range(self.kernel)]

    def count_pixels(self, positions: Iterable[int]) -> int:
        """Return how many of the positions are pixels of the input, not padding."""
        return sum(self.padding <= position < self.padding + self.input_size for position in positions)


def layer_type(row: Row) -> str:
    """Return the type of a layer, by its numbers rather than its class name, so that custom modules are recognized.

    Returns:
        "conv", "sparse" (a convolution whose output channels read some of the input channels), "local" (each position
        has its own weights), "dense", "pool", "other", or "uncalled".
    """
    if not row.inputs or not row.outputs:
        return "other" if row.inputs or row.outputs else "uncalled"
    if row.kernel and row.macs and "Transpose" not in row.kind:
        if row.macs != math.prod(row.outputs) * taps(row):
            return "sparse" if _is_sparse(row) else "other"
        return "local" if row.weights == row.macs and math.prod(row.outputs[1:]) > 1 else "conv"
    # a second call has no weights: they are counted in the first one
    has_weights = row.weights or row.kind.endswith(("Linear", "DropConnect"))
    if has_weights and not row.kernel and row.macs and row.macs == math.prod(row.outputs) * row.inputs[-1]:
        return "dense"
    has_window = row.kernel or row.kind.startswith("Adaptive")
    return "pool" if "Pool" in row.kind and has_window and not row.parameters else "other"


def _is_sparse(row: Row) -> bool:
    """Whether whole kernels are used at every position, but fewer than there are pairs of channels."""
    area, positions = math.prod(row.kernel or ()), math.prod(row.outputs[1:])
    return row.weights % area == 0 and row.weights * positions == row.macs < math.prod(row.outputs) * taps(row)


def window_axes(row: Row) -> tuple[Axis, ...]:
    """Return the axes of a layer with a window; () if the window formula does not give the layer's output size."""
    row = with_numeric_padding(row)
    formula, sizes = output_size_formula(row)
    if not formula or sizes != row.outputs[1:]:
        return ()
    dilation: Any = row.dilation or (1,) * len(sizes)
    windows: Any = (row.kernel, effective_kernel(row), row.stride, row.padding, dilation, [row.ceil] * len(sizes))
    return tuple(Axis(*values) for values in zip(row.inputs[1:], sizes, *windows, strict=True))


def with_numeric_padding(row: Row) -> Row:
    """Return the row with the paddings "valid" and symmetric "same" as numbers."""
    if row.padding == "valid":
        return replace(row, padding=(0,) * len(row.kernel or ()))
    if row.padding == "same" and all(width % 2 for width in effective_kernel(row)):
        return replace(row, padding=tuple(width // 2 for width in effective_kernel(row)))
    return row


def input_range(rows: Sequence[Row], output_size: int) -> tuple[int, int]:
    """Return the smallest and the largest input size that give the same output size through all these layers."""
    low = high = output_size
    for row in reversed(rows):
        smallest = largest = row.inputs[1]
        while smallest > 1 and _output_size(row, smallest - 1) >= low:
            smallest -= 1
        while _output_size(row, largest + 1) <= high:
            largest += 1
        low, high = smallest, largest
    return low, high


def _output_size(row: Row, input_size: int) -> int:
    resized = replace(with_numeric_padding(row), inputs=(row.inputs[0], *[input_size] * len(row.inputs[1:])))
    return output_size_formula(resized)[1][0]


def window_chain(table: Table) -> list[Row]:
    """Return the layers with windows before the first dense layer if they form one chain of square sizes, else []."""
    if len(set(table.input_shape[1:])) != 1 or any("adaptive" in op or "upsample" in op for op in table.unlisted):
        return []
    size = table.input_shape[1:]
    chain: list[Row] = []
    for row in table.rows:
        if layer_type(row) == "dense":
            break
        resizes = row.kernel or "Adaptive" in row.kind or row.inputs[1:] != row.outputs[1:]
        if len(row.outputs) != len(table.input_shape) or not resizes:
            continue
        if row.inputs[1:] != size or len(set(window_axes(row))) != 1:
            return []
        chain, size = [*chain, row], row.outputs[1:]
    return chain


def size_steps(table: Table) -> Iterator[str]:
    """Yield the sizes along the network; a number without a layer name is computed by forward() itself."""
    rows = [row for row in table.rows if row.inputs and row.outputs]
    resizing = [row for row in rows if row.inputs[1:] != row.outputs[1:] or len(row.inputs) != len(row.outputs)]
    rows = [row for row in rows if row.kernel or row.macs or row in resizing]
    shape = table.input_shape
    yield _format_shape_size(shape)
    for row in rows if len(rows) <= _MAX_STEPS else resizing:
        if _format_shape_size(row.inputs) != _format_shape_size(shape) and len(rows) <= _MAX_STEPS:
            yield _format_shape_size(row.inputs)
        shape = row.outputs
        yield f"{python_path(row.name)} {_format_shape_size(shape)}"


def _format_shape_size(shape: Sequence[int]) -> str:
    return format_size(shape[1:] or shape)


def padding_macs(row: Row) -> int:
    """Return the MACs of a convolution whose taps are on padding."""
    axes = window_axes(row)
    if not axes:
        return 0
    inside = math.prod(axis.count_pixels(axis.read_positions()) for axis in axes)
    kernels = row.macs // (math.prod(row.kernel or ()) * math.prod(row.outputs[1:]))
    return row.macs - kernels * inside


def kernel_channels(row: Row) -> int:
    """Return the number of input channels that one kernel reads."""
    return row.inputs[0] // (row.groups or 1)


def taps(row: Row) -> int:
    """Return the multiply-accumulates of one output of a convolution."""
    return kernel_channels(row) * math.prod(row.kernel or ())
