"""Layers that ONNX has but torch's exporter takes apart or refuses, exchanged in a copy of the net before the export.

The stand-ins compute what the layers do when they are called as usual; only the exporter sees ONNX's own operator.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.models.lrn import LRN


def exchange(net: nn.Module) -> nn.Module:
    """The net, in place, with LRN as ONNX's node, adaptive pools as pools of fixed windows, random ReLU as leaky.

    A normalization that ONNX cannot say (an even window, for which it lies elsewhere; alpha or beta of 0; other than
    four axes) stays as it is and becomes plain arithmetic.
    """
    root = nn.Module()
    root.add_module("net", net)
    for parent in list(root.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LRN | nn.LocalResponseNorm):
                setattr(parent, name, _Norm(layer))
            elif isinstance(layer, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) and type(layer).forward in _PLAIN:
                setattr(parent, name, _Pool(layer))
            elif isinstance(layer, nn.RReLU):  # when it is not trained, its slope is the mean
                setattr(parent, name, nn.LeakyReLU((layer.lower + layer.upper) / 2))
    return root.get_submodule("net")


_PLAIN = {nn.AdaptiveAvgPool2d.forward, nn.AdaptiveMaxPool2d.forward}


class _Norm(nn.Module):
    """LRN among maps, as ONNX's node where it can say it: its alpha is divided by the window, as Caffe's is."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer, self.groups = layer, getattr(layer, "groups", 1)
        alpha = layer.effective_alpha * layer.size if isinstance(layer, LRN) else layer.alpha
        self.settings = {"size": layer.size, "alpha": alpha, "beta": layer.beta, "bias": float(layer.k)}
        self.expressible = layer.size % 2 == 1 and alpha > 0 and layer.beta > 0

    def forward(self, x: Tensor) -> Tensor:
        if not (self.expressible and x.dim() == 4 and torch.onnx.is_in_onnx_export()):
            whole: Tensor = self.layer(x)
            return whole
        parts = x.reshape(-1, x.shape[1] // self.groups, *x.shape[2:]) if self.groups > 1 else x
        done: Tensor = torch.onnx.ops.symbolic(
            "LRN", (parts,), self.settings, dtype=parts.dtype, shape=parts.shape, version=13
        )
        return done.reshape(-1, *x.shape[1:]) if self.groups > 1 else done


class _Pool(nn.Module):
    """Adaptive pooling for the one size that comes: window i is from floor(i * n / out) to ceil((i + 1) * n / out)."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        size = layer.output_size
        self.size = (size, size) if isinstance(size, int) or size is None else tuple(size)
        self.greatest = isinstance(layer, nn.AdaptiveMaxPool2d)
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        if getattr(self.layer, "return_indices", False) or not torch.onnx.is_in_onnx_export():
            return self.layer(x)
        windows = [_windows(n, out or n) for n, out in zip(x.shape[-2:], self.size, strict=True)]
        steps = [_regular(spans) for spans in windows]
        if steps[0] and steps[1]:
            pool = F.max_pool2d if self.greatest else F.avg_pool2d
            return pool(x, (steps[0][0], steps[1][0]), (steps[0][1], steps[1][1]))
        for axis, spans in zip((-2, -1), windows, strict=True):
            parts = [x.narrow(axis, start, end - start) for start, end in spans]
            kept = [p.amax(axis, keepdim=True) if self.greatest else p.mean(axis, keepdim=True) for p in parts]
            x = torch.cat(kept, axis)
        return x


def _windows(n: int, out: int) -> list[tuple[int, int]]:
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def _regular(spans: list[tuple[int, int]]) -> tuple[int, int] | None:
    """(length, step) of windows that are equally long and equally far apart, without a rest at the end."""
    length, step = spans[0][1], spans[1][0] if len(spans) > 1 else spans[0][1]
    return (length, step) if all(s == (i * step, i * step + length) for i, s in enumerate(spans)) else None
