"""What a classical method sees of an image: its pixels, or histograms of oriented gradients (HOG)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

ORIENTATIONS = 9
_CELLS = 7  # cells along a side, one more if the size is no multiple
_MIN_CELL = 4  # pixels
MIN_HOG_SIZE = 2 * _MIN_CELL  # a block has two cells along each side
_CLIP = 0.2
_SMALL = 1e-5  # keeps the norm of an empty block from being 0


def pixels(images: Floats) -> Floats:
    """Return the pixels of images [N, C, S, S] in 0..1 as they are, float32 [N, C * S * S]."""
    return images.reshape(len(images), -1)


def hog(images: Floats) -> Floats:
    """Return histograms of oriented gradients, after Dalal and Triggs 2005.

    As in the paper: differences [-1, 0, 1] without smoothing, of the channel with the largest gradient; 9 orientations
    of 0 to 180 degrees, into the two nearest of which a pixel votes with its magnitude, by linear interpolation; blocks
    of 2x2 cells that overlap by half; each block is divided by its L2 norm, clipped at 0.2 and divided again (L2-Hys).

    Not as in the paper: a pixel votes in its own cell only (the paper also interpolates between cells), without a
    Gaussian window; pixels are not gamma-corrected; beyond the border, an image continues with its outermost pixels.
    The paper's cells have 8x8 pixels in windows of 64x128. Ours have a seventh of the image along each side, and at
    least 4x4 pixels, so that their number does not grow with the image; pixels at the right and lower border that fill
    no cell are left out.

    Args:
        images: float32 [N, C, S, S] in 0..1, with S of at least `MIN_HOG_SIZE`.

    Returns:
        float32 [N, blocks * blocks * 36]: 1,296 values for images of 28x28 pixels.
    """
    size = images.shape[-1]
    cell = max(_MIN_CELL, size // _CELLS)
    count = size // cell
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    dx = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    dy = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    strongest = (dx**2 + dy**2).argmax(axis=1, keepdims=True)
    dx, dy = (np.take_along_axis(d, strongest, axis=1)[:, 0, : count * cell, : count * cell] for d in (dx, dy))
    magnitude = np.sqrt(dx**2 + dy**2)
    # Orientations are counted from 0 degrees on; the center of the first bin is at half its width.
    position = (np.arctan2(dy, dx) / np.pi * ORIENTATIONS) % ORIENTATIONS - 0.5
    cells = np.empty((len(images), count, count, ORIENTATIONS), np.float32)
    for orientation in range(ORIENTATIONS):
        distance = np.abs(position - orientation)
        share = np.clip(1 - np.minimum(distance, ORIENTATIONS - distance), 0, 1)
        votes = (share * magnitude).reshape(len(images), count, cell, count, cell)
        cells[..., orientation] = votes.sum(axis=(2, 4))
    corners = [cells[:, i : count - 1 + i, j : count - 1 + j] for i in (0, 1) for j in (0, 1)]
    blocks = np.concatenate(corners, axis=-1)
    blocks = np.minimum(_normalized(blocks), _CLIP)
    return _normalized(blocks).reshape(len(images), -1)


def _normalized(blocks: Floats) -> Floats:
    """Divide each block, the last axis, by its L2 norm."""
    norms: Floats = np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + np.float32(_SMALL**2))
    return blocks / norms


FEATURES: dict[str, Callable[[Floats], Floats]] = {"pixels": pixels, "hog": hog}
