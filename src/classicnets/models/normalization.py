"""Replaces, inserts, removes and moves the normalizations of a network. Needs only torch and its neighbors."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from classicnets.models.lrn import LRN
from classicnets.models.messages import ModelError
from classicnets.models.replacing import (
    ACTIVATIONS,
    CONVOLUTIONS,
    NORMS,
    POOLS,
    find_layers,
    insert_after,
    ordered_layers,
    replace,
    set_order,
    without_root,
)


def replace_norms(root: nn.Module, norm: str) -> None:
    """Replace, insert or remove the normalizations of `root.net`, as `vary` does.

    Raises:
        ValueError: there is no normalization to replace, or it cannot be moved.
    """
    if norm == "batch_after":
        _replace_norms(root, "batch")
        _move_behind_activations(root.get_submodule("net"))
    else:
        _replace_norms(root, norm)


def _move_behind_activations(net: nn.Module) -> None:
    """Move each batch normalization behind the next activation, if only pooling and dropout lie between them."""
    places = ordered_layers(net)
    ordered = {place.layer for place in places}
    for path, layer in net.named_modules():
        if isinstance(layer, _BatchNorm) and layer not in ordered:
            raise ModelError(
                "{path} cannot be moved: it is not in an nn.Sequential, so only forward() has its order", path=path
            )
    for i, place in enumerate(places):
        if not isinstance(place.layer, _BatchNorm):
            continue
        behind = next((p for p in places[i + 1 :] if not isinstance(p.layer, (*POOLS, _DropoutNd))), None)
        if behind is None or not isinstance(behind.layer, ACTIVATIONS):
            continue
        if behind.parent is not place.parent:
            raise ModelError(
                "{path} cannot be moved behind {behind}, because they are in different nn.Sequentials",
                path=place.path,
                behind=behind.path,
            )
        order = [name for name in place.parent._modules if name != place.name]
        order.insert(order.index(behind.name) + 1, place.name)
        set_order(place.parent, order)


def _replace_norms(root: nn.Module, norm: str) -> None:
    sources: dict[str, nn.Module] = {}  # the layer whose output is normalized, by the path of the normalization
    source: nn.Module = root
    for path, layer in root.named_modules(remove_duplicate=False):
        if isinstance(layer, (*CONVOLUTIONS, nn.Linear)):
            source = layer
        elif isinstance(layer, NORMS):
            sources[path] = source
    if norm == "batch" and not sources:
        convolutions = find_layers(root, CONVOLUTIONS)
        if not convolutions:
            raise ModelError(
                "the network has no normalization layer to replace, and no convolution to insert one after"
            )
        for path, layer in convolutions:
            insert_after(root, path, nn.BatchNorm2d(vars(layer)["out_channels"]), "norm")
        return
    if not sources:
        raise ModelError(
            "the network has no normalization layer to replace; functions that forward() calls cannot be replaced"
        )
    replace(root, {path: _new_norm(path, root.get_submodule(path), layer, norm) for path, layer in sources.items()})


def _new_norm(path: str, old: nn.Module, source: nn.Module, norm: str) -> nn.Module:
    if norm == "none":
        return nn.Identity()
    if isinstance(old, {"batch": _BatchNorm, "lrn": LRN}[norm]):
        return old
    if isinstance(source, nn.Linear):
        return old if norm == "lrn" else nn.BatchNorm1d(source.out_features)
    if norm == "lrn":
        return LRN()
    if not isinstance(source, CONVOLUTIONS):
        raise ModelError(
            "the number of channels of {path} is unknown: there is no convolution before it",
            path=without_root(path),
        )
    return nn.BatchNorm2d(vars(source)["out_channels"])
