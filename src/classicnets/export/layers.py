"""Replaces layers that an exporter decomposes or rejects, in a copy of the network, before the export.

Called normally, the replacements compute what the layers compute; only the exporter gets ONNX's own operator, or what
ExecuTorch has operators for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.models.layers import RBFOutput, SameMapNorm, TableConv2d
from classicnets.models.lrn import LRN


def replace_layers(net: nn.Module) -> nn.Module:
    """Replace layers of `net` in place and return it, or the replacement if `net` is such a layer.

    LRN becomes ONNX's node, or for ExecuTorch operators that XNNPACK has, adaptive pooling becomes pooling with fixed
    windows, RReLU becomes LeakyReLU, convolutions with a table get a weight with zeros for its missing pairs, and
    normalization within a channel and RBF outputs are computed with operators that NCNN has.
    An LRN that ONNX does not support becomes plain arithmetic instead: with an even window, which ONNX places
    differently, with alpha or beta 0, or on other than four axes.
    """
    root = nn.Module()
    root.add_module("net", net)
    for parent in list(root.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LRN | nn.LocalResponseNorm):
                setattr(parent, name, _LRN(layer))
            elif isinstance(layer, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) and type(layer).forward in _FORWARDS:
                setattr(parent, name, _FixedPool(layer))
            elif isinstance(layer, TableConv2d):  # otherwise the graph would put its weights together for each image
                setattr(parent, name, _with_dense_weight(layer))
            elif isinstance(layer, SameMapNorm):
                setattr(parent, name, _SameMapNorm(layer))
            elif isinstance(layer, RBFOutput):
                setattr(parent, name, _RBFOutput(layer))
            elif isinstance(layer, nn.RReLU):  # in eval mode, its slope is the mean
                setattr(parent, name, nn.LeakyReLU((layer.lower + layer.upper) / 2))
    return root.get_submodule("net")


_FORWARDS = {nn.AdaptiveAvgPool2d.forward, nn.AdaptiveMaxPool2d.forward}  # not those of subclasses


def _with_dense_weight(layer: TableConv2d) -> TableConv2d:
    """The layer with its full weight as a constant."""
    layer.register_buffer("full_weight", layer.dense_weight().detach())
    layer.dense_weight = lambda: layer.get_buffer("full_weight")  # type: ignore[method-assign]
    return layer


class _LRN(nn.Module):
    """LRN across channels as ONNX's node where supported. ONNX divides alpha by the window size, as Caffe does."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer, self.groups = layer, getattr(layer, "groups", 1)
        alpha = layer.effective_alpha * layer.size if isinstance(layer, LRN) else layer.alpha
        self.settings = {"size": layer.size, "alpha": alpha, "beta": layer.beta, "bias": float(layer.k)}
        self.supported = layer.size % 2 == 1 and alpha > 0 and layer.beta > 0

    def forward(self, x: Tensor) -> Tensor:
        if not torch.onnx.is_in_onnx_export() and torch.compiler.is_compiling():
            return _normalized(x, self.groups, **self.settings)
        if not (self.supported and x.dim() == 4 and torch.onnx.is_in_onnx_export()):
            output: Tensor = self.layer(x)
            return output
        grouped = x.reshape(-1, x.shape[1] // self.groups, *x.shape[2:]) if self.groups > 1 else x
        normalized: Tensor = torch.onnx.ops.symbolic(
            "LRN", (grouped,), self.settings, dtype=grouped.dtype, shape=grouped.shape, version=13
        )
        return normalized.reshape(-1, *x.shape[1:]) if self.groups > 1 else normalized


def _normalized(x: Tensor, groups: int, *, size: int, alpha: float, beta: float, bias: float) -> Tensor:
    """LRN of [N, C, ...] in operators that XNNPACK has. As in ONNX's LRN, squares of values above 1e19 are infinite."""
    channels, before = x.shape[1] // groups, size // 2
    square = (x * x).reshape(-1, channels, *x.shape[2:]) if groups > 1 else x * x
    padded = F.pad(square, (0, 0) * (x.dim() - 2) + (before, size - 1 - before))
    total = padded.narrow(1, 0, channels)
    for i in range(1, size):
        total = total + padded.narrow(1, i, channels)
    root = (total * (alpha / size) + bias).rsqrt()
    power = root * root.sqrt() if beta == 0.75 else root.pow(2 * beta)
    return x * (power.reshape(x.shape) if groups > 1 else power)


class _SameMapNorm(nn.Module):
    """SameMapNorm by average pooling. As in ONNX's LRN, the squares of values above 1e19 are infinite."""

    def __init__(self, layer: SameMapNorm) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        if x.dim() != 4 or not torch.onnx.is_in_onnx_export():
            output: Tensor = layer(x)
            return output
        mean = F.avg_pool2d(x * x, layer.size, stride=1, padding=layer.size // 2)  # of all size^2 values, with zeros
        return x * (layer.alpha * mean + layer.k).pow(-layer.beta)


class _RBFOutput(nn.Module):
    """RBFOutput as a matrix product: NCNN has no softmin, which its converter makes of a negation and a softmax."""

    def __init__(self, layer: RBFOutput) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        if not torch.onnx.is_in_onnx_export():
            output: Tensor = self.layer(x)
            return output
        codes = self.layer.codes
        return F.linear(x, 2 * codes, -codes.square().sum(-1)) - (x * x).sum(-1, keepdim=True)


class _FixedPool(nn.Module):
    """Adaptive pooling for a fixed input size: window i spans floor(i * n / out) to ceil((i + 1) * n / out)."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        size = layer.output_size
        self.size = (size, size) if isinstance(size, int) or size is None else tuple(size)
        self.is_max = isinstance(layer, nn.AdaptiveMaxPool2d)
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        exporting = torch.onnx.is_in_onnx_export() or torch.compiler.is_compiling()
        if getattr(self.layer, "return_indices", False) or not exporting:
            return self.layer(x)
        pool = F.max_pool2d if self.is_max else F.avg_pool2d
        spans_of_axes = [windows(n, out or n) for n, out in zip(x.shape[-2:], self.size, strict=True)]
        rows, columns = (kernel_and_stride(spans) for spans in spans_of_axes)
        if rows and columns:
            return pool(x, (rows[0], columns[0]), (rows[1], columns[1]))
        for axis, spans in zip((-2, -1), spans_of_axes, strict=True):
            slices = [x.narrow(axis, start, end - start) for start, end in spans]
            x = torch.cat([pool(s, (s.shape[-2], 1) if axis == -2 else (1, s.shape[-1])) for s in slices], axis)
        return x


def windows(n: int, out: int) -> list[tuple[int, int]]:
    """Return start and end of each of the `out` windows of adaptive pooling along an axis of `n` values."""
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def kernel_and_stride(spans: list[tuple[int, int]]) -> tuple[int, int] | None:
    """Return kernel size and stride of windows of equal size and distance; None for others."""
    kernel, stride = spans[0][1], spans[1][0] if len(spans) > 1 else spans[0][1]
    return (kernel, stride) if all(s == (i * stride, i * stride + kernel) for i, s in enumerate(spans)) else None
