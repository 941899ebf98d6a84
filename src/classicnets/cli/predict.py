"""`classicnets predict MODEL INPUT...`: the top-k predictions for images."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets import api, report
from classicnets.cli import arguments
from classicnets.cli.evaluate import OpenModel
from classicnets.errors import DataError
from classicnets.spec import option
from classicnets.values import Preprocess

if TYPE_CHECKING:
    from classicnets.api.models import Input, Prediction

HELP = "the top-k predictions for images"


@dataclass(frozen=True, kw_only=True)
class Predict:
    """The images, and what to print of them."""

    inputs: list[str] = option(
        help="image files, folders, 'globs', CSV lists with a column path; - reads paths, or an image, from stdin",
        metavar="INPUT",
        nargs="+",
    )
    handwriting: bool = option(False, help="make a photographed or drawn character into what MNIST's are", group="data")
    top: int = option(3, help="number of classes to name", group="output", metavar="K")
    show: str | None = option(
        None, help="draw the preprocessed images beside the originals", group="output", metavar="FILE.png", shown=""
    )
    csv: bool = option(False, help="print comma-separated values with a header", group="output")
    jsonl: bool = option(False, help="print one line of JSON for each image, as they come", group="output")


OPTIONS = (OpenModel, Predict)


def run(args: argparse.Namespace) -> int:
    """Prints a row for each image, the most probable class first, and which could not be read (exit code 3)."""
    asked = arguments.read(args, Predict)
    if asked.top < 1:
        args.parser.error("--top names at least one class")
    if asked.csv and asked.jsonl:
        args.parser.error("argument --jsonl: not allowed with argument --csv")
    if args.json and (asked.csv or asked.jsonl):
        args.parser.error("--json, --jsonl and --csv exclude each other")
    form = "json" if args.json else "jsonl" if asked.jsonl else "csv" if asked.csv else "table"
    predictions = report.predictions
    opened = arguments.read(args, OpenModel).opened()
    talk = report.tables.console(stderr=True)
    # before anything is classified: does every input hold images, is every list sound, and how many are there?
    total = api.models.count_inputs(asked.inputs, talk.print)
    preprocess, precision = opened.predictor.preprocess, opened.predictor.precision
    computed = "" if precision == "float32" else f" in {precision}"
    seen_as = _as_seen(preprocess, handwriting=asked.handwriting)
    talk.print(f"{opened.name}, weights {opened.weights}{computed}; {seen_as}")
    tally = predictions.Tally()
    drawn: list[tuple[Input, Prediction]] = []
    about = {"model": str(opened.path), "weights": opened.weights, "computed_in": precision}
    writer = predictions.writer(form, about, min(asked.top, len(opened.classes)))
    bar = not sys.stdout.isatty() or form == "json" or (form == "table" and (total or 0) <= predictions.TABLE_ROWS)
    with report.terminal.progress_bar(talk, total, visible=bar) as count:
        for one, found in api.models.stream(opened, asked.inputs, asked.top, handwriting=asked.handwriting):
            writer.show(found)
            tally.add(found)
            count()
            if asked.show and len(drawn) < predictions.MAX_DRAWN:
                drawn.append((one, found))
    writer.end(tally)
    if asked.show:
        decode = api.models.decoder(handwriting=asked.handwriting)
        predictions.draw(Path(asked.show), drawn, preprocess, tally.images, decode)
        talk.print(f"what the net saw: {asked.show}")
    if tally.labeled:
        share = tally.correct / tally.labeled
        talk.print(f"{tally.correct:,} of {tally.labeled:,} images of known class are right ({share:.1%})")
    if not tally.unreadable:
        return 0
    sys.stdout.flush()
    what = f"{tally.unreadable:,} of {tally.images:,} images could not be read"
    error = DataError("CN304", what, where=", ".join(asked.inputs), why=tally.why())
    print(error, file=sys.stderr)
    return error.exit_code


def _as_seen(preprocess: Preprocess, *, handwriting: bool) -> str:
    color, size = "gray" if preprocess.channels == 1 else "color", preprocess.image_size
    how = "each character white on black, centered" if handwriting else f"fit={preprocess.fit}"
    return f"images are seen as {color} {size}x{size} ({how})"
