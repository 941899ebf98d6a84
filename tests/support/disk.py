"""Records the calls of a run that change files, and what each of them leaves on the disk if the process dies there."""

from __future__ import annotations

import builtins
import io
import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

Tree = dict[str, bytes | None]  # the contents of files by path; None for a folder
T = TypeVar("T")

_RANDOM = re.compile(r"[0-9a-f]{12,32}(?=\.part)")  # in the name of a temporary file


@dataclass(frozen=True)
class Death:
    """A moment at which a process dies, and what it leaves.

    Attributes:
        number: the number of the call, from 1 on.
        call: its name.
        file: the name of its file.
        way: "before" the call; in the "middle" of a write, with half of its bytes written; or "after" it, by a power
            cut, which loses everything that was written but not synced.
        tree: the files and folders that are left.
    """

    number: int
    call: str
    file: str
    way: str
    tree: Tree


class Disk:
    """Records the deaths at the calls that change files in the folder `root`, which happen in one thread."""

    def __init__(self, root: Path) -> None:
        self.root = f"{root.resolve()}{os.sep}"
        self.deaths: list[Death] = []
        self._synced: dict[int, int] = {}  # bytes of each file, by inode, that survive a power cut
        self._open = io.open
        self._number = 0

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Each call and its file."""
        return [(death.call, death.file) for death in self.deaths if death.way == "before"]

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Record until `patch` is undone. Nothing is really synced in that time."""
        patch.setattr(io, "open", self._open_watched)
        patch.setattr(builtins, "open", self._open_watched)
        patch.setattr(os, "fsync", self._fsync)
        for name in ("mkdir", "rmdir", "unlink", "remove", "rename", "replace"):
            patch.setattr(os, name, self._watched(name, getattr(os, name)))

    def record(self, way: str, call: str, path: object) -> None:
        self._number += way == "before"
        tree = self._tree(synced_only=way == "after")
        self.deaths.append(Death(self._number, call, Path(str(path)).name, way, tree))

    def _watched(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def watched(path: Any, *args: Any, **options: object) -> object:
            if not self._is_inside(path):
                return real(path, *args, **options)
            target: Any = args[0] if name in {"rename", "replace"} else path
            self.record("before", name, target)
            if os.path.exists(target):  # it ends here, and its number may be that of another file later
                self._synced.pop(os.stat(target).st_ino, None)
            result = real(path, *args, **options)
            self.record("after", name, target)
            return result

        return watched

    def _fsync(self, fd: Any) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if f"{path}{os.sep}".startswith(self.root):
            status = os.fstat(fd)
            self.record("before", "fsync folder" if stat.S_ISDIR(status.st_mode) else "fsync", path)
            self._synced[status.st_ino] = status.st_size

    def _open_watched(
        self,
        path: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: Any = None,
        errors: Any = None,
        newline: Any = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if not set(mode) & set("wax+") or not self._is_inside(path):
            return self._open(path, mode, buffering, encoding, errors, newline, closefd, opener)
        self.record("before", "open", path)
        kept = Path(path).stat().st_size if Path(path).exists() and "w" not in mode else 0
        raw = _RawFile(self, os.fspath(path), mode.replace("b", "").replace("t", ""))
        inode = os.fstat(raw.fileno()).st_ino
        self._synced[inode] = min(self._synced.get(inode, kept), kept)
        self.record("after", "open", path)
        file = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return file if "b" in mode else io.TextIOWrapper(file, encoding, errors, newline)

    def _is_inside(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and str(Path(path).absolute()).startswith(self.root)

    def _tree(self, *, synced_only: bool) -> Tree:
        tree: Tree = {}
        for folder, folders, names in os.walk(self.root):
            inside = Path(folder).relative_to(self.root)
            tree |= {str(inside / name): None for name in folders}
            for name in names:
                with self._open(Path(folder, name), "rb") as file:
                    size = self._synced.get(os.fstat(file.fileno()).st_ino, -1) if synced_only else -1
                    tree[str(inside / name)] = file.read(size)
        return tree


class _RawFile(io.FileIO):
    """A file that reports each write to the disk."""

    def __init__(self, disk: Disk, path: str, mode: str) -> None:
        super().__init__(path, mode)
        self.disk = disk

    def write(self, content: Any) -> int:
        content = bytes(content)
        self.disk.record("before", "write", self.name)
        super().write(content[: len(content) // 2])
        self.disk.record("middle", "write", self.name)
        super().write(content[len(content) // 2 :])
        self.disk.record("after", "write", self.name)
        return len(content)


def distinct(deaths: Iterable[Death]) -> list[Death]:
    """The deaths that leave different files. Those that differ in temporary files only become one, which leaves all of
    these, under different names.
    """
    unique: dict[frozenset[tuple[str, bytes | None]], Death] = {}
    for number, death in enumerate(deaths):
        lasting = {path: content for path, content in death.tree.items() if not _RANDOM.search(path)}
        known = unique.setdefault(frozenset(lasting.items()), replace(death, tree=lasting))
        known.tree.update((_renamed(path, number), death.tree[path]) for path in death.tree.keys() - lasting.keys())
    return list(unique.values())


def _renamed(path: str, number: int) -> str:
    return _RANDOM.sub(lambda match: f"{number:0{len(match[0])}x}", path)


def write_tree(root: Path, tree: Tree) -> None:
    """Write the files and folders into the empty folder `root`."""
    for path, content in sorted(tree.items()):
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)
