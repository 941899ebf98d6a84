"""A CSV file that lists pictures, with or without their classes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from classicnets.errors import DataError

SUFFIXES = (".csv", ".tsv")
PATH_COLUMNS = ("path", "file", "filename", "image", "filepath", "image_path", "picture")
LABEL_COLUMNS = ("label", "class", "category")
SPLIT_COLUMNS = ("split", "subset", "set")

_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Entry:
    """One picture of a list: its file, its class and split (None where the list has no such column), its line."""

    path: Path
    label: str | None
    split: str | None
    line: int


@dataclass(frozen=True)
class Listing:
    """A list whose header has been read; the numbers are those of its columns. Iterating reads it from the start.

    Paths are relative to the list's folder. An iteration raises DataError CN308 at a line that names no file.
    """

    file: Path
    encoding: str
    delimiter: str
    path: int
    label: int | None
    split: int | None

    def __iter__(self) -> Iterator[Entry]:
        for line, row in _rows(self.file, self.encoding, self.delimiter, after=1):
            name = _cell(row, self.path)
            if not name:
                raise _unusable(self.file, f"line {line} names no file: {self.delimiter.join(row)[:80]!r}")
            yield Entry(self.file.parent / name, _cell(row, self.label), _cell(row, self.split), line)


def read_listing(file: str | Path) -> Listing:
    """The list in a CSV file (commas, semicolons or tabs; UTF-8, or UTF-16 with its mark) whose first line names the
    columns: one of `PATH_COLUMNS`; one of `LABEL_COLUMNS` and of `SPLIT_COLUMNS` if it has them; others are ignored.

    Raises DataError CN308 if the file cannot be read or has no such column.
    """
    file = Path(file)
    try:
        with file.open("rb") as stream:
            encoding = "utf-16" if stream.read(2) in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
        with file.open(encoding=encoding) as text:
            first = text.readline(65_536)
    except (OSError, ValueError) as error:
        raise _unusable(file, str(error)) from error
    delimiter = max(_DELIMITERS, key=first.count)
    _, header = next(_rows(file, encoding, delimiter), (1, []))
    names = [name.strip().casefold() for name in header]
    path, label, split = (
        next((names.index(name) for name in known if name in names), None)
        for known in (PATH_COLUMNS, LABEL_COLUMNS, SPLIT_COLUMNS)
    )
    if path is None:
        raise _unusable(
            file, f"its first line has no column {', '.join(PATH_COLUMNS)}\nthe line is {first.strip()[:80]!r}"
        )
    return Listing(file, encoding, delimiter, path, label, split)


def _rows(file: Path, encoding: str, delimiter: str, after: int = 0) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row that is not empty, but for the first `after` of them."""
    try:
        with file.open(encoding=encoding, newline="") as text:
            reader = csv.reader(text, delimiter=delimiter)
            for row in reader:
                if not any(cell.strip() for cell in row):
                    continue
                if after:
                    after -= 1
                else:
                    yield reader.line_num, row
    except (OSError, ValueError, csv.Error) as error:
        raise _unusable(file, str(error)) from error


def _cell(row: list[str], column: int | None) -> str | None:
    """The text in that column, empty where the row ends before it; None without a column."""
    if column is None:
        return None
    return row[column].strip() if column < len(row) else ""


def _unusable(file: Path, why: str) -> DataError:
    return DataError(
        "CN308", "the list of pictures cannot be used", where=str(file), why=why, hint="classicnets show CN308"
    )
