"""A program of `test_cluster.py`: trains runs on a Ray cluster of two nodes of this machine, and removes one of them.

Arguments: a folder, and the data of the runs. The folder has `halt` (a file), `halting` (two runs that wait in their
second epoch while `halt` exists, and have slow steps when `slow` exists) and `caches`. The run that has lost its node
is stopped in its first step on the other one. Prints lines of what happens, and last a line of JSON. The files of the
cluster are in RAY_TMPDIR.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster

from classicnets.events import Epoch, Step
from classicnets.runs.folder import RunFolder
from classicnets.studies import cluster, parcels
from classicnets.studies.parcels import Parcel
from classicnets.studies.processes import RunEnd

began = time.monotonic()
events: list[str] = []
SAVE_SECONDS = 300.0  # so that only epochs are saved


def log(message: str) -> None:
    print(f"{time.monotonic() - began:5.1f} s  {message}", flush=True)


def not_here(place: str, describe: Any = parcels.describe) -> Parcel:
    """The data as a driver on another machine describes it: here, nothing is at its path."""
    parcel: Parcel = describe(place)
    return Parcel("/nowhere/" + Path(place).name, parcel.digest, parcel.inner)


def packed(parcel: Parcel, pack: Any = parcels.pack) -> bytes:
    content: bytes = pack(Parcel(sys.argv[2], parcel.digest, parcel.inner))
    log(f"the data is packed: {len(content)} bytes")
    events.append("packed")
    return content


def processes_of(names: list[str]) -> list[str]:
    """The command lines of the processes of runs, and of the cluster."""
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [
        line
        for line in lines
        if os.environ["RAY_TMPDIR"] in line or ("--resume" in line and any(name in line for name in names))
    ]


def wait_for_end(name: str) -> bool:
    """Whether the process of a run ends, which waits for a file to disappear."""
    for _attempt in range(100):
        if not any(name in line for line in processes_of([name])):
            return True
        time.sleep(0.1)
    return False


def train(nodes: Cluster, second: Any, folder: Path, result: dict[str, Any]) -> None:
    """Train the runs; when both have finished an epoch, remove the second node. Stop the run that was on it."""
    runs = {path.name: RunFolder(path) for path in sorted((folder / "halting").iterdir())}
    epochs: dict[str, list[int]] = {key: [] for key in runs}

    def say(message: str) -> None:
        log(message)
        if "is lost" in message:
            (lost,) = (key for key in runs if key in message)
            events.append("lost")
            result["stopped"] = lost
            result["ended"] = wait_for_end(lost)
            log("its process on the lost node has ended" if result["ended"] else "its process goes on")
            (folder / "halt").unlink()

    running = cluster.follow(runs, nodes.address, 1, SAVE_SECONDS, say)
    for key, event in running:
        if isinstance(event, RunEnd):
            log(f"{key} has ended {event.error}")
            result["ends"].append([key, event.error])
            (folder / "slow").touch()  # the other run can only start now, since the node has one CPU
        elif isinstance(event, Step) and result["ends"]:
            break
        elif isinstance(event, Epoch):
            log(f"{key}: epoch {event.epoch}")
            epochs[key].append(event.epoch)
            if "removed" not in events and all(epochs.values()):
                events.append("removed")
                result["checkpoints"] = [(run.path / "last.safetensors").exists() for run in runs.values()]
                result["cached"] = sorted(p.parts[-4] for p in (folder / "caches").glob("*/ray/*/animals"))
                nodes.remove_node(second, allow_graceful=False)
                log("the second node is removed")
    log("closing")
    running.close()
    log("closed")
    result |= {"packed": events.count("packed"), "lost": events.count("lost")}


def main() -> None:
    folder = Path(sys.argv[1])
    parcels.describe, parcels.pack = not_here, packed
    result: dict[str, Any] = {"ends": []}
    nodes = Cluster()
    try:
        for name in ("first", "second"):
            common = {"include_dashboard": False} if name == "first" else {}
            os.environ["CLASSICNETS_CACHE"] = str(folder / "caches" / name)
            second = nodes.add_node(num_cpus=1, object_store_memory=80 * 2**20, **common)
        log("two nodes are up")
        with cluster.connected(nodes.address, log):
            log("connected")
            train(nodes, second, folder, result)
    finally:
        ray.shutdown()
        nodes.shutdown()
        own = [path.name for path in (folder / "halting").iterdir()]
        time.sleep(0.5)
        result["left"] = processes_of(own)
    log("shut down")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
