"""`examples/plain_torch.py`, which is read first, computes what `classicnets train lenet_d2l` computes."""

from __future__ import annotations

import ast
from pathlib import Path

import plain_torch
import pytest
import torch

import classicnets as cn
from classicnets.events import Epoch
from classicnets.recipes import d2l
from classicnets.runs import history
from support.idx import make_idx_folder


def test_plain_torch_has_the_losses_of_our_training_to_the_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    # two full batches and a smaller one
    folder = make_idx_folder(tmp_path / "data", train=600, test=100)
    ours = cn.train("lenet_d2l", data=str(folder), epochs=3, seed=0, device="cpu", precision="float32", quiet=True)
    epochs = [event for event in history.read(ours.folder.history) if isinstance(event, Epoch)]
    expected = [(epoch.loss, epoch.accuracy, epoch.test_accuracy) for epoch in epochs]
    assert plain_torch.train(folder, epochs=3) == expected
    assert capsys.readouterr().out.count("epoch ") == 3


def test_plain_torch_has_the_settings_of_the_recipe() -> None:
    recipe = d2l.LENET
    assert (plain_torch.epochs, plain_torch.batch_size, plain_torch.lr) == (recipe.epochs, recipe.batch_size, recipe.lr)


def test_plain_torch_needs_only_torch() -> None:
    tree = ast.parse(Path(plain_torch.__file__).read_text(encoding="utf-8"))
    modules = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"gzip", "hashlib", "sys", "pathlib", "torch", "torch.nn"}
