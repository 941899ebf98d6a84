"""Streaming classification: images are decoded by threads, classified in batches, and not kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from classicnets.errors import CheckFailed, DataError
from classicnets.evaluation.rejection import Rejection
from classicnets.images.decode import read_fitted
from classicnets.images.inputs import Input, reason
from classicnets.text import _, join, plural
from classicnets.values import Preprocess
from classicnets.workers import ordered_map

# Decodes an image file to uint8 [channels, height, width] for a preprocessing. Raises DataError CN304.
Decoder = Callable[[Path | BytesIO, Preprocess], np.ndarray]

_BATCH_SIZE = 256  # images
_MAX_BATCH_BYTES = 32 * 2**20


class Classifier(Protocol):
    """A network with its preprocessing and classes: turns images into probabilities."""

    @property
    def preprocess(self) -> Preprocess:
        """Preprocessing of the images."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the outputs."""

    @property
    def precision(self) -> str:
        """Numeric precision: "float32", "bfloat16" or "int8"."""

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Classify uint8 [N, C, H, W]; return float32 [N, classes]."""


@dataclass(frozen=True)
class Prediction:
    """The top-k predictions for one image, most probable class first.

    Attributes:
        image: Path of the image.
        classes: Class names; empty for an image that cannot be read.
        probabilities: One for each of `classes`.
        truth: The true class, if it is known.
        error: Why the image cannot be read; "" for a readable image.
        rejected: Whether the answer is "unknown", because the first probability is below the smallest confidence.
    """

    image: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    truth: str | None = None
    error: str = ""
    rejected: bool = False

    @property
    def right(self) -> bool | None:
        """Whether the most probable class is the true class; None if one of them is unknown."""
        return self.classes[0] == self.truth if self.classes and self.truth else None


def predictions(
    classifier: Classifier,
    inputs: Iterable[Input],
    top: int = 3,
    *,
    decode: Decoder = read_fitted,
    rejection: Rejection | None = None,
) -> Iterator[tuple[Input, Prediction]]:
    """Yield each image with its `top` most probable classes; `decode` reads the image files."""
    for image, result in classify(classifier, inputs, decode=decode):
        if isinstance(result, DataError):
            yield image, Prediction(image.name, (), (), image.truth, reason(result))
        else:
            if rejection:
                result = rejection.calibrate(result[None])[0]  # noqa: PLW2901
            best = best_classes(result, top)
            classes = tuple(classifier.classes[i] for i in best)
            rejected = rejection is not None and rejection.rejects(float(result[best[0]]))
            probabilities = tuple(float(result[i]) for i in best)
            yield image, Prediction(image.name, classes, probabilities, image.truth, rejected=rejected)


def best_classes(probabilities: np.ndarray, top: int) -> np.ndarray:
    """Return the numbers of the `top` most probable classes of one image, most probable first."""
    return np.argsort(-probabilities, kind="stable")[:top]


def classify(
    classifier: Classifier, inputs: Iterable[Input], *, decode: Decoder = read_fitted
) -> Iterator[tuple[Input, np.ndarray | DataError]]:
    """Yield each image, in order, with its probabilities float32 [classes] or the error from reading it.

    One batch is decoded while another is classified; at most two batches are in memory.
    """
    preprocess = classifier.preprocess

    def read(image: Input) -> tuple[Input, np.ndarray | DataError]:
        try:
            return image, decode(image.file, preprocess)
        except DataError as error:
            return image, error

    size = max(1, min(_BATCH_SIZE, _MAX_BATCH_BYTES // (preprocess.channels * preprocess.side**2)))
    with closing(ordered_map(read, inputs, ahead=size)) as decoded_images:  # type: ignore[type-var]
        while batch := list(islice(decoded_images, size)):
            pixels = [content for _, content in batch if not isinstance(content, DataError)]
            probabilities = iter(finite(classifier.probabilities(np.stack(pixels)), classifier) if pixels else ())
            for image, content in batch:
                yield image, content if isinstance(content, DataError) else next(probabilities)


def finite(probabilities: np.ndarray, classifier: Classifier) -> np.ndarray:
    """Return the probabilities of a classifier if they are numbers.

    Raises:
        CheckFailed: CN106, they are infinite or NaN; the reason names the weights that are, if it is they.
    """
    if np.isfinite(probabilities).all():
        return probabilities
    precision = classifier.precision
    net = getattr(classifier, "net", None)  # a file of another runtime has none
    weights = [] if net is None else [name for name, tensor in net.state_dict().items() if not tensor.isfinite().all()]
    if weights:
        why = plural(
            "{n} of the network's tensors has infinite or NaN values: {names}",
            "{n:,} of the network's tensors have infinite or NaN values: {names}",
            len(weights),
            names=join(weights),
        )
    elif net is None:
        why = _(
            "weights in the file are infinite or NaN, or outputs of a layer are too large for {type}", type=precision
        )
    else:
        why = _("all weights are finite, so outputs of a layer are too large for {type}", type=precision)
    count = int((~np.isfinite(probabilities)).any(axis=1).sum())
    raise CheckFailed(
        "CN106",
        _("the outputs of the network are not finite numbers"),
        where=_("for {count:,} of {n:,} images", count=count, n=len(probabilities)),
        why=why,
        hint="--precision float32" if not weights and precision == "bfloat16" else "classicnets explain CN106",
    )
