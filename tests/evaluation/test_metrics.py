"""Metrics, compared with a plain Python implementation of their definitions in float64."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classicnets.evaluation.evaluate import write_metrics
from classicnets.evaluation.metrics import calibrate, measure, ranks


def random_predictions(seed: int, n: int, classes: int, *, steps: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels; with `steps`, probabilities are multiples of 1/steps, so that many are equal."""
    generator = np.random.default_rng(seed)
    if steps:
        p = generator.multinomial(steps, np.full(classes, 1 / classes), n) / steps
    else:
        p = generator.dirichlet(np.full(classes, 0.5), n)
    return p.astype(np.float32), generator.integers(0, classes, n)


def reference_metrics(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """The metrics in plain Python, following their definitions."""
    n, classes = probabilities.shape
    confusion = [[0] * classes for _ in range(classes)]
    losses, top5 = [], 0
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True):
        order = sorted(range(classes), key=lambda c: (-row[c], c))
        confusion[label][order[0]] += 1
        top5 += label in order[:5]
        losses.append(-math.log(max(row[label], 1e-12)))
        confidence = row[order[0]]
        bin_index = next(b for b in range(15) if confidence <= np.linspace(0, 1, 16)[b + 1] or b == 14)
        bins[bin_index].append((confidence, order[0] == label))
    support = [sum(row) for row in confusion]
    predicted = [sum(row[c] for row in confusion) for c in range(classes)]
    recall = [confusion[c][c] / support[c] if support[c] else None for c in range(classes)]
    present = [r for r in recall if r is not None]
    error = 0.0
    for members in filter(None, bins):
        mean_confidence = sum(confidence for confidence, _ in members) / len(members)
        bin_accuracy = sum(correct for _, correct in members) / len(members)
        error += len(members) / n * abs(bin_accuracy - mean_confidence)
    return {
        "n": n,
        "accuracy": sum(confusion[c][c] for c in range(classes)) / n,
        "top5_accuracy": top5 / n if classes > 5 else None,
        "balanced_accuracy": sum(present) / len(present),
        "loss": sum(losses) / n,
        "calibration_error": error,
        "precision": [confusion[c][c] / predicted[c] if predicted[c] else None for c in range(classes)],
        "recall": recall,
        "support": support,
        "confusion": confusion,
        "bins": [len(members) for members in bins],
    }


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(2, 12), st.sampled_from([0, 1, 4, 15]))
def test_all_metrics_equal_their_definitions(seed: int, n: int, classes: int, steps: int) -> None:
    probabilities, labels = random_predictions(seed, n, classes, steps=steps)
    actual, expected = measure(probabilities, labels), reference_metrics(probabilities, labels)
    assert [b.n for b in actual.calibration] == expected.pop("bins")
    assert actual.confusion == tuple(map(tuple, expected.pop("confusion")))
    for key, value in expected.items():
        pairs = (v if isinstance(v, list | tuple) else [v] for v in (getattr(actual, key), value))
        for a, b in zip(*pairs, strict=True):
            assert a == (None if b is None else pytest.approx(b, rel=1e-9, abs=1e-12)), key


def test_calibration_error_of_a_small_example() -> None:
    """Two at 0.62, one of them correct, and two at 0.95, both correct: (2 |0.5 - 0.62| + 2 |1 - 0.95|) / 4 = 0.085."""
    bins, error = calibrate(np.array([0.62, 0.95, 0.62, 0.95]), np.array([True, True, False, True]))
    assert error == pytest.approx(0.085)
    full = [b for b in bins if b.n]
    assert [(b.n, b.confidence, b.accuracy) for b in full] == [(2, 0.62, 0.5), (2, 0.95, 1.0)]
    assert full[0].low == pytest.approx(9 / 15) and full[0].high == pytest.approx(10 / 15)
    assert bins[0].confidence is None and bins[0].accuracy is None


def test_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    edges = np.linspace(0, 1, 16)
    bins, _ = calibrate(np.append(edges, 1.0000001), np.ones(17, dtype=bool))
    assert [b.n for b in bins] == [2] + [1] * 13 + [
        2
    ]  # 0 is in the first bin, a value above 1 from rounding in the last


def test_first_of_equal_probabilities_ranks_first() -> None:
    equal = np.full((8, 8), 1 / 8, dtype=np.float32)
    assert ranks(equal, np.arange(8)).tolist() == list(range(8))
    metrics = measure(equal, np.arange(8))
    assert (metrics.accuracy, metrics.top5_accuracy) == (1 / 8, 5 / 8)
    assert [row[0] for row in metrics.confusion] == [1] * 8


@pytest.mark.parametrize(("classes", "has_top5"), [(2, False), (5, False), (6, True)])
def test_top5_accuracy_needs_more_than_five_classes(classes: int, has_top5: bool) -> None:
    assert (measure(*random_predictions(0, 20, classes)).top5_accuracy is not None) == has_top5


def test_absent_class_has_no_recall_and_unpredicted_class_no_precision() -> None:
    probabilities = np.eye(4, dtype=np.float32)[[0, 0, 2, 0]]
    metrics = measure(probabilities, np.array([0, 1, 2, 2]))
    assert metrics.recall == (1.0, 0.0, 0.5, None) and metrics.support == (1, 1, 2, 0)
    assert metrics.precision == (1 / 3, None, 1.0, None)
    assert metrics.balanced_accuracy == 0.5  # of the three classes that occur


def test_balanced_accuracy_does_not_reward_the_most_frequent_class() -> None:
    probabilities = np.tile(np.array([[0.9, 0.1]], dtype=np.float32), (10, 1))
    metrics = measure(probabilities, np.array([0] * 9 + [1]))
    assert (metrics.accuracy, metrics.balanced_accuracy) == (0.9, 0.5)


@pytest.mark.parametrize("where", [slice(None), 3, (3, 1)])
def test_nan_probabilities_give_valid_json(where: Any, tmp_path: Path) -> None:
    probabilities, _ = random_predictions(1, 20, 7)
    probabilities[where] = np.nan
    labels = np.ones(20, dtype=np.int64)
    metrics = measure(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    assert metrics.accuracy == (predicted == 1).mean() <= metrics.top5_accuracy
    assert sum(map(sum, metrics.confusion)) == 20
    assert math.isnan(metrics.calibration_error) and math.isnan(metrics.loss)
    facts = metrics.to_dict()
    assert facts["loss"] is None and facts["calibration_error"] is None
    assert sum(b["n"] for b in facts["calibration"]) == np.isfinite(probabilities.max(axis=1)).sum()
    json.dumps(facts, allow_nan=False)


def test_metrics_json_has_one_fact_on_each_line(tmp_path: Path) -> None:
    metrics = measure(*random_predictions(2, 50, 10)).to_dict()
    write_metrics(tmp_path / "metrics.json", {"classes": ["T恤", "b"], **metrics})
    text = (tmp_path / "metrics.json").read_text(encoding="utf-8")
    assert "T恤" in text and len(text.splitlines()) == len(metrics) + 3
    facts = json.loads(text)
    assert facts["classes"] == ["T恤", "b"] and tuple(map(tuple, facts["confusion"])) == metrics["confusion"]
