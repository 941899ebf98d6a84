"""Made-up events of a short run, and figures of its evaluation, for the demos of the displays.

`python -m classicnets.report.terminal`, `.jsonlines` and `.figures` show them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from classicnets import report
from classicnets.evaluation.metrics import measure
from classicnets.events import Advice, Epoch, Event, Step
from classicnets.values import Expected

EPOCHS, STEPS, BATCH_SIZE, CLASSES = 5, 40, 256, 10
TITLE = "a made-up run"
EXPECTED = Expected(low=0.76, high=0.82, mean=0.79, n=10, source="made up")


def events(pause: float = 0.0) -> Iterator[Event]:
    """Yield the events of a run of five epochs, waiting `pause` seconds before each step."""
    for epoch in range(1, EPOCHS + 1):
        for step in range(1, STEPS + 1):
            time.sleep(pause)
            progress = epoch - 1 + step / STEPS
            seconds = 0.04 * step
            if step % (STEPS // 5):
                yield Step(epoch=epoch, step=step, steps=STEPS, images=step * BATCH_SIZE, seconds=seconds)
            else:
                yield Step(
                    epoch=epoch,
                    step=step,
                    steps=STEPS,
                    images=step * BATCH_SIZE,
                    seconds=seconds,
                    loss=_loss(progress),
                    accuracy=_accuracy(progress),
                )
            if (epoch, step) == (2, STEPS // 2):
                yield Advice(
                    epoch=epoch,
                    step=step,
                    topic="dead_relus",
                    message="4 of 120 units in relu3 never fire (dead ReLUs)",
                    hint="--set lr=0.05",
                )
        yield Epoch(
            epoch=epoch,
            epochs=EPOCHS,
            loss=_loss(epoch),
            accuracy=_accuracy(epoch),
            validation_accuracy=None,
            test_accuracy=_accuracy(epoch) - 0.01,
            lr=0.1,
            seconds=0.04 * STEPS,
            evaluation_seconds=0.2,
            images_per_second=BATCH_SIZE / 0.04,
            wait_share=0.03,
        )


def _loss(epochs: float) -> float:
    return 0.5 + 1.8 * math.exp(-epochs)


def _accuracy(epochs: float) -> float:
    return 0.82 - 0.72 * math.exp(-epochs)


def write_figures(folder: Path) -> list[Path]:
    """Draw the curves, the confusion matrix, the reliability diagram and the contact sheet; return their files."""
    generator = np.random.default_rng(0)
    labels = np.arange(400) % CLASSES
    logits = generator.normal(0, 1.5, (len(labels), CLASSES))
    logits[np.arange(len(labels)), labels] += 3
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    patterns = generator.uniform(0, 200, (CLASSES, 1, 28, 28))
    images = (patterns[labels] + generator.uniform(0, 55, (len(labels), 1, 28, 28))).astype(np.uint8)
    classes = [f"class {i}" for i in range(CLASSES)]
    metrics = measure(probabilities.astype(np.float32), labels)
    figures, error_analysis = report.figures, report.error_analysis  # imported here: matplotlib takes half a second
    files = {
        "curves.png": figures.draw_curves(list(events()), EXPECTED, TITLE),
        "confusion.png": error_analysis.draw_confusion_matrix(metrics.confusion, classes, TITLE),
        "calibration.png": error_analysis.draw_reliability_diagram(metrics.to_dict()["calibration"], TITLE),
        "contact_sheet.png": error_analysis.draw_contact_sheet(images, labels, probabilities, classes, TITLE),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in files.items():
        (folder / name).write_bytes(figures.png(figure))
    return [folder / name for name in files]
