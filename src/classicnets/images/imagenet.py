"""Lists the images of ImageNet (ILSVRC 2012 to 2017) with their classes in a CSV; no file is moved or copied.

The training images lie in folders of their synsets, such as train/n01440764. The validation images lie in one folder,
and their classes are in a list; `_READERS` are the forms of it that are published:

- LOC_val_solution.csv of Kaggle: "ILSVRC2012_val_00048981,n03995372 85 1 499 272", image, synset and boxes;
- val.txt of Caffe: "ILSVRC2012_val_00000001.JPEG 65", file and number of the synset, from 0, in the order of names;
- ILSVRC2012_validation_ground_truth.txt of the development kit: on line i the number of the synset of image i, from 1,
  in the order of meta.mat (ILSVRC2012_ID) or map_clsloc.txt ("n02119789 1 kit_fox"), which is another one.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classicnets.datasets.mat5 import read_structs
from classicnets.errors import DataError
from classicnets.files import write_whole
from classicnets.images.names import SPLITS, is_hidden, natural_key
from classicnets.images.tree import Folder, read_tree
from classicnets.text import _, command, csv_row, join, plural

NAME = "imagenet.csv"

_SYNSET = re.compile(r"n\d{8}")
_VALIDATION_IMAGE = re.compile(r"ILSVRC2012_val_(\d{8})")
_GROUND_TRUTH = re.compile(r"ilsvrc20\d\d_(clsloc_)?validation_ground_truth\.txt")
_FOLDERS = {  # of the splits: the names that the reader of folders accepts, and those of the published archives
    "train": (*SPLITS["train"], "ilsvrc2012_img_train"),
    "val": (*SPLITS["validation"], "ilsvrc2012_img_val"),
}
_SKIPPED = {"annotations", "imagesets", "test", "ilsvrc2012_img_test"}  # no classes: boxes, numbers, unlabeled images
_ORDERS = ("synsets.txt", "synset_words.txt", "loc_synset_mapping.txt")  # have all synsets
_LISTS = ("LOC_val_solution.csv", "val.txt", "ILSVRC2012_validation_ground_truth.txt")
_MAX_DEPTH = 4  # ILSVRC/Data/CLS-LOC/train
_CLASSES = 1000

Labels = dict[str, str]  # name of an image without its suffix -> synset


@dataclass(frozen=True)
class Prepared:
    """What `prepare` has listed, and what it has not.

    Attributes:
        path: The CSV.
        classes: Names of the classes.
        train: Number of training images.
        val: Number of validation images.
        lists: The files that the classes are from.
        missing: Images of the lists that are not there.
        unlabeled: Images without a class, which are not listed.
        untrained: Validation images of classes without training images, which are not listed.
        named: Whether the names of the classes are more than those of synsets.
    """

    path: Path
    classes: tuple[str, ...]
    train: int
    val: int
    lists: tuple[Path, ...]
    missing: tuple[str, ...]
    unlabeled: tuple[Path, ...]
    untrained: tuple[Path, ...]
    named: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `--json`; numbers instead of files that are not listed."""
        return {
            "file": str(self.path),
            "classes": len(self.classes),
            "train": self.train,
            "val": self.val,
            "lists": [str(path) for path in self.lists],
            "missing": len(self.missing),
            "unlabeled": len(self.unlabeled),
            "untrained": len(self.untrained),
            "named": self.named,
        }

    def lines(self) -> list[str]:
        """Return a readable report."""
        lines = [
            _(
                "{classes:,} classes, {train:,} training and {val:,} validation images, which are the test split",
                classes=len(self.classes),
                train=self.train,
                val=self.val,
            )
        ]
        if self.lists:
            lines.append(_("classes of the validation images: {files}", files=join([str(path) for path in self.lists])))
        if not self.named:
            lines.append(_("the classes have no readable names, because there is no synset_words.txt"))
        if self.missing:
            lines.append(
                plural(
                    "{n} image of the lists is missing: {names}",
                    "{n:,} images of the lists are missing: {names}",
                    len(self.missing),
                    names=join(self.missing, 3),
                )
            )
        if self.unlabeled:
            lines.append(
                plural(
                    "{n} image has no class and is left out: {names}",
                    "{n:,} images have no class and are left out: {names}",
                    len(self.unlabeled),
                    names=join([path.name for path in self.unlabeled], 3),
                )
            )
        if self.untrained:
            lines.append(
                plural(
                    "{n} validation image is left out, because its class has no training images: {names}",
                    "{n:,} validation images are left out, because their classes have no training images: {names}",
                    len(self.untrained),
                    names=join([path.name for path in self.untrained], 3),
                )
            )
        return lines


@dataclass
class _Place:
    """The folders and files of ImageNet that were found: of each split, and by their names in lower case."""

    top: Path
    folders: dict[str, Path] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    archives: list[Path] = field(default_factory=list)

    def of(self, *names: str) -> Iterator[Path]:
        """The files with these names."""
        return (self.files[name] for name in names if name in self.files)


def prepare(folder: Path, output: Path | None = None) -> Prepared:
    """Write a CSV of the images of ImageNet below `folder`, and return what it lists.

    Args:
        folder: Holds train/, val/ and the lists, or Kaggle's ILSVRC/ and its lists, at any depth.
        output: The CSV; None for imagenet.csv in the folder.

    Raises:
        DataError: CN307 if images or lists are missing, damaged or contradict each other.
        MachineError: CN401 if the CSV cannot be written.
    """
    place = _find(folder)
    train, no_class = _class_folders(place.folders.get("train"))
    sorted_val, unsorted = _class_folders(place.folders.get("val"))
    if "train" in place.folders and not train:
        raise _no_images(place)
    names, lists, missing = _names(place), dict[Path, Labels](), list[str]()
    labels: Labels = {}
    if any(_VALIDATION_IMAGE.fullmatch(path.stem) for path in unsorted):
        lists = _read_lists(place, sorted({*train}))
        if not lists:
            raise _no_list(place)
        labels = _agreed(lists)
        present = {path.stem for paths in (*sorted_val.values(), unsorted) for path in paths}
        missing = sorted(labels.keys() - present)
    rows = [(path, synset, "train") for synset, paths in train.items() for path in paths]
    untrained: list[Path] = []
    for path, synset in _validation(sorted_val, unsorted, labels):
        if synset is None:
            no_class.append(path)
        elif train and synset not in train:
            untrained.append(path)
        else:
            rows.append((path, synset, "val"))
    if not rows:
        raise _no_images(place)
    synsets = sorted({synset for _path, synset, _split in rows})
    file = output or folder / NAME
    _write(file, rows, {synset: _label(synset, names) for synset in synsets})
    return Prepared(
        file,
        tuple(_label(synset, names) for synset in synsets),
        sum(split == "train" for _path, _synset, split in rows),
        sum(split == "val" for _path, _synset, split in rows),
        tuple(lists),
        tuple(missing),
        tuple(no_class),
        tuple(untrained),
        bool(names),
    )


def is_unsorted(images: Iterable[Path]) -> bool:
    """Return whether these are validation images of ImageNet, which are not in folders of classes."""
    return all(_VALIDATION_IMAGE.fullmatch(path.stem) for path in images)


# --- the files -------------------------------------------------------------------------------------------------------


def _find(folder: Path) -> _Place:
    """The folders of images and the lists below `folder`, the nearest first, and the lists in the folders above it."""
    place = _Place(folder)
    level = [folder]
    for _depth in range(_MAX_DEPTH + 1):
        below: list[Path] = []
        for path in level:
            below += _look(path, place)
        level = below
    for parent in folder.absolute().parents[:3]:  # of Kaggle's CLS-LOC
        _look(parent, place, only_lists=True)
    if not place.folders:
        raise _no_images(place)
    return place


def _look(path: Path, place: _Place, *, only_lists: bool = False) -> list[Path]:
    """Add what is in a folder to `place`, and return the folders to look into."""
    below = []
    try:
        entries = sorted(os.scandir(path), key=lambda entry: natural_key(entry.name))
    except OSError as error:
        if only_lists:
            return []
        raise _broken(path, _("the folder cannot be read"), error.strerror or str(error)) from error
    for entry in entries:
        name, child = entry.name.casefold(), path / entry.name
        if is_hidden(entry.name):
            continue
        if entry.is_file():
            if name in {*_ORDERS, "loc_val_solution.csv", "val.txt", "map_clsloc.txt", "meta.mat"}:
                place.files.setdefault(name, child)
            elif _GROUND_TRUTH.fullmatch(name):
                place.files.setdefault("ground_truth", child)
            elif name.endswith((".tar", ".tar.gz", ".zip")) and not only_lists:
                place.archives.append(child)
        elif entry.is_dir() and not only_lists:
            split = next((split for split, names in _FOLDERS.items() if name in names), None)
            if split:
                place.folders.setdefault(split, child)
            elif name not in _SKIPPED and not _SYNSET.fullmatch(name):
                below.append(child)
    return below


def _class_folders(folder: Path | None) -> tuple[dict[str, list[Path]], list[Path]]:
    """The images of each synset's folder, and the images that are in none."""
    if folder is None:
        return {}, []
    top = read_tree(folder).top
    classes = {child.path.name: [*child.walk()] for child in top.folders if _SYNSET.fullmatch(child.path.name)}
    others: list[Folder] = [child for child in top.folders if child.path.name not in classes]
    return (
        {synset: paths for synset, paths in classes.items() if paths},
        [*top.images, *(path for child in others for path in child.walk())],
    )


def _validation(
    classes: Mapping[str, list[Path]], unsorted: Iterable[Path], labels: Labels
) -> Iterator[tuple[Path, str | None]]:
    """Each validation image and its synset, None if it is not known, in the order of the synsets."""
    placed = [(path, synset) for synset, paths in classes.items() for path in paths]
    placed += [(path, labels[path.stem]) for path in unsorted if path.stem in labels]
    yield from sorted(placed, key=lambda row: row[1])
    yield from ((path, None) for path in unsorted if path.stem not in labels)


def _write(file: Path, rows: Iterable[tuple[Path, str, str]], labels: Mapping[str, str]) -> None:
    """Write the CSV; paths are relative to its folder if they are below it."""
    folder = file.absolute().parent
    lines = [csv_row(("path", "label", "split"))]
    for path, synset, split in rows:
        absolute = path.absolute()
        place = absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute
        lines.append(csv_row((place.as_posix(), labels[synset], split)))
    write_whole(file, "".join(lines).encode("utf-8", "surrogateescape"), option="-o")


# --- names of classes ------------------------------------------------------------------------------------------------


def _label(synset: str, names: Mapping[str, str]) -> str:
    """The name of a class: its synset, and the first of its words; the order of names is that of the synsets."""
    return f"{synset} {names[synset]}" if names.get(synset) else synset


def _names(place: _Place) -> dict[str, str]:
    """The first word of each synset, from the first file that has them; empty if there is none."""
    for file in place.of("synset_words.txt", "loc_synset_mapping.txt"):
        rows = (line.partition(" ") for line in _lines(file))
        return {synset: words.split(",")[0].strip() for synset, _space, words in rows}
    for file in place.of("map_clsloc.txt"):
        return {synset: word.replace("_", " ") for synset, _number, word in _mapped(file)}
    for file in place.of("meta.mat"):
        return {str(row["WNID"]): str(row["words"]).split(",")[0].strip() for row in _meta(file)}
    return {}


# --- lists of classes ------------------------------------------------------------------------------------------------


def _read_lists(place: _Place, trained: list[str]) -> dict[Path, Labels]:
    """The labels of every list that is there."""
    readers: dict[str, Callable[[Path], Labels]] = {
        "loc_val_solution.csv": _read_solution,
        "val.txt": lambda file: _read_numbers(file, _synsets(place) or trained, place),
        "ground_truth": lambda file: _read_ground_truth(file, place),
    }
    return {place.files[name]: read(place.files[name]) for name, read in readers.items() if name in place.files}


def _read_solution(file: Path) -> Labels:
    """Kaggle's list: the first word of the column PredictionString is the synset."""
    labels: Labels = {}
    reader = csv.reader(_lines(file))
    header = next(reader, [])
    if [cell.strip() for cell in header] != ["ImageId", "PredictionString"]:
        raise _broken(
            file,
            _("it is not the list of Kaggle"),
            _("its first line is {line!r} instead of 'ImageId,PredictionString'", line=",".join(header)[:80]),
        )
    for cells in reader:
        words = cells[1].split() if len(cells) == 2 else []
        if not words or not _SYNSET.fullmatch(words[0]) or not _VALIDATION_IMAGE.fullmatch(cells[0]):
            raise _bad_line(file, reader.line_num, "ILSVRC2012_val_00048981,n03995372 85 1 499 272", ",".join(cells))
        labels[cells[0]] = words[0]
    return labels


def _read_numbers(file: Path, synsets: list[str], place: _Place) -> Labels:
    """Caffe's list: the file and the number of its synset, from 0, in the order of the names."""
    numbers: dict[str, int] = {}
    for line_number, line in enumerate(_lines(file), 1):
        name, _space, number = line.strip().rpartition(" ")
        path = Path(name)
        if path.suffix.casefold() not in {".jpeg", ".jpg"} or not _VALIDATION_IMAGE.fullmatch(path.stem):
            if _VALIDATION_IMAGE.fullmatch(name):  # ImageSets/CLS-LOC/val.txt of Kaggle
                raise _broken(file, _("it numbers the images and has no classes"), _what_is_needed(), place)
            raise _bad_line(file, line_number, "ILSVRC2012_val_00000001.JPEG 65", line)
        if not number.isdecimal():
            raise _bad_line(file, line_number, "ILSVRC2012_val_00000001.JPEG 65", line)
        numbers[path.stem] = int(number)
    most = max(numbers.values(), default=-1)
    if most >= len(synsets) or (len(synsets) != _CLASSES and most + 1 != len(synsets)):
        raise _broken(
            file,
            _("its numbers do not fit the classes"),
            _(
                "they go up to {most}, which needs {needed} synsets in the order of their names, but there are {n}",
                most=most,
                needed=most + 1,
                n=len(synsets),
            ),
            place,
            hint=_("copy synset_words.txt or synsets.txt, which list all synsets, into the folder"),
        )
    return {name: synsets[number] for name, number in numbers.items()}


def _read_ground_truth(file: Path, place: _Place) -> Labels:
    """The list of the development kit: on line i the number of the synset of image i, in the order of meta.mat."""
    synsets: dict[int, str] = {}
    for mapping in place.of("meta.mat"):
        synsets = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in _meta(mapping)}
    for mapping in place.of("map_clsloc.txt"):
        synsets = synsets or {number: synset for synset, number, _word in _mapped(mapping)}
    if not synsets:
        raise _broken(
            file,
            _("it has numbers, and the file that says which synset each is has not been found"),
            _("meta.mat and map_clsloc.txt of the development kit have their order, which is not that of the names"),
            place,
            hint=_("copy meta.mat from ILSVRC2012_devkit_t12/data into the folder"),
        )
    labels: Labels = {}
    for line_number, line in enumerate(_lines(file), 1):
        number = line.strip()
        if not number.isdecimal() or int(number) not in synsets:
            raise _bad_line(file, line_number, "490", line)
        labels[f"ILSVRC2012_val_{line_number:08d}"] = synsets[int(number)]
    return labels


def _agreed(lists: Mapping[Path, Labels]) -> Labels:
    """The labels of all lists. Raises DataError CN307 if two of them give an image different classes."""
    labels: Labels = {}
    origin: dict[str, Path] = {}
    for file, own in lists.items():
        for name, synset in own.items():
            if labels.setdefault(name, synset) != synset:
                raise _broken(
                    file,
                    _("two lists give the validation images different classes"),
                    _(
                        "{image} is {first} in {file}, and {second} here",
                        image=name,
                        first=labels[name],
                        file=origin[name],
                        second=synset,
                    ),
                    hint=_("keep the list that belongs to these images, and move the other one out of the folder"),
                )
            origin.setdefault(name, file)
    return labels


def _synsets(place: _Place) -> list[str]:
    """All synsets in the order of their names, from the first file that lists them; empty if there is none."""
    for file in place.of(*_ORDERS):
        synsets = sorted(line.split()[0] for line in _lines(file) if line.strip())
        for synset in synsets:
            if not _SYNSET.fullmatch(synset):
                raise _broken(
                    file, _("it is not a list of synsets"), _("a line begins with {word!r}", word=synset[:40])
                )
        return synsets
    return []


def _mapped(file: Path) -> list[tuple[str, int, str]]:
    """The synset, number and word on each line of map_clsloc.txt."""
    rows = []
    for line_number, line in enumerate(_lines(file), 1):
        cells = line.split()
        if len(cells) != 3 or not _SYNSET.fullmatch(cells[0]) or not cells[1].isdecimal():
            raise _bad_line(file, line_number, "n02119789 1 kit_fox", line)
        rows.append((cells[0], int(cells[1]), cells[2]))
    return rows


def _meta(file: Path) -> list[dict[str, Any]]:
    """The synsets of meta.mat without those that have others below them."""
    try:
        rows = [row for row in read_structs(file, "synsets") if row["num_children"] == 0]
        if all(_SYNSET.fullmatch(str(row["WNID"])) and int(row["ILSVRC2012_ID"]) and "words" in row for row in rows):
            return rows
        raise ValueError(_("its fields are not those of ImageNet's synsets"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = _("it has no field {name}", name=error) if isinstance(error, KeyError) else str(error)
        raise _broken(file, _("the synsets of the development kit cannot be read"), why) from error


def _lines(file: Path) -> list[str]:
    """The lines of a list, without empty ones at its end."""
    try:
        return file.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise _broken(file, _("the list cannot be read"), error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _broken(file, _("the list cannot be read"), _("it is not UTF-8")) from error


# --- errors ----------------------------------------------------------------------------------------------------------


def _what_is_needed() -> str:
    return _("accepted are {files}", files=join(_LISTS))


def _broken(path: Path, what: str, why: str, place: _Place | None = None, *, hint: str = "") -> DataError:
    again = command("classicnets", "data", "prepare", "imagenet", place.top if place else "FOLDER")
    return DataError(
        "CN307",
        what,
        where=str(path.absolute()),
        why=why,
        hint=hint or _("{command}   # after you have replaced or removed the file", command=again),
    )


def _bad_line(file: Path, number: int, expected: str, line: str) -> DataError:
    return _broken(
        file,
        _("line {n} of the list cannot be used", n=number),
        _("it is {line!r}; a line looks like this: {expected}", line=line[:80], expected=expected),
    )


def _no_list(place: _Place) -> DataError:
    again = command("classicnets", "data", "prepare", "imagenet", place.top)
    return _broken(
        place.folders["val"],
        _("the validation images have no classes"),
        _("they are not in folders of synsets, and there is no list of their classes") + "\n" + _what_is_needed(),
        hint=_("{command}   # after you have copied a list into the folder", command=again),
    )


def _no_images(place: _Place) -> DataError:
    inside = [path for folder in place.folders.values() for path in sorted(folder.glob("*.tar"))]
    if archives := [*inside, *place.archives]:
        archive = archives[0]
        unpack = command("tar", "-xf", archive, "-C", archive.parent / archive.name.split(".")[0])
        return _broken(
            place.top,
            _("the images of ImageNet are still in archives"),
            _("there is {file}, but no folder of a synset with images", file=archive.name),
            hint=_("{command}   # after mkdir; each n*.tar needs a folder of its own", command=unpack),
        )
    return _broken(
        place.top,
        _("there are no images of ImageNet in the folder"),
        _(
            "training images are expected in train/n01440764/*.JPEG, and validation images in val/*.JPEG or"
            " val/n01440764/*.JPEG, here or below ILSVRC/Data/CLS-LOC"
        ),
        hint=command("classicnets", "data", "prepare", "imagenet", "FOLDER"),
    )
