"""Networks as values that a notebook cell displays: layers, explanation, differences, figure and source.

Each is plain text in a terminal, where it is what `classicnets show` prints, and HTML or SVG in a notebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classicnets.errors import UsageError
from classicnets.files import write_whole
from classicnets.inspection.compare import Comparison
from classicnets.inspection.shapes import Table
from classicnets.report import cell, layers, tables
from classicnets.text import _, join


@dataclass(frozen=True, repr=False)
class Layers:
    """The layers of a network: shapes, parameters, multiply-accumulates and memory, with their totals.

    Attributes:
        name: The network.
        table: Its rows and totals, such as `table.parameters` and `table.rows[0].outputs`.
    """

    name: str
    table: Table

    def __repr__(self) -> str:
        return tables.as_text(lambda out: layers.print_table(out, self.name, self.table))

    def _repr_html_(self) -> str:
        return layers.html_table(self.name, self.table)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, as `classicnets show --json` prints them."""
        return {"net": self.name, **self.table.to_dict()}


@dataclass(frozen=True, repr=False)
class Explanation:
    """Sentences on where the shape, the parameters and the cost of a layer or network come from.

    Attributes:
        name: The network.
        lines: The sentences.
    """

    name: str
    lines: tuple[str, ...]

    def __repr__(self) -> str:
        return "\n".join([self.name, *self.lines])

    def _repr_html_(self) -> str:
        first, *others = self.lines or ("",)
        return cell.cell(cell.heading(self.name), cell.line(first), cell.items(others))


@dataclass(frozen=True, repr=False)
class Differences:
    """What the second network has instead of the first one.

    Attributes:
        names: Both networks.
        comparison: Their aligned layers and their totals.
        sentences: The differences in words.
    """

    names: tuple[str, str]
    comparison: Comparison
    sentences: tuple[str, ...]

    def __repr__(self) -> str:
        return tables.as_text(lambda out: layers.print_comparison(out, self.names, self.comparison, self.sentences))

    def _repr_html_(self) -> str:
        return layers.html_comparison(self.names, self.comparison, self.sentences)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, as `classicnets show NET NET --json` prints them."""
        return {"nets": [*self.names], **self.comparison.to_dict(), "differences": [*self.sentences]}


@dataclass(frozen=True, repr=False)
class Figure:
    """A drawing of one network, or of several to the same scale.

    Attributes:
        names: The networks.
        svg: The drawing as an SVG file.
    """

    names: tuple[str, ...]
    svg: str

    def __repr__(self) -> str:
        return _('figure of {names}; .save("net.svg") writes it', names=join(self.names))

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Write the figure as an SVG file and return its path.

        Raises:
            UsageError: CN206, the name does not end with .svg.
            MachineError: CN401, the file cannot be written.
        """
        if Path(path).suffix.lower() != ".svg":
            name = str(Path(path).with_suffix(".svg")) if Path(path).name else "net.svg"
            raise UsageError(
                "CN206",
                _("the figure is an SVG file, so its name must end with .svg"),
                where=str(path),
                hint=f"cn.figure(...).save({name!r})",
            )
        write_whole(Path(path), self.svg.encode("utf-8", "backslashreplace"), option="--svg")
        return Path(path)


class Code(str):
    """Python source, which a cell shows as it is written; otherwise it is a string like any other."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def titles(names: Sequence[str]) -> tuple[str, ...]:
    """Return names that tell networks apart: two with the same name are numbered."""
    if len(set(names)) == len(names):
        return tuple(names)
    return tuple(_("{name} ({number})", name=name, number=number) for number, name in enumerate(names, 1))
