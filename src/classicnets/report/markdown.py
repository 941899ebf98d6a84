"""Pieces of Markdown that GitHub, the website and `html_page` read alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

_SPECIAL = re.compile(r"[\\`*\[\]]|(?<!\w)_|_(?!\w)")


def escaped(text: str) -> str:
    """Return text on one line that is shown as it is, whatever it contains, also in the cell of a table."""
    plain = _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;")):
        plain = plain.replace(letter, entity)
    return plain


def code(text: str) -> str:
    """Return text as code on one line; text that cannot be code everywhere is only escaped."""
    return escaped(text) if set("`|\n") & set(text) or not text.strip() else f"`{text}`"


def block(text: str, language: str = "") -> list[str]:
    """Return the lines of a block of code."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *text.splitlines(), fence]


def link(text: str, target: str) -> str:
    """Return a link to a file; `target` is its relative path, `text` is Markdown."""
    return f"[{text}]({quote(target)})"


def image(description: str, target: str) -> str:
    """Return an image; `target` is its relative path."""
    return f"![{escaped(description)}]({quote(target)})"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> list[str]:
    """Return the lines of a table of Markdown cells; the columns at the positions `numbers` are aligned right."""
    right = {*numbers}
    alignment = ["---:" if i in right else "---" for i in range(len(columns))]
    return [f"| {' | '.join(cells)} |" for cells in (columns, alignment, *rows)]
