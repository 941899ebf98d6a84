"""How processes that share a run save a state that the first of them cannot hold as a whole: each its own part."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from torch import nn

from classicnets import machine
from classicnets.errors import MachineError
from classicnets.files import temporary_file
from classicnets.parallel.cost import optimizer_tensors
from classicnets.parallel.mesh import Mesh
from classicnets.parallel.shards import Shards
from classicnets.parallel.world import World
from classicnets.runs import parts
from classicnets.text import _, byte_count, command
from classicnets.training.state import State
from classicnets.values import Recipe

_COPIES = 3  # of the whole state in main memory while it is saved as one file: tensors, and twice as bytes


class Saving:
    """Decides how the state is saved, and saves it in parts. Every method is called by all processes of `world`.

    Args:
        world: the processes.
        mesh: their grid.
        shards: what is divided among them.
        size: bytes of the whole state.

    Attributes:
        in_parts: whether the state is saved in parts, because the first process has not enough memory for all of it.
    """

    def __init__(self, world: World, mesh: Mesh, shards: Shards, size: int) -> None:
        self._world, self._mesh, self._shards, self._size = world, mesh, shards, size
        self._free = free = machine.available_memory_bytes()
        is_divided = bool(shards.names) and mesh.model_size > 1
        self.in_parts: bool = world.broadcast(is_divided and free is not None and _COPIES * size > free)
        self._turns = max(world.gather(world.local_size)) if self.in_parts else 0

    def lines(self) -> list[str]:
        """Return a readable report of how the state is saved, if it is saved in parts."""
        if not self.in_parts:
            return []
        return [
            _(
                "each process saves its part of the state, because one process with {free} of free memory cannot save"
                " all of it, {size}",
                size=byte_count(self._size),
                free=byte_count(self._free),
            )
        ]

    def newest(self, run: Path) -> Path | None:
        """Return the newest checkpoint in parts of a run, as the first process sees it.

        Args:
            run: the run folder; that of the first process counts.

        Raises:
            MachineError: CN401 if parts are read or written and a process has no access to that folder.
        """
        newest = parts.newest(run)
        path = self._world.broadcast(str(newest.absolute()) if newest else "")
        if path or self.in_parts:
            self._check_access(run)
        return Path(path) if path else None

    def save(self, run: Path, state: State, facts: dict[str, Any]) -> None:
        """Save the state in parts.

        Args:
            run: the run folder; that of the first process counts.
            state: the state.
            facts: the facts of the checkpoint.

        Raises:
            MachineError: CN401 if a file cannot be written.
        """
        world, mesh = self._world, self._mesh
        world.phase(_("saving"))
        tensors = state.own_tensors()
        divided = [key for key, tensor in tensors.items() if self._shards.is_slice(state.owner(key), tensor)]
        if mesh.model_rank:
            tensors = {key: tensors[key] for key in divided}
        folder = Path(world.broadcast(str(parts.begin(run).absolute()) if world.rank == 0 else ""))
        for turn in range(self._turns):  # the bytes of a file are in memory while it is written
            if turn == world.local_rank and mesh.data_rank == 0:
                parts.write(folder, mesh.model_rank, mesh.model_size, tensors, divided, facts)
            world.barrier()
        if world.rank == 0:
            parts.complete(folder)

    def _check_access(self, run: Path) -> None:
        """Check that all processes can write in the run folder of the first one. Raises MachineError CN401."""
        path = Path(self._world.broadcast(str(run.absolute())))
        if self._world.rank == 0:
            with temporary_file(path / "access") as probe:
                probe.touch()
                answers = self._ask(path, probe)
        else:
            answers = self._ask(path, None)
        for rank, (host, has_access) in enumerate(answers):
            if not has_access:
                raise MachineError(
                    "CN401",
                    _("a process of the run has no access to the run folder"),
                    where=_("{path}, rank {rank} on {host}", path=path, rank=rank, host=host),
                    why=_(
                        "each process saves its part of the state there, because the state is too large for the memory"
                        " of the first one"
                    ),
                    hint=(
                        _("{option}   # a folder that all machines share", option=command("--runs", "FOLDER")),
                        _("use a machine with more memory for the first process"),
                    ),
                )

    def _ask(self, path: Path, probe: Path | None) -> list[tuple[str, bool]]:
        """The host of each process, and whether it sees the file `probe` of the first one, and can write beside it."""
        name = self._world.broadcast(probe.name if probe else "")
        has_access = (path / name).exists() and not machine.write_error(path)
        return [(host, ok) for host, ok in self._world.gather([platform.node(), has_access])]


def state_bytes(net: nn.Module, recipe: Recipe) -> int:
    """Return the bytes of the whole state of a run, without random generators and averages of buffers.

    Args:
        net: the whole network.
        recipe: how it is trained.
    """
    weights = sum(int(tensor.nbytes) for tensor in net.state_dict().values())
    trained = sum(int(parameter.nbytes) for parameter in net.parameters() if parameter.requires_grad)
    return weights + optimizer_tensors(recipe) * trained
