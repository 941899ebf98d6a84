"""Makes the hidden layers of an nn.Sequential wider or narrower. Needs only torch and its neighbors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from classicnets.models.graph_layers import ChannelScale
from classicnets.models.layers import DropConnect, LocalConv2d, Subsampling
from classicnets.models.messages import ModelError
from classicnets.models.replacing import Place, ordered_layers

# The attributes with the numbers of inputs and outputs. By exact type, because a subclass may compute something else.
_WEIGHTED: dict[type[nn.Module], tuple[str, str]] = {
    nn.Conv2d: ("in_channels", "out_channels"),
    LocalConv2d: ("in_channels", "out_channels"),
    nn.Linear: ("in_features", "out_features"),
    DropConnect: ("in_features", "out_features"),
}
# The attribute with the number of channels or features of layers that have as many as the layer before them
_FOLLOWING: dict[type[nn.Module], str] = {
    nn.BatchNorm1d: "num_features",
    nn.BatchNorm2d: "num_features",
    nn.InstanceNorm2d: "num_features",
    nn.GroupNorm: "num_channels",
    nn.LayerNorm: "normalized_shape",
    nn.RMSNorm: "normalized_shape",
    nn.PReLU: "num_parameters",
    Subsampling: "channels",
    ChannelScale: "channels",
}


def widen(net: nn.Module, factor: float) -> None:
    """Multiply the outputs of every hidden convolution and dense layer by `factor`, in place.

    The last layer keeps its outputs. Widths are rounded so that groups still divide them, and are at least 1.
    Normalizations, trainable subsampling, PReLU and factors of channels follow the layer before them. Layers whose size
    changes get new weights, and all others keep theirs.

    Args:
        net: an nn.Sequential, whose order determines what each layer reads.
        factor: a positive number.

    Raises:
        ValueError: the network cannot be widened; it is then unchanged.
    """
    places = ordered_layers(net)
    weighted = [place.layer for place in places if type(place.layer) in _WEIGHTED]
    if len(weighted) < 2:
        raise ModelError("the network has no hidden convolution or dense layer to widen")
    _check(places)
    groups = math.lcm(*(_groups(place.layer) for place in places))
    sizes: list[tuple[nn.Module, dict[str, Any]]] = []
    old = new = 0  # outputs of the layer before; 0 before the first
    for place in places:
        layer, kind = place.layer, type(place.layer)
        if kind in _WEIGHTED:
            reads, returns = _WEIGHTED[kind]
            inputs, outputs = _scaled(place, getattr(layer, reads), old, new), getattr(layer, returns)
            unit = math.gcd(outputs, groups)  # a multiple of the groups of this layer and of those that read it
            width = outputs if layer is weighted[-1] else max(1, round(outputs * factor / unit)) * unit
            sizes.append((layer, {reads: inputs, returns: width}))
            old, new = outputs, width
        elif kind in _FOLLOWING:
            name = _FOLLOWING[kind]
            count = getattr(layer, name)
            if kind is nn.PReLU and count == 1:
                continue
            size = _scaled(place, count if isinstance(count, int) else count[0], old, new)
            sizes.append((layer, {name: size if isinstance(count, int) else (size,)}))
    for layer, numbers in sizes:
        _resize(layer, numbers)


def _check(places: Sequence[Place]) -> None:
    """Raise ValueError if a layer with weights cannot be resized."""
    layers = Counter(place.layer for place in places)
    owners = Counter(id(parameter) for layer in layers for parameter in layer.parameters())
    for place in places:
        layer, kind = place.layer, type(place.layer)
        if not any(True for _ in (*layer.parameters(), *layer.buffers())):
            continue
        if kind not in _WEIGHTED and kind not in _FOLLOWING:
            raise ModelError(
                "{path} is a {kind}: layers of this type with weights cannot be resized",
                path=place.path,
                kind=kind.__name__,
            )
        if layers[layer] > 1 or any(owners[id(parameter)] > 1 for parameter in layer.parameters()):
            raise ModelError("{path} cannot be resized, because its weights are used in two places", path=place.path)
        if isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1:
            raise ModelError(
                "{path} = {layer} has a group for each channel, so its width is that of its input",
                path=place.path,
                layer=layer,
            )
        if isinstance(layer, nn.LayerNorm | nn.RMSNorm) and len(layer.normalized_shape) > 1:
            raise ModelError(
                "{path} = {layer} normalizes over several axes, so its size is fixed", path=place.path, layer=layer
            )


def _groups(layer: nn.Module) -> int:
    groups = getattr(layer, "num_groups" if isinstance(layer, nn.GroupNorm) else "groups", 1)
    return groups if isinstance(groups, int) else 1


def _scaled(place: Place, count: int, old: int, new: int) -> int:
    """The channels or features that a layer reads, when the layer before it has `new` outputs instead of `old`."""
    if not old:
        return count
    if count % old:
        raise ModelError(
            "{path} reads {count} numbers, which is no multiple of the {old} outputs before it",
            path=place.path,
            count=count,
            old=old,
        )
    return count // old * new


def _resize(layer: nn.Module, numbers: Mapping[str, Any]) -> None:
    """Set the sizes of a layer; if one of them changes, give it new weights."""
    if all(getattr(layer, name) == number for name, number in numbers.items()):
        return
    vars(layer).update(numbers)
    for name, tensor in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
        if tensor.dim():  # not the number of batches that a normalization has seen
            values = tensor.detach().new_empty(_shape(layer, name, tensor.shape))
            is_parameter = isinstance(tensor, nn.Parameter)
            setattr(layer, name, nn.Parameter(values, tensor.requires_grad) if is_parameter else values)
    layer.reset_parameters()  # type: ignore[operator]


def _shape(layer: nn.Module, name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a tensor of a layer, for the sizes that the layer has."""
    if type(layer) not in _WEIGHTED:
        count = getattr(layer, _FOLLOWING[type(layer)])
        return count if isinstance(count, tuple) else (count,)
    inputs, outputs = (getattr(layer, attribute) for attribute in _WEIGHTED[type(layer)])
    if name == "bias":
        return (outputs, *shape[1:])
    if isinstance(layer, LocalConv2d):
        return (*shape[:2], outputs, inputs, *shape[4:])
    return (outputs, inputs // _groups(layer), *shape[2:])
