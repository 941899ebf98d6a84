"""The figure of a network: complete, legible, reproducible, and equal to the layer table."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from classicnets.inspection.figure import svg
from classicnets.inspection.layout import Layout, layout
from classicnets.inspection.shapes import Table, trace
from classicnets.inspection.stages import stages
from classicnets.models.registry import NETS
from classicnets.text import shape as shape_text
from support.typed import present

C, P, R, L = nn.Conv2d, nn.MaxPool2d, nn.ReLU, nn.Linear


def towers() -> nn.Sequential:
    return nn.Sequential(
        C(3, 96, 11, 4, 2), R(), nn.LocalResponseNorm(5), P(3, 2),
        C(96, 256, 5, padding=2, groups=2), R(), nn.LocalResponseNorm(5), P(3, 2),
        C(256, 384, 3, padding=1), R(),
        C(384, 384, 3, padding=1, groups=2), R(), C(384, 256, 3, padding=1, groups=2), R(), P(3, 2),
        nn.Flatten(), L(9216, 4096), R(), nn.Dropout(), L(4096, 4096), R(), nn.Dropout(), L(4096, 1000),
    )  # fmt: skip


def vgg() -> nn.Sequential:
    layers, c = [], 3
    for n, out in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(n):
            layers += [C(c, out, 3, padding=1), R()]
            c = out
        layers.append(P(2, 2))
    return nn.Sequential(*layers, nn.Flatten(), L(25088, 4096), R(), nn.Dropout(), L(4096, 1000))


class Gate(nn.Module):
    """A custom layer that keeps the shape and has parameters."""

    kernel_size = "odd"

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(8, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.alpha


class Branches(nn.Module):
    """Two branches, operations outside layers, its own parameters, and a layer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(C(3, 8, 3, 2), nn.BatchNorm2d(8), R(), Gate())
        self.left, self.right = C(8, 4, 1), C(8, 4, 3, padding=1)
        self.scale, self.unused, self.head = nn.Parameter(torch.ones(1)), L(5, 5), L(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.cat([self.left(x), self.right(x)], 1) * self.scale
        return F.softmax(self.head(x.mean((2, 3))), 1).view(-1, 2, 5)


class Functional(nn.Module):
    """Activation and pooling in forward()."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = C(1, 4, 3), L(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc(F.max_pool2d(F.relu(self.conv(x)), 2).view(-1, 16)).view(-1, 2, 5)
        return x


CUSTOM = {
    "functional": (Functional, (1, 6, 6)),
    "towers": (towers, (3, 224, 224)),
    "vgg": (vgg, (3, 224, 224)),
    "mlp": (lambda: nn.Sequential(nn.Flatten(), L(784, 256), R(), L(256, 10), nn.LogSoftmax(1)), (1, 28, 28)),
    "vector": (lambda: nn.Sequential(L(20, 30), nn.Tanh(), L(30, 1), nn.Flatten(0)), (20,)),
    "branches": (Branches, (3, 33, 65)),
    "1-D": (lambda: nn.Sequential(nn.Conv1d(2, 16, 7, 2), nn.MaxPool1d(4), nn.Flatten(), L(576, 5)), (2, 300)),
    "3-D": (lambda: nn.Sequential(nn.Conv3d(1, 4, 3, dilation=2), nn.AdaptiveAvgPool3d(1), nn.Flatten()), (1, 9, 9, 9)),
    "300 pixels": (lambda: nn.Sequential(C(3, 4, 3, padding="same"), P(300), nn.Flatten(), L(4, 2)), (3, 300, 300)),
    "decoder": (
        lambda: nn.Sequential(L(10, 98), nn.Unflatten(1, (2, 7, 7)), nn.ConvTranspose2d(2, 1, 4, 2)), (10,)
    ),
    "long": (lambda: nn.Sequential(*(C(1, 1, 3, padding=1) for _ in range(70))), (1, 8, 8)),
    "one layer": (lambda: L(4, 2), (4,)),
    "nothing": (nn.Identity, (1, 5, 5)),
    "lstm": (lambda: nn.LSTM(4, 3, batch_first=True), (7, 4)),
    "depthwise": (lambda: nn.Sequential(C(2, 8, 1), C(8, 8, 3, groups=8), C(8, 8, 1)), (2, 9, 9)),
}  # fmt: skip
ALL = {name: (entry.load(), entry.input) for name, entry in NETS.items()} | CUSTOM


def built(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """The network, without values that would have to be initialized, and the shape of its input."""
    build, shape = ALL[name]
    with torch.device("meta"):
        return build(), shape


@pytest.fixture(params=ALL, scope="module")
def case(request: pytest.FixtureRequest) -> tuple[str, Table]:
    return request.param, trace(*built(request.param))


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def check_layout(placed: Layout) -> None:
    """Neither texts nor boxes overlap, and all are inside the figure."""
    texts = [(text.text, text.box) for text in placed.texts]
    for (name, a), (other, b) in itertools.combinations(texts, 2):
        assert not overlap(a, b), f"{name!r} over {other!r}"
    boxes = [(box.stage.label, (box.x, box.y, box.right, box.bottom)) for box in placed.boxes]
    for first, second in itertools.chain(itertools.product(texts, boxes), itertools.combinations(boxes, 2)):
        assert not overlap(first[1], second[1]), f"{first[0]!r} over {second[0]!r}"
    for what, (left, top, right, bottom) in texts + boxes:
        assert left >= 0 and top >= 0 and right <= placed.width and bottom <= placed.height, what


def words(text: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(text).iter() if element.tag.endswith("}text")]


def test_writes_the_same_svg_each_time(case: tuple[str, Table]) -> None:
    text = svg([case])
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert "nan" not in text and "inf" not in text
    assert svg([(case[0], trace(*built(case[0])))]) == text


def test_nothing_overlaps(case: tuple[str, Table]) -> None:
    check_layout(layout([case]))


def test_shows_every_row_and_every_shape(case: tuple[str, Table]) -> None:
    _, table = case
    text = svg([case])
    shown = " ".join(words(text))
    tooltips = "\n".join(e.text or "" for e in ET.fromstring(text).iter() if e.tag.endswith("}title"))
    for row in table.rows:
        if row.inputs or row.outputs:
            assert shape_text(row.outputs) in shown
            assert f"{row.name} {row.kind}: {shape_text(row.outputs)}, {row.parameters:,} parameters" in tooltips
        else:
            assert f"Not called: {row.name} ({row.kind}, {row.parameters:,} parameters)" in shown
    assert f"{table.parameters:,} parameters" in shown and shape_text(table.output_shape) in shown


def test_assigns_each_row_to_one_box(case: tuple[str, Table]) -> None:
    _, table = case
    drawn = [row for stage in stages(table) for row in stage.rows]
    called = [row for row in table.rows if row.inputs or row.outputs]
    assert sorted(map(repr, drawn)) == sorted(map(repr, called))


def test_heights_grow_with_size_and_units(case: tuple[str, Table]) -> None:
    other = trace(C(5, 7, 2), (5, 50, 40))
    boxes = layout([case, ("other", other)]).boxes
    for kind in (True, False):
        sizes = [(b.stage.volume[1] if b.stage.volume else max(b.stage.shape, default=1), b.height)
                 for b in boxes if bool(b.stage.volume) == kind]  # fmt: skip
        for (a, high), (b, low) in itertools.permutations(sizes, 2):
            assert a < b or high >= low


def split(net: nn.Module, shape: tuple[int, ...]) -> list[str]:
    return [shape_text(stage.shape) for stage in stages(trace(net, shape)) if stage.split]


def test_draws_two_towers_for_groups() -> None:
    assert split(towers(), (3, 224, 224)) == [
        "96x55x55", "96x27x27", "256x27x27", "256x13x13", "384x13x13", "384x13x13", "256x13x13", "256x6x6",
    ]  # fmt: skip
    placed = layout([("", trace(towers(), (3, 224, 224)))])
    assert len(placed.boxes) == 12 + 8
    crossing = [present(link.target.stage.row).name for link in placed.links if link.source.y < link.target.y - 50]
    assert crossing == ["0", "8"]  # both towers read the image; conv3 reads both towers
    into_dense = [link for link in placed.links if present(link.target.stage.row).name == "16"]
    assert len(into_dense) == 2 and len({link.source for link in into_dense}) == 2


@pytest.mark.parametrize("name", ALL)
def test_draws_two_towers_only_for_convolutions_with_two_groups(name: str) -> None:
    net, shape = built(name)
    grouped = any(getattr(layer, "groups", 1) == 2 and isinstance(layer, nn.Conv2d) for layer in net.modules())
    assert bool(split(net, shape)) == grouped


def test_towers_end_at_a_layer_without_groups() -> None:
    net = nn.Sequential(C(2, 4, 1), C(4, 6, 1), nn.MaxPool2d(2), C(6, 8, 1, groups=2), C(8, 10, 1))
    assert split(net, (2, 8, 8)) == ["6x8x8", "6x4x4", "8x4x4"]


def test_labels_describe_the_layers() -> None:
    shown = words(svg([("", trace(towers(), (3, 224, 224)))]))
    for text in ("11x11 conv", "stride 4, pad 2", "3x3 max pool", "pad 2, 2 groups", "LRN", "ReLU", "flatten 9216"):
        assert text in shown
    shown = words(svg([("", trace(Branches(), (3, 33, 65)))]))
    for text in ("batch norm", "Gate", "reads 8x16x32", "Branches", "(its own part)"):
        assert text in shown
    shown = words(svg([("", trace(Functional(), (1, 6, 6)))]))
    assert {"forward()", "reads 16", "2x5"} <= set(shown)
    assert "relu x1, max_pool2d x1" in " ".join(shown)
    assert "adaptive avg pool" in words(svg([("", trace(nn.AdaptiveAvgPool2d((2, 3)), (1, 8, 8)))]))


def test_escapes_names() -> None:
    odd = "<b>&\"'\x00 网络"
    net = nn.Sequential()
    net.add_module(odd, type("Läyer<&>", (L,), {})(4, 2))
    text = svg([(odd, trace(net, (4,)))])
    assert "<b>&\"'\ufffd 网络" in words(text) and "<b>" not in text


def test_draws_two_networks_on_a_common_scale() -> None:
    small, large = trace(C(1, 4, 3), (1, 28, 28)), trace(C(1, 4, 3), (1, 112, 112))
    placed = layout([("small", small), ("large", large)])
    assert placed.boxes[2].height == pytest.approx(2 * placed.boxes[0].height)
    check_layout(placed)
    assert {"small", "large"} <= set(words(svg([("small", small), ("large", large)])))


@st.composite
def networks(draw: Any) -> tuple[nn.Module, tuple[int, ...]]:
    c, size = draw(st.integers(1, 4)), draw(st.integers(8, 300))
    shape, layers = (c, size, size), []
    for _ in range(draw(st.integers(0, 14))):
        kind = draw(st.sampled_from(["conv", "pool", "small", "groups"]))
        k = draw(st.integers(1, min(size, 11)))
        stride = draw(st.integers(1, 3))
        if kind == "small":
            layers.append(draw(st.sampled_from([nn.ReLU(), nn.Sigmoid(), nn.Dropout(), nn.BatchNorm2d(c)])))
            continue
        if kind == "pool":
            layers.append(nn.MaxPool2d(k, stride))
        else:
            groups, new = (2, 2) if kind == "groups" and c % 2 == 0 else (1, draw(st.integers(1, 512)))
            layers.append(C(c, new, k, stride, groups=groups, device="meta"))
            c = new
        size = (size - k) // stride + 1
    units = [c * size * size, *draw(st.lists(st.integers(1, 5000), max_size=4))]
    if len(units) > 1:
        layers += [nn.Flatten(), *(L(a, b, device="meta") for a, b in itertools.pairwise(units))]
    return nn.Sequential(*layers), shape


@settings(max_examples=30, deadline=None)
@given(networks())
def test_draws_any_stack_without_overlap(network: Any) -> None:
    net, shape = network
    table = trace(net, shape)
    check_layout(layout([("net", table), ("again", table)]))
    shown = " ".join(words(svg([("net", table)])))
    assert all(shape_text(row.outputs) in shown for row in table.rows)
