"""Low-rank approximation of linear layers: each becomes two smaller ones by truncated SVD of its trained weights."""

from __future__ import annotations

import heapq

import torch
from torch import nn

from classicnets.models.layers import DropConnect
from classicnets.models.modules import copy_module


def linear_layers(net: nn.Module) -> dict[str, nn.Linear]:
    """Return the layers that can be approximated, by name."""
    kinds = nn.Linear, DropConnect  # by exact type, because a subclass may compute something else
    return {name: layer for name, layer in net.named_modules() if type(layer) in kinds and min(_size(layer)) > 1}


def weight_count(net: nn.Module) -> int:
    """Return the number of weights in linear layers, without biases."""
    return sum(layer.weight.numel() for layer in linear_layers(net).values())


def approximate(net: nn.Module, max_weights: int) -> nn.Module:
    """Return a copy of `net` whose linear layers have about `max_weights` weights together.

    Every layer gets rank 1 at least. Ranks are then raised one at a time, where a singular value has the largest share
    of its layer's squared norm per weight that it costs. A layer that would not become smaller is left unchanged.
    Source: Denton et al. 2014, arXiv:1404.0736.
    """
    result = copy_module(net)
    layers = linear_layers(result)
    svd = {
        name: torch.linalg.svd(layer.weight.detach().double(), full_matrices=False) for name, layer in layers.items()
    }
    shares = {name: (s.square() / s.square().sum().clamp(min=1e-300)).tolist() for name, (_, s, _) in svd.items()}
    cost = {name: sum(_size(layer)) for name, layer in layers.items()}  # weights per rank
    ranks = dict.fromkeys(layers, 1)
    budget = max_weights - sum(cost.values())
    candidates = [(-shares[name][1] / cost[name], name) for name in layers]
    heapq.heapify(candidates)
    while candidates:
        _, name = heapq.heappop(candidates)
        if cost[name] > budget:
            continue
        budget, ranks[name] = budget - cost[name], ranks[name] + 1
        if ranks[name] < len(shares[name]):
            heapq.heappush(candidates, (-shares[name][ranks[name]] / cost[name], name))
    for name, layer in layers.items():
        if ranks[name] * cost[name] < layer.weight.numel():
            _replace(result, name, _factorize(layer, svd[name], ranks[name]))
    return result


def _factorize(layer: nn.Linear, svd: tuple[torch.Tensor, ...], rank: int) -> nn.Sequential:
    """Two linear layers whose product is the best approximation of that rank."""
    u, s, vh = svd
    first = nn.Linear(layer.in_features, rank, bias=False)
    second = nn.Linear(rank, layer.out_features, bias=layer.bias is not None)
    root = s[:rank].sqrt()
    with torch.no_grad():
        first.weight.copy_(root[:, None] * vh[:rank])
        second.weight.copy_(u[:, :rank] * root)
        if layer.bias is not None:
            second.bias.copy_(layer.bias)
    return nn.Sequential(first, second).eval()


def _replace(net: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(net.get_submodule(parent), child, layer)


def _size(layer: nn.Linear) -> tuple[int, int]:
    return (layer.in_features, layer.out_features)
