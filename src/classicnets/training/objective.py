"""The training losses: cross-entropy, and the MAP loss of 1998."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from classicnets.values import Recipe

# "A positive constant" in LeCun et al. 1998, equation 9, whose value is not printed. LeNet-5's distances to the wrong
# codes are tens; any value well below that bounds the push away from them and keeps the pull to the right code.
J = 1.0


class Objective(Protocol):
    """A loss that is a weighted mean over images, so that parts of a batch can be computed separately."""

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """The loss of logits [N, classes] and labels [N]."""

    def weight(self, y: Tensor) -> Tensor | float:
        """Return the sum of the weights of images with labels `y`, which is the denominator of the mean."""


def make(recipe: Recipe, labels: Tensor, classes: int) -> Objective:
    """Make the loss of a recipe.

    Args:
        recipe: its `loss`, `label_smoothing` and `class_weights`; "auto" weights a class by N / (classes x its images).
        labels: labels of all training images [N].
        classes: the number of classes.
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
    """Cross-entropy, weighted by class if `class_weights` [classes] is given."""

    label_smoothing: float = 0.0
    class_weights: Tensor | None = None

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """The weighted mean over images, for logits [N, classes] and labels [N]."""
        weights = None if self.class_weights is None else self.class_weights.to(logits.dtype)
        return F.cross_entropy(logits, y, weight=weights, label_smoothing=self.label_smoothing)

    def weight(self, y: Tensor) -> Tensor | float:
        """Return the sum of the images' weights."""
        return len(y) if self.class_weights is None else self.class_weights[y].sum()


@dataclass(frozen=True)
class MapLoss:
    """The MAP loss of 1998, see `map_loss`."""

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean over images, for logits [N, classes] and labels [N]."""
        return map_loss(logits, y)

    def weight(self, y: Tensor) -> float:
        """Return the number of images."""
        return len(y)


def map_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Return the mean of d_y + log(exp(-j) + sum_i exp(-d_i)) over images, where logits are negated distances d.

    Source: LeCun, Bottou, Bengio, Haffner 1998, section III.C, equation 9.
    """
    right = logits.gather(1, y[:, None]).squeeze(1)
    return (torch.logsumexp(F.pad(logits, (0, 1), value=-J), dim=1) - right).mean()
