"""What a finished run has: its results on the test split, the comparison with the published one, and how to go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from classicnets import machine
from classicnets.datasets.types import ImageSplits, Split
from classicnets.evaluation.evaluate import Evaluation, accept, evaluate, write_metrics
from classicnets.evaluation.predictor import Predictor
from classicnets.evaluation.rejection import Calibration, Rejection, none_possible
from classicnets.events import Epoch, Event
from classicnets.recipes.resolve import ANY_NET, RECIPES
from classicnets.recipes.setting_values import typed
from classicnets.runs import history
from classicnets.runs.folder import RunFolder
from classicnets.text import _, assignments, command
from classicnets.training.begin import now
from classicnets.training.plan import Plan
from classicnets.values import Expected, Recipe, current_names


@dataclass(frozen=True)
class Results:
    """What reports of a finished run are made from.

    `probabilities` are float32 [N, classes] of the `test` split. `facts` are those of run.json with the result, which
    is written after all reports.
    """

    plan: Plan
    folder: RunFolder
    evaluation: Evaluation
    probabilities: np.ndarray
    test: Split
    events: list[Event]
    facts: dict[str, Any]


Report = Callable[[Results], None]


def measure(plan: Plan, run: RunFolder, predictor: Predictor, splits: ImageSplits, validation: Split | None) -> Results:
    """Evaluate the weights of a run on the test split and write metrics.json; run.json is not written yet.

    Args:
        plan: the plan of the run.
        run: its folder.
        predictor: has the weights that are evaluated, in float32.
        splits: the data of the run.
        validation: the validation images, if there are any.

    Raises:
        MachineError: CN401 if metrics.json cannot be written.
    """
    evaluation, probabilities = evaluate(predictor, splits.test)
    evaluation = replace(evaluation, trained_on=(run.read_trained_images() or {}).get("in_test"))
    events = history.read(run.history)
    epochs = [event for event in events if isinstance(event, Epoch)]
    facts, measured = run.read(), evaluation.to_dict()
    weights, classes = run.weights_file().name, plan.description.classes
    calibration = _calibration(plan, predictor, validation)
    if calibration.temperature is not None:
        calibrated = accept(probabilities, splits.test.labels, Rejection(0, calibration.temperature))
        measured["calibrated"] = calibration.to_dict() | {
            "loss": calibrated.loss,
            "calibration_error": calibrated.calibration_error,
        }
    write_metrics(run.metrics, {"weights": weights, "classes": classes, **measured})
    facts["finished_at"] = now()
    facts["result"] = {
        "weights": weights,
        "test_accuracy": evaluation.accuracy,
        "test_loss": measured["loss"],
        **{key: measured[key] for key in ("top5_accuracy", "balanced_accuracy", "calibration_error", "n")},
        "train_loss": epochs[-1].loss,
        "train_accuracy": epochs[-1].accuracy,
        "seconds": sum(e.seconds + e.evaluation_seconds for e in epochs),
        "peak_memory_bytes": machine.peak_memory_bytes(),
        "verdict": verdict(plan, lambda expected: expected.verdict(evaluation.accuracy)),
        **({"left_out": splits.left_out} if splits.left_out else {}),
        **calibration.to_dict(),
    }
    return Results(plan, run, evaluation, probabilities, splits.test, events, facts)


def take_part(plan: Plan, predictor: Predictor, splits: ImageSplits, validation: Split | None) -> None:
    """Compute a process's share of the probabilities that `measure` needs in the first process of the group."""
    predictor.probabilities(splits.test.images)
    _calibration(plan, predictor, validation)


def _calibration(plan: Plan, predictor: Predictor, validation: Split | None) -> Calibration:
    """The temperature that calibrates probabilities, fitted on the validation images."""
    missing = none_possible(plan.recipe)
    if validation is None or missing:  # the network was trained on images that have joined
        return Calibration(None, 0, missing or "none_held_out")
    return Calibration.fit(predictor.probabilities(validation.images), validation.labels)


def verdict(plan: Plan, compare: Callable[[Expected], str]) -> str:
    """Compare with the published result, in words; "" if there is none.

    Args:
        plan: the plan of the run.
        compare: returns the comparison; called only if nothing was changed.
    """
    expected = plan.recipe.expected
    if expected is None:
        return ""
    if variation := plan.net_spec.variation:
        return _(
            "not compared with the published result, which is that of the network without {variation}",
            variation=assignments(variation),
        )
    if not plan.as_published:
        return _(
            "not compared with the published result, because the network, the recipe, the data or the number of images"
            " was changed"
        )
    return compare(expected)


def more_training(run: Path, facts: dict[str, Any]) -> tuple[str, ...]:
    """How to train the network of a complete run further: a new run that starts with its weights.

    Args:
        run: the folder of the run.
        facts: its run.json.
    """
    is_object = facts["net"]["kind"] == "object"
    in_python = _(
        "in Python: cn.train({net}, weights={run!r}, data={data!r})",
        net="net" if is_object else repr(str(run)),
        run=str(run),
        data=facts["data"],
    )
    if is_object:
        return (in_python,)
    recipe, data = facts["recipe"], Path(facts["data"])
    words: list[str | Path] = ["classicnets", "train", run, "--weights", run, "--data", data]
    if any(
        (key.source, key.net) in {(recipe["source"], recipe["net"]), (recipe["source"], ANY_NET)} for key in RECIPES
    ):
        words += ["--recipe", recipe["source"]]
    current = Recipe.from_dict(recipe)
    changed = [key for key, source in current_names(facts["origins"]).items() if source == "--set"]
    if changed:
        words += ["--set", *(f"{key}={typed(getattr(current, key))}" for key in changed)]
    if facts["limit"]:
        words += ["--limit", str(facts["limit"])]
    return command(*words), in_python
