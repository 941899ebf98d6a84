"""`classicnets predict MODEL INPUT...`: what is on these pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.cli import model
from classicnets.errors import DataError
from classicnets.report import tables

if TYPE_CHECKING:
    from classicnets.evaluation.classify import Prediction
    from classicnets.values import Preprocess

HELP = "the likeliest classes of pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, the pictures, and what to print of them."""
    model.add_argument(parser)
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
    model.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Prints a row for each picture, likeliest class first, and says which could not be read (exit code 3)."""
    if args.top < 1:
        args.parser.error("--top names at least one class")
    if args.json and (args.csv or args.jsonl):
        args.parser.error("--json, --jsonl and --csv exclude each other")
    from classicnets import api
    from classicnets.cli import predictions
    from classicnets.images import inputs
    from classicnets.report.terminal import counted

    opened = model.opened(args)
    talk = tables.console(stderr=True)
    # before anything is classified: does every input hold pictures, is every list sound, and how many are there?
    from_stdin = inputs.STDIN in args.inputs
    total = None if from_stdin else sum(1 for _ in inputs.find(args.inputs, say=talk.print))
    preprocess = opened.predictor.preprocess
    precision = opened.predictor.precision
    said = "" if precision == "float32" else f" in {precision}"
    talk.print(f"{opened.name}, weights {opened.weights}{said}; {_as_seen(preprocess, handwriting=args.handwriting)}")
    top = min(args.top, len(opened.classes))
    tally = predictions.Tally()
    drawn: list[tuple[inputs.Input, Prediction]] = []
    about = {"model": str(opened.path), "weights": opened.weights, "computed_in": precision}
    writer = predictions.writer(args, about, top)
    quiet = not sys.stdout.isatty() or args.json or not (args.csv or args.jsonl or (total or 0) > predictions.TABLE)
    with counted(talk, total, shown=quiet) as count:
        for one, found in opened.stream(inputs.find(args.inputs), top=top, handwriting=args.handwriting):
            writer.show(found)
            tally.add(found)
            count()
            if args.show and len(drawn) < predictions.ON_SHEET:
                drawn.append((one, found))
    writer.end(tally)
    if args.show:
        decode = api.decoder(handwriting=args.handwriting)
        predictions.draw(Path(args.show), drawn, preprocess, tally.pictures, decode=decode)
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
