"""Which of several processes this one is, from the environment that torchrun gives to each of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed

from classicnets.errors import MachineError, UsageError
from classicnets.text import _, command

_REQUIRED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_OLDEST_TORCH = (2, 13)  # the version that this package is tried with


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place of a process among all.

    Attributes:
        rank: number of the process among all, from 0 on.
        size: number of all processes.
        local_rank: number of the process among those of its host.
        local_size: number of processes of its host.
        host_index: number of its host.
        restart_count: how often the launcher of this host has restarted its processes after a failure.
        max_restarts: how often it does so.
        run_id: the id of the job, "none" if it was not given.
        master: address and port of the store in which the processes meet.
        launcher_has_store: whether the launcher serves the store; otherwise the process with rank 0 does.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    host_index: int
    restart_count: int
    max_restarts: int
    run_id: str
    master: tuple[str, int]
    launcher_has_store: bool

    @property
    def restarts_left(self) -> int:
        """How often the processes are still restarted after a failure."""
        return self.max_restarts - self.restart_count


def read_place(environment: Mapping[str, str] = os.environ) -> Place:
    """Return the place of this process, which torchrun has started.

    Raises:
        UsageError: CN213, a variable is missing or not a number.
    """
    if missing := [name for name in _REQUIRED if not environment.get(name)]:
        raise _bad_environment(_("these variables are missing: {names}", names=", ".join(missing)))
    try:
        place = Place(
            rank=int(environment["RANK"]),
            size=int(environment["WORLD_SIZE"]),
            local_rank=int(environment["LOCAL_RANK"]),
            local_size=int(environment["LOCAL_WORLD_SIZE"]),
            host_index=int(environment.get("GROUP_RANK", "0")),
            restart_count=int(environment.get("TORCHELASTIC_RESTART_COUNT", "0")),
            max_restarts=int(environment.get("TORCHELASTIC_MAX_RESTARTS", "0")),
            run_id=environment.get("TORCHELASTIC_RUN_ID", "none"),
            master=(environment["MASTER_ADDR"], int(environment["MASTER_PORT"])),
            launcher_has_store=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        )
    except ValueError as error:
        raise _bad_environment(str(error)) from error
    if not (0 <= place.rank < place.size and 0 <= place.local_rank < place.local_size <= place.size):
        raise _bad_environment(
            _("RANK {rank} of {size}, LOCAL_RANK {local_rank} of {local_size}", **vars(place)),
        )
    if not 0 < place.master[1] < 2**16:
        raise _bad_environment(_("MASTER_PORT {port} is not a port", port=place.master[1]))
    return place


def _bad_environment(why: str) -> UsageError:
    return UsageError(
        "CN213",
        _("the environment says that this is one of several processes, but not how it finds the others"),
        where="RANK, WORLD_SIZE",
        why=why,
        hint=(
            command("torchrun", "--nproc-per-node", "2", "-m", "classicnets", "train", "NET"),
            _("{command}   # to train with one process", command=command("unset", "RANK", "WORLD_SIZE")),
        ),
    )


def process_age() -> float:
    """Return for how many seconds this process runs; 0 where the system does not show it."""
    with suppress(OSError, IndexError, ValueError):
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return float(Path("/proc/uptime").read_text().split()[0]) - started / os.sysconf("SC_CLK_TCK")
    return 0.0


def check_torch(version: str = torch.__version__) -> None:
    """Raise MachineError CN407 if this torch cannot train a run with several processes."""
    numbers = tuple(int(part) for part in version.split("+", maxsplit=1)[0].split(".")[:2])
    why = ""
    if numbers < _OLDEST_TORCH:
        needed = ".".join(map(str, _OLDEST_TORCH))
        why = _("torch {version} is installed; version {needed} or later is needed", version=version, needed=needed)
    elif not distributed.is_available() or not distributed.is_gloo_available():
        why = _("torch {version} was built without torch.distributed or its backend gloo", version=version)
    if why:
        raise MachineError(
            "CN407",
            _("this torch cannot train a run with several processes"),
            where=platform.node(),
            why=why,
            hint=command("pip", "install", "torch>={}.{}".format(*_OLDEST_TORCH)),
        )
