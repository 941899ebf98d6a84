"""Faster implementations of torch's layers, which replace them while a network is trained or used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from classicnets.acceleration import dropout
from classicnets.models import layers
from classicnets.models.lrn import needs_plain_operations

_MIN_VALUES = 50_000  # in a tensor; below this torch is as fast
_MAX_WINDOW = 9  # values in a window; above this torch is as fast

_Window = tuple[int, int]  # rows, columns


class AvgPool2d(nn.AvgPool2d):
    """Average pooling by slices. Values and gradients are bit for bit those of torch.

    torch processes one window after the other. If windows do not overlap, the first values of all windows are a strided
    slice, the second values another, and slices are added with vector instructions. For contiguous feature maps, the
    first pooling layer of LeNet takes 2.0 ms instead of 4.4 ms, forward and backward, and its training step 0.83 of the
    time (batch size 128, one thread with AVX-512). torch's operation is used for overlapping or padded windows, other
    dtypes and devices, when compiling, and for channels-last feature maps, where it is as fast. Max pooling by slices
    is slower with a gradient, and in evaluation it would save less than 5 % of an epoch.

    The class has the name of its base class, so that layer tables and `repr` do not change.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, H / rows, W / columns]."""
        # without padding and remaining columns, ceil_mode and count_include_pad have no effect
        window = _pair(self.kernel_size)
        no_stride = not isinstance(self.stride, int) and not self.stride
        stride = window if no_stride else _pair(self.stride)  # as in torch
        sliceable = stride == window and _pair(self.padding) == (0, 0) and self.divisor_override is None
        y = _average(input, window) if sliceable else None
        return super().forward(input) if y is None else y


class Subsampling(layers.Subsampling):
    """Subsampling that computes means by slices, as AvgPool2d does."""

    def window_mean(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] to [N, channels, H // size, W // size]."""
        y = _average(x, self.kernel_size)
        return super().window_mean(x) if y is None else y


def _average(x: Tensor, window: _Window) -> Tensor | None:
    """The means of windows that do not overlap; None unless slices are faster and bit for bit the same."""
    rows, columns = window
    if x.dim() != 4 or x.dtype != torch.float32 or not x.is_cpu or x.numel() < _MIN_VALUES or not x.is_contiguous():
        return None
    if not 1 < rows * columns <= _MAX_WINDOW or x.shape[2] % rows or x.shape[3] % columns or needs_plain_operations(x):
        return None
    y: Tensor = _Average.apply(x, window)  # type: ignore[no-untyped-call]
    return y


def _pair(value: int | Sequence[int]) -> _Window:
    rows, columns = (value, value) if isinstance(value, int) else tuple(value) * (2 if len(value) == 1 else 1)
    return rows, columns


def _slices(x: Tensor, window: _Window) -> Iterator[Tensor]:
    """The first values of all windows, then the second values, and so on, in row-major order of a window."""
    for row in range(window[0]):
        for column in range(window[1]):
            yield x[..., row :: window[0], column :: window[1]]


class _Average(torch.autograd.Function):
    """The mean of windows; saves no tensors for the backward pass."""

    @staticmethod
    def forward(ctx, x: Tensor, window: _Window) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.window = window
        first, second, *rest = _slices(x, window)
        total = first + second
        for values in rest:
            total += values
        return total.div_(window[0] * window[1])

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        rows, columns = ctx.window
        share = g / (rows * columns)
        gradient = g.new_empty(*g.shape[:2], g.shape[2] * rows, g.shape[3] * columns)
        for values in _slices(gradient, ctx.window):
            values.copy_(share)
        return gradient, None


# By exact type, because a subclass may compute something else.
_FASTER: dict[type[nn.Module], type[nn.Module]] = {
    nn.AvgPool2d: AvgPool2d,
    layers.Subsampling: Subsampling,
    nn.Dropout: dropout.Dropout,
    nn.Dropout1d: dropout.Dropout1d,
    nn.Dropout2d: dropout.Dropout2d,
    nn.Dropout3d: dropout.Dropout3d,
    layers.DropConnect: dropout.DropConnect,
}


@contextmanager
def faster_layers(net: nn.Module) -> Iterator[None]:
    """While open, layers of `net` have faster classes that compute the same; see `prepare.prepared`.

    Only the class of a layer changes. The module, its parameters, names, hooks, attributes and state dict stay the same
    objects.
    """
    replaced = [(layer, type(layer)) for layer in net.modules() if type(layer) in _FASTER]
    for layer, kind in replaced:
        layer.__class__ = _FASTER[kind]
    try:
        yield
    finally:
        for layer, kind in replaced:
            layer.__class__ = kind
