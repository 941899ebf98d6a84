"""A folder of pictures as a data set: described, loaded, checked. The names of its folders are the classes."""

from __future__ import annotations

import hashlib
import math
import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from classicnets.data.cache import read_all
from classicnets.data.pictures import read_header, read_picture
from classicnets.data.scan import Scan, composed, encoded, scan
from classicnets.data.values import Description, FileReport, Pictures, Split
from classicnets.errors import DataError
from classicnets.values import Preprocess

_FAULTS = 5  # so many are told at once
_SLICE = 512  # pictures between two looks at how many could not be read
_MADE_SQUARE = {
    "stretch": "are stretched to a square",
    "crop": "lose what is outside their middle square",
    "letterbox": "get black borders",
}

T = TypeVar("T")


def describe(folder: Path) -> Description:
    """Name, classes, picture shape and counts, from the headers of all files: grey only if every one is, and with the
    size (channels, 0, 0) if they have no square size in common.

    Raises DataError CN304 if files are no pictures, CN307 if the folder is no data set.
    """
    found = _sound(scan(folder))
    headers = _whole(found, _each(lambda _, path: read_header(path), [path for _, _, path in found.files()]))
    channels = max(channels for channels, _, _ in headers)
    sizes = {(height, width) for _, height, width in headers}
    height, width = next(iter(sizes))
    words = ""
    if len(sizes) > 1 or height != width:
        words = f"have different sizes, {_range(sizes)}" if len(sizes) > 1 else f"are not square ({_range(sizes)})"
        height = width = 0
    train, test = (sum(map(len, classes.values())) for classes in (found.train, found.test))
    return Description(
        found.name, found.classes, (channels, height, width), words, train=train, test=test, decoded=True
    )


def load(folder: Path, preprocess: Preprocess | None, say: Callable[[str], None]) -> Pictures:
    """All pictures, decoded to the channels of `preprocess` and brought to its `side` as its `fit` says.

    Without a `preprocess`, they stay as they are. `say` tells what was decided. Raises UsageError CN204 if they then
    differ in size, DataError CN304 if pictures cannot be read (up to five are named), CN307 if the folder is no data
    set or too large for the memory.
    """
    found = _sound(scan(folder))
    if preprocess is None:
        own = describe(folder)
        preprocess = Preprocess(channels=own.shape[0], image_size=own.own_size())
    files = list(found.files())
    for note in found.notes:
        say(f"{found.name}: {note}")
    read = read_all([path for _, _, path in files], preprocess, lambda line: say(f"{found.name}: {line}"))
    _whole(found, read.faults)
    if read.oblong:
        done = _MADE_SQUARE[preprocess.fit]
        say(
            f"{found.name}: {read.oblong:,} of {len(files):,} pictures are not square and {done} (fit={preprocess.fit})"
        )
    images, digests = read.images, read.digests
    label = {name: i for i, name in enumerate(found.classes)}
    labels = np.array([label[name] for _, name, _ in files], dtype=np.int64)
    n = sum(split == "train" for split, _, _ in files)
    known = set(digests[:n])
    if twice := sum(digest in known for digest in digests[n:]):
        say(f"{found.name}: {twice:,} of the {len(files) - n:,} test pictures are in the train split as well")
    return Pictures(
        found.name,
        found.classes,
        Split(images[:n], labels[:n]),
        Split(images[n:], labels[n:]),
        _fingerprint(files, digests),
        f"folder {folder}",
    )


def check(folder: Path) -> list[FileReport]:
    """One report per class of each split, one per picture that cannot be read, one per other fault, and the notes.

    Raises DataError CN307 if `folder` has no class folders.
    """
    found = scan(folder)
    files = list(found.files())
    shapes = _each(lambda _, path: _size(read_picture(path, 1)), [path for _, _, path in files])
    good: dict[str, list[tuple[int, int]]] = {}
    damaged: dict[str, list[FileReport]] = {}
    for (split, name, path), shape in zip(files, shapes, strict=True):
        place = f"{split}/{name}"
        if isinstance(shape, DataError):
            damaged.setdefault(place, []).append(FileReport(str(path.relative_to(folder)), "wrong", _why(shape)))
        else:
            good.setdefault(place, []).append(shape)
    reports = []
    for place in dict.fromkeys(f"{split}/{name}" for split, name, _ in files):
        sizes = good.get(place, [])
        counted = f"{len(sizes):,} picture{'s' * (len(sizes) != 1)}" + (f", {_range(set(sizes))}" if sizes else "")
        reports += [FileReport(place, "ok" if sizes else "wrong", counted), *damaged.get(place, [])]
    reports += [FileReport(place, "wrong", fault) for place, fault in found.faults]
    return reports + [FileReport(found.name, "ok", note) for note in found.notes]


def _sound(found: Scan) -> Scan:
    """`found` itself; raises DataError CN307 with the faults if it has any."""
    if not found.faults:
        return found
    lines = [f"{place}: {fault}" for place, fault in found.faults[:_FAULTS]]
    if len(found.faults) > _FAULTS:
        lines.append(f"and {len(found.faults) - _FAULTS} more")
    raise DataError(
        "CN307",
        "the folder of pictures is no sound data set",
        where=str(found.folder.absolute()),
        why="\n".join(lines),
        hint=_check_hint(found.folder),
    )


def _each(work: Callable[[int, Path], T], paths: list[Path]) -> Iterator[T | DataError]:
    """`work(index, path)` of each picture file, or the DataError it ended in, in the order of `paths`."""

    def attempt(index: int) -> T | DataError:
        try:
            return work(index, paths[index])
        except DataError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), _SLICE):
            yield from pool.map(attempt, range(start, min(start + _SLICE, len(paths))))


def _whole(found: Scan, results: Iterable[T | DataError]) -> list[T]:
    """The results, if no picture failed. Raises DataError CN304 that names up to five of those that did."""
    good: list[T] = []
    bad: list[DataError] = []
    for result in results:
        if isinstance(result, DataError):
            bad.append(result)
        else:
            good.append(result)
        if len(bad) == _FAULTS:
            break
    if not bad:
        return good
    if len(bad) == 1:
        what, where, why = "a picture cannot be read", bad[0].where, _why(bad[0])
    else:
        what = f"{len(bad)}{' or more' * (len(bad) == _FAULTS)} pictures cannot be read"
        where, why = str(found.folder.absolute()), "\n".join(f"{error.where}: {_why(error)}" for error in bad)
    raise DataError("CN304", what, where=where, why=why, hint=_check_hint(found.folder))


def _range(sizes: set[tuple[int, int]]) -> str:
    """(height, width) pairs as WIDTHxHEIGHT: the one, or the smallest and the largest."""
    ordered = [f"{width}x{height}" for height, width in sorted(sizes, key=lambda size: (math.prod(size), size))]
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def _size(picture: np.ndarray) -> tuple[int, int]:
    _, height, width = picture.shape
    return height, width


def _why(error: DataError) -> str:
    return error.why or error.what


def _check_hint(folder: Path) -> str:
    return f"classicnets data check {shlex.quote(str(folder))}   # lists them all"


def _fingerprint(files: list[tuple[str, str, Path]], digests: list[str]) -> str:
    """16 hex digits for the bytes of all pictures, their names, classes and splits."""
    rows = sorted(
        (split, name, composed(path.name), digest) for (split, name, path), digest in zip(files, digests, strict=True)
    )
    return hashlib.sha256(encoded("\n".join("/".join(row) for row in rows))).hexdigest()[:16]
