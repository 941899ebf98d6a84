"""Processes that share a run: joining, agreeing, failing. However one of them fails, exactly one error is printed."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from torch._C._distributed_c10d import HashStore, PrefixStore

from classicnets import api, machine
from classicnets.errors import ClassicnetsError, MachineError, UsageError
from classicnets.parallel import elastic, failure, launch, meeting
from classicnets.parallel.place import Place, check_torch, read_place
from classicnets.runs.folder import RunFolder
from support.command_line import CommandLine

TESTS = Path(__file__).parent.parent
ENVIRONMENT = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RESTART_COUNT": "1",
    "TORCHELASTIC_MAX_RESTARTS": "3",
    "TORCHELASTIC_RUN_ID": "job",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
}


class Launched(NamedTuple):
    """The end of a launch."""

    code: int
    out: str
    err: str


def place(**changes: str) -> Place:
    """The place of a process of torchrun."""
    return read_place(ENVIRONMENT | changes)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Launched]:
    """A function that launches two processes of world_script and returns exit code, standard output and error."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *sys.path]))

    def run(fault: str, timeout: float, restarts: int = 0) -> Launched:
        arguments = [fault, str(timeout)]
        try:
            code = launch.launch(arguments, 2, restarts, Path("RUN"), module="parallel.world_script")
        except ClassicnetsError as error:
            print(error, file=sys.stderr)
            code = error.exit_code
        captured = capfd.readouterr()
        return Launched(code, captured.out, captured.err)

    return run


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("own", 1, "error[CN101]: the loss is not finite\n  where: here (rank 1 on"),
        ("all", 1, "error[CN101]: the loss is not finite\n  where: here\n"),
        ("bug", 1, "ZeroDivisionError: a bug"),
        ("different", 2, "lr: 0.2 instead of 0.1"),
        ("killed", 4, "error[CN405]: process 1 of 2 is gone"),
        ("hangs", 4, "error[CN405]: process 1 of 2 does not respond"),
    ],
)
def test_one_error_is_printed(launched: Callable[..., Launched], fault: str, code: int, message: str) -> None:
    """The processes that wait for the one that fails end without a word, and are not started again."""
    timeout = 2 if fault == "hangs" else 60
    exit_code, out, err = launched(fault, timeout, restarts=0 if code == 4 else 2)
    assert exit_code == code, err
    assert message in err
    assert err.count("error[") + err.count("Traceback") == 1, err
    assert "result" not in out


def test_only_the_first_process_prints_and_slow_work_has_no_time_limit(launched: Callable[..., Launched]) -> None:
    """One process stops all."""
    run = launched("slow", 1)
    assert (run.code, run.err) == (130, "")
    assert run.out.splitlines() == ["result", "printed by every process"]


def test_attempts_do_not_meet() -> None:
    """A store that has the keys of an attempt that was killed leads no process of the next one to it."""
    store = HashStore()
    prefixes = set()
    for _attempt in range(3):
        found: dict[int, str] = {}

        def meet(rank: int, found: dict[int, str] = found) -> None:
            found[rank] = meeting.meet(store, place(RANK=str(rank), LOCAL_RANK=str(rank)))

        threads = [threading.Thread(target=meet, args=(rank,)) for rank in (1, 0)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found[0] == found[1]
        prefixes.add(found[0])
        assert not PrefixStore(found[0], store).check(["beat/0"])
    assert len(prefixes) == 3


def test_processes_that_do_not_come_are_named() -> None:
    with pytest.raises(MachineError) as error:
        meeting.meet(HashStore(), place(RANK="0", LOCAL_RANK="0"), 0.1)
    assert error.value.code == "CN406" and "no answer from rank 1 in 0 s" in error.value.why


def test_one_of_those_who_wait_reports_who_does_not_come() -> None:
    """Rank 2 of 4 does not come: rank 0 says so, and tells those who have come. Without rank 0, one of them says so."""
    for ranks, missing in [((0, 1, 3), "rank 2"), ((1, 2, 3), "rank 0")]:
        store = HashStore()
        with ThreadPoolExecutor(3) as threads:
            ends = [*threads.map(lambda rank, store=store: end_of_meeting(store, rank), ranks)]
        [error] = [end for end in ends if isinstance(end, MachineError)]
        assert missing in error.why
        for end in ends:
            assert not isinstance(end, str) or PrefixStore(end, store).check(["error"])


def end_of_meeting(store: HashStore, rank: int) -> str | BaseException:
    """What one of four processes has after it has waited for the others: the prefix of keys, or the exception."""
    of_four = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4", "RANK": str(rank), "LOCAL_RANK": str(rank)}
    try:
        return meeting.meet(store, place(**of_four), 0.3)
    except (MachineError, failure.Quiet) as error:
        return error


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"MASTER_ADDR": ""}, "MASTER_ADDR"),
        ({"RANK": "one"}, "one"),
        ({"RANK": "2"}, "RANK 2 of 2"),
        ({"MASTER_PORT": "123456"}, "123456"),
    ],
)
def test_incomplete_environments_are_one_error(changes: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError) as error:
        place(**changes)
    assert error.value.code == "CN213" and why in error.value.why


def test_place_counts_the_restarts_that_are_left() -> None:
    assert place().restarts_left == 2 and place().run_id == "job" and place().launcher_has_store


def test_old_torch_is_refused() -> None:
    check_torch("2.13.0+cpu")
    check_torch("3.0.1")
    with pytest.raises(MachineError) as error:
        check_torch("2.12.1")
    assert error.value.code == "CN407"


@pytest.mark.parametrize("options", [["--processes", "2"], ["--processes", "2", "--dry-run"], ["--dry-run"]])
def test_a_torch_without_exchange_is_one_error(
    options: list[str], monkeypatch: pytest.MonkeyPatch, folder: Path, cli: CommandLine, tmp_path: Path
) -> None:
    """One process does without it; for several, the error comes before anything is imported that needs it."""
    for name in [name for name in sys.modules if name.startswith("classicnets.parallel")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("parallel", "cost"):
        monkeypatch.delitem(sys.modules, f"classicnets.api.{name}", raising=False)
        monkeypatch.delitem(vars(api), name, raising=False)
    monkeypatch.setitem(sys.modules, "torch._C._distributed_c10d", None)
    monkeypatch.setattr("torch.distributed.is_available", lambda: False)
    code, _out, err = cli("train", "lenet_d2l", "--data", str(folder), "--runs", str(tmp_path), *options)
    shares = "--processes" in options
    assert code == (4 if shares else 0), err
    assert ("error[CN407]" in err) == shares and not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("cores", "devices", "device", "processes", "why"),
    [
        (1, 0, "cpu", 2, "one core"),
        (2, 0, "cpu", 2, ""),
        (2, 0, "cpu", 4, "note"),
        (2, 0, "cpu", 16, "note"),
        (2, 0, "cpu", 17, "more than 8 processes"),
        (8, 1, "cuda", 2, "CUDA"),
        (8, 4, "cuda", 4, ""),
        (8, 0, "mps", 2, "MPS"),
    ],
)
def test_processes_need_cores_or_devices(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cores: int,
    devices: int,
    device: str,
    processes: int,
    why: str,
) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: cores)
    monkeypatch.setattr("torch.cuda.device_count", lambda: devices)
    message = ""
    try:
        launch.check_processes(processes, device)
    except ClassicnetsError as error:
        assert error.code == "CN215"
        message = error.why
    noted = "share 2 cores" in capsys.readouterr().err
    assert (noted, message) == (True, "") if why == "note" else why in message and bool(why) == bool(message)


def test_jobs_find_their_unfinished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job resumes its own unfinished run, with the same options only; other jobs and finished runs are left alone."""
    words = ["train", "lenet_d2l"]
    job = elastic.Job(place(), tmp_path, words)
    assert job.run() is None
    run = tmp_path / "run-1"
    run.mkdir()
    job.start(run)
    assert job.run() is None  # there is no run folder
    assert elastic.Job(place(TORCHELASTIC_RUN_ID="other"), tmp_path, words).run() is None
    complete: dict[str, Any] = {"result": {}}
    for facts, restarts, expected in [({}, 0, run), ({}, 1, run), (complete, 1, run), (complete, 0, None)]:
        monkeypatch.setattr(RunFolder, "read", lambda _run, facts=facts: facts)
        job.start(run)
        assert elastic.Job(place(TORCHELASTIC_RESTART_COUNT=str(restarts)), tmp_path, words).run() == expected
    assert not [*tmp_path.glob(".job*")]  # the job of that id has ended
    monkeypatch.setattr(RunFolder, "read", lambda _run: {})
    job.start(run)
    with pytest.raises(UsageError, match="other options"):
        elastic.Job(place(), tmp_path, [*words, "--seed", "1"]).run()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["torchrun", "--nnodes", "1:2", "x"], True),
        (["torchrun", "--nnodes=2:4"], True),
        (["torchrun", "--nnodes", "2"], False),
        (["torchrun", "--nnodes=2:2"], False),
        (["torchrun"], False),
    ],
)
def test_elastic_ranges_are_recognized(words: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PET_NNODES", raising=False)
    assert elastic._may_change(words) == expected
    monkeypatch.setattr(elastic, "_command_of", lambda _pid: words)
    several_hosts = place(TORCHELASTIC_RUN_ID="none", LOCAL_WORLD_SIZE="1", LOCAL_RANK="0")
    if expected:
        with pytest.raises(UsageError, match="needs an id"):
            elastic.Job(several_hosts, Path(), [])
    else:
        elastic.Job(several_hosts, Path(), [])
