"""The statistics of studies against SciPy, simulations, and numbers calculated by hand."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from classicnets.errors import MachineError
from classicnets.studies.measures import measure
from classicnets.studies.statistics import compare, has_test, holm, interval, pairs_needed, smallest_difference
from classicnets.studies.verdicts import verdict
from support.typed import present

T1, T2 = 12.706204736, 4.302652730  # 97.5 % quantiles of Student's t with 1 and 2 degrees of freedom, from tables
FIRST, SECOND = [0.80, 0.81, 0.79, 0.82, 0.80, 0.78], [0.82, 0.82, 0.80, 0.82, 0.83, 0.80]


def test_interval_by_hand() -> None:
    assert interval([0.0, 2.0]) == pytest.approx((1 - T1, 1 + T1))  # sd sqrt(2), standard error 1
    assert interval([1.0, 2.0, 3.0]) == pytest.approx((2 - T2 / math.sqrt(3), 2 + T2 / math.sqrt(3)))


def test_interval_needs_values_that_differ() -> None:
    assert interval([]) is None and interval([0.8]) is None and interval([0.8, 0.8, 0.8]) is None


def test_interval_covers_the_mean_in_95_percent_of_studies() -> None:
    studies = np.random.default_rng(0).normal(3.0, 2.0, (1000, 4))
    intervals = [present(interval(values)) for values in studies.tolist()]
    covered = sum(low <= 3.0 <= high for low, high in intervals)
    assert 930 <= covered <= 970  # 950, with a standard deviation of 7


def test_comparison_of_two_pairs_by_hand() -> None:
    result = compare([1.0, 2.0], [2.0, 5.0], ratio=False)  # differences 1 and 3: t = 2 with 1 degree of freedom
    assert (result.n, result.estimate) == (2, 2.0) and result.sd == pytest.approx(math.sqrt(2))
    assert result.t_interval == pytest.approx((2 - T1, 2 + T1))
    assert result.p == pytest.approx(1 - 2 / math.pi * math.atan(2.0))
    assert result.bootstrap_interval is None and result.conclusion(result.p) == "not shown"


def test_comparison_of_three_ratios_by_hand() -> None:
    result = compare([1.0, 1.0, 1.0], [2.0, 4.0, 8.0], ratio=True)  # logarithms: 1, 2, 3 times log 2
    t = 2 * math.sqrt(3)
    assert result.estimate == pytest.approx(4.0) and result.sd == pytest.approx(math.log(2))
    assert result.t_interval == pytest.approx((2 ** (2 - T2 / math.sqrt(3)), 2 ** (2 + T2 / math.sqrt(3))))
    assert result.p == pytest.approx(1 - t / math.sqrt(t**2 + 2))  # Student's t with 2 degrees of freedom
    assert result.smallest_shown == pytest.approx(math.exp(smallest_difference(math.log(2), 3)))


@pytest.mark.parametrize("ratio", [False, True])
def test_comparison_equals_scipys_paired_t_test(ratio: bool) -> None:
    result = compare(FIRST, SECOND, ratio=ratio)
    scale = np.log if ratio else np.asarray
    test = stats.ttest_rel(scale(SECOND), scale(FIRST))
    expected = [np.exp(x) if ratio else x for x in test.confidence_interval()]
    assert result.p == pytest.approx(test.pvalue) and result.t_interval == pytest.approx(tuple(expected))


@given(st.lists(st.tuples(*[st.floats(0.01, 1.0)] * 2), max_size=5), st.booleans())
def test_the_interval_leaves_out_no_difference_exactly_if_p_is_small(
    pairs: list[tuple[float, float]], ratio: bool
) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    result = compare(first, second, ratio=ratio)
    assert has_test(first, second, ratio=ratio) == (result.p is not None)
    if result.p is not None and abs(result.p - 0.05) > 1e-6:
        low, high = present(result.t_interval)
        assert (result.p < 0.05) == (not low <= result.neutral <= high)


def test_the_reverse_comparison_is_the_reverse() -> None:
    there, back = compare(FIRST, SECOND, ratio=True), compare(SECOND, FIRST, ratio=True)
    assert present(there.estimate) * present(back.estimate) == pytest.approx(1.0) and there.p == pytest.approx(back.p)
    assert there.smallest_shown == pytest.approx(back.smallest_shown)


def test_missing_values_leave_out_their_pairs() -> None:
    first = [0.5, None, *FIRST, math.nan, 0.3]
    second = [None, 0.5, *SECOND, 0.2, math.inf]
    for ratio in (False, True):
        assert compare(first, second, ratio=ratio) == compare(FIRST, SECOND, ratio=ratio)


def test_zero_has_no_ratio() -> None:
    assert compare([0.0, *FIRST], [1.0, *SECOND], ratio=True) == compare(FIRST, SECOND, ratio=True)
    assert compare([0.0, 1.0], [1.0, -1.0], ratio=True).conclusion(None) == "no pairs"
    assert compare([0.0, 1.0], [1.0, 1.0], ratio=False).n == 2


def test_no_pairs() -> None:
    result = compare([0.5, None], [None, 0.5], ratio=False)
    assert (result.n, result.estimate, result.p, result.conclusion(None)) == (0, None, None, "no pairs")


def test_one_pair_has_an_estimate_only() -> None:
    result = compare([2.0], [8.0], ratio=True)
    assert result.estimate == pytest.approx(4.0) and result.conclusion(None) == "not shown"
    assert (result.sd, result.t_interval, result.p, result.smallest_shown) == (None, None, None, None)


def test_ratios_that_vary_by_powers_of_ten_have_no_smallest_ratio() -> None:
    result = compare([1.0, 1.0], [1e-9, 1e12], ratio=True, comparisons=100)
    assert result.smallest_shown is None and result.conclusion(result.p) == "not shown"
    assert all(map(math.isfinite, present(result.t_interval)))
    text = verdict(("a", "b"), measure("seconds"), result)
    assert text == ("b against a: 31.62 times the training time (95 % interval 0.00 to 8.23e+134), n = 2: not shown")


@pytest.mark.parametrize("ratio", [False, True])
def test_equal_values_are_no_test(ratio: bool) -> None:
    result = compare(FIRST, FIRST, ratio=ratio)
    assert (result.estimate, result.sd, result.p, result.t_interval) == (float(ratio), 0.0, None, None)
    assert result.conclusion(None) == "equal" and compare([1], [1], ratio=ratio).conclusion(None) == "equal"


@pytest.mark.parametrize("count", [2, 3, 6, 10])
def test_equal_differences_show_nothing(count: int) -> None:
    """Rounding makes the differences 0.02 of these numbers unequal; a test would find p < 1e-12."""
    first = [0.1 * k for k in range(1, count + 1)]
    result = compare(first, [value + 0.02 for value in first], ratio=False)
    assert result.estimate == pytest.approx(0.02) and (result.sd, result.p, result.t_interval) == (0.0, None, None)
    assert result.conclusion(None) == "not shown" and result.smallest_shown is None
    assert compare(first, [1.5 * value for value in first], ratio=True).p is None


def test_bootstrap_needs_six_pairs_and_is_always_the_same() -> None:
    assert compare(FIRST[:5], SECOND[:5], ratio=False).bootstrap_interval is None
    low, high = present(compare(FIRST, SECOND, ratio=False).bootstrap_interval)
    assert 0.0 <= low < 0.09 / 6 < high <= 0.03
    assert compare(FIRST, SECOND, ratio=False).bootstrap_interval == (low, high)
    ratios = present(compare(FIRST, SECOND, ratio=True).bootstrap_interval)
    assert 1.0 <= ratios[0] < ratios[1] < 1.04


def test_bootstrap_of_many_pairs_nears_the_t_interval() -> None:
    values = np.random.default_rng(1).normal(0.1, 1.0, 200).tolist()
    result = compare([0.0] * 200, values, ratio=False)
    assert result.bootstrap_interval == pytest.approx(result.t_interval, abs=0.03)


def test_bootstrap_is_defined_where_bca_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap = stats.bootstrap

    def without_bca(*args: object, method: str, **options: object) -> object:
        result = bootstrap(*args, method=method, **options)
        if method == "BCa":
            result.confidence_interval = (math.nan, math.nan)
        return result

    monkeypatch.setattr(stats, "bootstrap", without_bca)
    low, high = present(compare(FIRST, SECOND, ratio=False).bootstrap_interval)
    assert 0.0 < low < 0.015 < high < 0.03


@pytest.mark.parametrize(("n", "comparisons"), [(2, 1), (5, 1), (5, 6), (20, 3)])
def test_the_smallest_difference_is_shown_in_80_percent_of_simulated_studies(n: int, comparisons: int) -> None:
    difference = smallest_difference(0.3, n, comparisons)
    studies = np.random.default_rng(2).normal(difference, 0.3, (20_000, n))
    shown = np.mean(stats.ttest_1samp(studies, 0.0, axis=1).pvalue < 0.05 / comparisons)
    assert shown == pytest.approx(0.8, abs=0.012)  # four standard deviations


@pytest.mark.parametrize("n", [2, 3, 5, 30, 1000])
def test_the_smallest_difference_grows_with_the_comparisons(n: int) -> None:
    smallest = [smallest_difference(1.0, n, comparisons) for comparisons in (1, 2, 10, 100, 1000)]
    assert smallest == sorted(smallest) and all(map(math.isfinite, smallest))
    assert smallest_difference(2.0, n) == pytest.approx(2 * smallest[0])


@pytest.mark.parametrize(("effect", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_pairs_needed_are_those_of_published_tables(effect: float, pairs: int) -> None:
    """G*Power: the paired t test, two-sided, level 0.05, power 0.8."""
    assert pairs_needed(effect, 1.0) == pairs_needed(-3 * effect, 3.0) == pairs


@pytest.mark.parametrize("effect", [0.0199, 0.0201, 0.1, 0.7, 3.0, 20.0, 1e4])
@pytest.mark.parametrize("comparisons", [1, 7])
def test_pairs_needed_is_the_inverse_of_the_smallest_difference(effect: float, comparisons: int) -> None:
    n = pairs_needed(effect, 1.0, comparisons)
    slack = 0 if effect > 0.02 else 1  # the approximation for small effects
    assert smallest_difference(1.0, n + slack, comparisons) <= effect
    assert n == 2 or smallest_difference(1.0, n - 1 - slack, comparisons) > effect


@pytest.mark.parametrize(("difference", "sd"), [(0.0, 1.0), (1e-9, 1.0), (0.1, 0.0), (math.nan, 1.0), (1e-300, 1e-5)])
def test_no_number_of_pairs_shows_nothing(difference: float, sd: float) -> None:
    with pytest.raises(ValueError, match="no number of pairs"):
        pairs_needed(difference, sd)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # the example in the literature
    assert holm([]) == [] and holm([None]) == [None] and holm([0.04]) == [0.04] and holm([0.8, 0.9]) == [1.0, 1.0]


def test_holm_leaves_out_what_was_not_tested() -> None:
    assert holm([0.02, None, 0.015, 0.9, None]) == [pytest.approx(0.045), None, pytest.approx(0.045), 0.9, None]


@given(st.lists(st.floats(0.0, 1.0), max_size=8))
def test_holm_rejects_what_its_steps_reject(ps: list[float]) -> None:
    """Step by step, as Holm (1979) has it: reject the smallest p below 0.05 / m, the next below 0.05 / (m - 1)..."""
    rejected = set()
    for step, position in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        if ps[position] * (len(ps) - step) >= 0.05:
            break
        rejected.add(position)
    assert {position for position, p in enumerate(holm(ps)) if present(p) < 0.05} == rejected


def test_a_missing_scipy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(MachineError) as caught:
        compare(FIRST, SECOND, ratio=False)
    assert caught.value.code == "CN403" and "pip install 'classicnets[study]'" in str(caught.value)
