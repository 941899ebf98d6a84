"""The image cache returns what decoding returns, whatever happens to files, disk and other processes."""

from __future__ import annotations

import errno
import json
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
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from classicnets.errors import UsageError
from classicnets.images import cache, survey
from classicnets.images.decode import DECODER_VERSION, read_fitted
from classicnets.values import Preprocess
from support.images import make_image_folder

PREPROCESS = Preprocess(channels=3, image_size=12)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Thirty image files that were modified long ago."""
    monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", "disk")
    paths = sorted(make_image_folder(tmp_path / "x", per_class=10).rglob("*.*"))
    for path in paths:
        os.utime(path, (1e9, 1e9))
    monkeypatch.setattr(cache, "FRESH_SECONDS", -10.0)  # the change time cannot be set
    return paths


def root() -> Path:
    return Path(os.environ["CLASSICNETS_CACHE"]) / "pictures"


def read(
    paths: Any, preprocess: Preprocess = PREPROCESS, say: Callable[..., Any] = lambda _: None
) -> cache.DecodedImages:
    decoded = cache.read_images(paths, preprocess, say)
    expected = [read_fitted(path, preprocess) for path in paths]
    np.testing.assert_array_equal(decoded.images, np.stack(expected))
    return decoded


def record_calls(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """A list to which calls of these functions are added."""
    calls: list[str] = []

    def recorded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            calls.append(name)
            return function(*args)

        return call

    for name in names:
        monkeypatch.setattr(cache, name, recorded(name, getattr(cache, name)))
    return calls


def test_second_read_maps_the_cache_and_opens_no_image(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(files)
    calls = record_calls(monkeypatch, "fit_bytes", "read_bytes")
    again = read(files)
    assert calls == [] and again.digests == first.digests
    assert sorted(p.suffix for p in root().iterdir()) == [".json", ".json", ".npy"]
    np.testing.assert_array_equal(np.load(next(root().glob("*.npy"))), again.images)  # an ordinary .npy file


def test_torch_accepts_the_mapping_and_cannot_change_the_file(files: list[Path]) -> None:
    read(files)
    images = read(files).images
    torch.from_numpy(images[:5]).zero_()
    assert not images[:5].any()
    read(files)


def test_caches_the_number_of_non_square_images(files: list[Path]) -> None:
    Image.new("RGB", (9, 5), (9, 9, 9)).save(files[3], "png")
    assert read(files).non_square_count == read(files).non_square_count == 1


@pytest.mark.parametrize(
    "other", [{"channels": 1}, {"image_size": 13}, {"fit": "crop"}, {"image_size": 14, "resize": 15}, {"pad": 1}]
)
def test_other_settings_make_another_entry(files: list[Path], other: dict[str, Any]) -> None:
    read(files)
    read(files, Preprocess(**{"channels": 3, "image_size": 12, **other}))
    assert len(list(root().glob("*.npy"))) == 2
    read(files)


def test_new_decoder_version_decodes_again(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read(files)
    monkeypatch.setattr(cache, "DECODER_VERSION", DECODER_VERSION + 1)
    calls = record_calls(monkeypatch, "fit_bytes")
    read(files)
    assert len(calls) == 30


def test_reads_only_changed_files_again(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read(files)
    os.utime(files[4], (1.1e9, 1.1e9))  # same content, new time
    calls = record_calls(monkeypatch, "read_bytes", "fit_bytes")
    read(files)
    assert calls == ["read_bytes"]
    calls.clear()
    read(files)
    assert calls == []
    shutil.copyfile(files[5], files[4])  # other content
    read(files)
    assert calls.count("fit_bytes") == 30


def test_detects_other_content_of_the_same_size_and_time(files: list[Path]) -> None:
    """As when a copy keeps its modification time; the change time cannot be set."""
    path = files[0].with_suffix(".bmp")
    for color in ("red", "blue"):
        Image.new("RGB", (8, 8), color).save(path)
        os.utime(path, (1e9, 1e9))
        read([*files, path])


def test_reads_recently_modified_files_again(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "FRESH_SECONDS", 2.0)
    read(files)
    calls = record_calls(monkeypatch, "read_bytes", "fit_bytes")
    read(files)
    assert "read_bytes" in calls


def test_another_order_or_subset_is_read_correctly(files: list[Path]) -> None:
    read(files)
    read(files[::-1])
    read(files[3:7])
    read(files)


def test_copy_of_the_folder_shares_the_entry(files: list[Path], tmp_path: Path) -> None:
    read(files)
    copy = shutil.copytree(tmp_path / "x", tmp_path / "copy")
    read(sorted(copy.rglob("*.*")))
    assert len(list(root().glob("*.npy"))) == 1


@settings(max_examples=25)
@given(st.data())
def test_replaces_a_damaged_entry(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Truncated, lengthened, changed or missing: the array, its facts, or the records of the files."""
    with pytest.MonkeyPatch.context() as patch:
        base = tmp_path_factory.mktemp("damaged")
        patch.setenv("CLASSICNETS_CACHE", str(base / "cache"))
        patch.setenv("CLASSICNETS_IMAGE_CACHE", "disk")
        patch.setattr(cache, "FRESH_SECONDS", -10.0)
        paths = sorted(make_image_folder(base / "x", per_class=2).rglob("*.*"))
        read(paths)
        entry = data.draw(st.sampled_from(sorted(root().iterdir(), key=lambda p: (p.suffix, len(p.name)))))
        content = entry.read_bytes()
        position = data.draw(st.integers(0, len(content) - 1))
        damage = data.draw(st.sampled_from(["cut", "flip", "grow", "gone"]))
        if damage == "gone":
            entry.unlink()
        else:
            flipped = content[:position] + bytes([content[position] ^ 0x11]) + content[position + 1 :]
            entry.write_bytes({"cut": content[:position], "flip": flipped, "grow": content + b"x"}[damage])
        read(paths)
        read(paths)


def test_reports_damage(files: list[Path]) -> None:
    read(files)
    array = next(root().glob("*.npy"))
    array.write_bytes(array.read_bytes()[:-1])
    messages: list[str] = []
    read(files, say=messages.append)
    assert messages == [f"{array} is damaged; the images are decoded again"]
    read(files, say=pytest.fail)


def test_two_processes_decode_each_image_once(files: list[Path], tmp_path: Path) -> None:
    """One of them decodes, the other one waits; both have the same images."""
    code = (
        "import sys, time, pathlib, hashlib\n"
        "from classicnets.images import cache\n"
        "from classicnets.values import Preprocess\n"
        "paths = sorted(pathlib.Path(sys.argv[1]).rglob('*.*'))\n"
        "decode, decoded, notes = cache.fit_bytes, [], []\n"
        "cache.fit_bytes = lambda *args: decoded.append(1) or decode(*args)\n"
        "pathlib.Path(sys.argv[2]).touch()\n"
        "while not pathlib.Path(sys.argv[3]).exists(): time.sleep(0.001)\n"
        "for side in (12, 13, 14, 15):\n"
        "    images = cache.read_images(paths, Preprocess(channels=3, image_size=side), notes.append).images\n"
        "    print(hashlib.sha256(images.tobytes()).hexdigest())\n"
        "print(len(decoded), {*notes} - {'another process is decoding the same images; waiting for it'})\n"
    )
    ready, go = [tmp_path / "ready0", tmp_path / "ready1"], tmp_path / "go"
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code, str(tmp_path / "x"), str(mark), str(go)],
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for mark in ready
        ]
        stack.callback(go.touch)  # also if the test fails, so that no process waits forever
        while not all(mark.exists() for mark in ready):
            assert all(process.poll() is None for process in processes)
            time.sleep(0.01)
        go.touch()
        outs = [process.communicate()[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outs[0][:4] == outs[1][:4] and len({*outs[0][:4]}) == 4
    counts, others = zip(*(out[4].split(maxsplit=1) for out in outs), strict=True)
    assert sum(map(int, counts)) == 4 * len(files) and others == ("set()", "set()")
    assert not list(root().glob("*part*")) and not list(root().glob("*.lock")) and len(list(root().glob("*.npy"))) == 4
    read(files)


def test_waits_for_a_process_that_decodes_the_same_images(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock of this process stands for one of another; it is given back when the waiting process says so."""
    expected = read(files)
    shutil.copytree(root(), root().parent / "copy")
    shutil.rmtree(root())
    root().mkdir()
    entry = cache._DiskCache(root(), files, PREPROCESS, (30, 3, 12, 12), pytest.fail)
    lock = FileLock(entry.lock_file)
    lock.acquire()
    notes: list[str] = []

    def finish(note: str) -> None:
        """As the other process ends: it has decoded the images, or died before."""
        notes.append(note)
        if len(notes) == 1:
            shutil.copytree(root().parent / "copy", root(), dirs_exist_ok=True)
        lock.release()

    calls = record_calls(monkeypatch, "fit_bytes")
    assert read(files, say=finish).digests == expected.digests
    assert notes == ["another process is decoding the same images; waiting for it"] and not calls
    for path in root().glob("*.npy"):
        path.unlink()
    lock.acquire()
    read(files, say=finish)
    assert len(notes) == 2 and len(calls) == len(files)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EACCES])
def test_works_without_locks(files: list[Path], monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "acquire", fail)
    read(files, say=pytest.fail)
    assert len(list(root().glob("*.npy"))) == 1


def test_works_without_a_writable_disk_and_reports_it_once(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root().parent.mkdir()
    root().write_text("a file where the folder should be")
    messages: list[str] = []
    read(files, say=messages.append)
    assert len(messages) == 1 and "stay in memory" in messages[0] and "cannot be written" in messages[0]


@pytest.mark.parametrize("when", [0, 10])
def test_works_with_a_full_disk_and_leaves_no_files(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    """Full from the start according to the system, or during writing: /dev/full behaves as a full disk."""
    if when == 0:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    else:
        if not Path("/dev/full").exists():
            pytest.skip("no /dev/full on this system")
        monkeypatch.setattr(cache, "temporary_file", lambda _: nullcontext(Path("/dev/full")))
    messages: list[str] = []
    read(files, say=messages.append)
    assert len(messages) == 1 and "stay in memory" in messages[0]
    assert not list(root().glob("*part*")) and not list(root().glob("*.npy"))


def test_removes_the_least_recently_used_entries(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_CACHE_BYTES", 3 * (30 * 3 * 12 * 12 + 128))
    for size, age in ((10, 400), (11, 300), (12, 200)):
        before = set(root().glob("*.npy")) if root().exists() else set()
        read(files, Preprocess(channels=3, image_size=size))
        (new,) = set(root().glob("*.npy")) - before
        os.utime(new.with_suffix(".json"), (time.time() - age,) * 2)
    assert len(list(root().glob("*.npy"))) == 3
    read(files, Preprocess(channels=3, image_size=10))  # used again, so that 11 is the oldest
    old = root() / "part-left"
    old.touch()
    os.utime(old, (1e9, 1e9))
    read(files, Preprocess(channels=3, image_size=13))
    sizes = {np.load(path, mmap_mode="r").shape[-1] for path in root().glob("*.npy")}
    assert sizes == {10, 12, 13} or sizes == {10, 13}
    assert 11 not in sizes and not old.exists()


@pytest.mark.parametrize("kind", ["files", "survey"])
def test_removes_the_facts_about_files_that_were_not_used_for_longest(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Digests and surveys of files; those that were used last stay."""
    root().mkdir(parents=True)
    old = [root() / f"{number}.{kind}.json" for number in range(5)]
    for age, path in enumerate(old):
        path.write_bytes(bytes(1000))
        os.utime(path, (1e9 - age,) * 2)
    monkeypatch.setattr(cache, "MAX_FACTS_BYTES", 3500)
    cache.remove_old_entries(root())
    assert [path.exists() for path in old] == [True, True, True, False, False]
    monkeypatch.setattr(cache, "MAX_FACTS_BYTES", 10)
    read(files)  # writes digests, which stay because they are the newest
    assert not any(path.exists() for path in old) and len(list(root().glob("*.files.json"))) == 1


def test_a_survey_is_kept_while_it_is_used(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "ANNOUNCED_COUNT", 10)
    monkeypatch.setattr(cache, "FRESH_SECONDS", -10.0)
    found = survey._inspect(files, lambda _: None)
    (kept,) = root().glob("*.survey.json")
    os.utime(kept, (1e9, 1e9))
    monkeypatch.setattr(survey, "inspect_files", lambda _: pytest.fail("looked at again"))
    assert survey._inspect(files, pytest.fail) == json.loads(json.dumps(found))
    assert kept.stat().st_mtime > 1e9
    monkeypatch.setattr(cache, "MAX_FACTS_BYTES", 10)
    read(files)
    assert not kept.exists()


def test_caches_readable_images_and_the_faults_of_others(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    files[2].write_bytes(b"")
    files[7].unlink()
    good = [path for i, path in enumerate(files) if i not in (2, 7)]
    decoded = cache.read_images(files, PREPROCESS, pytest.fail)
    calls = record_calls(monkeypatch, "fit_bytes")
    for again in (decoded, cache.read_images(files, PREPROCESS, pytest.fail)):
        np.testing.assert_array_equal(again.images, np.stack([read_fitted(path, PREPROCESS) for path in good]))
        assert {i: fault.where for i, fault in again.faults.items()} == {2: str(files[2]), 7: str(files[7])}
        assert [fault.why or fault.what for fault in again.faults.values()] == [
            fault.why or fault.what for fault in decoded.faults.values()
        ]
        assert len(again.digests) == len(files) and again.digests == decoded.digests
    assert not calls  # nothing was decoded the second time
    shutil.copy(files[0], files[7])
    assert list(cache.read_images(files, PREPROCESS, pytest.fail).faults) == [2]


def test_stops_at_max_faults_and_caches_nothing(files: list[Path]) -> None:
    for path in files[10:]:
        path.write_bytes(b"")
    decoded = cache.read_images(files, PREPROCESS, pytest.fail, max_faults=4)
    assert len(decoded.faults) == 4 and not len(decoded.images)
    assert not list(root().glob("*.npy")) and not list(root().glob("part-*"))


def test_old_name_of_the_variable_works_with_a_note(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLASSICNETS_IMAGE_CACHE")
    monkeypatch.setenv("CLASSICNETS_PICTURES", "disk")
    messages: list[str] = []
    read(files, say=messages.append)
    assert len(list(root().glob("*.npy"))) == 1
    assert messages == [
        "the variable CLASSICNETS_PICTURES is now called CLASSICNETS_IMAGE_CACHE; the old name still works"
    ]
    monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", "memory")  # the new name has priority
    read(files, PREPROCESS, pytest.fail)
    monkeypatch.delenv("CLASSICNETS_IMAGE_CACHE")
    monkeypatch.setenv("CLASSICNETS_PICTURES", "ram")
    with pytest.raises(UsageError) as caught:
        read(files)
    assert caught.value.hints == ("unset CLASSICNETS_PICTURES",)


def test_variable_chooses_the_place(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", "memory")
    read(files)
    monkeypatch.delenv("CLASSICNETS_IMAGE_CACHE")
    read(files)  # few images stay in memory
    assert not root().exists()
    monkeypatch.setattr(cache, "SMALL_BYTES", 1)
    read(files)
    assert len(list(root().glob("*.npy"))) == 1
    monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", "ram")
    with pytest.raises(UsageError, match="ram") as caught:
        read(files)
    assert caught.value.code == "CN204"
