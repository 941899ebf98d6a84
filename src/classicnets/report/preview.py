"""A figure of images before preprocessing and under each `fit`, for `classicnets data preview`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from classicnets.report.fonts import FigureText
from classicnets.text import _

_CHOSEN_COLOR, _OTHER_COLOR = "#c8500a", "#8a8a8a"
_MAX_PIXELS = 1000  # longer edge of an original; larger ones are subsampled


@dataclass(frozen=True)
class Sample:
    """An image uint8 [3, H, W], and what each `fit` makes of it: uint8 [3, image_size, image_size]."""

    name: str
    image: np.ndarray
    fitted: Mapping[str, np.ndarray]


def draw_sheet(samples: Sequence[Sample], chosen: str, title: str) -> Figure:
    """Draw a column for each sample: the original, with the center crop as a dashed line, and a row for each fit.

    Args:
        samples: the images; all have the same fits.
        chosen: the fit to highlight.
        title: the title of the figure.
    """
    fits = list(samples[0].fitted)
    columns, rows = len(samples), len(fits) + 1
    figure_width = max(4.3, 1.9 + 1.6 * columns)
    text = FigureText([sample.name for sample in samples], title, figure_width - 0.3)
    lines = text.title.count("\n") + 1
    figure = Figure(figsize=(figure_width, 0.35 + 0.2 * lines + 1.75 * rows), layout="constrained")
    figure.suptitle(text.title, fontsize=10, **text.style)
    grid = figure.subplots(rows, columns, squeeze=False)
    image_size = samples[0].fitted[fits[0]].shape[-1]
    _label(grid[0, 0], _("originals"), "", chosen=False)
    for axes, sample, name in zip(grid[0], samples, text.short(20), strict=True):
        _channels, height, width = sample.image.shape
        step = max(1, max(height, width) // _MAX_PIXELS)
        _draw(axes, sample.image[:, ::step, ::step], (width, height))
        axes.set_title(f"{name}\n{width} x {height}", fontsize=8, pad=3, **text.style)
        if "crop" in fits and width != height:
            _outline_crop(axes, width, height)
    for row, fit in zip(grid[1:], fits, strict=True):
        details = "\n".join([*_descriptions().get(fit, "").splitlines(), f"{image_size} x {image_size}"])
        _label(row[0], f"fit={fit}", details, chosen=fit == chosen)
        for axes, sample in zip(row, samples, strict=True):
            _draw(axes, sample.fitted[fit], (image_size, image_size))
            color, line_width = (_CHOSEN_COLOR, 2.5) if fit == chosen else (_OTHER_COLOR, 0.5)
            for spine in axes.spines.values():
                spine.set(visible=True, color=color, linewidth=line_width)
    return figure


def _descriptions() -> dict[str, str]:
    """What each fit does, in a few words."""
    return {"crop": _("center square"), "letterbox": _("black borders"), "stretch": _("aspect ratio\nnot kept")}


def _outline_crop(axes: Axes, width: int, height: int) -> None:
    """Draw the center square as a dashed line that is visible on light and dark images."""
    edge = min(width, height)
    corner = ((width - edge) // 2 - 0.5, (height - edge) // 2 - 0.5)
    for color, style in (("black", "solid"), ("white", (0, (4, 4)))):
        axes.add_patch(Rectangle(corner, edge, edge, fill=False, linewidth=1.2, color=color, linestyle=style))


def _draw(axes: Axes, image: np.ndarray, size: tuple[int, int]) -> None:
    """Draw the image over `size` (width, height) units, centered in a square."""
    width, height = size
    magnified = max(image.shape[1:]) < 200
    axes.imshow(
        image.transpose(1, 2, 0),
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="nearest" if magnified else "antialiased",
    )
    left, top, edge = (width - height) / 2, (height - width) / 2, max(width, height)
    left, top = min(left, 0) - 0.5, min(top, 0) - 0.5
    axes.set(xticks=[], yticks=[], xlim=(left, left + edge), ylim=(top + edge, top))
    for spine in axes.spines.values():
        spine.set_visible(False)


def _label(axes: Axes, name: str, details: str, *, chosen: bool) -> None:
    """Label a row to the left of its first image."""
    heading = _("{name}, chosen", name=name) if chosen else name
    axes.set_ylabel(
        f"{heading}\n{details}".strip(),
        rotation=0,
        ha="right",
        va="center",
        fontsize=8,
        color=_CHOSEN_COLOR if chosen else "black",
        fontweight="bold" if chosen else "normal",
        labelpad=8,
    )
