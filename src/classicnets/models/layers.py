"""Layers of the networks from 1989 to 2012 that torch lacks. Needs only torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class ScaledTanh(nn.Module):
    """f(a) = amplitude * tanh(slope * a) for any shape; with the defaults, f(1) = 1 and f(-1) = -1.

    Source: LeCun et al. 1998, appendix A; LeCun et al. 1989.
    """

    def __init__(self, amplitude: float = 1.7159, slope: float = 2 / 3) -> None:
        super().__init__()
        self.amplitude, self.slope = amplitude, slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the function to each value; any shape."""
        return self.amplitude * torch.tanh(self.slope * x)

    def extra_repr(self) -> str:
        """Return amplitude and slope."""
        return f"amplitude={self.amplitude:g}, slope={self.slope:g}"


class Subsampling(nn.Module):
    """Trainable subsampling: the sum of each size x size window, times a coefficient plus a bias for each channel.

        y[c] = weight[c] * (x1 + x2 + x3 + x4)[c] + bias[c]                                         for size 2

    Maps [N, channels, H, W] to [N, channels, H // size, W // size]. Windows do not overlap, and the activation is a
    separate layer. The initial weights give the mean (weight 1 / size^2, bias 0), which is our choice.
    Source: LeCun et al. 1998, section II.B (layers S2 and S4); LeCun et al. 1990 (H2 and H4).
    """

    def __init__(self, channels: int, size: int = 2) -> None:
        super().__init__()
        self.channels = channels
        self.kernel_size = self.stride = (size, size)
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize to the mean of the window."""
        nn.init.constant_(self.weight, 1 / math.prod(self.kernel_size))
        nn.init.zeros_(self.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, channels, H, W] to [N, channels, H // size, W // size]."""
        if x.shape[-3] != self.channels:  # a single channel would be broadcast to all coefficients
            raise ValueError(f"Subsampling has coefficients for {self.channels} channels, but got {x.shape[-3]}")
        factor = self.weight * math.prod(self.kernel_size)  # turns the mean into the sum
        return self.window_mean(x) * factor[:, None, None] + self.bias[:, None, None]

    def window_mean(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean of each window, [N, channels, H // size, W // size]."""
        return F.avg_pool2d(x, self.kernel_size)

    def macs(self, output_shape: Sequence[int]) -> int:
        """Return one MAC for each input, as the sources count connections."""
        return math.prod(output_shape) * math.prod(self.kernel_size)

    def extra_repr(self) -> str:
        """Return channels and window size."""
        return f"{self.channels}, size={self.kernel_size[0]}"


class TableConv2d(nn.Module):
    """A sparse convolution: output channel j reads only the input channels in `table[j]`.

    Maps [N, in_channels, H, W] to [N, out_channels, H', W'] like nn.Conv2d. Initialized like nn.Conv2d, with the
    fan-in that the table gives each output channel.

    Args:
        table: input channels of each output channel.
        pad_value: value of the border.
        unit_bias: height and width of the output, if each unit has its own bias.

    Attributes:
        weight: [pairs, k, k], in the order of the table.
        bias: [out_channels], or [out_channels, *unit_bias].

    Raises:
        ValueError: the table does not fit the channels.

    Source: LeCun et al. 1998, table I (layer C3); LeCun et al. 1989 (H2; biases per unit, border -1).
    """

    maps_out: torch.Tensor
    maps_in: torch.Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        table: Sequence[Sequence[int]],
        *,
        stride: int = 1,
        padding: int = 0,
        pad_value: float = 0.0,
        unit_bias: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if len(table) != out_channels:
            raise ValueError(f"the table has {len(table)} rows for {out_channels} output channels")
        for row, inputs in enumerate(table):
            if not inputs or len(set(inputs)) < len(inputs) or not set(inputs) <= set(range(in_channels)):
                raise ValueError(
                    f"row {row} of the table must list distinct channels of 0-{in_channels - 1}; got {inputs}"
                )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = (kernel_size,) * 2, (stride,) * 2, (padding,) * 2
        self.pad_value, self.unit_bias = pad_value, unit_bias
        self.table = tuple(tuple(inputs) for inputs in table)
        pairs = [(j, i) for j, inputs in enumerate(self.table) for i in inputs]
        self.register_buffer("maps_out", torch.tensor([j for j, _ in pairs]), persistent=False)
        self.register_buffer("maps_in", torch.tensor([i for _, i in pairs]), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(pairs), *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels, *(unit_bias or ())))
        self.reset_parameters()

    @property
    def fan_in(self) -> tuple[int, ...]:
        """Inputs of one unit, for each output channel."""
        return tuple(len(inputs) * math.prod(self.kernel_size) for inputs in self.table)

    def reset_parameters(self) -> None:
        """Initialize weights and biases uniformly in +-1 / sqrt(fan_in) of the output channel, like nn.Conv2d."""
        start = 0
        for j, (inputs, fan_in) in enumerate(zip(self.table, self.fan_in, strict=True)):
            nn.init.uniform_(self.weight[start : start + len(inputs)], -(fan_in**-0.5), fan_in**-0.5)
            nn.init.uniform_(self.bias[j], -(fan_in**-0.5), fan_in**-0.5)
            start += len(inputs)

    def dense_weight(self) -> torch.Tensor:
        """Return the weights as [out_channels, in_channels, k, k], with zeros for missing pairs; differentiable."""
        zeros = self.weight.new_zeros(self.out_channels, self.in_channels, *self.kernel_size)
        return zeros.index_put((self.maps_out, self.maps_in), self.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, in_channels, H, W] to [N, out_channels, H', W']."""
        padding = self.padding
        if self.pad_value:
            x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]), value=self.pad_value)
            padding = (0, 0)
        if self.unit_bias is None:
            return F.conv2d(x, self.dense_weight(), self.bias, self.stride, padding)
        y = F.conv2d(x, self.dense_weight(), None, self.stride, padding)
        if y.shape[-2:] != self.bias.shape[-2:]:
            raise ValueError(
                f"there are biases for {size_text(self.unit_bias)} units, but the output is {size_text(y.shape[-2:])}"
            )
        return y + self.bias.to(y.dtype)

    def macs(self, output_shape: Sequence[int]) -> int:
        """Return the MACs of the existing kernels."""
        return self.weight.numel() * math.prod(output_shape[-2:])

    def extra_repr(self) -> str:
        """Return sizes, pairs, and settings other than the default."""
        parts = [f"{self.in_channels}, {self.out_channels}, pairs={len(self.weight)}, kernel_size={self.kernel_size}"]
        parts += [f"stride={self.stride}"] if self.stride != (1, 1) else []
        parts += [f"padding={self.padding}"] if self.padding != (0, 0) else []
        parts += [f"pad_value={self.pad_value:g}"] if self.pad_value else []
        parts += [f"unit_bias={self.unit_bias}"] if self.unit_bias else []
        return ", ".join(parts)


class RBFOutput(nn.Module):
    """Negated squared distance to a fixed code for each class: y[i] = -sum over j of (x[j] - codes[i, j])^2.

    Maps [..., features] to [..., classes]. The paper's output is the positive distance, and the smallest wins; the
    negated one can be used as a logit. `codes` [classes, features] is a buffer and not trained.
    Source: LeCun et al. 1998, section II.B (output layer).
    """

    codes: torch.Tensor

    def __init__(self, codes: torch.Tensor) -> None:
        super().__init__()
        if codes.dim() != 2:
            raise ValueError(f"codes must be [classes, features]; got {list(codes.shape)}")
        kind = codes.dtype if codes.is_floating_point() else torch.get_default_dtype()
        self.register_buffer("codes", codes.detach().clone().to(kind))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [..., features] to [..., classes], all at most 0."""
        return -(x.unsqueeze(-2) - self.codes).square().sum(-1)

    def macs(self, output_shape: Sequence[int]) -> int:
        """Return one MAC for each number of each code."""
        return math.prod(output_shape) * self.codes.shape[1]

    def extra_repr(self) -> str:
        """Return classes and features."""
        return f"classes={self.codes.shape[0]}, features={self.codes.shape[1]}"


class LocalConv2d(nn.Module):
    """A locally connected layer: like a convolution with stride 1, but each output position has its own kernels.

    Maps [N, in_channels, H', W'] to [N, out_channels, H, W], where `size` is H and W of the output. `weight` is
    [H, W, out, in, k, k] and `bias` [out, H, W]; both are initialized like nn.Conv2d. An input of another size raises
    ValueError.
    Source: cuda-convnet, layer type "local" (the CIFAR-10 networks of Krizhevsky et al. 2012).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, size: int | tuple[int, int], *, padding: int = 0
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = (kernel_size,) * 2, (1, 1), (padding,) * 2
        self.size = (size, size) if isinstance(size, int) else size
        self.weight = nn.Parameter(torch.empty(*self.size, out_channels, in_channels, *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels, *self.size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize weights and biases uniformly in +-1 / sqrt(fan-in), like nn.Conv2d."""
        bound = (self.in_channels * math.prod(self.kernel_size)) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, in_channels, H', W'] to [N, out_channels, H, W]."""
        input_size = [n - 1 + k - 2 * p for n, k, p in zip(self.size, self.kernel_size, self.padding, strict=True)]
        if list(x.shape[-2:]) != input_size:
            raise ValueError(
                f"LocalConv2d has kernels for an input of {size_text(input_size)}, but got {size_text(x.shape[-2:])}"
            )
        columns = F.unfold(x, self.kernel_size, padding=self.padding)  # N, in * k * k, H * W
        kernels = self.weight.flatten(3).flatten(0, 1)  # H * W, out, in * k * k
        y = torch.einsum("...kp,pok->...op", columns, kernels)
        return y.reshape(*y.shape[:-1], *self.size) + self.bias.to(y.dtype)

    def macs(self, output_shape: Sequence[int]) -> int:
        """Return as many MACs as a convolution of this size."""
        return math.prod(output_shape) * self.in_channels * math.prod(self.kernel_size)

    def extra_repr(self) -> str:
        """Return sizes and padding."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, size={self.size}, "
            f"padding={self.padding}"
        )


class DropConnect(nn.Linear):
    """A dense layer whose weights are dropped at random in training, with a new mask for each image.

        y[j] = (keep[j] * bias[j] + sum over i of keep[j, i] * weight[j, i] * x[i]) / (1 - p)         in training

    Maps [N, ..., in_features] to [N, ..., out_features]; all positions of an image share its mask, and so do all rows
    of an input without batch axis. Each weight and each bias is dropped with probability `p`, which is rounded to a
    multiple of 1 / 65536. The division by 1 - p keeps the mean, so evaluation computes plain nn.Linear.

    The paper evaluates otherwise: it approximates the inputs of each unit by a normal distribution with the mean and
    the variance that the masks give them, draws samples, applies the activation to each and averages the results. We
    use the mean itself, as dropout does: predictions are then deterministic, cost one product, and are exported as a
    dense layer. The mean before the activation is the same; the mean after it differs a little.

    A mask takes N * out_features * (in_features + 1) bytes, and training takes time in proportion to it: 19 MB for 128
    images and a layer of 1152 to 128, but 5 GB for AlexNet's first dense layer.
    Source: Wan, Zeiler, Zhang, LeCun, Fergus, ICML 2013 (their p is the probability to keep).
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True, p: float = 0.5) -> None:
        super().__init__(in_features, out_features, bias)
        if not 0 <= p < 1:
            raise ValueError(f"DropConnect needs a probability of at least 0 and below 1; got {p}")
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        """Map [N, ..., in_features] to [N, ..., out_features]."""
        if not self.training or not self.p:
            return super().forward(input)
        count = len(input) if input.dim() > 1 else 1
        rows = input.reshape(count, math.prod(input.shape[1:-1]), self.in_features)
        keep = self.draw_mask(len(rows), rows.device)
        kind = rows.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else rows.dtype
        product: Tensor = _MaskedProduct.apply(rows.to(dtype), self.weight.to(dtype), keep[..., :-1])  # type: ignore[no-untyped-call]
        if self.bias is not None:
            product = product + (self.bias * keep[..., -1]).to(dtype)[:, None]
        return (product / (1 - self.p)).reshape(*input.shape[:-1], self.out_features)

    def draw_mask(self, count: int, device: torch.device) -> Tensor:
        """Draw which weights are kept: bool [count, out_features, in_features + 1]; the biases are the last column."""
        shape = torch.Size((count, self.out_features, self.in_features + 1))
        # 16 random bits for each element; drawing them four at a time takes a third of the time of torch.rand
        words = torch.empty(-(-shape.numel() // 4), dtype=torch.int64, device=device).random_(-(2**63), None)
        lowest_kept = min(round(self.p * 2**16), 2**16 - 1) - 2**15
        return (words.view(torch.int16)[: shape.numel()] >= lowest_kept).view(shape)

    def macs(self, output_shape: Sequence[int]) -> int:
        """Return the MACs of nn.Linear."""
        return math.prod(output_shape) * self.in_features

    def extra_repr(self) -> str:
        """Return sizes, bias and probability."""
        return f"{super().extra_repr()}, p={self.p:g}"


class _MaskedProduct(torch.autograd.Function):
    """[N, P, in] times weights [out, in] of which each image keeps some, `keep` [N, out, in]: [N, P, out].

    Processes a few images at a time, so that the masked weights stay in the cache, and saves no masked weights.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, keep: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, weight, keep)
        return torch.cat([torch.bmm(rows, (kept * weight).mT) for rows, kept in _blocks(weight, x, keep)])

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[no-untyped-def]
        x, weight, keep = ctx.saved_tensors
        gradient, parts = torch.zeros_like(weight), []
        for rows, kept, part in _blocks(weight, x, keep, g):
            parts.append(torch.bmm(part, kept * weight))
            gradient += (torch.bmm(part.mT, rows) * kept).sum(0)
        return torch.cat(parts), gradient, None


def _blocks(weight: Tensor, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split the images of all tensors into blocks whose masked weights have about a million numbers."""
    return zip(*(tensor.split(max(1, 2**20 // max(1, weight.numel()))) for tensor in tensors), strict=True)


class SameMapNorm(nn.Module):
    """Response normalization within a channel: divides by a power of the sum of squares in a size x size window.

        b = a / (k + alpha / size^2 * sum of a^2)^beta

    Keeps the shape [..., H, W]; values outside count as 0. Half precision is computed in float32 and returned in its
    dtype; no finite input overflows. An even size raises ValueError. The defaults are those of config 145.
    Source: cuda-convnet, layer type "rnorm"; not in the paper of 2012.
    """

    def __init__(self, size: int = 5, alpha: float = 1e-3, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise ValueError(f"SameMapNorm size must be odd; got {size}")
        if not k > 0 or not alpha >= 0:
            raise ValueError(f"SameMapNorm needs k > 0 and alpha >= 0, or it divides by zero; got {k} and {alpha}")
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    @property
    def effective_alpha(self) -> float:
        """The factor of the sum of squares."""
        return self.alpha / self.size**2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize [..., H, W]; the output has the same shape and dtype."""
        a = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        # As in lrn.py: squares of huge values overflow, so the values are first divided by the largest.
        numbers, root_alpha = torch.finfo(a.dtype), math.sqrt(self.effective_alpha)
        largest = a.detach().abs().amax(dim=(-2, -1), keepdim=True)
        scale = (largest * (root_alpha * (self.size + 1) / math.sqrt(numbers.max))).clamp(min=1)
        squares = (a * (root_alpha / scale)).square()
        floor = (math.sqrt(self.k) / scale).square().clamp(min=numbers.tiny)
        total = _window_sum(_window_sum(squares, self.size, -2), self.size, -1)
        root = scale * (total + floor).sqrt()
        return (a / root * root.pow(1 - 2 * self.beta)).to(x.dtype)

    def extra_repr(self) -> str:
        """Return the settings, with the effective alpha."""
        return f"effective_alpha={self.effective_alpha:g}, size={self.size}, k={self.k:g}, beta={self.beta:g}"


def _window_sum(x: torch.Tensor, size: int, axis: int) -> torch.Tensor:
    """Sum over `size` neighbors along the last (-1) or second to last (-2) axis, with zeros outside."""
    length, half = x.shape[axis], size // 2
    padded = F.pad(x, (0, 0) * (-1 - axis) + (half, half))
    total = padded.narrow(axis, 0, length)
    for shift in range(1, size):
        total = total + padded.narrow(axis, shift, length)
    return total


def size_text(sizes: Sequence[int]) -> str:
    """Return sizes as text: "3x3" for (3, 3)."""
    return "x".join(map(str, sizes))


class SelectedOutput(nn.Module):
    """Returns one output of a network that returns several.

    A network that returns a tensor in one of its modes, such as one with auxiliary outputs in training mode only, is
    left alone in that mode.

    Args:
        net: the network; forward() returns a tuple, list, dict, named tuple or object.
        output: an index, key or attribute of what it returns.
    """

    def __init__(self, net: nn.Module, output: str) -> None:
        super().__init__()
        self.net, self.output = net, output

    def forward(self, x: Tensor) -> Tensor:
        """Call the network and select the output. Raises ValueError if there is none of this name."""
        outputs = self.net(x)
        if isinstance(outputs, Tensor):
            return outputs
        try:
            if isinstance(outputs, Mapping):
                selected = outputs[self.output]
            elif isinstance(outputs, tuple | list) and self.output.isdecimal():
                selected = outputs[int(self.output)]
            else:
                selected = getattr(outputs, self.output)
        except (LookupError, AttributeError) as error:
            raise ValueError(f"forward() returns a {type(outputs).__name__} without {self.output!r}") from error
        result: Tensor = selected
        return result

    def extra_repr(self) -> str:
        """The name of the output."""
        return f"output={self.output!r}"
