"""A file that changes is opened beside the old one; the page of a model."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from classicnets.errors import CheckFailed
from classicnets.evaluation.onnx import OnnxClassifier
from serve.conftest import Clients, image_bytes
from support.onnx_files import colors_onnx, sealed

if TYPE_CHECKING:
    from starlette.testclient import TestClient

RED = image_bytes()
OCTETS = {"Content-Type": "application/octet-stream"}


def model(path: Path, *classes: str) -> Path:
    return sealed(colors_onnx(path, classes=classes or ("red", "green", "blue"), checksum="sha256"))


def label(client: TestClient) -> str:
    answer = client.post("/predict?top=1", content=RED, headers=OCTETS)
    return str(answer.json()["predictions"][0]["top"][0]["label"])


def health(client: TestClient) -> dict[str, Any]:
    values: dict[str, Any] = client.get("/health").json()["models"]["x"]
    return values


def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.005)


def test_a_new_file_replaces_the_old_one_and_a_damaged_one_does_not(
    clients: Clients, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, new = model(tmp_path / "x.onnx"), model(tmp_path / "new.onnx", "rot", "grün", "blau")
    client = clients(file, seconds=0.01)
    before = health(client)
    assert label(client) == "red" and before["reload_error"] is None
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(new.read_bytes()[:-1] + b"x")
    damaged.replace(file)
    wait_until(lambda: health(client)["reload_error"] is not None)
    assert label(client) == "red" and health(client)["sha256"] == before["sha256"]
    assert "the old one still is" in caplog.text and str(tmp_path) not in client.get("/health").text
    file.unlink()
    assert label(client) == "red"
    new.replace(file)
    wait_until(lambda: label(client) == "rot")
    after = health(client)
    assert after["reload_error"] is None and after["sha256"] != before["sha256"] and after["loaded"] > before["loaded"]


def test_a_file_that_is_overwritten_in_place_does_not_disturb_the_old_one(clients: Clients, tmp_path: Path) -> None:
    file, new = model(tmp_path / "x.onnx"), model(tmp_path / "new.onnx", "rot", "grün", "blau")
    client = clients(file, seconds=0.01)
    content = new.read_bytes()
    with file.open("wb") as stream:
        stream.write(content[:100])
        stream.flush()
        wait_until(lambda: health(client)["reload_error"] is not None)
        assert label(client) == "red"
        stream.write(content[100:])
    wait_until(lambda: label(client) == "rot")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The folder of a page in the form that export writes, whose only layer is the output."""
    folder = tmp_path / "a page"
    (folder / "networks").mkdir(parents=True)
    model(folder / "networks" / "0.onnx")
    (folder / "index.html").write_text("<title>the page</title>")
    (folder / "secret.txt").write_text("not listed")
    layers = [{"name": "out", "output": "logits"}, {"name": "out", "output": "probabilities"}]
    site = {
        "version": 1,
        "files": ["index.html", "networks/0.onnx"],
        "networks": [{"file": "networks/0.onnx", "layers": layers}],
    }
    (folder / "site.json").write_text(json.dumps(site))
    return folder


def test_the_files_of_a_page_are_served_and_no_others(clients: Clients, page: Path, model_file: Path) -> None:
    client = clients(page / "networks" / "0.onnx", model_file, pages=(page,))
    for prefix in ("/", "/models/0/"):
        answer = client.get(prefix)
        assert "the page" in answer.text and answer.headers["X-Content-Type-Options"] == "nosniff"
        assert client.get(f"{prefix}networks/0.onnx").content == (page / "networks" / "0.onnx").read_bytes()
        assert client.head(f"{prefix}site.json").headers["Content-Type"] == "application/json"
        for name in (
            "secret.txt",
            "networks",
            "networks/",
            "../served",
            "%2e%2e/x",
            "index.html/",
            "networks%2f..%2fx",
        ):
            assert client.get(prefix + name).status_code == 404, name
    answer = client.get("/models/0")
    assert answer.status_code == 307 and answer.headers["Location"] == "0/"
    assert client.get("/models/none/").status_code == client.post("/index.html").status_code == 404
    listed = client.get("/models/colors/").text
    assert '<a href="../../models/0/">0</a>' in listed and "colors: red, green, blue" in listed


def test_without_a_page_there_is_a_list(client: TestClient) -> None:
    answer = client.get("/")
    assert (
        "colors: red, green, blue" in answer.text and "default-src 'none'" in answer.headers["Content-Security-Policy"]
    )
    assert client.get("/index.html").status_code == 404


def write_small_page(file: Path, folder: Path, *, trust: bool) -> None:
    """Stands in for `write_file_page`: a page that names the classes of the file."""
    if file.name == "none.onnx":
        raise CheckFailed("CN107", "no page", why="it is a test")
    if file.name == "odd.onnx":
        raise KeyError("parameters")
    (folder / "index.html").write_text(", ".join(OnnxClassifier(file, trust=trust).classes))
    (folder / "0.onnx").write_bytes(file.read_bytes())
    network = {"file": "0.onnx", "layers": [{"name": "last", "output": "probabilities"}]}
    (folder / "site.json").write_text(json.dumps({"files": ["index.html", "0.onnx"], "networks": [network]}))


def test_the_page_of_a_file_is_written_again_with_the_file(
    clients: Clients, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "pages").mkdir()
    file, other = model(tmp_path / "x.onnx"), model(tmp_path / "none.onnx")
    odd = model(tmp_path / "odd.onnx")
    client = clients(file, other, odd, seconds=0.01, write_page=write_small_page, folder=tmp_path / "pages")
    assert client.get("/").text == "red, green, blue" and client.get("/0.onnx").status_code == 200
    answer = client.post("/predict?activations=last", content=RED, headers=OCTETS).json()["predictions"][0]
    assert answer["activations"]["last"]["shape"] == [3]
    model(tmp_path / "new.onnx", "rot", "grün", "blau").replace(file)
    wait_until(lambda: label(client) == "rot")
    assert client.get("/").text == "rot, grün, blau"
    assert len([*tmp_path.glob("pages/*/0.onnx")]) == 1  # the old page is gone
    assert "odd: there is no page: KeyError('parameters')" in caplog.text
    assert "none: there is no page: it is a test" in caplog.text and "<li>none: red" in client.get("/models/none/").text


def test_outputs_of_layers(clients: Clients, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = json.loads((page / "site.json").read_text())
    site["networks"][0]["layers"] = [{"name": "out", "output": "probabilities"}] * 2
    (page / "site.json").write_text(json.dumps(site))
    client = clients(page / "networks" / "0.onnx", pages=(page,))
    answer = client.post("/predict?activations=out,out%232", content=RED, headers=OCTETS).json()["predictions"][0]
    values = answer["activations"]["out"]["values"]
    assert answer["activations"]["out#2"] == answer["activations"]["out"] == {"shape": [3], "values": values}
    assert values == [entry["probability"] for entry in answer["top"]]
    wrong = client.post("/predict?activations=outt", content=RED, headers=OCTETS)
    assert wrong.status_code == 422 and wrong.json()["error"]["hint"] == "out"
    monkeypatch.setattr("classicnets.serve.predict._MAX_LAYER_VALUES", 2)
    assert client.post("/predict?activations=out", content=RED, headers=OCTETS).status_code == 413


@pytest.mark.parametrize("file", ["/etc/passwd", "../x", 7])
def test_a_page_that_names_other_files_is_refused(page: Path, file: object) -> None:
    from classicnets.errors import DataError
    from classicnets.serve.models import page_network

    site = json.loads((page / "site.json").read_text())
    wrong: object
    for wrong in ({**site, "files": [file]}, {**site, "networks": [{"file": file, "layers": []}]}, {}, []):
        (page / "site.json").write_text(json.dumps(wrong))
        with pytest.raises(DataError, match="no web page"):
            page_network(page)


def test_a_page_is_opened_again(clients: Clients, page: Path) -> None:
    file = page / "networks" / "0.onnx"
    client = clients(file, pages=(page,), seconds=0.01)
    other = page.with_name("other")
    shutil.copytree(page, other)
    model(other / "networks" / "0.onnx", "rot", "grün", "blau")
    page.rename(page.with_name("old"))
    os.rename(other, page)
    wait_until(lambda: label(client) == "rot")
