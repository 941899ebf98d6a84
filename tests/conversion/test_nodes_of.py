"""Networks of torch as nodes: every network of the registry, every kind of layer, and what is refused by its name."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import classicnets as cn
from classicnets.conversion.nodes import nodes_of
from classicnets.errors import UsageError
from classicnets.models.alexnet_ports import ShrinkingPool
from classicnets.models.graph import Node, build, module_name
from classicnets.models.graph_layers import Absolute, ChannelScale, Exponential, Logarithm, Power
from classicnets.models.layers import DropConnect, SameMapNorm, ScaledTanh
from classicnets.models.lrn import LRN
from classicnets.models.registry import NETS
from support.graphs import two_paths
from support.networks import small_input

IMAGE = (4, 9, 8)
# The networks that consist of layers with equivalents at the size of their source.
CONVERTED = {
    "lenet_32", "lenet_caffe", "lenet_d2l", "lenet_d2l_v1", "alexnet_torchvision", "alexnet_caffe", "caffenet",
    "alexnet_mxnet", "alexnet_d2l", "alexnet_d2l_v1", "alexnet_28", "convnet_48", "cifar10_26pct", "cifar10_18pct",
    "vgg16",
}  # fmt: skip
# What the others are refused for.
REFUSED = {
    "lenet_1989": "H1", "lenet1_1990": "squash1", "lenet5_1998": "squash1", "alexnet_2012": "border",
    "alexnet_2012_code": "border", "alexnet_2012_plain_pooling": "border", "alexnet_2012_one_tower": "border",
    "alexnet_2014": "border", "cifar10_13pct": "local3", "cifar10_11pct": "local3",
}  # fmt: skip


def rebuilt(nodes: list[Node], names: dict[str, str], net: nn.Module, shape: tuple[int, int, int]) -> nn.Module:
    """The nodes as a network with the weights of `net`."""
    state = net.state_dict()
    weights = {}
    for name, own in names.items():
        node, _, key = name.rpartition(".")
        weights[f"{module_name(node)}.{key}"] = state[own]
    with torch.device("meta"):
        built = build(nodes, shape).eval()
    missing, unexpected = built.load_state_dict(weights, strict=False, assign=True)
    assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing)
    return built


def assert_equal(net: nn.Module, shape: tuple[int, int, int], *, size: float = 1.0) -> list[Node]:
    """Check that the nodes compute what a network in float64 does, and return them."""
    net = net.double().eval()
    nodes, names = nodes_of(net, shape)
    x = (torch.rand(2, *shape, dtype=torch.float64) - 0.5) * size
    with torch.no_grad():
        expected, outputs = net(x), rebuilt(nodes, names, net, shape)(x)
    spread = expected.max() - expected.min()
    assert spread > 0
    assert (outputs - expected).abs().max() <= 1e-12 * spread
    return nodes


def refusal(net: nn.Module, shape: tuple[int, int, int] = IMAGE) -> UsageError:
    with pytest.raises(UsageError) as caught:
        nodes_of(net, shape)
    assert caught.value.code == "CN219"
    return caught.value


# ------------------------------------------------------------------------------------------------------------- registry


@pytest.mark.parametrize("name", NETS)
def test_networks_of_the_registry_have_nodes_or_name_a_layer(name: str) -> None:
    """At the size of their source; without weights, which only the comparison needs."""
    with torch.device("meta"):
        net = cn.create(name)
    if name in CONVERTED:
        nodes, names = nodes_of(net, NETS[name].input)
        stored = {key for key in net.state_dict() if not key.endswith("num_batches_tracked")}
        assert set(names.values()) == stored and len(names) == len(stored)
        assert [node.name for node in nodes if node.name not in dict(net.named_modules())] == []
    else:
        error = refusal(net, NETS[name].input)
        assert error.where == REFUSED[name] and error.where in str(error.what)
        assert type(net.get_submodule(error.where)).__name__ in error.what and error.why
    assert set(NETS) == CONVERTED | set(REFUSED)


@pytest.mark.parametrize("name", NETS)
def test_networks_of_the_registry_compute_the_same(name: str) -> None:
    """The large ones for small images, at which AlexNet of 2014 needs no border."""
    channels, size, _ = shape = small_input(name)
    with torch.device("meta"):
        net = NETS[name].load()(num_classes=10, in_channels=channels, image_size=size)
    if name in REFUSED and name not in {"alexnet_2014", "alexnet_2012_one_tower"}:
        assert refusal(net, shape).where in dict(net.named_modules())
        return
    net = net.double().to_empty(device="cpu")
    with torch.no_grad():
        for key, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                fan_in = tensor[0].numel() if tensor.dim() > 1 else 1
                tensor.uniform_(-1, 1).mul_((6 / fan_in) ** 0.5)
            if key.endswith("running_var"):
                tensor.abs_().add_(0.1)
    assert_equal(net, shape, size=255)


# --------------------------------------------------------------------------------------------------------------- layers

Settings = dict[str, Any]
CONV: Settings = {
    "out": 6, "kernel": [3, 3], "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1, "bias": True,
}  # fmt: skip
POOL: Settings = {"kernel": [3, 3], "stride": [2, 2], "padding": [0, 0], "ceil": False}
NORM: Settings = {"size": 3, "alpha": 0.5, "beta": 0.75, "k": 2.0, "region": "across"}
LAYERS: dict[str, tuple[Callable[[], nn.Module], str, Settings]] = {
    "conv": (lambda: nn.Conv2d(4, 6, 3), "conv", CONV),
    "all of conv": (
        lambda: nn.Conv2d(4, 6, (3, 1), (2, 1), (1, 0), (2, 1), groups=2, bias=False),
        "conv",
        {**CONV, "kernel": [3, 1], "stride": [2, 1], "padding": [1, 0], "dilation": [2, 1], "groups": 2, "bias": False},
    ),
    "same": (lambda: nn.Conv2d(4, 6, (3, 5), padding="same"), "conv", {**CONV, "kernel": [3, 5], "padding": [1, 2]}),
    "even but dilated": (
        lambda: nn.Conv2d(4, 6, 2, padding="same", dilation=2),
        "conv",
        {**CONV, "kernel": [2, 2], "dilation": [2, 2], "padding": [1, 1]},
    ),
    "valid": (lambda: nn.Conv2d(4, 6, 3, padding="valid", padding_mode="reflect"), "conv", CONV),
    "max": (lambda: nn.MaxPool2d(3, 2), "pool", {"mode": "max", **POOL}),
    "max up": (
        lambda: nn.MaxPool2d((3, 2), (2, 1), 1, ceil_mode=True),
        "pool",
        {"mode": "max", "kernel": [3, 2], "stride": [2, 1], "padding": [1, 1], "ceil": True},
    ),
    # the last window of 2 columns in steps of 4 would start beyond 8 of them; torch leaves it out
    "no window beyond": (
        lambda: nn.MaxPool2d((9, 2), (1, 7), ceil_mode=True),
        "pool",
        {"mode": "max", "kernel": [9, 2], "stride": [1, 7], "padding": [0, 0], "ceil": True},
    ),
    "window beyond": (
        lambda: nn.MaxPool2d((9, 2), (1, 8), ceil_mode=True),
        "pool",
        {"mode": "max", "kernel": [9, 2], "stride": [1, 8], "padding": [0, 0], "ceil": False},
    ),
    "average": (lambda: nn.AvgPool2d(3, 2), "pool", {"mode": "average", **POOL, "count_padding": True}),
    "average of pixels": (
        lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        "pool",
        {"mode": "average", **POOL, "padding": [1, 1], "ceil": True, "count_padding": False},
    ),
    "global": (lambda: nn.AdaptiveAvgPool2d(1), "pool", {"mode": "average", "whole": True}),
    "global maximum": (lambda: nn.AdaptiveMaxPool2d((1, 1)), "pool", {"mode": "max", "whole": True}),
    "adaptive": (
        lambda: nn.AdaptiveAvgPool2d((3, None)),
        "pool",
        {
            "mode": "average",
            "kernel": [3, 1],
            "stride": [3, 1],
            "padding": [0, 0],
            "ceil": False,
            "count_padding": True,
        },
    ),
    "lrn": (lambda: LRN(3, 0.5, 0.75, 2.0), "lrn", NORM),
    "lrn as printed": (lambda: LRN(3, 0.5, 0.75, 2.0, convention="paper"), "lrn", {**NORM, "alpha": 1.5}),
    "lrn of torch": (lambda: nn.LocalResponseNorm(3, 0.5, 0.75, 2.0), "lrn", NORM),
    "within": (lambda: SameMapNorm(3, 0.5, 0.75, 2.0), "lrn", {**NORM, "region": "within"}),
    "batch norm": (lambda: nn.BatchNorm2d(4, 0.01, 0.2), "batch_norm", {"eps": 0.01, "momentum": 0.2, "scale": True}),
    "no factors": (
        lambda: nn.BatchNorm2d(4, momentum=None, affine=False),
        "batch_norm",
        {"eps": 1e-5, "momentum": 0.1, "scale": False},
    ),
    "scale": (lambda: ChannelScale(4), "scale", {"bias": True, "axis": 1}),
    "scale of rows": (lambda: ChannelScale(9, bias=False, axis=2), "scale", {"bias": False, "axis": 2}),
    "relu": (lambda: nn.ReLU(inplace=True), "relu", {"slope": 0.0}),
    "leaky": (lambda: nn.LeakyReLU(0.3), "relu", {"slope": 0.3}),
    "prelu": (lambda: nn.PReLU(4), "prelu", {"shared": False}),
    "one slope": (nn.PReLU, "prelu", {"shared": True}),
    "elu": (lambda: nn.ELU(0.7), "elu", {"alpha": 0.7}),
    "sigmoid": (nn.Sigmoid, "sigmoid", {}),
    "tanh": (nn.Tanh, "tanh", {}),
    "softplus": (nn.Softplus, "softplus", {}),
    "absolute": (Absolute, "absolute", {}),
    "power": (lambda: Power(2, 0.5, 1), "power", {"power": 2, "scale": 0.5, "shift": 1}),
    "exponential": (lambda: Exponential(2.0, 0.5, 1), "exponential", {"base": 2.0, "scale": 0.5, "shift": 1}),
    "logarithm": (lambda: Logarithm(None, 0.5, 1), "logarithm", {"base": None, "scale": 0.5, "shift": 1}),
    "softmax": (lambda: nn.Softmax(dim=-1), "softmax", {"axis": -1}),
    "dropout": (lambda: nn.Dropout(0.2), "dropout", {"p": 0.2}),
    "flatten": (nn.Flatten, "flatten", {}),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers_become_nodes(case: str) -> None:
    make, kind, settings = LAYERS[case]
    net = nn.Sequential(OrderedDict(layer=make()))
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5) if "var" in name else tensor.normal_()
    assert assert_equal(net, IMAGE) == [Node(name="layer", kind=kind, inputs=("data",), settings=settings)]


def test_rows_of_values_have_nodes() -> None:
    net = nn.Sequential(
        nn.Flatten(1, 3), nn.Linear(288, 5), nn.BatchNorm1d(5), nn.PReLU(5), DropConnect(5, 3, bias=False)
    )
    nodes = assert_equal(net, IMAGE)
    assert [node.kind for node in nodes] == ["flatten", "dense", "batch_norm", "prelu", "dense"]
    assert [node.settings for node in nodes if node.kind == "dense"] == [
        {"out": 5, "bias": True},
        {"out": 3, "bias": False},
    ]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Identity(), nn.AdaptiveAvgPool2d((9, 8)), nn.AdaptiveMaxPool2d((None, 8)), ShrinkingPool(8), nn.Sequential(),
        nn.ZeroPad2d(0),
    ],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_layers_that_change_nothing_are_left_out(layer: nn.Module) -> None:
    net = nn.Sequential(nn.AdaptiveMaxPool2d((9, 8)), layer, nn.ReLU())
    shape = (4, 8, 8) if isinstance(layer, ShrinkingPool) else IMAGE
    nodes, names = nodes_of(net if shape == IMAGE else net[1:], shape)
    assert [(node.name, node.kind, node.inputs) for node in nodes] == [(nodes[0].name, "relu", ("data",))]
    assert names == {}


def test_nested_layers_have_their_paths_as_names() -> None:
    net = nn.Sequential(OrderedDict(features=nn.Sequential(nn.Conv2d(4, 2, 3), nn.ReLU()), flatten=nn.Flatten()))
    nodes, names = nodes_of(nn.DataParallel(net), IMAGE)
    assert [(node.name, node.inputs) for node in nodes] == [
        ("features.0", ("data",)),
        ("features.1", ("features.0",)),
        ("flatten", ("features.1",)),
    ]
    assert names == {"features.0.weight": "features.0.weight", "features.0.bias": "features.0.bias"}


@pytest.mark.parametrize(
    ("border", "conv", "padding"),
    [
        ((1, 1, 2, 2), {}, [2, 1]),
        ((1, 1, 2, 2), {"padding": 1}, [3, 2]),
        ((1, 0, 0, 1), {"stride": 4}, [0, 1]),  # the windows do not read the zeros that are too many
        ((2, 1, 1, 1), {"stride": (1, 4)}, [1, 2]),
    ],
)
def test_convolutions_take_over_zeros(border: Any, conv: dict[str, Any], padding: list[int]) -> None:
    net = nn.Sequential(nn.ZeroPad2d(border), nn.Conv2d(4, 2, 3, **conv), nn.ReLU())
    nodes = assert_equal(net, IMAGE)
    assert [node.kind for node in nodes] == ["conv", "relu"] and nodes[0].settings["padding"] == padding


REFUSALS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "unknown": (ScaledTanh, "no equivalent of this class"),
    "subclass": (lambda: type("Own", (nn.ReLU,), {})(), "no equivalent of this class"),
    "groups": (lambda: LRN(groups=2), "2 groups"),
    "even window": (lambda: nn.LocalResponseNorm(2), "even window"),
    "circular": (lambda: nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular"), "'circular'"),
    "one side": (lambda: nn.Conv2d(4, 2, 2, padding="same"), "more pixels on one side"),
    "linear": (lambda: nn.Linear(8, 2), "4x9x8"),
    "dilation": (lambda: nn.MaxPool2d(2, dilation=2), "dilation"),
    "divisor": (lambda: nn.AvgPool2d(2, divisor_override=3), "divisor_override"),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d(5), "9x8 into 5x5"),
    "statistics": (lambda: nn.BatchNorm2d(4, track_running_stats=False), "running statistics"),
    "softmax": (lambda: nn.Softmax(0), "dim is 0"),
    "softplus": (lambda: nn.Softplus(2), "default"),
    "partly flat": (lambda: nn.Flatten(2), "as a whole"),
    "border": (lambda: nn.ZeroPad2d((0, 1, 0, 0)), "last layer"),
    "constant": (lambda: nn.ConstantPad2d(1, 0.5), "no equivalent of this class"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_layers_without_equivalent_are_named(case: str) -> None:
    make, why = REFUSALS[case]
    layer = make()
    error = refusal(nn.Sequential(OrderedDict(first=nn.ReLU(), second=layer)))
    assert error.where == "second" and type(layer).__name__ in error.what and why in error.why
    assert "classicnets export RUN" in error.hints[0]


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ([nn.MaxPool2d(3)], "no convolution follows"),
        ([nn.Conv2d(4, 2, 3, stride=1)], "0, 3, 0 and 3 pixels"),
        ([nn.ReLU(), nn.Conv2d(4, 2, 3)], "no convolution follows"),
        ([nn.ZeroPad2d(1), nn.Conv2d(4, 2, 3)], "no equivalent of this class"),
    ],
)
def test_zeros_that_nothing_takes_over_are_named(after: list[nn.Module], why: str) -> None:
    error = refusal(nn.Sequential(OrderedDict(border=nn.ZeroPad2d((0, 3, 0, 3)), rest=nn.Sequential(*after))))
    assert error.where in {"border", "rest.0"} and why in error.why


def test_removed_pixels_are_no_zeros() -> None:
    """The padding of the convolution would show the pixels that the border has removed."""
    error = refusal(nn.Sequential(nn.ZeroPad2d((-1, -1, 0, 0)), nn.Conv2d(4, 2, 3, padding=1)))
    assert error.where == "0" and "-1, -1, 0 and 0 pixels" in error.why


# -------------------------------------------------------------------------------------------------------------- forward


def test_graphs_become_their_nodes_again() -> None:
    """A layer that flattens is added before each dense one; names that torch does not allow are changed."""
    graph = two_paths()
    net = graph.build()
    for name, tensor in net.state_dict().items():
        if "running_var" in name:
            tensor.uniform_(0.5, 1.5)
    nodes = assert_equal(net, graph.input)
    kept = [node for node in nodes if node.kind != "flatten"]
    assert [node.name for node in kept] == [module_name(node.name) for node in graph.nodes]
    assert [node.kind for node in kept] == [node.kind for node in graph.nodes]
    assert nodes_of(build(nodes, graph.input), graph.input)[0] == nodes


class Branches(nn.Module):
    """A network as one writes it: layers, functions, and methods of tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.act, self.fc1, self.fc2 = nn.ReLU(), nn.Linear(12 * 4 * 4, 7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = self.act(self.conv1(x))
        b = self.act(self.conv2(a))
        x = torch.cat([a + b, F.relu(a).sigmoid()], dim=1)
        x = F.max_pool2d(x, 2, ceil_mode=False)
        x = F.dropout(x.view(x.size(0), -1), 0.3, self.training)
        return F.softmax(self.fc2(torch.tanh(self.fc1(x))), dim=1)


def test_forward_is_followed() -> None:
    net = Branches().train()
    nodes = assert_equal(net.train(), IMAGE)
    kinds = "conv relu conv relu eltwise relu sigmoid concat pool flatten dropout dense tanh dense softmax"
    assert [node.kind for node in nodes] == kinds.split()
    names = [node.name for node in nodes]
    assert names[:5] == ["conv1", "act", "conv2", "act_2", "add"]
    assert nodes[7].inputs == ("add", "sigmoid")


def test_networks_and_random_numbers_do_not_change() -> None:
    net = Branches()
    net.fc1.eval()
    state, before = torch.get_rng_state(), {name: tensor.clone() for name, tensor in net.state_dict().items()}
    nodes_of(net, IMAGE)
    assert torch.equal(torch.get_rng_state(), state)
    assert net.training and net.act.training and not net.fc1.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_lazy_layers_get_their_weights() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says that lazy layers may change
        net = nn.Sequential(nn.LazyConv2d(3, 3), nn.Flatten(), nn.LazyLinear(2))
    nodes, _names = nodes_of(net, IMAGE)
    assert [node.settings["out"] for node in nodes if node.kind != "flatten"] == [3, 2]


def module(forward: Callable[[Any, Tensor], Any]) -> nn.Module:
    """A network with this forward() and a convolution."""
    net: nn.Module = type("Own", (nn.Module,), {"forward": forward})()
    net.add_module("conv", nn.Conv2d(4, 4, 3, padding=1))
    return net


def _in_place(self: Any, x: Tensor) -> Tensor:
    y: Tensor = self.conv(x)
    return F.relu(y, inplace=True) + y


FORWARDS: dict[str, tuple[Callable[[Any, Tensor], Any], str, str]] = {
    "condition": (lambda self, x: self.conv(x) if x.sum() > 0 else x, "Own", "control flow"),
    "unknown function": (lambda self, x: torch.fft.fft(self.conv(x)), "fft_fft", "only layers and simple functions"),
    "weights of its own": (lambda self, x: F.conv2d(x, self.conv.weight), "conv2d", "only layers"),
    "number": (lambda self, x: self.conv(x) + 1, "add", "positional argument"),
    "batch axis": (lambda self, x: torch.cat([self.conv(x), x]), "cat", "axis"),
    "mixed images": (lambda self, x: self.conv(x).view(-1, 7), "view", "each image as a whole"),
    "three axes": (lambda self, x: self.conv(x).view(-1, 4, 72), "view", "each image as a whole"),
    "several outputs": (lambda self, x: (self.conv(x), x), "Own", "several outputs"),
    "same weights twice": (lambda self, x: self.conv(self.conv(x)), "conv", "several times"),
    "nothing": (lambda _self, x: x, "Own", "no layers"),
    "in place": (_in_place, "Own", "in place"),
    "raises": (lambda self, x: self.missing(x), "Own", "missing"),
}


@pytest.mark.parametrize("case", FORWARDS)
def test_what_cannot_be_followed_is_named(case: str) -> None:
    forward, where, why = FORWARDS[case]
    error = refusal(module(forward))
    assert error.where.rpartition(".")[2] == where and why in error.why


@pytest.mark.parametrize(
    ("forward", "where"),
    [(lambda _self: torch.zeros(1), "Own"), (lambda self, x, y=None: self.conv(x) + y.view(-1, 288), "y")],
    ids=["none", "two"],
)
def test_networks_read_one_image(forward: Callable[..., Any], where: str) -> None:
    assert refusal(module(forward)).where == where


def test_networks_that_check_the_size_are_asked_for_their_own() -> None:
    with pytest.raises(UsageError) as caught:
        nodes_of(cn.create("convnet_48"), (3, 56, 56))
    assert caught.value.code == "CN201"


def test_functions_are_named_with_their_module() -> None:
    error = refusal(nn.Sequential(OrderedDict(block=module(lambda self, x: torch.sin(self.conv(x))))))
    assert error.where == "block.sin" and "forward() uses sin" in error.what


def test_hooks_are_noticed() -> None:
    """torch.fx does not see what a hook does, but the outputs show it."""
    net = nn.Sequential(nn.Conv2d(4, 2, 3), nn.ReLU())
    net[0].register_forward_hook(lambda _layer, _inputs, output: output * 2)
    error = refusal(net)
    assert error.where == "Sequential" and "a hook" in error.why


def test_parametrized_layers_are_refused() -> None:
    error = refusal(nn.Sequential(parametrizations.weight_norm(nn.Conv2d(4, 2, 3))))
    assert error.where.startswith("0") and "conv2d" in error.what


def test_images_that_do_not_fit_are_refused() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(10, 2))
    error = refusal(net)
    assert error.where == "Sequential" and "288" in error.why


def test_half_of_the_factors_is_refused() -> None:
    layer = nn.BatchNorm2d(4)
    layer.register_parameter("bias", None)
    assert "weight and bias" in refusal(nn.Sequential(layer)).why
