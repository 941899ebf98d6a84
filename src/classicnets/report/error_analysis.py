"""Images of what a net gets wrong: which classes, which images, and how far its probabilities can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from classicnets.report.fonts import FigureText

_RIGHT, _WRONG, _SURE = "#1a7f37", "#c62828", "#1f6fb4"
_MISTAKES = LinearSegmentedColormap.from_list("mistakes", ["#fde3cb", "#f28e3c", "#7f2704"]).with_extremes(
    under="white", bad="#e4e4e4"
)
_COUNTED = 20  # up to so many classes a cell has room for its number
_CELL_WIDE, _CELL_HIGH = 1.25, 1.6  # inches of the contact sheet, for an image of one inch and two lines
_SHOWN = 100  # up to so many classes a row has room for its name


def draw_confusion_matrix(matrix: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> Figure:
    """The confusion matrix, where `matrix[t][p]` counts the images of class t that were taken for p.

    The color is the share of the class's images; mistakes alone have one, so that the diagonal does not drown them.
    Of more than 100 classes those of the commonest mistakes are shown; shares are of all images still.
    """
    counts = np.asarray(matrix)
    shown = _most_mistaken(counts)
    n, few = len(shown), len(shown) <= _COUNTED
    if n < len(counts):
        title += f"\nthe {n} classes of the commonest mistakes, of {len(counts):,}"
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    mistakes = np.where(np.eye(len(counts), dtype=bool), np.nan, shares)[np.ix_(shown, shown)]
    darkest = max(0.05, float(np.nan_to_num(mistakes).max()))
    side = max(5, 2.6 + n * (0.5 if few else 0.115))
    lettering = FigureText(classes, title, side + 1)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    figure.suptitle(lettering.title, fontsize=10, **lettering.style)
    axes = figure.subplots()
    image = axes.imshow(mistakes, cmap=_MISTAKES, vmin=1e-9, vmax=darkest)
    names = np.array(lettering.short(24))[shown]
    style = {"fontsize": 9 if few else 6, **lettering.style}
    slant = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if few else {"rotation": 90}
    axes.set_xticks(range(n), names, **style, **slant)
    axes.set_yticks(range(n), names, **style)
    axes.set_xticks(np.arange(n - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(n - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="#dddddd", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("taken for")
    axes.set_ylabel("true class")
    figure.colorbar(image, shrink=0.6, label="share of the true class", format="{x:.0%}")
    if few:
        _number(axes, counts, darkest)
    return figure


def draw_reliability_diagram(bins: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """The reliability diagram: how often the net was right where it was so sure, and how often it was so sure.

    `bins` are those of metrics.json: low, high, n, confidence and accuracy (None where n is 0).
    """
    lettering = FigureText([], title, 6)
    figure = Figure(figsize=(6, 6.2), layout="constrained")
    figure.suptitle(lettering.title, fontsize=10, **lettering.style)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    full = [b for b in bins if b["n"]]
    low, high, n, sure, right = (np.array([b[k] for b in full]) for k in ("low", "high", "n", "confidence", "accuracy"))
    above.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=1, label="as often right as it was sure")
    for side, color, label in (
        (right < sure, _WRONG, "less often: too sure"),
        (right > sure, _RIGHT, "more often: not sure enough"),
    ):
        gap, width = (right - sure)[side], (high - low)[side]
        if side.any():
            above.bar(low[side], gap, width, sure[side], align="edge", color=color, alpha=0.35, label=label)
    above.plot(sure, right, color=_SURE, marker="o", markersize=4)
    below.bar(low, n / n.sum(), high - low, align="edge", color=_SURE, edgecolor="white")
    above.set(ylabel="share that was right", xlim=(0, 1), ylim=(0, 1))
    below.set(xlabel="probability of the predicted class", ylabel="share of\nimages")
    above.legend(loc="best", fontsize="small")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    return figure


def draw_contact_sheet(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    title: str,
    columns: int = 10,
) -> Figure:
    """The first images of a split with true and predicted class, then the mistakes the net was surest of.

    `images` is uint8 [N, C, H, W] with C 1 or 3, `probabilities` [N, classes].
    """
    predicted, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    first = np.arange(min(3 * columns, len(labels)))
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][: 3 * columns]
    sections = [(f"the first {len(first)} of {len(labels):,} test images", first)]
    if len(worst):
        sections.append((f"the {len(worst)} surest of {len(wrong):,} mistakes", worst))
    title += "\ntrue class above, predicted class and its probability below"
    lettering = FigureText(classes, title, columns * _CELL_WIDE)
    above, below = lettering.short(17), lettering.short(12)
    head = 0.2 + 0.17 * (lettering.title.count("\n") + 1)
    rows = [-(-len(index) // columns) for _, index in sections]
    width, height = columns * _CELL_WIDE, head + sum(0.4 + _CELL_HIGH * n for n in rows)
    figure = Figure(figsize=(width, height))
    figure.suptitle(lettering.title, fontsize=10, y=1 - 0.08 / height, **lettering.style)
    # one area in inches, down from the top, in which each thing has its place: to lay out sixty takes a second
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    top = head
    tall, wide = np.array(images.shape[2:]) / max(images.shape[2:])
    for (heading, index), n in zip(sections, rows, strict=True):
        axes.text(width / 2, top + 0.2, heading, ha="center", va="center", fontsize=10, fontweight="bold")
        for place, i in enumerate(index):
            row, column = divmod(place, columns)
            x, y = (column + 0.5) * _CELL_WIDE, top + 0.4 + row * _CELL_HIGH + 0.75
            image = images[i][0] if len(images[i]) == 1 else np.moveaxis(images[i], 0, -1)
            box = (x - wide / 2, x + wide / 2, y + tall / 2, y - tall / 2)
            axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=box, aspect="auto")
            axes.text(x, y - 0.53, above[labels[i]], ha="center", va="bottom", fontsize=7, **lettering.style)
            axes.text(
                x,
                y + 0.53,
                f"{below[predicted[i]]} {sure[i]:.2f}",
                ha="center",
                va="top",
                fontsize=7,
                color=_RIGHT if predicted[i] == labels[i] else _WRONG,
                **lettering.style,
            )
        top += 0.4 + _CELL_HIGH * n
    axes.set(xlim=(0, width), ylim=(height, 0))  # which imshow has changed
    return figure


def _most_mistaken(counts: np.ndarray) -> np.ndarray:
    """The classes to show, in order: all, or those of the commonest mistakes until there are as many as have room."""
    if len(counts) <= _SHOWN:
        return np.arange(len(counts))
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    pairs = np.argsort(-wrong, axis=None, kind="stable")[: _SHOWN * _SHOWN]
    both = np.stack(np.unravel_index(pairs, wrong.shape), axis=1).ravel()
    return np.sort(list(dict.fromkeys(both.tolist()))[:_SHOWN])


def _number(axes: Axes, counts: np.ndarray, darkest: float) -> None:
    """Writes each count into its cell, and beside the matrix what share of each class was found and was right."""
    n, right = len(counts), counts.diagonal()
    support, taken = counts.sum(axis=1), counts.sum(axis=0)
    for (t, p), count in np.ndenumerate(counts):
        if count:
            dark = t != p and count / support[t] > 0.55 * darkest
            size = 8 if count < 10_000 else 6
            axes.text(p, t, f"{count:,}", ha="center", va="center", fontsize=size, color="white" if dark else "black")
    for i in range(n):
        for x, y, whole in ((n - 0.35, i, support[i]), (i, -0.65, taken[i])):
            share = f"{right[i] / whole:.2f}" if whole else "-"
            axes.text(x, y, share, ha="left" if y == i else "center", va="center", fontsize=8, color=_RIGHT)
    axes.text(n - 0.35, -0.65, "found\n(recall)", fontsize=8, color=_RIGHT, va="bottom")
    axes.text(-0.65, -0.65, "right (precision)", fontsize=8, color=_RIGHT, ha="right", va="center")
