"""Converts a photographed or drawn character to the format of MNIST.

MNIST's characters are white on black, scaled to fit into a box of 20x20 pixels, and moved so that their center of mass
is the center of 28x28 pixels (LeCun, Cortes, Burges: The MNIST database of handwritten digits).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFilter

from classicnets.errors import DataError
from classicnets.images.decode import read_image
from classicnets.text import _
from classicnets.values import BLACK, WHITE, Preprocess

BOX = 20 / 28  # longer side of the character, as a fraction of the image size
STROKE = 2.2 / 28  # minimum stroke width, as a fraction of the image size; in MNIST, strokes are 2 to 4 pixels wide

_INPUT_SIZE = 448  # longer side in pixels at which ink is detected
_CHARACTER_SIZE = 224  # longer side of the character in pixels, before it is scaled down
_INK = 0.4  # fraction of the darkest ink from which a pixel belongs to a stroke
_SPECK = 0.04  # a patch with less ink than this fraction of the largest patch is dirt
_MIN_CONTRAST = 16 / 255  # between ink and paper, on a scale from black to white
_MIN_CONTRAST_TO_NOISE = 4  # contrast between ink and paper, relative to the variation of the paper


def read_handwriting(file: str | Path | BinaryIO, preprocess: Preprocess) -> np.ndarray:
    """Read an image of one character and scale and center it as in MNIST.

    Returns:
        uint8 [channels, height, width], white on black.

    Raises:
        DataError: CN304, the image cannot be read, or is blank.
    """
    for backdrop in (WHITE, BLACK):  # a transparent image may have ink of either color
        character = centered(read_image(file, 3, backdrop), preprocess.side)
        if character is not None:
            return np.repeat(character[None], preprocess.channels, axis=0)
    raise DataError(
        "CN304",
        _("the image is blank"),
        where=str(file),
        why=_("no ink stands out from the paper"),
        hint=_("without --handwriting, the image is used unchanged"),
    )


def centered(image: np.ndarray, size: int) -> np.ndarray | None:
    """Find the character on an image uint8 [3, H, W] of any colors, and scale and center it.

    Returns:
        uint8 [size, size], white on black; None if there is no character.
    """
    ink = ink_of(_scaled_down(image))
    if ink is None:
        return None
    ink = np.where(_strokes(ink), ink, 0)
    top, bottom, left, right = _bounding_box(ink)
    ink = _thickened(ink[top:bottom, left:right])
    top, bottom, left, right = _bounding_box(ink)
    scale = max(bottom - top, right - left) / (BOX * size)  # pixels here for one pixel of the result
    half = size * scale / 2
    weights = ink / ink.sum()
    y = float((weights.sum(axis=1) * (np.arange(len(ink)) + 0.5)).sum())
    x = float((weights.sum(axis=0) * (np.arange(ink.shape[1]) + 0.5)).sum())
    y, x = (max(high - half, min(low + half, c)) for c, low, high in ((y, top, bottom), (x, left, right)))
    margin = int(2 * half) + 2
    canvas = Image.fromarray(np.pad(ink.astype(np.float32), margin), mode="F")
    x, y = x + margin, y + margin
    small = np.asarray(
        canvas.resize((size, size), Image.Resampling.BILINEAR, box=(x - half, y - half, x + half, y + half))
    )
    return np.asarray(np.rint(small / small.max() * 255), dtype=np.uint8)


def ink_of(image: np.ndarray) -> np.ndarray | None:
    """Estimate the amount of ink at each pixel of an image uint8 [3, H, W].

    The color of the paper is a plane fitted to the border, so that a shadow is not ink. Ink is what differs most from
    the paper, in the color direction of that difference; dark on light, light on dark and color on color work equally.

    Returns:
        float64 [H, W] in 0..1; None if there is no ink.
    """
    pixels = np.moveaxis(image, 0, -1) / 255
    difference = pixels - _paper(pixels)
    distance = np.linalg.norm(difference, axis=2)
    count = _full_ink_count(distance)
    farthest = distance >= np.partition(distance, -count, axis=None)[-count]
    direction = difference[farthest & (distance > 0)].sum(axis=0)
    length = np.linalg.norm(direction)
    if not length:
        return None
    ink = difference @ (direction / length)
    border = np.sort(np.abs(ink[_border(ink.shape)]))
    noise = border[int(0.9 * (len(border) - 1))]
    full = np.median(np.sort(ink, axis=None)[-_full_ink_count(ink) :])
    if full < max(_MIN_CONTRAST, _MIN_CONTRAST_TO_NOISE * noise):
        return None
    low = min(2 * noise, full / 4)
    return np.asarray(((ink - low) / (full - low)).clip(0, 1))


def _full_ink_count(values: np.ndarray) -> int:
    """Number of pixels whose ink is assumed to be full; a thin stroke may have no more."""
    return min(values.size, max(5, values.size // 500))


def _border(shape: tuple[int, ...]) -> np.ndarray:
    """Mask of the pixels at the border, bool [H, W]."""
    height, width = shape[:2]
    margin = max(1, min(height, width) // 20)
    border = np.ones((height, width), dtype=bool)
    border[margin : height - margin, margin : width - margin] = False
    return border


def _paper(pixels: np.ndarray) -> np.ndarray:
    """Color of the paper at each pixel [H, W, 3]: a plane fitted to the border, up to half of which may be ink."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    plane = np.stack([np.ones_like(x), x, y], axis=2)
    border = _border(pixels.shape)
    positions, colors = plane[border], pixels[border]
    coefficients = np.zeros((3, pixels.shape[2]))
    coefficients[0] = np.median(colors, axis=0)
    for _iteration in range(4):
        error = np.abs(colors - positions @ coefficients).max(axis=1)
        inliers = error <= max(3 * float(np.median(error)), 2 / 255)
        coefficients = np.linalg.lstsq(positions[inliers], colors[inliers], rcond=None)[0]
    return plane @ coefficients


def _strokes(ink: np.ndarray) -> np.ndarray:
    """Mask of the character and its soft edge, bool [H, W], without specks."""
    labels, count = _connected_patches(ink >= _INK)
    sums = np.bincount(labels.ravel(), ink.ravel(), minlength=count + 1)
    sums[0] = 0
    strokes = (sums >= _SPECK * sums.max())[labels] & (labels > 0)
    edge = Image.fromarray(strokes.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(5))
    return np.asarray(edge) > 0


def _connected_patches(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Labels the connected patches of a mask [H, W], including diagonal neighbors.

    The runs of each row are joined with the runs that they touch in the row above.

    Returns:
        A label from 1 on for each pixel (0 outside), and the number of labels.
    """
    labels = np.zeros(mask.shape, dtype=np.int64)
    parent = [0]
    above: list[tuple[int, int, int]] = []

    def root(label: int) -> int:
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = parent[label]
        return label

    for row, line in zip(labels, mask, strict=True):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], line.view(np.int8), [0]))))
        runs = []
        for start, stop in edges.reshape(-1, 2).tolist():
            parent.append(label := len(parent))
            for other_start, other_stop, other in above:
                if start <= other_stop and other_start <= stop:
                    parent[root(other)] = root(label)
            row[start:stop] = label
            runs.append((start, stop, label))
        above = runs
    roots = np.array([root(label) for label in range(len(parent))])
    return roots[labels], len(parent)


def _thickened(ink: np.ndarray) -> np.ndarray:
    """Scale the ink to `_CHARACTER_SIZE` pixels and dilate thin strokes to the minimum width; add a margin."""
    height, width = ink.shape
    factor = _CHARACTER_SIZE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    scaled = Image.fromarray(np.rint(ink * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    min_width = STROKE / BOX * _CHARACTER_SIZE
    values = np.pad(np.asarray(scaled), int(min_width) + 1)
    steps = max(0.0, (min_width - _stroke_width(values >= 255 * _INK)) / 2)
    image = Image.fromarray(values)
    for step in range(int(steps)):
        image = _dilated(image, step)
    return np.asarray(Image.blend(image, _dilated(image, int(steps)), steps % 1)) / 255


def _dilated(image: Image.Image, step: int) -> Image.Image:
    """Dilate by one pixel, alternately with a cross and a square, which approximates an octagon."""
    return image.filter(ImageFilter.MaxFilter(3)) if step % 2 else _dilated_by_cross(image)


def _dilated_by_cross(image: Image.Image) -> Image.Image:
    """Maximum of each pixel and its four neighbors."""
    values = np.pad(np.asarray(image), 1)
    center = values[1:-1, 1:-1]
    neighbors = (values[:-2, 1:-1], values[2:, 1:-1], values[1:-1, :-2], values[1:-1, 2:])
    return Image.fromarray(np.maximum.reduce([center, *neighbors]))


def _stroke_width(mask: np.ndarray) -> float:
    """Mean width of the strokes in a mask: twice their area divided by the length of their outline."""
    crossings = sum(int(np.abs(np.diff(mask.astype(np.int8), axis=axis)).sum()) for axis in (0, 1))
    outline = crossings * np.pi / 4  # a slanted outline crosses more grid lines than its length
    return 2 * float(mask.sum()) / outline


def _bounding_box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Bounding box of the ink: top, bottom, left, right."""
    rows, columns = (np.flatnonzero(ink.max(axis=axis) >= _INK) for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _scaled_down(image: np.ndarray) -> np.ndarray:
    """The image uint8 [3, H, W], antialiased, with at most `_INPUT_SIZE` pixels in height and width."""
    scale = _INPUT_SIZE / max(image.shape[1:])
    if scale >= 1:
        return image
    height, width = (max(1, round(scale * n)) for n in image.shape[1:])
    large = Image.fromarray(np.ascontiguousarray(np.moveaxis(image, 0, -1)))
    return np.moveaxis(np.asarray(large.resize((width, height), Image.Resampling.BILINEAR)), -1, 0)
