"""Evaluation of a classifier on labeled images."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from classicnets.datasets.types import Images, LazyImages, Split
from classicnets.errors import DataError
from classicnets.evaluation.classify import Classifier, Decoder, classify, finite
from classicnets.evaluation.metrics import Metrics, measure
from classicnets.evaluation.predictor import Predictor, batch_size
from classicnets.evaluation.rejection import Rejection
from classicnets.evaluation.selection import Selection
from classicnets.files import write_whole
from classicnets.images import inputs
from classicnets.images.decode import read_fitted
from classicnets.images.inputs import Input
from classicnets.images.names import class_name
from classicnets.strict_json import dump
from classicnets.text import _, command, join, nearest, plural

_MAX_NAMED = 5  # images or classes that an error names
_MAX_KNOWN_CLASSES = 20  # classes of the network that an error lists


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """The answers that are not rejected, and the calibration of all.

    Attributes:
        min_confidence: Answers with a smaller probability are rejected.
        temperature: Divides the log-probabilities first.
        calibration_images: As in `Rejection`.
        n: Number of accepted images.
        coverage: Their fraction of all images.
        accuracy: Their accuracy; None if there are none.
        loss: As in `Metrics`, of all images, with the temperature.
        calibration_error: As in `Metrics`, of all images, with the temperature.
    """

    min_confidence: float
    temperature: float
    calibration_images: int | None
    n: int
    coverage: float
    accuracy: float | None
    loss: float
    calibration_error: float


@dataclass(frozen=True, kw_only=True)
class Evaluation(Metrics):
    """The metrics of a classifier on a split, the seconds for classifying it, and the effect of a rejection.

    Attributes:
        seconds: Time for classifying the images, including those that are left out.
        accepted: The answers that are not rejected; None if all are given.
        trained_on: How many of the images the model was trained on or chosen by; None if this is not known.
        left_out: Numbers of images that do not count, by reason: as in `ImageSplits`, and "trained_on".
    """

    seconds: float
    accepted: Accepted | None = None
    trained_on: int | None = None
    left_out: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `accepted` only if answers can be rejected."""
        values = super().to_dict()
        return values if self.accepted else {key: value for key, value in values.items() if key != "accepted"}


def accept(probabilities: np.ndarray, labels: np.ndarray, rejection: Rejection) -> Accepted:
    """Apply a rejection to probabilities [N, classes] with labels int64 [N]."""
    calibrated = rejection.calibrate(probabilities)
    metrics = measure(calibrated, labels)
    kept = ~np.array([rejection.rejects(float(confidence)) for confidence in calibrated.max(axis=1)], dtype=bool)
    return Accepted(
        min_confidence=rejection.min_confidence,
        temperature=rejection.temperature,
        calibration_images=rejection.calibration_images,
        n=int(kept.sum()),
        coverage=float(kept.mean()),
        accuracy=float((calibrated.argmax(axis=1) == labels)[kept].mean()) if kept.any() else None,
        loss=metrics.loss,
        calibration_error=metrics.calibration_error,
    )


def evaluate(classifier: Classifier, split: Split, rejection: Rejection | None = None) -> tuple[Evaluation, np.ndarray]:
    """Evaluate a classifier on a split; also return the probabilities, float32 [N, classes], without a temperature.

    Raises:
        CheckFailed: CN106, outputs are not finite.
    """
    started = time.perf_counter()
    probabilities = finite(_probabilities(classifier, split.images), classifier)
    seconds = time.perf_counter() - started
    return evaluation_of(probabilities, split.labels, seconds, rejection), probabilities


def _probabilities(classifier: Classifier, images: Images) -> np.ndarray:
    """The probabilities of images; for an exported file, images that are not in memory are given in batches."""
    if not isinstance(images, LazyImages):
        return classifier.probabilities(images)
    if isinstance(classifier, Predictor):
        return classifier.probabilities(images)
    size = batch_size(classifier.preprocess)
    rows = np.split(np.arange(len(images)), range(size, len(images), size))
    return np.concatenate([classifier.probabilities(batch) for batch in images.batches(rows)])


def evaluation_of(
    probabilities: np.ndarray,
    labels: np.ndarray,
    seconds: float,
    rejection: Rejection | None = None,
    selection: Selection | None = None,
) -> Evaluation:
    """Return the metrics of the images that count (default: all) for probabilities [N, classes] and labels [N]."""
    selection = selection or Selection(np.ones(len(labels), bool), None)
    probabilities, labels = probabilities[selection.counted], labels[selection.counted]
    return Evaluation(
        **vars(measure(probabilities, labels)),
        seconds=seconds,
        accepted=accept(probabilities, labels, rejection) if rejection else None,
        trained_on=selection.trained_on,
        left_out=selection.reasons,
    )


def compare_with_run(accuracy: float, recorded: float | None, n: int) -> str:
    """Say that an accuracy is not the one that the run recorded for the same weights and test images.

    Another device or precision may change the predictions of images at the border of two classes: of two images, or
    one in a thousand.

    Args:
        accuracy: The accuracy that was measured now.
        recorded: The accuracy in run.json or in an exported file; None if there is none.
        n: The number of test images.

    Returns:
        A sentence; "" if they agree.
    """
    if recorded is None or abs(accuracy - recorded) <= max(0.001, 2.5 / n):
        return ""
    return _(
        "the accuracy is {accuracy:.4f} here, but the run recorded {recorded:.4f} on the same {n:,} test images, so"
        " this network does not compute what the trained one did",
        accuracy=accuracy,
        recorded=recorded,
        n=n,
    )


def evaluate_files(
    classifier: Classifier,
    images: Iterable[Input],
    where: str,
    *,
    skip_unreadable: bool = False,
    say: Callable[[str], None] = lambda _: None,
    rejection: Rejection | None = None,
    decode: Decoder = read_fitted,
    select: Callable[[list[Input]], Selection] | None = None,
) -> Evaluation:
    """Evaluate a classifier on image files, whose classes are matched by name; images are not kept in memory.

    Args:
        classifier: What is evaluated.
        images: The files with their classes.
        where: The folder or CSV, for errors.
        skip_unreadable: Leave out images that cannot be read, and report their number with `say`.
        say: Receives that report.
        rejection: Which answers are rejected.
        decode: Reads an image file.
        select: Is given the images that can be read, after they were classified, and says which of them count.

    Raises:
        DataError: CN304, images cannot be read (results on the others would be different results), up to five are
            named; CN306, the network does not know a class.
    """
    numbers = {class_name(name): i for i, name in enumerate(classifier.classes)}
    started = time.perf_counter()
    rows, labels, readable, unreadable = [], [], list[Input](), list[str]()
    for image, result in classify(classifier, images, decode=decode):
        if isinstance(result, DataError):
            unreadable.append(_("{file}: {reason}", file=image.name, reason=inputs.reason(result)))
            if len(unreadable) == _MAX_NAMED and not skip_unreadable:
                break
        elif image.truth not in numbers:
            raise unknown_classes({str(image.truth)}, classifier.classes, where)
        else:
            rows.append(result)
            labels.append(numbers[image.truth])
            readable.append(image)
    if unreadable and not (skip_unreadable and rows):
        raise _unreadable_images(unreadable, where)
    if unreadable:
        say(
            plural(
                "{n:,} image cannot be read and is skipped: {first}",
                "{n:,} images cannot be read and are skipped, the first is {first}",
                len(unreadable),
                first=unreadable[0],
            )
        )
    seconds = time.perf_counter() - started
    selection = select(readable) if select else None
    evaluation = evaluation_of(np.stack(rows), np.array(labels), seconds, rejection, selection)
    return replace(evaluation, left_out={"unreadable": len(unreadable), **evaluation.left_out})


def _unreadable_images(unreadable: list[str], where: str) -> DataError:
    if len(unreadable) < _MAX_NAMED:
        what = plural("{n} image cannot be read", "{n} images cannot be read", len(unreadable))
    else:
        what = _("{n} or more images cannot be read", n=_MAX_NAMED)
    return DataError(
        "CN304",
        what,
        where=where,
        why="\n".join(unreadable[:_MAX_NAMED]),
        hint=(
            _("{command}   # lists all of them", command=command("classicnets", "predict", "MODEL", Path(where))),
            _("--on-bad-image skip evaluates without them"),
        ),
    )


def renumbered(labels: np.ndarray, theirs: tuple[str, ...], ours: tuple[str, ...], where: str) -> np.ndarray:
    """Translate labels int64 [N] of the classes `theirs` to the numbers of the same class names in `ours`.

    Raises:
        DataError: CN306, a class with images is not in `ours`.
    """
    numbers = {class_name(name): i for i, name in enumerate(ours)}
    if unknown := {class_name(theirs[i]) for i in np.unique(labels)} - {*numbers}:
        raise unknown_classes(unknown, ours, where)
    translation = np.array([numbers.get(name, -1) for name in map(class_name, theirs)])
    return np.asarray(translation[labels])


def unknown_classes(unknown: Collection[str], known: tuple[str, ...], where: str) -> DataError:
    """Return the error for classes that the network does not know; it names the nearest known class of each."""
    lines = []
    for name in sorted(unknown)[:_MAX_NAMED]:
        known_name = nearest(name, known)
        lines.append(_("{name!r}; the nearest is {known!r}", name=name, known=known_name) if known_name else repr(name))
    if len(unknown) > _MAX_NAMED:
        lines.append(_("and {n:,} more", n=len(unknown) - _MAX_NAMED))
    lines.append(_("the network knows {classes}", classes=join(known, most=_MAX_KNOWN_CLASSES)))
    return DataError(
        "CN306",
        plural(
            "the network does not know {n} class of the data",
            "the network does not know {n:,} classes of the data",
            len(unknown),
        ),
        where=where,
        why="\n".join(lines),
        hint=_("rename the class folders, or the classes in the CSV, to the names of the network's classes"),
    )


def write_metrics(path: Path, facts: dict[str, Any]) -> None:
    """Write the facts of an evaluation as JSON with one fact a line, so that a large confusion matrix is one line.

    Raises:
        MachineError: CN401, the file cannot be written.
    """
    lines = (f"  {dump(key)}: {dump(value, ascii=False)}" for key, value in facts.items())
    write_whole(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
