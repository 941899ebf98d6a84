"""How the processes that share a run end when one of them fails.

One of them may fail while the others wait for it. Then exactly one of them reports the error, and all of them end with
its exit code: the first one that claims the error in the store publishes and reports it, the others end quietly.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from torch import distributed
from torch._C._distributed_c10d import Store

from classicnets.errors import ClassicnetsError, MachineError
from classicnets.parallel.place import Place
from classicnets.parallel.pulse import ENDED, ERROR, FAILED, INTERVAL, RESTART, SILENCE, WORKING, Beat, Pulse
from classicnets.strict_json import dump, parse
from classicnets.text import _, command, note

ENDED_BY = "ended by"  # key of the exit code of an error that ends all attempts
_POLL_SECONDS = 0.05
_FIRST_SECONDS = 0.5  # that rank 0 has to report an error that all raise
# of an error of torch.distributed that has no type of its own
_EXCHANGE_WORDS = ("/gloo/", "[gloo]", "processgroup", "nccl error", "ncclremoteerror", "ncclsystemerror", "by peer [")


class Quiet(BaseException):
    """Another process reports the error; this one ends without a word.

    Args:
        exit_code: with which it ends.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Lost(MachineError):
    """Another process is gone or hangs; with `restarts`, the processes start again."""

    restarts = False


class Failures:
    """What this process does when it, or another one, fails.

    Args:
        place: the place of this process.
        store: of this attempt.
        pulse: of this process, which sees those of the others.
        timeout: seconds that an exchange waits for the others.
        job_store: of all attempts.

    Attributes:
        folder: the run folder, once it is known; errors name it.
        stop_requested: whether this process has been told to stop.
    """

    def __init__(self, place: Place, store: Store, pulse: Pulse, timeout: float, job_store: Store) -> None:
        self._place, self._store, self._pulse, self._timeout = place, store, pulse, timeout
        self._job_store = job_store
        self.folder: str | Path = "RUN"
        self.stop_requested = False

    def wait_for(self, keys: list[str]) -> None:
        """Wait until keys are in the store, as long as all processes live.

        Raises:
            Quiet: another process has failed.
            Lost: CN405, a process is gone.
        """
        while not self._store.check(keys):
            if self._pulse.error():
                raise Quiet(self._published_exit_code())
            for rank, beat in self._pulse.others.items():
                silent = self._pulse.silence(rank) > max(self._timeout, SILENCE)
                if rank != self._place.rank and beat.state != ENDED and (beat.is_dead() or silent):
                    raise self._lost(rank, beat)
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """While open, Ctrl-C and SIGTERM stop the run only if all processes live.

        The launcher ends the processes that remain in the same way when another one has died.

        Raises:
            KeyboardInterrupt: the run is stopped.
            Lost: CN405, a process is gone.
            Quiet: another process reports an error.
        """
        try:
            yield
        except KeyboardInterrupt as error:
            try:
                if not self.stop_requested and self._anyone_dead():
                    raise self._cause(error) from error
            except RuntimeError as unreachable:
                raise self._without_store(unreachable) from error
            raise

    def settle(self, error: BaseException) -> BaseException:
        """Return the exception with which this process ends after `error`: what it has to report, or `Quiet`.

        An error of the exchange is the consequence of what another process does: its error is waited for, or the
        process is named that is gone or hangs.
        """
        if isinstance(error, Quiet):
            return error
        try:
            self._pulse.set(state=FAILED)
            if isinstance(error, KeyboardInterrupt) and not self._anyone_dead():
                return self._claim(error)
            if isinstance(error, Lost | KeyboardInterrupt) or is_exchange(error):
                error = self._cause(error)
            return self._claim(error)
        except RuntimeError as unreachable:  # the store is gone, and the process that served it
            return self._without_store(unreachable)

    def settle_joining(self, error: BaseException, no_connection: MachineError) -> BaseException:
        """As `settle`, if the processes could not be connected; `no_connection` says so if all of them live."""
        try:
            dead = self._anyone_dead()
        except RuntimeError:
            dead = True
        return self.settle(Lost("CN405", first_line(error)) if dead else no_connection)

    def _claim(self, error: BaseException) -> BaseException:
        """`error` if this process is the first to report one, after publishing it; else Quiet.

        If all raise it, such as for a loss that is not finite, rank 0 reports it, because it has the run folder.
        """
        ends_at = time.monotonic() + (_FIRST_SECONDS if self._place.rank else 0)
        while time.monotonic() < ends_at and not self._pulse.error():
            time.sleep(_POLL_SECONDS)
        if self._store.add("claim", 1) > 1:
            return Quiet(self._published_exit_code())
        if self._place.rank and isinstance(error, ClassicnetsError) and not isinstance(error, Lost):
            here = _("rank {rank} on {host}", rank=self._place.rank, host=self._pulse.beat.host)
            error.where = _("{where} ({rank})", where=error.where, rank=here) if error.where else here
        code = exit_code(error)
        restarts = isinstance(error, Lost) and self._place.restarts_left > 0
        self._store.set(ERROR, dump({"exit_code": code, "restarts": restarts}))
        if not isinstance(error, Lost):
            self._job_store.set(ENDED_BY, str(code))
        if isinstance(error, Lost) and restarts:
            error.restarts = True
        return error

    def _published_exit_code(self) -> int:
        """The exit code of the error of the process that has claimed it; it publishes it at once."""
        for _attempt in range(100):
            if content := self._pulse.error():
                break
            time.sleep(_POLL_SECONDS)
        else:
            return 4
        published = parse(content)
        return RESTART if published["restarts"] else int(published["exit_code"])

    def _anyone_dead(self) -> bool:
        """Whether another process has failed, or died without a word."""
        for _attempt in range(4):
            self._pulse.look()
            if self._pulse.error() or self._pulse.dead():
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _cause(self, error: BaseException) -> BaseException:
        """What made the exchange fail: Quiet, or Lost for the process that is gone or hangs."""
        started = time.monotonic()
        while True:
            if self._pulse.error():
                return Quiet(self._published_exit_code())
            self._pulse.look()
            suspects = {r: b for r, b in self._pulse.others.items() if b.state == WORKING and r != self._place.rank}
            for rank, beat in suspects.items():
                if beat.is_dead():
                    return self._lost(rank, beat)
            if not suspects or time.monotonic() - started > SILENCE:
                break
            time.sleep(_POLL_SECONDS)
        if isinstance(error, Lost):
            return error
        if not suspects:
            return self._disconnected(error)
        silent = {rank: beat for rank, beat in suspects.items() if self._pulse.silence(rank) > SILENCE - INTERVAL}
        rank, beat = min((silent or suspects).items(), key=lambda item: (item[1].step, item[0]))
        lost = self._lost(rank, beat, hangs="timed out" in str(error).lower() or rank not in silent)
        beat.kill()
        return lost

    def _lost(self, rank: int, beat: Beat, *, hangs: bool = False) -> Lost:
        fields = {"rank": rank, "size": self._place.size, "host": beat.host, "pid": beat.pid, "doing": beat.doing()}
        what = _("process {rank} of {size} is gone", **fields)
        why = _("it ended without an error, as a process that is killed; the system kills one if memory runs out")
        if hangs:
            what = _("process {rank} of {size} does not respond", **fields)
            why = _("the others have waited for it for {seconds:g} s (--process-timeout)", seconds=self._timeout)
        where = _("rank {rank} on {host}, process {pid}; last seen: {doing}", **fields)
        return Lost("CN405", what, where=where, why=why, hint=self._resume_hint())

    def _disconnected(self, error: BaseException) -> Lost:
        return Lost(
            "CN405",
            _("the processes have lost their connection"),
            where=_("rank {rank} on {host}", rank=self._place.rank, host=self._pulse.beat.host),
            why=first_line(error),
            hint=self._resume_hint(),
        )

    def _without_store(self, error: BaseException) -> BaseException:
        """The end of a process that cannot reach the store, whose process is gone. One of those that remain reports it.

        Without the store, they cannot agree who that is: it is rank 1, or the first process of the second host.
        """
        place = self._place
        if place.launcher_has_store and place.local_size < place.size:
            if not (place.host_index == 1 and place.local_rank == 0):
                return Quiet(4)
            return Lost(
                "CN405",
                _("the first machine of the run is lost"),
                where=_("{host}, port {port}", host=place.master[0], port=place.master[1]),
                why=_("its store does not answer: {why}", why=first_line(error)),
                hint=(
                    _("wait: torchrun starts again, unless that machine is the one of its --rdzv-endpoint"),
                    self._resume_hint(),
                ),
            )
        restarts = place.restarts_left > 0
        if self._place.rank != 1:
            return Quiet(RESTART if restarts else 4)
        lost = self._disconnected(error)
        if beat := self._pulse.others.get(0):
            lost = self._lost(0, beat)
        lost.restarts = restarts
        return lost

    def _resume_hint(self) -> str:
        return _(
            "{command}   # goes on from the last checkpoint",
            command=command("classicnets", "train", "--resume", self.folder),
        )


def exit_code(error: BaseException) -> int:
    """Return the exit code of the command for an exception."""
    if isinstance(error, Quiet | ClassicnetsError):
        return error.exit_code
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def end_now(code: int) -> NoReturn:
    """End this process without the destructors of torch, which may wait for each other."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)


def is_exchange(error: BaseException) -> bool:
    """Return whether an exception says that an exchange with the other processes failed."""
    if isinstance(error, distributed.DistError):
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in message for word in _EXCHANGE_WORDS)


def first_line(error: BaseException) -> str:
    """Return the first line of the message of an exception."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def say_restart(error: Lost, place: Place) -> None:
    """Print a note that the processes start again."""
    note(
        _(
            "{what} ({where}); the run goes on from its last checkpoint, restart {n} of {most}",
            what=error.what,
            where=error.where,
            n=place.restart_count + 1,
            most=place.max_restarts,
        )
    )
