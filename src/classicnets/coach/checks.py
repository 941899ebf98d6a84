"""The checks of training: each looks at one aspect of a run and returns a `Finding`, or None without a problem."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from classicnets.coach import causes
from classicnets.coach.task import Cause, Finding, Sample, Task
from classicnets.events import Epoch
from classicnets.inspection.health import Health
from classicnets.text import _, clauses, command

_LOSS_GROWTH = 10.0  # times the chance loss, mean over the epoch so far
_LOST = 3.0  # times the loss of trained weights before the first step
_LEARNED = 0.9  # times the chance loss: a network below has learned something
_LOW_RATE = 0.1  # times the recipe's learning rate
_MIN_STEPS = 20  # of an epoch, before training that is slow can be told from training that has just started
# Of a network that has learned from labels that are partly random, for any image: the least likely class against the
# second most likely one (clean labels: below 0.01), the most likely class, and the accuracy against that.
_FLAT, _CERTAIN, _CALIBRATED = 0.2, (0.3, 0.85), 0.1
_STILL_FALLING = 0.9  # training loss of an epoch against that of the one before
_OVERFITTED = 0.85  # training loss against the lowest validation loss; below, they have parted
_VANISHED = 0.1  # of the size of the initial weights


def describe(cause: Cause, message: str) -> str:
    """The message with the sentence of its cause."""
    return clauses((message, cause.sentence))


def check_loss(task: Task, sample: Sample, loss: float, first: float | None) -> Finding | None:
    """A training loss that is not finite, or has grown far beyond that of guessing, or beyond the `first` one.

    Args:
        task: the task.
        sample: some training images.
        loss: the mean training loss of the epoch so far.
        first: the loss before the first step; None if it is not known.
    """
    if not math.isfinite(loss):
        cause = causes.of_divergence(task, sample)
        return Finding("not_finite", describe(cause, _("the loss is no longer finite")), cause.hint)
    chance = task.chance_loss()
    if task.recipe.loss != "cross_entropy":
        return None
    if (
        task.trained
        and first is not None
        and first < _LEARNED * chance
        and loss > max(_LOST * first, 0.5 * chance + first)
    ):
        cause = causes.of_divergence(task, sample)
        message = _(
            "the loss started at {first:.3g} with trained weights and has risen to {loss:.3g}: the steps are too large"
            " and destroy what the network has learned",
            first=first,
            loss=loss,
        )
        return Finding("trained_weights_lost", describe(cause, message), cause.hint)
    if loss > _LOSS_GROWTH * chance:
        cause = causes.of_divergence(task, sample)
        message = _("the loss has grown to {loss:.3g}, where guessing gives {chance:.3f}", loss=loss, chance=chance)
        return Finding("loss_grows", describe(cause, message), cause.hint)
    return None


def check_slow(task: Task, net: nn.Module, epoch: Epoch, steps: int) -> Finding | None:
    """A loss near that of guessing, in the second half of the run, for which a setting is to blame.

    Args:
        task: the task.
        net: the network.
        epoch: the epoch that has finished.
        steps: the number of steps per epoch.
    """
    chance = task.chance_loss()
    if task.recipe.loss != "cross_entropy" or epoch.loss < _LEARNED * chance or steps * epoch.epoch < _MIN_STEPS:
        return None
    values = {"loss": epoch.loss, "chance": chance, "epoch": epoch.epoch, "epochs": epoch.epochs}
    message = _("after epoch {epoch} of {epochs} the loss is {loss:.3g}, and guessing gives {chance:.3f}", **values)
    dropout = causes.of_dropout(task, net)
    if dropout is not None:
        return Finding("dropout_high", describe(dropout, message), dropout.hint)
    if 2 * epoch.epoch <= epoch.epochs:
        return None
    frozen = causes.of_frozen_layers(task, net)
    if frozen is not None:
        return Finding("layers_frozen", describe(frozen, message), frozen.hint)
    if task.rate_factor <= _LOW_RATE and not task.trained:
        return Finding("rate_low", describe(Cause(task.rate_comparison, ""), message), task.higher_rate)
    return None


def check_vanishing(task: Task, size: float) -> Finding | None:
    """Weights that have shrunk to nothing; `size` is that of the layer that shrank least, relative to its start."""
    if size > _VANISHED or not any((task.recipe.weight_decay, *task.recipe.weight_decays)):
        return None
    raised = task.rate_factor >= 1 / _LOW_RATE
    cause = Cause(task.rate_comparison, task.lower_rate) if raised else causes.of_decay(task)
    message = _("the weights have shrunk to {size:.1g} of their initial size", size=size)
    return Finding("weights_vanish", describe(cause, message), cause.hint)


def check_label_noise(task: Task, sample: Sample, health: Health, epochs: Sequence[Epoch]) -> Finding | None:
    """Labels that are partly random: the network is equally unsure of every image, and of all other classes alike.

    A network that has only begun to learn looks the same, so the training loss must have stopped falling.
    """
    if len(epochs) < 2 or epochs[-1].loss < _STILL_FALLING * epochs[-2].loss:
        return None
    if len(task.classes) < 4 or task.recipe.label_smoothing or task.recipe.loss != "cross_entropy":
        return None
    top = health.logits.float().softmax(dim=1).sort(dim=1, descending=True).values
    flat = float((top[:, -1] / top[:, 1]).median())
    certain = float(top[:, 0].mean())
    right = health.logits.argmax(dim=1) == sample.labels.to(health.logits.device)
    accuracy = float(right.float().mean())
    if not flat >= _FLAT or abs(accuracy - certain) > _CALIBRATED:  # or not a number, of probabilities of 0
        return None
    if not max(_CERTAIN[0], 2 * task.largest_share) <= certain <= _CERTAIN[1]:
        return None
    message = _(
        "the network gives one class a probability of {certain:.0%} on average and all others about the same, whatever"
        " the image, and is right as often: many labels look random",
        certain=certain,
    )
    return Finding("label_noise", message, task.data_check)


def check_validation(task: Task, epochs: Sequence[Epoch]) -> Finding | None:
    """A validation loss more than 5 % above its minimum for three epochs, while the training loss fell.

    There is none while the validation accuracy still rises, as `patience` and the best weights depend on it. A network
    that has never been better than guessing on the validation set has learned labels by heart that do not follow from
    the images.
    """
    recipe = task.recipe
    losses = [epoch.validation_loss for epoch in epochs if epoch.validation_loss is not None]
    if len(losses) < 4 or len(losses) < len(epochs):
        return None
    lowest = min(losses)
    best, last = epochs[losses.index(lowest)], epochs[-1]
    accuracies = [epoch.validation_accuracy or 0.0 for epoch in epochs]
    chance = task.chance_loss()
    rises = all(loss > 1.05 * lowest for loss in losses[-3:]) and last.loss < best.loss
    related = lowest < 0.98 * chance or max(accuracies) > task.largest_share + 0.05
    if recipe.loss == "cross_entropy" and not related and (rises or last.loss < 0.5 * chance):
        message = _(
            "the training loss has fallen to {training:.3f}, but on the validation set the network was never better"
            " than guessing: the labels seem not to follow from the images",
            training=last.loss,
        )
        return Finding("labels_unrelated", message, task.data_check)
    if not rises or any(epoch.best for epoch in epochs[-3:]) or last.loss > _OVERFITTED * lowest:
        return None
    hint = task.net_setting("dropout", 0.5)
    if not recipe.patience and recipe.monitor == "validation":
        hint = command("--set", f"patience={max(3, _longest_wait(accuracies) + 1)}")
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


def _longest_wait(accuracies: Sequence[float]) -> int:
    """The most epochs without a higher accuracy before the highest: with less patience, training stops too early."""
    highest, waited, longest = -1.0, 0, 0
    for accuracy in accuracies[: accuracies.index(max(accuracies)) + 1]:
        longest = max(longest, waited)
        highest, waited = (accuracy, 0) if accuracy > highest else (highest, waited + 1)
    return max(longest, waited)


def check_waiting(epochs: Sequence[Epoch]) -> Finding | None:
    """Report two or more epochs that spent over 30 % of their time waiting for data, a second or more in all."""
    slow = [epoch for epoch in epochs if epoch.wait_share > 0.3]
    seconds = sum(epoch.wait_share * epoch.seconds for epoch in slow)
    if len(slow) < 2 or seconds < 1:
        return None
    share = seconds / sum(epoch.seconds for epoch in slow)
    message = _("training spends {share:.0%} of its time waiting for the next batch", share=share)
    return Finding("data_starved", message, "--loader-threads 2")
