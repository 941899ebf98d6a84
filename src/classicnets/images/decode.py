"""Image files of any kind to uint8 arrays. What a file looks like to a net is defined by `read_fitted` alone."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageChops, ImageOps, UnidentifiedImageError

from classicnets.errors import DataError
from classicnets.values import Preprocess, fit_box

DECODER = 1  # to be raised whenever `read_fitted` gives other pixels than before: kept images are then decoded again

_SPARE = 3  # a JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves so many times the pixels a side that are needed
_SIXTEEN_BITS = {"PNG", "PPM"}  # formats whose gray of more than 8 bits PIL gives as 0 to 65535, whatever it calls it


def read_image(file: str | Path | BinaryIO, channels: int, backdrop: int = 0) -> np.ndarray:
    """uint8 [channels, H, W] of an image file (of an animation, its first frame), turned upright by its EXIF mark.

    Transparent parts show the `backdrop`, a gray (0 is black). Gray of 16 bits is scaled from 0..65535 to 0..255.
    Raises DataError CN304 if the file is missing, empty, damaged, absurdly large or not an image.
    """
    data = read_bytes(file)
    with _opened(BytesIO(data), file) as opened:
        return _decoded(opened, data, channels, backdrop)


def read_header(path: str | Path) -> tuple[int, int, int]:
    """(channels, height, width) of an image file by its header, as it lies in the file: 1 channel for gray, else 3.

    Raises DataError CN304 as `read_picture`; a file that is damaged behind its header goes unnoticed.
    """
    with _opened(path, path) as opened:
        return (stored_channels(opened), opened.height, opened.width)


def stored_channels(opened: Image.Image) -> int:
    """1 if the file stores gray, else 3, whatever its pixels show."""
    return 1 if opened.mode in {"1", "L", "LA"} or _is_deep(opened.mode) else 3


def read_fitted(file: str | Path | BinaryIO, preprocess: Preprocess) -> np.ndarray:
    """uint8 [channels, side, side] of an image file, as training, evaluation and prediction all see it.

    Raises DataError CN304 as `read_picture`.
    """
    return fit_bytes(read_bytes(file), file, preprocess)[0]


def fit_bytes(data: bytes, file: str | Path | BinaryIO, preprocess: Preprocess) -> tuple[np.ndarray, bool]:
    """`read_fitted` of a file whose content is `data`, and whether the image was square."""
    with _opened(BytesIO(data), file) as opened:
        square = opened.width == opened.height
        reduced = _reduced(opened, preprocess)
        if reduced is None:
            image = _decoded(opened, data, preprocess.channels)
            reduced = fitted(image, preprocess.side, preprocess.fit)
        return reduced, square


def fitted(image: np.ndarray, side: int, fit: str) -> np.ndarray:
    """uint8 [C, H, W] to [C, side, side], bilinearly and, when shrinking, antialiased: PIL's, to the bit.

    `fit` "stretch" scales both axes; "crop" takes the middle square first, "letterbox" fills up to a square in black.
    """
    _, height, width = image.shape
    left, top, right, bottom = fit_box(width, height, fit)
    if fit == "crop":
        image = image[:, top:bottom, left:right]
    if fit == "letterbox":
        image = np.pad(image, ((0, 0), (-top, bottom - height), (-left, right - width)))
    if image.shape[1:] == (side, side):
        return np.ascontiguousarray(image)
    pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
    # torch would do it in a quarter of the time, but to within one level only, and not the same on every processor
    resized = np.array(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR))
    return resized[None] if len(image) == 1 else np.ascontiguousarray(resized.transpose(2, 0, 1))


def _reduced(opened: Image.Image, preprocess: Preprocess) -> np.ndarray | None:
    """The fitted image of a JPEG that is so large that it need not be decoded at its full size; else None."""
    if opened.format not in {"JPEG", "MPO"}:
        return None
    width, height = opened.size
    box = fit_box(width, height, preprocess.fit)
    spare = min(box[2] - box[0], box[3] - box[1]) // (_SPARE * preprocess.side)
    if min(spare, width, height) < 2:
        return None
    drafted = opened.draft(None, (max(1, width // spare), max(1, height // spare)))
    if drafted is None:  # the file ends before its pixels begin
        return None
    scale = round(width / drafted[1][2])
    left, top, right, bottom = (edge / scale for edge in box)
    outside = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    inside = (left - outside[0], top - outside[1], right - outside[0], bottom - outside[1])
    size = (preprocess.side, preprocess.side)
    mode = "L" if preprocess.channels == 1 else "RGB"
    pixels = np.array(_ink(opened, opened).convert(mode))
    if preprocess.fit == "letterbox":  # of the last row and column a part is outside already, and that is black
        pixels[-1] = pixels[-1] * (height / scale % 1 or 1)
        pixels[:, -1] = pixels[:, -1] * (width / scale % 1 or 1)
    resized = Image.fromarray(pixels).crop(outside).resize(size, Image.Resampling.BILINEAR, box=inside)
    resized.getexif()[ExifTags.Base.Orientation] = opened.getexif().get(ExifTags.Base.Orientation, 1)
    return _planes(np.array(ImageOps.exif_transpose(resized)), preprocess.channels)


def _decoded(opened: Image.Image, data: bytes, channels: int, backdrop: int = 0) -> np.ndarray:
    """uint8 [channels, H, W] of an image that is open, `data` being the content of its file."""
    upright = opened.getexif().get(ExifTags.Base.Orientation, 1) == 1
    if opened.format in {"JPEG", "MPO"} and opened.mode in {"L", "RGB"} and upright:
        try:  # the same pixels as PIL's, in three quarters of the time
            pixels = simplejpeg.decode_jpeg(data, "GRAY" if opened.mode == "L" else "RGB")
            if opened.mode == "RGB" and channels == 1:
                pixels = np.array(Image.fromarray(pixels).convert("L"))
            return _planes(pixels.squeeze(2) if pixels.shape[-1] == 1 else pixels, channels)
        except ValueError:
            pass  # PIL is the judge of what is damaged
    image = _ink(ImageOps.exif_transpose(opened), opened)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (backdrop, backdrop, backdrop, 255))
        image = Image.alpha_composite(ground, image)
    if _is_deep(image.mode):
        if not (image.mode.startswith("I;16") or (image.mode == "I" and opened.format in _SIXTEEN_BITS)):
            raise ValueError(
                "its pixels have 32 bits, and nothing says which number is white; save it with 8 or 16 bits"
            )
        deep = np.asarray(image).astype(np.int64)  # PIL would clip them at 255
        image = Image.fromarray(((deep + 128) // 257).astype(np.uint8))
    return _planes(np.array(image.convert("L" if channels == 1 else "RGB")), channels)


def _ink(image: Image.Image, opened: Image.Image) -> Image.Image:
    """`image`, read from `opened`; of a CMYK JPEG without Adobe's mark PIL has taken ink for paper."""
    wrong = opened.format == "JPEG" and opened.mode == "CMYK" and "adobe" not in opened.info
    return ImageChops.invert(image) if wrong else image


def _planes(pixels: np.ndarray, channels: int) -> np.ndarray:
    """[H, W] or [H, W, 3] as [channels, H, W]; in memory the colors of a pixel stay together."""
    if pixels.ndim == 2:
        return np.repeat(pixels[None], channels, axis=0)
    return pixels.transpose(2, 0, 1)


def _is_deep(mode: str) -> bool:
    """Whether PIL's `mode` is one of gray with more than 8 bits."""
    return mode in {"I", "F"} or mode.startswith("I;16")


def read_bytes(file: str | Path | BinaryIO) -> bytes:
    """The content of a file that is to be an image. Raises DataError CN304 if there is none."""
    try:
        if isinstance(file, str | Path):
            return Path(file).read_bytes()
        file.seek(0)
        return file.read()
    except FileNotFoundError as error:
        raise DataError("CN304", "there is no such image", where=str(file)) from error
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error


@contextmanager
def _opened(source: str | Path | BytesIO, path: str | Path | BinaryIO) -> Iterator[Image.Image]:
    """The image as PIL opens it, with nothing but its header read; whatever goes wrong then is a DataError CN304."""
    try:
        with Image.open(source) as opened:
            most = Image.MAX_IMAGE_PIXELS
            if most and opened.width * opened.height > most:
                raise Image.DecompressionBombError(
                    f"{opened.width} x {opened.height} pixels are more than {most:,}: a decompression bomb?"
                )
            yield opened
    except FileNotFoundError as error:
        raise DataError("CN304", "there is no such image", where=str(path)) from error
    except UnidentifiedImageError as error:
        empty = isinstance(source, BytesIO) and not source.getbuffer().nbytes
        raise _unreadable(
            path, "the file is empty" if empty else "no known image format, or a damaged header"
        ) from error
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
    return DataError("CN304", "the image cannot be read", where=str(path), why=why, hint=f"file {path}")
