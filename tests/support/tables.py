"""Layer tables of plain networks, and the numbers in texts about them."""

from __future__ import annotations

import re

import torch
from torch import nn

from classicnets.inspection.shapes import Table, trace


def lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2), nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )  # fmt: skip


def alexnet(pad: int = 1, groups: int = 1, map_size: int = 5, channels: int = 1, classes: int = 10) -> nn.Sequential:
    with torch.device("meta"):
        return nn.Sequential(
            nn.Conv2d(channels, 96, 11, 4, pad), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2, groups=groups), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=groups), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=groups), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
            nn.Linear(256 * map_size * map_size, 4096), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, classes),
        )  # fmt: skip


def table(net: nn.Module, *shape: int) -> Table:
    return trace(net, shape)


def same_numbers(lines: list[str], translated: list[str]) -> bool:
    """Whether each line has the numbers of its translation, which may have another order."""
    return [sorted(numbers([text])) for text in lines] == [sorted(numbers([text])) for text in translated]


def numbers(lines: list[str]) -> list[str]:
    return re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", "\n".join(lines))
