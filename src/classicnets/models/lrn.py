"""Local response normalization across maps, with its conventions by name. Needs torch alone."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

CONVENTIONS = ("caffe", "paper")
_PIECE = 1 << 20  # values: 4 MB; a piece and what is made of it stay in the cache, and threads seldom wait

_Settings = tuple[int, int, float, float, float]  # groups, size, c, beta, k


class LRN(nn.Module):
    """Each value is divided by a power of the sum of squares of its `size` neighbors in other maps, same place.

        b[i] = a[i] / (k + c * sum over j of a[j]^2)^beta,    j = i - size//2 ... i + size//2 in the same group

    [N, C, ...] to the same shape; maps outside count as zero. `convention` says what `alpha` means: "caffe" divides it
    by the window, c = alpha / size (Krizhevsky's own code, Caffe, MXNet, torch, ONNX); "paper" takes the formula as
    it is printed, c = alpha (TensorFlow too), which is `size` times as strong. `groups` parts of the maps, such as the
    two towers of 2012, are normalized each on its own.

    Half precision is computed in float32 and returned as it came; no finite input overflows; `a` alone is kept for the
    gradient. Raises ValueError for an even size, for which libraries disagree where the window lies. The defaults are
    AlexNet's; Caffe's nets have k = 1.
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
            raise ValueError(f"LRN size must be odd, as libraries disagree where an even window lies; got {size}")
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
        """What the sum of squares is multiplied by."""
        return self.alpha / self.size if self.convention == "caffe" else self.alpha

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, ...] to the same shape and dtype."""
        if x.shape[1] % self.groups:
            raise ValueError(f"{x.shape[1]} maps cannot be split into {self.groups} equal groups")
        settings = self.groups, self.size, self.effective_alpha, self.beta, self.k
        if watched(x) and not torch.compiler.is_dynamo_compiling():
            return _at_once(x, None, settings)
        b: torch.Tensor = _Normalized.apply(x, settings)  # type: ignore[no-untyped-call]
        return b

    def extra_repr(self) -> str:
        """Convention, effective alpha and the rest."""
        return (
            f"convention={self.convention}, effective_alpha={self.effective_alpha:g}, n={self.size}, "
            f"k={self.k:g}, beta={self.beta:g}, groups={self.groups}"
        )


def watched(x: torch.Tensor) -> bool:
    """Whether someone needs the single operations: a compiler, vmap, jvp, a mode, another kind of tensor."""
    return bool(
        torch.compiler.is_compiling()
        or torch._C._is_tracing()
        or type(x) is not torch.Tensor
        or torch._C._are_functorch_transforms_active()
        or torch._C._functorch.is_legacy_batchedtensor(x)
        or torch._C._len_torch_dispatch_stack()
        or torch.autograd.forward_ad.unpack_dual(x).tangent is not None
    )


class _Normalized(torch.autograd.Function):
    """Keeps its input alone and works out the rest again for the gradient."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, settings: _Settings) -> torch.Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        ctx.settings = settings
        return _computed(x, None, settings)

    @staticmethod
    def backward(ctx, g: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return _computed(x, g, ctx.settings), None


# What follows gives b or, where the gradient g for b is given, the gradient for a. With W, the sum over the window:
#     s = k + c * W(a^2),    b = a * s^-beta,    gradient = g * s^-beta - 2 * beta * c * a * W(g * a * s^-beta / s)


def _computed(x: torch.Tensor, g: torch.Tensor | None, settings: _Settings) -> torch.Tensor:
    """On the CPU in pieces, unless gradients are enabled: then this one is to be differentiated as well."""
    pieces = x.is_cpu and x.numel() and not torch.is_grad_enabled() and not watched(x if g is None else g)
    return (_in_pieces if pieces else _at_once)(x, g, settings)


def _at_once(x: torch.Tensor, g: torch.Tensor | None, settings: _Settings) -> torch.Tensor:
    """Of whole tensors [N, C, ...], in operations that torch may differentiate, compile and export."""
    shape = x.shape[0], settings[0], x.shape[1] // settings[0], *x.shape[2:]
    a = x.to(torch.promote_types(x.dtype, torch.float32)).reshape(shape)
    given = None if g is None else g.to(a.dtype).reshape(shape)
    return _any_numbers(a, given, settings).reshape(x.shape).to(x.dtype)


def _any_numbers(a: torch.Tensor, g: torch.Tensor | None, settings: _Settings) -> torch.Tensor:
    """Of [N, groups, C / groups, ...], however large the values."""
    _, size, c, beta, k = settings
    # Squares overflow where |a| > 1e19, so the root of s is taken like a length: of values divided by their largest.
    # The scale is 1 for all but huge values, and no gradient flows through it, as it cancels.
    numbers, root_c = torch.finfo(a.dtype), math.sqrt(c)
    largest = a.detach().abs().amax(dim=2, keepdim=True)
    scale = (largest * (root_c * (size + 1) / math.sqrt(numbers.max))).clamp(min=1)
    # the same in another order, or a compiler keeps what it has for the gradient
    scaled = a * (root_c / scale) if g is None else (root_c / scale) * a
    floor = (math.sqrt(k) / scale).square().clamp(min=numbers.tiny)
    border = (0, 0) * (a.dim() - 3) + (size // 2, size // 2)  # maps of zeros
    length = (_window_sum(F.pad(scaled.square(), border), size) + floor).sqrt()
    root = scale * length
    power = root.rsqrt() if beta == 0.75 else root.pow(1 - 2 * beta)
    if g is None:
        return a / root * power
    g = g / root * power
    return g - 2 * beta * scaled * _window_sum(F.pad(g * (scaled / length) / length, border), size)


def _in_pieces(x: torch.Tensor, g: torch.Tensor | None, settings: _Settings) -> torch.Tensor:
    """Of [N, C, ...] piece by piece in scratch tensors, so that main memory is read and written once."""
    groups, size, c, beta, k = settings
    maps, last = x.shape[1] // groups, not x.is_contiguous() and x.movedim(1, -1).is_contiguous()
    inner = 1 if last else math.prod(x.shape[2:])  # places of a map that lie one behind the other

    def laid(t: torch.Tensor) -> torch.Tensor:
        return (t.movedim(1, -1) if last else t).reshape(-1, groups, maps, inner)

    source, given = laid(x), laid(x if g is None else g)
    done = torch.empty(source.shape, dtype=x.dtype)
    wide, root_c = torch.promote_types(x.dtype, torch.float32), math.sqrt(c)
    tiny = torch.finfo(wide).tiny
    limit = tiny ** (-1 / (abs(beta) + 1))  # of s; beyond it a power of s may not be a number
    outside, zero = torch.tensor([max(k / size, tiny), 0.0], dtype=wide)
    height = min(len(source), max(1, _PIECE // (x.shape[1] * inner)))
    room = torch.empty(3, height, groups, maps + size - 1, inner, dtype=wide)
    room[0], room[1] = outside, zero  # k / size is summed over the window with the squares, outside of the maps too
    for piece, piece_g, out in zip(*(t.split(height) for t in (source, given, done)), strict=True):
        a, padded = piece.to(wide), room[:, : len(piece)]
        power, product, total = (t.narrow(2, size // 2, maps) for t in padded)
        torch.addcmul(outside, a, a, value=c, out=power)
        s = _window_sum(padded[0], size, into=total)
        huge = None if s.amax() <= limit else ~(s.amax(2, keepdim=True) <= limit)
        if g is not None:
            torch.addcdiv(zero, a, s, value=root_c, out=product)
        if beta == 0.75:  # the power itself would take longer than all the rest
            torch.rsqrt(s, out=power)
            power.mul_(torch.sqrt(power, out=total))
        else:
            torch.pow(s, -beta, out=power)
        if g is None:
            torch.mul(a, power, out=out)
        else:
            product.mul_(power.mul_(piece_g))
            windows = _window_sum(padded[1], size, into=total)
            torch.addcmul(power, a, windows, value=-2 * beta * root_c, out=out)
        if huge is not None:
            out.copy_(torch.where(huge, _any_numbers(a, None if g is None else piece_g.to(wide), settings), out))
    return (done.view(x.shape[0], *x.shape[2:], -1).movedim(-1, 1) if last else done).view(x.shape)


def _window_sum(padded: torch.Tensor, size: int, into: torch.Tensor | None = None) -> torch.Tensor:
    """Sum over `size` neighbors along axis 2: shifted slices, as a running sum would lose digits."""
    maps = padded.shape[2] - size + 1
    total = padded.narrow(2, 0, maps)
    for shift in range(1, size):
        total = torch.add(total, padded.narrow(2, shift, maps), out=into)
    return total
