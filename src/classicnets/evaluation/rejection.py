"""Rejection of uncertain answers, and the temperature that calibrates their probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from classicnets.text import _, plural
from classicnets.values import Recipe

MIN_IMAGES = 100  # that a temperature is fitted on; one of fewer may do harm (studies/temperature.py)
MIN_PROBABILITY = 1e-30  # of a class, before its logarithm; float32 holds its reciprocal too
_MIN_SCALE, _MAX_SCALE = 0.01, 100.0  # of log-probabilities: the reciprocal of the temperature
_MAX_STEPS = 100


@dataclass(frozen=True)
class Rejection:
    """Which answers are given, and which are "unknown".

    Attributes:
        min_confidence: The answer is rejected if the largest probability is below this.
        temperature: Divides the log-probabilities first (Guo et al. 2017, arXiv:1706.04599); 1 leaves them unchanged.
        calibration_images: Number of validation images that calibrate the probabilities, here or in an exported file;
            None if they are not calibrated, or if the number is not recorded.
    """

    min_confidence: float
    temperature: float = 1.0
    calibration_images: int | None = None

    def calibrate(self, probabilities: np.ndarray) -> np.ndarray:
        """Apply the temperature to float32 [N, classes]; the order of the classes does not change."""
        if self.temperature == 1:
            return probabilities
        return _softmax(_logarithms(probabilities) / self.temperature).astype(np.float32)

    def rejects(self, confidence: float) -> bool:
        """Whether an answer with this probability is unknown."""
        return not confidence >= self.min_confidence  # also if it is not a number


@dataclass(frozen=True)
class Calibration:
    """The temperature of a network, and what it rests on.

    Attributes:
        temperature: See `Rejection`; None if there is none.
        images: Number of validation images, which it was fitted on; None if it is not recorded.
        missing: Why there is no temperature, one of the words that `why_missing` explains; "" if there is one.
    """

    temperature: float | None = None
    images: int | None = None
    missing: str = ""

    @classmethod
    def fit(cls, probabilities: np.ndarray, labels: np.ndarray) -> Self:
        """Fit the temperature as `fit_temperature` does, unless there are fewer than `MIN_IMAGES`."""
        n = len(labels)
        temperature = fit_temperature(probabilities, labels) if n >= MIN_IMAGES else None
        if temperature is not None:
            return cls(temperature, n)
        missing = "none_held_out" if not n else "few" if n < MIN_IMAGES else "all_correct"
        return cls(None, n, missing if np.isfinite(probabilities).all() else "not_finite")

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Return the calibration in the result of a run, or in the metadata of an exported file.

        A temperature of fewer than `MIN_IMAGES` counts only if the file applies it, which can no longer be changed.
        """
        temperature, images = facts.get("temperature"), facts.get("calibration_images")
        if temperature is None:
            is_old = "uncalibrated" not in facts
            return cls(None, images, ("all_correct" if images else "old") if is_old else facts["uncalibrated"])
        if images is not None and images < MIN_IMAGES and facts.get("min_confidence") is None:
            return cls(None, images, "few")
        return cls(temperature, images)

    @classmethod
    def of_run(cls, facts: Mapping[str, Any]) -> Self:
        """Return the calibration of the run with these facts in its run.json."""
        result = facts.get("result")
        if result is None:
            return cls(missing="converted" if "converted" in facts else "unfinished")
        calibration = cls.from_facts(result)
        if calibration.missing == "old":
            return cls(missing=none_possible(Recipe.from_dict(facts["recipe"])) or "old")
        return calibration

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, which `from_facts` reads."""
        values = {"temperature": self.temperature, "calibration_images": self.images}
        return values | ({"uncalibrated": self.missing} if self.missing else {})

    def why_missing(self) -> str:
        """Return why there is no temperature, as a sentence."""
        if self.missing == "none_held_out":
            return _("the recipe holds out no validation images, which a temperature is fitted on")
        if self.missing == "joined":
            return _("the validation images joined the training, so no temperature can be fitted on them")
        if self.missing == "few":
            return plural(
                "{n} validation image was held out, and fewer than {least} can make probabilities worse",
                "{n} validation images were held out, and fewer than {least} can make probabilities worse",
                self.images or 0,
                least=MIN_IMAGES,
            )
        if self.missing == "all_correct":
            return _("all validation images are classified correctly, so any lower temperature would seem better")
        if self.missing == "not_finite":
            return _("the probabilities of validation images are not finite")
        if self.missing == "views":
            return _("the temperature of the run was fitted for the mean over several views, and this file uses one")
        if self.missing == "converted":
            return _("the weights were converted, and a temperature is fitted on the validation images of a run")
        if self.missing == "unfinished":
            return _("the run is not finished, and a temperature is fitted at the end")
        return _("an older version of classicnets trained it, which fitted no temperature")


def none_possible(recipe: Recipe) -> str:
    """Return why a run of this recipe can have no temperature, as `Calibration.missing`; "" if it can."""
    if not recipe.validation:
        return "none_held_out"
    return "joined" if 0 < recipe.join_after < recipe.epochs else ""


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
