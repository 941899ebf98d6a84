"""Counts the zeros among the outputs of activations: units that are 0 for every image, and all outputs that are 0."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from classicnets.models.replacing import ACTIVATIONS


@dataclass
class Activity:
    """What the activations of a network have put out.

    Attributes:
        active: whether a unit (after a convolution: a channel) was not 0 for some image, by layer and shape of the
            output; calls of one layer with outputs of one shape count as one.
        zeros: number of outputs that were 0.
        outputs: number of all outputs.
    """

    active: dict[str, Tensor] = field(default_factory=dict)
    zeros: int = 0
    outputs: int = 0

    @property
    def dead_units(self) -> float:
        """Fraction of the units that were 0 for every image; channels after a convolution. 0 without activations."""
        units = sum(len(active) for active in self.active.values())
        return sum(int((~active).sum()) for active in self.active.values()) / units if units else 0.0

    @property
    def sparsity(self) -> float:
        """Fraction of the outputs that were 0."""
        return self.zeros / self.outputs if self.outputs else 0.0


@contextmanager
def watch(net: nn.Module) -> Iterator[Activity]:
    """Count the outputs of all activation modules of `net` within the block; functions that it calls do not count."""
    activity = Activity()

    def hook(name: str) -> Any:
        def count(_layer: nn.Module, _inputs: Any, y: Tensor) -> None:
            if y.dim() < 2:
                return
            nonzero = y.detach() != 0
            activity.zeros += int((~nonzero).sum())
            activity.outputs += nonzero.numel()
            active = nonzero.transpose(0, 1).flatten(1).any(dim=1)
            place = f"{name} {tuple(y.shape[1:])}"
            activity.active[place] = active | activity.active.get(place, torch.zeros_like(active))

        return count

    with ExitStack() as stack:
        for name, layer in net.named_modules():
            if isinstance(layer, ACTIVATIONS):
                stack.callback(layer.register_forward_hook(hook(name)).remove)
        yield activity
