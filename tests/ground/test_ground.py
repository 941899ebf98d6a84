"""Texts, atomic writes and the ordered thread map; and that no other module implements them again."""

from __future__ import annotations

import ast
import functools
import os
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

import classicnets
from classicnets import files, text
from classicnets.errors import MachineError
from classicnets.workers import ordered_map

SOURCE = Path(classicnets.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))


# --- implemented once ---------------------------------------------------------------------------------------------


def is_rename(node: ast.AST) -> bool:
    """`path.replace(other)`, `path.rename(other)`, `os.replace` and their like; `str.replace` takes two arguments."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    name, owner = node.func.attr, getattr(node.func.value, "id", "")
    if owner in {"os", "shutil"}:
        return name in {"replace", "rename", "renames", "move"}
    return name == "rename" or (name == "replace" and len(node.args) == 1 and not node.keywords)


def is_joined_shape(node: ast.AST) -> bool:
    """`"x".join(map(str, shape))`."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join"):
        return False
    return isinstance(node.func.value, ast.Constant) and node.func.value.value in ("x", " x ")


def is_plural(node: ast.AST) -> bool:
    """`"s" * (n != 1)` and `"" if n == 1 else "s"`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return isinstance(node.left, ast.Constant) and node.left.value == "s"
    ends = [node.body, node.orelse] if isinstance(node, ast.IfExp) else []
    return {end.value for end in ends if isinstance(end, ast.Constant)} == {"", "s"}


def names(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join(words)})\b")


def uses(node: ast.AST, words: re.Pattern[str]) -> bool:
    """Whether the node is one of these names: a variable, an attribute or an import."""
    node_names = [getattr(node, "id", ""), getattr(node, "attr", "")]
    node_names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    node_names += [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
    return any(words.fullmatch(word) for word in node_names)


DIFFLIB, POOL, SYNC = names("difflib", "get_close_matches"), names("ThreadPoolExecutor", "ThreadPool"), names("fsync")
# How an implementation is recognized, the file that has it, and exceptions with their reasons.
ONCE: dict[str, tuple[Callable[[ast.AST], bool], str, dict[str, str]]] = {
    "nearest name": (
        lambda node: uses(node, DIFFLIB),
        "text.py",
        {"weights/differences.py": "compares lists of layers, not names"},
    ),
    "pool of threads": (
        lambda node: uses(node, POOL),
        "workers.py",
        {
            "acceleration/threads.py": "each of its threads sets how torch computes in it, and stays for every step",
            "serve/batches.py": "its thread stays for every request, and an event loop waits for it",
            "serve/predict.py": "its threads stay for every request, and an event loop waits for them",
        },
    ),
    "sync to disk": (lambda node: uses(node, SYNC), "files.py", {}),
    "rename of a file": (is_rename, "files.py", {"runs/folder.py": "a whole folder gets its name, not a file"}),
    "joined shape": (is_joined_shape, "text.py", {"models/layers.py": "models import torch only"}),
    "plural": (is_plural, "text.py", {}),
}


@functools.cache
def lines_of_implementations() -> dict[str, dict[str, list[int]]]:
    """For each of `ONCE`, the lines in each file. Parsing all files takes a second, so it is done once."""
    lines: dict[str, dict[str, list[int]]] = {what: {} for what in ONCE}
    for path in FILES:
        node: Any
        for node in ast.walk(ast.parse(path.read_text())):
            for what, (matches, _, _) in ONCE.items():
                if matches(node):
                    lines[what].setdefault(path.relative_to(SOURCE).as_posix(), []).append(node.lineno)
    return lines


@pytest.mark.parametrize("what", ONCE)
def test_is_implemented_in_one_file(what: str) -> None:
    _, home, exceptions = ONCE[what]
    places = lines_of_implementations()[what]
    elsewhere = {name: lines for name, lines in places.items() if name not in {home, *exceptions}}
    assert not elsewhere, elsewhere
    assert home in places or what in {"joined shape", "plural"}  # text.py implements these differently
    assert exceptions.keys() <= places.keys()


@pytest.mark.parametrize(
    ("matches", "source"),
    [
        (is_rename, "part.replace(path)"),
        (is_rename, "Path(name).rename(path)"),
        (is_rename, "os.replace(a, b)"),
        (is_joined_shape, "'x'.join(map(str, shape))"),
        (is_plural, "f\"{n} file{'s' * (n != 1)}\""),
        (is_plural, "'' if n == 1 else 's'"),
        (ONCE["nearest name"][0], "from difflib import get_close_matches"),
        (ONCE["nearest name"][0], "difflib.get_close_matches(a, b)"),
        (ONCE["pool of threads"][0], "from concurrent.futures import Future, ThreadPoolExecutor"),
        (ONCE["sync to disk"][0], "os.fsync(file.fileno())"),
    ],
)
def test_recognizes_implementations(matches: Callable[..., Any], source: str) -> None:
    assert any(map(matches, ast.walk(ast.parse(source))))


@pytest.mark.parametrize("source", ["text.replace('a', 'b')", "replace(recipe, net=net)", "', '.join(names)", "'s'"])
def test_does_not_match_similar_code(source: str) -> None:
    nodes = [*ast.walk(ast.parse(source))]
    assert not any(matches(node) for matches, _, _ in ONCE.values() for node in nodes)


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (text.shape((1, 28, 28)), "1x28x28"),
        (text.shape([16, 5, 5], " x "), "16 x 5 x 5"),
        (text.shape((7,)), "7"),
        (text.shape(()), "a single number"),
        (text.byte_count(None), "unknown"),
        (text.byte_count(0), "0 B"),
        (text.byte_count(999), "999 B"),
        (text.byte_count(1_000), "1.0 kB"),
        (text.byte_count(246_800), "246.8 kB"),
        (text.byte_count(26_421_880), "26.4 MB"),
        (text.byte_count(138 * 10**9), "138.0 GB"),
        (text.duration(0), "0.0 s"),
        (text.duration(8.34), "8.3 s"),
        (text.duration(10.4), "10 s"),
        (text.duration(59.6), "1 min 0 s"),
        (text.duration(250), "4 min 10 s"),
        (text.duration(3_600), "1 h 0 min"),
        (text.duration(97_200), "1 day 3 h"),
        (text.duration(3 * 86_400), "3 days 0 h"),
        (text.plural("{n} image", "{n:,} images", 0), "0 images"),
        (text.plural("{n} image", "{n:,} images", 1), "1 image"),
        (text.plural("{n} image", "{n:,} images", 1_200), "1,200 images"),
        (text.plural("{n} class", "{n:,} classes", 1), "1 class"),
        (text.plural("{n} class", "{n:,} classes", 2), "2 classes"),
        (text.join([]), ""),
        (text.join(["a", "b"]), "a, b"),
        (text.join([*"abcdef"], most=5), "a, b, c, d, e and 1 more"),
        (text.join([str(n) for n in range(2_000)], most=2), "0, 1 and 1,998 more"),
        (text.assignments({"lr": 0.1, "epochs": 2}), "lr=0.1, epochs=2"),
        (text.assignments({"activation": "relu"}, "net."), "net.activation=relu"),
        (text.assignments({}), ""),
        (text.nearest("epoch", ["lr", "epochs"]), "epochs"),
        (text.nearest("LENET_d2l", ["alexnet_d2l", "lenet_d2l"]), "lenet_d2l"),
        (text.nearest("cat", ["Cat", "CAT"]), "Cat"),
        (text.nearest("xyz", ["lenet", "alexnet"]), ""),
        (text.nearest("xyz", []), ""),
        (text.nearest("conv", ["convolution1"]), ""),
        (text.command("classicnets", "show", Path("my runs/a")), "classicnets show 'my runs/a'"),
    ],
)
def test_formats_text(actual: str, expected: str) -> None:
    assert actual == expected


# --- files -----------------------------------------------------------------------------------------------------------


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    files.write_whole(path, b"old")
    files.write_json(path, {"n": 1, "name": "é"})
    assert content(tmp_path) == {"x.json": '{\n  "n": 1,\n  "name": "é"\n}\n'.encode()}


def test_temporary_file_is_hidden_and_keeps_the_suffix(tmp_path: Path) -> None:
    with files.temporary_file(tmp_path / "net.onnx") as part:
        assert part.parent == tmp_path and part.suffix == ".onnx" and part.name.startswith(".net.")
        part.write_bytes(b"whole")
        files.move_into_place(part, tmp_path / "net.onnx")
    assert content(tmp_path) == {"net.onnx": b"whole"}


def test_unfinished_temporary_file_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in the middle"), files.temporary_file(tmp_path / "x.bin") as part:
        part.write_bytes(b"half")
        raise ValueError("in the middle")
    with files.temporary_file(tmp_path / "x.bin"):
        pass  # nothing is written
    assert content(tmp_path) == {}


@pytest.mark.parametrize("point", ["fsync", "replace"])
def test_failure_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    path = tmp_path / "x.json"
    files.write_whole(path, b"old")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync", fail) if point == "fsync" else (Path, "replace", fail)))
    with pytest.raises(MachineError) as caught:
        files.write_whole(path, b"new")
    assert caught.value.code == "CN401" and "No space left" in caught.value.why
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="needs permissions of POSIX")
def test_read_only_folder_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    try:
        if os.access(folder, os.W_OK):  # root can write everywhere
            pytest.skip("this user may write into a read-only folder")
        with pytest.raises(MachineError) as caught:
            files.write_whole(folder / "x.json", b"new")
        assert caught.value.code == "CN401" and caught.value.where == str(folder / "x.json")
    finally:
        folder.chmod(0o755)


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "none" / "x.json", tmp_path / "file" / "x.json"):
        with pytest.raises(MachineError) as caught:
            files.write_whole(path, b"new")
        assert caught.value.code == "CN401" and caught.value.where == str(path) and caught.value.why
    assert content(tmp_path) == {"file": b""}


def test_temporary_files_of_crashed_processes_are_removed(tmp_path: Path) -> None:
    other_files = {"x.json": b"1", ".hidden": b"2", "part.txt": b"3"}
    for name, data in {**other_files, ".x.0123456789ab.part.json": b"half", ".y.0123456789ab.part": b"half"}.items():
        (tmp_path / name).write_bytes(data)
    files.remove_parts(tmp_path)
    assert content(tmp_path) == other_files


# --- workers ---------------------------------------------------------------------------------------------------------


def test_results_have_the_order_of_the_items() -> None:
    def slower_first(n: int) -> int:
        time.sleep(0.02 * (n % 3 == 0))
        return n * n

    assert [*ordered_map(slower_first, range(50), threads=4)] == [n * n for n in range(50)]
    assert [*ordered_map(slower_first, [], threads=4)] == []


def test_threads_work_in_parallel() -> None:
    barrier = threading.Barrier(3, timeout=600)  # raises unless three calls wait at the same time
    assert len([*ordered_map(lambda _: barrier.wait(), range(6), threads=3)]) == 6


@pytest.mark.parametrize(("threads", "ahead", "most"), [(2, 3, 4), (1, 1, 2), (2, None, 17)])
def test_items_are_read_lazily(threads: int, ahead: int | None, most: int) -> None:
    read_items: list[int] = []

    def items() -> Iterator[int]:
        for n in range(1000):
            read_items.append(n)
            yield n

    results = ordered_map(lambda n: n, items(), threads=threads, ahead=ahead)
    assert isinstance(results, Generator)
    assert read_items == []  # nothing happens before the first result is requested
    for n in range(20):
        assert next(results) == n and len(read_items) <= n + most
    results.close()


def test_exception_is_raised_at_the_position_of_its_item() -> None:
    def fails(n: int) -> int:
        if n == 3:
            raise KeyError(n)
        return n

    results = ordered_map(fails, range(10), threads=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_exception_in_the_items_is_raised() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        [*ordered_map(lambda n: n, items(), threads=2)]


def test_closing_cancels_calls_that_have_not_started() -> None:
    started: list[int] = []
    release = threading.Event()

    def work(n: int) -> int:
        started.append(n)
        if n:
            release.wait(30)
        return n

    results = ordered_map(work, range(100), threads=1, ahead=10)
    assert isinstance(results, Generator)
    assert next(results) == 0
    closing = threading.Thread(target=results.close)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()  # it does not wait for running calls
    release.set()
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("classicnets")]
    for thread in workers:
        thread.join(10)
    assert len(started) <= 2  # the first call, and the one that ran when the iterator was closed
