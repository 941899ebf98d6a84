"""The optimizer of a recipe, and its learning rate schedule as a pure function of progress."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from classicnets.training.initialize import weighted_layers
from classicnets.values import Recipe

_WARM_UP = 0.2  # fraction of all steps, in "one_cycle"
DROPS = 3  # how often "plateau" divides the rate by ten: Krizhevsky et al. 2012, section 5


def make(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Make the optimizer for all parameters that are not frozen.

    Parameters with the same weight decay and the same factor on the learning rate (the group's "factor") form a group.
    """
    decays = {
        id(parameter): decay
        for layer, decay in zip(weighted_layers(net), recipe.weight_decays, strict=False)
        for name, parameter in layer.named_parameters()  # several if the weight is computed from them
        if not is_bias(name)
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        bias = is_bias(name)
        factor = recipe.bias_lr if bias else 1.0
        decay = 0.0 if bias and not recipe.bias_decay else decays.get(id(parameter), recipe.weight_decay)
        if parameter.requires_grad:
            groups.setdefault((factor, decay), []).append(parameter)
    parts = [{"params": group, "factor": factor, "weight_decay": wd} for (factor, wd), group in groups.items()]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parts, lr=recipe.lr)
    if recipe.optimizer == "sgd_rate_inside":
        return RateInside(parts, lr=recipe.lr, momentum=recipe.momentum)
    return torch.optim.SGD(parts, lr=recipe.lr, momentum=recipe.momentum)


def is_bias(name: str) -> bool:
    """Whether a parameter's name is that of a bias, or of what a parametrization computes a bias from."""
    return name.rpartition(".")[2] == "bias" or "parametrizations.bias." in name or name.endswith("bias_orig")


def is_adaptive(recipe: Recipe) -> bool:
    """Whether steps have about the length of the learning rate, whatever the length of the gradient."""
    return recipe.optimizer == "adamw"


def rate(recipe: Recipe, progress: float, drops: int = 0) -> float:
    """Return the learning rate.

    "constant" is lr. "one_cycle" rises linearly to lr over the first fifth and falls to 0 along a cosine. "steps" is
    lr times the last `drop_to` whose `drop_at` is reached. "inverse" is Caffe's policy `inv`,
    lr (1 + gamma iteration)^-0.75, with gamma x all iterations = 1, as in its LeNet. "plateau" is lr / 10 per drop.

    Args:
        recipe: its `schedule`, `lr`, `drop_at` and `drop_to`.
        progress: fraction of all epochs that is done, 0..1.
        drops: the number of drops so far, for "plateau".
    """
    if recipe.schedule == "one_cycle":
        if progress < _WARM_UP:
            return recipe.lr * (0.05 + 0.95 * progress / _WARM_UP)
        return recipe.lr * 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))
    if recipe.schedule == "steps":
        factors = [to for at, to in zip(recipe.drop_at, recipe.drop_to, strict=True) if progress >= at]
        return recipe.lr * (factors[-1] if factors else 1.0)
    if recipe.schedule == "inverse":
        return float(recipe.lr * (1 + progress) ** -0.75)
    return float(recipe.lr * 0.1**drops)


class RateInside(torch.optim.Optimizer):
    """SGD with the learning rate inside the velocity: v <- momentum v - lr (gradient + decay w), then w <- w + v.

    In torch.optim.SGD the rate is outside, so that a drop of the rate also scales the current velocity. With a constant
    rate the two are the same. Sources: Krizhevsky et al. 2012, section 5; cuda-convnet, weights.cu; Caffe,
    sgd_solver.cpp.
    """

    def __init__(self, parameters: Any, *, lr: float, momentum: float):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            gradients: list[Tensor] = [p.grad for p in parameters]
            if group["weight_decay"]:
                gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
            for p in parameters:
                if not self.state[p]:
                    self.state[p]["velocity"] = torch.zeros_like(p)
            velocity = [self.state[p]["velocity"] for p in parameters]
            torch._foreach_mul_(velocity, group["momentum"])
            torch._foreach_add_(velocity, gradients, alpha=-group["lr"])
            torch._foreach_add_(parameters, velocity)
