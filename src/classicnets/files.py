"""Atomic writes: a file is written to a temporary file beside it, synced and renamed."""

from __future__ import annotations

import mmap
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from classicnets.errors import MachineError
from classicnets.strict_json import dump
from classicnets.text import _, command


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file in the folder of `path`, with the same suffix; it is removed at the end.

    Write the file, check it if necessary, and rename it with `move_into_place`.
    """
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}.part{path.suffix}")
    try:
        yield part
    finally:
        if part.exists():
            part.unlink()


def move_into_place(part: Path, path: Path) -> None:
    """Sync the temporary file `part` and rename it to `path`. After a crash, `path` is the old file or the new one.

    Raises:
        OSError: The file cannot be synced or renamed.
    """
    sync_file(part)
    part.replace(path)
    sync_folder(path.parent)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Create a temporary folder beside `path` and yield it; what is left of it is removed at the end.

    Fill it, check it if necessary, and rename it with `move_folder_into_place`.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        part.mkdir()
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def move_folder_into_place(part: Path, path: Path) -> None:
    """Sync the files of the folder `part` and rename it to `path`, in place of the folder that is there, if any.

    Raises:
        OSError: a file cannot be synced, or a folder cannot be renamed; the old folder is then still there.
    """
    for file in filter(Path.is_file, part.rglob("*")):
        sync_file(file)
    with temporary_folder(path) as replaced:
        has_old = path.exists()
        if has_old:
            path.rename(replaced / "old")
        try:
            part.rename(path)
        except BaseException:
            if has_old:
                (replaced / "old").rename(path)
            raise
    sync_folder(path.parent)


def write_whole(path: Path, content: bytes | bytearray, *, option: str = "--runs") -> None:
    """Replace the contents of `path` atomically. After a crash, the file has the old contents or the new ones.

    Args:
        path: The file.
        content: Its new contents.
        option: The option that chose the file or, for "--runs", its folder; an error suggests it.

    Raises:
        MachineError: CN401, the file cannot be written. The temporary file is removed.
    """
    try:
        with temporary_file(path) as part:
            part.write_bytes(content)
            move_into_place(part, path)
    except OSError as error:
        raise cannot_write(path, error, option=option) from error


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write plain values as indented JSON, atomically."""
    write_whole(path, (dump(values, indent=2, ascii=False) + "\n").encode())


def mapped(path: Path) -> memoryview:
    """Return the bytes of a file, which are read when they are used. Raises OSError."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return memoryview(b"")  # an empty file cannot be mapped
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def remove_parts(folder: Path) -> None:
    """Remove the temporary files that crashed processes left in `folder`. No process may be writing there.

    Raises:
        MachineError: CN401, a file cannot be removed.
    """
    for part in folder.glob(".*.part*"):
        try:
            part.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(part, error) from error


def cannot_write(path: Path, error: OSError, *, option: str = "--runs") -> MachineError:
    """Return the error for a file or folder that cannot be written; `option` is that which chose it."""
    elsewhere = command(option, "FOLDER" if option == "--runs" else Path("FOLDER") / path.name)
    hints = [_("{option}   # a folder that you may write to", option=elsewhere)]
    if option != "--runs" and not path.parent.exists():
        hints.insert(0, command("mkdir", "-p", path.parent))
    return MachineError(
        "CN401",
        _("cannot write {name}", name=path.name),
        where=str(path),
        why=error.strerror or str(error),
        hint=tuple(hints),
    )


def sync_file(path: Path) -> None:
    """Flush a file to disk, so that it survives a power failure. Raises OSError."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that a rename in it survives a power failure. Windows does not need this."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
