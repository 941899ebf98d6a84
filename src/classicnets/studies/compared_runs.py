"""Compares finished runs: sides with the same settings, what differs between them, and what their results show.

A side has the runs that differ only in the seed, whether they are passed one by one or as the folder of `--seeds`.
The first side is the one that the others are compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from classicnets.errors import UsageError
from classicnets.recipes.resolve import SETTINGS
from classicnets.recipes.setting_values import typed
from classicnets.studies import run_settings
from classicnets.studies.finished_runs import COUNTS, ComparedRun, open_runs
from classicnets.studies.measures import Measure, measure
from classicnets.studies.statistics import statistics_of
from classicnets.studies.summary import guessing, summarize
from classicnets.text import _, clauses, join
from classicnets.values import Recipe

MEASURE = "test_accuracy"  # decides; the test split is evaluated once, at the end of a run
# What a table of results has of each side, by the names of `measures` or of the facts of a run.
RESULTS = ("test_accuracy", "test_loss", "train_accuracy", "seconds", "images_per_second")


@dataclass(frozen=True)
class Side:
    """Runs with the same settings and different seeds, in the order in which they were passed."""

    label: str
    runs: tuple[ComparedRun, ...]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the runs."""
        return [run.seed for run in self.runs]

    @property
    def first(self) -> ComparedRun:
        """The first run, whose settings are those of all."""
        return self.runs[0]


@dataclass(frozen=True)
class ComparedRuns:
    """The comparison of runs.

    Attributes:
        sides: the runs, grouped by their settings.
        differences: the settings that differ, each with its values by side.
        obstacles: why the results cannot be compared; empty if they can.
        rows: the results of each run, with "arm", the label of its side.
        statistics: for each side and each of `RESULTS`: mean, sd, min, max and n.
        guessing: the sides all of whose runs are at the accuracy of guessing, as `summary.guessing` finds them.
        comparisons: each side against the first, like those of a study; empty if there are `obstacles`.
    """

    sides: tuple[Side, ...]
    differences: dict[str, list[str]]
    obstacles: list[str]
    rows: list[dict[str, Any]]
    statistics: dict[str, dict[str, dict[str, Any]]]
    guessing: dict[str, float]
    comparisons: list[dict[str, Any]]

    @property
    def verdicts(self) -> list[str]:
        """What the comparisons show, in sentences."""
        if self.obstacles:
            return [_("no verdict, because the results cannot be compared: {why}", why=clauses(self.obstacles))]
        if len(self.sides) == 1:
            return [_("the runs differ only in the seed, so there is nothing to compare them with")]
        said = [comparison["verdict"] for comparison in self.comparisons]
        if all(len(side.runs) == 1 for side in self.sides):
            said.append(_("one run each says nothing about chance, because other seeds end with other accuracies"))
        return said

    @property
    def next_commands(self) -> list[str]:
        """What to run so that there is a statement about chance; empty if there is one, or cannot be one."""
        if self.obstacles or self.guessing or len(self.sides) == 1:
            return []
        few = [side for side in self.sides if len(side.runs) == 1]
        return list(
            dict.fromkeys(run_settings.train_command(side.first.facts, seeds=run_settings.SEEDS) for side in few)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        sides = [
            {
                "label": side.label,
                "runs": [str(run.folder.path) for run in side.runs],
                "seeds": side.seeds,
                "n": len(side.runs),
                **{key: side.first.facts[key] for key in COUNTS},
                "results": self.statistics[side.label],
            }
            for side in self.sides
        ]
        return {
            "sides": sides,
            "differences": self.differences,
            "comparable": not self.obstacles,
            "obstacles": self.obstacles,
            "guessing": self.guessing,
            "rows": self.rows,
            "comparisons": self.comparisons,
            "verdicts": self.verdicts,
            "next": self.next_commands,
        }


def compare(places: Sequence[Path]) -> ComparedRuns:
    """Compare the runs in these folders, which are run folders or folders of several seeds.

    Raises:
        UsageError: CN206 for fewer than two runs, a run that is passed twice, or what is not a run but a network or a
            study; CN207 for a run that is not finished, or a folder that is no run.
        MachineError: CN403 without SciPy, if there are several seeds.
    """
    runs = open_runs(places)
    sides = _sides(runs)
    obstacles = _obstacles(sides)
    rows = [run.row(side.label) for side in sides for run in side.runs]
    pairs = [
        {"arms": [sides[0].label, side.label], "paired": sorted(sides[0].seeds) == sorted(side.seeds)}
        for side in sides[1:]
    ]
    comparisons: list[dict[str, Any]] = []
    if not obstacles and pairs:
        comparisons = summarize(pairs, [measure(MEASURE)], rows)["comparisons"]
    statistics = {
        side.label: {name: _statistics(row.get(name) for row in rows if row["arm"] == side.label) for name in RESULTS}
        for side in sides
    }
    return ComparedRuns(sides, _differences(sides), obstacles, rows, statistics, guessing(rows), comparisons)


def measures() -> list[Measure]:
    """Return the measures of `RESULTS`. The accuracy on the training images is that of the last epoch, in training."""
    labels = {"train_accuracy": _("train accuracy, last epoch")}
    found = [measure(name) for name in RESULTS]
    return [replace(each, label=labels.get(each.name, each.label)) for each in found]


def _statistics(values: Any) -> dict[str, Any]:
    present = [value for value in values if value is not None]
    return {"n": len(present), **statistics_of(present)}


def _sides(runs: Sequence[ComparedRun]) -> tuple[Side, ...]:
    """Group the runs by their settings. Raises UsageError CN206 for two runs with the same settings and seed."""
    groups: list[tuple[Any, list[ComparedRun]]] = []
    for run in runs:
        key = run_settings.identity(run.facts, run.argument)
        group = next((group for other, group in groups if other == key), None)
        if group is None:
            groups.append((key, [run]))
            continue
        if same := next((other for other in group if other.seed == run.seed), None):
            raise UsageError(
                "CN206",
                _("two runs have the same settings and the same seed, {seed}", seed=run.seed),
                where=_("{first} and {second}", first=same.folder.path, second=run.folder.path),
                why=_("both are the same training, so their difference says nothing"),
                hint=_(
                    "{command}   # trains with other seeds",
                    command=run_settings.train_command(run.facts, seeds=run_settings.SEEDS),
                ),
            )
        group.append(run)
    labels = _labels([group[0] for _key, group in groups])
    return tuple(Side(label, tuple(group)) for label, (_key, group) in zip(labels, groups, strict=True))


def _labels(firsts: Sequence[ComparedRun]) -> list[str]:
    """Short and different names of the sides: the network, with the settings that tell it from others of its name."""
    labels = [run.net.display_name for run in firsts]
    recipes = [Recipe.from_dict(run.facts["recipe"]) for run in firsts]
    for key in ("source", *SETTINGS):
        texts = [each.source if key == "source" else f"{key}={typed(getattr(each, key))}" for each in recipes]
        labels = _with_texts(labels, texts)
    labels = _with_texts(labels, [run.folder.path.name for run in firsts])
    return _with_texts(labels, [str(run.folder.path) for run in firsts])


def _with_texts(labels: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Append the texts to equal labels, if that tells them apart."""
    of_label: dict[str, set[str]] = {}
    for label, text in zip(labels, texts, strict=True):
        of_label.setdefault(label, set()).add(text)
    return [
        f"{label}, {text}" if len(of_label[label]) > 1 else label for label, text in zip(labels, texts, strict=True)
    ]


def _obstacles(sides: Sequence[Side]) -> list[str]:
    """Why the accuracies of the sides cannot be compared."""
    runs = [run for side in sides for run in side.runs]
    first = runs[0].facts
    obstacles = []
    names = list(dict.fromkeys(run.facts["data_name"] for run in runs))
    if len(names) > 1:
        obstacles.append(_("they are tested on other data: {names}", names=join(names)))
    elif any(not run_settings.have_same_data(first, run.facts) for run in runs):
        obstacles.append(_("{name} had other images when some of them were trained", name=names[0]))
    elif len(counts := {run.facts["result"]["n"] for run in runs}) > 1:
        listed = join([f"{n:,}" for n in sorted(counts)])
        obstacles.append(_("they are tested on different numbers of images: {counts}", counts=listed))
    if not obstacles and any(run.facts["classes"] != first["classes"] for run in runs):
        obstacles.append(_("they have different classes"))
    return obstacles


def _differences(sides: Sequence[Side]) -> dict[str, list[str]]:
    """The settings that differ between sides, with the value of each side."""
    of_sides: list[Mapping[str, list[str]]] = [
        {
            key: list(dict.fromkeys(values[key] for values in tables))
            for key in dict.fromkeys(key for table in tables for key in table)
        }
        for tables in ([run_settings.shown(run.facts) for run in side.runs] for side in sides)
    ]
    keys = dict.fromkeys(key for values in of_sides for key in values)
    rows = {key: [", ".join(values.get(key, [])) for values in of_sides] for key in keys}
    seeds = [", ".join(map(str, side.seeds)) for side in sides]
    rows = {key: values for key, values in rows.items() if len({*values}) > 1}
    if len({*rows.get(_("network"), [])}) == len(sides):
        rows.pop(run_settings.code_label(), None)  # other names say it
    return {**rows, **({_("seeds"): seeds} if len({*seeds}) > 1 else {})}
