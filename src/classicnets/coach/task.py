"""What the coach knows about a run before it starts: the task, a sample of its images, and the settings to suggest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from classicnets.text import _, command
from classicnets.training import objective
from classicnets.training.optim import is_adaptive
from classicnets.values import Preprocess, Recipe

_LARGE_FACTOR = 2.0  # a learning rate this many times that of the recipe is the first suspect

# Learning rates that suit most networks, by `is_adaptive`: where no recipe says better.
_USUAL_RATES = {False: 0.1, True: 0.003}


class Finding(NamedTuple):
    """A fault: its `topic`, a stable short name; a `message` with the evidence; and the change to try, as `hint`."""

    topic: str
    message: str
    hint: str


class Cause(NamedTuple):
    """What explains a fault, as a sentence for its message ("" if there is no more to say), and the change to try."""

    sentence: str
    hint: str


@dataclass(frozen=True)
class Sample:
    """Some training images, drawn from all of them: preprocessed [N, C, H, W], on the network's device, and labels [N].

    `preprocess` is how they were preprocessed.
    """

    images: Tensor
    labels: Tensor
    preprocess: Preprocess

    def pixels(self) -> Tensor:
        """The images before normalization, with values in 0..1."""
        mean, std = (
            torch.tensor(values, device=self.images.device).view(1, -1, 1, 1)
            for values in (self.preprocess.mean, self.preprocess.std)
        )
        return (self.images * std + mean).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class Task:
    """The learning task.

    Attributes:
        recipe: the recipe of the run.
        original: the recipe before the user changed settings of it, to compare with; the same if nothing is known.
        classes: the class names.
        counts: the number of training images of each class [classes].
        exact: whether `counts` is of all images; otherwise it is an estimate from some of them.
        trained: whether the initial weights are trained ones, of a file, of a run or of the module itself.
        in_python: whether the network is a module that was passed in Python.
    """

    recipe: Recipe
    original: Recipe
    classes: tuple[str, ...]
    counts: Tensor
    exact: bool = True
    trained: bool = False
    in_python: bool = False

    @property
    def image_count(self) -> int:
        """The number of training images."""
        return int(self.counts.sum())

    @property
    def rate_factor(self) -> float:
        """The learning rate as a multiple of the recipe's; 1 with another type of optimizer, where they differ."""
        if is_adaptive(self.recipe) != is_adaptive(self.original):
            return 1.0
        return self.recipe.lr / self.original.lr

    @property
    def lower_rate(self) -> str:
        """The setting for a lower learning rate: the recipe's if the user has raised it, else a tenth.

        Trained weights need a lower rate than the recipe's, which is for weights that are not trained.
        """
        if self.trained and self.rate_factor > 1:
            return command("--set", f"lr={self.original.lr / 10:g}")
        if self.rate_factor >= _LARGE_FACTOR:
            return command("--set", f"lr={self.original.lr:g}")
        usual = _USUAL_RATES[is_adaptive(self.recipe)]
        return command("--set", f"lr={self.recipe.lr / 10 if self.recipe.lr < 100 * usual else usual:g}")

    @property
    def higher_rate(self) -> str:
        """The setting for a higher learning rate: the recipe's if the user has lowered it, else ten times as much."""
        lowered = self.rate_factor <= 1 / _LARGE_FACTOR
        return command("--set", f"lr={self.original.lr if lowered else self.recipe.lr * 10:g}")

    @property
    def rate_comparison(self) -> str:
        """Compare the learning rate with that of the recipe, in words; "" if they are alike."""
        values = {"lr": self.recipe.lr, "original": self.original.lr}
        if self.rate_factor >= _LARGE_FACTOR:
            return _("the learning rate is {lr:g}, and that of the recipe is {original:g}", **values)
        if self.rate_factor <= 1 / _LARGE_FACTOR:
            return _("the learning rate is only {lr:g}, and that of the recipe is {original:g}", **values)
        return ""

    @property
    def data_check(self) -> str:
        """The command that checks the data."""
        return command("classicnets", "data", "check", self.recipe.data)

    def net_setting(self, name: str, value: str | float) -> str:
        """The setting that replaces layers of the network; in Python, the call."""
        return f"net = cn.vary(net, {name}={value!r})" if self.in_python else command("--set", f"net.{name}={value}")

    def targets(self) -> Tensor:
        """The mean target distribution of the loss, with class weights and label smoothing [classes]."""
        shares = self.counts / self.counts.sum()
        if self.recipe.class_weights == "auto":
            shares = (self.counts > 0) / (self.counts > 0).sum()
        smoothing = self.recipe.label_smoothing
        return (1 - smoothing) * shares + smoothing / len(self.classes)

    def chance_loss(self) -> float:
        """The lowest cross-entropy of a network that ignores the image; ln C if classes are balanced."""
        targets = self.targets()
        return -float(torch.special.xlogy(targets, targets).sum())

    def unrelated_loss(self, logits: Tensor) -> float:
        """The expected cross-entropy of `logits` [N, classes] that are independent of the labels."""
        targets = self.targets().to(logits)
        return float((logits.logsumexp(dim=1) - logits @ targets).mean())

    def loss(self, logits: Tensor, labels: Tensor) -> float:
        """The training loss of logits [N, classes] with labels [N]."""
        weights = None
        if self.recipe.class_weights == "auto":
            weights = self.image_count / (len(self.classes) * self.counts.clamp(min=1).to(logits))
        criterion = objective.CrossEntropy(self.recipe.label_smoothing, weights)
        return float(criterion(logits.float(), labels.to(logits.device)))

    @property
    def largest_share(self) -> float:
        """The fraction of the images that is of the most frequent class, the accuracy of always predicting it."""
        return float(self.counts.max() / self.counts.sum())
