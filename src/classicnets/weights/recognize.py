"""Recognizes networks of the registry: by the function that a graph computes, or by names and shapes of weights."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from classicnets.models.graph import Graph
from classicnets.models.registry import NETS
from classicnets.weights import files, same_function

_IMAGE_SIZES = range(8, 320)  # image sizes that a network may have been built for
_MAX_LAYERS = 1000  # more than any network of the registry has, by far
_ROLES = {
    "weight": "weight", "gamma": "weight", "bias": "bias", "beta": "bias", "running_mean": "running_mean",
    "moving_mean": "running_mean", "running_var": "running_var", "moving_var": "running_var",
}  # fmt: skip
_NAME = re.compile(rf"(.*?)[._/]?({'|'.join(_ROLES)})", re.DOTALL)
_COUNTER = "num_batches_tracked"  # which only torch has, and only for training

Configuration = tuple[int, int, int]  # classes, channels, image size
State = Mapping[str, Tensor]
Layer = dict[str, str]  # names of tensors by their roles, such as "weight"


@dataclass(frozen=True, kw_only=True)
class Recognized:
    """A network of the registry whose weights a file has.

    Attributes:
        net: name of the network.
        num_classes: number of classes.
        in_channels: number of image channels.
        image_size: image height and width.
        names: the name in the file of each tensor of the network's state dict that the file has.
        dense: the weights of convolutions, by their names in the state dict, that have groups in the network, and that
            the file has as those of a convolution without groups, with zeros between the groups.
    """

    net: str
    num_classes: int
    in_channels: int
    image_size: int
    names: dict[str, str]
    dense: tuple[str, ...] = ()


def by_graph(graph: Graph, tensors: Mapping[str, Tensor], nets: Collection[str] = tuple(NETS)) -> list[Recognized]:
    """Return the networks that compute what a graph computes, with the same dropout in the same places.

    A final softmax of the graph does not count. The functions are compared for random weights, see `same_function`.
    Networks of more than 1,000 layers are not compared.

    Args:
        graph: the network.
        tensors: its weights by node, such as "conv1.weight"; only the names of those that are there are returned.
        nets: the networks that are compared.
    """
    if len(graph.nodes) > _MAX_LAYERS:
        return []
    trunk = same_function.without_softmax(graph)
    channels, height, width = trunk.input
    try:
        classes = torch.Size(trunk.output_shape).numel()
    except ValueError:  # it is no network
        return []
    if height != width:
        return []
    recognized = []
    for net, names in same_function.equals(trunk, (classes, channels, height), nets):
        here = {name: source for name, source in names.items() if source in tensors}
        recognized.append(Recognized(net=net, num_classes=classes, in_channels=channels, image_size=height, names=here))
    return recognized


def by_names(tensors: Mapping[str, Tensor]) -> list[Recognized]:
    """Return the networks whose weights a file has, by names (with any prefix) and shapes, or only by shapes.

    If no network has the names of the file, layers are paired by the shapes of their tensors, and those of equal shapes
    in the order of their names, where conv2 comes before conv10. There are several networks if they differ only in
    layers without weights. Those with the image size of their source come first.

    Args:
        tensors: the tensors of a file, also on the meta device. If they have values, convolutions whose weights have
            zeros between two groups also count as those with two groups; these networks come first.
    """
    grouped = _without_zeros(tensors)
    found = [replace(each, dense=_which(each.names, grouped)) for each in _by_shapes({**tensors, **grouped})]
    return found + _by_shapes(tensors) if grouped else found


def _by_shapes(tensors: Mapping[str, Tensor]) -> list[Recognized]:
    layers = _layers(tensors)
    if not layers or len(layers) > _MAX_LAYERS:
        return []
    found = [each for net in NETS if (each := _by_equal_names(net, tensors))]
    if not found:
        found = [each for net in NETS if (each := _by_pairs(net, layers, tensors))]
    return sorted(found, key=lambda each: each.image_size != NETS[each.net].input[1])


def _which(names: Mapping[str, str], grouped: Mapping[str, Tensor]) -> tuple[str, ...]:
    return tuple(name for name, source in names.items() if source in grouped)


def _without_zeros(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of convolutions that have zeros between two groups, as those of convolutions with two groups."""
    grouped = {}
    for name, tensor in tensors.items():
        if tensor.dim() != 4 or tensor.is_meta or tensor.shape[0] % 2 or tensor.shape[1] % 2 or not tensor.numel():
            continue
        (left, off), (other_off, right) = ((half.chunk(2, dim=1)) for half in tensor.chunk(2))
        if not off.any() and not other_off.any() and left.any() and right.any():
            grouped[name] = torch.empty_like(torch.cat([left, right]), device="meta")
    return grouped


# --------------------------------------------------------------------------------------------------------- equal names


class Fit(NamedTuple):
    """A network in the configuration that is most similar to a file.

    `similarity` is the share of tensors that agree, 0..1; with `renamed`, the file has none of its names, and only
    shapes are compared. `tensors` are those of the file that have the prefix, without it.
    """

    configuration: Configuration
    state: State
    prefix: str
    tensors: State
    renamed: bool
    similarity: float


def best_fit(net: str, file: State) -> Fit:
    """Build a network on the meta device in the configuration most similar to the tensors of a file."""
    default = (NETS[net].classes, *NETS[net].input[:2])
    state = state_on_meta(net, default)
    prefix = files.prefix_of(file, state)
    tensors = {name.removeprefix(prefix): tensor for name, tensor in file.items() if name.startswith(prefix)}
    renamed = not tensors.keys() & state.keys()
    best: tuple[float, Configuration, State] = (-1.0, default, state)
    for configuration in _configurations(net, default, state, tensors):
        try:
            state = state_on_meta(net, configuration)
        except (ValueError, RuntimeError):  # the network cannot be built like that
            continue
        similarity = _similarity(state, tensors, renamed=renamed)
        if similarity > best[0]:
            best = (similarity, configuration, state)
        if similarity == 1:
            break
    similarity, configuration, state = best
    return Fit(configuration, state, prefix, tensors, renamed, similarity)


@lru_cache(maxsize=256)
def state_on_meta(net: str, configuration: Configuration) -> Mapping[str, Tensor]:
    """Return the tensors of a network that is built on the meta device."""
    with torch.device("meta"):
        state: dict[str, Tensor] = NETS[net].load()(*configuration).state_dict()
    return MappingProxyType(state)


def _configurations(net: str, default: Configuration, state: State, tensors: State) -> Iterator[Configuration]:
    """Classes, channels and image sizes that the network may have been built for, the most probable first."""
    yield default
    classes, channels, size = default
    if not state.keys() <= tensors.keys():
        return
    first, last = next(iter(state)), [name for name, tensor in state.items() if tensor.dim() > 1][-1]
    if tensors[last].dim() == state[last].dim():
        classes = tensors[last].shape[0] or classes
    axis = 1 if state[first].dim() == 4 else 0  # grows with the channels; 0 in a connection table, which lists pairs
    if tensors[first].dim() == state[first].dim():
        channels = default[1] * tensors[first].shape[axis] // state[first].shape[axis] or channels
    yield classes, channels, size
    dense = next((name for name, tensor in state.items() if tensor.dim() == 2), last)
    if tensors[dense].dim() == 2 and (other_size := _size(net, (classes, channels), tensors[dense].shape[1])):
        yield classes, channels, other_size


def _similarity(state: State, tensors: State, *, renamed: bool) -> float:
    """The share of tensors that agree (intersection over union): by name and shape, or only by shape."""
    if renamed:
        shapes, file_shapes = (Counter(tensor.shape for tensor in group.values()) for group in (state, tensors))
        agreeing = (shapes & file_shapes).total()
    else:
        agreeing = sum(name in tensors and tensors[name].shape == tensor.shape for name, tensor in state.items())
    return agreeing / (len(state) + len(tensors) - agreeing)


def _by_equal_names(net: str, tensors: State) -> Recognized | None:
    fit = best_fit(net, tensors)
    if fit.similarity < 1 or fit.renamed:
        return None
    return _recognized(net, fit.configuration, {name: fit.prefix + name for name in fit.state})


def _recognized(net: str, configuration: Configuration, names: dict[str, str]) -> Recognized:
    classes, channels, size = configuration
    return Recognized(net=net, num_classes=classes, in_channels=channels, image_size=size, names=names)


# --------------------------------------------------------------------------------------------------------- other names


def _layers(tensors: Mapping[str, Tensor]) -> list[Layer]:
    """The tensors in groups of those that belong to one layer, by their names, in the natural order of these."""
    groups: dict[str, Layer] = {}
    for name in tensors:
        if name.endswith(_COUNTER):
            continue
        match = _NAME.fullmatch(name)
        stem, role = (match[1], _ROLES[match[2]]) if match else (name, "")
        layer = groups.setdefault(stem, {})
        if role in layer:  # such as "a.weight" beside "a_weight"
            layer = groups.setdefault(name, {})
        layer[role] = name
    return [groups[stem] for stem in sorted(groups, key=_natural)]


def _natural(stem: str) -> list[tuple[int, int, str]]:
    """A key that sorts conv2 before conv10."""
    parts = re.split(r"(\d{1,9})", stem)
    return [(1, int(part), "") if part.isdecimal() and part.isascii() else (0, 0, part) for part in parts]


def _signature(layer: Layer, tensors: Mapping[str, Tensor]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple(sorted((role, tuple(tensors[name].shape)) for role, name in layer.items()))


def _by_pairs(net: str, layers: list[Layer], tensors: Mapping[str, Tensor]) -> Recognized | None:
    """The network if each of its layers has a partner of the same shapes in the file, and each of the file has one."""
    for configuration in _possible(net, layers, tensors):
        try:
            state = state_on_meta(net, configuration)
        except (ValueError, RuntimeError):  # the network cannot be built like that
            continue
        own = _in_order(state)
        partners: dict[object, list[Layer]] = {}
        for layer in layers:
            partners.setdefault(_signature(layer, tensors), []).append(layer)
        if Counter(_signature(layer, state) for layer in own) == {key: len(each) for key, each in partners.items()}:
            pairs = [(layer, partners[_signature(layer, state)].pop(0)) for layer in own]
            names = {name: other[role] for layer, other in pairs for role, name in layer.items()}
            return _recognized(net, configuration, names)
    return None


def pair(state: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the name in a file of each tensor of a network whose names the file does not have.

    Layers are paired by their shapes, and those of equal shapes in the order of their names. The first layer may have
    other channels, and the last one other outputs.

    Args:
        state: the state dict of any network.
        tensors: those of the file.

    Returns:
        The names by those of the network; {} unless each layer has one partner.
    """
    own, other = _in_order(dict(state)), _layers(tensors)
    if len(own) != len(other) or len(own) > _MAX_LAYERS:
        return {}
    partners: dict[object, list[Layer]] = {}
    for layer, signature in zip(other, _loose_signatures(other, tensors), strict=True):
        partners.setdefault(signature, []).append(layer)
    names: dict[str, str] = {}
    for layer, signature in zip(own, _loose_signatures(own, state), strict=True):
        if not partners.get(signature):
            return {}
        partner = partners[signature].pop(0)
        names |= {name: partner[role] for role, name in layer.items()}
    return names


def _loose_signatures(layers: list[Layer], tensors: Mapping[str, Tensor]) -> list[object]:
    """The signatures of layers, without the channels of the first kernel and the outputs of the last dense layer."""
    kernels = [i for i, layer in enumerate(layers) if len(_weight(layer, tensors)) == 4]
    dense = [i for i, layer in enumerate(layers) if len(_weight(layer, tensors)) == 2]
    signatures: list[object] = [_signature(layer, tensors) for layer in layers]
    for i in kernels[:1]:
        out, _channels, *size = _weight(layers[i], tensors)
        signatures[i] = ("kernel", out, *size)
    for i in dense[-1:]:
        signatures[i] = ("head", _weight(layers[i], tensors)[1])
    return signatures


def _in_order(state: State) -> list[Layer]:
    """The layers of a network in its own order."""
    layers = _layers(state)
    places = {name: i for i, name in enumerate(state)}
    return sorted(layers, key=lambda layer: min(places[name] for name in layer.values()))


def _possible(net: str, layers: list[Layer], tensors: Mapping[str, Tensor]) -> Iterator[Configuration]:
    """Classes, channels and image sizes for which the network has as many weights as the file, by their shapes.

    Only the first convolution depends on the channels, only the first dense layer on the image size, and only the last
    one on the classes.
    """
    default = (NETS[net].classes, *NETS[net].input[:2])
    state = state_on_meta(net, default)
    own = [_weight(layer, state) for layer in _in_order(state)]
    other = [_weight(layer, tensors) for layer in layers]
    (kernels, dense), (file_kernels, file_dense) = (
        [[shape for shape in shapes if len(shape) == dims] for dims in (4, 2)] for shapes in (own, other)
    )
    if len(own) != len(other) or len(kernels) != len(file_kernels) or len(dense) != len(file_dense) or not dense:
        return
    channels = default[1]
    if kernels:
        rest = [*(Counter(file_kernels) - Counter(kernels[1:])).elements()]
        if len(rest) != 1 or (rest[0][0], *rest[0][2:]) != (kernels[0][0], *kernels[0][2:]):
            return
        channels = channels * rest[0][1] // kernels[0][1]
    rest = [*(Counter(file_dense) - Counter(dense[1:-1])).elements()]
    for first, *others in dict.fromkeys(permutations(rest, min(len(dense), 2))):
        last = others[0] if others else first
        is_first = not others or first[0] == dense[0][0]
        if len(rest) != min(len(dense), 2) or not is_first or (others and last[1] != dense[-1][1]):
            continue
        size = default[2] if first[1] == dense[0][1] else _size(net, (last[0], channels), first[1])
        if size and channels and last[0]:
            yield last[0], channels, size


def _weight(layer: Layer, tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    return tuple(tensors[layer["weight"]].shape) if "weight" in layer else ()


def _size(net: str, numbers: tuple[int, int], wanted: int) -> int | None:
    """The smallest image size for which the first dense layer reads this number of values, by bisection."""
    low, high = _IMAGE_SIZES.start, _IMAGE_SIZES.stop
    while low < high:
        middle = (low + high) // 2
        if _values(net, (*numbers, middle)) < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low in _IMAGE_SIZES and _values(net, (*numbers, low)) == wanted else None


def _values(net: str, configuration: Configuration) -> int:
    """The number of values that the first dense layer reads; 0 if the network cannot be built."""
    try:
        return next(t.shape[1] for t in state_on_meta(net, configuration).values() if t.dim() == 2)
    except (ValueError, RuntimeError, StopIteration):
        return 0
