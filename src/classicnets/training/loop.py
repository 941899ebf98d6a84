"""The one training loop, plain, the same for every recipe: a generator of events that others show and store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.data.batches import Batches
from classicnets.training import optim
from classicnets.values import Epoch, Event, Recipe, Step

REPORTS_PER_EPOCH = 5  # as often as the book draws a point


@dataclass
class State:
    """Everything that changes while training: where it is, the sums of the epoch so far, the best so far.

    `epoch` counts finished epochs, `step` the steps taken in the one that follows.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    step: int = 0
    loss_sum: Tensor | float = 0.0
    correct: Tensor | int = 0
    images: int = 0
    best: float = -1.0

    def tensors(self) -> dict[str, Tensor]:
        """Weights, optimiser state and generators, by name."""
        found = {f"net/{name}": tensor for name, tensor in self.net.state_dict().items()}
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
        return {"epoch": self.epoch, "step": self.step, "images": self.images, "best": self.best}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Puts back what `tensors` and `facts` gave."""
        self.net.load_state_dict(part(tensors, "net/"))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in part(tensors, "optimizer/").items():
            index, key = name.split("/")
            state.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        torch.set_rng_state(tensors["generator/cpu"])
        if "generator/cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["generator/cuda"])
        self.loss_sum, self.correct = tensors["sums/loss"], tensors["sums/correct"]
        self.epoch, self.step, self.images, self.best = (facts[k] for k in ("epoch", "step", "images", "best"))


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


Watch = Callable[[], tuple[float | None, float | None]]


def fit(state: State, batches: Batches, recipe: Recipe, watch: Watch) -> Iterator[Event]:
    """Trains `state` in place from where it is to the end of the recipe, yielding a Step after each step and an Epoch
    after each epoch. `watch` gives (validation accuracy, test accuracy) after an epoch, None for what is not watched.

    The caller may save `state` at any event: what follows depends on it alone.
    """
    steps = len(batches)
    every = max(1, steps // REPORTS_PER_EPOCH)
    while state.epoch < recipe.epochs:
        state.net.train()
        epoch, first_images = state.epoch + 1, state.images
        rate = optim.rate(recipe, (state.epoch * steps + state.step) / (recipe.epochs * steps))
        started = ready = time.perf_counter()
        waited = 0.0
        for x, y in batches.epoch(epoch, state.step):
            waited += time.perf_counter() - ready
            rate = optim.rate(recipe, (state.epoch * steps + state.step) / (recipe.epochs * steps))
            _step(state, x, y, rate, recipe.label_smoothing)
            report = state.step % every == 0 or state.step == steps
            yield Step(
                epoch=epoch,
                step=state.step,
                steps=steps,
                images=state.images - first_images,
                seconds=time.perf_counter() - started,
                loss=float(state.loss_sum) / state.images if report else None,
                accuracy=float(state.correct) / state.images if report else None,
            )
            ready = time.perf_counter()
        seconds = ready - started
        validation, test = watch()
        best = validation is not None and validation > state.best
        event = Epoch(
            epoch=epoch,
            epochs=recipe.epochs,
            loss=float(state.loss_sum) / state.images,
            accuracy=float(state.correct) / state.images,
            validation_accuracy=validation,
            test_accuracy=test,
            lr=rate,
            seconds=seconds,
            evaluation_seconds=time.perf_counter() - ready,
            images_per_second=(state.images - first_images) / seconds,
            wait_share=waited / seconds,
            best=best,
        )
        state.best = validation if best and validation is not None else state.best
        state.epoch, state.step, state.images, state.loss_sum, state.correct = epoch, 0, 0, 0.0, 0
        yield event


def _step(state: State, x: Tensor, y: Tensor, rate: float, label_smoothing: float) -> None:
    """One batch: forward, loss, backward, update; sums stay on the device so that nothing waits for it."""
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.zero_grad()
    logits = state.net(x)
    loss = F.cross_entropy(logits, y, label_smoothing=label_smoothing)
    loss.backward()
    state.optimizer.step()
    with torch.no_grad():
        state.loss_sum = state.loss_sum + loss.detach() * len(y)
        state.correct = state.correct + (logits.argmax(dim=1) == y).sum()
    state.images += len(y)
    state.step += 1
