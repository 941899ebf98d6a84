"""What /openapi.json says of each path, in English; `reference` translates what is marked by `N_`."""

from __future__ import annotations

from typing import Any

from classicnets import __version__
from classicnets.text import N_

DESCRIPTION = N_(
    "Classifies images with networks that classicnets has exported. An error has a code, a reason and a hint."
)

_TEXT = {"type": "string"}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "where", "why", "hint"],
            "properties": dict.fromkeys(("code", "message", "where", "why", "hint"), _TEXT),
        }
    },
}
_V2_ERROR: dict[str, Any] = {"type": "object", "required": ["error"], "properties": {"error": _TEXT}}
_PREDICTIONS: dict[str, Any] = {
    "type": "object",
    "required": ["predictions"],
    "properties": {
        "predictions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": _TEXT,
                    "top": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["label", "probability"],
                            "properties": {"label": _TEXT, "probability": {"type": "number", "minimum": 0}},
                        },
                    },
                    "rejected": {"type": "boolean", "description": "the probability is below the smallest confidence"},
                    "activations": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "properties": {
                                "shape": {"type": "array", "items": {"type": "integer"}},
                                "values": {"type": "array", "items": {"type": ["number", "null"]}},
                            },
                        },
                    },
                    "error": _ERROR["properties"]["error"],
                },
            },
        }
    },
}
_EXAMPLE = {
    "predictions": [
        {
            "file": "boot.png",
            "top": [{"label": "ankle boot", "probability": 0.98}, {"label": "sneaker", "probability": 0.02}],
        }
    ]
}
_FORM = {
    "type": "object",
    "required": ["images"],
    "properties": {"images": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}},
}
_BASE64 = {
    "type": "object",
    "required": ["images"],
    "additionalProperties": False,
    "properties": {
        "images": {"type": "array", "minItems": 1, "items": {"type": "string", "contentEncoding": "base64"}}
    },
}
# 2 x 2 pixels, gray
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR4nGM8wcDEwAAAA/oAzIAKlEUAAAAASUVORK5CYII="


def _answers(description: str, content: dict[str, Any], error: dict[str, Any], *codes: int) -> dict[int | str, Any]:
    """The answers of a path: the result, and errors by their status."""
    texts = {
        400: N_("the request is malformed (CN501)"),
        401: N_("the token is missing or wrong (CN502)"),
        403: N_("the host is unknown (CN503)"),
        404: N_("there is no such model (CN504)"),
        408: N_("the request took too long (CN506)"),
        413: N_("the request is too large (CN507)"),
        415: N_("the type of the body is not read (CN508)"),
        422: N_("the only image cannot be read (CN304), or a parameter is not valid (CN202, CN204)"),
        503: N_("the server is busy (CN509)"),
    }
    answers: dict[int | str, Any] = {200: {"description": description, "content": content}}
    for code in (401, 403, *codes):
        answers[code] = {"description": texts[code], "content": {"application/json": {"schema": error}}}
    return answers


def _json(schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    return {"application/json": {"schema": schema} | ({} if example is None else {"example": example})}


def _parameter(name: str, place: str, description: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": schema,
        **more,
    }


_TOP = _parameter(
    "top",
    "query",
    N_("number of classes for each image"),
    {"type": "integer", "minimum": 1, "maximum": 1000, "default": 3},
)
_MODEL = _parameter("model", "query", N_("name of the model (default: the first one)"), _TEXT)
_LAYERS = _parameter("activations", "query", N_("layers whose outputs are returned, separated by commas"), _TEXT)
_NAME = _parameter("name", "path", N_("name of the model"), _TEXT)
_VERSION = _parameter("version", "path", N_("version of the model, which is 1"), {"type": "string", "enum": ["1"]})


def _predict(operation: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": N_("Classify images"),
        "operation_id": operation,
        "description": N_(
            "Returns the most probable classes of each image, most probable first. Of several images, one that cannot "
            "be read has an error in place of classes."
        ),
        "responses": _answers(
            N_("predictions"), _json(_PREDICTIONS, _EXAMPLE), _ERROR, 400, 404, 408, 413, 415, 422, 503
        ),
        "extra": {
            "parameters": [*parameters],
            "requestBody": {
                "required": True,
                "content": {
                    "multipart/form-data": {"schema": _FORM},
                    "application/json": {"schema": _BASE64, "example": {"images": [_PNG]}},
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                    "image/*": {"schema": {"type": "string", "format": "binary"}},
                },
            },
        },
    }


def _plain(
    summary: str, operation: str, schema: dict[str, Any], example: Any = None, error: dict[str, Any] = _ERROR
) -> dict[str, Any]:
    answers = _answers(summary, _json(schema, example), error)
    return {"summary": summary, "operation_id": operation, "responses": answers}


_OBJECT = {"type": "object"}
PREDICT = _predict("predict", _TOP, _MODEL, _LAYERS)
PREDICT_MODEL = _predict("predictWithModel", _NAME, _TOP, _LAYERS)
_FILE_HEALTH = {
    "file": "boots.onnx",
    "sha256": "7b228b162126a549cff31283b5c306a9a6f5d0755b23bb412b09f27633b90dac",
    "loaded": "2026-11-29T13:35:23.085+00:00",
    "classes": 10,
    "reload_error": None,
}
HEALTH = _plain(
    N_("The models, their files, and when they were opened"),
    "health",
    _OBJECT,
    {"status": "ok", "version": __version__, "models": {"boots": _FILE_HEALTH}},
)
METRICS = {
    "summary": N_("Metrics for Prometheus"),
    "operation_id": "metrics",
    "responses": _answers(N_("metrics"), {"text/plain": {"schema": _TEXT}}, _ERROR),
}
# the answer of the path itself
SERVER = {
    "name": "classicnets",
    "version": __version__,
    "extensions": ["binary_tensor_data", "classification", "model_repository"],
}
V2_SERVER = _plain(
    N_("Open Inference Protocol: the server"),
    "v2Server",
    _OBJECT,
    SERVER,
    _V2_ERROR,
)
V2_LIVE = _plain(N_("Open Inference Protocol: the server is alive"), "v2Live", _OBJECT, {"live": True}, _V2_ERROR)
V2_READY = _plain(N_("Open Inference Protocol: the models can answer"), "v2Ready", _OBJECT, {"ready": True}, _V2_ERROR)
V2_INDEX = _plain(
    N_("Open Inference Protocol: the models"),
    "v2Index",
    {"type": "array", "items": _OBJECT},
    [{"name": "boots", "version": "1", "state": "READY", "reason": ""}],
    _V2_ERROR,
)


def _v2(summary: str, operation: str, version: str, example: Any, *codes: int, **extra: Any) -> dict[str, Any]:
    return {
        "summary": summary,
        "operation_id": operation + ("OfVersion" if version else ""),
        "responses": _answers(summary, _json(_OBJECT, example), _V2_ERROR, 404, *codes),
        "extra": {"parameters": [_NAME, _VERSION] if version else [_NAME], **extra},
    }


def v2_model(version: str) -> dict[str, Any]:
    """Return the documentation of a model's inputs and outputs."""
    example = {
        "name": "boots",
        "versions": ["1"],
        "platform": "classicnets",
        "inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}],
        "parameters": {"classes": ["ankle boot", "sneaker"]},
    }
    return _v2(N_("Open Inference Protocol: inputs and outputs of a model"), "v2Model", version, example)


def v2_model_ready(version: str) -> dict[str, Any]:
    """Return the documentation of the readiness of a model."""
    return _v2(
        N_("Open Inference Protocol: a model can answer"), "v2ModelReady", version, {"name": "boots", "ready": True}
    )


def v2_infer(version: str) -> dict[str, Any]:
    """Return the documentation of inference."""
    example = {"inputs": [{"name": "pixels", "shape": [1, 1, 1, 3], "datatype": "UINT8", "data": [0, 0, 0]}]}
    integers = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}}
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"type": "string", "enum": ["pixels"]},
            "shape": {"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "integer", "minimum": 1}},
            "datatype": {"type": "string", "enum": ["UINT8"]},
            "data": integers,
        },
    }
    schema = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "maxLength": 1000},
            "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": tensor},
            "outputs": {
                "type": "array",
                "maxItems": 1,
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string", "enum": ["probabilities"]}},
                },
            },
        },
    }
    body = {"required": True, "content": _json(schema, example)}
    output = {"name": "probabilities", "datatype": "FP32", "shape": [1, 2], "data": [0.98, 0.02]}
    answer = {"model_name": "boots", "model_version": "1", "outputs": [output]}
    return _v2(
        N_("Open Inference Protocol: classify images"), "v2Infer", version, answer, 400, 408, 413, 503, requestBody=body
    )
