"""A sheet of images beside what a net saw of them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from classicnets.report.fonts import Lettering

_PLAIN, _RIGHT, _WRONG = "#222222", "#1a7f37", "#c62828"
_PAIRS = 4  # beside each other
_NAME, _ANSWER = 24, 22  # so many letters of an image's name and of a class have room


@dataclass(frozen=True)
class Pair:
    """An image uint8 [C, H, W] and what the net saw of it, uint8 [C, h, w]; each None if there is none.

    `said` is what came of it, and `right` whether that is so, where it is known.
    """

    name: str
    original: np.ndarray | None
    seen: np.ndarray | None
    said: str
    right: bool | None = None


def sheet(pairs: Sequence[Pair], title: str) -> Figure:
    """Each image with its name, beside what the net saw with what it said; the reason where it saw nothing."""
    columns = min(_PAIRS, len(pairs))
    rows = -(-len(pairs) // columns)
    width = max(4.5, 3.0 * columns)
    names = Lettering([pair.name for pair in pairs], title, width)
    said = Lettering([pair.said for pair in pairs], "", width)
    figure = Figure(figsize=(width, 0.6 + 1.65 * rows), layout="constrained")
    figure.suptitle(names.title, fontsize=10, **names.style)
    grid = figure.add_gridspec(rows, 3 * columns - 1, width_ratios=[*([1, 1, 0.12] * columns)[:-1]])
    answers = zip(pairs, names.short(_NAME), said.names, said.short(_ANSWER), strict=True)
    for i, (pair, name, whole, answer) in enumerate(answers):
        row, column = i // columns, 3 * (i % columns)
        left, right = (figure.add_subplot(grid[row, at]) for at in (column, column + 1))
        left.set_title(name, fontsize=8, pad=3, **names.style)
        _draw(left, pair.original)
        _draw(right, pair.seen)
        if pair.seen is None:
            why = textwrap.fill(whole, _ANSWER)
            right.text(0.5, 0.5, why, ha="center", va="center", color=_WRONG, fontsize=7, **said.style)
        else:
            color = _PLAIN if pair.right is None else _RIGHT if pair.right else _WRONG
            right.set_title(answer, fontsize=8, pad=3, color=color, **said.style)
    return figure


def _draw(axes: Axes, image: np.ndarray | None) -> None:
    """The image in the middle of a square frame, which stays empty without one."""
    axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1), aspect="equal", facecolor="#eeeeee")
    for side in axes.spines.values():
        side.set_color("#bbbbbb")
    if image is None:
        return
    height, width = image.shape[1:]
    x, y = width / max(height, width) / 2, height / max(height, width) / 2
    pixels = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=(0.5 - x, 0.5 + x, 0.5 - y, 0.5 + y))
    axes.set(xlim=(0, 1), ylim=(0, 1))
