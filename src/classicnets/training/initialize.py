"""Initialization schemes of the sources, chosen by the recipe."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from classicnets.errors import UsageError
from classicnets.models.layers import LocalConv2d, TableConv2d
from classicnets.text import _

_Convolution = nn.Conv2d | TableConv2d | LocalConv2d
_Layer = _Convolution | nn.Linear

_CODE = ((0.01, 0.01, 0.03, 0.03, 0.03), (0.01, 0.01, 0.01))
_CAFFE = ((0.01,) * 5, (0.005, 0.005, 0.01))
# By position in the network: standard deviations of the convolutions, of the dense layers, and the biases of both.
_BY_POSITION: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    "krizhevsky2012": ((0.01,) * 5, (0.01,) * 3, (0, 1, 0, 1, 1, 1, 1, 0)),  # the paper, section 5
    "krizhevsky2012_code": (*_CODE, (0, 1, 0, 1, 1, 1, 1, 0)),  # layers-145.cfg
    "krizhevsky2014": (*_CODE, (0, 1, 0, 1, 1, 1, 1, -7)),  # cuda-convnet2
    "caffe_alexnet": (*_CAFFE, (0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0)),  # bvlc_alexnet
    "caffe_caffenet": (*_CAFFE, (0, 1, 0, 1, 1, 1, 1, 0)),  # bvlc_reference_caffenet
    "cuda_convnet_26pct": ((0.0001, 0.01, 0.01), (0.1, 0.1), (0,) * 5),  # layers-80sec.cfg
    "cuda_convnet_18pct": ((0.0001, 0.01, 0.01), (0.01,), (0,) * 4),  # layers-18pct.cfg
    "cuda_convnet_13pct": ((0.0001, 0.01, 0.04, 0.04), (0.01,), (0,) * 5),  # layers-conv-local-13pct.cfg
}


def initialize(net: nn.Module, scheme: str) -> None:
    """Set the weights of every convolution and dense layer of `net` in place; draw from torch's global generator.

    Subsampling and normalization layers are not changed. Schemes:

    - "as_built": no change.
    - U(-a, a): "xavier_uniform", a = sqrt(6 / (fan_in + fan_out)), biases unchanged (d2l `train_ch6`);
      "xavier_uniform_zero_bias", the same with biases 0 (Gluon's `init.Xavier()`); "caffe_xavier",
      a = sqrt(3 / fan_in), biases 0; "lecun1998", a = 2.4 / fan_in, biases 0, as none are stated. Fans are those of a
      layer's units.
    - N(0, 0.01), biases 0: "normal" (MXNet's `init.Normal()`).
    - By position, in the order of registration: "krizhevsky2012", "krizhevsky2012_code", "krizhevsky2014",
      "caffe_alexnet" and "caffe_caffenet" for five convolutions and three dense layers; "cuda_convnet_26pct",
      "cuda_convnet_18pct" and "cuda_convnet_13pct" for the networks of that error on CIFAR-10 (the last one also for
      the network with 11 %).

    Raises:
        UsageError: CN204 as `check` does.
    """
    if scheme == "as_built":
        return
    check(net, scheme)
    layers = weighted_layers(net)
    if scheme in _BY_POSITION:
        layers.sort(key=lambda layer: isinstance(layer, nn.Linear))  # stable: convolutions first, each kind in order
        convolutions, dense, biases = _BY_POSITION[scheme]
        for layer, sd, bias in zip(layers, convolutions + dense, biases, strict=True):
            with _weight(layer) as weight:
                nn.init.normal_(weight, 0, sd)
            _set_bias(layer, bias)
        return
    for layer in layers:
        with _weight(layer) as weight:
            if scheme == "normal":
                nn.init.normal_(weight, 0, 0.01)
            else:
                for part, fan_in, fan_out in _fans(layer, weight):
                    bound = _bound(scheme, fan_in, fan_out)
                    nn.init.uniform_(part, -bound, bound)
        if scheme != "xavier_uniform":
            _set_bias(layer, 0)


def check(net: nn.Module, scheme: str) -> None:
    """Check that `net` has the layers that the scheme sets; draw no random numbers.

    Raises:
        UsageError: CN204 if it does not, or if a layer is lazy.
    """
    if scheme == "as_built":
        return
    layers = weighted_layers(net)
    dense = sum(isinstance(layer, nn.Linear) for layer in layers)
    convolutions = len(layers) - dense
    expected = tuple(map(len, _BY_POSITION[scheme][:2])) if scheme in _BY_POSITION else ()
    why = ""
    if expected and expected != (convolutions, dense):
        why = _(
            "it is for {expected_convolutions} convolutions and {expected_dense} dense layers, and the network has"
            " {convolutions} and {dense}",
            expected_convolutions=expected[0],
            expected_dense=expected[1],
            convolutions=convolutions,
            dense=dense,
        )
    elif not layers:
        why = _("the network has no convolution and no dense layer")
    elif any(is_lazy(layer.weight) for layer in layers):
        why = _("a lazy layer has no weights before its first forward pass")
    elif computed := [type(layer).__name__ for layer in layers if not _can_be_set(layer)]:
        why = _(
            "the weights of {n} layers ({kind}) are computed from other tensors, by pruning or by"
            " torch.nn.utils.weight_norm; use torch.nn.utils.parametrizations.weight_norm",
            n=len(computed),
            kind=computed[0],
        )
    if why:
        raise UsageError(
            "CN204",
            _("initialize={scheme} does not fit the network", scheme=scheme),
            why=why,
            hint="--set initialize=xavier_uniform" if scheme in _BY_POSITION else "--set initialize=as_built",
        )


def weighted_layers(net: nn.Module) -> list[_Layer]:
    """Return all convolutions and dense layers, in the order of registration."""
    return [layer for layer in net.modules() if isinstance(layer, _Layer)]


@contextmanager
def _weight(layer: _Layer) -> Iterator[Tensor]:
    """The weight of a layer to set in place; for a parametrized layer, the values are assigned on exit."""
    if not is_parametrized(layer, "weight"):
        yield layer.weight
        return
    values = torch.empty_like(layer.weight).detach()
    yield values
    setattr(layer, "weight", values)  # noqa: B010  # mypy does not know that right_inverse of the parametrization runs


def _can_be_set(layer: _Layer) -> bool:
    """Whether the weight is a parameter, or a parametrization that can be assigned to."""
    if not is_parametrized(layer, "weight"):
        return isinstance(layer.weight, nn.Parameter)
    parametrizations: Any = layer.parametrizations
    return all(hasattr(parametrization, "right_inverse") for parametrization in parametrizations.weight)


def _set_bias(layer: _Layer, value: float) -> None:
    if layer.bias is not None:
        nn.init.constant_(layer.bias, value)


def _bound(scheme: str, fan_in: int, fan_out: int) -> float:
    if scheme == "lecun1998":
        return 2.4 / fan_in
    if scheme == "caffe_xavier":
        return math.sqrt(3 / fan_in)
    return math.sqrt(3.0) * math.sqrt(2.0 / float(fan_in + fan_out))  # bit for bit as nn.init.xavier_uniform_


def _fans(layer: _Layer, weight: Tensor) -> Iterator[tuple[Tensor, int, int]]:
    """Parts of the weights, each with its fan-in and fan-out: the number of inputs and of outputs of the units."""
    if isinstance(layer, TableConv2d):
        area = math.prod(layer.kernel_size)
        readers = Counter(i for maps in layer.table for i in maps)
        pairs = [(len(maps), readers[i]) for maps in layer.table for i in maps]
        for kernel, (maps_in, maps_out) in zip(weight, pairs, strict=True):
            yield kernel, maps_in * area, maps_out * area
    elif isinstance(layer, LocalConv2d):
        area = math.prod(layer.kernel_size)
        yield weight, layer.in_channels * area, layer.out_channels * area
    else:
        yield weight, *nn.init._calculate_fan_in_and_fan_out(weight)
