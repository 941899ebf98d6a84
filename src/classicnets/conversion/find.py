"""Finds the network that weights belong to, and names them as its state dict does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from classicnets.conversion import edits
from classicnets.conversion.network import Network, by_node, of_graph
from classicnets.errors import DataError, UsageError
from classicnets.models.graph import Node
from classicnets.models.messages import reason
from classicnets.models.registry import NETS
from classicnets.runs.net_spec import NetSpec
from classicnets.spec import ConvertOptions
from classicnets.text import _, command, join, nearest
from classicnets.text import shape as shape_text
from classicnets.weights import recognize
from classicnets.weights.recognize import Recognized
from classicnets.weights.source import Source, first_channels, image_sizes

_MAX_HINTS = 3
_REBUILT = {"registry", "graph"}  # kinds of networks that metadata describe completely


def find(source: Source, options: ConvertOptions) -> Network:
    """Return the network of the weights: that of the graph, by its name in the registry, or one with these tensors.

    Raises:
        DataError: CN306 if no network fits.
        UsageError: CN202 for an unknown network; CN206 if several networks fit, or not the one of the options.
    """
    if options.net is not None and options.net not in NETS:
        near = nearest(options.net, NETS)
        raise UsageError(
            "CN202",
            _("there is no network {name!r}", name=options.net),
            where=command("--net", options.net),
            hint=command("--net", near) if near else "classicnets list",
        )
    own = source.run.get("net", {})
    if own.get("kind") in _REBUILT:  # a checkpoint of ours
        return _check_size(Network(spec=NetSpec(**own), tensors=source.tensors), options)
    if source.nodes:
        return _of_source(source, options)
    candidates = recognize.by_names(source.tensors)
    fitting = [each for each in candidates if options.net in {None, each.net}]
    if len(fitting) == 1:
        return _check_size(_registered(fitting[0], source.tensors), options)
    if candidates:
        names = [each.net for each in candidates]
        raise UsageError(
            "CN206",
            _("the tensors fit {names}", names=join(names))
            if options.net is None
            else _("the tensors do not fit {net}, but {names}", net=options.net, names=join(names)),
            where=str(source.path),
            why=_("the file has only weights, and these networks differ in layers without any, or in their order"),
            hint=(
                *(_("{option}", option=command("--net", name)) for name in names),
                _("{option}   # the definition of the network decides", option=command("--graph", "deploy.prototxt")),
            ),
        )
    raise DataError(
        "CN306",
        _("the weights belong to no network of `classicnets list`"),
        where=str(source.path),
        why=_("a file of weights without the definition of its network becomes only one of these networks"),
        hint=(
            _("{option}   # the definition of the network", option=command("--graph", "deploy.prototxt")),
            _(
                "{command}   # the most similar network",
                command=command("classicnets", "weights", "identify", source.path),
            ),
        ),
    )


def _of_source(source: Source, options: ConvertOptions) -> Network:
    """The network of a graph, and the one in the registry if that computes the same.

    If the graph does not state the size of its images, those of the registry's networks are tried.
    """
    channels, sizes = _sizes(source, options)
    usual = sorted({entry.input[1] for entry in NETS.values()} & {*sizes}, reverse=True)
    for size in usual if len(sizes) > 1 else sizes:
        network = _of_nodes(source, (channels, size, size))
        same = recognized(network, options if len(sizes) == 1 else replace(options, net=None))
        if same.spec.kind == "registry" or len(sizes) == 1:
            return recognized(network, options) if len(sizes) > 1 else same
    raise UsageError(
        "CN206",
        _("the graph does not state the size of its images"),
        where=str(source.graph_path),
        why=_("the weights fit images of {first} to {last} pixels", first=sizes[0], last=sizes[-1]) if sizes else "",
        hint=tuple(command("--set", f"image_size={size}") for size in (usual or [*sizes] or [227])[:_MAX_HINTS]),
    )


def _of_nodes(source: Source, shape: tuple[int, int, int]) -> Network:
    """The network of a graph, without a softmax at its end, and with classes as its output."""
    nodes = list(source.nodes)
    while len(nodes) > 1 and nodes[-1].kind == "softmax":
        nodes.pop()
    try:
        graph = replace(source.graph(shape), nodes=tuple(nodes))
        output = graph.output_shape
        if len(output) == 3 and output[1:] == (1, 1):
            name = "flatten"
            while name in {node.name for node in nodes}:
                name += "_"
            flatten = Node(name=name, kind="flatten", inputs=(nodes[-1].name,), settings={})
            graph = replace(graph, nodes=(*graph.nodes, flatten))
            output = graph.output_shape
        if len(output) != 1:
            raise ValueError(_("its output is {shape}, not one number for each class", shape=shape_text(output)))
        return of_graph(graph, source.tensors, output[0])
    except ValueError as error:
        raise DataError(
            "CN306",
            _("the graph is no network for images of {shape}", shape=shape_text(shape)),
            where=str(source.graph_path),
            why=reason(error, _),
            hint=_("{option}   # images of another size", option=command("--set", "image_size=227")),
        ) from error


def _sizes(source: Source, options: ConvertOptions) -> tuple[int, range]:
    """The channels of the images, and which sizes fit: as stated, or as the weights of the first dense layer need."""
    size, sizes = _image_size(options), image_sizes(source)
    if source.input is not None:
        channels, height, width = source.input
        if height != width and size is None:
            raise DataError(
                "CN306",
                _("the network is for images of {shape}, and a run has square images", shape=shape_text(source.input)),
                where=str(source.graph_path),
                hint=command("--set", f"image_size={min(height, width)}"),
            )
        sizes = range(height, height + 1)
    else:
        channels = first_channels(source.nodes, source.tensors) or 1
    return channels, sizes if size is None else range(size, size + 1)


def _image_size(options: ConvertOptions) -> int | None:
    """The size of the images that the user states."""
    value = options.settings.get("image_size")
    if value is not None and not re.fullmatch(r"[1-9]\d{0,4}", str(value)):
        raise UsageError(
            "CN204",
            _("image_size must be an integer of at least 1, not {value}", value=value),
            where=command("--set", f"image_size={value}"),
            hint=command("--set", "image_size=227"),
        )
    return None if value is None else int(value)


def _check_size(network: Network, options: ConvertOptions) -> Network:
    """Check that a network whose size is fixed by its weights has the one that the user states."""
    size = _image_size(options)
    if size not in {None, network.spec.image_size}:
        raise UsageError(
            "CN206",
            _("{net} is for images of {size} pixels here", net=network.spec.name, size=network.spec.image_size),
            where=command("--set", f"image_size={size}"),
            hint=command("--set", f"resize={size}"),
        )
    return network


def recognized(network: Network, options: ConvertOptions) -> Network:
    """Return the registry network that computes the same as a graph, or the graph.

    Raises:
        UsageError: CN206 if it is not the network of the options.
    """
    graph = network.spec.read_graph()
    tensors = by_node(graph, network.tensors)
    candidates = recognize.by_graph(graph, tensors)
    fitting = [each for each in candidates if options.net in {None, each.net}]
    if options.net is not None and not fitting:
        raise UsageError(
            "CN206",
            _("the graph is not {net}", net=options.net),
            where=command("--net", options.net),
            why=_("it is {names}", names=join([each.net for each in candidates]))
            if candidates
            else _("no network of `classicnets list` computes the same"),
            hint=_("the same command without {option}", option="--net"),
        )
    return _registered(fitting[0], tensors) if fitting else network


def _registered(match: Recognized, tensors: Mapping[str, Tensor]) -> Network:
    spec = NetSpec(
        kind="registry",
        name=match.net,
        num_classes=match.num_classes,
        in_channels=match.in_channels,
        image_size=match.image_size,
    )
    state = dict(spec.build().state_dict())  # has counters of batch normalization, which other libraries lack
    for name, file_name in match.names.items():
        state[name] = tensors[file_name]
        if name in match.dense:
            groups = state[name].shape[1] // spec.build_for_shapes().state_dict()[name].shape[1]
            split = edits.split(state[name], groups)
            assert split is not None  # as `recognize` has checked
            state[name] = split
    return Network(spec=spec, tensors=state)
