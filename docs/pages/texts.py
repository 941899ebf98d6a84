"""Texts of pages in several languages: their values are computed once and shown in each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from classicnets.language import language
from classicnets.text import N_

CATALOG = Path(__file__).parents[1] / "locale" / "zh_CN.po"


@dataclass(frozen=True)
class Text:
    """A message with its fields, translated when it becomes a string; fields can be texts, too."""

    message: str
    fields: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        return translated(self.message).format(**dict(self.fields))


@dataclass(frozen=True)
class Listed:
    """Values between the separators of the language; whole numbers have separators of thousands."""

    values: tuple[object, ...]
    separator: str

    def __str__(self) -> str:
        values = (f"{value:,}" if isinstance(value, int) else str(value) for value in self.values)
        return translated(self.separator).join(values)


def _(message: str, /, **fields: object) -> Text:
    """A text with its fields, as `classicnets.text._`, but translated when it becomes a string."""
    return Text(message, tuple(fields.items()))


def join(values: Iterable[object], separator: str = N_(", ")) -> Listed:
    """The values, separated by commas."""
    return Listed(tuple(values), separator)


def clauses(values: Iterable[object]) -> Listed:
    """Parts of a sentence, separated by semicolons."""
    return join(values, N_("; "))


def translated(message: str) -> str:
    """A message in the language of the page. Raises KeyError if the catalog does not have it."""
    return message if language() == "en" else _catalog()[message]


@cache
def _catalog() -> dict[str, str]:
    from babel.messages.pofile import read_po

    with CATALOG.open("rb") as file:
        return {str(entry.id): str(entry.string) for entry in read_po(file) if entry.id and entry.string}
