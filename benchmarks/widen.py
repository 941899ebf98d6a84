"""Build a wider or narrower copy of an nn.Sequential, whose order determines the input of each layer."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

from torch import nn

from classicnets.errors import UsageError

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def widened(net: nn.Module, factor: float) -> nn.Module:
    """A copy with `factor` times as many maps and units in every hidden layer and fresh weights, for the same task.

    Conv2d, Linear and batch normalization are replaced; widths are rounded so that groups still divide them. Raises
    UsageError CN204 for a network that is not an nn.Sequential of nn.Sequentials, or has other layers with weights.
    """
    twin = copy.deepcopy(net)
    places = [*_places(twin, "")]
    weighted = [layer for _, _, layer in places if type(layer) in (nn.Conv2d, nn.Linear)]
    unit = math.lcm(*(getattr(layer, "groups", 1) for _, _, layer in places))
    old = new = 0  # maps or units of the layer before; 0 before the first
    for parent, name, layer in places:
        if type(layer) in (nn.Conv2d, nn.Linear):
            inputs, outputs = _sides(layer)
            if old and inputs % old:
                raise _width_error(f"{name} reads {inputs} numbers, no multiple of the {old} maps or units before it")
            in_size = inputs // old * new if old else inputs
            out_size = outputs if layer is weighted[-1] else max(1, round(outputs * factor / unit)) * unit
            parent._modules[name] = _resized(layer, in_size, out_size)
            old, new = outputs, out_size
        elif type(layer) in _NORMS and (not old or layer.num_features == old):
            features = new if old else layer.num_features
            parent._modules[name] = type(layer)(features, layer.eps, layer.momentum, layer.affine)
        elif any(True for _ in (*layer.parameters(), *layer.buffers())):
            raise _width_error(
                f"{name} is a {type(layer).__name__}: only Conv2d, Linear and batch normalization can be replaced"
            )
    return twin


def _places(net: nn.Module, path: str) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    if type(net).forward is not nn.Sequential.forward:
        raise _width_error(
            f"{path or 'the network'} is a {type(net).__name__}: only its forward() determines the order of its layers"
        )
    for name, layer in net._modules.items():
        if isinstance(layer, nn.Sequential):
            yield from _places(layer, f"{path}.{name}".strip("."))
        elif layer is not None:
            yield net, name, layer


def _sides(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, nn.Conv2d):
        if layer.groups == layer.in_channels > 1:
            raise _width_error(f"Conv2d({layer.in_channels}, groups={layer.groups}) has a group for each map")
        return layer.in_channels, layer.out_channels
    assert isinstance(layer, nn.Linear)
    return layer.in_features, layer.out_features


def _resized(layer: nn.Module, inputs: int, outputs: int) -> nn.Module:
    bias = layer.bias is not None
    if isinstance(layer, nn.Conv2d):
        kernel, stride, dilation = ((pair[0], pair[1]) for pair in (layer.kernel_size, layer.stride, layer.dilation))
        padding = layer.padding if isinstance(layer.padding, str) else (layer.padding[0], layer.padding[1])
        return nn.Conv2d(
            inputs, outputs, kernel, stride, padding, dilation, layer.groups, bias, padding_mode=layer.padding_mode
        )
    return nn.Linear(inputs, outputs, bias=bias)


def _width_error(why: str) -> UsageError:
    return UsageError(
        "CN204",
        "the width of this network cannot be changed automatically",
        why=why,
        hint="--axes batch side images",
    )
