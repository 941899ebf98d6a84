"""Computes the measures of a finished run: from its result, its history, or by its final weights on training images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from classicnets import schema
from classicnets.datasets.types import ImageSplits
from classicnets.evaluation.predictor import Predictor
from classicnets.events import Epoch
from classicnets.files import write_json
from classicnets.models.modules import complete, unwrap
from classicnets.runs import checkpoint, history
from classicnets.runs.folder import RunFolder
from classicnets.schema import Real, Record, Several, Whole, optional
from classicnets.studies.activity import Activity, watch
from classicnets.studies.classic import ClassicRun
from classicnets.studies.measures import CURVES, Measure
from classicnets.text import command
from classicnets.training.begin import training_and_validation
from classicnets.training.plan import Plan

TRAIN_IMAGES = 10_000  # on which the final weights are evaluated, at most
_OF_WEIGHTS = ("train_accuracy", "generalization_gap", "dead_units", "sparsity")

_SHARE = Real(0, 1)
_FILE = Record(
    {
        "of": Several(optional(Real())),
        "images": Whole(0),
        **dict.fromkeys(("train_accuracy", "dead_units", "sparsity"), _SHARE),
    }
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
    result = run.read()["result"]
    epochs = [event for event in history.read(run.history) if isinstance(event, Epoch)]
    of_weights = {name: value for name, value in result.items() if name == "test_accuracy"}
    if any(each.name in _OF_WEIGHTS for each in measures):
        of_weights |= _of_weights(run, plan, read, net, trust=trust)
        of_weights["generalization_gap"] = of_weights["train_accuracy"] - result["test_accuracy"]
    values: dict[str, float | None] = {}
    for each in measures:
        if each.curve:
            values[each.name] = reached(epochs, each)
        elif each.name == "images_per_second":
            values[each.name] = float(np.median([epoch.images_per_second for epoch in epochs]))
        elif each.name in _OF_WEIGHTS:
            values[each.name] = of_weights[each.name]
        else:
            values[each.name] = result[each.name]
    return values


def measured_classic(run: ClassicRun, measures: Sequence[Measure]) -> dict[str, float | None]:
    """Return the measures of a fitted classical method by name, those of `measures.OF_CLASSIC`."""
    result = run.read()["result"]
    gap = result["train_accuracy"] - result["test_accuracy"]
    known = {**result, "seconds": result["fit_seconds"], "generalization_gap": gap}
    return {each.name: known[each.name] for each in measures}


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
    run: RunFolder, plan: Plan, read: Callable[[Plan], ImageSplits], net: nn.Module | None, *, trust: bool
) -> dict[str, float]:
    """Accuracy and activity of the final weights on training images without augmentation."""
    file = run.path / "measures.json"
    facts = run.read()
    kept = _kept(file, facts["result"])
    if kept is not None:
        return kept
    splits = read(plan)
    indices, _validation = training_and_validation(splits, plan)
    images = splits.train.subset(np.sort(indices[:TRAIN_IMAGES]))
    weights = run.weights_file()
    tensors, _saved = checkpoint.load(weights, trust=trust)
    built = unwrap(net) if net is not None else run.net_spec(trust=trust).build()
    built = complete(built, plan.preprocess.shape)
    checkpoint.load_weights(built, tensors, weights, hint=command("classicnets", "show", run.path))
    device = torch.device(plan.device)
    predictor = Predictor(built.to(device).eval(), plan.preprocess, tuple(facts["classes"]), device)
    with watch(built) as activity:
        probabilities = predictor.probabilities(images.images)
    values = {"train_accuracy": float((probabilities.argmax(axis=1) == images.labels).mean()), **_shares(activity)}
    write_json(file, {"of": _identity(facts["result"]), "images": len(images), **values})
    return values


def _kept(file: Path, result: dict[str, Any]) -> dict[str, float] | None:
    """The measures in a file, unless they are of other weights."""
    try:
        values = schema.read(file.read_bytes(), _FILE)
    except (OSError, ValueError):
        return None
    kept: dict[str, float] = {key: values[key] for key in _FILE.kinds if key in _OF_WEIGHTS}
    return kept if values["of"] == _identity(result) else None


def _shares(activity: Activity) -> dict[str, float]:
    return {"dead_units": activity.dead_units, "sparsity": activity.sparsity}


def _identity(result: dict[str, Any]) -> list[float]:
    """What tells the results of two runs apart."""
    return [result["test_accuracy"], result["train_loss"]]
