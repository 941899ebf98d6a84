"""The gradients of a batch that several processes share: DistributedDataParallel, and what divided layers need."""

from __future__ import annotations

import hashlib
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from classicnets.acceleration.batch_split import Loss
from classicnets.acceleration.dropout import rows_of_batch
from classicnets.acceleration.prepare import prepared
from classicnets.models.modules import copy_module, in_dtype_of
from classicnets.parallel.batch_norm import global_batch_norm
from classicnets.parallel.mesh import Mesh
from classicnets.parallel.shards import Shards


@dataclass(frozen=True)
class Traits:
    """What a network does in a training step: whether parameters get no gradient, and whether it draws numbers."""

    has_unused: bool
    is_random: bool


def examine(net: nn.Module, shape: tuple[int, ...]) -> Traits:
    """Train a copy of `net` on two images of `shape` (channels, height, width), and see what it does.

    Dropout layers, whose masks do not come from torch's generator, do not count as drawing numbers.
    """
    trial = copy_module(net).train()
    parameters = [parameter for parameter in trial.parameters() if parameter.requires_grad]
    device = next((p.device for p in parameters), None)
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), prepared(trial), rows_of_batch((0,), 0, 2):
        before = _generators(devices)
        output = trial(in_dtype_of(trial, images))
        is_random = any(not torch.equal(a, b) for a, b in zip(before, _generators(devices), strict=True))
        gradients = torch.autograd.grad(output.sum(), parameters, allow_unused=True)
    return Traits(any(gradient is None for gradient in gradients), is_random)


def _generators(devices: list[torch.device]) -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]


class SharedGradients(AbstractContextManager["SharedGradients"]):
    """Context manager that computes the gradients of whole batches, of which each process computes some rows.

    A process's part of the loss is that of its rows, weighted by their share of the batch, so that the loss and the
    gradients of the batch are the sums over the processes.

    Args:
        net: this process's part of the network.
        mesh: the processes.
        shards: which of its parameters are divided.
        seed: the seed of dropout.
        traits: what the network does in a step.
        local_batch_norm: whether BatchNorm normalizes over the rows of each process.
    """

    def __init__(
        self,
        net: nn.Module,
        mesh: Mesh,
        shards: Shards,
        seed: int,
        traits: Traits,
        *,
        local_batch_norm: bool,
    ):
        self.net, self.mesh, self.shards, self.seed, self.traits = net, mesh, shards, seed, traits
        self.local_batch_norm = local_batch_norm
        self.seconds = 0.0  # before the first exchange of each step
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Wrap the network: its parameters that are not divided are those of all processes."""
        if not self.local_batch_norm and self.mesh.divides_rows:
            self._open.enter_context(global_batch_norm(self.net, self.mesh))
        self._forward = self._wrapped() if self.mesh.divides_rows else self.net
        return self

    def __exit__(self, *_: object) -> None:
        """Unwrap the network."""
        self._forward = self.net
        self._open.close()

    def _wrapped(self) -> nn.Module:
        ignored = [name for name, _ in self.net.named_parameters() if name in self.shards.names]
        common = [p for name, p in self.net.named_parameters() if name not in self.shards.names and p.requires_grad]
        if not common:
            return self.net
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self.net, ignored)
        wrapped = DistributedDataParallel(
            self.net,
            forward_sync_buffers=self.local_batch_norm,
            init_sync=False,
            gradient_as_bucket_view=True,
            find_unused_parameters=self.traits.has_unused,
        )
        wrapped.register_comm_hook(None, _sum)
        return wrapped

    def rows(self, count: int) -> range:
        """Return the rows of a batch of `count` images that this process counts: each row is counted by one process."""
        return self.mesh.rows(count) if self.mesh.divides_rows or self.mesh.rank == 0 else range(0)

    def clip(self, max_norm: float) -> None:
        """Scale the gradients so that their norm, over the parameters of all processes, is at most `max_norm`."""
        parameters = [p for p in self.net.parameters() if p.grad is not None]
        norm = self.shards.norm(self.net)
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)

    def backward(
        self, x: Tensor, y: Tensor, loss: Loss, precision: str, position: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Set the gradients of this process's parameters; see `training.group.Gradients`."""
        started, rows = time.perf_counter(), self.mesh.rows(len(y))
        own = y[rows.start : rows.stop]
        if self.traits.is_random:
            torch.manual_seed(_seed(self.seed, *position, rows.start))
        dropout = rows_of_batch((self.seed, *position), rows.start, len(x))
        autocast = torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bfloat16")
        with self.mesh.batch(len(y)), dropout:
            with autocast:
                logits = self._forward(x)
            self.mesh.note_exchange()  # the backward pass exchanges gradients
            self.seconds += (self.mesh.first_exchange_at or started) - started
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            part = loss(logits, own) * (loss.weight(own) / loss.weight(y)) if len(rows) else logits.sum() * 0
            part.backward()
        self.shards.reduce_gradients(self.net)
        counted = self.rows(len(y))
        return part.detach() if len(counted) else torch.zeros_like(part), logits.detach()[: len(counted)]


def _seed(*key: int) -> int:
    """A seed that is a hash of the key."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little") >> 1


def _sum(_state, bucket):  # type: ignore[no-untyped-def]  # DDP would not know the annotation, which is a string
    """Sum the gradients of a bucket over the processes; DDP itself would average them."""
    future = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
    return future.then(lambda done: done.value()[0])
