"""A folder of images, or a CSV that lists them, as a data set: described and loaded."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from classicnets import text
from classicnets.datasets.types import Description, ImageFile, ImageSplits, Split
from classicnets.errors import DataError
from classicnets.images.cache import read_all
from classicnets.images.decode import read_header
from classicnets.images.layout import read_layout
from classicnets.images.names import composed, encoded
from classicnets.images.splits import Layout, check_hint
from classicnets.values import Preprocess
from classicnets.workers import ordered_map

_FAULTS = 5  # unreadable files that an error names
_MADE_SQUARE = {
    "stretch": "are stretched to a square",
    "crop": "lose what is outside their middle square",
    "letterbox": "get black borders",
}

File = tuple[str, str, Path]  # split, class and path, as `Layout.files` yields them


def describe(given: Path, on_bad_image: str = "fail") -> Description:
    """Name, classes, image shape and counts, from the headers of all files: gray only if every one is, and with the
    size (channels, 0, 0) if they have no square size in common.

    Raises DataError CN304 if files are no images and are not to be left out, CN307 if all is no data set.
    """
    layout = read_layout(given)
    layout.check()
    files = list(layout.files())
    headers: dict[int, tuple[int, int, int]] = {}
    bad: dict[int, DataError] = {}
    for index, result in enumerate(ordered_map(_header, _paths(files))):
        if isinstance(result, DataError):
            bad[index] = result
        else:
            headers[index] = result
        if on_bad_image == "fail" and len(bad) == _FAULTS:
            break
    _left_out(layout, files, bad, on_bad_image)
    channels = max(channels for channels, _, _ in headers.values())
    sizes = {(height, width) for _, height, width in headers.values()}
    height, width = next(iter(sizes))
    words = ""
    if len(sizes) > 1 or height != width:
        words = f"have different sizes, {_range(sizes)}" if len(sizes) > 1 else f"are not square ({_range(sizes)})"
        height = width = 0
    count = Counter(files[index][0] for index in headers)
    return Description(
        layout.name,
        layout.classes,
        (channels, height, width),
        words,
        train=count["train"],
        test=count["test"],
        validation=count["validation"],
        decoded=True,
    )


def load(
    given: Path, preprocess: Preprocess | None, say: Callable[[str], None], on_bad_image: str = "fail"
) -> ImageSplits:
    """All images, decoded to the channels of `preprocess` and brought to its `side` as its `fit` says.

    Without a `preprocess`, they stay as they are. Images that cannot be read end it, unless `on_bad_image` is "skip".
    `say` tells what was decided. Raises UsageError CN204 if they then differ in size, DataError CN304 if images
    cannot be read (up to five are named) or with them a whole class, CN307 if all is no data set or too large for the
    memory.
    """
    layout = read_layout(given)
    layout.check()
    if preprocess is None:
        own = describe(given, on_bad_image)
        preprocess = Preprocess(channels=own.shape[0], image_size=own.own_size())
    files = list(layout.files())
    for note in (*layout.notes, *layout.file_notes):
        say(f"{layout.name}: {note}")
    most = _FAULTS if on_bad_image == "fail" else None
    read = read_all(_paths(files), preprocess, lambda line: say(f"{layout.name}: {line}"), most_faults=most)
    bad = _left_out(layout, files, read.faults, on_bad_image)
    if bad:
        first = next(iter(bad))
        say(
            f"{layout.name}: {len(bad):,} of {len(files):,} images cannot be read and are left out, such as"
            f" {layout.shown(files[first][2])}: {_why(bad[first])}"
        )
    good = [index for index in range(len(files)) if index not in bad]
    if read.oblong:
        done = _MADE_SQUARE[preprocess.fit]
        say(f"{layout.name}: {read.oblong:,} of {len(good):,} images are not square and {done} (fit={preprocess.fit})")
    whole = [files[index] for index in good]
    digests = [read.digests[index] for index in good]
    known = {digest for (split, _, _), digest in zip(whole, digests, strict=True) if split == "train"}
    label = {name: i for i, name in enumerate(layout.classes)}
    splits = {}
    start = 0
    for split in ("train", "validation", "test"):
        names = [name for its, name, _ in whole if its == split]
        end = start + len(names)
        splits[split] = Split(read.images[start:end], np.array([label[name] for name in names], dtype=np.int64))
        if split != "train" and (twice := sum(digest in known for digest in digests[start:end])):
            say(f"{layout.name}: {twice:,} of the {len(names):,} {split} images are in the train split as well")
        start = end
    return ImageSplits(
        layout.name,
        layout.classes,
        splits["train"],
        splits["test"],
        _fingerprint(whole, digests),
        f"{'folder' if given.is_dir() else 'CSV'} {given}",
        splits["validation"] if len(splits["validation"]) else None,
        tuple(
            ImageFile(layout.shown(path), name, "skipped", _why(bad[index]))
            if index in bad
            else ImageFile(layout.shown(path), name, split)
            for index, (split, name, path) in enumerate(files)
        ),
    )


def _header(path: Path) -> tuple[int, int, int] | DataError:
    """Channels, height and width of an image file, or why they cannot be read."""
    try:
        return read_header(path)
    except DataError as error:
        return error


def _left_out(layout: Layout, files: list[File], bad: dict[int, DataError], on_bad_image: str) -> dict[int, DataError]:
    """What is wrong with files, by their index, if they are left out.

    Raises DataError CN304 that names up to five of them otherwise, or a class that loses all its images in a split.
    """
    if on_bad_image == "fail" and bad:
        raise _unreadable(layout, [(files[index][2], error) for index, error in bad.items()])
    left = {file[:2] for index, file in enumerate(files) if index not in bad}
    lost = [(files[index], error) for index, error in bad.items() if files[index][:2] not in left]
    if lost:
        (split, name, path), error = lost[0]
        raise DataError(
            "CN304",
            f"no image of {name} can be read in the {split} split",
            where=f"{path}{layout.line(path)}",
            why=_why(error),
            hint=check_hint(layout.given),
        )
    return bad


def _unreadable(layout: Layout, bad: list[tuple[Path, DataError]]) -> DataError:
    """The error that names them; as many as are told at once may be not all of them."""
    lines = [(f"{path}{layout.line(path)}", _why(error)) for path, error in bad]
    what, (where, why) = "an image cannot be read", lines[0]
    if len(bad) > 1:
        what = f"{len(bad)}{' or more' * (len(bad) == _FAULTS)} images cannot be read"
        where, why = str(layout.given.absolute()), "\n".join(": ".join(line) for line in lines)
    without = "--on-bad-image skip   # trains without them"
    return DataError("CN304", what, where=where, why=why, hint=(check_hint(layout.given), without))


def _range(sizes: set[tuple[int, int]]) -> str:
    """(height, width) pairs as WIDTHxHEIGHT: the one, or the smallest and the largest."""
    ordered = [text.shape(size[::-1]) for size in sorted(sizes, key=lambda size: (math.prod(size), size))]
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def _why(error: DataError) -> str:
    return error.why or error.what


def _paths(files: list[File]) -> list[Path]:
    return [path for _, _, path in files]


def _fingerprint(files: list[File], digests: list[str]) -> str:
    """16 hex digits for the bytes of all images, their names, classes and splits."""
    rows = sorted(
        (split, name, composed(path.name), digest) for (split, name, path), digest in zip(files, digests, strict=True)
    )
    return hashlib.sha256(encoded("\n".join("/".join(row) for row in rows))).hexdigest()[:16]
