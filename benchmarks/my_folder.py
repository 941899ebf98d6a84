"""Three folders of images: our default, a YOLO classifier and a network of timm, trained from scratch in equal time.

    python benchmarks/my_folder.py --peers-python PEERS/bin/python            (n = 3, about half an hour)
    python benchmarks/my_folder.py --peers-python PEERS/bin/python --minutes 0.5 --seeds 1 --only letters

The folders are made by `my_folder_data.py` (icons, photos, letters), whose packages PEERS has too:

    python -m venv PEERS
    PEERS/bin/pip install ultralytics timm scikit-image scikit-learn matplotlib

ours     classicnets train convnet_48 --data FOLDER, with no other option
yolo     the smallest YOLO classifier of Ultralytics that its version has, with its default training
timm     resnet18 with timm's transforms, loss, optimizer and schedule

All are trained on the same images without pretrained weights, hold out a tenth of them to choose the epoch, and are
evaluated on the same test images. Ultralytics leaves one core free, so it has one of two. Each gets the same wall time
on the same machine, one after the other: as long as our default takes, or --minutes. Their epochs follow from the
difference of a run of two and of six epochs, after a run that is not counted, as it finds the files unread. With
--clock cpu, the time is that of the processors instead, for a machine that does other work; such results are not
comparable and not for publication.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch

import my_folder_data
from classicnets import machine
from timing import conditions, skip

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "my_folder.json"
NET = "convnet_48"
SIZES = {"icons": 64, "photos": 64, "letters": 32}  # of the peers' input: that of the images, a multiple of 32
PEERS = {"yolo": "folder_yolo.py", "timm": "folder_timm.py"}
MODULES = {"yolo": "ultralytics", "timm": "timm"}

Facts = dict[str, Any]


def run_json(command: list[str]) -> Facts:
    """Run a command, show its messages if it fails, and return the JSON at the end of its output."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(command)}\n{result.stderr[-2000:]}")
    text = result.stdout[result.stdout.rindex("\n{") if "\n{" in result.stdout else result.stdout.index("{") :]
    facts: Facts = json.loads(text)
    return facts


def train_ours(folder: Path, seed: int, epochs: int | None) -> Facts:
    """Train with the default; `epochs` replaces its number of epochs."""
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "-m", "classicnets", "train", NET, "--data", str(folder), "--seed", str(seed)]
        command += ["--runs", runs, "--json", *(["--set", f"epochs={epochs}"] if epochs else [])]
        before = os.times()
        result = run_json(command)
        after = os.times()
        stored = json.loads((Path(result["run"]) / "run.json").read_text(encoding="utf-8"))
    return {
        "accuracy": result["test_accuracy"],
        "seconds": after.elapsed - before.elapsed,
        "cpu_seconds": after.children_user + after.children_system - before.children_user - before.children_system,
        "epochs": stored["recipe"]["epochs"],
        "model": NET,
        "statement": stored["statement"],
        "precision": stored["recipe"]["precision"],
    }


def train_peer(python: str, name: str, folder: Path, seed: int, epochs: int) -> Facts:
    """Train a peer for a number of epochs."""
    script, size = str(HERE / "peers" / PEERS[name]), str(SIZES[folder.name])
    return run_json([python, script, str(folder), "--epochs", str(epochs), "--size", size, "--seed", str(seed)])


def epochs_in(budget: float, train: Callable[[int], Facts], clock: str) -> int:
    """The number of epochs that take `budget` seconds, from the seconds of two and of six; 300 at most."""
    _, two, six = (float(train(n)[clock]) for n in (1, 2, 6))
    epoch = max((six - two) / 4, 1e-3)
    return min(300, max(1, round(2 + (budget - two) / epoch)))


def measure(folder: Path, args: argparse.Namespace, names: list[str]) -> list[Facts]:
    """Train everything on one folder; returns a row for each candidate."""
    clock = "seconds" if args.clock == "wall" else "cpu_seconds"
    runs: dict[str, list[Facts]] = {"ours": [], **{name: [] for name in names}}
    budget, epochs = 60 * (args.minutes or 0), {}
    if args.minutes:
        epochs["ours"] = epochs_in(budget, partial(train_ours, folder, 0), clock)
    for seed in range(args.seeds):
        runs["ours"].append(train_ours(folder, seed, epochs.get("ours")))
        print(f"{folder.name} ours seed {seed}: {runs['ours'][-1]}", flush=True)
    budget = budget or statistics.mean(run[clock] for run in runs["ours"])
    for name in names:
        epochs[name] = epochs_in(budget, partial(train_peer, args.peers_python, name, folder, 0), clock)
        for seed in range(args.seeds):
            runs[name].append(train_peer(args.peers_python, name, folder, seed, epochs[name]))
            print(f"{folder.name} {name} seed {seed}: {runs[name][-1]}", flush=True)
    return [
        {
            "data": folder.name,
            "candidate": name,
            **{key: rows[0][key] for key in ("model", "version", "epochs", "statement") if key in rows[0]},
            "accuracy": [row["accuracy"] for row in rows],
            "mean": statistics.mean(row["accuracy"] for row in rows),
            "seconds": [round(row["seconds"], 1) for row in rows],
            "cpu_seconds": [round(row["cpu_seconds"], 1) for row in rows],
            "budget_seconds": round(budget, 1),
        }
        for name, rows in runs.items()
    ]


def table(rows: list[Facts]) -> str:
    """The rows as a table of Markdown."""
    lines = [
        "| data | trained by | epochs | seconds | test accuracy: mean (range, n) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        low, high, n = min(row["accuracy"]), max(row["accuracy"]), len(row["accuracy"])
        lines.append(
            f"| {row['data']} | {row['candidate']}: {row['model']} | {row['epochs']} |"
            f" {statistics.mean(row['seconds']):.0f} | {row['mean']:.3f} ({low:.3f} to {high:.3f}, n = {n}) |"
        )
    return "\n".join(lines)


def missing(python: str | None, name: str) -> bool:
    """Whether a peer cannot be imported by that Python."""
    if python is None:
        return True
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({MODULES[name]!r}) is None)"
    return subprocess.run([python, "-c", code], check=False).returncode != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", metavar="PATH", help="a Python with ultralytics, timm and scikit-image")
    parser.add_argument("--minutes", type=float, help="time of each run (default: what our default takes)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each (default: 3)")
    parser.add_argument("--only", nargs="+", choices=my_folder_data.MAKERS, default=list(my_folder_data.MAKERS))
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--data", type=Path, default=HERE.parent / "build" / "my_folder", metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    before = conditions()
    maker = args.peers_python or sys.executable
    subprocess.run([maker, str(HERE / "my_folder_data.py"), str(args.data), "--only", *args.only], check=True)
    names, skipped = [], []
    for name in PEERS:
        if missing(args.peers_python, name):
            skipped.append(
                skip(MODULES[name], f"PEERS/bin/pip install {MODULES[name]}, --peers-python PEERS/bin/python")
            )
        else:
            names.append(name)
    rows = [row for data in args.only for row in measure(args.data / data, args, names)]
    facts = {
        "command": " ".join(["python benchmarks/my_folder.py", *sys.argv[1:]]).replace(maker, "PEERS/bin/python"),
        "date": date.today().isoformat(),
        "clock": args.clock,
        "load_before": before.load,
        "load_after": conditions().load,
        "processor": machine.processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "versions": machine.versions(),
        "data": {name: my_folder_data.counts(args.data / name) for name in args.only},
        "skipped": skipped,
        "rows": rows,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
