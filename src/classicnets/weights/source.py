"""What files of weights hold: the tensors of one file, and the network that it or a file beside it defines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classicnets.errors import DataError
from classicnets.files import mapped
from classicnets.models.graph import DATA, Graph, Node, module_name
from classicnets.runs import checkpoint, graph_file
from classicnets.strict_json import parse
from classicnets.text import _, command
from classicnets.weights import caffe, caffe_graph, files, formats, keras, mxnet_symbol, node_tensors
from classicnets.weights.mxnet_symbol import Symbol

_START_BYTES = 512
_MAX_NAME = 200  # characters
_MAX_JSON_BYTES = 16 * 2**20
_NUMBERED = re.compile(r"-\d{4}$")  # the epoch in the names of MXNet's files
_WITH_DEFINITION = {"caffe", "keras"}  # formats whose files of weights may define the network, too
_SYMBOL_SUFFIX = "-symbol.json"

Shape = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A network that a file defines.

    Attributes:
        path: the file.
        name: the name of the network; "" if it has none.
        nodes: the layers in the order of computation.
        input: channels, height and width of an image; None if the file does not state them.
        preprocessing: what the layer that reads the images does to them, as `caffe_graph.Definition` has it.
        symbol: the network of MXNet, if it is one, which knows the names of its weights.
    """

    path: Path
    name: str
    nodes: tuple[Node, ...]
    input: Shape | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)
    symbol: Symbol | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """What files of weights hold: tensors and, if a file has it, the network.

    Attributes:
        path: the file of weights.
        format: "safetensors", "torch", "mxnet", "numpy", "caffe" or "keras".
        tensors: with a graph, the weights of its nodes in torch's layout, such as "conv1.weight"; without one, all
            tensors by the names of the file (without the prefix of a classicnets checkpoint).
        graph_path: the file that the graph is from, which may be the file of weights; None without a graph.
        name: the name of the network; "" if unknown.
        nodes: the layers in the order of computation; () without a graph.
        input: channels, height and width of an image, as stated; a definition of Caffe that only crops its images
            states height and width by that. None if unknown; then `image_sizes` tells which fit.
        preprocessing: what the network's own layer of data does to the images: "scale", "crop", "mean_file" and
            "mean_values", as far as stated.
        run: the metadata of a classicnets checkpoint; {} for other files.
    """

    path: Path
    format: str
    tensors: dict[str, Tensor]
    graph_path: Path | None
    name: str
    nodes: tuple[Node, ...] = ()
    input: Shape | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    def graph(self, input: Shape) -> Graph:
        """Return the network for images of this shape; its nodes must be there."""
        name = "".join(filter(str.isprintable, self.name or self.path.stem))
        return Graph(name=name[:_MAX_NAME], input=input, nodes=self.nodes)


def read(path: Path, graph: Path | None = None, *, data: bool) -> Source:
    """Read a file of weights, and the network that it belongs to, if a file defines it.

    Without `graph`, a .caffemodel gives the definition inside it, if a network can be built from that; NAME.params and
    NAME-0010.params take NAME-symbol.json beside them, if it exists.

    Args:
        path: a file of weights, whatever its name.
        graph: the network: a .prototxt, a .caffemodel, a -symbol.json of MXNet, or a graph file of classicnets,
            whatever its name.
        data: whether to read the values; otherwise the tensors are on the meta device and have only shapes.

    Raises:
        DataError: CN305 if a file cannot be read, or is another file than it should be; CN306 if a weight that the
            graph needs is missing or has another shape.
        UsageError: CN205 if a graph file of classicnets is not valid.
    """
    content = files.read_content(path, data=data)
    tensors = (checkpoint.weights(content.tensors) or content.tensors) if content.metadata else content.tensors
    beside = _symbol_beside(path) if content.format in {"mxnet", "numpy"} and not graph else None
    if graph or beside:
        definition = read_definition(graph or beside or path)
        try:
            source = _joined(path, content, tensors, definition)
        except DataError as error:
            if beside:  # it was not asked for
                error.hints = (*error.hints, _("rename {name} if it is of another network", name=beside.name))
            raise
        return source
    if content.format in _WITH_DEFINITION:
        try:
            return _joined(path, content, tensors, read_definition(path))
        except DataError:  # published files may have only the layers with weights, or layers that are not known
            pass
    return Source(path=path, format=content.format, tensors=tensors, graph_path=None, name="", run=content.metadata)


def read_definition(path: Path) -> Definition:
    """Read the network that a file defines: a .prototxt, .caffemodel, -symbol.json or graph file, by its content.

    Raises:
        DataError: CN305 if the file cannot be read, or defines no network; the error says what it is.
        UsageError: CN205 if a graph file of classicnets is not valid.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
            is_caffe, is_keras = caffe.is_model(mapped(path)), keras.sniff(file)
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError("CN305", _("the file of the network cannot be opened"), where=str(path), why=why) from error
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        return _read_json(path)
    if is_keras:
        return _of(path, keras.graph(path))
    if not is_caffe:
        formats.refuse_graph(path, start)
    return _of(path, caffe.graph(path))


def _of(path: Path, read: caffe_graph.Definition) -> Definition:
    return Definition(
        path=path, name=read.name, nodes=tuple(read.nodes), input=read.input, preprocessing=read.preprocessing
    )


def _read_json(path: Path) -> Definition:
    with path.open("rb") as file:
        content = file.read(_MAX_JSON_BYTES)
    try:
        values = parse(content)
    except ValueError:  # the readers say what is wrong
        values = None
    if isinstance(values, dict) and values.get("format") == graph_file.FORMAT:
        graph = graph_file.read(path)
        return Definition(path=path, name=graph.name, nodes=graph.nodes, input=graph.input)
    if isinstance(values, dict) and "nodes" not in values:
        what = _("the file is text in JSON, and defines no network")
        raise DataError("CN305", what, where=str(path), why=formats.networks())
    symbol = mxnet_symbol.read(path)
    return Definition(path=path, name="", nodes=tuple(symbol.nodes), input=symbol.input_shape, symbol=symbol)


def _symbol_beside(path: Path) -> Path | None:
    """The graph that MXNet saves with a file of weights, if it exists."""
    beside = path.with_name(_NUMBERED.sub("", path.stem) + _SYMBOL_SUFFIX)
    return beside if path.suffix == ".params" and beside.is_file() else None


# ------------------------------------------------------------------------------------------------- weights of the nodes


def _joined(path: Path, content: files.Content, tensors: dict[str, Tensor], definition: Definition) -> Source:
    """Name the weights by the nodes. Raises DataError CN306 if they do not fit, and CN305 if the graph is not valid."""
    where = str(path) if path == definition.path else f"{path}, {definition.path}"
    try:
        if definition.symbol and content.format in {"mxnet", "numpy"}:
            named = definition.symbol.name_tensors(tensors)
        else:
            named = _name_tensors(definition.nodes, tensors)
        input = definition.input or _cropped(definition, named)
        _check_shapes(definition.nodes, named, _expected(definition, input))
    except DataError as error:
        hint = error.hints or command("classicnets", "weights", "identify", path)
        raise DataError(error.code, error.what, where=where, why=error.why, hint=hint) from error
    return Source(
        path=path,
        format=content.format,
        tensors=named,
        graph_path=definition.path,
        name=definition.name,
        nodes=definition.nodes,
        input=input,
        preprocessing=definition.preprocessing,
        run=content.metadata,
    )


def _name_tensors(nodes: tuple[Node, ...], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that the nodes need, by node, from a file with the names of the nodes or of their modules."""
    needed = [(node, parameter) for node in nodes for parameter in node_tensors.shapes(node)]
    prefix = files.prefix_of(tensors, [f"{module_name(node.name)}.{parameter}" for node, parameter in needed])
    problems, named = [], {}
    for node, parameter in needed:
        name = f"{node.name}.{parameter}"
        tensor = tensors.get(name, tensors.get(f"{prefix}{module_name(node.name)}.{parameter}"))
        if tensor is None:
            problems.append(node_tensors.missing(name, node))
        else:
            named[name] = tensor
    _refuse(problems)
    return named


def _check_shapes(
    nodes: tuple[Node, ...], named: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]
) -> None:
    problems = []
    for node in nodes:
        for parameter, shape in node_tensors.shapes(node).items():
            found, name = named[f"{node.name}.{parameter}"].shape, f"{node.name}.{parameter}"
            wanted = expected.get(f"{module_name(node.name)}.{parameter}", shape)
            if not node_tensors.agree(found, wanted):
                problems.append(node_tensors.mismatch(name, found, wanted, node))
    _refuse(problems)


def _refuse(problems: list[str]) -> None:
    if problems:
        why = "\n".join(node_tensors.first(problems))
        raise DataError("CN306", _("the weights do not fit the graph"), why=why)


def _expected(definition: Definition, input: Shape | None) -> dict[str, tuple[int, ...]]:
    """The shapes of all weights by their names in the module; {} if they depend on a size that is not known."""
    if input is None:
        return {}
    try:
        with torch.device("meta"):
            net = Graph(name="", input=input, nodes=definition.nodes).build()
    except ValueError as error:
        what = _("the graph is not a network that can be built")
        raise DataError("CN305", what, why=str(error)) from error
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


def _cropped(definition: Definition, named: Mapping[str, Tensor]) -> Shape | None:
    """The shape of the images that a definition crops to a size, with the channels that its weights read."""
    size, channels = definition.preprocessing.get("crop"), first_channels(definition.nodes, named)
    return (channels, size, size) if size and channels else None


def first_channels(nodes: tuple[Node, ...], named: Mapping[str, Tensor]) -> int | None:
    """Return the channels of the images, by the weights of the convolution that reads them; None if unknown."""
    images = {DATA}
    for node in nodes:
        if images.isdisjoint(node.inputs):
            continue
        if node.kind == "conv" and named[f"{node.name}.weight"].dim() == 4:
            return named[f"{node.name}.weight"].shape[1] * int(node.settings.get("groups", 1))
        images.add(node.name)
    return None


# ------------------------------------------------------------------------------------------------------ sizes of images


def image_sizes(source: Source) -> range:
    """Return the heights (equal to the widths) of images that fit the weights of a graph; empty if none or unknown.

    A dense layer reads as many values as its weights, so that they tell the size of the images, up to the pixels that
    strides leave out. Sizes up to 1,024 are tried, for networks of up to 1,000 layers.
    """
    if len(source.nodes) > _MAX_NODES:
        return range(0)
    dense = next((node for node in source.nodes if node.kind == "dense"), None)
    count = first_channels(source.nodes, source.tensors)
    if not dense or not count:
        return range(0)
    before = tuple(_before(source.nodes, dense))
    wanted = source.tensors[f"{dense.name}.weight"].shape[1]
    first, end = (_first_size(before, count, values) for values in (wanted, wanted + 1))
    return range(first, end) if _values(before, (count, first, first)) == wanted else range(0)


_MAX_SIZE, _MAX_NODES = 1024, 1000


def _first_size(nodes: tuple[Node, ...], channels: int, count: int) -> int:
    """The smallest size of images for which the last of the nodes has at least this number of values, by bisection."""
    low, high = 1, _MAX_SIZE + 1
    while low < high:
        middle = (low + high) // 2
        if _values(nodes, (channels, middle, middle)) < count:
            low = middle + 1
        else:
            high = middle
    return low


def _values(nodes: tuple[Node, ...], input: Shape) -> int:
    """The number of values of the last node's output; 0 if images of this shape are too small."""
    if not nodes:
        return input[0] * input[1] * input[2]
    try:
        shape = Graph(name="", input=input, nodes=nodes).output_shape
    except ValueError:
        return 0
    return int(torch.Size(shape).numel())


def _before(nodes: tuple[Node, ...], node: Node) -> Iterator[Node]:
    """The nodes that a node is computed from."""
    needed = set(node.inputs)
    for other in reversed(nodes):
        if other.name in needed:
            needed.update(other.inputs)
    yield from (other for other in nodes if other.name in needed)
