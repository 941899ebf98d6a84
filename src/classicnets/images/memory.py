"""Images in memory as image files: arrays, tensors, PIL images, bytes and open files.

All of them go through the reader of files, so that their predictions are those of the same image saved as PNG.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from classicnets.errors import DataError
from classicnets.text import _, shape

_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
_CHANNELS = (1, 3, 4)  # gray, color, color with transparency


def encode(value: Any) -> Iterator[io.BytesIO]:
    """Yield the image files that an object stands for: one, or one for each image of a batch.

    Arrays and tensors are uint8: [H, W], [H, W, C], [C, H, W], or a batch of the latter two, [N, ...], with 1, 3 or 4
    channels C. If both fit, channels are last.

    Raises:
        DataError: CN304, the object is not an image.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        yield io.BytesIO(bytes(value))
    elif isinstance(value, Image.Image):
        yield _png(_upright(value))
    elif isinstance(value, torch.Tensor):
        yield from _pixels(value.detach().cpu().numpy() if value.dtype is torch.uint8 else value)
    elif isinstance(value, np.ndarray):
        yield from _pixels(value)
    elif callable(getattr(value, "read", None)):
        content = value.read()
        if not isinstance(content, bytes):
            raise _refused(_("the file is open as text; open it in mode 'rb'"), value)
        yield io.BytesIO(content)
    else:
        raise _refused(
            _("images are paths, uint8 arrays or tensors, PIL images, bytes, open files, or lists of these"), value
        )


def _pixels(values: Any) -> Iterator[io.BytesIO]:
    """The files of an array; `values` is a tensor if it is not uint8."""
    found = _("{type} of {dtype}, {shape}", type=type(values).__name__, dtype=values.dtype, shape=shape(values.shape))
    if values.dtype != np.uint8:
        raise _refused(
            _("pixels are uint8, from 0 to 255; other numbers could mean several scales"),
            values,
            found,
            hint="(255 * x).round().astype(numpy.uint8)   # if x is from 0 to 1",
        )
    images = list(values) if values.ndim == 4 else [values]
    if not values.size or values.ndim not in {2, 3, 4}:
        raise _refused(_("an image has the shape [H, W], [H, W, C] or [C, H, W]"), values, found)
    for image in images:
        if image.ndim == 3 and image.shape[2] not in _CHANNELS and image.shape[0] not in _CHANNELS:
            raise _refused(_("an image has 1, 3 or 4 channels; a batch of gray ones is [N, 1, H, W]"), values, found)
        yield _png(Image.fromarray(np.ascontiguousarray(_channels_last(image))))


def _channels_last(image: np.ndarray) -> np.ndarray:
    """[H, W] or [H, W, C] of an image in any of the accepted shapes."""
    if image.ndim == 3 and image.shape[2] not in _CHANNELS:
        image = image.transpose(1, 2, 0)
    return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image


def _upright(image: Image.Image) -> Image.Image:
    try:
        upright = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _refused(str(error), image) from error
    if upright.mode == "RGBa":
        return upright.convert("RGBA")
    if upright.mode in {"CMYK", "YCbCr", "HSV", "LAB", "RGBX"}:
        return upright.convert("RGB")
    if upright.mode not in _PNG_MODES:
        raise _refused(
            _("its pixels are not in 0 to 255, so it is not known which value is white"), image, repr(image.mode)
        )
    return upright


def _png(image: Image.Image) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file


def _refused(why: str, value: object, found: str = "", hint: str = "") -> DataError:
    return DataError(
        "CN304",
        _("this is not an image: {type}", type=type(value).__name__),
        where=found,
        why=why,
        hint=hint,
    )
