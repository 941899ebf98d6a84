"""The models that are served: opened, and opened again when their files change."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from classicnets.errors import ClassicnetsError, DataError, RequestError
from classicnets.evaluation.classify import Classifier
from classicnets.evaluation.onnx import INPUT, OnnxClassifier
from classicnets.evaluation.rejection import Rejection
from classicnets.files import temporary_folder
from classicnets.strict_json import parse
from classicnets.text import _, nearest

SITE = "site.json"

log = logging.getLogger("classicnets.serve")


class FileClassifier(Classifier, Protocol):
    """A classifier of an exported file, with its metadata."""

    @property
    def facts(self) -> dict[str, Any]:
        """The metadata of the file."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a model is opened from; it can be sent to another process.

    Attributes:
        name: Its name in paths.
        origin: What the user named: a file, a run folder, or the folder of a page; for messages on this machine.
        file: The exported file that answers.
        open: Opens the file; path and whether it is trusted -> classifier. Other processes can import it.
        page: The folder of a web page that shows the model, if there is one.
        write_page: Writes the page of `file` into a folder, if there is none: file, folder, whether it is trusted.
        folder: For what it writes; it outlives the server.
        trust: Whether a changed file, or a program from elsewhere, is used.
    """

    name: str
    origin: Path
    file: Path
    open: Callable[..., FileClassifier]
    page: Path | None = None
    write_page: Callable[..., None] | None = None
    folder: Path | None = None
    trust: bool = False


@dataclass(frozen=True, kw_only=True)
class Layers:
    """The layer outputs that a model can show: the names of the outputs of an ONNX session, by those of layers."""

    session: Any
    outputs: Mapping[str, str]

    def values(self, names: list[str], image: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs of layers for an image uint8 [C, H, W]; the first axis is that of the views."""
        color = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
        values = self.session.run([self.outputs[name] for name in names], {INPUT: np.ascontiguousarray(color)[None]})
        return dict(zip(names, values, strict=True))


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An opened file of a model. A request uses one from its beginning to its end.

    Attributes:
        classifier: Computes the probabilities.
        rejection: Which answers are rejected; None if none is.
        layers: Its layer outputs; None if they are not known.
        site: The folder of its page, and the files in it; None if it has no page.
        digest: SHA-256 of the file.
        time: When it was opened.
    """

    classifier: FileClassifier
    rejection: Rejection | None
    layers: Layers | None
    site: tuple[Path, frozenset[str]] | None
    digest: str
    time: datetime = field(default_factory=lambda: datetime.now(UTC))


class ServedModel:
    """A model under a name. `opened` is replaced as a whole when its file changes."""

    def __init__(self, source: Source) -> None:
        self.source, self.name = source, source.name
        self.error = ""  # why the file could not be opened again
        self._stamp = self._read_stamp()
        self.opened = _open(source)

    def reload(self) -> bool:
        """Open the file again if it has changed; a file that cannot be used leaves the old one in place.

        Returns:
            Whether it was replaced.
        """
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            opened = _open(self.source)
        except (ClassicnetsError, OSError) as error:
            reason = error.why or error.what if isinstance(error, ClassicnetsError) else error.strerror
            self.error = str(reason).replace(str(self.source.file), self.source.file.name)
            log.error(_("{name}: the new file is not used, and the old one still is: {why}", name=self.name, why=error))
            return False
        self.error, self.opened = "", opened
        log.warning(_("{name}: the new file is used", name=self.name))
        return True

    def _read_stamp(self) -> tuple[tuple[int, ...] | None, ...]:
        """What changes when a file is written or replaced."""
        site = [self.source.page / SITE] if self.source.page else []
        return tuple(_file_stamp(path) for path in (self.source.file, *site))


class Models:
    """The models of a server by their names; the first one is the default.

    Args:
        sources: What they are opened from.

    Raises:
        DataError: CN308, a file is damaged.
    """

    def __init__(self, sources: tuple[Source, ...]) -> None:
        self.by_name = {source.name: ServedModel(source) for source in sources}
        self.first = next(iter(self.by_name.values()))

    def find(self, name: str | None) -> ServedModel:
        """Return the model with a name; None is the first one. Raises RequestError CN504."""
        if name is None:
            return self.first
        if name not in self.by_name:
            near = nearest(name, self.by_name)
            raise RequestError(
                "CN504",
                _("there is no model {name!r}", name=name[:100]),
                where=_("the models are {names}", names=", ".join(self.by_name)),
                hint=near,
            )
        return self.by_name[name]

    async def watch(self, seconds: float, pool: Executor) -> None:
        """Look at the files of all models again and again, forever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(seconds)
            for model in self.by_name.values():
                try:
                    await loop.run_in_executor(pool, model.reload)
                except Exception:  # whatever it is, the old file still answers
                    log.exception(_("{name}: the new file cannot be opened", name=model.name))


_opening = threading.Lock()  # one file at a time needs memory twice


def _open(source: Source) -> Opened:
    """Open the file of a model, as a copy that nobody can change meanwhile."""
    with _opening, temporary_folder() as folder:
        copy = folder / source.file.name
        try:
            shutil.copyfile(source.file, copy)
        except OSError:
            copy = source.file  # opening it says what is wrong
        try:
            classifier = source.open(copy, trust=source.trust)
        except ClassicnetsError as error:
            error.where = error.where.replace(str(copy), str(source.file))
            raise
        with copy.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        smallest = classifier.facts.get("min_confidence")
        written = None if source.write_page is None else _write_page(source, copy)
        page = written or source.page
        opened = Opened(
            classifier=classifier,
            rejection=None if smallest is None else Rejection(float(smallest)),
            layers=None if page is None else _layers(page, source, classifier),
            site=None if page is None else (page, _site_files(page)),
            digest=digest,
        )
        if written is not None:  # it is in use as long as this is
            weakref.finalize(opened, shutil.rmtree, written, ignore_errors=True)
        return opened


def _write_page(source: Source, file: Path) -> Path | None:
    """The folder of a page for a file; None if a page cannot show it."""
    assert source.write_page is not None
    folder = Path(tempfile.mkdtemp(dir=source.folder))
    try:
        source.write_page(file, folder, trust=source.trust)
    except Exception as error:  # whatever it is, the file answers
        shutil.rmtree(folder, ignore_errors=True)
        why = (error.why or error.what) if isinstance(error, ClassicnetsError) else repr(error)
        log.warning(_("{name}: there is no page: {why}", name=source.name, why=why))
        return None
    return folder


def _layers(page: Path, source: Source, classifier: FileClassifier) -> Layers:
    """The layer outputs of the first network of a page; the model itself may be that network."""
    network = _site(page)["networks"][0]
    file = page / network["file"]
    observed = classifier if file == source.file else OnnxClassifier(file)
    assert isinstance(observed, OnnxClassifier)
    outputs: dict[str, str] = {}
    for layer in network["layers"]:
        count = sum(name.partition("#")[0] == layer["name"] for name in outputs)
        name = f"{layer['name']}#{count + 1}" if count else layer["name"]  # a layer that is called again
        outputs[name or "net"] = layer["output"]
    return Layers(session=observed.session, outputs=outputs)


def page_network(page: Path) -> Path:
    """Return the file of the first network of a page. Raises DataError CN308 if the folder has no page."""
    file: str = _site(page)["networks"][0]["file"]
    return page / file


def _site(page: Path) -> dict[str, Any]:
    """The values of site.json, of which those that are used here are checked."""
    try:
        values: dict[str, Any] = parse((page / SITE).read_bytes())
        network = values["networks"][0]
        names = [network["file"], *values["files"], *(str(layer["output"]) for layer in network["layers"])]
        if any(not isinstance(name, str) or name.startswith("/") or ".." in Path(name).parts for name in names):
            raise ValueError(_("it names files of other folders"))
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(
            "CN308",
            _("the folder {name} has no web page that can be served", name=page.name),
            where=str(page / SITE),
            why=str(error),
        ) from error
    return values


def _site_files(page: Path) -> frozenset[str]:
    return frozenset({SITE, *_site(page)["files"]})


def _file_stamp(path: Path) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - of a file that may be replaced at any time
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
