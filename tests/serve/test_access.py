"""Who may send requests: host names, the token, other origins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from classicnets.errors import UsageError
from classicnets.spec import ServeOptions
from serve.conftest import Clients

if TYPE_CHECKING:
    from starlette.testclient import TestClient

TOKEN = "a-long-token"


@pytest.mark.parametrize(
    ("options", "host", "status"),
    [
        ({}, "localhost", 200),
        ({}, "localhost:8000", 200),
        ({}, "LOCALHOST:8000", 200),
        ({}, "127.0.0.1:8000", 200),
        ({}, "[::1]:8000", 200),
        ({}, "evil.example", 403),
        ({}, "localhost.evil.example", 403),
        ({}, "192.168.1.2", 403),
        ({}, "", 403),
        ({"allow_host": "a.example, b.example"}, "b.example:80", 200),
        ({"host": "0.0.0.0"}, "192.168.1.2:8000", 200),  # a rebound name is no address
        ({"host": "0.0.0.0"}, "evil.example", 403),
        ({"host": "here.example"}, "here.example", 200),
    ],
)
def test_only_known_hosts_are_answered(clients: Clients, options: dict[str, str], host: str, status: int) -> None:
    answer = clients(**options).get("/health", headers={"Host": host})
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["code"] == "CN503"


@pytest.fixture
def guarded(clients: Clients) -> TestClient:
    return clients(token=TOKEN)


@pytest.mark.parametrize("path", ["/", "/metrics", "/openapi.json", "/v2", "/v2/models/colors", "/models/colors/"])
def test_requests_need_the_token(guarded: TestClient, path: str) -> None:
    for header in ("", TOKEN, f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", "Bearer \xe9"):
        answer = guarded.get(path, headers={b"Authorization": header.encode("latin-1")})
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer" and "CN502" in answer.text
    assert guarded.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_without_the_token_health_says_only_that_the_server_is_there(guarded: TestClient) -> None:
    assert guarded.get("/health").json() == {"status": "ok"}
    assert guarded.get("/v2/health/live").status_code == guarded.get("/v2/health/ready").status_code == 200
    assert "models" in guarded.get("/health", headers={"Authorization": f"Bearer {TOKEN}"}).json()


def test_the_browser_keeps_the_token_of_the_url(guarded: TestClient) -> None:
    assert guarded.get("/?token=wrong").status_code == 401
    answer = guarded.get(f"/?token={TOKEN}")
    assert answer.status_code == 303 and TOKEN not in answer.headers["Location"]
    assert "HttpOnly" in answer.headers["Set-Cookie"] and "samesite=strict" in answer.headers["Set-Cookie"].lower()
    assert guarded.get("/").status_code == 200  # the client has the cookie


def test_other_origins_need_the_option(clients: Clients) -> None:
    headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    closed, opened = clients(), clients(cors="https://a.example", token=TOKEN)
    assert "Access-Control-Allow-Origin" not in closed.get("/health", headers=headers).headers
    assert opened.options("/predict", headers=headers).headers["Access-Control-Allow-Origin"] == "https://a.example"
    other = opened.get("/health", headers={"Origin": "https://b.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_where_the_token_comes_from(tmp_path: Path) -> None:
    from classicnets.serve.access import choose_token

    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert choose_token(ServeOptions(token_file=str(file), token=True), "of-the-environment") == TOKEN
    assert choose_token(ServeOptions(token=True), "of-the-environment") == "of-the-environment"
    assert choose_token(ServeOptions(), None) is None
    chosen = [choose_token(ServeOptions(token=True), None) for _ in range(2)]
    assert chosen[0] != chosen[1] and len(str(chosen[0])) >= 24
    for text in ("short", "", "with a space", "not-ascii-é"):
        file.write_text(text)
        with pytest.raises(UsageError, match="at least 8"):
            choose_token(ServeOptions(token_file=str(file)), None)
    with pytest.raises(UsageError, match="cannot be read"):
        choose_token(ServeOptions(token_file=str(tmp_path / "none")), None)


def test_local_addresses() -> None:
    from classicnets.serve.access import is_local

    assert all(map(is_local, ("localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]")))
    assert not any(map(is_local, ("0.0.0.0", "::", "192.168.1.2", "example.com", "")))
