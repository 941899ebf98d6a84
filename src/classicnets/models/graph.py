"""Networks from a graph: a list of layers, each with the names of those that it reads, as in Caffe and MXNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DATA = "data"  # the input that is the image


@dataclass(frozen=True, kw_only=True)
class Node:
    """A layer of a graph.

    Attributes:
        name: unique in the graph, as in the source file, such as "conv1".
        kind: such as "conv".
        inputs: the names of the nodes that it reads; `DATA` is the image.
        settings: plain values.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    settings: dict[str, Any]
