"""Measures how fast processes of this machine exchange tensors: a sum of 16 MiB and one of 4 bytes, by gloo.

    python -m classicnets.parallel.loopback 4       prints bytes per second and seconds of a small message

The ranks are threads of one process, which start in no time; their messages take the same way through the loopback
interface. It is a process of its own, because gloo can abort a process that ends while its threads still run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import torch
from torch.distributed import HashStore, ProcessGroupGloo  # type: ignore[attr-defined]

from classicnets.parallel.hardware import LOOPBACK_LATENCY, LOOPBACK_RATE, Link
from classicnets.text import _
from classicnets.workers import ordered_map

_SIZE = 16 * 2**20
_CALLS = 5
_TIMEOUT = 60.0  # seconds


def measure(processes: int) -> Link:
    """Return the link between this number of processes of this machine; the assumed one if it cannot be measured."""
    line = [sys.executable, "-P", "-m", __name__, str(processes)]
    try:
        child = subprocess.run(line, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
        rate, latency = map(float, child.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return Link(title=_("this machine (assumed)"), rate=LOOPBACK_RATE, latency=LOOPBACK_LATENCY)
    return Link(title=_("this machine"), rate=rate, latency=latency)


def _rank(store: HashStore, rank: int, size: int) -> tuple[float, float]:
    """Return the best seconds of a large and of a small sum, as one of the ranks."""
    group: Any = ProcessGroupGloo(store, rank, size, timedelta(seconds=_TIMEOUT))
    best = []
    for count in (_SIZE // 4, 1):
        tensor, seconds = torch.zeros(count), []
        for _call in range(_CALLS):
            started = time.perf_counter()
            group.allreduce([tensor]).wait()
            seconds.append(time.perf_counter() - started)
        best.append(min(seconds[1:]))
    return best[0], best[1]


def main() -> None:
    """Measure with the number of ranks that the command line gives, and end without gloo's destructors."""
    size = int(sys.argv[1])
    torch.set_num_threads(1)
    store = HashStore()
    ranks = ordered_map(lambda rank: _rank(store, rank, size), range(size), threads=size, ahead=size)
    large, small = zip(*ranks, strict=True)
    rounds = 2 * (size - 1)
    latency = max(small) / rounds
    rate = rounds / size * _SIZE / max(max(large) - max(small), 1e-9)
    print(rate, latency, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
