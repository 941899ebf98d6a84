"""MXNet's operators as kinds of nodes: what the attributes of each mean for inference, with MXNet's defaults.

Attributes that only change how MXNet computes, such as `workspace` or `cudnn_tune`, and those that users add are
ignored. What would change the result, and a node cannot express, is refused.

Source: apache/mxnet, src/operator/ (the parameters of each operator), and MXNet 1.9.1, which the tests compare with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from classicnets.text import _

ANY = 0  # number of inputs of an operator that takes several
NOTHING = ""  # kind of an operator that passes its first input on
_MAX_COUNT = 2**24  # channels, and numbers of a window
_MAX_TEXT = 1000  # characters of an attribute
_NONE = ("None", "")
_FLAGS = {"True": True, "true": True, "1": True, "False": False, "false": False, "0": False}
_INTEGERS = re.compile(r"[(\[] ?((?:\d{1,18}L?(?: ?, ?|(?= ?[)\]])))*) ?[)\]]")  # Python 2 wrote (3L, 3L)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_WEIGHT, _BIAS = ("weight", "weight"), ("bias", "bias")
_BATCH_NORM = (
    ("gamma", "weight"),
    ("beta", "bias"),
    ("moving_mean", "running_mean"),
    ("moving_var", "running_var"),
)


@dataclass(frozen=True)
class Result:
    """What an operator becomes.

    Attributes:
        kind: the kind of its node, or NOTHING.
        settings: the settings of the node.
        parameters: the inputs after the data, each as MXNet's name and torch's.
        ones: torch's names of the parameters that are 1, whatever the file says.
    """

    kind: str
    settings: dict[str, Any] = field(default_factory=dict)
    parameters: tuple[tuple[str, str], ...] = ()
    ones: tuple[str, ...] = ()


@dataclass(frozen=True)
class Attributes:
    """The attributes of a node, which are text.

    All methods raise ValueError for a value that is not allowed.

    Attributes:
        values: text by name.
        is_flat: whether the input of the node is known to be rows of values, not images.
    """

    values: Mapping[str, str]
    is_flat: bool = False

    def pair(self, name: str, default: int | None, least: int) -> list[int]:
        """Return numbers for height and width. MXNet takes the default if there are none."""
        text = self.text(name, "()")
        match = _INTEGERS.fullmatch(text)
        if match is None:
            raise ValueError(_("{name} is {value}; expected is a tuple such as (3, 3)", name=name, value=_shown(text)))
        numbers = [int(number) for number in re.findall(r"\d+", match[1])]
        if not numbers and default is not None:
            return [default, default]
        if len(numbers) != 2 or not all(least <= number <= _MAX_COUNT for number in numbers):
            fields = {"name": name, "value": _shown(text), "least": least, "most": _MAX_COUNT}
            raise ValueError(_("{name} is {value}; allowed are two numbers from {least} to {most}", **fields))
        return numbers

    def whole(self, name: str, default: int | None, low: int = 1, high: int = _MAX_COUNT) -> int:
        """Return an integer; without a default, the attribute must be there."""
        if default is not None and name not in self.values:
            return default
        text = self.text(name, "")
        if re.fullmatch(r" *[+-]?\d{1,18} *", text) is None or not low <= int(text) <= high:
            fields = {"name": name, "value": _shown(text), "low": low, "high": high}
            raise ValueError(_("{name} is {value}; allowed is an integer from {low} to {high}", **fields))
        return int(text)

    def number(self, name: str, default: float | None) -> float:
        """Return a finite number; without a default, the attribute must be there."""
        if default is not None and name not in self.values:
            return default
        text = self.text(name, "").strip()
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(number):
            raise ValueError(_("{name} is {value}; expected is a number", name=name, value=_shown(text)))
        return number

    def flag(self, name: str, default: bool) -> bool:
        """Return a truth value; "None" is the default."""
        text = self.text(name, "None")
        if text not in _FLAGS and text != "None":
            raise ValueError(_("{name} is {value}; expected is True or False", name=name, value=_shown(text)))
        return _FLAGS.get(text, default)

    def choice(self, name: str, default: str | None, allowed: tuple[str, ...]) -> str:
        """Return a value that is one of those that can be read."""
        text = self.text(name, default or "")
        if text not in allowed:
            listed = ", ".join(value for value in allowed if value)
            raise ValueError(_("{name} is {value}; read are {allowed}", name=name, value=_shown(text), allowed=listed))
        return text

    def text(self, name: str, default: str) -> str:
        """Return an attribute as it is."""
        text = self.values.get(name, default)
        if len(text) > _MAX_TEXT:
            raise ValueError(_("{name} has {n:,} characters", name=name, n=len(text)))
        return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _convolution(a: Attributes) -> Result:
    out = a.whole("num_filter", None)
    groups = a.whole("num_group", 1)
    if out % groups:
        raise ValueError(_("num_group is {groups}, which does not divide num_filter, {out}", groups=groups, out=out))
    a.choice("layout", "None", (*_NONE, "NCHW"))
    bias = not a.flag("no_bias", False)
    settings = {
        "out": out,
        "kernel": a.pair("kernel", None, 1),
        "stride": a.pair("stride", 1, 1),
        "padding": a.pair("pad", 0, 0),
        "dilation": a.pair("dilate", 1, 1),
        "groups": groups,
        "bias": bias,
    }
    return Result("conv", settings, (_WEIGHT, _BIAS)[: 1 + bias])


def _pooling(a: Attributes) -> Result:
    a.choice("layout", "None", (*_NONE, "NCHW"))
    mode = {"max": "max", "avg": "average"}[a.choice("pool_type", "max", ("max", "avg"))]
    if a.flag("global_pool", False):
        return Result("pool", {"mode": mode, "whole": True})
    kernel, stride, padding = a.pair("kernel", None, 1), a.pair("stride", 1, 1), a.pair("pad", 0, 0)
    ceil = a.choice("pooling_convention", "valid", ("valid", "full")) == "full"
    if ceil and any(k < s + p for k, s, p in zip(kernel, stride, padding, strict=True)):
        # all other frameworks leave out a window that begins beyond the image; MXNet's value for it is -3.4e38, or 0
        raise ValueError(_("pooling_convention is 'full', and the last window may have no pixel of its input"))
    settings = {"mode": mode, "kernel": kernel, "stride": stride, "padding": padding, "ceil": ceil}
    if mode == "average":
        settings["count_padding"] = a.flag("count_include_pad", True)
    return Result("pool", settings)


def _old_pooling(a: Attributes) -> Result:
    """The first implementation divides windows that stick out by their whole size."""
    result = _pooling(a)
    if result.settings["mode"] == "average" and result.settings.get("ceil"):
        raise ValueError(_("an average by Pooling_v1 with the pooling_convention 'full' is not read"))
    return result


def _lrn(a: Attributes) -> Result:
    size = a.whole("nsize", None)
    if size % 2 == 0:
        raise ValueError(_("nsize is {size}; only odd windows are read", size=size))
    settings = {
        "size": size,
        "alpha": a.number("alpha", 1e-4),  # divided by the size, as in torch
        "beta": a.number("beta", 0.75),
        "k": a.number("knorm", 2.0),
        "region": "across",
    }
    return Result("lrn", settings)


def _fully_connected(a: Attributes) -> Result:
    if not a.flag("flatten", True) and not a.is_flat:
        raise ValueError(_("flatten is False, and its input may be images"))
    bias = not a.flag("no_bias", False)
    return Result("dense", {"out": a.whole("num_hidden", None), "bias": bias}, (_WEIGHT, _BIAS)[: 1 + bias])


_ACTIVATIONS = {"relu": "relu", "sigmoid": "sigmoid", "tanh": "tanh", "softrelu": "softplus"}


def _activation(a: Attributes) -> Result:
    return _function(_ACTIVATIONS[a.choice("act_type", None, tuple(_ACTIVATIONS))])


def _leaky_relu(a: Attributes) -> Result:
    kind = a.choice("act_type", "leaky", ("leaky", "prelu", "elu"))
    if kind == "prelu":
        return Result("prelu", {"shared": False}, (("gamma", "weight"),))
    slope = a.number("slope", 0.25)
    return Result("relu", {"slope": slope}) if kind == "leaky" else Result("elu", {"alpha": slope})


def _function(kind: str) -> Result:
    return Result(kind, {"slope": 0.0} if kind == "relu" else {})


def _dropout(a: Attributes) -> Result:
    a.choice("mode", "training", ("training",))
    a.choice("axes", "()", ("()", "[]", *_NONE))
    p = a.number("p", 0.5)
    if not 0 <= p < 1:
        raise ValueError(_("p is {p:g}; allowed is a number from 0 to below 1", p=p))
    return Result("dropout", {"p": p})


def _reshape(a: Attributes) -> Result:
    shape = a.text("shape", "()").replace(" ", "")
    if shape not in {"(0,-1)", "[0,-1]"} or a.flag("reverse", False):
        shown = _shown(a.text("shape", "()"))
        raise ValueError(_("shape is {value}; only (0, -1), which flattens, is read", value=shown))
    return Result("flatten")


def _concat(a: Attributes) -> Result:
    axis = a.whole("dim", 1, -3, 3)
    if axis == 0:
        raise ValueError(_("dim is 0, which joins the images of a batch"))
    return Result("concat", {"axis": axis})


def _eltwise(operation: str, *coefficients: float) -> Callable[[Attributes], Result]:
    settings: dict[str, Any] = {"operation": operation}
    if coefficients:
        settings["coefficients"] = [*coefficients]
    return lambda _a: Result("eltwise", settings)


def _scalar(scale: Callable[[float], float], shift: Callable[[float], float]) -> Callable[[Attributes], Result]:
    """Arithmetic with a number: scale * x + shift."""

    def convert(a: Attributes) -> Result:
        number = a.number("scalar", None)
        if a.flag("scalar_on_left", False):
            raise ValueError(_("scalar_on_left is True"))
        values = {"power": 1.0, "scale": float(scale(number)), "shift": float(shift(number))}
        if not math.isfinite(values["scale"]):
            raise ValueError(_("scalar is {number:g}, which cannot divide", number=number))
        return Result("power", values)

    return convert


def _batch_norm(a: Attributes) -> Result:
    a.choice("axis", "1", ("1",))
    a.choice("output_mean_var", "False", ("False", "false", "0"))
    eps, kept = a.number("eps", 1e-3), a.number("momentum", 0.9)
    if not (eps > 0 and 0 <= kept <= 1):
        raise ValueError(_("eps is {eps:g} and momentum is {momentum:g}", eps=eps, momentum=kept))
    # use_global_stats changes training only
    # torch's momentum is the share of the new statistics, MXNet's that of the old ones
    settings = {"eps": eps, "momentum": round(1 - kept, 12), "scale": True}
    return Result("batch_norm", settings, _BATCH_NORM, ("weight",) if a.flag("fix_gamma", True) else ())


def _softmax(a: Attributes) -> Result:
    a.choice("temperature", "None", (*_NONE, "1", "1.0"))
    if a.flag("use_length", False):
        raise ValueError(_("use_length is True"))
    axis = a.whole("axis", -1, -3, 3)
    if axis == 0:
        raise ValueError(_("axis is 0, that of the images of a batch"))
    return Result("softmax", {"axis": 1 if a.is_flat else axis})


def _softmax_activation(a: Attributes) -> Result:
    if a.choice("mode", "instance", ("instance", "channel")) == "instance" and not a.is_flat:
        raise ValueError(_("mode is 'instance', and its input may be images"))
    return Result("softmax", {"axis": 1})


@dataclass(frozen=True)
class Operator:
    """How an operator is read.

    Attributes:
        convert: from the attributes to what it becomes.
        inputs: number of its inputs without its parameters, or ANY.
        labels: number of further inputs that only training uses.
    """

    convert: Callable[[Attributes], Result]
    inputs: int = 1
    labels: int = 0


_SUM, _PRODUCT = Operator(_eltwise("sum"), 2), Operator(_eltwise("product"), 2)
_MAXIMUM, _DIFFERENCE = Operator(_eltwise("max"), 2), Operator(_eltwise("sum", 1.0, -1.0), 2)
_ADD = Operator(_scalar(lambda _n: 1, lambda n: n))
_SUBTRACT = Operator(_scalar(lambda _n: 1, lambda n: -n))
_SUBTRACT_FROM = Operator(_scalar(lambda _n: -1, lambda n: n))
_MULTIPLY = Operator(_scalar(lambda n: n, lambda _n: 0))
_DIVIDE = Operator(_scalar(lambda n: 1 / n if n else math.inf, lambda _n: 0))
_FLATTEN = Operator(lambda _a: Result("flatten"))
_SAME = Operator(lambda _a: Result(NOTHING))
_LOSS = Operator(lambda _a: Result(NOTHING), labels=1)
_JOIN = Operator(_concat, ANY)

OPERATORS: dict[str, Operator] = {  # by the names of all versions; MXNet 2 has those with _npx_ and _npi_
    **dict.fromkeys(("Convolution", "Convolution_v1", "_npx_convolution"), Operator(_convolution)),
    **dict.fromkeys(("Pooling", "_npx_pooling"), Operator(_pooling)),
    "Pooling_v1": Operator(_old_pooling),
    "LRN": Operator(_lrn),
    **dict.fromkeys(("FullyConnected", "_npx_fully_connected"), Operator(_fully_connected)),
    **dict.fromkeys(("Activation", "_npx_activation"), Operator(_activation)),
    **dict.fromkeys(("LeakyReLU", "_npx_leaky_relu"), Operator(_leaky_relu)),
    **dict.fromkeys(("relu", "_npx_relu"), Operator(lambda _a: _function("relu"))),
    **dict.fromkeys(("sigmoid", "_npx_sigmoid"), Operator(lambda _a: _function("sigmoid"))),
    **dict.fromkeys(("tanh", "_npi_tanh"), Operator(lambda _a: _function("tanh"))),
    **dict.fromkeys(("abs", "_npi_absolute"), Operator(lambda _a: _function("absolute"))),
    **dict.fromkeys(("Dropout", "_npx_dropout"), Operator(_dropout)),
    **dict.fromkeys(("Flatten", "flatten", "_npx_batch_flatten"), _FLATTEN),
    **dict.fromkeys(("Reshape", "reshape"), Operator(_reshape)),
    **dict.fromkeys(("Concat", "concat"), _JOIN),
    **dict.fromkeys(("elemwise_add", "_Plus", "_plus", "_add", "broadcast_add", "broadcast_plus", "_npi_add"), _SUM),
    **dict.fromkeys(("ElementWiseSum", "add_n"), Operator(_eltwise("sum"), ANY)),
    **dict.fromkeys(("elemwise_sub", "_Minus", "_minus", "_sub", "broadcast_sub", "_npi_subtract"), _DIFFERENCE),
    **dict.fromkeys(("elemwise_mul", "_Mul", "_mul", "broadcast_mul", "_npi_multiply"), _PRODUCT),
    **dict.fromkeys(("_Maximum", "_maximum", "broadcast_maximum", "_npi_maximum"), _MAXIMUM),
    **dict.fromkeys(("_PlusScalar", "_plus_scalar", "_npi_add_scalar"), _ADD),
    **dict.fromkeys(("_MinusScalar", "_minus_scalar", "_npi_subtract_scalar"), _SUBTRACT),
    **dict.fromkeys(("_RMinusScalar", "_rminus_scalar", "_npi_rsubtract_scalar"), _SUBTRACT_FROM),
    **dict.fromkeys(("_MulScalar", "_mul_scalar", "_npi_multiply_scalar"), _MULTIPLY),
    **dict.fromkeys(("_DivScalar", "_div_scalar", "_npi_true_divide_scalar"), _DIVIDE),
    **dict.fromkeys(("BatchNorm", "BatchNorm_v1", "CuDNNBatchNorm", "_npx_batch_norm"), Operator(_batch_norm)),
    **dict.fromkeys(("softmax", "_npx_softmax"), Operator(_softmax)),
    "SoftmaxActivation": Operator(_softmax_activation),
    **dict.fromkeys(("identity", "_copy", "BlockGrad", "stop_gradient", "_np_copy", "_npi_copy"), _SAME),
    **dict.fromkeys(("SoftmaxOutput", "Softmax", "LinearRegressionOutput", "MAERegressionOutput", "SVMOutput"), _LOSS),
    "LogisticRegressionOutput": Operator(lambda _a: _function("sigmoid"), labels=1),
}
