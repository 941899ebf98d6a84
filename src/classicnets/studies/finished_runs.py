"""Opens the finished runs that are to be compared, and refuses what cannot be: networks, studies, unfinished runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classicnets.errors import UsageError
from classicnets.events import Epoch
from classicnets.runs import history, net_spec
from classicnets.runs.folder import RunFolder, open_run
from classicnets.runs.net_spec import NetSpec
from classicnets.studies import results
from classicnets.studies.folder import ONLY_ARM, StudyFolder, is_study
from classicnets.text import _, command

COUNTS = ("parameters", "macs")  # facts of run.json that are shown with the results


@dataclass(frozen=True)
class ComparedRun:
    """A finished run: its folder, the facts of run.json, and where it was passed (as an argument, from 0)."""

    folder: RunFolder
    facts: dict[str, Any]
    argument: int

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.facts["seed"])

    @property
    def net(self) -> NetSpec:
        """How the network is built."""
        return NetSpec(**self.facts["net"])

    def epochs(self) -> list[Epoch]:
        """Return the epochs in the history of the run."""
        return [event for event in history.read(self.folder.history) if isinstance(event, Epoch)]

    def row(self, side: str) -> dict[str, Any]:
        """Return what is compared, by name, with the side as its arm."""
        speeds = [epoch.images_per_second for epoch in self.epochs()]
        values = results.row((side, self.seed), self.folder)
        counts = {key: self.facts[key] for key in COUNTS}
        return {
            **values,
            "folder": str(self.folder.path),
            "images_per_second": float(np.median(speeds)) if speeds else None,
            **counts,
        }


def open_runs(places: Sequence[Path]) -> list[ComparedRun]:
    """Return the finished runs in these folders, at least two and all different.

    Args:
        places: run folders, and folders of several seeds.

    Raises:
        UsageError: CN206 for fewer than two runs, a run that is passed twice, or what is not a run but a network or a
            study; CN207 for a run that is not finished, or a folder that is no run.
    """
    runs = [run for i, place in enumerate(places) for run in _open(place, i, places)]
    _check_different(runs)
    return runs


def _open(place: Path, argument: int, places: Sequence[Path]) -> list[ComparedRun]:
    """The finished runs in a folder."""
    if is_study(place):
        return _open_seeds(StudyFolder(place), argument)
    if not place.is_dir():
        _refuse_networks(place, places)
    run = open_run(place)
    facts = run.read()
    if "result" not in facts or not run.path.is_dir():
        converted = "converted" in facts
        raise UsageError(
            "CN207",
            _("{path} was converted and has no results of a training", path=place)
            if converted
            else _("the run {path} is not finished, so it has no results to compare", path=place),
            where=str(run.file),
            hint=command("classicnets", "evaluate", place)
            if converted
            else command("classicnets", "train", "--resume", place),
        )
    return [ComparedRun(run, facts, argument)]


def _open_seeds(study: StudyFolder, argument: int) -> list[ComparedRun]:
    """The finished runs of several seeds."""
    if not study.is_of_one_arm:
        raise UsageError(
            "CN206",
            _("{path} is a study, which has compared its arms itself", path=study.path),
            where=str(study.file),
            why=_("compare takes run folders, and folders of several seeds"),
            hint=(
                command("classicnets", "study", "show", study.path),
                _(
                    "{command}   # compares runs of it",
                    command=command("classicnets", "compare", *[run.path for run in study.runs().values()][:2]),
                ),
            ),
        )
    if "result" not in study.read():
        raise UsageError(
            "CN207",
            _("the runs in {path} are not finished, so they have no results to compare", path=study.path),
            where=str(study.file),
            hint=command(*study.resume_command),
        )
    facts = [
        (run, run.read()) for (arm, _seed), run in study.networks().items() if arm == ONLY_ARM and run.path.is_dir()
    ]
    finished = [ComparedRun(run, values, argument) for run, values in facts if "result" in values]
    if not finished:
        raise UsageError(
            "CN207",
            _("no run in {path} has a result", path=study.path),
            where=str(study.file),
            hint=command(*study.resume_command),
        )
    return finished


def _refuse_networks(place: Path, places: Sequence[Path]) -> None:
    """Raise UsageError CN206 if the argument is the name of a network."""
    try:
        net_spec.find(str(place))
    except UsageError:
        return
    raise UsageError(
        "CN206",
        _("{name} is a network, and compare takes finished runs", name=place),
        where=command("classicnets", "compare", *places),
        why=_("networks are compared layer by layer by show; runs are folders that train creates"),
        hint=(
            command("classicnets", "show", *([*places[:2]] if len(places) > 1 else [place])),
            _("{command}   # creates a run", command=command("classicnets", "train", str(place))),
        ),
    )


def _check_different(runs: Sequence[ComparedRun]) -> None:
    """Refuse a single run, and a run that is passed twice."""
    paths: dict[Path, ComparedRun] = {}
    for run in runs:
        if (path := run.folder.path.resolve()) in paths:
            raise UsageError(
                "CN206",
                _("the run {path} is given twice", path=run.folder.path),
                where=command("classicnets", "compare", paths[path].folder.path, run.folder.path),
                why=_("a run that counts twice would look like two seeds that agree"),
                hint=command("classicnets", "compare", run.folder.path, "RUN"),
            )
        paths[path] = run
    if len(runs) == 1:
        raise UsageError(
            "CN206",
            _("there is only one run, and nothing to compare it with"),
            where=str(runs[0].folder.path),
            hint=(
                command("classicnets", "compare", runs[0].folder.path, "RUN"),
                _(
                    "{command}   # shows the metrics of one run",
                    command=command("classicnets", "evaluate", runs[0].folder.path),
                ),
            ),
        )
