from __future__ import annotations

import itertools
import math
import re
from string import Formatter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from classicnets.errors import UsageError
from classicnets.inspection.explain import explain
from classicnets.inspection.shapes import Table, trace
from classicnets.inspection.windows import layer_type
from support.tables import alexnet, lenet, same_numbers, table
from support.typed import present


@pytest.fixture(scope="module")
def alexnet_table() -> Table:
    return table(alexnet(), 1, 224, 224)


def line(lines: list[str], start: str) -> str:
    matches = [text for text in lines if text.startswith(start)]
    assert len(matches) == 1, (start, lines)
    return matches[0]


def check_sums(lines: list[str]) -> int:
    """Recompute every "a x b = c", "a x b = c, + d = e" and "a + b = c" in the text, and return how many there are."""
    checked = 0
    for text in lines:
        plain = re.sub(r"(?<=\d),(?=\d{3})", "", text)
        for product, result in re.findall(r"((?:\d+(?: [a-z]+)* x )+\d+)(?: [a-z]+)* = (\d+)", plain):
            assert math.prod(int(n) for n in re.findall(r"\d+", product)) == int(result), text
            checked += 1
        for left, right, result in re.findall(r"(\d+) weights,? \+ (\d+) biases = (\d+)", plain):
            assert int(left) + int(right) == int(result), text
            checked += 1
        for each, by, shown in re.findall(r"(\d+) MACs / (\d+) weights = ([\d.]+)", plain):
            assert f"{int(each) / int(by):.1f}" == shown
            checked += 1
    return checked


# --- the book's networks, number by number ----------------------------------------------------------------------------


def test_explains_conv1_of_alexnet(alexnet_table: Table) -> None:
    assert explain(alexnet_table, "0") == [
        "net[0] (Conv2d) turns 1x224x224 into 96x54x54: convolution with kernel 11x11, stride 4, padding 1",
        "output size: (224 + 2*1 - 11) / 4 = 53.75, floor 53, + 1 = 54",
        "with padding, the size is 226: the first window is at the edge and moves 53 times by 4, which gives "
        "54 positions",
        "3 of 226 columns on the right (and rows at the bottom) are never read: 2 belong to the input, the rest to "
        "the padding",
        "input sizes 221 to 224 give the same output size 54; 225 is the first to give a larger one",
        "parameters: 96 output channels x 1 input channels x 11 x 11 = 11,616 weights, + 96 biases = 11,712",
        "MACs: 96 x 54 x 54 = 279,936 outputs with 1 x 11 x 11 = 121 multiply-accumulates each: 33,872,256",
        "of these, 113,952 are on padding",
        "each weight is used at every position of the output: 54 x 54 = 2,916 times per image",
        "share of the network: 0.03 % of the parameters, 3.61 % of the MACs",
        "units: 279,936; memory: 46,848 bytes of parameters, 1,119,744 bytes of new output per image",
    ]


def test_explains_the_6400_inputs_of_alexnet(alexnet_table: Table) -> None:
    lines = explain(alexnet_table, "14")
    assert "why 6400? net[12] outputs 256 channels of size 5: 256 x 5 x 5 = 6400" in lines
    assert "sizes from the image to this layer: 224 -> 54 -> 26 -> 26 -> 12 -> 12 -> 12 -> 12 -> 5" in lines
    assert line(lines, "images of size 193 to 224 end at size 5")
    assert line(lines, "parameters:").endswith(
        "4096 outputs x 6400 inputs = 26,214,400 weights, + 4,096 biases = 26,218,496"
    )
    assert line(lines, "MACs").startswith("MACs: 4,096 outputs with 6,400 multiply-accumulates each: 26,214,400;")
    assert "inputs: the 4096 outputs of net[14]" in explain(alexnet_table, "17")


def test_explains_alexnet(alexnet_table: Table) -> None:
    lines = explain(alexnet_table)
    assert lines[0] == "layers: 21 calls, 8 with parameters (convolutions: 5, dense layers: 3)"
    assert re.findall(r"\] (\d+)", lines[1]) == [str(n) for n in (54, 26, 26, 12, 12, 12, 12, 5, 6400, 4096, 4096, 10)]
    assert line(lines, "parameters:") == "parameters: 46,755,168 weights + 9,578 biases = 46,764,746"
    assert "dense layers 43,040,778 (92.0 %)" in line(lines, "parameters by layer type")
    assert line(lines, "parameters by layer type").endswith("most in net[14]: 26,218,496 (56.1 %)")
    assert line(lines, "MACs").startswith("MACs: 938,146,176; convolutions 895,113,600 (95.4 %)")
    assert line(lines, "memory").endswith("187,058,984 bytes = 187.1 MB = 178.4 MiB")
    assert re.findall(r"[\d.]+", line(lines, "training")) == ["374.1", "561.2", "748.2"]
    assert "50176-4096-4096-10: 222,347,274 parameters, 222,339,072 MACs" in line(lines, "an MLP")
    assert line(lines, "fewer weights, more multiplications: the MLP")
    assert line(lines, "other conventions").endswith("1,876,292,352")
    assert line(lines, "with the 608,650 bias additions").endswith("938,754,826")


def test_explains_lenet() -> None:
    lines = explain(table(lenet(), 1, 28, 28))
    assert line(lines, "parameters:") == "parameters: 61,470 weights + 236 biases = 61,706"
    assert "convolutions 2,572 (4.2 %), dense layers 59,134 (95.8 %)" in line(lines, "parameters by layer type")
    assert "convolutions 357,600 (85.9 %), dense layers 58,920 (14.1 %)" in line(lines, "MACs: 416,520")
    assert line(lines, "most parameters are in the dense layers (95.8 %), most MACs in the convolutions (85.9 %)")
    assert line(lines, "uses per weight") == "uses per weight: 416,520 MACs / 61,470 weights = 6.8"
    assert "784-120-84-10: 105,214 parameters, 105,000 MACs" in line(lines, "an MLP")
    assert line(lines, "counting rules").count("6,518 units") == 1
    assert line(lines, "other conventions").endswith("833,040")
    assert line(lines, "images of size 28 to 31 end at size 5")
    assert not [text for text in lines if text.startswith(("first feature map", "input sizes"))]  # its stride is 1


def test_explains_the_alexnet_of_the_paper() -> None:
    net = alexnet(pad=2, groups=2, map_size=6, channels=3, classes=1000)
    lines = explain(table(net, 3, 224, 224))
    assert line(lines, "parameters:") == "parameters: 60,954,656 weights + 10,568 biases = 60,965,224"
    assert line(lines, "MACs").startswith("MACs: 724,406,816;")
    assert "659,272 units" in line(lines, "counting rules")
    grouped = explain(table(net, 3, 224, 224), "3")
    assert "groups: 2; kernels per group: 128, each reading 48 of the 96 input channels" in grouped
    assert line(grouped, "parameters:").endswith(
        "256 output channels x 48 input channels x 5 x 5 = 307,200 weights, + 256 biases = 307,456"
    )


def test_explains_why_caffe_needs_227() -> None:
    """Caffe crops to 227 without padding: 224 would give a feature map of 54, which does not fit the dense layer."""
    lines = explain(table(alexnet(pad=0, map_size=6), 1, 227, 227), "0")
    assert "output size: (227 + 2*0 - 11) / 4 = 54, + 1 = 55" in lines
    assert "the windows read every value of the input" in lines
    assert "input sizes 227 to 230 give the same output size 55; 231 is the first to give a larger one" in lines
    lines = explain(table(alexnet(pad=0), 1, 224, 224))
    assert "first feature map: net[0] gives floor((224 + 2*0 - 11) / 4) + 1 = 54" in lines
    assert "input sizes 223 to 226 give the same output size 54; 227 is the first to give a larger one" in lines


def test_compares_with_the_mlp_of_the_book_without_hidden_dense_layers() -> None:
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(392, 10))
    assert "784-256-10: 203,530 parameters, 203,264 MACs" in line(explain(table(net, 1, 28, 28)), "an MLP")


def test_claims_fewer_weights_and_more_multiplications_only_if_true() -> None:
    wide = nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.Flatten(), nn.Linear(50_176, 10))
    lines = explain(table(wide, 1, 28, 28))
    assert not [text for text in lines if text.startswith("fewer weights")]
    ratios = 502_410 / 203_530, 953_344 / 203_264
    assert line(lines, "'fewer weights").endswith(
        f"{ratios[0]:.2f} times the parameters and {ratios[1]:.2f} times the MACs of the MLP"
    )
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    lines = explain(table(mlp, 1, 28, 28))
    assert "parameters: 203,264 weights + 266 biases = 203,530" in lines
    assert not [text for text in lines if "multiplications" in text or text.startswith("most parameters")]


def test_separates_parameters_from_macs_only_if_true() -> None:
    net = nn.Sequential(nn.Conv2d(8, 64, 3), nn.AvgPool2d(6), nn.Flatten(), nn.Linear(64, 10))
    lines = explain(table(net, 8, 8, 8))
    assert "convolutions 4,672 (87.8 %), dense layers 650 (12.2 %)" in line(lines, "parameters by layer type")
    assert not [text for text in lines if text.startswith("most parameters")]


# --- sentences that need another network ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.MaxPool2d(3, 2), "overlapping windows: the window of 3 is larger than the stride of 2"),
        (nn.MaxPool2d(2), "windows without overlap: the window of 2 moves by 2"),
        (nn.AvgPool2d(1, 2), "windows with gaps: the window of 1 is smaller than the stride of 2"),
        (nn.AvgPool2d(2), "each output is the mean of the 4 values in its window"),
        (nn.MaxPool2d(3, 2, ceil_mode=True), "output size: (28 + 2*0 - 3) / 2 = 12.5, ceil 13, + 1 = 14"),
        (
            nn.MaxPool2d(3, 2, ceil_mode=True),
            "the last window extends beyond the input, by this many columns on the right (and rows at the bottom): 1",
        ),
        (
            nn.MaxPool2d(2, 3, 1, ceil_mode=True),
            "output size: (28 + 2*1 - 2) / 3 = 9.33333, ceil 10, + 1, minus the last",
        ),
        (nn.AvgPool2d(1, 2), "13 of 28 positions between the windows are never read: 13 belong to the input"),
        (nn.MaxPool2d(2), "parameters: none"),
        (nn.Dropout(), "sets random values to 0 in training"),
        (nn.ReLU(), "computes max(0, x)"),
        (
            nn.AdaptiveAvgPool2d(7),
            "net[0] (AdaptiveAvgPool2d) turns 3x28x28 into 3x7x7: adaptive; the output size is the same",
        ),
        (nn.Conv2d(3, 6, 3, groups=3), "groups: 3; kernels per group: 2, each reading 1 of the 3 input channels"),
        (nn.Conv2d(3, 4, 3, padding="same"), "output size: (28 + 2*1 - 3) / 1 = 27, + 1 = 28"),
        (nn.Conv2d(3, 4, 3, padding="valid", stride=2), "output size: (28 + 2*0 - 3) / 2 = 12.5, floor 12, + 1 = 13"),
        (nn.Conv2d(3, 4, 4, padding="same"), "output size: 28 becomes 28"),
        (nn.Conv2d(3, 4, 3, dilation=2), "output size: (28 + 2*0 - 2*(3 - 1) - 1) / 1 = 23, + 1 = 24"),
        (nn.Conv2d(3, 4, (3, 5)), "output height: (28 + 2*0 - 3) / 1 = 25, + 1 = 26"),
        (nn.Conv2d(3, 4, (3, 5)), "output width: (28 + 2*0 - 5) / 1 = 23, + 1 = 24"),
        (
            nn.Conv2d(3, 4, 3, bias=False),
            "parameters: 4 output channels x 3 input channels x 3 x 3 = 108 weights, + 0 biases",
        ),
        (nn.Linear(28, 5), "inputs: each of the 84 rows of 28 values is multiplied by the same weights"),
        (nn.BatchNorm2d(3), "parameters: 3 weights + 3 biases = 6"),
        (nn.ConvTranspose2d(3, 4, 2), "MACs: "),
    ],
    ids=lambda value: re.sub(r"\W+", "-", str(value))[:40],
)
def test_has_a_sentence_for_each_kind_of_layer(layer: nn.Module, expected: str) -> None:
    lines = explain(table(nn.Sequential(layer), 3, 28, 28), "0")
    assert any(text.startswith(expected) for text in lines), lines
    check_sums(lines)


class Functional(nn.Module):
    """Pooling in forward(), a layer called twice, one never."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 5), nn.Conv2d(4, 4, 3, padding=1)
        self.fc, self.spare = nn.Linear(4 * 12 * 12, 10), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv2(self.conv2(F.relu(self.conv1(x))))
        x = self.fc(F.max_pool2d(x, 2).flatten(1))
        return x


def test_explains_what_forward_does_outside_layers() -> None:
    net_table = table(Functional(), 1, 28, 28)
    lines = explain(net_table)
    assert line(lines, "sizes:") == "sizes: 28 -> conv1 24 -> conv2 24 -> conv2 24 -> 576 -> fc 10"
    assert line(lines, "computed in forward()").endswith("relu x1, max_pool2d x1")
    assert "inputs: 576 values that forward() computes; they are not the direct output of the layer before" in explain(
        net_table, "fc"
    )
    twice = explain(net_table, "conv2")
    assert [text for text in twice if text.startswith("call")] == ["call 1 of 2", "call 2 of 2"]
    assert line(twice, "parameters: shared with an earlier call")
    assert explain(net_table, "spare") == [
        "spare (Linear) is not called in this forward pass: its 8 parameters are not used"
    ]


def test_claims_no_fitting_sizes_after_adaptive_pooling() -> None:
    with torch.device("meta"):
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(144, 2)
        )
    lines = explain(table(net, 3, 14, 14), "4") + explain(table(net, 3, 14, 14))
    assert "why 144? net[2] outputs 4 channels of size 6: 4 x 6 x 6 = 144" in lines
    assert not [text for text in lines if text.startswith(("images of size", "sizes from"))]


class Local(nn.Module):
    """A locally connected layer, as in cuda-convnet."""

    kernel_size, stride, padding = (3, 3), (1, 1), (0, 0)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 2 * 9, 36))

    def macs(self, output: tuple[int, ...]) -> int:
        return self.weight.numel()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.einsum("nkp,okp->nop", F.unfold(x, 3), self.weight).unflatten(2, (6, 6))
        return x


def test_distinguishes_locally_connected_layers_from_convolutions() -> None:
    net_table = table(nn.Sequential(Local()), 2, 8, 8)
    lines = explain(net_table, "0")
    assert layer_type(net_table.rows[0]) == "local" and "each position has its own weights" in lines[0]
    assert line(lines, "parameters:") == "parameters: 2,592 weights + 0 biases = 2,592"
    assert not [text for text in lines if text.startswith("each weight is used")]


class Products(nn.Module):
    """A layer with the MACs of a dense layer, but without weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ x.transpose(1, 2)


def test_distinguishes_products_of_activations_from_dense_layers() -> None:
    net_table = table(nn.Sequential(Products()), 3, 5)
    assert (net_table.macs, layer_type(net_table.rows[0])) == (45, "other")
    assert {"MACs: 45", "parameters: none; nothing is learned here"} <= set(explain(net_table, "0"))


class Branches(nn.Module):
    """Two branches, a residual connection, and a mean instead of pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.pointwise, self.conv = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3, padding=1)
        self.down, self.fc = nn.Conv2d(4, 6, 3, stride=2), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc(self.down(torch.cat([self.pointwise(x), self.conv(x) + x], 1)).mean((2, 3)))
        return x


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (nn.Identity(), (1, 4, 4)),
        (Branches(), (2, 9, 9)),
        (nn.Linear(4, 2), (4,)),
        (nn.Conv1d(2, 3, 4, 2), (2, 11)),
        (nn.Conv3d(1, 2, (2, 3, 3), padding=(0, 1, 1)), (1, 4, 5, 6)),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8)),
        (nn.FractionalMaxPool2d(3, output_ratio=0.7), (1, 20, 20)),
        (nn.Sequential(nn.Unfold(3), nn.Flatten(), nn.LazyLinear(3)), (1, 5, 5)),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Upsample(scale_factor=2), nn.Flatten(), nn.LazyLinear(3)), (1, 8, 8)),
        (nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(60)), nn.MaxPool2d(2)), (1, 8, 8)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_explains_any_module_in_both_languages(net: nn.Module, shape: tuple[int, ...]) -> None:
    net_table = table(net, *shape)
    for layer in (None, *{row.name for row in net_table.rows}):
        lines = explain(net_table, layer)
        assert lines and check_sums(lines) >= 0
        assert same_numbers(lines, explain(net_table, layer, "zh"))


# --- names and languages ---------------------------------------------------------------------------------------------


def test_suggests_the_nearest_name_for_an_unknown_layer() -> None:
    net = nn.Sequential()
    net.add_module("conv1", nn.Conv2d(1, 2, 3))
    net.add_module("pool1", nn.MaxPool2d(2))
    with pytest.raises(UsageError) as caught:
        explain(table(net, 1, 8, 8), "convl")
    assert caught.value.code == "CN202" and caught.value.what.endswith("did you mean conv1?")
    assert "conv1, pool1" in caught.value.where
    with pytest.raises(UsageError, match="no layer 77"):
        explain(table(net, 1, 8, 8), "77")
    with pytest.raises(UsageError, match="'fr'"):
        explain(table(net, 1, 8, 8), "conv1", "fr")


def test_accepts_the_python_path_of_a_layer() -> None:
    net_table = table(lenet(), 1, 28, 28)
    assert explain(net_table, "net[7]") == explain(net_table, "7")


def fields(text: str) -> list[tuple[str, str]]:
    return sorted((name, spec or "") for _, name, spec, _ in Formatter().parse(text) if name is not None)


def test_languages_have_the_same_numbers(alexnet_table: Table) -> None:
    for net_table in (
        alexnet_table,
        table(lenet(), 1, 28, 28),
        table(alexnet(pad=2, groups=2, map_size=6), 1, 224, 224),
    ):
        for layer in (None, *(row.name for row in net_table.rows)):
            english, chinese = explain(net_table, layer), explain(net_table, layer, "zh")
            assert same_numbers(english, chinese)
    text = "\n".join(explain(alexnet_table, "0", "zh") + explain(alexnet_table, None, "zh"))
    assert all(term in text for term in ("卷积", "步幅", "填充", "通道", "全连接层", "参数", "权重", "偏置", "乘加"))
    assert "暂退法" in "".join(explain(alexnet_table, "16", "zh")) and "汇聚" in "".join(
        explain(alexnet_table, "2", "zh")
    )


# --- against torch itself --------------------------------------------------------------------------------------------


def unread_by_gradient(layer: nn.Module, image_size: int) -> int:
    """Rows of the input on which no output depends, according to torch's gradient."""
    x = torch.zeros(1, 1, image_size, image_size, requires_grad=True)
    layer(x).sum().backward()
    return int((present(x.grad).abs().sum((0, 1, 3)) == 0).sum())


@given(
    image_size=st.integers(1, 24), kernel=st.integers(1, 7), stride=st.integers(1, 9), padding=st.integers(0, 3),
    dilation=st.integers(1, 3), pool=st.booleans(), ceil=st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=75)
def test_unread_pixels_and_taps_on_padding_agree_with_torch(
    image_size: int, kernel: int, stride: int, padding: int, dilation: int, pool: bool, ceil: bool
) -> None:
    if pool:
        padding, dilation = min(padding, kernel // 2), 1
        layer: nn.Module = nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil)
    else:
        layer = nn.Conv2d(1, 1, kernel, stride, padding, dilation, bias=False)
        nn.init.ones_(layer.weight)
    if image_size + 2 * padding < dilation * (kernel - 1) + 1:
        return
    lines = explain(table(nn.Sequential(layer), 1, image_size, image_size), "0")
    unread = sum(int(n) for n in re.findall(r"never read: (\d+) belong", "\n".join(lines)))
    assert unread == unread_by_gradient(layer, image_size)
    if not pool:
        macs = table(nn.Sequential(layer), 1, image_size, image_size).macs
        on_padding = int(
            next((re.findall(r"[\d,]+ ", t)[-1] for t in lines if t.startswith("of these")), "0").replace(",", "")
        )
        assert macs - on_padding == round(layer(torch.ones(1, 1, image_size, image_size)).sum().item())
    if stride > 1:
        low, high = map(int, re.findall(r"input sizes (\d+) to (\d+)", "\n".join(lines))[0])
        assert low <= image_size <= high
        result = [layer(torch.zeros(1, 1, n, n)).shape[-1] for n in (image_size, low, high, high + 1)]
        assert result[0] == result[1] == result[2] < result[3]
        if low > 1 and low - 1 + 2 * padding >= dilation * (kernel - 1) + 1:
            assert layer(torch.zeros(1, 1, low - 1, low - 1)).shape[-1] < result[0]


@st.composite
def stacks(draw: Any) -> tuple[nn.Sequential, int]:
    """A random stack of convolutions and pools, then one or two dense layers, for square images of 2 channels."""
    image_size = size = draw(st.integers(8, 40))
    channels = 2
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 5))):
        kernel, stride, ceil = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.booleans())
        out, groups = draw(st.sampled_from([2, 4, 6])), draw(st.sampled_from([1, 2]))
        if size < kernel:
            break
        if draw(st.booleans()):
            layers.append(nn.MaxPool2d(kernel, stride, draw(st.integers(0, kernel // 2)), ceil_mode=ceil))
        else:
            layers.append(nn.Conv2d(channels, out, kernel, stride, draw(st.integers(0, 2)), groups=groups, bias=ceil))
            layers.append(nn.ReLU())
        channels, size = nn.Sequential(*layers)(torch.zeros(1, 2, image_size, image_size)).shape[1:3]
    widths = [channels * size * size, *draw(st.lists(st.integers(1, 9), min_size=1, max_size=2))]
    dense = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.Sigmoid())]
    return nn.Sequential(*layers, nn.Flatten(), *dense), image_size


def passes(net: nn.Module, image_size: int) -> bool:
    try:
        net(torch.zeros(1, 2, image_size, image_size))
    except RuntimeError:
        return False
    return True


@given(stacks())
@settings(deadline=None, max_examples=80)
def test_numbers_of_any_stack_agree_with_the_table(stack: Any) -> None:
    net, image_size = stack
    net_table = table(net, 2, image_size, image_size)
    lines = explain(net_table)
    totals: dict[str, int] = {}
    assert check_sums(lines) >= 1
    assert same_numbers(lines, explain(net_table, language="zh"))
    assert line(lines, "parameters:").endswith(f"= {sum(p.numel() for p in net.parameters()):,}")
    for column, text in (("parameters", line(lines, "parameters by layer type")), ("macs", line(lines, "MACs"))):
        parts = re.findall(r"(?:convolutions|dense layers|other layers) ([\d,]+)", text)
        assert sum(int(n.replace(",", "")) for n in parts) == getattr(net_table, column)
    for row in net_table.rows:
        text = "\n".join(explain(net_table, row.name))
        check_sums(text.splitlines())
        assert same_numbers([text], ["\n".join(explain(net_table, row.name, "zh"))])
        for column, value in (("parameters", row.parameters), ("macs", row.macs)):
            totals[column] = totals.get(column, 0) + value
            assert f"{value:,}" in text or not value
    assert totals == {"parameters": net_table.parameters, "macs": net_table.macs}
    for low, high in re.findall(r"images of size (\d+) to (\d+)", "\n".join(lines)):
        assert all(passes(net, n) for n in (int(low), image_size, int(high)))
        assert not passes(net, int(high) + 1) and (int(low) == 1 or not passes(net, int(low) - 1))


class Table8Of12(nn.Module):
    """A convolution from 3 to 4 channels in which each output channel reads two inputs: 8 of 12 kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(8, 3, 3)), nn.Parameter(torch.rand(4))
        self.kernel_size, self.stride, self.padding = (3, 3), (1, 1), (1, 1)

    def macs(self, output_shape: tuple[int, ...]) -> int:
        return 8 * 9 * output_shape[1] * output_shape[2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dense = x.new_zeros(4, 3, 3, 3)
        dense[[0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 1, 2, 0, 2, 0, 1]] = self.weight
        return nn.functional.conv2d(x, dense, self.bias, padding=1)


def test_recognizes_a_sparse_convolution_by_its_numbers() -> None:
    table = trace(nn.Sequential(Table8Of12()), (3, 4, 4))
    text = "\n".join(explain(table, "0"))
    assert "connections: 8 of 3 x 4 = 12 pairs" in text and "4 x 4 = 16 times" in text and "MACs: 1,152" in text
    # a 3x3 window on 4x4 with padding 1 reads 100 of its 144 taps inside the image: 8 kernels x 44 are on padding
    assert "without the 352 taps on padding: 800 MACs" in "\n".join(explain(table))
