"""Answers as JSON: results, and errors with their status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from classicnets.errors import ClassicnetsError, RequestError
from classicnets.strict_json import dump
from classicnets.text import _

# The status of HTTP for a code; others are that of a fault of the server.
STATUS = {
    "CN202": 422,
    "CN204": 422,
    "CN304": 422,
    "CN501": 400,
    "CN502": 401,
    "CN503": 403,
    "CN504": 404,
    "CN505": 405,
    "CN506": 408,
    "CN507": 413,
    "CN508": 415,
    "CN509": 503,
    "CN510": 500,
}
_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}
_CLOSING = {408, 413}  # the rest of the body may still be coming


def reply(values: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with plain values as JSON."""
    return Response(dump(values).encode(), status, headers, "application/json")


def reply_error(error: ClassicnetsError, path: str) -> Response:
    """Return the answer for an error; below /v2, its form is that of the protocol, with further fields.

    Errors whose code has no status are faults of the server, and are not described to clients.
    """
    if error.code not in STATUS:
        error = fault()
    status, values = STATUS[error.code], error_values(error)
    body: dict[str, Any] = {"error": values}
    if path.startswith("/v2"):
        body = {"error": f"{error.code}: {error.what}", **values}
    headers = dict(_HEADERS.get(status, {})) | ({"Connection": "close"} if status in _CLOSING else {})
    return reply(body, status, headers)


def error_values(error: ClassicnetsError) -> dict[str, str]:
    """Return an error as plain values."""
    return {
        "code": error.code,
        "message": error.what,
        "where": error.where,
        "why": error.why,
        "hint": "\n".join(error.hints),
    }


def fault() -> RequestError:
    """Return the error for a fault of the server, whose details its standard error has."""
    return RequestError(
        "CN510", _("the server failed to answer the request"), why=_("the standard error of the server has the details")
    )
