"""The values of a study as text, in the unit of their measure: in percent, points, epochs, times, ..."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from classicnets.studies.measures import Measure
from classicnets.studies.verdicts import bound, covers_everything, decimals, within
from classicnets.text import _, in_context

_DIGITS = {
    "points": 2,
    "share": 1,
    "epochs": 1,
    "seconds": 1,
    "images/s": 0,
}  # after the point; others have four, and parts of a second three


def label(measure: Measure) -> str:
    """Return the measure with the unit of its values: "test accuracy, %"."""
    unit = _unit(measure)
    return _("{measure}, {unit}", measure=measure.label, unit=unit) if unit else measure.label


def with_unit(number: str, measure: Measure) -> str:
    """Return a formatted value with its unit: "81.23 ± 0.41 %"."""
    unit = _unit(measure)
    return f"{number} {unit}" if unit else number


def _unit(measure: Measure) -> str:
    """The unit of values; "" if there is none, or if the label says it: "epochs to ...", "images per second"."""
    if measure.curve or measure.unit == "images/s":
        return ""
    return {"points": "%", "share": "%", "seconds": in_context("unit", "seconds")}.get(measure.unit, measure.unit)


def difference_label(measure: Measure) -> str:
    """Return the measure with the unit of its differences: "test accuracy, points", or "seconds, ratio"."""
    if measure.ratio:
        return _("{measure}, ratio", measure=measure.label)
    if measure.unit in {"points", "share"}:
        return _("{measure}, points", measure=measure.label)
    return label(measure)


def value(number: float | None, measure: Measure) -> str:
    """Format a value without its unit; None is a threshold that the run has not reached."""
    if number is None:
        return _("not reached")
    if measure.unit == "epochs" and isinstance(number, int):
        return f"{number:,}"
    digits = 3 if measure.unit == "seconds" and abs(number) < 1 else _DIGITS.get(measure.unit, 4)
    return f"{measure.scale * number:,.{digits}f}"


def mean(figures: Mapping[str, Any], measure: Measure) -> str:
    """Format mean and standard deviation: "81.23 ± 0.41"; without a value, say so."""
    if figures["mean"] is None:
        return _("no value")
    if figures["sd"] is None:
        return value(figures["mean"], measure)
    return f"{value(figures['mean'], measure)} ± {value(figures['sd'], measure)}"


def interval(ends: Sequence[float] | None, measure: Measure) -> str:
    """Format an interval of values, without what is not possible; "" if there is none."""
    if ends is None:
        return ""
    if covers_everything(ends, measure.limits):
        return _("all that is possible")
    ends = within(ends, measure.limits)
    return _("{low} to {high}", low=value(ends[0], measure), high=value(ends[1], measure))


def difference(number: float | None, measure: Measure, digits: int | None = None, *, signed: bool = True) -> str:
    """Format a difference in points or the unit, or a ratio, as verdicts do; "" if there is none.

    Args:
        number: the difference or ratio.
        measure: what is compared.
        digits: the number of decimals (default: as many as tell it from no difference).
        signed: whether a positive difference has a plus sign.
    """
    if number is None:
        return ""
    text = bound(measure, number, decimals(measure, number) if digits is None else digits)
    return text if measure.ratio or not signed or text.startswith("-") else f"+{text}"


def difference_interval(ends: Sequence[float] | None, measure: Measure, digits: int | None = None) -> str:
    """Format an interval of differences or ratios, without what is not possible; "" if there is none."""
    if ends is None:
        return ""
    if covers_everything(ends, measure.difference_limits):
        return _("all that is possible")
    ends = within(ends, measure.difference_limits)
    digits = decimals(measure, *ends) if digits is None else digits
    low, high = (difference(end, measure, digits) for end in ends)
    return _("{low} to {high}", low=low, high=high)


def smallest(number: float | None, measure: Measure) -> str:
    """Format the smallest difference or ratio that would be shown; "" if there is none."""
    if number is not None and number > measure.difference_limits[1]:
        return _("none that is possible")
    return difference(number, measure, signed=False)


def effect(comparison: Mapping[str, Any], measure: Measure) -> tuple[str, str]:
    """Format the estimate of a comparison and its interval, with the same number of decimals."""
    estimate, ends = comparison["estimate"], comparison["t_interval"]
    digits = decimals(measure, *(number for number in (estimate, *(ends or ())) if number is not None))
    return difference(estimate, measure, digits), difference_interval(ends, measure, digits)


def probability(number: float | None) -> str:
    """Format a p value; "" if there is none."""
    if number is None:
        return ""
    return "< 0.001" if number < 0.001 else f"{number:.3f}"
