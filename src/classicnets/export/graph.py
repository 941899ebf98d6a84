"""From raw pixels to what the net is given, and from logits to probabilities, as ONNX graphs built with onnxscript.

Images are resized by two matrix products whose weights are computed in the graph as Pillow computes them, and in its
integers, so the result equals Pillow's bit for bit. ONNX's own Resize is no substitute: with antialias=1, onnxruntime
1.32.0 differs from Pillow by up to 22 of 255 where it shrinks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from classicnets import machine
from classicnets.evaluation.onnx import INPUT, OUTPUT
from classicnets.values import LUMA_BITS, LUMA_HALF, LUMA_WEIGHTS, Preprocess, View

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxscript import OpBuilder

Value: TypeAlias = Any  # an onnxscript.ir.Value: OpBuilder's methods, one for each operator, have no types

OPSET, IR_VERSION = 20, 10
PREPARED, LOGITS = "prepared", "logits"

_FLOAT, _UINT8, _DOUBLE = 1, 2, 11  # ONNX's numbers of these types
_UNIT = 2.0**22  # Pillow's weights are integers in units of 1 / _UNIT


def preparation(preprocess: Preprocess) -> ModelProto:
    """uint8 [N, H, W, 3] RGB of any size to float32 [views * N, channels, image_size, image_size], view by view.

    Computes what `images.decode.fit_image` and `images.transforms.views` compute.
    """

    def build(op: OpBuilder, pixels: Value) -> Value:
        x = op.Div(_levels(op, pixels, preprocess), 255.0)
        if preprocess.pad:
            x = op.Pad(x, [0, 0, preprocess.pad, preprocess.pad] * 2)
        if any(preprocess.mean) or any(s != 1 for s in preprocess.std):
            mean, std = (
                _constant(op, name, np.reshape(np.array(numbers, np.float32), (1, -1, 1, 1)))
                for name, numbers in (("mean", preprocess.mean), ("std", preprocess.std))
            )
            x = op.Div(op.Sub(x, mean), std)
        places = preprocess.view_places
        if len(places) == 1 and preprocess.padded == preprocess.image_size:
            return op.Identity(x)
        return op.Concat(*(_view(op, x, place, preprocess) for place in places), axis=0)

    size = preprocess.image_size
    shape = [None, preprocess.channels, size, size]
    return _model("before", (INPUT, _UINT8, ["N", "H", "W", 3]), (PREPARED, _FLOAT, shape), build)


def conclusion(preprocess: Preprocess, classes: int) -> ModelProto:
    """Logits float32 [views * N, classes] to probabilities [N, classes]: softmax, then the mean over the views."""

    def build(op: OpBuilder, logits: Value) -> Value:
        each = op.Softmax(logits, axis=1)
        if preprocess.views == 1:
            return each
        return op.ReduceMean(op.Reshape(each, [preprocess.views, -1, classes]), [0], keepdims=0)

    count = "N" if preprocess.views == 1 else None
    return _model("after", (LOGITS, _FLOAT, [count, classes]), (OUTPUT, _FLOAT, ["N", classes]), build)


def _model(
    prefix: str,
    given: tuple[str, int, list[Any]],
    result: tuple[str, int, list[Any]],
    build: Callable[[OpBuilder, Value], Value],
) -> ModelProto:
    """What `build` adds between an input and an output: (name, type, shape). `prefix` begins every other name."""
    onnxscript = machine.require("onnxscript", extra="export")
    ir = onnxscript.ir
    begin, end = (
        ir.Value(name=name, type=ir.TensorType(ir.DataType(kind)), shape=ir.Shape(shape))
        for name, kind, shape in (given, result)
    )
    graph = ir.Graph([begin], [], nodes=[], opset_imports={"": OPSET}, name="classicnets")
    output = build(onnxscript.GraphBuilder(graph).op, begin)
    # onnxscript names values by their place in a branch, so that a branch and what is around it share names
    for number, node in enumerate(graph.all_nodes()):
        value = node.outputs[0]
        node.name = value.name = f"{prefix}/{node.op_type}_{number}"
        value.type = value.shape = None  # as inferred on the way; a file needs neither them nor what follows
        node.metadata_props.clear()
    for number, constant in enumerate([*graph.initializers.values()]):
        constant.name = f"{prefix}/constant_{number}"
    output.name, output.type, output.shape = end.name, end.type, end.shape
    graph.outputs.append(output)
    model: ModelProto = ir.to_proto(ir.Model(graph, ir_version=IR_VERSION))
    return model


def _choose(
    op: OpBuilder, condition: Value, yes: Callable[[OpBuilder], Value], no: Callable[[OpBuilder], Value]
) -> Value:
    """What `yes` or `no` adds; only the one that is wanted is computed."""
    ir = machine.require("onnxscript", extra="export").ir
    branches = (op.builder.subgraph(branch, inputs=[], outputs=[ir.Value()], name="branch") for branch in (yes, no))
    return op.If(condition, **dict(zip(("then_branch", "else_branch"), branches, strict=True)))


def _constant(op: OpBuilder, name: str, numbers: np.ndarray) -> Value:
    """An array, stored once by its name in this graph."""
    stored = op.builder.root.graph.initializers
    if name not in stored:
        op.initializer(machine.require("onnxscript", extra="export").ir.tensor(numbers), name=name)
    return stored[name]


def _levels(op: OpBuilder, pixels: Value, preprocess: Preprocess) -> Value:
    """uint8 [N, H, W, 3] to float32 [N, channels, side, side], whole numbers 0 to 255."""
    sides = op.Shape(pixels, start=1, end=3)
    ready = op.Equal(op.ReduceMax(op.Abs(op.Sub(sides, preprocess.side)), keepdims=0), 0)

    def resized(op: OpBuilder) -> Value:
        planes = _planes(op, _fitted(op, pixels, preprocess.fit), preprocess.channels, _DOUBLE)
        return op.Cast(_resized(op, planes, preprocess.side, square=preprocess.fit != "stretch"), to=_FLOAT)

    # resizing takes longer than a small net, so an image that already has the size is spared it
    return _choose(op, ready, lambda op: _planes(op, pixels, preprocess.channels, _FLOAT), resized)


def _fitted(op: OpBuilder, pixels: Value, fit: str) -> Value:
    """The part of an image that `values.fit_box` names; what lies outside of the image is black."""
    if fit == "stretch":
        return pixels
    sides = op.Shape(pixels, start=1, end=3)
    side = op.ReduceMin(sides) if fit == "crop" else op.ReduceMax(sides)
    corner = op.Div(op.Sub(sides, side), 2)
    if fit == "crop":
        return op.Slice(pixels, corner, op.Add(corner, side), [1, 2])
    before, after = op.Neg(corner), op.Sub(op.Add(corner, side), sides)
    return op.Pad(pixels, op.Concat([0], before, [0, 0], after, [0], axis=0))


def _planes(op: OpBuilder, pixels: Value, channels: int, kind: int) -> Value:
    """[N, H, W, 3] to [N, channels, H, W] in numbers of that kind."""
    return op.Cast(op.Transpose(_shades(op, pixels, channels), perm=[0, 3, 1, 2]), to=kind)


def _shades(op: OpBuilder, pixels: Value, channels: int) -> Value:
    """The colors, or their gray level as `values.luma` computes it."""
    if channels == 3:
        return pixels
    weights = _constant(op, "luma", np.array(LUMA_WEIGHTS, np.float32)[:, None])
    total = op.Add(op.MatMul(op.Cast(pixels, to=_FLOAT), weights), float(LUMA_HALF))
    return op.Floor(op.Mul(total, 2.0**-LUMA_BITS))


def _resized(op: OpBuilder, planes: Value, side: int, *, square: bool) -> Value:
    """float64 [N, C, H, W] to [N, C, side, side]: across, then down. Pillow goes down first where the height shrinks by
    more than twice what the width does (since its version 13), which is never so in squares.
    """
    rows, columns = (op.Squeeze(op.Shape(planes, start=axis, end=axis + 1)) for axis in (2, 3))
    down, across = _weights(op, rows, side), op.Transpose(_weights(op, columns, side), perm=[1, 0])

    def across_first(op: OpBuilder) -> Value:
        return _rounded(op, op.MatMul(down, _rounded(op, op.MatMul(planes, across))))

    def down_first(op: OpBuilder) -> Value:
        return _rounded(op, op.MatMul(_rounded(op, op.MatMul(down, planes)), across))

    if square:
        return across_first(op)
    less = op.Sub(rows, side)
    tall = op.And(op.Greater(less, 0), op.Greater(less, op.Mul(op.Sub(columns, side), 2)))
    return _choose(op, tall, down_first, across_first)


def _weights(op: OpBuilder, length: Value, side: int) -> Value:
    """How much of each of `length` old pixels each of `side` new ones is: float64 [side, length], whole numbers.

    A triangle around the new pixel's center, as wide as its share where images shrink; step by step Pillow's
    Resample.c, so that the same numbers are rounded.
    """
    pixels = op.Cast(op.Range(0, length, 1), to=_DOUBLE)
    ratio = op.Div(op.Cast(length, to=_DOUBLE), float(side))
    centers = op.Mul(_constant(op, "centers", np.arange(side)[:, None] + 0.5), ratio)
    distance = op.Mul(op.Add(op.Sub(pixels, centers), 0.5), op.Div(1.0, op.Max(ratio, 1.0)))
    triangle = op.Max(op.Sub(1.0, op.Abs(distance)), 0.0)
    share = op.Div(triangle, op.ReduceSum(triangle, [-1]))
    return op.Floor(op.Add(op.Mul(share, _UNIT), 0.5))


def _rounded(op: OpBuilder, total: Value) -> Value:
    """Sums of weighted pixels as pixels again, whole numbers 0 to 255; exact, as float64 holds these sums."""
    return op.Min(op.Floor(op.Div(op.Add(total, _UNIT / 2), _UNIT)), 255.0)


def _view(op: OpBuilder, x: Value, place: View, preprocess: Preprocess) -> Value:
    """The square at that place, in one Slice: a mirrored one is read from its right edge to its left."""
    top, left, size = place.top, place.left, preprocess.image_size
    if not place.mirrored:
        return op.Slice(x, [top, left], [top + size, left + size], [2, 3])
    before = left - 1 - preprocess.padded  # counted from the right edge, where -1 would be the last column
    return op.Slice(x, [top, left + size - 1], [top + size, before], [2, 3], [1, -1])
