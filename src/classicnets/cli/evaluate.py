"""`classicnets evaluate MODEL [DATA]`: how good a net is on pictures whose classes are known."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.cli import model
from classicnets.report import tables

if TYPE_CHECKING:
    from classicnets.evaluation.evaluate import Evaluation
    from classicnets.images.inputs import Input

HELP = "how good a net is on the test split, or on any pictures with classes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, the data, and where to compute."""
    model.add_argument(parser)
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="a data set, a folder with a folder for each class, or a CSV list with classes (default: the model's own)",
    )
    parser.add_argument("--csv", action="store_true", help="print the confusion matrix, a class a line")
    model.add_options(parser)
    parser.add_argument("--offline", action="store_true", help="fetch nothing, as with CLASSICNETS_OFFLINE=1")


def run(args: argparse.Namespace) -> int:
    """Prints the figures and, class by class, what was found and what it was taken for."""
    if args.json and args.csv:
        args.parser.error("--json and --csv exclude each other")
    from classicnets.report.terminal import counted

    talk = tables.console(stderr=True)

    def watched(pictures: list[Input]) -> Iterator[Input]:
        with counted(talk, len(pictures)) as count:
            for one in pictures:
                yield one
                count()

    opened = model.opened(args)
    result, classes = opened.evaluate(args.data, say=talk.print, watch=watched), opened.classes
    precision = opened.predictor.precision
    if args.json:
        about = {"model": str(opened.path), "weights": opened.weights, "computed_in": precision}
        print(json.dumps({**about, "data": args.data or opened.data, "classes": classes, **result.to_dict()}))
    elif args.csv:
        _print_csv(result, classes)
    else:
        data, of = Path(args.data or str(opened.data)).name, "" if args.data else " test"
        said = "" if precision == "float32" else f", {precision}"
        print(
            f"{opened.name} ({opened.weights}{said}) on {data}: accuracy {result.accuracy:.4f}, loss {result.loss:.4f}"
            f" on {result.n:,}{of} pictures, in {result.seconds:.2f} s"
        )
        _print_report(result, classes)
    return 0


def _print_report(result: Evaluation, classes: tuple[str, ...]) -> None:
    out = tables.console()
    top5 = "" if result.top5_accuracy is None else f"top-5 accuracy {result.top5_accuracy:.4f}, "
    out.print(
        f"{top5}balanced accuracy {result.balanced_accuracy:.4f}, calibration error {result.calibration_error:.4f}\n"
    )
    rows = []
    for i, name in enumerate(classes):
        wrong = [0 if j == i else count for j, count in enumerate(result.confusion[i])]
        taken = f"{classes[wrong.index(max(wrong))]} ({max(wrong):,})" if any(wrong) else "-"
        rows.append([name, _share(result.recall[i]), _share(result.precision[i]), result.support[i], taken])
    columns = ["class", "found (recall)", "right (precision)", "pictures", "most often taken for"]
    out.print(tables.table(columns, rows, numbers=columns[1:4]))


def _print_csv(result: Evaluation, classes: tuple[str, ...]) -> None:
    """A line for each true class: its figures, and how many of its pictures were taken for which class."""
    file = csv.writer(sys.stdout, lineterminator="\n")
    file.writerow(["class", "pictures", "recall", "precision", *(f"as {name}" for name in classes)])
    shares: Iterable[tuple[float | None, float | None]] = zip(result.recall, result.precision, strict=True)
    for name, n, (recall, precision), taken in zip(classes, result.support, shares, result.confusion, strict=True):
        file.writerow([name, n, *("" if p is None else f"{p:.6g}" for p in (recall, precision)), *taken])


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
