"""The kind and the settings of the node (`models.graph`) that a layer of torch becomes, for predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from classicnets.models.alexnet_ports import ShrinkingPool
from classicnets.models.graph import DATA, Graph
from classicnets.models.graph_kinds import KINDS, Shape, with_defaults
from classicnets.models.graph_layers import (
    Absolute,
    Axis,
    ChannelScale,
    Concat,
    Eltwise,
    Exponential,
    Logarithm,
    Power,
    WideAvgPool2d,
    WideMaxPool2d,
)
from classicnets.models.layers import DropConnect, SameMapNorm
from classicnets.models.lrn import LRN
from classicnets.text import _
from classicnets.text import shape as shape_text

NOTHING = ""  # kind of a layer that passes its input on


class Equivalent(NamedTuple):
    """Kind and settings of a node that computes the same as a layer."""

    kind: str
    settings: dict[str, Any]


class Border(NamedTuple):
    """Zeros that a layer adds around images, which only a convolution after it can take over."""

    left: int
    right: int
    top: int
    bottom: int


def is_known(layer: nn.Module) -> bool:
    """Return whether a layer of this class may have an equivalent; a subclass computes something else."""
    return type(layer) in _TRANSLATIONS or type(layer) in _BORDERS


def border(layer: nn.Module) -> Border | None:
    """Return the zeros that a layer adds around images; None for every other layer."""
    if type(layer) not in _BORDERS or getattr(layer, "value", 0.0) != 0:
        return None
    padding: Any = layer.padding
    return Border(*padding)


def equivalent(layer: nn.Module, shape: Shape) -> Equivalent:
    """Return what computes the same as a layer in evaluation mode; `NOTHING` if the layer does not change its input.

    Args:
        layer: a layer that is no border.
        shape: of its first input, for one image.

    Raises:
        ValueError: the class is not known, or its settings have no equivalent; the message is the reason.
    """
    translation = _TRANSLATIONS.get(type(layer))
    if translation is None:
        raise ValueError(_("there is no equivalent of this class"))
    return translation(layer, shape)


def with_border(settings: dict[str, Any], shape: Shape, around: Border) -> dict[str, Any]:
    """Return the settings of a convolution that also adds the zeros of the layer before it.

    A convolution adds as many zeros at the end as at the beginning. This gives the same outputs if its windows do not
    read those at the end that are too many or too few.

    Args:
        settings: of the convolution.
        shape: of the image without the border.
        around: the border.

    Raises:
        ValueError: the windows do read them.
    """
    ends = ((around.top, around.bottom), (around.left, around.right))
    padding = [p + first for p, (first, _last) in zip(settings["padding"], ends, strict=True)]
    for i, (first, last) in enumerate(ends):
        extent = settings["dilation"][i] * (settings["kernel"][i] - 1) + 1
        size = shape[1 + i] + 2 * settings["padding"][i] - extent
        counts = [(size + zeros) // settings["stride"][i] for zeros in (first + last, 2 * first)]
        if min(first, last) < 0 or counts[0] != counts[1]:
            raise ValueError(
                _(
                    "it adds {left}, {right}, {top} and {bottom} pixels to the left, right, top and bottom, and other "
                    "libraries pad both sides of a convolution alike",
                    **around._asdict(),
                )
            )
    return {**settings, "padding": padding}


def input_shapes(graph: Graph) -> dict[str, Shape]:
    """Return the shape that each node reads first, for one image; a dense layer reads one row of values."""
    outputs: dict[str, Shape] = {DATA: graph.input}
    inputs = {}
    for node in graph.nodes:
        shapes = [outputs[name] for name in node.inputs]
        if node.kind == "dense":
            shapes = [KINDS["flatten"].layer({}, shapes).shape]
        inputs[node.name] = shapes[0]
        outputs[node.name] = KINDS[node.kind].layer(with_defaults(node.kind, node.settings), shapes).shape
    return inputs


def is_rounded_down(sizes: Sequence[int], settings: Mapping[str, Any]) -> bool:
    """Return whether the windows of a pooling layer are the same if its output is rounded down.

    Args:
        sizes: height and width of its input.
        settings: kernel, stride and padding.
    """
    up, down = (_axes(sizes, settings, ceil=ceil) for ceil in (True, False))
    return [axis.count for axis in up] == [axis.count for axis in down]


def is_shortened(sizes: Sequence[int], settings: Mapping[str, Any]) -> bool:
    """Return whether rounding up adds a window that starts beyond the input, which torch leaves out."""
    return any(axis.is_shortened for axis in _axes(sizes, settings, ceil=True))


def _axes(sizes: Sequence[int], s: Mapping[str, Any], *, ceil: bool) -> list[Axis]:
    windows = zip(sizes, s["kernel"], s["stride"], s.get("padding") or (0, 0), strict=True)
    return [Axis(*window, ceil=ceil) for window in windows]


def _pair(value: int | Sequence[int]) -> list[int]:
    return [value, value] if isinstance(value, int) else [*value]


def _image(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ValueError(_("its input has the shape {shape}, and is no image", shape=shape_text(shape)))
    return shape


def _conv(layer: nn.Conv2d, shape: Shape) -> Equivalent:
    _image(shape)
    kernel, stride, dilation = _pair(layer.kernel_size), _pair(layer.stride), _pair(layer.dilation)
    if layer.padding == "same":  # torch allows it with a stride of 1
        twice = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if any(n % 2 for n in twice):
            raise ValueError(_("its padding 'same' adds more pixels on one side than on the other"))
        padding = [n // 2 for n in twice]
    else:
        padding = [0, 0] if isinstance(layer.padding, str) else _pair(layer.padding)
    if layer.padding_mode != "zeros" and any(padding):
        raise ValueError(_("its padding_mode is {mode}, and other libraries add zeros", mode=repr(layer.padding_mode)))
    settings = {
        "out": layer.out_channels,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": layer.groups,
        "bias": layer.bias is not None,
    }
    return Equivalent("conv", settings)


def _linear(layer: nn.Linear, shape: Shape) -> Equivalent:
    if len(shape) != 1:
        raise ValueError(
            _("its input has the shape {shape}; other libraries read one row of values", shape=shape_text(shape))
        )
    return Equivalent("dense", {"out": layer.out_features, "bias": layer.bias is not None})


def _pool(mode: str) -> Callable[[Any, Shape], Equivalent]:
    def translate(layer: nn.MaxPool2d | nn.AvgPool2d, shape: Shape) -> Equivalent:
        if isinstance(layer, nn.MaxPool2d) and (layer.return_indices or _pair(layer.dilation) != [1, 1]):
            raise ValueError(_("it has return_indices or dilation"))
        if isinstance(layer, nn.AvgPool2d) and layer.divisor_override:
            raise ValueError(_("it has divisor_override"))
        kernel = _pair(layer.kernel_size)
        settings: dict[str, Any] = {
            "mode": mode,
            "kernel": kernel,
            "stride": _pair(layer.stride),
            "padding": _pair(layer.padding),
        }
        sizes = _image(shape)[1:]
        # torch leaves out a window that starts beyond the input, for which Caffe and MXNet give no number
        is_down = is_shortened(sizes, settings) and is_rounded_down(sizes, settings)
        settings["ceil"] = layer.ceil_mode and not is_down
        if isinstance(layer, nn.AvgPool2d):
            settings["count_padding"] = layer.count_include_pad
        return Equivalent("pool", settings)

    return translate


def _adaptive_pool(mode: str) -> Callable[[Any, Shape], Equivalent]:
    def translate(layer: nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d, shape: Shape) -> Equivalent:
        if isinstance(layer, nn.AdaptiveMaxPool2d) and layer.return_indices:
            raise ValueError(_("it has return_indices"))
        sizes = [*_image(shape)[1:]]
        stated: Any = layer.output_size
        stated = [stated, stated] if stated is None or isinstance(stated, int) else stated
        out = [size if n is None else n for n, size in zip(stated, sizes, strict=True)]
        if out == [1, 1]:
            return Equivalent("pool", {"mode": mode, "whole": True})
        if out == sizes:
            return Equivalent(NOTHING, {})
        if any(size % n for size, n in zip(sizes, out, strict=True)):
            fields = {"before": shape_text(sizes), "after": shape_text(out)}
            raise ValueError(_("it turns {before} into {after} with windows of several sizes", **fields))
        window = [size // n for size, n in zip(sizes, out, strict=True)]
        settings = {"mode": mode, "kernel": window, "stride": window, "padding": [0, 0], "ceil": False}
        return Equivalent("pool", settings | ({"count_padding": True} if mode == "average" else {}))

    return translate


def _lrn(layer: LRN, shape: Shape) -> Equivalent:
    if layer.groups > 1:
        raise ValueError(_("it normalizes {n} groups of channels separately", n=layer.groups))
    return _normalization(shape, layer.size, layer.effective_alpha * layer.size, layer.beta, layer.k, "across")


def _torch_lrn(layer: nn.LocalResponseNorm, shape: Shape) -> Equivalent:
    return _normalization(shape, layer.size, layer.alpha, layer.beta, layer.k, "across")


def _same_map_norm(layer: SameMapNorm, shape: Shape) -> Equivalent:
    return _normalization(shape, layer.size, layer.alpha, layer.beta, layer.k, "within")


def _normalization(shape: Shape, size: int, alpha: float, beta: float, k: float, region: str) -> Equivalent:
    _image(shape)
    return Equivalent("lrn", {"size": size, "alpha": float(f"{alpha:.15g}"), "beta": beta, "k": k, "region": region})


def _batch_norm(axes: int) -> Callable[[Any, Shape], Equivalent]:
    def translate(layer: nn.BatchNorm1d | nn.BatchNorm2d, shape: Shape) -> Equivalent:
        if len(shape) != axes:
            raise ValueError(_("its input has the shape {shape}", shape=shape_text(shape)))
        if layer.running_mean is None:
            raise ValueError(_("it has no running statistics (track_running_stats=False)"))
        if (layer.weight is None) != (layer.bias is None):
            raise ValueError(_("it has one of weight and bias, not both"))
        momentum = 0.1 if layer.momentum is None else layer.momentum  # predictions do not need it
        return Equivalent("batch_norm", {"eps": layer.eps, "momentum": momentum, "scale": layer.affine})

    return translate


def _softmax(layer: nn.Softmax, _shape: Shape) -> Equivalent:
    if not layer.dim:
        raise ValueError(_("its dim is {dim}", dim=layer.dim))
    return Equivalent("softmax", {"axis": layer.dim})


def _softplus(layer: nn.Softplus, _shape: Shape) -> Equivalent:
    if (layer.beta, layer.threshold) != (1, 20):
        raise ValueError(_("only its default settings have an equivalent"))
    return Equivalent("softplus", {})


def _flatten(layer: nn.Flatten, shape: Shape) -> Equivalent:
    if layer.start_dim != 1 or layer.end_dim not in (-1, len(shape)):
        raise ValueError(_("it does not flatten each image as a whole"))
    return Equivalent("flatten", {})


def _plain(kind: str, **names: str) -> Callable[[Any, Shape], Equivalent]:
    """A layer whose settings are attributes; `names` are those attributes by the names of the settings."""
    return lambda layer, _shape: Equivalent(kind, {name: getattr(layer, own) for name, own in names.items()})


def _nothing(_layer: nn.Module, _shape: Shape) -> Equivalent:
    return Equivalent(NOTHING, {})


_SCALED = {"scale": "scale", "shift": "shift"}
_TRANSLATIONS: dict[type[nn.Module], Callable[[Any, Shape], Equivalent]] = {
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    DropConnect: _linear,  # predictions use all its weights
    nn.MaxPool2d: _pool("max"),
    WideMaxPool2d: _pool("max"),
    nn.AvgPool2d: _pool("average"),
    WideAvgPool2d: _pool("average"),
    nn.AdaptiveMaxPool2d: _adaptive_pool("max"),
    nn.AdaptiveAvgPool2d: _adaptive_pool("average"),
    ShrinkingPool: _adaptive_pool("average"),
    LRN: _lrn,
    nn.LocalResponseNorm: _torch_lrn,
    SameMapNorm: _same_map_norm,
    nn.BatchNorm1d: _batch_norm(1),
    nn.BatchNorm2d: _batch_norm(3),
    ChannelScale: lambda layer, _shape: Equivalent("scale", {"bias": layer.bias is not None, "axis": layer.axis}),
    nn.ReLU: lambda _layer, _shape: Equivalent("relu", {"slope": 0.0}),
    nn.LeakyReLU: _plain("relu", slope="negative_slope"),
    nn.PReLU: lambda layer, shape: Equivalent("prelu", {"shared": layer.num_parameters == 1 and shape[0] > 1}),
    nn.ELU: _plain("elu", alpha="alpha"),
    nn.Sigmoid: _plain("sigmoid"),
    nn.Tanh: _plain("tanh"),
    nn.Softplus: _softplus,
    Absolute: _plain("absolute"),
    Power: _plain("power", power="power", **_SCALED),
    Exponential: _plain("exponential", base="base", **_SCALED),
    Logarithm: _plain("logarithm", base="base", **_SCALED),
    nn.Softmax: _softmax,
    nn.Dropout: _plain("dropout", p="p"),
    nn.Flatten: _flatten,
    nn.Identity: _nothing,
    Concat: _plain("concat", axis="axis"),
    Eltwise: lambda layer, _shape: Equivalent(
        "eltwise", {"operation": layer.operation, "coefficients": [*layer.coefficients] or None}
    ),
}
_BORDERS = (nn.ZeroPad2d, nn.ConstantPad2d)
