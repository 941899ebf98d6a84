"""Writes web/tests/calculations.json: layers with their inputs, weights and outputs, computed by torch.

The page must calculate the same values (web/tests/calculation.test.ts). Run it after a new kind of layer:

    .venv/bin/python tests/web/make_calculations.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from classicnets.models.layers import ScaledTanh
from classicnets.models.lrn import LRN

FILE = Path(__file__).parents[2] / "web" / "tests" / "calculations.json"
SIZE = {"kernel": [3, 3], "stride": [1, 1], "padding": [0, 0, 0, 0], "dilation": [1, 1]}


def case(title: str, kind: str, layer: nn.Module, shape: tuple[int, ...], **facts: Any) -> dict[str, Any]:
    """One layer on noise; batch normalization has its statistics among its weights."""
    x = torch.randn(1, *shape).round(decimals=3)
    for tensor in (*layer.parameters(), *layer.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.round(decimals=3)
    weights = {name: numbers(tensor) for name, tensor in layer.named_parameters()}
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        assert isinstance(layer.running_mean, Tensor) and isinstance(layer.running_var, Tensor)
        weights |= {"mean": numbers(layer.running_mean), "variance": numbers(layer.running_var)}
        facts |= {name: name if name in weights else None for name in ("mean", "variance", "weight", "bias")}
    with torch.no_grad():
        y = layer.double().eval()(x.double())
    return {
        "title": title,
        "type": kind,
        "facts": facts,
        "input": numbers(x),
        "input_shape": [*shape],
        "output": [round(float(value), 7) for value in y.flatten()],
        "shape": [*y.shape[1:]],
        "weights": weights,
    }


def numbers(tensor: Tensor) -> list[float]:
    """Values with three decimals, as they are in this file."""
    return [round(float(value), 3) for value in tensor.detach().flatten()]


def trained(layer: nn.Module) -> nn.Module:
    """The layer with the statistics and weights of some training."""
    for _step in range(3):
        layer(torch.randn(6, 3, 4, 4) * 2 + 1)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -1, 1)
    return layer


def cases() -> list[dict[str, Any]]:
    """All layers, with odd shapes, padding, holes and groups."""
    return [
        case("convolution", "conv", nn.Conv2d(2, 3, 3), (2, 5, 6), **SIZE),
        case(
            "convolution of odd shape, padded, with stride and holes",
            "conv",
            nn.Conv2d(2, 3, (3, 2), stride=(2, 3), padding=(2, 1), dilation=(2, 1)),
            (2, 7, 6),
            kernel=[3, 2],
            stride=[2, 3],
            padding=[2, 1, 2, 1],
            dilation=[2, 1],
        ),
        case(
            "convolution in groups without bias",
            "conv",
            nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False),
            (4, 4, 3),
            **SIZE | {"padding": [1, 1, 1, 1]},
            groups=2,
        ),
        case(
            "convolution of each channel by itself",
            "conv",
            nn.Conv2d(3, 3, 3, groups=3),
            (3, 4, 4),
            **SIZE,
            groups=3,
        ),
        case(
            "convolution padded to the same size",
            "conv",
            nn.Conv2d(1, 2, 4, padding="same"),
            (1, 5, 5),
            kernel=[4, 4],
            stride=[1, 1],
            padding=[1, 1, 2, 2],
            dilation=[1, 1],
        ),
        case(
            "max pooling with padding, ceil and holes",
            "max_pool",
            nn.MaxPool2d(2, stride=2, padding=1, dilation=2, ceil_mode=True),
            (2, 6, 5),
            kernel=[2, 2],
            stride=[2, 2],
            padding=[1, 1, 1, 1],
            dilation=[2, 2],
            ceil=True,
        ),
        *(
            case(
                f"average pooling, ceil {ceil}, padding counts {counts}, divisor {divisor}",
                "average_pool",
                nn.AvgPool2d(
                    (3, 2), 2, padding=(1, 1), ceil_mode=ceil, count_include_pad=counts, divisor_override=divisor
                ),
                (2, 6, 5),
                kernel=[3, 2],
                stride=[2, 2],
                padding=[1, 1, 1, 1],
                ceil=ceil,
                count_include_pad=counts,
                divisor=divisor,
            )
            for ceil in (False, True)
            for counts, divisor in ((True, None), (False, None), (True, 5))
        ),
        case(
            "adaptive average pooling",
            "average_pool",
            nn.AdaptiveAvgPool2d((3, 2)),
            (2, 7, 5),
            windows=[[[0, 3], [2, 5], [4, 7]], [[0, 3], [2, 5]]],
        ),
        case("dense", "dense", nn.Linear(7, 3), (7,)),
        case("dense without bias", "dense", nn.Linear(4, 5, bias=False), (4,)),
        case("dense on the last axis", "dense", nn.Linear(4, 3), (2, 4)),
        case("ReLU", "activation", nn.ReLU(), (2, 2, 3), function="relu"),
        case("ReLU6", "activation", nn.ReLU6(), (12,), function="relu6"),
        case("tanh", "activation", nn.Tanh(), (6,), function="tanh"),
        case("sigmoid", "activation", nn.Sigmoid(), (6,), function="sigmoid"),
        case("leaky ReLU", "activation", nn.LeakyReLU(0.2), (6,), function="leaky_relu", negative_slope=0.2),
        case("ELU", "activation", nn.ELU(0.7), (6,), function="elu", alpha=0.7),
        case("SiLU", "activation", nn.SiLU(), (6,), function="silu"),
        case("GELU", "activation", nn.GELU(), (6,), function="gelu", approximate="none"),
        case("GELU with tanh", "activation", nn.GELU("tanh"), (6,), function="gelu", approximate="tanh"),
        case(
            "scaled tanh",
            "activation",
            ScaledTanh(),
            (6,),
            function="scaled_tanh",
            amplitude=1.7159,
            slope=2 / 3,
        ),
        case(
            "LRN that divides alpha by the window",
            "lrn",
            LRN(5, alpha=0.5, k=2.0),
            (7, 2, 3),
            size=5,
            alpha=0.5,
            beta=0.75,
            k=2.0,
            alpha_per_term=0.1,
        ),
        case(
            "LRN as printed in the paper, in groups",
            "lrn",
            LRN(3, alpha=0.5, k=1.0, convention="paper", groups=2),
            (8, 2, 2),
            size=3,
            alpha=0.5,
            beta=0.75,
            k=1.0,
            alpha_per_term=0.5,
            groups=2,
        ),
        case(
            "LRN of torch with an even window",
            "lrn",
            nn.LocalResponseNorm(4, alpha=0.5),
            (6, 2, 2),
            size=4,
            alpha=0.5,
            beta=0.75,
            k=1.0,
            alpha_per_term=0.125,
        ),
        case("batch normalization", "batch_norm", trained(nn.BatchNorm2d(3)), (3, 4, 4), eps=1e-5),
        case(
            "batch normalization without weights",
            "batch_norm",
            trained(nn.BatchNorm2d(3, affine=False, eps=0.01)),
            (3, 2, 2),
            eps=0.01,
        ),
        case("flatten", "flatten", nn.Flatten(), (2, 2, 3)),
        case("dropout", "dropout", nn.Dropout(), (2, 2, 3)),
        case("softmax", "softmax", nn.Softmax(1), (5,)),
    ]


if __name__ == "__main__":
    torch.manual_seed(0)
    FILE.write_text(json.dumps(cases()) + "\n", encoding="utf-8")
