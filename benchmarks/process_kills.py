"""Kill processes of shared runs at random moments: does the run go on by itself, and end as an uninterrupted one?

    python benchmarks/process_kills.py --runs 20     (about five minutes on 2 quiet cores)

Each run is `classicnets train --processes 2` on noise images. One of its processes gets SIGKILL at a random moment,
between the first start of a process and the end of the run. Lost are runs that end with an error, or without a result
on standard output. Hangs are runs that do not end in five minutes. Recovery is the time by which the run takes longer
than the one that is not interrupted. Linux only.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from classicnets.runs import checkpoint

HANG_SECONDS = 300.0


def main() -> None:
    """Print one line for each kill and a summary."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="classicnets-kills-") as folder:
        root = Path(folder)
        write_images(root / "data")
        undisturbed = _run(root, "uninterrupted", options.epochs)
        assert undisturbed.is_complete, undisturbed.log
        print(f"uninterrupted: {undisturbed.seconds:.1f} s after the first start of a process", flush=True)
        lost = hangs = different = 0
        recoveries = []
        for number in range(1, options.runs + 1):
            name, moment = f"killed-{number}", moments.uniform(0, undisturbed.seconds)
            run = _run(root, name, options.epochs, kill_at=moment, choose=moments)
            end = "as one that is not interrupted"
            if run.hangs:
                hangs, end = hangs + 1, "never: it hangs"
            elif not run.is_complete:
                lost, end = lost + 1, "with an error"
            elif not _weights_are_equal(root, "uninterrupted", name):
                different, end = different + 1, "with other weights"
            if run.is_complete and run.was_killed:
                recoveries.append(run.seconds - undisturbed.seconds)
            kill = f"killed after {moment:.1f} s" if run.was_killed else "ended before it was killed"
            print(f"run {number}: {kill}, ends after {run.seconds:.1f} s {end}", flush=True)
            if end != "as one that is not interrupted":
                print(run.log)
        print(f"{len(recoveries)} runs with a kill: {lost} lost, {hangs} hangs, {different} with other weights")
        if recoveries:
            print(f"recovery: median {statistics.median(recoveries):.1f} s, at most {max(recoveries):.1f} s")


class Ended(NamedTuple):
    """The end of a run."""

    seconds: float
    is_complete: bool
    hangs: bool
    was_killed: bool
    log: str


def write_images(folder: Path, count: int = 4000) -> None:
    """Write IDX files with noise, `count` images to train on."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for part, n in (("train", count), ("t10k", 100)):
        images = generator.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", (np.arange(n) % 10).astype(np.uint8))):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (folder / f"{part}-{name}-ubyte").write_bytes(header + array.tobytes())


def _run(
    root: Path, name: str, epochs: int, *, kill_at: float = math.inf, choose: random.Random | None = None
) -> Ended:
    """Run a training of two processes, one of which is killed some seconds after the first of them has started."""
    words = ["train", "lenet_d2l", "--data", str(root / "data"), "--recipe", "fast", "--processes", "2", "--json"]
    words += ["--save-every", "0.2", "--runs", str(root / name)]
    words += ["--set", f"epochs={epochs}", "batch_size=16", "validation=0", "monitor=none"]
    log = root / f"{name}.log"
    with log.open("wb") as errors:
        process = subprocess.Popen([sys.executable, "-m", "classicnets", *words], stdout=subprocess.PIPE, stderr=errors)
    while not _children(process.pid) and process.poll() is None:
        time.sleep(0.01)
    started, was_killed, hangs = time.monotonic(), False, False
    while process.poll() is None and not hangs:
        time.sleep(0.01)
        seconds = time.monotonic() - started
        workers = _children(process.pid)
        if seconds > kill_at and workers and not was_killed and choose is not None:
            os.kill(choose.choice(workers), signal.SIGKILL)
            was_killed = True
        hangs = seconds > HANG_SECONDS
    seconds = time.monotonic() - started
    if hangs:
        for pid in (*_children(process.pid), process.pid):
            os.kill(pid, signal.SIGKILL)
    results = process.communicate()[0].count(b'"test_accuracy"')
    return Ended(seconds, process.returncode == 0 and results == 1, hangs, was_killed, log.read_text())


def _children(pid: int) -> list[int]:
    """The processes that a process has started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _weights_are_equal(root: Path, *names: str) -> bool:
    """Whether two runs end with the same weights, bit for bit."""
    first, second = (
        checkpoint.weights(checkpoint.load(next((root / name).glob("*/last.safetensors")))[0]) for name in names
    )
    return all(torch.equal(first[name], second[name]) for name in first)


if __name__ == "__main__":
    main()
