"""The sentences that say how a comparison of two arms ended."""

from __future__ import annotations

import math
from collections.abc import Sequence

from classicnets.studies.measures import Measure
from classicnets.studies.statistics import LEVEL, Comparison
from classicnets.text import _, clauses, plural


def verdict(
    arms: tuple[str, str],
    measure: Measure,
    comparison: Comparison,
    *,
    p_holm: float | None = None,
    comparisons: int = 1,
    values: tuple[int, int] | None = None,
    runs: tuple[int, int] | None = None,
    claim: float | None = None,
    pairs_for_claim: int | None = None,
    at_most: tuple[int, int] = (0, 0),
    guessing: tuple[bool, bool] = (False, False),
) -> str:
    """Return the result of a comparison as one sentence: "max against average: test accuracy +0.12 points, ...".

    Args:
        arms: The names of the first and second arm.
        measure: What was compared.
        comparison: The second arm against the first.
        p_holm: The p value with Holm's correction (default: that of the comparison).
        comparisons: The number of comparisons that it is corrected for.
        values: The number of runs of each arm that have a value (default: the number of pairs).
        runs: The number of runs of each arm (default: the number of pairs).
        claim: What the source reports, like `Comparison.estimate`: a fraction, not points.
        pairs_for_claim: How many pairs would show the claim.
        at_most: The number of runs of each arm that reached the threshold within the first epoch.
        guessing: Whether all runs of each arm are at the accuracy of guessing.
    """
    p_holm = comparison.p if p_holm is None else p_holm
    if comparison.second_n is not None:
        return clauses([_unpaired_result(arms, measure, comparison, p_holm, comparisons), _guessing(arms, guessing)])
    values, runs = values or (comparison.n, comparison.n), runs or (comparison.n, comparison.n)
    parts = [_result(arms, measure, comparison, p_holm, comparisons, values, runs)]
    if comparison.n:
        parts += [
            _smallest(measure, comparison, p_holm),
            _missing(arms, measure, comparison, values, runs),
            _disagreement(measure, comparison),
            _claim(measure, comparison, claim, pairs_for_claim),
        ]
    parts += [_within_first_epoch(arms, runs, at_most), "" if measure.is_time else _guessing(arms, guessing)]
    return clauses(parts)


def _result(
    arms: tuple[str, str],
    measure: Measure,
    comparison: Comparison,
    p_holm: float | None,
    comparisons: int,
    values: tuple[int, int],
    runs: tuple[int, int],
) -> str:
    """Return the estimate, its interval and the conclusion."""
    fields = {"first": arms[0], "second": arms[1], "measure": measure.label, "n": comparison.n}
    if comparison.estimate is None:
        counts = {"had": values[0], "runs": runs[0], "second_had": values[1], "second_runs": runs[1]}
        if measure.curve:
            return _(
                "{measure}: {first} reached it in {had} of {runs} runs, {second} in {second_had} of {second_runs}: no"
                " pairs to compare",
                **fields,
                **counts,
            )
        return _(
            "{measure}: {first} has a value in {had} of {runs} runs, {second} in {second_had} of {second_runs}: no"
            " pairs to compare",
            **fields,
            **counts,
        )
    if comparison.equal:
        return plural(
            "{second} against {first}: {measure} has the same value in the only pair: not shown",
            "{second} against {first}: {measure} has the same value in all {n} pairs: not shown",
            comparison.n,
            **{key: value for key, value in fields.items() if key != "n"},
        )
    effect = _effect(measure, comparison)
    if comparison.n == 1:
        return _(
            "{second} against {first}: {effect}, n = 1: not shown, a test needs more pairs", **fields, effect=effect
        )
    if comparison.p is None:
        return _(
            "{second} against {first}: {effect} in each pair, n = {n}: not shown, a test needs pairs that differ",
            **fields,
            effect=effect,
        )
    if comparison.conclusion(p_holm) == "shown":
        return _("{second} against {first}: {effect}, n = {n}: shown", **fields, effect=effect)
    if comparison.p >= LEVEL:
        return _("{second} against {first}: {effect}, n = {n}: not shown", **fields, effect=effect)
    return _(
        "{second} against {first}: {effect}, n = {n}: not shown after Holm's correction for {comparisons} comparisons",
        **fields,
        effect=effect,
        comparisons=comparisons,
    )


def _unpaired_result(
    arms: tuple[str, str], measure: Measure, comparison: Comparison, p_holm: float | None, comparisons: int
) -> str:
    """Return the result of a comparison of runs with other seeds."""
    if comparison.n == 0:
        return _("{measure}: an arm has no value to compare", measure=measure.label)
    fields = {
        "first": arms[0],
        "second": arms[1],
        "n": comparison.n,
        "second_n": comparison.second_n,
        "effect": _effect(measure, comparison),
    }
    if min(comparison.n, comparison.second_n or 0) == 1:
        return _(
            "{second} against {first}: {effect}, n = {second_n} and {n}: not shown, a test needs at least two runs of"
            " each",
            **fields,
        )
    if comparison.p is None:
        return _(
            "{second} against {first}: {effect}, n = {second_n} and {n}: not shown, a test needs runs that differ",
            **fields,
        )
    if comparison.conclusion(p_holm) == "shown":
        return _("{second} against {first}: {effect}, n = {second_n} and {n}, other seeds: shown", **fields)
    if comparison.p >= LEVEL:
        return _("{second} against {first}: {effect}, n = {second_n} and {n}, other seeds: not shown", **fields)
    return _(
        "{second} against {first}: {effect}, n = {second_n} and {n}, other seeds: not shown after Holm's correction for"
        " {comparisons} comparisons",
        **fields,
        comparisons=comparisons,
    )


def _effect(measure: Measure, comparison: Comparison) -> str:
    """Return the estimate and its interval, if it has one."""
    estimate = comparison.estimate if comparison.estimate is not None else math.nan
    low, high = within(comparison.t_interval or (estimate, estimate), measure.difference_limits)
    digits = decimals(measure, estimate, low, high)
    fields = {
        "measure": measure.label,
        "estimate": _amount(measure, estimate, digits),
        "low": bound(measure, low, digits),
        "high": bound(measure, high, digits),
    }
    if comparison.t_interval is None:
        if measure.ratio:
            return _("{estimate} times the {measure}", **fields)
        return _("{measure} {estimate}", **fields)
    if covers_everything(comparison.t_interval, measure.difference_limits):
        return _("{measure} {estimate}, the 95 % interval covers everything that is possible", **fields)
    if measure.ratio:
        return _("{estimate} times the {measure} (95 % interval {low} to {high})", **fields)
    return _("{measure} {estimate}, 95 % interval {low} to {high}", **fields)


def _smallest(measure: Measure, comparison: Comparison, p_holm: float | None) -> str:
    """Return what would have been shown, if nothing was."""
    smallest = comparison.smallest_shown
    if smallest is None or comparison.conclusion(p_holm) != "not shown":
        return ""
    if smallest > measure.difference_limits[1]:
        return _("no possible difference would be shown with so few pairs")
    if not measure.ratio:
        amount = _amount(measure, smallest, decimals(measure, smallest)).removeprefix("+")
        return _("differences from {amount} on would be shown in 80 % of such studies", amount=amount)
    digits = decimals(measure, smallest, 1 / smallest)
    return _(
        "ratios from {high} up, and from {low} down, would be shown in 80 % of such studies",
        high=bound(measure, smallest, digits),
        low=bound(measure, 1 / smallest, digits),
    )


def _missing(
    arms: tuple[str, str], measure: Measure, comparison: Comparison, values: tuple[int, int], runs: tuple[int, int]
) -> str:
    """Return which runs have no value, if the estimate is not of all of them."""
    if comparison.n >= max(runs):
        return ""
    counts = {"had": values[0], "runs": runs[0], "second_had": values[1], "second_runs": runs[1]}
    fields = {"first": arms[0], "second": arms[1], "n": comparison.n, **counts}
    if measure.curve:
        return _(
            "{first} reached it in {had} of {runs} runs, {second} in {second_had} of {second_runs}: the estimate is"
            " only of the pairs in which both did",
            **fields,
        )
    return _(
        "{first} has a value in {had} of {runs} runs, {second} in {second_had} of {second_runs}: the estimate is"
        " only of the pairs in which both have one",
        **fields,
    )


def _within_first_epoch(arms: tuple[str, str], runs: tuple[int, int], at_most: tuple[int, int]) -> str:
    """Return how many runs reached a threshold before it can be measured when."""
    if not any(at_most):
        return ""
    return _(
        "reached within the first epoch in {early} of {runs} runs of {first} and {second_early} of {second_runs} of"
        " {second}: these values are upper limits, and pairs of two of them cannot be told apart",
        early=at_most[0],
        runs=runs[0],
        first=arms[0],
        second_early=at_most[1],
        second_runs=runs[1],
        second=arms[1],
    )


def _guessing(arms: tuple[str, str], guessing: tuple[bool, bool]) -> str:
    """Return that arms have learned nothing, so that their comparison does not answer the question."""
    if all(guessing):
        return _(
            "both are at the accuracy of guessing, so nothing was learned, and this says nothing about the question"
        )
    if not any(guessing):
        return ""
    return _(
        "{arm} is at the accuracy of guessing, so this says nothing about the question",
        arm=arms[guessing.index(True)],
    )


def learned_nothing(arm: str, share: float) -> str:
    """Return that all runs of an arm have the accuracy of guessing; `share` is that of the most frequent class."""
    return _(
        "{arm}: every run is at the accuracy of guessing, {share:.4g} %, so nothing was learned; comparisons with it"
        " say nothing about the question",
        arm=arm,
        share=100 * share,
    )


def within(ends: Sequence[float], limits: tuple[float, float]) -> tuple[float, float]:
    """Return an interval without what is not possible."""
    low, high = (min(max(end, limits[0]), limits[1]) for end in ends)
    return low, high


def covers_everything(ends: Sequence[float], limits: tuple[float, float]) -> bool:
    """Whether an interval leaves nothing out that is possible, and so says nothing."""
    return ends[0] <= limits[0] and ends[1] >= limits[1]


def _disagreement(measure: Measure, comparison: Comparison) -> str:
    """Return that the bootstrap interval contains 0 (for ratios 1) where the t interval does not, or the reverse."""
    if comparison.bootstrap_interval is None or comparison.t_interval is None:
        return ""
    neutral = comparison.neutral
    low, high = comparison.bootstrap_interval
    contains = low <= neutral <= high
    if contains == (comparison.t_interval[0] <= neutral <= comparison.t_interval[1]):
        return ""
    digits = decimals(measure, low, high)
    fields = {"low": bound(measure, low, digits), "high": bound(measure, high, digits), "neutral": f"{neutral:g}"}
    if contains:
        return _("the bootstrap interval {low} to {high} disagrees, it contains {neutral}", **fields)
    return _("the bootstrap interval {low} to {high} disagrees, it does not contain {neutral}", **fields)


def _claim(measure: Measure, comparison: Comparison, claim: float | None, pairs: int | None) -> str:
    """Return where the interval lies beside what the source reports, and how many pairs would show that."""
    if claim is None:
        return ""
    amount = _amount(measure, claim, decimals(measure, claim))
    if comparison.t_interval is None:
        return _("the source reports {claim}", claim=amount)
    low, high = comparison.t_interval
    if high < claim:
        place = _("the interval lies below the {claim} that the source reports", claim=amount)
    elif low > claim:
        place = _("the interval lies above the {claim} that the source reports", claim=amount)
    else:
        place = _("the interval contains the {claim} that the source reports", claim=amount)
    if pairs is None:
        return place
    return plural(
        "{place}, which {n} pair would show in 80 % of such studies",
        "{place}, which {n:,} pairs would show in 80 % of such studies",
        pairs,
        place=place,
    )


def decimals(measure: Measure, *values: float) -> int:
    """Return how many decimals tell the values from 0, and ratios from 1: 2, or 4 without a unit, and at most 6."""
    least = 4 if measure.unit == "" else 2
    references = (0.0, 1.0) if measure.ratio else (0.0,)
    shown = [value * measure.scale for value in values]
    for digits in range(least, 6):
        if all(
            abs(value - reference) < 1e-9 or round(value, digits) != reference
            for value in shown
            for reference in references
        ):
            return digits
    return 6


def bound(measure: Measure, value: float, digits: int) -> str:
    """Format a bound of an interval, without unit."""
    number = value * measure.scale
    if abs(number) >= 1e6:  # of ratios that vary by many powers of ten
        return f"{number:.3g}"
    return f"{round(number, digits) + 0.0:.{digits}f}"  # + 0.0: no "-0.00"


def _amount(measure: Measure, value: float, digits: int) -> str:
    """Format a difference with sign and unit, "+0.12 points", or a ratio."""
    number = bound(measure, value, digits)
    if measure.ratio:
        return number
    signed = number if number.startswith("-") else f"+{number}"
    return _("{number} points", number=signed) if measure.scale == 100 else signed
