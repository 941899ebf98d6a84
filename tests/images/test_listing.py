"""CSV files that list images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from classicnets.errors import DataError
from classicnets.images.listing import Row, read


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_and_the_mark_of_a_spreadsheet(tmp_path: Path, delimiter: str, encoding: str) -> None:
    text = "id,File,Class,Split\n1,a/ü.png,Straße,train\n\n2, b.png ,cat,test\n".replace(",", delimiter)
    (tmp_path / "x.csv").write_bytes(text.encode(encoding))
    assert read(tmp_path / "x.csv") == [
        Row(2, "a/ü.png", "Straße", "train"),
        Row(4, "b.png", "cat", "test"),
    ]


def test_quoted_cells_absent_columns_and_short_rows(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('note,path\n"two\nlines, and a comma","a,b.png"\n\nx,/abs/c.png\n')
    rows = read(tmp_path / "x.csv", with_classes=False)
    assert [(row.below(tmp_path), row.label, row.split) for row in rows] == [
        (tmp_path / "a,b.png", None, None),
        (Path("/abs/c.png"), None, None),
    ]
    (tmp_path / "x.csv").write_text("path,label\na.png\nb.png,cat\n")
    assert [row.label for row in read(tmp_path / "x.csv", with_classes=False)] == ["", "cat"]


@pytest.mark.skipif(os.name == "nt", reason="there a path has backslashes")
def test_a_path_of_windows(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("path,label\na\\b.png,cat\n")
    assert read(tmp_path / "x.csv")[0].below(tmp_path) == tmp_path / "a" / "b.png"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no column path"),
        (b"name,label\na.png,cat\n", "found: name, label"),
        (b"path\n\xff.png\n", "line 2 is not UTF-8"),
        (b"path\n" + b"a" * 200_000, "field larger than field limit"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "x.csv", with_classes=False)
    assert caught.value.code == "CN307" and why in caught.value.why


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "none.csv")
