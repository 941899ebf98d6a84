"""Which images are nearly the same, by their thumbnails: copies recompressed, resized, brightened, mirrored, turned.

A thumbnail less its mean, scaled to length 1, does not know brightness and contrast; the squared distance of two is
2 - 2 x correlation. The search is by 36 numbers that are the same for all eight ways to mirror and turn an image: its
8 x 8 lowest DCT coefficients without their signs, those of (u, v) and (v, u) together. Two images are never further
apart in these numbers than in their thumbnails, so the search misses none, and is one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

SURE = 0.004  # images this near (squared distance) are copies
NEAR = 0.008  # and these are if nothing else is about as near: there are trousers that differ no more than copies do
_ABOUT = 2  # times the distance
_COLOR = 0.05  # squared distance of the colors
_CONTRAST = 2.0  # standard deviation of a thumbnail, in gray levels, below which there is nothing to compare
_GAIN = 2.0  # contrasts that differ by a larger factor are no mere change of brightness
_WAVES = 8  # lowest frequencies in each direction
_BLOCK = 512  # images compared with all others at once
_KEPT = 32  # nearest candidates of an image that are looked at
_SLICE = 4096  # pairs verified at once

# Each way to mirror and turn: whether the axes are exchanged (first), then which are mirrored (down, across).
_WAYS = [(False, False, False), (False, False, True)] + [
    (swapped, down, across)
    for swapped in (False, True)
    for down in (False, True)
    for across in (False, True)
    if swapped or down
]


def near_copies(gray: np.ndarray, color: np.ndarray) -> list[tuple[int, int, str]]:
    """Pairs (i, j) of nearly the same images, and how: "near", "mirrored" or "turned" (mirrored or not).

    `gray` is uint8 [N, S, S], `color` uint8 [N, s, s, 3]. Takes no account of crops and of images in other colors,
    nor of images without contrast.
    """
    contrast = gray.std(axis=(1, 2))
    index = np.flatnonzero(contrast >= _CONTRAST)
    if len(index) < 2:
        return []
    gray, color, contrast = gray[index], color[index], contrast[index]
    waves = _waves(gray)
    pairs = np.concatenate([*_candidates(_same_for_all_ways(waves), (_ABOUT * NEAR) ** 0.5)])
    found = []
    for start in range(0, len(pairs), _SLICE):
        i, j = pairs[start : start + _SLICE].T
        way, least = _nearest_way(waves[i], waves[j])
        close = least <= _ABOUT * NEAR
        i, j, way = i[close], j[close], way[close]
        squared = _squared_distances(gray[i], _arranged(gray[j], way))
        same = squared <= _ABOUT * NEAR
        i, j, way, squared = i[same], j[same], way[same], squared[same]
        same = _squared_distances(color[i], _arranged(color[j], way)) <= _COLOR
        gain = contrast[i] / contrast[j]
        same &= (gain < _GAIN) & (gain > 1 / _GAIN)
        found.append((i[same], j[same], way[same], squared[same]))
    if not found:
        return []
    i, j, way, squared = (np.concatenate(part) for part in zip(*found, strict=True))
    good = (squared <= SURE) | ((squared <= NEAR) & _lonely(i, j, squared))
    words = ["near", "mirrored", *["turned"] * 6]
    return [(int(index[a]), int(index[b]), words[w]) for a, b, w in zip(i[good], j[good], way[good], strict=True)]


def _unit(images: np.ndarray) -> np.ndarray:
    """float32 [N, ...] as rows of mean 0 and length 1."""
    rows = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6))


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(2 - 2 * np.einsum("ij,ij->i", _unit(a), _unit(b)))


def _waves(gray: np.ndarray) -> np.ndarray:
    """float32 [N, 8, 8]: the lowest coefficients of an orthonormal DCT of the unit thumbnails."""
    side = gray.shape[1]
    places = (np.arange(side) + 0.5) * np.pi / side
    basis = np.cos(np.arange(_WAVES)[:, None] * places) * (2 / side) ** 0.5
    basis[0] /= 2**0.5
    both = np.kron(basis, basis).astype(np.float32)
    parts = [_unit(gray[start : start + _SLICE]) @ both.T for start in range(0, len(gray), _SLICE)]
    return np.concatenate(parts).reshape(-1, _WAVES, _WAVES)


def _same_for_all_ways(waves: np.ndarray) -> np.ndarray:
    """float32 [N, 36]: mirroring changes signs and turning exchanges (u, v) with (v, u), so neither changes these."""
    u, v = np.triu_indices(_WAVES)
    return np.asarray(np.hypot(waves[:, u, v], np.where(u == v, 0, waves[:, v, u])))


def _candidates(points: np.ndarray, radius: float) -> Iterator[np.ndarray]:
    """All pairs (int [n, 2]) of points within `radius`, but at most the 32 nearest that follow a point in the order of
    the coordinate that varies most; those further apart in it than `radius` are not compared.
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
        for row in np.flatnonzero(near.sum(axis=1) > _KEPT):
            hits = np.flatnonzero(near[row])
            near[row, hits[np.argpartition(squared[row, hits], _KEPT)[_KEPT:]]] = False
        i, j = np.nonzero(near)
        yield np.stack([order[start + i], order[start + j]], axis=1)


def _nearest_way(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In which way (int [n]) the second image of each pair lies nearest to the first, by their coefficients, and the
    squared distance of these, which that of the thumbnails is never below.
    """
    odd = 1 - 2 * (np.arange(_WAVES) % 2)
    products = []
    for swapped, down, across in _WAYS:
        signs = np.outer(odd if down else odd**2, odd if across else odd**2)
        products.append(np.einsum("nuv,nuv->n", first, (second.swapaxes(1, 2) if swapped else second) * signs))
    squares = np.einsum("nuv,nuv->n", first, first) + np.einsum("nuv,nuv->n", second, second)
    return np.argmax(products, axis=0), squares - 2 * np.max(products, axis=0)


def _arranged(images: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Each image [n, S, S, ...] in its way."""
    out = images.copy()
    for number, (swapped, down, across) in enumerate(_WAYS):
        some = images[way == number]
        some = some.swapaxes(1, 2) if swapped else some
        some = some[:, ::-1] if down else some
        out[way == number] = some[:, :, ::-1] if across else some
    return out


def _lonely(i: np.ndarray, j: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """Whether neither image of a pair has another about as near: a copy is much nearer than any stranger."""
    neighbors: dict[int, list[float]] = {}
    for image, distance in zip(np.concatenate([i, j]).tolist(), np.tile(squared, 2).tolist(), strict=True):
        neighbors.setdefault(image, []).append(distance)
    second = {image: sorted([*distances, np.inf])[1] for image, distances in neighbors.items()}
    nearest = [min(second[a], second[b]) for a, b in zip(i.tolist(), j.tolist(), strict=True)]
    return np.asarray(nearest > _ABOUT * squared)
