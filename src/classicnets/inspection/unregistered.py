"""Finds layers and trained tensors that torch does not know of, because they are in a list or another container."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from classicnets.models.modules import MODULE_ATTRIBUTES

_DEPTH = 4  # of containers and objects inside an attribute


class Unregistered(NamedTuple):
    """An attribute that holds a layer or tensor that is not registered, and the line that registers it."""

    path: str
    cure: str


def unregistered(net: nn.Module) -> list[Unregistered]:
    """The attributes of all modules that hold layers with weights, dropout, or tensors that require a gradient.

    What is registered elsewhere in the network counts as registered.
    """
    known = {id(thing) for thing in (*net.modules(), *net.parameters(), *net.buffers())}
    return list(_search(net, "", known))


def name_of(net: nn.Module, tensor: Tensor) -> str:
    """The attribute that holds `tensor` itself or a layer with it; "" if there is none."""
    for path, module in net.named_modules():
        for key, value in _attributes(module):
            for leaf in _contents(value):
                if leaf is tensor or (isinstance(leaf, nn.Module) and any(p is tensor for p in leaf.parameters())):
                    return f"{path}.{key}" if path else key
    return ""


def _search(root: nn.Module, prefix: str, known: set[int]) -> Iterator[Unregistered]:
    for path, module in root.named_modules(prefix=prefix):
        for key, value in _attributes(module):
            unknown = [leaf for leaf in _contents(value) if id(leaf) not in known and _matters(leaf)]
            if unknown:
                yield Unregistered(f"{path}.{key}" if path else key, _cure(key, value, unknown[0]))


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    yield from ((key, value) for key, value in vars(module).items() if key not in MODULE_ATTRIBUTES)


def _contents(value: object, depth: int = _DEPTH) -> Iterator[object]:
    """The modules and tensors in nested containers and plain objects."""
    if isinstance(value, nn.Module | Tensor):
        yield value
    elif depth and isinstance(value, Mapping):
        for item in value.values():
            yield from _contents(item, depth - 1)
    elif depth and isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _contents(item, depth - 1)
    elif depth and hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        for item in vars(value).values():
            yield from _contents(item, depth - 1)


def _matters(leaf: object) -> bool:
    """Whether the outputs depend on training, saving or switching the mode of a module or tensor."""
    if isinstance(leaf, nn.Module):
        tensors = [*leaf.parameters(), *leaf.buffers()]
        return bool(tensors) or any(isinstance(module, _DropoutNd) for module in leaf.modules())
    return isinstance(leaf, Tensor) and leaf.requires_grad and leaf.is_leaf


def _cure(key: str, value: object, leaf: object) -> str:
    kind = "Module" if isinstance(leaf, nn.Module) else "Parameter"
    if isinstance(value, Mapping):
        return f"self.{key} = nn.{kind}Dict(self.{key})"
    if isinstance(value, list | tuple | set | frozenset):
        return f"self.{key} = nn.{kind}List(self.{key})"
    if isinstance(leaf, nn.Module):
        return f"self.add_module({key + '_layer'!r}, LAYER)"
    return f"self.{key} = nn.Parameter(self.{key})"
