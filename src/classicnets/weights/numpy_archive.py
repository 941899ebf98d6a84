"""Reads archives of NumPy arrays (.npz), which MXNet 2 writes as .params files. Python objects in them are refused."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch
from numpy.lib import format as npy
from torch import Tensor

from classicnets.errors import DataError
from classicnets.text import _, byte_count

_SUFFIX = ".npy"
_MAX_ARRAYS = 10_000
_MAX_GROWTH = 3  # how many times as large as the file its contents may be
_MAX_SMALL = 1 << 16  # bytes that contents may have in any case
_MAX_HEADER = 1000  # characters; NumPy's own have 118, and MXNet has at most 32 axes
_MAX_AXES = 32
_HEADERS = {  # by the version of the format; the third allows other letters in the names of fields
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
    (3, 0): npy.read_array_header_2_0,
}
_MAX_EMPTY = 2**40  # product of the axes of an array without elements, other than 0
_CHUNK = 1 << 20
_BFLOAT16 = [("bfloat16", "<u2")]  # as MXNet writes the type
_DTYPES: dict[str, torch.dtype] = {
    "f2": torch.float16, "f4": torch.float32, "f8": torch.float64, "b1": torch.bool,
    "i1": torch.int8, "i2": torch.int16, "i4": torch.int32, "i8": torch.int64,
    "u1": torch.uint8, "u2": torch.uint16, "u4": torch.uint32, "u8": torch.uint64,
}  # fmt: skip


def sniff(file: IO[bytes]) -> bool:
    """Return whether an open file is a zip archive of nothing but NumPy arrays."""
    file.seek(0)
    if file.read(2) != b"PK":
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except Exception:  # damage anywhere in a file can raise any exception
        return False
    return bool(names) and all(name.endswith(_SUFFIX) for name in names)


def read(path: Path, file: IO[bytes], *, data: bool) -> Iterator[tuple[str, Tensor]]:
    """Yield the names and tensors of an archive, without ".npy".

    Args:
        path: the file, for messages.
        file: the open file.
        data: whether to read the values; otherwise the tensors are on the meta device and have only shapes.

    Raises:
        DataError: CN305 if the archive is damaged or expands to a multiple of its size, or if an array is sparse, or of
            Python objects, text or another type that torch does not have.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            size, allowed = sum(entry.file_size for entry in entries), _MAX_GROWTH * path.stat().st_size
            if len(entries) > _MAX_ARRAYS:
                raise ValueError(_("it has {n:,} arrays; allowed are {most:,}", n=len(entries), most=_MAX_ARRAYS))
            if len({entry.filename for entry in entries}) < len(entries):
                raise ValueError(_("two arrays have the same name"))
            if size > max(allowed, _MAX_SMALL):
                raise _refused(
                    path,
                    _(
                        "the archive expands to {size}, more than {n} times its size",
                        size=byte_count(size),
                        n=_MAX_GROWTH,
                    ),
                    _("in Python: save it with numpy.savez, which does not compress"),
                )
            for entry in entries:
                name = entry.filename.removesuffix(_SUFFIX)
                if name.endswith("/format"):  # of MXNet and of SciPy
                    raise _refused(
                        path,
                        _("the array {name!r} is sparse; only dense arrays are read", name=name[:-7][:80]),
                        _('in Python, with MXNet: save array.tostype("default") in its place'),
                    )
                with archive.open(entry) as stream:
                    yield name, _array(path, name, stream, entry.file_size, data=data)
    except DataError:
        raise
    except Exception as error:  # damage anywhere in a file can raise any exception
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            "CN305",
            _("the weights file is truncated or damaged"),
            where=str(path),
            why=reason[:300],
            hint=_("copy or download the file again"),
        ) from error


def _array(path: Path, name: str, stream: IO[bytes], size: int, *, data: bool) -> Tensor:
    """Read one array from its own file in the archive, of this size."""
    try:
        read_header = _HEADERS[npy.read_magic(stream)]
        with warnings.catch_warnings(action="ignore"):  # a header of Python 2
            shape, is_fortran, dtype = read_header(stream, max_header_size=_MAX_HEADER)
    except zipfile.BadZipFile:
        raise
    except Exception as error:  # NumPy parses the header as a literal of Python
        raise ValueError(_("the header of the array {name!r} is damaged", name=name[:80])) from error
    torch_dtype = torch.bfloat16 if dtype.descr == _BFLOAT16 else _DTYPES.get(dtype.str[1:])
    if torch_dtype is None:
        kind = _("Python objects") if dtype.hasobject else str(dtype)[:80]
        raise _refused(
            path,
            _("the array {name!r} has the type {kind}; only numbers are read", name=name[:80], kind=kind),
            _("in Python: load it with NumPy, and save the other arrays with numpy.savez"),
        )
    if len(shape) > _MAX_AXES or math.prod(max(n, 1) for n in shape) > _MAX_EMPTY or min(shape, default=0) < 0:
        raise ValueError(_("the array {name!r} has the shape {shape}", name=name[:80], shape=shape))
    needed, present = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if needed != present:
        fields: dict[str, Any] = {"name": name[:80], "shape": shape, "n": needed, "m": present}
        raise ValueError(_("the array {name!r} of shape {shape} needs {n:,} bytes and has {m:,}", **fields))
    if not data:
        return torch.empty(shape, dtype=torch_dtype, device="meta")
    content = torch.empty(needed, dtype=torch.uint8)
    _fill(content, stream, name)
    if dtype.byteorder == ">":
        content.numpy().view(dtype).byteswap(inplace=True)
    tensor = content != 0 if torch_dtype == torch.bool else content.view(torch_dtype)
    if is_fortran:
        return tensor.reshape(shape[::-1]).permute(*reversed(range(len(shape)))).contiguous()
    return tensor.reshape(shape)


def _fill(content: Tensor, stream: IO[bytes], name: str) -> None:
    """Read bytes into a tensor, in small pieces, up to the end, where zipfile compares the checksum."""
    target, at = content.numpy().data, 0
    while piece := stream.read(_CHUNK):
        target[at : at + len(piece)] = piece
        at += len(piece)
    if at < len(target):
        raise ValueError(_("the array {name!r} is truncated", name=name[:80]))


def _refused(path: Path, why: str, hint: str) -> DataError:
    return DataError("CN305", _("the archive of NumPy arrays cannot be read"), where=str(path), why=why, hint=hint)
