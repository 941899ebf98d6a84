"""Run folders: created once, never overwritten."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from classicnets import checksum, machine, schema
from classicnets import trust as trusted
from classicnets.errors import DataError, MachineError, UsageError
from classicnets.files import cannot_write, sync_folder, write_json, write_whole
from classicnets.runs import checkpoint, formats, net_spec, user_file
from classicnets.runs.net_spec import NetSpec
from classicnets.text import _, command, nearest, note
from classicnets.values import Preprocess, Recipe

_MAX_LABEL = 120  # bytes; a name has at most 255, with its number and the suffix of a temporary or an exported file

# Facts of run.json that a checkpoint has too, as they are compared
_AGREEING: dict[str, Callable[[Any], Any]] = {
    "net": lambda values: replace(NetSpec(**values), path=""),
    "preprocess": Preprocess.from_dict,
    "recipe": Recipe.from_dict,
    "classes": list,
    "seed": int,
    "fingerprint": str,
}


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
    def epochs(self) -> Path:
        """The folder with the weights of each epoch, if the run keeps them."""
        return self.path / "epochs"

    def epoch(self, number: int) -> Path:
        """The weights after this epoch, counted from 1, if the run keeps them."""
        return self.epochs / f"epoch-{number:04}.safetensors"

    def kept_epochs(self) -> dict[int, Path]:
        """Return the weights that the run has kept, by the number of the epoch."""
        numbers = {path: path.stem.removeprefix("epoch-") for path in self.epochs.glob("epoch-*.safetensors")}
        return dict(sorted((int(number), path) for path, number in numbers.items() if number.isdecimal()))

    @property
    def split(self) -> Path:
        """The split of each image file, if the data has one file per image."""
        return self.path / "split.csv"

    @property
    def trained_images(self) -> Path:
        """The digests of the images that the run is trained on, as `images.trained` records them."""
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

    @property
    def file(self) -> Path:
        """The facts of the run."""
        return self.path / "run.json"

    def read(self) -> dict[str, Any]:
        """Return the facts in run.json. Raises UsageError CN207 if it does not exist or is not valid."""
        try:
            facts: dict[str, Any] = schema.read(self.file.read_bytes(), formats.RUN)
            formats.check_relations(facts)
        except OSError as error:
            raise UsageError(
                "CN207",
                _("{path} is not a run folder", path=self.path),
                where=str(self.file),
                why=str(error.strerror) if self.file.exists() else _("the file does not exist"),
                hint=nearest_run(self.path),
            ) from error
        except ValueError as error:
            raise UsageError(
                "CN207",
                _("{name} is not valid", name=self.file.name),
                where=str(self.file),
                why=str(error),
                hint=_("restore the file as classicnets wrote it; the weights have most of it in their metadata"),
            ) from error
        return facts

    def read_trained_images(self, say: Callable[[str], object] = lambda _: None) -> dict[str, Any] | None:
        """Return what `write_trained_images` has written; None if it was changed, or for a run of an older version.

        Args:
            say: receives a note if the file was changed, or has no checksum.
        """
        path = self.trained_images
        try:
            values: dict[str, Any] = schema.read(path.read_bytes(), formats.TRAINED_IMAGES)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            values = {checksum.KEY: ""}
        recorded = values.pop(checksum.KEY, None)
        if recorded is None:
            say(checksum.missing(path))
        elif recorded != checksum.of_values(values):
            say(
                _(
                    "note: {path} was changed since classicnets wrote it, so it is not used: images that the run was"
                    " trained on are not recognized",
                    path=path,
                )
            )
            return None
        return values

    def write_trained_images(self, values: dict[str, Any]) -> None:
        """Write what `images.trained.record` has returned. Raises MachineError CN401."""
        write_json(self.trained_images, checksum.with_checksum(values))

    def write(self, facts: dict[str, Any]) -> None:
        """Replace run.json atomically."""
        write_json(self.file, checksum.with_checksum(facts))

    def recipe(self) -> Recipe:
        """Return the resolved recipe."""
        return Recipe.from_dict(self.read()["recipe"])

    def preprocess(self) -> Preprocess:
        """Return how images are preprocessed."""
        return Preprocess.from_dict(self.read()["preprocess"])

    def net_spec(self, *, trust: bool = False) -> NetSpec:
        """Return how the network is built, for building it.

        Args:
            trust: whether code may be run that was not run on this machine before.

        Raises:
            UsageError: CN207 if run.json is not valid, CN212 if the network is code that is not trusted.
        """
        spec = self.described_net()
        if spec.kind == "file":
            trusted.check(
                spec.code_digest,
                trust=trust,
                what=_("this run folder contains Python code, which would be run: {file}", file=Path(spec.path).name),
                where=str(self.path),
                hints=(
                    _("{option}   # a file that you have read", option=command("--net", f"FILE.py:{spec.name}")),
                    _(
                        "ask its author for an exported file, which needs no code: {command}",
                        command=command("classicnets", "export", "RUN"),
                    ),
                ),
            )
            if trust:
                user_file.permit(Path(spec.path))
        return spec

    def described_net(self) -> NetSpec:
        """Return how the network is built, for showing it; code in it may not be run."""
        return NetSpec(**self.read()["net"])

    def check_agrees(self, facts: dict[str, Any], saved: dict[str, Any], *, trust: bool = False) -> None:
        """Check run.json against the copy of its main facts in a checkpoint, which has a checksum.

        Data and code may have been moved, so paths may differ.

        Args:
            facts: those of run.json.
            saved: those of the checkpoint.
            trust: use run.json anyway.

        Raises:
            DataError: CN306 if they contradict each other.
        """
        wrong = [key for key, read in _AGREEING.items() if key in saved and read(facts[key]) != read(saved[key])]
        if wrong and not trust:
            raise DataError(
                "CN306",
                _("run.json contradicts the weights of the run: {keys}", keys=", ".join(wrong)),
                where=str(self.file),
                why="\n".join(_difference(key, facts[key], saved[key]) for key in wrong),
                hint=(
                    _("change run.json back, or copy the run folder again"),
                    _("{option}   # uses run.json as it is", option="--trust"),
                ),
            )

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


class RunFile(RunFolder):
    """A run in one .safetensors file, as `classicnets weights convert -o FILE.safetensors` writes it."""

    @property
    def last(self) -> Path:
        """The file itself."""
        return self.path

    @property
    def file(self) -> Path:
        """The file itself, which has the facts in its metadata."""
        return self.path

    def read(self) -> dict[str, Any]:
        """Return the facts in the metadata. Raises UsageError CN207 without any, DataError CN305 if damaged."""
        return {**self._facts}

    @cached_property
    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] | None = checkpoint.read_facts(self.path).get("run")
        if facts is None:
            raise UsageError(
                "CN207",
                _("{path} has weights, but is not a run", path=self.path),
                where=str(self.path),
                why=_("it does not say how images are prepared and what the classes are"),
                hint=(
                    command("classicnets", "weights", "convert", self.path, "-o", "FOLDER"),
                    nearest_run(self.path),
                ),
            )
        return facts

    def read_trained_images(self, say: Callable[[str], object] = lambda _: None) -> dict[str, Any] | None:  # noqa: ARG002
        """Return None: a file does not record the images that it was trained on."""
        return None

    def write(self, facts: dict[str, Any]) -> None:  # noqa: ARG002
        """Raise MachineError CN401: the facts of a file do not change."""
        raise MachineError("CN401", _("a run in one file is not changed"), where=str(self.path))


def check_root(root: Path) -> None:
    """Check, before any data is read, that folders can be created in `root`; it is not created itself.

    Raises:
        MachineError: CN401 if they cannot.
    """
    if reason := machine.write_error(root.absolute()):
        raise cannot_write(root, OSError(reason))


@contextmanager
def resumable(path: Path, resume: Callable[[], Sequence[str | Path]] | None = None) -> Iterator[None]:
    """Within this block, the error for a file that cannot be written below `path` says how its training is resumed.

    Args:
        path: the folder.
        resume: returns the words of the command that resumes it (default: that of a run).
    """
    try:
        yield
    except MachineError as error:
        if error.code == "CN401" and Path(error.where).is_relative_to(path):
            error.hints = (
                _(
                    "{command}   # resumes after the last checkpoint, when files can be written there again",
                    command=command(*(resume() if resume else ("classicnets", "train", "--resume", path))),
                ),
                _("{command}   # and resume the copy, if they never can", command=command("cp", "-r", path, "FOLDER")),
            )
        raise


def make(root: Path, label: str, fill: Callable[[Path], object]) -> Path:
    """Create the folder root/label-K with the smallest K that is not in use, and return its path.

    It is created under a temporary name, filled and then renamed, so that it exists with all its files or not at all.

    Args:
        root: the folder in which it is created.
        label: its name without the number; shortened if it is too long for a name.
        fill: called with the temporary folder, to write its files.

    Raises:
        MachineError: CN401 if it cannot be written.
    """
    name = os.fsencode(label)
    label = label if len(name) <= _MAX_LABEL else name[:_MAX_LABEL].decode("utf-8", "ignore")
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


def fill(path: Path, network: NetSpec, facts: dict[str, Any]) -> None:
    """Write run.json to the run folder `path`, and copies of the user's file that defines the network, and of the
    modules beside it, if any.

    The folder is created if it does not exist. Raises MachineError CN401 if it cannot be written.
    """
    try:
        path.mkdir(exist_ok=True)
        if network.kind == "file":
            source = Path(network.path)
            copies = {"net.py": source, **{name: source.parent / name for name in network.neighbors}}
            for name, file in copies.items():
                if name == "net.py" or not Path(name).is_absolute():  # modules elsewhere are found there again
                    (path / name).parent.mkdir(parents=True, exist_ok=True)
                    write_whole(path / name, file.read_bytes())
    except OSError as error:
        raise cannot_write(path, error) from error
    RunFolder(path).write(facts)
    if network.kind == "file":  # the user has run this code to create the run
        trusted.add(network.code_digest)


def _difference(name: str, facts: Any, saved: Any) -> str:
    """The first value that differs, in run.json and in the checkpoint."""
    if isinstance(facts, dict) and isinstance(saved, dict):
        key = next((key for key in (*facts, *saved) if facts.get(key) != saved.get(key) and key != "path"), "")
        name, facts, saved = f"{name}.{key}", facts.get(key), saved.get(key)
    return _("{key} is {here}, and in the weights {there}", key=name, here=str(facts)[:60], there=str(saved)[:60])


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
    """Open an existing run folder, or a run in one file; a note says if run.json was changed by hand.

    Raises:
        UsageError: CN207 if it is no run.
        DataError: CN305 if it is a file that is damaged.
    """
    if _is_file(path):
        file = RunFile(Path(path))
        file.read()
        return file
    folder = RunFolder(Path(path))
    facts = folder.read()
    if facts.get(checksum.KEY, "") not in ["", checksum.of_values(facts)]:
        note(_("note: {path} was changed since classicnets wrote it", path=folder.file))
    return folder


def find_net(spec: str, *, trust: bool = False) -> NetSpec:
    """Resolve the argument NET: a registry name, file.py:name, a graph file, or a run folder (with new weights).

    Raises:
        UsageError: What `net_spec.find` and `RunFolder.net_spec` raise.
    """
    run = RunFile(Path(spec)) if _is_file(spec) else RunFolder(Path(spec))
    return run.net_spec(trust=trust) if run.file.is_file() else net_spec.find(spec)


def _is_file(path: str | Path) -> bool:
    return Path(path).suffix == checkpoint.SUFFIX and Path(path).is_file()


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
