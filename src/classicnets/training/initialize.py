"""Initialization schemes of the sources, chosen by the recipe."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

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
            nn.init.normal_(layer.weight, 0, sd)
            _set_bias(layer, bias)
        return
    for layer in layers:
        if scheme == "normal":
            nn.init.normal_(layer.weight, 0, 0.01)
        else:
            for weight, fan_in, fan_out in _fans(layer):
                bound = _bound(scheme, fan_in, fan_out)
                nn.init.uniform_(weight, -bound, bound)
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


def _set_bias(layer: _Layer, value: float) -> None:
    if layer.bias is not None:
        nn.init.constant_(layer.bias, value)


def _bound(scheme: str, fan_in: int, fan_out: int) -> float:
    if scheme == "lecun1998":
        return 2.4 / fan_in
    if scheme == "caffe_xavier":
        return math.sqrt(3 / fan_in)
    return math.sqrt(3.0) * math.sqrt(2.0 / float(fan_in + fan_out))  # bit for bit as nn.init.xavier_uniform_


def _fans(layer: _Layer) -> Iterator[tuple[Tensor, int, int]]:
    """Parts of the weights, each with its fan-in and fan-out: the number of inputs and of outputs of the units."""
    if isinstance(layer, TableConv2d):
        area = math.prod(layer.kernel_size)
        readers = Counter(i for maps in layer.table for i in maps)
        pairs = [(len(maps), readers[i]) for maps in layer.table for i in maps]
        for kernel, (maps_in, maps_out) in zip(layer.weight, pairs, strict=True):
            yield kernel, maps_in * area, maps_out * area
    elif isinstance(layer, LocalConv2d):
        area = math.prod(layer.kernel_size)
        yield layer.weight, layer.in_channels * area, layer.out_channels * area
    else:
        yield layer.weight, *nn.init._calculate_fan_in_and_fan_out(layer.weight)
