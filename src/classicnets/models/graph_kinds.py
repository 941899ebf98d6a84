"""The kinds of nodes that a graph may have: their settings, what shape they give, and the layer that they become.

Needs only torch and its neighbors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from classicnets.models.graph_layers import (
    OPERATIONS,
    Absolute,
    Axis,
    ChannelScale,
    Concat,
    Eltwise,
    Exponential,
    Logarithm,
    MeanImage,
    Power,
    WideAvgPool2d,
    WideMaxPool2d,
)
from classicnets.models.layers import SameMapNorm, size_text
from classicnets.models.lrn import LRN
from classicnets.models.messages import Message, ModelError

_MAX_WINDOW = 2**16  # pixels of a window, a stride or a padding
_MAX_CHANNELS = 2**31
_REQUIRED = object()

Shape = tuple[int, ...]  # of the output for one image: channels, height, width, or the number of values
Settings = Mapping[str, Any]


class Layer(NamedTuple):
    """What a node becomes: the shape of its output, a function that builds its layer, and how many numbers that stores.

    `weights` counts running statistics, too.
    """

    shape: Shape
    weights: int
    make: Callable[[], nn.Module]


class _Setting(NamedTuple):
    """What a setting may be, in words and as a function, and its default."""

    allowed: str
    accepts: Callable[[Any], bool]
    default: Any = _REQUIRED


class Kind(NamedTuple):
    """A kind of node: its settings, how many inputs it reads at most, and the layer for settings and input shapes."""

    settings: Mapping[str, _Setting]
    layer: Callable[[Settings, Sequence[Shape]], Layer]
    least: int = 1
    most: int = 1


def with_defaults(kind: str, settings: Settings) -> dict[str, Any]:
    """Return the settings of a node with the defaults of those that it leaves out.

    Raises:
        ValueError: an unknown kind, an unknown or a missing setting, or a value that is not allowed.
    """
    if kind not in KINDS:
        raise ModelError(
            "there is no kind of layer {kind}; the kinds are {kinds}", kind=_short(kind), kinds=", ".join(KINDS)
        )
    known = KINDS[kind].settings
    for name in settings:
        if name not in known:
            raise ModelError(
                "{name} is not a setting; the settings are {names}",
                name=_short(name),
                names=", ".join(known) or Message("none"),
            )
    values = {}
    for name, setting in known.items():
        values[name] = settings.get(name, setting.default)
        if values[name] is _REQUIRED:
            raise ModelError("{name} is missing; allowed is {allowed}", name=name, allowed=setting.allowed)
        if name in settings and not setting.accepts(values[name]):
            raise ModelError(
                "{name} is {value}; allowed is {allowed}",
                name=name,
                value=_short(values[name]),
                allowed=setting.allowed,
            )
    return values


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _whole(low: int, high: int, default: Any = _REQUIRED) -> _Setting:
    return _Setting(
        Message("an integer from {low} to {high}", low=low, high=high),
        lambda value: _is_whole(value, low, high),
        default,
    )


def _pair(low: int, default: Any = _REQUIRED) -> _Setting:
    def accepts(value: Any) -> bool:
        is_list = isinstance(value, list | tuple) and len(value) == 2
        return is_list and all(_is_whole(n, low, _MAX_WINDOW) for n in value)

    return _Setting(
        Message("[height, width], each an integer from {low} to {high}", low=low, high=_MAX_WINDOW), accepts, default
    )


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e30


def _real(default: Any = _REQUIRED, low: float = -1e30, high: float = 1e30, above: float = -math.inf) -> _Setting:
    span = Message("a number from {low:g} to {high:g}", low=low, high=high)
    allowed = Message("a number above {above:g}", above=above) if above > -math.inf else span
    return _Setting(allowed, lambda value: _is_real(value) and low <= value <= high and value > above, default)


def _flag(default: Any = _REQUIRED) -> _Setting:
    return _Setting(Message("true or false"), lambda value: isinstance(value, bool), default)


def _choice(*values: str, default: Any = _REQUIRED) -> _Setting:
    return _Setting(
        Message("one of {values}", values=", ".join(values)),
        lambda value: isinstance(value, str) and value in values,
        default,
    )


_AXIS = _Setting(Message("an axis from 1 to 3, or from -3 to -1"), lambda v: _is_whole(v, -3, 3) and v != 0, 1)


# --- the layers, each from settings and the shapes of the inputs ------------------------------------------------------


def _conv(s: Settings, inputs: Sequence[Shape]) -> Layer:
    channels, *sizes = _image(inputs[0])
    out, groups, kernel, stride, padding, dilation = (
        s[name] for name in ("out", "groups", "kernel", "stride", "padding", "dilation")
    )
    if channels % groups or out % groups:
        raise ModelError(
            "{groups} groups do not divide its {channels} input channels and {out} output channels",
            groups=groups,
            channels=channels,
            out=out,
        )
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    spans = [n + 2 * p - e for n, p, e in zip(sizes, padding, extents, strict=True)]
    _check_fits(spans, sizes, padding, extents)
    shape = (out, *(span // step + 1 for span, step in zip(spans, stride, strict=True)))
    weights = out * (channels // groups) * math.prod(kernel) + out * s["bias"]
    arguments: dict[str, Any] = {
        "kernel_size": tuple(kernel),
        "stride": tuple(stride),
        "padding": tuple(padding),
        "dilation": tuple(dilation),
        "groups": groups,
        "bias": s["bias"],
    }
    return Layer(shape, weights, lambda: nn.Conv2d(channels, out, **arguments))


def _pool(s: Settings, inputs: Sequence[Shape]) -> Layer:
    channels, *sizes = _image(inputs[0])
    is_max, window = s["mode"] == "max", ("kernel", "stride", "padding", "ceil", "count_padding")
    if s["whole"]:
        if given := [name for name in window if s[name] is not None]:
            raise ModelError("whole pooling reads the whole input, so it has no {name}", name=given[0])
        return Layer((channels, 1, 1), 0, lambda: (nn.AdaptiveMaxPool2d if is_max else nn.AdaptiveAvgPool2d)(1))
    if is_max and s["count_padding"] is not None:
        raise ModelError("count_padding is a setting of average pooling only")
    if missing := [name for name in ("kernel", "stride") if s[name] is None]:
        raise ModelError(
            "{name} is missing; allowed is [height, width], or whole = true instead of a window", name=missing[0]
        )
    kernel, stride, padding, ceil = s["kernel"], s["stride"], s["padding"] or [0, 0], bool(s["ceil"])
    if any(p >= k for p, k in zip(padding, kernel, strict=True)):
        raise ModelError(
            "a padding of {padding} is not smaller than the window of {window}",
            padding=size_text(padding),
            window=size_text(kernel),
        )
    axes = [Axis(*values, ceil=ceil) for values in zip(sizes, kernel, stride, padding, strict=True)]
    if any(axis.count < 1 for axis in axes):
        _check_fits([-1], sizes, padding, kernel)
    # torch leaves such a window out, and Caffe and MXNet give no number for it
    if ceil and not any(padding) and any(axis.is_shortened for axis in axes):
        raise ModelError("its last window would start beyond the input, where there is nothing to read")
    wide = any(2 * p > k for p, k in zip(padding, kernel, strict=True))
    arguments: dict[str, Any] = {
        "kernel_size": _plain(kernel),
        "stride": _plain(stride),
        "padding": _plain(padding),
        "ceil_mode": ceil,
    }
    if not is_max:
        arguments["count_include_pad"] = s["count_padding"] is not False
    kinds: tuple[Callable[..., nn.Module], ...] = (
        (nn.MaxPool2d, WideMaxPool2d) if is_max else (nn.AvgPool2d, WideAvgPool2d)
    )
    return Layer((channels, *(axis.count for axis in axes)), 0, lambda: kinds[wide](**arguments))


def _pad(s: Settings, inputs: Sequence[Shape]) -> Layer:
    channels, height, width = _image(inputs[0])
    left, right, top, bottom = padding = tuple(s["padding"])
    return Layer((channels, height + top + bottom, width + left + right), 0, lambda: nn.ZeroPad2d(padding))


def _lrn(s: Settings, inputs: Sequence[Shape]) -> Layer:
    shape, size, alpha, beta, k = _image(inputs[0]), s["size"], s["alpha"], s["beta"], s["k"]
    if size % 2 == 0:
        raise ModelError(
            "size is {size}; an even window is not allowed, because libraries place it differently", size=size
        )
    if s["region"] == "within":
        return Layer(shape, 0, lambda: SameMapNorm(size, alpha, beta, k))
    return Layer(shape, 0, lambda: LRN(size, alpha, beta, k, convention="caffe"))


def _dense(s: Settings, inputs: Sequence[Shape]) -> Layer:
    if len(inputs[0]) != 1:
        raise ModelError("its input has the shape {shape}, and it reads one row of values", shape=size_text(inputs[0]))
    (values,), out, bias = inputs[0], s["out"], s["bias"]
    return Layer((out,), values * out + out * bias, lambda: nn.Linear(values, out, bias=bias))


def _relu(s: Settings, inputs: Sequence[Shape]) -> Layer:
    slope = s["slope"]
    return Layer(inputs[0], 0, lambda: nn.LeakyReLU(slope) if slope else nn.ReLU())


def _prelu(s: Settings, inputs: Sequence[Shape]) -> Layer:
    count = 1 if s["shared"] else inputs[0][0]
    if s["channels"] not in {None, inputs[0][0]}:
        raise ModelError(
            "channels is {channels}, but its input has {inputs}", channels=s["channels"], inputs=inputs[0][0]
        )
    return Layer(inputs[0], count, lambda: nn.PReLU(count))


def _batch_norm(s: Settings, inputs: Sequence[Shape]) -> Layer:
    shape = inputs[0]
    kinds = {1: nn.BatchNorm1d, 3: nn.BatchNorm2d}
    if len(shape) not in kinds:
        raise ModelError(
            "its input has the shape {shape}; allowed are images and rows of values", shape=size_text(shape)
        )
    settings = {"eps": s["eps"], "momentum": s["momentum"], "affine": s["scale"]}
    return Layer(shape, 2 * shape[0] * (1 + s["scale"]), lambda: kinds[len(shape)](shape[0], **settings))


def _scale(s: Settings, inputs: Sequence[Shape]) -> Layer:
    axis, bias = _axis(s, inputs[0]), s["bias"]
    count = inputs[0][axis - 1]
    return Layer(inputs[0], count * (1 + bias), lambda: ChannelScale(count, bias=bias, axis=axis))


def _mean_image(_s: Settings, inputs: Sequence[Shape]) -> Layer:
    shape = _image(inputs[0])
    return Layer(shape, math.prod(shape), lambda: MeanImage(shape))


def _concat(s: Settings, inputs: Sequence[Shape]) -> Layer:
    axis = _axis(s, inputs[0])
    others = {(*shape[: axis - 1], *shape[axis:]) for shape in inputs}
    if len(others) > 1 or len({len(shape) for shape in inputs}) > 1:
        raise ModelError(
            "its inputs have the shapes {shapes}, which differ beyond axis {axis}", shapes=_list(inputs), axis=axis
        )
    size = sum(shape[axis - 1] for shape in inputs)
    return Layer((*inputs[0][: axis - 1], size, *inputs[0][axis:]), 0, lambda: Concat(axis))


def _eltwise(s: Settings, inputs: Sequence[Shape]) -> Layer:
    operation, coefficients = s["operation"], s["coefficients"] or ()
    if len(set(inputs)) > 1:
        raise ModelError("its inputs have the shapes {shapes}, which must be equal", shapes=_list(inputs))
    if coefficients and operation != "sum":
        raise ModelError(
            "coefficients are a setting of the sum only, and the operation is {operation}", operation=operation
        )
    if coefficients and len(coefficients) != len(inputs):
        raise ModelError("there are {n} coefficients for {inputs} inputs", n=len(coefficients), inputs=len(inputs))
    return Layer(inputs[0], 0, lambda: Eltwise(operation, coefficients))


def _softmax(s: Settings, inputs: Sequence[Shape]) -> Layer:
    axis = _axis(s, inputs[0])
    return Layer(inputs[0], 0, lambda: nn.Softmax(dim=axis))


def _flatten(_s: Settings, inputs: Sequence[Shape]) -> Layer:
    return Layer((math.prod(inputs[0]),), 0, nn.Flatten)


def _function(kind: Callable[..., nn.Module], **names: str) -> Callable[[Settings, Sequence[Shape]], Layer]:
    """A layer without weights that keeps the shape; `names` are the arguments of these settings."""

    def layer(s: Settings, inputs: Sequence[Shape]) -> Layer:
        return Layer(inputs[0], 0, lambda: kind(**{names.get(name, name): value for name, value in s.items()}))

    return layer


def _image(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ModelError(
            "its input has the shape {shape}, and it reads images of channels, height and width",
            shape=size_text(shape),
        )
    return shape


def _check_fits(spans: Sequence[int], sizes: Sequence[int], padding: Sequence[int], window: Sequence[int]) -> None:
    if min(spans) < 0:
        padded = [n + 2 * p for n, p in zip(sizes, padding, strict=True)]
        raise ModelError(
            "its window of {window} does not fit into its input of {size} with padding",
            window=size_text(window),
            size=size_text(padded),
        )


def _axis(s: Settings, shape: Shape) -> int:
    """The axis, counted from 1, with the images of the batch as axis 0."""
    axis: int = s["axis"] if s["axis"] > 0 else len(shape) + 1 + s["axis"]
    if not 1 <= axis <= len(shape):
        raise ModelError(
            "axis is {axis}, and its input has {n} axes beside that of the batch", axis=s["axis"], n=len(shape)
        )
    return axis


def _plain(pair: Sequence[int]) -> int | tuple[int, int]:
    """A pair as layers are written: 3 for [3, 3]."""
    return pair[0] if pair[0] == pair[1] else (pair[0], pair[1])


def _list(shapes: Sequence[Shape]) -> str:
    texts = [size_text(shape) for shape in shapes]
    if len(texts) <= 5:
        return ", ".join(texts)
    return Message("{shapes}, and {n} more", shapes=", ".join(texts[:4]), n=len(texts) - 4)


_SCALED = {"scale": _real(1.0), "shift": _real(0.0)}
_BASE = {
    "base": _Setting(Message("a number above 0 other than 1, or null for e"), lambda v: v is None or _is_base(v), None)
}


def _are_sides(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 4 and all(_is_whole(n, 0, _MAX_WINDOW) for n in value)


def _is_base(value: Any) -> bool:
    return _is_real(value) and value > 0 and value != 1


def _are_coefficients(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple) and all(map(_is_real, value)))


_CHANNELS = _whole(1, _MAX_CHANNELS)
_BORDER = _pair(0, (0, 0))
KINDS: dict[str, Kind] = {
    "conv": Kind(
        {
            "out": _CHANNELS,
            "kernel": _pair(1),
            "stride": _pair(1, (1, 1)),
            "padding": _BORDER,
            "dilation": _pair(1, (1, 1)),
            "groups": _whole(1, _MAX_CHANNELS, 1),
            "bias": _flag(True),
        },
        _conv,
    ),
    "pool": Kind(
        {
            "mode": _choice("max", "average"),
            "kernel": _pair(1, None),
            "stride": _pair(1, None),
            "padding": _pair(0, None),
            "ceil": _flag(None),
            "count_padding": _flag(None),
            "whole": _flag(False),
        },
        _pool,
    ),
    "pad": Kind(
        {
            "padding": _Setting(
                Message("[left, right, top, bottom], each an integer from 0 to {high}", high=_MAX_WINDOW), _are_sides
            )
        },
        _pad,
    ),
    "lrn": Kind(
        {
            "size": _whole(1, _MAX_WINDOW),
            "alpha": _real(low=0),
            "beta": _real(low=-100, high=100),
            "k": _real(above=0),
            "region": _choice("across", "within", default="across"),
        },
        _lrn,
    ),
    "dense": Kind({"out": _CHANNELS, "bias": _flag(True)}, _dense),
    "relu": Kind({"slope": _real(0.0)}, _relu),
    "prelu": Kind({"channels": _CHANNELS._replace(default=None), "shared": _flag(False)}, _prelu),
    "elu": Kind({"alpha": _real(1.0)}, _function(nn.ELU)),
    "sigmoid": Kind({}, _function(nn.Sigmoid)),
    "tanh": Kind({}, _function(nn.Tanh)),
    "softplus": Kind({}, _function(nn.Softplus)),
    "absolute": Kind({}, _function(Absolute)),
    "power": Kind({"power": _real(1.0), **_SCALED}, _function(Power)),
    "exponential": Kind({**_BASE, **_SCALED}, _function(Exponential)),
    "logarithm": Kind({**_BASE, **_SCALED}, _function(Logarithm)),
    "dropout": Kind({"p": _real(0.5, low=0, high=1)}, _function(nn.Dropout)),
    "concat": Kind({"axis": _AXIS}, _concat, most=1000),
    "eltwise": Kind(
        {
            "operation": _choice(*OPERATIONS, default="sum"),
            "coefficients": _Setting(Message("a list of numbers, or null"), _are_coefficients, None),
        },
        _eltwise,
        least=2,
        most=1000,
    ),
    "softmax": Kind({"axis": _AXIS}, _softmax),
    "flatten": Kind({}, _flatten),
    "batch_norm": Kind(
        {"eps": _real(1e-5, above=0), "momentum": _real(0.1, low=0, high=1), "scale": _flag(True)}, _batch_norm
    ),
    "scale": Kind({"bias": _flag(False), "axis": _AXIS}, _scale),
    "mean_image": Kind({}, _mean_image),
}
