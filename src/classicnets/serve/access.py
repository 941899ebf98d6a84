"""Who may send requests: the names of the host, and the token."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs

from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from classicnets.errors import RequestError, UsageError
from classicnets.spec import ServeOptions
from classicnets.text import _

VARIABLE = "CLASSICNETS_TOKEN"
_COOKIE = "classicnets_token"
_LOCAL = {"localhost", "127.0.0.1", "::1"}
_OPEN = {"/health", "/v2/health/live", "/v2/health/ready"}  # without the token, they say only that the server is there
_MIN_TOKEN = 8  # characters


def choose_token(options: ServeOptions, environment: str | None) -> str | None:
    """Return the token that requests need; None if they need none.

    Args:
        options: The options of the server.
        environment: The token in the environment variable, if it is set.

    Raises:
        UsageError: CN206, the file cannot be read; CN204, the token is too short.
    """
    if options.token_file is not None:
        try:
            token = Path(options.token_file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                "CN206",
                _("the file with the token cannot be read"),
                where=options.token_file,
                why=str(error),
                hint=_("{option}   # chooses a token", option="--token"),
            ) from error
    elif environment:
        token = environment.strip()
    else:
        return secrets.token_urlsafe(24) if options.token else None
    if len(token) < _MIN_TOKEN or not token.isascii() or any(c.isspace() or not c.isprintable() for c in token):
        raise UsageError(
            "CN204",
            _("the token must have at least {n} letters or digits, and no spaces", n=_MIN_TOKEN),
            where=options.token_file or VARIABLE,
            hint=_("{option}   # chooses a token", option="--token"),
        )
    return token


class Access:
    """Decides whether a request is answered.

    Args:
        options: The options of the server.
        token: The token that requests need; None if they need none.
    """

    def __init__(self, options: ServeOptions, token: str | None) -> None:
        host = options.host.strip("[]").lower()
        self._names = _LOCAL | {host, *_split(options.allow_host.lower())}
        self._takes_addresses = host in {"0.0.0.0", "::", ""}  # a rebound name is no address
        self._token = token

    def refuse(self, scope: Scope) -> Response | None:
        """Return the answer to a request with a valid token in its URL, which the browser then keeps as a cookie.

        Raises:
            RequestError: CN503, the host is unknown; CN502, the token is missing or wrong.
        """
        host = authorization = cookie = b""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"authorization":
                authorization = value
            elif name == b"cookie":
                cookie = value
        self._check_host(host.decode("latin-1"))
        if self._token is None or scope["path"] in _OPEN:
            return None
        return self._check_token(scope, authorization.decode("latin-1"), cookie.decode("latin-1"))

    def knows(self, scope: Scope) -> bool:
        """Whether a request, which may be to a path that needs no token, has it."""
        if self._token is None:
            return True
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return self._is_token(header.decode("latin-1").removeprefix("Bearer ").strip())

    def _check_host(self, host: str) -> None:
        if host in self._names:
            return
        name = _host_name(host)
        if name in self._names or (self._takes_addresses and _is_address(name)):
            return
        raise RequestError(
            "CN503",
            _("the server does not answer for this host"),
            where=ascii(host[:100]),
            why=_("a web page under that name could otherwise reach it"),
            hint=_("{option}   # if the name is right", option="--allow-host NAME"),
        )

    def _check_token(self, scope: Scope, authorization: str, cookie: str) -> Response | None:
        kind, _space, token = authorization.partition(" ")
        if (kind.lower() == "bearer" and self._is_token(token.strip())) or self._is_token(_cookie(cookie)):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        given = query.get("token", [""])[0]
        if scope["method"] == "GET" and self._is_token(given):
            name = scope["path"].rpartition("/")[2]
            response = RedirectResponse(name or "./", 303)  # without the token, which histories would keep
            response.set_cookie(_COOKIE, given, httponly=True, samesite="strict")
            return response
        raise RequestError(
            "CN502",
            _("the request has no valid token"),
            hint="Authorization: Bearer TOKEN",
        )

    def _is_token(self, text: str) -> bool:
        return self._token is not None and hmac.compare_digest(text.encode(), self._token.encode())


def is_local(host: str) -> bool:
    """Whether only programs of this machine reach an address."""
    name = host.strip("[]").lower()
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _host_name(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0][1:].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(_COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def origins(options: ServeOptions) -> list[str]:
    """Return the origins whose pages may send requests."""
    return _split(options.cors)


def shown_address(sock: socket.socket) -> str:
    """Return the URL of a listening socket, as a browser on this machine opens it."""
    host, port = sock.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:
        host = "localhost"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
