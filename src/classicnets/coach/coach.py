"""The subscriber of a session that runs the checks and turns findings into advice.

Each fault is reported once, with one suggestion. A sound run gets no advice; studies/coach.py measures both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from classicnets.coach.checks import (
    Finding,
    Task,
    check_images,
    check_initial_weights,
    check_labels,
    check_layers,
    check_loss,
    check_validation,
    check_waiting,
)
from classicnets.coach.plateau import Plateau, Progress, output_spread
from classicnets.events import Advice, Epoch, Event
from classicnets.images.transforms import prepare
from classicnets.inspection.health import Health, examine
from classicnets.training.session import Session
from classicnets.values import Recipe

# Faults that prevent learning. Only the first is reported, because the others follow from it: images that are all alike
# cause dead units and a loss at ln C, and the suggestion must be the one for the images.
_NO_LEARNING = {
    "constant_pictures",
    "pictures_out_of_range",
    "not_finite",
    "loss_grows",
    "dead_relus",
    "saturated_sigmoids",
    "stuck_at_chance",
}
_IGNORES_IMAGES = 0.01  # spread of the outputs of a network that does not tell images apart; see `output_spread`
_SMALL_IMAGE = 64  # height and width in pixels; of larger images fewer are examined


def watch(session: Session) -> Coach:
    """Subscribe a coach to the session and return it."""
    plan, data = session.plan, session.batches
    count = min(256 if plan.preprocess.image_size <= _SMALL_IMAGE else 32, len(data.labels))
    probe = prepare(data.images(torch.arange(count)), plan.preprocess)
    coach = Coach(replace(plan.recipe, data=plan.data), plan.description.classes, probe, data.labels)
    session.subscribe(coach)
    return coach


class Coach:
    """Observer of one run of any classifier that gives advice. Layers are examined if they are modules.

    Args:
        recipe: the recipe of the run.
        classes: the names of the classes.
        probe: preprocessed training images [N, C, H, W] on the network's device; up to 256 are enough.
        labels: int64 labels [n] of the whole training split.
    """

    def __init__(self, recipe: Recipe, classes: tuple[str, ...], probe: Tensor, labels: Tensor) -> None:
        counts = torch.bincount(labels.cpu(), minlength=len(classes))
        self.task, self.probe = Task(recipe, classes, counts), probe
        self.progress = Progress()
        self.plateau = Plateau(self.task)
        self.reported_topics: set[str] = set()

    def on_resume(self, past: Iterable[Event]) -> None:
        """Take in the events of a run that is resumed, so that no advice is repeated.

        How the network changes is compared from here on.
        """
        for event in past:
            if isinstance(event, Advice):
                self.reported_topics.add(event.topic)
            else:
                self.progress.add(event)

    def on_start(self, net: nn.Module) -> list[Advice]:
        """Return advice on the images, the labels and the initial weights, before the first epoch."""
        findings = self._new(check_labels(self.task)) + self._new(check_images(self.task, self.probe))
        health = self._examine(net)
        if health is not None:
            self.plateau.start(net, health)
            findings += self._new(check_initial_weights(self.task, self.probe, health))
        return [_advice(finding, epoch=1, step=0) for finding in findings]

    def on_event(self, event: Event, net: nn.Module) -> list[Advice]:
        """Return advice after a Step with a loss or an Epoch.

        The network is examined after each epoch, and in the first epoch after each such step.
        """
        if isinstance(event, Advice) or event.loss is None:
            return []
        self.progress.add(event)
        findings = self._new(check_loss(self.task, event.loss))
        if isinstance(event, Epoch):
            findings += self._new(check_validation(self.task.recipe, self.progress.epochs))
            findings += self._new(check_waiting(self.progress.epochs))
        health = self._examine(net) if isinstance(event, Epoch) or event.epoch == 1 else None
        if health is not None:
            # A layer may lose most of its units for a while and recover (alexnet_28 with the weights of 2012: 0.86,
            # then 0.37), and trained tanh units may be near their limits. It is a fault if the network then ignores
            # the images.
            if not output_spread(health) >= _IGNORES_IMAGES:  # or not a number
                findings += self._new(check_layers(health, self.task.lower_rate))
            if isinstance(event, Epoch) or self.plateau.snapshot is None:
                findings += self._new(self.plateau.check(net, health, event.epoch, self.progress))
        return [_advice(finding, epoch=event.epoch, step=self.progress.step) for finding in findings]

    def _new(self, finding: Finding | None) -> list[Finding]:
        """The finding in a list, unless its topic has been reported; of what prevents learning only the first."""
        if finding is None or finding.topic in self.reported_topics:
            return []
        if finding.topic in _NO_LEARNING and self.reported_topics & _NO_LEARNING:
            return []
        self.reported_topics.add(finding.topic)
        return [finding]

    def _examine(self, net: nn.Module) -> Health | None:
        """The health of the network; None if nothing more can be reported on it, or if it has lazy layers."""
        return None if self.reported_topics & _NO_LEARNING else examine(net, self.probe)


def _advice(finding: Finding, *, epoch: int, step: int) -> Advice:
    return Advice(epoch=epoch, step=step, topic=finding.topic, message=finding.message, hint=finding.hint)
