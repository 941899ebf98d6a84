"""How good a net is on a split of labeled images."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classicnets import text
from classicnets.datasets.types import Split
from classicnets.errors import DataError
from classicnets.evaluation.classify import Classifier, classify
from classicnets.evaluation.metrics import Metrics, measure
from classicnets.files import write_whole
from classicnets.images import inputs
from classicnets.images.inputs import Input
from classicnets.images.names import normalize_name

_NAMED = 5  # so many images or classes are named in an error
_SHOWN = 20  # and so many of the classes that the net knows


@dataclass(frozen=True, kw_only=True)
class Evaluation(Metrics):
    """The metrics of a net on a split, and the seconds it took to classify it."""

    seconds: float


def evaluate(classifier: Classifier, split: Split) -> tuple[Evaluation, np.ndarray]:
    """The evaluation of a net on a split, and the probabilities float32 [N, classes] it was computed from."""
    started = time.perf_counter()
    probabilities = classifier.probabilities(split.images)
    seconds = time.perf_counter() - started
    return Evaluation(**vars(measure(probabilities, split.labels)), seconds=seconds), probabilities


def evaluate_files(classifier: Classifier, images: Iterable[Input], where: str) -> Evaluation:
    """The evaluation on image files with their classes, which are matched by name; the images are not kept.

    Raises DataError CN304 that names up to five that cannot be read, for figures on a part would be other figures;
    CN306 if the net does not know a class.
    """
    number = {normalize_name(name): i for i, name in enumerate(classifier.classes)}
    started = time.perf_counter()
    rows, labels, broken = [], [], list[str]()
    for one, row in classify(classifier, images):
        if isinstance(row, DataError):
            broken.append(f"{one.name}: {inputs.reason(row)}")
            if len(broken) == _NAMED:
                break
        elif one.truth not in number:
            raise unknown_classes({str(one.truth)}, classifier.classes, where)
        else:
            rows.append(row)
            labels.append(number[one.truth])
    if broken:
        count = "5 or more images" if len(broken) == _NAMED else text.count(len(broken), "image")
        raise DataError(
            "CN304",
            f"{count} cannot be read",
            where=where,
            why="\n".join(broken),
            hint=f"classicnets predict MODEL {where}   # names them all",
        )
    seconds = time.perf_counter() - started
    return Evaluation(**vars(measure(np.stack(rows), np.array(labels))), seconds=seconds)


def renumbered(labels: np.ndarray, theirs: tuple[str, ...], ours: tuple[str, ...], where: str) -> np.ndarray:
    """Labels int64 [N] that number the classes `theirs`, as numbers of the classes of the same names in `ours`.

    Raises DataError CN306 if a class that occurs is not among them.
    """
    number = {normalize_name(name): i for i, name in enumerate(ours)}
    if unknown := {normalize_name(theirs[i]) for i in np.unique(labels)} - {*number}:
        raise unknown_classes(unknown, ours, where)
    numbers = np.array([number.get(name, -1) for name in map(normalize_name, theirs)])
    return np.asarray(numbers[labels])


def unknown_classes(unknown: Collection[str], known: tuple[str, ...], where: str) -> DataError:
    """The error that names classes the net does not know, each with the nearest it knows."""
    lines = []
    for name in sorted(unknown)[:_NAMED]:
        nearest = text.nearest(name, known, cutoff=0.5)
        lines.append(f"{name!r}" + (f"; the nearest is {nearest!r}" if nearest else ""))
    if len(unknown) > _NAMED:
        lines.append(f"and {len(unknown) - _NAMED:,} more")
    return DataError(
        "CN306",
        f"the net does not know {len(unknown):,} of the data's classes",
        where=where,
        why="\n".join([*lines, f"it knows {', '.join(known[:_SHOWN])}{', ...' * (len(known) > _SHOWN)}"]),
        hint="name the folders, or the classes of the list, as the net's classes are named",
    )


def write_metrics(path: Path, facts: dict[str, Any]) -> None:
    """Writes the facts of an evaluation as JSON, one a line, so that a large confusion matrix stays one line.

    Raises MachineError CN401.
    """
    lines = (f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in facts.items())
    write_whole(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
