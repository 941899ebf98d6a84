"""The application: paths, checks of every request, and errors as JSON."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from time import perf_counter
from types import SimpleNamespace
from typing import Any, NamedTuple

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from classicnets import __version__
from classicnets.errors import ClassicnetsError, RequestError
from classicnets.serve import documentation, reference
from classicnets.serve.access import Access, origins
from classicnets.serve.inference import VERSION, Inference
from classicnets.serve.limits import Limits
from classicnets.serve.metrics import Metrics
from classicnets.serve.models import Models, Source
from classicnets.serve.page import PAGE_HEADERS, Pages, no_such_path, texts_of
from classicnets.serve.predict import Service
from classicnets.serve.replies import fault, reply, reply_error
from classicnets.spec import ServeOptions
from classicnets.text import _

log = logging.getLogger("classicnets.serve")

Handler = Callable[[Request], Awaitable[Response]]

_OTHER = "other"  # paths that do not exist, in the metrics
_PAGE_FILE = SimpleNamespace(path="/{file}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a server process needs; it can be sent to another process.

    Attributes:
        sources: The models.
        options: The options.
        token: The token that requests need; None if they need none.
        watch_seconds: How often the files of the models are looked at.
    """

    sources: tuple[Source, ...]
    options: ServeOptions
    token: str | None = None
    watch_seconds: float = 1.0


class _Endpoint(NamedTuple):
    """What answers a path: the handler, the template of the path, and its parameters in this path."""

    handler: Handler
    template: str
    parameters: dict[str, str]


def create(settings: Settings) -> ASGIApp:
    """Return the application of a server process; the models are opened here.

    Raises:
        DataError: CN308, a file is damaged.
    """
    for name in ("PIL", "python_multipart"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they log what is wrong with what clients send
    models, metrics = Models(settings.sources), Metrics()
    service = Service(models, Limits(settings.options), metrics)
    access = Access(settings.options, settings.token)
    app = FastAPI(
        title="classicnets",
        version=__version__,
        description=documentation.DESCRIPTION,
        docs_url=None,  # its page loads scripts from another host; ours is `reference`
        redoc_url=None,
        lifespan=lambda _app: _background(settings, service),
        redirect_slashes=False,
    )
    gate = Gate(app, models.by_name, access, metrics, settings.options.timeout)

    pages = Pages(models)

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404 and request.method in {"GET", "HEAD"}:
            request.scope["route"] = _PAGE_FILE
            return await gate.guard(pages.file, request)
        return _http_error(request, error)

    app.add_exception_handler(HTTPException, unrouted)
    for route in _routes(service, Inference(service), pages, _health(models, access), _metrics(metrics)):
        gate.add(app, *route)
    gate.add(app, "GET", "/docs", _reference(app), None)
    allowed = origins(settings.options)
    if allowed:
        return CORSMiddleware(gate, allow_origins=allowed, allow_methods=["GET", "POST"], allow_headers=["*"])
    return gate


def _routes(
    service: Service, inference: Inference, pages: Pages, health: Handler, metrics: Handler
) -> list[tuple[str, str, Handler, dict[str, Any] | None]]:
    """Method, path, handler and documentation of every path, in the order in which they are tried."""
    paths: list[tuple[str, str, Handler, dict[str, Any] | None]] = [
        ("POST", "/predict", service.predict, documentation.PREDICT),
        ("POST", "/models/{name}/predict", service.predict, documentation.PREDICT_MODEL),
        ("GET", "/health", health, documentation.HEALTH),
        ("GET", "/metrics", metrics, documentation.METRICS),
        ("GET", "/v2", inference.server, documentation.V2_SERVER),
        ("GET", "/v2/health/live", inference.live, documentation.V2_LIVE),
        ("GET", "/v2/health/ready", inference.ready, documentation.V2_READY),
        ("POST", "/v2/repository/index", inference.index, documentation.V2_INDEX),
    ]
    for version in ("", "/versions/{version}"):
        model = "/v2/models/{name}" + version
        paths += [
            ("GET", model, inference.model, documentation.v2_model(version)),
            ("GET", f"{model}/ready", inference.model_ready, documentation.v2_model_ready(version)),
            ("POST", f"{model}/infer", inference.infer, documentation.v2_infer(version)),
        ]
    return [*paths, ("GET", "/", pages.file, None)]


class Gate:
    """Checks, measures and guards every request; the paths of the models are called without further routing.

    Args:
        app: What answers other requests.
        names: The names of the models.
        access: Who may send requests.
        metrics: What counts them.
        timeout: Seconds that a request may take.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], access: Access, metrics: Metrics, timeout: float) -> None:
        self._app, self._names, self._access, self._metrics, self._timeout = app, [*names], access, metrics, timeout
        self._endpoints: dict[tuple[str, str], _Endpoint] = {}

    def add(self, app: FastAPI, method: str, path: str, handler: Handler, documented: dict[str, Any] | None) -> None:
        """Add a path to the application, with its documentation as OpenAPI has it; None to leave it out there."""
        for name in self._names if "{name}" in path else ("",):
            parameters = {"name": name, "version": VERSION} if name else {}
            self._endpoints[method, path.format(**parameters)] = _Endpoint(handler, path, parameters)

        async def endpoint(request: Request) -> Response:
            return await self.guard(handler, request)

        about = documented or {}
        if method == "GET":
            app.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False, response_model=None)
        app.add_api_route(
            path,
            endpoint,
            methods=[method],
            include_in_schema=documented is not None,
            response_class=Response,
            response_model=None,
            summary=about.get("summary"),
            description=about.get("description"),
            operation_id=about.get("operation_id"),
            responses=about.get("responses"),
            openapi_extra=about.get("extra"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, path = perf_counter(), scope["path"]
        endpoint = self._endpoints.get((scope["method"], path))
        try:
            response = self._access.refuse(scope)
        except RequestError as error:
            response = reply_error(error, path)
        if response is None and endpoint is not None:
            scope["path_params"] = endpoint.parameters
            response = await self.guard(endpoint.handler, Request(scope, receive))
        if response is not None:
            await response(scope, receive, send)
            template = _OTHER if endpoint is None else endpoint.template
            self._metrics.request(template, response.status_code, perf_counter() - began)
            return
        status = 500

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, observe)
        route = scope.get("route")
        self._metrics.request(getattr(route, "path", _OTHER), status, perf_counter() - began)

    async def guard(self, handler: Handler, request: Request) -> Response:
        """Return the answer of a handler, or that for its error."""
        path = request.scope["path"]
        try:
            async with asyncio.timeout(self._timeout):
                return await handler(request)
        except TimeoutError:
            error = RequestError(
                "CN506",
                _("the request took too long"),
                why=_("it may take {seconds:g} seconds", seconds=self._timeout),
                hint=_("send fewer or smaller images in a request"),
            )
            return reply_error(error, path)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        except ClassicnetsError as error:
            response = reply_error(error, path)
            if response.status_code >= 500 and error.code != "CN509":
                log.error("%s: %s", path, error)
            return response
        except Exception:
            log.exception("%s", path)
            return reply_error(fault(), path)


def _http_error(request: Request, error: HTTPException) -> Response:
    """The answer for a path or a method that does not exist."""
    path = request.scope["path"]
    if error.status_code == 405:
        wrong = RequestError(
            "CN505",
            _("the path does not take the method {method}", method=request.method[:20]),
            hint=_("/docs lists the paths"),
        )
        response = reply_error(wrong, path)
        response.headers.update(error.headers or {})
        return response
    return reply_error(no_such_path(path) if error.status_code == 404 else fault(), path)


def _health(models: Models, access: Access) -> Handler:
    async def health(request: Request) -> Response:
        """Describe the models; without the token, only say that the server is there."""
        if not access.knows(request.scope):
            return reply({"status": "ok"})
        described = {
            name: {
                "file": model.source.file.name,
                "sha256": model.opened.digest,
                "loaded": model.opened.time.isoformat(timespec="milliseconds"),
                "classes": len(model.opened.classifier.classes),
                "reload_error": model.error or None,
            }
            for name, model in models.by_name.items()
        }
        return reply({"status": "ok", "version": __version__, "models": described})

    return health


def _metrics(metrics: Metrics) -> Handler:
    async def text(_request: Request) -> Response:
        """Return the metrics for Prometheus."""
        content, kind = metrics.text()
        return Response(content, media_type=kind)

    return text


def _reference(app: FastAPI) -> Handler:
    async def describe(request: Request) -> Response:
        """Return the page that describes the paths."""
        with texts_of(request):
            return HTMLResponse(reference.page(app.openapi()), headers=PAGE_HEADERS)

    return describe


@asynccontextmanager
async def _background(settings: Settings, service: Service) -> AsyncIterator[None]:
    """What runs beside the requests: looks at the files of the models, and for the end of the parent process."""
    tasks = [asyncio.create_task(service.models.watch(settings.watch_seconds, service.pool))]
    parent = multiprocessing.parent_process()
    if parent is not None:
        tasks.append(asyncio.create_task(_end_with(parent)))
    yield
    for task in tasks:
        task.cancel()
    service.close()


async def _end_with(parent: BaseProcess) -> None:
    """Stop this worker when the process that started it has ended, even if that was killed."""
    while parent.is_alive():
        await asyncio.sleep(0.5)
    signal.raise_signal(signal.SIGTERM)
