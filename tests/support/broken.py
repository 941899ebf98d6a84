"""A disk that breaks: calls that create files or folders, or write into them, fail below a folder."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class Disk:
    """The calls below a folder, and from which of them on they fail.

    Args:
        root: The folder.
        error: The number of the error.
        at: The first call that fails; a broken disk stays broken.
        names: Only these files break; by default all.
        in_write: Whether files can be created, and a write fails after half of its bytes.
    """

    def __init__(self, root: Path, error: int, *, at: int = 1, names: str = "", in_write: bool = False) -> None:
        self.root, self.error, self.at = os.fspath(root.absolute()), error, at
        self.names, self.in_write = names, in_write
        self.calls = 0
        self.open = io.open

    def check(self, path: Any) -> None:
        """Count a call and raise OSError if it fails."""
        self.calls += 1
        if self.calls >= self.at:
            raise OSError(self.error, os.strerror(self.error), os.fspath(path))

    def concerns(self, path: Any) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        whole = os.path.abspath(path)
        return (whole == self.root or whole.startswith(self.root + os.sep)) and self.names in whole

    def opened(self, path: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        """In place of `open`."""
        if not set(mode) & set("wax+") or not self.concerns(path):
            return self.open(path, mode, *args, **options)
        if not self.in_write:
            self.check(path)
            return self.open(path, mode, *args, **options)
        raw = _Raw(self, os.fspath(path), mode.replace("b", "").replace("t", ""))
        file = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return file if "b" in mode else io.TextIOWrapper(file, "utf-8")

    def guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """In place of a function whose first argument is a path."""

        def call(path: Any, *args: Any, **options: Any) -> Any:
            writes = function is not _OPEN or args[0] & (os.O_WRONLY | os.O_RDWR)
            if not self.in_write and writes and self.concerns(path):
                self.check(path)
            return function(path, *args, **options)

        return call


class _Raw(io.FileIO):
    def __init__(self, disk: Disk, path: str, mode: str) -> None:
        super().__init__(path, mode)
        self.disk = disk

    def write(self, content: Any) -> int:
        try:
            self.disk.check(self.name)
        except OSError:
            super().write(bytes(content)[: len(content) // 2])
            raise
        return super().write(content)


_OPEN = os.open


@contextmanager
def broken(root: Path, error: int, *, at: int = 1, names: str = "", in_write: bool = False) -> Iterator[Disk]:
    """In this block, the disk is broken below `root`; see `Disk`."""
    disk = Disk(root, error, at=at, names=names, in_write=in_write)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "open", disk.opened)
        patch.setattr(builtins, "open", disk.opened)
        for name in ("open", "mkdir", "rename", "replace"):
            patch.setattr(os, name, disk.guarded(getattr(os, name)))
        yield disk
