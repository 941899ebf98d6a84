"""The code that benchmarks share, and the page that is made from their results."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import timing
from pages import performance
from timing import Row

BENCHMARKS = Path(timing.__file__).parent
ROOT = BENCHMARKS.parent


def row(*values: float, what: str = "an epoch", **rest: Any) -> Row:
    return Row(what=what, ours="ours", theirs="theirs", values=values, **rest)


def test_pairs_alternate_and_warm_up_is_not_counted() -> None:
    called: list[str] = []

    def reading(name: str, seconds: list[float]) -> Callable[[], float]:
        readings = iter(seconds)

        def read() -> float:
            called.append(name)
            return next(readings)

        return read

    pairs = timing.pair_by_pair(reading("a", [9, 1, 2, 4]), reading("b", [9, 3, 4, 10]), pairs=3)
    assert "".join(called) == "ab" + "ab" + "ba" + "ab"
    assert pairs.ratios == (3.0, 2.0, 2.5)
    result = timing.compared(pairs, what="x", ours="a", theirs="b", at_least=2.0)
    assert (result.median, result.our_seconds, result.their_seconds, result.verdict) == (2.5, 2, 4, "met")


def test_clock_divides_by_the_number_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks, calls = iter([100.0, 103.0]), []
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert timing.clock(lambda: calls.append(1), calls=6)() == 0.5
    assert len(calls) == 6


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (row(5.0, 4.0, 9.0, at_least=3.0, reach=5.0), "reached"),
        (row(3.0, at_least=3.0, reach=5.0), "met"),
        (row(2.5, at_least=3.0, reach=5.0), "missed by 0.500"),
        (row(2.5), ""),
        (row(0.1, unit="s", at_least=0.3, reach=0.15, less_is_better=True), "reached"),
        (row(0.2, unit="s", at_least=0.3, reach=0.15, less_is_better=True), "met"),
        (row(0.4, unit="s", at_least=0.3, reach=0.15, less_is_better=True), "missed by 0.100 s"),
    ],
)
def test_verdict_uses_the_median(result: Row, verdict: str) -> None:
    assert result.verdict == verdict


@pytest.mark.parametrize(("value", "text"), [(0.14251, "0.143 s"), (150.0, "150 s"), (999.6, "1,000 s")])
def test_quantities_have_three_digits(value: float, text: str) -> None:
    assert timing.quantity(value, "s") == text


def test_load_of_other_programs_excludes_our_own() -> None:
    before = timing.Conditions(None, wall=0.0, all_work=100.0, own_work=10.0)
    assert timing.cores_of_others(before, timing.Conditions(None, 10.0, 125.0, 30.0)) == (0.5, True)
    assert timing.cores_of_others(before, timing.Conditions(None, 10.0, 121.0, 30.0)) == (0.1, False)


@pytest.fixture
def other_programs(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replaces the machine's load: the cores that other programs use during a measurement."""
    cores, wall = [0.0], iter(range(100))

    def conditions() -> timing.Conditions:
        now = float(next(wall))
        return timing.Conditions((0.5, 0.5, 0.5), now, all_work=now * (1 + cores[0]), own_work=now)

    monkeypatch.setattr(timing, "conditions", conditions)
    return cores


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other_programs: list[float]) -> Path:
    monkeypatch.setattr(
        sys, "argv", ["/here/benchmarks/lenet.py", "--pairs", "2", "--out", "/there/lenet.json", "/a/b/c/d/python"]
    )
    rows = [
        row(3.0, 4.0, at_least=3.0, reach=3.5, our_seconds=0.0025, their_seconds=2.0),
        row(2.0, 1.0, what="prediction", at_least=3.0),
    ]
    timing.write(tmp_path / "lenet.json", rows, timing.conditions(), skipped=["keras (pip install keras jax)"])
    limit = Row(what="starting", ours="warm", values=[0.2], unit="s", at_least=0.3, reach=0.15, less_is_better=True)
    timing.write(tmp_path / "gpu" / "start.json", [limit], timing.conditions())
    return tmp_path


def test_results_are_read_back_without_absolute_paths(results: Path) -> None:
    rows, facts = timing.read(results / "lenet.json")
    assert [row.median for row in rows] == [3.5, 1.5]
    assert facts["command"] == "python benchmarks/lenet.py --pairs 2 c/d/python"
    assert {"load_before", "load_after", "busy", "threads", "date", "processor", "versions"} <= set(facts)
    assert [row["verdict"] for row in json.loads((results / "lenet.json").read_text())["rows"]] == [
        "reached",
        "missed by 1.50",
    ]


def test_page_shows_every_row_and_every_missed_target(results: Path) -> None:
    page = performance.page("", results, by_hand="\n\nTried: nothing.\n")
    assert "| an epoch | ours: 2.50 ms | theirs: 2.00 s | 3.50 (3.00 to 4.00, n = 2) | at least 3.00 | 3.50 |" in page
    assert "| **missed by 1.50** |" in page
    assert "3 rows have a target: 1 reach the stretch target, 1 meet the target, 1 miss it:" in page
    assert "- prediction: missed by 1.50" in page
    assert "| starting | warm |  | 0.200 s (n = 1) | at most 0.300 s | 0.150 s | met |" in page
    assert "Skipped: keras (pip install keras jax)." in page
    assert page.endswith(f"{performance.BY_HAND}\n\nTried: nothing.\n")


def test_page_warns_that_the_machine_was_busy(results: Path, other_programs: list[float]) -> None:
    path = results / "lenet.json"
    assert json.loads(path.read_text())["busy"] is False
    assert "busy" not in performance.page("", results, by_hand="")
    other_programs[0] = 0.5
    timing.write(path, [row(3.0)], timing.conditions())
    assert json.loads(path.read_text())["busy"] is True
    assert "The machine was busy" in performance.page("", results, by_hand="")


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["benchmarks", "studies"])
def test_every_script_can_be_imported(folder: str) -> None:
    scripts = ROOT / folder
    names = sorted(path.stem for path in scripts.glob("*.py"))
    code = f"import sys; sys.path.insert(0, {str(scripts)!r}); import {', '.join(names)}"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
@pytest.mark.parametrize("script", ["suite", "lenet"])
def test_script_shows_its_usage(script: str) -> None:
    process = subprocess.run([sys.executable, str(BENCHMARKS / f"{script}.py"), "-h"], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert f"benchmarks/{script}.py" in process.stdout
