"""Pooling as ONNX nodes that every runtime reads the same way.

Runtimes differ in how they round sizes up (`ceil_mode`) and in what they divide the sum of a window at the border by:
OpenCV 5.0 and NCNN count pixels that onnxruntime and torch do not. torch's exporter passes the question on, and drops
`divisor_override`. Here sizes are known, so padding and division are written out: a node pads what its windows reach,
no size is rounded up, and a constant factor corrects the averages of windows with another divisor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from classicnets import machine

Value: TypeAlias = Any  # a value of the graph


@dataclass(frozen=True)
class _Axis:
    """Windows along an axis of `length` pixels, as torch places them."""

    length: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    ceil_mode: bool

    @property
    def window(self) -> int:
        """Pixels from the first to the last of a window."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def count(self) -> int:
        """Number of windows. With `ceil_mode`, the last one must begin inside of the image or the padding before it."""
        steps = (self.length + 2 * self.padding - self.window) / self.stride
        if not self.ceil_mode:
            return math.floor(steps) + 1
        last = math.ceil(steps)
        return last if last * self.stride >= self.length + self.padding else last + 1

    @property
    def after(self) -> int:
        """Pixels beyond the end that the last window reaches."""
        return max(0, (self.count - 1) * self.stride - self.padding + self.window - self.length)

    @property
    def end_padding(self) -> int:
        """The padding at the end, if it adds no window; NCNN's converter needs it to be that of the start."""
        return self.padding if (self.length + 2 * self.padding - self.window) // self.stride + 1 == self.count else 0

    def divisors(self, *, with_padding: bool) -> np.ndarray:
        """The pixels of each window that its average counts, int64 [count]: those of the image, or also the padding."""
        start = np.arange(self.count) * self.stride - self.padding
        end = np.minimum(start + self.kernel, self.length + self.padding)
        return end - start if with_padding else np.minimum(end, self.length) - np.maximum(start, 0)


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return how `torch.onnx.export` translates pooling: its `custom_translation_table`."""
    aten = torch.ops.aten
    table: dict[Callable[..., Any], Callable[..., Any]] = dict.fromkeys(
        (aten.avg_pool1d.default, aten.avg_pool2d.default, aten.avg_pool3d.default), average_pool
    )
    return table | dict.fromkeys((aten.max_pool1d.default, aten.max_pool2d.default, aten.max_pool3d.default), max_pool)


def average_pool(
    x: Value,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    """Translate average pooling of one, two or three axes; the arguments are those of `torch.nn.functional`."""
    axes, rank = _axes(x, kernel_size, stride, padding, (1,), ceil_mode=ceil_mode), len(x.shape)
    divisors = np.array(1)
    for axis in axes:
        divisors = np.multiply.outer(divisors, axis.divisors(with_padding=count_include_pad))
    if divisor_override is not None:
        divisors = np.full_like(divisors, divisor_override)
    before, after = [axis.padding for axis in axes], [axis.after for axis in axes]
    op = _operators()
    if any(before + after):
        outer = [0] * (rank - len(axes))
        x = op.Pad(x, [*outer, *before, *outer, *after])
    y = _batched(op, x, rank == len(axes) + 1, lambda batch: op.AveragePool(batch, **_attributes(axes)))
    factors = (math.prod(axis.kernel for axis in axes) / divisors).astype(np.float32)
    if (factors == 1).all():
        return y
    if np.ptp(factors) == 0:
        factors = factors.reshape(-1)[:1].reshape(())  # one number for all
    return op.Mul(y, op.Constant(value=machine.require("onnxscript", extra="export").ir.tensor(factors)))


def max_pool(
    x: Value,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Value:
    """Translate max pooling of one, two or three axes; the arguments are those of `torch.nn.functional`.

    ONNX's MaxPool ignores what it pads, so no other node has to pad.
    """
    axes = _axes(x, kernel_size, stride, padding, dilation, ceil_mode=ceil_mode)
    attributes = _attributes(axes)
    before, after = [axis.padding for axis in axes], [max(axis.after, axis.end_padding) for axis in axes]
    if any(before + after):
        attributes["pads"] = before + after
    if any(axis.dilation > 1 for axis in axes):
        attributes["dilations"] = [axis.dilation for axis in axes]
    op = _operators()
    return _batched(op, x, len(x.shape) == len(axes) + 1, lambda batch: op.MaxPool(batch, **attributes)[0])


def _operators() -> Any:
    """The operators of ONNX, as functions."""
    return machine.require("onnxscript", extra="export").opset20


def _axes(
    x: Value,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    *,
    ceil_mode: bool,
) -> list[_Axis]:
    """The axes that are pooled: the last ones, one for each number of `kernel_size`."""
    n = len(kernel_size)
    strides, paddings, dilations = (
        [*values] * (n if len(values) == 1 else 1) for values in (stride or kernel_size, padding, dilation)
    )
    settings = zip(x.shape[-n:], kernel_size, strides, paddings, dilations, strict=True)
    return [_Axis(*numbers, ceil_mode) for numbers in settings]


def _attributes(axes: Sequence[_Axis]) -> dict[str, list[int]]:
    """The attributes of every pooling node."""
    return {"kernel_shape": [axis.kernel for axis in axes], "strides": [axis.stride for axis in axes]}


def _batched(op: Any, x: Value, without_batch: bool, pool: Callable[[Value], Value]) -> Value:
    """Call `pool` with an axis for the batch, which torch does not need."""
    return op.Squeeze(pool(op.Unsqueeze(x, [0])), [0]) if without_batch else pool(x)
