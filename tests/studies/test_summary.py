"""The statistics in study.json, from the rows of a study."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import pytest

from classicnets.errors import MachineError
from classicnets.studies.measures import measure
from classicnets.studies.statistics import compare, interval, pairs_needed
from classicnets.studies.summary import guessing, summarize
from support.typed import present

ACCURACY, SECONDS, EPOCHS = measure("test_accuracy"), measure("seconds"), measure("epochs to train_accuracy 0.75")
AVERAGE, MAX, MEDIAN = [0.80, 0.81, 0.79, 0.82, 0.80], [0.82, 0.83, 0.81, 0.83, 0.83], [0.79, 0.80, 0.80, 0.83, 0.78]
TWO: list[dict[str, Any]] = [{"arms": ["average", "max"], "claim": 1.2}, {"arms": ["average", "median"], "claim": None}]


def rows(reached: int = 5) -> list[dict[str, Any]]:
    """Five runs of each arm; in `reached` of those of "max", the train accuracy reaches 0.75."""
    arms = {"average": AVERAGE, "max": MAX, "median": MEDIAN}
    return [
        {
            "arm": arm,
            "seed": seed,
            "test_accuracy": value,
            "seconds": 2.0 + seed,
            EPOCHS.name: None if arm == "max" and seed >= reached else 4 + seed,
        }
        for arm, values in arms.items()
        for seed, value in enumerate(values)
    ]


def test_arms_and_comparisons() -> None:
    result = summarize(TWO, [ACCURACY], rows())
    assert list(result["arms"]) == ["average", "max", "median"]
    assert result["arms"]["max"]["test_accuracy"] == {
        "n": 5,
        "of": 5,
        "mean": pytest.approx(0.824),
        "sd": pytest.approx(math.sqrt(0.00032 / 4)),
        "min": 0.81,
        "max": 0.83,
        "interval": pytest.approx(list(present(interval(MAX)))),
    }
    first, second = result["comparisons"]
    expected = compare(AVERAGE, MAX, ratio=False, comparisons=2)
    assert first == {
        "arms": ["average", "max"],
        "measure": "test_accuracy",
        "n": 5,
        "first": AVERAGE,
        "second": MAX,
        "seeds": [0, 1, 2, 3, 4],
        "estimate": expected.estimate,
        "sd": expected.sd,
        "t_interval": [*present(expected.t_interval)],
        "bootstrap_interval": None,
        "p": expected.p,
        "p_holm": 2 * present(expected.p),
        "comparisons": 2,
        "smallest_shown": expected.smallest_shown,
        "claim": pytest.approx(0.012),
        "pairs_for_claim": pairs_needed(0.012, present(expected.sd), 2),
        "conclusion": "shown",
        "verdict": first["verdict"],
    }
    assert first["verdict"] == (
        "max against average: test accuracy +2.00 points, 95 % interval 1.12 to 2.88, n = 5: shown; the interval"
        " contains the +1.20 points that the source reports, which 7 pairs would show in 80 % of such studies"
    )
    assert (second["conclusion"], second["p_holm"], second["claim"]) == ("not shown", second["p"], None)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_holms_correction_covers_all_measures_that_have_a_test() -> None:
    """The training times are equal in all pairs, so that they have no test and do not count."""
    result = summarize(TWO, [ACCURACY, SECONDS, EPOCHS], rows(reached=3))
    comparisons = result["comparisons"]
    assert [(c["measure"], c["arms"][1]) for c in comparisons] == [
        (measured.name, arm) for measured in (ACCURACY, SECONDS, EPOCHS) for arm in ("max", "median")
    ]
    assert {c["comparisons"] for c in comparisons} == {2}
    assert [c["conclusion"] for c in comparisons] == ["shown", "not shown", *["equal"] * 4]
    assert [c["claim"] for c in comparisons] == [pytest.approx(0.012), *[None] * 5]


def test_missing_values_and_failed_runs() -> None:
    study = rows(reached=3)
    study[0] = {"arm": "average", "seed": 0, "error": "error[CN101]"}
    study[1]["test_accuracy"] = math.nan
    result = summarize(TWO[:1], [ACCURACY, EPOCHS], study)
    accuracy, epochs = result["comparisons"]
    assert accuracy["seeds"] == [2, 3, 4] and accuracy["first"] == AVERAGE[2:] and accuracy["second"] == MAX[2:]
    assert epochs["seeds"] == [1, 2] and (epochs["n"], len(epochs["first"])) == (2, 2)
    assert "average has a value in 3 of 5 runs, max in 5 of 5" in accuracy["verdict"]
    arms = result["arms"]
    assert (arms["average"]["test_accuracy"]["n"], arms["average"]["test_accuracy"]["of"]) == (3, 5)
    assert (arms["max"][EPOCHS.name]["n"], arms["max"][EPOCHS.name]["of"]) == (3, 5)
    nothing = summarize(TWO[:1], [EPOCHS], rows(reached=0))["comparisons"][0]
    assert (nothing["n"], nothing["estimate"], nothing["conclusion"]) == (0, None, "no pairs")
    assert "average reached it in 5 of 5 runs, max in 0 of 5: no pairs to compare" in nothing["verdict"]


def test_a_listed_pair_is_one_that_is_compared() -> None:
    """A time of 0 has no ratio, and NaN is no value."""
    study = rows()
    study[5]["seconds"], study[6]["seconds"], study[2]["seconds"] = 0.0, math.nan, 0.0
    times = summarize(TWO[:1], [SECONDS], study)["comparisons"][0]
    assert times["seeds"] == [3, 4] and times["n"] == len(times["first"]) == len(times["second"]) == 2
    assert "average has a value in 4 of 5 runs, max in 3 of 5" in times["verdict"]


def test_arms_are_paired_by_seed_in_any_order() -> None:
    assert summarize(TWO, [ACCURACY], rows()[::-1])["comparisons"][0]["p"] == pytest.approx(
        summarize(TWO, [ACCURACY], rows())["comparisons"][0]["p"]
    )


@pytest.mark.parametrize("claim", [0.0, -1.0, 1.0])
def test_a_claim_that_no_number_of_pairs_shows(claim: float) -> None:
    """A ratio of 1 is no difference; a ratio of 0 or less is none at all."""
    study = [{**row, "seconds": row["seconds"] * (1 + row["test_accuracy"])} for row in rows()]
    result = summarize([{"arms": ["average", "max"], "claim": claim}], [SECONDS], study)
    assert result["comparisons"][0]["p"] is not None and result["comparisons"][0]["pairs_for_claim"] is None
    assert result["comparisons"][0]["claim"] == claim


def test_an_arm_without_runs_has_no_pairs() -> None:
    assert summarize(TWO[:1], [ACCURACY], rows()[:5])["comparisons"][0]["conclusion"] == "no pairs"


def test_a_study_of_one_arm_needs_no_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("scipy", "scipy.stats"):
        monkeypatch.setitem(sys.modules, name, None)
    arm = summarize([], [ACCURACY], rows()[:5])["arms"]["average"]["test_accuracy"]
    assert (arm["mean"], arm["interval"]) == (pytest.approx(0.804), None)
    with pytest.raises(MachineError, match="CN403"):
        summarize(TWO, [ACCURACY], rows())


@pytest.mark.parametrize(
    ("accuracies", "n", "share", "learned"),
    [
        ([0.1, 0.1, 0.1], 1000, 0.1, False),
        ([0.1, 0.12, 0.128], 1000, 0.1, False),  # three standard errors of 1000 images are 2.8 points
        ([0.1, 0.1, 0.13], 1000, 0.1, True),
        ([0.5, 0.62], 10_000, 0.7, False),  # the most frequent class has 70 %
        ([0.5, 0.72], 10_000, 0.7, True),
        ([0.5, 0.5], 8, 0.5, True),  # too few images to tell
    ],
)
def test_arms_at_the_accuracy_of_guessing(accuracies: list[float], n: int, share: float, learned: bool) -> None:
    facts = [
        {"arm": "average", "seed": seed, "test_accuracy": accuracy, "n": n, "most_frequent": share}
        for seed, accuracy in enumerate(accuracies)
    ]
    failed = {"arm": "average", "seed": 9, "error": "stopped"}
    assert guessing([*facts, failed]) == ({} if learned else {"average": share})
    both = [*facts, *({**row, "arm": "max"} for row in facts)]
    (comparison,) = summarize([{"arms": ["average", "max"]}], [measure("test_accuracy")], both)["comparisons"]
    assert ("both are at the accuracy of guessing" in comparison["verdict"]) == (not learned)
    assert "no difference" not in comparison["verdict"]


def test_values_that_are_upper_limits_are_counted() -> None:
    name = "epochs to train_accuracy 0.75"
    rows = [{"arm": arm, "seed": 0, name: 1.0, "at_most": [name]} for arm in ("average", "max")]
    (comparison,) = summarize([{"arms": ["average", "max"]}], [measure(name)], rows)["comparisons"]
    assert "within the first epoch in 1 of 1 runs of average and 1 of 1 of max" in comparison["verdict"]
