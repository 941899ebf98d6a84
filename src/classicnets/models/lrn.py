"""Local response normalisation across maps, with its conventions by name. Needs torch alone."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

CONVENTIONS = ("caffe", "paper")


class LRN(nn.Module):
    """Each value is divided by a power of the sum of squares of its `size` neighbours in other maps, same place.

        b[i] = a[i] / (k + c * sum over j of a[j]^2)^beta,    j = i - size//2 ... i + size//2 in the same group

    [N, C, ...] to the same shape; maps outside count as zero. `convention` says what `alpha` means: "caffe" divides it
    by the window, c = alpha / size (Krizhevsky's own code, Caffe, MXNet, torch, ONNX); "paper" takes the formula as
    it is printed, c = alpha (TensorFlow too), which is `size` times as strong. `groups` parts of the maps, such as the
    two towers of 2012, are normalised each on its own.

    Half precision is computed in float32 and returned as it came; no finite input overflows. Raises ValueError for an
    even size, for which libraries disagree where the window lies. The defaults are AlexNet's; Caffe's nets have k = 1.
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
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        a: torch.Tensor = wide.unflatten(1, (self.groups, -1))  # N, groups, C / groups, ...
        # Squares overflow where |a| > 1e19, so the root of the denominator is taken like a length: of values divided by
        # their largest. The scale is 1 for all but huge values, and no gradient flows through it, as it cancels.
        numbers, root_alpha = torch.finfo(a.dtype), math.sqrt(self.effective_alpha)
        largest = a.detach().abs().amax(dim=2, keepdim=True)
        scale = (largest * (root_alpha * (self.size + 1) / math.sqrt(numbers.max))).clamp(min=1)
        squares = (a * (root_alpha / scale)).square()
        floor = (math.sqrt(self.k) / scale).square().clamp(min=numbers.tiny)
        root = scale * (_window_sum(squares, self.size) + floor).sqrt()  # (k + c * sum)^(1/2)
        b = a / root * root.pow(1 - 2 * self.beta)
        return b.flatten(1, 2).to(x.dtype)

    def extra_repr(self) -> str:
        """Convention, effective alpha and the rest."""
        return (
            f"convention={self.convention}, effective_alpha={self.effective_alpha:g}, n={self.size}, "
            f"k={self.k:g}, beta={self.beta:g}, groups={self.groups}"
        )


def _window_sum(x: torch.Tensor, size: int) -> torch.Tensor:
    """Sum over `size` neighbours along axis 2, zero outside: shifted slices, as a running sum would lose digits."""
    maps, reach = x.shape[2], size // 2
    padded = F.pad(x, (0, 0) * (x.dim() - 3) + (reach, reach))
    total = padded.narrow(2, 0, maps)
    for shift in range(1, size):
        total = total + padded.narrow(2, shift, maps)
    return total
