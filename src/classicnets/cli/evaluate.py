"""`classicnets evaluate MODEL [DATA]`: metrics of a network on labeled images."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets import api, report
from classicnets.cli import arguments
from classicnets.options import option
from classicnets.report.output import print
from classicnets.spec import (
    BAD_IMAGE,
    DEVICE,
    MIN_CONFIDENCE,
    NET_FILE,
    OFFLINE,
    ON_BAD_IMAGE,
    PRECISION,
    TRUST,
)
from classicnets.strict_json import dump
from classicnets.text import _

if TYPE_CHECKING:
    from classicnets.api.models import Accepted, Evaluation, Input, Model

HELP = "compute accuracy and other metrics on the test split, or on any labeled images"


@dataclass(frozen=True, kw_only=True)
class OpenModel:
    """Options of `evaluate` and `predict` that open a model."""

    model: str = option(help="run folder, or exported .onnx, .pt2 or .pte file", metavar="MODEL")
    net: str | None = option(None, **NET_FILE)
    device: str = option("auto", **DEVICE)
    precision: str = option("float32", **PRECISION)
    trust: bool = option(False, **TRUST)
    min_confidence: float | None = option(None, **MIN_CONFIDENCE)

    def open(self) -> Model:
        """Load the model. Raises what `cn.load` raises."""
        return api.models.load(self.model, net=self.net, device=self.device, precision=self.precision, trust=self.trust)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Options of `evaluate`."""

    data: str | None = option(
        None,
        help="data set, folder with one folder for each class, or CSV file with classes",
        metavar="DATA",
        nargs="?",
        shown="the test split of the training data",
    )
    offline: bool = option(False, **OFFLINE)
    include_trained: bool = option(
        False, help="count images that the model was trained on, which are left out otherwise", group="data"
    )
    on_bad_image: str = option(ON_BAD_IMAGE[0], **BAD_IMAGE)
    csv: bool = option(False, help="print the confusion matrix as CSV, one class per line", group="output")


OPTIONS = (OpenModel, Evaluate)


def run(args: argparse.Namespace) -> int:
    """Evaluate a model and print its metrics, also for each class."""
    options = arguments.read(args, Evaluate)
    if args.json and options.csv:
        args.parser.error(_("--json and --csv cannot be combined"))
    console = report.tables.console(stderr=True)

    def show_progress(images: list[Input]) -> Iterator[Input]:
        with report.terminal.progress_bar(console, len(images)) as count:
            for image in images:
                yield image
                count()

    opening = arguments.read(args, OpenModel)
    model = opening.open()
    result = model.evaluate(
        options.data,
        on_bad_image=options.on_bad_image,
        min_confidence=opening.min_confidence,
        include_trained=options.include_trained,
        say=console.print,
        watch=show_progress,
    )
    if args.json:
        about_model = {"model": str(model.path), "weights": model.weights, "computed_in": model.predictor.precision}
        about_model["images"] = report.preprocessing.protocol(model.predictor.preprocess)
        data = options.data or model.data
        print(dump({**about_model, "data": data, "classes": model.classes, **result.to_dict()}))
    elif options.csv:
        _print_csv(result, model.classes)
    else:
        _print_summary(model, options.data, result)
        print(_("images: {protocol}", protocol=report.preprocessing.protocol(model.predictor.preprocess)))
        if lost := report.lines.left_out(result.left_out):
            print(lost)
        if result.accepted:
            _print_accepted(model, result, result.accepted)
        _print_classes(result, model.classes)
    return 0


def _print_summary(model: Model, data: str | None, result: Evaluation) -> None:
    precision = model.predictor.precision
    values = {
        "model": model.name,
        "weights": model.weights if precision == "float32" else f"{model.weights}, {precision}",
        "data": Path(data or str(model.data)).name,
        "accuracy": result.accuracy,
        "loss": result.loss,
        "n": result.n,
        "seconds": result.seconds,
    }
    if data:
        print(
            _(
                "{model} ({weights}) on {data}: accuracy {accuracy:.4f}, loss {loss:.4f} on {n:,} images,"
                " in {seconds:.2f} s",
                **values,
            )
        )
    else:
        print(
            _(
                "{model} ({weights}) on {data}: accuracy {accuracy:.4f}, loss {loss:.4f} on {n:,} test images,"
                " in {seconds:.2f} s",
                **values,
            )
        )


def _print_accepted(model: Model, result: Evaluation, accepted: Accepted) -> None:
    """Print which answers are given, and the calibration before and after the temperature."""
    print(report.predictions.rejection_note(model.calibration, accepted.min_confidence))
    values = vars(accepted) | {"of": result.n}
    if accepted.accuracy is None:
        print(_("accepted: none of {of:,} images", **values))
    else:
        print(_("accepted: {n:,} of {of:,} images ({coverage:.1%}), with accuracy {accuracy:.4f}", **values))
    if accepted.temperature != 1:
        print(
            _(
                "calibration error {before:.4f} without and {calibration_error:.4f} with the temperature,"
                " loss {loss_before:.4f} and {loss:.4f}, on {of:,} images",
                before=result.calibration_error,
                loss_before=result.loss,
                **values,
            )
        )


def _print_classes(result: Evaluation, classes: tuple[str, ...]) -> None:
    console = report.tables.console()
    values = {
        "top5": result.top5_accuracy,
        "balanced": result.balanced_accuracy,
        "error": result.calibration_error,
    }
    if result.top5_accuracy is None:
        console.print(_("balanced accuracy {balanced:.4f}, calibration error {error:.4f}", **values))
    else:
        console.print(
            _("top-5 accuracy {top5:.4f}, balanced accuracy {balanced:.4f}, calibration error {error:.4f}", **values)
        )
    columns, rows = report.result_cells.class_rows(result, classes)
    console.print()
    console.print(report.tables.table(columns, rows, numbers=columns[1:4]))


def _print_csv(result: Evaluation, classes: tuple[str, ...]) -> None:
    """Print the metrics and the row of the confusion matrix of each class."""
    report.output.print_csv_row(["class", "pictures", "recall", "precision", *(f"as {name}" for name in classes)])
    for i, name in enumerate(classes):
        ratios = ["" if value is None else f"{value:.6g}" for value in (result.recall[i], result.precision[i])]
        report.output.print_csv_row([name, result.support[i], *ratios, *result.confusion[i]])
