"""Local response normalization across channels, with named conventions. Needs only torch."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

CONVENTIONS = ("caffe", "paper")
_BLOCK_SIZE = 1 << 20  # values, 4 MB: a block and its results stay in the cache, and threads rarely wait

_Settings = tuple[int, int, float, float, float]  # groups, size, c, beta, k


class LRN(nn.Module):
    """Local response normalization: divides by a power of the sum of squares of `size` neighboring channels.

        b[i] = a[i] / (k + c * sum over j of a[j]^2)^beta,    j = i - size//2 ... i + size//2 in the same group

    Keeps the shape [N, C, ...]; channels outside count as 0. Half precision is computed in float32 and returned in its
    dtype; no finite input overflows; only `a` is saved for the gradient. The defaults are AlexNet's; Caffe's networks
    have k = 1.

    Args:
        convention: the meaning of `alpha`. "caffe" divides it by the window, c = alpha / size (Krizhevsky's own code,
            Caffe, MXNet, torch, ONNX); "paper" takes the printed formula, c = alpha (also TensorFlow), which is
            `size` times as strong.
        groups: parts of the channels that are normalized separately, such as the two towers of 2012.

    Raises:
        ValueError: an even size, for which libraries place the window differently, or another invalid setting.

    Source: Krizhevsky, Sutskever, Hinton 2012, section 3.3; `scale /= size` in cuda-convnet's layer.py.
    """

    def __init__(
        self,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 2.0,
        *,
        convention: str = "caffe",
        groups: int = 1,
    ) -> None:
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise ValueError(f"LRN size must be odd, because libraries place even windows differently; got {size}")
        if convention not in CONVENTIONS:
            raise ValueError(f"LRN convention must be one of {', '.join(CONVENTIONS)}; got {convention!r}")
        if not k > 0 or not alpha >= 0:
            raise ValueError(f"LRN needs k > 0 and alpha >= 0, or it divides by zero; got k = {k}, alpha = {alpha}")
        if groups < 1:
            raise ValueError(f"LRN groups must be at least 1; got {groups}")
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k
        self.convention, self.groups = convention, groups

    @property
    def effective_alpha(self) -> float:
        """The factor c of the sum of squares."""
        return self.alpha / self.size if self.convention == "caffe" else self.alpha

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize [N, C, ...]; the output has the same shape and dtype."""
        if x.shape[1] % self.groups:
            raise ValueError(f"{x.shape[1]} channels cannot be split into {self.groups} equal groups")
        settings = self.groups, self.size, self.effective_alpha, self.beta, self.k
        if needs_plain_operations(x) and not torch.compiler.is_dynamo_compiling():
            return _compute_whole(x, None, settings)
        b: torch.Tensor = _Normalize.apply(x, settings)  # type: ignore[no-untyped-call]
        return b

    def extra_repr(self) -> str:
        """Return the settings, with the effective alpha."""
        return (
            f"convention={self.convention}, effective_alpha={self.effective_alpha:g}, n={self.size}, "
            f"k={self.k:g}, beta={self.beta:g}, groups={self.groups}"
        )


def needs_plain_operations(x: torch.Tensor) -> bool:
    """Return whether single operations are needed: for a compiler, vmap, jvp, a dispatch mode, or a tensor subclass."""
    return bool(
        torch.compiler.is_compiling()
        or torch._C._is_tracing()
        or type(x) is not torch.Tensor
        or torch._C._are_functorch_transforms_active()
        or torch._C._functorch.is_legacy_batchedtensor(x)
        or torch._C._len_torch_dispatch_stack()
        or torch.autograd.forward_ad.unpack_dual(x).tangent is not None
    )


class _Normalize(torch.autograd.Function):
    """Function that saves only its input and recomputes the rest for the gradient."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, settings: _Settings) -> torch.Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        ctx.settings = settings
        return _compute(x, None, settings)

    @staticmethod
    def backward(ctx, g: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return _compute(x, g, ctx.settings), None


# The functions below return b or, if they get the gradient g of b, the gradient of a. With W, the sum over the window:
#     s = k + c * W(a^2),    b = a * s^-beta,    gradient = g * s^-beta - 2 * beta * c * a * W(g * a * s^-beta / s)


def _compute(x: torch.Tensor, g: torch.Tensor | None, settings: _Settings) -> torch.Tensor:
    """On the CPU in blocks, unless gradients are enabled: then the result must be differentiable."""
    plain = torch.is_grad_enabled() or needs_plain_operations(x if g is None else g)
    return (_compute_in_blocks if x.is_cpu and x.numel() and not plain else _compute_whole)(x, g, settings)


def _compute_whole(x: torch.Tensor, g: torch.Tensor | None, settings: _Settings) -> torch.Tensor:
    """[N, C, ...] at once, in operations that torch can differentiate, compile and export."""
    shape = x.shape[0], settings[0], x.shape[1] // settings[0], *x.shape[2:]
    a = x.to(torch.promote_types(x.dtype, torch.float32)).reshape(shape)
    grouped_g = None if g is None else g.to(a.dtype).reshape(shape)
    return _without_overflow(a, grouped_g, settings).reshape(x.shape).to(x.dtype)


def _without_overflow(a: torch.Tensor, g: torch.Tensor | None, settings: _Settings) -> torch.Tensor:
    """[N, groups, C / groups, ...] with values of any size."""
    _, size, c, beta, k = settings
    # Squares overflow for |a| > 1e19, so the square root of s is computed from values divided by the largest of them.
    # The scale is 1 except for huge values; no gradient flows through it, because it cancels.
    numbers, root_c = torch.finfo(a.dtype), math.sqrt(c)
    largest = a.detach().abs().amax(dim=2, keepdim=True)
    scale = (largest * (root_c * (size + 1) / math.sqrt(numbers.max))).clamp(min=1)
    # in another order for the gradient, or a compiler would save the product of the forward pass
    scaled = a * (root_c / scale) if g is None else (root_c / scale) * a
    floor = (math.sqrt(k) / scale).square().clamp(min=numbers.tiny)
    border = (0, 0) * (a.dim() - 3) + (size // 2, size // 2)  # channels of zeros
    length = (_window_sum(F.pad(scaled.square(), border), size) + floor).sqrt()
    root = scale * length
    power = root.rsqrt() if beta == 0.75 else root.pow(1 - 2 * beta)
    if g is None:
        return a / root * power
    g = g / root * power
    return g - 2 * beta * scaled * _window_sum(F.pad(g * (scaled / length) / length, border), size)


def _compute_in_blocks(x: torch.Tensor, g: torch.Tensor | None, settings: _Settings) -> torch.Tensor:
    """[N, C, ...] block by block in reused buffers, so that main memory is read and written once."""
    groups, size, c, beta, k = settings
    channels, channels_last = x.shape[1] // groups, not x.is_contiguous() and x.movedim(1, -1).is_contiguous()
    inner = 1 if channels_last else math.prod(x.shape[2:])  # contiguous positions of a channel

    def as_rows(t: torch.Tensor) -> torch.Tensor:
        return (t.movedim(1, -1) if channels_last else t).reshape(-1, groups, channels, inner)

    rows, g_rows = as_rows(x), as_rows(x if g is None else g)
    result = torch.empty(rows.shape, dtype=x.dtype)
    wide, root_c = torch.promote_types(x.dtype, torch.float32), math.sqrt(c)
    tiny = torch.finfo(wide).tiny
    limit = tiny ** (-1 / (abs(beta) + 1))  # of s; above it, a power of s may overflow
    outside, zero = torch.tensor([max(k / size, tiny), 0.0], dtype=wide)
    height = min(len(rows), max(1, _BLOCK_SIZE // (x.shape[1] * inner)))
    buffers = torch.empty(3, height, groups, channels + size - 1, inner, dtype=wide)
    buffers[0], buffers[1] = outside, zero  # k / size is added to each square, also outside the channels
    for block, block_g, out in zip(*(t.split(height) for t in (rows, g_rows, result)), strict=True):
        a, padded = block.to(wide), buffers[:, : len(block)]
        power, product, total = (t.narrow(2, size // 2, channels) for t in padded)
        torch.addcmul(outside, a, a, value=c, out=power)
        s = _window_sum(padded[0], size, into=total)
        huge = None if s.amax() <= limit else ~(s.amax(2, keepdim=True) <= limit)
        if g is not None:
            torch.addcdiv(zero, a, s, value=root_c, out=product)
        if beta == 0.75:  # pow would take longer than everything else
            torch.rsqrt(s, out=power)
            power.mul_(torch.sqrt(power, out=total))
        else:
            torch.pow(s, -beta, out=power)
        if g is None:
            torch.mul(a, power, out=out)
        else:
            product.mul_(power.mul_(block_g))
            windows = _window_sum(padded[1], size, into=total)
            torch.addcmul(power, a, windows, value=-2 * beta * root_c, out=out)
        if huge is not None:
            safe = _without_overflow(a, None if g is None else block_g.to(wide), settings)
            out.copy_(torch.where(huge, safe, out))
    if channels_last:
        result = result.view(x.shape[0], *x.shape[2:], -1).movedim(-1, 1)
    return result.view(x.shape)


def _window_sum(padded: torch.Tensor, size: int, into: torch.Tensor | None = None) -> torch.Tensor:
    """Sum over `size` neighbors along axis 2, from shifted slices, since a running sum would lose precision."""
    channels = padded.shape[2] - size + 1
    total = padded.narrow(2, 0, channels)
    for shift in range(1, size):
        total = torch.add(total, padded.narrow(2, shift, channels), out=into)
    return total
