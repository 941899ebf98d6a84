"""Decodes image files to uint8 arrays. `read_fitted` defines how training, evaluation and prediction see a file."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageChops, ImageOps, UnidentifiedImageError

from classicnets.errors import DataError
from classicnets.text import _, command
from classicnets.values import BLACK, Preprocess, fit_box, rgb

DECODER_VERSION = 1  # raise it whenever `read_fitted` returns other pixels, so that cached images are decoded again

_MIN_REDUCED_RATIO = 3  # a JPEG is decoded at 1/2, 1/4 or 1/8 if its sides then are at least this times the needed size
_SIXTEEN_BIT_FORMATS = {"PNG", "PPM"}  # Pillow reads their gray of more than 8 bits as 0..65535, whatever the mode


def read_image(file: str | Path | BinaryIO, channels: int, background: str = BLACK) -> np.ndarray:
    """Read an image file as uint8 [channels, H, W]; of an animation, its first frame.

    Applies the EXIF orientation. Transparent parts show `background`, a color "#rrggbb". 16-bit gray is scaled from
    0..65535 to 0..255.

    Raises:
        DataError: CN304 if the file is missing, empty, damaged, too large or not an image.
    """
    data = read_bytes(file)
    with _opened(BytesIO(data), file) as opened:
        return _decode(opened, data, channels, background)


class Header(NamedTuple):
    """What an image file's header says, before EXIF orientation; `channels` is 1 for gray, else 3."""

    channels: int
    height: int
    width: int
    has_transparency: bool


def read_header(path: str | Path) -> Header:
    """Read an image file's header; does not notice damage after it.

    Raises:
        DataError: CN304 as `read_image`.
    """
    with _opened(path, path) as opened:
        return Header(stored_channels(opened), opened.height, opened.width, opened.has_transparency_data)


def stored_channels(opened: Image.Image) -> int:
    """1 if the file format stores gray, else 3, even if all pixels are gray."""
    return 1 if opened.mode in {"1", "L", "LA"} or _is_deep(opened.mode) else 3


def read_fitted(file: str | Path | BinaryIO, preprocess: Preprocess) -> np.ndarray:
    """Read an image file as uint8 [channels, side, side], as training, evaluation and prediction see it.

    Raises:
        DataError: CN304 as `read_image`.
    """
    return fit_bytes(read_bytes(file), file, preprocess)[0]


def fit_bytes(data: bytes, file: str | Path | BinaryIO, preprocess: Preprocess) -> tuple[np.ndarray, bool]:
    """As `read_fitted`, for a file with the content `data`; also whether the image was square."""
    with _opened(BytesIO(data), file) as opened:
        square = opened.width == opened.height
        image = _decode_reduced(opened, preprocess)
        if image is None:
            pixels = _decode(opened, data, preprocess.channels, preprocess.background)
            image = fit_image(pixels, preprocess.side, preprocess.fit)
        return image, square


def fit_image(image: np.ndarray, size: int, fit: str) -> np.ndarray:
    """Resize uint8 [C, H, W] to [C, size, size] as Pillow does, bit for bit: bilinear, antialiased when it shrinks.

    `fit` "stretch" scales both axes; "crop" first takes the central square; "letterbox" first pads to a square with
    black.
    """
    _, height, width = image.shape
    left, top, right, bottom = fit_box(width, height, fit)
    if fit == "crop":
        image = image[:, top:bottom, left:right]
    if fit == "letterbox":
        image = np.pad(image, ((0, 0), (-top, bottom - height), (-left, right - width)))
    if image.shape[1:] == (size, size):
        return np.ascontiguousarray(image)
    pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
    # torch takes a quarter of the time, but differs by up to one level, and between processors
    resized = np.array(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
    return resized[None] if len(image) == 1 else np.ascontiguousarray(resized.transpose(2, 0, 1))


def _decode_reduced(opened: Image.Image, preprocess: Preprocess) -> np.ndarray | None:
    """A large JPEG, decoded at reduced size and fitted; None for images that must be decoded at full size."""
    if opened.format not in {"JPEG", "MPO"}:
        return None
    width, height = opened.size
    box = fit_box(width, height, preprocess.fit)
    reduction = min(box[2] - box[0], box[3] - box[1]) // (_MIN_REDUCED_RATIO * preprocess.side)
    if min(reduction, width, height) < 2:
        return None
    drafted = opened.draft(None, (max(1, width // reduction), max(1, height // reduction)))
    if drafted is None:  # the file ends before its pixels begin
        return None
    scale = round(width / drafted[1][2])
    left, top, right, bottom = (edge / scale for edge in box)
    outside = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    inside = (left - outside[0], top - outside[1], right - outside[0], bottom - outside[1])
    size = (preprocess.side, preprocess.side)
    mode = "L" if preprocess.channels == 1 else "RGB"
    pixels = np.array(_fix_cmyk(opened, opened).convert(mode))
    if preprocess.fit == "letterbox":  # parts of the last row and column lie outside the image, where it is black
        pixels[-1] = pixels[-1] * (height / scale % 1 or 1)
        pixels[:, -1] = pixels[:, -1] * (width / scale % 1 or 1)
    resized = Image.fromarray(pixels).crop(outside).resize(size, Image.Resampling.BILINEAR, box=inside)
    resized.getexif()[ExifTags.Base.Orientation] = opened.getexif().get(ExifTags.Base.Orientation, 1)
    return _planes(np.array(ImageOps.exif_transpose(resized)), preprocess.channels)


def _decode(opened: Image.Image, data: bytes, channels: int, background: str) -> np.ndarray:
    """uint8 [channels, H, W] of an open image, whose file has the content `data`."""
    upright = opened.getexif().get(ExifTags.Base.Orientation, 1) == 1
    if opened.format in {"JPEG", "MPO"} and opened.mode in {"L", "RGB"} and upright:
        try:  # the same pixels as Pillow's, in three quarters of the time
            pixels = simplejpeg.decode_jpeg(data, "GRAY" if opened.mode == "L" else "RGB")
            if opened.mode == "RGB" and channels == 1:
                pixels = np.array(Image.fromarray(pixels).convert("L"))
            return _planes(pixels.squeeze(2) if pixels.shape[-1] == 1 else pixels, channels)
        except ValueError:
            pass  # Pillow decides what is damaged
    image = _fix_cmyk(ImageOps.exif_transpose(opened), opened)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, (*rgb(background), 255))
        image = Image.alpha_composite(canvas, image)
    if _is_deep(image.mode):
        if not (image.mode.startswith("I;16") or (image.mode == "I" and opened.format in _SIXTEEN_BIT_FORMATS)):
            raise ValueError(_("its pixels have 32 bits, so it is not known which value is white; use 8 or 16 bits"))
        deep = np.asarray(image).astype(np.int64)  # Pillow would clip values at 255
        image = Image.fromarray(((deep + 128) // 257).astype(np.uint8))
    return _planes(np.array(image.convert("L" if channels == 1 else "RGB")), channels)


def _fix_cmyk(image: Image.Image, opened: Image.Image) -> Image.Image:
    """Undo the inversion of a CMYK JPEG without Adobe marker: Pillow assumes Adobe's inverted values in all of them.

    `image` was read from `opened`.
    """
    inverted = opened.format == "JPEG" and opened.mode == "CMYK" and "adobe" not in opened.info
    return ImageChops.invert(image) if inverted else image


def _planes(pixels: np.ndarray, channels: int) -> np.ndarray:
    """[H, W] or [H, W, 3] as [channels, H, W]; a transposed view, so colors of a pixel stay adjacent in memory."""
    if pixels.ndim == 2:
        return np.repeat(pixels[None], channels, axis=0)
    return pixels.transpose(2, 0, 1)


def _is_deep(mode: str) -> bool:
    """Whether a Pillow mode is gray with more than 8 bits."""
    return mode in {"I", "F"} or mode.startswith("I;16")


def read_bytes(file: str | Path | BinaryIO) -> bytes:
    """Return the content of an image file. Raises DataError CN304 if it cannot be read."""
    try:
        if isinstance(file, str | Path):
            return Path(file).read_bytes()
        file.seek(0)
        return file.read()
    except FileNotFoundError as error:
        raise DataError("CN304", _("there is no such image"), where=str(file)) from error
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error


@contextmanager
def _opened(source: str | Path | BytesIO, path: str | Path | BinaryIO) -> Iterator[Image.Image]:
    """The image as Pillow opens it, with only its header read; all errors become DataError CN304."""
    try:
        with Image.open(source) as opened:
            limit = Image.MAX_IMAGE_PIXELS
            if limit and opened.width * opened.height > limit:
                size = {"width": opened.width, "height": opened.height, "limit": limit}
                raise Image.DecompressionBombError(
                    _("it has {width} x {height} pixels, more than {limit:,}, and may be a decompression bomb", **size)
                )
            yield opened
    except FileNotFoundError as error:
        raise DataError("CN304", _("there is no such image"), where=str(path)) from error
    except UnidentifiedImageError as error:
        is_empty = isinstance(source, BytesIO) and not source.getbuffer().nbytes
        why = _("the file is empty") if is_empty else _("its format is unknown, or its header is damaged")
        raise _unreadable(path, why) from error
    except (
        OSError,
        ValueError,
        SyntaxError,
        struct.error,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: str | Path | BinaryIO, why: str) -> DataError:
    hint = command("file", Path(path)) if isinstance(path, str | Path) else ()  # names the format of the file
    return DataError("CN304", _("the image cannot be read"), where=str(path), why=why, hint=hint)
