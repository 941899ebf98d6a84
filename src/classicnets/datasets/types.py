"""Data types of data sets: images in memory, their description, and reports on files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.errors import UsageError
from classicnets.text import _, note

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from classicnets.values import Preprocess

Say = Callable[[str], None]  # receives progress and notes, one line each


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, C, H, W] and labels int64 [N]."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageFile:
    """An image file of a data set; `split` is train, validation, test, or skipped, with the reason.

    `sha256` is that of its content, in hex; "" for a skipped one.
    """

    path: str
    label: str
    split: str
    reason: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class ImageSplits:
    """A data set in memory.

    Attributes:
        name: Name of the data set.
        classes: Names of the classes, by label.
        train: Training split.
        test: Test split.
        fingerprint: Identifies the content of the files.
        source: Description of where the files come from.
        validation: The data set's own validation split, if it has one.
        files: The image files, in the order of the images of each split; empty for IDX and CIFAR files.
        groups: For each training image, int64 [N], the number of its group; equal numbers are copies. None if there
            are no copies.
        left_out: Numbers of images that are not used, by reason: "no_class", "unsupported_format", "unreadable"; empty
            for IDX and CIFAR files.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    fingerprint: str
    source: str
    validation: Split | None = None
    files: tuple[ImageFile, ...] = ()
    groups: npt.NDArray[np.int64] | None = None
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        channels, height, width = self.train.images.shape[1:]
        return (channels, height, width)


@dataclass(frozen=True)
class Description:
    """What is known of a data set before its images are read.

    Attributes:
        name: Name of the data set.
        classes: Names of the classes, by label.
        shape: (channels, height, width); (channels, 0, 0) for image files without a square size in common.
        sizes: What the sizes are in that case, as the end of a sentence.
        train: Number of training images; 0 if unknown.
        test: Number of test images.
        decoded: Whether the data set consists of image files, which `load` decodes to the requested size.
        validation: Number of validation images; 0 if there is no such split.
        notes: What the headers of image files decide, and the user may not expect.
        has_transparency: Whether any image file can have transparent parts.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    sizes: str = ""
    train: int = 0
    test: int = 0
    decoded: bool = False
    validation: int = 0
    notes: tuple[str, ...] = ()
    has_transparency: bool = False

    def native_size(self) -> int:
        """Return the height and width of the images, for a recipe without an image_size.

        Raises:
            UsageError: CN204 if they have no square size in common.
        """
        if not self.shape[1]:
            raise UsageError(
                "CN204",
                _("the images in {name} {sizes}", name=self.name, sizes=self.sizes),
                where="image_size",
                why=_("the recipe uses images at their own size, which must be square and the same for all images"),
                hint=(
                    "--set image_size=64",
                    _("{option}   # crops the center instead of stretching", option="--set image_size=64 fit=crop"),
                ),
            )
        return self.shape[1]

    def loaded_shape(self, preprocess: Preprocess) -> tuple[int, int, int]:
        """(channels, height, width) of an image as `load` returns it."""
        return (preprocess.channels, preprocess.side, preprocess.side) if self.decoded else self.shape


@dataclass(frozen=True)
class DatasetFiles:
    """Verified files of a published data set: role -> path, and a description of where they come from."""

    paths: dict[str, Path]
    source: str


@dataclass(frozen=True)
class FileReport:
    """The check of one file; `status` is "ok", "missing" or "wrong"."""

    file: str
    status: str
    detail: str


def print_to_stderr(line: str) -> None:
    """The default for `say`."""
    note(line)
