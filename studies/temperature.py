"""From how many validation images on a temperature makes probabilities better: calibration error and loss by n.

    python studies/temperature.py            (writes results/temperature.json)

Networks are trained on 50,000 and 1,000 of the training images of Fashion-MNIST. For each n, a temperature is fitted
on n of 10,000 training images that were held out, drawn at random, and applied to the others. Test images are not used.
"""

from __future__ import annotations

import json
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

import classicnets as cn
from classicnets.evaluation.metrics import measure
from classicnets.evaluation.rejection import Rejection, fit_temperature
from classicnets.images import batches, loading

NET, DATA = "lenet_d2l", "fashion_mnist"
TRAINED = {50_000: 5, 1_000: 20}  # epochs by the number of training images
HELD_OUT = 10_000
SIZES = (5, 10, 20, 50, 100, 200, 500)
DRAWS = 200  # for each size


def held_out(count: int, epochs: int, runs: str) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, classes] and labels of held-out images, of a network that was trained on `count` others."""
    train = loading.load(DATA).train
    limit = None if count == max(TRAINED) else count
    validation = HELD_OUT / len(train) if limit is None else 0.0
    settings = {"epochs": epochs, "validation": validation, "monitor": "none", "batch_size": min(128, count // 8)}
    run = cn.train(NET, recipe="fast", data=DATA, device="cpu", quiet=True, runs=runs, limit=limit, seed=0, **settings)
    trained, _validation = batches.split_indices(train.labels, validation, limit, 0)
    assert len(trained) == count
    others = np.setdiff1d(np.arange(len(train)), trained)
    chosen = np.random.default_rng(0).choice(others, HELD_OUT, replace=False)
    return run.predictor.probabilities(train.images[chosen]), train.labels[chosen]


def compare(probabilities: np.ndarray, labels: np.ndarray, n: int) -> dict[str, float]:
    """Means over the draws: calibration error and loss of the other images, and in how many draws they are worse."""
    random, rows = np.random.default_rng(n), []
    for _draw in range(DRAWS):
        chosen = np.zeros(len(labels), bool)
        chosen[random.choice(len(labels), n, replace=False)] = True
        temperature = fit_temperature(probabilities[chosen], labels[chosen]) or 1.0
        others, truth = probabilities[~chosen], labels[~chosen]
        before, after = measure(others, truth), measure(Rejection(0, temperature).calibrate(others), truth)
        rows.append(
            (
                after.calibration_error,
                after.calibration_error - before.calibration_error,
                after.loss - before.loss,
                after.calibration_error > before.calibration_error + 0.01,
                temperature,
            )
        )
    error, change, loss, worse, temperature = np.mean(rows, axis=0).tolist()
    return {"error": error, "change": change, "loss_change": loss, "worse": worse, "temperature": temperature}


def main() -> None:
    rows = []
    for count, epochs in TRAINED.items():
        with tempfile.TemporaryDirectory() as runs:
            probabilities, labels = held_out(count, epochs, runs)
        before = measure(probabilities, labels)
        print(f"trained on {count:,}: accuracy {before.accuracy:.4f} error {before.calibration_error:.4f}", before.loss)
        for n in SIZES:
            row = compare(probabilities, labels, n)
            print(n, *(f"{key} {value:+.4f}" for key, value in row.items()))
            rows.append(
                {"trained": count, "n": n, "accuracy": before.accuracy, "before": before.calibration_error} | row
            )
    versions = {"torch": torch.__version__, "machine": platform.machine()}
    facts = {"date": datetime.now(UTC).date().isoformat(), **versions, "draws": DRAWS, "rows": rows}
    (Path(__file__).parent / "results" / "temperature.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
