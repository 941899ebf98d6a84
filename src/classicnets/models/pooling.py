"""Average and maximum pooling on the CPU, to the last bit as torch has it but faster. Needs torch alone.

torch goes through the windows one after the other. Where they lie side by side, the first values of all windows are one
strided slice, the second ones another; slices are added and compared many values at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from classicnets.models.lrn import watched

_FEW = 50_000  # values, below which torch is as fast
_LARGE = 9  # values of a window, above which it is as well

_Window = tuple[int, int]  # rows, columns


class QuickPooling(TorchFunctionMode):
    """While open, pools of any net whose windows tile its maps are computed here, all others by torch as always.

    Average pooling in float32 of maps that lie one after the other, and maximum pooling where no gradient is wanted
    (with one, keeping track of the largest costs what is saved); on the CPU. Values and gradients are torch's bit for
    bit; there is no second gradient.
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Called by torch in place of each of its functions."""
        quick = _QUICK.get(func)
        found = quick(*args, **(kwargs or {})) if quick else None
        return func(*args, **(kwargs or {})) if found is None else found


def _average(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    *others: object,  # they change nothing where nothing is padded or left over, but for the divisor
    divisor_override: int | None = None,
    **_named: object,
) -> Tensor | None:
    """What F.avg_pool2d gives; None where torch has to."""
    window = _tile(input, kernel_size, stride, padding)
    divides = divisor_override is not None or (len(others) == 3 and others[2] is not None)
    if window is None or divides or input.dtype != torch.float32 or not input.is_contiguous():
        return None
    found: Tensor = _Average.apply(input, window)  # type: ignore[no-untyped-call]
    return found


def _maximum(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    *_others: object,  # as above; with return_indices torch calls another function
    **_named: object,
) -> Tensor | None:
    """What F.max_pool2d gives; None where torch has to."""
    wanted = input.requires_grad and torch.is_grad_enabled()
    window = _tile(input, kernel_size, stride, padding)
    dense = input.is_contiguous() or input.is_contiguous(memory_format=torch.channels_last)
    if window is None or wanted or _pair(dilation) != (1, 1) or not dense:
        return None
    first, second, *rest = _slices(input, window)
    largest = torch.maximum(first, second)
    for one in rest:
        torch.maximum(largest, one, out=largest)
    return largest


_QUICK: dict[Callable[..., object], Callable[..., Tensor | None]] = {
    F.avg_pool2d: _average,
    F.max_pool2d: _maximum,
    torch.max_pool2d: _maximum,
}


def _tile(
    x: Tensor, kernel_size: int | Sequence[int], stride: int | Sequence[int] | None, padding: int | Sequence[int]
) -> _Window | None:
    """The window, if such windows tile the many values of x and have few each; else None."""
    rows, columns = window = _pair(kernel_size)
    none_given = stride is None or (not isinstance(stride, int) and not stride)
    if not none_given and _pair(stride) != window:  # type: ignore[arg-type]
        return None
    if x.dim() != 4 or x.shape[2] % rows or x.shape[3] % columns or not 1 < rows * columns <= _LARGE:
        return None
    if not x.is_cpu or x.numel() < _FEW or _pair(padding) != (0, 0):
        return None
    return None if watched(x) else window


def _pair(value: int | Sequence[int]) -> _Window:
    """(value, value) of one, as torch takes it."""
    rows, columns = (value, value) if isinstance(value, int) else tuple(value) * (2 if len(value) == 1 else 1)
    return rows, columns


def _slices(x: Tensor, window: _Window) -> Iterator[Tensor]:
    """The first values of all windows, the second ones, and so on, row by row of a window."""
    for row in range(window[0]):
        for column in range(window[1]):
            yield x[..., row :: window[0], column :: window[1]]


class _Average(torch.autograd.Function):
    """Keeps nothing for the gradient."""

    @staticmethod
    def forward(ctx, x: Tensor, window: _Window) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.window = window
        first, second, *rest = _slices(x, window)
        total = first + second
        for one in rest:
            total += one
        return total.div_(window[0] * window[1])

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        rows, columns = ctx.window
        share = g / (rows * columns)
        found = g.new_empty(*g.shape[:2], g.shape[2] * rows, g.shape[3] * columns)
        for one in _slices(found, ctx.window):
            one.copy_(share)
        return found, None
