"""Preprocessing of images and postprocessing of logits as ONNX graphs, built with onnxscript.

Images are resized by two matrix products. Their weights are computed in the graph with Pillow's integer arithmetic, so
that the result equals Pillow's bit for bit. ONNX's own Resize does not: with antialias=1, onnxruntime 1.32.0 differs
from Pillow by up to 22 of 255 when it shrinks an image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from classicnets import machine
from classicnets.evaluation.onnx import FLOAT_INPUT, INPUT, OUTPUT
from classicnets.evaluation.rejection import MIN_PROBABILITY
from classicnets.values import LUMA_BITS, LUMA_HALF, LUMA_WEIGHTS, Preprocess, View

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxscript import OpBuilder

Value: TypeAlias = Any  # onnxscript.ir.Value; the methods of OpBuilder, one per operator, are untyped

OPSET, IR_VERSION = 20, 10
PREPARED, LOGITS = "prepared", "logits"

_FLOAT, _UINT8, _DOUBLE = 1, 2, 11  # ONNX's codes of these types
_SCALE = 2.0**22  # Pillow's weights are integers in units of 1 / _SCALE


def preprocessing_graph(preprocess: Preprocess) -> ModelProto:
    """Return the graph from RGB uint8 [N, H, W, 3] to float32 [views * N, channels, image_size, image_size].

    Images may have any size. The outputs are ordered by view; they equal those of `images.decode.fit_image` and
    `images.transforms.views`.
    """

    def build(op: OpBuilder, pixels: Value) -> Value:
        x = _padded_and_normalized(op, op.Div(_fitted_planes(op, pixels, preprocess), 255.0), preprocess)
        places = preprocess.view_places
        if len(places) == 1 and preprocess.padded == preprocess.image_size:
            return op.Identity(x)
        return op.Concat(*(_view(op, x, place, preprocess) for place in places), axis=0)

    size = preprocess.image_size
    shape = [None, preprocess.channels, size, size]
    return _model("before", (INPUT, _UINT8, ["N", "H", "W", 3]), (PREPARED, _FLOAT, shape), build)


def float_preprocessing_graph(preprocess: Preprocess) -> ModelProto:
    """Return the graph from one image float32 [1, channels, side, side] in 0..1 to that of its center view.

    It pads, crops and normalizes, with plain operators on fixed shapes.
    """

    def build(op: OpBuilder, image: Value) -> Value:
        x = _padded_and_normalized(op, image, preprocess)
        return x if preprocess.padded == preprocess.image_size else _view(op, x, preprocess.view_places[0], preprocess)

    shape = [1, preprocess.channels]
    source = (FLOAT_INPUT, _FLOAT, [*shape, preprocess.side, preprocess.side])
    return _model("before", source, (PREPARED, _FLOAT, [*shape, *preprocess.shape[1:]]), build)


def postprocessing_graph(
    preprocess: Preprocess, classes: int, *, temperature: float = 1.0, batch_size: int | str = "N"
) -> ModelProto:
    """Return the graph from logits float32 [views * N, classes] to probabilities [N, classes].

    Computes the softmax, then the mean over the views, then what `Rejection.calibrate` does with the temperature.
    """

    def build(op: OpBuilder, logits: Value) -> Value:
        if preprocess.views == 1:
            return op.Softmax(logits if temperature == 1 else op.Mul(logits, 1 / temperature), axis=1)
        views = op.Reshape(op.Softmax(logits, axis=1), [preprocess.views, -1, classes])
        probabilities = op.ReduceMean(views, [0], keepdims=0)
        if temperature == 1:
            return probabilities
        logarithms = op.Log(op.Max(probabilities, MIN_PROBABILITY))
        return op.Softmax(op.Mul(logarithms, 1 / temperature), axis=1)

    source = (LOGITS, _FLOAT, [batch_size if preprocess.views == 1 else None, classes])
    return _model("after", source, (OUTPUT, _FLOAT, [batch_size, classes]), build)


def _model(
    prefix: str,
    source: tuple[str, int, list[Any]],
    target: tuple[str, int, list[Any]],
    build: Callable[[OpBuilder, Value], Value],
) -> ModelProto:
    """A model with the operators that `build` adds.

    Args:
        prefix: prefix of all names except those of input and output.
        source: name, type and shape of the input.
        target: name, type and shape of the output.
        build: adds the operators and returns the output.
    """
    onnxscript = machine.require("onnxscript", extra="export")
    ir = onnxscript.ir
    graph_input, graph_output = (
        ir.Value(name=name, type=ir.TensorType(ir.DataType(kind)), shape=ir.Shape(shape))
        for name, kind, shape in (source, target)
    )
    graph = ir.Graph([graph_input], [], nodes=[], opset_imports={"": OPSET}, name="classicnets")
    op = onnxscript.GraphBuilder(graph).op
    output = build(op, graph_input)
    if output is graph_input:
        output = op.Identity(output)
    # onnxscript numbers values within a branch, so names in a branch and outside of it would be equal
    for number, node in enumerate(graph.all_nodes()):
        value = node.outputs[0]
        node.name = value.name = f"{prefix}/{node.op_type}_{number}"
        value.type = value.shape = None  # inferred by onnxscript; a file needs no types, shapes and node metadata
        node.metadata_props.clear()
    for number, constant in enumerate([*graph.initializers.values()]):
        constant.name = f"{prefix}/constant_{number}"
    output.name, output.type, output.shape = graph_output.name, graph_output.type, graph_output.shape
    graph.outputs.append(output)
    model: ModelProto = ir.to_proto(ir.Model(graph, ir_version=IR_VERSION))
    return model


def _if(
    op: OpBuilder, condition: Value, then: Callable[[OpBuilder], Value], otherwise: Callable[[OpBuilder], Value]
) -> Value:
    """The value of `then` or `otherwise`; only that branch is computed at run time."""
    ir = machine.require("onnxscript", extra="export").ir
    branches = (
        op.builder.subgraph(branch, inputs=[], outputs=[ir.Value()], name="branch") for branch in (then, otherwise)
    )
    return op.If(condition, **dict(zip(("then_branch", "else_branch"), branches, strict=True)))


def _constant(op: OpBuilder, name: str, numbers: np.ndarray) -> Value:
    """A constant array; one with the same name is stored once per graph."""
    initializers = op.builder.root.graph.initializers
    if name not in initializers:
        op.initializer(machine.require("onnxscript", extra="export").ir.tensor(numbers), name=name)
    return initializers[name]


def _padded_and_normalized(op: OpBuilder, x: Value, preprocess: Preprocess) -> Value:
    """float32 [N, channels, side, side] in 0..1, with the padding, and normalized."""
    if preprocess.pad:
        x = op.Pad(x, [0, 0, preprocess.pad, preprocess.pad] * 2)
    if any(preprocess.mean) or any(s != 1 for s in preprocess.std):
        mean, std = (
            _constant(op, name, np.reshape(np.array(numbers, np.float32), (1, -1, 1, 1)))
            for name, numbers in (("mean", preprocess.mean), ("std", preprocess.std))
        )
        x = op.Div(op.Sub(x, mean), std)
    return x


def _fitted_planes(op: OpBuilder, pixels: Value, preprocess: Preprocess) -> Value:
    """uint8 [N, H, W, 3] to float32 [N, channels, side, side], integers 0 to 255."""
    sizes = op.Shape(pixels, start=1, end=3)
    has_size = op.Equal(op.ReduceMax(op.Abs(op.Sub(sizes, preprocess.side)), keepdims=0), 0)

    def resized(op: OpBuilder) -> Value:
        image = _crop(op, pixels) if preprocess.fit == "crop" else pixels
        planes = _planes(op, image, preprocess.channels, _DOUBLE)
        return op.Cast(_resize(op, planes, preprocess.side, preprocess.fit), to=_FLOAT)

    # resizing takes longer than a small network, so images that have the size are not resized
    return _if(op, has_size, lambda op: _planes(op, pixels, preprocess.channels, _FLOAT), resized)


def _crop(op: OpBuilder, pixels: Value) -> Value:
    """The central square of an image, as `values.fit_box` defines it."""
    sizes = op.Shape(pixels, start=1, end=3)
    edge = op.ReduceMin(sizes)
    corner = op.Div(op.Sub(sizes, edge), 2)
    return op.Slice(pixels, corner, op.Add(corner, edge), [1, 2])


def _planes(op: OpBuilder, pixels: Value, channels: int, kind: int) -> Value:
    """[N, H, W, 3] to [N, channels, H, W] of the type `kind`."""
    return op.Cast(op.Transpose(_convert_color(op, pixels, channels), perm=[0, 3, 1, 2]), to=kind)


def _convert_color(op: OpBuilder, pixels: Value, channels: int) -> Value:
    """[N, H, W, 3] to [N, H, W, channels]; one channel is the luma of `values.luma`."""
    if channels == 3:
        return pixels
    weights = _constant(op, "luma", np.array(LUMA_WEIGHTS, np.float32)[:, None])
    total = op.Add(op.MatMul(op.Cast(pixels, to=_FLOAT), weights), float(LUMA_HALF))
    return op.Floor(op.Mul(total, 2.0**-LUMA_BITS))


def _resize(op: OpBuilder, planes: Value, side: int, fit: str) -> Value:
    """Resize float64 [N, C, H, W] to [N, C, side, side]: first the width, then the height.

    Since version 13, Pillow starts with the height where it shrinks by more than twice what the width does. This never
    happens for square images.
    """
    rows, columns = (op.Squeeze(op.Shape(planes, start=axis, end=axis + 1)) for axis in (2, 3))
    if fit == "letterbox":
        vertical, horizontal = _padded_weights(op, rows, columns, side)
    else:
        vertical, horizontal = _weights(op, rows, side), _weights(op, columns, side)
    horizontal = op.Transpose(horizontal, perm=[1, 0])

    def width_first(op: OpBuilder) -> Value:
        return _round(op, op.MatMul(vertical, _round(op, op.MatMul(planes, horizontal))))

    def height_first(op: OpBuilder) -> Value:
        return _round(op, op.MatMul(_round(op, op.MatMul(vertical, planes)), horizontal))

    if fit != "stretch":
        return width_first(op)
    shrinkage = op.Sub(rows, side)
    tall = op.And(op.Greater(shrinkage, 0), op.Greater(shrinkage, op.Mul(op.Sub(columns, side), 2)))
    return _if(op, tall, height_first, width_first)


def _padded_weights(op: OpBuilder, rows: Value, columns: Value, side: int) -> tuple[Value, Value]:
    """The weights of the pixels of an image that is padded to a square: float64 [side, rows] and [side, columns].

    The square itself would need memory for the longer length, twice. Its black pixels add nothing to the sums.
    """
    edge = op.Max(rows, columns)
    square = _weights(op, edge, side)

    def inside(length: Value) -> Value:
        before = op.Reshape(op.Div(op.Sub(edge, length), 2), [1])
        return op.Slice(square, before, op.Add(before, op.Reshape(length, [1])), [1])

    return inside(rows), inside(columns)


def _weights(op: OpBuilder, length: Value, side: int) -> Value:
    """The weights of `length` input pixels in `side` output pixels: float64 [side, length], integers.

    They are a triangle around the center of the output pixel, widened by the ratio when the image shrinks. Follows
    Pillow's Resample.c step by step, so that the same numbers are rounded.
    """
    pixels = op.Cast(op.Range(0, length, 1), to=_DOUBLE)
    ratio = op.Div(op.Cast(length, to=_DOUBLE), float(side))
    centers = op.Mul(_constant(op, "centers", np.arange(side)[:, None] + 0.5), ratio)
    distance = op.Mul(op.Add(op.Sub(pixels, centers), 0.5), op.Div(1.0, op.Max(ratio, 1.0)))
    triangle = op.Max(op.Sub(1.0, op.Abs(distance)), 0.0)
    weights = op.Div(triangle, op.ReduceSum(triangle, [-1]))
    return op.Floor(op.Add(op.Mul(weights, _SCALE), 0.5))


def _round(op: OpBuilder, total: Value) -> Value:
    """Sums of weighted pixels as pixels, integers 0 to 255. This is exact, because float64 holds these sums."""
    return op.Min(op.Floor(op.Div(op.Add(total, _SCALE / 2), _SCALE)), 255.0)


def _view(op: OpBuilder, x: Value, place: View, preprocess: Preprocess) -> Value:
    """The view at that place, in one Slice; a mirrored view is read from right to left."""
    top, left, size = place.top, place.left, preprocess.image_size
    if not place.mirrored:
        return op.Slice(x, [top, left], [top + size, left + size], [2, 3])
    end = left - 1 - preprocess.padded  # from the right edge, because -1 would be the last column
    return op.Slice(x, [top, left + size - 1], [top + size, end], [2, 3], [1, -1])
