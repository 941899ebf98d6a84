"""Adapts errors about the options of a run to a study: they become lines of TOML, with the table where they belong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from classicnets.errors import ClassicnetsError
from classicnets.hints import FLAGS, options
from classicnets.strict_json import dump
from classicnets.studies.definition import Definition, grid_name
from classicnets.text import _, command

BASE = "base"
_FLAG = re.compile(rf"({'|'.join(sorted(map(re.escape, FLAGS), key=len, reverse=True))})(?![\w-])")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?")


def adapt(error: ClassicnetsError, definition: Definition, name: str) -> None:
    """Name tables and keys of the study in an error of planning, instead of options of the command line.

    Hints with options that a study file does not have are dropped.

    Args:
        error: What is changed.
        definition: The study.
        name: The arm that was planned, or `BASE`.
    """
    named = options(error.where) or next(filter(None, map(options, error.hints)), None)
    place = _place(definition, name, named[0][0])[0] if named else table(definition, name)
    where = ", ".join(f"{key} = {toml(value)}" for key, value in options(error.where) or ()) or error.where
    error.where = _("{place}: {where}", place=place, where=_plain(where)) if where else place
    error.what, error.why = _plain(error.what), _plain(error.why)
    hints = (_hint(hint, definition, name) for hint in error.hints)
    error.hints = tuple(hint for hint in hints if hint)


def table(definition: Definition, name: str) -> str:
    """Return the table of an arm or of the base run as TOML has it: [arms.max], [base] or [grid]."""
    return f"[{_label(definition, name)}]"


def toml(value: object) -> str:
    """Return a value, or its text on the command line, as TOML."""
    if isinstance(value, bool) or value in {"true", "false"}:
        return str(value).lower()
    text = str(value)
    return text if _NUMBER.fullmatch(text) else dump(text, ascii=False)


def _label(definition: Definition, name: str) -> str:
    if name == BASE:
        return BASE
    if _is_of_grid(definition, name):
        return "grid"
    return f"arms.{name}" if re.fullmatch(r"[\w-]+", name, re.ASCII) else f"arms.{dump(name)}"


def _is_of_grid(definition: Definition, name: str) -> bool:
    arm = definition.arms.get(name, {})
    settings = arm.get("settings")
    return [*arm] == ["settings"] and isinstance(settings, Mapping) and grid_name(settings) == name


def _hint(hint: str, definition: Definition, name: str) -> str:
    """A hint for a study: lines of TOML, or the hint itself if it names no option of a run; "" if it has no use."""
    if changes := options(hint):
        return "\n".join(_line(definition, name, *change) for change in changes)
    is_of_run = "--set" in hint or _FLAG.search(hint) or "variation=" in hint
    return "" if is_of_run and not hint.startswith(command("classicnets")) else hint


def _line(definition: Definition, name: str, key: str, value: str) -> str:
    place, written = _place(definition, name, key)
    text = f"[{toml(value)}]" if place == "[grid]" else toml(value)
    return _("{line}   # in {place}", line=f"{written} = {text}", place=place)


def _place(definition: Definition, name: str, key: str) -> tuple[str, str]:
    """The table in which a key stands, or else belongs, and how it is written there."""
    tables: list[tuple[str, Mapping[str, Any]]] = [(BASE, definition.base)]
    if name != BASE:
        tables.insert(0, (_label(definition, name), definition.arms[name]))
    rest = key.removeprefix("net.")
    for label, values in tables:
        settings, variation, net = (values.get(part) for part in ("settings", "variation", "net"))
        if isinstance(settings, Mapping) and key in settings:
            if label == "grid":
                return "[grid]", key
            return f"[{label}.settings]", key if rest == key else dump(key)
        if rest != key and isinstance(variation, Mapping) and rest in variation:
            return f"[{label}.variation]", rest
        if key in values or (rest != key and isinstance(net, Mapping) and rest in net):
            return f"[{label}]", _dotted(key, net)
    label, values = tables[0]
    return f"[{label}]", _dotted(key, values.get("net"))


def _dotted(key: str, net: object) -> str:
    """A key of a network's variation; beside `net = "name"` it needs quotes."""
    return dump(key) if "." in key and net is not None and not isinstance(net, Mapping) else key


def _plain(text: str) -> str:
    """Text without the dashes of options."""
    return _FLAG.sub(lambda found: FLAGS[found[1]].name, text).replace("--set ", "")
