"""Images that are decoded while training are those of the cache, bit for bit, wherever they are used."""

from __future__ import annotations

import os
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

from classicnets.datasets.types import LazyImages
from classicnets.errors import DataError
from classicnets.images import streamed
from classicnets.images.decode import read_fitted
from classicnets.images.streamed import StreamedImages
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


def test_processes_report_unreadable_files_and_their_own_death(
    tmp_path: Path, images: StreamedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(images.paths[0].read_bytes()[:-40])
    batches = StreamedImages([*images.paths, damaged], PREPROCESS).batches([np.array([1]), np.array([2, 27])], 1)
    assert len(next(batches)) == 1
    with pytest.raises(DataError) as caught:
        next(batches)
    assert caught.value.code == "CN304" and caught.value.where == str(damaged) and caught.value.hints

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
    options = {"join_after": 1, "monitor": "none"} if join_after else {}
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
    assert isinstance(session.splits.test.images, LazyImages) and isinstance(session.splits.train.images, LazyImages)
    assert session.validation is not None and isinstance(session.validation.images, LazyImages)
    assert [type(event) for event in session.events()] == [type(event) for event in events]
    assert session.plan.preprocess == expected.plan.preprocess
    theirs, ours = weights_of(expected), weights_of(session)
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    results = [one.finish() for one in (expected, session)]
    assert all(result is not None for result in results)
    one, other = results
    assert one is not None and other is not None
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
