"""The Open Inference Protocol (v2) over HTTP, with binary tensors and classification, as KServe and Triton have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from classicnets.errors import RequestError
from classicnets.evaluation.classify import best_classes
from classicnets.evaluation.onnx import INPUT, OUTPUT
from classicnets.images.formats import MAX_SIDE
from classicnets.serve.documentation import SERVER
from classicnets.serve.limits import is_number
from classicnets.serve.models import Opened, ServedModel
from classicnets.serve.predict import IN_LOOP_JSON, Service
from classicnets.serve.replies import reply
from classicnets.strict_json import dump
from classicnets.text import _, nearest

VERSION = "1"  # of every model: a file that changes replaces the old one
_HEADER = "inference-header-content-length"
_MAX_ID = 1000  # characters


class Inference:
    """The paths of the protocol.

    Args:
        service: Answers the requests.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def server(self, _request: Request) -> Response:
        """Describe the server."""
        return reply(SERVER)

    async def live(self, _request: Request) -> Response:
        """Say that the server is alive."""
        return reply({"live": True})

    async def ready(self, _request: Request) -> Response:
        """Say that the models can answer."""
        return reply({"ready": True})

    async def model(self, request: Request) -> Response:
        """Describe a model: its inputs and outputs."""
        model = self._find(request)
        classes = model.opened.classifier.classes
        return reply(
            {
                "name": model.name,
                "versions": [VERSION],
                "platform": "classicnets",
                "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
                "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(classes)]}],
                "parameters": {"classes": [*classes]},
            }
        )

    async def model_ready(self, request: Request) -> Response:
        """Say that a model can answer."""
        return reply({"name": self._find(request).name, "ready": True})

    async def index(self, _request: Request) -> Response:
        """List the models."""
        names = self._service.models.by_name
        return reply([{"name": name, "version": VERSION, "state": "READY", "reason": ""} for name in names])

    async def infer(self, request: Request) -> Response:
        """Classify images. Raises RequestError."""
        model = self._find(request)
        opened, service = model.opened, self._service
        with service.limits.place():
            body = await service.limits.read_body(request)
            document, tensors = _split(request, body)
            values = await service.parse(document)
            if not isinstance(values, dict):
                raise _malformed(_("it is no JSON object"))
            identity = values.get("id")
            if identity is not None and not (isinstance(identity, str) and len(identity) <= _MAX_ID):
                raise _malformed(_("its id is no text, or is too long"))
            output = _output_form(values)
            is_quick = len(document) <= IN_LOOP_JSON
            pixels = await service.run(is_quick, _pixels, values, tensors, service.limits.options.max_pixels)
            images = pixels.transpose(0, 3, 1, 2)
            fitted = await service.fit(images, opened.classifier.preprocess)
            probabilities = await service.probabilities(model, opened, fitted)
        described, data = _output(output, probabilities, opened)
        answer = {"model_name": model.name, "model_version": VERSION, "outputs": [described]}
        if identity is not None:
            answer["id"] = identity
        if not data:
            return reply(answer)
        header = dump(answer).encode()
        headers = {_HEADER: str(len(header))}
        return Response(header + data, 200, headers, "application/octet-stream")

    def _find(self, request: Request) -> ServedModel:
        """The model of a request. Raises RequestError CN504."""
        version = request.path_params.get("version", VERSION)
        model = self._service.models.find(request.path_params["name"])
        if version != VERSION:
            raise RequestError(
                "CN504",
                _("the model {name} has no version {version!r}", name=model.name, version=version[:100]),
                hint=_("its only version is {version}", version=VERSION),
            )
        return model


def _malformed(why: str) -> RequestError:
    return RequestError(
        "CN501", _("this is no request of the Open Inference Protocol"), why=why, hint="GET /v2/models/NAME"
    )


def _split(request: Request, body: bytes) -> tuple[bytes, memoryview]:
    """The JSON document of a request, and the binary tensors behind it."""
    length = request.headers.get(_HEADER)
    if length is None:
        return body, memoryview(b"")
    if not (is_number(length) and int(length) <= len(body)):
        raise _malformed(_("the header {name} is not a length within the body", name=_HEADER))
    return body[: int(length)], memoryview(body)[int(length) :]


def _pixels(values: Mapping[str, Any], tensors: memoryview, max_pixels: int) -> np.ndarray:
    """The only input of a request, uint8 [N, H, W, 3]."""
    inputs = values.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise _malformed(_("it has not exactly one input"))
    tensor = inputs[0]
    if tensor.get("name") != INPUT:
        raise _malformed(_("the input is called {name}", name=INPUT))
    if tensor.get("datatype") != "UINT8":
        raise _malformed(_("the datatype of the input is {type}", type="UINT8"))
    shape = tensor.get("shape")
    if not isinstance(shape, list) or len(shape) != 4 or not all(type(n) is int and n >= 1 for n in shape):
        raise _malformed(_("the shape of the input is [N, height, width, 3]"))
    count, height, width, channels = shape
    if channels != 3:
        raise _malformed(_("the shape of the input is [N, height, width, 3]"))
    if max(height, width) > MAX_SIDE or height * width > max_pixels:
        raise RequestError(
            "CN507",
            _("the images are too large"),
            why=_("an image has at most {n:,} pixels, and {side:,} along a side", n=max_pixels, side=MAX_SIDE),
        )
    total = count * height * width * 3
    size = _parameters(tensor).get("binary_data_size")
    if size is not None:
        if type(size) is not int or size != total or len(tensors) != total:
            raise _malformed(_("its binary data has not the {n:,} bytes of the shape", n=total))
        return np.frombuffer(tensors, np.uint8).reshape(shape)
    if len(tensors):
        raise _malformed(_("it has binary data that no input describes"))
    data = tensor.get("data")
    if not isinstance(data, list):
        raise _malformed(_("the input has no data"))
    try:
        numbers = np.array(data)
    except ValueError:  # lists of different lengths
        numbers = np.array([])
    if numbers.dtype.kind not in "iu" or numbers.size != total or numbers.min() < 0 or numbers.max() > 255:
        raise _malformed(_("its data is not {n:,} integers from 0 to 255", n=total))
    return numbers.astype(np.uint8).reshape(shape)


def _parameters(values: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = values.get("parameters", {})
    if not isinstance(parameters, dict):
        raise _malformed(_("its parameters are no JSON object"))
    return parameters


def _output_form(values: Mapping[str, Any]) -> tuple[bool, int]:
    """Whether the output of the answer is binary, and how many classes it names (0: all probabilities)."""
    binary = _parameters(values).get("binary_data_output", False)
    chosen = values.get("outputs") or [{"name": OUTPUT}]
    if not isinstance(chosen, list) or not all(isinstance(output, dict) for output in chosen):
        raise _malformed(_("its outputs are no list of JSON objects"))
    if len(chosen) > 1:
        raise _malformed(_("an output is requested twice"))
    name = chosen[0].get("name")
    if name != OUTPUT:
        hint = nearest(str(name)[:100], [OUTPUT])
        raise RequestError("CN501", _("the output is called {name}", name=OUTPUT), hint=hint)
    parameters = _parameters(chosen[0])
    classes = parameters.get("classification", 0)
    if type(classes) is not int or classes < 0:
        raise _malformed(_("the parameter classification is no number of classes"))
    return bool(parameters.get("binary_data", binary)), classes


def _output(chosen: tuple[bool, int], probabilities: np.ndarray, opened: Opened) -> tuple[dict[str, Any], bytes]:
    """An output as it is described in JSON, and its binary data."""
    binary, count = chosen
    if count:
        rows = [[_class(row, i, opened) for i in best_classes(row, count)] for row in probabilities]
        texts = [text for row in rows for text in row]
        entry: dict[str, Any] = {"name": OUTPUT, "datatype": "BYTES", "shape": [len(rows), len(rows[0])]}
        encoded = [text.encode(errors="surrogateescape") for text in texts]
        data = b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
    else:
        entry = {"name": OUTPUT, "datatype": "FP32", "shape": [*probabilities.shape]}
        texts, data = [], probabilities.astype("<f4").tobytes()
    if binary:
        return entry | {"parameters": {"binary_data_size": len(data)}}, data
    return entry | {"data": texts if count else probabilities.ravel().tolist()}, b""


def _class(row: np.ndarray, i: int, opened: Opened) -> str:
    """A class as Triton names it: probability, number and name."""
    return f"{row[i]:f}:{i}:{opened.classifier.classes[i]}"
