"""Which setting explains a fault of training: the first of the suspects whose evidence is there."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from classicnets.coach.data import fitting_normalization, large_inputs
from classicnets.coach.task import Cause, Sample, Task
from classicnets.models.layers import DropConnect
from classicnets.text import _, command
from classicnets.training.optim import is_adaptive
from classicnets.values import Recipe

_HIGH_MOMENTUM = 0.97  # sound recipes use 0.9; with 0.97, a step is repeated 33 times
_LARGE_FACTOR = 10.0  # a learning rate this many times that of the recipe explains more than a momentum
_FROZEN = 0.5  # share of the layers
_TINY_CLIP = 0.05  # share of their size that the weights can move at most
_HIGH_DROPOUT = 0.8  # sound networks use at most 0.5; 0.95 leaves one unit of 20


def of_divergence(task: Task, sample: Sample) -> Cause:
    """What explains weights that take too large steps: they grow without bounds, or units die or saturate."""
    recipe, original = task.recipe, task.original
    changed = (recipe.mean, recipe.std) != (original.mean, original.std)
    if large_inputs(sample) and changed and not task.trained and task.rate_factor < _LARGE_FACTOR:
        sentence = _(
            "the inputs range from {low:.3g} to {high:.3g}, which the recipe is not made for",
            low=float(sample.images.min()),
            high=float(sample.images.max()),
        )
        return Cause(sentence, fitting_normalization(sample))
    raised = _largest_decay(task) > min(1.0, _LARGE_FACTOR * _largest_decay_of(original))
    if not is_adaptive(recipe) and raised and recipe.lr * _largest_decay(task) > 1 and task.rate_factor < _LARGE_FACTOR:
        return of_decay(task)
    if recipe.momentum >= _HIGH_MOMENTUM and task.rate_factor < _LARGE_FACTOR:
        return _of_momentum(task)
    return Cause(task.rate_comparison, task.lower_rate)


def _of_momentum(task: Task) -> Cause:
    recipe, original = task.recipe, task.original
    sentence = _(
        "momentum={momentum:g} adds up {steps:,.0f} steps, so that the rate is as good as {rate:.3g}",
        momentum=recipe.momentum,
        steps=1 / (1 - recipe.momentum),
        rate=recipe.lr / (1 - recipe.momentum),
    )
    return Cause(
        sentence, command("--set", f"momentum={original.momentum if original.momentum < _HIGH_MOMENTUM else 0.9:g}")
    )


def of_decay(task: Task) -> Cause:
    """A weight decay that is too large."""
    recipe, original = task.recipe, task.original
    usual = original.weight_decay if original.weight_decay < _largest_decay(task) / 10 else 0.0
    hint = command("--set", f"weight_decay={usual:g}")
    if recipe.weight_decays:
        hint = command("--set", "weight_decays=none", f"weight_decay={usual:g}")
    sentence = _(
        "each step takes {share:.2g} of each weight away (learning rate {lr:g} times weight decay {decay:g})",
        share=recipe.lr * _largest_decay(task),
        lr=recipe.lr,
        decay=_largest_decay(task),
    )
    return Cause(sentence, hint)


def _largest_decay(task: Task) -> float:
    return _largest_decay_of(task.recipe)


def _largest_decay_of(recipe: Recipe) -> float:
    return max(recipe.weight_decays, default=recipe.weight_decay)


def of_stillness(task: Task, net: nn.Module, steps: int) -> Cause | None:
    """What explains weights that did not move in this number of steps, except the learning rate; None if nothing."""
    recipe, original = task.recipe, task.original
    weights = [p for p in net.parameters() if p.requires_grad]
    size = sum(float(p.detach().square().sum()) for p in weights) ** 0.5
    reach = recipe.lr / (1 - recipe.momentum) * recipe.clip * steps
    if recipe.clip and not is_adaptive(recipe) and task.rate_factor > 1 / _LARGE_FACTOR and reach < _TINY_CLIP * size:
        sentence = _(
            "clip={clip:g} lets the weights move by at most {share:.1g} of their size in {steps} steps",
            clip=recipe.clip,
            share=reach / size,
            steps=steps,
        )
        return Cause(sentence, command("--set", f"clip={original.clip if original.clip > 10 * recipe.clip else 1:g}"))
    return None


def of_frozen_layers(task: Task, net: nn.Module) -> Cause | None:
    """Layers that are not trained although their weights are random; None if most weights are trained."""
    weights = [p for p in net.parameters() if p.dim() > 1]
    trained = sum(p.requires_grad for p in weights)
    if task.trained or trained >= _FROZEN * len(weights):
        return None
    sentence = _(
        "only {trained:,} of {total:,} layers are trained, and the others keep random weights",
        trained=trained,
        total=len(weights),
    )
    return Cause(sentence, "--set freeze=none" if task.recipe.freeze else "net.requires_grad_(True)")


def of_dropout(task: Task, net: nn.Module) -> Cause | None:
    """A dropout that leaves hardly any unit, or a DropConnect that leaves hardly any weight; None if there is none."""
    dropped = max((layer.p for layer in net.modules() if isinstance(layer, DropConnect)), default=0.0)
    if dropped > _HIGH_DROPOUT:
        sentence = _("DropConnect removes {p:.0%} of the weights in each step", p=dropped)
        return Cause(sentence, task.net_setting("dropconnect", 0.5))
    p = max((float(layer.p) for layer in net.modules() if isinstance(layer, _DropoutNd)), default=0.0)
    if p <= _HIGH_DROPOUT:
        return None
    return Cause(_("dropout removes {p:.0%} of the units in each step", p=p), task.net_setting("dropout", 0.5))
