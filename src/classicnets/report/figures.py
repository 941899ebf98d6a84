"""The curves of a run, and figures as PNG files. matplotlib is used without a window and without global state.

`python -m classicnets.report.figures [FOLDER]` draws the figures of a made-up run.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from classicnets.events import Epoch, Event, Step
from classicnets.report.fonts import FigureText
from classicnets.text import _, plural
from classicnets.values import Expected

DPI = 110
_TRAIN_COLOR, _TEST_COLOR = "#1f6fb4", "#c8500a"


def png(figure: Figure) -> bytes:
    """Return the figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, dpi=DPI)
    return file.getvalue()


def plain_log_axis(axes: Axes) -> None:
    """Make the ticks of a logarithmic x axis plain numbers, few enough to read."""
    low, high = axes.get_xlim()
    subs = (
        (1.0,) if high / low > 100 else (1.0, 2.0, 5.0) if high / low > 4 else (1.0, 1.2, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    )
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def draw_curves(events: Sequence[Event], expected: Expected | None, title: str) -> Figure:
    """Draw loss and accuracy against epochs, as *Dive into Deep Learning* does.

    Args:
        events: the events of the run so far.
        expected: the published result, whose range of test accuracies is shaded.
        title: the title of the figure.
    """
    steps = [e for e in events if isinstance(e, Step) and e.loss is not None]
    epochs = [e for e in events if isinstance(e, Epoch)]
    figure = Figure(figsize=(10, 4), layout="constrained")
    text = FigureText([], title, 10)
    figure.suptitle(text.title, fontsize=10, **text.style)
    left, right = figure.subplots(1, 2)
    x = [e.epoch - 1 + e.step / e.steps for e in steps]
    left.plot(x, [e.loss for e in steps], color=_TRAIN_COLOR, label=_("train loss (mean over the epoch so far)"))
    right.plot(
        x,
        [e.accuracy for e in steps],
        color=_TRAIN_COLOR,
        linestyle="--",
        label=_("train accuracy (mean over the epoch so far)"),
    )
    for name, label in (("validation_accuracy", _("validation accuracy")), ("test_accuracy", _("test accuracy"))):
        points = [(e.epoch, getattr(e, name)) for e in epochs if getattr(e, name) is not None]
        if points:
            right.plot(*zip(*points, strict=True), color=_TEST_COLOR, marker="o", markersize=3.5, label=label)
    if expected:
        right.axhspan(
            expected.low,
            expected.high,
            facecolor=(_TEST_COLOR, 0.12),
            edgecolor=(_TEST_COLOR, 0.4),  # the range of a single published run is this line
            label=plural("published test accuracy ({n} run)", "published test accuracies ({n} runs)", expected.n),
        )
    for axes, label in ((left, _("loss")), (right, _("accuracy"))):
        axes.set(xlabel=_("epoch"), ylabel=label)
        axes.set_xlim(0, max((e.epochs for e in epochs), default=1))
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize="small")
    left.set_ylim(bottom=0)
    right.set_ylim(0, 1)
    return figure


if __name__ == "__main__":
    from classicnets.report import demo

    folder = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="classicnets-figures-")
    for path in demo.write_figures(Path(folder)):
        print(path)
