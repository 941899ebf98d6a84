"""Networks: build, list the layers, explain, compare, draw, and identify weights files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classicnets.errors import UsageError
from classicnets.inspection import compare as comparing
from classicnets.inspection import figure
from classicnets.inspection.arithmetic import format_inputs
from classicnets.inspection.compare import Comparison
from classicnets.inspection.explain import explain as explain_table
from classicnets.inspection.guard import guard, guarded
from classicnets.inspection.input_shape import DEFAULT_SHAPE, find_shape, likeliest_shape
from classicnets.inspection.shape_errors import check_input
from classicnets.inspection.shapes import Table
from classicnets.models.modules import unwrap
from classicnets.models.registry import NETS
from classicnets.models.variants import vary
from classicnets.runs import net_spec
from classicnets.runs.folder import find_net, open_run
from classicnets.runs.net_spec import NetSpec
from classicnets.text import _, assignments, clauses, command
from classicnets.text import shape as shape_text
from classicnets.weights.identify import identify as identify_file
from classicnets.weights.identify import identify_files as identify_all
from classicnets.weights.identity import Companion, Identity

__all__ = ["Companion", "Comparison", "Identity", "Table", "compare", "create", "differences", "draw", "explain"]
__all__ += ["identify", "identify_files", "layers", "vary", "with_input"]


def create(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    variation: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a network of the registry, or that of a graph file.

    Args:
        name: A name from `classicnets list`, or a graph file NAME.graph.json, whose input and classes are those of the
            file.
        num_classes: Number of classes (default: as in the source, like the next two).
        in_channels: Number of image channels.
        image_size: Height and width of the images.
        variation: Layers to replace, as `vary` takes them, such as {"activation": "relu"}.

    Returns:
        A module that takes float [N, in_channels, image_size, image_size] and returns logits [N, num_classes]. Images
        of another size raise an error that explains the layer shapes.

    Raises:
        UsageError: CN201, the network cannot have this image size; CN202, the name is unknown; CN204, a layer cannot
            be replaced; CN205, the graph file is not valid; CN206, a graph has another input or other classes.
    """
    varied = net_spec.with_variation(net_spec.find(name), variation or {})
    if varied.kind == "graph":
        return _create_from_graph(varied, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
    spec, shape = _with_shape(varied, in_channels, image_size, num_classes)
    _layer_table(spec, shape)
    return guard(spec.build(), shape, name=name)


def layers(
    network: str | nn.Module,
    *,
    shape: Sequence[int] | None = None,
    num_classes: int | None = None,
    variation: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> tuple[str, Table]:
    """Return the name and the layer table of a network. The network is neither called nor changed.

    Args:
        network: A name from `classicnets list`, file.py:net, a graph file, a run folder, or any module.
        shape: Channels, height and width of the images (default: those of the source, the graph or the run; 1x28x28 for
            file.py:net; for a module, those that it was created for, or that it accepts, which `Table.note` then says).
        num_classes: Number of classes (default: as in the source or in the run).
        variation: See `create`.
        trust: Whether code of a run folder may be run that was not run on this machine before.

    Raises:
        UsageError: CN201, CN202, CN204, CN205, CN206, CN207 or CN212.
    """
    if isinstance(network, nn.Module):
        if num_classes is not None:
            raise _fixed_classes(num_classes, "cn.show(net)")
        return _module_layers(unwrap(network), shape, variation or {})
    spec, shape = with_input(network, shape, num_classes, variation or {}, trust=trust)
    return spec.display_name, _layer_table(spec, shape)


def with_input(
    network: str,
    shape: Sequence[int] | None,
    num_classes: int | None,
    variation: Mapping[str, Any],
    *,
    trust: bool,
) -> tuple[NetSpec, tuple[int, ...]]:
    """Find a network, and return how it is built and the shape of its images; arguments and errors as in `layers`."""
    spec = net_spec.with_variation(find_net(network, trust=trust), variation)
    is_folder = Path(network).is_dir()
    if spec.kind != "registry":
        if num_classes is not None:
            raise _fixed_classes(num_classes, command("classicnets", "show", network))
        default: tuple[int, ...] = DEFAULT_SHAPE
        if is_folder:
            default = open_run(network).preprocess().shape
        elif spec.kind == "graph":
            default = spec.read_graph().input
        return spec, tuple(shape or default)
    if shape is None and is_folder:
        shape = open_run(network).preprocess().shape
        num_classes = num_classes or spec.num_classes
    if shape is None:
        return _with_shape(spec, None, None, num_classes)
    if len(shape) != 3:
        raise wrong_shape(shape)
    channels, height, width = shape
    if height != width:
        raise UsageError(
            "CN201",
            _("{name} is made for square images", name=spec.name),
            where=command("--input", shape_text(shape)),
            hint=command("--input", shape_text((channels, height, height))),
        )
    return _with_shape(spec, channels, height, num_classes)


def wrong_shape(shape: object) -> UsageError:
    """Return the error for what is not the shape of one image."""
    return UsageError(
        "CN201",
        _("{shape} is not the shape of an image", shape=repr(shape)),
        where="shape",
        why=_("a shape is channels, height and width, each at least 1, without the batch axis"),
        hint="shape=(1, 28, 28)",
    )


def explain(table: Table, layer: str | None = None, language: str | None = None) -> list[str]:
    """Explain how the shape, the parameters and the cost of a layer (or of the network) are calculated, in sentences.

    Args:
        table: The layer table of the network.
        layer: Name of the layer; None for the network.
        language: "en" or "zh" (default: the language of all texts).

    Raises:
        UsageError: CN202, the layer is unknown; CN204, the language is not available.
    """
    return explain_table(table, layer, language)


def compare(left: Table, right: Table) -> Comparison:
    """Compare two networks: their aligned layers and their totals."""
    return comparing.compare(left, right)


def differences(comparison: Comparison, language: str | None = None) -> list[str]:
    """Describe the differences of two networks in sentences. Raises UsageError CN204 for an unknown language."""
    return comparing.differences(comparison, language)


def draw(networks: Sequence[tuple[str, Table]]) -> str:
    """Draw one network, or several to the same scale, as SVG."""
    return figure.svg(networks)


def split_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate settings of the network (without their prefix `net.`) from those of a recipe.

    Raises:
        UsageError: CN202, a setting of the network is unknown.
    """
    return net_spec.split(settings)


def identify(path: str | Path) -> Identity:
    """Find the network of the registry that a weights file belongs to.

    Raises:
        DataError: CN305, the file contains no weights.
    """
    return identify_file(path)


def identify_files(paths: Sequence[str | Path]) -> list[Identity | Companion]:
    """Identify several files that may belong together: weights, definitions of networks, mean images of Caffe.

    A network that a file defines is used for the weights that it fits; see `weights.identify.identify_files`.

    Raises:
        DataError: CN305, a file cannot be read; CN306, weights and a network do not fit.
        UsageError: CN205, a graph file is not valid.
    """
    return identify_all(paths)


def _create_from_graph(spec: NetSpec, **numbers: int | None) -> nn.Module:
    """Build the network of a graph, which has its numbers built in. Raises UsageError CN206 for other ones."""
    channels, height, width = shape = spec.read_graph().input
    built: dict[str, int | None] = {"in_channels": channels, "image_size": height if height == width else None}
    if wrong := {key: n for key, n in numbers.items() if n is not None and n != built.get(key)}:
        raise UsageError(
            "CN206",
            _("the input and the classes of a graph are those of its file"),
            where=", ".join(f"{key}={n}" for key, n in wrong.items()),
            why=_("{name} is for images of {shape}", name=spec.display_name, shape=shape_text(shape)),
            hint=f"cn.create({spec.spec!r})",
        )
    _layer_table(spec, shape)
    return guard(spec.build(), shape, name=spec.display_name)


def _fixed_classes(num_classes: int, hint: str) -> UsageError:
    return UsageError(
        "CN206",
        _("the number of classes of your own network is that of its last layer"),
        where=command("--classes", str(num_classes)),
        why=_("only the networks of `classicnets list` can be built for another number of classes"),
        hint=hint,
    )


def _module_layers(net: nn.Module, shape: Sequence[int] | None, variation: Mapping[str, Any]) -> tuple[str, Table]:
    """The name and the layer table of a module; the name is its class, or that of the network that it was created as.

    Raises:
        UsageError: CN201, images of this shape, or of any shape that is tried, do not fit.
    """
    spec = net_spec.with_variation(net_spec.from_module(net), variation)
    guard = guarded(net)
    name = guard.name if guard else type(net).__name__
    if variation:
        name = _("{name} with {changes}", name=name, changes=assignments(spec.variation))
    with torch.random.fork_rng(devices=[]):  # new layers draw weights
        net = spec.vary(net)
    if shape is not None:
        return name, check_input(net, shape, name=name)
    found = find_shape(net)
    if found is None:
        raise _with_hint(net, name)
    table = check_input(net, found, name=name)
    if guard or found == DEFAULT_SHAPE:
        return name, table
    note = _(
        "1x28x28 images do not fit, but {inputs} do; pass shape= for others, or shape=(1, 28, 28) to see why",
        inputs=format_inputs(found),
    )
    return name, replace(table, note=clauses((note, table.note)))


def _with_hint(net: nn.Module, name: str) -> UsageError:
    """The error for the likeliest shape of a network that takes none of those that were tried."""
    shape = likeliest_shape(net)
    try:
        check_input(net, shape, name=name)
    except UsageError as error:
        hints = (*error.hints, _("cn.show(net, shape=(3, 64, 64))   # for images of another shape"))
        return UsageError(error.code, error.what, where=error.where, why=error.why, hint=hints)
    return UsageError("CN201", _("{name} takes no images", name=name), hint="cn.show(net, shape=(3, 64, 64))")


def _with_shape(
    spec: NetSpec, in_channels: int | None, image_size: int | None, num_classes: int | None
) -> tuple[NetSpec, tuple[int, int, int]]:
    """Set input shape and classes of a network of the registry (None: as in its source); also return the shape."""
    channels, height, width = NETS[spec.name].input
    shape = (in_channels or channels, image_size or height, image_size or width)
    classes = num_classes or NETS[spec.name].classes
    return replace(spec, num_classes=classes, in_channels=shape[0], image_size=shape[1]), shape


def _layer_table(spec: NetSpec, shape: tuple[int, ...]) -> Table:
    """The layer table for images of `shape`. Raises UsageError CN201 if they do not fit."""
    return check_input(spec.build_for_shapes(), shape, name=spec.display_name)
