"""docs/performance.md: the results of the benchmarks, and what was learned from them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pages import markdown

DOCS = Path(__file__).parents[1]
sys.path.insert(0, str(DOCS.parent / "benchmarks"))

import timing  # noqa: E402  (a script of benchmarks/, not a package)

SECTIONS = {
    "lenet": "LeNet on Fashion-MNIST",
    "alexnet": "AlexNet on Fashion-MNIST",
    "evaluation": "Evaluation",
    "lrn": "Local response normalization",
    "reach": "Time to the book's accuracy",
    "many_seeds": "Many seeds",
    "start": "Startup, import and size",
    "tried": "What was tried",
}  # by file in the folder of results
STUDIES = DOCS.parent / "studies" / "results"
BY_HAND = "<!-- written by hand from here on -->"
_COLUMNS = ("what", "ours", "theirs", "median (range, n)", "target", "stretch target", "verdict")
_NUMBERS = ("median (range, n)", "target", "stretch target")

Measured = tuple[list[timing.Row], dict[str, Any]]  # rows, and the conditions under which they were measured


def page(command: str, results: Path = timing.RESULTS, by_hand: str | None = None) -> str:
    """The results of the suite, a section for each machine; then the part that is written by hand.

    Args:
        command: the command that makes the page.
        results: the folder with the results of the suite, and a folder for each other machine.
        by_hand: the part that is written by hand; None: that of the present page.
    """
    if by_hand is None:
        by_hand = (DOCS / "performance.md").read_text(encoding="utf-8").partition(BY_HAND)[2]
    folders = [results, *sorted(path for path in results.iterdir() if path.is_dir())]
    machines = [
        {name: timing.read(path) for name in SECTIONS if (path := _results_file(folder, name)).exists()}
        for folder in folders
    ]
    rows = [row for measured in machines for rows, _ in measured.values() for row in rows]
    return f"""# Performance

<!-- made by `{command}` from benchmarks/results -->

`make bench` repeats all of these measurements in about twelve minutes on 2 idle cores. Two programs that are
compared run alternately, and each pair of runs gives a ratio: their time divided by ours. The table shows the median of
the ratios, their range and the number of pairs. Other rows have a unit. The verdict compares the median to the target.

{_summary(rows)}

{"".join(_machine(measured) for measured in machines if measured)}{BY_HAND}{by_hand}"""


def _results_file(folder: Path, name: str) -> Path:
    """The results of a benchmark in `folder`; those of a finished study are in studies/results."""
    path = folder / f"{name}.json"
    return STUDIES / path.name if folder == timing.RESULTS and not path.exists() else path


def _summary(rows: Sequence[timing.Row]) -> str:
    if not rows:
        return "Nothing has been measured yet."
    judged = [row for row in rows if row.verdict]
    missed = [row for row in judged if row.verdict.startswith("missed")]
    reached = sum(row.verdict == "reached" for row in judged)
    counts = f"{len(judged)} rows have a target: {reached} reach the stretch target, "
    counts += f"{len(judged) - reached - len(missed)} meet the target, {len(missed)} miss it"
    return "\n".join([f"{counts}:\n" if missed else f"{counts}.", *(f"- {row.what}: {row.verdict}" for row in missed)])


def _machine(measured: dict[str, Measured]) -> str:
    _, facts = next(iter(measured.values()))
    device = "" if facts["device"] == "cpu" else f"{facts['device']}, "
    sections = "".join(_section(name, rows, facts) for name, (rows, facts) in measured.items())
    return f"## {device}{facts['cores']} cores of {facts['processor']}\n\n{sections}"


def _section(name: str, rows: Sequence[timing.Row], facts: dict[str, Any]) -> str:
    versions, load = facts["versions"], facts["load_before"]
    notes = [
        f"`{facts['command']}`, {facts['date']}, {facts['threads']} threads",
        f"torch {versions['torch']}, Python {versions['python']}, {facts['system']}",
        f"load before the measurement {load[0]:.2f}" if load else "load unknown",
    ]
    if facts["cores_of_other_programs"] is not None:
        notes.append(f"other programs used {facts['cores_of_other_programs']:.2f} cores meanwhile")
    table = markdown.table(_COLUMNS, map(_row, rows), numbers=_NUMBERS)
    lines = [f"### {SECTIONS[name]}", "", *table, "", f"{'; '.join(notes)}."]
    if facts["busy"]:
        lines += ["**The machine was busy: these results are unreliable.**"]
    lines += [f"Skipped: {', '.join(facts['skipped'])}."] * bool(facts["skipped"])
    return "\n".join([*lines, "", ""])


def _row(row: timing.Row) -> list[str]:
    bound = "at most" if row.less_is_better else "at least"
    target, stretch = ("" if t is None else timing.quantity(t, row.unit) for t in (row.at_least, row.reach))
    verdict = f"**{row.verdict}**" if row.verdict.startswith("missed") else row.verdict or "for information"
    ours, theirs = _timed(row.ours, row.our_seconds), _timed(row.theirs, row.their_seconds)
    return [row.what, ours, theirs, spread(row), target and f"{bound} {target}", stretch, verdict]


def spread(row: timing.Row) -> str:
    """The median of a row, its range and the number of measurements: "2.46 (2.27 to 2.50, n = 3)"."""
    return f"{timing.quantity(row.median, row.unit)} ({_range(row.values)}n = {len(row.values)})"


def _range(values: Sequence[float]) -> str:
    return f"{timing.quantity(min(values))} to {timing.quantity(max(values))}, " if len(values) > 1 else ""


def _timed(what: str, seconds: float | None) -> str:
    if seconds is None:
        return what
    unit, scale = next((u, n) for u, n in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)) if seconds >= n or u == "µs")
    return f"{what}: {timing.quantity(seconds / scale, unit)}"
