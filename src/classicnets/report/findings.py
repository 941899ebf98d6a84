"""What the doctor of a folder found, for people: lines on a terminal, and a sheet of the images it speaks of.

Both are drawn from the document that `data check --json` prints.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from classicnets.report.fonts import FigureText, shortened
from classicnets.text import count

_SHOWN = 4  # so many groups of a finding on the terminal
_CLASSES = 12  # so many classes in the table of the terminal
_HOW = {"bytes": "the same bytes", "near": "nearly the same", "mirrored": "mirrored", "turned": "turned"}
_COLORS = {"error": "#c62828", "warning": "#b26a00", "note": "#4a5a6a"}
_DRAWN, _SIDE_BY_SIDE = 12, 6  # so many groups of a finding on the sheet, and so many images of a group
# of the sheet, in pixels: an image, around it, between groups, below an image, above a block, a block, a letter
_TILE, _EDGE, _GAP, _TEXT, _HEADING, _NARROWEST, _LETTER = 100, 4, 12, 34, 32, 238, 6.2
_COLUMNS = 10  # images in a row

Document = Mapping[str, Any]


def class_rows(document: Document) -> tuple[list[str], list[list[object]]]:
    """Columns and rows that count the images of each class; of many classes, the smallest and the largest."""
    counts: Mapping[str, Mapping[str, int]] = document["classes"]
    splits = list(dict.fromkeys(split for of in counts.values() for split in of))
    names = list(counts)
    if len(names) > _CLASSES:
        by_size = sorted(names, key=lambda name: sum(counts[name].values()))
        kept = {*by_size[: _CLASSES // 2], *by_size[-(_CLASSES // 2) :]}
        names = [name for name in names if name in kept]
    rows: list[list[object]] = [[name, *(counts[name].get(split, 0) for split in splits)] for name in names]
    if len(names) < len(counts):
        rows.append([f"... and {len(counts) - len(names):,} classes of sizes between", *("" for _ in splits)])
    rows.append([f"all {len(counts):,}", *(sum(of.get(split, 0) for of in counts.values()) for split in splits)])
    return ["class", *splits], rows


def lines(document: Document, width: int) -> list[str]:
    """The findings, worst first, long lists cut; each line fits `width` where its words allow."""
    out: list[str] = []
    numbered = list(enumerate(document["findings"], 1))
    for severity, of_it in _by_severity(numbered).items():
        out += [f"{severity.upper()}S" if len(of_it) > 1 else severity.upper(), ""]
        for number, finding in of_it:
            out += _wrapped(f"{number:>3}. {finding['topic']}: {finding['what']}", width, 5)
            out += _groups(finding["groups"], width)
            out += _wrapped(f"     why:  {finding['why']}", width, 11)
            out += [f"     hint: {finding['hint']}", ""]  # whole, to be pasted
    return [*out, verdict(document)]


def verdict(document: Document) -> str:
    """One line: how many findings of each kind, and that nothing was touched."""
    found = _by_severity(list(enumerate(document["findings"])))
    counts = [count(len(of_it), severity) for severity, of_it in found.items()]
    return (
        f"{document['name']}: {', '.join(counts) or 'nothing found'} in {document['pictures']:,} images;"
        " nothing was changed, moved or deleted"
    )


def _by_severity(numbered: list[tuple[int, Any]]) -> dict[str, list[tuple[int, Any]]]:
    found: dict[str, list[tuple[int, Any]]] = {}
    for number, finding in numbered:
        found.setdefault(finding["severity"], []).append((number, finding))
    return found


def _groups(groups: Sequence[Document], width: int) -> list[str]:
    out = []
    for group in groups[:_SHOWN]:
        files = [_described(place) for place in group["places"]]
        if len(files) > _SHOWN:
            files = [*files[:_SHOWN], f"and {len(files) - _SHOWN} more"]
        if group["how"]:
            out.append(f"     - {_HOW[group['how']]}")
            out += [f"         {file}" for file in files]
        else:
            out += [f"     - {file}" for file in files]
    if len(groups) > _SHOWN:
        out += _wrapped(f"     and {len(groups) - _SHOWN:,} more (--json lists all)", width, 5)
    return out


def _described(place: Document) -> str:
    """A file, its split where the path does not tell, and what is said of it."""
    file = place["file"]
    where = "" if file.startswith(place["split"]) else f" [{place['split']}]"
    return f"{file}{where}" + (f": {place['detail']}" if place["detail"] else "")


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    return textwrap.wrap(text, max(width, 40), subsequent_indent=" " * indent, break_long_words=False)


def draw_sheet(document: Document, read: Callable[[str], np.ndarray | None]) -> Figure:
    """The images of every finding that has some, groups of copies framed. `read` takes a file as the document calls
    it and gives uint8 [H, W, 3], or None if it cannot be seen.
    """
    captions, titles = [], []
    blocks: list[tuple[str, list[list[tuple[np.ndarray, str]]]]] = []
    for number, finding in enumerate(document["findings"], 1):
        groups = []
        for group in finding["groups"][:_DRAWN]:
            tiles = []
            for place in group["places"][:_SIDE_BY_SIDE]:
                pixels = read(place["file"])
                if pixels is not None:
                    tiles.append((pixels, _caption(place)))
            if tiles:
                groups.append(tiles)
        if groups:
            n = len(finding["groups"])
            cut = f" (the first {_DRAWN} of {n:,})" if n > _DRAWN else ""
            titles.append(f"{number}. {finding['severity']}: {finding['what']}{cut}")
            blocks.append((finding["severity"], groups))
            captions += [caption for tiles in groups for _, caption in tiles]
    return _drawn(f"{document['name']}: what `data check` found", titles, blocks, captions)


def _caption(place: Document) -> str:
    name = place["file"].rpartition("/")[2]
    return "\n".join(shortened(text, 17) for text in (f"{place['split']}/{place['label']}", name))


def _drawn(
    title: str,
    titles: Sequence[str],
    blocks: Sequence[tuple[str, list[list[tuple[np.ndarray, str]]]]],
    captions: Sequence[str],
) -> Figure:
    """Blocks of framed groups, in reading order; short blocks stand side by side."""
    width = _COLUMNS * (_TILE + _GAP) + 2 * _GAP
    lettering = FigureText([], "\n".join([title, *titles, *captions]), 1e6)  # what no font can write becomes a "?"
    written = iter(lettering.title.split("\n"))
    title, titles = next(written), [next(written) for _ in titles]
    figure = Figure(dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.text(_GAP, 12, title, fontsize=12, va="top", fontweight="bold", **lettering.style)
    left, top, bottom = _GAP, 44, 44
    for (severity, groups), heading in zip(blocks, titles, strict=True):
        broad = max(_NARROWEST, sum(_wide(tiles) + _GAP for tiles in groups))
        if left > _GAP and left + broad > width:
            left, top = _GAP, bottom
        x, y = left, top + _HEADING
        letters = round((min(broad, width) - _GAP) / _LETTER)
        lines_ = textwrap.wrap(heading, letters, max_lines=2, placeholder=" …")
        axes.text(x, top, "\n".join(lines_), fontsize=8, va="top", color=_COLORS[severity], **lettering.style)
        for tiles in groups:
            if x > left and x + _wide(tiles) > width:
                x, y = left, y + _TILE + _TEXT + _GAP
            axes.add_patch(
                FancyBboxPatch(
                    (x, y),
                    _wide(tiles),
                    _TILE + _TEXT,
                    boxstyle="round,pad=0,rounding_size=5",
                    facecolor="#f4f4f4",
                    edgecolor=_COLORS[severity] if len(tiles) > 1 else "#f4f4f4",
                    zorder=0,
                )
            )
            for n, (pixels, caption) in enumerate(tiles):
                center = x + _EDGE + n * (_TILE + _EDGE) + _TILE / 2
                _show(axes, pixels, center, y + _EDGE + _TILE / 2)
                said = "\n".join(next(written) for _ in caption.split("\n"))
                axes.text(center, y + _TILE + 8, said, fontsize=5.8, ha="center", va="top", **lettering.style)
            x += _wide(tiles) + _GAP
        bottom = max(bottom, y + _TILE + _TEXT + 2 * _GAP)
        left += broad if y == top + _HEADING else width  # nothing stands beside a block of several rows
    if not blocks:
        axes.text(_GAP, bottom, "no images to show", fontsize=9, va="top")
        bottom += 40
    axes.set(xlim=(0, width), ylim=(bottom, 0), aspect="auto")
    figure.set_size_inches(width / 100, bottom / 100)
    return figure


def _show(axes: Axes, pixels: np.ndarray, x: float, y: float) -> None:
    """The image around (x, y), as large as a tile allows."""
    scale = _TILE / max(pixels.shape[:2])
    height, width = (max(side * scale, 1) / 2 for side in pixels.shape[:2])
    axes.imshow(
        pixels,
        extent=(x - width, x + width, y + height, y - height),
        interpolation="nearest" if scale > 1 else "antialiased",
    )


def _wide(tiles: Sequence[object]) -> int:
    return len(tiles) * (_TILE + _EDGE) + _EDGE
