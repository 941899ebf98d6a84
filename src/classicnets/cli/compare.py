"""`classicnets compare RUN RUN ...`: settings that differ, results, and whether chance explains their difference."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from classicnets import api, report
from classicnets.cli import arguments
from classicnets.options import option
from classicnets.report.output import print
from classicnets.strict_json import dump
from classicnets.text import _

HELP = "compare the results of finished runs: settings that differ, curves, and whether it can be chance"


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Options of `compare`."""

    runs: list[str] = option(
        help="run folder, or folder of several seeds; the others are compared with the first", metavar="RUN", nargs="+"
    )
    output: str | None = option(
        None,
        help="draw the curves over each other, as a .png or .svg file",
        group="output",
        metavar="FILE",
        shown="",
        flag="-o",
    )


OPTIONS = (Compare,)


def run(args: argparse.Namespace) -> int:
    """Compare runs and print the tables and the verdict, or one JSON document."""
    options = arguments.read(args, Compare)
    target = None if options.output is None else Path(options.output)
    if target is not None:
        api.compare.check_figure(target)
    comparison = api.compare.compare(*options.runs)
    if target is not None:
        comparison.draw(target)
    if args.json:
        print(dump(comparison.to_dict(), indent=2, ascii=False))
        return 0
    console = report.tables.console()
    for line in report.compare.lines(console, comparison.facts):
        console.print(line)
    if target is not None:
        print(_("curves: {path}", path=target))
    return 0
