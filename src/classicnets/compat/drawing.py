"""The book's curves: they grow in a notebook; a script tells them on standard error and keeps the figure to be saved.

In a notebook a figure is drawn in one place again and again, and what the cell has printed stays. Outside, nothing pops
up and no file is written: `plt.show()` and `plt.savefig()` are the caller's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import matplotlib
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from classicnets.compat.images import CLASSES

Size = tuple[float, float]
Limits = Sequence[float] | None


def in_notebook() -> bool:
    """Whether figures go into the output of a notebook's cell."""
    return "inline" in matplotlib.get_backend()


def use_svg_display() -> None:
    """Figures of a notebook are drawn as SVG; elsewhere nothing happens."""
    if in_notebook():
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")


def set_figsize(figsize: Size = (3.5, 2.5)) -> None:
    """The size in inches of figures that are made from now on."""
    use_svg_display()
    plt.rcParams["figure.figsize"] = figsize


def set_axes(
    axes: Axes,
    xlabel: str | None,
    ylabel: str | None,
    xlim: Limits,
    ylim: Limits,
    xscale: str,
    yscale: str,
    legend: Sequence[str] | None,
) -> None:
    """Labels, limits, scales, legend and a grid; limits that are None or enclose nothing are left to matplotlib."""
    axes.set_xlabel(xlabel or "")
    axes.set_ylabel(ylabel or "")
    axes.set_xscale(xscale)
    axes.set_yscale(yscale)
    if xlim and xlim[0] != xlim[1]:
        axes.set_xlim(xlim[0], xlim[1])
    if ylim and ylim[0] != ylim[1]:
        axes.set_ylim(ylim[0], ylim[1])
    if legend:
        axes.legend(legend)
    axes.grid(True)


def get_fashion_mnist_labels(labels: Iterable[Any]) -> list[str]:
    """The names of Fashion-MNIST's classes for numbers from 0 to 9."""
    return [CLASSES[int(label)] for label in labels]


def show_images(
    imgs: Iterable[Any], num_rows: int, num_cols: int, titles: Sequence[str] | None = None, scale: float = 1.5
) -> Any:
    """A grid of images (tensors [H, W] or [1, H, W], arrays or PIL images); returns its axes as a flat array."""
    _, grid = plt.subplots(num_rows, num_cols, figsize=(num_cols * scale, num_rows * scale), squeeze=False)
    axes = grid.flatten()
    for i, (ax, image) in enumerate(zip(axes, imgs, strict=False)):
        ax.imshow(image.detach().cpu().squeeze().numpy() if isinstance(image, torch.Tensor) else image)
        ax.get_xaxis().set_visible(False)
        ax.get_yaxis().set_visible(False)
        if titles:
            ax.set_title(titles[i])
    return axes


def say(line: str) -> None:
    """One line on standard error, unless a notebook shows the figure anyway."""
    if not in_notebook():
        print(line, file=sys.stderr)


def say_how_to_keep() -> None:
    """Tells a script where its curves are."""
    if in_notebook() or not plt.get_fignums():
        return
    windows = bool(getattr(plt.gcf().canvas, "required_interactive_framework", None))
    say("curves: " + "d2l.plt.show() shows them, " * windows + 'd2l.plt.savefig("curves.png") keeps them')


class _Live:
    """One place in a notebook's output where a figure is drawn anew each time it has grown."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, figure: Figure) -> None:
        if not in_notebook():
            return
        plt.close(figure)  # else the notebook draws it a second time when the cell ends
        if self._handle is None:
            from IPython.display import display

            self._handle = display(figure, display_id=True)
        else:
            self._handle.update(figure)


def _move(axes: Axes, lines: Iterable[Line2D], curves: Iterable[Sequence[Sequence[float]]]) -> None:
    """Puts new points into lines that are drawn already."""
    for line, (x, y) in zip(lines, curves, strict=False):
        line.set_data(x, y)
        if line.get_marker() in (".", "None"):
            line.set_marker("." if len(x) == 1 else "None")  # one point is no line
    axes.relim()
    axes.autoscale_view()


def _listed(value: Any) -> list[Any]:
    try:
        return list(value)
    except TypeError:
        return [value]


class Animator:
    """Several curves against one axis, drawn anew at every `add`; the figure is `fig`, the points are `X` and `Y`."""

    def __init__(
        self,
        xlabel: str | None = None,
        ylabel: str | None = None,
        legend: Sequence[str] | None = None,
        xlim: Limits = None,
        ylim: Limits = None,
        xscale: str = "linear",
        yscale: str = "linear",
        fmts: Sequence[str] = ("-", "m--", "g-.", "r:"),
        nrows: int = 1,
        ncols: int = 1,
        figsize: Size = (3.5, 2.5),
    ):
        use_svg_display()
        self.fig, grid = plt.subplots(nrows, ncols, figsize=figsize, squeeze=False, layout="constrained")
        self.axes: list[Axes] = list(grid.flatten())
        self.xlabel, self.legend, self.fmts = xlabel or "x", list(legend or ()), fmts
        self.config_axes: Callable[[], None] = lambda: set_axes(
            self.axes[0], xlabel, ylabel, xlim, ylim, xscale, yscale, legend
        )
        self.X: list[list[float]] = []
        self.Y: list[list[float]] = []
        self._lines: list[Line2D] = []
        self._live = _Live()

    def add(self, x: Any, y: Any) -> None:
        """A point for each curve: `y` is one number or one for each curve, None for a curve without one at `x`."""
        values = _listed(y)
        places = _listed(x) if hasattr(x, "__len__") else [x] * len(values)
        if not self.X:
            self.X, self.Y = [[] for _ in values], [[] for _ in values]
            self._lines = [self.axes[0].plot([], [], fmt)[0] for fmt in self.fmts[: len(values)]]
            self.config_axes()
        for i, (place, value) in enumerate(zip(places, values, strict=True)):
            if place is not None and value is not None:
                self.X[i].append(float(place))
                self.Y[i].append(float(value))
        _move(self.axes[0], self._lines, zip(self.X, self.Y, strict=True))
        self._live.show(self.fig)
        self._tell()

    def _tell(self) -> None:
        """Once every curve has its point of a whole epoch, a script says the values."""
        ends = {x[-1] if x else None for x in self.X}
        end = ends.pop()
        if self.legend and not ends and end is not None and end.is_integer():
            values = ", ".join(f"{name} {y[-1]:.3f}" for name, y in zip(self.legend, self.Y, strict=False))
            say(f"{self.xlabel} {end:g}: {values}")


class ProgressBoard:
    """Curves by label that grow point by point (English edition 1.0); `data` holds label -> [(x, y), ...]."""

    def __init__(
        self,
        xlabel: str | None = None,
        ylabel: str | None = None,
        xlim: Limits = None,
        ylim: Limits = None,
        xscale: str = "linear",
        yscale: str = "linear",
        ls: Sequence[str] = ("-", "--", "-.", ":"),
        colors: Sequence[str] = ("C0", "C1", "C2", "C3"),
        fig: Figure | None = None,
        axes: Axes | None = None,
        figsize: Size = (3.5, 2.5),
        display: bool = True,
    ):
        self.xlabel, self.ylabel, self.xlim, self.ylim = xlabel, ylabel, xlim, ylim
        self.xscale, self.yscale, self.ls, self.colors = xscale, yscale, ls, colors
        self.fig, self.axes, self.figsize, self.display = fig, axes, figsize, display
        self.raw_points: dict[str, list[tuple[float, Any]]] = {}
        self.data: dict[str, list[tuple[float, float]]] = {}
        self._lines: dict[str, Line2D] = {}
        self._live = _Live()

    def here(self) -> None:
        """From now on a notebook draws in the output of the present cell."""
        self._live = _Live()

    def draw(self, x: float, y: Any, label: str, every_n: int = 1) -> None:
        """A point (x, y) of the curve `label`; each `every_n` points are averaged into one that is drawn."""
        waiting = self.raw_points.setdefault(label, [])
        waiting.append((float(x), y.detach() if isinstance(y, torch.Tensor) else y))
        if len(waiting) < every_n:
            return
        xs, ys = zip(*waiting, strict=True)
        waiting.clear()
        self.data.setdefault(label, []).append((sum(xs) / len(xs), float(sum(ys) / len(ys))))
        if self.display:
            self._redraw()

    def _redraw(self) -> None:
        use_svg_display()
        if self.fig is None:
            self.fig = plt.figure(figsize=self.figsize, layout="constrained")
        axes = self.axes or self.fig.gca()
        new = [label for label in self.data if label not in self._lines]
        for label in new:
            i = len(self._lines)
            (self._lines[label],) = axes.plot(
                [], [], linestyle=self.ls[i % len(self.ls)], color=self.colors[i % len(self.colors)]
            )
        if new:
            set_axes(axes, self.xlabel, self.ylabel, self.xlim, self.ylim, self.xscale, self.yscale, list(self._lines))
            axes.grid(False)
        _move(axes, self._lines.values(), [list(zip(*self.data[label], strict=True)) for label in self._lines])
        self._live.show(self.fig)

    def tell(self, epoch: int) -> None:
        """A script says the latest value of every curve."""
        say(f"epoch {epoch}: " + ", ".join(f"{label} {points[-1][1]:.3f}" for label, points in self.data.items()))
