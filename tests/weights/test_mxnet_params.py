"""`.params` files of MXNet: every version and type, from bytes written by hand and from files of MXNet 1.9.1."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import classicnets as cn
from classicnets.errors import DataError, MachineError
from classicnets.weights import mxnet_params
from classicnets.weights.files import read as read_file
from classicnets.weights.load import load_weights
from support.command_line import CommandLine

FILES = Path(__file__).parents[1] / "models" / "goldens" / "mxnet_files"
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
CPU, FLOAT32 = (1, 0), 0
VALUES = struct.pack("<6f", *range(6))
DTYPES: dict[int, tuple[torch.dtype, str]] = {  # by MXNet's codes, with those of struct; bfloat16 is half of a float32
    0: (torch.float32, "f"), 1: (torch.float64, "d"), 2: (torch.float16, "e"), 3: (torch.uint8, "B"),
    4: (torch.int32, "i"), 5: (torch.int8, "b"), 6: (torch.int64, "q"), 7: (torch.bool, "?"),
    8: (torch.int16, "h"), 9: (torch.uint16, "H"), 10: (torch.uint32, "I"), 11: (torch.uint64, "Q"),
}  # fmt: skip


def shape_of(version: int, shape: Sequence[int]) -> bytes:
    axes = "I" if version == 0 else "q"
    return struct.pack(f"<i{len(shape)}{axes}", len(shape), *shape)


def array(version: int, shape: Sequence[int], content: bytes, dtype: int = FLOAT32) -> bytes:
    begin = {0: b"", V1: struct.pack("<I", V1)}.get(version, struct.pack("<Ii", version, 0))
    return begin + shape_of(version, shape) + struct.pack("<iii", *CPU, dtype) + content


def list_of(*arrays: bytes, names: Sequence[str] | None = None) -> bytes:
    listed = [struct.pack("<Q", len(name.encode())) + name.encode() for name in names or ()]
    begin = struct.pack("<QQQ", 0x112, 0, len(arrays))
    return b"".join((begin, *arrays, struct.pack("<Q", len(listed)), *listed))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net-0010.params"


def loaded(path: Path, content: bytes) -> dict[str, Tensor]:
    """The tensors of a file, whose shapes and types are also those that are read without values."""
    path.write_bytes(content)
    tensors, shapes = mxnet_params.read(path, data=True), mxnet_params.read(path, data=False)
    assert [*tensors] == [*shapes] and all(shape.is_meta for shape in shapes.values())
    assert all(tensors[name].shape == shapes[name].shape for name in shapes)
    assert all(tensors[name].dtype == shapes[name].dtype for name in shapes)
    return tensors


def problem(path: Path, content: bytes) -> DataError:
    """The error for a file, with its values and without."""
    path.write_bytes(content)
    errors = []
    for data in (False, True):
        with pytest.raises(DataError) as caught:
            mxnet_params.load(path, data=data)
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1]) and errors[0].code == "CN305" and errors[0].where == str(path)
    return errors[0]


# ------------------------------------------------------------------------------------------------- versions and types


@pytest.mark.parametrize("version", [0, V1, V2, V3], ids=["V0", "V1", "V2", "V3"])
def test_reads_each_version(path: Path, version: int) -> None:
    tensors = loaded(path, list_of(array(version, (2, 3), VALUES), names=["w"]))
    assert torch.equal(tensors["w"], torch.tensor([[0.0, 1, 2], [3, 4, 5]]))


def test_reads_bytes_that_mxnet_wrote(path: Path) -> None:
    """Byte by byte as in a file of MXNet 1.9.1 with `w`, 1.0 and 2.0 as int8."""
    content = bytes.fromhex(
        "1201000000000000 0000000000000000 0100000000000000"
        "c9fa93f9 00000000 01000000 0200000000000000 01000000 00000000 05000000 0102"
        "0100000000000000 0100000000000000 77"
    )
    assert torch.equal(loaded(path, content)["w"], torch.tensor([1, 2], dtype=torch.int8))


@pytest.mark.parametrize("code", DTYPES)
def test_reads_each_type(path: Path, code: int) -> None:
    dtype, letter = DTYPES[code]
    values = loaded(path, list_of(array(V2, (3,), struct.pack(f"<3{letter}", 1, 0, 1), code), names=["w"]))["w"]
    assert values.dtype == dtype and values.tolist() == [1, 0, 1]


def test_reads_bfloat16_and_any_byte_of_a_boolean(path: Path) -> None:
    halves = array(V2, (2,), struct.pack("<f", 1)[2:] + struct.pack("<f", -2.5)[2:], 12)
    tensors = loaded(path, list_of(halves, array(V2, (3,), b"\0\1\7", 7), names=["w", "b"]))
    assert tensors["w"].dtype == torch.bfloat16 and tensors["w"].tolist() == [1, -2.5]
    assert torch.equal(tensors["b"], torch.tensor([False, True, True]))


def test_a_scalar_is_one_only_in_version_3(path: Path) -> None:
    """In earlier versions, no axes mean that the array had no shape yet, and nothing follows."""
    unknown = [shape_of(0, ()), struct.pack("<I", V1) + shape_of(V1, ()), struct.pack("<Ii", V2, -1) + shape_of(V2, ())]
    unknown.append(struct.pack("<Iii", V3, 0, -1))
    scalar = array(V3, (), struct.pack("<f", 3.5))
    tensors = loaded(path, list_of(*unknown, scalar, array(V3, (0, 3), b"")))
    assert [tuple(tensor.shape) for tensor in tensors.values()] == [(0,)] * 4 + [(), (0, 3)]
    assert tensors["4"].item() == 3.5


def test_names_lose_their_prefix_and_arrays_without_names_are_numbered(path: Path) -> None:
    arrays = [array(V2, (1,), struct.pack("<f", i)) for i in range(3)]
    path.write_bytes(list_of(*arrays, names=["arg:conv1_weight", "aux:bn_moving_mean", "argument"]))
    content = mxnet_params.load(path, data=True)
    assert [*content.tensors] == ["conv1_weight", "bn_moving_mean", "argument"]
    assert content.auxiliary == {"bn_moving_mean"}
    assert [tensor.item() for tensor in content.tensors.values()] == [0, 1, 2]
    assert [*loaded(path, list_of(*arrays))] == ["0", "1", "2"]


def test_reads_the_files_of_mxnet() -> None:
    listed = mxnet_params.read(FILES / "list.params", data=True)
    assert [tensor.dtype for tensor in listed.values()] == [torch.int8, torch.float16, torch.int64]
    assert all(tensor.tolist() == [1, 2] for tensor in listed.values())
    version_3 = mxnet_params.read(FILES / "version_3.params", data=True)
    assert version_3["scalar"].item() == 3.5 and version_3["empty"].shape == (0, 3)
    content = mxnet_params.load(FILES / "layers.params", data=True)
    assert content.tensors["conv2_weight"].shape == (6, 2, 2, 2) and content.tensors["fc4_weight"].shape == (3, 5)
    assert content.auxiliary == {f"bn{i}_moving_{kind}" for i in (1, 2) for kind in ("mean", "var")}
    structural = mxnet_params.read(FILES / "gluon_structural.params", data=True)
    exported = mxnet_params.read(FILES / "gluon.params", data=True)
    assert [*structural][:3] == ["0.weight", "0.bias", "2.weight"]
    pairs = zip(structural.values(), exported.values(), strict=True)
    assert all(torch.equal(one, other) and one.std() > 0 for one, other in pairs)


# --------------------------------------------------------------------------------------------------------------- damage

BEGIN = struct.pack("<QQQ", 0x112, 0, 1)
W = array(V2, (2, 3), VALUES)
ON_DEVICE_7 = W.replace(struct.pack("<iii", *CPU, 0), struct.pack("<iii", 7, 0, 0))
DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "at byte 0: it ends where 24 more bytes are expected"),
    "another start": (bytes(40), "at byte 0: it does not begin as a list"),
    "huge number of arrays": (struct.pack("<QQQ", 0x112, 0, 2**63) + bytes(99), "at byte 16: it states 9,223,"),
    "more arrays than bytes": (struct.pack("<QQQ", 0x112, 0, 9) + bytes(35), "at byte 16: it states 9 arrays"),
    "too many arrays": (struct.pack("<QQQ", 0x112, 0, 10_001) + bytes(50_000), "at byte 16: it states 10,001 arrays"),
    "axes": (BEGIN + struct.pack("<Iii", V2, 0, 33) + bytes(999), "at byte 32: array 0 states 33 axes"),
    "version 0 axes": (BEGIN + struct.pack("<I", 0xF993FAC7) + bytes(999), "at byte 24: array 0 states 4,187,"),
    "negative axes": (BEGIN + struct.pack("<Iii", V2, 0, -2) + bytes(999), "at byte 32: array 0 states -2 axes"),
    "negative axis": (BEGIN + struct.pack("<Iiiq", V2, 0, 1, -1) + bytes(99), "array 0 states the shape (-1,)"),
    "huge shape": (BEGIN + struct.pack("<Iii3q", V2, 0, 3, 2**40, 2**62, 0) + bytes(99), "states the shape (1099511"),
    "values": (BEGIN + array(V2, (2, 3), VALUES[:-1]), "at byte 64: array 0 of shape (2, 3) needs 24 bytes, and 23"),
    "device": (BEGIN + ON_DEVICE_7, "at byte 52: array 0 has the device 7"),
    "type": (BEGIN + array(V2, (2,), VALUES, 13), "the type 13"),
    "storage": (BEGIN + struct.pack("<Ii", V2, 3) + W[8:], "at byte 28: array 0 has the storage type 3"),
    "no storage": (BEGIN + struct.pack("<Ii", V2, -1) + W[8:] + bytes(8), "array 0 has the device 1"),
    "names": (BEGIN + W + struct.pack("<Q", 2) + bytes(99), "it has 1 arrays and states 2 names"),
    "name length": (BEGIN + W + struct.pack("<QQ", 1, 2**62) + b"w", "a name of 4,611,686,018,427,387,904 bytes"),
    "name": (BEGIN + W + struct.pack("<QQ", 1, 2) + b"\xff\xff", "a name is not UTF-8"),
    "rest": (list_of(W, names=["w"]) + b"\0", "1 bytes follow after its end"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named_with_its_byte(path: Path, name: str) -> None:
    content, why = DAMAGED[name]
    error = problem(path, content)
    assert why in error.why and "truncated or damaged" in error.what


def test_a_missing_file_and_one_without_arrays_are_errors(path: Path) -> None:
    with pytest.raises(DataError, match="cannot be opened"):
        mxnet_params.load(path, data=True)
    assert problem(path, list_of()).what == "the file has no tensors"


def test_two_arrays_of_one_name_are_refused(path: Path) -> None:
    assert "two arrays with the name 'w'" in problem(path, list_of(W, W, names=["arg:w", "aux:w"])).what


def test_sparse_arrays_are_refused_by_name(path: Path) -> None:
    error = problem(path, (FILES / "sparse.params").read_bytes())
    assert "row_sparse" in error.what and "array 1 at byte 60" in error.why and "tostype" in error.hints[0]
    assert "csr" in problem(path, BEGIN + struct.pack("<Ii", V2, 2) + bytes(99)).what


# ------------------------------------------------------------------------------------------------------- NumPy archives


def npy(header: str, content: bytes, version: int = 1) -> bytes:
    """A .npy file with a header as text."""
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + content


def header(descr: str = "'<f4'", shape: str = "2,", fortran: bool = False) -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': ({shape}), }}\n"


def archive(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


TWO = struct.pack("<2f", 1, 2)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_what_numpy_saves(path: Path, save: Callable[..., None]) -> None:
    arrays: dict[str, Any] = {
        letter: np.array([[0, 1, 2], [3, 4, 5]], letter) for letter in ("f2", "<f4", ">f8", "i1", "<i8", ">i4", "u1")
    }
    arrays |= {letter: np.array([[0, 1, 2], [3, 4, 5]], letter) for letter in ("<u2", ">u4", "<u8", "i2", "?")}
    arrays |= {"scalar": np.float32(2.5), "empty": np.zeros((0, 3), "f4"), "aux:mean": np.ones(2, "f4")}
    arrays["columns"] = np.asfortranarray(np.arange(24, dtype=">f4").reshape(2, 3, 4))
    with path.open("wb") as file:
        save(file, **arrays)
    tensors = loaded(path, path.read_bytes())
    assert [*tensors] == [name.removeprefix("aux:") for name in arrays]
    for name, expected in arrays.items():
        tensor = tensors[name.removeprefix("aux:")]
        assert np.array_equal(tensor.numpy(), expected) and tensor.dtype.itemsize == expected.dtype.itemsize, name
        assert tensor.is_contiguous()
    assert mxnet_params.load(path, data=False).auxiliary == {"mean"}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_reads_headers_as_mxnet_2_writes_them(path: Path, version: int) -> None:
    halves = struct.pack("<f", 1)[2:] + struct.pack("<f", -2.5)[2:]
    files = {
        "0.weight.npy": npy(header("[('bfloat16', '<u2')]"), halves, version),
        "b.npy": npy(header(), TWO, version),
    }
    tensors = loaded(path, archive(files))
    assert tensors["0.weight"].dtype == torch.bfloat16 and tensors["0.weight"].tolist() == [1, -2.5]
    assert tensors["b"].tolist() == [1, 2]


class Touch:
    """A Python object whose pickle makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("touched"),)


def test_python_objects_are_refused_unread(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with path.open("wb") as file:
        np.savez(file, w=np.ones(2), o=np.array([Touch()]))
    error = problem(path, path.read_bytes())
    assert "'o' has the type Python objects" in error.why and not (tmp_path / "touched").exists()


ARCHIVES: dict[str, tuple[bytes, str]] = {
    "text": (archive({"a.npy": npy(header("'<U1'"), bytes(8))}), "has the type <U1; only numbers"),
    "complex": (archive({"a.npy": npy(header("'<c8'"), bytes(16))}), "has the type complex64; only numbers"),
    "record": (archive({"a.npy": npy(header("[('bfloat16', '<u2'), ('x', 'u1')]"), bytes(6))}), "only numbers"),
    "sparse": (archive({f"w/{n}.npy": npy(header(), TWO) for n in ("data", "format")}), "'w' is sparse"),
    "growth": (archive({"a.npy": npy(header("'|u1'", "999999,"), bytes(999_999))}, 8), "expands to 1.0 MB"),
    "many": (archive({f"{i}.npy": b"" for i in range(10_001)}), "it has 10,001 arrays"),
    "short": (archive({"a.npy": npy(header(), TWO[:7])}), "shape (2,) needs 8 bytes and has 7"),
    "long": (archive({"a.npy": npy(header(), TWO + b"\0")}), "shape (2,) needs 8 bytes and has 9"),
    "huge": (archive({"a.npy": npy(header(shape="99999999999, 99999999999"), TWO)}), "has the shape (99999999999,"),
    "negative": (archive({"a.npy": npy(header(shape="-2, -1"), TWO)}), "has the shape (-2, -1)"),
    "axes": (archive({"a.npy": npy(header(shape="1," * 33), TWO[:4])}), "has the shape (1, 1,"),
    "code": (archive({"a.npy": npy(header(shape="exit(),"), TWO)}), "the header of the array 'a' is damaged"),
    "deep": (archive({"a.npy": npy("-" * 900 + "1", TWO)}), "the header of the array 'a' is damaged"),
    "long header": (archive({"a.npy": npy(header(shape="1," * 2000), TWO)}), "the header of the array 'a' is damaged"),
    "version": (archive({"a.npy": npy(header(), TWO, 4)}), "the header of the array 'a' is damaged"),
    "magic": (archive({"a.npy": b"\x93NUMPX\1\0" + npy(header(), TWO)[8:]}), "the header of the array 'a' is damaged"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_other_archives_of_arrays_are_refused(path: Path, name: str) -> None:
    content, why = ARCHIVES[name]
    assert why in problem(path, content).why


def test_a_changed_value_in_an_archive_is_damage(path: Path) -> None:
    path.write_bytes(archive({"a.npy": npy(header(), TWO)}).replace(TWO, TWO[::-1]))
    with pytest.raises(DataError, match="truncated or damaged"):
        mxnet_params.load(path, data=True)


def test_two_files_of_one_name_are_refused(path: Path) -> None:
    content = archive({"a.npy": npy(header(), TWO), "b.npy": npy(header(), TWO)})
    assert "same name" in problem(path, content.replace(b"b.npy", b"a.npy")).why


# -------------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("name", ["layers.params", "branches.params", "gluon.params", "gluon_structural.params"])
def test_a_file_of_mxnet_is_written_byte_by_byte(path: Path, name: str) -> None:
    content = mxnet_params.load(FILES / name, data=True)
    prefixes = ("arg:", "aux:") if "structural" not in name else ("", "")
    named = {prefixes[key in content.auxiliary] + key: tensor for key, tensor in content.tensors.items()}
    mxnet_params.write(named, path)
    assert path.read_bytes() == (FILES / name).read_bytes()


def test_writes_any_tensor_as_float32(path: Path) -> None:
    rows = torch.arange(6, dtype=torch.float64).reshape(3, 2)
    mxnet_params.write({"w": rows.t(), "größe": torch.tensor([1], dtype=torch.int64)}, path)
    expected = list_of(array(V2, (2, 3), struct.pack("<6f", 0, 2, 4, 1, 3, 5)), W[:0], names=["w", "größe"])
    one = array(V2, (1,), struct.pack("<f", 1))
    assert path.read_bytes() == expected[: 24 + len(W)] + one + expected[24 + len(W) :]


def test_what_the_format_cannot_express_is_not_written(path: Path, tmp_path: Path) -> None:
    for tensor in (torch.tensor(1.0), torch.empty(0, 3)):
        with pytest.raises(ValueError, match="no scalars and no empty arrays: w"):
            mxnet_params.write({"a": torch.ones(1), "w": tensor}, path)
    assert not [*tmp_path.iterdir()]
    with pytest.raises(MachineError) as caught:
        mxnet_params.write({"a": torch.ones(1)}, tmp_path / "missing" / "w.params")
    assert caught.value.code == "CN401"


# ------------------------------------------------------------------------------------------------------- other commands


@pytest.mark.parametrize("name", ["net.params", "net.pth", "net"])
def test_the_content_decides_and_not_the_name(tmp_path: Path, cli: CommandLine, name: str) -> None:
    state = cn.create("lenet_d2l").state_dict()
    mxnet_params.write(state, tmp_path / name)
    values, facts = read_file(tmp_path / name, data=True)
    assert facts == {} and all(torch.equal(values[key], tensor) for key, tensor in state.items())
    code, out, err = cli("weights", "identify", tmp_path / name)
    assert code == 0 and "as lenet_d2l for 10 classes" in out, err
    net = cn.create("lenet_d2l")
    assert load_weights(tmp_path / name, net).loaded == (*state,)
    assert all(torch.equal(net.state_dict()[key], tensor) for key, tensor in state.items())


def test_an_archive_of_arrays_is_identified(tmp_path: Path, cli: CommandLine) -> None:
    state = cn.create("lenet5_1998").state_dict()
    with (tmp_path / "net.params").open("wb") as file:
        np.savez(file, **{f"net.{name}": tensor.numpy() for name, tensor in state.items()})
    code, out, err = cli("weights", "identify", "net.params")
    assert code == 0 and "same names and shapes as lenet5_1998" in out and "'net.'" in out, err


def test_sniffs_the_first_eight_bytes() -> None:
    assert mxnet_params.sniff(list_of(W)) and mxnet_params.sniff(struct.pack("<Q", 0x112))
    assert not mxnet_params.sniff(struct.pack("<I", 0x112)) and not mxnet_params.sniff(struct.pack(">Q", 0x112))
