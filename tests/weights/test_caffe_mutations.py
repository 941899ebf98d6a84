"""Damaged files of Caffe are refused in our words, or are read; nothing else happens."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from classicnets.errors import DataError
from classicnets.weights import caffe, files
from support.mutations import mutant_count, mutants
from support.protobuf import block, floats, number, single, varint


def blob(*sizes: int, n: int) -> bytes:
    return block(7, block(1, b"".join(varint(size) for size in sizes))) + block(5, floats([0.5] * n))


def layer(name: str, kind: str, bottom: str, *rest: bytes) -> bytes:
    names = block(1, name) + block(2, kind) + block(3, bottom) + block(4, name)
    return block(100, names + b"".join(rest))


NEW = block(1, "net") + block(3, "data") + b"".join(number(4, n) for n in (1, 2, 4, 4))
NEW += layer("c", "Convolution", "data", block(7, blob(2, 2, 1, 1, n=4)), block(106, number(1, 2) + number(4, 1)))
NEW += layer("b", "BatchNorm", "c", *(block(7, blob(n, n=n)) for n in (2, 2, 1)))
NEW += layer("p", "Pooling", "b", block(121, number(2, 2) + number(3, 2)))
NEW += layer("n", "LRN", "p", block(118, number(1, 3) + single(2, 0.1)))
NEW += layer("d", "InnerProduct", "n", block(7, blob(2, 8, n=16)), block(117, number(1, 2) + number(2, 0)))
NEW += layer("s", "Softmax", "d", block(8, number(1, 1)))
LEGACY = b"".join(number(i, n) for i, n in enumerate((1, 1, 2, 2), 1)) + single(5, 1) * 4
OLD = block(1, "net") + block(3, "data")
OLD += block(2, block(1, block(1, "d") + block(2, "innerproduct") + number(3, 2) + block(50, LEGACY))
             + block(2, "data") + block(3, "d"))  # fmt: skip
V1 = block(
    2, block(4, "d") + number(5, 14) + block(2, "data") + block(3, "d") + block(6, LEGACY) + block(17, number(1, 2))
)
V1 = block(3, "data") + V1
MEAN = b"".join(number(i, n) for i, n in enumerate((1, 3, 2, 2), 1)) + block(5, floats(range(12)))
TEXT = b"""name: "net" # text
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: [1, 2] } }
layer { name: "n" type: "LRN" bottom: "c" top: "c" lrn_param < alpha: 5e-05; k: 2 > include { phase: TEST } }
layer { name: 'd\\n' type: "InnerProduct" bottom: "c" top: "d" inner_product_param { num_output: 0x2 bias_term: f } }
"""


def weights(path: Path) -> Any:
    tensors, _metadata = files.read(path, data=True)
    shapes = {name: tensor.shape for name, tensor in caffe.read(path, data=False).items()}
    assert {name: tensor.shape for name, tensor in tensors.items()} == shapes
    return tensors


READERS: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "weights": (NEW, weights),
    "weights of 2013": (OLD, weights),
    "weights of 2014": (V1, weights),
    "definition": (TEXT, caffe.graph),
    "definition in weights": (NEW, caffe.graph),
    "definition in weights of 2013": (OLD, caffe.graph),
    "definition in weights of 2014": (V1, caffe.graph),
    "mean": (MEAN, caffe.mean),
}


def changed(content: bytes, seed: int) -> Iterator[bytes]:
    """Every truncation, and as many changes of single bytes and of blocks as `CLASSICNETS_FUZZ` says."""
    yield from (content[:n] for n in range(len(content)))
    generator = random.Random(seed)
    for _i in range(3 * mutant_count()):
        at = generator.randrange(len(content))
        yield content[:at] + bytes([generator.randrange(256)]) + content[at + 1 :]
    yield from mutants(content, mutant_count(), seed)


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused_or_read(tmp_path: Path, name: str) -> None:
    content, read = READERS[name]
    path = tmp_path / "file"
    path.write_bytes(content)
    assert read(path) is not None
    refused = accepted = 0
    for mutant in changed(content, seed=1):
        path.write_bytes(mutant)
        try:
            read(path)
            accepted += 1
        except DataError as error:
            assert error.code == "CN305" and error.what and error.where.startswith(str(path))
            str(error).encode()
            refused += 1
    print(name, refused, "refused", accepted, "read")
    assert refused > mutant_count()


@pytest.mark.parametrize("name", ["weights", "weights of 2013"])
def test_no_truncated_file_gives_other_weights(tmp_path: Path, name: str) -> None:
    """What is read of it are complete layers."""
    content, read = READERS[name]
    path = tmp_path / "file"
    path.write_bytes(content)
    complete = read(path)
    for n in range(len(content)):
        path.write_bytes(content[:n])
        try:
            tensors = read(path)
        except DataError:
            continue
        for key, tensor in tensors.items():
            assert torch.equal(tensor, complete[key])


HOSTILE = {
    "layers without contents": b"\xa2\x06\x00" * 200_000,
    "unknown fields": block(100, block(1, "a")) + b"\xf8\x07\x00" * 200_000,
    "many names": block(100, b"\x1a\x00" * 200_000),
    "nested lengths": block(100, block(7, block(7, varint(1 << 3 | 2) + varint(2**62)))),
    "a blob in pieces": block(100, block(1, "a") + block(2, "x") + block(7, b"\x2a\x04aaaa" * 150_000)),
    "empty pieces": block(100, block(7, b"\x2a\x00" * 200_000)),
    "a shape in pieces": block(100, block(7, b"\x3a\x00" * 200_000)),
    "a long shape": block(100, block(1, "a") + block(2, "x") + block(7, block(7, block(1, b"\x01" * 200_000)))),
    "a huge shape": block(100, block(1, "a") + block(2, "x") + block(7, block(7, block(1, varint(2**62) * 30)))),
    "nested text": b"a{" * 200_000,
    "open strings": b'name:"' + b"x" * 400_000,
    "many strings": b"name:" + b'""' * 250_000,
    "many layers": b"layer{}" * 60_000,
    "a list": b"input_dim:[" + b"1," * 200_000,
    "signs": b"a:" + b"-" * 200_000,
    "digits": b"input_dim:" + b"1" * 400_000,
    "spaces": b" \n" * 300_000,
    "zeros": bytes(500_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, name: str) -> None:
    """Each of these ends within a second; a mistake would take minutes, or much memory."""
    path = tmp_path / "file"
    path.write_bytes(HOSTILE[name])
    for read in (weights, caffe.graph, caffe.mean):
        with pytest.raises(DataError):
            read(path)
