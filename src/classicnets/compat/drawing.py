"""The book's figures.

In a notebook, curves are redrawn in one place, and the printed output of the cell stays. A script prints their values
on standard error; it opens no window and writes no file until it calls `plt.show()` or `plt.savefig()`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import matplotlib
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from classicnets.compat.images import CLASSES
from classicnets.report.fonts import FigureText
from classicnets.text import _

Size = tuple[float, float]
Limits = Sequence[float] | None


def in_notebook() -> bool:
    """Return whether figures appear in the output of a notebook cell."""
    return "inline" in matplotlib.get_backend()


def use_svg_display() -> None:
    """Draw figures in a notebook as SVG; does nothing elsewhere."""
    if in_notebook():
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")


def set_figsize(figsize: Size = (3.5, 2.5)) -> None:
    """Set the size of new figures in inches."""
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
    """Set labels, limits, scale, legend and a grid; limits that are None or empty are chosen by matplotlib."""
    (xlabel, ylabel, *legend), style = _shown([xlabel or "", ylabel or "", *(legend or ())])
    axes.set_xlabel(xlabel, **style)
    axes.set_ylabel(ylabel, **style)
    axes.set_xscale(xscale)
    axes.set_yscale(yscale)
    if xlim and xlim[0] != xlim[1]:
        axes.set_xlim(xlim[0], xlim[1])
    if ylim and ylim[0] != ylim[1]:
        axes.set_ylim(ylim[0], ylim[1])
    if legend:
        for text in axes.legend(legend).get_texts():
            text.set(**style)
    axes.grid(True)


def _shown(labels: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Labels as installed fonts can show them, and the style that does; prints the key of the others."""
    text = FigureText(labels, "", 1)
    names = [f"#{i}" if text.missing & set(label) else label for i, label in enumerate(labels)]
    for name, label in zip(names, labels, strict=True):
        if name != label:
            print(f"{name}: {label}", file=sys.stderr)
    return names, text.style


def plot(
    X: Any,
    Y: Any = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: Sequence[str] | None = None,
    xlim: Limits = None,
    ylim: Limits = None,
    xscale: str = "linear",
    yscale: str = "linear",
    fmts: Sequence[str] = ("-", "m--", "g-.", "r:"),
    figsize: Size = (3.5, 2.5),
    axes: Axes | None = None,
) -> None:
    """Draw curves, in place of what `axes` shows (default: the axes of the current figure).

    Args:
        X: Positions: one sequence of numbers for all curves, or a list with one for each.
        Y: Values: one curve, or a list of curves. None draws X against 0, 1, 2, ...
        xlabel: Label of the horizontal axis.
        ylabel: Label of the vertical axis.
        legend: Names of the curves.
        xlim: Limits of the horizontal axis.
        ylim: Limits of the vertical axis.
        xscale: "linear" or "log".
        yscale: "linear" or "log".
        fmts: Formats of matplotlib, used in turn.
        figsize: Size of the figure in inches.
        axes: Where to draw.
    """
    if axes is None:
        set_figsize(figsize)
        axes = plt.gca()
        axes.get_figure(root=True).set_size_inches(figsize)  # type: ignore[union-attr]
    axes.cla()
    positions, curves = (None, _curves(X)) if Y is None else (_curves(X), _curves(Y))
    if positions is not None and len(positions) != len(curves):
        positions = positions * len(curves)
    for i, (curve, fmt) in enumerate(zip(curves, cycle(fmts), strict=False)):
        axes.plot(*([] if positions is None or not len(positions[i]) else [positions[i]]), curve, fmt)
    set_axes(axes, xlabel, ylabel, xlim, ylim, xscale, yscale, legend)


def _curves(values: Any) -> list[Any]:
    """A list of sequences of numbers, from one such sequence or several."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    one = values.ndim == 1 if hasattr(values, "ndim") else len(values) == 0 or not hasattr(values[0], "__len__")
    if not one and not hasattr(values, "ndim"):  # of tensors of one number, as losses often are
        one = all(getattr(value, "ndim", 1) == 0 for value in values)
    return [[float(_plain(value)) for value in values]] if one else [_plain(curve) for curve in values]


def _plain(curve: Any) -> Any:
    """Numbers without gradients."""
    return curve.detach().cpu().numpy() if isinstance(curve, torch.Tensor) else curve


def get_fashion_mnist_labels(labels: Iterable[Any]) -> list[str]:
    """Return the class names of Fashion-MNIST for labels 0 to 9."""
    return [CLASSES[int(label)] for label in labels]


def show_images(
    imgs: Iterable[Any], num_rows: int, num_cols: int, titles: Sequence[str] | None = None, scale: float = 1.5
) -> Any:
    """Draw a grid of images (tensors [H, W] or [1, H, W], arrays or PIL images); return its axes as a flat array."""
    _, grid = plt.subplots(num_rows, num_cols, figsize=(num_cols * scale, num_rows * scale), squeeze=False)
    axes = grid.flatten()
    names, style = _shown(titles or ())
    for i, (ax, image) in enumerate(zip(axes, imgs, strict=False)):
        ax.imshow(image.detach().cpu().squeeze().numpy() if isinstance(image, torch.Tensor) else image)
        ax.get_xaxis().set_visible(False)
        ax.get_yaxis().set_visible(False)
        if titles:
            ax.set_title(names[i], **style)
    return axes


def say(line: str) -> None:
    """Print a line on standard error, except in a notebook, which shows the figure."""
    if not in_notebook():
        print(line, file=sys.stderr)


def say_how_to_save() -> None:
    """Tell the user of a script how to show or save the curves."""
    if in_notebook() or not plt.get_fignums():
        return
    if getattr(plt.gcf().canvas, "required_interactive_framework", None):
        say(_('curves: show them with d2l.plt.show(), or save them with d2l.plt.savefig("curves.png")'))
    else:
        say(_('curves: save them with d2l.plt.savefig("curves.png")'))


class _LiveFigure:
    """A place in the output of a notebook where a figure is redrawn."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, figure: Figure) -> None:
        if not in_notebook():
            return
        plt.close(figure)  # otherwise the notebook draws it again at the end of the cell
        if self._handle is None:
            from IPython.display import display

            self._handle = display(figure, display_id=True)
        else:
            self._handle.update(figure)


def _set_points(axes: Axes, lines: Iterable[Line2D], curves: Iterable[Sequence[Sequence[float]]]) -> None:
    """Set the points of existing lines."""
    for line, (x, y) in zip(lines, curves, strict=False):
        line.set_data(x, y)
        if line.get_marker() in (".", "None"):
            line.set_marker("." if len(x) == 1 else "None")  # one point makes no line
    axes.relim()
    axes.autoscale_view()


def _as_list(value: Any) -> list[Any]:
    try:
        return list(value)
    except TypeError:
        return [value]


class Animator:
    """Plot of several curves, drawn again at each `add`; the figure is `fig`, the points are `X` and `Y`."""

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
        self._live = _LiveFigure()

    def add(self, x: Any, y: Any) -> None:
        """Add a point to each curve; `y` is a number, or one for each curve, with None for no point at `x`."""
        values = _as_list(y)
        positions = _as_list(x) if hasattr(x, "__len__") else [x] * len(values)
        if not self.X:
            self.X, self.Y = [[] for _ in values], [[] for _ in values]
            self._lines = [self.axes[0].plot([], [], fmt)[0] for fmt in self.fmts[: len(values)]]
            self.config_axes()
        for i, (position, value) in enumerate(zip(positions, values, strict=True)):
            if position is not None and value is not None:
                self.X[i].append(float(position))
                self.Y[i].append(float(value))
        _set_points(self.axes[0], self._lines, zip(self.X, self.Y, strict=True))
        self._live.show(self.fig)
        self._print_values()

    def _print_values(self) -> None:
        """Print the values in a script when each curve has its point at the end of an epoch."""
        positions = {x[-1] if x else None for x in self.X}
        position = positions.pop()
        if self.legend and not positions and position is not None and position.is_integer():
            values = ", ".join(f"{name} {y[-1]:.3f}" for name, y in zip(self.legend, self.Y, strict=False))
            say(_("{axis} {position:g}: {values}", axis=self.xlabel, position=position, values=values))


class Point(NamedTuple):
    """A point of a curve."""

    x: float
    y: float


class ProgressBoard:
    """Plot of curves, point by point (English edition 1.0); `data` maps a label to its points (x, y)."""

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
        self.data: dict[str, list[Point]] = {}
        self._lines: dict[str, Line2D] = {}
        self._live = _LiveFigure()

    def start_figure(self) -> None:
        """Draw in the output of the current notebook cell from now on."""
        self._live = _LiveFigure()

    def draw(self, x: float, y: Any, label: str, every_n: int = 1) -> None:
        """Add a point (x, y) to the curve `label`; `every_n` points are averaged and drawn as one."""
        pending = self.raw_points.setdefault(label, [])
        pending.append((float(x), y.detach() if isinstance(y, torch.Tensor) else y))
        if len(pending) < every_n:
            return
        xs, ys = zip(*pending, strict=True)
        pending.clear()
        self.data.setdefault(label, []).append(Point(sum(xs) / len(xs), float(sum(ys) / len(ys))))
        if self.display:
            self._redraw()

    def _redraw(self) -> None:
        use_svg_display()
        if self.fig is None:
            self.fig = plt.figure(figsize=self.figsize, layout="constrained")
        axes = self.axes or self.fig.gca()
        new_labels = [label for label in self.data if label not in self._lines]
        for label in new_labels:
            i = len(self._lines)
            (self._lines[label],) = axes.plot(
                [], [], linestyle=self.ls[i % len(self.ls)], color=self.colors[i % len(self.colors)]
            )
        if new_labels:
            set_axes(axes, self.xlabel, self.ylabel, self.xlim, self.ylim, self.xscale, self.yscale, list(self._lines))
            axes.grid(False)
        _set_points(axes, self._lines.values(), [list(zip(*self.data[label], strict=True)) for label in self._lines])
        self._live.show(self.fig)

    def print_values(self, epoch: int) -> None:
        """Print the latest value of each curve in a script."""
        values = ", ".join(f"{label} {points[-1][1]:.3f}" for label, points in self.data.items())
        say(_("epoch {epoch}: {values}", epoch=epoch, values=values))
