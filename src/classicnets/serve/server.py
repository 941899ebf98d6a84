"""The processes of the server: one, or several workers on one socket that are replaced when they end."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from prometheus_client.multiprocess import mark_process_dead

from classicnets.errors import MachineError
from classicnets.serve.app import Settings, create
from classicnets.serve.metrics import FOLDER
from classicnets.serve.models import Models
from classicnets.serve.protocol import protocol
from classicnets.spec import ServeOptions
from classicnets.text import _

log = logging.getLogger("classicnets.serve")

_BACKLOG = 2048  # connections that wait to be accepted
_KEEP_ALIVE = 30  # seconds that a connection without a request stays open
_MIN_LIFE = 5.0  # seconds; a worker that ends sooner is replaced after a pause
_KILL_AFTER = 5.0  # seconds that a worker gets beyond those of its requests
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def listen(options: ServeOptions) -> socket.socket:
    """Return a listening socket.

    Raises:
        MachineError: CN404, the address cannot be used.
    """
    host = options.host.strip("[]")
    try:
        family, kind, _protocol, _name, address = socket.getaddrinfo(
            host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind)
        try:
            if sys.platform != "win32":  # there, it would let two programs listen on one port
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(_BACKLOG)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        raise MachineError(
            "CN404",
            _("the server cannot listen on this address"),
            where=f"{options.host}:{options.port}",
            why=error.strerror or str(error),
            hint=_("{option}   # any port that is free", option="--port 0"),
        ) from error
    sock.set_inheritable(True)
    return sock


def run(settings: Settings, sock: socket.socket, folder: Path, ready: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM; requests in progress are then finished.

    Args:
        settings: The models and options.
        sock: The listening socket; it is closed.
        folder: For temporary files.
        ready: Is called when the models have been opened.

    Raises:
        DataError: CN308, a file is damaged.
        UsageError: CN212, a file has code from elsewhere.
    """
    if settings.options.workers == 1:
        _serve(settings, sock, ready)
        return
    Models(settings.sources)  # raises the errors of the files once, and not in every worker
    ready()
    metrics = folder / "metrics"
    metrics.mkdir()
    os.environ[FOLDER] = str(metrics)
    try:
        _Workers(settings, sock).run()
    finally:
        del os.environ[FOLDER]
        sock.close()


def _serve(settings: Settings, sock: socket.socket, ready: Callable[[], None]) -> None:
    """Serve in this process."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    server = prepare(settings)
    if settings.options.access_log:
        access = logging.getLogger("uvicorn.access")
        access.setLevel(logging.INFO)
        access.propagate = False
        handler = logging.StreamHandler()
        handler.addFilter(_without_query)
        access.addHandler(handler)
    ready()
    with _handled_signals(server.handle_exit):
        server.run(sockets=[sock])


def _without_query(record: logging.LogRecord) -> bool:
    """Leave the parameters out of a line of the access log: one of them may be the token."""
    if isinstance(record.args, tuple) and len(record.args) == 5:
        client, method, path, version, status = record.args
        record.args = (client, method, str(path).partition("?")[0], version, status)
    return True


def prepare(settings: Settings) -> uvicorn.Server:
    """Return the server of this process, with its models opened. Raises what opening them raises."""
    options = settings.options
    app = create(settings)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="error",  # its warnings are what clients send
        access_log=options.access_log,
        http=protocol,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(options.timeout)),
        backlog=_BACKLOG,
    )
    return _Server(config, options.timeout)


class _Server(uvicorn.Server):
    """uvicorn, which also closes connections whose request does not begin."""

    def __init__(self, config: uvicorn.Config, timeout: float) -> None:
        super().__init__(config)
        self._timeout = timeout + _KEEP_ALIVE
        self._idle: dict[object, tuple[object, float]] = {}  # connection -> its last request, and since when

    async def on_tick(self, counter: int) -> bool:
        """Do what uvicorn does ten times a second; and close connections that have sent parts of a header for long."""
        if counter % 10 == 0:
            now, idle = time.monotonic(), dict[object, tuple[object, float]]()
            for held in list(self.server_state.connections):
                cycle = getattr(held, "cycle", None)
                if cycle is not None and not cycle.response_complete:
                    continue
                last, since = self._idle.get(held, (cycle, now))
                idle[held] = (cycle, since if last is cycle else now)
                if now - idle[held][1] > self._timeout:
                    held.transport.close()
            self._idle = idle
        return await super().on_tick(counter)


class _Workers:
    """Processes that share a socket.

    Args:
        settings: What each of them needs.
        sock: The listening socket.
    """

    def __init__(self, settings: Settings, sock: socket.socket) -> None:
        self._settings, self._socket = settings, sock
        # Not a copy of this process, which would have its locks, but where possible of one that has only imported this.
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        self._context.set_forkserver_preload([__name__])
        self._workers: dict[BaseProcess, float] = {}  # and when they were started
        self._is_stopping = False

    def run(self) -> None:
        """Keep the workers running until SIGINT or SIGTERM."""
        wake, waker = socket.socketpair()
        waker.setblocking(False)
        before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        with _handled_signals(self._stop):
            try:
                for _number in range(self._settings.options.workers):
                    self._start()
                while not self._is_stopping:
                    ended = connection.wait([wake, *(worker.sentinel for worker in self._workers)])
                    if wake in ended:
                        wake.recv(64)
                    self._replace()
            finally:
                self._end()
                signal.set_wakeup_fd(before)
                wake.close()
                waker.close()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stopping = True

    def _start(self) -> None:
        worker = self._context.Process(target=_work, args=(self._settings, self._socket))
        worker.start()
        self._workers[worker] = time.monotonic()

    def _replace(self) -> None:
        """Start a worker for each that has ended."""
        for worker, began in [*self._workers.items()]:
            if worker.is_alive() or self._is_stopping:
                continue
            del self._workers[worker]
            if worker.pid is not None:
                mark_process_dead(worker.pid)
            log.error(_("worker {pid} has ended with code {code}", pid=worker.pid, code=worker.exitcode))
            if time.monotonic() - began < _MIN_LIFE:
                time.sleep(1)  # something is wrong with every worker
            self._start()

    def _end(self) -> None:
        """Stop all workers after their requests, or kill them if they take too long."""
        for worker in self._workers:
            if worker.is_alive():
                worker.terminate()
        until = time.monotonic() + self._settings.options.timeout + _KILL_AFTER
        for worker in self._workers:
            worker.join(max(0.0, until - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()


def _work(settings: Settings, sock: socket.socket) -> None:
    """Serve in a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent stops the workers
    _serve(settings, sock, lambda: None)


@contextmanager
def _handled_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle the signals that stop a server; uvicorn raises them once more after it has stopped."""
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
