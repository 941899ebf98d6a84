"""A photographed or drawn character, made into what a net that learned MNIST has seen.

MNIST's characters are white on black, scaled to fit a box of 20x20 pixels, and moved so that their center of mass is
the middle of 28x28 (LeCun, Cortes, Burges: The MNIST database of handwritten digits).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFilter

from classicnets.errors import DataError
from classicnets.images.decode import read_image
from classicnets.values import Preprocess

BOX = 20 / 28  # the share of the side that the character's longer side takes
STROKE = 2.2 / 28  # the share of the side below which a stroke is made bolder: MNIST's are 2 to 4 pixels wide

_WORKED = 448  # pixels of the longer side at which the ink is looked for
_DRAWN = 224  # and of the character's longer side from which it is scaled down
_INK = 0.4  # the share of the darkest ink from which on a pixel belongs to a stroke
_SPECK = 0.04  # a patch with less than this share of the largest patch's ink is dirt
_FAINT = 16 / 255  # ink differs from its paper by at least so much, on a scale from black to white
_CLEAR = 4  # and by at least so many times what the paper itself varies


def read_handwriting(file: str | Path | BinaryIO, preprocess: Preprocess) -> np.ndarray:
    """uint8 [channels, side, side] of an image of one character, white on black, as large and central as in MNIST.

    Raises DataError CN304 as `read_picture`, and where nothing is drawn.
    """
    for backdrop in (255, 0):  # of a transparent image: the one on which the ink can be seen
        drawn = centered(read_image(file, 3, backdrop), preprocess.side)
        if drawn is not None:
            return np.repeat(drawn[None], preprocess.channels, axis=0)
    raise DataError(
        "CN304",
        "nothing is drawn on the image",
        where=str(file),
        why="no ink stands out from the paper",
        hint="without --handwriting the image is taken as it is",
    )


def centered(image: np.ndarray, side: int) -> np.ndarray | None:
    """uint8 [side, side], white on black, of the character on an image uint8 [3, H, W] of any colors; None if there
    is none.
    """
    ink = ink_of(_shrunk(image))
    if ink is None:
        return None
    ink = np.where(_strokes(ink), ink, 0)
    top, bottom, left, right = _box(ink)
    ink = _bold(ink[top:bottom, left:right])
    top, bottom, left, right = _box(ink)
    scale = max(bottom - top, right - left) / (BOX * side)  # pixels here for one of the result
    half = side * scale / 2
    weights = ink / ink.sum()
    y = float((weights.sum(axis=1) * (np.arange(len(ink)) + 0.5)).sum())
    x = float((weights.sum(axis=0) * (np.arange(ink.shape[1]) + 0.5)).sum())
    y, x = (max(high - half, min(low + half, at)) for at, low, high in ((y, top, bottom), (x, left, right)))
    margin = int(2 * half) + 2
    canvas = Image.fromarray(np.pad(ink.astype(np.float32), margin), mode="F")
    x, y = x + margin, y + margin
    small = np.asarray(
        canvas.resize((side, side), Image.Resampling.BILINEAR, box=(x - half, y - half, x + half, y + half))
    )
    return np.asarray(np.rint(small / small.max() * 255), dtype=np.uint8)


def ink_of(image: np.ndarray) -> np.ndarray | None:
    """How much ink each pixel of an image uint8 [3, H, W] has, float64 [H, W] in 0..1; None if there is none.

    The paper is what the border shows, a plane of color, so that a shadow across it is no ink. Ink is what differs
    from it most, in the direction of that difference: dark on light, light on dark and color on color are the same.
    """
    pixels = np.moveaxis(image, 0, -1) / 255
    difference = pixels - _paper(pixels)
    far = np.linalg.norm(difference, axis=2)
    most = far >= np.partition(far, -_darkest(far), axis=None)[-_darkest(far)]
    direction = difference[most & (far > 0)].sum(axis=0)
    length = np.linalg.norm(direction)
    if not length:
        return None
    ink = difference @ (direction / length)
    ring = np.sort(np.abs(ink[_border(ink.shape)]))
    noise = ring[int(0.9 * (len(ring) - 1))]
    full = np.median(np.sort(ink, axis=None)[-_darkest(ink) :])
    if full < max(_FAINT, _CLEAR * noise):
        return None
    low = min(2 * noise, full / 4)
    return np.asarray(((ink - low) / (full - low)).clip(0, 1))


def _darkest(values: np.ndarray) -> int:
    """How many pixels stand for the full ink: a thin stroke has no more."""
    return min(values.size, max(5, values.size // 500))


def _border(shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels lie along the border, bool [H, W]."""
    height, width = shape[:2]
    wide = max(1, min(height, width) // 20)
    ring = np.ones((height, width), dtype=bool)
    ring[wide : height - wide, wide : width - wide] = False
    return ring


def _paper(pixels: np.ndarray) -> np.ndarray:
    """The paper's color at each pixel [H, W, 3]: a plane through the border, of which half may be something else."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    plane = np.stack([np.ones_like(x), x, y], axis=2)
    ring = _border(pixels.shape)
    places, colors = plane[ring], pixels[ring]
    kept = np.ones(len(places), dtype=bool)
    found = np.zeros((3, pixels.shape[2]))
    found[0] = np.median(colors, axis=0)
    for _ in range(4):
        error = np.abs(colors - places @ found).max(axis=1)
        kept = error <= max(3 * float(np.median(error)), 2 / 255)
        found = np.linalg.lstsq(places[kept], colors[kept], rcond=None)[0]
    return plane @ found


def _strokes(ink: np.ndarray) -> np.ndarray:
    """Which pixels are of the character and its soft edge, bool [H, W]: all but specks and what lies apart."""
    labels, count = _patches(ink >= _INK)
    sums = np.bincount(labels.ravel(), ink.ravel(), minlength=count + 1)
    sums[0] = 0
    kept = (sums >= _SPECK * sums.max())[labels] & (labels > 0)
    edge = Image.fromarray(kept.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(5))
    return np.asarray(edge) > 0


def _patches(inside: np.ndarray) -> tuple[np.ndarray, int]:
    """The connected patches (corners count) of a mask [H, W]: a number from 1 on for each pixel, 0 outside, and
    how many numbers there are. Each row's runs are joined with those they touch in the row above.
    """
    labels = np.zeros(inside.shape, dtype=np.int64)
    parent = [0]
    above: list[tuple[int, int, int]] = []

    def root(label: int) -> int:
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = parent[label]
        return label

    for row, line in zip(labels, inside, strict=True):
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


def _bold(ink: np.ndarray) -> np.ndarray:
    """The ink at `_DRAWN` pixels, its strokes made as wide as they must be not to fade when they are scaled down; with
    room around it.
    """
    height, width = ink.shape
    factor = _DRAWN / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    drawn = Image.fromarray(np.rint(ink * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    goal = STROKE / BOX * _DRAWN
    values = np.pad(np.asarray(drawn), int(goal) + 1)
    steps = max(0.0, (goal - _width(values >= 255 * _INK)) / 2)
    grown = Image.fromarray(values)
    for step in range(int(steps)):
        grown = _grown(grown, step)
    return np.asarray(Image.blend(grown, _grown(grown, int(steps)), steps % 1)) / 255


def _grown(image: Image.Image, step: int) -> Image.Image:
    """Ink one pixel wider on every side: by turns a cross and a square, which together make an octagon."""
    return image.filter(ImageFilter.MaxFilter(3)) if step % 2 else _cross(image)


def _cross(image: Image.Image) -> Image.Image:
    """Each pixel as the largest of itself and its four neighbors."""
    values = np.pad(np.asarray(image), 1)
    middle = values[1:-1, 1:-1]
    around = (values[:-2, 1:-1], values[2:, 1:-1], values[1:-1, :-2], values[1:-1, 2:])
    return Image.fromarray(np.maximum.reduce([middle, *around]))


def _width(inside: np.ndarray) -> float:
    """How wide strokes are, from a mask: twice their area over the length of their outline."""
    crossings = sum(int(np.abs(np.diff(inside.astype(np.int8), axis=axis)).sum()) for axis in (0, 1))
    return (
        2 * float(inside.sum()) / (crossings * np.pi / 4)
    )  # a slanted outline crosses more grid lines than it is long


def _box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """The rows and columns between which the ink lies: top, bottom, left, right."""
    rows, columns = (np.flatnonzero(ink.max(axis=axis) >= _INK) for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _shrunk(image: np.ndarray) -> np.ndarray:
    """The image uint8 [3, H, W], antialiased to at most `_WORKED` pixels a side."""
    scale = _WORKED / max(image.shape[1:])
    if scale >= 1:
        return image
    height, width = (max(1, round(scale * n)) for n in image.shape[1:])
    small = Image.fromarray(np.ascontiguousarray(np.moveaxis(image, 0, -1)))
    return np.moveaxis(np.asarray(small.resize((width, height), Image.Resampling.BILINEAR)), -1, 0)
