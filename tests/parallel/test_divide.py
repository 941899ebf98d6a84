"""Which layers are divided, in which networks, without any communication."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from classicnets.acceleration.dropout import Dropout, part_of_batch, rows_of_batch
from classicnets.errors import UsageError
from classicnets.inspection.guard import guard
from classicnets.models.layers import DropConnect, LocalConv2d
from classicnets.models.modules import copy_module
from classicnets.models.registry import NETS
from classicnets.models.variants import vary
from classicnets.parallel import hybrid, towers
from classicnets.parallel.layers import Linear
from classicnets.parallel.mesh import Mesh, rows_of_ranks
from classicnets.parallel.shards import Shards

IMAGE = (1, 8, 8)


class Pretended(Mesh):
    """One rank of several, without the others."""

    def __init__(self, size: int, rank: int = 0, model_size: int | None = None) -> None:
        super().__init__("cpu", size, model_size or size, rank=rank)


def divided_layers(net: nn.Module, ranks: int = 2) -> dict[str, tuple[str, str]]:
    """What each divided dense layer reads and returns."""
    hybrid.divide(net, Pretended(ranks), IMAGE)
    return {name: (layer.reads, layer.returns) for name, layer in net.named_modules() if isinstance(layer, Linear)}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("count", [1, 3, 4, 10])
def test_rows_cover_the_batch_in_order(count: int, size: int) -> None:
    rows = rows_of_ranks(count, size)
    assert len(rows) == size
    assert [row for part in rows for row in part] == [*range(count)]
    assert max(map(len, rows)) - min(map(len, rows)) <= 1
    for rank in range(size):
        assert Pretended(size, rank).rows(count) == rows[rank]


def test_a_mesh_has_equal_groups() -> None:
    with pytest.raises(UsageError, match="cannot form groups of 3") as raised:
        Mesh("cpu", 8, 3)
    assert raised.value.code == "CN216"


def test_a_mesh_of_one_needs_no_process_group() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64))
    shards = hybrid.divide(net, Mesh(), IMAGE)
    net(torch.ones(2, *IMAGE)).sum().backward()
    assert not shards.names and shards.norm(net) > 0
    with pytest.raises(RuntimeError, match="only inside"):
        _ = Mesh().batch_rows


def chain() -> nn.Sequential:
    relu = nn.ReLU(inplace=True)
    return nn.Sequential(
        nn.Flatten(),
        nn.Sequential(nn.Linear(64, 64), relu, nn.Dropout(0.5)),
        nn.Sequential(nn.Sequential(nn.Linear(64, 64), nn.PReLU()), nn.Linear(64, 64), relu),
        nn.Linear(64, 63),
    )


def test_dense_layers_in_a_row_form_a_chain() -> None:
    rows_in, inner, rows_out = ("rows", "own"), ("own", "own"), ("own", "rows")
    assert divided_layers(guard(chain(), IMAGE)) == {"1.0": rows_in, "2.0.0": inner, "2.1": rows_out}
    assert divided_layers(chain(), 3) == {"3": ("rows", "rows")}, "3 ranks cannot divide 64 outputs"


@pytest.mark.parametrize(
    "between",
    [nn.BatchNorm1d(64), nn.Softmax(1), nn.RReLU(), nn.PReLU(64), nn.LayerNorm(64), nn.AlphaDropout(), "hook"],
    ids=lambda layer: type(layer).__name__,
)
def test_other_layers_end_a_chain(between: nn.Module | str) -> None:
    layer = nn.ReLU() if isinstance(between, str) else between
    if isinstance(between, str):
        layer.register_forward_hook(lambda *_: None)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), layer, nn.Linear(64, 64))
    assert divided_layers(net) == {"1": ("rows", "rows"), "3": ("rows", "rows")}


class One(nn.Module):
    """Some dense layers, and a forward() that uses them."""

    def __init__(self, use: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.a = nn.Linear(64, 64)
        self.use = use
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.use(self, x.flatten(1))
        return y


def tied() -> nn.Module:
    twin = nn.Linear(64, 64)
    net = One(lambda net, x: net.a(net.b(x)), b=twin)
    twin.weight = net.a.weight
    return net


def test_layers_that_forward_calls_one_by_one_are_divided_one_by_one() -> None:
    layers = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))

    def one_by_one(net: One, x: Tensor) -> Tensor:
        features = []
        for layer in net.get_submodule("layers").children():
            x = layer(x)
            features.append(x)
        y: Tensor = net.a(torch.stack(features).sum(0))
        return y

    net = One(one_by_one, layers=layers)
    alone = ("rows", "rows")
    assert divided_layers(net) == {"a": alone, "layers.0": alone, "layers.2": alone}
    assert divided_layers(One(lambda net, x: net.a(net.a(x)))) == {"a": alone}, "called twice"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: One(lambda net, x: net.a(x) + net.a.weight.sum()), "uses its weights"),
        (lambda: One(lambda net, x: F.linear(x, net.a.weight)), "uses its weights"),
        (lambda: One(lambda net, x: net.a(x[:, None]).flatten(1)), "not of the shape"),
        (lambda: One(lambda net, x: net.a(x.repeat(2, 1))[: len(x)]), "not of the shape"),
        (lambda: One(lambda net, x: net.a(input=x)), "not of the shape"),
        (tied, "shares its weights"),
        (lambda: parametrizations.weight_norm(nn.Sequential(nn.Flatten(), nn.Linear(64, 64))[1]), "computed from"),
        (lambda: nn.Linear(64, 63), "63 outputs"),
        (lambda: DropConnect(64, 64), "it is a DropConnect"),
        (lambda: nn.Linear(64, 2), "too few weights"),
        (lambda: nn.Flatten(), "no layer of the type"),
    ],
)
def test_other_uses_of_a_dense_layer_are_not_divided(make: Callable[[], nn.Module], reason: str) -> None:
    net = nn.Sequential(nn.Flatten(), make())
    before = {name: tensor.shape for name, tensor in net.state_dict().items()}
    with pytest.raises(UsageError) as raised:
        hybrid.divide(net, Pretended(2), IMAGE)
    assert raised.value.code == "CN216" and reason in raised.value.why
    assert before == {name: tensor.shape for name, tensor in net.state_dict().items()}


def test_a_forward_that_reads_values_is_traced() -> None:
    net = One(lambda net, x: net.a(x) if float(x.sum()) < 1 else x)
    assert divided_layers(net) == {"a": ("rows", "rows")}


def test_slices_are_those_of_the_whole() -> None:
    whole = chain().double()
    nets = [copy_module(whole) for _ in range(2)]
    shards = [hybrid.divide(net, Pretended(2, rank), IMAGE) for rank, net in enumerate(nets)]
    assert shards[0].names == shards[1].names and "1.0.weight" in shards[0].names and "1.0.bias" in shards[0].names
    assert "reads" not in repr(nets[0]) and [*nets[0].state_dict()] == [*whole.state_dict()]
    for name, tensor in whole.state_dict().items():
        parts = [net.state_dict()[name] for net in nets]
        assert torch.equal(torch.cat(parts) if name in shards[0].names else parts[1], tensor)
        assert torch.equal(shards[1].scatter(name, tensor), parts[1])
    assert shards[0].scatter("1.0.weight", torch.tensor(5.0)) == 5  # the step of an optimizer


def test_masks_of_parts_are_those_of_the_whole() -> None:
    layer, x = Dropout(0.5), torch.ones(6, 4, 3)
    with rows_of_batch((1, 2), 10, 6):
        whole = [layer(x), layer(x)]
    with rows_of_batch((1, 2), 12, 1):
        with part_of_batch(13, 2, 1):
            part = layer(x[3:5, 2:])
        second = layer(x[2:3])
    assert torch.equal(part, whole[0][3:5, 2:])
    assert torch.equal(second, whole[1][2:3]), "the call is counted, and the rows are again those of before"
    with part_of_batch(0, 2, 1):
        assert layer(x).shape == x.shape, "outside rows_of_batch, masks are those of torch"


def tower_net(name: str, **variation: Any) -> nn.Module:
    with torch.device("meta"):
        net = NETS[name].load()(num_classes=10, in_channels=1, image_size=68)
        return vary(net, **variation) if variation else net


def divide_towers(net: nn.Module, name: str = "alexnet_2012", ranks: int = 2) -> Shards:
    return towers.divide(net, Pretended(ranks), NETS[name].crossings)


@pytest.mark.parametrize("name", [name for name, entry in NETS.items() if entry.crossings])
def test_all_weights_of_two_towers_are_divided(name: str) -> None:
    net = tower_net(name)
    whole = {key: tensor.shape for key, tensor in net.state_dict().items()}
    shards = divide_towers(net, name)
    assert set(shards.names) == set(whole)
    for key, tensor in net.state_dict().items():
        assert tensor.shape == (whole[key][0] // 2, *whole[key][1:])


@pytest.mark.parametrize(
    "variation",
    [
        {"norm": "none"}, {"norm": "batch"}, {"norm": "batch_after"}, {"pool": "average"}, {"width": 0.5},
        {"dropout": 0.0}, {"dropout": 0.3},
        *({"activation": name} for name in ("tanh", "scaled_tanh", "prelu", "none")),
    ],
    ids=str,
)  # fmt: skip
def test_variations_of_two_towers_can_be_divided(variation: dict[str, Any]) -> None:
    shards = divide_towers(tower_net("alexnet_2012_code", **variation))
    assert ("norm1.running_mean" in shards) == (variation.get("norm") in {"batch", "batch_after"})
    assert bool(shards.summed) == (variation == {"activation": "prelu"})


@pytest.mark.parametrize(
    ("make", "where", "why"),
    [
        (lambda: tower_net("alexnet_2012", norm="lrn"), "", ""),
        (lambda: vary(tower_net("alexnet_2012", norm="batch"), norm="lrn"), "norm1 (LRN)", "normalizes over"),
        (lambda: tower_net("alexnet_2012", activation="random_relu"), "relu1 (RReLU)", "type"),
        (lambda: tower_net("alexnet_caffe"), "norm1 (LRN)", "normalizes over the channels of both"),
        (lambda: tower_net("alexnet_d2l"), "conv2 (Conv2d)", "reads the channels of both towers"),
        (lambda: nn.Sequential(LocalConv2d(1, 4, 3, 6), nn.Conv2d(4, 4, 3)), "0 (LocalConv2d)", "type"),
        (lambda: tower_net("alexnet_2012_code", dropconnect=0.5), "fc6 (DropConnect)", "type"),
        (lambda: nn.Sequential(nn.Conv2d(1, 3, 3)), "0 (Conv2d)", "odd number of channels"),
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 3, groups=2)), "0 (Conv2d)", "does not come from two towers"),
        (lambda: nn.Sequential(nn.Conv2d(1, 4, 3)), "0", "end with a dense layer"),
        (lambda: nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 4, 3)), "0 (BatchNorm2d)", "both processes"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(8, 5), nn.Linear(5, 4)), "1 (Linear)", "odd number of outputs"),
        (lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(0)), "1 (Flatten)", "[images, features]"),
        (lambda: One(lambda net, x: net.a(x)), "One", "nn.Sequential"),
    ],
)  # fmt: skip
def test_other_networks_have_no_two_towers(make: Callable[[], nn.Module], where: str, why: str) -> None:
    net = make()
    if not where:
        divide_towers(net)
        return
    before = {name: tensor.shape for name, tensor in net.state_dict().items()}
    with pytest.raises(UsageError) as raised:
        divide_towers(net)
    assert (raised.value.code, raised.value.where) == ("CN216", where) and why in raised.value.why
    assert before == {name: tensor.shape for name, tensor in net.state_dict().items()}, "unchanged"


def test_two_towers_need_two_processes() -> None:
    with pytest.raises(UsageError, match="two towers") as raised:
        divide_towers(tower_net("alexnet_2012"), ranks=4)
    assert raised.value.where == "processes=4"
