"""`classicnets evaluate RUN`: accuracy on the whole test split."""

from __future__ import annotations

import argparse
import json

from classicnets.report import tables

HELP = "how good the net of a run is on the test split"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and where to compute."""
    parser.add_argument("folder", metavar="RUN", help="the folder of a run")
    parser.add_argument("--net", metavar="FILE.py:NET", help="make the net from here instead of where the run had it")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (default: auto)")
    parser.add_argument("--offline", action="store_true", help="fetch nothing, as with CLASSICNETS_OFFLINE=1")


def run(args: argparse.Namespace) -> int:
    """Prints the figures on the test split and, class by class, what was found and what it was taken for."""
    from classicnets.api import Run

    opened = Run(args.folder, net=args.net, device=args.device)
    result, classes = opened.evaluate(), opened.predictor.classes
    if args.json:
        facts = {"run": str(opened.path), "weights": opened.weights_file.name, "classes": classes}
        print(json.dumps({**facts, **result.to_dict()}))
        return 0
    out = tables.console()
    out.print(
        f"{opened.folder.origin().described} ({opened.weights_file.name}) on {opened.facts['data_name']}: accuracy"
        f" {result.accuracy:.4f}, loss {result.loss:.4f} on {result.n:,} test pictures, in {result.seconds:.2f} s"
    )
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
    return 0


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
