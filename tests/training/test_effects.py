"""Settings of a recipe whose effect needs a complete run: class weights and bfloat16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import classicnets as cn
from support.command_line import CommandLine
from support.images import save
from support.typed import present


@pytest.fixture(scope="module")
def unbalanced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 8 x 8 grayscale images: 200 of a common and 10 of a rare class to train on, 50 of each to test.

    The rare ones are a little brighter on the left and darker on the right, which noise hides in part.
    """
    root = tmp_path_factory.mktemp("unbalanced") / "parts"
    generator = np.random.default_rng(0)
    side = np.where(np.arange(8) < 4, 1.0, -1.0)
    for split, counts in {"train": {"good": 200, "broken": 10}, "test": {"good": 50, "broken": 50}}.items():
        for name, count in counts.items():
            for i in range(count):
                pixels = 128 + generator.normal(0, 40, (8, 8)) + (12 * side if name == "broken" else 0)
                save(root / split / name / f"{i}.png", pixels.clip(0, 255).astype(np.uint8))
    return root


def test_class_weights_raise_the_recall_of_a_rare_class(unbalanced: Path) -> None:
    def recall(class_weights: str, seed: int) -> list[float]:
        torch.manual_seed(seed)
        net = nn.Sequential(nn.AvgPool2d((8, 4)), nn.Flatten(), nn.Linear(2, 2))
        run = cn.train(
            net, data=str(unbalanced), recipe="fast", class_weights=class_weights,
            epochs=20, batch_size=30, lr=0.3, weight_decay=0,
            validation=0, monitor="none", seed=seed, quiet=True,
        )  # fmt: skip
        assert run.facts["classes"] == ["broken", "good"]
        return [present(recall) for recall in run.evaluate().recall]

    plain, weighed = (np.array([recall(how, seed) for seed in range(2)]) for how in ("none", "auto"))
    assert (weighed[:, 0] > plain[:, 0] + 0.2).all()  # more of the broken ones, with every seed
    assert (weighed.mean(axis=1) > plain.mean(axis=1)).all()  # by more than good ones are lost


def test_a_bfloat16_run_saves_float32_and_is_close_to_a_float32_run(blobs: Path, cli: CommandLine) -> None:
    train = ["train", "lenet_caffe", "--recipe", "fast", "--data", blobs, "--set", "epochs=3", "batch_size=32"]
    code, _, err = cli(*train, "precision=float32")
    assert code == 0 and "float32" in err and "bfloat16" not in err
    code, _, err = cli(*train, "precision=bfloat16")
    assert code == 0 and "bfloat16, seed 0" in err and "changed: epochs=3, batch_size=32, precision=bfloat16" in err
    exact, rough = (cn.Run(f"runs/lenet_caffe-blobs-{k}") for k in (1, 2))
    assert rough.facts["recipe"]["precision"] == "bfloat16"
    for name in ("last.safetensors", "best.safetensors"):
        a, b = (load_file(run.path / name) for run in (exact, rough))
        assert a.keys() == b.keys()
        assert {t.dtype for t in b.values() if t.is_floating_point()} == {torch.float32}
        assert not torch.equal(a["net/conv1.weight"], b["net/conv1.weight"])
        difference = (a["net/ip1.weight"] - b["net/ip1.weight"]).norm() / a["net/ip1.weight"].norm()
        assert difference < 0.2
    assert exact.result is not None and rough.result is not None
    assert exact.result["test_accuracy"] > 0.9
    assert rough.result["test_accuracy"] == pytest.approx(exact.result["test_accuracy"], abs=0.03)
    assert rough.evaluate().accuracy == rough.result["test_accuracy"]
