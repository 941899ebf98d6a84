"""`classicnets predict MODEL INPUT...`: the top-k predictions for images."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classicnets import api, report
from classicnets.cli import arguments
from classicnets.cli.evaluate import OpenModel
from classicnets.errors import ClassicnetsError, DataError, MachineError
from classicnets.files import check_target
from classicnets.options import option
from classicnets.report.output import print
from classicnets.spec import BAD_IMAGE, ON_BAD_IMAGE
from classicnets.text import _, plural
from classicnets.values import Preprocess

if TYPE_CHECKING:
    from classicnets.api.models import Input, Model, Prediction

HELP = "classify images and print the most probable classes"


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Options of `predict`."""

    inputs: list[str] = option(
        help="image files, folders, globs, or CSV lists with a column path; - reads paths or one image from stdin",
        metavar="INPUT",
        nargs="+",
    )
    on_bad_image: str = option(ON_BAD_IMAGE[0], **BAD_IMAGE)
    handwriting: bool = option(
        False, help="center and scale a photographed or drawn character as in MNIST", group="data"
    )
    top: int = option(3, help="number of classes for each image", group="output", metavar="K", minimum=1)
    show: str | None = option(
        None, help="draw the preprocessed images beside the originals", group="output", metavar="FILE.png", shown=""
    )
    csv: bool = option(False, help="print CSV with a header", group="output")
    jsonl: bool = option(False, help="print one line of JSON for each image, as it is classified", group="output")


OPTIONS = (OpenModel, Predict)


def run(args: argparse.Namespace) -> int:
    """Print one row for each image, most probable class first; the exit code is 3 if an image cannot be read.

    With --on-bad-image skip, such images have no row, and the exit code is 3 only if no image can be read.
    """
    options = arguments.read(args, Predict)
    output_format = _output_format(args, options)
    opening = arguments.read(args, OpenModel)
    model = opening.open()
    rejection = model.rejecting(opening.min_confidence)
    if options.show:
        check_target(Path(options.show), option="--show")
    console = report.tables.console(stderr=True)
    # Before any image is classified, this finds missing inputs and faulty lists.
    total = api.models.count_inputs(options.inputs, console.print)
    console.print(_describe(model, handwriting=options.handwriting))
    if rejection:
        console.print(report.predictions.rejection_note(model.calibration, rejection.min_confidence))
    tally = report.predictions.Tally()
    drawn: list[tuple[Input, Prediction]] = []
    facts = _facts(model)
    if rejection:
        facts |= {"min_confidence": rejection.min_confidence, **model.calibration.to_dict()}
    writer = report.predictions.writer(
        output_format, facts, min(options.top, len(model.classes)), rejects=rejection is not None
    )
    predictions = api.models.stream(
        model,
        options.inputs,
        options.top,
        handwriting=options.handwriting,
        min_confidence=opening.min_confidence,
        say=console.print if total is None else lambda _: None,  # count_inputs has printed the notes, if it could count
    )
    with report.terminal.progress_bar(console, total, visible=_shows_progress(output_format, total)) as count:
        for image, prediction in predictions:
            tally.add(prediction)
            count()
            if prediction.error and options.on_bad_image == "skip":
                continue
            writer.show(prediction)
            if options.show and len(drawn) < report.predictions.MAX_DRAWN:
                drawn.append((image, prediction))
    writer.end(tally)
    if options.show:
        decode = api.models.decoder(handwriting=options.handwriting)
        try:
            report.predictions.draw(Path(options.show), drawn, model.predictor.preprocess, tally.images, decode)
        except MachineError as error:  # the results have been printed, so this is not one of them, not even as JSON
            return _fail(error)
        console.print(_("preprocessed images: {path}", path=options.show))
    if rejection:
        console.print(
            plural(
                "{rejected} of {n} image is unknown",
                "{rejected:,} of {n:,} images are unknown",
                tally.images,
                rejected=tally.rejected,
            )
        )
    if rejection and tally.labeled > tally.rejected_labeled:
        console.print(
            _(
                "{right:,} of {known:,} accepted images with a known class are classified correctly ({share:.1%})",
                right=tally.accepted_correct,
                known=tally.labeled - tally.rejected_labeled,
                share=tally.accepted_correct / (tally.labeled - tally.rejected_labeled),
            )
        )
    elif tally.labeled:
        console.print(
            _(
                "{right:,} of {known:,} images with a known class are classified correctly ({share:.1%})",
                right=tally.correct,
                known=tally.labeled,
                share=tally.correct / tally.labeled,
            )
        )
    if options.on_bad_image == "skip" and tally.unreadable < tally.images:
        if lost := report.lines.left_out({"unreadable": tally.unreadable}):
            console.print(lost)
            console.print(tally.why())
        return 0
    return _report_unreadable(tally, options.inputs) if tally.unreadable else 0


def _output_format(args: argparse.Namespace, options: Predict) -> str:
    """The format to print: "json", "jsonl", "csv" or "table". Raises UsageError CN206 for invalid options."""
    chosen = {"json": args.json, "jsonl": options.jsonl, "csv": options.csv}
    names = [name for name, value in chosen.items() if value]
    if len(names) > 1:
        args.parser.error(_("--json, --jsonl and --csv cannot be combined"))
    return names[0] if names else "table"


def _shows_progress(output_format: str, total: int | None) -> bool:
    """Whether a progress bar can be shown: not while rows appear on the same terminal."""
    one_table = output_format == "table" and (total or 0) <= report.predictions.TABLE_ROWS
    return not report.output.stream().isatty() or output_format == "json" or one_table


def _facts(model: Model) -> dict[str, Any]:
    return {"model": str(model.path), "weights": model.weights, "computed_in": model.predictor.precision}


def _describe(model: Model, *, handwriting: bool) -> str:
    precision = model.predictor.precision
    values = {
        "model": model.name,
        "weights": model.weights if precision == "float32" else f"{model.weights} ({precision})",
        "images": _describe_images(model.predictor.preprocess, handwriting=handwriting),
    }
    return _("{model}, weights {weights}; images are preprocessed to {images}", **values)


def _describe_images(preprocess: Preprocess, *, handwriting: bool) -> str:
    values = {
        "color": _("grayscale") if preprocess.channels == 1 else _("color"),
        "size": preprocess.image_size,
        "fit": preprocess.fit,
    }
    if handwriting:
        return _("{color} {size}x{size} (each character white on black, centered)", **values)
    return _("{color} {size}x{size} (fit={fit})", **values)


def _report_unreadable(tally: report.predictions.Tally, inputs: list[str]) -> int:
    """Print the error for images that cannot be read and return its exit code."""
    what = plural(
        "{unread} of {n} image could not be read",
        "{unread:,} of {n:,} images could not be read",
        tally.images,
        unread=tally.unreadable,
    )
    return _fail(DataError("CN304", what, where=", ".join(inputs), why=tally.why()))


def _fail(error: ClassicnetsError) -> int:
    """Print an error that follows the results and return its exit code."""
    report.output.flush()
    print(error, file=sys.stderr)
    return error.exit_code
