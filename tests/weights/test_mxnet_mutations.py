"""Damaged files of MXNet are refused in our words, or give a result of the file's size; `make fuzz` tries many more."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from classicnets.errors import DataError
from classicnets.models.graph import DATA
from classicnets.weights import mxnet_params, mxnet_symbol
from support.mutations import mutant_count, mutants

FILES = Path(__file__).parents[1] / "models" / "goldens" / "mxnet_files"
EXTREME: list[Any] = [
    None, True, -1, 1e300, 2**63, 10**30, 100_000, "", "0", "64", "(0, 0)", "(1, 1)", "-1", "1e999", "None", "True",
    "null", "\x1b[31m", "x" * 9_999, [], {}, [[[]]], [0] * 1_000, [[0, 0]] * 1_000, [1, 0], {"a": "b"},
]  # fmt: skip


def archive(save: Callable[..., None]) -> bytes:
    buffer = io.BytesIO()
    columns = np.asfortranarray(np.ones((2, 3), ">f4"))
    save(buffer, **{"arg:w": np.arange(6.0).reshape(2, 3), "aux:b": np.array([True, False]), "c": columns})
    return buffer.getvalue()


PARAMS = {name: (FILES / name).read_bytes() for name in ("list.params", "version_3.params", "sparse.params")}
PARAMS |= {"npz": archive(np.savez), "compressed npz": archive(np.savez_compressed)}
LARGER = ["layers.params", "gluon_structural.params"]
SYMBOLS = ["layers", "branches", "gluon"]


def read_params(path: Path, content: bytes) -> bool:
    """Whether a file is read, in both ways, with no more values than it has bytes."""
    path.write_bytes(content)
    try:
        shapes = mxnet_params.read(path, data=False)
        tensors = mxnet_params.read(path, data=True)
    except DataError as error:
        assert error.code == "CN305" and error.what and str(path) == error.where
        return False
    assert [(name, t.shape, t.dtype) for name, t in shapes.items()] == [
        (n, t.shape, t.dtype) for n, t in tensors.items()
    ]
    assert sum(tensor.nbytes for tensor in tensors.values()) <= max(3 * len(content), 1 << 16)
    return True


def read_symbol(path: Path, content: bytes, tensors: dict[str, Tensor]) -> bool:
    """Whether a file is read as nodes in the order of computation, whose tensors are there."""
    path.write_bytes(content)
    try:
        symbol = mxnet_symbol.read(path)
    except DataError as error:
        assert error.code == "CN305" and error.why and str(path) == error.where
        return False
    earlier = {DATA}
    for node in symbol.nodes:
        assert earlier.issuperset(node.inputs) and node.name not in earlier
        earlier.add(node.name)
        json.dumps(node.settings, allow_nan=False)
    try:
        named = symbol.name_tensors(tensors)
    except DataError as error:
        assert error.code == "CN306"
        return False
    assert {name.rpartition(".")[0] for name in named} <= earlier
    return True


def changed_values(values: Any, count: int, seed: int) -> Iterator[bytes]:
    """Yield copies of a JSON document in each of which one value is replaced, removed or exchanged with another."""
    generator = random.Random(seed)
    for _number in range(count):
        document = json.loads(json.dumps(values))
        places = [*_places(document)]
        container, key = generator.choice(places)
        other_container, other_key = generator.choice(places)
        kind = generator.randrange(4)
        if kind == 0:
            del container[key]
        elif kind == 1:
            container[key] = json.loads(json.dumps(other_container[other_key]))
        else:
            container[key] = generator.choice(EXTREME)
        yield json.dumps(document).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


@pytest.mark.parametrize("name", PARAMS)
def test_weights_that_end_anywhere_are_refused(tmp_path: Path, name: str) -> None:
    """A list of arrays ends where it says; an archive has its list of contents at the end."""
    content = PARAMS[name]
    assert read_params(tmp_path / "w", content) == (name != "sparse.params")
    assert not any(read_params(tmp_path / "w", content[:end]) for end in range(len(content)))


@pytest.mark.parametrize("name", [*PARAMS, *LARGER])
def test_damaged_weights_are_refused_or_read(tmp_path: Path, name: str) -> None:
    content = PARAMS.get(name) or (FILES / name).read_bytes()
    read = [read_params(tmp_path / "w", mutant) for mutant in mutants(content, 3 * mutant_count(), seed=21)]
    assert read.count(False) > len(read) // 2


@pytest.mark.parametrize("name", SYMBOLS)
def test_damaged_networks_are_refused_or_read(tmp_path: Path, name: str) -> None:
    path = FILES / f"{name}-symbol.json"
    tensors = mxnet_params.read(FILES / f"{name}.params", data=False)
    compact = json.dumps(json.loads(path.read_bytes()), separators=(",", ":")).encode()
    assert read_symbol(tmp_path / "s", compact, tensors)
    assert not any(read_symbol(tmp_path / "s", compact[:end], tensors) for end in range(0, len(compact), 7))
    for mutant in mutants(compact, 3 * mutant_count(), seed=21):
        read_symbol(tmp_path / "s", mutant, tensors)
    read = [
        read_symbol(tmp_path / "s", changed, tensors)
        for changed in changed_values(json.loads(compact), 3 * mutant_count(), seed=21)
    ]
    assert read.count(False) > len(read) // 4
