"""Pictures to classify, from whatever they are given as: files, folders, globs, lists and standard input."""

from __future__ import annotations

import glob
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import UnidentifiedImageError

from classicnets.errors import DataError
from classicnets.images import listing
from classicnets.images.layout import EXTENSIONS, HIDDEN, SPLITS, composed, natural

STDIN = "-"

_TEST_NAMES = (*SPLITS["test"], *SPLITS["validation"])  # as in training: val is the test split where there is no other

_MOST_BYTES = 256 * 2**20  # of a picture on standard input
_PICTURE = re.compile(  # how PNG, JPEG, GIF, WebP, TIFF, BMP and PNM begin
    rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*|BM....\0\0\0\0|P[1-6]\s", re.DOTALL
)


@dataclass(frozen=True)
class Input:
    """One picture: what it is called, where its bytes are, and its true class where that is known."""

    name: str
    file: Path | io.BytesIO
    truth: str | None = None


def find(given: Iterable[str | Path], stdin: BinaryIO | None = None) -> Iterator[Input]:
    """The pictures of each: a file; a folder with all its folders, in natural order, without what is hidden; a glob; a
    CSV list; "-" for standard input, which holds paths, one a line, or the bytes of one picture.

    A file is believed to be a picture until it is read. Raises DataError CN304 where there is none, CN307 for a list.
    """
    for one in given:
        text = str(one)
        none = True
        for found in _standard_input(stdin or sys.stdin.buffer) if text == STDIN else _expanded(text):
            none = False
            yield found
        if none:
            where = "standard input" if text == STDIN else text
            raise DataError(
                "CN304", f"there is no picture in {where}", where=where, why=f"known: {' '.join(EXTENSIONS)}"
            )


def labelled(data: Path) -> Iterator[Input]:
    """The pictures of a CSV list with classes, or of FOLDER/CLASS/, with their classes: those of the test split if it
    has one (FOLDER/test/CLASS/ and so on), otherwise all.

    Raises DataError CN307 for a folder without classes, CN307 for a list without them.
    """
    if data.is_file():
        yield from _labelled_list(data)
        return
    folders = {path.name.casefold(): path for path in _entries(data) if path.is_dir()}
    names = [name for name in (*_TEST_NAMES, *SPLITS["train"]) if name in folders]
    root = next((folders[name] for name in names if any(path.is_dir() for path in _entries(folders[name]))), data)
    classes = [path for path in _entries(root) if path.is_dir()]
    if not any(True for path in classes for _ in _walk(path)):
        raise DataError(
            "CN307",
            "the folder holds no pictures in folders of classes",
            where=str(root.absolute()),
            hint="classicnets show CN307",
        )
    for folder in classes:
        for path in _walk(folder):
            yield Input(shown(path), path, composed(folder.name))


def why(error: DataError) -> str:
    """Why a picture could not be read, in a few words, for a row that names it."""
    if isinstance(error.__cause__, UnidentifiedImageError):  # whose words are the path again
        return "damaged, or not a picture"
    return error.why or error.what


def shown(path: str | Path) -> str:
    """A path as text that can be printed, whatever bytes it has."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def _expanded(text: str) -> Iterator[Input]:
    """The pictures of a path or, where there is none of that name, of all paths that match it."""
    path = Path(text).expanduser()
    if path.exists() or not glob.has_magic(text):
        yield from _pictures(path)
        return
    for match in sorted(glob.iglob(str(path), recursive=True), key=natural):  # noqa: PTH207 - without hidden files
        if "**" not in text or not Path(match).is_dir():  # ** has matched what lies in the folders as well
            yield from _pictures(Path(match))


def _pictures(path: Path) -> Iterator[Input]:
    if path.is_dir():
        for file in _walk(path):
            yield Input(shown(file), file)
    elif path.suffix.casefold() in listing.EXTENSIONS and path.is_file():
        for row in listing.read(path, with_classes=False):
            yield _listed(path, row)
    else:
        yield Input(shown(path), path)


def _standard_input(stream: BinaryIO) -> Iterator[Input]:
    head = stream.peek(16) if isinstance(stream, io.BufferedReader) else b""
    if _PICTURE.match(head):
        content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise DataError("CN304", "the picture is absurdly large", where="standard input", why="more than 256 MB")
        yield Input(STDIN, io.BytesIO(content))
        return
    for line in stream:
        for name in line.rstrip(b"\r\n").split(b"\0"):  # as `find -print0` separates them
            if name.strip():
                yield from _pictures(Path(os.fsdecode(name)))


def _labelled_list(file: Path) -> Iterator[Input]:
    rows = listing.read(file)
    splits = {(row.split or "").casefold() for row in rows}
    test = next((SPLITS[name] for name in ("test", "validation") if splits & {*SPLITS[name]}), None)
    for row in rows:
        if test is None or (row.split or "").casefold() in test:
            if not row.label:
                raise _faulty(file, row, "it says no class")
            yield _listed(file, row)


def _listed(file: Path, row: listing.Row) -> Input:
    if not row.path:
        raise _faulty(file, row, "it names no picture")
    path = row.below(file.parent)
    return Input(shown(path), path, row.label and composed(row.label))


def _faulty(file: Path, row: listing.Row, why: str) -> DataError:
    return DataError(
        "CN307",
        "a line of the CSV cannot be used",
        where=f"{file}, line {row.line}",
        why=why,
        hint="classicnets show CN307",
    )


def _walk(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Every picture file in `folder` and its folders, in natural order; a link to a folder above leads nowhere."""
    place = folder.resolve()
    if place in above:
        return
    for path in _entries(folder):
        if path.suffix.casefold() in EXTENSIONS and not path.is_dir():
            yield path
        elif path.is_dir():
            yield from _walk(path, above | {place})


def _entries(folder: Path) -> list[Path]:
    """What lies in `folder`, in natural order, without what is hidden."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError("CN307", "the folder cannot be read", where=str(folder), why=reason) from error
    seen = (name for name in names if name[0] != "." and name.casefold() not in HIDDEN)
    return [folder / name for name in sorted(seen, key=natural)]
