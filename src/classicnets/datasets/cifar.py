"""CIFAR-10 and CIFAR-100, binary version: loads and checks their files of records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.datasets.catalog import DataFile, Dataset
from classicnets.datasets.formats import read_cifar
from classicnets.datasets.types import FileReport, Split
from classicnets.datasets.verify import find_files, verify
from classicnets.errors import DataError
from classicnets.text import _, command

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def read_splits(dataset: Dataset, paths: Mapping[str, Path]) -> Iterator[Split]:
    """Yield the training split, its files concatenated, and the test split. Raises DataError CN301."""
    import numpy as np

    for prefix in ("train", "test"):
        parts = [_read(dataset, file, paths[file.role]) for file in dataset.files if file.role.startswith(prefix)]
        images, labels = zip(*parts, strict=True)
        yield Split(np.concatenate(images), np.concatenate(labels))


def check(folder: Path, dataset: Dataset) -> list[FileReport]:
    """Return one report for each file of `dataset` in `folder`."""
    paths = find_files(folder, dataset)
    reports = []
    for file in dataset.files:
        if file.role not in paths:
            reports.append(FileReport(file.name, "missing", _("not in {folder}", folder=folder)))
            continue
        path = paths[file.role]
        try:
            if fault := verify(file, path):
                raise _wrong_content(path, fault.message)
            images, labels = _read(dataset, file, path)
            detail = _(
                "{path}: {size:,} bytes, {n:,} images, labels {low}..{high}, sha256 ok",
                path=path,
                size=file.size,
                n=len(images),
                low=labels.min(),
                high=labels.max(),
            )
            reports.append(FileReport(path.name, "ok", detail))
        except DataError as error:
            reports.append(FileReport(path.name, "wrong", _("{file}: {fault}", file=path, fault=error.why)))
    return reports


def _read(dataset: Dataset, file: DataFile, path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images [N, 3, 32, 32] and labels [N] of one file."""
    import numpy as np

    images, columns = read_cifar(path, dataset.label_bytes, max_bytes=file.size)
    labels = columns[:, -1].astype(np.int64)
    if labels.max() >= len(dataset.classes):
        why = _("its largest label is {label}, but there are {n} classes", label=labels.max(), n=len(dataset.classes))
        raise _wrong_content(path, why)
    return images, labels


def _wrong_content(path: Path, why: str) -> DataError:
    return DataError(
        "CN301",
        _("{file} has the wrong content", file=path.name),
        where=str(path),
        why=why,
        hint=command("classicnets", "data", "check", path.parent),
    )
