"""Reads CSV files that list images: a path and, optionally, a class and a split for each."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path

from classicnets.errors import DataError
from classicnets.images.names import class_name, split_of
from classicnets.text import _, join, plural

EXTENSIONS = (".csv", ".tsv")
# Accepted names of each column; if the header has several, the first in this order is used.
PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "picture")
CLASS_COLUMNS = ("label", "class")
SPLIT_COLUMNS = ("split",)

_MAX_COLUMNS, _MAX_NAME = 8, 40  # columns of the header that an error lists, and letters of each
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Row:
    """The values on one line, unchanged; `label` and `split` are None if there is no such column."""

    line: int
    path: str
    label: str | None
    split: str | None

    def image_path(self, folder: Path) -> Path:
        """Return the image's path, relative to `folder` or to ~; backslashes are accepted everywhere."""
        path = self.path if os.name == "nt" else self.path.replace("\\", "/")
        return folder / (os.path.expanduser(path) if path.startswith("~/") else path)  # noqa: PTH111


@dataclass(frozen=True)
class Listing:
    """The images that a CSV lists, each once, in the order of its lines, and their paths; `split` is a key of SPLITS.

    `faults` are (location, message) pairs of lines that cannot be used.
    """

    rows: tuple[Row, ...]
    paths: tuple[Path, ...]
    notes: tuple[str, ...]
    faults: tuple[tuple[str, str], ...]


def read_listing(file: Path, *, with_classes: bool = True) -> Listing:
    """Read the images of a CSV. An empty split means train; a repeated line counts once.

    Lines without a path or (`with_classes`) a class, with an unknown split, or that contradict another line are faults.

    Raises:
        DataError: CN307 as `read_rows`.
    """
    rows: list[Row] = []
    paths: list[Path] = []
    faults: list[tuple[str, str]] = []
    first_rows: dict[str, Row] = {}
    repeated = 0
    for raw in read_rows(file, with_classes=with_classes):
        row = Row(raw.line, raw.path, raw.label and class_name(raw.label), split_of(raw.split or "train"))
        path = row.image_path(file.parent)
        first = first_rows.setdefault(os.path.normpath(path), row)
        if message := _fault(raw, row, first, with_classes):
            faults.append((_("line {n}", n=row.line), message))
        elif first is not row:
            repeated += 1
        else:
            rows.append(row)
            paths.append(path)
    notes = []
    if repeated:
        notes.append(
            plural(
                "{n} line repeats another line and is ignored",
                "{n:,} lines repeat other lines and are ignored",
                repeated,
            )
        )
    return Listing(tuple(rows), tuple(paths), tuple(notes), tuple(faults))


def _fault(raw: Row, row: Row, first: Row, with_classes: bool) -> str:
    """What is wrong with a line; "" if nothing is. `first` is the first line with the same path."""
    if not row.path:
        return _("the path is empty")
    if with_classes and not row.label:
        return _("the class is empty")
    if "\0" in row.path:
        return _("the path contains a NUL byte")
    if "://" in row.path:
        return _("the path is a web address; download the image and list its file")
    if row.split is None:
        return _("{split!r} is not a split; use train, val or test", split=raw.split)
    if (first.label, first.split) != (row.label, row.split):
        return _("{path} has another class or split on line {line}", path=row.path, line=first.line)
    return ""


def read_rows(file: Path, *, with_classes: bool = True) -> list[Row]:
    """Return all rows of a CSV except empty ones.

    Columns are separated by comma, semicolon or tab, and identified by name.

    Raises:
        DataError: CN307 if the file cannot be read, is not UTF-8 or not a CSV, or lacks the column for paths or
            (`with_classes`) for classes.
    """
    lines = io.StringIO(_read_text(file), newline="")
    rows = []
    number = 1
    try:
        delimiter, path, label, split = _columns(file, lines.readline(), with_classes)
        width = 1 + max(path, label or 0, split or 0)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        for values in reader:
            number = 1 + reader.line_num
            cells = [cell.strip() for cell in values] + [""] * (width - len(values))
            if any(cells):
                optional = (None if column is None else cells[column] for column in (label, split))
                rows.append(Row(number, cells[path], *optional))
    except csv.Error as error:
        raise _unreadable(file, _("line {n} or the next one: {error}", n=number, error=error)) from error
    return rows


def _read_text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        why = _("line {n} is not UTF-8; in a spreadsheet, choose the format 'CSV UTF-8' when you save", n=line)
        raise _unreadable(file, why) from error


def _columns(file: Path, header: str, with_classes: bool) -> tuple[str, int, int | None, int | None]:
    """The delimiter and the positions of the columns for path, class and split, from the header line."""
    options = {delimiter: _split_header(header, delimiter) for delimiter in _DELIMITERS}

    def score(delimiter: str) -> tuple[int, int]:
        names = options[delimiter]
        return sum(_position(names, accepted) is not None for accepted in (PATH_COLUMNS, CLASS_COLUMNS)), len(names)

    delimiter = max(_DELIMITERS, key=score)
    names = options[delimiter]
    path, label = _position(names, PATH_COLUMNS), _position(names, CLASS_COLUMNS)
    if path is None or (with_classes and label is None):
        raise _missing_columns(file, names, path is None, with_classes)
    return delimiter, path, label, _position(names, SPLIT_COLUMNS)


def _missing_columns(file: Path, names: list[str], lacks_path: bool, with_classes: bool) -> DataError:
    fields = {
        "paths": " / ".join(PATH_COLUMNS),
        "classes": " / ".join(CLASS_COLUMNS),
        "header": join([name[:_MAX_NAME] for name in names if name], _MAX_COLUMNS) or _("empty"),
    }
    lacks_class = with_classes and _position(names, CLASS_COLUMNS) is None
    if lacks_path and lacks_class:
        why = _("no column is named {paths}, and none {classes}; the header is: {header}", **fields)
    elif lacks_path:
        why = _("no column is named {paths}; the header is: {header}", **fields)
    else:
        why = _("no column is named {classes}; the header is: {header}", **fields)
    what = _("the CSV lacks a column for image paths") if lacks_path else _("the CSV lacks a column for classes")
    return DataError(
        "CN307",
        what,
        where=_("{file}, line 1", file=file.absolute()),
        why=why,
        hint=(_("path,label         # as the first line"), _("path,label,split   # train, val or test")),
    )


def _split_header(header: str, delimiter: str) -> list[str]:
    return [cell.strip().casefold() for cell in next(csv.reader([header], delimiter=delimiter), [])]


def _position(names: list[str], accepted: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in accepted if name in names), None)


def _unreadable(file: Path, why: str) -> DataError:
    what = _("the CSV cannot be read")
    return DataError("CN307", what, where=str(file.absolute()), why=why, hint="classicnets explain CN307")
