"""Training: one run or several, started or resumed, with what shows and records them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from torch import nn

from classicnets import machine, report
from classicnets.api.models import Run, Seeds
from classicnets.coach import coach
from classicnets.events import Event
from classicnets.forecast.forecast import Forecast
from classicnets.forecast.forecast import forecast as forecast_plan
from classicnets.report.displays import Display
from classicnets.runs.folder import RunFolder
from classicnets.spec import Output, RunSpec, Study, documented, run_spec, split_options
from classicnets.study import seeds as study
from classicnets.study.seeds import SeedsFolder
from classicnets.training.begin import Say
from classicnets.training.plan import Plan, plan
from classicnets.training.session import Session

__all__ = ["Plan", "Run", "Seeds", "SeedsFolder", "Session", "attach_tensorboard", "follow", "follow_seeds", "forecast"]
__all__ += ["plan", "reopen_seeds", "resume", "resume_session", "start", "start_seeds", "train", "train_seeds"]


@documented(RunSpec, Output)
def train(net: str | nn.Module | RunSpec, /, **options: Any) -> Run:
    """Trains a network and returns its run.

    `net` is a name of the registry, "file.py:net", a RunSpec, or a module, which is trained in place (with the recipe
    "fast" unless another is given). All options that are not listed are settings of the recipe, as `--set` takes
    them: train("lenet_d2l", epochs=3). `variation` exchanges layers as `vary` does: {"activation": "relu"}. Progress
    is shown below the cell of a notebook, elsewhere on standard error, unless `quiet` is true.

    Raises UsageError, DataError, MachineError before training; CheckFailed CN101 if the loss is not finite.
    """
    (output,), rest = split_options(options, Output)
    spec, module = run_spec(net, **rest)
    return _train(lambda say: Session.start(plan(spec, module), say, output), output)


def resume(
    path: str | Path, /, *, net: nn.Module | None = None, loader_threads: int | None = None, **options: Any
) -> Run:
    """Resumes a run that was stopped, from its last save to its end, and returns it; it ends as if never stopped.

    `net` is needed where the network was a module that was passed in Python, and is trained in place. Options are those
    of `train` that say what is shown: quiet, tensorboard, save_every.
    Raises UsageError CN207 if it is no run, CN208 if it is complete, DataError CN305 or CN306 if it does not fit.
    """
    (output,), unknown = split_options(options, Output)
    if unknown:
        raise TypeError(f"resume() takes no {', '.join(unknown)}: a run goes on as it was begun")

    def resumed(say: Say) -> Session:
        return Session.resume(path, say, output, net=net, loader_threads=loader_threads)

    return _train(resumed, output)


@documented(RunSpec, Output, Study)
def train_seeds(net: str | nn.Module | RunSpec, /, seeds: int = 5, **options: Any) -> Seeds:
    """Trains as `train` does, `seeds` times, with `seed` and the seeds after it, and returns the runs together.

    Runs have processes of their own, `parallel_runs` of them in parallel. A module is trained in this process, one copy
    after the other: all begin with its weights as they are, unless the recipe initializes, and it stays as it is. A
    run that fails does not stop the others; see `Seeds.summary`.
    Raises UsageError, DataError, MachineError before training.
    """
    (output, asked), rest = split_options({**options, "seeds": seeds}, Output, Study)
    spec, module = run_spec(net, **rest)
    console = report.tables.console(stderr=True, quiet=output.quiet)
    with machine.restore_threads():
        planned = plan(spec, module)
        made = start_seeds(planned, asked, output, console.print)
        follow_seeds(made, report.terminal.SeedsTerminal(console, seeds), output)
    return Seeds(made.path, net=planned.net)


def _train(begin: Callable[[Say], Session], output: Output) -> Run:
    """The run of the session that `begin` makes, with the displays that `output` asks for."""
    if output.tensorboard:
        report.tensorboard.summary_writer()  # refused before anything is read if the package is missing
    console = report.tables.console(stderr=True, quiet=output.quiet)
    with machine.restore_threads():
        session = coached(begin(console.print))
        displays: list[Display] = []
        if not output.quiet:
            displays.append(_notebook(session) if report.notebook.in_notebook() else report.terminal.Terminal(console))
        if output.tensorboard:
            displays.append(attach_tensorboard(session))
        return follow(session, *displays)


def _notebook(session: Session) -> Display:
    return report.notebook.Notebook(session.plan.title, session.plan.expected)


def forecast(planned: Plan, output: Output) -> Forecast:
    """What a run would take: time, memory, disk; from a few measured steps. Writes nothing."""
    return forecast_plan(planned, Path(output.runs))


def start(planned: Plan, output: Output, say: Say) -> Session:
    """Starts a run with its coach. Raises DataError, MachineError."""
    return coached(Session.start(planned, say, output))


def coached(session: Session) -> Session:
    """The session, watched by the coach."""
    coach.watch(session)
    return session


def follow(session: Session, *displays: Display) -> Run:
    """Trains to the end, showing each event on every display, and returns the run with its results and reports."""
    with ExitStack() as open_displays:
        for display in displays:
            open_displays.enter_context(display)
        for event in session.events():
            for display in displays:
                display.show(event)
    session.finish(report.run.write)
    return Run(session.folder.path, net=session.net, device=str(session.device))


def resume_session(path: str | Path, output: Output, say: Say, *, loader_threads: int | None = None) -> Session:
    """The run in a folder, with its coach, where it was stopped. Raises what `resume` does."""
    return coached(Session.resume(path, say, output, loader_threads=loader_threads))


def reopen_seeds(path: str | Path) -> SeedsFolder:
    """Several runs whose missing ones are to be trained. Raises UsageError CN207, CN208."""
    return study.reopen(path)


def start_seeds(planned: Plan, asked: Study, output: Output, say: Say) -> SeedsFolder:
    """Makes the folders of several runs. Raises UsageError CN204, DataError, MachineError."""
    first = planned.spec.seed
    seeds = range(first, first + (asked.seeds or 0))
    return study.start(planned, seeds, output, say, side_by_side=asked.parallel_runs)


def follow_seeds(
    made: SeedsFolder, display: study.SeedsDisplay, output: Output, *, at_once: int | None = None
) -> dict[str, Any]:
    """Trains what is missing of several runs and returns their statistics."""

    def train_one(run: RunFolder, net: nn.Module) -> Iterator[Event]:
        session = coached(Session.resume(run.path, lambda _: None, output, net=net))
        yield from session.events()
        session.finish(report.run.write)

    return study.train(made, display, train_one, report.seeds.write, at_once=at_once, save_seconds=output.save_every)


def attach_tensorboard(session: Session) -> Display:
    """A display that writes scalars into the run's folder, from where the run is.

    Raises MachineError CN403 without the package tensorboard.
    """
    state = session.state
    steps = session.batches.steps(state.epoch + 1)
    where = session.folder.path / "tensorboard"
    return report.tensorboard.TensorBoard(where, steps, done=state.epoch * steps + state.step)
