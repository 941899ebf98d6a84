"""Trains a small network in many forked processes, kills each at a different call that changes a file, resumes it, and
reports the runs that did not end like an uninterrupted run.

    python tests/support/killing.py every_call FOLDER  (FOLDER must be empty; one JSON document on standard output)
    python tests/support/killing.py random_moments FOLDER

Linux only. A process is killed by SIGKILL before a call; in the middle of a write, with half of its bytes written; or
after a call by a power cut, which loses everything that was written but not synced.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import io
import itertools
import json
import os
import shutil
import signal
import stat
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", CLASSICNETS_OFFLINE="1")

sys.path.extend(str(Path(__file__).parents[2] / folder) for folder in ("tests", "benchmarks"))

import torch
from matplotlib.figure import Figure

from classicnets import files
from classicnets.cli.main import main
from classicnets.report import error_analysis, figures
from classicnets.runs import history
from kills import fork, kill_at_random, outcome, wait_for
from support.idx import make_idx_folder

NET = """
from torch import nn
net = nn.Sequential(
    nn.Conv2d(1, 3, 5, stride=2), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(48, 3)
)
"""
SETTINGS = "epochs=2 batch_size=12 validation=0.2 flip=true shift=1 erase=3 ema=0.9 clip=1 lr=0.01"

T = TypeVar("T")


class Disk:
    """Counts the calls that change files under `root`, and kills the process at call number `at`, in the way `way`."""

    def __init__(self, root: Path, at: int = 0, way: str = "") -> None:
        self.root, self.at, self.way = f"{root.resolve()}{os.sep}", at, way
        self.calls: list[tuple[str, str]] = []  # the call, and its file
        self.synced: dict[int, int] = {}  # bytes of each file, by inode, that survive a power cut
        self.open = io.open

    def watch(self) -> None:
        """Starts counting in this process."""
        io.open = builtins.open = self._open  # type: ignore[assignment]
        os.fsync = self._fsync
        for name in ("mkdir", "rmdir", "unlink", "remove", "rename", "replace"):
            setattr(os, name, self._watched(name, getattr(os, name)))

    def inside(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and str(Path(path).absolute()).startswith(self.root)

    def call(self, name: str, path: object, do: Callable[[], T], do_half: Callable[[], object] | None = None) -> T:
        self.calls.append((name, Path(str(path)).name))
        is_killed = len(self.calls) == self.at
        if is_killed and self.way == "before":
            kill_process()
        if is_killed and self.way == "middle":
            assert do_half is not None
            do_half()
            kill_process()
        try:
            return do()
        finally:
            if is_killed:
                self._cut_power()

    def _watched(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def watched(path: object, *args: object, **options: object) -> object:
            if not self.inside(path):
                return real(path, *args, **options)
            return self.call(
                name, args[0] if name in {"rename", "replace"} else path, lambda: real(path, *args, **options)
            )

        return watched

    def _fsync(self, fd: Any) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if not f"{path}/".startswith(self.root):
            return
        status = os.fstat(fd)
        self.call("fsync folder" if stat.S_ISDIR(status.st_mode) else "fsync", path, lambda: None)
        self.synced[status.st_ino] = status.st_size

    def _open(
        self,
        path: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: Any = None,
        errors: Any = None,
        newline: Any = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if not set(mode) & set("wax+") or not self.inside(path):
            return self.open(path, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = Raw(self, path, mode.replace("b", "").replace("t", ""))
        file = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return file if "b" in mode else io.TextIOWrapper(file, encoding, errors, newline)

    def _cut_power(self) -> None:
        for path in map(str, Path(self.root).rglob("*")):
            status = os.stat(path)
            if status.st_size > self.synced.get(status.st_ino, status.st_size):
                os.truncate(path, self.synced[status.st_ino])
        kill_process()


class Raw(io.FileIO):
    """A file that reports each write to the disk."""

    def __init__(self, disk: Disk, path: os.PathLike[str], mode: str) -> None:
        self.disk = disk
        size = Path(path).stat().st_size if Path(path).exists() and "w" not in mode else 0
        disk.call("open", path, lambda: super(Raw, self).__init__(os.fspath(path), mode))
        disk.synced.setdefault(os.fstat(self.fileno()).st_ino, size)

    def write(self, content: Any) -> int:
        content, write = bytes(content), super().write
        return self.disk.call("write", self.name, lambda: write(content), lambda: write(content[: len(content) // 2]))


def kill_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Place:
    """A folder with a network and images, in which runs are started and killed."""

    def __init__(self, root: Path) -> None:
        self.root, self.log = root, root / "log.txt"
        make_idx_folder(root / "data", train=27, test=9, classes=3, size=12)
        (root / "own.py").write_text(NET)
        self.command = [f"{root}/own.py:net", "--data", f"{root}/data", "--seed", "5", "--loader-threads", "2"]
        self.command += ["--set", *SETTINGS.split()]
        self.numbers = itertools.count()

    def train(
        self, runs: Path, disk: Disk | None = None, change: Callable[[], None] | None = None, threads: int = 2
    ) -> int:
        """Trains in its own process, or resumes the run in `runs`; returns the exit code."""
        run = runs / "own_net-data-1"
        command = ["train", *self.command, "--runs", str(runs)]
        if run.exists():
            command = ["train", "--resume", str(run), "--loader-threads", str(threads)]

        def do() -> int:
            os.fsync = lambda fd: None  # needed in a power cut alone, and here `Disk` says what one leaves
            if disk:
                disk.watch()
            if change:
                change()
            code = main([*command, "--save-every", "0"])
            if disk and not disk.at:
                (self.root / "calls.json").write_text(json.dumps(disk.calls))
            return code

        return wait_for(fork(do, self.log))

    def import_modules(self) -> None:
        """Imports in this process what a training imports, which takes longer than the rest of such a small run."""
        names, runs, before = self.root / "modules.json", self.new(), set(sys.modules)

        def do() -> int:
            code = main(["train", *self.command, "--runs", str(runs)])
            new = [name for name in sys.modules if name not in before and not name.startswith("own")]
            names.write_text(json.dumps(new))
            return code

        assert wait_for(fork(do, self.log)) == 0, self.log.read_text()
        for name in json.loads(names.read_text()):
            importlib.import_module(name)
        assert len(os.listdir("/proc/self/task")) == 1, "an import has started a thread"

    def new(self) -> Path:
        """A new folder for runs."""
        path = self.root / f"runs-{next(self.numbers)}"
        path.mkdir()
        return path

    def calls(self, runs: Path, change: Callable[[], None] | None = None) -> list[tuple[str, str]]:
        """The calls that change files, to the end of the run in `runs` or of a new one."""
        assert self.train(runs, Disk(runs), change) == 0, self.log.read_text()
        return [(name, path) for name, path in json.loads((self.root / "calls.json").read_text())]

    def damage(
        self, runs: Path, at: int, way: str, expected: dict[str, object], change: Callable[[], None] | None = None
    ) -> str:
        """The differences after a kill and resuming; "" if there are none."""
        code = self.train(runs, Disk(runs, at, way), change)
        if code != -signal.SIGKILL:
            return f"ended with {code} before it was killed"
        try:
            done = "result" in json.loads((runs / "own_net-data-1/run.json").read_text())
        except FileNotFoundError:
            done = False  # no such run: the command is given again
        except json.JSONDecodeError:
            return "run.json is damaged"
        if not done and (code := self.train(runs, threads=at % 3)) != 0:
            return f"could not go on: {code}"
        result = outcome(runs / "own_net-data-1")
        return ", ".join(key for key in expected if result[key] != expected[key])


def small_figures() -> None:
    """Makes figures smaller, as they take most of the time of such a small run."""

    def small(*_: object) -> Figure:
        return Figure((0.2, 0.2))

    figures.draw_curves = small  # type: ignore[assignment]
    for name in ("draw_confusion_matrix", "draw_reliability_diagram", "draw_contact_sheet"):
        setattr(error_analysis, name, small)
    figures.png(small())  # finds the fonts


def write_carelessly() -> None:
    def careless(path: Any, content: Any) -> None:
        path.write_bytes(content)

    files.write_whole.__code__ = careless.__code__


def ways_to_kill(kind: str) -> list[str]:
    """The ways to kill at a call; the files after a sync are those before the next call."""
    return ["before", *["middle"] * (kind == "write"), *["after"] * (not kind.startswith("fsync"))]


def never_sync() -> None:
    os.fsync = lambda fd: None  # also for `Disk`


def never_sync_history() -> None:
    history.sync = lambda path: None


def at_every_call(place: Place) -> dict[str, object]:
    """Kills at every call of a complete run and at the first calls of a resumed run; then with weaker writing."""
    small_figures()
    place.import_modules()
    gc.freeze()
    whole = place.new()
    calls = place.calls(whole)
    expected = outcome(whole / "own_net-data-1")
    points = [(at, way) for at, (kind, _) in enumerate(calls, 1) for way in ways_to_kill(kind)]
    unequal: list[tuple[object, ...]] = []
    for at, way in points:
        if what := place.damage(place.new(), at, way, expected):
            unequal.append((*calls[at - 1], at, way, what))

    # again, in the resumption of a run that was killed while it wrote its checkpoint in the middle of an epoch
    writes = [at for at, call in enumerate(calls, 1) if call[0] == "write" and call[1].startswith(".last.")]
    torn = place.new()
    assert place.train(torn, Disk(torn, writes[5], "middle")) == -signal.SIGKILL
    again = place.calls(copied(torn, place))[:16]
    points_again = [(at, way) for at, (kind, _) in enumerate(again, 1) for way in ways_to_kill(kind)]
    for at, way in points_again:
        if what := place.damage(copied(torn, place), at, way, expected):
            unequal.append(("resumed", *again[at - 1], at, way, what))

    def worse(change: Callable[[], None], kind: str, way: str) -> list[str]:
        """The results of kills in the first four calls of a kind for the checkpoint, with changed writing."""
        made = place.calls(place.new(), change)
        at = [number for number, call in enumerate(made, 1) if call == (kind, "last.safetensors")][:4]
        return [place.damage(place.new(), number, way, expected, change) for number in at]

    return {
        "calls": Counter(name for name, _ in calls),
        "replaced": sorted({path for name, path in calls if name == "replace"}),
        "files": expected["files"],
        "points": len(points),
        "calls_of_the_resumption": again,
        "points_of_the_resumption": len(points_again),
        "unequal": unequal,
        "where_nothing_is_written_aside": worse(write_carelessly, "write", "middle"),
        "where_nothing_is_synced": worse(never_sync, "replace", "after"),
        "where_the_history_is_not_synced": worse(never_sync_history, "replace", "after"),
    }


def copied(runs: Path, place: Place) -> Path:
    return Path(shutil.copytree(runs, place.new(), dirs_exist_ok=True))


def at_random(place: Place) -> dict[str, object]:
    """Kills at random moments of a longer run with all its figures; twice with Ctrl-C instead."""
    signals = [signal.SIGKILL] * 3 + [signal.SIGINT] + [signal.SIGKILL] * 3 + [signal.SIGINT]
    return kill_at_random([*place.command, "epochs=60"], signals, 0, place.new())


if __name__ == "__main__":
    torch.set_num_threads(1)
    assert len(os.listdir("/proc/self/task")) == 1, "only a process with a single thread can be forked"
    gc.freeze()  # so that a child does not touch, and copy, all there is
    do = {"every_call": at_every_call, "random_moments": at_random}[sys.argv[1]]
    print(json.dumps(do(Place(Path(sys.argv[2]).resolve()))))
