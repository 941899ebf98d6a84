"""Eight seeds of the book's LeNet: in parallel, as `train --seeds` decides, against one after the other.

    python benchmarks/many_seeds.py                         (about three minutes on 2 quiet cores)
    python benchmarks/many_seeds.py --seeds 2 --limit 2000

Measures whole commands, including the start of every run and its figures; one epoch on a part of the training images
keeps it short. The longer the runs, the smaller the share of start and figures in the ratio.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from classicnets.images import loading
from timing import arguments, compared, conditions, pair_by_pair, write


def main() -> None:
    parser = arguments(__doc__, name="many_seeds", pairs=1)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--limit", type=int, default=20_000, help="training images (default 20,000)")
    args = parser.parse_args()
    before = conditions()
    loading.load("fashion_mnist")  # fetched, if need be, before the clock starts
    decisions: dict[str, dict[str, Any]] = {}

    def seconds(*options: str) -> float:
        with tempfile.TemporaryDirectory(prefix="seeds-") as name:
            command = [sys.executable, "-m", "classicnets", "train", "lenet_d2l", "--seeds", str(args.seeds), "--json"]
            command += ["--limit", str(args.limit), "--set", "epochs=1", "--runs", name, *options]
            started = time.perf_counter()
            process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            duration = time.perf_counter() - started
            facts = json.loads((Path(json.loads(process.stdout)["folder"]) / "study.json").read_text())
        decisions[" ".join(options) or "as decided"] = {key: facts[key] for key in ("side_by_side", "threads", "why")}
        return duration

    pairs = pair_by_pair(seconds, lambda: seconds("--parallel-runs", "1"), pairs=args.pairs, warm_up=0)
    row = compared(
        pairs,
        what=f"{args.seeds} seeds of `lenet_d2l`, one epoch of {args.limit:,} images each, the whole command",
        ours=f"`train --seeds {args.seeds}`, {decisions['as decided']['side_by_side']} runs in parallel",
        theirs="with `--parallel-runs 1`",
        at_least=1.4,
        reach=1.8,
        facts=decisions,
    )
    write(args.out, [row], before)


if __name__ == "__main__":
    main()
