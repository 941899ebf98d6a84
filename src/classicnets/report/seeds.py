"""Writes the curves and the card of runs with several seeds into their folder."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from classicnets.events import Epoch
from classicnets.files import write_whole
from classicnets.report import cards, figures
from classicnets.report.curves import accuracy_axis, draw_lines
from classicnets.report.fonts import FigureText, figure_texts
from classicnets.runs import history
from classicnets.studies.results import StudyResults
from classicnets.text import _, plural
from classicnets.values import Expected

_TRAIN_COLOR, _TEST_COLOR = "#1f6fb4", "#c8500a"


def write(results: StudyResults) -> None:
    """Write the figure with the curves of all seeds, and the card. Raises MachineError CN401."""
    plan, rows = results.plan, results.facts["result"]["runs"]
    assert plan, "several seeds have one plan"
    epochs = {
        seed: [e for e in history.read(run.history) if isinstance(e, Epoch)]
        for (_arm, seed), run in results.folder.networks().items()
    }
    accuracies = {row["seed"]: row["test_accuracy"] for row in rows if "error" not in row}
    with figure_texts():
        title = plural(
            "{net} on {data}, recipe {recipe}, {n} seed",
            "{net} on {data}, recipe {recipe}, {n} seeds",
            len(rows),
            net=plan.net_spec.display_name,
            data=plan.description.name,
            recipe=plan.recipe.source,
        )
        write_whole(results.folder.curves, figures.png(draw(epochs, accuracies, plan.expected, title)))
    write_whole(
        results.folder.card,
        cards.seeds_card(results.facts, net=plan.net_spec.display_name).encode("utf-8", "backslashreplace"),
    )


def draw(
    epochs: Mapping[int, Sequence[Epoch]], accuracies: Mapping[int, float], expected: Expected | None, title: str
) -> Figure:
    """Draw train loss and accuracy against epochs for every seed with their means, and the final test accuracies.

    The accuracy is that on the test split, else that on the validation set, else that in training, whichever was
    evaluated after each epoch.

    Args:
        epochs: the epochs of each seed.
        accuracies: the final test accuracy of each finished seed; the curves of the others are dashed.
        expected: the published result, whose range is shaded.
        title: the title of the figure.
    """
    figure = Figure(figsize=(12, 4), layout="constrained")
    text = FigureText([], title, 12)
    figure.suptitle(text.title, fontsize=10, **text.style)
    left, middle, right = figure.subplots(1, 3, width_ratios=[5, 5, 2.4])
    all_epochs = [epoch for seed_epochs in epochs.values() for epoch in seed_epochs]
    name, label = accuracy_axis(all_epochs)
    color = _TRAIN_COLOR if name == "accuracy" else _TEST_COLOR
    draw_lines(left, epochs, accuracies, lambda e: e.loss, _TRAIN_COLOR)
    draw_lines(middle, epochs, accuracies, lambda e: getattr(e, name), color)
    left.set(xlabel=_("epoch"), ylabel=_("train loss (mean over the epoch)"))
    left.set_ylim(bottom=0)
    middle.set(xlabel=_("epoch"), ylabel=label)
    middle.set_ylim(0, 1)
    if expected:
        for axes in (middle, right) if name == "test_accuracy" else (right,):
            axes.axhspan(
                expected.low,
                expected.high,
                facecolor=(_TEST_COLOR, 0.12),
                edgecolor=(_TEST_COLOR, 0.4),  # the range of a single published run is this line
                label=plural("published ({n} run)", "published ({n} runs)", expected.n),
            )
    _draw_dots(right, accuracies)
    for axes in (left, middle):
        axes.set_xlim(0, max((e.epoch for e in all_epochs), default=1))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="best", fontsize="small")
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
    return figure


def _draw_dots(axes: Axes, accuracies: Mapping[int, float]) -> None:
    """Draw a dot for each seed, name the lowest and the highest, and draw the mean with its standard deviation."""
    values = list(accuracies.values())
    axes.set(xlim=(0, 1), xticks=[], ylabel=_("final test accuracy"))
    axes.yaxis.set_label_position("right")
    axes.yaxis.tick_right()
    if not values:
        return
    x = [0.25 + 0.2 * ((i * 0.618) % 1 - 0.5) for i in range(len(values))]  # spread out, so that equal values show
    axes.plot(x, values, "o", color=_TEST_COLOR, alpha=0.6, markersize=4)
    if len(values) > 1:
        for seed in {min(accuracies, key=accuracies.__getitem__), max(accuracies, key=accuracies.__getitem__)}:
            axes.text(0.4, accuracies[seed], _("seed {seed}", seed=seed), fontsize="x-small", va="center")
    mean = statistics.mean(values)
    deviation = statistics.stdev(values) if len(values) > 1 else None
    axes.errorbar(0.72, mean, yerr=deviation, fmt="o", color=_TEST_COLOR, capsize=5, linewidth=2)
    figures = f"{mean:.4f}" if deviation is None else f"{mean:.4f} ± {deviation:.4f}"
    axes.set_title(
        plural("{figures}, {n} seed", "{figures}, {n} seeds", len(values), figures=figures), fontsize="small"
    )
