"""The sentence that says how a comparison ended, one case of each kind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from classicnets.studies.measures import measure
from classicnets.studies.statistics import Comparison
from classicnets.studies.verdicts import verdict

ACCURACY, LOSS, DEAD = measure("test_accuracy"), measure("test_loss"), measure("dead_units")
EPOCHS, SECONDS = measure("epochs to train_accuracy 0.75"), measure("seconds")
SHOWN = Comparison(8, False, 0.0012, 0.001, (0.0004, 0.002), (0.0005, 0.0019), 0.01, 0.0011)
NOT_SHOWN = Comparison(8, False, 0.0012, 0.002, (-0.0005, 0.0029), (-0.0003, 0.0027), 0.14, 0.0021)
FASTER = Comparison(5, True, 0.16, 0.1, (0.14, 0.18), None, 1e-6, 1.13)
NOT_FASTER = replace(FASTER, estimate=0.9, t_interval=(0.75, 1.08), p=0.2, smallest_shown=1.25)
ARMS = ("average", "max")


def test_differences() -> None:
    assert verdict(ARMS, ACCURACY, SHOWN) == (
        "max against average: test accuracy +0.12 points, 95 % interval 0.04 to 0.20, n = 8: shown"
    )
    assert verdict(ARMS, ACCURACY, NOT_SHOWN) == (
        "max against average: test accuracy +0.12 points, 95 % interval -0.05 to 0.29, n = 8: not shown; differences"
        " from 0.21 points on would be shown in 80 % of such studies"
    )
    assert verdict(ARMS, DEAD, SHOWN).startswith("max against average: dead units +0.12 points, 95 %")
    assert verdict(
        ARMS, LOSS, replace(SHOWN, estimate=-0.0312, t_interval=(-0.05, -0.01), bootstrap_interval=None)
    ) == ("max against average: test loss -0.0312, 95 % interval -0.0500 to -0.0100, n = 8: shown")


def test_ratios() -> None:
    assert verdict(("tanh", "relu"), EPOCHS, FASTER) == (
        "relu against tanh: 0.16 times the epochs to train accuracy 0.75 (95 % interval 0.14 to 0.18), n = 5: shown"
    )
    assert verdict(("tanh", "relu"), SECONDS, NOT_FASTER) == (
        "relu against tanh: 0.90 times the training time (95 % interval 0.75 to 1.08), n = 5: not shown; ratios from"
        " 1.25 up, and from 0.80 down, would be shown in 80 % of such studies"
    )


def test_holms_correction() -> None:
    text = verdict(ARMS, ACCURACY, SHOWN, p_holm=0.06, comparisons=5)
    assert "n = 8: not shown after Holm's correction for 5 comparisons; differences from 0.11 points on" in text
    assert "Holm" not in verdict(ARMS, ACCURACY, SHOWN, p_holm=0.04, comparisons=5)
    assert "Holm" not in verdict(ARMS, ACCURACY, NOT_SHOWN, p_holm=0.7, comparisons=5)


@pytest.mark.parametrize(("claim", "place"), [(0.003, "lies below"), (0.0003, "lies above"), (0.001, "contains")])
def test_claims(claim: float, place: str) -> None:
    text = verdict(ARMS, ACCURACY, SHOWN, claim=claim, pairs_for_claim=12)
    assert text.endswith(
        f"; the interval {place} the +{100 * claim:.2f} points that the source reports, which 12 pairs would show in"
        " 80 % of such studies"
    )


def test_claims_without_an_interval_or_a_number_of_pairs() -> None:
    assert verdict(ARMS, ACCURACY, SHOWN, claim=0.0).endswith(
        "the interval lies above the +0.00 points that the source reports"
    )
    assert verdict(ARMS, SECONDS, FASTER, claim=1 / 6).endswith("contains the 0.17 that the source reports")
    assert verdict(ARMS, ACCURACY, Comparison(1, False, 0.02), claim=-0.012) == (
        "max against average: test accuracy +2.00 points, n = 1: not shown, a test needs more pairs; the source reports"
        " -1.20 points"
    )


def test_no_pairs() -> None:
    nothing = Comparison(0, True)
    assert verdict(ARMS, EPOCHS, nothing, values=(5, 0), runs=(5, 5), claim=0.2) == (
        "epochs to train accuracy 0.75: average reached it in 5 of 5 runs, max in 0 of 5: no pairs to compare"
    )
    assert verdict(ARMS, ACCURACY, replace(nothing, ratio=False), values=(1, 2), runs=(3, 3)) == (
        "test accuracy: average has a value in 1 of 3 runs, max in 2 of 3: no pairs to compare"
    )


def test_missing_pairs() -> None:
    assert verdict(ARMS, EPOCHS, FASTER, values=(8, 5), runs=(8, 8)).endswith(
        ": shown; average reached it in 8 of 8 runs, max in 5 of 8: the estimate is only of the pairs in which both did"
    )
    assert verdict(ARMS, ACCURACY, SHOWN, values=(9, 9), runs=(10, 10)).endswith(
        ": shown; average has a value in 9 of 10 runs, max in 9 of 10: the estimate is only of the pairs in which both"
        " have one"
    )


def test_equal_values_and_equal_differences() -> None:
    assert verdict(ARMS, ACCURACY, Comparison(3, False, 0.0, 0.0)) == (
        "max against average: test accuracy has the same value in all 3 pairs: not shown"
    )
    assert verdict(ARMS, ACCURACY, Comparison(3, False, -0.02, 0.0)) == (
        "max against average: test accuracy -2.00 points in each pair, n = 3: not shown, a test needs pairs that differ"
    )
    assert verdict(ARMS, SECONDS, Comparison(1, True, 1.0)).endswith(
        "training time has the same value in the only pair: not shown"
    )


def test_a_bootstrap_interval_that_disagrees() -> None:
    includes = verdict(ARMS, ACCURACY, replace(SHOWN, bootstrap_interval=(-0.0001, 0.0019)))
    assert includes.endswith(": shown; the bootstrap interval -0.01 to 0.19 disagrees, it contains 0")
    leaves_out = verdict(ARMS, SECONDS, replace(NOT_FASTER, bootstrap_interval=(0.8, 0.97)))
    assert leaves_out.endswith("; the bootstrap interval 0.80 to 0.97 disagrees, it does not contain 1")


def test_numbers_near_no_difference_have_more_decimals() -> None:
    """An interval that leaves out 0 is not printed as 0.00 to 0.29."""
    assert "0.003 to 0.290, n" in verdict(ARMS, ACCURACY, replace(SHOWN, t_interval=(0.00003, 0.0029)))
    assert "0.700 to 0.998)" in verdict(ARMS, SECONDS, replace(FASTER, t_interval=(0.7, 0.998)))
    assert "0.002 times" in verdict(ARMS, SECONDS, replace(FASTER, estimate=0.0016))
    assert "-0.00" not in verdict(ARMS, ACCURACY, replace(SHOWN, estimate=-1e-18))


def test_nothing_is_concluded_from_networks_that_guess() -> None:
    equal, both = Comparison(3, False, 0.0, 0.0), (True, True)
    text = verdict(ARMS, ACCURACY, equal, guessing=both)
    assert text.endswith(
        "; both are at the accuracy of guessing, so nothing was learned, and this says nothing about the question"
    )
    assert "no difference" not in text
    one = verdict(ARMS, LOSS, SHOWN, guessing=(False, True))
    assert one.endswith("; max is at the accuracy of guessing, so this says nothing about the question")
    assert "guessing" not in verdict(ARMS, SECONDS, FASTER, guessing=both)  # times can be compared all the same


def test_thresholds_that_are_reached_within_the_first_epoch_are_upper_limits() -> None:
    text = verdict(ARMS, EPOCHS, Comparison(2, True, 1.0, 0.0), values=(3, 2), runs=(3, 3), at_most=(3, 2))
    assert "has the same value in all 2 pairs: not shown; average reached it in 3 of 3 runs, max in 2 of 3" in text
    assert text.endswith(
        "; reached within the first epoch in 3 of 3 runs of average and 2 of 3 of max: these values are upper limits,"
        " and pairs of two of them cannot be told apart"
    )
    assert "first epoch" not in verdict(ARMS, EPOCHS, FASTER)


def test_numbers_that_are_not_possible_are_not_printed() -> None:
    wide = replace(NOT_SHOWN, t_interval=(-3.1, 3.2), bootstrap_interval=None, smallest_shown=5.9165)
    text = verdict(ARMS, ACCURACY, wide)
    assert "+0.12 points, the 95 % interval covers everything that is possible, n = 8: not shown" in text
    assert text.endswith("; no possible difference would be shown with so few pairs")
    assert "interval -100.00 to 20.00," in verdict(ARMS, ACCURACY, replace(wide, t_interval=(-1.2, 0.2)))
    assert "interval -1.2000 to 0.2000," in verdict(ARMS, LOSS, replace(wide, t_interval=(-1.2, 0.2)))
