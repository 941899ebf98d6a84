"""Exercises whose question is about accuracy or speed: the forecast, the study of two arms, and measured steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from classicnets import report
from classicnets.api import study as studies
from classicnets.api.training import forecast as forecast_run
from classicnets.errors import UsageError
from classicnets.exercises.kinds import MNIST_SHAPE, Numbers, Structure, Trained
from classicnets.exercises.result import Result
from classicnets.recipes import resolve
from classicnets.spec import Output, StudyOptions, run_spec
from classicnets.studies import definition as definitions
from classicnets.text import _, byte_count, command, duration
from classicnets.training.plan import plan

_BOOK, _YOURS = "book", "yours"  # the arms


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an exercise is trained: see `api.exercise.exercise`."""

    seeds: int = 3
    limit: int | None = None
    data: str | None = None

    def base(self, data: str) -> dict[str, Any]:
        """Return what both arms have in common."""
        return {"data": self.data or data, **({} if self.limit is None else {"limit": self.limit})}


def compare_networks(
    exercise: Structure, result: Result, net: nn.Module | str | Path | Any, options: Options
) -> Result:
    """Train the student's network and the book's with the settings of the book, and add the verdict."""
    settings = _settings_of_book(exercise.reference)
    book_size, data_size = settings.pop("image_size", None), MNIST_SHAPE[-1]
    your_size = exercise.shape[-1] if exercise.shape[-1] != data_size else None
    base = {**options.base(exercise.data), "recipe": resolve.FAST, "settings": settings}
    arms = {
        _BOOK: {"net": exercise.reference, **_resized(book_size)},
        _YOURS: {"net": net if isinstance(net, nn.Module) else str(net), **_resized(your_size)},
    }
    return _study(exercise.id, _(exercise.title), base, arms, options.seeds, result)


def _resized(size: int | None) -> dict[str, Any]:
    """The setting that resizes images to this height and width in pixels; None: they stay as they are."""
    return {} if size is None else {"settings": {"image_size": size}}


def compare_settings(exercise: Trained, result: Result, answers: Mapping[str, Any], options: Options) -> Result:
    """Train the book's network with the student's settings and with the book's, and add the verdict."""
    base = {**options.base(exercise.data), "net": exercise.reference}
    arms: dict[str, dict[str, Any]] = {_BOOK: {}, _YOURS: {"settings": dict(answers)}}
    return _study(exercise.id, _(exercise.title), base, arms, options.seeds, result)


def settings(exercise: Trained, answers: Mapping[str, Any]) -> Result:
    """Compare settings with those of the book.

    Raises:
        UsageError: CN204, a setting is not valid.
    """
    book = resolve.published(exercise.reference)
    assert book is not None
    try:
        yours = plan(*run_spec(exercise.reference, data=exercise.data, settings=dict(answers))).recipe
    except UsageError as error:  # its hint is an option of train
        check = ("classicnets", "exercise", "check", exercise.id, "--answer", *(f"{key}=VALUE" for key in answers))
        error.hints = (command(*check),)
        raise
    seen, missing = [], []
    for key in answers:
        old, new = getattr(book, key), getattr(yours, key)
        if old == new:
            missing.append(_("{key} is {value}, as in the book: change it", key=key, value=old))
        elif key in exercise.more and new < old:
            missing.append(_("{key}: {new} are fewer than the {old} of the book", key=key, new=new, old=old))
        else:
            seen.append(_("{key}: {old} -> {new}", key=key, old=old, new=new))
    notes = []
    if len(answers) > 1:
        notes.append(_("several settings have changed, so a difference would not say which of them caused it"))
    facts = {"answers": {key: str(value) for key, value in answers.items()}}
    return Result(
        id=exercise.id,
        passed=not missing,
        seen=tuple(seen),
        missing=tuple(missing),
        notes=tuple(notes),
        facts=facts,
    )


def sweep(exercise: Numbers, result: Result) -> Result:
    """Measure steps with several batch sizes on noise, and add images a second and memory."""
    seen, rows = [], []
    for size in exercise.sweep:
        measured = forecast_run(plan(*run_spec(exercise.reference, batch_size=size)), Output(quiet=True))
        speed = measured.step_images / measured.step_seconds
        rows.append({"batch_size": size, "images_per_second": speed, "memory_bytes": measured.memory_bytes})
        memory = byte_count(measured.memory_bytes)
        seen.append(
            _(
                "batch of {size}: {speed:.1f} images a second, peak memory {memory}",
                size=size,
                speed=speed,
                memory=memory,
            )
        )
    sizes = command("--set", f"batch_size={exercise.sweep[0]}", "--seeds", "3", "--limit", "2000")
    note = _(
        "the accuracy needs training: {command}",
        command=f"{command('classicnets', 'train', exercise.reference)} {sizes}",
    )
    return replace(
        result, seen=(*result.seen, *seen), notes=(*result.notes, note), facts={**result.facts, "sweep": rows}
    )


def _settings_of_book(net: str) -> dict[str, Any]:
    """The settings of the book's recipe that the fast recipe of some network would set otherwise."""
    book = resolve.published(net)
    assert book is not None
    others = [recipe for key, recipe in resolve.RECIPES.items() if key.source == resolve.FAST]
    others.append(resolve.find(resolve.FAST, "", registered=False))
    return {
        key: getattr(book, key)
        for key in resolve.SETTINGS
        if any(getattr(other, key) != getattr(book, key) for other in others)
    }


def _study(
    name: str, question: str, base: Mapping[str, Any], arms: Mapping[str, Any], seeds: int, result: Result
) -> Result:
    """Print the forecast, train both arms with the same seeds, and add the verdict.

    Raises:
        UsageError: CN204, one seed cannot show a difference.
    """
    if seeds < 2:
        raise UsageError(
            "CN204",
            _("one run of each network shows no difference that chance could not make"),
            where=command("--seeds", str(seeds)),
            hint=command("--seeds", "3"),
        )
    values = {"name": f"exercise-{name}", "question": question, "seeds": seeds, "base": dict(base), "arms": dict(arms)}
    definition = definitions.make(values)
    console = report.tables.console(stderr=True)
    estimate = studies.forecast(definition, studies.resolve(definition), StudyOptions(), Output())
    for line in estimate.lines():
        console.print(line)
    study = studies.study(values)
    times = [_("{arm}: {time} a run", arm=arm, time=duration(fact["seconds"])) for arm, fact in estimate.arms.items()]
    return replace(
        result,
        seen=(*result.seen, *times, *study.verdicts),
        facts={**result.facts, "verdicts": study.verdicts, "comparisons": study.comparisons},
        files=(*result.files, str(study.path / "report.html")),
    )
