"""A network with its weights while it is converted: of the registry, or a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from classicnets.conversion.nodes import nodes_of
from classicnets.models.graph import DATA, Graph, Node, module_name
from classicnets.runs import net_spec
from classicnets.runs.net_spec import NetSpec

_PASSES_ON = {"dropout", "mean_image", "power"}  # kinds that keep the channels of an image apart


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network and its weights.

    Attributes:
        spec: how it is built: "registry", or "graph" for classes, channels and sizes of its own.
        tensors: its state dict.
    """

    spec: NetSpec
    tensors: dict[str, Tensor]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.spec.in_channels, self.spec.image_size, self.spec.image_size

    @property
    def first(self) -> list[str]:
        """The names of the weights that read the channels of the image; [] if it is read by other layers."""
        if self.spec.kind == "registry":
            return [name for name, tensor in self.tensors.items() if tensor.dim() > 1][:1]
        return [f"{module_name(node.name)}.weight" for node in readers(self.spec.read_graph().nodes)]

    @property
    def head(self) -> str:
        """The name of the last dense layer; "" if there is none, or if others follow it that have weights."""
        if self.spec.kind == "registry":
            last = [name for name, tensor in self.tensors.items() if tensor.is_floating_point()][-1]
            head = last.rpartition(".")[0]
            is_dense = f"{head}.weight" in self.tensors and self.tensors[f"{head}.weight"].dim() == 2
            return head if is_dense else ""
        nodes = [node for node in self.spec.read_graph().nodes if f"{module_name(node.name)}.weight" in self.tensors]
        return module_name(nodes[-1].name) if nodes and nodes[-1].kind == "dense" else ""

    def build(self) -> nn.Module:
        """Build the network and load its weights."""
        net = self.spec.build()
        net.load_state_dict(self.tensors)
        return net.eval()

    def as_graph(self) -> Network:
        """Return the same network as a graph. Raises UsageError for a layer that no kind of node is equal to."""
        if self.spec.kind == "graph":
            return self
        nodes, names = nodes_of(self.build(), self.shape)
        graph = Graph(name=self.spec.name, input=self.shape, nodes=tuple(nodes))
        return of_graph(graph, {name: self.tensors[source] for name, source in names.items()}, self.spec.num_classes)

    def changed(self, tensors: Mapping[str, Tensor] | None = None, **numbers: Any) -> Network:
        """Return a copy with other tensors, and other `num_classes` or `in_channels`."""
        spec = replace(self.spec, **numbers)
        if spec.kind == "graph":
            graph = spec.read_graph()
            nodes = graph.nodes
            if "num_classes" in numbers:
                nodes = tuple(_with(node, out=spec.num_classes, name=self.head) for node in nodes)
            graph = Graph(name=graph.name, input=(spec.in_channels, *graph.input[1:]), nodes=nodes)
            spec = replace(net_spec.from_graph(graph), **_numbers(graph.input, spec.num_classes))
        return Network(spec=spec, tensors={**self.tensors, **(tensors or {})})


def of_graph(graph: Graph, tensors: Mapping[str, Tensor], num_classes: int) -> Network:
    """Return the network of a graph whose weights are named by its nodes, such as "conv1.weight"."""
    spec = replace(net_spec.from_graph(graph), **_numbers(graph.input, num_classes))
    named = {}
    for name, tensor in tensors.items():
        node, _separator, parameter = name.rpartition(".")
        named[f"{module_name(node)}.{parameter}"] = tensor
    state = graph.build().state_dict()
    return Network(spec=spec, tensors={name: named[name] if name in named else state[name] for name in state})


def by_node(graph: Graph, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the state dict of a graph, by the names of its nodes."""
    names = {module_name(node.name): node.name for node in graph.nodes}
    return {f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": t for name, t in tensors.items()}


def readers(nodes: tuple[Node, ...]) -> list[Node]:
    """Return the layers with weights that read the image; [] if other layers change its channels before."""
    images, layers = {DATA}, []
    for node in nodes:
        if not images & {*node.inputs}:
            continue
        if node.kind in {"conv", "dense"}:
            layers.append(node)
        elif node.kind in _PASSES_ON:
            images.add(node.name)
        else:
            return []
    return layers


def _numbers(shape: tuple[int, int, int], num_classes: int) -> dict[str, Any]:
    channels, height, _width = shape
    return {"num_classes": num_classes, "in_channels": channels, "image_size": height}


def _with(node: Node, *, out: int, name: str) -> Node:
    return replace(node, settings={**node.settings, "out": out}) if module_name(node.name) == name else node
