"""Decides whether a graph and a network of the registry compute the same function, for any weights."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from classicnets.models.graph import Graph, module_name
from classicnets.models.registry import NETS

_TOLERANCE = 1e-9  # of the spread of the outputs, in float64
_MAX_WEIGHTS = 2**28  # of networks that are computed
_MAX_SIZE = 512  # height and width of images for which they are
_MAX_RANDOM = 2**20  # random numbers for one tensor
_STEP = 97  # numbers by which the rows of a larger tensor are shifted
_COUNTER = "num_batches_tracked"

Layers = list[tuple[str, dict[str, tuple[int, ...]]]]  # names of modules, and the shapes of their own tensors


def without_softmax(graph: Graph) -> Graph:
    """Return the graph without the softmax at its end, if it has one."""
    *others, last = graph.nodes
    is_end = others and last.kind == "softmax" and last.inputs == (others[-1].name,)
    return replace(graph, nodes=tuple(others)) if is_end else graph


def equals(
    graph: Graph, configuration: tuple[int, int, int], nets: Collection[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the networks that compute what a graph computes, and the names of their tensors.

    They have the same layers with weights, in order, and dropout of the same probabilities between the same ones. With
    the same random weights, their outputs differ by rounding only, for one image of noise from 0 to 255, whose squares
    a normalization sees, and for one from -1 to 1, for which no sigmoid saturates.

    Args:
        graph: a network for square images. If it has more than 268 million weights, or images of more than 512 pixels,
            nothing is yielded.
        configuration: classes, channels and image size for which networks of the registry are built.
        nets: names of these networks.

    Yields:
        The network, and the name "node.weight" for each name in its state dict.
    """
    with torch.device("meta"):
        net = graph.build().eval()
    layers = _layers(net)
    count = sum(math.prod(shape) for _name, shapes in layers for shape in shapes.values())
    if count > _MAX_WEIGHTS or max(graph.input[1:]) > _MAX_SIZE:
        return
    candidates = {}
    for name in nets:
        try:
            with torch.device("meta"):
                other = NETS[name].load()(*configuration).eval()
        except (ValueError, RuntimeError):  # the network cannot be built like that
            continue
        same_shapes = [shapes for _name, shapes in _layers(other)] == [shapes for _name, shapes in layers]
        if same_shapes and _dropouts(other) == _dropouts(net):
            candidates[name] = other
    nodes = {module_name(node.name): node.name for node in graph.nodes}
    for name in _equal_outputs(net, candidates, graph.input):
        pairs = zip(_layers(candidates[name]), layers, strict=True)
        yield (
            name,
            {
                f"{own}.{each}": f"{nodes[module]}.{each}"
                for (own, shapes), (module, _shapes) in pairs
                for each in shapes
            },
        )


def _layers(net: nn.Module) -> Layers:
    """The modules that have weights of their own, in the order of computation."""
    layers: Layers = []
    for name, module in net.named_modules():
        own = {**module._parameters, **module._buffers}
        shapes = {key: tuple(t.shape) for key, t in own.items() if t is not None and key != _COUNTER}
        if shapes:
            layers.append((name, shapes))
    return layers


def _dropouts(net: nn.Module) -> list[tuple[int, float]]:
    """For each dropout layer, the number of layers with weights before it, and its probability."""
    before, places = 0, []
    for module in net.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p:
            places.append((before, module.p))
        before += any(tensor is not None for tensor in module._parameters.values())
    return places


def _equal_outputs(net: nn.Module, candidates: Mapping[str, nn.Module], input: tuple[int, int, int]) -> list[str]:
    """The candidates whose outputs are those of `net`; all are given weights."""
    if not candidates:
        return []
    generator = torch.Generator().manual_seed(0)
    layers = _layers(net)
    weights = [{key: _random(key, shape, generator) for key, shape in shapes.items()} for _name, shapes in layers]
    for each in (net, *candidates.values()):
        pairs = zip(_layers(each), weights, strict=True)
        state = {f"{name}.{key}": tensor for (name, _shapes), own in pairs for key, tensor in own.items()}
        each.load_state_dict(state, strict=False, assign=True)
    noise = torch.rand(1, *input, generator=generator, dtype=torch.float64)
    names, is_visible = list(candidates), False
    for images in (255 * noise, 2 * noise - 1):
        expected = _outputs(net, images)
        spread = float((expected - expected.mean()).abs().max() if expected.numel() > 1 else expected.abs().max())
        is_visible |= spread > 0
        names = [name for name in names if _agree(_outputs(candidates[name], images), expected, spread)]
    return names if is_visible else []


def _agree(outputs: Tensor, expected: Tensor, spread: float) -> bool:
    return outputs.shape == expected.shape and bool((outputs - expected).abs().max() <= _TOLERANCE * spread)


def _outputs(net: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        outputs: Tensor = net(images)
    return outputs.flatten()


def _random(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Random weights for which no layer is dead; factors and variances are about 1, other vectors about 0.

    The rows of a large tensor are those of a smaller one, shifted, so that it needs little memory and time.
    """
    if len(shape) < 2:
        is_factor = name in {"weight", "running_var"}
        return torch.rand(shape, generator=generator, dtype=torch.float64) - 0.5 + is_factor
    inner = math.prod(shape[1:])
    step = inner if math.prod(shape) <= _MAX_RANDOM else _STEP
    values = torch.randn((shape[0] - 1) * step + inner, generator=generator, dtype=torch.float64)
    strides = torch.empty(shape, device="meta").stride()
    return (values * math.sqrt(2 / inner)).as_strided(shape, (step, *strides[1:]))
