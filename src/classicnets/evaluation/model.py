"""A trained model that predicts and is evaluated: a run, or an exported file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from classicnets.datasets.catalog import DATASETS
from classicnets.datasets.types import ImageSplits, Split, print_to_stderr
from classicnets.errors import DataError, UsageError
from classicnets.evaluation.classify import Classifier, Decoder, Prediction, predictions
from classicnets.evaluation.evaluate import (
    Evaluation,
    compare_with_run,
    evaluate,
    evaluate_files,
    renumbered,
    unknown_classes,
)
from classicnets.evaluation.rejection import Rejection
from classicnets.images import inputs, loading
from classicnets.images.decode import read_fitted
from classicnets.images.inputs import Input
from classicnets.images.layout import read_layout
from classicnets.images.names import normalize_name
from classicnets.spec import ON_BAD_IMAGE, one_of
from classicnets.text import _, command, plural

Watch = Callable[[list[Input]], Iterable[Input]]


class Model:
    """A classifier with a name, and the data that it is evaluated on by default.

    Args:
        predictor: Computes the probabilities.
        path: The run folder or exported file.
        name: Name of the network.
        weights: Name of the weights file.
        data: Data set or folder whose test split is the default for `evaluate`, if it is known.
        fingerprint: Fingerprint of that data.
        on_bad_image: "fail" or "skip", as the data was read for training.
        accuracy: The accuracy on the test split of that data that was recorded for these weights, if there is one.
        temperature: The temperature that was fitted on validation images, if there is one.
        min_confidence: The smallest confidence that the file was exported with; it then applies the temperature.
    """

    def __init__(
        self,
        predictor: Classifier,
        *,
        path: Path,
        name: str,
        weights: str,
        data: str | None,
        fingerprint: str | None,
        on_bad_image: str = "fail",
        accuracy: float | None = None,
        temperature: float | None = None,
        min_confidence: float | None = None,
    ):
        self.accuracy, self.temperature, self.min_confidence = accuracy, temperature, min_confidence
        self.predictor, self.path, self.name, self.weights = predictor, path, name, weights
        self.data, self.fingerprint, self.on_bad_image = data, fingerprint, on_bad_image

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}: {self.name}, {len(self.predictor.classes)} classes)"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the outputs."""
        return self.predictor.classes

    def rejecting(self, min_confidence: float | None) -> Rejection | None:
        """Return which answers are rejected below a confidence; None: as the file was exported, or none.

        Raises:
            UsageError: CN204, the confidence is not between 0 and 1.
        """
        if min_confidence is None:
            return None if self.min_confidence is None else Rejection(self.min_confidence)
        if not 0 <= min_confidence <= 1:
            raise UsageError(
                "CN204",
                _("the smallest confidence must be between 0 and 1, not {value}", value=min_confidence),
                hint="min_confidence=0.9",
            )
        is_applied = self.min_confidence is not None
        return Rejection(min_confidence, 1.0 if is_applied or self.temperature is None else self.temperature)

    def predict(
        self,
        *images: str | Path,
        top: int = 3,
        decode: Decoder = read_fitted,
        min_confidence: float | None = None,
    ) -> list[Prediction]:
        """Return the `top` most probable classes of each image.

        Args:
            images: Files, folders, globs, CSV lists, or "-" for standard input.
            top: Number of classes for each image.
            decode: Reads an image file.
            min_confidence: See `rejecting`.

        Returns:
            One prediction for each image; for an image that cannot be read, it has an `error` and no classes.

        Raises:
            DataError: CN304, there is no image; CN307, a CSV list is not valid.
        """
        found = self.stream(inputs.find_images(images), top=top, decode=decode, min_confidence=min_confidence)
        return [prediction for _image, prediction in found]

    def stream(
        self,
        images: Iterable[Input],
        *,
        top: int = 3,
        decode: Decoder = read_fitted,
        min_confidence: float | None = None,
    ) -> Iterator[tuple[Input, Prediction]]:
        """Yield each image with its prediction, for any number of images, without keeping them in memory."""
        return predictions(self.predictor, images, top, decode=decode, rejection=self.rejecting(min_confidence))

    def evaluate(
        self,
        data: str | Path | None = None,
        *,
        on_bad_image: str = "fail",
        min_confidence: float | None = None,
        say: Callable[[str], None] = print_to_stderr,
        watch: Watch = iter,
    ) -> Evaluation:
        """Evaluate the model on labeled images, whose classes are matched by name.

        Args:
            data: A data set name, a folder, or a CSV list with classes (default: the test split of the training data).
                If it has a test split, only that is used; otherwise all images are used.
            on_bad_image: "fail", or "skip" to leave out image files that cannot be read.
            min_confidence: See `rejecting`; the result then has `accepted`.
            say: Receives notes about the data.
            watch: Receives the list of image files and yields them again, for progress reporting.

        Raises:
            DataError: CN304, an image cannot be read; CN306, the training data has changed, or the network does not
                know a class; CN307, the folder or list is not valid.
            UsageError: CN206, `data` is needed, or `on_bad_image` is unknown or has no effect on it.
        """
        rejection = self.rejecting(min_confidence)
        self._check_on_bad_image(on_bad_image, data)
        if data is not None and self._is_training_data(str(data)):
            say(_("{name} was trained on {data}, so only the test split is used", name=self.name, data=data))
            data = None
        if data is None:
            return self._evaluate_default(on_bad_image, say, rejection)
        if location := loading.image_location(str(data)):
            return self._evaluate_files(location, on_bad_image, say, watch, rejection)
        splits = loading.load(str(data), self.predictor.preprocess, say=say)
        classes = splits.classes
        if Path(data).expanduser().is_dir() and self._are_numbers_for_own_classes(classes):
            say(_("{data} has labels without class names; label N is the network's class N", data=splits.name))
            classes = self.classes
        labels = renumbered(splits.test.labels, classes, self.classes, str(data))
        return evaluate(self.predictor, Split(splits.test.images, labels), rejection)[0]

    def _check_on_bad_image(self, on_bad_image: str, data: str | Path | None) -> None:
        """Raise UsageError CN206 for an unknown value, and for data that are not image files."""
        if on_bad_image not in ON_BAD_IMAGE:
            raise UsageError(
                "CN206",
                _("--on-bad-image must be {names}, not {value!r}", names=one_of(ON_BAD_IMAGE), value=on_bad_image),
                hint=command("--on-bad-image", ON_BAD_IMAGE[0]),
            )
        source = str(data) if data is not None else self.data if self._has_data() else None
        if on_bad_image != ON_BAD_IMAGE[0] and source and not loading.image_location(source):
            raise UsageError(
                "CN206",
                _("--on-bad-image {value} has no effect on data that are not image files", value=on_bad_image),
                where=source,
                hint=command("--on-bad-image", ON_BAD_IMAGE[0]),
            )

    def _evaluate_default(
        self, on_bad_image: str, say: Callable[[str], None], rejection: Rejection | None
    ) -> Evaluation:
        """Evaluate on the test split of the training data."""
        if self.data is None or not self._has_data():
            raise UsageError(
                "CN206",
                _("the data to evaluate {name} on is not available", name=self.path.name),
                where=self.data or _("{name} does not state its data set", name=self.path.name),
                hint=command("classicnets", "evaluate", self.path, "DATA"),
            )
        splits = self._load_default(self.data, on_bad_image, say)
        if splits.fingerprint != self.fingerprint:
            raise DataError(
                "CN306",
                _(
                    "the contents of {data} have changed since {name} was trained on it",
                    data=self.data,
                    name=self.path.name,
                ),
                where=str(self.path),
                hint=command("classicnets", "data", "check", Path(self.data)),
            )
        evaluation = evaluate(self.predictor, splits.test, rejection)[0]
        if message := compare_with_run(evaluation.accuracy, self.accuracy, evaluation.n):
            say(message)
        return evaluation

    def _has_data(self) -> bool:
        """Whether the data that the model was trained on is a published set, or is still where it was."""
        return self.data is not None and (self.data in DATASETS or Path(self.data).expanduser().exists())

    def _load_default(self, data: str, on_bad_image: str, say: Callable[[str], None]) -> ImageSplits:
        if self.on_bad_image == "skip":  # as in training, so that the fingerprint is the same
            on_bad_image = "skip"
        return loading.load(data, self.predictor.preprocess, on_bad_image=on_bad_image, say=say)

    def _evaluate_files(
        self,
        location: Path,
        on_bad_image: str,
        say: Callable[[str], None],
        watch: Watch,
        rejection: Rejection | None,
    ) -> Evaluation:
        layout = read_layout(location)
        files = list(inputs.labeled_images(layout, say))
        classes = {str(image.truth) for image in files}
        if unknown := classes - {*map(normalize_name, self.classes)}:
            raise unknown_classes(unknown, self.classes, str(location))
        if layout.has_test_split:
            images = plural("{n:,} image of the test split", "{n:,} images of the test split", len(files))
        else:
            images = plural("{n:,} image (there is no test split)", "{n:,} images (there is no test split)", len(files))
        say(
            _(
                "{name}: {images}, in {classes:,} of the network's {known:,} classes",
                name=location.name,
                images=images,
                classes=len(classes),
                known=len(self.classes),
            )
        )
        return evaluate_files(
            self.predictor,
            watch(files),
            str(location),
            skip_unreadable=on_bad_image == "skip",
            say=say,
            rejection=rejection,
        )

    def _are_numbers_for_own_classes(self, classes: tuple[str, ...]) -> bool:
        """Whether these are the names "0", "1", ... of an IDX file without names, and can number the own classes."""
        numbers = tuple(map(str, range(len(classes))))
        return classes == numbers and len(numbers) <= len(self.classes) and not {*numbers} & {*self.classes}

    def _is_training_data(self, data: str) -> bool:
        """Whether the model was trained on `data`, so that only its test split gives an honest result."""
        if data == self.data:
            return True
        if self.data is None or {data, self.data} & {*DATASETS}:
            return False
        path, own_path = Path(data).expanduser(), Path(self.data).expanduser()
        return path.exists() and own_path.exists() and path.samefile(own_path)
