"""What training minimizes: cross-entropy, or the loss on distances of 1998."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from classicnets.values import Recipe

# "A positive constant" in LeCun et al. 1998, equation 9, whose value is not printed. LeNet-5's distances to the wrong
# codes are tens; any value that is small beside them caps the push away from those and still draws to the right one.
J = 1.0


class Objective(Protocol):
    """A loss that is a weighted mean over images, so that parts of a batch can be computed on their own."""

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """The loss of logits [N, classes] and labels [N]."""

    def weight(self, y: Tensor) -> Tensor | float:
        """The sum of the weights of images with these labels, by which the loss is divided."""


def make(recipe: Recipe, labels: Tensor, classes: int) -> Objective:
    """The recipe's loss.

    `labels` are those of all training images: `class_weights` "auto" weighs a class by N / (classes x its images).
    """
    if recipe.loss == "lecun1998":
        return MapLoss()
    weights = None
    if recipe.class_weights == "auto":
        counts = torch.bincount(labels, minlength=classes)
        weights = len(labels) / (classes * counts.clamp(min=1).float())
    return CrossEntropy(recipe.label_smoothing, weights)


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy, with a weight for each class if there are `class_weights` [classes]."""

    label_smoothing: float = 0.0
    class_weights: Tensor | None = None

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean over images, weighted by their classes."""
        return F.cross_entropy(logits, y, weight=self.class_weights, label_smoothing=self.label_smoothing)

    def weight(self, y: Tensor) -> Tensor | float:
        """The sum of the images' weights."""
        return len(y) if self.class_weights is None else self.class_weights[y].sum()


@dataclass(frozen=True)
class MapLoss:
    """`map_loss`."""

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean over images."""
        return map_loss(logits, y)

    def weight(self, y: Tensor) -> float:
        """The number of images."""
        return len(y)


def map_loss(logits: Tensor, y: Tensor) -> Tensor:
    """The mean of d_y + log(exp(-j) + sum_i exp(-d_i)) over images, where a logit is a distance d negated.

    Source: LeCun, Bottou, Bengio, Haffner 1998, section III.C, equation 9.
    """
    right = logits.gather(1, y[:, None]).squeeze(1)
    return (torch.logsumexp(F.pad(logits, (0, 1), value=-J), dim=1) - right).mean()
