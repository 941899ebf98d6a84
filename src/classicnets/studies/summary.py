"""The statistics of a study, from the measures of its runs: the arms, and their comparisons."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from classicnets.studies import statistics, verdicts
from classicnets.studies.measures import Measure
from classicnets.studies.statistics import Comparison


def summarize(
    compared: Sequence[Mapping[str, Any]], measures: Sequence[Measure], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the statistics of a study: the entries "guessing", "arms" and "comparisons" of the result in study.json.

    Holm's correction covers all comparisons of all measures that have a test. A comparison lists only the values and
    seeds of its pairs; an arm has the numbers of runs with a value (`n`) and of all runs (`of`). A study that compares
    nothing works without SciPy; its arms then have no intervals.

    Args:
        compared: The pairs of arms, {"arms": [first, second], "claim": None}. With "paired": False, their runs have
            other seeds and are no pairs; only differences can then be compared, no ratios. A claim belongs to the first
            measure and is given in its unit: 1.2 points become 0.012, like all fractions.
        measures: What is compared.
        rows: The runs: "arm", "seed", and values by the names of measures; None or missing where a run has none.
            Also what `guessing` needs, and "at_most", the names of measures whose values are upper limits.

    Raises:
        MachineError: CN403, SciPy is not installed.
    """
    values: dict[str, dict[str, dict[int, float | None]]] = {}  # by arm, measure and seed
    for row in rows:
        of_arm = values.setdefault(row["arm"], {measure.name: {} for measure in measures})
        for measure in measures:
            of_arm[measure.name][row["seed"]] = row.get(measure.name)
    shares = guessing(rows)
    intervals = bool(compared) or importlib.util.find_spec("scipy") is not None
    pairings = []
    for measure in measures:
        for pair in compared:
            first, second = pair["arms"]
            claim = pair.get("claim") if measure is measures[0] else None
            if claim is not None:
                claim = claim / measure.scale
            of_arms = values.get(first, {}).get(measure.name, {}), values.get(second, {}).get(measure.name, {})
            early = sum(measure.name in row.get("at_most", ()) for row in rows if row["arm"] == first)
            second_early = sum(measure.name in row.get("at_most", ()) for row in rows if row["arm"] == second)
            at_guess = first in shares, second in shares
            paired = pair.get("paired", True)
            pairings.append(_Pairing((first, second), measure, claim, of_arms, (early, second_early), at_guess, paired))
    count = max(1, sum(pairing.has_test() for pairing in pairings))
    comparisons = [pairing.compare(count) for pairing in pairings]
    adjusted = statistics.holm([comparison.p for comparison in comparisons])
    return {
        "guessing": shares,
        "arms": {
            arm: {name: _of_arm(by_seed.values(), intervals=intervals) for name, by_seed in of_arm.items()}
            for arm, of_arm in values.items()
        },
        "comparisons": [
            pairing.facts(comparison, p_holm, count)
            for pairing, comparison, p_holm in zip(pairings, comparisons, adjusted, strict=True)
        ],
    }


def guessing(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the arms all of whose runs are at the accuracy of guessing, with the share of the most frequent class.

    A run is if its test accuracy is not above that share by more than three standard errors, so that one of a thousand
    networks that guess is taken for one that has learned. Where even a perfect accuracy would not be, there are too
    few test images to tell.

    Args:
        rows: The runs: "arm", "test_accuracy", "most_frequent" (the share) and "n" (test images).
    """
    shares: dict[str, float] = {}
    learned = set[str]()
    for row in rows:
        share = row.get("most_frequent")
        if share is None:
            continue
        limit = share + 3 * math.sqrt(share * (1 - share) / row["n"])
        if limit >= 1 or row["test_accuracy"] > limit:
            learned.add(row["arm"])
        shares[row["arm"]] = share
    return {arm: share for arm, share in shares.items() if arm not in learned}


@dataclass(frozen=True)
class _Pairing:
    """Two arms and a measure, with the values of their runs by seed; `claim` is a fraction, not points.

    `at_most` and `guessing` are those of `verdicts.verdict`. If they are not `paired`, their seeds do not matter.
    """

    arms: tuple[str, str]
    measure: Measure
    claim: float | None
    values: tuple[dict[int, float | None], dict[int, float | None]]
    at_most: tuple[int, int]
    guessing: tuple[bool, bool]
    paired: bool = True

    @property
    def seeds(self) -> list[int]:
        """The seeds with a value that can be compared, in both arms."""
        if not self.paired:
            return []
        first, second = self.values
        usable = [seed for seed in first if statistics.usable(first[seed], ratio=self.measure.ratio)]
        return [seed for seed in usable if statistics.usable(second.get(seed), ratio=self.measure.ratio)]

    def pairs(self) -> tuple[list[float | None], list[float | None]]:
        """Return the values of the seeds; all values, if they are no pairs."""
        first, second = self.values
        if not self.paired:
            return [*first.values()], [*second.values()]
        return [first[seed] for seed in self.seeds], [second[seed] for seed in self.seeds]

    def has_test(self) -> bool:
        """Return whether the comparison has a p value."""
        if not self.paired:
            return statistics.has_unpaired_test(*self.pairs())
        return statistics.has_test(*self.pairs(), ratio=self.measure.ratio)

    def compare(self, comparisons: int) -> Comparison:
        """Return the comparison of the values; `comparisons` is the number of all that have a test."""
        if not self.paired:
            return statistics.compare_unpaired(*self.pairs())
        return statistics.compare(*self.pairs(), ratio=self.measure.ratio, comparisons=comparisons)

    def facts(self, comparison: Comparison, p_holm: float | None, comparisons: int) -> dict[str, Any]:
        """Return the entry in study.json."""
        first, second = self.pairs()
        pairs_for_claim = self.pairs_for_claim(comparison, comparisons)
        return {
            "arms": [*self.arms],
            "measure": self.measure.name,
            "n": comparison.n,
            "first": first,
            "second": second,
            "seeds": self.seeds,
            "estimate": comparison.estimate,
            "sd": comparison.sd,
            "t_interval": comparison.t_interval and [*comparison.t_interval],
            "bootstrap_interval": comparison.bootstrap_interval and [*comparison.bootstrap_interval],
            "p": comparison.p,
            "p_holm": p_holm,
            "comparisons": comparisons,
            "smallest_shown": comparison.smallest_shown,
            "claim": self.claim,
            "pairs_for_claim": pairs_for_claim,
            "conclusion": comparison.conclusion(p_holm),
            "verdict": verdicts.verdict(
                self.arms,
                self.measure,
                comparison,
                p_holm=p_holm,
                comparisons=comparisons,
                values=(self._count(0), self._count(1)),
                runs=(len(self.values[0]), len(self.values[1])),
                claim=self.claim,
                pairs_for_claim=pairs_for_claim,
                at_most=self.at_most,
                guessing=self.guessing,
            ),
        }

    def pairs_for_claim(self, comparison: Comparison, comparisons: int) -> int | None:
        """Return how many pairs would show the claim; None if there is none, or no spread to compute it from."""
        if self.claim is None or comparison.p is None or (comparison.ratio and self.claim <= 0):
            return None
        try:
            claim = math.log(self.claim) if comparison.ratio else self.claim
            return statistics.pairs_needed(claim, comparison.sd or 0.0, comparisons)
        except ValueError:  # a claim of no difference
            return None

    def _count(self, arm: int) -> int:
        return sum(statistics.usable(value, ratio=self.measure.ratio) for value in self.values[arm].values())


def _of_arm(values: Iterable[float | None], *, intervals: bool) -> dict[str, Any]:
    """Return the statistics of the runs of an arm, with the interval of their mean if `intervals` are wanted."""
    all_values = [*values]
    present = [value for value in all_values if value is not None and math.isfinite(value)]
    t_interval = statistics.interval(present) if intervals else None
    return {
        "n": len(present),
        "of": len(all_values),
        **statistics.statistics_of(present),
        "interval": t_interval and [*t_interval],
    }
