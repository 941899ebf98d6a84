"""Where bytes come from: the order of the sources, what each failure says, and that nothing unverified is kept."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from classicnets.datasets import sources
from classicnets.datasets.catalog import DATASETS, DataFile, Dataset
from classicnets.errors import DataError, MachineError
from classicnets.images import loading
from support.idx import NAMES, dataset_of, make_idx_folder
from support.mirrors import Mirror

FILES = [f"{name}.gz" for name in NAMES.values()]


@dataclass
class Toy:
    """A small registry entry, and the folders of a machine that has nothing of it yet."""

    home: Path
    dataset: Dataset
    lines: list[str] = field(default_factory=list)

    @property
    def origin(self) -> Path:
        return self.home / "origin"

    @property
    def cache(self) -> Path:
        return self.home / "cache" / "data" / "toy"

    def obtain(self) -> sources.Found:
        self.lines.clear()
        return sources.obtain(self.dataset, say=self.lines.append)

    def bring(self, place: Path) -> sources.Found:
        return sources.bring(self.dataset, place)

    def put(self, folder: Path) -> Path:
        return shutil.copytree(self.origin, folder)

    def kept(self) -> list[str]:
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
    """A folder of other files under the same names, known as MNIST's."""
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
    """Tools that work like apt on a machine with empty package lists; returns the file that lists the calls."""
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


# --- the order -------------------------------------------------------------------------------------------------------


def test_what_is_brought_by_hand_is_copied_over_everything(toy: Toy, mirror: Callable[..., Mirror], apt: Path) -> None:
    server = mirror()
    toy.put(toy.cache)
    (toy.cache / FILES[0]).write_bytes(b"old")
    given = toy.put(toy.home / "given")
    found = toy.bring(given)
    assert found.source == f"folder {given}, now in cache {toy.cache}"
    assert found.paths == {role: toy.cache / f"{name}.gz" for role, name in NAMES.items()}
    assert (server.asked, apt.exists(), toy.lines) == ([], False, [])
    assert toy.obtain().source == f"cache {toy.cache}"


def test_the_cache_comes_before_the_system_folder(toy: Toy, mirror: Callable[..., Mirror], apt: Path) -> None:
    server = mirror()
    toy.put(toy.cache)
    toy.put(toy.home / "system")
    found = toy.obtain()
    assert found.source == f"cache {toy.cache}"
    assert set(found.paths) == set(NAMES)
    assert (server.asked, apt.exists(), toy.lines) == ([], False, [])


def test_the_system_folder_comes_before_the_mirrors_and_is_not_copied(
    toy: Toy, mirror: Callable[..., Mirror], apt: Path
) -> None:
    server = mirror()
    system = toy.put(toy.home / "system")
    found = toy.obtain()
    assert found.source == f"system folder {system}"
    assert found.paths["t10k-labels"] == system / "t10k-labels-idx1-ubyte.gz"
    assert (server.asked, apt.exists(), toy.lines, toy.kept()) == ([], False, [], [])


def test_the_mirrors_come_before_the_package(toy: Toy, mirror: Callable[..., Mirror], apt: Path) -> None:
    first, second = mirror(), mirror()
    found = toy.obtain()
    assert found.source == f"mirror {first.url}, now in cache {toy.cache}"
    assert sorted(first.asked) == sorted(FILES) == toy.kept()
    assert (second.asked, apt.exists()) == ([], False)
    assert toy.lines == [f"toy: downloading from {first.url}"]
    assert toy.obtain().source == f"cache {toy.cache}"


def test_the_package_comes_last_and_needs_neither_root_nor_package_lists(
    toy: Toy, mirror: Callable[..., Mirror], apt: Path
) -> None:
    server = mirror()
    server.files.clear()
    found = toy.obtain()
    assert found.source == f"Debian package dataset-toy, now in cache {toy.cache}"
    assert toy.kept() == sorted(FILES)
    assert toy.lines == [
        f"toy: mirror {server.url}: HTTP 404 Not Found",
        "toy: downloading the Debian package dataset-toy (1.0 MB) into the cache; nothing is installed",
    ]
    download, update, again, unpack = apt.read_text().splitlines()
    assert download.endswith("download dataset-toy")
    assert "Dir::State::lists" not in download
    assert update.endswith("update")
    assert all(option in again for option in ("Dir::State::lists=", "Dir::Cache=", "APT::Sandbox::User="))
    assert unpack == "dpkg-deb -x"


# --- mirrors ---------------------------------------------------------------------------------------------------------


def test_a_mirror_that_is_not_there_is_one_line(toy: Toy, mirror: Callable[..., Mirror]) -> None:
    gone, good = mirror(), mirror()
    gone.shutdown()
    gone.server_close()
    toy.obtain()
    assert toy.lines == [
        f"toy: mirror {gone.url}: not reachable (connection refused)",
        f"toy: downloading from {good.url}",
    ]


def test_a_name_that_is_not_known_and_a_silent_mirror_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import urllib.error

    unknown = urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))
    assert sources._network_fault(unknown) == "not reachable (name not known)"
    assert sources._network_fault(TimeoutError("timed out")) == "no answer within 15 s"
    assert sources._network_fault(urllib.error.URLError(TimeoutError())) == "no answer within 15 s"
    assert sources._network_fault(OSError("odd")) == "not reachable (odd)"


def test_a_broken_off_file_is_asked_for_once_more(toy: Toy, mirror: Callable[..., Mirror]) -> None:
    server = mirror()
    whole = server.files["train-images-idx3-ubyte.gz"]
    server.files["train-images-idx3-ubyte.gz"] = [whole[:100], whole]
    assert toy.obtain().source.startswith(f"mirror {server.url}")
    assert server.asked.count("train-images-idx3-ubyte.gz") == 2
    assert toy.kept() == sorted(FILES)


def test_what_came_whole_is_kept_and_the_next_mirror_gives_the_rest(toy: Toy, mirror: Callable[..., Mirror]) -> None:
    first, second = mirror(), mirror()
    first.files["train-images-idx3-ubyte.gz"] = first.files["train-images-idx3-ubyte.gz"][:100]
    toy.obtain()
    assert second.asked == ["train-images-idx3-ubyte.gz"]
    assert toy.lines[1].startswith(
        f"toy: mirror {first.url}: train-images-idx3-ubyte.gz: cut short: the gzip stream breaks off (100 bytes"
    )
    assert toy.kept() == sorted(FILES)


def test_a_mirror_with_mnist_is_refused_at_its_first_file(toy: Toy, mirror: Callable[..., Mirror], mnist: Path) -> None:
    wrong, good = mirror(mnist), mirror()
    assert toy.obtain().source.startswith(f"mirror {good.url}")
    assert wrong.asked == ["t10k-labels-idx1-ubyte.gz"]
    assert toy.lines[0] == (f"toy: mirror {wrong.url}: t10k-labels-idx1-ubyte.gz: these are MNIST's t10k-labels")


def test_an_endless_answer_is_cut_off(toy: Toy, mirror: Callable[..., Mirror]) -> None:
    endless = mirror()
    endless.files["t10k-labels-idx1-ubyte.gz"] = bytes(2**20)
    with pytest.raises(DataError, match="sends more than the 65,554 bytes a good file can have"):
        toy.obtain()
    assert toy.kept() == []


def test_an_interrupted_download_leaves_nothing(
    toy: Toy, mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror()
    pieces = sources._pieces

    def interrupted(url: str, limit: int) -> Iterator[bytes]:
        if "train-images" in url:
            yield next(pieces(url, limit))[:100]
            raise KeyboardInterrupt
        yield from pieces(url, limit)

    monkeypatch.setattr(sources, "_pieces", interrupted)
    with pytest.raises(KeyboardInterrupt):
        toy.obtain()
    assert toy.kept() == sorted(set(FILES) - {"train-images-idx3-ubyte.gz"})


# --- the cache -------------------------------------------------------------------------------------------------------


def test_a_damaged_file_in_the_cache_is_said_and_replaced(toy: Toy, mirror: Callable[..., Mirror]) -> None:
    server = mirror()
    toy.put(toy.cache)
    path = toy.cache / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-3])
    toy.obtain()
    assert toy.lines[0] == (
        "toy: train-labels-idx1-ubyte.gz in the cache is damaged "
        f"(cut short: the gzip stream breaks off ({path.stat().st_size - 3:,} bytes on disk)); it will be replaced"
    )
    assert server.asked == ["train-labels-idx1-ubyte.gz"]
    assert toy.obtain().source == f"cache {toy.cache}"


def test_a_damaged_file_in_the_cache_stays_until_a_good_one_arrives(toy: Toy) -> None:
    toy.put(toy.cache)
    path = toy.cache / FILES[0]
    path.write_bytes(b"damaged")
    with pytest.raises(DataError, match="other bytes: sha256 "):
        toy.obtain()
    assert path.read_bytes() == b"damaged"


def test_a_cache_that_cannot_be_written_is_an_error_of_the_machine(
    toy: Toy, mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror()
    (toy.home / "file").touch()
    monkeypatch.setenv("CLASSICNETS_CACHE", str(toy.home / "file"))
    for fetch in (toy.obtain, lambda: toy.bring(toy.origin)):
        with pytest.raises(MachineError) as caught:
            fetch()
        assert caught.value.code == "CN401"
        assert str(caught.value).splitlines() == [
            "error[CN401]: the cache cannot be written",
            f"  where: {toy.home}/file/data/toy",
            "  why:   Not a directory",
            "  hint:  export CLASSICNETS_CACHE=FOLDER   # a folder you may write to",
        ]


def test_a_cache_that_cannot_be_written_does_not_matter_when_nothing_is(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.put(toy.home / "system")
    (toy.home / "file").touch()
    monkeypatch.setenv("CLASSICNETS_CACHE", str(toy.home / "file"))
    assert toy.obtain().source.startswith("system folder")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLASSICNETS_CACHE", "~/here")
    assert sources.cache_root() == Path.home() / "here"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLASSICNETS_CACHE", "here")
    assert sources.cache_root() == tmp_path / "here"
    monkeypatch.delenv("CLASSICNETS_CACHE")
    monkeypatch.setenv("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", str(tmp_path))
    assert sources.cache_root() == tmp_path / "classicnets"
    monkeypatch.delenv("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    assert sources.cache_root() == Path.home() / ".cache" / "classicnets"


# --- a given folder --------------------------------------------------------------------------------------------------


def test_plain_and_dotted_names_do_as_well(toy: Toy) -> None:
    given = toy.home / "given"
    given.mkdir()
    for name in NAMES.values():
        content = gzip.decompress((toy.origin / f"{name}.gz").read_bytes())
        (given / name.replace("-idx", ".idx")).write_bytes(content)
    toy.bring(given)
    assert toy.kept() == sorted(FILES)
    assert all((toy.cache / name).read_bytes()[:2] == b"\x1f\x8b" for name in FILES)
    assert toy.obtain().source == f"cache {toy.cache}"


def test_mnist_in_place_of_the_data_set_is_recognized(toy: Toy, mnist: Path, mirror: Callable[..., Mirror]) -> None:
    server = mirror()
    with pytest.raises(DataError) as caught:
        toy.bring(mnist)
    assert str(caught.value).splitlines() == [
        "error[CN303]: these are MNIST's files, not Toy's: both sets use the same file names",
        f"  where: {mnist}",
        "  why:   train-images-idx3-ubyte.gz: these are MNIST's train-images",
        "         train-labels-idx1-ubyte.gz: these are MNIST's train-labels",
        "         t10k-images-idx3-ubyte.gz: these are MNIST's t10k-images",
        "         t10k-labels-idx1-ubyte.gz: these are MNIST's t10k-labels",
        "  hint:  classicnets data get toy",
        f"  or:    classicnets data check {mnist}   # a folder is a data set of its own, too",
    ]
    assert (server.asked, toy.kept()) == ([], [])


def test_other_bytes_and_swapped_files_are_refused(toy: Toy) -> None:
    given = toy.put(toy.home / "given")
    shutil.copy(toy.origin / "train-labels-idx1-ubyte.gz", given / "t10k-labels-idx1-ubyte.gz")
    shutil.copy(toy.origin / "t10k-labels-idx1-ubyte.gz", given / "train-labels-idx1-ubyte.gz")
    (given / "t10k-images-idx3-ubyte.gz").write_bytes(b"something")
    with pytest.raises(DataError, match=r"error\[CN303\]: the folder does not hold Toy as it was published") as caught:
        toy.bring(given)
    labels, images, more = caught.value.why.splitlines()
    assert labels == "train-labels-idx1-ubyte.gz: these are Toy's t10k-labels"
    assert images.startswith("t10k-images-idx3-ubyte.gz: other bytes: sha256 3fc9b689459d")
    assert more == "t10k-labels-idx1-ubyte.gz: these are Toy's train-labels"
    assert toy.kept() == []


def test_a_folder_without_the_files_is_refused(toy: Toy) -> None:
    (toy.home / "empty").mkdir()
    with pytest.raises(DataError, match=r"error\[CN302\]: the folder lacks 4 of the 4 files of Toy"):
        toy.bring(toy.home / "empty")
    with pytest.raises(DataError, match="there is no such folder, or it may not be read"):
        toy.bring(toy.home / "none")


@pytest.fixture
def as_published(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The same set, of which only the digests of the packed files are known."""

    def packed(file: DataFile) -> DataFile:
        content = (toy.origin / file.name).read_bytes()
        return replace(file, sha256=hashlib.sha256(content).hexdigest(), size=len(content), of="file")

    toy.dataset = replace(toy.dataset, files=tuple(packed(file) for file in toy.dataset.files))
    monkeypatch.setitem(DATASETS, "toy", toy.dataset)
    return toy


def test_a_digest_may_be_of_the_packed_file(as_published: Toy, mirror: Callable[..., Mirror]) -> None:
    mirror()
    assert as_published.obtain().source.startswith("mirror")
    assert loading.load("toy").train.images.shape == (20, 1, 8, 8)
    assert all(report.status == "ok" for report in loading.check("toy"))
    folder = as_published.put(as_published.home / "given")
    assert loading.load(str(folder), say=lambda _: None).fingerprint == as_published.dataset.fingerprint
    as_published.bring(folder)
    for name in FILES:
        assert (as_published.cache / name).read_bytes() == (as_published.origin / name).read_bytes()


def test_what_was_unpacked_cannot_be_verified_where_only_packed_files_are_known(as_published: Toy, mnist: Path) -> None:
    for path in (given := as_published.put(as_published.home / "given")).iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    with pytest.raises(DataError, match=r"error\[CN303\]: the folder does not hold Toy") as caught:
        as_published.bring(given)
    assert caught.value.why.splitlines() == [
        f"{name}: not packed: what can be verified is {name}.gz as it was published" for name in NAMES.values()
    ]
    with pytest.raises(DataError, match=r"these are MNIST's files, not Toy's"):
        as_published.bring(mnist)


# --- nowhere ---------------------------------------------------------------------------------------------------------


def test_when_all_fail_what_was_tried_and_what_to_do_by_hand_is_said(
    toy: Toy, mirror: Callable[..., Mirror], mnist: Path
) -> None:
    empty, wrong = mirror(), mirror(mnist)
    empty.files.clear()
    with pytest.raises(DataError) as caught:
        toy.obtain()
    assert str(caught.value).splitlines() == [
        "error[CN302]: Toy could not be had from any source",
        f"  where: {toy.cache}",
        f"  why:   cache {toy.cache}: nothing there",
        f"         system folder {toy.home}/system: nothing there",
        f"         mirror {empty.url}: HTTP 404 Not Found",
        f"         mirror {wrong.url}: t10k-labels-idx1-ubyte.gz: these are MNIST's t10k-labels",
        "         Debian package dataset-toy: apt-get and dpkg-deb are not on this machine",
        "  hint:  classicnets data import toy FOLDER   # a FOLDER with train-images-idx3-ubyte.gz, "
        "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz, "
        f"fetched by hand on any machine from {empty.url} or {wrong.url}",
    ]
    assert toy.kept() == []


def test_offline_asks_nobody(
    toy: Toy, mirror: Callable[..., Mirror], apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = mirror()
    monkeypatch.setenv("CLASSICNETS_OFFLINE", "1")
    with pytest.raises(DataError) as caught:
        toy.obtain()
    assert toy.lines == ["toy: offline (--offline or CLASSICNETS_OFFLINE), so nobody is asked for it"]
    assert caught.value.why.endswith("elsewhere: not asked, offline (--offline or CLASSICNETS_OFFLINE)")
    assert caught.value.hints[-1] == "unset CLASSICNETS_OFFLINE   # and no --offline"
    assert (server.asked, apt.exists(), toy.kept()) == ([], False, [])


def test_a_package_manager_that_fails_or_hangs_is_one_line(
    toy: Toy, apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(toy.home / "bin" / "apt-get", 'echo "Reading..."; echo "E: Nothing works today"; exit 100')
    with pytest.raises(DataError, match="Debian package dataset-toy: apt-get: E: Nothing works today"):
        toy.obtain()
    script(toy.home / "bin" / "apt-get", "exec sleep 600")
    monkeypatch.setattr(sources, "APT_TIMEOUT_SECONDS", 0.05)
    with pytest.raises(DataError, match=r"apt-get took more than 0\.05 s"):
        toy.obtain()
    assert toy.lines[-1] == "toy: Debian package dataset-toy: apt-get took more than 0.05 s"


def test_a_package_with_other_bytes_is_refused(toy: Toy, apt: Path, mnist: Path) -> None:
    shutil.rmtree(toy.origin)
    shutil.copytree(mnist, toy.origin)
    with pytest.raises(DataError, match=r"Debian package dataset-toy: train-images.*these are MNIST's train-images"):
        toy.obtain()
    assert toy.kept() == []


# --- doctor ----------------------------------------------------------------------------------------------------------


def test_would_come_from(toy: Toy, mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch) -> None:
    server = mirror()
    assert sources.would_come_from(toy.dataset) == f"not here yet: would be fetched from {server.url}"
    script(toy.home / "bin" / "apt-get", "")
    script(toy.home / "bin" / "dpkg-deb", "")
    assert sources.would_come_from(toy.dataset).endswith(f"{server.url} or the Debian package dataset-toy")
    monkeypatch.setenv("CLASSICNETS_OFFLINE", "1")
    assert sources.would_come_from(toy.dataset) == "not here, and CLASSICNETS_OFFLINE forbids fetching it"
    system = toy.put(toy.home / "system")
    assert sources.would_come_from(toy.dataset) == f"system folder {system}"
    toy.put(toy.cache)
    assert sources.would_come_from(toy.dataset) == f"cache {toy.cache}"
    (toy.cache / FILES[0]).write_bytes(b"damaged")
    assert sources.would_come_from(toy.dataset) == f"system folder {system}"
    assert server.asked == []
