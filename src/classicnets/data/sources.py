"""Where the bytes of a data set come from: a folder, the cache, the system, the mirrors, a Debian package.

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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from classicnets.data.formats import sha256_of
from classicnets.data.registry import IDX_NAMES, DataFile, Dataset, known_sets
from classicnets.data.values import say_on_stderr
from classicnets.errors import DataError, MachineError

Say = Callable[[str], None]

MIRROR_TIMEOUT_SECONDS = 15
APT_TIMEOUT_SECONDS = 300
CHUNK_BYTES = 2**18
GZIP_OVERHEAD_BYTES = 2**16  # how much larger than its content a gzip file may be


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
    return (("cache", cache_root() / "data" / dataset.name), ("system folder", Path(dataset.system_folder)))


def obtain(dataset: Dataset, *, folder: Path | None = None, say: Say = say_on_stderr) -> Found:
    """Verified files of `dataset` from the first source that has them; each other one fails in one line of `say`.

    The order: `folder` if given (and then nothing else; it is copied into the cache), the cache, the system folder, the
    mirrors, the Debian package (downloaded and unpacked into the cache, never installed). Raises `DataError` CN302 when
    nothing has them and CN303 when `folder` holds other bytes, `MachineError` CN401 when the cache cannot be written.
    """
    (_, cache), (_, system) = places(dataset)
    if folder is not None:
        return _import(dataset, folder, cache)

    def tell(line: str) -> None:
        say(f"{dataset.name}: {line}")

    good, faults = _survey(dataset, cache)
    if not faults:
        return Found(good, f"cache {cache}")
    for name, text in faults.items():
        if text != "missing":
            tell(f"{name} in the cache is damaged ({text}); it will be replaced")
    tried = [f"cache {cache}: {_in_words(faults)}"]
    there, faults = _survey(dataset, system)
    if not faults:
        return Found(there, f"system folder {system}")
    tried.append(f"system folder {system}: {_in_words(faults)}")
    if there or set(faults.values()) != {"missing"}:
        tell(tried[-1])
    needed = [file for file in dataset.files if file.role not in good]
    source = _fetch(dataset, needed, cache, tried, tell)
    return Found({file.role: good.get(file.role, cache / file.name) for file in dataset.files}, source)


def is_here(dataset: Dataset) -> bool:
    """Whether one folder of this machine holds all files of `dataset`, by their names; no byte is looked at."""
    return any(len(find_files(folder)) == len(dataset.files) for _, folder in places(dataset))


def would_come_from(dataset: Dataset) -> str:
    """Which source `obtain` would use now, in words; no network, nothing written."""
    for label, folder in places(dataset):
        if not _survey(dataset, folder)[1]:
            return f"{label} {folder}"
    if _offline():
        return "not here, and CLASSICNETS_OFFLINE forbids fetching it"
    package = f" or the Debian package {dataset.debian_package}" if _has_apt() else ""
    return f"not here yet: would be fetched from {' or '.join(dataset.mirrors)}{package}"


def find_files(folder: Path) -> dict[str, Path]:
    """Role -> path of the IDX files in `folder` under their usual names: with a dash or a dot, gzip or not."""
    found = {}
    with suppress(OSError):  # a folder that may not be searched holds nothing for us
        for role, name in IDX_NAMES.items():
            dotted = name.replace("-idx", ".idx")
            candidates = [folder / f"{base}{end}" for base in (name, dotted) for end in (".gz", "")]
            if path := next((path for path in candidates if path.exists()), None):
                found[role] = path
    return found


def owner_of(digest: str) -> str:
    """Whose file has this sha256, like "MNIST's train-images"; empty when it is not known."""
    owned = {known: f"{title}'s {role}" for title, roles in known_sets().items() for role, known in roles.items()}
    return owned.get(digest, "")


def fault(expected: DataFile, path: Path) -> str:
    """What is wrong with the bytes of `path`, in words; empty when they are the data set's."""
    try:
        digest = sha256_of(path, max_bytes=expected.size)
    except DataError as error:
        return error.why
    if digest == expected.sha256:
        return ""
    if owner := owner_of(digest):
        return f"these are {owner}"
    return f"other bytes: sha256 {digest[:12]}… instead of {expected.sha256[:12]}…"


def _survey(dataset: Dataset, folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Which files in `folder` are good (role -> path), and what is wrong with the others (name -> words)."""
    paths = find_files(folder)
    good, faults = {}, {}
    for file in dataset.files:
        path = paths.get(file.role)
        text = fault(file, path) if path else "missing"
        if path and not text:
            good[file.role] = path
        else:
            faults[path.name if path else file.name] = text
    return good, faults


def _in_words(faults: dict[str, str]) -> str:
    if len(faults) == len(IDX_NAMES) and set(faults.values()) == {"missing"}:
        return "nothing there"
    return "; ".join(f"{name}: {text}" for name, text in faults.items())


def _import(dataset: Dataset, folder: Path, cache: Path) -> Found:
    """Copy the files of `folder` into the cache, once all of them have been found good."""
    good, faults = _survey(dataset, folder)
    if faults:
        raise _refused(dataset, folder, faults)
    with _aside(cache) as aside:
        for file in dataset.files:
            copy = aside / file.name
            _copy_gzipped(good[file.role], copy)
            copy.replace(cache / file.name)
    return Found({file.role: cache / file.name for file in dataset.files}, f"folder {folder}, now in cache {cache}")


def _fetch(dataset: Dataset, needed: list[DataFile], cache: Path, tried: list[str], tell: Say) -> str:
    """Bring the `needed` files into the cache and return where they came from; what fails is told and noted."""
    if _offline():
        tell("CLASSICNETS_OFFLINE is set, so neither mirrors nor the Debian package are asked")
        raise _nowhere(dataset, cache, [*tried, "mirrors and Debian package: not asked, CLASSICNETS_OFFLINE is set"])
    fetchers = [(f"mirror {mirror}", partial(_from_mirror, mirror)) for mirror in dataset.mirrors]
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


def _from_mirror(mirror: str, needed: list[DataFile], cache: Path, aside: Path, tell: Say) -> None:
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


def _download(url: str, file: DataFile, aside: Path) -> None:
    """Download one file into `aside` and verify it."""
    part = aside / f"{file.name}.part"
    with part.open("wb") as out:
        for piece in _pieces(url, file.size + GZIP_OVERHEAD_BYTES):
            out.write(piece)
    if text := fault(file, part):
        raise _UnavailableError(f"{file.name}: {text}")
    part.replace(aside / file.name)


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
    package, size = dataset.debian_package, dataset.debian_megabytes
    tell(f"downloading the Debian package {package} ({size} MB) into the cache; nothing is installed")
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
        raise _UnavailableError(_in_words(faults))
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
    path.replace(cache / file.name)
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


def _copy_gzipped(source: Path, target: Path) -> None:
    """Copy a file; a plain one is compressed, so that the cache knows one name per file."""
    with source.open("rb") as file:
        plain = file.peek(2)[:2] != b"\x1f\x8b"
        with gzip.open(target, "wb", compresslevel=1) if plain else target.open("wb") as out:
            shutil.copyfileobj(file, out)


def _offline() -> bool:
    return os.environ.get("CLASSICNETS_OFFLINE", "0") not in ("", "0")


def _has_apt() -> bool:
    return all(shutil.which(tool) for tool in ("apt-get", "dpkg-deb"))


def _refused(dataset: Dataset, folder: Path, faults: dict[str, str]) -> DataError:
    """The error for a folder that was named by the user and does not hold the data set."""
    others = [title for title in known_sets() if title != dataset.title]
    code, what = "CN303", f"the folder does not hold {dataset.title} as it was published"
    if taken := next((title for title in others if any(f"these are {title}'s" in t for t in faults.values())), None):
        what = f"these are {taken}'s files, not {dataset.title}'s: both sets use the same file names"
    elif set(faults.values()) == {"missing"}:
        code, what = "CN302", f"the folder lacks {len(faults)} of the four files of {dataset.title}"
    why = "\n".join(f"{name}: {text}" for name, text in faults.items())
    if not os.access(folder, os.R_OK | os.X_OK):
        why = "there is no such folder, or it may not be read"
    own = f"classicnets data check {shlex.quote(str(folder))}   # a folder is a data set of its own, too"
    return DataError(
        code, what, where=str(folder.absolute()), why=why, hint=(f"classicnets data get {dataset.name}", own)
    )


def _nowhere(dataset: Dataset, cache: Path, tried: list[str]) -> DataError:
    """The error when every source has failed, with the way to do it by hand."""
    names = ", ".join(file.name for file in dataset.files)
    hints = [
        f"classicnets data get {dataset.name} --from FOLDER   # a FOLDER with {names}, "
        f"fetched by hand on any machine from {' or '.join(dataset.mirrors)}"
    ]
    if _has_apt():
        hints.append(f"sudo apt-get install {dataset.debian_package}")
    if _offline():
        hints.append("unset CLASSICNETS_OFFLINE")
    return DataError(
        "CN302",
        f"{dataset.title} could not be had from any source",
        where=str(cache),
        why="\n".join(tried),
        hint=tuple(hints),
    )
