"""The layers of a Caffe file in one form: the names and settings of today, whichever of three generations it has.

Source of the older forms: https://github.com/BVLC/caffe/blob/master/src/caffe/util/upgrade_proto.cpp
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from classicnets.text import _
from classicnets.weights.caffe_schema import LAYER
from classicnets.weights.messages import Message, MessageError, Schema

_TYPES_OF_V1 = {  # the others differ from the current name only in case and underscores
    "ABSVAL": "AbsVal", "ARGMAX": "ArgMax", "BNLL": "BNLL", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN", "MVN": "MVN", "RELU": "ReLU", "SOFTMAX_LOSS": "SoftmaxWithLoss", "TANH": "TanH",
}  # fmt: skip
_TYPES_OF_V0 = {
    "accuracy": "Accuracy", "bnll": "BNLL", "concat": "Concat", "conv": "Convolution", "data": "Data",
    "dropout": "Dropout", "euclidean_loss": "EuclideanLoss", "flatten": "Flatten", "hdf5_data": "HDF5Data",
    "hdf5_output": "HDF5Output", "im2col": "Im2col", "images": "ImageData", "infogain_loss": "InfogainLoss",
    "innerproduct": "InnerProduct", "lrn": "LRN", "multinomial_logistic_loss": "MultinomialLogisticLoss",
    "pool": "Pooling", "relu": "ReLU", "sigmoid": "Sigmoid", "softmax": "Softmax", "softmax_loss": "SoftmaxWithLoss",
    "split": "Split", "tanh": "TanH", "window_data": "WindowData",
}  # fmt: skip
_NAMES_OF_V0 = {"biasterm": "bias_term", "kernelsize": "kernel_size", "meanfile": "mean_file", "cropsize": "crop_size"}
_PARAMETERS = {  # the field with the settings of each type
    "BatchNorm": "batch_norm_param",
    "Concat": "concat_param",
    "Convolution": "convolution_param",
    "Data": "data_param",
    "Dropout": "dropout_param",
    "DummyData": "dummy_data_param",
    "ELU": "elu_param",
    "Eltwise": "eltwise_param",
    "Exp": "exp_param",
    "Flatten": "flatten_param",
    "ImageData": "image_data_param",
    "InnerProduct": "inner_product_param",
    "Input": "input_param",
    "LRN": "lrn_param",
    "Log": "log_param",
    "MemoryData": "memory_data_param",
    "PReLU": "prelu_param",
    "Pooling": "pooling_param",
    "Power": "power_param",
    "ReLU": "relu_param",
    "Reshape": "reshape_param",
    "Scale": "scale_param",
    "Softmax": "softmax_param",
    "WindowData": "window_data_param",
}
WITH_WEIGHTS = {"Convolution", "InnerProduct", "BatchNorm", "Scale", "PReLU"}
_MAX_LAYERS = 10_000
INPUTS = {"Input", "Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "DummyData"}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of a Caffe network, as today's prototxts write it.

    Attributes:
        name: its name; may be empty.
        type: its type, such as "Convolution".
        bottoms: names of the blobs that it reads.
        tops: names of the blobs that it writes.
        settings: the message with the settings of its type; empty for other types.
        transform: the preprocessing of a layer that reads data.
        blobs: its weights, if the file has them.
        rules: the rules that include it in some networks, and those that exclude it.
        message: what the file has of it.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    settings: Message
    transform: Message
    blobs: list[Message]
    rules: tuple[list[Message], list[Message]] = field(default=([], []))
    message: Message

    def problem(self, what: str, setting: str = "", *, hint: str = "") -> MessageError:
        """Return an error that names the layer, and the line or byte of one of its settings."""
        what = _("layer {name} ({type}): {what}", name=self.name or "''", type=self.type, what=what)
        place = self.settings.place(setting) if setting in self.settings else self.message.place()
        return MessageError(what, place, hint=hint)


def layers(net: Message) -> list[Layer]:
    """Return all layers of a network, in order, for training and testing.

    Raises:
        MessageError: there are too many layers, or some of two generations, or a type is missing.
    """
    new, old = net.all("layer"), net.all("layers")
    if len(new) + len(old) > _MAX_LAYERS:
        raise MessageError(_("the network has more than {n:,} layers", n=_MAX_LAYERS))
    if new and old:
        raise MessageError(
            _("the network has layers of two formats, which Caffe does not read, either"), new[0].place()
        )
    if any("layer" in message for message in old):
        return _without_padding_layers([_v0(message) for message in old])
    return [_layer(message, _type(message)) for message in new or old]


def tested(all_layers: list[Layer], *, has_input: bool) -> list[Layer]:
    """Return the layers of the network for testing.

    A file of weights contains the network that was trained, whose rules have been applied already; if the network for
    testing has no input, the one for training is returned.

    Args:
        all_layers: layers as `layers` gives them.
        has_input: whether the network declares inputs that are no layers.
    """
    chosen = [layer for layer in all_layers if _is_included(layer, "TEST")]
    if has_input or any(layer.type in INPUTS for layer in chosen):
        return chosen
    return [layer for layer in all_layers if _is_included(layer, "TRAIN")]


def _is_included(layer: Layer, phase: str) -> bool:
    include, exclude = layer.rules
    if include and exclude:
        raise layer.problem(_("it has include and exclude rules, and Caffe allows only one kind"))
    if include:
        return any(_meets(phase, rule) for rule in include)
    return not any(_meets(phase, rule) for rule in exclude)


def _meets(phase: str, rule: Message) -> bool:
    """Whether a network in a phase, at level 0 and without stages, meets a rule."""
    is_level = rule.one("min_level", 0) <= 0 <= rule.one("max_level", 0)
    return rule.one("phase", phase) == phase and is_level and not rule.all("stage")


def _type(message: Message) -> str:
    """The type of a layer in the words of today."""
    kind: str = message.one("type", "")
    if message.schema is LAYER or not kind:
        return kind
    if kind in _TYPES_OF_V1:
        return _TYPES_OF_V1[kind]
    return "".join(part.capitalize() for part in kind.split("_"))


def _layer(message: Message, kind: str) -> Layer:
    name = message.one("name", "")
    if not kind or kind == "None":
        raise MessageError(_("layer {name} has no type", name=name or "''"), message.place())
    parameter = _PARAMETERS.get(kind, "")
    known = parameter in message.schema.by_name
    transform = message.message("transform_param")
    if "data" in parameter and known:  # before 2014, the settings of the data had them
        old = message.message(parameter)
        transform = _joined(transform, old, transform.schema)
    return Layer(
        name=name,
        type=kind,
        bottoms=tuple(message.all("bottom")),
        tops=tuple(message.all("top")),
        settings=message.message(parameter) if known else Message(Schema("", {}), message.at, message.in_text),
        transform=transform,
        blobs=message.all("blobs"),
        rules=(message.all("include"), message.all("exclude")),
        message=message,
    )


def _v0(message: Message) -> Layer:
    """A layer of 2013, which has its name, type and settings in a message `layer`."""
    inner = message.message("layer")
    kind = inner.one("type", "")
    upgraded = Message(LAYER, message.at, message.in_text)
    new_kind = _TYPES_OF_V0.get(kind, kind)
    for name in ("bottom", "top"):
        upgraded.values[name], upgraded.places[name] = message.all(name), message.places.get(name, [])
    for name in ("name", "blobs"):
        upgraded.values[name], upgraded.places[name] = inner.all(name), inner.places.get(name, [])
    for field_name in ("transform_param", _PARAMETERS.get(new_kind, "")):
        if field_name and not (field_name == "data_param" or field_name.endswith("_data_param")):
            schema = LAYER.by_name[field_name].kind
            assert isinstance(schema, Schema)
            upgraded.add(field_name, _joined(Message(schema, inner.at, inner.in_text), inner, schema), inner.at)
    layer = _layer(upgraded, new_kind)
    return replace(layer, settings=inner) if kind == "padding" else layer


def _joined(message: Message, other: Message, schema: Schema) -> Message:
    """The fields of `message`, and those of `other` that the schema has, under the names of today."""
    joined = Message(schema, message.at, message.in_text, dict(message.values), dict(message.places))
    for old_name, values in other.values.items():
        name = _NAMES_OF_V0.get(old_name, old_name)
        if name in schema.by_name and name not in joined:
            joined.values[name], joined.places[name] = values, other.places[old_name]
    return joined


def _without_padding_layers(v0_layers: list[Layer]) -> list[Layer]:
    """Move the padding of layers of their own, as they were in 2013, into the layers that read them."""
    made: dict[str, Layer] = {}  # by the blobs that they write
    result = []
    for layer in v0_layers:
        padding = [made[bottom] for bottom in layer.bottoms if bottom in made and made[bottom].type == "padding"]
        made.update(dict.fromkeys(layer.tops, layer))
        if layer.type == "padding":
            continue
        if padding:
            if layer.type not in ("Convolution", "Pooling") or len(layer.bottoms) != 1 or len(padding[0].bottoms) != 1:
                raise layer.problem(_("it reads a layer of padding, which only convolutions and pooling can"))
            pad: Any = padding[0].settings.one("pad", 0)
            settings = _joined(layer.settings, layer.settings, layer.settings.schema)
            settings.values["pad"], settings.places["pad"] = [pad], [padding[0].settings.at]
            layer = replace(layer, bottoms=padding[0].bottoms, settings=settings)  # noqa: PLW2901
        result.append(layer)
    return result


def unique_names(chosen: list[Layer], *, taken: str) -> list[str]:
    """Return a name for each layer: that of the file, except that layers without weights may get a number.

    Args:
        chosen: the layers of one network.
        taken: a name that no layer may have.

    Raises:
        MessageError: a layer with weights has the name of another one, or the one that is taken.
    """
    names = {taken}
    for layer in chosen:
        if layer.type in WITH_WEIGHTS or layer.blobs:
            if layer.name in names:
                raise layer.problem(_("another layer with weights, or the image, has this name"))
            names.add(layer.name)
    numbers, unique = Counter[str](), list[str]()
    for layer in chosen:
        name = layer.name
        if not (layer.type in WITH_WEIGHTS or layer.blobs):
            stem = name = layer.name or layer.type.lower()
            while name in names:
                numbers[stem] += 1
                name = f"{stem}_{numbers[stem] + 1}"
            names.add(name)
        unique.append(name)
    return unique
