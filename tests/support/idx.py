"""Small synthetic data sets as IDX files, for any test that needs images on disk."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from classicnets.datasets.catalog import DataFile, Dataset
from classicnets.datasets.formats import idx_header, read_idx, sha256_of

NAMES = {
    "train-images": "train-images-idx3-ubyte",
    "train-labels": "train-labels-idx1-ubyte",
    "t10k-images": "t10k-images-idx3-ubyte",
    "t10k-labels": "t10k-labels-idx1-ubyte",
}


def idx_bytes(array: np.ndarray) -> bytes:
    """The uint8 `array` in the IDX format."""
    assert array.dtype == np.uint8
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(path: Path, array: np.ndarray, *, gz: bool = True) -> Path:
    """Write the uint8 `array` as an IDX file; the same array gives the same bytes every time."""
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content, compresslevel=1, mtime=0) if gz else content)
    return path


def make_images(
    n: int, *, classes: int = 10, size: int = 28, seed: int = 0, split: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """`n` images uint8 [n, size, size] and labels uint8 [n]; each class is a fixed pattern of blobs plus noise.

    The patterns depend on `seed` only, so two splits of the same seed hold the same classes. All classes occur in turn.
    """
    coarse = np.random.default_rng([seed, 1]).random((classes, 4, 4)) > 0.5
    step = np.arange(size) * 4 // size
    patterns = coarse[:, step][:, :, step] * 160.0 + 30.0
    generator = np.random.default_rng([seed, 2, split])
    labels = np.arange(n) % classes
    noisy = patterns[labels] + generator.normal(0.0, 20.0, (n, size, size))
    return noisy.clip(0, 255).astype(np.uint8), labels.astype(np.uint8)


def make_idx_folder(
    folder: Path,
    *,
    train: int = 200,
    test: int = 50,
    classes: int = 10,
    size: int = 28,
    seed: int = 0,
    gz: bool = True,
) -> Path:
    """Write the four files of a small learnable data set into `folder` (made if need be) and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, n, split in (("train", train, 0), ("t10k", test, 1)):
        images, labels = make_images(n, classes=classes, size=size, seed=seed, split=split)
        for kind, array in (("images", images), ("labels", labels)):
            name = NAMES[f"{prefix}-{kind}"] + (".gz" if gz else "")
            write_idx(folder / name, array, gz=gz)
    return folder


def dataset_of(folder: Path, *, name: str = "toy", **changes: object) -> Dataset:
    """A registry entry whose files are those in `folder`: no mirrors, no system folder, a package nobody has."""
    paths = {role: folder / f"{usual}.gz" for role, usual in NAMES.items()}
    shapes = {role: idx_header(path) for role, path in paths.items()}
    files = tuple(
        DataFile(role, path.name, sha256_of(path), 4 + 4 * len(shapes[role]) + math.prod(shapes[role]))
        for role, path in paths.items()
    )
    facts: dict[str, object] = {
        "name": name,
        "title": name.title(),
        "license": "MIT",
        "homepage": "https://example.org",
        "shape": (1, *shapes["train-images"][1:]),
        "classes": tuple(f"class {label}" for label in range(1 + int(read_idx(paths["train-labels"]).max()))),
        "train": shapes["train-images"][0],
        "test": shapes["t10k-images"][0],
        "files": files,
        "download_bytes": 1_000_000,
        "mirrors": (),
        "system_folder": str(folder.parent / "system"),
        "debian_package": f"dataset-{name}",
    }
    return Dataset(**(facts | changes))  # type: ignore[arg-type]
