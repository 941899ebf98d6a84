"""Trains one run on a node of a Ray cluster: in a temporary folder, by `classicnets train --resume`.

Nothing here needs Ray. `cluster.py` calls `Node` in a process of the node, and passes on what it returns.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from classicnets import machine
from classicnets.files import temporary_folder
from classicnets.runs.folder import RunFolder
from classicnets.studies import parcels
from classicnets.studies.parcels import Parcel
from classicnets.studies.processes import Process

_GATHER_SECONDS = 0.05  # lines of this time are sent together
_KILL_WITH_PARENT = 1  # PR_SET_PDEATHSIG of sys/prctl.h


@dataclass(frozen=True)
class Order:
    """A run to train: its folder, as the study shows it, with its files; its data, and where the node has it."""

    folder: str
    files: dict[str, bytes]
    threads: int
    save_seconds: float
    parcel: Parcel
    data: str | None


@dataclass
class Reply:
    """What has happened since the last reply.

    Attributes:
        lines: Lines that the run has printed.
        files: Files of its folder that are new or have changed, by their path in it.
        error: None while the run goes on; then "", or its error.
        was_killed: Whether a signal has ended the run, so that it may be tried again.
    """

    lines: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    error: str | None = None
    was_killed: bool = False


class Node:
    """A run in progress. It belongs to the thread that has made it, with which the process of the run ends.

    Args:
        order: The run.
        archive: Its data as `parcels.pack` returns it, if the node lacks it.

    Raises:
        MachineError: CN401, the temporary folder or the cache cannot be written.
    """

    def __init__(self, order: Order, archive: bytes | None = None) -> None:
        place = order.data if archive is None else parcels.unpack(order.parcel, archive)
        self.order, self.resources = order, ExitStack()
        self.run = RunFolder(self.resources.enter_context(temporary_folder()) / Path(order.folder).name)
        self.sent: dict[str, tuple[int, ...]] = {}
        for name, content in order.files.items():
            path = self.run.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        facts = self.run.read()
        self.run.write({**facts, "machine": machine.describe()})
        self._changed()  # the files that are known already
        self.lines: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
        data = None if place == facts["data"] else place
        setup = _make_setup()
        self.process = Process("", self.run, order.threads, order.save_seconds, self.lines, data, setup)

    def next(self, seconds: float) -> Reply:
        """Return what has happened, after at most `seconds` if nothing happens.

        The files are complete when the run has ended; before that, they are sent with each new checkpoint.
        """
        reply = Reply()
        try:
            lines = [self.lines.get(timeout=seconds)[1]]
            time.sleep(_GATHER_SECONDS)
            while not self.lines.empty():
                lines.append(self.lines.get()[1])
        except queue.Empty:
            return reply
        reply.lines = [line for line in lines if line is not None]
        if None in lines:
            reply.error = self.process.error().replace(str(self.run.path), self.order.folder)
            reply.was_killed = self.process.process.returncode < 0
            reply.files = self._changed()
            self.resources.close()
        elif self.run.last.exists() and self.sent.get(self.run.last.name) != _signature(self.run.last):
            reply.files = self._changed()
        return reply

    def stop(self) -> None:
        """Let the run save and stop; `next` then returns its last files."""
        self.process.interrupt()

    def _changed(self) -> dict[str, bytes]:
        """The files that were not sent before in their present state.

        run.json and the checkpoint are read first, so that the others are not older than they are.
        """
        changed = {}
        for path in state_first(self.run):
            name, state = path.relative_to(self.run.path).as_posix(), _signature(path)
            if self.sent.get(name) != state:
                changed[name] = path.read_bytes()
                self.sent[name] = state
        return changed


def versions() -> dict[str, str]:
    """Return the versions in which all nodes must agree; that of torch without the kind of build ("+cpu")."""
    found = machine.versions()
    return {name: found[name].partition("+")[0] for name in ("python", "classicnets", "torch")}


def state_first(run: RunFolder) -> Iterator[Path]:
    """Yield the files of a run folder without hidden ones: run.json, then the checkpoint, then the others."""
    first = [path for path in (run.file, run.last) if path.exists()]
    others = [path for path in run.path.rglob("*") if path.is_file() and path not in first]
    for path in [*first, *others]:
        if not any(part.startswith(".") for part in path.relative_to(run.path).parts):
            yield path


def _signature(path: Path) -> tuple[int, ...]:
    """What changes when a file is replaced or appended to."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _make_setup() -> Callable[[], None] | None:
    """Return what the process of a run calls before its program: it can be interrupted, and is killed with its node.

    Ray blocks SIGINT in its processes, and a blocked signal stays blocked in their children. A worker that is killed
    would leave its child behind.
    """
    if os.name == "nt":
        return None
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def setup() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if prctl is not None:
            prctl(_KILL_WITH_PARENT, signal.SIGKILL)

    return setup
