"""Lose one of two hosts that share a run: does the other one go on, and end as if nothing had happened?

    python benchmarks/lost_host.py     (Linux, as root; three minutes on 2 quiet cores)

Two network namespaces are the hosts, as docs/scale.md has them, with `torchrun --nnodes 1:2` on each, one process on
each, and a folder of runs that both see. The run trains on noise images.

killed     every process of the host that is not the place of the rendezvous gets SIGKILL
first      the same, for the host of rank 0, which has the store of the processes; the other one is the rendezvous
unplugged  as killed, after its cable was taken out, so that its connections stay open for the other
meeting    every process of the host that is the place of the rendezvous gets SIGKILL; the other one ends with an error,
           and `classicnets train --resume` trains the run to its end
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from classicnets.runs import checkpoint
from hosts import missing, torchrun, two_hosts
from process_kills import write_images

WAYS = ("killed", "first", "unplugged", "meeting")
_TIMEOUT = 300.0


def train_words(root: Path, name: str, epochs: int, *shared: str) -> list[str]:
    """The words after `classicnets` of a run; `shared` are options of several processes."""
    words = ["train", "lenet_d2l", "--data", str(root / "data"), "--recipe", "fast", "--runs", str(root / name)]
    words += [*shared, "--save-every", "0.2", "--set", f"epochs={epochs}", "batch_size=8", "validation=0"]
    return [*words, "monitor=none", "precision=float64"]


def run_folder(root: Path, name: str) -> Path:
    """The only run of a command."""
    [file] = (root / name).glob("*/run.json")
    return file.parent


def lose(root: Path, way: str, epochs: int, timeout: int = 60) -> tuple[float, int, str]:
    """Lose a host of a run.

    Returns:
        Seconds from the loss to the end of the other host, its exit code, and what it has printed.
    """
    words = train_words(root, way, epochs, "--process-timeout", str(timeout))
    lost = 0 if way in ("first", "meeting") else 1  # the first has the lower address, so it has rank 0
    with two_hosts() as hosts:
        meeting = hosts[1 if way == "first" else 0]
        job, logs = uuid.uuid4().hex, [root / f"{way}-{host.name}.log" for host in hosts]
        agents = [host.start(torchrun(host, meeting, job, words), log) for host, log in zip(hosts, logs, strict=True)]
        try:
            wait_for_save(root / way, agents)
            if way == "unplugged":
                hosts[lost].unplug()
            agents[lost].kill()
            lost_at = time.monotonic()
            code = agents[1 - lost].wait(_TIMEOUT)
            return time.monotonic() - lost_at, code, logs[1 - lost].read_text()
        finally:
            for agent in agents:
                agent.kill()
                agent.wait()


def wait_for_save(runs: Path, agents: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until a run is saved."""
    while not any(runs.glob("*/last.safetensors")):
        if any(agent.poll() is not None for agent in agents):
            raise RuntimeError("a host ended before the run was saved")
        time.sleep(0.05)


def difference(root: Path, first: str, second: str) -> float:
    """The largest difference of the weights of two runs."""
    ours, theirs = (
        checkpoint.weights(checkpoint.load(run_folder(root, name) / "last.safetensors")[0]) for name in (first, second)
    )
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def main() -> None:
    """Print one line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="keep logs and runs there")
    options = parser.parse_args()
    if absent := missing():
        sys.exit(f"this needs {absent}")
    with tempfile.TemporaryDirectory(prefix="classicnets-hosts-") as name:
        root = options.folder or Path(name)
        write_images(root / "data")
        classicnets = [sys.executable, "-m", "classicnets"]
        single = train_words(root, "single", options.epochs)
        subprocess.run([*classicnets, *single], check=True, capture_output=True)
        for way in options.ways:
            seconds, code, printed = lose(root, way, options.epochs)
            resumed = ""
            if way == "meeting":
                subprocess.run([*classicnets, "train", "--resume", str(run_folder(root, way))], check=True)
                resumed = ", resumed by one process"
            print(printed)
            print(
                f"{way}: the other host ended {seconds:.1f} s later with {code}{resumed};"
                f" weights differ by {difference(root, 'single', way):.2g} from those of one process",
                flush=True,
            )


if __name__ == "__main__":
    main()
