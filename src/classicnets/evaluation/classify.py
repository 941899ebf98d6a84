"""A stream of images through a classifier: decoded by threads, classified in batches, nothing kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from classicnets.errors import DataError
from classicnets.images.decode import read_fitted
from classicnets.images.inputs import Input, reason
from classicnets.values import Preprocess
from classicnets.workers import ordered_map

# An image file and the preprocessing to uint8 [channels, side, side]; raises DataError CN304 if it cannot be read.
Decoder = Callable[[Path | BytesIO, Preprocess], np.ndarray]

_AT_ONCE = 256  # images in a batch
_BATCH_BYTES = 32 * 2**20  # and the most they may take


class Classifier(Protocol):
    """Images in, probabilities out: a net with its preprocessing and classes."""

    @property
    def preprocess(self) -> Preprocess:
        """How images are prepared."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in the order of the outputs."""

    @property
    def precision(self) -> str:
        """In what it computes: "float32", "bfloat16" or "int8"."""

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, C, H, W] to float32 [N, classes]."""


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image, best first, with their probabilities; and the true class where it is known.

    An image that could not be read has no classes, and `error` says why.
    """

    image: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    truth: str | None = None
    error: str = ""

    @property
    def right(self) -> bool | None:
        """Whether the likeliest class is the true one; None where either is not known."""
        return self.classes[0] == self.truth if self.classes and self.truth else None


def predictions(
    classifier: Classifier, inputs: Iterable[Input], top: int = 3, *, decode: Decoder = read_fitted
) -> Iterator[tuple[Input, Prediction]]:
    """Each image, read by `decode`, with its `top` likeliest classes, as they come."""
    for one, row in classify(classifier, inputs, decode=decode):
        if isinstance(row, DataError):
            yield one, Prediction(one.name, (), (), one.truth, reason(row))
        else:
            best = np.argsort(-row, kind="stable")[:top]
            names, numbers = (classifier.classes[i] for i in best), (float(row[i]) for i in best)
            yield one, Prediction(one.name, tuple(names), tuple(numbers), one.truth)


def classify(
    classifier: Classifier, inputs: Iterable[Input], *, decode: Decoder = read_fitted
) -> Iterator[tuple[Input, np.ndarray | DataError]]:
    """Each image, in order, with its probabilities float32 [classes] or the reason why it cannot be read.

    One batch is decoded while another is classified; no more are held.
    """
    preprocess = classifier.preprocess

    def read(one: Input) -> tuple[Input, np.ndarray | DataError]:
        try:
            return one, decode(one.file, preprocess)
        except DataError as error:
            return one, error

    size = max(1, min(_AT_ONCE, _BATCH_BYTES // (preprocess.channels * preprocess.side**2)))
    with closing(ordered_map(read, inputs, ahead=size)) as images:  # type: ignore[type-var]
        while batch := list(islice(images, size)):
            good = [image for _, image in batch if not isinstance(image, DataError)]
            rows = iter(classifier.probabilities(np.stack(good)) if good else ())
            for one, image in batch:
                yield one, image if isinstance(image, DataError) else next(rows)
