"""The layers of a Keras model as its configuration lists them, of Keras 2 and 3: JSON, of which nothing is run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from classicnets.text import _
from classicnets.weights.messages import MessageError

_MAX_LAYERS = 5000
_MAX_REFERENCES = 1000  # tensors that a layer reads
_MAX_NAME = 200
_MAX_DEPTH = 8  # of lists around the tensors that a layer reads
_MODELS = {"Sequential", "Functional", "Model"}


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer as it is configured.

    Attributes:
        name: its name, unique in the model.
        kind: its class, such as "Conv2D".
        config: its settings.
        inputs: the names of the layers that it reads.
        group: the name of its group in files of Keras 3, such as "conv2d_1" for the second Conv2D.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    inputs: tuple[str, ...]
    group: str

    def problem(self, what: str, *, hint: str = "") -> MessageError:
        """Return the error for what cannot be used in this layer."""
        return MessageError(what, _("layer {name} ({kind})", name=self.name[:80], kind=self.kind[:80]), hint=hint)


@dataclass(frozen=True, eq=False)
class Model:
    """A model: its layers in the order of computation, without those that only stand for the input.

    Attributes:
        name: its name; may be empty.
        layers: its layers.
        inputs: the names by which layers read the images.
        input_shape: the shape of the input without the batch, in the order of Keras; None for a size that is free.
        output: the name of the layer that gives the output.
    """

    name: str
    layers: list[Layer]
    inputs: frozenset[str]
    input_shape: tuple[int | None, ...]
    output: str


def model(values: Any) -> Model:
    """Return the model of a configuration, the JSON of "model_config" or config.json.

    Raises:
        MessageError: it is no Sequential or functional model with one input and one output.
    """
    if not isinstance(values, dict) or not isinstance(values.get("class_name"), str):
        raise MessageError(_("the configuration is not that of a Keras model"))
    kind, config = values["class_name"], values.get("config")
    if kind not in _MODELS:
        what = _("the model is of the class {kind}, whose layers are in Python code, not in the file", kind=kind[:80])
        raise MessageError(
            what, hint=_("build it as a Sequential or functional model, load its weights, and save that")
        )
    name = config.get("name", "") if isinstance(config, dict) else ""
    listed = config.get("layers") if isinstance(config, dict) else config  # a list until Keras 2.2
    if not isinstance(listed, list) or not listed:
        raise MessageError(_("the configuration has no layers"))
    if len(listed) > _MAX_LAYERS:
        raise MessageError(_("the model has {n:,} layers; allowed are {most:,}", n=len(listed), most=_MAX_LAYERS))
    name = name if isinstance(name, str) and name.isprintable() and len(name) <= _MAX_NAME else ""
    layers = [*_layers(listed, is_chain=kind == "Sequential")]
    return _chain(name, layers, config) if kind == "Sequential" else _functional(name, layers, config)


def _layers(listed: list[Any], *, is_chain: bool) -> Iterator[Layer]:
    """Read the layers in the order of the file."""
    counts = Counter[str]()
    names = set[str]()
    before: tuple[str, ...] = ()
    for number, values in enumerate(listed):
        if not isinstance(values, dict):
            raise MessageError(_("a layer is not an object"), _at(number))
        kind, config = values.get("class_name"), values.get("config")
        if not isinstance(kind, str) or not isinstance(config, dict):
            raise MessageError(_("a layer has no class or no settings"), _at(number))
        name = config.get("name", values.get("name"))
        if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not name.isprintable():
            raise MessageError(_("a layer has no name that can be used"), _at(number))
        if name in names:
            raise MessageError(_("two layers are called {name!r}", name=name), _at(number))
        names.add(name)
        snake = _snake_case(kind)
        group = f"{snake}_{counts[snake]}" if counts[snake] else snake
        counts[snake] += 1
        layer = Layer(name, kind, config, before, group)
        if not is_chain:
            layer = Layer(name, kind, config, _inbound(layer, values.get("inbound_nodes")), group)
        before = (name,)
        yield layer


def _at(number: int) -> str:
    return _("layer {n}", n=number)


def _snake_case(name: str) -> str:
    """Return the name of a class as Keras writes it in names of groups: batch_normalization."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name[:_MAX_NAME])
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _inbound(layer: Layer, nodes: Any) -> tuple[str, ...]:
    """The names of the layers that a layer of a functional model reads."""
    if layer.kind == "InputLayer":
        return ()
    if not isinstance(nodes, list) or len(nodes) != 1:
        raise layer.problem(_("the model uses it several times, with the same weights; each layer may be used once"))
    arguments = nodes[0].get("args") if isinstance(nodes[0], dict) else nodes[0]
    names = [*_references(layer, arguments, 0)]
    if not names:
        raise layer.problem(_("it reads no other layer"))
    if len(names) > _MAX_REFERENCES:
        raise layer.problem(_("it has {n:,} inputs", n=len(names)))
    return tuple(names)


def _references(layer: Layer, value: Any, depth: int) -> Iterator[str]:
    """Find the tensors in the arguments of a call: ["name", 0, 0], or an object with a keras_history."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        value = config.get("keras_history") if isinstance(config, dict) else None
    if isinstance(value, list) and value and isinstance(value[0], str):
        if value[1:3] != [0, 0]:
            raise layer.problem(_("it reads a layer that has several outputs, or that is used several times"))
        yield value[0]
    elif isinstance(value, list) and depth < _MAX_DEPTH:
        for part in value:
            yield from _references(layer, part, depth + 1)
    else:
        raise layer.problem(_("it reads something other than the outputs of layers"))


def _chain(name: str, layers: list[Layer], config: Any) -> Model:
    """A Sequential model, whose input is stated by a layer of its own, by its first layer or by the model."""
    first, inputs = layers[0], frozenset[str]()
    shape = _stated_shape(first.config)
    if shape is None and isinstance(config, dict):
        shape = _shape(config.get("build_input_shape"))
    if first.kind == "InputLayer":
        inputs, layers = frozenset({first.name}), layers[1:]
    if shape is None:
        raise first.problem(
            _("the model does not state the shape of its input"),
            hint=_("in Python: call the model once, or begin it with keras.Input(shape), and save it again"),
        )
    if not layers:
        raise MessageError(_("the model has no layers beside its input"))
    return Model(name, layers, inputs, shape, layers[-1].name)


def _functional(name: str, layers: list[Layer], config: Any) -> Model:
    """A functional model; its layers are put into the order of computation."""
    inputs = [layer for layer in layers if layer.kind == "InputLayer"]
    outputs = _named(config.get("output_layers"))
    if len(inputs) != 1 or len(outputs) != 1:
        what = _("the model has {n} inputs and {m} outputs; a network has one of each", n=len(inputs), m=len(outputs))
        raise MessageError(what)
    shape = _stated_shape(inputs[0].config)
    if shape is None:
        raise inputs[0].problem(_("it does not state the shape of the input"))
    return Model(name, _ordered(layers, outputs[0]), frozenset({inputs[0].name}), shape, outputs[0])


def _named(value: Any) -> list[str]:
    """The names in a list such as [["dense", 0, 0]], or in ["dense", 0, 0]."""
    if not isinstance(value, list):
        return []
    value = [value] if value and isinstance(value[0], str) else value
    return [each[0] for each in value if isinstance(each, list) and each and isinstance(each[0], str)]


def _ordered(layers: list[Layer], output: str) -> list[Layer]:
    """The layers that the output needs, each after those that it reads."""
    by_name = {layer.name: layer for layer in layers}
    ordered: list[Layer] = []
    states: dict[str, bool] = {}  # False while what a layer reads is being ordered
    stack = [output]
    while stack:
        name = stack[-1]
        if name not in by_name:
            raise MessageError(_("a layer reads {name!r}, and there is no such layer", name=name[:80]))
        layer = by_name[name]
        if any(states.get(each) is False for each in layer.inputs):
            raise layer.problem(_("it reads its own output"))
        missing = [each for each in layer.inputs if each not in states]
        if missing:
            states[name] = False
            stack += missing
            continue
        stack.pop()
        if not states.get(name):
            states[name] = True
            ordered.append(layer)
    return [layer for layer in ordered if layer.kind != "InputLayer"]


def _stated_shape(config: Mapping[str, Any]) -> tuple[int | None, ...] | None:
    """The shape of the input in the settings of a layer; None if they have none."""
    for key in ("batch_shape", "batch_input_shape"):
        if key in config:
            return _shape(config[key])
    return None


def _shape(value: Any) -> tuple[int | None, ...] | None:
    """A shape without that of the batch."""
    if not isinstance(value, list) or len(value) < 2:
        return None
    if not all(n is None or (isinstance(n, int) and not isinstance(n, bool) and 0 < n < 2**31) for n in value[1:]):
        return None
    return tuple(value[1:])
