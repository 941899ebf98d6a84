"""Training of one run by several processes: how the command line launches them, and how each of them joins and ends."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NoReturn

import torch

from classicnets import __version__
from classicnets.api import training
from classicnets.errors import MachineError
from classicnets.parallel import launch as launching
from classicnets.parallel import meeting
from classicnets.parallel.elastic import Job
from classicnets.parallel.failure import Lost, Quiet, end_now, say_restart
from classicnets.parallel.group import Group
from classicnets.parallel.launch import launch
from classicnets.parallel.place import read_place
from classicnets.parallel.pulse import RESTART
from classicnets.parallel.share import shared_folder
from classicnets.parallel.world import World
from classicnets.report import output as streams
from classicnets.runs.folder import RunFolder
from classicnets.spec import Output
from classicnets.text import _
from classicnets.training.begin import Say
from classicnets.training.session import Session

__all__ = ["World", "joined", "launch", "leave", "session", "take_part"]

_has_joined = False


@contextmanager
def joined(timeout: float) -> Iterator[World]:
    """Join the other processes that torchrun has started.

    Only rank 0 prints. If the block fails, exactly one process raises an error; the others end here.

    Args:
        timeout: seconds that an exchange waits for the others.

    Raises:
        UsageError: CN213, the environment is not complete.
        MachineError: CN405, a process is gone; CN406, the others cannot be reached.
    """
    global _has_joined  # noqa: PLW0603 - a process joins once
    if launching.outcome():  # an error has ended the run, and this process was started only because of it
        end_now(1)
    try:
        world = meeting.join(timeout)
    except (Quiet, MachineError) as error:
        _end_after(error)
    _has_joined = True
    if world.rank:
        streams.mute()
    failed = None
    try:
        yield world
        world.close()
    except BaseException as error:
        _ignore_signals()
        failed = world.failures.settle(error)
    if failed is not None:
        _end_after(failed)


@contextmanager
def session(
    world: World,
    path: Path | None,
    start: Callable[[], Session],
    words: Sequence[str],
    output: Output,
    say: Say,
    *,
    data: str | None = None,
    loader_threads: int | None = None,
) -> Iterator[Session | None]:
    """Start or resume the run that all processes of `world` share; yield None if it is complete after a restart.

    Args:
        world: the processes.
        path: the run folder, if one is resumed.
        start: starts a new run, in the first process.
        words: the command line, which must be the same in all processes.
        output: where and how often the run is saved.
        say: receives progress messages.
        data: where the data of the run lies now, if it has moved.
        loader_threads: number of threads that load batches in advance; None is that of the run.

    Raises:
        UsageError: CN214, the processes were started with other options or versions.
    """
    versions = {"classicnets": __version__, "torch": torch.__version__}
    world.check_equal(_("their options or versions"), {"command": [*words], **versions})
    job = None
    with world.alone_first():
        if world.rank == 0 and path is None and not world.has_finished:
            world.phase(_("reading images"))
            job = Job(world.place, Path(output.runs), words)
            path = job.run()
            if path is None:
                started = start()
                path = started.folder.path
                started.lock.release()
                del started
                job.start(path)
    world.failures.folder = world.broadcast(str(path))
    restarted = world.place.restart_count > 0
    is_first = world.rank == 0  # the others may be on machines without the folder
    if world.broadcast(is_first and restarted and (world.has_finished or (path is not None and _is_complete(path)))):
        yield None
    else:
        with shared_folder(world, path) as own:
            world.phase(_("reading images"))
            resumed = Session.resume(
                own,
                say,
                output,
                data=data,
                loader_threads=loader_threads,
                trust=output.trust or world.rank > 0,
                group=Group(world),
            )
            yield training.coached(resumed) if world.rank == 0 else resumed
    if is_first and path is not None and _is_complete(path):
        streams.flush()
        world.finish()
        if job is not None:
            job.finish()


def _is_complete(path: Path) -> bool:
    return "result" in RunFolder(path).read()


def take_part(session: Session) -> None:
    """Train to the end in a process that is not the first: nothing is shown and written.

    Raises:
        KeyboardInterrupt: when all processes stop.
    """
    with closing(session.events()) as events:
        for _event in events:
            pass
    session.finish()


def _end_after(failure: BaseException) -> NoReturn:
    """End this process after a failure: quietly, to be started again, or with an error, which is raised."""
    if isinstance(failure, Quiet):
        _end(failure.exit_code)
    streams.unmute()
    if isinstance(failure, Lost) and failure.restarts:
        say_restart(failure, read_place())
        _end(RESTART)
    raise failure


def _ignore_signals() -> None:
    """Let no signal interrupt the end of this process; the launcher sends one when another process has failed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)


def _end(code: int) -> NoReturn:
    """End this process; if it was launched by `launch`, which would start it again, with 0 unless it is to.

    A signal that comes before it has joined the others may mean that one of them has died.
    """
    is_final = code != RESTART and (_has_joined or code not in launching.STOPPED)
    if is_final and launching.write_outcome(code) and _has_joined:
        code = 0
    end_now(code)


def leave(code: int) -> None:
    """End a process that was started by torchrun, with an exit code.

    The destructors of torch may wait for each other, so it ends at once.
    """
    if error := sys.exception():
        traceback.print_exception(error)
    _end(code)
