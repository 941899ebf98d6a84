"""Weights and mean images of Caffe: bytes by hand in every format, and what is written for Caffe."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format  # type: ignore[import-untyped]
from torch import Tensor

from classicnets.errors import DataError
from classicnets.models.graph import Node
from classicnets.weights import caffe, caffe_write, files
from classicnets.weights.caffe_schema import NET
from support.protobuf import block, floats, number, oracle, single, varint

Blob = tuple[bytes, int]  # the shape, and the number of values


def dims(*sizes: int) -> bytes:
    """A shape as it is written today."""
    return block(7, block(1, b"".join(varint(n) for n in sizes)))


def legacy(*sizes: int) -> bytes:
    """A shape of four axes, as it was written until 2014."""
    return b"".join(number(i, n) for i, n in enumerate(sizes, 1))


def data(n: int, first: float = 0.0) -> bytes:
    """Values first, first + 1, ..."""
    return block(5, floats(first + i for i in range(n)))


def new(name: str, kind: str, *blobs: bytes, settings: bytes = b"") -> bytes:
    return block(100, block(1, name) + block(2, kind) + b"".join(block(7, blob) for blob in blobs) + settings)


def v1(name: str, kind: int, *blobs: bytes) -> bytes:
    return block(2, block(4, name) + number(5, kind) + b"".join(block(6, blob) for blob in blobs))


def v0(name: str, kind: str, *blobs: bytes) -> bytes:
    return block(2, block(1, block(1, name) + block(2, kind) + b"".join(block(50, blob) for blob in blobs)))


def read(folder: Path, content: bytes, *, values: bool = True) -> dict[str, Tensor]:
    (folder / "net.caffemodel").write_bytes(content)
    return caffe.read(folder / "net.caffemodel", data=values)


def check(folder: Path, content: bytes, expected: dict[str, Tensor]) -> None:
    """Check the values that are read, and the shapes without them."""
    values, shapes = read(folder, content), read(folder, content, values=False)
    assert list(values) == list(shapes) == list(expected)
    for name, tensor in expected.items():
        assert values[name].dtype == shapes[name].dtype == tensor.dtype and shapes[name].is_meta
        assert values[name].shape == shapes[name].shape == tensor.shape, name
        assert torch.equal(values[name], tensor), name


CONV = torch.arange(24.0).reshape(2, 3, 2, 2)
DENSE = torch.arange(12.0).reshape(2, 6)
EXPECTED = {"c.weight": CONV, "c.bias": torch.tensor([5.0, 6.0]), "d.weight": DENSE, "d.bias": torch.tensor([7.0, 8.0])}
TODAY = ((dims(2, 3, 2, 2), dims(2)), (dims(2, 6), dims(2)))
FORMER = ((legacy(2, 3, 2, 2), legacy(1, 1, 1, 2)), (legacy(1, 1, 2, 6), legacy(1, 1, 1, 2)))
FORMATS: dict[str, Any] = {
    "new": (new, ("Convolution", "InnerProduct"), TODAY),
    "new with former shapes": (new, ("Convolution", "InnerProduct"), FORMER),
    "V1": (v1, (4, 14), FORMER),
    "V0": (v0, ("conv", "innerproduct"), FORMER),
}


@pytest.mark.parametrize("name", FORMATS)
def test_reads_the_weights_of_every_format(tmp_path: Path, name: str) -> None:
    write, (conv, dense), ((c_weight, c_bias), (d_weight, d_bias)) = FORMATS[name]
    content = block(1, "net") + write("c", conv, c_weight + data(24), c_bias + data(2, 5))
    content += write("r", 18 if write is v1 else "relu") + write("d", dense, d_weight + data(12), d_bias + data(2, 7))
    check(tmp_path, content, EXPECTED)


def doubles(*values: float) -> bytes:
    return block(8, struct.pack(f"<{len(values)}d", *values))


TENSORS: dict[str, tuple[bytes, dict[str, Tensor]]] = {
    "double": (
        new("c", "InnerProduct", dims(1, 2) + doubles(0.1, 0.2)),
        {"c.weight": torch.tensor([[0.1, 0.2]], dtype=torch.float64)},
    ),
    "pieces": (new("c", "InnerProduct", dims(1, 3) + data(2) + data(1, 2)), {"c.weight": torch.arange(3.0)[None]}),
    "unpacked": (
        new("c", "InnerProduct", single(5, 0) + single(5, 1) + dims(1, 3) + single(5, 2)),
        {"c.weight": torch.arange(3.0)[None]},
    ),
    "unpacked shape": (
        new("c", "InnerProduct", block(7, number(1, 1) + number(1, 3)) + data(3)),
        {"c.weight": torch.arange(3.0)[None]},
    ),
    "transposed": (
        new("d", "InnerProduct", dims(6, 2) + data(12), dims(2) + data(2), settings=block(117, number(6, 1))),
        {"d.weight": torch.arange(12.0).reshape(6, 2).T, "d.bias": torch.arange(2.0)},
    ),
    "a single output": (
        new("d", "InnerProduct", legacy(1, 1, 1, 3) + data(3), legacy(1, 1, 1, 1) + data(1)),
        {"d.weight": torch.arange(3.0)[None], "d.bias": torch.zeros(1)},
    ),
    "1x1 convolution": (
        new("c", "Convolution", legacy(1, 3, 1, 1) + data(3)),
        {"c.weight": torch.arange(3.0)[None, :, None, None]},
    ),
    "BatchNorm": (
        new("b", "BatchNorm", dims(2) + data(2, 1), dims(2) + data(2, 4), dims(1) + data(1, 4)),
        {"b.running_mean": torch.tensor([0.25, 0.5]), "b.running_var": torch.tensor([1.0, 1.25])},
    ),
    "BatchNorm before training": (
        new("b", "BatchNorm", dims(2) + data(2, 1), dims(2) + data(2, 4), dims(1) + data(1)),
        {"b.running_mean": torch.zeros(2), "b.running_var": torch.zeros(2)},
    ),
    "Scale": (
        new("s", "Scale", dims(2) + data(2), dims(2) + data(2)),
        {"s.weight": torch.arange(2.0), "s.bias": torch.arange(2.0)},
    ),
    "PReLU": (new("p", "PReLU", legacy(1, 1, 1, 2) + data(2)), {"p.weight": torch.arange(2.0)}),
    "shared PReLU": (new("p", "PReLU", data(1, 3)), {"p.weight": torch.tensor([3.0])}),
    "unknown layers": (
        new("x", "LSTM", dims(2, 2) + data(4), dims(2) + data(2), dims(1, 3) + data(3)),
        {"x.weight": torch.arange(4.0).reshape(2, 2), "x.bias": torch.arange(2.0), "x.blob2": torch.arange(3.0)[None]},
    ),
    "gradients": (
        new("c", "InnerProduct", dims(1, 3) + block(6, bytes(12)) + data(3)),
        {"c.weight": torch.arange(3.0)[None]},
    ),
}


@pytest.mark.parametrize("name", TENSORS)
def test_reads_each_kind_of_blob(tmp_path: Path, name: str) -> None:
    content, expected = TENSORS[name]
    check(tmp_path, content, expected)


HUGE = varint(2**62)
DAMAGED: dict[str, tuple[bytes, str, int | None]] = {
    "too few values": (
        new("c", "InnerProduct", dims(1, 3) + data(2)),
        "blob 0: a blob has the shape 1x3 and 2 numbers",
        20,
    ),
    "too many values": (new("c", "InnerProduct", dims(1, 3) + data(4)), "a blob has the shape 1x3 and 4 numbers", 20),
    "second blob": (
        new("c", "InnerProduct", dims(1, 1) + data(1), dims(9)),
        "blob 1: a blob has the shape 9 and 0",
        34,
    ),
    "no shape": (new("c", "InnerProduct", data(2)), "a blob has the shape a single number and 2 numbers", 20),
    "huge shape": (new("c", "InnerProduct", block(7, block(1, HUGE * 3)) + data(2)), "and 2 numbers", 20),
    "many axes": (new("c", "InnerProduct", dims(*[1] * 33) + data(1)), "a blob has 33 axes, and Caffe allows 32", 20),
    "zero": (new("c", "InnerProduct", dims(0, 3)), "a blob has the shape 0x3", 20),
    "negative": (new("c", "InnerProduct", dims(-1, -1) + data(1)), "a blob has the shape -1x-1", 20),
    "half a legacy shape": (new("c", "InnerProduct", number(1, 1) + data(1)), "a blob has the shape 1x0x0x0", 20),
    "two of a name": (new("c", "Scale", data(1)) * 2, "layer c (Scale): there is another layer with weights", 21),
    "BatchNorm with two blobs": (new("b", "BatchNorm", data(1), data(1)), "it has 2 blobs instead of 3", 0),
    "BatchNorm of two shapes": (
        new("b", "BatchNorm", dims(2) + data(2), dims(1) + data(1), data(1)),
        "do not belong together",
        0,
    ),
    "BatchNorm with two factors": (
        new("b", "BatchNorm", dims(2) + data(2), dims(2) + data(2), dims(2) + data(2)),
        "do not belong together",
        0,
    ),
    "no weights": (new("r", "ReLU"), "the file has no weights", None),
    "no type": (block(100, block(1, "r")), "layer r has no type", 0),
    "truncated": (new("c", "InnerProduct", dims(1, 3) + data(3))[:-1], "bytes are stated", 2),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_weights_are_named_with_layer_and_byte(tmp_path: Path, name: str) -> None:
    content, what, at = DAMAGED[name]
    for values in (False, True):
        with pytest.raises(DataError) as caught:
            read(tmp_path, content, values=values)
        path = str(tmp_path / "net.caffemodel")
        assert caught.value.code == "CN305" and what in caught.value.why
        assert caught.value.where == (path if at is None else f"{path}, byte {at}")


def test_weights_are_read_by_their_content(tmp_path: Path) -> None:
    """Whatever the name of the file; other files of Caffe are called what they are."""
    path = tmp_path / "net.pth"
    path.write_bytes(new("d", "InnerProduct", dims(2, 6) + data(12)))
    tensors, metadata = files.read(path, data=True)
    assert torch.equal(tensors["d.weight"], DENSE) and metadata == {}
    others = {
        b'# LeNet\nname: "LeNet"\nlayer { }': "defines a network of Caffe",
        b"layers {\n  layer {": "defines a network of Caffe",
        b'input: "data"\ninput_dim: 1': "defines a network of Caffe",
        legacy(1, 3, 2, 2) + data(12): "a mean image of Caffe",
    }
    for content, what in others.items():
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            files.read(path, data=False)
        assert what in caught.value.what and ".caffemodel" in caught.value.hints[0]


# --------------------------------------------------------------------------------------------------------- mean images


@pytest.mark.parametrize(
    "content",
    [
        legacy(1, 3, 2, 2) + data(12),
        dims(1, 3, 2, 2) + data(12),
        dims(3, 2, 2) + data(12),
        data(5) + dims(3, 2, 2) + data(7, 5),
    ],
    ids=["former", "four axes", "three axes", "pieces"],
)
def test_reads_mean_images(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mean").write_bytes(content)
    assert torch.equal(caffe.mean(tmp_path / "mean"), torch.arange(12.0).reshape(3, 2, 2))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is not a mean image"),
        (b"hello", "is not a mean image"),
        (new("c", "InnerProduct", dims(1, 3) + data(3)), "is a network of Caffe, not a mean image"),
        (legacy(2, 3, 2, 1) + data(12), "the shape 2x3x2x1 is not that of one image"),
        (dims(12) + data(12), "the shape 12 is not that of one image"),
        (legacy(1, 3, 2, 2) + data(11), "the shape 1x3x2x2 and 11 numbers"),
        (legacy(1, 3, 2, 2) + data(12)[:-1], "48 bytes are stated, and 47 are left"),
    ],
    ids=["empty", "text", "network", "two images", "one axis", "too few values", "truncated"],
)
def test_other_files_are_no_mean_images(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "mean").write_bytes(content)
    with pytest.raises(DataError) as caught:
        caffe.mean(tmp_path / "mean")
    assert caught.value.code == "CN305" and what in caught.value.why


# ------------------------------------------------------------------------------------------------------------- writing

WINDOW = {"kernel": [3, 2], "stride": [2, 1], "padding": [1, 0]}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("conv", {"out": 4, **WINDOW, "dilation": [1, 2], "groups": 2, "bias": True}),
    ("batch_norm", {"eps": 0.001, "momentum": 0.1, "scale": False}),
    ("scale", {"bias": True, "axis": 1}),
    ("prelu", {"shared": False}),
    ("prelu", {"shared": True}),
    ("lrn", {"size": 3, "alpha": 5e-05, "beta": 0.75, "k": 2.0, "region": "across"}),
    ("lrn", {"size": 3, "alpha": 1.0, "beta": 0.5, "k": 1.0, "region": "within"}),
    ("pool", {"mode": "max", "kernel": [2, 2], "stride": [2, 2], "padding": [0, 0], "ceil": True}),
    ("pool", {"mode": "average", **WINDOW, "ceil": False, "count_padding": True}),
    ("relu", {"slope": 0.1}),
    ("elu", {"alpha": 0.5}),
    ("sigmoid", {}),
    ("tanh", {}),
    ("softplus", {}),
    ("absolute", {}),
    ("power", {"power": 2.0, "scale": 0.5, "shift": 1.0}),
    ("exponential", {"base": None, "scale": 0.5, "shift": 0.0}),
    ("logarithm", {"base": 10.0, "scale": 0.5, "shift": 3.0}),
    ("dropout", {"p": 0.3}),
    ("pool", {"mode": "average", "whole": True}),
    ("flatten", {}),
    ("dense", {"out": 5, "bias": False}),
    ("relu", {"slope": 0.0}),
    ("softmax", {"axis": 1}),
]
SHAPES = {
    "n0.weight": (4, 1, 3, 2), "n0.bias": (4,), "n1.running_mean": (4,), "n1.running_var": (4,), "n2.weight": (4,),
    "n2.bias": (4,), "n3.weight": (4,), "n4.weight": (1,), "n21.weight": (5, 8),
}  # fmt: skip


def every_kind() -> list[Node]:
    nodes = []
    for i, (kind, settings) in enumerate(SETTINGS):
        nodes.append(Node(name=f"n{i}", kind=kind, inputs=(f"n{i - 1}" if i else "data",), settings=settings))
    branch = {"operation": "sum", "coefficients": [1.0, -1.0]}
    nodes[5:5] = [
        Node(name="e1", kind="eltwise", inputs=("n3", "n4"), settings=branch),
        Node(name="e2", kind="eltwise", inputs=("e1", "n4"), settings={"operation": "max", "coefficients": None}),
        Node(name="c", kind="concat", inputs=("e2", "n4"), settings={"axis": 1}),
    ]
    nodes[8] = Node(name="n5", kind="lrn", inputs=("c",), settings=SETTINGS[5][1])
    return nodes


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path, nodes, saved = tmp_path / "net.caffemodel", every_kind(), tensors() | {"n0.bias": torch.ones(4).double() / 3}
    caffe_write.write_model(nodes, saved, path, name="every kind")
    assert caffe.graph(path).nodes == nodes and caffe.graph(path).name == "every kind"
    check(tmp_path, path.read_bytes(), saved)
    text = caffe_write.write_prototxt(nodes, (2, 9, 8), name="every kind")
    (tmp_path / "net.prototxt").write_text(text)
    read = caffe.graph(tmp_path / "net.prototxt")
    assert read.nodes == nodes and read.input == (2, 9, 8) and read.name == "every kind"


def test_google_reads_what_is_written(tmp_path: Path) -> None:
    """And both forms have the same layers."""
    nodes, saved, google = every_kind(), tensors(), oracle(NET)
    caffe_write.write_model(nodes, saved, tmp_path / "net")
    model = google.FromString((tmp_path / "net").read_bytes())
    defined = text_format.Parse(caffe_write.write_prototxt(nodes, (2, 9, 8)), google())
    blobs = [np.array(blob.data, "f4").reshape(blob.shape.dim) for layer in model.layer for blob in layer.blobs]
    names = [name for name in SHAPES if not name.startswith("n1.")]
    del blobs[2:5]  # of n1: mean, variance and factor
    for name, blob in zip(names, blobs, strict=True):
        assert np.array_equal(blob.reshape(SHAPES[name]), saved[name].numpy())
    assert len(model.layer) == len(nodes) and list(model.input) == ["data"]
    for layer, other in zip(model.layer, list(defined.layer)[1:], strict=True):
        layer.ClearField("blobs")
        assert layer == other


def test_the_factors_of_a_batch_normalization_become_a_layer(tmp_path: Path) -> None:
    """Caffe has them separately; the network computes the same."""
    settings = {"eps": 0.001, "momentum": 0.1, "scale": True}
    nodes = [
        Node(name="b", kind="batch_norm", inputs=("data",), settings=settings),
        Node(name="b_scale", kind="relu", inputs=("b",), settings={}),
    ]
    names = ("running_mean", "running_var", "weight", "bias")
    saved = {f"b.{name}": torch.full((2,), float(i)) for i, name in enumerate(names)}
    caffe_write.write_model(nodes, saved, tmp_path / "net")
    first, second, relu = caffe.graph(tmp_path / "net").nodes
    assert first.settings == {**settings, "scale": False} and second.settings == {"bias": True, "axis": 1}
    assert (second.name, second.inputs, relu.inputs) == ("b_scale_", ("b",), ("b_scale_",))
    read = caffe.read(tmp_path / "net", data=True)
    assert {name: tensor[0].item() for name, tensor in read.items()} == {
        "b.running_mean": 0, "b.running_var": 1, "b_scale_.weight": 2, "b_scale_.bias": 3,
    }  # fmt: skip


def test_settings_that_nodes_leave_out_have_their_defaults(tmp_path: Path) -> None:
    nodes = [
        Node(name="c", kind="conv", inputs=("data",), settings={"out": 2, "kernel": [3, 3]}),
        Node(name="p", kind="pool", inputs=("c",), settings={"mode": "max", "kernel": [2, 2], "stride": [2, 2]}),
    ]
    (tmp_path / "net").write_text(caffe_write.write_prototxt(nodes, (1, 8, 8)))
    conv, pool = caffe.graph(tmp_path / "net").nodes
    ones = {"stride": [1, 1], "dilation": [1, 1]}
    assert conv.settings == {"out": 2, "kernel": [3, 3], **ones, "padding": [0, 0], "groups": 1, "bias": True}
    assert pool.settings == {"mode": "max", "kernel": [2, 2], "stride": [2, 2], "padding": [0, 0], "ceil": False}


@pytest.mark.parametrize(
    ("kind", "settings", "what"),
    [
        ("pool", {"mode": "average", **WINDOW, "ceil": True}, "averages always count the padding"),
        ("lrn", {"size": 3, "alpha": 1.0, "beta": 1.0, "k": 2.0, "region": "within"}, "k is always 1"),
        ("attention", {}, "there is no such layer"),
        ("dense", {"out": 3}, "the weights x.weight are missing"),
    ],
)
def test_what_caffe_cannot_express_is_refused(tmp_path: Path, kind: str, settings: dict[str, Any], what: str) -> None:
    nodes = [Node(name="x", kind=kind, inputs=("data",), settings=settings)]
    with pytest.raises(ValueError, match=what):
        caffe_write.write_model(nodes, {}, tmp_path / "net")
    assert not list(tmp_path.iterdir())
