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


def run(args: argparse.Namespace) -> int:
    """Prints accuracy, loss and the share found of each class."""
    from classicnets.api import Run

    opened = Run(args.folder, net=args.net, device=args.device)
    result = opened.evaluate()
    if args.json:
        print(json.dumps({"run": str(opened.path), "weights": opened.weights_file.name, **result.to_dict()}))
        return 0
    out = tables.console()
    out.print(
        f"{opened.folder.origin().described} ({opened.weights_file.name}) on {opened.facts['data_name']}: accuracy"
        f" {result.accuracy:.4f}, loss {result.loss:.4f} on {result.n:,} test pictures, in {result.seconds:.2f} s"
    )
    rows = []
    for i, (name, recall) in enumerate(zip(opened.predictor.classes, result.recall, strict=True)):
        taken = max((j for j in range(len(result.recall)) if j != i), key=lambda j: result.confusion[i][j], default=i)
        rows.append([name, f"{recall:.3f}", f"{opened.predictor.classes[taken]} ({result.confusion[i][taken]})"])
    out.print(tables.table(["class", "found", "most often taken for"], rows, numbers=["found"]))
    return 0
