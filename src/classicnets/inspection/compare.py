"""Two nets side by side: layers aligned, sums and ratios, and in words what the right one has instead of the left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn

from classicnets.inspection.arithmetic import side
from classicnets.inspection.messages import DIFFERENCES, Fact, Word, say
from classicnets.inspection.shapes import Row, Table
from classicnets.inspection.windows import role
from classicnets.text import shape as shape_text

_TOTALS = ("parameters", "weights", "biases", "units", "macs", "weight_bytes", "activation_bytes")
_ACTIVATIONS = frozenset(nn.modules.activation.__all__)
_POOLS = frozenset(nn.modules.pooling.__all__)


@dataclass(frozen=True, kw_only=True)
class Total:
    """A sum of both nets; `ratio` is right / left, None where the left has none."""

    left: int
    right: int

    @property
    def ratio(self) -> float | None:
        """Right / left."""
        return self.right / self.left if self.left else None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two layers that stand beside each other, or one beside a blank.

    `operation` leads from left to right: "equal", "changed", "added" (no left) or "removed" (no right). `changes`
    names the columns that differ; the layers' names are not compared.
    """

    left: Row | None
    right: Row | None
    operation: str
    changes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether both are there and alike in everything but the name."""
        return self.operation == "equal"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two tables, and their rows as pairs in the order of the calls."""

    left: Table
    right: Table
    pairs: tuple[Pair, ...]

    @property
    def totals(self) -> dict[str, Total]:
        """The sums of both tables by column."""
        return {name: Total(left=getattr(self.left, name), right=getattr(self.right, name)) for name in _TOTALS}

    @property
    def equal(self) -> bool:
        """Whether every layer has an equal one beside it, and what forward() does outside layers is the same."""
        return all(pair.equal for pair in self.pairs) and self.left.unlisted == self.right.unlisted

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        sides = {"left": self.left, "right": self.right}
        return {
            "equal": self.equal,
            "inputs": {name: list(table.input_shape) for name, table in sides.items()},
            "outputs": {name: list(table.output_shape) for name, table in sides.items()},
            "unlisted": {name: dict(table.unlisted) for name, table in sides.items()},
            "totals": {name: {**asdict(total), "ratio": total.ratio} for name, total in self.totals.items()},
            "pairs": [_pair_dict(pair) for pair in self.pairs],
        }


def compare(left: Table, right: Table) -> Comparison:
    """The layers of two nets side by side.

    Layers of one family (convolutions, activations, pools, ...) may stand beside each other. As many as possible do,
    in order; among such alignments the one with most equal layers counts, and then the earliest partner.
    """
    return Comparison(left=left, right=right, pairs=tuple(_aligned(left.rows, right.rows)))


def differences(comparison: Comparison, language: str = "en") -> list[str]:
    """Sentences on what the right net has instead of the left one; `language` is "en" or "zh".

    Raises UsageError CN202 for another language.
    """
    return say(_facts(comparison), DIFFERENCES, language)


def _aligned(left: Sequence[Row], right: Sequence[Row]) -> Iterator[Pair]:
    """The longest common subsequence of weighted pairs."""
    best = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]  # of the rows from here on
    alike = [[_likeness(a, b) for b in right] for a in left]
    for i in reversed(range(len(left))):
        for j in reversed(range(len(right))):
            together = best[i + 1][j + 1] + alike[i][j] if alike[i][j] else 0
            best[i][j] = max(together, best[i + 1][j], best[i][j + 1])
    i = j = 0
    while i < len(left) or j < len(right):
        both = i < len(left) and j < len(right)
        if both and alike[i][j] and best[i][j] == best[i + 1][j + 1] + alike[i][j]:
            changes = _changes(left[i], right[j])
            yield Pair(left=left[i], right=right[j], operation="changed" if changes else "equal", changes=changes)
            i, j = i + 1, j + 1
        elif i < len(left) and (j == len(right) or best[i][j] == best[i + 1][j]):
            yield Pair(left=left[i], right=None, operation="removed")
            i += 1
        else:
            yield Pair(left=None, right=right[j], operation="added")
            j += 1


def _likeness(left: Row, right: Row) -> int:
    """0 for layers that cannot be partners; what is alike is worth less than one more pair."""
    if _family(left) != _family(right):
        return 0
    same_weights = (left.weights, left.kernel) == (right.weights, right.kernel)
    return 100_000 + 3 * (not _changes(left, right)) + (left.weights > 0 and same_weights) + (left.kind == right.kind)


def _changes(left: Row, right: Row) -> tuple[str, ...]:
    columns = [field.name for field in fields(Row) if field.name != "name"]
    return tuple(column for column in columns if getattr(left, column) != getattr(right, column))


def _family(row: Row) -> str:
    part = role(row)
    if part not in ("other", "uncalled"):
        return part
    if row.kind in _ACTIVATIONS and not row.macs:
        return "activation"
    return next((family for family in ("Dropout", "Norm") if family in row.kind), row.kind)


def _facts(comparison: Comparison) -> Iterator[Fact]:
    left, right = comparison.left, comparison.right
    if comparison.equal and left.input_shape == right.input_shape:
        yield "alike", {"layers": len(comparison.pairs)}
        return
    if left.input_shape != right.input_shape:
        yield "input", {"right": shape_text(right.input_shape), "left": shape_text(left.input_shape)}
    yield from _layers(left, right)
    yield from _convolutions(left, right)
    yield from _widths("dense", left, right)
    yield from _kinds(left, right)
    for name in ("parameters", "macs", "activation_bytes"):
        yield from _ratio(name, comparison.totals[name])
    counts = Counter(pair.operation for pair in comparison.pairs)
    yield "pairs", {name: counts[name] for name in ("equal", "changed", "added", "removed")}


def _layers(left: Table, right: Table) -> Iterator[Fact]:
    counts = {}
    for name, table in (("right", right), ("left", left)):
        counts[name] = sum(row.parameters > 0 for row in table.rows)
        counts |= {f"{name}_{part}": len(_of(table, part)) for part in ("conv", "dense")}
    if any(counts[f"right{part}"] != counts[f"left{part}"] for part in ("", "_conv", "_dense")):
        yield "layers", {"trend": _trend("more", counts["left"], counts["right"]), **counts}


def _convolutions(left: Table, right: Table) -> Iterator[Fact]:
    """Kernels, strides, groups and channels."""
    a, b = _of(left, "conv"), _of(right, "conv")
    for column in ("kernel", "stride"):
        ours, theirs = ([getattr(row, column) for row in rows] for rows in (b, a))
        if ours and theirs and ours != theirs:
            most, least = (max(max(value) for value in values) for values in (ours, theirs))
            lists = {"right": ", ".join(map(side, ours)), "left": ", ".join(map(side, theirs))}
            yield column, {"trend": _trend("larger", least, most), **lists, "most": most, "least": least}
    ours, theirs = ([row.groups or 1 for row in rows] for rows in (b, a))
    if max(ours, default=1) != max(theirs, default=1):
        yield "groups", {"right": _list(ours) or "-", "left": _list(theirs) or "-"}
    yield from _widths("conv", left, right)


def _widths(part: str, left: Table, right: Table) -> Iterator[Fact]:
    """Channels of the convolutions, outputs of the dense layers."""
    axis = 0 if part == "conv" else -1
    a, b = ([row.outputs[axis] for row in _of(table, part)] for table in (left, right))
    if a and b and a != b:
        trend = _trend("wider", sum(a), sum(b))
        sums = {"right_sum": sum(b), "left_sum": sum(a), "ratio": _times(sum(a), sum(b))}
        yield f"{part}_widths", {"trend": trend, "right": _list(b), "left": _list(a), **sums}


def _kinds(left: Table, right: Table) -> Iterator[Fact]:
    """Activation, pooling, dropout and normalization, whether they are layers or calls in forward()."""
    a, b = _named(left, _ACTIVATIONS), _named(right, _ACTIVATIONS)
    if set(a) != set(b):
        yield "activation", {"right": _counted(b), "left": _counted(a)}
    a, b = _named(left, _POOLS), _named(right, _POOLS)
    if set(map(_pooling, a)) != set(map(_pooling, b)):
        yield "pooling", {"right": _pooling(*b), "left": _pooling(*a)}
    ours, theirs = (
        list(dict.fromkeys(_window(row) for row in _of(table, "pool") if row.kernel)) for table in (right, left)
    )
    if ours and theirs and ours != theirs:
        yield "pool_windows", {"right": ", ".join(ours), "left": ", ".join(theirs)}
        overlap = [any(_overlaps(row) for row in _of(table, "pool")) for table in (left, right)]
        if overlap[0] != overlap[1]:
            yield ("overlap" if overlap[1] else "no_overlap"), {}
    for family in ("Dropout", "Norm"):
        ours, theirs = ([row.kind for row in table.rows if _family(row) == family] for table in (right, left))
        if Counter(ours) != Counter(theirs):
            yield family, {"right": _counted(Counter(ours)), "left": _counted(Counter(theirs))}


def _ratio(name: str, total: Total) -> Iterator[Fact]:
    if total.left and total.right and total.left != total.right:
        trend = _trend("more", total.left, total.right)
        yield name, {"trend": trend, **asdict(total), "ratio": _times(total.left, total.right)}


def _of(table: Table, part: str) -> list[Row]:
    return [row for row in table.rows if role(row) == part]


def _named(table: Table, kinds: frozenset[str]) -> Counter[str]:
    """How often each of these classes is called, or its function in forward(): relu is ReLU."""
    functions = {kind.lower(): kind for kind in kinds}
    found = Counter(row.kind for row in table.rows if row.kind in kinds and not row.macs)
    for operation, n in table.unlisted.items():
        if kind := functions.get(operation.replace("_", "")):
            found[kind] += n
    return found


def _pooling(*kinds: str) -> Word:
    names = {"max" if "Max" in kind else "average" if "Avg" in kind else "another" for kind in kinds}
    return Word(names.pop() if len(names) == 1 else "mixed" if names else "none")


def _window(row: Row) -> str:
    return f"{side(row.kernel or ())}/{side(row.stride or ())}"


def _overlaps(row: Row) -> bool:
    return any(k > s for k, s in zip(row.kernel or (), row.stride or (), strict=False))


def _trend(more: str, left: int, right: int) -> Word:
    """The comparative where right is more, its opposite where it is less."""
    less, same = {"more": ("fewer", "as_many"), "larger": ("smaller", "other"), "wider": ("narrower", "other")}[more]
    return Word(more if right > left else less if right < left else same)


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _counted(kinds: Counter[str]) -> str | Word:
    return ", ".join(f"{kind} x{n}" for kind, n in kinds.items()) or Word("none")


def _times(one: int, another: int) -> str:
    ratio = max(one, another) / min(one, another)
    return f"{ratio:,.0f}" if ratio >= 1000 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def _pair_dict(pair: Pair) -> dict[str, Any]:
    rows = {"left": pair.left, "right": pair.right}
    plain = {name: row and {**asdict(row), "parameters": row.parameters} for name, row in rows.items()}
    return {"operation": pair.operation, "equal": pair.equal, "changes": list(pair.changes), **plain}
