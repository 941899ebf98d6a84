"""What lies in a folder of pictures: classes and files of both splits, before any picture is opened.

FOLDER/train/CLASS/ and FOLDER/test/CLASS/ (or val/), or FOLDER/CLASS/ with a fifth of each class as the test split.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from classicnets.errors import DataError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing", "val", "valid", "validation")  # the first that is there is the test split
HIDDEN = {"__macosx", "thumbs.db", "desktop.ini"}  # besides everything that begins with a dot
TEST_SHARE = 0.2  # of a folder that has no test split

_NAMED = 5  # so many entries of a folder are named in an error


@dataclass(frozen=True)
class Scan:
    """What lies in a folder, before any picture is opened: `train` and `test` are class -> picture files.

    `classes` are those of `train` in natural order. `notes` says what was decided or left out; `faults` what makes
    the folder useless, as (place, words).
    """

    folder: Path
    classes: tuple[str, ...]
    train: dict[str, list[Path]]
    test: dict[str, list[Path]]
    notes: tuple[str, ...]
    faults: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """What the data set is called."""
        return self.folder.absolute().resolve().name

    def files(self) -> Iterator[tuple[str, str, Path]]:
        """(split, class, path) of every picture, the train split first, both in the order of the classes."""
        for split, classes in (("train", self.train), ("test", self.test)):
            for name in self.classes:
                for path in classes.get(name, ()):
                    yield split, name, path


def scan(folder: Path) -> Scan:
    """Classes and picture files of both splits. Raises DataError CN307 if `folder` has no class folders."""
    notes: list[str] = []
    faults: list[tuple[str, str]] = []
    root, tests, unread = _layout(folder)
    inside = "" if root == folder else f"{root.name}/"
    train = _classes(root, unread)
    if not any(train.values()):
        raise _no_layout(folder)
    if tests:
        test = _classes(tests[0], unread)
        notes += [f"{path.name} is not used: {tests[0].name} is the test split" for path in tests[1:]]
        faults += _strangers(tests[0].name, test, train)
    else:
        every = sum(map(len, train.values()))
        faults += [
            (f"{inside}{name}", "one picture; at least two are needed, to train on one and test with the other")
            for name, paths in train.items()
            if len(paths) == 1
        ]
        divided = {name: _divided(name, paths) for name, paths in train.items()}
        train, test = ({name: parts[i] for name, parts in divided.items()} for i in (0, 1))
        notes.append(
            "no test folder, so about a fifth of each class, chosen by file names, is the test split"
            f" ({sum(map(len, test.values())):,} of {every:,} pictures)"
        )
    classes = tuple(sorted(train, key=natural))
    faults += [(f"{inside}{name}", "no picture in this class") for name in classes if not train[name]]
    if len(classes) == 1:
        faults.append((f"{inside}{classes[0]}", "the only class; at least two are needed"))
    if all(name.isdecimal() for name in classes):
        notes.append(_numbers(classes))
    if unread:
        notes.append(_in_words(folder, unread))
    return Scan(folder, classes, train, test, tuple(notes), tuple(faults))


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


def _layout(folder: Path) -> tuple[Path, list[Path], list[Path]]:
    """Where the training classes lie, the folders of test splits (the first is used), and what lies beside them."""
    folders, files = _entries(folder)
    named = {path.name.casefold(): path for path in folders}
    train = next((named[name] for name in TRAIN_NAMES if name in named), None)
    if train is None or not _entries(train)[0]:  # a train folder with pictures straight in it is a class of that name
        return folder, [], []
    tests = [named[name] for name in TEST_NAMES if name in named]
    return train, tests, [path for path in (*folders, *files) if path not in (train, *tests)]


def _classes(folder: Path, unread: list[Path]) -> dict[str, list[Path]]:
    """Class -> its picture files; what else lies in `folder` and its classes is added to `unread`."""
    folders, files = _entries(folder)
    unread += files
    found: dict[str, list[Path]] = {}
    for path in folders:
        inner, files = _entries(path)
        pictures = found.setdefault(composed(path.name), [])
        for file in files:
            (pictures if file.suffix.lower() in EXTENSIONS else unread).append(file)
        unread += inner
    return found


def _divided(name: str, paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """The pictures of one class to train on and to test with. A picture's part depends on its own name alone, except
    that each part gets at least one.
    """
    if len(paths) < 2:
        return paths, []
    draws = {path: _draw(f"{name}/{composed(path.name)}") for path in paths}
    drawn = sorted(paths, key=lambda path: draws[path])
    count = min(max(sum(draw < TEST_SHARE for draw in draws.values()), 1), len(paths) - 1)
    test = set(drawn[:count])
    return [path for path in paths if path not in test], [path for path in paths if path in test]


def _draw(text: str) -> float:
    """A number in 0..1 that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(encoded(text)).digest()[:8], "big") / 2**64


def _strangers(split: str, test: dict[str, list[Path]], train: dict[str, list[Path]]) -> list[tuple[str, str]]:
    """Classes that only one of the two splits has pictures of, as faults."""
    if not test:
        return [(split, "no class folders, so nothing tells what its pictures show")]
    faults = []
    for name in sorted(test.keys() - train.keys(), key=natural):
        near = get_close_matches(name, train, 1)
        faults.append(
            (f"{split}/{name}", "the train split has no such class" + (f"; the nearest is {near[0]}" if near else ""))
        )
    missing = sorted((name for name in train if train[name] and not test.get(name)), key=natural)
    return faults + [(f"{split}/{name}", "no picture of this class to test with") for name in missing]


def _no_layout(folder: Path) -> DataError:
    """The error for a folder that holds neither pictures in class folders nor IDX files."""
    folders, files = _entries(folder)
    there = [f"{path.name}/" for path in folders] + [path.name for path in files]
    listed = ", ".join(there[:_NAMED]) + (f" and {len(there) - _NAMED:,} more" if len(there) > _NAMED else "")
    return DataError(
        "CN307",
        "the folder holds neither classes of pictures nor IDX files",
        where=str(folder.absolute()),
        why=f"found: {listed or 'nothing'}\n"
        "accepted are FOLDER/CLASS/*.png, FOLDER/train/CLASS/*.png with FOLDER/test/CLASS/*.png (or val/),\n"
        "and the four files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and"
        " t10k-labels-idx1-ubyte",
        hint="classicnets show CN307",
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


def composed(name: str) -> str:
    """A file's name in the one form of its accents, so that a copy from a Mac has the same classes and split."""
    return unicodedata.normalize("NFC", name)


def encoded(text: str) -> bytes:
    """UTF-8; what is none in a file's name stays as it is."""
    return text.encode("utf-8", "surrogateescape")
