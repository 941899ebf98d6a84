"""Starts the processes that share a run on this machine, with torchrun's agent, and waits for their end."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from classicnets import machine
from classicnets.errors import MachineError, UsageError
from classicnets.files import temporary_folder
from classicnets.parallel.pulse import RESTART
from classicnets.text import _, again, command, note

OUTCOME = "CLASSICNETS_OUTCOME"  # a file in which a process writes the exit code of the command when all are to end
_PROCESSES_PER_CORE = 8  # more are a typing error
_ONE_PROCESS = dict.fromkeys(["processes", "max_restarts", "process_timeout", "local_batch_norm"])
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # exit codes
_STOP_SECONDS = 600  # that processes have after Ctrl-C to save a checkpoint


def launch(arguments: Sequence[str], processes: int, max_restarts: int, run: Path, module: str = "classicnets") -> int:
    """Run a module with these arguments in several processes and return the exit code of the command.

    Each of them joins the others with `join`. If one of them dies, all are started again, at most `max_restarts` times.
    An error that one of them has reported ends all of them.

    Args:
        arguments: the words after the name of the module.
        processes: number of processes.
        max_restarts: how often they are started again.
        run: the run folder, which an error names.
        module: the module that each process runs.

    Raises:
        MachineError: CN405, all died without a word.
    """
    threads = str(max(1, machine.usable_cores() // processes))
    with temporary_folder() as folder:
        outcome = folder / "outcome"
        variables = {"OMP_NUM_THREADS": threads, OUTCOME: str(outcome), "TORCH_CPP_LOG_LEVEL": "ERROR"}
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            max_restarts=max_restarts,
            monitor_interval=0.1,
            local_addr="127.0.0.1",
            logs_specs=DefaultLogsSpecs(log_dir=str(folder / "logs")),
            shutdown_timeout=_STOP_SECONDS,
        )
        words = [word.replace("$", "$$") for word in ("-P", "-m", module, *arguments)]  # the agent fills in $
        failed: ChildFailedError | None = None
        stopped_by = 0
        with _environment(variables), _quiet_agent(), _restored_signals():
            try:
                elastic_launch(config, sys.executable)(*words)
            except ChildFailedError as error:
                failed = error
            except SignalException as error:
                stopped_by = int(error.sigval)
        code = _read(outcome)
        if stopped_by:
            if not code:  # no process has said so: they were still starting
                resume = command("classicnets", "train", "--resume", run)
                note(_("stopped; to resume: {command}", command=resume))
            return 128 + stopped_by if code in (0, *STOPPED) else code  # the agent sends SIGTERM to the others
        if failed is not None and not code:
            raise _died(failed, run)
        return code


def write_outcome(code: int) -> bool:
    """Write the exit code with which all processes end, unless another one has; return whether they were launched."""
    path = os.environ.get(OUTCOME)
    if not path:
        return False
    if code:
        with suppress(OSError), Path(path).open("x", encoding="utf-8") as file:
            file.write(f"{code}\n")
    return True


def outcome() -> int:
    """Return the exit code with which all launched processes end, 0 if it is not known yet."""
    return _read(Path(os.environ.get(OUTCOME, os.devnull)))


def check_processes(processes: int, device: str) -> None:
    """Check that this machine can run this number of processes, and print a note if they share cores.

    Raises:
        UsageError: CN215, it has one core only, fewer CUDA devices, or much fewer cores.
    """
    cores, kind = machine.usable_cores(), torch.device(device).type
    devices = torch.cuda.device_count() if kind == "cuda" else 0
    why = ""
    if kind == "mps":
        why = _("torch cannot exchange tensors between processes that use Apple's MPS")
    elif kind == "cuda" and processes > devices:
        why = _("each process needs a CUDA device of its own, and this machine has {n}", n=devices)
    elif kind == "cpu" and cores < 2:
        why = _("this machine has one core, which several processes would only share")
    elif kind == "cpu" and processes > _PROCESSES_PER_CORE * cores:
        why = _(
            "more than {most} processes would share each of its {cores} cores", most=_PROCESSES_PER_CORE, cores=cores
        )
    if why:
        most = {"cuda": devices, "cpu": cores}.get(kind, 0)
        raise UsageError(
            "CN215",
            _("the run cannot be shared by {n} processes on this machine", n=processes),
            where=command("--processes", str(processes)),
            why=why,
            hint=again("classicnets", "train", "NET", **({"processes": most} if most > 1 else _ONE_PROCESS)),
        )
    if kind == "cpu" and processes > cores:
        note(
            _("{n} processes share {cores} cores, so they are slower than {cores} processes", n=processes, cores=cores)
        )


def _read(path: Path) -> int:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def _died(error: ChildFailedError, run: Path) -> MachineError:
    """The error for processes that all ended without a word, such as when memory runs out."""
    rank, failure = min(error.failures.items(), key=lambda item: (item[1].exitcode == RESTART, item[1].timestamp))
    why = _("it ended with exit code {code}", code=failure.exitcode)
    if failure.exitcode < 0:
        with suppress(ValueError):
            why = _("it was killed by {signal}", signal=signal.Signals(-failure.exitcode).name)
    return MachineError(
        "CN405",
        _("process {rank} of the run is gone", rank=rank),
        where=_("process {pid}", pid=failure.pid),
        why=why,
        hint=_(
            "{command}   # goes on from the last checkpoint", command=command("classicnets", "train", "--resume", run)
        ),
    )


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """While open, these environment variables are set; what the block sets besides is removed."""
    before = {**os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _quiet_agent() -> Iterator[None]:
    """While open, log messages of the agent are not shown: the user sees our error only."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _restored_signals() -> Iterator[None]:
    """Restore the handlers of signals that the agent replaces."""
    numbers = [
        signal.SIGINT,
        signal.SIGTERM,
        *(getattr(signal, n) for n in ("SIGHUP", "SIGQUIT") if hasattr(signal, n)),
    ]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
