"""`classicnets data list | get NAME | import NAME FOLDER | check NAME | preview PATH`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classicnets import api, report
from classicnets.cli import arguments
from classicnets.cli.arguments import Action
from classicnets.files import write_whole
from classicnets.spec import OFFLINE, option
from classicnets.text import command, count, shape

if TYPE_CHECKING:
    from classicnets.api.data import Dataset, DatasetFiles

HELP = "list, get, import or check a data set, or preview images as a network sees them"

_FITS = ("crop", "letterbox", "stretch")
_LARGEST = 1024  # pixels a side of a preview
_NAME: dict[str, Any] = {"metavar": "NAME", "nargs": "?"}


@dataclass(frozen=True, kw_only=True)
class Get:
    """The data set."""

    name: str = option("", help="a data set of `data list`", **_NAME)
    offline: bool = option(False, **OFFLINE)


@dataclass(frozen=True, kw_only=True)
class Import:
    """The data set, and where its files are."""

    name: str = option("", help="a data set of `data list`", **_NAME)
    folder: str = option(
        "", help="the folder with the files that were downloaded by hand, or their archive", metavar="FOLDER", nargs="?"
    )


@dataclass(frozen=True, kw_only=True)
class Check:
    """What to check."""

    name: str = option("", help="a data set of `data list`, a folder of images or of IDX files, or a CSV", **_NAME)
    output: str | None = option(
        None, help="draw the findings, for a folder of images", group="output", metavar="SHEET.png", flag="-o", shown=""
    )


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What to preview, and how."""

    name: str = option("", help="an image, a folder of images, or a CSV that lists some", metavar="PATH", nargs="?")
    fit: str = option("stretch", help="the fit to mark", group="data", choices=_FITS)
    size: int = option(64, help="side of the squares in pixels", group="data", metavar="S")
    output: str = option("preview.png", help="the sheet", group="output", metavar="SHEET.png", flag="-o")


def _list(args: argparse.Namespace) -> int:
    rows = api.catalog.published_data()
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    out = report.tables.console()
    for row in rows:
        download = f"{row['download_bytes'] / 1e6:,.0f} MB to download"
        out.print(
            f"{row['name']}: {row['title']}, {row['homepage']}\n"
            f"    images   {row['train']:,} + {row['test']:,} of {shape(row['shape'])}, "
            f"{len(row['classes'])} classes; {download}\n"
            f"    license    {row['licence']}\n"
            f"    from       {row['would_come_from']}"
        )
    return 0


def _get(args: argparse.Namespace) -> int:
    asked = arguments.read(args, Get)
    found = _known(args, asked.name)
    return _fetched(args, asked.name, api.data.fetch(found, report.tables.console(stderr=True).print))


def _import(args: argparse.Namespace) -> int:
    asked = arguments.read(args, Import)
    found = _known(args, asked.name)
    if not asked.folder:
        args.parser.error(f"data import {asked.name} needs the FOLDER (or the archive) with the files")
    return _fetched(args, asked.name, api.data.import_files(found, Path(asked.folder).expanduser()))


def _known(args: argparse.Namespace, name: str) -> Dataset:
    """The data set of that name. Raises UsageError CN202 or CN206."""
    _needs_name(args, name)
    return api.data.dataset(name, f"classicnets data {args.action} {{}}")


def _needs_name(args: argparse.Namespace, name: str) -> None:
    if not name:
        args.parser.error(f"data {args.action} needs a NAME: {', '.join(api.catalog.data_sets())}")


def _fetched(args: argparse.Namespace, name: str, found: DatasetFiles) -> int:
    """Prints that the files are in the cache, and where they came from."""
    if args.json:
        print(json.dumps({"name": name, "source": found.source, "files": [str(p) for p in found.paths.values()]}))
    else:
        print(f"{name}: complete and verified, from {found.source}")
        print(f"next: classicnets data check {name}")
    return 0


def _check(args: argparse.Namespace) -> int:
    asked = arguments.read(args, Check)
    _needs_name(args, asked.name)
    if folder := api.data.image_folder(asked.name):
        return _audit(folder, asked.output, as_json=args.json)
    if asked.output:
        args.parser.error("-o draws the images of a folder of image files alone")
    reports = api.data.check_files(asked.name)
    good = all(one.status == "ok" for one in reports)
    if args.json:
        print(json.dumps({"name": asked.name, "ok": good, "files": [asdict(one) for one in reports]}, indent=2))
    else:
        rows = [[one.file, one.status, one.detail] for one in reports]
        report.tables.console().print(report.tables.table(["file", "status", "detail"], rows))
        if not good and asked.name in api.catalog.data_sets():
            print(f"next: classicnets data get {asked.name}")
    return 0 if good else 1


def _audit(folder: Path, output: str | None, *, as_json: bool) -> int:
    """The findings of a folder of images, or all of it as JSON, and the sheet; exit code 1 if there are errors."""
    with report.terminal.progress("looking at images") as moved:
        document = api.data.audit_folder(folder, moved)
    if output:
        _draw(document, Path(output))
    if as_json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        console = report.tables.console()
        columns, rows = report.findings.class_rows(document)
        console.print(report.tables.table(columns, rows, numbers=columns[1:]))
        console.print("\n".join(["", *report.findings.lines(document, console.width)]))
    return 0 if document["ok"] else 1


def _draw(document: dict[str, Any], path: Path) -> None:
    """Writes the sheet and says so. Raises MachineError CN401."""
    folder = Path(document["folder"])
    figure = report.findings.sheet(document, lambda file: api.data.thumbnail(folder / file))
    write_whole(path, report.figures.png(figure))
    report.tables.console(stderr=True).print(f"the images of these findings, side by side: {path}")


def _preview(args: argparse.Namespace) -> int:
    """Draws a few images, evenly from the first to the last, as they are and under each fit."""
    asked = arguments.read(args, Preview)
    if not asked.name:
        args.parser.error("data preview needs the PATH of an image, a folder of images or a CSV that lists some")
    if not 1 <= asked.size <= _LARGEST:
        args.parser.error(f"--size {asked.size}: 1 to {_LARGEST} pixels")
    samples, total, faults = api.data.preview(asked.name, asked.size, report.tables.console(stderr=True).print)
    output = Path(asked.output)
    title = f"{Path(asked.name).absolute().name}: what a net for {asked.size} x {asked.size} pixels is given"
    write_whole(output, report.figures.png(report.preview.sheet(samples, asked.fit, title)))
    for fault in faults:
        print(f"left out: {fault.where}: {fault.why or fault.what}", file=sys.stderr)
    if args.json:
        images = [sample.name for sample in samples]
        print(json.dumps({"file": str(output), "fit": asked.fit, "size": asked.size, "pictures": images}))
    else:
        shown = count(len(samples), "image")
        print(f"wrote {output}: {shown} as they are and under each fit, fit={asked.fit} marked")
        if total > 1:
            sets = f"--set image_size={asked.size} fit={asked.fit}"
            print(f"next: classicnets train NET --data {command(asked.name)} {sets}")
    return 0


ACTIONS = {
    "list": Action("published data sets: images, classes, license, where they come from", (), _list),
    "get": Action("download and verify a data set", (Get,), _get),
    "import": Action("copy files that were downloaded by hand into the cache, verified", (Import,), _import),
    "check": Action("verify the files of a data set, or find what is wrong with a folder of images", (Check,), _check),
    "preview": Action("draw images as they are and as a network is given them", (Preview,), _preview),
}
