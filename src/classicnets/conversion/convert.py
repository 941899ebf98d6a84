"""Turns weights of another library into a run: finds the network, and changes the weights as the user asks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from classicnets.conversion import edits
from classicnets.conversion.classes import classes_of
from classicnets.conversion.find import find, recognized
from classicnets.conversion.network import Network
from classicnets.conversion.preprocessing import check_settings, prepare
from classicnets.errors import DataError, UsageError
from classicnets.inspection.shapes import Table, trace
from classicnets.models.graph import Node
from classicnets.models.graph_kinds import with_defaults
from classicnets.options import option_words
from classicnets.runs.folder import open_run
from classicnets.spec import ConvertOptions
from classicnets.text import _, clauses, command, join, plural
from classicnets.values import Preprocess, Recipe
from classicnets.weights.besides import besides
from classicnets.weights.source import Source, read, read_definition


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
            CN207 for a folder that is no run.
    """
    check_settings(options)
    if path.is_dir():
        path = open_run(path).weights_file()
    source = read(path, Path(options.graph) if options.graph else None, data=True)
    if source.run:
        _check_no_effect(path, options)
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in source.tensors.items()}
    network = find(replace(source, tensors=tensors), options)
    order = _order(source, network, options)
    prepared = prepare(network, source, options, order=order)
    changes, notes = [], [*_contradictions(source), *prepared.notes]
    mean_image, preprocess = prepared.mean_image, prepared.preprocess(network)
    if order == "bgr":
        network = edits.reverse_channels(network)
        changes.append(_("{names}: from BGR to RGB", names=join(network.first)))
    if options.gray:
        if mean_image is not None:
            raise _gray_with_mean_image()
        network, preprocess, exact = edits.to_gray(network, preprocess)
        changes.append(
            _("{names}: summed over the colors for gray images, {exact}", names=join(network.first), exact=exact)
        )
    if options.groups is not None:
        network, names = edits.set_groups(network, options.groups)
        network = recognized(network, replace(options, net=None))
        changes.append(plural("{names}: {n} group", "{names}: {n} groups", options.groups, names=join(names)))
    classes = classes_of(network, options, source.run.get("classes", ()))
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
        changes.append(_("the network subtracts the mean image itself, and so do exported files"))
    if others := besides(path):
        notes.append(_("also in the file, and not used: {entries}", entries=clauses(others)))
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


def _check_no_effect(path: Path, options: ConvertOptions) -> None:
    """Check that no option says what a run of ours says itself. Raises UsageError CN206."""
    names = ("graph", "net", "mean", "scale", "channel_order")
    words = option_words(
        {name: value for name in names if (value := getattr(options, name)) is not None}, ConvertOptions
    )
    if words:
        raise UsageError(
            "CN206",
            _("{option} has no effect on a run of classicnets", option=words[0]),
            where=str(path),
            why=_("it has its network, and its preprocessing for RGB"),
            hint=_("the same command without {option}", option=words[0]),
        )


def _contradictions(source: Source) -> list[str]:
    """A sentence if a file of Caffe defines another order of layers than the definition that was given with it."""
    if source.format != "caffe" or source.graph_path in {None, source.path}:
        return []
    try:
        inside = read_definition(source.path).nodes
    except DataError:  # it has only the layers with weights, or some that are not known
        return []
    names = {node.name for node in source.nodes}
    inside = tuple(node for node in inside if node.name in names)
    known = {node.name for node in inside}
    given = [node for node in source.nodes if node.name in known]
    for mine, other in zip(given, inside, strict=True):
        if mine.name != other.name or _settings(mine) != _settings(other):
            fields = {"file": source.path.name, "graph": Path(str(source.graph_path)).name}
            return [
                _(
                    "the definition in {file} differs from {graph}: {inside} where that has {given}",
                    inside=_shown(other, mine),
                    given=_shown(mine, other),
                    **fields,
                )
            ]
    return []


def _settings(node: Node) -> dict[str, Any]:
    return {"kind": node.kind, **with_defaults(node.kind, node.settings)}


def _shown(node: Node, other: Node) -> str:
    """A layer in words, with the settings that another one has not."""
    if node.name != other.name:
        return node.name
    own, others = _settings(node), _settings(other)
    different = {key: value for key, value in own.items() if value != others.get(key)}
    return f"{node.name} ({', '.join(f'{key} {value}' for key, value in different.items())})"


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


def _files(source: Source, options: ConvertOptions) -> list[Path]:
    """The files that were read."""
    mean = Path(options.mean) if options.mean else None
    given = [source.path, source.graph_path, mean, Path(options.classes) if options.classes else None]
    return list(dict.fromkeys(path for path in given if path is not None and path.is_file()))


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}
