"""The state of a training run: everything that a checkpoint saves."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from classicnets.models.modules import copy_module
from classicnets.runs.checkpoint import part
from classicnets.training import optim
from classicnets.training.group import ALONE, Alone
from classicnets.values import Recipe

_STORED = ("epoch", "step", "images", "seconds", "waited", "best", "best_loss", "stale", "drops", "stopped")
_RENAMED = {"waited": "wait_seconds", "stale": "stale_epochs"}
_FACTS = {key: _RENAMED.get(key, key) for key in _STORED}  # attributes, by their keys in a checkpoint


class State:
    """Everything that changes during training: network, optimizer, average of the weights, position and counters.

    `epoch` is the number of finished epochs. `step`, `images`, `seconds` and `wait_seconds` (for data) are counters for
    the epoch in progress, `loss_sum` and `correct` its sums. `best` is the best validation accuracy so far and
    `best_loss` its loss; `stale_epochs` counts the epochs since then or since the last of the `drops` of the learning
    rate. `stopped` is set when training ends early.

    If a `group` of processes shares the run, `net`, `optimizer` and `average` are the parts of this process, and
    `loss_sum` and `correct` its terms; all of them call the methods.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, group: Alone = ALONE):
        self.net, self.group = net, group
        self.optimizer = optim.make(net, recipe)
        names = {id(parameter): name for name, parameter in net.named_parameters()}
        self._optimized = [names[id(p)] for group in self.optimizer.param_groups for p in group["params"]]
        self.average = _Average(net, recipe.ema) if recipe.ema else None
        self.epoch = self.step = self.images = self.stale_epochs = self.drops = 0
        self.seconds = self.wait_seconds = 0.0
        self.loss_sum: Tensor | float = 0.0
        self.correct: Tensor | int = 0
        self.best = -1.0
        self.best_loss = 0.0
        self.stopped = False

    @property
    def evaluated_net(self) -> nn.Module:
        """The network that is evaluated and saved as best: the one with averaged weights if there is one."""
        return self.net if self.average is None else self.average.module

    def means(self) -> tuple[float, float]:
        """Return the mean loss and accuracy over the images of the epoch so far; synchronizes with the device."""
        loss_sum, correct = self.group.sums([self.loss_sum, self.correct])
        return float(loss_sum) / self.images, float(correct) / self.images

    def is_finite(self) -> bool:
        """Return whether the loss of the epoch so far is finite; synchronizes with the device."""
        return math.isfinite(float(self.group.sums([self.loss_sum])[0]))

    def end_epoch(self) -> None:
        """Increment `epoch` and reset the counters of the epoch in progress."""
        self.epoch, self.step, self.images, self.loss_sum, self.correct = self.epoch + 1, 0, 0, 0.0, 0
        self.seconds = self.wait_seconds = 0.0

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights, optimizer state, random generators and sums, by key; whole in the first process."""
        return {key: self.group.whole(self.owner(key), tensor) for key, tensor in self.own_tensors().items()}

    def weights(self) -> dict[str, Tensor]:
        """Return the weights that are evaluated, by the keys of `tensors`; whole in the first process."""
        weights = self.evaluated_net.state_dict()
        return {f"net/{name}": self.group.whole(name, tensor) for name, tensor in weights.items()}

    def own_tensors(self) -> dict[str, Tensor]:
        """Return what `tensors` does, with this process's part of what is divided."""
        result = {f"net/{name}": tensor for name, tensor in self.net.state_dict().items()}
        if self.average is not None:
            result |= {f"average/{name}": tensor for name, tensor in self.evaluated_net.state_dict().items()}
            result["averaged"] = self.average.n_averaged
        for index, values in self.optimizer.state_dict()["state"].items():
            for key, value in values.items():
                if value is not None:  # SGD without momentum has a None
                    result[f"optimizer/{index}/{key}"] = torch.as_tensor(value)
        result["generator/cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            result["generator/cuda"] = torch.cuda.get_rng_state()
        result["sums/loss"], result["sums/correct"] = self.group.sums([self.loss_sum, self.correct])
        return result

    def owner(self, key: str) -> str:
        """Return the name of the parameter or buffer that a key of `tensors` belongs to; "" if there is none."""
        kind, _slash, name = key.partition("/")
        if kind == "optimizer":
            return self._optimized[int(name.split("/", maxsplit=1)[0])]
        return name if kind in {"net", "average"} else ""

    def facts(self) -> dict[str, Any]:
        """Return the rest of the state, as plain values."""
        return {key: getattr(self, name) for key, name in _FACTS.items()}

    def own_rows(self, key: str, shape: torch.Size) -> range | None:
        """Return the rows of a whole tensor of `tensors` that this process needs in `restore`; None for all."""
        return self.group.rows_of(self.owner(key), shape)

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Restore the state from the results of `own_tensors`, or from those rows of `tensors`, and of `facts`."""
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
        if self.group.rank == 0:  # the sums of the other processes begin at 0
            self.loss_sum, self.correct = tensors["sums/loss"], tensors["sums/correct"]
        for key, name in _FACTS.items():
            setattr(self, name, facts[key])


class _Average(AveragedModel):
    """An exponential moving average of the weights; also of layers that copy.deepcopy cannot copy."""

    def __init__(self, net: nn.Module, decay: float):
        super().__init__(nn.Identity(), multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.module = copy_module(net)
