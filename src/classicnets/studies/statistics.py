"""The statistics of a study: its arms, and their comparison in pairs of runs with the same seed.

Runs with other seeds, which are no pairs, are compared by Welch's t test (`compare_unpaired`).

A comparison is decided by the paired t test at the level of 0.05, with Holm's correction for all comparisons of the
study. For a measure that is compared by ratios (a time), everything is computed with the logarithms of the values; the
mean of the differences is then the geometric mean of the paired ratios. "Would be shown" means a power of 0.8: so
many of such studies show a difference of that size.

Everything but `statistics_of`, `holm` and `has_...` needs SciPy (the extra [study]).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from classicnets import machine

LEVEL = 0.05  # probability of showing a difference that does not exist, for all comparisons of a study together
POWER = 0.8
BOOTSTRAP_LEAST = 6  # see `compare`
_RESAMPLES = 9999
_LARGEST_RATIO = 1e6  # larger ones say that nothing would be shown, and overflow
_ROUNDING = 1e-12  # relative to the values: differences below it come from rounding, as in 0.81 - 0.8 and 0.02 - 0.01

Interval = tuple[float, float]


def scipy_stats() -> ModuleType:
    """Return scipy.stats. Raises MachineError CN403 without SciPy, which a study checks before it trains."""
    return machine.require("scipy.stats", extra="study")


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


def interval(values: Sequence[float]) -> Interval | None:
    """Return the 95 % t interval of the mean; None for fewer than 2 values, and if all are equal.

    Equal values have no spread to compute an interval from. That of the formula, without width, would claim that the
    mean is known exactly.
    """
    if len(values) < 2 or _constant(values, max(map(abs, values))):
        return None
    return _t_interval(values)


def _t_interval(values: Sequence[float]) -> Interval:
    n, mean = len(values), statistics.mean(values)
    half = float(scipy_stats().t.isf(LEVEL / 2, n - 1)) * statistics.stdev(values) / math.sqrt(n)
    return mean - half, mean + half


@dataclass(frozen=True)
class Comparison:
    """The comparison of two arms, from pairs of runs with the same seed, or from runs with other seeds.

    Attributes:
        n: Number of pairs; of runs of the first arm, if there are no pairs.
        ratio: Whether `estimate`, the intervals and `smallest_shown` are ratios (second / first), not differences
            (second - first).
        estimate: The mean difference, or the geometric mean of the ratios; None without pairs.
        sd: The sample standard deviation of the differences, or of the logarithms of the ratios; None for n < 2.
        t_interval: The 95 % interval of the t distribution.
        bootstrap_interval: The 95 % interval of the bootstrap; None for n < 6, too.
        p: Of the paired t test, two-sided, without Holm's correction.
        smallest_shown: The smallest difference, or ratio above 1, that would be shown with `n` pairs of this
            spread, at the level of Holm's strictest step; None for a ratio above a million, too, and without pairs.
        second_n: Number of runs of the second arm, if there are no pairs; None if there are.

    The four before `second_n` are None for fewer than two pairs and, since there is no spread, if all differences are
    equal.
    """

    n: int
    ratio: bool
    estimate: float | None = None
    sd: float | None = None
    t_interval: Interval | None = None
    bootstrap_interval: Interval | None = None
    p: float | None = None
    smallest_shown: float | None = None
    second_n: int | None = None

    @property
    def equal(self) -> bool:
        """Whether there are pairs, and all of them are equal; without pairs, whether all runs are."""
        return self.estimate == self.neutral and self.p is None

    @property
    def neutral(self) -> float:
        """The estimate of arms that do not differ: 1 for ratios, else 0."""
        return 1.0 if self.ratio else 0.0

    def conclusion(self, p_holm: float | None) -> str:
        """Return "shown", "not shown", "equal" or "no pairs", by the p value with Holm's correction."""
        if self.n == 0:
            return "no pairs"
        if self.equal:
            return "equal"
        return "shown" if p_holm is not None and p_holm < LEVEL else "not shown"


def compare(
    first: Sequence[float | None], second: Sequence[float | None], *, ratio: bool, comparisons: int = 1
) -> Comparison:
    """Compare the values of two arms, paired by position.

    Pairs with a value that is missing (None) or not finite are left out; for ratios, values must be above 0, too.

    If all differences are equal, there is no spread: there is then neither an interval nor a test, because both would
    claim certainty from a few runs that happen to agree, such as accuracies on 100 images.

    The bootstrap interval (BCa, percentile where BCa is not defined) needs at least 6 pairs. It never leaves the range
    of the differences, which covers the median of their distribution with the probability of 1 - 2^(1 - n) only: 94 %
    for 5 pairs, 97 % for 6. With few pairs, it is too narrow: of 300 simulated studies with normal differences, it
    covered the mean in 87 % with 6 pairs, 90 % with 10 and 93 % with 20. The t interval decides.

    Args:
        first: The values of the first arm; None where a run has none.
        second: The values of the second arm, from the same seeds.
        ratio: Whether to compare ratios instead of differences.
        comparisons: Number of comparisons of the study, for `smallest_shown`.
    """
    pairs = _pairs(first, second, ratio)
    differences, constant = _differences(pairs, ratio)
    n = len(pairs)
    if n == 0:
        return Comparison(0, ratio)

    def on_scale(difference: float) -> float:
        return math.exp(difference) if ratio else difference

    if constant:
        return Comparison(n, ratio, on_scale(differences[0]), sd=0.0 if n > 1 else None)
    sd = statistics.stdev(differences)
    low, high = _t_interval(differences)
    bootstrap = _bootstrap(differences)
    smallest = smallest_difference(sd, n, comparisons)
    return Comparison(
        n,
        ratio,
        on_scale(statistics.mean(differences)),
        sd,
        (on_scale(low), on_scale(high)),
        bootstrap and (on_scale(bootstrap[0]), on_scale(bootstrap[1])),
        float(scipy_stats().ttest_1samp(differences, 0.0).pvalue),
        None if ratio and smallest > math.log(_LARGEST_RATIO) else on_scale(smallest),
    )


def compare_unpaired(first: Sequence[float | None], second: Sequence[float | None]) -> Comparison:
    """Compare the values of two arms whose runs have other seeds, by Welch's t test and interval.

    The arms may have different numbers of runs and different spreads. Values that are missing (None) or not finite are
    left out. Each arm needs at least two values, and one of them a spread; else there is no test, as in `compare`.

    Args:
        first: The values of the first arm; None where a run has none.
        second: The values of the second arm.
    """
    a, b = ([value for value in values if value is not None and math.isfinite(value)] for values in (first, second))
    if not a or not b:
        return Comparison(0, ratio=False, second_n=0)
    estimate, scale = statistics.mean(b) - statistics.mean(a), max(map(abs, (*a, *b)))
    if not _has_spread(a, b):
        exact = estimate if abs(estimate) > _ROUNDING * scale else 0.0
        return Comparison(len(a), ratio=False, estimate=exact, second_n=len(b))
    errors = [statistics.variance(values) / len(values) for values in (a, b)]
    error = math.sqrt(sum(errors))
    freedom = sum(errors) ** 2 / sum(e**2 / (len(values) - 1) for e, values in zip(errors, (a, b), strict=True))
    t = scipy_stats().t
    half = float(t.isf(LEVEL / 2, freedom)) * error
    return Comparison(
        len(a),
        ratio=False,
        estimate=estimate,
        t_interval=(estimate - half, estimate + half),
        p=2 * float(t.sf(abs(estimate) / error, freedom)),
        second_n=len(b),
    )


def has_unpaired_test(first: Sequence[float | None], second: Sequence[float | None]) -> bool:
    """Return whether `compare_unpaired` has a p value."""
    a, b = ([value for value in values if value is not None and math.isfinite(value)] for values in (first, second))
    return _has_spread(a, b)


def _has_spread(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether Welch's test is defined: two values each, and not all of them equal within both arms."""
    if min(len(first), len(second)) < 2:
        return False
    scale = max(map(abs, (*first, *second)))
    return not (_constant(first, scale) and _constant(second, scale))


def has_test(first: Sequence[float | None], second: Sequence[float | None], *, ratio: bool) -> bool:
    """Return whether `compare` has a p value: there are differences, and they are not all equal."""
    return not _differences(_pairs(first, second, ratio), ratio)[1]


def _pairs(first: Sequence[float | None], second: Sequence[float | None], ratio: bool) -> list[tuple[float, float]]:
    """Return the pairs that can be compared."""
    return [
        (a, b)
        for a, b in zip(first, second, strict=True)
        if a is not None and b is not None and usable(a, ratio=ratio) and usable(b, ratio=ratio)
    ]


def usable(value: float | None, *, ratio: bool) -> bool:
    """Return whether a value can be compared: a ratio with 0 has no logarithm."""
    return value is not None and math.isfinite(value) and (value > 0 or not ratio)


def _differences(pairs: Sequence[tuple[float, float]], ratio: bool) -> tuple[list[float], bool]:
    """Return second minus first, of the logarithms for ratios, and whether all differences are equal.

    Equal differences become exactly the same number, and 0 if they are 0 except for rounding.
    """
    differences = [math.log(b) - math.log(a) if ratio else b - a for a, b in pairs]
    scale = 1.0 if ratio else max((abs(value) for pair in pairs for value in pair), default=0.0)
    if not _constant(differences, scale):
        return differences, False
    value = differences[0] if differences and abs(differences[0]) > _ROUNDING * scale else 0.0
    return [value] * len(pairs), True


def _constant(values: Sequence[float], scale: float) -> bool:
    """Whether values are equal except for rounding; `scale` is the size of the numbers that they were computed from."""
    return not values or max(values) - min(values) <= _ROUNDING * scale


def _bootstrap(differences: Sequence[float]) -> Interval | None:
    """Return the bootstrap interval of the mean, always from the same random numbers; None for too few differences."""
    if len(differences) < BOOTSTRAP_LEAST:
        return None
    for method in ("BCa", "percentile"):
        with machine.quiet():  # SciPy warns where BCa is not defined
            low, high = (
                scipy_stats()
                .bootstrap(
                    (differences,),
                    np.mean,
                    n_resamples=_RESAMPLES,
                    confidence_level=1 - LEVEL,
                    method=method,
                    random_state=np.random.default_rng(0),
                )
                .confidence_interval
            )
        if math.isfinite(low) and math.isfinite(high):
            break
    return float(low), float(high)


def _power(effect: float, n: int, level: float) -> float:
    """Return the power of the paired t test.

    The opposite tail, a difference shown with the wrong sign, is left out. It is below 1e-5 where the power is 0.8.

    Args:
        effect: The true difference, in standard deviations of the differences; not negative.
        n: Number of pairs.
        level: Of the two-sided test.
    """
    stats = scipy_stats()
    return float(stats.nct.sf(stats.t.isf(level / 2, n - 1), n - 1, effect * math.sqrt(n)))


def smallest_difference(sd: float, n: int, comparisons: int = 1) -> float:
    """Return the smallest difference that would be shown with `n` pairs (at least 2), whose differences have this sd.

    Args:
        sd: Standard deviation of the differences.
        n: Number of pairs.
        comparisons: Number of comparisons of the study; the level is that of Holm's strictest step.
    """
    level = LEVEL / comparisons
    most = (2 * float(scipy_stats().t.isf(level / 2, n - 1)) + 5) / math.sqrt(n)  # has a power above 0.95
    root = machine.require("scipy.optimize", extra="study").brentq
    return sd * float(root(lambda effect: _power(effect, n, level) - POWER, 0.0, most))


def pairs_needed(difference: float, sd: float, comparisons: int = 1) -> int:
    """Return the smallest number of pairs with which a difference would be shown.

    Args:
        difference: The true difference, or the logarithm of the true ratio.
        sd: Standard deviation of the differences, or of the logarithms of the ratios.
        comparisons: Number of comparisons of the study; the level is that of Holm's strictest step.

    Raises:
        ValueError: The difference is 0 (or that small beside the spread), or there is no spread.
    """
    if not abs(difference) > 1e-6 * sd > 0:
        raise ValueError(f"no number of pairs shows a difference of {difference} with a spread of {sd}")
    level, effect = LEVEL / comparisons, abs(difference) / sd
    if (
        effect < 0.02
    ):  # tens of thousands of pairs: the t distribution is the normal one, and needs one or two pairs more
        normal = statistics.NormalDist()
        z = normal.inv_cdf(1 - level / 2)
        return math.ceil(((z + normal.inv_cdf(POWER)) / effect) ** 2 + z**2 / 2)
    few, enough = 1, 2
    while _power(effect, enough, level) < POWER:
        few, enough = enough, 2 * enough
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if _power(effect, middle, level) >= POWER else (middle, enough)
    return enough


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Return the p values with the correction of Holm (1979), in the same order.

    The smallest of m values is multiplied by m, the next by m - 1, and so on; none is smaller than one before it, nor
    above 1. A None is no test: it stays None and does not count.
    """
    adjusted: list[float | None] = [None] * len(ps)
    ordered = sorted((p, position) for position, p in enumerate(ps) if p is not None)
    largest = 0.0
    for rank, (p, position) in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - rank) * p))
        adjusted[position] = largest
    return adjusted
