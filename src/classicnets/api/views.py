"""`cn.show`, `cn.why`, `cn.diff`, `cn.figure` and `cn.code`: what `classicnets show` does, for a notebook cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classicnets.api import networks, source
from classicnets.api.models import Run
from classicnets.errors import UsageError
from classicnets.inspection.shapes import Table
from classicnets.report.views import Code, Differences, Explanation, Figure, Layers, titles
from classicnets.text import _

__all__ = ["Code", "Differences", "Explanation", "Figure", "Layers", "code", "diff", "figure", "show", "why"]

Network = str | Path | nn.Module | Run


def show(
    net: Network,
    shape: Sequence[int] | None = None,
    *,
    num_classes: int | None = None,
    variation: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> Layers:
    """Show the layers of a network: the shape of every output, parameters, multiply-accumulates and memory.

    A module is neither called nor changed: weights, modes, hooks and random numbers stay as they are. It may have lazy
    layers, and be on any device.

    Args:
        net: Any module; a name from `classicnets list`, file.py:net, a graph file or a run folder; or a run.
        shape: Channels, height and width of the images. The default for a module is the shape that it was created for,
            else 1x28x28, else a shape that it accepts, which is then said; for the others, that of the source, the
            graph or the run, and 1x28x28 for file.py:net.
        num_classes: Number of classes, for a network of `classicnets list` (default: as in the source).
        variation: Layers to replace first, as `vary` takes them, such as {"activation": "relu"}.
        trust: Whether code of a run folder may be run that was not run on this machine before.

    Raises:
        UsageError: CN205, this is not a network; CN201, images of this shape do not fit, with the calculation of every
            size up to the layer where they stop to fit; what `create` raises for a name; CN207, CN212 for a run folder.
    """
    return Layers(*_layers(net, shape, num_classes, variation, trust=trust))


def why(
    net: Network,
    layer: str | int | None = None,
    *,
    shape: Sequence[int] | None = None,
    lang: str | None = None,
    variation: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> Explanation:
    """Explain in sentences where the shape, the parameters and the cost of a layer, or of the network, come from.

    Args:
        net: See `show`, like `shape`, `variation` and `trust`.
        layer: Name of a layer, such as "conv1" or "features.0", or its number in an nn.Sequential (default: the whole
            network).
        shape: Channels, height and width of the images.
        lang: "en" or "zh" for Simplified Chinese (default: the language of all texts).
        variation: Layers to replace first.
        trust: Whether code of a run folder may be run.

    Raises:
        UsageError: CN202, the layer is unknown; CN204, the language is not available; and what `show` raises.
    """
    name, table = _layers(net, shape, None, variation, trust=trust)
    return Explanation(name, tuple(networks.explain(table, None if layer is None else str(layer), lang)))


def diff(
    net_a: Network,
    net_b: Network,
    *,
    shape: Sequence[int] | None = None,
    lang: str | None = None,
    trust: bool = False,
) -> Differences:
    """Compare two networks layer by layer, and say what the second one has instead of the first one.

    Args:
        net_a: See `show`, like `net_b`, `shape` and `trust`.
        net_b: The other network.
        shape: Channels, height and width of the images of both (default: of each its own).
        lang: Language of the sentences, "en" or "zh" (default: the language of all texts).
        trust: Whether code of a run folder may be run.

    Raises:
        UsageError: CN204, the language is not available; and what `show` raises.
    """
    (name_a, left), (name_b, right) = (_layers(net, shape, None, None, trust=trust) for net in (net_a, net_b))
    comparison = networks.compare(left, right)
    name_a, name_b = titles([name_a, name_b])
    return Differences((name_a, name_b), comparison, tuple(networks.differences(comparison, lang)))


def figure(
    *nets: Network,
    shape: Sequence[int] | None = None,
    variation: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> Figure:
    """Draw a network, or several to the same scale, as SVG.

    Args:
        nets: See `show`, like the other arguments.
        shape: Channels, height and width of the images of all of them (default: of each its own).
        variation: Layers to replace first.
        trust: Whether code of a run folder may be run.

    Raises:
        UsageError: CN206, there is no network; and what `show` raises.
    """
    if not nets:
        raise UsageError("CN206", _("there is no network to draw"), hint='cn.figure("lenet_d2l")')
    drawn = [_layers(net, shape, None, variation, trust=trust) for net in nets]
    return Figure(tuple(name for name, _table in drawn), networks.draw(drawn))


def code(
    net: str | Path | Run,
    shape: Sequence[int] | None = None,
    *,
    num_classes: int | None = None,
    variation: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> Code:
    """Return a network of `classicnets list` as Python source, to be changed in a cell or in a file of your own.

    It defines `net`, whose layers have the same names, so that weights of the network can be loaded into it.

    Args:
        net: A name from `classicnets list`, or a run of such a network.
        shape: See `show`, like the other arguments.
        num_classes: Number of classes.
        variation: Layers that are replaced.
        trust: Whether code of a run folder may be run.

    Raises:
        UsageError: CN206, the network is not one of `classicnets list`; and what `show` raises.
    """
    if isinstance(net, nn.Module):
        raise UsageError(
            "CN206",
            _("only the networks of `classicnets list` can be written as source"),
            where="cn.code(...)",
            why=_("the layers of a module are in the code that made it"),
            hint='cn.code("lenet_d2l")',
        )
    place = str(net.path) if isinstance(net, Run) else _place(net)
    _check(shape)
    with torch.random.fork_rng(devices=[]):
        text = source.source(place, shape=shape, num_classes=num_classes, variation=variation, trust=trust)[1]
    return Code(text)


def _layers(
    net: Network,
    shape: Sequence[int] | None,
    num_classes: int | None,
    variation: Mapping[str, Any] | None,
    *,
    trust: bool,
) -> tuple[str, Table]:
    """The name and the layer table of whatever is a network; no random numbers are drawn from torch's generator."""
    _check(shape)
    name = ""
    network: str | nn.Module
    if isinstance(net, Run):  # its network may have been passed in Python, so it is not built again
        network, name, shape = net.net, net.name, shape or net.folder.preprocess().shape
    else:
        network = net if isinstance(net, nn.Module) else _place(net)
    with torch.random.fork_rng(devices=[]):
        own_name, table = networks.layers(
            network, shape=shape, num_classes=num_classes, variation=variation, trust=trust
        )
    return (name if name and not variation else own_name), table


def _place(net: object) -> str:
    """A name, file or folder as text. Raises UsageError CN205 for a value that is none, such as a class."""
    if isinstance(net, str | Path):
        return str(net)
    kind = getattr(net, "__name__", "") if callable(net) else ""
    raise UsageError(
        "CN205",
        _("{name} makes networks, and is not a network itself", name=kind)
        if kind
        else _("a value of type {kind} is not a network", kind=type(net).__name__),
        why=_("a network is a torch.nn.Module, a name from `classicnets list`, file.py:net, or a run"),
        hint=f"net = {kind or 'MyNet'}()",
    )


def _check(shape: object) -> None:
    """Raise UsageError CN201 if a shape is not a tuple or list of integers."""
    is_shape = isinstance(shape, Sequence) and not isinstance(shape, str) and all(isinstance(n, int) for n in shape)
    if shape is not None and not is_shape:
        raise networks.wrong_shape(shape)
