"""Exchanges layers of ANY built net from outside. Needs torch and its neighbors `layers.py` and `lrn.py` alone."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd

from classicnets.models.layers import LocalConv2d, RBFOutput, SameMapNorm, ScaledTanh, Subsampling, TableConv2d
from classicnets.models.lrn import LRN

_NEW_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "scaled_tanh": ScaledTanh,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "random_relu": nn.RReLU,
    "none": nn.Identity,
}
CHOICES = {
    "activation": tuple(_NEW_ACTIVATIONS),
    "pool": ("max", "average"),
    "norm": ("none", "batch", "lrn"),
}

_ACTIVATIONS = (
    nn.ReLU, nn.Sigmoid, nn.Tanh, ScaledTanh, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU,
    nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.LogSigmoid, nn.Threshold,
)  # fmt: skip
_POOLS_OF: dict[str, tuple[type[nn.Module], ...]] = {
    "max": (nn.MaxPool2d, nn.AdaptiveMaxPool2d),
    "average": (nn.AvgPool2d, nn.AdaptiveAvgPool2d),
}
_POOLS = (*_POOLS_OF["max"], *_POOLS_OF["average"], nn.LPPool2d, Subsampling)
_NORMS = (
    _NormBase, nn.LocalResponseNorm, nn.CrossMapLRN2d, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, LRN, SameMapNorm,
)  # fmt: skip
_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, TableConv2d, LocalConv2d)
_DENSE = (nn.Linear, RBFOutput)
_BESIDE = "; what forward() calls as a function cannot be exchanged from outside"


def vary(
    net: nn.Module,
    *,
    activation: str | None = None,
    pool: str | None = None,
    norm: str | None = None,
    dropout: float | None = None,
) -> nn.Module:
    """A copy of `net` with layers exchanged; `net` stays as it is, and so do weights and names of layers that are kept.

    `activation` (see `CHOICES`) takes the place of every activation layer, one behind the last layer included.
    `pool` "max" or "average" keeps window, stride, padding and rounding; trainable subsampling counts as a pool.
    `norm` "none" removes every normalization; "batch" and "lrn" (with AlexNet's constants) take its place behind
    convolutions; "batch" comes behind every convolution of a net that has none, and behind dense layers is one of
    vectors; "lrn" leaves those. `dropout` sets the probability of every dropout, 0 removes them; in a net without any
    it comes behind each dense layer but the last, after its activation.

    A layer that is already of the kind asked for stays. Layers belong together as they are registered. New layers can
    be put in only where the neighbor is in an nn.Sequential. Raises ValueError where nothing can be exchanged.
    """
    for key, value in (("activation", activation), ("pool", pool), ("norm", norm)):
        if value is not None and value not in CHOICES[key]:
            raise ValueError(f"{key} must be one of {', '.join(CHOICES[key])}; got {value!r}")
    if dropout is not None and not 0 <= dropout < 1:
        raise ValueError(f"dropout must be a probability, from 0 to below 1; got {dropout}")
    root = nn.Module()  # so that the net itself has a parent, too
    root.add_module("net", copy.deepcopy(net))
    if activation is not None:
        _exchange_activations(root, activation)
    if pool is not None:
        _exchange_pools(root, pool)
    if norm is not None:
        _exchange_norms(root, norm)
    if dropout is not None:
        _exchange_dropout(root, dropout)
    return root.get_submodule("net")


def _exchange_activations(root: nn.Module, activation: str) -> None:
    new = _NEW_ACTIVATIONS[activation]
    found = _places(root, _ACTIVATIONS)
    if not found:
        raise ValueError(f"there is no activation to exchange among the layers{_BESIDE}")
    _replace(root, {path: layer if type(layer) is new else new() for path, layer in found})


def _exchange_pools(root: nn.Module, pool: str) -> None:
    found = _places(root, _POOLS)
    if not found:
        raise ValueError(f"there is no pooling to exchange among the layers{_BESIDE}")
    _replace(root, {path: _pool(path, layer, pool) for path, layer in found})


def _pool(path: str, old: nn.Module, pool: str) -> nn.Module:
    plain: Callable[..., nn.Module] = nn.MaxPool2d if pool == "max" else nn.AvgPool2d
    adaptive: Callable[..., nn.Module] = nn.AdaptiveMaxPool2d if pool == "max" else nn.AdaptiveAvgPool2d
    settings = vars(old)
    if isinstance(old, _POOLS_OF[pool]):
        return old
    if settings.get("return_indices") or settings.get("dilation", 1) not in (1, (1, 1)):
        raise ValueError(f"{_said(path)} = {old} has no counterpart that averages")
    if "output_size" in settings:
        return adaptive(settings["output_size"])
    return plain(**{key: settings[key] for key in ("kernel_size", "stride", "padding", "ceil_mode") if key in settings})


def _exchange_norms(root: nn.Module, norm: str) -> None:
    before: dict[str, nn.Module] = {}  # the layer whose output is normalized, by the path of the normalization
    last: nn.Module = root
    for path, layer in root.named_modules(remove_duplicate=False):
        if isinstance(layer, (*_CONVOLUTIONS, nn.Linear)):
            last = layer
        elif isinstance(layer, _NORMS):
            before[path] = last
    if norm == "batch" and not before:
        convolutions = _places(root, _CONVOLUTIONS)
        if not convolutions:
            raise ValueError("there is neither a normalization to exchange nor a convolution to put one behind")
        for path, layer in convolutions:
            _put_behind(root, path, nn.BatchNorm2d(vars(layer)["out_channels"]), "norm")
        return
    if not before:
        raise ValueError(f"there is no normalization to exchange among the layers{_BESIDE}")
    _replace(root, {path: _norm(path, root.get_submodule(path), last, norm) for path, last in before.items()})


def _norm(path: str, old: nn.Module, behind: nn.Module, norm: str) -> nn.Module:
    if norm == "none":
        return nn.Identity()
    if isinstance(old, {"batch": _BatchNorm, "lrn": LRN}[norm]):
        return old
    if isinstance(behind, nn.Linear):
        return old if norm == "lrn" else nn.BatchNorm1d(behind.out_features)
    if norm == "lrn":
        return LRN()
    if not isinstance(behind, _CONVOLUTIONS):
        raise ValueError(f"how many maps {_said(path)} gets cannot be told: there is no layer before it")
    return nn.BatchNorm2d(vars(behind)["out_channels"])


def _exchange_dropout(root: nn.Module, p: float) -> None:
    found = _places(root, (_DropoutNd,))
    if found:
        for layer in root.modules():
            if isinstance(layer, _DropoutNd):
                layer.p = p
        if p == 0:
            _replace(root, {path: nn.Identity() for path, _ in found})
        return
    if p == 0:
        raise ValueError("there is no dropout to remove")
    hidden = _places(root, _DENSE)[:-1]
    if not hidden:
        raise ValueError("there is neither dropout to set nor a hidden dense layer to put one behind")
    for path, _ in hidden:
        _put_behind(root, path, nn.Dropout(p), "dropout", beyond=_ACTIVATIONS + _NORMS)


def _places(root: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[tuple[str, nn.Module]]:
    """Where layers of these kinds are, in the order of registration; one that is in two places comes twice."""
    found: dict[tuple[nn.Module, str], tuple[str, nn.Module]] = {}
    for path, layer in root.named_modules(remove_duplicate=False):
        if isinstance(layer, kinds):
            parent, _, name = path.rpartition(".")
            found.setdefault((root.get_submodule(parent), name), (path, layer))  # once in a block that is used twice
    return [*found.values()]


def _replace(root: nn.Module, new: dict[str, nn.Module]) -> None:
    """Puts the new layers in; a layer that was in several places is replaced by one and the same."""
    made: dict[nn.Module, nn.Module] = {}
    for path, layer in new.items():
        old = root.get_submodule(path)
        parent, _, name = path.rpartition(".")
        root.get_submodule(parent).add_module(name, made.setdefault(old, _fitted(root, layer, old)))


def _put_behind(
    root: nn.Module, path: str, new: nn.Module, suffix: str, *, beyond: tuple[type[nn.Module], ...] = ()
) -> None:
    """Puts a new layer behind the one at `path`, and behind those of the kinds `beyond` that follow it at once.

    The names of the others stay. Raises ValueError where there is no nn.Sequential around.
    """
    place, _, name = path.rpartition(".")
    parent = root.get_submodule(place)
    if type(parent).forward is not nn.Sequential.forward:
        within = type(parent).__name__ if place else "the net"
        raise ValueError(
            f"nothing can be put behind {name} from outside: {within} is not an nn.Sequential, and only its forward()"
            " knows the order"
        )
    layers = parent._modules
    fresh = f"{name}_{suffix}"
    while fresh in layers:
        fresh += "_"
    order = [*layers]
    index = order.index(name) + 1
    while index < len(order) and isinstance(layers[order[index]], beyond):
        index += 1
    order.insert(index, fresh)
    layers[fresh] = _fitted(root, new, parent)
    for key in order:  # a dict has the order in which its keys were put in
        layers[key] = layers.pop(key)


def _fitted(root: nn.Module, new: nn.Module, old: nn.Module) -> nn.Module:
    """`new` on the device and in the type of the net, and in the mode (train or eval) of what it replaces."""
    weight = next((p for p in root.parameters() if p.is_floating_point()), None)
    if weight is not None and new is not old:
        new.to(device=weight.device, dtype=weight.dtype)
    return new.train(old.training)


def _said(path: str) -> str:
    """A path without our own root."""
    return path.removeprefix("net").removeprefix(".") or "the net"
