"""Downloads the files of a data set from a mirror; only verified files get into the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from classicnets.datasets.archives import unpack
from classicnets.datasets.catalog import DataFile, Dataset
from classicnets.datasets.types import Say
from classicnets.datasets.verify import describe_faults, verify, verify_folder
from classicnets.errors import DataError
from classicnets.files import move_into_place
from classicnets.text import _, byte_count

TIMEOUT_SECONDS = 15
_CHUNK_BYTES = 2**18
_GZIP_OVERHEAD_BYTES = 2**16  # how much larger than its content a gzip file may be


class UnavailableError(Exception):
    """A source cannot provide the files; the message says why."""


@dataclass
class Fetch:
    """A fetch in progress.

    Attributes:
        dataset: The data set.
        cache: Its folder in the cache.
        needed: Files that are still missing; verified files are removed from the list.
        say: Called with progress.
    """

    dataset: Dataset
    cache: Path
    needed: list[DataFile]
    say: Say

    def keep(self, file: DataFile, path: Path) -> None:
        """Move a verified file into the cache."""
        move_into_place(path, self.cache / file.name)
        self.needed.remove(file)

    def keep_all(self, folder: Path) -> None:
        """Verify all files of the data set in a folder and move the needed ones into the cache.

        Raises:
            UnavailableError: If a file is missing or wrong; nothing is moved then.
        """
        verified, faults = verify_folder(self.dataset, folder)
        if faults:
            raise UnavailableError(describe_faults(faults, self.dataset))
        for file in list(self.needed):
            self.keep(file, verified[file.role])


def fetch_from_mirror(mirror: str, fetch: Fetch, folder: Path) -> None:
    """Download the needed files, or the archive that contains them, into the temporary `folder`, and keep them.

    Raises:
        UnavailableError: If the mirror cannot be reached or its files are wrong; verified files are kept.
    """
    if fetch.dataset.archive:
        _fetch_archive(mirror, fetch.dataset.archive.file, fetch, folder)
    else:
        _fetch_files(mirror, fetch, folder)


def _fetch_files(mirror: str, fetch: Fetch, folder: Path) -> None:
    """Download each file; the smallest comes first, so that a mirror without the files is detected at once."""
    for i, file in enumerate(sorted(fetch.needed, key=lambda file: file.size)):
        if i == 1:
            fetch.say(_("downloading from {mirror}", mirror=mirror))
        try:
            download_file(mirror + file.name, file, folder)
        except UnavailableError:
            if i == 0:
                raise
            download_file(mirror + file.name, file, folder)  # the mirror has files of the set, so try once more
        fetch.keep(file, folder / file.name)


def _fetch_archive(mirror: str, archive: DataFile, fetch: Fetch, folder: Path) -> None:
    message = _(
        "downloading {name} ({size}) from {mirror}", name=archive.name, size=byte_count(archive.size), mirror=mirror
    )
    download_file(mirror + archive.name, archive, folder, on_start=lambda: fetch.say(message))
    try:
        unpack(fetch.dataset, folder / archive.name, folder)
    except DataError as error:
        raise UnavailableError(_("{file}: {fault}", file=archive.name, fault=error.why)) from error
    fetch.keep_all(folder)


def download_file(url: str, file: DataFile, folder: Path, on_start: Callable[[], None] = lambda: None) -> None:
    """Download one file into `folder` and verify it; `on_start` is called when its first bytes arrive."""
    path = folder / file.name
    with path.open("wb") as out:
        for piece in _read_url(url, file.size + _GZIP_OVERHEAD_BYTES):
            if not out.tell():
                on_start()
            out.write(piece)
    if fault := verify(file, path):
        raise UnavailableError(_("{file}: {fault}", file=file.name, fault=fault.message))


def _read_url(url: str, max_bytes: int) -> Iterator[bytes]:
    """The content at `url`. Network errors become UnavailableError; errors of the disk do not."""
    from http.client import HTTPException
    from urllib.request import urlopen

    received = 0
    try:
        with urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            while piece := response.read(_CHUNK_BYTES):
                received += len(piece)
                if received > max_bytes:
                    raise UnavailableError(_("it sends more than the {n:,} bytes of a valid file", n=max_bytes))
                yield piece
    except (OSError, HTTPException) as error:
        raise UnavailableError(_network_fault(error)) from error


def _network_fault(error: Exception) -> str:
    from socket import gaierror
    from urllib.error import HTTPError

    if isinstance(error, HTTPError):
        error.close()
        return f"HTTP {error.code} {error.reason}"
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return _("no answer within {n} s", n=TIMEOUT_SECONDS)
    if isinstance(reason, gaierror):
        return _("not reachable (unknown host name)")
    if isinstance(reason, ConnectionError):
        reason = (reason.strerror or str(reason)).lower()
    return _("not reachable ({reason})", reason=reason)
