"""The calculation of a layer's output size as text.

A window turns an input size of n pixels into floor((n + 2*padding - kernel) / stride) + 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from classicnets.inspection.meta import Shape
from classicnets.inspection.shapes import Row
from classicnets.text import _, plural
from classicnets.text import shape as shape_text

_MAX_LINES = 8  # largest number of lines of a size path


def format_output_size(row: Row) -> str:
    """Return how a layer gets its output size: `conv1 32 -> floor((32 + 2*2 - 5) / 1) + 1 = 32`."""
    return f"{python_path(row.name)} {format_size_change(row)}"


def format_size_change(row: Row) -> str:
    """Return the same without the name of the layer: `32 -> floor((32 + 2*2 - 5) / 1) + 1 = 32`."""
    before, after = row.inputs[1:], row.outputs[1:]
    formula, sizes = output_size_formula(row)
    if not formula or sizes != after:
        return f"{format_size(before)} -> {format_size(after)}"
    return f"{format_size(before)} -> {formula} = {format_size(after)}"


def format_size_path(rows: tuple[Row, ...]) -> list[str]:
    """Return one line for each layer with a window or a new size; for many layers, only those with a new size."""
    spatial = [row for row in rows if len(row.inputs) == len(row.outputs) >= 2]
    resizing = [row for row in spatial if row.inputs[1:] != row.outputs[1:]]
    spatial = [row for row in spatial if row.kernel or row in resizing]
    lines = [format_output_size(row) for row in (spatial if len(spatial) <= _MAX_LINES else resizing)]
    return lines if len(lines) <= _MAX_LINES else ["...", *lines[-_MAX_LINES:]]


def output_size_formula(row: Row) -> tuple[str, Shape]:
    """Return the formula with its numbers and the size it gives; ("", ()) if the layer follows another formula."""
    before, kernel, stride, padding = row.inputs[1:], row.kernel, row.stride, row.padding
    if kernel is None or stride is None or not isinstance(padding, tuple) or "Transpose" in row.kind:
        return "", ()
    if not len(before) == len(kernel) == len(stride) == len(padding):
        return "", ()
    window = f"- {format_size(kernel)}"
    if row.dilation and max(row.dilation) > 1:
        window = f"- {format_size(row.dilation)}*({format_size(kernel)} - 1) - 1"
    quotient = f"({format_size(before)} + 2*{format_size(padding)} {window}) / {format_size(stride)}"
    axes = [*zip(before, effective_kernel(row), stride, padding, strict=True)]
    if not row.ceil:
        return f"floor({quotient}) + 1", tuple((n + 2 * p - k) // s + 1 for n, k, s, p in axes)
    steps = [math.ceil((n + 2 * p - k) / s) for n, k, s, p in axes]
    dropped = [i * s >= n + p for i, (n, _kernel, s, p) in zip(steps, axes, strict=True)]
    formula = f"ceil({quotient}) + 1"
    if any(dropped):
        formula = _("{formula} - 1 (the last window would start in the padding)", formula=formula)
    return formula, tuple(i + 1 - drop for i, drop in zip(steps, dropped, strict=True))


def effective_kernel(row: Row) -> Shape:
    """Return the extent of a window, including the holes of a dilated one."""
    kernel = row.kernel or ()
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, row.dilation or (1,) * len(kernel), strict=True))


def format_product(rows: tuple[Row, ...], values: int) -> str:
    """Return "16 x 6 x 6 = 576 numbers" if a layer has an output of so many values, else "576 numbers"."""
    shapes = [row.outputs for row in rows if len(row.outputs) > 1 and math.prod(row.outputs) == values]
    if shapes:
        return _("{product} = {values} numbers", product=shape_text(shapes[-1], " x "), values=values)
    return plural("{n:,} number", "{n:,} numbers", values)


def python_path(name: str) -> str:
    """Return the path of a layer as written in Python: "fc1", "net[0]", "net.features[3]"."""
    if name.isidentifier():
        return name
    return "net" + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split(".") if part)


def format_size(sizes: Sequence[int]) -> str:
    """Return "5" for (5, 5) and "5x3" for (5, 3)."""
    return str(sizes[0]) if len(set(sizes)) == 1 else shape_text(sizes)


def format_inputs(shape: Shape) -> str:
    """Return what a batch consists of: "1x28x28 images", or "inputs of shape 784"."""
    if len(shape) == 3:
        return _("{shape} images", shape=shape_text(shape))
    return _("inputs of shape {shape}", shape=shape_text(shape))
