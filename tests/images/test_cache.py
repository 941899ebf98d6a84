"""Kept images: the same as decoded ones, whatever happened to the files, the disk and the other processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from classicnets.errors import UsageError
from classicnets.images import cache
from classicnets.images.decode import read_fitted
from classicnets.values import Preprocess
from support.images import make_image_folder

SEEN = Preprocess(channels=3, image_size=12)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Thirty image files that are not new any more."""
    monkeypatch.setenv("CLASSICNETS_PICTURES", "disk")
    paths = sorted(make_image_folder(tmp_path / "x", per_class=10).rglob("*.*"))
    for path in paths:
        os.utime(path, (1e9, 1e9))
    monkeypatch.setattr(cache, "_FRESH_SECONDS", -10.0)  # the time of the last change cannot be set back
    return paths


def root() -> Path:
    return Path(os.environ["CLASSICNETS_CACHE"]) / "pictures"


def read(paths: Any, preprocess: Preprocess = SEEN, say: Callable[..., Any] = lambda _: None) -> cache.Read:
    found = cache.read_all(paths, preprocess, say)
    expected = [read_fitted(path, preprocess) for path in paths]
    np.testing.assert_array_equal(found.images, np.stack(expected))
    return found


def watched(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Which of the functions are called from now on."""
    calls: list[str] = []

    def spied(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def spy(*args: Any) -> Any:
            calls.append(name)
            return function(*args)

        return spy

    for name in names:
        monkeypatch.setattr(cache, name, spied(name, getattr(cache, name)))
    return calls


def test_a_second_reading_maps_and_opens_no_image(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(files)
    calls = watched(monkeypatch, "fit_bytes", "read_bytes")
    again = read(files)
    assert calls == [] and again.digests == first.digests
    assert sorted(p.suffix for p in root().iterdir()) == [".json", ".json", ".npy"]
    np.testing.assert_array_equal(np.load(next(root().glob("*.npy"))), again.images)  # an ordinary file of numpy's


def test_torch_takes_it_without_a_warning_and_cannot_change_the_file(files: list[Path]) -> None:
    read(files)
    images = read(files).images
    torch.from_numpy(images[:5]).zero_()
    assert not images[:5].any()
    read(files)


def test_the_number_of_oblong_images_is_kept(files: list[Path]) -> None:
    Image.new("RGB", (9, 5), (9, 9, 9)).save(files[3], "png")
    assert read(files).oblong == read(files).oblong == 1


@pytest.mark.parametrize(
    "other", [{"channels": 1}, {"image_size": 13}, {"fit": "crop"}, {"image_size": 14, "resize": 15}, {"pad": 1}]
)
def test_other_settings_are_other_images(files: list[Path], other: dict[str, Any]) -> None:
    read(files)
    read(files, Preprocess(**{"channels": 3, "image_size": 12, **other}))
    assert len(list(root().glob("*.npy"))) == 2
    read(files)


def test_a_new_version_of_the_decoder_decodes_again(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read(files)
    monkeypatch.setattr(cache, "DECODER", cache.DECODER + 1)
    calls = watched(monkeypatch, "fit_bytes")
    read(files)
    assert len(calls) == 30


def test_only_what_changed_is_read_again(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read(files)
    os.utime(files[4], (1.1e9, 1.1e9))  # touched, the same bytes
    calls = watched(monkeypatch, "read_bytes", "fit_bytes")
    read(files)
    assert calls == ["read_bytes"]
    calls.clear()
    read(files)
    assert calls == []
    shutil.copyfile(files[5], files[4])  # other bytes
    read(files)
    assert calls.count("fit_bytes") == 30


def test_other_bytes_of_the_same_size_and_time_are_seen(files: list[Path]) -> None:
    """As when a copy keeps the times: the time of the last change cannot be set by anyone."""
    path = files[0].with_suffix(".bmp")
    for color in ("red", "blue"):
        Image.new("RGB", (8, 8), color).save(path)
        os.utime(path, (1e9, 1e9))
        read([*files, path])


def test_a_file_that_is_new_is_not_believed_to_stay(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_FRESH_SECONDS", 2.0)
    read(files)
    calls = watched(monkeypatch, "read_bytes", "fit_bytes")
    read(files)
    assert "read_bytes" in calls


def test_another_order_and_a_part_are_themselves(files: list[Path]) -> None:
    read(files)
    read(files[::-1])
    read(files[3:7])
    read(files)


def test_a_copy_of_the_folder_needs_no_second_entry(files: list[Path], tmp_path: Path) -> None:
    read(files)
    copy = shutil.copytree(tmp_path / "x", tmp_path / "copy")
    read(sorted(copy.rglob("*.*")))
    assert len(list(root().glob("*.npy"))) == 1


@settings(max_examples=25)
@given(st.data())
def test_a_damaged_entry_is_made_again(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Cut, lengthened, or with bytes changed: the array, what is said of it, and the list of the files."""
    with pytest.MonkeyPatch.context() as patch:
        base = tmp_path_factory.mktemp("damaged")
        patch.setenv("CLASSICNETS_CACHE", str(base / "cache"))
        patch.setenv("CLASSICNETS_PICTURES", "disk")
        patch.setattr(cache, "_FRESH_SECONDS", -10.0)
        paths = sorted(make_image_folder(base / "x", per_class=2).rglob("*.*"))
        read(paths)
        victim = data.draw(st.sampled_from(sorted(root().iterdir(), key=lambda p: (p.suffix, len(p.name)))))
        content = victim.read_bytes()
        place = data.draw(st.integers(0, len(content) - 1))
        how = data.draw(st.sampled_from(["cut", "flip", "grow", "gone"]))
        if how == "gone":
            victim.unlink()
        else:
            flipped = content[:place] + bytes([content[place] ^ 0x11]) + content[place + 1 :]
            victim.write_bytes({"cut": content[:place], "flip": flipped, "grow": content + b"x"}[how])
        read(paths)
        read(paths)


def test_damage_is_said(files: list[Path]) -> None:
    read(files)
    array = next(root().glob("*.npy"))
    array.write_bytes(array.read_bytes()[:-1])
    said: list[str] = []
    read(files, say=said.append)
    assert said == [f"{array} is damaged; the images are decoded again"]
    read(files, say=pytest.fail)


def test_two_processes_make_the_same_entry_at_once(files: list[Path], tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib, hashlib\n"
        "from classicnets.images.cache import read_all\n"
        "from classicnets.values import Preprocess\n"
        "paths = sorted(pathlib.Path(sys.argv[1]).rglob('*.*'))\n"
        "pathlib.Path(sys.argv[2]).touch()\n"
        "while not pathlib.Path(sys.argv[3]).exists(): time.sleep(0.001)\n"
        "for side in (12, 13, 14, 15):\n"
        "    images = read_all(paths, Preprocess(channels=3, image_size=side), print).images\n"
        "    print(hashlib.sha256(images.tobytes()).hexdigest())\n"
    )
    ready, go = [tmp_path / "ready0", tmp_path / "ready1"], tmp_path / "go"
    with ExitStack() as stack:
        both = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code, str(tmp_path / "x"), str(mark), str(go)],
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for mark in ready
        ]
        stack.callback(go.touch)  # also where the test fails: nobody waits for ever
        while not all(mark.exists() for mark in ready):
            assert all(process.poll() is None for process in both)
            time.sleep(0.01)
        go.touch()
        outs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outs[0] == outs[1] and len(outs[0].split()) == 4
    assert not list(root().glob("*part*")) and len(list(root().glob("*.npy"))) == 4
    read(files)


def test_a_disk_that_cannot_be_written_is_said_once_and_done_without(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root().parent.mkdir()
    root().write_text("a file where the folder should be")
    said: list[str] = []
    read(files, say=said.append)
    assert len(said) == 1 and "cannot be kept" in said[0] and "memory" in said[0]


@pytest.mark.parametrize("when", [0, 10])
def test_a_full_disk_is_done_without_and_leaves_nothing(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    """Full from the start as the system tells it, or while it is written: /dev/full answers as a full disk does."""
    if when == 0:
        monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    else:
        if not Path("/dev/full").exists():
            pytest.skip("no /dev/full on this system")
        monkeypatch.setattr(cache, "temporary_file", lambda _: nullcontext(Path("/dev/full")))
    said: list[str] = []
    read(files, say=said.append)
    assert len(said) == 1 and "stay in memory" in said[0]
    assert not list(root().glob("*part*")) and not list(root().glob("*.npy"))


def test_what_was_used_longest_ago_goes(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT_BYTES", 3 * (30 * 3 * 12 * 12 + 128))
    for side, age in ((10, 400), (11, 300), (12, 200)):
        before = set(root().glob("*.npy")) if root().exists() else set()
        read(files, Preprocess(channels=3, image_size=side))
        (new,) = set(root().glob("*.npy")) - before
        os.utime(new.with_suffix(".json"), (time.time() - age,) * 2)
    assert len(list(root().glob("*.npy"))) == 3
    read(files, Preprocess(channels=3, image_size=10))  # used again, so the one of 11 is the oldest
    old = root() / "part-left"
    old.touch()
    os.utime(old, (1e9, 1e9))
    read(files, Preprocess(channels=3, image_size=13))
    sides = {np.load(path, mmap_mode="r").shape[-1] for path in root().glob("*.npy")}
    assert sides == {10, 12, 13} or sides == {10, 13}
    assert 11 not in sides and not old.exists()


def test_the_others_are_kept_and_faults_are_remembered_with_them(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files[2].write_bytes(b"")
    files[7].unlink()
    good = [path for i, path in enumerate(files) if i not in (2, 7)]
    found = cache.read_all(files, SEEN, pytest.fail)
    calls = watched(monkeypatch, "fit_bytes")
    for again in (found, cache.read_all(files, SEEN, pytest.fail)):
        np.testing.assert_array_equal(again.images, np.stack([read_fitted(path, SEEN) for path in good]))
        assert {i: fault.where for i, fault in again.faults.items()} == {2: str(files[2]), 7: str(files[7])}
        assert [fault.why or fault.what for fault in again.faults.values()] == [
            fault.why or fault.what for fault in found.faults.values()
        ]
        assert len(again.digests) == len(files) and again.digests == found.digests
    assert not calls  # the second time nothing was decoded
    shutil.copy(files[0], files[7])
    assert list(cache.read_all(files, SEEN, pytest.fail).faults) == [2]


def test_reading_stops_at_the_most_faults_and_nothing_is_kept(files: list[Path]) -> None:
    for path in files[10:]:
        path.write_bytes(b"")
    found = cache.read_all(files, SEEN, pytest.fail, most_faults=4)
    assert len(found.faults) == 4 and not len(found.images)
    assert not list(root().glob("*.npy")) and not list(root().glob("part-*"))


def test_where_they_are_kept_can_be_chosen(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSICNETS_PICTURES", "memory")
    read(files)
    monkeypatch.delenv("CLASSICNETS_PICTURES")
    read(files)  # few of them: in memory
    assert not root().exists()
    monkeypatch.setattr(cache, "SMALL_BYTES", 1)
    read(files)
    assert len(list(root().glob("*.npy"))) == 1
    monkeypatch.setenv("CLASSICNETS_PICTURES", "ram")
    with pytest.raises(UsageError, match="ram") as caught:
        read(files)
    assert caught.value.code == "CN204"
