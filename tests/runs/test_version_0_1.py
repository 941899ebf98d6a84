"""Files of version 0.1 still open: a finished run, a stopped run, and an exported file.

This folder was written by version 0.1.0: the book's small data (40 + 20 images) and, on it, lenet1_1990 with
tanh (finished, exported) and lenet1_1990 stopped after two steps of its second epoch.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import classicnets as cn
from support.command_line import CommandLine
from support.images import save

HERE = Path(__file__).parent / "version_0_1"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy whose run.json has the current path of the data."""
    place = tmp_path / "old"
    shutil.copytree(HERE, place)
    for run in (place / "finished", place / "stopped"):
        text = (run / "run.json").read_text().replace("/home/user/blobs", (place / "blobs").as_posix())
        (run / "run.json").write_text(text)
    return place


def test_a_finished_run_opens_with_the_same_accuracy(old: Path, cli: CommandLine) -> None:
    run = cn.load(old / "finished")
    assert isinstance(run, cn.Run)
    assert run.result and run.evaluate().accuracy == pytest.approx(run.result["test_accuracy"], abs=0.051)  # one image
    code, out, _ = cli("evaluate", old / "finished", "--json")
    assert code == 0 and json.loads(out)["n"] == 20
    code, out, _ = cli("show", old / "finished")
    assert code == 0 and "lenet1_1990 with activation=tanh" in out


def test_an_exported_file_opens_and_agrees_with_its_run(old: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 1, 28, 28), np.uint8)
    file, run = cn.load(old / "finished.onnx"), cn.load(old / "finished", device="cpu")
    assert file.classes == run.classes
    np.testing.assert_allclose(file.predictor.probabilities(images), run.predictor.probabilities(images), atol=1e-5)


def test_an_exported_file_is_shown(old: Path, cli: CommandLine) -> None:
    code, out, _ = cli("show", old / "finished.onnx")
    assert code == 0 and "an older version wrote the file" in out and "#000000, behind transparent parts" in out


def test_says_why_the_probabilities_of_older_models_are_not_calibrated(old: Path, cli: CommandLine) -> None:
    save(old / "image.png", np.zeros((28, 28), np.uint8))
    for name, reason in {
        "finished": "an older version of classicnets trained it",
        "finished.onnx": "an older version of classicnets trained it",
        "stopped": "the run is not finished",
    }.items():
        code, _, err = cli("predict", old / name, old / "image.png", "--min-confidence", 0.5)
        assert code == 0 and f"probabilities are not calibrated: {reason}" in " ".join(err.split()), err


def test_a_finished_run_can_be_exported(old: Path, cli: CommandLine) -> None:
    code, out, _ = cli("export", old / "finished", "-o", "again.onnx")
    assert code == 0 and "agrees with the network on 20 images" in out


def test_a_stopped_run_is_resumed(old: Path, cli: CommandLine) -> None:
    history = (old / "stopped" / "history.jsonl").read_text().splitlines()
    code, out, err = cli("train", "--resume", old / "stopped")
    assert code == 0 and "test accuracy" in out and "after epoch 1 of 3, step 2" in err
    after = (old / "stopped" / "history.jsonl").read_text().splitlines()
    assert after[: len(history)] == history and json.loads(after[-1])["epoch"] == 3
    run = cn.load(old / "stopped")
    assert isinstance(run, cn.Run) and run.result


def test_a_run_can_provide_initial_weights(old: Path) -> None:
    run = cn.train(
        "lenet1_1990", recipe="fast", data=str(old / "blobs"), weights=old / "finished", epochs=1, quiet=True
    )
    assert run.facts["weights"].endswith("best.safetensors")
