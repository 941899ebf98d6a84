"""Turns weights of another library into a run: finds the network, and changes the weights as the user asks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from classicnets.conversion import edits
from classicnets.conversion.network import Network, by_node, of_graph
from classicnets.conversion.preprocessing import prepare
from classicnets.errors import DataError, UsageError
from classicnets.images.names import class_name
from classicnets.inspection.shapes import Table, trace
from classicnets.models.graph import Node
from classicnets.models.registry import NETS
from classicnets.runs.net_spec import NetSpec
from classicnets.spec import ConvertOptions
from classicnets.text import _, command, join, nearest, plural
from classicnets.text import shape as shape_text
from classicnets.values import Preprocess, Recipe
from classicnets.weights import recognize
from classicnets.weights.recognize import Recognized
from classicnets.weights.source import Source, first_channels, image_sizes, read, read_definition

_MAX_CLASS_BYTES = 16 * 2**20
_SYNSET = re.compile(r"n\d{8}\s+")  # of WordNet, before the names of ImageNet's classes


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A network with its weights, and everything that a run folder says about it.

    Attributes:
        network: the network and its weights.
        preprocess: how images are prepared.
        classes: the names of its classes.
        recipe: the recipe of the network, for training it further.
        sources: where the settings of the recipe are from.
        table: its layers.
        format: the format of the file.
        files: the name, the size and the SHA-256 of each file that was read.
        changes: what was changed, one sentence each.
        notes: what the files do not say, one sentence each.
    """

    network: Network
    preprocess: Preprocess
    classes: tuple[str, ...]
    recipe: Recipe
    sources: dict[str, str]
    table: Table
    format: str
    files: tuple[dict[str, Any], ...]
    changes: tuple[str, ...]
    notes: tuple[str, ...]


def convert(path: Path, options: ConvertOptions) -> Converted:
    """Read weights, find their network, and change them as the options say.

    Raises:
        DataError: CN305 if a file cannot be read; CN306 if the files do not fit each other, no network fits, or there
            are not as many names of classes as outputs.
        UsageError: CN202 for an unknown network or setting; CN204 or CN206 for options that do not apply.
    """
    source = read(path, Path(options.graph) if options.graph else None, data=True)
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in source.tensors.items()}
    network = _find(replace(source, tensors=tensors), options)
    prepared = prepare(network, source.format, source.preprocessing, options)
    changes, notes = [], [*_contradictions(source), *prepared.notes]
    mean_image, preprocess = prepared.mean_image, prepared.preprocess(network)
    if _order(source, network, options) == "bgr":
        network = edits.reverse_channels(network)
        preprocess = replace(preprocess, mean=preprocess.mean[::-1], std=preprocess.std[::-1])
        mean_image = None if mean_image is None else mean_image.flip(0)
        changes.append(_("{names}: from BGR to RGB", names=join(network.first)))
    if options.gray:
        if mean_image is not None:
            raise _gray_with_mean_image()
        network, preprocess, exact = edits.to_gray(network, preprocess)
        changes.append(_("{names}: folded for gray images, {exact}", names=join(network.first), exact=exact))
    if options.groups is not None:
        network, names = edits.set_groups(network, options.groups)
        network = _recognized(network, options)
        changes.append(plural("{names}: {n} group", "{names}: {n} groups", options.groups, names=join(names)))
    classes = _classes(source, network, options)
    if options.new_head:
        network = edits.new_head(network, len(classes))
        changes.append(
            plural(
                "{name}: new, for {n} class, to be trained",
                "{name}: new, for {n} classes, to be trained",
                len(classes),
                name=network.head,
            )
        )
    if mean_image is not None:
        network = edits.subtract_mean(network, mean_image)
        changes.append(_("the network subtracts the mean image itself, so its file has it, too"))
    if not options.classes and not source.run:
        notes.append(_("the classes are called 0 to {last}; --classes names them", last=len(classes) - 1))
    return Converted(
        network=network,
        preprocess=preprocess,
        classes=classes,
        recipe=prepared.recipe,
        sources=prepared.sources,
        table=trace(network.build(), network.shape),
        format=source.format,
        files=tuple(_file(each) for each in _files(source, options)),
        changes=tuple(changes),
        notes=tuple(notes),
    )


def _find(source: Source, options: ConvertOptions) -> Network:
    """The network of the weights: that of the graph, by its name in the registry, or one with these tensors."""
    if options.net is not None and options.net not in NETS:
        near = nearest(options.net, NETS)
        raise UsageError(
            "CN202",
            _("there is no network {name!r}", name=options.net),
            where=command("--net", options.net),
            hint=command("--net", near) if near else "classicnets list",
        )
    if source.nodes:
        return _of_source(source, options)
    found = recognize.by_names(source.tensors)
    fitting = [each for each in found if options.net in {None, each.net}]
    if len(fitting) == 1:
        return _registered(fitting[0], source.tensors)
    if found:
        names = [each.net for each in found]
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
    if len(sizes) > 1:
        for size in usual:
            network = _of_nodes(source, (channels, size, size))
            found = _recognized(network, replace(options, net=None))
            if found.spec.kind == "registry":
                return _recognized(network, options)
    if len(sizes) != 1:
        raise UsageError(
            "CN206",
            _("the graph does not state the size of its images"),
            where=str(source.graph_path),
            why=_("the weights fit images of {first} to {last} pixels", first=sizes[0], last=sizes[-1])
            if sizes
            else "",
            hint=command("--set", f"image_size={usual[0] if usual else sizes[-1] if sizes else 227}"),
        )
    return _recognized(_of_nodes(source, (channels, sizes[0], sizes[0])), options)


def _of_nodes(source: Source, shape: tuple[int, int, int]) -> Network:
    """The network of a graph, without a softmax at its end, and with classes as its output."""
    nodes = list(source.nodes)
    while len(nodes) > 1 and nodes[-1].kind == "softmax":
        nodes.pop()
    try:
        graph = replace(source.graph(shape), nodes=tuple(nodes))
        output = graph.output_shape
        if len(output) == 3 and output[1:] == (1, 1):
            names = {node.name for node in nodes}
            name = next(name for name in ("flatten", "flatten_", "flatten__", "flatten___") if name not in names)
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
            why=str(error),
            hint=_("{option}   # images of another size", option=command("--set", "image_size=227")),
        ) from error


def _sizes(source: Source, options: ConvertOptions) -> tuple[int, range]:
    """The channels of the images, and which sizes fit: as stated, or as the weights of the first dense layer need."""
    sizes = image_sizes(source)
    if source.input is not None:
        channels, height, width = source.input
        if height != width:
            raise DataError(
                "CN306",
                _("the network is for images of {shape}, and a run has square images", shape=shape_text(source.input)),
                where=str(source.graph_path),
                hint=command("--set", f"image_size={min(height, width)}"),
            )
        sizes = range(height, height + 1)
    else:
        channels = first_channels(source.nodes, source.tensors) or 1
    size = options.settings.get("image_size")
    if size is not None and re.fullmatch(r"[1-9]\d{0,4}", str(size)):
        return channels, range(int(size), int(size) + 1)
    return channels, sizes


def _contradictions(source: Source) -> list[str]:
    """A sentence if a file of Caffe defines another order of layers than the definition that was given with it."""
    if source.format != "caffe" or source.graph_path in {None, source.path}:
        return []
    try:
        inside = read_definition(source.path).nodes
    except DataError:  # it has only the layers with weights, or some that are not known
        return []
    kinds = {node.name: node.kind for node in inside}
    given = [node for node in source.nodes if node.name in kinds]
    other = [node.name for node in inside if node.name in {each.name for each in given}]
    for node, name in zip(given, other, strict=True):
        if node.name != name or node.kind != kinds[name]:
            return [
                _(
                    "{file} defines its layers in another order than {graph}: {inside} where that has {given}",
                    file=source.path.name,
                    graph=Path(str(source.graph_path)).name,
                    inside=name,
                    given=node.name,
                )
            ]
    return []


def _recognized(network: Network, options: ConvertOptions) -> Network:
    """The registry network that computes the same as a graph, or the graph."""
    graph = network.spec.read_graph()
    tensors = by_node(graph, network.tensors)
    found = recognize.by_graph(graph, tensors)
    fitting = [each for each in found if options.net in {None, each.net}]
    if options.net is not None and not fitting:
        raise UsageError(
            "CN206",
            _("the graph is not {net}", net=options.net),
            where=command("--net", options.net),
            why=_("it is {names}", names=join([each.net for each in found]))
            if found
            else _("no network of `classicnets list` computes the same"),
            hint=_("the same command without {option}", option="--net"),
        )
    return _registered(fitting[0], tensors) if fitting else network


def _registered(found: Recognized, tensors: Mapping[str, Tensor]) -> Network:
    spec = NetSpec(
        kind="registry",
        name=found.net,
        num_classes=found.num_classes,
        in_channels=found.in_channels,
        image_size=found.image_size,
    )
    state = dict(spec.build().state_dict())  # has counters of batch normalization, which other libraries lack
    for name, file_name in found.names.items():
        state[name] = tensors[file_name]
        if name in found.dense:
            groups = state[name].shape[1] // spec.build_for_shapes().state_dict()[name].shape[1]
            split = edits.split(state[name], groups)
            assert split is not None  # as `recognize` has found
            state[name] = split
    return Network(spec=spec, tensors=state)


def _order(source: Source, network: Network, options: ConvertOptions) -> str:
    """The order of the color channels that the weights expect: "rgb", "bgr", or "" without colors."""
    if network.spec.in_channels != 3:
        if options.channel_order:
            raise UsageError(
                "CN206",
                plural(
                    "the network reads {n} channel, which has no order",
                    "the network reads {n} channels, which are no colors",
                    network.spec.in_channels,
                ),
                where=command("--channel-order", options.channel_order),
                hint=_("the same command without {option}", option="--channel-order"),
            )
        return ""
    return options.channel_order or ("bgr" if source.format == "caffe" else "rgb")


def _gray_with_mean_image() -> UsageError:
    return UsageError(
        "CN206",
        _("a mean image and gray images cannot be combined"),
        where="--gray",
        why=_("the mean image has three channels, and differs from pixel to pixel"),
        hint=_("{option}   # the mean of each channel instead", option=command("--mean", "104,117,123")),
    )


def _classes(source: Source, network: Network, options: ConvertOptions) -> tuple[str, ...]:
    """The names of the classes, as many as the network has, or is to have with a new head."""
    count = network.spec.num_classes
    if options.new_head and not options.classes:
        raise UsageError(
            "CN206",
            _("a new last layer needs the names of its classes"),
            where="--new-head",
            hint=command("--new-head", "--classes", "classes.txt"),
        )
    if not options.classes:
        known = source.run.get("classes", ())
        return tuple(known) if len(known) == count else tuple(map(str, range(count)))
    classes = read_classes(Path(options.classes))
    if len(classes) != count and not options.new_head:
        raise DataError(
            "CN306",
            _(
                "{file} has {n:,} names, and the network {count:,} outputs",
                file=options.classes,
                n=len(classes),
                count=count,
            ),
            where=command("--classes", options.classes),
            hint=_("{option}   # a new last layer, to be trained", option=command("--new-head")),
        )
    return classes


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the names of classes, one on each line; the numbers of ImageNet's synsets before the names are left out.

    Raises:
        DataError: CN305 if the file cannot be read or has no names, CN306 if two classes have the same name.
    """
    try:
        if path.stat().st_size > _MAX_CLASS_BYTES:
            raise DataError("CN305", _("the file is too large for a list of classes"), where=str(path))
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or _("it is not text in UTF-8")
        raise DataError(
            "CN305",
            _("the names of the classes cannot be read"),
            where=str(path),
            why=why,
            hint=command("ls", path.parent),
        ) from error
    names = [class_name(line.strip()) for line in lines if line.strip()]
    short = [_SYNSET.sub("", name) for name in names]
    if all(map(_SYNSET.match, names)) and len({*short}) == len(short):
        names = short
    if not names:
        raise DataError("CN305", _("the file has no names of classes"), where=str(path))
    if len({*names}) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DataError(
            "CN306",
            _("two classes have the same name: {name}", name=twice),
            where=str(path),
            hint=_("give each class a name of its own, one on each line"),
        )
    return tuple(names)


def _files(source: Source, options: ConvertOptions) -> list[Path]:
    """The files that were read."""
    mean = Path(options.mean) if options.mean else None
    given = [source.path, source.graph_path, mean, Path(options.classes) if options.classes else None]
    return list(dict.fromkeys(path for path in given if path is not None and path.is_file()))


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}
