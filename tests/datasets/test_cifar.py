"""CIFAR: records and archives are read exactly, paths in archives are not used, and sets are available by name."""

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
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classicnets.datasets import sources
from classicnets.datasets.catalog import DATASETS, Dataset
from classicnets.datasets.formats import read_cifar, tar_pieces
from classicnets.datasets.local import cache_root
from classicnets.datasets.types import Description
from classicnets.errors import DataError
from classicnets.images.loading import check, describe, load
from classicnets.text import byte_count
from support.cifar import INNER, PACKED, cifar_dataset_of, make_archive, make_cifar_folder, published, records
from support.command_line import CommandLine
from support.mirrors import Mirror
from support.typed import present

FILES = ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"]


# --- records ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label_bytes", [1, 2])
@pytest.mark.parametrize("gz", [False, True])
def test_reads_records_exactly(tmp_path: Path, label_bytes: int, gz: bool) -> None:
    images, labels, content = records(7, label_bytes=label_bytes)
    path = tmp_path / "train.bin"
    path.write_bytes(gzip.compress(content) if gz else content)
    result, columns = read_cifar(path, label_bytes)
    np.testing.assert_array_equal(result, images)
    np.testing.assert_array_equal(columns[:, -1], labels)
    assert (result.dtype, columns.dtype, columns.shape) == (np.dtype("u1"), np.dtype("u1"), (7, label_bytes))


def test_record_layout_is_red_green_blue_row_by_row(tmp_path: Path) -> None:
    pixels = bytes([11]) * 1024 + bytes([22]) * 1024 + bytes([33]) * 1023 + bytes([99])
    (tmp_path / "f").write_bytes(bytes([7]) + pixels)
    image = read_cifar(tmp_path / "f", 1)[0][0]
    assert [image[channel, 0, 0] for channel in range(3)] == [11, 22, 33]
    assert image[2, 31, 31] == 99


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "its size of 0 bytes is not a multiple of the record size, 3,073"),
        (bytes(3073 + 100), "its size of 3,173 bytes is not a multiple of the record size"),
        (bytes(3 * 3073), "it has more than 6,146 bytes"),
        (gzip.compress(bytes(3073), mtime=0)[:-9], "it is truncated: its gzip stream ends early"),
        (gzip.compress(bytes(3073), mtime=0)[:-8] + bytes(8), "its gzip stream is damaged: CRC check failed"),
    ],
    ids=["empty", "part of a record", "too many", "cut", "check sum"],
)
def test_explains_invalid_records(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(DataError, match=r"error\[CN301\]: f is not a valid file of CIFAR records") as caught:
        read_cifar(tmp_path / "f", 1, max_bytes=2 * 3073)
    assert why in caught.value.why


# --- archives --------------------------------------------------------------------------------------------------------

MEMBERS = {"in/a.bin": b"a" * 700, "in/readme": b"r" * 5, "in/b.bin": b"b" * 1024}
SIZES = {"a.bin": 700, "b.bin": 1024}


def extract(path: Path, sizes: dict[str, int] = SIZES) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for name, piece in tar_pieces(path, sizes):
        contents[name] = contents.get(name, b"") + piece
    return contents


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_extracts_requested_files(tmp_path: Path, mode: Literal["w", "w:gz"], format: int) -> None:
    path = make_archive(tmp_path / "tar", MEMBERS, mode=mode, format=format)
    assert extract(path) == {"a.bin": MEMBERS["in/a.bin"], "b.bin": MEMBERS["in/b.bin"]}
    assert extract(path, {"a.bin": 699, "c.bin": 5}) == {}  # another size, and one that is not there


def test_ignores_links_and_repeated_members(tmp_path: Path) -> None:
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
    assert extract(path, {"a.bin": 0, "b.bin": 5, "none": 1}) == {"b.bin": b"first"}


def test_truncated_archive_is_an_error_or_lacks_files(tmp_path: Path) -> None:
    content = make_archive(tmp_path / "whole", {"a.bin": b"a" * 700, "b.bin": b"b" * 10}, mode="w").read_bytes()
    path = tmp_path / "cut"
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        try:
            assert set(extract(path, {"a.bin": 700, "b.bin": 10})) < {"a.bin", "b.bin"} or length >= 2058
        except DataError as error:
            assert error.code == "CN301"


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 511), value=st.integers(0, 255))
def test_header_checksum_detects_a_changed_byte(at: int, value: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = make_archive(Path(folder) / "tar", {"a.bin": b"a" * 700}, mode="w")
        content = bytearray(path.read_bytes())
        changed = content[at] != value
        content[at] = value
        path.write_bytes(content)
        try:
            assert extract(path, {"a.bin": 700}) == {"a.bin": b"a" * 700}
        except DataError as error:
            assert changed and error.code == "CN301"


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=1200))
def test_rejects_noise(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tar"
        path.write_bytes(content)
        try:
            assert extract(path) == {}
        except DataError as error:
            assert error.code == "CN301"


def test_recognizes_a_web_page_instead_of_an_archive(tmp_path: Path) -> None:
    (tmp_path / PACKED).write_bytes(b"<!DOCTYPE html>" + b" " * 600)
    with pytest.raises(DataError, match="; it looks like a web page"):
        extract(tmp_path / PACKED)


@pytest.mark.parametrize("stated", [None, 2**33 - 1])
def test_decompression_bomb_costs_no_memory(tmp_path: Path, stated: int | None) -> None:
    """64 MB of zeros, as one file or after a header with a false size, in an archive that should hold 1,724 bytes."""
    member = tarfile.TarInfo("a.bin")
    member.size = stated or 2**26
    (tmp_path / "tar").write_bytes(gzip.compress(member.tobuf() + bytes(2**26), compresslevel=1))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="it contains more than the expected 1,724 bytes"):
            extract(tmp_path / "tar")
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


# --- sets by name ----------------------------------------------------------------------------------------------------


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A folder with only the archive, as on a mirror; the files in it are also in the folder `files` beside it."""
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


def cached() -> list[str]:
    folder = cache_root() / "data" / "toy"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_downloads_unpacks_and_loads_a_set(toy: Dataset, mirror: Callable[[], Mirror]) -> None:
    first, second = mirror(), mirror()
    first.files.clear()
    messages: list[str] = []
    data = load("toy", say=messages.append)
    assert messages == [
        f"toy: mirror {first.url}: HTTP 404 Not Found",
        f"toy: downloading {PACKED} ({byte_count(present(toy.archive).file.size)}) from {second.url}",
    ]
    assert cached() == FILES
    images, labels, _ = records(20, seed=0)
    second_images, _, _ = records(20, seed=1)
    np.testing.assert_array_equal(data.train.images, np.concatenate([images, second_images]))
    np.testing.assert_array_equal(data.train.labels, np.concatenate([labels, labels]))
    np.testing.assert_array_equal(data.test.images, records(10, seed=2)[0])
    assert (data.train.labels.dtype, data.fingerprint) == (np.dtype("i8"), toy.fingerprint)
    assert describe("toy") == Description("toy", toy.classes, (3, 32, 32), train=40, test=10)
    assert load("toy", say=messages.append).source.startswith("cache ")
    assert len(messages) == 2


def test_class_is_the_last_of_two_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_cifar_folder(tmp_path / "files", label_bytes=2)
    archive = published(folder, tmp_path / PACKED)
    monkeypatch.setitem(DATASETS, "toy", cifar_dataset_of(folder, archive, label_bytes=2))
    sources.import_files(DATASETS["toy"], archive)
    assert load("toy").test.labels.tolist() == list(range(10))


def test_rejects_another_archive_and_a_truncated_one(
    toy: Dataset, mirror: Callable[[], Mirror], origin: Path, tmp_path: Path
) -> None:
    truncated, other, good = mirror(), mirror(), mirror()
    truncated.files[PACKED] = (origin / PACKED).read_bytes()[:-20]
    other.files[PACKED] = published(make_cifar_folder(tmp_path / "more", batch=21), tmp_path / PACKED).read_bytes()
    messages: list[str] = []
    assert sources.obtain(DATASETS["toy"], say=messages.append).source.startswith(f"mirror {good.url}")
    rejections = [line for line in messages if "downloading" not in line]
    assert rejections[0].startswith(f"toy: mirror {truncated.url}: {PACKED}: its content differs: sha256 ")
    assert rejections[1].startswith(f"toy: mirror {other.url}: {PACKED}: ")
    assert len(rejections) == 2
    assert cached() == FILES


def test_never_keeps_wrong_files_from_an_archive(
    toy: Dataset, mirror: Callable[[], Mirror], origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive is the published one, but the files in it are not."""
    mirror()
    test = replace(toy.files[-1], sha256="0" * 64)
    wrong = replace(DATASETS["toy"], files=(*toy.files[:-1], test))
    monkeypatch.setitem(DATASETS, "toy", wrong)
    with pytest.raises(DataError, match=r"test_batch\.bin: its content differs"):
        sources.obtain(wrong, say=lambda _: None)
    assert cached() == []


def test_replaces_only_missing_and_damaged_files(toy: Dataset, mirror: Callable[[], Mirror], tmp_path: Path) -> None:
    mirror()
    cache = shutil.copytree(tmp_path / "files", cache_root() / "data" / "toy")
    before = (cache / FILES[0]).stat().st_mtime_ns
    (cache / FILES[1]).write_bytes(b"damaged")
    messages: list[str] = []
    sources.obtain(DATASETS["toy"], say=messages.append)
    assert messages[0].startswith(
        "toy: data_batch_2.bin in the cache is damaged and will be replaced: its content differs"
    )
    assert all(report.status == "ok" for report in check("toy"))
    assert (cache / FILES[0]).stat().st_mtime_ns == before


def test_check_reports_wrong_and_missing_files(toy: Dataset, tmp_path: Path) -> None:
    assert [report.status for report in check("toy")] == ["missing"] * 3
    cache = shutil.copytree(tmp_path / "files", cache_root() / "data" / "toy")
    (cache / FILES[0]).write_bytes((cache / FILES[1]).read_bytes())
    (cache / FILES[2]).unlink()
    first, second, test = check("toy")
    assert (first.status, second.status, test.status) == ("wrong", "ok", "missing")
    assert first.detail.endswith("this is the file train-2 of Toy")
    assert second.detail.endswith("61,460 bytes, 20 images, labels 0..9, sha256 ok")


def test_rejects_a_label_out_of_range(toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tmp_path / "files", cache_root() / "data" / "toy")
    monkeypatch.setitem(DATASETS, "toy", replace(toy, classes=toy.classes[:9]))
    with pytest.raises(DataError, match="its largest label is 9, but there are 9 classes"):
        load("toy")


# --- import ----------------------------------------------------------------------------------------------------------


def write_download(form: str, files: Path, archive: Path, place: Path) -> Path:
    """Write the set in one of the forms that users have after a manual download."""
    place.mkdir()
    match form:
        case "the archive in a folder":
            shutil.copy(archive, place)
        case "the archive":
            return Path(shutil.copy(archive, place))
        case "the archive under another name":
            return Path(shutil.copy(archive, place / "download(1).tgz"))
        case "the archive without gzip":
            (place / PACKED.removesuffix(".gz")).write_bytes(gzip.decompress(archive.read_bytes()))
        case "another archive of the files":
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
    "form",
    [
        "the archive in a folder",
        "the archive",
        "the archive under another name",
        "the archive without gzip",
        "another archive of the files",
        "the extracted folder",
        "the extracted folder in a folder",
        "files with gzip",
    ],
)
def test_imports_every_form_of_a_manual_download(
    cli: CommandLine, toy: Dataset, origin: Path, tmp_path: Path, form: str
) -> None:
    place = write_download(form, tmp_path / "files", origin / PACKED, tmp_path / "given")
    code, out, err = cli("data", "import", "toy", place)
    assert (code, err) == (0, "")
    assert out.startswith(f"toy: complete and verified, from {'file' if place.is_file() else 'folder'} {place}, now in")
    assert cached() == FILES
    assert load("toy").fingerprint == toy.fingerprint


def test_archive_cannot_write_outside_of_our_folder(cli: CommandLine, toy: Dataset, tmp_path: Path) -> None:
    """Paths in the archive are ignored: files with the right names are verified and written to our folder only."""
    contents = {path.name: path.read_bytes() for path in (tmp_path / "files").iterdir()}
    source = tmp_path / "deep" / "given"
    source.mkdir(parents=True)
    malicious = {f"../../{name}": content for name, content in contents.items()}
    make_archive(source / PACKED, {"../../evil.txt": b"!", str(tmp_path / "absolute.txt"): b"!", **malicious})
    assert cli("data", "import", "toy", source)[0] == 0
    assert cached() == FILES
    assert not (tmp_path / "evil.txt").exists()
    assert not (tmp_path / "absolute.txt").exists()
    assert not (tmp_path / "test_batch.bin").exists()


def test_import_explains_what_it_rejects(cli: CommandLine, toy: Dataset, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = cli("data", "import", "toy", tmp_path / "empty")
    assert (code, out) == (3, "")
    assert "error[CN302]: the folder lacks 3 of the 3 files of Toy" in err
    assert f"the archive {PACKED} is missing as well" in err
    shutil.copytree(tmp_path / "files", tmp_path / "wrong")
    (tmp_path / "wrong" / FILES[0]).write_bytes(b"x")
    code, _, err = cli("data", "import", "toy", tmp_path / "wrong")
    assert code == 3
    assert "error[CN303]: the folder does not contain Toy as published" in err
    (tmp_path / "page.tar.gz").write_bytes(b"<html>" + bytes(600))
    code, _, err = cli("data", "import", "toy", tmp_path / "page.tar.gz")
    assert code == 3
    assert "error[CN301]: page.tar.gz is not a valid tar archive" in err
    code, _, err = cli("data", "import", "toy", tmp_path / "nowhere")
    assert code == 3
    assert "there is no such folder" in err
    assert cached() == []
    assert cli("data", "import", "toy")[0] == 2


@pytest.mark.parametrize("use", [describe, load, check])
def test_folder_of_cifar_files_leads_to_the_name(toy: Dataset, tmp_path: Path, use: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match=r"error\[CN302\]: the folder contains the files of Toy") as caught:
        use(str(tmp_path / "files"))
    assert caught.value.hints == (f"classicnets data import toy {tmp_path / 'files'}   # then use the name toy",)


def test_import_as_json(cli: CommandLine, toy: Dataset, origin: Path) -> None:
    document = json.loads(cli("data", "import", "toy", origin, "--json")[1])
    assert [Path(file).name for file in document["files"]] == FILES


# --- recipes that use it ---------------------------------------------------------------------------------------------


def test_a_recipe_for_cifar10_runs_by_name(
    cli: CommandLine, toy: Dataset, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(toy, name="cifar10", title="CIFAR-10", classes=DATASETS["cifar10"].classes)
    monkeypatch.setitem(DATASETS, "cifar10", small)
    code, _, err = cli("train", "cifar10_26pct", "--set", "epochs=1", "--offline")
    assert code == 3
    assert "error[CN302]: CIFAR-10 is not available from any source" in err
    assert cli("data", "import", "cifar10", origin)[0] == 0
    code, _, err = cli("train", "cifar10_26pct", "--set", "epochs=1", "batch_size=10", "--offline")
    assert code == 0, err
    facts = json.loads(Path("runs/cifar10_26pct-cifar10-1/run.json").read_text())
    assert facts["classes"][:2] == ["airplane", "automobile"]
    assert facts["fingerprint"] == toy.fingerprint
    assert not facts["as_published"]
    assert cli("evaluate", "runs/cifar10_26pct-cifar10-1", "--offline")[0] == 0


def test_offline_option_prevents_downloads(
    cli: CommandLine, mirror: Callable[[], Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = mirror()
    code, _, err = cli("data", "get", "toy", "--offline")
    assert code == 3
    assert "nothing is downloaded, because --offline or CLASSICNETS_OFFLINE is set" in err
    assert server.requests == []
    monkeypatch.delenv("CLASSICNETS_OFFLINE")  # the option holds for the process, which is the same here
    assert cli("data", "get", "toy")[0] == 0
    assert server.requests == [PACKED]


# --- facts -----------------------------------------------------------------------------------------------------------


def test_classes_are_the_published_ones() -> None:
    assert " ".join(DATASETS["cifar10"].classes) == "airplane automobile bird cat deer dog frog horse ship truck"
    hundred = DATASETS["cifar100"].classes
    assert len(set(hundred)) == 100
    assert hundred == tuple(sorted(hundred))  # as fine_label_names.txt is
    assert DATASETS["cifar100"].label_bytes == 2
