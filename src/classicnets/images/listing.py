"""A CSV that lists images: of each a file and, where there are such columns, its class and its split."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass, replace
from pathlib import Path

from classicnets import text
from classicnets.errors import DataError
from classicnets.images.names import composed, split_of

EXTENSIONS = (".csv", ".tsv")
PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "picture")  # of each kind the first there counts
CLASS_COLUMNS = ("label", "class")
SPLIT_COLUMNS = ("split",)

_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Row:
    """What one line of the file says, as it stands there; a class or split without a column is None."""

    line: int
    path: str
    label: str | None
    split: str | None

    def below(self, folder: Path) -> Path:
        """The image's path, which starts from `folder`; one that was written on Windows does as well."""
        return folder / (self.path if os.name == "nt" else self.path.replace("\\", "/"))


@dataclass(frozen=True)
class Listing:
    """The images that a CSV lists: each once, in the order of its lines, with its split as a key of SPLITS.

    `faults` are (place, words) of lines that cannot be used.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    faults: tuple[tuple[str, str], ...]


def read_listing(file: Path, *, with_classes: bool = True) -> Listing:
    """The images of a CSV. A blank split means train; a line that says again what another says counts once.

    Faults are lines without a path or (`with_classes`) a class, with an unknown split, or that contradict another line.
    Raises DataError CN307 as `read`.
    """
    rows: list[Row] = []
    faults: list[tuple[str, str]] = []
    first: dict[str, Row] = {}
    repeated = 0
    for row in read(file, with_classes=with_classes):
        split = split_of(row.split or "train")
        meant = replace(row, label=row.label and composed(row.label), split=split)
        before = first.setdefault(os.path.normpath(meant.below(file.parent)), meant)
        if not row.path or (with_classes and not row.label):
            faults.append((f"line {row.line}", f"no {'class' if row.path else 'path'}"))
        elif "\0" in row.path:
            faults.append((f"line {row.line}", "the path holds a NUL byte"))
        elif split is None:
            faults.append((f"line {row.line}", f"{row.split!r} is no split: train, val or test"))
        elif (before.label, before.split) != (meant.label, meant.split):
            faults.append((f"line {row.line}", f"{row.path} is on line {before.line} as well, as something else"))
        elif before is not meant:
            repeated += 1
        else:
            rows.append(meant)
    notes = (f"{text.count(repeated, 'line')} said again what another one says",) if repeated else ()
    return Listing(tuple(rows), notes, tuple(faults))


def read(file: Path, *, with_classes: bool = True) -> list[Row]:
    """All rows but empty ones. Columns are separated by comma, semicolon or tab, and found by their names.

    Raises DataError CN307 if the file cannot be read, is not UTF-8 or no CSV, lacks the column of the paths or, if it
    must be one `with_classes`, that of the classes.
    """
    lines = io.StringIO(_text(file), newline="")
    rows = []
    number = 1
    try:
        delimiter, path, label, split = _columns(file, lines.readline(), with_classes)
        width = 1 + max(path, label or 0, split or 0)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        for found in reader:
            number = 1 + reader.line_num
            cells = [cell.strip() for cell in found] + [""] * (width - len(found))
            if any(cells):
                told = (None if column is None else cells[column] for column in (label, split))
                rows.append(Row(number, cells[path], *told))
    except csv.Error as error:
        raise _unreadable(file, f"line {number} or the next: {error}") from error
    return rows


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise _unreadable(file, f"line {line} is not UTF-8; a spreadsheet saves that as 'CSV UTF-8'") from error


def _columns(file: Path, header: str, with_classes: bool) -> tuple[str, int, int | None, int | None]:
    """The delimiter and where the columns of path, class and split are, by the first line."""
    options = {delimiter: _cells(header, delimiter) for delimiter in _DELIMITERS}

    def fitting(delimiter: str) -> tuple[int, int]:
        names = options[delimiter]
        return sum(_find(names, wanted) is not None for wanted in (PATH_COLUMNS, CLASS_COLUMNS)), len(names)

    delimiter = max(_DELIMITERS, key=fitting)
    names = options[delimiter]
    path, label = _find(names, PATH_COLUMNS), _find(names, CLASS_COLUMNS)
    if path is None or (with_classes and label is None):
        lacking = [
            f"no column {' or '.join(kind)}"
            for kind, place in ((PATH_COLUMNS, path), (CLASS_COLUMNS, label))[: 1 + with_classes]
            if place is None
        ]
        raise DataError(
            "CN307",
            f"the CSV does not say which images {'are of which class' if with_classes else 'it lists'}",
            where=f"{file.absolute()}, line 1",
            why=f"{' and '.join(lacking)}; found: {', '.join(filter(None, names)) or 'nothing'}",
            hint=("path,label         # as the first line", "path,label,split   # train, val or test"),
        )
    return delimiter, path, label, _find(names, SPLIT_COLUMNS)


def _cells(header: str, delimiter: str) -> list[str]:
    return [cell.strip().casefold() for cell in next(csv.reader([header], delimiter=delimiter), [])]


def _find(names: list[str], wanted: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _unreadable(file: Path, why: str) -> DataError:
    return DataError(
        "CN307", "the CSV cannot be read", where=str(file.absolute()), why=why, hint="classicnets explain CN307"
    )
