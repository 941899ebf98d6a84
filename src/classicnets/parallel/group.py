"""The group of several processes that train one run, as training asks it; `training.group.Alone` is that of one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from classicnets import machine
from classicnets.acceleration.prepare import Acceleration
from classicnets.datasets.types import Images, subset
from classicnets.evaluation.predictor import Predictor, batch_size
from classicnets.models.layers import DropConnect
from classicnets.models.modules import copy_module
from classicnets.models.registry import NETS
from classicnets.parallel import choice, hybrid, towers
from classicnets.parallel.gradients import SharedGradients, Traits, examine
from classicnets.parallel.mesh import Mesh, rows_of_ranks
from classicnets.parallel.saving import Saving, state_bytes
from classicnets.parallel.shards import Shards
from classicnets.parallel.world import Agreement, World
from classicnets.text import _
from classicnets.training.group import Alone, Gradients
from classicnets.training.plan import Plan
from classicnets.training.state import State


class Group(Alone):
    """The group of the processes of `world`; every method is called by all of them, in the same order.

    A session calls `smallest_batch`, then `place`, which sets how the run is shared; then the methods that need that;
    and `gradients` before the first step, whose end `agree` reports.

    Attributes:
        form, reason: how the run is shared, and why; set by `place`, as are the following.
        local_batch_norm: whether batch normalization is over the rows of each process.
        traits: what the network does in a step.
        whole_network: the whole network, which is evaluated and saved.
        mesh, shards: the processes, and the parts of the network that this one has.
        saving: how checkpoints are saved.
        computing: what computes the gradients; set by `gradients`.
    """

    form: str
    reason: str
    local_batch_norm: bool
    traits: Traits
    whole_network: nn.Module
    mesh: Mesh
    shards: Shards
    saving: Saving
    computing: SharedGradients

    def __init__(self, world: World) -> None:
        super().__init__(counted_dropout=True)
        self.world, self.rank, self.size = world, world.rank, world.size
        self._agreement: Agreement | None = None
        self._until, self._steps, self._seconds = 0, 0, 0.0

    def place(self, net: nn.Module, plan: Plan) -> nn.Module:
        """Return the part of a new network that this process trains; the initial weights are those of the first.

        Raises:
            UsageError: CN216 if the network cannot be divided as the plan asks for.
        """
        chosen = choice.form_of_run(plan, self.size, hosts=self.size // self.world.local_size)
        self.form, model_size, self.reason = self.world.broadcast(list(chosen))  # machines may differ
        self.local_batch_norm = plan.spec.local_batch_norm
        self.copy_from_first(net)
        self.traits = examine(net, plan.preprocess.shape)
        self.whole_network = net
        self.mesh = Mesh(plan.device, self.size, model_size)
        self.shards = Shards(self.mesh, {})
        part = net if self.form == "ddp" else copy_module(net)
        if self.form == "towers":
            entry = NETS.get(plan.net_spec.spec)
            self.shards = towers.divide(part, self.mesh, entry.crossings if entry else ())
        elif self.form == "hybrid":
            self.shards = hybrid.divide(part, self.mesh, plan.preprocess.shape)
        self.saving = Saving(self.world, self.mesh, self.shards, state_bytes(net, plan.recipe))
        return part

    def lines(self) -> list[str]:
        """Return a readable report of how the processes share the run."""
        lines = [
            _(
                "processes {n}, parallel {form}: {what}",
                n=self.size,
                form=self.form,
                what={
                    "ddp": _("each has the network and a part of every batch"),
                    "towers": _("each has half of the network"),
                    "hybrid": _("each has a part of every batch and of the dense layers"),
                }[self.form],
            )
        ]
        if self.reason:
            lines.append(_("chosen  {reason}", reason=self.reason))
        normalized = any(isinstance(layer, _BatchNorm) for layer in self.whole_network.modules())
        if normalized and self.local_batch_norm:
            lines.append(_("BatchNorm normalizes over the part of the batch of each process (--local-batch-norm)"))
        elif normalized:
            lines.append(_("BatchNorm normalizes over the whole batch"))
        if any(isinstance(layer, _DropoutNd | DropConnect) for layer in self.whole_network.modules()):
            lines.append(
                _("dropout  masks depend on the seed and the position; one process draws the same with --parallel ddp")
            )
        if self.traits.is_random:
            lines.append(
                _(
                    "the network draws random numbers in a layer that is not dropout, so the results depend on the"
                    " number of processes"
                )
            )
        return lines + self.saving.lines()

    def facts(self) -> dict[str, Any]:
        """Return how the processes share the run, as plain values for run.json."""
        return {"form": self.form, "processes": self.size, "model_size": self.mesh.model_size}

    def rows(self, count: int) -> range:
        """Return the rows of a batch of `count` images that this process reads: at least one, see `Mesh.batch`."""
        return self.mesh.rows(count) or range(1)

    def smallest_batch(self, plan: Plan) -> int:
        """Return the smallest number of images on which the processes can train the network of a plan.

        Raises:
            UsageError: CN216 if batches have fewer.
        """
        return choice.smallest_batch(plan, self.size)

    def gradients(
        self,
        net: nn.Module,
        acceleration: Acceleration,  # noqa: ARG002
        seed: int,
    ) -> AbstractContextManager[Gradients]:
        """Return a context manager that gives what computes the gradients of `net`."""
        self.computing = SharedGradients(
            net, self.mesh, self.shards, seed, self.traits, local_batch_norm=self.local_batch_norm
        )
        return self.computing

    def sums(self, values: Sequence[Tensor | float]) -> list[Tensor]:
        """Return the sum of each number over the processes."""
        terms = [torch.as_tensor(value) for value in values]
        total = torch.stack([term.detach().double().cpu() for term in terms])
        dist.all_reduce(total)
        return [total[i].to(term.dtype) for i, term in enumerate(terms)]

    def whole(self, name: str, tensor: Tensor) -> Tensor:
        """Return the whole of a tensor that belongs to the parameter or buffer `name`, of which this is the part.

        Only the first process gets it, in main memory; the others get their part.
        """
        return self.shards.collect(name, tensor)

    def rows_of(self, name: str, shape: torch.Size) -> range | None:
        """Return the rows that are this process's part of a whole tensor of this shape that belongs to `name`."""
        return self.shards.rows(name, shape)

    def saved_parts(self, run: Path) -> Path | None:
        """Return the newest checkpoint in parts of a run, as the first process sees it.

        Raises:
            MachineError: CN401 if a process has no access to the folder in which such checkpoints are read or written.
        """
        return self.saving.newest(run)

    def save_parts(self, run: Path, state: State, facts: dict[str, Any]) -> bool:
        """Save the state in parts if the first process cannot hold it as a whole, and return whether it was."""
        if self.saving.in_parts:
            self.saving.save(run, state, facts)
        return self.saving.in_parts

    def whole_net(self, net: nn.Module) -> nn.Module:
        """Return the whole network with the current weights of `net`, which is a part of it."""
        if not self.shards.names:
            return net
        self.shards.copy_to(self.whole_network, net)
        return self.whole_network

    def predictor(self, *arguments: Any) -> Predictor:
        """Return a Predictor that shares its images among the processes, each of which must call it."""
        return SharedPredictor(self.world, *arguments)

    def copy_from_first(self, net: nn.Module) -> None:
        """Give a whole network the weights that it has in the first process."""
        for tensor in net.state_dict().values():
            values = tensor.contiguous()
            dist.broadcast(values, 0)
            if values is not tensor:
                tensor.copy_(values)

    def agree(self, state: State, *, stop: bool, save: bool) -> tuple[bool, bool]:
        """Return whether all processes stop now, and whether they save now, as the clock of the first one says.

        They ask each other about twice a second, and at the end of an epoch.
        """
        self.world.phase(_("computing"), state.step)
        self._seconds += self.computing.seconds
        self.computing.seconds, self._steps = 0.0, self._steps + 1
        self._until -= 1
        if self._until > 0 and state.step:
            return False, False
        if stop:
            self.world.request_stop()
        self._agreement = self.world.agree(save_due=save, seconds_per_step=self._seconds / self._steps)
        self._until, self._seconds, self._steps = self._agreement.steps, 0.0, 0
        return self._agreement.stop, self._agreement.save

    def from_first(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the plain values that the first process has."""
        result: dict[str, Any] = self.world.broadcast(values)
        return result

    def in_turn(self) -> AbstractContextManager[object]:
        """Return a context manager for work whose results are cached: one process of each host does it first."""
        self.world.phase(_("reading images"))
        return self.world.alone_first(on_each_host=True)

    def slowest(self) -> str:
        """Return which process computes longest before it waits for the others, and how much longer than the mean."""
        agreement = self._agreement
        if agreement is None or not agreement.mean_seconds:
            return ""
        more = agreement.slowest_seconds / agreement.mean_seconds - 1
        return _("rank {rank} (+{more:.0%})", rank=agreement.slowest, more=more)

    def threads(self, facts: dict[str, Any]) -> int:
        """Return the number of CPU threads of this process: as the user has set it, or its share of the cores."""
        requested = facts.get("spec", {}).get("threads")
        return int(requested or max(1, machine.usable_cores() // self.world.local_size))

    def device(self, device: str) -> str:
        """Return the device of this process."""
        return f"cuda:{self.world.local_rank}" if torch.device(device).type == "cuda" else device


class SharedPredictor(Predictor):
    """A Predictor whose images are shared among the processes of `world`: all call it, and all get all results."""

    def __init__(self, world: World, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.world = world

    def probabilities(self, images: Images) -> np.ndarray:
        """Classify uint8 [N, C, H, W]; return float32 [N, classes]. Every image is computed once."""
        self.world.phase(_("evaluating"))
        size, n = batch_size(self.preprocess), len(images)
        shares = [
            range(min(n, batches.start * size), min(n, batches.stop * size))
            for batches in rows_of_ranks(-(-n // size), self.world.size)
        ]
        own, counts = shares[self.world.rank], [len(share) for share in shares]
        part = np.zeros((0, len(self.classes)), np.float32)
        if len(own):
            part = super().probabilities(subset(images, slice(own.start, own.stop)))
        padded = torch.zeros(max(counts), len(self.classes))
        padded[: len(part)] = torch.from_numpy(part)
        rows = padded.new_empty(self.world.size, *padded.shape)
        dist.all_gather_single(rows, padded[None])
        return torch.cat([result[:count] for result, count in zip(rows, counts, strict=True)]).numpy()
