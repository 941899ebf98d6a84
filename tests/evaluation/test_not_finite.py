"""Outputs that are not finite are errors everywhere, and no JSON has NaN."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets import strict_json
from classicnets.errors import CheckFailed
from classicnets.evaluation.classify import finite
from classicnets.evaluation.predictor import Predictor
from classicnets.runs import checkpoint
from classicnets.values import Preprocess
from support.command_line import CommandLine


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, blobs: Path) -> Path:
    """A run whose weights became NaN, and a good one."""
    root = tmp_path_factory.mktemp("broken")
    options: dict[str, Any] = {"limit": 60, "epochs": 1, "quiet": True, "device": "cpu"}
    run = cn.train("lenet1_1990", recipe="fast", data=str(blobs), runs=str(root / "runs"), **options)
    shutil.copytree(run.path, root / "run")
    path = root / "run" / run.weights
    tensors, facts = checkpoint.load(path)
    facts.pop("version")
    checkpoint.save(path, {**tensors, "net/H1.bias": tensors["net/H1.bias"] * torch.nan}, facts)
    return root


@pytest.mark.parametrize(
    "line", ["predict RUN IMAGE", "predict RUN IMAGE --json", "evaluate RUN", "evaluate RUN --json"]
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
def test_commands_refuse_weights_that_are_not_finite(
    line: str, precision: str, broken: Path, cli: CommandLine, tmp_path: Path
) -> None:
    from PIL import Image

    Image.new("L", (28, 28), 99).save(tmp_path / "image.png")
    names = {"RUN": broken / "run", "IMAGE": tmp_path / "image.png"}
    code, out, err = cli(*(names.get(word, word) for word in line.split()), "--precision", precision)
    assert code == 1 and "error[CN106]" in err and "H1.bias" in err
    assert json.loads(out)["error"] == "CN106" if "--json" in line else "nan" not in out


def test_nothing_is_exported(broken: Path, cli: CommandLine, tmp_path: Path) -> None:
    for options in (["-o", "a.onnx"], ["-o", "a.pt2", "--format", "torch"], ["-o", "b.onnx", "--int8"]):
        code, _, err = cli("export", broken / "run", *options)
        assert code == 1 and "error[CN106]" in err and "H1.bias" in err, err
    assert not [*tmp_path.glob("*.onnx"), *tmp_path.glob("*.pt2"), *tmp_path.glob(".*part*")]


class Overflowing(nn.Module):
    """Logits that bfloat16 and float32 hold, and whose product does not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.flatten(1)[:, :3] + 1) * 1e30 * 1e30


def test_outputs_that_overflow_are_named() -> None:
    preprocess = Preprocess(channels=1, image_size=4)
    predictor = Predictor(Overflowing(), preprocess, ("a", "b", "c"), torch.device("cpu"), "bfloat16")
    with pytest.raises(CheckFailed) as caught:
        finite(predictor.probabilities(np.zeros((2, 1, 4, 4), np.uint8)), predictor)
    assert caught.value.code == "CN106" and "too large for bfloat16" in caught.value.why
    assert caught.value.hints == ("--precision float32",)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_has_no_such_numbers(value: float) -> None:
    with pytest.raises(CheckFailed) as caught:
        strict_json.dump({"a": [1.0, {"b": value}]})
    assert caught.value.code == "CN106" and caught.value.where == "a.1.b"
    assert json.loads(strict_json.dump(strict_json.without_nan({"a": (1.0, value)}))) == {"a": [1.0, None]}
    with pytest.raises(ValueError, match="is not a number in JSON"):
        strict_json.parse(json.dumps([value]))
