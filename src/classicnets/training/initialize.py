"""First weights, as the sources set them; chosen by the recipe."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from classicnets.errors import UsageError
from classicnets.models.layers import LocalConv2d, TableConv2d

_Convolution = nn.Conv2d | TableConv2d | LocalConv2d
_Layer = _Convolution | nn.Linear

_CODE = ((0.01, 0.01, 0.03, 0.03, 0.03), (0.01, 0.01, 0.01))
_CAFFE = ((0.01,) * 5, (0.005, 0.005, 0.01))
# By their place in the net: standard deviations of the convolutions, of the dense layers, and the biases of both.
_BY_PLACE: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    "krizhevsky2012": ((0.01,) * 5, (0.01,) * 3, (0, 1, 0, 1, 1, 1, 1, 0)),  # the paper, section 5
    "krizhevsky2012_code": (*_CODE, (0, 1, 0, 1, 1, 1, 1, 0)),  # layers-145.cfg
    "krizhevsky2014": (*_CODE, (0, 1, 0, 1, 1, 1, 1, -7)),  # cuda-convnet2
    "caffe_alexnet": (*_CAFFE, (0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0)),  # bvlc_alexnet
    "caffe_caffenet": (*_CAFFE, (0, 1, 0, 1, 1, 1, 1, 0)),  # bvlc_reference_caffenet
    "cuda_convnet_26pct": ((0.0001, 0.01, 0.01), (0.1, 0.1), (0,) * 5),  # layers-80sec.cfg
    "cuda_convnet_18pct": ((0.0001, 0.01, 0.01), (0.01,), (0,) * 4),  # layers-18pct.cfg
    "cuda_convnet_13pct": ((0.0001, 0.01, 0.04, 0.04), (0.01,), (0,) * 5),  # layers-conv-local-13pct.cfg
}


def initialize(net: nn.Module, how: str) -> None:
    """Sets the weights of every convolution and dense layer of `net` in place; draws from torch's global generator.

    "as_built" leaves them. U(-a, a) have "xavier_uniform", a = sqrt(6 / (fan_in + fan_out)), which leaves the biases as
    they are (d2l `train_ch6`); "xavier_uniform_zero_bias", the same with biases 0 (Gluon's `init.Xavier()`);
    "caffe_xavier", a = sqrt(3 / fan_in), biases 0; "lecun1998", a = 2.4 / fan_in (biases 0, as none are stated).
    N(0, 0.01) with biases 0 is "normal" (MXNet's `init.Normal()`). "krizhevsky2012", "krizhevsky2012_code",
    "krizhevsky2014", "caffe_alexnet" and "caffe_caffenet" set each of five convolutions and three dense layers by its
    place, "cuda_convnet_26pct", "cuda_convnet_18pct" and "cuda_convnet_13pct" those of the nets for CIFAR-10 (the 11 %
    net has the last one's). Places are in the order of registration, fans as a layer's units have them; subsampling
    and normalization stay as they are. Raises UsageError CN204 as `check` does.
    """
    if how == "as_built":
        return
    check(net, how)
    layers = weighted_layers(net)
    if how in _BY_PLACE:
        layers.sort(key=lambda layer: isinstance(layer, nn.Linear))  # which keeps the order among equals
        convolutions, dense, biases = _BY_PLACE[how]
        for layer, sd, bias in zip(layers, convolutions + dense, biases, strict=True):
            nn.init.normal_(layer.weight, 0, sd)
            _set_bias(layer, bias)
        return
    for layer in layers:
        if how == "normal":
            nn.init.normal_(layer.weight, 0, 0.01)
        else:
            for weight, fan_in, fan_out in _fans(layer):
                bound = _bound(how, fan_in, fan_out)
                nn.init.uniform_(weight, -bound, bound)
        if how != "xavier_uniform":
            _set_bias(layer, 0)


def check(net: nn.Module, how: str) -> None:
    """Raises UsageError CN204 where `net` lacks the layers that `initialize` sets; torch's generator is not used."""
    layers = weighted_layers(net)
    dense = sum(isinstance(layer, nn.Linear) for layer in layers)
    why = ""
    if how == "as_built":
        return
    wanted = tuple(map(len, _BY_PLACE[how][:2])) if how in _BY_PLACE else ()
    if wanted and wanted != (len(layers) - dense, dense):
        why = (
            f"it sets each of {wanted[0]} convolutions and {wanted[1]} dense layers by its place,"
            f" and the net has {len(layers) - dense} and {dense}"
        )
    elif not layers:
        why = "the net has no convolution and no dense layer"
    elif any(is_lazy(layer.weight) for layer in layers):
        why = "a lazy layer has no weights until a first batch has passed through it"
    if why:
        raise UsageError(
            "CN204",
            f"initialize={how} does not fit the net",
            why=why,
            hint="--set initialize=" + ("xavier_uniform" if how in _BY_PLACE else "as_built"),
        )


def weighted_layers(net: nn.Module) -> list[_Layer]:
    """Every convolution and dense layer, in the order of registration."""
    return [layer for layer in net.modules() if isinstance(layer, _Layer)]


def _set_bias(layer: _Layer, value: float) -> None:
    if layer.bias is not None:
        nn.init.constant_(layer.bias, value)


def _bound(how: str, fan_in: int, fan_out: int) -> float:
    if how == "lecun1998":
        return 2.4 / fan_in
    if how == "caffe_xavier":
        return math.sqrt(3 / fan_in)
    return math.sqrt(3.0) * math.sqrt(2.0 / float(fan_in + fan_out))  # to the last bit as nn.init.xavier_uniform_


def _fans(layer: _Layer) -> Iterator[tuple[Tensor, int, int]]:
    """Parts of the weights, each with the inputs of the unit it leads to and the outputs of the one it comes from."""
    if isinstance(layer, TableConv2d):
        area = math.prod(layer.kernel_size)
        read = Counter(i for maps in layer.table for i in maps)
        pairs = [(len(maps), read[i]) for maps in layer.table for i in maps]
        for kernel, (maps_in, maps_out) in zip(layer.weight, pairs, strict=True):
            yield kernel, maps_in * area, maps_out * area
    elif isinstance(layer, LocalConv2d):
        area = math.prod(layer.kernel_size)
        yield layer.weight, layer.in_channels * area, layer.out_channels * area
    else:
        yield layer.weight, *nn.init._calculate_fan_in_and_fan_out(layer.weight)
