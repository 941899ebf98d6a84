"""Finds the images to classify: in files, folders, globs, CSV lists and standard input."""

from __future__ import annotations

import glob
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from classicnets.errors import DataError
from classicnets.files import user_path
from classicnets.images import listing, memory
from classicnets.images.formats import START_BYTES, image_suffixes, recognize
from classicnets.images.layout import read_layout
from classicnets.images.names import natural_key
from classicnets.images.splits import Layout, raise_faults
from classicnets.images.tree import read_tree
from classicnets.text import _, command

STDIN = "-"

_MAX_STDIN_BYTES = 256 * 2**20  # largest image on standard input

_URL = re.compile(r"(https?|ftp|s3|gs|file):/|data:[\w.+/-]*[;,]", re.IGNORECASE)  # Path("http://a") is http:/a
_MAX_NESTING = 20  # lists in lists

Say = Callable[[str], object]


@dataclass(frozen=True)
class Input:
    """An image to classify: its name, its file or bytes, and its true class if known."""

    name: str
    file: Path | io.BytesIO
    truth: str | None = None


def find_images(places: Iterable[Any], stdin: BinaryIO | None = None, say: Say = lambda _: None) -> Iterator[Input]:
    """Find the images in each place; no image file is opened.

    Args:
        places: Each an image in memory (see `memory.encode`), or a list; or a file; a folder, which is walked in
            natural order without hidden files; a glob; a CSV list, in the order of its lines; or "-" for standard
            input, which holds paths, one per line, or the bytes of one image.
        stdin: Used as standard input.
        say: Called with notes about files that are ignored or merged.

    Raises:
        DataError: CN304 if a place contains no image or is none, CN307 for a CSV with faults.
    """
    count = 0
    for place in _flat(places):
        if not isinstance(place, str | os.PathLike):
            for file in memory.encode(place):
                count += 1
                yield Input(_("image {n}", n=count), file)
            continue
        name = os.fsdecode(place)
        if _URL.match(name):
            raise DataError(
                "CN304",
                _("{url} is a URL; images are read from files", url=name),
                why=_("classicnets downloads nothing but published data sets"),
                hint=_("{command}   # download it first", command=command("curl", "--remote-name", "--location", name)),
            )
        images = _from_stdin(stdin or sys.stdin.buffer, say) if name == STDIN else _from_pattern(name, say)
        is_empty = True
        for image in images:
            is_empty = False
            yield image
        if is_empty:
            where = _("standard input") if name == STDIN else name
            raise DataError(
                "CN304",
                _("there is no image in {place}", place=where),
                where=where,
                why=_("image files have the suffixes {suffixes}", suffixes=" ".join(image_suffixes())),
            )


def _flat(places: Iterable[Any], depth: int = 0) -> Iterator[Any]:
    """The places in lists and tuples, in their order."""
    if depth > _MAX_NESTING:
        raise DataError("CN304", _("the list of images contains itself, or lists in too many lists"))
    for place in places:
        if isinstance(place, list | tuple):
            yield from _flat(place, depth + 1)
        else:
            yield place


def labeled_images(data: Path | Layout, say: Say = lambda _: None) -> Iterator[Input]:
    """Yield the labeled images of a folder or CSV that a model is evaluated on.

    These are the test split if there is one (as in training, val/ is the test split if there is no other), otherwise
    all images. `say` is called with notes about files that are ignored or merged.

    Raises:
        DataError: CN307 for a folder or CSV without classes, or with faults that concern these images.
    """
    layout = data if isinstance(data, Layout) else read_layout(data)
    layout.check(training=False)
    for note in layout.file_notes:
        say(_("{name}: {note}", name=layout.name, note=note))
    for label, path in layout.evaluation_files():
        yield Input(str(path), path, label)


def reason(error: DataError) -> str:
    """Return why an image cannot be read, briefly, for a table row that names it."""
    return error.why or error.what


def _from_pattern(name: str, say: Say) -> Iterator[Input]:
    """The images at a path or, if there is no such file, at all paths that match it as a glob."""
    path = user_path(name)
    if _exists(path) or not glob.has_magic(name):
        yield from _from_path(path, say)
        return
    for match in sorted(glob.iglob(str(path), recursive=True), key=natural_key):  # noqa: PTH207 - skips hidden files
        if "**" not in name or not Path(match).is_dir():  # ** matches the files in these folders as well
            yield from _from_path(Path(match), say)


def _exists(path: Path) -> bool:
    """Whether there is a file; False for what cannot be a path, such as text that is too long."""
    try:
        return path.exists()
    except OSError:
        return False


def _from_path(path: Path, say: Say) -> Iterator[Input]:
    if _exists(path) and path.is_dir():
        tree = read_tree(path)
        for note in tree.notes():
            say(_("{name}: {note}", name=path.name or path, note=note))
        for file in tree.top.walk():
            yield Input(str(file), file)
    elif path.suffix.casefold() in listing.EXTENSIONS and _exists(path) and path.is_file():
        rows = listing.read_listing(path, with_classes=False)
        raise_faults(path, [_("{line}: {fault}", line=line, fault=fault) for line, fault in rows.faults])
        for note in rows.notes:
            say(_("{name}: {note}", name=path.stem, note=note))
        for row in rows.rows:
            file = row.image_path(path.parent)
            yield Input(str(file), file, row.label)
    else:
        yield Input(str(path), path)


def _from_stdin(stream: BinaryIO, say: Say) -> Iterator[Input]:
    head = stream.peek(START_BYTES) if isinstance(stream, io.BufferedReader) else b""
    if recognize(head[:START_BYTES]):
        content = stream.read(_MAX_STDIN_BYTES + 1)
        if len(content) > _MAX_STDIN_BYTES:
            what = _("the image is too large")
            raise DataError("CN304", what, where=_("standard input"), why=_("it has more than 256 MB"))
        yield Input(STDIN, io.BytesIO(content))
        return
    for name in _listed_names(stream, head):
        if name.strip():
            yield from _from_path(Path(os.fsdecode(name)), say)


def _listed_names(stream: BinaryIO, head: bytes) -> Iterator[bytes]:
    """The paths on standard input, which begins with `head`: one per line or, as `find -print0` writes them, each with
    a zero byte at its end, so that they may contain line breaks.
    """
    if not (isinstance(stream, io.BufferedReader) and b"\0" in head):
        for line in stream:
            yield from line.rstrip(b"\r\n").split(b"\0")
        return
    rest = b""
    while piece := stream.read1():
        *names, rest = (rest + piece).split(b"\0")
        yield from names
    yield rest
