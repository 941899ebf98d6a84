"""`classicnets data list | get NAME | check NAME | preview PATH`."""

from __future__ import annotations

import argparse
import difflib
import json
import shlex
from dataclasses import asdict
from pathlib import Path

from classicnets.data import datasets, sources
from classicnets.errors import DataError, UsageError
from classicnets.report import tables

HELP = "list, get or check a data set, or preview pictures as a net sees them"

_PREVIEWED = 8  # pictures on a sheet
_LARGEST = 1024  # side of a preview
_FITS = ("crop", "letterbox", "stretch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, with which data set."""
    parser.add_argument("action", choices=["list", "get", "check", "preview"])
    parser.add_argument(
        "name", nargs="?", help="a data set of `data list`, or a folder of pictures or of IDX files (check)"
    )
    parser.add_argument("--fit", choices=_FITS, default="stretch", help="preview: the fit to be marked (stretch)")
    parser.add_argument("--size", type=int, default=64, metavar="S", help="preview: the side of the squares (64)")
    parser.add_argument("-o", "--output", default="preview.png", metavar="FILE", help="preview: the PNG (preview.png)")
    parser.add_argument("--from", dest="folder", metavar="FOLDER", help="get: take the files from this folder")


def run(args: argparse.Namespace) -> int:
    """Prints what there is, where it came from, or what is wrong with it (exit code 1)."""
    if args.action == "list":
        return _list(as_json=args.json)
    if args.action == "preview":
        return _preview(args)
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


def _preview(args: argparse.Namespace) -> int:
    if not args.name:
        args.parser.error("data preview needs the PATH of a picture or of a folder of pictures")
    if not 1 <= args.size <= _LARGEST:
        args.parser.error(f"--size {args.size}: 1 to {_LARGEST} pixels")
    place = Path(args.name)
    paths = _some_pictures(place)

    from classicnets.data.pictures import read_fitted, read_picture
    from classicnets.report import figures, preview
    from classicnets.runs.writing import write_whole
    from classicnets.values import Preprocess

    samples = [
        preview.Sample(
            f"{path.parent.name}/{path.name}" if place.is_dir() else path.name,
            read_picture(path, 3),
            {fit: read_fitted(path, Preprocess(channels=3, image_size=args.size, fit=fit)) for fit in _FITS},
        )
        for path in paths
    ]
    title = f"{place.absolute().name}: what a net for {args.size} x {args.size} pixels is given"
    write_whole(Path(args.output), figures.png(preview.sheet(samples, args.fit, title)))
    if args.json:
        print(json.dumps({"file": args.output, "fit": args.fit, "size": args.size, "pictures": [*map(str, paths)]}))
    else:
        count = f"{len(paths)} picture{'s' * (len(paths) != 1)}"
        print(f"wrote {args.output}: {count} as they are and under each fit, fit={args.fit} marked")
        if place.is_dir():
            chosen = f"--set image_size={args.size} fit={args.fit}"
            print(f"next: classicnets train NET --data {shlex.quote(args.name)} {chosen}")
    return 0


def _some_pictures(place: Path) -> list[Path]:
    """The picture itself, or a few of those under a folder, evenly from the first to the last."""
    from classicnets.data.scan import EXTENSIONS, natural

    if place.is_file():
        return [place]
    every = sorted(
        (path for path in place.rglob("*") if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")),
        key=lambda path: natural(str(path)),
    )
    if not every:
        why = "no picture in it" if place.is_dir() else "there is no such file or folder"
        raise DataError("CN302", f"no pictures at {place}", where=str(place.absolute()), why=why)
    count = min(_PREVIEWED, len(every))
    return [every[(2 * i + 1) * len(every) // (2 * count)] for i in range(count)]
