"""Choose the values of the recipe `fast` by validation accuracy; the test split is not used.

    python studies/choose_fast.py lenet_d2l --try lr=0.005 lr=0.01 lr=0.02 --seeds 0 1

Each choice overrides the current recipe. The table shows the validation accuracy of the last epoch (the best epoch
would be optimistic) for each seed, and the training time. Appends to studies/results/choose_fast.jsonl.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from datetime import date
from pathlib import Path

import torch

from classicnets import machine
from classicnets.evaluation.evaluate import evaluate
from classicnets.evaluation.predictor import Predictor
from classicnets.events import Epoch
from classicnets.images import batches, loading
from classicnets.spec import run_spec
from classicnets.training import objective
from classicnets.training.loop import Scores
from classicnets.training.loop import train as train_loop
from classicnets.training.plan import plan
from classicnets.training.state import State

RESULTS = Path(__file__).parent / "results" / "choose_fast.jsonl"
HELD_OUT = 0.1  # a larger part than the recipe's own, so that small differences show


def validation_accuracy(net: str, settings: dict[str, str], seed: int) -> tuple[float, float]:
    """Validation accuracy after the last epoch, and the seconds of training."""
    planned = plan(
        *run_spec(net, recipe="fast", settings={**settings, "validation": HELD_OUT}, seed=seed, device="cpu")
    )
    splits = loading.load(planned.data)
    train, validation = batches.hold_out(splits.train, HELD_OUT, None, seed)
    assert validation is not None
    module = planned.build(print)
    device = torch.device("cpu")
    loader = batches.Batches(splits.train, planned.recipe, planned.preprocess, seed=seed, device=device, indices=train)
    state = State(module, planned.recipe)
    loss = objective.make(planned.recipe, loader.labels, len(splits.classes))
    seconds = sum(e.seconds for e in train_loop(state, loader, planned.recipe, loss, Scores) if isinstance(e, Epoch))
    predictor = Predictor(state.evaluated_net, planned.preprocess, splits.classes, torch.device("cpu"))
    return evaluate(predictor, validation)[0].accuracy, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net")
    parser.add_argument("--try", dest="choices", nargs="+", default=[""], help="settings to try; join several by '+'")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    args = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    for choice in args.choices:
        settings = dict(pair.split("=") for pair in choice.split("+") if pair)
        started = time.perf_counter()
        results = [validation_accuracy(args.net, settings, seed) for seed in args.seeds]
        accuracies = [a for a, _ in results]
        row = {
            "net": args.net,
            "changed": settings,
            "validation_accuracy": [round(a, 5) for a in accuracies],
            "mean": round(statistics.mean(accuracies), 5),
            "training_seconds": [round(s, 1) for _, s in results],
            "date": date.today().isoformat(),
            "processor": machine.processor(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{choice or 'as it stands':<50} {row['mean']:.4f}  {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
