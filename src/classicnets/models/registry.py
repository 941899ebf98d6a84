"""What nets there are: one literal dictionary from name to builder and facts. Does not import torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Facts about a net as its source has it: `input` is channels x height x width, counts are for that input."""

    builder: str
    title: str
    source: str
    year: int
    input: tuple[int, int, int]
    classes: int
    parameters: int
    macs: int
    units: int
    ours: bool = False

    def load(self) -> Callable[..., nn.Module]:
        """The builder: a function of num_classes, in_channels and image_size."""
        module, function = self.builder.split(":")
        builder: Callable[..., nn.Module] = getattr(importlib.import_module(module), function)
        return builder


NETS: dict[str, Entry] = {
    "lenet_d2l": Entry(
        builder="classicnets.models.lenet:lenet_d2l",
        title="LeNet of Dive into Deep Learning: sigmoid, average pooling",
        source="d2l, 2nd Chinese edition / English 1.0 (PyTorch)",
        year=2021,
        input=(1, 28, 28),
        classes=10,
        parameters=61_706,
        macs=416_520,
        units=6_518,
    ),
    "lenet_d2l_v1": Entry(
        builder="classicnets.models.lenet:lenet_d2l_v1",
        title="LeNet of the book's first edition: sigmoid, max pooling, no padding",
        source="d2l, 1st Chinese edition (Gluon)",
        year=2019,
        input=(1, 28, 28),
        classes=10,
        parameters=44_426,
        macs=281_640,
        units=4_694,
    ),
    "alexnet_d2l": Entry(
        builder="classicnets.models.alexnet:alexnet_d2l",
        title="AlexNet of Dive into Deep Learning: one tower, no LRN",
        source="d2l, 2nd Chinese edition / English 1.0 (PyTorch)",
        year=2021,
        input=(1, 224, 224),
        classes=10,
        parameters=46_764_746,
        macs=938_146_176,
        units=608_650,
    ),
    "alexnet_28": Entry(
        builder="classicnets.models.alexnet:alexnet_28",
        title="OURS: AlexNet's ideas sized for 28x28 pictures and a laptop",
        source="classicnets",
        year=2026,
        input=(1, 28, 28),
        classes=10,
        parameters=3_266_282,
        macs=26_253_312,
        units=53_786,
        ours=True,
    ),
}
