"""Reads the classes and image files of each split from a folder or a CSV, without opening any image.

Training, `data check`, `data preview`, `evaluate` and `predict` all read folders and CSVs with this module and those it
is built on: `tree` walks folders, `listing` reads CSVs, `splits` assigns images to splits. The rules are documented in
docs/data-layouts.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from classicnets.errors import DataError
from classicnets.images import listing
from classicnets.images.automatic_split import Classes, Copies
from classicnets.images.imagenet import is_unsorted
from classicnets.images.names import SPLITS, class_name, natural_key, relative_path, split_of
from classicnets.images.splits import Fault, Layout, Losses, build_layout, no_classes
from classicnets.images.tree import (
    Folder,
    Tree,
    ignored_note,
    read_tree,
    summary,
    unsupported_images,
    unsupported_note,
    with_images,
)
from classicnets.text import _, command, plural


def read_layout(path: Path, copies: Copies | None = ()) -> Layout:
    """Read the classes and image files of each split from a folder or a CSV.

    Args:
        path: The folder or CSV.
        copies: Groups of images that stay on one side of an automatic split; None for the rule of version 0.1.

    Raises:
        DataError: CN307 if a folder has no class folders with images, or a CSV cannot be read or lists no images.
    """
    return _read_csv(path, copies) if path.is_file() else _read_folder(path, copies)


# --- folders ---------------------------------------------------------------------------------------------------------


def _read_folder(folder: Path, copies: Copies | None) -> Layout:
    tree = read_tree(folder)
    top = tree.top
    split_folders, duplicates = _split_folders(top)
    beside = [child for child in top.folders if split_of(child.path.name) is None]
    faults: list[Fault] = []
    notes: list[str] = []
    unused: list[Folder] = []  # folders beside the splits that belong to no split
    roots = {split: child for split, child in split_folders.items() if split != "train"}
    train = split_folders.get("train")
    if not _has_splits(split_folders, beside):
        root, class_folders, roots = top, top.folders, {}
        filled = with_images(top.folders)
        if not filled or (len(filled) == 1 and not filled[0].images):
            raise _no_layout(top)
    else:
        notes = [_duplicate_note(child, first) for child, first in duplicates]
        beside += [child for child, _first in duplicates]
        if train is not None and train.folders:
            root, class_folders, unused = train, train.folders, beside
        elif train is not None:
            root, class_folders, unused = train, [], beside
            faults.append(Fault(train.path.name, no_classes()))
        else:
            root, class_folders = top, beside
            if not with_images(beside):  # there are only the other splits
                class_folders, unused = [], beside
            else:
                notes.append(_no_train_note(list(roots.values())))
    for child in roots.values():
        if child.images and not child.folders and is_unsorted(child.images):
            raise _unsorted(top, child)
    splits = {"train": _classes(class_folders), **{split: _classes(child.folders) for split, child in roots.items()}}
    all_classes = [*class_folders, *(child for parent in roots.values() for child in parent.folders)]
    if not with_images(all_classes):
        raise _no_layout(top)
    split_names = {"train": "" if root is top else root.path.name, **{split: f.path.name for split, f in roots.items()}}
    faults += _misplaced_splits(folder, all_classes)
    parents = [top, *([] if root is top else [root]), *roots.values()]
    file_notes, losses = _file_notes(tree, parents, all_classes, unused)
    return build_layout(folder, root.path, splits, split_names, notes, file_notes, faults, losses=losses, copies=copies)


def _unsorted(top: Folder, split: Folder) -> DataError:
    """The error for ImageNet as it is published: its validation images are not in folders of classes."""
    prepare = command("classicnets", "data", "prepare", "imagenet", top.path)
    return DataError(
        "CN307",
        _("the validation images of ImageNet are not in class folders"),
        where=str(split.path.absolute()),
        why=_("their classes are in a list, such as LOC_val_solution.csv"),
        hint=_("{command}   # writes a CSV for --data", command=prepare),
    )


def _split_folders(top: Folder) -> tuple[dict[str, Folder], list[tuple[Folder, Folder]]]:
    """The folder of each split, and (ignored folder, folder used instead) where several have names of one split."""
    candidates = {
        split: [child for name in names for child in top.folders if child.path.name.casefold() == name]
        for split, names in SPLITS.items()
    }
    first = {split: folders[0] for split, folders in candidates.items() if folders}
    return first, [(folder, folders[0]) for folders in candidates.values() for folder in folders[1:]]


def _has_splits(split_folders: dict[str, Folder], beside: list[Folder]) -> bool:
    """Whether folders with names of splits are splits; otherwise they are classes of these names.

    train/ is a split if it holds folders. Without it, test/ or val/ is a split if it holds only folders with images, at
    least one of which has the name of a class beside it (if there are classes beside it).
    """
    if "train" in split_folders and split_folders["train"].folders:
        return True
    known = {class_name(child.path.name).casefold() for child in with_images(beside)}
    for split, folder in split_folders.items():
        if split != "train" and not folder.images:
            classes = {class_name(child.path.name).casefold() for child in with_images(folder.folders)}
            if classes and (classes & known or not known):
                return True
    return False


def _classes(folders: Iterable[Folder]) -> Classes:
    """Class -> its image files, from its folder and subfolders."""
    classes: Classes = {}
    for folder in folders:
        classes.setdefault(class_name(folder.path.name), []).extend(folder.walk())
    return classes


def _misplaced_splits(top: Path, class_folders: Iterable[Folder]) -> list[Fault]:
    """Faults for classes that contain folders like train/ and test/."""
    faults = []
    for folder in class_folders:
        names = [child.path.name for child in with_images(folder.folders) if split_of(child.path.name)]
        if names:
            message = plural(
                "the folder {folders} in it looks like a split, but splits come above classes: move its images to"
                " {targets}, or rename the folder if it is not a split",
                "the folders {folders} in it look like splits, but splits come above classes: move their images to"
                " {targets}, or rename the folders if they are not splits",
                len(names),
                folders=", ".join(f"{name}/" for name in names),
                targets=", ".join(f"{name}/{folder.path.name}/" for name in names),
            )
            faults.append(Fault(relative_path(top, folder.path), message, training_only=False))
    return faults


def _duplicate_note(folder: Folder, used: Folder) -> str:
    return _(
        "{folder}/ is ignored because {used}/ is used for this split", folder=folder.path.name, used=used.path.name
    )


def _no_train_note(others: Sequence[Folder]) -> str:
    """The note that class folders beside test/ or val/ are the training split."""
    names = [f"{folder.path.name}/" for folder in others]
    if len(names) == 1:
        return _("there is no train/, so the class folders beside {folder} are the training split", folder=names[0])
    return _(
        "there is no train/, so the class folders beside {first} and {second} are the training split",
        first=names[0],
        second=names[1],
    )


def _file_notes(
    tree: Tree, parents: Sequence[Folder], class_folders: Sequence[Folder], unused: Sequence[Folder]
) -> tuple[list[str], Losses]:
    """Notes about images in subfolders, images that are not used, links, and files that are not read.

    `parents` hold class folders; `unused` are folders that belong to no split. Also returns the notes about images.
    """
    top = tree.top.path
    unread = [path for folder in parents for path in folder.other_files]
    unused_images = [path for folder in parents for path in folder.images]
    for folder in unused:
        if folder.has_images():
            unused_images += folder.walk()
            unread += folder.unread_paths()
        else:
            unread.append(folder.path)
    unread += [path for folder in class_folders for path in folder.unread_paths()]
    unread.sort(key=lambda path: len(path.parts))
    unsupported = unsupported_images(unread)
    unused_notes, unsupported_notes = _unused_note(top, unused_images), unsupported_note(top, unsupported)
    losses = [(note, "no_class", len(unused_images)) for note in unused_notes]
    losses += [(note, "unsupported_format", len(unsupported)) for note in unsupported_notes]
    notes = [*_subfolder_note(top, class_folders), *unused_notes, *tree.link_notes(), *unsupported_notes]
    return [*notes, *ignored_note(top, unread)], losses


def _subfolder_note(top: Path, class_folders: Iterable[Folder]) -> list[str]:
    paths = [path for folder in class_folders for child in folder.folders for path in child.walk()]
    if not paths:
        return []
    return [
        plural(
            "{n} image in a subfolder of a class folder belongs to that class: {path}",
            "{n:,} images in subfolders of class folders belong to those classes, such as {path}",
            len(paths),
            path=relative_path(top, paths[0]),
        )
    ]


def _unused_note(top: Path, images: Sequence[Path]) -> list[str]:
    if not images:
        return []
    return [
        plural(
            "{n} image is not used because it belongs to no class of a split: {path}",
            "{n:,} images are not used because they belong to no class of a split, such as {path}",
            len(images),
            path=relative_path(top, images[0]),
        )
    ]


def _no_layout(top: Folder) -> DataError:
    """The error for a folder that contains neither images in class folders nor IDX files."""
    hint = "classicnets explain CN307"
    children = with_images(top.folders)
    if len(children) == 1:  # nested folders: suggest the innermost one that could hold class folders
        inner = children[0]
        while len(below := with_images(inner.folders)) == 1 and not inner.images and not below[0].images:
            inner = below[0]
        hint = _("{option}   # contains class folders", option=command("--data", inner.path))
    return DataError(
        "CN307",
        _("the folder contains neither class folders with images nor IDX files"),
        where=str(top.path.absolute()),
        why=_(
            "its contents: {entries}\n"
            "accepted are FOLDER/CLASS/*.png, FOLDER/train/CLASS/*.png with FOLDER/test/CLASS/*.png, val/ or both,\n"
            "and the four files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and"
            " t10k-labels-idx1-ubyte",
            entries=summary(top),
        ),
        hint=hint,
    )


# --- CSVs ------------------------------------------------------------------------------------------------------------


def _read_csv(file: Path, copies: Copies | None) -> Layout:
    rows = listing.read_listing(file)
    splits: dict[str, Classes] = {"train": {}}
    lines: dict[Path, int] = {}
    for row, path in zip(rows.rows, rows.paths, strict=True):
        assert row.split is not None and row.label is not None
        splits.setdefault(row.split, {}).setdefault(row.label, []).append(path)
        lines[path] = row.line
    if not rows.rows and not rows.faults:
        raise DataError(
            "CN307",
            _("the CSV lists no images"),
            where=str(file.absolute()),
            why=_("it has no lines after the header"),
            hint="classicnets explain CN307",
        )
    for classes in splits.values():
        for paths in classes.values():
            paths.sort(key=lambda path: (natural_key(path.name), relative_path(file.parent, path)))
    split_names = {"train": "train", "validation": "val", "test": "test"}
    faults = [Fault(*fault, training_only=False) for fault in rows.faults]
    return build_layout(
        file, file.parent, splits, split_names, [], list(rows.notes), faults, losses=(), copies=copies, lines=lines
    )
