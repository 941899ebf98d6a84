"""Serves models over HTTP."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from classicnets.api.models import CLASSIFIERS, Run
from classicnets.datasets.types import Say
from classicnets.errors import CheckFailed, UsageError
from classicnets.evaluation.onnx import OnnxClassifier
from classicnets.export.file_page import write_file_page
from classicnets.files import temporary_folder, user_path
from classicnets.serve import server
from classicnets.serve.access import VARIABLE, choose_token, is_local, shown_address
from classicnets.serve.app import Settings
from classicnets.serve.models import SITE, Source, page_network
from classicnets.spec import ServeOptions
from classicnets.text import _, command

__all__ = ["Settings", "serve"]


def serve(
    places: Sequence[str],
    options: ServeOptions,
    *,
    trust: bool = False,
    say: Say,
    listening: Callable[[str, Settings, bool], None] = lambda _url, _settings, _chosen: None,
) -> None:
    """Serve models until SIGINT or SIGTERM.

    Args:
        places: Exported files, run folders, and folders of web pages.
        options: How they are served.
        trust: Whether to run code that was not run on this machine before, and to use files that were changed.
        say: Receives notes.
        listening: Receives the URL, the settings, and whether the token was chosen here, when the server listens.

    Raises:
        UsageError: CN206, two models have the same name; and what opening a model raises.
        DataError: CN308, a file is damaged.
        MachineError: CN404, the address cannot be used.
    """
    given = os.environ.get(VARIABLE)
    token = choose_token(options, given)
    is_chosen = token is not None and options.token_file is None and not given
    with server.listen(options) as sock, temporary_folder() as folder:
        sources: dict[str, Source] = {}
        for number, place in enumerate(places):
            name = _name(user_path(place))
            if name in sources:
                raise UsageError(
                    "CN206",
                    _("two models have the name {name}, by which requests name them", name=name),
                    where=command(sources[name].origin, user_path(place)),
                    hint=_("rename one of the files"),
                )
            sources[name] = _source(name, user_path(place), folder / str(number), options, say, trust=trust)
        if token is None and not is_local(options.host):
            say(
                _(
                    "warning: anyone who reaches {host} can send requests (use {option})",
                    host=options.host,
                    option="--token",
                )
            )
        settings = Settings(sources=tuple(sources.values()), options=options, token=token)
        server.run(settings, sock, folder, lambda: listening(shown_address(sock), settings, is_chosen))


def _name(path: Path) -> str:
    """The name of a model in paths: that of its file or folder, with the letters that need no escape."""
    stem = path.resolve().stem if path.suffix.lower() in CLASSIFIERS else path.resolve().name
    return re.sub(r"[^A-Za-z0-9._-]", "_", stem)


def _source(name: str, path: Path, folder: Path, options: ServeOptions, say: Say, *, trust: bool) -> Source:
    """What a model is opened from; a run is exported to `folder` first."""
    opener = CLASSIFIERS.get(path.suffix.lower())
    if opener is not None:
        is_shown = opener is OnnxClassifier and not options.no_page and find_spec("onnx") is not None
        write_page = write_file_page if is_shown else None
        folder.mkdir()
        return Source(name=name, origin=path, file=path, open=opener, write_page=write_page, folder=folder, trust=trust)
    if (path / SITE).is_file():
        return Source(name=name, origin=path, file=page_network(path), open=OnnxClassifier, page=path, trust=trust)
    run = Run(path, device="cpu", trust=trust)
    folder.mkdir()
    say(_("{run}: exporting it", run=path))
    file = folder / f"{name}.onnx"
    run.export(file)
    source = Source(name=name, origin=path, file=file, open=OnnxClassifier)
    if options.no_page:
        return source
    try:
        run.export(folder / "page", format="web")
    except CheckFailed as error:
        say(_("{run}: there is no page: {why}", run=path, why=error.why or error.what))
        return source
    return replace(source, page=folder / "page")
