"""Initialization: statistics of every layer under every scheme, and networks that a scheme does not fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.errors import UsageError
from classicnets.models.layers import LocalConv2d, Subsampling, TableConv2d
from classicnets.recipes import rules
from classicnets.training.initialize import check, initialize
from support.command_line import CommandLine

ALL = rules.CHOICES["initialize"]
BY_POSITION = [
    scheme
    for scheme in ALL
    if scheme.startswith(("krizhevsky", "cuda_convnet")) or scheme.endswith(("alexnet", "caffenet"))
]
TABLE = [[0], [0, 1], [0, 1, 2], [2, 3], [0, 1, 2, 3], [3]] * 4  # 52 pairs; map 0 is read by 12 of 24


class Mixed(nn.Module):
    """All kinds of layers, with different fans and with names that do not tell their kind."""

    def __init__(self) -> None:
        super().__init__()
        self.normal = nn.BatchNorm2d(3)
        self.bias = nn.Conv2d(6, 40, 3, groups=2)
        self.table = TableConv2d(4, 24, 5, TABLE)
        self.units = TableConv2d(4, 24, 5, TABLE, unit_bias=(3, 3))
        self.inside = nn.Sequential(Subsampling(5), LocalConv2d(4, 8, 3, size=6), nn.Linear(50, 70, bias=False))
        self.last = nn.Linear(200, 100)


def five_and_three() -> nn.Module:
    """The dense layers are registered first, because positions are counted for each kind of layer."""
    net = nn.Module()
    net.out = nn.ModuleList([nn.Linear(90, 80), nn.Linear(80, 70), nn.Linear(70, 60)])
    net.maps = nn.ModuleList([nn.Conv2d(3, 30, 5), *(nn.Conv2d(30, 30, 3, groups=g) for g in (1, 2, 1, 2))])
    return net


def parts(net: nn.Module) -> list[tuple[torch.Tensor, int, int, Any]]:
    """Weights with fan-in and fan-out, computed from their definition."""
    result: list[tuple[torch.Tensor, int, int, Any]] = []
    for layer in net.modules():
        if isinstance(layer, TableConv2d):
            pairs = [(j, i) for j, maps in enumerate(layer.table) for i in maps]
            for kernel, (j, i) in zip(layer.weight, pairs, strict=True):
                into, out = sum(p[0] == j for p in pairs), sum(p[1] == i for p in pairs)
                result.append((kernel, 25 * into, 25 * out, layer))
        elif isinstance(layer, LocalConv2d):
            result.append((layer.weight, 4 * 9, 8 * 9, layer))
        elif isinstance(layer, nn.Conv2d):
            area = math.prod(layer.kernel_size)
            # torch's fan-out of a grouped convolution leaves the groups out; xavier is torch's
            result.append((layer.weight, layer.in_channels // layer.groups * area, layer.out_channels * area, layer))
        elif isinstance(layer, nn.Linear):
            result.append((layer.weight, layer.in_features, layer.out_features, layer))
    return result


def check_uniform(pieces: list[tuple[torch.Tensor, float]]) -> None:
    """Values lie within the bounds, reach them, and have the right variance."""
    scaled = torch.cat([weight.detach().double().flatten() / bound for weight, bound in pieces])
    assert scaled.abs().max() <= 1 + 1e-6 and scaled.max() > 0.98 and scaled.min() < -0.98
    n = len(scaled)
    assert abs(scaled.mean()) < 3 / math.sqrt(3 * n)
    assert abs(scaled.square().mean() - 1 / 3) < 3 * math.sqrt(4 / 45 / n)  # the variance of x^2 is 1/5 - 1/9


def check_normal(weight: torch.Tensor, sd: float) -> None:
    n, values = weight.numel(), weight.detach().double()
    assert abs(values.mean()) < 3 * sd / math.sqrt(n)
    assert abs(values.std() - sd) < 3 * sd / math.sqrt(2 * n)


@pytest.mark.parametrize(
    ("scheme", "bound"),
    [
        ("xavier_uniform", lambda fan_in, fan_out: math.sqrt(6 / (fan_in + fan_out))),
        ("xavier_uniform_zero_bias", lambda fan_in, fan_out: math.sqrt(6 / (fan_in + fan_out))),
        ("caffe_xavier", lambda fan_in, fan_out: math.sqrt(3 / fan_in)),
        ("lecun1998", lambda fan_in, fan_out: 2.4 / fan_in),
    ],
)
def test_uniform_schemes(scheme: str, bound: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    net = Mixed()
    before = [layer.bias.clone() for *_, layer in parts(net) if layer.bias is not None]
    initialize(net, scheme)
    by_layer: dict[nn.Module, list[tuple[torch.Tensor, float]]] = {}
    for weight, fan_in, fan_out, layer in parts(net):
        by_layer.setdefault(layer, []).append((weight, bound(fan_in, fan_out)))
    for pieces in by_layer.values():
        check_uniform(pieces)
    biases = [layer.bias for *_, layer in parts(net) if layer.bias is not None]
    for bias, old in zip(biases, before, strict=True):
        assert torch.equal(bias, old) if scheme == "xavier_uniform" else not bias.any()


def test_normal_scheme() -> None:
    torch.manual_seed(0)
    net = Mixed()
    initialize(net, "normal")
    layers: list[Any] = [net.bias, net.table, net.units, net.inside[1], net.inside[2], net.last]
    for layer in layers:
        check_normal(layer.weight, 0.01)
        assert layer.bias is None or not layer.bias.any()


CODE = (0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01)
CAFFE = (0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.01)
FACTS = {
    "krizhevsky2012": ((0.01,) * 8, (0, 1, 0, 1, 1, 1, 1, 0)),
    "krizhevsky2012_code": (CODE, (0, 1, 0, 1, 1, 1, 1, 0)),
    "krizhevsky2014": (CODE, (0, 1, 0, 1, 1, 1, 1, -7)),
    "caffe_alexnet": (CAFFE, (0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0)),
    "caffe_caffenet": (CAFFE, (0, 1, 0, 1, 1, 1, 1, 0)),
    "cuda_convnet_26pct": ((1e-4, 0.01, 0.01, 0.1, 0.1), (0,) * 5),
    "cuda_convnet_18pct": ((1e-4, 0.01, 0.01, 0.01), (0,) * 4),
    "cuda_convnet_13pct": ((1e-4, 0.01, 0.04, 0.04, 0.01), (0,) * 5),
}
FITS: list[tuple[str, Callable[[], nn.Module]]] = [
    (scheme, make)
    for scheme in FACTS
    if "cuda" not in scheme
    for make in (five_and_three, lambda: cn.create("alexnet_28"))
]
FITS += [(f"cuda_convnet_{n}", partial(cn.create, f"cifar10_{n}")) for n in ("26pct", "18pct", "13pct")]
FITS += [("cuda_convnet_13pct", lambda: cn.create("cifar10_11pct"))]


def test_every_scheme_by_position_has_expected_values() -> None:
    assert set(BY_POSITION) == set(FACTS) == {scheme for scheme, _ in FITS}


@pytest.mark.parametrize(("scheme", "make"), FITS)
def test_schemes_by_position(scheme: str, make: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    net = make()
    initialize(net, scheme)
    layers: list[Any] = [m for m in net.modules() if isinstance(m, nn.Conv2d | LocalConv2d)]
    layers += [m for m in net.modules() if type(m) is nn.Linear]
    for layer, sd, bias in zip(layers, *FACTS[scheme], strict=True):
        check_normal(layer.weight, sd)
        assert layer.bias is None or torch.equal(layer.bias, torch.full_like(layer.bias, bias))


def made_for(scheme: str) -> nn.Module:
    return next((make() for name, make in FITS if name == scheme), five_and_three())


@pytest.mark.parametrize("scheme", ALL)
def test_other_layers_are_not_changed(scheme: str) -> None:
    net = nn.Sequential(made_for(scheme), nn.BatchNorm1d(3), Subsampling(2), nn.PReLU(), nn.Embedding(4, 2))
    original = [p.clone() for p in net[1:].parameters()]
    initialize(net, scheme)
    assert all(torch.equal(a, b) for a, b in zip(original, net[1:].parameters(), strict=True))


def test_xavier_equals_torch_bit_for_bit() -> None:
    ours, theirs = five_and_three(), five_and_three()
    torch.manual_seed(1)
    initialize(ours, "xavier_uniform")
    torch.manual_seed(1)
    for layer in theirs.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=False) if a.dim() > 1)


@pytest.mark.parametrize("scheme", BY_POSITION)
def test_rejects_a_network_with_other_layers_without_changing_it(scheme: str, cli: CommandLine, blobs: Path) -> None:
    net = cn.create("lenet_d2l")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(UsageError, match="does not fit the network") as caught:
        initialize(net, scheme)
    assert caught.value.code == "CN204" and "the network has 2 and 3" in caught.value.why
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    code, _, err = cli("train", "lenet_d2l", "--data", blobs, "--set", f"initialize={scheme}", "--dry-run")
    assert code == 2 and "the network has 2 and 3" in err


def test_rejects_networks_without_weights() -> None:
    for net, words in ((nn.Flatten(), "no convolution"), (nn.LazyLinear(3), "a lazy layer")):
        check(net, "as_built")
        with pytest.raises(UsageError) as caught:
            check(net, "normal")
        assert words in caught.value.why
