"""`classicnets weights`: weights of other libraries, identified and converted."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets import api, report
from classicnets.cli import arguments
from classicnets.cli.arguments import Action
from classicnets.errors import UsageError
from classicnets.options import option, option_fields, option_words
from classicnets.report.output import print
from classicnets.spec import WEIGHT_TARGETS, ConvertOptions
from classicnets.strict_json import dump
from classicnets.text import _, command, plural
from classicnets.text import shape as shape_text

if TYPE_CHECKING:
    from classicnets.api.weights import Converted

HELP = "identify weights files of other libraries, and convert them"


@dataclass(frozen=True, kw_only=True)
class Identify:
    """Options of `weights identify`."""

    files: list[str] = option(
        help="weights of PyTorch, safetensors, MXNet, Caffe or Keras, such as .pth or .caffemodel, and files that"
        " belong to them: deploy.prototxt, NAME-symbol.json, mean.binaryproto; no code in them is run",
        metavar="FILE",
        nargs="+",
    )


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Options of `weights convert` that are not in `ConvertOptions`."""

    file: str = option(
        help="weights of Caffe, MXNet, PyTorch, Keras or safetensors, such as .caffemodel, .params or .pth; or a run",
        metavar="FILE",
    )
    out: str = option(
        help="run folder, or one file that ends in .safetensors; with --to, the file of the other library",
        group="output",
        metavar="PATH",
        flag="-o",
    )
    to: str | None = option(
        None,
        help="write the run FILE in the format of this library instead",
        group="output",
        choices=WEIGHT_TARGETS,
        shown="",
    )


def identify(*paths: str, as_json: bool) -> int:
    """Print what files are, and which networks of the registry they belong to.

    With one result, the JSON is that; otherwise it is a list.

    Raises:
        DataError: CN305 for a file that cannot be read, and CN306 for weights and a network that do not fit.
    """
    results = api.networks.identify_files(paths)
    if as_json:
        values = [result.to_dict() for result in results]
        print(dump(values[0] if len(values) == 1 else values, indent=2))
    else:
        print("\n\n".join("\n".join(result.lines()) for result in results))
    return 0


def convert(args: argparse.Namespace) -> int:
    """Convert weights to a run, and print what it is."""
    paths, options = arguments.read(args, Convert), arguments.read(args, ConvertOptions)
    out = Path(paths.out)
    if paths.to is not None:
        return _convert_run(paths.file, paths.to, out, options, as_json=args.json)
    converted = api.weights.convert(paths.file, out, **vars(options))
    if args.json:
        print(dump(_facts(out, converted), indent=2))
    else:
        print("\n".join(_lines(out, converted)))
    return 0


def _convert_run(run: str, target: str, out: Path, options: ConvertOptions, *, as_json: bool) -> int:
    """Write the network of a run as files of another library, and print their names."""
    given = {f.name: getattr(options, f.name) for f in option_fields(ConvertOptions) if f.name != "channel_order"}
    if changed := option_words({name: value for name, value in given.items() if value}, ConvertOptions):
        raise UsageError(
            "CN206",
            _("{option} has no effect with --to", option=changed[0]),
            why=_("a run has its network and its classes; --to takes only --channel-order"),
            hint=command("classicnets", "weights", "convert", Path(run), "--to", target, "-o", out),
        )
    files = api.weights.write_for(run, target, out, channel_order=options.channel_order)
    if as_json:
        print(dump({"files": files}, indent=2))
    else:
        print("\n".join(_("written  {path}", path=path) for path in files))
        print(_("note     the file has neither the preprocessing of the images nor the names of the classes"))
    return 0


def _facts(out: Path, converted: Converted) -> dict[str, object]:
    spec = converted.network.spec
    return {
        "run": str(out),
        "net": spec.name,
        "in_registry": spec.kind == "registry",
        "parameters": converted.table.parameters,
        "macs": converted.table.macs,
        "classes": converted.classes,
        "preprocess": converted.preprocess.to_dict(),
        "format": converted.format,
        "files": converted.files,
        "changes": converted.changes,
        "notes": converted.notes,
    }


def _lines(out: Path, converted: Converted) -> list[str]:
    spec = converted.network.spec
    values = {
        "net": spec.display_name,
        "parameters": converted.table.parameters,
        "shape": shape_text(converted.network.shape),
    }
    n = len(converted.classes)
    if spec.kind == "registry":
        network = plural(
            "network  {net} of `classicnets list`: {parameters:,} parameters, {shape} images, {n} class",
            "network  {net} of `classicnets list`: {parameters:,} parameters, {shape} images, {n:,} classes",
            n,
            **values,
        )
    else:
        network = plural(
            "network  {net}, as a graph: {parameters:,} parameters, {shape} images, {n} class",
            "network  {net}, as a graph: {parameters:,} parameters, {shape} images, {n:,} classes",
            n,
            **values,
        )
    return [
        network,
        _("images   {preprocessing}", preprocessing=report.preprocessing.sentence(converted.preprocess)),
        *(_("changed  {change}", change=change) for change in converted.changes),
        *(_("note     {note}", note=note) for note in converted.notes),
        _("run      {path}", path=out),
        _("next: {command}", command=command("classicnets", "predict", out, "image.png")),
    ]


ACTIONS = {
    "identify": Action(
        "find the network that weights belong to, by their names, their shapes and the files beside them",
        (Identify,),
        lambda args: identify(*args.files, as_json=args.json),
    ),
    "convert": Action(
        "turn weights of Caffe, MXNet, PyTorch or Keras into a run, which predicts, is exported and is trained further",
        (Convert, ConvertOptions),
        convert,
    ),
}
