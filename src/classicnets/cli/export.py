"""`classicnets export RUN`: writes a run as a file that works without classicnets, a web page, or a Triton model."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets import api, report
from classicnets.cli import arguments
from classicnets.errors import UsageError
from classicnets.options import option
from classicnets.report.output import print
from classicnets.spec import NET_FILE, TRUST, ExportOptions
from classicnets.strict_json import dump
from classicnets.text import _, again, byte_count, command, listed, plural

if TYPE_CHECKING:
    from classicnets.api.models import Exported

HELP = "export a run, with its preprocessing and classes, as a file for onnxruntime, torch, phones, Triton or browsers"


@dataclass(frozen=True, kw_only=True)
class Export:
    """Options of `export` that are not in `ExportOptions`."""

    folders: list[str] = option(
        help="run folder; with --format web, a second one to show beside it", metavar="RUN", nargs="+"
    )
    out: str | None = option(
        None,
        help="exported file, or folder of the web page or Triton model",
        group="output",
        metavar="FILE",
        flag="-o",
        shown="the name of the run with .onnx, .pt2, .pte, -page, .html or -triton, in the current folder",
    )
    net: str | None = option(None, **NET_FILE)
    trust: bool = option(False, **TRUST)


OPTIONS = (Export, ExportOptions)
_FOLDERS = {"web": "-page", "triton": "-triton"}  # what follows the name of the run


def run(args: argparse.Namespace) -> int:
    """Export a run and print the results of the checks."""
    paths, options = arguments.read(args, Export), arguments.read(args, ExportOptions)
    if len(paths.folders) > 1 and paths.net is not None:
        raise UsageError(
            "CN206",
            _("--net replaces the network of one run, and there are several"),
            where=command(*map(Path, paths.folders)),
            hint=command("classicnets", "export", Path(paths.folders[0]), "--net", paths.net),
        )
    models = [api.models.Run(folder, net=paths.net, device="cpu", trust=paths.trust) for folder in paths.folders]
    model = models[0]
    name = model.path.resolve().name.removesuffix(".safetensors")
    path = Path(paths.out or (name + _FOLDERS[options.format] if options.is_folder else name))
    if path.is_dir() and paths.out and not options.is_folder:
        path /= name
    exported = model.export(path, *models[1:], **vars(options))
    if args.json:
        print(dump(exported.to_dict(), indent=2))
    elif exported.networks:
        _print_page(exported, options, [model.path for model in models])
    else:
        _print_file(exported, options.license, model.path)
    return 0


def _print_file(exported: Exported, license: str, run: Path) -> None:
    console = report.tables.console()
    if exported.candidates:
        _print_candidates(exported)
    values = {
        "path": exported.path,
        "size": byte_count(exported.bytes),
        "how": listed([_("int8")] * exported.int8 + [_("low-rank dense layers")] * exported.low_rank),
        "license": _license(license),
    }
    if values["how"]:
        console.print(_("{path}   {size} ({how}), license {license}", **values))
    else:
        console.print(_("{path}   {size}, license {license}", **values))
    _print_checks(exported, run)
    if exported.format in {"onnx", "executorch"}:
        console.print(_("next: {command}", command=command("classicnets", "predict", exported.path, "image.png")))
    elif exported.format == "triton":
        server = command("tritonserver", "--model-repository", exported.path.absolute().parent)
        console.print(_("next: {command}   # serves all models in that folder", command=server))
    else:
        code = f"torch.export.load({str(exported.path)!r}).module()(pixels)"
        console.print(_("next: {code}   # pixels: uint8 [N, 3, height, width], RGB", code=code))


def _license(license: str) -> str:
    return _("unknown") if license == "unknown" else license


def _print_page(exported: Exported, options: ExportOptions, runs: list[Path]) -> None:
    """Print the checks of each network of a web page, what else is in it, and how it is opened."""
    console = report.tables.console()
    values = {"path": exported.path, "size": byte_count(exported.bytes), "license": _license(options.license)}
    console.print(_("{path}   {size}, license {license}", **values))
    for network, run in zip(exported.networks, runs, strict=True):
        if len(runs) > 1:
            console.print(_("network of {run}:", run=run))
        _print_checks(network, run)
        layers = plural(
            "the outputs of {n} call of a layer agree with the network",
            "the outputs of {n:,} calls of layers agree with the network",
            network.layer_count,
        )
        console.print(_("int8 changes the outputs of layers; the page says so") if network.int8 else layers)
        if network.epoch_count:
            console.print(
                plural("the weights of {n} epoch", "the weights of {n:,} epochs, as a slider", network.epoch_count)
            )
    if exported.example_count:
        console.print(
            plural(
                "{n} image of the test split is part of the page",
                "{n:,} images of the test split are part of the page",
                exported.example_count,
            )
        )
    else:
        console.print(_("no examples of the data, which is not available: {reason}", reason=exported.missing_data))
    if options.single_file:
        console.print(_("next: open {path} in a browser", path=exported.path))
    else:
        serve = command("python", "-m", "http.server", "--directory", exported.path)
        console.print(_("next: {command}   # then open http://localhost:8000", command=serve))


def _print_checks(exported: Exported, run: Path) -> None:
    """Print how the file was compared with its network, and its accuracy."""
    console = report.tables.console()
    if exported.int8:
        console.print(
            _(
                "calibrated on {images} training images; {changed:,} predictions differ from those of the network",
                images=exported.calibration_count,
                changed=exported.changed_predictions,
            )
        )
    else:
        _print_agreement(exported)
    if exported.min_confidence is not None:
        console.print(report.predictions.rejection_note(exported.calibration, exported.min_confidence))
    if exported.accuracy is None or exported.net_accuracy is None:
        console.print(_("accuracy not checked, and the file says so: {reason}", reason=exported.missing_data))
        moved = again("classicnets", "export", run, "--data", "DATA", data="DATA")
        console.print(_("to check it, if the data has moved: {command}", command=moved))
    else:
        console.print(
            _(
                "accuracy {accuracy:.4f} (the run's network: {net_accuracy:.4f}, {points:+.2f} points)"
                " on {n:,} test images",
                accuracy=exported.accuracy,
                net_accuracy=exported.net_accuracy,
                points=100 * (exported.accuracy - exported.net_accuracy),
                n=exported.image_count,
            )
        )


def _print_candidates(exported: Exported) -> None:
    """Print the size and the accuracy of the files that were compared."""
    first = exported.candidates[0].accuracy
    rows = [
        [file.name, byte_count(file.bytes), f"{file.accuracy:.4f}", f"{100 * (file.accuracy - first):+.2f}"]
        for file in exported.candidates
    ]
    columns = [_("file"), _("size"), _("accuracy"), _("points")]
    title = _("compared on {images}", images=exported.compared_on)
    report.tables.console().print(report.tables.table(columns, rows, numbers=columns[1:], title=title))


def _print_agreement(exported: Exported) -> None:
    """Print how much the probabilities of the file differ from those of the network."""
    values = {
        "n": exported.image_count,
        "sizes": exported.size_count,
        "difference": exported.difference,
        "bound": exported.bound,
    }
    if exported.missing_data:
        agreement = _("agrees with the network on {n:,} images of noise and on {sizes} image sizes", **values)
    else:
        agreement = _("agrees with the network on {n:,} images of the test split and on {sizes} image sizes", **values)
    console = report.tables.console()
    console.print(agreement)
    console.print(
        _(
            "in batches of 1, 2 and 7, probabilities differ by at most {difference:.1g}; the limit is {bound:.1g},"
            " the float32 rounding error of half of 1e-5 of the largest logit",
            **values,
        )
    )
