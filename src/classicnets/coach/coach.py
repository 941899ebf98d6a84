"""The subscriber of a session that runs the checks and turns findings into advice.

Each fault is reported once, with one suggestion. A sound run gets no advice; studies/coach.py measures both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from classicnets.coach import causes
from classicnets.coach.checks import (
    check_label_noise,
    check_loss,
    check_slow,
    check_validation,
    check_vanishing,
    check_waiting,
    describe,
)
from classicnets.coach.data import check_batch_size, check_images, check_labels
from classicnets.coach.initial import (
    check_equal_units,
    check_initial_weights,
    check_layers,
    check_outputs,
    check_trained_weights,
    classifies,
)
from classicnets.coach.plateau import Plateau, Progress, output_spread
from classicnets.coach.task import Finding, Sample, Task
from classicnets.errors import UsageError
from classicnets.events import Advice, Epoch, Event
from classicnets.images.batches import order
from classicnets.images.transforms import prepare
from classicnets.inspection.health import Health, examine
from classicnets.recipes import resolve
from classicnets.training.plan import Plan
from classicnets.training.session import Session
from classicnets.values import Recipe

# Causes that prevent learning: of images that are all alike, everything else follows; of a network that is built so
# that little gradient passes, that it learns little.
_OF_IMAGES = {"constant_pictures", "pictures_out_of_range", "one_class"}
_OF_NETWORK = {"softmax_output", "relu_output", "equal_weights", "equal_units", "no_activation"}
# Symptoms: only the first is reported, and none that follows from a cause, so that the suggestion is the one for the
# cause.
_SMALL_STEPS = {
    "dead_relus",
    "saturated_sigmoids",
    "stuck_at_chance",
    "weights_vanish",
    "rate_low",
    "dropout_high",
    "layers_frozen",
    "label_noise",
}
_LARGE_STEPS = {"not_finite", "loss_grows", "trained_weights_lost", "first_loss_high"}
_SYMPTOMS = _SMALL_STEPS | _LARGE_STEPS
# Topics of `inspection.classifier` and of the coach for the same fault.
_SAME = {"equal_units": "equal_weights", "equal_weights": "equal_units"}

_IGNORES_IMAGES = 0.01  # spread of the outputs of a network that does not tell images apart; see `output_spread`
_SMALL_IMAGE = 64  # height and width in pixels; of larger images fewer are examined


def watch(session: Session, known_topics: Iterable[str] = ()) -> Coach:
    """Subscribes a coach to the session and returns it.

    Args:
        session: the session.
        known_topics: topics of faults that have been reported already.
    """
    plan, data = session.plan, session.batches
    count = 256 if plan.preprocess.image_size <= _SMALL_IMAGE else 32
    # drawn from all images, since a folder of images is sorted by class
    index = order(data.train_count, 0, 0)[:count].sort().values
    labels = data.labels[: data.train_count]
    sample = Sample(prepare(data.images(index), plan.preprocess), labels[index.to(labels.device)], plan.preprocess)
    task = Task(
        recipe=replace(plan.recipe, data=plan.data),
        original=_original_recipe(plan),
        classes=plan.description.classes,
        counts=torch.bincount(labels.cpu(), minlength=len(plan.description.classes)),
        trained=bool(plan.weights),
        in_python=plan.net is not None,
    )
    coach = Coach(task, sample, known_topics=known_topics, weights=plan.weights)
    session.subscribe(coach)
    return coach


def _original_recipe(plan: Plan) -> Recipe:
    """The recipe of a plan before settings were changed."""
    if isinstance(plan.spec.recipe, Recipe):
        return plan.spec.recipe
    network = plan.net_spec
    registered = network.kind == "registry"
    try:
        return resolve.find(plan.recipe.source, network.spec, registered=registered, variation=network.variation)
    except UsageError:  # a run of another version
        return plan.recipe


class Coach:
    """Observer of one run of any classifier that gives advice. Layers are examined if they are modules.

    Args:
        task: the recipe, the classes and the labels of the run.
        sample: some training images; up to 256 are enough.
        known_topics: topics of faults that have been reported already. They are not reported again, nor is what
            follows from them.
        weights: file of the trained initial weights, or "".
    """

    def __init__(self, task: Task, sample: Sample, *, known_topics: Iterable[str] = (), weights: str = "") -> None:
        self.task, self.sample, self.weights = task, sample, weights
        self.progress = Progress()
        self.plateau = Plateau()
        self.first_loss: float | None = None  # before the first step, of the sample
        self.reported_topics = set(known_topics)

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
        """Advice on the images, the labels and the initial weights, before the first epoch."""
        health = self._examine(net)
        if health is not None and classifies(self.task, self.sample, health):
            self.task = replace(self.task, trained=True)
        findings = list[Finding]()
        if self.task.exact:
            findings = self._new(check_labels(self.task)) + self._new(check_batch_size(self.task))
        # A network that classifies has seen such images.
        if health is None or not classifies(self.task, self.sample, health):
            findings += self._new(check_images(self.task, self.sample))
        if health is not None:
            self.plateau.start(net, health)
            self.first_loss = self.task.loss(health.logits, self.sample.labels)
            findings += self._new(check_outputs(self.task, health))
            if self.task.trained:
                findings += self._new(check_trained_weights(self.task, health, self.weights))
            else:
                findings += self._new(check_equal_units(net))
                findings += self._new(check_initial_weights(self.task, self.sample, health))
        return [_advice(finding, epoch=1, step=0) for finding in findings]

    def on_labels(self, counts: Tensor) -> list[Advice]:
        """Return advice on the labels of all images [classes], where they are known only after the first epoch."""
        self.task = replace(self.task, counts=counts, exact=True)
        return [_advice(finding, epoch=1, step=0) for finding in self._new(check_labels(self.task))]

    def on_event(self, event: Event, net: nn.Module) -> list[Advice]:
        """Return advice after a Step with a loss or an Epoch.

        The network is examined after each epoch, and in the first epoch after each such step.
        """
        if isinstance(event, Advice):  # of another part of the session
            self.reported_topics.add(event.topic)
            return []
        if event.loss is None:
            return []
        self.progress.add(event)
        task, sample = self.task, self.sample
        finding = check_loss(task, sample, event.loss, self.first_loss)
        if finding is not None and not math.isfinite(event.loss):
            # The run ends, and the error has the hint, whatever has been reported before.
            return [_advice(finding, epoch=event.epoch, step=self.progress.step)]
        findings = self._new(finding)
        if isinstance(event, Epoch):
            findings += self._new(check_validation(task, self.progress.epochs))
            findings += self._new(check_waiting(self.progress.epochs))
        health = self._examine(net) if isinstance(event, Epoch) or event.epoch == 1 else None
        if health is not None:
            # A layer may lose most of its units for a while and recover (alexnet_28 with the weights of 2012: 0.86,
            # then 0.37), and trained tanh units may be near their limits. It is a fault if the network then ignores
            # the images.
            if not output_spread(health) >= _IGNORES_IMAGES:  # or not a number
                findings += self._new(check_vanishing(task, self.plateau.size(net, health)))
                cause = causes.of_divergence(task, sample)
                finding = check_layers(health, cause.hint)
                if finding is not None:
                    findings += self._new(finding._replace(message=describe(cause, finding.message)))
            if isinstance(event, Epoch) or self.plateau.snapshot is None:
                findings += self._new(self.plateau.check(task, sample, net, health, event.epoch, self.progress))
            if isinstance(event, Epoch):
                findings += self._new(check_slow(task, net, event, self.progress.steps_per_epoch))
                findings += self._new(check_label_noise(task, sample, health, self.progress.epochs))
        return [_advice(finding, epoch=event.epoch, step=self.progress.step) for finding in findings]

    def _new(self, finding: Finding | None) -> list[Finding]:
        """The finding in a list, unless it has been reported, or follows from what has been reported."""
        if finding is None or {finding.topic, _SAME.get(finding.topic)} & self.reported_topics:
            return []
        if finding.topic in _SYMPTOMS and self.reported_topics & (_SYMPTOMS | _OF_IMAGES):
            return []
        if finding.topic in _SMALL_STEPS and self.reported_topics & _OF_NETWORK:
            return []
        self.reported_topics.add(finding.topic)
        return [finding]

    def _examine(self, net: nn.Module) -> Health | None:
        """The health of the network; None if nothing more can be reported on it, or if it has lazy layers."""
        return None if self.reported_topics & (_SYMPTOMS | _OF_IMAGES) else examine(net, self.sample.images)


def _advice(finding: Finding, *, epoch: int, step: int) -> Advice:
    return Advice(epoch=epoch, step=step, topic=finding.topic, message=finding.message, hint=finding.hint)
