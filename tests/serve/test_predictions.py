"""POST /predict: forms, JSON and bytes; answers as those of `classicnets predict`; errors as JSON."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from serve.conftest import Clients, image_bytes
from support.command_line import CommandLine
from support.onnx_files import colors_onnx, sealed

if TYPE_CHECKING:
    from starlette.testclient import TestClient

RED = image_bytes()
OCTETS = {"Content-Type": "application/octet-stream"}


def labels(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [entry["top"][0]["label"] for entry in answer.json()["predictions"]]


def error(answer: Any) -> tuple[int, str]:
    values = answer.json()["error"]
    assert set(values) == {"code", "message", "where", "why", "hint"}
    return answer.status_code, values["code"]


def form(*contents: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("images", (f"{i}.png", content, "image/png")) for i, content in enumerate(contents)]


def in_base64(*contents: bytes) -> dict[str, list[str]]:
    return {"images": [base64.b64encode(content).decode() for content in contents]}


def test_three_kinds_of_bodies_give_the_same_answer(client: TestClient) -> None:
    answers = [
        client.post("/predict", files=form(RED)),
        client.post("/predict", json=in_base64(RED)),
        client.post("/predict", json={"images": [f"data:image/png;base64,{in_base64(RED)['images'][0]}"]}),
        client.post("/predict", content=RED, headers=OCTETS),
        client.post("/predict", content=RED, headers={"Content-Type": "image/png"}),
        client.post("/models/colors/predict", content=RED, headers=OCTETS),
        client.post("/predict?model=colors", content=RED, headers=OCTETS),
    ]
    tops = [answer.json()["predictions"][0]["top"] for answer in answers]
    assert tops[1:] == tops[:-1]
    assert [entry["label"] for entry in tops[0]] == ["red", "green", "blue"]


def test_several_images_keep_their_order_and_names(client: TestClient) -> None:
    files = form(image_bytes("blue"), RED, image_bytes("lime", 500, "JPEG"))
    answer = client.post("/predict?top=1", files=files)
    assert labels(answer) == ["blue", "red", "green"]
    assert [entry["file"] for entry in answer.json()["predictions"]] == ["0.png", "1.png", "2.png"]
    assert [len(entry["top"]) for entry in answer.json()["predictions"]] == [1, 1, 1]


@pytest.mark.parametrize("size", [8, 300])  # decoded in the event loop, and in a thread
def test_answers_are_those_of_predict(
    client: TestClient, cli: CommandLine, model_file: Path, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(image_bytes((90, 80, 70), size))
    code, out, _err = cli("predict", model_file, path, "--json")
    (expected,) = json.loads(out)["predictions"]
    top = client.post("/predict", content=path.read_bytes(), headers=OCTETS).json()["predictions"][0]["top"]
    assert code == 0 and [entry["label"] for entry in top] == expected["classes"]
    assert [entry["probability"] for entry in top] == expected["probabilities"]


def test_the_only_unreadable_image_is_an_error_and_one_of_several_is_an_entry(
    client: TestClient, cli: CommandLine, model_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "x.png").write_text("no image")
    cli("predict", model_file, tmp_path / "x.png")
    only = client.post("/predict", files=form(b"no image"))
    assert error(only) == (422, "CN304")
    assert only.json()["error"] | {"hint": ""} == {
        "code": "CN304", "message": "the image cannot be read", "where": "0.png", "why": "it is a text file", "hint": ""
    }  # fmt: skip
    several = client.post("/predict", files=form(b"no image", RED)).json()["predictions"]
    assert several[0] == {"file": "0.png", "error": only.json()["error"]}
    assert several[1]["top"][0]["label"] == "red"
    assert all("error" in entry for entry in client.post("/predict", files=form(b"", b"")).json()["predictions"])


def test_uncertain_answers_are_rejected(clients: Clients, tmp_path: Path) -> None:
    file = sealed(colors_onnx(tmp_path / "x.onnx", checksum="sha256", min_confidence=0.9, temperature=1.5))
    client = clients(file)
    gray, red = client.post("/predict", files=form(image_bytes("gray"), RED)).json()["predictions"]
    assert gray["rejected"] is True and "rejected" not in red


def test_a_file_name_is_only_repeated(client: TestClient) -> None:
    name = "../../etc/\x1b[31m" + "x" * 1000
    answer = client.post("/predict", files=[("images", (name, RED))]).json()["predictions"][0]
    assert answer["file"].startswith("../../etc/") and len(answer["file"]) < 300 and "\x1b" not in answer["file"]


@pytest.mark.parametrize(
    ("path", "request_", "expected"),
    [
        ("/predict", {"content": RED}, (415, "CN508")),
        ("/predict", {"content": RED, "headers": {"Content-Type": "text/plain"}}, (415, "CN508")),
        ("/predict", {"content": RED, "headers": OCTETS | {"Content-Encoding": "gzip"}}, (415, "CN508")),
        ("/predict", {"json": []}, (400, "CN501")),
        ("/predict", {"json": {"images": []}}, (400, "CN501")),
        ("/predict", {"json": {"images": [1]}}, (400, "CN501")),
        ("/predict", {"json": {"images": ["!"]}}, (400, "CN501")),
        ("/predict", {"json": {"images": ["é"]}}, (400, "CN501")),
        ("/predict", {"json": in_base64(RED) | {"top": 1}}, (400, "CN501")),
        ("/predict", {"content": b"{", "headers": {"Content-Type": "application/json"}}, (400, "CN501")),
        ("/predict", {"files": [("image", ("x", RED))]}, (400, "CN501")),
        ("/predict", {"data": {"images": "x"}, "files": [("x", b"")]}, (400, "CN501")),
        ("/predict", {"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}}, (400, "CN501")),
        (
            "/predict",
            {"content": b"--x\r\n\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            (400, "CN501"),
        ),
        ("/predict?top=0", {"content": RED, "headers": OCTETS}, (422, "CN204")),
        ("/predict?top=²", {"content": RED, "headers": OCTETS}, (422, "CN204")),
        ("/predict?topp=1", {"content": RED, "headers": OCTETS}, (400, "CN501")),
        ("/predict?model=colours", {"content": RED, "headers": OCTETS}, (404, "CN504")),
        ("/models/x/predict", {"content": RED, "headers": OCTETS}, (404, "CN504")),
        ("/predict?activations=fc1", {"content": RED, "headers": OCTETS}, (422, "CN202")),
        ("/predict", {"content": b"", "headers": OCTETS}, (422, "CN304")),
        ("/nothing", {"content": b""}, (404, "CN504")),
        ("/health", {"content": b""}, (405, "CN505")),
        ("/models/colors/predict/", {"content": b""}, (404, "CN504")),
    ],
    ids=str,
)
def test_wrong_requests(client: TestClient, path: str, request_: dict[str, Any], expected: tuple[int, str]) -> None:
    answer = client.post(path, **request_)
    assert error(answer) == expected
    assert str(Path.home()) not in answer.text and "/tmp" not in answer.text


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/predict", "/models/colors/predict", "/v2/models/colors/infer"])
def test_other_methods(client: TestClient, path: str, method: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405 and answer.headers["Allow"] == "POST" and "CN505" in answer.text


def test_a_fault_is_logged_and_not_described(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("classicnets.serve.predict.best_classes", fail)
    answer = client.post("/predict", content=RED, headers=OCTETS)
    assert error(answer) == (500, "CN510")
    assert "secret" not in answer.text and "secret" in caplog.text


def test_probabilities_that_are_no_numbers_are_a_fault_of_the_model(clients: Clients, tmp_path: Path) -> None:
    client = clients(sealed(colors_onnx(tmp_path / "x.onnx", checksum="sha256", factors=(float("nan"), 1.0, 1.0))))
    answer = client.post("/predict", content=RED, headers=OCTETS)
    assert error(answer) == (500, "CN510")


def test_openapi_names_every_path(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert {"/predict", "/models/{name}/predict", "/health", "/metrics", "/v2/models/{name}/infer"} <= {
        *document["paths"]
    }
    examples = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert client.post("/predict", json=examples).status_code == 200


def keys(value: Any) -> Any:
    """The keys of a value and of the values in it; those of lists are the keys of their first entry."""
    if isinstance(value, dict):
        return {key: keys(inner) for key, inner in value.items() if key != "models"}
    return keys(value[0]) if isinstance(value, list) and value and isinstance(value[0], dict) else type(value).__name__


def test_the_examples_of_the_documentation_are_true(client: TestClient) -> None:
    checked = 0
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            example = operation["responses"]["200"]["content"].get("application/json", {}).get("example")
            if example is None:
                continue
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
            answer = client.request(method, path.format(name="colors", version="1"), json=body)
            assert answer.status_code == 200 and keys(answer.json()) == keys(example), path
            checked += 1
    assert checked == 13


def test_the_page_of_the_documentation_needs_no_other_host(client: TestClient) -> None:
    answer = client.get("/docs")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "://" not in answer.text and "<script" not in answer.text
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            heading = f"<summary><b>{method.upper()}</b> <code>{path}</code> {operation['summary']}</summary>"
            assert heading in answer.text
    assert "<td>top</td><td>query</td><td>number of classes for each image (default: 3)</td>" in answer.text
    assert client.head("/docs").status_code == 200 and client.post("/docs").status_code == 405


def test_metrics_count_requests_by_path_and_status(client: TestClient) -> None:
    client.post("/predict", files=form(RED, RED))
    client.post("/predict", content=b"", headers=OCTETS)
    client.get("/v2/models/colors")
    client.get("/x/y")
    lines = client.get("/metrics").text.splitlines()
    for line in (
        'classicnets_requests_total{path="/predict",status="200"} 1.0',
        'classicnets_requests_total{path="/predict",status="422"} 1.0',
        'classicnets_requests_total{path="/v2/models/{name}",status="200"} 1.0',
        'classicnets_requests_total{path="/{file}",status="404"} 1.0',
        "classicnets_images_total 2.0",
        'classicnets_batch_images_bucket{le="2.0"} 1.0',
        "classicnets_queue_images 0.0",
    ):
        assert line in lines
