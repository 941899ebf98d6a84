"""Tensors from the blobs of Caffe's layers, in torch's shapes."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classicnets.text import _
from classicnets.text import shape as shape_text
from classicnets.weights.caffe_layers import Layer
from classicnets.weights.messages import Message, MessageError

_MAX_AXES = 32  # Caffe's own limit
_LEGACY = ("num", "channels", "height", "width")
_VECTORS = {"BatchNorm", "PReLU", "Scale"}  # types whose blobs have one axis, as all biases have
_NAMES = {"PReLU": ("weight",), "BatchNorm": ("running_mean", "running_var", "factor")}


def tensors(all_layers: list[Layer], *, data: bool) -> dict[str, Tensor]:
    """Return the weights of layers by name, such as "conv1.weight" and "conv1.bias".

    A BatchNorm layer gives running_mean and running_var, divided by the third blob that Caffe stores with them.

    Args:
        all_layers: layers of a file of weights.
        data: whether to read the values; otherwise the tensors are on the meta device and have only shapes.

    Raises:
        MessageError: a blob contradicts its shape, or two layers have the same name.
    """
    result: dict[str, Tensor] = {}
    for layer in all_layers:
        if not layer.blobs:
            continue
        names = _NAMES.get(layer.type, ("weight", "bias"))
        named = {
            f"{layer.name}.{names[i] if i < len(names) else f'blob{i}'}": _tensor(layer, i, blob, data=data)
            for i, blob in enumerate(layer.blobs)
        }
        if layer.type == "BatchNorm":
            named = _statistics(layer, named)
        if any(name in result for name in named):
            raise layer.problem(_("there is another layer with weights that has this name"))
        result |= named
    return result


def image(blob: Message) -> Tensor:
    """Return a mean image [C, H, W] from a blob [1, C, H, W] or [C, H, W]. Raises MessageError for another shape."""
    shape = _shape(blob)
    values = _values(blob, shape)
    image_shape = shape[1:] if len(shape) == len(_LEGACY) and shape[0] == 1 else shape
    if len(image_shape) != len(_LEGACY) - 1:
        raise MessageError(
            _("the shape {shape} is not that of one image: channels, height and width", shape=shape_text(shape)),
            blob.place(),
        )
    return _copied(values, image_shape)


def _statistics(layer: Layer, named: dict[str, Tensor]) -> dict[str, Tensor]:
    """The statistics of a BatchNorm layer; Caffe stores sums, and the factor to divide them by."""
    if len(named) != len(_NAMES["BatchNorm"]):
        raise layer.problem(_("it has {n} blobs instead of 3: mean, variance and factor", n=len(named)))
    mean, variance, factor = named.values()
    if factor.numel() != 1 or mean.shape != variance.shape:
        raise layer.problem(_("the shapes of mean, variance and factor do not belong together"))
    if not factor.is_meta:
        scale = torch.zeros_like(factor) if factor == 0 else 1 / factor
        mean, variance = mean * scale, variance * scale
    names = list(named)
    return {names[0]: mean, names[1]: variance}


def _tensor(layer: Layer, i: int, blob: Message, *, data: bool) -> Tensor:
    try:
        shape = _shape(blob)
        values = _values(blob, shape)
    except MessageError as error:
        raise MessageError(
            _("layer {name}, blob {i}: {what}", name=layer.name or "''", i=i, what=error.what), error.at
        ) from error
    if layer.type == "InnerProduct" and i == 0:
        if len(shape) == len(_LEGACY) and shape[:2] == (1, 1):  # before shapes had fewer axes
            shape = shape[2:]
    elif (i == 1 or layer.type in _VECTORS) and max(shape, default=1) == math.prod(shape):
        shape = (math.prod(shape),)  # a bias was (1, 1, 1, out)
    is_transposed = layer.type == "InnerProduct" and i == 0 and layer.settings.one("transpose", False)
    if not data:
        dtype = torch.float64 if values[0].itemsize == 8 else torch.float32
        return torch.empty(shape[::-1] if is_transposed else shape, dtype=dtype, device="meta")
    tensor = _copied(values, shape)
    return tensor.T.contiguous() if is_transposed else tensor


def _shape(blob: Message) -> tuple[int, ...]:
    """The shape of a blob: of any number of axes or, before 2015, of four."""
    if any(name in blob for name in _LEGACY):
        sizes = [blob.one(name, 0) for name in _LEGACY]
    else:
        sizes = blob.message("shape").all("dim")
    if len(sizes) > _MAX_AXES:
        raise MessageError(
            _("a blob has {n} axes, and Caffe allows {most}", n=len(sizes), most=_MAX_AXES), blob.place()
        )
    if any(n < 1 for n in sizes):
        raise MessageError(_("a blob has the shape {shape}", shape=shape_text(sizes)), blob.place())
    return tuple(sizes)


def _values(blob: Message, shape: tuple[int, ...]) -> list[NDArray[np.floating]]:
    """The numbers of a blob, in pieces, as many as its shape says."""
    pieces: list[NDArray[np.floating]] = blob.all("double_data") or blob.all("data") or [np.zeros(0, "<f4")]
    count = sum(len(piece) for piece in pieces)
    if count != math.prod(shape):
        raise MessageError(
            _("a blob has the shape {shape} and {n:,} numbers", shape=shape_text(shape), n=count), blob.place()
        )
    return pieces


def _copied(pieces: list[NDArray[np.floating]], shape: tuple[int, ...]) -> Tensor:
    """A tensor of its own memory: the views of the file are not aligned, and end with it."""
    values = np.empty(sum(len(piece) for piece in pieces), pieces[0].dtype.newbyteorder("="))
    return torch.from_numpy(np.concatenate(pieces, out=values).reshape(shape))
