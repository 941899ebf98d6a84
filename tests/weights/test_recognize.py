"""Networks of the registry are recognized by the function of a graph, and by names and shapes of weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from classicnets.models.graph import DATA, Graph, Node
from classicnets.models.lrn import LRN
from classicnets.models.registry import NETS
from classicnets.weights.recognize import Recognized, by_graph, by_names, state_on_meta
from support.graphs import of_caffe

SMALL = ["lenet_32", "lenet_caffe", "lenet_d2l", "lenet_d2l_v1", "alexnet_28"]  # chains of layers that graphs have


def pair(value: int | tuple[int, int]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def settings_of(module: nn.Module) -> tuple[str, dict[str, Any]]:
    """The kind of node that a layer is, and its settings."""
    match module:
        case nn.Conv2d():
            sizes = {
                key: pair(getattr(module, f"{key}_size" if key == "kernel" else key)) for key in ("kernel", "stride")
            }
            own = {"out": module.out_channels, "groups": module.groups, "bias": module.bias is not None}
            return "conv", {**own, **sizes, "padding": pair(module.padding)}  # type: ignore[arg-type]
        case nn.MaxPool2d() | nn.AvgPool2d():
            mode = "max" if isinstance(module, nn.MaxPool2d) else "average"
            sizes = {
                key: pair(getattr(module, f"{key}_size" if key == "kernel" else key)) for key in ("kernel", "stride")
            }
            return "pool", {"mode": mode, **sizes, "padding": pair(module.padding), "ceil": module.ceil_mode}
        case nn.Linear():
            return "dense", {"out": module.out_features}
        case nn.Dropout():
            return "dropout", {"p": module.p}
        case nn.BatchNorm2d():
            return "batch_norm", {}
        case LRN():
            return "lrn", {"size": module.size, "alpha": module.alpha, "beta": module.beta, "k": module.k}
    return {"ReLU": "relu", "Sigmoid": "sigmoid", "Flatten": "flatten"}[type(module).__name__], {}


def graph_of(name: str) -> Graph:
    """A network of the registry as a graph, whose nodes have other names."""
    net = NETS[name].load()(NETS[name].classes, *NETS[name].input[:2])
    nodes: list[Node] = []
    for own_name, module in net.named_children():
        kind, settings = settings_of(module)
        source = nodes[-1].name if nodes else DATA
        nodes.append(Node(name=f"x.{own_name}", kind=kind, inputs=(source,), settings=settings))
    return Graph(name="a", input=NETS[name].input, nodes=tuple(nodes))


def weights_of(graph: Graph) -> dict[str, Tensor]:
    with torch.device("meta"):
        state = graph.build().state_dict()
    names = {node.name.replace(".", "_"): node.name for node in graph.nodes}
    return {f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": t for name, t in state.items()}


def nets(recognized: list[Recognized]) -> list[tuple[str, int, int, int]]:
    return [(each.net, each.num_classes, each.in_channels, each.image_size) for each in recognized]


def own(name: str) -> tuple[str, int, int, int]:
    """What is recognized of a network as its source has it."""
    return name, NETS[name].classes, *NETS[name].input[:2]


# ----------------------------------------------------------------------------------------------------------- by graph


@pytest.mark.parametrize("name", SMALL)
def test_a_graph_is_the_network_with_the_same_function(name: str) -> None:
    graph = graph_of(name)
    (found,) = by_graph(graph, weights_of(graph))
    assert nets([found]) == [own(name)]
    with torch.device("meta"):
        state = NETS[name].load()(*own(name)[1:]).state_dict()
    state = {key: t for key, t in state.items() if not key.endswith("num_batches_tracked")}
    assert found.names == {key: f"x.{key}" for key in state} and found.dense == ()


@pytest.mark.parametrize("name", ["alexnet_caffe", "caffenet"])
def test_the_order_of_pooling_and_normalization_decides(name: str) -> None:
    graph = of_caffe(name, 227)
    softmax = Node(name="prob", kind="softmax", inputs=("fc8",), settings={})
    graph = replace(graph, nodes=(*graph.nodes, softmax))  # as in a deploy.prototxt
    assert nets(by_graph(graph, {})) == [own(name)]


def test_a_constant_of_the_normalization_decides() -> None:
    graph = of_caffe("caffenet", 227)
    assert by_graph(changed(changed(graph, "norm1", k=2.0), "norm2", k=2.0), {}) == []


def changed(graph: Graph, name: str, **settings: Any) -> Graph:
    nodes = [replace(n, settings={**n.settings, **settings}) if n.name == name else n for n in graph.nodes]
    return replace(graph, nodes=tuple(nodes))


def changes() -> Iterator[tuple[str, Graph]]:
    graph = graph_of("alexnet_28")
    relu = next(i for i, node in enumerate(graph.nodes) if node.kind == "relu")
    drop = next(node.name for node in graph.nodes if node.kind == "dropout")
    yield "dropout", changed(graph, drop, p=0.4)
    yield "no dropout", changed(graph, drop, p=0.0)
    yield "epsilon", changed(graph, "x.norm1", eps=1e-4)
    yield "slope", changed(graph, graph.nodes[relu].name, slope=1e-6)
    yield "rounding", changed(graph, "x.pool5", ceil=True, kernel=[3, 3], padding=[1, 1])
    yield "place of dropout", _with_dropout_before(graph, drop)
    yield "not square", replace(graph, input=(1, 28, 29))
    yield "too small", replace(graph, input=(1, 2, 2))
    yield "large", replace(graph, input=(1, 2000, 2000))
    sigmoid = graph_of("lenet_d2l")
    yield "pooling", changed(sigmoid, "x.pool1", mode="max")
    yield "classes of another head", changed(sigmoid, "x.fc2", out=85)


def _with_dropout_before(graph: Graph, name: str) -> Graph:
    """The graph with a dropout layer moved before the dense layer that it follows."""
    moved = next(node for node in graph.nodes if node.name == name)
    others = [node for node in graph.nodes if node.name != name]
    place = next(i for i, node in enumerate(others) if node.kind == "dense")
    ordered = [*others[:place], moved, *others[place:]]
    sources = [DATA, *(node.name for node in ordered)]
    return replace(graph, nodes=tuple(replace(n, inputs=(s,)) for n, s in zip(ordered, sources, strict=False)))


@pytest.mark.parametrize(("what", "graph"), [*changes()], ids=lambda value: value if isinstance(value, str) else "")
def test_a_graph_with_another_setting_is_another_network(what: str, graph: Graph) -> None:
    assert by_graph(graph, {}) == [], what


def test_classes_and_channels_are_those_of_the_graph() -> None:
    graph = changed(replace(graph_of("lenet_caffe"), input=(3, 36, 36)), "x.ip2", out=7)
    assert nets(by_graph(graph, {})) == [("lenet_caffe", 7, 3, 36)]
    (found,) = by_graph(graph, {"x.ip1.weight": torch.zeros(1)})
    assert found.names == {"ip1.weight": "x.ip1.weight"}


# ----------------------------------------------------------------------------------------------------------- by names


def renamed(name: str, layers: list[str], *configuration: int, joint: str = ".") -> dict[str, Tensor]:
    """The tensors of a network with other names of layers, in alphabetical order, as some formats have them."""
    state = state_on_meta(name, configuration or own(name)[1:])
    stems = dict.fromkeys(key.rpartition(".")[0] for key in state)
    others = dict(zip(stems, layers, strict=True))
    pairs = [
        (f"{others[key.rpartition('.')[0]]}{joint}{key.rpartition('.')[2]}", tensor) for key, tensor in state.items()
    ]
    return dict(sorted(pairs))


ZOO = [*(f"features.{i}" for i in (0, 2, 4, 5, 6, 9, 11)), "output"]
VGG = [
    *(f"features.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
    *(f"classifier.{i}" for i in (0, 3, 6)),
]
DENSE8 = [*(f"conv{i}" for i in range(1, 6)), "fc1", "fc2", "fc3"]
GLUON = [*(f"sequential0_conv{i}" for i in range(2)), *(f"sequential0_dense{i}" for i in range(3))]
FILES: dict[str, tuple[dict[str, Tensor], list[tuple[str, int, int, int]], dict[str, str]]] = {
    "model zoo of Gluon": (
        renamed("alexnet_torchvision", ZOO),
        [own("alexnet_2014"), own("alexnet_torchvision")],
        {"fc8.weight": "output.weight", "conv2.bias": "features.2.bias"},
    ),
    "chapter of Gluon": (
        renamed("lenet_d2l_v1", ["0", "2", "4", "5", "6"]),
        [own("lenet_d2l_v1"), ("lenet_32", 10, 1, 28), ("lenet_d2l", 10, 1, 24)],
        {"conv1.weight": "0.weight", "fc3.bias": "6.bias"},
    ),
    "deprecated names of Gluon": (
        renamed("lenet_d2l_v1", GLUON, joint="_"),
        [own("lenet_d2l_v1"), ("lenet_32", 10, 1, 28), ("lenet_d2l", 10, 1, 24)],
        {"conv1.weight": "sequential0_conv0_weight", "fc3.bias": "sequential0_dense2_bias"},
    ),
    "symbol of MXNet": (
        renamed("alexnet_mxnet", DENSE8, joint="_"),
        [own("alexnet_mxnet"), ("alexnet_d2l", 1000, 3, 224), ("alexnet_d2l_v1", 1000, 3, 224)],
        {"conv4.weight": "conv4_weight", "fc6.weight": "fc1_weight"},
    ),
    "symbol of MXNet for larger images": (
        renamed("alexnet_mxnet", DENSE8, 20, 3, 227, joint="_"),
        [("alexnet_mxnet", 20, 3, 227), ("alexnet_d2l", 20, 3, 225), ("alexnet_d2l_v1", 20, 3, 227)],
        {"fc8.weight": "fc3_weight"},
    ),
    "torchvision": (renamed("vgg16", VGG), [own("vgg16")], {"conv3_3.weight": "features.14.weight"}),
    "batch normalization": (
        {
            name.replace("norm", "bn").replace("weight" if "norm" in name else "-", "gamma"): t
            for name, t in state_on_meta("alexnet_28", (10, 1, 28)).items()
            if "tracked" not in name
        },
        [own("alexnet_28")],
        {"norm2.weight": "bn2.gamma", "norm5.running_var": "bn5.running_var", "conv5.weight": "conv5.weight"},
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_layers_of_other_names_are_paired_by_shapes(name: str) -> None:
    tensors, expected, names = FILES[name]
    found = by_names(tensors)
    assert sorted(nets(found)) == sorted(expected)
    assert found[0].image_size == NETS[found[0].net].input[1] or name.endswith("larger images")
    assert names.items() <= found[0].names.items() or names.items() <= found[1].names.items()
    for each in found:
        state = state_on_meta(each.net, (each.num_classes, each.in_channels, each.image_size))
        assert sorted(each.names.values()) == sorted(tensors)
        assert all(state[key].shape == tensors[source].shape for key, source in each.names.items())


def test_equal_names_come_before_equal_shapes() -> None:
    tensors = {f"module.{name}": t for name, t in state_on_meta("caffenet", (20, 3, 227)).items()}
    found = by_names(tensors)
    assert {("alexnet_caffe", 20, 3, 227), ("caffenet", 20, 3, 227)} < set(nets(found))
    assert all(each.names["fc8.bias"] == "module.fc8.bias" for each in found)
    torchvision = by_names(state_on_meta("alexnet_torchvision", (1000, 3, 224)))
    assert nets(torchvision) == [own("alexnet_torchvision")]


def test_weights_with_zeros_between_groups_are_those_of_a_grouped_network() -> None:
    """Such weights also fit a network without groups, which computes the same with them."""
    tensors = dict(state_on_meta("caffenet", (1000, 3, 227)))
    for name in ("conv2.weight", "conv4.weight", "conv5.weight"):
        left, right = torch.ones(tensors[name].shape).chunk(2)
        zeros = torch.zeros_like(left)
        tensors[name] = torch.cat([torch.cat([left, zeros], 1), torch.cat([zeros, right], 1)])
    first, *others = by_names(tensors)
    assert first.dense == ("conv2.weight", "conv4.weight", "conv5.weight")
    assert own("caffenet") in nets([first, *others]) and ("alexnet_mxnet", 1000, 3, 227) in nets(others)
    assert [each.dense for each in others if each.net == "alexnet_mxnet"] == [()]
    meta = by_names({name: tensor.to("meta") for name, tensor in tensors.items()})
    assert all(each.dense == () for each in meta) and ("alexnet_mxnet", 1000, 3, 227) in nets(meta)


def test_other_files_are_not_recognized() -> None:
    tensors = state_on_meta("lenet_d2l", (10, 1, 28))
    more = {f"layer.{i}": torch.empty(2, 2, device="meta") for i in range(3)}
    halved = {name: t for name, t in tensors.items() if name != "fc2.bias"}
    other = {**tensors, "conv2.weight": torch.empty(16, 6, 3, 3, device="meta")}
    for wrong in ({}, more, {**tensors, **more}, halved, other, {"a": torch.empty(())}, {"": torch.empty(0, 0)}):
        assert by_names(wrong) == []
    assert by_names({f"{i}.weight": torch.empty(2, 2, device="meta") for i in range(3000)}) == []
