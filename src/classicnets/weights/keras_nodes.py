"""Turns a Keras model into nodes of a graph: what all layers have in common. `keras_layers` has each kind of layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from classicnets.models.graph import DATA, Node
from classicnets.models.graph_kinds import KINDS, with_defaults
from classicnets.models.messages import reason
from classicnets.text import _, plural
from classicnets.text import shape as shape_text
from classicnets.weights.keras_model import Layer, Model
from classicnets.weights.messages import MessageError

_ANY_SIZE = 224  # stands for a height or width that is free
_FUNCTIONS: dict[str, tuple[str, dict[str, Any]]] = {  # activations without weights
    "relu": ("relu", {}),
    "leaky_relu": ("relu", {"slope": 0.2}),
    "sigmoid": ("sigmoid", {}),
    "tanh": ("tanh", {}),
    "elu": ("elu", {}),
    "softplus": ("softplus", {}),
    "exponential": ("exponential", {}),
}


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A parameter of a node, and the array of the file that it is.

    Attributes:
        layer: the layer that has the array; "" as `source` is a parameter that Keras leaves out.
        name: the name of the parameter, such as "conv1.weight".
        source: the name of the array, such as "kernel".
        position: its position among the arrays of the layer.
        shape: its shape in the file.
        kind: "conv", "dense" or "vector".
        flat_from: height, width and channels of the image that its rows are the values of, in this order.
        constant: the value of all elements if Keras leaves the parameter out.
    """

    layer: Layer
    name: str
    source: str
    position: int
    shape: tuple[int, ...]
    kind: str
    flat_from: tuple[int, int, int] | None = None
    constant: float = 0.0


@dataclass(frozen=True)
class Value:
    """What a layer gives: the node that computes it, and its shape with channels first.

    `flat_from` is height, width and channels of the image that Keras has flattened in this order; None if the order of
    the values is the same as in torch.
    """

    node: str
    shape: tuple[int, ...]
    flat_from: tuple[int, int, int] | None = None


Kind = Callable[["Translation", Layer, Sequence[Value]], Value]


class Translation:
    """The nodes of a model, in the order of computation, and their weights.

    Args:
        model: the model.
        kinds: for each class of layers, the function that adds its nodes and returns what the last one gives.

    Attributes:
        nodes: the nodes.
        weights: their parameters.
        input: channels, height and width of an image; None if height or width are free.
        is_last: whether Keras has the channels of images last.
        is_free: whether the height or the width of images is free.

    Raises:
        MessageError: a layer is not known, or has a setting that nodes do not have; it names the layer.
    """

    def __init__(self, model: Model, kinds: Mapping[str, Kind]) -> None:
        self.model, self.kinds = model, kinds
        self.nodes: list[Node] = []
        self.weights: list[Weight] = []
        self.names = {DATA, *(layer.name for layer in model.layers)}
        self.is_last = _layout(model)
        self.is_free = None in model.input_shape
        image = self._image()
        self.input = None if self.is_free else image
        self._run(Value(DATA, image))

    def _run(self, start: Value) -> None:
        """Translate all layers."""
        layers = self.model.layers
        if len(self.model.input_shape) == 1 and layers[0].kind != "Reshape":
            start = self.node(layers[0], start, "flatten", {}, name=f"{layers[0].name}_flatten")
        values = dict.fromkeys(self.model.inputs, start)
        for layer in layers:
            inputs = [values[name] for name in layer.inputs] or [start]
            values[layer.name] = self.layer(layer, inputs)
        output = values[self.model.output]
        if output.flat_from:
            raise layers[-1].problem(_("the output is an image that was flattened, not a value for each class"))
        if not self.nodes:
            raise MessageError(_("the model has no layers beside its input"))

    def _image(self) -> tuple[int, int, int]:
        """The shape of an image with channels first."""
        first, shape = self.model.layers[0], [_ANY_SIZE if n is None else n for n in self.model.input_shape]
        if len(shape) == 1 and first.kind == "Reshape":
            target = integers(first, "target_shape")
            shape = target if len(target) in {2, 3} else shape
            if math.prod(shape) != self.model.input_shape[0]:
                raise first.problem(_("its shape is not that of the input"))
        if len(shape) == 2:
            return 1, shape[0], shape[1]
        if len(shape) == 3:
            if self.model.input_shape[-1 if self.is_last else 0] is None:
                raise first.problem(_("the model does not state the channels of its input"))
            return (shape[2], shape[0], shape[1]) if self.is_last else (shape[0], shape[1], shape[2])
        side = math.isqrt(shape[0]) if len(shape) == 1 else 0
        if side * side != shape[0] or self.is_free:
            stated = shape_text(["?" if n is None else n for n in self.model.input_shape[:4]])
            raise MessageError(_("the model reads values of the shape {shape}, not images", shape=stated))
        return 1, side, side  # the rows of a square image

    # --- nodes

    def node(self, layer: Layer, value: Value | Sequence[Value], kind: str, settings: Any, *, name: str) -> Value:
        """Add a node, and return its value."""
        values = [value] if isinstance(value, Value) else [*value]
        if name != layer.name:
            while name in self.names:
                name += "_"
            self.names.add(name)
        if not KINDS[kind].least <= len(values) <= KINDS[kind].most:
            raise layer.problem(plural("it has {n} input", "it has {n} inputs", len(values)))
        settings = {key: setting for key, setting in settings.items() if setting is not None}
        try:
            checked = with_defaults(kind, settings)
            shape = KINDS[kind].layer(checked, [each.shape for each in values]).shape
        except ValueError as error:
            raise layer.problem(reason(error, _)) from error
        self.nodes.append(Node(name=name, kind=kind, inputs=tuple(each.node for each in values), settings=settings))
        return Value(name, shape, values[0].flat_from if len(shape) == 1 else None)

    def weight(
        self,
        layer: Layer,
        name: str,
        source: str,
        position: int,
        shape: Sequence[int],
        kind: str = "vector",
        **rest: Any,
    ) -> None:
        """Note a weight of the node that was added last; see `Weight`."""
        name = f"{self.nodes[-1].name}.{name}"
        weight = Weight(layer=layer, name=name, source=source, position=position, shape=tuple(shape), kind=kind, **rest)
        self.weights.append(weight)

    def layer(self, layer: Layer, inputs: Sequence[Value]) -> Value:
        """Translate one layer."""
        translate = self.kinds.get(layer.kind)
        if translate is None:
            if layer.kind == "Lambda":
                what = _("the layer is code in Python, which is not run")
                raise layer.problem(
                    what, hint=_("in Python: replace it with layers of Keras, and save the model again")
                )
            raise layer.problem(_("a layer of the class {kind} is not known", kind=layer.kind[:80]))
        layout = layer.config.get("data_format")
        if layer.kind != "Flatten" and layout is not None and (layout == "channels_last") != self.is_last:
            raise layer.problem(_("its data_format is {value!r}, and that of others is not", value=str(layout)[:40]))
        return translate(self, layer, inputs)

    def activated(self, layer: Layer, value: Value) -> Value:
        """Add the activation that a layer has as a setting."""
        return self.activation(layer, value, layer.config.get("activation"), name=None)

    def activation(self, layer: Layer, value: Value, function: Any, *, name: str | None) -> Value:
        """Add an activation: the name of a function, or a layer as a setting of another one."""
        if isinstance(function, dict):
            kind, config = function.get("class_name"), function.get("config")
            if isinstance(config, dict) and kind in {"ReLU", "LeakyReLU", "ELU", "Softmax"}:
                inner = Layer(name or f"{layer.name}_{kind.lower()}", kind, config, (), "")
                return self.layer(inner, [value])
            function = config if kind == "function" else kind
        if function is None or function == "linear":
            return value
        if function == "softmax":
            return self.softmax(layer, value, -1, name=name)
        if not isinstance(function, str) or function not in _FUNCTIONS:
            raise layer.problem(_("the activation {name} is not known", name=str(function)[:80]))
        kind, settings = _FUNCTIONS[function]
        return self.node(layer, value, kind, settings, name=name or f"{layer.name}_{function}")

    def softmax(self, layer: Layer, value: Value, axis: Any, *, name: str | None) -> Value:
        """Add a softmax along an axis of Keras."""
        settings = {"axis": self.axis(layer, value, axis)}
        return self.node(layer, value, "softmax", settings, name=name or f"{layer.name}_softmax")

    def axis(self, layer: Layer, value: Value, axis: Any) -> int:
        """The axis of a node for an axis of Keras."""
        axes = len(value.shape)
        axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
        if not isinstance(axis, int) or isinstance(axis, bool) or not (1 <= axis <= axes or -axes <= axis <= -1):
            raise layer.problem(_("axis is {axis}, which its input does not have", axis=str(axis)[:40]))
        axis = axis if axis > 0 else axes + 1 + axis
        return {1: 2, 2: 3, 3: 1}[axis] if axes == 3 and self.is_last else axis


def integers(layer: Layer, key: str) -> list[int]:
    """Return a setting that is a list of integers. Raises MessageError."""
    value = layer.config.get(key)
    if not isinstance(value, list) or not all(type(n) is int for n in value):
        raise layer.problem(_("{key} is {value}", key=key, value=str(value)[:60]))
    return value


def _layout(model: Model) -> bool:
    """Whether images have their channels last, as the first layer that says so has them."""
    stated = (layer.config.get("data_format") for layer in model.layers if layer.kind != "Flatten")
    return next((layout for layout in stated if layout is not None), "channels_last") != "channels_first"
