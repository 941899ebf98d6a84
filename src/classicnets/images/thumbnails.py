"""One look at an image file: what its header says, whether it decodes, and a thumbnail to find its copies by."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from classicnets.errors import DataError
from classicnets.images.decode import read_image, stored_channels

SIDE = 32  # of the gray thumbnail
COLOR_SIDE = 8  # of the colored one
_GRAY_WITHIN = 8  # channels that differ by no more than this are gray; JPEG's rounding leaves some color
_ENOUGH = 4 * SIDE  # a JPEG is decoded at the smallest scale that is no smaller: a photograph four times as fast
_WEB = (b"<!doctype", b"<html", b"<?xml", b"{")
_UPRIGHT = 1  # EXIF's number for an image that lies as it should
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Look:
    """What one file is. `trouble` is "" or "empty", "too_large", "suspiciously_large", "no_picture" or "damaged", with
    the reason in `why`; what could not be seen then is 0 or False.
    """

    digest: str
    trouble: str = ""
    why: str = ""
    format: str = ""  # of the content, as PIL calls it
    width: int = 0
    height: int = 0
    channels: int = 0  # as it is stored: 1 for gray, 3 for color
    gray: bool = False  # by its pixels
    constant: bool = False  # one value all over
    transparent: bool = False
    turned: bool = False  # by its EXIF mark; width and height are as it lies in the file

    @property
    def seen(self) -> bool:
        """Whether it was decoded."""
        return not self.trouble


@dataclass(frozen=True)
class Thumbnails:
    """Room for the thumbnails of all files: uint8 [N, SIDE, SIDE] gray and [N, COLOR_SIDE, COLOR_SIDE, 3]."""

    gray: np.ndarray
    color: np.ndarray

    @classmethod
    def room(cls, n: int) -> Thumbnails:
        """Empty ones, about 1.2 kB each."""
        return cls(np.zeros((n, SIDE, SIDE), np.uint8), np.zeros((n, COLOR_SIDE, COLOR_SIDE, 3), np.uint8))


def look(path: Path, index: int, thumbnails: Thumbnails) -> Look:
    """Reads one file once for its bytes and once for its pixels; whatever is wrong with it is in the answer.

    Writes its thumbnails to row `index`. An image whose header promises more pixels than PIL takes without a warning
    is not decoded; that warning must be an error here (`warnings.simplefilter`).
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(512)
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return Look("", "damaged", error.strerror or str(error))
    seen = Look(digest)
    if not start:
        return replace(seen, trouble="empty", why="0 bytes")
    try:
        with Image.open(path) as opened:
            seen = replace(seen, format=opened.format or "", width=opened.width, height=opened.height)
            seen = replace(seen, channels=stored_channels(opened))
            transparent = opened.has_transparency_data and _has_holes(opened)
            turned = opened.getexif().get(_ORIENTATION, _UPRIGHT) != _UPRIGHT
            if opened.format == "JPEG" and min(opened.size) > 2 * _ENOUGH:
                opened.draft("RGB", (_ENOUGH, _ENOUGH))
                image = ImageOps.exif_transpose(opened).convert("RGB")
            else:
                image = Image.fromarray(read_image(path, 3).transpose(1, 2, 0))
    except Image.DecompressionBombError as error:
        return replace(seen, trouble="too_large", why=_first_sentence(error))
    except Image.DecompressionBombWarning as error:
        return replace(seen, trouble="suspiciously_large", why=_first_sentence(error))
    except DataError as error:
        return replace(seen, trouble="damaged", why=error.why or error.what)
    except Exception as error:  # a decoder may trip over its input in any way
        if seen.format:
            return replace(seen, trouble="damaged", why=str(error) or type(error).__name__)
        return replace(seen, trouble="no_picture", why=_what_else(start))
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    thumbnails.gray[index] = np.asarray(small.convert("L"))
    thumbnails.color[index] = np.asarray(small.resize((COLOR_SIDE, COLOR_SIDE), Image.Resampling.BOX))
    colors = np.asarray(small).astype(np.int16)
    return replace(
        seen,
        gray=bool(np.ptp(colors, axis=2).max() <= _GRAY_WITHIN),
        constant=all(low == high for low, high in image.getextrema()),  # type: ignore[misc]
        transparent=transparent,
        turned=turned,
    )


def _has_holes(opened: Image.Image) -> bool:
    """Whether any pixel lets the ground through; an alpha channel that is opaque all over is harmless."""
    low, _ = opened.convert("RGBA").getchannel("A").getextrema()
    return float(low) < 255  # type: ignore[arg-type]


def _what_else(start: bytes) -> str:
    """What a file that is no image seems to be, by its first bytes."""
    text = start.lstrip().lower()
    return "a web page or text saved under this name" if text.startswith(_WEB) else "not an image of any known kind"


def _first_sentence(error: Exception) -> str:
    return str(error).split(", could be")[0]


def preview(path: Path, side: int = 200) -> np.ndarray | None:
    """An image as uint8 [H, W, 3], no side longer than `side`; None if it cannot be seen without risk."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.fromarray(read_image(path, 3).transpose(1, 2, 0))
        except (DataError, OSError):
            return None
    image.thumbnail((side, side))
    return np.asarray(image)
