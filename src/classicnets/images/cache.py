"""Where decoded images are kept: on disk, in memory, or nowhere, if they are decoded while training.

Disk cache: each set of images is decoded once and then mapped into memory.

`cache_root()/pictures/KEY.npy` holds uint8 [N, C, S, S] as `read_fitted` returns them; KEY is a hash of the contents of
the image files, in their order, and of the settings. KEY.json beside it holds the checksum of the array. For each
folder, FOLDER_HASH.files.json records size, times and SHA-256 of its files when they were last read, and
HASH.survey.json what `survey` has seen in them. One process at a time decodes the same files; it holds HASH.lock.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import mmap
import os
import shutil
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from classicnets import machine
from classicnets.datasets.local import cache_root
from classicnets.datasets.types import Images as AnyImages
from classicnets.datasets.types import Say
from classicnets.errors import DataError, UsageError
from classicnets.files import move_into_place, temporary_file
from classicnets.images.decode import DECODER_VERSION, fit_bytes, read_bytes, read_header
from classicnets.images.streamed import StreamedImages
from classicnets.strict_json import dump
from classicnets.text import _, byte_count, command, plural, shape
from classicnets.values import Preprocess
from classicnets.workers import ordered_map

VARIABLE = "CLASSICNETS_IMAGE_CACHE"
OLD_VARIABLE = "CLASSICNETS_PICTURES"  # of version 0.1
MODES = ("auto", "disk", "memory", "stream")
SMALL_BYTES = 4 * 2**20  # decoded in half a second, so "auto" keeps it in memory only
MAX_CACHE_BYTES = 20 * 10**9  # above this size, the entries that were not used for longest are removed
MAX_FACTS_BYTES = 200 * 10**6  # the same for what is known about files: their digests, and surveys
FRESH_SECONDS = 2.0  # a file modified this recently may change again without a change of its times
ANNOUNCED_COUNT = 1000  # from this number of images on, reading takes long enough to be announced
SURVEY_SUFFIX = ".survey.json"  # of the files that `survey` keeps here

_STALE_SECONDS = 86400.0  # a temporary file of this age was left by a process that died
_CHUNK_BYTES = 2**22

Images = npt.NDArray[np.uint8]
Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class DecodedImages:
    """The result of reading image files.

    Attributes:
        images: uint8 [N, C, side, side] of the files that can be read.
        digests: SHA-256 of every file; "" if the images are decoded while training.
        non_square_count: How many images were not square.
        faults: Errors of the other files, by their index.
    """

    images: AnyImages
    digests: list[str]
    non_square_count: int
    faults: dict[int, DataError]


@dataclass(frozen=True)
class _FileRecord:
    """Size and times of a file, and the SHA-256 of its content."""

    state: tuple[int, int, int]
    digest: str


def read_images(
    paths: Sequence[Path], preprocess: Preprocess, say: Say, *, max_faults: int | None = None
) -> DecodedImages:
    """Read images as `read_fitted` returns them, from the cache if the files have not changed.

    CLASSICNETS_IMAGE_CACHE chooses where decoded images are kept: "disk" (mapped from the cache, so that they need no
    memory of their own), "memory" (decoded every time), "stream" (decoded while they are used), or "auto": on disk, in
    memory if they are few, and decoded while they are used if they are too many for both.

    Args:
        paths: The image files.
        preprocess: Channels, size and fit.
        say: Called with notes.
        max_faults: Stop at this number of unreadable files; the result then has no images.

    Raises:
        DataError: CN307 if CLASSICNETS_IMAGE_CACHE keeps the images in memory and they need more than half of it.
        UsageError: CN204 if CLASSICNETS_IMAGE_CACHE has another value.
    """
    image_shape = (len(paths), preprocess.channels, preprocess.side, preprocess.side)
    mode, reason = _place(math.prod(image_shape), say)
    if mode == "stream":
        return _streamed(paths, preprocess, say, reason, skip_faults=max_faults is None)
    if mode == "disk":
        root = cache_root() / "pictures"
        try:
            root.mkdir(parents=True, exist_ok=True)
            return _DiskCache(root, paths, preprocess, image_shape, say).read(max_faults)
        except OSError as error:
            if not _fits_in_memory(math.prod(image_shape)):
                reason = _(
                    "they need more than half of the memory, and cannot be written to {folder} ({reason})",
                    folder=root,
                    reason=error.strerror or error,
                )
                return _streamed(paths, preprocess, say, reason, skip_faults=max_faults is None)
            say(
                _(
                    "decoded images stay in memory because they cannot be written to {folder} ({reason})",
                    folder=root,
                    reason=error.strerror or error,
                )
            )
    check_memory(paths[0].parent, image_shape, "resize" if preprocess.resize else "image_size")
    images = np.empty(image_shape, np.uint8)
    rows = itertools.count()

    def keep(image: Images) -> None:
        images[next(rows)] = image

    digests, non_square_count, faults = _decode(paths, preprocess, keep, max_faults, say)
    return DecodedImages(images[: len(paths) - len(faults)], digests, non_square_count, faults)


def is_streamed(count: int, preprocess: Preprocess) -> bool:
    """Return whether these images will be decoded while they are used. Raises UsageError CN204 as `read_images`."""
    size = count * preprocess.channels * preprocess.side**2
    return _place(size, lambda _note: None)[0] == "stream"


def _place(size: int, say: Say) -> tuple[str, str]:
    """Where images of `size` bytes are kept, "disk", "memory" or "stream", and why they are streamed."""
    mode = _mode(say)
    if mode == "stream":
        return mode, _("{variable} is {value}", variable=VARIABLE, value=mode)
    if mode != "auto":
        return mode, ""
    if size > MAX_CACHE_BYTES:
        return "stream", _(
            "they need {needed}, and the cache keeps at most {limit} ({command} caches them all the same)",
            needed=byte_count(size),
            limit=byte_count(MAX_CACHE_BYTES),
            command=f"{VARIABLE}=disk",
        )
    return ("disk" if size >= SMALL_BYTES else "memory"), ""


def _fits_in_memory(size: int) -> bool:
    """Whether `size` bytes are at most half of the memory, which processes that train together share."""
    memory = machine.total_memory_bytes()
    return memory is None or size <= memory // 2 // machine.local_processes()


def _streamed(
    paths: Sequence[Path], preprocess: Preprocess, say: Say, reason: str, *, skip_faults: bool
) -> DecodedImages:
    """The files as images that are decoded while they are used; `skip_faults` leaves out those without a header."""
    say(
        plural(
            "{n} image is decoded while training, because {reason}; the data is recognized by names and sizes of files",
            "{n:,} images are decoded while training, because {reason}; the data is recognized by names and sizes of"
            " files",
            len(paths),
            reason=reason,
        )
    )
    faults: dict[int, DataError] = {}
    if skip_faults:
        faults = {i: fault for i, fault in enumerate(ordered_map(_header_fault, paths)) if fault is not None}
    readable = [path for i, path in enumerate(paths) if i not in faults] if faults else paths
    return DecodedImages(StreamedImages(readable, preprocess), [""] * len(paths), 0, faults)


def _header_fault(path: Path) -> DataError | None:
    try:
        read_header(path)
    except DataError as error:
        return error
    return None


def check_memory(folder: Path, image_shape: Shape, setting: str) -> None:
    """Check that a uint8 array of this shape fits into half of the machine's memory.

    Raises:
        DataError: CN307, with the largest possible value of `setting`.
    """
    memory = machine.total_memory_bytes()
    count, channels, *size = image_shape
    if memory is None or math.prod(image_shape) <= memory // 2:
        return
    raise DataError(
        "CN307",
        _(
            "{n:,} images of {shape} need more than half of this machine's memory",
            n=count,
            shape=shape((channels, *size)),
        ),
        where=str(folder.absolute()),
        why=_(
            "they need {needed} of {total}, because all images are kept in memory",
            needed=byte_count(math.prod(image_shape)),
            total=byte_count(memory),
        ),
        hint=(
            command("--set", f"{setting}={max(1, math.isqrt(memory // 2 // (count * channels)))}"),
            _("{command}   # decodes them while training", command=command("export", f"{VARIABLE}=stream")),
        ),
    )


def _mode(say: Say) -> str:
    """Where decoded images are kept, from the environment."""
    variable = VARIABLE
    if OLD_VARIABLE in os.environ and VARIABLE not in os.environ:
        variable = OLD_VARIABLE
        say(_("the variable {old} is now called {new}; the old name still works", old=OLD_VARIABLE, new=VARIABLE))
    mode = os.environ.get(variable) or "auto"
    if mode not in MODES:
        raise UsageError(
            "CN204",
            _("{variable} is {value!r}", variable=variable, value=mode),
            where=_("the environment"),
            why=_("it chooses where decoded images are kept: {modes}", modes=", ".join(MODES)),
            hint=command("unset", variable),
        )
    return mode


class _DiskCache:
    """The cache entry of some image files; every method may raise OSError."""

    def __init__(self, root: Path, paths: Sequence[Path], preprocess: Preprocess, image_shape: Shape, say: Say):
        self.root, self.paths, self.preprocess, self.shape, self.say = root, paths, preprocess, image_shape, say
        self.bytes = len(self._header(0)) + math.prod(image_shape)
        names = [str(path.absolute()) for path in paths]
        common = ""
        with suppress(ValueError):  # files on several drives have no common folder
            common = os.path.commonpath({str(Path(name).parent) for name in names})
        self.names = [name[len(common) :] for name in names]
        self.records_file = root / f"{_hash_text(common)}.files.json"
        settings = [preprocess.channels, preprocess.side, preprocess.fit, preprocess.background]
        self.lock_file = root / f"{_hash_text(dump([*settings, *names]))}.lock"

    def read(self, max_faults: int | None) -> DecodedImages:
        """Return the mapped images; decoded first if they are not cached or the files have changed."""
        cached = self._read_cached(max_faults)
        if cached:
            return cached
        with ExitStack() as stack:
            if self._lock(stack):  # another process has decoded them meanwhile
                cached = self._read_cached(max_faults)
            if cached:
                return cached
            states = [file_state(path) for path in self.paths]
            decoded = self._decode(max_faults)
            if len(decoded.images):
                self._write_records(states, decoded.digests)
                remove_old_entries(self.root)
            return decoded

    def _lock(self, stack: ExitStack) -> bool:
        """Hold the lock on decoding these files until `stack` is closed; return whether another process had it.

        The lock is one of the system, which ends with its process. Where there are no locks, nothing is locked.
        """
        lock = FileLock(self.lock_file)
        try:
            try:
                with warnings.catch_warnings(action="ignore"):  # that the system has no locks
                    lock.acquire(timeout=0)
                waited = False
            except Timeout:
                self.say(_("another process is decoding the same images; waiting for it"))
                lock.acquire()
                waited = True
        except OSError:
            return False

        def release() -> None:
            with suppress(OSError):  # Windows keeps a file that is open
                self.lock_file.unlink()
            lock.release()

        stack.callback(release)
        return waited

    def _read_cached(self, max_faults: int | None) -> DecodedImages | None:
        """The mapped images; None if they are not cached or the files have changed."""
        records, states = self._read_records(), [file_state(path) for path in self.paths]
        known = [records.get(name) for name in self.names]
        digests = [
            record.digest if record and record.state == state else ""
            for record, state in zip(known, states, strict=True)
        ]
        if any(digests):  # then it is worth hashing the others, which may have the same content as before
            changed = [i for i, digest in enumerate(digests) if not digest]
            for i, digest in zip(changed, ordered_map(_hash_file, [self.paths[i] for i in changed]), strict=True):
                digests[i] = digest
            cached = self._find(digests)
            if cached and (max_faults is None or len(cached.faults) < max_faults):
                if changed:
                    self._write_records(states, digests)
                else:
                    with suppress(OSError):  # a cache that can only be read
                        os.utime(self.records_file)
                return cached
        return None

    def _header(self, fault_count: int) -> bytes:
        """The .npy header for all images but `fault_count`; its length does not depend on the number."""
        header, image_shape = io.BytesIO(), (self.shape[0] - fault_count, *self.shape[1:])
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": image_shape})
        return header.getvalue()

    def _key(self, digests: list[str]) -> str:
        settings = self.preprocess
        parts = [settings.channels, settings.side, settings.fit, settings.background]
        return _hash_text(dump([DECODER_VERSION, *parts, digests]))

    def _find(self, digests: list[str]) -> DecodedImages | None:
        """The cached images of files with these digests; None if there are none or they are damaged."""
        array, info = (self.root / f"{self._key(digests)}{suffix}" for suffix in (".npy", ".json"))
        try:
            facts = json.loads(info.read_text())
            faults = {int(index): _fault(self.paths[int(index)], *fault) for index, fault in facts["faults"].items()}
            size = self.bytes - len(faults) * math.prod(self.shape[1:])
            valid = array.stat().st_size == size and _checksum(array) == facts["checksum"]
            non_square_count = int(facts["oblong"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            valid, non_square_count, faults = False, 0, {}
        if not valid:
            self.say(_("{file} is damaged; the images are decoded again", file=array))
            return None
        with suppress(OSError):  # a cache that can only be read
            os.utime(info)
        return DecodedImages(self._map(array, len(faults)), digests, non_square_count, faults)

    def _decode(self, max_faults: int | None) -> DecodedImages:
        """Decode the files into a new cache entry, which gets its name when it is complete."""
        if self.bytes > shutil.disk_usage(self.root).free // 2:
            needed = byte_count(self.bytes)
            raise OSError(_("they need {size}, more than half of the free disk space", size=needed))
        with temporary_file(self.root / "decoded.npy") as part:
            with part.open("wb") as file:
                file.write(self._header(0))
                digests, non_square_count, faults = _decode(
                    self.paths, self.preprocess, lambda image: file.write(image.data), max_faults, self.say
                )
                file.seek(0)
                file.write(self._header(len(faults)))
            if len(faults) in {max_faults, len(self.paths)}:
                return DecodedImages(np.empty((0, *self.shape[1:]), np.uint8), digests, non_square_count, faults)
            array = self.root / f"{self._key(digests)}.npy"
            messages = {index: (error.what, error.why) for index, error in faults.items()}
            info = {"checksum": _checksum(part), "oblong": non_square_count, "faults": messages}
            images = self._map(part, len(faults))
            move_into_place(part, array)
            _write_json(array.with_suffix(".json"), info)
            return DecodedImages(images, digests, non_square_count, faults)

    def _map(self, array: Path, fault_count: int) -> Images:
        """The file as a private, writable mapping: torch accepts it without a warning, changes stay in this process."""
        start, (count, *image_shape) = len(self._header(0)), self.shape
        size = start + (count - fault_count) * math.prod(image_shape)
        with array.open("rb") as file:
            if sys.platform == "linux":  # otherwise the system would reserve memory for changes to all of it
                no_reserve = 0x4000  # MAP_NORESERVE, named by Python from 3.13 on
                mapped = mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE | no_reserve, mmap.PROT_READ | mmap.PROT_WRITE)
            else:
                mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
        return np.frombuffer(mapped, np.uint8, offset=start).reshape(count - fault_count, *image_shape)

    def _read_records(self) -> dict[str, _FileRecord]:
        """The files of this folder when they were last read; empty if unknown."""
        try:
            rows = json.loads(self.records_file.read_text())["files"]
            return {
                name: _FileRecord((size, modified, changed), digest)
                for name, (size, modified, changed, digest) in rows.items()
            }
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _write_records(self, states: list[tuple[int, int, int] | None], digests: list[str]) -> None:
        newest = (time.time() - FRESH_SECONDS) * 1e9
        rows = {
            name: [*state, digest]
            for name, state, digest in zip(self.names, states, digests, strict=True)
            if state and max(state[1:]) < newest
        }
        _write_json(self.records_file, {"files": rows})


def remove_old_entries(root: Path) -> None:
    """Remove what was not used for longest: decoded images, and facts about files; and stale temporary files.

    Of each kind, the entry that was used last stays, however large it is.
    """
    now = time.time()
    # part-* were written by version 0.1
    for part in (*root.glob(".*.part*"), *root.glob("part-*"), *root.glob("[!.]*.lock")):
        with suppress(OSError):
            if now - part.stat().st_mtime > _STALE_SECONDS:
                part.unlink()
    _remove_oldest([(array.with_suffix(".json"), array) for array in root.glob("[!.]*.npy")], MAX_CACHE_BYTES)
    facts = (*root.glob("[!.]*.files.json"), *root.glob(f"[!.]*{SURVEY_SUFFIX}"))
    _remove_oldest([(file,) for file in facts], MAX_FACTS_BYTES)


def _remove_oldest(entries: Iterable[tuple[Path, ...]], limit: int) -> None:
    """Remove entries down to `limit` bytes; the time of the first existing file of each says when it was used."""
    known = []
    for files in entries:
        with suppress(OSError):  # another process may remove it at the same time
            states = [file.stat() for file in files if file.exists()]
            known.append((states[0].st_mtime, sum(state.st_size for state in states), files))
    total = 0
    for number, (_used, size, files) in enumerate(sorted(known, key=lambda entry: -entry[0])):
        total += size
        if number and total > limit:
            for file in files:
                with suppress(OSError):
                    file.unlink(missing_ok=True)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    """Replace a JSON file. Unlike `files.write_json` it may raise OSError, which the cache handles."""
    with temporary_file(path) as part:
        part.write_text(dump(values))
        move_into_place(part, path)


def _decode(
    paths: Sequence[Path],
    preprocess: Preprocess,
    keep: Callable[[Images], object],
    max_faults: int | None,
    say: Say,
) -> tuple[list[str], int, dict[int, DataError]]:
    """Decode files on all cores and pass each image to `keep`, in order.

    Returns:
        The files' SHA-256, how many images were not square, and the errors by file index.
    """
    if len(paths) >= ANNOUNCED_COUNT:
        say(plural("reading {n} image", "reading {n:,} images", len(paths)))

    def work(path: Path) -> tuple[Images | DataError, str, bool]:
        digest = ""
        try:
            data = read_bytes(path)
            digest = hashlib.sha256(data).hexdigest()
            image, square = fit_bytes(data, path, preprocess)
            return np.ascontiguousarray(image), digest, square
        except DataError as error:
            return error, digest, True

    digests: list[str] = []
    faults: dict[int, DataError] = {}
    non_square_count = 0
    for index, (result, digest, square) in enumerate(ordered_map(work, paths)):
        digests.append(digest)
        non_square_count += not square
        if isinstance(result, DataError):
            faults[index] = result
            if len(faults) == max_faults:
                break
        else:
            keep(result)
    return digests, non_square_count, faults


def _fault(path: Path, what: str, why: str) -> DataError:
    """The error of a file when it was last read."""
    return DataError("CN304", what, where=str(path), why=why)


def file_state(path: Path) -> tuple[int, int, int] | None:
    """Return size in bytes and times in nanoseconds of a file; None if it does not exist."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _hash_file(path: Path) -> str:
    """The SHA-256 of a file; "" if it cannot be read."""
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except DataError:
        return ""


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _hash_text(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:32]
