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
from classicnets.inspection.messages import DIFFERENCES, WORDS
from classicnets.inspection.shapes import Table, trace
from classicnets.inspection.windows import role
from support.tables import alexnet, lenet, numbers, table


@pytest.fixture(scope="module")
def of_alexnet() -> Table:
    return table(alexnet(), 1, 224, 224)


def line(lines: list[str], start: str) -> str:
    found = [text for text in lines if text.startswith(start)]
    assert len(found) == 1, (start, lines)
    return found[0]


def check_sums(lines: list[str]) -> int:
    """Every "a x b = c", "a x b = c, + d = e" and "a + b = c" in the text, worked out again."""
    found = 0
    for text in lines:
        plain = re.sub(r"(?<=\d),(?=\d{3})", "", text)
        for product, result in re.findall(r"((?:\d+(?: [a-z]+)* x )+\d+)(?: [a-z]+)* = (\d+)", plain):
            assert math.prod(int(n) for n in re.findall(r"\d+", product)) == int(result), text
            found += 1
        for left, right, result in re.findall(r"(\d+) weights,? \+ (\d+) biases = (\d+)", plain):
            assert int(left) + int(right) == int(result), text
            found += 1
        for each, by, shown in re.findall(r"(\d+) MACs / (\d+) weights = ([\d.]+)", plain):
            assert f"{int(each) / int(by):.1f}" == shown
            found += 1
    return found


# --- the book's nets, number by number -------------------------------------------------------------------------------


def test_conv1_of_alexnet(of_alexnet: Table) -> None:
    assert explain(of_alexnet, "0") == [
        "net[0] (Conv2d) turns 1x224x224 into 96x54x54: a convolution, kernel 11x11, stride 4, padding 1",
        "side: (224 + 2*1 - 11) / 4 = 53.75, floor 53, + 1 = 54",
        "in words: of 226 (padding included) the first window takes the beginning, then it moves 53 times by 4, "
        "so there are 54 places",
        "3 of 226 columns on the right, and as many rows at the bottom, are never read: 2 of them input, the rest "
        "padding",
        "inputs of 221..224 give the same 54; the next larger map begins at 225",
        "parameters: 96 output x 1 input channels x 11 x 11 = 11,616 weights, + 96 biases = 11,712",
        "MACs: 96 x 54 x 54 = 279,936 outputs, each does 1 x 11 x 11 = 121 multiply-adds: 33,872,256",
        "of these, 113,952 meet padding",
        "each weight is used at every place of the map: 54 x 54 = 2,916 times for an image",
        "share of the net: 0.03 % of the parameters, 3.61 % of the MACs",
        "units 279,936; memory: 46,848 bytes of parameters, 1,119,744 bytes of new output for an image",
    ]


def test_why_6400(of_alexnet: Table) -> None:
    lines = explain(of_alexnet, "14")
    assert "why 6400? net[12] hands over 256 channels of side 5: 256 x 5 x 5 = 6400" in lines
    assert "the side comes about so: 224 -> 54 -> 26 -> 26 -> 12 -> 12 -> 12 -> 12 -> 5" in lines
    assert line(lines, "images with a side of 193..224 end at side 5")
    assert line(lines, "parameters").endswith(
        "4096 outputs x 6400 inputs = 26,214,400 weights, + 4,096 biases = 26,218,496"
    )
    assert line(lines, "MACs").startswith("MACs: 4,096 outputs, each does 6,400 multiply-adds: 26,214,400;")
    assert "inputs: 4096, the outputs of net[14]" in explain(of_alexnet, "17")


def test_the_whole_alexnet(of_alexnet: Table) -> None:
    lines = explain(of_alexnet)
    assert lines[0] == "layers: 21 calls, 8 of them with parameters; 5 convolutions, 3 dense"
    assert re.findall(r"\] (\d+)", lines[1]) == [str(n) for n in (54, 26, 26, 12, 12, 12, 12, 5, 6400, 4096, 4096, 10)]
    assert line(lines, "parameters") == "parameters: 46,755,168 weights + 9,578 biases = 46,764,746"
    assert "dense layers 43,040,778 (92.0 %)" in line(lines, "where they sit")
    assert line(lines, "where they sit").endswith("most in net[14]: 26,218,496 (56.1 %)")
    assert line(lines, "MACs").startswith("MACs: 938,146,176; convolutions 895,113,600 (95.4 %)")
    assert line(lines, "memory").endswith("187,058,984 bytes = 187.1 MB = 178.4 MiB")
    assert re.findall(r"[\d.]+", line(lines, "training")) == ["374.1", "561.2", "748.2"]
    assert "50176-4096-4096-10: 222,347,274 parameters, 222,339,072 MACs" in line(lines, "dense layers only")
    assert line(lines, "so this net has fewer weights and more multiplications")
    assert line(lines, "other conventions").endswith("1,876,292,352")
    assert line(lines, "with the 608,650 additions").endswith("938,754,826")


def test_the_whole_lenet() -> None:
    lines = explain(table(lenet(), 1, 28, 28))
    assert line(lines, "parameters") == "parameters: 61,470 weights + 236 biases = 61,706"
    assert "convolutions 2,572 (4.2 %), dense layers 59,134 (95.8 %)" in line(lines, "where they sit")
    assert "convolutions 357,600 (85.9 %), dense layers 58,920 (14.1 %)" in line(lines, "MACs: 416,520")
    assert line(lines, "so the parameters sit in the dense layers (95.8 %) and the work in the convolutions (85.9 %)")
    assert line(lines, "uses per weight") == "uses per weight: 416,520 MACs / 61,470 weights = 6.8"
    assert "784-120-84-10: 105,214 parameters, 105,000 MACs" in line(lines, "dense layers only")
    assert line(lines, "counted").count("6,518 units") == 1
    assert line(lines, "other conventions").endswith("833,040")
    assert line(lines, "images with a side of 28..31 end at side 5")
    assert not [text for text in lines if text.startswith(("the first map", "inputs of"))]  # its stride is 1


def test_the_papers_alexnet_holds_its_sixty_million() -> None:
    net = alexnet(pad=2, groups=2, side=6, channels=3, classes=1000)
    lines = explain(table(net, 3, 224, 224))
    assert line(lines, "parameters") == "parameters: 60,954,656 weights + 10,568 biases = 60,965,224"
    assert line(lines, "MACs").startswith("MACs: 724,406,816;")
    assert "659,272 units" in line(lines, "counted")
    grouped = explain(table(net, 3, 224, 224), "3")
    assert "groups: 2; the 128 kernels of a group see 48 of the 96 input channels" in grouped
    assert line(grouped, "parameters").endswith(
        "256 output x 48 input channels x 5 x 5 = 307,200 weights, + 256 biases = 307,456"
    )


def test_224_or_227() -> None:
    """Caffe crops 227, pads nothing: 224 gives a map of 54 there, and the dense layer does not fit."""
    lines = explain(table(alexnet(pad=0, side=6), 1, 227, 227), "0")
    assert "side: (227 + 2*0 - 11) / 4 = 54, + 1 = 55" in lines
    assert "nothing at the edges is left unread" in lines
    assert "inputs of 227..230 give the same 55; the next larger map begins at 231" in lines
    lines = explain(table(alexnet(pad=0), 1, 224, 224))
    assert "the first map: net[0] gives floor((224 + 2*0 - 11) / 4) + 1 = 54" in lines
    assert "inputs of 223..226 give the same 54; the next larger map begins at 227" in lines


def test_the_books_mlp_where_a_net_has_no_hidden_dense_layer() -> None:
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(392, 10))
    assert "784-256-10: 203,530 parameters, 203,264 MACs" in line(explain(table(net, 1, 28, 28)), "dense layers only")


def test_fewer_weights_more_multiplications_only_where_it_is_true() -> None:
    wide = nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.Flatten(), nn.Linear(50_176, 10))
    lines = explain(table(wide, 1, 28, 28))
    assert not [text for text in lines if text.startswith("so this net has fewer")]
    times = 502_410 / 203_530, 953_344 / 203_264
    assert line(lines, "'fewer weights").endswith(
        f"{times[0]:.2f} times their parameters and {times[1]:.2f} times their MACs"
    )
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    lines = explain(table(mlp, 1, 28, 28))
    assert "parameters: 203,264 weights + 266 biases = 203,530" in lines
    assert not [text for text in lines if "multiplications" in text or text.startswith("so the parameters")]


def test_parameters_here_and_work_there_only_where_it_is_true() -> None:
    net = nn.Sequential(nn.Conv2d(8, 64, 3), nn.AvgPool2d(6), nn.Flatten(), nn.Linear(64, 10))
    lines = explain(table(net, 8, 8, 8))
    assert "convolutions 4,672 (87.8 %), dense layers 650 (12.2 %)" in line(lines, "where they sit")
    assert not [text for text in lines if text.startswith("so the parameters")]


# --- sentences that need another net ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.MaxPool2d(3, 2), "overlapping: the window of 3 is larger than the stride of 2"),
        (nn.MaxPool2d(2), "not overlapping: the window of 2 moves by 2"),
        (nn.AvgPool2d(1, 2), "with gaps: the window of 1 is smaller than the stride of 2"),
        (nn.AvgPool2d(2), "each output is the mean of the 4 places in its window"),
        (nn.MaxPool2d(3, 2, ceil_mode=True), "side: (28 + 2*0 - 3) / 2 = 12.5, ceil 13, + 1 = 14"),
        (nn.MaxPool2d(3, 2, ceil_mode=True), "the last window hangs 1 over the edge"),
        (nn.MaxPool2d(2, 3, 1, ceil_mode=True), "side: (28 + 2*1 - 2) / 3 = 9.33333, ceil 10, + 1, less the last"),
        (nn.AvgPool2d(1, 2), "between the windows, 13 of 28 are never read: 13 of them input"),
        (nn.MaxPool2d(2), "parameters: none"),
        (nn.Dropout(), "what it does: in training it sets numbers to 0 at random"),
        (nn.ReLU(), "what it does: max(0, x)"),
        (nn.AdaptiveAvgPool2d(7), "net[0] (AdaptiveAvgPool2d) turns 3x28x28 into 3x7x7: its windows adapt"),
        (nn.Conv2d(3, 6, 3, groups=3), "groups: 3; the 2 kernels of a group see 1 of the 3 input channels"),
        (nn.Conv2d(3, 4, 3, padding="same"), "side: (28 + 2*1 - 3) / 1 = 27, + 1 = 28"),
        (nn.Conv2d(3, 4, 3, padding="valid", stride=2), "side: (28 + 2*0 - 3) / 2 = 12.5, floor 12, + 1 = 13"),
        (nn.Conv2d(3, 4, 4, padding="same"), "side: 28 becomes 28"),
        (nn.Conv2d(3, 4, 3, dilation=2), "side: (28 + 2*0 - 2*(3 - 1) - 1) / 1 = 23, + 1 = 24"),
        (nn.Conv2d(3, 4, (3, 5)), "height: (28 + 2*0 - 3) / 1 = 25, + 1 = 26"),
        (nn.Conv2d(3, 4, (3, 5)), "width: (28 + 2*0 - 5) / 1 = 23, + 1 = 24"),
        (nn.Conv2d(3, 4, 3, bias=False), "parameters: 4 output x 3 input channels x 3 x 3 = 108 weights, + 0 biases"),
        (nn.Linear(28, 5), "inputs: each of 84 rows of 28 numbers goes through the same weights"),
        (nn.BatchNorm2d(3), "parameters: 3 weights + 3 biases = 6"),
        (nn.ConvTranspose2d(3, 4, 2), "MACs: "),
    ],
    ids=lambda value: re.sub(r"\W+", "-", str(value))[:40],
)  # fmt: skip
def test_each_kind_of_sentence(layer: nn.Module, expected: str) -> None:
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
        return self.fc(F.max_pool2d(x, 2).flatten(1))


def test_what_forward_does_itself() -> None:
    of_net = table(Functional(), 1, 28, 28)
    lines = explain(of_net)
    assert line(lines, "sides") == "sides: 28 -> conv1 24 -> conv2 24 -> conv2 24 -> 576 -> fc 10"
    assert line(lines, "in forward()").endswith("relu x1, max_pool2d x1")
    assert "inputs: 576 numbers, not the plain output of the layer before: forward() makes them" in explain(
        of_net, "fc"
    )
    twice = explain(of_net, "conv2")
    assert [text for text in twice if text.startswith("call")] == ["call 1 of 2", "call 2 of 2"]
    assert line(twice, "parameters: no new ones")
    assert explain(of_net, "spare") == ["spare (Linear) is not called in this pass: 8 parameters that do no work"]


def test_an_adaptive_pool_takes_any_size() -> None:
    """So nothing may be said about the sizes that fit."""
    with torch.device("meta"):
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(144, 2)
        )
    lines = explain(table(net, 3, 14, 14), "4") + explain(table(net, 3, 14, 14))
    assert "why 144? net[2] hands over 4 channels of side 6: 4 x 6 x 6 = 144" in lines
    assert not [text for text in lines if text.startswith(("images with", "the side comes"))]


class Local(nn.Module):
    """Weights of its own at each place, as in cuda-convnet."""

    kernel_size, stride, padding = (3, 3), (1, 1), (0, 0)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 2 * 9, 36))

    def macs(self, output: tuple[int, ...]) -> int:
        return self.weight.numel()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nkp,okp->nop", F.unfold(x, 3), self.weight).unflatten(2, (6, 6))


def test_a_layer_with_weights_of_its_own_at_each_place_is_no_convolution() -> None:
    of_net = table(nn.Sequential(Local()), 2, 8, 8)
    lines = explain(of_net, "0")
    assert role(of_net.rows[0]) == "local" and "every place has weights of its own" in lines[0]
    assert line(lines, "parameters") == "parameters: 2,592 weights + 0 biases = 2,592"
    assert not [text for text in lines if text.startswith("each weight is used")]


class Products(nn.Module):
    """A layer with the MACs of a dense one, and without weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ x.transpose(1, 2)


def test_a_product_of_activations_is_no_dense_layer() -> None:
    of_net = table(nn.Sequential(Products()), 3, 5)
    assert (of_net.macs, role(of_net.rows[0])) == (45, "other")
    assert {"MACs: 45", "parameters: none, nothing is learned here"} <= set(explain(of_net, "0"))


class Branches(nn.Module):
    """Two ways side by side, a sum with the input, and a mean instead of pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3, padding=1)
        self.down, self.fc = nn.Conv2d(4, 6, 3, stride=2), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.down(torch.cat([self.one(x), self.two(x) + x], 1)).mean((2, 3)))


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
def test_any_module_in_both_languages(net: nn.Module, shape: tuple[int, ...]) -> None:
    of_net = table(net, *shape)
    for layer in (None, *{row.name for row in of_net.rows}):
        lines = explain(of_net, layer)
        assert lines and check_sums(lines) >= 0
        assert numbers(lines) == numbers(explain(of_net, layer, "zh"))


# --- names and languages ---------------------------------------------------------------------------------------------


def test_an_unknown_layer_gets_the_nearest_name_and_the_list() -> None:
    net = nn.Sequential()
    net.add_module("conv1", nn.Conv2d(1, 2, 3))
    net.add_module("pool1", nn.MaxPool2d(2))
    with pytest.raises(UsageError) as caught:
        explain(table(net, 1, 8, 8), "convl")
    assert (caught.value.code, caught.value.hints) == ("CN202", ("conv1",))
    assert "conv1, pool1" in caught.value.where
    with pytest.raises(UsageError, match="no layer 77"):
        explain(table(net, 1, 8, 8), "77")
    with pytest.raises(UsageError, match="'fr'"):
        explain(table(net, 1, 8, 8), "conv1", "fr")


def test_a_layer_may_be_named_as_python_spells_it() -> None:
    of_net = table(lenet(), 1, 28, 28)
    assert explain(of_net, "net[7]") == explain(of_net, "7")


def fields(text: str) -> list[tuple[str, str]]:
    return sorted((name, spec or "") for _, name, spec, _ in Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("words", [WORDS, DIFFERENCES], ids=["explain", "compare"])
def test_the_languages_have_the_same_keys_and_fields(words: dict[str, dict[str, str]]) -> None:
    assert list(words) == ["en", "zh"] and set(words["en"]) == set(words["zh"])
    for key, text in words["en"].items():
        assert fields(text) == fields(words["zh"][key]), key
        assert text.isascii() and not words["zh"][key].isascii(), key


def test_the_languages_say_the_same_numbers(of_alexnet: Table) -> None:
    for of_net in (of_alexnet, table(lenet(), 1, 28, 28), table(alexnet(pad=2, groups=2, side=6), 1, 224, 224)):
        for layer in (None, *(row.name for row in of_net.rows)):
            english, chinese = explain(of_net, layer), explain(of_net, layer, "zh")
            assert [numbers([text]) for text in english] == [numbers([text]) for text in chinese]
    text = "\n".join(explain(of_alexnet, "0", "zh") + explain(of_alexnet, None, "zh"))
    assert all(term in text for term in ("卷积", "步幅", "填充", "通道", "全连接层", "参数", "权重", "偏置", "乘加"))
    assert "暂退法" in "".join(explain(of_alexnet, "16", "zh")) and "汇聚层" in "".join(explain(of_alexnet, "2", "zh"))


# --- against torch itself --------------------------------------------------------------------------------------------


def unread_by_gradient(layer: nn.Module, side: int) -> int:
    """Rows of the input on which no output depends, asked from torch."""
    x = torch.zeros(1, 1, side, side, requires_grad=True)
    layer(x).sum().backward()
    return int((x.grad.abs().sum((0, 1, 3)) == 0).sum())


@given(
    side=st.integers(1, 24), kernel=st.integers(1, 7), stride=st.integers(1, 9), padding=st.integers(0, 3),
    dilation=st.integers(1, 3), pool=st.booleans(), ceil=st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_what_is_never_read_and_what_meets_padding(
    side: int, kernel: int, stride: int, padding: int, dilation: int, pool: bool, ceil: bool
) -> None:
    if pool:
        padding, dilation = min(padding, kernel // 2), 1
        layer: nn.Module = nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil)
    else:
        layer = nn.Conv2d(1, 1, kernel, stride, padding, dilation, bias=False)
        nn.init.ones_(layer.weight)
    if side + 2 * padding < dilation * (kernel - 1) + 1:
        return
    lines = explain(table(nn.Sequential(layer), 1, side, side), "0")
    told = sum(int(n) for n in re.findall(r"never read: (\d+) of them", "\n".join(lines)))
    assert told == unread_by_gradient(layer, side)
    if not pool:
        macs = table(nn.Sequential(layer), 1, side, side).macs
        on_padding = int(
            next((re.findall(r"[\d,]+ ", t)[-1] for t in lines if t.startswith("of these")), "0").replace(",", "")
        )
        assert macs - on_padding == round(layer(torch.ones(1, 1, side, side)).sum().item())
    if stride > 1:
        low, high = map(int, re.findall(r"inputs of (\d+)\.\.(\d+)", "\n".join(lines))[0])
        assert low <= side <= high
        result = [layer(torch.zeros(1, 1, n, n)).shape[-1] for n in (side, low, high, high + 1)]
        assert result[0] == result[1] == result[2] < result[3]
        if low > 1 and low - 1 + 2 * padding >= dilation * (kernel - 1) + 1:
            assert layer(torch.zeros(1, 1, low - 1, low - 1)).shape[-1] < result[0]


@st.composite
def stacks(draw: Any) -> tuple[nn.Sequential, int]:
    """A random stack of convolutions and pools, then one or two dense layers, for images of 2 x side x side."""
    side = now = draw(st.integers(8, 40))
    channels, layers = 2, []
    for _ in range(draw(st.integers(1, 5))):
        kernel, stride, ceil = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.booleans())
        out, groups = draw(st.sampled_from([2, 4, 6])), draw(st.sampled_from([1, 2]))
        if now < kernel:
            break
        if draw(st.booleans()):
            layers.append(nn.MaxPool2d(kernel, stride, draw(st.integers(0, kernel // 2)), ceil_mode=ceil))
        else:
            layers.append(nn.Conv2d(channels, out, kernel, stride, draw(st.integers(0, 2)), groups=groups, bias=ceil))
            layers.append(nn.ReLU())
        channels, now = nn.Sequential(*layers)(torch.zeros(1, 2, side, side)).shape[1:3]
    widths = [channels * now * now, *draw(st.lists(st.integers(1, 9), min_size=1, max_size=2))]
    dense = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.Sigmoid())]
    return nn.Sequential(*layers, nn.Flatten(), *dense), side


def passes(net: nn.Module, side: int) -> bool:
    try:
        net(torch.zeros(1, 2, side, side))
    except RuntimeError:
        return False
    return True


@given(stacks())
@settings(deadline=None, max_examples=80)
def test_the_numbers_of_any_stack_are_those_of_the_table(stack: Any) -> None:
    net, side = stack
    of_net = table(net, 2, side, side)
    lines, told = explain(of_net), {}
    assert check_sums(lines) >= 1
    assert numbers(lines) == numbers(explain(of_net, language="zh"))
    assert line(lines, "parameters").endswith(f"= {sum(p.numel() for p in net.parameters()):,}")
    for column, text in (("parameters", line(lines, "where they sit")), ("macs", line(lines, "MACs"))):
        parts = re.findall(r"(?:convolutions|dense layers|the rest) ([\d,]+)", text)
        assert sum(int(n.replace(",", "")) for n in parts) == getattr(of_net, column)
    for row in of_net.rows:
        text = "\n".join(explain(of_net, row.name))
        check_sums(text.splitlines())
        assert numbers([text]) == numbers(explain(of_net, row.name, "zh"))
        for column, value in (("parameters", row.parameters), ("macs", row.macs)):
            told[column] = told.get(column, 0) + value
            assert f"{value:,}" in text or not value
    assert told == {"parameters": of_net.parameters, "macs": of_net.macs}
    for low, high in re.findall(r"images with a side of (\d+)\.\.(\d+)", "\n".join(lines)):
        assert all(passes(net, n) for n in (int(low), side, int(high)))
        assert not passes(net, int(high) + 1) and (int(low) == 1 or not passes(net, int(low) - 1))


class Table8Of12(nn.Module):
    """A convolution of 3 to 4 maps in which each output reads two inputs: 8 kernels of 12."""

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


def test_a_convolution_that_reads_some_of_the_maps_is_told_by_its_numbers() -> None:
    table = trace(nn.Sequential(Table8Of12()), (3, 4, 4))
    text = "\n".join(explain(table, "0"))
    assert "connected: 8 of 3 x 4 = 12 pairs" in text and "4 x 4 = 16 times" in text and "MACs: 1,152" in text
    # a 3x3 window on 4x4 with padding 1 reads 100 of its 144 taps inside the image: 8 kernels x 44 are on padding
    assert "without the 352 taps on padding: 800 MACs" in "\n".join(explain(table))
