"""How good a net is on a split of labelled pictures."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classicnets.data.datasets import Split
from classicnets.evaluation.metrics import Metrics, measure
from classicnets.evaluation.predictor import Predictor
from classicnets.runs.writing import write_whole


@dataclass(frozen=True, kw_only=True)
class Evaluation(Metrics):
    """The metrics of a net on a split, and the seconds it took to classify it."""

    seconds: float


def evaluate(predictor: Predictor, split: Split) -> tuple[Evaluation, np.ndarray]:
    """The evaluation of a net on a split, and the probabilities float32 [N, classes] it was computed from."""
    started = time.perf_counter()
    probabilities = predictor.probabilities(split.images)
    seconds = time.perf_counter() - started
    return Evaluation(**vars(measure(probabilities, split.labels)), seconds=seconds), probabilities


def write_metrics(path: Path, facts: dict[str, Any]) -> None:
    """Writes the facts of an evaluation as JSON, one a line, so that a large confusion matrix stays one line.

    Raises MachineError CN401.
    """
    lines = (f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in facts.items())
    write_whole(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
