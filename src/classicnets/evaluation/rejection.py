"""Rejection of uncertain answers, and the temperature that calibrates their probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MIN_PROBABILITY = 1e-30  # of a class, before its logarithm; float32 holds its reciprocal too
_MIN_SCALE, _MAX_SCALE = 0.01, 100.0  # of log-probabilities: the reciprocal of the temperature
_MAX_STEPS = 100


@dataclass(frozen=True)
class Rejection:
    """Which answers are given, and which are "unknown".

    Attributes:
        min_confidence: The answer is rejected if the largest probability is below this.
        temperature: Divides the log-probabilities first (Guo et al. 2017, arXiv:1706.04599); 1 leaves them unchanged.
    """

    min_confidence: float
    temperature: float = 1.0

    def calibrate(self, probabilities: np.ndarray) -> np.ndarray:
        """Apply the temperature to float32 [N, classes]; the order of the classes does not change."""
        if self.temperature == 1:
            return probabilities
        return _softmax(_logarithms(probabilities) / self.temperature).astype(np.float32)

    def rejects(self, confidence: float) -> bool:
        """Whether an answer with this probability is unknown."""
        return not confidence >= self.min_confidence  # also if it is not a number


def applied_temperature(facts: Mapping[str, Any]) -> float:
    """Return the temperature that an exported file applies: only if it was exported with a smallest confidence."""
    temperature = facts.get("temperature")
    return 1.0 if temperature is None or facts.get("min_confidence") is None else float(temperature)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the temperature with the smallest cross-entropy on images that were not trained on.

    The cross-entropy is convex in the reciprocal of the temperature, whose root of the derivative is found by Newton's
    method, with bisection where a step would leave the interval.

    Args:
        probabilities: float32 [N, classes] of validation images.
        labels: int64 [N].

    Returns:
        The temperature; None if every image is classified correctly, because any lower temperature would then seem
        better, if there are no images, or if a probability is not finite.
    """
    if not len(labels) or not np.isfinite(probabilities).all() or (probabilities.argmax(axis=1) == labels).all():
        return None
    z = _logarithms(probabilities)
    true = z[np.arange(len(labels)), labels]
    low, high, scale = _MIN_SCALE, _MAX_SCALE, 1.0
    for _step in range(_MAX_STEPS):
        p = _softmax(scale * z)
        mean = (p * z).sum(axis=1)
        slope, curvature = float((mean - true).mean()), float(((p * z * z).sum(axis=1) - mean**2).mean())
        low, high = (low, scale) if slope > 0 else (scale, high)
        newton = scale - slope / curvature if curvature > 0 else high
        following = newton if low < newton < high else float(np.sqrt(low * high))
        if abs(following - scale) <= 1e-9 * scale:
            break
        scale = following
    return 1 / scale


def _logarithms(probabilities: np.ndarray) -> np.ndarray:
    """Natural logarithms, float64."""
    return np.log(np.maximum(probabilities.astype(np.float64), MIN_PROBABILITY))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return result
