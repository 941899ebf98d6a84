"""A sheet that shows images as they are, and what a net is given of them under each way of making them square."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from classicnets.report.fonts import FigureText

_CHOSEN, _OTHER = "#c8500a", "#8a8a8a"
_LOOK = 1000  # pixels a side that are drawn of a large image
WORDS = {"crop": "the middle square", "letterbox": "filled up in black", "stretch": "both sides scaled"}


@dataclass(frozen=True)
class Sample:
    """An image uint8 [3, H, W] as it is, and [3, side, side] under each fit."""

    name: str
    image: np.ndarray
    fitted: Mapping[str, np.ndarray]


def draw_sheet(samples: Sequence[Sample], chosen: str, title: str) -> Figure:
    """A column for each sample: as it is, with what a crop keeps inside a dashed line, then a row for each fit."""
    fits = list(samples[0].fitted)
    columns, rows = len(samples), len(fits) + 1
    width = max(4.3, 1.9 + 1.6 * columns)
    lettering = FigureText([sample.name for sample in samples], title, width - 0.3)
    lines = lettering.title.count("\n") + 1
    figure = Figure(figsize=(width, 0.35 + 0.2 * lines + 1.75 * rows), layout="constrained")
    figure.suptitle(lettering.title, fontsize=10, **lettering.style)
    grid = figure.subplots(rows, columns, squeeze=False)
    side = samples[0].fitted[fits[0]].shape[-1]
    _label(grid[0, 0], "as they are", "", marked=False)
    for axes, sample, name in zip(grid[0], samples, lettering.short(20), strict=True):
        _, height, wide = sample.image.shape
        step = max(1, max(height, wide) // _LOOK)
        _draw(axes, sample.image[:, ::step, ::step], (wide, height))
        axes.set_title(f"{name}\n{wide} x {height}", fontsize=8, pad=3, **lettering.style)
        if "crop" in fits and wide != height:
            short = min(wide, height)
            corner = ((wide - short) // 2 - 0.5, (height - short) // 2 - 0.5)
            for color, dash in (("black", "solid"), ("white", (0, (4, 4)))):
                axes.add_patch(Rectangle(corner, short, short, fill=False, linewidth=1.2, color=color, linestyle=dash))
    for row, fit in zip(grid[1:], fits, strict=True):
        marked = fit == chosen
        _label(row[0], f"fit={fit}", f"{WORDS.get(fit, '')}\n{side} x {side}", marked=marked)
        for axes, sample in zip(row, samples, strict=True):
            _draw(axes, sample.fitted[fit], (side, side))
            for spine in axes.spines.values():
                spine.set(visible=True, color=_CHOSEN if marked else _OTHER, linewidth=2.5 if marked else 0.5)
    return figure


def _draw(axes: Axes, image: np.ndarray, size: tuple[int, int]) -> None:
    """The image over `size` (width, height) units, in the middle of a square."""
    wide, height = size
    small = max(image.shape[1:]) < 200
    axes.imshow(
        image.transpose(1, 2, 0),
        extent=(-0.5, wide - 0.5, height - 0.5, -0.5),
        interpolation="nearest" if small else "antialiased",
    )
    left, top, long = (wide - height) / 2, (height - wide) / 2, max(wide, height)
    left, top = min(left, 0) - 0.5, min(top, 0) - 0.5
    axes.set(xticks=[], yticks=[], xlim=(left, left + long), ylim=(top + long, top))
    for spine in axes.spines.values():
        spine.set_visible(False)


def _label(axes: Axes, name: str, more: str, *, marked: bool) -> None:
    """What the row is, left of its first image."""
    words = f"{name}{', chosen' if marked else ''}\n{more}".strip()
    axes.set_ylabel(
        words,
        rotation=0,
        ha="right",
        va="center",
        fontsize=8,
        color=_CHOSEN if marked else "black",
        fontweight="bold" if marked else "normal",
        labelpad=8,
    )
