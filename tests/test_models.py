"""Every net of the registry: its counts as facts, its layers as the sources have them, its one size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.api import layers
from classicnets.models.registry import NETS

COUNTS = json.loads((Path(__file__).parent / "counts.json").read_text())


@pytest.mark.parametrize("name", NETS)
def test_counts_of_the_registry_are_those_of_the_net(name):
    entry = NETS[name]
    _, table = layers(name)
    assert (table.parameters, table.macs, table.units) == (entry.parameters, entry.macs, entry.units)
    assert table.input_shape == entry.input
    assert table.output_shape == (entry.classes,)


@pytest.mark.parametrize("name", COUNTS)
def test_every_layer_agrees_with_the_fact_sheet_to_the_digit(name):
    facts = COUNTS[name]
    _, table = layers(name)
    rows = {row.name: row for row in table.rows}
    for layer in facts["layers"]:
        row = rows[layer["name"]]
        assert list(row.outputs) == layer["out_shape"]
        assert (row.weights, row.biases, row.macs) == (layer["weights"], layer["biases"], layer["macs"])
        assert row.units == layer.get("units", 0)
        for ours, theirs in (("kernel", "kernel"), ("stride", "stride"), ("padding", "pad")):
            if theirs in layer:
                assert getattr(row, ours) == (layer[theirs],) * 2
    totals = facts["totals"]
    assert (table.weights, table.biases, table.parameters) == (totals["weights"], totals["biases"], totals["params"])
    assert (table.macs, table.units, table.weight_bytes) == (
        totals["macs"],
        totals["units"],
        totals["fp32_param_bytes"],
    )


def book_lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2), nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )  # fmt: skip


def book_alexnet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 96, kernel_size=11, stride=4, padding=1), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(96, 256, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(256, 384, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Flatten(),
        nn.Linear(6400, 4096), nn.ReLU(), nn.Dropout(p=0.5),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(p=0.5),
        nn.Linear(4096, 10),
    )  # fmt: skip


@pytest.mark.parametrize(("name", "written_out"), [("lenet_d2l", book_lenet), ("alexnet_d2l", book_alexnet)])
def test_the_net_is_the_book_s_listing(name, written_out):
    ours, book = cn.create(name), written_out()
    book.load_state_dict(dict(zip(book.state_dict(), ours.state_dict().values(), strict=True)))
    torch.manual_seed(0)
    x = torch.rand(2, *NETS[name].input)
    assert torch.equal(ours.eval()(x), book.eval()(x))
    torch.manual_seed(1)
    trained = ours.train()(x)
    torch.manual_seed(1)
    assert torch.equal(trained, book.train()(x))  # dropout in the same places


@pytest.mark.parametrize("name", NETS)
def test_every_parameter_gets_a_finite_gradient(name):
    net = cn.create(name)
    net(torch.rand(2, *NETS[name].input)).logsumexp(1).sum().backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), key


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("classes", "channels", "larger"), [(3, 3, 0), (100, 1, 16)])
def test_classes_channels_and_size_are_asked_at_creation(name, classes, channels, larger):
    side = NETS[name].input[1] + larger
    net = cn.create(name, num_classes=classes, in_channels=channels, image_size=side)
    assert net(torch.rand(1, channels, side, side)).shape == (1, classes)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("change", [-1, 1, 3])
def test_a_net_refuses_any_size_but_its_own(name, change):
    channels, side, _ = NETS[name].input
    net = cn.create(name)
    with pytest.raises(cn.UsageError) as caught:
        net(torch.rand(1, channels, side + change, side + change))
    assert caught.value.code == "CN201"
    assert f"{side}x{side}" in str(caught.value) and f"{side + change}x{side + change}" in str(caught.value)


def test_an_impossible_size_is_refused_at_creation():
    with pytest.raises(cn.UsageError) as caught:
        cn.create("alexnet_d2l", image_size=32)
    assert "pool" in caught.value.where
    assert "nn.Linear" not in str(caught.value.hints[0])


def test_an_unknown_name_shows_the_nearest():
    with pytest.raises(cn.UsageError) as caught:
        cn.create("lenet_d21")
    assert caught.value.code == "CN202" and "lenet_d2l" in caught.value.hints


def test_ours_is_marked_as_ours_and_small():
    for name, entry in NETS.items():
        if entry.ours:
            assert entry.title.startswith("OURS"), name
            assert "OURS" in (entry.load().__doc__ or "")
    assert NETS["alexnet_28"].parameters < 5_000_000
    assert 22_000_000 < NETS["alexnet_28"].macs < 28_000_000
