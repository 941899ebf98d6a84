"""Metrics for Prometheus; with several workers, their sums."""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

# prometheus_client adds up the files of all processes in this folder; it has to be set before it is imported.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """What the server counts."""

    def __init__(self) -> None:
        disable_created_metrics()  # the time of the first request of each path
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "classicnets_requests", "requests by path and status", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "classicnets_request_seconds", "seconds of a request", ["path"], buckets=_SECONDS, registry=registry
        )
        self._batches = Histogram(
            "classicnets_batch_images", "images that were classified in one call", buckets=_IMAGES, registry=registry
        )
        self._images = Counter("classicnets_images", "images that were classified", registry=registry)
        self.queue = Gauge(
            "classicnets_queue_images",
            "images that wait to be classified",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._of: dict[tuple[str, int], tuple[Any, Any]] = {}  # looking up labels takes longer than counting

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; `path` is a template, so that there are few."""
        key = (path, status)
        if key not in self._of:
            self._of[key] = self._requests.labels(path, str(status)), self._seconds.labels(path)
        counter, histogram = self._of[key]
        counter.inc()
        histogram.observe(seconds)

    def batch(self, images: int) -> None:
        """Count a call of a network."""
        self._batches.observe(images)
        self._images.inc(images)

    def text(self) -> tuple[bytes, str]:
        """Return the text for Prometheus and its type."""
        registry = self._registry
        if os.environ.get(FOLDER):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry), CONTENT_TYPE_LATEST
