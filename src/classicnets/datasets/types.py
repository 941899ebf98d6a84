"""The frozen values of this room: images in memory, what is known of them before, and what a check says of files."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from classicnets.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from classicnets.values import Preprocess


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, C, H, W] and their labels int64 [N]."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageFile:
    """An image file of a data set: its path, class and split, "skipped" with the reason if it could not be read."""

    path: str
    label: str
    split: str  # train, validation, test or skipped
    reason: str = ""


@dataclass(frozen=True)
class ImageSplits:
    """A data set in memory; `fingerprint` stands for its bytes, `source` says in words where they came from.

    `validation` is there where the data set has such a split of its own. `files` are those it was read from, where each
    image has one: of each split in the order of its images.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    fingerprint: str
    source: str
    validation: Split | None = None
    files: tuple[ImageFile, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """One image: (channels, height, width)."""
        channels, height, width = self.train.images.shape[1:]
        return (channels, height, width)


@dataclass(frozen=True)
class Description:
    """What is known of a data set before any image is read; `shape` is (channels, height, width), `train`, `test` and
    `validation` count images (0 where nobody counted, or there is no such split).

    Image files that do not share one square size have the shape (channels, 0, 0), and `sizes` tells what they are.
    `decoded` is true for image files, which `load` brings to the size that is asked for.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    sizes: str = ""
    train: int = 0
    test: int = 0
    decoded: bool = False
    validation: int = 0

    def own_size(self) -> int:
        """The side of the images, for a recipe that names no image_size.

        Raises `UsageError` CN204 if they have no square size in common.
        """
        if not self.shape[1]:
            raise UsageError(
                "CN204",
                f"the images in {self.name} {self.sizes}",
                where="image_size",
                why="the recipe takes images at their own size, and these have none that is square and common to all",
                hint=("--set image_size=64", "--set image_size=64 fit=crop   # the middle, instead of stretching"),
            )
        return self.shape[1]

    def loaded(self, preprocess: Preprocess) -> tuple[int, int, int]:
        """The shape of one image as `load` gives it."""
        return (preprocess.channels, preprocess.side, preprocess.side) if self.decoded else self.shape


@dataclass(frozen=True)
class FileReport:
    """What `check` says of one file: `status` is "ok", "missing" or "wrong"."""

    file: str
    status: str
    detail: str


def say_on_stderr(line: str) -> None:
    """How `load` speaks when the caller does not say otherwise."""
    print(line, file=sys.stderr)
