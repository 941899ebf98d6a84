"""Data: fetch and import published data sets, check and preview folders of images, and what this machine has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classicnets import machine, report
from classicnets.audit.audit import audit_images
from classicnets.datasets import sources
from classicnets.datasets.catalog import DATASETS, Dataset
from classicnets.datasets.local import cache_root
from classicnets.datasets.types import DatasetFiles, FileReport, Say
from classicnets.errors import DataError, UsageError
from classicnets.images import inputs, loading, thumbnails
from classicnets.images.decode import read_fitted, read_image
from classicnets.text import nearest
from classicnets.values import Preprocess

if TYPE_CHECKING:
    from classicnets.report.preview import Sample

__all__ = ["Dataset", "DatasetFiles", "FileReport", "audit_folder", "check_files", "dataset", "describe_machine"]
__all__ += ["fetch", "image_folder", "import_files", "preview", "thumbnail"]

FITS = ("crop", "letterbox", "stretch")
_PREVIEWED = 8  # images on a sheet


def dataset(name: str, hint: str = "classicnets data get {}") -> Dataset:
    """The data set of that name. Raises UsageError CN202, whose hint names the nearest one."""
    if name in DATASETS:
        return DATASETS[name]
    raise UsageError(
        "CN202",
        f"no data set is called {name!r}",
        where=f"the data sets are {', '.join(DATASETS)}",
        hint=hint.format(nearest(name, DATASETS) or next(iter(DATASETS))),
    )


def fetch(found: Dataset, say: Say) -> DatasetFiles:
    """The verified files of a data set, downloaded if need be. Raises DataError CN302, MachineError CN401."""
    return sources.obtain(found, say=say)


def import_files(found: Dataset, place: Path) -> DatasetFiles:
    """Copies files that were downloaded by hand into the cache. Raises DataError CN301 to CN303, MachineError CN401."""
    return sources.import_files(found, place)


def image_folder(spec: str) -> Path | None:
    """The folder or CSV of images that `spec` stands for; None for a data set's name or a folder of IDX files.

    Raises UsageError CN202, DataError CN302.
    """
    return loading.image_location(spec)


def check_files(spec: str) -> list[FileReport]:
    """A report for each file of a data set in the cache, or of a folder of IDX files. Raises UsageError CN202."""
    return loading.check(spec)


def audit_folder(folder: Path, progress: Callable[[int, int], object] | None = None) -> dict[str, Any]:
    """Everything that the audit of a folder (or CSV) of images finds, as plain values. Raises DataError CN307."""
    return audit_images(folder, progress).to_dict()


def thumbnail(path: Path) -> np.ndarray | None:
    """A small copy of an image, uint8 [H, W, 3]; None if it cannot be read without risk."""
    return thumbnails.read_preview(path)


def preview(place: str, size: int, say: Say) -> tuple[list[Sample], int, list[DataError]]:
    """Up to eight images of a file, folder or CSV, evenly from the first to the last, as they are and under each fit;
    how many images there are; and what is wrong with those that cannot be read. `say` reports what was decided.

    Raises DataError CN304 if there is no image, or none of those can be read.
    """
    every = [Path(str(one.file)) for one in inputs.find_images([place], say=say)]
    count = min(_PREVIEWED, len(every))
    samples: list[Sample] = []
    faults: list[DataError] = []
    for path in (every[(2 * i + 1) * len(every) // (2 * count)] for i in range(count)):
        name = f"{path.parent.name}/{path.name}" if len(every) > 1 else path.name
        try:
            fitted = {fit: read_fitted(path, Preprocess(channels=3, image_size=size, fit=fit)) for fit in FITS}
            samples.append(report.preview.Sample(name, read_image(path, 3), fitted))
        except DataError as error:
            faults.append(error)
    if not samples:
        raise faults[0]
    return samples, len(every), faults


def describe_machine(folders: Sequence[Path]) -> dict[str, Any]:
    """What this machine has: system, versions, device, which of the folders can be written, where data comes from."""
    about = machine.describe() | machine.torch_facts()
    about["write_access"] = {
        str(folder): machine.can_write(folder) or "yes" for folder in (*folders, cache_root())
    }
    about["data"] = {name: sources.describe_source(d) for name, d in DATASETS.items()}
    return about
