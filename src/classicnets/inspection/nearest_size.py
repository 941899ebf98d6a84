"""Which size of image would fit: the quick question, asked of many sizes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from classicnets.inspection.meta import Shape, results, without_data, zeros_through

REACH = {"meta": 256, "cpu": 16}  # how far from the given side other sides are tried; about a second at most
_RANGE = 64  # how far the run of sides that fit is followed


def nearest_fit(net: nn.Module, shape: Shape, device: str = "meta") -> tuple[Shape, int, int, bool] | None:
    """This image or the nearest square one that passes, tried outwards, and the run of sides around it that pass too.

    The last value is whether the run was still going on where the search ended. None where nothing near passes.
    """
    if len(shape) > 3:
        return None
    passes = _question(net, device)
    channels, sides = (shape[:1], shape[1:]) if len(shape) > 1 else ((), shape)
    given = min(sides)
    if passes(shape):
        return shape, given, given, False

    def fits(n: int) -> bool:
        return passes((*channels, *[n] * len(sides)))

    outwards = (n for distance in range(REACH[device] + 1) for n in (given - distance, given + distance) if n >= 1)
    best = next(filter(fits, outwards), None)
    if best is None:
        return None
    smaller = takewhile(fits, range(best - 1, max(0, best - _RANGE - 1), -1))
    larger = takewhile(fits, range(best + 1, best + _RANGE + 1))
    low, high = min([best, *smaller]), max([best, *larger])
    return (*channels, *[best] * len(sides)), low, high, high == best + _RANGE


def _question(net: nn.Module, device: str) -> Callable[[Shape], bool]:
    """Whether the net takes a batch of two of this shape; two suit a net that squeezes away a batch axis of one."""
    lazy = any(isinstance(module, LazyModuleMixin) for module in net.modules())  # a pass would settle its shapes
    twin = without_data(net, device)

    def passes(shape: Shape) -> bool:
        try:
            return results(zeros_through(without_data(net, device) if lazy else twin, shape, 2, device)) == 2
        except Exception:
            return False

    return passes
