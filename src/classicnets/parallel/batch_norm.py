"""Batch normalization over the whole batch, of which each rank has some rows; also on CPUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from classicnets.parallel.exchange import sum_over
from classicnets.parallel.mesh import Mesh


class _GlobalBatchNorm(_BatchNorm):
    """Normalizes over the rows of all ranks in training mode; the running statistics are the same on all ranks."""

    mesh: Mesh

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, ...] to the same shape."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        rows = self.mesh.batch_rows
        count = sum(map(len, rows)) * input[0, 0].numel()  # values of a channel
        if count == 1:  # as torch.nn.functional.batch_norm
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {[*input.shape]}")
        self.mesh.note_exchange()
        arguments = (input, self.weight, self.bias, self.eps, len(rows[self.mesh.rank]), count)
        y, mean, variance = _Normalize.apply(*arguments)  # type: ignore[no-untyped-call]
        if self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            factor = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), factor)
            self.running_var.lerp_(variance.to(self.running_var.dtype) * (count / (count - 1)), factor)
        normalized: Tensor = y
        return normalized


class BatchNorm1d(_GlobalBatchNorm, nn.BatchNorm1d):
    """Global batch normalization of [N, C] or [N, C, L]."""


class BatchNorm2d(_GlobalBatchNorm, nn.BatchNorm2d):
    """Global batch normalization of [N, C, H, W]."""


class BatchNorm3d(_GlobalBatchNorm, nn.BatchNorm3d):
    """Global batch normalization of [N, C, D, H, W]."""


# By exact type, because a subclass may compute something else.
_GLOBAL: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: BatchNorm1d,
    nn.BatchNorm2d: BatchNorm2d,
    nn.BatchNorm3d: BatchNorm3d,
}


@contextmanager
def global_batch_norm(net: nn.Module, mesh: Mesh) -> Iterator[None]:
    """While open, batch normalization of `net` uses the mean and variance of the whole batch of all ranks.

    Only the class of a layer changes. The gradients are those of the sum of the losses of all ranks, and the gradients
    of weights and biases are this rank's terms, which must be summed. Nothing changes if all ranks compute all rows.
    """
    changed = [(layer, type(layer)) for layer in net.modules() if type(layer) in _GLOBAL]
    if mesh.size == 1 or not mesh.divides_rows:
        changed = []
    for layer, kind in changed:
        layer.__class__ = _GLOBAL[kind]
        vars(layer)["mesh"] = mesh
    try:
        yield
    finally:
        for layer, kind in changed:
            layer.__class__ = kind
            del vars(layer)["mesh"]


class _Normalize(torch.autograd.Function):
    """Normalizes rows, of which the first `own` count; saves its input, the moments, and no other tensors."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, own: int, count: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        wide = torch.promote_types(x.dtype, torch.float32)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        mean = sum_over(x[:own].sum(axes, dtype=wide), None) / count
        centered = x.to(wide) - _per_channel(mean, x)
        variance = sum_over(centered[:own].square().sum(axes), None) / count
        root = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, root)
        ctx.axes, ctx.own, ctx.count, ctx.has_bias = axes, own, count, bias is not None
        y = centered.mul_(_per_channel(root if weight is None else root * weight, x))
        if bias is not None:
            y += _per_channel(bias, x)
        ctx.mark_non_differentiable(mean, variance)
        return y.to(x.dtype), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor, _mean: Tensor, _variance: Tensor) -> Sequence[Tensor | None]:
        x, weight, mean, root = ctx.saved_tensors
        normalized = (x[: ctx.own].to(mean.dtype) - _per_channel(mean, x)) * _per_channel(root, x)
        own = g[: ctx.own].to(mean.dtype)
        sums = torch.stack([own.sum(ctx.axes), (own * normalized).sum(ctx.axes)])
        bias_gradient, weight_gradient = sums.clone()
        means = sum_over(sums, None) / ctx.count
        terms = own - _per_channel(means[0], x) - normalized * _per_channel(means[1], x)
        gradient = torch.zeros_like(x)  # of a row that counts nothing
        gradient[: ctx.own] = (terms * _per_channel(root if weight is None else root * weight, x)).to(x.dtype)
        weight_gradient = None if weight is None else weight_gradient.to(weight.dtype)
        bias_gradient = bias_gradient.to(mean.dtype if weight is None else weight.dtype) if ctx.has_bias else None
        return gradient, weight_gradient, bias_gradient, None, None, None


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    """[C] to [C, 1, ...], which is broadcast to x [N, C, ...]."""
    return values.view(-1, *[1] * (x.dim() - 2))
