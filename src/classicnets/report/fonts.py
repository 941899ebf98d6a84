"""Names and titles in images, which may be long and of any script: matplotlib's own font has no Chinese."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

_LETTERS_PER_INCH = 11.5  # of DejaVu Sans at 10 points


class Lettering:
    """How `names` and `title` are written. `style` holds keywords for every matplotlib text that shows them: installed
    fonts that together have all their letters, and no mathematics between dollar signs.

    A name with a letter that no font has is shown as its number in the list from 0, as in #3; `title` then says so.
    Its lines are broken to fit a figure of so many inches at 10 points.
    """

    def __init__(self, names: Sequence[str], title: str, inches: float):
        names, lines = [_printable(name) for name in names], [_printable(line) for line in title.split("\n")]
        families, lost = _families({letter for text in (*names, *lines) for letter in text})
        self.style: dict[str, Any] = {"fontfamily": families, "parse_math": False}
        self.names = [f"#{i}" if lost & set(name) else name for i, name in enumerate(names)]
        if any(lost & set(name) for name in names):
            lines.append("#0, #1, ...: classes by number; no font installed here can write all of their names")
        title = "\n".join(textwrap.fill(line, round(_LETTERS_PER_INCH * inches)) for line in lines)
        self.title = "".join("?" if letter in lost else letter for letter in title)

    def short(self, width: int) -> list[str]:
        """The names, none wider than `width` Latin letters: what is too long loses its middle."""
        return [shortened(name, width) for name in self.names]


def _families(letters: set[str]) -> tuple[list[str], set[str]]:
    """The usual font and, for letters it lacks, the installed ones that have them; and the letters that none has."""
    usual = font_manager.findfont(font_manager.FontProperties())
    families, lost = [FT2Font(usual).family_name], letters - _letters(usual)
    for font in sorted(font_manager.fontManager.ttflist, key=_oddness):
        if not lost:
            break
        if not font.name.startswith("Last Resort") and lost & _letters(font.fname):  # that one has a box for everything
            families.append(font.name)
            lost -= _letters(font.fname)
    return families, lost


def _oddness(font: font_manager.FontEntry) -> tuple[bool, bool, bool, str]:
    """Upright, regular and sans serif first."""
    sans = any(word in font.name for word in ("Sans", "Hei", "Gothic", "YaHei"))
    return font.style != "normal", font.weight not in (400, "normal", "regular"), not sans, font.name


@cache
def _letters(path: str) -> frozenset[str]:
    return frozenset(map(chr, FT2Font(path).get_charmap()))


def _printable(text: str) -> str:
    """The text on one line, without what cannot be seen (a tab or line end becomes a blank)."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text)


def shortened(name: str, width: int) -> str:
    """A name no wider than `width` Latin letters: what is too long loses its middle."""
    if _width(name) <= width:
        return name
    head, tail = name[: len(name) // 2], name[len(name) // 2 :]
    while _width(head) + _width(tail) + 1 > width:
        head, tail = (head[:-1], tail) if _width(head) >= _width(tail) else (head, tail[1:])
    return f"{head}…{tail}"


def _width(text: str) -> int:
    """In Latin letters: a Chinese character is two wide."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
