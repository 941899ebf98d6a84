"""The one training loop, plain, the same for every recipe: a generator of events that others show and store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from classicnets.events import Epoch, Event, Step
from classicnets.images.batches import Batches
from classicnets.models.pooling import QuickPooling
from classicnets.runs.checkpoint import part
from classicnets.training import optim
from classicnets.training.objective import Objective
from classicnets.values import Recipe

REPORTS_PER_EPOCH = 5  # as often as the book draws a point

_FACTS = ("epoch", "step", "images", "seconds", "waited", "best", "best_loss", "stale", "drops", "stopped")


class State:
    """Everything that changes while training: the weights and their average, where it is, the sums of the epoch so far,
    the best validation accuracy so far and the loss it came with.

    `epoch` counts finished epochs; `step`, `images`, `seconds` and the seconds `waited` for data what the one that
    follows took so far; `stale` the epochs since the best or the last drop of the rate, `drops` these drops; `stopped`
    is set when no epoch is to follow.
    """

    def __init__(self, net: nn.Module, recipe: Recipe):
        self.net = net
        self.optimizer = optim.make(net, recipe)
        self.average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema)) if recipe.ema else None
        self.epoch = self.step = self.images = self.stale = self.drops = 0
        self.seconds = self.waited = 0.0
        self.loss_sum: Tensor | float = 0.0
        self.correct: Tensor | int = 0
        self.best = -1.0
        self.best_loss = 0.0
        self.stopped = False

    @property
    def judged(self) -> nn.Module:
        """The net as it is evaluated and kept: with the average of the weights where there is one."""
        return self.net if self.average is None else self.average.module

    def tensors(self) -> dict[str, Tensor]:
        """Weights, optimiser state and generators, by name."""
        found = {f"net/{name}": tensor for name, tensor in self.net.state_dict().items()}
        if self.average is not None:
            found |= {f"average/{name}": tensor for name, tensor in self.judged.state_dict().items()}
            found["averaged"] = self.average.n_averaged
        for index, values in self.optimizer.state_dict()["state"].items():
            for key, value in values.items():
                if value is not None:  # SGD without momentum keeps a None
                    found[f"optimizer/{index}/{key}"] = torch.as_tensor(value)
        found["generator/cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            found["generator/cuda"] = torch.cuda.get_rng_state()
        found["sums/loss"] = torch.as_tensor(self.loss_sum)
        found["sums/correct"] = torch.as_tensor(self.correct)
        return found

    def facts(self) -> dict[str, Any]:
        """The rest of the state, as plain values."""
        return {name: getattr(self, name) for name in _FACTS}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Puts back what `tensors` and `facts` gave."""
        self.net.load_state_dict(part(tensors, "net/"))
        if self.average is not None:
            self.judged.load_state_dict(part(tensors, "average/"))
            self.average.n_averaged.copy_(tensors["averaged"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in part(tensors, "optimizer/").items():
            index, key = name.split("/")
            state.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        torch.set_rng_state(tensors["generator/cpu"])
        if "generator/cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["generator/cuda"])
        self.loss_sum, self.correct = tensors["sums/loss"], tensors["sums/correct"]
        for name in _FACTS:
            setattr(self, name, facts[name])


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What is known after an epoch beyond the training pictures; None for what is not watched."""

    validation_accuracy: float | None = None
    validation_loss: float | None = None
    test_accuracy: float | None = None


Watch = Callable[[], Watched]


def fit(state: State, batches: Batches, recipe: Recipe, objective: Objective, watch: Watch) -> Iterator[Event]:
    """Trains `state` in place from where it is to the end of the recipe, yielding a Step after each step and an Epoch
    after each epoch. `watch` is called after each epoch.

    The caller may save `state` at any event: what follows depends on it alone.
    """
    while state.epoch < recipe.epochs and not state.stopped:
        _train_mode(state.net)
        epoch, steps = state.epoch + 1, batches.steps(state.epoch + 1)
        every = max(1, steps // REPORTS_PER_EPOCH)
        ready = time.perf_counter()  # neither saving nor showing an event counts as training
        for x, y in batches.epoch(epoch, state.step):
            state.waited += time.perf_counter() - ready
            take_step(state, x, y, _rate(state, recipe, state.step, steps), recipe, objective)
            report = state.step % every == 0 or state.step == steps
            loss, accuracy = (float(s) / state.images if report else None for s in (state.loss_sum, state.correct))
            state.seconds += time.perf_counter() - ready
            yield Step(
                epoch=epoch,
                step=state.step,
                steps=steps,
                images=state.images,
                seconds=state.seconds,
                loss=loss,
                accuracy=accuracy,
            )
            ready = time.perf_counter()
        watched = watch()
        evaluation_seconds = time.perf_counter() - ready
        last_rate = _rate(state, recipe, steps - 1, steps)
        best = _judge(state, recipe, watched)
        event = Epoch(
            epoch=epoch,
            epochs=recipe.epochs,
            loss=float(state.loss_sum) / state.images,
            accuracy=float(state.correct) / state.images,
            validation_accuracy=watched.validation_accuracy,
            validation_loss=watched.validation_loss,
            test_accuracy=watched.test_accuracy,
            lr=last_rate,
            seconds=state.seconds,
            evaluation_seconds=evaluation_seconds,
            images_per_second=state.images / state.seconds,
            wait_share=state.waited / state.seconds,
            best=best,
            stops=f"no better validation accuracy for {recipe.patience} epochs" if state.stopped else "",
        )
        state.epoch, state.step, state.images, state.loss_sum, state.correct = epoch, 0, 0, 0.0, 0
        state.seconds = state.waited = 0.0
        yield event


def take_step(state: State, x: Tensor, y: Tensor, rate: float, recipe: Recipe, objective: Objective) -> None:
    """One batch: forward, loss, backward, update; sums stay on the device so that nothing waits for it."""
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    with QuickPooling(), torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
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


def _rate(state: State, recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of the step that follows `step` of the epoch's `steps`."""
    return optim.rate(recipe, (state.epoch + step / steps) / recipe.epochs, state.drops)


def _train_mode(net: nn.Module) -> None:
    """Training mode, but for layers whose weights are all frozen: they stay as they are, running statistics too."""
    net.train()
    for layer in net.modules():
        parameters = list(layer.parameters(recurse=False))
        if parameters and not any(p.requires_grad for p in parameters):
            layer.eval()


def _judge(state: State, recipe: Recipe, watched: Watched) -> bool:
    """Whether the epoch is the best so far; waits, drops the rate and stops as the recipe's `patience` says.

    Among equal accuracies, which few pictures kept aside often give, the lower loss is the best; `patience` asks for a
    higher accuracy. Pictures kept aside that are trained on later (`join_after`) can show no best.
    """
    accuracy, loss = watched.validation_accuracy, watched.validation_loss or 0.0
    if accuracy is None or recipe.join_after:
        accuracy = -1.0  # as good as none
    higher = accuracy > state.best
    best = higher or (accuracy == state.best and loss < state.best_loss)
    if best:
        state.best, state.best_loss = accuracy, loss
    state.stale = 0 if higher else state.stale + 1
    if recipe.patience and state.stale >= recipe.patience:
        if recipe.schedule == "plateau" and state.drops < optim.DROPS:
            state.drops, state.stale = state.drops + 1, 0
        else:
            state.stopped = True
    return best
