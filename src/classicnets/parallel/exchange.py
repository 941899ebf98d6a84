"""What the ranks of a model group exchange: differentiable functions of plain tensors.

Each rank has its own loss, the loss of the batch is their sum, and the gradients here are those of that sum. All ranks
must call the same functions in the same order. A tensor [b, ...] of rows has the rows of one rank: those of the batch
in progress, or one row that is ignored on a rank that has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from classicnets.parallel.mesh import Mesh


def gather_rows(x: Tensor, mesh: Mesh) -> Tensor:
    """Return the rows of all ranks of the model group, [b, ...] to [B, ...].

    The gradients of all ranks are summed.
    """
    return x if mesh.model_size == 1 else _apply(_GatherRows, x, mesh, _counts(x, mesh))


def gather_columns(x: Tensor, mesh: Mesh, *, partial: bool = True) -> Tensor:
    """Return the columns (channels, features) of all ranks, [B, C / ranks, ...] to [B, C, ...] in the order of ranks.

    Args:
        x: contiguous or channels-last; the result has the same memory format.
        mesh: the ranks.
        partial: whether each rank computes something else of the result, so that the gradients of all ranks are summed.
            If all ranks compute the same, the gradients are the same, and no rank needs those of others.
    """
    return x if mesh.model_size == 1 else _apply(_GatherColumns, x, mesh, partial)


def columns_to_rows(x: Tensor, mesh: Mesh) -> Tensor:
    """Exchange own columns of all rows of the model group for all columns of own rows, [B, F / ranks] to [b, F]."""
    return x if mesh.model_size == 1 else _apply(_ColumnsToRows, x, mesh, [len(rows) for rows in mesh.model_rows])


def count_once(x: Tensor, mesh: Mesh) -> Tensor:
    """Return `x`, whose gradient is zero on all ranks of the model group but the first.

    For weights of what all ranks compute alike, so that the sum of the gradients of all ranks is right.
    """
    return x if mesh.model_size == 1 else _apply(_CountOnce, x, mesh)


def gathered(tensor: Tensor, mesh: Mesh) -> Tensor:
    """Return the concatenation of the tensors of the model group along the first axis, without a gradient."""
    if mesh.model_size == 1:
        return tensor
    return _all_gather(tensor.detach(), mesh).flatten(0, 1)


def collected(tensor: Tensor, mesh: Mesh) -> Tensor:
    """Return what `gathered` does, in main memory and only in the first process; the others get their own tensor."""
    if mesh.model_size == 1 or mesh.data_rank:
        return tensor
    own = tensor.detach().cpu().contiguous()
    if mesh.model_rank:
        dist.gather(own, group=mesh.model_group, group_dst=0)
        return tensor
    whole = own.new_empty(mesh.model_size, *own.shape)
    dist.gather(own, [*whole.unbind(0)], group=mesh.model_group, group_dst=0)
    return whole.flatten(0, 1)


def sum_over(tensor: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """Sum a contiguous tensor over the ranks of a group in place, None for all ranks, and return it."""
    dist.all_reduce(tensor, group=group)
    return tensor


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mesh: Mesh, counts: list[int]) -> Tensor:
        ctx.mesh, ctx.counts = mesh, counts
        return _join_rows(_all_gather(_padded(x, mesh, counts), mesh), counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        return _own_rows(_all_to_all(_split_rows(g, ctx.counts), ctx.mesh).sum(0), ctx.mesh, ctx.counts), None, None


class _GatherColumns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mesh: Mesh, partial: bool) -> Tensor:
        ctx.mesh, ctx.partial = mesh, partial
        last = _is_channels_last(x)
        parts = _all_gather(_channels_last(x) if last else x, mesh)
        return torch.cat([_channels_first(part) if last else part for part in parts], dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        parts = g.chunk(ctx.mesh.model_size, dim=1)
        if not ctx.partial:
            return parts[ctx.mesh.model_rank], None, None
        last = _is_channels_last(g)
        terms = _all_to_all(torch.stack([_channels_last(part) if last else part for part in parts]), ctx.mesh)
        total = terms.sum(0)
        return _channels_first(total) if last else total, None, None


class _ColumnsToRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mesh: Mesh, counts: list[int]) -> Tensor:
        ctx.mesh, ctx.counts = mesh, counts
        return _own_rows(torch.cat([*_all_to_all(_split_rows(x, counts), mesh)], dim=1), mesh, counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        columns = torch.stack(_padded(g, ctx.mesh, ctx.counts).chunk(ctx.mesh.model_size, dim=1))
        return _join_rows(_all_to_all(columns, ctx.mesh), ctx.counts), None, None


class _CountOnce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mesh: Mesh) -> Tensor:
        ctx.mesh = mesh
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return g if ctx.mesh.model_rank == 0 else torch.zeros_like(g), None


def _apply(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    result: Tensor = function.apply(*arguments)
    return result


def _all_gather(x: Tensor, mesh: Mesh) -> Tensor:
    """[...] of this rank to [ranks, ...]."""
    mesh.note_exchange()
    result = x.new_empty(mesh.model_size, *x.shape)
    dist.all_gather_single(result, x.contiguous()[None], group=mesh.model_group)
    return result


def _all_to_all(x: Tensor, mesh: Mesh) -> Tensor:
    """[ranks, ...], of which item i goes to rank i, to [ranks, ...], of which item i comes from rank i."""
    mesh.note_exchange()
    result = torch.empty_like(x, memory_format=torch.contiguous_format)
    dist.all_to_all_single(result, x.contiguous(), group=mesh.model_group)
    return result


# Ranks send equal numbers of rows: those with fewer rows than others, at most one fewer, add zeros, which the receiver
# drops.


def _counts(x: Tensor, mesh: Mesh) -> list[int]:
    """The numbers of rows of the ranks of the model group; x must have those of this rank."""
    counts = [len(rows) for rows in mesh.model_rows]
    if len(x) != max(1, counts[mesh.model_rank]):
        raise RuntimeError(f"{len(x)} rows instead of {counts[mesh.model_rank]}")
    return counts


def _resized(x: Tensor, used: int, rows: int) -> Tensor:
    """The first `used` rows, followed by zeros up to `rows`."""
    if used == rows:
        return x[:used]
    result = x.new_zeros(rows, *x.shape[1:])
    result[:used] = x[:used]
    return result


def _padded(x: Tensor, mesh: Mesh, counts: Sequence[int]) -> Tensor:
    """[b, ...] to the number of rows that is sent."""
    return _resized(x, counts[mesh.model_rank], max(counts))


def _own_rows(x: Tensor, mesh: Mesh, counts: Sequence[int]) -> Tensor:
    """The number of rows that is sent to [b, ...]."""
    count = counts[mesh.model_rank]
    return _resized(x, count, max(1, count))


def _join_rows(parts: Tensor, counts: Sequence[int]) -> Tensor:
    """[ranks, rows, ...] to [B, ...]."""
    if min(counts) == max(counts):
        return parts.flatten(0, 1)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def _split_rows(x: Tensor, counts: Sequence[int]) -> Tensor:
    """[B, ...] to [ranks, rows, ...]."""
    rows = max(counts)
    if min(counts) == rows:
        return x.reshape(len(counts), rows, *x.shape[1:])
    return torch.stack([_resized(part, len(part), rows) for part in x.split(list(counts))])


def _is_channels_last(x: Tensor) -> bool:
    return x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def _channels_last(x: Tensor) -> Tensor:
    return x.movedim(1, -1)


def _channels_first(x: Tensor) -> Tensor:
    return x.movedim(-1, 1)
