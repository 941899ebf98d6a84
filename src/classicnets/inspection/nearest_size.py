"""The search for an image size that a network accepts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from typing import NamedTuple

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from classicnets.inspection.meta import Shape, batch_length, forward_zeros, without_data

SEARCH_RADIUS = {"meta": 256, "cpu": 16}  # sizes tried above and below the given one; takes at most about a second
_MAX_RANGE = 64  # sizes tried above and below the nearest one that fits


class NearestFit(NamedTuple):
    """The accepted shape that is nearest, and the range of sizes around it; `open_ended` if larger ones may fit too."""

    shape: Shape
    low: int
    high: int
    open_ended: bool


def nearest_fit(net: nn.Module, shape: Shape, device: str = "meta") -> NearestFit | None:
    """Return `shape` if the network accepts it, else the nearest square size that it accepts; None if there is none."""
    if len(shape) > 3:
        return None
    accepts = _acceptance_test(net, device)
    channels, sizes = (shape[:1], shape[1:]) if len(shape) > 1 else ((), shape)
    start = min(sizes)
    if accepts(shape):
        return NearestFit(shape, start, start, open_ended=False)

    def accepts_size(n: int) -> bool:
        return accepts((*channels, *[n] * len(sizes)))

    candidates = (n for distance in range(SEARCH_RADIUS[device] + 1) for n in (start - distance, start + distance))
    best = next(filter(accepts_size, (n for n in candidates if n >= 1)), None)
    if best is None:
        return None
    smaller = takewhile(accepts_size, range(best - 1, max(0, best - _MAX_RANGE - 1), -1))
    larger = takewhile(accepts_size, range(best + 1, best + _MAX_RANGE + 1))
    low, high = min([best, *smaller]), max([best, *larger])
    return NearestFit((*channels, *[best] * len(sizes)), low, high, open_ended=high == best + _MAX_RANGE)


def _acceptance_test(net: nn.Module, device: str) -> Callable[[Shape], bool]:
    """Return a test whether the network accepts two images of a shape; two, since one may be squeezed away."""
    lazy = any(isinstance(module, LazyModuleMixin) for module in net.modules())  # a pass would fix its shapes
    clone = without_data(net, device)

    def accepts(shape: Shape) -> bool:
        try:
            return batch_length(forward_zeros(without_data(net, device) if lazy else clone, shape, 2, device)) == 2
        except Exception:
            return False

    return accepts
