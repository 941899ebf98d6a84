"""A local HTTP server that data sets can be downloaded from."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Mirror(ThreadingHTTPServer):
    """Serves `files`, initially those of a folder; `requests` are the names that were requested.

    An int is sent as HTTP status; of a list, each response takes the next item.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.files: dict[str, bytes | int | list[bytes | int]] = {p.name: p.read_bytes() for p in folder.iterdir()}
        self.requests: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.server.requests.append(name)
        content = self.server.files.get(name, 404)
        if isinstance(content, list):
            content = content.pop(0)
        if isinstance(content, int):
            self.send_error(content)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
