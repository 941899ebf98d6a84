"""The splits of a folder or CSV of images: which there are, which is made of another, and what is wrong with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from classicnets import text
from classicnets.errors import DataError
from classicnets.images.names import composed, encoded, natural, printable, relative

TEST_SHARE = 0.2  # of each class, where there is no test split

NO_CLASSES = "no class folders, so nothing tells what its images show"

_NAMED = 5  # faults in an error

Classes = dict[str, list[Path]]  # class -> its image files


@dataclass(frozen=True)
class Fault:
    """Something that makes the data useless, at a `place` ("" for all of it).

    With `for_training` it concerns training only: the images can still be evaluated.
    """

    place: str
    what: str
    for_training: bool = True

    def __str__(self) -> str:
        return f"{self.place}: {self.what}" if self.place else self.what


@dataclass(frozen=True)
class Layout:
    """What `given`, a folder or a CSV, holds: the image files of each class in `train`, `validation` (empty if there is
    none) and `test`.

    `classes` are those of `train` in natural order, or of `test` if there is nothing to train on. `undivided` is
    `train` before a part of it became the test split; None if `test` is a split of its own. `notes` are decisions that
    concern training, `file_notes` what was left out or merged, which concerns every reader. `lines` has the line of
    each image of a CSV.
    """

    given: Path
    classes: tuple[str, ...]
    train: Classes
    validation: Classes
    test: Classes
    undivided: Classes | None
    notes: tuple[str, ...]
    file_notes: tuple[str, ...]
    faults: tuple[Fault, ...]
    lines: dict[Path, int] | None = None

    @property
    def name(self) -> str:
        """What the data set is called."""
        given = self.given.absolute().resolve()
        return given.name if self.lines is None else given.stem

    @property
    def folder(self) -> Path:
        """What the paths of images are relative to."""
        return self.given if self.lines is None else self.given.parent

    def files(self) -> Iterator[tuple[str, str, Path]]:
        """(split, class, path) of every image: train, validation, test, each in the order of the classes.

        A class that only validation or test has, which is a fault, comes after those of `classes`.
        """
        for split, classes in (("train", self.train), ("validation", self.validation), ("test", self.test)):
            for name in self._ordered(classes):
                for path in classes[name]:
                    yield split, name, path

    def evaluated(self) -> Iterator[tuple[str, Path]]:
        """(class, path) of the images that a model is evaluated on: the test split, or all if there is none."""
        classes = self.test if self.undivided is None else self.undivided
        for name in self._ordered(classes):
            for path in classes[name]:
                yield name, path

    def shown(self, path: Path) -> str:
        """An image's path from the folder on, or all of it if the image lies elsewhere."""
        return relative(self.folder, path)

    def line(self, path: Path) -> str:
        """Which line of a CSV names the image, in words to be put behind its path."""
        return f" (line {self.lines[path]} of {self.given.name})" if self.lines and path in self.lines else ""

    def check(self, *, training: bool = True) -> None:
        """Raises DataError CN307 that names the faults, if there are any; without `training` only those that make the
        images useless for evaluation as well.
        """
        refuse(self.given, [str(fault) for fault in self.faults if training or not fault.for_training])

    def _ordered(self, classes: Classes) -> list[str]:
        known = {name: i for i, name in enumerate(self.classes)}
        return sorted(classes, key=lambda name: (known.get(name, len(known)), natural(name)))


def judged(
    given: Path,
    root: Path,
    splits: dict[str, Classes],
    called: dict[str, str],
    notes: list[str],
    file_notes: list[str],
    faults: list[Fault],
    lines: dict[Path, int] | None = None,
) -> Layout:
    """The layout of images by split.

    If only one of validation and test is there, it is the test split; if none is, a fifth of each class becomes it,
    chosen by the paths from `root` on. `called` has the names of the splits for people, with "" for no name.
    """
    train, validation, test = (splits.get(split) for split in ("train", "validation", "test"))
    assert train is not None
    inside = f"{called['train']}/" if called["train"] else ""
    undivided = None
    if test is None and validation is not None:
        test, validation, called = validation, None, {**called, "test": called["validation"]}
    if not train and not faults:
        faults = [Fault("", _nothing_to_train_on(called, lines is not None))]
    if validation is not None:
        faults += _strangers(called["validation"], validation, train)
        if validation and (lacking := _lacking(validation, train)):
            notes = [*notes, f"{called['validation']} has no image of {', '.join(lacking)}"]
    if test is not None:
        if not test:
            faults.append(Fault(called["test"], NO_CLASSES, for_training=False))
        elif not any(test.values()):
            faults.append(Fault(called["test"], "no image in any of its class folders", for_training=False))
        else:
            faults += _strangers(called["test"], test, train)
            faults += [
                Fault(f"{called['test']}/{name}", "no image of this class to test with")
                for name in _lacking(test, train)
            ]
    else:
        undivided, train, test, more = _divided(root, train, inside)
        faults += more
        count, every = sum(map(len, test.values())), sum(map(len, undivided.values()))
        notes += [
            "no test split, so about a fifth of each class, chosen by file names, is the test split"
            f" ({count:,} of {every:,} images)",
        ]
    classes = tuple(sorted(train or test, key=natural))
    if train:
        faults += [Fault(f"{inside}{name}", "no image in this class") for name in classes if not train[name]]
        if len(classes) == 1:
            faults.append(Fault(f"{inside}{classes[0]}", "the only class; at least two are needed"))
    if classes and all(name.isdecimal() for name in classes):
        notes = [*notes, _numbers(classes)]
    return Layout(
        given,
        classes,
        train,
        validation or {},
        test,
        undivided,
        tuple(notes),
        tuple(file_notes),
        tuple(faults),
        lines,
    )


def _nothing_to_train_on(called: dict[str, str], is_csv: bool) -> str:
    if is_csv:
        return "the column split never says train"
    return f"there is no train split: put images to train on in train/CLASS/, beside {called['test']}/"


def _divided(root: Path, train: Classes, inside: str) -> tuple[Classes, Classes, Classes, list[Fault]]:
    """All images, those to train on, those to test with, and classes with too few for both."""
    faults = [
        Fault(f"{inside}{name}", "one image; at least two are needed, to train on one and test with the other")
        for name, paths in train.items()
        if len(paths) == 1
    ]
    divided = {name: _parts(root, paths) for name, paths in train.items()}
    rest, test = ({name: parts[i] for name, parts in divided.items()} for i in (0, 1))
    return train, rest, test, faults


def _parts(root: Path, paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """The images of one class to train on and to test with. An image's part depends on its own path only, except that
    each part gets at least one.
    """
    if len(paths) < 2:
        return paths, []
    draws = {path: _draw(composed(relative(root, path))) for path in paths}
    drawn = sorted(paths, key=lambda path: draws[path])
    count = min(max(sum(draw < TEST_SHARE for draw in draws.values()), 1), len(paths) - 1)
    test = set(drawn[:count])
    return [path for path in paths if path not in test], [path for path in paths if path in test]


def _draw(name: str) -> float:
    """A number in 0..1 that depends on the name only."""
    return int.from_bytes(hashlib.sha256(encoded(name)).digest()[:8], "big") / 2**64


def _strangers(split: str, classes: Classes, train: Classes) -> list[Fault]:
    """Classes that the train split does not know, and a split without classes."""
    if not classes:
        return [Fault(split, NO_CLASSES)]
    faults = []
    for name in sorted(classes.keys() - train.keys(), key=natural) if train else ():
        near = text.nearest(name, train)
        known = "the train split has no such class" + (f"; the nearest is {near}" if near else "")
        faults.append(Fault(f"{split}/{name}", known))
    return faults


def _lacking(classes: Classes, train: Classes) -> list[str]:
    """Classes of the train split without an image in another one."""
    return sorted((name for name in train if train[name] and not classes.get(name)), key=natural)


def _numbers(classes: tuple[str, ...]) -> str:
    """Which output stands for which class, where the names of the classes are numbers."""
    pairs = [f"output {i} is {name}" for i, name in enumerate(classes)]
    shown = pairs if len(pairs) <= 10 else [*pairs[:3], "...", pairs[-1]]
    return f"the names of the classes are numbers: {', '.join(shown)}"


def refuse(given: Path, faults: Sequence[str]) -> None:
    """Raises DataError CN307 with the first of the faults, if there are any."""
    if not faults:
        return
    more = [f"and {len(faults) - _NAMED} more"] if len(faults) > _NAMED else []
    raise DataError(
        "CN307",
        "the images are no sound data set",
        where=str(given.absolute()),
        why=printable("\n".join([*faults[:_NAMED], *more])),
        hint=check_hint(given),
    )


def check_hint(given: Path) -> str:
    """The command that lists all that is wrong."""
    return f"{text.command('classicnets', 'data', 'check', given)}   # lists them all"
