"""One short way through the whole product, as a user goes it: train, evaluate, predict, export, check, forecast.

`make quick` starts with it. It shows that the parts work together; what they compute is tested in their own folders.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import classicnets as cn
from support.command_line import CommandLine

RUN = "runs/lenet_d2l-blobs-1"


@pytest.fixture
def run(blobs: Path, cli: CommandLine) -> str:
    code, out, err = cli("train", "lenet_d2l", "--data", blobs, "--set", "epochs=1", "--limit", 64)
    assert code == 0 and "test accuracy" in out, err
    return RUN


def test_a_run_is_evaluated_and_exported_and_predicts(run: str, cli: CommandLine) -> None:
    Image.fromarray(np.zeros((28, 28), np.uint8)).save("black.png")
    for arguments in (
        ("evaluate", run),
        ("predict", run, "black.png"),
        ("export", run, "-o", "lenet.onnx"),
        ("predict", "lenet.onnx", "black.png"),
        ("weights", "identify", f"{run}/last.safetensors"),
        ("show", run),
    ):
        code, out, err = cli(*arguments)
        assert code == 0 and out, (arguments, err)
    assert cn.load(run).predict("black.png")
    code, _, err = cli("train", "--resume", run)
    assert code == 2 and "CN208" in err  # the run is complete


def test_a_run_is_forecast(blobs: Path, cli: CommandLine) -> None:
    code, out, err = cli("train", "lenet_d2l", "--data", blobs, "--dry-run", "--json")
    assert code == 0 and json.loads(out), err
    assert not Path("runs").exists()


def test_a_folder_of_images_is_checked(folder: Path, cli: CommandLine) -> None:
    code, out, err = cli("data", "check", folder)
    assert code in (0, 1) and out, err


@pytest.mark.parametrize("arguments", [("list",), ("show", "alexnet_2012"), ("explain", "CN201"), ("doctor",)])
def test_a_verb_answers(arguments: tuple[str, ...], cli: CommandLine) -> None:
    code, out, err = cli(*arguments)
    assert code == 0 and out, err


def test_every_module_is_imported() -> None:
    names = [module.name for module in pkgutil.walk_packages(cn.__path__, "classicnets.")]
    assert len(names) > 100
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)
