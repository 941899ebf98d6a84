"""The shape of the images of any module, where nobody states it: that of its guard, or one that it accepts."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from classicnets.inspection.guard import guarded
from classicnets.inspection.meta import Shape
from classicnets.inspection.nearest_size import nearest_fit
from classicnets.inspection.shapes import Table, try_trace

DEFAULT_SHAPE = (1, 28, 28)  # images of Fashion-MNIST
_SIZES = {1: (28, 32, 224), 3: (224, 32, 28)}  # that networks are made for, the usual ones for these channels first


def find_shape(net: nn.Module) -> Shape | None:
    """Return the shape of one image that `net` takes, without calling or changing it; None if none is found.

    It is the shape that the network is guarded for; else 1x28x28 if that fits; else a usual size (28, 32 or 224 pixels)
    with the channels of the first convolution, or the nearest size that fits; else the inputs of the first dense layer.
    """
    if guard := guarded(net):
        return guard.shape
    candidates = [*_candidates(net)]
    for shape in candidates:
        if isinstance(try_trace(net, shape), Table):
            return shape
    for channels in dict.fromkeys(shape[0] for shape in candidates if len(shape) == 3):
        fit = nearest_fit(net, (channels, *DEFAULT_SHAPE[1:]))
        if fit is not None and isinstance(try_trace(net, fit.shape), Table):
            return fit.shape
    return None


def likeliest_shape(net: nn.Module) -> Shape:
    """Return the shape to try first, for the error if none fits."""
    return next(_candidates(net), DEFAULT_SHAPE)


def _candidates(net: nn.Module) -> Iterator[Shape]:
    """The shapes to try, the likeliest first."""
    first = next((layer for layer in net.modules() if _is_convolution(layer)), None)
    known = getattr(first, "in_channels", 0)  # 0 for a lazy layer, and without a convolution
    for channels in [known] if known else _SIZES:
        for size in _SIZES.get(channels, _SIZES[3]):
            yield channels, size, size
    if first is None:
        yield from ((layer.in_features,) for layer in net.modules() if isinstance(layer, nn.Linear))


def _is_convolution(layer: nn.Module) -> bool:
    """Whether a layer reads feature maps [C, H, W]; also one of the user's that names its sizes like torch."""
    kernel = getattr(layer, "kernel_size", None)
    return hasattr(layer, "in_channels") and (
        isinstance(kernel, int) or (isinstance(kernel, tuple) and len(kernel) == 2)
    )
