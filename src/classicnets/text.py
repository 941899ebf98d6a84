"""Short texts for people, written one way everywhere: messages, shapes, sizes, durations, lists, nearest names.

Needs neither torch nor numpy.
"""

from __future__ import annotations

import difflib
import gettext
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

__all__ = ["_", "assignments", "byte_count", "command", "count", "duration", "join", "nearest", "plural", "shape"]


def _(message: str, **fields: object) -> str:
    """The message in the user's language, with its named fields filled in: `_("{n:,} images of {name}", n=3, name=x)`.

    Every text that a user reads passes through here or through `plural`. Pass whole sentences, so that a translation
    can change the order of their parts.
    """
    translated = gettext.gettext(message)
    return translated.format(**fields) if fields else translated


def plural(one: str, many: str, n: int, **fields: object) -> str:
    """The form of a message for `n` things; `n` is a field as well: `plural("{n} class", "{n:,} classes", n)`."""
    return gettext.ngettext(one, many, n).format(n=n, **fields)


def shape(sizes: Iterable[int], by: str = "x") -> str:
    """(1, 28, 28) as "1x28x28"; a shape without axes is "a single number"."""
    return by.join(map(str, sizes)) or _("a single number")


def byte_count(size: int | None) -> str:
    """A number of bytes in decimal units: "246.8 kB"; "unknown" for None."""
    if size is None:
        return _("unknown")
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def duration(seconds: float) -> str:
    """Seconds in at most two units: "8.3 s", "4 min 10 s", "1 day 3 h"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, smaller, size in (("days", "h", 86_400), ("h", "min", 3_600), ("min", "s", 60)):
        if whole >= size:
            rest = whole % size * {"h": 24, "min": 60, "s": 60}[smaller] // size
            return f"{whole // size:,} {unit.removesuffix('s') if whole < 2 * size else unit} {rest} {smaller}"
    return f"{whole} s"


def count(n: int, noun: str, plural: str = "") -> str:
    """A number with its noun: "1 image", "1,200 images", "2 classes" (where the plural is given)."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def join(names: Sequence[str], most: int = 5) -> str:
    """The first `most` names, and how many more there are: "a, b and 3 more"."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def assignments(values: Mapping[str, object], prefix: str = "") -> str:
    """Settings as they are typed: "lr=0.1, epochs=2"; each name begins with `prefix`."""
    return ", ".join(f"{prefix}{name}={value}" for name, value in values.items())


def nearest(word: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """The name that is most like `word`, whatever their case; "" if none is like it."""
    known = {name.casefold(): name for name in reversed([*names])}
    found = difflib.get_close_matches(word.casefold(), known, 1, cutoff)
    return known[found[0]] if found else ""


def command(*words: str | Path) -> str:
    """A command line to paste into a shell, with every word quoted that needs it."""
    return shlex.join(map(str, words))
