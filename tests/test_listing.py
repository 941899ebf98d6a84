"""CSV files that list pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from classicnets.data.listing import read_listing
from classicnets.errors import DataError


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def rows(path: Path) -> list[tuple[str, str | None, str | None]]:
    return [(str(entry.path.relative_to(path.parent)), entry.label, entry.split) for entry in read_listing(path)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_encodings(tmp_path, delimiter, encoding):
    text = "id,File,Class,Split\n1,a/ü.png,Straße,train\n\n2, b.png ,cat,test\n".replace(",", delimiter)
    assert rows(write(tmp_path / "x.csv", text, encoding)) == [
        ("a/ü.png", "Straße", "train"),
        ("b.png", "cat", "test"),
    ]


def test_quoted_cells_lines_and_absent_columns(tmp_path):
    path = write(tmp_path / "x.csv", 'note,path\n"two\nlines, and a comma","a,b.png"\r\nx,/abs/c.png\n')
    entries = list(read_listing(path))
    assert [(entry.path, entry.line) for entry in entries] == [
        (tmp_path / "a,b.png", 3),
        (Path("/abs/c.png"), 4),
    ]
    assert {(entry.label, entry.split) for entry in entries} == {(None, None)}


def test_a_list_can_be_read_twice_and_a_short_row_has_no_label(tmp_path):
    listing = read_listing(write(tmp_path / "x.csv", "path,label\na.png\nb.png,cat\n"))
    assert [entry.label for entry in listing] == [entry.label for entry in listing] == ["", "cat"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "its first line has no column path"),
        (b"name,label\na.png,cat\n", "the line is 'name,label'"),
        (b"path,label\na.png,cat\n,dog\n", "line 3 names no file: ',dog'"),
        (b"path\n\xff.png\n", "can't decode byte 0xff"),
        (b"path\n" + b"a" * 200_000, "field larger than field limit"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, content, why):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_listing(tmp_path / "x.csv"))
    assert caught.value.code == "CN308" and why in caught.value.why


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be used"):
        read_listing(tmp_path / "none.csv")
