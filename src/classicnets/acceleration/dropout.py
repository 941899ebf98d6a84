"""Dropout whose masks do not depend on how a batch is divided among threads or processes.

A mask is a pure function of seed, step, the number of the dropout call in the forward pass, the row in the whole batch
and the element: a hash of these numbers, without a generator whose state would have to be shared.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# The multipliers of lowbias32, a 32-bit mixing function (C. Wellons, "Prospecting for hash functions", 2018), as
# signed numbers
_M1, _M2 = 0x7FEB352D, 0x846CA68B - (1 << 32)


@dataclass
class _Rows:
    """What a thread computes: `count` rows of a batch from row `first` on; `calls` of dropout have been made."""

    key: tuple[int, ...]
    first: int
    count: int
    calls: int = 0


_local = threading.local()


@contextmanager
def rows_of_batch(key: tuple[int, ...], first: int, count: int) -> Iterator[None]:
    """While open, dropout layers that are exchanged in this thread draw the masks of these rows of the batch.

    `key` names the batch: seed, epoch, step.
    """
    before = getattr(_local, "rows", None)
    _local.rows = _Rows(key, first, count)
    try:
        yield
    finally:
        _local.rows = before


class Dropout(nn.Dropout):
    """nn.Dropout that draws by rows within `rows_of_batch`; elsewhere it is torch's."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape [N, ...] to the same shape."""
        y = _dropped(self, input, input.shape[1:])
        return super().forward(input) if y is None else y


class Dropout1d(nn.Dropout1d):
    """nn.Dropout1d, likewise."""

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, L] to the same shape."""
        y = _dropped(self, input, (input.shape[1], 1)) if input.dim() == 3 else None
        return super().forward(input) if y is None else y


class Dropout2d(nn.Dropout2d):
    """nn.Dropout2d, likewise."""

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape."""
        y = _dropped(self, input, (input.shape[1], 1, 1)) if input.dim() == 4 else None
        return super().forward(input) if y is None else y


class Dropout3d(nn.Dropout3d):
    """nn.Dropout3d, likewise."""

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, D, H, W] to the same shape."""
        y = _dropped(self, input, (input.shape[1], 1, 1, 1)) if input.dim() == 5 else None
        return super().forward(input) if y is None else y


def _dropped(layer: nn.modules.dropout._DropoutNd, x: Tensor, shape: Sequence[int]) -> Tensor | None:
    """`x` with dropout by rows, one mask value for each of `shape`; None where torch draws: outside `rows_of_batch`,
    or if the first axis of `x` is not that of the batch.
    """
    rows: _Rows | None = getattr(_local, "rows", None)
    if rows is None or not layer.training or not x.dim() or len(x) != rows.count:
        return None
    rows.calls += 1
    elements = torch.Size(shape).numel()
    keep = keep_mask((*rows.key, rows.calls), rows.first, rows.count, elements, layer.p, x.device)
    scale = 1 / (1 - layer.p) if layer.p < 1 else 0.0
    factor = keep.view(rows.count, *shape).to(x.dtype) * scale
    return x.mul_(factor) if layer.inplace else x * factor


def keep_mask(
    key: tuple[int, ...], first: int, count: int, elements: int, p: float, device: torch.device | str = "cpu"
) -> Tensor:
    """Which elements dropout with probability `p` keeps: bool [count, elements], for rows from `first` on.

    Each is kept where the hash of (key, row, element), uniform over 32 bits, is not among the p * 2^32 lowest.
    """
    digest = hashlib.sha256(repr(("dropout", *key)).encode()).digest()
    one, two = (int.from_bytes(digest[i : i + 4], "little", signed=True) for i in (0, 4))
    row = torch.arange(first, first + count, dtype=torch.int32, device=device)[:, None]
    element = torch.arange(elements, dtype=torch.int32, device=device)
    x = _mixed(element) ^ _mixed(row ^ one)
    x *= _M1
    x ^= _shifted(x, 15)
    x ^= _mixed(row ^ two)
    x *= _M2
    lowest = round(p * 2**32) - 2**31
    return x >= lowest if lowest < 2**31 else torch.zeros_like(x, dtype=torch.bool)


def _mixed(x: Tensor) -> Tensor:
    """Another number for each of int32, without a pattern; products wrap around."""
    x = (x ^ _shifted(x, 16)) * _M1
    x = (x ^ _shifted(x, 15)) * _M2
    return x ^ _shifted(x, 16)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shifts right and fills with zeros; torch's shift fills with the sign."""
    return (x >> bits).bitwise_and_((1 << (32 - bits)) - 1)
