"""Layers of Caffe's and MXNet's networks that torch lacks. Needs only torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.models.messages import ModelError

OPERATIONS = ("sum", "product", "max")


class Concat(nn.Module):
    """Joins several inputs along one axis; axis 1 is that of the channels."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *inputs: Tensor) -> Tensor:
        """Join inputs [N, C, ...] that differ only in the size of the axis."""
        return torch.cat(inputs, self.axis)

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"axis={self.axis}"


class Eltwise(nn.Module):
    """The sum, the product or the maximum of inputs of the same shape, value by value.

    Args:
        operation: one of `OPERATIONS`.
        coefficients: factors of the inputs in a sum; () is 1 for all.

    Raises:
        ValueError: an unknown operation, or coefficients without a sum.

    Source: BVLC/caffe, src/caffe/layers/eltwise_layer.cpp.
    """

    def __init__(self, operation: str = "sum", coefficients: Sequence[float] = ()) -> None:
        super().__init__()
        if operation not in OPERATIONS:
            raise ModelError(
                "Eltwise operation must be one of {names}; got {operation!r}",
                names=", ".join(OPERATIONS),
                operation=operation,
            )
        if coefficients and operation != "sum":
            raise ModelError("Eltwise has coefficients for the sum only, not for {operation!r}", operation=operation)
        self.operation, self.coefficients = operation, tuple(coefficients)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Combine inputs of one shape; the output has it, too."""
        values = list(inputs)
        if self.coefficients:
            values = [x if c == 1 else x * c for x, c in zip(values, self.coefficients, strict=True)]
        total = values[0]
        for x in values[1:]:
            if self.operation == "sum":
                total = total + x
            else:
                total = total * x if self.operation == "product" else torch.maximum(total, x)
        return total

    def extra_repr(self) -> str:
        """Return the operation, and the coefficients if there are any."""
        return f"{self.operation}, coefficients={self.coefficients}" if self.coefficients else self.operation


class Absolute(nn.Module):
    """f(x) = |x|, for any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to each value; any shape."""
        return x.abs()


class Power(nn.Module):
    """f(x) = (shift + scale * x)^power, for any shape.

    Source: BVLC/caffe, src/caffe/layers/power_layer.cpp.
    """

    def __init__(self, power: float = 1.0, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.power, self.scale, self.shift = power, scale, shift

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to each value; any shape."""
        y = self.shift + self.scale * x
        return y if self.power == 1 else y**self.power

    def extra_repr(self) -> str:
        """Return power, scale and shift."""
        return f"power={self.power:g}, scale={self.scale:g}, shift={self.shift:g}"


class Exponential(nn.Module):
    """f(x) = base^(shift + scale * x), for any shape; `base` None is e.

    Source: BVLC/caffe, src/caffe/layers/exp_layer.cpp.
    """

    def __init__(self, base: float | None = None, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.base, self.scale, self.shift = base, scale, shift

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to each value; any shape."""
        exponent = self.shift + self.scale * x
        return torch.exp(exponent if self.base is None else exponent * math.log(self.base))

    def extra_repr(self) -> str:
        """Return base, scale and shift."""
        return _with_base(self.base, self.scale, self.shift)


class Logarithm(nn.Module):
    """f(x) = log(shift + scale * x) to the base `base`, for any shape; `base` None is e.

    Source: BVLC/caffe, src/caffe/layers/log_layer.cpp.
    """

    def __init__(self, base: float | None = None, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.base, self.scale, self.shift = base, scale, shift

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to each value; any shape."""
        y = torch.log(self.shift + self.scale * x)
        return y if self.base is None else y / math.log(self.base)

    def extra_repr(self) -> str:
        """Return base, scale and shift."""
        return _with_base(self.base, self.scale, self.shift)


class ChannelScale(nn.Module):
    """Multiplies each channel by a trained factor, and adds a trained constant to it.

        y[c] = weight[c] * x[c] + bias[c]

    Keeps the shape [N, C, ...]. The initial weights change nothing (weight 1, bias 0).

    Args:
        channels: size of the axis.
        bias: whether a constant is added.
        axis: the axis with a factor for each place; 1 is that of the channels.

    Source: BVLC/caffe, src/caffe/layers/scale_layer.cpp, which follows a BatchNorm layer without factors of its own.
    """

    bias: nn.Parameter | None

    def __init__(self, channels: int, *, bias: bool = True, axis: int = 1) -> None:
        super().__init__()
        self.channels, self.axis = channels, axis
        self.weight = nn.Parameter(torch.empty(channels))
        self.register_parameter("bias", nn.Parameter(torch.empty(channels)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all factors to 1 and all constants to 0."""
        nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Scale [N, C, ...]; the output has the same shape."""
        if x.shape[self.axis] != self.channels:  # a single channel would be broadcast to all factors
            raise ModelError(
                "ChannelScale has factors for {channels} channels, but got {n}",
                channels=self.channels,
                n=x.shape[self.axis],
            )
        shape = (self.channels,) + (1,) * (x.dim() - 1 - self.axis)
        y = x * self.weight.view(shape)
        return y if self.bias is None else y + self.bias.view(shape)

    def extra_repr(self) -> str:
        """Return the channels, and settings other than the default."""
        parts = [str(self.channels)]
        parts += ["bias=False"] if self.bias is None else []
        parts += [f"axis={self.axis}"] if self.axis != 1 else []
        return ", ".join(parts)


# Caffe pads by up to the window less 1, torch by up to half of the window. Windows, sizes and divisors are the same.


class MeanImage(nn.Module):
    """Subtracts a stored image, which is not trained, as Caffe subtracts the mean of its training images.

    Args:
        shape: channels, height and width of the images.
    """

    mean: Tensor

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(tuple(shape)))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the same shape."""
        return x - self.mean


class WideMaxPool2d(nn.MaxPool2d):
    """Max pooling that may be padded by more than half of its window, as in Caffe, where torch refuses.

    Maps [N, C, H, W] to [N, C, H', W'], with H' = ceil((H + 2 * padding - kernel) / stride) + 1, less 1 if the last
    window would start in the padding; floor without `ceil_mode`.
    Source: BVLC/caffe, src/caffe/layers/pooling_layer.cpp.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C, H', W']."""
        rows, columns = _axes(self, input)
        padded = F.pad(input, (*columns.border, *rows.border), value=-math.inf)
        return F.max_pool2d(padded, (rows.kernel, columns.kernel), (rows.stride, columns.stride))


class WideAvgPool2d(nn.AvgPool2d):
    """Average pooling that may be padded by more than half of its window, as in Caffe, where torch refuses.

    Sizes are those of `WideMaxPool2d`. As in torch, padding counts in the divisor if `count_include_pad`, and places
    beyond it never do.
    Source: BVLC/caffe, src/caffe/layers/pooling_layer.cpp.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C, H', W']."""
        axes = rows, columns = _axes(self, input)
        padded = F.pad(input, (*columns.border, *rows.border))
        mean = F.avg_pool2d(padded, (rows.kernel, columns.kernel), (rows.stride, columns.stride))
        factors = [
            torch.tensor([axis.kernel / n for n in axis.divisors(self.count_include_pad)], dtype=torch.float64)
            for axis in axes
        ]
        return mean * torch.outer(*factors).to(mean)


class Axis:
    """The windows along one axis of a pooling layer.

    Attributes:
        count: number of windows, and so the size of the output; 0 or less if none fits.
        is_shortened: whether a window is left out that would start in the padding at the end, or beyond the input.
    """

    def __init__(self, size: int, kernel: int, stride: int, padding: int, *, ceil: bool) -> None:
        self.size, self.kernel, self.stride, self.padding = size, kernel, stride, padding
        span = size + 2 * padding - kernel
        self.count = (-(-span // stride) if ceil else span // stride) + 1
        self.is_shortened = ceil and (self.count - 1) * stride >= size + padding
        self.count -= self.is_shortened

    @property
    def border(self) -> tuple[int, int]:
        """The padding before and after, so that the last window ends where the input ends; negative if it is unread."""
        return self.padding, (self.count - 1) * self.stride + self.kernel - self.padding - self.size

    def divisors(self, with_padding: bool) -> list[int]:
        """Places of each window that its mean counts."""
        starts = [i * self.stride - self.padding for i in range(self.count)]
        ends = [min(start + self.kernel, self.size + self.padding) for start in starts]
        if with_padding:
            return [end - start for start, end in zip(starts, ends, strict=True)]
        return [min(end, self.size) - max(start, 0) for start, end in zip(starts, ends, strict=True)]


def _axes(layer: nn.MaxPool2d | nn.AvgPool2d, x: Tensor) -> tuple[Axis, Axis]:
    """The windows along height and width."""
    kernel, stride, padding = _pair(layer.kernel_size), _pair(layer.stride), _pair(layer.padding)
    rows, columns = (
        Axis(size, kernel[i], stride[i], padding[i], ceil=layer.ceil_mode) for i, size in enumerate(x.shape[-2:])
    )
    return rows, columns


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return first, second


def _with_base(base: float | None, scale: float, shift: float) -> str:
    return f"base={'e' if base is None else f'{base:g}'}, scale={scale:g}, shift={shift:g}"
