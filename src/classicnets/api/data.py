"""Data sets: download, import, check and preview; and a description of this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
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
from classicnets.images import background, imagenet, inputs, loading, thumbnails
from classicnets.images.decode import read_fitted, read_image
from classicnets.images.imagenet import Prepared
from classicnets.images.survey import survey
from classicnets.text import N_, _, command, nearest
from classicnets.values import BLACK, Preprocess

if TYPE_CHECKING:
    from classicnets.report.preview import Sample

__all__ = ["Dataset", "DatasetFiles", "FileReport", "audit_folder", "check_files", "dataset", "describe_machine"]
__all__ += ["fetch", "image_folder", "import_files", "prepare_imagenet", "preview", "thumbnail"]

FITS = ("crop", "letterbox", "stretch")
_PREVIEW_COUNT = 8  # images on a sheet


def dataset(name: str, action: str = "get", *arguments: str | Path) -> Dataset:
    """Return the data set with this name.

    Args:
        name: A name of the catalog.
        action: The action of `classicnets data` that an error suggests with the nearest name.
        arguments: The arguments of that action after the name.

    Raises:
        UsageError: CN202, the name is unknown.
    """
    if name in DATASETS:
        return DATASETS[name]
    near = nearest(name, DATASETS)
    raise UsageError(
        "CN202",
        _("there is no data set {name!r}", name=name),
        where=_("the data sets are {names}", names=", ".join(DATASETS)),
        hint=command("classicnets", "data", action, near, *arguments) if near else "classicnets data list",
    )


def fetch(data_set: Dataset, say: Say) -> DatasetFiles:
    """Return the verified files of a data set; download them if necessary.

    Raises:
        DataError: CN302, no source has the data set.
        MachineError: CN401, the cache cannot be written.
    """
    return sources.obtain(data_set, say=say)


def import_files(data_set: Dataset, place: Path) -> DatasetFiles:
    """Verify files that were downloaded by hand, and copy them into the cache.

    Args:
        data_set: The data set.
        place: The folder with its files, or its archive.

    Raises:
        DataError: CN301 to CN303, files are missing, damaged or of another data set.
        MachineError: CN401, the cache cannot be written.
    """
    return sources.import_files(data_set, place)


def image_folder(spec: str) -> Path | None:
    """Return the folder or CSV of images that `spec` names; None for a data set name or a folder of IDX files.

    Raises:
        UsageError: CN202, there is no such data set or path.
        DataError: CN302, the data set is not available.
    """
    return loading.image_location(spec)


def prepare_imagenet(folder: Path, output: Path | None = None) -> Prepared:
    """Write the CSV that lists the images of ImageNet and their classes; see `images.imagenet.prepare`.

    Args:
        folder: The folder with the images and the lists of their classes.
        output: The CSV (default: imagenet.csv in the folder).

    Raises:
        DataError: CN307, images or lists are missing, damaged or contradict each other.
        MachineError: CN401, the CSV cannot be written.
    """
    return imagenet.prepare(folder, output)


def check_files(spec: str) -> list[FileReport]:
    """Check each file of a data set in the cache, or of a folder of IDX files.

    Raises:
        UsageError: CN202, there is no such data set or path.
    """
    return loading.check(spec)


def audit_folder(folder: Path, progress: Callable[[int, int], object] | None = None) -> dict[str, Any]:
    """Audit a folder or CSV of images and return the findings as plain values.

    Args:
        folder: The folder or CSV.
        progress: Receives the number of images done, and of all images.

    Raises:
        DataError: CN307, the folder or CSV cannot be used as a data set.
    """
    return audit_images(folder, progress).to_dict()


def thumbnail(path: Path, background: str) -> np.ndarray | None:
    """Return a small copy of an image, uint8 [H, W, 3]; None if it cannot be read safely."""
    return thumbnails.read_preview(path, background=background)


def preview(place: str, size: int, say: Say) -> tuple[list[Sample], int, list[DataError]]:
    """Prepare up to eight images of a file, folder or CSV, evenly spaced from the first to the last, with each fit.

    Args:
        place: The file, folder or CSV.
        size: Height and width in pixels.
        say: Receives notes about the folder or CSV.

    Returns:
        The samples, the number of all images, and an error for each chosen image that cannot be read.

    Raises:
        DataError: CN304, there is no image, or none of the chosen ones can be read.
    """
    paths = [Path(str(image.file)) for image in inputs.find_images([place], say=say)]
    count = min(_PREVIEW_COUNT, len(paths))
    samples: list[Sample] = []
    errors: list[DataError] = []
    chosen = [paths[(2 * i + 1) * len(paths) // (2 * count)] for i in range(count)]
    contrasts = [info.contrasts for info in thumbnails.inspect_files(chosen)[0]]
    color = _background(place, contrasts) if any(contrasts) else BLACK
    if any(contrasts):
        say(_("transparent parts are {color} (background=auto)", color=background.name(color)))
    for path in chosen:
        name = f"{path.parent.name}/{path.name}" if len(paths) > 1 else path.name
        try:
            inputs_of = {fit: Preprocess(channels=3, image_size=size, fit=fit, background=color) for fit in FITS}
            fitted = {fit: read_fitted(path, preprocess) for fit, preprocess in inputs_of.items()}
            samples.append(report.preview.Sample(name, read_image(path, 3, color), fitted))
        except DataError as error:
            errors.append(error)
    if not samples:
        raise errors[0]
    return samples, len(paths), errors


def _background(place: str, contrasts: Sequence[background.Contrasts]) -> str:
    """The color of transparent parts: as in training on `place`; the best one for these images if it has no classes."""
    if loading.has_image_files(place):
        with suppress(DataError):
            location = Path(place).expanduser()
            return survey(location, held_out=False, transparent=True, say=lambda _note: None).background
    return background.choose(contrasts)


def describe_machine(folders: Sequence[Path]) -> dict[str, Any]:
    """Describe this machine: system, versions, device, write access to `folders`, source of each data set."""
    facts = machine.describe() | machine.torch_facts()
    places = (*folders, cache_root())
    facts["write_access"] = {str(folder): machine.write_error(folder) or N_("yes") for folder in places}
    facts["data"] = {name: sources.describe_source(data) for name, data in DATASETS.items()}
    return facts
