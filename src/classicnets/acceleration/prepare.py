"""Makes a network faster while it is trained or used, and leaves it as it was: the one place where this is done."""

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


@dataclass(frozen=True, kw_only=True)
class Acceleration:
    """How a network is made faster. The default computes what plain PyTorch does, to the bit.

    `batch_threads` threads share each batch; where that is one although there are more, `no_split_reason` says why.
    """

    channels_last: bool = False
    batch_threads: int = 1
    no_split_reason: str = ""

    def lines(self) -> list[str]:
        """What is reported of it, for people."""
        if self.batch_threads > 1:
            return [f"split   {self.batch_threads} threads share each batch (--batch-threads 1 turns this off)"]
        return [f"split   threads do not share a batch: {self.no_split_reason}"] if self.no_split_reason else []


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
    """What is fastest for `net`, which has `macs` for an image of `shape`: (channels, height, width).

    A function of these arguments, never of the load, so that the same command gives the same numbers. `threads` are
    those of the CPU. `batch_threads` sets their number where it is not None. Raises UsageError CN204 if that is not
    possible.
    """
    why = ""
    if batch_threads is None:
        batch_threads, why = choose_batch_threads(
            net, shape, device=device, macs=macs, threads=threads, batch_size=batch_size
        )
    elif batch_threads > 1:
        other = torch.device(device).type != "cpu"
        if refused := "only a CPU has threads for it" if other else obstacle(net, shape):
            raise UsageError(
                "CN204",
                f"{batch_threads} threads cannot share a batch of this network",
                where=f"batch_threads={batch_threads}",
                why=refused,
                hint="--batch-threads 1",
            )
    last = wants_channels_last(device, macs, precision, batch_threads) and accepts_channels_last(net, shape)
    return Acceleration(channels_last=last, batch_threads=batch_threads, no_split_reason=why)


_lock = threading.Lock()
_open: dict[nn.Module, tuple[int, ExitStack]] = {}  # how often a network is prepared, and what ends it


@contextmanager
def prepared(net: nn.Module, acceleration: Acceleration = PLAIN) -> Iterator[None]:
    """While open, `net` has faster layers and the memory format of `acceleration`; afterwards it is as it was.

    Only the classes of layers and the strides of weights change. Modules, parameters, names, hooks and state dict stay
    the same objects. A network that is prepared already, be it by another thread, stays so until the last one closes.
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
