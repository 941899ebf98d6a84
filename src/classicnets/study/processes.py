"""Runs that are begun, each to its end in a process of its own, so many at once; their events as they come."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import IO

from classicnets.events import Event, from_line
from classicnets.runs.folder import RunFolder

_KILLED = "the process was ended from outside"


@dataclass(frozen=True)
class Ended:
    """A run is at its end; `error` is empty if it has its results."""

    error: str = ""


def follow(
    runs: Mapping[int, RunFolder], at_once: int, threads: int, save_seconds: float
) -> Generator[tuple[int, Event | Ended], None, None]:
    """Every run's events under its key, `at_once` runs at a time; close it, and those under way save and stop."""
    waiting, active = deque(runs.items()), dict[int, _Process]()
    came: queue.SimpleQueue[tuple[int, str | None]] = queue.SimpleQueue()
    try:
        while waiting or active:
            while waiting and len(active) < at_once:
                key, run = waiting.popleft()
                active[key] = _Process(key, run, threads, save_seconds, came)
            key, line = came.get()
            if line is None:
                yield key, Ended(active.pop(key).error())
                continue
            event = _event(line)
            if event is not None:
                yield key, event
    finally:
        _stop(active)


@dataclass
class _Process:
    """`classicnets train --resume RUN --jsonl`, whose lines come into a queue, a None after the last."""

    key: int
    run: RunFolder
    threads: int
    save_seconds: float
    came: queue.SimpleQueue[tuple[int, str | None]]
    talk: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def __post_init__(self) -> None:
        command = ["train", "--resume", str(self.run.path), "--jsonl", "--save-every", str(self.save_seconds)]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "classicnets", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.talk,
            text=True,
            encoding="utf-8",
            env={**os.environ, "OMP_NUM_THREADS": str(self.threads)},
            # out of the terminal's reach, so that Ctrl-C comes once, from `_stop`; a second one would not let it save
            process_group=None if os.name == "nt" else 0,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        with self.process:
            assert self.process.stdout
            for line in self.process.stdout:
                self.came.put((self.key, line))
        self.came.put((self.key, None))

    def error(self) -> str:
        """Why it ended without results, as it said itself where it could; empty if it has them."""
        with self.talk:
            if self.process.returncode == 0 and "result" in self.run.read():
                return ""
            self.talk.seek(0)
            said = self.talk.read().decode(errors="replace").rstrip()
        start = said.rfind("error[")
        if start >= 0:
            return said[start:]
        last = said.splitlines()[-1:] or [_KILLED]
        return f"exit code {self.process.returncode}: {last[0]}"


def _event(line: str) -> Event | None:
    try:
        return from_line(line)
    except ValueError:  # its result, which is in run.json, or a print of the user's
        return None


def _stop(active: Mapping[int, _Process]) -> None:
    """Asks all to save and stop, and waits; an impatient second Ctrl-C ends them where they are."""
    try:
        for one in active.values():
            if os.name != "nt":  # where Ctrl-C has reached them already
                one.process.send_signal(signal.SIGINT)
        for one in active.values():
            one.reader.join()
            one.talk.close()
    except KeyboardInterrupt:
        for one in active.values():
            one.process.kill()
        raise
