"""Fixtures for all tests. None of them needs a network connection, a GPU or real data."""

from __future__ import annotations

import functools
import gc
import os
import signal
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

# As in the command (`machine.share_cores`): waiting threads that spin would slow down the other processes.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ["CLASSICNETS_LANG"] = "en"  # whatever the locale is; tests of the Chinese texts set it

import hypothesis
import pytest
import torch

from classicnets import report
from classicnets.cli.main import main
from classicnets.errors import ClassicnetsError
from classicnets.events import Event
from classicnets.forecast import trial
from classicnets.report import error_analysis, figures
from classicnets.runs.folder import RunFolder
from classicnets.spec import Output
from classicnets.studies import parallel, processes
from classicnets.studies.folder import Key
from classicnets.studies.processes import RunEnd
from classicnets.training.session import Session
from support.command_line import CommandLine
from support.idx import make_idx_folder
from support.images import make_image_folder
from support.startup.sitecustomize import FIGURES

STARTUP = str(Path(__file__).parent / "support" / "startup")  # of each process that tests start
# One by default, because the tests run in several processes; CI also runs them with two.
THREADS = int(os.environ.get("CLASSICNETS_TEST_THREADS", "1"))
torch.set_num_threads(THREADS)
# A shell starts background jobs with SIGINT ignored, and child processes inherit that, so that tests that interrupt a
# child process would wait forever. A signal with a handler is reset to its default in a child process.
signal.signal(signal.SIGINT, signal.default_int_handler)
# No deadlines on shared machines. CI uses the same examples each time, developers' machines new ones.
hypothesis.settings.register_profile("classicnets", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("classicnets")
# The garbage collector would look through all modules again and again.
gc.set_threshold(10_000, 20, 20)


def pytest_collection_finish() -> None:
    """Keep what has been imported out of the garbage collector."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What code has run on this machine is recorded in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def same_start() -> None:
    """Each test starts with the same random state and number of threads."""
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)


@pytest.fixture(autouse=True)
def nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own cache and working folder, and downloads are disabled."""
    monkeypatch.setenv("CLASSICNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLASSICNETS_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of IDX files: 400 + 100 synthetic images in ten classes that a small network can learn."""
    return make_idx_folder(tmp_path_factory.mktemp("data") / "blobs", train=400, test=100)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 90 + 30 synthetic color images of 16 x 16 in three classes that a small network can learn."""
    return make_image_folder(tmp_path_factory.mktemp("data") / "animals", per_class=30, test_per_class=10)


@pytest.fixture(autouse=True, scope="session")
def undrawn() -> Iterator[None]:
    """The figures in the folder of a run are stand-ins, also in the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report.run, "figures", FIGURES)
        patch.setattr(report.run, "error_analysis", FIGURES)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [STARTUP, os.environ.get("PYTHONPATH")])))
        yield


@pytest.fixture(scope="session")
def quick_export() -> Iterator[None]:
    """torch exports networks faster: what it computes anew for each of them, a third of the time, is cached."""
    from torch._export import utils
    from torch.onnx._internal.exporter import _registration, _schemas

    scripts = vars(_registration)["onnxscript_apis"]
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (scripts, "get_torchlib_ops"),  # lists all operators of onnxscript
            (_schemas, "op_signature_from_function"),  # reads the types of their arguments
            (utils, "_materialize_cpp_cia_ops"),  # loads all operators that torch has in C++
        ):
            patch.setattr(module, name, functools.cache(getattr(module, name)))
        yield


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw their figures, also in the processes that the test starts."""
    monkeypatch.setattr(report.run, "figures", figures)
    monkeypatch.setattr(report.run, "error_analysis", error_analysis)
    paths = os.environ["PYTHONPATH"].split(os.pathsep)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path != STARTUP))


@pytest.fixture(autouse=True, scope="session")
def briefly_timed() -> Iterator[None]:
    """--dry-run and --seeds time as few steps as they can, not some seconds of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "STEP_SECONDS", 0.0)
        patch.setattr(trial, "EVALUATION_SECONDS", 0.0)
        patch.setattr(parallel, "_SECONDS", 0.0)
        yield


@pytest.fixture
def in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs with several seeds are trained one after the other in this process; others would import torch first."""

    def follow(
        runs: Mapping[Key, RunFolder], parallel_runs: int, threads: int, save_seconds: float
    ) -> Generator[tuple[Key, Event | RunEnd], None, None]:
        for key, run in runs.items():
            session = Session.resume(run.path, lambda _: None, Output(save_every=save_seconds), trust=True)
            try:
                for event in session.events():
                    yield key, event
                session.finish(report.run.write)
            except ClassicnetsError as error:
                yield key, RunEnd(str(error))
            else:
                yield key, RunEnd()

    monkeypatch.setattr(processes, "follow", follow)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Runs a command line in this process: cli("list") -> (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call
