"""How good a net is on a split of labelled pictures."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from classicnets.data.datasets import Split
from classicnets.evaluation.predictor import Predictor


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Results on `n` pictures. `confusion[t][p]` counts pictures of class t taken for p; `loss` is cross-entropy."""

    n: int
    accuracy: float
    loss: float
    confusion: tuple[tuple[int, ...], ...]
    recall: tuple[float, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def evaluate(predictor: Predictor, split: Split) -> tuple[Evaluation, np.ndarray]:
    """The evaluation of a net on a split, and the probabilities float32 [N, classes] it was computed from."""
    started = time.perf_counter()
    probabilities = predictor.probabilities(split.images)
    seconds = time.perf_counter() - started
    labels, predicted = split.labels, probabilities.argmax(axis=1)
    classes = probabilities.shape[1]
    confusion = np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)
    right = np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, None)
    per_class = confusion.diagonal() / np.maximum(confusion.sum(axis=1), 1)
    evaluation = Evaluation(
        n=len(labels),
        accuracy=float((predicted == labels).mean()),
        loss=float(-np.log(right).mean()),
        confusion=tuple(tuple(int(c) for c in row) for row in confusion),
        recall=tuple(float(r) for r in per_class),
        seconds=seconds,
    )
    return evaluation, probabilities
