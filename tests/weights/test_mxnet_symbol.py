"""`-symbol.json` files of MXNet: every version and operator, and what is refused, with the node that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_inputs import images

from classicnets.errors import DataError
from classicnets.models.graph import Node, build
from classicnets.models.registry import NETS
from classicnets.weights import mxnet_params, mxnet_symbol
from classicnets.weights.mxnet_symbol import Symbol

FILES = Path(__file__).parents[1] / "models" / "goldens" / "mxnet_files"
OUTPUTS: dict[str, Any] = json.loads((FILES / "outputs.json").read_text())["nets"]
CONV = {"num_filter": "4", "kernel": "(3, 3)"}


class Network:
    """Writes a file as MXNet does: operators create the variables that they need.

    `key` is where attributes are: "param" in version 0.8 and earlier, "attr" in 0.9 to 0.11, then "attrs".
    """

    def __init__(self, key: str = "attrs") -> None:
        self.key, self.nodes = key, list[dict[str, Any]]()

    def variable(self, name: str, **attributes: str) -> int:
        return self.add("null", name, (), attributes)

    def add(self, operator: str, name: str, inputs: tuple[Any, ...], attributes: dict[str, str] | None = None) -> int:
        references = [
            [*source] if isinstance(source, tuple) else [source, 0] if self.key == "param" else [source, 0, 0]
            for source in inputs
        ]
        node: dict[str, Any] = {"op": operator, "name": name, "inputs": references}
        if self.key == "param":
            node |= {"param": attributes or {}, "backward_source_id": -1}
        elif attributes:
            node[self.key] = attributes
        self.nodes.append(node)
        return len(self.nodes) - 1

    def layer(self, operator: str, name: str, data: int, parameters: str = "", **attributes: str) -> int:
        """An operator with variables such as conv1_weight."""
        variables = [self.variable(f"{name}_{parameter}") for parameter in parameters.split()]
        return self.add(operator, name, (data, *variables), attributes)

    def content(self, *heads: Any) -> dict[str, Any]:
        outputs = [[*head] if isinstance(head, tuple) else [head, 0] for head in heads or (len(self.nodes) - 1,)]
        values: dict[str, Any] = {"nodes": self.nodes, "arg_nodes": [], "heads": outputs}
        if self.key != "param":
            values |= {"node_row_ptr": [], "attrs": {"mxnet_version": ["int", 10901]}}
        return values


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net-symbol.json"


def symbol(path: Path, values: Any) -> Symbol:
    path.write_text(json.dumps(values))
    return mxnet_symbol.read(path)


def problem(path: Path, values: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        symbol(path, values)
    assert caught.value.code == "CN305" and caught.value.where == str(path)
    return caught.value


def one(operator: str, parameters: str = "", **attributes: str) -> dict[str, Any]:
    """A network of one operator that reads the image."""
    network = Network()
    network.layer(operator, "x", network.variable("data"), parameters, **attributes)
    return network.content()


def two(operator: str, **attributes: str) -> dict[str, Any]:
    """A network whose last operator reads the outputs of two others."""
    network = Network()
    data = network.variable("data")
    branches = network.add("relu", "a", (data,)), network.add("tanh", "b", (data,))
    network.add(operator, "x", branches, attributes)
    return network.content()


def flat(operator: str, parameters: str = "", **attributes: str) -> dict[str, Any]:
    """A network whose last operator reads rows of values."""
    network = Network()
    rows = network.layer("Flatten", "f", network.variable("data"))
    network.layer(operator, "x", rows, parameters, **attributes)
    return network.content()


# ------------------------------------------------------------------------------------------------------------- versions


def small(key: str) -> dict[str, Any]:
    """The same network in the format of a version."""
    network = Network(key)
    data = network.variable("data", lr_mult="0.2") if key == "attr" else network.variable("data")
    x = network.layer("Convolution", "conv1", data, "weight bias", **CONV, workspace="1024", no_bias="False")
    statistics = "" if key == "param" else " moving_mean moving_var"
    x = network.layer("BatchNorm", "bn1", x, "gamma beta" + statistics, eps="0.002", fix_gamma="False")
    x = network.layer("Activation", "relu1", x, act_type="relu")
    x = network.layer("FullyConnected", "fc2", x, "weight bias", num_hidden="10")
    network.layer("Softmax" if key == "param" else "SoftmaxOutput", "softmax", x, "label", grad_scale="1")
    return network.content()


@pytest.mark.parametrize("key", ["param", "attr", "attrs"])
def test_reads_each_version(path: Path, key: str) -> None:
    """In the oldest one, inputs have two numbers, and auxiliary variables are missing, whose names are known."""
    content = symbol(path, small(key))
    conv = {"out": 4, "kernel": [3, 3], "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}
    assert (
        content.nodes
        == mxnet_symbol.graph(path)
        == [
            Node(name="conv1", kind="conv", inputs=("data",), settings={**conv, "bias": True}),
            Node(
                name="bn1",
                kind="batch_norm",
                inputs=("conv1",),
                settings={"eps": 0.002, "momentum": 0.1, "scale": True},
            ),
            Node(name="relu1", kind="relu", inputs=("bn1",), settings={"slope": 0.0}),
            Node(name="fc2", kind="dense", inputs=("relu1",), settings={"out": 10, "bias": True}),
        ]
    )
    assert content.ones == frozenset() and content.input_shape is None
    assert content.parameters == {
        "conv1.weight": "conv1_weight",
        "conv1.bias": "conv1_bias",
        "bn1.weight": "bn1_gamma",
        "bn1.bias": "bn1_beta",
        "bn1.running_mean": "bn1_moving_mean",
        "bn1.running_var": "bn1_moving_var",
        "fc2.weight": "fc2_weight",
        "fc2.bias": "fc2_bias",
    }


def test_settings_and_attributes_of_users_stand_side_by_side(path: Path) -> None:
    """Version 0.8 has both "param" and "attr"; an attribute of a user never replaces a setting."""
    values = one("Convolution", "weight bias")
    values["nodes"][-1] |= {"param": CONV, "attr": {"lr_mult": "2", "num_filter": "8"}, "attrs": None}
    assert symbol(path, values).nodes[0].settings["out"] == 4


@pytest.mark.parametrize("name", OUTPUTS)
def test_networks_of_mxnet_calculate_the_same(name: str) -> None:
    """Errors are measured by the spread of MXNet's outputs over the images."""
    facts = OUTPUTS[name]
    content = mxnet_symbol.read(FILES / f"{name}-symbol.json")
    tensors = content.name_tensors(mxnet_params.read(FILES / f"{name}.params", data=True))
    net = build(content.nodes, facts["input"][1:]).eval()
    net.load_state_dict(tensors, strict=False)
    assert tensors.keys() == {key for key in net.state_dict() if not key.endswith("num_batches_tracked")}
    with torch.no_grad():
        outputs = net(torch.from_numpy(images(facts["input"], *facts["range"]))).numpy()
    expected = np.asarray(facts["outputs"])
    assert (np.abs(outputs - expected) / expected.std(axis=0).mean()).max() < 1e-4
    assert expected.std(axis=0).mean() > 1e-3


def test_an_alexnet_has_the_weights_of_the_registry(path: Path) -> None:
    """MXNet's own AlexNet, example/image-classification/symbols/alexnet.py."""
    network = Network("attr")
    x = network.variable("data")
    sizes = [("conv1", 96, 11, 4, 0), ("conv2", 256, 5, 1, 2), *((f"conv{i}", n, 3, 1, 1) for i, n in ((3, 384),))]
    sizes += [("conv4", 384, 3, 1, 1), ("conv5", 256, 3, 1, 1)]
    for name, out, kernel, stride, pad in sizes:
        pairs = {"kernel": f"({kernel}, {kernel})", "stride": f"({stride}, {stride})", "pad": f"({pad}, {pad})"}
        x = network.layer("Convolution", name, x, "weight bias", num_filter=str(out), **pairs)
        x = network.layer("Activation", f"relu_{name}", x, act_type="relu")
        if name in {"conv1", "conv2"}:
            x = network.layer("LRN", f"lrn_{name}", x, alpha="0.0001", beta="0.75", knorm="2", nsize="5")
        if name in {"conv1", "conv2", "conv5"}:
            x = network.layer("Pooling", f"pool_{name}", x, kernel="(3, 3)", stride="(2, 2)", pool_type="max")
    x = network.layer("Flatten", "flatten", x)
    for name, out in (("fc1", 4096), ("fc2", 4096), ("fc3", 1000)):
        x = network.layer("FullyConnected", name, x, "weight bias", num_hidden=str(out))
    network.layer("SoftmaxOutput", "softmax", x, "label")
    with torch.device("meta"):
        net = build(symbol(path, network.content()).nodes, (3, 224, 224))
        expected = NETS["alexnet_mxnet"].load()(1000, 3, 224).state_dict().values()
    assert [tensor.shape for tensor in net.state_dict().values()] == [tensor.shape for tensor in expected]


# ------------------------------------------------------------------------------------------------------------ operators

WINDOW = {"kernel": [3, 2], "stride": [2, 1], "padding": [1, 0]}
TEXT = {"kernel": "(3,2)", "stride": "[2, 1]", "pad": "(1L, 0L)"}
POOL = {"kernel": [2, 2], "stride": [1, 1], "padding": [0, 0]}
CONV_OUT: dict[str, Any] = {"out": 4, "kernel": [3, 3], "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1]}
BN = ("BatchNorm", "gamma beta moving_mean moving_var")
READ: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "conv": (
        one("Convolution", "weight", num_filter="6", **TEXT, dilate="(2,2)", num_group="3", no_bias="1"),
        "conv",
        {"out": 6, **WINDOW, "dilation": [2, 2], "groups": 3, "bias": False},
    ),
    "conv, empty": (
        one("Convolution", "weight bias", **CONV, stride="()", pad="[]", layout="None", no_bias="None"),
        "conv",
        {**CONV_OUT, "groups": 1, "bias": True},
    ),
    "pool": (one("Pooling", **TEXT, pool_type="max"), "pool", {"mode": "max", **WINDOW, "ceil": False}),
    "pool, default": (one("Pooling", kernel="(2, 2)"), "pool", {"mode": "max", **POOL, "ceil": False}),
    "pool, average": (
        one("Pooling", kernel="(2, 2)", pool_type="avg", pooling_convention="valid"),
        "pool",
        {"mode": "average", **POOL, "ceil": False, "count_padding": True},
    ),
    "pool, full": (
        one("Pooling", kernel="(3, 3)", stride="(2, 2)", pad="(1, 1)", pooling_convention="full"),
        "pool",
        {"mode": "max", "kernel": [3, 3], "stride": [2, 2], "padding": [1, 1], "ceil": True},
    ),
    "pool, without padding": (
        one("Pooling", kernel="(2, 2)", pool_type="avg", count_include_pad="False"),
        "pool",
        {"mode": "average", **POOL, "ceil": False, "count_padding": False},
    ),
    "pool, global": (
        one("Pooling", kernel="(7, 7)", pool_type="avg", global_pool="True"),
        "pool",
        {"mode": "average", "whole": True},
    ),
    "pool, global without kernel": (one("Pooling", global_pool="True"), "pool", {"mode": "max", "whole": True}),
    "lrn": (
        one("LRN", alpha="1e-3", beta=".5", knorm="1", nsize="3"),
        "lrn",
        {"size": 3, "alpha": 1e-3, "beta": 0.5, "k": 1.0, "region": "across"},
    ),
    "lrn, default": (
        one("LRN", nsize="5"),
        "lrn",
        {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0, "region": "across"},
    ),
    "dense": (one("FullyConnected", "weight", num_hidden="5", no_bias="True"), "dense", {"out": 5, "bias": False}),
    "dense, rows": (
        flat("FullyConnected", "weight bias", num_hidden="5", flatten="False"),
        "dense",
        {"out": 5, "bias": True},
    ),
    "relu": (one("Activation", act_type="relu"), "relu", {"slope": 0.0}),
    "relu alone": (one("relu"), "relu", {"slope": 0.0}),
    "sigmoid": (one("Activation", act_type="sigmoid"), "sigmoid", {}),
    "tanh": (one("Activation", act_type="tanh"), "tanh", {}),
    "softrelu": (one("Activation", act_type="softrelu"), "softplus", {}),
    "leaky": (one("LeakyReLU"), "relu", {"slope": 0.25}),
    "leaky, slope": (one("LeakyReLU", act_type="leaky", slope="0.1"), "relu", {"slope": 0.1}),
    "prelu": (one("LeakyReLU", "gamma", act_type="prelu"), "prelu", {"shared": False}),
    "elu": (one("LeakyReLU", act_type="elu", slope="2.0"), "elu", {"alpha": 2.0}),
    "dropout": (one("Dropout"), "dropout", {"p": 0.5}),
    "dropout, p": (one("Dropout", p="0.2", axes="()", mode="training"), "dropout", {"p": 0.2}),
    "flatten": (one("Flatten"), "flatten", {}),
    "reshape": (one("Reshape", shape="(0, -1)"), "flatten", {}),
    "concat": (two("Concat", num_args="2"), "concat", {"axis": 1}),
    "concat, last": (two("concat", dim="-1"), "concat", {"axis": -1}),
    "sum": (two("_Plus"), "eltwise", {"operation": "sum"}),
    "sum of many": (two("add_n"), "eltwise", {"operation": "sum"}),
    "difference": (two("elemwise_sub"), "eltwise", {"operation": "sum", "coefficients": [1.0, -1.0]}),
    "product": (two("broadcast_mul"), "eltwise", {"operation": "product"}),
    "maximum": (two("_maximum"), "eltwise", {"operation": "max"}),
    "plus": (one("_PlusScalar", scalar="2"), "power", {"power": 1.0, "scale": 1.0, "shift": 2.0}),
    "minus": (one("_minus_scalar", scalar="127.5"), "power", {"power": 1.0, "scale": 1.0, "shift": -127.5}),
    "from": (one("_rminus_scalar", scalar="1"), "power", {"power": 1.0, "scale": -1.0, "shift": 1.0}),
    "times": (one("_MulScalar", scalar="-3e-1"), "power", {"power": 1.0, "scale": -0.3, "shift": 0.0}),
    "divided": (one("_div_scalar", scalar="4"), "power", {"power": 1.0, "scale": 0.25, "shift": 0.0}),
    "norm": (one(*BN), "batch_norm", {"eps": 1e-3, "momentum": 0.1, "scale": True}),
    "norm, settings": (
        one(*BN, eps="2e-5", momentum="0.75", use_global_stats="True", axis="1"),
        "batch_norm",
        {"eps": 2e-5, "momentum": 0.25, "scale": True},
    ),
    "softmax": (one("softmax", axis="1"), "softmax", {"axis": 1}),
    "softmax, last": (flat("softmax"), "softmax", {"axis": 1}),
    "softmax of images": (one("SoftmaxActivation", mode="channel"), "softmax", {"axis": 1}),
    "softmax of rows": (flat("SoftmaxActivation"), "softmax", {"axis": 1}),
    "logistic": (one("LogisticRegressionOutput", "label"), "sigmoid", {}),
    "MXNet 2": (one("_npx_convolution", "weight bias", **CONV), "conv", {**CONV_OUT, "groups": 1, "bias": True}),
    "old pooling": (one("Pooling_v1", kernel="(2, 2)"), "pool", {"mode": "max", **POOL, "ceil": False}),
}


@pytest.mark.parametrize("name", READ)
def test_reads_each_operator(path: Path, name: str) -> None:
    values, kind, settings = READ[name]
    node = symbol(path, values).nodes[-1]
    assert (node.name, node.kind, node.settings) == ("x", kind, settings)
    assert type(node.settings) is dict and json.loads(json.dumps(node.settings)) == settings
    build(symbol(path, values).nodes, (6, 8, 8))  # it is valid


@pytest.mark.parametrize("operator", ["SoftmaxOutput", "LinearRegressionOutput", "MAERegressionOutput", "SVMOutput"])
@pytest.mark.parametrize("parameters", ["label", ""])
def test_losses_are_left_out_with_their_labels(path: Path, operator: str, parameters: str) -> None:
    content = symbol(path, flat(operator, parameters))
    assert [node.name for node in content.nodes] == ["f"]


def test_a_label_may_be_computed(path: Path) -> None:
    network = Network()
    x = network.layer("FullyConnected", "fc", network.variable("data"), "weight bias", num_hidden="2")
    label = network.add("Cast", "cast", (network.variable("label"),), {"dtype": "float32"})
    network.add("SoftmaxOutput", "softmax", (x, label))
    assert [node.name for node in symbol(path, network.content()).nodes] == ["fc"]


def test_operators_that_change_nothing_are_left_out(path: Path) -> None:
    network = Network()
    x = network.add("identity", "same", (network.variable("image"),))
    x = network.add("BlockGrad", "stop", (network.add("relu", "a", (x,)),))
    network.add("tanh", "b", (x,))
    assert [(node.name, node.inputs) for node in symbol(path, network.content()).nodes] == [
        ("a", ("data",)),
        ("b", ("a",)),
    ]


def test_what_the_output_does_not_need_is_left_out(path: Path) -> None:
    network = Network()
    data = network.variable("data")
    x = network.add("relu", "a", (data,))
    network.add("Crop", "unused", (x, network.variable("other")))
    assert [node.name for node in symbol(path, network.content(x)).nodes] == ["a"]


def test_nodes_of_one_name_get_numbers(path: Path) -> None:
    network = Network()
    x = network.variable("data_in")
    for name in ("relu", "relu_2", "relu", "relu", "data", ""):
        x = network.add("relu", name, (x,))
    nodes = symbol(path, network.content()).nodes
    assert [node.name for node in nodes] == ["relu", "relu_2", "relu_3", "relu_4", "data_2", ""]
    assert [node.inputs[0] for node in nodes] == ["data", "relu", "relu_2", "relu_3", "relu_4", "data_2"]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("(1, 3, 224, 224)", (3, 224, 224)),
        ("[1,1,28,28]", (1, 28, 28)),
        ("(0, 3, 0, 0)", None),
        ("(-1, 3, 8, 8)", None),
        ("(3, 8)", None),
        ("()", None),
        ("(1, 3, 99999999999, 8)", None),
    ],
)
def test_the_shape_of_the_image_may_be_stated(path: Path, text: str, shape: Any) -> None:
    network = Network()
    network.add("relu", "a", (network.variable("data", __shape__=text),))
    assert symbol(path, network.content()).input_shape == shape


def test_a_slope_for_all_channels_is_shared(path: Path) -> None:
    """Gluon states the shape of the variable."""
    network = Network()
    network.add("LeakyReLU", "p", (network.variable("data"), network.variable("alpha", __shape__="(1,)")))
    network.nodes[-1]["attrs"] = {"act_type": "prelu"}
    assert symbol(path, network.content()).nodes[0].settings == {"shared": True}


# -------------------------------------------------------------------------------------------------------------- refused

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "operator": (one("Deconvolution", "weight"), "there is no layer for this operator"),
    "crop": (two("Crop"), "there is no layer for this operator"),
    "layout": (one("Convolution", "weight bias", **CONV, layout="NHWC"), "layout is 'NHWC'; read are None, NCHW"),
    "kernel": (one("Convolution", "weight bias", num_filter="4"), "kernel is '()'; allowed are two numbers"),
    "three axes": (one("Pooling", kernel="(2, 2, 2)"), "kernel is '(2, 2, 2)'; allowed are two numbers"),
    "one axis": (one("Pooling", kernel="(2,)"), "kernel is '(2,)'; allowed are two numbers"),
    "huge kernel": (one("Pooling", kernel="(2, 99999999)"), "allowed are two numbers from 1 to 16777216"),
    "no tuple": (one("Pooling", kernel="3"), "kernel is '3'; expected is a tuple"),
    "code": (one("Pooling", kernel="(exit(), 3)"), "expected is a tuple"),
    "long": (one("Pooling", kernel="(" + "1, " * 999 + "1)"), "kernel has 3,000 characters"),
    "zero stride": (one("Pooling", kernel="(2, 2)", stride="(0, 1)"), "stride is '(0, 1)'"),
    "negative pad": (one("Pooling", kernel="(2, 2)", pad="(-1, 0)"), "pad is '(-1, 0)'"),
    "groups": (one("Convolution", "weight bias", **CONV, num_group="3"), "num_group is 3, which does not divide"),
    "filters": (one("Convolution", "weight bias", kernel="(3, 3)"), "num_filter is ''; allowed is an integer"),
    "huge": (one("FullyConnected", "weight bias", num_hidden="9" * 30), "num_hidden is '9999"),
    "hidden": (one("FullyConnected", "weight bias", num_hidden="4.0"), "num_hidden is '4.0'; allowed is an integer"),
    "flag": (one("FullyConnected", "weight", num_hidden="4", no_bias="maybe"), "no_bias is 'maybe'; expected is True"),
    "images": (one("FullyConnected", "weight bias", num_hidden="4", flatten="False"), "flatten is False"),
    "pool type": (one("Pooling", kernel="(2, 2)", pool_type="sum"), "pool_type is 'sum'; read are max, avg"),
    "same": (one("Pooling", kernel="(2, 2)", pooling_convention="same"), "'same'; read are valid, full"),
    "outside": (one("Pooling", kernel="(1, 1)", stride="(2, 2)", pooling_convention="full"), "the last window may"),
    "outside, padded": (
        one("Pooling", kernel="(2, 2)", stride="(2, 2)", pad="(1, 1)", pooling_convention="full"),
        "the last window may",
    ),
    "old average": (
        one("Pooling_v1", kernel="(3, 3)", stride="(2, 2)", pool_type="avg", pooling_convention="full"),
        "an average by Pooling_v1",
    ),
    "even": (one("LRN", nsize="4"), "nsize is 4; only odd windows"),
    "no size": (one("LRN"), "nsize is ''"),
    "nan": (one("LRN", nsize="5", alpha="nan"), "alpha is 'nan'; expected is a number"),
    "infinite": (one("LRN", nsize="5", alpha="1e999"), "alpha is '1e999'; expected is a number"),
    "activation": (one("Activation", act_type="softsign"), "act_type is 'softsign'; read are relu, sigmoid"),
    "no activation": (one("Activation"), "act_type is ''"),
    "random": (one("LeakyReLU", act_type="rrelu"), "act_type is 'rrelu'; read are leaky, prelu, elu"),
    "always": (one("Dropout", mode="always"), "mode is 'always'"),
    "axes": (one("Dropout", axes="(2, 3)"), "axes is '(2, 3)'"),
    "p": (one("Dropout", p="1"), "p is 1"),
    "reshape": (one("Reshape", shape="(-1, 4, 4)"), "only (0, -1), which flattens, is read"),
    "batch": (two("Concat", dim="0"), "dim is 0"),
    "axis": (two("Concat", dim="4"), "dim is '4'"),
    "divided": (one("_DivScalar", scalar="0"), "scalar is 0, which cannot divide"),
    "left": (one("_MinusScalar", scalar="1", scalar_on_left="True"), "scalar_on_left"),
    "no scalar": (one("_plus_scalar"), "scalar is ''; expected is a number"),
    "norm axis": (one(*BN, axis="3"), "axis is '3'"),
    "norm outputs": (one(*BN, output_mean_var="True"), "output_mean_var is 'True'"),
    "eps": (one(*BN, eps="0"), "eps is 0"),
    "temperature": (one("softmax", temperature="2"), "temperature is '2'"),
    "length": (one("softmax", use_length="True"), "use_length is True"),
    "softmax of a batch": (one("softmax", axis="0"), "axis is 0"),
    "instance": (one("SoftmaxActivation"), "mode is 'instance'"),
    "more inputs": (one("relu", "a b"), "it has 3 inputs, and 1 at most are read"),
    "more outputs": (one("Convolution", "weight bias more", **CONV), "it has 4 inputs, and 3 at most are read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_node_cannot_express_is_refused(path: Path, name: str) -> None:
    values, why = REFUSED[name]
    error = problem(path, values)
    operator = values["nodes"][-1]["op"]
    assert error.what == "the graph cannot be read" and why in error.why
    assert error.why.startswith(f"node {len(values['nodes']) - 1} 'x' ({operator}): ")
    assert ("operators that can be read: Convolution" in str(error)) == ("no layer" in why)


def damaged(**changes: Any) -> dict[str, Any]:
    """A network whose last node, `relu`, has other values."""
    values = one("relu")
    values["nodes"][-1] |= changes
    return values


def several_inputs() -> dict[str, Any]:
    network = Network()
    network.add("_Plus", "x", (network.variable("left"), network.variable("right")))
    return network.content()


def computed_weight() -> dict[str, Any]:
    network = Network()
    data = network.variable("data")
    weight = network.add("relu", "w", (network.variable("v"),))
    network.add("FullyConnected", "x", (data, weight), {"num_hidden": "2", "no_bias": "True"})
    return network.content()


def shared_weight(*, image: bool = False) -> dict[str, Any]:
    network = Network()
    data, weight = network.variable("data"), network.variable("w")
    settings = {"num_hidden": "2", "no_bias": "True"}
    first = network.add("FullyConnected", "first", (data, weight), settings)
    network.add("FullyConnected", "x", (weight, first) if image else (first, weight), settings)
    return network.content()


def second_output() -> dict[str, Any]:
    network = Network()
    network.add("relu", "x", ((network.layer(*BN[:1], "bn", network.variable("data"), BN[1]), 1, 0),))
    return network.content()


STRUCTURE: dict[str, tuple[Any, str]] = {
    "list": ([], "it has no list of nodes"),
    "no nodes": ({"heads": []}, "it has no list of nodes"),
    "empty": ({"nodes": [], "heads": []}, "it has 0 nodes"),
    "many": ({"nodes": [0] * 100_001, "heads": []}, "it has 100,001 nodes"),
    "node": ({"nodes": [7], "heads": []}, "node 0: it has no 'op' and 'name' in text"),
    "name": (damaged(name=7), "node 1: it has no 'op' and 'name' in text"),
    "long name": (damaged(name="x" * 201), "node 1: its name has 201 characters"),
    "operator": (damaged(op=None), "node 1: it has no 'op' and 'name' in text"),
    "inputs": (damaged(inputs=None), "node 1 'x': what it reads is not a list"),
    "input": (damaged(inputs=[0]), "node 1 'x': what it reads is not two or three numbers"),
    "one number": (damaged(inputs=[[0]]), "node 1 'x': what it reads is not two or three numbers"),
    "four numbers": (damaged(inputs=[[0, 0, 0, 0]]), "node 1 'x': what it reads is not two or three numbers"),
    "boolean": (damaged(inputs=[[False, 0, 0]]), "node 1 'x': what it reads is not two or three numbers"),
    "negative": (damaged(inputs=[[-1, 0, 0]]), "node 1 'x': what it reads is not two or three numbers"),
    "cycle": (damaged(inputs=[[1, 0, 0]]), "node 1 'x': it reads node 1, which is not one before it"),
    "later": (damaged(inputs=[[10**30, 0, 0]]), "node 1 'x': it reads node 1,000,000,"),
    "no inputs": (damaged(inputs=[]), "node 1 'x' (relu): it has 0 inputs"),
    "attributes": (damaged(attrs=[1]), "node 1 'x': 'attrs' is not an object with values in text"),
    "values": (damaged(param={"slope": 1}), "node 1 'x': 'param' is not an object with values in text"),
    "no output": ({**one("relu"), "heads": []}, "it has 0 outputs, and a network has one"),
    "outputs": ({**two("_Plus"), "heads": [[1, 0], [2, 0]]}, "it has 2 outputs, and a network has one: a, b"),
    "heads": ({**one("relu"), "heads": None}, "the output: what it reads is not a list"),
    "head": ({**one("relu"), "heads": [[2, 0]]}, "the output: it reads node 2, which is not one before it"),
    "second head": ({**one("relu"), "heads": [[1, 1]]}, "node 1 'x' (relu): it reads output 1 of 'x'"),
    "only the image": ({**one("relu"), "heads": [[0, 0]]}, "it has no layer between the image and the output"),
    "nothing": (one("identity"), "it has no layer between the image and the output"),
    "images": (several_inputs(), "node 2 'x' (_Plus): the network has more inputs than one: 'left', 'right'"),
    "computed": (computed_weight(), "the network has more inputs than one"),
    "shared": (shared_weight(), "node 3 'x' (FullyConnected): it shares 'w' with 'first.weight'"),
    "weight as image": (shared_weight(image=True), "it reads 'w', which is the parameter 'first.weight'"),
    "second output": (second_output(), "node 6 'x' (relu): it reads output 1 of 'bn'"),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_a_damaged_graph_is_named_with_its_node(path: Path, name: str) -> None:
    values, why = STRUCTURE[name]
    assert why in problem(path, values).why


def test_the_image_as_a_weight_is_refused(path: Path) -> None:
    network = Network()
    data = network.variable("data")
    network.add("FullyConnected", "x", (data, data), {"num_hidden": "2", "no_bias": "True"})
    assert (
        "node 1 'x' (FullyConnected): its weight is 'data', which is computed" in problem(path, network.content()).why
    )


def test_a_weight_that_is_computed_is_refused(path: Path) -> None:
    network = Network()
    x = network.add("relu", "a", (network.variable("data"),))
    network.add("FullyConnected", "x", (x, x), {"num_hidden": "2", "no_bias": "True"})
    assert "its weight is 'a', which is computed" in problem(path, network.content()).why


def test_a_graph_of_too_many_layers_is_refused(path: Path) -> None:
    network = Network()
    x = network.variable("data")
    for _layer in range(10_001):
        x = network.add("relu", "r", (x,))
    assert "node 10001 'r' (relu): a network has at most 10,000 layers" in problem(path, network.content()).why


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is not JSON"),
        (b"\x80", "it is not UTF-8"),
        (b'{"nodes": [', "it is not JSON"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"nodes": NaN}', "NaN is not a number"),
        (b'{"nodes": [], "nodes": []}', 'the key "nodes" occurs twice'),
        (b"{" + b",".join(b'"%d": 0' % i for i in range(200_000)) + b', "199999": 0}', 'the key "199999" occurs twice'),
        (b" " * (8 * 2**20 + 1), "it has 8.4 MB"),
    ],
    ids=["empty", "binary", "cut", "deep", "nan", "key", "last key", "large"],
)
def test_what_is_no_json_is_refused(path: Path, content: bytes, why: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged or is not a graph of MXNet") as caught:
        mxnet_symbol.read(path)
    assert why in caught.value.why


def test_a_missing_file_is_an_error(path: Path) -> None:
    with pytest.raises(DataError, match="cannot be opened"):
        mxnet_symbol.read(path)


# -------------------------------------------------------------------------------------------------------------- tensors


def norm(fix_gamma: str) -> dict[str, Any]:
    """A network whose variables have names of their own."""
    network = Network()
    names = [network.variable(name) for name in ("data", "first", "scale", "offset", "mean", "spread")]
    settings = {"num_filter": "2", "kernel": "(1, 3)", "no_bias": "True"}
    x = network.add("Convolution", "conv", (names[0], names[1]), settings)
    network.add("BatchNorm", "bn", (x, *names[2:]), {"fix_gamma": fix_gamma})
    return network.content()


@pytest.mark.parametrize("fix_gamma", ["True", "False"])
def test_tensors_are_named_by_the_inputs_of_nodes(path: Path, fix_gamma: str) -> None:
    """With fix_gamma, gamma is 1, whatever the file says."""
    tensors = {name: torch.rand(2) for name in ("scale", "offset", "mean", "spread", "more")}
    tensors["first"] = torch.rand(2, 3, 1, 3)
    named = symbol(path, norm(fix_gamma)).name_tensors(tensors)
    assert [*named] == ["conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"]
    assert named["conv.weight"] is tensors["first"] and named["bn.running_var"] is tensors["spread"]
    assert torch.equal(named["bn.weight"], torch.ones(2) if fix_gamma == "True" else tensors["scale"])


def test_tensors_that_do_not_fit_are_listed(path: Path) -> None:
    content = symbol(path, norm("True"))
    tensors = {name: torch.empty(2, device="meta") for name in ("scale", "offset", "spread")}
    tensors |= {"first": torch.empty(2, 3, 3, 1, device="meta"), "scale": torch.empty(2, 1, device="meta")}
    with pytest.raises(DataError) as caught:
        content.name_tensors(tensors)
    assert caught.value.code == "CN306" and caught.value.why.splitlines() == [
        "first is 2x3x3x1 in the file and 2x?x1x3 in 'conv'",
        "scale is 2x1 in the file and ? in 'bn'",
        "mean of 'bn' is missing from the file",
    ]


def test_a_long_list_of_problems_is_shortened(path: Path) -> None:
    network = Network()
    x = network.variable("data")
    for i in range(9):
        x = network.layer("FullyConnected", f"fc{i}", x, "weight", num_hidden="2", no_bias="True")
    with pytest.raises(DataError) as caught:
        symbol(path, network.content()).name_tensors({})
    lines = caught.value.why.splitlines()
    assert lines[0] == "fc0_weight of 'fc0' is missing from the file" and lines[8:] == ["and 1 more"]
