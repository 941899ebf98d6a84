"""The layers that torch lacks, against float64 references in loops, and against torch where it has an equivalent."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from classicnets.inspection.shapes import trace
from classicnets.models import layers
from classicnets.models.layers import LocalConv2d, RBFOutput, SameMapNorm, ScaledTanh, Subsampling, TableConv2d
from support.typed import gradients_of, present

# LeNet-5, C3 (1998, table I): the channels of S2 that each of the 16 channels reads.
C3 = [
    "012", "123", "234", "345", "045", "015",
    "0123", "1234", "2345", "0345", "0145", "0125", "0134", "1245", "0235",
    "012345",
]  # fmt: skip
# LeNet-1, H3 (1990, table 1), a row for each of the four channels of H2.
H3 = ["111011000000", "011111000000", "000000111011", "000000011111"]
# LeNet of 1989, H2: the paper's table is not published; this is karpathy's assumption.
H2 = [range(8)] * 4 + [range(4, 12)] * 4 + [[0, 1, 2, 3, 8, 9, 10, 11]] * 4


def c3() -> TableConv2d:
    return TableConv2d(6, 16, 5, [[int(i) for i in row] for row in C3])


def h3() -> TableConv2d:
    return TableConv2d(4, 12, 5, [[i for i in range(4) if H3[i][j] == "1"] for j in range(12)])


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


Layer = TypeVar("Layer", bound=nn.Module)


def randomize(layer: Layer, seed: int = 9) -> Layer:
    """Set every parameter to its own value, so that a swapped index shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    return layer


def check_against(layer: nn.Module, reference: Any, *shape: int, tolerance: float = 1e-12) -> None:
    """Compare values and all gradients (input and parameters), in float64 and less strictly in float32."""
    for dtype, limit in ((torch.float64, tolerance), (torch.float32, 2e-5)):
        layer = layer.to(dtype)
        parameters = dict(layer.named_parameters())
        x = normal(*shape, dtype=dtype).requires_grad_()
        y = layer(x)
        assert y.dtype == dtype
        g = normal(*y.shape, seed=1, dtype=dtype)
        gradients = torch.autograd.grad(y, [x, *parameters.values()], g)
        x64 = x.detach().double().requires_grad_()
        parameters64 = {name: p.detach().double().requires_grad_() for name, p in parameters.items()}
        expected = reference(x64, **parameters64)
        expected_gradients = torch.autograd.grad(expected, [x64, *parameters64.values()], g.double())
        for a, b in zip([y, *gradients], [expected, *expected_gradients], strict=True):
            assert b.std() > 0.01 if b.numel() > 1 else b.abs() > 0
            assert_close(a.double(), b, rtol=limit, atol=limit * float(b.detach().abs().max()))


def added(values: Iterable[Tensor]) -> Tensor:
    """The sum, which is a tensor even of nothing."""
    return sum(values, torch.zeros(()))


def convolve(x: Tensor, kernel: Tensor, stride: int, padding: int, value: float) -> Tensor:
    """Convolve one channel [H, W] with one kernel, in loops."""
    k, (height, width) = kernel.shape[0], x.shape

    def tap(i: int, j: int) -> Tensor:
        inside = 0 <= i < height and 0 <= j < width
        return x[i, j] if inside else torch.tensor(value, dtype=x.dtype)

    positions = [range((size + 2 * padding - k) // stride + 1) for size in x.shape]
    return torch.stack(
        [
            torch.stack(
                [
                    added(
                        kernel[u, v] * tap(r * stride + u - padding, c * stride + v - padding)
                        for u, v in itertools.product(range(k), repeat=2)
                    )
                    for c in positions[1]
                ]
            )
            for r in positions[0]
        ]
    )


# ------------------------------------------------------------------------------------------------------- ScaledTanh


def test_scaled_tanh_equals_the_formula() -> None:
    check_against(ScaledTanh(), lambda x: 1.7159 * (torch.exp(4 * x / 3) - 1) / (torch.exp(4 * x / 3) + 1), 2, 3, 5, 4)
    f = ScaledTanh().double()
    ones = f(torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64))
    assert_close(
        ones, torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64), rtol=0, atol=3e-5
    )  # f(1) = 1 to the precision of the constants
    x = torch.linspace(0.2, 2, 1801, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    assert x[curvature.abs().argmax()].item() == pytest.approx(
        1, abs=0.02
    )  # as in the paper of 1998: the curvature is largest at 1
    assert torch.autograd.gradcheck(ScaledTanh(0.7, 3.0), normal(5).requires_grad_())
    assert repr(ScaledTanh(2.0, 0.5)) == "ScaledTanh(amplitude=2, slope=0.5)"
    assert f(torch.tensor([-1e30, 1e30])).tolist() == pytest.approx([-1.7159, 1.7159])


# ------------------------------------------------------------------------------------------------------- Subsampling


def subsample(x: Tensor, weight: Tensor, bias: Tensor, size: int) -> Tensor:
    rows = []
    for n, c, i, j in itertools.product(*map(range, (*x.shape[:2], x.shape[2] // size, x.shape[3] // size))):
        window = [x[n, c, i * size + u, j * size + v] for u in range(size) for v in range(size)]
        rows.append(weight[c] * sum(window) + bias[c])
    return torch.stack(rows).reshape(*x.shape[:2], x.shape[2] // size, x.shape[3] // size)


@pytest.mark.parametrize(("size", "input_size"), [(2, (4, 6)), (2, (5, 7)), (3, (6, 7)), (1, (2, 3))])
def test_subsampling_equals_the_reference(size: int, input_size: tuple[int, ...]) -> None:
    layer = randomize(Subsampling(3, size))
    check_against(layer, lambda x, weight, bias: subsample(x, weight, bias, size), 2, 3, *input_size)
    x = normal(1, 3, *input_size).requires_grad_()
    assert torch.autograd.gradcheck(layer.double(), x)
    named = dict(layer.named_parameters())
    assert torch.autograd.gradcheck(
        lambda w, b: torch.func.functional_call(layer, {"weight": w, "bias": b}, x.detach()), tuple(named.values())
    )


def test_subsampling_multiplies_the_sum_of_the_window() -> None:
    layer = Subsampling(6)
    x = normal(2, 6, 28, 28, dtype=torch.float32) * 100
    assert torch.equal(layer(x), F.avg_pool2d(x, 2))  # with the initial weights
    nn.init.ones_(layer.weight)
    assert torch.equal(layer(x), F.avg_pool2d(x, 2) * 4)
    nn.init.constant_(layer.bias, 0.5)
    assert torch.equal(layer(x), F.avg_pool2d(x, 2) * 4 + 0.5)


def test_subsampling_rejects_other_channels() -> None:
    with pytest.raises(ValueError, match="6 channels, but got 1"):
        Subsampling(6)(torch.zeros(2, 1, 4, 4))


# ------------------------------------------------------------------------------------------------------- TableConv2d


def convolve_by_table(
    x: Tensor, weight: Tensor, bias: Tensor, table: Any, stride: int = 1, padding: int = 0, value: float = 0.0
) -> Tensor:
    images = []
    for n in range(x.shape[0]):
        start, channels = 0, []
        for j, inputs in enumerate(table):
            total = sum(convolve(x[n, i], weight[start + m], stride, padding, value) for m, i in enumerate(inputs))
            channels.append(total + bias[j])
            start += len(inputs)
        images.append(torch.stack(channels))
    return torch.stack(images)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2},
        {"padding": 1},
        {"padding": 2, "stride": 2, "pad_value": -1.0},
        {"padding": 1, "pad_value": 0.7},
        {"padding": 2, "stride": 2, "pad_value": -1.0, "unit_bias": (4, 4)},
        {"unit_bias": (3, 4)},
    ],
    ids=str,
)
def test_table_convolution_equals_the_reference(options: dict[str, Any]) -> None:
    table = [[0, 2], [3], [2, 0, 1], [0, 1, 2, 3]]  # neither sorted nor in blocks
    layer = randomize(TableConv2d(4, 4, 3, table, **options))
    values = {"stride": options.get("stride", 1), "padding": options.get("padding", 0)}

    def reference(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return convolve_by_table(x, weight, bias, table, value=options.get("pad_value", 0.0), **values)

    check_against(layer, reference, 2, 4, 5, 6)
    x = normal(1, 4, 5, 6).requires_grad_()
    assert torch.autograd.gradcheck(layer.double(), x)
    assert torch.autograd.gradcheck(
        lambda w, b: torch.func.functional_call(layer, {"weight": w, "bias": b}, x.detach()),
        tuple(p for p in layer.parameters()),
    )


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 2), (3, 1)])
def test_full_table_equals_conv2d(stride: int, padding: int) -> None:
    full = TableConv2d(6, 16, 5, [range(6)] * 16, stride=stride, padding=padding)
    plain = nn.Conv2d(6, 16, 5, stride=stride, padding=padding)
    with torch.no_grad():
        plain.weight.copy_(full.weight.reshape(plain.weight.shape))
        present(plain.bias).copy_(full.bias)
    x = normal(3, 6, 14, 14, dtype=torch.float32).requires_grad_()
    outputs, expected = full(x), plain(x)
    assert torch.equal(outputs, expected)
    g = normal(*outputs.shape, seed=1, dtype=torch.float32)
    gradients = torch.autograd.grad(outputs, [x, full.weight, full.bias], g)
    expected_gradients = torch.autograd.grad(expected, [x, plain.weight, present(plain.bias)], g)
    for a, b in zip(gradients, expected_gradients, strict=True):
        assert torch.equal(a.reshape(b.shape), b)
    for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding"):
        assert getattr(full, name) == getattr(plain, name)


def test_block_table_equals_two_groups() -> None:
    blocks = TableConv2d(4, 6, 3, [[0, 1]] * 3 + [[2, 3]] * 3)
    grouped = nn.Conv2d(4, 6, 3, groups=2)
    with torch.no_grad():
        grouped.weight.copy_(blocks.weight.reshape(grouped.weight.shape))
        present(grouped.bias).copy_(blocks.bias)
    x = normal(2, 4, 7, 7, dtype=torch.float32)
    assert_close(blocks(x), grouped(x), rtol=1e-5, atol=1e-6)


def test_reads_only_the_channels_of_the_table() -> None:
    layer, x = c3(), normal(1, 6, 14, 14, dtype=torch.float32)
    before = layer(x)
    for i in range(6):
        changed = x.clone()
        changed[:, i] += 1
        affected = (layer(changed) != before).flatten(2).any(2)[0]
        assert affected.tolist() == [str(i) in row for row in C3]


def test_counts_of_c3() -> None:
    layer = c3()
    assert (layer.weight.numel(), layer.bias.numel()) == (1500, 16)
    assert sum(p.numel() for p in layer.parameters()) == 1516
    assert layer.macs((16, 10, 10)) == 150_000
    assert layer.macs((16, 10, 10)) + 16 * 10 * 10 == 151_600  # connections
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert layer.fan_in == tuple(25 * len(row) for row in C3)
    assert repr(layer) == "TableConv2d(6, 16, pairs=60, kernel_size=(5, 5))"


def test_initialization_uses_the_fan_in_of_each_output_channel() -> None:
    torch.manual_seed(0)
    layer = TableConv2d(16, 40, 5, [[0]] * 20 + [range(16)] * 20)
    for weights, biases, bound in (
        (layer.weight[:20], layer.bias[:20], 25**-0.5),
        (layer.weight[20:], layer.bias[20:], 400**-0.5),
    ):
        assert weights.abs().max() <= bound
        assert biases.abs().max() <= bound
        assert weights.std().item() == pytest.approx(bound / 3**0.5, rel=0.06)
        assert biases.abs().max() > 0.7 * bound
    torch.manual_seed(0)
    same_seed = TableConv2d(16, 40, 5, [[0]] * 20 + [range(16)] * 20)
    assert torch.equal(layer.weight, same_seed.weight)
    assert TableConv2d(1, 2, 5, [[0], [0]], unit_bias=(8, 8)).bias.shape == (2, 8, 8)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([[0], [1]], "2 rows for 3 output channels"),
        ([[0], [1], []], "row 2"),
        ([[0], [1], [1, 1]], "row 2"),
        ([[0], [4], [1]], "row 1.*channels of 0-3"),
        ([[0], [-1], [1]], "row 1"),
    ],
)
def test_rejects_invalid_tables(table: list[list[int]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TableConv2d(4, 3, 3, table)


@pytest.mark.parametrize("unit_bias", [(8, 8), (1, 1), (4, 1)])
def test_rejects_unit_biases_of_another_size(unit_bias: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="the output is 4x4"):
        TableConv2d(1, 2, 3, [[0], [0]], unit_bias=unit_bias)(torch.zeros(1, 1, 6, 6))


# --------------------------------------------------------------------------------------------------------- RBFOutput


def test_rbf_output_equals_the_reference() -> None:
    codes = normal(3, 7, seed=5).sign()
    layer = RBFOutput(codes)

    def reference(x: Tensor) -> Tensor:
        return torch.stack(
            [torch.stack([-added((x[n, j] - codes[i, j]) ** 2 for j in range(7)) for i in range(3)]) for n in range(4)]
        )

    check_against(layer, reference, 4, 7)
    assert torch.autograd.gradcheck(layer.double(), normal(2, 7).requires_grad_())
    assert_close(layer(normal(4, 7)), -(torch.cdist(normal(4, 7), codes) ** 2))
    assert torch.equal(layer(codes).argmax(1), torch.arange(3))  # a code is nearest to itself
    assert torch.equal(layer(codes).diagonal(), torch.zeros(3, dtype=torch.float64))


def test_codes_are_a_buffer() -> None:
    codes = torch.ones(10, 84, dtype=torch.int64)
    layer = RBFOutput(codes)
    assert list(layer.parameters()) == []
    assert list(layer.state_dict()) == ["codes"]
    assert layer.codes.dtype == torch.float32
    assert layer.macs((10,)) == 840
    with pytest.raises(ValueError, match="classes, features"):
        RBFOutput(torch.ones(84))


# ------------------------------------------------------------------------------------------------------- LocalConv2d


@pytest.mark.parametrize(("size", "padding", "input_size"), [((3, 4), 0, (5, 6)), ((4, 3), 1, (4, 3)), (4, 2, (2, 2))])
def test_local_convolution_equals_the_reference(
    size: tuple[int, int] | int, padding: int, input_size: tuple[int, ...]
) -> None:
    layer = randomize(LocalConv2d(2, 3, 3, size, padding=padding))
    height, width = layer.size

    def reference(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        padded = F.pad(x, (padding,) * 4)
        values = [
            sum(
                weight[i, j, o, c, u, v] * padded[n, c, i + u, j + v]
                for c, u, v in itertools.product(range(2), range(3), range(3))
            )
            + bias[o, i, j]
            for n, o, i, j in itertools.product(range(2), range(3), range(height), range(width))
        ]
        return torch.stack(values).reshape(2, 3, height, width)

    check_against(layer, reference, 2, 2, *input_size)
    x = normal(1, 2, *input_size).requires_grad_()
    assert torch.autograd.gradcheck(layer.double(), x)
    assert torch.autograd.gradcheck(
        lambda w, b: torch.func.functional_call(layer, {"weight": w, "bias": b}, x.detach()),
        tuple(p for p in layer.parameters()),
    )


@pytest.mark.parametrize("padding", [0, 1])
def test_equal_local_kernels_equal_conv2d(padding: int) -> None:
    plain = nn.Conv2d(8, 5, 3, padding=padding).double()
    local = LocalConv2d(8, 5, 3, 6 - 2 + 2 * padding, padding=padding).double()
    with torch.no_grad():
        local.weight.copy_(plain.weight.expand_as(local.weight))
        local.bias.copy_(present(plain.bias)[:, None, None].expand_as(local.bias))
    x = normal(4, 8, 6, 6).requires_grad_()
    assert_close(local(x), plain(x), rtol=1e-12, atol=1e-12)
    g = normal(4, 5, *local.size, seed=1)
    gradients = torch.autograd.grad(local(x), [x, local.weight, local.bias], g)
    expected = torch.autograd.grad(plain(x), [x, plain.weight, present(plain.bias)], g)
    assert_close(gradients[0], expected[0], rtol=1e-12, atol=1e-12)
    assert_close(gradients[1].sum((0, 1)), expected[1], rtol=1e-12, atol=1e-12)
    assert_close(gradients[2].sum((1, 2)), expected[2], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("input_size", [(6, 7), (4, 9), (9, 4)])
def test_local_convolution_rejects_other_sizes(input_size: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"input of 6x6, but got {input_size[0]}x{input_size[1]}"):
        LocalConv2d(2, 3, 3, 6, padding=1)(torch.zeros(1, 2, *input_size))


# ------------------------------------------------------------------------------------------------------- SameMapNorm

NORMS: dict[str, dict[str, Any]] = {
    "config 145": {"size": 5, "alpha": 1e-3, "beta": 0.75, "k": 1.0},
    "cifar 18 %": {"size": 3, "alpha": 5e-5, "beta": 0.75, "k": 1.0},
    "window of 1": {"size": 1, "alpha": 1e-3, "beta": 0.5, "k": 2.0},
    "larger than the image": {"size": 9, "alpha": 1e-2, "beta": 1.0, "k": 2.0},
}
EVERY_NORM = pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Values of 0-255 minus a mean of 118."""
    return (torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed)) - 118.0).to(dtype)


def normalize(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    values, half = [], size // 2
    for n, c, i, j in itertools.product(*map(range, x.shape)):
        rows = range(max(0, i - half), min(x.shape[2], i + half + 1))
        columns = range(max(0, j - half), min(x.shape[3], j + half + 1))
        total = sum(x[n, c, u, v] ** 2 for u in rows for v in columns)
        values.append(x[n, c, i, j] / (k + alpha / size**2 * total) ** beta)
    return torch.stack(values).reshape(x.shape)


@EVERY_NORM
def test_same_map_norm_equals_the_reference(norm: dict[str, Any]) -> None:
    layer = SameMapNorm(**norm)
    for dtype, limit in ((torch.float64, 1e-12), (torch.float32, 3e-6)):
        x = images(1, 2, 6, 5, dtype=dtype).requires_grad_()
        wide = x.detach().double().requires_grad_()
        g = normal(*x.shape, dtype=dtype)
        y, expected = layer(x), normalize(wide, **norm)
        assert_close(y.double(), expected, rtol=limit, atol=0)
        (gradient,), (expected_gradient,) = (
            torch.autograd.grad(y, x, g),
            torch.autograd.grad(expected, wide, g.double()),
        )
        assert_close(
            gradient.double(), expected_gradient, rtol=limit, atol=limit * float(expected_gradient.abs().max())
        )
    effect = (y / x * norm["k"] ** norm["beta"] - 1).abs().detach()
    assert effect.nanmean() > 0.01
    assert torch.autograd.gradcheck(layer, images(1, 1, 4, 3).requires_grad_(), eps=1e-4, atol=1e-8, rtol=1e-6)


@EVERY_NORM
def test_same_map_norm_equals_a_formula_with_average_pooling(norm: dict[str, Any]) -> None:
    x = images(2, 4, 12, 11)
    mean = F.avg_pool2d(x.square(), norm["size"], stride=1, padding=norm["size"] // 2)  # counts the zeros outside
    assert_close(SameMapNorm(**norm)(x), x / (norm["k"] + norm["alpha"] * mean) ** norm["beta"], rtol=1e-12, atol=0)


finite = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(finite, min_size=6, max_size=6), norm=st.sampled_from(list(NORMS.values())[:3]))
def test_same_map_norm_is_exact_for_any_finite_float32(values: list[Any], norm: dict[str, Any]) -> None:
    x = torch.tensor(values, dtype=torch.float32).reshape(1, 1, 2, 3).requires_grad_()
    y = SameMapNorm(**norm)(x)
    assert_close(y.double(), normalize(x.double(), **norm), rtol=3e-6, atol=1e-42)
    y.sum().backward()
    assert present(x.grad).isfinite().all()


def test_same_map_norm_separates_channels_and_supports_half_precision() -> None:
    a = images(2, 3, 5, 5, dtype=torch.float32)
    b = a.clone()
    b[:, 1] = 1e30
    assert torch.equal(SameMapNorm()(a)[:, [0, 2]], SameMapNorm()(b)[:, [0, 2]])
    half = (a * 200).half()
    assert torch.equal(SameMapNorm()(half), SameMapNorm()(half.float()).half())
    assert repr(SameMapNorm()) == "SameMapNorm(effective_alpha=4e-05, size=5, k=1, beta=0.75)"
    for invalid in ({"size": 4}, {"k": 0.0}, {"alpha": -1.0}):
        with pytest.raises(ValueError, match="SameMapNorm"):
            SameMapNorm(**invalid)


# ---------------------------------------------------------------------------------------------- all layers, all modes


def all_layers() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    torch.manual_seed(0)
    return {
        "tanh": (ScaledTanh(), (6, 8, 8)),
        "S2": (Subsampling(6), (6, 28, 28)),
        "C3": (c3(), (6, 14, 14)),
        "1989": (TableConv2d(1, 12, 5, [[0]] * 12, stride=2, padding=2, pad_value=-1.0, unit_bias=(8, 8)), (1, 16, 16)),
        "RBF": (RBFOutput(torch.randn(10, 84).sign()), (84,)),
        "local": (LocalConv2d(8, 4, 3, 6, padding=1), (8, 6, 6)),
        "rnorm": (SameMapNorm(), (4, 7, 7)),
    }


LAYERS = pytest.mark.parametrize("name", all_layers())
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()


@LAYERS
@pytest.mark.parametrize("device", DEVICES)
def test_deterministic_mode_repeats_outputs_and_gradients(name: str, device: str) -> None:
    layer, shape = all_layers()[name]
    layer = layer.to(device)
    x = normal(5, *shape, dtype=torch.float32).to(device).requires_grad_()
    enabled = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        runs = []
        for _ in range(2):
            y = layer(x)
            runs.append([y, *torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])])
    finally:
        torch.use_deterministic_algorithms(enabled)
    for a, b in zip(*runs, strict=True):
        assert torch.equal(a, b)
        assert a.abs().sum() > 0


@LAYERS
@pytest.mark.parametrize("device", DEVICES)
def test_supports_autocast(name: str, device: str) -> None:
    layer, shape = all_layers()[name]
    layer = layer.to(device)
    x = normal(3, *shape, dtype=torch.float32).to(device)
    with torch.autocast(device, dtype=torch.bfloat16):
        y = layer(x.bfloat16())
    plain = layer(x)
    assert y.shape == plain.shape
    assert_close(y.float(), plain, rtol=0.05, atol=0.05 * float(plain.detach().std()))
    if list(layer.parameters()):
        y.float().square().mean().backward()
        assert all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients_of(layer))


@LAYERS
def test_compiles_without_graph_breaks_and_loads_its_state(name: str) -> None:
    layer, shape = all_layers()[name]
    x = normal(2, *shape, dtype=torch.float32)
    assert_close(torch.compile(layer, backend="aot_eager", fullgraph=True)(x), layer(x))
    clone = all_layers()[name][0]
    clone.load_state_dict(layer.state_dict())
    assert torch.equal(clone(x), layer(x))


@LAYERS
def test_output_of_an_image_does_not_depend_on_its_batch(name: str) -> None:
    layer, shape = all_layers()[name]
    x = normal(3, *shape)
    layer = layer.double()
    assert_close(layer(x)[1:2], layer(x[1:2]), rtol=1e-12, atol=1e-13)


# name, layer, input, weights, biases, MACs, units, output, as in the fact sheet
COUNTS = [
    ("1989 H1", all_layers()["1989"][0], (1, 16, 16), 300, 768, 19_200, 768, (12, 8, 8)),
    (
        "1989 H2",
        TableConv2d(12, 12, 5, H2, stride=2, padding=2, pad_value=-1.0, unit_bias=(4, 4)),
        (12, 8, 8), 2_400, 192, 38_400, 192, (12, 4, 4),
    ),
    ("LeNet-1 H2", Subsampling(4), (4, 24, 24), 4, 4, 2_304, 576, (4, 12, 12)),
    ("LeNet-1 H3", h3(), (4, 12, 12), 500, 12, 32_000, 768, (12, 8, 8)),
    ("LeNet-1 H4", Subsampling(12), (12, 8, 8), 12, 12, 768, 192, (12, 4, 4)),
    ("LeNet-5 S2", Subsampling(6), (6, 28, 28), 6, 6, 4_704, 1_176, (6, 14, 14)),
    ("LeNet-5 C3", c3(), (6, 14, 14), 1_500, 16, 150_000, 1_600, (16, 10, 10)),
    ("LeNet-5 S4", Subsampling(16), (16, 10, 10), 16, 16, 1_600, 400, (16, 5, 5)),
    ("LeNet-5 RBF", RBFOutput(torch.ones(10, 84)), (84,), 0, 0, 840, 10, (10,)),
    ("CIFAR local3", LocalConv2d(64, 32, 3, 6, padding=1), (64, 6, 6), 663_552, 1_152, 663_552, 1_152, (32, 6, 6)),
    ("CIFAR local4", LocalConv2d(32, 32, 3, 6, padding=1), (32, 6, 6), 331_776, 1_152, 331_776, 1_152, (32, 6, 6)),
    ("rnorm", SameMapNorm(), (32, 8, 8), 0, 0, 0, 0, (32, 8, 8)),
    ("tanh", ScaledTanh(), (6, 28, 28), 0, 0, 0, 0, (6, 28, 28)),
]  # fmt: skip


@pytest.mark.parametrize("row", COUNTS, ids=[row[0] for row in COUNTS])
def test_layer_table_has_the_counts_of_the_sources(row: tuple[Any, ...]) -> None:
    _, layer, shape, weights, biases, macs, units, output = row
    table = trace(nn.Sequential(layer), shape)
    assert (table.weights, table.biases, table.macs, table.units) == (weights, biases, macs, units)
    assert table.output_shape == output
    assert math.prod(output) == units or units == 0
    if hasattr(layer, "kernel_size"):
        assert (table.rows[0].kernel, table.rows[0].stride) == (layer.kernel_size, layer.stride)


@pytest.mark.parametrize("file", ["layers.py", "lrn.py"])
def test_file_runs_without_the_package(file: str, tmp_path: Path) -> None:
    namespace: dict[str, object] = {"__name__": "copied"}
    text = (Path(layers.__file__).parent / file).read_text()
    exec(compile(text, file, "exec"), namespace)
    assert "classicnets" not in text
