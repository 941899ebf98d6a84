"""Unpacks the archives of data sets."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import IO

from classicnets.datasets.catalog import Dataset
from classicnets.datasets.formats import tar_pieces
from classicnets.datasets.verify import find_files


def unpack(dataset: Dataset, archive: Path, folder: Path) -> None:
    """Write the files of a data set from its archive into `folder`, under their usual names.

    Raises:
        DataError: CN301 for a damaged archive.
    """
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        for name, piece in tar_pieces(archive, {file.name: file.size for file in dataset.files}):
            if name not in files:
                files[name] = stack.enter_context((folder / name).open("wb"))
            files[name].write(piece)


def unpacked_folder(dataset: Dataset, place: Path, folder: Path) -> Path:
    """Return the folder that contains the files of a data set at `place`.

    It is `place`, or `folder` if an archive is unpacked there. `place` contains the files, the folder of their archive
    or the archive, or is the archive.
    """
    if dataset.archive is None:
        return place
    for candidate in (place, place / dataset.archive.folder):
        if find_files(candidate, dataset):
            return candidate
    name = dataset.archive.file.name
    archives = [place, place / name, place / name.removesuffix(".gz")]
    if archive := next((path for path in archives if path.is_file()), None):
        unpack(dataset, archive, folder)
        return folder
    return place
