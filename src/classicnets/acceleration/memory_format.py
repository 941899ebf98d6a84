"""In which order the weights of convolutions lie in memory, and with them the feature maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

MANY_MACS = 2_000_000  # an image; in smaller networks layers spend more time on their inputs than on multiplying


def wants_channels_last(device: str | torch.device, macs: int, precision: str, batch_threads: int = 1) -> bool:
    """Whether a network of `macs` MACs an image computes faster with its channels last in memory.

    True in bfloat16, which matrix units take in this order, and on the CPU above 2M MACs, where oneDNN's kernels then
    need not reorder the feature maps. Smaller networks gain as well, most with one input channel: a step of LeNet
    takes 14.6 ms for 18.8 with AVX2 and the same with AVX-512 (128 images, one thread, against pools by slices;
    convolutions alone: 1.3 and 1.2 ms for 2.3 and 5.0 in the first layer, 1.0 and 3.2 for 1.4 and 3.2 in the second).
    As it changes the last digits, it comes only with a batch that is divided, which changes them too: with one thread
    a small network computes what plain PyTorch does, to the bit.
    """
    return precision == "bfloat16" or (torch.device(device).type == "cpu" and (macs >= MANY_MACS or batch_threads > 1))


@contextmanager
def channels_last(net: nn.Module) -> Iterator[None]:
    """While open, weights of convolutions, and so the feature maps, have their channels last in memory; values stay.

    The parameters are the same objects. Afterwards they lie where they did before, with the values that they have then.
    """
    before = [(parameter, parameter.data) for parameter in net.parameters() if parameter.dim() == 4]
    for parameter, values in before:
        # not contiguous(): for a single channel it leaves the strides as they are, and maps would come out contiguous
        parameter.data = values.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, values in before:
                values.copy_(parameter.data)
                parameter.data = values


def accepts_channels_last(net: nn.Module, shape: Sequence[int]) -> bool:
    """Whether `net` has convolutions and can compute with channels last: a forward() with x.view(len(x), -1) cannot.

    A pass of two empty images of `shape` finds out. It leaves no trace.
    """
    modes = [(module, module.training) for module in net.modules()]
    try:
        with channels_last(net), torch.no_grad(), torch.random.fork_rng(devices=[]):
            net.eval()(torch.zeros(2, *shape, device=next((p.device for p in net.parameters()), None)))
    except RuntimeError:
        return False
    finally:
        for module, training in modes:
            module.training = training
    return any(parameter.dim() == 4 for parameter in net.parameters())
