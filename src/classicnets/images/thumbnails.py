"""Inspects single image files: header, decoding errors, and thumbnails for the search for copies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from classicnets.errors import DataError
from classicnets.images.background import Contrasts, contrasts
from classicnets.images.decode import decode, open_bytes, read_bytes, stored_channels
from classicnets.images.formats import NotAnImage, TooLarge
from classicnets.text import _
from classicnets.values import BLACK, GRAY
from classicnets.workers import ordered_map

GRAY_SIZE = 32  # height and width of the gray thumbnail
COLOR_SIZE = 8  # height and width of the color thumbnail
_MAX_GRAY_DIFFERENCE = 8  # channels that differ by no more are gray, because JPEG's rounding leaves some color
_MIN_JPEG_SIZE = 4 * GRAY_SIZE  # a JPEG is decoded at the smallest scale that is not smaller: four times as fast
_UPRIGHT = 1  # EXIF orientation of an image that needs no rotation
_ORIENTATION = 0x0112
_PROGRESS_STEP = 256  # files between two calls of `progress`

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class ImageInfo:
    """What one image file contains; fields that could not be determined are 0 or False.

    Attributes:
        digest: SHA-256 of the file.
        problem: "" or "empty", "too_large", "no_picture" or "damaged".
        why: The reason for the problem.
        format: Pillow's name for the format of the content.
        width: Before EXIF orientation.
        height: Before EXIF orientation.
        channels: As stored: 1 for gray, 3 for color.
        gray: Whether all pixels are gray.
        constant: Whether all pixels have one value.
        contrasts: How far the opaque parts are from each background (see `background`); () without transparent pixels.
        transparent: Whether any pixel is transparent.
        rotated: Whether EXIF orientation rotates or flips it.
    """

    digest: str
    problem: str = ""
    why: str = ""
    format: str = ""
    width: int = 0
    height: int = 0
    channels: int = 0
    gray: bool = False
    constant: bool = False
    transparent: bool = False
    contrasts: Contrasts = ()
    rotated: bool = False

    @property
    def readable(self) -> bool:
        """Whether the image could be decoded."""
        return not self.problem


@dataclass(frozen=True)
class Thumbnails:
    """Thumbnails of all files: gray uint8 [N, GRAY_SIZE, GRAY_SIZE] and color uint8 [N, COLOR_SIZE, COLOR_SIZE, 3]."""

    gray: np.ndarray
    color: np.ndarray

    @classmethod
    def empty(cls, n: int) -> Thumbnails:
        """Allocate black thumbnails for `n` files, about 1.2 kB each."""
        shapes = (n, GRAY_SIZE, GRAY_SIZE), (n, COLOR_SIZE, COLOR_SIZE, 3)
        return cls(*(np.zeros(shape, np.uint8) for shape in shapes))

    def reordered(self, order: Sequence[int]) -> Thumbnails:
        """Return the thumbnails of these files, in this order."""
        return Thumbnails(self.gray[[*order]], self.color[[*order]])


def inspect_files(paths: Sequence[Path], progress: Progress | None = None) -> tuple[list[ImageInfo], Thumbnails]:
    """Inspect files in several threads.

    Args:
        paths: The files.
        progress: Called with the number of files that are done, and of all files.
    """
    thumbnails = Thumbnails.empty(len(paths))
    infos: list[ImageInfo] = []
    for info in ordered_map(lambda i: inspect_file(paths[i], i, thumbnails), range(len(paths))):
        infos.append(info)
        if progress and (len(infos) % _PROGRESS_STEP == 0 or len(infos) == len(paths)):
            progress(len(infos), len(paths))
    return infos, thumbnails


def inspect_file(path: Path, index: int, thumbnails: Thumbnails) -> ImageInfo:
    """Read one file and write its thumbnails to row `index`; errors become a `problem` of the result.

    Decodes an image under the same conditions as `decode.read_fitted`.
    """
    try:
        data = read_bytes(path)
    except DataError as error:
        return ImageInfo("", "damaged", error.why or error.what)
    info = ImageInfo(hashlib.sha256(data).hexdigest())
    if not data:
        return replace(info, problem="empty", why=_("it has 0 bytes"))
    try:
        with open_bytes(data, path) as opened:
            info = replace(info, format=opened.format, width=opened.width, height=opened.height)
            info = replace(info, channels=stored_channels(opened))
            # gray, so that black and white shapes on transparency show, whatever the background of training is
            image = decode(opened, data, 3, GRAY, min_size=(_MIN_JPEG_SIZE, _MIN_JPEG_SIZE)).convert("RGB")
            clear = _with_alpha(opened) if opened.has_transparency_data else None
            rotated = opened.getexif().get(_ORIENTATION, _UPRIGHT) != _UPRIGHT
    except DataError as error:
        cause = error.__cause__
        problem = "no_picture" if isinstance(cause, NotAnImage) else "damaged"
        problem = "too_large" if isinstance(cause, TooLarge) else problem
        return replace(info, problem=problem, why=error.why or error.what)
    small = image.resize((GRAY_SIZE, GRAY_SIZE), Image.Resampling.BILINEAR)
    thumbnails.gray[index] = np.asarray(small.convert("L"))
    thumbnails.color[index] = np.asarray(small.resize((COLOR_SIZE, COLOR_SIZE), Image.Resampling.BOX))
    colors = np.asarray(small).astype(np.int16)
    return replace(
        info,
        gray=bool(np.ptp(colors, axis=2).max() <= _MAX_GRAY_DIFFERENCE),
        constant=_is_constant(image, clear),
        transparent=clear is not None,
        contrasts=() if clear is None else contrasts(np.asarray(clear)),
        rotated=rotated,
    )


def _with_alpha(opened: Image.Image) -> Image.Image | None:
    """The image as RGBA; None if it is opaque everywhere, so that its alpha channel has no effect."""
    alpha = opened if "A" in opened.getbands() else opened.convert("RGBA")
    low, _high = alpha.getchannel("A").getextrema()
    return None if float(low) == 255 else alpha.convert("RGBA")  # type: ignore[arg-type]


def _is_constant(image: Image.Image, clear: Image.Image | None) -> bool:
    """Whether an image has one color; if it has transparent pixels (`clear`), whether it has on every background."""
    extrema: Any = (image if clear is None else clear).getextrema()
    return all(low == high for low, high in extrema) or (clear is not None and extrema[3][1] == 0)


def read_preview(path: Path, max_size: int = 200, background: str = BLACK) -> np.ndarray | None:
    """Return an image as uint8 [H, W, 3], no side longer than `max_size`; None if it is unreadable or too large."""
    try:
        data = read_bytes(path)
        with open_bytes(data, path) as opened:
            image = decode(opened, data, 3, background, min_size=(max_size, max_size)).convert("RGB")
    except DataError:
        return None
    image.thumbnail((max_size, max_size))
    return np.asarray(image)
