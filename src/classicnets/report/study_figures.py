"""The figures of a study: values by arm, differences of pairs, and learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from classicnets.events import Epoch
from classicnets.report import quantities
from classicnets.report.curves import accuracy_axis, draw_lines
from classicnets.report.figures import plain_log_axis
from classicnets.report.fonts import FigureText
from classicnets.report.study_text import measures_of, pair_label
from classicnets.studies.measures import Measure
from classicnets.studies.verdicts import within
from classicnets.text import _

# ten colors that can be told apart with any color vision (Petroff 2021, "Accessible color sequences")
_COLORS = ("#3f90da", "#e76300", "#bd1f01", "#832db6", "#94a4a2", "#a96b59", "#ffa90e", "#b9ac70", "#717581", "#92dadd")
_SHOWN, _NOT_SHOWN, _CLAIM = "#1f6fb4", "#777777", "#c8500a"
_DOT: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 4.5, "markeredgewidth": 0, "alpha": 0.55}
_INCHES, _ROW_INCHES = 6.5, 0.5
_NAME_WIDTH, _LEGEND_LETTERS = 30, 85  # Latin letters


def colors_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the color of each arm, the same in all figures; from the eleventh on, they are darker ones."""
    halves = ([part / 2 for part in to_rgb(color)] for color in _COLORS)
    darker = [to_hex((red, green, blue)) for red, green, blue in halves]
    palette = [*_COLORS, *darker]
    return {arm: palette[i % len(palette)] for i, arm in enumerate(facts["arms"])}


def draw_arms(facts: Mapping[str, Any]) -> Figure:
    """Draw the values of all runs by arm, a panel for each measure, with means and 95 % intervals."""
    arms, measures, colors = [*facts["arms"]], measures_of(facts), colors_of(facts)
    figure, panels, text = _panels(arms, [len(arms)] * len(measures))
    for axes, each in zip(panels, measures, strict=True):
        for y, arm in enumerate(arms):
            rows = [row for row in facts["result"]["rows"] if row["arm"] == arm and row.get(each.name) is not None]
            figures = facts["result"]["arms"][arm][each.name]
            ends = figures["interval"] and within(figures["interval"], each.limits)
            _draw_values(axes, y, [each.scale * row[each.name] for row in rows], colors[arm])
            if figures["mean"] is not None:
                _draw_mean(
                    axes,
                    y,
                    each.scale * figures["mean"],
                    [each.scale * end for end in ends] if ends else None,
                    colors[arm],
                )
            else:
                _say(axes, y, _("no value"))
        _label_rows(axes, text.short(_NAME_WIDTH), text)
        axes.set_xlabel(quantities.label(each))
    return figure


def draw_differences(facts: Mapping[str, Any]) -> Figure:
    """Draw the differences of all pairs, a panel for each measure and a row for each comparison.

    Dots are pairs; the large dot is the estimate, with its t interval as a thick line and the bootstrap interval as a
    thin line below; a diamond is the claim of a source. Ratios have a logarithmic axis.
    """
    groups = [
        (each, [pair for pair in facts["result"]["comparisons"] if pair["measure"] == each.name])
        for each in measures_of(facts)
    ]
    groups = [(each, pairs) for each, pairs in groups if any(pair["n"] for pair in pairs)]
    arms = [*facts["arms"]]
    figure, panels, text = _panels(arms, [len(pairs) for _each, pairs in groups])
    names = dict(zip(arms, text.short(_NAME_WIDTH), strict=True))
    for axes, (each, pairs) in zip(panels, groups, strict=True):
        if each.ratio:
            axes.set_xscale("log")
        axes.axvline(1 if each.ratio else 0, color="black", linewidth=1)
        for y, pair in enumerate(pairs):
            _draw_comparison(axes, y, pair, each)
        _label_rows(axes, [_pair_name([names[arm] for arm in pair["arms"]], each) for pair in pairs], text)
        axes.set_xlabel(_axis_label(each))
        if each.ratio:
            plain_log_axis(axes)
    _explain(figure, claims=any(pair["claim"] is not None for _each, pairs in groups for pair in pairs))
    return figure


def draw_curves(facts: Mapping[str, Any], epochs: Mapping[tuple[str, int], Sequence[Epoch]]) -> Figure:
    """Draw train loss and accuracy against epochs: thin lines for seeds, a thick one for the mean of an arm.

    Args:
        facts: the contents of study.json.
        epochs: the epochs of each run by arm and seed.
    """
    figure = Figure(figsize=(_INCHES, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    all_epochs = [epoch for run_epochs in epochs.values() for epoch in run_epochs]
    field, label = accuracy_axis(all_epochs)
    arms = [arm for arm in facts["arms"] if any(name == arm for name, _seed in epochs)]
    text = FigureText(arms, "", _INCHES)
    colors = colors_of(facts)
    failed = {(row["arm"], row["seed"]) for row in facts["result"]["rows"] if "error" in row}
    for arm, name in zip(arms, text.short(_NAME_WIDTH), strict=True):
        seeds = {seed: run_epochs for (run_arm, seed), run_epochs in epochs.items() if run_arm == arm}
        finished = {seed: seed for seed in seeds if (arm, seed) not in failed}
        draw_lines(left, seeds, finished, lambda e: e.loss, colors[arm], name=name)
        draw_lines(right, seeds, finished, lambda e: getattr(e, field), colors[arm], name=name)
    left.set(xlabel=_("epoch"), ylabel=_("train loss (mean over the epoch)"))
    highest = max((e.loss for e in all_epochs if e.loss is not None and math.isfinite(e.loss)), default=1.0)
    left.set_ylim(0, 1.05 * highest or 1)
    right.set(xlabel=_("epoch"), ylabel=label)
    for axes in (left, right):
        last = max((e.epoch for e in all_epochs), default=1)
        axes.set_xlim(0, max(1.03 * last, last + 0.1))  # the dots of the last epoch are not cut
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    handles, names = right.get_legend_handles_labels()
    columns = max(1, min(len(names), _LEGEND_LETTERS // (max(map(len, names), default=0) + 7)))
    figure.set_figheight(3.4 + 0.2 * len(names) / columns)
    legend = figure.legend(handles, names, loc="outside upper center", ncols=columns, fontsize="small", frameon=False)
    for shown in legend.get_texts():
        shown.set(**text.style)
    return figure


def _panels(names: Sequence[str], rows: Sequence[int]) -> tuple[Figure, list[Axes], FigureText]:
    """A figure with one panel below the other; `rows` has the number of rows of each."""
    height = sum(_ROW_INCHES * n + 0.75 for n in rows) + 0.5
    figure = Figure(figsize=(_INCHES, height), layout="constrained")
    axes = figure.subplots(len(rows), 1, squeeze=False, height_ratios=[n + 0.3 for n in rows])
    return figure, [*axes[:, 0]], FigureText(names, "", _INCHES)


def _label_rows(axes: Axes, names: Sequence[str], text: FigureText) -> None:
    axes.set_yticks(range(len(names)), names, **text.style)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _pair_name(names: Sequence[str], each: Measure) -> str:
    """The two arms of a row, on two lines if they are long."""
    label = pair_label({"arms": names}, each)
    second = names[1]
    return label if len(label) <= _NAME_WIDTH else f"{second}\n{label.removeprefix(second).strip()}"


def _draw_values(axes: Axes, y: int, values: Sequence[float], color: str) -> None:
    """Dots above the row, spread out so that equal values show."""
    heights = [y - 0.2 + 0.16 * ((i * 0.618) % 1 - 0.5) for i in range(len(values))]
    axes.plot(values, heights, **_DOT, color=color)


def _draw_mean(axes: Axes, y: float, mean: float, ends: Sequence[float] | None, color: str) -> None:
    if ends:
        axes.plot(ends, [y, y], color=color, linewidth=3, solid_capstyle="butt")
    axes.plot([mean], [y], "o", color=color, markersize=8, markeredgecolor="white")


def _draw_comparison(axes: Axes, y: int, pair: Mapping[str, Any], each: Measure) -> None:
    color = _SHOWN if pair["conclusion"] == "shown" else _NOT_SHOWN

    def shown(number: float) -> float:
        return number if each.ratio else each.scale * number

    if not pair["n"]:
        _say(axes, y, _("no pairs"))
        return
    values = zip(pair["first"], pair["second"], strict=True)
    _draw_values(axes, y, [shown(b / a if each.ratio else b - a) for a, b in values], color)
    if pair["bootstrap_interval"] is not None:
        axes.plot([*map(shown, pair["bootstrap_interval"])], [y + 0.16] * 2, color=color, linewidth=1)
    if pair["estimate"] is not None:
        ends = pair["t_interval"] and within(pair["t_interval"], each.difference_limits)
        _draw_mean(axes, y, shown(pair["estimate"]), [*map(shown, ends)] if ends else None, color)
    if pair["claim"] is not None:
        axes.plot([shown(pair["claim"])], [y], "D", color=_CLAIM, markersize=7, markeredgecolor="white")


def _say(axes: Axes, y: int, message: str) -> None:
    """Write a message into a row, in the middle of the panel."""
    axes.text(0.5, y, message, transform=axes.get_yaxis_transform(), ha="center", va="center", color=_NOT_SHOWN)


def _axis_label(each: Measure) -> str:
    label = quantities.difference_label(each)
    if each.better == "higher":
        return _("{measure} (higher is better)", measure=label)
    if each.better == "lower":
        return _("{measure} (lower is better)", measure=label)
    return label


def _explain(figure: Figure, *, claims: bool) -> None:
    """A legend of the marks, above the panels."""
    estimate: dict[str, Any] = {"color": _SHOWN, "linewidth": 3, "marker": "o", "markersize": 8}
    marks = [
        Line2D([], [], **_DOT, color=_SHOWN, label=_("a pair of runs with the same seed")),
        Line2D([], [], **estimate, markeredgecolor="white", label=_("estimate, t interval")),
        Line2D([], [], color=_SHOWN, linewidth=1, label=_("bootstrap interval")),
        Line2D([], [], color=_NOT_SHOWN, linewidth=3, label=_("not shown")),
    ]
    if claims:
        marks.append(Line2D([], [], linestyle="", marker="D", color=_CLAIM, label=_("claim of a source")))
    figure.legend(handles=marks, loc="outside upper center", ncols=3, fontsize="small", frameon=False)
