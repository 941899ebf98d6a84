"""Run folders: created once, never overwritten."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classicnets.errors import DataError, UsageError
from classicnets.files import cannot_write, sync_folder, write_json, write_whole
from classicnets.runs.net_spec import NetSpec
from classicnets.text import _, command, nearest
from classicnets.values import Preprocess, Recipe


@dataclass(frozen=True)
class RunFolder:
    """Paths and facts of a run folder."""

    path: Path

    @property
    def history(self) -> Path:
        """The events of the run, one per line."""
        return self.path / "history.jsonl"

    @property
    def last(self) -> Path:
        """The checkpoint of the last saved step: weights, optimizer state and random generators."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """The weights of the epoch with the best validation accuracy, if the recipe monitors it."""
        return self.path / "best.safetensors"

    @property
    def split(self) -> Path:
        """The split of each image file, if the data has one file per image."""
        return self.path / "split.csv"

    @property
    def trained_images(self) -> Path:
        """The digests of the images that the run is trained on, which `images.trained` writes and reads."""
        return self.path / "trained_images.json"

    @property
    def curves(self) -> Path:
        """Figure of training loss, training accuracy, and validation or test accuracy."""
        return self.path / "curves.png"

    @property
    def contact_sheet(self) -> Path:
        """Figure of test images with true and predicted class."""
        return self.path / "contact_sheet.png"

    @property
    def metrics(self) -> Path:
        """All metrics on the test split."""
        return self.path / "metrics.json"

    @property
    def confusion(self) -> Path:
        """Figure of the confusion matrix."""
        return self.path / "confusion.png"

    @property
    def calibration(self) -> Path:
        """Figure of accuracy by confidence."""
        return self.path / "calibration.png"

    def read(self) -> dict[str, Any]:
        """Return the facts in run.json."""
        values: dict[str, Any] = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        return values

    def read_trained_images(self) -> dict[str, Any] | None:
        """Return what `images.trained.record` has recorded; None for a run of an older version.

        Raises:
            DataError: CN305 if the file is damaged.
        """
        try:
            values: dict[str, Any] = json.loads(self.trained_images.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DataError(
                "CN305",
                _("the record of the images that the run was trained on is damaged"),
                where=str(self.trained_images),
                why=str(error),
            ) from error
        return values

    def write(self, facts: dict[str, Any]) -> None:
        """Replace run.json atomically."""
        write_json(self.path / "run.json", facts)

    def recipe(self) -> Recipe:
        """Return the resolved recipe."""
        return Recipe.from_dict(self.read()["recipe"])

    def preprocess(self) -> Preprocess:
        """Return how images are preprocessed."""
        return Preprocess.from_dict(self.read()["preprocess"])

    def net_spec(self) -> NetSpec:
        """Return how the network is built."""
        return NetSpec(**self.read()["net"])

    def weights_file(self) -> Path:
        """Return the best checkpoint if it exists, else the last. Raises UsageError CN207 if there is none."""
        for path in (self.best, self.last):
            if path.exists():
                return path
        raise UsageError(
            "CN207",
            _("the run has no weights yet, because it was stopped before its first epoch was finished"),
            where=str(self.path),
            hint=command("classicnets", "train", "--resume", self.path),
        )


def make(root: Path, label: str, fill: Callable[[Path], object]) -> Path:
    """Create the folder root/label-K with the smallest K that is not in use, and return its path.

    It is created under a temporary name, filled and then renamed, so that it exists with all its files or not at all.

    Args:
        root: the folder in which it is created.
        label: its name without the number.
        fill: called with the temporary folder, to write its files.

    Raises:
        MachineError: CN401 if it cannot be written.
    """
    temporary = root / f".{label}.{uuid.uuid4().hex}.part"
    try:
        root.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        fill(temporary)
        number = 1
        while not _rename(temporary, path := root / f"{label}-{number}"):
            number += 1
        sync_folder(root)
    except OSError as error:
        raise cannot_write(root, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # exists only if something failed
    return path


def fill(path: Path, net_spec: NetSpec, facts: dict[str, Any]) -> None:
    """Write run.json to the run folder `path`, and copies of the user's file that defines the network, and of the
    modules beside it, if any.

    The folder is created if it does not exist. Raises MachineError CN401 if it cannot be written.
    """
    try:
        path.mkdir(exist_ok=True)
        if net_spec.kind == "file":
            source = Path(net_spec.path)
            copies = {"net.py": source, **{name: source.parent / name for name in net_spec.neighbors}}
            for name, file in copies.items():
                if name == "net.py" or not Path(name).is_absolute():  # modules elsewhere are found there again
                    (path / name).parent.mkdir(parents=True, exist_ok=True)
                    write_whole(path / name, file.read_bytes())
    except OSError as error:
        raise cannot_write(path, error) from error
    RunFolder(path).write(facts)


def _rename(temporary: Path, path: Path) -> bool:
    """Rename the folder to `path`; return False if that is a file or a folder that is not empty."""
    try:
        temporary.rename(path)
    except OSError:
        if path.exists():
            return False
        raise
    return True


def open_run(path: str | Path) -> RunFolder:
    """Open an existing run folder. Raises UsageError CN207 if it is not one."""
    folder = RunFolder(Path(path))
    try:
        folder.read()
    except (OSError, json.JSONDecodeError) as error:
        raise UsageError(
            "CN207",
            _("{path} is not a run folder", path=path),
            where=str(Path(path) / "run.json"),
            why=_("the file cannot be read") if (folder.path / "run.json").exists() else _("the file does not exist"),
            hint=nearest_run(folder.path),
        ) from error
    return folder


def nearest_run(path: Path) -> str:
    """A hint for a path that is not a run folder: the run folder that contains it, one that it contains, or another."""
    if (path.parent / "run.json").is_file():
        near: Path | None = path.parent
    else:
        runs = {run.parent.name: run.parent for run in path.parent.glob("*/run.json")}
        places = (path, path.parent, Path("runs"))
        candidates = [run for place in places for run in sorted(place.glob("*/run.json"))]
        near = runs.get(nearest(path.name, runs)) or (candidates[0].parent if candidates else None)
    if near:
        return _("{path}   # is a run folder", path=command(near))
    return _("{command}   # creates a run folder", command=command("classicnets", "train", "NET"))
