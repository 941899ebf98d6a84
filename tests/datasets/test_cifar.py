"""CIFAR's files: records come back bit for bit; of an archive no path is used; a set is had by name."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classicnets.datasets import sources
from classicnets.datasets.catalog import DATASETS, Dataset
from classicnets.datasets.formats import read_cifar, tar_pieces
from classicnets.datasets.types import Description
from classicnets.errors import DataError
from classicnets.images.loading import check, describe, load
from classicnets.text import byte_count
from support.cifar import INNER, PACKED, cifar_dataset_of, make_archive, make_cifar_folder, published, records
from support.command_line import CommandLine
from support.mirrors import Mirror

FILES = ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"]


# --- records ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label_bytes", [1, 2])
@pytest.mark.parametrize("gz", [False, True])
def test_records_come_back(tmp_path: Path, label_bytes: int, gz: bool) -> None:
    images, labels, content = records(7, label_bytes=label_bytes)
    path = tmp_path / "train.bin"
    path.write_bytes(gzip.compress(content) if gz else content)
    got, columns = read_cifar(path, label_bytes)
    np.testing.assert_array_equal(got, images)
    np.testing.assert_array_equal(columns[:, -1], labels)
    assert (got.dtype, columns.dtype, columns.shape) == (np.uint8, np.uint8, (7, label_bytes))


def test_the_layout_is_red_green_blue_row_by_row(tmp_path: Path) -> None:
    pixels = bytes([11]) * 1024 + bytes([22]) * 1024 + bytes([33]) * 1023 + bytes([99])
    (tmp_path / "f").write_bytes(bytes([7]) + pixels)
    image = read_cifar(tmp_path / "f", 1)[0][0]
    assert [image[channel, 0, 0] for channel in range(3)] == [11, 22, 33]
    assert image[2, 31, 31] == 99


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "0 bytes are not a whole number of records of 1 + 3,072 bytes"),
        (bytes(3073 + 100), "3,173 bytes are not a whole number of records"),
        (bytes(3 * 3073), "more than 6,146 bytes"),
        (gzip.compress(bytes(3073), mtime=0)[:-9], "cut short: the gzip stream breaks off"),
        (gzip.compress(bytes(3073), mtime=0)[:-8] + bytes(8), "the gzip stream is damaged: CRC check failed"),
    ],
    ids=["empty", "part of a record", "too many", "cut", "check sum"],
)
def test_what_is_wrong_with_records_is_said(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(DataError, match=r"error\[CN301\]: f is not a sound file of CIFAR records") as caught:
        read_cifar(tmp_path / "f", 1, max_bytes=2 * 3073)
    assert why in caught.value.why


# --- archives --------------------------------------------------------------------------------------------------------

MEMBERS = {"in/a.bin": b"a" * 700, "in/readme": b"r" * 5, "in/b.bin": b"b" * 1024}
SIZES = {"a.bin": 700, "b.bin": 1024}


def taken(path: Path, sizes: dict[str, int] = SIZES) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, piece in tar_pieces(path, sizes):
        found[name] = found.get(name, b"") + piece
    return found


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_files_that_are_asked_for_come_out(tmp_path: Path, mode: str, format: int) -> None:
    path = make_archive(tmp_path / "tar", MEMBERS, mode=mode, format=format)
    assert taken(path) == {"a.bin": MEMBERS["in/a.bin"], "b.bin": MEMBERS["in/b.bin"]}
    assert taken(path, {"a.bin": 699, "c.bin": 5}) == {}  # another size, and one that is not there


def test_links_and_second_copies_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "tar"
    with tarfile.open(path, "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            link = tarfile.TarInfo("a.bin")
            link.type, link.linkname = kind, "/etc/passwd"
            tar.addfile(link)
        for content in (b"first", b"again"):
            member = tarfile.TarInfo("b.bin")
            member.size = 5
            tar.addfile(member, io.BytesIO(content))
    assert taken(path, {"a.bin": 0, "b.bin": 5, "none": 1}) == {"b.bin": b"first"}


def test_every_truncation_of_an_archive_is_an_error_or_lacks_files(tmp_path: Path) -> None:
    whole = make_archive(tmp_path / "whole", {"a.bin": b"a" * 700, "b.bin": b"b" * 10}, mode="w").read_bytes()
    path = tmp_path / "cut"
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        try:
            assert set(taken(path, {"a.bin": 700, "b.bin": 10})) < {"a.bin", "b.bin"} or length >= 2058
        except DataError as error:
            assert error.code == "CN301"


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 511), value=st.integers(0, 255))
def test_a_changed_byte_of_a_header_is_found_by_its_check_sum(at: int, value: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = make_archive(Path(folder) / "tar", {"a.bin": b"a" * 700}, mode="w")
        content = bytearray(path.read_bytes())
        changed = content[at] != value
        content[at] = value
        path.write_bytes(content)
        try:
            assert taken(path, {"a.bin": 700}) == {"a.bin": b"a" * 700}
        except DataError as error:
            assert changed and error.code == "CN301"


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=1200))
def test_noise_is_no_archive(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tar"
        path.write_bytes(content)
        try:
            assert taken(path) == {}
        except DataError as error:
            assert error.code == "CN301"


def test_a_web_page_in_place_of_an_archive_is_said(tmp_path: Path) -> None:
    (tmp_path / PACKED).write_bytes(b"<!DOCTYPE html>" + b" " * 600)
    with pytest.raises(DataError, match="; it looks like a web page"):
        taken(tmp_path / PACKED)


@pytest.mark.parametrize("stated", [None, 2**33 - 1])
def test_a_bomb_costs_no_memory(tmp_path: Path, stated: int | None) -> None:
    """64 MB of zeros, as a file of its own or behind a size that lies, in an archive for 1,724 bytes."""
    member = tarfile.TarInfo("a.bin")
    member.size = stated or 2**26
    (tmp_path / "tar").write_bytes(gzip.compress(member.tobuf() + bytes(2**26), compresslevel=1))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="it holds more than the 1,724 bytes that it should"):
            taken(tmp_path / "tar")
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


# --- a set by name ---------------------------------------------------------------------------------------------------


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A folder with the archive alone, as a mirror has it; the files in it lie in its neighbor `files`."""
    (tmp_path / "origin").mkdir()
    published(make_cifar_folder(tmp_path / "files"), tmp_path / "origin" / PACKED)
    return tmp_path / "origin"


@pytest.fixture
def toy(origin: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    dataset = cifar_dataset_of(origin.parent / "files", origin / PACKED)
    monkeypatch.setitem(DATASETS, "toy", dataset)
    monkeypatch.setenv("NO_PROXY", "*")
    return dataset


@pytest.fixture
def mirror(origin: Path, toy: Dataset, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Mirror]]:
    servers: list[Mirror] = []
    monkeypatch.delenv("CLASSICNETS_OFFLINE")

    def start() -> Mirror:
        servers.append(Mirror(origin))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        changed = replace(toy, mirrors=tuple(server.url for server in servers))
        monkeypatch.setitem(DATASETS, "toy", changed)
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def kept() -> list[str]:
    folder = sources.cache_root() / "data" / "toy"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_set_is_fetched_unpacked_and_loaded(toy: Dataset, mirror: Callable[[], Mirror]) -> None:
    first, second = mirror(), mirror()
    first.files.clear()
    said: list[str] = []
    data = load("toy", say=said.append)
    assert said == [
        f"toy: mirror {first.url}: HTTP 404 Not Found",
        f"toy: downloading {PACKED} ({byte_count(toy.archive.file.size)}) from {second.url}",
    ]
    assert kept() == FILES
    images, labels, _ = records(20, seed=0)
    more, _, _ = records(20, seed=1)
    np.testing.assert_array_equal(data.train.images, np.concatenate([images, more]))
    np.testing.assert_array_equal(data.train.labels, np.concatenate([labels, labels]))
    np.testing.assert_array_equal(data.test.images, records(10, seed=2)[0])
    assert (data.train.labels.dtype, data.fingerprint) == (np.int64, toy.fingerprint)
    assert describe("toy") == Description("toy", toy.classes, (3, 32, 32), train=40, test=10)
    assert load("toy", say=said.append).source.startswith("cache ")
    assert len(said) == 2


def test_of_two_labels_the_class_is_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_cifar_folder(tmp_path / "files", label_bytes=2)
    archive = published(folder, tmp_path / PACKED)
    monkeypatch.setitem(DATASETS, "toy", cifar_dataset_of(folder, archive, label_bytes=2))
    sources.bring(DATASETS["toy"], archive)
    assert load("toy").test.labels.tolist() == list(range(10))


def test_another_archive_and_one_that_broke_off_are_refused(
    toy: Dataset, mirror: Callable[[], Mirror], origin: Path, tmp_path: Path
) -> None:
    broken, other, good = mirror(), mirror(), mirror()
    broken.files[PACKED] = (origin / PACKED).read_bytes()[:-20]
    other.files[PACKED] = published(make_cifar_folder(tmp_path / "more", batch=21), tmp_path / PACKED).read_bytes()
    said: list[str] = []
    assert sources.obtain(DATASETS["toy"], say=said.append).source.startswith(f"mirror {good.url}")
    refusals = [line for line in said if "downloading" not in line]
    assert refusals[0].startswith(f"toy: mirror {broken.url}: {PACKED}: other bytes: sha256 ")
    assert refusals[1].startswith(f"toy: mirror {other.url}: {PACKED}: ")
    assert len(refusals) == 2
    assert kept() == FILES


def test_files_that_are_not_the_archives_are_never_kept(
    toy: Dataset, mirror: Callable[[], Mirror], origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive is the published one, but what comes out of it is not what it should be."""
    mirror()
    test = replace(toy.files[-1], sha256="0" * 64)
    wrong = replace(DATASETS["toy"], files=(*toy.files[:-1], test))
    monkeypatch.setitem(DATASETS, "toy", wrong)
    with pytest.raises(DataError, match=r"test_batch\.bin: other bytes"):
        sources.obtain(wrong, say=lambda _: None)
    assert kept() == []


def test_only_what_is_missing_is_replaced(toy: Dataset, mirror: Callable[[], Mirror], tmp_path: Path) -> None:
    mirror()
    cache = shutil.copytree(tmp_path / "files", sources.cache_root() / "data" / "toy")
    before = (cache / FILES[0]).stat().st_mtime_ns
    (cache / FILES[1]).write_bytes(b"damaged")
    said: list[str] = []
    sources.obtain(DATASETS["toy"], say=said.append)
    assert said[0].startswith("toy: data_batch_2.bin in the cache is damaged (other bytes")
    assert all(report.status == "ok" for report in check("toy"))
    assert (cache / FILES[0]).stat().st_mtime_ns == before


def test_check_names_what_is_wrong(toy: Dataset, tmp_path: Path) -> None:
    assert [report.status for report in check("toy")] == ["missing"] * 3
    cache = shutil.copytree(tmp_path / "files", sources.cache_root() / "data" / "toy")
    (cache / FILES[0]).write_bytes((cache / FILES[1]).read_bytes())
    (cache / FILES[2]).unlink()
    first, second, test = check("toy")
    assert (first.status, second.status, test.status) == ("wrong", "ok", "missing")
    assert first.detail.endswith("these are Toy's train-2")
    assert second.detail.endswith("61,460 bytes, 20 images, labels 0..9, sha256 ok")


def test_a_label_out_of_range_is_an_error(toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tmp_path / "files", sources.cache_root() / "data" / "toy")
    monkeypatch.setitem(DATASETS, "toy", replace(toy, classes=toy.classes[:9]))
    with pytest.raises(DataError, match="the largest label is 9, but there are 9 classes"):
        load("toy")


# --- by hand ---------------------------------------------------------------------------------------------------------


def lay(what: str, files: Path, archive: Path, place: Path) -> Path:
    """The same set as people have it after a download by hand."""
    place.mkdir()
    match what:
        case "the archive in a folder":
            shutil.copy(archive, place)
        case "the archive":
            return Path(shutil.copy(archive, place))
        case "the archive under another name":
            return Path(shutil.copy(archive, place / "download(1).tgz"))
        case "the archive without gzip":
            (place / PACKED.removesuffix(".gz")).write_bytes(gzip.decompress(archive.read_bytes()))
        case "an archive made anew":
            make_archive(place / PACKED, {f"./x/{path.name}": path.read_bytes() for path in files.iterdir()})
        case "the extracted folder":
            return shutil.copytree(files, place / INNER)
        case "the extracted folder in a folder":
            shutil.copytree(files, place / INNER)
        case "files with gzip":
            for path in files.iterdir():
                (place / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    return place


@pytest.mark.parametrize(
    "what",
    [
        "the archive in a folder",
        "the archive",
        "the archive under another name",
        "the archive without gzip",
        "an archive made anew",
        "the extracted folder",
        "the extracted folder in a folder",
        "files with gzip",
    ],
)
def test_what_was_fetched_by_hand_is_recognized(
    cli: CommandLine, toy: Dataset, origin: Path, tmp_path: Path, what: str
) -> None:
    place = lay(what, tmp_path / "files", origin / PACKED, tmp_path / "given")
    code, out, err = cli("data", "import", "toy", place)
    assert (code, err) == (0, "")
    assert out.startswith(f"toy: complete and verified, from {'file' if place.is_file() else 'folder'} {place}, now in")
    assert kept() == FILES
    assert load("toy").fingerprint == toy.fingerprint


def test_an_archive_that_wants_out_of_its_folder_cannot(cli: CommandLine, toy: Dataset, tmp_path: Path) -> None:
    """Its paths mean nothing: what bears a right name is verified, and everything is written where we say."""
    contents = {path.name: path.read_bytes() for path in (tmp_path / "files").iterdir()}
    given = tmp_path / "deep" / "given"
    given.mkdir(parents=True)
    evil = {f"../../{name}": content for name, content in contents.items()}
    make_archive(given / PACKED, {"../../evil.txt": b"!", str(tmp_path / "absolute.txt"): b"!", **evil})
    assert cli("data", "import", "toy", given)[0] == 0
    assert kept() == FILES
    assert not (tmp_path / "evil.txt").exists()
    assert not (tmp_path / "absolute.txt").exists()
    assert not (tmp_path / "test_batch.bin").exists()


def test_what_is_refused_by_hand_and_why(cli: CommandLine, toy: Dataset, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = cli("data", "import", "toy", tmp_path / "empty")
    assert (code, out) == (3, "")
    assert "error[CN302]: the folder lacks 3 of the 3 files of Toy" in err
    assert f"nor is {PACKED} there, the archive that holds them" in err
    shutil.copytree(tmp_path / "files", tmp_path / "wrong")
    (tmp_path / "wrong" / FILES[0]).write_bytes(b"x")
    code, _, err = cli("data", "import", "toy", tmp_path / "wrong")
    assert code == 3
    assert "error[CN303]: the folder does not hold Toy as it was published" in err
    (tmp_path / "page.tar.gz").write_bytes(b"<html>" + bytes(600))
    code, _, err = cli("data", "import", "toy", tmp_path / "page.tar.gz")
    assert code == 3
    assert "error[CN301]: page.tar.gz is not a sound tar archive" in err
    code, _, err = cli("data", "import", "toy", tmp_path / "nowhere")
    assert code == 3
    assert "there is no such folder" in err
    assert kept() == []
    assert cli("data", "import", "toy")[0] == 2


@pytest.mark.parametrize("use", [describe, load, check])
def test_a_folder_of_the_files_leads_to_the_name(toy: Dataset, tmp_path: Path, use: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match=r"error\[CN302\]: the folder holds the files of Toy") as caught:
        use(str(tmp_path / "files"))
    assert caught.value.hints == (f"classicnets data import toy {tmp_path / 'files'}   # then its name will do",)


def test_import_as_json(cli: CommandLine, toy: Dataset, origin: Path) -> None:
    found = json.loads(cli("data", "import", "toy", origin, "--json")[1])
    assert [Path(file).name for file in found["files"]] == FILES


# --- the recipes that name it ----------------------------------------------------------------------------------------


def test_a_recipe_for_cifar10_runs_by_name(
    cli: CommandLine, toy: Dataset, origin: Path, monkeypatch: pytest.MonkeyPatch, undrawn: None
) -> None:
    small = replace(toy, name="cifar10", title="CIFAR-10", classes=DATASETS["cifar10"].classes)
    monkeypatch.setitem(DATASETS, "cifar10", small)
    code, _, err = cli("train", "cifar10_26pct", "--set", "epochs=1", "--offline")
    assert code == 3
    assert "error[CN302]: CIFAR-10 could not be had from any source" in err
    assert cli("data", "import", "cifar10", origin)[0] == 0
    code, _, err = cli("train", "cifar10_26pct", "--set", "epochs=1", "batch_size=10", "--offline")
    assert code == 0, err
    facts = json.loads(Path("runs/cifar10_26pct-cifar10-1/run.json").read_text())
    assert facts["classes"][:2] == ["airplane", "automobile"]
    assert facts["fingerprint"] == toy.fingerprint
    assert not facts["as_published"]
    assert cli("evaluate", "runs/cifar10_26pct-cifar10-1", "--offline")[0] == 0


def test_offline_is_an_option_of_what_may_fetch(
    cli: CommandLine, mirror: Callable[[], Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = mirror()
    code, _, err = cli("data", "get", "toy", "--offline")
    assert code == 3
    assert "offline (--offline or CLASSICNETS_OFFLINE), so nobody is asked for it" in err
    assert server.asked == []
    monkeypatch.delenv("CLASSICNETS_OFFLINE")  # an option lasts as long as its process, which is the same here
    assert cli("data", "get", "toy")[0] == 0
    assert server.asked == [PACKED]


# --- the facts -------------------------------------------------------------------------------------------------------


def test_the_classes_are_the_published_ones() -> None:
    assert " ".join(DATASETS["cifar10"].classes) == "airplane automobile bird cat deer dog frog horse ship truck"
    hundred = DATASETS["cifar100"].classes
    assert len(set(hundred)) == 100
    assert hundred == tuple(sorted(hundred))  # as fine_label_names.txt is
    assert DATASETS["cifar100"].label_bytes == 2
