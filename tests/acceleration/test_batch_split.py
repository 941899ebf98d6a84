"""A batch split over threads gives the step of the whole batch up to rounding, reproducible bit for bit."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, spectral_norm

import classicnets as cn
from classicnets.acceleration import prepare
from classicnets.acceleration.batch_split import MAX_MACS, BatchSplit, choose_batch_threads, split_rows
from classicnets.acceleration.dropout import keep_mask, rows_of_batch
from classicnets.acceleration.independence import obstacle
from classicnets.acceleration.prepare import Acceleration, choose, prepared
from classicnets.acceleration.threads import ComputeThreads
from classicnets.evaluation.predictor import Predictor
from classicnets.models.registry import NETS
from classicnets.runs import checkpoint
from classicnets.training import objective, optim
from classicnets.training.loop import take_step, train_mode
from classicnets.training.state import State
from classicnets.values import Preprocess, Recipe
from support.command_line import CommandLine
from support.typed import present

PLAIN = Recipe(source="x", net="x", data="x", epochs=2, batch_size=64, lr=0.1, precision="float32")
STEPS, ROWS = 20, 64  # a power of two, so that sums over rows are read without rounding


def lenet(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    net = cn.create("lenet_d2l")
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
    return cn.vary(net, dropout=dropout) if dropout else net


def steps(
    net: nn.Module, recipe: Recipe, threads: int | None, *, rows: int = ROWS, **kind: Any
) -> tuple[list[float], State]:
    """The losses of 20 steps and the final state; with `threads` None as in plain PyTorch."""
    generator = torch.Generator().manual_seed(3)
    state, losses = State(net, recipe), []
    loss = objective.make(recipe, torch.tensor([0] * 30 + [1] * 3 + [*range(10)]), 10)
    split = BatchSplit(net, threads, seed=7) if threads else nullcontext()
    train_mode(net)
    with prepared(net, Acceleration(**kind)), split as is_split:
        for step in range(STEPS):
            x, y = torch.rand(rows, 1, 28, 28, generator=generator), torch.randint(10, (rows,), generator=generator)
            state.loss_sum, state.step = 0.0, step
            take_step(state, x, y, recipe.lr, recipe, loss, is_split)
            losses.append(float(state.loss_sum) / rows)
    return losses, state


def weights(state: State) -> dict[str, torch.Tensor]:
    """All tensors of the state except torch's generator."""
    return {name: t for name, t in state.tensors().items() if not name.startswith("generator")}


EPSILON = torch.finfo(torch.float32).eps  # 1.2e-7
RECIPES = {
    "cross entropy": {},
    "class weights": {"class_weights": "auto"},
    "label smoothing": {"label_smoothing": 0.1},
    "both": {"label_smoothing": 0.1, "class_weights": "auto"},
    "the loss of 1998": {"loss": "lecun1998", "lr": 0.01},
    "average, momentum and clip": {"ema": 0.9, "momentum": 0.9, "clip": 0.05},
    "adamw": {"optimizer": "adamw", "lr": 0.001},
    "frozen": {"freeze": ("conv1",)},
}


@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
def test_steps_equal_those_of_the_whole_batch(changes: dict[str, Any]) -> None:
    """Losses are equal up to a few units in the last place of float32."""
    recipe, nets = replace(PLAIN, **changes), [lenet(), lenet(), lenet()]
    for net in nets:
        for name in recipe.freeze:
            net.get_submodule(name).requires_grad_(requires_grad=False)
    expected, state = steps(nets[0], recipe, None)
    for threads, net in zip((2, 3), nets[1:], strict=True):
        parts, other = steps(net, recipe, threads)
        assert max(abs(a - b) / a for a, b in zip(expected, parts, strict=True)) < 4 * EPSILON, threads
        assert torch.equal(torch.as_tensor(state.correct), torch.as_tensor(other.correct))
        for name, tensor in weights(state).items():
            torch.testing.assert_close(weights(other)[name], tensor, rtol=1e-3, atol=2e-6, msg=name)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
def test_steps_are_equal_in_double_precision(changes: dict[str, Any], threads: int) -> None:
    recipe, losses = replace(PLAIN, **changes), []
    for is_split in (False, True):
        net, generator = lenet().double().train(), torch.Generator().manual_seed(3)
        loss = objective.make(recipe, torch.tensor([0] * 30 + [1] * 3 + [*range(10)]), 10)
        if isinstance(loss, objective.CrossEntropy) and loss.class_weights is not None:
            loss = replace(loss, class_weights=loss.class_weights.double())
        optimizer = optim.make(net, recipe)
        with BatchSplit(net, threads, 0) as split:
            for step in range(STEPS):
                x = torch.rand(ROWS, 1, 28, 28, dtype=torch.float64, generator=generator)
                y = torch.randint(10, (ROWS,), generator=generator)
                if is_split:
                    value, _ = split.backward(x, y, loss, "float32", (0, step))
                else:
                    value = loss(net(x), y)
                    value.backward()
                losses.append(float(value.detach()))
                optimizer.step()
                optimizer.zero_grad()
    assert np.allclose(losses[:STEPS], losses[STEPS:], rtol=1e-13, atol=0) and len({*losses}) > STEPS // 2


def test_dropout_does_not_depend_on_the_number_of_threads() -> None:
    expected, _ = steps(lenet(dropout=0.5), PLAIN, 1)
    for threads in (2, 3):
        parts, _ = steps(lenet(dropout=0.5), PLAIN, threads)
        assert max(abs(a - b) / a for a, b in zip(expected, parts, strict=True)) < 4 * EPSILON
    without, _ = steps(lenet(), PLAIN, 1)
    assert max(abs(a - b) for a, b in zip(expected, without, strict=True)) > 1e-3, "nothing was dropped"


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("rows", [ROWS, 49, 2])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_results_are_reproducible_for_a_number_of_threads(threads: int, rows: int, precision: str) -> None:
    recipe = replace(PLAIN, ema=0.9, clip=1.0, class_weights="auto", precision=precision)
    kind = {"rows": rows, "channels_last": True}
    (first, state), (second, other) = (steps(lenet(dropout=0.3), recipe, threads, **kind) for _ in range(2))
    assert first == second
    assert all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(state).items())


def test_rows_are_split_in_order_without_empty_ranges() -> None:
    for rows in (1, 2, 7, 64):
        for threads in (1, 2, 3, 8):
            ranges = split_rows(rows, threads)
            assert [i for part in ranges for i in part] == [*range(rows)]
            assert len(ranges) == min(rows, threads) and max(map(len, ranges)) - min(map(len, ranges)) <= 1


def test_gradients_of_unused_and_equal_parameters() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.unused = (nn.Parameter(torch.zeros(10)) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)[:, :10] + self.a + self.b

    for threads in (1, 2, 3):
        net = Own()
        x, y = torch.rand(6, 1, 28, 28), torch.arange(6)
        with BatchSplit(net, threads, 0) as split:
            loss, logits = split.backward(x, y, objective.CrossEntropy(), "float32", (0, 0))
        expected = F.cross_entropy(net(x), y)
        gradients = torch.autograd.grad(expected, [net.a, net.b])
        torch.testing.assert_close(loss, expected.detach())
        assert torch.equal(logits, net(x).detach()) and net.unused.grad is None
        assert present(net.a.grad).data_ptr() != present(net.b.grad).data_ptr()
        for parameter, gradient in zip((net.a, net.b), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)


def test_an_error_in_a_thread_is_raised_and_ends_the_threads() -> None:
    net = lenet()
    with pytest.raises(cn.UsageError, match="was built for 1x28x28"), BatchSplit(net, 2, 0) as split:
        split.backward(torch.rand(4, 1, 9, 9), torch.zeros(4).long(), objective.CrossEntropy(), "float32", (0, 0))
    assert split.threads._pool is None


# -- threads


@pytest.fixture(params=[1, 3])
def caller_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Sets the number of intra-op threads of the calling thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_intra_op_threads_are_one_each_and_restored(caller_threads: int) -> None:
    def inside(_: int) -> tuple[int, bool, bool]:
        torch.rand(200_000).add_(1)
        return torch.get_num_threads(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), ComputeThreads(3) as threads:
        assert threads.map(inside, range(6)) == [(1, True, False)] * 6
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == caller_threads
    with ComputeThreads(1) as threads:
        assert threads.map(lambda i: i + torch.get_num_threads(), range(2)) == [caller_threads, caller_threads + 1]


# -- dropout


def mixed(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


def test_masks_equal_integer_arithmetic() -> None:
    key, p = (1, 2, 3), 0.3
    digest = hashlib.sha256(repr(("dropout", *key)).encode()).digest()
    key1, key2 = (int.from_bytes(digest[i : i + 4], "little") for i in (0, 4))
    for row in (0, 5, 70_000):
        mask = keep_mask(key, row, 1, 300, p)[0]
        for element in range(300):
            x = mixed(element) ^ mixed(row ^ key1)
            x = x * 0x7FEB352D % 2**32
            x ^= x >> 15
            x = (x ^ mixed(row ^ key2)) * 0x846CA68B % 2**32
            signed = x - 2**32 if x >= 2**31 else x
            assert bool(mask[element]) is (signed >= round(p * 2**32) - 2**31)


def test_masks_depend_only_on_key_row_and_element() -> None:
    mask = keep_mask((1, 2), 0, 100, 64, 0.5)
    assert torch.equal(mask[30:50], keep_mask((1, 2), 30, 20, 64, 0.5))
    assert torch.equal(mask[:, :10], keep_mask((1, 2), 0, 100, 10, 0.5))
    for other in (keep_mask((1, 3), 0, 100, 64, 0.5), keep_mask((2, 2), 0, 100, 64, 0.5), mask.roll(1, 0)):
        assert 0.4 < (mask == other).float().mean() < 0.6
    assert keep_mask((1,), 0, 3, 4, 0.0).all() and not keep_mask((1,), 0, 3, 4, 1.0).any()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_masks_are_statistically_random(p: float) -> None:
    """The fraction and the correlations of neighbors in each direction are within five standard errors."""
    masks = torch.stack([keep_mask((0, step), 0, 200, 500, p) for step in range(10)]).double() - (1 - p)
    variance, n = p * (1 - p), masks.numel()
    assert abs(masks.mean()) < 5 * (variance / n) ** 0.5
    assert masks.mean(dim=(0, 1)).abs().max() < 5 * (variance / 2000) ** 0.5
    assert masks.mean(dim=(0, 2)).abs().max() < 5 * (variance / 5000) ** 0.5
    for axis in range(3):
        for distance in (1, 2, 3, 4, 7, 8):
            a, b = (masks.narrow(axis, start, masks.shape[axis] - distance) for start in (0, distance))
            assert abs((a * b).mean()) < 5 * variance / a.numel() ** 0.5, (axis, distance)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout(0.4), (30, 7, 5, 6)),
        (nn.Dropout(0.4, inplace=True), (30, 50)),
        (nn.Dropout1d(0.4), (30, 40, 5)),
        (nn.Dropout2d(0.4), (30, 40, 5, 6)),
        (nn.Dropout3d(0.4), (30, 40, 2, 3, 4)),
        (nn.Dropout(1.0), (30, 50)),
    ],
    ids=str,
)
def test_dropout_layers_behave_as_in_torch(layer: nn.modules.dropout._DropoutNd, shape: tuple[int, ...]) -> None:
    x, spoken = torch.rand(shape) + 1, repr(layer)
    with prepared(layer):
        assert repr(layer) == spoken and type(pickle.loads(pickle.dumps(layer))) is type(layer)
        with rows_of_batch((3,), 0, 30):
            y, second = layer(x.clone()), layer(x.clone())
        with rows_of_batch((3,), 10, 5):
            part = layer(x[10:15].clone())
        assert torch.equal(y[10:15], part) and (layer.p == 1 or not torch.equal(y, second))
        is_kept = y != 0
        scale = 1 / (1 - layer.p) if layer.p < 1 else 1
        torch.testing.assert_close(y, torch.where(is_kept, x * scale, 0.0))
        if type(layer).__name__ != "Dropout":  # whole channels
            flat = is_kept.flatten(2)
            assert torch.equal(flat.all(dim=2), flat.any(dim=2))
        assert abs(is_kept.float().mean() - (1 - layer.p)) < 0.1
        torch.manual_seed(1)
        outside = layer(x.clone())
        layer.eval()
        with rows_of_batch((3,), 0, 30):
            assert torch.equal(layer(x.clone()), x)
        layer.train()
    torch.manual_seed(1)
    assert torch.equal(layer(x.clone()), outside)


# -- which nets


class Plain(nn.Module):
    """A typical custom network."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes, self.activation = (8, 10), F.relu
        self.conv, self.fc = nn.Conv2d(1, 8, 5), nn.Linear(8 * 24 * 24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc(self.activation(self.conv(x)).flatten(1))
        return x


class Counts(Plain):
    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().forward(x)


class Keeps(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.x = x
        return super().forward(x)


class Lists(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []


class Centers(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x - x.mean(dim=0))


class Draws(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(super().forward(x), training=self.training)


class Grows(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.late = self.fc
        return super().forward(x)


class Buffers(Plain):
    total: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total += 1
        return super().forward(x)


class Refuses(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) < 4:
            raise ValueError("too few images")
        return super().forward(x)


def with_hook(kind: str) -> nn.Module:
    net = Plain()
    getattr(net.conv, kind)(lambda *_: None)
    return net


def with_tensor_hook(kind: str) -> nn.Module:
    net = Plain()
    getattr(net.fc.weight, kind)(lambda *_: None)
    return net


def around(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 8, 5), layer, nn.Flatten(), nn.Linear(8 * 24 * 24, 10))


WHOLE = {
    "BatchNorm": (lambda: around(nn.BatchNorm2d(8)), r"1 \(BatchNorm2d\) normalizes over the batch"),
    "BatchNorm without statistics": (lambda: around(nn.BatchNorm2d(8, track_running_stats=False)), "over the batch"),
    "RReLU": (lambda: around(nn.RReLU()), "uses torch's random generator"),
    "AlphaDropout": (lambda: around(nn.AlphaDropout()), "uses torch's random generator"),
    "functional dropout": (Draws, "uses torch's random generator"),
    "forward hook": (lambda: with_hook("register_forward_hook"), r"conv \(Conv2d\) has a hook"),
    "forward pre-hook": (lambda: with_hook("register_forward_pre_hook"), r"conv \(Conv2d\) has a hook"),
    "backward hook": (lambda: with_hook("register_full_backward_hook"), r"conv \(Conv2d\) has a hook"),
    "hook of a weight": (lambda: with_tensor_hook("register_hook"), "fc.weight has a hook"),
    "hook after a gradient": (
        lambda: with_tensor_hook("register_post_accumulate_grad_hook"),
        "fc.weight has a hook",
    ),
    "spectral norm": (lambda: around(parametrizations.spectral_norm(nn.Conv2d(8, 8, 1))), "is parametrized"),
    "weight norm": (lambda: around(parametrizations.weight_norm(nn.Conv2d(8, 8, 1))), "is parametrized"),
    "old spectral norm": (lambda: around(spectral_norm(nn.Conv2d(8, 8, 1))), "has a hook"),
    "lazy": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), "has no shape yet"),
    "counts": (Counts, "changes a buffer or an attribute"),
    "keeps": (Keeps, "changes a buffer or an attribute"),
    "grows": (Grows, "changes a buffer or an attribute"),
    "buffers": (Buffers, "changes a buffer or an attribute"),
    "lists": (Lists, r"the network \(Lists\) may have state of its own: seen"),
    "centers": (Centers, "depends on other images"),
    "refuses": (Refuses, "five images cannot be computed in two parts: too few images"),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("make", "why"), WHOLE.values(), ids=WHOLE)
def test_batches_are_not_split_if_images_interact_or_state_changes(
    make: Callable[..., Any] | type[nn.Module], why: str
) -> None:
    net = make()
    state, generator = copy.deepcopy(net.state_dict()) if "lazy" not in why else {}, torch.get_rng_state()
    attributes = [(module, [*vars(module).items()]) for module in net.modules()]
    kind: dict[str, Any] = {"device": "cpu", "macs": 10**6, "threads": 2, "batch_size": 256}
    threads, reason = choose_batch_threads(net, (1, 28, 28), **kind)
    assert threads == 1 and re.search(why, reason), reason
    assert torch.equal(torch.get_rng_state(), generator)
    assert all([*vars(module).items()] == before for module, before in attributes)
    if "has no shape" not in why:
        assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
        with pytest.raises(cn.UsageError, match="2 threads cannot share a batch of this network") as caught:
            choose(net, (1, 28, 28), **kind, precision="float32", batch_threads=2)
        assert caught.value.code == "CN204" and caught.value.why == reason


@pytest.mark.parametrize(
    "make",
    [
        Plain,
        lambda: around(nn.Dropout2d()),
        lambda: around(nn.GroupNorm(2, 8)),
        lambda: around(nn.LocalResponseNorm(5)),
    ],
    ids=["a module of one's own", "dropout", "group norm", "local response norm"],
)
def test_batches_of_other_networks_are_split(make: type[nn.Module] | Callable[..., Any]) -> None:
    net = make().eval()
    generator = torch.get_rng_state()
    assert obstacle(net, (1, 28, 28)) == "" and not any(module.training for module in net.modules())
    assert torch.equal(torch.get_rng_state(), generator)


def test_batches_of_registered_networks_are_split_by_the_rule() -> None:
    for name, entry in NETS.items():
        if entry.macs <= MAX_MACS:
            why = obstacle(cn.create(name), entry.input)
            assert bool(why) is any(isinstance(m, nn.BatchNorm2d) for m in cn.create(name).modules()), (name, why)


def test_the_number_of_threads_depends_on_network_threads_and_batch_size() -> None:
    def chosen(**changes: Any) -> int:
        kind: dict[str, Any] = {"device": "cpu", "macs": 10**6, "threads": 4, "batch_size": 256, **changes}
        return choose_batch_threads(Plain(), (1, 28, 28), **kind)[0]

    assert chosen() == 4 and chosen(threads=1) == 1 and chosen(threads=16) == 4
    assert chosen(batch_size=128) == 2 and chosen(batch_size=127) == 1
    assert chosen(macs=MAX_MACS + 1) == 1 and chosen(device="cuda") == 1


def test_one_thread_changes_nothing() -> None:
    kind: dict[str, Any] = {"device": "cpu", "macs": 10**6, "precision": "float32", "threads": 1, "batch_size": 256}
    assert choose(lenet(), (1, 28, 28), **kind) == prepare.PLAIN
    two = choose(lenet(), (1, 28, 28), **{**kind, "threads": 2})
    assert two == Acceleration(channels_last=True, batch_threads=2)
    assert two.lines() == ["batches are split over 2 threads (--batch-threads 1 turns this off)"]
    why = choose(around(nn.BatchNorm2d(8)), (1, 28, 28), **{**kind, "threads": 2}).lines()
    assert why == ["batches are not split over threads: 1 (BatchNorm2d) normalizes over the batch"]


# -- evaluation and whole runs


def test_evaluation_is_reproducible_and_equal_up_to_rounding_for_other_numbers_of_threads() -> None:
    """With one thread, whole batches are computed by torch's intra-op threads, whose number may change last digits."""
    images = np.random.default_rng(0).integers(0, 256, (1030, 1, 28, 28), np.uint8)
    preprocess, classes = Preprocess(channels=1, image_size=28, views=2), tuple("0123456789")
    net = lenet(dropout=0.5)
    before = [type(layer) for layer in net.modules()]
    for precision in ("float32", "bfloat16"):
        for last in (False, True):
            results = []
            for threads in (1, 2, 3):
                acceleration = Acceleration(channels_last=last, batch_threads=threads)
                predictor = Predictor(net, preprocess, classes, torch.device("cpu"), precision, acceleration)
                results.append(predictor.probabilities(images))
                np.testing.assert_array_equal(predictor.probabilities(images), results[-1])
                np.testing.assert_allclose(results[-1], results[0], rtol=0, atol=1e-6)
    assert [type(layer) for layer in net.modules()] == before and net.training


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Sets the number of torch's threads; the test suite has one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def run_weights(run: cn.Run) -> dict[str, torch.Tensor]:
    return checkpoint.weights(checkpoint.load(run.folder.last)[0])


def test_a_run_splits_batches_and_is_reproducible(blobs: Path, two_threads: None) -> None:
    settings = {"data": str(blobs), "recipe": "fast", "epochs": 1, "batch_size": 128, "quiet": True}
    runs = [cn.train("lenet_d2l", variation={"dropout": "0.5"}, **settings) for _ in range(2)]
    unsplit = cn.train("lenet_d2l", variation={"dropout": "0.5"}, batch_threads=1, **settings)
    first, second, other = map(run_weights, (*runs, unsplit))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert not all(torch.equal(tensor, other[name]) for name, tensor in first.items())
    assert isinstance(runs[0].predictor, Predictor)
    assert runs[0].predictor.acceleration == Acceleration(channels_last=True, batch_threads=2)
    assert runs[0].evaluate().accuracy == present(runs[0].result)["test_accuracy"]
    assert torch.get_num_threads() == 2


def test_a_run_with_split_batches_resumes_bit_for_bit(
    blobs: Path, two_threads: None, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"data": str(blobs), "recipe": "fast", "epochs": 2, "batch_size": 128, "quiet": True}
    uninterrupted = cn.train("lenet_d2l", variation={"dropout": "0.5"}, **settings)
    from classicnets.training import loop

    original = loop.take_step
    steps_done: list[Any] = []

    def die(*arguments: Any) -> None:
        if len(steps_done) == 4:  # of six steps
            raise SystemError("killed")
        steps_done.append(original(*arguments))

    with monkeypatch.context() as patch, pytest.raises(SystemError):
        patch.setattr(loop, "take_step", die)
        cn.train("lenet_d2l", variation={"dropout": "0.5"}, **settings)
    torch.set_num_threads(1)  # resuming has the run's number again
    killed = str(uninterrupted.path).removesuffix("1") + "2"
    code, _, err = cli("train", "--resume", killed)
    assert code == 0 and "batches are split over 2 threads" in err, err
    a, b = run_weights(uninterrupted), run_weights(cn.Run(killed))
    assert all(torch.equal(tensor, b[name]) for name, tensor in a.items())
    assert json.loads((uninterrupted.path / "run.json").read_text())["threads"] == 2
