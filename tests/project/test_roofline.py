"""The benchmarks that take any network: their counts and their figures; nothing is timed."""

from __future__ import annotations

import argparse
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.text import Text
from PIL import Image
from torch.testing import assert_close

import ceilings
import drawing
import roofline
import scale
import subject
import timing
from classicnets.errors import UsageError
from classicnets.inspection.shapes import trace
from classicnets.models import lenet
from classicnets.report import figures
from support.typed import present

BATCH, SHAPE = 4, (1, 12, 12)
NET = """
from torch import nn

squash = nn.Sigmoid()
net = nn.Sequential(
    nn.ZeroPad2d(1),
    nn.Conv2d(1, 4, 3),
    nn.ReLU(inplace=True),
    nn.BatchNorm2d(4),
    nn.MaxPool2d(2),
    nn.Conv2d(4, 6, 3, groups=2, bias=False),
    squash,
    nn.AdaptiveAvgPool2d(2),
    nn.Flatten(),
    nn.Dropout(),
    nn.Linear(24, 8),
    squash,
    nn.Linear(8, 3),
)
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("nets") / "mine.py"
    path.write_text(NET)
    return f"{path}:net"


def work(spec: str, precision: str = "float32") -> tuple[subject.ExportSource, subject.Work]:
    chosen = subject.load(spec, SHAPE)
    return chosen, subject.Work(chosen, BATCH, torch.device("cpu"), precision)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def measured(
    spec: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[Path, list[timing.Row], dict[str, Any]]:
    out = tmp_path_factory.mktemp("results") / "new" / "mine.json"
    given = ["--input", "1x12x12", "--batch", str(BATCH), "--quick", "--threads", "1", "--precision", request.param]
    with redirect_stdout(io.StringIO()) as printed:
        roofline.main([spec, *given, "--out", str(out), "--json"])
    assert json.loads(printed.getvalue()) == json.loads(out.read_text())
    return out, *timing.read(out)


def test_roofline_counts_as_the_layer_table(spec: str, measured: tuple[Path, list[timing.Row], dict[str, Any]]) -> None:
    _, rows, _ = measured
    table = subject.load(spec, SHAPE).table
    parts = [row for row in rows if row.facts.get("direction")]
    forward, backward = ([row for row in parts if row.facts["direction"] == d] for d in ("forward", "backward"))
    assert [row.facts["layer"] for row in forward] == [row.name for row in table.rows]  # a layer used twice comes twice
    assert sum(row.facts["flop"] for row in forward) == 2 * BATCH * table.macs
    first, *others = (row.macs for row in table.rows if row.macs)
    assert sum(row.facts["flop"] for row in backward) == 2 * BATCH * (first + 2 * sum(others))
    assert {row.facts["layer"] for row in backward} == {row.name for row in table.rows} - {
        "0"
    }  # nothing to learn there
    [whole] = [row for row in rows if row.what == "whole step"]
    assert whole.facts["macs"] == table.macs and whole.facts["not_alone"] == []


def test_shares_add_up_to_the_step_and_rates_use_the_measured_times(
    measured: tuple[Path, list[timing.Row], dict[str, Any]],
) -> None:
    _, rows, facts = measured
    parts = [row for row in rows if "share" in row.facts]
    assert sum(row.facts["share"] for row in parts) == pytest.approx(1)
    assert [row.what for row in parts[-3:]] == ["loss", "optimiser", "the rest"]
    for row in parts:
        if row.facts["flop"]:
            assert row.facts["gflop_per_second"] == pytest.approx(row.facts["flop"] / row.median / 1e9)
            assert row.facts["flop_per_byte"] == pytest.approx(row.facts["flop"] / row.facts["bytes"])
    found = ceilings.best([row for row in rows if row.ours == "ceiling"])
    assert found.keys() == {"arithmetic", "memory", "cache"} and all(row.median > 0 for row in found.values())
    assert facts["threads"] == 1 and facts["date"] and facts["versions"]["torch"]


def test_roofline_is_drawn(measured: tuple[Path, list[timing.Row], dict[str, Any]]) -> None:
    out, _, _ = measured
    with Image.open(out.with_suffix(".png")) as image:
        assert image.format == "PNG" and min(image.size) > 500
        colors = image.convert("RGB").getcolors(10**6)
        assert colors is not None and len(colors) > 20


def test_bytes_match_the_tensors(spec: str) -> None:
    _, prepared = work(spec)
    prepared.net.train()
    found, logits = roofline.calls(prepared)
    last, flat, relu = found[-1], found[8], found[2]
    weights = 8 * 3 + 3
    assert last.bytes("forward") == 4 * (BATCH * 8 + BATCH * 3 + weights)
    assert last.bytes("backward") == 4 * (2 * BATCH * 8 + BATCH * 3 + 2 * weights)
    assert flat.view and flat.bytes("forward") == flat.bytes("backward") == 0
    assert relu.in_place and relu.bytes("forward") == 4 * 2 * BATCH * 4 * 12 * 12
    assert logits.shape == (BATCH, 3)


def test_single_layer_computes_the_gradients_of_the_step(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, prepared = work(spec)
    prepared.net.train()
    monkeypatch.setattr(prepared.state.optimizer, "zero_grad", lambda: None)  # or the step leaves none
    found, _ = roofline.calls(prepared)
    assert found[0].backward(prepared) is None
    for call in found:
        call.forward(prepared)()
    for call in (call for call in found if call.weights()):
        gradients = present(call.backward(prepared))()
        assert isinstance(gradients, tuple)
        for gradient, parameter in zip(gradients[-len(call.weights()) :], call.weights(), strict=True):
            assert_close(gradient, parameter.grad)
            assert present(parameter.grad).abs().max() > 0


def test_rejects_a_network_without_logits(tmp_path: Path) -> None:
    (tmp_path / "map.py").write_text("from torch import nn\nnet = nn.Conv2d(1, 2, 3)\n")
    with pytest.raises(UsageError) as caught:
        subject.load(f"{tmp_path / 'map.py'}:net", SHAPE)
    assert caught.value.code == "CN204" and "2x10x10" in str(caught.value)


def test_names_do_not_overlap_in_a_crowded_roofline() -> None:
    rows = [
        timing.Row(
            what=f"{i}",
            ours="",
            values=[1e-3],
            unit="s",
            facts={"layer": f"layer{i}", "kind": "Conv2d", "direction": "forward", "share": 0.05}
            | {"flop_per_byte": 10 + i / 10, "gflop_per_second": 50 + i / 10},
        )
        for i in range(12)
    ]
    tops = {n: timing.Row(what=n, ours="ceiling", values=[100.0]) for n in ("arithmetic", "memory", "cache")}
    about = {"net": "n", "batch": 1, "input": [1, 2, 2], "precision": "float32", "device": "cpu"}
    whole = timing.Row(what="whole step", ours="n", values=[0.02], facts=about)
    facts = {"processor": "p", "threads": 1, "date": "d", "busy": False, "load_before": None}
    figure = drawing.roofline([*rows, whole], tops, {**facts, "versions": {"torch": "2"}})
    assert figures.png(figure)
    names = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    assert len(names) > 3 and not any(a.overlaps(b) for i, a in enumerate(names) for b in names[:i])


def test_exponent_is_the_slope_of_a_power() -> None:
    assert scale.slope([(x, 3 * x**1.5) for x in (1, 2, 5, 9)]) == pytest.approx(1.5)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(args: argparse.Namespace, axis: str, at: float) -> dict[str, Any]:
        args.point = axis, str(at)
        return scale.measure_point(args)

    monkeypatch.setattr(scale, "measure_in_new_process", here)


def test_scale_measures_every_axis_and_draws(
    spec: str, tmp_path: Path, in_this_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scale.json"
    scale.main([spec, "--input", "1x12x12", "--batch", "4", "--quick", "--threads", "1", "--out", str(out)])
    rows, facts = timing.read(out)
    printed = capsys.readouterr().out
    timed = [(axis, name) for axis in ("batch", "side", "width") for name in ("step", "inference")]
    for axis, name in [*timed, ("images", "epoch")]:
        points = [row.facts["at"] for row in rows if row.what.startswith(f"{name}, {axis}")]
        assert points == scale.values(axis, 12, quick=True)
        [slope] = [row for row in rows if row.what == f"{name} against {axis}"]
        assert slope.unit == "exponent" and f"{slope.median:.2f}" in printed
    widths = {row.facts["at"]: row.facts["macs"] for row in rows if row.what.startswith("step, width")}
    assert widths[2] > 2 * widths[1] and facts["skipped"] == []
    with Image.open(out.with_suffix(".png")) as image:
        assert image.format == "PNG" and min(image.size) > 500


def test_reports_an_axis_that_the_network_does_not_support(
    tmp_path: Path, in_this_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fixed.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.out = nn.Linear(144, 3)\n    def forward(self, x):\n        return self.out(x.flatten(1))\n"
    )
    out = tmp_path / "fixed.json"
    given = [f"{tmp_path / 'fixed.py'}:Net", "--input", "1x12x12", "--axes", "side", "width", "--quick"]
    scale.main([*given, "--out", str(out)])
    _, facts = timing.read(out)
    assert [line.split(": ")[:2] for line in facts["skipped"]] == [["side", "not 24"], ["width", "not 1"]]
    assert "24x24" in facts["skipped"][0] and "only its forward() defines the order" in facts["skipped"][1]
    assert "only its forward() defines the order" in capsys.readouterr().out


@pytest.mark.slow
def test_memory_of_a_separate_process_includes_the_images(spec: str) -> None:
    count = 200_000
    given = [spec, "--batch", "100", "--quick", "--threads", "1", "--out", "none.json"]
    parsed = argparse.Namespace(given=given, input=SHAPE)
    found = scale.measure_in_new_process(parsed, "images", count)["values"]
    images = count * 12 * 12 / 1e6
    assert images < found["memory"][0] < 3 * images and min(found["epoch"]) > 0


def test_measures_a_network_of_another_width_or_says_why_not() -> None:
    assert trace(scale.widened(lenet.lenet_d2l(), 2), (1, 28, 28)).rows[0].outputs[0] == 12
    with pytest.raises(UsageError, match="width") as caught:
        scale.widened(lenet.lenet5_1998(), 2)
    assert "C3 is a TableConv2d" in str(caught.value)
