"""`classicnets data list | get NAME | check NAME`."""

from __future__ import annotations

import argparse
import difflib
import json
from dataclasses import asdict
from pathlib import Path

from classicnets.data import datasets, sources
from classicnets.errors import UsageError
from classicnets.report import tables

HELP = "list, get or check a data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, with which data set."""
    parser.add_argument("action", choices=["list", "get", "check"])
    parser.add_argument(
        "name", nargs="?", help="a data set of `data list`, a folder of pictures or of IDX files, or a CSV (check)"
    )
    parser.add_argument("--from", dest="folder", metavar="FOLDER", help="get: take the files from this folder")


def run(args: argparse.Namespace) -> int:
    """Prints what there is, where it came from, or what is wrong with it (exit code 1)."""
    if args.action == "list":
        return _list(as_json=args.json)
    if not args.name:
        args.parser.error(f"data {args.action} needs a NAME: {', '.join(datasets.DATASETS)}")
    return (_get if args.action == "get" else _check)(args)


def _list(*, as_json: bool) -> int:
    rows = [
        {"name": name, "title": d.title, "licence": d.licence, "would_come_from": sources.would_come_from(d)}
        for name, d in datasets.DATASETS.items()
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        columns = ["data set", "what it is", "licence", "would come from"]
        tables.console().print(tables.table(columns, [list(row.values()) for row in rows]))
    return 0


def _get(args: argparse.Namespace) -> int:
    if args.name not in datasets.DATASETS:
        nearest = difflib.get_close_matches(args.name, datasets.DATASETS, 1)
        raise UsageError(
            "CN202",
            f"no data set is called {args.name!r}",
            where=f"the data sets are {', '.join(datasets.DATASETS)}",
            hint=f"classicnets data get {(nearest or [*datasets.DATASETS])[0]}",
        )
    folder = Path(args.folder) if args.folder else None
    found = sources.obtain(datasets.DATASETS[args.name], folder=folder, say=tables.console(stderr=True).print)
    if args.json:
        print(json.dumps({"name": args.name, "source": found.source, "files": [str(p) for p in found.paths.values()]}))
    else:
        print(f"{args.name}: complete and verified, from {found.source}")
        print(f"next: classicnets data check {args.name}")
    return 0


def _check(args: argparse.Namespace) -> int:
    reports = datasets.check(args.name)
    good = all(report.status == "ok" for report in reports)
    if args.json:
        print(json.dumps({"name": args.name, "ok": good, "files": [asdict(report) for report in reports]}, indent=2))
    else:
        columns = ["file", "status", "detail"]
        tables.console().print(tables.table(columns, [[r.file, r.status, r.detail] for r in reports]))
        if not good and args.name in datasets.DATASETS:
            print(f"next: classicnets data get {args.name}")
    return 0 if good else 1
