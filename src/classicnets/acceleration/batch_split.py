"""Dividing a batch among Python threads instead of the elements of each operation among intra-op threads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from classicnets.acceleration.dropout import rows_of_batch
from classicnets.acceleration.independence import obstacle
from classicnets.acceleration.threads import ComputeThreads

# Measured on 2 cores with AVX-512, torch 2.13, 2026-11-28, against our step with intra-op threads, medians of 7 pairs
# (benchmarks/split.py --nets lenet_d2l lenet_caffe --pairs 7 --batch-threads 2):
# LeNet (0.4M MACs, 128 rows a thread) 1.00 times as fast, 1.04 with another program on one core; lenet_caffe (2.3M, 32
# rows a thread) 0.80 and 1.05, hence LEAST_ROWS. First readings on busy cores: cifar10_26pct (12M, 64 rows) 1.09,
# cifar10_11pct (20M) 1.07, alexnet_28 without norms (30M) 1.14, and LeNet with AVX2 1.27. In larger networks an
# operation has enough work for intra-op threads, and each thread's copy of the gradients costs memory.
MOST_MACS = 50_000_000
LEAST_ROWS = 64  # of a thread: Python's part of a step, which only one thread can do at a time, must stay small


class Loss(Protocol):
    """A weighted mean over rows, as training/objective.py has them."""

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean."""

    def weight(self, y: Tensor) -> Tensor | float:
        """The sum of the weights."""


class BatchSplit:
    """Computes gradients with `threads` threads, each of which takes its share of the batch; open it before use.

    The gradients are those of the whole batch up to rounding, and the same to the bit for the same number of threads.
    Dropout depends on `seed` and on the position of the step only, if the net is prepared (prepare.py).
    """

    def __init__(self, net: nn.Module, threads: int, seed: int):
        self.net, self.seed = net, seed
        self.parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self.threads = ComputeThreads(threads)

    def __enter__(self) -> Self:
        self.threads.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.threads.__exit__()

    def backward(
        self, x: Tensor, y: Tensor, loss: Loss, precision: str, position: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Sets the gradients of the parameters; returns the loss of the batch and the logits [N, classes].

        `position` is the number of the epoch and of the step.
        """
        whole = loss.weight(y)
        low = precision == "bfloat16"

        def share(rows: range) -> tuple[Tensor, Tensor, Sequence[Tensor | None]]:
            images, labels = x[rows.start : rows.stop], y[rows.start : rows.stop]
            # autocast's cache is one for all threads, and the first to leave would empty it
            autocast = torch.autocast("cpu", torch.bfloat16, enabled=low, cache_enabled=False)
            with rows_of_batch((self.seed, *position), rows.start, len(rows)), autocast:
                logits = self.net(images)
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            part = loss(logits, labels) * (loss.weight(labels) / whole)
            gradients = torch.autograd.grad(part, self.parameters, allow_unused=True)
            return part.detach(), logits.detach(), gradients

        losses, logits, gradients = zip(*self.threads.map(share, shares(len(y), self.threads.count)), strict=True)
        for parameter, *parts in zip(self.parameters, *gradients, strict=True):
            parameter.grad = _sum([part for part in parts if part is not None])
        return torch.stack(losses).sum(), torch.cat(logits)


def shares(rows: int, threads: int) -> list[range]:
    """The rows of each thread, in order; sizes differ by one at most, and no share is empty."""
    count = max(1, min(rows, threads))
    return [range(start, stop) for start, stop in pairwise(rows * i // count for i in range(count + 1))]


def _sum(parts: Sequence[Tensor]) -> Tensor | None:
    """The sum from the first to the last, in memory of its own: autograd may give one tensor for two parameters."""
    if not parts:
        return None
    total = parts[0] + parts[1] if len(parts) > 1 else parts[0].clone()
    for part in parts[2:]:
        total += part
    return total


def choose_batch_threads(
    net: nn.Module, shape: Sequence[int], *, device: str | torch.device, macs: int, threads: int, batch_size: int
) -> tuple[int, str]:
    """Among how many threads batches of `net` are divided, and why not among `threads` if it is one.

    `macs` are those of an image of `shape`: (channels, height, width). A function of these arguments, never of the
    load, so that the same command gives the same numbers.
    """
    count = min(threads, batch_size // LEAST_ROWS)
    if torch.device(device).type != "cpu" or count < 2 or macs > MOST_MACS:
        return 1, ""
    why = obstacle(net, shape)
    return (1, why) if why else (count, "")
