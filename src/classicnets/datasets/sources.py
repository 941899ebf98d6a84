"""Obtains the files of a data set: from the cache, the system folder, mirrors, a Debian package or a user's folder.

A file counts only after its SHA-256 has been verified, and appears in the cache complete or not at all.
"""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from classicnets.datasets.archives import unpacked_folder
from classicnets.datasets.catalog import DEBIAN_MIRRORS, DEBIAN_MIRRORS_IN_CHINA, Dataset
from classicnets.datasets.debian import fetch_from_debian, fetch_from_pool, has_apt
from classicnets.datasets.download import Fetch, UnavailableError, fetch_from_mirror
from classicnets.datasets.formats import is_gzip
from classicnets.datasets.local import cache_folder, fetch_folder, local_folders
from classicnets.datasets.types import DatasetFiles, Say, print_to_stderr
from classicnets.datasets.verify import FileFault, describe_faults, find_files, verify_folder
from classicnets.errors import DataError
from classicnets.files import move_into_place
from classicnets.language import language
from classicnets.text import _, command

OFFLINE = "CLASSICNETS_OFFLINE"


def obtain(dataset: Dataset, *, say: Say = print_to_stderr) -> DatasetFiles:
    """Return verified files of a data set from the first source that has them.

    The order is: cache, system folder, mirrors, Debian package (unpacked into the cache, never installed) from mirrors
    of Debian, then by apt. Mirrors in mainland China come first if the texts are in Chinese. `say` is called with
    progress and with one line for each source that fails.

    Raises:
        DataError: CN302 if no source has the files.
        MachineError: CN401 if the cache cannot be written.
    """
    (cache_label, cache), *other_folders = local_folders(dataset)

    def note(message: str) -> None:
        say(_("{name}: {message}", name=dataset.name, message=message))

    verified, faults = verify_folder(dataset, cache)
    if not faults:
        return DatasetFiles(verified, cache_label)
    for name, fault in faults.items():
        if not fault.missing:
            note(_("{file} in the cache is damaged and will be replaced: {reason}", file=name, reason=fault.message))
    attempts = [_failure(cache_label, describe_faults(faults, dataset))]
    for label, folder in other_folders:
        paths, faults = verify_folder(dataset, folder)
        if not faults:
            return DatasetFiles(paths, label)
        attempts.append(_failure(label, describe_faults(faults, dataset)))
        if paths or not all(fault.missing for fault in faults.values()):
            note(attempts[-1])
    fetch = Fetch(dataset, cache, [file for file in dataset.files if file.role not in verified], note)
    source = _fetch(fetch, attempts)
    return DatasetFiles({file.role: verified.get(file.role, cache / file.name) for file in dataset.files}, source)


def import_files(dataset: Dataset, place: Path) -> DatasetFiles:
    """Copy files that were downloaded by hand into the cache, after all of them have been verified.

    Args:
        dataset: The data set.
        place: A folder with the files, the folder of their archive or the archive; or the archive itself.

    Raises:
        DataError: CN301 for a damaged archive, CN302 or CN303 for missing or other files.
        MachineError: CN401 if the cache cannot be written.
    """
    cache = cache_folder(dataset)
    with fetch_folder(cache) as temporary:
        verified, faults = verify_folder(dataset, unpacked_folder(dataset, place, temporary))
        if faults:
            raise _import_error(dataset, place, faults)
        for file in dataset.files:
            copy = temporary / f"{file.name}.copy"
            _copy(verified[file.role], copy, compress=file.name.endswith(".gz"))
            move_into_place(copy, cache / file.name)
    if place.is_dir():
        source = _("folder {place}, now in cache {cache}", place=place, cache=cache)
    else:
        source = _("file {place}, now in cache {cache}", place=place, cache=cache)
    return DatasetFiles({file.role: cache / file.name for file in dataset.files}, source)


def is_local(dataset: Dataset) -> bool:
    """Return whether a folder of this machine has all files of a data set, by name; their content is not verified."""
    return any(len(find_files(folder, dataset)) == len(dataset.files) for _name, folder in local_folders(dataset))


def describe_source(dataset: Dataset) -> str:
    """Return which source `obtain` would use now, in words; neither connects nor writes."""
    for label, folder in local_folders(dataset):
        if not verify_folder(dataset, folder)[1]:
            return label
    if _is_offline():
        return _("not on this machine, and {variable} prevents the download", variable=OFFLINE)
    mirrors = ", ".join(_mirrors(dataset))
    if dataset.debian_package and has_apt():
        return _(
            "not on this machine yet; available from {mirrors} or the Debian package {package}",
            mirrors=mirrors,
            package=dataset.debian_package,
        )
    return _("not on this machine yet; available from {mirrors}", mirrors=mirrors)


def go_offline() -> None:
    """Download nothing from now on, in this process and in those it starts."""
    os.environ[OFFLINE] = "1"


def _fetch(fetch: Fetch, attempts: list[str]) -> str:
    """Fetch the needed files into the cache and return where they came from; failures are added to `attempts`."""
    dataset, cache = fetch.dataset, fetch.cache
    if _is_offline():
        message = _("nothing is downloaded, because --offline or {variable} is set", variable=OFFLINE)
        fetch.say(message)
        raise _unavailable(dataset, cache, [*attempts, message])
    sources: list[tuple[str, Callable[[Fetch, Path], None]]] = [
        (_("mirror {url}", url=url), partial(fetch_from_mirror, url)) for url in _mirrors(dataset)
    ]
    if dataset.package:
        for url in _nearest_first(DEBIAN_MIRRORS, DEBIAN_MIRRORS_IN_CHINA):
            label = _("Debian package {package} of {mirror}", package=dataset.debian_package, mirror=url)
            sources.append((label, partial(fetch_from_pool, url, dataset.package)))
    if dataset.debian_package:
        sources.append((_("Debian package {package}", package=dataset.debian_package), fetch_from_debian))
    for label, fetch_from in sources:
        try:
            with fetch_folder(cache) as temporary:
                fetch_from(fetch, temporary)
            return _("{source}, now in cache {cache}", source=label, cache=cache)
        except UnavailableError as error:
            attempts.append(_failure(label, str(error)))
            fetch.say(attempts[-1])
    raise _unavailable(dataset, cache, attempts)


def _mirrors(dataset: Dataset) -> tuple[str, ...]:
    """The mirrors of a data set in the order in which they are tried."""
    return _nearest_first(dataset.mirrors, dataset.mirrors_in_china)


def _nearest_first(mirrors: tuple[str, ...], in_china: tuple[str, ...]) -> tuple[str, ...]:
    """All mirrors; those in mainland China come first for who reads Chinese: others are slow or blocked there."""
    return in_china + mirrors if language() == "zh" else mirrors + in_china


def _copy(source: Path, target: Path, *, compress: bool) -> None:
    """Copy a file; with `compress`, a plain one is compressed, so that each file has one name in the cache."""
    with source.open("rb") as file:
        compress = compress and not is_gzip(source)
        with gzip.open(target, "wb", compresslevel=1) if compress else target.open("wb") as out:
            shutil.copyfileobj(file, out)


def _is_offline() -> bool:
    return os.environ.get(OFFLINE, "0") not in ("", "0")


def _failure(source: str, reason: str) -> str:
    return _("{source}: {reason}", source=source, reason=reason)


def _import_error(dataset: Dataset, place: Path, faults: dict[str, FileFault]) -> DataError:
    """The error for a place given by the user that does not contain the data set."""
    code, is_file = "CN303", place.is_file()
    owners = [fault.owner.title for fault in faults.values() if fault.owner and fault.owner.title != dataset.title]
    if owners:
        what = _(
            "these are files of {other}, not of {title}; both sets use the same file names",
            other=owners[0],
            title=dataset.title,
        )
    elif all(fault.missing for fault in faults.values()):
        code = "CN302"
        counts = {"n": len(faults), "total": len(dataset.files), "title": dataset.title}
        if is_file:
            what = _("the archive lacks {n} of the {total} files of {title}", **counts)
        else:
            what = _("the folder lacks {n} of the {total} files of {title}", **counts)
    elif is_file:
        what = _("the archive does not contain {title} as published", title=dataset.title)
    else:
        what = _("the folder does not contain {title} as published", title=dataset.title)
    lines = [_("{file}: {fault}", file=name, fault=fault.message) for name, fault in faults.items()]
    if code == "CN302" and dataset.archive and not is_file:
        lines.append(_("the archive {name} is missing as well", name=dataset.archive.file.name))
    if not (is_file or os.access(place, os.R_OK | os.X_OK)):
        lines = [_("there is no such folder, or it cannot be read")]
    hints = [command("classicnets", "data", "get", dataset.name)]
    if not dataset.archive:
        check = command("classicnets", "data", "check", place)
        hints.append(_("{command}   # a folder can be a data set of its own", command=check))
    return DataError(code, what, where=str(place.absolute()), why="\n".join(lines), hint=tuple(hints))


def _unavailable(dataset: Dataset, cache: Path, attempts: list[str]) -> DataError:
    """The error when all sources have failed, with the manual steps."""
    published = [dataset.archive.file] if dataset.archive else dataset.files
    hints = [
        _(
            "{command}   # a FOLDER with {files}, downloaded on any machine from {mirrors}",
            command=command("classicnets", "data", "import", dataset.name, "FOLDER"),
            files=", ".join(file.name for file in published),
            mirrors=", ".join(_mirrors(dataset)),
        )
    ]
    if dataset.debian_package and has_apt():
        hints.append(command("sudo", "apt-get", "install", dataset.debian_package))
    if _is_offline():
        hints.append(_("{command}   # and omit --offline", command=command("unset", OFFLINE)))
    return DataError(
        "CN302",
        _("{title} is not available from any source", title=dataset.title),
        where=str(cache),
        why="\n".join(attempts),
        hint=tuple(hints),
    )
