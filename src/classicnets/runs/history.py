"""What happened in a run, one event a line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from classicnets.runs.writing import cannot_write, write_whole
from classicnets.values import Epoch, Step

_KINDS: dict[str, type[Step] | type[Epoch]] = {"step": Step, "epoch": Epoch}


def append(path: Path, event: Step | Epoch) -> None:
    """Adds one line. Raises MachineError CN401 if the file cannot be written."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(_line(event))
    except OSError as error:
        raise cannot_write(path, error) from error


def read(path: Path) -> list[Step | Epoch]:
    """All events in order; a last line that a crash cut short is left out."""
    if not path.exists():
        return []
    events: list[Step | Epoch] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values: dict[str, Any] = json.loads(line)
            events.append(_KINDS[values.pop("event")](**values))
        except (json.JSONDecodeError, KeyError, TypeError):
            break
    return events


def keep_until(path: Path, epoch: int, step: int) -> None:
    """Drops what happened after `step` steps of the epoch that follows `epoch` finished ones: it will happen again."""
    kept = [
        event
        for event in read(path)
        if event.epoch <= epoch or (isinstance(event, Step) and event.epoch == epoch + 1 and event.step <= step)
    ]
    write_whole(path, "".join(map(_line, kept)).encode())


def _line(event: Step | Epoch) -> str:
    return json.dumps({"event": "step" if isinstance(event, Step) else "epoch", **asdict(event)}) + "\n"
