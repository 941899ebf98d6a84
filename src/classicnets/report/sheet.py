"""A sheet that shows each image beside its preprocessed version and the prediction for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from classicnets.report.fonts import FigureText
from classicnets.text import wrap

_NEUTRAL_COLOR, _CORRECT_COLOR, _WRONG_COLOR = "#222222", "#1a7f37", "#c62828"
_PAIRS_PER_ROW = 4
_NAME_LENGTH, _CAPTION_LENGTH = 22, 22  # Latin letters that fit above an image


@dataclass(frozen=True)
class Pair:
    """An image before and after preprocessing, with the prediction for it.

    Attributes:
        name: shown above the original.
        original: uint8 [C, H, W]; None if the file cannot be read.
        preprocessed: uint8 [C, h, w]; None if the file cannot be read.
        caption: the prediction, or why there is none.
        correct: whether the prediction is the true class; None if that class is unknown.
    """

    name: str
    original: np.ndarray | None
    preprocessed: np.ndarray | None
    caption: str
    correct: bool | None = None


def draw_sheet(pairs: Sequence[Pair], title: str) -> Figure:
    """Draw each image with its name, beside the preprocessed image with its prediction (or the reason for none)."""
    columns = min(_PAIRS_PER_ROW, len(pairs))
    rows = -(-len(pairs) // columns)
    width = max(4.5, 3.0 * columns)
    names = FigureText([pair.name for pair in pairs], title, width)
    captions = FigureText([pair.caption for pair in pairs], "", width)
    figure = Figure(figsize=(width, 0.6 + 1.65 * rows), layout="constrained")
    figure.suptitle(names.title, fontsize=10, **names.style)
    grid = figure.add_gridspec(rows, 3 * columns - 1, width_ratios=[*([1, 1, 0.12] * columns)[:-1]])
    texts = zip(pairs, names.short(_NAME_LENGTH), captions.names, captions.short(_CAPTION_LENGTH), strict=True)
    for i, (pair, name, caption, short_caption) in enumerate(texts):
        row, column = i // columns, 3 * (i % columns)
        left, right = (figure.add_subplot(grid[row, column + offset]) for offset in (0, 1))
        left.set_title(name, fontsize=8, pad=3, **names.style)
        _draw(left, pair.original)
        _draw(right, pair.preprocessed)
        if pair.preprocessed is None:
            reason = "\n".join(wrap(caption, _CAPTION_LENGTH))
            right.text(0.5, 0.5, reason, ha="center", va="center", color=_WRONG_COLOR, fontsize=7, **captions.style)
        else:
            color = _NEUTRAL_COLOR if pair.correct is None else _CORRECT_COLOR if pair.correct else _WRONG_COLOR
            right.set_title(short_caption, fontsize=8, pad=3, color=color, **captions.style)
    return figure


def _draw(axes: Axes, image: np.ndarray | None) -> None:
    """Draw the image centered in a square frame; the frame stays empty without one."""
    axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1), aspect="equal", facecolor="#eeeeee")
    for spine in axes.spines.values():
        spine.set_color("#bbbbbb")
    if image is None:
        return
    height, width = image.shape[1:]
    x, y = width / max(height, width) / 2, height / max(height, width) / 2
    pixels = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=(0.5 - x, 0.5 + x, 0.5 - y, 0.5 + y))
    axes.set(xlim=(0, 1), ylim=(0, 1))
