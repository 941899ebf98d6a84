"""Where everything of a figure lies: boxes, links and texts, each with its place, before anything is drawn.

Sides, channels and units are on a square-root scale, the same for all nets of a figure.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from classicnets.inspection.shapes import Table
from classicnets.inspection.stages import GRAY, INK, Stage, Text, clean, cut, facts, notes, sides, stages
from classicnets.text import shape as shape_text

_WIDEST, _MARGIN, _GAP = 1720.0, 28.0, 62.0
_THICK, _HIGH, _LOW, _MANY = 46.0, 170.0, 105.0, 30  # low is the highest box of a net of more than so many stages

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Box:
    """A block seen from its right; x, y is the upper left corner of it all, its back lies dx to the right and dy up."""

    stage: Stage
    x: float
    y: float
    thick: float
    height: float
    dx: float
    dy: float

    @property
    def right(self) -> float:
        """The right end of it all."""
        return self.x + self.thick + self.dx

    @property
    def bottom(self) -> float:
        """The lower end."""
        return self.y + self.height + self.dy

    @property
    def middle(self) -> Point:
        """The middle of what it covers."""
        return (self.x + self.right) / 2, (self.y + self.bottom) / 2

    def at(self, along: float, back: float, down: float) -> Point:
        """A point of it; each from 0 to 1."""
        return self.x + along * self.thick + back * self.dx, self.y + (1 - back) * self.dy + down * self.height


@dataclass(frozen=True)
class Link:
    """From a box to the next: a `window` (its share of the face, across and down), `all`, or an `arrow` or `dashed`."""

    source: Box
    target: Box
    style: str
    window: Point = (1.0, 1.0)


@dataclass(frozen=True)
class Layout:
    """Everything that is drawn, in its place."""

    width: float
    height: float
    boxes: tuple[Box, ...] = ()
    links: tuple[Link, ...] = ()
    texts: tuple[Text, ...] = ()


@dataclass(frozen=True)
class Column:
    """A stage with the texts over the gap before it and those under it."""

    stage: Stage
    box: Box
    head: tuple[tuple[Text, ...], ...]
    foot: tuple[Text, ...]

    @property
    def over(self) -> float:
        """By how much the texts under the box stand out on each side."""
        return max(0.0, max(text.width for text in self.foot) - self.box.right + self.box.x) / 2

    @property
    def reach(self) -> float:
        """Half the width of the texts over the gap."""
        return max((_row_width(row) for row in self.head), default=0.0) / 2


def layout(tables: Sequence[tuple[str, Table]]) -> Layout:
    """Boxes, links and texts of all nets."""
    nets = [stages(table) for _, table in tables]
    scale = Scale.of(nets)
    whole = Layout(480.0, 10.0)
    for k, ((name, table), net) in enumerate(zip(tables, nets, strict=True)):
        whole = _with_texts(whole, _titles(name, table))
        for line in _lines([_column(stage, scale) for stage in net]):
            whole = _joined(whole, line, scale)
        said = notes(table, net, last=k == len(nets) - 1)
        lines = textwrap.wrap(clean(said), max(60, int((whole.width - 2 * _MARGIN) / 6.6)))
        whole = _with_texts(whole, [Text(text=text, size=11, start=True, fill=GRAY) for text in lines])
    return whole


def _with_texts(whole: Layout, texts: Sequence[Text]) -> Layout:
    """With lines from the margin below everything."""
    y, placed = whole.height, []
    for text in texts:
        y += text.size * 1.35
        placed.append(replace(text, x=_MARGIN, y=y))
    width = max([whole.width, *(text.box[2] + _MARGIN for text in placed)])
    return replace(whole, width=width, height=y + 20, texts=(*whole.texts, *placed))


def _joined(whole: Layout, line: Sequence[Column], scale: Scale) -> Layout:
    """With a line of boxes below everything."""
    trial = _line(line, scale, 0)
    top = min(*(text.box[1] for text in trial.texts), *(box.y for box in trial.boxes))
    new = _line(line, scale, whole.height - top)
    boxes, links, texts = (*whole.boxes, *new.boxes), (*whole.links, *new.links), (*whole.texts, *new.texts)
    return Layout(max(whole.width, new.width), new.height + 24, boxes, links, texts)


@dataclass(frozen=True)
class Scale:
    """Pixels for the square root of a side, of channels and of units."""

    side: float
    channel: float
    unit: float

    @classmethod
    def of(cls, nets: Sequence[Sequence[Stage]]) -> Scale:
        """That in which the largest of all nets still fits."""
        high, drawn = _LOW if max(map(len, nets)) > _MANY else _HIGH, list(itertools.chain(*nets))
        longest = [n for stage in drawn if stage.volume for n in stage.volume[1:]]
        channels = [stage.volume[0] for stage in drawn if stage.volume]
        units = [math.prod(stage.shape) for stage in drawn if not stage.volume]
        pairs = ((high, longest), (_THICK, channels), (high, units))
        return cls(*(pixels / math.sqrt(max([16, *numbers])) for pixels, numbers in pairs))

    def box(self, stage: Stage, x: float, middle: float) -> Box:
        """The box of a stage, or of one of its towers."""
        if stage.volume is None:
            thick, height, dx, dy = 13.0, max(3, self.unit * math.sqrt(math.prod(stage.shape))), 6.0, 4.0
        else:
            channels, down, back = (math.sqrt(n) for n in stage.volume)
            thick = 4 + self.channel * channels / (math.sqrt(2) if stage.split else 1) if stage.sheets > 1 else 0
            height, dx, dy = (max(3, self.side * n) for n in (down, 0.36 * back, 0.26 * back))
        return Box(stage=stage, x=x, y=middle - (height + dy) / 2, thick=thick, height=height, dx=dx, dy=dy)


def _titles(name: str, table: Table) -> list[Text]:
    totals = (
        f"{table.parameters:,} parameters, {table.macs:,} multiply-adds for one {shape_text(table.input_shape)} input"
    )
    return [Text(text=cut(name, 100), size=22, bold=True, start=True), Text(text=totals, start=True, fill=GRAY)]


def _column(stage: Stage, scale: Scale) -> Column:
    label = [(Text(text=cut(line), bold=not k),) for k, line in enumerate(stage.label)]
    widest = max([110.0, *(row[0].width for row in label)])
    head = (*_packed(stage.before, widest), *label, *_packed(stage.tags, widest))
    return Column(stage, scale.box(stage, 0, 0), head, _foot(stage))


def _packed(words: Sequence[str], widest: float) -> list[tuple[Text, ...]]:
    """Tags in as few rows as the width allows."""
    rows: list[tuple[Text, ...]] = [()]
    for tag in (Text(text=cut(word), size=11, tag=True) for word in words):
        row = (*rows[-1], tag)
        rows = [*rows[:-1], row] if _row_width(row) <= widest or not rows[-1] else [*rows, (tag,)]
    return [row for row in rows if row]


def _row_width(row: Sequence[Text]) -> float:
    return sum(text.width for text in row) + 5 * (len(row) - 1)


def _foot(stage: Stage) -> tuple[Text, ...]:
    """Shape, name and counts; first the shape of a half where it is split."""
    half, shape = shape_text((stage.shape[0] // 2, *stage.shape[1:])) if stage.split else "", shape_text(stage.shape)
    shown = Text(
        text=f"both {shape}" if half else shape, size=12, bold=not stage.again, fill=GRAY if stage.again else INK
    )
    lines = [] if stage.again else [text for text in facts(stage) if text]
    small = (Text(text=line, size=11, fill=GRAY) for line in lines)
    return (*([Text(text=half, size=12)] if half else []), shown, *small)


def _lines(columns: Sequence[Column]) -> list[list[Column]]:
    """As few lines as the widest figure allows, as even as they can be."""
    widths = range(int(_WIDEST), 400, -40)
    wraps = (_wrapped(columns, width) for width in widths)
    fewest = len(_wrapped(columns, _WIDEST))
    return list(itertools.takewhile(lambda lines: len(lines) == fewest, wraps))[-1]


def _wrapped(columns: Sequence[Column], width: float) -> list[list[Column]]:
    """Lines no wider than that; each begins with the last box of the line before."""
    lines: list[list[Column]] = [[]]
    for column in columns:
        line = [*lines[-1], column]
        if len(line) > 2 and _lefts(line)[-1] + column.box.right + column.over > width - _MARGIN:
            last = replace(line[-2].stage, again=True)
            lines.append([Column(last, line[-2].box, (), _foot(last)), column])
        else:
            lines[-1] = line
    return lines


def _lefts(line: Sequence[Column]) -> list[float]:
    """Where each box begins, so that neither boxes nor the texts over and under them meet."""
    lefts, under, over, right = list[float](), 0.0, 0.0, -_GAP
    for column in line:
        needs = [_MARGIN + column.over, under + 12 + column.over, right + _GAP]
        if column.head:
            needs.append(max(over + 12, _MARGIN) + column.reach + _GAP / 2)
        lefts.append(max(needs))
        right = lefts[-1] + column.box.right
        under, over = right + column.over, lefts[-1] - _GAP / 2 + column.reach if column.head else over
    return lefts


def _line(line: Sequence[Column], scale: Scale, middle: float) -> Layout:
    """Boxes around a middle line, with texts and links; its height is where it ends."""
    apart = 16 + max((column.box.bottom - column.box.y for column in line if column.stage.split), default=0) / 2
    placed = [
        [scale.box(column.stage, x, middle + d) for d in ((-apart, apart) if column.stage.split else (0,))]
        for column, x in zip(line, _lefts(line), strict=True)
    ]
    texts = [text for column, boxes in zip(line, placed, strict=True) for text in _under(column, boxes)]
    bottom = max(text.box[3] for text in texts)
    for k, column in enumerate(line):
        texts += _above(column, line, placed, k)
    links = [link for sources, targets in itertools.pairwise(placed) for link in _links(sources, targets)]
    boxes = list(itertools.chain(*placed))
    right = max(*(box.right for box in boxes), *(text.box[2] for text in texts))
    return Layout(right + _MARGIN, bottom, tuple(boxes), tuple(links), tuple(texts))


def _above(column: Column, line: Sequence[Column], placed: Sequence[Sequence[Box]], k: int) -> Iterator[Text]:
    """The texts over the gap before box k, above every box they could touch."""
    middle = placed[k][0].x - _GAP / 2
    spans = [(boxes[0].x - c.over, boxes[0].right + c.over) for c, boxes in zip(line, placed, strict=True)]
    near = {j for j, (a, b) in enumerate(spans) if a < middle + column.reach and middle - column.reach < b}
    y = min(placed[j][0].y for j in near | {max(k - 1, 0), k}) - 12
    for row in reversed(column.head):
        left = middle - _row_width(row) / 2
        for text in row:
            yield replace(text, x=left + text.width / 2, y=y - (4 if text.tag else 0))
            left += text.width + 5
        y -= 23 if row[0].tag else 18


def _under(column: Column, boxes: Sequence[Box]) -> Iterator[Text]:
    """The shape of a half under each tower, the rest under the last."""
    for box in boxes:
        y = box.bottom + 3
        for text in column.foot if box is boxes[-1] else column.foot[:1]:
            y += text.size + 3
            yield replace(text, x=box.middle[0], y=y)


def _links(sources: Sequence[Box], targets: Sequence[Box]) -> Iterator[Link]:
    """Tower to tower where a layer works in groups or on each channel alone; else everything to everything."""
    stage = targets[0].stage
    alone = len(sources) == len(targets) and (stage.grouped or not stage.mixes)
    for source, target in zip(sources, targets, strict=True) if alone else itertools.product(sources, targets):
        window = _window(source.stage, stage)
        if stage.dashed or not stage.row:
            yield Link(source, target, "dashed" if stage.dashed else "arrow")
        elif window:
            yield Link(source, target, "window", window)
        else:
            yield Link(source, target, "all" if stage.style in {"dense", "pool"} else "arrow")


def _window(source: Stage, stage: Stage) -> Point | None:
    """How much of the face it reads a kernel covers, across and down."""
    kernel, dilation = (sides(stage.row.kernel), sides(stage.row.dilation)) if stage.row else ((), ())
    if not (kernel and source.volume and stage.volume):
        return None
    taken = [(k - 1) * d + 1 for k, d in itertools.zip_longest(kernel, dilation[: len(kernel)], fillvalue=1)]
    down, across = (*taken, 1)[:2] if len(taken) == 1 else taken[-2:]
    return across / max(1, source.volume[2]), down / max(1, source.volume[1])
