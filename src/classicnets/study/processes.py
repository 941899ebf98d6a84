"""Trains runs in processes of their own, several in parallel, and yields their events."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import IO

from classicnets.events import Event, from_line
from classicnets.files import open_temporary_file
from classicnets.runs.folder import RunFolder
from classicnets.text import _


@dataclass(frozen=True)
class RunEnd:
    """A run has ended; `error` is empty if it has a result."""

    error: str = ""


def follow(
    runs: Mapping[int, RunFolder], parallel_runs: int, threads: int, save_seconds: float
) -> Generator[tuple[int, Event | RunEnd], None, None]:
    """Train runs and yield their events with their keys. If it is closed, the active runs save and stop.

    Args:
        runs: The run folders by key.
        parallel_runs: Number of processes at a time.
        threads: Number of CPU threads of each process.
        save_seconds: Time between two checkpoints.
    """
    pending, active = deque(runs.items()), dict[int, _Process]()
    lines: queue.SimpleQueue[tuple[int, str | None]] = queue.SimpleQueue()
    try:
        while pending or active:
            while pending and len(active) < parallel_runs:
                key, run = pending.popleft()
                active[key] = _Process(key, run, threads, save_seconds, lines)
            key, line = lines.get()
            if line is None:
                yield key, RunEnd(active.pop(key).error())
                continue
            event = _event(line)
            if event is not None:
                yield key, event
    finally:
        _stop(active)


@dataclass
class _Process:
    """A process of `classicnets train --resume RUN --jsonl`; puts its lines into a queue, and None after the last."""

    key: int
    run: RunFolder
    threads: int
    save_seconds: float
    lines: queue.SimpleQueue[tuple[int, str | None]]
    stderr: IO[bytes] = field(default_factory=open_temporary_file)

    def __post_init__(self) -> None:
        command = ["train", f"--resume={self.run.path}", "--jsonl", "--save-every", str(self.save_seconds)]
        command.append("--trust")  # this process has created or checked the run
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "classicnets", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
            encoding="utf-8",
            env={**os.environ, "OMP_NUM_THREADS": str(self.threads)},
            # Ctrl-C in the terminal must not reach it: it gets one from `_stop`, and a second one would prevent saving
            process_group=None if os.name == "nt" else 0,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        with self.process:
            assert self.process.stdout
            for line in self.process.stdout:
                self.lines.put((self.key, line))
        self.lines.put((self.key, None))

    def error(self) -> str:
        """Return the error message of the process, or its exit code and last line; "" if the run has a result."""
        with self.stderr:
            if self.process.returncode == 0 and "result" in self.run.read():
                return ""
            self.stderr.seek(0)
            output = self.stderr.read().decode(errors="replace").rstrip()
        start = output.rfind("error[")
        if start >= 0:
            return output[start:]
        last_line = (output.splitlines()[-1:] or [_("the process was killed")])[0]
        return _("exit code {code}: {line}", code=self.process.returncode, line=last_line)


def _event(line: str) -> Event | None:
    try:
        return from_line(line)
    except ValueError:  # the result, which is also in run.json
        return None


def _stop(active: Mapping[int, _Process]) -> None:
    """Interrupt all processes and wait until they have saved; a second Ctrl-C kills them."""
    try:
        for process in active.values():
            if os.name != "nt":  # on Windows, Ctrl-C reaches them directly
                process.process.send_signal(signal.SIGINT)
        for process in active.values():
            process.reader.join()
            process.stderr.close()
    except KeyboardInterrupt:
        for process in active.values():
            process.process.kill()
        raise
