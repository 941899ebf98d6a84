"""What the calculation of a layer depends on, in one table by the class of the layer.

A layer is described by its class only if it computes what that class computes: a subclass with methods of its own is of
the type "other", like every class that the table lacks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from classicnets.export.layers import kernel_and_stride, windows
from classicnets.export.observed import LayerCall
from classicnets.models.layers import DropConnect, ScaledTanh, Subsampling, TableConv2d
from classicnets.models.lrn import LRN

OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """The calculation of a layer.

    Attributes:
        type: which calculation it is, such as "conv".
        facts: the settings of the calculation, as plain values.
        weights: the tensors that it uses, by their role: "weight", "bias", "mean", "variance".
    """

    type: str = OTHER
    facts: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)


def layer_facts(call: LayerCall) -> LayerFacts:
    """Return the facts of a layer for its input in this call."""
    kind = _class_of(call.module)
    facts = _CLASSES[kind](call.module, call) if kind else None
    return facts or LayerFacts()


def _class_of(layer: nn.Module) -> type[nn.Module] | None:
    """The class of the table whose calculation a layer has; None for a class or an object that changes its methods."""
    for kind in type(layer).__mro__:
        if kind in _CLASSES:
            return None if "forward" in vars(layer) else kind
        methods = {name for name, value in vars(kind).items() if inspect.isfunction(value)}
        if {name for name in methods if not name.startswith("__")} - _HARMLESS or "__call__" in methods:
            return None
    return None


def _conv(layer: Any, call: LayerCall) -> LayerFacts | None:
    if layer.padding_mode != "zeros" or len(call.inputs) != 3:
        return None
    padding = _same_padding(layer) if layer.padding == "same" else _padding(layer.padding)
    return _conv_facts(layer, padding, layer.dilation, layer.groups, _weights(layer))


def _table_conv(layer: TableConv2d, call: LayerCall) -> LayerFacts | None:
    """A convolution whose missing pairs of channels have weights of zero; each unit may have its own bias."""
    if len(call.inputs) != 3:
        return None
    weights = _weights(layer) | {"weight": layer.dense_weight()}
    facts = _conv_facts(layer, _padding(layer.padding), (1, 1), 1, weights)
    if layer.pad_value:
        facts.facts["pad_value"] = layer.pad_value
    return facts


def _subsampling(layer: Subsampling, call: LayerCall) -> LayerFacts | None:
    """A convolution of each channel by itself, with equal weights at all places of the window."""
    if len(call.inputs) != 3:
        return None
    weight = layer.weight[:, None, None, None].expand(-1, 1, *layer.kernel_size)
    return _conv_facts(layer, _padding(0), (1, 1), layer.channels, _weights(layer) | {"weight": weight})


def _conv_facts(
    layer: Any, padding: list[int], dilation: tuple[int, int], groups: int, weights: dict[str, Tensor]
) -> LayerFacts:
    facts = {"kernel": [*layer.kernel_size], "stride": [*layer.stride], "padding": padding}
    return LayerFacts(type="conv", facts={**facts, "dilation": [*dilation], "groups": groups}, weights=weights)


def _dense(layer: nn.Linear, _call: LayerCall) -> LayerFacts:
    return LayerFacts(type="dense", weights=_weights(layer))


def _max_pool(layer: nn.MaxPool2d, call: LayerCall) -> LayerFacts | None:
    facts = {**_window(layer), "dilation": _pair(layer.dilation), "ceil": layer.ceil_mode}
    return LayerFacts(type="max_pool", facts=facts) if len(call.inputs) == 3 else None


def _average_pool(layer: nn.AvgPool2d, call: LayerCall) -> LayerFacts | None:
    facts = {**_window(layer), "dilation": [1, 1], "ceil": layer.ceil_mode}
    facts |= {"count_include_pad": layer.count_include_pad, "divisor": layer.divisor_override}
    return LayerFacts(type="average_pool", facts=facts) if len(call.inputs) == 3 else None


def _adaptive_average_pool(_layer: nn.AdaptiveAvgPool2d, call: LayerCall) -> LayerFacts | None:
    if len(call.inputs) != 3:
        return None
    axes = zip(call.inputs[1:], call.outputs[1:], strict=True)
    spans = [[list(span) for span in windows(size, count)] for size, count in axes]
    return LayerFacts(type="average_pool", facts={"windows": spans})


def _adaptive_max_pool(_layer: nn.AdaptiveMaxPool2d, call: LayerCall) -> LayerFacts | None:
    """Plain pooling, where all windows have one size and one distance."""
    if len(call.inputs) != 3:
        return None
    axes = zip(call.inputs[1:], call.outputs[1:], strict=True)
    steps = [kernel_and_stride(windows(size, count)) for size, count in axes]
    if None in steps:
        return None
    kernel, stride = ([step[i] for step in steps if step] for i in (0, 1))
    facts = {"kernel": kernel, "stride": stride, "padding": _padding(0), "dilation": [1, 1], "ceil": False}
    return LayerFacts(type="max_pool", facts=facts)


def _lrn(layer: LRN, call: LayerCall) -> LayerFacts | None:
    return _lrn_facts(layer, call, layer.effective_alpha, layer.groups)


def _torch_lrn(layer: nn.LocalResponseNorm, call: LayerCall) -> LayerFacts | None:
    return _lrn_facts(layer, call, layer.alpha / layer.size, 1)


def _lrn_facts(layer: Any, call: LayerCall, alpha_per_term: float, groups: int) -> LayerFacts | None:
    """Of an even window, the larger half comes first."""
    facts = {"size": layer.size, "alpha": layer.alpha, "beta": layer.beta, "k": layer.k}
    facts |= {"alpha_per_term": alpha_per_term, "groups": groups}
    return LayerFacts(type="lrn", facts=facts) if len(call.inputs) == 3 else None


def _batch_norm(layer: _BatchNorm, call: LayerCall) -> LayerFacts | None:
    """Normalization with the running statistics; without them, it depends on the batch."""
    if layer.running_mean is None or layer.running_var is None or len(call.inputs) not in {1, 3}:
        return None
    statistics = {"mean": layer.running_mean, "variance": layer.running_var}
    return LayerFacts(type="batch_norm", facts={"eps": layer.eps}, weights=statistics | _weights(layer))


def _flatten(layer: nn.Flatten, call: LayerCall) -> LayerFacts | None:
    flattens_all = layer.start_dim == 1 and layer.end_dim in {-1, len(call.inputs)}
    return LayerFacts(type="flatten") if flattens_all else None


def _softmax(layer: nn.Softmax, call: LayerCall) -> LayerFacts | None:
    return LayerFacts(type="softmax") if len(call.inputs) == 1 and layer.dim in {1, -1} else None


def _activation(function: str, *constants: str) -> Callable[[Any, LayerCall], LayerFacts]:
    """The description of an activation function, with these attributes of its layer as constants."""

    def describe(layer: Any, _call: LayerCall) -> LayerFacts:
        facts = {"function": function, **{name: getattr(layer, name) for name in constants}}
        return LayerFacts(type="activation", facts=facts)

    return describe


def _random_relu(layer: nn.RReLU, _call: LayerCall) -> LayerFacts:
    """In evaluation mode, the slope is the mean."""
    facts = {"function": "leaky_relu", "negative_slope": (layer.lower + layer.upper) / 2}
    return LayerFacts(type="activation", facts=facts)


def _dropout(_layer: nn.Module, _call: LayerCall) -> LayerFacts:
    return LayerFacts(type="dropout")


_OTHER_ACTIVATIONS = (
    nn.Hardtanh, nn.SELU, nn.CELU, nn.PReLU, nn.Mish, nn.Softplus, nn.Softsign, nn.Hardsigmoid,
    nn.Hardswish, nn.Hardshrink, nn.Softshrink, nn.Tanhshrink, nn.LogSigmoid, nn.Threshold,
)  # fmt: skip
_HARMLESS = {"extra_repr", "reset_parameters"}  # methods that change no calculation
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_CLASSES: dict[type[nn.Module], Callable[[Any, LayerCall], LayerFacts | None]] = {
    nn.Conv2d: _conv,
    TableConv2d: _table_conv,
    Subsampling: _subsampling,
    nn.Linear: _dense,
    DropConnect: _dense,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: _adaptive_average_pool,
    nn.AdaptiveMaxPool2d: _adaptive_max_pool,
    LRN: _lrn,
    nn.LocalResponseNorm: _torch_lrn,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.Flatten: _flatten,
    nn.Softmax: _softmax,
    nn.ReLU: _activation("relu"),
    nn.ReLU6: _activation("relu6"),
    nn.Tanh: _activation("tanh"),
    nn.Sigmoid: _activation("sigmoid"),
    nn.LeakyReLU: _activation("leaky_relu", "negative_slope"),
    nn.ELU: _activation("elu", "alpha"),
    nn.SiLU: _activation("silu"),
    nn.GELU: _activation("gelu", "approximate"),
    ScaledTanh: _activation("scaled_tanh", "amplitude", "slope"),
    nn.RReLU: _random_relu,
    **dict.fromkeys(_OTHER_ACTIVATIONS, _activation(OTHER)),
    **dict.fromkeys(_DROPOUTS, _dropout),
}


def _weights(layer: nn.Module) -> dict[str, Tensor]:
    """The weight and the bias of a layer, as far as it has them."""
    roles = {role: getattr(layer, role, None) for role in ("weight", "bias")}
    return {role: tensor for role, tensor in roles.items() if isinstance(tensor, Tensor)}


def _window(layer: Any) -> dict[str, list[int]]:
    kernel, stride = _pair(layer.kernel_size), _pair(layer.stride or layer.kernel_size)
    return {"kernel": kernel, "stride": stride, "padding": _padding(layer.padding)}


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else [*value]


def _padding(padding: Any) -> list[int]:
    """Top, left, bottom, right of a symmetric padding; "valid" is none."""
    return [0] * 4 if padding == "valid" else 2 * _pair(padding)


def _same_padding(layer: nn.Conv2d) -> list[int]:
    """Top, left, bottom, right of the padding "same", which is larger by one at the end for even windows."""
    totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    before = [total // 2 for total in totals]
    return [*before, *(total - first for total, first in zip(totals, before, strict=True))]
