"""Reproducible weights and images for any framework: NumPy's legacy generator gives the same numbers everywhere.

Needs only NumPy, because it also runs in the environments of the old frameworks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent


def parameters(shapes: Sequence[Sequence[int]], gain: float = 1.0) -> list[np.ndarray]:
    """Return an array for each shape, in order: weights scaled by the fan-in, and small biases.

    Sigmoids need a `gain` above 1, so that differences between images do not vanish.
    """
    arrays = []
    for seed, shape in enumerate(shapes):
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else None
        scale = gain * (2.0 / fan_in) ** 0.5 if fan_in else 0.1
        arrays.append((np.random.RandomState(seed).standard_normal(shape) * scale).astype(np.float32))
    return arrays


def images(shape: tuple[int, int, int, int], low: float, high: float) -> np.ndarray:
    """Return random float32 images of `shape`: integers of 0-255, scaled to the range from `low` to `high`.

    They consist of blocks of 4x4 equal pixels, since neighboring pixels are similar in photographs; this makes the
    feature maps differ between images.
    """
    n, channels, image_size, _ = shape
    coarse_size = -(-image_size // 4)
    coarse = np.random.RandomState(1000).randint(0, 256, (n, channels, coarse_size, coarse_size))
    blocks = coarse.repeat(4, axis=2).repeat(4, axis=3)[:, :, :image_size, :image_size]
    return (low + (high - low) * blocks / 255.0).astype(np.float32)


def store(file: str, framework: str, made_by: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the outputs of a framework: {network: {"input": shape, "range": [low, high], "outputs": rows}}."""
    rows = {name: {**r, "outputs": np.asarray(r["outputs"], dtype=np.float64).tolist()} for name, r in results.items()}
    text = json.dumps({"framework": framework, "made_by": made_by, "nets": rows}, indent=1)
    (FOLDER / file).write_text(text + "\n")
    for name, row in rows.items():
        outputs = np.asarray(row["outputs"])
        print(f"{name}: outputs {outputs.shape}, spread over images {outputs.std(axis=0).mean():.4g}")
