"""The temperature and the rejection of uncertain answers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from classicnets.evaluation.evaluate import accept
from classicnets.evaluation.metrics import measure
from classicnets.evaluation.rejection import MIN_IMAGES, Calibration, Rejection, fit_temperature
from classicnets.recipes import resolve
from support.typed import present


def sample(temperature: float, n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose logits are `temperature` times those that the labels are drawn from."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, 5)) * 2
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (true.cumsum(axis=1) > random.random((n, 1))).argmax(axis=1)
    powers = np.exp(temperature * logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0, 2.5, 6.0])
def test_finds_the_temperature_that_the_logits_were_multiplied_by(temperature: float) -> None:
    probabilities, labels = sample(temperature)
    fitted = present(fit_temperature(probabilities, labels))
    assert fitted == pytest.approx(temperature, rel=0.1)
    losses = [
        measure(Rejection(0, fitted * factor).calibrate(probabilities), labels).loss for factor in (0.99, 1.0, 1.01)
    ]
    assert losses[1] == min(losses)
    if temperature > 2:  # overconfident
        after = measure(Rejection(0, fitted).calibrate(probabilities), labels).calibration_error
        assert after < 0.5 * measure(probabilities, labels).calibration_error


def test_there_is_no_temperature_without_errors_or_images() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    assert fit_temperature(probabilities, np.array([0, 1])) is None
    assert fit_temperature(probabilities[:0], np.zeros(0, np.int64)) is None
    assert fit_temperature(np.array([[math.nan, 0.1]], np.float32), np.array([1])) is None
    assert fit_temperature(np.array([[1.0, 0.0]], np.float32), np.array([1])) == pytest.approx(100)  # the largest
    assert fit_temperature(np.array([[0.5, 0.5]], np.float32), np.array([1])) is not None


@pytest.mark.parametrize(
    ("n", "missing"), [(MIN_IMAGES, ""), (MIN_IMAGES - 1, "few"), (1, "few"), (0, "none_held_out")]
)
def test_a_temperature_is_fitted_on_enough_images_only(n: int, missing: str) -> None:
    calibration = Calibration.fit(*sample(2.5, n=n))
    assert (calibration.images, calibration.missing) == (n, missing)
    assert (calibration.temperature is None) == bool(missing)
    assert Calibration.from_facts(calibration.to_dict()) == calibration


def test_each_reason_has_its_own_sentence() -> None:
    probabilities, labels = sample(2.5, n=MIN_IMAGES)
    reasons = {
        "few": Calibration.fit(probabilities[:7], labels[:7]),
        "all_correct": Calibration.fit(probabilities, probabilities.argmax(axis=1)),
        "not_finite": Calibration.fit(np.full_like(probabilities, math.nan), labels),
        **{name: Calibration(missing=name) for name in ("none_held_out", "joined", "views", "unfinished", "old")},
    }
    assert {name: calibration.missing for name, calibration in reasons.items()} == {name: name for name in reasons}
    assert len({calibration.why_missing() for calibration in reasons.values()}) == len(reasons)
    assert reasons["few"].why_missing().startswith("7 validation images were held out")


def test_the_reason_of_older_runs_is_the_true_one() -> None:
    recipe = resolve.find("fast", "lenet_d2l", registered=True)
    old = {"test_accuracy": 0.5}  # a result without a calibration
    changed: list[tuple[dict[str, Any], str]] = [
        ({}, "old"),
        ({"validation": 0.0, "monitor": "none"}, "none_held_out"),
        ({"join_after": 1, "epochs": 3}, "joined"),
    ]
    for changes, missing in changed:
        facts = {"recipe": replace(recipe, **changes).to_dict()}
        assert Calibration.of_run(facts | {"result": old}).missing == missing
        assert Calibration.of_run(facts).missing == "unfinished"
    few = {"temperature": 2.0, "calibration_images": MIN_IMAGES - 1}
    assert Calibration.from_facts(few) == Calibration(None, MIN_IMAGES - 1, "few")
    assert Calibration.from_facts(few | {"min_confidence": 0.5}).temperature == 2.0  # the file applies it
    assert Calibration.from_facts({"temperature": 2.0}) == Calibration(2.0)


def test_the_order_of_the_classes_stays() -> None:
    probabilities, _ = sample(1.0, n=50)
    for temperature in (0.1, 0.5, 3.0, 20.0):
        calibrated = Rejection(0, temperature).calibrate(probabilities)
        assert np.array_equal(calibrated.argmax(axis=1), probabilities.argmax(axis=1))
        assert calibrated.dtype == np.float32 and np.allclose(calibrated.sum(axis=1), 1, atol=1e-6)
    assert Rejection(0.5).calibrate(probabilities) is probabilities


def test_coverage_and_accuracy_of_what_is_accepted() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55]], np.float32)
    labels = np.array([0, 1, 1, 1])
    accepted = accept(probabilities, labels, Rejection(0.65))
    assert (accepted.n, accepted.coverage, accepted.accuracy) == (2, 0.5, 1.0)
    assert accept(probabilities, labels, Rejection(0)).accuracy == 0.75
    assert (accept(probabilities, labels, Rejection(1)).n, accept(probabilities, labels, Rejection(1)).accuracy) == (
        0,
        None,
    )
    assert Rejection(0).rejects(math.nan)
