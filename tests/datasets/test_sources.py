"""Sources of data files: their order, the message for each failure, and that only verified files are kept."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from classicnets.datasets import debian, download, local, sources
from classicnets.datasets.catalog import DATASETS, DataFile, Dataset
from classicnets.datasets.local import cache_root
from classicnets.datasets.types import DatasetFiles
from classicnets.errors import DataError, MachineError
from classicnets.images import loading
from classicnets.language import texts_in
from support.idx import NAMES, dataset_of, make_idx_folder
from support.mirrors import Mirror

FILES = [f"{name}.gz" for name in NAMES.values()]
POOL = "pool/main/d/dataset-toy/dataset-toy_1_all.deb"


@dataclass
class Toy:
    """A small catalog entry, and the folders of a machine that has none of its files yet."""

    home: Path
    dataset: Dataset
    lines: list[str] = field(default_factory=list)

    @property
    def origin(self) -> Path:
        return self.home / "origin"

    @property
    def cache(self) -> Path:
        return self.home / "cache" / "data" / "toy"

    def obtain(self) -> DatasetFiles:
        self.lines.clear()
        return sources.obtain(self.dataset, say=self.lines.append)

    def import_files(self, place: Path) -> DatasetFiles:
        return sources.import_files(self.dataset, place)

    def copy_to(self, folder: Path) -> Path:
        return shutil.copytree(self.origin, folder)

    def cached(self) -> list[str]:
        return sorted(path.name for path in self.cache.iterdir()) if self.cache.exists() else []


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    dataset = dataset_of(make_idx_folder(tmp_path / "origin", train=20, test=10, classes=3, size=8))
    monkeypatch.setitem(DATASETS, "toy", dataset)
    monkeypatch.setenv("CLASSICNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("CLASSICNETS_OFFLINE", raising=False)
    return Toy(tmp_path, dataset)


@pytest.fixture
def mnist(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of other files with the same names, known as MNIST's."""
    folder = make_idx_folder(toy.home / "mnist", train=20, test=10, classes=4, size=8, seed=1)
    monkeypatch.setitem(DATASETS, "mnist", dataset_of(folder, name="mnist", title="MNIST"))
    return folder


@pytest.fixture
def mirror(toy: Toy) -> Iterator[Callable[..., Mirror]]:
    servers: list[Mirror] = []

    def start(folder: Path = toy.origin) -> Mirror:
        server = Mirror(folder)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        toy.dataset = replace(toy.dataset, mirrors=(*toy.dataset.mirrors, server.url))
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def script(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def apt(toy: Toy) -> Path:
    """Scripts that act like apt on a machine with empty package lists; returns the file that logs the calls."""
    calls = toy.home / "calls"
    script(
        toy.home / "bin" / "apt-get",
        f"""echo "$*" >> {calls}
lists=$(echo "$*" | sed -n 's/.*Dir::State::lists=\\([^ ]*\\).*/\\1/p')
case "$*" in
    *update) test -d "$lists/partial" && touch "$lists/ready" ;;
    *download\\ dataset-toy) test -n "$lists" && test -e "$lists/ready" && echo deb > dataset-toy_1_all.deb ||
        {{ echo "Reading package lists..."; echo "E: Unable to locate package dataset-toy"; exit 100; }} ;;
esac""",
    )
    script(
        toy.home / "bin" / "dpkg-deb",
        f"""echo "dpkg-deb $1" >> {calls}
test "$(cat "$2")" = deb && mkdir -p "$3{toy.home}" && cp -r {toy.origin} "$3{toy.dataset.system_folder}" """,
    )
    return calls


# --- order of sources ------------------------------------------------------------------------------------------------


def test_import_replaces_files_in_the_cache(toy: Toy, mirror: Callable[..., Mirror], apt: Path) -> None:
    server = mirror()
    toy.copy_to(toy.cache)
    (toy.cache / FILES[0]).write_bytes(b"old")
    source = toy.copy_to(toy.home / "given")
    files = toy.import_files(source)
    assert files.source == f"folder {source}, now in cache {toy.cache}"
    assert files.paths == {role: toy.cache / f"{name}.gz" for role, name in NAMES.items()}
    assert (server.requests, apt.exists(), toy.lines) == ([], False, [])
    assert toy.obtain().source == f"cache {toy.cache}"


def test_uses_the_cache_before_the_system_folder(toy: Toy, mirror: Callable[..., Mirror], apt: Path) -> None:
    server = mirror()
    toy.copy_to(toy.cache)
    toy.copy_to(toy.home / "system")
    files = toy.obtain()
    assert files.source == f"cache {toy.cache}"
    assert set(files.paths) == set(NAMES)
    assert (server.requests, apt.exists(), toy.lines) == ([], False, [])


def test_uses_the_system_folder_before_mirrors_without_copying(
    toy: Toy, mirror: Callable[..., Mirror], apt: Path
) -> None:
    server = mirror()
    system = toy.copy_to(toy.home / "system")
    files = toy.obtain()
    assert files.source == f"system folder {system}"
    assert files.paths["t10k-labels"] == system / "t10k-labels-idx1-ubyte.gz"
    assert (server.requests, apt.exists(), toy.lines, toy.cached()) == ([], False, [], [])


def test_uses_mirrors_before_the_debian_package(toy: Toy, mirror: Callable[..., Mirror], apt: Path) -> None:
    first, second = mirror(), mirror()
    files = toy.obtain()
    assert files.source == f"mirror {first.url}, now in cache {toy.cache}"
    assert sorted(first.requests) == sorted(FILES) == toy.cached()
    assert (second.requests, apt.exists()) == ([], False)
    assert toy.lines == [f"toy: downloading from {first.url}"]
    assert toy.obtain().source == f"cache {toy.cache}"


def test_uses_the_debian_package_last_without_root_or_package_lists(
    toy: Toy, mirror: Callable[..., Mirror], apt: Path
) -> None:
    server = mirror()
    server.files.clear()
    files = toy.obtain()
    assert files.source == f"Debian package dataset-toy, now in cache {toy.cache}"
    assert toy.cached() == sorted(FILES)
    assert toy.lines == [
        f"toy: mirror {server.url}: HTTP 404 Not Found",
        "toy: downloading the Debian package dataset-toy (1.0 MB) into the cache, without installing it",
    ]
    download, update, again, unpack = apt.read_text().splitlines()
    assert download.endswith("download dataset-toy")
    assert "Dir::State::lists" not in download
    assert update.endswith("update")
    assert all(option in again for option in ("Dir::State::lists=", "Dir::Cache=", "APT::Sandbox::User="))
    assert unpack == "dpkg-deb -x"


def make_package(folder: Path) -> bytes:
    """A Debian package with the files in `folder`: an ar archive, whose last member is a tar archive of xz."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        archive.add(folder, "./usr/share/datasets/toy")
    package = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", packed.getvalue())):
        header = f"{name:16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
        package += header.encode() + content + b"\n" * (len(content) % 2)
    return package


@pytest.fixture
def pool(toy: Toy, mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """A mirror of Debian with the package of the data set, which has no other mirror."""
    server = mirror()
    package = make_package(toy.origin)
    server.files = {POOL: package}
    facts = DataFile("package", "dataset-toy_1_all.deb", hashlib.sha256(package).hexdigest(), len(package), "file")
    toy.dataset = replace(toy.dataset, mirrors=(), package=facts)
    monkeypatch.setattr(sources, "DEBIAN_MIRRORS", (server.url,))
    monkeypatch.setattr(sources, "DEBIAN_MIRRORS_IN_CHINA", ())
    return server


def test_unpacks_the_debian_package_of_a_mirror_without_apt(toy: Toy, pool: Mirror) -> None:
    files = toy.obtain()
    assert files.source == f"Debian package dataset-toy of {pool.url}, now in cache {toy.cache}"
    assert (pool.requests, toy.cached()) == ([POOL], sorted(FILES))
    assert len(toy.lines) == 1 and toy.lines[0].startswith("toy: downloading dataset-toy_1_all.deb (")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"!<arch>\n", "its content differs: sha256 "),
        (b"<html>", "its content differs: sha256 "),
        (bytes(2**17), "it sends more than the "),
        (404, "HTTP 404 Not Found"),
    ],
)
def test_unpacks_no_other_package_of_a_mirror(
    toy: Toy, pool: Mirror, apt: Path, content: bytes | int, reason: str
) -> None:
    pool.files[POOL] = content
    assert toy.obtain().source.startswith("Debian package dataset-toy, now")  # by apt
    assert any(
        line.startswith(f"toy: Debian package dataset-toy of {pool.url}") and reason in line for line in toy.lines
    )


def test_mirrors_in_china_come_first_for_readers_of_chinese(
    toy: Toy, mirror: Callable[..., Mirror], pool: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, in_china, pool_in_china = (mirror(folder) for folder in [toy.origin] * 3)
    for server in (elsewhere, in_china, pool_in_china):
        server.files.clear()
    toy.dataset = replace(toy.dataset, mirrors=(elsewhere.url,), mirrors_in_china=(in_china.url,))
    monkeypatch.setattr(sources, "DEBIAN_MIRRORS_IN_CHINA", (pool_in_china.url,))
    pool.files.clear()
    for language, order in (
        ("en", [elsewhere, in_china, pool, pool_in_china]),
        ("zh", [in_china, elsewhere, pool_in_china, pool]),
    ):
        with texts_in(language), pytest.raises(DataError):
            toy.obtain()
        urls = [server.url for server in order]
        tried = [next(url for url in urls if url in line) for line in toy.lines if "http" in line]
        assert tried == urls
        with texts_in(language):
            description = sources.describe_source(toy.dataset)
        assert description.index(urls[0]) < description.index(urls[1])


# --- mirrors ---------------------------------------------------------------------------------------------------------


def test_reports_an_unreachable_mirror_on_one_line(toy: Toy, mirror: Callable[..., Mirror]) -> None:
    dead, good = mirror(), mirror()
    dead.shutdown()
    dead.server_close()
    toy.obtain()
    assert toy.lines == [
        f"toy: mirror {dead.url}: not reachable (connection refused)",
        f"toy: downloading from {good.url}",
    ]


def test_explains_unknown_hosts_and_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import urllib.error

    unknown = urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))
    assert download._network_fault(unknown) == "not reachable (unknown host name)"
    assert download._network_fault(TimeoutError("timed out")) == "no answer within 15 s"
    assert download._network_fault(urllib.error.URLError(TimeoutError())) == "no answer within 15 s"
    assert download._network_fault(OSError("odd")) == "not reachable (odd)"


def test_retries_a_truncated_download_once(toy: Toy, mirror: Callable[..., Mirror]) -> None:
    server = mirror()
    content = server.files["train-images-idx3-ubyte.gz"]
    assert isinstance(content, bytes)
    server.files["train-images-idx3-ubyte.gz"] = [content[:100], content]
    assert toy.obtain().source.startswith(f"mirror {server.url}")
    assert server.requests.count("train-images-idx3-ubyte.gz") == 2
    assert toy.cached() == sorted(FILES)


def test_keeps_complete_files_and_gets_the_others_from_the_next_mirror(toy: Toy, mirror: Callable[..., Mirror]) -> None:
    first, second = mirror(), mirror()
    content = first.files["train-images-idx3-ubyte.gz"]
    assert isinstance(content, bytes)
    first.files["train-images-idx3-ubyte.gz"] = content[:100]
    toy.obtain()
    assert second.requests == ["train-images-idx3-ubyte.gz"]
    assert toy.lines[1].startswith(
        f"toy: mirror {first.url}: train-images-idx3-ubyte.gz: it is truncated: its gzip stream ends early (100 bytes"
    )
    assert toy.cached() == sorted(FILES)


def test_rejects_a_mirror_of_mnist_at_its_first_file(toy: Toy, mirror: Callable[..., Mirror], mnist: Path) -> None:
    wrong, good = mirror(mnist), mirror()
    assert toy.obtain().source.startswith(f"mirror {good.url}")
    assert wrong.requests == ["t10k-labels-idx1-ubyte.gz"]
    assert toy.lines[0] == (
        f"toy: mirror {wrong.url}: t10k-labels-idx1-ubyte.gz: this is the file t10k-labels of MNIST"
    )


def test_stops_a_download_that_is_too_large(toy: Toy, mirror: Callable[..., Mirror]) -> None:
    endless = mirror()
    endless.files["t10k-labels-idx1-ubyte.gz"] = bytes(2**20)
    with pytest.raises(DataError, match="it sends more than the 65,554 bytes of a valid file"):
        toy.obtain()
    assert toy.cached() == []


def test_interrupted_download_leaves_no_temporary_files(
    toy: Toy, mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror()
    read_url = download._read_url

    def interrupted(url: str, max_bytes: int) -> Iterator[bytes]:
        if "train-images" in url:
            yield next(read_url(url, max_bytes))[:100]
            raise KeyboardInterrupt
        yield from read_url(url, max_bytes)

    monkeypatch.setattr(download, "_read_url", interrupted)
    with pytest.raises(KeyboardInterrupt):
        toy.obtain()
    assert toy.cached() == sorted(set(FILES) - {"train-images-idx3-ubyte.gz"})


def test_next_fetch_removes_folders_of_killed_processes(toy: Toy, mirror: Callable[..., Mirror]) -> None:
    mirror()
    code = (
        "import sys, time, pathlib\n"
        "from classicnets.datasets.local import fetch_folder\n"
        "with fetch_folder(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'part').write_bytes(b'x')\n"
        "    print(folder, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(toy.cache)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            folder = Path(process.stdout.readline().strip())
            with local.fetch_folder(toy.cache):
                assert (folder / "part").exists()  # its process is still running
        finally:
            process.kill()
    assert folder.exists()
    toy.obtain()
    assert toy.cached() == sorted(FILES)


def test_without_locks_only_old_folders_are_removed(
    toy: Toy, mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror()

    def no_locks(*_: object) -> None:
        raise OSError("no locks on this file system")

    monkeypatch.setattr("classicnets.datasets.local.fcntl.flock", no_locks)
    for name, age in (("fetch-old", 90_000), ("fetch-new", 10)):
        (toy.cache / name).mkdir(parents=True)
        os.utime(toy.cache / name, (time.time() - age,) * 2)
    toy.obtain()
    assert toy.cached() == ["fetch-new", *sorted(FILES)]


# --- the cache -------------------------------------------------------------------------------------------------------


def test_reports_and_replaces_a_damaged_file_in_the_cache(toy: Toy, mirror: Callable[..., Mirror]) -> None:
    server = mirror()
    toy.copy_to(toy.cache)
    path = toy.cache / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-3])
    toy.obtain()
    assert toy.lines[0] == (
        "toy: train-labels-idx1-ubyte.gz in the cache is damaged and will be replaced: "
        f"it is truncated: its gzip stream ends early ({path.stat().st_size - 3:,} bytes on disk)"
    )
    assert server.requests == ["train-labels-idx1-ubyte.gz"]
    assert toy.obtain().source == f"cache {toy.cache}"


def test_keeps_a_damaged_file_until_a_valid_one_arrives(toy: Toy) -> None:
    toy.copy_to(toy.cache)
    path = toy.cache / FILES[0]
    path.write_bytes(b"damaged")
    with pytest.raises(DataError, match="its content differs: sha256 "):
        toy.obtain()
    assert path.read_bytes() == b"damaged"


def test_unwritable_cache_is_a_machine_error(
    toy: Toy, mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror()
    (toy.home / "file").touch()
    monkeypatch.setenv("CLASSICNETS_CACHE", str(toy.home / "file"))
    for fetch in (toy.obtain, lambda: toy.import_files(toy.origin)):
        with pytest.raises(MachineError) as caught:
            fetch()
        assert caught.value.code == "CN401"
        assert str(caught.value).splitlines() == [
            "error[CN401]: the cache cannot be written",
            f"  where: {toy.home}/file/data/toy",
            "  why:   Not a directory",
            "  hint:  export CLASSICNETS_CACHE=FOLDER   # a folder that you may write to",
        ]


def test_unwritable_cache_does_not_matter_if_nothing_is_written(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.copy_to(toy.home / "system")
    (toy.home / "file").touch()
    monkeypatch.setenv("CLASSICNETS_CACHE", str(toy.home / "file"))
    assert toy.obtain().source.startswith("system folder")


def test_location_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLASSICNETS_CACHE", "~/here")
    assert cache_root() == Path.home() / "here"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLASSICNETS_CACHE", "here")
    assert cache_root() == tmp_path / "here"
    monkeypatch.delenv("CLASSICNETS_CACHE")
    monkeypatch.setenv("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "classicnets"
    monkeypatch.delenv("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache" / "classicnets"


# --- import ----------------------------------------------------------------------------------------------------------


def test_import_accepts_uncompressed_files_and_dotted_names(toy: Toy) -> None:
    source = toy.home / "given"
    source.mkdir()
    for name in NAMES.values():
        content = gzip.decompress((toy.origin / f"{name}.gz").read_bytes())
        (source / name.replace("-idx", ".idx")).write_bytes(content)
    toy.import_files(source)
    assert toy.cached() == sorted(FILES)
    assert all((toy.cache / name).read_bytes()[:2] == b"\x1f\x8b" for name in FILES)
    assert toy.obtain().source == f"cache {toy.cache}"


def test_import_recognizes_mnist_instead_of_the_data_set(toy: Toy, mnist: Path, mirror: Callable[..., Mirror]) -> None:
    server = mirror()
    with pytest.raises(DataError) as caught:
        toy.import_files(mnist)
    assert str(caught.value).splitlines() == [
        "error[CN303]: these are files of MNIST, not of Toy; both sets use the same file names",
        f"  where: {mnist}",
        "  why:   train-images-idx3-ubyte.gz: this is the file train-images of MNIST",
        "         train-labels-idx1-ubyte.gz: this is the file train-labels of MNIST",
        "         t10k-images-idx3-ubyte.gz: this is the file t10k-images of MNIST",
        "         t10k-labels-idx1-ubyte.gz: this is the file t10k-labels of MNIST",
        "  hint:  classicnets data get toy",
        f"  or:    classicnets data check {mnist}   # a folder can be a data set of its own",
    ]
    assert (server.requests, toy.cached()) == ([], [])


def test_import_rejects_other_content_and_swapped_files(toy: Toy) -> None:
    source = toy.copy_to(toy.home / "given")
    shutil.copy(toy.origin / "train-labels-idx1-ubyte.gz", source / "t10k-labels-idx1-ubyte.gz")
    shutil.copy(toy.origin / "t10k-labels-idx1-ubyte.gz", source / "train-labels-idx1-ubyte.gz")
    (source / "t10k-images-idx3-ubyte.gz").write_bytes(b"something")
    with pytest.raises(DataError, match=r"error\[CN303\]: the folder does not contain Toy as published") as caught:
        toy.import_files(source)
    train_labels, images, test_labels = caught.value.why.splitlines()
    assert train_labels == "train-labels-idx1-ubyte.gz: this is the file t10k-labels of Toy"
    assert images.startswith("t10k-images-idx3-ubyte.gz: its content differs: sha256 3fc9b689459d")
    assert test_labels == "t10k-labels-idx1-ubyte.gz: this is the file train-labels of Toy"
    assert toy.cached() == []


def test_import_rejects_a_folder_without_the_files(toy: Toy) -> None:
    (toy.home / "empty").mkdir()
    with pytest.raises(DataError, match=r"error\[CN302\]: the folder lacks 4 of the 4 files of Toy"):
        toy.import_files(toy.home / "empty")
    with pytest.raises(DataError, match="there is no such folder, or it cannot be read"):
        toy.import_files(toy.home / "none")


@pytest.fixture
def as_published(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The same set, with only the digests of the compressed files known."""

    def packed(file: DataFile) -> DataFile:
        content = (toy.origin / file.name).read_bytes()
        return replace(file, sha256=hashlib.sha256(content).hexdigest(), size=len(content), digest_of="file")

    toy.dataset = replace(toy.dataset, files=tuple(packed(file) for file in toy.dataset.files))
    monkeypatch.setitem(DATASETS, "toy", toy.dataset)
    return toy


def test_accepts_digests_of_compressed_files(as_published: Toy, mirror: Callable[..., Mirror]) -> None:
    mirror()
    assert as_published.obtain().source.startswith("mirror")
    assert loading.load("toy").train.images.shape == (20, 1, 8, 8)
    assert all(report.status == "ok" for report in loading.check("toy"))
    folder = as_published.copy_to(as_published.home / "given")
    assert loading.load(str(folder), say=lambda _: None).fingerprint == as_published.dataset.fingerprint
    as_published.import_files(folder)
    for name in FILES:
        assert (as_published.cache / name).read_bytes() == (as_published.origin / name).read_bytes()


def test_cannot_verify_uncompressed_files_with_digests_of_compressed_ones(as_published: Toy, mnist: Path) -> None:
    for path in (source := as_published.copy_to(as_published.home / "given")).iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    with pytest.raises(DataError, match=r"error\[CN303\]: the folder does not contain Toy") as caught:
        as_published.import_files(source)
    assert caught.value.why.splitlines() == [
        f"{name}: only the compressed file {name}.gz can be verified, as published" for name in NAMES.values()
    ]
    with pytest.raises(DataError, match=r"these are files of MNIST, not of Toy"):
        as_published.import_files(mnist)


# --- no source -------------------------------------------------------------------------------------------------------


def test_error_lists_all_attempts_and_the_manual_import(toy: Toy, mirror: Callable[..., Mirror], mnist: Path) -> None:
    empty, wrong = mirror(), mirror(mnist)
    empty.files.clear()
    with pytest.raises(DataError) as caught:
        toy.obtain()
    assert str(caught.value).splitlines() == [
        "error[CN302]: Toy is not available from any source",
        f"  where: {toy.cache}",
        f"  why:   cache {toy.cache}: no files",
        f"         system folder {toy.home}/system: no files",
        f"         mirror {empty.url}: HTTP 404 Not Found",
        f"         mirror {wrong.url}: t10k-labels-idx1-ubyte.gz: this is the file t10k-labels of MNIST",
        "         Debian package dataset-toy: this machine has no apt-get and dpkg-deb",
        "  hint:  classicnets data import toy FOLDER   # a FOLDER with train-images-idx3-ubyte.gz, "
        "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz, "
        f"downloaded on any machine from {empty.url}, {wrong.url}",
    ]
    assert toy.cached() == []


def test_offline_sends_no_request(
    toy: Toy, mirror: Callable[..., Mirror], apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = mirror()
    monkeypatch.setenv("CLASSICNETS_OFFLINE", "1")
    with pytest.raises(DataError) as caught:
        toy.obtain()
    assert toy.lines == ["toy: nothing is downloaded, because --offline or CLASSICNETS_OFFLINE is set"]
    assert caught.value.why.endswith("nothing is downloaded, because --offline or CLASSICNETS_OFFLINE is set")
    assert caught.value.hints[-1] == "unset CLASSICNETS_OFFLINE   # and omit --offline"
    assert (server.requests, apt.exists(), toy.cached()) == ([], False, [])


def test_reports_a_failing_or_hanging_apt_on_one_line(toy: Toy, apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(toy.home / "bin" / "apt-get", 'echo "Reading..."; echo "E: Nothing works today"; exit 100')
    with pytest.raises(DataError, match="Debian package dataset-toy: apt-get: E: Nothing works today"):
        toy.obtain()
    script(toy.home / "bin" / "apt-get", "exec sleep 600")
    monkeypatch.setattr(debian, "APT_TIMEOUT_SECONDS", 0.05)
    with pytest.raises(DataError, match=r"apt-get took more than 0\.05 s"):
        toy.obtain()
    assert toy.lines[-1] == "toy: Debian package dataset-toy: apt-get took more than 0.05 s"


def test_rejects_a_debian_package_with_other_content(toy: Toy, apt: Path, mnist: Path) -> None:
    shutil.rmtree(toy.origin)
    shutil.copytree(mnist, toy.origin)
    with pytest.raises(
        DataError, match=r"Debian package dataset-toy: train-images.*this is the file train-images of MNIST"
    ):
        toy.obtain()
    assert toy.cached() == []


# --- description -----------------------------------------------------------------------------------------------------


def test_describe_source(toy: Toy, mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch) -> None:
    server = mirror()
    assert sources.describe_source(toy.dataset) == f"not on this machine yet; available from {server.url}"
    script(toy.home / "bin" / "apt-get", "")
    script(toy.home / "bin" / "dpkg-deb", "")
    assert sources.describe_source(toy.dataset).endswith(f"{server.url} or the Debian package dataset-toy")
    monkeypatch.setenv("CLASSICNETS_OFFLINE", "1")
    assert sources.describe_source(toy.dataset) == "not on this machine, and CLASSICNETS_OFFLINE prevents the download"
    system = toy.copy_to(toy.home / "system")
    assert sources.describe_source(toy.dataset) == f"system folder {system}"
    toy.copy_to(toy.cache)
    assert sources.describe_source(toy.dataset) == f"cache {toy.cache}"
    (toy.cache / FILES[0]).write_bytes(b"damaged")
    assert sources.describe_source(toy.dataset) == f"system folder {system}"
    assert server.requests == []
