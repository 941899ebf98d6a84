"""Files that are replaced whole or not at all: written to a temporary file beside the target, synced, renamed."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from classicnets.errors import MachineError


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """A path beside `path`, with its suffix, for a file that is not ready; what is there at the end is removed.

    Write to it, check it if need be, and give it its name with `move_into_place`.
    """
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}.part{path.suffix}")
    try:
        yield part
    finally:
        if part.exists():
            part.unlink()


def move_into_place(part: Path, path: Path) -> None:
    """Syncs the file `part` and renames it to `path`: after a crash `path` is the old file or the new one.

    Raises OSError.
    """
    sync_file(part)
    part.replace(path)
    sync_folder(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Replaces `path` by `content` in one step; after a crash it holds the old bytes or the new ones, never a part.

    Raises MachineError CN401 if it cannot be written; nothing is left behind.
    """
    try:
        with temporary_file(path) as part:
            part.write_bytes(content)
            move_into_place(part, path)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_json(path: Path, values: dict[str, Any]) -> None:
    """`write_whole` for plain values, indented for people."""
    write_whole(path, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())


def remove_parts(folder: Path) -> None:
    """Removes temporary files in `folder` of processes that died while they wrote; nobody may be writing there now.

    Raises MachineError CN401 if one cannot be removed.
    """
    for part in folder.glob(".*.part*"):
        try:
            part.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(part, error) from error


def cannot_write(path: Path, error: OSError) -> MachineError:
    """The error for a file or folder that could not be written."""
    return MachineError(
        "CN401",
        f"cannot write {path.name}",
        where=str(path),
        why=error.strerror or str(error),
        hint=("classicnets doctor", "--runs FOLDER chooses another place for runs"),
    )


def sync_file(path: Path) -> None:
    """Makes what was written to `path` survive a power cut. Raises OSError."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
