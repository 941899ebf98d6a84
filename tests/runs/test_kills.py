"""A run that is killed anywhere and resumed ends like an uninterrupted run, bit for bit on the CPU."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from classicnets import files
from classicnets.events import Advice
from classicnets.runs import history
from classicnets.spec import Output, run_spec
from classicnets.training.plan import plan
from classicnets.training.session import Session
from kills import outcome
from support.command_line import CommandLine
from support.disk import Death, Disk, distinct, write_tree
from support.idx import make_idx_folder

RUN = "own_net-data-1"
NET = """
from torch import nn
net = nn.Sequential(
    nn.Conv2d(1, 3, 5, stride=2), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(48, 3)
)
"""
SETTINGS = "epochs=2 batch_size=12 validation=0.2 flip=true shift=1 erase=3 ema=0.9 clip=1 lr=0.01"
TIMES = {"seconds", "evaluation_seconds", "images_per_second", "wait_share"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc, or forks")


def arguments(root: Path) -> list[str]:
    """Write a network and images into the folder, and return the arguments of `classicnets train` for them."""
    make_idx_folder(root / "data", train=27, test=9, classes=3, size=12)
    (root / "own.py").write_text(NET)
    return [f"{root}/own.py:net", "--data", f"{root}/data", "--seed", "5", "--set", *SETTINGS.split()]


class Place:
    """A folder with a network and images, in which runs are started and resumed."""

    def __init__(self, root: Path, cli: CommandLine) -> None:
        self.root, self.cli, self.arguments = root, cli, arguments(root)
        self.numbers = itertools.count()
        self.expected: dict[str, Any] = {}  # the outcome of the first run, which nothing interrupts

    def new(self) -> Path:
        """A new folder for runs."""
        (path := self.root / f"runs-{next(self.numbers)}").mkdir()
        return path

    def train(self, runs: Path, loader_threads: int = 2) -> str:
        """Train to the end, or resume the run in `runs`; return the error, or ""."""
        run = ["--resume", runs / RUN] if (runs / RUN).exists() else [*self.arguments, "--runs", runs]
        code, _, err = self.cli("train", *run, "--loader-threads", loader_threads, "--save-every", 0)
        return err if code else ""

    def recorded(self, runs: Path, change: Callable[[pytest.MonkeyPatch], None] = lambda _: None) -> Disk:
        """Train to the end in `runs`, and record all deaths on the way."""
        disk = Disk(runs)
        with pytest.MonkeyPatch.context() as patch:
            disk.watch(patch)
            change(patch)
            assert not (error := self.train(runs)), error
        self.expected = self.expected or outcome(runs / RUN)
        return disk

    def damage(self, death: Death) -> str:
        """What differs after a death when the run has been resumed; "" if it ends as if nothing had happened."""
        write_tree(runs := self.new(), death.tree)
        try:
            is_complete = "result" in json.loads((runs / RUN / "run.json").read_text())
        except FileNotFoundError:
            is_complete = False  # there is no run: the command is given again
        except json.JSONDecodeError:
            return f"{death}: run.json is damaged"
        if not is_complete and (error := self.train(runs, death.number % 3)):
            return f"{death}: {error}"
        result = outcome(runs / RUN)
        different = [key for key, value in self.expected.items() if result[key] != value]
        return f"{death}: {', '.join(different)} differ" if different else ""


@pytest.fixture
def place(tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # `Disk` says what a power cut leaves
    return Place(tmp_path, cli)


@linux
def test_resumes_after_a_kill_at_every_call_that_changes_a_file(place: Place) -> None:
    """Dropout, batch normalization, AdamW, one_cycle, a moving average, three augmentations, two loader threads, a save
    after every step; death before each call, in the middle of each write, and in a power cut after each call.

    The calls are recorded with the files that a death would leave; the run is then resumed from each set of files.
    """
    whole = place.recorded(place.new())
    assert len(whole.deaths) > 150 and len(distinct(whole.deaths)) > 20
    assert {"mkdir", "open", "write", "fsync", "replace", "fsync folder", "rename", "unlink"} == {
        call for call, _ in whole.calls
    }
    # nothing was written that was not recorded: every file of a run was put in its place by a call that was
    replaced = {file for call, file in whole.calls if call == "replace"}
    assert set(place.expected["files"]) == {*replaced, "history.jsonl"}
    assert [damage for death in distinct(whole.deaths) if (damage := place.damage(death))] == []

    # again, in the resumption of a run that was killed while it wrote its checkpoint in the middle of an epoch
    torn = [death for death in whole.deaths if death.way == "middle" and death.file.startswith(".last.")][5]
    write_tree(runs := place.new(), torn.tree)
    again = [death for death in place.recorded(runs).deaths if death.number <= 16]
    assert {"unlink", "replace"} <= {death.call for death in again}
    assert [damage for death in distinct(again) if (damage := place.damage(death))] == []


def write_carelessly(patch: pytest.MonkeyPatch) -> None:
    def careless(path: Any, content: Any, *, option: str) -> None:
        path.write_bytes(content)

    patch.setattr(files.write_whole, "__code__", careless.__code__)


def never_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "fsync", lambda fd: None)


def never_sync_history(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(history, "sync", lambda path: None)


@linux
@pytest.mark.parametrize(
    ("change", "call", "way"),
    [(write_carelessly, "write", "middle"), (never_sync, "replace", "after"), (never_sync_history, "replace", "after")],
)
def test_weaker_writing_is_noticed(
    place: Place, change: Callable[[pytest.MonkeyPatch], None], call: str, way: str
) -> None:
    """The deaths that the test above survives are fatal to a run that writes its checkpoints in another way."""
    deaths = place.recorded(place.new(), change).deaths
    at = [death for death in deaths if (death.call, death.file, death.way) == (call, "last.safetensors", way)][:4]
    assert len(at) == 4 and all(place.damage(death) for death in at)


@linux
@pytest.mark.slow
def test_resumes_after_kills_at_random_moments_and_ctrl_c(tmp_path: Path) -> None:
    """Real processes, each time with another number of loader threads and of torch threads."""
    script = Path(__file__).parents[1] / "support/killing.py"
    (folder := tmp_path / "runs").mkdir()
    done = subprocess.run(
        [sys.executable, script, folder, *arguments(tmp_path)],
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("COV_")},
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert sum(report["hits"].values()) == 4
    assert report["equal"] == report["runs"] >= 1


RECIPES = {
    "plateau": ["optimizer=sgd", "momentum=0.9", "schedule=plateau", "patience=1", "lr=1e-7", "epochs=4"],
    "2012": ["optimizer=sgd_rate_inside", "momentum=0.9", "schedule=steps", "drop_at=0.3,0.6", "drop_to=0.5,0.1"]
    + ["resize=20", "image_size=16", "crop=random", "color_noise=paper", "join_after=1", "bias_lr=2"],
    "bfloat16": [
        "optimizer=sgd",
        "momentum=0.9",
        "precision=bfloat16",
        "ema=0.5",
        "resize=20",
        "image_size=16",
        "crop=resized",
        "erase=4",
    ],
    "adamw": ["optimizer=adamw", "schedule=inverse", "freeze=0", "class_weights=auto", "label_smoothing=0.1"],
}
COLOR_NET = """
from torch import nn
net = nn.Sequential(
    nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(4), nn.Conv2d(4, 6, 3, padding=1),
    nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(96, 3),
)
"""


def saved_at_every_event(training: Session, copies: Path) -> list[Path]:
    """Trains to the end and copies the run folder at each event."""
    paths = []
    for number, _ in enumerate(training.events()):
        training._save(training.folder.last)
        paths.append(Path(shutil.copytree(training.folder.path, copies / f"after-{number}")))
    return paths


def figures(training: Session) -> list[dict[str, Any]]:
    events = [asdict(event) for event in history.read(training.folder.history) if not isinstance(event, Advice)]
    return [{key: value for key, value in event.items() if key not in TIMES} for event in events]


@pytest.mark.parametrize("name", RECIPES)
def test_resumes_from_a_checkpoint_at_any_event(name: str, folder: Path, tmp_path: Path) -> None:
    """Includes the event after the last step of an epoch, before its evaluation."""
    (tmp_path / "own.py").write_text(COLOR_NET)
    settings = {"epochs": "3", "batch_size": "36", "validation": "0.2", "lr": "0.01"}
    settings |= dict(pair.split("=", 1) for pair in RECIPES[name])
    run_plan = plan(*run_spec("own.py:net", data=str(folder), settings=settings, device="cpu", seed=2))
    uninterrupted = Session.start(run_plan, print, Output(runs=str(tmp_path / "runs")))
    copies = saved_at_every_event(uninterrupted, tmp_path)
    expected = uninterrupted.state.tensors()
    assert len(copies) >= 9 and (uninterrupted.state.drops > 0) == (name == "plateau")
    for copy in copies:
        resumed = Session.resume(copy, print, loader_threads=2)
        for _ in resumed.events():
            pass
        tensors = resumed.state.tensors()
        assert tensors.keys() == expected.keys()
        assert [key for key in expected if not torch.equal(tensors[key], expected[key])] == []
        assert figures(resumed) == figures(uninterrupted)
