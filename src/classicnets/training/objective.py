"""What training makes small: cross-entropy, or the loss on distances of 1998."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from classicnets.values import Recipe

Objective = Callable[[Tensor, Tensor], Tensor]

# "A positive constant" in LeCun et al. 1998, equation 9, whose value is not printed. LeNet-5's distances to the wrong
# codes are tens; any value that is small beside them caps the push away from those and still draws to the right one.
J = 1.0


def make(recipe: Recipe, labels: Tensor, classes: int) -> Objective:
    """The recipe's loss as a function of logits [N, classes] and labels [N]: the mean over the pictures.

    `labels` are those of all training pictures: `class_weights` "auto" weighs a class by N / (classes x its pictures).
    """
    if recipe.loss == "lecun1998":
        return map_loss
    weights = None
    if recipe.class_weights == "auto":
        counts = torch.bincount(labels, minlength=classes)
        weights = len(labels) / (classes * counts.clamp(min=1).float())

    def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits, y, weight=weights, label_smoothing=recipe.label_smoothing)

    return cross_entropy


def map_loss(logits: Tensor, y: Tensor) -> Tensor:
    """The mean of d_y + log(exp(-j) + sum_i exp(-d_i)) over pictures, where a logit is a distance d negated.

    Source: LeCun, Bottou, Bengio, Haffner 1998, section III.C, equation 9.
    """
    right = logits.gather(1, y[:, None]).squeeze(1)
    return (torch.logsumexp(F.pad(logits, (0, 1), value=-J), dim=1) - right).mean()
