"""The coach: what it compares and measures, what it leaves alone, and that it has no side effects.

The table of runs, broken and sound, is in `test_coach_runs.py`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.coach import causes
from classicnets.coach import coach as coach_module
from classicnets.coach.checks import check_label_noise
from classicnets.coach.coach import Coach
from classicnets.coach.data import check_images, fitting_normalization
from classicnets.coach.initial import check_equal_units, check_outputs
from classicnets.coach.task import Sample, Task
from classicnets.datasets.types import Split
from classicnets.events import Advice, Epoch, Step
from classicnets.images.transforms import prepare
from classicnets.inspection.health import Health, examine
from classicnets.models.layers import DropConnect, ScaledTanh
from classicnets.spec import Output, RunSpec
from classicnets.training.plan import plan
from classicnets.training.session import Session
from classicnets.values import Preprocess, Recipe
from ground.test_coach_runs import BROKEN
from support.coaching import (
    CLASSES,
    PLAIN,
    STANDARDIZED,
    Setup,
    deep_sigmoids,
    filled,
    learnable,
    mlp,
    parsed,
    relus,
    scaled,
    shuffled,
    sigmoids,
    with_batch_norm,
)
from support.command_line import CommandLine
from support.images import make_image_folder
from support.typed import gradients_of, layer_of, present

STEP = Step(epoch=1, step=10, steps=50, images=160, seconds=1.0, loss=2.0, accuracy=0.3)
EPOCH = Epoch(
    epoch=1, epochs=4, loss=0.5, accuracy=0.9, validation_accuracy=None, test_accuracy=None, lr=0.05, seconds=1.0,
    evaluation_seconds=0.0, images_per_second=1.0, wait_share=0.0,
)  # fmt: skip


def task_of(recipe: Recipe = PLAIN, labels: torch.Tensor | None = None, **changes: Any) -> Task:
    labels = torch.arange(10).repeat(20) if labels is None else labels
    classes = changes.pop("classes", CLASSES)
    values = {"original": recipe, "classes": classes, "counts": torch.bincount(labels, minlength=len(classes))}
    return Task(recipe=recipe, **(values | changes))


def sample_of(split: Split | None = None, **preprocess: Any) -> Sample:
    """A sample of images; by default of noise, with labels in turn."""
    if split is None:
        return Sample(torch.rand(64, 1, 12, 12), torch.arange(64) % 10, Preprocess(channels=1, image_size=12))
    settings = Preprocess(channels=split.images.shape[1], image_size=split.images.shape[2], **preprocess)
    return Sample(prepare(torch.from_numpy(split.images), settings), torch.from_numpy(split.labels), settings)


def coach_of(recipe: Recipe = PLAIN, sample: Sample | None = None, **changes: Any) -> Coach:
    about = {key: changes.pop(key) for key in ("known_topics", "weights") if key in changes}
    return Coach(task_of(recipe, **changes), sample or sample_of(), **about)


def test_advice_contains_the_evidence() -> None:
    (advice,) = Setup(net=mlp, settings={"lr": "1e-6", "epochs": "6"}, data=learnable).run().advice
    assert "ln 10 = 2.303" in advice.message and "the weights changed by only" in advice.message
    assert advice.epoch == 4 and advice.step == 50  # it compares after 200 steps or more


def test_units_that_die_during_training_suggest_a_lower_rate() -> None:
    net = mlp()
    coach = coach_of()
    assert not coach.on_start(net) and not coach.on_event(STEP, net)
    with torch.no_grad():
        layer_of(net, 1, nn.Linear).bias[1:] = -10  # 31 of 32, and the last makes no difference between images
        layer_of(net, 4, nn.Linear).weight[:, 0] = 0
    advice = coach.on_event(replace(STEP, step=20), net)
    assert [(item.topic, item.epoch, item.step, item.hint) for item in advice] == [
        ("dead_relus", 1, 20, "--set lr=0.005")
    ]
    assert advice[0].message.startswith("97% of the units of net[2] (ReLU)")
    assert not coach.on_event(replace(STEP, step=30), net)


def test_dead_units_are_ignored_while_the_network_works() -> None:
    """Most units of a layer are dead, but the outputs still depend on the image."""
    net = mlp()
    coach = coach_of()
    assert not coach.on_start(net)
    dense = layer_of(net, 1, nn.Linear)
    with torch.no_grad():
        dense.bias[2:] = -10
        dense.weight[:2].mul_(5)
        dense.bias[:2] = 1
    assert present(examine(net, coach.sample.images)).dead["2"] > 0.9
    assert not coach.on_event(STEP, net)


def test_a_network_back_at_chance_gets_a_lower_rate() -> None:
    setup = Setup(net=mlp, data=lambda: shuffled(learnable(3200)), past=[EPOCH])
    (advice,) = setup.run().advice
    assert advice.hint == "--set lr=0.005"
    assert "the network had learned before" in advice.message


def test_reports_a_rising_validation_loss_without_the_test_split() -> None:
    setup = BROKEN["wrong labels learned by heart"].setup
    outcome = setup.run()
    (advice,) = outcome.advice
    assert advice.topic == "validation_turns" and advice.hint.startswith("--set patience=")
    epochs = {event.epoch: event for event in outcome.events if isinstance(event, Epoch)}
    since = int(advice.message.split("since epoch ")[1].split()[0])
    lowest = min(present(e.validation_loss) for e in epochs.values() if e.epoch <= advice.epoch)
    assert epochs[since].validation_loss == lowest
    assert advice.epoch >= since + 3
    assert not replace(setup, validation=None, settings={**setup.settings, "monitor": "none"}).run().advice


@pytest.mark.parametrize(
    ("recipe", "in_python", "hint"),
    [
        ({"monitor": "validation", "validation": 0.1}, False, "--set patience=3"),
        ({"monitor": "validation", "validation": 0.1, "patience": 30}, False, "--set shift=2"),
        ({"shift": 1, "patience": 30}, False, "--set net.dropout=0.5"),
        ({"shift": 1, "patience": 30}, True, "net = cn.vary(net, dropout=0.5)"),
    ],
)
def test_the_hint_against_overfitting_fits_the_recipe(recipe: dict[str, Any], in_python: bool, hint: str) -> None:
    coach = coach_of(replace(PLAIN, **recipe), in_python=in_python)
    net = mlp()
    losses = [1.0, 0.8, 0.9, 1.0, 1.1]
    advice = [
        item
        for i, loss in enumerate(losses)
        for item in coach.on_event(
            replace(EPOCH, epoch=i + 1, loss=1.0 - 0.1 * i, validation_loss=loss, validation_accuracy=0.6), net
        )
    ]
    assert [(item.topic, item.hint) for item in advice] == [("validation_turns", hint)]


@pytest.mark.parametrize(
    ("accuracies", "patience"),
    [
        ([0.5, 0.6, 0.7, 0.7, 0.7, 0.7], 3),
        ([0.1, 0.1, 0.1, 0.1, 0.1, 0.7, 0.6, 0.6, 0.6], 5),  # with 4, training would stop on the plateau
        ([0.1, 0.2, 0.2, 0.2, 0.3, 0.7, 0.6, 0.6, 0.6], 3),
    ],
)
def test_patience_outlasts_the_plateau_of_the_run(accuracies: list[float], patience: int) -> None:
    coach = coach_of(replace(PLAIN, monitor="validation", validation=0.1))
    net, last, advice = mlp(), len(accuracies), []
    for epoch, accuracy in enumerate(accuracies, 1):
        loss = 1.0 if epoch < last - 3 else 0.8 if epoch == last - 3 else 1.5
        event = replace(EPOCH, epoch=epoch, loss=2 / (epoch + 1), validation_loss=loss, validation_accuracy=accuracy)
        advice += coach.on_event(event, net)
    assert [item.hint for item in advice] == [f"--set patience={patience}"]


def test_a_validation_loss_that_jumps_while_both_are_high_is_no_overfitting() -> None:
    coach, net = coach_of(replace(PLAIN, monitor="validation", validation=0.1)), mlp()
    for epoch, loss in enumerate([2.0, 2.2, 2.2, 2.2], 1):
        event = replace(EPOCH, epoch=epoch, loss=2.0 - 0.01 * epoch, validation_loss=loss, validation_accuracy=0.4)
        assert not coach.on_event(event, net)


def test_a_sound_run_may_be_at_chance_for_long() -> None:
    """The tests of sound runs are meaningful only if one of them stays at chance for longer than the coach waits."""
    recipe = replace(STANDARDIZED, initialize="xavier_uniform", lr=0.2, epochs=20)
    outcome = Setup(net=deep_sigmoids, recipe=recipe, data=learnable).run()
    epochs = [event for event in outcome.events if isinstance(event, Epoch)]
    assert all(e.loss > 0.98 * math.log(10) and e.accuracy < 0.13 for e in epochs[:5])  # 250 steps
    assert epochs[-1].accuracy > 0.5 and not outcome.advice


def test_the_coach_does_not_change_a_run() -> None:
    """Dropout draws from the global generator, batch normalization keeps statistics, one part of it is frozen."""

    def build() -> nn.Module:
        net = with_batch_norm()
        net[6].eval()
        return net

    setup = Setup(net=build, recipe=replace(PLAIN, epochs=2, lr=0.1, momentum=0.9), data=learnable, seed=1)
    watched, alone = (replace(setup, watched=watched).run().state.tensors() for watched in (True, False))
    assert all(torch.equal(tensor, alone[name]) for name, tensor in watched.items())


def test_examining_a_network_has_no_side_effects() -> None:
    net = nn.Sequential(with_batch_norm(), nn.AlphaDropout(0.5), nn.ReLU())
    norm = layer_of(net, "0.1", nn.BatchNorm2d).eval()
    net(torch.rand(4, 1, 12, 12)).sum().backward()
    before = (
        [m.training for m in net.modules()],
        [gradient.clone() for gradient in gradients_of(net)],
        torch.get_rng_state(),
    )
    weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    class Draws(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(x, training=True)

    health = examine(nn.Sequential(net, Draws()), torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(0)))
    assert health is not None and not health.logits.requires_grad
    assert [m.training for m in net.modules()] == before[0] and not norm.training
    assert all(torch.equal(new, old) for new, old in zip(gradients_of(net), before[1], strict=True))
    assert torch.equal(torch.get_rng_state(), before[2])
    assert all(torch.equal(tensor, weights[name]) for name, tensor in net.state_dict().items())
    assert not any(m._forward_hooks for m in net.modules())


@pytest.mark.parametrize(("p", "in_python"), [(0.95, False), (0.95, True), (0.5, False)])
def test_too_much_dropconnect_explains_a_loss_that_does_not_fall(p: float, in_python: bool) -> None:
    cause = causes.of_dropout(task_of(in_python=in_python), nn.Sequential(DropConnect(4, 4, p=p), nn.Linear(4, 2)))
    if p == 0.5:
        assert cause is None
        return
    assert cause is not None and cause.sentence == "DropConnect removes 95% of the weights in each step"
    hint = "net = cn.vary(net, dropconnect=0.5)" if in_python else "--set net.dropconnect=0.5"
    assert cause.hint == hint


def test_dead_and_saturated_shares_are_over_all_images() -> None:
    relu = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3), nn.ReLU(inplace=True))
    conv, dense = layer_of(relu, 0, nn.Conv2d), layer_of(relu, 3, nn.Linear)
    with torch.no_grad():
        conv.weight.fill_(1.0)
        present(conv.bias).copy_(torch.tensor([0.0, -1.5, -9.0, -2.5]))
        dense.weight.zero_()
        dense.bias.copy_(torch.tensor([1.0, 0.0, -1.0]))
    x = torch.zeros(2, 1, 2, 2)
    x[1, 0, 1, 1] = 2.0  # one pixel of one image keeps two maps alive
    health = examine(relu, x)
    assert health is not None and health.dead == {"1": 0.5, "4": pytest.approx(2 / 3)}
    x = torch.tensor([[-5.0, 0.0, 5.0, 50.0]])
    squashed = nn.Sequential(nn.Sigmoid(), nn.Identity())
    assert present(examine(squashed, x)).saturated == {"0": 0.75}
    assert present(examine(nn.Sequential(nn.Tanh()), x)).saturated == {"0": 0.75}
    assert present(examine(nn.Sequential(ScaledTanh()), x)).saturated == {"0": 0.75}
    assert present(examine(nn.Sequential(nn.Sigmoid()), x / 10)).saturated == {"0": 0.25}


def test_lazy_layers_are_not_initialized() -> None:
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(10))
    assert not coach_of().on_start(net) and isinstance(net[1].weight, nn.UninitializedParameter)


def test_a_network_without_signal_is_stuck_although_its_weights_change() -> None:
    """With weights N(0, 0.01) and five sigmoids, the spread of the outputs grows tenfold but stays near 0."""
    setup = Setup(
        net=deep_sigmoids, recipe=replace(STANDARDIZED, initialize="normal", lr=0.5, epochs=10), data=learnable
    )
    (advice,) = setup.run().advice
    assert (advice.topic, advice.hint) == ("stuck_at_chance", "--set initialize=xavier_uniform")
    assert not setup.with_hint(advice.hint).run().advice


def test_advice_is_not_repeated_after_resuming() -> None:
    outcome = Setup(net=mlp, settings={"lr": "50"}, data=learnable).run()
    assert [item.topic for item in outcome.advice] == ["loss_grows"]
    net, loss = outcome.state.net, replace(STEP, step=50, loss=1e6)
    afresh = coach_of()
    assert [item.topic for item in afresh.on_event(loss, net)] == ["loss_grows"]
    assert not afresh.on_event(replace(loss, step=51), net)
    resumed = coach_of()
    resumed.on_resume(outcome.events)
    assert not resumed.on_event(loss, net)


def test_the_chance_loss_depends_on_class_weights_and_label_smoothing() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    two = nn.Sequential(nn.Flatten(), nn.Linear(144, 2))
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    for changes, cost in (
        ({}, entropy),
        ({"class_weights": "auto"}, math.log(2)),
        (
            {"label_smoothing": 1 / 9},
            -(0.8 + 1 / 18) * math.log(0.8 + 1 / 18) - (1 - 0.8 - 1 / 18) * math.log(0.2 - 1 / 18),
        ),
    ):
        task = task_of(replace(PLAIN, **changes), labels, classes=("a", "b"))
        assert task.chance_loss() == pytest.approx(cost, rel=1e-5)
        ignorant = task.targets().log().expand(100, 2)
        assert task.loss(ignorant, labels) == pytest.approx(cost, rel=1e-5)
    sample = replace(sample_of(), labels=torch.arange(64) % 2)
    assert not Coach(task_of(replace(PLAIN, class_weights="auto"), labels, classes=("a", "b")), sample).on_start(two)


@pytest.mark.parametrize(
    ("recipe", "original", "trained", "lower", "higher"),
    [
        ({"lr": 50.0}, {}, False, 0.05, 500),
        ({"lr": 0.5}, {}, False, 0.05, 5),
        ({"lr": 0.15}, {}, False, 0.05, 1.5),
        ({"lr": 0.06}, {}, False, 0.006, 0.6),  # so near to the recipe's that the recipe's is no better
        ({"lr": 0.05}, {}, False, 0.005, 0.5),
        ({"lr": 5e-7}, {}, False, 5e-8, 0.05),
        ({"lr": 0.9}, {"lr": 0.9}, False, 0.09, 9),
        ({"lr": 20.0}, {"lr": 0.9}, False, 0.9, 200),
        ({"lr": 1e20}, {"lr": 1e20}, False, 0.1, 1e21),  # nothing to compare with
        ({"lr": 3.0, "optimizer": "adamw"}, {"lr": 0.003, "optimizer": "adamw"}, False, 0.003, 30),
        ({"lr": 5.0, "optimizer": "adamw"}, {}, False, 0.003, 50),  # the recipe's rate is one for SGD
        ({"lr": 0.05, "optimizer": "adamw"}, {}, False, 0.005, 0.5),
        ({"lr": 0.5, "optimizer": "sgd_rate_inside"}, {}, False, 0.05, 5),
        ({"lr": 5.0}, {}, True, 0.005, 50),  # fine-tuning needs less than the recipe's
        ({"lr": 0.05}, {}, True, 0.005, 0.5),
    ],
)
def test_rates_are_compared_with_the_recipe(
    recipe: dict[str, Any], original: dict[str, Any], trained: bool, lower: float, higher: float
) -> None:
    task = task_of(replace(PLAIN, **recipe), original=replace(PLAIN, **original), trained=trained)
    assert (task.lower_rate, task.higher_rate) == (f"--set lr={lower:g}", f"--set lr={higher:g}")


@pytest.mark.parametrize("mean", [0.0, 0.2, 0.43, 0.9, 123.675, -5.0, 255.0])
@pytest.mark.parametrize("std", [1 / 255, 0.003, 0.3, 1.0, 58.395, 255.0])
def test_the_normalization_of_a_hint_is_measured_from_the_images(mean: float, std: float) -> None:
    """Whatever the images were normalized with, the hint standardizes them; a mean that fits may stay."""
    split = learnable(256)
    sample = sample_of(split, mean=(mean,), std=(std,))
    values = {key: float(value) for key, value in parsed(fitting_normalization(sample)).items()}
    pixels = split.images[:] / 255
    assert values["std"] == pytest.approx(pixels.std(), rel=0.01)
    assert values.get("mean", mean) == pytest.approx(pixels.mean(), abs=3 * pixels.std())
    fitted = sample_of(split, mean=(values.get("mean", mean),), std=(values["std"],))
    assert check_images(task_of(), fitted) is None
    assert (check_images(task_of(), sample) is not None) == (std > 50 or not 0 <= mean <= 1)


@pytest.mark.parametrize(
    ("end", "topic"),
    [
        (nn.Identity(), None),
        (nn.Softmax(dim=1), "softmax_output"),
        (nn.ReLU(), "relu_output"),
        (nn.ReLU6(), "relu_output"),
        (nn.LogSoftmax(dim=1), None),  # harmless
        (nn.Tanh(), None),
        (nn.LeakyReLU(), None),
    ],
)
@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
@pytest.mark.parametrize("classes", [2, 10])
def test_a_softmax_or_relu_at_the_end_shows_in_the_outputs(
    end: nn.Module, topic: str | None, scale: float, classes: int
) -> None:
    logits = torch.randn(64, classes, generator=torch.Generator().manual_seed(1)) * scale
    task = task_of(labels=torch.arange(100) % classes, classes=CLASSES[:classes])
    found = check_outputs(task, Health(logits=end(logits)))
    assert (found.topic if found else None) == topic
    assert check_outputs(replace(task, recipe=replace(PLAIN, loss="lecun1998")), Health(logits=end(logits))) is None


def test_constant_outputs_are_no_softmax() -> None:
    for value in (0.0, 0.1, 1.0):
        assert check_outputs(task_of(), Health(logits=torch.full((64, 10), value))) is None


def test_label_noise_needs_a_loss_that_has_stopped_falling() -> None:
    """A network that has only begun to learn is as unsure of every image as one whose labels are partly random."""
    labels = torch.arange(200) % 10
    predicted = torch.where(torch.arange(200) < 100, labels, (labels + 1) % 10)
    health = Health(logits=torch.nn.functional.one_hot(predicted, 10) * 2.2)
    sample = Sample(torch.rand(200, 1, 12, 12), labels, Preprocess(channels=1, image_size=12))
    still = [EPOCH, replace(EPOCH, epoch=2, loss=0.49)]
    assert present(check_label_noise(task_of(), sample, health, still)).topic == "label_noise"
    assert check_label_noise(task_of(), sample, health, [EPOCH]) is None
    assert check_label_noise(task_of(), sample, health, [EPOCH, replace(EPOCH, epoch=2, loss=0.3)]) is None


def residual(value: float) -> nn.Module:
    net = mlp()
    nn.init.constant_(layer_of(net, 1, nn.Linear).weight, value)
    nn.init.constant_(layer_of(net, 1, nn.Linear).bias, value)
    return net


@pytest.mark.parametrize(
    ("net", "equal"),
    [
        (filled(mlp(), 0), True),
        (filled(relus(), 0.1), True),
        (filled(sigmoids(), -1), True),
        (mlp(), False),
        (filled(nn.Sequential(nn.Flatten(), nn.Linear(144, 10)), 0), False),  # a linear classifier learns from zeros
        (residual(0.1), False),  # the units differ by their outgoing weights
        (nn.Sequential(nn.Flatten(), nn.Linear(144, 1), nn.Linear(1, 10)), False),  # one unit
    ],
)
def test_equal_units_are_those_that_stay_equal(net: nn.Module, equal: bool) -> None:
    finding = check_equal_units(net)
    assert (finding is not None) == equal
    if finding is not None:
        assert parsed(finding.hint) == {"initialize": "xavier_uniform"}


@pytest.mark.parametrize(
    ("known", "topic", "reported"),
    [
        ("softmax_output", "softmax_output", False),
        ("equal_units", "equal_weights", False),
        ("unused_parameters", "softmax_output", True),
    ],
)
def test_known_topics_are_not_reported_again(known: str, topic: str, reported: bool) -> None:
    build = {"softmax_output": nn.Sequential(*mlp(), nn.Softmax(dim=1)), "equal_weights": filled(mlp(), 0)}
    topics = {item.topic for item in coach_of(known_topics=[known]).on_start(build[topic])}
    assert topics == ({topic} if reported else set())


@pytest.mark.parametrize("known", ["softmax_output", "relu_output", "equal_units", "no_activation"])
def test_what_follows_from_a_known_topic_is_not_reported(known: str) -> None:
    stuck = Setup(net=mlp, settings={"lr": "1e-6", "epochs": "6"}, data=learnable)
    assert stuck.run().topics == {"stuck_at_chance"}
    assert not replace(stuck, known_topics=[known]).run().advice
    grows = Setup(net=mlp, settings={"lr": "50"}, data=learnable, known_topics=[known])
    assert grows.run().topics == {"loss_grows"}  # this does not follow


def test_advice_of_the_session_counts_as_known() -> None:
    coach, net = coach_of(), filled(mlp(), 0)
    coach.on_event(Advice(epoch=1, step=0, topic="equal_units", message="", hint=""), net)
    assert not coach.on_start(net)


@pytest.mark.parametrize(
    "build",
    [
        lambda: scaled(relus(), 50),  # its loss starts high
        lambda: scaled(sigmoids(), 50),  # saturated
        lambda: filled(mlp(), 0),
        lambda: with_dead_units(),
    ],
)
def test_trained_weights_are_not_initialized_again(build: Any) -> None:
    """The weights of a run may be saturated, or have a new last layer whose loss is high: that is not for the coach."""
    assert coach_of().on_start(build())
    assert not coach_of(trained=True).on_start(build())


def with_dead_units() -> nn.Module:
    net = mlp()
    nn.init.constant_(layer_of(net, 1, nn.Linear).bias, -10)
    return net


def test_trained_weights_that_are_no_numbers_are_named() -> None:
    (advice,) = coach_of(trained=True, weights="runs/my run/best.safetensors").on_start(filled(mlp(), math.nan))
    assert advice.hint == "classicnets show 'runs/my run/best.safetensors'" and "initialize" not in advice.message


def test_a_trained_network_at_chance_is_not_initialized_again() -> None:
    setup = Setup(
        net=deep_sigmoids, recipe=replace(STANDARDIZED, initialize="normal", lr=0.5, epochs=10), data=learnable
    )
    assert "initialize" in setup.run().advice[0].hint
    assert not any(
        "net." in item.hint or "initialize" in item.hint for item in replace(setup, trained=True).run().advice
    )


def test_the_session_tells_the_coach_the_recipe_and_the_weights(blobs: Path, tmp_path: Path) -> None:
    def coach_for(spec: RunSpec, net: nn.Module | None = None) -> Coach:
        session = Session.start(plan(spec, net), lambda _: None, Output(runs=str(tmp_path / "runs")))
        return coach_module.watch(session, known_topics=["no_activation"])

    plain = RunSpec(net="lenet_d2l", data=str(blobs), settings={"epochs": "1", "lr": "90"})
    coach = coach_for(plain)
    assert (coach.task.recipe.lr, coach.task.original.lr, coach.task.lower_rate) == (90, 0.9, "--set lr=0.9")
    assert coach.reported_topics == {"no_activation"} and not coach.task.trained and not coach.task.in_python
    varied = replace(plain, recipe="fast", settings={"net.activation": "relu", "net.pool": "max", "lr": "0.3"})
    assert coach_for(varied).task.original.lr == 0.003  # tuned for the variation
    own = replace(plain, net="", recipe=replace(PLAIN, lr=0.02))
    assert coach_for(own, nn.Sequential(nn.Flatten(), nn.Linear(784, 10))).task.original.lr == 0.02
    run = cn.train("lenet_d2l", data=str(blobs), epochs=1, limit=64, quiet=True)
    fine_tuned = coach_for(replace(plain, weights=str(run.path)))
    assert fine_tuned.task.trained and fine_tuned.weights.endswith(".safetensors")


def test_the_sample_has_images_of_all_classes(tmp_path: Path) -> None:
    """The images of a folder are sorted by class."""
    folder = make_image_folder(tmp_path / "many", per_class=300, test_per_class=2)
    spec = RunSpec(net="", data=str(folder), recipe=replace(PLAIN, image_size=16))
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))
    session = Session.start(plan(spec, net), lambda _: None, Output(runs=str(tmp_path / "runs")))
    sample = coach_module.watch(session).sample
    assert len(sample.labels) == 256 and set(sample.labels.tolist()) == {0, 1, 2}
    assert torch.equal(sample.images, prepare(session.batches.images(_rows(sample, session)), sample.preprocess))


def _rows(sample: Sample, session: Session) -> torch.Tensor:
    """The rows of the training images that have the sample's images."""
    images = prepare(session.batches.images(torch.arange(session.batches.train_count)), sample.preprocess).flatten(1)
    return torch.tensor([int((images == image.flatten()).all(dim=1).nonzero()[0]) for image in sample.images])


RELUS = ["batch_size=32", "epochs=1", "net.activation=relu"]  # of sigmoids no loss grows beyond all bounds


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        (["lr=1e30"], "--set lr=0.9"),
        (["lr=1e5"], "--set lr=0.9"),
        (["lr=1e5", "weight_decay=0.1"], "--set lr=0.9"),
        (["weight_decay=1e30"], "--set weight_decay=0"),
        (["weight_decay=1000"], "--set weight_decay=0"),
    ],
)
def test_the_error_for_a_loss_that_is_not_finite_has_the_hint_of_the_coach(
    settings: list[str], hint: str, blobs: Path, cli: CommandLine
) -> None:
    code, _, err = cli("train", "lenet_d2l", "--data", blobs, "--set", *RELUS, *settings)
    assert code == 1
    assert f"hint:  {hint}\n" in err.split("error[CN101]")[1]


def test_a_run_with_trained_weights_is_not_told_to_initialize_them(blobs: Path, cli: CommandLine) -> None:
    command = ["train", "lenet_d2l", "--data", blobs, "--set", *RELUS]
    assert cli(*command, "lr=0.01")[0] == 0
    (run,) = Path("runs").iterdir()
    code, _, err = cli(*command, "lr=1e30", "--weights", run)
    assert code == 1
    assert "hint:  --set lr=0.09\n" in err.split("error[CN101]")[1] and "initialize=" not in err.split("run  ")[1]
