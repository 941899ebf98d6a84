"""A figure of a network as SVG, drawn from its layer table without LaTeX or Graphviz.

A table becomes stages (`stages.py`), stages become a layout (`layout.py`), and this module writes the layout as SVG. It
uses presentation attributes only, because office programs do not read style sheets.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from classicnets.inspection.layout import Box, Layout, Link, Point, layout
from classicnets.inspection.shapes import Table
from classicnets.inspection.stages import GRAY, INK, Stage, Text, without_control_characters
from classicnets.text import _
from classicnets.text import shape as shape_text

_PALE = "#9aa5b1"
_FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_FILLS = {  # front, top, side: distinct for color-blind readers, and in grayscale print
    "input": ("#e4e7eb", "#f5f7fa", "#f5f7fa"),
    "conv": ("#74b6e2", "#a9d3ef", "#549fd1"),
    "pool": ("#f6d58e", "#fbe9c4", "#efc265"),
    "dense": ("#2f8f6f", "#63b497", "#22735a"),
    "other": ("#ffffff", "#ffffff", "#ffffff"),
}


def svg(tables: Sequence[tuple[str, Table]]) -> str:
    """Return an SVG file with the networks, one above the other on a common scale, each with its title."""
    return draw(layout(tables), ", ".join(name for name, _ in tables))


def draw(placed: Layout, title: str) -> str:
    """Return the layout as an SVG file; the same layout gives the same bytes."""
    size: dict[str, float] = {"width": round(placed.width), "height": round(placed.height)}
    root = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox="0 0 {width} {height}".format(**size))
    root.attrib |= {key: str(value) for key, value in size.items()} | {"font-family": _FONTS, "role": "img"}
    _add(root, "title").text = without_control_characters(title)
    _add(root, "rect", **size, fill="#ffffff")
    for link in placed.links:
        if link.style != "window":
            _draw_link(root, link)
    for box in placed.boxes:
        _draw_box(root, box)
    for link in placed.links:
        if link.style == "window":
            _draw_window(root, link)
    for text in placed.texts:
        _draw_text(root, text)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _draw_box(root: ET.Element, box: Box) -> None:
    stage, (front, top, side) = box.stage, _FILLS[box.stage.style]
    group = _add(root, "g", stroke=INK, stroke_width=0.8, stroke_linejoin="round", opacity=0.4 if stage.again else 1)
    if stage.style == "other":
        group.set("stroke-dasharray", "4 2")
    _add(group, "title").text = without_control_characters(_tooltip(stage))
    if stage.sheets == 1 or (1 < stage.sheets <= 16 and box.thick / stage.sheets >= 2.2):
        for k in range(stage.sheets):
            along = k / max(1, stage.sheets - 1)
            _points(group, [box.point(along, *corner) for corner in ((0, 0), (1, 0), (1, 1), (0, 1))], fill=front)
        return
    _points(group, [box.point(a, 0, d) for a, d in ((0, 0), (1, 0), (1, 1), (0, 1))], fill=front)
    _points(group, [box.point(a, b, 0) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))], fill=top)
    _points(group, [box.point(1, b, d) for b, d in ((0, 0), (1, 0), (1, 1), (0, 1))], fill=side)
    units = 1 if stage.volume else math.prod(stage.shape)
    for k in range(1, units if units <= 16 else 1):
        _points(group, [box.point(0, 0, k / units), box.point(1, 0, k / units)], "polyline", stroke_width=0.5)


def _tooltip(stage: Stage) -> str:
    """The shape and the exact counts of all layers of the box."""
    lines = (
        _(
            "{layer} {kind}: {shape}, {parameters:,} parameters, {macs:,} multiply-accumulates",
            layer=row.name,
            kind=row.kind,
            shape=shape_text(row.outputs),
            parameters=row.parameters,
            macs=row.macs,
        )
        for row in stage.rows
    )
    return "\n".join([shape_text(stage.shape), *lines])


def _draw_link(root: ET.Element, link: Link) -> None:
    source, target = link.source, link.target
    if link.style == "all":
        corners = [source.point(1, 1, 0), target.point(0, 0, 0), target.point(0, 0, 1), source.point(1, 0, 1)]
        _points(root, corners, fill=_PALE, fill_opacity=0.22, stroke=_PALE, stroke_width=0.8)
        return
    x, y = target.x, target.middle[1]
    dashes = "4 3" if link.style == "dashed" else "none"
    start = (source.right + 4, source.middle[1])
    _points(root, [start, (x - 9, y)], "polyline", stroke=GRAY, stroke_width=1.3, stroke_dasharray=dashes)
    _points(root, [(x - 3, y), (x - 10, y - 4), (x - 10, y + 4)], fill=GRAY)


def _draw_window(root: ET.Element, link: Link) -> None:
    source, point = link.source, (link.target.x, link.target.middle[1])
    extents = zip(link.window, (source.dx, source.height), strict=True)
    across, down = (min(0.5, max(share / 2, 3 / size)) for share, size in extents)
    corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    window = [source.point(1, 0.5 + a * across, 0.5 + d * down) for a, d in corners]
    _points(root, [window[1], point, window[3], window[2]], fill=INK, fill_opacity=0.07)
    _points(root, [window[1], point, window[3]], "polyline", stroke=INK, stroke_width=0.7)
    _points(root, window, fill="#ffffff", fill_opacity=0.75, stroke=INK, stroke_width=1)
    _add(root, "circle", cx=point[0], cy=point[1], r=2.4, fill=INK)


def _draw_text(root: ET.Element, text: Text) -> None:
    left, top, right, bottom = text.box
    place: dict[str, float] = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    if text.tag:
        _add(root, "rect", **place, rx=8, fill="#f5f7fa", stroke=_PALE, stroke_width=0.8)
    elif not text.start:  # a light background, so that lines behind the text do not disturb
        _add(root, "rect", **place, fill="#ffffff", fill_opacity=0.8)
    anchor, weight = "start" if text.start else "middle", "bold" if text.bold else "normal"
    attributes: dict[str, str | float] = {
        "font_size": text.size,
        "font_weight": weight,
        "text_anchor": anchor,
        "fill": text.fill,
    }
    _add(root, "text", x=text.x, y=text.y, **attributes).text = text.text


def _points(parent: ET.Element, points: Sequence[Point], name: str = "polygon", **attributes: str | float) -> None:
    fill = {"fill": "none"} if name == "polyline" else {}
    _add(parent, name, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), **fill, **attributes)


def _add(parent: ET.Element, name: str, **attributes: str | float) -> ET.Element:
    """A new element; font_size=11 becomes font-size="11", and numbers are rounded."""
    texts = {key: value if isinstance(value, str) else f"{round(value, 2):g}" for key, value in attributes.items()}
    return ET.SubElement(parent, name, {key.replace("_", "-"): value for key, value in texts.items()})
