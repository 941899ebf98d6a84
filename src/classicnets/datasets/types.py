"""Data types of data sets: images in memory, their description, and reports on files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from classicnets.errors import UsageError
from classicnets.text import _, note

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from classicnets.values import Preprocess

Say = Callable[[str], None]  # receives progress and notes, one line each


class LazyImages(ABC):
    """Images uint8 [N, C, H, W] that are not in memory: they are decoded whenever they are used."""

    shape: tuple[int, int, int, int]

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """The memory that all images together would need."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of images."""

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        """The images, one after the other."""
        return (self[row] for row in range(len(self)))

    @abstractmethod
    def __getitem__(self, index: Any) -> npt.NDArray[np.uint8]:
        """Decode one image, or those of a slice, of indices or of a mask. Raises DataError CN304."""

    @abstractmethod
    def subset(self, index: Any) -> LazyImages:
        """Return the images of a slice, of indices or of a mask, without decoding them."""

    @abstractmethod
    def joined(self, others: LazyImages) -> LazyImages:
        """Return these images, followed by the others, without decoding them."""

    @abstractmethod
    def batches(self, batches: Sequence[npt.NDArray[np.int64]], processes: int = 0) -> Iterator[npt.NDArray[np.uint8]]:
        """Decode batches of images in other processes, ahead of the caller, and yield them in their order.

        Args:
            batches: The indices of the images of each batch.
            processes: Number of processes; 0 for one for each core.

        Raises:
            DataError: CN304 if a file cannot be read, CN310 if a process has died.
        """


Images: TypeAlias = "npt.NDArray[np.uint8] | LazyImages"  # uint8 [N, C, H, W]


def subset(images: Images, index: Any) -> Images:
    """Return the images of a slice, of indices or of a mask; images that are not in memory are not decoded."""
    return images.subset(index) if isinstance(images, LazyImages) else images[index]


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, C, H, W] and labels int64 [N]."""

    images: Images
    labels: npt.NDArray[np.int64]

    def subset(self, index: Any) -> Split:
        """Return the images and labels of a slice, of indices or of a mask; images that are not in memory stay so."""
        return Split(subset(self.images, index), self.labels[index])

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
        fingerprint: Identifies the content of the files; their names and sizes if the images are not in memory.
        source: Description of where the files come from.
        validation: The data set's own validation split, if it has one.
        files: The image files, in the order of the images of each split; empty for IDX and CIFAR files.
        groups: For each training image, int64 [N], the number of its group; equal numbers are copies. None if there
            are no copies.
        left_out: Numbers of images that are not used, by reason: "no_class", "unsupported_format", "unreadable"; empty
            for IDX and CIFAR files.
        size_fingerprint: Identifies the names and sizes of image files; "" for other data.
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
    size_fingerprint: str = ""

    @property
    def is_lazy(self) -> bool:
        """Whether the images are decoded whenever they are used."""
        return isinstance(self.train.images, LazyImages)

    def is_data_of(self, facts: Mapping[str, Any]) -> bool:
        """Return whether this is the data of a run or an exported file with these facts.

        By the contents of the files, if they are known on both sides, otherwise by their names and sizes.

        Args:
            facts: "fingerprint", and "size_fingerprint" if it is known.
        """
        recorded = {facts.get("fingerprint")} | ({facts.get("size_fingerprint")} if self.is_lazy else set())
        return not recorded.isdisjoint({self.fingerprint, self.size_fingerprint} - {""})

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
