"""Acceleration changes no values, and the network is restored afterwards."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import classicnets as cn
from classicnets.acceleration import layers
from classicnets.acceleration.prepare import PLAIN, Acceleration, choose, prepared
from classicnets.models.layers import Subsampling
from support.typed import layer_of, present

LAST = Acceleration(channels_last=True)
TILED = [
    {"kernel_size": 2},
    {"kernel_size": (3, 2)},
    {"kernel_size": [2], "stride": []},
    {"kernel_size": 2, "stride": 2, "ceil_mode": True},
    {"kernel_size": 3, "stride": (3, 3), "padding": 0},
]
OTHER = [
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 2, "padding": 1},
    {"kernel_size": 1},
    {"kernel_size": 4},  # 42 columns: two are left over
    {"kernel_size": 6},
]
SHAPE = 32, 4, 24, 42


def maps(**kind: Any) -> torch.Tensor:
    """Random feature maps with many equal values in a window, as after ReLU."""
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)).round(decimals=1).relu().to(**kind)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records the calls that are computed by slices instead of by torch."""
    seen: list[str] = []
    original: Callable[..., Any] = layers._Average.apply

    def call(*args: Any) -> Any:
        seen.append("_average")
        return original(*args)

    monkeypatch.setattr(layers._Average, "apply", call)
    return seen


@pytest.mark.parametrize("how", [*TILED, *OTHER], ids=str)
def test_outputs_equal_torch(how: dict[str, Any], quick: list[str]) -> None:
    pool = nn.AvgPool2d(**how)
    expected = pool(maps())
    with prepared(pool):
        output = pool(maps())
    assert torch.equal(output, expected) and output.stride() == expected.stride()
    assert len(quick) == (how in TILED)


@pytest.mark.parametrize("how", [*TILED, *OTHER], ids=str)
def test_gradients_of_average_pooling_equal_torch(how: dict[str, Any], quick: list[str]) -> None:
    gradients, pool = [], nn.AvgPool2d(**how)
    for mode in (prepared(pool), torch.enable_grad()):
        x = maps().requires_grad_()
        with mode:
            y = pool(x)
        y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(1)))
        gradients.append(present(x.grad))
    assert torch.equal(*gradients) and len(quick) == (how in TILED)


def test_uses_torch_where_slices_would_differ_or_be_slower(quick: list[str]) -> None:
    x, pool, divided, still = maps(), nn.AvgPool2d(2), nn.AvgPool2d(2, divisor_override=3), nn.AvgPool2d(2)
    still.stride = 0
    last, odd, small = x.contiguous(memory_format=torch.channels_last), x.transpose(2, 3), x[:2]
    with prepared(nn.ModuleList([pool, divided, still])):
        assert torch.equal(divided(x), pool(x) * 4 / 3)
        assert quick == ["_average"]  # the one without a divisor
        pool(x.bfloat16())
        pool(last)
        for other in (odd, small, x[0]):
            pool(other)
        torch.func.vmap(pool)(x[None])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that torch.jit is deprecated
            torch.func.jvp(pool, (x,), (x,))
            torch.jit.trace(pool, x, check_trace=False)
        with pytest.raises(RuntimeError, match="stride should not be zero"):
            still(x)
    assert quick == ["_average"]
    pool(x)
    assert quick == ["_average"]  # closed


def test_subclasses_are_not_replaced(quick: list[str]) -> None:
    class Own(nn.AvgPool2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) + 1

    pool = Own(2)
    with prepared(pool):
        assert type(pool) is Own and torch.equal(pool(maps()), F.avg_pool2d(maps(), 2) + 1)
    assert not quick


def test_subsampling_equals_the_original(quick: list[str]) -> None:
    layer, gradients = Subsampling(4), []
    nn.init.normal_(layer.weight)
    for mode in (prepared(layer), torch.enable_grad()):
        with mode:
            y = layer(maps())
        gradients.append([y, *torch.autograd.grad(y.square().sum(), list(layer.parameters()))])
    assert all(map(torch.equal, *gradients)) and quick == ["_average"]


@pytest.mark.parametrize("compiled", [False, True], ids=["", "compiled"])
def test_training_gives_the_same_weights(quick: list[str], compiled: bool) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.pool, self.fc = (
                nn.Conv2d(4, 6, 3, padding=1),
                nn.AvgPool2d((2, 3)),
                nn.Linear(6 * 6 * 7, 10),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.pool(self.conv(x).sigmoid())
            x = self.fc(F.max_pool2d(x, 2).flatten(1))
            return x

    weights = []
    for faster in (True, False):
        torch.manual_seed(0)
        net = Own()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        called = torch.compile(net, backend="eager") if compiled else net
        with prepared(net) if faster else torch.enable_grad():
            for _ in range(3):
                loss = called(maps()).square().mean()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        weights.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert torch.equal(*weights) and (compiled or quick == ["_average"] * 3)


def described(net: nn.Module) -> list[Any]:
    """Everything that is visible of a network without running it."""
    return [
        repr(net),
        [(name, module, type(module), module.training) for name, module in net.named_modules()],
        [(name, p, p.data_ptr(), p.stride(), p.requires_grad, p.is_leaf) for name, p in net.named_parameters()],
        [(name, t.data_ptr()) for name, t in net.state_dict().items()],
        [[*map(id, m._forward_hooks.values()), *m.__dict__] for m in net.modules()],
    ]


def own_net() -> nn.Sequential:
    """One layer of each kind that is replaced, and a hook."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3), nn.Dropout(), nn.Flatten(),
        nn.Linear(8 * 12 * 12, 10),
    )  # fmt: skip
    net[0].register_forward_hook(lambda *_: None)
    return net


@pytest.mark.parametrize("acceleration", [PLAIN, LAST], ids=["plain", "channels last"])
def test_the_network_is_restored(acceleration: Acceleration) -> None:
    net = own_net()
    before, state = described(net), torch.get_rng_state()
    with prepared(net, acceleration):
        inside = described(net)
        assert inside[0] == before[0] and [row[:2] for row in inside[1]] == [row[:2] for row in before[1]]
        assert [row[:2] for row in inside[2]] == [row[:2] for row in before[2]] and inside[4] == before[4]
        assert type(net[2]) is not nn.AvgPool2d and isinstance(net[2], nn.AvgPool2d)
        assert (layer_of(net, 0, nn.Conv2d).weight.stride() != before[2][0][3]) is acceleration.channels_last
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(1)
        values = [p.detach().clone() for p in net.parameters()]
    assert described(net) == before and torch.equal(torch.get_rng_state(), state)
    assert all(map(torch.equal, net.parameters(), values))
    assert type(pickle.loads(pickle.dumps(net[2]))) is nn.AvgPool2d


def test_a_prepared_network_can_be_copied_and_pickled() -> None:
    net, x = own_net().eval(), torch.rand(64, 1, 28, 28)
    net[0]._forward_hooks.clear()
    expected = net(x)
    with prepared(net):
        copies = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    for duplicate in copies:
        assert torch.equal(duplicate(x), expected) and repr(duplicate) == repr(net)


def test_the_network_is_restored_after_an_error() -> None:
    net = own_net()
    before = described(net)
    with pytest.raises(ZeroDivisionError), prepared(net, LAST):
        raise ZeroDivisionError
    assert described(net) == before


def test_the_last_context_restores_the_network() -> None:
    net = own_net()
    before, opened, done = described(net), threading.Event(), threading.Event()

    def other() -> None:
        with prepared(net, LAST):
            opened.set()
            done.wait(60)

    thread = threading.Thread(target=other)
    with prepared(net, LAST):
        thread.start()
        assert opened.wait(60)
        with prepared(net):
            pass
    assert type(net[2]) is not nn.AvgPool2d
    assert layer_of(net, 0, nn.Conv2d).weight.is_contiguous(memory_format=torch.channels_last)
    done.set()
    thread.join()
    assert described(net) == before


class Views(nn.Sequential):
    """Ends with a view, as many custom networks do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self:
            x = layer(x)
        return x.view(len(x), -1)


@pytest.mark.parametrize(("kind", "last"), [(nn.Sequential, True), (Views, False)])
def test_channels_last_unless_the_network_needs_channels_first(kind: type[nn.Sequential], last: bool) -> None:
    net = kind(nn.Conv2d(1, 8, 3), nn.Dropout(), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3))
    net[2].eval()
    before, state, seen = copy.deepcopy(net.state_dict()), torch.get_rng_state(), described(net)
    acceleration = choose(net, (1, 12, 12), device="cpu", macs=10**7, precision="float32", threads=1, batch_size=64)
    assert acceleration.channels_last is last and described(net) == seen
    assert torch.equal(torch.get_rng_state(), state) and net.training and not net[2].training
    with prepared(net, acceleration):
        # a single channel could be read either way, so the strides say it
        first, second = (layer_of(net, place, nn.Conv2d).weight.stride() for place in (0, 3))
        assert (first == (9, 1, 3, 1), second == (72, 1, 24, 8)) == (last, last)
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        assert all(parameter.is_leaf and parameter.requires_grad for parameter in net.parameters())
        with torch.no_grad():
            y = nn.Sequential(*list(net)[:3])(torch.rand(2, 1, 12, 12))
            assert y.is_contiguous(memory_format=torch.channels_last) is last
            net(torch.rand(5, 1, 12, 12))


@pytest.mark.parametrize("macs", [None, 10**7], ids=["contiguous", "channels last"])
def test_a_module_is_restored_after_training_and_prediction(
    blobs: Path, monkeypatch: pytest.MonkeyPatch, macs: int | None
) -> None:
    net = own_net()
    before = described(net)
    if macs:
        monkeypatch.setattr("classicnets.acceleration.memory_format.LARGE_MACS", 0)
    run = cn.train(net, data=str(blobs), recipe="fast", quiet=True, epochs=1)
    run.evaluate()
    assert run.net is net and not net.training
    after = described(net.train())
    assert after == before


def test_a_module_is_restored_after_a_failed_run(blobs: Path) -> None:
    net = own_net()
    before = described(net)
    with pytest.raises(cn.CheckFailed) as caught:
        cn.train(net, data=str(blobs), recipe="fast", quiet=True, lr=1e30, clip=0, epochs=3)
    assert caught.value.code == "CN101" and described(net.train()) == before
