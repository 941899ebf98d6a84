"""Weights and images that any engine can make again: NumPy's legacy generator gives the same numbers everywhere.

Needs NumPy alone, because it also runs in the environments of the old engines.
"""

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent


def parameters(shapes, gain=1.0):
    """One array for each shape, in order: weights of a spread that keeps the outputs alive, small biases.

    Sigmoids need a `gain` above 1, or what differs between images dies out.
    """
    arrays = []
    for seed, shape in enumerate(shapes):
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else None
        scale = gain * (2.0 / fan_in) ** 0.5 if fan_in else 0.1
        arrays.append((np.random.RandomState(seed).standard_normal(shape) * scale).astype(np.float32))
    return arrays


def images(shape, low, high):
    """Random images float32 of `shape`, whose whole-number values run from `low` to `high`, scaled to that range.

    Neighboring pixels are alike (blocks of 4), as in photographs, so that the maps differ from image to image.
    """
    n, channels, side, _ = shape
    coarse = np.random.RandomState(1000).randint(0, 256, (n, channels, -(-side // 4), -(-side // 4)))
    blocks = coarse.repeat(4, axis=2).repeat(4, axis=3)[:, :, :side, :side]
    return (low + (high - low) * blocks / 255.0).astype(np.float32)


def store(file, engine, made_by, results):
    """Writes the outputs of an engine: {net: {"input": shape, "range": [low, high], "outputs": rows}}."""
    rows = {name: {**r, "outputs": np.asarray(r["outputs"], dtype=np.float64).tolist()} for name, r in results.items()}
    text = json.dumps({"engine": engine, "made_by": made_by, "nets": rows}, indent=1)
    (FOLDER / file).write_text(text + "\n")
    for name, row in rows.items():
        out = np.asarray(row["outputs"])
        print(f"{name}: outputs {out.shape}, spread over images {out.std(axis=0).mean():.4g}")
