"""Shape errors: why an image does not fit a network, with the size calculation of every layer, and how to fix it.

Each kind of failure has a function that recognizes it and returns the reason and the fixes, the likeliest first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.conv import _ConvNd

from classicnets.errors import UsageError
from classicnets.inspection.arithmetic import (
    effective_kernel,
    format_inputs,
    format_product,
    format_size,
    format_size_path,
    output_size_formula,
    python_path,
)
from classicnets.inspection.layer_source import class_and_arguments, dense_source, is_from_torch, layer_source
from classicnets.inspection.meta import Shape, one_line, without_data
from classicnets.inspection.nearest_size import SEARCH_RADIUS, NearestFit, nearest_fit
from classicnets.inspection.shapes import Failure, Table, try_trace
from classicnets.inspection.source_lines import reshaping_call
from classicnets.text import _, clauses, command, plural
from classicnets.text import shape as shape_text

_USUAL_SIZES = (224, 28, 32)  # height and width for which networks are made: ImageNet, MNIST, CIFAR


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """The reason of a failure and the changes of the network that fix it, the likeliest first.

    Attributes:
        channels: the number of channels that the images should have, if that is the problem.
        try_sizes: whether another image size could help.
        size_ratio: how many times larger than the image the size must be to be likelier than a change of the network.
    """

    why: str
    fixes: tuple[str, ...] = ()
    where: str = ""
    channels: int | None = None
    try_sizes: bool = True
    size_ratio: float = math.inf


def command_line_sizes(shape: Shape) -> str:
    """How the command line is told that images have this shape."""
    return _(
        "train {option}, show {input_option}",
        option=command("--set", f"image_size={shape[-1]}"),
        input_option=command("--input", shape_text(shape)),
    )


def check_input(
    net: nn.Module,
    input_shape: Sequence[int],
    *,
    name: str = "",
    resize: Callable[[Shape], str] = command_line_sizes,
) -> Table:
    """Return the layer table of `net` for one image, or raise an error that explains why the image does not fit.

    The network is not changed, and no memory is allocated.

    Args:
        net: any module.
        input_shape: shape of one image, without the batch axis.
        name: how the error names the network; "" for "the network".
        resize: returns how the user gets images of a shape that fits.

    Raises:
        UsageError: CN201 with the first layer that fails, the size calculation up to there, the nearest size that fits
            and the change of the layer that would fix it.
    """
    outcome = try_trace(net, input_shape)
    if isinstance(outcome, Failure):
        raise _shape_error(outcome, name or _("the network"), resize)
    return outcome


def _shape_error(failure: Failure, name: str, resize: Callable[[Shape], str]) -> UsageError:
    shape = failure.input_shape
    what = _("{name} cannot take {inputs}", name=name, inputs=format_inputs(shape))
    if hint := _axes_hint(failure.net, shape):
        reason = _("a shape is channels, height and width, without the batch axis")
        return UsageError("CN201", what, why=reason, hint=hint)
    cases = (_mixed_batch, _fixed_batch, _dense_inputs, _channels, _too_small, _view)
    finding = next((match for case in cases if (match := case(failure))), None) or _unknown(failure)
    why = [*format_size_path(failure.rows), finding.why]
    fit = _fitting_size(failure, finding.channels) if finding.try_sizes else None
    if finding.try_sizes and fit is None and len(shape) == 3:
        radius = SEARCH_RADIUS[failure.device]
        why.append(_("no size within {radius} pixels fits either: change the network", radius=radius))
    hints = list(finding.fixes)
    if fit is not None:
        is_likelier = fit.shape[-1] in _USUAL_SIZES and fit.shape[-1] >= finding.size_ratio * min(shape[1:] or shape)
        hints.insert(0 if is_likelier else len(hints), _size_hint(failure, fit, resize))
    if not hints and re.search(r"object has no attribute '\w+'", failure.reason):
        layers = ", ".join(f"self.{name}" for name, _layer in failure.net.named_children())
        hints = [_("forward() may use what __init__ has defined: {layers}", layers=layers)]
    if not hints:
        hints = [_("change the layers of forward() before it, so that these shapes fit")]
    where = finding.where or f"{python_path(failure.row.name)} = {_layer_summary(failure)}"
    return UsageError("CN201", what, where=where, why="\n".join(why), hint=tuple(hints))


def _axes_hint(net: nn.Module, shape: Shape) -> str:
    """A hint if the shape fits without a batch axis or with a channel axis, else ""."""
    if len(shape) == 4 and isinstance(try_trace(net, shape[1:]), Table):
        return _("leave out the batch axis: {shape}", shape=shape_text(shape[1:]))
    if len(shape) == 2 and isinstance(try_trace(net, (1, *shape)), Table):
        return _("add the channel axis: 1x{size}; for a single image x of {size}, use x[None]", size=shape_text(shape))
    return ""


def _mixed_batch(failure: Failure) -> _Finding | None:
    if failure.results is None:
        return None
    if failure.results == 0:
        fix = _("end forward() with the outputs of the last layer: return x")
        return _Finding(
            where=_("the output of {layer}", layer=_layer_name(failure)),
            why=failure.reason,
            fixes=(fix,),
            try_sizes=False,
        )
    if call := reshaping_call(failure.net, failure.results):
        fix = _("in forward(), replace {call} by x.flatten(1), which keeps the batch axis", call=call)
    else:
        fix = _("in forward(), replace x.view(-1, N) or squeeze() by x = x.flatten(1), which keeps the batch axis")
    return _Finding(where=_("the output of {layer}", layer=_layer_name(failure)), why=failure.reason, fixes=(fix,))


def _fixed_batch(failure: Failure) -> _Finding | None:
    """view(64, -1): the rows that reach a dense layer are not the images of the batch."""
    layer, inputs = failure.layer, failure.row.inputs
    sizes = ""
    if view := re.search(r"shape '\[((\d+), [-\d, ]+)\]' is invalid for input of size (\d+)", failure.reason):
        sizes, rows, values = view[1], int(view[2]), int(view[3]) // failure.batch
        reader = _next_dense(failure)
    elif isinstance(layer, nn.Linear) and len(inputs) == 1 and inputs[0] != layer.in_features:
        rows = next((shape[0] for shape in failure.operands if len(shape) == 2 and shape[1] == inputs[0]), 0)
        values = rows * inputs[0] // failure.batch
        reader = (failure.row.name, layer)
    else:
        return None
    if rows in {0, failure.batch}:
        return None
    call = reshaping_call(failure.net, rows, sizes) or _("view or reshape")
    fix = _("in forward(), replace {call} by x.flatten(1)", call=call)
    if reader is not None and reader[1].in_features != values:
        change = dense_source(python_path(reader[0]), reader[1], values)
        fix = _("in forward(), replace {call} by x.flatten(1), and {change}", call=call, change=change)
    return _Finding(
        where=_("{operation} in forward()", operation=call),
        why=_(
            "it makes {rows} rows of {n}, but each image must keep one row, of its {values} numbers",
            rows=rows,
            n=plural("{n} image", "{n} images", failure.batch),
            values=values,
        ),
        fixes=(fix,),
        try_sizes=False,
    )


def _next_dense(failure: Failure) -> tuple[str, nn.Linear] | None:
    """The first dense layer that was not called before the failure."""
    called = {row.name for row in failure.rows if row.inputs}
    for name, layer in failure.net.named_modules():
        if isinstance(layer, nn.Linear) and name not in called:
            return name, layer
    return None


def _missing_padding(failure: Failure) -> str:
    """The convolution without padding with which the image would fit if it kept the size, as source; "" if none is."""
    for name, layer in failure.net.named_modules():
        if not (is_from_torch(layer) and isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d)):
            continue
        if layer.padding != (0,) * len(layer.kernel_size) or set(layer.stride) != {1}:
            continue
        padding = tuple(d * (k - 1) // 2 for k, d in zip(layer.kernel_size, layer.dilation, strict=True))
        if not any(padding):
            continue
        try:
            clone = without_data(failure.net)
        except UsageError:
            return ""
        clone.get_submodule(name).padding = padding  # type: ignore[assignment]
        if isinstance(try_trace(clone, failure.input_shape), Table):
            return layer_source(python_path(name), layer, padding=padding[0] if len(set(padding)) == 1 else padding)
    return ""


def _dense_inputs(failure: Failure) -> _Finding | None:
    layer, inputs, path = failure.layer, failure.row.inputs, python_path(failure.row.name)
    if not isinstance(layer, nn.Linear) or not inputs or inputs[-1] == layer.in_features:
        return None
    expected, values = layer.in_features, math.prod(inputs)
    change = dense_source(path, layer, values)
    if len(inputs) == 1:
        product = format_product(failure.rows, values)
        why = _("{path} gets {product} and has weights for {expected}", path=path, product=product, expected=expected)
        padding = _missing_padding(failure) if values < expected else ""
        return _Finding(why=why, fixes=tuple(filter(None, (padding, change))))
    product = shape_text(inputs, " x ")
    names = {"path": path, "product": product, "values": values}
    if values == expected:
        flatten = _("put nn.Flatten() before {path}: {product} = {values} numbers", **names)
    else:
        flatten = _(
            "put nn.Flatten() before {path}: {product} = {values} numbers, and {change}", change=change, **names
        )
    return _Finding(
        why=_(
            "{path} gets {product}, which is not flattened: its weights for {expected} inputs apply to the last axis"
            " only ({last})",
            path=path,
            product=product,
            expected=expected,
            last=inputs[-1],
        ),
        fixes=(
            flatten,
            _("in your own forward(): x = x.flatten(1)"),
        ),
        try_sizes=False,
    )


def _channels(failure: Failure) -> _Finding | None:
    layer, inputs, path = failure.layer, failure.row.inputs, python_path(failure.row.name)
    expected = getattr(layer, "in_channels", getattr(layer, "num_features", None))
    if not isinstance(expected, int) or not inputs or inputs[0] == expected:
        return None
    if isinstance(layer, _ConvNd) and len(inputs) != len(layer.kernel_size) + 1:
        return None
    return _Finding(
        why=plural(
            "{path} reads {n} channel and gets {actual}",
            "{path} reads {n:,} channels and gets {actual}",
            expected,
            path=path,
            actual=inputs[0],
        ),
        fixes=(_with_channels(path, layer, inputs[0]),),
        channels=expected,
        try_sizes=inputs == failure.input_shape,  # otherwise the channels come from another layer, not from the image
    )


def _too_small(failure: Failure) -> _Finding | None:
    row, path = failure.row, python_path(failure.row.name)
    formula, sizes = output_size_formula(row)
    if not formula or min(sizes) >= 1:
        return None
    reason = _(
        "{path}: the output is empty, because the window of {window} is larger than the padded input",
        path=path,
        window=shape_text(effective_kernel(row)),
    )
    return _Finding(
        why=f"{path} {format_size(row.inputs[1:])} -> {formula} = {format_size(sizes)}\n{reason}",
        fixes=tuple(dict.fromkeys(filter(None, (_missing_padding(failure), _with_smaller_window(path, failure))))),
        size_ratio=2.0,
    )


def _view(failure: Failure) -> _Finding | None:
    match = re.search(r"shape '\[([-\d, ]+)\]' is invalid for input of size (\d+)", failure.reason)
    if not match:
        return None
    view, values = f"view({match[1]})", int(match[2])
    expected = math.prod(n for n in map(int, match[1].split(",")[1:]) if n > 0)
    fix = _("in forward(): x = x.flatten(1)")
    for name, layer in failure.net.named_modules():
        if isinstance(layer, nn.Linear) and layer.in_features == expected:
            change = dense_source(python_path(name), layer, values)
            fix = _("in forward(): x = x.flatten(1), and {change}", change=change)
            break
    return _Finding(
        where=_("{operation} in forward() of {layer}", operation=view, layer=_layer_name(failure)),
        why=_(
            "{view} gets {product} and makes rows of {expected}",
            view=view,
            product=format_product(failure.rows, values),
            expected=expected,
        ),
        fixes=tuple(filter(None, (_missing_padding(failure) if values < expected else "", fix))),
    )


def _unknown(failure: Failure) -> _Finding:
    """The fallback: the layer, the shape of its input and torch's own message."""
    operation = failure.operation
    if operation in ("addmm", "mm", "bmm", "cat"):
        operation = "torch.cat" if operation == "cat" else _("a matrix product")
    custom = not type(failure.layer).__module__.startswith("torch.nn")
    path, shape = python_path(failure.row.name), shape_text(failure.row.inputs)
    if operation and failure.operands:
        why = _(
            "{path} gets {shape}; {operation} of {operands} (batch axis first) fails",
            path=path,
            shape=shape,
            operation=operation,
            operands=", ".join(map(shape_text, failure.operands)),
        )
    else:
        why = _("{path} gets {shape}", path=path, shape=shape)
    where = ""
    if custom:
        call = operation or _("a call")
        where = _("{operation} in forward() of {layer}", operation=call, layer=_layer_name(failure))
    return _Finding(where=where, why=f"{why}\n{_('torch says: {reason}', reason=failure.reason)}")


def _fitting_size(failure: Failure, channels: int | None) -> NearestFit | None:
    """The input that fits: of a range of sizes, the usual one, else the nearest."""
    shape = failure.input_shape
    target = (channels or shape[0], *shape[1:]) if len(shape) > 1 else shape
    fit = nearest_fit(failure.net, target, failure.device)
    if fit is None or isinstance(try_trace(failure.net, fit.shape), Failure):  # the search checks less than a trace
        return None
    usual = next((n for n in _USUAL_SIZES if fit.low <= n <= fit.high and not fit.open_ended), None)
    if len(shape) == 3 and usual and fit.shape[1:] != shape[1:]:
        usual_shape = (fit.shape[0], usual, usual)
        if isinstance(try_trace(failure.net, usual_shape), Table):
            return fit._replace(shape=usual_shape)
    return fit


def _size_hint(failure: Failure, fit: NearestFit, resize: Callable[[Shape], str]) -> str:
    shape = failure.input_shape
    hint = _("use {inputs}", inputs=format_inputs(fit.shape))
    if len(shape) != 3:
        return hint
    hints = [hint]
    if fit.shape[1:] != shape[1:]:
        hints[0] = _("{hint} ({resize})", hint=hint, resize=resize(fit.shape))
        if fit.low < fit.high and fit.open_ended:
            hints.append(_("sizes {low} to {high} fit, and larger ones may", low=fit.low, high=fit.high))
        elif fit.low < fit.high:
            hints.append(_("sizes {low} to {high} fit", low=fit.low, high=fit.high))
    if fit.shape[0] == 1 != shape[0]:
        hints.append(_("x.mean(1, keepdim=True) makes them grayscale"))
    if shape[0] == 1 != fit.shape[0]:
        expand = f"x.expand(-1, {fit.shape[0]}, -1, -1)"
        hints.append(_("{expand} repeats the grayscale channel", expand=expand))
    return clauses(hints)


def _layer_name(failure: Failure) -> str:
    return f"{python_path(failure.row.name)} ({failure.row.kind})"


def _layer_summary(failure: Failure) -> str:
    """The layer in one short line: Linear(400 -> 120), Conv2d(1 -> 6, 5x5)."""
    layer, row = failure.layer, failure.row
    if isinstance(layer, nn.Linear):
        return f"{row.kind}({layer.in_features} -> {layer.out_features})"
    if isinstance(layer, _ConvNd):
        return f"{row.kind}({layer.in_channels} -> {layer.out_channels}, {shape_text(layer.kernel_size)})"
    if row.kernel:
        window, stride = format_size(row.kernel), format_size(row.stride or row.kernel)
        return _("{kind}(window {window}, stride {stride})", kind=row.kind, window=window, stride=stride)
    return f"{row.kind}({getattr(layer, 'num_features', None) or one_line(layer.extra_repr())})"


def _with_channels(path: str, layer: nn.Module, channels: int) -> str:
    if not is_from_torch(layer):
        return plural(
            "build {path}, a {kind}, for {n} channel",
            "build {path}, a {kind}, for {n:,} channels",
            channels,
            path=path,
            kind=type(layer).__name__,
        )
    if not isinstance(layer, _ConvNd):
        return f"{path} = {class_and_arguments(layer)[0]}({channels})"
    return layer_source(path, layer, inputs=channels)


def _with_smaller_window(path: str, failure: Failure) -> str:
    """A convolution gets more padding, so that its weights keep their shape; a pool gets a window that fits."""
    if not is_from_torch(failure.layer):
        return _("give {path}, a {kind}, a smaller window", path=path, kind=type(failure.layer).__name__)
    kind, _arguments = class_and_arguments(failure.layer)
    row, sizes = failure.row, failure.row.inputs[1:]
    if isinstance(failure.layer, _ConvNd):
        padding = max(math.ceil((k - n) / 2) for n, k in zip(sizes, effective_kernel(row), strict=True))
        return layer_source(path, failure.layer, padding=padding)
    stride = row.stride[0] if row.stride and len(set(row.stride)) == 1 else row.stride
    return f"{path} = {kind}(kernel_size={min(sizes)}, stride={stride})"
