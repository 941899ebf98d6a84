"""CSV files that list images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from classicnets.errors import DataError
from classicnets.images.listing import Row, read_rows


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_accepts_delimiters_and_byte_order_mark(tmp_path: Path, delimiter: str, encoding: str) -> None:
    text = "id,File,Class,Split\n1,a/ü.png,Straße,train\n\n2, b.png ,cat,test\n".replace(",", delimiter)
    (tmp_path / "x.csv").write_bytes(text.encode(encoding))
    assert read_rows(tmp_path / "x.csv") == [
        Row(2, "a/ü.png", "Straße", "train"),
        Row(4, "b.png", "cat", "test"),
    ]


def test_accepts_quoted_cells_missing_columns_and_short_rows(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('note,path\n"two\nlines, and a comma","a,b.png"\n\nx,/abs/c.png\n')
    rows = read_rows(tmp_path / "x.csv", with_classes=False)
    assert [(row.image_path(tmp_path), row.label, row.split) for row in rows] == [
        (tmp_path / "a,b.png", None, None),
        (Path("/abs/c.png"), None, None),
    ]
    (tmp_path / "x.csv").write_text("path,label\na.png\nb.png,cat\n")
    assert [row.label for row in read_rows(tmp_path / "x.csv", with_classes=False)] == ["", "cat"]


@pytest.mark.skipif(os.name == "nt", reason="paths have backslashes there")
def test_accepts_windows_paths(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("path,label\na\\b.png,cat\n")
    assert read_rows(tmp_path / "x.csv")[0].image_path(tmp_path) == tmp_path / "a" / "b.png"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no column is named path"),
        (b"name,label\na.png,cat\n", "the header is: name, label"),
        (b"path\n\xff.png\n", "line 2 is not UTF-8"),
        (b"path\n" + b"a" * 200_000, "field larger than field limit"),
    ],
)
def test_explains_unusable_files(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path / "x.csv", with_classes=False)
    assert caught.value.code == "CN307" and why in caught.value.why


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(tmp_path / "none.csv")
