"""The statistics of one plan with several seeds, and their comparison with the published result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean as mean_of
from typing import Any

from classicnets.studies.statistics import statistics_of
from classicnets.text import _
from classicnets.training import results
from classicnets.training.plan import Plan
from classicnets.values import Expected

METRICS = ("test_accuracy", "test_loss", "train_accuracy", "train_loss", "seconds")


def summarize(plan: Plan, facts: Mapping[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the result in study.json: the statistics of the metrics of all runs.

    Args:
        plan: The plan.
        facts: The contents of study.json.
        rows: The runs, as `results.row` returns them.
    """
    finished = [values for values in rows if "error" not in values]
    return {
        "n": len(finished),
        "of": len(rows),
        "pictures": finished[0]["n"] if finished else None,
        **{key: statistics_of([values[key] for values in finished]) for key in METRICS},
        "published": facts["recipe"]["expected"],
        "verdict": verdict(plan, [values["test_accuracy"] for values in finished]),
        "runs": rows,
    }


def spread(figure: Mapping[str, float | None]) -> str:
    """Format mean, standard deviation and range: "0.7512 ± 0.0041 (0.7466 to 0.7544)"."""
    if figure["mean"] is None:
        return _("no run has a result")
    if figure["sd"] is None:
        return f"{figure['mean']:.4f}"
    return _("{mean:.4f} ± {sd:.4f} ({min:.4f} to {max:.4f})", **figure)


def verdict(plan: Plan, accuracies: Sequence[float]) -> str:
    """Compare test accuracies with the published ones, in a sentence; "" if there is nothing to compare."""
    return results.verdict(plan, lambda expected: against(expected, accuracies)) if accuracies else ""


def against(expected: Expected, accuracies: Sequence[float]) -> str:
    """Compare the mean with the published mean, and count the runs in the published range."""
    mean = mean_of(accuracies)
    if expected.n == 1:
        return _("the mean is {verdict}", verdict=expected.verdict(mean))
    points = 100 * (mean - expected.mean)
    values = {
        "inside": sum(expected.low <= accuracy <= expected.high for accuracy in accuracies),
        "runs": len(accuracies),
        "low": expected.low,
        "high": expected.high,
        "points": abs(points),
        "mean": expected.mean,
        "n": expected.n,
        "source": expected.source,
    }
    if points < 0:
        return _(
            "{inside} of {runs} runs are in the published range {low:.3f} to {high:.3f}; the mean is {points:.2f}"
            " points below the published mean {mean:.4f} (n = {n}: {source})",
            **values,
        )
    return _(
        "{inside} of {runs} runs are in the published range {low:.3f} to {high:.3f}; the mean is {points:.2f}"
        " points above the published mean {mean:.4f} (n = {n}: {source})",
        **values,
    )
