"""What `--min-confidence` does: coverage, accuracy and calibration, and what it does for images of no class.

    python studies/confidence.py RUN        (a run of Fashion-MNIST whose recipe holds out validation images)

Images of no class are uniform noise and capital letters, drawn white on black like the data. Prints a table.
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import classicnets as cn
from classicnets.evaluation.rejection import Rejection


def letters() -> np.ndarray:
    """26 capital letters in 20 sizes, uint8 [520, 1, 28, 28]."""
    images = []
    for size in range(14, 34):
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            image = Image.new("L", (28, 28))
            ImageDraw.Draw(image).text((14, 14), letter, 255, ImageFont.load_default(size), anchor="mm")
            images.append(np.asarray(image))
    return np.stack(images)[:, None]


def main() -> None:
    run = cn.Run(sys.argv[1], device="cpu")
    strangers = {"noise": np.random.default_rng(0).integers(0, 256, (1000, 1, 28, 28), dtype=np.uint8)}
    strangers["letters"] = letters()
    print("temperature", run.temperature, "validation images", (run.result or {}).get("calibration_images"))
    for p in (0.0, 0.5, 0.7, 0.9, 0.95, 0.99):
        evaluation = run.evaluate(min_confidence=p)
        accepted, rejection = evaluation.accepted, run.rejecting(p)
        assert accepted is not None and isinstance(rejection, Rejection)
        shares = [
            f"{name} {(rejection.calibrate(run.predictor.probabilities(images)).max(axis=1) >= p).mean():.3f}"
            for name, images in strangers.items()
        ]
        print(f"{p:4} coverage {accepted.coverage:.4f} accuracy {accepted.accuracy:.4f} accepted: {', '.join(shares)}")
        if not p:
            print(f"  error {evaluation.calibration_error:.4f} -> {accepted.calibration_error:.4f}")
            print(f"  loss {evaluation.loss:.4f} -> {accepted.loss:.4f} on {evaluation.n:,} test images")


if __name__ == "__main__":
    main()
