"""Figures of an evaluation: confusion matrix, reliability diagram, and images with their predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from classicnets.datasets.types import Images
from classicnets.report.fonts import FigureText
from classicnets.text import _, plural

_CORRECT_COLOR, _WRONG_COLOR, _LINE_COLOR = "#1a7f37", "#c62828", "#1f6fb4"
_ERROR_COLORS = LinearSegmentedColormap.from_list("errors", ["#fde3cb", "#f28e3c", "#7f2704"]).with_extremes(
    under="white", bad="#e4e4e4"
)
_MAX_COUNTED_CLASSES = 20  # largest matrix whose cells show their counts
_MAX_MATRIX_CLASSES = 100  # largest matrix whose rows show their classes
_CELL_WIDTH, _CELL_HEIGHT = 1.25, 1.6  # inches on the contact sheet: an image of one inch and two lines of text
_HEADING_HEIGHT = 0.4  # inches on the contact sheet
_SECTION_ROWS = 3  # rows of images per section of the contact sheet


def draw_confusion_matrix(matrix: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> Figure:
    """Draw a confusion matrix whose colors are the shares of each true class.

    Only errors are colored, since the diagonal would outshine them. Up to 20 classes, cells show counts, and recall and
    precision stand beside the matrix. Of more than 100 classes, those with the most frequent errors are drawn; shares
    are still of all images.

    Args:
        matrix: `matrix[t][p]` counts the images of class t that are predicted as class p.
        classes: the class names.
        title: the title of the figure.
    """
    counts = np.asarray(matrix)
    indices = _most_confused(counts)
    n = len(indices)
    show_counts = n <= _MAX_COUNTED_CLASSES
    if n < len(counts):
        title += "\n" + _("the {n} classes with the most frequent errors, of {total:,}", n=n, total=len(counts))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    errors = np.where(np.eye(len(counts), dtype=bool), np.nan, shares)[np.ix_(indices, indices)]
    max_share = max(0.05, float(np.nan_to_num(errors).max()))
    height = max(5, 2.6 + n * (0.5 if show_counts else 0.115))
    text = FigureText(classes, title, height + 1)
    figure = Figure(figsize=(height + 1, height), layout="constrained")
    figure.suptitle(text.title, fontsize=10, **text.style)
    axes = figure.subplots()
    image = axes.imshow(errors, cmap=_ERROR_COLORS, vmin=1e-9, vmax=max_share)
    names = np.array(text.short(24))[indices]
    style = {"fontsize": 9 if show_counts else 6, **text.style}
    rotation = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if show_counts else {"rotation": 90}
    axes.set_xticks(range(n), names, **style, **rotation)
    axes.set_yticks(range(n), names, **style)
    axes.set_xticks(np.arange(n - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(n - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="#dddddd", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel(_("predicted class"))
    axes.set_ylabel(_("true class"))
    figure.colorbar(image, shrink=0.6, label=_("errors, as a share of the true class"), format="{x:.0%}")
    if show_counts:
        _write_counts(axes, counts, max_share)
    return figure


def draw_reliability_diagram(bins: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw accuracy against confidence, and below it the share of images at each confidence.

    Args:
        bins: those of metrics.json: low, high, n, and the means confidence and accuracy, None where n is 0.
        title: the title of the figure.
    """
    text = FigureText([], title, 6)
    figure = Figure(figsize=(6, 6.2), layout="constrained")
    figure.suptitle(text.title, fontsize=10, **text.style)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    filled = [b for b in bins if b["n"]]
    low, high, n, confidence, accuracy = (
        np.array([b[key] for b in filled]) for key in ("low", "high", "n", "confidence", "accuracy")
    )
    above.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=1, label=_("perfect calibration"))
    for mask, color, label in (
        (accuracy < confidence, _WRONG_COLOR, _("overconfident")),
        (accuracy > confidence, _CORRECT_COLOR, _("underconfident")),
    ):
        gap, width = (accuracy - confidence)[mask], (high - low)[mask]
        if mask.any():
            above.bar(low[mask], gap, width, confidence[mask], align="edge", color=color, alpha=0.35, label=label)
    above.plot(confidence, accuracy, color=_LINE_COLOR, marker="o", markersize=4, label=_("accuracy"))
    below.bar(low, n / n.sum(), high - low, align="edge", color=_LINE_COLOR, edgecolor="white")
    above.set(ylabel=_("accuracy"), xlim=(0, 1), ylim=(0, 1))
    below.set(xlabel=_("confidence (probability of the predicted class)"), ylabel=_("share of\nimages"))
    above.legend(loc="best", fontsize="small")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    return figure


def draw_contact_sheet(
    images: Images,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    title: str,
    columns: int = 10,
) -> Figure:
    """Draw the first test images and the most confident errors, with true class, predicted class and confidence.

    Args:
        images: uint8 [N, C, H, W], where C is 1 or 3.
        labels: true class indices [N].
        probabilities: [N, classes].
        classes: the class names.
        title: the title of the figure.
        columns: images in a row.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    sections = _sections(labels, predicted, confidence, _SECTION_ROWS * columns)
    title += "\n" + _("above: true class; below: predicted class and its probability")
    text = FigureText(classes, title, columns * _CELL_WIDTH)
    above, below = text.short(17), text.short(12)
    title_height = 0.2 + 0.17 * (text.title.count("\n") + 1)
    rows = [-(-len(indices) // columns) for _heading, indices in sections]
    width = columns * _CELL_WIDTH
    height = title_height + sum(_HEADING_HEIGHT + _CELL_HEIGHT * n for n in rows)
    figure = Figure(figsize=(width, height))
    figure.suptitle(text.title, fontsize=10, y=1 - 0.08 / height, **text.style)
    # one area measured in inches from the top: matplotlib takes a second to lay out sixty axes
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    top = title_height
    for (heading, indices), n in zip(sections, rows, strict=True):
        axes.text(width / 2, top + 0.2, heading, ha="center", va="center", fontsize=10, fontweight="bold")
        for position, i in enumerate(indices):
            row, column = divmod(position, columns)
            x, y = (column + 0.5) * _CELL_WIDTH, top + _HEADING_HEIGHT + row * _CELL_HEIGHT + 0.75
            _draw_image(axes, images[i], x, y)
            color = _CORRECT_COLOR if predicted[i] == labels[i] else _WRONG_COLOR
            prediction = f"{below[predicted[i]]} {confidence[i]:.2f}"
            style = {"ha": "center", "fontsize": 7, **text.style}
            axes.text(x, y - 0.53, above[labels[i]], va="bottom", **style)
            axes.text(x, y + 0.53, prediction, va="top", color=color, **style)
        top += _HEADING_HEIGHT + _CELL_HEIGHT * n
    axes.set(xlim=(0, width), ylim=(height, 0))  # imshow has changed the limits
    return figure


def _sections(
    labels: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, size: int
) -> list[tuple[str, np.ndarray]]:
    """Headings and image indices of the contact sheet, at most `size` images each; errors only if there are any."""
    first = np.arange(min(size, len(labels)))
    sections = [(_("the first {n} of {total:,} test images", n=len(first), total=len(labels)), first)]
    errors = np.flatnonzero(predicted != labels)
    if len(errors):
        confident = errors[np.argsort(-confidence[errors], kind="stable")][:size]
        if len(confident) < len(errors):
            heading = _("the {n} most confident of {total:,} errors", n=len(confident), total=len(errors))
        else:
            heading = plural("the only error", "all {n} errors, the most confident first", len(errors))
        sections.append((heading, confident))
    return sections


def _draw_image(axes: Axes, image: np.ndarray, x: float, y: float) -> None:
    """Draw uint8 [C, H, W] centered at (x, y), its longer edge one inch."""
    height, width = np.array(image.shape[1:]) / max(image.shape[1:])
    pixels = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
    box = (x - width / 2, x + width / 2, y + height / 2, y - height / 2)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=box, aspect="auto")


def _most_confused(counts: np.ndarray) -> np.ndarray:
    """Sorted indices of all classes, or of the 100 with the most frequent errors."""
    if len(counts) <= _MAX_MATRIX_CLASSES:
        return np.arange(len(counts))
    errors = counts.copy()
    np.fill_diagonal(errors, 0)
    pairs = np.argsort(-errors, axis=None, kind="stable")[: _MAX_MATRIX_CLASSES * _MAX_MATRIX_CLASSES]
    indices = np.stack(np.unravel_index(pairs, errors.shape), axis=1).ravel()
    return np.sort(list(dict.fromkeys(indices.tolist()))[:_MAX_MATRIX_CLASSES])


def _write_counts(axes: Axes, counts: np.ndarray, max_share: float) -> None:
    """Write the count into each cell, recall to the right of the matrix and precision above it."""
    n, correct = len(counts), counts.diagonal()
    support, predictions = counts.sum(axis=1), counts.sum(axis=0)
    for (t, p), count in np.ndenumerate(counts):
        if count:
            dark = t != p and count / support[t] > 0.55 * max_share
            size = 8 if count < 10_000 else 6
            axes.text(p, t, f"{count:,}", ha="center", va="center", fontsize=size, color="white" if dark else "black")
    style: dict[str, Any] = {"fontsize": 8, "color": _CORRECT_COLOR}
    for i in range(n):
        for x, y, total in ((n - 0.35, i, support[i]), (i, -0.65, predictions[i])):
            share = f"{correct[i] / total:.2f}" if total else "-"
            axes.text(x, y, share, ha="left" if y == i else "center", va="center", **style)
    axes.text(n - 0.35, -0.65, _("recall"), va="center", **style)
    axes.text(-0.65, -0.65, _("precision"), ha="right", va="center", **style)
