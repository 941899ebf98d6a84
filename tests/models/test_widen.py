"""The width of networks: which are resized, by how much, and which are refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from classicnets.inspection.shapes import trace
from classicnets.models import alexnet, lenet
from classicnets.models.layers import DropConnect, LocalConv2d, RBFOutput, Subsampling
from classicnets.models.registry import NETS
from classicnets.models.variants import vary
from support.networks import small_input
from support.typed import layer_of

WITH_TABLES = {"lenet_1989", "lenet1_1990", "lenet5_1998"}  # whose connections are fixed


@pytest.mark.parametrize("name", NETS)
def test_every_network_of_the_registry_is_resized_or_refused(name: str) -> None:
    shape = small_input(name)
    with torch.device("meta"):
        net = NETS[name].load()(NETS[name].classes, shape[0], shape[1])
    if name in WITH_TABLES:
        with pytest.raises(ValueError, match=r"H[13] is a TableConv2d|C3 is a TableConv2d"):
            vary(net, width=1)
        return
    table = trace(net, shape)
    same, twice, narrow = (trace(vary(net, width=width), shape) for width in (1, 2, 0.3))
    assert (same.parameters, same.macs) == (table.parameters, table.macs)
    assert narrow.parameters < table.parameters < twice.parameters and narrow.macs < table.macs < twice.macs
    assert narrow.output_shape == twice.output_shape == table.output_shape
    hidden = [(a, b) for a, b in zip(table.rows, twice.rows, strict=True) if a.macs and a.weights]
    assert len(hidden) > 2 and all(2 * a.outputs[0] == b.outputs[0] for a, b in hidden[:-1])


def test_weights_and_sizes_that_do_not_change_stay() -> None:
    net = lenet.lenet_d2l()
    same, narrow = vary(net, width=1).state_dict(), vary(net, width=0.5).state_dict()
    assert all(torch.equal(tensor, same[name]) for name, tensor in net.state_dict().items())
    assert torch.equal(narrow["fc3.bias"], net.state_dict()["fc3.bias"]) is False  # it reads others: all is new
    assert [narrow[f"{name}.weight"].shape[0] for name in ("conv1", "conv2", "fc1", "fc2", "fc3")] == [3, 8, 60, 42, 10]
    assert narrow["fc1.weight"].shape == (60, 8 * 25)
    assert vary(net, width=0.5)(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    frozen = vary(net.double().eval().requires_grad_(False), width=2)
    assert {(p.dtype, p.requires_grad) for p in frozen.parameters()} == {(torch.float64, False)}
    assert not any(layer.training for layer in frozen.modules())


def test_layers_follow_those_before_them() -> None:
    net = nn.Sequential(
        nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3, groups=1), nn.GroupNorm(4, 8), nn.PReLU(8), Subsampling(8),
        nn.Sequential(nn.Conv2d(8, 12, 3, groups=4, bias=False), nn.BatchNorm2d(12), nn.PReLU()),
        LocalConv2d(12, 6, 2, 2), nn.InstanceNorm2d(6, affine=True, track_running_stats=True), nn.Flatten(),
        nn.BatchNorm1d(24), nn.Linear(24, 10), nn.LayerNorm(10), DropConnect(10, 7), nn.RMSNorm(7), nn.Linear(7, 3),
    )  # fmt: skip
    images = torch.rand(4, 3, 12, 12)
    assert net(images).shape == (4, 3)
    wide = vary(net, width=1.6)
    assert wide(images).shape == (4, 3)
    found = {name: list(tensor.shape) for name, tensor in wide.state_dict().items() if tensor.dim()}
    assert found["0.running_mean"] == [3]  # those of the images
    assert found["1.weight"] == [12, 3, 3, 3] and found["2.weight"] == found["3.weight"] == found["4.bias"] == [12]
    assert found["5.0.weight"] == [20, 3, 3, 3] and found["5.1.running_var"] == [20] and found["5.2.weight"] == [1]
    assert found["6.weight"] == [2, 2, 10, 20, 2, 2] and found["6.bias"] == [10, 2, 2] == [*found["7.bias"], 2, 2]
    assert found["9.weight"] == [40] and found["10.weight"] == [16, 40] and found["11.bias"] == [16]
    assert found["12.weight"] == [11, 16] and found["13.weight"] == [11] and found["14.weight"] == [3, 11]
    assert all(torch.isfinite(tensor).all() for tensor in wide.state_dict().values())
    assert layer_of(wide, 2, nn.GroupNorm).num_channels == 12 and layer_of(wide, 12, DropConnect).p == 0.5


def test_groups_divide_every_width() -> None:
    towers = vary(alexnet.alexnet_2012(10, 3, 67), width=0.37)
    widths = [len(layer.weight) for layer in towers.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert widths == [36, 94, 142, 142, 94, 1516, 1516, 10]
    assert towers(torch.rand(1, 3, 67, 67)).shape == (1, 10)
    narrow = vary(alexnet.alexnet_2012(10, 3, 67), width=0.01)
    assert [len(layer.weight) for layer in narrow.modules() if isinstance(layer, nn.Conv2d)] == [2, 2, 4, 4, 2]


SHARED = nn.Linear(4, 4)
TIED = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
layer_of(TIED, 1, nn.Linear).weight = layer_of(TIED, 0, nn.Linear).weight


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 4), nn.Linear(4, 2)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (Own(), "the network is a Own, not an nn.Sequential, so only its forward"),
        (nn.Linear(4, 2), "the network is a Linear, not an nn.Sequential"),
        (nn.Sequential(nn.Linear(4, 4), Own(), nn.Linear(2, 2)), "1 is a Own: layers of this type"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), "no hidden convolution or dense layer"),
        (nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2), RBFOutput(torch.ones(5, 2))), "2 is a RBFOutput"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Linear(4, 2)), "group for each channel"),
        (nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 1, 3), nn.Linear(4, 2)), "is a Conv1d"),
        (nn.Sequential(nn.Linear(2, 6), nn.Linear(4, 2)), "1 reads 4 numbers, which is no multiple of the 6"),
        (nn.Sequential(SHARED, nn.ReLU(), SHARED, nn.Linear(4, 2)), "0 cannot be resized, because its weights"),
        (TIED, "0 cannot be resized, because its weights are used in two places"),
        (nn.Sequential(nn.Linear(4, 4), nn.LayerNorm((4, 4)), nn.Linear(4, 2)), "normalizes over several axes"),
        (
            nn.Sequential(nn.Linear(4, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 2)),
            "1 is a ParametrizedLinear",
        ),
    ],
)
def test_refuses_networks_with_the_reason(net: nn.Module, words: str) -> None:
    before = {name: tensor.shape for name, tensor in net.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        vary(net, width=2)
    assert before == {name: tensor.shape for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("width", [0.0, 0.009, -1.0, 101.0, float("nan"), float("inf")])
def test_refuses_factors_out_of_range(width: float) -> None:
    with pytest.raises(ValueError, match=r"width must be a factor from 0\.01 to 100"):
        vary(lenet.lenet_d2l(), width=width)
