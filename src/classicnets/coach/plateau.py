"""Detects a network that is stuck at chance, and tells it from one that is slow to leave the plateau."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from classicnets.coach import causes
from classicnets.coach.checks import describe
from classicnets.coach.task import Cause, Finding, Sample, Task
from classicnets.events import Epoch, Step
from classicnets.inspection.health import Health
from classicnets.text import _

_MIN_STEPS = 200  # between snapshots; fewer say nothing about a plateau: the book's LeNet needs up to 250 to leave it
_GROWTH = 2.0  # factor of the spread: a network that leaves the plateau mostly gains 4 to 40 times in 200 steps
_FLAT = 2  # comparisons in a row; the book's LeNet may grow only 1.7 times in its first 235 steps, and then learns
# Below this spread no growth counts: the book's LeNet starts with 0.0003 to 0.0006, and a network whose weights start
# as N(0, 0.01) has 0.00001 after 400 steps.
_NO_SPREAD = 0.0001
_STILL = 0.01  # a layer whose weights moved by less in that time does not train
# A network at chance has a spread of 0.003 to 0.03 if only the labels are noise, and of 0 to 0.0005 if no signal gets
# through.
_DISCRIMINATES = 0.002
# A loss this near to that of guessing has been reached by training: that of random weights is 0.5 % higher and more.
_FITTED, _FITTED_MOVEMENT = 0.002, 0.001
_LOWERED = 0.1  # times the recipe's learning rate
_SAMPLE = 1000  # weights of each layer in a snapshot


def output_spread(health: Health) -> float:
    """Return how much the outputs depend on the image: the standard deviation of the log-probabilities over the images.

    It is 1 and more in a network that has learned something, and below 0.01 in one that ignores the image.
    """
    return float(health.logits.log_softmax(dim=1).std(dim=0).mean())


class Progress:
    """The recorded steps and epochs of a run."""

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []
        self.steps_per_epoch = 0
        self._sums = [_Sums(0, 0.0, 0.0)]

    def add(self, event: Step | Epoch) -> None:
        """Take in the next event."""
        if isinstance(event, Epoch):
            self.epochs.append(event)
        elif event.loss is not None and event.accuracy is not None:
            if event.step <= self.step:
                self._sums = [_Sums(0, 0.0, 0.0)]
            self._sums.append(_Sums(event.step, event.loss * event.step, event.accuracy * event.step))
            self.steps_per_epoch = event.steps

    @property
    def step(self) -> int:
        """The last recorded step within its epoch."""
        return self._sums[-1].step

    def recent(self) -> tuple[float, float, int]:
        """Return the mean loss and accuracy over about the last fifth of the epoch so far, and its number of steps."""
        last = self._sums[-1]
        first = [sums for sums in self._sums if sums.step <= 0.81 * last.step][-1]
        steps = last.step - first.step
        return (last.loss - first.loss) / steps, (last.correct - first.correct) / steps, steps


@dataclass
class _Sums:
    """Sums over the first steps of an epoch."""

    step: int
    loss: float
    correct: float


@dataclass
class _Snapshot:
    """What is compared some hundred steps later: the spread of the outputs, and a sample of each layer's weights."""

    step: int  # since the start of training
    spread: float
    weights: dict[str, Tensor]

    @classmethod
    def of(cls, net: nn.Module, health: Health, step: int) -> _Snapshot:
        weights = {
            name: p.detach().flatten()[:_SAMPLE].clone()
            for name, p in net.named_parameters()
            if p.dim() > 1 and p.requires_grad
        }
        return cls(step, output_spread(health), weights)

    def movement(self, earlier: _Snapshot) -> float:
        """Return the relative change of the weights since `earlier`, in the layer where it is largest."""
        changes = [
            float((weights - earlier.weights[name]).norm() / earlier.weights[name].norm().clamp(min=1e-12))
            for name, weights in self.weights.items()
            if name in earlier.weights
        ]
        return max(changes, default=math.inf)

    def size(self, earlier: _Snapshot) -> float:
        """Size of the weights relative to `earlier`, in the layer where it is largest."""
        sizes = {name: float(weights.norm()) for name, weights in earlier.weights.items()}
        ratios = [
            float(self.weights[name].norm()) / size for name, size in sizes.items() if size and name in self.weights
        ]
        return max(ratios, default=math.inf)


class Plateau:
    """Comparison of snapshots of a network, to decide whether it is stuck at chance.

    The loss does not show it: the book's LeNet is at chance for its whole first epoch and then learns. But the spread
    of its outputs grows in that time.
    """

    def __init__(self) -> None:
        self.first: _Snapshot | None = None
        self.snapshot: _Snapshot | None = None
        self.flat = 0

    def start(self, net: nn.Module, health: Health) -> None:
        """Take the first snapshot, of the untrained network."""
        self.first = self.snapshot = _Snapshot.of(net, health, 0)

    def size(self, net: nn.Module, health: Health) -> float:
        """Size of the weights relative to the initial ones, in the layer where it is largest; infinite if unknown."""
        return math.inf if self.first is None else _Snapshot.of(net, health, 0).size(self.first)

    def check(
        self, task: Task, sample: Sample, net: nn.Module, health: Health, epoch: int, progress: Progress
    ) -> Finding | None:
        """A network that is at chance and whose outputs depend no more on the image than a snapshot ago."""
        step = (epoch - 1) * progress.steps_per_epoch + progress.step
        earlier, now = self.snapshot, _Snapshot.of(net, health, step)
        if earlier is not None and step - earlier.step < _MIN_STEPS:
            return None
        self.snapshot = now
        if earlier is None or task.recipe.loss != "cross_entropy":
            return None
        self.flat = 0 if now.spread > max(_GROWTH * earlier.spread, _NO_SPREAD) else self.flat + 1
        still = now.movement(earlier) < _STILL
        if self.flat < (1 if still else _FLAT):
            return None
        loss, accuracy, steps = progress.recent()
        n = task.image_count * steps / progress.steps_per_epoch
        share = task.largest_share
        at_chance = accuracy < 1.2 * share + 3 * math.sqrt(share * (1 - share) / n)
        # initial weights that do not change may have an accuracy above chance
        if loss < 0.98 * task.chance_loss() or not (at_chance or still):
            return None
        message = _describe_loss(loss, task.chance_loss(), len(task.classes))
        cause = _cause(task, sample, loss, earlier, now, net, health, progress)
        return Finding("stuck_at_chance", describe(cause, message), cause.hint)


def _cause(
    task: Task,
    sample: Sample,
    loss: float,
    earlier: _Snapshot,
    now: _Snapshot,
    net: nn.Module,
    health: Health,
    progress: Progress,
) -> Cause:
    """What explains that the network is at chance: the first of the causes whose evidence is there."""
    chance, steps = task.chance_loss(), now.step - earlier.step
    if any(epoch.loss < 0.9 * chance for epoch in progress.epochs):
        sentence = _("it was lower in an earlier epoch, so the network had learned before")
        return Cause(sentence, causes.of_divergence(task, sample).hint)
    frozen = causes.of_frozen_layers(task, net)
    if frozen is not None:
        return frozen
    movement = now.movement(earlier)
    noise = Cause(_("yet its outputs depend on the image, so check the labels"), task.data_check)
    if movement > _FITTED_MOVEMENT and abs(loss / chance - 1) < _FITTED and now.spread > _DISCRIMINATES:
        return noise
    if movement < _STILL:
        sentence = _(
            "the weights changed by only {movement:.1g} of their size in {steps} steps", movement=movement, steps=steps
        )
        return causes.of_stillness(task, net, steps) or Cause(sentence, task.higher_rate)
    if task.rate_factor <= _LOWERED:
        return Cause(task.rate_comparison, task.higher_rate)
    if health.saturated and not task.trained:  # there are sigmoids or tanh, through which little gradient passes
        hint = task.net_setting("activation", "relu")
        if not task.recipe.initialize.startswith("xavier_uniform"):
            hint = "--set initialize=xavier_uniform"
        return Cause("", hint)
    if loss < 1.05 * chance and now.spread > _DISCRIMINATES:
        return noise
    return causes.of_divergence(task, sample)


def _describe_loss(loss: float, chance: float, classes: int) -> str:
    """Compare the loss with that of guessing."""
    values = {"loss": loss, "chance": chance, "classes": classes}
    balanced = abs(chance - math.log(classes)) < 0.0005
    if loss > 1.05 * chance:
        if balanced:
            return _(
                "the loss is {loss:.3f}, and ln {classes} = {chance:.3f}: the network is worse than guessing", **values
            )
        return _(
            "the loss is {loss:.3f}, and guessing by class frequency gives {chance:.3f}: the network is worse", **values
        )
    if balanced:
        return _(
            "the loss is {loss:.3f}, and ln {classes} = {chance:.3f}: the network gives all {classes} classes the"
            " same probability",
            **values,
        )
    return _("the loss is {loss:.3f}, and guessing by class frequency gives {chance:.3f}", **values)
