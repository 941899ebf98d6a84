from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from classicnets.errors import UsageError
from classicnets.inspection.compare import Comparison, compare, differences
from classicnets.inspection.shapes import Table, trace
from support.tables import alexnet, lenet, same_numbers, table
from support.typed import present


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(table(lenet(), 1, 28, 28), table(alexnet(), 1, 224, 224))


def layer_pairs(comparison: Comparison) -> list[tuple[str, str]]:
    return [(pair.left.name if pair.left else "", pair.right.name if pair.right else "") for pair in comparison.pairs]


def test_aligns_lenet_with_alexnet(comparison: Comparison) -> None:
    assert layer_pairs(comparison) == [
        ("0", "0"), ("1", "1"), ("2", "2"), ("3", "3"), ("4", "4"), ("5", "5"),
        ("", "6"), ("", "7"), ("", "8"), ("", "9"), ("", "10"), ("", "11"), ("", "12"),
        ("6", "13"), ("7", "14"), ("8", "15"), ("", "16"), ("9", "17"), ("10", "18"), ("", "19"), ("11", "20"),
    ]  # fmt: skip
    assert [pair.operation for pair in comparison.pairs].count("added") == 9
    assert not any(pair.equal for pair in comparison.pairs) and not comparison.equal
    assert {"kind", "outputs"} <= set(comparison.pairs[1].changes)
    totals = comparison.totals
    assert (totals["parameters"].left, totals["parameters"].right) == (61_706, 46_764_746)
    assert (totals["macs"].left, totals["macs"].right) == (416_520, 938_146_176)
    assert round(present(totals["parameters"].ratio), 1) == 757.9 and round(present(totals["macs"].ratio)) == 2252


def test_describes_the_differences(comparison: Comparison) -> None:
    assert differences(comparison) == [
        "input: 1x224x224 instead of 1x28x28",
        "more layers with parameters: 8 instead of 5 (convolutions: 5 instead of 2, dense layers: 3 instead of 3)",
        "larger kernels: 11, 5, 3, 3, 3 instead of 5, 5; the largest is 11 instead of 5",
        "larger strides: 4, 1, 1, 1, 1 instead of 1, 1; the largest is 4 instead of 1",
        "wider convolutions: channels 96, 256, 384, 384, 256 instead of 6, 16; 1376 instead of 22 in total, "
        "a factor of 62.5",
        "wider dense layers: 4096, 4096, 10 instead of 120, 84, 10; 8202 instead of 214 in total, a factor of 38.3",
        "activation: ReLU x7 instead of Sigmoid x4",
        "pooling: maximum instead of average",
        "pooling windows (size/stride): 3/2 instead of 2/2",
        "the pooling windows overlap; those of the other network do not",
        "dropout: Dropout x2 instead of none",
        "more parameters: 46,764,746 instead of 61,706, a factor of 757.9",
        "more MACs: 938,146,176 instead of 416,520, a factor of 2,252",
        "more bytes of layer outputs per image: 5,301,800 instead of 58,408, a factor of 90.8",
        "layer by layer: 0 equal, 12 changed, 9 added, 0 removed",
    ]


def test_describes_the_differences_in_the_other_direction(comparison: Comparison) -> None:
    lines = differences(compare(comparison.right, comparison.left))
    assert "fewer parameters: 61,706 instead of 46,764,746, a factor of 757.9" in lines
    assert "smaller kernels: 5, 5 instead of 11, 5, 3, 3, 3; the largest is 5 instead of 11" in lines
    assert "dropout: none instead of Dropout x2" in lines
    assert "layer by layer: 0 equal, 12 changed, 0 added, 9 removed" in lines


def test_both_languages_have_the_same_numbers(comparison: Comparison) -> None:
    english, chinese = differences(comparison), differences(comparison, "zh")
    assert same_numbers(english, chinese)
    assert "暂退法：前者没有，后者有 Dropout x2" in chinese
    with pytest.raises(UsageError, match="'fr'"):
        differences(comparison, "fr")


def test_a_network_equals_itself() -> None:
    same = compare(table(lenet(), 1, 28, 28), table(lenet(), 1, 28, 28))
    assert same.equal and all(pair.equal and pair.changes == () for pair in same.pairs)
    assert differences(same) == ["no difference: all 12 layers are equal"]
    assert all(total.ratio == 1 for total in same.totals.values())


def test_pairs_equal_layers_around_an_inserted_layer() -> None:
    plain = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()]
    longer = [nn.Conv2d(1, 1, 5, padding=2), nn.ReLU(), *plain]
    result = compare(table(nn.Sequential(*plain), 1, 8, 8), table(nn.Sequential(*longer), 1, 8, 8))
    assert layer_pairs(result) == [("", "0"), ("", "1"), ("0", "2"), ("1", "3"), ("2", "4"), ("3", "5")]
    assert [pair.operation for pair in result.pairs] == ["added"] * 2 + ["equal"] * 4


def test_reports_only_the_replaced_activation() -> None:
    changed = lenet()
    changed[1] = nn.ReLU()
    result = compare(table(lenet(), 1, 28, 28), table(changed, 1, 28, 28))
    assert differences(result) == [
        "activation: ReLU x1, Sigmoid x3 instead of Sigmoid x4",
        "layer by layer: 11 equal, 1 changed, 0 added, 0 removed",
    ]
    assert [pair.changes for pair in result.pairs if not pair.equal] == [("kind",)]


class Functional(nn.Module):
    def __init__(self, activation: Callable[..., Any] = F.relu) -> None:
        super().__init__()
        self.conv, self.fc, self.activation = nn.Conv2d(1, 2, 3), nn.Linear(2 * 3 * 3, 2), activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc(F.max_pool2d(self.activation(self.conv(x)), 2).flatten(1))
        return x


def test_counts_activations_and_pools_in_forward() -> None:
    left = table(Functional(), 1, 8, 8)
    layered = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 2))
    lines = differences(compare(left, table(layered, 1, 8, 8)))
    assert not [text for text in lines if text.startswith(("activation", "pooling:"))]
    result = compare(left, table(Functional(torch.tanh), 1, 8, 8))
    assert not result.equal and "activation: Tanh x1 instead of ReLU x1" in differences(result)


def test_converts_to_json(comparison: Comparison) -> None:
    values = json.loads(json.dumps(comparison.to_dict()))
    assert values["totals"]["parameters"] == {"left": 61706, "right": 46764746, "ratio": 46764746 / 61706}
    assert [pair["operation"] for pair in values["pairs"]].count("changed") == 12
    added = next(pair for pair in values["pairs"] if pair["operation"] == "added")
    assert added["left"] is None and added["right"]["parameters"] == 885_120
    empty = compare(trace(nn.Identity(), (3,)), trace(nn.Linear(3, 1), (3,)))
    assert empty.totals["macs"].ratio is None and empty.to_dict()["totals"]["macs"]["ratio"] is None
    assert differences(empty)[-1] == "layer by layer: 0 equal, 0 changed, 1 added, 1 removed"


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: nn.Conv2d(2, 2, 3, padding=1), "pool": lambda: nn.MaxPool2d(3, 1, 1), "relu": nn.ReLU,
    "average": lambda: nn.AvgPool2d(3, 1, 1), "drop": nn.Dropout, "norm": lambda: nn.BatchNorm2d(2),
    "grouped": lambda: nn.Conv2d(2, 2, 1, groups=2), "tanh": nn.Tanh,
}  # fmt: skip
STACKS = st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=7)


def stack(kinds: list[str]) -> Table:
    with torch.device("meta"):
        return trace(nn.Sequential(*(LAYERS[kind]() for kind in kinds)), (2, 6, 6))


@given(STACKS, STACKS)
@settings(deadline=None, max_examples=60)
def test_pairs_contain_every_row_once_and_in_order(left: Any, right: Any) -> None:
    left_table, right_table = stack(left), stack(right)
    result, reverse = compare(left_table, right_table), compare(right_table, left_table)
    assert [pair.left for pair in result.pairs if pair.left] == list(left_table.rows)
    assert [pair.right for pair in result.pairs if pair.right] == list(right_table.rows)
    matched = [pair for pair in result.pairs if pair.left and pair.right]
    assert len(matched) == sum(pair.left is not None and pair.right is not None for pair in reverse.pairs)
    assert all(pair.equal == (pair.operation == "equal") == (not pair.changes) for pair in matched)
    assert result.equal == (left == right)
    english, chinese = differences(result), differences(result, "zh")
    assert same_numbers(english, chinese)
    assert (len(english) == 1 and "no difference" in english[0]) == result.equal
