"""`classicnets show`: layers, explanation, comparison, figure, source or card of a network; an exported file."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classicnets import api, report
from classicnets.cli import arguments, explain, weights
from classicnets.errors import UsageError
from classicnets.files import write_whole
from classicnets.options import option, option_fields
from classicnets.report.output import print
from classicnets.spec import SETTINGS, TRUST
from classicnets.strict_json import dump
from classicnets.text import _, command

if TYPE_CHECKING:
    from classicnets.api.networks import Table

HELP = "show a network: layers, explanation, comparison, figure, source, card; or the contents of an exported file"


@dataclass(frozen=True, kw_only=True)
class Show:
    """Options of `show`."""

    networks: list[str] = option(
        help="name from `classicnets list`, file.py:net, graph file, run folder, or exported file; two networks to"
        " compare;"
        " NET LAYER with --why",
        metavar="NET",
        nargs="+",
    )
    settings: Mapping[str, Any] = option(
        dict,
        **SETTINGS,
        help="change the network: net.activation=relu",
        metavar="net.KEY=VALUE",
    )
    input: str | None = option(
        None, help="shape of the images, such as 3x224x224", group="data", metavar="CxHxW", shown=""
    )
    classes: int | None = option(
        None, help="number of classes", group="data", metavar="N", shown="as in the source", minimum=1
    )
    why: bool = option(
        False, help="explain how shapes, parameters and costs are calculated, for NET or for NET LAYER", group="output"
    )
    svg: str | None = option(
        None,
        help="draw the network, or two to the same scale, as an SVG file",
        group="output",
        metavar="FILE",
        shown="",
    )
    code: bool = option(
        False, help="print a network of `classicnets list` as Python source, to be changed", group="output"
    )
    output: str | None = option(
        None,
        help="write the source of --code into this new file",
        group="output",
        metavar="FILE.py",
        flag="-o",
        shown="",
    )
    card: bool = option(False, help="show what was published, what differs and what is assumed", group="output")
    trust: bool = option(False, **TRUST)


OPTIONS = (Show,)

# The options that have an effect on what is shown, and the largest number of networks; for --why, the rest are layers.
_NETWORK = {"settings", "input", "classes", "trust"}
_USES: dict[str, tuple[set[str], int | None]] = {
    "error": (set(), 1),
    "weights": (set(), 1),
    "exported": (set(), 1),
    "card": ({"card"}, 1),
    "why": ({"why"} | _NETWORK, None),
    "svg": ({"svg"} | _NETWORK, 2),
    "code": ({"code", "output"} | _NETWORK, 1),
    "comparison": (_NETWORK, 2),
    "layers": (_NETWORK, 1),
}


def run(args: argparse.Namespace) -> int:
    """Print the layers, the explanation, the comparison, the path of the figure, the source, or the card."""
    options = arguments.read(args, Show)
    first, *others = options.networks
    mode = _mode(options)
    _reject_unused(args, options, mode)
    if mode == "error":
        return explain.explain(first.upper(), as_json=args.json)
    if mode == "weights":
        return weights.identify(first, as_json=args.json)
    if mode == "exported":
        return _exported(Path(first), as_json=args.json)
    if mode == "card":
        return _card(first, as_json=args.json)
    if mode == "code":
        return _code(options, first, as_json=args.json)
    if mode == "why":
        return _explain(_layers(options, first), others, as_json=args.json)
    networks = [_layers(options, name) for name in options.networks]
    if mode == "svg":
        return _draw(networks, Path(str(options.svg)), as_json=args.json)
    if mode == "comparison":
        return _compare(networks, as_json=args.json)
    return _table(*networks[0], as_json=args.json)


def _mode(options: Show) -> str:
    """What is shown: a key of `_USES`."""
    first = options.networks[0]
    if re.fullmatch(r"CN\d{3}", first.upper()):
        return "error"
    if first.lower().endswith((".onnx", ".pt2", ".pte")):
        return "exported"
    is_other_file = Path(first).is_file() and not first.endswith((".py", ".json"))
    if first.endswith((".safetensors", ".pth", ".pt")) or is_other_file:
        return "weights"
    for mode in ("card", "why", "svg", "code"):
        if getattr(options, mode):
            return mode
    return "comparison" if len(options.networks) > 1 else "layers"


def _reject_unused(args: argparse.Namespace, options: Show, mode: str) -> None:
    """Raise UsageError CN206 for options without an effect, and for too many networks."""
    used, most = _USES[mode]
    names = options.networks
    alone = command("classicnets", "show", *names[:most], *([f"--{mode}"] if mode in {"card", "why", "code"} else []))
    if mode == "svg":
        alone += " " + command("--svg", str(options.svg))
    if most is not None and len(names) > most:
        if most == 2:
            raise UsageError("CN206", _("show takes one or two networks"), hint=alone)
        message = _("{name} has no effect here", name=", ".join(names[most:]))
        raise UsageError("CN206", message, where=args.parser.prog, hint=alone)
    unused = {f.name for f in option_fields(Show)} - used - {"networks"}
    reasons = {
        "error": _("{name} is an error code", name=names[0]),
        "weights": _("{name} is a file of weights", name=names[0]),
        "exported": _("{name} is an exported file; its layers cannot be explained, compared or drawn", name=names[0]),
        "card": _("--card shows the card of a network, which does not depend on options"),
        "why": _("--why explains the network in words"),
        "svg": _("--svg draws the network, without words"),
        "code": _("--code writes the network as source"),
        "comparison": _("two networks are compared"),
        "layers": _("the layers of one network are shown"),
    }
    arguments.reject(args, OPTIONS, unused, reasons[mode], alone)


def _layers(options: Show, network: str) -> tuple[str, Table]:
    return api.networks.layers(
        network,
        shape=_shape(options.input),
        num_classes=options.classes,
        variation=_variation(options.settings),
        trust=options.trust,
    )


def _table(name: str, table: Table, *, as_json: bool) -> int:
    if as_json:
        print(dump({"net": name, **table.to_dict()}, indent=2))
    else:
        report.layers.print_table(report.tables.console(), name, table)
    return 0


def _compare(networks: list[tuple[str, Table]], *, as_json: bool) -> int:
    comparison = api.networks.compare(networks[0][1], networks[1][1])
    sentences, names = api.networks.differences(comparison), [name for name, _ in networks]
    if as_json:
        print(dump({"nets": names, **comparison.to_dict(), "differences": sentences}, indent=2))
    else:
        report.layers.print_comparison(report.tables.console(), names, comparison, sentences)
    return 0


def _explain(network: tuple[str, Table], layers: list[str], *, as_json: bool) -> int:
    name, table = network
    names: list[str | None] = [*layers] or [None]  # None: the network
    lines = [line for layer in names for line in api.networks.explain(table, layer)]
    if as_json:
        print(dump({"net": name, "why": lines}, indent=2, ascii=False))
    else:
        report.tables.console().print("\n".join([name, *lines]))
    return 0


def _draw(networks: list[tuple[str, Table]], path: Path, *, as_json: bool) -> int:
    write_whole(path, api.networks.draw(networks).encode("utf-8", "backslashreplace"), option="--svg")
    print(dump({"nets": [name for name, _ in networks], "file": str(path)}) if as_json else path)
    return 0


def _code(options: Show, network: str, *, as_json: bool) -> int:
    path = Path(options.output or "my_net.py")
    if options.output is not None:
        api.source.check_target(path)
    name, source = api.source.source(
        network,
        shape=_shape(options.input),
        num_classes=options.classes,
        variation=_variation(options.settings),
        trust=options.trust,
        path=path,
    )
    if options.output is None:
        print(dump({"net": name, "code": source}) if as_json else source, end="\n" if as_json else "")
        return 0
    api.source.write(path, source)
    print(dump({"net": name, "file": str(path)}) if as_json else path)
    return 0


def _exported(path: Path, *, as_json: bool) -> int:
    file = api.models.describe(path)
    if as_json:
        print(dump(file.to_dict(), indent=2))
    else:
        report.exported.print_file(report.tables.console(), file)
    return 0


def _card(name: str, *, as_json: bool) -> int:
    text = api.catalog.card(name)
    if text is None:
        raise UsageError(
            "CN202",
            _("there is no card for {name}", name=name),
            why=_("only the networks of `classicnets list` have a card, which compares them with their sources"),
            hint="classicnets list",
        )
    print(dump({"net": name, "card": text}) if as_json else text, end="\n" if as_json else "")
    return 0


def _variation(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the network without their prefix. Raises UsageError CN202 for a recipe setting."""
    variation, recipe_settings = api.networks.split_settings(settings)
    if recipe_settings:
        raise UsageError(
            "CN202",
            _("show takes only settings of the network, and {name!r} is not one", name=next(iter(recipe_settings))),
            where=command("--set", *(f"{key}={value}" for key, value in recipe_settings.items())),
            why=_("settings of the network begin with net.; those of a recipe belong to `classicnets train`"),
            hint=("--set net.activation=relu", "classicnets train NET --dry-run"),
        )
    return variation


def _shape(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(
            "CN206",
            _("--input {text} is not an image shape", text=text),
            why=_("an image shape is channels x height x width"),
            hint="--input 3x224x224",
        )
    channels, height, width = map(int, parts)
    return channels, height, width
