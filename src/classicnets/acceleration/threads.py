"""Python threads that each compute with one intra-op thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class ComputeThreads:
    """`count` Python threads with one intra-op thread each, while it is open; with a count of 1, the caller's thread.

    torch releases the interpreter lock within its operations, so the threads compute at the same time. In contrast to
    intra-op threads they do not wait for each other after every operation, which is what small layers spend most of
    their time on, and a lost core delays one of them only.

    The calling thread also has one intra-op thread meanwhile: others would keep spinning for some time after each of
    its operations and take the cores away. Grad mode, inference mode and autocast are those of a new thread.
    """

    def __init__(self, count: int):
        self.count = count
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self.count > 1:
            self._caller_threads = torch.get_num_threads()
            self._pool = ThreadPoolExecutor(self.count, "compute")
            started = threading.Barrier(self.count)  # so that every thread is there, and has taken one of these tasks
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
        """The results in the order of the items."""
        return [work(item) for item in items] if self._pool is None else [*self._pool.map(work, items)]


def _use_one_thread(started: threading.Barrier) -> None:
    # The number belongs to the calling thread. A new thread takes the number that was last set in any thread when it
    # is first asked, so it is asked before the number is set.
    torch.get_num_threads()
    torch.set_num_threads(1)
    started.wait()
