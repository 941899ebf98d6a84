"""Checks of calculated answers: the right ones come from the layer table of the book's network."""

from __future__ import annotations

import math
from collections.abc import Mapping

from classicnets.errors import UsageError
from classicnets.exercises.kinds import Numbers
from classicnets.exercises.quantities import Quantity, intensity_lines, layer_names
from classicnets.exercises.result import Result
from classicnets.inspection.shapes import Row, Table
from classicnets.text import _, command, labeled, listed, nearest


def check(exercise: Numbers, table: Table, answers: Mapping[str, object]) -> Result:
    """Compare answers with the right ones.

    Args:
        exercise: The exercise.
        table: The layer table of the book's network.
        answers: By the keys of the exercise; values are numbers, words, or their text.

    Raises:
        UsageError: CN204, an answer is not a number, a layer or one of the words.
    """
    seen: list[str] = []
    missing: list[str] = []
    facts: dict[str, dict[str, float | str | bool]] = {}
    for key, quantity in exercise.quantities.items():
        if key not in answers:
            missing.append(_("{key}: no answer; it asks for {help}", key=key, help=_(quantity.help)))
            continue
        right, sentence, value = _judge(exercise, key, quantity, table, answers[key])
        facts[key] = {"answer": value, "right": right}
        (seen if right else missing).append(sentence)
    notes = intensity_lines(table) if not missing else []
    return Result(
        id=exercise.id,
        passed=not missing,
        seen=tuple(seen),
        missing=tuple(missing),
        notes=tuple(notes),
        facts=facts,
    )


def _judge(
    exercise: Numbers, key: str, quantity: Quantity, table: Table, answer: object
) -> tuple[bool, str, float | str]:
    """Whether an answer is right, a sentence, and the answer as it was read."""
    expected = quantity.answer(table)
    if quantity.cost is not None:
        names = layer_names(table)
        row = names.get(str(answer).strip().lower())
        if row is None:
            raise _not_valid(
                exercise, key, answer, _("it is none of the layers"), [*dict.fromkeys(r.name for r in names.values())]
            )
        return row.name == expected, _about_layer(key, quantity, table, row, names[str(expected).lower()]), row.name
    if quantity.choices:
        word = str(answer).strip().lower()
        if word not in quantity.choices:
            raise _not_valid(exercise, key, answer, _("it is none of the words"), [*quantity.choices])
        if word == expected:
            return True, _("{key}: {word}", key=key, word=word), word
        return False, _("{key}: {word} is not right; compare MACs with bytes of both", key=key, word=word), word
    try:
        number = float(str(answer).rstrip("%"))
        if not math.isfinite(number):
            raise ValueError
    except ValueError:
        raise _not_valid(exercise, key, answer, _("it is not a number"), []) from None
    assert isinstance(expected, float)
    if abs(number - expected) <= quantity.tolerance:
        sentence = _("{key}: {number:g}; calculated {expected:.4g}", key=key, number=number, expected=expected)
        return True, sentence, number
    return False, _about_number(key, quantity, number, expected), number


def _about_layer(key: str, quantity: Quantity, table: Table, row: Row, best: Row) -> str:
    """What share a layer has of what is asked for; the right layer is not named."""
    assert quantity.cost is not None
    total = sum(map(quantity.cost, table.rows))
    share = 100 * quantity.cost(row) / max(total, 1)
    fields = {"key": key, "layer": row.name, "amount": f"{quantity.cost(row):,.0f}", "share": f"{share:.1f}"}
    if row.name == best.name:
        return _("{key}: {layer} has {amount}, {share} % of the network, the most of all layers", **fields)
    times = quantity.cost(best) / max(quantity.cost(row), 1)
    return _(
        "{key}: {layer} has {amount}, {share} % of the network; another layer has {times:.1f} times as many",
        times=times,
        **fields,
    )


def _about_number(key: str, quantity: Quantity, number: float, expected: float) -> str:
    """How far a number is from the right one, and an explanation of the usual factors between them."""
    usual = {
        4.0: _("4 bytes a number in float32 are counted, or forgotten"),
        2.0: _("a MAC is one multiplication and one addition, and counts once"),
        100.0: _("the answer is in percent"),
        1.048576: _("1 MB is 10^6 bytes; 2^20 bytes are 1 MiB"),
    }
    ratio = number / expected if expected and number else 0.0
    for factor, reason in usual.items():
        if ratio and min(abs(ratio / factor - 1), abs(ratio * factor - 1)) < 0.02:
            fields = {"key": key, "number": number, "factor": factor, "reason": reason}
            return _("{key}: {number:g} is not right, by a factor of {factor:g}: {reason}", **fields)
    direction = _("too large") if number > expected else _("too small")
    return _(
        "{key}: {number:g} is {direction}; the tolerance is {tolerance:g}",
        key=key,
        number=number,
        direction=direction,
        tolerance=quantity.tolerance,
    )


def _not_valid(exercise: Numbers, key: str, answer: object, reason: str, names: list[str]) -> UsageError:
    near = nearest(str(answer), names) or (names[0] if names else "1")
    return UsageError(
        "CN204",
        _("{answer!r} is no answer to {key}", answer=answer, key=key),
        where=_(exercise.quantities[key].help),
        why=labeled(reason, listed(names)) if names else reason,
        hint=command("classicnets", "exercise", "check", exercise.id, "--answer", f"{key}={near}"),
    )
