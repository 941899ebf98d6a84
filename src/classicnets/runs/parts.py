"""Checkpoints in parts: the state of a run that no process can hold as a whole, as a folder of files.

Each process writes a file with its slices along the first axis of the tensors that are divided among the processes; the
first one also has all other tensors. The files are checkpoints as in `runs.checkpoint`, each with its own checksum; any
number of processes, also one, can read them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import safetensors
import torch
from torch import Tensor

from classicnets.errors import DataError
from classicnets.files import cannot_write, move_folder_into_place, native_path, remove_folder
from classicnets.runs import checkpoint
from classicnets.text import _, plural

_NAME = re.compile(r"state-(\d{1,9})")
_READ_ERRORS = (safetensors.SafetensorError, OSError, MemoryError, RuntimeError, ValueError)


def newest(run: Path) -> Path | None:
    """Return the newest checkpoint in parts in a run folder, which counts more than last.safetensors; None without."""
    return next(reversed(_all(run)), None)


def begin(run: Path) -> Path:
    """Create a temporary folder, to which all parts are written, and return it. Raises MachineError CN401."""
    last = newest(run)
    number = int(last.name.removeprefix("state-")) + 1 if last else 1
    path = run / f".state-{number}.{uuid.uuid4().hex[:12]}.part"
    try:
        path.mkdir()
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def write(
    folder: Path, index: int, count: int, tensors: dict[str, Tensor], divided: Collection[str], facts: dict[str, Any]
) -> None:
    """Write the part of one process into the folder that `begin` has returned.

    Args:
        folder: the folder.
        index: number of the part, from 0 on.
        count: number of parts.
        tensors: the tensors of this part: equal slices of divided ones and, in part 0, all others.
        divided: the keys of divided tensors.
        facts: as in `checkpoint.save`; the same for all parts.

    Raises:
        MachineError: CN401 if it cannot be written.
    """
    part = {"index": index, "count": count, "save": folder.name, "divided": [*divided]}
    checkpoint.save(folder / _file_name(index), tensors, {**facts, "part": part})


def complete(folder: Path) -> Path:
    """Give the folder its final name when all parts are written, remove older ones, and return its path.

    If it ends early, the run folder has the older checkpoint or the newer one.

    Raises:
        MachineError: CN401 if it cannot be renamed.
    """
    run, older = folder.parent, _all(folder.parent)
    path = run / folder.name.split(".")[1]
    try:
        move_folder_into_place(folder, path)
        for old in older:
            remove_folder(old)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def remove(run: Path) -> None:
    """Remove the checkpoints in parts of a run folder, because last.safetensors is newer. Raises MachineError CN401."""
    try:
        for folder in _all(run):
            remove_folder(folder)
    except OSError as error:
        raise cannot_write(run, error) from error


def load(folder: Path, *, trust: bool = False, rows: checkpoint.Rows) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors, or rows of them, and the facts of a checkpoint in parts, as `checkpoint.load` does."""
    with Parts(folder, trust=trust) as stored:
        return {key: stored.read(key, rows(key, stored.shape(key))) for key in stored.keys}, stored.facts


class Parts:
    """A checkpoint in parts, of which tensors or their rows are read. Close it, or use it as a context manager.

    A file is opened, and its checksum verified, when something in it is read first.

    Args:
        folder: the folder.
        trust: use files that another program has changed, with a note.

    Attributes:
        facts: the facts of the checkpoint.
        count: number of parts.

    Raises:
        DataError: CN305 if a file is missing or damaged, or belongs to another checkpoint; also from the methods.
    """

    def __init__(self, folder: Path, *, trust: bool = False) -> None:
        self._folder, self._trust = folder, trust
        self._files: dict[int, Any] = {}
        self._open_files = ExitStack()
        self.count = 1
        with ExitStack() as stack:
            stack.callback(self.close)
            self._part: dict[str, Any] = {}
            self._file(0)
            stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._files.clear()
        self._open_files.close()

    @property
    def keys(self) -> list[str]:
        """The names of the tensors."""
        return [*self._file(0).keys()]

    def shape(self, key: str) -> torch.Size:
        """Return the shape of a whole tensor."""
        own, count = self._rows(key)
        shape = self._file(0).get_slice(key).get_shape()
        return torch.Size([own * count, *shape[1:]] if shape else [])

    def read(self, key: str, rows: range | None = None) -> Tensor:
        """Return a tensor on the CPU, whole or only these rows along its first axis."""
        own, count = self._rows(key)
        if not own:
            return self._read(0, key, None)
        rows = range(own * count) if rows is None else rows
        pieces = [
            self._read(i, key, slice(max(rows.start - i * own, 0), min(rows.stop - i * own, own)))
            for i in range(rows.start // own, -(-rows.stop // own))
        ]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _rows(self, key: str) -> tuple[int, int]:
        """How many rows of a tensor a part has, 0 if it has no axis, and in how many parts there are slices of it."""
        shape = self._file(0).get_slice(key).get_shape()
        return (shape[0] if shape else 0), (self.count if key in self._part["divided"] else 1)

    def _read(self, index: int, key: str, rows: slice | None) -> Tensor:
        try:
            file = self._file(index)
            tensor: Tensor = file.get_tensor(key) if rows is None else file.get_slice(key)[rows]
        except _READ_ERRORS as error:
            raise checkpoint.damaged(self._folder / _file_name(index), " ".join(str(error).split())) from error
        return tensor

    def _file(self, index: int) -> Any:
        """The open file of a part."""
        if index in self._files:
            return self._files[index]
        path = self._folder / _file_name(index)
        if not path.is_file():
            raise DataError(
                "CN305",
                _("a part of the checkpoint does not exist"),
                where=str(path),
                why=plural("it has {n:,} part", "it has {n:,} parts", self.count) if index else "",
                hint=_("copy the run folder again, or train again"),
            )
        try:
            readable = self._open_files.enter_context(native_path(path))
            file = self._open_files.enter_context(safetensors.safe_open(readable, framework="pt"))
            facts = checkpoint.check_facts(path, file.metadata() or {}, trust=self._trust, is_part=True) or {}
        except _READ_ERRORS as error:
            raise checkpoint.damaged(path, " ".join(str(error).split())) from error
        part = facts.pop("part", {})
        if not self._files and part:
            self.facts, self.count, self._part = facts, part["count"], {**part, "divided": {*part["divided"]}}
        if {**part, "divided": {*part.get("divided", ())}} != {**self._part, "index": index}:
            raise DataError(
                "CN305",
                _("the file does not belong to the other parts of the checkpoint"),
                where=str(path),
                why=_("each part records the checkpoint that it belongs to, and which part it is"),
                hint=_("copy the run folder again, or train again"),
            )
        self._files[index] = file
        return file


def _file_name(index: int) -> str:
    return f"part-{index:05}.safetensors"


def _all(run: Path) -> list[Path]:
    """The checkpoints in parts of a run folder, the newest last."""
    found = [(int(match[1]), path) for path in run.glob("state-*") if (match := _NAME.fullmatch(path.name))]
    return [path for _number, path in sorted(found)]
