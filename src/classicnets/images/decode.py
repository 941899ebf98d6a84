"""Decodes image files to uint8 arrays. `read_fitted` defines how training, evaluation and prediction see a file."""

from __future__ import annotations

import math
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageChops, ImageFile, ImageOps

from classicnets.errors import DataError
from classicnets.images.formats import START_BYTES, Refused, check_pixels, decoding_bytes, open_image, recognize
from classicnets.images.gif import first_image
from classicnets.images.resize import fit
from classicnets.text import _, command
from classicnets.values import BLACK, Preprocess, fit_box, luma, rgb

DECODER_VERSION = 3  # raise it whenever `read_fitted` returns other pixels, so that cached images are decoded again

_MIN_REDUCED_RATIO = 3  # a JPEG is decoded at 1/2, 1/4 or 1/8 if its sides then are at least this times the needed size
_MAX_REDUCED_PADDED = 2**26  # pixels of a reduced JPEG that is padded to a square
_SIXTEEN_BIT_FORMATS = {"PNG", "PPM"}  # Pillow reads their gray of more than 8 bits as 0..65535, whatever the mode
_MAX_FILE_BYTES = 2**30
_LARGE_BYTES = 2**28  # images that take more memory to decode are decoded one at a time
_BAND_PIXELS = 2**22  # pixels that are converted at a time, to need no second copy of a large image
_MAX_SCANS = 500  # of a progressive JPEG: each takes the time of a whole image
_LOST_PIXELS = re.compile("premature end|Corrupt JPEG data: (?!.*extraneous bytes)|Inconsistent progression", re.I)

_decoding_large = threading.Lock()


def read_image(file: str | Path | BinaryIO, channels: int, background: str = BLACK) -> np.ndarray:
    """Read an image file as uint8 [channels, H, W]; of an animation, its first frame.

    Applies the EXIF orientation. Transparent parts show `background`, a color "#rrggbb". 16-bit gray is scaled from
    0..65535 to 0..255.

    Raises:
        DataError: CN304 if the file is missing, empty, damaged, too large or not an image.
    """
    data = read_bytes(file)
    with open_bytes(data, file) as opened:
        return _planes(decode(opened, data, channels, background), channels)


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
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(Path(path).open("rb"))
        except (OSError, ValueError) as error:
            raise _missing(path, error) from error
        opened = stack.enter_context(_opened(stream, path))
        return Header(stored_channels(opened), opened.height, opened.width, opened.has_transparency_data)


def stored_channels(opened: Image.Image) -> int:
    """1 if the file format stores gray, else 3, even if all pixels are gray."""
    return 1 if opened.mode in {"1", "L", "LA"} or _is_deep(opened.mode) else 3


def read_fitted(file: str | Path | BinaryIO, preprocess: Preprocess, *, max_pixels: int | None = None) -> np.ndarray:
    """Read an image file as uint8 [channels, side, side], as training, evaluation and prediction see it.

    Args:
        file: The file.
        preprocess: How it is fitted.
        max_pixels: A limit below those of `formats`; larger images are not decoded, and `TooLarge` is then the cause.

    Raises:
        DataError: CN304 as `read_image`.
    """
    return fit_bytes(read_bytes(file), file, preprocess, max_pixels=max_pixels)[0]


def fit_bytes(
    data: bytes, file: str | Path | BinaryIO, preprocess: Preprocess, *, max_pixels: int | None = None
) -> tuple[np.ndarray, bool]:
    """As `read_fitted`, for a file with the content `data`; also whether the image was square."""
    with open_bytes(data, file) as opened:
        if max_pixels is not None:
            check_pixels(opened.width, opened.height, max_pixels)
        square = opened.width == opened.height
        image = _decode_reduced(opened, data, preprocess)
        if image is None:
            image = decode(opened, data, preprocess.channels, preprocess.background)
            if image is not opened:
                opened.close()  # frees the memory of its pixels
            image = fit(image, preprocess.side, preprocess.fit)
        return np.ascontiguousarray(_planes(image, preprocess.channels)), square


def fit_image(image: np.ndarray, size: int, fit_mode: str) -> np.ndarray:
    """Resize uint8 [C, H, W] to [C, size, size] as Pillow does, bit for bit: bilinear, antialiased when it shrinks.

    `fit_mode` "stretch" scales both axes; "crop" first takes the central square; "letterbox" first pads to a square
    with black.
    """
    pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
    return np.ascontiguousarray(_planes(fit(Image.fromarray(pixels), size, fit_mode), len(image)))


def fit_images(images: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """Convert uint8 [N, 1 or 3, H, W] of any size to [N, channels, side, side], as `fit_image` and Pillow do."""
    if preprocess.channels == 1 and images.shape[1] == 3:
        images = np.stack([luma(*image.astype(np.int32)).astype(np.uint8) for image in images])[:, None]
    elif images.shape[1] < preprocess.channels:
        images = np.repeat(images, preprocess.channels, axis=1)
    if images.shape[2:] == (preprocess.side, preprocess.side):
        return images
    return np.stack([fit_image(image, preprocess.side, preprocess.fit) for image in images])


def open_bytes(data: bytes, file: str | Path | BinaryIO) -> Any:
    """Open the content of an image file; only its header is read. A context manager.

    Every error from decoding it within the context becomes DataError CN304, and Pillow's warnings are not shown.
    """
    return _opened(BytesIO(first_image(data) if recognize(data[:START_BYTES]) == "GIF" else data), file)


def decode(
    opened: Image.Image, data: bytes, channels: int, background: str = BLACK, *, min_size: tuple[int, int] | None = None
) -> Image.Image:
    """Decode an open image, whose file has the content `data`, to the mode "L" or "RGB"; upright.

    Args:
        opened: From `open_bytes`.
        data: The content of the file.
        channels: 1 for "L"; with 3, gray images may still have the mode "L".
        background: Color that transparent parts show, "#rrggbb".
        min_size: A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, if width and height are no smaller than this.
    """
    scale = _jpeg_scale(opened.size, min_size) if min_size and opened.format == "JPEG" else 1
    with _decoding_large if decoding_bytes(opened) > _LARGE_BYTES * scale**2 else nullcontext():
        if opened.format == "JPEG":
            image = _load_jpeg(opened, data, scale)
        else:
            opened.load()
            image = opened
        return _upright(_to_eight_bits(image, opened, channels, background), opened)


def _decode_reduced(opened: Image.Image, data: bytes, preprocess: Preprocess) -> Image.Image | None:
    """A large JPEG, decoded at reduced size and fitted; None for images that must be decoded at full size."""
    if opened.format != "JPEG":
        return None
    width, height = opened.size
    box = fit_box(width, height, preprocess.fit)
    reduction = min(box[2] - box[0], box[3] - box[1]) // (_MIN_REDUCED_RATIO * preprocess.side)
    if min(reduction, width, height) < 2:
        return None
    scale = _jpeg_scale(opened.size, (max(1, width // reduction), max(1, height // reduction)))
    left, top, right, bottom = (edge / scale for edge in box)
    outside = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    inside = (left - outside[0], top - outside[1], right - outside[0], bottom - outside[1])
    if (outside[2] - outside[0]) * (outside[3] - outside[1]) > _MAX_REDUCED_PADDED:
        return None
    size = (preprocess.side, preprocess.side)
    image = _to_eight_bits(_load_jpeg(opened, data, scale), opened, preprocess.channels)
    if preprocess.fit == "letterbox":  # parts of the last row and column lie outside the image, where it is black
        pixels = np.array(image)
        pixels[-1] = pixels[-1] * (height / scale % 1 or 1)
        pixels[:, -1] = pixels[:, -1] * (width / scale % 1 or 1)
        image = Image.fromarray(pixels)
    return _upright(image.crop(outside).resize(size, Image.Resampling.BILINEAR, box=inside), opened)


def _jpeg_scale(size: tuple[int, int], min_size: tuple[int, int]) -> int:
    """The largest factor of 1, 2, 4 and 8 by which a JPEG can be reduced without becoming smaller than `min_size`."""
    ratio = min(size[0] // min_size[0], size[1] // min_size[1])
    return next((scale for scale in (8, 4, 2) if scale <= ratio), 1)


def _load_jpeg(opened: Image.Image, data: bytes, scale: int) -> Image.Image:
    """Decode a JPEG at 1/`scale` of its size.

    simplejpeg gives the same pixels as Pillow in three quarters of the time, and reports lost pixels, which Pillow
    leaves gray.
    """
    if "progressive" in opened.info and data.count(b"\xff\xda") > _MAX_SCANS:
        raise Refused(_("it is a JPEG of more than {count} scans, which may be an attack", count=_MAX_SCANS))
    width, height = opened.size
    size = (-(-width // scale), -(-height // scale))
    color = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}[opened.mode]
    with suppress(ValueError):  # from here on, Pillow decides what is damaged
        if simplejpeg.decode_jpeg_header(data)[:2] == (height, width):
            try:
                pixels = simplejpeg.decode_jpeg(data, color, min_width=size[0], min_height=size[1])
            except ValueError as error:
                if _LOST_PIXELS.search(str(error)):
                    raise OSError(str(error)) from error
                raise
            if opened.mode != "CMYK" and pixels.shape[1::-1] == size:
                return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    if scale > 1:
        opened.draft(None, (width // scale, height // scale))
    opened.load()
    if opened.size != size:
        raise OSError("the reduced size differs")
    return opened


def _to_eight_bits(image: Image.Image, opened: Image.Image, channels: int, background: str = BLACK) -> Image.Image:
    """A loaded image in the mode "L" or "RGB", converted in bands to need little memory.

    `image` was read from `opened`, or is the same.
    """
    deep, transparent = _is_deep(image.mode), image.has_transparency_data
    if deep and not (image.mode.startswith("I;16") or (image.mode == "I" and opened.format in _SIXTEEN_BIT_FORMATS)):
        raise Refused(_("its pixels have 32 bits, so it is not known which value is white; use 8 or 16 bits"))
    color = rgb(background)
    stays_gray = image.mode in {"1", "L", "LA"} and (not transparent or len({*color}) == 1)
    mode = "L" if channels == 1 or deep or stays_gray else "RGB"
    if image.mode == mode and not transparent:
        return image
    # Pillow assumes Adobe's inverted values in all CMYK files, but only those with the marker have them
    inverted = opened.format == "JPEG" and opened.mode == "CMYK" and "adobe" not in opened.info

    def convert(band: Image.Image) -> Image.Image:
        if deep:
            return _scale_deep(band, luma(*color))
        if inverted:
            band = ImageChops.invert(band)
        if transparent:
            band = band.convert("RGBA")
            canvas = Image.new("RGBA", band.size, (*color, 255))
            band = Image.alpha_composite(canvas, band)
        return band.convert(mode)

    width, height = image.size
    rows = max(1, _BAND_PIXELS // width)
    if rows >= height:
        return convert(image)
    result = Image.new(mode, image.size)
    for top in range(0, height, rows):
        result.paste(convert(image.crop((0, top, width, min(top + rows, height)))), (0, top))
    return result


def _scale_deep(image: Image.Image, background: int) -> Image.Image:
    """Gray of 16 bits as 8 bits; Pillow would clip values at 255. A transparent level becomes `background`."""
    deep = np.asarray(image).astype(np.int64)
    pixels = (deep + 128) // 257
    if isinstance(key := image.info.get("transparency"), int):
        pixels[deep == key] = background
    return Image.fromarray(pixels.astype(np.uint8))


def _upright(image: Image.Image, opened: Image.Image) -> Image.Image:
    """Apply the EXIF orientation of `opened`, from which `image` was read; a damaged one is ignored."""
    try:
        orientation = int(opened.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow raises many types of errors for damaged EXIF data, without which an image is whole
        return image
    if not 2 <= orientation <= 8:
        return image
    image = Image.fromarray(np.asarray(image))  # without the EXIF data of the file
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(image)


def _planes(image: Image.Image, channels: int) -> np.ndarray:
    """An "L" or "RGB" image as [channels, H, W]; a transposed view, so that the colors of a pixel stay adjacent."""
    pixels = np.array(image)
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
            with Path(file).open("rb") as stream:
                data = stream.read(_MAX_FILE_BYTES + 1)
        else:
            file.seek(0)
            data = file.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _missing(file, error) from error
    if len(data) > _MAX_FILE_BYTES:
        raise _unreadable(file, _("the file has more than {n} GB", n=_MAX_FILE_BYTES // 2**30))
    return data


def _renew_locks() -> None:
    """Replace the locks in a forked process: a thread that does not exist there may have held one."""
    global _decoding_large, _quiet_lock
    _decoding_large, _quiet_lock = threading.Lock(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)

_quiet_lock = threading.Lock()
_quiet_count = 0
_load_truncated = False
# Identifies our filter among those of the program; "(?#...)" is a comment.
_QUIET_FILTER = ("ignore", None, Warning, re.compile(r"PIL\.(?#classicnets)"), 0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide Pillow's warnings and let it reject truncated images, whatever the program has set, in all threads.

    `warnings.catch_warnings` would restore, in the wrong order, what other threads change meanwhile.
    """
    global _quiet_count, _load_truncated  # noqa: PLW0603 - counts the threads that decode
    with _quiet_lock:
        _quiet_count += 1
        if _quiet_count == 1:
            _load_truncated, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        if _QUIET_FILTER not in warnings.filters[:1]:
            warnings.filters.insert(0, _QUIET_FILTER)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_count -= 1
            if not _quiet_count:
                ImageFile.LOAD_TRUNCATED_IMAGES = _load_truncated
                while _QUIET_FILTER in warnings.filters:
                    warnings.filters.remove(_QUIET_FILTER)  # type: ignore[attr-defined]


@contextmanager
def _opened(stream: BinaryIO, file: str | Path | BinaryIO) -> Iterator[Image.Image]:
    """The image with only its header read; all errors become DataError CN304."""
    name = ""
    try:
        with _quiet(), open_image(stream) as opened:
            name = opened.format or ""
            yield opened
    except DataError:
        raise
    except Refused as error:
        raise _unreadable(file, str(error), error.hint) from error
    except MemoryError as error:
        raise _unreadable(file, _("decoding it needs more memory than is available")) from error
    except Exception as error:  # a decoder may raise anything for a damaged file
        raise _unreadable(file, _damage(name, error)) from error


def _damage(name: str, error: Exception) -> str:
    """Why a file cannot be decoded, with the decoder's own words."""
    detail = "".join(c for c in str(error) if c.isprintable())[:200] or type(error).__name__
    if not name:
        return _("its header is damaged ({detail})", detail=detail)
    return _("the file is damaged or incomplete ({detail})", detail=detail)


def _missing(file: str | Path | BinaryIO, error: Exception) -> DataError:
    """The error for a file that cannot be opened or read."""
    if isinstance(error, FileNotFoundError):
        return DataError("CN304", _("there is no such image"), where=str(file))
    return _unreadable(file, getattr(error, "strerror", None) or str(error))


def _unreadable(file: str | Path | BinaryIO, why: str, hint: str = "") -> DataError:
    hints: str | tuple[str, ...] = hint
    if not hint:  # `file` names the format of a file
        hints = command("file", Path(file)) if isinstance(file, str | Path) else ()
    return DataError("CN304", _("the image cannot be read"), where=str(file), why=why, hint=hints)
