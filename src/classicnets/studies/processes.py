"""Trains runs in processes of their own, several in parallel, and yields their events."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import IO, Generic, TypeVar

from classicnets.events import Event, from_line
from classicnets.files import open_temporary_file
from classicnets.studies.classic import ClassicRun
from classicnets.studies.folder import StudyRun
from classicnets.text import _

K = TypeVar("K")  # what identifies a run


@dataclass(frozen=True)
class RunEnd:
    """A run has ended; `error` is empty if it has a result."""

    error: str = ""


def follow(
    runs: Mapping[K, StudyRun], parallel_runs: int, threads: int, save_seconds: float
) -> Generator[tuple[K, Event | RunEnd], None, None]:
    """Train runs and yield their events with their keys. If it is closed, the active runs save and stop.

    Args:
        runs: The run folders by key.
        parallel_runs: Number of processes at a time.
        threads: Number of CPU threads of each process.
        save_seconds: Time between two checkpoints.
    """
    pending, active = deque(runs.items()), dict[K, Process[K]]()
    lines: queue.SimpleQueue[tuple[K, str | None]] = queue.SimpleQueue()
    try:
        while pending or active:
            while pending and len(active) < parallel_runs:
                key, run = pending.popleft()
                active[key] = Process(key, run, threads, save_seconds, lines)
            key, line = lines.get()
            if line is None:
                yield key, RunEnd(active.pop(key).error())
                continue
            event = event_of(line)
            if event is not None:
                yield key, event
    finally:
        _stop(active)


@dataclass
class Process(Generic[K]):
    """A process that trains a run and prints its events; puts its lines into a queue, and None after the last.

    `data` is where the data of the run lies now, if it has moved; `setup` is called in the process before the program.
    """

    key: K
    run: StudyRun
    threads: int
    save_seconds: float
    lines: queue.SimpleQueue[tuple[K, str | None]]
    data: str | None = None
    setup: Callable[[], None] | None = None
    stderr: IO[bytes] = field(default_factory=open_temporary_file)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", *self._module()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
            encoding="utf-8",
            env={**os.environ, "OMP_NUM_THREADS": str(self.threads)},
            # Ctrl-C in the terminal must not reach it: it gets one from `_stop`, and a second one would prevent saving
            process_group=None if os.name == "nt" else 0,
            preexec_fn=self.setup,  # noqa: PLW1509 - only for nodes (`node.py`), and it imports and allocates nothing
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _module(self) -> list[str]:
        """The module that trains the run, and its arguments."""
        if isinstance(self.run, ClassicRun):
            return ["classicnets.studies.classic", str(self.run.path)]
        command = ["train", f"--resume={self.run.path}", "--jsonl", "--save-every", str(self.save_seconds)]
        command.append("--trust")  # this process has created or checked the run
        return ["classicnets", *command, *([] if self.data is None else [f"--data={self.data}"])]

    def _read(self) -> None:
        with self.process:
            assert self.process.stdout
            for line in self.process.stdout:
                self.lines.put((self.key, line))
        self.lines.put((self.key, None))

    def interrupt(self) -> None:
        """Let the process save and stop, as Ctrl-C does; on Windows, Ctrl-C reaches it directly."""
        if os.name != "nt":
            self.process.send_signal(signal.SIGINT)

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


def event_of(line: str) -> Event | None:
    """Return the event of a line that a process has printed; None if it is none."""
    try:
        return from_line(line)
    except ValueError:  # the result, which is also in run.json
        return None


def _stop(active: Mapping[K, Process[K]]) -> None:
    """Interrupt all processes and wait until they have saved; a second Ctrl-C kills them."""
    try:
        for process in active.values():
            process.interrupt()
        for process in active.values():
            process.reader.join()
            process.stderr.close()
    except KeyboardInterrupt:
        for process in active.values():
            process.process.kill()
        raise
