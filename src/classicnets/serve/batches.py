"""Classifies images that arrive together in one call, without waiting for more."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from classicnets.evaluation.classify import finite
from classicnets.serve.metrics import Metrics
from classicnets.serve.models import Opened

# Networks with fewer MACs for an image run in the event loop: a thread would take longer to be woken.
_IN_LOOP_MACS = 2_000_000
_IN_LOOP_IMAGES = 64
_MAX_IMAGES, _MAX_BYTES = 256, 32 * 2**20  # of a batch

_Waiting = tuple[Opened, np.ndarray, "asyncio.Future[np.ndarray]"]


class Batches:
    """The images of a model that wait to be classified, and those that are.

    A small network is called in the event loop after all requests that have arrived; a larger one by one thread, which
    takes everything that waits whenever it is free.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: deque[_Waiting] = deque()
        self._is_running = False
        self._thread: ThreadPoolExecutor | None = None

    async def probabilities(self, opened: Opened, images: np.ndarray) -> np.ndarray:
        """Classify uint8 [n, C, side, side] with an opened model; return float32 [n, classes].

        Raises:
            CheckFailed: CN106, the outputs are not finite.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[np.ndarray] = loop.create_future()
        self._waiting.append((opened, images, future))
        self._metrics.queue.inc(len(images))
        if not self._is_running:
            self._is_running = True
            loop.call_soon(self._start)
        return await future

    def close(self) -> None:
        """Stop the thread, after what it does."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        """Classify what waits: here, or in the thread."""
        self._drop_cancelled()
        if not self._waiting:
            self._is_running = False
            return
        loop, (opened, images, _future) = asyncio.get_running_loop(), self._waiting[0]
        macs = opened.classifier.facts.get("macs")
        if macs is not None and macs < _IN_LOOP_MACS and len(images) <= _IN_LOOP_IMAGES:
            self._deliver(batch := self._take(_IN_LOOP_IMAGES), _classify(batch))
            if self._waiting:
                loop.call_soon(self._start)
            else:
                self._is_running = False
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "classicnets-classifier")
        batch = self._take(_MAX_IMAGES)
        running = loop.run_in_executor(self._thread, _classify, batch)
        running.add_done_callback(lambda done: self._finish(batch, done))

    def _finish(self, batch: list[_Waiting], done: asyncio.Future[list[np.ndarray | Exception]]) -> None:
        if not done.cancelled():
            self._deliver(batch, done.result())
        self._start()

    def _drop_cancelled(self) -> None:
        """Forget the images of requests that have taken too long."""
        while self._waiting and self._waiting[0][2].done():
            self._metrics.queue.dec(len(self._waiting.popleft()[1]))

    def _take(self, most: int) -> list[_Waiting]:
        """Take from the queue what one opened model classifies in one call; at least one entry."""
        batch = [self._waiting.popleft()]
        opened, count, size = batch[0][0], len(batch[0][1]), batch[0][1].nbytes
        while self._waiting and self._waiting[0][0] is opened:
            images = self._waiting[0][1]
            count, size = count + len(images), size + images.nbytes
            if count > most or size > _MAX_BYTES:
                break
            batch.append(self._waiting.popleft())
        total = sum(len(images) for _opened, images, _future in batch)
        self._metrics.queue.dec(total)
        self._metrics.batch(total)
        return batch

    @staticmethod
    def _deliver(batch: list[_Waiting], results: list[np.ndarray | Exception]) -> None:
        for (_opened, _images, future), result in zip(batch, results, strict=True):
            if future.done():  # its request has taken too long
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


def _classify(batch: list[_Waiting]) -> list[np.ndarray | Exception]:
    """The probabilities of each entry, or its error. Entries do not fail because of others."""
    classifier = batch[0][0].classifier
    arrays = [images for _opened, images, _future in batch]
    try:
        probabilities = classifier.probabilities(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))
    except Exception as error:
        return [error for _entry in batch]
    if len(arrays) == 1 and np.isfinite(probabilities).all():
        return [probabilities]
    results: list[np.ndarray | Exception] = []
    ends = np.cumsum([len(images) for images in arrays])
    for rows in np.split(probabilities, ends[:-1]):
        try:
            results.append(finite(rows, classifier))
        except Exception as error:
            results.append(error)
    return results
