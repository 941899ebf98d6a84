"""A trained model that predicts and is evaluated: a run, or an exported file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

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
from classicnets.evaluation.rejection import Calibration, Rejection
from classicnets.evaluation.selection import Recognizer, Selection, describe, files_among, nothing_left, select
from classicnets.files import user_path
from classicnets.images import inputs, loading
from classicnets.images.automatic_split import Copies
from classicnets.images.decode import read_fitted
from classicnets.images.inputs import Input
from classicnets.images.layout import read_layout
from classicnets.images.names import class_name
from classicnets.images.splits import Layout
from classicnets.images.trained import Mask, TrainedImages, digests_of, read_record
from classicnets.options import one_of
from classicnets.spec import ON_BAD_IMAGE
from classicnets.text import _, again, command, plural

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
        size_fingerprint: That of the names and sizes of its files, if it is known.
        on_bad_image: "fail" or "skip", as the data was read for training.
        copies: Groups of copies that an automatic split of that data keeps together; None for version 0.1.
        accuracy: The accuracy on the test split of that data that was recorded for these weights, if there is one.
        calibration: The temperature that was fitted on validation images, or why there is none.
        min_confidence: The smallest confidence that the file was exported with; it then applies the temperature.
        trained_images: The record of the images that it was trained on, as `images.trained.record` returns it.
        remember: Receives the place of that data if it has moved.
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
        copies: Copies | None = None,
        accuracy: float | None = None,
        calibration: Calibration = Calibration(missing="old"),  # noqa: B008 - frozen
        min_confidence: float | None = None,
        trained_images: Mapping[str, Any] | None = None,
        size_fingerprint: str | None = None,
        remember: Callable[[str], None] = lambda _: None,
    ):
        self.accuracy, self.calibration, self.min_confidence = accuracy, calibration, min_confidence
        self.trained_images, self._remember = trained_images, remember
        self.predictor, self.path, self.name, self.weights = predictor, path, name, weights
        self.data, self.fingerprint, self.on_bad_image, self.copies = data, fingerprint, on_bad_image, copies
        self._fingerprints = {"fingerprint": fingerprint, "size_fingerprint": size_fingerprint}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}: {self.name}, {len(self.predictor.classes)} classes)"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the outputs."""
        return self.predictor.classes

    @property
    def temperature(self) -> float | None:
        """The temperature that calibrates probabilities where answers can be rejected; None if there is none."""
        return self.calibration.temperature

    def rejecting(self, min_confidence: float | None) -> Rejection | None:
        """Return which answers are rejected below a confidence; None: as the file was exported, or none.

        Raises:
            UsageError: CN204, the confidence is not between 0 and 1.
        """
        images = None if self.temperature is None else self.calibration.images
        if min_confidence is None:
            return None if self.min_confidence is None else Rejection(self.min_confidence, 1.0, images)
        if not 0 <= min_confidence <= 1:
            raise UsageError(
                "CN204",
                _("the smallest confidence must be between 0 and 1, not {value}", value=min_confidence),
                hint="min_confidence=0.9",
            )
        is_applied = self.min_confidence is not None
        return Rejection(min_confidence, 1.0 if is_applied or self.temperature is None else self.temperature, images)

    def predict(
        self,
        *images: Any,
        top: int = 3,
        decode: Decoder = read_fitted,
        min_confidence: float | None = None,
    ) -> list[Prediction]:
        """Return the `top` most probable classes of each image.

        Args:
            images: Files, folders, globs, CSV lists, or "-" for standard input; or images in memory: uint8 arrays or
                tensors [H, W], [H, W, C], [C, H, W] or batches [N, ...], PIL images, bytes, open files; or lists of all
                of these.
            top: Number of classes for each image.
            decode: Reads an image file.
            min_confidence: See `rejecting`.

        Returns:
            One prediction for each image; for an image that cannot be read, it has an `error` and no classes.

        Raises:
            DataError: CN304, there is no image, or an object is none; CN307, a CSV list is not valid.
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
        include_trained: bool = False,
        say: Callable[[str], None] = print_to_stderr,
        watch: Watch = iter,
    ) -> Evaluation:
        """Evaluate the model on labeled images, whose classes are matched by name.

        Args:
            data: A data set name, a folder, or a CSV list with classes (default: the test split of the training data).
                If it has a test split, only that is used; otherwise all images are used. Images that the model was
                trained on do not count, unless the training split of the same data has them too.
            on_bad_image: "fail", or "skip" to leave out image files that cannot be read.
            min_confidence: See `rejecting`; the result then has `accepted`.
            include_trained: Whether images that the model was trained on count.
            say: Receives notes about the data.
            watch: Receives the list of image files and yields them again, for progress reporting.

        Raises:
            DataError: CN304, an image cannot be read; CN306, the training data has changed, or the network does not
                know a class; CN307, the folder or list is not valid; CN309, the model was trained on all images.
            UsageError: CN206, `data` is needed, `on_bad_image` is unknown, or it or `include_trained` has no effect.
        """
        rejection = self.rejecting(min_confidence)
        self._check_on_bad_image(on_bad_image, data)
        if data is None:
            if include_trained:
                raise UsageError(
                    "CN206",
                    _("--include-trained has no effect on the test split of the training data, which always counts"),
                    where=str(self.path),
                    hint=again("classicnets", "evaluate", self.path, "DATA", "--include-trained", data="DATA"),
                )
            return self._evaluate_default(on_bad_image, say, rejection)
        if location := loading.image_location(str(data)):
            return self._evaluate_files(location, on_bad_image, say, watch, rejection, include_trained=include_trained)
        splits = loading.load(str(data), self.predictor.preprocess, say=say)
        if splits.is_data_of(self._fingerprints):
            return self._evaluate_own(splits, str(data), say, rejection)
        classes = splits.classes
        if user_path(data).is_dir() and self._are_numbers_for_own_classes(classes):
            say(_("{data} has labels without class names; label N is the network's class N", data=splits.name))
            classes = self.classes
        test = splits.test
        labels = renumbered(test.labels, classes, self.classes, str(data))
        trained = self._trained(say)
        known = None if trained is None else trained.contain(digests_of(test.images[:]))
        selection = self._select(
            known,
            len(test),
            lambda: np.isin(digests_of(test.images[:]), digests_of(splits.train.images[:])),
            str(data),
            say,
            include_trained=include_trained,
        )
        counted = selection.counted
        evaluation = evaluate(self.predictor, Split(test.subset(counted).images, labels[counted]), rejection)[0]
        return replace(evaluation, trained_on=selection.trained_on, left_out=selection.reasons)

    def _check_on_bad_image(self, on_bad_image: str, data: str | Path | None) -> None:
        """Raise UsageError CN206 for an unknown value, and for data that are not image files."""
        check_on_bad_image(on_bad_image)
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
                hint=again("classicnets", "evaluate", self.path, "DATA", data="DATA"),
            )
        splits = self._load_own(self.data, on_bad_image, say)
        if not splits.is_data_of(self._fingerprints):
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
        return self._evaluate_own(splits, self.data, say, rejection)

    def _evaluate_own(
        self, splits: ImageSplits, place: str, say: Callable[[str], None], rejection: Rejection | None
    ) -> Evaluation:
        """Evaluate on the whole test split of the training data, which lies at `place`."""
        if not self._has_data() and place not in DATASETS:
            self._remember(str(user_path(place).resolve()))
        evaluation = evaluate(self.predictor, splits.test, rejection)[0]
        if message := compare_with_run(evaluation.accuracy, self.accuracy, evaluation.n):
            say(message)
        evaluation = replace(evaluation, left_out=splits.left_out)
        if self.trained_images is None:
            return evaluation
        in_test = int(self.trained_images.get("in_test", 0))
        if in_test:
            say(
                plural(
                    "{n} of the {total:,} test images was also used to train {name}; it counts, as in the run",
                    "{n:,} of the {total:,} test images were also used to train {name}; they count, as in the run",
                    in_test,
                    total=evaluation.n,
                    name=self.name,
                )
            )
        return replace(evaluation, trained_on=in_test)

    def _has_data(self) -> bool:
        """Whether the data that the model was trained on is a published set, or is still where it was."""
        return self.data is not None and (self.data in DATASETS or user_path(self.data).exists())

    def _load_own(self, data: str, on_bad_image: str, say: Callable[[str], None]) -> ImageSplits:
        if self.on_bad_image == "skip":  # as in training, so that the fingerprint is the same
            on_bad_image = "skip"
        return loading.load(data, self.predictor.preprocess, on_bad_image=on_bad_image, copies=self.copies, say=say)

    def _evaluate_files(
        self,
        location: Path,
        on_bad_image: str,
        say: Callable[[str], None],
        watch: Watch,
        rejection: Rejection | None,
        *,
        include_trained: bool,
    ) -> Evaluation:
        layout = read_layout(location)
        if not include_trained and (splits := self._own_splits(location, layout, on_bad_image)):
            say(
                _("{data} is what {name} was trained on, so only the test split is used", name=self.name, data=location)
            )
            return self._evaluate_own(splits, str(location), say, rejection)
        files = list(inputs.labeled_images(layout, say))
        classes = {str(image.truth) for image in files}
        if unknown := classes - {*map(class_name, self.classes)}:
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
        trained = self._trained(say)
        recognizer = None if trained is None else Recognizer(trained)

        def select_files(images: list[Input]) -> Selection:
            known = recognizer.recognized([image.file for image in images]) if recognizer else None
            return self._select(
                known,
                len(images),
                lambda: self._in_training_split(layout, images),
                str(location),
                say,
                include_trained=include_trained,
            )

        evaluation = evaluate_files(
            self.predictor,
            watch(files),
            str(location),
            skip_unreadable=on_bad_image == "skip",
            say=say,
            rejection=rejection,
            decode=recognizer.read if recognizer else read_fitted,
            select=select_files,
        )
        return replace(evaluation, left_out={**layout.left_out, **evaluation.left_out})

    def _own_splits(self, location: Path, layout: Layout, on_bad_image: str) -> ImageSplits | None:
        """The splits of a folder or CSV if it is the data that the model was trained on, wherever it lies.

        All its images are read for this, so it is tried only if their number is the same, and only if it matters:
        with a test split of its own, the same images are evaluated anyway, but a run has to learn where its data is.
        """
        if self.fingerprint is None or (layout.has_test_split and self._has_data()):
            return None
        if self.trained_images is None:  # an older model does not record the number
            if self.data is None or not self._has_data() or not location.samefile(user_path(self.data)):
                return None
        elif self.trained_images.get("images") != sum(1 for _file in layout.files()):
            return None
        try:
            splits = self._load_own(str(location), on_bad_image, lambda _: None)
        except DataError:  # it is not what a run can be trained on; evaluating it names the fault
            return None
        return splits if splits.is_data_of(self._fingerprints) else None

    def _trained(self, say: Callable[[str], None]) -> TrainedImages | None:
        """The images that the model was trained on; None, with the reason to `say`, if they are not known."""
        try:
            return read_record(self.trained_images, self.name, say)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                "CN305",
                _("the record of the images that {name} was trained on is damaged", name=self.name),
                where=str(self.path),
                why=str(error),
            ) from error

    def _select(
        self,
        trained: Mask | None,
        n: int,
        in_training_split: Callable[[], Mask],
        data: str,
        say: Callable[[str], None],
        *,
        include_trained: bool,
    ) -> Selection:
        """Select the images that count, and report it. Raises DataError CN309 if none does."""
        selection = select(trained, n, in_training_split, include_trained=include_trained)
        if n and not selection.counted.any():
            raise nothing_left(n, self.path, self.name, Path(data), has_test=self._has_data())
        if trained is not None:
            say(describe(selection, self.name))
        return selection

    def _in_training_split(self, layout: Layout, images: list[Input]) -> Mask:
        """Which of the images of a test split are in the training or validation split of the same data too."""
        if not layout.has_test_split:
            return np.zeros(len(images), bool)
        others = [path for split in (layout.train, layout.validation) for paths in split.values() for path in paths]
        return files_among([image.file for image in images], others, self.predictor.preprocess)

    def _are_numbers_for_own_classes(self, classes: tuple[str, ...]) -> bool:
        """Whether these are the names "0", "1", ... of an IDX file without names, and can number the own classes."""
        numbers = tuple(map(str, range(len(classes))))
        return classes == numbers and len(numbers) <= len(self.classes) and not {*numbers} & {*self.classes}


def check_on_bad_image(value: str) -> None:
    """Raise UsageError CN206 for an unknown value of `on_bad_image`."""
    if value not in ON_BAD_IMAGE:
        raise UsageError(
            "CN206",
            _("--on-bad-image must be {names}, not {value!r}", names=one_of(ON_BAD_IMAGE), value=value),
            hint=command("--on-bad-image", ON_BAD_IMAGE[0]),
        )
