"""LRN against a float64 reference in loops and against torch.

The inputs have the scale of images, 0-255 minus the mean, where LRN has an effect: for values between 0 and 1, any LRN,
even a wrong one, is almost a division by a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import forward_ad
from torch.autograd.functional import jacobian
from torch.autograd.graph import saved_tensors_hooks
from torch.testing import assert_close

from classicnets.inspection.shapes import trace
from classicnets.models import lrn
from classicnets.models.lrn import LRN
from support.typed import gradients_of, present

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
ALEXNET: dict[str, Any] = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}
NETS: dict[str, dict[str, Any]] = {
    "alexnet 2012": ALEXNET,
    "caffe": {**ALEXNET, "k": 1.0},
    "as printed in the paper": {**ALEXNET, "convention": "paper"},
    "two towers": {**ALEXNET, "groups": 2},
    "three groups, as printed": {**ALEXNET, "groups": 3, "convention": "paper"},
    "cifar 11 %": {"size": 9, "alpha": 1e-3, "beta": 0.75, "k": 1.0},
    "window of 1": {**ALEXNET, "size": 1},
    "window larger than the channels": {**ALEXNET, "size": 31},
    "no alpha": {**ALEXNET, "alpha": 0.0},
    "beta 1/2": {**ALEXNET, "beta": 0.5},
    "beta 2": {**ALEXNET, "beta": 2.0},
}
EVERY_NET = pytest.mark.parametrize("net", NETS.values(), ids=NETS)


def images(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """Values of 0-255 minus a mean of 118; the outputs of a first layer are at least as large."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(0, 256, shape, generator=generator) - 118.0).to(dtype)


def reference(
    a: torch.Tensor,
    g: torch.Tensor | None = None,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
    convention: str = "caffe",
    groups: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values for [N, C, H, W], and the gradient of (g * values).sum(), in float64, by the printed formula."""
    c = alpha / size if convention == "caffe" else alpha
    batch, channels, height, width = a.shape
    g = torch.ones_like(a) if g is None else g
    b, gradient = torch.zeros(a.shape, dtype=torch.float64), torch.zeros(a.shape, dtype=torch.float64)
    for n in range(batch):
        for y in range(height):
            for x in range(width):
                values, weights = a[n, :, y, x].double().tolist(), g[n, :, y, x].double().tolist()
                group_size = channels // groups

                def neighbors(i: int, group_size: int = group_size) -> range:
                    first = i // group_size * group_size
                    last = first + group_size - 1
                    return range(max(first, i - size // 2), min(last, i + size // 2) + 1)

                denominator = [k + c * math.fsum(values[j] ** 2 for j in neighbors(i)) for i in range(channels)]
                for i in range(channels):
                    b[n, i, y, x] = values[i] * denominator[i] ** -beta
                    gradient[n, i, y, x] = weights[i] * denominator[i] ** -beta - 2 * beta * c * values[i] * math.fsum(
                        weights[j] * values[j] * denominator[j] ** (-beta - 1) for j in neighbors(i)
                    )
    return b, gradient


def values_and_gradient(
    layer: Callable[..., torch.Tensor], a: torch.Tensor, g: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    a = a.clone().requires_grad_()
    b = layer(a)
    return b.detach(), torch.autograd.grad(b, a, g)[0]


# ------------------------------------------------------------------------------------------------------- references


@EVERY_NET
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_values_and_gradients_equal_the_reference(net: dict[str, Any], dtype: torch.dtype, tolerance: float) -> None:
    a = images(2, 12, 3, 4, dtype=dtype)
    g = torch.randn(a.shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    b, gradient = values_and_gradient(LRN(**net), a, g)
    expected, expected_gradient = reference(a, g, **net)
    assert b.dtype == dtype
    assert_close(b.double(), expected, rtol=tolerance, atol=0)
    # both terms of the gradient have the size of g * D^-beta and may cancel
    assert_close(
        gradient.double(), expected_gradient, rtol=tolerance, atol=tolerance * float(expected_gradient.abs().max())
    )


@pytest.mark.parametrize("name", [name for name in NETS if name not in {"no alpha"}])
def test_inputs_show_an_effect_of_lrn(name: str) -> None:
    net = NETS[name]
    a = images(2, 12, 3, 4)
    a = a[a != 0].reshape(1, -1, 1, 1)[:, :240]
    effect = (LRN(**net)(a) / a * net["k"] ** net["beta"] - 1).abs()
    assert effect.mean() > 0.03  # four orders of magnitude above the tolerance
    assert (
        LRN(**net)(a / 255) / a * 255 * net["k"] ** net["beta"] - 1
    ).abs().mean() < 2e-3  # no effect between 0 and 1


@EVERY_NET
def test_gradcheck(net: dict[str, Any]) -> None:
    a = images(1, 6, 2, 1, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(LRN(**net), a, eps=1e-4, atol=1e-8, rtol=1e-6)
    assert torch.autograd.gradgradcheck(LRN(**net), a, eps=1e-3, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize("k", [1.0, 2.0])
def test_caffe_convention_equals_torch(size: int, k: float, device: str) -> None:
    a = images(2, 48, 7, 6).to(device)
    g = images(2, 48, 7, 6, seed=1).to(device) / 100
    result = values_and_gradient(LRN(size, 1e-3, 0.75, k, convention="caffe"), a, g)
    expected = values_and_gradient(nn.LocalResponseNorm(size, 1e-3, 0.75, k), a, g)
    assert_close(result[0], expected[0], rtol=2e-6, atol=0)
    assert_close(result[1], expected[1], rtol=2e-6, atol=2e-6 * float(expected[1].abs().max()))
    literal = LRN(size, 1e-3, 0.75, k, convention="paper")(a)
    assert_close(literal, nn.LocalResponseNorm(size, 1e-3 * size, 0.75, k)(a), rtol=2e-6, atol=0)


def test_two_groups_equal_two_halves_in_torch() -> None:
    a = images(2, 96, 5, 5)
    torch_lrn = nn.LocalResponseNorm(5, 1e-4, 0.75, 2.0)
    halves = torch.cat([torch_lrn(a[:, :48]), torch_lrn(a[:, 48:])], dim=1)
    assert_close(LRN(groups=2)(a), halves, rtol=2e-6, atol=0)
    across = (LRN(groups=1)(a) - halves).abs().amax(dim=(0, 2, 3))
    assert across[46:50].min() > 0.1  # a window over all channels differs at the border, for two channels on each side
    assert torch.cat([across[:46], across[50:]]).max() < 1e-4


# -------------------------------------------------------------------------------------------------- settings and errors


def test_conventions_differ_by_the_window_size() -> None:
    assert LRN(5, 1e-4).effective_alpha == pytest.approx(2e-5)
    assert LRN(5, 1e-4, convention="paper").effective_alpha == 1e-4
    a = images(2, 12, 3, 3)
    assert_close(LRN(5, 2e-5, convention="paper")(a), LRN(5, 1e-4, convention="caffe")(a))
    assert (LRN(5, 1e-4, convention="paper")(a) / LRN(5, 1e-4)(a) - 1).abs().nanmean() > 0.1


def test_repr_shows_the_convention() -> None:
    text = repr(LRN(5, 1e-4, 0.75, 2.0, groups=2))
    assert text == "LRN(convention=caffe, effective_alpha=2e-05, n=5, k=2, beta=0.75, groups=2)"
    assert "convention=paper, effective_alpha=0.0001" in repr(LRN(convention="paper"))


@pytest.mark.parametrize(
    ("invalid", "words"),
    [
        ({"size": 4}, "must be odd.*4"),
        ({"size": 0}, "must be odd"),
        ({"size": -5}, "must be odd"),
        ({"convention": "tensorflow"}, "caffe, paper.*'tensorflow'"),
        ({"k": 0.0}, "k > 0"),
        ({"k": float("nan")}, "k > 0"),
        ({"alpha": -1e-4}, "alpha >= 0"),
        ({"groups": 0}, "at least 1"),
    ],
)
def test_rejects_invalid_settings(invalid: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LRN(**invalid)


def test_rejects_channels_that_groups_do_not_divide() -> None:
    with pytest.raises(ValueError, match="9 channels cannot be split into 2 equal groups"):
        LRN(groups=2)(images(1, 9, 2, 2))


def test_has_no_parameters_and_no_units() -> None:
    table = trace(nn.Sequential(LRN(groups=2)), (96, 55, 55))
    assert (table.parameters, table.macs, table.units, table.output_shape) == (0, 0, 0, (96, 55, 55))
    assert LRN().state_dict() == {}


# ----------------------------------------------------------------------------------- any number, any mode, any layout

finite = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True)
magnitudes = st.sampled_from([0.0, 1e-45, 1e-38, 1e-30, 1e-19, 1e-3, 1.0, 255.0, 1e10, 1e18, 2e19, 1e25, 1e30, 3.4e38])
numbers = finite | st.builds(lambda m, s: m * s, magnitudes, st.sampled_from([1.0, -1.0]))


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(numbers, min_size=1, max_size=12),
    net=st.sampled_from([net for net in NETS.values() if net.get("groups", 1) == 1]),
)
def test_equals_the_reference_for_any_finite_float32(values: list[Any], net: dict[str, Any]) -> None:
    a = torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1)
    g = torch.linspace(-1, 1, len(values)).reshape(a.shape)
    b, gradient = values_and_gradient(LRN(**net), a, g)
    expected, expected_gradient = reference(a, g, **net)
    assert b.isfinite().all()
    assert gradient.isfinite().all()
    # atol: a factor below float32's smallest normal number, 1e-38, has lost digits; times 1 / sqrt(c), at most 700
    assert_close(b.double(), expected, rtol=3e-6, atol=1e-42)
    # a term of the gradient may be far larger than the sum; the tolerance is relative to its maximum, k^-beta
    assert_close(gradient.double(), expected_gradient, rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize("convention", ["caffe", "paper"])
@pytest.mark.parametrize("value", [1e19, 2e19, 1e30, 3.4028e38, 1e-45, 1e-38, 0.0])
def test_equals_the_reference_for_extreme_values(value: float, convention: str) -> None:
    a = torch.full((1, 8, 2, 2), value)
    a[:, 3] = -1.0
    b, gradient = values_and_gradient(LRN(convention=convention), a, torch.ones_like(a))
    expected, expected_gradient = reference(a, convention=convention)
    assert_close(b.double(), expected, rtol=3e-6, atol=1e-42)
    assert_close(gradient.double(), expected_gradient, rtol=3e-6, atol=1e-7)
    if value >= 2e19:  # the squares in torch overflow here
        assert (nn.LocalResponseNorm(5, 1e-4, 0.75, 2.0)(a)[:, 6] == 0).all()
        assert (b[:, 6] > 0).all()


@pytest.mark.parametrize("net", [{"alpha": 1.0}, {"alpha": 5.0, "convention": "paper"}, {"k": 1e-6}, {"size": 31}])
def test_strong_settings_stay_finite(net: dict[str, Any]) -> None:
    a = torch.tensor([3.4e38, 0, 0, 0, 1, 0, 0, 1e-45, -3.4e38, 3.4e38] + [0.0] * 20).reshape(1, -1, 1, 1)
    assert LRN(**net)(a).isfinite().all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, device: str) -> None:
    a = images(2, 16, 3, 3, dtype=dtype).to(device) * 200  # squares of 23,000 overflow float16
    g = torch.ones_like(a)
    b, gradient = values_and_gradient(LRN(), a, g)
    wide, wide_gradient = values_and_gradient(LRN(), a.float(), g.float())
    assert b.dtype == gradient.dtype == dtype
    assert torch.equal(b, wide.to(dtype))
    assert_close(gradient, wide_gradient.to(dtype))
    assert b.isfinite().all()


@pytest.mark.parametrize("device", DEVICES)
def test_supports_autocast(device: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), LRN(groups=2)).to(device)
    x = images(2, 3, 6, 6).to(device)
    with torch.autocast(device, dtype=torch.bfloat16):
        before = net[0](x)
        b = net[1](before)
        float32_output = net[1](x[:, :2])
    assert b.dtype == before.dtype == torch.bfloat16
    assert torch.equal(b, net[1](before.float()).bfloat16())
    assert float32_output.dtype == torch.float32
    assert torch.equal(float32_output, net[1](x[:, :2]))
    b.float().sum().backward()
    assert all(gradient.isfinite().all() for gradient in gradients_of(net))


@pytest.mark.parametrize("device", DEVICES)
def test_repeats_bits_in_deterministic_mode(device: str) -> None:
    a, g = images(2, 96, 9, 9).to(device), images(2, 96, 9, 9, seed=1).to(device)
    enabled = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = values_and_gradient(LRN(), a, g), values_and_gradient(LRN(), a, g)
    finally:
        torch.use_deterministic_algorithms(enabled)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize("size", [5, 31])
def test_groups_never_share_a_window(size: int) -> None:
    a, b = images(1, 12, 3, 3), images(1, 12, 3, 3)
    b[:, :6] = torch.tensor([1e30, -5.0, 0.0, 1e-30, 3e38, 77.0]).reshape(1, 6, 1, 1)
    layer = LRN(size, groups=2)
    assert torch.equal(layer(a)[:, 6:], layer(b)[:, 6:])
    assert not torch.equal(LRN(size)(a)[:, 6:], LRN(size)(b)[:, 6:])
    a.requires_grad_()
    layer(a)[:, 6:].sum().backward()
    gradient = present(a.grad)
    assert (gradient[:, :6] == 0).all()
    assert (gradient[:, 6:] != 0).all()


def test_images_and_positions_are_independent() -> None:
    a = images(3, 8, 4, 4)
    b = a.clone()
    b[1], b[:, :, 2, 3] = 1e35, -1e36
    same = torch.ones(3, 4, 4, dtype=torch.bool)
    same[1], same[:, 2, 3] = False, False
    assert torch.equal(LRN()(a).movedim(1, -1)[same], LRN()(b).movedim(1, -1)[same])


@pytest.mark.parametrize("shape", [(3, 7), (3, 7, 5), (3, 7, 2, 3, 4), (0, 7, 3, 3), (2, 1, 3, 3)])
def test_supports_any_number_of_axes(shape: tuple[int, ...]) -> None:
    a = images(*shape)
    flat = a.reshape(shape[0], shape[1], 1, -1) if a.numel() else a
    assert torch.equal(LRN()(a), LRN()(flat).reshape(shape))


def test_supports_channels_last() -> None:
    a = images(2, 12, 5, 5)
    assert_close(LRN(groups=2)(a.to(memory_format=torch.channels_last)), LRN(groups=2)(a), rtol=1e-6, atol=0)


def test_compiles_and_exports_without_graph_breaks() -> None:
    net, a = LRN(groups=2), images(2, 8, 3, 3)
    assert_close(torch.compile(net, backend="aot_eager", fullgraph=True)(a), net(a))
    program = torch.export.export(net, (a,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert_close(program.module()(images(5, 8, 3, 3)), net(images(5, 8, 3, 3)))


# ----------------------------------------------------------------------------------------- blocks on the CPU


SHAPES = [(3, 12), (2, 12, 7), (5, 12, 9, 5), (1, 12, 8, 8), (2, 6, 3, 2, 5), (300, 6, 1, 1), (1, 6, 1, 1)]


def as_plain_operations(layer: nn.Module, a: torch.Tensor, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and gradient in whole-tensor operations, differentiated by torch."""
    result = torch.func.vjp(layer, a)
    return result[0], result[1](g)[0]


def channels_last(a: torch.Tensor) -> torch.Tensor:
    """The tensor with channels last in memory, for any number of axes."""
    return a.movedim(1, -1).contiguous().movedim(-1, 1)


def memory_layout(a: torch.Tensor) -> tuple[bool, bool]:
    """Whether the tensor is contiguous with channels first, and with channels last."""
    return a.is_contiguous(), a.movedim(1, -1).is_contiguous()


@EVERY_NET
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", [torch.Tensor.contiguous, channels_last], ids=["contiguous", "channels last"])
@pytest.mark.parametrize("block_size", [1 << 18, 50], ids=["one block", "unequal blocks"])
def test_blocks_equal_whole_tensor_operations(
    net: dict[str, Any], shape: tuple[int, ...], layout: Any, block_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lrn, "_BLOCK_SIZE", block_size)
    a, layer = layout(images(*shape)), LRN(**net)
    g = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    b, gradient = values_and_gradient(layer, a, layout(g))
    expected, expected_gradient = as_plain_operations(layer, a.double(), g.double())
    assert_close(b.double(), expected, rtol=2e-6, atol=0)
    assert_close(gradient.double(), expected_gradient, rtol=2e-6, atol=2e-6 * float(expected_gradient.abs().max()))
    assert memory_layout(b) == memory_layout(gradient) == memory_layout(a)
    assert_close(values_and_gradient(layer, a, g)[1], gradient, rtol=1e-6, atol=1e-6)  # for any layout of g


@pytest.mark.parametrize("shape", [(0, 12, 3, 3), (2, 12, 0, 3), (0, 12)], ids=str)
def test_supports_empty_tensors(shape: tuple[int, ...]) -> None:
    b, gradient = values_and_gradient(LRN(groups=2), torch.empty(shape), torch.empty(shape))
    assert b.shape == gradient.shape == shape


def adding_to(saved: list[torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """A hook that adds each tensor to the list."""

    def add(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    return add


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("layout", [torch.Tensor.contiguous, channels_last], ids=["contiguous", "channels last"])
def test_saves_only_the_input_for_the_gradient(dtype: torch.dtype, layout: Any) -> None:
    a = layout(images(2, 12, 5, 5, dtype=dtype)).requires_grad_()
    saved: list[torch.Tensor] = []
    with saved_tensors_hooks(adding_to(saved), lambda t: t):
        b = LRN(groups=2)(a)
    assert [(t.data_ptr(), t.nbytes) for t in saved] == [(a.data_ptr(), a.nbytes)]
    b.sum().backward()  # the gradient is one number, expanded to the shape
    assert a.grad.dtype == dtype
    saved.clear()
    with saved_tensors_hooks(adding_to(saved), lambda t: t), torch.no_grad():
        assert torch.equal(LRN(groups=2)(a), b)
    assert saved == []


VIEWS = {
    "some channels": lambda a: a[:, 2:8],
    "every second channel": lambda a: a[:, ::2],
    "every second row": lambda a: a[1:3, :, ::2],
    "transposed": lambda a: a.transpose(2, 3),
    "one image three times": lambda a: a[:1].expand(3, -1, -1, -1),
    "some channels, channels last": lambda a: channels_last(a)[:, 2:8],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_supports_views(view: Callable[..., Any]) -> None:
    a, layer = view(images(4, 16, 6, 6).requires_grad_()), LRN(groups=2)
    g = torch.randn(a.shape, generator=torch.Generator().manual_seed(1))
    b = layer(a)
    expected, expected_gradient = values_and_gradient(layer, a.detach().contiguous(), g)
    assert_close(b, expected, rtol=1e-6, atol=0)
    assert_close(torch.autograd.grad(b, a, g)[0], expected_gradient, rtol=1e-6, atol=1e-6)


@EVERY_NET
@pytest.mark.parametrize("value", [1e12, 1e15, 1e18, 1e21, 1e30, 3.4e38])
def test_huge_values_do_not_change_other_positions(net: dict[str, Any], value: float) -> None:
    a = images(3, 12, 4, 4)
    g = torch.randn(a.shape, generator=torch.Generator().manual_seed(1))
    normal_result = values_and_gradient(LRN(**net), a, g)
    a[1, 4, 2, 3], a[2, :, 1, 1] = value, -value
    b, gradient = values_and_gradient(LRN(**net), a, g)
    expected, expected_gradient = reference(a, g, **net)
    assert_close(b.double(), expected, rtol=3e-6, atol=1e-42)
    assert_close(gradient.double(), expected_gradient, rtol=3e-6, atol=3e-6)
    same = torch.ones(3, 4, 4, dtype=torch.bool)
    same[1, 2, 3], same[2, 1, 1] = False, False
    for after, before in ((b, normal_result[0]), (gradient, normal_result[1])):
        assert torch.equal(after.movedim(1, -1)[same], before.movedim(1, -1)[same])


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.75, 1.2, 2.0])
def test_gradients_of_huge_values_are_precise(beta: float) -> None:
    """Relative to their own size, s^-beta, not to that of gradients of usual values."""
    for exponent in range(-3, 20):
        a = 10.0**exponent * torch.tensor([3.0, -2.0, 1.0, 5.0, 0.5, -4.0]).reshape(1, 6, 1, 1)
        g = torch.tensor([1.0, 2.0, -1.0, 3.0, 1.5, -2.0]).reshape(a.shape)
        gradient = values_and_gradient(LRN(beta=beta), a, g)[1].double()
        expected = reference(a, g, beta=beta)[1]
        if expected.abs().max() > 1e-18:
            assert_close(gradient, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
        assert gradient.isfinite().all()


@pytest.mark.parametrize("net", [{"alpha": 1.0}, {"alpha": 5.0, "convention": "paper"}, {"k": 1e-6}, {"size": 31}])
def test_gradients_under_strong_settings_stay_finite(net: dict[str, Any]) -> None:
    a = torch.tensor([3.4e38, 0, 0, 0, 1, 0, 0, 1e-45, -3.4e38, 3.4e38] + [0.0] * 20).reshape(1, -1, 1, 1)
    assert values_and_gradient(LRN(**net), a, torch.ones_like(a))[1].isfinite().all()


def test_nan_stays_in_its_window() -> None:
    a = images(2, 12, 3, 3)
    before = LRN()(a)
    a[1, 4, 1, 1], a[0, 0, 0, 0] = math.nan, math.inf
    b = LRN()(a)
    assert b[1, 2:7, 1, 1].isnan().all() and b[0, 0, 0, 0].isnan()
    same = torch.ones(2, 3, 3, dtype=torch.bool)
    same[1, 1, 1], same[0, 0, 0] = False, False
    assert torch.equal(b.movedim(1, -1)[same], before.movedim(1, -1)[same])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_in_blocks(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    a = images(5, 12, 4, 3, dtype=dtype)
    g = torch.randn(a.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    result = values_and_gradient(LRN(groups=2), a, g)
    wide = values_and_gradient(LRN(groups=2), a.float(), g.float())
    assert torch.equal(result[0], wide[0].to(dtype)) and torch.equal(result[1], wide[1].to(dtype))
    monkeypatch.setattr(lrn, "_BLOCK_SIZE", 50)
    blockwise = values_and_gradient(LRN(groups=2), channels_last(a), channels_last(g))
    assert_close(blockwise, result)


# --------------------------------------------------------------------------------- transformations of torch


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # from torch, at the first jvp
def test_supports_torch_transformations() -> None:
    layer, a, direction = (
        LRN(groups=2),
        images(3, 6, 2, 2, dtype=torch.float64),
        images(3, 6, 2, 2, seed=1).double(),
    )
    rows = jacobian(layer, a)
    expected = (rows.flatten(4) @ direction.flatten()).reshape(a.shape)
    assert_close(jacobian(layer, a, vectorize=True), rows)
    assert_close(torch.func.jacrev(layer)(a), rows)
    assert_close(torch.func.jvp(layer, (a,), (direction,))[1], expected)
    assert_close(torch.func.vmap(layer)(torch.stack([a, direction]))[1], layer(direction))
    with forward_ad.dual_level():
        assert_close(forward_ad.unpack_dual(layer(forward_ad.make_dual(a, direction))).tangent, expected)


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_traces_with_make_fx(mode: Literal["real", "fake", "symbolic"]) -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    layer, g = LRN(groups=2), torch.ones(4, 6, 3, 3)
    graph = make_fx(lambda a, g: torch.func.vjp(layer, a)[1](g)[0] + layer(a), tracing_mode=mode)(images(4, 6, 3, 3), g)
    other = images(4, 6, 3, 3, seed=1)
    b, gradient = values_and_gradient(layer, other, g)
    assert_close(graph(other, g), b + gradient)


def test_supports_the_meta_device() -> None:
    a = torch.empty(2, 12, 5, 5, device="meta", requires_grad=True)
    b = LRN(groups=2)(a)
    b.sum().backward()
    gradient = present(a.grad)
    assert b.shape == gradient.shape == a.shape and b.is_meta and gradient.is_meta


@pytest.mark.parametrize("layout", [torch.Tensor.contiguous, channels_last], ids=["contiguous", "channels last"])
def test_compiled_values_and_gradients_are_equal(layout: Any) -> None:
    """As graphs of both passes, divided as for Inductor, whose own code would take half a minute to compile."""
    torch._dynamo.reset()
    layer = LRN(groups=2, convention="paper")
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    a = layout(images(3, 24, 7, 5))
    a[1, 4, 2, 3] = 3e38
    g = layout(torch.randn(a.shape, generator=torch.Generator().manual_seed(1)))
    saved: list[torch.Tensor] = []
    with saved_tensors_hooks(adding_to(saved), lambda t: t):
        b, gradient = values_and_gradient(compiled, a, g)
    assert (
        a.nbytes <= sum(t.nbytes for t in saved) < 1.2 * a.nbytes
    )  # the input, and the largest value of each position
    expected, expected_gradient = values_and_gradient(layer, a, g)
    assert_close(b, expected, rtol=2e-6, atol=1e-42)
    assert_close(gradient, expected_gradient, rtol=2e-6, atol=2e-6)
    assert memory_layout(b) == memory_layout(a)
