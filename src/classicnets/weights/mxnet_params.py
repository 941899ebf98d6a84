"""Reads and writes the `.params` files of MXNet: a list of arrays and their names, little-endian.

MXNet has written four versions of an array. Version 0 is that of MXNet 0.10 and earlier, 1 that of 0.10.1 and 0.11, 2
that of 0.12 and all of 1.x; 3 has scalars. MXNet 2 writes an archive of NumPy arrays instead (see `numpy_archive`).

Source: apache/mxnet, src/ndarray/ndarray.cc and include/mxnet/tuple.h.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classicnets.errors import DataError
from classicnets.files import cannot_write, move_into_place, temporary_file
from classicnets.text import _, join
from classicnets.weights import numpy_archive

PREFIXES = {"arg:": False, "aux:": True}  # of names in the files of Module and export, and whether it is auxiliary

_MAGIC = struct.pack("<Q", 0x112)
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DTYPES = (  # by their codes
    *(torch.float32, torch.float64, torch.float16, torch.uint8, torch.int32, torch.int8, torch.int64, torch.bool),
    *(torch.int16, torch.uint16, torch.uint32, torch.uint64, torch.bfloat16),
)
_DEVICES = {1, 2, 3, 5}  # CPU, GPU, pinned and shared memory
_SPARSE = {1: "row_sparse", 2: "csr"}
_MAX_ARRAYS = 10_000  # a network of a thousand layers has some 5,000
_MAX_AXES = 32
_MAX_EMPTY = 2**40  # product of the axes of an array without elements, other than 0


@dataclass(frozen=True)
class Parameters:
    """The content of a file.

    Attributes:
        tensors: by name, without "arg:" and "aux:"; arrays without names are called "0", "1", ...
        auxiliary: the names that had the prefix "aux:": what training does not change by gradients, such as the
            moving mean of a batch normalization.
    """

    tensors: dict[str, Tensor]
    auxiliary: frozenset[str]


def sniff(start: bytes) -> bool:
    """Return whether a file with this start is a list of MXNet's arrays."""
    return start[:8] == _MAGIC


def read(path: Path, *, data: bool) -> dict[str, Tensor]:
    """Read the tensors of a file; `load` also says which of them are auxiliary."""
    return load(path, data=data).tensors


def load(path: Path, *, data: bool) -> Parameters:
    """Read a file of any version.

    The layouts are those of torch: [out, in / groups, height, width] of a convolution, [out, in] of a dense layer. Each
    type of numbers has its equal in torch, also the unsigned ones of 16, 32 and 64 bits, for which torch has few
    operations. An array that was saved before it had a shape has no elements.

    Args:
        path: a list of arrays, or an archive of NumPy arrays.
        data: whether to read the values; otherwise the tensors are on the meta device and have only shapes.

    Raises:
        DataError: CN305 if the file is missing, damaged, not one of MXNet, or has sparse arrays or none.
    """
    try:
        with path.open("rb") as file:
            if numpy_archive.sniff(file):
                named = [*numpy_archive.read(path, file, data=data)]
            else:
                file.seek(0)
                named = _List(path, file).read(data=data)
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError("CN305", _("the weights file cannot be opened"), where=str(path), why=why) from error
    tensors: dict[str, Tensor] = {}
    auxiliary = set[str]()
    for full_name, tensor in named:
        prefix = full_name[:4] if full_name[:4] in PREFIXES else ""
        name = full_name.removeprefix(prefix)
        if name in tensors:
            what = _("the weights file has two arrays with the name {name!r}", name=name[:80])
            raise DataError("CN305", what, where=str(path))
        tensors[name] = tensor
        if PREFIXES.get(prefix):
            auxiliary.add(name)
    if not tensors:
        raise DataError("CN305", _("the file has no tensors"), where=str(path))
    return Parameters(tensors, frozenset(auxiliary))


def write(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as MXNet 0.12 to 1.9 do, version 2, as float32, under the names as given.

    Args:
        tensors: by the names that MXNet expects, such as "arg:conv1_weight", or "features.0.weight" for Gluon.
        path: the file, which is replaced as a whole.

    Raises:
        ValueError: a scalar or a tensor without elements, which this version cannot express.
        MachineError: CN401, the file cannot be written.
    """
    if wrong := [name for name, tensor in tensors.items() if not tensor.dim() or not tensor.numel()]:
        raise ValueError(_("MXNet's files have no scalars and no empty arrays: {names}", names=join(wrong)))
    try:
        with temporary_file(path) as part:
            with part.open("wb") as file:
                file.write(_MAGIC + struct.pack("<QQ", 0, len(tensors)))
                for tensor in tensors.values():
                    file.write(struct.pack("<Iii", _V2, 0, tensor.dim()))
                    file.write(struct.pack(f"<{tensor.dim()}q", *tensor.shape))
                    file.write(struct.pack("<iii", 1, 0, _DTYPES.index(torch.float32)))
                    values = tensor.detach().to("cpu", torch.float32).contiguous()
                    file.write(values.numpy().data)
                file.write(struct.pack("<Q", len(tensors)))
                for name in tensors:
                    encoded = name.encode()
                    file.write(struct.pack("<Q", len(encoded)) + encoded)
            move_into_place(part, path)
    except OSError as error:
        raise cannot_write(path, error, option="-o") from error


class _List:
    """A file that is a list of arrays. Nothing is allocated before the file is known to have as many bytes."""

    def __init__(self, path: Path, file: BufferedReader) -> None:
        self.path, self.file = path, file
        self.size, self.at = path.stat().st_size, 0

    def read(self, *, data: bool) -> list[tuple[str, Tensor]]:
        """Read the arrays, then their names. Raises DataError CN305."""
        magic, _reserved, count = self.numbers("QQQ")
        if magic != 0x112:
            raise self.damage(_("it does not begin as a list of MXNet's arrays does"), at=0)
        if count > _MAX_ARRAYS or 4 * count > self.left:
            raise self.damage(_("it states {n:,} arrays in {size:,} bytes", n=count, size=self.size), at=16)
        tensors = [self.array(number, data=data) for number in range(count)]
        at = self.at
        (name_count,) = self.numbers("Q")
        if name_count not in {0, count}:
            raise self.damage(_("it has {n:,} arrays and states {m:,} names", n=count, m=name_count), at=at)
        names = [self.name() for _number in range(name_count)] or [str(number) for number in range(count)]
        if self.left:
            raise self.damage(_("{n:,} bytes follow after its end", n=self.left), at=self.at)
        return [*zip(names, tensors, strict=True)]

    @property
    def left(self) -> int:
        """Number of bytes that are not yet read."""
        return self.size - self.at

    def array(self, number: int, *, data: bool) -> Tensor:
        """Read one array of any version."""
        begin = self.at
        (version,) = self.numbers("I")
        if version in {_V2, _V3}:
            (storage,) = self.numbers("i")
            if storage in _SPARSE:
                raise self.sparse(number, _SPARSE[storage], begin)
            if storage not in {0, -1}:
                raise self.damage(_("array {i} has the storage type {value}", i=number, value=storage), at=begin + 4)
            shape = self.shape(number, self.numbers("i")[0], "q")
        elif version == _V1:
            storage, shape = 0, self.shape(number, self.numbers("I")[0], "q")
        else:
            storage, shape = 0, self.shape(number, version, "I")
        if shape is None or (not shape and version != _V3):  # it had no shape when it was saved
            return torch.empty(0, device="cpu" if data else "meta")
        at = self.at
        device, _device_number, code = self.numbers("iii")
        if storage == -1 or device not in _DEVICES or not 0 <= code < len(_DTYPES):
            why = _("array {i} has the device {device} and the type {code}", i=number, device=device, code=code)
            raise self.damage(why, at=at)
        return self.values(number, shape, _DTYPES[code], data=data)

    def shape(self, number: int, axis_count: int, kind: str) -> tuple[int, ...] | None:
        """Read a shape whose axes are numbers of this kind; None if the number of axes is unknown."""
        if axis_count == -1:
            return None
        at = self.at - 4
        if not 0 <= axis_count <= _MAX_AXES:
            raise self.damage(_("array {i} states {n:,} axes", i=number, n=axis_count), at=at)
        shape = self.numbers(f"{axis_count}{kind}")
        if min(shape, default=0) < 0 or math.prod(max(n, 1) for n in shape) > _MAX_EMPTY:
            raise self.damage(_("array {i} states the shape {shape}", i=number, shape=shape), at=at)
        return shape

    def values(self, number: int, shape: tuple[int, ...], dtype: torch.dtype, *, data: bool) -> Tensor:
        """Read the values of an array, or skip them."""
        byte_count = math.prod(shape) * dtype.itemsize
        if byte_count > self.left:
            why = _(
                "array {i} of shape {shape} needs {n:,} bytes, and {left:,} are left",
                i=number,
                shape=shape,
                n=byte_count,
                left=self.left,
            )
            raise self.damage(why, at=self.at)
        self.at += byte_count
        if not data:
            self.file.seek(self.at)
            return torch.empty(shape, dtype=dtype, device="meta")
        content = torch.empty(byte_count, dtype=torch.uint8)
        if byte_count and self.file.readinto(content.numpy().data) < byte_count:
            raise self.damage(_("it has become shorter"), at=self.at)
        return (content != 0 if dtype == torch.bool else content.view(dtype)).reshape(shape)

    def name(self) -> str:
        """Read one name."""
        at = self.at
        (length,) = self.numbers("Q")
        if length > self.left:
            raise self.damage(_("a name of {n:,} bytes is stated, and {left:,} are left", n=length, left=self.left), at)
        try:
            return self.bytes(length).decode()
        except UnicodeDecodeError as error:
            raise self.damage(_("a name is not UTF-8"), at=at + 8) from error

    def numbers(self, kinds: str) -> tuple[Any, ...]:
        """Read numbers of the kinds of `struct`."""
        return struct.unpack(f"<{kinds}", self.bytes(struct.calcsize(f"<{kinds}")))

    def bytes(self, count: int) -> bytes:
        """Read this number of bytes."""
        content = self.file.read(count) if count <= self.left else b""
        if len(content) < count:
            raise self.damage(_("it ends where {n:,} more bytes are expected", n=count), at=self.at)
        self.at += count
        return content

    def damage(self, why: str, at: int) -> DataError:
        """Return the error for a file that is damaged at a byte."""
        return DataError(
            "CN305",
            _("the weights file is truncated or damaged"),
            where=str(self.path),
            why=_("at byte {at:,}: {why}", at=at, why=why),
            hint=_("copy or download the file again"),
        )

    def sparse(self, number: int, storage: str, at: int) -> DataError:
        """Return the error for an array that does not store all its values."""
        return DataError(
            "CN305",
            _("the weights file has an array of the storage type {storage}, which is not read", storage=storage),
            where=str(self.path),
            why=_("array {i} at byte {at:,} is sparse; only dense arrays are read", i=number, at=at),
            hint=_('in Python, with MXNet: save array.tostype("default") in its place'),
        )
