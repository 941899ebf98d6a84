"""What happened in a run, one event a line."""

from __future__ import annotations

from pathlib import Path

from classicnets.events import Epoch, Event, from_lines, to_line
from classicnets.files import cannot_write, sync_file, write_whole


def append(path: Path, event: Event) -> None:
    """Adds one line. Raises MachineError CN401 if the file cannot be written."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(to_line(event))
    except OSError as error:
        raise cannot_write(path, error) from error


def sync(path: Path) -> None:
    """Makes all lines survive a power cut, so that a checkpoint written next knows of nothing that they do not.

    Raises MachineError CN401 if the file cannot be written.
    """
    try:
        path.touch()  # nothing may have happened yet
        sync_file(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def read(path: Path) -> list[Event]:
    """All events in order; a last line that a crash cut short is left out."""
    if not path.exists():
        return []
    return list(from_lines(path.read_text(encoding="utf-8", errors="replace").splitlines()))


def truncate(path: Path, epoch: int, step: int) -> None:
    """Drops what happened after `step` steps of the epoch that follows `epoch` finished ones: it will happen again."""
    kept = [
        event
        for event in read(path)
        if event.epoch <= epoch or (not isinstance(event, Epoch) and event.epoch == epoch + 1 and event.step <= step)
    ]
    write_whole(path, "".join(map(to_line, kept)).encode())
