"""Reads the models of Keras 2 and 3 (.keras, .h5) without Keras, TensorFlow or h5py. Nothing in a file is run.

A .keras file is a zip archive of the configuration, in JSON, and the weights, in HDF5. A .h5 file has the configuration
as an attribute. Files of weights only (.weights.h5) lack it, and so do not tell how layers are connected.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from classicnets.errors import DataError
from classicnets.files import mapped
from classicnets.strict_json import parse
from classicnets.text import _, byte_count
from classicnets.text import shape as shape_text
from classicnets.weights import hdf5
from classicnets.weights.caffe_graph import Definition
from classicnets.weights.hdf5 import Array, Group
from classicnets.weights.keras_layers import translate
from classicnets.weights.keras_model import Model, model
from classicnets.weights.keras_nodes import Weight
from classicnets.weights.messages import MessageError

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MAX_BYTES = 4 * 2**30
_MAX_GROWTH = 3  # how many times as large as the archive its parts may be
_MAX_SMALL = 1 << 20  # bytes that a part may have in any case
_MAX_LISTED = 6  # arrays that an error lists
_LOCAL_HEADER = 30  # bytes before the name of a part in an archive
_DTYPES = {"f2": torch.float16, "f4": torch.float32, "f8": torch.float64, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class _Saved:
    """What a file of `size` bytes has: its configuration, None if it has none, and its groups of weights."""

    config: str | bytes | None
    root: Group
    size: int

    @property
    def weights(self) -> Group:
        """The group that has a group for each layer."""
        return self.root.group("model_weights") if "model_weights" in self.root.members else self.root


def sniff(file: IO[bytes]) -> bool:
    """Return whether an open file is in HDF5, or a zip archive of a Keras model."""
    file.seek(0)
    start = file.read(len(hdf5.SIGNATURE))
    if start[:2] != b"PK":
        return start == hdf5.SIGNATURE
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except Exception:  # damage anywhere in a file can raise any exception
        return False
    return _CONFIG in names and any(name.startswith("model.weights") for name in names)


def read(path: Path, *, data: bool) -> dict[str, Tensor]:
    """Read the weights of a model that was saved with its configuration.

    Args:
        path: a .keras or .h5 file.
        data: whether to read the values; otherwise the tensors are on the meta device and have only shapes.

    Returns:
        Tensors in torch's layout, named after the nodes of `graph`, such as "conv2d.weight". The weights of a dense
        layer are in the order of flattened channels, height and width.

    Raises:
        DataError: CN305 if the file is missing, damaged or too large, has no configuration, or has a layer that is not
            known, or weights of another shape than its configuration; with the layer or the byte.
    """
    with _explained(path):
        saved = _open(path)
        translation = translate(_model(saved))
        arrays = _arrays(saved, translation.weights)
        weights = zip(translation.weights, arrays, strict=True)
        return {weight.name: _tensor(weight, array, data=data) for weight, array in weights}


def graph(path: Path) -> Definition:
    """Read the network of a model that was saved with its configuration.

    Layers that do something only while training, other than dropout, are left out. Activations, and a padding that is
    larger at the end, become nodes of their own.

    Raises:
        DataError: CN305; see `read`.
    """
    with _explained(path):
        configured = _model(_open(path))
        translation = translate(configured)
        return Definition(name=configured.name, nodes=translation.nodes, input=translation.input)


# ---------------------------------------------------------------------------------------------------------------- file


def _open(path: Path) -> _Saved:
    """Open a file of either kind."""
    content = mapped(path)
    if len(content) > _MAX_BYTES:
        limit = byte_count(_MAX_BYTES)
        raise MessageError(
            _("it has {size}, more than the limit of {limit}", size=byte_count(len(content)), limit=limit)
        )
    if bytes(content[:2]) != b"PK":
        root = hdf5.read(content)
        attribute = root.attributes.get("model_config")
        return _Saved(attribute.text() if attribute else None, root, len(content))
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if _WEIGHTS not in names:
            what = _(
                "the archive has no {name}; weights in several files, or in those of NumPy, are not read", name=_WEIGHTS
            )
            raise MessageError(what, hint=_('in Python: save the model with model.save("model.keras")'))
        if len(set(names)) < len(names):
            raise MessageError(_("two parts of the archive have the same name"))
        part = _part(archive, _WEIGHTS, content)
        return _Saved(bytes(_part(archive, _CONFIG, content)), hdf5.read(part), len(part))


def _part(archive: zipfile.ZipFile, name: str, content: memoryview) -> memoryview:
    """A part of an archive: a view of the file if it is not compressed, as Keras writes it."""
    info = archive.getinfo(name)
    allowed = max(_MAX_GROWTH * len(content), _MAX_SMALL)
    if info.file_size > allowed:
        what = _(
            "{name} expands to {size}, more than {n} times the archive",
            name=name,
            size=byte_count(info.file_size),
            n=_MAX_GROWTH,
        )
        raise MessageError(what)
    if info.compress_type != zipfile.ZIP_STORED:
        with archive.open(info) as part:
            return memoryview(part.read(info.file_size))
    name_size, extra_size = struct.unpack_from("<HH", content, info.header_offset + 26)
    start = info.header_offset + _LOCAL_HEADER + name_size + extra_size
    view = content[start : start + info.file_size]
    if len(view) < info.file_size or zlib.crc32(view) != info.CRC:
        raise MessageError(_("{name} in the archive is truncated or damaged", name=name))
    return view


def _model(saved: _Saved) -> Model:
    """The model of a file. Raises MessageError if the file does not have it."""
    if saved.config is None:
        listed = [f"{name} {shape_text(array.shape)}" for name, array in saved.root.arrays()]
        if not listed:
            raise MessageError(_("the file is in HDF5, and is not one of Keras: it has neither a model nor arrays"))
        more = _(", and {n:,} more", n=len(listed) - _MAX_LISTED) if len(listed) > _MAX_LISTED else ""
        what = _(
            "the file has weights only, and does not tell how layers are connected: {names}{more}",
            names=", ".join(listed[:_MAX_LISTED]),
            more=more,
        )
        raise MessageError(what, hint=_('in Python: load them into the model, then model.save("model.keras")'))
    try:
        values = parse(saved.config)
    except ValueError as error:
        raise MessageError(_("the configuration of the model is damaged: {error}", error=error)) from error
    backend = saved.root.attributes.get("backend")
    if backend and backend.text() == "theano":
        what = _("the model was saved with Theano, whose convolutions flip their kernels")
        raise MessageError(what, hint=_("load and save it in Keras with TensorFlow"))
    return model(values)


# ------------------------------------------------------------------------------------------------------------- weights


def _arrays(saved: _Saved, weights: list[Weight]) -> list[Array | None]:
    """The array of each weight; None for a parameter that Keras leaves out.

    Raises MessageError if an array is missing, or has another shape or no numbers.
    """
    groups = _groups(saved.weights)
    arrays: list[Array | None] = []
    for weight in weights:
        if not weight.source:
            arrays.append(None)
            continue
        array, layer, source = _array(saved.weights, groups, weight), weight.layer, weight.source
        if array is None:
            raise layer.problem(_("the file has no {source} of it", source=source))
        if array.shape != weight.shape:
            fields = {"source": source, "shape": shape_text(array.shape), "needed": shape_text(weight.shape)}
            raise layer.problem(_("{source} is {shape} in the file, and {needed} in the configuration", **fields))
        if _dtype(array) is None:
            raise layer.problem(_("{source} is not of floating-point numbers", source=source))
        arrays.append(array)
    if sum(len(array.content) for array in arrays if array) > saved.size:
        raise MessageError(_("the file is damaged: its arrays overlap"))
    return arrays


def _groups(weights: Group) -> dict[str, Group]:
    """The groups of layers in a file of Keras 3, by their own names, and by those of their layers if the file has them.

    They are in layers/ or, before Keras 2.13, in a group of another name.
    """
    groups: dict[str, Group] = {}
    named: dict[str, Group] = {}
    for member in weights.members.values():
        for name, group in member.members.items() if isinstance(member, Group) else ():
            if isinstance(group, Group) and "vars" in group.members:
                groups.setdefault(name, group.group("vars"))
                stated = group.group("vars").attributes.get("name")
                if stated and (layer_name := stated.text()):
                    named[f"name:{layer_name}"] = group.group("vars")
    return groups | named


def _array(weights: Group, groups: dict[str, Group], weight: Weight) -> Array | None:
    """The array of a weight: by its number in files of Keras 3, else by its name, such as conv2d/kernel:0."""
    layer = weight.layer
    group = groups.get(f"name:{layer.name}") or groups.get(layer.group)
    if group is not None:
        array = group.members.get(str(weight.position))
        return array if isinstance(array, Array) else None
    for path, array in weights.group(layer.name).arrays():
        if path.rpartition("/")[2].partition(":")[0] == weight.source:
            return array
    return None


def _dtype(array: Array) -> torch.dtype | None:
    """The type of an array of floating-point numbers. Keras writes bfloat16 as two bytes with an attribute."""
    stated = array.attributes.get("dtype")
    if array.type.size == 2 and stated and stated.text() == "bfloat16":
        return torch.bfloat16
    return _DTYPES.get(array.type.name.lstrip("<>"))


def _tensor(weight: Weight, array: Array | None, *, data: bool) -> Tensor:
    """The tensor of a weight in torch's layout."""
    if array is None:
        constant = torch.full(weight.shape, weight.constant)
        return constant if data else constant.to("meta")
    dtype = _dtype(array)
    if data:
        values = array.values()
        native = np.array(values, dtype=values.dtype.newbyteorder("="))
        tensor = (
            torch.from_numpy(native.view("u2")).view(torch.bfloat16)
            if dtype == torch.bfloat16
            else torch.from_numpy(native)
        )
    else:
        tensor = torch.empty(weight.shape, dtype=dtype, device="meta")
    return _arranged(weight, tensor).contiguous()


def _arranged(weight: Weight, tensor: Tensor) -> Tensor:
    """Turn Keras' order of axes into that of torch; undo the order in which an image was flattened."""
    if weight.kind == "conv":
        return tensor.permute(3, 2, 0, 1)
    image = weight.flat_from
    if weight.kind == "dense":
        if image:
            tensor = tensor.reshape(*image, -1).permute(2, 0, 1, 3).flatten(0, 2)
        return tensor.t()
    return tensor.reshape(image).permute(2, 0, 1).flatten() if image else tensor.flatten()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors into the one that users see."""
    try:
        yield
    except MessageError as error:
        where = _("{path}, {place}", path=path, place=error.at) if error.at else str(path)
        what = _("the Keras file cannot be used")
        raise DataError("CN305", what, where=where, why=error.what, hint=error.hint or ()) from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, struct.error) as error:
        what, reason = _("the weights file is truncated or damaged"), " ".join(str(error).split())
        hint = _("copy or download the file again")
        raise DataError("CN305", what, where=str(path), why=reason[:300], hint=hint) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError("CN305", _("the file cannot be opened"), where=str(path), why=why) from error
