"""The optimiser of a recipe, and its learning rate as a pure function of progress."""

from __future__ import annotations

import math

import torch
from torch import nn

from classicnets.values import Recipe

_WARM_UP = 0.2  # of all steps, in "one_cycle"


def make(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD as torch has it, or AdamW, over every parameter that is trained."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(parameters, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


def rate(recipe: Recipe, progress: float) -> float:
    """The learning rate after the share `progress` (0..1) of all steps.

    "constant" is lr; "one_cycle" rises linearly to lr over the first fifth and falls to 0 as a cosine.
    """
    if recipe.schedule == "constant":
        return recipe.lr
    if progress < _WARM_UP:
        return recipe.lr * (0.05 + 0.95 * progress / _WARM_UP)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))
