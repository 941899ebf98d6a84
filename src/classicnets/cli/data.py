"""`classicnets data list | get NAME | import NAME FOLDER | prepare imagenet FOLDER | check NAME | preview PATH`."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classicnets import api, report
from classicnets.cli import arguments
from classicnets.cli.arguments import Action
from classicnets.files import check_target, user_path, write_whole
from classicnets.options import option
from classicnets.report.output import print
from classicnets.spec import OFFLINE
from classicnets.strict_json import dump
from classicnets.text import _, command, plural, shape

if TYPE_CHECKING:
    from classicnets.api.data import Dataset, DatasetFiles

HELP = "list, download, import, prepare or check data sets, or preview images"

_FITS = ("crop", "letterbox", "stretch")
_MAX_SIZE = 1024  # height and width of a preview in pixels
_NAME: dict[str, Any] = {"metavar": "NAME", "nargs": "?"}


@dataclass(frozen=True, kw_only=True)
class Get:
    """Options of `data get`."""

    name: str = option("", help="name from `classicnets data list`", **_NAME)
    offline: bool = option(False, **OFFLINE)


@dataclass(frozen=True, kw_only=True)
class Import:
    """Options of `data import`."""

    name: str = option("", help="name from `classicnets data list`", **_NAME)
    folder: str = option("", help="folder with the downloaded files, or their archive", metavar="FOLDER", nargs="?")


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Options of `data prepare`."""

    name: str = option("", help="imagenet", metavar="NAME", nargs="?")
    folder: str = option("", help="folder with its images and the lists of their classes", metavar="FOLDER", nargs="?")
    output: str | None = option(
        None,
        help="CSV to write",
        group="output",
        metavar="FILE.csv",
        flag="-o",
        shown="imagenet.csv in the folder",
    )


@dataclass(frozen=True, kw_only=True)
class Check:
    """Options of `data check`."""

    name: str = option(
        "", help="name from `classicnets data list`, folder of images or of IDX files, or CSV file", **_NAME
    )
    output: str | None = option(
        None, help="draw the findings in a folder of images", group="output", metavar="SHEET.png", flag="-o", shown=""
    )


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Options of `data preview`."""

    name: str = option("", help="image, folder of images, or CSV file that lists images", metavar="PATH", nargs="?")
    fit: str = option("stretch", help="fit to highlight", group="data", choices=_FITS)
    size: int = option(
        64,
        help="height and width of the preprocessed images in pixels",
        group="data",
        metavar="S",
        minimum=1,
        maximum=_MAX_SIZE,
    )
    output: str = option("preview.png", help="image file to write", group="output", metavar="SHEET.png", flag="-o")


def _list(args: argparse.Namespace) -> int:
    rows = api.catalog.published_data()
    if args.json:
        print(dump(rows, indent=2))
        return 0
    console = report.tables.console()
    for row in rows:
        values = {
            **row,
            "shape": shape(row["shape"]),
            "class_count": len(row["classes"]),
            "megabytes": row["download_bytes"] / 1e6,
        }
        console.print(f"{row['name']}: {row['title']}, {row['homepage']}")
        console.print(
            _(
                "    images     {train:,} + {test:,} of {shape}, {class_count} classes;"
                " {megabytes:,.0f} MB to download",
                **values,
            )
        )
        console.print(_("    license    {licence}", **values))
        console.print(_("    from       {would_come_from}", **values))
    return 0


def _get(args: argparse.Namespace) -> int:
    options = arguments.read(args, Get)
    dataset = _known_dataset(args, options.name)
    return _print_files(args, options.name, api.data.fetch(dataset, report.tables.console(stderr=True).print))


def _import(args: argparse.Namespace) -> int:
    options = arguments.read(args, Import)
    dataset = _known_dataset(args, options.name, Path(options.folder) if options.folder else "FOLDER")
    if not options.folder:
        args.parser.error(_("data import {name} needs the FOLDER or archive with the files", name=options.name))
    return _print_files(args, options.name, api.data.import_files(dataset, user_path(options.folder)))


def _known_dataset(args: argparse.Namespace, name: str, *arguments: str | Path) -> Dataset:
    """The data set with this name; `arguments` follow it in the command. Raises UsageError CN202 or CN206."""
    _require_name(args, name)
    return api.data.dataset(name, args.action, *arguments)


def _require_name(args: argparse.Namespace, name: str) -> None:
    if not name:
        names = ", ".join(api.catalog.data_sets())
        args.parser.error(_("data {action} needs a NAME: {names}", action=args.action, names=names))


def _print_files(args: argparse.Namespace, name: str, files: DatasetFiles) -> int:
    """Print the source of the verified files."""
    if args.json:
        print(dump({"name": name, "source": files.source, "files": [str(p) for p in files.paths.values()]}))
    else:
        print(_("{name}: complete and verified, from {source}", name=name, source=files.source))
        print(_("next: {command}", command=command("classicnets", "data", "check", name)))
    return 0


def _prepare(args: argparse.Namespace) -> int:
    """Write the list of ImageNet's images, and print what it lists and what to do next."""
    options = arguments.read(args, Prepare)
    if options.name != "imagenet" or not options.folder:
        usage = command("classicnets", "data", "prepare", "imagenet", "FOLDER")
        args.parser.error(_("data prepare needs the name imagenet and its FOLDER: {command}", command=usage))
    folder, output = user_path(options.folder), Path(options.output) if options.output else None
    if output:
        check_target(output, option="-o")
    prepared = api.data.prepare_imagenet(folder, output)
    if args.json:
        print(dump(prepared.to_dict(), indent=2))
        return 0
    for line in prepared.lines():
        print(line)
    print(_("wrote {path}", path=prepared.path))
    print(_("next: {command}", command=command("classicnets", "train", "NET", "--data", prepared.path)))
    return 0


def _check(args: argparse.Namespace) -> int:
    options = arguments.read(args, Check)
    _require_name(args, options.name)
    if folder := api.data.image_folder(options.name):
        return _audit(folder, options.output, as_json=args.json)
    if options.output:
        args.parser.error(_("-o needs a folder of image files"))
    reports = api.data.check_files(options.name)
    all_valid = all(file.status == "ok" for file in reports)
    if args.json:
        print(dump({"name": options.name, "ok": all_valid, "files": [asdict(file) for file in reports]}, indent=2))
    else:
        rows = [[file.file, file.status, file.detail] for file in reports]
        report.tables.console().print(report.tables.table([_("file"), _("status"), _("detail")], rows))
        if not all_valid and options.name in api.catalog.data_sets():
            print(_("next: {command}", command=command("classicnets", "data", "get", options.name)))
    return 0 if all_valid else 1


def _audit(folder: Path, output: str | None, *, as_json: bool) -> int:
    """Print the findings in a folder of images, and draw them; the exit code is 1 if there are errors."""
    if output:
        check_target(Path(output), option="-o")
    with report.terminal.progress_updates(_("checking images")) as advance:
        document = api.data.audit_folder(folder, advance)
    if output:
        _draw(document, Path(output))
    if as_json:
        print(dump(document, indent=2, ascii=False))
    else:
        console = report.tables.console()
        columns, rows = report.findings.class_rows(document)
        console.print(report.tables.table(columns, rows, numbers=columns[1:]))
        console.print()
        for line in report.findings.lines(document, console.width):
            console.print(line)
    return 0 if document["ok"] else 1


def _draw(document: dict[str, Any], path: Path) -> None:
    """Draw the images of the findings. Raises MachineError CN401."""
    folder = Path(document["folder"])
    with report.fonts.figure_texts():
        figure = report.findings.draw_sheet(
            document, lambda file: api.data.thumbnail(folder / file, document["background"])
        )
        content = report.figures.png(figure)
    write_whole(path, content, option="-o")
    report.tables.console(stderr=True).print(_("images of these findings: {path}", path=path))


def _preview(args: argparse.Namespace) -> int:
    """Draw a few images, evenly spaced from the first to the last: the originals and each fit."""
    options = arguments.read(args, Preview)
    if not options.name:
        args.parser.error(_("data preview needs the PATH of an image, of a folder of images, or of a CSV"))
    console, output = report.tables.console(stderr=True), Path(options.output)
    check_target(output, option="-o")
    samples, total, errors = api.data.preview(options.name, options.size, console.print)
    name = Path(options.name).absolute().name
    with report.fonts.figure_texts():
        title = _("{name}: input of a network for {size} x {size} pixels", name=name, size=options.size)
        content = report.figures.png(report.preview.draw_sheet(samples, options.fit, title))
    write_whole(output, content, option="-o")
    for error in errors:
        console.print(_("left out: {path}: {reason}", path=error.where, reason=error.why or error.what))
    if args.json:
        images = [sample.name for sample in samples]
        print(dump({"file": str(output), "fit": options.fit, "size": options.size, "pictures": images}))
    else:
        print(
            plural(
                "wrote {path}: {n} image, its original and each fit, with fit={fit} highlighted",
                "wrote {path}: {n} images, their originals and each fit, with fit={fit} highlighted",
                len(samples),
                path=output,
                fit=options.fit,
            )
        )
        if total > 1:
            settings = (f"image_size={options.size}", f"fit={options.fit}")
            train = command("classicnets", "train", "NET", "--data", Path(options.name), "--set", *settings)
            print(_("next: {command}", command=train))
    return 0


ACTIONS = {
    "list": Action("list the published data sets: images, classes, license, source", (), _list),
    "get": Action("download and verify a data set", (Get,), _get),
    "import": Action("verify files that you downloaded, and copy them into the cache", (Import,), _import),
    "prepare": Action("list the images of ImageNet and their classes in a CSV", (Prepare,), _prepare),
    "check": Action("verify the files of a data set, or find problems in a folder of images", (Check,), _check),
    "preview": Action("draw images and their preprocessed versions", (Preview,), _preview),
}
