"""One ordered map over threads, for everything that reads or prepares many things at once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int | None = None, ahead: int | None = None
) -> Iterator[Result]:
    """`work(item)` of each item, in order, computed by `threads` threads (None: one for each core).

    Lazy: at most `ahead` results (None: 8 for each thread) wait for the caller, and `items` is read no further. An
    exception of `work` is raised in its turn; closing the iterator, or leaving it to the garbage collector, cancels
    what has not begun.
    """
    threads = threads or os.cpu_count() or 1
    ahead = ahead or 8 * threads
    pool = ThreadPoolExecutor(threads, "classicnets")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
