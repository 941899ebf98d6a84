"""The data of a run for a machine that lacks it: which files it consists of, packed once, and unpacked once a machine.

A machine looks for the data of a run in this order (`find`):

1. A published data set: in its own cache or system folder, with verified checksums. A folder or CSV: at the same path,
   if the files there have the same names, sizes and contents (above 2 GB: names and sizes).
2. In its cache folder, at ray/DIGEST, where it was unpacked before.

If it is in neither, it gets an archive of the files (`pack`), at most 2 GB, and unpacks it into its cache (`unpack`).
Training then checks the images themselves, as after any move of the data (`runs/data.py`). Initial weights (--weights)
and modules outside the folder of a network's file are not sent: they must be at the same path.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from classicnets.datasets import sources
from classicnets.datasets.catalog import DATASETS
from classicnets.datasets.local import cache_root, fetch_folder, local_folders
from classicnets.datasets.verify import find_files, verify_folder
from classicnets.errors import ClassicnetsError, DataError
from classicnets.files import move_folder_into_place, temporary_folder
from classicnets.images.listing import read_rows
from classicnets.images.tree import read_tree
from classicnets.text import _, byte_count

MAX_BYTES = 2 * 10**9  # of an archive, which is kept in memory


@dataclass(frozen=True)
class Parcel:
    """A data set and what identifies it.

    Attributes:
        place: The name of a published data set, or the path of a folder or CSV.
        digest: Identifies the names, sizes and contents of the files; "" for a published data set.
        inner: Where the folder or CSV is in the archive.
    """

    place: str
    digest: str = ""
    inner: str = ""


def describe(place: str) -> Parcel:
    """Return what identifies the data at `place`. Raises DataError CN307 if the folder or CSV cannot be read."""
    if place in DATASETS:
        return Parcel(place)
    root, files = _files(Path(place))
    sizes = {name: path.stat().st_size for name, path in files.items()}
    is_small = sum(sizes.values()) <= MAX_BYTES
    rows = [(name, str(sizes[name]), _digest(path) if is_small else "") for name, path in files.items()]
    content = "\n".join("/".join(row) for row in sorted(rows))
    digest = hashlib.sha256(os.fsencode(content)).hexdigest()[:16]
    return Parcel(place, digest, os.path.relpath(place, root))


def find(parcel: Parcel) -> str | None:
    """Return where this machine has the data, as a value of --data; None if it must be sent."""
    if parcel.place in DATASETS:
        dataset = DATASETS[parcel.place]
        has_all = any(not verify_folder(dataset, folder)[1] for _label, folder in local_folders(dataset))
        return parcel.place if has_all else None
    try:
        if describe(parcel.place).digest == parcel.digest:
            return parcel.place
    except (OSError, ValueError, ClassicnetsError):  # it is not here, or something else is
        pass
    unpacked = _folder(parcel) / parcel.inner
    return str(unpacked) if unpacked.exists() else None


def pack(parcel: Parcel) -> bytes:
    """Return the files of the data as a tar archive.

    Raises:
        DataError: CN302, the data cannot be sent: it is too large, or its CSV has absolute paths.
    """
    if parcel.place in DATASETS:
        paths = sources.obtain(DATASETS[parcel.place]).paths.values()
        files = {path.name: path for path in paths}
    else:
        place = Path(parcel.place)
        _root, files = _files(place)
        if place.is_file() and (outside := _absolute_path(place)):
            raise _not_sent(parcel, _("it lists the absolute path {path}", path=outside))
        size = sum(path.stat().st_size for path in files.values())
        if size > MAX_BYTES:
            reason = _(
                "it has {size}, and at most {limit} are sent", size=byte_count(size), limit=byte_count(MAX_BYTES)
            )
            raise _not_sent(parcel, reason)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", dereference=True) as archive:
        for name, path in files.items():
            archive.add(path, name, recursive=False)
    return content.getvalue()


def unpack(parcel: Parcel, content: bytes) -> str:
    """Unpack what `pack` has returned into the cache of this machine; return where the data is, as a value of --data.

    If two processes unpack the same data, the first to finish provides it.

    Raises:
        MachineError: CN401, the cache cannot be written.
        DataError: CN302, CN303, the files are not those of the published data set.
    """
    if parcel.place in DATASETS:
        with temporary_folder() as folder:
            _extract(content, folder)
            sources.import_files(DATASETS[parcel.place], folder)
        return parcel.place
    folder = _folder(parcel)
    with fetch_folder(folder.parent) as temporary:
        whole = temporary / "whole"
        _extract(content, whole)
        if not folder.exists():
            move_folder_into_place(whole, folder)
    return str(folder / parcel.inner)


def _folder(parcel: Parcel) -> Path:
    """Where this machine unpacks a folder or CSV."""
    return cache_root() / "ray" / parcel.digest


def _files(place: Path) -> tuple[Path, dict[str, Path]]:
    """The folder that contains all files of a folder or CSV, and the files by their path in it.

    They are those that `images` and `datasets.idx` read, and the others beside them, which a run counts.
    """
    if place.is_file():
        folder = place.parent
        listed = {Path(os.path.normpath(row.image_path(folder))) for row in read_rows(place)}
        paths = [place, *listed]
        root = Path(os.path.commonpath([folder, *(path.parent for path in listed)]))
    else:
        idx_files = find_files(place)
        top = None if idx_files else read_tree(place).top
        paths = [*idx_files.values()] if top is None else [*top.walk(), *top.unread_paths()]
        root = place.parent
    return root, {path.relative_to(root).as_posix(): path for path in paths if path.is_file()}


def _absolute_path(place: Path) -> str:
    """The first path in a CSV that is not relative to the CSV; "" if all are."""
    return next((row.path for row in read_rows(place) if Path(row.path).is_absolute() or row.path[:1] == "~"), "")


def _digest(path: Path) -> str:
    """The SHA-256 of a file; "" if it cannot be read, which a run will say better."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _not_sent(parcel: Parcel, reason: str) -> DataError:
    return DataError(
        "CN302",
        _("the data cannot be sent to a node of the Ray cluster that lacks it"),
        where=parcel.place,
        why=reason,
        hint=_("put the data on storage that all nodes see at this path, or copy it to this path on each node"),
    )


def _extract(content: bytes, folder: Path) -> None:
    """Write the files of an archive into `folder`, below which all of them are."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            file, path = archive.extractfile(member), Path(os.path.normpath(folder / member.name))
            if file is None or not path.is_relative_to(folder):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as out:
                shutil.copyfileobj(file, out)
