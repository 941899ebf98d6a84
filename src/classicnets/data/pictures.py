"""Picture files of any kind to uint8 arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from classicnets.errors import DataError
from classicnets.values import Preprocess


def read_picture(path: str | Path | BinaryIO, channels: int, backdrop: int = 0) -> np.ndarray:
    """uint8 [channels, H, W] of a picture file, turned upright by its EXIF mark; transparent parts show the `backdrop`,
    a grey (0 is black).

    Raises DataError CN304 if the file is missing, damaged, absurdly large or not a picture.
    """
    with _opened(path) as opened:
        picture = ImageOps.exif_transpose(opened)
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(
                Image.new("RGBA", picture.size, (backdrop, backdrop, backdrop, 255)), picture
            )
        if _is_deep(picture.mode):  # PIL would clip them at 255
            whole = np.asarray(picture, dtype=np.float64)
            picture = Image.fromarray((whole / max(whole.max(), 1) * 255).astype(np.uint8))
        pixels = np.array(picture.convert("L" if channels == 1 else "RGB"))
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def read_header(path: str | Path) -> tuple[int, int, int]:
    """(channels, height, width) of a picture file by its header, as it lies in the file: 1 channel for grey, else 3.

    Raises DataError CN304 as `read_picture`; a file that is damaged behind its header goes unnoticed.
    """
    with _opened(path) as opened:
        grey = opened.mode in {"1", "L", "LA"} or _is_deep(opened.mode)
        return (1 if grey else 3, opened.height, opened.width)


def read_fitted(path: str | Path | BinaryIO, preprocess: Preprocess) -> np.ndarray:
    """uint8 [channels, side, side] of a picture file, as training, evaluation and prediction all see it.

    Raises DataError CN304 as `read_picture`.
    """
    return fitted(read_picture(path, preprocess.channels), preprocess.side, preprocess.fit)


def fitted(picture: np.ndarray, side: int, fit: str) -> np.ndarray:
    """uint8 [C, H, W] to [C, side, side], bilinearly and, when shrinking, antialiased as PIL does.

    `fit` "stretch" scales both axes; "crop" takes the middle square first, "letterbox" fills up to a square in black.
    """
    channels, height, width = picture.shape
    if fit == "crop":
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        picture = picture[:, top : top + short, left : left + short]
    if fit == "letterbox":
        long = max(height, width)
        top, left = (long - height) // 2, (long - width) // 2
        picture = np.pad(picture, ((0, 0), (top, long - height - top), (left, long - width - left)))
    if picture.shape[1:] == (side, side):
        return picture
    pixels = picture[0] if channels == 1 else np.ascontiguousarray(picture.transpose(1, 2, 0))
    resized = np.array(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR))
    return resized[None] if channels == 1 else resized.transpose(2, 0, 1)


def _is_deep(mode: str) -> bool:
    """Whether PIL's `mode` is one of grey with more than 8 bits."""
    return mode in {"I", "F"} or mode.startswith("I;16")


@contextmanager
def _opened(path: str | Path | BinaryIO) -> Iterator[Image.Image]:
    """The file as PIL opens it; whatever goes wrong then is a DataError CN304."""
    try:
        with Image.open(path) as opened:
            yield opened
    except FileNotFoundError as error:
        raise DataError("CN304", "there is no such picture", where=str(path)) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            "CN304",
            "the picture cannot be read",
            where=str(path),
            why=str(error),
            hint=f"file {path}",
        ) from error
