"""Tiny runs that the coach watches: images, networks, and training with the real loop and the real `--set` parser."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

from classicnets.cli import arguments
from classicnets.coach.coach import Coach
from classicnets.coach.task import Sample, Task
from classicnets.datasets.types import Split
from classicnets.events import Advice, Event
from classicnets.images import batches
from classicnets.images.transforms import channel_means, prepare
from classicnets.models.variants import vary
from classicnets.recipes import resolve
from classicnets.recipes.resolve import ANY_NET, RECIPES, RecipeKey
from classicnets.runs import net_spec
from classicnets.spec import RunSpec
from classicnets.training import loop, objective
from classicnets.training.freeze import freeze
from classicnets.training.initialize import initialize
from classicnets.training.state import State
from classicnets.values import Recipe
from support.idx import make_images

CLASSES = tuple("0123456789")
PLAIN = replace(
    RECIPES[RecipeKey("fast", ANY_NET)],
    optimizer="sgd",
    schedule="constant",
    weight_decay=0.0,
    lr=0.05,
    batch_size=16,
    epochs=3,
    mean=(0.0,),
    std=(1.0,),
)
STANDARDIZED = replace(PLAIN, mean=(0.433,), std=(0.321,))
ADAMW = replace(PLAIN, optimizer="adamw", lr=0.003, weight_decay=0.01)


class Clock:
    """The clock of the training loop; it advances only in tests, however busy the machine is."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


CLOCK = Clock()


@dataclass(kw_only=True)
class Outcome:
    """What a run yielded: its events with the advice, the state at its end, and the accuracy on new images."""

    events: list[Event]
    state: State
    accuracy: float

    @property
    def advice(self) -> list[Advice]:
        return [event for event in self.events if isinstance(event, Advice)]

    @property
    def topics(self) -> set[str]:
        return {item.topic for item in self.advice}


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A run: how the network is built, the recipe and the user's changes of it as typed, and the images."""

    net: Callable[[], nn.Module]
    recipe: Recipe = PLAIN
    settings: dict[str, str] = field(default_factory=dict)
    data: Callable[[], Split]
    test: Callable[[], Split] | None = None  # default: new images of the same classes, with true labels
    validation: Callable[[], Split] | None = None
    trained: bool = False  # as with --weights
    known_topics: Sequence[str] = ()
    load: Callable[..., batches.Batches] = batches.Batches
    past: Sequence[Event] = ()
    seed: int = 0
    watched: bool = True

    def with_hint(self, hint: str) -> Setup:
        """The run with a hint applied as printed: `--set` by the real parser, or a line of Python to the network."""
        if hint.startswith("--set "):
            return replace(self, settings={**self.settings, **parsed(hint)})
        assert hint == "net.requires_grad_(True)", hint
        return replace(self, net=lambda: self.net().requires_grad_(True))

    def run(self) -> Outcome:
        """Trains to the end, or to the first loss that is not finite, where a session stops."""
        torch.manual_seed(self.seed)
        variation, settings = net_spec.split(self.settings)
        recipe = resolve.apply(self.recipe, settings).recipe
        net = self.net()
        if variation:
            spec = net_spec.with_variation(net_spec.from_module(net), variation)
            replaced: dict[str, Any] = {**spec.variation}
            net = vary(net, **replaced)
        torch.manual_seed(self.seed)
        initialize(net, recipe.initialize)
        freeze(net, recipe.freeze)
        train = self.data()
        preprocess = recipe.preprocess(*train.images.shape[1:3])
        if not recipe.mean:
            preprocess = replace(preprocess, mean=channel_means([torch.from_numpy(train.images)], preprocess))
        loader = self.load(train, recipe, preprocess, seed=self.seed, device=torch.device("cpu"))
        state = State(net, recipe)
        index = batches.order(len(train), 0, 0)[:256].sort().values
        coach = Coach(
            Task(
                recipe=recipe,
                original=self.recipe,
                classes=CLASSES,
                counts=torch.bincount(loader.labels, minlength=len(CLASSES)),
                trained=self.trained,
            ),
            Sample(prepare(loader.images(index), preprocess), loader.labels[index], preprocess),
            known_topics=self.known_topics,
        )
        coach.on_resume(self.past)
        events: list[Event] = [*coach.on_start(net)] if self.watched else []
        net.register_forward_hook(_a_step_takes)
        validation = None if self.validation is None else self.validation()
        criterion = objective.make(recipe, loader.labels, len(CLASSES))

        def evaluate() -> loop.Scores:
            if validation is None:
                return loop.Scores()
            loss, accuracy = measured(net, prepare(torch.from_numpy(validation.images), preprocess), validation)
            return loop.Scores(validation_loss=loss, validation_accuracy=accuracy)

        for event in _by_the_clock(loop.train(state, loader, recipe, criterion, evaluate)):
            events.append(event)
            if isinstance(event, Advice) or event.loss is None:
                continue
            advice = coach.on_event(event, net) if self.watched else []
            if not math.isfinite(event.loss):  # here a session stops, and its error has the hint
                events += advice if not any(isinstance(earlier, Advice) for earlier in events) else []
                break
            events += advice
        test = new_images() if self.test is None else self.test()
        x = prepare(torch.from_numpy(test.images), preprocess)
        return Outcome(events=events, state=state, accuracy=measured(net, x, test)[1])


def _by_the_clock(events: Generator[Event, None, None]) -> Iterator[Event]:
    """The events of training whose time is that of `CLOCK`."""
    while True:
        with mock.patch.object(loop, "time", CLOCK):
            event = next(events, None)
        if event is None:
            return
        yield event


def _a_step_takes(*_: object) -> None:
    CLOCK.now += 0.01


def parsed(hint: str) -> dict[str, str]:
    """The settings of a hint, as the command line reads them."""
    parser = arguments.Parser()
    arguments.add(parser, RunSpec)
    spec: argparse.Namespace = parser.parse_args(shlex.split(hint))
    return dict(arguments.read(spec, RunSpec).settings)


def measured(net: nn.Module, x: torch.Tensor, split: Split) -> tuple[float, float]:
    """The loss and the accuracy on preprocessed images."""
    net.eval()
    with torch.no_grad():
        logits, y = net(x), torch.from_numpy(split.labels)
    return float(nn.functional.cross_entropy(logits, y)), float((logits.argmax(1) == y).float().mean())


def learnable(n: int = 800, size: int = 12, *, split: int = 0, classes: int = 10) -> Split:
    """Images of patterns that a small network learns within an epoch."""
    images, labels = make_images(n, size=size, split=split, classes=classes)
    return Split(images[:, None], labels.astype(np.int64))


def new_images(size: int = 12, classes: int = 10) -> Split:
    """Images of the same patterns that were not trained on."""
    return learnable(200, size, split=1, classes=classes)


def in_color(split: Split) -> Split:
    """The images in three channels of different brightness."""
    brightness = np.array([1.0, 0.7, 0.4])[:, None, None]
    return Split((split.images * brightness).astype(np.uint8), split.labels)


def of_labels(labels: np.ndarray) -> Split:
    """Learnable images of just these classes."""
    images, every = make_images(10, size=12)
    assert every.tolist() == list(range(10))
    noise = np.random.default_rng(0).integers(0, 20, (len(labels), 12, 12), dtype=np.uint8)
    return Split((images[labels] // 2 + noise)[:, None], labels.astype(np.int64))


def shuffled(split: Split, share: float = 1.0) -> Split:
    """The images with this share of their labels in random order."""
    rng = np.random.default_rng(0)
    labels = split.labels.copy()
    wrong = np.flatnonzero(rng.random(len(labels)) < share)
    labels[wrong] = rng.permutation(labels[wrong])
    return Split(split.images, labels)


def constant(value: int = 90) -> Split:
    split = learnable()
    return Split(np.full_like(split.images, value), split.labels)


def mlp(*, dropout: float = 0.0, width: int = 32, inputs: int = 144, classes: int = 10) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, classes)
    )


def sigmoids(activation: Callable[[], nn.Module] = nn.Sigmoid) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(144, 64), activation(), nn.Linear(64, 32), activation(), nn.Linear(32, 10)
    )


def deep_sigmoids() -> nn.Sequential:
    """At chance for about 300 steps before it learns, like the book's LeNet."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(144, 64), nn.Sigmoid(), nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 32),
        nn.Sigmoid(), nn.Linear(32, 32), nn.Sigmoid(), nn.Linear(32, 10),
    )  # fmt: skip


def relus() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(200, 64), nn.ReLU(),
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip


def with_batch_norm() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(200, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10),
    )  # fmt: skip


def scaled(net: nn.Module, factor: float) -> nn.Module:
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(factor)
    return net


def filled(net: nn.Module, value: float) -> nn.Module:
    """The network with this value for all weights and biases."""
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(value)
    return net


def with_biases(net: nn.Module, value: float) -> nn.Module:
    """The network with this value for the biases of its hidden layers."""
    with torch.no_grad():
        for name, p in [*net.named_parameters()][:-1]:
            if name.endswith("bias"):
                p.fill_(value)
    return net


def frozen(net: nn.Module, *but: str) -> nn.Module:
    """The network with only these parameters trained."""
    for name, p in net.named_parameters():
        p.requires_grad_(name in but)
    return net
