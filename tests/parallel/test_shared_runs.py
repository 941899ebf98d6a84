"""A run that several processes share ends like the run of one process, up to rounding."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file

from classicnets.models.registry import NETS
from classicnets.runs import checkpoint, history, parts
from classicnets.runs.folder import RunFolder
from classicnets.spec import Output
from classicnets.training.plan import plan
from classicnets.training.session import Session
from parallel.shared_runs import ENTRIES, RUNS, quiet, spec
from support.idx import make_idx_folder
from support.once import once

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forks")
EXACT = 1e-12
TESTS = Path(__file__).parent.parent


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    with mock.patch.dict(NETS, ENTRIES):
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of two and four processes."""
    return once(tmp_path_factory, "shared", make_runs)


def make_runs(root: Path) -> None:
    """Make data, and train on it in two and in four processes."""
    for classes in (3, 4):  # 22 images to train on: in batches of 10, 10 and 2
        make_idx_folder(root / f"data-{classes}", train=27, test=9, classes=classes, size=16)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "parallel.shared_runs", str(root)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.fixture(scope="module")
def alone(root: Path) -> dict[str, RunFolder]:
    """The runs of one process."""
    runs = {}
    for name in RUNS:
        session = Session.start(plan(spec(root, name)), quiet, Output(runs=str(root / f"runs-1-{name}")))
        for _event in session.events():
            pass
        session.finish()
        runs[name] = session.folder
    return runs


def run_of(root: Path, processes: int, name: str) -> RunFolder:
    """The folder of a run."""
    [path] = (root / f"runs-{processes}-{name}").iterdir()
    return RunFolder(path)


def difference(first: RunFolder, second: RunFolder, *, file: str = "last") -> float:
    """The largest difference of weights, average, optimizer state, losses and results of two runs."""
    (ours, _), (theirs, _) = (checkpoint.load(getattr(run, file)) for run in (first, second))
    assert ours.keys() == theirs.keys()
    worst = 0.0
    for name, tensor in ours.items():
        if not name.startswith("generator"):
            assert tensor.dtype == theirs[name].dtype, name
            worst = max(worst, float((tensor.double() - theirs[name].double()).abs().max()))
    for a, b in zip(history.read(first.history), history.read(second.history), strict=True):
        for key in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
            worst = max(worst, abs((getattr(a, key, None) or 0) - (getattr(b, key, None) or 0)))
    return worst


@pytest.mark.parametrize(
    ("processes", "name"),
    [(n, name) for n in (2, 4) for name in RUNS if n == 2 or not name.startswith("towers")],
)
def test_runs_do_not_depend_on_the_number_of_processes(
    root: Path, alone: dict[str, RunFolder], processes: int, name: str
) -> None:
    run = run_of(root, processes, name)
    assert difference(alone[name], run) < EXACT
    ours, theirs = (json.loads(folder.metrics.read_text()) for folder in (alone[name], run))
    assert ours["n"] == theirs["n"] == 9 and ours["confusion"] == theirs["confusion"]
    assert abs(ours["loss"] - theirs["loss"]) < 1e-6  # probabilities are float32
    facts: dict[str, Any] = run.read()
    assert facts["parallel"]["processes"] == processes and facts["parallel"]["form"] == RUNS[name][1]


@pytest.mark.parametrize("processes", [2, 4])
def test_a_run_that_is_stopped_is_resumed_by_another_number_of_processes(
    root: Path, alone: dict[str, RunFolder], processes: int
) -> None:
    session = Session.resume(run_of(root, processes, "interrupted").path, quiet)
    assert (session.state.epoch, session.state.step) == (1, 1)
    for _event in session.events():
        pass
    session.finish()
    assert difference(alone["hybrid"], session.folder) < EXACT


def test_one_process_resumes_a_run_that_several_have_saved_in_parts(root: Path, alone: dict[str, RunFolder]) -> None:
    run = RunFolder(shutil.copytree(run_of(root, 2, "in_parts").path, root / "in-parts"))
    state, _facts = checkpoint.load(run.last)
    assert all(name.startswith("net/") for name in state)  # only weights, as everything that evaluates needs them
    session = Session.resume(run.path, quiet)
    assert (session.state.epoch, session.state.step) == (1, 1)
    for _event in session.events():
        pass
    session.finish()
    assert difference(alone["hybrid"], run) < EXACT
    assert parts.newest(run.path) is None


def test_more_processes_resume_a_run_that_is_saved_in_parts(root: Path, alone: dict[str, RunFolder]) -> None:
    """They save it in parts, too."""
    run = run_of(root, 4, "in_parts")
    ours, theirs = (checkpoint.weights(checkpoint.load(folder.last)[0]) for folder in (alone["hybrid"], run))
    assert ours.keys() == theirs.keys()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < EXACT
    assert "result" in run.read() and not [*run.path.glob("*state-*")]


def test_parts_have_what_their_processes_hold(root: Path) -> None:
    folder = parts.newest(run_of(root, 2, "in_parts").path)
    assert folder is not None
    first, second = (load_file(folder / f"part-{rank:05}.safetensors") for rank in range(2))
    assert first["net/5.weight"].shape == second["average/5.weight"].shape == torch.Size([32, 64])
    assert first.keys() > second.keys() and not [name for name in second if name.startswith(("net/0.", "sums/"))]


@pytest.mark.parametrize("processes", [2, 4])
def test_the_comparison_sees_a_norm_of_a_part(root: Path, alone: dict[str, RunFolder], processes: int) -> None:
    assert difference(alone["hybrid"], run_of(root, processes, "control")) > 1e-6


def test_averages_and_optimizer_state_are_whole(root: Path) -> None:
    tensors, _facts = checkpoint.load(run_of(root, 2, "hybrid").last)
    assert tensors["net/5.weight"].shape == tensors["average/5.weight"].shape == torch.Size([64, 64])
    assert sorted(tuple(t.shape) for name, t in tensors.items() if name.startswith("optimizer"))[-1][0] == 64
