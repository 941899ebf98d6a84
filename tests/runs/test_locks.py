"""Only one process at a time trains a run; a lock ends with its process."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import classicnets as cn
from classicnets.errors import MachineError, UsageError
from classicnets.report.terminal import StudyTerminal
from classicnets.runs.lock import FolderLock
from classicnets.spec import Output, run_spec
from classicnets.studies.folder import StudyFolder
from classicnets.studies.train import train
from classicnets.training.plan import plan
from classicnets.training.session import Session
from support.command_line import CommandLine

HOLDER = """
import sys, time
from pathlib import Path
from classicnets.runs.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.acquire()
print("locked", flush=True)
time.sleep(600)
"""
HOST = socket.gethostname()


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock of the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "locked\n"
    return process


def refusal(folder: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        FolderLock(folder).acquire()
    assert caught.value.code == "CN211"
    return caught.value


def start(blobs: Path, runs: Path) -> Session:
    spec, module = run_spec("lenet_d2l", data=str(blobs), device="cpu", limit=64, settings={"epochs": "2"})
    return Session.start(plan(spec, module), print, Output(runs=str(runs)))


def test_another_process_is_named_and_its_lock_ends_with_it(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        error = refusal(tmp_path)
        assert f"process {process.pid} on {HOST} has been writing here since 20" in error.why
        assert error.hints == (f"kill -INT {process.pid}   # saves a checkpoint and stops that process",)
    finally:
        process.kill()
        process.communicate()
    assert (tmp_path / ".lock").exists()  # what a killed process leaves does not count
    lock = FolderLock(tmp_path)
    lock.acquire()
    lock.acquire()
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_of_many_at_once_one_gets_it(tmp_path: Path) -> None:
    script = HOLDER.replace("lock.acquire()", "sys.stdin.readline()\ntry: lock.acquire()\nexcept cn: sys.exit(7)")
    script = "from classicnets.errors import UsageError as cn\n" + script.replace("time.sleep(600)", "sys.stdin.read()")
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    losers = 0
    while losers < 3:
        pid, status = os.wait()
        loser = next(process for process in processes if process.pid == pid)
        loser.returncode = os.waitstatus_to_exitcode(status)
        losers += 1
        assert loser.returncode == 7
    (winner,) = [process for process in processes if process.returncode is None]
    out, _ = winner.communicate()
    assert winner.returncode == 0 and out == "locked\n"
    for process in processes:
        for stream in (process.stdin, process.stdout):
            assert stream
            stream.close()


def test_a_second_resumption_is_refused_and_readers_are_not(blobs: Path, cli: CommandLine, tmp_path: Path) -> None:
    session = start(blobs, tmp_path)
    events = session.events()
    while session.state.epoch == 0:
        next(events)
    run = session.folder.path
    history = session.folder.history.read_bytes()
    code, _, err = cli("train", "--resume", run)
    assert code == 2 and "error[CN211]: another session of this process is training this run" in err, err
    assert session.folder.history.read_bytes() == history
    assert cn.Run(run).evaluate().n == 100 and cli("evaluate", run)[0] == 0
    events.close()  # as Ctrl-C and errors do
    code, _, err = cli("train", "--resume", run)
    assert code == 0, err
    assert ".lock" not in os.listdir(run)
    assert cli("train", "--resume", run)[0] == 2 and ".lock" not in os.listdir(run)


def test_a_resumption_that_fails_gives_the_lock_back(blobs: Path, tmp_path: Path) -> None:
    session = start(blobs, tmp_path)
    session.events().close()
    session.lock.release()
    session.folder.last.write_bytes(b"damaged")
    for _ in range(2):
        with pytest.raises(cn.DataError) as caught:
            Session.resume(session.folder.path, print)
        assert caught.value.code == "CN305"


def test_a_forgotten_session_does_not_keep_its_lock(blobs: Path, tmp_path: Path) -> None:
    session = start(blobs, tmp_path)
    next(session.events())
    path = session.folder.path
    del session
    assert Session.resume(path, print).folder.path == path


def test_runs_of_several_seeds_are_trained_by_one_process(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.acquire()
    with pytest.raises(UsageError) as caught:
        train(StudyFolder(tmp_path), StudyTerminal(Console(quiet=True), 1), lambda run, net: iter(()))
    assert caught.value.code == "CN211"
    lock.release()
    with pytest.raises(UsageError, match="cannot be read"):  # it goes on to read the folder, which is empty here
        train(StudyFolder(tmp_path), StudyTerminal(Console(quiet=True), 1), lambda run, net: iter(()))
    assert list(tmp_path.iterdir()) == []


def without_locks(error: int) -> Any:
    def flock(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    return flock


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has locks on every file system")
@pytest.mark.parametrize("error", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_of_the_system_the_file_is_the_lock(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", without_locks(error))
    lock = FolderLock(tmp_path)
    lock.acquire()
    why = refusal(tmp_path).why
    assert f"process {os.getpid()} on {HOST}" in why
    lock.release()
    assert list(tmp_path.iterdir()) == []
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / ".lock").write_text(f"{gone.pid}\n{HOST}\n")
    lock.acquire()
    lock.release()
    (tmp_path / ".lock").write_text(f"{os.getpid()}\nelsewhere\n")
    refused = refusal(tmp_path)
    assert refused.hints == (f"rm {tmp_path / '.lock'}   # only if that process has ended",)
    (tmp_path / ".lock").unlink()
    lock.acquire()
    lock.release()


def test_says_so_if_the_file_does_not_name_its_process(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.acquire()
    for content in (b"", b"\xff\xfe\0", b"12"):
        (tmp_path / ".lock").write_bytes(content)
        assert refusal(tmp_path).hints
    lock.release()


def test_a_lock_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        (tmp_path / ".lock").mkdir()
        FolderLock(tmp_path).acquire()
    assert caught.value.code == "CN401"
