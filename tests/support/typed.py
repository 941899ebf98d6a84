"""Values with the types that a test relies on; each function fails where the value has another one."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn

T = TypeVar("T")
Kind = TypeVar("Kind", bound=nn.Module)


def present(value: T | None) -> T:
    """The value, which is not None."""
    assert value is not None
    return value


def layer_of(net: nn.Module, name: str | int, kind: type[Kind]) -> Kind:
    """The layer of `net` under a name; in an nn.Sequential without names, these are the positions."""
    found = net.get_submodule(str(name))
    assert isinstance(found, kind)
    return found


def gradients_of(net: nn.Module) -> list[Tensor]:
    """The gradients of all parameters."""
    return [present(parameter.grad) for parameter in net.parameters()]
