"""Files that are replaced whole or not at all: written aside, synced, renamed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from classicnets.errors import MachineError


def write_whole(path: Path, content: bytes) -> None:
    """Replaces `path` by `content` in one step; after a crash it holds the old bytes or the new ones, never a part.

    Raises MachineError CN401 if it cannot be written; nothing is left behind.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def write_json(path: Path, values: dict[str, Any]) -> None:
    """`write_whole` for plain values, indented for people."""
    write_whole(path, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())


def remove_parts(folder: Path) -> None:
    """Removes what was left in `folder` by processes that died while they wrote; nobody may be writing there now.

    Raises MachineError CN401 if it cannot be removed.
    """
    for aside in folder.glob(".*.part"):
        try:
            aside.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(aside, error) from error


def cannot_write(path: Path, error: OSError) -> MachineError:
    """The error for a file or folder that could not be written."""
    return MachineError(
        "CN401",
        f"cannot write {path.name}",
        where=str(path),
        why=error.strerror or str(error),
        hint=("classicnets doctor", "--runs FOLDER chooses another place for runs"),
    )


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
