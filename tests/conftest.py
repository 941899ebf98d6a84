"""What every test may use. Nothing here needs a network, a GPU or real data."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

# As the command does (`machine.share_cores`): threads that spin while they wait take the cores of the other processes.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import hypothesis
import pytest
import torch

from classicnets.cli.main import main
from classicnets.report import figures, mistakes
from support.command_line import CommandLine
from support.idx import make_idx_folder
from support.images import make_image_folder

# One by default, since the suite runs in several processes; CI runs it with two as well.
THREADS = int(os.environ.get("CLASSICNETS_TEST_THREADS", "1"))
torch.set_num_threads(THREADS)
# A shell starts a background job with SIGINT ignored, and child processes inherit that: tests that interrupt a child
# would wait forever. A handled signal is reset to its default in a child.
signal.signal(signal.SIGINT, signal.default_int_handler)
# no deadlines on shared machines; CI draws the same examples every time, people's machines new ones
hypothesis.settings.register_profile("house", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("house")


@pytest.fixture(autouse=True)
def same_start() -> None:
    """Each test starts with the same random state and threads, whichever tests ran before it in this process."""
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)


@pytest.fixture(autouse=True)
def nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own cache and working folder, and no network."""
    monkeypatch.setenv("CLASSICNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLASSICNETS_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of IDX files with 400 + 100 synthetic images of ten classes that a small net learns."""
    return make_idx_folder(tmp_path_factory.mktemp("data") / "blobs", train=400, test=100)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 90 + 30 synthetic color images of 16 x 16 in three classes that a small net learns."""
    return make_image_folder(tmp_path_factory.mktemp("data") / "animals", per_class=30, test_per_class=10)


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Runs draw no images, which takes longer than a short training; for files that try many runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "png", lambda _: b"")
        patch.setattr(figures, "draw_curves", lambda *_, **__: None)
        for name in ("confusion", "calibration", "contact_sheet"):
            patch.setattr(mistakes, name, lambda *_, **__: None)
        yield


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Runs a command line in this process: cli("list") -> (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call
