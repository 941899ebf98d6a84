"""Facts of the built networks, which the pages and the claims read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from classicnets.api.networks import layers
from classicnets.inspection.shapes import Row, Table, trace
from classicnets.models.registry import NETS


def family(module: str) -> list[str]:
    """The names of the networks whose builder is in this file of classicnets.models."""
    return [name for name, entry in NETS.items() if entry.builder.split(":")[0].endswith(f".{module}")]


def layer_table(name: str, *, shape: tuple[int, int, int] | None = None) -> Table:
    """The layer table of a network, for images of `shape` (channels, height, width) or of its source's size."""
    return trace_network(name, shape)


def trace_network(name: str, shape: tuple[int, int, int] | None) -> Table:
    """The layer table of a network, for images of `shape` or of its source's size."""
    return layers(name, shape=shape)[1]


def connections(table: Table) -> int:
    """Uses of weights, and one bias for each unit that has one."""
    return sum(row.macs + (row.units if row.biases else 0) for row in table.rows)


def build_network(name: str, device: str = "meta") -> nn.Module:
    """The network from its builder; on another device than meta, its weights are seeded."""
    with torch.random.fork_rng([]), torch.device(device):
        torch.manual_seed(0)
        return construct_network(name)


def construct_network(name: str) -> nn.Module:
    """The network from its builder."""
    return NETS[name].load()()


def layers_by_name(name: str) -> dict[str, Row]:
    """The rows of the layer table, by name of the layer."""
    return {row.name: row for row in layer_table(name).rows}


def convolution_layers(name: str) -> list[Row]:
    """The convolutions of a network, in order."""
    return [row for row in layer_table(name).rows if row.kind in {"Conv2d", "TableConv2d"}]


def grouped(name: str) -> list[str]:
    """The names of the convolutions that have groups."""
    return [row.name for row in convolution_layers(name) if (row.groups or 1) > 1]


def dense_layers(name: str) -> list[Row]:
    """The dense layers of a network, in order."""
    return [row for row in layer_table(name).rows if row.kind == "Linear"]


def pooling_layers(name: str) -> list[Row]:
    """The pooling and subsampling layers of a network, in order."""
    return [row for row in layer_table(name).rows if row.kind in {"MaxPool2d", "AvgPool2d", "Subsampling"}]


def layer_kinds(name: str) -> Counter[str]:
    """How many layers of each kind a network has."""
    return Counter(row.kind for row in layer_table(name).rows)


def window_sizes(layers: Iterable[Row]) -> list[int]:
    """The height of each layer's window."""
    return [row.kernel[0] for row in layers if row.kernel]


def channel_counts(layers: Iterable[Row]) -> list[int]:
    """The number of feature maps of each layer's output."""
    return [row.outputs[0] for row in layers]


def output_shape(module: nn.Module, shape: Sequence[int]) -> tuple[int, ...]:
    """The output shape of a module for inputs of `shape`, without the batch axis."""
    return trace(nn.Sequential(module), tuple(shape)).output_shape
