"""What is done with the name of a data set, a folder or a CSV: describe, load, check.

Importing this reads nothing and needs neither numpy nor torch.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable
from pathlib import Path

from classicnets.datasets.catalogue import DATASETS, IDX_NAMES, DataFile, Dataset, fingerprint
from classicnets.datasets.types import Description, FileReport, PictureFile, Pictures, Split, say_on_stderr
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
    "PictureFile",
    "Pictures",
    "Split",
    "check",
    "describe",
    "fingerprint",
    "load",
    "say_on_stderr",
]


def describe(spec: str, on_bad_image: str = "fail") -> Description:
    """Name, classes, picture shape and counts of a registry name, a folder or CSV of pictures or a folder of four IDX
    files.

    For a name no file is touched; else headers are read. Picture files that cannot be read are an error unless
    `on_bad_image` is "skip". Raises `UsageError` CN202, `DataError`.
    """
    found = _find(spec)
    if isinstance(found, Dataset):
        return Description(found.name, found.classes, found.shape, train=found.train, test=found.test)
    from classicnets.datasets import idx
    from classicnets.images import folders

    return idx.describe(found) if _has_idx(found) else folders.describe(found, on_bad_image)


def load(
    spec: str,
    preprocess: Preprocess | None = None,
    *,
    on_bad_image: str = "fail",
    say: Callable[[str], None] = say_on_stderr,
) -> Pictures:
    """All pictures of a registry name (fetched if need be), a folder or a CSV, in memory.

    The bytes of a registry name are verified. Picture files are decoded to the channels of `preprocess` and brought to
    its `side` (None: their own size, which must be common to all); other sets are read as they are. Files that cannot
    be read are an error, or left out if `on_bad_image` is "skip".
    Raises `UsageError` CN202, CN204, `DataError` CN301 to CN304 and CN307, `MachineError` CN401.
    """
    from classicnets.datasets import cifar, idx
    from classicnets.datasets.sources import obtain
    from classicnets.images import folders

    found = _find(spec)
    if isinstance(found, Dataset):
        had = obtain(found, say=say)
        train, test = cifar.splits(found, had.paths) if found.label_bytes else idx.splits(had.paths, len(found.classes))
        return Pictures(found.name, found.classes, train, test, found.fingerprint, had.source)
    return idx.load(found, say) if _has_idx(found) else folders.load(found, preprocess, say, on_bad_image)


def check(spec: str) -> list[FileReport]:
    """One report per file of a registry name (in the cache or the system folder; nothing is fetched) or of a folder of
    IDX files; for picture files there is `doctor.examine`.

    Raises `UsageError` CN202, `DataError` CN302; a missing or damaged file is a row, not an error.
    """
    from classicnets.datasets import cifar, idx
    from classicnets.datasets.sources import places

    found = _find(spec)
    if isinstance(found, Path):
        return idx.check(found)
    every = []
    for _, folder in places(found):
        reports = cifar.check(folder, found) if found.label_bytes else idx.check(folder, found)
        if all(report.status == "ok" for report in reports):
            return reports
        every.append(reports)
    return next((r for r in every if any(report.status == "wrong" for report in r)), every[0])


def of_pictures(spec: str) -> Path | None:
    """The folder or CSV of pictures that `spec` stands for; None if it is a registry name or a folder of IDX files.

    Raises `UsageError` CN202, `DataError` CN302.
    """
    found = _find(spec)
    return None if isinstance(found, Dataset) or _has_idx(found) else found


def _has_idx(folder: Path) -> bool:
    from classicnets.datasets.sources import find_files

    return folder.is_dir() and bool(find_files(folder))


def _refuse_published(folder: Path) -> None:
    """Files of a set that is read by its name alone are no folder of pictures: DataError CN302, with the way."""
    from classicnets.datasets.sources import find_files

    for dataset in DATASETS.values():
        if dataset.archive and len(find_files(folder, dataset)) == len(dataset.files):
            raise DataError(
                "CN302",
                f"the folder holds the files of {dataset.title}, which is used by its name",
                where=str(folder.absolute()),
                hint=f"classicnets data import {dataset.name} {shlex.quote(str(folder))}   # then its name will do",
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
            state = "it is a file; a folder of pictures or of IDX files is needed, or a CSV"
    except (OSError, RuntimeError) as error:
        state = getattr(error, "strerror", None) or str(error)
    if state:
        raise DataError("CN302", f"no data set at {spec}", where=spec, why=state, hint="classicnets list")
    near = difflib.get_close_matches(spec, DATASETS, n=1, cutoff=0.5)
    raise UsageError(
        "CN202",
        f"no data set is called {spec!r}" + (f"; the nearest name is {near[0]}" if near else ""),
        where="the name of a data set",
        why=f"known are: {', '.join(DATASETS)}; the path of a folder of pictures or of IDX files does as well",
        hint=f"classicnets data check {near[0]}" if near else "classicnets list",
    )
