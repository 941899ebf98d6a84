"""Classification metrics, computed in float64 from predicted probabilities and true labels."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BINS = 15
_MIN_PROBABILITY = 1e-12  # one true class with probability 0 would make the mean loss infinite


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The `n` images whose confidence is in (low, high]; the means are None for an empty bin."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Metrics on `n` images. Ratios are in 0..1; tuples have one value for each class.

    Attributes:
        n: Number of images.
        accuracy: Top-1 accuracy.
        top5_accuracy: None for fewer than six classes, where it is always 1.
        balanced_accuracy: Mean recall of the classes that occur in the split.
        loss: Mean cross-entropy, with probabilities clipped to at least 1e-12.
        calibration_error: Expected calibration error over 15 bins of equal width (Guo et al. 2017, arXiv:1706.04599):
            the mean of |accuracy - confidence| over the bins of `calibration`, weighted by their number of images.
        precision: None for a class that is never predicted.
        recall: None for a class without images in the split.
        support: Number of images of each class.
        confusion: `confusion[t][p]` is the number of images of class t that are predicted as p.
        calibration: The bins of the calibration error.
    """

    n: int
    accuracy: float
    top5_accuracy: float | None
    balanced_accuracy: float
    loss: float
    calibration_error: float
    precision: tuple[float | None, ...]
    recall: tuple[float | None, ...]
    support: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: tuple[Bin, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, which has no NaN: a value that is not finite becomes None."""
        values = asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def measure(probabilities: np.ndarray, labels: np.ndarray) -> Metrics:
    """Compute the metrics of probabilities [N, C] for labels int64 [N] in 0..C-1, N > 0.

    Among equal probabilities, the first class ranks first. NaN ranks as the largest value, as in argmax; loss and
    calibration error are then NaN.
    """
    n, classes = probabilities.shape
    rows = np.arange(n)
    label_ranks = ranks(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    confusion = np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)
    correct, support, predicted_counts = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    confidence = probabilities[rows, predicted].astype(np.float64)
    calibration, error = calibrate(confidence, label_ranks == 0)
    label_probabilities = np.maximum(probabilities[rows, labels].astype(np.float64), _MIN_PROBABILITY)
    return Metrics(
        n=n,
        accuracy=float((label_ranks == 0).mean()),
        top5_accuracy=float((label_ranks < 5).mean()) if classes > 5 else None,
        balanced_accuracy=float((correct[support > 0] / support[support > 0]).mean()),
        loss=float(-np.log(label_probabilities).mean()),
        calibration_error=error,
        precision=_ratios(correct, predicted_counts),
        recall=_ratios(correct, support),
        support=tuple(support.tolist()),
        confusion=tuple(map(tuple, confusion.tolist())),
        calibration=calibration,
    )


def ranks(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the rank of the true class of each image, int64 [N]; 0 if it has the highest probability."""
    comparable = np.where(np.isnan(probabilities), np.inf, probabilities)
    true = comparable[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(comparable.shape[1]) < labels[:, None]
    result: np.ndarray = ((comparable > true) | ((comparable == true) & earlier)).sum(axis=1)
    return result


def calibrate(confidence: np.ndarray, correct: np.ndarray) -> tuple[tuple[Bin, ...], float]:
    """Compute the expected calibration error.

    Args:
        confidence: float64 [N]; NaN values are in no bin.
        correct: bool [N], whether each prediction is correct.

    Returns:
        The bins, and the calibration error, which is NaN if any confidence is NaN.
    """
    edges = np.linspace(0, 1, BINS + 1)
    bin_index = np.where(np.isnan(confidence), BINS, np.digitize(confidence, edges[1:-1], right=True))
    counts, confidence_sums, correct_counts = (
        np.bincount(bin_index, weights, minlength=BINS + 1)[:BINS] for weights in (None, confidence, correct)
    )
    means = zip(_ratios(confidence_sums, counts), _ratios(correct_counts, counts), strict=True)
    bins = tuple(
        Bin(low=float(edges[i]), high=float(edges[i + 1]), n=int(counts[i]), confidence=mean, accuracy=accuracy)
        for i, (mean, accuracy) in enumerate(means)
    )
    error = float(np.abs(correct_counts - confidence_sums).sum() / len(confidence))
    return bins, error if counts.sum() == len(confidence) else math.nan


def _ratios(part: np.ndarray, total: np.ndarray) -> tuple[float | None, ...]:
    return tuple(float(p / t) if t else None for p, t in zip(part, total, strict=True))
