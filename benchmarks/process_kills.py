"""Kill the processes of shared runs at random moments: does the run go on by itself, and end as an uninterrupted one?

    python benchmarks/process_kills.py --kills 20     (about five minutes on 2 quiet cores)

One run of `classicnets train --processes 2` on noise images: one of its processes gets SIGKILL at a random moment after
it has saved, again and again. Lost are runs that end with an error, and hangs are waits of more than two minutes.
Recovery is the time from a kill to the next checkpoint. Linux only.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from classicnets.runs import checkpoint

HANG_SECONDS = 120.0


def main() -> None:
    """Print one line for each kill and a summary."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="classicnets-kills-") as folder:
        root = Path(folder)
        _write_images(root / "data")
        uninterrupted = _start(root, "uninterrupted", options)
        assert uninterrupted.wait() == 0
        process, recoveries, hangs = _start(root, "killed", options), list[float](), 0
        saved = _next_save(process, root / "killed", 0.0)
        for number in range(1, options.kills + 1):
            time.sleep(moments.uniform(0, 1))
            workers = _children(process.pid)
            if saved is None or not workers:
                break
            os.kill(moments.choice(workers), signal.SIGKILL)
            killed_at = time.time()
            saved = _next_save(process, root / "killed", killed_at)
            if saved is None:
                hangs += process.poll() is None
                break
            recoveries.append(saved - killed_at)
            print(f"kill {number}: saved again after {recoveries[-1]:.1f} s", flush=True)
        if hangs:
            process.kill()
        code = process.wait()
        lost = code != 0
        print(f"{len(recoveries)} kills, {int(lost)} runs lost, {hangs} hangs, exit code {code}")
        if recoveries:
            print(f"recovery: median {statistics.median(recoveries):.1f} s, at most {max(recoveries):.1f} s")
        if not lost:
            print("equal weights:", _weights_are_equal(root))


def _write_images(folder: Path) -> None:
    """Write IDX files with noise."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for part, count in (("train", 4000), ("t10k", 100)):
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", (np.arange(count) % 10).astype(np.uint8))):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (folder / f"{part}-{name}-ubyte").write_bytes(header + array.tobytes())


def _start(root: Path, name: str, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Start a run of two processes."""
    words = ["train", "lenet_d2l", "--data", str(root / "data"), "--recipe", "fast", "--processes", "2"]
    words += ["--max-restarts", str(options.kills + 1), "--save-every", "0.2", "--runs", str(root / name)]
    words += ["--set", f"epochs={options.epochs}", "batch_size=16", "validation=0", "monitor=none"]
    with (root / f"{name}.log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "classicnets", *words], stdout=log, stderr=log)


def _next_save(process: subprocess.Popen[bytes], runs: Path, after: float) -> float | None:
    """Wait for a checkpoint after a moment and return its time; None if the run ends or hangs."""
    ends_at = time.monotonic() + HANG_SECONDS
    while time.monotonic() < ends_at and process.poll() is None:
        for file in runs.glob("*/last.safetensors"):
            # a step that was in progress at the kill may still have been saved by the process that lives
            if file.stat().st_mtime > after + 0.5:
                return file.stat().st_mtime
        time.sleep(0.05)
    return None


def _children(pid: int) -> list[int]:
    """The processes that a process has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def _weights_are_equal(root: Path) -> bool:
    """Whether both runs end with the same weights, bit for bit."""
    first, second = (
        checkpoint.weights(checkpoint.load(next((root / name).glob("*/last.safetensors")))[0])
        for name in ("uninterrupted", "killed")
    )
    return all(torch.equal(first[name], second[name]) for name in first)


if __name__ == "__main__":
    main()
