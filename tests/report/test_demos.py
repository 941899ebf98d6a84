"""The demos of the displays run, without training anything."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from classicnets.events import Epoch, from_line
from classicnets.report import demo

Demo = Callable[..., list[str]]


@pytest.fixture
def run_demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Demo:
    """The lines that `python -m classicnets.report.MODULE` prints into a pipe; no warnings, and no pauses."""

    def run(module: str, *arguments: object) -> list[str]:
        name = f"classicnets.report.{module}"
        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setattr(sys, "argv", [module, *map(str, arguments)])
        monkeypatch.setattr("time.sleep", lambda _: None)
        runpy.run_module(name, run_name="__main__")
        out, err = capsys.readouterr()
        assert err == ""
        return out.splitlines()

    return run


def test_terminal_demo_prints_a_line_for_each_epoch_and_the_advice(run_demo: Demo) -> None:
    lines = run_demo("terminal")
    assert sum(line.startswith("epoch ") for line in lines) == demo.EPOCHS
    assert sum(line.startswith("coach: ") for line in lines) == 1 and lines[-1].endswith("done")


def test_jsonlines_demo_prints_events(run_demo: Demo) -> None:
    events = [from_line(line) for line in run_demo("jsonlines")]
    assert sum(isinstance(event, Epoch) for event in events) == demo.EPOCHS


def test_figures_demo_writes_the_figures_that_it_names(run_demo: Demo, tmp_path: Path) -> None:
    paths = [Path(line) for line in run_demo("figures", tmp_path / "figures")]
    names = ["curves.png", "confusion.png", "calibration.png", "contact_sheet.png"]
    assert paths == [tmp_path / "figures" / name for name in names]
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "PNG" and min(image.size) > 300
