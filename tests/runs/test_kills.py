"""A run that is killed anywhere and resumed ends like an uninterrupted run, bit for bit on the CPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from classicnets.events import Advice
from classicnets.runs import history
from classicnets.spec import Output, run_spec
from classicnets.training.plan import plan
from classicnets.training.session import Session

TIMES = {"seconds", "evaluation_seconds", "images_per_second", "wait_share"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="forks, and asks /proc")


def killing(what: str, folder: Path) -> dict[str, Any]:
    """The report of `killing.py`, which needs its own process with a single thread."""
    script, folder = Path(__file__).parents[1] / "support/killing.py", folder / "killing"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, script, what, folder],
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("COV_")},
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.exhaustive
@linux
@pytest.mark.slow
def test_resumes_after_a_kill_at_every_call_that_changes_a_file(tmp_path: Path, record_property: Any) -> None:
    """Dropout, batch normalization, AdamW, one_cycle, a moving average, three augmentations, two loader threads, a save
    after every step; death before each call, in the middle of each write, and in a power cut after each call.
    """
    report = killing("every_call", tmp_path)
    record_property("points", report["points"] + report["points_of_the_resumption"])
    assert report["unequal"] == []
    assert report["points"] > 150 and report["points_of_the_resumption"] > 20
    assert {"mkdir", "open", "write", "fsync", "replace", "fsync folder", "rename", "unlink"} == set(report["calls"])
    assert {"unlink", "replace"} <= {name for name, _ in report["calls_of_the_resumption"]}
    # nothing was written that was not counted: every file of a run was put in its place by a call that was
    assert set(report["files"]) == {*report["replaced"], "history.jsonl"}
    # and it would have been seen if anything had gone wrong
    for worse in ("where_nothing_is_written_aside", "where_nothing_is_synced", "where_the_history_is_not_synced"):
        assert len(report[worse]) == 4 and all(report[worse]), worse


@linux
@pytest.mark.slow
def test_resumes_after_kills_at_random_moments_and_ctrl_c(tmp_path: Path) -> None:
    """Each time with another number of loader threads and of torch threads."""
    report = killing("random_moments", tmp_path)
    assert sum(report["hits"].values()) == 8
    assert report["equal"] == report["runs"] >= 1


RECIPES = {
    "plateau": ["optimizer=sgd", "momentum=0.9", "schedule=plateau", "patience=1", "lr=1e-7", "epochs=6"],
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
NET = """
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
    (tmp_path / "own.py").write_text(NET)
    settings = {"epochs": "3", "batch_size": "24", "validation": "0.2", "lr": "0.01"}
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
