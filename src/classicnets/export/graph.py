"""From raw pixels to what the net is given, and from logits to probabilities, as ONNX graphs.

Pictures are resized by two matrix products whose weights are computed in the graph as Pillow computes them, and in its
whole numbers, so the result is Pillow's bit for bit. ONNX's own Resize is no substitute: with antialias=1, onnxruntime
1.32.0 differs from Pillow by up to 22 of 255 where it shrinks.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from classicnets import machine
from classicnets.evaluation.onnx import INPUT, OUTPUT
from classicnets.values import Preprocess

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET, IR_VERSION = 20, 10
PREPARED, LOGITS = "prepared", "logits"

_FLOAT, _UINT8, _DOUBLE = 1, 2, 11  # ONNX's numbers of these types
_UNIT = 2.0**22  # Pillow's weights are whole numbers of this part of 1


def preparation(preprocess: Preprocess) -> ModelProto:
    """uint8 [N, H, W, 3] RGB of any size to float32 [views * N, channels, image_size, image_size], view by view.

    Does what `data.pictures.fitted` and `data.transforms.views` do.
    """
    add = _Nodes("before")
    sides = add("Shape", INPUT, start=1, end=3)
    as_wanted = add("Equal", add("ReduceMax", add("Abs", add("Sub", sides, preprocess.side)), keepdims=0), 0)

    def resized(add: _Nodes) -> str:
        planes = _planes(add, _fitted(add, preprocess.fit), preprocess.channels, _DOUBLE)
        return add("Cast", _resized(add, planes, preprocess.side, square=preprocess.fit != "stretch"), to=_FLOAT)

    # resizing takes longer than a small net, so a picture that has the size already is spared it
    levels = add.choose(as_wanted, lambda add: _planes(add, INPUT, preprocess.channels, _FLOAT), resized)
    x = add("Div", levels, np.float32(255))
    if preprocess.pad:
        x = add("Pad", x, [0, 0, preprocess.pad, preprocess.pad] * 2)
    if any(preprocess.mean) or any(s != 1 for s in preprocess.std):
        mean, std = (np.reshape(np.array(v, np.float32), (1, -1, 1, 1)) for v in (preprocess.mean, preprocess.std))
        x = add("Div", add("Sub", x, mean), std)
    size = preprocess.image_size
    if preprocess.views == 1 and preprocess.side + 2 * preprocess.pad == size:
        add("Identity", x, gives=PREPARED)
    else:
        add("Concat", *_views(add, x, preprocess), axis=0, gives=PREPARED)
    return add.model((INPUT, _UINT8, ["N", "H", "W", 3]), (PREPARED, _FLOAT, [None, preprocess.channels, size, size]))


def conclusion(preprocess: Preprocess, classes: int) -> ModelProto:
    """Logits float32 [views * N, classes] to probabilities [N, classes]: softmax, then the mean over the views."""
    add = _Nodes("after")
    if preprocess.views == 1:
        add("Softmax", LOGITS, axis=1, gives=OUTPUT)
        return add.model((LOGITS, _FLOAT, ["N", classes]), (OUTPUT, _FLOAT, ["N", classes]))
    by_view = add("Reshape", add("Softmax", LOGITS, axis=1), [preprocess.views, -1, classes])
    add("ReduceMean", by_view, [0], keepdims=0, gives=OUTPUT)
    return add.model((LOGITS, _FLOAT, [None, classes]), (OUTPUT, _FLOAT, ["N", classes]))


class _Nodes:
    """A graph in the making: each call adds a node and returns the name of its result.

    Inputs are such names, or arrays, numbers and lists, which become constants (int64 and float64 unless typed).
    """

    def __init__(self, room: str) -> None:
        self.room = room  # begins every name, so that graphs can be joined
        self.onnx = machine.require("onnx", extra="export")
        self.nodes: list[Any] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], Any] = {}
        self.numbers = itertools.count()

    def __call__(self, kind: str, *inputs: Any, gives: str = "", **attributes: Any) -> str:
        name = gives or f"{self.room}/{kind}_{next(self.numbers)}"
        given = [one if isinstance(one, str) else self._constant(np.asarray(one)) for one in inputs]
        self.nodes.append(self.onnx.helper.make_node(kind, given, [name], name=name, **attributes))
        return name

    def choose(self, condition: str, yes: Callable[[_Nodes], str], no: Callable[[_Nodes], str]) -> str:
        """What `yes` or `no` adds; only the one that is wanted is computed."""
        branches = []
        for way in (yes, no):
            inner = copy.copy(self)
            inner.nodes = []
            result = self.onnx.helper.make_empty_tensor_value_info(way(inner))
            branches.append(
                self.onnx.helper.make_graph(inner.nodes, f"{self.room}/branch_{next(self.numbers)}", [], [result])
            )
        return self("If", condition, then_branch=branches[0], else_branch=branches[1])

    def _constant(self, value: np.ndarray) -> str:
        key = (str(value.dtype), value.shape, value.tobytes())
        if key not in self.constants:
            self.constants[key] = self.onnx.numpy_helper.from_array(
                value, f"{self.room}/constant_{len(self.constants)}"
            )
        return str(self.constants[key].name)

    def model(self, takes: tuple[str, int, list[Any]], gives: tuple[str, int, list[Any]]) -> ModelProto:
        """All of it; an input and an output are (name, type, shape)."""
        helper = self.onnx.helper
        ends = ([helper.make_tensor_value_info(*takes)], [helper.make_tensor_value_info(*gives)])
        graph = helper.make_graph(self.nodes, "classicnets", *ends, initializer=list(self.constants.values()))
        opset = [helper.make_opsetid("", OPSET)]
        made: ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
        return made


def _fitted(add: _Nodes, fit: str) -> str:
    """The middle square, the square filled up in black, or all of the pixels."""
    if fit == "stretch":
        return INPUT
    rows, columns = (add("Shape", INPUT, start=axis, end=axis + 1) for axis in (1, 2))
    side = add("Min" if fit == "crop" else "Max", rows, columns)
    if fit == "crop":
        corner = add("Div", add("Concat", add("Sub", rows, side), add("Sub", columns, side), axis=0), 2)
        return add("Slice", INPUT, corner, add("Add", corner, side), [1, 2])
    missing = add("Concat", add("Sub", side, rows), add("Sub", side, columns), axis=0)
    before = add("Div", missing, 2)
    return add("Pad", INPUT, add("Concat", [0], before, [0, 0], add("Sub", missing, before), [0], axis=0))


def _planes(add: _Nodes, pixels: str, channels: int, kind: int) -> str:
    """[N, H, W, 3] to [N, channels, H, W] in numbers of that kind."""
    return add("Cast", add("Transpose", _shades(add, pixels, channels), perm=[0, 3, 1, 2]), to=kind)


def _shades(add: _Nodes, pixels: str, channels: int) -> str:
    """The colours, or PIL's grey: (R * 19595 + G * 38470 + B * 7471 + 0x8000) >> 16, all below 2^24 and so exact."""
    if channels == 3:
        return pixels
    luma = add("MatMul", add("Cast", pixels, to=_FLOAT), np.array([[19595], [38470], [7471]], np.float32))
    return add("Floor", add("Mul", add("Add", luma, np.float32(0x8000)), np.float32(1 / 0x10000)))


def _resized(add: _Nodes, planes: str, side: int, *, square: bool) -> str:
    """float64 [N, C, H, W] to [N, C, side, side]: across, then down. Pillow goes down first where the height shrinks by
    more than twice what the width does (since its version 13), which is never so in squares.
    """
    rows, columns = (add("Squeeze", add("Shape", planes, start=axis, end=axis + 1)) for axis in (2, 3))
    down, across = _weights(add, rows, side), add("Transpose", _weights(add, columns, side), perm=[1, 0])

    def across_first(add: _Nodes) -> str:
        return _rounded(add, add("MatMul", down, _rounded(add, add("MatMul", planes, across))))

    def down_first(add: _Nodes) -> str:
        return _rounded(add, add("MatMul", _rounded(add, add("MatMul", down, planes)), across))

    if square:
        return across_first(add)
    less = add("Sub", rows, side)
    tall = add("And", add("Greater", less, 0), add("Greater", less, add("Mul", add("Sub", columns, side), 2)))
    return add.choose(tall, down_first, across_first)


def _weights(add: _Nodes, length: str, side: int) -> str:
    """How much of each of `length` old pixels each of `side` new ones is: float64 [side, length], whole numbers.

    A triangle around the new pixel's centre, as wide as its share where pictures shrink; step by step Pillow's
    Resample.c, so that the same numbers are rounded.
    """
    pixels = add("Cast", add("Range", 0, length, 1), to=_DOUBLE)
    ratio = add("Div", add("Cast", length, to=_DOUBLE), float(side))
    centres = add("Mul", np.arange(side)[:, None] + 0.5, ratio)
    distance = add("Mul", add("Add", add("Sub", pixels, centres), 0.5), add("Div", 1.0, add("Max", ratio, 1.0)))
    triangle = add("Max", add("Sub", 1.0, add("Abs", distance)), 0.0)
    share = add("Div", triangle, add("ReduceSum", triangle, [-1]))
    return add("Floor", add("Add", add("Mul", share, _UNIT), 0.5))


def _rounded(add: _Nodes, total: str) -> str:
    """Sums of weighted pixels as pixels again, whole numbers 0 to 255; exact, as float64 holds these sums."""
    return add("Min", add("Floor", add("Div", add("Add", total, _UNIT / 2), _UNIT)), 255.0)


def _views(add: _Nodes, x: str, preprocess: Preprocess) -> list[str]:
    """The views in the order of `transforms.views`."""
    size, border = preprocess.image_size, preprocess.side + 2 * preprocess.pad - preprocess.image_size
    places = [(border // 2, border // 2)]
    if preprocess.views == 9:
        places = [(top, left) for top in (0, border // 2, border) for left in (0, border // 2, border)]
    if preprocess.views == 10:
        places += [(0, 0), (0, border), (border, 0), (border, border)]
    seen = [add("Slice", x, [top, left], [top + size, left + size], [2, 3]) for top, left in places]
    if preprocess.views in {2, 10}:
        seen += [add("Slice", view, [-1], [-size - 1], [3], [-1]) for view in seen]
    return seen
