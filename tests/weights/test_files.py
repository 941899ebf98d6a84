"""Files of weights by their content: any name, any other content beside the tensors, other formats, hostile pickles."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import pathlib
import pickle
import shutil
import struct
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import classicnets as cn
from classicnets.errors import DataError
from classicnets.weights import pickles
from classicnets.weights.files import read
from support.command_line import CommandLine

ZIP = pytest.mark.parametrize("in_zip", [True, False], ids=["zip", "stream"])


class Callback:
    """A class that another program cannot import."""

    def __init__(self, best: Tensor) -> None:
        self.best = best


def of_lightning(state: dict[str, Tensor]) -> dict[Any, Any]:
    """What training programs save beside the weights."""
    net = nn.Linear(2, 2)
    adam = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    adam.step()
    return {
        "epoch": np.int64(3),
        "state_dict": OrderedDict({f"model.{name}": tensor for name, tensor in state.items()}),
        "hyper_parameters": argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("data")),
        "callbacks": {"best": Callback(torch.rand(3)), "scores": np.arange(4.0)},
        "optimizer_states": [adam.state_dict()],
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "seen": {1, 2},
        (1, ("a", 2)): None,
    }


def tensors_of_all_kinds() -> dict[str, Tensor]:
    base = torch.rand(10, 10)
    with warnings.catch_warnings(action="ignore"):
        quantized = {
            "per_tensor": torch.quantize_per_tensor(torch.rand(2, 3), 0.1, 3, torch.qint8),
            "per_channel": torch.quantize_per_channel(
                torch.rand(2, 3), torch.tensor([0.1, 0.2]), torch.tensor([0, 1]), 0, torch.qint8
            ),
            "sparse_csr": torch.eye(3).to_sparse_csr(),
        }
    dtypes = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.bool, torch.complex64)
    return {
        **{str(dtype): torch.tensor([0, 1, 5]).to(dtype) for dtype in dtypes},
        **quantized,
        "sparse": torch.eye(3).to_sparse(),
        "shared": base,
        "view": base.t()[2:5, ::3],
        "expanded": torch.rand(()).expand(5, 5),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(3),
        "parameter": nn.Parameter(torch.rand(2)),
    }


def plain(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    if tensor.is_quantized:
        return tensor.dequantize()
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


@ZIP
def test_reads_every_kind_of_tensor(tmp_path: Path, in_zip: bool) -> None:
    saved = tensors_of_all_kinds()
    if in_zip:
        saved["float8"] = torch.rand(3).to(torch.float8_e4m3fn)
    path = tmp_path / "w"
    torch.save(saved, path, _use_new_zipfile_serialization=in_zip)
    values, shapes = read(path, data=True)[0], read(path, data=False)[0]
    assert list(values) == list(shapes) == list(saved)
    for name, tensor in saved.items():
        assert values[name].dtype == plain(tensor).dtype and shapes[name].is_meta
        assert values[name].shape == shapes[name].shape == tensor.shape
        assert torch.equal(values[name].to(torch.complex128), plain(tensor).to(torch.complex128)), name


@pytest.mark.parametrize(
    ("name", "in_zip"), [("a.pth.tar", False), ("a.ckpt", True), ("a.bin", False), ("a", True), ("a.safetensors", True)]
)
def test_reads_the_checkpoint_of_another_program_under_any_name(
    tmp_path: Path, cli: CommandLine, in_zip: bool, name: str
) -> None:
    state = cn.create("lenet_d2l").state_dict()
    torch.save(of_lightning(state), tmp_path / name, _use_new_zipfile_serialization=in_zip)
    values, _ = read(tmp_path / name, data=True)
    assert all(torch.equal(values[f"model.{key}"], tensor) for key, tensor in state.items())
    for words in (("show",), ("weights", "identify"))[in_zip:]:
        code, out, err = cli(*words, tmp_path / name)
        assert code == 0 and "as lenet_d2l for 10 classes" in out and "'model.'" in out, err


def test_trains_from_a_checkpoint_with_other_objects(tmp_path: Path, cli: CommandLine, blobs: Path) -> None:
    torch.save({"model": cn.create("lenet_d2l").state_dict(), "args": argparse.Namespace(lr=0.1)}, "a.pth.tar")
    command = ("train", "lenet_d2l", "--data", blobs, "--weights", "a.pth.tar", "--limit", 64, "--dry-run")
    code, _, err = cli(*command)
    assert code == 0, err


@ZIP
def test_reads_a_module_that_was_saved_as_a_whole(tmp_path: Path, in_zip: bool) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.BatchNorm1d(3)), nn.LSTM(3, 2))
    net.register_buffer("scratch", torch.rand(2), persistent=False)
    with warnings.catch_warnings(action="ignore"):
        torch.save({"net": net}, tmp_path / "net.pt", _use_new_zipfile_serialization=in_zip)
    values, _ = read(tmp_path / "net.pt", data=True)
    assert {*values} == {*net.state_dict()}
    assert all(torch.equal(values[name], tensor) for name, tensor in net.state_dict().items())


# ---------------------------------------------------------------------------------------------------- hostile pickles


class Reduce:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch touched",))


class SetState:
    def __reduce__(self) -> tuple[Any, ...]:
        return (argparse.Namespace, (), Reduce())


class Evaluated:
    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, ("open('touched', 'w')",))


class OfTorch:
    """Functions of torch that weights-only loaders have allowed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (torch.load, ("other.pth", "cpu"), {"weights_only": False})


HOSTILE: list[Any] = [Reduce(), SetState(), Evaluated(), OfTorch(), {"a": [Reduce()]}, OrderedDict(a=Reduce())]


@pytest.fixture
def touched(tmp_path: Path) -> Path:
    """A file that hostile pickles would make."""
    torch.save(Reduce(), "other.pth")
    return tmp_path / "touched"


@ZIP
@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda value: type(value).__name__)
def test_runs_nothing_and_reads_the_tensors(tmp_path: Path, touched: Path, in_zip: bool, hostile: Any) -> None:
    saved = {"a": hostile, "state": {"w.weight": torch.ones(2)}, "z": hostile}
    torch.save(saved, tmp_path / "w.pth", _use_new_zipfile_serialization=in_zip)
    assert torch.equal(read(tmp_path / "w.pth", data=True)[0]["w.weight"], torch.ones(2))
    (tmp_path / "plain").write_bytes(pickle.dumps(hostile))
    with pytest.raises(DataError):
        read(tmp_path / "plain", data=True)
    assert not touched.exists()


def pickled(*instructions: bytes) -> bytes:
    return b"\x80\x02" + b"".join(instructions) + b"."


SYSTEM = b"cos\nsystem\nX\x0d\0\0\0touch touched\x85R"
RAW = {
    "persistent id": pickled(SYSTEM, b"Q"),
    "nested persistent id": pickled(b"(X\7\0\0\0storage", SYSTEM, b"QtQ"),
    "text persistent id": b"Pstorage\n.",
    "inst": b"(X\x0d\0\0\0touch touched" + b"ios\nsystem\n.",
    "obj": pickled(b"(cos\nsystem\nX\x0d\0\0\0touch touchedo"),
    "newobj": pickled(b"cos\nsystem\nX\x0d\0\0\0touch touched\x85\x81"),
    "attribute": b"\x80\4\x8c\2os\x8c\6system\x93\x8c\x0dtouch touched\x85R.",
    "extension": pickled(b"\x82\1"),
    "build of a function": pickled(b"ctorch._utils\n_rebuild_tensor_v2\n}X\x0c\0\0\0__defaults__N\x85sb"),
    "set of a name": pickled(b"cos\nenviron\nX\1\0\0\0aX\1\0\0\0bs"),
    "reduce without arguments": pickled(b"R"),
    "deep": pickled(b"]" * 60_000, b"a" * 59_999),
    "deep key": pickled(b"}", b")", b"\x85" * 60_000, b"Ns"),
    "doubling": pickled(b"]q\0", b"(h\0h\0lq\0" * 60),
    "cycle": pickled(b"}q\0X\1\0\0\0ah\0s"),
    "huge": pickled(b"\x8d" + struct.pack("<Q", 2**62)),
    "missing memo": pickled(b"h\7"),
    "stack of marks": pickled(b"(" * 1000),
    "unfinished": b"\x80\2}",
}


@pytest.mark.parametrize("kind", ["zip", "plain"])
@pytest.mark.parametrize("name", RAW)
def test_hostile_pickles_are_refused(tmp_path: Path, touched: Path, kind: str, name: str) -> None:
    path, environment = tmp_path / "w.pth", dict(os.environ)
    path.write_bytes(RAW[name])
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("w/data.pkl", RAW[name])
    for data in (False, True):
        with pytest.raises(DataError) as caught:
            read(path, data=data)
        assert caught.value.code == "CN305"
    assert not touched.exists() and environment == dict(os.environ)
    assert torch._utils._rebuild_tensor_v2.__defaults__ == (None,)


def test_a_long_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "_MAX_INSTRUCTIONS", 1000)
    torch.save({"w": torch.ones(1), "losses": [0.1] * 1000}, tmp_path / "w.pth")
    with pytest.raises(DataError, match="damaged") as caught:
        read(tmp_path / "w.pth", data=False)
    assert "1,000 instructions" in caught.value.why


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [((5,), (1,), 0), ((2,), (4,), 0), ((2,), (1,), 3), ((2,), (-1,), 1), ((2,), (1, 1), 0), ((True,), (1,), 0)]
    + [((2**62, 4), (0, 0), 2**63), ((2.0,), (1,), 0), (("2",), (1,), 0)],
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path: Path, size: Any, stride: Any, offset: Any) -> None:
    class Tensor:
        def __reduce__(self) -> tuple[Any, ...]:
            storage = torch.ones(4).untyped_storage()
            typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
            return (torch._utils._rebuild_tensor_v2, (typed, offset, size, stride, False, OrderedDict()))

    torch.save({"w": Tensor()}, tmp_path / "w.pth")
    for data in (False, True):
        with pytest.raises(DataError) as caught:
            read(tmp_path / "w.pth", data=data)
        assert "damaged" in caught.value.what


# ----------------------------------------------------------------------------------------------------- other formats


def script(path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)


def program(path: Path) -> None:
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),)), path)


def archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("weights/a.pth", b"")


def tar(path: Path) -> None:
    with tarfile.open(path, "w") as file:
        file.addfile(tarfile.TarInfo("a.pth"))


def old_tar(path: Path) -> None:
    with tarfile.open(path, "w") as file:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            file.addfile(tarfile.TarInfo(name))


def content(value: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(value)

    return write


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 9\n"
FORMATS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "script": (script, "a TorchScript program", "torch.jit.load("),
    "program": (program, "a program of torch.export", "torch.export.load("),
    "html": (content(b"\n<!DOCTYPE html><html>404"), "a web page", "download the file itself"),
    "lower html": (content(b"<html><head>"), "a web page", "download the file itself"),
    "xml": (content(b"<?xml version='1.0'?><Error>AccessDenied"), "a web page", "download the file itself"),
    "lfs": (content(LFS), "a pointer of Git LFS", "git lfs pull"),
    "zip": (archive, "a zip archive", "unpack it"),
    "h5": (content(b"\x89HDF\r\n\x1a\n" + bytes(100)), "the Keras file cannot be used", "save it again"),
    "onnx": (content(b"\x08\x0a\x12\x07pytorch"), "an ONNX model", "classicnets evaluate"),
    "gguf": (content(b"GGUF\3\0\0\0"), "a GGUF file", "its own library"),
    "gzip": (content(gzip.compress(b"x")), "compressed by gzip", "gunzip"),
    "npy": (content(b"\x93NUMPY\1\0"), "a NumPy array", "its own library"),
    "png": (content(b"\x89PNG\r\n\x1a\n"), "an image", "classicnets predict"),
    "json": (content(b'{"weight_map": {}}'), "text in JSON", "download"),
    "tar": (tar, "a tar archive", "unpack it"),
    "old tar": (old_tar, "not written since 2017", "torch.load("),
    "index": (content(bytes(40) + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"), "a TensorFlow checkpoint", "its own library"),
    "empty": (content(b""), "is empty", "download the file again"),
    "text": (content(b"hello\n"), "is not a weights file", "download the file again"),
    "zeros": (content(bytes(1000)), "is not a weights file", "download the file again"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
@pytest.mark.parametrize("name", FORMATS)
def test_another_format_is_called_what_it_is(tmp_path: Path, name: str, suffix: str) -> None:
    write, what, hint = FORMATS[name]
    path = tmp_path / f"a file{suffix}"
    write(path)
    with pytest.raises(DataError) as caught:
        read(path, data=False)
    assert caught.value.code == "CN305" and what in caught.value.what and hint in caught.value.hints[0]
    if hint in {"gunzip", "classicnets predict"}:
        assert f"'{path}'" in caught.value.hints[0]


def test_a_truncated_or_copied_file_of_weights_is_damaged(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(100)}, buffer, _use_new_zipfile_serialization=False)
    path = tmp_path / "w.pth"
    path.write_bytes(buffer.getvalue()[:-1])
    for data in (False, True):
        with pytest.raises(DataError, match="truncated or damaged"):
            read(path, data=data)
    torch.save({"w": torch.ones(100)}, path)
    flipped = bytearray(path.read_bytes())
    flipped[flipped.index(struct.pack("<f", 1) * 3)] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(DataError, match="truncated or damaged"):  # by its checksum, when the values are read
        read(path, data=True)


@ZIP
def test_any_changed_byte_is_damage_or_can_be_read(tmp_path: Path, in_zip: bool) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.ones(2), "b": torch.ones(1)}, path, _use_new_zipfile_serialization=in_zip)
    content = path.read_bytes()
    refused = 0
    for at in range(0, len(content), 5):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        try:
            read(path, data=True)
        except DataError as error:
            refused += error.code == "CN305"
    assert refused > len(content) // 100


def test_show_looks_into_a_file_before_it_calls_it_a_name(tmp_path: Path, cli: CommandLine) -> None:
    shutil.copyfile(__file__, "notes")
    assert "is not a weights file" in cli("show", "notes")[2]
    code, _, err = cli("show", "gone.ckpt")
    assert code == 2 and "there is no network 'gone.ckpt'" in err
    Path("w.json").write_text(json.dumps({}))
    assert "text in JSON" in cli("weights", "identify", "w.json")[2]
