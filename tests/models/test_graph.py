"""Networks from graphs: equal to those of the registry, to plain formulas, and refused where they are not valid."""

from __future__ import annotations

import math
import random
import re
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.acceleration.independence import obstacle
from classicnets.inspection.explain import explain
from classicnets.inspection.shapes import trace
from classicnets.models import graph as graphs
from classicnets.models.graph import Graph, GraphNet, Node, build, module_name
from classicnets.models.graph_kinds import KINDS
from classicnets.models.graph_layers import OPERATIONS, ChannelScale, WideAvgPool2d, WideMaxPool2d
from classicnets.models.modules import copy_module
from classicnets.models.registry import NETS
from classicnets.models.variants import vary
from support.graphs import chain, node, of_caffe, two_paths
from support.typed import layer_of

SIZES = {"lenet_caffe": 28, "alexnet_caffe": 67, "caffenet": 67}


def one(kind: str, shape: tuple[int, ...] = (4, 6, 7), inputs: str = "data", **values: Any) -> nn.Module:
    """A network of one layer."""
    return build([node("x", kind, inputs, **values)], shape)


# --- equal to the networks of the registry ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIZES)
def test_caffes_networks_equal_those_of_the_registry(name: str) -> None:
    """As graphs, they are the same modules under the same names, and compute the same, bit for bit."""
    graph, entry = of_caffe(name, SIZES[name]), NETS[name]
    torch.manual_seed(0)
    original = entry.load()(entry.classes, graph.input[0], SIZES[name]).eval()
    net = graph.build().eval()
    assert type(net) is nn.Sequential and str(net) == str(original)
    assert graph.output_shape == (entry.classes,)
    net.load_state_dict(original.state_dict())
    x = 100 * torch.randn(2, *graph.input)
    with torch.no_grad():
        outputs = net(x)
        assert torch.equal(outputs, original(x)) and outputs.std() > 0
    assert trace(net, graph.input) == trace(original, graph.input)


def test_parameters_at_full_size_are_those_of_the_registry() -> None:
    for name in SIZES:
        graph, entry = of_caffe(name, NETS[name].input[1]), NETS[name]
        with torch.device("meta"):
            table = trace(graph.build(), graph.input)
        assert (table.parameters, table.macs, table.units) == (entry.parameters, entry.macs, entry.units)


# --- equal to formulas -----------------------------------------------------------------------------------------------


def test_layers_that_read_several_others() -> None:
    graph = two_paths()
    torch.manual_seed(0)
    net = graph.build().eval()
    assert isinstance(net, GraphNet)
    layer_of(net, "norm", nn.BatchNorm2d).running_mean = torch.randn(8)
    nn.init.normal_(layer_of(net, "scale", ChannelScale).weight)
    x = torch.randn(3, 1, 28, 28)
    w = net.state_dict()
    with torch.no_grad():
        conv1 = F.conv2d(x, w["conv1.weight"], w["conv1.bias"], 2, 2)
        left = F.conv2d(conv1, w["left/1x1.weight"], w["left/1x1.bias"])
        right = F.conv2d(conv1, w["right_3x3.weight"], w["right_3x3.bias"], padding=1)
        y = torch.cat([left, right], 1) + 0.5 * conv1
        y = (y - w["norm.running_mean"][:, None, None]) / (w["norm.running_var"][:, None, None] + 1e-5).sqrt()
        y = (y * w["scale.weight"][:, None, None] + w["scale.bias"][:, None, None]).relu()
        y = y / (1 + 0.1 * F.avg_pool2d(y.square(), 3, 1, 1)) ** 0.75
        y = torch.tensor([average(image, 3, 2, 2, ceil=True, with_padding=True) for image in y.tolist()])
        y = F.leaky_relu(F.linear(y.flatten(1), w["fc1.weight"], w["fc1.bias"]), 0.1)
        y = F.linear(y, w["fc2.weight"], w["fc2.bias"])
        torch.testing.assert_close(net(x), y, rtol=1e-4, atol=1e-5)


Pixels = list[list[list[float]]]


def windows(size: int, kernel: int, stride: int, padding: int, ceil: bool) -> list[tuple[int, int]]:
    """Start and end of each window along an axis, without clipping: pooling_layer.cpp of Caffe."""
    steps = (size + 2 * padding - kernel) / stride
    count = (math.ceil(steps) if ceil else math.floor(steps)) + 1
    if ceil and padding and (count - 1) * stride >= size + padding:
        count -= 1
    return [(i * stride - padding, i * stride - padding + kernel) for i in range(count)]


def pooled(image: Pixels, kernel: int, stride: int, padding: int, ceil: bool, of: Callable[..., float]) -> Pixels:
    """`of` of the pixels of each window, and of the height and width that the window has inside the padding."""
    height, width = len(image[0]), len(image[0][0])
    rows, columns = (windows(n, kernel, stride, padding, ceil) for n in (height, width))
    return [
        [
            [
                of(
                    [channel[i][j] for i in range(max(top, 0), min(bottom, height))
                     for j in range(max(left, 0), min(right, width))],
                    (min(bottom, height + padding) - top) * (min(right, width + padding) - left),
                )
                for left, right in columns
            ]
            for top, bottom in rows
        ]
        for channel in image
    ]  # fmt: skip


def average(image: Pixels, kernel: int, stride: int, padding: int, *, ceil: bool, with_padding: bool) -> Pixels:
    return pooled(
        image, kernel, stride, padding, ceil, lambda values, n: sum(values) / (n if with_padding else len(values))
    )


def maximum(image: Pixels, kernel: int, stride: int, padding: int, *, ceil: bool) -> Pixels:
    return pooled(image, kernel, stride, padding, ceil, lambda values, _n: max(values))


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(0, 4),
    st.sampled_from([(True, True), (True, False), (False, True), (False, False)]),
    st.integers(0, 1000),
)
def test_pooling_equals_caffes_formula(
    size: tuple[int, int], kernel: int, stride: int, padding: int, flags: tuple[bool, bool], seed: int
) -> None:
    ceil, with_padding = flags
    x = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    image = x[0].tolist()
    window: dict[str, Any] = {"kernel": [kernel] * 2, "stride": [stride] * 2, "padding": [padding] * 2, "ceil": ceil}
    try:
        largest = one("pool", (2, *size), mode="max", **window)
    except ValueError:
        starts = [start for n in size for start, _end in windows(n, kernel, stride, padding, ceil)[-1:]]
        vanishes = any(not windows(n, kernel, stride, padding, ceil) for n in size)
        beyond = any(start >= n for n in size for start, _end in windows(n, kernel, stride, padding, ceil))
        assert vanishes or beyond or padding >= kernel, (starts, window)
        return
    mean = one("pool", (2, *size), mode="average", count_padding=with_padding, **window)
    wide = 2 * padding > kernel
    assert isinstance(layer_of(largest, "x", nn.MaxPool2d), WideMaxPool2d) == wide
    assert isinstance(layer_of(mean, "x", nn.AvgPool2d), WideAvgPool2d) == wide
    expected = maximum(image, kernel, stride, padding, ceil=ceil)
    torch.testing.assert_close(largest(x)[0], torch.tensor(expected, dtype=torch.float64))
    expected = average(image, kernel, stride, padding, ceil=ceil, with_padding=with_padding)
    torch.testing.assert_close(mean(x)[0], torch.tensor(expected, dtype=torch.float64))


def test_normalization_within_a_channel_equals_the_formula() -> None:
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64)
    net = one("lrn", (2, 5, 6), size=3, alpha=0.9, beta=0.75, k=2.0, region="within")
    for c in range(2):
        for i in range(5):
            for j in range(6):
                near = x[0, c, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2]
                expected = x[0, c, i, j] / (2.0 + 0.9 / 9 * near.square().sum()) ** 0.75
                torch.testing.assert_close(net(x)[0, c, i, j], expected)


FUNCTIONS: list[tuple[str, dict[str, Any], Callable[[float], float]]] = [
    ("relu", {}, lambda x: max(0.0, x)),
    ("relu", {"slope": 0.25}, lambda x: x if x > 0 else 0.25 * x),
    ("elu", {"alpha": 0.5}, lambda x: x if x > 0 else 0.5 * (math.exp(x) - 1)),
    ("sigmoid", {}, lambda x: 1 / (1 + math.exp(-x))),
    ("tanh", {}, math.tanh),
    ("softplus", {}, lambda x: math.log(1 + math.exp(x))),
    ("absolute", {}, abs),
    ("power", {}, lambda x: x),
    ("power", {"power": 3, "scale": 0.5, "shift": 1}, lambda x: (1 + 0.5 * x) ** 3),
    ("power", {"power": -0.5, "scale": 0.1, "shift": 2.0}, lambda x: (2 + 0.1 * x) ** -0.5),
    ("exponential", {}, math.exp),
    ("exponential", {"base": 2, "scale": 0.5, "shift": -1}, lambda x: 2 ** (0.5 * x - 1)),
    ("logarithm", {"scale": 0.1, "shift": 3}, lambda x: math.log(3 + 0.1 * x)),
    ("logarithm", {"base": 10.0, "scale": 0.1, "shift": 3}, lambda x: math.log10(3 + 0.1 * x)),
    ("dropout", {"p": 0.5}, lambda x: x),
    ("prelu", {}, lambda x: x if x > 0 else 0.25 * x),
    ("prelu", {"shared": True}, lambda x: x if x > 0 else 0.25 * x),
    ("scale", {"bias": True}, lambda x: x),
]


@pytest.mark.parametrize(("kind", "values", "function"), FUNCTIONS)
def test_functions_of_single_values(kind: str, values: dict[str, Any], function: Callable[[float], float]) -> None:
    x = 3 * torch.randn(2, 4, 6, 7, dtype=torch.float64)
    expected = [function(value) for value in x.flatten().tolist()]
    y = one(kind, **values).double().eval()(x)
    assert y.shape == x.shape
    torch.testing.assert_close(y.flatten(), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_layers_that_combine_values(operation: str) -> None:
    nodes = [node("a", "power", "data", scale=2), node("b", "absolute", "data")]
    net = build([*nodes, node("x", "eltwise", "a data b", operation=operation)], (1, 3, 3))
    x = torch.randn(2, 1, 3, 3)
    expected = {"sum": 3 * x + x.abs(), "product": 2 * x * x * x.abs(), "max": torch.maximum(2 * x, x).maximum(x.abs())}
    torch.testing.assert_close(net(x), expected[operation])


def test_factors_along_other_axes_and_of_rows() -> None:
    for axis, shape in ((1, (4, 1, 1)), (2, (6, 1)), (-1, (7,))):
        net = one("scale", bias=True, axis=axis)
        layer = layer_of(net, "x", ChannelScale)
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.get_parameter("bias"))
        x = torch.randn(2, 4, 6, 7)
        expected = x * layer.weight.view(shape) + layer.get_parameter("bias").view(shape)
        torch.testing.assert_close(net(x), expected)
    with pytest.raises(ValueError, match="factors for 4 channels, but got 1"):
        ChannelScale(4)(torch.rand(2, 1, 3, 3))


# --- every kind ------------------------------------------------------------------------------------------------------

EVERY_KIND: dict[str, dict[str, Any]] = {
    "conv": {"out": 6, "kernel": [3, 2], "stride": [2, 1], "padding": [1, 0], "dilation": [1, 2], "groups": 2},
    "pool": {"mode": "max", "whole": True},
    "pad": {"padding": [1, 0, 2, 3]},
    "lrn": {"size": 3, "alpha": 1.0, "beta": 0.5, "k": 1},
    "dense": {"out": 5, "bias": False},
    "relu": {},
    "prelu": {"channels": 4},
    "elu": {},
    "sigmoid": {},
    "tanh": {},
    "softplus": {},
    "absolute": {},
    "power": {},
    "exponential": {},
    "logarithm": {"shift": 100.0},
    "dropout": {},
    "concat": {"axis": 2},
    "eltwise": {"operation": "max"},
    "softmax": {"axis": -1},
    "flatten": {},
    "batch_norm": {"eps": 1e-3, "momentum": 0.01},
    "scale": {},
    "mean_image": {},
}


@pytest.mark.parametrize("kind", KINDS)
def test_calculated_shapes_and_weights_are_those_of_the_layers(kind: str) -> None:
    inputs = "data data" if kind in {"concat", "eltwise"} else "data"
    nodes = (node("x", kind, inputs, **EVERY_KIND[kind]),)
    graph = Graph(name="one", input=(4, 6, 7), nodes=nodes)
    net = graph.build()
    assert tuple(net(torch.rand(2, 4, 6, 7)).shape[1:]) == graph.output_shape
    weights = sum(parameter.numel() for parameter in net.parameters())
    statistics = sum(buffer.numel() for buffer in net.buffers() if buffer.is_floating_point())
    assert sum(step.layer.weights for step in graphs._steps(nodes, graph.input)) == weights + statistics
    assert isinstance(net, GraphNet) == (len(nodes[0].inputs) > 1)
    table = trace(net, graph.input)
    assert table.parameters == weights and table.output_shape == graph.output_shape and not table.unlisted
    for language in ("en", "zh"):
        assert len(explain(table, "x", language)) >= 2


def test_the_page_on_graph_files_has_every_kind_and_setting() -> None:
    page = (Path(__file__).parents[2] / "docs" / "graph-files.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    documented = {
        kind: set(re.findall("`([a-z_]+)`", row[2])) for row in rows for kind in re.findall("`([a-z_]+)`", row[1])
    }
    assert documented == {name: set(kind.settings) for name, kind in KINDS.items()}


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    *[st.lists(st.integers(low, 4), min_size=2, max_size=2) for low in (1, 1, 0, 1)],
    st.integers(1, 4),
)
def test_sizes_of_convolutions(
    size: tuple[int, int], kernel: list[int], stride: list[int], padding: list[int], dilation: list[int], groups: int
) -> None:
    values: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    graph = Graph(name="", input=(4, *size), nodes=(node("x", "conv", "data", out=6, groups=groups, **values),))
    try:
        shape = graph.output_shape
    except ValueError as error:
        if groups in {1, 2}:
            assert "does not fit" in str(error)
            with pytest.raises(RuntimeError):
                nn.Conv2d(
                    4, 6, (kernel[0], kernel[1]), padding=(padding[0], padding[1]), dilation=(dilation[0], dilation[1])
                )(torch.rand(1, 4, *size))
        return
    assert graph.build()(torch.rand(1, 4, *size)).shape == (1, *shape)


# --- the form of a network -------------------------------------------------------------------------------------------


def test_values_are_released_when_no_later_layer_reads_them() -> None:
    net = two_paths().build().eval()
    outputs: dict[str, weakref.ref[Tensor]] = {}
    alive: dict[str, set[str]] = {}

    def remember(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            outputs[name] = weakref.ref(output)
            alive[name] = {key for key, reference in outputs.items() if reference() is not None}

        return hook

    for name, module in net.named_children():
        module.register_forward_hook(remember(name))
    with torch.no_grad():
        net(torch.rand(1, 1, 28, 28))
    assert alive["forward_"] == {"conv1", "left/1x1", "right_3x3", "forward_"}  # the sum still reads conv1
    assert alive["norm"] == {"sum", "norm"}
    assert alive["fc2"] == {"relu1", "drop1", "fc2"}  # in evaluation, dropout returns its input


def test_names_that_torch_does_not_allow_are_changed() -> None:
    changed = {"conv1": "conv1", "a/b 1": "a/b 1", "a.b": "a_b", "": "layer", "forward": "forward_", "type": "type_"}
    changed |= {"pop": "pop_", "training": "training_", "_modules": "_modules_", "_calls": "_calls_", "data": "data_"}
    for name, expected in changed.items():
        assert module_name(name) == expected
        if name != "data":
            net = build(
                [node(name, "relu", "data"), Node(name="last", kind="tanh", inputs=(name,), settings={})], (1, 2, 2)
            )
            assert [child for child, _module in net.named_children()] == [expected, "last"]
            with_branch = [Node(name="last", kind="eltwise", inputs=(name, "data"), settings={})]
            assert build([node(name, "relu", "data"), *with_branch], (1, 2, 2))(torch.ones(1, 1, 2, 2)).sum() == 8


def test_a_dense_layer_flattens_its_image() -> None:
    net = chain(
        "", (2, 3, 4), ("flatten", "relu", {}), ("fc", "dense", {"out": 5}), ("fc2", "dense", {"out": 3})
    ).build()
    assert [name for name, _module in net.named_children()] == ["flatten", "fc_flatten", "fc", "fc2"]
    explicit = chain("", (2, 3, 4), ("flatten", "flatten", {}), ("fc", "dense", {"out": 5})).build()
    assert [name for name, _module in explicit.named_children()] == ["flatten", "fc"]
    assert net(torch.rand(2, 2, 3, 4)).shape == (2, 3)


def test_plain_values_give_the_same_graph() -> None:
    for graph in (two_paths(), of_caffe("caffenet", 227)):
        assert Graph.from_json(graph.to_json()) == graph


def test_tools_take_networks_with_several_paths() -> None:
    graph = two_paths()
    torch.manual_seed(0)
    net = graph.build().eval()
    x = torch.randn(2, 1, 28, 28)
    assert torch.equal(copy_module(net)(x), net(x))
    other = vary(net, activation="tanh", pool="max", dropout=0.0)
    kinds = {name: type(module) for name, module in other.named_children()}
    assert (kinds["relu"], kinds["pool"], kinds["drop1"]) == (nn.Tanh, WideMaxPool2d, nn.Identity)
    assert other(x).shape == (2, 10)
    with pytest.raises(ValueError, match=r"the network is a GraphNet, not an nn\.Sequential"):
        vary(net, width=2.0)
    assert obstacle(net, graph.input) == "norm (BatchNorm2d) normalizes over the batch"
    without_norm = replace(
        graph,
        nodes=tuple(replace(n, kind="absolute", settings={}) if n.kind == "batch_norm" else n for n in graph.nodes),
    )
    assert obstacle(without_norm.build(), graph.input) == ""


def test_factors_of_channels_follow_a_wider_layer() -> None:
    layers: list[tuple[str, str, dict[str, Any]]]
    layers = [("conv", "conv", {"out": 4, "kernel": [1, 1]}), ("scale", "scale", {}), ("fc", "dense", {"out": 3})]
    net = vary(chain("", (1, 2, 2), *layers).build(), width=2.0)
    assert layer_of(net, "scale", ChannelScale).weight.shape == (8,) and net(torch.rand(2, 1, 2, 2)).shape == (2, 3)


# --- graphs that are not valid ---------------------------------------------------------------------------------------

RELU = node("a", "relu", "data")
WINDOW: dict[str, Any] = {"mode": "max", "kernel": [2, 2], "stride": [2, 2]}
INVALID: list[tuple[list[Node], str]] = [
    ([], "the graph has 0 nodes; allowed are 1 to 10,000"),
    ([RELU] * 10_001, "the graph has 10,001 nodes"),
    ([RELU, RELU], "two nodes are called 'a'"),
    ([node("data", "relu", "data")], "a node is called 'data'"),
    ([node("a.b", "relu", "data"), node("a_b", "relu", "a.b")], "'a.b' and 'a_b' both become a module 'a_b'"),
    ([node("x" * 201, "relu", "data")], "has 201 characters"),
    ([node("a\x1b[31m", "relu", "data")], r"the name 'a\\x1b\[31m' has characters that cannot be printed"),
    ([node("a", "swish", "data")], r"^node 'a' \(swish\): there is no kind of layer 'swish'; the kinds are conv, pool"),
    ([node("a", "relu", "")], "it has 0 inputs; allowed are 1"),
    ([RELU, node("b", "relu", "a data")], "node 'b'.* it has 2 inputs; allowed are 1"),
    ([node("a", "eltwise", "data")], "it has 1 inputs; allowed are 2 to 1000"),
    ([node("a", "relu", "b")], "it reads 'b', and there is no such node"),
    ([node("a", "relu", "a")], "it reads itself; nodes are listed in the order of computation, without cycles"),
    ([node("a", "eltwise", "data b"), node("b", "relu", "a")], "it reads 'b', which comes after it"),
    ([RELU, node("b", "relu", "data")], "the graph has 2 outputs, and a network has one: 'a', 'b'"),
    ([node("a", "relu", "data", slop=1)], "'slop' is not a setting; the settings are slope"),
    ([node("a", "tanh", "data", slope=1)], "'slope' is not a setting; the settings are none"),
    ([node("a", "relu", "data", slope="1")], "slope is '1'; allowed is a number from -1e"),
    ([node("a", "relu", "data", slope=True)], "slope is True; allowed is a number"),
    ([node("a", "relu", "data", slope=math.nan)], "slope is nan"),
    ([node("a", "relu", "data", slope=10**400)], "slope is 10"),
    ([node("a", "dropout", "data", p=1.5)], "p is 1.5; allowed is a number from 0 to 1"),
    ([node("a", "dense", "data")], "out is missing; allowed is an integer from 1"),
    ([node("a", "dense", "data", out=0)], "out is 0"),
    ([node("a", "dense", "data", out=2.0)], "out is 2.0"),
    ([node("a", "dense", "data", out=3, bias=1)], "bias is 1; allowed is true or false"),
    ([node("a", "conv", "data", out=3, kernel=3)], r"kernel is 3; allowed is \[height, width\]"),
    ([node("a", "conv", "data", out=3, kernel=[3, 0])], r"kernel is \[3, 0\]"),
    ([node("a", "conv", "data", out=3, kernel=[3, 3], groups=2)], "2 groups do not divide its 4 input channels and 3"),
    ([node("a", "conv", "data", out=3, kernel=[9, 3])], "its window of 9x3 does not fit into its input of 6x7"),
    ([node("a", "conv", "data", out=3, kernel=[3, 3], dilation=[3, 3])], "its window of 7x7 does not fit"),
    (
        [node("a", "flatten", "data"), node("b", "conv", "a", out=3, kernel=[1, 1])],
        "has the shape 168, and it reads im",
    ),
    ([node("a", "pool", "data", mode="max")], "kernel is missing"),
    ([node("a", "pool", "data", mode="sum")], "mode is 'sum'; allowed is one of max, average"),
    ([node("a", "pool", "data", whole=True, **WINDOW)], "whole pooling reads the whole input, so it has no kernel"),
    ([node("a", "pool", "data", count_padding=True, **WINDOW)], "count_padding is a setting of average pooling only"),
    ([node("a", "pool", "data", padding=[2, 0], **WINDOW)], "a padding of 2x0 is not smaller than the window of 2x2"),
    ([node("a", "pool", "data", mode="max", kernel=[8, 8], stride=[1, 1])], "its window of 8x8 does not fit"),
    ([node("a", "pool", "data", mode="max", kernel=[1, 1], stride=[2, 2], ceil=True)], "its last window would start"),
    ([node("a", "pad", "data", padding=[1, 1])], r"padding is \[1, 1\]; allowed is \[left, right, top, bottom\]"),
    ([node("a", "lrn", "data", size=4, alpha=1, beta=1, k=1)], "size is 4; an even window is not allowed"),
    ([node("a", "lrn", "data", size=3, alpha=1, beta=1, k=0)], "k is 0; allowed is a number above 0"),
    ([node("a", "prelu", "data", channels=3)], "channels is 3, but its input has 4"),
    ([node("a", "softmax", "data", axis=0)], "axis is 0; allowed is an axis from 1 to 3"),
    ([node("a", "flatten", "data"), node("b", "softmax", "a", axis=2)], "axis is 2, and its input has 1 axes"),
    (
        [node("a", "flatten", "data"), node("b", "concat", "a data")],
        "the shapes 168, 4x6x7, which differ beyond axis 1",
    ),
    ([node("a", "flatten", "data"), node("b", "eltwise", "a data")], "the shapes 168, 4x6x7, which must be equal"),
    ([node("a", "eltwise", "data data", coefficients=[1])], "1 coefficients for 2 inputs"),
    ([node("a", "eltwise", "data data", operation="max", coefficients=[1, 1])], "are a setting of the sum only"),
    ([node("a", "exponential", "data", base=1)], "base is 1; allowed is a number above 0 other than 1"),
    ([node("a", "dense", "data", out=2**31 - 1)], "the network has 362,924,736,343 weights; allowed are 2,147,483,648"),
    (
        [node("a", "conv", "data", out=1, kernel=[1, 1], padding=[40_000, 0])],
        "its output is 80,006 pixels high or wide",
    ),
    ([node("a", "conv", "data", out=2**26, kernel=[1, 1])], "its output has 2,818,572,288 values; allowed are 268"),
]


@pytest.mark.parametrize(("nodes", "message"), INVALID)
def test_what_is_not_valid_is_refused_with_its_name(nodes: list[Node], message: str) -> None:
    for call in (build, GraphNet):
        with pytest.raises(ValueError, match=message):
            call(nodes, (4, 6, 7))


@pytest.mark.parametrize("shape", [(), (1, 2), (0, 2, 2), (1, 2, 2.0), (True, 2, 2), (2**20, 2**10, 1), (1, 2**17, 1)])
def test_an_input_that_is_no_image_is_refused(shape: Any) -> None:
    with pytest.raises(ValueError, match="allowed are channels, height and width"):
        build([RELU], shape)


def test_long_graphs_are_built() -> None:
    names = [f"n{i}" for i in range(10_000)]
    nodes = [node(name, "tanh", before) for name, before in zip(names, ["data", *names], strict=False)]
    assert Graph(name="long", input=(1, 2, 2), nodes=tuple(nodes)).output_shape == (1, 2, 2)


def test_changed_values_are_refused_or_give_a_graph() -> None:
    """Any value in the place of any other is a ValueError, or a graph that can be built."""
    generator = random.Random(0)
    extreme: list[Any] = [
        None,
        True,
        -1,
        0,
        1.5,
        10**400,
        "",
        "data",
        "x" * 500,
        [],
        {},
        [1, 2],
        ["data"],
        {"p": 1},
        2**31,
    ]
    valid = 0
    for _mutant in range(600):
        values = Graph.to_json(two_paths())
        places: list[tuple[Any, Any]] = [(values, key) for key in values]
        for inner in values["nodes"]:
            places += [(inner, key) for key in inner] + [(inner["settings"], key) for key in inner["settings"]]
            places += [(inner["inputs"], 0)]
        container, key = generator.choice(places)
        container[key] = generator.choice(extreme)
        try:
            graph = Graph.from_json(values)
        except ValueError as error:
            assert len(str(error)) < 2_000
            continue
        valid += 1
        with torch.device("meta"):
            assert graph.build()(torch.empty(2, *graph.input)).shape[1:] == graph.output_shape
    assert valid > 10
