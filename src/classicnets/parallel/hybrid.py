"""Divides the dense layers of any network over the ranks; the rest is computed by rows, as with one rank.

Each rank computes the convolutions of its own rows, then the rows of all ranks are gathered for its own part of the
dense layers. Dense layers have most of the weights and little of the arithmetic of networks like AlexNet, so features
are exchanged instead of gradients. Source: Krizhevsky, arXiv:1404.5997, scheme (a).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from classicnets.errors import UsageError
from classicnets.parallel.layers import (
    DROPOUTS,
    Dropout,
    Linear,
    become,
    is_changed,
    is_elementwise,
    is_sequence,
    keep_own,
    sequence,
)
from classicnets.parallel.mesh import Mesh
from classicnets.parallel.shards import Shards
from classicnets.parallel.trace import ROWS, Trace, trace
from classicnets.text import _, command

# A chain of dense layers is divided if it has this many weights for each feature of an image that is exchanged instead
# of their gradients: with fewer, it takes less time to exchange the gradients even of small batches.
_WEIGHTS_PER_FEATURE = 16


def divide(net: nn.Module, mesh: Mesh, shape: Sequence[int]) -> Shards:
    """Divide the dense layers of `net` over the model group, in place.

    Dense layers in a row, with only elementwise layers between them, form a chain: it gathers the rows of its input,
    computes columns, and returns own rows. Any other dense layer with inputs [images, features] is a chain of its own.
    Layers whose outputs the ranks cannot divide equally stay whole, as do layers that are used in other ways, share
    their weights, or have hooks.

    Args:
        net: the whole network, initialized.
        mesh: the ranks.
        shape: shape of an image, (channels, height, width).

    Raises:
        UsageError: CN216 if there is no layer to divide.
    """
    if mesh.model_size == 1:
        return Shards(mesh, {})
    traced = trace(net, shape)
    undivided = _obstacles(net, mesh, traced)
    links = _links(net, traced, undivided)
    shapes: dict[str, torch.Size] = {}
    for chain in _chains(net, links, undivided):
        if not _is_worth_it(net, chain):
            undivided |= dict.fromkeys(chain, _("it has too few weights for the features that would be exchanged"))
            continue
        for name in chain:
            layer = net.get_submodule(name)
            reads, returns = "rows" if name == chain[0] else "own", "rows" if name == chain[-1] else "own"
            become(layer, Linear, mesh, reads=reads, returns=returns)
            shapes |= keep_own(layer, name, mesh)
        for name in (between for link in pairwise(chain) for between in links[link]):
            layer = net.get_submodule(name)
            if type(layer) in DROPOUTS:
                become(layer, Dropout, mesh)
    if not shapes:
        reasons = [_("{layer}: {reason}", layer=name, reason=reason) for name, reason in undivided.items()]
        raise UsageError(
            "CN216",
            _("the network has no dense layer that {n} processes can divide", n=mesh.model_size),
            where="--parallel hybrid",
            why="\n".join(reasons) or _("it has no layer of the type nn.Linear"),
            hint=command("--parallel", "ddp"),
        )
    return Shards(mesh, shapes, undivided=undivided)


_Links = dict[tuple[str, str], list[str]]


def _obstacles(net: nn.Module, mesh: Mesh, traced: Trace) -> dict[str, str]:
    """Why dense layers cannot be divided, by name."""
    places = Counter(id(module) for _name, module in net.named_modules(remove_duplicate=False))
    tensors = Counter(id(parameter) for _name, parameter in net.named_parameters(remove_duplicate=False))
    reasons = {}
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Linear) and (reason := _obstacle(name, layer, mesh, traced, places, tensors)):
            reasons[name] = reason
    return reasons


def _obstacle(
    name: str, layer: nn.Linear, mesh: Mesh, traced: Trace, places: Counter[int], tensors: Counter[int]
) -> str:
    calls = traced.calls[name]
    if is_changed(layer):
        return _("it has hooks, or its weights are computed from others")
    if type(layer) is not nn.Linear:
        return _("it is a {kind}", kind=type(layer).__name__)
    if places[id(layer)] > 1 or any(tensors[id(parameter)] > 1 for parameter in layer.parameters()):
        return _("another layer shares its weights")
    if not calls or any(traced.uses[f"{name}.{key}"] != len(calls) for key, _p in layer.named_parameters()):
        return _("forward() uses its weights without calling it")
    if any(call.input is None or call.input.dim() != 2 or len(call.input) != ROWS for call in calls):
        return _("its inputs are not of the shape [images, features]")
    if layer.out_features % mesh.model_size:
        return _("its {n} outputs cannot be divided by {size}", n=layer.out_features, size=mesh.model_size)
    return ""


def _links(net: nn.Module, traced: Trace, undivided: dict[str, str]) -> _Links:
    """Pairs of dense layers with only elementwise layers between them, and these, by name.

    The tensors between them must stay inside an nn.Sequential: if forward() calls its layers one by one, it may use
    them for something else.
    """
    links: _Links = {}
    names = {id(module): name for name, module in net.named_modules()}
    inner = {id(child) for module in net.modules() if is_sequence(module) for child in _inner_sequences(module)}
    for name, module in net.named_modules():
        if not is_sequence(module) or id(module) in inner:
            continue
        last, between = "", list[str]()
        for _local, layer in sequence(module):
            key = names[id(layer)]
            if isinstance(layer, nn.Linear):
                if key in undivided:
                    last = ""
                    continue
                if last and _is_linked(traced, name, last, between, key):
                    links[last, key] = between
                last, between = key, []
            elif not is_changed(layer) and (is_elementwise(layer) or DROPOUTS.get(type(layer)) is Dropout):
                between.append(key)
            else:
                last = ""
    return links


def _inner_sequences(module: nn.Module) -> list[nn.Module]:
    """The sequences whose layers `layers.sequence` lists as those of `module`."""
    children = [child for child in module.children() if is_sequence(child) and not is_changed(child)]
    return children + [grandchild for child in children for grandchild in _inner_sequences(child)]


def _is_linked(traced: Trace, container: str, first: str, between: Sequence[str], second: str) -> bool:
    """Whether every output of `first` passes through the layers between, in calls of their container only."""
    calls, after = traced.calls[first], traced.calls[second]
    if len(calls) != len(after) or len(calls) != len(traced.calls[container]):
        return False
    for call, next_call in zip(calls, after, strict=True):
        tensor: Tensor | None = call.output
        for name in between:
            tensor = next((c.output for c in traced.calls[name] if c.input is not None and c.input is tensor), None)
        if tensor is None or next_call.input is not tensor:
            return False
    return True


def _chains(net: nn.Module, links: _Links, undivided: dict[str, str]) -> list[list[str]]:
    """All dense layers that can be divided, in chains."""
    following, linked = dict(links.keys()), {second for _first, second in links}  # a layer has one place in one chain
    chains = []
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Linear) and name not in undivided and name not in linked:
            chain = [name]
            while chain[-1] in following:
                chain.append(following[chain[-1]])
            chains.append(chain)
    return chains


def _is_worth_it(net: nn.Module, chain: Sequence[str]) -> bool:
    weights = [net.get_submodule(name).get_parameter("weight") for name in chain]
    features = weights[0].shape[1] + sum(len(weight) for weight in weights)
    return sum(weight.numel() for weight in weights) >= _WEIGHTS_PER_FEATURE * features
