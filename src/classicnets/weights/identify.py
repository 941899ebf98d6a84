"""Identifies files of weights: their library, the network that they belong to, and what to do with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from classicnets.errors import DataError
from classicnets.models.graph import Graph, Node
from classicnets.models.messages import reason
from classicnets.models.registry import NETS
from classicnets.runs.net_spec import NetSpec
from classicnets.text import _, clauses
from classicnets.text import shape as shape_text
from classicnets.weights import advice, caffe, files, formats, same_function, source
from classicnets.weights.besides import besides
from classicnets.weights.differences import Difference, first_difference, similarity
from classicnets.weights.identity import Companion, Identity, Match, Network
from classicnets.weights.recognize import Recognized, best_fit, by_graph, by_names, state_on_meta
from classicnets.weights.source import Definition, Source

_CHECKPOINT_PREFIX = "net/"  # prefix of the weights in a classicnets checkpoint
_LIBRARIES = {"caffe": ("caffe",), "mxnet": ("mxnet", "gluon"), "numpy": ("mxnet", "gluon"), "torch": ("pytorch",)}

_MAX_NODES = 1000  # of networks that are compared

Shape = tuple[int, int, int]


def identify(path: str | Path) -> Identity:
    """Find the network whose tensors a file has, for any prefix, number of classes and channels, and image size.

    Every network of the registry is built on the meta device and compared with the file by names and shapes; if the
    file, or NAME-symbol.json beside NAME.params, defines a network, also by what they compute. No value of a tensor is
    read, and no code in the file is run.

    Args:
        path: a file of safetensors, torch.save, MXNet, Caffe or Keras, whatever its name.

    Raises:
        DataError: CN305 if the file cannot be read, or has no tensors.
    """
    return _identity(source.read(Path(path), data=False))


def identify_files(paths: Sequence[str | Path]) -> list[Identity | Companion]:
    """Identify several files that may belong together, in any order.

    A network that a file defines (.prototxt, -symbol.json or graph file) is used for the weights that it fits. Other
    networks and mean images are described for themselves.

    Args:
        paths: files of weights, of networks, and mean images of Caffe.

    Returns:
        What is known about each file, except networks that are used for weights.

    Raises:
        DataError: CN305 if a file cannot be read; CN306 if weights and a network are given that do not fit.
        UsageError: CN205 if a graph file of classicnets is not valid.
    """
    kinds = {Path(path): formats.kind_of(Path(path)) for path in paths}
    definitions = [path for path, kind in kinds.items() if kind == "network"]
    means = [path for path, kind in kinds.items() if kind == "mean"]
    used = set[Path]()
    results: dict[Path, Identity | Companion] = {}
    for path in (path for path, kind in kinds.items() if kind == "weights"):
        read = _with_definition(path, definitions)
        used |= {read.graph_path} if read.graph_path in definitions else set()
        results[path] = _identity(read, means)
    for path in definitions:
        if path not in used:
            results[path] = _defined(source.read_definition(path), means)
    results |= {path: _mean(path) for path in means}
    return [results[path] for path in kinds if path in results]


def _with_definition(path: Path, definitions: Sequence[Path]) -> Source:
    """The weights with the first network that they fit. Raises DataError CN306 if there are some, and none fits."""
    errors = []
    for definition in definitions:
        try:
            return source.read(path, definition, data=False)
        except DataError as error:
            if error.code != "CN306":
                raise
            errors.append(error)
    if errors:
        raise errors[0]
    return source.read(path, data=False)


# ------------------------------------------------------------------------------------------------------------- weights


def _identity(read: Source, means: Sequence[Path] = ()) -> Identity:
    run = _run(read.run)
    prefix = _CHECKPOINT_PREFIX if run else ""
    matches = [_match(each, prefix) for each in by_names(read.tensors)]
    published = _published(matches, read.format)
    matches = published + [match for match in matches if match not in published]
    network, nearest = _network(read, matches) if read.nodes else None, None
    if run:
        matches, published = _own_first(matches, run), []
    is_known = not run or run["net"] in [match.net for match in matches]  # and has no changed layers
    if network and network.matches:
        matches, published = [*network.matches], []
    likely = len(published) if 0 < len(published) < len(matches) else 0
    if not matches and not network and not run:
        nearest = _nearest(read.tensors)
    # with a network, they have its names, and it may leave some out
    tensors = files.read(read.path, data=False)[0] if network else read.tensors
    loads = bool(matches) and _has_names(tensors, matches[0])
    return Identity(
        path=str(read.path),
        tensor_count=len(tensors),
        element_count=sum(tensor.numel() for tensor in tensors.values()),
        matches=tuple(matches),
        nearest=nearest,
        run=run,
        format=read.format,
        network=network,
        likely=likely,
        difference=None if network else _difference(matches[: likely if likely > 1 else None]),
        notes=(*(advice.notes(read, matches) if matches or network else ()), *_besides(read.path)),
        commands=tuple(advice.for_weights(read, matches, network, means, loads=loads)) if is_known else (),
    )


def _besides(path: Path) -> Iterator[str]:
    """A sentence that lists what a file holds besides the weights, if there is anything."""
    if others := besides(path):
        yield _("Also in the file, and not used: {entries}.", entries=clauses(others))


def _published(matches: Sequence[Match], format: str) -> list[Match]:
    """The networks that were published for the library of a file, with images of their own size if there are such."""
    words = _LIBRARIES.get(format, ())
    own = [match for match in matches if match.image_size == NETS[match.net].input[1]]
    return [match for match in own or matches if any(word in NETS[match.net].source.lower() for word in words)]


def _match(each: Recognized, prefix: str = "") -> Match:
    renamed = not all(source.endswith(name) for name, source in each.names.items())
    name, own = next(iter(each.names.items()), ("", ""))
    return Match(
        net=each.net,
        num_classes=each.num_classes,
        in_channels=each.in_channels,
        image_size=each.image_size,
        prefix="" if renamed else prefix + own.removesuffix(name),
        renamed=renamed,
    )


def _run(metadata: dict[str, Any]) -> dict[str, Any]:
    """The run in the metadata of a checkpoint; {} for metadata that classicnets does not write."""
    try:
        if "state" not in metadata and "net" in metadata:
            net = NetSpec(**metadata["net"]).display_name
            return {"net": net, "classes": metadata.get("classes"), "converted": True}
        state, recipe = metadata["state"], metadata["recipe"]
        fields = {"epoch": state["epoch"], "epochs": recipe["epochs"], "step": state["step"]}
        return {
            "net": NetSpec(**metadata["net"]).display_name,
            "data": metadata["data_name"],
            "recipe": recipe["source"],
            "seed": metadata["seed"],
            "epoch": _("epoch {epoch} of {epochs}, step {step}", **fields)
            if state["step"]
            else _("epoch {epoch} of {epochs}", **fields),
            "classes": metadata["classes"],
        }
    except (KeyError, TypeError, AttributeError):
        return {}


def _own_first(matches: Sequence[Match], run: Mapping[str, Any]) -> list[Match]:
    """The networks, with that of the run first, if it is one of them."""
    return sorted(matches, key=lambda match: match.net != run.get("net"))


def _built(match: Match) -> nn.Module:
    with torch.device("meta"):
        return NETS[match.net].load()(match.num_classes, match.in_channels, match.image_size)


def _has_names(tensors: Mapping[str, Tensor], match: Match) -> bool:
    """Whether a file has the names of a network, with any prefix, so that `train --weights` takes it."""
    names = state_on_meta(match.net, (match.num_classes, match.in_channels, match.image_size))
    prefix = files.prefix_of(tensors.keys(), names.keys())
    return all(prefix + name in tensors for name in names)


def _difference(matches: Sequence[Match]) -> Difference | None:
    return first_difference({match.net: _built(match) for match in matches}) if len(matches) > 1 else None


def _nearest(tensors: dict[str, Tensor]) -> Match | None:
    """The network most similar to a file, in the most similar configuration, and what differs."""
    fits = {net: best_fit(net, tensors) for net in NETS}
    net, fit = max(fits.items(), key=lambda item: item[1].similarity)
    if not fit.similarity:
        return None
    classes, channels, size = fit.configuration
    return Match(
        net=net,
        num_classes=classes,
        in_channels=channels,
        image_size=size,
        prefix=fit.prefix,
        renamed=fit.renamed,
        similarity=fit.similarity,
        differences=tuple(_tensor_differences(net, fit.state, fit.tensors, renamed=fit.renamed)),
    )


def _tensor_differences(
    net: str, state: Mapping[str, Tensor], tensors: Mapping[str, Tensor], *, renamed: bool
) -> Iterator[str]:
    """A sentence for each tensor that does not agree."""
    if renamed:
        unmatched = Counter(tensor.shape for tensor in state.values())
        for name, tensor in tensors.items():
            if not unmatched[tensor.shape]:
                shape = shape_text(tensor.shape)
                yield _("{name} of {shape} has no counterpart in {net}", name=name, shape=shape, net=net)
            unmatched[tensor.shape] -= unmatched[tensor.shape] > 0
        for size in unmatched.elements():
            yield _("a tensor of {shape} in {net} is missing from the file", shape=shape_text(size), net=net)
        return
    for name, tensor in state.items():
        shape = shape_text(tensor.shape)
        if name not in tensors:
            yield _("{name} of {shape} is missing from the file", name=name, shape=shape)
        elif tensors[name].shape != tensor.shape:
            fields = {"name": name, "file_shape": shape_text(tensors[name].shape), "shape": shape, "net": net}
            yield _("{name} is {file_shape} in the file and {shape} in {net}", **fields)
    for name, tensor in tensors.items():
        if name not in state:
            yield _("{name} of {shape} is only in the file", name=name, shape=shape_text(tensor.shape))


# ------------------------------------------------------------------------------------------------------------ networks


def _network(read: Source, similar: Sequence[Match]) -> Network:
    """The network of a source with nodes, and those of the registry that compute the same.

    `similar` are the networks whose weights it has; if the size of the images is not stated, theirs are tried first.
    """
    inputs = [read.input] if read.input else []
    channels = source.first_channels(read.nodes, read.tensors)
    if not inputs and channels and (fitting := source.image_sizes(read)):
        sizes = [*(match.image_size for match in similar), *(entry.input[1] for entry in NETS.values())]
        known = dict.fromkeys(size for size in sizes if size in fitting)
        inputs = [(channels, size, size) for size in known or [fitting.start]]
    return _described(str(read.graph_path), read.name, read.nodes, inputs, read.tensors)


def _described(
    path: str, name: str, nodes: tuple[Node, ...], inputs: Sequence[Shape], tensors: Mapping[str, Tensor]
) -> Network:
    """A network for the first of several possible inputs for which the registry has the same one."""
    for input in inputs:
        if matches := tuple(map(_match, by_graph(Graph(name="", input=input, nodes=nodes), tensors))):
            return _with_numbers(path, name, nodes, input, matches=matches)
    if not inputs:
        return _with_numbers(path, name, nodes, None)
    nearest, difference = _nearest_of_graph(Graph(name="", input=inputs[0], nodes=nodes))
    return _with_numbers(path, name, nodes, inputs[0], nearest=nearest, difference=difference)


def _with_numbers(path: str, name: str, nodes: tuple[Node, ...], input: Shape | None, **facts: Any) -> Network:
    outputs = None
    if input:
        try:
            outputs = torch.Size(Graph(name="", input=input, nodes=nodes).output_shape).numel()
        except ValueError as error:
            raise DataError(
                "CN305", _("the graph is not a network that can be built"), where=path, why=reason(error, _)
            ) from error
    return Network(path=path, name=name, layers=len(nodes), input=input, outputs=outputs, **facts)


def _nearest_of_graph(graph: Graph) -> tuple[str, Difference | None]:
    """The network whose weights have the shapes of those of a graph, and that differs least; "" if there is none."""
    if len(graph.nodes) > _MAX_NODES:
        return "", None
    try:
        with torch.device("meta"):
            net = same_function.without_softmax(graph).build()
    except ValueError:  # the caller says why
        return "", None
    built = {match.net: _built(match) for match in map(_match, by_names(net.state_dict()))}
    if not built:
        return "", None
    nearest = max(built, key=lambda name: similarity(net, built[name]))
    return nearest, first_difference({"": net, nearest: built[nearest]})


def _defined(definition: Definition, means: Sequence[Path]) -> Companion:
    """A file that defines a network, without weights."""
    path, name, nodes = str(definition.path), definition.name, definition.nodes
    if definition.input:
        network = _described(path, name, nodes, [definition.input], {})
    else:  # networks of the registry for images of their own size, which is that of the crop, if there is one
        size = definition.preprocessing.get("crop")
        inputs = dict.fromkeys(entry.input for entry in NETS.values() if size in {None, entry.input[1]})
        network = _with_numbers(path, name, nodes, None, matches=tuple(_of_own_size(nodes, [*inputs])))
    kind = advice.kind(definition)
    return Companion(
        path=str(definition.path),
        kind="network",
        what=_("{kind}: {network}", kind=kind, network=network),
        network=network,
        notes=tuple(advice.notes_on_network(definition.nodes, definition.preprocessing, definition.path)),
        commands=(advice.for_definition(definition, means),),
    )


def _of_own_size(nodes: tuple[Node, ...], inputs: Sequence[Shape]) -> Iterator[Match]:
    """The networks that compute the same for images of the shape of their source."""
    for input in inputs:
        nets = [net for net, entry in NETS.items() if entry.input == input]
        yield from map(_match, by_graph(Graph(name="", input=input, nodes=nodes), {}, nets))


def _mean(path: Path) -> Companion:
    """A mean image."""
    image = caffe.mean(path)
    values = ", ".join(f"{value:.1f}" for value in image.double().mean(dim=(1, 2)))
    return Companion(
        path=str(path),
        kind="mean",
        what=_("a mean image of Caffe, {shape}", shape=shape_text(image.shape)),
        notes=(_("The means of its channels are {values}, in the order of the network's input.", values=values),),
        commands=(advice.for_mean(path),),
    )
