"""Draws characters with strokes, like handwriting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

TWO = [[(0.1, 0.3), (0.2, 0.1), (0.4, 0), (0.55, 0.1), (0.6, 0.3), (0.5, 0.5), (0.1, 1), (0.7, 1)]]
FOUR = [[(0.4, 0), (0, 0.6), (0.7, 0.6)], [(0.5, 0.3), (0.5, 1)]]
FIVE = [[(0.6, 0), (0.1, 0), (0.08, 0.4), (0.4, 0.4), (0.6, 0.6), (0.55, 0.9), (0.3, 1), (0, 0.9)]]
SHAPES = {"two": TWO, "four": FOUR, "five": FIVE}
BLACK, WHITE = (0, 0, 0), (255, 255, 255)

Color = tuple[int, int, int]


def draw(
    lines: Sequence[Sequence[tuple[float, float]]],
    size: tuple[int, int] = (400, 400),
    at: tuple[int, int] = (100, 100),
    height: int = 200,
    width: float = 0.1,
    ink: Color = BLACK,
    paper: Color = WHITE,
) -> np.ndarray:
    """Draws a character at twice the size and scales it down.

    Args:
        lines: The strokes; a character is 1 high.
        size: Width and height of the image.
        at: Left and top edge of the character.
        height: Height of the character in pixels.
        width: Stroke width as a fraction of the height.
        ink: Color of the strokes.
        paper: Color of the background.

    Returns:
        uint8 [3, H, W].
    """
    image = Image.new("RGB", (size[0] * 2, size[1] * 2), paper)
    pen, radius = ImageDraw.Draw(image), width * height
    for line in lines:
        points = [(2 * (at[0] + height * x), 2 * (at[1] + height * y)) for x, y in line]
        pen.line(points, fill=ink, width=round(2 * radius), joint="curve")
        for x, y in (points[0], points[-1]):
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=ink)
    return np.moveaxis(np.asarray(image.resize(size, Image.Resampling.LANCZOS)), -1, 0)
