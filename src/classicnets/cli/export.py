"""`classicnets export RUN`: one file that needs neither classicnets nor, as ONNX, torch."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.errors import UsageError
from classicnets.report import tables

if TYPE_CHECKING:
    from classicnets.export.write import Exported

HELP = "one file of a run with its preprocessing and classes inside: ONNX, or a torch program"

_UNITS = {"b": 1, "kb": 1000, "mb": 1_000_000}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, the format, and how small."""
    parser.add_argument("folder", metavar="RUN", help="the folder of a run")
    parser.add_argument("-o", dest="out", metavar="FILE", help="default: the run's name with .onnx or .pt2, here")
    parser.add_argument("--format", choices=["onnx", "torch"], default="onnx", help="default: onnx; torch makes a .pt2")
    parser.add_argument("--int8", action="store_true", help="whole numbers of 8 bits, calibrated on training pictures")
    parser.add_argument(
        "--max-loss", type=float, default=5.0, metavar="POINTS", help="refuse --int8 that costs more (default: 5)"
    )
    parser.add_argument(
        "--size-budget", metavar="SIZE", help="the most accurate that fits: 300kB; int8, dense layers narrowed, or both"
    )
    parser.add_argument("--licence", default="unknown", metavar="TEXT", help="of the weights, written into the file")
    parser.add_argument("--net", metavar="FILE.py:NET", help="make the net from here instead of where the run had it")


def run(args: argparse.Namespace) -> int:
    """Writes the file if it agrees with the net, and says what was checked."""
    limit = _size(args.size_budget)
    from classicnets.api import Run

    opened = Run(args.folder, net=args.net, device="cpu")
    path = Path(args.out or f"{opened.path.resolve().name}.{'onnx' if args.format == 'onnx' else 'pt2'}")
    done = opened.export(
        path,
        format=args.format,
        int8=args.int8,
        max_loss=args.max_loss,
        size_budget=limit,
        licence=args.licence,
    )
    if args.json:
        print(json.dumps(done.to_dict(), indent=2))
        return 0
    _show(done, args.licence)
    return 0


def _show(done: Exported, licence: str) -> None:
    out = tables.console()
    if done.candidates:
        first = done.candidates[0].accuracy
        rows = [
            [one.name, tables.bytes_text(one.bytes), f"{one.accuracy:.4f}", f"{100 * (one.accuracy - first):+.2f}"]
            for one in done.candidates
        ]
        columns = ["file", "size", "accuracy", "points"]
        out.print(tables.table(columns, rows, numbers=columns[1:], title=f"compared on {done.chosen_on}"))
    how = ", ".join(["int8"] * done.int8 + ["dense layers narrowed"] * done.narrowed)
    out.print(f"{done.path}   {tables.bytes_text(done.bytes)}{f' ({how})' if how else ''}, licence {licence}")
    if done.int8:
        out.print(f"ranges from {done.calibration} training pictures; {done.other_predictions:,} predictions changed")
    else:
        noise = "of noise " if done.unchecked else "of the test split "
        out.print(
            f"agrees with the net on {done.pictures:,} pictures {noise}and on {done.sizes} sizes of picture, in batches"
            f" of 1, 2 and 7: probabilities differ by at most {done.difference:.1g}; up to {done.bound:.1g}, half of"
            f" 1e-5 of the largest logit, is the rounding of float32"
        )
    if done.accuracy is None or done.net_accuracy is None:
        out.print(f"not checked: accuracy, as {done.unchecked}; the file says so")
    else:
        points = 100 * (done.accuracy - done.net_accuracy)
        out.print(
            f"accuracy {done.accuracy:.4f} (the run's net: {done.net_accuracy:.4f}, {points:+.2f} points)"
            f" on {done.pictures:,} test pictures"
        )
    if done.format == "onnx":
        out.print(f"next: classicnets predict {done.path} picture.png")
    else:
        out.print(f'next: torch.export.load("{done.path}").module()(pixels)   # uint8 [N, 3, side, side] RGB')


def _size(text: str | None) -> int | None:
    """Bytes of 300kB, 1.5MB or 2000B. Raises UsageError CN206."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|kB|MB)", text, re.IGNORECASE)
    if not found:
        raise UsageError(
            "CN206", f"--size-budget {text} is not a size", why="a number with B, kB or MB", hint="--size-budget 300kB"
        )
    return int(float(found[1]) * _UNITS[found[2].lower()])
