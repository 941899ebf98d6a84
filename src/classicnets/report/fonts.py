"""Fonts for names and titles in figures, which may be long and in any script (DejaVu Sans has no Chinese)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from classicnets.language import language, texts_in
from classicnets.text import _, columns, wrap

_LETTERS_PER_INCH = 11.5  # for DejaVu Sans at 10 points
_CHINESE = "训练精度"  # a font that has these has all


@contextmanager
def figure_texts() -> Iterator[None]:
    """While open, figures show texts in the language of the user: in English if no installed font has Chinese."""
    if language() != "zh":
        yield
        return
    families, missing = _families({*_CHINESE})
    with texts_in("en" if missing else None), matplotlib.rc_context({"font.family": families}):
        yield


class FigureText:
    """Names and a title as a figure can show them.

    Attributes:
        style: keyword arguments for every matplotlib text that shows them: installed fonts that together have all
            letters, and no mathematics between dollar signs.
        names: the names on one line each. A name with a letter that no installed font has is replaced by its index,
            such as "#3".
        title: the title, wrapped; it explains the indices if there are any.
        missing: the letters that no installed font has.

    Args:
        names: names of classes or files.
        title: may have several lines.
        inches: width available for the title at 10 points.
    """

    def __init__(self, names: Sequence[str], title: str, inches: float):
        names, lines = [_printable(name) for name in names], [_printable(line) for line in title.split("\n")]
        families, missing = _families({letter for text in (*names, *lines) for letter in text})
        self.missing = missing
        self.style: dict[str, Any] = {"fontfamily": families, "parse_math": False}
        self.names = [f"#{i}" if missing & set(name) else name for i, name in enumerate(names)]
        if any(missing & set(name) for name in names):
            lines.append(_("#0, #1, ...: class indices, because no installed font has all letters of the class names"))
        title = "\n".join("\n".join(wrap(line, round(_LETTERS_PER_INCH * inches))) for line in lines)
        self.title = "".join("?" if letter in missing else letter for letter in title)

    def short(self, width: int) -> list[str]:
        """Return the names, none wider than `width` Latin letters: longer names lose their middle."""
        return [shortened(name, width) for name in self.names]


def _families(letters: set[str]) -> tuple[list[str], set[str]]:
    """The default font followed by installed fonts with the letters it lacks, and the letters that no font has."""
    default = font_manager.findfont(font_manager.FontProperties())
    families, missing = [FT2Font(default).family_name], letters - _letters(default)
    if missing:
        _add_new_fonts()
    for font in sorted(font_manager.fontManager.ttflist, key=_preference):
        if not missing:
            break
        # "Last Resort" has a box for every letter
        if not font.name.startswith("Last Resort") and missing & _letters(font.fname):
            families.append(font.name)
            missing -= _letters(font.fname)
    return families, missing


@cache
def _add_new_fonts() -> None:
    """Add the fonts that were installed since matplotlib has listed them; it keeps its list for ever."""
    known = {font.fname for font in font_manager.fontManager.ttflist}
    for path in {*font_manager.findSystemFonts()} - known:
        with suppress(RuntimeError, OSError, ValueError):  # a damaged file, or a kind of font that is not supported
            font_manager.fontManager.addfont(path)


def _preference(font: font_manager.FontEntry) -> tuple[bool, bool, bool, bool, str]:
    """Sort key: upright, regular and sans serif fonts first; of these, those with simplified forms of Chinese."""
    sans_serif = any(word in font.name for word in ("Sans", "Hei", "Gothic", "YaHei"))
    simplified = any(word in font.name.split() for word in ("SC", "CN", "YaHei", "SimHei", "WenQuanYi"))
    regular = font.weight in (400, "normal", "regular")
    return font.style != "normal", not regular, not sans_serif, not simplified, font.name


@cache
def _letters(path: str) -> frozenset[str]:
    return frozenset(map(chr, FT2Font(path).get_charmap()))


def _printable(text: str) -> str:
    """The text on one line: white space becomes a blank, other unprintable characters are dropped."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text)


def shortened(name: str, width: int) -> str:
    """Return the name, at most `width` Latin letters wide: a longer one loses its middle."""
    if columns(name) <= width:
        return name
    head, tail = name[: len(name) // 2], name[len(name) // 2 :]
    while columns(head) + columns(tail) + 1 > width:
        head, tail = (head[:-1], tail) if columns(head) >= columns(tail) else (head, tail[1:])
    return f"{head}…{tail}"
