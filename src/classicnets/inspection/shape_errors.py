"""The shape doctor: why an image of this size does not fit, with the sum of every layer, and what to change.

Every way in which a pass goes wrong is a case: a function that knows it by the failure, and says why and what mends it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.conv import _ConvNd

from classicnets.errors import UsageError
from classicnets.inspection.arithmetic import images, path, place, product, side, span, window_sum
from classicnets.inspection.meta import Shape, one_line
from classicnets.inspection.nearest_size import REACH, nearest_fit
from classicnets.inspection.shapes import Failure, Table, attempt
from classicnets.text import count
from classicnets.text import shape as shape_text


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """What is wrong with a layer: where, the last lines of the sum, and the changes of the net that mend it.

    `channels` is what the images would need; `sizes` is whether another size of image could help.
    """

    why: str
    fixes: tuple[str, ...] = ()
    where: str = ""
    channels: int | None = None
    sizes: bool = True


def check_input(net: nn.Module, input_shape: Sequence[int], *, name: str = "the net") -> Table:
    """The layer table of `net` for one image of `input_shape`, which is without the batch axis.

    Where the image does not fit, raises UsageError CN201: the first layer that fails, the arithmetic that leads
    there, the nearest size that passes and the change of the layer. The net is not touched; nothing is allocated.
    """
    outcome = attempt(net, input_shape)
    if isinstance(outcome, Failure):
        raise _explained(outcome, name)
    return outcome


def _explained(failure: Failure, name: str) -> UsageError:
    shape = failure.input_shape
    what = f"{name} cannot take {images(shape)}"
    if hint := _axes_hint(failure.net, shape):
        return UsageError("CN201", what, why="a shape is channels, height and width, without the batch axis", hint=hint)
    cases = (_mixed_batch, _dense, _channels, _too_small, _view)
    finding = next((found for case in cases if (found := case(failure))), None) or _anything(failure)
    why = [*path(failure.rows), finding.why]
    size_hint = _size_hint(failure, finding.channels) if finding.sizes else ""
    if finding.sizes and not size_hint and len(shape) == 3:
        reach = REACH[failure.device]
        why.append(f"no size within {reach} pixels of this one passes either: the net itself has to change")
    hints = [hint for hint in (size_hint, *finding.fixes) if hint]
    if len(hints) < 2:
        hints.append(f"classicnets show FILE.py:net --input {shape_text(shape)} lists every shape up to that layer")
    where = finding.where or f"{place(failure.row.name)} = {_described(failure)}"
    return UsageError("CN201", what, where=where, why="\n".join(why), hint=tuple(hints))


def _axes_hint(net: nn.Module, shape: Shape) -> str:
    """A batch axis too many or a channel axis too few is the likelier mistake, where that would fit."""
    if len(shape) == 4 and isinstance(attempt(net, shape[1:]), Table):
        return f"leave out the batch axis: {shape_text(shape[1:])}"
    if len(shape) == 2 and isinstance(attempt(net, (1, *shape)), Table):
        size = shape_text(shape)
        return f"name the channel axis too: 1x{size}; a single image x of {size} becomes x[None]"
    return ""


def _mixed_batch(failure: Failure) -> _Finding | None:
    if failure.results is None:
        return None
    return _Finding(
        where=f"the output of {_owner(failure)}",
        why=failure.reason,
        fixes=(
            "in forward(): x = x.flatten(1), which keeps the batch axis, where there is x.view(-1, N) or squeeze()",
        ),
    )


def _dense(failure: Failure) -> _Finding | None:
    layer, inputs, at = failure.layer, failure.row.inputs, place(failure.row.name)
    if not isinstance(layer, nn.Linear) or not inputs or inputs[-1] == layer.in_features:
        return None
    wanted, numbers = layer.in_features, math.prod(inputs)
    change = f"{at} = nn.Linear({numbers}, {layer.out_features}{'' if layer.bias is not None else ', bias=False'})"
    if len(inputs) == 1:
        why = f"{at} gets {product(failure.rows, numbers)} and has weights for {wanted}"
        return _Finding(why=why, fixes=(change,))
    flatten = f"put nn.Flatten() before {at}: {shape_text(inputs, ' x ')} = {numbers} numbers"
    return _Finding(
        why=f"{at} gets {shape_text(inputs, ' x ')}, which is not flattened: "
        f"only the last axis ({inputs[-1]}) meets its weights for {wanted}",
        fixes=(
            flatten if numbers == wanted else f"{flatten}, and {change}",
            "in a forward() of your own: x = x.flatten(1)",
        ),
        sizes=False,
    )


def _channels(failure: Failure) -> _Finding | None:
    layer, inputs, at = failure.layer, failure.row.inputs, place(failure.row.name)
    wanted = getattr(layer, "in_channels", getattr(layer, "num_features", None))
    if not isinstance(wanted, int) or not inputs or inputs[0] == wanted:
        return None
    if isinstance(layer, _ConvNd) and len(inputs) != len(layer.kernel_size) + 1:
        return None
    return _Finding(
        why=f"{at} reads {count(wanted, 'channel')} and gets {inputs[0]}",
        fixes=(_with_channels(at, layer, inputs[0]),),
        channels=wanted,
        sizes=inputs == failure.input_shape,  # otherwise the channels come from another layer, not from the image
    )


def _too_small(failure: Failure) -> _Finding | None:
    row, at = failure.row, place(failure.row.name)
    text, sides = window_sum(row)
    if not text or min(sides) >= 1:
        return None
    return _Finding(
        why=f"{at} {side(row.inputs[1:])} -> {text} = {side(sides)}\n"
        f"{at}: nothing is left, as its window of {shape_text(span(row))} is larger than the padded side",
        fixes=(_with_smaller_window(at, failure),),
    )


def _view(failure: Failure) -> _Finding | None:
    match = re.search(r"shape '\[([-\d, ]+)\]' is invalid for input of size (\d+)", failure.reason)
    if not match:
        return None
    numbers = int(match[2])
    wanted = math.prod(n for n in map(int, match[1].split(",")[1:]) if n > 0)
    fix = "in forward(): x = x.flatten(1)"
    for name, layer in failure.net.named_modules():
        if isinstance(layer, nn.Linear) and layer.in_features == wanted:
            fix += f", and {place(name)} = nn.Linear({numbers}, {layer.out_features})"
            break
    return _Finding(
        where=f"view({match[1]}) in forward() of {_owner(failure)}",
        why=f"view({match[1]}) gets {product(failure.rows, numbers)} and makes rows of {wanted}",
        fixes=(fix,),
    )


def _anything(failure: Failure) -> _Finding:
    """A last resort that still names the layer, what it was given, and torch's words."""
    operation = failure.operation
    if operation in ("addmm", "mm", "bmm", "cat"):
        operation = "torch.cat" if operation == "cat" else "a matrix product"
    own_code = not type(failure.layer).__module__.startswith("torch.nn")
    why = f"{place(failure.row.name)} gets {shape_text(failure.row.inputs)}"
    if operation and failure.operands:
        why += f"; {operation} of {', '.join(map(shape_text, failure.operands))} (batch axis first) fails"
    return _Finding(
        where=f"{operation or 'a call'} in forward() of {_owner(failure)}" if own_code else "",
        why=f"{why}\ntorch says: {failure.reason}",
    )


def _size_hint(failure: Failure, channels: int | None) -> str:
    shape = failure.input_shape
    found = nearest_fit(failure.net, (channels or shape[0], *shape[1:]) if len(shape) > 1 else shape, failure.device)
    if found is None or isinstance(attempt(failure.net, found[0]), Failure):  # the quick question sees less
        return ""
    fitting, low, high, open_ended = found
    text = f"give it {images(fitting)}"
    if len(shape) != 3:
        return text
    if fitting[1:] != shape[1:]:
        text += f" (on the command line: --set image_size={fitting[-1]})"
        if low < high:
            text += f"; sizes {low} to {high} fit{', and larger ones may' if open_ended else ''}"
    if fitting[0] == 1 != shape[0]:
        text += "; x.mean(1, keepdim=True) makes them gray"
    if shape[0] == 1 != fitting[0]:
        text += f"; x.expand(-1, {fitting[0]}, -1, -1) repeats the gray one"
    return text


def _owner(failure: Failure) -> str:
    return f"{place(failure.row.name)} ({failure.row.kind})"


def _described(failure: Failure) -> str:
    """The layer in one short line: Linear(400 -> 120), Conv2d(1 -> 6, 5x5)."""
    layer, row = failure.layer, failure.row
    if isinstance(layer, nn.Linear):
        return f"{row.kind}({layer.in_features} -> {layer.out_features})"
    if isinstance(layer, _ConvNd):
        return f"{row.kind}({layer.in_channels} -> {layer.out_channels}, {shape_text(layer.kernel_size)})"
    if row.kernel:
        return f"{row.kind}(window {side(row.kernel)}, stride {side(row.stride or row.kernel)})"
    return f"{row.kind}({getattr(layer, 'num_features', None) or one_line(layer.extra_repr())})"


def _written(layer: nn.Module) -> tuple[str, str]:
    """A layer of torch's as it is written in Python: its class, and its arguments with (5, 5) as 5."""
    return f"nn.{type(layer).__name__}", re.sub(r"\((\d+)(?:, \1)+\)", r"\1", one_line(layer.extra_repr()))


def _is_torch_s_own(layer: nn.Module) -> bool:
    return getattr(nn, type(layer).__name__, None) is type(layer)


def _with_channels(at: str, layer: nn.Module, channels: int) -> str:
    if not _is_torch_s_own(layer):
        return f"make {at}, a {type(layer).__name__}, for {count(channels, 'channel')}"
    kind, arguments = _written(layer)
    if not isinstance(layer, _ConvNd):
        return f"{at} = {kind}({channels})"
    if channels % layer.groups:
        arguments = re.sub(r", groups=\d+", "", arguments)
    return f"{at} = {kind}({re.sub(r'^[0-9]+', str(channels), arguments)})"


def _with_smaller_window(at: str, failure: Failure) -> str:
    """A convolution gets more padding, so that its weights stay; a pool gets a window of what is there."""
    if not _is_torch_s_own(failure.layer):
        return f"give {at}, a {type(failure.layer).__name__}, a smaller window"
    kind, arguments = _written(failure.layer)
    row, sides = failure.row, failure.row.inputs[1:]
    if isinstance(failure.layer, _ConvNd):
        padding = max(math.ceil((k - n) / 2) for n, k in zip(sides, span(row), strict=True))
        arguments = re.sub(r", padding=(\d+|\([^)]*\))", "", arguments)
        return f"{at} = {kind}({arguments}, padding={padding})"
    stride = row.stride[0] if row.stride and len(set(row.stride)) == 1 else row.stride
    return f"{at} = {kind}(kernel_size={min(sides)}, stride={stride})"
