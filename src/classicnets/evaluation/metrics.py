"""The figures that say how good a net is, from its probabilities and the true labels. Computed in float64."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BINS = 15
_LEAST = 1e-12  # a probability of 0 for the true class would make the loss of all images infinite


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The `n` images whose predicted class had a probability in (low, high]; means are None where there are none."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Figures on `n` images; shares are 0..1, and tuples go by class.

    `confusion[t][p]` counts images of class t taken for p, `support` the images of each class. `recall` is the
    share of a class that was found, None if the split has no image of it; `precision` the share of what was taken for
    a class that is of it, None if nothing was. `balanced_accuracy` is the mean recall of the classes the split has.
    `top5_accuracy` is None for fewer than six classes, where it could not be but 1. `loss` is the mean cross-entropy,
    with no probability below 1e-12.
    `calibration_error` is the expected calibration error over 15 bins of equal width: the mean, weighted by images,
    of |accuracy - confidence| in each of `calibration` (Guo et al. 2017, arXiv:1706.04599).
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
        """Plain values for JSON, which has no NaN: a figure that is not finite becomes None."""
        values = asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def measure(probabilities: np.ndarray, labels: np.ndarray) -> Metrics:
    """The metrics of probabilities [N, C] for labels int64 [N] in 0..C-1, N > 0.

    Among equal probabilities the first class counts as the likelier. A net that gave NaN is measured too: NaN counts as
    the largest number, as in argmax, and loss and calibration error become NaN.
    """
    n, classes = probabilities.shape
    each = np.arange(n)
    places = ranks(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    confusion = np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)
    right, support, taken = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    sure = probabilities[each, predicted].astype(np.float64)
    calibration, error = calibrate(sure, places == 0)
    given = np.maximum(probabilities[each, labels].astype(np.float64), _LEAST)
    return Metrics(
        n=n,
        accuracy=float((places == 0).mean()),
        top5_accuracy=float((places < 5).mean()) if classes > 5 else None,
        balanced_accuracy=float((right[support > 0] / support[support > 0]).mean()),
        loss=float(-np.log(given).mean()),
        calibration_error=error,
        precision=_shares(right, taken),
        recall=_shares(right, support),
        support=tuple(support.tolist()),
        confusion=tuple(map(tuple, confusion.tolist())),
        calibration=calibration,
    )


def ranks(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes come before the true one, int64 [N]: 0 where it is the likeliest."""
    given = np.where(np.isnan(probabilities), np.inf, probabilities)
    true = given[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(given.shape[1]) < labels[:, None]
    found: np.ndarray = ((given > true) | ((given == true) & earlier)).sum(axis=1)
    return found


def calibrate(confidence: np.ndarray, right: np.ndarray) -> tuple[tuple[Bin, ...], float]:
    """The bins of confidence float64 [N] and whether the prediction was right, bool [N]; and the calibration error,
    which is NaN if a confidence is. Those that are NaN are in no bin.
    """
    edges = np.linspace(0, 1, BINS + 1)
    place = np.where(np.isnan(confidence), BINS, np.digitize(confidence, edges[1:-1], right=True))
    count, sure, correct = (np.bincount(place, w, minlength=BINS + 1)[:BINS] for w in (None, confidence, right))
    bins = tuple(
        Bin(low=float(edges[i]), high=float(edges[i + 1]), n=int(count[i]), confidence=mean, accuracy=accuracy)
        for i, (mean, accuracy) in enumerate(zip(_shares(sure, count), _shares(correct, count), strict=True))
    )
    error = float(np.abs(correct - sure).sum() / len(confidence))
    return bins, error if count.sum() == len(confidence) else math.nan


def _shares(part: np.ndarray, whole: np.ndarray) -> tuple[float | None, ...]:
    return tuple(float(p / w) if w else None for p, w in zip(part, whole, strict=True))
