"""Trains the runs of a study that have no result, and writes its result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from typing import Any, Protocol

from torch import nn

from classicnets.errors import ClassicnetsError
from classicnets.events import Event
from classicnets.files import remove_parts
from classicnets.models.modules import copy_module
from classicnets.runs import folder
from classicnets.runs.folder import RunFolder
from classicnets.runs.lock import FolderLock
from classicnets.spec import Output
from classicnets.studies import classic, processes
from classicnets.studies.classic import ClassicRun
from classicnets.studies.folder import Key, StudyFolder, StudyRun
from classicnets.studies.processes import RunEnd
from classicnets.studies.results import Report, finish, row

TrainRun = Callable[[RunFolder, nn.Module | None], Iterator[Event]]  # trains a run, with a module or as its folder says
Follow = Callable[[Mapping[Key, RunFolder], int, int, float], Generator[tuple[Key, Event | RunEnd], None, None]]


class StudyDisplay(Protocol):
    """A context manager that shows the events of several runs."""

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, key: Key, event: Event) -> None:
        """Show an event of a run."""

    def show_result(self, row: Mapping[str, Any]) -> None:
        """Show the metrics of a run that has ended, or its error."""


def train(
    study: StudyFolder,
    display: StudyDisplay,
    train_run: TrainRun,
    *reports: Report,
    follow: Follow = processes.follow,
    parallel_runs: int | None = None,
    save_seconds: float = Output().save_every,
) -> dict[str, Any]:
    """Train the runs without a result and return the statistics. At Ctrl-C, the active runs save and stop.

    Each run has its own process, except for modules that were passed in Python: their copies are trained in this
    process, one after the other. If a run fails, its row has an error, and the others continue.

    Args:
        study: The runs.
        display: Shows the events.
        train_run: Trains one run in this process.
        *reports: Called with the results before they are saved.
        follow: Trains runs in other processes, on this machine or on others.
        parallel_runs: Number of runs in parallel (default: as chosen at the start).
        save_seconds: Time between two checkpoints of a run.

    Raises:
        UsageError: CN211, another process trains them.
        MachineError: CN401, a file cannot be written; the runs are kept as far as they got.
    """
    lock = FolderLock(study.path)
    with folder.resumable(study.path, lambda: study.resume_command):
        lock.acquire()
        try:
            remove_parts(study.path)
            facts, missing, errors = study.read(), study.missing(), dict[Key, str]()
            if study.nets:
                events = _train_in_process(missing, study.nets, train_run)
            else:
                how = parallel_runs or facts["side_by_side"], facts["threads"], save_seconds
                events = _train_in_processes(missing, follow, *how)
            with closing(events), display:
                for key, event in events:
                    if isinstance(event, RunEnd):
                        errors[key] = event.error
                        display.show_result(row(key, missing[key], event.error))
                    else:
                        display.show(key, event)
            return finish(study, errors, *reports)
        finally:
            lock.release()


def _train_in_processes(
    runs: Mapping[Key, StudyRun], follow: Follow, *how: Any
) -> Generator[tuple[Key, Event | RunEnd], None, None]:
    """Fit classical methods in processes of this machine, and train networks as `follow` does."""
    methods = {key: run for key, run in runs.items() if isinstance(run, ClassicRun)}
    yield from processes.follow(methods, *how)
    yield from follow({key: run for key, run in runs.items() if isinstance(run, RunFolder)}, *how)


def _train_in_process(
    runs: Mapping[Key, StudyRun], nets: Mapping[str, nn.Module], train_run: TrainRun
) -> Generator[tuple[Key, Event | RunEnd], None, None]:
    """Train copies of the modules, or what the run folders build, one after the other."""
    for key, run in runs.items():
        try:
            if isinstance(run, ClassicRun):
                classic.fit(run, lambda _: None)
            else:
                for event in train_run(run, copy_module(nets[key[0]]) if key[0] in nets else None):
                    yield key, event
        except ClassicnetsError as error:
            yield key, RunEnd(str(error))
        else:
            yield key, RunEnd()
