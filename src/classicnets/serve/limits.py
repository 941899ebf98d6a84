"""Reads the bodies of requests within limits, and counts the requests that are being answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect, Request

from classicnets.errors import RequestError
from classicnets.spec import ServeOptions
from classicnets.text import _, byte_count

_HELD_BODIES = 16  # of the largest size, which all requests together may hold
_DISCARDED = 4  # times the largest size of a body, so that a client has sent its body before it reads the error
_DISCARD_SECONDS = 2.0
_DIGITS = 19  # of numbers that are larger than all lengths


class Limits:
    """The limits of a server process.

    Args:
        options: Their values.
    """

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        self.waiting = 0  # requests that are being answered
        self._held_bytes = 0  # of their bodies

    @contextmanager
    def place(self) -> Iterator[None]:
        """Count a request while it is read and answered. Raises RequestError CN509 if there are too many."""
        if self.waiting >= self.options.max_waiting:
            raise _busy()
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    @contextmanager
    def memory(self, size: int) -> Iterator[None]:
        """Count the bytes of a body while it is held. Raises RequestError CN509 if all bodies are too large."""
        if self._held_bytes and self._held_bytes + size > _HELD_BODIES * self.options.max_body:
            raise _busy()
        self._held_bytes += size
        try:
            yield
        finally:
            self._held_bytes -= size

    async def read_body(self, request: Request) -> bytes:
        """Return the body of a request.

        Raises:
            RequestError: CN507, it is too large; CN501, its length is no number; CN509, see `memory`.
            ClientDisconnect: The client has gone.
        """
        stated = request.headers.get("content-length")
        if stated is not None and not is_number(stated):
            raise RequestError("CN501", _("the header {name} is not a number", name="Content-Length"))
        most = self.options.max_body
        expects_permission = "expect" in request.headers  # such a client has not sent its body yet
        if stated is not None and int(stated) > most and expects_permission:
            raise self._too_large()
        message = await request.receive()
        chunk = message.get("body", b"")
        if message["type"] == "http.request" and not message.get("more_body", False) and len(chunk) <= most:
            return bytes(chunk)
        with self.memory(min(int(stated), most) if stated else most):
            parts, size = [chunk], len(chunk)
            while message.get("more_body", False) and size <= most:
                message = await request.receive()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            if size <= most:
                return b"".join(parts)
        await self._discard(request, size, more=message.get("more_body", False))
        raise self._too_large()

    async def _discard(self, request: Request, size: int, *, more: bool) -> None:
        """Read what is left of a body that is too large, within bounds."""
        try:
            async with asyncio.timeout(_DISCARD_SECONDS):
                while more and size <= _DISCARDED * self.options.max_body:
                    message = await request.receive()
                    size += len(message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError:
            return

    def _too_large(self) -> RequestError:
        return RequestError(
            "CN507",
            _("the body of the request is too large"),
            why=_("at most {size} are accepted", size=byte_count(self.options.max_body)),
            hint=_("send fewer or smaller images in a request"),
        )


def is_number(text: str) -> bool:
    """Whether a header is a number that a machine has for lengths."""
    return text.isascii() and text.isdecimal() and len(text) < _DIGITS


def _busy() -> RequestError:
    return RequestError(
        "CN509",
        _("the server has too many requests to answer"),
        hint=_("repeat the request after the seconds in the header Retry-After"),
    )
