"""Finds the files of a data set in a folder and verifies them by SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from classicnets.datasets.catalog import DATASETS, IDX_NAMES, DataFile, Dataset
from classicnets.datasets.formats import is_gzip, sha256_of
from classicnets.errors import DataError
from classicnets.text import _, clauses, labeled


class Owner(NamedTuple):
    """The published set and role that a file belongs to."""

    title: str
    role: str


@dataclass(frozen=True)
class FileFault:
    """What is wrong with a file; `owner` is the published file that it is instead, if known."""

    message: str
    missing: bool = False
    owner: Owner | None = None


def find_files(folder: Path, dataset: Dataset | None = None) -> dict[str, Path]:
    """Role -> path of the files of a data set (None: of any IDX set) in a folder, found by their usual names.

    Names may have a dash or a dot, and end in .gz or not. A folder that cannot be read contains no files.
    """
    paths = {}
    with suppress(OSError):
        for role, name in (dataset.file_names if dataset else IDX_NAMES).items():
            dotted = name.replace("-idx", ".idx")
            candidates = [folder / f"{base}{suffix}" for base in (name, dotted) for suffix in (".gz", "")]
            if path := next((path for path in candidates if path.exists()), None):
                paths[role] = path
    return paths


def find_owner(path: Path) -> Owner | None:
    """Return the published set and role with exactly the content of this file; None if unknown."""
    owners = {(file.digest_of, file.sha256): Owner(d.title, file.role) for d in DATASETS.values() for file in d.files}
    largest = max(file.size for d in DATASETS.values() for file in d.files)
    for digest_of in ("file", "content"):
        with suppress(DataError):
            if owner := owners.get((digest_of, sha256_of(path, max_bytes=largest, packed=digest_of == "file"))):
                return owner
    return None


def is_genuine(file: DataFile, path: Path) -> bool:
    """Return whether `path` has exactly the content of `file`. Raises DataError CN301 if it is damaged."""
    return sha256_of(path, packed=file.digest_of == "file") == file.sha256


def verify(expected: DataFile, path: Path) -> FileFault | None:
    """Return what is wrong with the content of `path`; None if it is the expected one."""
    packed = expected.digest_of == "file"
    try:
        digest = sha256_of(path, max_bytes=expected.size, packed=packed)
        if digest == expected.sha256:
            return None
        message = _(
            "its content differs: sha256 {digest}… instead of {expected}…",
            digest=digest[:12],
            expected=expected.sha256[:12],
        )
    except DataError as error:
        message = error.why
    if owner := find_owner(path):
        return FileFault(_("this is the file {role} of {title}", role=owner.role, title=owner.title), owner=owner)
    with suppress(DataError):
        if packed and expected.name.endswith(".gz") and not is_gzip(path):
            return FileFault(_("only the compressed file {name} can be verified, as published", name=expected.name))
    return FileFault(message)


def verify_folder(dataset: Dataset, folder: Path) -> tuple[dict[str, Path], dict[str, FileFault]]:
    """Return the verified files in a folder (role -> path), and what is wrong with the others (name -> fault)."""
    paths = find_files(folder, dataset)
    verified, faults = {}, {}
    for file in dataset.files:
        path = paths.get(file.role)
        fault = verify(file, path) if path else FileFault(_("missing"), missing=True)
        if path and not fault:
            verified[file.role] = path
        elif fault:
            faults[path.name if path else file.name] = fault
    return verified, faults


def describe_faults(faults: Mapping[str, FileFault], dataset: Dataset) -> str:
    """Return all faults on one line."""
    if len(faults) == len(dataset.files) and all(fault.missing for fault in faults.values()):
        return _("no files")
    return clauses(labeled(name, fault.message) for name, fault in faults.items())
