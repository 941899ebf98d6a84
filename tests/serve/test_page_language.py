"""The pages of the server are in the language of their reader: that of the address, else of the browser."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from classicnets.language import VARIABLE, preferred_language

if TYPE_CHECKING:
    from serve.conftest import Clients

CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "en-US,zh;q=0.9", "en"),
        (None, "fr, en;q=0.2, zh-TW;q=0.3", "zh"),
        (None, "en;q=0, zh;q=0.1", "zh"),
        (None, "en;q=x, ZH", "zh"),
        ("zh-Hans", "en", "zh"),
        ("fr", "en", "en"),
        (None, "*", None),
        (None, "", None),
    ],
)
def test_language_of_a_reader(chosen: str | None, accepted: str, language: str | None) -> None:
    assert preferred_language(chosen, accepted) == language


@pytest.mark.parametrize("path", ["/docs", "/"])
def test_pages_are_in_the_language_of_their_reader(
    client: TestClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chinese = client.get(path, headers=CHINESE)
    assert '<html lang="zh-CN">' in chinese.text and re.search("[一-鿿]", chinese.text)
    assert chinese.headers["Vary"] == "Accept-Language"
    assert client.get(path, params={"lang": "zh"}).text == chinese.text
    english = client.get(path)
    assert '<html lang="en">' in english.text and not re.search("[一-鿿]", english.text)
    assert client.get(path, params={"lang": "en"}, headers=CHINESE).text == english.text
    monkeypatch.setenv(VARIABLE, "zh")
    assert client.get(path).text == chinese.text  # that of the server, if the browser asks for none of its languages


def test_all_of_the_documentation_is_translated_but_what_programs_read(client: TestClient) -> None:
    schema = client.get("/openapi.json", headers=CHINESE)
    assert schema.text == client.get("/openapi.json").text and not re.search("[一-鿿]", schema.text)
    page = re.sub("<(style|pre|code|a)\\b.*?</\\1>", "", client.get("/docs", headers=CHINESE).text, flags=re.DOTALL)
    texts = [html.unescape(text).strip() for text in re.findall(">([^<]+)<", page)]
    names = {parameter["name"] for methods in schema.json()["paths"].values() for operation in methods.values()
             for parameter in operation.get("parameters", ())}  # fmt: skip
    allowed = {
        *names,
        "query",
        "path",
        "GET",
        "POST",
        "classicnets HTTP API",
        f"classicnets {json.loads(schema.text)['info']['version']}",
    }
    assert [text for text in texts if re.search("[a-z]{3}", text) and not re.search("[一-鿿]", text)
            and text not in allowed] == []  # fmt: skip


def test_a_list_of_models_names_them_in_each_language(clients: Clients) -> None:
    client = clients()
    assert "red, green, blue" in client.get("/", headers=CHINESE).text
