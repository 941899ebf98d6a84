"""Splits batches over Python threads, instead of each operation over intra-op threads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from classicnets.acceleration.dropout import rows_of_batch
from classicnets.acceleration.independence import obstacle
from classicnets.acceleration.threads import ComputeThreads

# Measured on 2 cores with AVX-512, torch 2.13, 2026-11-28, against our step with intra-op threads, medians of 7 pairs
# (benchmarks/split.py --nets lenet_d2l lenet_caffe --pairs 7 --batch-threads 2):
# LeNet (0.4M MACs, 128 rows per thread) is 1.00 times as fast, 1.04 with another program on one core; lenet_caffe
# (2.3M, 32 rows per thread) 0.80 and 1.05, hence MIN_ROWS. First measurements on busy cores: cifar10_26pct (12M, 64
# rows) 1.09, cifar10_11pct (20M) 1.07, alexnet_28 without norms (30M) 1.14, and LeNet with AVX2 1.27. In larger
# networks, an operation has enough work for intra-op threads, and each thread's copy of the gradients costs memory.
MAX_MACS = 50_000_000  # per image
MIN_ROWS = 64  # per thread: Python's part of a step, which only one thread can do at a time, must stay small


class Loss(Protocol):
    """A loss that is a weighted mean over rows; see training/objective.py."""

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean over rows, for logits [N, classes] and labels [N]."""

    def weight(self, y: Tensor) -> Tensor | float:
        """Return the sum of the weights of rows with labels `y`."""


class BatchSplit:
    """Context manager that computes gradients with several threads, each of which processes a part of the batch.

    The gradients are those of the whole batch up to rounding, and bit for bit the same for the same number of threads.
    Dropout depends only on `seed` and on the position of the step, if the network is prepared (see `prepare.prepared`).

    Args:
        net: the network.
        threads: the number of threads.
        seed: the seed of dropout.
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

    def rows(self, count: int) -> range:
        """Return all rows of a batch of `count` images."""
        return range(count)

    def clip(self, max_norm: float) -> None:
        """Scale the gradients so that their norm is at most `max_norm`."""
        clip_grad_norm_(self.parameters, max_norm)

    def backward(
        self, x: Tensor, y: Tensor, loss: Loss, precision: str, position: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Set the gradients of the parameters.

        Args:
            x: preprocessed images [N, C, H, W].
            y: labels [N].
            loss: the training loss.
            precision: "float32" or "bfloat16".
            position: the numbers of the epoch and of the step, for dropout.

        Returns:
            The loss of the batch, and the logits [N, classes].
        """
        total_weight = loss.weight(y)
        autocast_enabled = precision == "bfloat16"

        def compute(rows: range) -> tuple[Tensor, Tensor, Sequence[Tensor | None]]:
            images, labels = x[rows.start : rows.stop], y[rows.start : rows.stop]
            # all threads share autocast's cache, and the first thread to exit would clear it
            autocast = torch.autocast("cpu", torch.bfloat16, enabled=autocast_enabled, cache_enabled=False)
            with rows_of_batch((self.seed, *position), rows.start, len(rows)), autocast:
                logits = self.net(images)
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            part = loss(logits, labels) * (loss.weight(labels) / total_weight)
            gradients = torch.autograd.grad(part, self.parameters, allow_unused=True)
            return part.detach(), logits.detach(), gradients

        parts = self.threads.map(compute, split_rows(len(y), self.threads.count))
        losses, logits, gradients = zip(*parts, strict=True)
        for parameter, *terms in zip(self.parameters, *gradients, strict=True):
            parameter.grad = _sum([term for term in terms if term is not None])
        return torch.stack(losses).sum(), torch.cat(logits)


def split_rows(rows: int, threads: int) -> list[range]:
    """Return the rows of each thread, in order. Sizes differ by at most one, and no range is empty."""
    count = max(1, min(rows, threads))
    return [range(start, stop) for start, stop in pairwise(rows * i // count for i in range(count + 1))]


def _sum(terms: Sequence[Tensor]) -> Tensor | None:
    """The sum in order, as a new tensor, because autograd may return one tensor for two parameters."""
    if not terms:
        return None
    total = terms[0] + terms[1] if len(terms) > 1 else terms[0].clone()
    for term in terms[2:]:
        total += term
    return total


def choose_batch_threads(
    net: nn.Module, shape: Sequence[int], *, device: str | torch.device, macs: int, threads: int, batch_size: int
) -> tuple[int, str]:
    """Choose the number of threads over which batches are split.

    It depends only on the arguments, never on the load, so that the same command gives the same numbers.

    Args:
        net: the network.
        shape: shape of an image, (channels, height, width).
        device: the device of the network.
        macs: MACs of the network per image.
        threads: the number of CPU threads.
        batch_size: the number of images in a batch.

    Returns:
        The number of threads, and if it is 1 because of the network, the reason in words, else "".
    """
    count = min(threads, batch_size // MIN_ROWS)
    if torch.device(device).type != "cpu" or count < 2 or macs > MAX_MACS:
        return 1, ""
    reason = obstacle(net, shape)
    return (1, reason) if reason else (count, "")
