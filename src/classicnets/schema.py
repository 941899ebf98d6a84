"""What files may contain: types, ranges and choices of values, declared once for each file and checked before use.

A dataclass declares most of them: `record` derives a schema from its annotations. Needs neither torch nor numpy.
"""

from __future__ import annotations

import re
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from itertools import islice
from typing import Any

from classicnets import strict_json
from classicnets.text import _, clauses, plural

_MAX_PROBLEMS = 5  # that a message lists
_MAX_COUNTED = 1_000  # then a message says that there are many, so that a hostile file costs no time
_MAX_SHOWN = 60  # characters of a value in a message


class Kind(ABC):
    """What is allowed at one place of a file: `accepts` decides about a value, `allowed` says it in words."""

    @property
    @abstractmethod
    def allowed(self) -> str:
        """What is allowed, in words."""

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Whether a value is allowed, apart from its parts."""

    def parts(self, value: Any, place: str) -> Iterator[str]:  # noqa: ARG002
        """Yield what is wrong with the parts of an accepted value."""
        return iter(())

    def problems(self, value: Any, place: str) -> Iterator[str]:
        """Yield what is wrong with a value; `place` is its key."""
        if self.accepts(value):
            yield from self.parts(value, place)
        else:
            key = place or _("the document")
            yield _("{key} is {value}; allowed is {allowed}", key=key, value=_shown(value), allowed=self.allowed)


@dataclass(frozen=True)
class Text(Kind):
    """Text of a limited length."""

    most: int = 10_000
    least: int = 0
    allowed = property(lambda self: _("text of {low} to {high:,} characters", low=self.least, high=self.most))

    def accepts(self, value: Any) -> bool:  # noqa: D102
        return isinstance(value, str) and self.least <= len(value) <= self.most


@dataclass(frozen=True)
class Color(Kind):
    """A color as text."""

    allowed = property(lambda _self: _("a color such as #00ff7f"))

    def accepts(self, value: Any) -> bool:  # noqa: D102
        return isinstance(value, str) and re.fullmatch("#[0-9a-f]{6}", value) is not None


@dataclass(frozen=True)
class Choice(Kind):
    """One of several values."""

    values: Collection[Any]
    allowed = property(lambda self: _("one of {values}", values=", ".join(map(_shown, self.values))))

    def accepts(self, value: Any) -> bool:  # noqa: D102
        return any(type(value) is type(choice) and value == choice for choice in self.values)


@dataclass(frozen=True)
class Whole(Kind):
    """An integer in a range, ends included."""

    low: int = -(2**63)
    high: int = 2**63 - 1
    allowed = property(lambda self: _("an integer from {low} to {high}", low=self.low, high=self.high))

    def accepts(self, value: Any) -> bool:  # noqa: D102
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Real(Kind):
    """A finite number in a range, ends included."""

    low: float = -1e308
    high: float = 1e308
    allowed = property(lambda self: _("a number from {low:g} to {high:g}", low=self.low, high=self.high))

    def accepts(self, value: Any) -> bool:  # noqa: D102
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Flag(Kind):
    """True or false."""

    allowed = property(lambda _self: _("true or false"))

    def accepts(self, value: Any) -> bool:  # noqa: D102
        return isinstance(value, bool)


@dataclass(frozen=True)
class Anything(Kind):
    """Any value: it is only shown, or read by code that checks it."""

    allowed = property(lambda _self: _("any value"))

    def accepts(self, value: Any) -> bool:  # noqa: ARG002, D102
        return True


@dataclass(frozen=True)
class Either(Kind):
    """A value of one of several kinds."""

    kinds: tuple[Kind, ...]
    allowed = property(lambda self: clauses(kind.allowed for kind in self.kinds))

    def accepts(self, value: Any) -> bool:  # noqa: D102
        return any(kind.accepts(value) for kind in self.kinds)

    def parts(self, value: Any, place: str) -> Iterator[str]:  # noqa: D102
        return next(kind for kind in self.kinds if kind.accepts(value)).parts(value, place)


@dataclass(frozen=True)
class Several(Kind):
    """A list of values of one kind."""

    item: Kind
    most: int = 100_000
    least: int = 0
    allowed = property(lambda self: _("a list of {low} to {high:,} values", low=self.least, high=self.most))

    def accepts(self, value: Any) -> bool:  # noqa: D102
        return isinstance(value, list) and self.least <= len(value) <= self.most

    def parts(self, value: Any, place: str) -> Iterator[str]:  # noqa: D102
        for i, item in enumerate(value):
            yield from self.item.problems(item, f"{place}[{i}]")


@dataclass(frozen=True)
class Mapped(Kind):
    """An object with any keys, whose values are of one kind."""

    value: Kind
    most: int = 10_000
    allowed = property(lambda self: _("an object of at most {most:,} keys", most=self.most))

    def accepts(self, value: Any) -> bool:  # noqa: D102
        return isinstance(value, dict) and len(value) <= self.most

    def parts(self, value: Any, place: str) -> Iterator[str]:  # noqa: D102
        for key, inner in value.items():
            yield from self.value.problems(inner, f"{place}.{_short(key)}")


@dataclass(frozen=True)
class Record(Kind):
    """An object with these keys.

    Unknown keys come from a newer version. They are ignored, because they only add facts, unless the record is
    `closed`: there, each key changes what is computed, so that a file with an unknown one cannot be used.
    """

    kinds: Mapping[str, Kind]
    optional: frozenset[str] = field(default_factory=frozenset)
    closed: bool = False
    allowed = property(lambda self: _("an object with the keys {names}", names=", ".join(self.kinds)))

    def accepts(self, value: Any) -> bool:  # noqa: D102
        return isinstance(value, dict)

    def parts(self, value: Any, place: str) -> Iterator[str]:  # noqa: D102
        prefix = f"{place}." if place else ""
        for key, kind in self.kinds.items():
            if key in value:
                yield from kind.problems(value[key], prefix + key)
            elif key not in self.optional:
                yield _("{key} is missing; allowed is {allowed}", key=prefix + key, allowed=kind.allowed)
        for key in value if self.closed else ():
            if key not in self.kinds:
                message = _("{key} is not known; a newer version of classicnets may have written it", key=_short(key))
                yield prefix + message


def optional(kind: Kind) -> Kind:
    """Return the kind of a value that may be null."""
    return Either((Choice((None,)), kind))


def record(cls: type, kinds: Mapping[str, Kind] | None = None, *, closed: bool = False, every: bool = False) -> Record:
    """Return the schema of a dataclass that is stored with the names of its fields.

    Args:
        cls: the dataclass; fields with a default may be missing.
        kinds: ranges and choices of fields, where the annotation does not say enough; others are ignored.
        closed: whether unknown keys are refused.
        every: whether all fields may be missing.
    """
    hints = typing.get_type_hints(cls)
    derived = {f.name: (kinds or {}).get(f.name) or _kind(hints[f.name]) for f in fields(cls)}
    has_default = {f.name for f in fields(cls) if f.default is not MISSING or f.default_factory is not MISSING}
    return Record(derived, frozenset(derived if every else has_default), closed)


def _kind(hint: Any) -> Kind:
    """The kind of an annotation."""
    simple: dict[Any, Kind] = {str: Text(), int: Whole(), float: Real(), bool: Flag(), type(None): Choice((None,))}
    if hint in simple:
        return simple[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, typing.Union}:
        return Either(tuple(_kind(argument) for argument in arguments))
    if origin is tuple:
        return Several(_kind(arguments[0]))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return Mapped(_kind(arguments[1]))
    return Anything()


def read(content: str | bytes, kind: Kind) -> Any:
    """Parse a JSON document and check it. Raises ValueError with what is wrong, one line for each problem."""
    values = strict_json.parse(content)
    check(values, kind)
    return values


def check(values: Any, kind: Kind) -> None:
    """Check parsed values. Raises ValueError with what is wrong, one line for each of the first problems."""
    problems = list(islice(kind.problems(values, ""), _MAX_COUNTED))
    if problems:
        others = len(problems) - _MAX_PROBLEMS
        more = [plural("and {n:,} more", "and {n:,} more", others)] if others > 0 else []
        if len(problems) == _MAX_COUNTED:
            more = [_("and many more")]
        raise ValueError("\n".join([*problems[:_MAX_PROBLEMS], *more]))


def _shown(value: Any) -> str:
    """A value as JSON, shortened, without control characters."""
    if isinstance(value, dict | list) and len(value) > 5:
        return plural("a value with {n:,} part", "a value with {n:,} parts", len(value))
    return _short(strict_json.dump(value[:_MAX_SHOWN] if isinstance(value, str) else value))


def _short(text: str) -> str:
    """A text of a file, shortened; control characters are escaped."""
    escaped = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text[:200])
    return escaped if len(escaped) <= _MAX_SHOWN else escaped[: _MAX_SHOWN - 3] + "..."
