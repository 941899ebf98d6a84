"""Shared by the benchmarks: timing two functions pair by pair, a row of results, and the file of results.

A script takes `before = conditions()`, makes rows and calls `write`. Rows with their targets become docs/performance.md
(`python docs/make.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from classicnets import machine

RESULTS = Path(__file__).parent / "results"
TIMES = "times"
_BUSY = 0.25  # of one core, taken by other programs over the whole measurement


def clock(work: Callable[[], object], calls: int = 1) -> Callable[[], float]:
    """A function that calls `work` so often and returns the seconds of one call, the GPU's work included."""

    def seconds() -> float:
        _settle()
        started = time.perf_counter()
        for _ in range(calls):
            work()
        _settle()
        return (time.perf_counter() - started) / calls

    return seconds


def _settle() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Pairs:
    """Seconds of both, pair by pair."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Theirs by ours, pair by pair: how many times as fast ours is."""
        return tuple(b / a for a, b in zip(self.ours, self.theirs, strict=True))


def pair_by_pair(ours: Callable[[], float], theirs: Callable[[], float], *, pairs: int = 5, warm_up: int = 1) -> Pairs:
    """Both in turn, ours first in one pair, theirs in the next; each returns its seconds (see `clock`).

    The first `warm_up` calls of each do not count.
    """
    for _ in range(warm_up):
        ours()
        theirs()
    a, b = [], []
    for pair in range(pairs):
        if pair % 2 == 0:
            a.append(ours())
            b.append(theirs())
        else:
            b.append(theirs())
            a.append(ours())
        print(f"  pair {pair + 1}: ours {a[-1]:.4g} s, theirs {b[-1]:.4g} s, ratio {b[-1] / a[-1]:.2f}", flush=True)
    return Pairs(tuple(a), tuple(b))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison: what is measured, in words what ours and theirs are, and a value for each pair.

    `values` are ratios theirs/ours, or another quantity of the named `unit`. Their median is to be `at_least` the one
    target, and `reach` the other; with `less_is_better` at most. None: no target, for information. `our_seconds` and
    `their_seconds` are medians. `facts` is what else belongs to it: sizes, accuracies, versions of a peer.
    """

    what: str
    ours: str
    theirs: str = ""
    values: Sequence[float]
    unit: str = TIMES
    at_least: float | None = None
    reach: float | None = None
    less_is_better: bool = False
    our_seconds: float | None = None
    their_seconds: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """Whether the median meets its targets, and by how much not; empty without a target."""
        sign = -1 if self.less_is_better else 1
        if self.reach is not None and sign * self.median >= sign * self.reach:
            return "reached"
        if self.at_least is None:
            return ""
        gap = sign * (self.at_least - self.median)
        return "met" if gap <= 0 else f"missed by {quantity(gap, self.unit)}"

    def __str__(self) -> str:
        targets = [
            f"{word} {quantity(target, self.unit)}"
            for word, target in (
                ("at most" if self.less_is_better else "at least", self.at_least),
                ("reach", self.reach),
            )
            if target is not None
        ]
        tail = f"; {', '.join(targets)}: {self.verdict}" if targets else ""
        spread = f"{quantity(min(self.values))} to {quantity(max(self.values))}, n = {len(self.values)}"
        return f"{self.what}: {quantity(self.median, self.unit)} ({spread}){tail}"


def compared(pairs: Pairs, *, what: str, ours: str, theirs: str, **rest: Any) -> Row:
    """The row of pairs: ratios and median seconds; `rest` are further fields of a Row."""
    row = Row(
        what=what,
        ours=ours,
        theirs=theirs,
        values=pairs.ratios,
        our_seconds=statistics.median(pairs.ours),
        their_seconds=statistics.median(pairs.theirs),
        **rest,
    )
    print(row, flush=True)
    return row


def quantity(value: float, unit: str = "") -> str:
    """Three digits or more and the unit: "2.51", "0.143 s", "1,240 MB"."""
    digits = f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")
    return digits + (f" {unit}" if unit and unit != TIMES else "")


def skip(what: str, how: str) -> str:
    """Reports that a peer is missing and how to install it."""
    line = f"{what} ({how})"
    print(f"skipped: {line}", flush=True)
    return line


@dataclass(frozen=True)
class Conditions:
    """The machine at one moment: load averages, seconds that all processors have worked, and that this program and its
    finished children have.
    """

    load: tuple[float, ...] | None
    wall: float
    all_work: float | None
    own_work: float


def conditions() -> Conditions:
    """The machine now, to be given to `write` later."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    return Conditions(load, time.perf_counter(), _all_work(), own_work=sum(os.times()[:4]))


def _all_work() -> float | None:
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _waiting, *rest = map(int, stat.read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")  # rest: interrupts, and what a host took away


def cores_of_others(before: Conditions, after: Conditions) -> tuple[float | None, bool]:
    """Cores that other programs used in between (None where the system does not tell), and whether that is too many."""
    if before.all_work is None or after.all_work is None:
        return None, machine.is_busy()
    work = (after.all_work - before.all_work) - (after.own_work - before.own_work)
    others = max(0.0, work / (after.wall - before.wall))
    return others, others > _BUSY


def arguments(description: str | None, *, name: str, pairs: int) -> argparse.ArgumentParser:
    """A parser with what every script takes: --pairs and --out."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pairs", type=int, default=pairs, help=f"pairs of readings of each comparison (default: {pairs})"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", metavar="FILE")
    return parser


def write(out: Path, rows: Sequence[Row], before: Conditions, *, skipped: Sequence[str] = ()) -> None:
    """Writes the rows to `out` as JSON, with the command, the load, whether the machine was busy, date and versions."""
    after = conditions()
    others, busy = cores_of_others(before, after)
    result = {
        "command": _command(),
        "rows": [asdict(row) | {"median": row.median, "verdict": row.verdict} for row in rows],
        "skipped": list(skipped),
        "load_before": before.load,
        "load_after": after.load,
        "cores_of_other_programs": others,
        "busy": busy,
        "seconds": after.wall - before.wall,
        "date": date.today().isoformat(),
        **machine.torch_facts(),
        **machine.describe(),
    }
    out.parent.mkdir(exist_ok=True)
    text = json.dumps(result, indent=2)
    text = re.sub(r"\[[^][{}\"]*\]", lambda numbers: " ".join(numbers[0].split()), text)  # on one line
    out.write_text(text + "\n")
    warning = f"; other programs used {others:.1f} cores meanwhile" if busy and others is not None else ""
    print(f"written to {out}{warning}", flush=True)


def _command() -> str:
    """The typed command, without the result path; absolute paths are shortened to their end."""
    typed = [word for before, word in pairwise(sys.argv) if "--out" not in (before, word)]
    words = ["/".join(Path(word).parts[-3:]) if Path(word).is_absolute() else word for word in typed]
    return " ".join(["python", "/".join(Path(sys.argv[0]).resolve().parts[-2:]), *words])


def read(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """The rows of a file that `write` made, and its other facts."""
    facts = json.loads(path.read_text())
    derived = {"median", "verdict"}
    return [Row(**{k: v for k, v in row.items() if k not in derived}) for row in facts.pop("rows")], facts
