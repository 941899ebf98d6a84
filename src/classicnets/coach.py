"""The coach: looks at the images, the labels and the net while it trains, and says what is wrong and what to try.

Each fault is said once, with one suggestion. A healthy run hears nothing; studies/coach.py shows both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from classicnets.events import Advice, Epoch, Event
from classicnets.images.transforms import prepare
from classicnets.inspection.health import Health, examine
from classicnets.training.session import Session
from classicnets.values import Recipe

# Faults that keep a net from learning. After one of them the others are its consequences, so that only the first is
# said: dead units and a loss at ln C follow from images that are all alike, and the suggestion is the one for those.
_NO_LEARNING = {
    "constant_pictures",
    "pictures_out_of_range",
    "not_finite",
    "loss_grows",
    "dead_relus",
    "saturated_sigmoids",
    "stuck_at_chance",
}
_LARGE_VALUE = 10.0  # of a prepared pixel: standardized images stay within 3, krizhevsky2012 reaches 130
_FAINT = 0.01  # spread of prepared pixels; Fashion-MNIST in 0..1 has 0.35
_HIGH_START = 3.0  # times the loss of guessing; healthy first weights, krizhevsky2012's too, give 0.9 to 1.2
_GROWTH = 10.0  # times the loss of guessing, over the epoch so far
# Units start as dead by chance up to one half, where the images make little difference yet (alexnet_28 as built
# 0.43); a net that learns has 0.05 to 0.25 of them, one whose rate was too high 0.9 and more.
_DEAD = 0.8
_SATURATED = 0.8  # of the book's trained LeNet 0.12; weights 50 times too large give 0.87, a rate too high 0.99
_LOOK_STEPS = 200  # fewer steps say nothing about a plateau; the book's LeNet needs up to 250 to leave it
_LOOK_GROWTH = (
    2.0  # a net on its way out of the plateau answers images ever more differently, mostly 4 to 40 times in 200
)
_FLAT = 2  # looks in a row; the book's LeNet may grow 1.7 times only in its first 235 steps, and then learns
# Whatever its growth, a spread below this is no way out: the book's LeNet begins with 0.0003 to 0.0006, one whose
# weights begin as N(0, 0.01) has 0.00001 after 400 steps.
_DARK = 0.0001
_STILL = 0.01  # a layer whose weights moved by less in that time does not train
# How differently a net answers different images, as the standard deviation of its log-probabilities: one that has
# learned something 1 and more, one in the dark below 0.01; at chance 0.003 to 0.03 if only the labels are noise, and
# 0 to 0.0005 if nothing gets through.
_BLIND = 0.01
_TELLS_APART = 0.002
_SAMPLE = 1000  # weights of each layer that are remembered
_SMALL = 64  # pixels a side: of larger images fewer are examined


def watch(session: Session) -> Coach:
    """A coach for the session, which it watches from now on."""
    plan, data = session.plan, session.batches
    few = min(256 if plan.preprocess.image_size <= _SMALL else 32, len(data.labels))
    probe = prepare(data.images(torch.arange(few)), plan.preprocess)
    coach = Coach(replace(plan.recipe, data=plan.data), plan.description.classes, probe, data.labels)
    session.subscribe(coach)
    return coach


@dataclass
class _Look:
    """What is compared a few hundred steps later: how differently the net answers, and some of its weights."""

    at: int
    spread: float
    weights: dict[str, Tensor]


@dataclass
class _Mark:
    """Sums over the steps of an epoch so far."""

    step: int
    loss: float
    correct: float


class Coach:
    """Watches one run of any classifier.

    `probe` are prepared training images [N, C, H, W] on the device of the net (up to 256 will do), `labels` [n] int64
    those of the whole training split. Layers are seen where they are modules.
    """

    def __init__(self, recipe: Recipe, classes: tuple[str, ...], probe: Tensor, labels: Tensor) -> None:
        self.recipe, self.classes, self.probe = recipe, classes, probe
        self.counts = torch.bincount(labels.cpu(), minlength=len(classes))
        self.said: set[str] = set()
        self.marks: list[_Mark] = [_Mark(0, 0.0, 0.0)]
        self.steps = 0
        self.epochs: list[Epoch] = []
        self.look: _Look | None = None
        self.flat = 0

    def remember(self, past: Iterable[Event]) -> None:
        """Takes in the events of a run that is resumed: what was said is not said again.

        Not all is judged as before: how the net changes is compared from here on.
        """
        for event in past:
            self._remember(event)

    def before(self, net: nn.Module) -> list[Advice]:
        """What is wrong with the images, the labels or the first weights, before the first epoch."""
        found = self._of_labels() + self._image_findings()
        health = self._examine(net)
        if health is not None:
            self.look = _look(0, health, net)
            found += self._of_first_weights(health)
        return [Advice(epoch=1, step=0, topic=topic, said=said, hint=hint) for topic, said, hint in found]

    def see(self, event: Event, net: nn.Module) -> list[Advice]:
        """What has come up with `event`: a Step that carries a loss, or an Epoch.

        The net is examined after each epoch, and in the first one at each such step.
        """
        if isinstance(event, Advice) or event.loss is None:
            return []
        self._remember(event)
        found = self._of_loss(event.loss)
        if isinstance(event, Epoch):
            found += self._of_validation() + self._of_waiting()
        health = self._examine(net) if isinstance(event, Epoch) or event.epoch == 1 else None
        if health is not None:
            # A layer may lose most of its units for a while and recover (alexnet_28 with the weights of 2012: 0.86,
            # then 0.37), and trained tanh units may be near their limits. It is a fault if the net goes blind of it.
            if not _spread(health) >= _BLIND:  # or not a number
                found += self._of_layers(health, f"--set lr={self.recipe.lr / 10:g}")
            if isinstance(event, Epoch) or self.look is None:
                found += self._of_plateau(event, health, net)
        step = self.marks[-1].step
        return [Advice(epoch=event.epoch, step=step, topic=topic, said=said, hint=hint) for topic, said, hint in found]

    # ------------------------------------------------------------------------------------------- what is kept

    def _remember(self, event: Event) -> None:
        if isinstance(event, Advice):
            self.said.add(event.topic)
        elif isinstance(event, Epoch):
            self.epochs.append(event)
        elif event.loss is not None and event.accuracy is not None:
            if event.step <= self.marks[-1].step:
                self.marks = [_Mark(0, 0.0, 0.0)]
            self.marks.append(_Mark(event.step, event.loss * event.step, event.accuracy * event.step))
            self.steps = event.steps

    def _say(self, topic: str, said: str, hint: str) -> list[tuple[str, str, str]]:
        """At most once; and of what keeps a net from learning only the first."""
        if topic in self.said or (topic in _NO_LEARNING and self.said & _NO_LEARNING):
            return []
        self.said.add(topic)
        return [(topic, said, hint)]

    def _examine(self, net: nn.Module) -> Health | None:
        return None if self.said & _NO_LEARNING else examine(net, self.probe)

    # ----------------------------------------------------------------------------------- before the first epoch

    def _of_labels(self) -> list[tuple[str, str, str]]:
        counts, n, classes = self.counts, int(self.counts.sum()), len(self.classes)
        most, fewest = int(counts.argmax()), int(counts.argmin())
        many, few = int(counts[most]), int(counts[fewest])
        if few == 0 and n >= 10 * classes:  # fewer images miss a class by chance
            return self._say(
                "class_without_pictures",
                f"none of the {n:,} training images is of class {self.classes[fewest]!r}: it cannot be learned",
                self._check_data(),
            )
        unequal = many > 10 * (few + 3 * math.sqrt(few)) or (classes > 2 and many > n / 2)  # beyond chance
        if unequal and self.recipe.class_weights == "none":
            return self._say(
                "classes_unequal",
                f"{many:,} training images are of class {self.classes[most]!r} and {few:,} of"
                f" {self.classes[fewest]!r}: a net is right in {many / n:.0%} by always saying the former",
                "--set class_weights=auto",
            )
        return []

    def _image_findings(self) -> list[tuple[str, str, str]]:
        x, largest = self.probe, float(self.probe.abs().max())
        within = float((x.amax(dim=(1, 2, 3)) - x.amin(dim=(1, 2, 3))).max())
        between = float((x.amax(dim=0) - x.amin(dim=0)).max())
        if min(within, between) <= 1e-6 * max(largest, 1.0):
            return self._say(
                "constant_pictures",
                "all images are the same" if between < within else "each image is of one value all over",
                self._check_data(),
            )
        spread = float(x.std())
        if spread < _FAINT:
            std = ",".join(f"{s * spread:.3g}" for s in self.recipe.std)
            return self._say(
                "pictures_out_of_range",
                f"the values that the net is given spread by {spread:.2g} only: it hardly sees a difference",
                f"--set std={std}",
            )
        return []

    def _of_first_weights(self, health: Health) -> list[tuple[str, str, str]]:
        """Values far from 0 are a fault only by their effect: some recipes intend 0-255, with weights to match."""
        low, high = float(self.probe.min()), float(self.probe.max())
        loss = self._expected_loss(health.logits)
        finite, guess = bool(health.logits.isfinite().all()), self._guessing()
        starts_high = self.recipe.loss == "cross_entropy" and loss > _HIGH_START * guess
        if max(-low, high) > _LARGE_VALUE:
            effect = ""
            if not finite:
                effect = "its answers are not finite"
            elif starts_high:
                effect = f"the loss starts at {loss:.3g}, where guessing gives {guess:.3f}"
            elif max(health.saturated.values(), default=0.0) > 0.5:  # the rest may be of black background
                layer, share = _worst(health.saturated)
                effect = f"{share:.0%} of the outputs of {layer} are at their limits"
            elif max(health.dead.values(), default=0.0) > _DEAD:
                layer, share = _worst(health.dead)
                effect = f"{share:.0%} of the units of {layer} are zero for every image"
            if effect:
                return self._say(
                    "pictures_out_of_range",
                    f"the net is given values from {low:.3g} to {high:.3g}, and {effect}",
                    "--set mean=0 std=1",
                )
        smaller = "--set initialise=xavier_uniform_zero_bias"
        if self.recipe.initialise in smaller:
            smaller = f"--set lr={self.recipe.lr / 10:g}"
        if not finite:
            return self._say("not_finite", "the untrained net's answers are not finite", smaller)
        found = self._of_layers(health, smaller)
        if not found and starts_high:
            found = self._say(
                "first_loss_high",
                f"the loss starts at {loss:.3g}, where guessing gives {guess:.3f}: the first weights are too large",
                smaller,
            )
        return found

    # ----------------------------------------------------------------------------------------- while it trains

    def _of_loss(self, loss: float) -> list[tuple[str, str, str]]:
        smaller = f"--set lr={self.recipe.lr / 10:g}"
        if not math.isfinite(loss):
            return self._say("not_finite", "the loss is no longer finite", smaller)
        if self.recipe.loss == "cross_entropy" and loss > _GROWTH * self._guessing():
            return self._say(
                "loss_grows",
                f"the loss has grown to {loss:.3g}, where guessing gives {self._guessing():.3f}",
                smaller,
            )
        return []

    def _of_layers(self, health: Health, hint: str) -> list[tuple[str, str, str]]:
        if not health.logits.isfinite().all():
            return self._say("not_finite", "the net's answers are no longer finite", hint)
        layer, share = _worst(health.dead)
        if share > _DEAD:
            return self._say(
                "dead_relus",
                f"{share:.0%} of the units of {layer} (ReLU) are zero for every image: they get no gradient",
                hint,
            )
        layer, share = _worst(health.saturated)
        if share > _SATURATED:
            return self._say(
                "saturated_sigmoids",
                f"{share:.0%} of the outputs of {layer} are at their limits, where the gradient vanishes",
                hint,
            )
        return []

    def _of_plateau(self, event: Event, health: Health, net: nn.Module) -> list[tuple[str, str, str]]:
        """A net that still guesses, and does not answer different images more differently than a look ago.

        Only the second tells it from the book's LeNet, which guesses for its whole first epoch and then learns.
        """
        at = (event.epoch - 1) * self.steps + self.marks[-1].step
        earlier, now = self.look, _look(at, health, net)
        if earlier is not None and at - earlier.at < _LOOK_STEPS:
            return []
        self.look = now
        if earlier is None or self.recipe.loss != "cross_entropy":
            return []
        self.flat = 0 if now.spread > max(_LOOK_GROWTH * earlier.spread, _DARK) else self.flat + 1
        still = _moved(earlier, now) < _STILL
        if self.flat < (1 if still else _FLAT):
            return []
        loss, accuracy, n = self._recent()
        guess, often = self._guessing(), float(self.counts.max() / self.counts.sum())
        chance = accuracy < 1.2 * often + 3 * math.sqrt(often * (1 - often) / n)
        # first weights that stay as they are can be right more often than guessing is
        if loss < 0.98 * guess or not (chance or still):
            return []
        return self._say("stuck_at_chance", *self._way_out(loss, earlier, now, health))

    def _way_out(self, loss: float, earlier: _Look, now: _Look, health: Health) -> tuple[str, str]:
        """What the loss means, with the evidence, and the change that the evidence is for."""
        guess, classes, lr = self._guessing(), len(self.classes), self.recipe.lr
        equal = abs(guess - math.log(classes)) < 0.0005
        number = f"ln {classes} = {guess:.3f}" if equal else f"{guess:.3f} is that of guessing by the classes' shares"
        said = f"the loss is {loss:.3f}, and {number}"
        if loss > 1.05 * guess:
            said += ": the net does worse than to guess"
        elif equal:
            said += f": the net guesses all {classes} classes alike"
        if any(epoch.loss < 0.9 * self._guessing() for epoch in self.epochs):
            return f"{said} again, after it had learned", f"--set lr={lr / 10:g}"
        moved = _moved(earlier, now)
        if moved < _STILL:
            return (
                f"{said}; in {now.at - earlier.at} steps its weights moved by {moved:.1g} only",
                f"--set lr={lr * 10:g}",
            )
        if health.saturated:  # it has sigmoids or tanh, through which little gradient passes
            if not self.recipe.initialise.startswith("xavier_uniform"):
                return said, "--set initialise=xavier_uniform"
            return said, "--set net.activation=relu"
        if loss < 1.05 * guess and now.spread > _TELLS_APART:
            return f"{said}; yet it tells images apart, so look at the labels", self._check_data()
        return said, f"--set lr={lr / 10:g}"

    def _of_validation(self) -> list[tuple[str, str, str]]:
        """A validation loss that has been 5 % above its lowest for three epochs while the training loss fell.

        As long as the validation accuracy still rises, which is what `patience` and `best` go by, nothing is said.
        """
        losses = [epoch.validation_loss for epoch in self.epochs if epoch.validation_loss is not None]
        if len(losses) < 4 or len(losses) < len(self.epochs):
            return []
        lowest = min(losses)
        best, last = self.epochs[losses.index(lowest)], self.epochs[-1]
        turned = all(loss > 1.05 * lowest for loss in losses[-3:]) and last.loss < best.loss
        if not turned or any(epoch.best for epoch in self.epochs[-3:]):
            return []
        hint = "--set net.dropout=0.5"
        if not self.recipe.patience and self.recipe.monitor == "validation":
            hint = "--set patience=3"
        elif not self.recipe.shift:
            hint = "--set shift=2"
        return self._say(
            "validation_turns",
            f"since epoch {best.epoch} the validation loss has risen from {lowest:.3f} to {losses[-1]:.3f}, while the"
            f" training loss fell to {last.loss:.3f}: the net learns its images by heart",
            hint,
        )

    def _of_waiting(self) -> list[tuple[str, str, str]]:
        waiting = [epoch for epoch in self.epochs if epoch.wait_share > 0.3]
        seconds = sum(epoch.wait_share * epoch.seconds for epoch in waiting)
        if len(waiting) < 2 or seconds < 1:  # less is not worth a word
            return []
        share = seconds / sum(epoch.seconds for epoch in waiting)
        return self._say(
            "data_starved", f"{share:.0%} of the time the net waits for its next batch", "--loader-threads 2"
        )

    # ----------------------------------------------------------------------------------------------- figures

    def _check_data(self) -> str:
        return f"classicnets data check {self.recipe.data}"

    def _shares(self) -> Tensor:
        """How much each class weighs in the loss [classes]."""
        shares = self.counts / self.counts.sum()
        if self.recipe.class_weights == "auto":
            shares = (self.counts > 0) / (self.counts > 0).sum()
        smoothing = self.recipe.label_smoothing
        return (1 - smoothing) * shares + smoothing / len(self.classes)

    def _guessing(self) -> float:
        """The lowest cross-entropy of a net that does not look at the image: ln C where classes are equal."""
        shares = self._shares()
        return -float(torch.special.xlogy(shares, shares).sum())

    def _expected_loss(self, logits: Tensor) -> float:
        """The cross-entropy of these answers, if they have nothing to do with the labels."""
        shares = self._shares().to(logits)
        return float((logits.logsumexp(dim=1) - logits @ shares).mean())

    def _recent(self) -> tuple[float, float, float]:
        """Loss and accuracy over about the last fifth of the epoch, and how many images that were."""
        last = self.marks[-1]
        first = [mark for mark in self.marks if mark.step <= 0.81 * last.step][-1]
        steps = last.step - first.step
        n = int(self.counts.sum()) * steps / self.steps
        return (last.loss - first.loss) / steps, (last.correct - first.correct) / steps, n


def _look(at: int, health: Health, net: nn.Module) -> _Look:
    layers = {name: p.detach().flatten()[:_SAMPLE].clone() for name, p in net.named_parameters() if p.dim() > 1}
    return _Look(at, _spread(health), layers)


def _spread(health: Health) -> float:
    """How differently the net answers different images: the standard deviation of the log-probabilities."""
    return float(health.logits.log_softmax(dim=1).std(dim=0).mean())


def _moved(earlier: _Look, now: _Look) -> float:
    """How far the weights of the layer that moved most have moved, in relation to their size."""
    shares = [
        float((weights - earlier.weights[name]).norm() / earlier.weights[name].norm().clamp(min=1e-12))
        for name, weights in now.weights.items()
        if name in earlier.weights
    ]
    return max(shares, default=math.inf)


def _worst(shares: dict[str, float]) -> tuple[str, float]:
    return max(shares.items(), key=lambda pair: pair[1], default=("", 0.0))
