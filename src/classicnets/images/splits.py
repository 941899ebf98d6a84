"""The splits of a folder or CSV of images: which image files each has, and what makes them unusable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from classicnets.errors import DataError
from classicnets.images.automatic_split import Classes, Copies, key, split_off_test
from classicnets.images.names import natural_key, printable, relative_path
from classicnets.text import _, command, listed, nearest, plural

_MAX_FAULTS = 5  # listed in an error
_MAX_PAIRS = 10  # output-class pairs that a note lists in full


Losses = Sequence[tuple[str, str, int]]  # about images that are left out: note, reason and number


@dataclass(frozen=True)
class Fault:
    """Something that makes the data unusable.

    Attributes:
        location: The split, class or line; "" for the whole data set.
        message: What is wrong.
        training_only: Whether the images can still be evaluated.
    """

    location: str
    message: str
    training_only: bool = True

    def __str__(self) -> str:
        if not self.location:
            return self.message
        return _("{location}: {fault}", location=self.location, fault=self.message)


@dataclass(frozen=True)
class Layout:
    """The image files of each class and split in a folder or CSV.

    Attributes:
        path: The folder or CSV.
        classes: The classes of `train`, or of `test` if there are no training images, in natural order.
        train: Training split.
        validation: Validation split; empty if there is none.
        test: Test split.
        unsplit: All images, if part of them became the test split; None if the data has a test split of its own.
        notes: Decisions that concern training.
        file_notes: Which files are ignored or merged; concerns every command.
        losses: Those of `file_notes` that are about images.
        left_out: Their number, by reason: "no_class" or "unsupported_format".
        faults: What makes the data unusable.
        root: The folder that the paths of the automatic split are relative to.
        lines: For a CSV, the line of each image.
    """

    path: Path
    classes: tuple[str, ...]
    train: Classes
    validation: Classes
    test: Classes
    unsplit: Classes | None
    notes: tuple[str, ...]
    file_notes: tuple[str, ...]
    losses: tuple[str, ...]
    left_out: dict[str, int]
    faults: tuple[Fault, ...]
    root: Path
    lines: dict[Path, int] | None = None

    @property
    def name(self) -> str:
        """Name of the data set: that of the folder, or of the CSV without its suffix."""
        path = self.path.absolute().resolve()
        return path.name if self.lines is None else path.stem

    @property
    def folder(self) -> Path:
        """The folder that image paths are relative to."""
        return self.path if self.lines is None else self.path.parent

    @property
    def has_test_split(self) -> bool:
        """Whether the data has a test split of its own."""
        return self.unsplit is None

    def files(self) -> Iterator[tuple[str, str, Path]]:
        """(split, class, path) of every image: train, validation, test, each in the order of the classes.

        Classes that only validation or test has (a fault) come after those of `classes`.
        """
        for split, classes in (("train", self.train), ("validation", self.validation), ("test", self.test)):
            for name in self._sorted(classes):
                for path in classes[name]:
                    yield split, name, path

    def evaluation_files(self) -> Iterator[tuple[str, Path]]:
        """(class, path) of the images that a model is evaluated on: the test split, or all if there is none."""
        classes = self.test if self.unsplit is None else self.unsplit
        for name in self._sorted(classes):
            for path in classes[name]:
                yield name, path

    def key(self, path: Path) -> str:
        """Return the key of an image, by which `automatic_split` orders it and names its copies."""
        return key(self.root, path)

    def relative_path(self, path: Path) -> str:
        """Return an image's path relative to the folder, or its full path if it lies elsewhere."""
        return relative_path(self.folder, path)

    def location(self, path: Path) -> str:
        """Return an image's path and, for a CSV, the line that lists it."""
        if self.lines and path in self.lines:
            return _("{path} (line {line} of {file})", path=path, line=self.lines[path], file=self.path.name)
        return str(path)

    def check(self, *, training: bool = True) -> None:
        """Raise an error for the faults, if any.

        Args:
            training: Whether faults that concern training only count.

        Raises:
            DataError: CN307 with the first faults.
        """
        raise_faults(self.path, [str(fault) for fault in self.faults if training or not fault.training_only])

    def _sorted(self, classes: Classes) -> list[str]:
        index = {name: i for i, name in enumerate(self.classes)}
        return sorted(classes, key=lambda name: (index.get(name, len(index)), natural_key(name)))


def build_layout(
    path: Path,
    root: Path,
    splits: dict[str, Classes],
    split_names: dict[str, str],
    notes: list[str],
    file_notes: list[str],
    faults: list[Fault],
    *,
    losses: Losses,
    copies: Copies | None,
    lines: dict[Path, int] | None = None,
) -> Layout:
    """Return the layout of images by split, with its faults.

    If the data has either validation or test, that is the test split. If it has neither, a fifth of each class becomes
    the test split, chosen by the paths relative to `root` and by `copies` (see `automatic_split`).
    `split_names` are the user's names of the splits, "" for training images that are not in a split folder.
    """
    train, validation, test = (splits.get(split) for split in ("train", "validation", "test"))
    assert train is not None
    prefix = f"{split_names['train']}/" if split_names["train"] else ""
    unsplit = None
    if test is None and validation is not None:
        test, validation, split_names = validation, None, {**split_names, "test": split_names["validation"]}
    if not train and not faults:
        faults = [Fault("", _no_training_split(split_names, lines is not None))]
    if validation is not None:
        faults += _unknown_classes(split_names["validation"], validation, train)
        if validation and (missing := _missing_classes(validation, train)):
            split = split_names["validation"]
            notes = [*notes, _("{split} has no images of {classes}", split=split, classes=listed(missing))]
    if test is not None:
        faults += _test_faults(split_names["test"], test, train)
    else:
        faults += _single_image_faults(prefix, train)
        unsplit = train
        train, test = split_off_test(root, train, copies)
        notes = [*notes, _split_note(sum(map(len, test.values())), sum(map(len, unsplit.values())))]
    classes = tuple(sorted(train or test, key=natural_key))
    if train:
        faults += [Fault(f"{prefix}{name}", _("this class has no images")) for name in classes if not train[name]]
        if len(classes) == 1:
            faults.append(Fault(f"{prefix}{classes[0]}", _("this is the only class, but training needs at least two")))
    notes = [*notes, *_similar_names_notes(classes)]
    if classes and all(name.isdecimal() for name in classes):
        notes = [*notes, _numeric_classes_note(classes)]
    return Layout(
        path,
        classes,
        train,
        validation or {},
        test,
        unsplit,
        tuple(notes),
        tuple(file_notes),
        tuple(note for note, _reason, _count in losses),
        {**dict.fromkeys(("no_class", "unsupported_format"), 0), **{reason: n for _note, reason, n in losses}},
        tuple(faults),
        root,
        lines,
    )


def no_classes() -> str:
    """Return the message about a split folder without class folders."""
    return _("it has no class folders, so its images have no labels")


def _no_training_split(split_names: dict[str, str], is_csv: bool) -> str:
    if is_csv:
        return _("no line has the split train")
    return _("there is no training split: put training images into train/CLASS/, beside {test}/", **split_names)


def _test_faults(name: str, test: Classes, train: Classes) -> list[Fault]:
    if not test:
        return [Fault(name, no_classes(), training_only=False)]
    if not any(test.values()):
        return [Fault(name, _("its class folders contain no images"), training_only=False)]
    missing = _missing_classes(test, train)
    return [
        *_unknown_classes(name, test, train),
        *(Fault(f"{name}/{label}", _("the test split has no images of this class")) for label in missing),
    ]


def _single_image_faults(prefix: str, train: Classes) -> list[Fault]:
    message = _("this class has one image, but needs at least two: one for training and one for testing")
    return [Fault(f"{prefix}{name}", message) for name, paths in train.items() if len(paths) == 1]


def _split_note(count: int, total: int) -> str:
    return _(
        "there is no test split, so about a fifth of each class, chosen by file name, is the test split"
        " ({n:,} of {total:,} images)",
        n=count,
        total=total,
    )


def _unknown_classes(split: str, classes: Classes, train: Classes) -> list[Fault]:
    """Faults for classes that the training split lacks, or for a split without classes."""
    if not classes:
        return [Fault(split, no_classes())]
    faults = []
    for name in sorted(classes.keys() - train.keys(), key=natural_key) if train else ():
        if suggestion := nearest(name, train):
            message = _("the training split has no such class; did you mean {name}?", name=suggestion)
        else:
            message = _("the training split has no such class")
        faults.append(Fault(f"{split}/{name}", message))
    return faults


def _missing_classes(classes: Classes, train: Classes) -> list[str]:
    """Classes of the training split that have no image in another split."""
    return sorted((name for name in train if train[name] and not classes.get(name)), key=natural_key)


def _numeric_classes_note(classes: tuple[str, ...]) -> str:
    """Which output belongs to which class, where class names are numbers."""
    pairs = [_("output {i} is {name}", i=i, name=name) for i, name in enumerate(classes)]
    pairs = pairs if len(pairs) <= _MAX_PAIRS else [*pairs[:3], "...", pairs[-1]]
    return _("the class names are numbers: {pairs}", pairs=listed(pairs))


def _similar_names_notes(classes: tuple[str, ...]) -> list[str]:
    """A note for each pair of classes whose names differ only in case."""
    first: dict[str, str] = {}
    pairs = [(other, name) for name in classes if (other := first.setdefault(name.casefold(), name)) != name]
    return [
        _("{first} and {second} are two classes; their names differ only in case", first=a, second=b) for a, b in pairs
    ]


def raise_faults(path: Path, faults: Sequence[str]) -> None:
    """Raise an error that lists the first faults of a folder or CSV, if there are any.

    Raises:
        DataError: CN307.
    """
    if not faults:
        return
    lines = list(faults[:_MAX_FAULTS])
    if len(faults) > _MAX_FAULTS:
        lines.append(plural("and {n} more", "and {n:,} more", len(faults) - _MAX_FAULTS))
    raise DataError(
        "CN307",
        _("the images do not form a valid data set"),
        where=str(path.absolute()),
        why=printable("\n".join(lines)),
        hint=check_hint(path),
    )


def check_hint(path: Path) -> str:
    """Return the command that lists all faults of a folder or CSV."""
    return _("{command}   # lists everything that is wrong", command=command("classicnets", "data", "check", path))
