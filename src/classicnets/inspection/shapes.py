"""The layer table of any module: shapes, parameters, multiply-accumulates, units and bytes, without any data.

A copy of the module, whose parameters are empty tensors on the meta device, is called once and observed. The module
itself is never called or changed; its weights are not copied.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from classicnets.errors import UsageError
from classicnets.inspection.meta import Shape, one_line, results
from classicnets.inspection.observer import Call, Observer, declares_macs, is_layer, layers, own_parameters
from classicnets.text import shape as shape_text

# Their outputs are not units: they rescale or bend the outputs of the layer before them.
_NOT_UNITS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.PReLU)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One call of one layer; shapes are without the batch axis, all counts are for one image.

    `name` is the path inside the net ("" is the net itself). Parameters are counted in the first row that uses them.
    `macs` are multiply-accumulates, taps on padding included and additions of biases not; `units` are the outputs of a
    layer that carries weights (normalization has none). `activation_bytes` is the new memory its output takes: 0 for
    a layer that passes its input on. A layer that holds parameters but was not called has empty shapes.
    `detail` is what a layer that is not torch's own says of itself, such as the constants of a normalization.
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
    """A column of the table, summed over its rows."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.column = name

    def __get__(self, table: Table, owner: type) -> int:
        return sum(getattr(row, self.column) for row in table.rows)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of a net in the order of the calls, and their sums.

    `unlisted` names and counts what forward() does outside any layer, such as {"relu": 2}; views are left out.
    `note` says what a reader must know: the pass could not use the meta device, or a layer enlarges its input.
    """

    input_shape: Shape
    output_shape: Shape
    rows: tuple[Row, ...]
    unlisted: dict[str, int] = field(default_factory=dict)
    note: str = ""

    weights = _Total()  # parameters that are not biases
    biases = _Total()  # parameters with "bias" in their name
    parameters = _Total()  # tied ones once
    trainable = _Total()  # parameters that require a gradient
    units = _Total()
    macs = _Total()
    weight_bytes = _Total()  # in the type they have now
    activation_bytes = _Total()  # of the layers' outputs; what forward() makes outside any layer is not in it

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the rows, the sums and the notes."""
        rows = [{**asdict(row), "parameters": row.parameters} for row in self.rows]
        totals = {name: getattr(self, name) for name, column in vars(Table).items() if isinstance(column, _Total)}
        return {**asdict(self), "rows": rows, "totals": totals}


class Failure:
    """Where and why a pass stopped, for `doctor` to explain.

    `layer` is the innermost module that was running and `row` what is known of it; `operation` the torch operation
    that failed and `operands` the shapes it got, as far as known; `rows` the layers that did finish; `results` how
    many results came out for one image, where the pass ended with the wrong number.
    """

    def __init__(self, net: nn.Module, observer: Observer, reason: str, results: int | None = None) -> None:
        stopped = observer.stack[-1] if observer.stack else Call("", observer.net, observer.shape)
        self.net, self.input_shape, self.device = net, observer.shape, observer.device
        self.reason, self.results = reason, results
        self.layer, self.row, self.rows = stopped.module, _bare_row(stopped), tuple(_rows(observer))
        self.operation, self.operands = observer.operation, observer.operands


def trace(net: nn.Module, input_shape: Sequence[int]) -> Table:
    """Call a copy of `net` on one empty image of `input_shape` (without the batch axis) and list its layers.

    MACs follow torch's own formulas (`torch.utils.flop_counter`). Where those are blind, a module may declare its own
    with a method `macs(output_shape) -> int` (shape without batch); it is then one layer, whatever is inside it.
    Hooks that the user registered do not run. A net that cannot run without data (it reads a value, calls NumPy) gets a
    real image of zeros on the CPU instead, and `Table.note` says so. Raises UsageError CN201 where it does not fit
    (`doctor.check_input` says why), CN205 for a net that cannot be copied.
    """
    outcome = attempt(net, input_shape)
    if isinstance(outcome, Table):
        return outcome
    raise UsageError(
        "CN201",
        f"the net cannot take {shape_text(outcome.input_shape)} input",
        where=f"{outcome.row.name or 'the net'} ({outcome.row.kind}), which gets {shape_text(outcome.row.inputs)}",
        why=outcome.reason,
        hint="classicnets show FILE.py:net --input CxHxW prints the sum behind every shape",
    )


def attempt(net: nn.Module, input_shape: Sequence[int]) -> Table | Failure:
    """As `trace`, with the failure as a value."""
    shape = checked_shape(input_shape)
    net = getattr(net, "_orig_mod", net)  # what torch.compile wrapped
    outcome = _pass(net, shape, "meta")
    if isinstance(outcome, Failure) and "meta" in (why := outcome.reason).lower():
        note = f"an image of zeros went through a copy on the CPU, as the net cannot run without data: {why}"
        return _pass(net, shape, "cpu", note)
    return outcome


def checked_shape(input_shape: Sequence[int]) -> Shape:
    """The shape as a tuple; anything but positive whole numbers is refused (CN201)."""
    shape = tuple(input_shape)
    if not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise UsageError(
            "CN201",
            f"{input_shape} is not the shape of an image",
            why="a shape is channels, height and width, without the batch axis; each at least 1",
            hint="(1, 28, 28)",
        )
    return shape


def _pass(net: nn.Module, shape: Shape, device: str, *notes: str) -> Table | Failure:
    """One image is exact; two are tried for a net that squeezes away a batch axis of one."""
    outcome = _pass_of(1, net, shape, device, notes)
    if isinstance(outcome, Failure) and isinstance(second := _pass_of(2, net, shape, device, notes), Table):
        return second
    return outcome


def _pass_of(batch: int, net: nn.Module, shape: Shape, device: str, notes: tuple[str, ...]) -> Table | Failure:
    observer = Observer(net, shape, batch, device)  # with a new copy, as a lazy layer changes in the pass
    try:
        output = observer.watch()
    except Exception as error:
        return Failure(net, observer, one_line(error))
    if (count := results(output)) != batch:
        return Failure(net, observer, _wrong_batch(len(output), count), count)
    rows = tuple(_rows(observer))
    unlisted = sum((call.operations for call in observer.calls if not is_layer(call.module)), Counter[str]())
    return Table(
        rows=rows,
        input_shape=shape,
        output_shape=tuple(output[0].shape[1:]),
        unlisted=dict(unlisted),
        note="; ".join([*notes, *_enlarged(rows)]),
    )


def _wrong_batch(tensors: int, results: int) -> str:
    if not tensors:
        return "forward() returns no tensor"
    if results == 0:
        return "one image goes in and a single number without a batch axis comes out"
    return f"one image goes in and {results} results come out: forward() mixes the images of a batch"


def _enlarged(rows: tuple[Row, ...]) -> Iterator[str]:
    """Adaptive pooling accepts any size, and may hide that the image was too small."""
    for row in rows:
        before, after = row.inputs[1:], row.outputs[1:]
        if row.kind.startswith("Adaptive") and any(b > a for a, b in zip(before, after, strict=False)):
            yield f"{row.name or row.kind} enlarges {shape_text(before)} to {shape_text(after)}: it copies pixels"


def _rows(observer: Observer) -> Iterator[Row]:
    """A row for each finished call; then, so that the sums are the net's, for each layer that was not called."""
    seen: set[int] = set()
    for call in observer.calls:
        own = own_parameters(call.module)
        if call.done and (is_layer(call.module) or call.macs or own):
            new = [(name, p) for name, p in own if id(p) not in seen]
            yield replace(_bare_row(call), **_work(call, observer.batch), **_counts(new))
            seen |= {id(p) for _, p in own}
    for name, module in layers(observer.net):
        own = [(name, p) for name, p in own_parameters(module) if id(p) not in seen]
        if own:
            yield Row(name=name, kind=type(module).__name__, inputs=(), outputs=(), **_counts(own))
            seen |= {id(p) for _, p in own}


def _bare_row(call: Call) -> Row:
    """The row of a call without its counts."""
    kind, window = type(call.module).__name__, _window(call.module, len(call.inputs) - 1)
    strange = not type(call.module).__module__.startswith("torch.nn")
    detail = call.module.extra_repr() if strange else ""
    return Row(name=call.name, kind=kind, inputs=call.inputs, outputs=call.outputs, detail=detail, **window)


def _work(call: Call, batch: int) -> dict[str, Any]:
    """What it does and makes, for one image."""
    module, macs, units = call.module, call.macs // batch, math.prod(call.outputs)
    if declares_macs(module):
        macs = int(module.macs(call.outputs))  # type: ignore[operator]
    elif not is_layer(module):
        units = call.counted_outputs // batch
    elif isinstance(module, _NOT_UNITS) or not (macs or own_parameters(module)):
        units = 0
    return {"macs": macs, "units": units, "activation_bytes": call.new_bytes // batch}


def _counts(parameters: list[tuple[str, torch.Tensor]]) -> dict[str, Any]:
    biases = sum(p.numel() for name, p in parameters if "bias" in name)
    return {
        "weights": sum(p.numel() for _, p in parameters) - biases,
        "biases": biases,
        "trainable": sum(p.numel() for _, p in parameters if p.requires_grad),
        "weight_bytes": sum(p.numel() * p.element_size() for _, p in parameters),
    }


def _window(module: nn.Module, sides: int) -> dict[str, Any]:
    """Kernel and its steps, one number for each side, of any module that names them as torch does."""

    def each(name: str) -> Any:
        value = getattr(module, name, None)
        return (value,) * max(sides, 1) if isinstance(value, int) else value

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
