"""Quick pooling against torch's own: the same bits, and torch itself where windows do not tile."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from classicnets.models import pooling
from classicnets.models.pooling import QuickPooling

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


def maps(**kind) -> torch.Tensor:
    """Many values, often equal in a window, as ReLU gives them."""
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)).round(decimals=1).relu().to(**kind)


@pytest.fixture
def quick(monkeypatch) -> list[str]:
    """What was computed here and not by torch, as it comes."""
    seen: list[str] = []

    def watched(name):
        original = getattr(pooling, name)

        def call(*args, **named):
            found = original(*args, **named)
            seen.extend([name] * (found is not None))
            return found

        return call

    ways = {function: watched(way.__name__) for function, way in pooling._QUICK.items()}
    monkeypatch.setattr(pooling, "_QUICK", ways)
    return seen


@pytest.mark.parametrize("how", [*TILED, *OTHER], ids=str)
@pytest.mark.parametrize(
    ("pool", "kind"),
    [
        (F.avg_pool2d, {}),
        (F.max_pool2d, {}),
        (F.max_pool2d, {"memory_format": torch.channels_last}),
        (F.max_pool2d, {"dtype": torch.bfloat16}),
    ],
    ids=["average", "maximum", "maximum, channels last", "maximum in bfloat16"],
)
def test_values_are_torchs(pool, kind, how, quick):
    expected = pool(maps(**kind), **how)
    with QuickPooling():
        found = pool(maps(**kind), **how)
    assert torch.equal(found, expected) and found.stride() == expected.stride()
    assert len(quick) == (how in TILED)


@pytest.mark.parametrize("how", [*TILED, *OTHER], ids=str)
def test_gradients_of_averages_are_torchs(how, quick):
    gradients = []
    for mode in (QuickPooling(), torch.enable_grad()):
        x = maps().requires_grad_()
        with mode:
            y = F.avg_pool2d(x, **how)
        y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(1)))
        gradients.append(x.grad)
    assert torch.equal(*gradients) and len(quick) == (how in TILED)


def test_values_that_are_no_number_are_the_maximum(quick):
    x = maps()
    x[0, 0, :3, :3] = torch.nan
    x[1, 1] = -torch.inf
    with QuickPooling():
        found = F.max_pool2d(x, 2)
    assert torch.equal(found.isnan(), F.max_pool2d(x, 2).isnan()) and found.isnan().sum() == 4 and quick
    assert torch.equal(found.nan_to_num(), F.max_pool2d(x, 2).nan_to_num())


def test_torch_has_to_where_it_would_differ_or_gain_nothing(quick):
    x = maps()
    last, odd, few = x.contiguous(memory_format=torch.channels_last), x.transpose(2, 3), x[:2]
    with QuickPooling():
        assert torch.equal(F.avg_pool2d(x, 2, divisor_override=3), F.avg_pool2d(x, 2) * 4 / 3)
        assert torch.equal(F.avg_pool2d(x, 2, 2, 0, False, True, 3), F.avg_pool2d(x, 2, divisor_override=3))
        assert quick == ["_average"]  # the one without a divisor
        F.max_pool2d(x, 2, return_indices=True)
        F.max_pool2d(x, 2, dilation=2)
        F.max_pool2d(x.clone().requires_grad_(), 2)
        F.avg_pool2d(x.bfloat16(), 2)
        F.avg_pool2d(last, 2)
        for one in (odd, few, x[0]):
            F.avg_pool2d(one, 2)
            F.max_pool2d(one, 2)
        torch.func.vmap(lambda one: F.avg_pool2d(one, 2))(x[None])
        torch.func.vmap(lambda one: F.max_pool2d(one, 2))(x[None])
        with pytest.raises(RuntimeError, match="stride should not be zero"):
            F.avg_pool2d(x, 2, 0)
    assert quick == ["_average"]
    F.avg_pool2d(x, 2)
    assert quick == ["_average"]  # closed


@pytest.mark.parametrize("compiled", [False, True], ids=["", "compiled"])
def test_any_net_learns_the_same(quick, compiled):
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(4, 6, 3, padding=1), nn.Linear(6 * 6 * 7, 10)

        def forward(self, x):
            x = F.avg_pool2d(self.conv(x).sigmoid(), (2, 3))
            return self.fc(F.max_pool2d(x, 2).flatten(1))

    weights = []
    for mode in (QuickPooling(), torch.enable_grad()):
        torch.manual_seed(0)
        net = Own()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        called = torch.compile(net, backend="eager") if compiled else net
        for _ in range(3):
            with mode:
                loss = called(maps()).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        weights.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert torch.equal(*weights) and (compiled or quick == ["_average"] * 3)
