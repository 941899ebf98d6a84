"""The classes and image files of each split in a folder or a CSV, before any image is opened.

Training, `data check`, `data preview`, `evaluate` and `predict` all read folders and CSVs with this module and those it
is built on: `tree` walks folders, `listing` reads CSVs, `splits` decides what is trained on and what is tested with.
docs/data-layouts.md tells users the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from classicnets import text
from classicnets.errors import DataError
from classicnets.images import listing
from classicnets.images.names import SPLITS, composed, natural, relative, split_of
from classicnets.images.splits import NO_CLASSES, Classes, Fault, Layout, judged
from classicnets.images.tree import Folder, filled, listed, notes_about, read_tree


def read_layout(given: Path) -> Layout:
    """Classes and image files of each split in a folder or a CSV.

    Raises DataError CN307 if a folder has no class folders with images, or a CSV cannot be read or lists nothing.
    """
    return _read_csv(given) if given.is_file() else _read_folder(given)


# --- folders ---------------------------------------------------------------------------------------------------------


def _read_folder(folder: Path) -> Layout:
    tree = read_tree(folder)
    top = tree.top
    named, unused = _split_folders(top)
    rest = [inner for inner in top.folders if split_of(inner.path.name) is None]
    faults: list[Fault] = []
    notes: list[str] = []
    outside: list[Folder] = []  # folders beside the splits that no split takes
    roots = {split: inner for split, inner in named.items() if split != "train"}
    train = named.get("train")
    if not _has_splits(named, rest):
        root, class_folders, roots = top, top.folders, {}
        with_images = filled(top.folders)
        if not with_images or (len(with_images) == 1 and not with_images[0].images):
            raise _no_layout(top)
    else:
        notes = [f"{inner.path.name} is not used: {first.path.name} is there" for inner, first in unused]
        if train is not None and train.folders:
            root, class_folders, outside = train, train.folders, rest
        elif train is not None:
            root, class_folders, outside = train, [], rest
            faults.append(Fault(train.path.name, NO_CLASSES))
        else:
            root, class_folders = top, rest
            if not filled(rest):  # nothing but the other splits
                class_folders, outside = [], rest
            else:
                beside = " and ".join(f"{inner.path.name}/" for inner in roots.values())
                notes.append(f"there is no train/, so the folders of classes beside {beside} are the train split")
    splits = {"train": _classes(class_folders), **{split: _classes(inner.folders) for split, inner in roots.items()}}
    every_class = [*class_folders, *(inner for holder in roots.values() for inner in holder.folders)]
    if not filled(every_class):
        raise _no_layout(top)
    called = {"train": "" if root is top else root.path.name, **{split: f.path.name for split, f in roots.items()}}
    faults += _misplaced_splits(folder, every_class)
    holders = [top, *([] if root is top else [root]), *roots.values()]
    left_out = [path for holder in holders for path in holder.others]
    loose = [path for holder in holders for path in holder.images]
    for inner in outside:
        if inner.has_images():
            loose += inner.walk()
            left_out += inner.left_out()
        else:
            left_out.append(inner.path)
    left_out += [path for inner in every_class for path in inner.left_out()]
    file_notes = [
        *_deep_note(folder, every_class),
        *_loose_note(folder, loose),
        *tree.link_notes(),
        *notes_about(folder, sorted(left_out, key=lambda path: len(path.parts))),
    ]
    return judged(folder, root.path, splits, called, notes, file_notes, faults)


def _split_folders(top: Folder) -> tuple[dict[str, Folder], list[tuple[Folder, Folder]]]:
    """The folder of each split by its name, and (folder, the folder that is used instead) of second ones."""
    by_name = {inner.path.name.casefold(): inner for inner in top.folders}
    there = {split: [by_name[name] for name in names if name in by_name] for split, names in SPLITS.items()}
    named = {split: folders[0] for split, folders in there.items() if folders}
    return named, [(folder, folders[0]) for folders in there.values() for folder in folders[1:]]


def _has_splits(named: dict[str, Folder], rest: list[Folder]) -> bool:
    """Whether the folders that are named like splits are splits; otherwise they are classes of these names.

    train/ is one if it holds folders. Without it, test/ or val/ is one if it holds only folders with images, at least
    one of which has the name of a class beside it (if there are classes beside it).
    """
    if "train" in named and named["train"].folders:
        return True
    beside = {composed(inner.path.name).casefold() for inner in filled(rest)}
    for split, folder in named.items():
        if split != "train" and not folder.images:
            classes = {composed(inner.path.name).casefold() for inner in filled(folder.folders)}
            if classes and (classes & beside or not beside):
                return True
    return False


def _classes(folders: Iterable[Folder]) -> Classes:
    """Class -> its image files, from its folder and the folders in it."""
    classes: Classes = {}
    for folder in folders:
        classes.setdefault(composed(folder.path.name), []).extend(folder.walk())
    return classes


def _misplaced_splits(top: Path, class_folders: Iterable[Folder]) -> list[Fault]:
    """Classes in which there are folders like train/ and test/: the order of folders is the wrong way round."""
    faults = []
    for folder in class_folders:
        inside = [inner.path.name for inner in filled(folder.folders) if split_of(inner.path.name)]
        if inside:
            look = "looks like a split" if len(inside) == 1 else "look like splits"
            moved = ", ".join(f"{name}/{folder.path.name}/" for name in inside)
            faults.append(
                Fault(
                    relative(top, folder.path),
                    f"{', '.join(f'{name}/' for name in inside)} in it {look}, but splits come above classes:"
                    f" move the images to {moved}, or rename the folder if it is no split",
                    for_training=False,
                )
            )
    return faults


def _deep_note(top: Path, class_folders: Iterable[Folder]) -> list[str]:
    """The note about images in folders below a class."""
    deep = [path for folder in class_folders for inner in folder.folders for path in inner.walk()]
    if not deep:
        return []
    where = "lies in a folder below its class" if len(deep) == 1 else "lie in folders below a class"
    belong = "belongs" if len(deep) == 1 else "belong"
    return [f"{text.count(len(deep), 'image')} {where} and {belong} to it, such as {relative(top, deep[0])}"]


def _loose_note(top: Path, loose: Sequence[Path]) -> list[str]:
    """The note about images that no class of a split takes."""
    if not loose:
        return []
    which = "is in no class of a split and is" if len(loose) == 1 else "are in no class of a split and are"
    return [f"{text.count(len(loose), 'image')} {which} not used, such as {relative(top, loose[0])}"]


def _no_layout(top: Folder) -> DataError:
    """The error for a folder that holds neither images in class folders nor IDX files."""
    hint = "classicnets explain CN307"
    inner = filled(top.folders)
    if len(inner) == 1:  # a folder in a folder: the innermost that holds several, or images of a class
        deeper = inner[0]
        while len(below := filled(deeper.folders)) == 1 and not deeper.images and not below[0].images:
            deeper = below[0]
        hint = f"{text.command('--data', deeper.path)}   # holds such folders"
    return DataError(
        "CN307",
        "the folder holds neither classes of images nor IDX files",
        where=str(top.path.absolute()),
        why=f"found: {listed(top)}\n"
        "accepted are FOLDER/CLASS/*.png, FOLDER/train/CLASS/*.png with FOLDER/test/CLASS/*.png, val/ or both,\n"
        "and the four files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and"
        " t10k-labels-idx1-ubyte",
        hint=hint,
    )


# --- CSVs ------------------------------------------------------------------------------------------------------------


def _read_csv(file: Path) -> Layout:
    """As a folder; faults of single lines come first."""
    listed_images = listing.read_listing(file)
    splits: dict[str, Classes] = {"train": {}}
    lines: dict[Path, int] = {}
    for row in listed_images.rows:
        assert row.split is not None and row.label is not None
        path = row.below(file.parent)
        splits.setdefault(row.split, {}).setdefault(row.label, []).append(path)
        lines[path] = row.line
    if not listed_images.rows and not listed_images.faults:
        raise DataError(
            "CN307",
            "the CSV lists no images",
            where=str(file.absolute()),
            why="nothing comes after its first line",
            hint="classicnets explain CN307",
        )
    for classes in splits.values():
        for paths in classes.values():
            paths.sort(key=lambda path: (natural(path.name), relative(file.parent, path)))
    called = {"train": "train", "validation": "val", "test": "test"}
    faults = [Fault(*fault, for_training=False) for fault in listed_images.faults]
    return judged(file, file.parent, splits, called, [], list(listed_images.notes), faults, lines)
