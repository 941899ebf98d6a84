"""Which images of an evaluation count: those that the model was trained on are left out, unless the user wants them.

An image of a test split counts if the training split of the same data has it too: a published test split stays whole,
and the figures of a data set with such copies stay comparable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from classicnets.errors import DataError
from classicnets.images.decode import fit_bytes, read_bytes, read_fitted
from classicnets.images.trained import Mask, TrainedImages, digest_of, file_digest, is_lossy
from classicnets.text import _, again, plural
from classicnets.values import Preprocess
from classicnets.workers import ordered_map


@dataclass(frozen=True)
class Selection:
    """The images of an evaluation: `counted` is a mask [N], `trained_on` the number that were trained on, if known."""

    counted: Mask
    trained_on: int | None

    @property
    def left_out(self) -> int:
        """The number of images that do not count."""
        return int((~self.counted).sum())

    @property
    def reasons(self) -> dict[str, int]:
        """As `left_out` of `Evaluation`."""
        return {"trained_on": self.left_out} if self.left_out else {}


class Recognizer:
    """Reads image files for a network, and recognizes those that it was trained on."""

    def __init__(self, trained: TrainedImages):
        self._trained = trained
        self._digests: dict[Path | BytesIO, tuple[int, int]] = {}  # of the pixels, and of a lossy file

    def read(self, file: Path | BytesIO, preprocess: Preprocess) -> np.ndarray:
        """Read an image file as `read_fitted` does."""
        data = read_bytes(file)
        pixels = fit_bytes(data, file, preprocess)[0]
        digest = digest_of(pixels)
        is_lossy_file = isinstance(file, Path) and is_lossy(file)
        self._digests[file] = digest, file_digest(hashlib.sha256(data).hexdigest()) if is_lossy_file else digest
        return pixels

    def recognized(self, files: Sequence[Path | BytesIO]) -> Mask:
        """Return which of the files, which have been read, the network was trained on; [N]."""
        digests = np.array([self._digests[file] for file in files], np.uint64)
        known = self._trained.contain(digests.ravel()).reshape(-1, 2)
        return known[:, 0] | known[:, 1]


def select(trained: Mask | None, n: int, in_training_split: Callable[[], Mask], *, include_trained: bool) -> Selection:
    """Select the images that count.

    Args:
        trained: Which of the images the model was trained on, [N]; None if this is not known.
        n: The number of images.
        in_training_split: Which of them are in the training split of the same data too, [N].
        include_trained: Whether all images count.
    """
    if trained is None or include_trained or not trained.any():
        return Selection(np.ones(n, bool), None if trained is None else int(trained.sum()))
    return Selection(~trained | in_training_split(), int(trained.sum()))


def files_among(files: Sequence[Path | BytesIO], others: Sequence[Path], preprocess: Preprocess) -> Mask:
    """Return which of the files show the same image as one of the `others`, as a network sees them; [N]."""

    def digest(path: Path | BytesIO) -> int:
        try:
            return digest_of(read_fitted(path, preprocess))
        except DataError:  # equal to no image
            return 0

    theirs = set(ordered_map(digest, others))
    return np.fromiter((value in theirs for value in ordered_map(digest, files)), bool, len(files))


def describe(selection: Selection, name: str) -> str:
    """Say how many images of an evaluation the model was trained on, and whether they count."""
    n, total, left_out = selection.trained_on, len(selection.counted), selection.left_out
    if not n:
        return _("{name} was trained on none of these images", name=name)
    if not left_out:
        return plural(
            "{n} of the {total:,} images was used to train {name}, and counts nevertheless",
            "{n:,} of the {total:,} images were used to train {name}, and count nevertheless",
            n,
            total=total,
            name=name,
        )
    if left_out < n:
        return plural(
            "{n} of the {total:,} images was used to train {name}: {left_out:,} are left out, and those that the"
            " training split of this data has too count (--include-trained counts all)",
            "{n:,} of the {total:,} images were used to train {name}: {left_out:,} are left out, and those that the"
            " training split of this data has too count (--include-trained counts all)",
            n,
            total=total,
            left_out=left_out,
            name=name,
        )
    return plural(
        "{n} of the {total:,} images was used to train {name} and is left out (--include-trained counts it)",
        "{n:,} of the {total:,} images were used to train {name} and are left out (--include-trained counts them)",
        n,
        total=total,
        name=name,
    )


def nothing_left(n: int, model: Path, name: str, data: Path, *, has_test: bool) -> DataError:
    """Return the error for data whose images were all used for training."""
    with_them = again("classicnets", "evaluate", model, data, "--include-trained", include_trained=True)
    test, others = again("classicnets", "evaluate", model, data=None), ("classicnets", "evaluate", model, "DATA")
    hints = [_("{command}   # counts them, which shows how well they were learned", command=with_them)]
    if has_test:
        hints.insert(0, _("{command}   # evaluates the test split of the training data", command=test))
    else:
        hints.insert(0, _("{command}   # with other images", command=again(*others, data="DATA")))
    return DataError(
        "CN309",
        plural(
            "{name} was trained on the only image of the data",
            "{name} was trained on all {n:,} images of the data",
            n,
            name=name,
        ),
        where=str(data),
        why=_("their accuracy says nothing about new images"),
        hint=tuple(hints),
    )
