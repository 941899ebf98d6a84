"""What `predict` and `evaluate` are given: files, folders, globs, lists, standard input."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from classicnets.errors import DataError
from classicnets.images.inputs import find, labeled
from support.images import save

DOT = np.zeros((2, 2), dtype=np.uint8)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Images in folders, beside what is none and what is hidden."""
    for name in ("a10.png", "a2.PNG", "b/c/d.jpg", "b/e.gif", ".hidden/x.png", "b/.x.png", "__MACOSX/y.png"):
        save(tmp_path / "in" / name, DOT)
    (tmp_path / "in/notes.txt").write_text("none")
    return tmp_path / "in"


def names(*given: object, stdin: bytes = b"") -> list[str]:
    found = find([str(one) for one in given], io.BufferedReader(io.BytesIO(stdin)))
    return [one.name for one in found]


def test_a_folder_is_walked_in_natural_order(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.parent)
    assert names("in") == ["in/a2.PNG", "in/a10.png", "in/b/c/d.jpg", "in/b/e.gif"]
    assert names("in/b", "in/notes.txt", "gone.png") == ["in/b/c/d.jpg", "in/b/e.gif", "in/notes.txt", "gone.png"]


def test_a_link_that_leads_round_in_a_circle_ends(tree: Path) -> None:
    (tree / "b/again").symlink_to(tree)
    assert len(names(tree)) == 4


def test_globs_are_expanded_and_a_file_of_that_very_name_comes_first(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    assert names("*.png", "a[0-9].PNG") == ["a10.png", "a2.PNG"]
    assert names("**/*.gif") == ["b/e.gif"] and names("b*") == ["b/c/d.jpg", "b/e.gif"]
    assert names("b/**") == ["b/c/d.jpg", "b/e.gif"]
    save(tree / "[1].png", DOT)
    assert names("[1].png") == ["[1].png"]


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_paths_on_standard_input(tree: Path, separator: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    given = separator.join([b"a10.png", b"b/c", b"not there.png", b""])
    assert names("-", stdin=given) == ["a10.png", "b/c/d.jpg", "not there.png"]


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "webp", "tiff", "bmp", "ppm"])
def test_the_bytes_of_one_image_on_standard_input(tmp_path: Path, kind: str) -> None:
    content = save(tmp_path / f"x.{kind}", np.zeros((4, 4, 3), dtype=np.uint8)).read_bytes()
    (one,) = find(["-"], io.BufferedReader(io.BytesIO(content)))
    assert one.name == "-" and isinstance(one.file, io.BytesIO) and one.file.getvalue() == content


def test_a_list_gives_true_classes(tree: Path) -> None:
    (tree / "list.csv").write_text("id,path,label\n1,a2.PNG,cat\n2,b/e.gif,\n")
    assert [(one.file, one.truth) for one in find([tree / "list.csv"])] == [
        (tree / "a2.PNG", "cat"),
        (tree / "b/e.gif", ""),
    ]


@pytest.mark.parametrize("given", ["empty", "*.nothing", "-"])
def test_nothing_to_classify_is_an_error(tmp_path: Path, given: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        names(given)
    assert caught.value.code == "CN304"


def test_a_name_that_is_no_text_can_be_printed(tmp_path: Path) -> None:
    try:
        Path(tmp_path / "\udcff.png").touch()
    except OSError:
        pytest.skip("this file system has names of text alone")
    (one,) = find([tmp_path])
    assert one.name.endswith("\\udcff.png") and Path(one.file).exists()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["b/1.png", "a/2.png", "a/x/3.png"], [("a", "2"), ("a", "3"), ("b", "1")]),
        (["train/a/1.png", "test/a/2.png", "test/b/3.png", "val/a/4.png"], [("a", "2"), ("b", "3")]),
        (["train/a/1.png", "train/b/2.png"], [("a", "1"), ("b", "2")]),
        (["test/1.png", "train/2.png"], [("test", "1"), ("train", "2")]),  # classes of these names
    ],
)
def test_labeled_folders(tmp_path: Path, files: list[str], expected: list[tuple[str, ...]]) -> None:
    for name in files:
        save(tmp_path / "data" / name, DOT)
    assert [(one.truth, Path(one.name).stem) for one in labeled(tmp_path / "data")] == expected


def test_labeled_lists(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("file,class,split\na.png,x,train\nb.png,y,test\n")
    assert [(one.truth, Path(one.name).name) for one in labeled(tmp_path / "x.csv")] == [("y", "b.png")]
    for text, why in (("file\na.png\n", "no column label"), ("file,label\na.png,\n", "no class")):
        (tmp_path / "x.csv").write_text(text)
        with pytest.raises(DataError) as caught:
            list(labeled(tmp_path / "x.csv"))
        assert caught.value.code == "CN307" and why in caught.value.why


def test_a_folder_without_classes(tree: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(labeled(tree / "b" / "c"))
    assert caught.value.code == "CN307"
