"""Inputs of `predict` and `evaluate`: files, folders, globs, lists, standard input."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from classicnets.errors import DataError
from classicnets.images.inputs import find_images, labeled_images
from support.images import save

DOT = np.zeros((2, 2), dtype=np.uint8)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Folders with images, other files and hidden files."""
    for name in ("a10.png", "a2.PNG", "b/c/d.jpg", "b/e.gif", ".hidden/x.png", "b/.x.png", "__MACOSX/y.png"):
        save(tmp_path / "in" / name, DOT)
    (tmp_path / "in/notes.txt").write_text("none")
    return tmp_path / "in"


def names(*places: object, stdin: bytes = b"") -> list[str]:
    images = find_images([str(place) for place in places], io.BufferedReader(io.BytesIO(stdin)))
    return [image.name for image in images]


def test_walks_a_folder_in_natural_order(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.parent)
    assert names("in") == ["in/a2.PNG", "in/a10.png", "in/b/c/d.jpg", "in/b/e.gif"]
    assert names("in/b", "in/notes.txt", "gone.png") == ["in/b/c/d.jpg", "in/b/e.gif", "in/notes.txt", "gone.png"]


def test_follows_a_circular_link_once(tree: Path) -> None:
    (tree / "b/again").symlink_to(tree)
    assert len(names(tree)) == 4


def test_expands_globs_unless_a_file_has_that_name(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert names("*.png", "a[0-9].PNG") == ["a10.png", "a2.PNG"]
    assert names("**/*.gif") == ["b/e.gif"] and names("b*") == ["b/c/d.jpg", "b/e.gif"]
    assert names("b/**") == ["b/c/d.jpg", "b/e.gif"]
    save(tree / "[1].png", DOT)
    assert names("[1].png") == ["[1].png"]


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_reads_paths_from_standard_input(tree: Path, separator: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    content = separator.join([b"a10.png", b"b/c", b"not there.png", b""])
    assert names("-", stdin=content) == ["a10.png", "b/c/d.jpg", "not there.png"]


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "webp", "tiff", "bmp", "ppm"])
def test_reads_one_image_from_standard_input(tmp_path: Path, kind: str) -> None:
    content = save(tmp_path / f"x.{kind}", np.zeros((4, 4, 3), dtype=np.uint8)).read_bytes()
    (image,) = find_images(["-"], io.BufferedReader(io.BytesIO(content)))
    assert image.name == "-" and isinstance(image.file, io.BytesIO) and image.file.getvalue() == content


def test_csv_gives_true_classes(tree: Path) -> None:
    (tree / "list.csv").write_text("id,path,label\n1,a2.PNG,cat\n2,b/e.gif,\n")
    assert [(image.file, image.truth) for image in find_images([tree / "list.csv"])] == [
        (tree / "a2.PNG", "cat"),
        (tree / "b/e.gif", ""),
    ]


@pytest.mark.parametrize("place", ["empty", "*.nothing", "-"])
def test_no_images_is_an_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        names(place)
    assert caught.value.code == "CN304"


def test_name_that_is_not_valid_text_is_kept(tmp_path: Path) -> None:
    try:
        Path(tmp_path / "\udcff.png").touch()
    except OSError:
        pytest.skip("this file system has only names that are valid text")
    (image,) = find_images([tmp_path])
    assert image.name.endswith("\udcff.png") and Path(image.file).exists()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["b/1.png", "a/2.png", "a/x/3.png"], [("a", "2"), ("a", "3"), ("b", "1")]),
        (["train/a/1.png", "test/a/2.png", "test/b/3.png", "val/a/4.png"], [("a", "2"), ("b", "3")]),
        (["train/a/1.png", "train/b/2.png"], [("a", "1"), ("b", "2")]),
        (["test/1.png", "train/2.png"], [("test", "1"), ("train", "2")]),  # classes of these names
    ],
)
def test_labeled_images_of_folders(tmp_path: Path, files: list[str], expected: list[tuple[str, ...]]) -> None:
    for name in files:
        save(tmp_path / "data" / name, DOT)
    assert [(image.truth, Path(image.name).stem) for image in labeled_images(tmp_path / "data")] == expected


def test_labeled_images_of_csv_files(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("file,class,split\na.png,x,train\nb.png,y,test\n")
    assert [(image.truth, Path(image.name).name) for image in labeled_images(tmp_path / "x.csv")] == [("y", "b.png")]
    for text, why in (("file\na.png\n", "no column is named label"), ("file,label\na.png,\n", "the class is empty")):
        (tmp_path / "x.csv").write_text(text)
        with pytest.raises(DataError) as caught:
            list(labeled_images(tmp_path / "x.csv"))
        assert caught.value.code == "CN307" and why in caught.value.why


def test_rejects_a_folder_without_classes(tree: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(labeled_images(tree / "b" / "c"))
    assert caught.value.code == "CN307"
