"""What the benchmarks share, and the page that is made of what they find."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import timing
from pages import performance
from timing import Row

BENCHMARKS = Path(timing.__file__).parent


def row(*values: float, what: str = "an epoch", **rest) -> Row:
    return Row(what=what, ours="ours", theirs="theirs", values=values, **rest)


def test_the_two_take_turns_and_the_warm_up_does_not_count():
    called = []

    def reading(name: str, seconds: list[float]):
        each = iter(seconds)

        def read() -> float:
            called.append(name)
            return next(each)

        return read

    pairs = timing.pair_by_pair(reading("a", [9, 1, 2, 4]), reading("b", [9, 3, 4, 10]), pairs=3)
    assert "".join(called) == "ab" + "ab" + "ba" + "ab"
    assert pairs.ratios == (3.0, 2.0, 2.5)
    found = timing.compared(pairs, what="x", ours="a", theirs="b", at_least=2.0)
    assert (found.median, found.our_seconds, found.their_seconds, found.verdict) == (2.5, 2, 4, "met")


def test_the_clock_counts_each_call(monkeypatch):
    ticks, calls = iter([100.0, 103.0]), []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(ticks))
    assert timing.clock(lambda: calls.append(1), calls=6)() == 0.5
    assert len(calls) == 6


@pytest.mark.parametrize(
    ("found", "verdict"),
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
def test_the_verdict_is_that_of_the_median(found, verdict):
    assert found.verdict == verdict


@pytest.mark.parametrize(("value", "text"), [(0.14251, "0.143 s"), (150.0, "150 s"), (999.6, "1,000 s")])
def test_quantities_are_short(value, text):
    assert timing.quantity(value, "s") == text


def test_other_programs_are_what_all_processors_did_and_we_did_not():
    before = timing.Conditions(None, wall=0.0, all_work=100.0, own_work=10.0)
    assert timing.busy_beside(before, timing.Conditions(None, 10.0, 125.0, 30.0)) == (0.5, True)
    assert timing.busy_beside(before, timing.Conditions(None, 10.0, 121.0, 30.0)) == (0.1, False)


@pytest.fixture
def other_programs(monkeypatch) -> list[float]:
    """Takes the place of the machine's load: the cores that other programs have while something is measured."""
    cores, wall = [0.0], iter(range(100))

    def conditions() -> timing.Conditions:
        now = float(next(wall))
        return timing.Conditions((0.5, 0.5, 0.5), now, all_work=now * (1 + cores[0]), own_work=now)

    monkeypatch.setattr(timing, "conditions", conditions)
    return cores


@pytest.fixture
def results(tmp_path, monkeypatch, other_programs):
    monkeypatch.setattr(
        sys, "argv", ["/here/lenet.py", "--pairs", "2", "--out", "/there/lenet.json", "/a/b/c/d/python"]
    )
    rows = [
        row(3.0, 4.0, at_least=3.0, reach=3.5, our_seconds=0.0025, their_seconds=2.0),
        row(2.0, 1.0, what="prediction", at_least=3.0),
    ]
    timing.write(tmp_path / "lenet.json", rows, timing.conditions(), skipped=["keras (pip install keras jax)"])
    limit = Row(what="starting", ours="warm", values=[0.2], unit="s", at_least=0.3, reach=0.15, less_is_better=True)
    timing.write(tmp_path / "gpu" / "start.json", [limit], timing.conditions())
    return tmp_path


def test_what_is_written_is_read_again_without_places_of_this_machine(results):
    rows, facts = timing.read(results / "lenet.json")
    assert [one.median for one in rows] == [3.5, 1.5]
    assert facts["command"] == "python benchmarks/lenet.py --pairs 2 c/d/python"
    assert {"load_before", "load_after", "busy", "threads", "date", "processor", "versions"} <= set(facts)
    assert [one["verdict"] for one in json.loads((results / "lenet.json").read_text())["rows"]] == [
        "reached",
        "missed by 1.50",
    ]


def test_the_page_shows_every_row_and_hides_no_miss(results):
    page = performance.page("", results, by_hand="\n\nTried: nothing.\n")
    assert "| an epoch | ours: 2.50 ms | theirs: 2.00 s | 3.50 (3.00 to 4.00, n = 2) | at least 3.00 | 3.50 |" in page
    assert "| **missed by 1.50** |" in page
    assert "3 rows have a target: 1 reach the stretch target, 1 meet the target, 1 miss it:" in page
    assert "- prediction: missed by 1.50" in page
    assert "| starting | warm |  | 0.200 s (n = 1) | at most 0.300 s | 0.150 s | met |" in page
    assert "Skipped: keras (pip install keras jax)." in page
    assert page.endswith(f"{performance.BY_HAND}\n\nTried: nothing.\n")


def test_the_page_says_that_the_machine_was_busy(results, other_programs):
    path = results / "lenet.json"
    assert json.loads(path.read_text())["busy"] is False
    assert "busy" not in performance.page("", results, by_hand="")
    other_programs[0] = 0.5
    timing.write(path, [row(3.0)], timing.conditions())
    assert json.loads(path.read_text())["busy"] is True
    assert "The machine was busy" in performance.page("", results, by_hand="")


@pytest.mark.slow
def test_every_script_still_finds_what_it_imports():
    names = sorted(path.stem for path in BENCHMARKS.glob("*.py"))
    code = f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); import {', '.join(names)}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("script", ["suite", "lenet"])
def test_a_script_says_how_it_is_used(script):
    done = subprocess.run([sys.executable, str(BENCHMARKS / f"{script}.py"), "-h"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"benchmarks/{script}.py" in done.stdout
