"""Folders for data sets on this machine: the cache, the system folder, and temporary folders for downloads."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from classicnets.datasets.catalog import Dataset
from classicnets.errors import MachineError
from classicnets.files import home, user_path
from classicnets.text import _

if sys.platform != "win32":
    import fcntl

_PREFIX = "fetch-"  # prefix of temporary folders
_STALE_SECONDS = 86_400.0  # without locks, a temporary folder of this age was left by a process that died


def cache_root() -> Path:
    """Return the cache folder: CLASSICNETS_CACHE, or `classicnets` in the user's cache folder."""
    if folder := os.environ.get("CLASSICNETS_CACHE"):
        return user_path(folder).absolute()
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return (Path(base) if base else home() / ".cache") / "classicnets"


def cache_folder(dataset: Dataset) -> Path:
    """Return the folder of a data set in the cache."""
    return cache_root() / "data" / dataset.name


def local_folders(dataset: Dataset) -> tuple[tuple[str, Path], ...]:
    """Return (description, path) of the folders of this machine that may contain the files, the preferred one first."""
    path = cache_folder(dataset)
    cache = (_("cache {folder}", folder=path), path)
    if not dataset.system_folder:
        return (cache,)
    return cache, (_("system folder {folder}", folder=dataset.system_folder), Path(dataset.system_folder))


@contextmanager
def fetch_folder(cache: Path) -> Iterator[Path]:
    """Yield a temporary folder inside the cache for files that are not verified yet; it is removed at the end.

    First removes temporary folders left by processes that were killed.

    Raises:
        MachineError: CN401 if the cache cannot be written.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (
            _fetch_lock(cache),
            tempfile.TemporaryDirectory(prefix=_PREFIX, dir=cache, ignore_cleanup_errors=True) as folder,
        ):
            yield Path(folder)
    except OSError as error:
        raise MachineError(
            "CN401",
            _("the cache cannot be written"),
            where=str(cache),
            why=error.strerror or str(error),
            hint=_("{command}   # a folder that you may write to", command="export CLASSICNETS_CACHE=FOLDER"),
        ) from error


@contextmanager
def _fetch_lock(cache: Path) -> Iterator[None]:
    """Hold a shared lock on the cache folder; if nobody else holds one, first remove abandoned temporary folders.

    The system releases the lock of a process that is killed. Without such locks (Windows, some network file systems)
    only old folders are removed.
    """
    if sys.platform == "win32":
        _remove_fetch_folders(cache, min_age_seconds=_STALE_SECONDS)
        yield
        return
    descriptor = os.open(cache, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_fetch_folders(cache)
        except BlockingIOError:  # another process is fetching now
            pass
        except OSError:
            _remove_fetch_folders(cache, min_age_seconds=_STALE_SECONDS)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _remove_fetch_folders(cache: Path, min_age_seconds: float = 0.0) -> None:
    for folder in cache.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime >= min_age_seconds:
                shutil.rmtree(folder, ignore_errors=True)
