"""Train a recipe with many seeds and compare with its published accuracy.

    python benchmarks/seeds.py lenet_d2l --seeds 10
    python benchmarks/seeds.py lenet_d2l --seeds 20               (adds the ten that are missing)
    python benchmarks/seeds.py lenet_d2l --set net.activation=relu lr=0.1 --label relu

Writes benchmarks/results/seeds-NET-RECIPE[-LABEL].json: test and training accuracy and seconds of every run. Seeds in
the file are kept if they were run with the same recipe, versions, processor, device and threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

from classicnets import machine
from classicnets.api.training import follow_study
from classicnets.cli.arguments import settings
from classicnets.report import tables
from classicnets.report.terminal import StudyTerminal
from classicnets.spec import Output, run_spec
from classicnets.studies.start import start_seeds
from classicnets.studies.statistics import statistics_of
from classicnets.training.plan import Plan, plan

RESULTS = Path(__file__).parent / "results"
SAME_KEYS = ("recipe_values", "data", "versions", "processor", "device", "threads")  # else runs are not of one kind
RUN_KEYS = ("seed", "test_accuracy", "train_accuracy", "train_loss", "seconds")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net")
    parser.add_argument("--recipe")
    parser.add_argument("--data")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    parser.add_argument("--label", default="", help="name of the file of results; required with --set")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--parallel-runs", type=int, metavar="N", help="number of runs in parallel")
    parser.add_argument("--runs", default="", help="folder for run folders (default: a temporary one)")
    parser.add_argument("--again", action="store_true", help="repeat the seeds that are in the file")
    args = parser.parse_args(arguments)
    if args.set and not args.label:
        parser.error("--set changes the experiment, so --label is required")
    planned = plan(
        *run_spec(args.net, data=args.data, recipe=args.recipe, settings=settings(args.set), device=args.device)
    )
    name = "-".join(filter(None, ["seeds", Path(args.net).name, planned.recipe.source, args.label]))
    path = RESULTS / f"{name}.json"
    before = json.loads(path.read_text()) if path.exists() and not args.again else None
    rows = {row["seed"]: row for row in before["runs"]} if before else {}
    missing_seeds = [seed for seed in range(args.seeds) if seed not in rows]
    parallel_runs, threads = args.parallel_runs, None
    if before and missing_seeds:
        parallel_runs = parallel_runs or max(1, torch.get_num_threads() // before["threads"])
        threads = max(1, torch.get_num_threads() // parallel_runs)
        now = kind(planned, threads)
        differs = [key for key in SAME_KEYS if before.get(key) != now[key]]
        if differs:
            parser.error(f"{path} has other {', '.join(differs)}; --again repeats all seeds")
    if not missing_seeds:
        print(f"{path} has all {len(rows)}; --again repeats them")
        return 0
    console = tables.console(stderr=True)
    output = Output(runs=args.runs or tempfile.mkdtemp())
    folder = start_seeds(planned, missing_seeds, output, console.print, parallel_runs=parallel_runs)
    results = follow_study(folder, StudyTerminal(console, len(missing_seeds)), output)["runs"]
    rows |= {row["seed"]: {key: row[key] for key in RUN_KEYS} for row in results if "error" not in row}
    failed = [row for row in results if "error" in row]
    if rows:
        summary = summarize(args.net, planned, [rows[seed] for seed in sorted(rows)], folder.read()["threads"])
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(summary, indent=2) + "\n")
        print(f"mean {summary['test_accuracy_mean']:.4f}, sd {summary['test_accuracy_sd']}, n = {len(rows)}, in {path}")
    return 1 if failed else 0


def kind(planned: Plan, threads: int) -> dict[str, Any]:
    """What runs must have in common, as JSON has it."""
    values: dict[str, Any] = {"recipe_values": planned.recipe.to_dict(), "data": planned.description.name}
    values |= {"device": planned.device, "threads": threads, **machine.describe()}
    stored: dict[str, Any] = json.loads(json.dumps(values))
    return stored


def summarize(net: str, planned: Plan, rows: list[dict[str, Any]], threads: int) -> dict[str, Any]:
    test, train = (statistics_of([row[key] for row in rows]) for key in ("test_accuracy", "train_accuracy"))
    return {
        "net": net,
        "variation": planned.net_spec.variation,
        "recipe": planned.recipe.source,
        "n": len(rows),
        "test_accuracy_mean": test["mean"],
        "test_accuracy_sd": test["sd"],
        "test_accuracy_range": [test["min"], test["max"]],
        "train_accuracy_mean": train["mean"],
        "train_accuracy_sd": train["sd"],
        "published": planned.recipe.to_dict()["expected"],
        "seconds_median": statistics.median(row["seconds"] for row in rows),
        "runs": rows,
        "date": date.today().isoformat(),
        **kind(planned, threads),
    }


if __name__ == "__main__":
    sys.exit(main())
