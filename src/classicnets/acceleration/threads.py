"""Python threads that compute with one intra-op thread each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class ComputeThreads:
    """A context manager for `count` Python threads with one intra-op thread each; with 1, the calling thread is used.

    torch releases the interpreter lock within its operations, so the threads compute at the same time. Unlike intra-op
    threads, they do not wait for each other after every operation, which takes most of the time of small layers, and a
    busy core delays only one of them.

    While open, the calling thread has one intra-op thread as well, because others would spin for some time after each
    of its operations and occupy the cores. Grad mode, inference mode and autocast are those of a new thread.
    """

    def __init__(self, count: int):
        self.count = count
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self.count > 1:
            self._caller_threads = torch.get_num_threads()
            self._pool = ThreadPoolExecutor(self.count, "compute")
            started = threading.Barrier(self.count)  # so that each thread starts, and runs one of these tasks
            for future in [self._pool.submit(_use_one_thread, started) for _ in range(self.count)]:
                future.result()
            torch.set_num_threads(1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
            torch.set_num_threads(self._caller_threads)

    def map(self, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Apply `work` to each item in the threads, and return the results in the order of the items."""
        return [work(item) for item in items] if self._pool is None else [*self._pool.map(work, items)]


def _use_one_thread(started: threading.Barrier) -> None:
    # Each thread has its own number of intra-op threads. A new thread takes over the number that was last set in any
    # thread when it first reads it, so it must read the number before setting it.
    torch.get_num_threads()
    torch.set_num_threads(1)
    started.wait()
