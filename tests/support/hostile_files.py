"""Hypothesis makes files of Caffe and MXNet that are nearly right: real fields and operators with hostile values.

`READERS` has a strategy for each kind of file, files to start from, and what reads it.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import old_files
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from classicnets.models.graph import Graph, Node
from classicnets.weights import caffe, mxnet_params, mxnet_symbol
from classicnets.weights.caffe_kinds import _TRANSLATIONS
from classicnets.weights.caffe_schema import BLOB, NET
from classicnets.weights.messages import SKIP, Enum, Field, Schema
from classicnets.weights.mxnet_operators import OPERATORS
from support.protobuf import block, floats, number, single, varint

GOLDENS = Path(__file__).parents[1] / "models" / "goldens"
_INPUT = (3, 8, 8)
_NAMES = st.sampled_from(["data", "a", "b", "c", "conv1", "", "..", "a.b", "\x00", "label", "n" * 300])
_TYPES = st.sampled_from(
    [*_TRANSLATIONS, "Input", "Data", "Split", "SoftmaxWithLoss", "Accuracy", "conv", "pool", "pad"]
)
_INTEGERS = st.one_of(
    st.integers(0, 8),
    st.sampled_from([-1, 2**7, 2**16, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -(2**31)]),
    st.integers(-(2**64), 2**64),
)
_REALS = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 0.5, -1.0, 1e30, 1e-45, float("inf"), float("nan")]), st.floats())


class Reader(NamedTuple):
    """A kind of file: a strategy for its bytes, real ones, and what reads them."""

    files: SearchStrategy[bytes]
    real: Callable[[], list[bytes]]
    read: Callable[[Path], object]


# ------------------------------------------------------------------------------------------------ binary files of Caffe


@cache
def _value(field: Field) -> SearchStrategy[bytes]:
    """The bytes of a field; one in several has another type, or states another length."""
    n, kind = field.number, field.kind
    wrong = st.one_of(
        st.builds(number, st.just(n), _INTEGERS),
        st.builds(block, st.just(n), st.binary(max_size=9)),
        st.builds(lambda length, rest: varint(n << 3 | 2) + varint(length) + rest, _INTEGERS, st.binary(max_size=9)),
        st.builds(lambda wire, rest: varint(n << 3 | wire) + rest, st.integers(0, 7), st.binary(max_size=9)),
    )
    if isinstance(kind, Schema):
        right: SearchStrategy[bytes] = st.builds(block, st.just(n), st.deferred(lambda: _message(kind)))
    elif kind == "string":
        right = st.builds(block, st.just(n), _TYPES if field.name == "type" else _NAMES)
    elif kind == "float":
        right = st.builds(lambda value: varint(n << 3 | 5) + struct.pack("<f", value), st.floats(width=32))
    elif kind in ("floats", "doubles"):
        count = st.one_of(st.integers(0, 9), st.sampled_from([16, 64]))
        size = 4 if kind == "floats" else 8
        right = st.builds(lambda k: block(n, bytes(size * k)), count) | st.builds(single, st.just(n), st.just(1.0))
    else:
        most = len(kind.numbers) if isinstance(kind, Enum) else 8
        right = st.builds(number, st.just(n), st.integers(0, most) | _INTEGERS)
        right |= st.builds(lambda all: block(n, b"".join(map(varint, all))), st.lists(st.integers(0, 9), max_size=5))
    return st.one_of(right, right, right, right, right, right, right, wrong)


@cache
def _message(schema: Schema) -> SearchStrategy[bytes]:
    """Fields of a message in any order, repeated or not; those with messages come first."""
    fields = sorted((f for f in schema.fields.values() if f.kind != SKIP), key=lambda f: not isinstance(f.kind, Schema))
    one = st.sampled_from(fields).flatmap(_value)
    return st.lists(one, max_size=10).map(b"".join)


_USUAL = {  # settings that a type needs, in both forms
    "Convolution": ("convolution_param { num_output: 2 kernel_size: 2 }", block(106, number(1, 2) + number(4, 2))),
    "InnerProduct": ("inner_product_param { num_output: 3 }", block(117, number(1, 3))),
    "Pooling": ("pooling_param { kernel_size: 2 }", block(121, number(2, 2))),
    "Reshape": ("reshape_param { shape { dim: 0 dim: -1 } }", block(133, block(1, block(1, varint(0) + varint(-1))))),
}
_TWO_INPUTS = ("Concat", "Eltwise")
_CHAINED = st.tuples(st.sampled_from([*_TRANSLATIONS]), st.integers(0, 9))  # a type, and which earlier layer it reads


def _bottom(i: int, back: int) -> str:
    """What layer `i` reads: most often the one before it."""
    earlier = max(0, i - max(0, back - 7))
    return f"l{earlier - 1}" if earlier else "data"


_BLOBS = st.builds(
    lambda dims, extra: (
        block(7, block(1, b"".join(map(varint, dims)))) + block(5, floats([0.5] * (math.prod(dims) + extra)))
    ),
    st.lists(st.integers(1, 4), max_size=5),
    st.sampled_from([0, 0, 0, 0, 1]),
)


def _chain() -> SearchStrategy[bytes]:
    """Layers that read each other, most of them right, so that many networks are complete."""
    layer_schema = NET.by_name["layer"].kind
    assert isinstance(layer_schema, Schema)
    nothing = st.just(b"")
    rest = st.one_of(nothing, nothing, nothing, _message(layer_schema).map(lambda content: content[:200]))
    layer = st.tuples(_CHAINED, rest, st.lists(_BLOBS, max_size=3))

    def content(layers: list[tuple[tuple[str, int], bytes, list[bytes]]]) -> bytes:
        pieces = [block(3, "data"), *(number(4, n) for n in (1, *_INPUT))]
        for i, ((kind, back), extra, blobs) in enumerate(layers):
            bottoms = block(3, _bottom(i, back)) * (1 + (kind in _TWO_INPUTS))
            names = block(1, f"l{i}") + block(2, kind) + bottoms + block(4, f"l{i}")
            usual = _USUAL.get(kind, ("", b""))[1]
            pieces.append(block(100, names + usual + b"".join(block(7, each) for each in blobs) + extra))
        return b"".join(pieces)

    return st.lists(layer, max_size=6).map(content)


# ------------------------------------------------------------------------------------------------- text files of Caffe

_WORDS = st.one_of(
    st.sampled_from(["true", "MAX", "AVE", "0x10", "1e9", "-1", "nan", '"a"', "'b'", "1.5f", "08", "{", "}", "[1, 2]",
                     "#"]),
    _INTEGERS.map(str),
    st.text(max_size=5),
)  # fmt: skip


@cache
def _text_field(field: Field) -> SearchStrategy[str]:
    kind = field.kind
    if isinstance(kind, Schema):
        return st.deferred(lambda: _text(kind)).map(lambda content: f"{field.name} {{ {content} }}")
    if kind == "string":
        words = (_TYPES if field.name == "type" else _NAMES).map(lambda word: json.dumps(word, ensure_ascii=False))
    elif isinstance(kind, Enum):
        words = st.sampled_from([*kind.numbers])
    elif kind == "bool":
        words = st.sampled_from(["true", "false", "0", "t"])
    else:
        words = st.integers(0, 8).map(str) | _REALS.map(str)
    return st.one_of(words, words, words, words, _WORDS).map(lambda word: f"{field.name}: {word}")


@cache
def _text(schema: Schema) -> SearchStrategy[str]:
    fields = sorted(schema.fields.values(), key=lambda f: not isinstance(f.kind, Schema))
    return st.lists(st.sampled_from(fields).flatmap(_text_field), max_size=8).map("\n".join)


def _text_chain() -> SearchStrategy[str]:
    layer_schema = NET.by_name["layer"].kind
    assert isinstance(layer_schema, Schema)
    nothing = st.just("")
    layer = st.tuples(_CHAINED, st.one_of(nothing, nothing, nothing, _text(layer_schema)))

    def content(layers: list[tuple[tuple[str, int], str]]) -> str:
        lines = ['input: "data" ' + " ".join(f"input_dim: {n}" for n in (1, *_INPUT))]
        for i, ((kind, back), extra) in enumerate(layers):
            bottoms = f'bottom: "{_bottom(i, back)}" ' * (1 + (kind in _TWO_INPUTS))
            usual = _USUAL.get(kind, ("", b""))[0]
            lines.append(f'layer {{ name: "l{i}" type: "{kind}" {bottoms} top: "l{i}" {usual} {extra} }}')
        return "\n".join(lines)

    return st.lists(layer, max_size=6).map(content)


# ------------------------------------------------------------------------------------------------------ files of MXNet

_ATTRIBUTES = [
    "kernel", "stride", "pad", "dilate", "num_filter", "num_group", "num_hidden", "no_bias", "act_type", "pool_type",
    "pooling_convention", "global_pool", "nsize", "alpha", "beta", "knorm", "p", "axis", "dim", "scalar", "slope",
    "eps", "fix_gamma", "flatten", "shape", "mode", "layout", "__shape__", "num_args",
]  # fmt: skip
_ATTRIBUTE_VALUES = st.one_of(
    st.sampled_from(["(1, 1)", "(2,2)", "(3L, 3L)", "()", "[1,1]", "1", "2", "3", "0", "-1", "0.5", "1e-5", "1e999",
                     "nan", "True", "False", "None", "relu", "max", "avg", "full", "prelu", "(0, -1)", "(0,3,8,8)",
                     "(1,)", "9" * 18, "9" * 40, "(" * 500, "(1, " * 300]),
    st.text(max_size=8),
)  # fmt: skip


def _symbol() -> SearchStrategy[bytes]:
    node = st.fixed_dictionaries(
        {
            "op": st.sampled_from(["null", "null", *OPERATORS]) | st.text(max_size=4),
            "name": _NAMES,
            "inputs": st.lists(st.lists(st.integers(0, 7) | _INTEGERS, min_size=1, max_size=4), max_size=4),
        },
        optional={
            key: st.dictionaries(st.sampled_from(_ATTRIBUTES), _ATTRIBUTE_VALUES, max_size=5) | st.none() | _INTEGERS
            for key in ("attrs", "attr", "param")
        },
    )
    heads = st.lists(st.lists(st.integers(0, 7), min_size=2, max_size=3), max_size=2)
    other = st.recursive(st.none() | _INTEGERS | st.text(max_size=4), lambda inner: st.lists(inner, max_size=3))
    document = st.fixed_dictionaries({"nodes": st.lists(node, max_size=8) | other, "heads": heads | other})
    return (document | _symbol_chain()).map(lambda values: json.dumps(values).encode())


def _symbol_chain() -> SearchStrategy[Any]:
    """Operators that read each other, with the variables that they need, so that many are complete."""
    attributes = st.dictionaries(st.sampled_from(_ATTRIBUTES), _ATTRIBUTE_VALUES, max_size=4)
    layer = st.tuples(st.sampled_from([*OPERATORS]), attributes, st.integers(0, 4), st.booleans())

    def graph(layers: list[tuple[str, dict[str, str], int, bool]]) -> Any:
        usual = {
            "kernel": "(2, 2)",
            "num_filter": "2",
            "num_hidden": "3",
            "act_type": "relu",
            "nsize": "3",
            "scalar": "2",
        }
        nodes: list[dict[str, Any]] = [{"op": "null", "name": "data", "inputs": []}]
        last = 0
        for i, (operator, values, parameters, skips) in enumerate(layers):
            inputs = [[last, 0]]
            for j in range(parameters):
                nodes.append({"op": "null", "name": f"n{i}_{j}", "inputs": [], "attrs": {"__shape__": "(1,)"}})
                inputs.append([len(nodes) - 1, 0])
            if skips and last:
                inputs.append([0, 0])
            nodes.append({"op": operator, "name": f"n{i}", "inputs": inputs, "attrs": {**usual, **values}})
            last = len(nodes) - 1
        return {"nodes": nodes, "heads": [[last, 0]]}

    return st.lists(layer, max_size=5).map(graph)


def _params() -> SearchStrategy[bytes]:
    def array(version: int, storage: int, dims: list[int], ends: tuple[int, int, int], extra: int) -> bytes:
        axes = "I" if version == 0 else "q"
        start = b"" if version == 0 else struct.pack("<I", version)
        start += struct.pack("<i", storage) if version in (0xF993FAC9, 0xF993FACA) else b""
        try:
            shape = struct.pack(f"<i{len(dims)}{axes}", len(dims), *dims)
        except struct.error:
            shape = struct.pack("<i", len(dims)) + bytes(8 * len(dims))
        data = bytes(max(0, min(4 * math.prod(dims) + extra, 4096)))
        return start + shape + struct.pack("<iii", *ends) + data

    right = st.builds(
        array,
        st.sampled_from([0, 0xF993FAC8, 0xF993FAC9]),
        st.just(0),
        st.lists(st.integers(1, 4), min_size=1, max_size=4),
        st.just((1, 0, 0)),
        st.just(0),
    )
    hostile = st.builds(
        array,
        st.sampled_from([0, 0xF993FAC8, 0xF993FAC9, 0xF993FACA]),
        st.sampled_from([0, 0, 0, 0, -1, 1, 2, 3]),
        st.lists(st.integers(0, 4), max_size=4) | st.lists(_INTEGERS, max_size=33),
        st.tuples(st.sampled_from([1, 1, 1, 2, 0, -1]), st.integers(0, 2), st.integers(-1, 13) | st.just(0)),
        st.sampled_from([0, 0, 0, 0, -1, 8]),
    )
    arrays = st.one_of(right, right, right, hostile)
    names = st.lists(st.one_of(_NAMES, st.sampled_from(["arg:a", "aux:a", "arg:"])), max_size=4)

    def content(all_arrays: list[bytes], all_names: list[str], counts: tuple[int, int] | None) -> bytes:
        n, m = counts or (len(all_arrays), len(all_names))
        parts = [struct.pack("<QQQ", 0x112, 0, n % 2**64), *all_arrays, struct.pack("<Q", m % 2**64)]
        return b"".join([*parts, *(struct.pack("<Q", len(e := name.encode())) + e for name in all_names)])

    same = st.lists(arrays, max_size=3).flatmap(
        lambda all: st.tuples(st.just(all), st.lists(_NAMES, min_size=len(all), max_size=len(all)), st.none())
    )
    return (same | st.tuples(st.lists(arrays, max_size=3), names, st.tuples(_INTEGERS, _INTEGERS))).map(
        lambda parts: content(*parts)
    )


def _archive() -> SearchStrategy[bytes]:
    descr = st.sampled_from(["<f4", "<f8", "|b1", ">i2", "<U3", "|O", "<c8", "|V2", "<f2"]) | st.text(max_size=5)
    shape = st.lists(st.integers(0, 4) | _INTEGERS, max_size=3).map(tuple)
    header = st.builds(lambda d, f, s: repr({"descr": d, "fortran_order": f, "shape": s}), descr, st.booleans(), shape)
    header |= st.text(max_size=30) | st.sampled_from(
        ["(" * 90, "[" * 900, "{'descr': [('bfloat16', '<u2')]}", "1" * 900]
    )

    def member(version: int, text: str, data: bytes) -> bytes:
        encoded = text.encode("utf-8", "replace")
        return (
            b"\x93NUMPY"
            + bytes([version, 0])
            + struct.pack("<H" if version == 1 else "<I", len(encoded))
            + encoded
            + data
        )

    members = st.builds(member, st.sampled_from([1, 1, 2, 3, 9]), header, st.binary(max_size=40)) | st.binary(
        max_size=20
    )
    named = st.dictionaries(
        st.sampled_from(["a.npy", "arg:b.npy", "c.npy", "c", "../d.npy", "e.npy.npy"]), members, max_size=3
    )

    def content(files: dict[str, bytes], compressed: bool) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return stream.getvalue()

    return st.builds(content, named, st.booleans())


# -------------------------------------------------------------------------------------------------------------- readers


def _changed(files: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
    """A file; in one of four, a few bytes are replaced, or its end is missing."""

    def change(content: bytes, places: list[tuple[int, int]], end: int) -> bytes:
        changed = bytearray(content)
        for at, byte in places:
            if changed:
                changed[at % len(changed)] = byte
        return bytes(changed[: len(changed) - end])

    edits = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=3)
    return st.one_of(files, files, files, st.builds(change, files, edits, st.integers(0, 20)))


def _calculated(nodes: list[Node], shape: tuple[int, int, int] | None) -> None:
    """Calculate the shapes of a network, which may be impossible: then its message is in the words of the graph."""
    try:
        assert Graph(name="net", input=shape or _INPUT, nodes=tuple(nodes)).output_shape
    except ValueError as error:
        assert str(error)


def _read_model(path: Path) -> object:
    shapes = {name: t.shape for name, t in caffe.read(path, data=False).items()}
    tensors = caffe.read(path, data=True)
    assert shapes == {name: t.shape for name, t in tensors.items()}
    assert sum(t.nbytes for t in tensors.values()) <= 2 * path.stat().st_size
    return tensors


def _read_graph(path: Path) -> object:
    read = caffe.graph(path)
    _calculated(read.nodes, read.input)
    return read


def _read_params(path: Path) -> object:
    shapes = mxnet_params.read(path, data=False)
    tensors = mxnet_params.read(path, data=True)
    assert {n: (t.shape, t.dtype) for n, t in shapes.items()} == {n: (t.shape, t.dtype) for n, t in tensors.items()}
    assert sum(t.nbytes for t in tensors.values()) <= max(3 * path.stat().st_size, 1 << 16)
    return tensors


def _read_symbol(path: Path) -> object:
    read = mxnet_symbol.read(path)
    json.dumps([node.settings for node in read.nodes], allow_nan=False)
    _calculated(read.nodes, read.input_shape)
    return read


def _mxnet_files(*names: str) -> list[bytes]:
    return [(GOLDENS / "mxnet_files" / name).read_bytes() for name in names]


def _models() -> list[bytes]:
    """A small file of Caffe of each generation."""
    layers = [
        old_files.Layer(
            "a", "Convolution", ("data",), ("a",), {"num_output": 2, "kernel_size": 3}, ((2, 3, 3, 3), (2,))
        ),
        old_files.Layer("b", "ReLU", ("a",), ("a",), {}),
        old_files.Layer("c", "Pooling", ("a",), ("c",), {"pool": old_files.Word("MAX"), "kernel_size": 2, "stride": 2}),
        old_files.Layer("d", "LRN", ("c",), ("d",), {"local_size": 3, "alpha": 0.1, "beta": 0.75}),
        old_files.Layer("e", "InnerProduct", ("d",), ("e",), {"num_output": 2}, ((2, 18), (2,))),
    ]
    image = block(3, "data") + b"".join(number(4, n) for n in (1, *_INPUT))
    nets = [old_files.CaffeNet(_INPUT, layers, "e", generation, (0, 1)) for generation in ("new", "V1")]
    blobs = block(50, b"".join(number(i, n) for i, n in enumerate((1, 1, 2, 192), 1)) + block(5, floats([0.5] * 384)))
    v0 = block(1, block(1, "d") + block(2, "innerproduct") + number(3, 2) + blobs) + block(2, "data") + block(3, "d")
    return [
        image + b"".join(old_files.caffemodel(nets[0])),
        b"".join(old_files.caffemodel(nets[1])),
        image + block(2, v0),
    ]


def _definitions() -> list[bytes]:
    return [old_files.prototxt(net).encode() for net in old_files.CAFFE.values()]


def _archives() -> list[bytes]:
    arrays: dict[str, Any] = {"arg:w": np.arange(6.0).reshape(2, 3), "aux:b": np.array([True, False])}
    streams = io.BytesIO(), io.BytesIO()
    np.savez(streams[0], **arrays)
    np.savez_compressed(streams[1], **arrays)
    return [stream.getvalue() for stream in streams]


_BINARY = _changed(_chain() | _message(NET))
READERS = {
    "caffe weights": Reader(_BINARY, _models, _read_model),
    "caffe graph": Reader(_BINARY, _models, _read_graph),
    "prototxt": Reader(
        _changed((_text_chain() | _text(NET)).map(lambda text: text.encode("utf-8", "surrogatepass"))),
        _definitions,
        _read_graph,
    ),
    "caffe mean": Reader(
        _changed(_message(BLOB) | _BLOBS),
        lambda: [block(5, floats(range(12))) + block(7, block(1, bytes([3, 2, 2])))],
        caffe.mean,
    ),
    "mxnet params": Reader(
        _changed(_params()),
        lambda: _mxnet_files("list.params", "version_3.params", "sparse.params", "gluon_structural.params"),
        _read_params,
    ),
    "numpy archive": Reader(_changed(_archive()), _archives, _read_params),
    "mxnet symbol": Reader(
        _changed(_symbol()),
        lambda: _mxnet_files("layers-symbol.json", "branches-symbol.json", "gluon-symbol.json"),
        _read_symbol,
    ),
}
