"""What a figure of a net shows: its layer table as a row of stages, each with the small layers that belong to it."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch.nn.modules import activation, batchnorm, dropout, instancenorm, normalization

from classicnets.inspection.meta import Shape
from classicnets.inspection.shapes import Row, Table
from classicnets.text import shape as shape_text

INK, GRAY = "#1f2933", "#52606d"
_DIMENSIONS = r"(?<=.)[1-3]d$"
# Endings of the kinds that are a tag where they keep the shape: ReLU, LeakyReLU, your ScaledTanh.
_SMALL = tuple(
    re.sub(_DIMENSIONS, "", name)
    for module in (activation, batchnorm, dropout, instancenorm, normalization)
    for name in (*module.__all__, "LRN")
    if name != "MultiheadAttention"
)


@dataclass(frozen=True, kw_only=True)
class Text:
    """A line of text; x is its middle, or its start in titles and notes, and y its base line."""

    text: str
    size: float = 13
    bold: bool = False
    tag: bool = False
    start: bool = False
    fill: str = INK
    x: float = 0
    y: float = 0

    @property
    def width(self) -> float:
        """Roughly, and rather too wide."""
        return sum(map(_em, self.text)) * self.size * (1.1 if self.bold else 1) + (12 if self.tag else 0)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        left, edge = self.x if self.start else self.x - self.width / 2, 3 if self.tag else 0
        return left, self.y - 0.8 * self.size - edge, left + self.width, self.y + 0.25 * self.size + edge


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One box of the figure: a row that makes something new, and the small rows before and after it."""

    shape: Shape
    volume: tuple[int, int, int] | None  # channels, height, width; None for a vector
    style: str  # input, conv, pool, dense or other
    label: tuple[str, ...] = ()
    row: Row | None = None
    rows: tuple[Row, ...] = ()  # all that it stands for
    before: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    dashed: bool = False  # it reads something else than the box before it
    split: bool = False  # drawn as two towers
    again: bool = False  # the last box of a line, repeated where the next begins

    @property
    def sheets(self) -> int:
        """Channels of one box of it."""
        return self.volume[0] // (2 if self.split else 1) if self.volume else 0

    @property
    def grouped(self) -> bool:
        """Whether each half of it reads one half of what is before it."""
        return bool(self.row and self.row.groups == 2 and self.row.kernel)

    @property
    def mixes(self) -> bool:
        """Whether it is more than pooling, which handles each channel alone."""
        return bool(self.row and (self.row.macs or self.row.weights))


def stages(table: Table) -> list[Stage]:
    """The input, then each row that is not a tag, then what forward() does after the last layer."""
    one_d = any(len(sides(row.kernel)) == 1 for row in table.rows)
    made = [_stage(table.input_shape, one_d, style="input")]
    shape, before, passed = table.input_shape, list[str](), list[Row]()
    known: dict[str, Any]
    for row, outer in _called(table.rows):
        tag = _tag(row, outer, shape)
        if tag and (before or len(row.outputs) != len(shape)):
            before, passed, shape = [*before, tag], [*passed, row], row.outputs
        elif tag:
            made[-1] = replace(made[-1], tags=(*made[-1].tags, tag), rows=(*made[-1].rows, row))
        else:
            dashed, reads = _reads(row, outer, shape)
            known = {"style": style(row), "label": _label(row, outer), "before": (*before, *reads), "dashed": dashed}
            made.append(_stage(row.outputs, one_d, row=row, rows=(*passed, row), **known))
            shape, before, passed = row.outputs, [], []
    if before or shape != table.output_shape:
        outside = shape != table.output_shape
        known = {"label": ("forward()",) if outside else (), "before": tuple(before), "dashed": outside}
        made.append(_stage(table.output_shape, one_d, rows=tuple(passed), **known))
    return _with_towers(made)


def style(row: Row) -> str:
    """How its box looks."""
    if "Conv" in row.kind and sides(row.kernel):
        return "conv"
    if re.search("pool|subsampl", row.kind, re.IGNORECASE):
        return "pool"
    return "dense" if row.kind.endswith("Linear") else "other"


def sides(value: object) -> Shape:
    """The value where it is what torch has there, a whole number for each side; else nothing."""
    return value if isinstance(value, tuple) and all(isinstance(n, int) for n in value) else ()


def _stage(shape: Shape, one_d: bool, style: str = "other", **known: Any) -> Stage:
    volume = None
    if len(shape) == 2:
        volume = (shape[0], shape[1], 1) if one_d else (1, shape[0], shape[1])
    elif len(shape) > 2:
        volume = (math.prod(shape[:-2]), shape[-2], shape[-1])
    return Stage(shape=shape, volume=volume, style=style, **known)


def _called(rows: Iterable[Row]) -> Iterator[tuple[Row, bool]]:
    """The rows in the order in which their calls end, and whether other rows were inside."""
    running: list[tuple[Row, bool]] = []
    for row in rows:
        while running and running[-1][0].name and not row.name.startswith(running[-1][0].name + "."):
            yield running.pop()
        if row.inputs or row.outputs:
            running = [*((outer, True) for outer, _ in running), (row, False)]
    yield from reversed(running)


def _tag(row: Row, outer: bool, shape: Shape) -> str:
    """The words for a row that gets no box of its own; empty for one that does."""
    kind, same = _kind(row), row.inputs == row.outputs
    if outer:
        return kind if row.outputs == shape else ""
    if row.inputs != shape:
        return ""
    if same and kind.endswith(_SMALL):
        return "LRN" if kind == "LocalResponseNorm" else _words(kind)
    passes = not row.parameters and not row.macs and (kind == "Flatten" or not row.activation_bytes)
    if passes and (same or row.outputs == (math.prod(shape),)):
        return _words(kind) if same else f"{_words(kind)} {shape_text(row.outputs)}"
    return ""


def _reads(row: Row, outer: bool, shape: Shape) -> tuple[bool, tuple[str, ...]]:
    """Whether it reads something else than the box before it, and what to say about it."""
    if row.inputs == shape:
        return False, ()
    if row.inputs == (math.prod(shape),):
        return False, (f"flatten {row.inputs[0]}",)
    return True, () if outer else (f"reads {shape_text(row.inputs)}",)


def _with_towers(made: Sequence[Stage]) -> list[Stage]:
    """Two towers wherever a layer in two groups makes the halves or reads them, with the pooling in between."""
    split: set[int] = set()
    for i in (i for i, stage in enumerate(made) if stage.grouped):
        start, end = i - 1, i + 1
        while start > 0 and _keeps_channels(made, start):
            start -= 1
        while end < len(made) and _keeps_channels(made, end):
            end += 1
        split |= {k for k in range(max(start, 1), end) if made[k].volume and made[k].shape[0] % 2 == 0}
    return [replace(stage, split=k in split) for k, stage in enumerate(made)]


def _keeps_channels(made: Sequence[Stage], k: int) -> bool:
    here, before = made[k].volume, made[k - 1].volume
    return bool(not made[k].mixes and not made[k].dashed and here and before and here[0] == before[0])


def _kind(row: Row) -> str:
    return re.sub(rf"^Parametrized(?=.)|{_DIMENSIONS}", "", row.kind)


def _words(kind: str) -> str:
    """BatchNorm -> batch norm; ReLU and SiLU stay."""
    return kind if re.search("[A-Z]{2}", kind) else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()


def _label(row: Row, outer: bool) -> tuple[str, ...]:
    """What a layer does, in lines."""
    kind, look, kernel = _kind(row), style(row), sides(row.kernel)
    word = {"dense": "dense", "other": kind}.get(look) or _words(kind)
    if outer:
        return kind, "(its own part)"
    if "Adaptive" in kind:
        return word, f"to {shape_text(row.outputs[1:])}"
    if not kernel:
        return (word,)
    window = shape_text(kernel) if len(kernel) > 1 else f"size {kernel[0]}"
    steps = list(_steps(row))
    lines = tuple(", ".join(steps[k : k + 2]) for k in range(0, len(steps), 2))
    return (word, window, *lines) if look == "other" else (f"{window} {word}", *lines)


def _steps(row: Row) -> Iterator[str]:
    """Stride, padding, dilation and groups, where they are not what is usual."""
    usual = {"stride": set() if "Pool" in row.kind else {1}, "padding": {0}, "dilation": {1}}
    for name, usually in usual.items():
        value = sides(getattr(row, name))
        if value and set(value) != usually:
            short = value[0] if len(set(value)) == 1 else shape_text(value)
            yield f"{'pad' if name == 'padding' else name} {short}"
        elif name == "padding" and row.padding == "same":
            yield "pad same"
    if isinstance(row.groups, int) and row.groups > 1:
        yield f"{row.groups} groups"


def notes(table: Table, net: Sequence[Stage], last: bool) -> str:
    """What a reader must know of a net; after the last one, of the figure."""
    said = [table.note + "."] if table.note else []
    if any(stage.dashed for stage in net):
        said.append("Dashed line: the layer reads something else than the box before it.")
    if table.unlisted:
        inside = ", ".join(f"{name} x{n}" for name, n in table.unlisted.items())
        said.append(f"Not drawn, as forward() does it without a layer: {inside}.")
    idle = [row for row in table.rows if not (row.inputs or row.outputs)]
    said += [f"Not called: {row.name or 'the net'} ({row.kind}, {row.parameters:,} parameters)." for row in idle]
    return " ".join([*said, *["Sides, channels and units are drawn on a square-root scale."] * last])


def facts(stage: Stage) -> Iterator[str]:
    """The name of its layer and the counts of all that it stands for; an empty text for what it has not."""
    name = stage.row.name.rpartition(".")[2] if stage.row else "input" if stage.style == "input" else ""
    yield "" if name.isdigit() else cut(name, 18)
    for column, unit in (("parameters", "params"), ("macs", "MACs")):
        count = sum(getattr(row, column) for row in stage.rows)
        yield f"{_rounded(count)} {unit}" if count else ""


def _rounded(n: int) -> str:
    """2,416 or 26.2 M."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= max(size * 0.9995, 10_000):
            return f"{n / size:.3g} {unit}"
    return f"{n:,}"


def cut(text: str, characters: int = 26) -> str:
    """Its beginning, where it is too long for a label."""
    return clean(text if len(text) <= characters else text[: characters - 1] + "…")


def clean(text: str) -> str:
    """Without what XML cannot hold."""
    return re.sub("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _em(character: str) -> float:
    """A rough width in em, that of the widest of the fonts."""
    if unicodedata.east_asian_width(character) in "WF" or character in "mwMW@%&<>=+~":
        return 1.0
    return 0.42 if character in "iljtfr.,:;'|!()[] " else 0.8 if character.isupper() else 0.64
