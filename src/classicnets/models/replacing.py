"""Finds layers of a network by their kind, replaces them, inserts new ones and moves them.

Needs only torch and its neighbors `layers.py` and `lrn.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from classicnets.models.graph_layers import Absolute
from classicnets.models.layers import LocalConv2d, RBFOutput, SameMapNorm, ScaledTanh, Subsampling, TableConv2d
from classicnets.models.lrn import LRN
from classicnets.models.messages import Message, ModelError

ACTIVATIONS = (
    nn.ReLU, nn.Sigmoid, nn.Tanh, ScaledTanh, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU,
    nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.LogSigmoid, nn.Threshold,
    Absolute,
)  # fmt: skip
POOLS_OF: dict[str, tuple[type[nn.Module], ...]] = {
    "max": (nn.MaxPool2d, nn.AdaptiveMaxPool2d),
    "average": (nn.AvgPool2d, nn.AdaptiveAvgPool2d),
}
POOLS = (*POOLS_OF["max"], *POOLS_OF["average"], nn.LPPool2d, Subsampling)
NORMS = (
    _NormBase, nn.LocalResponseNorm, nn.CrossMapLRN2d, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, LRN, SameMapNorm,
)  # fmt: skip
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, TableConv2d, LocalConv2d)
DENSE = (nn.Linear, RBFOutput)


def find_layers(root: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[tuple[str, nn.Module]]:
    """Paths and layers of these types, in the order of registration; a layer that is registered twice appears twice."""
    layers: dict[tuple[nn.Module, str], tuple[str, nn.Module]] = {}
    for path, layer in root.named_modules(remove_duplicate=False):
        if isinstance(layer, kinds):
            parent, _, name = path.rpartition(".")
            layers.setdefault((root.get_submodule(parent), name), (path, layer))  # once for a block that is used twice
    return [*layers.values()]


def replace(root: nn.Module, new: dict[str, nn.Module]) -> None:
    """Replace the layers at these paths; all places of a shared layer get the same new layer."""
    replacements: dict[nn.Module, nn.Module] = {}
    for path, layer in new.items():
        old = root.get_submodule(path)
        parent, _, name = path.rpartition(".")
        root.get_submodule(parent).add_module(name, replacements.setdefault(old, _match(root, layer, old)))


def insert_after(
    root: nn.Module, path: str, new: nn.Module, suffix: str, *, skip: tuple[type[nn.Module], ...] = ()
) -> None:
    """Insert a new layer after the one at `path` and after the layers of the types `skip` that directly follow it.

    The other layers keep their names. Raises ValueError if the parent is not an nn.Sequential.
    """
    parent_path, _, name = path.rpartition(".")
    parent = root.get_submodule(parent_path)
    if not _is_sequence(parent):
        container = type(parent).__name__ if parent_path else Message("the network")
        raise ModelError(
            "no layer can be inserted after {name}: {container} is not an nn.Sequential, so only its"
            " forward() defines the order",
            name=name,
            container=container,
        )
    layers = parent._modules
    new_name = f"{name}_{suffix}"
    while new_name in layers:
        new_name += "_"
    order = [*layers]
    index = order.index(name) + 1
    while index < len(order) and isinstance(layers[order[index]], skip):
        index += 1
    order.insert(index, new_name)
    layers[new_name] = _match(root, new, parent)
    set_order(parent, order)


class Place(NamedTuple):
    """A layer in the order of execution: the nn.Sequential that holds it, its name there, its path in the network."""

    parent: nn.Module
    name: str
    path: str
    layer: nn.Module


def ordered_layers(net: nn.Module) -> list[Place]:
    """Return the layers of an nn.Sequential in order; those of an inner one take its place.

    A module of another type counts as one layer, whatever it contains.

    Raises:
        ValueError: `net` is not an nn.Sequential.
    """
    if not _is_sequence(net):
        raise ModelError(
            "the network is a {kind}, not an nn.Sequential, so only its forward() defines the order of its layers",
            kind=type(net).__name__,
        )
    return [*_places(net, "")]


def _places(sequence: nn.Module, prefix: str) -> Iterator[Place]:
    for name, layer in sequence._modules.items():
        if layer is not None and _is_sequence(layer):
            yield from _places(layer, f"{prefix}{name}.")
        elif layer is not None:
            yield Place(sequence, name, prefix + name, layer)


def set_order(sequence: nn.Module, names: list[str]) -> None:
    """Put the layers of an nn.Sequential into this order."""
    layers = sequence._modules
    for name in names:  # a dict keeps the order of insertion
        layers[name] = layers.pop(name)


def _is_sequence(module: nn.Module) -> bool:
    """Whether a module only calls its children in order."""
    return type(module).forward is nn.Sequential.forward


def _match(root: nn.Module, new: nn.Module, old: nn.Module) -> nn.Module:
    """Return `new` with the device and dtype of the network and the mode (train or eval) of the old layer."""
    weight = next((p for p in root.parameters() if p.is_floating_point()), None)
    if weight is not None and new is not old:
        new.to(device=weight.device, dtype=weight.dtype)
    return new.train(old.training)


def without_root(path: str) -> str:
    """A path without the added root."""
    return path.removeprefix("net").removeprefix(".") or Message("the network")
