"""Deterministic mode: every network trains in it; a run reports and records it, and restores the mode."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import classicnets as cn
from classicnets import machine
from classicnets.models.registry import NETS
from classicnets.training import loop
from support.command_line import CommandLine
from support.networks import is_large, small_input
from support.typed import gradients_of


def step(net: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Outputs and gradients of one step in training mode, with the same random numbers for dropout."""
    torch.manual_seed(1)
    net.zero_grad()
    y = net(x)
    F.cross_entropy(y, torch.tensor([0, 7])).backward()
    return y.detach(), [gradient.clone() for gradient in gradients_of(net)]


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if is_large(n) else n for n in NETS])
def test_every_network_trains_reproducibly_in_deterministic_mode(name: str) -> None:
    channels, side, _ = small_input(name)
    torch.manual_seed(0)
    net = cn.create(name, num_classes=10, image_size=side)
    x = torch.randn(2, channels, side, side)
    with machine.deterministic(True):
        (first, gradients), (second, again) = step(net, x), step(net, x)
    assert torch.equal(first, second) and first.isfinite().all() and first.var() > 0
    assert all(map(torch.equal, gradients, again))
    assert any(gradient.any() for gradient in gradients)
    if any(isinstance(layer, nn.Dropout) for layer in net.modules()):
        torch.manual_seed(2)
        assert not torch.equal(net(x), first)


@pytest.mark.parametrize(("on", "warn_only"), [(False, False), (True, False), (True, True)])
def test_restores_the_mode(on: bool, warn_only: bool) -> None:
    def mode() -> tuple[bool, bool]:
        return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()

    torch.use_deterministic_algorithms(on, warn_only=warn_only)
    try:
        with machine.deterministic(False):
            assert mode() == (on, warn_only)
        with pytest.raises(ZeroDivisionError), machine.deterministic(True):
            assert mode() == (True, False)
            raise ZeroDivisionError
        assert mode() == (on, warn_only)
    finally:
        torch.use_deterministic_algorithms(False)


class Watched(nn.Sequential):
    """A network that records the mode of each call, and can use a nondeterministic operation."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
        self.modes: list[bool] = []
        self.workspaces: set[str | None] = set()
        self.refused = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type != "meta":
            self.workspaces.add(os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
        if x.device.type != "meta" and self.training:
            self.modes.append(torch.are_deterministic_algorithms_enabled())
            if self.refused:
                torch.zeros(4).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))
        for layer in self:
            x = layer(x)
        return x


def test_a_run_is_deterministic_only_while_it_trains(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")  # and after the test it is as it was
    net = Watched()
    run = cn.train(net, data=str(blobs), recipe="fast", epochs=1, limit=64, quiet=True, deterministic=True)
    assert net.modes and all(net.modes)
    assert net.workspaces == {":4096:8"}  # cuBLAS looks for it once, at its first use
    assert not torch.are_deterministic_algorithms_enabled()
    assert run.facts["deterministic"] is True
    net.modes.clear()
    assert cn.train(net, data=str(blobs), epochs=1, limit=64, quiet=True).facts["deterministic"] is False
    assert net.modes and not any(net.modes)


def test_rejects_nondeterministic_operations_and_restores_the_mode(blobs: Path) -> None:
    net = Watched()
    net.refused = True
    cn.train(net, data=str(blobs), epochs=1, limit=64, quiet=True)  # it does no harm otherwise
    with pytest.raises(RuntimeError, match="deterministic"):
        cn.train(net, data=str(blobs), epochs=1, limit=64, quiet=True, deterministic=True)
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_command_reports_the_mode_and_resuming_keeps_it(
    blobs: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    mode = torch.use_deterministic_algorithms

    def record(*arguments: Any, **options: Any) -> None:
        calls.append((arguments, options))
        mode(*arguments, **options)

    monkeypatch.setattr(torch, "use_deterministic_algorithms", record)
    train = ["train", "lenet_d2l", "--data", blobs, "--limit", 64, "--set", "epochs=1"]
    _, _, err = cli(*train)
    assert "deterministic" not in err and not any(a == (True,) or k.get("mode") is True for a, k in calls)
    code, _, err = cli(*train, "--deterministic")
    assert code == 0 and "seed 0, only deterministic algorithms" in err
    assert any(a == (True,) or k.get("mode") is True for a, k in calls)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "take_step", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            cli(*train, "--deterministic")
    assert not torch.are_deterministic_algorithms_enabled()
    calls.clear()
    code, _, err = cli("train", "--resume", "runs/lenet_d2l-blobs-3")
    assert code == 0 and "only deterministic algorithms" in err
    assert any(a == (True,) or k.get("mode") is True for a, k in calls)
    assert json.loads(Path("runs/lenet_d2l-blobs-3/run.json").read_text())["deterministic"] is True
