"""In which order the weights of convolutions lie in memory, and with them the feature maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

MANY_MACS = 2_000_000  # an image; in smaller networks layers spend more time on their inputs than on multiplying


def wants_channels_last(device: str | torch.device, macs: int, precision: str) -> bool:
    """Whether a network with so many MACs an image computes faster with its channels last in memory.

    True in bfloat16, which matrix units take in this order, and on the CPU above 2M MACs, where oneDNN's kernels then
    need not reorder the feature maps.
    """
    return precision == "bfloat16" or (torch.device(device).type == "cpu" and macs >= MANY_MACS)


def put_channels_last(net: nn.Module) -> list[tuple[nn.Parameter, Tensor]]:
    """Lays the weights of convolutions out so that feature maps are computed with their channels last; values stay.

    The parameters are the same objects. Returns them with the tensors that they held, for `restore_format`.
    """
    before = [(parameter, parameter.data) for parameter in net.parameters() if parameter.dim() == 4]
    for parameter, values in before:
        # not contiguous(): for a single channel it leaves the strides as they are, and maps would come out contiguous
        parameter.data = values.to(memory_format=torch.channels_last)
    return before


def restore_format(before: list[tuple[nn.Parameter, Tensor]]) -> None:
    """Lets the parameters from `put_channels_last` lie where they lay before, with the values that they have now."""
    with torch.no_grad():
        for parameter, values in before:
            values.copy_(parameter.data)
            parameter.data = values


def accepts_channels_last(net: nn.Module, shape: Sequence[int]) -> bool:
    """Whether `net` has convolutions and can compute with channels last: a forward() with x.view(len(x), -1) cannot.

    A pass of two empty images of `shape` finds out. It leaves no trace.
    """
    before = put_channels_last(net)
    modes = [(module, module.training) for module in net.modules()]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            net.eval()(torch.zeros(2, *shape, device=next((p.device for p in net.parameters()), None)))
    except RuntimeError:
        return False
    finally:
        for parameter, values in before:
            parameter.data = values
        for module, training in modes:
            module.training = training
    return bool(before)
