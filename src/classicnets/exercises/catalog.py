"""The list of all exercises, and how one is found by its ID or by its number in the English edition."""

from __future__ import annotations

from classicnets.errors import UsageError
from classicnets.exercises import alexnet, lenet
from classicnets.exercises.kinds import Exercise
from classicnets.text import _, command, nearest

EXERCISES: dict[str, Exercise] = {each.id: each for each in (*lenet.EXERCISES, *alexnet.EXERCISES)}
_NAMES: dict[str, str] = {name: each.id for each in EXERCISES.values() for name in reversed(each.numbers)}


def find(name: str) -> Exercise:
    """Return an exercise by its ID, or by its number in the English edition.

    Raises:
        UsageError: CN202, there is none; the hint is the nearest one, or its parts.
    """
    name = str(name)  # a notebook may pass a number
    if (identity := _NAMES.get(name.strip().lower())) is not None:
        return EXERCISES[identity]
    parts = [each for each in _NAMES if each[:-1] == name.lower()]
    near = parts[0] if parts else nearest(name, _NAMES)
    if parts:
        what = _("exercise {name} has parts: {parts}", name=name, parts=", ".join(parts))
    elif near:
        what = _("there is no exercise {name!r}; did you mean {near}?", name=name, near=near)
    else:
        what = _("there is no exercise {name!r}", name=name)
    raise UsageError(
        "CN202",
        what,
        where=_("the exercises are {names}", names=", ".join(EXERCISES)),
        hint=command("classicnets", "exercise", "show", near) if near else "classicnets exercise list",
    )
