"""The coach: its advice on runs with a known fault, none on sound runs, and no side effects."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.coach.coach import Coach
from classicnets.datasets.types import Split
from classicnets.events import Advice, Epoch, Event, Step
from classicnets.images import batches
from classicnets.images.transforms import prepare
from classicnets.inspection.health import examine
from classicnets.models.layers import ScaledTanh
from classicnets.recipes.resolve import ANY_NET, RECIPES, RecipeKey
from classicnets.training import loop, objective
from classicnets.training.initialize import initialize
from classicnets.training.loop import Scores
from classicnets.training.loop import train as train_loop
from classicnets.training.state import State
from classicnets.values import Recipe
from support.idx import make_images
from support.typed import gradients_of, layer_of, present

CPU = torch.device("cpu")


class Clock:
    """The clock of the training loop; it advances only in tests, however busy the machine is."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def no_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "time", CLOCK)


def a_step_takes(*_: object) -> None:
    CLOCK.now += 0.01


PLAIN = replace(
    RECIPES[RecipeKey("fast", ANY_NET)],
    optimizer="sgd",
    schedule="constant",
    weight_decay=0.0,
    lr=0.05,
    batch_size=16,
    epochs=3,
)


def learnable(n: int = 800, size: int = 12) -> Split:
    images, labels = make_images(n, size=size)
    return Split(images[:, None], labels.astype(np.int64))


def of_labels(labels: np.ndarray) -> Split:
    """Learnable images of just these classes."""
    images, every = make_images(10, size=12)
    assert every.tolist() == list(range(10))
    noise = np.random.default_rng(0).integers(0, 20, (len(labels), 12, 12), dtype=np.uint8)
    return Split((images[labels] // 2 + noise)[:, None], labels.astype(np.int64))


def noisy_labels() -> Split:
    split = learnable(3200)
    return Split(split.images, np.random.default_rng(0).permutation(split.labels))


def mlp(*, dropout: float = 0.0, width: int = 32) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(144, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10))


def sigmoids() -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(144, 64), nn.Sigmoid(), nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 10)
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


def dead(net: nn.Sequential) -> nn.Module:
    nn.init.constant_(layer_of(net, 1, nn.Linear).bias, -10)
    return net


def trained(
    net: nn.Module,
    recipe: Recipe,
    train: Split,
    *,
    validation: Split | None = None,
    watched: bool = True,
    seed: int = 0,
    past: Sequence[Event] = (),
    load: Callable[..., batches.Batches] = batches.Batches,
) -> tuple[list[Event], State]:
    """All events of a training run with the real loop, including the coach's advice, and the final state."""
    torch.manual_seed(seed)
    initialize(net, recipe.initialize)
    preprocess = recipe.preprocess(*train.images.shape[1:3])
    loader = load(train, recipe, preprocess, seed=seed, device=CPU)
    state = State(net, recipe)
    classes = tuple(map(str, range(10)))
    probe = prepare(loader.images(torch.arange(min(256, len(train)))), preprocess)
    coach = Coach(recipe, classes, probe, loader.labels)
    coach.on_resume(past)
    events: list[Event] = [*coach.on_start(net)] if watched else []
    best = 0.0
    net.register_forward_hook(a_step_takes)
    for event in train_loop(state, loader, recipe, objective.make(recipe, loader.labels, 10), Scores):
        if isinstance(event, Epoch) and validation is not None:
            loss, accuracy = judged(net, prepare(torch.from_numpy(validation.images), preprocess), validation)
            event = replace(event, validation_loss=loss, validation_accuracy=accuracy, best=accuracy > best)
            best = max(best, accuracy)
        events.append(event)
        assert not isinstance(event, Advice)  # the loop itself gives none
        if watched and event.loss is not None:
            events += coach.on_event(event, net)
        if event.loss is not None and not math.isfinite(event.loss):
            break
    return events, state


def judged(net: nn.Module, x: torch.Tensor, split: Split) -> tuple[float, float]:
    net.eval()
    with torch.no_grad():
        logits, y = net(x), torch.from_numpy(split.labels)
    return float(nn.functional.cross_entropy(logits, y)), float((logits.argmax(1) == y).float().mean())


def advice_in(events: list[Event]) -> list[Advice]:
    return [event for event in events if isinstance(event, Advice)]


def constant(value: int = 90) -> Split:
    split = learnable()
    return Split(np.full_like(split.images, value), split.labels)


RAW = {"mean": (0.0,), "std": (1 / 255,)}  # 0..255

BROKEN: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], Callable[[], Split], str, str]] = {
    "all images black": (mlp, {}, lambda: constant(0), "constant_pictures", "classicnets data check fashion_mnist"),
    "all images the same": (
        mlp, {}, lambda: Split(learnable().images[[0] * 800], learnable().labels), "constant_pictures",
        "classicnets data check fashion_mnist",
    ),
    "values divided by 255 twice": (
        mlp, {"mean": (0.0,), "std": (255.0,)}, learnable, "pictures_out_of_range", "--set std=",
    ),
    "raw 0-255 into sigmoids": (
        sigmoids, {**RAW, "initialize": "xavier_uniform"}, learnable, "pictures_out_of_range", "--set mean=0 std=1",
    ),
    "raw 0-255 into a plain net": (
        lambda: scaled(mlp(), 3), {**RAW}, learnable, "pictures_out_of_range", "--set mean=0 std=1",
    ),
    "one class has no images": (
        mlp, {}, lambda: of_labels(np.arange(400) % 9), "class_without_pictures",
        "classicnets data check fashion_mnist",
    ),
    "one class has most images": (
        mlp, {}, lambda: of_labels(np.where(np.arange(800) % 2, 3, np.arange(800) // 2 % 10)), "classes_unequal",
        "--set class_weights=auto",
    ),
    "one class has few images": (
        mlp, {}, lambda: of_labels(np.concatenate([np.arange(800) % 9, [9] * 2])), "classes_unequal",
        "--set class_weights=auto",
    ),
    "weights of a sigmoid net times 50": (
        lambda: scaled(sigmoids(), 50), {}, learnable, "saturated_sigmoids",
        "--set initialize=xavier_uniform_zero_bias",
    ),
    "weights of a ReLU net times 50": (
        lambda: scaled(mlp(), 50), {}, learnable, "first_loss_high", "--set initialize=xavier_uniform_zero_bias",
    ),
    "biases of -10 before a ReLU": (
        lambda: dead(mlp()), {}, learnable, "dead_relus", "--set initialize=xavier_uniform_zero_bias",
    ),
    # with this decay every unit dies, whatever the seed; without it some units of some seeds live on
    "rate far too high for ReLUs": (
        relus, {"lr": 1.4, "weight_decay": 0.1}, learnable, "dead_relus or loss_grows", "--set lr=0.14",
    ),
    "rate higher still": (mlp, {"lr": 50.0}, learnable, "loss_grows", "--set lr=5"),
    "rate without bounds": (mlp, {"lr": 1e20}, learnable, "not_finite", "--set lr=1e+19"),
    "rate far too high for sigmoids": (sigmoids, {"lr": 20.0}, learnable, "saturated_sigmoids", "--set lr=2"),
    "rate far too low": (mlp, {"lr": 1e-6, "epochs": 6}, learnable, "stuck_at_chance", "--set lr=1e-05"),
    "sigmoids with torch's initial weights": (
        lambda: cn.create("lenet_d2l"), {"lr": 0.1}, lambda: learnable(3200, 28), "stuck_at_chance",
        "--set initialize=xavier_uniform",
    ),
    "sigmoids at a tenth of their rate": (
        lambda: cn.create("lenet_d2l"), {"lr": 0.03, "initialize": "xavier_uniform"}, lambda: learnable(3200, 28),
        "stuck_at_chance", "--set net.activation=relu",
    ),
    "labels that are noise": (mlp, {}, noisy_labels, "stuck_at_chance", "classicnets data check fashion_mnist"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_faulty_run_gets_advice_once(name: str) -> None:
    build, changes, data, topic, hint = BROKEN[name]
    torch.manual_seed(0)
    advice = advice_in(trained(build(), replace(PLAIN, **changes), data())[0])
    expected = [item for item in advice if item.topic in topic.split(" or ")]
    assert expected and expected[0].hint.startswith(hint)
    assert len({item.topic for item in advice}) == len(advice) <= 2


def test_advice_contains_the_evidence() -> None:
    advice = advice_in(trained(mlp(), replace(PLAIN, lr=1e-6, epochs=6), learnable())[0])
    assert "ln 10 = 2.303" in advice[0].message and "the weights changed by only" in advice[0].message
    assert advice[0].epoch == 4 and advice[0].step == 50  # it compares after 200 steps or more


def test_units_that_die_during_training_suggest_a_lower_rate() -> None:
    net, recipe, step = mlp(), PLAIN, Step(epoch=1, step=10, steps=50, images=160, seconds=1.0, loss=2.0, accuracy=0.3)
    coach = Coach(recipe, tuple("0123456789"), torch.rand(64, 1, 12, 12), torch.arange(10).repeat(20))
    assert not coach.on_start(net) and not coach.on_event(step, net)
    with torch.no_grad():
        layer_of(net, 1, nn.Linear).bias[1:] = -10  # 31 of 32, and the last makes no difference between images
        layer_of(net, 4, nn.Linear).weight[:, 0] = 0
    advice = coach.on_event(replace(step, step=20), net)
    assert [(item.topic, item.epoch, item.step, item.hint) for item in advice] == [
        ("dead_relus", 1, 20, "--set lr=0.005")
    ]
    assert advice[0].message.startswith("97% of the units of 2 (ReLU)")
    assert not coach.on_event(replace(step, step=30), net)


def test_dead_units_are_ignored_while_the_network_works() -> None:
    """Most units of a layer are dead, but the outputs still depend on the image."""
    net, step = mlp(), Step(epoch=1, step=10, steps=50, images=160, seconds=1.0, loss=2.0, accuracy=0.3)
    coach = Coach(PLAIN, tuple("0123456789"), torch.rand(64, 1, 12, 12), torch.arange(10).repeat(20))
    assert not coach.on_start(net)
    dense = layer_of(net, 1, nn.Linear)
    with torch.no_grad():
        dense.bias[2:] = -10
        dense.weight[:2].mul_(5)
        dense.bias[:2] = 1
    assert present(examine(net, coach.probe)).dead["2"] > 0.9
    assert not coach.on_event(step, net)


def test_a_network_back_at_chance_gets_a_lower_rate() -> None:
    learned = Epoch(
        epoch=1, epochs=4, loss=0.5, accuracy=0.9, validation_accuracy=None, test_accuracy=None, lr=0.05, seconds=1.0,
        evaluation_seconds=0.0, images_per_second=1.0, wait_share=0.0,
    )  # fmt: skip
    advice = advice_in(trained(mlp(), PLAIN, noisy_labels(), past=[learned])[0])
    assert [item.hint for item in advice] == ["--set lr=0.005"]
    assert "the network had learned before" in advice[0].message


def test_reports_a_rising_validation_loss_without_the_test_split() -> None:
    split, other = noisy_labels(), noisy_labels()
    train = Split(split.images[:100], split.labels[:100])
    validation = Split(other.images[100:600], other.labels[100:600])
    recipe = replace(PLAIN, epochs=40, lr=0.1, monitor="validation", validation=0.1)
    events, _ = trained(mlp(), recipe, train, validation=validation)
    advice = advice_in(events)
    assert [(item.topic, item.hint) for item in advice] == [("validation_turns", "--set patience=3")]
    epochs = {event.epoch: event for event in events if isinstance(event, Epoch)}
    since = int(advice[0].message.split("since epoch ")[1].split()[0])
    lowest = min(present(e.validation_loss) for e in epochs.values() if e.epoch <= advice[0].epoch)
    assert epochs[since].validation_loss == lowest
    assert advice[0].epoch >= since + 3
    patient = trained(mlp(), replace(recipe, patience=30), train, validation=validation)[0]
    assert [item.hint for item in advice_in(patient)] == ["--set shift=2"]
    assert not advice_in(trained(mlp(), recipe, train)[0])  # without a validation set


class Slow(batches.Batches):
    """Batches from a slow disk."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch in super().epoch(epoch, start):
            CLOCK.now += 0.06
            yield batch


def test_reports_waiting_for_data_after_two_epochs() -> None:
    advice = advice_in(trained(mlp(), PLAIN, learnable(160), load=Slow)[0])
    assert [(item.topic, item.epoch, item.hint) for item in advice] == [("data_starved", 2, "--loader-threads 2")]


SOUND: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], Callable[[], Split]]] = {
    "sigmoids that take their time": (
        deep_sigmoids, {"lr": 0.2, "initialize": "xavier_uniform", "epochs": 20}, learnable,
    ),
    "the book's LeNet with ReLU and maximum": (
        lambda: cn.create("lenet_d2l", variation={"activation": "relu", "pool": "max"}),
        {"optimizer": "adamw", "lr": 0.003, "schedule": "one_cycle", "initialize": "xavier_uniform"},
        lambda: learnable(800, 28),
    ),
    "a perceptron": (mlp, {}, learnable),
    "a net with dropout": (lambda: mlp(dropout=0.5, width=64), {}, learnable),
    "a net with batch normalization": (with_batch_norm, {"lr": 0.1}, learnable),
    "classes somewhat unequal": (mlp, {}, lambda: of_labels(np.minimum(np.arange(800) % 13, 9))),
    "few images": (mlp, {}, lambda: learnable(32)),
    "0-255 with weights to match": (
        lambda: cn.create("alexnet_28"), {"initialize": "krizhevsky2012", "mean": (0.35,), "std": (1 / 255,),
        "momentum": 0.9, "lr": 0.01, "epochs": 1}, lambda: learnable(64, 28),
    ),
}  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", SOUND)
def test_a_sound_run_gets_no_advice(name: str, seed: int) -> None:
    build, changes, data = SOUND[name]
    torch.manual_seed(seed)
    events, _ = trained(build(), replace(PLAIN, **changes), data(), seed=seed)
    assert not advice_in(events)


def test_a_sound_run_may_be_at_chance_for_long() -> None:
    """The tests of sound runs are meaningful only if one of them stays at chance for longer than the coach waits."""
    build, changes, data = SOUND["sigmoids that take their time"]
    torch.manual_seed(0)
    epochs = [e for e in trained(build(), replace(PLAIN, **changes), data())[0] if isinstance(e, Epoch)]
    assert all(e.loss > 0.98 * math.log(10) and e.accuracy < 0.13 for e in epochs[:5])  # 250 steps
    assert epochs[-1].accuracy > 0.5


def test_the_coach_does_not_change_a_run() -> None:
    """Dropout draws from the global generator, batch normalization keeps statistics, one part of it is frozen."""
    results = []
    for watched in (True, False):
        torch.manual_seed(1)
        net = with_batch_norm()
        net[6].eval()
        _, state = trained(net, replace(PLAIN, epochs=2, lr=0.1, momentum=0.9), learnable(), watched=watched)
        results.append(state.tensors())
    assert all(torch.equal(a, results[1][name]) for name, a in results[0].items())


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
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
    coach = Coach(PLAIN, tuple("0123456789"), torch.rand(8, 1, 12, 12), torch.arange(10).repeat(20))
    assert not coach.on_start(net) and isinstance(net[1].weight, nn.UninitializedParameter)


def test_a_network_without_signal_is_stuck_although_its_weights_change() -> None:
    """With weights N(0, 0.01) and five sigmoids, the spread of the outputs grows tenfold but stays near 0."""
    recipe = replace(PLAIN, initialize="normal", lr=0.5, epochs=10)
    (advice,) = advice_in(trained(deep_sigmoids(), recipe, learnable())[0])
    assert (advice.topic, advice.hint) == ("stuck_at_chance", "--set initialize=xavier_uniform")
    assert not advice_in(trained(deep_sigmoids(), replace(recipe, initialize="xavier_uniform"), learnable())[0])


def test_advice_is_not_repeated_after_resuming() -> None:
    split, recipe = learnable(), replace(PLAIN, lr=50.0)
    events, state = trained(mlp(), recipe, split)
    assert [item.topic for item in advice_in(events)] == ["loss_grows"]
    probe, labels = torch.rand(8, 1, 12, 12), torch.from_numpy(split.labels)
    loss = Step(epoch=1, step=50, steps=50, images=800, seconds=1.0, loss=1e6, accuracy=0.1)
    afresh = Coach(recipe, tuple("0123456789"), probe, labels)
    assert [item.topic for item in afresh.on_event(loss, state.net)] == ["loss_grows"]
    assert not afresh.on_event(replace(loss, step=51), state.net)
    resumed = Coach(recipe, tuple("0123456789"), probe, labels)
    resumed.on_resume(events)
    assert not resumed.on_event(loss, state.net)


def test_the_chance_loss_depends_on_class_weights_and_label_smoothing() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    probe = torch.rand(8, 1, 12, 12)
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
        coach = Coach(replace(PLAIN, **changes), ("a", "b"), probe, labels)
        assert coach.task.chance_loss() == pytest.approx(cost, rel=1e-5)
    assert not Coach(replace(PLAIN, class_weights="auto"), ("a", "b"), probe, labels).on_start(two)
