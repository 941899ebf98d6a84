"""The values of a recipe's settings: defaults, reading them as they are typed, and writing them for a hint.

Which values are valid is the business of `rules.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from classicnets.text import _, command
from classicnets.values import AUTO, Recipe

_FLOAT32 = (1.2e-38, 3.4e38)  # smallest and largest magnitude that float32 holds in full precision


def default_value(key: str) -> Any:
    """A valid value of a setting, whatever the recipe."""
    default = next(f.default for f in fields(Recipe) if f.name == key)
    return {"epochs": 10, "batch_size": 128, "lr": 0.01}[key] if default is MISSING else default


def convert(key: str, value: Any) -> Any:
    """Convert a value to the type of a setting; values from Python are checked in the same way as text.

    Raises:
        ValueError: with the reason.
    """
    kind = next(str(f.type) for f in fields(Recipe) if f.name == key)
    text = str(value).strip()
    if kind == "bool":
        if text.lower() not in {"true", "false"}:
            raise ValueError(_("must be true or false"))
        return text.lower() == "true"
    if kind in {"int", "int | None"}:
        if kind == "int | None" and text.lower() == "none":
            return None
        try:
            return int(text)
        except ValueError:
            raise ValueError(_("must be an integer")) from None
    if kind == "float":
        return _number(text)
    if kind.startswith("tuple["):
        parts = value if isinstance(value, tuple | list) else text.strip("()[]").split(",")
        words = [str(part).strip() for part in parts if str(part).strip() not in {"", "none"}]
        return tuple(map(_number, words)) if "float" in kind else tuple(words)
    return _color(text) if key == "background" else text


def _color(text: str) -> str:
    """A color as "#rrggbb", or "auto"."""
    if text.lower() == AUTO:
        return AUTO
    from PIL import ImageColor  # here, because `list` needs no images

    values: tuple[int, ...]
    try:
        values = ImageColor.getrgb(text)
    except ValueError:
        values = ()
    if len(values) != 3:  # no color, or one that is transparent itself
        raise ValueError(_("must be auto, white, black or another color, such as #ffeedd"))
    return f"#{bytes(values).hex()}"


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(_("must be a number")) from None
    if not math.isfinite(value):
        raise ValueError(_("must be a finite number"))
    smallest, largest = _FLOAT32
    if value and not smallest < abs(value) < largest:
        raise ValueError(_("must be a number that float32 can hold"))
    return value


def nearest_value(value: Any, usual: Any) -> Any:
    """What a hint suggests in place of a value that `convert` rejects: one near to it, else the `usual` value."""
    text = str(value).strip().lower()
    if isinstance(usual, bool):
        return {"yes": True, "on": True, "1": True, "no": False, "off": False, "0": False}.get(text, usual)
    try:
        return int(float(text)) if isinstance(usual, int) else usual
    except (ValueError, OverflowError):
        return usual


def hint(corrections: Mapping[str, Any]) -> str:
    """The corrections as they are typed: "--set monitor=none mean=0.1,0.2"."""
    return command("--set", *(f"{key}={typed(value)}" for key, value in corrections.items()))


def typed(value: object) -> str:
    """A value as it is typed after --set."""
    if isinstance(value, tuple):
        return ",".join(map(typed, value)) or "none"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)


def average(values: Sequence[float]) -> tuple[float, ...]:
    """The mean of the values, as the single value for all channels."""
    return (float(f"{sum(values) / len(values):.3g}"),)
