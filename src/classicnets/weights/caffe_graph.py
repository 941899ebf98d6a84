"""Turns the layers of a Caffe network into nodes of a graph.

Source of all defaults: https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from classicnets.models.graph import DATA, Node
from classicnets.text import _, join
from classicnets.text import shape as shape_text
from classicnets.weights.caffe_kinds import translate
from classicnets.weights.caffe_layers import INPUTS, Layer, layers, tested, unique_names
from classicnets.weights.messages import Message, MessageError

_LOSSES = {
    "SoftmaxWithLoss", "EuclideanLoss", "SigmoidCrossEntropyLoss", "HingeLoss", "InfogainLoss",
    "MultinomialLogisticLoss", "ContrastiveLoss",
}  # fmt: skip
_MEASURES = {"Accuracy", "Silence", "HDF5Output", "ArgMax"}
_MAX_CHANNELS = 2**31 - 1
_AXES = 4  # images, channels, height, width


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A network as a file defines it.

    Attributes:
        name: the name of the network; may be empty.
        nodes: its layers for testing, without losses, in the order of computation.
        input: channels, height and width of an image; None if the file does not state them.
        preprocessing: what the layer that reads the data does to the images: "scale", "crop" (height and width),
            "mean_file" and "mean_values", as far as stated.
    """

    name: str
    nodes: list[Node]
    input: tuple[int, int, int] | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)


def definition(net: Message) -> Definition:
    """Return the network that a file defines, as it is for testing.

    Raises:
        MessageError: a layer is unknown or contradicts itself, or the network has not one input and one output.
    """
    chosen = tested(layers(net), has_input="input" in net)
    if not chosen:
        raise _no_layers(net)
    inputs = [_Input(name, _stated(net, i)) for i, name in enumerate(net.all("input"))]
    inputs += [each for layer in chosen if layer.type in INPUTS for each in _inputs(layer)]
    image = next((each for each in inputs if each.name == DATA), inputs[0] if inputs else _Input("", None))
    blobs: dict[str, str | None] = dict.fromkeys((each.name for each in inputs), None)
    blobs[image.name] = DATA
    return Definition(
        name=net.one("name", ""),
        nodes=_nodes([layer for layer in chosen if layer.type not in INPUTS], blobs),
        input=_image_shape(image),
        preprocessing=_preprocessing(image.layer.transform) if image.layer else {},
    )


def _no_layers(net: Message) -> MessageError:
    if "base_lr" in net.unknown:
        hint = _("use the file that it names under net, train_net or test_net")
        return MessageError(_("the file configures the training of a network, and does not define one"), hint=hint)
    return MessageError(_("the file defines no layers of a network"))


# -------------------------------------------------------------------------------------------------------------- inputs


@dataclass(frozen=True)
class _Input:
    """A blob that the network is given, its shape, if stated, and the layer that reads it from somewhere."""

    name: str
    shape: tuple[int, ...] | None
    layer: Layer | None = None


def _stated(net: Message, i: int) -> tuple[int, ...] | None:
    """The shape of an input that the network declares beside its layers."""
    shapes, numbers = net.all("input_shape"), net.all("input_dim")[i * _AXES : (i + 1) * _AXES]
    if i < len(shapes):
        return tuple(shapes[i].all("dim"))
    return tuple(numbers) if len(numbers) == _AXES else None


def _inputs(layer: Layer) -> Iterator[_Input]:
    """What a layer of data gives; its first blob has the images."""
    settings, shape = layer.settings, None
    shapes = settings.all("shape")
    sizes = [settings.one(name) for name in ("channels", "height", "width")]
    for i, top in enumerate(layer.tops):
        if shapes:
            shape = tuple(shapes[min(i, len(shapes) - 1)].all("dim"))
        else:
            shape = (1, *sizes) if None not in sizes and not i else None
        yield _Input(top, shape, layer)


def _image_shape(image: _Input) -> tuple[int, int, int] | None:
    """Channels, height and width of the images."""
    if image.shape is None:
        return None
    if len(image.shape) != _AXES or not all(0 < n <= _MAX_CHANNELS for n in image.shape[1:]):
        stated = shape_text(image.shape[:_AXES])
        what = _(
            "the input {name} has the shape {shape}; images have number, channels, height and width",
            name=image.name,
            shape=stated,
        )
        raise MessageError(what, image.layer.settings.place("shape") if image.layer else "")
    _number, channels, height, width = image.shape
    return channels, height, width


def _preprocessing(transform: Message) -> dict[str, Any]:
    names = {"scale": "scale", "crop_size": "crop", "mean_file": "mean_file"}
    values = {name: transform.one(key) for key, name in names.items() if key in transform}
    return values | ({"mean_values": transform.all("mean_value")} if "mean_value" in transform else {})


# --------------------------------------------------------------------------------------------------------------- nodes


def _nodes(chosen: list[Layer], blobs: dict[str, str | None]) -> list[Node]:
    """The nodes of layers in the order of computation.

    Args:
        chosen: layers other than those that give data.
        blobs: the node that has written each blob; None if it has no images. A layer that writes into its input
            becomes a node of its own, which later layers read.
    """
    nodes: list[Node] = []
    silenced = set[str]()
    for name, layer in zip(unique_names(chosen, taken=DATA), chosen, strict=True):
        is_last = layer.type in _LOSSES or layer.type in _MEASURES
        inputs = [
            _input(layer, bottom, blobs, may_be_labels=is_last or layer.type == "Split") for bottom in layer.bottoms
        ]
        for top in layer.tops:
            if top in blobs and top not in layer.bottoms:
                raise layer.problem(_("it writes the blob {blob}, which another layer writes, too", blob=top))
        blobs.update(dict.fromkeys(layer.tops, None))
        if layer.type == "Split":
            blobs.update(dict.fromkeys(layer.tops, inputs[0] if inputs else None))
        elif layer.type == "Silence":
            silenced.update(each for each in inputs if each)
        elif not is_last:
            if not layer.tops or not layer.bottoms:
                raise layer.problem(_("it reads or writes nothing"))
            kind, settings = translate(layer)
            nodes.append(Node(name=name, kind=kind, inputs=tuple(each or "" for each in inputs), settings=settings))
            blobs[layer.tops[0]] = name
    return _with_one_output(nodes, silenced)


def _input(layer: Layer, bottom: str, blobs: dict[str, str | None], *, may_be_labels: bool) -> str | None:
    """The node that a layer reads."""
    if bottom not in blobs:
        raise layer.problem(_("it reads the blob {blob}, which no layer before it writes", blob=bottom))
    node = blobs[bottom]
    if node is None and not may_be_labels:
        raise layer.problem(_("it reads the blob {blob}, which is not computed from the images", blob=bottom))
    return node


def _with_one_output(nodes: list[Node], silenced: set[str]) -> list[Node]:
    """The nodes that the output depends on, which is the only one that nothing reads."""
    read = {name for node in nodes for name in node.inputs}
    outputs = [node.name for node in nodes if node.name not in read]
    if len(outputs) > 1:
        outputs = [name for name in outputs if name not in silenced] or outputs
    if len(outputs) != 1:
        if not nodes:
            raise MessageError(_("the network has no layers beside its input"))
        raise MessageError(
            _("the network has {n} outputs: {names}", n=len(outputs), names=join(outputs)),
            hint=_("use a definition for prediction (deploy.prototxt), or remove all but one with their layers"),
        )
    needed = set(outputs)
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return [node for node in nodes if node.name in needed]
