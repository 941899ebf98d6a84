"""Sends requests to an ASGI application in this process as they are, whatever a client library would make of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

Headers = Iterable[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """What an application has sent: the status, the headers, and the whole body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def values(self) -> Any:
        """The body as JSON; NaN and Infinity, which are none, are not read."""
        return json.loads(self.body, parse_constant=_no_number)


def _no_number(text: str) -> None:
    raise ValueError(text)


class Application:
    """An application and the event loop in which it runs. Its lifespan does not begin, nor end.

    Args:
        app: The application.
    """

    def __init__(self, app: Any) -> None:
        self._app, self._runner = app, asyncio.Runner()

    def close(self) -> None:
        self._runner.close()

    def send(
        self,
        method: str,
        target: bytes,
        headers: Headers = (),
        *parts: bytes,
        gone: bool = False,
        host: bytes = b"localhost",
    ) -> Answer:
        """Send a request, whose body comes in parts, and return its answer.

        Args:
            method: The method.
            target: The path and the query.
            headers: The headers besides Host.
            parts: The parts of the body.
            gone: Whether the client disconnects after these parts; they are the whole body otherwise.
            host: The header Host.
        """
        return self._runner.run(self._send(method, target, [(b"host", host), *headers], parts, gone))

    async def _send(self, method: str, target: bytes, headers: Headers, parts: tuple[bytes, ...], gone: bool) -> Answer:
        path, _mark, query = target.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote_to_bytes(path).decode("utf-8", "replace"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [*headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": part, "more_body": gone or i < len(parts) - 1}
            for i, part in enumerate(parts or (b"",))
        ]
        messages.reverse()
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        start, *bodies = sent
        assert start["type"] == "http.response.start" and not bodies[-1].get("more_body"), sent
        names = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start["headers"]}
        return Answer(start["status"], names, b"".join(body["body"] for body in bodies))
