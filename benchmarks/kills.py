"""Kill real runs at random moments and resume them until they end: is the result that of an uninterrupted run?

    python benchmarks/kills.py              (50 kills and 5 times Ctrl-C: about ten minutes on 2 cores)

Each run is `classicnets train` on Fashion-MNIST in a separate process, forked from this one to save importing torch. It
gets SIGKILL (or SIGINT) at a moment drawn uniformly from half the duration of a whole run, and is resumed with
`train --resume`, each time with other loader threads and after setting another number of torch threads. Equal means:
every tensor in last and best (weights, their average, optimizer, generators) bit for bit, every figure in the history,
and the result; the coach's advice may differ, as it depends on times too. Linux only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no thread may be there when this process is forked

import torch
import torch._dynamo  # which the first pass on the meta device would import
from safetensors import safe_open

import classicnets.api
from classicnets import machine
from classicnets.cli.main import main as classicnets_main
from classicnets.datasets import idx
from classicnets.images import folders, layout
from classicnets.runs import checkpoint
from classicnets.runs.lock import NAME

LOADED = (classicnets.api, folders, idx, layout, torch._dynamo)  # before any fork, so that no child has to
RESULTS = Path(__file__).parent / "results" / "kills.json"
COMMAND = ["lenet_d2l", "--recipe", "fast", "--data", "fashion_mnist", "--limit", "2000", "--seed", "3"]
COMMAND += ["--loader-threads", "2", "--set", "net.activation=relu", "net.dropout=0.3", "epochs=5", "batch_size=64"]
COMMAND += ["lr=0.003", "ema=0.99", "shift=2"]  # with the recipe's one_cycle, AdamW and mirroring
TIMES = {"seconds", "waited", "evaluation_seconds", "images_per_second", "wait_share", "peak_memory_bytes"}


def fork(do: Callable[[], int], log: Path) -> int:
    """Starts it in its own process and returns the process ID, without waiting."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = do()
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait_for(child: int) -> int:
    """Waits; the exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def outcome(run: Path) -> dict[str, object]:
    """All that a run leaves which does not depend on how long it took."""
    names = [path.name for path in run.iterdir() if path.name != NAME]  # a killed process leaves the file of its lock
    summary: dict[str, object] = {"files": sorted(names)}
    for name in ("last.safetensors", "best.safetensors"):
        with safe_open(run / name, framework="numpy") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            facts = json.loads(file.metadata()[checkpoint.KEY])
        summary[name] = {key: (str(a.dtype), a.shape, hashlib.sha256(a).hexdigest()) for key, a in tensors.items()}
        summary[f"state of {name}"] = _without_times(facts["state"])
    events = map(json.loads, (run / "history.jsonl").read_text().splitlines())
    summary["history"] = [_without_times(event) for event in events if event["event"] != "advice"]
    summary["metrics"] = _without_times(json.loads((run / "metrics.json").read_text()))
    summary["result"] = _without_times(json.loads((run / "run.json").read_text())["result"])
    return summary


def _without_times(values: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if key not in TIMES}


def run_in(runs: Path) -> Path | None:
    """The one run in the folder `runs`, if there is one yet."""
    return next(runs.glob("[!.]*"), None)


def complete(runs: Path) -> bool:
    run = run_in(runs)
    return run is not None and "result" in json.loads((run / "run.json").read_text())


def how_far(runs: Path) -> str:
    """Where the run was at its last save."""
    run = run_in(runs)
    if run is None:
        return "before there was a run"
    if not (run / "last.safetensors").exists():
        return "before the first save"
    facts = checkpoint.load(run / "last.safetensors")[1]
    if facts["state"]["epoch"] == facts["recipe"]["epochs"]:
        return "after the last epoch"
    return f"after a save {'within' if facts['state']['step'] else 'at the end of'} an epoch"


def train(command: list[str], runs: Path, log: Path, attempt: int = 0) -> int:
    """Starts or resumes the run in `runs` in its own process; returns the process ID."""
    arguments = ["train", *command, "--runs", str(runs)]
    if run := run_in(runs):
        arguments = ["train", "--resume", str(run), "--loader-threads", str(attempt % 3)]

    def do() -> int:
        if run:
            torch.set_num_threads(1 + attempt % 2)  # the run sets its own
        return classicnets_main([*arguments, "--save-every", "0.2"])

    return fork(do, log)


def finished_run(runs: Path) -> Path:
    """The run in the folder, which has to be there."""
    run = run_in(runs)
    assert run is not None, f"no run in {runs}"
    return run


def ends_within(child: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return True
        time.sleep(0.005)
    return False


def kill_at_random(command: list[str], signals: list[signal.Signals], seed: int, folder: Path) -> dict[str, object]:
    """Sends each of the signals at a random moment of a run; the last killed run is resumed to its end as well.

    Says how many runs there were, how many of them were equal, and where the signals hit. Raises AssertionError for an
    exit code that is not as it should be.
    """
    chance, log, remaining = random.Random(seed), folder / "log.txt", [*signals]
    (uninterrupted := folder / "whole").mkdir()
    began = time.monotonic()
    code = wait_for(train(command, uninterrupted, log))
    seconds = time.monotonic() - began
    assert code == 0, log.read_text()
    expected, equal, hits, torn = outcome(finished_run(uninterrupted)), list[bool](), Counter[str](), 0
    while remaining:
        (runs := folder / f"runs-{len(equal)}").mkdir()
        attempts = 0
        while not complete(runs):
            child = train(command, runs, log, attempts)
            hit = bool(remaining) and not ends_within(child, chance.uniform(0, seconds / 2))
            if hit:
                os.kill(child, remaining[0])
            code = wait_for(child)
            assert code == 0 or (hit and code == (130 if remaining[0] == signal.SIGINT else -remaining[0])), (
                log.read_text()
            )
            if code != 0:
                hits[f"{remaining.pop(0).name} {how_far(runs)}"] += 1
                torn += any(runs.glob("**/.*.part"))
            attempts += 1
        equal.append(outcome(finished_run(runs)) == expected)
        print(f"run {len(equal)}: {attempts} processes, {'equal' if equal[-1] else 'NOT EQUAL'}", file=sys.stderr)
    return {
        "runs": len(equal),
        "equal": sum(equal),
        "hits": dict(hits),
        "left_a_half_written_file_aside": torn,
        "seconds_of_a_whole_run": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--interrupts", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    signals = [signal.SIGKILL] * args.kills + [signal.SIGINT] * args.interrupts
    random.Random(args.seed).shuffle(signals)
    with tempfile.TemporaryDirectory() as folder:
        summary = kill_at_random(COMMAND, signals, args.seed, Path(folder))
    result = {
        "what": "runs killed at random moments and resumed until they end, against the run that nobody killed",
        "command": " ".join(["classicnets train", *COMMAND, "--save-every 0.2"]),
        "kills": args.kills,
        "interrupts": args.interrupts,
        **summary,
        "threads": torch.get_num_threads(),
        "date": date.today().isoformat(),
        **machine.describe(),
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{summary['equal']} of {summary['runs']} runs equal after {args.kills} kills, in {RESULTS}")


if __name__ == "__main__":
    main()
