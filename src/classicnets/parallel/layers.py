"""Layers of which each rank of a model group computes a part; a whole layer becomes one in place."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from classicnets.acceleration import dropout
from classicnets.models.replacing import ACTIVATIONS
from classicnets.parallel.exchange import columns_to_rows, count_once, gather_columns, gather_rows
from classicnets.parallel.mesh import Mesh
from classicnets.parallel.shards import own_slice

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Linear(nn.Linear):
    """A dense layer of which each rank computes an equal share of the outputs.

    Attributes:
        mesh: the ranks.
        reads: "rows": the inputs of own images, which are gathered; "own": own columns of all images, which are
            gathered; "all": all columns, which are the same on all ranks.
        returns: "rows": all outputs of own images; "own": own columns of all images; "all": all columns.
    """

    mesh: Mesh
    reads: Literal["rows", "own", "all"]
    returns: Literal["rows", "own", "all"]

    def forward(self, input: Tensor) -> Tensor:
        """Map [images, features] to [images, outputs], or to the part that `returns` names."""
        if self.reads == "rows":
            input = gather_rows(input, self.mesh)
        elif self.reads == "own":
            input = gather_columns(input, self.mesh)
        y = super().forward(input)
        if self.returns == "rows":
            return columns_to_rows(y, self.mesh)
        return gather_columns(y, self.mesh, partial=False) if self.returns == "all" else y


class WholeLinear(nn.Linear):
    """A dense layer that reads own columns of each rank, and that all ranks compute alike."""

    mesh: Mesh

    def forward(self, input: Tensor) -> Tensor:
        """Map [images, own columns] to [images, outputs]."""
        input = gather_columns(input, self.mesh, partial=False)
        bias = None if self.bias is None else count_once(self.bias, self.mesh)
        return nn.functional.linear(input, count_once(self.weight, self.mesh), bias)


class Conv2d(nn.Conv2d):
    """A convolution with own filters, which reads the channels of all ranks."""

    mesh: Mesh

    def forward(self, input: Tensor) -> Tensor:
        """Map [N, own channels, H, W] to [N, own filters, H', W']."""
        return super().forward(gather_columns(input, self.mesh))


class Dropout(dropout.Dropout):
    """Dropout of own columns of all rows of the model group, with the masks of the whole layer."""

    mesh: Mesh

    def forward(self, input: Tensor) -> Tensor:
        """[rows, own columns, ...] to the same shape."""
        with _part(self.mesh):
            return super().forward(input)


class Dropout1d(dropout.Dropout1d):
    """Dropout of own channels, as in Dropout."""

    mesh: Mesh

    def forward(self, input: Tensor) -> Tensor:
        """[N, own channels, L] to the same shape."""
        with _part(self.mesh):
            return super().forward(input)


class Dropout2d(dropout.Dropout2d):
    """Dropout of own channels, as in Dropout."""

    mesh: Mesh

    def forward(self, input: Tensor) -> Tensor:
        """[N, own channels, H, W] to the same shape."""
        with _part(self.mesh):
            return super().forward(input)


DROPOUTS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Dropout: Dropout,
    nn.Dropout1d: Dropout1d,
    nn.Dropout2d: Dropout2d,
    dropout.Dropout: Dropout,
    dropout.Dropout1d: Dropout1d,
    dropout.Dropout2d: Dropout2d,
}


def _part(mesh: Mesh) -> AbstractContextManager[None]:
    """The rows of the model group, and own columns of them."""
    rows = mesh.model_rows
    return dropout.part_of_batch(rows[0].start, rows[-1].stop - rows[0].start, mesh.model_rank)


def become(layer: nn.Module, kind: type[nn.Module], mesh: Mesh, **attributes: str) -> None:
    """Change the class of a layer, which keeps its identity, parameters and names."""
    layer.__class__ = kind
    vars(layer).update(mesh=mesh, **attributes)


def keep_own(layer: nn.Module, name: str, mesh: Mesh) -> dict[str, torch.Size]:
    """Keep only the slice of this rank of the parameters and buffers of a layer, in place.

    Numbers without an axis, such as the count of batches, stay.

    Returns:
        The shapes of the slices, by the names in the network, of which `name` is that of the layer.
    """
    shapes = {}
    for key, tensor in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
        if tensor.dim():
            tensor.data = own_slice(tensor, mesh)
            shapes[f"{name}.{key}"] = tensor.shape
    return shapes


def is_elementwise(layer: nn.Module) -> bool:
    """Whether it is a known layer that computes each element from itself only, with no other random numbers than ours.

    A trained slope of all elements is allowed, because each rank has its part of the gradient.
    """
    if type(layer) is nn.RReLU or (isinstance(layer, nn.PReLU) and layer.num_parameters > 1):
        return False
    return type(layer) in (*ACTIVATIONS, nn.ReLU6, nn.Identity)


def is_changed(layer: nn.Module) -> bool:
    """Whether hooks or parametrizations belong to the layer or to its parameters."""
    if is_parametrized(layer) or any(getattr(layer, kind) for kind in _HOOKS):
        return True
    return any(p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None) for p in layer.parameters())


def is_sequence(module: nn.Module) -> bool:
    """Whether a module only calls its children in order."""
    return type(module).forward is nn.Sequential.forward


def sequence(net: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """Return the layers of an nn.Sequential in order, with their names; those of an inner one take its place."""
    layers: list[tuple[str, nn.Module]] = []
    for name, child in net._modules.items():
        if child is not None:
            inner = is_sequence(child) and not is_changed(child)
            layers += sequence(child, f"{prefix}{name}.") if inner else [(prefix + name, child)]
    return layers
