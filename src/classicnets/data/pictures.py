"""Picture files of any kind to uint8 arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from classicnets.errors import DataError


def read_picture(path: str | Path, channels: int) -> np.ndarray:
    """uint8 [channels, H, W] of a picture file, turned upright by its EXIF mark; transparent parts become black.

    Raises DataError CN304 if the file is missing, damaged, absurdly large or not a picture.
    """
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
            if picture.mode in {"I;16", "I", "F"}:  # 16-bit greys: PIL would clip them at 255
                whole = np.asarray(picture, dtype=np.float64)
                picture = Image.fromarray((whole / max(whole.max(), 1) * 255).astype(np.uint8))
            pixels = np.array(picture.convert("L" if channels == 1 else "RGB"))
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
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
