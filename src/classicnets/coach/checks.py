"""The checks of the coach: each looks at one aspect of a run and returns a `Finding`, or None without a problem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from classicnets.events import Epoch
from classicnets.inspection.health import Health
from classicnets.text import _, command
from classicnets.values import Recipe

_LARGE_PIXEL = (
    10.0  # largest normal value in a preprocessed image: standardized images stay within 3, krizhevsky2012 reaches 130
)
_LOW_CONTRAST = 0.01  # standard deviation of preprocessed pixels; Fashion-MNIST in 0..1 has 0.35
_HIGH_INITIAL_LOSS = 3.0  # times the chance loss; sound initial weights, krizhevsky2012's too, give 0.9 to 1.2
_LOSS_GROWTH = 10.0  # times the chance loss, mean over the epoch so far
# Before training, up to half of the units may be inactive by chance, when the images make little difference yet
# (alexnet_28 as built 0.43); a network that learns has 0.05 to 0.25 of them, one whose rate was too high 0.9 and more.
_DEAD = 0.8
_SATURATED = 0.8  # the book's trained LeNet has 0.12; weights 50 times too large give 0.87, a rate too high 0.99


class Finding(NamedTuple):
    """A fault: its `topic`, a stable short name; a `message` with the evidence; and the change to try, as `hint`."""

    topic: str
    message: str
    hint: str


@dataclass(frozen=True)
class Task:
    """The learning task: the recipe, the class names, and the number of training images of each class [classes]."""

    recipe: Recipe
    classes: tuple[str, ...]
    counts: Tensor

    @property
    def image_count(self) -> int:
        """The number of training images."""
        return int(self.counts.sum())

    @property
    def lower_rate(self) -> str:
        """The setting for a tenth of the learning rate."""
        return command("--set", f"lr={self.recipe.lr / 10:g}")

    @property
    def data_check(self) -> str:
        """The command that checks the data."""
        return command("classicnets", "data", "check", self.recipe.data)

    def targets(self) -> Tensor:
        """Return the mean target distribution of the loss, with class weights and label smoothing [classes]."""
        shares = self.counts / self.counts.sum()
        if self.recipe.class_weights == "auto":
            shares = (self.counts > 0) / (self.counts > 0).sum()
        smoothing = self.recipe.label_smoothing
        return (1 - smoothing) * shares + smoothing / len(self.classes)

    def chance_loss(self) -> float:
        """Return the lowest cross-entropy of a network that ignores the image; ln C if classes are balanced."""
        targets = self.targets()
        return -float(torch.special.xlogy(targets, targets).sum())

    def unrelated_loss(self, logits: Tensor) -> float:
        """Return the expected cross-entropy of `logits` [N, classes] that are independent of the labels."""
        targets = self.targets().to(logits)
        return float((logits.logsumexp(dim=1) - logits @ targets).mean())


def check_labels(task: Task) -> Finding | None:
    """Report a class without images, or classes that are more unbalanced than chance explains."""
    counts, n, class_count = task.counts, task.image_count, len(task.classes)
    largest, smallest = int(counts.argmax()), int(counts.argmin())
    most, fewest = int(counts[largest]), int(counts[smallest])
    if fewest == 0 and n >= 10 * class_count:  # with fewer images, a class may be missing by chance
        message = _(
            "none of the {n:,} training images is of class {name!r}, so the network cannot learn it",
            n=n,
            name=task.classes[smallest],
        )
        return Finding("class_without_pictures", message, task.data_check)
    unbalanced = most > 10 * (fewest + 3 * math.sqrt(fewest)) or (class_count > 2 and most > n / 2)
    if unbalanced and task.recipe.class_weights == "none":
        message = _(
            "{most:,} training images are of class {largest!r} and {fewest:,} of {smallest!r}: always predicting the"
            " former gives an accuracy of {accuracy:.0%}",
            most=most,
            largest=task.classes[largest],
            fewest=fewest,
            smallest=task.classes[smallest],
            accuracy=most / n,
        )
        return Finding("classes_unequal", message, "--set class_weights=auto")
    return None


def check_images(task: Task, x: Tensor) -> Finding | None:
    """Report images [N, C, H, W], preprocessed, that are constant, all the same, or of very low contrast."""
    largest = float(x.abs().max())
    within = float((x.amax(dim=(1, 2, 3)) - x.amin(dim=(1, 2, 3))).max())
    between = float((x.amax(dim=0) - x.amin(dim=0)).max())
    if min(within, between) <= 1e-6 * max(largest, 1.0):
        message = _("all images are the same") if between < within else _("each image has only one pixel value")
        return Finding("constant_pictures", message, task.data_check)
    spread = float(x.std())
    if spread < _LOW_CONTRAST:
        std = ",".join(f"{s * spread:.3g}" for s in task.recipe.std)
        message = _(
            "the standard deviation of the network's inputs is only {spread:.2g}: it can hardly see differences",
            spread=spread,
        )
        return Finding("pictures_out_of_range", message, command("--set", f"std={std}"))
    return None


def check_initial_weights(task: Task, x: Tensor, health: Health) -> Finding | None:
    """Report initial weights, or inputs `x` far from 0, with which the network cannot start to learn.

    Inputs far from 0 are a fault only by their effect: some recipes use 0..255 with weights to match.
    """
    recipe, loss, chance = task.recipe, task.unrelated_loss(health.logits), task.chance_loss()
    finite = bool(health.logits.isfinite().all())
    high_loss = recipe.loss == "cross_entropy" and loss > _HIGH_INITIAL_LOSS * chance
    low, high = float(x.min()), float(x.max())
    if max(-low, high) > _LARGE_PIXEL:
        inputs = {"low": low, "high": high}
        saturated, saturated_share = _worst(health.saturated)
        dead, dead_share = _worst(health.dead)
        message = ""
        if not finite:
            message = _("the inputs range from {low:.3g} to {high:.3g}, and the outputs are not finite", **inputs)
        elif high_loss:
            message = _(
                "the inputs range from {low:.3g} to {high:.3g}, and the loss starts at {loss:.3g}, where guessing gives"
                " {chance:.3f}",
                loss=loss,
                chance=chance,
                **inputs,
            )
        elif saturated_share > 0.5:  # the others may be of black background
            message = _(
                "the inputs range from {low:.3g} to {high:.3g}, and {share:.0%} of the outputs of {layer} are"
                " saturated",
                share=saturated_share,
                layer=saturated,
                **inputs,
            )
        elif dead_share > _DEAD:
            message = _(
                "the inputs range from {low:.3g} to {high:.3g}, and {share:.0%} of the units of {layer} are zero for"
                " every image",
                share=dead_share,
                layer=dead,
                **inputs,
            )
        if message:
            return Finding("pictures_out_of_range", message, "--set mean=0 std=1")
    hint = "--set initialize=xavier_uniform_zero_bias"
    if recipe.initialize in hint:
        hint = task.lower_rate
    if not finite:
        return Finding("not_finite", _("the outputs of the untrained network are not finite"), hint)
    finding = check_layers(health, hint)
    if finding is None and high_loss:
        message = _(
            "the loss starts at {loss:.3g}, where guessing gives {chance:.3f}: the initial weights are too large",
            loss=loss,
            chance=chance,
        )
        return Finding("first_loss_high", message, hint)
    return finding


def check_loss(task: Task, loss: float) -> Finding | None:
    """Report a training loss that is not finite, or has grown far beyond that of guessing."""
    if not math.isfinite(loss):
        return Finding("not_finite", _("the loss is no longer finite"), task.lower_rate)
    chance = task.chance_loss()
    if task.recipe.loss == "cross_entropy" and loss > _LOSS_GROWTH * chance:
        message = _("the loss has grown to {loss:.3g}, where guessing gives {chance:.3f}", loss=loss, chance=chance)
        return Finding("loss_grows", message, task.lower_rate)
    return None


def check_layers(health: Health, hint: str) -> Finding | None:
    """Report outputs that are not finite, and mostly dead or saturated layers; `hint` is the suggested change."""
    if not health.logits.isfinite().all():
        return Finding("not_finite", _("the network's outputs are no longer finite"), hint)
    layer, share = _worst(health.dead)
    if share > _DEAD:
        message = _(
            "{share:.0%} of the units of {layer} (ReLU) are zero for every image, so they get no gradient",
            share=share,
            layer=layer,
        )
        return Finding("dead_relus", message, hint)
    layer, share = _worst(health.saturated)
    if share > _SATURATED:
        message = _(
            "{share:.0%} of the outputs of {layer} are saturated, where the gradient vanishes", share=share, layer=layer
        )
        return Finding("saturated_sigmoids", message, hint)
    return None


def check_validation(recipe: Recipe, epochs: Sequence[Epoch]) -> Finding | None:
    """Report a validation loss more than 5 % above its minimum for three epochs, while the training loss fell.

    There is none while the validation accuracy still rises, as `patience` and the best weights depend on it.
    """
    losses = [epoch.validation_loss for epoch in epochs if epoch.validation_loss is not None]
    if len(losses) < 4 or len(losses) < len(epochs):
        return None
    lowest = min(losses)
    best, last = epochs[losses.index(lowest)], epochs[-1]
    rises = all(loss > 1.05 * lowest for loss in losses[-3:]) and last.loss < best.loss
    if not rises or any(epoch.best for epoch in epochs[-3:]):
        return None
    hint = "--set net.dropout=0.5"
    if not recipe.patience and recipe.monitor == "validation":
        hint = "--set patience=3"
    elif not recipe.shift:
        hint = "--set shift=2"
    message = _(
        "since epoch {epoch} the validation loss has risen from {lowest:.3f} to {last:.3f}, while the training loss"
        " fell to {training:.3f}: the network overfits",
        epoch=best.epoch,
        lowest=lowest,
        last=losses[-1],
        training=last.loss,
    )
    return Finding("validation_turns", message, hint)


def check_waiting(epochs: Sequence[Epoch]) -> Finding | None:
    """Report two or more epochs that spent over 30 % of their time waiting for data, a second or more in all."""
    slow = [epoch for epoch in epochs if epoch.wait_share > 0.3]
    seconds = sum(epoch.wait_share * epoch.seconds for epoch in slow)
    if len(slow) < 2 or seconds < 1:
        return None
    share = seconds / sum(epoch.seconds for epoch in slow)
    message = _("training spends {share:.0%} of its time waiting for the next batch", share=share)
    return Finding("data_starved", message, "--loader-threads 2")


def _worst(shares: dict[str, float]) -> tuple[str, float]:
    """The layer with the highest share, and the share."""
    return max(shares.items(), key=lambda pair: pair[1], default=("", 0.0))
