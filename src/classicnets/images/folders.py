"""Describes and loads a folder of images, or a CSV that lists images, as a data set."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from classicnets.datasets.types import Description, ImageFile, Images, ImageSplits, LazyImages, Split, subset
from classicnets.errors import DataError
from classicnets.images.automatic_split import Copies
from classicnets.images.cache import read_images
from classicnets.images.decode import Header, read_header
from classicnets.images.layout import read_layout
from classicnets.images.names import encode_name, normalize_name
from classicnets.images.splits import Layout, check_hint
from classicnets.text import _, plural, shape
from classicnets.values import Preprocess
from classicnets.workers import ordered_map

_MAX_FAULTS = 5  # unreadable files that an error names

File = tuple[str, str, Path]  # split, class and path, as `Layout.files` yields them
Log = Callable[[str], None]


def describe(path: Path, on_bad_image: str = "fail") -> Description:
    """Return the name, classes, image shape and counts of a folder or CSV, from the headers of all image files.

    The images are gray only if all of them are. Their size is (0, 0) if they have no square size in common.

    Raises:
        DataError: CN304 if images cannot be read and are not to be skipped, CN307 if the data set is not valid.
    """
    layout = read_layout(path)
    layout.check()
    files = list(layout.files())
    headers: dict[int, Header] = {}
    faults: dict[int, DataError] = {}
    for index, result in enumerate(ordered_map(_try_header, _paths(files))):
        if isinstance(result, DataError):
            faults[index] = result
        else:
            headers[index] = result
        if on_bad_image == "fail" and len(faults) == _MAX_FAULTS:
            break
    _check_faults(layout, files, faults, on_bad_image)
    channels = max(header.channels for header in headers.values())
    sizes = {(header.height, header.width) for header in headers.values()}
    height, width = next(iter(sizes))
    size_problem = _size_problem(sizes)
    if size_problem:
        height = width = 0
    count = Counter(files[index][0] for index in headers)
    return Description(
        layout.name,
        layout.classes,
        (channels, height, width),
        size_problem,
        train=count["train"],
        test=count["test"],
        validation=count["validation"],
        decoded=True,
        notes=tuple(_color_notes(layout, files, headers)),
        has_transparency=any(header.has_transparency for header in headers.values()),
    )


def _color_notes(layout: Layout, files: Sequence[File], headers: dict[int, Header]) -> list[str]:
    """A note if a minority of files, stored in color, decides that the network gets three channels."""
    colored = [files[index][2] for index, header in headers.items() if header.channels == 3]
    if not colored or 2 * len(colored) >= len(headers):
        return []
    return [
        plural(
            "{name}: {n} of {total:,} images is stored in color, so the network gets three channels: {path}",
            "{name}: {n:,} of {total:,} images are stored in color, so the network gets three channels, such as {path}",
            len(colored),
            name=layout.name,
            total=len(headers),
            path=layout.relative_path(colored[0]),
        )
    ]


def load(
    path: Path,
    preprocess: Preprocess | None,
    say: Log,
    on_bad_image: str = "fail",
    copies: Copies | None = (),
) -> ImageSplits:
    """Load all images of a folder or CSV, with the channels and size of `preprocess`.

    Args:
        path: The folder or CSV.
        preprocess: Channels, size and fit; None keeps the images' own size, which all must share.
        say: Called with each note.
        on_bad_image: "fail", or "skip" to leave out images that cannot be read.
        copies: Groups of images that stay on one side of an automatic split; None for the rule of version 0.1.

    Raises:
        UsageError: CN204 if there is no `preprocess` and the images differ in size.
        DataError: CN304 if images cannot be read (names up to five), or a whole class cannot; CN307 if the data set is
            not valid or too large for the memory.
    """
    layout = read_layout(path, copies)
    layout.check()

    def note(message: str) -> None:
        say(_("{name}: {note}", name=layout.name, note=message))

    if preprocess is None:
        description = describe(path, on_bad_image)
        preprocess = Preprocess(channels=description.shape[0], image_size=description.native_size())
    files = list(layout.files())
    for message in (*layout.notes, *layout.file_notes):
        note(message)
    max_faults = _MAX_FAULTS if on_bad_image == "fail" else None
    decoded = read_images(_paths(files), preprocess, note, max_faults=max_faults)
    _check_faults(layout, files, decoded.faults, on_bad_image)
    if decoded.faults:
        note(_skipped_note(layout, files, decoded.faults))
    good = [index for index in range(len(files)) if index not in decoded.faults]
    if decoded.non_square_count:
        note(_fit_note(decoded.non_square_count, len(good), preprocess.fit))
    good_files = [files[index] for index in good]
    digests = [decoded.digests[index] for index in good]
    sizes = [str(size) for size in ordered_map(_file_size, _paths(good_files))]
    is_lazy = isinstance(decoded.images, LazyImages)
    for message in () if is_lazy else _leak_notes(good_files, digests):
        note(message)
    size_fingerprint = _fingerprint(good_files, sizes)
    splits = _splits(layout.classes, good_files, decoded.images)
    return ImageSplits(
        layout.name,
        layout.classes,
        splits["train"],
        splits["test"],
        size_fingerprint if is_lazy else _fingerprint(good_files, digests),
        _("folder {path}", path=path) if path.is_dir() else _("CSV {path}", path=path),
        splits["validation"] if len(splits["validation"]) else None,
        tuple(
            ImageFile(layout.relative_path(image), label, "skipped", _reason(decoded.faults[index]))
            if index in decoded.faults
            else ImageFile(layout.relative_path(image), label, split, sha256=decoded.digests[index])
            for index, (split, label, image) in enumerate(files)
        ),
        _groups(layout, [image for split, _label, image in good_files if split == "train"], copies or ()),
        {**layout.left_out, "unreadable": len(decoded.faults)},
        size_fingerprint,
    )


def _groups(layout: Layout, images: Sequence[Path], copies: Copies) -> np.ndarray | None:
    """A number for each training image, the same for copies of one image; None if there are no copies."""
    number = {member: i for i, group in enumerate(copies) for member in group}
    if not number:
        return None
    return np.array([number.get(layout.key(path), len(number) + i) for i, path in enumerate(images)], np.int64)


def _file_size(path: Path) -> int:
    """The size of a file in bytes; 0 if it has disappeared."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _splits(classes: Sequence[str], files: Sequence[File], images: Images) -> dict[str, Split]:
    """The images, which are in the order of `files`, by split."""
    number = {name: i for i, name in enumerate(classes)}
    splits = {}
    start = 0
    for split in ("train", "validation", "test"):
        labels = np.array([number[label] for name, label, _path in files if name == split], dtype=np.int64)
        splits[split] = Split(subset(images, slice(start, start + len(labels))), labels)
        start += len(labels)
    return splits


def _leak_notes(files: Sequence[File], digests: Sequence[str]) -> list[str]:
    """Notes about validation and test images that are in the training split as well."""
    splits = [split for split, _label, _path in files]
    trained = {digest for split, digest in zip(splits, digests, strict=True) if split == "train"}
    notes = []
    for name in ("validation", "test"):
        own = [digest for split, digest in zip(splits, digests, strict=True) if split == name]
        count, total = sum(digest in trained for digest in own), len(own)
        if not count:
            continue
        if name == "test":
            message = plural(
                "{n} of the {total:,} test images is also in the training split",
                "{n:,} of the {total:,} test images are also in the training split",
                count,
                total=total,
            )
        else:
            message = plural(
                "{n} of the {total:,} validation images is also in the training split",
                "{n:,} of the {total:,} validation images are also in the training split",
                count,
                total=total,
            )
        notes.append(message)
    return notes


def _skipped_note(layout: Layout, files: Sequence[File], faults: dict[int, DataError]) -> str:
    index, error = next(iter(faults.items()))
    return plural(
        "{n} of {total:,} images cannot be read and is skipped: {path} ({reason})",
        "{n:,} of {total:,} images cannot be read and are skipped, such as {path} ({reason})",
        len(faults),
        total=len(files),
        path=layout.relative_path(files[index][2]),
        reason=_reason(error),
    )


def _fit_note(count: int, total: int, fit: str) -> str:
    """How images that are not square are made square."""
    counts = {"total": total, "fit": fit}
    if fit == "stretch":
        return plural(
            "{n} of {total:,} images is not square and is stretched to a square (fit={fit})",
            "{n:,} of {total:,} images are not square and are stretched to a square (fit={fit})",
            count,
            **counts,
        )
    if fit == "crop":
        return plural(
            "{n} of {total:,} images is not square and is cropped to its central square (fit={fit})",
            "{n:,} of {total:,} images are not square and are cropped to their central squares (fit={fit})",
            count,
            **counts,
        )
    return plural(
        "{n} of {total:,} images is not square and is padded with black to a square (fit={fit})",
        "{n:,} of {total:,} images are not square and are padded with black to a square (fit={fit})",
        count,
        **counts,
    )


def _size_problem(sizes: set[tuple[int, int]]) -> str:
    """Why images of these (height, width) have no square size in common; "" if they have one."""
    by_area = [shape(size[::-1]) for size in sorted(sizes, key=lambda size: (math.prod(size), size))]
    if len(by_area) > 1:
        return _("have different sizes, {smallest} to {largest}", smallest=by_area[0], largest=by_area[-1])
    height, width = next(iter(sizes))
    return "" if height == width else _("are not square ({size})", size=by_area[0])


def _try_header(path: Path) -> Header | DataError:
    """The header of an image file, or the error."""
    try:
        return read_header(path)
    except DataError as error:
        return error


def _check_faults(layout: Layout, files: list[File], faults: dict[int, DataError], on_bad_image: str) -> None:
    """Raise DataError CN304 for unreadable files, by their index.

    With `on_bad_image` "skip", raises it only if a class loses all its images in a split.
    """
    if on_bad_image == "fail" and faults:
        raise _unreadable(layout, [(files[index][2], error) for index, error in faults.items()])
    remaining = {file[:2] for index, file in enumerate(files) if index not in faults}
    for index, error in faults.items():
        split, name, path = files[index]
        if (split, name) not in remaining:
            raise DataError(
                "CN304",
                _("no image of {name} can be read in the {split} split", name=name, split=split),
                where=layout.location(path),
                why=_reason(error),
                hint=check_hint(layout.path),
            )


def _unreadable(layout: Layout, faults: list[tuple[Path, DataError]]) -> DataError:
    """The error that names unreadable images; at the limit there may be more of them."""
    rows = [(layout.location(path), _reason(error)) for path, error in faults]
    lines = [_("{file}: {reason}", file=file, reason=reason) for file, reason in rows]
    where, why = str(layout.path.absolute()), "\n".join(lines)
    if len(faults) == 1:
        what, (where, why) = _("an image cannot be read"), rows[0]
    elif len(faults) == _MAX_FAULTS:
        what = _("{n} or more images cannot be read", n=len(faults))
    else:
        what = _("{n} images cannot be read", n=len(faults))
    skip = _("{option}   # trains without them", option="--on-bad-image skip")
    return DataError("CN304", what, where=where, why=why, hint=(check_hint(layout.path), skip))


def _reason(error: DataError) -> str:
    return error.why or error.what


def _paths(files: list[File]) -> list[Path]:
    return [path for _split, _label, path in files]


def _fingerprint(files: list[File], digests: list[str]) -> str:
    """16 hex digits that identify all images by their digests, or their sizes, and their names, classes and splits."""
    rows = sorted(
        (split, label, normalize_name(path.name), digest)
        for (split, label, path), digest in zip(files, digests, strict=True)
    )
    return hashlib.sha256(encode_name("\n".join("/".join(row) for row in rows))).hexdigest()[:16]
