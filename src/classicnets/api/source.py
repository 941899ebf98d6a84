"""The source of a network of the registry as a Python file to be changed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from classicnets.api.networks import with_input
from classicnets.errors import UsageError
from classicnets.files import write_whole
from classicnets.inspection.input_shape import DEFAULT_SHAPE
from classicnets.inspection.listing import listing
from classicnets.inspection.shape_errors import check_input
from classicnets.models.registry import NETS
from classicnets.runs.net_spec import NetSpec
from classicnets.text import _, command, full_stop, plural, sentences
from classicnets.text import shape as shape_text

__all__ = ["check_target", "source", "write"]


def source(
    network: str,
    *,
    shape: Sequence[int] | None = None,
    num_classes: int | None = None,
    variation: Mapping[str, Any] | None = None,
    trust: bool = False,
    path: str | Path = "my_net.py",
) -> tuple[str, str]:
    """Return the name of a network of the registry and a Python file that defines it as `net`, to be changed.

    The layers have the same names, so the weights of the network can be loaded into it.

    Args:
        network: A name from `classicnets list`, or a run folder of such a network.
        shape: See `layers`, like the next three.
        num_classes: Number of classes.
        variation: Layers that are replaced.
        trust: Whether code of a run folder may be run.
        path: The file that it will be, for the commands in its docstring.

    Raises:
        UsageError: CN201, CN202, CN204, CN207; CN206, the network is not one of the registry.
    """
    spec, shape = with_input(network, shape, num_classes, variation or {}, trust=trust)
    if spec.kind != "registry":
        raise UsageError(
            "CN206",
            _("--code writes only the networks of `classicnets list` as source"),
            where=command(network),
            why=_("the layers of {name} are in a file of your own", name=spec.display_name),
            hint=(command("classicnets", "show", network), "classicnets list"),
        )
    net, entry = spec.build_for_shapes(), NETS[spec.name]
    table = check_input(net, shape, name=spec.display_name)
    counts = plural(
        "The layers of {name} for {shape} images and {n} class: {parameters:,} parameters, {macs:,}"
        " multiply-accumulates for one image.",
        "The layers of {name} for {shape} images and {n:,} classes: {parameters:,} parameters, {macs:,}"
        " multiply-accumulates for one image.",
        spec.num_classes,
        name=spec.display_name,
        shape=shape_text(shape),
        parameters=table.parameters,
        macs=table.macs,
    )
    published = _("Source: {source}.", source=_(entry.source))
    what_next = _("Change the layers; then these commands show the shapes, the differences, and how well it learns:")
    about = [full_stop(_(entry.title)), sentences((counts, published)), what_next]
    return spec.display_name, listing(net, table, about, _commands(spec, shape, Path(path)))


def check_target(path: Path) -> None:
    """Raise UsageError CN206 if a path is that of an existing file, or of no Python file."""
    if path.suffix != ".py":
        raise UsageError(
            "CN206",
            _("the source of a network is written into a Python file"),
            where=command("-o", path),
            hint=command("-o", path.with_suffix(".py") if path.name else Path("my_net.py")),
        )
    if path.exists():
        raise UsageError(
            "CN206",
            _("{path} exists, and may have changes of yours, so it is not overwritten", path=path),
            where=command("-o", path),
            hint=command("-o", _free_name(path)),
        )


def write(path: Path, text: str) -> None:
    """Write the source of a network into a new file.

    Raises:
        UsageError: CN206, the file exists, or is no Python file.
        MachineError: CN401, it cannot be written.
    """
    check_target(path)
    write_whole(path, text.encode("utf-8", "backslashreplace"), option="-o")


def _commands(spec: NetSpec, shape: tuple[int, ...], path: Path) -> list[str]:
    """What to do with the source of a network: show, compare and train it."""
    net, size = f"{path}:net", [] if shape == DEFAULT_SHAPE else ["--input", shape_text(shape)]
    data = [] if shape[0] == DEFAULT_SHAPE[0] else ["--data", "FOLDER"]
    image_size = [] if shape[1:] == DEFAULT_SHAPE[1:] else ["--set", f"image_size={shape[-1]}"]
    return [
        command("classicnets", "show", net, *size),
        command("classicnets", "show", spec.name, net, *size),
        command("classicnets", "train", net, *data, *image_size),
    ]


def _free_name(path: Path) -> Path:
    """The first name with a number that no file has: my_net_2.py."""
    names = (path.with_stem(f"{path.stem}_{number}") for number in itertools.count(2))
    return next(name for name in names if not name.exists())
