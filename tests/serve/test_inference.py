"""The Open Inference Protocol: JSON and binary tensors, classification, errors in its form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support.onnx_files import expected

if TYPE_CHECKING:
    from starlette.testclient import TestClient

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
PROBABILITIES = expected(IMAGES.transpose(0, 3, 1, 2))


def tensor(images: np.ndarray = IMAGES, **changes: Any) -> dict[str, Any]:
    values = {"name": "pixels", "shape": [*images.shape], "datatype": "UINT8", "data": images.tolist()}
    return {key: value for key, value in (values | changes).items() if value is not None}


def body(**changes: Any) -> dict[str, Any]:
    return {"inputs": [tensor()]} | changes


def binary(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    header = json.dumps(request).encode()
    return {"content": header + data, "headers": {"Inference-Header-Content-Length": str(len(header))}}


@pytest.mark.parametrize("path", ["/v2/models/colors/infer", "/v2/models/colors/versions/1/infer"])
def test_json(client: TestClient, path: str) -> None:
    flat = {"inputs": [tensor(data=IMAGES.ravel().tolist())]}
    for request in (body(id="7"), flat):
        answer = client.post(path, json=request).json()
        (output,) = answer["outputs"]
        assert (
            answer["model_name"] == "colors"
            and answer["model_version"] == "1"
            and answer.get("id") == request.get("id")
        )
        assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [2, 3])
        np.testing.assert_allclose(np.reshape(output["data"], (2, 3)), PROBABILITIES, atol=1e-6)


def test_binary_tensors(client: TestClient) -> None:
    request = {
        "inputs": [tensor(data=None, parameters={"binary_data_size": IMAGES.nbytes})],
        "parameters": {"binary_data_output": True},
    }
    answer = client.post("/v2/models/colors/infer", **binary(request, IMAGES.tobytes()))
    length = int(answer.headers["Inference-Header-Content-Length"])
    output = json.loads(answer.content[:length])["outputs"][0]
    assert output["parameters"] == {"binary_data_size": 24} and "data" not in output
    np.testing.assert_allclose(np.frombuffer(answer.content[length:], "<f4").reshape(2, 3), PROBABILITIES, atol=1e-6)


def test_classification_names_classes_as_triton_does(client: TestClient) -> None:
    outputs = [{"name": "probabilities", "parameters": {"classification": 2}}]
    output = client.post("/v2/models/colors/infer", json=body(outputs=outputs)).json()["outputs"][0]
    best = [np.argsort(-row)[:2] for row in PROBABILITIES]
    names = ("red", "green", "blue")
    assert output["shape"] == [2, 2] and output["datatype"] == "BYTES"
    assert output["data"] == [f"{PROBABILITIES[n, i]:f}:{i}:{names[i]}" for n, row in enumerate(best) for i in row]
    outputs[0]["parameters"] = {"classification": 1, "binary_data": True}
    answer = client.post("/v2/models/colors/infer", json=body(outputs=outputs))
    data = answer.content[int(answer.headers["Inference-Header-Content-Length"]) :]
    length = int.from_bytes(data[:4], "little")
    assert data[4 : 4 + length].decode() == f"{PROBABILITIES[0].max():f}:{best[0][0]}:{names[best[0][0]]}"


def test_images_of_any_size_are_fitted_as_files_are(client: TestClient) -> None:
    wide = np.zeros((1, 3, 5000, 3), np.uint8)
    wide[..., 2] = 255
    answer = client.post("/v2/models/colors/infer", json={"inputs": [tensor(wide)]})
    assert np.argmax(answer.json()["outputs"][0]["data"]) == 2


def test_metadata_and_health(client: TestClient) -> None:
    assert client.get("/v2").json()["name"] == "classicnets"
    for path in (
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/colors/ready",
        "/v2/models/colors/versions/1/ready",
    ):
        assert client.get(path).status_code == 200
    model = client.get("/v2/models/colors").json()
    assert model == client.get("/v2/models/colors/versions/1").json()
    assert model["inputs"] == [{"name": "pixels", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
    assert model["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}]
    assert client.post("/v2/repository/index").json() == [
        {"name": "colors", "version": "1", "state": "READY", "reason": ""}
    ]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"json": []}, 400),
        ({"json": {}}, 400),
        ({"json": body(id=7)}, 400),
        ({"json": body(inputs=[tensor(), tensor()])}, 400),
        ({"json": body(inputs=[tensor(name="image")])}, 400),
        ({"json": body(inputs=[tensor(datatype="FP32")])}, 400),
        ({"json": body(inputs=[tensor(shape=[2, 8, 8, 1])])}, 400),
        ({"json": body(inputs=[tensor(shape=[2, 8, 8, True])])}, 400),
        ({"json": body(inputs=[tensor(shape=[0, 8, 8, 3], data=[])])}, 400),
        ({"json": body(inputs=[tensor(shape=[2, 8, 9, 3])])}, 400),
        ({"json": body(inputs=[tensor(data=[[1], [1, 2]])])}, 400),
        ({"json": body(inputs=[tensor(data=[256] * 384)])}, 400),
        ({"json": body(inputs=[tensor(data=[0.5] * 384)])}, 400),
        ({"json": body(inputs=[tensor(data=["x"] * 384)])}, 400),
        ({"json": body(inputs=[tensor(parameters=1)])}, 400),
        ({"json": body(outputs=[{"name": "logits"}])}, 400),
        ({"json": body(outputs=[{"name": "probabilities"}] * 2)}, 400),
        ({"json": body(outputs=[{"name": "probabilities", "parameters": {"classification": -1}}])}, 400),
        ({"json": body(inputs=[tensor(shape=[1, 1, 200_000, 3])])}, 413),
        (binary({"inputs": [tensor(data=None, parameters={"binary_data_size": 5})]}, b"12345"), 400),
        (binary(body(), b"12345"), 400),
        ({"content": b"{}", "headers": {"Inference-Header-Content-Length": "9"}}, 400),
        ({"content": b"{}", "headers": {"Inference-Header-Content-Length": "x"}}, 400),
        ({"content": b"{"}, 400),
    ],
)
def test_wrong_requests_are_errors_in_the_form_of_the_protocol(
    client: TestClient, request_: dict[str, Any], status: int
) -> None:
    answer = client.post("/v2/models/colors/infer", **request_)
    assert answer.status_code == status and isinstance(answer.json()["error"], str), answer.text


@pytest.mark.parametrize("path", ["/v2/models/x", "/v2/models/colors/versions/2", "/v2/models/x/infer", "/v2/x"])
def test_unknown_models(client: TestClient, path: str) -> None:
    answer = client.post(path, json=body()) if path.endswith("infer") else client.get(path)
    assert answer.status_code == 404 and answer.json()["error"].startswith("CN504")
