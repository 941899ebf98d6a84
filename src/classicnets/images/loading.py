"""Data sets by name or place: describe, load and check a registry name, a folder or CSV of images, or IDX files.

Importing this reads nothing and needs neither numpy, torch nor Pillow, as `--help` and `list` do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from classicnets import text
from classicnets.datasets import cifar, idx, sources
from classicnets.datasets.catalog import DATASETS, IDX_NAMES, DataFile, Dataset, fingerprint
from classicnets.datasets.types import Description, FileReport, ImageSplits, Split, say_on_stderr
from classicnets.errors import DataError, UsageError
from classicnets.images.listing import EXTENSIONS
from classicnets.values import Preprocess

__all__ = [
    "DATASETS",
    "IDX_NAMES",
    "DataFile",
    "Dataset",
    "Description",
    "FileReport",
    "ImageSplits",
    "Split",
    "check",
    "describe",
    "fingerprint",
    "load",
    "say_on_stderr",
]


def describe(spec: str, on_bad_image: str = "fail") -> Description:
    """Name, classes, image shape and counts of a registry name, a folder or CSV of images, or a folder of IDX files.

    Of a registry name no file is read, of image files only the headers. Image files that cannot be read are an error
    unless `on_bad_image` is "skip". Raises `UsageError` CN202, `DataError` CN302, CN304, CN307.
    """
    source = _find(spec)
    if isinstance(source, Dataset):
        return Description(source.name, source.classes, source.shape, train=source.train, test=source.test)
    if _is_idx(source):
        return idx.describe(source)
    from classicnets.images import folders  # needs numpy and Pillow

    return folders.describe(source, on_bad_image)


def load(
    spec: str,
    preprocess: Preprocess | None = None,
    *,
    on_bad_image: str = "fail",
    say: Callable[[str], None] = say_on_stderr,
) -> ImageSplits:
    """All images of a registry name (downloaded if need be), a folder or a CSV, in memory.

    The bytes of a registry name are verified. Image files are decoded to the channels of `preprocess` and resized to
    its `side` (None: their own size, which all of them must share); other data is read as it is. Image files that
    cannot be read are an error, or left out if `on_bad_image` is "skip". `say` is told what was decided.
    Raises `UsageError` CN202, CN204, `DataError` CN301 to CN304 and CN307, `MachineError` CN401.
    """
    source = _find(spec)
    if isinstance(source, Dataset):
        files = sources.obtain(source, say=say)
        if source.label_bytes:
            train, test = cifar.splits(source, files.paths)
        else:
            train, test = idx.splits(files.paths, len(source.classes))
        return ImageSplits(source.name, source.classes, train, test, source.fingerprint, files.source)
    if _is_idx(source):
        return idx.load(source, say)
    from classicnets.images import folders  # needs numpy and Pillow

    return folders.load(source, preprocess, say, on_bad_image)


def check(spec: str) -> list[FileReport]:
    """One report for each file of a registry name (in the cache or the system folder; nothing is downloaded) or of a
    folder of IDX files. For image files there is `audit.examine`.

    Raises `UsageError` CN202, `DataError` CN302; a missing or damaged file is a row, not an error.
    """
    source = _find(spec)
    if isinstance(source, Path):
        return idx.check(source)
    every = []
    for _, folder in sources.places(source):
        reports = cifar.check(folder, source) if source.label_bytes else idx.check(folder, source)
        if all(report.status == "ok" for report in reports):
            return reports
        every.append(reports)
    return next((r for r in every if any(report.status == "wrong" for report in r)), every[0])


def image_location(spec: str) -> Path | None:
    """The folder or CSV of images that `spec` stands for; None if it is a registry name or a folder of IDX files.

    Raises `UsageError` CN202, `DataError` CN302.
    """
    source = _find(spec)
    return None if isinstance(source, Dataset) or _is_idx(source) else source


def _is_idx(folder: Path) -> bool:
    return folder.is_dir() and bool(sources.find_files(folder))


def _refuse_published(folder: Path) -> None:
    """Raises DataError CN302 for a folder with the files of a data set that is only used by its name."""
    for dataset in DATASETS.values():
        if dataset.archive and len(sources.find_files(folder, dataset)) == len(dataset.files):
            raise DataError(
                "CN302",
                f"the folder holds the files of {dataset.title}, which is used by its name",
                where=str(folder.absolute()),
                hint=f"{text.command('classicnets', 'data', 'import', dataset.name, folder)}   # then its name will do",
            )


def _find(spec: str) -> Dataset | Path:
    """The registry entry, the folder or the CSV that `spec` stands for."""
    if spec in DATASETS:
        return DATASETS[spec]
    state = "there is no such folder" if "/" in spec or "\\" in spec or spec.startswith((".", "~")) else ""
    try:
        folder = Path(spec).expanduser()
        if spec and folder.is_dir():
            _refuse_published(folder)
            return folder
        if spec and folder.is_file() and folder.suffix.lower() in EXTENSIONS:
            return folder
        if spec and folder.exists():
            state = "it is a file; a folder of images or of IDX files is needed, or a CSV"
    except (OSError, RuntimeError) as error:
        state = getattr(error, "strerror", None) or str(error)
    if state:
        raise DataError("CN302", f"no data set at {spec}", where=spec, why=state, hint="classicnets list")
    near = text.nearest(spec, DATASETS, cutoff=0.5)
    raise UsageError(
        "CN202",
        f"no data set is called {spec!r}" + (f"; the nearest name is {near}" if near else ""),
        where="the name of a data set",
        why=f"known are: {', '.join(DATASETS)}; the path of a folder of images or of IDX files does as well",
        hint=f"classicnets data check {near}" if near else "classicnets list",
    )
