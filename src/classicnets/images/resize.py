"""Fits images to a square as Pillow's resizing does, bit for bit, in memory that their shape does not multiply."""

from __future__ import annotations

import numpy as np
from PIL import Image

from classicnets.values import fit_box

_MAX_PADDED = 2**24  # pixels; a letterbox up to this size is padded before it is resized, which is faster
_BAND_VALUES = 2**20  # pixel values that are converted to float64 at a time
_SCALE = 2**22  # Pillow's weights are integers in units of 1 / _SCALE


def fit(image: Image.Image, size: int, mode: str) -> Image.Image:
    """Resize an "L" or "RGB" image to size x size: bilinear, antialiased when it shrinks.

    `mode` "stretch" scales both axes; "crop" first takes the central square; "letterbox" first pads to a square with
    black.
    """
    target = (size, size)
    if mode == "letterbox" and max(image.size) ** 2 > max(_MAX_PADDED, image.width * image.height):
        return _letterbox(image, size)
    box = fit_box(*image.size, mode)
    if box != (0, 0, *image.size):
        image = image.crop(box)  # black outside of the image
    # torch takes a quarter of the time, but differs by up to one level, and between processors
    return image if image.size == target else image.resize(target, Image.Resampling.BILINEAR)


def _letterbox(image: Image.Image, size: int) -> Image.Image:
    """As `fit`, without making the square: black has no part in the sums, so only the weights need its length.

    Pillow resizes a square along its width first and rounds, then along its height.
    """
    left, top, right, _bottom = fit_box(*image.size, "letterbox")
    length = right - left
    if image.width > image.height:
        rows = np.asarray(image.resize((size, image.height), Image.Resampling.BILINEAR))
        return Image.fromarray(_resize_padded(rows, -top, length, size))
    pixels = np.asarray(image)
    narrow = np.empty((len(pixels), size, *pixels.shape[2:]), np.uint8)
    step = max(1, _BAND_VALUES // pixels[0].size)
    for start in range(0, len(pixels), step):
        band = pixels[start : start + step].swapaxes(0, 1)
        narrow[start : start + step] = _resize_padded(band, -left, length, size).swapaxes(0, 1)
    return Image.fromarray(narrow).resize((size, size), Image.Resampling.BILINEAR)


def _resize_padded(pixels: np.ndarray, offset: int, length: int, size: int) -> np.ndarray:
    """Resize uint8 [n, ...] along its first axis to [size, ...], with black before and after it up to `length`.

    Follows Pillow's Resample.c step by step, so that the same numbers are rounded; float64 holds all sums exactly.
    """
    result = np.zeros((size, *pixels.shape[1:]), np.uint8)
    values = pixels.reshape(len(pixels), -1).astype(np.float64)
    ratio = length / size
    width = max(ratio, 1.0)
    for i in range(size):
        center = (i + 0.5) * ratio
        first, end = max(0, int(center - width + 0.5)), min(length, int(center + width + 0.5))
        inside = slice(max(first, offset), min(end, offset + len(pixels)))
        if inside.start >= inside.stop:
            continue
        triangle = np.maximum(1 - np.abs((np.arange(first, end) - center + 0.5) * (1 / width)), 0)
        weights = np.floor(triangle / np.add.accumulate(triangle)[-1] * _SCALE + 0.5)
        weights = weights[inside.start - first : inside.stop - first]
        sums = weights @ values[inside.start - offset : inside.stop - offset]
        result[i] = np.minimum((sums + _SCALE // 2) // _SCALE, 255).reshape(pixels.shape[1:])
    return result
