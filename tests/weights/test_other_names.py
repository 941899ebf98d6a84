"""Weights under the names of other libraries are loaded into any network, layer by layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.errors import DataError
from classicnets.models.modules import unwrap
from classicnets.weights import mxnet_params
from classicnets.weights.load import load_weights


def own_net(classes: int = 4, channels: int = 3) -> nn.Sequential:
    """A network with layers of equal shapes, and more than nine of them."""
    layers: list[nn.Module] = [nn.Conv2d(channels, 8, 3, padding=1)]
    for _i in range(10):
        layers += [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 16, 16), nn.Linear(16, classes))


def write(net: nn.Module, path: Path) -> None:
    """The weights as a symbol of MXNet names them."""
    layers = [each for each in net.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    named = {}
    for i, layer in enumerate(layers):
        for own, parameter in layer.named_parameters():
            named[f"arg:layer{i}_{own}"] = parameter
    mxnet_params.write(named, path)


def test_layers_of_equal_shapes_are_paired_in_natural_order(tmp_path: Path) -> None:
    source, target = own_net(), own_net()
    write(source, tmp_path / "net.params")
    report = load_weights(tmp_path / "net.params", target)
    x = torch.rand(2, 3, 4, 4)
    assert torch.equal(source(x), target(x)) and not report.unused and not report.newly_initialized


def test_the_head_and_the_channels_may_differ(tmp_path: Path) -> None:
    source, target = own_net(), own_net(classes=7, channels=1)
    write(source, tmp_path / "net.params")
    head = target.state_dict()["23.weight"].clone()
    report = load_weights(tmp_path / "net.params", target)
    assert report.converted == ("0.weight",) and report.newly_initialized == ("23.weight", "23.bias")
    assert report.unused == ("layer12_weight", "layer12_bias")
    assert torch.equal(target.state_dict()["23.weight"], head)
    assert torch.equal(target.state_dict()["22.weight"], source.state_dict()["22.weight"])


def test_a_registry_network_takes_the_names_of_mxnet(tmp_path: Path) -> None:
    source, target = cn.create("lenet_d2l"), cn.create("lenet_d2l")
    write(source, tmp_path / "net.params")
    load_weights(tmp_path / "net.params", target)
    for name, tensor in unwrap(source).state_dict().items():
        assert torch.equal(unwrap(target).state_dict()[name], tensor)


def test_layers_without_one_partner_each_are_refused(tmp_path: Path) -> None:
    write(own_net()[:5], tmp_path / "net.params")
    with pytest.raises(DataError, match="do not fit the network"):
        load_weights(tmp_path / "net.params", own_net())
