"""Every network of the registry: its counts, its layers, its image size, its card."""

from __future__ import annotations

import inspect
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.api.networks import layers
from classicnets.models import registry
from classicnets.models.layers import RBFOutput, TableConv2d
from classicnets.models.registry import NETS
from support.typed import layer_of, present

COUNTS = json.loads((Path(__file__).parent / "counts.json").read_text())
CARDS = Path(cn.__file__).parent / "models" / "cards"
HEAVY = {name for name, entry in NETS.items() if entry.macs > 100_000_000}
# Small images on which the large networks run fast; torchvision's adaptive pooling needs its own size.
SMALL = {**dict.fromkeys(HEAVY, 67), "alexnet_torchvision": 224, "vgg16": 32}
MOST_CLASSES = {"lenet5_1998": 10}  # there are codes for ten digits
FULLY_CONVOLUTIONAL = {"lenet5_1998"}  # a larger image gives a map of outputs
PUBLISHED_CONNECTIONS = {"lenet_1989": 64_660, "lenet1_1990": 98_442, "lenet5_1998": 340_908}


def on_meta(name: str, **options: Any) -> nn.Module:
    """The network without weights, which is fast: only shapes are needed."""
    with torch.device("meta"):
        return cn.create(name, **options)


def as_published(name: str, **options: int) -> nn.Sequential:
    """The network from its builder, without the guard of its size."""
    net = NETS[name].load()(**options)
    assert isinstance(net, nn.Sequential)
    return net


@pytest.mark.parametrize("name", NETS)
def test_registry_counts_equal_the_network(name: str) -> None:
    entry = NETS[name]
    _, table = layers(name)
    assert (table.parameters, table.macs, table.units) == (entry.parameters, entry.macs, entry.units)
    assert table.input_shape == entry.input
    assert table.output_shape == (entry.classes,)


@pytest.mark.parametrize("name", COUNTS)
def test_every_layer_equals_the_fact_sheet(name: str) -> None:
    facts = COUNTS[name]
    _, table = layers(name)
    rows = {row.name: row for row in table.rows}
    for layer in facts["layers"]:
        row = rows[layer["name"]]
        assert list(row.outputs) == layer["out_shape"]
        assert row.groups == layer.get("groups") or row.groups is None
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


@pytest.mark.parametrize("name", PUBLISHED_CONNECTIONS)
def test_connections_equal_the_source(name: str) -> None:
    """Counted as in the 1990s: every use of a weight, and one bias for each unit that has one."""
    _, table = layers(name)
    connections = sum(row.macs + (row.units if row.biases else 0) for row in table.rows)
    assert connections == PUBLISHED_CONNECTIONS[name] == NETS[name].connections
    assert connections == COUNTS[name]["totals"]["connections"]


def test_registry_has_only_published_connections() -> None:
    assert {name for name, entry in NETS.items() if entry.connections} == set(PUBLISHED_CONNECTIONS)


def test_mxnet_alexnet_has_more_parameters_at_227() -> None:
    _, table = layers("alexnet_mxnet", shape=(3, 227, 227))
    assert (table.parameters, table.macs, table.units) == (62_378_344, 1_135_256_096, 659_272)


@pytest.mark.parametrize("name", NETS)
def test_shapes_in_the_comments_are_right(name: str) -> None:
    _, table = layers(name)
    rows = {row.name: row.outputs for row in table.rows}
    source = inspect.getsource(NETS[name].load())
    comments = re.findall(r"^ +(\w+)=.*\),  # (\d+(?: x \d+)*)(?:$|:)", source, re.MULTILINE)
    assert comments
    for layer, shape in comments:
        assert rows[layer] == tuple(map(int, shape.split(" x "))), layer


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


@pytest.mark.parametrize(("name", "listing"), [("lenet_d2l", book_lenet), ("alexnet_d2l", book_alexnet)])
def test_equals_the_listing_of_the_book(name: str, listing: Callable[..., Any]) -> None:
    ours, book = cn.create(name), listing()
    book.load_state_dict(dict(zip(book.state_dict(), ours.state_dict().values(), strict=True)))
    torch.manual_seed(0)
    x = torch.rand(2, *NETS[name].input)
    assert torch.equal(ours.eval()(x), book.eval()(x))
    torch.manual_seed(1)
    trained = ours.train()(x)
    torch.manual_seed(1)
    assert torch.equal(trained, book.train()(x))  # dropout in the same places


@pytest.mark.parametrize("name", NETS)
def test_every_parameter_has_a_finite_gradient(name: str) -> None:
    channels, image_size, _ = NETS[name].input
    image_size = SMALL.get(name, image_size)
    net = cn.create(name, num_classes=10, image_size=image_size)
    net(torch.rand(2, channels, image_size, image_size)).logsumexp(1).sum().backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), key


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("classes", "channels", "larger"), [(3, 3, 0), (100, 1, 16)])
def test_creates_other_classes_channels_and_sizes(name: str, classes: int, channels: int, larger: int) -> None:
    image_size = NETS[name].input[1] + larger
    classes = min(classes, MOST_CLASSES.get(name, classes))
    device = "meta" if name in HEAVY else "cpu"
    with torch.device(device):
        net = cn.create(name, num_classes=classes, in_channels=channels, image_size=image_size)
        output = net(torch.rand(1, channels, image_size, image_size))
    assert output.shape[:2] == (1, classes)
    assert output.dim() == (4 if name in FULLY_CONVOLUTIONAL and larger else 2)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("change", [-1, 1, 3])
def test_rejects_any_other_image_size(name: str, change: int) -> None:
    channels, image_size, _ = NETS[name].input
    net = on_meta(name)
    with pytest.raises(cn.UsageError) as caught:
        net(torch.rand(1, channels, image_size + change, image_size + change, device="meta"))
    assert caught.value.code == "CN201"
    assert f"{image_size}x{image_size}" in str(caught.value) and f"{image_size + change}x{image_size + change}" in str(
        caught.value
    )


def test_create_rejects_an_impossible_size() -> None:
    with pytest.raises(cn.UsageError) as caught:
        cn.create("alexnet_d2l", image_size=32)
    assert "pool" in caught.value.where
    assert "nn.Linear" not in str(caught.value.hints[0])


@pytest.mark.parametrize(
    ("name", "image_size"), [("alexnet_2012", 31), ("caffenet", 31), ("vgg16", 31), ("alexnet_torchvision", 64)]
)
def test_create_rejects_sizes_that_are_too_small(name: str, image_size: int) -> None:
    with pytest.raises(cn.UsageError) as caught:
        on_meta(name, image_size=image_size)
    assert caught.value.code == "CN201" and "pool" in caught.value.where


def test_suggests_the_nearest_name() -> None:
    with pytest.raises(cn.UsageError) as caught:
        cn.create("lenet_d21")
    assert caught.value.code == "CN202" and "did you mean lenet_d2l?" in caught.value.what


def test_our_own_network_is_marked_and_small() -> None:
    for name, entry in NETS.items():
        if entry.ours:
            assert entry.title.startswith("Our own network"), name
            assert "Our own network" in (entry.load().__doc__ or "")
    assert NETS["alexnet_28"].parameters < 5_000_000
    assert 22_000_000 < NETS["alexnet_28"].macs < 30_000_000


# ------------------------------------------------------------------------------------------------------ Bell Labs


def test_lenet_1989_pads_with_minus_one() -> None:
    net = as_published("lenet_1989")
    first, second = layer_of(net, "H1", TableConv2d), layer_of(net, "H2", TableConv2d)
    with torch.no_grad():
        sums = first(torch.full((1, 1, 16, 16), -1.0)) - first.bias
    assert first.bias.shape == (12, 8, 8) and second.bias.shape == (12, 4, 4)
    torch.testing.assert_close(sums, sums[:, :, :1, :1].expand_as(sums))


def test_lenet_1989_rejects_other_sizes() -> None:
    with pytest.raises(ValueError, match="8x8 units"):
        as_published("lenet_1989")(torch.rand(1, 1, 20, 20))


@pytest.mark.parametrize(
    ("name", "layer", "pairs", "reads", "read_by"),
    [
        ("lenet_1989", "H2", 96, {8}, {8}),
        ("lenet1_1990", "H3", 20, {1, 2}, {5}),
        ("lenet5_1998", "C3", 60, {3, 4, 6}, {10}),
    ],
)
def test_connection_tables_have_the_published_pairs(
    name: str, layer: str, pairs: int, reads: set[int], read_by: set[int]
) -> None:
    table = layer_of(as_published(name), layer, TableConv2d).table
    inputs = [channel for row in table for channel in row]
    assert len(inputs) == pairs
    assert {len(row) for row in table} == reads
    assert {inputs.count(channel) for channel in inputs} == read_by


def test_lenet1_has_separate_halves_before_the_output() -> None:
    table = layer_of(as_published("lenet1_1990"), "H3", TableConv2d).table
    for row in table[:6]:
        assert set(row) <= {0, 1}
    for row in table[6:]:
        assert set(row) <= {2, 3}


def test_lenet5_trains_60_000_parameters_and_no_codes() -> None:
    net = as_published("lenet5_1998")
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 60_000
    assert sum(p.numel() for p in net.parameters()) == 60_000
    output = layer_of(net, "RBF", RBFOutput)
    codes = output.codes
    assert codes.shape == (10, 84) and set(codes.unique().tolist()) == {-1.0, 1.0}
    outputs = output(codes)
    assert torch.equal(outputs.argmax(1), torch.arange(10)) and not outputs.diagonal().any()
    assert outputs.fill_diagonal_(-1000).max() <= -4 * 8  # any two digits differ in at least eight pixels


def test_lenet5_codes_are_images_of_digits() -> None:
    seven = layer_of(as_published("lenet5_1998"), "RBF", RBFOutput).codes[7].reshape(12, 7)
    assert ["".join(".#"[int(pixel > 0)] for pixel in row) for row in seven] == [
        "#######", ".....##", ".....##", "....##.", "...##..", "...##..",
        "..##...", "..##...", "..##...", "..##...", ".......", ".......",
    ]  # fmt: skip


def test_lenet5_gives_a_map_of_outputs_for_a_larger_image() -> None:
    torch.manual_seed(0)
    net = as_published("lenet5_1998").eval()
    image = torch.rand(2, 1, 40, 44) * 1.275 - 0.1
    with torch.no_grad():
        outputs = net(image)
        assert outputs.shape == (2, 10, 3, 4)
        for i, j in itertools.product(range(3), range(4)):
            crop = image[:, :, 4 * i : 4 * i + 32, 4 * j : 4 * j + 32]
            torch.testing.assert_close(outputs[:, :, i, j], net(crop))
    assert outputs.std(dim=(2, 3)).min() > 1e-3  # the positions differ


def test_lenet_32_equals_the_lenet_of_the_book_on_a_padded_image() -> None:
    notes, book = as_published("lenet_32"), as_published("lenet_d2l")
    notes.load_state_dict(book.state_dict())
    x = torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(notes(nn.functional.pad(x, (2, 2, 2, 2))), book(x))


def test_lenet5_rejects_more_than_ten_classes() -> None:
    with pytest.raises(ValueError, match="10 digits"):
        as_published("lenet5_1998", num_classes=11)


# ------------------------------------------------------------------------------------------------- AlexNet's family


def mean_free_images(image_size: int) -> torch.Tensor:
    """Values of 0-255 minus the mean; in 0-1, the sums of squares in LRN would be negligible beside k."""
    return torch.rand(6, 3, image_size, image_size) * 255 - 127.5


def test_alexnets_with_equal_parameters_differ() -> None:
    names = ["alexnet_2012", "alexnet_2012_code", "alexnet_caffe", "caffenet"]
    assert {NETS[name].parameters for name in names} == {60_965_224}
    torch.manual_seed(0)
    weights = as_published(names[0], num_classes=10, image_size=67).state_dict()
    images, outputs = mean_free_images(67), {}
    for name in names:
        net = as_published(name, num_classes=10, image_size=67).eval()
        net.load_state_dict(weights)
        with torch.no_grad():
            outputs[name] = net(images)
    for a, b in itertools.combinations(names, 2):
        spread = outputs[a].std(dim=0).mean()
        assert (outputs[a] - outputs[b]).abs().mean() > 0.05 * spread, (a, b)


def conv1_halves_read_by(net: nn.Sequential, layer: str, channels: slice) -> list[bool]:
    """For each half of conv1's channels, whether it influences these channels of a later layer."""
    names = [name for name, _ in net.named_children()]
    net[: names.index(layer) + 1](mean_free_images(67))[:, channels].square().sum().backward()
    gradient = present(layer_of(net, "conv1", nn.Conv2d).weight.grad)
    return [bool(half.any()) for half in gradient.chunk(2)]


@pytest.mark.parametrize("name", ["alexnet_2012", "alexnet_2012_code", "alexnet_2012_plain_pooling"])
def test_towers_are_separate_before_conv3(name: str) -> None:
    def net() -> nn.Sequential:
        return as_published(name, image_size=67)

    assert conv1_halves_read_by(net(), "pool2", slice(0, 128)) == [True, False]
    assert conv1_halves_read_by(net(), "pool2", slice(128, 256)) == [False, True]
    assert conv1_halves_read_by(net(), "conv3", slice(0, 192)) == [True, True]
    assert [layer_of(net(), name, nn.Conv2d).groups for name in ("conv4", "conv5")] == [2, 2]


@pytest.mark.parametrize("name", ["alexnet_caffe", "caffenet"])
def test_caffe_normalizes_across_the_towers(name: str) -> None:
    net = as_published(name, image_size=67)
    assert layer_of(net, "conv2", nn.Conv2d).groups == 2
    assert conv1_halves_read_by(net, "conv2", slice(0, 128)) == [True, True]


def test_border_of_alexnet_2012_completes_the_last_window() -> None:
    for image_size, overhang in [(224, 3), (227, 0), (225, 2), (67, 0)]:
        with torch.device("meta"):
            net = as_published("alexnet_2012", image_size=image_size)
        image = torch.rand(1, 3, 32, 32)
        bordered = net.get_submodule("border")(image)
        assert bordered.shape[2:] == (32 + overhang, 32 + overhang)
        assert torch.equal(bordered[:, :, :32, :32], image)
        assert not bordered[:, :, 32:].any() and not bordered[:, :, :, 32:].any()


def test_torchvision_alexnet_has_the_state_dict_of_torchvision() -> None:
    with torch.device("meta"):
        state = as_published("alexnet_torchvision").state_dict()
    weights = {
        "features.0": (64, 3, 11, 11), "features.3": (192, 64, 5, 5), "features.6": (384, 192, 3, 3),
        "features.8": (256, 384, 3, 3), "features.10": (256, 256, 3, 3),
        "classifier.1": (4096, 9216), "classifier.4": (4096, 4096), "classifier.6": (1000, 4096),
    }  # fmt: skip
    expected = {f"{name}.weight": shape for name, shape in weights.items()}
    expected |= {f"{name}.bias": shape[:1] for name, shape in weights.items()}
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected


def test_torchvision_pooling_keeps_224_and_rejects_smaller_inputs() -> None:
    with torch.device("meta"):
        pool = as_published("alexnet_torchvision").get_submodule("avgpool")
    maps = torch.rand(1, 4, 6, 6)
    assert torch.equal(pool(maps), maps)
    assert pool(torch.rand(1, 4, 9, 7)).shape == (1, 4, 6, 6)
    with pytest.raises(ValueError, match="copy pixels"):
        pool(torch.rand(1, 4, 6, 5))


# --------------------------------------------------------------------------------------------------- registry, cards


def test_evidence_is_one_of_four_kinds() -> None:
    for name, entry in NETS.items():
        assert set(entry.proven) <= {"framework", "reference", "counts", "trained"}, name
        assert ("counts" in entry.proven) == (name in COUNTS), name
        assert entry.builder.endswith(f":{name}")


HEADINGS = {
    "en": ["## As published", "## Differences", "## Assumptions", "## Reported results", "## How it is tested"],
    "zh": ["## 原始设定", "## 差异", "## 假设", "## 已发表的结果", "## 如何验证"],
}


@pytest.mark.parametrize("language", HEADINGS)
@pytest.mark.parametrize("name", NETS)
def test_every_network_has_a_card(name: str, language: str) -> None:
    lines = registry.card(name, language).splitlines()
    assert lines[0] == f"# {name}" and lines[1] == "" and lines[2].strip() and lines[3] == ""
    assert [line for line in lines if line.startswith("#")] == [f"# {name}", *HEADINGS[language]]
    for heading in HEADINGS[language]:
        at = lines.index(heading)
        assert any(line.strip() for line in lines[at + 1 : at + 3]), heading


def test_every_card_has_a_network() -> None:
    for folder in (CARDS, CARDS / "zh"):
        assert {path.stem for path in folder.glob("*.md")} == set(NETS)


@pytest.mark.parametrize("name", NETS)
def test_a_card_states_the_same_in_both_languages(name: str) -> None:
    english, chinese = registry.card(name), registry.card(name, "zh")
    for pattern in (
        r"\d[\d,.]*(?<![.,])",  # numbers
        r"`[^`]+`",
        r"\b[\w-]+(?:/[\w-]+)+\b",  # repositories and files
        r"[±†]",
        r"^- ",
    ):
        found = [sorted(re.findall(pattern, text, re.ASCII | re.MULTILINE)) for text in (english, chinese)]
        assert found[0] == found[1], pattern
    assert not re.search(r"[一-鿿][,;:?!()]|[()][一-鿿]|[一-鿿]\.(?!\w)|[一-鿿][\w`]|[\w`%][一-鿿]", chinese, re.ASCII)
