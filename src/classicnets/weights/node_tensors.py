"""The weights that the nodes of a graph need: names, shapes, and what is wrong with those of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from classicnets.models.graph import Node
from classicnets.text import _
from classicnets.text import shape as shape_text

Expected = Sequence[int | None]  # a shape; None for a size that depends on the input

_MAX_LISTED = 8  # tensors that an error lists


def shapes(node: Node) -> dict[str, tuple[int | None, ...]]:
    """Return the shapes of the weights of a node by their names in torch, such as "weight"."""
    settings = node.settings
    if node.kind == "conv":
        named: dict[str, tuple[int | None, ...]] = {"weight": (settings["out"], None, *settings["kernel"])}
    elif node.kind == "dense":
        named = {"weight": (settings["out"], None)}
    elif node.kind == "batch_norm":
        trained = ("weight", "bias") if settings.get("scale", True) else ()
        return dict.fromkeys((*trained, "running_mean", "running_var"), (None,))
    elif node.kind == "scale":
        return dict.fromkeys(("weight", "bias") if settings.get("bias", False) else ("weight",), (None,))
    elif node.kind == "prelu":
        return {"weight": (1 if settings.get("shared", False) else None,)}
    else:
        return {}
    return named | ({"bias": (settings["out"],)} if settings.get("bias", True) else {})


def agree(shape: Sequence[int], expected: Expected) -> bool:
    """Return whether a shape is the expected one, as far as that is known."""
    return len(shape) == len(expected) and all(b in {None, a} for a, b in zip(shape, expected, strict=True))


def missing(name: str, node: Node) -> str:
    """Return the message for a weight that the file does not have."""
    return _("{name} of {node!r} is missing from the file", name=name, node=node.name)


def mismatch(name: str, found: Sequence[int], expected: Expected, node: Node) -> str:
    """Return the message for a weight of another shape."""
    wanted = shape_text("?" if size is None else size for size in expected)
    fields = {"name": name, "found": shape_text(found), "expected": wanted, "node": node.name}
    return _("{name} is {found} in the file and {expected} in {node!r}", **fields)


def first(problems: list[str]) -> Iterator[str]:
    """Yield as many of the messages as an error lists, and how many there are beyond them."""
    yield from problems[:_MAX_LISTED]
    if len(problems) > _MAX_LISTED:
        yield _("and {n:,} more", n=len(problems) - _MAX_LISTED)
