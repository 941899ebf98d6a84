"""Training: starts or resumes one run or several, with progress reporting and reports."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from torch import nn

from classicnets import machine, report
from classicnets.api.models import Run, Seeds
from classicnets.coach import coach
from classicnets.errors import UsageError
from classicnets.events import Event
from classicnets.forecast.forecast import Forecast
from classicnets.forecast.forecast import forecast as forecast_plan
from classicnets.options import documented, split_options
from classicnets.report.displays import Display
from classicnets.runs.folder import RunFolder
from classicnets.spec import Output, RunSpec, StudyOptions, run_spec
from classicnets.studies import cluster, processes
from classicnets.studies.folder import Key, StudyFolder, is_study
from classicnets.studies.processes import RunEnd
from classicnets.studies.resume import reopen
from classicnets.studies.start import start_seeds as start_seeds_of_plan
from classicnets.studies.train import StudyDisplay
from classicnets.studies.train import train as train_study
from classicnets.text import _
from classicnets.training.begin import Say
from classicnets.training.plan import Plan, plan
from classicnets.training.session import Session

__all__ = [
    "Plan",
    "Run",
    "RunFolder",
    "Seeds",
    "Session",
    "StudyFolder",
    "attach_tensorboard",
    "follow",
    "follow_study",
    "forecast",
    "is_study",
]
__all__ += ["plan", "reopen_study", "resume", "resume_session", "start", "start_seeds", "train", "train_seeds"]


@documented(RunSpec, Output)
def train(net: str | nn.Module | RunSpec, /, **options: Any) -> Run:
    """Train a network and return its run.

    Progress is shown below the cell in a notebook, otherwise on standard error, unless `quiet` is true. Options that
    are not listed below are settings of the recipe, as in `--set`: train("lenet_d2l", epochs=3).

    Args:
        net: A name from `classicnets list`, "file.py:net", a graph file, a RunSpec, or a module. A module is trained in
            place, with the recipe "fast" by default.
        **options: See below; `variation` replaces layers as `vary` does: {"activation": "relu"}.

    Raises:
        UsageError, DataError, MachineError: Before training.
        CheckFailed: CN101, the loss is not finite.
    """
    with report.notebook.python_hints():
        (output,), run_options = split_options(options, Output)
        spec, module = run_spec(net, **run_options)
        return _train(lambda say: Session.start(plan(spec, module, trust=output.trust), say, output), output)


def resume(
    path: str | Path,
    /,
    *,
    net: nn.Module | None = None,
    data: str | Path | None = None,
    loader_threads: int | None = None,
    **options: Any,
) -> Run:
    """Resume a stopped run from its last checkpoint, train it to its end and return it.

    The result is the same as that of an uninterrupted run.

    Args:
        path: The run folder.
        net: Needed only if the network is a module that was passed in Python; it is trained in place.
        data: Where the data of the run lies now, if it has moved; it must be the same.
        loader_threads: Number of threads that load batches in advance (default: that of the run).
        **options: The options of `train` that do not affect results: quiet, tensorboard, save_every, trust.

    Raises:
        UsageError: CN207, the folder is not a run; CN208, the run is complete; CN212, its code is not trusted.
        DataError: CN302, the data is not there; CN305, the checkpoint is damaged; CN306, data or network have changed.
    """
    (output,), remaining = split_options(options, Output)
    if unknown := [*remaining, *({"runs"} & options.keys())]:
        raise TypeError(_("resume() takes no {names}: a resumed run keeps its settings", names=", ".join(unknown)))

    return _train(
        lambda say: Session.resume(
            path, say, output, net=net, data=data, loader_threads=loader_threads, trust=output.trust
        ),
        output,
    )


@documented(RunSpec, Output, StudyOptions)
def train_seeds(net: str | nn.Module | RunSpec, /, seeds: int = 5, **options: Any) -> Seeds:
    """Train a network with several seeds, from `seed` on, and return the runs with their statistics.

    Each run has its own process; `parallel_runs` of them run in parallel. Copies of a module are trained in this
    process, one after the other: each starts with the current weights of the module, unless the recipe initializes
    them, and the module itself does not change. If a run fails, the others continue; see `Seeds.summary`.

    Args:
        net: As in `train`.
        seeds: Number of runs.
        **options: As in `train`.

    Raises:
        UsageError, DataError, MachineError: Before training.
    """
    (output, study_options), run_options = split_options({**options, "seeds": seeds}, Output, StudyOptions)
    spec, module = run_spec(net, **run_options)
    if output.tensorboard:
        raise UsageError(
            "CN206",
            _("--tensorboard shows one run only; each of several runs has a history.jsonl"),
            hint="cn.train_seeds(..., tensorboard=False)",
        )
    console = report.tables.console(stderr=True, quiet=output.quiet)
    with machine.restore_threads():
        resolved = plan(spec, module, trust=output.trust)
        folder = start_seeds(resolved, study_options, output, console.print)
        follow_study(folder, report.terminal.StudyTerminal(console, seeds), output, ray=study_options.ray)
    return Seeds(folder.path, net=resolved.net)


def _train(open_session: Callable[[Say], Session], output: Output) -> Run:
    """Train the session that `open_session` returns, with the displays that `output` selects."""
    if output.tensorboard:
        report.tensorboard.summary_writer()  # if the package is missing, this fails before any data is read
    console = report.tables.console(stderr=True, quiet=output.quiet)
    with machine.restore_threads():
        session = coached(open_session(console.print))
        displays: list[Display] = []
        if not output.quiet:
            displays.append(_notebook(session) if report.notebook.in_notebook() else report.terminal.Terminal(console))
        if output.tensorboard:
            displays.append(attach_tensorboard(session))
        return follow(session, *displays)


def _notebook(session: Session) -> Display:
    return report.notebook.Notebook(session.plan.title, session.plan.expected)


def forecast(resolved: Plan, output: Output) -> Forecast:
    """Estimate time, memory and disk use of a run from a few measured steps. Writes nothing."""
    return forecast_plan(resolved, Path(output.runs))


def start(resolved: Plan, output: Output, say: Say) -> Session:
    """Start a run with the coach. Raises DataError, MachineError."""
    return coached(Session.start(resolved, say, output))


def coached(session: Session) -> Session:
    """Subscribe the coach to a session and return the session."""
    coach.watch(session, known_topics=[remark.topic for remark in session.plan.check.remarks])
    return session


def follow(session: Session, *displays: Display) -> Run:
    """Train to the end, pass each event to the displays, write results and reports, and return the run."""
    with ExitStack() as open_displays:
        for display in displays:
            open_displays.enter_context(display)
        events = open_displays.enter_context(closing(session.events()))
        for event in events:
            for display in displays:
                display.show(event)
    session.finish(report.run.write)
    return Run(session.folder.path, net=session.net, device=str(session.device))


def resume_session(
    path: str | Path, output: Output, say: Say, *, data: str | None = None, loader_threads: int | None = None
) -> Session:
    """Open a stopped run with the coach, at its last checkpoint. Raises what `resume` raises."""
    return coached(Session.resume(path, say, output, data=data, loader_threads=loader_threads, trust=output.trust))


def reopen_study(
    path: str | Path,
    data: str | None = None,
    *,
    nets: Mapping[str, nn.Module] | None = None,
    trust: bool = False,
) -> StudyFolder:
    """Open the folder of a study or of several seeds, whose data may lie at `data` now, to train the unfinished runs.

    `nets` has the modules by arm, if networks were passed in Python.

    Raises:
        UsageError: CN207, CN208, CN212, CN218.
        DataError: CN302, CN306.
    """
    return reopen(path, nets, data, trust=trust)


def start_seeds(resolved: Plan, options: StudyOptions, output: Output, say: Say) -> StudyFolder:
    """Create the folders of several runs. Raises UsageError CN204, DataError, MachineError."""
    first = resolved.spec.seed
    seeds = range(first, first + (options.seeds or 0))
    return start_seeds_of_plan(resolved, seeds, output, say, parallel_runs=options.parallel_runs)


def follow_study(
    folder: StudyFolder,
    display: StudyDisplay,
    output: Output,
    *,
    parallel_runs: int | None = None,
    ray: str | None = None,
) -> dict[str, Any]:
    """Train the unfinished runs of a study or of several seeds, write the reports, and return the statistics.

    Args:
        folder: The folder.
        display: Shows the events of all runs.
        output: How runs are saved.
        parallel_runs: Number of runs in parallel (default: as chosen at the start).
        ray: Address of the Ray cluster that trains the runs, or "auto"; None: this machine.

    Raises:
        UsageError: CN204, `ray` for modules that were passed in Python; CN211, another process trains the runs.
        MachineError: CN401, CN403, CN408.
    """
    if ray is not None and folder.nets:
        raise UsageError(
            "CN204",
            _("a module that is passed in Python is trained in this process, not on a cluster"),
            where=f"ray={ray!r}",
            hint=_('"FILE.py:NET" instead of the module can be trained on a cluster'),
        )
    console = report.tables.console(stderr=True, quiet=output.quiet)

    def follow(
        runs: Mapping[Key, RunFolder], parallel_runs: int, threads: int, save_seconds: float
    ) -> Generator[tuple[Key, Event | RunEnd], None, None]:
        if ray is None:
            yield from processes.follow(runs, parallel_runs, threads, save_seconds)
        elif runs:
            yield from cluster.follow(runs, ray, threads, save_seconds, console.print)

    def train_run(run: RunFolder, net: nn.Module | None) -> Iterator[Event]:
        session = coached(Session.resume(run.path, lambda _: None, output, net=net))
        yield from session.events()
        session.finish(report.run.write)

    return train_study(
        folder,
        display,
        train_run,
        report.seeds.write if folder.is_of_one_arm else report.study.write,
        follow=follow,
        parallel_runs=parallel_runs,
        save_seconds=output.save_every,
    )


def attach_tensorboard(session: Session) -> Display:
    """Return a display that writes TensorBoard scalars into the run folder, from the current step of the session on.

    Raises:
        MachineError: CN403, the package tensorboard is not installed.
    """
    state = session.state
    steps = session.batches.steps(state.epoch + 1)
    folder = session.folder.path / "tensorboard"
    return report.tensorboard.TensorBoard(folder, steps, done=state.epoch * steps + state.step)
