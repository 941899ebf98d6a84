"""A folder of four IDX files, as of MNIST, as a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.datasets.catalog import DATASETS, IDX_NAMES, Dataset, fingerprint
from classicnets.datasets.formats import idx_header, read_idx, sha256_of
from classicnets.datasets.types import Description, FileReport, ImageSplits, Say, Split
from classicnets.datasets.verify import find_files, find_owner, is_genuine, verify
from classicnets.errors import DataError
from classicnets.text import _, command, plural
from classicnets.text import shape as shape_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def describe(folder: Path) -> Description:
    """Return the name, classes, image shape and counts, from headers and labels.

    Images are read only if the labels are those of a published set, to give the same name as `load`.

    Raises:
        DataError: CN301, CN302.
    """
    paths = _require_files(folder)
    return _describe_files(folder, paths, _recognize(paths))


def load(folder: Path, say: Say) -> ImageSplits:
    """Load all images. A folder with the files of a published set gets its name and classes, which `say` reports.

    Raises:
        DataError: CN301, CN302.
    """
    paths = _require_files(folder)
    known = _recognize(paths)
    description = _describe_files(folder, paths, known)
    if known:
        say(
            _(
                "{folder} contains the files of {title}, so the data set is called {name}",
                folder=folder,
                title=known.title,
                name=known.name,
            )
        )
    digest = known.fingerprint if known else fingerprint({role: sha256_of(path) for role, path in paths.items()})
    train, test = read_splits(paths, len(description.classes))
    source = _("folder {path}", path=folder)
    return ImageSplits(description.name, description.classes, train, test, digest, source)


def check(folder: Path, dataset: Dataset | None = None) -> list[FileReport]:
    """Return one report for each file in `folder`; with `dataset`, its content must be that of the published set."""
    paths = find_files(folder)
    expected = {file.role: file for file in dataset.files} if dataset else {}
    reports: list[FileReport] = []
    shapes: dict[str, tuple[int, ...]] = {}
    for role, name in IDX_NAMES.items():
        if role not in paths:
            reports.append(FileReport(name, "missing", _("not in {folder}", folder=folder)))
            continue
        path = paths[role]
        try:
            if role in expected and (fault := verify(expected[role], path)):
                raise _mismatch(path, fault.message)
            shapes[role], contents = _read_contents(path, role, shapes)
            detail = _describe_origin(path, contents, verified=bool(expected))
            reports.append(FileReport(path.name, "ok", detail))
        except DataError as error:
            reports.append(FileReport(path.name, "wrong", _("{file}: {fault}", file=path, fault=error.why)))
    return reports


def read_splits(paths: Mapping[str, Path], classes: int) -> Iterator[Split]:
    """Yield the training and the test split. Raises DataError CN301."""
    import numpy as np

    for prefix in ("train", "t10k"):
        images, labels = read_idx(paths[f"{prefix}-images"]), read_idx(paths[f"{prefix}-labels"])
        if fault := _label_fault(labels, len(images), classes):
            raise _mismatch(paths[f"{prefix}-labels"], fault)
        count, *shape = images.shape
        yield Split(images.reshape(count, *([1] if len(shape) == 2 else []), *shape), labels.astype(np.int64))


def _require_files(folder: Path) -> dict[str, Path]:
    """The four files in a user's folder."""
    paths = find_files(folder)
    if missing := [name for role, name in IDX_NAMES.items() if role not in paths]:
        raise DataError(
            "CN302",
            _("the folder lacks {n} of the four IDX files of a data set", n=len(missing)),
            where=str(folder.absolute()),
            why=_("missing are: {files} (each with or without .gz)", files=", ".join(missing)),
            hint=command("classicnets", "data", "check", folder),
        )
    return paths


def _describe_files(folder: Path, paths: Mapping[str, Path], known: Dataset | None) -> Description:
    """Describe four files, which are those of the published set `known` or, if None, the user's own."""
    if known:
        return Description(known.name, known.classes, known.shape, train=known.train, test=known.test)
    train, test = (idx_header(paths[role])[0] for role in ("train-images", "t10k-images"))
    shape = _image_shape(paths["train-images"])
    _require_shape(paths["t10k-images"], _image_shape(paths["t10k-images"]), shape)
    classes = 1 + max(int(read_idx(paths[role]).max()) for role in ("train-labels", "t10k-labels"))
    name = folder.absolute().resolve().name
    return Description(name, tuple(str(label) for label in range(classes)), shape, train=train, test=test)


def _image_shape(path: Path) -> tuple[int, int, int]:
    """(channels, height, width) from the header of a file of images, [N, H, W] or [N, C, H, W]."""
    match idx_header(path):
        case (_count, height, width):
            return (1, height, width)
        case (_count, channels, height, width):
            return (channels, height, width)
        case shape:
            why = _("images have 3 or 4 dimensions, but the header declares {n}", n=len(shape))
            raise _mismatch(path, why)


def _require_shape(path: Path, shape: tuple[int, ...], train_shape: tuple[int, ...]) -> None:
    if shape != train_shape:
        why = _(
            "its images are {shape}, but those of the training split are {train_shape}",
            shape=shape_text(shape),
            train_shape=shape_text(train_shape),
        )
        raise _mismatch(path, why)


def _recognize(paths: Mapping[str, Path]) -> Dataset | None:
    """The published set whose four files these are, if any.

    Compares labels first, because they are small; for a user's own data nothing else is read.
    """
    for dataset in DATASETS.values():
        files = sorted(dataset.files, key=lambda file: file.role.endswith("images"))
        if dataset.file_names.keys() == paths.keys() and all(is_genuine(file, paths[file.role]) for file in files):
            return dataset
    return None


def _label_fault(labels: npt.NDArray[np.uint8], image_count: int, classes: int) -> str:
    """What is wrong with the labels of this number of images; "" if nothing is."""
    if labels.ndim != 1:
        return _("labels have 1 dimension, but the header declares {n}", n=labels.ndim)
    if len(labels) != image_count:
        return plural(
            "the numbers of images and labels differ: {n} label, {images:,} images",
            "the numbers of images and labels differ: {n:,} labels, {images:,} images",
            len(labels),
            images=image_count,
        )
    if labels.max() >= classes:
        return _(
            "the largest label is {label}, but there are {n} classes (0 to {last})",
            label=labels.max(),
            n=classes,
            last=classes - 1,
        )
    return ""


def _mismatch(path: Path, why: str) -> DataError:
    return DataError(
        "CN301",
        _("{file} does not match the other files", file=path.name),
        where=str(path),
        why=why,
        hint=command("classicnets", "data", "check", path.parent),
    )


def _read_contents(path: Path, role: str, others: Mapping[str, tuple[int, ...]]) -> tuple[tuple[int, ...], str]:
    """The shape of one file and a summary of its content. Raises DataError if it does not match the others' shapes."""
    array = read_idx(path)
    facts = {"size": 4 + 4 * array.ndim + array.nbytes, "n": len(array), "low": array.min(), "high": array.max()}
    if role.endswith("labels"):
        image_count = others.get(role.replace("labels", "images"), array.shape)[0]
        if fault := _label_fault(array, image_count, classes=256):
            raise _mismatch(path, fault)
        return array.shape, _("{size:,} bytes, {n:,} labels {low}..{high}", **facts)
    shape = _image_shape(path)
    _require_shape(path, shape, others.get("train-images", (0, *shape))[1:])
    summary = _("{size:,} bytes, {n:,} images of {shape}, values {low}..{high}", shape=shape_text(shape), **facts)
    return (len(array), *shape), summary


def _describe_origin(path: Path, contents: str, *, verified: bool) -> str:
    """The detail of a report on a good file: its content, and whose file it is."""
    fields = {"path": path, "contents": contents}
    if verified:
        return _("{path}: {contents}, sha256 ok", **fields)
    if owner := find_owner(path):
        return _("{path}: {contents}, the file {role} of {title}", role=owner.role, title=owner.title, **fields)
    return _("{path}: {contents}, not a file of a published set", **fields)
