"""What a net makes of some images: which units are silent, which are at their limits, what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from classicnets.models.layers import ScaledTanh

_NEAR = 0.01  # of the range between the limits


@dataclass
class Health:
    """`logits` [N, classes] of the images, and for each layer that squashes a share in 0..1, by the layer's name.

    `dead`: of the units of an nn.ReLU (of the maps, after a convolution) that are zero for every image. `saturated`:
    of the outputs of an nn.Sigmoid, nn.Tanh or ScaledTanh that are within 1 % of a limit. A layer that runs several
    times has its worst share. Functions that are called in `forward` are not seen, only modules.
    """

    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    dead: dict[str, float] = field(default_factory=dict)
    saturated: dict[str, float] = field(default_factory=dict)


def examine(net: nn.Module, images: Tensor) -> Health | None:
    """The health of `net` in evaluation mode on prepared images [N, C, H, W] that are on its device.

    It leaves no trace: modes, statistics, gradients and generators are as before. None for a net that has lazy layers
    still, which a pass would give weights.
    """
    if any(is_lazy(p) for p in net.parameters()):
        return None
    found = Health()
    with ExitStack() as stack:
        for name, layer in net.named_modules():
            note = _note(name, layer, found)
            if note is not None:
                stack.callback(layer.register_forward_hook(note).remove)
        stack.enter_context(_without_trace(net, images.device))
        found.logits = net(images)
    return found


def _note(name: str, layer: nn.Module, found: Health) -> Callable[[nn.Module, Any, Tensor], None] | None:
    """The hook that notes the share of this layer; None for a layer of another kind."""
    if isinstance(layer, nn.ReLU):
        return partial(_note_dead, name, found.dead)
    if isinstance(layer, nn.Sigmoid):
        return partial(_note_saturated, name, found.saturated, (0.0, 1.0))
    if isinstance(layer, nn.Tanh | ScaledTanh):
        limit = layer.amplitude if isinstance(layer, ScaledTanh) else 1.0
        return partial(_note_saturated, name, found.saturated, (-limit, limit))
    return None


def _note_dead(name: str, shares: dict[str, float], _layer: nn.Module, _given: Any, y: Tensor) -> None:
    if y.dim() > 1:
        largest = y.transpose(0, 1).flatten(1).amax(dim=1)
        shares[name] = max(float((largest <= 0).float().mean()), shares.get(name, 0.0))


def _note_saturated(
    name: str, shares: dict[str, float], limits: tuple[float, float], _layer: nn.Module, _given: Any, y: Tensor
) -> None:
    low, high = limits
    near = _NEAR * (high - low)
    shares[name] = max(float(((y < low + near) | (y > high - near)).float().mean()), shares.get(name, 0.0))


@contextmanager
def _without_trace(net: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode without gradients; then the mode of every module and the generators are as they were."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.inference_mode():
            yield
    finally:
        for module, training in modes:
            module.training = training
