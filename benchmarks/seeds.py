"""A recipe over many seeds, beside what is published for it.

    python benchmarks/seeds.py lenet_d2l --seeds 10

Writes benchmarks/results/seeds-NET-RECIPE.json: test and train accuracy and seconds of every run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from datetime import date
from pathlib import Path

import torch

import classicnets as cn
from classicnets import machine

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net")
    parser.add_argument("--recipe")
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    rows, folder = [], tempfile.mkdtemp()
    for seed in range(args.seeds):
        run = cn.train(args.net, recipe=args.recipe, seed=seed, runs=folder, quiet=True)
        result = run.result
        rows.append(
            {"seed": seed, **{k: result[k] for k in ("test_accuracy", "train_accuracy", "train_loss", "seconds")}}
        )
        print(f"seed {seed}: test {result['test_accuracy']:.4f}, {result['seconds']:.0f} s", flush=True)
    recipe = run.facts["recipe"]
    test = [row["test_accuracy"] for row in rows]
    train = [row["train_accuracy"] for row in rows]
    summary = {
        "net": args.net,
        "recipe": recipe["source"],
        "n": len(rows),
        "test_accuracy_mean": statistics.mean(test),
        "test_accuracy_sd": statistics.stdev(test) if len(test) > 1 else None,
        "test_accuracy_range": [min(test), max(test)],
        "train_accuracy_mean": statistics.mean(train),
        "train_accuracy_sd": statistics.stdev(train) if len(train) > 1 else None,
        "published": recipe["expected"],
        "seconds_median": statistics.median(row["seconds"] for row in rows),
        "runs": rows,
        "threads": torch.get_num_threads(),
        "date": date.today().isoformat(),
        **machine.describe(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"seeds-{args.net}-{recipe['source']}.json"
    path.write_text(json.dumps(summary, indent=2) + "\n")
    print(f"mean {summary['test_accuracy_mean']:.4f}, sd {summary['test_accuracy_sd']}, n = {len(rows)}, in {path}")


if __name__ == "__main__":
    main()
