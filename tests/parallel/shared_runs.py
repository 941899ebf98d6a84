"""Runs that several processes share, for test_shared_runs.py.

`python -m parallel.shared_runs FOLDER` starts the processes as forks of one process, which has imported torch but not
used it, with the environment that torchrun would give to each of them.
"""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # here once for all processes, since the first optimizer imports it, which takes a second
from torch._C._distributed_c10d import TCPStore

from classicnets import machine
from classicnets.models.registry import NETS, Entry
from classicnets.parallel import world as worlds
from classicnets.parallel.failure import end_now
from classicnets.parallel.group import Group
from classicnets.parallel.meeting import join
from classicnets.parallel.shards import Shards
from classicnets.parallel.share import shared_folder
from classicnets.spec import Output, RunSpec
from classicnets.training.plan import plan
from classicnets.training.session import Session

SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 10,
    "validation": 0.2,
    "monitor": "validation",
    "precision": "float64",
    "optimizer": "sgd_rate_inside",
    "lr": 0.05,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "ema": 0.9,
    "clip": 0.4,
    "label_smoothing": 0.1,
    "flip": True,
    "shift": 1,
}
_FACTS: dict[str, Any] = {
    "title": "",
    "source": "",
    "year": None,
    "input": (1, 16, 16),
    "classes": 10,
    "parameters": 1,
    "macs": 1,
    "units": 1,
}
ENTRIES = {  # of the registry, only while these runs are trained
    "one_tower": Entry(builder="parallel.shared_nets:one_tower", **_FACTS),
    "two_towers": Entry(builder="parallel.shared_nets:two_towers", crossings=("conv3", "fc6", "fc7"), **_FACTS),
}

# name -> network, form, classes; by the numbers of processes that run it
RUNS: dict[str, tuple[str, str, int]] = {
    "ddp": ("one_tower", "ddp", 3),
    "hybrid": ("one_tower", "hybrid", 4),
    "hybrid_odd": ("one_tower", "hybrid", 3),
    "towers": ("two_towers", "towers", 4),
    "towers_odd": ("two_towers", "towers", 3),
}


def spec(root: Path, name: str) -> RunSpec:
    """The RunSpec of a run; its data is in `root`."""
    net, form, classes = RUNS[name]
    return RunSpec(net=net, data=str(root / f"data-{classes}"), recipe="fast", settings=SETTINGS, parallel=form, seed=3)


def quiet(_message: str) -> None:
    """Ignore a message."""


def start(root: Path, folder: str, name: str) -> Path:
    """Create the folder of a run, in `folder`, and return it."""
    session = Session.start(plan(spec(root, name)), quiet, Output(runs=str(root / folder)))
    session.lock.release()
    return session.folder.path


def norm_of_own_part(_shards: Shards, net: torch.nn.Module) -> torch.Tensor:
    """A wrong norm of the gradients: that of the parameters of this process."""
    return torch.nn.utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None])


def train(root: Path) -> None:
    """Train each run that this number of processes can share, and interrupt one."""
    NETS.update(ENTRIES)
    torch.set_num_threads(1)
    worlds._CONTROL_SECONDS = 0.0  # stops are noticed after each step, however fast it is
    world = join(60)
    assert world is not None
    names = [name for name in RUNS if world.size == 2 or not name.startswith("towers")]
    for name in [*names, "interrupted", "in_parts", "control"]:
        folder = f"runs-{world.size}-{name}"
        path = None
        if name == "in_parts" and world.size == 4:  # goes on with the run of two processes
            path = root / folder / "copy"
            if world.rank == 0:
                shutil.copytree(next((root / f"runs-2-{name}").iterdir()), path)
        elif world.rank == 0:
            path = start(root, folder, name if name in RUNS else "hybrid")
        stops = name == "interrupted" or (name == "in_parts" and world.size == 2)
        norm, available = Shards.norm, machine.available_memory_bytes
        if name == "in_parts":  # as if the first process had too little memory for the state
            machine.available_memory_bytes = lambda: 1000
        if name == "control":  # each process clips by the norm of its own part
            Shards.norm = norm_of_own_part  # type: ignore[method-assign, assignment]
        with shared_folder(world, path) as own:
            session = Session.resume(own, quiet, trust=True, group=Group(world))
            try:
                for event in session.events():
                    if stops and event.epoch == 2 and getattr(event, "step", 0) == 1:
                        world.request_stop()
                session.finish()
            except KeyboardInterrupt:
                session.lock.release()
                world.failures.stop_requested = False
        Shards.norm = norm  # type: ignore[method-assign]
        machine.available_memory_bytes = available
    world.close()
    end_now(0)


def start_processes(root: Path, size: int) -> list[int]:
    """Fork processes that train, and return their exit codes."""
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    shared = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_ADDR": "localhost", "MASTER_PORT": store.port}
    processes = []
    for rank in range(size):
        process = os.fork()
        if not process:
            variables = {**shared, "RANK": rank, "LOCAL_RANK": rank, "TORCHELASTIC_USE_AGENT_STORE": True}
            os.environ |= {name: str(value) for name, value in variables.items()}
            try:
                train(root)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(1)
        processes.append(process)
    return [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]


if __name__ == "__main__":
    sys.exit(any(any(start_processes(Path(sys.argv[1]), size)) for size in (2, 4)))
