"""Files of Caffe and MXNet at full size: written here byte by byte, for the engines and for the tests of our readers.

Needs only NumPy, because it also runs in the environments of the old frameworks. The weights of a network are not
stored: `weights` gives them again on every machine.

Sources of the networks: BVLC/caffe, examples/mnist/lenet.prototxt, models/bvlc_alexnet/deploy.prototxt and
models/bvlc_reference_caffenet/deploy.prototxt; of the encodings: https://protobuf.dev/programming-guides/encoding/,
BVLC/caffe, src/caffe/proto/caffe.proto, and apache/mxnet, src/ndarray/ndarray.cc.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

FOLDER = "full_size"  # beside this file: what the engines calculate
LOGITS_GAIN = 0.02  # of the last layer, so that a softmax of random logits is not all 0 and 1


def weights(shapes: Sequence[Sequence[int]], last_gain: float = 1.0) -> list[np.ndarray]:
    """Return a float32 array for each shape, in order: uniform, scaled by the fan-in; biases from -0.1 to 0.1.

    The numbers are 16-bit pieces of a counter-based generator, whose raw output is the same in every version of NumPy.
    `last_gain` scales the last matrix.
    """
    arrays = []
    last = max(i for i, shape in enumerate(shapes) if len(shape) > 1)
    for key, shape in enumerate(shapes):
        size = math.prod(shape)
        raw = np.random.Philox(key=key).random_raw(-(-size // 4)).astype("<u8").view("<i2")[:size]
        scale = (6.0 / math.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
        factor = np.float32(scale * (last_gain if key == last else 1.0) / 2**15)
        arrays.append((raw.astype(np.float32) * factor).reshape(shape))
    return arrays


# ---------------------------------------------------------------------------------------------------- Caffe's networks


class Layer(NamedTuple):
    """A layer of a Caffe network: its settings by name, as a prototxt has them, and the shapes of its blobs."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    settings: Mapping[str, Any]
    shapes: tuple[tuple[int, ...], ...] = ()


class CaffeNet(NamedTuple):
    """A network of Caffe."""

    input: tuple[int, int, int]
    layers: list[Layer]
    logits: str  # the blob before the softmax; the output if there is none
    generation: str  # of the layers in the file of weights: "new" or "V1", that of 2014
    range: tuple[float, float]  # of the images
    last_gain: float = 1.0


class Word(str):
    """A value of an enum, which a prototxt has without quotes."""

    __slots__ = ()


_FIELDS = {  # settings in the file of weights: the parameter's field in new and V1 layers, and those of its settings
    "Convolution": ("convolution_param", 106, 10,
                    {"num_output": 1, "pad": 3, "kernel_size": 4, "group": 5, "stride": 6}),
    "Pooling": ("pooling_param", 121, 19, {"pool": 1, "kernel_size": 2, "stride": 3}),
    "LRN": ("lrn_param", 118, 18, {"local_size": 1, "alpha": 2, "beta": 3}),
    "InnerProduct": ("inner_product_param", 117, 17, {"num_output": 1}),
    "Dropout": ("dropout_param", 108, 12, {"dropout_ratio": 1}),
}  # fmt: skip
_PARAMETERS = {
    **{kind: row[0] for kind, row in _FIELDS.items()},
    "BatchNorm": "batch_norm_param", "Concat": "concat_param", "ELU": "elu_param", "Eltwise": "eltwise_param",
    "Exp": "exp_param", "PReLU": "prelu_param", "Power": "power_param", "ReLU": "relu_param",
    "Reshape": "reshape_param", "Scale": "scale_param",
}  # fmt: skip
_V1_TYPES = {"Convolution": 4, "Data": 5, "Dropout": 6, "InnerProduct": 14, "LRN": 15, "Pooling": 17, "ReLU": 18,
             "SoftmaxWithLoss": 21}  # fmt: skip
_POOL_METHODS = {"MAX": 0, "AVE": 1}


def _alexnet(*, pool_first: bool) -> list[Layer]:
    """bvlc_alexnet; with `pool_first`, bvlc_reference_caffenet."""
    layers, blob, channels = [], "data", 3
    for i, (out, kernel, extra) in enumerate(
        [(96, 11, {"stride": 4}), (256, 5, {"pad": 2, "group": 2}), (384, 3, {"pad": 1}),
         (384, 3, {"pad": 1, "group": 2}), (256, 3, {"pad": 1, "group": 2})], 1
    ):  # fmt: skip
        name = f"conv{i}"
        shapes = ((out, channels // extra.get("group", 1), kernel, kernel), (out,))
        settings = {"num_output": out, "pad": 0, "kernel_size": kernel, "group": 1, "stride": 1, **extra}
        settings = {key: value for key, value in settings.items() if (key, value) not in (("pad", 0), ("group", 1))}
        layers.append(Layer(name, "Convolution", (blob,), (name,), settings, shapes))
        layers.append(Layer(f"relu{i}", "ReLU", (name,), (name,), {}))
        blob, channels = name, out
        pool = (f"pool{i}", "Pooling", {"pool": Word("MAX"), "kernel_size": 3, "stride": 2})
        norm = (f"norm{i}", "LRN", {"local_size": 5, "alpha": 0.0001, "beta": 0.75})
        for own, kind, values in {1: (pool, norm), 2: (pool, norm), 5: (pool,)}.get(i, ())[:: 1 if pool_first else -1]:
            layers.append(Layer(own, kind, (blob,), (own,), values))
            blob = own
    inputs = 256 * 6 * 6
    for i, out in ((6, 4096), (7, 4096), (8, 1000)):
        name = f"fc{i}"
        layers.append(Layer(name, "InnerProduct", (blob,), (name,), {"num_output": out}, ((out, inputs), (out,))))
        if i < 8:
            layers.append(Layer(f"relu{i}", "ReLU", (name,), (name,), {}))
            layers.append(Layer(f"drop{i}", "Dropout", (name,), (name,), {"dropout_ratio": 0.5}))
        blob, inputs = name, out
    return [*layers, Layer("prob", "Softmax", (blob,), ("prob",), {})]


def _lenet() -> list[Layer]:
    pool = {"pool": Word("MAX"), "kernel_size": 2, "stride": 2}
    conv = {"kernel_size": 5, "stride": 1}
    return [
        Layer("conv1", "Convolution", ("data",), ("conv1",), {"num_output": 20, **conv}, ((20, 1, 5, 5), (20,))),
        Layer("pool1", "Pooling", ("conv1",), ("pool1",), pool),
        Layer("conv2", "Convolution", ("pool1",), ("conv2",), {"num_output": 50, **conv}, ((50, 20, 5, 5), (50,))),
        Layer("pool2", "Pooling", ("conv2",), ("pool2",), pool),
        Layer("ip1", "InnerProduct", ("pool2",), ("ip1",), {"num_output": 500}, ((500, 800), (500,))),
        Layer("relu1", "ReLU", ("ip1",), ("ip1",), {}),
        Layer("ip2", "InnerProduct", ("ip1",), ("ip2",), {"num_output": 10}, ((10, 500), (10,))),
        Layer("prob", "Softmax", ("ip2",), ("prob",), {}),
    ]


def _kinds() -> list[Layer]:
    """A small network with every kind of layer that OpenCV's reader and ours have.

    OpenCV ignores the k of LRN and the settings of Log, so the former is 1, as in the published networks, and the
    latter is left out.
    """

    def after(bottom: str, name: str, kind: str, **settings: Any) -> Layer:
        return Layer(name, kind, (bottom,), (name,), settings)

    window = {"kernel_size": 3, "stride": 2, "pad": 1}
    grouped = {"num_output": 6, "kernel_h": 3, "kernel_w": 2, "stride_h": 1, "stride_w": 2, "pad_h": 1, "pad_w": 0,
               "group": 2}  # fmt: skip
    dilated = {"num_output": 8, "kernel_size": [3], "pad": [2], "dilation": [2], "bias_term": False}
    functions = ("sigmoid", "tanh", "absolute", "softplus", "exp", "leaky", "elu", "prelu", "shared")
    return [
        after("data", "scaled", "Power", power=1.0, scale=2.0, shift=-1.0),
        Layer("conv1", "Convolution", ("scaled",), ("conv1",), grouped, ((6, 2, 3, 2), (6,))),
        Layer("bn1", "BatchNorm", ("conv1",), ("bn1",), {"eps": 0.001}, ((6,), (6,), (1,))),
        Layer("scale1", "Scale", ("bn1",), ("bn1",), {"bias_term": True}, ((6,), (6,))),
        Layer("split", "Split", ("bn1",), tuple(f"bn1_{name}" for name in functions), {}),
        after("bn1_sigmoid", "sigmoid", "Sigmoid"),
        after("bn1_tanh", "tanh", "TanH"),
        after("bn1_absolute", "absolute", "AbsVal"),
        after("bn1_softplus", "softplus", "BNLL"),
        after("bn1_exp", "exp", "Exp", base=2.0, scale=0.5, shift=-0.5),
        after("bn1_leaky", "leaky", "ReLU", negative_slope=0.2),
        after("bn1_elu", "elu", "ELU", alpha=0.7),
        Layer("prelu", "PReLU", ("bn1_prelu",), ("prelu",), {"channel_shared": False}, ((6,),)),
        Layer("shared", "PReLU", ("bn1_shared",), ("shared",), {"channel_shared": True}, ((1,),)),
        Layer("joined", "Concat", functions, ("joined",), {"axis": 1}),
        Layer("conv2", "Convolution", ("joined",), ("conv2",), dilated, ((8, 54, 3, 3),)),
        after("conv2", "norm", "LRN", local_size=3, alpha=0.6, beta=0.75),
        after("conv2", "norm_within", "LRN", local_size=3, alpha=0.6, beta=0.75, norm_region=Word("WITHIN_CHANNEL")),
        after("norm", "maximum", "Pooling", pool=Word("MAX"), **window),
        after("norm_within", "average", "Pooling", pool=Word("AVE"), **window),
        Layer("sum", "Eltwise", ("maximum", "average"), ("sum",), {"operation": Word("SUM"), "coeff": [0.5, -2.0]}),
        Layer("product", "Eltwise", ("maximum", "average"), ("product",), {"operation": Word("PROD")}),
        Layer("largest", "Eltwise", ("sum", "product"), ("largest",), {"operation": Word("MAX")}),
        Layer("drop", "Dropout", ("largest",), ("largest",), {"dropout_ratio": 0.4}),
        after("largest", "whole", "Pooling", pool=Word("AVE"), global_pooling=True),
        after("whole", "flat_whole", "Flatten"),
        after("sum", "flat_sum", "Reshape", shape={"dim": [0, -1]}),
        Layer("all", "Concat", ("flat_whole", "flat_sum"), ("all",), {"axis": 1}),
        Layer("fc", "InnerProduct", ("all",), ("fc",), {"num_output": 12, "bias_term": False}, ((12, 8 + 8 * 7 * 4),)),
        after("fc", "prob", "Softmax"),
    ]


CAFFE = {
    "lenet_caffe": CaffeNet((1, 28, 28), _lenet(), "ip2", "new", (0, 0.99609375)),  # scale 0.00390625
    "alexnet_caffe": CaffeNet((3, 227, 227), _alexnet(pool_first=False), "fc8", "V1", (-118, 137), LOGITS_GAIN),
    "caffenet": CaffeNet((3, 227, 227), _alexnet(pool_first=True), "fc8", "V1", (-118, 137), LOGITS_GAIN),
    "kinds": CaffeNet((4, 13, 12), _kinds(), "prob", "new", (-1, 2)),
}


def caffe_weights(net: CaffeNet) -> dict[str, list[np.ndarray]]:
    """The blobs of each layer that has some. Variances and factors are positive."""
    owners = [(layer, shape) for layer in net.layers for shape in layer.shapes]
    arrays = weights([shape for _layer, shape in owners], net.last_gain)
    blobs: dict[str, list[np.ndarray]] = {}
    for (layer, _shape), array in zip(owners, arrays):  # noqa: B905  # MXNet's last Python is older
        own = blobs.setdefault(layer.name, [])
        if layer.type == "BatchNorm":
            array = array if not own else np.abs(array) + np.float32(2.0 if len(own) == 2 else 0.05)
        own.append(array + np.float32(1.0) if layer.type == "Scale" and not own else array)
    return blobs


# ----------------------------------------------------------------------------------------------- Caffe's files, by hand


def prototxt(net: CaffeNet) -> str:
    """A deploy.prototxt."""
    dims = " ".join(f"dim: {n}" for n in (1, *net.input))
    lines = ['name: "net"']
    lines.append(f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape: {{ {dims} }} }} }}')
    for layer in net.layers:
        ends = [f'bottom: "{name}"' for name in layer.bottoms] + [f'top: "{name}"' for name in layer.tops]
        settings = f"{_PARAMETERS[layer.type]} {{ {_text(layer.settings)} }}" if layer.settings else ""
        lines.append(f'layer {{ name: "{layer.name}" type: "{layer.type}" {" ".join(ends)} {settings} }}')
    return "\n".join(lines) + "\n"


def _text(settings: Mapping[str, Any]) -> str:
    words = []
    for name, value in settings.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                words.append(f"{name} {{ {_text(each)} }}")
            else:
                words.append(f"{name}: {str(each).lower() if isinstance(each, bool) else each}")
    return " ".join(words)


def caffemodel(net: CaffeNet) -> Iterator[bytes]:
    """The file of weights in pieces, as training saves it; a V1 file also has the layers of the data and the loss."""
    blobs = caffe_weights(net)
    yield _block(1, b"net")
    layers = [layer for layer in net.layers if layer.type != "Softmax"]
    if net.generation == "V1":
        data = Layer("data", "Data", (), ("data", "label"), {})
        layers = [data, *layers, Layer("loss", "SoftmaxWithLoss", (net.logits, "label"), ("loss",), {})]
    for layer in layers:
        arrays = blobs.get(layer.name, [])
        yield _v1_layer(layer, arrays) if net.generation == "V1" else _new_layer(layer, arrays)


def _new_layer(layer: Layer, arrays: Sequence[np.ndarray]) -> bytes:
    """A LayerParameter: shapes have as many axes as they need. Settings that V1 does not have are left out."""
    content = _block(1, layer.name.encode()) + _block(2, layer.type.encode())
    content += b"".join(_block(3, name.encode()) for name in layer.bottoms)
    content += b"".join(_block(4, name.encode()) for name in layer.tops)
    for array in arrays:
        dims = _block(1, b"".join(_varint(n) for n in array.shape))
        content += _block(7, _block(7, dims) + _block(5, array.astype("<f4").tobytes()))
    if layer.settings and layer.type in _FIELDS and set(layer.settings) <= set(_FIELDS[layer.type][3]):
        _name, number, _v1, fields = _FIELDS[layer.type]
        content += _block(number, b"".join(_setting(fields[name], value) for name, value in layer.settings.items()))
    return _block(100, content)


def _v1_layer(layer: Layer, arrays: Sequence[np.ndarray]) -> bytes:
    """A V1LayerParameter: shapes have four axes, (1, 1, out, in) for a matrix and (1, 1, 1, out) for a bias."""
    content = b"".join(_block(2, name.encode()) for name in layer.bottoms)
    content += b"".join(_block(3, name.encode()) for name in layer.tops)
    content += _block(4, layer.name.encode()) + _number(5, _V1_TYPES[layer.type])
    for array in arrays:
        shape = (1,) * (4 - array.ndim) + array.shape
        sizes = b"".join(_number(i, n) for i, n in enumerate(shape, 1))
        content += _block(6, sizes + _block(5, array.astype("<f4").tobytes()))
    if layer.settings:
        _name, _new, number, fields = _FIELDS[layer.type]
        content += _block(number, b"".join(_setting(fields[name], value) for name, value in layer.settings.items()))
    return _block(2, content)


def _setting(number: int, value: Any) -> bytes:
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    return _number(number, _POOL_METHODS[value] if isinstance(value, Word) else value)


def _varint(value: int) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _block(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


# ----------------------------------------------------------------------------------------------------- MXNet's networks


def params(named: Mapping[str, np.ndarray]) -> Iterator[bytes]:
    """A list of arrays as MXNet 1.9.1 writes it, in pieces."""
    yield struct.pack("<QQQ", 0x112, 0, len(named))
    for array in named.values():
        yield struct.pack("<Iii", 0xF993FAC9, 0, array.ndim) + struct.pack(f"<{array.ndim}q", *array.shape)
        yield struct.pack("<iii", 1, 0, 0) + array.astype("<f4").tobytes()
    yield struct.pack("<Q", len(named))
    for name in named:
        yield struct.pack("<Q", len(name)) + name.encode()
