"""The curves of a run. matplotlib without a window and without global state."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

from classicnets.events import Epoch, Event, Step
from classicnets.report.fonts import FigureText
from classicnets.values import Expected

DPI = 110
_TRAIN, _TEST = "#1f6fb4", "#c8500a"


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
    lettering = FigureText([], title, 10)
    figure.suptitle(lettering.title, fontsize=10, **lettering.style)
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
