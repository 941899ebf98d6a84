"""The pulse of each process: what it is doing, written twice a second, and how the others notice that it is gone."""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from torch._C._distributed_c10d import Store

from classicnets.strict_json import dump, parse
from classicnets.text import _

INTERVAL = 0.5  # seconds between two beats
SILENCE = 4.0  # seconds without a beat after which a process counts as gone, once something has failed
RESTART = 75  # exit code of a process that is to be started again
ERROR = "error"  # key of the error that ends all processes
_LAST_WORDS = 15.0  # seconds that a process has to end after the error of another one

WORKING, FAILED, ENDED = "working", "failed", "ended"


@dataclass
class Beat:
    """What a process is doing.

    Attributes:
        state: working, failed (it has noticed that the exchange with the others failed) or ended.
        phase: what it does, such as "computing" or "reading images".
        step: the step that it computes.
        host: name of its host.
        pid: its process.
        parent: the process of its launcher.
        count: number of the beat.
    """

    state: str
    phase: str
    step: int
    host: str
    pid: int
    parent: int
    count: int = 0

    def doing(self) -> str:
        """Return what it does, for a message."""
        return _("{phase}, step {step}", phase=self.phase, step=self.step) if self.step else self.phase

    def is_dead(self) -> bool:
        """Return whether it is a process of this host that does not exist any more."""
        if self.host != platform.node():
            return False
        with suppress(OSError, IndexError):  # Linux: a process that has ended may still wait for its launcher
            if Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False

    def kill(self) -> None:
        """Kill it if it is a process of the same launcher on this host, so that it can be started again."""
        if self.host == platform.node() and self.parent == os.getppid() and self.pid != os.getpid():
            with suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)


class Pulse:
    """Writes what this process does, and reads what the others do, in a thread of its own.

    It also ends this process if its launcher has gone, or if another process has failed and this one does not notice:
    that may be while it is joining, when it waits for the others in a call that nothing interrupts.

    Attributes:
        beat: what this process does.
        others: what the others do, by rank, as far as it is known.
        is_joining: whether this process is still connecting with the others.

    Args:
        store: a connection of its own.
        rank: of this process.
        size: number of processes.
        end: ends this process with an exit code, at once.
    """

    def __init__(self, store: Store, rank: int, size: int, end: Callable[[int], None]) -> None:
        self.beat = Beat(WORKING, _("starting"), 0, platform.node(), os.getpid(), os.getppid())
        self.others: dict[int, Beat] = {}
        self.is_joining = True
        self._store, self._rank, self._size, self._end = store, rank, size, end
        self._changed_at = dict.fromkeys(range(size), time.monotonic())
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._write()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def set(self, phase: str | None = None, step: int | None = None, state: str | None = None) -> None:
        """Change what this process does; a new state is written at once, the rest with the next beat."""
        if phase is not None:
            self.beat.phase = phase
        if step is not None:
            self.beat.step = step
        if state is not None:
            self.beat.state = state
            with suppress(RuntimeError):
                self._write()

    def dead(self) -> list[int]:
        """Return the ranks of other processes that have died without a word, as far as this host can see."""
        others = {rank: beat for rank, beat in self.others.items() if rank != self._rank}
        return [rank for rank, beat in others.items() if beat.state == WORKING and beat.is_dead()]

    def silence(self, rank: int) -> float:
        """Return for how many seconds no beat of a process has been seen."""
        return time.monotonic() - self._changed_at[rank]

    def look(self) -> None:
        """Read the beats of the others. Raises RuntimeError if the store cannot be reached."""
        keys = [f"beat/{rank}" for rank in range(self._size)]
        with self._lock:
            if not self._store.check(keys):  # one has not joined yet
                keys = [key for key in keys if self._store.check([key])]
            texts = self._store.multi_get(keys)
        for key, text in zip(keys, texts, strict=True):
            rank, beat = int(key.removeprefix("beat/")), Beat(**parse(bytes(text)))
            if rank not in self.others or beat.count != self.others[rank].count:
                self._changed_at[rank] = time.monotonic()
            self.others[rank] = beat

    def error(self) -> str:
        """Return the published error, "" if there is none. Raises RuntimeError if the store cannot be reached."""
        with self._lock:
            return bytes(self._store.get(ERROR)).decode() if self._store.check([ERROR]) else ""

    def stop(self) -> None:
        """Write no more beats."""
        self._stop.set()

    def _write(self) -> None:
        self.beat.count += 1
        with self._lock:
            self._store.set(f"beat/{self._rank}", dump(asdict(self.beat)))

    def _run(self) -> None:
        ends_at = lost_at = 0.0
        while not self._stop.wait(INTERVAL):
            if os.getppid() != self.beat.parent:  # nobody is left who would stop this process
                self._end(1)
            try:
                self._write()
                self.look()
                error = self.error()
                lost_at = 0.0
                if self.is_joining and self.dead():
                    self._end(RESTART)
            except RuntimeError:  # with the store, its process has gone; the next exchange fails
                error, lost_at = "", lost_at or time.monotonic()
            if error and not ends_at:
                ends_at = time.monotonic() + _LAST_WORDS
            if ends_at and time.monotonic() > ends_at:
                self._end(int(parse(error.encode())["exit_code"]) if error else 1)
            if lost_at and time.monotonic() - lost_at > 4 * _LAST_WORDS:
                self._end(4)
