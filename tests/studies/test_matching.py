"""Matching: the widths with which arms have as many parameters or MACs as the first one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest
import torch

from classicnets.errors import UsageError
from classicnets.inspection.shapes import trace
from classicnets.models.registry import NETS
from classicnets.models.variants import vary
from classicnets.runs import net_spec
from classicnets.spec import run_spec
from classicnets.studies.matching import Match, match
from classicnets.training.plan import Plan, plan

What = Literal["parameters", "macs"]


def fake(parameters: int, macs: int = 0) -> Plan:
    """A plan of which only the counts are read."""
    return cast(Plan, SimpleNamespace(table=SimpleNamespace(parameters=parameters, macs=macs)))


def counted(name: str, variation: dict[str, Any] | None = None) -> Callable[[float], Plan]:
    """The counts of a network of the registry with a width."""
    with torch.device("meta"):
        net = vary(NETS[name].load()(), **(variation or {}))

    def at(width: float) -> Plan:
        table = trace(vary(net, width=width), NETS[name].input)
        return fake(table.parameters, table.macs)

    return at


@pytest.mark.parametrize("what", ["parameters", "macs"])
def test_finds_the_nearest_width_of_all(what: What) -> None:
    """Against every width of the grid, for numbers that rise in steps like those of a small network."""

    def units(n: int, width: float) -> int:
        return max(1, round(n * width))

    def make(_arm: str, width: float) -> Plan:
        c, f = units(6, width), units(20, width)
        return fake(25 * c + 16 * c * f + 10 * f, 784 * 25 * c + 16 * c * f)

    numbers = {steps: getattr(make("", steps / 1000).table, what) for steps in range(10, 100_001)}
    own = numbers[1000]
    assert [*numbers.values()] == sorted(numbers.values())
    for target in [1, own // 3, own - 1, own, own + 1, 2 * own, 7 * own, numbers[100_000] + 5]:
        first = fake(target, target)
        found = match({"first": first, "arm": make("arm", 1.0)}, what, make)
        assert [*found] == ["arm"] and found["arm"].target == target and found["arm"].what == what
        nearest = min(abs(number - target) for number in numbers.values())
        assert abs(found["arm"].value - target) == nearest
        assert found["arm"].value == numbers[round(found["arm"].width * 1000)]
        assert target != own or found["arm"].width == 1


def test_matches_networks_in_few_steps() -> None:
    calls = []
    arms = {"max": counted("lenet_d2l"), "small": counted("lenet_d2l_v1"), "caffe": counted("lenet_caffe")}

    def make(arm: str, width: float) -> Plan:
        calls.append(arm)
        return arms[arm](width)

    plans = {"first": counted("lenet_d2l")(1), **{name: at(1) for name, at in arms.items()}}
    found = match(plans, "parameters", make)
    assert found["max"] == Match(1, "parameters", 61706, 61706) and "max" not in calls
    assert found["small"].width > 1 > found["caffe"].width
    assert all(abs(found[arm].difference) < 0.01 for arm in found) and len(calls) < 30


def test_keeps_a_width_that_is_as_near_as_any_other() -> None:
    def make(_arm: str, width: float) -> Plan:
        return fake(100 if width <= 1.5 else 140)

    assert match({"a": fake(120), "b": fake(100)}, "parameters", make)["b"].width == 1


def test_plans_of_real_runs_are_matched(blobs: Any) -> None:
    def make(arm: str, width: float) -> Plan:
        variation = {"pool": "max"} if arm == "max" else {"norm": "batch_after"}
        settings = {"variation": {**variation, "width": width}} if width != 1 else {"variation": variation}
        return plan(*run_spec("lenet_d2l", data=str(blobs), **settings))

    plans = {arm: make(arm, 1) for arm in ("max", "norm")}
    found = match(plans, "parameters", make)["norm"]
    assert found.target == plans["max"].table.parameters == 61706
    assert found.width <= 1 and abs(found.value - 61706) <= 2 * (6 + 16)  # its normalizations have so many more


@pytest.mark.parametrize("net", ["lenet5_1998", "module"])
def test_names_the_arm_that_cannot_be_widened(net: str) -> None:
    def make(_arm: str, width: float) -> Plan:
        if net == "module":
            raise UsageError("CN204", "a module that is passed in Python stays as it is")
        spec = net_spec.with_variation(net_spec.find(net), {"width": width})
        spec.__class__(**{**spec.to_dict(), "num_classes": 10, "in_channels": 1, "image_size": 32}).build_for_shapes()
        raise AssertionError("lenet5_1998 cannot be widened")

    with pytest.raises(UsageError) as caught:
        match({"average": fake(10), "sparse": fake(20)}, "parameters", make)
    error = caught.value
    assert error.code == "CN204" and "sparse" in error.what and "average" in error.what
    assert ("C3 is a TableConv2d" if net != "module" else "passed in Python") in error.why
    assert error.hints == ('remove match = "parameters" from the study, and compare the arms as they are',)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (Match(1.23, "parameters", 61500, 61706), "widened 1.23 times: 61,500 parameters, 0.3 % below 61,706 of a"),
        (Match(0.8, "macs", 420000, 400000), "narrowed to 0.8 of its width: 420,000 MACs, 5.0 % above 400,000 of a"),
        (Match(1, "macs", 7, 7), "of its own width: 7 MACs, as many as a"),
        (
            Match(1, "parameters", 10001, 10000),
            "of its own width: 10,001 parameters, less than 0.1 % above 10,000 of a",
        ),
    ],
)
def test_describes_a_match(found: Match, line: str) -> None:
    assert found.line("a") == line
