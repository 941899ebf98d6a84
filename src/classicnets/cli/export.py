"""`classicnets export RUN`: one file that needs neither classicnets nor, as ONNX, torch."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets import api, report
from classicnets.cli import arguments
from classicnets.spec import NET_FILE, ExportOptions, option
from classicnets.text import byte_count, command

if TYPE_CHECKING:
    from classicnets.api.models import Exported

HELP = "one file of a run with its preprocessing and classes inside: ONNX, or a torch program"


@dataclass(frozen=True, kw_only=True)
class Export:
    """The run, the format, and how small."""

    folder: str = option(help="the folder of a run", metavar="RUN")
    out: str | None = option(
        None,
        help="the file",
        group="output",
        metavar="FILE",
        flag="-o",
        shown="the run's name with .onnx or .pt2, in this folder",
    )
    net: str | None = option(None, **NET_FILE)


OPTIONS = (Export, ExportOptions)


def run(args: argparse.Namespace) -> int:
    """Writes the file if it agrees with the network, and prints what was checked."""
    asked, options = arguments.read(args, Export), arguments.read(args, ExportOptions)
    opened = api.models.Run(asked.folder, net=asked.net, device="cpu")
    path = Path(asked.out or f"{opened.path.resolve().name}.{'onnx' if options.format == 'onnx' else 'pt2'}")
    done = opened.export(path, **vars(options))
    if args.json:
        print(json.dumps(done.to_dict(), indent=2))
        return 0
    _show(done, options.license)
    return 0


def _show(done: Exported, license: str) -> None:
    out = report.tables.console()
    if done.candidates:
        first = done.candidates[0].accuracy
        rows = [
            [one.name, byte_count(one.bytes), f"{one.accuracy:.4f}", f"{100 * (one.accuracy - first):+.2f}"]
            for one in done.candidates
        ]
        columns = ["file", "size", "accuracy", "points"]
        out.print(report.tables.table(columns, rows, numbers=columns[1:], title=f"compared on {done.compared_on}"))
    how = ", ".join(["int8"] * done.int8 + ["dense layers narrowed"] * done.low_rank)
    out.print(f"{done.path}   {byte_count(done.bytes)}{f' ({how})' if how else ''}, license {license}")
    if done.int8:
        out.print(
            f"ranges from {done.calibration_count} training images; {done.changed_predictions:,} predictions changed"
        )
    else:
        noise = "of noise " if done.missing_data else "of the test split "
        out.print(
            f"agrees with the net on {done.image_count:,} images {noise}and on {done.size_count} sizes of image, in"
            f" batches of 1, 2 and 7: probabilities differ by at most {done.difference:.1g};"
            f" up to {done.bound:.1g}, half of 1e-5 of the largest logit, is the rounding of float32"
        )
    if done.accuracy is None or done.net_accuracy is None:
        out.print(f"not checked: accuracy, as {done.missing_data}; the file says so")
    else:
        points = 100 * (done.accuracy - done.net_accuracy)
        out.print(
            f"accuracy {done.accuracy:.4f} (the run's net: {done.net_accuracy:.4f}, {points:+.2f} points)"
            f" on {done.image_count:,} test images"
        )
    if done.format == "onnx":
        out.print(f"next: {command('classicnets', 'predict', done.path, 'image.png')}")
    else:
        out.print(f'next: torch.export.load("{done.path}").module()(pixels)   # uint8 [N, 3, side, side] RGB')
