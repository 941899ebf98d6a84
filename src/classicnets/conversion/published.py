"""Networks that torchvision and Gluon have, as facts: their layers, and the names of their layers with weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import zip_longest
from typing import Any

from classicnets.conversion.layer_kinds import input_shapes, is_rounded_down
from classicnets.models.graph import DATA, Graph, Node
from classicnets.models.graph_kinds import Shape, with_defaults
from classicnets.text import _
from classicnets.text import shape as shape_text

_PASSED = {"dropout", "flatten"}  # kinds without effect on predictions, or on the order of values


@dataclass(frozen=True, kw_only=True)
class Published:
    """A network of a library.

    Attributes:
        name: how the library calls it.
        layers: its layers as `describe` writes them; "*" stands for any text.
        names: the names of its layers with weights, in the order of computation.
    """

    name: str
    layers: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Match:
    """The most similar network of a library.

    Attributes:
        published: that network.
        names: the names of its layers by those of the nodes with weights; empty if a layer differs.
        difference: the first layer that differs, in words.
    """

    published: Published
    names: dict[str, str]
    difference: str


def match(graph: Graph, published: Sequence[Published]) -> Match:
    """Return the network of a library that has the same layers, or that which differs last.

    Dropout, flattening and a softmax at the end do not count, and neither does the number of classes.

    Raises:
        ValueError: a layer reads several others, which no network here does.
    """
    described = describe(graph)
    texts = [text for _node, text in described]
    best = max(published, key=lambda each: _agreement(texts, each.layers))
    i = _agreement(texts, best.layers)
    if i == len(texts) == len(best.layers):
        with_weights = [node.name for node, text in described if text.startswith(("conv ", "dense "))]
        return Match(published=best, names=dict(zip(with_weights, best.names, strict=True)), difference="")
    stated = best.layers[i] if i < len(best.layers) else _("nothing")
    if i == len(texts):
        difference = _("after its last layer, {name} has: {layer}", name=best.name, layer=stated)
    else:
        fields = {"node": described[i][0].name, "own": texts[i], "name": best.name, "layer": stated}
        difference = _("layer {node} is: {own}; {name} has there: {layer}", **fields)
    return Match(published=best, names={}, difference=difference)


def describe(graph: Graph) -> list[tuple[Node, str]]:
    """Return each layer of a chain and what it is, such as "conv 3>64 11x11, stride 4, padding 2".

    The rounding of a pooling layer is left out if both give the same. Dropout, flattening and a softmax at the end
    are left out.

    Raises:
        ValueError: a layer reads several others, or not the one before it.
    """
    described, before, shapes = [], DATA, input_shapes(graph)
    for node in graph.nodes:
        if node.inputs != (before,):
            raise ValueError(_("layer {name} does not read only the layer before it", name=node.name))
        before = node.name
        if node.kind not in _PASSED and (node.kind != "softmax" or node is not graph.nodes[-1]):
            words = _words(node.kind, with_defaults(node.kind, node.settings), shapes[node.name])
            described.append((node, words))
    return described


def _agreement(texts: Sequence[str], patterns: Sequence[str]) -> int:
    """Number of layers before the first one that differs."""
    pairs = zip_longest(texts, patterns, fillvalue="")
    return next((i for i, (text, pattern) in enumerate(pairs) if not fnmatchcase(text, pattern)), len(texts))


def _words(kind: str, s: Mapping[str, Any], shape: Shape) -> str:
    """A layer in words; `shape` is that of its input."""
    if kind == "conv":
        parts = [f"conv {shape[0]}>{s['out']} {shape_text(s['kernel'])}", *_window(s)]
        parts += [f"dilation {shape_text(s['dilation'])}"] if [*s["dilation"]] != [1, 1] else []
        parts += [f"{s['groups']} groups"] if s["groups"] != 1 else []
        return ", ".join(parts if s["bias"] else [*parts, "no bias"])
    if kind == "dense":
        return f"dense {shape[0]}>{s['out']}" + ("" if s["bias"] else ", no bias")
    if kind == "pool" and not s["whole"]:
        s = {**s, "padding": s["padding"] or [0, 0]}
        parts = [f"{s['mode']} pooling {shape_text(s['kernel'])}", *_window(s)]
        parts += ["rounded up"] if s["ceil"] and not is_rounded_down(shape[1:], s) else []
        is_padded = any(s["padding"]) and s["count_padding"] is False
        return ", ".join([*parts, "padding not counted"] if is_padded else parts)
    values = {name: value for name, value in s.items() if value is not None and (name, value) != ("slope", 0)}
    return ", ".join([kind, *(f"{name} {value}" for name, value in values.items())])


def _window(s: Mapping[str, Any]) -> list[str]:
    pairs = {"stride": (1, s["stride"]), "padding": (0, s["padding"])}
    return [
        f"{name} {pair[0] if pair[0] == pair[1] else shape_text(pair)}"
        for name, (default, pair) in pairs.items()
        if [*pair] != [default, default]
    ]


# ---------------------------------------------------------------------------------------------------------------- facts

_ALEXNET = (
    "conv 3>64 11x11, stride 4, padding 2", "relu", "max pooling 3x3, stride 2",
    "conv 64>192 5x5, padding 2", "relu", "max pooling 3x3, stride 2",
    "conv 192>384 3x3, padding 1", "relu",
    "conv 384>256 3x3, padding 1", "relu",
    "conv 256>256 3x3, padding 1", "relu", "max pooling 3x3, stride 2",
    "dense 9216>4096", "relu", "dense 4096>4096", "relu", "dense 4096>*",
)  # fmt: skip
_BOOK_ALEXNET = (
    "conv *>96 11x11, stride 4", "relu", "max pooling 3x3, stride 2",
    "conv 96>256 5x5, padding 2", "relu", "max pooling 3x3, stride 2",
    "conv 256>384 3x3, padding 1", "relu",
    "conv 384>384 3x3, padding 1", "relu",
    "conv 384>256 3x3, padding 1", "relu", "max pooling 3x3, stride 2",
    "dense *>4096", "relu", "dense 4096>4096", "relu", "dense 4096>*",
)  # fmt: skip
_BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # convolutions of VGG
_WIDTHS = (64, 128, 256, 512, 512)


def _book_lenet(first: str, pooling: str) -> Published:
    """The LeNet of an edition of the book, by its first convolution and its pooling."""
    pool, sigmoid = f"{pooling} pooling 2x2, stride 2", "sigmoid"
    layers = (first, sigmoid, pool, "conv 6>16 5x5", sigmoid, pool, "dense *>120", sigmoid, "dense 120>84", sigmoid)
    return _published("the book's LeNet", (*layers, "dense 84>*"), "0 2 4 5 6")


def _vgg(depth: int, dense: str) -> Published:
    """VGG of a depth. Each convolution, ReLU and pooling layer is one of `features`; `dense` names the dense layers."""
    layers, names, channels = list[str](), list[str](), 3
    for count, width in zip(_BLOCKS[depth], _WIDTHS, strict=True):
        for _i in range(count):
            names.append(f"features.{len(layers)}")
            layers += [f"conv {channels}>{width} 3x3, padding 1", "relu"]
            channels = width
        layers.append("max pooling 2x2, stride 2")
    names += dense.format(len(layers), len(layers) + 2).split()
    layers += ["dense 25088>4096", "relu", "dense 4096>4096", "relu", "dense 4096>*"]
    return Published(name=f"vgg{depth}", layers=tuple(layers), names=tuple(names))


def _published(name: str, layers: tuple[str, ...], names: str) -> Published:
    return Published(name=name, layers=layers, names=tuple(names.split()))


# Source: pytorch/vision, torchvision/models/alexnet.py and vgg.py.
TORCHVISION = (
    _published(
        "alexnet",
        _ALEXNET,
        "features.0 features.3 features.6 features.8 features.10 classifier.1 classifier.4 classifier.6",
    ),
    *(_vgg(depth, "classifier.0 classifier.3 classifier.6") for depth in _BLOCKS),
)
# Source: apache/mxnet, python/mxnet/gluon/model_zoo/vision/alexnet.py and vgg.py; d2l-ai/d2l-zh, branch v1 and the
# MXNet code of the second edition, whose layers have their activation inside.
GLUON = (
    _published(
        "the model zoo's alexnet",
        _ALEXNET,
        "features.0 features.2 features.4 features.5 features.6 features.9 features.11 output",
    ),
    *(_vgg(depth, "features.{} features.{} output") for depth in _BLOCKS),
    _published("the book's AlexNet", _BOOK_ALEXNET, "0 2 4 5 6 8 10 12"),
    _book_lenet("conv *>6 5x5", "max"),
    _book_lenet("conv *>6 5x5, padding 2", "average"),
)
