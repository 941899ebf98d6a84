"""How often a user has tried each exercise, and how many hints were given: one file for each in the state folder."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from classicnets.errors import MachineError
from classicnets.files import home, write_json
from classicnets.strict_json import parse
from classicnets.text import _, note


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Tries and hints of one exercise."""

    tries: int = 0
    hints: int = 0
    solved: bool = False


def folder() -> Path:
    """Return the folder of the files."""
    state = os.environ.get("XDG_STATE_HOME") or home() / ".local" / "state"
    return Path(state) / "classicnets" / "exercises"


def read(exercise_id: str) -> Progress:
    """Return the progress of an exercise; a file that is missing or damaged is that of a first try."""
    try:
        values = parse((folder() / f"{exercise_id}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Progress()
    kinds = {"tries": int, "hints": int, "solved": bool}
    if not isinstance(values, dict) or any(type(values.get(f.name)) is not kinds[f.name] for f in fields(Progress)):
        return Progress()
    return Progress(**{f.name: values[f.name] for f in fields(Progress)})


def write(exercise_id: str, progress: Progress) -> None:
    """Save the progress. If the folder cannot be written, a note says that it is not remembered."""
    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(folder() / f"{exercise_id}.json", asdict(progress))
    except (OSError, MachineError) as error:
        note(
            _(
                "note: tries and hints are not remembered, because {folder} cannot be written ({reason})",
                folder=folder(),
                reason=getattr(error, "why", "") or error,
            )
        )
