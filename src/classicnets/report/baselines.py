"""The classical methods of a study beside its networks: a table, and a figure of accuracy and time."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from classicnets.report import markdown
from classicnets.report.figures import plain_log_axis
from classicnets.report.fonts import FigureText
from classicnets.studies.classifiers import CLASSIFIERS
from classicnets.studies.features import FEATURES
from classicnets.studies.verdicts import within
from classicnets.text import _

_COLORS = {"pixels": "#8a8a8a", "hog": "#1f6fb4", "": "#c8500a"}  # by features; "" is a network
_MARKERS = {"pixels": "s", "hog": "o", "": "D"}
_MEASURE = "test_accuracy"
_MISSING = "–"


@dataclass(frozen=True)
class _Arm:
    """An arm of the study; `features` is "" for a network. Times are means of seconds.

    `method` is its classifier, or its name for a network, and where arms with one classifier have the same features.
    """

    method: str
    features: str
    mean: float | None
    interval: tuple[float, float] | None
    n: int
    sd: float | None
    fit: float | None
    predict: float | None


def table(facts: Mapping[str, Any]) -> list[str]:
    """Return the lines of a Markdown table of all arms, the most accurate first.

    Args:
        facts: study.json with its result.
    """
    header = (_("method"), _("features"), _("test accuracy"), _("n"), _("fit (s)"), _("predict (s)"))
    rows = [
        (
            markdown.escaped(_label(arm)),
            _features_label(arm.features),
            _MISSING if arm.mean is None else _spread(arm.mean, arm.sd),
            str(arm.n),
            _seconds(arm.fit),
            _seconds(arm.predict),
        )
        for arm in sorted(_arms(facts), key=_accuracy, reverse=True)
    ]
    return markdown.table(header, rows, range(2, len(header)))


def draw(facts: Mapping[str, Any]) -> Figure:
    """Draw a row for each method: the accuracy of its features with their intervals, and the time to fit it.

    Args:
        facts: study.json with its result.
    """
    methods: dict[str, list[_Arm]] = {}
    for arm in sorted(_arms(facts), key=_accuracy):
        if arm.mean is not None:
            methods.setdefault(arm.method, []).append(arm)
    rows = sorted(methods.values(), key=lambda arms: _accuracy(arms[-1]))
    names = FigureText([_label(arms[-1]) for arms in rows], "", 9)
    figure = Figure(figsize=(9, 1.5 + 0.38 * max(1, len(rows))), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1.6])
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
    _draw_dots(left, rows, lambda arm: arm.mean)
    for y, arms in enumerate(rows):
        for arm in arms:
            if arm.interval:
                left.plot(arm.interval, (y, y), color=_COLORS[arm.features], linewidth=1.6)
    left.set_yticks(range(len(rows)), names.short(34), **names.style)
    left.set_ylim(-0.6, len(rows) - 0.4)
    left.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    left.set_xlabel(_("test accuracy: mean, and 95 % interval"))
    right.set_xscale("log")
    _draw_dots(right, rows, lambda arm: arm.fit)
    right.set_xlabel(_("seconds to fit"))
    plain_log_axis(right)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize="medium")
    return figure


def _draw_dots(axes: Axes, rows: list[list[_Arm]], value: Callable[[_Arm], float | None]) -> None:
    """Draw a marker for each arm, and a line between those of one method."""
    for y, arms in enumerate(rows):
        values = [x for arm in arms if (x := value(arm)) is not None]
        if len(values) > 1:
            axes.plot((min(values), max(values)), (y, y), color="#cccccc", linewidth=1, zorder=1)
    for features, color in _COLORS.items():
        dots = [(x, y) for y, arms in enumerate(rows) for a in arms if a.features == features if (x := value(a))]
        if dots:
            axes.plot(
                *zip(*dots, strict=True),
                linestyle="",
                marker=_MARKERS[features],
                markersize=7,
                color=color,
                markeredgecolor="white",
                zorder=3,
                label=_features_label(features),
            )


def _arms(facts: Mapping[str, Any]) -> Iterable[_Arm]:
    """The arms of the study, in its order."""
    result = facts["result"]
    counts = Counter((arm.get("classifier"), arm.get("features")) for arm in facts["arms"].values())
    for name, arm in facts["arms"].items():
        rows = [row for row in result["rows"] if row["arm"] == name and "error" not in row]
        measured = result["arms"].get(name, {}).get(_MEASURE, {})
        classical = "classifier" in arm
        yield _Arm(
            method=arm["classifier"] if classical and counts[arm["classifier"], arm["features"]] == 1 else name,
            features=arm["features"] if classical else "",
            mean=measured.get("mean"),
            interval=within(ends, (0, 1)) if (ends := measured.get("interval")) else None,
            n=measured.get("n", 0),
            sd=measured.get("sd"),
            fit=_mean(rows, "fit_seconds" if classical else "seconds"),
            predict=_mean(rows, "predict_seconds"),
        )


def _mean(rows: Iterable[Mapping[str, Any]], key: str) -> float | None:
    values = [row[key] for row in rows if row.get(key) is not None]
    return statistics.fmean(values) if values else None


def _accuracy(arm: _Arm) -> float:
    return -1.0 if arm.mean is None else arm.mean


def _label(arm: _Arm) -> str:
    """The name of a method as a reader knows it; that of a network as it is, also if it is called "mlp"."""
    return _method_label(arm.method) if arm.features else arm.method


def _method_label(method: str) -> str:
    """The name of a classical method; that of an arm as it is."""
    if method not in CLASSIFIERS:
        return method
    labels = {
        "linear_svm": _("linear SVM"),
        "svm_rbf": _("SVM with RBF kernel"),
        "nearest_neighbors": _("nearest neighbors"),
        "logistic_regression": _("logistic regression"),
        "random_forest": _("random forest"),
        "mlp": _("MLP with one hidden layer"),
    }
    return labels[method]


def _features_label(features: str) -> str:
    """The name of a kind of features."""
    if features not in FEATURES:
        return _("learned (network)")
    return {"pixels": _("pixels"), "hog": _("HOG")}[features]


def _spread(mean: float, sd: float | None) -> str:
    """A mean in percent and its standard deviation in points."""
    if sd is None:
        return _("{mean:.2f} %", mean=100 * mean)
    return _("{mean:.2f} ± {sd:.2f} %", mean=100 * mean, sd=100 * sd)


def _seconds(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"
