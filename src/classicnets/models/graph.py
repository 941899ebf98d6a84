"""Networks from a graph: a list of layers, each with the names of those that it reads, as Caffe and MXNet store them.

Needs only torch and its neighbors.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from classicnets.models.graph_kinds import KINDS, Layer, Shape, with_defaults
from classicnets.models.messages import Message, ModelError

DATA = "data"  # the input that is the image
MAX_NODES = 10_000
MAX_WEIGHTS = 2**31
_MAX_VALUES = 2**28  # of one output, for one image
_MAX_SIDE = 2**16  # height or width
_MAX_NAME = 200  # characters


@dataclass(frozen=True, kw_only=True)
class Node:
    """A layer of a graph.

    Attributes:
        name: unique in the graph, as in the source file, such as "conv1".
        kind: a key of `graph_kinds.KINDS`, such as "conv".
        inputs: the names of the nodes that it reads; `DATA` is the image.
        settings: plain values, as `graph_kinds.KINDS` lists them for the kind.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    settings: dict[str, Any]


class _Step(NamedTuple):
    """A module in the order of computation: its name, the names of the modules that it reads, and what it becomes."""

    name: str
    inputs: tuple[str, ...]
    layer: Layer


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A network as a list of nodes in the order of computation, for images of one shape.

    Attributes:
        name: the name of the network.
        input: channels, height and width of an image.
        nodes: the layers; the last one gives the output.
    """

    name: str
    input: tuple[int, int, int]
    nodes: tuple[Node, ...]

    @property
    def output_shape(self) -> Shape:
        """The shape of the output for one image, calculated without building the network. Raises what `build` does."""
        return _steps(self.nodes, self.input)[-1].layer.shape

    def build(self) -> nn.Module:
        """Build the network with new weights. Raises ValueError if it is not valid, with the name of the node."""
        return build(self.nodes, self.input)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        nodes = [{**asdict(node), "inputs": list(node.inputs)} for node in self.nodes]
        return {"name": self.name, "input": list(self.input), "nodes": nodes}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Graph:
        """Return the graph of `to_json`; other keys are ignored.

        Raises:
            ValueError: the values are not a graph, or the network is not valid: an unknown kind, a missing or repeated
                node, a cycle, a setting that is not allowed, or sizes that vanish; the message names the node.
        """
        name, shape, nodes = (values.get(key) for key in ("name", "input", "nodes"))
        if not isinstance(name, str) or not isinstance(shape, list | tuple) or not isinstance(nodes, list | tuple):
            raise ModelError("a graph is an object with a name, the shape of its input, and a list of nodes")
        graph = cls(name=name, input=_checked_input(shape), nodes=tuple(map(_node, nodes)))
        _check_name(name)
        _steps(graph.nodes, graph.input)
        return graph


class GraphNet(nn.Module):
    """A network whose layers read the outputs of any earlier layers; `build` makes it.

    Has one module for each node, under `module_name`. A dense layer that reads an image has a module before it that
    flattens the image. The output of a layer is released when no later layer reads it.

    Args:
        nodes: the layers in the order of computation; the last one gives the output.
        input: channels, height and width of an image.

    Raises:
        ValueError: the graph is not valid; the message names the node.
    """

    def __init__(self, nodes: Sequence[Node], input: Sequence[int]) -> None:
        super().__init__()
        steps = _steps(nodes, input)
        last_use = {name: i for i, step in enumerate(steps) for name in step.inputs}
        self._calls: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []  # name, what it reads, what it releases
        for i, step in enumerate(steps):
            self.add_module(step.name, step.layer.make())
            released = tuple(name for name in dict.fromkeys(step.inputs) if last_use[name] == i)
            self._calls.append((step.name, step.inputs, released))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to the output of the last layer, such as logits [N, classes]."""
        values, name = {DATA: x}, DATA
        for name, inputs, released in self._calls:
            layer: Any = self._modules[name]
            values[name] = layer(*[values[input] for input in inputs])
            for read in released:
                del values[read]
        return values[name]


def build(nodes: Sequence[Node], input: Sequence[int]) -> nn.Module:
    """Build a network with new weights: an nn.Sequential if each layer reads the one before it, else a `GraphNet`.

    Args:
        nodes: the layers in the order of computation; the last one gives the output.
        input: channels, height and width of an image.

    Raises:
        ValueError: the graph is not valid; the message names the node.
    """
    steps = _steps(nodes, input)
    before = [DATA, *(step.name for step in steps)]
    if any(step.inputs != (name,) for step, name in zip(steps, before, strict=False)):
        return GraphNet(nodes, input)
    return nn.Sequential(OrderedDict((step.name, step.layer.make()) for step in steps))


def module_name(name: str) -> str:
    """Return the name of the module for a node: that of the node, unless torch does not allow it.

    Dots become underscores, an empty name becomes "layer", and a name that torch's modules use themselves, such as
    "forward", gets an underscore.
    """
    changed = name.replace(".", "_") or "layer"
    return f"{changed}_" if changed in _RESERVED or changed == DATA else changed


_RESERVED = frozenset({*dir(nn.Sequential()), "_calls"})


def _steps(nodes: Sequence[Node], input: Sequence[int]) -> list[_Step]:
    """The modules of a graph in the order of computation, with a flattening before each dense layer that needs it."""
    shapes: dict[str, Shape] = {DATA: _checked_input(input)}
    if not 1 <= len(nodes) <= MAX_NODES:
        raise ModelError("the graph has {n:,} nodes; allowed are 1 to {most:,}", n=len(nodes), most=MAX_NODES)
    names = _module_names(nodes)
    taken, places = set(names.values()), {node.name: i for i, node in enumerate(nodes)}
    steps: list[_Step] = []
    weights = 0
    for i, node in enumerate(nodes):
        try:
            settings = with_defaults(node.kind, node.settings)
            _check_inputs(node, places, i)
            inputs = tuple(names[name] for name in node.inputs)
            if node.kind == "dense" and len(shapes[inputs[0]]) > 1:
                flatten = _free_name(("flatten", f"{names[node.name]}_flatten"), taken)
                steps.append(_Step(flatten, inputs, KINDS["flatten"].layer({}, [shapes[inputs[0]]])))
                shapes[flatten], inputs = steps[-1].layer.shape, (flatten,)
            layer = KINDS[node.kind].layer(settings, [shapes[name] for name in inputs])
            weights += layer.weights
            if weights > MAX_WEIGHTS:
                raise ModelError(
                    "with it, the network has {n:,} weights; allowed are {most:,}", n=weights, most=MAX_WEIGHTS
                )
            _check_size(layer.shape)
        except ValueError as error:
            fields = {"name": node.name, "kind": node.kind[:40], "problem": error.args[0]}
            raise ModelError("node {name!r} ({kind}): {problem}", **fields) from error
        shapes[names[node.name]] = layer.shape
        steps.append(_Step(names[node.name], inputs, layer))
    _check_outputs(nodes)
    return steps


def _module_names(nodes: Sequence[Node]) -> dict[str, str]:
    """The name of the module of each node."""
    names = {DATA: DATA}
    for node in nodes:
        _check_name(node.name)
        if node.name == DATA:
            raise ModelError("a node is called {name!r}, which is the name of the image", name=DATA)
        if node.name in names:
            raise ModelError("two nodes are called {name!r}", name=node.name)
        names[node.name] = module_name(node.name)
    counts = Counter(names.values())
    if same := [name for name, module in names.items() if counts[module] > 1]:
        raise ModelError(
            "the nodes {first!r} and {second!r} both become a module {module!r}",
            first=same[0],
            second=same[1],
            module=names[same[0]],
        )
    return names


def _check_name(name: str) -> None:
    if len(name) > _MAX_NAME:
        raise ModelError(
            "the name {name!r}... has {n:,} characters; allowed are {most}",
            name=name[:40],
            n=len(name),
            most=_MAX_NAME,
        )
    if not name.isprintable():
        raise ModelError("the name {name!r} has characters that cannot be printed", name=name)


def _check_inputs(node: Node, places: Mapping[str, int], place: int) -> None:
    kind = KINDS[node.kind]
    if not kind.least <= len(node.inputs) <= kind.most:
        span = Message("{least} to {most}", least=kind.least, most=kind.most)
        allowed = str(kind.least) if kind.least == kind.most else span
        raise ModelError("it has {n} inputs; allowed are {allowed}", n=len(node.inputs), allowed=allowed)
    for name in node.inputs:
        if name != DATA and name not in places:
            raise ModelError("it reads {name!r}, and there is no such node", name=name[:_MAX_NAME])
        if name != DATA and places[name] >= place:
            after = Message("{name!r}, which comes after it", name=name)
            raise ModelError(
                "it reads {after}; nodes are listed in the order of computation, without cycles",
                after=Message("itself") if places[name] == place else after,
            )


def _check_size(shape: Shape) -> None:
    """Check that one output fits into memory."""
    if math.prod(shape) > _MAX_VALUES:
        raise ModelError("its output has {n:,} values; allowed are {most:,}", n=math.prod(shape), most=_MAX_VALUES)
    if max(shape[1:], default=0) > _MAX_SIDE:
        raise ModelError(
            "its output is {n:,} pixels high or wide; allowed are {most:,}", n=max(shape[1:]), most=_MAX_SIDE
        )


def _check_outputs(nodes: Sequence[Node]) -> None:
    """Check that only the last node gives an output."""
    read = {name for node in nodes for name in node.inputs}
    if unread := [node.name for node in nodes[:-1] if node.name not in read]:
        names = ", ".join(repr(name) for name in [*unread[:4], nodes[-1].name])
        raise ModelError("the graph has {n} outputs, and a network has one: {names}", n=len(unread) + 1, names=names)


def _free_name(candidates: Sequence[str], taken: set[str]) -> str:
    """The first candidate that is no name yet, or the last one with underscores; it is taken then."""
    name = next((name for name in candidates if name not in taken), candidates[-1])
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _checked_input(shape: Sequence[Any]) -> tuple[int, int, int]:
    is_shape = len(shape) == 3 and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in shape)
    if not is_shape or math.prod(shape) > _MAX_VALUES or max(shape[1:]) > _MAX_SIDE:
        raise ModelError(
            "input is {shape}; allowed are channels, height and width, each at least 1", shape=str(list(shape))[:60]
        )
    channels, height, width = shape
    return channels, height, width


def _node(values: Any) -> Node:
    keys: dict[str, Any] = {"name": str, "kind": str, "inputs": (list, tuple), "settings": dict}
    if not isinstance(values, Mapping) or not all(isinstance(values.get(key), kind) for key, kind in keys.items()):
        raise ModelError("a node is an object with name, kind, inputs and settings")
    if not all(isinstance(name, str) for name in values["inputs"]):
        raise ModelError("node {name!r}: its inputs are the names of nodes", name=values["name"])
    if unknown := [key for key in values if key not in keys]:
        raise ModelError("node {name!r}: {key!r} is not known", name=values["name"], key=unknown[0])
    return Node(**{**values, "inputs": tuple(values["inputs"])})
