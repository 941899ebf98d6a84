"""Reads an image file exactly as `classicnets predict` does, for programs that use an exported file: copy it.

It needs numpy and Pillow only. Images leave it small, so that the exported file has little left to do.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageChops, ImageColor, ImageOps

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # no others: some run programs
MAX_PIXELS = 2**27


def read_pixels(file: str | Path | BinaryIO, preprocess: dict[str, Any]) -> np.ndarray:
    """Return an image as uint8 [1, side, side, 3]; `preprocess` is the entry of that name in the file's metadata."""
    side, fit = preprocess["resize"] or preprocess["image_size"] - 2 * preprocess["pad"], preprocess["fit"]
    mode = "L" if preprocess["channels"] == 1 else "RGB"
    background = preprocess.get("background", "#000000")
    with Image.open(file, formats=FORMATS) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise ValueError(f"the image has {opened.width} x {opened.height} pixels")
        turn = opened.getexif().get(ExifTags.Base.Orientation, 1) if opened.format in {"JPEG", "MPO"} else 0
        image = reduced(opened, mode, side, fit)
        if image:
            return planes(turned(image, turn))
        opened.load()
        turn = turn or opened.getexif().get(ExifTags.Base.Orientation, 1)
        image = turned(eight_bits(opened, mode, background), turn)
        return planes(image.crop(box_of(*image.size, fit)).resize((side, side), Image.Resampling.BILINEAR))


def reduced(opened: Any, mode: str, side: int, fit: str) -> Image.Image | None:
    """A large JPEG, decoded at 1/2, 1/4 or 1/8 of its size and resized; None for other images."""
    width, height = opened.size
    box = box_of(width, height, fit)
    ratio = min(box[2] - box[0], box[3] - box[1]) // (3 * side)
    if opened.format not in {"JPEG", "MPO"} or min(ratio, width, height) < 2:
        return None
    drafted = opened.draft(None, (max(1, width // ratio), max(1, height // ratio)))
    scale = round(width / drafted[1][2])
    left, top, right, bottom = (edge / scale for edge in box)
    outside = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    pixels = np.array(eight_bits(opened, mode))
    if fit == "letterbox":  # parts of the last row and column lie outside of the image, where it is black
        pixels[-1] = pixels[-1] * (height / scale % 1 or 1)
        pixels[:, -1] = pixels[:, -1] * (width / scale % 1 or 1)
    inside = (left - outside[0], top - outside[1], right - outside[0], bottom - outside[1])
    return Image.fromarray(pixels).crop(outside).resize((side, side), Image.Resampling.BILINEAR, box=inside)


def box_of(width: int, height: int, fit: str) -> tuple[int, int, int, int]:
    """The box that is resized; with "letterbox" it extends beyond the image."""
    if fit == "stretch":
        return 0, 0, width, height
    edge = min(width, height) if fit == "crop" else max(width, height)
    left, top = int((width - edge) / 2), int((height - edge) / 2)
    if edge * edge > 2 * MAX_PIXELS:
        raise ValueError(f"the image has {width} x {height} pixels")
    return left, top, left + edge, top + edge


def eight_bits(image: Any, mode: str, background: str = "#000000") -> Image.Image:
    """The image in `mode`: gray of 16 bits scaled, transparent parts in the color `background`."""
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        pixels = (deep + 128) // 257
        if isinstance(image.info.get("transparency"), int):
            pixels[deep == image.info["transparency"]] = ImageColor.getcolor(background, "L")
        return Image.fromarray(pixels.astype(np.uint8)).convert(mode)
    if image.format == "JPEG" and image.mode == "CMYK" and "adobe" not in image.info:  # Pillow assumes Adobe's values
        image = ImageChops.invert(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    converted: Image.Image = image.convert(mode)
    return converted


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image, upright."""
    image = Image.fromarray(np.asarray(image))
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(image)


def planes(image: Image.Image) -> np.ndarray:
    """uint8 [1, H, W, 3] of a gray or color image."""
    return np.asarray(image.convert("RGB"))[None]
