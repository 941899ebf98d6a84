"""The demos of the displays run, without training anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

from classicnets.events import Epoch, from_line
from classicnets.report import demo


def run_demo(module: str, *arguments: object) -> list[str]:
    """The lines that `python -m classicnets.report.MODULE` prints into a pipe; no warnings."""
    command = [sys.executable, "-m", f"classicnets.report.{module}", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0 and result.stderr == ""
    return result.stdout.splitlines()


def test_terminal_demo_prints_a_line_for_each_epoch_and_the_advice() -> None:
    lines = run_demo("terminal")
    assert sum(line.startswith("epoch ") for line in lines) == demo.EPOCHS
    assert sum(line.startswith("coach: ") for line in lines) == 1 and lines[-1].endswith("done")


def test_jsonlines_demo_prints_events() -> None:
    events = [from_line(line) for line in run_demo("jsonlines")]
    assert sum(isinstance(event, Epoch) for event in events) == demo.EPOCHS


def test_figures_demo_writes_the_figures_that_it_names(tmp_path: Path) -> None:
    paths = [Path(line) for line in run_demo("figures", tmp_path / "figures")]
    names = ["curves.png", "confusion.png", "calibration.png", "contact_sheet.png"]
    assert paths == [tmp_path / "figures" / name for name in names]
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "PNG" and min(image.size) > 300
