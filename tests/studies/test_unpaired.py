"""The comparison of runs with other seeds: Welch's test, and the sentences about it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy import stats

from classicnets.studies import statistics
from classicnets.studies.measures import measure
from classicnets.studies.summary import summarize
from classicnets.studies.verdicts import verdict

FIRST, SECOND = (0.70, 0.72, 0.71, 0.69), (0.75, 0.78, 0.74)


def test_equals_scipys_test_and_interval() -> None:
    reference = stats.ttest_ind(SECOND, FIRST, equal_var=False)
    comparison = statistics.compare_unpaired(FIRST, SECOND)
    assert comparison.p == pytest.approx(reference.pvalue)
    assert comparison.t_interval == pytest.approx(tuple(reference.confidence_interval(0.95)))
    assert comparison.estimate == pytest.approx(0.7566666667 - 0.705)
    assert (comparison.n, comparison.second_n, comparison.smallest_shown) == (4, 3, None)
    assert comparison.conclusion(comparison.p) == "shown" and statistics.has_unpaired_test(FIRST, SECOND)


def test_values_that_are_missing_are_left_out() -> None:
    with_gaps = statistics.compare_unpaired((*FIRST, None, math.nan), (None, *SECOND))
    assert with_gaps == statistics.compare_unpaired(FIRST, SECOND)
    assert statistics.compare_unpaired((None,), SECOND).conclusion(None) == "no pairs"


@pytest.mark.parametrize(
    ("first", "second"), [((0.7,), (0.8,)), ((0.7,), SECOND), (FIRST, (0.8,)), ((0.7, 0.7), (0.8, 0.8))]
)
def test_there_is_no_test_without_a_spread(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    comparison = statistics.compare_unpaired(first, second)
    assert comparison.p is None and comparison.t_interval is None
    assert comparison.conclusion(None) == "not shown"
    assert not statistics.has_unpaired_test(first, second)


def test_one_arm_without_spread_is_enough_for_a_test() -> None:
    comparison = statistics.compare_unpaired((0.7, 0.7, 0.7), SECOND)
    reference = stats.ttest_1samp(SECOND, 0.7)  # what Welch's test is then
    assert comparison.p == pytest.approx(reference.pvalue)


@pytest.mark.parametrize(
    ("first", "second", "end"),
    [
        (FIRST, SECOND, "n = 3 and 4, other seeds: shown"),
        (FIRST, (0.70, 0.73), "n = 2 and 4, other seeds: not shown"),
        (FIRST, (0.75,), "n = 1 and 4: not shown, a test needs at least two runs of each"),
        ((0.7, 0.7), (0.8, 0.8), "n = 2 and 2: not shown, a test needs runs that differ"),
    ],
)
def test_verdicts(first: tuple[float, ...], second: tuple[float, ...], end: str) -> None:
    accuracy = measure("test_accuracy")
    text = verdict(("a", "b"), accuracy, statistics.compare_unpaired(first, second))
    assert text.startswith("b against a: test accuracy +") and text.endswith(end)
    with_interval = statistics.compare_unpaired(first, second).p is not None
    assert ("95 % interval" in text) == with_interval


def test_holms_correction_covers_paired_and_unpaired_comparisons() -> None:
    values = {"a": FIRST, "b": (0.80, 0.81, 0.80, 0.77), "c": (0.73, 0.75)}
    rows = [
        {"arm": arm, "seed": seed + (10 if arm == "c" else 0), "test_accuracy": value, "n": 1000}
        for arm, of_arm in values.items()
        for seed, value in enumerate(of_arm)
    ]
    pairs: list[dict[str, Any]] = [{"arms": ["a", "b"]}, {"arms": ["a", "c"], "paired": False}]
    paired, unpaired = summarize(pairs, [measure("test_accuracy")], rows)["comparisons"]
    assert paired["seeds"] == [0, 1, 2, 3] and unpaired["seeds"] == []
    assert unpaired["first"] == [*FIRST] and unpaired["second"] == [0.73, 0.75]
    smaller, larger = sorted([paired["p"], unpaired["p"]])
    assert sorted([paired["p_holm"], unpaired["p_holm"]]) == pytest.approx([2 * smaller, larger])
    assert paired["comparisons"] == unpaired["comparisons"] == 2
