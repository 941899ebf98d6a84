"""Images to classify, from whatever they are given as: files, folders, globs, lists and standard input."""

from __future__ import annotations

import glob
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import UnidentifiedImageError

from classicnets.errors import DataError
from classicnets.images import listing
from classicnets.images.layout import read_layout
from classicnets.images.names import natural, printable
from classicnets.images.splits import Layout, refuse
from classicnets.images.tree import image_suffixes, read_tree

STDIN = "-"

_MOST_BYTES = 256 * 2**20  # of an image on standard input
_IMAGE = re.compile(  # how PNG, JPEG, GIF, WebP, TIFF, BMP, PNM, AVIF and JPEG 2000 begin
    rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*|BM....\0\0\0\0|P[1-6]\s|....ftypavi[fs]|....jP  ",
    re.DOTALL,
)

Say = Callable[[str], object]


@dataclass(frozen=True)
class Input:
    """One image: what it is called, where its bytes are, and its true class where that is known."""

    name: str
    file: Path | io.BytesIO
    truth: str | None = None


def find(given: Iterable[str | Path], stdin: BinaryIO | None = None, say: Say = lambda _: None) -> Iterator[Input]:
    """The images of each: a file; a folder with all its folders, in natural order, without what is hidden; a glob; a
    CSV list, in the order of its lines; "-" for standard input: paths, one a line, or the bytes of one image.

    A file is taken for an image until it is read. `say` is told what was left out or merged. Raises DataError CN304 if
    there is no image, CN307 for a list with faults.
    """
    for one in given:
        name = str(one)
        none = True
        for found in _standard_input(stdin or sys.stdin.buffer, say) if name == STDIN else _expanded(name, say):
            none = False
            yield found
        if none:
            where = "standard input" if name == STDIN else name
            known = " ".join(image_suffixes())
            raise DataError("CN304", f"there is no image in {where}", where=where, why=f"known: {known}")


def labeled(data: Path | Layout, say: Say = lambda _: None) -> Iterator[Input]:
    """The images of a folder or CSV that a model is evaluated on, with their classes: those of the test split if it has
    one (as in training, val/ is the test split where there is no other), otherwise all.

    `say` is told which they are, and what was left out or merged.
    Raises DataError CN307 for a folder or list without classes, or with faults that concern these images.
    """
    layout = data if isinstance(data, Layout) else read_layout(data)
    layout.check(training=False)
    for note in layout.file_notes:
        say(f"{layout.name}: {note}")
    for name, path in layout.evaluated():
        yield Input(printable(path), path, name)


def why(error: DataError) -> str:
    """Why an image could not be read, in a few words, for a row that names it."""
    if isinstance(error.__cause__, UnidentifiedImageError):  # whose words are the path again
        return "damaged, or not an image"
    return error.why or error.what


def _expanded(name: str, say: Say) -> Iterator[Input]:
    """The images of a path or, where there is none of that name, of all paths that match it."""
    path = Path(name).expanduser()
    if path.exists() or not glob.has_magic(name):
        yield from _images(path, say)
        return
    for match in sorted(glob.iglob(str(path), recursive=True), key=natural):  # noqa: PTH207 - without hidden files
        if "**" not in name or not Path(match).is_dir():  # ** has matched what lies in the folders as well
            yield from _images(Path(match), say)


def _images(path: Path, say: Say) -> Iterator[Input]:
    if path.is_dir():
        tree = read_tree(path)
        for note in tree.notes():
            say(f"{path.name or path}: {note}")
        for file in tree.top.walk():
            yield Input(printable(file), file)
    elif path.suffix.casefold() in listing.EXTENSIONS and path.is_file():
        read = listing.read_listing(path, with_classes=False)
        refuse(path, [": ".join(fault) for fault in read.faults])
        for note in read.notes:
            say(f"{path.stem}: {note}")
        for row in read.rows:
            file = row.below(path.parent)
            yield Input(printable(file), file, row.label)
    else:
        yield Input(printable(path), path)


def _standard_input(stream: BinaryIO, say: Say) -> Iterator[Input]:
    head = stream.peek(16) if isinstance(stream, io.BufferedReader) else b""
    if _IMAGE.match(head):
        content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise DataError("CN304", "the image is absurdly large", where="standard input", why="more than 256 MB")
        yield Input(STDIN, io.BytesIO(content))
        return
    for line in stream:
        for name in line.rstrip(b"\r\n").split(b"\0"):  # as `find -print0` separates them
            if name.strip():
                yield from _images(Path(os.fsdecode(name)), say)
