"""A network whose output is not one number for each class: which change makes it one."""

from __future__ import annotations

import pytest
from torch import nn

from classicnets.inspection.output_errors import last_weighted_row, output_changes
from classicnets.inspection.shapes import trace


def conv_net(*end: nn.Module, channels: int = 10) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, channels, 3), nn.ReLU(), *end)


@pytest.mark.parametrize(
    ("net", "hint"),
    [
        (conv_net(nn.AdaptiveAvgPool2d(1)), "end the network with nn.Flatten()"),
        (conv_net(nn.MaxPool2d(6)), "end the network with nn.Flatten()"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 12)), "net[1] = nn.Linear(64, 10)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 12, bias=False)), "net[1] = nn.Linear(64, 10, bias=False)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Softmax(1)), "net[1] = nn.Linear(64, 10)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Dropout(), nn.ReLU()), "net[1] = nn.Linear(64, 10)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), "net[1] = nn.Linear(64, 10)"),
        (conv_net(nn.MaxPool2d(2)), "end the network with nn.AdaptiveAvgPool2d(1), nn.Flatten()"),
        (conv_net(nn.MaxPool2d(2), channels=4), "end the network with nn.Flatten(), nn.Linear(36, 10)"),
        (conv_net(nn.Flatten(), channels=4), "end the network with nn.Linear(144, 10)"),
        (
            conv_net(nn.AdaptiveAvgPool2d(1), nn.Flatten(), channels=12),
            "net[0] = nn.Conv2d(1, 10, kernel_size=3, stride=1)",
        ),
        (
            nn.Sequential(nn.Linear(8, 10)),
            "put nn.Flatten() before net[0]: 1 x 8 x 8 = 64 numbers, and net[0] = nn.Linear(64, 10)",
        ),
    ],
)  # fmt: skip
def test_the_first_change_gives_one_number_for_each_class(net: nn.Sequential, hint: str) -> None:
    assert output_changes(net, trace(net, (1, 8, 8)), 10)[0] == hint
    layers = list(net)
    for part in hint.split(", and "):
        if part.startswith("net["):
            position, source = part.removeprefix("net[").split("] = ")
            layers[int(position) + (len(layers) > len(net))] = eval(source, {"nn": nn})
        elif part.startswith("end the network with "):
            layers += eval(f"[{part.removeprefix('end the network with ')}]", {"nn": nn})
        else:
            layers.insert(0, nn.Flatten())
    assert trace(nn.Sequential(*layers), (1, 8, 8)).output_shape == (10,)


def test_names_the_last_layer_with_weights() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Softmax(1))
    row = last_weighted_row(net, trace(net, (1, 8, 8)))
    assert row and row.name == "1"
    assert last_weighted_row(nn.Flatten(), trace(nn.Flatten(), (1, 8, 8))) is None
