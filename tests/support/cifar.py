"""Small synthetic data sets in CIFAR's binary format."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Literal

import numpy as np

from classicnets.datasets.catalog import Archive, DataFile, Dataset

INNER = "toy-batches-bin"
PACKED = "toy-binary.tar.gz"


def records(n: int, *, classes: int = 10, label_bytes: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray, bytes]:
    """Images uint8 [n, 3, 32, 32], labels [n], and both as CIFAR records; each class has its own color."""
    generator = np.random.default_rng([seed, 1])
    labels = np.arange(n) % classes
    colors = np.random.default_rng(5).integers(40, 216, (classes, 3, 1, 1))
    images = (colors[labels] + generator.normal(0, 12, (n, 3, 32, 32))).clip(0, 255).astype(np.uint8)
    columns = [labels // 2, labels][-label_bytes:]
    rows = np.concatenate([np.stack(columns, 1), images.reshape(n, -1)], axis=1).astype(np.uint8)
    return images, labels, rows.tobytes()


def make_cifar_folder(folder: Path, *, batch: int = 20, test: int = 10, **options: int) -> Path:
    """Write two training files of `batch` images and one for the test into `folder`, and return it."""
    folder.mkdir(parents=True)
    for seed, (name, n) in enumerate(
        {"data_batch_1.bin": batch, "data_batch_2.bin": batch, "test_batch.bin": test}.items()
    ):
        (folder / name).write_bytes(records(n, seed=seed, **options)[2])
    return folder


def make_archive(
    path: Path, members: dict[str, bytes], *, mode: Literal["w", "w:gz"] = "w:gz", format: int = tarfile.GNU_FORMAT
) -> Path:
    """Write a tar of files, given as name -> content."""
    with tarfile.open(path, mode, format=format) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def published(folder: Path, path: Path) -> Path:
    """Write the archive of the files in `folder`, with the other files that the real one contains."""
    contents = {f"{INNER}/{file.name}": file.read_bytes() for file in sorted(folder.iterdir())}
    return make_archive(path, {f"{INNER}/readme.html": b"<html>", **contents, f"{INNER}/batches.meta.txt": b"cat\n"})


def cifar_dataset_of(folder: Path, archive: Path, *, label_bytes: int = 1, **changes: object) -> Dataset:
    """A catalog entry for the files in `folder`, which `archive` contains."""

    def file(role: str, path: Path, digest_of: str = "content") -> DataFile:
        content = path.read_bytes()
        return DataFile(role, path.name, hashlib.sha256(content).hexdigest(), len(content), digest_of)  # type: ignore[arg-type]

    *train, test = sorted(folder.iterdir())
    files = (*(file(f"train-{i}", path) for i, path in enumerate(train, 1)), file("test", test))
    packed = file("archive", archive, "file")
    facts: dict[str, object] = {
        "name": "toy",
        "title": "Toy",
        "license": "none stated",
        "homepage": "https://example.org",
        "shape": (3, 32, 32),
        "classes": tuple(f"class {label}" for label in range(10)),
        "train": sum(f.size for f in files[:-1]) // (label_bytes + 3072),
        "test": files[-1].size // (label_bytes + 3072),
        "files": files,
        "download_bytes": packed.size,
        "mirrors": (),
        "archive": Archive(packed, INNER),
        "label_bytes": label_bytes,
    }
    return Dataset(**(facts | changes))  # type: ignore[arg-type]
