"""The state of a training run: what is saved, and what everything that follows depends on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from classicnets.runs.checkpoint import part
from classicnets.training import optim
from classicnets.values import Recipe

_STORED = ("epoch", "step", "images", "seconds", "waited", "best", "best_loss", "stale", "drops", "stopped")
_RENAMED = {"waited": "wait_seconds", "stale": "stale_epochs"}
_FACTS = {key: _RENAMED.get(key, key) for key in _STORED}  # attributes, by their keys in a checkpoint


class State:
    """Everything that changes while training: the weights and their average, the position, the sums of the epoch in
    progress, the best validation accuracy so far and the loss it came with.

    `epoch` counts finished epochs. `step`, `images`, `seconds` and the seconds `waited` for data are counters for the
    epoch in progress. `stale` counts the epochs since the best or the last drop of the rate, `drops` these drops;
    `stopped` is set when no epoch is to follow.
    """

    def __init__(self, net: nn.Module, recipe: Recipe):
        self.net = net
        self.optimizer = optim.make(net, recipe)
        self.average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema)) if recipe.ema else None
        self.epoch = self.step = self.images = self.stale_epochs = self.drops = 0
        self.seconds = self.wait_seconds = 0.0
        self.loss_sum: Tensor | float = 0.0
        self.correct: Tensor | int = 0
        self.best = -1.0
        self.best_loss = 0.0
        self.stopped = False

    @property
    def evaluated_net(self) -> nn.Module:
        """The net that is evaluated and kept: the one with the averaged weights where there is one."""
        return self.net if self.average is None else self.average.module

    def means(self) -> tuple[float, float]:
        """The mean loss and the accuracy over the images of the epoch so far; waits for the device."""
        return float(self.loss_sum) / self.images, float(self.correct) / self.images

    def end_epoch(self) -> None:
        """Counts the epoch in progress as finished."""
        self.epoch, self.step, self.images, self.loss_sum, self.correct = self.epoch + 1, 0, 0, 0.0, 0
        self.seconds = self.wait_seconds = 0.0

    def tensors(self) -> dict[str, Tensor]:
        """Weights, optimizer state and generators, by name."""
        found = {f"net/{name}": tensor for name, tensor in self.net.state_dict().items()}
        if self.average is not None:
            found |= {f"average/{name}": tensor for name, tensor in self.evaluated_net.state_dict().items()}
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
        return {key: getattr(self, name) for key, name in _FACTS.items()}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Puts back what `tensors` and `facts` gave."""
        self.net.load_state_dict(part(tensors, "net/"))
        if self.average is not None:
            self.evaluated_net.load_state_dict(part(tensors, "average/"))
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
        for key, name in _FACTS.items():
            setattr(self, name, facts[key])
