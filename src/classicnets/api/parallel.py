"""Training of one run by several processes: how the command line launches them, and how each of them joins and ends."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from classicnets.parallel import launch as launching
from classicnets.parallel import world as worlds
from classicnets.parallel.launch import check_processes, launch
from classicnets.parallel.world import World
from classicnets.report import output

__all__ = ["World", "check_processes", "joined", "launch", "leave"]

_has_joined = False


@contextmanager
def joined(timeout: float) -> Iterator[World | None]:
    """Join the other processes that torchrun has started; yield None if this process was not started by torchrun.

    Only rank 0 prints. If the block fails, exactly one process lets the exception pass; the others end here.

    Args:
        timeout: seconds that an exchange waits for the others.
    """
    global _has_joined  # noqa: PLW0603 - a process joins once
    if launching.outcome():  # an error has ended the run, and this process was started only because of it
        worlds.end_now(1)
    world = worlds.join(timeout)
    if world is None:
        yield None
        return
    _has_joined = True
    if world.rank:
        output.mute()
    try:
        yield world
        world.close()
    except BaseException as error:
        settled = world.settle(error)
        if isinstance(settled, worlds.Quiet):
            _end(settled.exit_code)
        output.unmute()
        if isinstance(settled, worlds.Lost) and settled.restarts:
            worlds.say_restart(settled, world.place)
            _end(worlds.RESTART)
        if settled is error:
            raise
        raise settled from None


def _end(code: int) -> None:
    """End this process; if it was launched by `launch`, which would start it again, with 0 unless it is to."""
    if code != worlds.RESTART and launching.write_outcome(code) and _has_joined:
        code = 0
    worlds.end_now(code)


def leave(code: int) -> None:
    """End a process that has joined others, with an exit code; does nothing in a process that is alone.

    The destructors of torch may wait for each other, so it ends at once.
    """
    if error := sys.exception():
        traceback.print_exception(error)
    _end(code)
