"""Limits: size of bodies and images, number of files and requests, time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from classicnets.errors import RequestError
from classicnets.spec import ServeOptions
from serve.conftest import Clients, image_bytes

if TYPE_CHECKING:
    from starlette.testclient import TestClient

RED = image_bytes()
OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.mark.parametrize("path", ["/predict", "/v2/models/colors/infer"])
def test_a_body_has_a_largest_size(clients: Clients, path: str) -> None:
    client = clients(max_body=1000)
    at_limit = client.post(path, content=bytes(1000), headers=OCTETS)
    assert at_limit.status_code in {400, 422}  # it is read
    for content in (bytes(1001), iter([bytes(600), bytes(600)])):  # with its length, and without
        answer = client.post(path, content=content, headers=OCTETS)
        assert answer.status_code == 413 and "CN507" in answer.text and answer.headers["Connection"] == "close"


def test_a_request_has_a_largest_number_of_images(clients: Clients) -> None:
    client = clients(max_files=2)
    for count, status in ((2, 200), (3, 413), (4, 413)):
        assert client.post("/predict", files=[("images", ("x", RED))] * count).status_code == status
        assert client.post("/predict", json={"images": ["iVBORw0KGgo="] * count}).status_code == status


def test_an_image_has_a_largest_number_of_pixels(clients: Clients) -> None:
    client = clients(max_pixels=200 * 200)
    for size, status in ((200, 200), (201, 422)):
        answer = client.post("/predict", content=image_bytes(size=size), headers=OCTETS)
        assert answer.status_code == status
    small = clients(max_pixels=5)
    assert small.post("/predict", content=RED, headers=OCTETS).json()["error"]["code"] == "CN304"
    assert answer.json()["error"]["why"] == "it has 201 x 201 pixels, and at most 40,000 are read here"


def slow_classifier(seconds: float, calls: list[int]) -> Any:
    import time
    from types import SimpleNamespace

    def probabilities(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        time.sleep(seconds)
        return np.full((len(images), 2), 0.5, np.float32)

    return SimpleNamespace(facts={"macs": 10**9}, probabilities=probabilities, classes=("a", "b"), precision="float32")


def opened(classifier: Any) -> Any:
    from datetime import UTC, datetime

    from classicnets.serve.models import Opened

    return Opened(classifier=classifier, rejection=None, layers=None, site=None, digest="", time=datetime.now(UTC))


def test_requests_that_wait_are_classified_in_one_call() -> None:
    from classicnets.serve.batches import Batches
    from classicnets.serve.metrics import Metrics

    for macs, expected in ((10**9, [1, 9]), (9, [10])):  # in a thread that is busy first, and in the event loop
        calls = list[int]()
        classifier = slow_classifier(0.02, calls)
        classifier.facts["macs"] = macs
        model, batches = opened(classifier), Batches(Metrics())

        async def all_at_once() -> list[np.ndarray]:
            first = asyncio.create_task(batches.probabilities(model, np.zeros((1, 1, 2, 2), np.uint8)))  # noqa: B023
            if macs > 100:  # noqa: B023
                await asyncio.sleep(0.005)
            others = [batches.probabilities(model, np.zeros((1, 1, 2, 2), np.uint8)) for _ in range(9)]  # noqa: B023
            return await asyncio.gather(first, *others)

        results = asyncio.run(all_at_once())
        batches.close()
        assert calls == expected and [result.shape for result in results] == [(1, 2)] * 10


def test_images_of_an_old_and_a_new_file_are_not_mixed() -> None:
    from classicnets.serve.batches import Batches
    from classicnets.serve.metrics import Metrics

    old_calls, new_calls = list[int](), list[int]()
    old, new = opened(slow_classifier(0, old_calls)), opened(slow_classifier(0, new_calls))
    old.classifier.facts["macs"] = new.classifier.facts["macs"] = 9
    batches = Batches(Metrics())

    async def run() -> None:
        sizes = ((old, 4), (old, 4), (new, 8), (new, 8), (new, 8), (old, 4))
        await asyncio.gather(*(batches.probabilities(m, np.zeros((1, 1, n, n), np.uint8)) for m, n in sizes))

    asyncio.run(run())
    assert (old_calls, new_calls) == ([2, 1], [3])


def test_an_error_of_one_batch_reaches_its_requests_and_no_others() -> None:
    from classicnets.serve.batches import Batches
    from classicnets.serve.metrics import Metrics

    calls = list[int]()
    good, bad = opened(slow_classifier(0, calls)), opened(slow_classifier(0, calls))
    bad.classifier.probabilities = lambda _images: 1 / 0
    batches = Batches(Metrics())

    async def run() -> list[Any]:
        image = np.zeros((1, 1, 2, 2), np.uint8)
        waiting = [batches.probabilities(model, image) for model in (bad, bad, good)]
        return list(await asyncio.gather(*waiting, return_exceptions=True))

    results = asyncio.run(run())
    batches.close()
    assert [type(result).__name__ for result in results] == ["ZeroDivisionError", "ZeroDivisionError", "ndarray"]


def test_slow_requests_end_with_an_error(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    from classicnets.serve.batches import Batches

    client = clients(timeout=0.05)

    async def hang(*_: object) -> None:
        await asyncio.sleep(100)

    monkeypatch.setattr(Batches, "probabilities", hang)
    answer = client.post("/predict", content=RED, headers=OCTETS)
    assert answer.status_code == 408 and answer.json()["error"]["code"] == "CN506"
    monkeypatch.undo()
    assert client.post("/predict", content=RED, headers=OCTETS).status_code == 200


def test_requests_beyond_the_queue_are_refused(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    from classicnets.serve.limits import Limits

    places = list[Limits]()
    original = Limits.__init__

    def remember(self: Limits, options: ServeOptions) -> None:
        original(self, options)
        places.append(self)

    monkeypatch.setattr(Limits, "__init__", remember)
    client: TestClient = clients(max_waiting=2)
    with places[0].place(), places[0].place():
        answer = client.post("/predict", content=RED, headers=OCTETS)
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "1" and "CN509" in answer.text
        assert client.get("/health").status_code == client.get("/metrics").status_code == 200
    assert client.post("/predict", content=RED, headers=OCTETS).status_code == 200


def test_all_bodies_together_have_a_largest_size() -> None:
    from classicnets.serve.limits import Limits

    limits = Limits(ServeOptions(max_body=10))
    with (
        limits.memory(100),
        limits.memory(60),
        pytest.raises(RequestError, match="too many requests"),
        limits.memory(1),
    ):
        pass
    with limits.memory(160):
        pass
