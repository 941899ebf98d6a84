"""Chooses the color that transparent parts of images show: the one that the opaque parts stand out from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classicnets.text import _, in_context
from classicnets.values import BLACK, GRAY, LUMA, WHITE, rgb

CANDIDATES = (BLACK, WHITE, GRAY)  # gray only if both others hide images
HIDDEN = 32.0  # mean difference in gray levels from the background up to which a shape hardly shows

_MAX_SIZE = 256  # pixels of each edge of an image that are compared

Contrasts = tuple[float, ...]  # an image's mean difference from each of CANDIDATES, in gray levels


def contrasts(pixels: np.ndarray) -> Contrasts:
    """Return how far an image uint8 [H, W, 4] is from each of CANDIDATES, weighted by opacity; () if all is clear."""
    rows, columns = (max(1, length // _MAX_SIZE) for length in pixels.shape[:2])
    pixels = pixels[::rows, ::columns].astype(np.float32)
    opacity = pixels[..., 3]
    if not opacity.any():
        return ()
    gray = pixels[..., :3] @ np.array(LUMA, np.float32)
    levels = (float(np.dot(rgb(color), LUMA)) for color in CANDIDATES)
    return tuple(float((np.abs(gray - level) * opacity).sum() / opacity.sum()) for level in levels)


def choose(images: Sequence[Contrasts]) -> str:
    """Return the candidate that hides the fewest images; of several, the one that they differ from most.

    Black if no image has transparent parts.
    """
    images = [values for values in images if values]
    if not images:
        return BLACK
    differences = np.array(images)
    hidden = (differences <= HIDDEN).sum(axis=0)
    order = sorted(range(len(CANDIDATES)), key=lambda i: (hidden[i], -differences[:, i].mean()))
    return CANDIDATES[order[0]]


def hidden(values: Contrasts, color: str) -> bool:
    """Return whether an image hardly shows on a candidate."""
    return bool(values) and values[CANDIDATES.index(color)] <= HIDDEN


def name(color: str) -> str:
    """Return a color in words, if it has a word."""
    return {BLACK: _("black"), WHITE: _("white"), GRAY: in_context("background", "gray")}.get(color, color)


def setting(color: str) -> str:
    """Return a color as it is typed: --set background=white."""
    return {BLACK: "black", WHITE: "white", GRAY: "gray"}.get(color, color)
