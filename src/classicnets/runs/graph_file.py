"""A network as a file NAME.graph.json: the list of its layers, read and written without running any code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from classicnets import schema
from classicnets.errors import UsageError
from classicnets.files import write_json
from classicnets.models.graph import MAX_NODES, Graph
from classicnets.models.messages import reason
from classicnets.schema import Anything, Choice, Kind, Mapped, Record, Several, Text, Whole
from classicnets.text import _, command

FORMAT = "classicnets graph"
SUFFIX = ".json"  # of NET on the command line
_VERSION = 1
_MAX_BYTES = 16 * 2**20  # a graph of 10,000 nodes has a fifth of it

_NODE = Record(
    {
        "name": Text(most=200),
        "kind": Text(most=100),
        "inputs": Several(Text(most=200), most=1000, least=1),
        "settings": Mapped(Anything(), most=100),
    },
    closed=True,
)
_GRAPH: dict[str, Kind] = {
    "input": Several(Whole(1, 2**28), most=3, least=3),
    "nodes": Several(_NODE, most=MAX_NODES, least=1),
}
IN_RUN = Record(_GRAPH, frozenset(_GRAPH), closed=True)  # of run.json, which has the name beside it; {} without a graph
_FILE = Record(
    {"format": Choice((FORMAT,)), "version": Choice((_VERSION,)), "name": Text(most=200, least=1), **_GRAPH},
    closed=True,
)


def read(path: Path) -> Graph:
    """Read a graph file.

    Raises:
        UsageError: CN205 if it does not exist or is not valid, with the nodes that are wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ValueError(_("it has more than {most} MiB", most=_MAX_BYTES // 2**20))
        values: dict[str, Any] = schema.read(content, _FILE)
        return Graph.from_json(values)
    except OSError as error:
        raise UsageError(
            "CN205",
            _("the file {path} cannot be read", path=path),
            where=f"NET = {path}",
            why=str(error.strerror),
            hint=command("ls", path.parent),
        ) from error
    except ValueError as error:
        raise invalid(path, error) from error


def write(path: Path, graph: Graph) -> None:
    """Write a graph file. Raises MachineError CN401 if it cannot be written."""
    write_json(path, {"format": FORMAT, "version": _VERSION, **graph.to_json()})


def invalid(place: str | Path, error: ValueError) -> UsageError:
    """The error CN205 for a graph that is no network."""
    return UsageError(
        "CN205",
        _("this graph is not a network that classicnets can build"),
        where=str(place),
        why=reason(error, _),
        hint="classicnets explain CN205",
    )


def label(name: str) -> str:
    """The name of a graph's network as the name of a folder: only letters, digits, dots, underscores and hyphens."""
    return re.sub(r"[^\w.-]", "_", name).lstrip("._-") or "graph"
