"""The sum of a layer in words.

A layer with a window turns a side of n pixels into floor((n + 2*padding - kernel) / stride) + 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from classicnets.inspection.meta import Shape
from classicnets.inspection.shapes import Row
from classicnets.text import count
from classicnets.text import shape as shape_text

_LINES = 8  # of a path


def arithmetic(row: Row) -> str:
    """How a layer with a window comes to its output side: `conv1 32 -> floor((32 + 2*2 - 5) / 1) + 1 = 32`."""
    before, after = row.inputs[1:], row.outputs[1:]
    text, sides = window_sum(row)
    if not text or sides != after:
        return f"{place(row.name)} {side(before)} -> {side(after)}"
    return f"{place(row.name)} {side(before)} -> {text} = {side(after)}"


def path(rows: tuple[Row, ...]) -> list[str]:
    """The layers that have a window or change the side, a line each; in a long net only those that change the side."""
    maps = [row for row in rows if len(row.inputs) == len(row.outputs) >= 2]
    resizing = [row for row in maps if row.inputs[1:] != row.outputs[1:]]
    maps = [row for row in maps if row.kernel or row in resizing]
    lines = [arithmetic(row) for row in (maps if len(maps) <= _LINES else resizing)]
    return lines if len(lines) <= _LINES else ["...", *lines[-_LINES:]]


def window_sum(row: Row) -> tuple[str, Shape]:
    """The formula with its numbers and what it gives for each side; no text where the formula is another one."""
    before, kernel, stride, padding = row.inputs[1:], row.kernel, row.stride, row.padding
    if kernel is None or stride is None or not isinstance(padding, tuple) or "Transpose" in row.kind:
        return "", ()
    if not len(before) == len(kernel) == len(stride) == len(padding):
        return "", ()
    window = f"- {side(kernel)}"
    if row.dilation and max(row.dilation) > 1:
        window = f"- {side(row.dilation)}*({side(kernel)} - 1) - 1"
    text = f"({side(before)} + 2*{side(padding)} {window}) / {side(stride)}"
    if not row.ceil:
        sides = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(before, span(row), stride, padding, strict=True))
        return f"floor({text}) + 1", sides
    steps = [math.ceil((n + 2 * p - k) / s) for n, k, s, p in zip(before, span(row), stride, padding, strict=True)]
    outside = [i * s >= n + p for i, n, s, p in zip(steps, before, stride, padding, strict=True)]
    dropped = " - 1 (the last window would start in the padding)" if any(outside) else ""
    return f"ceil({text}) + 1{dropped}", tuple(i + 1 - out for i, out in zip(steps, outside, strict=True))


def span(row: Row) -> Shape:
    """What a window covers, holes of a dilated one included."""
    kernel = row.kernel or ()
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, row.dilation or (1,) * len(kernel), strict=True))


def product(rows: tuple[Row, ...], numbers: int) -> str:
    """16 x 6 x 6 = 576 numbers, where a map of that size went by."""
    maps = [row.outputs for row in rows if len(row.outputs) > 1 and math.prod(row.outputs) == numbers]
    return f"{shape_text(maps[-1], ' x ')} = {numbers} numbers" if maps else count(numbers, "number")


def place(name: str) -> str:
    """The path of a layer as Python spells it: "fc1", "net[0]", "net.features[3]"."""
    if name.isidentifier():
        return name
    return "net" + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split(".") if part)


def side(sides: Sequence[int]) -> str:
    """5 where all sides are the same, else 5x3."""
    return str(sides[0]) if len(set(sides)) == 1 else shape_text(sides)


def images(shape: Shape) -> str:
    """What a batch consists of: 1x28x28 images."""
    return f"{shape_text(shape)} images" if len(shape) == 3 else f"inputs of shape {shape_text(shape)}"
