"""The kind and the settings of the node that a Caffe layer becomes.

Source of formulas and defaults: https://github.com/BVLC/caffe, src/caffe/proto/caffe.proto and src/caffe/layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from classicnets.text import _
from classicnets.weights.caffe_layers import Layer

_MAX_SIZE = 2**16  # of a window, a stride or a padding, in pixels
_MAX_CHANNELS = 2**31 - 1
_MAX_AXIS = 3  # of images, channels, height and width

Settings = dict[str, Any]


def translate(layer: Layer) -> tuple[str, Settings]:
    """Return kind and settings of the node for a layer.

    Raises:
        MessageError: the type is unknown, or the settings contradict each other or have no equivalent.
    """
    if layer.type not in _TRANSLATIONS:
        raise layer.problem(
            _("layers of this type are not known"), hint=_("remove the layer from the definition, if nothing needs it")
        )
    n = len(layer.bottoms)
    if n != 1 and not (layer.type == "Concat" or (layer.type == "Eltwise" and n)):
        raise layer.problem(_("it reads {n} blobs instead of 1", n=n))
    if n == 1 and layer.type == "Eltwise":
        raise layer.problem(_("it reads 1 blob instead of 2 or more"))
    return _TRANSLATIONS[layer.type](layer)


def _whole(layer: Layer, name: str, value: Any, low: int = 1, high: int = _MAX_SIZE) -> int:
    """Check a number of the file."""
    if value is None:
        raise layer.problem(_("{setting} is missing", setting=name))
    if not low <= value <= high:
        raise layer.problem(
            _("{setting} is {value}; allowed is {low} to {high}", setting=name, value=value, low=low, high=high), name
        )
    return int(value)


def _real(layer: Layer, name: str, default: float) -> float:
    value: float = layer.settings.one(name, default)
    if not math.isfinite(value):
        raise layer.problem(_("{setting} is {value}, which is no number", setting=name, value=value), name)
    return value


def _only(layer: Layer, name: str, default: Any, allowed: tuple[Any, ...]) -> None:
    """Check that a setting has one of the values that can be expressed."""
    value = layer.settings.one(name, default)
    if value not in allowed:
        raise layer.problem(_("{setting} is {value}, which is not supported", setting=name, value=value), name)


def _pair(layer: Layer, name: str, stem: str, default: int | None, low: int) -> list[int]:
    """Height and width of a window: from one number, from two, or from the fields that end with _h and _w."""
    settings = layer.settings
    both, single = (f"{stem}_h", f"{stem}_w"), settings.all(name)
    if not settings.schema.by_name[name].is_repeated:
        single = single[-1:]
    if any(key in settings for key in both):
        if single:
            raise layer.problem(
                _("it has {name} as well as {first} or {second}", name=name, first=both[0], second=both[1])
            )
        return [_whole(layer, key, settings.one(key, default), low) for key in both]
    if len(single) > 2:
        raise layer.problem(_("{setting} has {n} numbers; images have 2 axes", setting=name, n=len(single)), name)
    values = single or [default]
    return [_whole(layer, name, values[0], low), _whole(layer, name, values[-1], low)]


def _axis(layer: Layer, name: str = "axis") -> int:
    """An axis of [N, C, H, W], or from the end; never that of the images."""
    value: int = layer.settings.one(name, 1)
    if not 1 <= value <= _MAX_AXIS and not -_MAX_AXIS <= value < 0:
        raise layer.problem(_("{setting} is {value}, which is not supported", setting=name, value=value), name)
    return value


def _convolution(layer: Layer) -> tuple[str, Settings]:
    settings = layer.settings
    _only(layer, "axis", 1, (1, -3))
    values = {
        "out": _whole(layer, "num_output", settings.one("num_output"), high=_MAX_CHANNELS),
        "kernel": _pair(layer, "kernel_size", "kernel", None, 1),
        "stride": _pair(layer, "stride", "stride", 1, 1),
        "padding": _pair(layer, "pad", "pad", 0, 0),
        "dilation": _pair(layer, "dilation", "dilation", 1, 1),
        "groups": _whole(layer, "group", settings.one("group", 1), high=_MAX_CHANNELS),
        "bias": settings.one("bias_term", True),
    }
    if values["out"] % values["groups"]:
        raise layer.problem(
            _("{groups} groups do not divide its {n} outputs", groups=values["groups"], n=values["out"]), "group"
        )
    return "conv", values


def _pooling(layer: Layer) -> tuple[str, Settings]:
    """Caffe rounds up, leaves out a last window that begins beyond image and padding, and counts padding."""
    settings = layer.settings
    method = settings.one("pool", "MAX")
    if method not in ("MAX", "AVE"):
        raise layer.problem(_("pool is {value}, which is not supported", value=method), "pool")
    values: Settings = {"mode": "max" if method == "MAX" else "average"}
    if settings.one("global_pooling", False):
        for name in ("kernel_size", "kernel_h", "kernel_w"):
            if name in settings:
                raise layer.problem(_("it has global_pooling as well as {name}", name=name), name)
        if _pair(layer, "stride", "stride", 1, 1) != [1, 1] or _pair(layer, "pad", "pad", 0, 0) != [0, 0]:
            raise layer.problem(_("it has global_pooling as well as a stride or padding"))
        return "pool", {**values, "whole": True}
    _only(layer, "round_mode", "CEIL", ("CEIL", "FLOOR"))
    values |= {
        "kernel": _pair(layer, "kernel_size", "kernel", None, 1),
        "stride": _pair(layer, "stride", "stride", 1, 1),
        "padding": _pair(layer, "pad", "pad", 0, 0),
        "ceil": settings.one("round_mode", "CEIL") == "CEIL",
    }
    if any(pad >= kernel for pad, kernel in zip(values["padding"], values["kernel"], strict=True)):
        raise layer.problem(_("its padding is not smaller than its window"), "pad")
    return "pool", values | ({"count_padding": True} if method == "AVE" else {})


def _lrn(layer: Layer) -> tuple[str, Settings]:
    size = _whole(layer, "local_size", layer.settings.one("local_size", 5))
    if size % 2 == 0:
        raise layer.problem(_("local_size is {value}; Caffe allows odd sizes only", value=size), "local_size")
    _only(layer, "norm_region", "ACROSS_CHANNELS", ("ACROSS_CHANNELS", "WITHIN_CHANNEL"))
    is_across = layer.settings.one("norm_region", "ACROSS_CHANNELS") == "ACROSS_CHANNELS"
    return "lrn", {
        "size": size,
        "alpha": _real(layer, "alpha", 1.0),
        "beta": _real(layer, "beta", 0.75),
        "k": _real(layer, "k", 1.0) if is_across else 1.0,  # Caffe ignores k within channels
        "region": "across" if is_across else "within",
    }


def _inner_product(layer: Layer) -> tuple[str, Settings]:
    settings = layer.settings
    _only(layer, "axis", 1, (1,))
    out = _whole(layer, "num_output", settings.one("num_output"), high=_MAX_CHANNELS)
    return "dense", {"out": out, "bias": settings.one("bias_term", True)}


def _power(layer: Layer) -> tuple[str, Settings]:
    defaults = {"power": 1.0, "scale": 1.0, "shift": 0.0}
    return "power", {name: _real(layer, name, value) for name, value in defaults.items()}


def _with_base(kind: str) -> Callable[[Layer], tuple[str, Settings]]:
    def translation(layer: Layer) -> tuple[str, Settings]:
        base = _real(layer, "base", -1.0)
        if base != -1 and (base <= 0 or base == 1):
            raise layer.problem(_("base is {value}; allowed is a positive number other than 1", value=base), "base")
        scale, shift = _real(layer, "scale", 1.0), _real(layer, "shift", 0.0)
        return kind, {"base": None if base == -1 else base, "scale": scale, "shift": shift}  # -1 stands for e

    return translation


def _dropout(layer: Layer) -> tuple[str, Settings]:
    p = _real(layer, "dropout_ratio", 0.5)
    if not 0 <= p < 1:
        raise layer.problem(_("dropout_ratio is {value}; allowed is 0 to 1", value=p), "dropout_ratio")
    return "dropout", {"p": p}


def _concat(layer: Layer) -> tuple[str, Settings]:
    return "concat", {"axis": _axis(layer, "concat_dim" if "concat_dim" in layer.settings else "axis")}


def _eltwise(layer: Layer) -> tuple[str, Settings]:
    operation = layer.settings.one("operation", "SUM")
    kinds = {"SUM": "sum", "PROD": "product", "MAX": "max"}
    _only(layer, "operation", "SUM", tuple(kinds))
    factors = layer.settings.all("coeff")
    if factors and (operation != "SUM" or len(factors) != len(layer.bottoms) or not all(map(math.isfinite, factors))):
        raise layer.problem(_("coeff has to be a number for each input of a sum"), "coeff")
    return "eltwise", {"operation": kinds[operation], "coefficients": factors or None}


def _flatten(layer: Layer) -> tuple[str, Settings]:
    _only(layer, "axis", 1, (1,))
    _only(layer, "end_axis", -1, (-1, _MAX_AXIS))
    return "flatten", {}


def _reshape(layer: Layer) -> tuple[str, Settings]:
    """Only what flattens each image: to [0, -1], or from axis 1 on to [-1]."""
    sizes = layer.settings.message("shape").all("dim")
    axis = layer.settings.one("axis", 0)
    sizes = [0, *sizes] if axis == 1 else sizes
    if axis not in (0, 1) or len(sizes) != 2 or sizes[0] != 0 or not (sizes[1] == -1 or sizes[1] > 0):
        raise layer.problem(_("it does not flatten each image (shape 0, -1), and other changes are not supported"))
    _only(layer, "num_axes", -1, (-1, _MAX_AXIS if axis == 1 else _MAX_AXIS + 1))
    return "flatten", {}


def _batch_norm(layer: Layer) -> tuple[str, Settings]:
    """With the stored statistics, as Caffe does in a network for testing."""
    fraction = _real(layer, "moving_average_fraction", 0.999)
    if not 0 <= fraction <= 1:
        raise layer.problem(
            _("moving_average_fraction is {value}; allowed is 0 to 1", value=fraction), "moving_average_fraction"
        )
    return "batch_norm", {"eps": _real(layer, "eps", 1e-5), "momentum": round(1 - fraction, 9), "scale": False}


def _scale(layer: Layer) -> tuple[str, Settings]:
    _only(layer, "num_axes", 1, (1,))
    return "scale", {"bias": layer.settings.one("bias_term", False), "axis": _axis(layer)}


_TRANSLATIONS: dict[str, Callable[[Layer], tuple[str, Settings]]] = {
    "AbsVal": lambda _layer: ("absolute", {}),
    "BNLL": lambda _layer: ("softplus", {}),
    "BatchNorm": _batch_norm,
    "Concat": _concat,
    "Convolution": _convolution,
    "Dropout": _dropout,
    "ELU": lambda layer: ("elu", {"alpha": _real(layer, "alpha", 1.0)}),
    "Eltwise": _eltwise,
    "Exp": _with_base("exponential"),
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "Log": _with_base("logarithm"),
    "PReLU": lambda layer: ("prelu", {"shared": layer.settings.one("channel_shared", False)}),
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": lambda layer: ("relu", {"slope": _real(layer, "negative_slope", 0.0)}),
    "Reshape": _reshape,
    "Scale": _scale,
    "Sigmoid": lambda _layer: ("sigmoid", {}),
    "Softmax": lambda layer: ("softmax", {"axis": _axis(layer)}),
    "TanH": lambda _layer: ("tanh", {}),
}
