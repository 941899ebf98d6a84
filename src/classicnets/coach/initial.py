"""The checks of a network before its first step: its outputs, equal units, and the scale of its weights."""

from __future__ import annotations

from torch import nn

from classicnets.coach.data import fitting_normalization, large_inputs
from classicnets.coach.task import Finding, Sample, Task
from classicnets.inspection.arithmetic import python_path
from classicnets.inspection.health import Health
from classicnets.inspection.remarks import remark_on_outputs, remark_on_weights
from classicnets.text import _, command
from classicnets.training.initialize import weighted_layers

_HIGH_LOSS = 3.0  # times the chance loss; sound initial weights, krizhevsky2012's too, give 0.9 to 1.2
# Before training, up to half of the units may be inactive by chance, when the images make little difference yet
# (alexnet_28 as built 0.43); a network that learns has 0.05 to 0.25 of them, one whose rate was too high 0.9 and more.
DEAD = 0.8
SATURATED = 0.8  # the book's trained LeNet has 0.12; weights 50 times too large give 0.87, a rate too high 0.99
# A network that classifies is trained: random weights reach neither (0.9 to 1.2 times the chance loss).
_TRAINED_LOSS, _TRAINED_ACCURACY = 0.8, 0.25


def classifies(task: Task, sample: Sample, health: Health) -> bool:
    """Whether the network already classifies its training images, so that its weights are not random."""
    share = task.largest_share
    accuracy = float((health.logits.argmax(dim=1) == sample.labels.to(health.logits.device)).float().mean())
    if accuracy < share + _TRAINED_ACCURACY * (1 - share):
        return False
    return task.recipe.loss != "cross_entropy" or task.loss(health.logits, sample.labels) < (
        _TRAINED_LOSS * task.chance_loss()
    )


def check_outputs(task: Task, health: Health) -> Finding | None:
    """Outputs that have passed a softmax or a ReLU, although the loss applies a softmax itself."""
    remark = remark_on_outputs(health.logits.float()) if task.recipe.loss == "cross_entropy" else None
    return Finding(*remark) if remark else None


def check_equal_units(net: nn.Module) -> Finding | None:
    """A layer whose units all have the same weights, and so stay alike forever."""
    remark = remark_on_weights(net, weighted_layers(net))
    return Finding("equal_weights", remark.message, remark.hint) if remark else None


def check_initial_weights(task: Task, sample: Sample, health: Health) -> Finding | None:
    """Initial weights, or inputs far from 0, with which the network cannot start to learn.

    Inputs far from 0 are a fault only by their effect: some recipes use 0..255 with weights to match.
    """
    recipe, loss, chance = task.recipe, task.unrelated_loss(health.logits), task.chance_loss()
    finite = bool(health.logits.isfinite().all())
    high_loss = recipe.loss == "cross_entropy" and loss > _HIGH_LOSS * chance
    if large_inputs(sample):
        inputs = {"low": float(sample.images.min()), "high": float(sample.images.max())}
        saturated, saturated_share = worst(health.saturated)
        dead, dead_share = worst(health.dead)
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
        elif dead_share > DEAD:
            message = _(
                "the inputs range from {low:.3g} to {high:.3g}, and {share:.0%} of the units of {layer} are zero for"
                " every image",
                share=dead_share,
                layer=dead,
                **inputs,
            )
        if message:
            return Finding("pictures_out_of_range", message, fitting_normalization(sample))
    hint = "--set initialize=xavier_uniform_zero_bias"
    if recipe.initialize.startswith("xavier_uniform"):
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


def check_trained_weights(task: Task, health: Health, weights: str) -> Finding | None:
    """Trained initial weights that are not numbers; nothing else is expected of them before the first step."""
    if health.logits.isfinite().all():
        return None
    message = _("the outputs of the network with its trained weights are not finite")
    return Finding("not_finite", message, command("classicnets", "show", weights) if weights else task.lower_rate)


def check_layers(health: Health, hint: str) -> Finding | None:
    """Outputs that are not finite, and layers that are mostly dead or saturated; `hint` is the change to suggest."""
    if not health.logits.isfinite().all():
        return Finding("not_finite", _("the network's outputs are no longer finite"), hint)
    layer, share = worst(health.dead)
    if share > DEAD:
        message = _(
            "{share:.0%} of the units of {layer} (ReLU) are zero for every image, so they get no gradient",
            share=share,
            layer=layer,
        )
        return Finding("dead_relus", message, hint)
    layer, share = worst(health.saturated)
    if share > SATURATED:
        message = _(
            "{share:.0%} of the outputs of {layer} are saturated, where the gradient vanishes", share=share, layer=layer
        )
        return Finding("saturated_sigmoids", message, hint)
    return None


def worst(shares: dict[str, float]) -> tuple[str, float]:
    """The layer with the highest share, as it is written in Python, and the share."""
    name, share = max(shares.items(), key=lambda pair: pair[1], default=("", 0.0))
    return python_path(name), share
