"""An arm of a study that is no network: a classical method on the images that a network would be trained on.

`python -P -m classicnets.studies.classic FOLDER` fits the method of a folder and writes its result there.

svm/seed-0/
  classic.json      the ClassicSpec, machine, versions and, at the end, the result
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from classicnets import checksum, machine
from classicnets.datasets.catalog import DATASETS
from classicnets.datasets.types import ImageSplits, Split
from classicnets.errors import ClassicnetsError, UsageError
from classicnets.evaluation import metrics
from classicnets.files import user_path, write_json
from classicnets.images import batches, loading, transforms
from classicnets.runs.lock import FolderLock
from classicnets.spec import RunSpec
from classicnets.studies import formats
from classicnets.studies.classic_spec import ClassicSpec
from classicnets.studies.classifiers import CLASSIFIERS
from classicnets.studies.features import FEATURES, MIN_HOG_SIZE, Floats
from classicnets.text import _, note
from classicnets.training import data_rules
from classicnets.training.begin import Say, command_line, now, survey_images
from classicnets.values import Preprocess, Recipe

_MIN_IMAGES = 10  # more than the neighbors of an image
_BATCH = 500  # images whose features are computed at a time


@dataclass(frozen=True)
class ClassicRun:
    """A folder with a classical method. With `trust`, a file that was changed is used."""

    path: Path
    trust: bool = False

    @property
    def file(self) -> Path:
        """The facts of the run."""
        return self.path / "classic.json"

    def read(self) -> dict[str, Any]:
        """Return the contents of classic.json. Raises UsageError CN207 if they are not valid, or were changed."""
        return formats.read(self.file, lambda _: formats.CLASSIC, trust=self.trust)

    def write(self, facts: dict[str, Any]) -> None:
        """Replace classic.json atomically. Raises MachineError CN401."""
        write_json(self.file, checksum.with_checksum(facts))

    def spec(self) -> ClassicSpec:
        """Return what the method is fitted to. Raises UsageError CN204, CN207."""
        return ClassicSpec(**self.read()["spec"])

    def move_data(self, before: str, place: str) -> None:
        """Let the run find its data at another place, if it was at `before`."""
        facts = self.read()
        if facts["spec"]["data"] == before:
            self.write({**facts, "spec": {**facts["spec"], "data": place}})


def fill(path: Path, spec: ClassicSpec) -> None:
    """Make `path` a folder with a classical method that is not fitted yet.

    Raises:
        MachineError: CN401, it cannot be written; CN403 without scikit-learn.
    """
    source = spec.data if spec.data in DATASETS else str(user_path(spec.data).resolve())
    facts = {
        "spec": asdict(replace(spec, data=source)),
        "command": command_line(),
        "started_at": now(),
        "machine": _machine(),
    }
    path.mkdir(parents=True, exist_ok=True)
    ClassicRun(path).write(facts)


def _machine() -> dict[str, Any]:
    """What `machine.describe` says, with the version of scikit-learn."""
    facts, sklearn = machine.describe(), machine.require("sklearn", extra="classic")
    return {**facts, "versions": {**facts["versions"], "scikit-learn": sklearn.__version__}}


def fit(run: ClassicRun, say: Say) -> dict[str, Any]:
    """Fit the method of a folder, measure it on the test split and write the result; return the facts.

    A folder that has a result is left as it is. The result does not depend on the number of threads: linear algebra
    runs in one, because the order of its sums would depend on them, and only the trees of a forest are grown in as many
    as OMP_NUM_THREADS or torch have.

    Args:
        run: the folder.
        say: receives notes on the data.

    Raises:
        UsageError: CN204, the options do not fit the data; CN207; CN211, another process is fitting it.
        DataError: the data is not available.
        MachineError: CN401, the result cannot be written; CN403 without scikit-learn.
    """
    spec, lock = run.spec(), FolderLock(run.path)
    lock.acquire()
    try:
        facts = run.read()
        if "result" in facts:
            return facts
        threads = torch.get_num_threads()
        splits, preprocess = read(spec, say)
        train = training_images(spec, splits)
        _check_count(train.labels)
        with machine.require("threadpoolctl", extra="classic").threadpool_limits(1):
            parameters, result = _measure(spec, train, splits, preprocess, threads)
        facts |= {
            "finished_at": now(),
            "machine": _machine(),
            "threads": threads,
            "parameters": parameters,
            "data_name": splits.name,
            "fingerprint": splits.fingerprint,
            "classes": [*splits.classes],
            "train_images": len(train),
            "result": result,
        }
        run.write(facts)
        return run.read()
    finally:
        lock.release()


def read(spec: ClassicSpec, say: Say) -> tuple[ImageSplits, Preprocess]:
    """Load the images as a network's run does. Raises what `fit` raises."""
    recipe = Recipe(
        source=spec.classifier,
        net="",
        data=spec.data,
        epochs=1,
        batch_size=1,
        lr=1.0,
        validation=spec.validation,
        image_size=spec.image_size,
    )
    description = loading.describe(spec.data, spec.on_bad_image)
    preprocess = recipe.preprocess(description.shape[0], recipe.image_size or description.native_size())
    data_rules.check(RunSpec(limit=spec.limit, on_bad_image=spec.on_bad_image), recipe, preprocess, description)
    if spec.features == "hog" and preprocess.image_size < MIN_HOG_SIZE:
        raise UsageError(
            "CN204",
            _("features = hog needs images of at least {size}x{size} pixels", size=MIN_HOG_SIZE),
            where=_(
                "the images of {name} have {size}x{size} pixels", name=description.name, size=preprocess.image_size
            ),
            hint='features = "pixels"',
        )
    survey = survey_images(spec.data, description, recipe, preprocess, say)
    preprocess = replace(preprocess, background=survey.background)
    splits = loading.load(spec.data, preprocess, on_bad_image=spec.on_bad_image, copies=survey.copies, say=say)
    return splits, preprocess


def training_images(spec: ClassicSpec, splits: ImageSplits) -> Split:
    """Return the images that a network with the same limit, validation and seed is trained on."""
    indices, _validation = batches.hold_out(
        splits.train, spec.validation, spec.limit, spec.seed, splits.validation, splits.groups
    )
    return splits.train.subset(indices)


def _check_count(labels: npt.NDArray[np.int64]) -> None:
    """Raise UsageError CN204 if the training images are too few for a method."""
    classes = len(np.unique(labels))
    if classes < 2 or len(labels) < _MIN_IMAGES:
        raise UsageError(
            "CN204",
            _("a classical method needs at least {n} training images, of two classes", n=_MIN_IMAGES),
            where=_("training images: {n}, classes: {classes}", n=len(labels), classes=classes),
            hint=f"limit = {10 * _MIN_IMAGES}",
        )


def _measure(
    spec: ClassicSpec, train: Split, splits: ImageSplits, preprocess: Preprocess, threads: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit the method; return its parameters and the result of classic.json.

    `fit_seconds` and `predict_seconds` start from images in memory, so they include the features.
    """
    classifier, compute = CLASSIFIERS[spec.classifier], FEATURES[spec.features]
    start = time.perf_counter()
    train_features = _features(train, preprocess, compute)
    pipeline = classifier.fit(spec.features, train_features, train.labels, spec.seed, threads)
    fit_seconds = time.perf_counter() - start
    pipeline.set_params(**{key: 1 for key in pipeline.get_params() if key.endswith("__n_jobs")})
    start = time.perf_counter()
    test_features = _features(splits.test, preprocess, compute)
    outputs = _outputs(pipeline, test_features, len(splits.classes), probabilities=classifier.has_probabilities)
    predict_seconds = time.perf_counter() - start
    test = metrics.measure(outputs, splits.test.labels)
    method = pipeline[-1]
    parameters = {**method.get_params(), "class": type(method).__name__, "standardized": len(pipeline) > 1}
    return {key: value for key, value in parameters.items() if key != "n_jobs"}, {
        "test_accuracy": test.accuracy,
        "test_loss": test.loss if classifier.has_probabilities else None,
        "train_accuracy": float((pipeline.predict(train_features) == train.labels).mean()),
        "fit_seconds": fit_seconds,
        "predict_seconds": predict_seconds,
        "n": test.n,
        "confusion": [[*row] for row in test.confusion],
    }


def _features(split: Split, preprocess: Preprocess, compute: Callable[[Floats], Floats]) -> Floats:
    """Return the features of all images, float32 [N, D]."""
    parts = []
    for start in range(0, len(split), _BATCH):
        images = torch.from_numpy(split.images[start : start + _BATCH])
        scaled = transforms.center_crop(transforms.scale(images, preprocess), preprocess.image_size)
        parts.append(compute(scaled.numpy()))
    return np.concatenate(parts)


def _outputs(pipeline: Any, features: Floats, classes: int, *, probabilities: bool) -> npt.NDArray[np.float64]:
    """Return the probabilities [N, classes], or 1 for the predicted class; 0 for classes without training images."""
    outputs = np.zeros((len(features), classes))
    if probabilities:
        outputs[:, pipeline.classes_] = pipeline.predict_proba(features)
    else:
        outputs[np.arange(len(features)), pipeline.predict(features)] = 1
    return outputs


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit the method of the folder that is the only argument; return the exit code, as the command line does."""
    words = sys.argv[1:] if arguments is None else [*arguments]
    try:
        if len(words) != 1:
            raise UsageError("CN206", _("one folder is needed"), hint="python -P -m classicnets.studies.classic FOLDER")
        fit(ClassicRun(Path(words[0])), note)
    except KeyboardInterrupt:
        note(_("stopped"))
        return 130
    except ClassicnetsError as error:
        note(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
