"""`classicnets evaluate MODEL [DATA]`: how good a network is on images whose classes are known."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets import api, report
from classicnets.cli import arguments
from classicnets.spec import DEVICE, NET_FILE, OFFLINE, PRECISION, option

if TYPE_CHECKING:
    from classicnets.api.models import Evaluation, Input, Model

HELP = "how good a network is on the test split, or on any images with classes"


@dataclass(frozen=True, kw_only=True)
class OpenModel:
    """The model of `evaluate` and `predict`, and how it is computed."""

    model: str = option(help="the folder of a run, or an exported .onnx file", metavar="MODEL")
    net: str | None = option(None, **NET_FILE)
    device: str = option("auto", **DEVICE)
    precision: str = option("float32", **PRECISION)

    def opened(self) -> Model:
        """The model. Raises what `cn.load` does."""
        return api.models.load(self.model, net=self.net, device=self.device, precision=self.precision)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """The data, and the form of the result."""

    data: str | None = option(
        None,
        help="a data set, a folder with a folder for each class, or a CSV with classes",
        metavar="DATA",
        nargs="?",
        shown="the model's own test split",
    )
    offline: bool = option(False, **OFFLINE)
    csv: bool = option(False, help="print the confusion matrix, a class a line", group="output")


OPTIONS = (OpenModel, Evaluate)


def run(args: argparse.Namespace) -> int:
    """Prints the figures and, class by class, what was found and what it was taken for."""
    asked = arguments.read(args, Evaluate)
    if args.json and asked.csv:
        args.parser.error("--json and --csv exclude each other")
    talk = report.tables.console(stderr=True)

    def watched(images: list[Input]) -> Iterator[Input]:
        with report.terminal.progress_bar(talk, len(images)) as count:
            for one in images:
                yield one
                count()

    opened = arguments.read(args, OpenModel).opened()
    result, classes = opened.evaluate(asked.data, say=talk.print, watch=watched), opened.classes
    precision = opened.predictor.precision
    if args.json:
        about = {"model": str(opened.path), "weights": opened.weights, "computed_in": precision}
        print(json.dumps({**about, "data": asked.data or opened.data, "classes": classes, **result.to_dict()}))
    elif asked.csv:
        _print_csv(result, classes)
    else:
        data, of = Path(asked.data or str(opened.data)).name, "" if asked.data else " test"
        said = "" if precision == "float32" else f", {precision}"
        print(
            f"{opened.name} ({opened.weights}{said}) on {data}: accuracy {result.accuracy:.4f}, loss {result.loss:.4f}"
            f" on {result.n:,}{of} images, in {result.seconds:.2f} s"
        )
        _print_report(result, classes)
    return 0


def _print_report(result: Evaluation, classes: tuple[str, ...]) -> None:
    out = report.tables.console()
    top5 = "" if result.top5_accuracy is None else f"top-5 accuracy {result.top5_accuracy:.4f}, "
    out.print(
        f"{top5}balanced accuracy {result.balanced_accuracy:.4f}, calibration error {result.calibration_error:.4f}\n"
    )
    rows = []
    for i, name in enumerate(classes):
        wrong = [0 if j == i else count for j, count in enumerate(result.confusion[i])]
        taken = f"{classes[wrong.index(max(wrong))]} ({max(wrong):,})" if any(wrong) else "-"
        rows.append([name, _share(result.recall[i]), _share(result.precision[i]), result.support[i], taken])
    columns = ["class", "found (recall)", "right (precision)", "images", "most often taken for"]
    out.print(report.tables.table(columns, rows, numbers=columns[1:4]))


def _print_csv(result: Evaluation, classes: tuple[str, ...]) -> None:
    """A line for each true class: its figures, and how many of its images were taken for which class."""
    file = csv.writer(sys.stdout, lineterminator="\n")
    file.writerow(["class", "pictures", "recall", "precision", *(f"as {name}" for name in classes)])
    shares: Iterable[tuple[float | None, float | None]] = zip(result.recall, result.precision, strict=True)
    for name, n, (recall, precision), taken in zip(classes, result.support, shares, result.confusion, strict=True):
        file.writerow([name, n, *("" if p is None else f"{p:.6g}" for p in (recall, precision)), *taken])


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
