"""The layer table of any module: shapes, parameters, multiply-accumulates, units and bytes, computed without data.

A copy of the module on the meta device is called once and observed. The module itself is neither called nor changed,
and its weights are not copied.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from classicnets.errors import ClassicnetsError, UsageError
from classicnets.inspection.meta import Shape, batch_length, one_line
from classicnets.inspection.observer import Call, Observer, declares_macs, is_layer, layers, own_parameters
from classicnets.models.graph_layers import ChannelScale
from classicnets.models.modules import unwrap
from classicnets.text import _, clauses
from classicnets.text import shape as shape_text

# Their outputs are not units: they only transform the outputs of the layer before them.
_NOT_UNITS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.PReLU, ChannelScale)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One call of one layer; shapes are without the batch axis, all counts are for one image.

    Attributes:
        name: path inside the network ("" for the network itself).
        weights, biases: parameters, counted in the first row that uses them.
        units: outputs of a layer with weights (normalization has none).
        macs: multiply-accumulates, with taps on padding and without bias additions.
        activation_bytes: new memory for the output; 0 if the output uses the memory of the input.
        detail: `extra_repr()` of a layer that is not from torch, such as the constants of a normalization.

    A layer that holds parameters but is not called has empty shapes.
    """

    name: str
    kind: str
    inputs: Shape
    outputs: Shape
    kernel: Shape | None = None
    stride: Shape | None = None
    padding: Shape | str | None = None
    dilation: Shape | None = None
    groups: int | None = None
    ceil: bool = False
    weights: int = 0
    biases: int = 0
    trainable: int = 0
    units: int = 0
    macs: int = 0
    weight_bytes: int = 0
    activation_bytes: int = 0
    detail: str = ""

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.weights + self.biases


class _Total:
    """The sum of a column over all rows."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.column = name

    def __get__(self, table: Table, owner: type) -> int:
        return sum(getattr(row, self.column) for row in table.rows)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The layers of a network in call order, and the totals.

    `unlisted` counts the operations of forward() outside any layer, such as {"relu": 2}, without views. `note` warns
    that the pass could not use the meta device, or that a layer enlarges its input.
    """

    input_shape: Shape
    output_shape: Shape
    rows: tuple[Row, ...]
    unlisted: dict[str, int] = field(default_factory=dict)
    note: str = ""

    weights = _Total()  # parameters that are not biases
    biases = _Total()  # parameters with "bias" in their name
    parameters = _Total()  # tied parameters count once
    trainable = _Total()  # parameters that require a gradient
    units = _Total()
    macs = _Total()
    weight_bytes = _Total()  # in their current dtype
    activation_bytes = _Total()  # of the layers' outputs, without tensors that forward() creates outside any layer

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: rows, totals and notes."""
        rows = [{**asdict(row), "parameters": row.parameters} for row in self.rows]
        totals = {name: getattr(self, name) for name, column in vars(Table).items() if isinstance(column, _Total)}
        return {**asdict(self), "rows": rows, "totals": totals}


class Failure:
    """Where and why a forward pass failed, for `shape_errors` to explain.

    Attributes:
        layer, row: the innermost module that was running, and its incomplete row.
        operation, operands: the torch operation that failed and the shapes of its inputs, if known.
        rows: the layers that finished.
        batch: the number of images in the pass.
        results: the number of results for one image, if the pass ended with the wrong number.
    """

    def __init__(self, net: nn.Module, observer: Observer, reason: str, results: int | None = None) -> None:
        call = observer.stack[-1] if observer.stack else Call("", observer.net, observer.shape)
        self.net, self.input_shape, self.device = net, observer.shape, observer.device
        self.reason, self.results = reason, results
        self.layer, self.row, self.rows = call.module, _row_without_counts(call), tuple(_rows(observer))
        self.operation, self.operands, self.batch = observer.operation, observer.operands, observer.batch


def trace(net: nn.Module, input_shape: Sequence[int]) -> Table:
    """Run a copy of `net` on one image without data and return its layer table.

    MACs follow torch's formulas (`torch.utils.flop_counter`). For operations without a formula, a module may define a
    method `macs(output_shape) -> int` (shape without batch axis); it then counts as one layer, whatever it contains.
    User hooks do not run. A network that needs data (it reads a value or calls NumPy) runs on a CPU image of zeros
    instead, and `Table.note` says so.

    Args:
        net: any module.
        input_shape: shape of one image, without the batch axis.

    Raises:
        UsageError: CN201 if the network cannot take this shape (`shape_errors.check_input` explains why), CN205 if it
            cannot be copied.
    """
    outcome = try_trace(net, input_shape)
    if isinstance(outcome, Table):
        return outcome
    raise UsageError(
        "CN201",
        _("the network cannot take inputs of shape {shape}", shape=shape_text(outcome.input_shape)),
        where=_(
            "{layer} ({kind}), with inputs of shape {shape}",
            layer=outcome.row.name or _("the network"),
            kind=outcome.row.kind,
            shape=shape_text(outcome.row.inputs),
        ),
        why=outcome.reason,
        hint=_("classicnets show FILE.py:net --input CxHxW shows how each shape is calculated"),
    )


def try_trace(net: nn.Module, input_shape: Sequence[int]) -> Table | Failure:
    """Like `trace`, but return a failure instead of raising it."""
    shape = validate_shape(input_shape)
    net = unwrap(net)
    outcome = _run(net, shape, "meta")
    if isinstance(outcome, Failure) and "meta" in outcome.reason.lower():
        note = _(
            "the shapes come from an image of zeros on the CPU, because the network cannot run without data: {reason}",
            reason=outcome.reason,
        )
        return _run(net, shape, "cpu", note)
    return outcome


def validate_shape(input_shape: Sequence[int]) -> Shape:
    """Return the shape as a tuple. Raises UsageError CN201 unless all sizes are positive integers."""
    shape = tuple(input_shape)
    if not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise UsageError(
            "CN201",
            _("{shape} is not the shape of an image", shape=input_shape),
            why=_("a shape is channels, height and width, each at least 1, without the batch axis"),
            hint="(1, 28, 28)",
        )
    return shape


def _run(net: nn.Module, shape: Shape, device: str, *notes: str) -> Table | Failure:
    """Run one image, which gives exact counts; if this fails, two, since a batch axis of one may be squeezed away."""
    outcome = _run_batch(1, net, shape, device, notes)
    if isinstance(outcome, Failure) and isinstance(second := _run_batch(2, net, shape, device, notes), Table):
        return second
    return outcome


def _run_batch(batch: int, net: nn.Module, shape: Shape, device: str, notes: tuple[str, ...]) -> Table | Failure:
    observer = Observer(net, shape, batch, device)  # with a new copy, since the pass initializes lazy layers
    try:
        outputs = observer.run()
    except ClassicnetsError:  # ours, such as that of a file that is not trusted
        raise
    except Exception as error:
        return Failure(net, observer, one_line(error))
    if (result_count := batch_length(outputs)) != batch:
        return Failure(net, observer, _batch_error(len(outputs), result_count), result_count)
    rows = tuple(_rows(observer))
    unlisted = sum((call.operations for call in observer.calls if not is_layer(call.module)), Counter[str]())
    return Table(
        rows=rows,
        input_shape=shape,
        output_shape=tuple(outputs[0].shape[1:]),
        unlisted=dict(unlisted),
        note=clauses([*notes, *_enlarging_layers(rows)]),
    )


def _batch_error(tensor_count: int, result_count: int) -> str:
    if not tensor_count:
        return _("forward() returns no tensor")
    if result_count == 0:
        return _("forward() returns a single number without a batch axis for one image")
    return _("forward() returns {results} results for one image: it mixes the images of a batch", results=result_count)


def _enlarging_layers(rows: tuple[Row, ...]) -> Iterator[str]:
    """Adaptive pooling accepts any size and may hide that the image is too small."""
    for row in rows:
        before, after = row.inputs[1:], row.outputs[1:]
        if row.kind.startswith("Adaptive") and any(b > a for a, b in zip(before, after, strict=False)):
            yield _(
                "{layer} enlarges {before} to {after} by copying pixels",
                layer=row.name or row.kind,
                before=shape_text(before),
                after=shape_text(after),
            )


def _rows(observer: Observer) -> Iterator[Row]:
    """Yield a row for each finished call, then for each layer that was not called, so that the totals are complete."""
    counted: set[int] = set()
    for call in observer.calls:
        own = own_parameters(call.module)
        if call.done and (is_layer(call.module) or call.macs or own):
            new = [(name, p) for name, p in own if id(p) not in counted]
            yield replace(_row_without_counts(call), **_cost(call, observer.batch), **_parameter_counts(new))
            counted |= {id(p) for _, p in own}
    for name, module in layers(observer.net):
        own = [(name, p) for name, p in own_parameters(module) if id(p) not in counted]
        if own:
            yield Row(name=name, kind=type(module).__name__, inputs=(), outputs=(), **_parameter_counts(own))
            counted |= {id(p) for _, p in own}


def _row_without_counts(call: Call) -> Row:
    kind, window = type(call.module).__name__, _window(call.module, len(call.inputs) - 1)
    custom = not type(call.module).__module__.startswith("torch.nn")
    detail = call.module.extra_repr() if custom else ""
    return Row(name=call.name, kind=kind, inputs=call.inputs, outputs=call.outputs, detail=detail, **window)


def _cost(call: Call, batch: int) -> dict[str, Any]:
    """MACs, units and new output bytes of a call, for one image."""
    module, macs, units = call.module, call.macs // batch, math.prod(call.outputs)
    if declares_macs(module):
        macs = int(module.macs(call.outputs))  # type: ignore[operator]
    elif not is_layer(module):
        units = call.counted_outputs // batch
    elif isinstance(module, _NOT_UNITS) or not (macs or own_parameters(module)):
        units = 0
    return {"macs": macs, "units": units, "activation_bytes": call.new_bytes // batch}


def _parameter_counts(parameters: list[tuple[str, torch.Tensor]]) -> dict[str, Any]:
    biases = sum(p.numel() for name, p in parameters if "bias" in name)
    return {
        "weights": sum(p.numel() for _, p in parameters) - biases,
        "biases": biases,
        "trainable": sum(p.numel() for _, p in parameters if p.requires_grad),
        "weight_bytes": sum(p.numel() * p.element_size() for _, p in parameters),
    }


def _window(module: nn.Module, axes: int) -> dict[str, Any]:
    """Kernel, stride, padding, ... with one number for each axis, of any module that names them like torch."""

    def each(name: str) -> Any:
        value = getattr(module, name, None)
        return (value,) * max(axes, 1) if isinstance(value, int) else value

    if not (kernel := each("kernel_size")):
        return {}
    return {
        "kernel": kernel,
        "stride": each("stride") or kernel,
        "padding": each("padding"),
        "dilation": each("dilation"),
        "groups": getattr(module, "groups", None),
        "ceil": getattr(module, "ceil_mode", False),
    }
