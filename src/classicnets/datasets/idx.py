"""A folder of four IDX files, the format of MNIST and its heirs, as a data set."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.datasets.catalog import DATASETS, IDX_NAMES, Dataset, fingerprint
from classicnets.datasets.formats import idx_header, read_idx, sha256_of
from classicnets.datasets.sources import fault, find_files, is_genuine, owner_of
from classicnets.datasets.types import Description, FileReport, ImageSplits, Split
from classicnets.errors import DataError
from classicnets.text import shape as shape_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def describe(folder: Path) -> Description:
    """Name, classes, image shape and counts, from headers and labels.

    Images are read only where the labels are those of a known set, so that the answer is the one `load` will give.
    Raises `DataError` CN301, CN302.
    """
    paths = _files_of(folder)
    return _describe_files(folder, paths, _recognize(paths))


def load(folder: Path, say: Callable[[str], None]) -> ImageSplits:
    """All images in memory. A folder whose bytes are those of a known set is taken for that set, and `say` tells so.

    Raises `DataError` CN301, CN302.
    """
    paths = _files_of(folder)
    known = _recognize(paths)
    description = _describe_files(folder, paths, known)
    if known:
        say(f"{folder}: these are {known.title}'s files, so the data set is called {known.name}")
    digest = known.fingerprint if known else fingerprint({role: sha256_of(path) for role, path in paths.items()})
    train, test = splits(paths, len(description.classes))
    return ImageSplits(description.name, description.classes, train, test, digest, f"folder {folder}")


def check(folder: Path, dataset: Dataset | None = None) -> list[FileReport]:
    """One report per file in `folder`, held against `dataset` if there is one."""
    paths = find_files(folder)
    expected = {file.role: file for file in dataset.files} if dataset else {}
    reports: list[FileReport] = []
    shapes: dict[str, tuple[int, ...]] = {}
    for role, name in IDX_NAMES.items():
        if role not in paths:
            reports.append(FileReport(name, "missing", f"not in {folder}"))
            continue
        path = paths[role]
        try:
            if role in expected and (text := fault(expected[role], path)):
                raise _misfit(path, text)
            shapes[role], text = _contents(path, role, shapes)
            owner = "sha256 ok" if expected else owner_of(path) or "of no known set"
            reports.append(FileReport(path.name, "ok", f"{path}: {text}, {owner}"))
        except DataError as error:
            reports.append(FileReport(path.name, "wrong", f"{path}: {error.why}"))
    return reports


def _files_of(folder: Path) -> dict[str, Path]:
    """The four files in a user's folder."""
    paths = find_files(folder)
    if missing := [name for role, name in IDX_NAMES.items() if role not in paths]:
        raise DataError(
            "CN302",
            f"the folder lacks {len(missing)} of the four IDX files of a data set",
            where=str(folder.absolute()),
            why=f"missing: {', '.join(missing)} (each with or without .gz)",
            hint=f"classicnets data check {shlex.quote(str(folder))}",
        )
    return paths


def _describe_files(folder: Path, paths: Mapping[str, Path], known: Dataset | None) -> Description:
    """What four files hold that are those of the set `known` (None: a stranger's)."""
    if known:
        return Description(known.name, known.classes, known.shape, train=known.train, test=known.test)
    train, test = (idx_header(paths[role])[0] for role in ("train-images", "t10k-images"))
    shape = _image_shape(paths["train-images"])
    test_shape = _image_shape(paths["t10k-images"])
    if test_shape != shape:
        why = f"its images are {shape_text(test_shape)}, those of the train split {shape_text(shape)}"
        raise _misfit(paths["t10k-images"], why)
    classes = 1 + max(int(read_idx(paths[role]).max()) for role in ("train-labels", "t10k-labels"))
    name = folder.absolute().resolve().name
    return Description(name, tuple(str(label) for label in range(classes)), shape, train=train, test=test)


def _image_shape(path: Path) -> tuple[int, int, int]:
    """(channels, height, width) from the header of a file of images, [N, H, W] or [N, C, H, W]."""
    match idx_header(path):
        case (_, height, width):
            return (1, height, width)
        case (_, channels, height, width):
            return (channels, height, width)
        case other:
            raise _misfit(path, f"images have 3 or 4 dimensions; the header declares {len(other)}")


def _recognize(paths: Mapping[str, Path]) -> Dataset | None:
    """The known set whose four files these are, if it is one.

    The labels come first: they are small, and with a stranger's files nothing more is read.
    """
    for dataset in DATASETS.values():
        files = sorted(dataset.files, key=lambda file: file.role.endswith("images"))
        if dataset.names.keys() == paths.keys() and all(is_genuine(file, paths[file.role]) for file in files):
            return dataset
    return None


def splits(paths: Mapping[str, Path], classes: int) -> Iterator[Split]:
    """The train and the test split."""
    import numpy as np

    for prefix in ("train", "t10k"):
        images, labels = read_idx(paths[f"{prefix}-images"]), read_idx(paths[f"{prefix}-labels"])
        if fault := _labels_fault(labels, len(images), classes):
            raise _misfit(paths[f"{prefix}-labels"], fault)
        count, *sides = images.shape
        yield Split(images.reshape(count, *([1] if len(sides) == 2 else []), *sides), labels.astype(np.int64))


def _labels_fault(labels: npt.NDArray[np.uint8], image_count: int, classes: int) -> str:
    """What is wrong with the labels of so many images, in words; empty when nothing is."""
    if labels.ndim != 1:
        return f"labels have 1 dimension; the header declares {labels.ndim}"
    if len(labels) != image_count:
        return f"{len(labels):,} labels for {image_count:,} images"
    if labels.max() >= classes:
        return f"the largest label is {labels.max()}, but there are {classes} classes (0 to {classes - 1})"
    return ""


def _misfit(path: Path, why: str) -> DataError:
    return DataError(
        "CN301",
        f"{path.name} does not fit the other files",
        where=str(path),
        why=why,
        hint=f"classicnets data check {shlex.quote(str(path.parent))}",
    )


def _contents(path: Path, role: str, others: Mapping[str, tuple[int, ...]]) -> tuple[tuple[int, ...], str]:
    """The shape of one file and its contents in words; raises `DataError` if it does not fit the others' shapes."""
    array = read_idx(path)
    values = f"{4 + 4 * array.ndim + array.nbytes:,} bytes, {len(array):,} %s {array.min()}..{array.max()}"
    if role.endswith("labels"):
        image_count = others.get(role.replace("labels", "images"), array.shape)[0]
        if text := _labels_fault(array, image_count, classes=256):
            raise _misfit(path, text)
        return array.shape, values % "labels"
    shape = _image_shape(path)
    first = others.get("train-images", (0, *shape))[1:]
    if shape != first:
        raise _misfit(path, f"its images are {shape_text(shape)}, those of the train split {shape_text(first)}")
    return (len(array), *shape), values % f"images of {shape_text(shape)}, values"
