"""The statistics of several runs, and their comparison with the published result."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from classicnets.text import _
from classicnets.training import results
from classicnets.training.plan import Plan
from classicnets.values import Expected


def statistics_of(values: Sequence[float]) -> dict[str, float | None]:
    """Return the mean, sample standard deviation (n - 1), minimum and maximum; None where there are too few values."""
    if not values:
        return dict.fromkeys(("mean", "sd", "min", "max"))
    return {
        "mean": statistics.mean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "min": min(values),
        "max": max(values),
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
    mean = statistics.mean(accuracies)
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
