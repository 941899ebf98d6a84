"""The stages of a network figure: each box stands for a layer and the small layers that belong to it."""

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
from classicnets.text import N_, _, full_stop, phrases, plural, sentences
from classicnets.text import shape as shape_text

INK, GRAY = "#1f2933", "#52606d"
_DIMENSIONS = r"(?<=.)[1-3]d$"
# Endings of class names that become a tag if they keep the shape: ReLU, LeakyReLU, your own ScaledTanh.
_TAG_KINDS = tuple(
    re.sub(_DIMENSIONS, "", name)
    for module in (activation, batchnorm, dropout, instancenorm, normalization)
    for name in (*module.__all__, "LRN")
    if name != "MultiheadAttention"
)


@dataclass(frozen=True, kw_only=True)
class Text:
    """A line of text; x is its center, or its start in titles and notes, and y its baseline."""

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
        """Estimated width; rather too wide than too narrow."""
        return sum(map(_em, self.text)) * self.size * (1.1 if self.bold else 1) + (12 if self.tag else 0)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Bounding box: left, top, right, bottom."""
        left, edge = self.x if self.start else self.x - self.width / 2, 3 if self.tag else 0
        return left, self.y - 0.8 * self.size - edge, left + self.width, self.y + 0.25 * self.size + edge


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One box of the figure: a row with a new output, and the small rows before and after it."""

    shape: Shape
    volume: tuple[int, int, int] | None  # channels, height, width; None for a vector
    style: str  # input, conv, pool, dense or other
    label: tuple[str, ...] = ()
    row: Row | None = None
    rows: tuple[Row, ...] = ()  # all rows that it stands for
    before: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    dashed: bool = False  # its input is not the box before it
    split: bool = False  # drawn as two towers
    again: bool = False  # the last box of a line, repeated at the start of the next

    @property
    def sheets(self) -> int:
        """Channels of one box."""
        return self.volume[0] // (2 if self.split else 1) if self.volume else 0

    @property
    def grouped(self) -> bool:
        """Whether each half of its channels reads one half of the input channels."""
        return bool(self.row and self.row.groups == 2 and self.row.kernel)

    @property
    def mixes(self) -> bool:
        """Whether it mixes channels, unlike pooling."""
        return bool(self.row and (self.row.macs or self.row.weights))


def stages(table: Table) -> list[Stage]:
    """Return the input, a stage for each row that is not a tag, and a stage for what forward() does after the last."""
    one_d = any(len(integers(row.kernel)) == 1 for row in table.rows)
    result = [_stage(table.input_shape, one_d, style="input")]
    shape, before, pending = table.input_shape, list[str](), list[Row]()  # `pending` rows belong to the next stage
    texts: dict[str, Any]
    for row, has_inner_rows in _by_end(table.rows):
        tag = _tag(row, has_inner_rows, shape)
        if tag and (before or len(row.outputs) != len(shape)):
            before, pending, shape = [*before, tag], [*pending, row], row.outputs
        elif tag:
            result[-1] = replace(result[-1], tags=(*result[-1].tags, tag), rows=(*result[-1].rows, row))
        else:
            dashed, reads = _input_note(row, has_inner_rows, shape)
            texts = {"label": _label(row, has_inner_rows), "before": (*before, *reads)}
            stage = _stage(row.outputs, one_d, style(row), row=row, rows=(*pending, row), dashed=dashed, **texts)
            result.append(stage)
            shape, before, pending = row.outputs, [], []
    if before or shape != table.output_shape:
        outside = shape != table.output_shape
        texts = {"label": ("forward()",) if outside else (), "before": tuple(before)}
        result.append(_stage(table.output_shape, one_d, rows=tuple(pending), dashed=outside, **texts))
    return _split_towers(result)


def style(row: Row) -> str:
    """Return the style of the box: conv, pool, dense or other."""
    if "Conv" in row.kind and integers(row.kernel):
        return "conv"
    if re.search("pool|subsampl", row.kind, re.IGNORECASE):
        return "pool"
    return "dense" if row.kind.endswith(("Linear", "DropConnect")) else "other"


def integers(value: object) -> Shape:
    """Return the value if it is a tuple of integers, as in torch's layers, else ()."""
    return value if isinstance(value, tuple) and all(isinstance(n, int) for n in value) else ()


def _stage(shape: Shape, one_d: bool, style: str = "other", **attributes: Any) -> Stage:
    volume = None
    if len(shape) == 2:
        volume = (shape[0], shape[1], 1) if one_d else (1, shape[0], shape[1])
    elif len(shape) > 2:
        volume = (math.prod(shape[:-2]), shape[-2], shape[-1])
    return Stage(shape=shape, volume=volume, style=style, **attributes)


def _by_end(rows: Iterable[Row]) -> Iterator[tuple[Row, bool]]:
    """The rows in the order in which their calls end, and whether they contain other rows."""
    running: list[tuple[Row, bool]] = []
    for row in rows:
        while running and running[-1][0].name and not row.name.startswith(running[-1][0].name + "."):
            yield running.pop()
        if row.inputs or row.outputs:
            running = [*((outer, True) for outer, _inner in running), (row, False)]
    yield from reversed(running)


def _tag(row: Row, has_inner_rows: bool, shape: Shape) -> str:
    """The tag of a row without its own box; "" for a row with a box."""
    kind, same = _kind(row), row.inputs == row.outputs
    if has_inner_rows:
        return kind if row.outputs == shape else ""
    if row.inputs != shape:
        return ""
    if same and kind.endswith(_TAG_KINDS):
        return "LRN" if kind == "LocalResponseNorm" else _words(kind)
    is_view = not row.parameters and not row.macs and (kind == "Flatten" or not row.activation_bytes)
    if is_view and (same or row.outputs == (math.prod(shape),)):
        return _words(kind) if same else f"{_words(kind)} {shape_text(row.outputs)}"
    return ""


def _input_note(row: Row, has_inner_rows: bool, shape: Shape) -> tuple[bool, tuple[str, ...]]:
    """Whether the input is not the box before it, and the texts on its input."""
    if row.inputs == shape:
        return False, ()
    if row.inputs == (math.prod(shape),):
        return False, (_("flatten {size}", size=row.inputs[0]),)
    return True, () if has_inner_rows else (_("reads {shape}", shape=shape_text(row.inputs)),)


def _split_towers(row: Sequence[Stage]) -> list[Stage]:
    """Draw two towers where a layer with two groups reads or writes the halves, including the pooling in between."""
    split: set[int] = set()
    for i in (i for i, stage in enumerate(row) if stage.grouped):
        start, end = i - 1, i + 1
        while start > 0 and _keeps_channels(row, start):
            start -= 1
        while end < len(row) and _keeps_channels(row, end):
            end += 1
        split |= {k for k in range(max(start, 1), end) if row[k].volume and row[k].shape[0] % 2 == 0}
    return [replace(stage, split=k in split) for k, stage in enumerate(row)]


def _keeps_channels(row: Sequence[Stage], k: int) -> bool:
    volume, previous = row[k].volume, row[k - 1].volume
    return bool(not row[k].mixes and not row[k].dashed and volume and previous and volume[0] == previous[0])


def _kind(row: Row) -> str:
    return re.sub(rf"^Parametrized(?=.)|{_DIMENSIONS}", "", row.kind)


# words of common classes
_TRANSLATED = (
    N_("conv"),
    N_("table conv"),
    N_("local conv"),
    N_("max pool"),
    N_("avg pool"),
    N_("adaptive avg pool"),
    N_("adaptive max pool"),
    N_("shrinking pool"),
    N_("subsampling"),
    N_("dropout"),
    N_("flatten"),
    N_("batch norm"),
)


def _words(kind: str) -> str:
    """A class name as words: "BatchNorm" becomes "batch norm"; "ReLU" and "SiLU" stay."""
    words = kind if re.search("[A-Z]{2}", kind) else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()
    return _(words) if words in _TRANSLATED else words


def _label(row: Row, has_inner_rows: bool) -> tuple[str, ...]:
    """The lines of text over the box of a layer."""
    kind, box_style, kernel = _kind(row), style(row), integers(row.kernel)
    word = {"dense": _("dense"), "other": kind}.get(box_style) or _words(kind)
    if has_inner_rows:
        return kind, _("(its own part)")
    if "Adaptive" in kind:
        return word, _("to {size}", size=shape_text(row.outputs[1:]))
    if not kernel:
        return (word,)
    window = shape_text(kernel) if len(kernel) > 1 else _("size {size}", size=kernel[0])
    settings = list(_settings(row))
    lines = tuple(phrases(settings[k : k + 2]) for k in range(0, len(settings), 2))
    return (word, window, *lines) if box_style == "other" else (f"{window} {word}", *lines)


def _settings(row: Row) -> Iterator[str]:
    """Stride, padding, dilation and groups that are not the usual ones."""
    usual = {"stride": set() if "Pool" in row.kind else {1}, "padding": {0}, "dilation": {1}}
    for name, usual_values in usual.items():
        value = integers(getattr(row, name))
        if value and set(value) != usual_values:
            size = value[0] if len(set(value)) == 1 else shape_text(value)
            yield _setting(name, size)
        elif name == "padding" and row.padding == "same":
            yield _setting(name, "same")
    if isinstance(row.groups, int) and row.groups > 1:
        yield _("{n} groups", n=row.groups)


def _setting(name: str, value: object) -> str:
    if name == "stride":
        return _("stride {value}", value=value)
    return _("pad {value}", value=value) if name == "padding" else _("dilation {value}", value=value)


def notes(table: Table, net: Sequence[Stage], last: bool) -> str:
    """Return the notes on a network, and after the last network those on the figure."""
    notes = [full_stop(table.note)] if table.note else []
    if any(stage.dashed for stage in net):
        notes.append(_("A dashed line means that the input of the layer is not the box before it."))
    if table.unlisted:
        operations = ", ".join(f"{name} x{n}" for name, n in table.unlisted.items())
        notes.append(_("Not drawn (in forward(), outside any layer): {operations}.", operations=operations))
    uncalled = [row for row in table.rows if not (row.inputs or row.outputs)]
    notes += [
        plural(
            "Not called: {layer} ({kind}, {n} parameter).",
            "Not called: {layer} ({kind}, {n:,} parameters).",
            row.parameters,
            layer=row.name or _("the network"),
            kind=row.kind,
        )
        for row in uncalled
    ]
    if last:
        notes.append(_("Sizes, channels and units are drawn on a square-root scale."))
    return sentences(notes)


def facts(stage: Stage) -> Iterator[str]:
    """Yield the name of the layer, and the parameters and MACs of all rows of the stage; "" for what it lacks."""
    name = stage.row.name.rpartition(".")[2] if stage.row else _("input") if stage.style == "input" else ""
    yield "" if name.isdigit() else shorten(name, 18)
    parameters, macs = (sum(getattr(row, column) for row in stage.rows) for column in ("parameters", "macs"))
    yield _("{count} params", count=_rounded(parameters)) if parameters else ""
    yield _("{count} MACs", count=_rounded(macs)) if macs else ""


def _rounded(n: int) -> str:
    """A number in short form: "2,416" or "26.2 M"."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= max(size * 0.9995, 10_000):
            return f"{n / size:.3g} {unit}"
    return f"{n:,}"


def shorten(text: str, characters: int = 26) -> str:
    """Return the text, cut to the length of a label."""
    return without_control_characters(text if len(text) <= characters else text[: characters - 1] + "…")


def without_control_characters(text: str) -> str:
    """Return the text with a replacement for characters that XML does not allow."""
    return re.sub("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _em(character: str) -> float:
    """Estimated width in em, for the widest of the fonts."""
    if unicodedata.east_asian_width(character) in "WF" or character in "mwMW@%&<>=+~":
        return 1.0
    return 0.42 if character in "iljtfr.,:;'|!()[] " else 0.8 if character.isupper() else 0.64
