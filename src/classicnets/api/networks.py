"""Networks: build one, look at its layers, explain, compare and draw them, and find out whose weights a file holds."""

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
from classicnets.inspection.compare import Comparison
from classicnets.inspection.explain import explain as explain_table
from classicnets.inspection.guard import guard
from classicnets.inspection.shape_errors import check_input
from classicnets.inspection.shapes import Table
from classicnets.models.registry import NETS
from classicnets.models.variants import vary
from classicnets.runs import net_spec
from classicnets.runs.folder import open_run
from classicnets.runs.net_spec import NetSpec
from classicnets.text import shape as shape_text
from classicnets.weights.identify import Identity
from classicnets.weights.identify import identify as identify_file

__all__ = ["Comparison", "Identity", "Table", "compare", "create", "differences", "draw", "explain", "identify"]
__all__ += ["layers", "vary"]

_OWN_INPUT = (1, 28, 28)  # what your own network is shown for by default: images of Fashion-MNIST


def create(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    variation: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Builds a network of the registry for a number of classes and channels and one image size (default: its source's).

    The network takes float [N, in_channels, image_size, image_size] and returns logits [N, num_classes]; any other
    size is refused with an explanation. `variation` is what `vary` takes, such as {"activation": "relu"}.
    Raises UsageError CN202 for an unknown name, CN201 for a size it cannot have, CN204 for what cannot be exchanged.
    """
    spec = net_spec.with_variation(net_spec.find(name), variation or {})
    made, shape = _registered(spec, in_channels, image_size, num_classes)
    _check(made, shape)
    return guard(made.build(), shape, name=name)


def layers(
    what: str,
    *,
    shape: tuple[int, int, int] | None = None,
    num_classes: int | None = None,
    variation: Mapping[str, Any] | None = None,
) -> tuple[str, Table]:
    """The name and the layer table of NET (a registry name, file.py:net or a run) for images of `shape`.

    By default the shape is the source's, the run's, or 1x28x28 for your own network; `variation` is as for `create`.
    Raises UsageError CN201, CN202, CN204, CN205, CN207.
    """
    made = net_spec.with_variation(net_spec.find(what), variation or {})
    if made.kind != "registry":
        default = open_run(what).preprocess().shape if Path(what).is_dir() else _OWN_INPUT
        return made.display_name, _check(made, shape or default)
    if shape is None and Path(what).is_dir():
        shape = open_run(what).preprocess().shape
        num_classes = num_classes or made.num_classes
    if shape and shape[1] != shape[2]:
        raise UsageError(
            "CN201",
            f"{made.name} is made for square images",
            where=f"--input {shape_text(shape)}",
            hint=f"--input {shape[0]}x{shape[1]}x{shape[1]}",
        )
    channels, side = (shape[0], shape[1]) if shape else (None, None)
    made, shape = _registered(made, channels, side, num_classes)
    return made.display_name, _check(made, shape)


def explain(table: Table, layer: str | None = None, language: str = "en") -> list[str]:
    """Where the shape, the parameters and the cost of a layer (or of the whole network) come from, in sentences.

    Raises UsageError CN202 for a layer or a language that is not known.
    """
    return explain_table(table, layer, language)


def compare(left: Table, right: Table) -> Comparison:
    """Two networks side by side: their layers aligned, and their totals."""
    return comparing.compare(left, right)


def differences(comparison: Comparison, language: str = "en") -> list[str]:
    """What differs between two networks, in sentences. Raises UsageError CN202 for an unknown language."""
    return comparing.differences(comparison, language)


def draw(networks: Sequence[tuple[str, Table]]) -> str:
    """A figure of one network, or of several to one scale, as SVG."""
    return figure.svg(networks)


def split_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the network (without their prefix `net.`), and those of a recipe. Raises UsageError CN202."""
    return net_spec.split(settings)


def identify(path: str | Path) -> Identity:
    """Which network of the registry a file of weights belongs to. Raises DataError CN305 for a file without any."""
    return identify_file(path)


def _registered(
    made: NetSpec, in_channels: int | None, image_size: int | None, num_classes: int | None
) -> tuple[NetSpec, tuple[int, int, int]]:
    """A network of the registry made for these, or where None as its source has it, and the shape it takes."""
    channels, side, _ = NETS[made.name].input
    shape = (in_channels or channels, image_size or side, image_size or side)
    classes = num_classes or NETS[made.name].classes
    return replace(made, num_classes=classes, in_channels=shape[0], image_size=shape[1]), shape


def _check(made: NetSpec, shape: tuple[int, ...]) -> Table:
    with torch.device("meta" if made.kind == "registry" else "cpu"):  # only shapes are needed
        net = made.build()
    return check_input(net, shape, name=made.display_name)
