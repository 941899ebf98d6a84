"""Computes the measures of a finished run: from its result, its history, or with its final weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from classicnets import schema
from classicnets.datasets.types import ImageSplits, Split
from classicnets.evaluation.predictor import Predictor, batch_size
from classicnets.events import Epoch
from classicnets.files import write_json
from classicnets.models.modules import complete, unwrap
from classicnets.runs import checkpoint, history
from classicnets.runs.folder import RunFolder
from classicnets.schema import Real, Record, Several, Whole, optional
from classicnets.studies.activity import watch
from classicnets.studies.classic import ClassicRun
from classicnets.studies.measures import CURVES, Measure
from classicnets.text import command
from classicnets.training.begin import training_and_validation
from classicnets.training.plan import Plan

TRAIN_IMAGES = 10_000  # on which the final weights are evaluated, at most
_ON_TRAIN_IMAGES = ("train_accuracy", "dead_units", "sparsity")
_TIME = "predict_seconds"
_FILE = Record(  # measures.json
    {
        "of": Several(optional(Real())),
        "images": Whole(0),
        **dict.fromkeys(_ON_TRAIN_IMAGES, Real(0, 1)),
        _TIME: Real(0, 1e12),
    },
    frozenset({"images", *_ON_TRAIN_IMAGES, _TIME}),
)


def measured(
    run: RunFolder,
    plan: Plan,
    measures: Sequence[Measure],
    read: Callable[[Plan], ImageSplits],
    net: nn.Module | None = None,
    *,
    trust: bool = False,
) -> dict[str, float | None]:
    """Return the measures of a finished run by name; None for a threshold that it has never reached.

    What needs a forward pass is kept in measures.json of the run folder.

    Args:
        run: the run.
        plan: its plan.
        measures: what is measured.
        read: reads the images of a plan.
        net: the module, if it was passed in Python.
        trust: whether changed files are used.
    """
    result, names = run.read()["result"], {each.name for each in measures}
    epochs = [event for event in history.read(run.history) if isinstance(event, Epoch)]
    needed = {*_ON_TRAIN_IMAGES, _TIME} & names
    if "generalization_gap" in names:
        needed.add("train_accuracy")
    known = {**result, **_of_weights(run, plan, needed, read, net, trust=trust)}  # the file has another train accuracy
    if "generalization_gap" in names:
        known["generalization_gap"] = known["train_accuracy"] - result["test_accuracy"]
    if "images_per_second" in names:
        known["images_per_second"] = float(np.median([epoch.images_per_second for epoch in epochs]))
    return {each.name: reached(epochs, each) if each.curve else known[each.name] for each in measures}


def measured_classic(run: ClassicRun, measures: Sequence[Measure]) -> dict[str, float | None]:
    """Return the measures of a fitted classical method by name, those of `measures.OF_CLASSIC`."""
    result = run.read()["result"]
    gap = result["train_accuracy"] - result["test_accuracy"]
    known = {**result, "seconds": result["fit_seconds"], "generalization_gap": gap}
    return {each.name: known[each.name] for each in measures}


def at_most(run: RunFolder, measures: Sequence[Measure]) -> list[str]:
    """Return the thresholds that a run reached within its first epoch, so that their values are upper limits."""
    epochs = [event for event in history.read(run.history) if isinstance(event, Epoch)]
    values = {each.name: reached(epochs[:1], each) for each in measures if each.curve}
    return [name for name, value in values.items() if value is not None]


def reached(epochs: Sequence[Epoch], each: Measure) -> float | None:
    """Return after how many epochs or seconds of training a curve has reached a value, or None.

    Between two epochs, the curve is a straight line; before the first one, it is not known, so that a value that is
    reached within the first epoch counts as one epoch.
    """
    values = [getattr(epoch, CURVES[each.curve]) for epoch in epochs]
    costs = np.arange(1.0, len(epochs) + 1) if each.unit == "epochs" else np.cumsum([epoch.seconds for epoch in epochs])
    sign = -1 if each.curve.endswith("loss") else 1
    points = [(sign * value, float(cost)) for value, cost in zip(values, costs, strict=True) if value is not None]
    goal = sign * each.threshold
    if points and points[0][0] >= goal:
        return points[0][1]
    for (before, start), (after, end) in pairwise(points):
        if after >= goal:
            return float(start + (end - start) * (goal - before) / (after - before))
    return None


def _of_weights(
    run: RunFolder,
    plan: Plan,
    needed: set[str],
    read: Callable[[Plan], ImageSplits],
    net: nn.Module | None,
    *,
    trust: bool,
) -> dict[str, float]:
    """Return the `needed` measures of the final weights from measures.json, after computing those that it lacks."""
    file, facts = run.path / "measures.json", run.read()
    saved = _saved(file, facts["result"])
    missing = needed - saved.keys()
    if missing:
        splits, predictor = read(plan), _predictor(run, plan, net, trust=trust)
        if missing & {*_ON_TRAIN_IMAGES}:
            saved |= _on_train_images(predictor, splits, plan)
        if _TIME in missing:
            saved[_TIME] = _seconds(predictor, splits.test)
        write_json(file, {"of": _identity(facts["result"]), **saved})
    return {name: saved[name] for name in needed}


def _saved(file: Path, result: dict[str, Any]) -> dict[str, float]:
    """The values in measures.json, unless they are of other weights."""
    try:
        values: dict[str, Any] = schema.read(file.read_bytes(), _FILE)
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in values.items() if key != "of"} if values["of"] == _identity(result) else {}


def _predictor(run: RunFolder, plan: Plan, net: nn.Module | None, *, trust: bool) -> Predictor:
    """The network of a run with its final weights."""
    weights, classes = run.weights_file(), tuple(run.read()["classes"])
    tensors, _facts = checkpoint.load(weights, trust=trust)
    built = unwrap(net) if net is not None else run.net_spec(trust=trust).build()
    built = complete(built, plan.preprocess.shape)
    checkpoint.load_weights(built, tensors, weights, hint=command("classicnets", "show", run.path))
    device = torch.device(plan.device)
    return Predictor(built.to(device).eval(), plan.preprocess, classes, device)


def _on_train_images(predictor: Predictor, splits: ImageSplits, plan: Plan) -> dict[str, float]:
    """Accuracy and activity on training images without augmentation, and their number."""
    indices, _validation = training_and_validation(splits, plan)
    images = splits.train.subset(np.sort(indices[:TRAIN_IMAGES]))
    with watch(predictor.net) as activity:
        probabilities = predictor.probabilities(images.images)
    accuracy = float((probabilities.argmax(axis=1) == images.labels).mean())
    values = {"train_accuracy": accuracy, "dead_units": activity.dead_units, "sparsity": activity.sparsity}
    return {"images": len(images), **values}


def _seconds(predictor: Predictor, test: Split) -> float:
    """The time to classify the test split, from images in memory, after a first batch that is not timed."""
    predictor.probabilities(test.images[: batch_size(predictor.preprocess)])
    start = time.perf_counter()
    predictor.probabilities(test.images)
    return time.perf_counter() - start


def _identity(result: dict[str, Any]) -> list[float]:
    """What tells the results of two runs apart."""
    return [result["test_accuracy"], result["train_loss"]]
