"""Measures a network on some images: inactive ReLU units, saturated activations, and logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from classicnets.models.layers import ScaledTanh
from classicnets.models.modules import has_lazy_layers, in_dtype_of, restored_modes

_MARGIN = 0.01  # distance to a limit that counts as saturated, as a fraction of the range between the limits


@dataclass
class Health:
    """Logits [N, classes], and fractions in 0..1 by layer name; a layer that is called more than once has its worst.

    Attributes:
        dead: fraction of the units of an nn.ReLU (of the channels, after a convolution) that are 0 for every image.
        saturated: fraction of the outputs of an nn.Sigmoid, nn.Tanh or ScaledTanh within 1 % of a limit.

    Only modules are measured, not functions that `forward` calls.
    """

    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    dead: dict[str, float] = field(default_factory=dict)
    saturated: dict[str, float] = field(default_factory=dict)


def examine(net: nn.Module, images: Tensor) -> Health | None:
    """Measure `net` in evaluation mode on preprocessed images [N, C, H, W] on its device.

    Modes, statistics, gradients and random generators stay as they are. Returns None for a network that still has
    uninitialized lazy layers, which a forward pass would initialize.
    """
    if has_lazy_layers(net):
        return None
    health = Health()
    with ExitStack() as stack:
        for name, layer in net.named_modules():
            hook = _measuring_hook(name, layer, health)
            if hook is not None:
                stack.callback(layer.register_forward_hook(hook).remove)
        stack.enter_context(_evaluating(net, images.device))
        health.logits = net(in_dtype_of(net, images.clone()))  # forward() may change its input
    return health


def _measuring_hook(name: str, layer: nn.Module, health: Health) -> Callable[[nn.Module, Any, Tensor], None] | None:
    """The hook that records the fraction of this layer; None for other types of layers."""
    if isinstance(layer, nn.ReLU):
        return partial(_record_dead, name, health.dead)
    if isinstance(layer, nn.Sigmoid):
        return partial(_record_saturated, name, health.saturated, (0.0, 1.0))
    if isinstance(layer, nn.Tanh | ScaledTanh):
        limit = layer.amplitude if isinstance(layer, ScaledTanh) else 1.0
        return partial(_record_saturated, name, health.saturated, (-limit, limit))
    return None


def _record_dead(name: str, fractions: dict[str, float], _layer: nn.Module, _inputs: Any, y: Tensor) -> None:
    if y.dim() > 1:
        largest = y.transpose(0, 1).flatten(1).amax(dim=1)
        fractions[name] = max(float((largest <= 0).float().mean()), fractions.get(name, 0.0))


def _record_saturated(
    name: str, fractions: dict[str, float], limits: tuple[float, float], _layer: nn.Module, _inputs: Any, y: Tensor
) -> None:
    low, high = limits
    margin = _MARGIN * (high - low)
    saturated = (y < low + margin) | (y > high - margin)
    fractions[name] = max(float(saturated.float().mean()), fractions.get(name, 0.0))


@contextmanager
def _evaluating(net: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode without gradients; restores the mode of every module and the random generators."""
    devices = [device] if device.type == "cuda" else []
    with restored_modes(net), torch.random.fork_rng(devices), torch.inference_mode():
        net.eval()
        yield
