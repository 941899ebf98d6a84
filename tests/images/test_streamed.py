"""Images that are decoded while training are those of the cache, bit for bit, wherever they are used."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from classicnets import machine
from classicnets.acceleration.prepare import Acceleration
from classicnets.datasets.types import LazyImages, Split
from classicnets.errors import DataError
from classicnets.evaluation.evaluate import evaluate
from classicnets.evaluation.predictor import Predictor
from classicnets.export import parity
from classicnets.images import cache, loading, streamed
from classicnets.images.decode import read_fitted
from classicnets.images.streamed import StreamedImages
from classicnets.report import error_analysis
from classicnets.report import run as run_report
from classicnets.runs import checkpoint
from classicnets.spec import Output, run_spec
from classicnets.training.plan import plan
from classicnets.training.session import Session
from classicnets.values import Preprocess
from support.images import make_image_folder

PREPROCESS = Preprocess(channels=3, image_size=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of nine training images and three test images, some of them not square."""
    return make_image_folder(tmp_path_factory.mktemp("streamed") / "x", per_class=9, test_per_class=3)


@pytest.fixture(scope="module")
def images(folder: Path) -> StreamedImages:
    return StreamedImages(sorted((folder / "train").rglob("*.*")), PREPROCESS)


@pytest.fixture(scope="module")
def decoded(images: StreamedImages) -> np.ndarray:
    return np.stack([read_fitted(path, PREPROCESS) for path in images.paths])


@pytest.mark.parametrize(
    "index",
    [slice(None), slice(3, 7), slice(20, 99), [5, 2, 2], np.array([26, 0]), np.arange(27) % 2 == 0, np.array([], int)],
    ids=str,
)
def test_every_index_gives_what_it_gives_for_an_array(images: StreamedImages, decoded: np.ndarray, index: Any) -> None:
    np.testing.assert_array_equal(images[index], decoded[index])
    subset = images.subset(index)
    assert isinstance(subset, StreamedImages) and subset.shape == decoded[index].shape
    np.testing.assert_array_equal(subset[:], decoded[index])


def test_it_has_the_shape_of_an_array(images: StreamedImages, decoded: np.ndarray) -> None:
    assert (images.shape, images.dtype, images.nbytes) == (decoded.shape, decoded.dtype, decoded.nbytes)
    np.testing.assert_array_equal(images[-1], decoded[-1])
    np.testing.assert_array_equal(np.stack([*images]), decoded)
    np.testing.assert_array_equal(images.joined(images.subset([3]))[25:], decoded[[25, 26, 3]])
    with pytest.raises(IndexError):
        images[27]


def in_threads(self: StreamedImages, batches: Any, processes: int = 0) -> Any:
    """As `batches`, but without processes, which take a tenth of a second to start."""
    return (self[rows] for rows in batches)


def test_processes_decode_batches_in_their_order(images: StreamedImages, decoded: np.ndarray) -> None:
    rows = [np.array(part) for part in ([4, 3], [26], [0, 9, 9, 1], [], [8])]
    before = torch.get_rng_state()
    batches = [*images.batches(rows, 2)]
    assert torch.equal(before, torch.get_rng_state())  # training would draw other dropout masks
    assert [len(batch) for batch in batches] == [2, 1, 4, 0, 1]
    np.testing.assert_array_equal(np.concatenate(batches), decoded[np.concatenate(rows).astype(int)])
    assert [*images.batches([])] == []


def test_processes_report_unreadable_files(tmp_path: Path, images: StreamedImages) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(images.paths[0].read_bytes()[:-40])
    batches = StreamedImages([*images.paths, damaged], PREPROCESS).batches([np.array([1]), np.array([2, 27])], 1)
    assert len(next(batches)) == 1
    with pytest.raises(DataError) as caught:
        next(batches)
    assert caught.value.code == "CN304" and caught.value.where == str(damaged) and caught.value.hints


@pytest.mark.skipif(sys.platform != "linux", reason="the processes of other systems do not have the replaced function")
def test_a_process_that_dies_is_an_error(images: StreamedImages, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> None:
        os._exit(9)

    monkeypatch.setattr(streamed, "read_fitted", die)
    with pytest.raises(DataError) as caught:
        next(images.batches([np.array([1])], 1))
    assert caught.value.code == "CN310" and "--loader-threads 1" in caught.value.hints[0]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_end_when_the_training_is_killed(images: StreamedImages, tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "import numpy as np, torch, torch.multiprocessing as mp\n"
        "from torch.utils.data import _utils\n"
        "_utils.worker.MP_STATUS_CHECK_INTERVAL = 0.2  # otherwise 5 seconds\n"
        "from classicnets.images.streamed import StreamedImages\n"
        "from classicnets.values import Preprocess\n"
        "images = StreamedImages([Path(sys.argv[1])], Preprocess(channels=3, image_size=12))\n"
        "batches = images.batches([np.array([0])] * 100, 2)\n"
        "next(batches)\n"
        "print(*(child.pid for child in mp.active_children()), flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(images.paths[0])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers = [int(pid) for pid in process.stdout.readline().split()]
        for pid in workers:
            os.kill(pid, signal.SIGINT)  # as Ctrl-C in a terminal, which the training answers
        process.kill()
    assert len(workers) == 2
    while any(is_running(pid) for pid in workers):
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Net(nn.Sequential):
    """A network with dropout, whose masks depend on torch's generator."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 10 * 10, 3))


SETTINGS = {
    "epochs": 2,
    "batch_size": 4,
    "image_size": 12,
    "resize": 14,
    "crop": "random",
    "flip": True,
    "color_noise": "paper",
    "validation": 0.2,
    "monitor": "validation",
}


def start(
    folder: Path, runs: Path, mode: str, monkeypatch: pytest.MonkeyPatch, notes: list[str], **options: Any
) -> Session:
    monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", mode)
    torch.manual_seed(0)
    spec, module = run_spec(Net(), data=str(folder), settings={**SETTINGS, **options}, threads=1)
    return Session.start(plan(spec, module), notes.append, Output(runs=str(runs)))


def weights_of(session: Session) -> dict[str, torch.Tensor]:
    return checkpoint.load(session.folder.last)[0]


@pytest.mark.parametrize("join_after", [0, 1])
def test_a_run_is_the_same_as_with_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, join_after: int
) -> None:
    """Order, augmentation, statistics, validation, joined images, evaluation and reports; also when it is resumed."""
    if join_after:
        monkeypatch.setattr(StreamedImages, "batches", in_threads)
    else:
        monkeypatch.setattr(machine, "usable_cores", lambda: 1)  # of the processes, which take long to start
    options = {"join_after": 1, "monitor": "none"} if join_after else {"epochs": 1}
    notes: list[str] = []
    expected = start(folder, tmp_path, "memory", monkeypatch, notes, **options)
    assert not any("decoded while training" in note for note in notes)
    events = [*expected.events()]
    session = start(folder, tmp_path, "stream", monkeypatch, notes, **options)
    assert [note for note in notes if "decoded while" in note] == [
        "x: copies are not looked for, because the images are decoded while training",
        "x: 36 images are decoded while training, because CLASSICNETS_IMAGE_CACHE is stream; the data is recognized by"
        " names and sizes of files",
    ]
    for split in (session.splits.train, session.splits.test, session.validation):
        assert split is not None and isinstance(split.images, LazyImages)
    assert [type(event) for event in session.events()] == [type(event) for event in events]
    assert session.plan.preprocess == expected.plan.preprocess
    theirs, ours = weights_of(expected), weights_of(session)
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    one, other = expected.finish(run_report.write), session.finish(run_report.write)
    assert one is not None and other is not None
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert (session.folder.path / "contact_sheet.png").exists()
    assert session.folder.read_trained_images() is None and expected.folder.read_trained_images() is not None


@pytest.mark.parametrize(("first", "then"), [("memory", "stream"), ("stream", "memory"), ("stream", "stream")])
def test_a_run_is_resumed_with_and_without_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str
) -> None:
    monkeypatch.setattr(StreamedImages, "batches", in_threads)
    notes: list[str] = []
    expected = start(folder, tmp_path, "memory", monkeypatch, notes)
    [*expected.events()]
    session = start(folder, tmp_path, first, monkeypatch, notes)
    session.save_seconds = 0.0
    events = session.events()
    for _step in range(4):
        next(events)
    events.close()
    fingerprint = session.folder.read()["fingerprint"]
    monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", then)
    asked: list[int] = []

    def recorded(self: StreamedImages, batches: Any, processes: int = 0) -> Any:
        asked.append(len(batches))
        return in_threads(self, batches, processes)

    monkeypatch.setattr(StreamedImages, "batches", recorded)
    resumed = Session.resume(session.folder.path, notes.append, net=Net())
    assert (resumed.state.epoch, resumed.state.step) == (0, 3)
    [*resumed.events()]
    assert not asked or asked[0] == resumed.batches.steps(1) - 3  # what was passed is not decoded
    theirs, ours = weights_of(expected), weights_of(resumed)
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    assert resumed.folder.read()["fingerprint"] == fingerprint == checkpoint.load(resumed.folder.last)[1]["fingerprint"]


def test_other_sizes_are_other_data(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(folder, tmp_path / "x")
    session = start(copy, tmp_path, "stream", monkeypatch, [])
    session.lock.release()
    changed = next((copy / "test").rglob("*.png"))
    changed.write_bytes(changed.read_bytes() + b"x")
    for mode in ("stream", "memory"):
        monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", mode)
        with pytest.raises(DataError) as caught:
            Session.resume(session.folder.path, lambda _: None, net=Net())
        assert caught.value.code == "CN306" and "have changed" in caught.value.why


def test_everything_that_takes_images_takes_these(
    images: StreamedImages, decoded: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluation of a network and of a file, comparison of an export, and figures; `Split` has all images of a run."""
    monkeypatch.setattr(StreamedImages, "batches", in_threads)
    monkeypatch.setattr(parity, "_MIN_BATCH", 4)
    labels, classes = np.arange(27) % 3, ("a", "b", "c")
    torch.manual_seed(1)
    net, device = Net().eval(), torch.device("cpu")
    for threads in (1, 2):
        monkeypatch.setattr("classicnets.evaluation.predictor.batch_size", lambda _: 4)
        predictor = Predictor(net, PREPROCESS, classes, device, acceleration=Acceleration(batch_threads=threads))
        lazy = predictor.probabilities(images)
        np.testing.assert_array_equal(lazy, predictor.probabilities(decoded))
    assert predictor.probabilities(images.subset([])).shape == (0, 3)

    class File:
        """Like the classifier of an exported file, it takes arrays only."""

        preprocess, classes, precision = PREPROCESS, ("a", "b", "c"), "float32"

        def probabilities(self, batch: np.ndarray) -> np.ndarray:
            assert isinstance(batch, np.ndarray)
            return predictor.probabilities(batch)

    for classifier in (predictor, File()):
        evaluation, probabilities = evaluate(classifier, Split(images, labels))
        assert evaluation.n == 27
        np.testing.assert_array_equal(probabilities, lazy)
    file, reference = File().probabilities, parity.Reference(net, PREPROCESS, classes)
    assert parity.compare(file, reference, images).n == 27 and parity.compare(file, reference, images).difference < 1e-6
    assert parity.accuracy(file, Split(images, labels), 12) == parity.accuracy(file, Split(decoded, labels), 12)
    for one, other in zip(parity.probes(images, 12), parity.probes(decoded, 12), strict=True):
        np.testing.assert_array_equal(one, other)
    figures = [error_analysis.draw_contact_sheet(x, labels, lazy, classes, "t") for x in (images, decoded)]
    pixels = [[artist.get_array() for artist in figure.axes[0].images] for figure in figures]
    assert all(np.array_equal(one, other) for one, other in zip(*pixels, strict=True)) and pixels[0]


def test_statistics_of_many_images_are_those_of_a_part(images: StreamedImages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "MAX_STATISTICS", 5)
    rows = np.arange(0, 27, 2)
    assert streamed.for_statistics(images, rows).tolist() == [0, 4, 10, 16, 22]
    assert streamed.for_statistics(images[:], rows).tolist() == rows.tolist()


GIGABYTE = 10**9


@pytest.mark.parametrize(
    ("mode", "limit", "memory", "disk", "reason"),
    [
        ("auto", 10**4, 64 * GIGABYTE, True, "they need 11.7 kB, and the cache keeps at most 10.0 kB"),
        ("auto", 10**9, 20_000, False, "they need more than half of the memory, and cannot be written to"),
        ("disk", 10**4, 20_000, False, "they need more than half of the memory, and cannot be written to"),
        ("stream", 10**9, 64 * GIGABYTE, True, "CLASSICNETS_IMAGE_CACHE is stream"),
        ("auto", 10**9, 64 * GIGABYTE, False, ""),
        ("auto", 10**9, 20_000, True, ""),
        ("disk", 10**4, 20_000, True, ""),
        ("memory", 10**4, 64 * GIGABYTE, True, ""),
    ],
)
def test_images_that_fit_nowhere_are_decoded_while_training(
    images: StreamedImages,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    limit: int,
    memory: int,
    disk: bool,
    reason: str,
) -> None:
    monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", mode)
    monkeypatch.setattr(cache, "SMALL_BYTES", 0)
    monkeypatch.setattr(cache, "MAX_CACHE_BYTES", limit)
    monkeypatch.setattr(machine, "total_memory_bytes", lambda: memory)
    free = 10**12 if disk else 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - free, free))
    notes: list[str] = []
    decoded = cache.read_images(images.paths, PREPROCESS, notes.append)
    assert isinstance(decoded.images, LazyImages) == bool(reason)
    if reason:
        [note] = notes
        assert note.startswith(f"27 images are decoded while training, because {reason}")
    np.testing.assert_array_equal(decoded.images[:], images[:])
    assert cache.is_streamed(27, PREPROCESS) == (mode == "stream" or (mode, limit) == ("auto", 10**4))


def test_memory_that_is_too_small_is_an_error_only_where_it_was_chosen(
    images: StreamedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", "memory")
    monkeypatch.setattr(machine, "total_memory_bytes", lambda: 20_000)
    with pytest.raises(DataError) as caught:
        cache.read_images(images.paths, PREPROCESS, pytest.fail)
    assert caught.value.code == "CN307" and "export CLASSICNETS_IMAGE_CACHE=stream" in caught.value.hints[1]


def test_images_without_a_header_are_skipped_on_request(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(folder, tmp_path / "x")
    next((copy / "train").rglob("*.png")).write_bytes(b"")
    monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", "stream")
    splits = loading.load(str(copy), PREPROCESS, on_bad_image="skip", say=lambda _: None)
    assert len(splits.train) == len(splits.train.images[:]) == 26 and splits.left_out["unreadable"] == 1


def test_the_processes_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 8)
    counts = []
    for value in ("", "3", "16", "many"):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", value)
        counts.append(machine.cores_of_process())
    assert counts == [8, 2, 1, 8]
