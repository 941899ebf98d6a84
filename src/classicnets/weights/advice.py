"""What is known about weights and networks beside their names, in sentences, and the commands to type next."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classicnets.models.graph import Node
from classicnets.models.registry import NETS
from classicnets.text import _, clauses, command, join, plural
from classicnets.weights.identity import Match, Network
from classicnets.weights.source import Definition, Source

_OF_MXNET = {"mxnet", "numpy"}
_MAX_NETS = 2  # networks for which there is a command
_MAX_FILES = 10_000  # of a folder in which files are looked for
_EPOCH = re.compile(r"-\d{4}$")


def notes(read: Source, matches: Sequence[Match]) -> Iterator[str]:
    """Yield what is known about weights: preprocessing, groups, classes, and what their file does not tell."""
    if read.run:
        return
    if read.nodes and read.graph_path:
        yield from notes_on_network(read.nodes, read.preprocessing, read.graph_path)
    else:
        yield from _groups(_grouped(matches))
    yield from _preprocessing(read, matches)
    classes = matches[0].num_classes if matches else None
    if not read.nodes:
        yield _("Activations, pooling, dropout and their order have no tensors, so the file does not show them.")
    if classes:
        yield plural(
            "The name of its {n} class is not in the file: --classes FILE.txt gives it.",
            "The names of its {n:,} classes are not in the file: --classes FILE.txt gives them.",
            classes,
        )


def notes_on_network(nodes: Sequence[Node], preprocessing: Mapping[str, Any], path: Path) -> Iterator[str]:
    """Yield what distinguishes a network from others of its kind, and what it does to the images."""
    yield from _groups({node.name: node.settings["groups"] for node in nodes if node.settings.get("groups", 1) > 1})
    constants = dict.fromkeys(f"{node.settings['k']:g}" for node in nodes if node.kind == "lrn")
    kinds = {node.name: node.kind for node in nodes}
    pairs = {(kinds.get(name), node.kind) for node in nodes for name in node.inputs} & {
        ("lrn", "pool"),
        ("pool", "lrn"),
    }
    if constants:
        values = join([*constants])
        if pairs == {("lrn", "pool")}:
            yield _("Normalization (LRN) has k = {values}, and comes before pooling.", values=values)
        elif pairs == {("pool", "lrn")}:
            yield _("Normalization (LRN) has k = {values}, and comes after pooling.", values=values)
        else:
            yield _("Normalization (LRN) has k = {values}.", values=values)
    if preprocessing:
        yield _("{path} states: {what}.", path=path, what=clauses(_stated(preprocessing)))


def _stated(preprocessing: Mapping[str, Any]) -> Iterator[str]:
    if "mean_file" in preprocessing:
        yield _("minus the mean image {file}", file=preprocessing["mean_file"])
    if "mean_values" in preprocessing:
        yield _("minus the means {values}", values=", ".join(f"{value:g}" for value in preprocessing["mean_values"]))
    if "scale" in preprocessing:
        yield _("times {scale:g}", scale=preprocessing["scale"])
    if "crop" in preprocessing:
        yield _("cropped to {size} pixels", size=preprocessing["crop"])


def _preprocessing(read: Source, matches: Sequence[Match]) -> Iterator[str]:
    """What the library usually does to the images, as far as the files do not state it."""
    is_color = _channels(read, matches) == 3
    states_mean = {"mean_file", "mean_values"} & read.preprocessing.keys()
    if read.format == "caffe" and is_color:
        yield (
            _("By Caffe's convention, not stated in a file, its images are BGR, from 0 to 255.")
            if states_mean
            else _(
                "By Caffe's convention, not stated in a file, its images are BGR, from 0 to 255, minus a mean (--mean)."
            )
        )
    elif read.format == "caffe" and not read.preprocessing:
        yield _("By Caffe's convention, not stated in a file, its images are 0 to 255, often scaled or minus a mean.")
    elif read.format in _OF_MXNET:
        yield _("The preprocessing is not in the file; MXNet's own readers give pixels from 0 to 255, RGB if in color.")
    elif read.format != "caffe":
        yield _("The preprocessing is not in the file.")


def _channels(read: Source, matches: Sequence[Match]) -> int | None:
    return read.input[0] if read.input else matches[0].in_channels if matches else None


def _grouped(matches: Sequence[Match]) -> dict[str, int]:
    """The convolutions with groups of the network that the tensors fit, by their names there."""
    if not matches:
        return {}
    with torch.device("meta"):
        net = NETS[matches[0].net].load()(matches[0].num_classes, matches[0].in_channels, matches[0].image_size)
    return {name: m.groups for name, m in net.named_modules() if isinstance(m, nn.Conv2d) and m.groups > 1}


def _groups(groups: Mapping[str, int]) -> Iterator[str]:
    for count in sorted(set(groups.values())):
        names = join([name for name, n in groups.items() if n == count])
        yield _("In {names}, each of {n} groups reads its part of the channels.", n=count, names=names)


# ------------------------------------------------------------------------------------------------------------ commands


def for_weights(
    read: Source, matches: Sequence[Match], network: Network | None, means: Sequence[Path], *, loads: bool
) -> Iterator[str]:
    """Yield the commands that use weights, the most probable first.

    Args:
        read: the weights.
        matches: the networks that they fit, the most probable first.
        network: the network that a file defines, if any.
        means: mean images that were given with the weights.
        loads: whether the file has the names of the first match.
    """
    path, is_color = read.path, _channels(read, matches) == 3
    mean = _mean(read, means) if read.format == "caffe" and is_color else []
    if read.run:
        pass
    elif network:
        is_given = read.graph_path != path and not _is_automatic(read)
        words: list[str | Path] = ["--graph", network.path] if is_given else []
        yield _convert(path, *words, *mean)
    elif len(matches) == 1:
        yield _convert(path, *mean)
    else:
        if graph := _graph(read):
            yield _convert(path, "--graph", graph, *mean)
        for match in matches[:_MAX_NETS]:
            yield _convert(path, "--net", match.net, *mean)
    is_bgr = read.format == "caffe" and is_color  # networks read RGB, and `convert` changes the order
    if loads and not is_bgr and not (network and not network.matches):
        yield command("classicnets", "train", matches[0].net, "--weights", path, "--data", "FOLDER")


def _mean(read: Source, means: Sequence[Path]) -> list[str | Path]:
    found = means[0] if means else next((each for each in _beside(read.path) if each.suffix == ".binaryproto"), None)
    return ["--mean", found] if found else []


def _graph(read: Source) -> str | Path | None:
    """The file that probably defines the network; None if the library has no such files."""
    if read.format == "caffe":
        found = [each for each in _beside(read.path) if each.suffix == ".prototxt"]
        return min(found, key=lambda each: "deploy" not in each.name, default="deploy.prototxt")
    is_of_gluon = any("." in name for name in read.tensors)  # saved without a symbol
    return f"{_EPOCH.sub('', read.path.stem)}-symbol.json" if read.format in _OF_MXNET and not is_of_gluon else None


def for_definition(definition: Definition, means: Sequence[Path]) -> str:
    """Return the command that uses the definition of a network."""
    weights = "FILE" if definition.path.suffix == ".json" else "NAME.caffemodel"
    weights = "NAME.params" if definition.symbol else weights
    mean: list[str | Path] = ["--mean", means[0]] if means else []
    return command("classicnets", "weights", "convert", weights, "--graph", definition.path, *mean, "-o", "RUN")


def for_mean(path: Path) -> str:
    """Return the command that uses a mean image."""
    words = ["NAME.caffemodel", "--graph", "deploy.prototxt", "--mean"]
    return command("classicnets", "weights", "convert", *words, path, "-o", "RUN")


def kind(definition: Definition) -> str:
    """Return what a file that defines a network is, in words."""
    if definition.symbol:
        return _("a network of MXNet")
    return _("a graph file") if definition.path.suffix == ".json" else _("a network of Caffe")


def _convert(path: Path, *words: str | Path) -> str:
    stem = _EPOCH.sub("", path.stem)
    out = f"{stem}-run" if stem == path.name else stem
    return command("classicnets", "weights", "convert", path, *words, "-o", out)


def _is_automatic(read: Source) -> bool:
    """Whether the graph is the one that is taken if none is given."""
    name = f"{_EPOCH.sub('', read.path.stem)}-symbol.json"
    return read.format in _OF_MXNET and read.graph_path == read.path.with_name(name)


def _beside(path: Path) -> list[Path]:
    """The definitions and mean images in the folder of a file."""
    try:
        with os.scandir(path.parent) as entries:
            names = sorted(entry.name for entry in islice(entries, _MAX_FILES))
    except OSError:
        return []
    return [path.parent / name for name in names if name.endswith((".prototxt", ".binaryproto"))]
