"""A teacher's check of a folder of students' files: each in a process of its own, with a time limit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classicnets import strict_json
from classicnets.errors import UsageError
from classicnets.files import temporary_folder
from classicnets.text import _, clauses, command, duration

NETWORK = "net"  # the name that each file gives its network


@dataclass(frozen=True, kw_only=True)
class Student:
    """The result of one file.

    Attributes:
        name: Name of the file, without its suffix.
        passed: As in `Result`; None also if the file cannot be checked.
        missing: What is missing, or the error.
        accuracy: Sentence on the accuracy if the network was trained, "" if not.
        error: Code of the error that ended the check, "" if there was none.
    """

    name: str
    passed: bool | None
    missing: tuple[str, ...] = ()
    accuracy: str = ""
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        missing = list(self.missing)
        return {
            "student": self.name,
            "passed": self.passed,
            "missing": missing,
            "accuracy": self.accuracy,
            "error": self.error,
        }


def has_files(folder: Path) -> bool:
    """Whether this is a folder with Python files."""
    return any(folder.glob("*.py"))


def files(folder: Path) -> list[Path]:
    """Return the Python files of a folder in the order of their names.

    Raises:
        UsageError: CN206, it is not a folder, or has no Python file.
    """
    paths = sorted(path for path in folder.glob("*.py") if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise UsageError(
            "CN206",
            _("{folder} has no Python files", folder=folder)
            if folder.is_dir()
            else _("{folder} is a file, not a folder", folder=folder)
            if folder.is_file()
            else _("there is no folder {folder}", folder=folder),
            where=command("--report", folder),
            why=_("the report checks each file NAME.py of a folder, in which the network is called net"),
            hint=command("--report", folder.parent)
            if folder.suffix == ".py" and folder.is_file()
            else command("ls", folder if folder.is_dir() else folder.absolute().parent),
        )
    return paths


def check(exercise_id: str, paths: Sequence[Path], options: Sequence[str], seconds: float) -> Iterator[Student]:
    """Check files one after the other, and yield the results.

    Args:
        exercise_id: ID of the exercise.
        paths: The files.
        options: Further options of `classicnets exercise check`.
        seconds: Time limit for each file.
    """
    for path in paths:
        yield check_file(exercise_id, path, options, seconds)


def check_file(exercise_id: str, path: Path, options: Sequence[str], seconds: float) -> Student:
    """Check one file in a process of its own, whose tries are not counted."""
    words = ["exercise", "check", exercise_id, f"{path.absolute()}:{NETWORK}", "--json", *options]
    with temporary_folder() as state:
        try:
            process = subprocess.run(
                [sys.executable, "-P", "-m", "classicnets", *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
                env={**os.environ, "XDG_STATE_HOME": str(state)},
                check=False,
            )
        except subprocess.TimeoutExpired:
            reason = _("not finished after {time}", time=duration(seconds))
            return Student(name=path.stem, passed=None, missing=(reason,), error="timeout")
    try:
        values = strict_json.parse(process.stdout)
    except ValueError:
        lines = process.stderr.decode(errors="replace").strip().splitlines() or [""]
        reason = _("the process ended with code {code}: {line}", code=process.returncode, line=lines[-1])
        return Student(name=path.stem, passed=None, missing=(reason,), error="process")
    return _student(path.stem, values)


def _student(name: str, values: Any) -> Student:
    if "error" in values:
        what = clauses((str(values["what"]), str(values["where"])))
        return Student(name=name, passed=None, missing=(what,), error=str(values["error"]))
    verdicts = values["facts"].get("verdicts", [])
    return Student(
        name=name,
        passed=values["passed"],
        missing=tuple(values["missing"]),
        accuracy=clauses(verdicts),
    )
