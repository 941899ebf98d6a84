"""One plan with several seeds: the image of all curves, and the card."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from classicnets.events import Epoch
from classicnets.files import write_whole
from classicnets.report import figures
from classicnets.runs import history
from classicnets.study.seeds import SeedsResults, spread
from classicnets.values import Expected

_TRAIN, _TEST, _FAILED = "#1f6fb4", "#c8500a", "#c62828"
_WATCHED = {
    "test_accuracy": "test accuracy",
    "validation_accuracy": "validation accuracy",
    "accuracy": "train accuracy (mean over the epoch)",
}


def write(results: SeedsResults) -> None:
    """Draws the curves of all seeds in one figure and writes the card. Raises MachineError CN401."""
    plan, rows = results.plan, results.facts["result"]["runs"]
    runs = results.folder.runs()
    epochs = {s: [e for e in history.read(run.history) if isinstance(e, Epoch)] for s, run in runs.items()}
    accuracies = {one["seed"]: one["test_accuracy"] for one in rows if "error" not in one}
    title = f"{plan.net_spec.display_name} on {plan.description.name}, recipe {plan.recipe.source}, {len(rows)} seeds"
    write_whole(results.folder.curves, figures.png(draw(epochs, accuracies, plan.expected, title)))
    write_whole(results.folder.card, card(results.facts, net=plan.net_spec.display_name).encode())


def draw(
    epochs: Mapping[int, Sequence[Epoch]], accuracies: Mapping[int, float], expected: Expected | None, title: str
) -> Figure:
    """Train loss and the accuracy that was watched against epochs, a thin line a seed and a thick one for their mean;
    beside them the final test `accuracies`, a dot a seed, with mean and standard deviation.

    The published range is shaded where test accuracy is drawn. A seed that has no final accuracy is a dashed line.
    """
    figure = Figure(figsize=(12, 4), layout="constrained")
    figure.suptitle(title)
    left, middle, right = figure.subplots(1, 3, width_ratios=[5, 5, 2.4])
    seen = [epoch for past in epochs.values() for epoch in past]
    watched = next(name for name in _WATCHED if name == "accuracy" or any(getattr(e, name) is not None for e in seen))
    _lines(left, epochs, accuracies, lambda e: e.loss, _TRAIN)
    _lines(middle, epochs, accuracies, lambda e: getattr(e, watched), _TEST if watched != "accuracy" else _TRAIN)
    left.set(xlabel="epoch", ylabel="train loss (mean over the epoch)")
    left.set_ylim(bottom=0)
    middle.set(xlabel="epoch", ylabel=_WATCHED[watched])
    middle.set_ylim(0, 1)
    if expected:
        for axes in (middle, right) if watched == "test_accuracy" else (right,):
            axes.axhspan(
                expected.low,
                expected.high,
                facecolor=(_TEST, 0.12),
                edgecolor=(_TEST, 0.4),  # all there is to see of a single run
                label=f"published, n = {expected.n}",
            )
    _dots(right, accuracies)
    for axes in (left, middle):
        axes.set_xlim(0, max((e.epoch for e in seen), default=1))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="best", fontsize="small")
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
    return figure


def _lines(
    axes: Axes,
    epochs: Mapping[int, Sequence[Epoch]],
    finished: Mapping[int, float],
    value: Callable[[Epoch], float],
    color: str,
) -> None:
    """A thin line a seed; the mean of the finished ones as far as all of them go."""
    alpha = max(0.25, min(0.6, 4 / max(1, len(epochs))))
    labeled = set()
    for seed, past in epochs.items():
        label = "one seed" if seed in finished else "a seed that failed"
        axes.plot(
            [e.epoch for e in past],
            [value(e) for e in past],
            color=color if seed in finished else _FAILED,
            alpha=alpha if seed in finished else 0.8,
            linestyle="-" if seed in finished else "--",
            linewidth=0.9,
            marker="." if len(past) == 1 else "",
            label=label if label not in labeled else None,
        )
        labeled.add(label)
    all_there = list(zip(*(epochs[seed] for seed in finished), strict=False))
    axes.plot(
        [together[0].epoch for together in all_there],
        [statistics.fmean(map(value, together)) for together in all_there],
        color=color,
        linewidth=2.4,
        marker="o" if len(all_there) == 1 else "",
        label=f"mean, n = {len(finished)}",
    )


def _dots(axes: Axes, accuracies: Mapping[int, float]) -> None:
    """A dot a seed, the lowest and the highest named; the mean with a bar of one standard deviation to each side."""
    values = list(accuracies.values())
    axes.set(xlim=(0, 1), xticks=[], ylabel="final test accuracy")
    axes.yaxis.set_label_position("right")
    axes.yaxis.tick_right()
    if not values:
        return
    spread = [0.25 + 0.2 * ((i * 0.618) % 1 - 0.5) for i in range(len(values))]  # so that equal ones are seen
    axes.plot(spread, values, "o", color=_TEST, alpha=0.6, markersize=4)
    if len(values) > 1:
        for choose in (min, max):
            seed = choose(accuracies, key=lambda s: accuracies[s])
            axes.text(0.4, accuracies[seed], f"seed {seed}", fontsize="x-small", va="center")
    sd = statistics.stdev(values) if len(values) > 1 else None
    axes.errorbar(0.72, statistics.mean(values), yerr=sd, fmt="o", color=_TEST, capsize=5, linewidth=2)
    deviation = f" ± {sd:.4f}" if sd is not None else ""
    axes.set_title(f"{statistics.mean(values):.4f}{deviation}, n = {len(values)}", fontsize="small")


def card(facts: dict[str, Any], *, net: str) -> str:
    """The card from the facts of finished runs (their seeds.json); `net` is how the net is called."""
    recipe, result, versions = facts["recipe"], facts["result"], facts["machine"]["versions"]
    changed = [f"{key}={recipe[key]}" for key, source in facts["origins"].items() if source == "--set"]
    lines = [
        f"# {net} on {facts['data_name']}, {result['of']} seeds",
        "",
        f"Test accuracy **{spread(result['test_accuracy'])}**: mean ± standard deviation (range) of {result['n']} runs"
        + (f" on {result['pictures']:,} images each" if result["pictures"] else "")
        + (f"; {result['of'] - result['n']} of {result['of']} failed." if result["n"] < result["of"] else "."),
        "",
        f"Verdict: {result['verdict'] or 'no result is published for this recipe'}.",
        "",
        "| seed | test accuracy | train accuracy | train loss | seconds |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for one in result["runs"]:
        figures = (
            f"{one['test_accuracy']:.4f} | {one['train_accuracy']:.4f} | {one['train_loss']:.4f} | {one['seconds']:.1f}"
            if "error" not in one
            else f"{one['error'].splitlines()[0]} | | |"
        )
        lines.append(f"| [{one['seed']}]({one['folder']}) | {figures} |")
    lines += [
        "",
        "| what | |",
        "| --- | --- |",
        f"| recipe | {recipe['source']}: {recipe['epochs']} epochs, batch {recipe['batch_size']},"
        f" {recipe['optimizer']} lr {recipe['lr']:g}, {recipe['schedule']} |",
        f"| changed | {', '.join(changed) or 'nothing'}{', limit ' + str(facts['limit']) if facts['limit'] else ''} |",
        f"| data | {facts['data_name']}, fingerprint {facts['fingerprint'][:16]} |",
        f"| how | {facts['side_by_side']} at once, threads each: {facts['threads']}; {facts['why']} |",
        f"| time | from {facts['started_at']} to {facts['finished_at']} |",
        f"| machine | {facts['machine']['processor']}, {facts['machine']['cores']} cores, {facts['device']} |",
        f"| versions | classicnets {versions['classicnets']}, torch {versions['torch']}, Python {versions['python']} |",
        f"| command | `{facts['command']}` |",
        "",
        "![curves of all seeds](curves.png)",
        "",
    ]
    return "\n".join(lines)
