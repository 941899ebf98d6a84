"""The files of CIFAR-10 and CIFAR-100, binary version: records of labels and pixels."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.datasets.catalog import DataFile, Dataset
from classicnets.datasets.formats import read_cifar
from classicnets.datasets.sources import fault, find_files
from classicnets.datasets.types import FileReport, Split
from classicnets.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def splits(dataset: Dataset, paths: Mapping[str, Path]) -> Iterator[Split]:
    """The train split, its files one after the other, and the test split. Raises `DataError` CN301."""
    import numpy as np

    for prefix in ("train", "test"):
        parts = [_read(dataset, file, paths[file.role]) for file in dataset.files if file.role.startswith(prefix)]
        images, labels = zip(*parts, strict=True)
        yield Split(np.concatenate(images), np.concatenate(labels))


def check(folder: Path, dataset: Dataset) -> list[FileReport]:
    """One report per file of `dataset` in `folder`."""
    paths = find_files(folder, dataset)
    reports = []
    for file in dataset.files:
        if file.role not in paths:
            reports.append(FileReport(file.name, "missing", f"not in {folder}"))
            continue
        path = paths[file.role]
        try:
            if text := fault(file, path):
                raise _misfit(path, text)
            images, labels = _read(dataset, file, path)
            sums = f"{file.size:,} bytes, {len(images):,} images, labels {labels.min()}..{labels.max()}, sha256 ok"
            reports.append(FileReport(path.name, "ok", f"{path}: {sums}"))
        except DataError as error:
            reports.append(FileReport(path.name, "wrong", f"{path}: {error.why}"))
    return reports


def _read(dataset: Dataset, file: DataFile, path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images [N, 3, 32, 32] and classes [N] of one file."""
    import numpy as np

    images, labels = read_cifar(path, dataset.label_bytes, max_bytes=file.size)
    classes = labels[:, -1].astype(np.int64)
    if classes.max() >= len(dataset.classes):
        raise _misfit(path, f"the largest label is {classes.max()}, but there are {len(dataset.classes)} classes")
    return images, classes


def _misfit(path: Path, why: str) -> DataError:
    return DataError(
        "CN301",
        f"{path.name} is not what it should be",
        where=str(path),
        why=why,
        hint=f"classicnets data check {shlex.quote(str(path.parent))}",
    )
