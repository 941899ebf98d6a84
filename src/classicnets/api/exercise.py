"""The exercises of the book: list, text, hints, checks, and training where a question is about accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from classicnets import report
from classicnets.api import exercise_training as training
from classicnets.api.models import Run
from classicnets.errors import UsageError
from classicnets.exercises import activations, catalog, numbers, progress, structure, students
from classicnets.exercises.kinds import TRIES_BEFORE_SOLUTION, Activations, Essay, Exercise, Numbers, Structure, Trained
from classicnets.exercises.progress import Progress
from classicnets.exercises.result import Result
from classicnets.exercises.students import Student
from classicnets.files import write_whole
from classicnets.images import loading
from classicnets.inspection.shape_errors import check_input
from classicnets.models.modules import unwrap
from classicnets.runs import net_spec
from classicnets.text import _, command, nearest, plural
from classicnets.values import Preprocess

__all__ = ["Exercise", "Progress", "Result", "Student", "check", "describe", "exercise", "exercises", "find", "hint"]
__all__ += ["next_step", "read_progress", "solution", "students_of"]

find = catalog.find
read_progress = progress.read


def exercises() -> list[Exercise]:
    """Return all exercises, those of LeNet first."""
    return [*catalog.EXERCISES.values()]


def exercise(
    id: str,
    net: nn.Module | str | Path | Run | None = None,
    /,
    *,
    train: bool = False,
    seeds: int = 3,
    limit: int | None = None,
    data: str | None = None,
    **answers: Any,
) -> Result:
    """Check an answer to an exercise of the book, or show its question if there is no answer.

    Args:
        id: ID from `classicnets exercise list`, such as "lenet-2a".
        net: Your network, "file.py:net", or a run, where the exercise asks for one.
        train: Also train your network and the book's with the same seeds, after a forecast; for alexnet-3, measure the
            time of steps.
        seeds: Number of runs of each network, with `train`.
        limit: Number of training images, with `train` (default: all).
        data: Data set, with `train` and for activations (default: that of the exercise, or of the run).
        **answers: Numbers, layers or settings, where the exercise asks for them: memory="fc6", epochs=20.

    Returns:
        What was seen, what is missing, and notes. The question, with `passed` None, if nothing was answered.

    Raises:
        UsageError: CN201, the network cannot take the images; CN202, the exercise or the name of an answer is unknown;
            CN204, an answer is not valid; CN205, `net` is not a network; CN206, an answer is missing.
    """
    found = catalog.find(id)
    if net is None and not answers and not train:
        return Result(id=found.id, passed=None, text=tuple(describe(found)))
    return check(found, net, answers, train=train, seeds=seeds, limit=limit, data=data)


def check(
    found: Exercise,
    net: nn.Module | str | Path | Run | None,
    answers: Mapping[str, Any],
    *,
    train: bool = False,
    seeds: int = 3,
    limit: int | None = None,
    data: str | None = None,
) -> Result:
    """Check an answer, and count the try. Arguments and errors are those of `exercise`."""
    if isinstance(found, Essay):
        return Result(id=found.id, passed=None, text=tuple(describe(found)))
    _reject_what_has_no_effect(found, net, answers, train=train, data=data, limit=limit)
    result: Result
    options = training.Options(seeds=seeds, limit=limit, data=data)
    if isinstance(found, Structure):
        built = _network(found, net)
        try:
            result = structure.check(found, built)
        except UsageError:  # the images do not fit: a try, too
            _count(found, passed=False)
            raise
        if found.asks_for_training and result.passed:
            result = training.compare_networks(found, result, net, options) if train else _untrained(found, result, net)
    elif isinstance(found, Trained):
        result = training.settings(found, answers)
        if result.passed:
            if train:
                result = training.compare_settings(found, result, answers, options)
            else:
                result = replace(_untrained(found, result, net), passed=None)
    elif isinstance(found, Numbers):
        book, shape = structure.reference(found.reference, "meta")
        result = numbers.check(found, check_input(book, shape), answers)
        if train:
            result = training.sweep(found, result)
    else:
        assert isinstance(found, Activations)
        result = _activations(found, net, data)
    _count(found, passed=bool(result.passed))
    return result


def describe(found: Exercise) -> list[str]:
    """Return the text of an exercise in lines."""
    return report.exercise.lines(found, _keys(found), _rubric(found), _facts(found))


def hint(found: Exercise) -> tuple[str, int]:
    """Return the next hint and its number, and remember that it was given; after the last one, that again."""
    done = progress.read(found.id)
    number = min(done.hints + 1, len(found.hints))
    progress.write(found.id, replace(done, hints=number))
    return _(found.hints[number - 1]), number


def solution(found: Exercise) -> str:
    """Return the solution.

    Raises:
        UsageError: CN220, there were fewer than two tries.
    """
    done = progress.read(found.id)
    missing = TRIES_BEFORE_SOLUTION - done.tries
    if missing > 0 and not done.solved and not isinstance(found, Essay):
        raise UsageError(
            "CN220",
            plural(
                "the solution of {id} is shown after {n} more try",
                "the solution of {id} is shown after {n} more tries",
                missing,
                id=found.id,
            ),
            why=_("who has tried learns more from it; a hint is a step on the way"),
            hint=(command("classicnets", "exercise", "hint", found.id), next_step(found)),
        )
    return _(found.solution)


def next_step(found: Exercise) -> str:
    """Return the command that checks an answer."""
    words = ["classicnets", "exercise", "check", found.id]
    if isinstance(found, Activations):
        return command(*words, "RUN")
    if found.takes_network:
        return command(*words, "my_net.py:net")
    if isinstance(found, Numbers):
        return command(*words, "--answer", f"{next(iter(found.quantities))}=ANSWER")
    if isinstance(found, Trained):
        return command(*words, "--answer", f"{found.settings[0]}=VALUE")
    return command("classicnets", "exercise", "show", found.id)


def students_of(found: Exercise, folder: Path, options: Sequence[str], seconds: float) -> Iterator[Student]:
    """Check every file of a folder in a process of its own, and yield the results.

    Raises:
        UsageError: CN206, the exercise asks for no network, or the folder has no Python files.
    """
    if not isinstance(found, Structure):
        raise UsageError(
            "CN206",
            _("{id} asks for no network, so files of students cannot be checked", id=found.id),
            where=command("--report", folder),
            hint=next_step(found),
        )
    paths = students.files(folder)
    return students.check(found.id, paths, options, seconds)


def _keys(found: Exercise) -> list[tuple[str, str]]:
    if isinstance(found, Numbers):
        return [(key, _(quantity.help)) for key, quantity in found.quantities.items()]
    if isinstance(found, Trained):
        return [(key, _("setting of the recipe")) for key in found.settings]
    return []


def _rubric(found: Exercise) -> list[str]:
    return [_(sentence) for sentence in found.rubric] if isinstance(found, Essay) else []


def _facts(found: Exercise) -> list[str]:
    """The facts of an essay, calculated from the book's network."""
    if not isinstance(found, Essay):
        return []
    book, shape = structure.reference(found.reference, "meta")
    return found.facts(check_input(book, shape))


def _network(found: Exercise, net: nn.Module | str | Path | Run | None) -> nn.Module:
    """The student's network. Raises UsageError CN206 if there is none, and what `net_spec` raises."""
    if isinstance(net, nn.Module):
        return unwrap(net)
    if isinstance(net, str | Path):
        if students.has_files(Path(net)):
            raise UsageError(
                "CN206",
                _("{folder} is a folder, and {id} checks one network", folder=net, id=found.id),
                why=_("--report checks each file NAME.py of a folder, in which the network is called net"),
                hint=(command("classicnets", "exercise", "check", found.id, "--report", Path(net)), next_step(found)),
            )
        return _of_name(str(net))
    if net is not None:
        kind = net.__name__ if isinstance(net, type) else ""
        raise UsageError(
            "CN205",
            _("{name} is a class, not a network", name=kind)
            if kind
            else _("a value of type {kind} is not a network", kind=type(net).__name__),
            why=_("{id} checks an object of nn.Module", id=found.id),
            hint=f"net = {kind}()" if kind else "net = nn.Sequential(...)",
        )
    raise UsageError(
        "CN206",
        _("{id} checks a network, and there is none", id=found.id),
        why=_("pass file.py:net, where net is a torch.nn.Module"),
        hint=(next_step(found), _('in Python: cn.exercise("{id}", net)', id=found.id)),
    )


def _of_name(name: str) -> nn.Module:
    """A network of the registry as in its source, or one's own. Raises UsageError CN202 or CN205."""
    spec = net_spec.find(name)
    if spec.kind == "registry":
        net, _shape = structure.reference(spec.name)
        return net
    return spec.build()


def _reject_what_has_no_effect(
    found: Exercise, net: object, answers: Mapping[str, Any], *, train: bool, data: str | None, limit: int | None
) -> None:
    """Raise UsageError CN202 for unknown answers, and CN206 for arguments that the exercise does not take."""
    keys = [key for key, _help in _keys(found)]
    if unknown := [key for key in answers if key not in keys]:
        near = nearest(unknown[0], keys) or next(iter(keys), "")
        raise UsageError(
            "CN202",
            _("{id} asks for no {key!r}", id=found.id, key=unknown[0]),
            where=_("it asks for {keys}", keys=", ".join(keys)) if keys else _("it asks for a network"),
            hint=command("classicnets", "exercise", "check", found.id, "--answer", f"{near}={answers[unknown[0]]}")
            if near
            else next_step(found),
        )
    if net is not None and not found.takes_network:
        raise UsageError("CN206", _("{id} asks for answers, and not for a network", id=found.id), hint=next_step(found))
    can_train = isinstance(found, Trained) or (isinstance(found, Structure) and found.asks_for_training)
    can_train = can_train or (isinstance(found, Numbers) and bool(found.sweep))
    if train and not can_train:
        raise UsageError("CN206", _("nothing is trained in {id}", id=found.id), hint=next_step(found))
    if limit is not None and not train:
        raise UsageError(
            "CN206",
            _("--limit has no effect here, because nothing is trained"),
            hint=command("classicnets", "exercise", "check", found.id, "--train", "--limit", str(limit)),
        )
    if data is not None and not train and not isinstance(found, Activations):
        raise UsageError(
            "CN206",
            _("--data has no effect here, because nothing is trained"),
            hint=command("classicnets", "exercise", "check", found.id, "--train", "--data", data),
        )
    if isinstance(found, Numbers | Trained) and not answers and not train:
        raise UsageError(
            "CN206",
            _("{id} asks for answers, and there are none", id=found.id),
            where=_("it asks for {keys}", keys=", ".join(keys)),
            hint=next_step(found),
        )


def _untrained(found: Exercise, result: Result, net: object) -> Result:
    """Add how the accuracies are compared."""
    words = ["classicnets", "exercise", "check", found.id]
    if isinstance(net, str | Path):
        words.append(str(net))
    elif isinstance(found, Structure):
        words.append("my_net.py:net")
    else:
        words += ["--answer", *(f"{key}={value}" for key, value in result.facts.get("answers", {}).items())]
    note = _(
        "whether it is better, only training shows: {command}   # with three seeds, after a forecast",
        command=command(*words, "--train"),
    )
    return replace(result, notes=(*result.notes, note))


def _activations(found: Activations, net: nn.Module | str | Path | Run | None, data: str | None) -> Result:
    """Draw the activations of a run or a module, for images of the classes of the exercise."""
    if isinstance(net, str | Path) and ".py" in str(net):
        return Result(
            id=found.id,
            passed=False,
            missing=(_("{net} is not trained, so its activations say nothing: pass the folder of a run", net=net),),
            notes=(_("{command}   # trains it", command=command("classicnets", "train", str(net))),),
        )
    if isinstance(net, nn.Module):
        module, preprocess, place = unwrap(net), Preprocess(channels=1, image_size=28), None
    else:
        run = net if isinstance(net, Run) else Run(net) if net is not None else None
        if run is None:
            _network(found, None)
            raise AssertionError
        accuracy = (run.result or {}).get("test_accuracy")
        if accuracy is not None and accuracy < 2 / len(run.facts["classes"]):
            missing = _("the run has a test accuracy of {accuracy:.3f}, so it has learned nothing", accuracy=accuracy)
            return Result(id=found.id, passed=False, missing=(missing,))
        module, preprocess, place = run.net, run.folder.preprocess(), str(run.facts["data"] or "") or None
    splits = loading.load(data or place or "fashion_mnist")
    images = {}
    for name in found.classes:
        # a data set with other classes gives its first ones, so that the exercise works with any
        number = splits.classes.index(name) if name in splits.classes else found.classes.index(name)
        row = int(np.flatnonzero(splits.test.labels == number)[0])
        images[splits.classes[number]] = np.asarray(splits.test.images[row])
    if found.noise:
        images |= activations.unlike(next(iter(images.values())))
    result, maps = activations.check(found, module, preprocess, images, splits.classes)
    if maps is None:
        return result
    folder = Path() if isinstance(net, nn.Module) else net.path if isinstance(net, Run) else Path(str(net))
    path = folder / f"{found.id}.png"
    with report.fonts.figure_texts():
        content = report.figures.png(report.exercise.draw_activations(maps, _(found.title)))
    write_whole(path, content)
    return replace(result, files=(str(path),))


def _count(found: Exercise, *, passed: bool) -> None:
    done = progress.read(found.id)
    progress.write(found.id, replace(done, tries=done.tries + 1, solved=done.solved or passed))
