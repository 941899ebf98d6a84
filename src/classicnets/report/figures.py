"""Pictures of a run. matplotlib without a window and without global state."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from classicnets.values import Epoch, Event, Expected, Step

DPI = 110
_TRAIN, _TEST, _RIGHT, _WRONG = "#1f6fb4", "#c8500a", "#1a7f37", "#c62828"


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, dpi=DPI)
    return file.getvalue()


def draw_curves(events: Sequence[Event], expected: Expected | None, title: str) -> Figure:
    """Train loss, train accuracy and test (or validation) accuracy against epochs, as the book draws them; the range of
    `expected` is shaded.
    """
    steps = [e for e in events if isinstance(e, Step) and e.loss is not None]
    epochs = [e for e in events if isinstance(e, Epoch)]
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    x = [e.epoch - 1 + e.step / e.steps for e in steps]
    left.plot(x, [e.loss for e in steps], color=_TRAIN, label="train loss (mean over the epoch so far)")
    right.plot(
        x,
        [e.accuracy for e in steps],
        color=_TRAIN,
        linestyle="--",
        label="train accuracy (mean over the epoch so far)",
    )
    for name in ("validation_accuracy", "test_accuracy"):
        seen = [(e.epoch, getattr(e, name)) for e in epochs if getattr(e, name) is not None]
        if seen:
            right.plot(*zip(*seen, strict=True), color=_TEST, marker="o", markersize=3.5, label=name.replace("_", " "))
    if expected:
        right.axhspan(
            expected.low,
            expected.high,
            facecolor=(_TEST, 0.12),
            edgecolor=(_TEST, 0.4),  # all there is to see of a single run
            label=f"published test accuracy, n = {expected.n}",
        )
    for axes, name in ((left, "loss"), (right, "accuracy")):
        axes.set(xlabel="epoch", ylabel=name)
        axes.set_xlim(0, max((e.epochs for e in epochs), default=1))
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize="small")
    left.set_ylim(bottom=0)
    right.set_ylim(0, 1)
    return figure


def contact_sheet(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    title: str,
    columns: int = 10,
) -> Figure:
    """The first pictures of a split with true and predicted class, then the mistakes the net was surest of.

    `images` is uint8 [N, C, H, W], `probabilities` [N, classes].
    """
    predicted, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    first = np.arange(min(3 * columns, len(labels)))
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][: 3 * columns]
    sections = [(f"the first {len(first)} of {len(labels):,} test pictures", first)]
    if len(worst):
        sections.append((f"the {len(worst)} surest of {len(wrong):,} mistakes", worst))
    figure = Figure(figsize=(columns * 1.25, 0.5 + sum(0.4 + 1.72 * -(-len(s) // columns) for _, s in sections)))
    figure.set_layout_engine("constrained")
    figure.suptitle(f"{title}\ntrue class above, predicted class and its probability below", fontsize=10)
    heights = [-(-len(index) // columns) for _, index in sections]
    parts = figure.subfigures(len(sections), 1, squeeze=False, height_ratios=heights)[:, 0]
    for sub, (heading, index) in zip(parts, sections, strict=True):
        sub.suptitle(heading, fontsize=10, fontweight="bold")
        grid = sub.subplots(-(-len(index) // columns), columns, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, i in zip(grid, index, strict=False):
            axes.imshow(np.moveaxis(images[i], 0, -1).squeeze(), cmap="gray", vmin=0, vmax=255)
            axes.set_title(classes[labels[i]], fontsize=7, pad=2)
            axes.text(
                0.5,
                -0.04,
                f"{classes[predicted[i]]} {sure[i]:.2f}",
                transform=axes.transAxes,
                ha="center",
                va="top",
                fontsize=7,
                color=_RIGHT if predicted[i] == labels[i] else _WRONG,
            )
    return figure
