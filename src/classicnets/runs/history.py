"""history.jsonl: the events of a run, one per line."""

from __future__ import annotations

from pathlib import Path

from classicnets.events import Epoch, Event, from_lines, to_line
from classicnets.files import cannot_write, sync_file, write_whole


def append(path: Path, event: Event) -> None:
    """Append an event. Raises MachineError CN401 if the file cannot be written."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(to_line(event))
    except OSError as error:
        raise cannot_write(path, error) from error


def sync(path: Path) -> None:
    """Flush all lines to the disk, so that after a power cut the history is never behind the next checkpoint.

    Raises MachineError CN401 if the file cannot be written.
    """
    try:
        path.touch()  # there may be no event yet
        sync_file(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def read(path: Path) -> list[Event]:
    """Return all events in order, without a last line that a crash has truncated."""
    if not path.exists():
        return []
    return list(from_lines(path.read_text(encoding="utf-8", errors="replace").splitlines()))


def truncate(path: Path, epoch: int, step: int) -> None:
    """Remove the events after `epoch` finished epochs and `step` steps, because a resumed run repeats them."""
    events = [
        event
        for event in read(path)
        if event.epoch <= epoch or (not isinstance(event, Epoch) and event.epoch == epoch + 1 and event.step <= step)
    ]
    write_whole(path, "".join(map(to_line, events)).encode())
