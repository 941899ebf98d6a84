"""Divides a network of two towers over two ranks, as on the two GPUs of 2012: each rank has one tower.

Both ranks compute all images. A layer whose two groups of channels are separate needs no exchange; layers that read
both towers, the `crossings`, gather the channels, those of the first tower first. Every layer computes its own half of
the channels. Source: Krizhevsky, Sutskever, Hinton, NIPS 2012, section 3.2; computerhistory/AlexNet-Source-Code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from classicnets.errors import UsageError
from classicnets.models.layers import SameMapNorm
from classicnets.models.lrn import LRN
from classicnets.parallel.layers import (
    DROPOUTS,
    Conv2d,
    Linear,
    WholeLinear,
    become,
    is_changed,
    is_elementwise,
    is_sequence,
    keep_own,
    sequence,
)
from classicnets.parallel.mesh import Mesh
from classicnets.parallel.shards import Shards
from classicnets.text import _, command

_PER_CHANNEL = (
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d, nn.ZeroPad2d, SameMapNorm,
)  # fmt: skip
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def divide(net: nn.Module, mesh: Mesh, crossings: Collection[str]) -> Shards:
    """Give each of two ranks one tower of `net`, in place. From then on, `mesh` gives each rank all rows of a batch.

    Args:
        net: the whole network, initialized: an nn.Sequential.
        mesh: the ranks, of which two form a model group.
        crossings: names of the layers that read both towers, as in `models.registry.Entry`.

    Raises:
        UsageError: CN216 if the network cannot be divided, with the layer and the reason; it is then unchanged.
    """
    if not is_sequence(net):
        raise _refusal(type(net).__name__, _("only the layers of an nn.Sequential have a known order"))
    layers = sequence(net)
    places = Counter(id(layer) for _name, layer in layers)
    shared = Counter(id(parameter) for _name, layer in layers for parameter in layer.parameters())
    last = next((name for name, layer in reversed(layers) if isinstance(layer, nn.Linear)), "")
    walk = _Walk(mesh, crossings, last)
    for name, layer in layers:
        has_twin = places[id(layer)] > 1 and not is_elementwise(layer) and not isinstance(layer, _PER_CHANNEL)
        if has_twin or any(shared[id(parameter)] > 1 for parameter in layer.parameters()):
            raise walk.refusal(name, layer, _("it is used in two places"))
        walk.visit(name, layer)
    if walk.is_divided or not last:
        raise _refusal(layers[-1][0] if layers else "", _("the network does not end with a dense layer"))
    if mesh.size != 2 or mesh.model_size != 2:
        why = _("there is one process for each of the two towers")
        raise _refusal(f"processes={mesh.size}", why, hint=command("--processes", "2"))
    for change in walk.changes:
        change()
    mesh.divides_rows = False
    return Shards(mesh, walk.shapes, summed=walk.summed)


@dataclass
class _Walk:
    """Visits the layers in order, refuses those that cannot be divided, and collects what is to be changed.

    `is_divided` says whether each rank has the channels of its own tower at this point, or all of them.
    """

    mesh: Mesh
    crossings: Collection[str]
    last: str
    is_divided: bool = False
    changes: list[Callable[[], None]] = field(default_factory=list)
    shapes: dict[str, torch.Size] = field(default_factory=dict)
    summed: list[str] = field(default_factory=list)

    def visit(self, name: str, layer: nn.Module) -> None:
        """Add the changes of a layer. Raises UsageError CN216 if it cannot be divided."""
        kind = type(layer)
        if is_changed(layer):
            raise self.refusal(name, layer, _("it has hooks, or its weights are computed from others"))
        if isinstance(layer, nn.Conv2d) and kind is nn.Conv2d:
            self._visit_convolution(name, layer)
        elif isinstance(layer, nn.Linear) and kind is nn.Linear:
            self._visit_dense(name, layer)
        elif isinstance(layer, LRN) and kind is LRN:
            if layer.groups % 2:
                raise self.refusal(name, layer, _("it normalizes over the channels of both towers"))
            if self.is_divided:
                self.changes.append(partial(setattr, layer, "groups", layer.groups // 2))
        elif kind in _NORMS:
            self._check_divided(name, layer)
            self.changes.append(partial(self._keep_own, name, layer))
        elif kind in DROPOUTS:
            if self.is_divided:
                self.changes.append(partial(become, layer, DROPOUTS[kind], self.mesh))
        elif isinstance(layer, nn.Flatten) and kind is nn.Flatten:
            if (layer.start_dim, layer.end_dim) != (1, -1):
                raise self.refusal(name, layer, _("it does not give [images, features]"))
        elif is_elementwise(layer):
            self._check_divided(name, layer)
            self.summed += [f"{name}.{key}" for key, _p in layer.named_parameters()]
        elif kind not in _PER_CHANNEL:
            raise self.refusal(name, layer, _("layers of this type cannot be divided into towers"))

    def _visit_convolution(self, name: str, layer: nn.Conv2d) -> None:
        if layer.out_channels % 2:
            raise self.refusal(name, layer, _("it has an odd number of channels"))
        if layer.groups % 2 == 0:
            if not self.is_divided:
                raise self.refusal(name, layer, _("its input does not come from two towers"))
            self.changes.append(partial(setattr, layer, "groups", layer.groups // 2))
        elif self.is_divided:
            if layer.groups > 1 or name not in self.crossings:
                raise self.refusal(name, layer, _("it reads the channels of both towers"))
            self.changes.append(partial(become, layer, Conv2d, self.mesh))
        self.is_divided = True
        self.changes.append(partial(self._keep_own, name, layer))

    def _visit_dense(self, name: str, layer: nn.Linear) -> None:
        if self.is_divided and name not in self.crossings:
            raise self.refusal(name, layer, _("it reads the features of both towers"))
        if layer.out_features % 2 == 0:
            reads, returns = "own" if self.is_divided else "all", "all" if name == self.last else "own"
            self.changes.append(partial(become, layer, Linear, self.mesh, reads=reads, returns=returns))
            self.changes.append(partial(self._keep_own, name, layer))
        elif name == self.last and self.is_divided:
            self.changes.append(partial(become, layer, WholeLinear, self.mesh))
            self.summed += [f"{name}.{key}" for key, _p in layer.named_parameters()]
        else:
            raise self.refusal(name, layer, _("it has an odd number of outputs"))
        self.is_divided = name != self.last

    def _check_divided(self, name: str, layer: nn.Module) -> None:
        if not self.is_divided and any(True for _p in layer.parameters()):
            raise self.refusal(name, layer, _("both processes would train its weights"))

    def _keep_own(self, name: str, layer: nn.Module) -> None:
        self.shapes |= keep_own(layer, name, self.mesh)

    def refusal(self, name: str, layer: nn.Module, why: str) -> UsageError:
        """The error for a layer."""
        return _refusal(f"{name} ({type(layer).__name__})", why)


def _refusal(where: str, why: str, hint: str = "") -> UsageError:
    return UsageError(
        "CN216",
        _("the network cannot be divided into two towers"),
        where=where,
        why=why,
        hint=hint or command("--parallel", "ddp"),
    )
