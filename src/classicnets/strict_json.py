"""JSON as every file and output of classicnets has it: no NaN, no repeated keys, and limits to size and depth.

Needs neither torch nor numpy.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any, NoReturn

from classicnets.errors import CheckFailed
from classicnets.text import _, byte_count

_MAX_BYTES = 64 * 2**20  # the history of a run of a million steps has less
_MAX_DEPTH = 50
_SURROGATE = re.compile("[\ud800-\udfff]")  # what is no valid text


def dump(values: Any, *, indent: int | None = None, ascii: bool = True) -> str:
    """Return plain values as JSON.

    Args:
        values: mappings, sequences, text, numbers, booleans and None.
        indent: number of spaces for each level; None for one line.
        ascii: whether other characters are escaped; bytes of names that are not valid UTF-8 always are.

    Raises:
        CheckFailed: CN106, a number is not finite, which JSON cannot express.
    """
    try:
        text = _encoder(indent, ascii).encode(values)
    except ValueError as error:
        raise CheckFailed(
            "CN106",
            _("a number to write is not finite, and JSON has no such numbers"),
            where=", ".join(_not_finite(values)[:5]),
            why=str(error),
            hint="classicnets explain CN106",
        ) from error
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


@cache
def _encoder(indent: int | None, ascii: bool) -> json.JSONEncoder:
    """The encoder, which takes longer to make than a short document to write."""
    return json.JSONEncoder(indent=indent, ensure_ascii=ascii, allow_nan=False)


def without_nan(values: Any) -> Any:
    """Return plain values with None in place of numbers that are not finite."""
    if isinstance(values, float):
        return values if math.isfinite(values) else None
    if isinstance(values, Mapping):
        return {key: without_nan(value) for key, value in values.items()}
    return [without_nan(value) for value in values] if isinstance(values, list | tuple) else values


def canonical(values: Any) -> bytes:
    """Return plain values as JSON that does not depend on the order of keys or on spaces."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def parse(content: str | bytes) -> Any:
    """Return the values of a JSON document.

    Raises:
        ValueError: it is not JSON, or has NaN, a number beyond float64, a repeated key, or too many bytes or levels;
            the message says which.
    """
    if len(content) > _MAX_BYTES:
        raise ValueError(
            _("it has {size}, more than {most}", size=byte_count(len(content)), most=byte_count(_MAX_BYTES))
        )
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise ValueError(_("it is not UTF-8 (at byte {position:,})", position=error.start)) from error
    try:
        values = _decoder().decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            _(
                "it is not JSON: {reason} (line {line}, column {column})",
                reason=error.msg,
                line=error.lineno,
                column=error.colno,
            )
        ) from error
    except RecursionError as error:
        raise ValueError(_("it is nested too deeply")) from error
    if _depth(values) > _MAX_DEPTH:
        raise ValueError(_("it is nested too deeply"))
    return values


@cache
def _decoder() -> json.JSONDecoder:
    """The decoder, which takes longer to make than a short document to read."""
    return json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite, parse_int=_bounded)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        counts = Counter(name for name, _value in pairs)
        repeated = next(name for name, count in counts.items() if count > 1)
        raise ValueError(_("the key {key} occurs twice", key=dump(repeated)))
    return values


def _refuse(name: str) -> NoReturn:
    raise ValueError(_("{number} is not a number in JSON", number=name))


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text[:40])


def _bounded(text: str) -> int:
    return int(text) if len(text) <= 40 else _refuse(text[:40] + "...")


def _depth(values: Any) -> int:
    """The number of levels; measured without recursion."""
    depth, level = 0, [values]
    while level := [
        inner
        for value in level
        if isinstance(value, dict | list)
        for inner in (value.values() if isinstance(value, dict) else value)
    ]:
        depth += 1
        if depth > _MAX_DEPTH:
            break
    return depth


def _not_finite(values: Any, path: str = "") -> list[str]:
    """The places of the numbers that are not finite."""
    if isinstance(values, float):
        return [] if math.isfinite(values) else [path]
    if not isinstance(values, Mapping | list | tuple):
        return []
    inner = values.items() if isinstance(values, Mapping) else enumerate(values)
    return [place for key, value in inner for place in _not_finite(value, f"{path}.{key}" if path else str(key))]
