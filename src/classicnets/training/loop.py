"""The one training loop, plain, the same for every recipe: a generator of events that others show and store."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from classicnets.acceleration.batch_split import BatchSplit
from classicnets.acceleration.prepare import PLAIN, Acceleration, prepared
from classicnets.events import Epoch, Event, Step
from classicnets.images.batches import Batches
from classicnets.training import optim
from classicnets.training.objective import Objective
from classicnets.training.state import State
from classicnets.values import Recipe

REPORTS_PER_EPOCH = 5  # as often as the book draws a point


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What evaluation after an epoch gives; None for what is not evaluated."""

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
    """Trains `state` in place from where it is to the end of the recipe, yielding a Step after each step and an Epoch
    after each epoch. `evaluate` is called after each epoch.

    The caller may save `state` at any event: what follows depends on it and on `acceleration` only.
    """
    with prepared(state.net, acceleration), batch_splitter(state.net, acceleration, batches.seed) as split:
        while state.epoch < recipe.epochs and not state.stopped:
            yield from _train_epoch(state, batches, recipe, objective, split)
            started = time.perf_counter()
            scores = evaluate()
            yield _end_epoch(state, recipe, scores, time.perf_counter() - started)


def _train_epoch(
    state: State, batches: Batches, recipe: Recipe, objective: Objective, split: BatchSplit | None
) -> Iterator[Step]:
    """The steps of an epoch that are left."""
    train_mode(state.net)
    epoch, steps = state.epoch + 1, batches.steps(state.epoch + 1)
    report_every = max(1, steps // REPORTS_PER_EPOCH)
    started = time.perf_counter()  # neither saving nor showing an event counts as training
    for x, y in batches.epoch(epoch, state.step):
        state.wait_seconds += time.perf_counter() - started
        take_step(state, x, y, _rate(state, recipe, state.step, steps), recipe, objective, split)
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
    split: BatchSplit | None = None,
) -> None:
    """One batch: forward, loss, backward, update; sums stay on the device so that nothing waits for it.

    Threads share the forward and backward pass if there is a `split`.
    """
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    if split is not None:
        loss, logits = split.backward(x, y, objective, recipe.precision, (state.epoch, state.step))
    else:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            logits = state.net(x)
        logits = logits.float()
        loss = objective(logits, y)
        loss.backward()
    if recipe.clip:
        clip_grad_norm_(state.net.parameters(), recipe.clip)
    state.optimizer.step()
    state.optimizer.zero_grad()  # here, so that gradients take no memory while the state is saved
    if state.average is not None:
        state.average.update_parameters(state.net)
    with torch.no_grad():
        state.loss_sum = state.loss_sum + loss.detach() * len(y)
        state.correct = state.correct + (logits.argmax(dim=1) == y).sum()
    state.images += len(y)
    state.step += 1


def batch_splitter(net: nn.Module, acceleration: Acceleration, seed: int) -> AbstractContextManager[BatchSplit | None]:
    """What divides batches among threads, to be opened; None if nothing does."""
    threads = acceleration.batch_threads
    return BatchSplit(net, threads, seed) if threads > 1 else nullcontext()


def train_mode(net: nn.Module) -> None:
    """Training mode, except for layers whose weights are all frozen: they stay as they are, running statistics too."""
    net.train()
    for layer in net.modules():
        parameters = list(layer.parameters(recurse=False))
        if parameters and not any(p.requires_grad for p in parameters):
            layer.eval()


def _rate(state: State, recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of the step that follows `step` of the epoch's `steps`."""
    return optim.rate(recipe, (state.epoch + step / steps) / recipe.epochs, state.drops)


def _end_epoch(state: State, recipe: Recipe, scores: Scores, evaluation_seconds: float) -> Epoch:
    """Sums up the epoch, and resets in `state` what counts within an epoch."""
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
        stops=f"no better validation accuracy for {recipe.patience} epochs" if state.stopped else "",
    )
    state.end_epoch()
    return epoch


def _update_best(state: State, recipe: Recipe, scores: Scores) -> bool:
    """Whether the epoch is the best so far; waits, drops the rate and stops as the recipe's `patience` says.

    Among equal accuracies, which a small validation set often gives, the lower loss is the best; `patience` asks for a
    higher accuracy. A validation set that is trained on later (`join_after`) can show no best.
    """
    accuracy, loss = scores.validation_accuracy, scores.validation_loss or 0.0
    if accuracy is None or recipe.join_after:
        accuracy = -1.0  # as good as none
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
