"""Dense layers as two thin ones: the best approximation of their trained weights with so many numbers (SVD)."""

from __future__ import annotations

import copy
import heapq

import torch
from torch import nn


def dense(net: nn.Module) -> dict[str, nn.Linear]:
    """The dense layers that can be narrowed, by name."""
    return {name: layer for name, layer in net.named_modules() if type(layer) is nn.Linear and min(_sides(layer)) > 1}


def numbers(net: nn.Module) -> int:
    """Weights in dense layers, without biases."""
    return sum(layer.weight.numel() for layer in dense(net).values())


def narrowed(net: nn.Module, room: int) -> nn.Module:
    """A copy whose dense layers have about `room` weights together: at least one singular value each, and then, one
    after the other, those that hold the largest share of their layer's squares for the numbers they cost.

    A layer that would not become smaller stays as it is. Source: Denton et al. 2014, arXiv:1404.0736.
    """
    twin = copy.deepcopy(net)
    layers = dense(twin)
    found = {
        name: torch.linalg.svd(layer.weight.detach().double(), full_matrices=False) for name, layer in layers.items()
    }
    shares = {name: (s.square() / s.square().sum().clamp(min=1e-300)).tolist() for name, (_, s, _) in found.items()}
    cost = {name: sum(_sides(layer)) for name, layer in layers.items()}
    ranks = dict.fromkeys(layers, 1)
    room -= sum(cost.values())
    waiting = [(-shares[name][1] / cost[name], name) for name in layers]
    heapq.heapify(waiting)
    while waiting:
        _, name = heapq.heappop(waiting)
        if cost[name] > room:
            continue
        room, ranks[name] = room - cost[name], ranks[name] + 1
        if ranks[name] < len(shares[name]):
            heapq.heappush(waiting, (-shares[name][ranks[name]] / cost[name], name))
    for name, layer in layers.items():
        if ranks[name] * cost[name] < layer.weight.numel():
            _put(twin, name, _two(layer, found[name], ranks[name]))
    return twin


def _two(layer: nn.Linear, parts: tuple[torch.Tensor, ...], rank: int) -> nn.Sequential:
    u, s, v = parts
    first = nn.Linear(layer.in_features, rank, bias=False)
    second = nn.Linear(rank, layer.out_features, bias=layer.bias is not None)
    root = s[:rank].sqrt()
    with torch.no_grad():
        first.weight.copy_(root[:, None] * v[:rank])
        second.weight.copy_(u[:, :rank] * root)
        if layer.bias is not None:
            second.bias.copy_(layer.bias)
    return nn.Sequential(first, second).eval()


def _put(net: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(net.get_submodule(parent), last, layer)


def _sides(layer: nn.Linear) -> tuple[int, int]:
    return (layer.in_features, layer.out_features)
