"""Pieces of Markdown that the pages share."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence


def row(*cells: object) -> str:
    """A line of a table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[str] = ()) -> list[str]:
    """The lines of a table; the columns named in `numbers` are aligned to the right."""
    return [row(*columns), row(*("---:" if c in numbers else "---" for c in columns)), *(row(*cells) for cells in rows)]


def item(text: str, indent: str = "") -> str:
    """An item of a list, wrapped at 120 columns."""
    first, others = f"{indent}- ", f"{indent}  "
    return textwrap.fill(
        text, 120, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def size(n: int) -> str:
    """A number of bytes in kB or MB (1,000 and 1,000,000 bytes)."""
    return f"{n / 1e6:.1f} MB" if n >= 1e6 else f"{n / 1e3:.1f} kB"


def code(text: str) -> str:
    """Text in a table cell as code."""
    return f"`{text.replace('|', '&#124;')}`" if text else ""
