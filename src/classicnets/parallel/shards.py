"""The parameters and buffers of a network that are divided over the ranks of a model group."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Self

import torch
from torch import Tensor, nn

from classicnets.parallel.exchange import collected, gathered, sum_over
from classicnets.parallel.mesh import Mesh


class Shards:
    """The divided tensors of a network: each rank of the model group has an equal slice along their first axis.

    The methods that communicate must be called by all ranks, in the same order. Gradients of the other parameters must
    be summed over all ranks: DistributedDataParallel does it, with a hook that sums, except for those in `summed`.

    Args:
        mesh: the ranks.
        shapes: shapes of the slices of divided parameters and buffers, by name. The names are those of the state dict,
            which are those of the whole network.
        summed: names of parameters that are not divided, but whose gradients `reduce_gradients` sums.
        undivided: why other layers that might have been divided are not, by name.

    Attributes:
        names: the names of the divided tensors, which DistributedDataParallel must ignore.
    """

    def __init__(
        self,
        mesh: Mesh,
        shapes: Mapping[str, torch.Size],
        *,
        summed: Collection[str] = (),
        undivided: Mapping[str, str] | None = None,
    ) -> None:
        self.mesh, self.summed, self.undivided = mesh, summed, undivided or {}
        self.names = tuple(shapes)
        self._shapes = shapes

    @classmethod
    def none(cls) -> Self:
        """Return those of a network that each rank has as a whole."""
        return cls(Mesh(), {})

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def gather(self, name: str, local: Tensor) -> Tensor:
        """Return the whole of a tensor that belongs to `name`: its values, or optimizer state of the same shape.

        Other tensors are returned as they are. All ranks get the result.
        """
        return gathered(local, self.mesh) if self.is_slice(name, local) else local

    def collect(self, name: str, local: Tensor) -> Tensor:
        """Return what `gather` does, in main memory and only in the first process; the others get `local`."""
        return collected(local, self.mesh) if self.is_slice(name, local) else local

    def is_slice(self, name: str, local: Tensor) -> bool:
        """Return whether a tensor that belongs to `name` is the slice of this rank of a divided one."""
        return local.shape == self._shapes.get(name)

    def scatter(self, name: str, full: Tensor) -> Tensor:
        """Return a copy of the slice of this rank; the inverse of `gather`."""
        return full if self.rows(name, full.shape) is None else own_slice(full, self.mesh)

    def rows(self, name: str, shape: torch.Size) -> range | None:
        """Return the rows of this rank in a whole tensor of this shape that belongs to `name`; None if not divided."""
        own = self._shapes.get(name)
        if own is None or len(shape) != len(own) or shape[0] != own[0] * self.mesh.model_size:
            return None
        return range(self.mesh.model_rank * own[0], (self.mesh.model_rank + 1) * own[0])

    def copy_to(self, full: nn.Module, net: nn.Module) -> None:
        """Copy parameters and buffers of the divided `net`, or of a copy of it, to the whole network `full`."""
        full.load_state_dict({name: self.gather(name, tensor) for name, tensor in net.state_dict().items()})

    def copy_from(self, full: nn.Module, net: nn.Module) -> None:
        """Copy parameters and buffers of the whole network `full` to the divided `net`, or to a copy of it."""
        net.load_state_dict({name: self.scatter(name, tensor) for name, tensor in full.state_dict().items()})

    def reduce_gradients(self, net: nn.Module) -> None:
        """Sum the gradients of divided parameters over the data group, and of those in `summed` over the model group.

        Gradients of other parameters are left as they are.
        """
        mesh = self.mesh
        divided = (self.names, mesh.data_size, mesh.data_group)
        whole = (tuple(self.summed), mesh.model_size, mesh.model_group)
        parameters = dict(net.named_parameters())
        for names, size, group in (divided, whole):
            for name in names if size > 1 else ():
                parameter = parameters.get(name)
                if parameter is not None and parameter.grad is not None:
                    parameter.grad = sum_over(parameter.grad.contiguous(), group)

    @torch.no_grad()
    def norm(self, net: nn.Module) -> Tensor:
        """Return the norm of the gradients of the whole network, after they are summed; the same on all ranks."""
        squares: dict[bool, list[Tensor]] = {False: [], True: []}
        for name, parameter in net.named_parameters():
            if parameter.grad is not None:
                wide = torch.promote_types(parameter.grad.dtype, torch.float32)
                squares[name in self].append(torch.linalg.vector_norm(parameter.grad, dtype=wide).square())
        total, divided = (torch.stack(terms).sum() if terms else None for terms in squares.values())
        if divided is not None:
            divided = sum_over(divided, self.mesh.model_group) if self.mesh.model_size > 1 else divided
            total = divided if total is None else total + divided
        return torch.zeros(()) if total is None else total.sqrt()


def own_slice(full: Tensor, mesh: Mesh) -> Tensor:
    """Return a copy of the slice of this rank along the first axis, in the memory format of `full`."""
    size = len(full) // mesh.model_size
    return full.detach()[mesh.model_rank * size : (mesh.model_rank + 1) * size].clone()
