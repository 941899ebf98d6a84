"""Where the bytes of a data set come from: the cache, the system, the mirrors, a Debian package, or a folder by hand.

Nothing counts as had before its SHA-256 is right, and a file appears in the cache whole or not at all.
"""

from __future__ import annotations

import gzip
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from classicnets.datasets.catalog import DATASETS, IDX_NAMES, DataFile, Dataset
from classicnets.datasets.formats import is_gzip, sha256_of, tar_pieces
from classicnets.datasets.types import say_on_stderr
from classicnets.errors import DataError, MachineError
from classicnets.files import move_into_place
from classicnets.text import byte_count

Say = Callable[[str], None]

MIRROR_TIMEOUT_SECONDS = 15
APT_TIMEOUT_SECONDS = 300
CHUNK_BYTES = 2**18
GZIP_OVERHEAD_BYTES = 2**16  # how much larger than its content a gzip file may be
OFFLINE = "CLASSICNETS_OFFLINE"


@dataclass(frozen=True)
class Found:
    """Verified files of a data set: role -> path, and in words where they came from."""

    paths: dict[str, Path]
    source: str


class _UnavailableError(Exception):
    """A source could not give the files; the text is for the line that says so."""


def cache_root() -> Path:
    """Where classicnets keeps what it fetched: CLASSICNETS_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("CLASSICNETS_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "classicnets"


def places(dataset: Dataset) -> tuple[tuple[str, Path], ...]:
    """The folders of this machine where the files may lie, the first one first, each with what it is called."""
    cache = ("cache", cache_root() / "data" / dataset.name)
    return (cache, ("system folder", Path(dataset.system_folder))) if dataset.system_folder else (cache,)


def obtain(dataset: Dataset, *, say: Say = say_on_stderr) -> Found:
    """Verified files of `dataset` from the first source that has them; each other one fails in one line of `say`.

    The order: the cache, the system folder, the mirrors, the Debian package (downloaded and unpacked into the cache,
    never installed). Raises `DataError` CN302 when nothing has them, `MachineError` CN401 when the cache cannot be
    written.
    """
    (_, cache), *others = places(dataset)

    def tell(line: str) -> None:
        say(f"{dataset.name}: {line}")

    good, faults = _survey(dataset, cache)
    if not faults:
        return Found(good, f"cache {cache}")
    for name, text in faults.items():
        if text != "missing":
            tell(f"{name} in the cache is damaged ({text}); it will be replaced")
    tried = [f"cache {cache}: {_in_words(faults, dataset)}"]
    for label, folder in others:
        there, faults = _survey(dataset, folder)
        if not faults:
            return Found(there, f"{label} {folder}")
        tried.append(f"{label} {folder}: {_in_words(faults, dataset)}")
        if there or set(faults.values()) != {"missing"}:
            tell(tried[-1])
    needed = [file for file in dataset.files if file.role not in good]
    source = _fetch(dataset, needed, cache, tried, tell)
    return Found({file.role: good.get(file.role, cache / file.name) for file in dataset.files}, source)


def bring(dataset: Dataset, place: Path) -> Found:
    """Copy files fetched by hand into the cache, once all of them have been found good.

    `place` is a folder that holds them, the folder of their archive or the archive; or the archive itself.
    Raises `DataError` CN301 for a damaged archive, CN302 or CN303 for other bytes, `MachineError` CN401.
    """
    (_, cache), *_ = places(dataset)
    with _aside(cache) as aside:
        good, faults = _survey(dataset, _laid_open(dataset, place, aside))
        if faults:
            raise _refused(dataset, place, faults)
        for file in dataset.files:
            copy = aside / f"{file.name}.copy"
            _copy(good[file.role], copy, compress=file.name.endswith(".gz"))
            move_into_place(copy, cache / file.name)
    kind = "folder" if place.is_dir() else "file"
    return Found({file.role: cache / file.name for file in dataset.files}, f"{kind} {place}, now in cache {cache}")


def is_here(dataset: Dataset) -> bool:
    """Whether one folder of this machine holds all files of `dataset`, by their names; no byte is looked at."""
    return any(len(find_files(folder, dataset)) == len(dataset.files) for _, folder in places(dataset))


def would_come_from(dataset: Dataset) -> str:
    """Which source `obtain` would use now, in words; no network, nothing written."""
    for label, folder in places(dataset):
        if not _survey(dataset, folder)[1]:
            return f"{label} {folder}"
    if _is_offline():
        return f"not here, and {OFFLINE} forbids fetching it"
    package = f" or the Debian package {dataset.debian_package}" if dataset.debian_package and _has_apt() else ""
    return f"not here yet: would be fetched from {' or '.join(dataset.mirrors)}{package}"


def go_offline() -> None:
    """From now on nothing is fetched, here and in the processes that are started."""
    os.environ[OFFLINE] = "1"


def find_files(folder: Path, dataset: Dataset | None = None) -> dict[str, Path]:
    """Role -> path of the files of `dataset` (None: of any IDX set) in `folder` under their usual names: gzip or not,
    with a dash or a dot.
    """
    found = {}
    with suppress(OSError):  # a folder that may not be searched holds nothing for us
        for role, name in (dataset.names if dataset else IDX_NAMES).items():
            dotted = name.replace("-idx", ".idx")
            candidates = [folder / f"{base}{end}" for base in (name, dotted) for end in (".gz", "")]
            if path := next((path for path in candidates if path.exists()), None):
                found[role] = path
    return found


def owner_of(path: Path) -> str:
    """Whose file this is, like "MNIST's train-images", by its bytes; empty when it is not known."""
    known = {(file.of, file.sha256): f"{d.title}'s {file.role}" for d in DATASETS.values() for file in d.files}
    largest = max(file.size for d in DATASETS.values() for file in d.files)
    for of in ("file", "content"):
        with suppress(DataError):
            if owner := known.get((of, sha256_of(path, max_bytes=largest, of=of))):
                return owner
    return ""


def is_genuine(file: DataFile, path: Path) -> bool:
    """Whether `path` holds exactly the bytes of `file`. Raises `DataError` CN301 for a damaged one."""
    return sha256_of(path, of=file.of) == file.sha256


def fault(expected: DataFile, path: Path) -> str:
    """What is wrong with the bytes of `path`, in words; empty when they are the data set's."""
    try:
        digest = sha256_of(path, max_bytes=expected.size, of=expected.of)
        if digest == expected.sha256:
            return ""
        why = f"other bytes: sha256 {digest[:12]}… instead of {expected.sha256[:12]}…"
    except DataError as error:
        why = error.why
    if owner := owner_of(path):
        return f"these are {owner}"
    with suppress(DataError):
        if expected.of == "file" and not is_gzip(path):
            return f"not packed: what can be verified is {expected.name} as it was published"
    return why


def _survey(dataset: Dataset, folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Which files in `folder` are good (role -> path), and what is wrong with the others (name -> words)."""
    paths = find_files(folder, dataset)
    good, faults = {}, {}
    for file in dataset.files:
        path = paths.get(file.role)
        text = fault(file, path) if path else "missing"
        if path and not text:
            good[file.role] = path
        else:
            faults[path.name if path else file.name] = text
    return good, faults


def _in_words(faults: dict[str, str], dataset: Dataset) -> str:
    if len(faults) == len(dataset.files) and set(faults.values()) == {"missing"}:
        return "nothing there"
    return "; ".join(f"{name}: {text}" for name, text in faults.items())


def _laid_open(dataset: Dataset, place: Path, aside: Path) -> Path:
    """The folder in which the files that were brought to `place` lie; an archive is unpacked into `aside`."""
    if dataset.archive is None:
        return place
    for folder in (place, place / dataset.archive.folder):
        if find_files(folder, dataset):
            return folder
    packed = dataset.archive.file.name
    archives = [place, *(place / name for name in (packed, packed.removesuffix(".gz")))]
    if archive := next((path for path in archives if path.is_file()), None):
        _unpack(dataset, archive, aside)
        return aside
    return place


def _unpack(dataset: Dataset, archive: Path, folder: Path) -> None:
    """Write the files of `dataset` from its archive into `folder`, under their usual names."""
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        for name, piece in tar_pieces(archive, {file.name: file.size for file in dataset.files}):
            if name not in files:
                files[name] = stack.enter_context((folder / name).open("wb"))
            files[name].write(piece)


def _fetch(dataset: Dataset, needed: list[DataFile], cache: Path, tried: list[str], tell: Say) -> str:
    """Bring the `needed` files into the cache and return where they came from; what fails is told and noted."""
    if _is_offline():
        tell(f"offline (--offline or {OFFLINE}), so nobody is asked for it")
        raise _nowhere(dataset, cache, [*tried, f"elsewhere: not asked, offline (--offline or {OFFLINE})"])
    from_mirror = _archive_from_mirror if dataset.archive else _files_from_mirror
    fetchers = [(f"mirror {mirror}", partial(from_mirror, mirror, dataset)) for mirror in dataset.mirrors]
    if dataset.debian_package:
        fetchers.append((f"Debian package {dataset.debian_package}", partial(_from_debian, dataset)))
    for label, fetch in fetchers:
        try:
            with _aside(cache) as aside:
                fetch(needed, cache, aside, tell)
            return f"{label}, now in cache {cache}"
        except _UnavailableError as error:
            tried.append(f"{label}: {error}")
            tell(tried[-1])
    raise _nowhere(dataset, cache, tried)


def _files_from_mirror(mirror: str, _: Dataset, needed: list[DataFile], cache: Path, aside: Path, tell: Say) -> None:
    """Download each needed file; the smallest comes first, so that a mirror that has none is known at once."""
    for i, file in enumerate(sorted(needed, key=lambda file: file.size)):
        if i == 1:
            tell(f"downloading from {mirror}")
        try:
            _download(mirror + file.name, file, aside)
        except _UnavailableError:
            if i == 0:
                raise
            _download(mirror + file.name, file, aside)
        _keep(file, aside / file.name, cache, needed)


def _archive_from_mirror(
    mirror: str, dataset: Dataset, needed: list[DataFile], cache: Path, aside: Path, tell: Say
) -> None:
    """Download the archive, verify it, and keep of its files those that are needed, each verified again."""
    assert dataset.archive
    packed = dataset.archive.file
    said = f"downloading {packed.name} ({byte_count(packed.size)}) from {mirror}"
    _download(mirror + packed.name, packed, aside, begun=lambda: tell(said))
    try:
        _unpack(dataset, aside / packed.name, aside)
    except DataError as error:
        raise _UnavailableError(f"{packed.name}: {error.why}") from error
    good, faults = _survey(dataset, aside)
    if faults:
        raise _UnavailableError(_in_words(faults, dataset))
    for file in list(needed):
        _keep(file, good[file.role], cache, needed)


def _download(url: str, file: DataFile, aside: Path, begun: Callable[[], None] = lambda: None) -> None:
    """Download one file into `aside` and verify it; `begun` is called once, when its first bytes have come."""
    path = aside / file.name
    with path.open("wb") as out:
        for piece in _pieces(url, file.size + GZIP_OVERHEAD_BYTES):
            if not out.tell():
                begun()
            out.write(piece)
    if text := fault(file, path):
        raise _UnavailableError(f"{file.name}: {text}")


def _pieces(url: str, limit: int) -> Iterator[bytes]:
    """The bytes behind `url`, at most `limit`; a network error becomes `_UnavailableError`, a disk error does not."""
    from http.client import HTTPException
    from urllib.request import urlopen

    received = 0
    try:
        with urlopen(url, timeout=MIRROR_TIMEOUT_SECONDS) as answer:
            while piece := answer.read(CHUNK_BYTES):
                received += len(piece)
                if received > limit:
                    raise _UnavailableError(f"sends more than the {limit:,} bytes a good file can have")
                yield piece
    except (OSError, HTTPException) as error:
        raise _UnavailableError(_network_fault(error)) from error


def _network_fault(error: Exception) -> str:
    from socket import gaierror
    from urllib.error import HTTPError

    if isinstance(error, HTTPError):
        error.close()
        return f"HTTP {error.code} {error.reason}"
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"no answer within {MIRROR_TIMEOUT_SECONDS} s"
    if isinstance(reason, gaierror):
        return "not reachable (name not known)"
    if isinstance(reason, ConnectionError):
        return f"not reachable ({(reason.strerror or str(reason)).lower()})"
    return f"not reachable ({reason})"


def _from_debian(dataset: Dataset, needed: list[DataFile], cache: Path, aside: Path, tell: Say) -> None:
    """Download and unpack the Debian package; works without root, because nothing is installed."""
    if not _has_apt():
        raise _UnavailableError("apt-get and dpkg-deb are not on this machine")
    package, size = dataset.debian_package, byte_count(dataset.download_bytes)
    tell(f"downloading the Debian package {package} ({size}) into the cache; nothing is installed")
    # As root apt would change to a user who cannot write into this folder.
    apt = ["apt-get", "-o", "APT::Sandbox::User=", "-o", f"Acquire::http::Timeout={MIRROR_TIMEOUT_SECONDS}"]
    try:
        _run([*apt, "download", package], aside)
    except _UnavailableError:  # most often the package lists are empty; private ones need no root
        for name in ("lists/partial", "apt/archives/partial"):  # without root apt stops if they are missing
            (aside / name).mkdir(parents=True)
        apt += ["-o", f"Dir::State::lists={aside / 'lists'}", "-o", f"Dir::Cache={aside / 'apt'}"]
        _run([*apt, "update"], aside)
        _run([*apt, "download", package], aside)
    unpacked = aside / "unpacked"
    _run(["dpkg-deb", "-x", *(str(path) for path in aside.glob("*.deb")), str(unpacked)], aside)
    good, faults = _survey(dataset, unpacked / dataset.system_folder.lstrip("/"))
    if faults:
        raise _UnavailableError(_in_words(faults, dataset))
    for file in list(needed):
        _keep(file, good[file.role], cache, needed)


def _run(command: list[str], folder: Path) -> None:
    """Run a command in `folder` without a word; when it fails, its last line is the reason."""
    log = folder / "log"  # a file, because a grandchild that outlives its parent would keep a pipe open
    try:
        with log.open("wb") as out:
            done = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=APT_TIMEOUT_SECONDS,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise _UnavailableError(f"{command[0]} took more than {APT_TIMEOUT_SECONDS} s") from error
    if done.returncode:
        lines = log.read_text(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise _UnavailableError(f"{command[0]}: {lines[-1]}")


def _keep(file: DataFile, path: Path, cache: Path, needed: list[DataFile]) -> None:
    """Move a verified file into the cache: it is needed no more."""
    move_into_place(path, cache / file.name)
    needed.remove(file)


@contextmanager
def _aside(cache: Path) -> Iterator[Path]:
    """A folder inside the cache for what is not yet verified; it vanishes whatever happens."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache, ignore_cleanup_errors=True) as aside:
            yield Path(aside)
    except OSError as error:
        raise MachineError(
            "CN401",
            "the cache cannot be written",
            where=str(cache),
            why=error.strerror or str(error),
            hint="export CLASSICNETS_CACHE=FOLDER   # a folder you may write to",
        ) from error


def _copy(source: Path, target: Path, *, compress: bool) -> None:
    """Copy a file; if asked to, a plain one is compressed, so that the cache knows one name per file."""
    with source.open("rb") as file:
        compress = compress and not is_gzip(source)
        with gzip.open(target, "wb", compresslevel=1) if compress else target.open("wb") as out:
            shutil.copyfileobj(file, out)


def _is_offline() -> bool:
    return os.environ.get(OFFLINE, "0") not in ("", "0")


def _has_apt() -> bool:
    return all(shutil.which(tool) for tool in ("apt-get", "dpkg-deb"))


def _refused(dataset: Dataset, place: Path, faults: dict[str, str]) -> DataError:
    """The error for a place that was named by the user and does not hold the data set."""
    others = [other.title for other in DATASETS.values() if other.title != dataset.title]
    kind = "archive" if place.is_file() else "folder"
    code, what = "CN303", f"the {kind} does not hold {dataset.title} as it was published"
    if taken := next((title for title in others if any(f"these are {title}'s" in t for t in faults.values())), None):
        what = f"these are {taken}'s files, not {dataset.title}'s: both sets use the same file names"
    elif set(faults.values()) == {"missing"}:
        code, what = "CN302", f"the {kind} lacks {len(faults)} of the {len(dataset.files)} files of {dataset.title}"
    why = "\n".join(f"{name}: {text}" for name, text in faults.items())
    if code == "CN302" and dataset.archive and kind == "folder":
        why += f"\nnor is {dataset.archive.file.name} there, the archive that holds them"
    if not (place.is_file() or os.access(place, os.R_OK | os.X_OK)):
        why = "there is no such folder, or it may not be read"
    hints = [f"classicnets data get {dataset.name}"]
    if not dataset.archive:
        hints.append(f"classicnets data check {shlex.quote(str(place))}   # a folder is a data set of its own, too")
    return DataError(code, what, where=str(place.absolute()), why=why, hint=tuple(hints))


def _nowhere(dataset: Dataset, cache: Path, tried: list[str]) -> DataError:
    """The error when every source has failed, with the way to do it by hand."""
    published = [dataset.archive.file] if dataset.archive else dataset.files
    names = ", ".join(file.name for file in published)
    hints = [
        f"classicnets data import {dataset.name} FOLDER   # a FOLDER with {names}, "
        f"fetched by hand on any machine from {' or '.join(dataset.mirrors)}"
    ]
    if dataset.debian_package and _has_apt():
        hints.append(f"sudo apt-get install {dataset.debian_package}")
    if _is_offline():
        hints.append(f"unset {OFFLINE}   # and no --offline")
    return DataError(
        "CN302",
        f"{dataset.title} could not be had from any source",
        where=str(cache),
        why="\n".join(tried),
        hint=tuple(hints),
    )
