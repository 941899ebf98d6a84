"""Pickles of all protocols are read as data: plain values as Python's own reader gives them, and objects as records."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from classicnets.errors import DataError
from classicnets.weights import files
from classicnets.weights.pickles import Made, Name, Reference, read_pickle, walk

VALUES: dict[str, Any] = {
    "a": [1, -2, 2**70, 1.5, None, True, False, "text", b"bytes", ()],
    "b": {"c": {"d": (1, 2, 3)}, "e": [[]], "f": (1,), "g": (1, 2), "h": (1, 2, 3, 4)},
    "long": "x" * 300,
    "list": list(range(1100)),
}


def read(content: bytes) -> Any:
    return read_pickle(io.BytesIO(content))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_those_of_pythons_reader(protocol: int) -> None:
    values = {name: value for name, value in VALUES.items() if protocol > 2 or name != "a"} | {"l": [1, "u\xe9\u4e2d"]}
    assert read(pickle.dumps(values, protocol)) == values


@pytest.mark.parametrize(
    "content",
    [
        b"(lp0\nI1\naI2\na.",  # a list, value by value
        b"(dp0\nS'a'\nI1\ns.",
        b"(S'a'\nI1\nS'b'\nI2\nd.",  # a dict from the stack
        b"I1\n2\x86.",  # copied
        b"I1\nI2\n0.",  # removed
        b"(I1\nI2\nI3\nl(I4\n1.",  # removed to the mark
        b"\x80\x04]\x94h\x00\x86.",  # memoized
        b"(I1\nI2\nt.",
        b"\x80\x02N\x85.",
        b"\x80\x02K\x01K\x02K\x03\x87.",
        b"L12345678901234567890L\n.",
        b"F1.5\n.",
        b"Vtext\n.",
        b"\x80\x04\x8f.",  # an empty set
        b"\x80\x04(K\x01K\x02\x91.",  # a frozen set
        b"\x80\x05\x96\x02\x00\x00\x00\x00\x00\x00\x00ab.",
    ],
)
def test_every_instruction_does_what_python_does(content: bytes) -> None:
    expected = pickle.loads(content)
    assert read(content) == (sorted(expected) if isinstance(expected, set | frozenset) else expected)


@pytest.mark.parametrize(
    ("content", "maker", "arguments"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system", ("true",)),
        (b"(S'true'\nios\nsystem\n.", "os.system", ("true",)),
        (b"(cos\nsystem\nS'true'\no.", "os.system", ("true",)),
        (b"\x80\x02cos\nsystem\n(S'true'\nt\x81.", "os.system", ("true",)),
        (b"\x80\x04cos\nsystem\n(S'true'\nt}\x92.", "os.system", (("true",), {})),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93(S'true'\ntR.", "os.system", ("true",)),
    ],
)
def test_calls_are_recorded_in_every_form(content: bytes, maker: str, arguments: Any) -> None:
    made = read(content)
    assert isinstance(made, Made) and made.name == maker and made.arguments == arguments
    assert made in [*walk([made])]


def test_what_is_set_on_an_object_is_recorded() -> None:
    made = read(b"ca\nb\n)R}S'c'\nI1\nsb.")
    assert made.state == {"c": 1} and made.maker == Name("a.b")
    assert read(b"ca\nb\n)R(I1\nI2\ne.").items == [1, 2]
    assert read(b"ca\nb\n)RI1\na.").items == [1]
    assert read(b"ca\nb\n)RS'c'\nI1\ns.").items == {"c": 1}
    assert read(b"ccollections\nOrderedDict\n((lp0\n(S'c'\nI1\ntatR.") == {"c": 1}
    assert read(b"ccollections\ndefaultdict\n(cbuiltins\nlist\ntR.") == {}
    assert read(b"Pkey\n.") == Reference("key") and read(b"S'key'\nQ.") == Reference("key")
    assert read(b"I1\n}b.") == 1  # the state of something that is no object is ignored
    assert len(read(b"}(S'a'\nS'b'\n\x86I1\nu.")) == 1  # a key that cannot be hashed safely is a new object


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"I1\n",
        b"(.",  # a mark as the result
        b"(I1\nR.",
        b"I1\na.",
        b"I1\nI2\na.",
        b"I1\nS'a'\nI2\ns.",
        b"}(S'a'\nu.",  # a key without a value
        b"e.",
        b"I1\nt.",
        b"g0\n.",
        b"h\x05.",
        b"I1\nI2\n\x93.",
        b"\x80\x04\x8c\x01\xff.",
        b"K.",
        b"\x82\x01.",  # the registry of extensions
        b"\x97.",  # a buffer outside of the pickle
        b"Sx\n.",
        b"0.",
        b"2.",
        b"\x94.",
        b"\x85.",
    ],
)
def test_damaged_pickles_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        read(content)


# ------------------------------------------------------------------------------------------------------------ tensors


class Weight(Tensor):
    """A subclass, which torch.save records with what is set on it."""


def failed(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        files.read(path, data=True)
    assert caught.value.code == "CN305" and caught.value.where == str(path)
    return str(caught.value)


def test_tensors_of_a_subclass_are_read(tmp_path: Path) -> None:
    own = torch.arange(3.0).as_subclass(Weight)
    own.note = "own"  # type: ignore[attr-defined]
    torch.save({"fc.weight": own, "fc.bias": torch.nn.Parameter(own)}, tmp_path / "w.pth")
    tensors, _metadata = files.read(tmp_path / "w.pth", data=True)
    assert tensors["fc.weight"].tolist() == tensors["fc.bias"].tolist() == [0, 1, 2]
    assert type(tensors["fc.weight"]) is Tensor


def test_big_endian_numbers_are_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.ones(2)}, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as saved, zipfile.ZipFile(tmp_path / "big.pth", "w") as changed:
        for name in saved.namelist():
            changed.writestr(name, b"big" if name.endswith("byteorder") else saved.read(name))
    assert "big-endian" in failed(tmp_path / "big.pth")
    torch.save({"fc.weight": torch.ones(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "old.pth").read_bytes()
    at = content.index(b"\x88", content.index(b"little_endian"))
    (tmp_path / "old.pth").write_bytes(content[:at] + b"\x89" + content[at + 1 :])
    assert "big-endian" in failed(tmp_path / "old.pth")


def test_a_sparse_tensor_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    indices, values = torch.tensor([[0], [1]]), torch.ones(1)
    sparse = torch.sparse_coo_tensor(indices, values, (2**20, 2**20), check_invariants=True)
    torch.save({"fc.weight": sparse}, tmp_path / "w.pth")
    assert "a sparse tensor is too large" in failed(tmp_path / "w.pth")
    assert files.read(tmp_path / "w.pth", data=False)[0]["fc.weight"].shape == (2**20, 2**20)
