"""Findings of an audit of images: as lines for a terminal, and as a sheet of the images that they are about.

Both are made from the document that `classicnets data check --json` prints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from classicnets.report.fonts import FigureText, shortened
from classicnets.report.lines import left_out
from classicnets.text import _, labeled, phrases, plural, wrap

# on the terminal
_MAX_CLASSES = 12  # rows of the table of classes
_MAX_GROUPS, _MAX_FILES = 4, 4  # groups per finding, files per group

# on the sheet
_MAX_DRAWN_GROUPS, _MAX_DRAWN_FILES = 12, 6  # groups per finding, images per group
_COLUMNS = 10  # images in a row
_COLORS = {"error": "#c62828", "warning": "#b26a00", "note": "#4a5a6a"}
_BACKGROUND = "#f4f4f4"
# lengths on the sheet, in pixels
_TILE = 100  # edge of an image
_EDGE = 4  # around an image
_GAP = 12  # between groups
_CAPTION = 34  # below an image
_HEADING = 32  # above a block
_MIN_BLOCK = 238
_LETTER = 6.2  # mean width in a heading

Document = Mapping[str, Any]


def class_rows(document: Document) -> tuple[list[str], list[list[object]]]:
    """Return the columns and rows of the table that counts the images of each class and split.

    Of more than 12 classes, the 6 smallest and the 6 largest have a row.
    """
    counts: Mapping[str, Mapping[str, int]] = document["classes"]
    splits = list(dict.fromkeys(split for by_split in counts.values() for split in by_split))
    names = list(counts)
    if len(names) > _MAX_CLASSES:
        by_size = sorted(names, key=lambda name: sum(counts[name].values()))
        extremes = {*by_size[: _MAX_CLASSES // 2], *by_size[-(_MAX_CLASSES // 2) :]}
        names = [name for name in names if name in extremes]
    rows: list[list[object]] = [[name, *(counts[name].get(split, 0) for split in splits)] for name in names]
    if len(names) < len(counts):
        omitted = len(counts) - len(names)
        label = plural("... and {n:,} class of a size in between", "... and {n:,} classes of sizes in between", omitted)
        rows.append([label, *("" for _split in splits)])
    totals = [sum(by_split.get(split, 0) for by_split in counts.values()) for split in splits]
    rows.append([_("all {n:,}", n=len(counts)), *totals])
    return [_("class"), *splits], rows


def lines(document: Document, width: int) -> list[str]:
    """Return the findings, worst first, with long lists shortened.

    Lines are wrapped at `width`, except paths and hints, which are pasted.
    """
    output: list[str] = []
    numbered = list(enumerate(document["findings"], 1))
    for severity, findings in _by_severity(numbered).items():
        output += [_section(severity, len(findings)), ""]
        for number, finding in findings:
            output += _wrapped(f"{number:>3}. {labeled(finding['topic'], finding['what'])}", width, 5)
            output += _group_lines(finding["groups"], width)
            output += _wrapped("     " + _("why:  {reason}", reason=finding["why"]), width, 11)
            output += ["     " + _("hint: {hint}", hint=finding["hint"]), ""]
    lost = left_out(document["left_out"])
    return [*output, *([lost] if lost else []), verdict(document)]


def verdict(document: Document) -> str:
    """Return one line with the numbers of errors, warnings and notes."""
    findings = _by_severity(list(enumerate(document["findings"])))
    counts = [_severity_count(severity, len(numbered)) for severity, numbered in findings.items()]
    fields = {"name": document["name"], "findings": phrases(counts) or _("no findings")}
    return plural(
        "{name}: {findings} in {n:,} image; no file was changed, moved or deleted",
        "{name}: {findings} in {n:,} images; no file was changed, moved or deleted",
        document["pictures"],
        **fields,
    )


def _section(severity: str, n: int) -> str:
    """The heading of the findings of a severity."""
    if severity == "error":
        return plural("ERROR", "ERRORS", n)
    return plural("WARNING", "WARNINGS", n) if severity == "warning" else plural("NOTE", "NOTES", n)


def _severity_count(severity: str, n: int) -> str:
    if severity == "error":
        return plural("{n:,} error", "{n:,} errors", n)
    if severity == "warning":
        return plural("{n:,} warning", "{n:,} warnings", n)
    return plural("{n:,} note", "{n:,} notes", n)


def _by_severity(numbered: list[tuple[int, Any]]) -> dict[str, list[tuple[int, Any]]]:
    groups: dict[str, list[tuple[int, Any]]] = {}
    for number, finding in numbered:
        groups.setdefault(finding["severity"], []).append((number, finding))
    return groups


def _group_lines(groups: Sequence[Document], width: int) -> list[str]:
    similarities = {
        "bytes": _("identical files"),
        "near": _("nearly identical images"),
        "mirrored": _("mirrored images"),
        "turned": _("rotated images"),
    }
    output = []
    for group in groups[:_MAX_GROUPS]:
        files = [_place(place) for place in group["places"]]
        if len(files) > _MAX_FILES:
            files = [*files[:_MAX_FILES], _("and {n:,} more", n=len(files) - _MAX_FILES)]
        if group["how"]:
            output.append(f"     - {similarities[group['how']]}")
            output += [f"         {file}" for file in files]
        else:
            output += [f"     - {file}" for file in files]
    if len(groups) > _MAX_GROUPS:
        omitted = _("and {n:,} more (--json lists all)", n=len(groups) - _MAX_GROUPS)
        output += _wrapped(f"     {omitted}", width, 5)
    return output


def _place(place: Document) -> str:
    """A file, with its split unless the path begins with it, and details about it."""
    file = place["file"]
    split = "" if file.startswith(place["split"]) else f" [{place['split']}]"
    return labeled(f"{file}{split}", place["detail"]) if place["detail"] else f"{file}{split}"


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    return wrap(text, max(width, 40), indent)


@dataclass(frozen=True)
class _Tile:
    """An image uint8 [H, W, 3] with its caption."""

    pixels: np.ndarray
    caption: str


@dataclass(frozen=True)
class _Block:
    """The images of a finding, in groups, with the heading above them."""

    severity: str
    heading: str
    groups: list[list[_Tile]]


def draw_sheet(document: Document, read: Callable[[str], np.ndarray | None]) -> Figure:
    """Draw the images of the findings; images of one group share a frame.

    Args:
        document: what `classicnets data check --json` prints.
        read: reads a file, named as in the document, as uint8 [H, W, 3]; None if it cannot be read.
    """
    blocks = []
    for number, finding in enumerate(document["findings"], 1):
        groups = [_tiles(group, read) for group in finding["groups"][:_MAX_DRAWN_GROUPS]]
        groups = [tiles for tiles in groups if tiles]
        if groups:
            blocks.append(_Block(finding["severity"], _heading(number, finding), groups))
    return _draw_blocks(_("{name}: findings of classicnets data check", name=document["name"]), blocks)


def _tiles(group: Document, read: Callable[[str], np.ndarray | None]) -> list[_Tile]:
    images = [(place, read(place["file"])) for place in group["places"][:_MAX_DRAWN_FILES]]
    return [_Tile(pixels, _caption(place)) for place, pixels in images if pixels is not None]


def _heading(number: int, finding: Document) -> str:
    severities = {"error": _("error"), "warning": _("warning"), "note": _("note")}
    fields = {"number": number, "severity": severities[finding["severity"]], "what": finding["what"]}
    groups = len(finding["groups"])
    if groups <= _MAX_DRAWN_GROUPS:
        return _("{number}. {severity}: {what}", **fields)
    return _("{number}. {severity}: {what} (the first {shown} of {n:,})", shown=_MAX_DRAWN_GROUPS, n=groups, **fields)


def _caption(place: Document) -> str:
    """Split and class, and the name of the file."""
    name = place["file"].rpartition("/")[2]
    return "\n".join(shortened(text, 17) for text in (f"{place['split']}/{place['label']}", name))


def _draw_blocks(title: str, blocks: Sequence[_Block]) -> Figure:
    """Draw the blocks in reading order; short blocks stand side by side."""
    width = _COLUMNS * (_TILE + _GAP) + 2 * _GAP
    captions = [tile.caption for block in blocks for tiles in block.groups for tile in tiles]
    texts = "\n".join([title, *(block.heading for block in blocks), *captions])
    text = FigureText([], texts, 1e6)  # replaces letters that no font has
    printable_lines = dict(zip(texts.split("\n"), text.title.split("\n"), strict=True))

    def printable(string: str) -> str:
        return "\n".join(printable_lines[line] for line in string.split("\n"))

    figure = Figure(dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.text(_GAP, 12, printable(title), fontsize=12, va="top", fontweight="bold", **text.style)
    left, top, bottom = _GAP, 44, 44
    for block in blocks:
        color = _COLORS[block.severity]
        block_width = max(_MIN_BLOCK, sum(_group_width(tiles) + _GAP for tiles in block.groups))
        if left > _GAP and left + block_width > width:
            left, top = _GAP, bottom
        x, y = left, top + _HEADING
        letters = round((min(block_width, width) - _GAP) / _LETTER)
        heading, *more = wrap(printable(block.heading), letters)
        heading += "".join(f"\n{line}" for line in more[:1]) + (" …" if more[1:] else "")
        axes.text(x, top, heading, fontsize=8, va="top", color=color, **text.style)
        for tiles in block.groups:
            if x > left and x + _group_width(tiles) > width:
                x, y = left, y + _TILE + _CAPTION + _GAP
            _draw_frame(axes, (x, y), _group_width(tiles), color if len(tiles) > 1 else _BACKGROUND)
            for n, tile in enumerate(tiles):
                center = x + _EDGE + n * (_TILE + _EDGE) + _TILE / 2
                _draw_image(axes, tile.pixels, center, y + _EDGE + _TILE / 2)
                style = {"fontsize": 5.8, "ha": "center", "va": "top", **text.style}
                axes.text(center, y + _TILE + 8, printable(tile.caption), **style)
            x += _group_width(tiles) + _GAP
        bottom = max(bottom, y + _TILE + _CAPTION + 2 * _GAP)
        left += block_width if y == top + _HEADING else width  # nothing stands beside a block of several rows
    if not blocks:
        axes.text(_GAP, bottom, _("no images to show"), fontsize=9, va="top")
        bottom += 40
    axes.set(xlim=(0, width), ylim=(bottom, 0), aspect="auto")
    figure.set_size_inches(width / 100, bottom / 100)
    return figure


def _draw_frame(axes: Axes, corner: tuple[float, float], width: float, color: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            corner,
            width,
            _TILE + _CAPTION,
            boxstyle="round,pad=0,rounding_size=5",
            facecolor=_BACKGROUND,
            edgecolor=color,
            zorder=0,
        )
    )


def _draw_image(axes: Axes, pixels: np.ndarray, x: float, y: float) -> None:
    """Draw the image centered at (x, y), as large as a tile allows."""
    scale = _TILE / max(pixels.shape[:2])
    height, width = (max(length * scale, 1) / 2 for length in pixels.shape[:2])
    axes.imshow(
        pixels,
        extent=(x - width, x + width, y + height, y - height),
        interpolation="nearest" if scale > 1 else "antialiased",
    )


def _group_width(tiles: Sequence[object]) -> int:
    return len(tiles) * (_TILE + _EDGE) + _EDGE
