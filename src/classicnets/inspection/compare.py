"""Comparison of two networks: aligned layers, totals and ratios, and sentences on the differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn

from classicnets.inspection.arithmetic import format_size
from classicnets.inspection.messages import DIFFERENCES, Fact, Term, render
from classicnets.inspection.shapes import Row, Table
from classicnets.inspection.windows import layer_type
from classicnets.text import shape as shape_text

_TOTALS = ("parameters", "weights", "biases", "units", "macs", "weight_bytes", "activation_bytes")
_ACTIVATIONS = frozenset(nn.modules.activation.__all__)
_POOLS = frozenset(nn.modules.pooling.__all__)


@dataclass(frozen=True, kw_only=True)
class Total:
    """A total of both networks."""

    left: int
    right: int

    @property
    def ratio(self) -> float | None:
        """Right / left; None if left is 0."""
        return self.right / self.left if self.left else None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two aligned layers, or one layer without a partner.

    Attributes:
        operation: the step from left to right: "equal", "changed", "added" (no left) or "removed" (no right).
        changes: the columns that differ; the names of the layers are not compared.
    """

    left: Row | None
    right: Row | None
    operation: str
    changes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether both layers exist and are equal except for their names."""
        return self.operation == "equal"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two layer tables, and their rows as pairs in call order."""

    left: Table
    right: Table
    pairs: tuple[Pair, ...]

    @property
    def totals(self) -> dict[str, Total]:
        """The totals of both tables by column."""
        return {name: Total(left=getattr(self.left, name), right=getattr(self.right, name)) for name in _TOTALS}

    @property
    def equal(self) -> bool:
        """Whether all layers are equal, and so are the operations of forward() outside layers."""
        return all(pair.equal for pair in self.pairs) and self.left.unlisted == self.right.unlisted

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        tables = {"left": self.left, "right": self.right}
        return {
            "equal": self.equal,
            "inputs": {name: list(table.input_shape) for name, table in tables.items()},
            "outputs": {name: list(table.output_shape) for name, table in tables.items()},
            "unlisted": {name: dict(table.unlisted) for name, table in tables.items()},
            "totals": {name: {**asdict(total), "ratio": total.ratio} for name, total in self.totals.items()},
            "pairs": [_pair_dict(pair) for pair in self.pairs],
        }


def compare(left: Table, right: Table) -> Comparison:
    """Align the layers of two networks.

    Layers of one family (convolutions, activations, pools, ...) can be paired. The alignment has as many pairs as
    possible in order, then as many equal layers as possible, then the earliest partners.
    """
    return Comparison(left=left, right=right, pairs=tuple(_align(left.rows, right.rows)))


def differences(comparison: Comparison, language: str | None = None) -> list[str]:
    """Return sentences on what the right network has instead of the left one.

    Raises:
        UsageError: CN204, the language is not available.
    """
    return render(_facts(comparison), DIFFERENCES, language)


def _align(left: Sequence[Row], right: Sequence[Row]) -> Iterator[Pair]:
    """Yield the pairs of the longest common subsequence, with weighted pairs."""
    best = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]  # score of the rows from i and j on
    scores = [[_similarity(a, b) for b in right] for a in left]
    for i in reversed(range(len(left))):
        for j in reversed(range(len(right))):
            paired = best[i + 1][j + 1] + scores[i][j] if scores[i][j] else 0
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    i = j = 0
    while i < len(left) or j < len(right):
        both = i < len(left) and j < len(right)
        if both and scores[i][j] and best[i][j] == best[i + 1][j + 1] + scores[i][j]:
            changes = _changes(left[i], right[j])
            yield Pair(left=left[i], right=right[j], operation="changed" if changes else "equal", changes=changes)
            i, j = i + 1, j + 1
        elif i < len(left) and (j == len(right) or best[i][j] == best[i + 1][j]):
            yield Pair(left=left[i], right=None, operation="removed")
            i += 1
        else:
            yield Pair(left=None, right=right[j], operation="added")
            j += 1


def _similarity(left: Row, right: Row) -> int:
    """0 for layers that cannot be paired; a better pair is worth less than one more pair."""
    if _family(left) != _family(right):
        return 0
    same_weights = (left.weights, left.kernel) == (right.weights, right.kernel)
    return 100_000 + 3 * (not _changes(left, right)) + (left.weights > 0 and same_weights) + (left.kind == right.kind)


def _changes(left: Row, right: Row) -> tuple[str, ...]:
    columns = [field.name for field in fields(Row) if field.name != "name"]
    return tuple(column for column in columns if getattr(left, column) != getattr(right, column))


def _family(row: Row) -> str:
    kind = layer_type(row)
    if kind not in ("other", "uncalled"):
        return kind
    if row.kind in _ACTIVATIONS and not row.macs:
        return "activation"
    return next((family for family in ("Dropout", "Norm") if family in row.kind), row.kind)


def _facts(comparison: Comparison) -> Iterator[Fact]:
    left, right = comparison.left, comparison.right
    if comparison.equal and left.input_shape == right.input_shape:
        yield "equal", {"layers": len(comparison.pairs)}
        return
    if left.input_shape != right.input_shape:
        yield "input", {"right": shape_text(right.input_shape), "left": shape_text(left.input_shape)}
    yield from _layer_counts(left, right)
    yield from _convolutions(left, right)
    yield from _widths("dense", left, right)
    yield from _other_layers(left, right)
    for name in ("parameters", "macs", "activation_bytes"):
        yield from _ratio(name, comparison.totals[name])
    counts = Counter(pair.operation for pair in comparison.pairs)
    yield "pairs", {name: counts[name] for name in ("equal", "changed", "added", "removed")}


def _layer_counts(left: Table, right: Table) -> Iterator[Fact]:
    counts = {}
    for name, table in (("right", right), ("left", left)):
        counts[name] = sum(row.parameters > 0 for row in table.rows)
        counts |= {f"{name}_{kind}": len(_layers_of(table, kind)) for kind in ("conv", "dense")}
    if any(counts[f"right{kind}"] != counts[f"left{kind}"] for kind in ("", "_conv", "_dense")):
        yield f"layers_{_trend(counts['left'], counts['right'], 'more', 'fewer', 'same')}", counts


def _convolutions(left: Table, right: Table) -> Iterator[Fact]:
    """Kernels, strides, groups and channels."""
    left_convs, right_convs = _layers_of(left, "conv"), _layers_of(right, "conv")
    for column in ("kernel", "stride"):
        old, new = ([getattr(row, column) for row in rows] for rows in (left_convs, right_convs))
        same_values = set(old) == set(new) and len(old) != len(new)  # only the number of layers differs
        if old and new and old != new and not same_values:
            least, most = (max(max(value) for value in values) for values in (old, new))
            lists = {"right": ", ".join(map(format_size, new)), "left": ", ".join(map(format_size, old))}
            trend = _trend(least, most, "larger", "smaller", "different")
            yield f"{column}_{trend}", {**lists, "most": most, "least": least}
    old, new = ([row.groups or 1 for row in rows] for rows in (left_convs, right_convs))
    if max(old, default=1) != max(new, default=1):
        yield "groups", {"right": _join(new) or "-", "left": _join(old) or "-"}
    yield from _widths("conv", left, right)


def _widths(kind: str, left: Table, right: Table) -> Iterator[Fact]:
    """Channels of the convolutions, or outputs of the dense layers."""
    axis = 0 if kind == "conv" else -1
    old, new = ([row.outputs[axis] for row in _layers_of(table, kind)] for table in (left, right))
    if old and new and old != new:
        trend = _trend(sum(old), sum(new), "wider", "narrower", "different")
        totals = {"right_sum": sum(new), "left_sum": sum(old), "ratio": _factor(sum(old), sum(new))}
        yield f"{kind}_widths_{trend}", {"right": _join(new), "left": _join(old), **totals}


def _other_layers(left: Table, right: Table) -> Iterator[Fact]:
    """Activation, pooling, dropout and normalization, as layers or as calls in forward()."""
    old, new = _count_calls(left, _ACTIVATIONS), _count_calls(right, _ACTIVATIONS)
    if set(old) != set(new):
        yield _change("activation", old, new)
    old, new = _count_calls(left, _POOLS), _count_calls(right, _POOLS)
    if set(map(_pooling, old)) != set(map(_pooling, new)):
        yield "pooling", {"right": _pooling(*new), "left": _pooling(*old)}
    yield from _pool_windows(left, right)
    for family in ("Dropout", "Norm"):
        old, new = (Counter(row.kind for row in table.rows if _regularizes(row, family)) for table in (left, right))
        if old != new:
            yield _change(family, old, new)


def _regularizes(row: Row, family: str) -> bool:
    """Whether the layer is one of "Dropout" or "Norm"; a dense layer with DropConnect is one of "Dropout", too."""
    return _family(row) == family or (family == "Dropout" and row.kind == "DropConnect")


def _pool_windows(left: Table, right: Table) -> Iterator[Fact]:
    old, new = (
        list(dict.fromkeys(_window(row) for row in _layers_of(table, "pool") if row.kernel)) for table in (left, right)
    )
    if not old or not new or old == new:
        return
    yield "pool_windows", {"right": ", ".join(new), "left": ", ".join(old)}
    left_overlaps, right_overlaps = (any(map(_overlaps, _layers_of(table, "pool"))) for table in (left, right))
    if left_overlaps != right_overlaps:
        yield ("overlap" if right_overlaps else "no_overlap"), {}


def _ratio(name: str, total: Total) -> Iterator[Fact]:
    if total.left and total.right and total.left != total.right:
        trend = _trend(total.left, total.right, "more", "fewer", "")
        yield f"{name}_{trend}", {**asdict(total), "ratio": _factor(total.left, total.right)}


def _layers_of(table: Table, kind: str) -> list[Row]:
    return [row for row in table.rows if layer_type(row) == kind]


def _count_calls(table: Table, kinds: frozenset[str]) -> Counter[str]:
    """How often each of these classes is called, as a layer or as a function in forward() (relu counts as ReLU)."""
    functions = {kind.lower(): kind for kind in kinds}
    calls = Counter(row.kind for row in table.rows if row.kind in kinds and not row.macs)
    for operation, n in table.unlisted.items():
        if kind := functions.get(operation.replace("_", "")):
            calls[kind] += n
    return calls


def _pooling(*kinds: str) -> Term:
    names = {"max" if "Max" in kind else "average" if "Avg" in kind else "another" for kind in kinds}
    return Term(names.pop() if len(names) == 1 else "mixed" if names else "none")


def _window(row: Row) -> str:
    return f"{format_size(row.kernel or ())}/{format_size(row.stride or ())}"


def _overlaps(row: Row) -> bool:
    return any(k > s for k, s in zip(row.kernel or (), row.stride or (), strict=False))


def _trend(left: int, right: int, larger: str, smaller: str, equal: str) -> str:
    """The end of the key for what the right network has."""
    return larger if right > left else smaller if right < left else equal


def _change(name: str, old: Counter[str], new: Counter[str]) -> Fact:
    """What the right network has instead of layers of a kind, which one of the two may lack."""
    key = "changed" if old and new else "added" if new else "removed"
    return f"{name}_{key}", {"right": _join_counts(new), "left": _join_counts(old)}


def _join(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _join_counts(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} x{n}" for kind, n in kinds.items())


def _factor(a: int, b: int) -> str:
    ratio = max(a, b) / min(a, b)
    return (
        f"{ratio:,.0f}"
        if ratio >= 1000
        else f"{ratio:.1f}"
        if ratio >= 10
        else f"{ratio:.2f}"
        if ratio >= 1.01
        else f"{ratio:.4f}"
    )


def _pair_dict(pair: Pair) -> dict[str, Any]:
    rows = {"left": pair.left, "right": pair.right}
    plain = {name: row and {**asdict(row), "parameters": row.parameters} for name, row in rows.items()}
    return {"operation": pair.operation, "equal": pair.equal, "changes": list(pair.changes), **plain}
