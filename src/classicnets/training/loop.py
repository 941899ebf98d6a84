"""The training loop, the same for every recipe: a generator of events."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from classicnets.acceleration.prepare import PLAIN, Acceleration, prepared
from classicnets.events import Epoch, Event, Step
from classicnets.images.batches import Batches
from classicnets.models.modules import in_dtype_of, layers_with_weights, own_weights
from classicnets.text import plural
from classicnets.training import optim
from classicnets.training.group import Gradients
from classicnets.training.objective import Objective
from classicnets.training.state import State
from classicnets.values import Recipe

REPORTS_PER_EPOCH = 5  # steps with a loss, as often as the book draws a point


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Results of the evaluation after an epoch; None for a split that is not evaluated."""

    validation_accuracy: float | None = None
    validation_loss: float | None = None
    test_accuracy: float | None = None


def train(
    state: State,
    batches: Batches,
    recipe: Recipe,
    objective: Objective,
    evaluate: Callable[[], Scores],
    acceleration: Acceleration = PLAIN,
) -> Generator[Event, None, None]:
    """Train `state` in place to the end of the recipe.

    The caller may save `state` at any event: what follows depends only on it and on `acceleration`.

    Args:
        state: the state of training, new or restored.
        batches: the training images.
        recipe: the hyperparameters.
        objective: the loss.
        evaluate: called after each epoch.
        acceleration: how the network is accelerated; by default as in plain PyTorch.

    Yields:
        A Step after each step, and an Epoch after each epoch.
    """
    opened = state.group.gradients(state.net, acceleration, batches.seed)
    with prepared(state.net, acceleration), opened as gradients:
        while state.epoch < recipe.epochs and not state.stopped:
            yield from _train_epoch(state, batches, recipe, objective, gradients)
            started = time.perf_counter()
            scores = evaluate()
            yield _end_epoch(state, recipe, scores, time.perf_counter() - started)


def _train_epoch(
    state: State, batches: Batches, recipe: Recipe, objective: Objective, gradients: Gradients | None
) -> Iterator[Step]:
    """The remaining steps of the epoch."""
    train_mode(state.net)
    epoch, steps = state.epoch + 1, batches.steps(state.epoch + 1)
    report_every = max(1, steps // REPORTS_PER_EPOCH)
    started = time.perf_counter()  # neither saving nor showing an event counts as training
    for x, y in batches.epoch(epoch, state.step):
        state.wait_seconds += time.perf_counter() - started
        take_step(state, x, y, _rate(state, recipe, state.step, steps), recipe, objective, gradients)
        report = state.step % report_every == 0 or state.step == steps
        loss, accuracy = state.means() if report else (None, None)
        state.seconds += time.perf_counter() - started
        yield Step(
            epoch=epoch,
            step=state.step,
            steps=steps,
            images=state.images,
            seconds=state.seconds,
            loss=loss,
            accuracy=accuracy,
        )
        started = time.perf_counter()


def take_step(
    state: State,
    x: Tensor,
    y: Tensor,
    rate: float,
    recipe: Recipe,
    objective: Objective,
    gradients: Gradients | None = None,
) -> None:
    """Train on one batch: forward pass, loss, backward pass, update of the weights.

    The sums of loss and accuracy stay on the device, to avoid synchronizing with it.

    Args:
        state: the state, updated in place.
        x: preprocessed images of this process's rows of the batch [rows, C, H, W]; these are all rows if it is alone.
        y: labels of the whole batch [N].
        rate: the learning rate of this step.
        recipe: the hyperparameters.
        objective: the loss.
        gradients: computes the gradients, if given.
    """
    x = in_dtype_of(state.net, x)
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    own = y
    if gradients is not None:
        loss, logits = gradients.backward(x, y, objective, recipe.precision, (state.epoch, state.step))
        rows = gradients.rows(len(y))
        own = y[rows.start : rows.stop]
    else:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            logits = state.net(x)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = objective(logits, y)
        loss.backward()
    if recipe.clip and gradients is not None:
        gradients.clip(recipe.clip)
    elif recipe.clip:
        clip_grad_norm_(state.net.parameters(), recipe.clip)
    state.optimizer.step()
    state.optimizer.zero_grad()  # now, so that gradients take no memory while the state is saved
    if state.average is not None:
        state.average.update_parameters(state.net)
    with torch.no_grad():
        state.loss_sum = state.loss_sum + loss.detach() * len(y)
        state.correct = state.correct + (logits.argmax(dim=1) == own).sum()
    state.images += len(y)
    state.step += 1


def train_mode(net: nn.Module) -> None:
    """Set training mode, except in frozen layers, so that their running statistics do not change."""
    net.train()
    for layer in layers_with_weights(net).values():
        if not any(p.requires_grad for p in own_weights(layer)):
            layer.training = False
            for parametrization in getattr(layer, "parametrizations", {}).values():
                parametrization.eval()


def _rate(state: State, recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate after `step` of the epoch's `steps`."""
    return optim.rate(recipe, (state.epoch + step / steps) / recipe.epochs, state.drops)


def _end_epoch(state: State, recipe: Recipe, scores: Scores, evaluation_seconds: float) -> Epoch:
    """The event of the finished epoch; resets the counters of the epoch in `state`."""
    loss, accuracy = state.means()
    last_rate = _rate(state, recipe, state.step - 1, state.step)
    best = _update_best(state, recipe, scores)
    epoch = Epoch(
        epoch=state.epoch + 1,
        epochs=recipe.epochs,
        loss=loss,
        accuracy=accuracy,
        validation_accuracy=scores.validation_accuracy,
        validation_loss=scores.validation_loss,
        test_accuracy=scores.test_accuracy,
        lr=last_rate,
        seconds=state.seconds,
        evaluation_seconds=evaluation_seconds,
        images_per_second=state.images / state.seconds,
        wait_share=state.wait_seconds / state.seconds,
        best=best,
        stops=_stop_reason(recipe) if state.stopped else "",
        slowest=state.group.slowest(),
    )
    state.end_epoch()
    return epoch


def _stop_reason(recipe: Recipe) -> str:
    return plural(
        "no better validation accuracy for {n} epoch", "no better validation accuracy for {n} epochs", recipe.patience
    )


def _update_best(state: State, recipe: Recipe, scores: Scores) -> bool:
    """Return whether the epoch is the best so far; lower the rate or stop training as `patience` requires.

    Of equal accuracies, which a small validation set often gives, the one with the lower loss is the best; `patience`
    requires a higher accuracy. With `join_after` there is no best, because the validation set is trained on later.
    """
    accuracy, loss = scores.validation_accuracy, scores.validation_loss or 0.0
    if accuracy is None or recipe.join_after:
        accuracy = -1.0  # value of a new state, which is never better
    higher = accuracy > state.best
    best = higher or (accuracy == state.best and loss < state.best_loss)
    if best:
        state.best, state.best_loss = accuracy, loss
    state.stale_epochs = 0 if higher else state.stale_epochs + 1
    if recipe.patience and state.stale_epochs >= recipe.patience:
        if recipe.schedule == "plateau" and state.drops < optim.DROPS:
            state.drops, state.stale_epochs = state.drops + 1, 0
        else:
            state.stopped = True
    return best
