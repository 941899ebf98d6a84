"""Damaged images and damaged bodies of requests: refused in our words, or answered as `predict` does, within bounds.

All run in a process of their own, so that its memory can be measured. `make fuzz` tries many more mutants, and
CLASSICNETS_FUZZ=10000 more than ten thousand of images and of bodies.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import random
import re
import resource
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from images.test_image_mutations import KINDS, limited_memory, with_checksums
from serve.conftest import image_bytes
from support.asgi import Answer, Application
from support.mutations import mutant_count, mutants
from support.onnx_files import colors_onnx, sealed

MAX_BYTES = 600_000_000  # more than a process has after its first answers
IMAGES_PER_KIND = 25  # one of so many mutants that other tests try for each kind of file
BODIES_PER_KIND = 4
FIELDS = {"code", "message", "where", "why", "hint"}
REFUSED = {400, 404, 408, 413, 415, 422}

Request = tuple[bytes, list[tuple[bytes, bytes]], bytes]  # target, headers, body


def typed(kind: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", kind)]


def form(*contents: bytes, boundary: bytes = b"-b") -> bytes:
    head = (
        b'--%s\r\nContent-Disposition: form-data; name="images"; filename="%d.png"\r\nContent-Type: image/png\r\n\r\n'
    )
    parts = [head % (boundary, i) + content + b"\r\n" for i, content in enumerate(contents)]
    return b"".join(parts) + b"--" + boundary + b"--\r\n"


def in_json(*contents: bytes) -> bytes:
    return json.dumps({"images": [base64.b64encode(content).decode() for content in contents]}).encode()


FORM = b"multipart/form-data; boundary=-b"
WAYS: tuple[Callable[[bytes], Request], ...] = (  # of sending one image
    lambda image: (b"/predict?top=9", typed(b"application/octet-stream"), image),
    lambda image: (b"/predict?top=9", typed(FORM), form(image)),
    lambda image: (b"/models/colors/predict?top=9", typed(b"image/x"), image),
    lambda image: (b"/predict?top=9", typed(b"application/json"), in_json(image)),
)


def tensor(size: int, **parameters: int) -> dict[str, Any]:
    return {"name": "pixels", "shape": [1, size, size, 3], "datatype": "UINT8", "parameters": parameters}


def v2_json() -> Request:
    body = json.dumps({"id": "x", "inputs": [tensor(4) | {"data": [*range(48)]}]}).encode()
    return b"/v2/models/colors/infer", typed(b"application/json"), body


def v2_binary() -> Request:
    outputs = [{"name": "probabilities", "parameters": {"binary_data": True, "classification": 2}}]
    header = json.dumps({"inputs": [tensor(4, binary_data_size=48)], "outputs": outputs}).encode()
    headers = [(b"inference-header-content-length", b"%d" % len(header)), *typed(b"application/octet-stream")]
    return b"/v2/models/colors/infer", headers, header + bytes(48)


IMAGES = [image_bytes(), image_bytes("blue", 20, "JPEG")]
BODIES: dict[str, Callable[[], Request]] = {
    "form": lambda: (b"/predict", typed(FORM), form(*IMAGES)),
    "JSON": lambda: (b"/predict", typed(b"application/json"), in_json(*IMAGES)),
    "v2 as JSON": v2_json,
    "v2 as binary data": v2_binary,
}


def check_answer(answer: Answer) -> Any:
    """Check that an answer is a result or an error of the request; return its values if it is a result in JSON."""
    assert answer.status in REFUSED | {200}, answer
    if answer.status == 200:
        return answer.values if answer.headers["content-type"] == "application/json" else None
    values = answer.values
    described = values["error"] if isinstance(values["error"], dict) else values
    assert {*described} >= FIELDS and re.fullmatch(r"CN\d{3}", described["code"]), values
    assert described["message"] and "/tmp" not in answer.body.decode() and "Traceback" not in answer.body.decode()
    return None


def check_image(application: Application, model: Any, image: bytes, path: Path, way: int) -> bool:
    """Check that the answer for an image is that of `predict`; return whether it was decoded."""
    path.write_bytes(image)
    (expected,) = model.predict(path, top=9)
    target, headers, body = WAYS[way](image)
    answer = application.send("POST", target, headers, body)
    values = check_answer(answer)
    if expected.error:
        assert answer.status == 422 and answer.values["error"]["code"] == "CN304", (answer, expected)
        why = answer.values["error"]["why"]
        assert why == expected.error or "are read here" in why, (answer, expected)  # a server takes fewer pixels
        return False
    (entry,) = values["predictions"]
    assert tuple(top["label"] for top in entry["top"]) == expected.classes
    assert tuple(top["probability"] for top in entry["top"]) == expected.probabilities
    return True


def check_images(application: Application, model: Any, images: list[bytes], paths: list[Path]) -> None:
    """Check that several images in one form have the answers of `predict`."""
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(image)
    expected = model.predict(paths, top=9)
    answer = application.send("POST", b"/predict?top=9", typed(FORM), form(*images))
    for entry, prediction in zip(check_answer(answer)["predictions"], expected, strict=True):
        why = entry.get("error", {}).get("why", "")
        assert why == prediction.error or (prediction.error and "are read here" in why)
        assert tuple(top["label"] for top in entry.get("top", ())) == prediction.classes
        assert tuple(top["probability"] for top in entry.get("top", ())) == prediction.probabilities


def damaged(request: Request, body: bytes, generator: random.Random) -> tuple[Request, tuple[bytes, ...]]:
    """A request with a damaged body, which comes in several parts, and in one of four cases with a damaged header."""
    target, headers, _body = request
    if generator.random() < 0.25:
        number = generator.randrange(len(headers))
        name, value = headers[number]
        headers = [
            *headers[:number],
            (name, next(mutants(value, 1, generator.randrange(10**6)))),
            *headers[number + 1 :],
        ]
    cut = generator.randrange(len(body) + 1)
    return (target, headers, body), (body[:cut], body[cut:]) if generator.random() < 0.5 else (body,)


def attack(count: int, folder: Path) -> dict[str, Any]:
    """Check mutants of images and of bodies; return counts and bytes."""
    import classicnets as cn
    from classicnets.evaluation.onnx import OnnxClassifier
    from classicnets.serve.app import Settings, create
    from classicnets.serve.models import Source
    from classicnets.spec import ServeOptions

    file = sealed(colors_onnx(folder / "colors.onnx", checksum="sha256"))
    model = cn.load(file)
    source = Source(name="colors", origin=file, file=file, open=OnnxClassifier)
    application = Application(create(Settings(sources=(source,), options=ServeOptions(max_body=1_000_000))))
    result = Counter[str]()
    for way in range(len(WAYS)):
        assert check_image(application, model, image_bytes(), folder / "whole", way)
    for body in BODIES.values():
        target, headers, content = body()
        assert application.send("POST", target, headers, content).status == 200
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed, (kind, whole) in enumerate(KINDS.items()):
        images = [*mutants(whole(), max(4, count // IMAGES_PER_KIND), seed)]
        if kind.startswith("PNG"):
            images[::2] = map(with_checksums, images[::2])
        for number, image in enumerate(images):
            decoded = check_image(application, model, image, folder / "x", number % len(WAYS))
            result["images answered" if decoded else "images refused"] += 1
        check_images(application, model, images[:3], [folder / f"{i}" for i in range(3)])
    generator = random.Random(0)
    for seed, body in enumerate(BODIES.values()):
        request = body()
        for content in mutants(request[2], max(4, count // BODIES_PER_KIND), seed):
            (target, headers, _content), parts = damaged(request, content, generator)
            answer = application.send("POST", target, headers, *parts, gone=generator.random() < 0.05)
            if answer.status == 499:
                result["bodies whose client has gone"] += 1
                continue
            check_answer(answer)
            result["bodies answered" if answer.status == 200 else "bodies refused"] += 1
    assert application.send("GET", b"/health").status == 200
    assert b"\nclassicnets_queue_images 0.0\n" in application.send("GET", b"/metrics").body
    application.close()
    return result | {"bytes": 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)}


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
def test_damaged_uploads_are_refused_or_answered_as_predict_does(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__, str(mutant_count()), str(tmp_path)]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert not child.returncode, child.stderr[-3000:]
    assert not re.search(r"Warning: |Traceback|CN510|LOGGED", child.stderr), child.stderr[-3000:]
    result = json.loads(child.stdout)
    print(result)
    assert result["bytes"] < MAX_BYTES, result
    assert all(result[f"{what} {end}"] > 5 for what in ("images", "bodies") for end in ("answered", "refused")), result


if __name__ == "__main__":
    warnings.simplefilter("error")
    logging.basicConfig(level=logging.WARNING, format="LOGGED %(name)s: %(message)s")
    with limited_memory():
        print(json.dumps(attack(int(sys.argv[1]), Path(sys.argv[2]))))
