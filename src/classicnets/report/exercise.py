"""Exercises in a terminal: the list, the text, and the table of a class; and the figure of activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from classicnets.exercises.kinds import Exercise
from classicnets.report import tables
from classicnets.report.fonts import FigureText
from classicnets.text import _, wrap

if TYPE_CHECKING:
    from rich.console import Console

    from classicnets.exercises.activations import Maps
    from classicnets.exercises.progress import Progress
    from classicnets.exercises.students import Student

_WIDTH = 100  # letters in a line of text
_MOST_CHANNELS = 16  # that are drawn of a layer


def state(progress: Progress) -> str:
    """What a user has done with an exercise."""
    if progress.solved:
        return _("solved")
    return _("tries: {n}", n=progress.tries) if progress.tries else ""


def print_list(out: Console, exercises: Sequence[Exercise], progress: Sequence[Progress]) -> None:
    """Print all exercises with their numbers in both editions."""
    rows = [
        [each.id, each.zh or "-", each.en or "-", _(each.title), state(done)]
        for each, done in zip(exercises, progress, strict=True)
    ]
    out.print(tables.table([_("exercise"), _("Chinese 2"), _("English 1.0"), _("title"), _("state")], rows))


def lines(
    exercise: Exercise, keys: Sequence[tuple[str, str]], rubric: Sequence[str], facts: Sequence[str]
) -> list[str]:
    """Return the text of an exercise: its numbers, the question, the keys of its answers, rubric and facts."""
    numbers = _(
        "{name} (Chinese edition 2: {zh}, English 1.0: {en})",
        name=exercise.id,
        zh=exercise.zh or "-",
        en=exercise.en or "-",
    )
    result = [numbers, _(exercise.title), "", *wrapped(_(exercise.question))]
    width = max((len(key) for key, _help in keys), default=0)
    for heading, entries in (
        (_("answers"), [f"{key:{width}}  {help_text}" for key, help_text in keys]),
        (_("a good answer"), list(rubric)),
        (_("facts"), list(facts)),
    ):
        if entries:
            result += ["", _("{heading}:", heading=heading), *(f"- {entry}" for entry in entries)]
    return result


def wrapped(text: str) -> list[str]:
    """Return a text in lines that do not end within an option such as --answer."""
    return wrap(text, _WIDTH)


def print_students(out: Console, students: Sequence[Student]) -> None:
    """Print one line for each student, and further lines for what is missing."""
    rows = []
    for student in students:
        passed = _("error") if student.error else _("right") if student.passed else _("not yet")
        first, *others = student.missing or ("",)
        rows.append([student.name, passed, first, student.accuracy])
        rows += [["", "", other, ""] for other in others]
    out.print(tables.table([_("student"), _("result"), _("what is missing"), _("accuracy")], rows))


def draw_activations(maps: Maps, title: str) -> Figure:
    """Draw each image in a row with the feature maps of its layers; a layer has one scale for all images."""
    channels = {layer: min(len(next(iter(by.values()))), _MOST_CHANNELS) for layer, by in maps.layers.items()}
    columns, rows = 1 + max(channels.values()), len(maps.images) * len(maps.layers)
    width = 0.75 * columns + 1.2
    text = FigureText([*maps.images], title, width)
    names = dict(zip(maps.images, text.short(14), strict=True))
    figure = Figure(figsize=(width, 0.95 * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for j, (layer, by_image) in enumerate(maps.layers.items()):
        low, high = (float(f(np.stack([*by_image.values()]))) for f in (np.min, np.max))
        for i, (name, image) in enumerate(maps.images.items()):
            row = axes[j * len(maps.images) + i]
            row[0].imshow(image, cmap="gray")
            row[0].set_title(f"{layer}: {names[name]}", fontsize=7, **text.style)
            for k in range(channels[layer]):
                row[1 + k].imshow(by_image[name][k], cmap="viridis", vmin=low, vmax=high)
                row[1 + k].set_title(str(k + 1), fontsize=6)
    figure.suptitle(text.title, fontsize=9, **text.style)
    return figure
