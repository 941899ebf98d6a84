"""The source of networks: the same layers, names and outputs as the network, laid out as ruff does."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from classicnets.api.source import source
from classicnets.errors import UsageError
from classicnets.inspection.listing import listing
from classicnets.inspection.shapes import trace
from classicnets.models.registry import NETS
from classicnets.runs import net_spec
from support.networks import is_large, small_input

VARIATIONS: list[tuple[str, dict[str, Any]]] = [
    ("lenet_d2l", {"activation": "relu", "pool": "max", "norm": "batch_after"}),
    ("lenet_d2l", {"activation": "prelu", "width": 0.5}),
    ("lenet_d2l", {"activation": "scaled_tanh", "dropout": 0.3}),
    ("lenet_d2l", {"dropconnect": 0.5, "norm": "batch"}),
    ("lenet5_1998", {"activation": "leaky_relu", "pool": "average"}),
    ("cifar10_11pct", {"norm": "none", "width": 0.25}),
    ("alexnet_28", {"norm": "lrn", "dropout": 0}),
    ("alexnet_torchvision", {"norm": "batch", "width": 0.1}),
    ("lenet_d2l", {"output": 'a "b" \\ c'}),
]


def network_in(code: str) -> nn.Module:
    """What `net` is after the code has run."""
    names: dict[str, Any] = {}
    exec(compile(code, "my_net.py", "exec"), names)
    net = names["net"]
    assert isinstance(net, nn.Module)
    return net


def built(name: str, shape: tuple[int, ...], variation: dict[str, Any]) -> nn.Module:
    spec = net_spec.with_variation(net_spec.find(name), variation)
    size: dict[str, Any] = {"num_classes": NETS[name].classes, "in_channels": shape[0], "image_size": shape[1]}
    return replace(spec, **size).build()


def shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()}


@pytest.mark.parametrize("name", NETS)
def test_source_has_the_layers_of_the_network(name: str) -> None:
    """At its own input size, without data; `str` has every setting of every layer, and a name that is not ours."""
    title, code = source(name)
    with torch.device("meta"):
        net, original = network_in(code), built(name, NETS[name].input, {})
    assert title == name and str(net) == str(original)
    assert shapes(net) == shapes(original) and list(net.state_dict()) == list(original.state_dict())
    lines = code.splitlines()
    assert lines[0] == f'"""{NETS[name].title}.' and max(map(len, lines)) <= 120
    assert f"{NETS[name].parameters:,} parameters" in code and " ".join(NETS[name].source.split()) in " ".join(lines)


@pytest.mark.parametrize(("name", "variation"), [*((name, {}) for name in NETS), *VARIATIONS])
def test_source_computes_the_same_outputs(name: str, variation: dict[str, Any]) -> None:
    """With weights of the same seed, and with those that are loaded; large networks are narrower here."""
    if is_large(name):
        variation = {"width": 0.05, **variation}
    shape = small_input(name)
    torch.manual_seed(0)
    original = built(name, shape, variation).eval()
    net = network_in(source(name, shape=shape, variation=variation)[1]).eval()
    for (
        key,
        buffer,
    ) in net.named_buffers():  # constants such as codes are those of the network before weights are loaded
        assert torch.equal(buffer, original.get_buffer(key))
    net.load_state_dict(original.state_dict(), strict=True)
    x = torch.randn(1, *shape)
    with torch.no_grad():
        assert torch.equal(net(x), original(x))


def test_a_seed_gives_the_source_the_weights_of_the_network() -> None:
    torch.manual_seed(3)
    original = built("lenet5_1998", (1, 32, 32), {})
    code = source("lenet5_1998")[1]
    torch.manual_seed(3)
    net = network_in(code)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), original.parameters(), strict=True))


def test_source_is_laid_out_as_ruff_does(tmp_path: Path) -> None:
    pytest.importorskip("ruff")
    for i, (name, variation) in enumerate([*((name, {}) for name in NETS), *VARIATIONS]):
        (tmp_path / f"{name}_{i}.py").write_text(source(name, variation=variation)[1], encoding="utf-8")
    for check in (["format", "--check"], ["check", "--select", "E,W,F,I"]):
        command = [sys.executable, "-m", "ruff", *check, "--isolated", "--no-cache", "--line-length", "120"]
        process = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path)
        assert process.returncode == 0, process.stdout + process.stderr


def test_source_shows_sizes_where_they_come_from() -> None:
    code = source("lenet_d2l", num_classes=3)[1]
    assert "conv1=nn.Conv2d(1, 6, kernel_size=5, padding=2),  # 6 x 28 x 28" in code
    assert "fc1=nn.Linear(16 * 5 * 5, 120),  # 120" in code and "fc3=nn.Linear(84, 3),  # 3" in code
    assert "classicnets.models" not in code  # torch has all of its layers
    assert "classicnets show my_net.py:net\n" in code and "--input" not in code
    assert "classicnets show my_net.py:net --input 3x224x224\n" in source("vgg16")[1]


def test_a_layer_of_another_library_is_named() -> None:
    class Own(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    net = nn.Sequential(Own())
    with pytest.raises(ValueError, match="Own is neither"):
        listing(net, trace(net, (1, 4, 4)), ["Title."], [])


def test_a_network_of_ones_own_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n")
    with pytest.raises(UsageError, match="only the networks") as caught:
        source(f"{path}:net")
    assert caught.value.code == "CN206" and f"classicnets show {path}:net" in caught.value.hints
