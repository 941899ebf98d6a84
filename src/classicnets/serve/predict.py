"""`POST /predict`: the most probable classes of images, as `classicnets predict` gives them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import numpy as np
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response

from classicnets.errors import DataError, RequestError, UsageError
from classicnets.evaluation.classify import best_classes
from classicnets.images.decode import fit_images, read_fitted
from classicnets.images.formats import TooLarge
from classicnets.serve.batches import Batches
from classicnets.serve.limits import Limits
from classicnets.serve.metrics import Metrics
from classicnets.serve.models import Models, Opened, ServedModel
from classicnets.serve.replies import error_values, reply
from classicnets.strict_json import parse, without_nan
from classicnets.text import _, nearest, visible
from classicnets.values import Preprocess

_PARAMETERS = ("top", "model", "activations")
_TOP = 3
_MAX_NAME = 255  # characters of the name of a file that are repeated
_MAX_FIELDS = 16  # of a form, besides images
# Images up to this size are decoded in the event loop: a thread would take longer to be woken.
_SMALL_BYTES, _SMALL_PIXELS = 16_384, 16_384
_MAX_DECODERS = 4
_MAX_LAYER_VALUES = 2_000_000  # in an answer
IN_LOOP_JSON = 65_536  # bytes; longer documents are parsed by a thread

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ImageFile:
    """An image of a request: the name that the client gave it, and its content."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Query:
    """The parameters of a request: how many classes, and the layers whose outputs are returned."""

    model: str | None
    top: int
    layers: tuple[str, ...]


_DEFAULT_QUERY = Query(None, _TOP, ())


class Service:
    """What answers requests in a process: the models, the queues, the threads and the limits."""

    def __init__(self, models: Models, limits: Limits, metrics: Metrics) -> None:
        self.models, self.limits, self.metrics = models, limits, metrics
        self._batches = {name: Batches(metrics) for name in models.by_name}
        self.pool = ThreadPoolExecutor(min(_MAX_DECODERS, os.cpu_count() or 1), "classicnets-decoder")

    def close(self) -> None:
        """Stop the threads."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        for batches in self._batches.values():
            batches.close()

    async def predict(self, request: Request) -> Response:
        """Answer a request for predictions.

        Raises:
            RequestError: The request cannot be answered.
            DataError: CN304, its only image cannot be read.
            UsageError: CN202, a layer is unknown; CN204, `top` is out of range.
        """
        query = _read_query(request.scope["query_string"])
        model = self.models.find(request.path_params.get("name", query.model))
        opened = model.opened
        with self.limits.place():
            files = await self._read_files(request)
            if len(files) > self.limits.options.max_files:
                raise _too_many(self.limits.options.max_files)
            if query.layers:
                _check_layers(opened, query.layers)
            if len(files) == 1:
                image = await self._decode(files[0], opened.classifier.preprocess)
                rows = await self.probabilities(model, opened, image[None])
                entries = [_entry(opened, files[0].name, rows[0], query.top)]
                images: list[np.ndarray | DataError] = [image]
            else:
                images = await asyncio.gather(*(self._try_decode(file, opened) for file in files))
                entries = await self._entries(model, opened, files, images, query.top)
            if query.layers:
                await self._add_layers(opened, query.layers, images, entries)
            return reply({"predictions": entries})

    async def probabilities(self, model: ServedModel, opened: Opened, images: np.ndarray) -> np.ndarray:
        """Classify fitted images uint8 [n, C, side, side] together with those of other requests."""
        return await self._batches[model.name].probabilities(opened, images)

    async def fit(self, images: np.ndarray, preprocess: Preprocess) -> np.ndarray:
        """Fit images uint8 [n, 3, H, W] as image files of the same pixels are fitted."""
        has_size = images.shape[1:] == (preprocess.channels, preprocess.side, preprocess.side)
        return await self.run(has_size or images.size <= 3 * _SMALL_PIXELS, fit_images, images, preprocess)

    async def parse(self, content: bytes) -> Any:
        """Return the values of a JSON document. Raises RequestError CN501."""
        try:
            return await self.run(len(content) <= IN_LOOP_JSON, parse, content)
        except ValueError as error:
            raise RequestError("CN501", _("the body is not valid JSON"), why=str(error)) from error

    async def run(self, is_quick: bool, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """Call a function: here if it takes less time than to wake a thread, else in a thread."""
        if is_quick:
            return function(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)

    async def _decode(self, file: ImageFile, preprocess: Preprocess) -> np.ndarray:
        """Decode an image to uint8 [C, side, side]. Raises DataError CN304."""
        most = self.limits.options.max_pixels
        try:
            if len(file.content) <= _SMALL_BYTES:
                try:
                    return read_fitted(BytesIO(file.content), preprocess, max_pixels=min(_SMALL_PIXELS, most))
                except DataError as error:
                    if not isinstance(error.__cause__, TooLarge):
                        raise
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.pool, _decode_large, file.content, preprocess, most)
        except DataError as error:
            raise DataError(error.code, error.what, where=file.name, why=error.why, hint=error.hints) from error

    async def _try_decode(self, file: ImageFile, opened: Opened) -> np.ndarray | DataError:
        try:
            return await self._decode(file, opened.classifier.preprocess)
        except DataError as error:
            return error

    async def _entries(
        self,
        model: ServedModel,
        opened: Opened,
        files: list[ImageFile],
        images: list[np.ndarray | DataError],
        top: int,
    ) -> list[dict[str, Any]]:
        """The answers for several images; one that cannot be read has an error in place of classes."""
        readable = [image for image in images if not isinstance(image, DataError)]
        rows = iter(await self.probabilities(model, opened, np.stack(readable)) if readable else ())
        return [
            {"file": file.name, "error": error_values(image)}
            if isinstance(image, DataError)
            else _entry(opened, file.name, next(rows), top)
            for file, image in zip(files, images, strict=True)
        ]

    async def _add_layers(
        self,
        opened: Opened,
        names: tuple[str, ...],
        images: list[np.ndarray | DataError],
        entries: list[dict[str, Any]],
    ) -> None:
        """Add the outputs of layers to the answers."""
        loop, layers = asyncio.get_running_loop(), opened.layers
        assert layers is not None
        for image, entry in zip(images, entries, strict=True):
            if isinstance(image, DataError):
                continue
            values = await loop.run_in_executor(self.pool, layers.values, [*names], image)
            if sum(value.size for value in values.values()) * len(entries) > _MAX_LAYER_VALUES:
                raise RequestError(
                    "CN507",
                    _("the outputs of these layers are too large for one answer"),
                    why=_("an answer has at most {n:,} values", n=_MAX_LAYER_VALUES),
                    hint=_("send fewer images, or name fewer layers, in a request"),
                )
            entry["activations"] = {
                name: {"shape": [*value.shape[1:]] if len(value) == 1 else [*value.shape], "values": _numbers(value)}
                for name, value in values.items()
            }

    async def _read_files(self, request: Request) -> list[ImageFile]:
        """The images in the body of a request. Raises RequestError."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError(
                "CN508",
                _("a compressed body is not read"),
                where=_("the header {name}", name="Content-Encoding"),
                hint=_("send the body as it is; images are compressed already"),
            )
        if kind in {"multipart/form-data", "application/json", "application/octet-stream"} or kind.startswith("image/"):
            body = await self.limits.read_body(request)
            if kind == "multipart/form-data":
                return await _read_form(request, body, self.limits.options.max_files)
            if kind == "application/json":
                return _read_json(await self.parse(body), self.limits.options.max_files)
            return [_only(body)]
        raise RequestError(
            "CN508",
            _("a body of this type is not read"),
            where=visible(kind[:100], one_line=True) or _("the header {name} is missing", name="Content-Type"),
            why=_("images are sent as a form, as JSON, or as the bytes of one image"),
            hint="Content-Type: application/octet-stream",
        )


def _decode_large(content: bytes, preprocess: Preprocess, max_pixels: int) -> np.ndarray:
    return read_fitted(BytesIO(content), preprocess, max_pixels=max_pixels)


def _entry(opened: Opened, name: str, probabilities: np.ndarray, top: int) -> dict[str, Any]:
    """The answer for an image, with its probabilities float32 [classes]."""
    rejection, classes = opened.rejection, opened.classifier.classes
    if rejection is not None:
        probabilities = rejection.calibrate(probabilities[None])[0]
    best = best_classes(probabilities, top)
    entry: dict[str, Any] = {
        "file": name,
        "top": [{"label": classes[i], "probability": float(probabilities[i])} for i in best],
    }
    if rejection is not None and rejection.rejects(float(probabilities[best[0]])):
        entry["rejected"] = True
    return entry


def _numbers(value: np.ndarray) -> list[float | None]:
    """The values of an array, row by row; None for those that are no numbers."""
    values: list[float | None] = value.ravel().tolist()
    return values if np.isfinite(value).all() else without_nan(values)


def _read_query(text: bytes) -> Query:
    """Read the parameters of a request. Raises RequestError CN501 or UsageError CN204."""
    if not text:
        return _DEFAULT_QUERY
    try:
        pairs = parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise RequestError("CN501", _("the parameters of the URL are not valid"), why=str(error)) from error
    values = dict(pairs)
    if unknown := next((name for name in values if name not in _PARAMETERS), None):
        raise RequestError(
            "CN501",
            _("there is no parameter {name!r}", name=unknown[:100]),
            where=_("the parameters are {names}", names=", ".join(_PARAMETERS)),
            hint=nearest(unknown, _PARAMETERS),
        )
    top = values.get("top", str(_TOP))
    if not (top.isascii() and top.isdecimal() and len(top) < 10 and int(top) >= 1):
        raise UsageError(
            "CN204", _("top must be an integer of at least 1, not {value!r}", value=top[:20]), hint="top=3"
        )
    layers = [name.strip() for name in values.get("activations", "").split(",")]
    return Query(values.get("model"), int(top), tuple(dict.fromkeys(filter(None, layers))))


def _check_layers(opened: Opened, names: Iterable[str]) -> None:
    """Raise an error for layers that the model does not show."""
    if opened.layers is None:
        raise UsageError(
            "CN202",
            _("the outputs of the layers of this model are not known"),
            why=_("its file has none; a run has them, and a page of `classicnets export --format web`"),
            hint=_("serve the run, or its page"),
        )
    known = opened.layers.outputs
    if unknown := next((name for name in names if name not in known), None):
        raise UsageError(
            "CN202",
            _("there is no layer {name!r}", name=unknown[:100]),
            where=_("the layers are {names}", names=", ".join(known)),
            hint=nearest(unknown, known),
        )


async def _read_form(request: Request, body: bytes, max_files: int) -> list[ImageFile]:
    """The files of the field `images` of a form. Raises RequestError."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(request.headers, stream(), max_files=max_files + 1, max_fields=_MAX_FIELDS)
    parser.spool_max_size = len(body) + 1  # nothing is written to the disk
    try:
        return _files_of(await parser.parse())
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise _too_many(max_files) from error
        raise RequestError("CN501", _("the form is not valid"), why=error.message) from error
    except (ValueError, KeyError, AssertionError, AttributeError) as error:  # of a damaged header of a part
        raise RequestError("CN501", _("the form is not valid"), why=_("a part of it is damaged")) from error
    finally:
        for file in parser._files_to_close_on_error:  # of every form
            file.close()


def _files_of(form: FormData) -> list[ImageFile]:
    """The files of the field `images` of a form. Raises RequestError CN501."""
    values = form.getlist("images")
    if not values or not all(isinstance(value, UploadFile) for value in values):
        raise RequestError(
            "CN501",
            _("the form has no files in the field images"),
            where=_("its fields are {names}", names=visible(", ".join(form)[:200], one_line=True)),
            hint="curl -F images=@FILE",
        )
    return [
        ImageFile(_shown_name(value.filename, i), value.file.read())
        for i, value in enumerate(values)
        if isinstance(value, UploadFile)
    ]


def _read_json(values: Any, max_files: int) -> list[ImageFile]:
    """The images of a JSON document. Raises RequestError."""
    texts = values.get("images") if isinstance(values, dict) else None
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise RequestError(
            "CN501",
            _("the JSON document has no list of images"),
            why=_("it is an object with the key images: a list of files in base64"),
        )
    if extra := next((key for key in values if key != "images"), None):
        raise RequestError(
            "CN501",
            _("the JSON document has the unknown key {name!r}", name=visible(extra[:100], one_line=True)),
            hint=_("other parameters are part of the URL"),
        )
    if len(texts) > max_files:
        raise _too_many(max_files)
    files = []
    for i, text in enumerate(texts):
        data = text.partition(",")[2] if text.startswith("data:") else text
        try:
            files.append(ImageFile(_shown_name(None, i), base64.b64decode(data, validate=True)))
        except (binascii.Error, ValueError) as error:
            raise RequestError(
                "CN501", _("image {n} is not in base64", n=i + 1), why=str(error).partition("\n")[0]
            ) from error
    return files


def _only(body: bytes) -> ImageFile:
    return ImageFile(_shown_name(None, 0), body)


def _shown_name(name: str | None, index: int) -> str:
    """The name of an image in the answer: that of the client's file, or its number."""
    return visible(name[:_MAX_NAME], one_line=True) if name else _numbered(index + 1)


@cache
def _numbered(number: int) -> str:
    """The name of an image without one; translating it takes longer than other parts of a request."""
    return _("image {n}", n=number)


def _too_many(most: int) -> RequestError:
    return RequestError(
        "CN507",
        _("the request has too many images"),
        why=_("at most {n:,} are accepted", n=most),
        hint=_("send fewer or smaller images in a request"),
    )
