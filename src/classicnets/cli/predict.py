"""`classicnets predict MODEL INPUT...`: what is on these pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.errors import DataError
from classicnets.report import tables

if TYPE_CHECKING:
    from classicnets.evaluation.classify import Prediction
    from classicnets.values import Preprocess

HELP = "the likeliest classes of pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, the pictures, and what to print of them."""
    parser.add_argument("model", metavar="MODEL", help="the folder of a run, or an exported .onnx file")
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="picture files, folders, 'globs', CSV lists with a column path; - reads paths, or a picture, from stdin",
    )
    parser.add_argument("--top", type=int, default=3, metavar="K", help="name so many classes (default: 3)")
    parser.add_argument(
        "--handwriting", action="store_true", help="make a photographed or drawn character into what MNIST's are"
    )
    parser.add_argument("--show", metavar="FILE.png", help="draw what the net saw beside the originals")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print comma-separated values with a header")
    form.add_argument("--jsonl", action="store_true", help="print one line of JSON for each picture, as they come")
    parser.add_argument("--net", metavar="FILE.py:NET", help="make the net from here instead of where the run had it")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (default: auto)")


def run(args: argparse.Namespace) -> int:
    """Prints a row for each picture, likeliest class first, and says which could not be read (exit code 3)."""
    if args.top < 1:
        args.parser.error("--top names at least one class")
    if args.json and (args.csv or args.jsonl):
        args.parser.error("--json, --jsonl and --csv exclude each other")
    from classicnets.api import load
    from classicnets.cli import predictions
    from classicnets.data import inputs
    from classicnets.report.terminal import counted

    model = load(args.model, net=args.net, device=args.device)
    talk = tables.console(stderr=True)
    # before anything is classified: does every input hold pictures, is every list sound, and how many are there?
    total = None if inputs.STDIN in args.inputs else sum(1 for _ in inputs.find(args.inputs))
    preprocess = model.predictor.preprocess
    talk.print(f"{model.name}, weights {model.weights}; {_as_seen(preprocess, handwriting=args.handwriting)}")
    top = min(args.top, len(model.classes))
    tally = predictions.Tally()
    drawn: list[tuple[inputs.Input, Prediction]] = []
    writer = predictions.writer(args, {"model": str(model.path), "weights": model.weights}, top)
    quiet = not sys.stdout.isatty() or args.json or not (args.csv or args.jsonl or (total or 0) > predictions.TABLE)
    with counted(talk, total, shown=quiet) as count:
        for one, found in model.stream(inputs.find(args.inputs), top=top, handwriting=args.handwriting):
            writer.show(found)
            tally.add(found)
            count()
            if args.show and len(drawn) < predictions.ON_SHEET:
                drawn.append((one, found))
    writer.end(tally)
    if args.show:
        predictions.draw(Path(args.show), drawn, preprocess, tally.pictures, handwriting=args.handwriting)
        talk.print(f"what the net saw: {args.show}")
    if tally.known:
        share = tally.right / tally.known
        talk.print(f"{tally.right:,} of {tally.known:,} pictures of known class are right ({share:.1%})")
    if not tally.unread:
        return 0
    sys.stdout.flush()
    what = f"{tally.unread:,} of {tally.pictures:,} pictures could not be read"
    error = DataError("CN304", what, where=", ".join(args.inputs), why=tally.why())
    print(error, file=sys.stderr)
    return error.exit_code


def _as_seen(preprocess: Preprocess, *, handwriting: bool) -> str:
    colour, size = "grey" if preprocess.channels == 1 else "colour", preprocess.image_size
    how = "each character white on black, centred" if handwriting else f"fit={preprocess.fit}"
    return f"pictures are seen as {colour} {size}x{size} ({how})"
