"""Optimizers, learning rates and objectives, compared with plain PyTorch and with calculations by hand."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import classicnets as cn
from classicnets.datasets.types import Split
from classicnets.events import Epoch, Step
from classicnets.images.batches import Batches
from classicnets.training import objective, optim
from classicnets.training.freeze import freeze
from classicnets.training.loop import Scores, take_step
from classicnets.training.loop import train as train_loop
from classicnets.training.state import State
from classicnets.values import Recipe

PLAIN = Recipe(source="x", net="x", data="x", epochs=2, batch_size=8, lr=0.1)


def small(*, dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(4 * 36, 16),
        nn.ReLU(),
        nn.Linear(16, 5),
    )


def data(n: int = 64) -> Split:
    generator = np.random.default_rng(0)
    return Split(generator.integers(0, 256, (n, 1, 8, 8), dtype=np.uint8), generator.integers(0, 5, n))


def loader(recipe: Recipe, images: Split) -> Batches:
    return Batches(images, recipe, recipe.preprocess(1, 8), seed=1, device=torch.device("cpu"))


def train(
    recipe: Recipe, net: nn.Module, images: Split | None = None, watch: Callable[[], Scores] = Scores
) -> tuple[State, list[Any]]:
    state = State(net, recipe)
    images_loader = loader(recipe, images or data())
    loss = objective.make(recipe, images_loader.labels, 5)
    return state, list(train_loop(state, images_loader, recipe, loss, watch))


def steps_of(optimizer: torch.optim.Optimizer, net: nn.Module, rates: list[float]) -> None:
    x, y = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(2)), torch.arange(16) % 5
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rate_inside_equals_torch_sgd_until_the_rate_drops(momentum: float) -> None:
    ours, theirs = small(), small()
    recipe = replace(PLAIN, optimizer="sgd_rate_inside", momentum=momentum, weight_decay=0.01)
    inside = optim.make(ours, recipe)
    outside = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=momentum, weight_decay=0.01)
    for optimizer, net in ((inside, ours), (outside, theirs)):
        steps_of(optimizer, net, [0.1] * 20)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    for optimizer, net in ((inside, ours), (outside, theirs)):
        steps_of(optimizer, net, [0.01])
    apart = max(
        float((a - b).detach().abs().max()) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
    )
    assert (apart > 1e-4) == (momentum > 0)


def test_rate_inside_follows_the_formula_of_the_paper() -> None:
    """v <- 0.9 v - 0.0005 eps w - eps g; w <- w + v, computed in float64 with a changing rate."""
    w = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = optim.RateInside([{"params": [w], "weight_decay": 0.0005}], lr=1.0, momentum=0.9)
    by_hand, v = np.array([1.0, -2.0]), np.zeros(2)
    for eps in (0.01, 0.01, 0.001, 0.1):
        g = 2 * by_hand + 1
        v = 0.9 * v - 0.0005 * eps * by_hand - eps * g
        by_hand = by_hand + v
        optimizer.param_groups[0]["lr"] = eps
        w.grad = 2 * w.detach() + 1
        optimizer.step()
    np.testing.assert_allclose(w.detach().numpy(), by_hand, rtol=1e-12)


def test_learning_rate_of_biases_and_weight_decay_of_layers() -> None:
    net = small()
    recipe = replace(PLAIN, bias_lr=2.0, bias_decay=False, weight_decays=(0.0, 0.004, 0.01), momentum=0.9)
    groups = optim.make(net, recipe).param_groups
    of = {id(p): (group["factor"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert [of[id(net[i].weight)] for i in (0, 4, 6)] == [(1.0, 0.0), (1.0, 0.004), (1.0, 0.01)]
    assert [of[id(net[i].bias)] for i in (0, 4, 6)] == [(2.0, 0.0)] * 3
    plain = optim.make(net, replace(PLAIN, weight_decay=0.5)).param_groups
    assert [(g["factor"], g["weight_decay"], len(g["params"])) for g in plain] == [(1.0, 0.5, 6)]


def test_learning_rate_schedules() -> None:
    steps = replace(PLAIN, schedule="steps", drop_at=(25 / 90, 51 / 90), drop_to=(0.1, 0.01), epochs=90)
    rates = [optim.rate(steps, epoch / 90) for epoch in range(90)]
    assert rates == [0.1] * 25 + [0.1 * 0.1] * 26 + [0.1 * 0.01] * 39
    inverse = replace(PLAIN, schedule="inverse", lr=0.01)
    for iteration in (0, 500, 5_000, 10_000):  # Caffe: 0.01 (1 + 0.0001 it)^-0.75 over 10,000 iterations
        assert optim.rate(inverse, iteration / 10_000) == pytest.approx(0.01 * (1 + 0.0001 * iteration) ** -0.75)
    plateau = replace(PLAIN, schedule="plateau")
    assert [optim.rate(plateau, 0.5, drops) for drops in range(4)] == pytest.approx([0.1, 0.01, 0.001, 0.0001])


def watch_of(accuracies: list[float]) -> Callable[[], Scores]:
    remaining = iter(accuracies)
    return lambda: Scores(validation_accuracy=next(remaining), validation_loss=1.0)


def test_plateau_drops_the_rate_three_times_and_then_stops() -> None:
    recipe = replace(PLAIN, schedule="plateau", patience=2, validation=0.1, monitor="validation", epochs=50, lr=0.1)
    state, events = train(recipe, small(), watch=watch_of([0.5, 0.6] + [0.55] * 48))
    epochs = [e for e in events if isinstance(e, Epoch)]
    assert [round(e.lr, 10) for e in epochs] == [0.1] * 4 + [0.01] * 2 + [0.001] * 2 + [0.0001] * 2
    assert state.stopped and epochs[-1].stops == "no better validation accuracy for 2 epochs"
    assert [e.best for e in epochs] == [True, True] + [False] * 8 and not any(e.stops for e in epochs[:-1])


def test_patience_stops_early_and_a_stopped_run_stays_stopped() -> None:
    recipe = replace(PLAIN, patience=3, validation=0.1, monitor="validation", epochs=50)
    state, events = train(recipe, small(), watch=watch_of([0.5, 0.6, 0.1, 0.2, 0.3, 0.9]))
    assert len([e for e in events if isinstance(e, Epoch)]) == 5 and state.best == 0.6
    again = State(small(), recipe)
    again.restore(state.tensors(), state.facts())
    images_loader = loader(recipe, data())
    assert list(train_loop(again, images_loader, recipe, objective.make(recipe, images_loader.labels, 5), Scores)) == []


def test_of_equal_accuracies_the_lower_loss_is_best_but_does_not_reset_patience() -> None:
    """With a validation set of four images, equal accuracies are frequent."""
    recipe = replace(PLAIN, patience=3, validation=0.1, monitor="validation", epochs=50)
    scores = iter([(0.5, 1.0), (1.0, 0.9), (1.0, 0.2), (1.0, 0.3), (1.0, 0.1), (1.0, 0.0)])

    def watch() -> Scores:
        accuracy, loss = next(scores)
        return Scores(validation_accuracy=accuracy, validation_loss=loss)

    state, events = train(recipe, small(), watch=watch)
    assert [e.best for e in events if isinstance(e, Epoch)] == [True, True, True, False, True]
    assert state.stopped and (state.best, state.best_loss) == (1.0, 0.1)


def test_no_epoch_is_best_if_the_validation_set_joins() -> None:
    recipe = replace(PLAIN, validation=0.1, join_after=1, monitor="validation", epochs=2)
    _, events = train(recipe, small(), watch=watch_of([0.5, 0.9]))
    assert not any(e.best for e in events if isinstance(e, Epoch))


def test_exponential_moving_average_of_the_weights() -> None:
    recipe = replace(PLAIN, ema=0.9, lr=0.05)
    state = State(small(), recipe)
    images_loader = loader(recipe, data())
    expected: list[np.ndarray] = []
    for event in train_loop(state, images_loader, recipe, objective.make(recipe, images_loader.labels, 5), Scores):
        if isinstance(event, Step):
            now = [p.detach().double().numpy().copy() for p in state.net.parameters()]
            expected = [0.9 * e + 0.1 * w for e, w in zip(expected, now, strict=True)] if expected else now
    assert state.evaluated_net is not state.net
    for average, want in zip(state.evaluated_net.parameters(), expected, strict=True):
        np.testing.assert_allclose(average.detach().numpy(), want, rtol=1e-4, atol=1e-6)


def test_the_state_is_restored_at_any_step() -> None:
    """With averaged weights, velocity and dropout, training depends only on the saved state."""
    recipe = replace(
        PLAIN, ema=0.9, optimizer="sgd_rate_inside", momentum=0.9, bias_lr=2.0, lr=0.02, precision="bfloat16"
    )
    images_loader = loader(recipe, data())
    loss = objective.make(recipe, images_loader.labels, 5)
    torch.manual_seed(9)
    state, saved = State(small(dropout=0.5), recipe), {}
    for k, _ in enumerate(train_loop(state, images_loader, recipe, loss, Scores)):
        tensors = {name: tensor.clone() for name, tensor in state.tensors().items()}
        saved[k] = (tensors, state.facts())
    for k in (2, 8, 11):
        again = State(small(dropout=0.5), recipe)
        again.restore(*copy.deepcopy(saved[k]))
        list(train_loop(again, images_loader, recipe, loss, Scores))
        assert all(torch.equal(a, b) for a, b in zip(again.net.parameters(), state.net.parameters(), strict=True)), k
        assert all(
            torch.equal(a, b)
            for a, b in zip(again.evaluated_net.parameters(), state.evaluated_net.parameters(), strict=True)
        )


def test_bfloat16_keeps_float32_weights_and_is_close_to_float32() -> None:
    results = {}
    for precision in ("float32", "bfloat16"):
        dtypes: list[torch.dtype] = []
        net = small()
        net[0].register_forward_hook(lambda _m, _i, out, dtypes=dtypes: dtypes.append(out.dtype))
        state, events = train(replace(PLAIN, precision=precision), net)
        assert {p.dtype for p in state.net.parameters()} == {torch.float32}
        assert set(dtypes) == {getattr(torch, precision)}
        results[precision] = [e.loss for e in events if isinstance(e, Epoch)][-1]
    assert results["float32"] != results["bfloat16"]
    assert abs(results["float32"] - results["bfloat16"]) < 0.02


def test_clipping_limits_the_step() -> None:
    recipe = replace(PLAIN, clip=0.01, lr=1.0)
    net = small()
    before = [p.detach().clone() for p in net.parameters()]
    state = State(net, recipe)
    x, y = torch.randn(8, 1, 8, 8) * 10, torch.arange(8) % 5
    take_step(state, x, y, 1.0, recipe, objective.make(recipe, y, 5))
    change = math.sqrt(
        sum(float((a - b.detach()).square().sum()) for a, b in zip(before, net.parameters(), strict=True))
    )
    assert change == pytest.approx(0.01, rel=1e-3)


def test_class_weights_balance_the_classes() -> None:
    labels = torch.tensor([0] * 90 + [1] * 9 + [2])
    logits = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    loss = objective.make(replace(PLAIN, class_weights="auto"), labels, 3)(logits, labels)
    each = F.cross_entropy(logits, labels, reduction="none")
    expected = torch.stack([each[labels == c].mean() for c in range(3)]).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_the_loss_of_1998_is_equation_9() -> None:
    distances = torch.tensor([[0.5, 3.0, 7.0], [4.0, 0.25, 2.0]], dtype=torch.float64)
    y = torch.tensor([0, 2])
    j = objective.J
    expected = [
        d[t] + math.log(math.exp(-j) + sum(math.exp(-v) for v in d))
        for d, t in zip(distances.tolist(), (0, 2), strict=True)
    ]
    assert float(objective.map_loss(-distances, y)) == pytest.approx(sum(expected) / 2, rel=1e-12)
    assert torch.autograd.gradcheck(lambda d: objective.map_loss(-d, y), distances.requires_grad_())


def test_frozen_layers_and_their_running_statistics_do_not_change() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5))
    freeze(net, ["0", "1"])
    before = copy.deepcopy(net.state_dict())
    train(PLAIN, net)
    after = net.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith("3."))
    assert not torch.equal(before["3.weight"], after["3.weight"])


def test_rejects_freezing_unknown_or_all_layers() -> None:
    with pytest.raises(cn.UsageError) as caught:
        freeze(small(), ["features*"])
    assert "no layer with weights matches 'features*'" in str(caught.value) and "0, 4, 6" in caught.value.why
    with pytest.raises(cn.UsageError, match="all layers are frozen"):
        freeze(small(), ["*"])
