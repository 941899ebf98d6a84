"""What a terminal shows of a finished study: question, arms, verdicts, and where the report is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from classicnets.report import quantities, study_text, tables
from classicnets.text import _, command, join, plural

_MAX_FOLDERS = 3  # that are named


def lines(console: Console, facts: Mapping[str, Any], folder: Path) -> Iterator[str | Table]:
    """Yield the lines and tables to print.

    Args:
        console: where they are printed; tables leave out columns that it has no room for.
        facts: the contents of study.json, with the result.
        folder: the folder of the study.
    """
    yield study_text.question(facts)
    yield ""
    columns, rows = arm_rows(facts)
    optional = [columns[i] for i in (5, 4, 2, 6)]  # MACs, parameters, interval, changes
    yield tables.fit(console, columns, rows, numbers=columns[1:-1], optional=optional)
    yield ""
    yield from study_text.answers(facts)
    if missing := study_text.runs_without_result(facts):
        yield _("{label}:", label=missing)
        yield from (f"  {line}" for line in study_text.failures(facts))
    first = facts["definition"]["measures"][0]
    others = sum(pair["measure"] != first for pair in facts["result"]["comparisons"])
    if others:
        yield plural(
            "{n} comparison by another measure is in the report",
            "{n} comparisons by other measures are in the report",
            others,
        )
    removed = [row["folder"] for row in facts["result"]["rows"] if not (folder / row["folder"]).is_dir()]
    if removed:
        yield plural(
            "{n} run folder is missing: {folders}; to train it again: {command}",
            "{n} run folders are missing: {folders}; to train them again: {command}",
            len(removed),
            folders=join(removed, _MAX_FOLDERS),
            command=command("classicnets", "study", "resume", folder),
        )
    yield _("report: {path}", path=folder / "report.html")


def arm_rows(facts: Mapping[str, Any]) -> tuple[list[str], list[list[object]]]:
    """Return the columns and rows of the table of arms; all columns but the first and the last are numbers."""
    first = study_text.measures_of(facts)[0]
    measured, interval = quantities.label(first), _("95 % interval")
    parameters, macs, changes = _("parameters"), _("MACs"), _("changes")
    rows: list[list[object]] = []
    for name, arm in facts["arms"].items():
        figures = facts["result"]["arms"][name][first.name]
        rows.append(
            [
                name,
                study_text.first_mean(facts, name),
                quantities.interval(figures["interval"], first),
                study_text.counted(figures),
                *(f"{arm[key]:,}" if arm.get(key) is not None else "-" for key in ("parameters", "macs")),
                study_text.changes(arm),
            ]
        )
    return [_("arm"), measured, interval, _("runs"), parameters, macs, changes], rows
