"""`classicnets serve MODEL`: answers requests over HTTP."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from classicnets import api, machine, report
from classicnets.cli import arguments
from classicnets.options import option
from classicnets.report.output import print
from classicnets.spec import TRUST, ServeOptions
from classicnets.strict_json import dump
from classicnets.text import _, command

if TYPE_CHECKING:
    from classicnets.api.serving import Settings

HELP = "answer requests over HTTP, with a web page"

_PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Options of `serve` that are not in `ServeOptions`."""

    models: list[str] = option(
        help="exported .onnx, .pt2 or .pte file, run folder, or folder of a web page", metavar="MODEL", nargs="+"
    )
    trust: bool = option(False, **TRUST)


OPTIONS = (Serve, ServeOptions)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    given, options = arguments.read(args, Serve), arguments.read(args, ServeOptions)
    for name in ("onnxruntime", *_PACKAGES):
        machine.require(name, extra="serve")
    api.serving.serve(
        given.models,
        options,
        trust=given.trust,
        say=report.tables.console(stderr=True).print,
        listening=_print_json if args.json else _print_start,
    )
    return 0


def _print_json(url: str, settings: Settings, is_chosen: bool) -> None:
    models = {source.name: str(source.origin) for source in settings.sources}
    print(dump({"url": url, "token": settings.token if is_chosen else None, "models": models}))
    report.output.flush()


def _print_start(url: str, settings: Settings, is_chosen: bool) -> None:
    """Print the URL, the models, and a command that sends an image. A token that the user has chosen stays secret."""
    console = report.tables.console()
    token = settings.token if is_chosen else settings.token and "TOKEN"
    console.print(_("{url}   # in a browser; Ctrl-C stops the server", url=f"{url}?token={token}" if token else url))
    for source in settings.sources:
        console.print(_("model {name}: {path}", name=source.name, path=source.origin))
    header = ["-H", f"Authorization: Bearer {token}"] if token else []
    console.print(_("next: {command}", command=command("curl", *header, "-F", "images=@image.png", f"{url}predict")))
    report.output.flush()
