"""The table of the coach: runs with a fault, what it finds and that its advice helps; and sound runs, which get none.

Runs are tiny and far from every edge: they end alike with any processor and number of threads.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.datasets.types import Split
from classicnets.images import batches
from classicnets.models.layers import ScaledTanh
from classicnets.recipes.resolve import RECIPES, RecipeKey
from support.coaching import (
    ADAMW,
    CLOCK,
    PLAIN,
    STANDARDIZED,
    Setup,
    constant,
    deep_sigmoids,
    filled,
    frozen,
    in_color,
    learnable,
    mlp,
    new_images,
    of_labels,
    relus,
    scaled,
    shuffled,
    sigmoids,
    with_batch_norm,
    with_biases,
)

CHECK = "classicnets data check fashion_mnist"
RAW = {"mean": "0", "std": "0.00392"}  # 0..255
XAVIER = replace(PLAIN, initialize="xavier_uniform")
# the rate of the sigmoid networks here, as 0.9 is that of the book's LeNet
SIGMOIDS = replace(XAVIER, lr=0.5, epochs=6)
DEEP = replace(STANDARDIZED, initialize="xavier_uniform", lr=0.2, epochs=20)
OF_2012 = replace(PLAIN, initialize="krizhevsky2012", mean=(0.35,), std=(1 / 255,), momentum=0.9, lr=0.01, epochs=1)


class Slow(batches.Batches):
    """Batches from a slow disk."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch in super().epoch(epoch, start):
            CLOCK.now += 0.06
            yield batch


@functools.cache
def _fitted() -> nn.Module:
    setup = Setup(net=lambda: mlp(width=16), data=learnable, watched=False)
    return setup.run().state.net


def trained() -> nn.Module:
    """A network that classifies the images."""
    net = copy.deepcopy(_fitted())
    net._forward_hooks.clear()
    return net


def with_new_head() -> nn.Module:
    """A trained network with a new last layer, as `--weights` gives for other classes."""
    net = trained()
    assert isinstance(net, nn.Sequential)
    net[4] = nn.Linear(16, 10)
    return net


def zero_head(net: nn.Sequential) -> nn.Module:
    filled(net[-1], 0)
    return net


def copies() -> Split:
    """40 images, each 20 times, with random labels."""
    split = learnable(800)
    index = np.arange(800) % 40
    return Split(split.images[index], shuffled(split).labels)


def contrast(factor: float) -> Split:
    split = learnable()
    return Split((split.images[:] * factor + 100).astype(np.uint8), split.labels)


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A run with a fault, the topic and the beginning of the hint, and the run that follows from other hints."""

    setup: Setup
    topic: str
    hint: str
    repaired: Setup | None = None  # for a hint that is no setting: what the user makes of it
    gains: float = 0.4  # of the accuracy; 0: the advice is not about it


def run(net: Callable[[], nn.Module] = mlp, /, **settings: str) -> Setup:
    return Setup(net=net, data=learnable, settings=settings)


def data(made: Callable[[], Split], **settings: str) -> tuple[Setup, Setup]:
    """A run with these images, and one with the right ones."""
    setup = replace(run(**settings), data=made)
    return setup, replace(setup, data=learnable)


def of_data(topic: str, made: Callable[[], Split], *, gains: float = 0.4, **settings: str) -> Broken:
    setup, repaired = data(made, **settings)
    return Broken(setup=setup, topic=topic, hint=CHECK, repaired=repaired, gains=gains)


BROKEN: dict[str, Broken] = {
    # images and labels
    "all images black": of_data("constant_pictures", lambda: constant(0)),
    "all images the same": of_data(
        "constant_pictures", lambda: Split(learnable().images[[0] * 800], learnable().labels)
    ),
    "copies with different labels": of_data("copied_pictures", copies),
    "all labels one class": of_data("one_class", lambda: Split(learnable().images, learnable().labels * 0 + 3)),
    "one class has no images": of_data("class_without_pictures", lambda: of_labels(np.arange(400) % 9), gains=0),
    "three classes have no images": of_data("class_without_pictures", lambda: of_labels(np.arange(400) % 7), gains=0),
    "one class has most images": Broken(
        setup=replace(run(), data=lambda: of_labels(np.where(np.arange(800) % 2, 3, np.arange(800) // 2 % 10))),
        topic="classes_unequal",
        hint="--set class_weights=auto",
        gains=0,
    ),
    "one class has few images": Broken(
        setup=replace(run(), data=lambda: of_labels(np.concatenate([np.arange(800) % 9, [9] * 2]))),
        topic="classes_unequal",
        hint="--set class_weights=auto",
        gains=0,
    ),
    "labels shuffled": of_data("stuck_at_chance", lambda: shuffled(learnable(3200))),
    "labels shuffled and learned by heart": Broken(
        setup=replace(
            run(lambda: mlp(width=64), epochs="30", lr="0.2", validation="0.1", monitor="validation"),
            data=lambda: shuffled(learnable(100)),
            validation=lambda: shuffled(learnable(300, split=2)),
        ),
        topic="labels_unrelated",
        hint=CHECK,
        repaired=replace(
            run(lambda: mlp(width=64), epochs="30", lr="0.2", validation="0.1", monitor="validation"),
            data=lambda: learnable(100),
            validation=lambda: learnable(300, split=2),
        ),
    ),
    "half of the labels random": of_data("label_noise", lambda: shuffled(learnable(3200), 0.5), gains=0),
    # preprocessing
    "raw 0-255 into sigmoids": Broken(
        setup=replace(run(sigmoids, **RAW), recipe=SIGMOIDS), topic="pictures_out_of_range", hint="--set std=0.3",
        gains=0,
    ),
    "raw 0-255 into a ReLU net": Broken(
        setup=run(lambda: scaled(mlp(), 3), **RAW), topic="pictures_out_of_range", hint="--set std=0.3",
    ),
    "std far too small": Broken(
        setup=run(relus, mean="0.5", std="0.001"), topic="pictures_out_of_range", hint="--set std=0.3",
    ),
    # initial weights
    "weights all zero": Broken(
        setup=run(lambda: filled(mlp(), 0)), topic="equal_weights", hint="--set initialize=xavier_uniform"
    ),
    "weights all 0.05": Broken(
        setup=run(lambda: filled(mlp(), 0.05)), topic="equal_weights", hint="--set initialize=xavier_uniform"
    ),
    "weights of sigmoids all zero": Broken(
        setup=replace(run(lambda: filled(sigmoids(), 0)), recipe=replace(SIGMOIDS, initialize="as_built")),
        topic="equal_weights",
        hint="--set initialize=xavier_uniform",
    ),
    "weights of a sigmoid net times 200": Broken(
        setup=replace(run(lambda: scaled(sigmoids(), 200)), recipe=replace(SIGMOIDS, initialize="as_built")),
        topic="saturated_sigmoids",
        hint="--set initialize=xavier_uniform_zero_bias",
        gains=0,
    ),
    "weights of a ReLU net times 50": Broken(
        setup=run(lambda: scaled(relus(), 50)), topic="first_loss_high",
        hint="--set initialize=xavier_uniform_zero_bias",
    ),
    "biases of -10 before ReLUs": Broken(
        setup=run(lambda: with_biases(mlp(), -10)), topic="dead_relus",
        hint="--set initialize=xavier_uniform_zero_bias",
    ),
    "sigmoids with torch's initial weights": Broken(
        setup=replace(run(deep_sigmoids), recipe=replace(DEEP, initialize="as_built")),
        topic="stuck_at_chance",
        hint="--set initialize=xavier_uniform",
    ),
    # steps that are too large
    "rate 100 times the recipe's, ReLUs": Broken(
        setup=run(relus, lr="5", epochs="6"), topic="dead_relus or loss_grows", hint="--set lr=0.05",
    ),
    "rate 1,000 times the recipe's": Broken(setup=run(lr="50"), topic="loss_grows", hint="--set lr=0.05"),
    "rate without bounds": Broken(setup=run(lr="1e20"), topic="not_finite", hint="--set lr=0.05"),
    "rate 40 times the recipe's, sigmoids": Broken(
        setup=replace(run(sigmoids, lr="20"), recipe=SIGMOIDS), topic="saturated_sigmoids", hint="--set lr=0.5",
    ),
    "AdamW at 1,000 times its rate": Broken(
        setup=replace(run(lr="3"), recipe=ADAMW), topic="loss_grows", hint="--set lr=0.003",
    ),
    "the rate of AdamW for SGD's": Broken(
        setup=replace(run(optimizer="adamw", lr="20"), recipe=PLAIN), topic="loss_grows", hint="--set lr=0.003",
    ),
    "momentum 0.9999": Broken(
        setup=run(relus, momentum="0.9999", lr="0.2"), topic="dead_relus or loss_grows", hint="--set momentum=0",
    ),
    "weight decay 5": Broken(
        setup=run(weight_decay="5"), topic="weights_vanish", hint="--set weight_decay=0",
    ),
    "weight decay 100 of AdamW": Broken(
        setup=replace(run(weight_decay="100"), recipe=ADAMW), topic="weights_vanish", hint="--set weight_decay=0.01",
    ),
    "weight decay that overshoots": Broken(
        setup=run(weight_decay="100"), topic="loss_grows or not_finite", hint="--set weight_decay=0",
    ),
    # steps that are too small
    "rate a 50,000th of the recipe's": Broken(
        setup=run(lr="1e-6", epochs="6"), topic="stuck_at_chance", hint="--set lr=0.05",
    ),
    "AdamW at a 1,000th of its rate": Broken(
        setup=replace(run(lr="3e-6"), recipe=ADAMW), topic="rate_low", hint="--set lr=0.003",
    ),
    "rate a 100th of the recipe's": Broken(
        setup=run(lr="5e-4"), topic="rate_low", hint="--set lr=0.05", gains=0,
    ),
    "sigmoids at a 100th of their rate": Broken(
        setup=replace(run(sigmoids, lr="0.005"), recipe=SIGMOIDS), topic="rate_low or stuck_at_chance",
        hint="--set lr=0.5",
    ),
    "clip far too small": Broken(
        setup=run(clip="1e-5", epochs="6"), topic="stuck_at_chance", hint="--set clip=1",
    ),
    "dropout 0.95": Broken(
        setup=run(lambda: mlp(dropout=0.98)), topic="dropout_high", hint="--set net.dropout=0.5",
    ),
    "a batch larger than the data": Broken(
        setup=replace(run(batch_size="256", epochs="10"), data=lambda: learnable(100)), topic="few_steps",
        hint="--set batch_size=8",
        gains=0.2,
    ),
    "only biases are trained": Broken(
        setup=run(lambda: frozen(mlp(), "1.bias", "4.bias"), epochs="8"), topic="layers_frozen",
        hint="net.requires_grad_(True)",
    ),
    "only the first layer is trained": Broken(
        setup=replace(run(deep_sigmoids, freeze="3,5,7,9"), recipe=DEEP),
        topic="stuck_at_chance",
        hint="--set freeze=none",
    ),
    "fine-tuning with a rate far too high": Broken(
        setup=replace(run(trained), recipe=replace(PLAIN, lr=5.0)), topic="trained_weights_lost", hint="--set lr=0.5",
    ),
    "fine-tuning with a rate that the user has raised": Broken(
        setup=replace(run(trained, lr="5"), trained=True), topic="trained_weights_lost", hint="--set lr=0.005",
    ),
    # outputs
    "softmax before the loss": Broken(
        setup=run(lambda: nn.Sequential(*mlp(), nn.Softmax(dim=1)), epochs="2"),
        topic="softmax_output",
        hint="remove the softmax",
        repaired=run(epochs="2"),
        gains=0.2,
    ),
    "ReLU as the last layer": Broken(
        setup=run(lambda: nn.Sequential(with_biases(mlp(), 0), nn.ReLU())), topic="relu_output",
        hint="remove the ReLU",
        repaired=run(),
        gains=0.1,
    ),
    # course of training
    "wrong labels learned by heart": Broken(
        setup=Setup(
            net=lambda: mlp(width=64),
            recipe=replace(STANDARDIZED, lr=0.1),
            settings={"epochs": "40", "monitor": "validation", "validation": "0.1"},
            data=lambda: shuffled(learnable(200), 0.5),
            validation=lambda: shuffled(learnable(500, split=2), 0.5),
            known_topics=["label_noise"],
        ),
        topic="validation_turns",
        hint="--set patience=",
        gains=0.05,
    ),
    "batches that come late": Broken(
        setup=replace(run(), data=lambda: learnable(160), load=Slow), topic="data_starved", hint="--loader-threads 2",
        gains=0,
    ),
}  # fmt: skip


def followed(row: Broken, hint: str) -> Setup | None:
    """The run with the advice followed; None if it is no change of this run."""
    if row.repaired is not None:
        return row.repaired
    return None if hint.startswith("--loader") else row.setup.with_hint(hint)


@pytest.mark.parametrize("name", BROKEN)
def test_a_faulty_run_gets_advice_that_helps(name: str) -> None:
    row = BROKEN[name]
    before = row.setup.run()
    (advice,) = before.advice
    assert advice.topic in row.topic.split(" or ")
    assert advice.hint.startswith(row.hint)
    better = followed(row, advice.hint)
    if better is not None:
        after = better.run()
        assert advice.topic not in after.topics
        if row.gains:
            assert after.accuracy > max(0.8, before.accuracy + row.gains)


def lenet(**variation: str) -> Callable[[], nn.Module]:
    return lambda: cn.create("lenet_d2l", image_size=16, variation=variation)


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(144, 10))


BOOK = RECIPES[RecipeKey("d2l", "lenet_d2l")]
SOUND: dict[str, Setup] = {
    "the book's LeNet on its plateau": Setup(
        net=lenet(), recipe=BOOK, settings={"batch_size": "32", "epochs": "4"}, data=lambda: learnable(1600, 16),
        test=lambda: new_images(16),
    ),
    "the book's LeNet with ReLU and maximum": Setup(
        net=lenet(activation="relu", pool="max"),
        recipe=replace(ADAMW, schedule="one_cycle", initialize="xavier_uniform"),
        data=lambda: learnable(size=16),
        test=lambda: new_images(16),
    ),
    "sigmoids that take their time": Setup(
        net=deep_sigmoids, recipe=DEEP, data=learnable
    ),
    "a perceptron": run(),
    "a linear classifier": run(linear),
    "a linear classifier that starts at zero": run(lambda: filled(linear(), 0)),
    "a last layer of zeros": run(lambda: zero_head(mlp())),
    "tanh": replace(run(lambda: sigmoids(nn.Tanh)), recipe=replace(XAVIER, epochs=4)),
    "scaled tanh, as in 1998": replace(
        run(lambda: sigmoids(ScaledTanh)), recipe=replace(PLAIN, initialize="lecun1998", mean=(0.4,), std=(0.3,))
    ),
    "biases of 1 before ReLUs": run(lambda: with_biases(relus(), 1)),
    "dropout 0.5": run(lambda: mlp(dropout=0.5, width=64)),
    "batch normalization": run(with_batch_norm, lr="0.1"),
    "0-255 with weights to match": Setup(
        net=lambda: cn.create("alexnet_28"), recipe=OF_2012, data=lambda: learnable(64, 28),
        test=lambda: new_images(28),
    ),
    "standardized images": run(mean="0.41", std="0.32"),
    "the mean of the data, in color": Setup(
        net=lambda: mlp(inputs=432), recipe=replace(PLAIN, mean=()), data=lambda: in_color(learnable()),
        test=lambda: in_color(new_images()),
    ),
    "fine-tuning": run(trained, lr="0.005"),
    "fine-tuning with the weights of a run": replace(run(trained, lr="0.005"), trained=True),
    "a new last layer on trained weights": replace(run(with_new_head, freeze="1"), trained=True),
    "three classes": replace(
        run(), data=lambda: of_labels(np.arange(800) % 3), known_topics=["class_without_pictures"]
    ),
    "classes somewhat unequal": replace(run(), data=lambda: of_labels(np.minimum(np.arange(800) % 13, 9))),
    "classes unequal and weighted": replace(
        run(class_weights="auto"), data=lambda: of_labels(np.where(np.arange(800) % 2, 3, np.arange(800) // 2 % 10))
    ),
    "few images": replace(run(epochs="20"), data=lambda: learnable(32)),
    "low contrast": replace(run(mean="0.45", std="0.04"), data=lambda: contrast(0.2)),
    "one cycle": replace(run(schedule="one_cycle"), recipe=replace(PLAIN, lr=0.2)),
    "AdamW": replace(run(), recipe=ADAMW),
    "AdamW with dropout and a cycle": replace(
        run(lambda: mlp(dropout=0.5)), recipe=replace(ADAMW, schedule="one_cycle", epochs=4)
    ),
    "high momentum at a low rate": run(momentum="0.98", lr="0.001"),
    "momentum 0.9": run(momentum="0.9", lr="0.01"),
    "label smoothing": run(label_smoothing="0.2"),
    "weight decay": run(weight_decay="0.01"),
    "gradients clipped at 1": run(clip="1"),
    "the loss of 1998": run(lambda: nn.Sequential(*mlp(), Squares()), loss="lecun1998", lr="0.005"),
    "some labels wrong": replace(run(), data=lambda: shuffled(learnable(), 0.1)),
    "frozen first layer": run(lambda: mlp(width=64), freeze="1", epochs="6"),
}  # fmt: skip


class Squares(nn.Module):
    """Outputs as negative distances, as those of LeNet-5."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -((x - 1) ** 2)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_run_gets_no_advice(name: str) -> None:
    assert not SOUND[name].run().advice
