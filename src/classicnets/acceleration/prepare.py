"""Accelerates a network while it is trained or used, and restores it afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from classicnets.acceleration.batch_split import choose_batch_threads
from classicnets.acceleration.independence import obstacle
from classicnets.acceleration.layers import faster_layers
from classicnets.acceleration.memory_format import accepts_channels_last, channels_last, wants_channels_last
from classicnets.errors import UsageError
from classicnets.text import _


@dataclass(frozen=True, kw_only=True)
class Acceleration:
    """How a network is accelerated. With the defaults, results are bit for bit those of plain PyTorch.

    `batch_threads` is the number of threads that share each batch. If it is 1 because of the network, `no_split_reason`
    is the reason in words.
    """

    channels_last: bool = False
    batch_threads: int = 1
    no_split_reason: str = ""

    def lines(self) -> list[str]:
        """Return a readable report: one line, or none if there is nothing to report."""
        if self.batch_threads > 1:
            n = self.batch_threads
            return [_("batches are split over {n} threads (--batch-threads 1 turns this off)", n=n)]
        if self.no_split_reason:
            return [_("batches are not split over threads: {reason}", reason=self.no_split_reason)]
        return []


PLAIN = Acceleration()


def choose(
    net: nn.Module,
    shape: Sequence[int],
    *,
    device: str | torch.device,
    macs: int,
    precision: str,
    threads: int,
    batch_size: int,
    batch_threads: int | None = None,
) -> Acceleration:
    """Choose the fastest acceleration of a network.

    It depends only on the arguments, never on the load, so that the same command gives the same numbers.

    Args:
        net: the network.
        shape: shape of an image, (channels, height, width).
        device: the device of the network.
        macs: MACs of the network per image.
        precision: "float32" or "bfloat16".
        threads: the number of CPU threads.
        batch_size: the number of images in a batch.
        batch_threads: the number of threads that share each batch; None chooses it.

    Raises:
        UsageError: CN204 if batches cannot be split over `batch_threads` threads.
    """
    reason = ""
    if batch_threads is None:
        batch_threads, reason = choose_batch_threads(
            net, shape, device=device, macs=macs, threads=threads, batch_size=batch_size
        )
    elif batch_threads > 1:
        on_cpu = torch.device(device).type == "cpu"
        if why := obstacle(net, shape) if on_cpu else _("threads can share batches only on a CPU"):
            raise UsageError(
                "CN204",
                _("{n} threads cannot share a batch of this network", n=batch_threads),
                where=f"batch_threads={batch_threads}",
                why=why,
                hint="--batch-threads 1",
            )
    last = wants_channels_last(device, macs, precision, batch_threads) and accepts_channels_last(net, shape)
    return Acceleration(channels_last=last, batch_threads=batch_threads, no_split_reason=reason)


_lock = threading.Lock()
_open: dict[nn.Module, tuple[int, ExitStack]] = {}  # how many contexts prepare a network, and what restores it


@contextmanager
def prepared(net: nn.Module, acceleration: Acceleration = PLAIN) -> Iterator[None]:
    """While open, `net` has faster layers and the memory format of `acceleration`; it is restored on exit.

    Only the classes of layers and the strides of weights change. Modules, parameters, names, hooks and state dict stay
    the same objects. Contexts can be nested and used by several threads; the last one to exit restores the network.
    """
    with _lock:
        if net not in _open:
            _open[net] = (0, _prepare(net, acceleration))
        count, stack = _open[net]
        _open[net] = (count + 1, stack)
    try:
        yield
    finally:
        with _lock:
            count, stack = _open.pop(net)
            if count > 1:
                _open[net] = (count - 1, stack)
            else:
                stack.close()


def _prepare(net: nn.Module, acceleration: Acceleration) -> ExitStack:
    stack = ExitStack()
    stack.enter_context(faster_layers(net))
    if acceleration.channels_last:
        stack.enter_context(channels_last(net))
    return stack
