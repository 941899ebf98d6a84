"""Compare the forecasts of `train --dry-run` with real runs.

    python benchmarks/forecast.py                       (the list below)
    python benchmarks/forecast.py "lenet_d2l --limit 6000 --set epochs=2"

Each forecast and each run is a separate process, one after the other, `--repeats` times. Writes
benchmarks/results/forecast.json: predicted and real seconds of the epochs with their evaluation, peak memory (on the
CPU) and bytes of the files, and their ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import torch

from classicnets import machine

RESULTS = Path(__file__).parent / "results" / "forecast.json"
RUNS = (
    "lenet_d2l --set epochs=3",
    "lenet_d2l --limit 6000 --set epochs=2",
    "lenet_d2l --set epochs=3 net.activation=relu net.pool=max",
    "lenet_d2l --recipe fast --set epochs=2",
    "alexnet_28 --recipe fast --limit 1000 --set epochs=1",
)


def classicnets(*arguments: str) -> dict[str, Any]:
    """What `classicnets train ARGUMENTS --json` prints."""
    command = [sys.executable, "-m", "classicnets", "train", *arguments, "--json"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(process.stderr)
    output: dict[str, Any] = json.loads(process.stdout)
    return output


def compare(arguments: list[str], runs: str) -> dict[str, Any]:
    """One forecast, one run, and how they stand to each other."""
    load = os.getloadavg()[0]
    planned = classicnets(*arguments, "--runs", runs, "--dry-run")
    result = classicnets(*arguments, "--runs", runs)
    forecast, files = planned["forecast"], planned["forecast"]["disk_bytes"]
    real = {path.name: path.stat().st_size for path in Path(result["run"]).iterdir()}
    pairs = {
        "seconds": (forecast["epoch_seconds"] * planned["recipe"]["epochs"], result["seconds"]),
        "peak_memory_bytes": (forecast["memory_bytes"], result["peak_memory_bytes"]),
        "disk_bytes": (sum(files.values()), sum(real.values())),
        "checkpoint_bytes": tuple(
            sum(size for name, size in sizes.items() if name.endswith(".safetensors")) for sizes in (files, real)
        ),
    }
    if planned["device"] != "cpu":  # there the forecast is of the device's memory, and a run reports the process's
        del pairs["peak_memory_bytes"]
    return {
        "device": planned["device"],
        "steps_measured": forecast["steps"],
        "load_before": load,
        **{name: {"predicted": p, "real": r, "ratio": p / r} for name, (p, r) in pairs.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="ARGUMENTS", default=RUNS, help="arguments of `classicnets train`")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rows: dict[str, list[dict[str, Any]]] = {text: [] for text in args.runs}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.repeats):
            for text, comparisons in rows.items():
                comparisons.append(compare(shlex.split(text), folder))
                ratios = ", ".join(f"{k} {v['ratio']:.2f}" for k, v in comparisons[-1].items() if isinstance(v, dict))
                print(f"{text}: predicted / real {ratios}", flush=True)
    measured = [name for name, value in next(iter(rows.values()))[0].items() if isinstance(value, dict)]
    every = [row for comparisons in rows.values() for row in comparisons]
    summary = {
        name: {
            "ratio_median": statistics.median(row[name]["ratio"] for row in every),
            "ratio_range": [pick(row[name]["ratio"] for row in every) for pick in (min, max)],
        }
        for name in measured
    }
    result = {
        "what": "what `train --dry-run` forecasts, divided by what the run took",
        "n": len(every),
        **summary,
        "runs": rows,
        "threads": torch.get_num_threads(),
        "date": date.today().isoformat(),
        **machine.describe(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{summary}, written to {RESULTS}")


if __name__ == "__main__":
    main()
