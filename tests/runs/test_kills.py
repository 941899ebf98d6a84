"""Killed anywhere and resumed, a run ends as the run that nobody killed: bit for bit on the CPU."""

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
    """What `killing.py` says, which needs a process of its own with a single thread."""
    script, folder = Path(__file__).parents[1] / "support/killing.py", folder / "killing"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, script, what, folder],
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("COV_")},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@linux
@pytest.mark.slow
def test_killed_at_every_call_that_changes_a_file(tmp_path: Path, record_property: Any) -> None:
    """Dropout, batch normalization, AdamW, one_cycle, a moving average, three augmentations, two loader threads, a save
    after every step; death before each call, in the middle of each write, and in a power cut after each call.
    """
    found = killing("every_call", tmp_path)
    record_property("points", found["points"] + found["points_of_the_resumption"])
    assert found["unequal"] == []
    assert found["points"] > 150 and found["points_of_the_resumption"] > 20
    assert {"mkdir", "open", "write", "fsync", "replace", "fsync folder", "rename"} == set(found["calls"])
    assert {"unlink", "replace"} <= {name for name, _ in found["calls_of_the_resumption"]}
    # nothing was written that was not counted: every file of a run was put in its place by a call that was
    assert set(found["files"]) == {*found["replaced"], "history.jsonl"}
    # and it would have been seen if anything had gone wrong
    for worse in ("where_nothing_is_written_aside", "where_nothing_is_synced", "where_the_history_is_not_synced"):
        assert len(found[worse]) == 4 and all(found[worse]), worse


@linux
@pytest.mark.slow
def test_killed_at_random_moments_and_stopped_with_ctrl_c(tmp_path: Path) -> None:
    """Also with other loader threads in each resumption, and another number of torch's threads set before it."""
    found = killing("random_moments", tmp_path)
    assert sum(found["hits"].values()) == 8
    assert found["equal"] == found["runs"] >= 1


RECIPES = {
    "plateau": ["optimizer=sgd", "momentum=0.9", "schedule=plateau", "patience=1", "lr=1e-7", "epochs=6"],
    "2012": ["optimizer=sgd_rate_inside", "momentum=0.9", "schedule=steps", "drop_at=0.3,0.6", "drop_to=0.5,0.1"]
    + ["resize=20", "image_size=16", "crop=random", "colour_noise=paper", "join_after=1", "bias_lr=2"],
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
    """Trains to the end and copies the run folder at every event."""
    paths = []
    for number, _ in enumerate(training.events()):
        training._save(training.folder.last)
        paths.append(Path(shutil.copytree(training.folder.path, copies / f"after-{number}")))
    return paths


def figures(training: Session) -> list[dict[str, Any]]:
    events = [asdict(event) for event in history.read(training.folder.history) if not isinstance(event, Advice)]
    return [{key: value for key, value in event.items() if key not in TIMES} for event in events]


@pytest.mark.parametrize("name", RECIPES)
def test_saved_at_any_event_a_run_goes_on_from_there(name: str, folder: Path, tmp_path: Path) -> None:
    """Also between the last step of an epoch and its end, when all that is left of it is to be judged."""
    (tmp_path / "own.py").write_text(NET)
    settings = {"epochs": "3", "batch_size": "24", "validation": "0.2", "lr": "0.01"}
    settings |= dict(pair.split("=", 1) for pair in RECIPES[name])
    made = plan(*run_spec("own.py:net", data=str(folder), settings=settings, device="cpu", seed=2))
    whole = Session.start(made, print, Output(runs=str(tmp_path / "runs")))
    copies = saved_at_every_event(whole, tmp_path)
    expected = whole.state.tensors()
    assert len(copies) >= 9 and (whole.state.drops > 0) == (name == "plateau")
    for copy in copies:
        again = Session.resume(copy, print, loader_threads=2)
        for _ in again.events():
            pass
        found = again.state.tensors()
        assert found.keys() == expected.keys()
        assert [key for key in expected if not torch.equal(found[key], expected[key])] == []
        assert figures(again) == figures(whole)
