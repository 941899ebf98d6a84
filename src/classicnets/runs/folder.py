"""The folder of a run: made once, never written over."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classicnets.errors import UsageError
from classicnets.files import cannot_write, sync_folder, write_json, write_whole
from classicnets.runs.net_spec import NetSpec
from classicnets.values import Preprocess, Recipe


@dataclass(frozen=True)
class RunFolder:
    """Names of the files in a run folder."""

    path: Path

    @property
    def history(self) -> Path:
        """One event a line."""
        return self.path / "history.jsonl"

    @property
    def last(self) -> Path:
        """Weights, optimizer state and generators at the last saved step."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """Weights of the epoch with the best validation accuracy, if the recipe watches one."""
        return self.path / "best.safetensors"

    @property
    def split(self) -> Path:
        """What became of each image file, where the data has one for each image."""
        return self.path / "split.csv"

    @property
    def curves(self) -> Path:
        """Train loss, train accuracy and test or validation accuracy."""
        return self.path / "curves.png"

    @property
    def contact_sheet(self) -> Path:
        """Test images with true and predicted class."""
        return self.path / "contact_sheet.png"

    @property
    def metrics(self) -> Path:
        """What was measured on the test split."""
        return self.path / "metrics.json"

    @property
    def confusion(self) -> Path:
        """Which classes were taken for which."""
        return self.path / "confusion.png"

    @property
    def calibration(self) -> Path:
        """How often the net was right where it was so sure."""
        return self.path / "calibration.png"

    def read(self) -> dict[str, Any]:
        """The facts of the run."""
        values: dict[str, Any] = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        return values

    def write(self, facts: dict[str, Any]) -> None:
        """Replaces the facts in one step."""
        write_json(self.path / "run.json", facts)

    def recipe(self) -> Recipe:
        """The recipe as resolved."""
        return Recipe.from_dict(self.read()["recipe"])

    def preprocess(self) -> Preprocess:
        """How images were prepared."""
        return Preprocess.from_dict(self.read()["preprocess"])

    def net_spec(self) -> NetSpec:
        """How the net was made."""
        return NetSpec(**self.read()["net"])

    def weights_file(self) -> Path:
        """The best checkpoint if it exists, else the last. Raises UsageError CN207 if neither does."""
        for path in (self.best, self.last):
            if path.exists():
                return path
        raise UsageError(
            "CN207",
            "the run has no weights yet: it was stopped before its first epoch was finished",
            where=str(self.path),
            hint=f"classicnets train --resume {self.path}",
        )


def make(root: Path, label: str, fill: Callable[[Path], object]) -> Path:
    """A new folder root/label-K with the smallest K that is free. It is made aside, given to `fill` and then renamed:
    it is there with all that belongs into it, or not at all.

    Raises MachineError CN401 if it cannot be made.
    """
    aside = root / f".{label}.{uuid.uuid4().hex}.part"
    try:
        root.mkdir(parents=True, exist_ok=True)
        aside.mkdir()
        fill(aside)
        number = 1
        while not _renamed(aside, path := root / f"{label}-{number}"):
            number += 1
        sync_folder(root)
    except OSError as error:
        raise cannot_write(root, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)  # there is no such folder unless something failed
    return path


def fill(path: Path, net_spec: NetSpec, facts: dict[str, Any]) -> None:
    """Makes `path`, which may be there but empty, the folder of a run: with its facts, and a copy of the file of a net
    of the user's own. Raises MachineError CN401 if it cannot be written.
    """
    try:
        path.mkdir(exist_ok=True)
        if net_spec.kind == "file":
            write_whole(path / "net.py", Path(net_spec.path).read_bytes())
    except OSError as error:
        raise cannot_write(path, error) from error
    RunFolder(path).write(facts)


def _renamed(aside: Path, path: Path) -> bool:
    """Whether the folder `aside` could be called `path`; not if there is such a file or a folder that is not empty."""
    try:
        aside.rename(path)
    except OSError:
        if path.exists():
            return False
        raise
    return True


def open_run(path: str | Path) -> RunFolder:
    """The run in an existing folder. Raises UsageError CN207 if it is not one."""
    folder = RunFolder(Path(path))
    try:
        folder.read()
    except (OSError, json.JSONDecodeError) as error:
        raise UsageError(
            "CN207",
            f"{path} is not the folder of a run",
            where=str(Path(path) / "run.json"),
            why="it cannot be read" if (folder.path / "run.json").exists() else "there is no such file",
            hint=_nearest(folder.path),
        ) from error
    return folder


def _nearest(path: Path) -> str:
    """What to try instead of a path that is not a run: the run a file lies in, or one that lies in the folder."""
    inside = sorted(path.glob("*/run.json"))
    near = path.parent if (path.parent / "run.json").is_file() else inside[0].parent if inside else None
    return f"{near}   # is a run" if near else "ls runs"
