"""Real runs of several processes from the command line: killed, stopped, resumed, with their launcher or torchrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch

from classicnets.runs import checkpoint
from classicnets.strict_json import parse
from support.idx import make_idx_folder
from support.once import once

TRAIN = ["train", "lenet_d2l", "--recipe", "fast", "--save-every", "0.1", "--runs", "runs"]
SETTINGS = ["--set", "epochs=2", "batch_size=8", "validation=0", "monitor=none"]
LAUNCHED = [sys.executable, "-P", "-m", "classicnets", *TRAIN, "--processes", "2", "--jsonl"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=2"]
TORCHRUN += ["-m", "classicnets", *TRAIN]


# of each start of the processes: the rank of the process that kills itself, and when; see dying/sitecustomize.py
ALL_DEATHS = [
    (1, "start"),
    (0, "joining"),
    (1, "reading"),
    (0, "first step"),
    (1, "later step"),
    (1, "evaluation"),
    (0, "reports"),
    (1, "end"),
    (0, "result"),
]
ALL = os.environ.get("CLASSICNETS_DEATHS") == "all"  # `make fuzz` sets it: each death takes ten seconds
DEATHS = ALL_DEATHS if ALL else [(0, "joining"), (1, "later step"), (0, "reports")]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, and a run that nothing has interrupted, in which the other runs are."""
    return once(tmp_path_factory, "launched", make_run)


@contextmanager
def started(root: Path, name: str, command: list[str], *, deaths: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A command that runs in a folder of its own; its processes are killed at the end if they are still there."""
    folder = root / name
    folder.mkdir()
    startup = Path(__file__).parent / "dying" if deaths else Path(__file__).parents[1] / "support" / "startup"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(startup), *sys.path])}
    if deaths:
        environment["TEST_DEATHS"] = "\n".join(f"{rank} {moment}" for rank, moment in DEATHS)
    words = [*command, "--data", str(root / "data"), *SETTINGS]
    process = subprocess.Popen(
        words, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        for pid in (*children(process.pid), process.pid):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def children(pid: int) -> list[int]:
    """The processes that a process has started, in this order."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


def run_in(root: Path, name: str) -> Path:
    """The only run of a command."""
    [run] = (root / name / "runs").glob("*/run.json")
    return run.parent


def wait_until_saved(root: Path, name: str, process: subprocess.Popen[str]) -> None:
    """Wait until the run of a command has a checkpoint; a test that waits for too long is stopped by its timeout."""
    while not any((root / name / "runs").glob("*/last.safetensors")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def weights(run: Path) -> dict[str, torch.Tensor]:
    """The weights at the end of a run."""
    return checkpoint.weights(checkpoint.load(run / "last.safetensors")[0])


def make_run(root: Path) -> None:
    """Make images, and train on them in two processes."""
    make_idx_folder(root / "data", train=600, test=20, classes=4, size=28)
    with started(root, "uninterrupted", LAUNCHED) as process:
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    lines = [parse(line) for line in out.splitlines()]
    assert lines[-1]["event"] == "result" and "error" not in err
    assert parse((run_in(root, "uninterrupted") / "run.json").read_text())["parallel"]["processes"] == 2


@pytest.fixture
def uninterrupted(root: Path) -> dict[str, torch.Tensor]:
    """The weights of a run that nothing has interrupted."""
    return weights(run_in(root, "uninterrupted"))


def assert_equal_weights(run: Path, expected: dict[str, torch.Tensor]) -> None:
    """The weights of a run are those, bit for bit."""
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(run).items())


pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


def test_a_process_that_is_killed_is_started_again(root: Path, uninterrupted: dict[str, torch.Tensor]) -> None:
    """Whatever a process is doing when it is killed, the run goes on by itself and ends as one that is not interrupted.

    Each start of the processes has another kind of death; the processes that remain get a SIGTERM from the launcher.
    """
    with started(root, "killed", [*LAUNCHED, "--max-restarts", str(len(DEATHS))], deaths=True) as process:
        out, err = process.communicate(timeout=800)
    assert process.returncode == 0, err
    assert err.count("starting 2 processes") == 1
    assert "error" not in err and "stopped" not in err and "Traceback" not in err, err
    assert [parse(line)["event"] for line in out.splitlines()].count("result") == 1
    assert_equal_weights(run_in(root, "killed"), uninterrupted)
    deaths = (root / "killed" / "deaths").read_text().splitlines()
    assert deaths == [f"{rank} {moment}" for rank, moment in DEATHS]


def test_torchrun_resumes_the_run_of_its_job(root: Path, uninterrupted: dict[str, torch.Tensor]) -> None:
    """Processes that torchrun starts again find the run that they have started before."""
    with started(root, "torchrun", TORCHRUN) as process:
        wait_until_saved(root, "torchrun", process)
        os.kill(children(process.pid)[0], signal.SIGKILL)
        _out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "restart 1 of 2" in err and "error[" not in err
    assert_equal_weights(run_in(root, "torchrun"), uninterrupted)
    assert not [*(root / "torchrun" / "runs").glob(".job*")]


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        pytest.param((signal.SIGINT, signal.SIGINT), 130, id="Ctrl-C"),
        pytest.param((signal.SIGTERM,), 143, id="SIGTERM", marks=pytest.mark.skipif(not ALL, reason="in make fuzz")),
    ],
)
def test_a_signal_saves_once_and_leaves_nothing_behind(root: Path, numbers: tuple[int, ...], code: int) -> None:
    """As in a terminal, each process gets Ctrl-C; a queue sends SIGTERM to the launcher only."""
    name = f"stopped-{code}"
    with started(root, name, LAUNCHED) as process:
        wait_until_saved(root, name, process)
        workers = children(process.pid)
        for number in numbers:
            for pid in [process.pid, *workers] if number == signal.SIGINT else [process.pid]:
                with suppress(OSError):
                    os.kill(pid, number)
        _out, err = process.communicate(timeout=600)
    assert process.returncode == code, err
    assert err.count("stopped") == err.count("stopped after epoch") == 1, err
    assert "Traceback" not in err and "error" not in err and "goes on" not in err, err
    assert len(workers) == 2 and not any(Path(f"/proc/{pid}").exists() for pid in workers)
    run = run_in(root, name)
    assert not [*run.glob(".*.part*")]
    assert "generator/cpu" in checkpoint.load(run / "last.safetensors")[0]
