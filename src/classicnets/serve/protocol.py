"""The parser of HTTP: that of uvicorn, with a limit to what a client sends besides bodies."""

from __future__ import annotations

import asyncio
from typing import Literal

_MAX_HEAD = 65_536  # bytes of a request line and headers, of the trailers of a body, or in front of one of its chunks
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

protocol: type[asyncio.Protocol] | Literal["h11"]
try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:  # httptools is not installed
    protocol = "h11"  # it has such a limit
else:

    class _LimitedProtocol(HttpToolsProtocol):
        """A connection, which is closed when it exceeds the limit."""

        _size = 0  # bytes since the last part of a body, or since the end of the last request

        def data_received(self, data: bytes) -> None:
            self._size += len(data)
            super().data_received(data)
            if self._size > _MAX_HEAD and not self.transport.is_closing():
                if self.cycle is None or self.cycle.response_complete:
                    self.transport.write(_TOO_LARGE)
                self.transport.close()

        def on_body(self, body: bytes) -> None:
            self._size = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._size = 0
            super().on_message_complete()

    protocol = _LimitedProtocol
