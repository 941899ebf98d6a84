"""`classicnets data list | get NAME | import NAME FOLDER | check NAME`."""

from __future__ import annotations

import argparse
import difflib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from classicnets.data import datasets, sources
from classicnets.errors import UsageError
from classicnets.report import tables

HELP = "list, get, import or check a data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, with which data set."""
    parser.add_argument("action", choices=["list", "get", "import", "check"])
    parser.add_argument(
        "name", nargs="?", help="a data set of `data list`, a folder of pictures or of IDX files, or a CSV (check)"
    )
    parser.add_argument("folder", nargs="?", help="import: where the files fetched by hand are, or their archive")
    parser.add_argument("--offline", action="store_true", help="get: fetch nothing, as with CLASSICNETS_OFFLINE=1")
    parser.add_argument(
        "-o", dest="output", metavar="SHEET.png", help="check: draw what was found, copies side by side"
    )


def run(args: argparse.Namespace) -> int:
    """Prints what there is, where it came from, or what is wrong with it (exit code 1)."""
    if args.action == "list":
        return _list(as_json=args.json)
    if not args.name:
        args.parser.error(f"data {args.action} needs a NAME: {', '.join(datasets.DATASETS)}")
    return {"get": _get, "import": _import, "check": _check}[args.action](args)


def _list(*, as_json: bool) -> int:
    rows = [_facts(dataset) for dataset in datasets.DATASETS.values()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    out = tables.console()
    for row in rows:
        download = f"{row['download_bytes'] / 1e6:,.0f} MB to download"
        out.print(
            f"{row['name']}: {row['title']}, {row['homepage']}\n"
            f"    pictures   {row['train']:,} + {row['test']:,} of {tables.shape(row['shape'])}, "
            f"{len(row['classes'])} classes; {download}\n"
            f"    licence    {row['licence']}\n"
            f"    from       {row['would_come_from']}"
        )
    return 0


def _facts(dataset: datasets.Dataset) -> dict[str, Any]:
    told = ("name", "title", "licence", "homepage", "train", "test", "shape", "classes", "download_bytes")
    return {key: getattr(dataset, key) for key in told} | {"would_come_from": sources.would_come_from(dataset)}


def _get(args: argparse.Namespace) -> int:
    found = sources.obtain(_known(args), say=tables.console(stderr=True).print)
    return _had(args, found)


def _import(args: argparse.Namespace) -> int:
    dataset = _known(args)
    if not args.folder:
        args.parser.error(f"data import {args.name} needs the FOLDER (or the archive) with the files")
    return _had(args, sources.bring(dataset, Path(args.folder).expanduser()))


def _known(args: argparse.Namespace) -> datasets.Dataset:
    """The data set that is meant. Raises UsageError CN202."""
    if args.name in datasets.DATASETS:
        return datasets.DATASETS[args.name]
    nearest = difflib.get_close_matches(args.name, datasets.DATASETS, 1)
    raise UsageError(
        "CN202",
        f"no data set is called {args.name!r}",
        where=f"the data sets are {', '.join(datasets.DATASETS)}",
        hint=f"classicnets data {args.action} {(nearest or [*datasets.DATASETS])[0]}",
    )


def _had(args: argparse.Namespace, found: sources.Found) -> int:
    """Says that the files are in the cache, and where they came from."""
    if args.json:
        print(json.dumps({"name": args.name, "source": found.source, "files": [str(p) for p in found.paths.values()]}))
    else:
        print(f"{args.name}: complete and verified, from {found.source}")
        print(f"next: classicnets data check {args.name}")
    return 0


def _check(args: argparse.Namespace) -> int:
    if folder := datasets.of_pictures(args.name):
        return _examine(folder, args)
    if args.output:
        args.parser.error("-o draws the pictures of a folder of picture files alone")
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


def _examine(folder: Path, args: argparse.Namespace) -> int:
    """The doctor of a folder of pictures: what was found, or all of it as JSON, and the sheet."""
    from classicnets.data import doctor
    from classicnets.report import findings

    with tables.progress("looking at pictures") as moved:
        document = doctor.examine(folder, moved).to_dict()
    if args.output:
        _draw(document, Path(args.output))
    if args.json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        console = tables.console()
        columns, rows = findings.class_rows(document)
        console.print(tables.table(columns, rows, numbers=columns[1:]))
        console.print("\n".join(["", *findings.lines(document, console.width)]))
    return 0 if document["ok"] else 1


def _draw(document: dict[str, Any], path: Path) -> None:
    """Writes the sheet and says so. Raises MachineError CN401."""
    from classicnets.data.looks import preview
    from classicnets.report import figures, findings
    from classicnets.runs.writing import write_whole

    write_whole(path, figures.png(findings.sheet(document, lambda file: preview(Path(document["folder"]) / file))))
    tables.console(stderr=True).print(f"the pictures of these findings, side by side: {path}")
