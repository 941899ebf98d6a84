"""Looks at a sample of the training images of a folder or CSV: their kind, size, and whether they may be mirrored.

Deterministic, and blind to the validation and test splits. The recipe `folder` follows from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from classicnets.errors import DataError
from classicnets.images.decode import read_fitted, read_header
from classicnets.images.layout import read_layout
from classicnets.images.splits import Layout
from classicnets.recipes.folder import GRAPHICS, PHOTOS, SYMBOLS, Look
from classicnets.values import Preprocess
from classicnets.workers import ordered_map

_SAMPLE = 400  # images, evenly from all classes
_LOOK_SIZE = 64  # pixels per side at which images are looked at, at most
_COMPARED_SIZE = 16  # and at which they are compared with each other
_MAX_BETWEEN = 0.1  # largest share of pixels between the two tones of a symbol
_MAX_OTHER = 0.03  # largest share of a symbol's variance that is not along the line from one tone to the other
_MIN_FLAT = 0.35  # smallest share of pixels that equal their right neighbor, of graphics
_BACKGROUND = "#808080"  # of transparent images, so that neither dark nor light shapes disappear
_SAME = 2  # levels by which equal pixels may differ, after resizing
_SIDES = {"left": "right", "right": "left", "west": "east", "east": "west"}


def look(path: Path) -> Look:
    """Look at the training images of a folder or CSV; images that cannot be read are left out.

    Raises:
        DataError: CN304 if no image of the sample can be read; CN307 if the data set is not valid.
    """
    layout = read_layout(path)
    files = sample(layout)
    headers = [header for header in ordered_map(_header, [file for _label, file in files]) if header]
    size = int(np.median([min(height, width) for height, width in headers])) if headers else _LOOK_SIZE
    preprocess = Preprocess(channels=3, image_size=min(size, _LOOK_SIZE), background=_BACKGROUND)
    labels, images, error = [], [], None
    for (label, _file), image in zip(files, ordered_map(lambda f: _read(f[1], preprocess), files), strict=True):
        if isinstance(image, DataError):
            error = image
        else:
            labels.append(label)
            images.append(image)
    if not images and error is not None:
        raise error
    kind = kind_of(images)
    flips = kind != SYMBOLS and not _names_sides(layout.classes) and not mirroring_confuses(images, labels)
    return Look(kind=kind, size=size, flips=flips)


def sample(layout: Layout) -> list[tuple[str, Path]]:
    """Return (class, path) of at most 400 training images: as many of each class as there are, evenly spaced."""
    share = max(1, _SAMPLE // max(1, len(layout.classes)))
    rows = []
    for label in layout.classes:
        paths = layout.train.get(label, [])
        count = min(share, len(paths))
        rows += [(label, paths[i * len(paths) // count]) for i in range(count)]
    step = -(-len(rows) // _SAMPLE)  # if there are more classes than that
    return rows[:: max(1, step)]


def kind_of(images: Sequence[np.ndarray]) -> str:
    """Return the kind of images uint8 [3, S, S], by the medians of three shares.

    Symbols: nearly all pixels have one of two tones. Graphics: many pixels equal their right neighbor. Photos: others.
    """
    between, other, flat = (float(np.median(values)) for values in zip(*map(shares, images), strict=True))
    if between <= _MAX_BETWEEN and other <= _MAX_OTHER:
        return SYMBOLS
    return GRAPHICS if flat >= _MIN_FLAT else PHOTOS


def shares(image: np.ndarray) -> tuple[float, float, float]:
    """Return three shares of an image uint8 [3, S, S].

    Returns:
        The share of pixels between its two tones, the share of its variance that is not along the line between them,
        and the share of pixels that equal their right neighbor.
    """
    levels = image.astype(np.int16)
    flat = float((np.abs(np.diff(levels, axis=2)).max(axis=0) <= _SAME).mean()) if levels.shape[2] > 1 else 1.0
    pixels = image.reshape(3, -1).astype(np.float64)
    pixels -= pixels.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(pixels @ pixels.T)
    total = float(values.sum())
    if total < 1e-6:  # of one color
        return 1.0, 0.0, flat
    along = vectors[:, -1] @ pixels
    low, high = np.percentile(along, (1, 99))
    place = (along - low) / max(high - low, 1e-9)
    return float(((place > 0.25) & (place < 0.75)).mean()), float(1 - values[-1] / total), flat


def mirroring_confuses(images: Sequence[np.ndarray], labels: Sequence[str]) -> bool:
    """Return whether mirrored images make others be mistaken, as a mirrored b is a d.

    Each image is classified by its nearest neighbor among all others, without and with their mirrored copies. Mirroring
    confuses if significantly more images are then classified wrongly (two standard deviations of a sign test).

    Args:
        images: uint8 [3, S, S].
        labels: their classes.
    """
    if len(images) < 2:
        return False
    small = np.stack([_shrink(image) for image in images])
    numbers = np.unique(np.array(labels), return_inverse=True)[1]
    plain = _distances(small, small)
    mirrored = _distances(small, small[:, :, :, ::-1])
    for distances in (plain, mirrored):
        np.fill_diagonal(distances, np.inf)
    nearest, nearest_mirrored = plain.argmin(axis=1), mirrored.argmin(axis=1)
    every = np.arange(len(small))
    use_mirrored = mirrored[every, nearest_mirrored] < plain[every, nearest]
    right = numbers[nearest] == numbers
    right_with = numbers[np.where(use_mirrored, nearest_mirrored, nearest)] == numbers
    lost, gained = int((right & ~right_with).sum()), int((~right & right_with).sum())
    return bool(lost - gained > max(2.0, 2 * math.sqrt(lost + gained)))


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances float64 [N, N] between images [N, C, H, W]."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    return np.asarray((a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T)


def _shrink(image: np.ndarray) -> np.ndarray:
    """Average an image [3, S, S] to at most 16x16, float64."""
    side = image.shape[-1]
    edges = np.arange(min(side, _COMPARED_SIZE)) * side // min(side, _COMPARED_SIZE)
    widths = np.diff([*edges, side])
    sums = np.add.reduceat(np.add.reduceat(image.astype(np.float64), edges, axis=1), edges, axis=2)
    return np.asarray(sums / (widths[:, None] * widths))


def _names_sides(classes: Iterable[str]) -> bool:
    """Whether two classes have names that differ only in left and right, such as "turn left" and "turn right"."""
    names = {name.casefold() for name in classes}
    pattern = "|".join(_SIDES)
    return any(re.sub(pattern, lambda m: _SIDES[m[0]], name) in names - {name} for name in names)


def _header(path: Path) -> tuple[int, int] | None:
    """(height, width), or None if the file cannot be read."""
    try:
        return read_header(path)[1:3]
    except DataError:
        return None


def _read(path: Path, preprocess: Preprocess) -> np.ndarray | DataError:
    try:
        return read_fitted(path, preprocess)
    except DataError as error:
        return error
