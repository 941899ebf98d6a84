from __future__ import annotations

import copy
import pickle
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from classicnets.errors import UsageError
from classicnets.inspection import meta, nearest_size
from classicnets.inspection.arithmetic import format_output_size
from classicnets.inspection.guard import guard
from classicnets.inspection.nearest_size import nearest_fit
from classicnets.inspection.shape_errors import check_input
from classicnets.inspection.shapes import Row, trace


class LeNet(nn.Sequential):
    def __init__(self, **changes: nn.Module) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "conv1": nn.Conv2d(1, 6, 5, padding=2), "sigmoid1": nn.Sigmoid(), "pool1": nn.AvgPool2d(2),
            "conv2": nn.Conv2d(6, 16, 5), "sigmoid2": nn.Sigmoid(), "pool2": nn.AvgPool2d(2),
            "flatten": nn.Flatten(), "fc1": nn.Linear(400, 120), "fc2": nn.Linear(120, 84), "fc3": nn.Linear(84, 10),
        }  # fmt: skip
        for name, layer in {**layers, **changes}.items():
            self.add_module(name, layer)


def alexnet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 96, 11, 4, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.Linear(6400, 4096), nn.ReLU(), nn.Linear(4096, 10),
    )  # fmt: skip


class ViewTutorial(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.fc1(x.view(-1, 400))
        return x


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 6, 5), nn.Conv2d(1, 6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.a(x), self.b(x)], 1)


class CustomProduct(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10, 784))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x.flatten(1), self.weight)


def error_message(net: nn.Module, shape: tuple[int, ...], name: str = "lenet_d2l") -> str:
    with pytest.raises(UsageError) as caught:
        check_input(net, shape, name=name)
    assert caught.value.code == "CN201"
    assert "mat1" not in str(caught.value)
    return str(caught.value)


def test_returns_the_table_for_a_shape_that_fits() -> None:
    assert check_input(LeNet(), (1, 28, 28)).output_shape == (10,)


def test_explains_a_wrong_size() -> None:
    assert error_message(LeNet(), (1, 32, 32)) == (
        "error[CN201]: lenet_d2l cannot take 1x32x32 images\n"
        "  where: fc1 = Linear(400 -> 120)\n"
        "  why:   conv1 32 -> floor((32 + 2*2 - 5) / 1) + 1 = 32\n"
        "         pool1 32 -> floor((32 + 2*0 - 2) / 2) + 1 = 16\n"
        "         conv2 16 -> floor((16 + 2*0 - 5) / 1) + 1 = 12\n"
        "         pool2 12 -> floor((12 + 2*0 - 2) / 2) + 1 = 6\n"
        "         fc1 gets 16 x 6 x 6 = 576 numbers and has weights for 400\n"
        "  hint:  fc1 = nn.Linear(576, 120)\n"
        "  or:    use 1x28x28 images (train --set image_size=28, show --input 1x28x28); sizes 28 to 31 fit"
    )
    assert check_input(LeNet(fc1=nn.Linear(576, 120)), (1, 32, 32)).output_shape == (10,)


def test_explains_a_size_that_is_not_square() -> None:
    text = error_message(LeNet(), (1, 28, 40))
    assert "conv1 28x40 -> floor((28x40 + 2*2 - 5) / 1) + 1 = 28x40" in text
    assert "fc1 gets 16 x 5 x 8 = 640 numbers and has weights for 400" in text
    assert "use 1x28x28 images" in text


def test_explains_wrong_channels() -> None:
    text = error_message(LeNet(), (3, 28, 28))
    assert "where: conv1 = Conv2d(1 -> 6, 5x5)" in text
    assert "why:   conv1 reads 1 channel and gets 3" in text
    assert "hint:  conv1 = nn.Conv2d(3, 6, kernel_size=5, stride=1, padding=2)" in text
    assert "or:    use 1x28x28 images; x.mean(1, keepdim=True) makes them grayscale" in text


def test_explains_grayscale_images_for_a_color_network() -> None:
    text = error_message(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False)), (1, 8, 8))
    assert "use 3x8x8 images; x.expand(-1, 3, -1, -1) repeats the grayscale channel" in text
    assert "net[0] = nn.Conv2d(1, 4, kernel_size=3, stride=1, bias=False)" in text


def test_finds_the_size_for_wrong_channels_and_size() -> None:
    assert "use 1x28x28 images (train --set image_size=28, show --input 1x28x28)" in error_message(LeNet(), (3, 33, 33))


def test_explains_wrong_channels_inside_the_network() -> None:
    text = error_message(LeNet(conv2=nn.Conv2d(8, 16, 5)), (1, 28, 28))
    assert "conv2 reads 8 channels and gets 6" in text
    assert "conv2 = nn.Conv2d(6, 16, kernel_size=5, stride=1)" in text
    assert "image_size" not in text


def test_drops_groups_that_do_not_divide_the_channels() -> None:
    text = error_message(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2)), (3, 9, 9))
    assert "net[0] reads 4 channels and gets 3" in text
    assert "net[0] = nn.Conv2d(3, 6, kernel_size=3, stride=1)" in text  # 3 channels cannot have 2 groups


def test_explains_wrong_channels_of_a_transposed_convolution() -> None:
    assert "net[0] reads 4 channels and gets 6" in error_message(nn.Sequential(nn.ConvTranspose2d(4, 6, 3)), (6, 5, 5))


def test_explains_wrong_channels_of_a_normalization() -> None:
    text = error_message(LeNet(sigmoid1=nn.BatchNorm2d(8)), (1, 28, 28))
    assert "sigmoid1 reads 8 channels and gets 6" in text
    assert "sigmoid1 = nn.BatchNorm2d(6)" in text


def test_explains_an_image_that_is_too_small() -> None:
    text = error_message(alexnet(), (1, 28, 28), "alexnet_d2l")
    assert text.splitlines()[:3] == [
        "error[CN201]: alexnet_d2l cannot take 1x28x28 images",
        "  where: net[5] = MaxPool2d(window 3, stride 2)",
        "  why:   net[0] 28 -> floor((28 + 2*1 - 11) / 4) + 1 = 5",
    ]
    assert "net[5] 2 -> floor((2 + 2*0 - 3) / 2) + 1 = 0\n" in text
    assert "net[5]: the output is empty, because the window of 3x3 is larger than the padded input" in text
    assert (
        "hint:  use 1x224x224 images (train --set image_size=224, show --input 1x224x224); sizes 193 to 224 fit" in text
    )
    assert "or:    net[5] = nn.MaxPool2d(kernel_size=2, stride=2)" in text


def test_adds_padding_to_a_convolution_and_finds_an_open_ended_range() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 5, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    text = error_message(net, (1, 2, 2))
    assert "net[0] 2 -> floor((2 + 2*1 - 5) / 1) + 1 = 0" in text
    assert "use 1x3x3 images (train --set image_size=3, show --input 1x3x3); sizes 3 to 67 fit, and larger" in text
    assert "net[0] = nn.Conv2d(1, 2, kernel_size=5, stride=1, padding=2)" in text
    net[0] = nn.Conv2d(1, 2, kernel_size=5, stride=1, padding=2)
    check_input(net, (1, 2, 2))


def test_size_search_for_alexnet_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[str] = []

    def forward_zeros(net: Any, shape: Any, batch: Any, device: Any) -> Any:
        devices.append(device)
        return meta.forward_zeros(net, shape, batch, device)

    monkeypatch.setattr(nearest_size, "forward_zeros", forward_zeros)
    trace(alexnet(), (1, 224, 224))  # torch imports modules on the first pass
    net = alexnet()
    started = time.thread_time()  # unlike the clock, independent of other processes
    error_message(net, (1, 32, 32))
    assert time.thread_time() - started < 5  # about 0.3 s
    assert set(devices) == {"meta"} and len(devices) < 300


def test_explains_a_missing_flatten() -> None:
    text = error_message(LeNet(flatten=nn.Identity()), (1, 28, 28))
    assert (
        "fc1 gets 16 x 5 x 5, which is not flattened: its weights for 400 inputs apply to the last axis only (5)"
        in text
    )
    assert "hint:  put nn.Flatten() before fc1: 16 x 5 x 5 = 400 numbers\n" in text
    assert "x = x.flatten(1)" in text
    assert "and fc1 = nn.Linear(576, 120)" in error_message(LeNet(flatten=nn.Identity()), (1, 32, 32))


@pytest.mark.parametrize(
    ("shape", "hint"), [((4, 1, 28, 28), "leave out the batch axis: 1x28x28"), ((28, 28), "1x28x28")]
)
def test_explains_a_batch_axis_or_a_missing_channel_axis(shape: tuple[int, ...], hint: str) -> None:
    assert hint in error_message(LeNet(), shape)


def test_explains_a_wrong_view_in_forward() -> None:
    text = error_message(ViewTutorial(), (1, 28, 28))
    assert "where: view(-1, 400) in forward() of net (ViewTutorial)" in text
    assert "view(-1, 400) gets 256 numbers and makes rows of 400" in text
    assert "use 1x32x32 images" in text
    assert "in forward(): x = x.flatten(1), and fc1 = nn.Linear(256, 10)" in text


def test_explains_a_view_that_mixes_the_batch() -> None:
    text = error_message(ViewTutorial(), (1, 52, 52))  # 1600 numbers become 4 rows of 400, without an error from torch
    assert "forward() returns 4 results for one image: it mixes the images of a batch" in text
    assert "replace view(-1, 400) by x.flatten(1)" in text


def changed(net: nn.Module, hint: str) -> nn.Module:
    """The network with the layer that a hint such as "net[0] = nn.Linear(784, 10)" names."""
    path, source = hint.split(" = ", 1)
    net.set_submodule(".".join(re.findall(r"\w+", path.removeprefix("net"))), eval(source, {"nn": nn}))
    return net


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"conv1": nn.Conv2d(1, 6, 5)}, "conv1 = nn.Conv2d(1, 6, kernel_size=5, stride=1, padding=2)"),
        ({"conv1": nn.Conv2d(1, 6, 3)}, "conv1 = nn.Conv2d(1, 6, kernel_size=3, stride=1, padding=1)"),
        ({"conv1": nn.Conv2d(1, 6, 7, padding=2)}, "fc1 = nn.Linear(256, 120)"),
        ({"conv2": nn.Conv2d(6, 16, 3)}, "fc1 = nn.Linear(576, 120)"),
        ({"conv2": nn.Conv2d(6, 32, 5)}, "fc1 = nn.Linear(800, 120)"),
        ({"conv1": nn.Conv2d(1, 8, 5, padding=2)}, "conv2 = nn.Conv2d(8, 16, kernel_size=5, stride=1)"),
        ({"conv1": nn.Conv2d(3, 6, 5, padding=2)}, "conv1 = nn.Conv2d(1, 6, kernel_size=5, stride=1, padding=2)"),
        ({"pool1": nn.Identity()}, "fc1 = nn.Linear(2304, 120)"),
        ({"pool2": nn.Identity()}, "fc1 = nn.Linear(1600, 120)"),
        ({"pool2": nn.AvgPool2d(2, stride=1)}, "fc1 = nn.Linear(1296, 120)"),
        ({"pool2": nn.AvgPool2d(11, stride=1)}, "pool2 = nn.AvgPool2d(kernel_size=10, stride=1)"),
        ({"fc2": nn.Linear(100, 84)}, "fc2 = nn.Linear(120, 84)"),
        ({"fc1": nn.Linear(16 * 4 * 4, 120, bias=False)}, "fc1 = nn.Linear(400, 120, bias=False)"),
    ],
)
def test_the_first_hint_is_the_change_that_fits(changes: dict[str, nn.Module], hint: str) -> None:
    net = LeNet(**changes)
    with pytest.raises(UsageError) as caught:
        check_input(net, (1, 28, 28))
    assert caught.value.hints[0] == hint
    try:
        assert check_input(changed(net, hint), (1, 28, 28)).output_shape == (10,)
    except UsageError as later:  # another layer, nearer to the output
        assert later.where != caught.value.where


def test_suggests_the_padding_of_a_later_convolution() -> None:
    net = alexnet()
    net[3] = nn.Conv2d(96, 256, 5)
    with pytest.raises(UsageError) as caught:
        check_input(net, (1, 224, 224))
    assert caught.value.hints[0] == "net[3] = nn.Conv2d(96, 256, kernel_size=5, stride=1, padding=2)"
    assert check_input(changed(net, caught.value.hints[0]), (1, 224, 224)).output_shape == (10,)


class FixedBatch(nn.Module):
    """Assumes 64 images in each batch, or so many numbers in each row."""

    def __init__(self, features: int, way: str) -> None:
        super().__init__()
        self.f, self.head, self.way, self.n = nn.Conv2d(1, 8, 5, 2), nn.Linear(features, 10), way, 64

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.f(x)
        if self.way == "view":
            x = x.view(64, -1)
        elif self.way == "odd":
            x = x.view(7, -1)
        elif self.way == "tuple":
            x = x.reshape((64, 1152))
        elif self.way == "function":
            x = torch.reshape(x, (32, -1))
        elif self.way == "rows":
            x = x.view(-1, 18)
        return self.head(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("features", "way", "call"),
    [
        (1152, "view", "view(64, -1)"),
        (18 * 36, "view", "view(64, -1)"),
        (1152, "odd", "view(7, -1)"),
        (1152, "tuple", "reshape((64, 1152))"),
        (1152, "function", "reshape(x, (32, -1))"),
    ],
)
def test_names_a_fixed_batch_size(features: int, way: str, call: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_input(FixedBatch(features, way), (1, 28, 28))
    change = ", and head = nn.Linear(1152, 10)" * (features != 1152)
    assert caught.value.hints == (f"in forward(), replace {call} by x.flatten(1){change}",)
    assert caught.value.where == f"{call} in forward()"


def test_names_a_view_with_another_number_of_columns() -> None:
    with pytest.raises(UsageError) as caught:
        check_input(FixedBatch(1152, "rows"), (1, 28, 28))
    assert "x.flatten(1)" in caught.value.hints[0] and "18" not in caught.value.hints[0].partition(" by ")[2]


def test_names_operations_in_forward() -> None:
    text = error_message(Branches(), (1, 28, 28))
    assert "where: torch.cat in forward() of net (Branches)" in text
    assert "torch.cat of 1x6x24x24, 1x6x26x26 (batch axis first) fails" in text
    assert "no size within 256 pixels fits either: change the network" in text
    assert "change the layers of forward() before it" in text
    text = error_message(CustomProduct(), (1, 27, 27))
    assert "where: a matrix product in forward() of net (CustomProduct)" in text
    assert "use 1x28x28 images" in text


def test_names_any_other_layer_with_the_message_of_torch() -> None:
    text = error_message(nn.Sequential(nn.Flatten(), nn.LayerNorm(5)), (1, 2, 2))
    assert "where: net[1] = LayerNorm(" in text
    assert "net[1] gets 4; " in text
    assert "torch says: Given normalized_shape=[5]" in text


def test_explains_a_network_that_needs_data() -> None:
    class ReadsValue(LeNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x if x.max().item() < 9 else -x
            for layer in self:
                x = layer(x)
            return x

    text = error_message(ReadsValue(), (1, 32, 32))
    assert "fc1 gets 16 x 6 x 6 = 576 numbers" in text
    assert "use 1x28x28 images" in text


def test_explains_wrong_inputs_of_a_dense_network() -> None:
    text = error_message(nn.Sequential(nn.Linear(784, 3)), (780,))
    assert "cannot take inputs of shape 780" in text
    assert "hint:  net[0] = nn.Linear(780, 3)\n" in text
    assert "or:    use inputs of shape 784" in text


def test_formats_ceil_dilation_same_padding_and_custom_layers() -> None:
    row = trace(nn.MaxPool2d(3, 2, ceil_mode=True), (1, 6, 6)).rows[0]
    assert format_output_size(row) == "net 6 -> ceil((6 + 2*0 - 3) / 2) + 1 = 3"
    row = trace(nn.MaxPool2d(2, 2, padding=1, ceil_mode=True), (1, 3, 3)).rows[0]
    assert (
        format_output_size(row)
        == "net 3 -> ceil((3 + 2*1 - 2) / 2) + 1 - 1 (the last window would start in the padding) = 2"
    )
    row = trace(nn.Conv2d(1, 1, 3, dilation=2), (1, 9, 9)).rows[0]
    assert format_output_size(row) == "net 9 -> floor((9 + 2*0 - 2*(3 - 1) - 1) / 1) + 1 = 5"
    row = trace(nn.Conv2d(1, 1, 3, padding="same"), (1, 9, 9)).rows[0]
    assert format_output_size(row) == "net 9 -> 9"
    assert format_output_size(Row(name="a.0", kind="Up", inputs=(1, 2, 2), outputs=(1, 4, 4))) == "net.a[0] 2 -> 4"


def test_does_not_change_the_network() -> None:
    net = LeNet()
    before = copy.deepcopy(net.state_dict())
    error_message(net, (1, 32, 32))
    assert net.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))


blocks = st.lists(
    st.tuples(
        st.sampled_from(["conv", "max", "avg", "ceil", "up"]),
        st.integers(1, 4),
        st.integers(1, 3),
        st.integers(0, 1),
        st.integers(1, 2),
    ),
    min_size=1,
    max_size=4,
)


def stack(specification: list[tuple[str, int, int, int, int]], features: int | None) -> nn.Sequential:
    net = nn.Sequential()
    for kind, kernel, stride, padding, dilation in specification:
        pool_padding = min(padding, kernel // 2)
        makers: dict[str, Callable[[], nn.Module]] = {
            "conv": partial(nn.Conv2d, 2, 2, kernel, stride, padding, dilation),
            "max": partial(nn.MaxPool2d, kernel, stride, pool_padding, dilation),
            "avg": partial(nn.AvgPool2d, kernel, stride, pool_padding),
            "ceil": partial(nn.MaxPool2d, kernel, stride, pool_padding, ceil_mode=True),
            "up": partial(nn.ConvTranspose2d, 2, 2, kernel, stride),
        }
        net.append(makers[kind]())
    if features is not None:
        net.extend([nn.Flatten(), nn.Linear(features, 3)])
    return net


@settings(max_examples=60, deadline=None)
@given(blocks, st.none() | st.integers(1, 20).map(lambda n: 2 * n * n), st.integers(1, 14), st.integers(1, 14))
def test_agrees_with_a_forward_pass(specification: Any, features: Any, height: int, width: int) -> None:
    net, shape = stack(specification, features), (2, height, width)
    outputs: list[tuple[int, ...]] = []
    x: torch.Tensor | None = torch.zeros(1, *shape)
    for layer in net:
        try:
            x = layer(x)
        except RuntimeError:
            x = None
            break
        outputs.append(tuple(x.shape[1:]))
    if x is not None:
        table = check_input(net, shape)
        assert [row.outputs for row in table.rows] == outputs
        for row in table.rows:  # the calculation is shown for every window
            if row.kernel and "Transpose" not in row.kind:
                assert "floor(" in format_output_size(row) or "ceil(" in format_output_size(row)
        return
    with pytest.raises(UsageError) as caught:
        check_input(net, shape)
    assert f"net[{len(outputs)}] = " in caught.value.where
    fit = nearest_fit(net, shape)
    if fit is not None:
        net(torch.zeros(2, *fit.shape))
        assert any(f"use {fit.shape[0]}x" in hint for hint in caught.value.hints)


def guard_error(net: nn.Module, x: torch.Tensor) -> UsageError:
    with pytest.raises(UsageError) as caught:
        net(x)
    return caught.value


def test_guard_accepts_batches_and_keeps_the_parameters() -> None:
    net = LeNet()
    names = list(net.state_dict())
    assert guard(net, (1, 28, 28), name="lenet_d2l") is net
    assert net(torch.zeros(3, 1, 28, 28)).shape == (3, 10)
    assert net(input=torch.zeros(3, 1, 28, 28)).shape == (3, 10)
    assert list(net.state_dict()) == names
    assert trace(net, (1, 28, 28)).parameters == 61_706


def test_guard_rejects_a_size_that_cannot_run() -> None:
    error = guard_error(guard(alexnet(), (1, 224, 224), name="alexnet_d2l"), torch.zeros(1, 1, 227, 227))
    assert error.what == "alexnet_d2l was built for 1x224x224 images and got 1x227x227"
    assert error.why.endswith("net[14] gets 256 x 6 x 6 = 9216 numbers and has weights for 6400")
    assert error.hints[1] == 'classicnets.create("alexnet_d2l", image_size=227) builds it for 1x227x227'


def test_guard_rejects_a_size_that_would_run() -> None:
    error = guard_error(guard(LeNet(), (1, 28, 28), name="lenet_d2l"), torch.zeros(1, 1, 30, 30))
    assert error.why == "it would run, but the network was built for one size, and nothing is resized silently"
    assert error.hints[0] == "torch.nn.functional.interpolate(x, size=(28, 28)) makes them 1x28x28"
    assert 'classicnets.create("lenet_d2l", image_size=30)' in error.hints[1]


def test_guard_suggests_the_batch_axis() -> None:
    error = guard_error(guard(LeNet(), (1, 28, 28), name="lenet_d2l"), torch.zeros(1, 28, 28))
    assert error.hints == ("net(x[None])",)


def test_guard_rejects_wrong_channels_and_axes() -> None:
    net = guard(LeNet(), (1, 28, 28), name="lenet_d2l")
    assert guard_error(net, torch.zeros(2, 3, 28, 28)).why == "conv1 reads 1 channel and gets 3"
    assert guard_error(net, torch.zeros(2, 784)).hints == ("x.reshape(-1, 1, 28, 28)",)


def test_guard_is_copied_and_pickled_with_the_network() -> None:
    net = guard(LeNet(), (1, 28, 28), name="lenet_d2l")
    for clone in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert clone(torch.zeros(1, 1, 28, 28)).shape == (1, 10)
        guard_error(clone, torch.zeros(1, 1, 30, 30))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # from torch
def test_guard_allows_export_and_compile() -> None:
    net, x = guard(LeNet(), (1, 28, 28)).eval(), torch.rand(2, 1, 28, 28)
    exported = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert exported.module()(torch.rand(5, 1, 28, 28)).shape == (5, 10)
    compiled = torch.compile(net, backend="eager")
    assert torch.equal(compiled(x), net(x))
    assert isinstance(compiled, nn.Module)
    assert "built for 1x28x28" in guard_error(compiled, torch.zeros(2, 1, 30, 30)).what
