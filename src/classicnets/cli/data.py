"""`classicnets data list | get NAME | import NAME FOLDER | check NAME | preview PATH`."""

from __future__ import annotations

import argparse
import difflib
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from classicnets.datasets import sources
from classicnets.datasets.catalogue import DATASETS, Dataset
from classicnets.errors import DataError, UsageError
from classicnets.images import loading
from classicnets.report import tables

HELP = "list, get, import or check a data set, or preview pictures as a net sees them"

_PREVIEWED = 8  # pictures on a sheet
_LARGEST = 1024  # side of a preview
_FITS = ("crop", "letterbox", "stretch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, with which data set."""
    parser.add_argument("action", choices=["list", "get", "import", "check", "preview"])
    parser.add_argument(
        "name", nargs="?", help="a data set of `data list`, a folder of pictures or of IDX files, or a CSV (check)"
    )
    parser.add_argument("folder", nargs="?", help="import: where the files fetched by hand are, or their archive")
    parser.add_argument("--offline", action="store_true", help="get: fetch nothing, as with CLASSICNETS_OFFLINE=1")
    parser.add_argument(
        "-o",
        dest="output",
        metavar="SHEET.png",
        help="check: draws what was found; preview: the sheet (preview.png)",
    )
    parser.add_argument("--fit", choices=_FITS, default="stretch", help="preview: the fit to be marked (stretch)")
    parser.add_argument("--size", type=int, default=64, metavar="S", help="preview: the side of the squares (64)")


def run(args: argparse.Namespace) -> int:
    """Prints what there is, where it came from, or what is wrong with it (exit code 1)."""
    if args.action == "list":
        return _list(as_json=args.json)
    if args.action == "preview":
        return _preview(args)
    if not args.name:
        args.parser.error(f"data {args.action} needs a NAME: {', '.join(DATASETS)}")
    return {"get": _get, "import": _import, "check": _check}[args.action](args)


def _list(*, as_json: bool) -> int:
    rows = [_facts(dataset) for dataset in DATASETS.values()]
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


def _facts(dataset: Dataset) -> dict[str, Any]:
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


def _known(args: argparse.Namespace) -> Dataset:
    """The data set that is meant. Raises UsageError CN202."""
    if args.name in DATASETS:
        return DATASETS[args.name]
    nearest = difflib.get_close_matches(args.name, DATASETS, 1)
    raise UsageError(
        "CN202",
        f"no data set is called {args.name!r}",
        where=f"the data sets are {', '.join(DATASETS)}",
        hint=f"classicnets data {args.action} {(nearest or [*DATASETS])[0]}",
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
    if folder := loading.of_pictures(args.name):
        return _examine(folder, args)
    if args.output:
        args.parser.error("-o draws the pictures of a folder of picture files alone")
    reports = loading.check(args.name)
    good = all(report.status == "ok" for report in reports)
    if args.json:
        print(json.dumps({"name": args.name, "ok": good, "files": [asdict(report) for report in reports]}, indent=2))
    else:
        columns = ["file", "status", "detail"]
        tables.console().print(tables.table(columns, [[r.file, r.status, r.detail] for r in reports]))
        if not good and args.name in DATASETS:
            print(f"next: classicnets data get {args.name}")
    return 0 if good else 1


def _examine(folder: Path, args: argparse.Namespace) -> int:
    """The doctor of a folder of pictures: what was found, or all of it as JSON, and the sheet."""
    from classicnets.audit import examine
    from classicnets.report import findings

    with tables.progress("looking at pictures") as moved:
        document = examine.examine(folder, moved).to_dict()
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
    from classicnets.files import write_whole
    from classicnets.images.thumbnails import preview
    from classicnets.report import figures, findings

    write_whole(path, figures.png(findings.sheet(document, lambda file: preview(Path(document["folder"]) / file))))
    tables.console(stderr=True).print(f"the pictures of these findings, side by side: {path}")


def _preview(args: argparse.Namespace) -> int:
    """Draws a few pictures, evenly from the first to the last, as they are and under each fit."""
    if not args.name:
        args.parser.error("data preview needs the PATH of a picture, a folder of pictures or a CSV that lists some")
    if not 1 <= args.size <= _LARGEST:
        args.parser.error(f"--size {args.size}: 1 to {_LARGEST} pixels")

    from classicnets.files import write_whole
    from classicnets.images import inputs
    from classicnets.images.decode import read_fitted, read_picture
    from classicnets.report import figures, preview
    from classicnets.values import Preprocess

    every = [Path(str(one.file)) for one in inputs.find([args.name], say=tables.console(stderr=True).print)]
    count = min(_PREVIEWED, len(every))
    samples, faults = [], []
    for path in (every[(2 * i + 1) * len(every) // (2 * count)] for i in range(count)):
        name = f"{path.parent.name}/{path.name}" if len(every) > 1 else path.name
        try:
            seen = {fit: read_fitted(path, Preprocess(channels=3, image_size=args.size, fit=fit)) for fit in _FITS}
            samples.append(preview.Sample(name, read_picture(path, 3), seen))
        except DataError as error:
            faults.append(error)
    if not samples:
        raise faults[0]
    output = Path(args.output or "preview.png")
    title = f"{Path(args.name).absolute().name}: what a net for {args.size} x {args.size} pixels is given"
    write_whole(output, figures.png(preview.sheet(samples, args.fit, title)))
    for fault in faults:
        print(f"left out: {fault.where}: {fault.why or fault.what}", file=sys.stderr)
    if args.json:
        pictures = [sample.name for sample in samples]
        print(json.dumps({"file": str(output), "fit": args.fit, "size": args.size, "pictures": pictures}))
    else:
        counted = f"{len(samples)} picture{'s' * (len(samples) != 1)}"
        print(f"wrote {output}: {counted} as they are and under each fit, fit={args.fit} marked")
        if len(every) > 1:
            chosen = f"--set image_size={args.size} fit={args.fit}"
            print(f"next: classicnets train NET --data {shlex.quote(args.name)} {chosen}")
    return 0
