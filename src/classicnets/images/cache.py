"""Decoded images, kept in one file that is mapped into memory: what has been decoded once is not decoded again.

cache_root()/pictures/KEY.npy holds uint8 [N, C, S, S] as `read_fitted` gives them; KEY is made of the contents of the
image files, in their order, and of the settings. KEY.json beside it tells the file's checksum, PLACE.files.json what
the contents of the files in a folder were when they were last read: size, times and SHA-256.
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
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classicnets import machine, text
from classicnets.datasets.sources import Say, cache_root
from classicnets.errors import DataError, UsageError
from classicnets.files import move_into_place, temporary_file
from classicnets.images.decode import DECODER, fit_bytes, read_bytes
from classicnets.values import Preprocess
from classicnets.workers import ordered_map

PLACES = ("auto", "disk", "memory")  # what CLASSICNETS_PICTURES may be
SMALL_BYTES = 4 * 2**20  # so much is decoded in half a second; "auto" keeps it in memory alone
KEPT_BYTES = 20 * 10**9  # of all that is kept; beyond it what was used longest ago goes

_FRESH_SECONDS = 2.0  # a file as new as this may change again without its times telling
_STALE_SECONDS = 86400.0  # a file that was begun so long ago will not be finished
_CHUNK_BYTES = 2**22
_MANY = 1000  # images from which on reading takes long enough to be announced

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Read:
    """Images uint8 [N, C, side, side] of the files that could be read, the SHA-256 of every file, how many images
    were not square, and what is wrong with the other files, by their index.
    """

    images: Images
    digests: list[str]
    oblong: int
    faults: dict[int, DataError]


@dataclass(frozen=True)
class _Seen:
    """A file's size and times, and the SHA-256 of its content."""

    state: tuple[int, int, int]
    digest: str


def read_all(paths: Sequence[Path], preprocess: Preprocess, say: Say, *, most_faults: int | None = None) -> Read:
    """All images as `read_fitted` gives them, from what was kept where the files are still the same.

    CLASSICNETS_PICTURES says where they are kept: "disk" (mapped from the cache, so that they need no memory of their
    own), "memory" (decoded every time), or "auto": on disk unless they are few. At `most_faults` reading stops, and
    there are no images then.
    Raises DataError CN307 if they are to be kept in memory and need more than half of it, UsageError CN204 if
    CLASSICNETS_PICTURES is something else.
    """
    shape = (len(paths), preprocess.channels, preprocess.side, preprocess.side)
    place = os.environ.get("CLASSICNETS_PICTURES") or "auto"
    if place not in PLACES:
        raise UsageError(
            "CN204",
            f"CLASSICNETS_PICTURES is {place!r}",
            where="the environment",
            why=f"it says where decoded images are kept: {', '.join(PLACES)}",
            hint="unset CLASSICNETS_PICTURES",
        )
    if place == "disk" or (place == "auto" and math.prod(shape) >= SMALL_BYTES):
        root = cache_root() / "pictures"
        try:
            root.mkdir(parents=True, exist_ok=True)
            return _Kept(root, paths, preprocess, shape, say).read(most_faults)
        except OSError as error:
            say(f"decoded images cannot be kept in {root} ({error.strerror or error}); they stay in memory")
    refuse_too_large(paths[0].parent, shape, "resize" if preprocess.resize else "image_size")
    images = np.empty(shape, np.uint8)
    places = itertools.count()

    def keep(image: Images) -> None:
        images[next(places)] = image

    digests, oblong, faults = _decode(paths, preprocess, keep, most_faults, say)
    return Read(images[: len(paths) - len(faults)], digests, oblong, faults)


def refuse_too_large(folder: Path, shape: tuple[int, int, int, int], setting: str) -> None:
    """Raises DataError CN307 if an array uint8 of that shape takes more than half of the machine's memory."""
    memory = machine.total_memory_bytes()
    count, channels, *_ = shape
    if memory is None or math.prod(shape) <= memory // 2:
        return
    raise DataError(
        "CN307",
        f"{count:,} images of {text.shape(shape[1:])} need more than half of this machine's memory",
        where=str(folder.absolute()),
        why=f"{text.byte_count(math.prod(shape))} of {text.byte_count(memory)}; all images are kept in memory",
        hint=f"--set {setting}={max(1, math.isqrt(memory // 2 // (count * channels)))}",
    )


class _Kept:
    """The kept images of some files; every method may raise OSError."""

    def __init__(
        self, root: Path, paths: Sequence[Path], preprocess: Preprocess, shape: tuple[int, int, int, int], say: Say
    ):
        self.root, self.paths, self.preprocess, self.shape, self.say = root, paths, preprocess, shape, say
        self.bytes = len(self._header(0)) + math.prod(shape)
        self.names = [str(path.absolute()) for path in paths]
        common = ""
        with suppress(ValueError):  # files on several drives have nothing in common
            common = os.path.commonpath({str(Path(name).parent) for name in self.names})
        self.names = [name[len(common) :] for name in self.names]
        self.listing = root / f"{_digest(common)}.files.json"

    def read(self, most_faults: int | None) -> Read:
        """The images, mapped; decoded first where they were not kept or the files have changed."""
        before, now = self._listed(), [_state(path) for path in self.paths]
        seen = [before.get(name) for name in self.names]
        digests = [old.digest if old and old.state == state else "" for old, state in zip(seen, now, strict=True)]
        if any(digests):  # then it pays to find out whether the others are what they were
            changed = [i for i, digest in enumerate(digests) if not digest]
            for i, digest in zip(changed, ordered_map(_hash, [self.paths[i] for i in changed]), strict=True):
                digests[i] = digest
            if (found := self._find(digests)) and (most_faults is None or len(found.faults) < most_faults):
                if changed:
                    self._list(now, digests)
                return found
        done = self._make(most_faults)
        if len(done.images):
            self._list(now, done.digests)
            self._tidy()
        return done

    def _header(self, faults: int) -> bytes:
        """How an .npy file of all but so many of the images begins; of one length whatever their number."""
        header, shape = io.BytesIO(), (self.shape[0] - faults, *self.shape[1:])
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        return header.getvalue()

    def _key(self, digests: list[str]) -> str:
        what = self.preprocess
        return _digest(json.dumps([DECODER, what.channels, what.side, what.fit, digests]))

    def _find(self, digests: list[str]) -> Read | None:
        """The images of that content, if they are kept whole."""
        array, about = (self.root / f"{self._key(digests)}{end}" for end in (".npy", ".json"))
        try:
            facts = json.loads(about.read_text())
            faults = {int(index): _fault(self.paths[int(index)], *told) for index, told in facts["faults"].items()}
            size = self.bytes - len(faults) * math.prod(self.shape[1:])
            whole = array.stat().st_size == size and _checksum(array) == facts["checksum"]
            oblong = int(facts["oblong"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            whole, oblong, faults = False, 0, {}
        if not whole:
            self.say(f"{array} is damaged; the images are decoded again")
            return None
        os.utime(about)
        return Read(self._mapped(array, len(faults)), digests, oblong, faults)

    def _make(self, most_faults: int | None) -> Read:
        """Decodes into a file that gets its name when it is whole."""
        free = shutil.disk_usage(self.root).free
        if self.bytes > free // 2:
            raise OSError(f"{text.byte_count(self.bytes)} are needed, and more than half of the free disk is not taken")
        with temporary_file(self.root / "decoded.npy") as part:
            with part.open("wb") as file:
                file.write(self._header(0))
                digests, oblong, faults = _decode(
                    self.paths, self.preprocess, lambda image: file.write(image.data), most_faults, self.say
                )
                file.seek(0)
                file.write(self._header(len(faults)))
            if len(faults) in {most_faults, len(self.paths)}:
                return Read(np.empty((0, *self.shape[1:]), np.uint8), digests, oblong, faults)
            array = self.root / f"{self._key(digests)}.npy"
            told = {index: (error.what, error.why) for index, error in faults.items()}
            about = {"checksum": _checksum(part), "oblong": oblong, "faults": told}
            images = self._mapped(part, len(faults))
            move_into_place(part, array)
            self._write(array.with_suffix(".json"), about)
            return Read(images, digests, oblong, faults)

    def _mapped(self, array: Path, faults: int) -> Images:
        """The file as an array whose changes stay in this process, so that torch takes it for writable."""
        start, (count, *each) = len(self._header(0)), self.shape
        size = start + (count - faults) * math.prod(each)
        with array.open("rb") as file:
            if sys.platform == "linux":  # else the system would want memory for all of it, in case all is changed
                no_reserve = 0x4000  # MAP_NORESERVE, which Python names from 3.13 on
                mapped = mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE | no_reserve, mmap.PROT_READ | mmap.PROT_WRITE)
            else:
                mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
        return np.frombuffer(mapped, np.uint8, offset=start).reshape(count - faults, *each)

    def _listed(self) -> dict[str, _Seen]:
        """What the files of this folder were when they were last read; nothing if that is not known."""
        try:
            rows = json.loads(self.listing.read_text())["files"]
            return {name: _Seen((size, written, changed), sha) for name, (size, written, changed, sha) in rows.items()}
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _list(self, states: list[tuple[int, int, int] | None], digests: list[str]) -> None:
        old = (time.time() - _FRESH_SECONDS) * 1e9
        rows = {
            name: [*state, digest]
            for name, state, digest in zip(self.names, states, digests, strict=True)
            if state and max(state[1:]) < old
        }
        self._write(self.listing, {"files": rows})

    def _write(self, path: Path, values: dict[str, Any]) -> None:
        """JSON, in place of the old one."""
        with temporary_file(path) as part:
            part.write_text(json.dumps(values))
            move_into_place(part, path)

    def _tidy(self) -> None:
        """Removes what was used longest ago until the rest is within KEPT_BYTES, and what was never finished."""
        now = time.time()
        for part in (*self.root.glob(".*.part*"), *self.root.glob("part-*")):  # part-* are those of version 0.1
            with suppress(OSError):
                if now - part.stat().st_mtime > _STALE_SECONDS:
                    part.unlink()
        entries = []
        for array in self.root.glob("[!.]*.npy"):
            about = array.with_suffix(".json")
            with suppress(OSError):  # another process tidies as well
                used = (about if about.exists() else array).stat().st_mtime
                entries.append((used, array.stat().st_size, array, about))
        total = 0
        for _, size, array, about in sorted(entries, key=lambda entry: -entry[0]):
            total += size
            if total > max(KEPT_BYTES, self.bytes):
                with suppress(OSError):
                    about.unlink(missing_ok=True)
                    array.unlink(missing_ok=True)


def _decode(
    paths: Sequence[Path],
    preprocess: Preprocess,
    keep: Callable[[Images], object],
    most_faults: int | None,
    say: Say,
) -> tuple[list[str], int, dict[int, DataError]]:
    """Decodes the files by as many threads as there are cores, and hands each image to `keep` in its turn.

    Gives the files' SHA-256, how many images were not square, and what is wrong with files.
    """
    if len(paths) >= _MANY:
        say(f"reading {len(paths):,} images")

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
    oblong = 0
    for index, (result, digest, square) in enumerate(ordered_map(work, paths)):
        digests.append(digest)
        oblong += not square
        if isinstance(result, DataError):
            faults[index] = result
            if len(faults) == most_faults:
                break
        else:
            keep(result)
    return digests, oblong, faults


def _fault(path: Path, what: str, why: str) -> DataError:
    """What was wrong with a file when it was last read."""
    return DataError("CN304", what, where=str(path), why=why)


def _state(path: Path) -> tuple[int, int, int] | None:
    """Size and times of a file in bytes and nanoseconds; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _hash(path: Path) -> str:
    """The SHA-256 of a file; empty if it cannot be read."""
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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
