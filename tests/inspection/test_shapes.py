from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from classicnets.errors import UsageError
from classicnets.inspection.shapes import Table, trace
from support.typed import gradients_of, layer_of


def lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(),
        nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(),
        nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120), nn.Sigmoid(),
        nn.Linear(120, 84), nn.Sigmoid(),
        nn.Linear(84, 10),
    )  # fmt: skip


def gluon_lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Sigmoid(), nn.MaxPool2d(2, 2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.MaxPool2d(2, 2),
        nn.Flatten(), nn.Linear(256, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )  # fmt: skip


def alexnet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 96, 11, 4, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.Linear(6400, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 10),
    )  # fmt: skip


class Functional(nn.Module):
    """The style of PyTorch's tutorial: pooling and activation in forward()."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc = nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.fc(x.view(-1, 256))
        return x


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.paths = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU())])

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": torch.cat([path(x) for path in self.paths], 1)}


class ContainerParameters(nn.Module):
    """A container with its own convolution and a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(4, 1, 3, 3)), nn.Parameter(torch.zeros(4))
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(F.conv2d(x, self.weight, self.bias))
        return x


class Subsampling(nn.Module):
    """Torch has no formula for its MACs, so it declares them."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2)
        self.weight, self.bias = nn.Parameter(torch.ones(6)), nn.Parameter(torch.zeros(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(x) * self.weight[:, None, None] + self.bias[:, None, None]
        return x

    def macs(self, output_shape: tuple[int, ...]) -> int:
        return 4 * output_shape[0] * output_shape[1] * output_shape[2]


class ReadsValue(nn.Module):
    """Reads a value, so it needs data."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc(x) if x.sum().item() < 1 else self.fc(-x)
        return x


class Squeezes(nn.Module):
    """Squeezes away a batch axis of one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 8, 3), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc(self.conv(x).mean((2, 3)).squeeze())
        return x


@pytest.mark.parametrize(
    ("net", "shape", "parameters", "biases", "macs", "units"),
    [
        (lenet, (1, 28, 28), 61_706, 236, 416_520, 6_518),
        (gluon_lenet, (1, 28, 28), 44_426, 236, 281_640, 4_694),
        (alexnet, (1, 224, 224), 46_764_746, 9_578, 938_146_176, 608_650),
    ],
)
def test_counts_the_networks_of_the_book(
    net: Callable[..., Any], shape: tuple[int, ...], parameters: int, biases: int, macs: int, units: int
) -> None:
    table = trace(net(), shape)
    assert (table.parameters, table.biases, table.macs, table.units) == (parameters, biases, macs, units)
    assert table.weights == parameters - biases
    assert table.trainable == parameters
    assert table.weight_bytes == 4 * parameters
    assert (table.input_shape, table.output_shape, table.unlisted, table.note) == (shape, (10,), {}, "")


def test_lists_the_layers_of_lenet() -> None:
    rows = trace(lenet(), (1, 28, 28)).rows
    assert [row.kind for row in rows] == [type(layer).__name__ for layer in lenet()]
    assert [row.outputs for row in rows if row.kind in ("Conv2d", "AvgPool2d", "Linear")] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120,), (84,), (10,),
    ]  # fmt: skip
    conv, _, pool = rows[:3]
    assert (conv.kernel, conv.stride, conv.padding, conv.groups) == ((5, 5), (1, 1), (2, 2), 1)
    assert (conv.weights, conv.biases, conv.macs, conv.units) == (150, 6, 117_600, 4_704)
    assert conv.activation_bytes == 4 * 6 * 28 * 28
    assert (pool.kernel, pool.stride, pool.padding, pool.units) == ((2, 2), (2, 2), (0, 0), 0)
    assert rows[6].activation_bytes == 0  # Flatten returns a view


def test_converts_to_json() -> None:
    table = trace(lenet(), (1, 28, 28))
    values = json.loads(json.dumps(table.to_dict()))
    assert values["totals"]["parameters"] == 61_706
    assert values["rows"][0]["parameters"] == 156


def test_bytes_depend_on_the_dtype() -> None:
    assert trace(nn.Linear(4, 2).double(), (4,)).weight_bytes == 8 * 10
    assert trace(nn.Linear(4, 2).bfloat16(), (4,)).activation_bytes == 2 * 2


def test_views_and_in_place_layers_take_no_memory() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True), nn.Identity(), nn.Dropout(), nn.Flatten())
    assert [row.activation_bytes for row in trace(net, (1, 3, 3)).rows] == [72, 0, 0, 0, 0]


def test_counts_operations_outside_layers() -> None:
    table = trace(Functional(), (1, 28, 28))
    assert [row.name for row in table.rows] == ["conv1", "conv2", "fc"]
    assert table.unlisted == {"relu": 2, "max_pool2d": 2}


def test_traces_branches_module_lists_and_dict_outputs() -> None:
    table = trace(Branches(), (3, 8, 8))
    assert [row.name for row in table.rows] == ["paths.0", "paths.1.0", "paths.1.1"]
    assert table.output_shape == (6, 8, 8)
    assert table.unlisted == {"cat": 1}


def test_counts_the_parameters_of_a_shared_layer_once() -> None:
    layer = nn.Linear(5, 5)
    table = trace(nn.Sequential(layer, nn.ReLU(), layer), (5,))
    assert [row.parameters for row in table.rows] == [30, 0, 0]
    assert [row.macs for row in table.rows] == [25, 0, 25]


def test_counts_tied_weights_once() -> None:
    net = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
    net[1].weight = net[0].weight
    assert trace(net, (5,)).parameters == 35


def test_frozen_parameters_are_not_trainable() -> None:
    net = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5)).requires_grad_(False)
    net[1].requires_grad_(True)
    assert trace(net, (5,)).trainable == 30


def test_batch_norm_has_parameters_but_no_units() -> None:
    rows = trace(nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.PReLU()), (1, 6, 6)).rows
    assert [(row.weights, row.biases, row.units) for row in rows] == [(36, 0, 64), (4, 4, 0), (1, 0, 0)]


def test_counts_parameters_of_a_container() -> None:
    table = trace(ContainerParameters(), (1, 6, 6))
    assert [(row.name, row.kind) for row in table.rows] == [("", "ContainerParameters"), ("act", "ReLU")]
    assert (table.rows[0].weights, table.rows[0].biases) == (36, 4)
    assert (table.macs, table.units) == (9 * 4 * 16, 4 * 16)
    assert table.activation_bytes == 4 * 64  # the output of ReLU; the convolution is outside any layer


def test_uses_the_macs_that_a_layer_declares() -> None:
    (row,) = trace(Subsampling(), (6, 8, 8)).rows
    assert (row.macs, row.units, row.weights, row.biases) == (4 * 6 * 16, 6 * 16, 6, 6)


def test_totals_include_layers_that_are_never_called() -> None:
    class Spare(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self[0](x)
            return x

    table = trace(Spare(nn.Linear(3, 2), nn.Linear(7, 7)), (3,))
    assert table.parameters == 8 + 56
    assert (table.rows[1].name, table.rows[1].outputs, table.rows[1].macs) == ("1", (), 0)


def test_counts_every_parameter_of_attention() -> None:
    class SelfAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
            output: tuple[torch.Tensor, torch.Tensor | None] = self.attention(x, x, x)
            return output

    net = SelfAttention()
    table = trace(net, (3, 8))
    assert table.parameters == sum(p.numel() for p in net.parameters())
    assert table.macs == 3 * 8 * 24 + 2 * (2 * 3 * 3 * 4) + 3 * 8 * 8


def test_pruned_layers_keep_their_counts() -> None:
    net = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 2))
    prune.l1_unstructured(net[1], "weight", amount=1)
    assert trace(net, (5,)).parameters == 18 + 8


def test_initializes_lazy_layers_on_the_copy_only() -> None:
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    table = trace(net, (1, 6, 6))
    assert [row.kind for row in table.rows] == ["Conv2d", "BatchNorm2d", "Flatten", "Linear"]
    assert table.parameters == 40 + 8 + 130
    assert layer_of(net, 3, nn.LazyLinear).has_uninitialized_params()


def test_notes_a_pass_on_the_cpu_for_a_network_that_reads_values() -> None:
    table = trace(ReadsValue(), (4,))
    assert (table.parameters, table.output_shape) == (10, (2,))
    assert "on the CPU, because the network cannot run without data: Tensor.item()" in table.note


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from torch.compile
def test_traces_meta_and_compiled_networks() -> None:
    with torch.device("meta"):
        net = lenet()
    assert trace(net, (1, 28, 28)).macs == 416_520
    compiled = torch.compile(lenet())
    assert isinstance(compiled, nn.Module)
    assert trace(compiled, (1, 28, 28)).macs == 416_520


def test_traces_a_network_that_squeezes_the_batch_axis() -> None:
    table = trace(Squeezes(), (1, 5, 5))
    assert table.output_shape == (3,)
    assert (table.macs, table.units, table.activation_bytes) == (9 * 9 * 8 + 24, 72 + 3, 4 * (72 + 3))


def test_notes_adaptive_pooling_that_copies_pixels() -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(36, 2))
    assert trace(net, (1, 6, 6)).note == ""
    assert trace(net, (1, 1, 1)).note == "0 enlarges 1x1 to 6x6 by copying pixels"


@pytest.mark.parametrize("shape", [(), (0, 3), (1, -2, 3), (1.5, 2), (None, 28, 28)])
def test_rejects_invalid_shapes(shape: tuple[float | None, ...]) -> None:
    with pytest.raises(UsageError, match="not the shape of an image"):
        trace(lenet(), shape)  # type: ignore[arg-type]


def test_rejects_modules_that_cannot_be_copied() -> None:
    net = nn.Linear(2, 2)
    net.stream = (n for n in range(3))  # type: ignore[assignment]
    with pytest.raises(UsageError, match="cannot be copied"):
        trace(net, (2,))


def test_does_not_change_the_network() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(32, 2))
    calls: Counter[str] = Counter()
    handle = net[0].register_forward_hook(lambda *_: calls.update(["hook"]))
    net(torch.rand(3, 1, 6, 6)).sum().backward()
    net[2].eval()
    state, grads = copy.deepcopy(net.state_dict()), [gradient.clone() for gradient in gradients_of(net)]
    modes, random = [m.training for m in net.modules()], torch.get_rng_state()
    hooks = [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in net.modules()]
    calls.clear()

    trace(net, (1, 6, 6))
    with pytest.raises(UsageError):
        trace(net, (1, 9, 9))

    assert not calls  # user hooks do not run
    assert all(torch.equal(a, b) for a, b in zip(state.values(), net.state_dict().values(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(grads, gradients_of(net), strict=True))
    assert modes == [m.training for m in net.modules()]
    assert hooks == [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in net.modules()]
    assert torch.equal(random, torch.get_rng_state())
    handle.remove()
    assert not net[0]._forward_hooks


def test_cpu_pass_keeps_the_random_generator() -> None:
    class Noisy(ReadsValue):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x + torch.rand_like(x) / 100)

    net, before = Noisy(), torch.get_rng_state()
    trace(net, (4,))
    assert torch.equal(before, torch.get_rng_state())


def test_traces_inside_inference_mode() -> None:
    with torch.inference_mode():
        assert trace(lenet(), (1, 28, 28)).macs == 416_520


convolutions = st.fixed_dictionaries(
    {
        "groups": st.integers(1, 3),
        "ins": st.integers(1, 2),
        "outs": st.integers(1, 2),
        "kernel": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "stride": st.integers(1, 3),
        "padding": st.integers(0, 2),
        "dilation": st.integers(1, 2),
        "bias": st.booleans(),
        "size": st.tuples(st.integers(5, 9), st.integers(5, 9)),
    }
)


@settings(max_examples=60, deadline=None)
@given(convolutions)
def test_macs_of_a_convolution_equal_a_count_of_taps(c: Any) -> None:
    ins, outs = c["groups"] * c["ins"], c["groups"] * c["outs"]
    net = nn.Conv2d(
        ins, outs, c["kernel"], c["stride"], c["padding"], c["dilation"], groups=c["groups"], bias=c["bias"]
    )
    table: Table = trace(net, (ins, *c["size"]))
    # a column of the unfolded image has the values that the windows of all channels read at one position
    patches = F.unfold(torch.zeros(1, ins, *c["size"]), c["kernel"], c["dilation"], c["padding"], c["stride"])
    reads_per_position = patches.shape[1] // c["groups"]  # an output reads the channels of its group only
    assert table.macs == sum(reads_per_position for _ in range(outs) for _ in range(patches.shape[2]))
    assert table.output_shape == tuple(net(torch.zeros(1, ins, *c["size"])).shape[1:])
    assert table.units == outs * patches.shape[2]
    assert table.parameters == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
def test_macs_of_a_transposed_convolution(bias: bool, groups: int) -> None:
    table = trace(nn.ConvTranspose2d(4, 6, 3, stride=2, groups=groups, bias=bias), (4, 5, 5))
    assert (
        table.macs == 25 * 9 * 4 * 6 // groups
    )  # every input is multiplied by every tap of every output channel of its group
    assert table.output_shape == (6, 11, 11)


@pytest.mark.parametrize("bias", [True, False])
def test_macs_of_a_dense_layer(bias: bool) -> None:
    assert trace(nn.Linear(7, 5, bias=bias), (7,)).macs == 35
    assert trace(nn.Linear(7, 5, bias=bias), (3, 7)).macs == 105
