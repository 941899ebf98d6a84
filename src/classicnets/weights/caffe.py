"""Reads the files of Caffe: weights (.caffemodel), definitions of networks (.prototxt) and mean images (.binaryproto).

Nothing in a file is run, and neither Caffe nor protobuf is needed.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from classicnets.errors import DataError
from classicnets.text import _, byte_count
from classicnets.weights import caffe_tensors, prototxt, wire
from classicnets.weights.caffe_graph import Definition, definition
from classicnets.weights.caffe_layers import layers
from classicnets.weights.caffe_schema import BLOB, NET
from classicnets.weights.messages import Message, MessageError

_MAX_BYTES = 2**31  # of a message, in Protocol Buffers
_MAX_TEXT_BYTES = 16 * 2**20


def is_model(content: memoryview) -> bool:
    """Return whether the bytes of a file begin as those of a .caffemodel, which has no magic number."""
    return wire.starts_as(content, NET, within=("layer", "layers"))


def read(path: Path, *, data: bool) -> dict[str, Tensor]:
    """Read the weights of a .caffemodel.

    Args:
        path: the file.
        data: whether to read the values; otherwise the tensors are on the meta device and have only shapes.

    Returns:
        float32 or float64 tensors in torch's layout, such as "conv1.weight" and "conv1.bias". A BatchNorm layer has
        "running_mean" and "running_var".

    Raises:
        DataError: CN305 if the file is missing, damaged or too large, or has no weights; with the layer and the byte.
    """
    with _content(path) as content, _explained(path):
        tensors = caffe_tensors.tensors(layers(wire.read(content, NET)), data=data)
        if not tensors:
            raise MessageError(_("the file has no weights"), hint=_("use the .caffemodel of the network"))
        return tensors


def graph(path: Path) -> Definition:
    """Read the network that a .prototxt defines, or the definition inside a .caffemodel.

    The network is the one for testing: layers for training only, losses and measures are left out.

    Raises:
        DataError: CN305 if the file is missing, damaged or too large, or defines no network, or a network with layers
            that are not known; with the layer and its line or byte.
    """
    with _content(path) as content, _explained(path):
        return definition(wire.read(content, NET) if is_model(content) else _read_text(content))


def mean(path: Path) -> Tensor:
    """Read a mean image [C, H, W] from a .binaryproto, with the channels in the order of the network's input.

    Raises:
        DataError: CN305 if the file is missing, damaged or too large, or no mean image.
    """
    with _content(path) as content, _explained(path):
        if is_model(content):
            raise MessageError(_("the file is a network of Caffe, not a mean image"))
        try:
            blob = wire.read(content, BLOB)
        except MessageError as error:
            what = _("the file is not a mean image of Caffe, or is damaged: {what}", what=error.what)
            raise MessageError(what, error.at) from error
        if "data" not in blob and "double_data" not in blob:
            raise MessageError(_("the file is not a mean image of Caffe"))
        return caffe_tensors.image(blob)


@contextmanager
def _content(path: Path) -> Iterator[memoryview]:
    """The bytes of a file, which are read when they are used. Raises DataError CN305."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError("CN305", _("the file cannot be opened"), where=str(path), why=why) from error
    if size > _MAX_BYTES:
        what = _(
            "the file has {size}, more than the limit of {limit}", size=byte_count(size), limit=byte_count(_MAX_BYTES)
        )
        raise DataError("CN305", what, where=str(path))
    yield memoryview(mapped)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn a MessageError into the error that users see."""
    try:
        yield
    except MessageError as error:
        where = _("{path}, {place}", path=path, place=error.at) if error.at else str(path)
        what = _("the Caffe file cannot be used")
        raise DataError("CN305", what, where=where, why=error.what, hint=error.hint or ()) from error


def _read_text(content: memoryview) -> Message:
    if len(content) > _MAX_TEXT_BYTES:
        raise MessageError(
            _(
                "a definition of {size} is longer than the limit of {limit}",
                size=byte_count(len(content)),
                limit=byte_count(_MAX_TEXT_BYTES),
            )
        )
    data = bytes(content)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = _("the file is neither a network of Caffe in text nor one in its binary form")
        raise MessageError(what, _("line {n}", n=line)) from error
    return prototxt.read(text, NET)
