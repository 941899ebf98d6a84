"""Definitions of Caffe networks: all three generations of layers, in both forms, and what they become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from google.protobuf import text_format  # type: ignore[import-untyped]

from classicnets.errors import DataError
from classicnets.models.graph import Node
from classicnets.models.registry import NETS
from classicnets.weights import caffe
from classicnets.weights.caffe_graph import Definition
from classicnets.weights.caffe_schema import NET
from support.caffe_files import INPUT, error, graph, layer
from support.protobuf import oracle

CONV = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1, "bias": True}


def test_reads_the_network_of_the_documentation(tmp_path: Path) -> None:
    """Layers that write into their input become nodes of their own; a dense layer needs no flattening."""
    text = f"""name: "Tiny"  # a comment
{INPUT}
layer {{
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param {{ lr_mult: 1 decay_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }}
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} }}
}}
layer {{ name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }}
layer {{ name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1" inner_product_param {{ num_output: 5 }} }}
layer {{ name: "prob" type: "Softmax" bottom: "ip1" top: "prob" }}
"""
    window = {"kernel": [2, 2], "stride": [2, 2], "padding": [0, 0]}
    assert graph(tmp_path, text) == Definition(
        name="Tiny",
        input=(3, 8, 6),
        nodes=[
            Node(name="conv1", kind="conv", inputs=("data",), settings={"out": 4, "kernel": [3, 3], **CONV}),
            Node(name="relu1", kind="relu", inputs=("conv1",), settings={"slope": 0.0}),
            Node(name="pool1", kind="pool", inputs=("relu1",), settings={"mode": "max", "ceil": True, **window}),
            Node(name="ip1", kind="dense", inputs=("pool1",), settings={"out": 5, "bias": True}),
            Node(name="prob", kind="softmax", inputs=("ip1",), settings={"axis": 1}),
        ],
    )


# ------------------------------------------------------------------------------------------------ the three generations

# name, type of today, bottom, top, settings; the networks of the registry that come from Caffe
_CONV = "num_output: {} kernel_size: {} stride: {} pad: {} group: {}"
LENET = [
    ("conv1", "Convolution", "data", "conv1", "num_output: 20 kernel_size: 5"),
    ("pool1", "Pooling", "conv1", "pool1", "pool: MAX kernel_size: 2 stride: 2"),
    ("conv2", "Convolution", "pool1", "conv2", "num_output: 50 kernel_size: 5"),
    ("pool2", "Pooling", "conv2", "pool2", "pool: MAX kernel_size: 2 stride: 2"),
    ("ip1", "InnerProduct", "pool2", "ip1", "num_output: 500"),
    ("relu1", "ReLU", "ip1", "ip1", ""),
    ("ip2", "InnerProduct", "ip1", "ip2", "num_output: 10"),
]


def alexnet(*, pool_first: bool) -> list[tuple[str, str, str, str, str]]:
    layers = []
    blob = "data"
    for i, numbers in enumerate([(96, 11, 4, 0, 1), (256, 5, 1, 2, 2), (384, 3, 1, 1, 1), (384, 3, 1, 1, 2),
                                 (256, 3, 1, 1, 2)], 1):  # fmt: skip
        layers += [(f"conv{i}", "Convolution", blob, f"conv{i}", _CONV.format(*numbers))]
        layers += [(f"relu{i}", "ReLU", f"conv{i}", f"conv{i}", "")]
        blob = f"conv{i}"
        pool = ("Pooling", f"pool{i}", "pool: MAX kernel_size: 3 stride: 2")
        norm = ("LRN", f"norm{i}", "local_size: 5 alpha: 0.0001 beta: 0.75")
        for kind, name, settings in {1: (pool, norm), 2: (pool, norm), 5: (pool,)}.get(i, ())[
            :: 1 if pool_first else -1
        ]:
            layers += [(name, kind, blob, name, settings)]
            blob = name
    for i, out in ((6, 4096), (7, 4096), (8, 1000)):
        layers += [(f"fc{i}", "InnerProduct", blob, f"fc{i}", f"num_output: {out}")]
        blob = f"fc{i}"
        if i < 8:
            layers += [(f"relu{i}", "ReLU", blob, blob, ""), (f"drop{i}", "Dropout", blob, blob, "dropout_ratio: 0.5")]
    return layers


PUBLISHED = {"lenet_caffe": LENET, "alexnet_caffe": alexnet(pool_first=False), "caffenet": alexnet(pool_first=True)}
_PARAMETERS = {"Convolution": "convolution_param", "Pooling": "pooling_param", "InnerProduct": "inner_product_param",
               "LRN": "lrn_param", "Dropout": "dropout_param"}  # fmt: skip
_V1 = {"Convolution": "CONVOLUTION", "Pooling": "POOLING", "InnerProduct": "INNER_PRODUCT", "LRN": "LRN",
       "Dropout": "DROPOUT", "ReLU": "RELU"}  # fmt: skip
_V0 = {"Convolution": "conv", "Pooling": "pool", "InnerProduct": "innerproduct", "LRN": "lrn", "Dropout": "dropout",
       "ReLU": "relu"}  # fmt: skip


def text_of(generation: str, layers: list[tuple[str, str, str, str, str]], shape: tuple[int, ...]) -> str:
    text = 'name: "net" input: "data" ' + " ".join(f"input_dim: {n}" for n in (10, *shape)) + "\n"
    if generation == "new":
        text = f'name: "net" {INPUT}'.replace("dim: 3 dim: 8 dim: 6", " ".join(f"dim: {n}" for n in shape))
    for name, kind, bottom, top, settings in layers:
        blobs = f'bottom: "{bottom}" top: "{top}"'
        inner = f"{_PARAMETERS[kind]} {{ {settings} }}" if settings else ""
        if generation == "new":
            text += f'layer {{ name: "{name}" type: "{kind}" {blobs} {inner} }}\n'
        elif generation == "V1":
            text += f'layers {{ name: "{name}" type: {_V1[kind]} {blobs} blobs_lr: 1 {inner} }}\n'
        else:
            settings = settings.replace("kernel_size", "kernelsize")
            text += f'layers {{ layer {{ name: "{name}" type: "{_V0[kind]}" {settings} }} {blobs} }}\n'
    return text


@pytest.mark.parametrize("form", ["text", "binary"])
@pytest.mark.parametrize("generation", ["new", "V1", "V0"])
@pytest.mark.parametrize("net", PUBLISHED)
def test_published_networks_in_every_format(tmp_path: Path, net: str, generation: str, form: str) -> None:
    shape = NETS[net].input
    text = text_of(generation, PUBLISHED[net], shape)
    expected = graph(tmp_path, text_of("new", PUBLISHED[net], shape))
    path = tmp_path / f"net.{form}"
    if form == "text":
        path.write_text(text)
    else:
        message = text_format.Parse(text, oracle(NET)(), allow_unknown_field=True)
        path.write_bytes(message.SerializeToString())
    assert caffe.graph(path) == expected
    assert expected.input == shape and [node.name for node in expected.nodes] == [row[0] for row in PUBLISHED[net]]


@pytest.mark.parametrize("net", PUBLISHED)
def test_published_networks_have_the_weights_of_the_registry(tmp_path: Path, net: str) -> None:
    with torch.device("meta"):
        built = NETS[net].load()(NETS[net].classes, *NETS[net].input[:2])
    shapes = [tuple(tensor.shape) for tensor in built.state_dict().values() if tensor.dim() > 1]
    nodes = graph(tmp_path, text_of("new", PUBLISHED[net], NETS[net].input)).nodes
    with_weights = [node.settings for node in nodes if node.kind in ("conv", "dense")]
    assert [shape[0] for shape in shapes] == [settings["out"] for settings in with_weights]
    assert [list(shape[2:]) for shape in shapes] == [settings.get("kernel", []) for settings in with_weights]


def test_layers_of_padding_move_into_what_reads_them(tmp_path: Path) -> None:
    """As in the networks of 2013."""
    text = """input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "pad1" }
layers { layer { name: "conv1" type: "conv" num_output: 4 kernelsize: 5 biasterm: false } bottom: "pad1" top: "conv1" }
layers { layer { name: "pad2" type: "padding" pad: 1 } bottom: "conv1" top: "pad2" }
layers { layer { name: "pool2" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "pad2" top: "pool2" }
"""
    first, second = graph(tmp_path, text).nodes
    assert first.inputs == ("data",) and first.settings["padding"] == [2, 2] and not first.settings["bias"]
    assert second.inputs == ("conv1",) and second.settings["padding"] == [1, 1]
    relu = 'layers { layer { name: "relu1" type: "relu" } bottom: "pad1" top: "relu1" }'
    failed = error(tmp_path, "\n".join([*text.splitlines()[:2], relu]))
    assert "relu1 (ReLU): it reads a layer of padding" in failed.why and failed.where.endswith("line 3")


def test_formats_cannot_be_mixed(tmp_path: Path) -> None:
    failed = error(tmp_path, INPUT + 'layers { name: "a" type: RELU bottom: "data" top: "a" }')
    assert "layers of two formats" in failed.why


# --------------------------------------------------------------------------------------------------- settings of layers

WINDOW: dict[str, Any] = {"kernel": [3, 3], "stride": [1, 1], "padding": [0, 0]}
POOL: dict[str, Any] = {"mode": "max", **WINDOW, "ceil": True}
LRN: dict[str, Any] = {"size": 5, "alpha": 1.0, "beta": 0.75, "k": 1.0, "region": "across"}
E: dict[str, Any] = {"base": None, "scale": 1.0, "shift": 0.0}
KINDS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", "conv", {"out": 4, "kernel": [3, 3], **CONV}),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: [3, 2] stride: [2, 1] pad: [1, 0] dilation: 2 group: 2"
        " bias_term: false axis: 1 engine: CAFFE bias_filler { } force_nd_im2col: false }",
        "conv",
        {
            "out": 4,
            "kernel": [3, 2],
            "stride": [2, 1],
            "padding": [1, 0],
            "dilation": [2, 2],
            "groups": 2,
            "bias": False,
        },
    ),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 }",
        "conv",
        {"out": 4, "kernel": [3, 2], **CONV, "stride": [2, 1], "padding": [1, 0]},
    ),
    ("Pooling", "pooling_param { kernel_size: 3 }", "pool", POOL),
    ("Pooling", "pooling_param { kernel_size: 3 round_mode: FLOOR }", "pool", {**POOL, "ceil": False}),
    (
        "Pooling",
        "pooling_param { pool: AVE kernel_h: 3 kernel_w: 2 stride: 2 pad: 1 engine: CUDNN }",
        "pool",
        {"mode": "average", "kernel": [3, 2], "stride": [2, 2], "padding": [1, 1], "ceil": True, "count_padding": True},
    ),
    ("Pooling", "pooling_param { global_pooling: true pool: AVE }", "pool", {"mode": "average", "whole": True}),
    ("LRN", "", "lrn", LRN),
    (
        "LRN",
        "lrn_param { local_size: 3 alpha: 5e-05 k: 2 engine: CAFFE }",
        "lrn",
        {**LRN, "size": 3, "alpha": 5e-05, "k": 2.0},
    ),
    ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL k: 2 }", "lrn", {**LRN, "region": "within"}),  # as Caffe computes
    ("InnerProduct", "inner_product_param { num_output: 4 }", "dense", {"out": 4, "bias": True}),
    (
        "InnerProduct",
        "inner_product_param { num_output: 4 bias_term: false transpose: true }",
        "dense",
        {"out": 4, "bias": False},
    ),
    ("ReLU", "", "relu", {"slope": 0.0}),
    ("ReLU", "relu_param { negative_slope: 0.1 }", "relu", {"slope": 0.1}),
    ("PReLU", "", "prelu", {"shared": False}),
    ("PReLU", "prelu_param { channel_shared: true filler { } }", "prelu", {"shared": True}),
    ("ELU", "elu_param { alpha: 0.5 }", "elu", {"alpha": 0.5}),
    ("Sigmoid", "", "sigmoid", {}),
    ("TanH", "", "tanh", {}),
    ("AbsVal", "", "absolute", {}),
    ("BNLL", "", "softplus", {}),
    ("Power", "power_param { power: 2 shift: 1 }", "power", {"power": 2.0, "scale": 1.0, "shift": 1.0}),
    ("Exp", "", "exponential", E),
    ("Exp", "exp_param { base: 2 scale: 3 shift: -1 }", "exponential", {"base": 2.0, "scale": 3.0, "shift": -1.0}),
    ("Log", "log_param { base: 10 }", "logarithm", {**E, "base": 10.0}),
    ("Dropout", "", "dropout", {"p": 0.5}),
    ("Dropout", "dropout_param { dropout_ratio: 0.3 }", "dropout", {"p": 0.3}),
    ("Softmax", "softmax_param { engine: CAFFE axis: -1 }", "softmax", {"axis": -1}),
    ("Flatten", "", "flatten", {}),
    ("Flatten", "flatten_param { axis: 1 end_axis: 3 }", "flatten", {}),
    ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }", "flatten", {}),
    ("Reshape", "reshape_param { shape { dim: 0 dim: 144 } }", "flatten", {}),
    ("Reshape", "reshape_param { shape { dim: -1 } axis: 1 }", "flatten", {}),
    ("BatchNorm", "", "batch_norm", {"eps": 1e-5, "momentum": 0.001, "scale": False}),
    (
        "BatchNorm",
        "batch_norm_param { use_global_stats: true moving_average_fraction: 0.9 eps: 0.001 }",
        "batch_norm",
        {"eps": 0.001, "momentum": 0.1, "scale": False},
    ),
    ("Scale", "", "scale", {"bias": False, "axis": 1}),
    ("Scale", "scale_param { bias_term: true axis: 1 filler { } }", "scale", {"bias": True, "axis": 1}),
]


@pytest.mark.parametrize(("kind", "text", "node_kind", "settings"), KINDS)
def test_each_kind_of_layer(tmp_path: Path, kind: str, text: str, node_kind: str, settings: dict[str, Any]) -> None:
    expected = [Node(name="x", kind=node_kind, inputs=("data",), settings=settings)]
    text = INPUT + layer(kind, text)
    assert graph(tmp_path, text).nodes == expected
    message = text_format.Parse(text, oracle(NET)(), allow_unknown_field=True)
    (tmp_path / "net").write_bytes(message.SerializeToString())
    assert caffe.graph(tmp_path / "net").nodes == expected


@pytest.mark.parametrize(
    ("kind", "text", "node_kind", "settings"),
    [
        ("Concat", "", "concat", {"axis": 1}),
        ("Concat", "concat_param { axis: -3 }", "concat", {"axis": -3}),
        ("Concat", "concat_param { concat_dim: 2 }", "concat", {"axis": 2}),
        ("Eltwise", "", "eltwise", {"operation": "sum", "coefficients": None}),
        (
            "Eltwise",
            "eltwise_param { coeff: 1 coeff: -1 }",
            "eltwise",
            {"operation": "sum", "coefficients": [1.0, -1.0]},
        ),
        ("Eltwise", "eltwise_param { operation: PROD }", "eltwise", {"operation": "product", "coefficients": None}),
        ("Eltwise", "eltwise_param { operation: MAX }", "eltwise", {"operation": "max", "coefficients": None}),
    ],
)
def test_layers_with_two_inputs(tmp_path: Path, kind: str, text: str, node_kind: str, settings: dict[str, Any]) -> None:
    text = INPUT + layer("TanH", name="a", top="a") + layer(kind, text, bottom="a data")
    node = graph(tmp_path, text).nodes[-1]
    assert node == Node(name="x", kind=node_kind, inputs=("a", "data"), settings=settings)


REFUSED: list[tuple[str, str, str]] = [
    ("Deconvolution", "", "layer x (Deconvolution): layers of this type are not known"),
    ("Convolution", "", "num_output is missing"),
    ("Convolution", "convolution_param { num_output: 4 }", "kernel_size is missing"),
    ("Convolution", "convolution_param { num_output: 4 kernel_h: 3 }", "kernel_w is missing"),
    ("Convolution", "convolution_param { num_output: 0 kernel_size: 3 }", "num_output is 0; allowed is 1 to"),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 99999 }",
        "kernel_size is 99999; allowed is 1 to 65536",
    ),
    ("Convolution", "convolution_param { num_output: 4 kernel_size: [3, 3, 3] }", "kernel_size has 3 numbers"),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 3 kernel_h: 3 }",
        "it has kernel_size as well as kernel_h",
    ),
    ("Convolution", "convolution_param { num_output: 4 kernel_size: 3 stride: 0 }", "stride is 0; allowed is 1 to"),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 3 group: 3 }",
        "3 groups do not divide its 4 outputs",
    ),
    ("Convolution", "convolution_param { num_output: 4 kernel_size: 3 axis: 2 }", "axis is 2, which is not supported"),
    ("Convolution", "convolution_param { num_output: 4 kernel: 3 }", "ConvolutionParameter has no field kernel"),
    ("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 3 }", "pool is STOCHASTIC, which is not supported"),
    ("Pooling", "", "kernel_size is missing"),
    ("Pooling", "pooling_param { kernel_size: 3 pad: 3 }", "its padding is not smaller than its window"),
    (
        "Pooling",
        "pooling_param { kernel_size: 3 global_pooling: true }",
        "it has global_pooling as well as kernel_size",
    ),
    ("Pooling", "pooling_param { stride: 2 global_pooling: true }", "it has global_pooling as well as a stride"),
    ("LRN", "lrn_param { local_size: 4 }", "local_size is 4; Caffe allows odd sizes only"),
    ("LRN", "lrn_param { alpha: nan }", "alpha is nan, which is no number"),
    ("InnerProduct", "inner_product_param { num_output: 4 axis: 2 }", "axis is 2, which is not supported"),
    ("Dropout", "dropout_param { dropout_ratio: 1 }", "dropout_ratio is 1.0; allowed is 0 to 1"),
    ("Exp", "exp_param { base: 1 }", "base is 1.0; allowed is a positive number"),
    ("Log", "log_param { base: 0 }", "base is 0.0; allowed is a positive number"),
    ("Softmax", "softmax_param { axis: 0 }", "axis is 0, which is not supported"),
    ("Flatten", "flatten_param { axis: 2 }", "axis is 2, which is not supported"),
    ("Reshape", "reshape_param { shape { dim: 0 dim: 3 dim: -1 } }", "it does not flatten each image"),
    ("Reshape", "reshape_param { shape { dim: -1 dim: 10 } }", "it does not flatten each image"),
    ("Reshape", "reshape_param { shape { dim: -1 } axis: 1 num_axes: 1 }", "num_axes is 1, which is not supported"),
    ("BatchNorm", "batch_norm_param { moving_average_fraction: 2 }", "moving_average_fraction is 2.0"),
    ("Scale", "scale_param { num_axes: 0 }", "num_axes is 0, which is not supported"),
    ("Eltwise", "", "it reads 1 blob instead of 2"),
]


@pytest.mark.parametrize(("kind", "text", "what"), REFUSED)
def test_layers_that_cannot_be_read_are_named(tmp_path: Path, kind: str, text: str, what: str) -> None:
    failed = error(tmp_path, INPUT + layer(kind, text.replace("{ ", "{\n\n", 1)))
    assert what in failed.why
    line = 2 if "missing" in what or "known" in what or "instead" in what or "as well as a" in what else 4
    if "padding is not" not in what and "does not flatten" not in what and "as well as kernel_h" not in what:
        assert failed.where.endswith(f"net.prototxt, line {line}")


def test_layers_of_unknown_kinds_in_the_binary_form_are_named_with_the_byte(tmp_path: Path) -> None:
    text = INPUT + layer("Crop", "", name="crop1")
    content = text_format.Parse(text, oracle(NET)()).SerializeToString()
    (tmp_path / "net").write_bytes(content)
    with pytest.raises(DataError) as caught:
        caffe.graph(tmp_path / "net")
    at = content.index(b"crop1") - 5  # tag and length of the layer, and of its name
    assert "crop1 (Crop)" in caught.value.why and caught.value.where.endswith(f"byte {at}")
    v1 = 'input: "data" layers { name: "a" type: DATA bottom: "data" top: "a" }'
    content = text_format.Parse(v1, oracle(NET)()).SerializeToString().replace(b"\x28\x05", b"\x28\x7a")
    (tmp_path / "net").write_bytes(content)
    with pytest.raises(DataError) as caught:
        caffe.graph(tmp_path / "net")
    assert "layer a (122): layers of this type are not known" in caught.value.why
