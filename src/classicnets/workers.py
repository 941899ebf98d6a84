"""An ordered, lazy map over a thread pool, used wherever many files or batches are read in parallel."""

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
    """Yield `work(item)` for each item, in order, computed in a thread pool.

    An exception in `work` is raised at the position of its item. Closing the iterator, or letting it be garbage
    collected, cancels the calls that have not started.

    Args:
        work: The function to call; it must be thread-safe.
        items: Read lazily, at most `ahead` items before the result that the caller waits for.
        threads: Number of threads (default: one for each CPU core).
        ahead: Maximum number of unfinished or unread results (default: 8 for each thread).
    """
    threads = threads or os.cpu_count() or 1
    ahead = ahead or 8 * threads
    pool = ThreadPoolExecutor(threads, "classicnets")
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
