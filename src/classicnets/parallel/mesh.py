"""The processes of a run as a grid, and the rows of the batch in progress that each of them computes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from classicnets.acceleration.batch_split import split_rows
from classicnets.errors import UsageError
from classicnets.text import _


def rows_of_ranks(count: int, size: int) -> list[range]:
    """Return the rows that each of `size` ranks computes of a batch of `count` images, in order.

    Sizes differ by at most one. If there are more ranks than images, the last ranks have none.
    """
    rows = split_rows(count, size)
    return rows + [range(count, count)] * (size - len(rows))


class Mesh:
    """The ranks as a grid of data x model: consecutive ranks form a model group, which shares one copy of the network.

    Args:
        device: where the tensors are that the ranks exchange.
        size: the number of ranks; with 1, no process group is needed.
        model_size: the number of ranks in a model group.
        rank: this rank; None is that of the process group. A mesh with a given rank has no process groups: with it,
            layers are divided as that rank would have them, and nothing can be exchanged.

    Attributes:
        model_rank, model_group: the position in its model group, and the process group.
        data_size, data_rank, data_group: the same for the ranks with this position in all model groups.
        first_exchange_at: when this rank first waited for others in the batch in progress, in seconds of
            time.perf_counter; None if it has not.
        divides_rows: whether each rank computes its rows of a batch; otherwise, each computes all of them.

    Raises:
        UsageError: CN216 if `model_size` does not divide `size`.
    """

    def __init__(
        self, device: torch.device | str = "cpu", size: int = 1, model_size: int = 1, *, rank: int | None = None
    ) -> None:
        if size % model_size:
            raise UsageError(
                "CN216",
                _("{n} processes cannot form groups of {size}", n=size, size=model_size),
                where=f"processes={size}",
                why=_("each group of processes shares one copy of the network"),
            )
        self.size, self.model_size, self.data_size = size, model_size, size // model_size
        has_groups = size > 1 and rank is None
        self.rank = dist.get_rank() if has_groups else rank or 0
        self.data_rank, self.model_rank = divmod(self.rank, model_size)
        self.divides_rows = True
        self.model_group: dist.ProcessGroup | None = None
        self.data_group: dist.ProcessGroup | None = None
        if has_groups:
            names = ("data", "model")
            grid = init_device_mesh(torch.device(device).type, (self.data_size, model_size), mesh_dim_names=names)
            self.model_group, self.data_group = grid.get_group("model"), grid.get_group("data")
        self.first_exchange_at: float | None = None
        self._batch: list[range] | None = None

    def __deepcopy__(self, _memo: object) -> Self:
        """Return itself, because layers refer to it and copies of a network belong to the same ranks."""
        return self

    def split(self, count: int) -> list[range]:
        """Return the rows that each rank computes of a batch of `count` images; there may be none."""
        return rows_of_ranks(count, self.size) if self.divides_rows else [range(count)] * self.size

    def rows(self, count: int) -> range:
        """Return the rows that this rank computes of a batch of `count` images; there may be none."""
        return self.split(count)[self.rank]

    @contextmanager
    def batch(self, count: int) -> Iterator[None]:
        """While open, the network computes a batch of `count` images, also backward.

        A rank without rows must compute one row that counts nothing: it is neither sent to other ranks nor part of the
        moments of batch normalization, and gets no gradient there.
        """
        previous, self._batch = self._batch, self.split(count)
        self.first_exchange_at = None
        try:
            yield
        finally:
            self._batch = previous

    def note_exchange(self) -> None:
        """Note the time of the first exchange of the batch in progress, from which on this rank waits for others."""
        if self.first_exchange_at is None:
            self.first_exchange_at = time.perf_counter()

    @property
    def batch_rows(self) -> list[range]:
        """The rows of each rank in the batch in progress."""
        if self._batch is None:
            raise RuntimeError("layers that ranks share compute only inside Mesh.batch")
        return self._batch

    @property
    def model_rows(self) -> list[range]:
        """The rows of each rank of the model group in the batch in progress; they are consecutive."""
        first = self.data_rank * self.model_size
        return self.batch_rows[first : first + self.model_size]
