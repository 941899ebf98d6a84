"""What classifies images, whatever it is made of: a classifier with its name and the data it is measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from classicnets import text
from classicnets.datasets.catalog import DATASETS
from classicnets.datasets.types import Split, print_to_stderr
from classicnets.errors import DataError, UsageError
from classicnets.evaluation.classify import Classifier, Decoder, Prediction, predictions
from classicnets.evaluation.evaluate import Evaluation, evaluate, evaluate_files, renumbered, unknown_classes
from classicnets.images import inputs, loading
from classicnets.images.decode import read_fitted
from classicnets.images.inputs import Input
from classicnets.images.layout import read_layout
from classicnets.images.names import normalize_name


class Model:
    """A classifier `predictor` from the file or folder `path`: what a run is, and an exported file.

    `name` says which net it is, `weights` the file they are in. `data` is the data set or folder whose test split it is
    measured on unless told otherwise, if it is known, `fingerprint` stands for its bytes, and `on_bad_image` says what
    was done with its files that cannot be read.
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
    ):
        self.predictor, self.path, self.name, self.weights = predictor, path, name, weights
        self.data, self.fingerprint, self.on_bad_image = data, fingerprint, on_bad_image

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}: {self.name}, {len(self.predictor.classes)} classes)"

    @property
    def classes(self) -> tuple[str, ...]:
        """What it tells apart."""
        return self.predictor.classes

    def predict(self, *images: str | Path, top: int = 3, decode: Decoder = read_fitted) -> list[Prediction]:
        """The `top` likeliest classes of each image: files, folders, globs, CSV lists, "-" for standard input.

        `decode` reads an image file. An image that cannot be read has no classes but an `error`.
        Raises DataError CN304 where there is no image, CN307 for a list.
        """
        return [found for _, found in predictions(self.predictor, inputs.find_images(images), top, decode=decode)]

    def stream(
        self, images: Iterable[Input], *, top: int = 3, decode: Decoder = read_fitted
    ) -> Iterator[tuple[Input, Prediction]]:
        """The same for any number of images, each with its own, as they come; nothing is kept."""
        return predictions(self.predictor, images, top, decode=decode)

    def evaluate(
        self,
        data: str | Path | None = None,
        *,
        say: Callable[[str], None] = print_to_stderr,
        watch: Callable[[list[Input]], Iterable[Input]] = iter,
    ) -> Evaluation:
        """Evaluates on the test split of `data`: a registry name, a folder, or a CSV list with classes, which are
        matched by name; all of a folder or list that has no test split. By default on its own test split.

        `say` tells what was decided; `watch` is given the image files and hands them on. Raises DataError CN306 if
        its own data has changed or the net does not know a class, CN304 for images that cannot be read, CN307.
        """
        if data is not None and self._is_own(str(data)):
            say(f"{data} is what {self.name} was trained on, so its test split alone is used")
            data = None
        if data is None:
            return self._evaluate_own(say)
        if images := loading.image_location(str(data)):
            return self._evaluate_files(images, say, watch)
        place = Path(data).expanduser()
        found = loading.load(str(data), self.predictor.preprocess, say=say)
        where, theirs = str(data), found.classes
        numbers = tuple(map(str, range(len(theirs))))
        if (
            place.is_dir()
            and theirs == numbers
            and len(numbers) <= len(self.classes)
            and not {*numbers} & {*self.classes}
        ):
            say(f"{found.name}: its labels are numbers without names, taken as the numbers of the net's classes")
            theirs = self.classes
        labels = renumbered(found.test.labels, theirs, self.classes, where)
        return evaluate(self.predictor, Split(found.test.images, labels))[0]

    def _evaluate_own(self, say: Callable[[str], None]) -> Evaluation:
        if self.data is None or (self.data not in DATASETS and not Path(self.data).expanduser().exists()):
            raise UsageError(
                "CN206",
                f"the data that {self.path.name} is measured on is not here",
                where=self.data or "it does not say which",
                hint=f"{text.command('classicnets', 'evaluate', self.path)} DATA",
            )
        found = loading.load(self.data, self.predictor.preprocess, on_bad_image=self.on_bad_image, say=say)
        if found.fingerprint != self.fingerprint:
            raise DataError(
                "CN306",
                f"{self.data} holds other bytes than {self.path.name} was trained on",
                where=str(self.path),
                hint=f"classicnets data check {self.data}",
            )
        return evaluate(self.predictor, found.test)[0]

    def _evaluate_files(
        self, place: Path, say: Callable[[str], None], watch: Callable[[list[Input]], Iterable[Input]]
    ) -> Evaluation:
        layout = read_layout(place)
        files = list(inputs.labeled_images(layout, say))
        classes = {str(one.truth) for one in files}
        if unknown := classes - {*map(normalize_name, self.classes)}:
            raise unknown_classes(unknown, self.classes, str(place))
        which = "its test split" if layout.has_test_split else "all of it, as it has no test split"
        say(
            f"{place.name}: {len(files):,} images, of {len(classes):,} of the net's {len(self.classes):,} classes"
            f" ({which})"
        )
        return evaluate_files(self.predictor, watch(files), str(place))

    def _is_own(self, data: str) -> bool:
        """Whether that is what it was trained on, whose training images would flatter it."""
        if data == self.data:
            return True
        if self.data is None or {data, self.data} & {*DATASETS}:
            return False
        theirs, own = Path(data).expanduser(), Path(self.data).expanduser()
        return theirs.exists() and own.exists() and theirs.samefile(own)
