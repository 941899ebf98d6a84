"""The layers of Keras that become nodes of a graph, and where the weights of each node are.

Keras has images of height, width and channels ("channels_last") unless it is told otherwise; nodes have channels first.
Layers that do something only while training, other than dropout, are left out.

Source of the settings and their defaults: https://keras.io/api/layers/
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from classicnets.models.graph import DATA
from classicnets.models.graph_layers import Axis
from classicnets.text import _
from classicnets.weights.keras_model import Layer, Model
from classicnets.weights.keras_nodes import Kind, Translation, Value, integers

_MAX_SIZE = 2**16  # of a window, a stride or a padding
_TRAINING_ONLY = {
    "ActivityRegularization", "GaussianNoise", "GaussianDropout", "AlphaDropout", "SpatialDropout2D", "RandomFlip",
    "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness",
}  # fmt: skip
_MERGING: dict[str, dict[str, Any]] = {
    "Add": {"operation": "sum"},
    "Subtract": {"operation": "sum", "coefficients": [1.0, -1.0]},
    "Multiply": {"operation": "product"},
    "Maximum": {"operation": "max"},
    "Average": {"operation": "sum"},
}


def translate(model: Model) -> Translation:
    """Return the nodes and weights of a model.

    Raises:
        MessageError: a layer is not known, or has a setting that nodes do not have; it names the layer.
    """
    return Translation(model, _KINDS)


# --- layers with weights


def _conv(net: Translation, layer: Layer, value: Value) -> Value:
    config = layer.config
    _check_image(layer, value)
    kernel, stride = _pair(layer, "kernel_size"), _pair(layer, "strides", 1)
    dilation, groups = _pair(layer, "dilation_rate", 1), config.get("groups", 1)
    use_bias, out = config.get("use_bias", True), config.get("filters")
    padding = [0, 0]
    if _is_same(layer):
        borders = _borders(net, layer, value, kernel, stride, dilation)
        if all(before == after for before, after in borders):
            padding = [before for before, _after in borders]
        else:
            (top, bottom), (left, right) = borders
            border = {"padding": [left, right, top, bottom]}
            value = net.node(layer, value, "pad", border, name=f"{layer.name}_pad")
    channels = value.shape[0]
    settings = {
        "out": out, "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
        "bias": use_bias,
    }  # fmt: skip
    result = net.node(layer, value, "conv", settings, name=layer.name)
    shape = (*kernel, channels // groups, out)
    net.weight(layer, "weight", "kernel", 0, shape, "conv")
    if use_bias:
        net.weight(layer, "bias", "bias", 1, result.shape[:1])
    return net.activated(layer, result)


def _dense(net: Translation, layer: Layer, value: Value) -> Value:
    out, use_bias = layer.config.get("units"), layer.config.get("use_bias", True)
    if len(value.shape) != 1:
        what = _("it reads images, and Keras applies it to each pixel; only dense layers after Flatten are read")
        raise layer.problem(what)
    result = net.node(layer, value, "dense", {"out": out, "bias": use_bias}, name=layer.name)
    shape = (*value.shape, *result.shape)
    net.weight(layer, "weight", "kernel", 0, shape, "dense", flat_from=value.flat_from)
    if use_bias:
        net.weight(layer, "bias", "bias", 1, result.shape)
    return net.activated(layer, Value(result.node, result.shape))


def _batch_norm(net: Translation, layer: Layer, value: Value) -> Value:
    config = layer.config
    if net.axis(layer, value, config.get("axis", -1)) != 1:
        raise layer.problem(_("it normalizes another axis than that of the channels"))
    scale, center = config.get("scale", True) is not False, config.get("center", True) is not False
    momentum = config.get("momentum", 0.99)
    if not isinstance(momentum, int | float) or not 0 <= momentum <= 1:
        raise layer.problem(_("momentum is {value}", value=str(momentum)[:40]))
    settings = {"eps": config.get("epsilon", 1e-3), "momentum": round(1 - momentum, 12), "scale": scale or center}
    result = net.node(layer, value, "batch_norm", settings, name=layer.name)
    names = [("weight", "gamma", scale, 1.0), ("bias", "beta", center, 0.0)] if scale or center else []
    names += [("running_mean", "moving_mean", True, 0.0), ("running_var", "moving_variance", True, 0.0)]
    position = 0
    for name, source, is_there, constant in names:
        rest: dict[str, Any] = {"flat_from": value.flat_from, "constant": constant}
        net.weight(layer, name, source if is_there else "", position, value.shape[:1], **rest)
        position += is_there
    return result


def _prelu(net: Translation, layer: Layer, value: Value) -> Value:
    shape = value.shape
    if len(shape) == 3:
        axes = layer.config.get("shared_axes")
        if not isinstance(axes, list) or sorted(map(str, axes)) != (["1", "2"] if net.is_last else ["2", "3"]):
            raise layer.problem(_("it has a slope for each pixel; only one slope for each channel is read"))
        shape = (1, 1, shape[0]) if net.is_last else (shape[0], 1, 1)
    result = net.node(layer, value, "prelu", {}, name=layer.name)
    net.weight(layer, "weight", "alpha", 0, shape, flat_from=value.flat_from)
    return result


# --- layers without weights


def _pool(net: Translation, layer: Layer, value: Value) -> Value:
    _check_image(layer, value)
    kernel = _pair(layer, "pool_size", 2)
    stride = _pair(layer, "strides") if layer.config.get("strides") is not None else kernel
    mode = "max" if layer.kind.startswith("Max") else "average"
    settings: dict[str, Any] = {"mode": mode, "kernel": kernel, "stride": stride}
    if _is_same(layer):
        borders = _borders(net, layer, value, kernel, stride, [1, 1])
        settings["padding"] = [before for before, _after in borders]
        settings["ceil"] = _rounds_up(layer, value, settings)
        settings["count_padding"] = False if mode == "average" else None
    return net.node(layer, value, "pool", settings, name=layer.name)


def _rounds_up(layer: Layer, value: Value, settings: Mapping[str, Any]) -> bool:
    """Whether sizes are rounded up, so that the windows are those of padding="same"."""
    kernel, stride, padding = settings["kernel"], settings["stride"], settings["padding"]
    for ceil in (False, True):
        axes = [Axis(*each, ceil=ceil) for each in zip(value.shape[1:], kernel, stride, padding, strict=True)]
        if all(axis.count == -(-axis.size // axis.stride) for axis in axes):
            return ceil
    raise layer.problem(_('padding "same" adds more at the end than at the beginning, which pooling cannot express'))


def _global_pool(net: Translation, layer: Layer, value: Value) -> Value:
    _check_image(layer, value)
    mode = "max" if "Max" in layer.kind else "average"
    result = net.node(layer, value, "pool", {"mode": mode, "whole": True}, name=layer.name)
    if layer.config.get("keepdims") is True:
        return result
    return net.node(layer, result, "flatten", {}, name=f"{layer.name}_flatten")


def _zero_padding(net: Translation, layer: Layer, value: Value) -> Value:
    _check_image(layer, value)
    padding = layer.config.get("padding", 1)
    if not isinstance(padding, list):
        padding = [padding, padding]
    pairs = [each if isinstance(each, list) else [each, each] for each in padding]
    if len(pairs) != 2 or any(len(pair) != 2 for pair in pairs):
        raise layer.problem(_("padding is {value}", value=str(padding)[:60]))
    (top, bottom), (left, right) = pairs
    return net.node(layer, value, "pad", {"padding": [left, right, top, bottom]}, name=layer.name)


def _flatten(net: Translation, layer: Layer, value: Value) -> Value:
    if len(value.shape) == 1:
        return value
    if net.is_free:
        raise layer.problem(_("the size of the images is free, so the number of values is not known"))
    flat_last = layer.config.get("data_format") != "channels_first"  # then Keras turns channels first into last
    if net.is_last and not flat_last:
        raise layer.problem(_("its data_format is 'channels_first', and that of others is not"))
    channels, height, width = value.shape
    result = net.node(layer, value, "flatten", {}, name=layer.name)
    is_same = channels == 1 or height * width == 1 or not (net.is_last or not flat_last)
    return Value(result.node, result.shape, None if is_same else (height, width, channels))


def _reshape(net: Translation, layer: Layer, value: Value) -> Value:
    target = integers(layer, "target_shape")
    channels, *sizes = value.shape if len(value.shape) == 3 else (0,)
    shapes = [[*sizes, channels] if net.is_last else [channels, *sizes]]
    if channels == 1 and value.node == DATA:
        shapes += [sizes, [*sizes, 1], [1, *sizes]]
    if sizes and target in shapes:
        return value
    if len(target) == 1 and (target[0] == -1 or target[0] == math.prod(value.shape)):
        return _flatten(net, layer, value)
    raise layer.problem(_("it gives values another shape, {shape}", shape=str(target)[:60]))


def _dropout(net: Translation, layer: Layer, value: Value) -> Value:
    return net.node(layer, value, "dropout", {"p": layer.config.get("rate", 0.5)}, name=layer.name)


def _activation_layer(net: Translation, layer: Layer, value: Value) -> Value:
    return net.activation(layer, value, layer.config.get("activation"), name=layer.name)


def _relu(net: Translation, layer: Layer, value: Value) -> Value:
    config = layer.config
    if config.get("max_value") is not None or config.get("threshold") not in (None, 0, 0.0):
        raise layer.problem(_("it has a largest value or a threshold, which nodes do not have"))
    slope = config.get("negative_slope", config.get("alpha"))
    slope = slope if slope is not None else (0.3 if layer.kind == "LeakyReLU" else 0.0)
    return net.node(layer, value, "relu", {"slope": slope}, name=layer.name)


def _elu(net: Translation, layer: Layer, value: Value) -> Value:
    return net.node(layer, value, "elu", {"alpha": layer.config.get("alpha", 1.0)}, name=layer.name)


def _softmax_layer(net: Translation, layer: Layer, value: Value) -> Value:
    return net.softmax(layer, value, layer.config.get("axis", -1), name=layer.name)


def _rescaling(net: Translation, layer: Layer, value: Value) -> Value:
    settings = {"scale": layer.config.get("scale", 1.0), "shift": layer.config.get("offset", 0.0)}
    return net.node(layer, value, "power", settings, name=layer.name)


def _concatenate(net: Translation, layer: Layer, inputs: Sequence[Value]) -> Value:
    if any(value.flat_from for value in inputs):
        raise layer.problem(_("it joins images that were flattened"))
    axis = net.axis(layer, inputs[0], layer.config.get("axis", -1))
    return net.node(layer, inputs, "concat", {"axis": axis}, name=layer.name)


def _merge(net: Translation, layer: Layer, inputs: Sequence[Value]) -> Value:
    """Add a node that reads several others value by value."""
    if len({value.flat_from for value in inputs}) > 1:
        raise layer.problem(_("it joins images that were flattened in different orders"))
    settings = dict(_MERGING[layer.kind])
    if layer.kind == "Average":
        settings["coefficients"] = [1 / len(inputs)] * len(inputs)
    return net.node(layer, inputs, "eltwise", settings, name=layer.name)


# --- padding


def _check_image(layer: Layer, value: Value) -> None:
    if len(value.shape) != 3:
        raise layer.problem(_("it reads images, and its input is a row of values"))


def _is_same(layer: Layer) -> bool:
    """Whether a layer pads its input, so that only its stride makes the output smaller."""
    padding = layer.config.get("padding", "valid")
    if padding not in ("valid", "same"):
        raise layer.problem(_("padding is {value!r}; known are valid and same", value=str(padding)[:40]))
    return bool(padding == "same")


def _borders(
    net: Translation, layer: Layer, value: Value, kernel: list[int], stride: list[int], dilation: list[int]
) -> list[tuple[int, int]]:
    """What padding="same" adds before and after, along height and width; the larger part comes after."""
    borders = []
    for size, k, step, d in zip(value.shape[1:], kernel, stride, dilation, strict=True):
        if net.is_free and step > 1:
            raise layer.problem(_('the size of the images is free, on which its padding "same" depends'))
        total = max(0, (-(-size // step) - 1) * step + d * (k - 1) + 1 - size)
        borders.append((total // 2, total - total // 2))
    return borders


def _pair(layer: Layer, key: str, default: int | None = None) -> list[int]:
    """A setting that is one number for height and width, or two."""
    value = layer.config.get(key, default)
    value = value if isinstance(value, list) else [value, value]
    if len(value) != 2 or not all(type(n) is int and 1 <= n <= _MAX_SIZE for n in value):
        raise layer.problem(_("{key} is {value}", key=key, value=str(value)[:60]))
    return value


_OF_ONE: dict[str, Callable[[Translation, Layer, Value], Value]] = {
    "Conv2D": _conv,
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "PReLU": _prelu,
    "MaxPooling2D": _pool,
    "AveragePooling2D": _pool,
    "GlobalMaxPooling2D": _global_pool,
    "GlobalAveragePooling2D": _global_pool,
    "ZeroPadding2D": _zero_padding,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Dropout": _dropout,
    "Activation": _activation_layer,
    "ReLU": _relu,
    "LeakyReLU": _relu,
    "ELU": _elu,
    "Softmax": _softmax_layer,
    "Rescaling": _rescaling,
}


def _of_one(translate: Callable[[Translation, Layer, Value], Value]) -> Kind:
    """A kind of layer with one input."""

    def checked(net: Translation, layer: Layer, inputs: Sequence[Value]) -> Value:
        if len(inputs) != 1:
            raise layer.problem(_("it has {n} inputs", n=len(inputs)))
        return translate(net, layer, inputs[0])

    return checked


_KINDS: dict[str, Kind] = {
    **{name: _of_one(translate) for name, translate in _OF_ONE.items()},
    **dict.fromkeys(_TRAINING_ONLY, _of_one(lambda _net, _layer, value: value)),
    **dict.fromkeys(_MERGING, _merge),
    "Concatenate": _concatenate,
}
