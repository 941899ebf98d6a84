"""Pieces of figures with the curves of several runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes

from classicnets.events import Epoch
from classicnets.text import _, plural

_FAILED_COLOR = "#c62828"


def accuracy_axis(epochs: Sequence[Epoch]) -> tuple[str, str]:
    """Return the field and the axis label of the accuracy to draw: of the test split, else the validation set, else
    in training, whichever was evaluated after each of them.
    """
    for name, label in (("test_accuracy", _("test accuracy")), ("validation_accuracy", _("validation accuracy"))):
        if epochs and all(getattr(epoch, name) is not None for epoch in epochs):
            return name, label
    return "accuracy", _("train accuracy (mean over the epoch)")


def draw_lines(
    axes: Axes,
    epochs: Mapping[int, Sequence[Epoch]],
    finished: Mapping[int, object],
    value: Callable[[Epoch], float],
    color: str,
    *,
    name: str = "",
) -> None:
    """Draw a thin line for each seed, and the mean of the finished seeds as far as all of them go.

    Args:
        axes: where to draw.
        epochs: the epochs of each seed.
        finished: has the seeds that have finished; the lines of the others are dashed.
        value: the number of an epoch that is drawn.
        color: the color of the lines.
        name: the label of the mean, if several groups of seeds share the axes; failed seeds then keep the color.
    """
    alpha = max(0.25, min(0.6, 4 / max(1, len(epochs))))
    labels = {""}
    for seed, seed_epochs in epochs.items():
        label = "" if name else _("one seed") if seed in finished else _("failed seed")
        axes.plot(
            [e.epoch for e in seed_epochs],
            [value(e) for e in seed_epochs],
            color=color if seed in finished or name else _FAILED_COLOR,
            alpha=alpha if seed in finished else 0.8,
            linestyle="-" if seed in finished else "--",
            linewidth=0.9,
            marker="." if len(seed_epochs) == 1 else "",
            label=label if label not in labels else None,
        )
        labels.add(label)
    common_epochs = list(zip(*(epochs[seed] for seed in finished), strict=False))
    axes.plot(
        [row[0].epoch for row in common_epochs],
        [statistics.fmean(map(value, row)) for row in common_epochs],
        color=color,
        linewidth=2.4,
        marker="o" if len(common_epochs) == 1 else "",
        label=name or plural("mean of {n} seed", "mean of {n} seeds", len(finished)),
    )
