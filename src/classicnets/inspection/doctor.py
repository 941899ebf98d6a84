"""The shape doctor: why a picture of this size does not fit, with the sum of every layer, and what to change.

A layer with a window turns a side of n pixels into floor((n + 2*padding - kernel) / stride) + 1; a dense layer takes as
many numbers as it has weights per unit. The doctor finds the first layer where that does not work out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from classicnets.errors import UsageError
from classicnets.inspection.shapes import (
    Row,
    Shape,
    ShapeError,
    Table,
    checked_shape,
    geometry,
    one_line,
    times,
    trace,
    trial,
)

_REACH = {"meta": 256, "cpu": 16}  # how far from the given side other sides are tried; about a second at most
_RANGE = 64  # how far the run of sides that fit is followed
_LINES = 8  # of arithmetic


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """What is wrong with a layer: where, the last lines of the sum, and the changes of the net that mend it.

    `channels` is what the pictures would need; `sizes` is whether another size of picture could help.
    """

    why: str
    fixes: tuple[str, ...]
    where: str = ""
    channels: int | None = None
    sizes: bool = True


def check_input(net: nn.Module, input_shape: Sequence[int], *, name: str = "the net") -> Table:
    """The layer table of `net` for one picture of `input_shape`, which is without the batch axis.

    Where the picture does not fit, raises UsageError CN201: the first layer that fails, the arithmetic that leads
    there, the nearest size that passes and the change of the layer. The net is not touched; nothing is allocated.
    """
    try:
        return trace(net, input_shape)
    except ShapeError as failure:
        raise _explained(net, failure, name) from failure


def guard(net: nn.Module, input_shape: Sequence[int], *, name: str = "the net") -> nn.Module:
    """Make `net` refuse (CN201) every input that is not a batch of exactly `input_shape`, and return it.

    Many nets run on a size they were not made for: global pooling and dropped borders hide it. A second call replaces
    the first. The hook travels with copies and pickles of the net and leaves its parameters alone.
    """
    shape = checked_shape(input_shape)
    for key, hook in list(net._forward_pre_hooks.items()):
        if isinstance(hook, partial) and hook.func is _refuse_other:
            del net._forward_pre_hooks[key]
    net.register_forward_pre_hook(partial(_refuse_other, shape=shape, name=name), with_kwargs=True)
    return net


def arithmetic(row: Row) -> str:
    """How a layer with a window comes to its output side: `conv1 32 -> floor((32 + 2*2 - 5) / 1) + 1 = 32`."""
    before, after = row.inputs[1:], row.outputs[1:]
    text, sides = _window_sum(row)
    if not text or sides != after:
        return f"{place(row.name)} {_side(before)} -> {_side(after)}"
    return f"{place(row.name)} {_side(before)} -> {text} = {_side(after)}"


def place(name: str) -> str:
    """The path of a layer as Python spells it: "fc1", "net[0]", "net.features[3]"."""
    if name.isidentifier():
        return name
    return "net" + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split(".") if part)


# ------------------------------------------------------------------------------------------------------ the diagnosis


def _explained(net: nn.Module, failure: ShapeError, name: str) -> UsageError:
    shape = failure.input_shape
    what = f"{name} cannot take {_pictures(shape)}"
    if hint := _axes_hint(net, shape):
        return UsageError("CN201", what, why="a shape is channels, height and width, without the batch axis", hint=hint)
    finding = next(found for case in _CASES if (found := case(net, failure)))
    where = finding.where or f"{place(failure.name)} = {_describe(failure.layer)}"
    why = [*_path(failure.rows), finding.why]
    size_hint = _size_hint(net, failure, finding) if finding.sizes else ""
    if finding.sizes and not size_hint and len(shape) == 3:
        reach = _REACH[failure.device]
        why.append(f"no size within {reach} pixels of this one passes either: the net itself has to change")
    hints = [size_hint, *finding.fixes]
    if len([hint for hint in hints if hint]) < 2:
        hints.append(f"classicnets show FILE.py:net --input {times(shape)} lists every shape up to that layer")
    return UsageError("CN201", what, where=where, why="\n".join(why), hint=tuple(hint for hint in hints if hint))


def _axes_hint(net: nn.Module, shape: Shape) -> str:
    """A batch axis too many or a channel axis too few is the likelier mistake, where that would fit."""
    if len(shape) == 4 and _passes(net, shape[1:]):
        return f"leave out the batch axis: {times(shape[1:])}"
    if len(shape) == 2 and _passes(net, (1, *shape)):
        return f"name the channel axis too: 1x{times(shape)}; a single picture x of {times(shape)} becomes x[None]"
    return ""


def _dense(_net: nn.Module, failure: ShapeError) -> _Finding | None:
    layer, inputs = failure.layer, failure.inputs
    if not isinstance(layer, nn.Linear) or not inputs or inputs[-1] == layer.in_features:
        return None
    at, wanted, numbers = place(failure.name), layer.in_features, math.prod(inputs)
    change = f"{at} = nn.Linear({numbers}, {layer.out_features}{'' if layer.bias is not None else ', bias=False'})"
    if len(inputs) == 1:
        return _Finding(
            why=f"{at} gets {_product(failure.rows, numbers)} and has weights for {wanted}", fixes=(change,)
        )
    flatten = f"put nn.Flatten() before {at}: {times(inputs, ' x ')} = {numbers} numbers"
    return _Finding(
        why=f"{at} gets {times(inputs, ' x ')}, which is not flattened: "
        f"only the last axis ({inputs[-1]}) meets its weights for {wanted}",
        fixes=(
            flatten if numbers == wanted else f"{flatten}, and {change}",
            "in a forward() of your own: x = x.flatten(1)",
        ),
        sizes=False,
    )


def _channels(_net: nn.Module, failure: ShapeError) -> _Finding | None:
    layer, inputs = failure.layer, failure.inputs
    wanted = next((n for key in _CHANNELS if isinstance(n := getattr(layer, key, None), int)), None)
    if layer is None or wanted is None or not inputs or inputs[0] == wanted:
        return None
    if isinstance(layer, _ConvNd) and len(inputs) != len(layer.kernel_size) + 1:
        return None
    at, gets = place(failure.name), inputs[0]
    return _Finding(
        why=f"{at} reads {_count(wanted, 'channel')} and gets {gets}",
        fixes=(f"{at} = {_with_channels(layer, gets)}",),
        channels=wanted,
        sizes=inputs == failure.input_shape,  # otherwise the channels come from another layer, not from the picture
    )


def _too_small(_net: nn.Module, failure: ShapeError) -> _Finding | None:
    layer, inputs = failure.layer, failure.inputs
    if layer is None or len(inputs) < 2 or isinstance(layer, _ConvTransposeNd):
        return None
    row = Row(
        name=failure.name, kind=type(layer).__name__, inputs=inputs, outputs=(), **geometry(layer, len(inputs) - 1)
    )
    text, sides = _window_sum(row)
    if not text or min(sides) >= 1 or row.kernel is None or not isinstance(row.padding, tuple):
        return None
    at = place(failure.name)
    return _Finding(
        why=f"{at} {_side(inputs[1:])} -> {text} = {_side(sides)}\n"
        f"{at}: nothing is left, as its window of {times(_span(row))} is larger than the padded side",
        fixes=(f"{at} = {_with_smaller_window(layer, row)}",),
    )


def _view(net: nn.Module, failure: ShapeError) -> _Finding | None:
    match = re.search(r"shape '\[([-\d, ]+)\]' is invalid for input of size (\d+)", failure.reason)
    if not match:
        return None
    sizes, numbers = [int(n) for n in match[1].split(",")], int(match[2])
    wanted = math.prod(n for n in sizes[1:] if n > 0)
    dense = next((n for n, m in net.named_modules() if isinstance(m, nn.Linear) and m.in_features == wanted), None)
    fix = "in forward(): x = x.flatten(1)"
    if dense is not None:
        layer = net.get_submodule(dense)
        fix += f", and {place(dense)} = nn.Linear({numbers}, {layer.out_features})"
    return _Finding(
        where=f"view({match[1]}) in forward() of {_owner(failure)}",
        why=f"view({match[1]}) gets {_product(failure.rows, numbers)} and makes rows of {wanted}",
        fixes=(fix,),
    )


def _mixed_batch(_net: nn.Module, failure: ShapeError) -> _Finding | None:
    if failure.results is None:
        return None
    return _Finding(
        where=f"the output of {_owner(failure)}",
        why=failure.reason,
        fixes=(
            "in forward(): x = x.flatten(1), which keeps the batch axis, where there is x.view(-1, N) or squeeze()",
        ),
    )


def _anything(_net: nn.Module, failure: ShapeError) -> _Finding:
    """A last resort that still names the layer, what it was given, and torch's words."""
    operands = ", ".join(times(shape) for shape in failure.operands)
    operation = _OPERATIONS.get(failure.operation, failure.operation)
    inside = not type(failure.layer).__module__.startswith("torch.nn")
    where = f"{operation or 'a call'} in forward() of {_owner(failure)}" if inside else ""
    gets = f"{place(failure.name)} gets {times(failure.inputs)}"
    if operation and operands:
        gets += f"; {operation} of {operands} (batch axis first) fails"
    return _Finding(where=where, why=f"{gets}\ntorch says: {failure.reason}", fixes=())


_CASES: tuple[Callable[[nn.Module, ShapeError], _Finding | None], ...] = (
    _mixed_batch,
    _dense,
    _channels,
    _too_small,
    _view,
    _anything,
)
_CHANNELS = ("in_channels", "num_features", "num_channels")
_OPERATIONS = {"addmm": "a matrix product", "mm": "a matrix product", "bmm": "a matrix product", "cat": "torch.cat"}


# ---------------------------------------------------------------------------------------------------------- the sums


def _path(rows: tuple[Row, ...]) -> list[str]:
    """The layers that make maps smaller or larger, a line each; in a long net only those that change the side."""
    maps = [row for row in rows if len(row.inputs) == len(row.outputs) >= 2 and (row.kernel or _resizes(row))]
    if len(maps) > _LINES:
        maps = [row for row in maps if _resizes(row)]
    lines = [arithmetic(row) for row in maps]
    return lines if len(lines) <= _LINES else ["...", *lines[-_LINES:]]


def _resizes(row: Row) -> bool:
    return len(row.inputs) == len(row.outputs) >= 2 and row.inputs[1:] != row.outputs[1:]


def _window_sum(row: Row) -> tuple[str, Shape]:
    """The formula with its numbers and what it gives for each side; no text where the formula is another one."""
    before = row.inputs[1:]
    if row.kernel is None or row.stride is None or not isinstance(row.padding, tuple) or "Transpose" in row.kind:
        return "", ()
    span = _span(row)
    if not len(before) == len(span) == len(row.stride) == len(row.padding):
        return "", ()
    window = f"- {_side(row.kernel)}"
    if row.dilation and max(row.dilation) > 1:
        window = f"- {_side(row.dilation)}*({_side(row.kernel)} - 1) - 1"
    steps_text = f"({_side(before)} + 2*{_side(row.padding)} {window}) / {_side(row.stride)}"
    text = f"{'ceil' if row.ceil else 'floor'}({steps_text}) + 1"
    sides, dropped = [], False
    for n, k, s, p in zip(before, span, row.stride, row.padding, strict=True):
        steps = -((k - n - 2 * p) // s) if row.ceil else (n + 2 * p - k) // s
        outside = row.ceil and steps * s >= n + p
        dropped = dropped or outside
        sides.append(steps + 1 - outside)
    return text + (" - 1 (the last window would start in the padding)" if dropped else ""), tuple(sides)


def _span(row: Row) -> Shape:
    """What a window covers, holes of a dilated one included."""
    kernel = row.kernel or ()
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, row.dilation or (1,) * len(kernel), strict=True))


def _side(sides: Sequence[int]) -> str:
    return str(sides[0]) if len(set(sides)) == 1 else times(sides)


def _product(rows: tuple[Row, ...], numbers: int) -> str:
    """16 x 6 x 6 = 576 numbers, where a map of that size went by."""
    maps = [row.outputs for row in rows if len(row.outputs) > 1 and math.prod(row.outputs) == numbers]
    return f"{times(maps[-1], ' x ')} = {numbers} numbers" if maps else _count(numbers, "number")


# --------------------------------------------------------------------------------------------------------- the fixes


def _size_hint(net: nn.Module, failure: ShapeError, finding: _Finding) -> str:
    shape = failure.input_shape
    wanted = (finding.channels or shape[0], *shape[1:]) if len(shape) > 1 else shape
    found = nearest_fit(net, wanted, failure.device)
    if found is None:
        return ""
    fitting, low, high, open_ended = found
    text = f"give it {_pictures(fitting)}"
    if len(shape) == 3 and fitting[1:] != shape[1:]:
        text += f" (on the command line: --set image_size={fitting[-1]})"
        if low < high:
            text += f"; sizes {low} to {high} fit{', and larger ones may' if open_ended else ''}"
    if len(shape) == 3 and fitting[0] != shape[0]:
        grey = "x.mean(1, keepdim=True) makes them grey" if fitting[0] == 1 else ""
        repeat = f"x.expand(-1, {fitting[0]}, -1, -1) repeats the grey one" if shape[0] == 1 else ""
        text += f"; {grey or repeat}" if grey or repeat else ""
    return text


def nearest_fit(net: nn.Module, shape: Shape, device: str = "meta") -> tuple[Shape, int, int, bool] | None:
    """The nearest square picture that passes, tried outwards, and the run of sides around it that pass too.

    The last value is whether the run was still going on where the search ended. None where nothing near passes.
    """
    if not 1 <= len(shape) <= 3:
        return None
    given, reach = min(shape[1:] or shape), _REACH[device]

    def of_side(n: int) -> Shape:
        return (n,) if len(shape) == 1 else (shape[0], *(n for _ in shape[1:]))

    for batch in (2, 1):  # two suit a net that squeezes, one a net that is written for one picture
        passes = trial(net, device, batch)
        if passes(shape):
            return (shape, given, given, False) if _passes(net, shape) else None
        tried = (n for distance in range(reach + 1) for n in (given - distance, given + distance) if n >= 1)
        side = next((n for n in tried if passes(of_side(n))), None)
        if side is not None and _passes(net, of_side(side)):
            low = high = side
            while low > max(1, side - _RANGE) and passes(of_side(low - 1)):
                low -= 1
            while high < side + _RANGE and passes(of_side(high + 1)):
                high += 1
            return of_side(side), low, high, high == side + _RANGE
    return None


def _passes(net: nn.Module, shape: Shape) -> bool:
    try:
        trace(net, shape)
    except UsageError:
        return False
    return True


def _describe(layer: nn.Module | None) -> str:
    """A layer in one short line: Linear(400 -> 120), Conv2d(1 -> 6, 5x5)."""
    kind = type(layer).__name__
    if isinstance(layer, nn.Linear):
        return f"{kind}({layer.in_features} -> {layer.out_features})"
    if isinstance(layer, _ConvNd):
        return f"{kind}({layer.in_channels} -> {layer.out_channels}, {times(layer.kernel_size)})"
    if layer is None:
        return kind
    features = getattr(layer, "num_features", None)
    text = one_line(layer.extra_repr()) if features is None else str(features)
    if isinstance(kernel := getattr(layer, "kernel_size", None), int | tuple):
        stride = getattr(layer, "stride", None) or kernel
        text = f"window {_plainly(kernel)}, stride {_plainly(stride)}"
    return f"{kind}({text if len(text) <= 60 else text[:57] + '...'})"


def _owner(failure: ShapeError) -> str:
    return f"{place(failure.name)} ({type(failure.layer).__name__})"


def _written(layer: nn.Module) -> tuple[str, str]:
    """A layer as it is written in Python: its class, and its arguments with (5, 5) as 5."""
    kind = type(layer).__name__
    torch_own = getattr(nn, kind, None) is type(layer)
    return f"nn.{kind}" if torch_own else kind, re.sub(r"\((\d+)(?:, \1)+\)", r"\1", one_line(layer.extra_repr()))


def _with_channels(layer: nn.Module, channels: int) -> str:
    kind, arguments = _written(layer)
    if isinstance(layer, _ConvNd):
        if channels % layer.groups:
            arguments = re.sub(r", groups=\d+", "", arguments)
        return f"{kind}({re.sub(r'^[0-9]+', str(channels), arguments)})"
    return f"{kind}({getattr(layer, 'num_groups', '')}{', ' if hasattr(layer, 'num_groups') else ''}{channels})"


def _with_smaller_window(layer: nn.Module, row: Row) -> str:
    """A convolution gets more padding, so that its weights stay; a pool gets a window of what is there."""
    kind, arguments = _written(layer)
    sides, padding = row.inputs[1:], row.padding if isinstance(row.padding, tuple) else ()
    if isinstance(layer, _ConvNd):
        enough = max(max(p, math.ceil((k - n) / 2)) for n, k, p in zip(sides, _span(row), padding, strict=True))
        arguments = re.sub(r", padding=(\d+|\([^)]*\))", "", arguments)
        return f"{kind}({arguments}, padding={enough})"
    window = min(sides)
    return f"{kind}(kernel_size={window}, stride={_as_written(row.stride)})"


def _as_written(values: Shape | None) -> str:
    return str(values[0]) if values and len(set(values)) == 1 else str(values)


def _plainly(value: int | Shape) -> str:
    return str(value) if isinstance(value, int) else _side(value)


def _pictures(shape: Shape) -> str:
    return f"{times(shape)} pictures" if len(shape) == 3 else f"inputs of shape {times(shape)}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


# --------------------------------------------------------------------------------------------------------- the guard


def _refuse_other(net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *, shape: Shape, name: str) -> None:
    """The hook of `guard`; a function of this module, so that copies and pickles of the net find it."""
    for x in (*args, *kwargs.values()):
        if tuple(x.shape[1:]) != shape:
            raise torch.compiler.disable(_refusal)(net, tuple(x.shape), shape, name)  # no use compiling the doctor
        return


def _refusal(net: nn.Module, given: Shape, shape: Shape, name: str) -> UsageError:
    size = times(shape)
    if given == shape:
        what = f"{name} takes batches and got one {size} picture without a batch axis"
        why = f"the first axis counts the pictures: a batch of one is 1x{size}"
        return UsageError("CN201", what, why=why, hint="net(x[None])")
    if len(given) != len(shape) + 1:
        what = f"{name} was built for batches of {_pictures(shape)} and got an input of shape {times(given)}"
        return UsageError("CN201", what, why="the number of axes differs", hint=f"x.reshape(-1, {str(shape)[1:-1]})")
    got = given[1:]
    where, why = "", "it would run, but the net was built for one size, and nothing is resized silently"
    hints: tuple[str, ...] = (f"give it a batch of shape Nx{size}",)
    try:
        check_input(net, got, name=name)
    except UsageError as error:
        where, why = error.where, error.why
        if got[0] != shape[0]:
            hints = error.hints
    if len(shape) == 3 and got[0] == shape[0]:
        hints = (f"torch.nn.functional.interpolate(x, size={shape[1:]}) makes them {size}",)
        if got[1] == got[2]:
            hints += (f'classicnets.create("{name}", image_size={got[1]}) builds it for {times(got)}',)
    what = f"{name} was built for {_pictures(shape)} and got {times(got)}"
    return UsageError("CN201", what, where=where, why=why, hint=hints)
