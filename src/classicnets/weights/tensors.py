"""Tensors in files of torch.save: a zip archive or, before torch 1.6, one stream."""

from __future__ import annotations

import io
import mmap
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, NamedTuple, cast

import torch
from torch import Tensor

from classicnets.text import _
from classicnets.weights.pickles import Made, Name, Reference, read_pickle, walk, walk_places

_STREAM_START = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # its first value
_MAX_DENSE_BYTES = 2**30  # of a sparse tensor
_MAX_MODULES = 100_000
_MAX_DEPTH = 100  # of modules in modules
_MAX_STATE_DICTS = 20
_MAX_PATH = 8  # keys that lead to a state dict
_AVERAGES = {"ema", "averaged", "swa"}  # parts of the keys of averages of weights
_TORCH_DTYPES = {str(v).removeprefix("torch."): v for v in vars(torch).values() if isinstance(v, torch.dtype)}
_STORAGE_DTYPES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool, "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64,
    "QInt8": torch.int8, "QUInt8": torch.uint8, "QInt32": torch.int32, "Untyped": torch.uint8,
}  # fmt: skip


_TENSOR_MAKERS = {
    f"torch._{module}._rebuild_{kind}"
    for module in ("utils", "tensor")
    for kind in (
        *("tensor", "tensor_v2", "tensor_v3", "parameter", "parameter_with_state"),
        *("qtensor", "sparse_tensor", "from_type_v2"),
    )
}
_LAYOUTS = {
    "sparse_csr": torch.sparse_csr,
    "sparse_csc": torch.sparse_csc,
    "sparse_bsr": torch.sparse_bsr,
    "sparse_bsc": torch.sparse_bsc,
}


class StateDict(NamedTuple):
    """A state dict in a file: the keys that lead to it, and the records of its tensors by name."""

    path: tuple[str, ...]
    records: dict[str, Any]


class Content:
    """The content of a file: a tree of plain values (see `pickles`), and the storages of its tensors.

    `storage` returns the bytes of a storage by key and is called only for tensors that are read; `sizes` has their
    numbers of bytes.
    """

    def __init__(self, tree: Any, sizes: Mapping[str, int], storage: Callable[[str], bytes]) -> None:
        self.tree, self.sizes, self.storage = tree, sizes, storage
        self.cache: dict[str, bytearray] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the records of the first of `state_dicts`; {} if there is none."""
        return next((each.records for each in self.state_dicts()), {})

    def state_dicts(self) -> list[StateDict]:
        """Return the state dicts of the file, however deeply they are nested; the one to use is the first.

        It is the one with the most weights and biases, rather not an average of weights (EMA). A module that was saved
        as a whole gives the tensors that its state dict would have.
        """
        found: list[tuple[tuple[Any, ...], int, dict[str, Any]]] = []
        places: list[tuple[int, str]] = []
        averaged: list[bool] = []
        inside: list[bool] = []  # of a module or of an optimizer, which are one
        for number, (value, parent, key) in enumerate(walk_places(self.tree)):
            places.append((parent, key))
            averaged.append((parent >= 0 and averaged[parent]) or not _AVERAGES.isdisjoint(key.lower().split("_")))
            tensors: dict[str, Any] = {}
            if isinstance(value, dict):
                tensors = {key: v for key, v in value.items() if isinstance(key, str) and is_tensor(v)}
            is_part = parent >= 0 and inside[parent]
            if is_module(value) and not is_part:
                tensors = _module_tensors(value)
            inside.append(is_part or is_module(value) or is_optimizer(value))
            if tensors:
                weights, others = _weight_count(tensors)
                order = (is_part, -weights, averaged[number], 0 if weights else -others)
                found.append((order, number, tensors))
        found.sort(key=lambda each: each[:2])
        used = [each for each in found if not each[0][0]] or found[:1]
        return [StateDict(_path(places, number), tensors) for _order, number, tensors in used[:_MAX_STATE_DICTS]]

    def read(self, record: Made, *, data: bool) -> Tensor:
        """Return the tensor of a record, dense and in its own memory layout; without `data` on the meta device.

        Raises:
            ValueError: The record contradicts itself or the file.
        """
        try:
            return self._read(record, data=data)
        except (TypeError, KeyError, IndexError, RuntimeError, OverflowError, AttributeError) as error:
            raise ValueError(_("a tensor is damaged: {error}", error=error)) from error

    def _read(self, record: Made, *, data: bool) -> Tensor:
        kind, arguments = record.name.rpartition(".")[2], record.arguments
        for _level in range(4):  # a parameter around a subclass around a tensor
            if kind in {"_rebuild_parameter", "_rebuild_parameter_with_state"}:
                record = arguments[0]
            elif kind == "_rebuild_from_type_v2":
                record = Made(arguments[0], arguments[2])
            else:
                break
            kind, arguments = record.name.rpartition(".")[2], record.arguments
        if kind == "_rebuild_sparse_tensor":
            return self._sparse(*arguments, data=data)
        tensor = self._strided(arguments, dtype=arguments[6] if kind == "_rebuild_tensor_v3" else None, data=data)
        return self._dequantized(tensor, arguments[4]) if kind == "_rebuild_qtensor" and data else tensor

    def _strided(self, arguments: Any, *, dtype: Name | None, data: bool) -> Tensor:
        reference, offset, size, stride = arguments[:4]
        key, stored_as, view_offset = _storage_of(reference)
        torch_dtype = stored_as if dtype is None else _TORCH_DTYPES[dtype.text.removeprefix("torch.")]
        size, stride, offset = _integers(size), _integers(stride), *_integers((offset + view_offset,))
        if len(size) != len(stride):
            raise ValueError(_("a tensor has {n} strides for {size}", n=len(stride), size=size))
        if 0 not in size:
            last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
            if (last + 1) * torch_dtype.itemsize > self.sizes[key]:
                raise ValueError(_("a tensor is larger than its storage"))
        if not data or 0 in size:
            return torch.empty(size, dtype=torch_dtype, device="cpu" if data else "meta")
        if key not in self.cache:
            self.cache[key] = bytearray(self.storage(key))
        content = self.cache[key]
        count = len(content) // torch_dtype.itemsize
        return torch.frombuffer(content, dtype=torch_dtype, count=count).as_strided(size, stride, offset)

    def _sparse(self, layout: Any, parts: Any, *, data: bool) -> Tensor:
        name = layout.arguments[0] if isinstance(layout, Made) else layout.text
        name = str(name).removeprefix("torch.")
        shape = _integers(parts[2] if name == "sparse_coo" else parts[3])
        values = self._read(parts[1] if name == "sparse_coo" else parts[2], data=data)
        if not data:
            return torch.empty(shape, dtype=values.dtype, device="meta")
        if torch.Size(shape).numel() * values.dtype.itemsize > _MAX_DENSE_BYTES:
            raise ValueError(_("a sparse tensor is too large"))
        if name == "sparse_coo":
            indices = self._read(parts[0], data=True)
            return torch.sparse_coo_tensor(indices, values, shape, check_invariants=True).to_dense()
        compressed, plain = self._read(parts[0], data=True), self._read(parts[1], data=True)
        options: dict[str, Any] = {"layout": _LAYOUTS[name], "check_invariants": True}
        return torch.sparse_compressed_tensor(compressed, plain, values, shape, **options).to_dense()

    def _dequantized(self, tensor: Tensor, parameters: Any) -> Tensor:
        _scheme, scale, zero, *axis = parameters
        if not axis:
            return (tensor.float() - float(zero)) * float(scale)
        shape = [-1 if i == axis[0] else 1 for i in range(tensor.dim())]
        scales, zeros = (self._read(part, data=True).view(shape) for part in (scale, zero))
        return ((tensor.double() - zeros) * scales).float()


def is_tensor(value: Any) -> bool:
    """Return whether a value is the record of a tensor."""
    return isinstance(value, Made) and value.name in _TENSOR_MAKERS


def read_zip(archive: zipfile.ZipFile) -> Content:
    """Read an archive of torch.save, whose data.pkl is in a folder. Raises ValueError, BadZipFile."""
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError(_("the archive is compressed, which torch.save never does"))
    root = next(entry.filename for entry in entries if entry.filename.endswith("/data.pkl")).removesuffix("/data.pkl")
    byte_order = f"{root}/byteorder"
    if byte_order in archive.namelist() and archive.read(byte_order).strip() != b"little":
        raise ValueError(_("the numbers are big-endian"))
    tree = read_pickle(io.BytesIO(archive.read(f"{root}/data.pkl")))
    prefix = f"{root}/data/"
    sizes = {e.filename.removeprefix(prefix): e.file_size for e in entries if e.filename.startswith(prefix)}
    return Content(tree, sizes, lambda key: archive.read(prefix + key))


def is_stream(start: bytes) -> bool:
    """Return whether a file with this start has the format of torch.save before torch 1.6."""
    return start[2 : 2 + len(_STREAM_START)] == _STREAM_START


def read_stream(file: mmap.mmap) -> Content:
    """Read the format of torch.save before torch 1.6: pickles, then the bytes of all storages. Raises ValueError."""
    stream = cast(IO[bytes], file)
    _magic, _protocol, system, tree, keys = (read_pickle(stream) for _i in range(5))
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise ValueError(_("the numbers are big-endian"))
    dtypes = {}
    for value in walk(tree):
        if isinstance(value, Reference) and isinstance(value.key, tuple) and value.key[:1] == ("storage",):
            key, dtype, _offset = _storage_of(value)
            dtypes[key] = dtype
    places: dict[str, slice] = {}
    for key in keys:
        count = file.read(8)
        size = int.from_bytes(count, "little") * dtypes[key].itemsize
        start = file.tell()
        if len(count) < 8 or size > len(file) - start:
            raise ValueError(_("the file is truncated"))
        places[key] = slice(start, start + size)
        file.seek(start + size)
    sizes = {key: place.stop - place.start for key, place in places.items()}
    return Content(tree, sizes, lambda key: file[places[key]])


def _storage_of(reference: Any) -> tuple[str, torch.dtype, int]:
    """The key, element type and offset, in elements, of the storage that a tensor refers to."""
    if not isinstance(reference, Reference):  # pickle.dump() puts the storage itself there, as another file
        raise ValueError(_("it was not written by torch.save"))
    _kind, storage_type, key, _location, _count, *view = reference.key
    dtype = _STORAGE_DTYPES[storage_type.text.rpartition(".")[2].removesuffix("Storage")]
    return str(key), dtype, int(view[0][1]) if view and view[0] else 0


def _integers(values: Any) -> tuple[int, ...]:
    """Check sizes, strides or an offset: integers from 0 on."""
    if isinstance(values, Made):  # torch.Size
        values = values.arguments[0]
    if not all(type(value) is int and value >= 0 for value in values):
        raise ValueError(_("a tensor has the size or stride {value}", value=values))
    return tuple(values)


def is_optimizer(value: Any) -> bool:
    """Return whether a value is the state of an optimizer."""
    return isinstance(value, dict) and isinstance(value.get("param_groups"), list) and "state" in value


def is_module(value: Any) -> bool:
    """Return whether a value is a module that was saved as a whole."""
    return isinstance(value, Made) and isinstance(value.state, dict) and "_parameters" in value.state


def _module_tensors(module: Made) -> dict[str, Made]:
    """The records of the parameters and persistent buffers of a saved module, by their names in its state dict."""
    tensors: dict[str, Made] = {}
    modules = [("", module, 0)]
    for prefix, made, depth in modules:  # grows in the loop
        state = made.state
        not_saved = state.get("_non_persistent_buffers_set") or ()
        not_saved = not_saved.arguments[0] if isinstance(not_saved, Made) else not_saved  # a set is made from a list
        for name, value in {**state["_parameters"], **(state.get("_buffers") or {})}.items():
            if is_tensor(value) and name not in not_saved:
                tensors[f"{prefix}{name}"] = value
        for name, child in (state.get("_modules") or {}).items():
            if is_module(child):
                modules.append((f"{prefix}{name}.", child, depth + 1))
        if depth > _MAX_DEPTH or len(modules) > _MAX_MODULES:
            raise ValueError(_("the module contains too many modules"))
    return tensors


def _path(places: Sequence[tuple[int, str]], number: int) -> tuple[str, ...]:
    """The keys that lead to an object, at most the last few."""
    keys: list[str] = []
    while number >= 0 and len(keys) < _MAX_PATH:
        number, key = places[number]
        keys += [key] if key else []
    return tuple(reversed(keys))


def _weight_count(tensors: Mapping[str, Any]) -> tuple[int, int]:
    """Number of weights and biases, then of all tensors."""
    return sum(name.endswith(("weight", "bias")) for name in tensors), len(tensors)
