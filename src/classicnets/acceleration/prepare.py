"""Makes a network faster while it is trained or used, and leaves it as it was: the one place where this is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from classicnets.acceleration import layers, memory_format


@dataclass(frozen=True, kw_only=True)
class Acceleration:
    """How a network is made faster. The default computes what plain PyTorch does, to the bit."""

    channels_last: bool = False


PLAIN = Acceleration()


def choose(
    net: nn.Module, shape: Sequence[int], *, device: str | torch.device, macs: int, precision: str
) -> Acceleration:
    """What is fastest for `net`, which has `macs` for an image of `shape`: (channels, height, width).

    A function of network, device and precision, never of the load, so that the same command gives the same numbers.
    """
    last = memory_format.wants_channels_last(device, macs, precision)
    return Acceleration(channels_last=last and memory_format.accepts_channels_last(net, shape))


_lock = threading.Lock()
_open: dict[nn.Module, tuple[int, Callable[[], None]]] = {}  # how often a network is prepared, and what ends it


@contextmanager
def prepared(net: nn.Module, acceleration: Acceleration = PLAIN) -> Iterator[None]:
    """While open, `net` has faster layers and the memory format of `acceleration`; afterwards it is as it was.

    Only the classes of layers and the strides of weights change. Modules, parameters, names, hooks and state dict stay
    the same objects. A network that is prepared already, be it by another thread, stays so until the last one closes.
    """
    with _lock:
        count, undo = _open[net] if net in _open else (0, _prepare(net, acceleration))
        _open[net] = (count + 1, undo)
    try:
        yield
    finally:
        with _lock:
            count, undo = _open.pop(net)
            if count > 1:
                _open[net] = (count - 1, undo)
            else:
                undo()


def _prepare(net: nn.Module, acceleration: Acceleration) -> Callable[[], None]:
    """Returns what undoes it."""
    exchanged = layers.exchange_layers(net)
    before = memory_format.put_channels_last(net) if acceleration.channels_last else []

    def undo() -> None:
        layers.restore_layers(exchanged)
        memory_format.restore_format(before)

    return undo
