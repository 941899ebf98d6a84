"""HTML for a notebook cell: tables, lines and images that are readable in light and in dark themes.

Colors and fonts are those of the notebook; lines and marks are translucent. A viewer that removes the style, as GitHub
does, still shows tables.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Collection, Iterable, Mapping, Sequence

from classicnets.text import visible

# The class is doubled so that these rules win over those that notebooks have for tables.
_STYLE = """<style>
.cn-cell.cn-cell {overflow-x: auto; line-height: 1.4}
.cn-cell.cn-cell table {border-collapse: collapse; border: 0; margin: .4em 0; color: inherit; font-size: .9em}
.cn-cell.cn-cell :is(th, td) {padding: .15em .7em .15em 0; border: 0; border-bottom: 1px solid rgba(128, 128, 128, .3);
  text-align: left; vertical-align: top; white-space: nowrap; color: inherit; font-variant-numeric: tabular-nums}
.cn-cell.cn-cell th {font-weight: 600}
.cn-cell.cn-cell .cn-number {text-align: right}
.cn-cell.cn-cell .cn-wrap {white-space: normal; min-width: 12em}
.cn-cell.cn-cell .cn-total td {font-weight: 600; border-bottom: 0}
.cn-cell.cn-cell .cn-soft {opacity: .7; font-size: .9em}
.cn-cell.cn-cell tr.cn-changed {background: rgba(230, 170, 0, .16)}
.cn-cell.cn-cell tr.cn-added {background: rgba(40, 160, 80, .18)}
.cn-cell.cn-cell tr.cn-removed {background: rgba(220, 60, 60, .16)}
.cn-cell.cn-cell p {margin: .3em 0}
.cn-cell.cn-cell ul {margin: .3em 0; padding-left: 1.4em}
.cn-cell.cn-cell img {max-width: 100%; background: #fff; border-radius: 3px}
</style>"""


def cell(*parts: str) -> str:
    """Return the HTML of a cell from the HTML of its parts; empty ones are left out."""
    return "\n".join(['<div class="cn-cell">', _STYLE, *filter(None, parts), "</div>"])


def escaped(value: object) -> str:
    """Return text for HTML: no character of it is markup, and none reverses or hides the text around it."""
    return html.escape(visible(str(value)))


def heading(text: str) -> str:
    """Return a line in bold."""
    return f"<p><b>{escaped(text)}</b></p>"


def line(text: str, *, soft: bool = False) -> str:
    """Return a line of text, paler with `soft`; "" if there is none. Line breaks are kept."""
    shown = escaped(text).replace("\n", "<br>")
    return "" if not text else f'<p class="cn-soft">{shown}</p>' if soft else f"<p>{shown}</p>"


def items(lines: Iterable[str]) -> str:
    """Return a list of lines."""
    entries = "".join(f"<li>{escaped(text)}</li>" for text in lines)
    return f"<ul>{entries}</ul>" if entries else ""


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    numbers: Collection[str] = (),
    soft: Collection[str] = (),
    marks: Mapping[int, str] | None = None,
) -> str:
    """Return a table with thousands separators in integers.

    Args:
        columns: The headers.
        rows: One cell for each column.
        numbers: Headers of the columns to align right.
        soft: Headers of the columns in a paler and smaller font.
        marks: By the number of a row: "total", "changed", "added" or "removed".
    """
    classes = [" ".join(["cn-number"] * (name in numbers) + ["cn-soft"] * (name in soft)) for name in columns]
    head = "".join(
        _tagged("th", name, kind.replace("cn-soft", "").strip()) for name, kind in zip(columns, classes, strict=True)
    )
    lines = [f"<table><thead><tr>{head}</tr></thead><tbody>"]
    for index, row in enumerate(rows):
        mark = (marks or {}).get(index)
        cells = "".join(_tagged("td", _number(value), kind) for value, kind in zip(row, classes, strict=True))
        lines.append(f'<tr class="cn-{mark}">{cells}</tr>' if mark else f"<tr>{cells}</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and values, without those that are empty."""
    lines = [
        f"<tr>{_tagged('td', name, 'cn-soft')}{_tagged('td', value, 'cn-wrap')}</tr>" for name, value in rows if value
    ]
    return "\n".join(["<table><tbody>", *lines, "</tbody></table>"]) if lines else ""


def image(png: bytes, alt: str) -> str:
    """Return an image that is part of the HTML."""
    return f'<img alt="{escaped(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _tagged(tag: str, text: str, kind: str) -> str:
    return f'<{tag} class="{kind}">{escaped(text)}</{tag}>' if kind else f"<{tag}>{escaped(text)}</{tag}>"
