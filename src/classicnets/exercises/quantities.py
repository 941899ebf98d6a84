"""What exercises ask to be calculated: the right value from a layer table, and why an answer differs from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from classicnets.inspection.shapes import Row, Table
from classicnets.inspection.windows import layer_type
from classicnets.text import _, byte_count

_PREFIXES = {"conv": ("conv",), "dense": ("fc", "dense", "linear")}


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A value that an exercise asks for.

    Attributes:
        help: What is asked, with the unit.
        answer: The right value, from the layer table of the book's network: a number, or a word.
        tolerance: Largest absolute difference that counts as right.
        choices: The words to choose from, for a question with words; () for other ones.
        cost: For a question for a layer: what the layer must have most of.
    """

    help: str
    answer: Callable[[Table], float | str]
    tolerance: float = 0.0
    choices: tuple[str, ...] = ()
    cost: Callable[[Row], float] | None = None


def layer_names(table: Table) -> dict[str, Row]:
    """Return the layers with weights by every name that is accepted: conv1, fc1, its name in the network.

    Dense layers have two numbers: among the dense layers, and among all layers with weights, as in fc6 of AlexNet. If
    they contradict each other, the name in the network decides, and then the number among all layers.
    """
    rows = [row for row in table.rows if layer_type(row) in _PREFIXES]
    names: dict[str, Row] = {}
    for total, row in enumerate(rows, 1):
        kind = layer_type(row)
        number = sum(layer_type(other) == kind for other in rows[:total])
        for prefix in _PREFIXES[kind]:
            names.setdefault(f"{prefix}{number}", row)
            names[f"{prefix}{total}"] = row
    return {**names, **{row.name.lower(): row for row in rows}}


def largest(cost: Callable[[Row], float]) -> Callable[[Table], str]:
    """Return a function that finds the layer with weights that has most of something."""

    def answer(table: Table) -> str:
        return max((row for row in table.rows if layer_type(row) in _PREFIXES), key=cost).name

    return answer


def share(kind: str, column: str) -> Callable[[Table], float]:
    """Return a function that calculates the share of a column that layers of a type have, in percent."""

    def answer(table: Table) -> float:
        part: int = sum(getattr(row, column) for row in table.rows if layer_type(row) == kind)
        return 100 * part / max(int(getattr(table, column)), 1)

    return answer


def parameters(row: Row) -> float:
    """Return weights and biases of a layer."""
    return row.parameters


def macs(row: Row) -> float:
    """Return multiply-accumulates of a layer for one image."""
    return row.macs


def bytes_moved(row: Row, batch: int = 1) -> int:
    """Return the bytes that a layer must read and write once for a batch: weights, inputs and outputs, in float32."""
    inputs, outputs = 1, 1
    for size in row.inputs:
        inputs *= size
    for size in row.outputs:
        outputs *= size
    return row.weight_bytes + 4 * batch * (inputs + outputs)


def intensity(row: Row, batch: int = 1) -> float:
    """Return the arithmetic intensity of a layer: multiply-accumulates for each byte that is moved."""
    return batch * row.macs / bytes_moved(row, batch)


def intensity_of_type(kind: str, table: Table, batch: int = 1) -> float:
    """Return the arithmetic intensity of all layers of a type together."""
    rows = [row for row in table.rows if layer_type(row) == kind]
    return batch * sum(row.macs for row in rows) / max(sum(bytes_moved(row, batch) for row in rows), 1)


def bound_by_memory(table: Table) -> str:
    """Return the type of layers with the lower arithmetic intensity for one image: "conv" or "dense"."""
    return min(("conv", "dense"), key=lambda kind: intensity_of_type(kind, table))


def dense_intensity(table: Table) -> float:
    """Return the arithmetic intensity of the dense layers together, for one image."""
    return intensity_of_type("dense", table)


def activation_megabytes(table: Table) -> float:
    """Return the memory of all outputs of one image in MB."""
    return table.activation_bytes / 1e6


def intensity_lines(table: Table) -> list[str]:
    """Return a sentence for each layer with weights: what it moves, for one image and for a batch of 128."""
    return [
        _(
            "{layer}: {macs:.1f} M MACs, {moved} moved for one image: {one:.2f} MACs a byte; in a batch of 128:"
            " {many:.1f}",
            layer=row.name,
            macs=row.macs / 1e6,
            moved=byte_count(bytes_moved(row)),
            one=intensity(row),
            many=intensity(row, 128),
        )
        for row in table.rows
        if layer_type(row) in _PREFIXES
    ]
