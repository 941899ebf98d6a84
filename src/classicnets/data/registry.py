"""The known data sets: ONE literal dict of facts. Importing this reads nothing and needs neither numpy nor torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

# Role of a file -> its usual name, gzip or not; "train-images.idx3-ubyte" with a dot is as common.
IDX_NAMES = {
    "train-images": "train-images-idx3-ubyte",
    "train-labels": "train-labels-idx1-ubyte",
    "t10k-images": "t10k-images-idx3-ubyte",
    "t10k-labels": "t10k-labels-idx1-ubyte",
}


@dataclass(frozen=True)
class DataFile:
    """One file of a data set; `sha256` and `size` (bytes) are those of its decompressed content."""

    role: str
    name: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Facts about a data set: what it holds (`shape` is channels, height, width) and where it can be had."""

    name: str
    title: str
    licence: str
    homepage: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train: int
    test: int
    files: tuple[DataFile, ...]
    mirrors: tuple[str, ...]
    system_folder: str
    debian_package: str
    debian_megabytes: int

    @property
    def fingerprint(self) -> str:
        """A short text that stands for exactly these bytes."""
        return fingerprint({file.role: file.sha256 for file in self.files})


DATASETS: dict[str, Dataset] = {
    "fashion_mnist": Dataset(
        name="fashion_mnist",
        title="Fashion-MNIST",
        licence="MIT",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        shape=(1, 28, 28),
        classes=(
            "t-shirt",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
        train=60_000,
        test=10_000,
        files=(
            DataFile(
                "train-images",
                "train-images-idx3-ubyte.gz",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                47_040_016,
            ),
            DataFile(
                "train-labels",
                "train-labels-idx1-ubyte.gz",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                60_008,
            ),
            DataFile(
                "t10k-images",
                "t10k-images-idx3-ubyte.gz",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                7_840_016,
            ),
            DataFile(
                "t10k-labels",
                "t10k-labels-idx1-ubyte.gz",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                10_008,
            ),
        ),
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        system_folder="/usr/share/datasets/fashion-mnist",
        debian_package="dataset-fashion-mnist",
        debian_megabytes=31,
    ),
}

# Sets that use the same file names and so turn up in place of ours: role -> sha256 of the decompressed bytes.
FOREIGN: dict[str, dict[str, str]] = {
    "MNIST": {
        "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
}


def fingerprint(digests: Mapping[str, str]) -> str:
    """A short text (16 hex digits) for the four files of a set, given as role -> sha256."""
    return hashlib.sha256("".join(digests[role] for role in sorted(digests)).encode()).hexdigest()[:16]


def known_sets() -> dict[str, dict[str, str]]:
    """Title -> role -> sha256, for every set whose bytes are known, ours first."""
    ours = {dataset.title: {file.role: file.sha256 for file in dataset.files} for dataset in DATASETS.values()}
    return ours | FOREIGN
