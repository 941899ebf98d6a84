"""Finds nearly identical images by thumbnails: copies that are recompressed, resized, brightened, flipped, rotated.

A thumbnail minus its mean, scaled to length 1, does not depend on brightness and contrast; the squared distance of two
is 2 - 2 x correlation. Candidates are found by 36 features that are the same for all eight flips and rotations of an
image: the magnitudes of its 8 x 8 lowest DCT coefficients, with (u, v) and (v, u) combined. The distance of two images
in these features is never larger than that of their thumbnails, so the search misses none and is one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

SURE = 0.004  # images within this squared distance are copies
NEAR = 0.008  # within this one only if no other image is about as near: photos of one product differ as little
_AMBIGUITY = 2  # another image within this factor of the distance is about as near
_MAX_COLOR_DISTANCE = 0.05  # squared
_MIN_CONTRAST = 2.0  # standard deviation of a thumbnail in gray levels; below it there is nothing to compare
_MAX_GAIN = 2.0  # a larger ratio of contrasts is not only a change of brightness
_FREQUENCIES = 8  # lowest ones in each direction
_BLOCK = 512  # images compared with all others at once
_MAX_CANDIDATES = 32  # nearest candidates of an image that are verified
_SLICE = 4096  # pairs verified at once

# The eight flips and rotations: whether the axes are swapped (first), then which are flipped (vertical, horizontal).
_ORIENTATIONS = [(False, False, False), (False, False, True)] + [
    (swapped, vertical, horizontal)
    for swapped in (False, True)
    for vertical in (False, True)
    for horizontal in (False, True)
    if swapped or vertical
]
_RELATIONS = ["near", "mirrored", *["turned"] * 6]  # by orientation; these words are part of `data check --json`


def near_copies(gray: np.ndarray, color: np.ndarray) -> list[tuple[int, int, str]]:
    """Find pairs (i, j, relation) of nearly identical images.

    The relation is "near", "mirrored", or "turned" (rotated, flipped or not). Does not find crops, images in other
    colors, or images without contrast.

    Args:
        gray: Thumbnails uint8 [N, S, S].
        color: Thumbnails uint8 [N, s, s, 3].
    """
    contrast = gray.std(axis=(1, 2))
    index = np.flatnonzero(contrast >= _MIN_CONTRAST)
    if len(index) < 2:
        return []
    gray, color, contrast = gray[index], color[index], contrast[index]
    coefficients = _dct(gray)
    pairs = np.concatenate([*_candidates(_invariant_features(coefficients), (_AMBIGUITY * NEAR) ** 0.5)])
    matches = []
    for start in range(0, len(pairs), _SLICE):
        i, j = pairs[start : start + _SLICE].T
        orientation, lower_bound = _nearest_orientation(coefficients[i], coefficients[j])
        close = lower_bound <= _AMBIGUITY * NEAR
        i, j, orientation = i[close], j[close], orientation[close]
        squared = _squared_distances(gray[i], _orient(gray[j], orientation))
        same = squared <= _AMBIGUITY * NEAR
        i, j, orientation, squared = i[same], j[same], orientation[same], squared[same]
        same = _squared_distances(color[i], _orient(color[j], orientation)) <= _MAX_COLOR_DISTANCE
        gain = contrast[i] / contrast[j]
        same &= (gain < _MAX_GAIN) & (gain > 1 / _MAX_GAIN)
        matches.append((i[same], j[same], orientation[same], squared[same]))
    if not matches:
        return []
    i, j, orientation, squared = (np.concatenate(part) for part in zip(*matches, strict=True))
    good = (squared <= SURE) | ((squared <= NEAR) & _is_unambiguous(i, j, squared))
    rows = zip(i[good], j[good], orientation[good], strict=True)
    return [(int(index[a]), int(index[b]), _RELATIONS[o]) for a, b, o in rows]


def _standardize(images: np.ndarray) -> np.ndarray:
    """[N, ...] as float32 rows of mean 0 and length 1."""
    rows = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6))


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(2 - 2 * np.einsum("ij,ij->i", _standardize(a), _standardize(b)))


def _dct(gray: np.ndarray) -> np.ndarray:
    """float32 [N, 8, 8]: the lowest coefficients of an orthonormal DCT of the standardized thumbnails."""
    size = gray.shape[1]
    angles = (np.arange(size) + 0.5) * np.pi / size
    basis = np.cos(np.arange(_FREQUENCIES)[:, None] * angles) * (2 / size) ** 0.5
    basis[0] /= 2**0.5
    basis_2d = np.kron(basis, basis).astype(np.float32)
    parts = [_standardize(gray[start : start + _SLICE]) @ basis_2d.T for start in range(0, len(gray), _SLICE)]
    return np.concatenate(parts).reshape(-1, _FREQUENCIES, _FREQUENCIES)


def _invariant_features(coefficients: np.ndarray) -> np.ndarray:
    """float32 [N, 36]: flips change signs, and rotations also swap (u, v) with (v, u); neither changes these."""
    u, v = np.triu_indices(_FREQUENCIES)
    return np.asarray(np.hypot(coefficients[:, u, v], np.where(u == v, 0, coefficients[:, v, u])))


def _candidates(points: np.ndarray, radius: float) -> Iterator[np.ndarray]:
    """Pairs (int [n, 2]) of points within `radius`.

    Points are sorted by the coordinate that varies most, and those further apart in it than `radius` are not compared.
    Of the points that follow a point, at most the 32 nearest are taken.
    """
    axis = int(points.std(axis=0).argmax())
    order = np.argsort(points[:, axis], kind="stable")
    points = np.ascontiguousarray(points[order])
    squares = np.einsum("ij,ij->i", points, points)
    ends = np.searchsorted(points[:, axis], points[:, axis] + radius, side="right")
    for start in range(0, len(points), _BLOCK):
        stop = min(start + _BLOCK, len(points))
        end = ends[stop - 1]
        squared = points[start:stop] @ points[start:end].T
        squared *= -2
        squared += squares[start:end]
        squared += squares[start:stop, None]
        near = squared <= radius**2
        near &= np.arange(end - start) > np.arange(stop - start)[:, None]
        for row in np.flatnonzero(near.sum(axis=1) > _MAX_CANDIDATES):
            hits = np.flatnonzero(near[row])
            near[row, hits[np.argpartition(squared[row, hits], _MAX_CANDIDATES)[_MAX_CANDIDATES:]]] = False
        i, j = np.nonzero(near)
        yield np.stack([order[start + i], order[start + j]], axis=1)


def _nearest_orientation(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The orientation (int [n]) in which the second image of each pair is nearest to the first, by coefficients.

    Also returns the squared distance of the coefficients, a lower bound of that of the thumbnails.
    """
    odd = 1 - 2 * (np.arange(_FREQUENCIES) % 2)
    products = []
    for swapped, vertical, horizontal in _ORIENTATIONS:
        signs = np.outer(odd if vertical else odd**2, odd if horizontal else odd**2)
        products.append(np.einsum("nuv,nuv->n", first, (second.swapaxes(1, 2) if swapped else second) * signs))
    squares = np.einsum("nuv,nuv->n", first, first) + np.einsum("nuv,nuv->n", second, second)
    return np.argmax(products, axis=0), squares - 2 * np.max(products, axis=0)


def _orient(images: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Each image [n, S, S, ...] flipped and rotated into its orientation."""
    out = images.copy()
    for number, (swapped, vertical, horizontal) in enumerate(_ORIENTATIONS):
        selected = images[orientation == number]
        selected = selected.swapaxes(1, 2) if swapped else selected
        selected = selected[:, ::-1] if vertical else selected
        out[orientation == number] = selected[:, :, ::-1] if horizontal else selected
    return out


def _is_unambiguous(i: np.ndarray, j: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """Whether no other image is about as near to either image of a pair: a copy is much nearer than others."""
    distances: dict[int, list[float]] = {}
    for image, distance in zip(np.concatenate([i, j]).tolist(), np.tile(squared, 2).tolist(), strict=True):
        distances.setdefault(image, []).append(distance)
    second = {image: sorted([*values, np.inf])[1] for image, values in distances.items()}
    nearest = [min(second[a], second[b]) for a, b in zip(i.tolist(), j.tolist(), strict=True)]
    return np.asarray(nearest > _AMBIGUITY * squared)
