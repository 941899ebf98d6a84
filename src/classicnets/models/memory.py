"""How the weights of a net lie in memory. Needs torch alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def put_channels_last(net: nn.Module, shape: Sequence[int]) -> bool:
    """Lays the weights of convolutions out so that maps are computed with the channels last; values stay.

    A net whose forward() needs the maps one after the other, as x.view(len(x), -1) does, is left as it is; one pass of
    two empty pictures of `shape` shows it, and leaves no trace. Returns whether the channels are last.
    """
    before = [(parameter, parameter.data) for parameter in net.parameters() if parameter.dim() == 4]
    for parameter, values in before:
        # not contiguous(): for a single channel it leaves the strides as they are, and maps would come out first
        parameter.data = values.to(memory_format=torch.channels_last)
    modes = [(module, module.training) for module in net.modules()]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            net.eval()(torch.zeros(2, *shape, device=next((p.device for p in net.parameters()), None)))
    except RuntimeError:
        for parameter, values in before:
            parameter.data = values
        return False
    finally:
        for module, training in modes:
            module.training = training
    return bool(before)
