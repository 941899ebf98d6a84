"""The layout of a network figure: positions of boxes, links and texts.

Sizes, channels and units are on a square-root scale, which is the same for all networks of a figure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from classicnets.inspection.shapes import Table
from classicnets.inspection.stages import (
    GRAY,
    INK,
    Stage,
    Text,
    facts,
    integers,
    notes,
    shorten,
    stages,
    without_control_characters,
)
from classicnets.text import _, wrap
from classicnets.text import shape as shape_text

_MAX_WIDTH, _MARGIN, _GAP = 1720.0, 28.0, 62.0
_MAX_THICKNESS, _MAX_HEIGHT = 46.0, 170.0  # largest size of a box
_LONG_NETWORK, _MAX_HEIGHT_LONG = 30, 105.0  # with more stages than this, boxes are lower

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Box:
    """A block seen from the right: x, y is the upper left corner, and the back is dx to the right and dy up."""

    stage: Stage
    x: float
    y: float
    thick: float
    height: float
    dx: float
    dy: float

    @property
    def right(self) -> float:
        """Right end, with the back."""
        return self.x + self.thick + self.dx

    @property
    def bottom(self) -> float:
        """Lower end."""
        return self.y + self.height + self.dy

    @property
    def middle(self) -> Point:
        """Center of the bounding box."""
        return (self.x + self.right) / 2, (self.y + self.bottom) / 2

    def point(self, along: float, back: float, down: float) -> Point:
        """Return a point of the box; each coordinate is from 0 to 1."""
        return self.x + along * self.thick + back * self.dx, self.y + (1 - back) * self.dy + down * self.height


@dataclass(frozen=True)
class Link:
    """A connection of two boxes, with the style "window", "all", "arrow" or "dashed".

    `window` is the fraction of the face of the source that a kernel covers, in width and height.
    """

    source: Box
    target: Box
    style: str
    window: Point = (1.0, 1.0)


@dataclass(frozen=True)
class Layout:
    """Everything that is drawn, with positions in pixels."""

    width: float
    height: float
    boxes: tuple[Box, ...] = ()
    links: tuple[Link, ...] = ()
    texts: tuple[Text, ...] = ()


@dataclass(frozen=True)
class Column:
    """A stage with the texts above the gap before it (`head`) and below its box (`foot`)."""

    stage: Stage
    box: Box
    head: tuple[tuple[Text, ...], ...]
    foot: tuple[Text, ...]

    @property
    def overhang(self) -> float:
        """How far the texts below the box extend beyond it on each side."""
        return max(0.0, max(text.width for text in self.foot) - self.box.right + self.box.x) / 2

    @property
    def half_head_width(self) -> float:
        """Half the width of the texts above the gap."""
        return max((_row_width(row) for row in self.head), default=0.0) / 2


def layout(tables: Sequence[tuple[str, Table]]) -> Layout:
    """Return the layout of all networks, one below the other; each comes with its title."""
    nets = [stages(table) for _name, table in tables]
    scale = Scale.of(nets)
    result = Layout(480.0, 10.0)
    for k, ((name, table), net) in enumerate(zip(tables, nets, strict=True)):
        result = _append_texts(result, _titles(name, table))
        for line in _lines([_column(stage, scale) for stage in net]):
            result = _append_boxes(result, line, scale)
        note = without_control_characters(notes(table, net, last=k == len(nets) - 1))
        lines = wrap(note, max(60, int((result.width - 2 * _MARGIN) / 6.6)))
        result = _append_texts(result, [Text(text=text, size=11, start=True, fill=GRAY) for text in lines])
    return result


def _append_texts(base: Layout, texts: Sequence[Text]) -> Layout:
    """Add lines of text below the layout, at the left margin."""
    y, placed = base.height, []
    for text in texts:
        y += text.size * 1.35
        placed.append(replace(text, x=_MARGIN, y=y))
    width = max([base.width, *(text.box[2] + _MARGIN for text in placed)])
    return replace(base, width=width, height=y + 20, texts=(*base.texts, *placed))


def _append_boxes(base: Layout, line: Sequence[Column], scale: Scale) -> Layout:
    """Add a line of boxes below the layout."""
    trial = _line(line, scale, 0)
    top = min(*(text.box[1] for text in trial.texts), *(box.y for box in trial.boxes))
    new = _line(line, scale, base.height - top)
    boxes, links, texts = (*base.boxes, *new.boxes), (*base.links, *new.links), (*base.texts, *new.texts)
    return Layout(max(base.width, new.width), new.height + 24, boxes, links, texts)


@dataclass(frozen=True)
class Scale:
    """Pixels for the square root of a size, of channels and of units."""

    size: float
    channel: float
    unit: float

    @classmethod
    def of(cls, nets: Sequence[Sequence[Stage]]) -> Scale:
        """Return the scale in which the largest network fits."""
        height = _MAX_HEIGHT_LONG if max(map(len, nets)) > _LONG_NETWORK else _MAX_HEIGHT
        drawn = list(itertools.chain(*nets))
        sizes = [n for stage in drawn if stage.volume for n in stage.volume[1:]]
        channels = [stage.volume[0] for stage in drawn if stage.volume]
        units = [math.prod(stage.shape) for stage in drawn if not stage.volume]
        pairs = ((height, sizes), (_MAX_THICKNESS, channels), (height, units))
        return cls(*(pixels / math.sqrt(max([16, *numbers])) for pixels, numbers in pairs))

    def box(self, stage: Stage, x: float, middle: float) -> Box:
        """Return the box of a stage, or of one of its towers."""
        if stage.volume is None:
            thick, height, dx, dy = 13.0, max(3, self.unit * math.sqrt(math.prod(stage.shape))), 6.0, 4.0
        else:
            channels, down, back = (math.sqrt(n) for n in stage.volume)
            thick = 4 + self.channel * channels / (math.sqrt(2) if stage.split else 1) if stage.sheets > 1 else 0
            height, dx, dy = (max(3, self.size * n) for n in (down, 0.36 * back, 0.26 * back))
        return Box(stage=stage, x=x, y=middle - (height + dy) / 2, thick=thick, height=height, dx=dx, dy=dy)


def _titles(name: str, table: Table) -> list[Text]:
    totals = _(
        "{parameters:,} parameters, {macs:,} multiply-accumulates for one {shape} input",
        parameters=table.parameters,
        macs=table.macs,
        shape=shape_text(table.input_shape),
    )
    return [Text(text=shorten(name, 100), size=22, bold=True, start=True), Text(text=totals, start=True, fill=GRAY)]


def _column(stage: Stage, scale: Scale) -> Column:
    label = [(Text(text=shorten(line), bold=not k),) for k, line in enumerate(stage.label)]
    width = max([110.0, *(row[0].width for row in label)])
    head = (*_wrap_tags(stage.before, width), *label, *_wrap_tags(stage.tags, width))
    return Column(stage, scale.box(stage, 0, 0), head, _foot(stage))


def _wrap_tags(words: Sequence[str], width: float) -> list[tuple[Text, ...]]:
    """Tags in as few rows as the width allows."""
    rows: list[tuple[Text, ...]] = [()]
    for tag in (Text(text=shorten(word), size=11, tag=True) for word in words):
        row = (*rows[-1], tag)
        rows = [*rows[:-1], row] if _row_width(row) <= width or not rows[-1] else [*rows, (tag,)]
    return [row for row in rows if row]


def _row_width(row: Sequence[Text]) -> float:
    return sum(text.width for text in row) + 5 * (len(row) - 1)


def _foot(stage: Stage) -> tuple[Text, ...]:
    """Shape, name and counts; for two towers, first the shape of one of them."""
    shape = shape_text(stage.shape)
    texts = []
    if stage.split:
        texts.append(Text(text=shape_text((stage.shape[0] // 2, *stage.shape[1:])), size=12))
        shape = _("both {shape}", shape=shape)
    texts.append(Text(text=shape, size=12, bold=not stage.again, fill=GRAY if stage.again else INK))
    lines = [] if stage.again else [text for text in facts(stage) if text]
    return (*texts, *(Text(text=line, size=11, fill=GRAY) for line in lines))


def _lines(columns: Sequence[Column]) -> list[list[Column]]:
    """As few lines as the maximal width allows, of about the same width."""
    widths = range(int(_MAX_WIDTH), 400, -40)
    wraps = (_wrapped(columns, width) for width in widths)
    fewest = len(_wrapped(columns, _MAX_WIDTH))
    return list(itertools.takewhile(lambda lines: len(lines) == fewest, wraps))[-1]


def _wrapped(columns: Sequence[Column], width: float) -> list[list[Column]]:
    """Lines that are not wider than `width`; each starts with the last box of the line before."""
    lines: list[list[Column]] = [[]]
    for column in columns:
        line = [*lines[-1], column]
        if len(line) > 2 and _left_edges(line)[-1] + column.box.right + column.overhang > width - _MARGIN:
            last = replace(line[-2].stage, again=True)
            lines.append([Column(last, line[-2].box, (), _foot(last)), column])
        else:
            lines[-1] = line
    return lines


def _left_edges(line: Sequence[Column]) -> list[float]:
    """The left edge of each box, such that neither boxes nor the texts above and below them overlap."""
    edges, foot_end, head_end, box_end = list[float](), 0.0, 0.0, -_GAP
    for column in line:
        minima = [_MARGIN + column.overhang, foot_end + 12 + column.overhang, box_end + _GAP]
        if column.head:
            minima.append(max(head_end + 12, _MARGIN) + column.half_head_width + _GAP / 2)
        edges.append(max(minima))
        box_end = edges[-1] + column.box.right
        foot_end = box_end + column.overhang
        if column.head:
            head_end = edges[-1] - _GAP / 2 + column.half_head_width
    return edges


def _line(line: Sequence[Column], scale: Scale, middle: float) -> Layout:
    """Boxes centered at y = `middle`, with texts and links; the height of the layout is its lower end."""
    offset = 16 + max((column.box.bottom - column.box.y for column in line if column.stage.split), default=0) / 2
    placed = [
        [scale.box(column.stage, x, middle + d) for d in ((-offset, offset) if column.stage.split else (0,))]
        for column, x in zip(line, _left_edges(line), strict=True)
    ]
    texts = [text for column, boxes in zip(line, placed, strict=True) for text in _texts_below(column, boxes)]
    bottom = max(text.box[3] for text in texts)
    for k, column in enumerate(line):
        texts += _texts_above(column, line, placed, k)
    links = [link for sources, targets in itertools.pairwise(placed) for link in _links(sources, targets)]
    boxes = list(itertools.chain(*placed))
    right = max(*(box.right for box in boxes), *(text.box[2] for text in texts))
    return Layout(right + _MARGIN, bottom, tuple(boxes), tuple(links), tuple(texts))


def _texts_above(column: Column, line: Sequence[Column], placed: Sequence[Sequence[Box]], k: int) -> Iterator[Text]:
    """The texts above the gap before box k, higher than every box that they could touch."""
    middle = placed[k][0].x - _GAP / 2
    spans = [(boxes[0].x - c.overhang, boxes[0].right + c.overhang) for c, boxes in zip(line, placed, strict=True)]
    start, end = middle - column.half_head_width, middle + column.half_head_width
    near = {j for j, (a, b) in enumerate(spans) if a < end and start < b}
    y = min(placed[j][0].y for j in near | {max(k - 1, 0), k}) - 12
    for row in reversed(column.head):
        left = middle - _row_width(row) / 2
        for text in row:
            yield replace(text, x=left + text.width / 2, y=y - (4 if text.tag else 0))
            left += text.width + 5
        y -= 23 if row[0].tag else 18


def _texts_below(column: Column, boxes: Sequence[Box]) -> Iterator[Text]:
    """The shape of one tower below each tower, the rest below the last."""
    for box in boxes:
        y = box.bottom + 3
        for text in column.foot if box is boxes[-1] else column.foot[:1]:
            y += text.size + 3
            yield replace(text, x=box.middle[0], y=y)


def _links(sources: Sequence[Box], targets: Sequence[Box]) -> Iterator[Link]:
    """Tower to tower for a layer with groups or that does not mix channels; else all sources to all targets."""
    stage = targets[0].stage
    separate = len(sources) == len(targets) and (stage.grouped or not stage.mixes)
    for source, target in zip(sources, targets, strict=True) if separate else itertools.product(sources, targets):
        window = _window(source.stage, stage)
        if stage.dashed or not stage.row:
            yield Link(source, target, "dashed" if stage.dashed else "arrow")
        elif window:
            yield Link(source, target, "window", window)
        else:
            yield Link(source, target, "all" if stage.style in {"dense", "pool"} else "arrow")


def _window(source: Stage, stage: Stage) -> Point | None:
    """The fraction of the source's face that a kernel covers, in width and height."""
    kernel, dilation = (integers(stage.row.kernel), integers(stage.row.dilation)) if stage.row else ((), ())
    if not (kernel and source.volume and stage.volume):
        return None
    extents = [(k - 1) * d + 1 for k, d in itertools.zip_longest(kernel, dilation[: len(kernel)], fillvalue=1)]
    height, width = (*extents, 1)[:2] if len(extents) == 1 else extents[-2:]
    return width / max(1, source.volume[2]), height / max(1, source.volume[1])
