"""What pictures there are in a folder or a CSV: classes and files of each split, before any picture is opened.

FOLDER/train/CLASS/ with FOLDER/test/CLASS/ or FOLDER/val/CLASS/ or both, or FOLDER/CLASS/ with a fifth of each class as
the test split. A CSV has the columns path, label and, if it likes, split.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from classicnets.errors import DataError
from classicnets.images import listing

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
SPLITS = {  # what each split may be called; of several folders of one split the first counts
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
HIDDEN = {"__macosx", "thumbs.db", "desktop.ini"}  # besides everything that begins with a dot
TEST_SHARE = 0.2  # where there is no test split

_NAMED = 5  # so many entries of a folder are named in an error

Classes = dict[str, list[Path]]  # class -> its picture files


@dataclass(frozen=True)
class Scan:
    """What there is before any picture is opened: `train`, `validation` (empty if there is none) and `test`.

    `given` is the folder or the CSV, of which `lines` has the line of each picture. `classes` are those of `train` in
    natural order. `notes` says what was decided or left out; `faults` what makes all useless, as (place, words).
    """

    given: Path
    classes: tuple[str, ...]
    train: Classes
    validation: Classes
    test: Classes
    notes: tuple[str, ...]
    faults: tuple[tuple[str, str], ...]
    lines: dict[Path, int] | None = None

    @property
    def name(self) -> str:
        """What the data set is called."""
        given = self.given.absolute().resolve()
        return given.name if self.lines is None else given.stem

    @property
    def folder(self) -> Path:
        """What the paths of pictures are told from."""
        return self.given if self.lines is None else self.given.parent

    def files(self) -> Iterator[tuple[str, str, Path]]:
        """(split, class, path) of every picture: train, validation, test, each in the order of the classes."""
        for split, classes in (("train", self.train), ("validation", self.validation), ("test", self.test)):
            for name in self.classes:
                for path in classes.get(name, ()):
                    yield split, name, path

    def shown(self, path: Path) -> str:
        """A picture's path from the folder on, or all of it if the picture lies elsewhere."""
        return _from(self.folder, path)

    def line(self, path: Path) -> str:
        """Which line of a CSV names the picture, in words to be put behind its path."""
        return f" (line {self.lines[path]} of {self.given.name})" if self.lines and path in self.lines else ""


def scan(given: Path) -> Scan:
    """Classes and picture files of each split in a folder or a CSV.

    Raises DataError CN307 if a folder has no class folders with pictures, or a CSV cannot be read.
    """
    return _in_csv(given) if given.is_file() else _in_folder(given)


def _in_folder(folder: Path) -> Scan:
    notes: list[str] = []
    root, others, unread = _layout(folder, notes)
    called = {"train": "" if root == folder else root.name, **{split: path.name for split, path in others.items()}}
    splits = {"train": _classes(root, unread)}
    if not any(splits["train"].values()):
        raise _no_layout(folder)
    splits |= {split: _classes(path, unread) for split, path in others.items()}
    deep = {composed(path.parent.name) for path in unread if path.is_dir() and path.parent.parent == root}
    found = _judged(folder, root, splits, called, notes, deep)
    return replace(found, notes=(*found.notes, _in_words(folder, unread))) if unread else found


def _in_csv(file: Path) -> Scan:
    """As a folder; faults of single lines come first."""
    rows, folder = listing.read(file), file.parent
    meant = {name: split for split, names in SPLITS.items() for name in names}
    splits: dict[str, Classes] = {"train": {}}
    lines: dict[Path, int] = {}
    seen: dict[str, listing.Row] = {}
    faults: list[tuple[str, str]] = []
    repeated = 0
    for row in rows:
        split = "train" if row.split is None else meant.get(row.split.casefold(), "")
        path = row.below(folder)
        first = seen.setdefault(os.path.normpath(path), row)
        if not row.path or not row.label:
            faults.append((f"line {row.line}", f"no {'class' if row.path else 'path'}"))
        elif not split:
            faults.append((f"line {row.line}", f"{row.split!r} is no split: train, val or test"))
        elif (first.label, first.split) != (row.label, row.split):
            faults.append((f"line {row.line}", f"{row.path} is on line {first.line} as well, as something else"))
        elif first is not row:
            repeated += 1
        else:
            splits.setdefault(split, {}).setdefault(composed(row.label), []).append(path)
            lines[path] = row.line
    if not splits["train"] and not faults:
        raise DataError(
            "CN307",
            "the CSV lists no picture to train on",
            where=str(file.absolute()),
            why="the column split never says train" if rows else "nothing comes after its first line",
            hint="classicnets show CN307",
        )
    for classes in splits.values():
        for paths in classes.values():
            paths.sort(key=lambda path: (natural(path.name), _from(folder, path)))
    called = {"train": "train", "validation": "val", "test": "test"}
    notes = [f"{_count(repeated, 'line')} said again what another one says"] if repeated else []
    found = _judged(file, folder, splits, called, notes)
    return replace(found, faults=(*faults, *found.faults), lines=lines)


def _judged(
    given: Path,
    root: Path,
    splits: dict[str, Classes],
    called: dict[str, str],
    notes: list[str],
    deep: Collection[str] = (),
) -> Scan:
    """The scan of pictures by split: what is decided about the splits, and what is wrong with them.

    Where only one of validation and test is there, it is the test split; where none is, a fifth of each class, by its
    paths from `root` on. `called` says how the splits are called in words, with "" for no name; classes in `deep` have
    folders inside.
    """
    train, validation, test = (splits.get(split) for split in ("train", "validation", "test"))
    assert train is not None
    faults: list[tuple[str, str]] = []
    inside = f"{called['train']}/" if called["train"] else ""
    if test is None and validation is not None:
        test, validation, called = validation, None, {**called, "test": called["validation"]}
    if validation is not None:
        faults += _strangers(called["validation"], validation, train)
        if validation and (lacking := _lacking(validation, train)):
            notes = [*notes, f"{called['validation']} has no picture of {', '.join(lacking)}"]
    if test is not None:
        faults += _strangers(called["test"], test, train)
        lacking = _lacking(test, train) if test else []
        faults += [(f"{called['test']}/{name}", "no picture of this class to test with") for name in lacking]
    else:
        every = sum(map(len, train.values()))
        faults += [
            (f"{inside}{name}", "one picture; at least two are needed, to train on one and test with the other")
            for name, paths in train.items()
            if len(paths) == 1
        ]
        divided = {name: _divided(root, paths) for name, paths in train.items()}
        train, test = ({name: parts[i] for name, parts in divided.items()} for i in (0, 1))
        notes = [
            *notes,
            "no test split, so about a fifth of each class, chosen by file names, is the test split"
            f" ({sum(map(len, test.values())):,} of {every:,} pictures)",
        ]
    classes = tuple(sorted(train, key=natural))
    faults += [
        (f"{inside}{name}", "no picture in this class" + "; the folders in it are not read" * (name in deep))
        for name in classes
        if not train[name]
    ]
    if len(classes) == 1:
        faults.append((f"{inside}{classes[0]}", "the only class; at least two are needed"))
    if all(name.isdecimal() for name in classes):
        notes = [*notes, _numbers(classes)]
    return Scan(given, classes, train, validation or {}, test, tuple(notes), tuple(faults))


def natural(name: str) -> tuple[tuple[str | int, ...], str]:
    """A key that sorts "2" before "10"."""
    parts = re.split(r"(\d+)", name.casefold())
    return (tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), name)


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and the files in `folder`, each in natural order; links count as what they lead to."""
    try:
        with os.scandir(folder) as found:
            entries = [(entry.name, entry.is_dir()) for entry in found]
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError("CN307", "the folder cannot be read", where=str(folder), why=why) from error
    entries = [(name, is_folder) for name, is_folder in entries if name[0] != "." and name.casefold() not in HIDDEN]
    entries.sort(key=lambda entry: natural(entry[0]))
    return [folder / name for name, inner in entries if inner], [folder / name for name, inner in entries if not inner]


def _layout(folder: Path, notes: list[str]) -> tuple[Path, dict[str, Path], list[Path]]:
    """Where the training classes lie, the folders of the other splits, and what lies beside them."""
    folders, files = _entries(folder)
    named = {path.name.casefold(): path for path in folders}
    there = {split: [named[name] for name in names if name in named] for split, names in SPLITS.items()}
    if not there["train"] or not _entries(there["train"][0])[0]:  # with pictures straight in it, train is a class
        return folder, {}, []
    used = {split: paths[0] for split, paths in there.items() if paths}
    notes += [f"{path.name} is not used: {paths[0].name} is there" for paths in there.values() for path in paths[1:]]
    known = [path for paths in there.values() for path in paths]
    return used.pop("train"), used, [path for path in (*folders, *files) if path not in known]


def _classes(folder: Path, unread: list[Path]) -> Classes:
    """Class -> its picture files; what else lies in `folder` and its classes is added to `unread`."""
    folders, files = _entries(folder)
    unread += files
    found: Classes = {}
    for path in folders:
        inner, files = _entries(path)
        pictures = found.setdefault(composed(path.name), [])
        for file in files:
            (pictures if file.suffix.lower() in EXTENSIONS else unread).append(file)
        unread += inner
    return found


def _divided(root: Path, paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """The pictures of one class to train on and to test with. A picture's part depends on its own path alone, except
    that each part gets at least one.
    """
    if len(paths) < 2:
        return paths, []
    draws = {path: _draw(composed(_from(root, path))) for path in paths}
    drawn = sorted(paths, key=lambda path: draws[path])
    count = min(max(sum(draw < TEST_SHARE for draw in draws.values()), 1), len(paths) - 1)
    test = set(drawn[:count])
    return [path for path in paths if path not in test], [path for path in paths if path in test]


def _draw(text: str) -> float:
    """A number in 0..1 that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(encoded(text)).digest()[:8], "big") / 2**64


def _strangers(split: str, classes: Classes, train: Classes) -> list[tuple[str, str]]:
    """Classes that the train split does not know, as faults."""
    if not classes:
        return [(split, "no class folders, so nothing tells what its pictures show")]
    faults = []
    for name in sorted(classes.keys() - train.keys(), key=natural):
        near = get_close_matches(name, train, 1)
        faults.append(
            (f"{split}/{name}", "the train split has no such class" + (f"; the nearest is {near[0]}" if near else ""))
        )
    return faults


def _lacking(classes: Classes, train: Classes) -> list[str]:
    """Classes of the train split without a picture in another one."""
    return sorted((name for name in train if train[name] and not classes.get(name)), key=natural)


def _no_layout(folder: Path) -> DataError:
    """The error for a folder that holds neither pictures in class folders nor IDX files."""
    folders, files = _entries(folder)
    there = [f"{path.name}/" for path in folders] + [path.name for path in files]
    listed = ", ".join(there[:_NAMED]) + (f" and {len(there) - _NAMED:,} more" if len(there) > _NAMED else "")
    deeper = next((path for path in folders if any(_classes(path, []).values())), None)
    return DataError(
        "CN307",
        "the folder holds neither classes of pictures nor IDX files",
        where=str(folder.absolute()),
        why=f"found: {listed or 'nothing'}\n"
        "accepted are FOLDER/CLASS/*.png, FOLDER/train/CLASS/*.png with FOLDER/test/CLASS/*.png, val/ or both,\n"
        "and the four files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and"
        " t10k-labels-idx1-ubyte",
        hint=f"--data {shlex.quote(str(deeper))}   # holds such folders" if deeper else "classicnets show CN307",
    )


def _numbers(classes: tuple[str, ...]) -> str:
    """Which output stands for which class, where the names of the classes are numbers."""
    pairs = [f"output {i} is {name}" for i, name in enumerate(classes)]
    shown = pairs if len(pairs) <= 10 else [*pairs[:3], "...", pairs[-1]]
    return f"the names of the classes are numbers: {', '.join(shown)}"


def _in_words(folder: Path, unread: list[Path]) -> str:
    """How many files and folders are not read, with an example."""
    inner = sum(path.is_dir() for path in unread)
    counts = [_count(n, what) for n, what in ((len(unread) - inner, "file"), (inner, "folder")) if n]
    return f"{' and '.join(counts)} not read, such as {unread[0].relative_to(folder)}: no pictures of a class"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _from(folder: Path, path: Path) -> str:
    """The path from the folder on, with slashes; all of it if it does not lie in the folder."""
    try:
        return path.relative_to(folder).as_posix()
    except ValueError:
        return path.as_posix()


def composed(name: str) -> str:
    """A file's name in the one form of its accents, so that a copy from a Mac has the same classes and split."""
    return unicodedata.normalize("NFC", name)


def encoded(text: str) -> bytes:
    """UTF-8; what is none in a file's name stays as it is."""
    return text.encode("utf-8", "surrogateescape")
