"""Atomic writes: a file is written to a temporary file beside it, synced and renamed."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from classicnets.errors import MachineError
from classicnets.strict_json import dump
from classicnets.text import _, command

FULL = (errno.ENOSPC, errno.EDQUOT)  # no space is left on the disk, or for this user

_PREFIX, _IN_USE = "classicnets-", ".in-use"  # of temporary folders, and the file that is locked while one is used
_YOUNG_SECONDS = 60.0  # a temporary folder of this age may be about to be locked
_NO_HOME = Path(os.devnull, "no-home-folder")  # nothing is there, and nothing can be written there
_MAX_STEM, _MAX_SUFFIX = 40, 16  # letters of a file's name in that of its temporary file; a name has at most 255 bytes


def home() -> Path:
    """Return the user's home folder; for a user who has none, a folder that does not exist and cannot be created."""
    try:
        return Path.home()
    except RuntimeError:
        return _NO_HOME


def user_path(name: str | os.PathLike[str]) -> Path:
    """Return the path that a user has typed: ~ is the home folder, but ~draft.png is a file if no user is called so."""
    return Path(os.path.expanduser(name))  # noqa: PTH111 - Path.expanduser fails if there is no such user


@contextmanager
def native_path(path: Path) -> Iterator[Path]:
    """Yield a path of an existing file that libraries can open: a link to it if its own is not valid UTF-8.

    Raises:
        MachineError: CN401, the link cannot be written.
    """
    try:
        os.fspath(path).encode()
        link = None
    except UnicodeEncodeError:
        link = f"link{path.suffix}"
    if link is None:
        yield path
        return
    with temporary_folder() as folder:
        (folder / link).symlink_to(path.absolute())
        yield folder / link


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file in the folder of `path`, with the same suffix; it is removed at the end.

    Write the file, check it if necessary, and rename it with `move_into_place`.
    """
    suffix = path.suffix if len(path.suffix) <= _MAX_SUFFIX else ""
    part = path.parent / f".{path.stem[:_MAX_STEM]}.{uuid.uuid4().hex[:12]}.part{suffix}"
    try:
        yield part
    finally:
        if part.exists():
            part.unlink()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder of the system for temporary files; it is removed at the end.

    If the process is killed before, the next call of another process removes the folder.

    Raises:
        MachineError: CN401, there is no such folder, or it cannot be written.
    """
    from filelock import FileLock

    try:
        folder = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
    except OSError as error:
        raise _no_temporary_file(error) from error
    with folder as name:
        lock = FileLock(Path(name, _IN_USE))
        with suppress(OSError):  # on a file system without locks
            lock.acquire(timeout=0)
            _remove_abandoned_folders(Path(name).parent)
        try:
            yield Path(name)
        finally:
            lock.release()


def _remove_abandoned_folders(parent: Path) -> None:
    """Remove folders of `temporary_folder` whose processes have been killed."""
    from filelock import FileLock

    for lock in parent.glob(f"{_PREFIX}*/{_IN_USE}"):
        with suppress(OSError):  # also that it is locked
            if time.time() - lock.stat().st_mtime > _YOUNG_SECONDS:  # a younger one may be about to be locked
                with FileLock(lock, timeout=0):
                    shutil.rmtree(lock.parent, ignore_errors=True)


def open_temporary_file() -> IO[bytes]:
    """Open a file without a name in the folder of the system for temporary files. Raises MachineError CN401."""
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise _no_temporary_file(error) from error


def _no_temporary_file(error: OSError) -> MachineError:
    return MachineError(
        "CN401",
        _("temporary files cannot be written"),
        where=tempfile.tempdir or os.environ.get("TMPDIR", ""),
        why=error.strerror or str(error),
        hint=_("{command}   # a folder that you may write to", command=command("export", "TMPDIR=FOLDER")),
    )


def move_into_place(part: Path, path: Path) -> None:
    """Sync the temporary file `part` and rename it to `path`. After a crash, `path` is the old file or the new one.

    Raises:
        OSError: The file cannot be synced or renamed.
    """
    sync_file(part)
    part.replace(path)
    sync_folder(path.parent)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Create a temporary folder beside `path` and yield it; what is left of it is removed at the end.

    Fill it, check it if necessary, and rename it with `move_folder_into_place`.
    """
    part = path.parent / f".{path.name[:_MAX_STEM]}.{uuid.uuid4().hex[:12]}.part"
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
    with folder_beside(path) as replaced:
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


def remove_folder(path: Path) -> None:
    """Remove a folder, which disappears as a whole before its files do. Raises OSError."""
    with folder_beside(path) as removed:
        path.rename(removed / path.name)
        sync_folder(path.parent)


def check_target(path: Path, *, option: str, is_folder: bool = False) -> None:
    """Check, before any work is done, that a file or a folder can be written.

    Args:
        path: The file or folder.
        option: The option that chose it; an error suggests it.
        is_folder: Whether it is a folder, which may exist.

    Raises:
        MachineError: CN401, its folder does not exist or cannot be written, or it is a folder instead of a file.
    """
    try:
        with temporary_file(path) as part:
            part.touch()
        if path.is_dir() and not is_folder:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise cannot_write(path, error, option=option) from error


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
    """Remove the temporary files and folders that crashed processes left in `folder`. No process may be writing there.

    Raises:
        MachineError: CN401, a file cannot be removed.
    """
    for part in folder.glob(".*.part*"):
        try:
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part)
            else:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(part, error) from error


def cannot_write(path: Path, error: OSError, *, option: str = "--runs") -> MachineError:
    """Return the error for a file or folder that cannot be written; `option` is that which chose it."""
    elsewhere = command(option, "FOLDER" if option == "--runs" else Path("FOLDER") / path.name)
    if error.errno in FULL:
        hints = [_("{option}   # a folder on a disk with free space", option=elsewhere)]
    else:
        hints = [_("{option}   # a folder that you may write to", option=elsewhere)]
    if option != "--runs" and not os.path.exists(path.parent):  # noqa: PTH110 - Path.exists fails without permission
        hints.insert(0, command("mkdir", "-p", path.parent))
    return MachineError(
        "CN401",
        _("cannot write {name}", name=path.name or path),
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
