"""The memory format of convolutions: channels first or channels last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

LARGE_MACS = 2_000_000  # per image; in smaller networks, layers spend more time on their inputs than on multiplication


def wants_channels_last(device: str | torch.device, macs: int, precision: str, batch_threads: int = 1) -> bool:
    """Return whether a network with `macs` MACs per image is faster in channels-last memory format.

    True for bfloat16, because matrix units need this format, and on the CPU from 2M MACs on, because oneDNN's kernels
    then need not reorder the feature maps. Smaller networks are faster as well, most with one input channel: a step of
    LeNet takes 14.6 ms instead of 18.8 with AVX2, and the same time with AVX-512 (128 images, one thread, compared with
    pooling by slices; only the convolutions: 1.3 and 1.2 ms instead of 2.3 and 5.0 in the first layer, 1.0 and 3.2
    instead of 1.4 and 3.2 in the second). But the format changes the last digits, so small networks use it only if
    batches are split, which changes them too: with one thread, their results are bit for bit those of plain PyTorch.
    """
    return precision == "bfloat16" or (torch.device(device).type == "cpu" and (macs >= LARGE_MACS or batch_threads > 1))


@contextmanager
def channels_last(net: nn.Module) -> Iterator[None]:
    """While open, the weights of convolutions, and hence the feature maps, are in channels-last memory format.

    The parameters stay the same objects. On exit, their current values are copied to the original memory.
    """
    originals = [(parameter, parameter.data) for parameter in net.parameters() if parameter.dim() == 4]
    for parameter, values in originals:
        # contiguous() would not change the strides of a single channel, and feature maps would be channels-first
        parameter.data = values.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, values in originals:
                values.copy_(parameter.data)
                parameter.data = values


def accepts_channels_last(net: nn.Module, shape: Sequence[int]) -> bool:
    """Return whether `net` has convolutions and runs with channels last, unlike a forward() with x.view(len(x), -1).

    Tested with a forward pass of two empty images of `shape` (channels, height, width), which has no side effects.
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
