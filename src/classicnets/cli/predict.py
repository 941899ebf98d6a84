"""`classicnets predict RUN FILE...`: what is on these pictures."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from classicnets.report import tables

HELP = "the likeliest classes of picture files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, the pictures, and how many classes to name."""
    parser.add_argument("folder", metavar="RUN", help="the folder of a run")
    parser.add_argument("pictures", metavar="FILE", nargs="+", help="picture files: PNG, JPEG, ...")
    parser.add_argument("--top", type=int, default=3, metavar="K", help="name so many classes (default: 3)")
    parser.add_argument("--net", metavar="FILE.py:NET", help="make the net from here instead of where the run had it")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (default: auto)")


def run(args: argparse.Namespace) -> int:
    """Prints a line a picture, likeliest class first."""
    from classicnets.api import Run

    opened = Run(args.folder, net=args.net, device=args.device)
    found = opened.predict(*args.pictures, top=args.top)
    if args.json:
        about = {"run": str(opened.path), "weights": opened.weights_file.name}
        print(json.dumps({**about, "predictions": [asdict(p) for p in found]}, indent=2))
        return 0
    preprocess = opened.predictor.preprocess
    tables.console(stderr=True).print(
        f"{opened.folder.origin().described}, weights {opened.weights_file.name}; pictures are seen as"
        f" {'grey' if preprocess.channels == 1 else 'colour'} {preprocess.image_size}x{preprocess.image_size}"
        f" (fit={preprocess.fit})"
    )
    columns = ["picture", *(["class", "probability"] * min(args.top, len(opened.predictor.classes)))]
    rows = [[p.picture, *_cells(p.classes, p.probabilities)] for p in found]
    tables.console().print(tables.table(columns, rows, numbers=["probability"]))
    return 0


def _cells(classes: tuple[str, ...], probabilities: tuple[float, ...]) -> list[str]:
    return [cell for name, p in zip(classes, probabilities, strict=True) for cell in (name, f"{p:.3f}")]
