"""Dropout and DropConnect whose masks do not depend on how a batch is split over threads or processes.

A mask is a hash of seed, step, number of the dropout call in the forward pass, row in the batch, and element. It needs
no random generator, whose state threads would have to share.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from classicnets.models import layers

# The multipliers of lowbias32, a 32-bit mixing function (C. Wellons, "Prospecting for hash functions", 2018), as
# signed numbers
_M1, _M2 = 0x7FEB352D, 0x846CA68B - (1 << 32)


@dataclass
class _Rows:
    """The rows of a thread: `count` rows from `first` on; `calls` counts the calls of dropout.

    Rows have several parts of equal width if processes share them, and inputs of dropout are part number `part`.
    """

    key: tuple[int, ...]
    first: int
    count: int
    calls: int = 0
    part: int = 0


_local = threading.local()


@contextmanager
def rows_of_batch(key: tuple[int, ...], first: int, count: int) -> Iterator[None]:
    """While open, layers of this module use the masks of these rows of the batch, in this thread.

    Args:
        key: the batch: seed, epoch, step.
        first: the first row.
        count: the number of rows.
    """
    previous = getattr(_local, "rows", None)
    _local.rows = _Rows(key, first, count)
    try:
        yield
    finally:
        _local.rows = previous


@contextmanager
def part_of_batch(first: int, count: int, part: int) -> Iterator[None]:
    """While open, inside `rows_of_batch`, inputs of dropout are parts of other rows of the batch.

    Args:
        first: the first row.
        count: the number of rows.
        part: which part of the rows it is, if their elements are divided into parts of the width of the input.
    """
    rows: _Rows | None = getattr(_local, "rows", None)
    if rows is None:
        yield
        return
    previous = rows.first, rows.count, rows.part
    rows.first, rows.count, rows.part = first, count, part
    try:
        yield
    finally:
        rows.first, rows.count, rows.part = previous


class Dropout(nn.Dropout):
    """nn.Dropout with masks by row within `rows_of_batch`, and those of torch elsewhere."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape [N, ...] to the same shape."""
        y = _dropped(self, input, input.shape[1:])
        return super().forward(input) if y is None else y


class Dropout1d(nn.Dropout1d):
    """nn.Dropout1d with masks by row, as in Dropout."""

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, L] to the same shape."""
        y = _dropped(self, input, (input.shape[1], 1)) if input.dim() == 3 else None
        return super().forward(input) if y is None else y


class Dropout2d(nn.Dropout2d):
    """nn.Dropout2d with masks by row, as in Dropout."""

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape."""
        y = _dropped(self, input, (input.shape[1], 1, 1)) if input.dim() == 4 else None
        return super().forward(input) if y is None else y


class Dropout3d(nn.Dropout3d):
    """nn.Dropout3d with masks by row, as in Dropout."""

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, D, H, W] to the same shape."""
        y = _dropped(self, input, (input.shape[1], 1, 1, 1)) if input.dim() == 5 else None
        return super().forward(input) if y is None else y


class DropConnect(layers.DropConnect):
    """layers.DropConnect with masks by row, as in Dropout."""

    def draw_mask(self, count: int, device: torch.device) -> Tensor:
        """Bool [count, out_features, in_features + 1]."""
        rows: _Rows | None = getattr(_local, "rows", None)
        if rows is None or count != rows.count:
            return super().draw_mask(count, device)
        rows.calls += 1
        shape = count, self.out_features, self.in_features + 1
        return keep_mask((*rows.key, rows.calls), rows.first, count, shape[1] * shape[2], self.p, device).view(shape)


def _dropped(layer: nn.modules.dropout._DropoutNd, x: Tensor, shape: Sequence[int]) -> Tensor | None:
    """Apply dropout by row to `x`, with one mask value for each element of `shape`.

    Returns None, for torch's dropout, outside `rows_of_batch` and if the first axis of `x` is not the batch.
    """
    rows: _Rows | None = getattr(_local, "rows", None)
    if rows is None or not layer.training or not x.dim() or len(x) != rows.count:
        return None
    rows.calls += 1
    elements = torch.Size(shape).numel()
    key, start = (*rows.key, rows.calls), rows.part * elements
    keep = keep_mask(key, rows.first, rows.count, elements, layer.p, x.device, start)
    scale = 1 / (1 - layer.p) if layer.p < 1 else 0.0
    factor = keep.view(rows.count, *shape).to(x.dtype) * scale
    return x.mul_(factor) if layer.inplace else x * factor


def keep_mask(
    key: tuple[int, ...],
    first: int,
    count: int,
    elements: int,
    p: float,
    device: torch.device | str = "cpu",
    start: int = 0,
) -> Tensor:
    """Return the elements that dropout with probability `p` keeps: bool [count, elements].

    They are those from `start` on in the rows from `first` on.

    An element is dropped if the hash of (key, row, element), uniform over 32 bits, is among the p * 2^32 lowest values.
    """
    digest = hashlib.sha256(repr(("dropout", *key)).encode()).digest()
    key1, key2 = (int.from_bytes(digest[i : i + 4], "little", signed=True) for i in (0, 4))
    row = torch.arange(first, first + count, dtype=torch.int32, device=device)[:, None]
    element = torch.arange(start, start + elements, dtype=torch.int32, device=device)
    x = _mixed(element) ^ _mixed(row ^ key1)
    x *= _M1
    x ^= _shifted(x, 15)
    x ^= _mixed(row ^ key2)
    x *= _M2
    lowest = round(p * 2**32) - 2**31
    return x >= lowest if lowest < 2**31 else torch.zeros_like(x, dtype=torch.bool)


def _mixed(x: Tensor) -> Tensor:
    """A bijective hash of int32 values; products wrap around."""
    x = (x ^ _shifted(x, 16)) * _M1
    x = (x ^ _shifted(x, 15)) * _M2
    return x ^ _shifted(x, 16)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Logical right shift, filling with zeros; that of torch fills with the sign."""
    return (x >> bits).bitwise_and_((1 << (32 - bits)) - 1)
