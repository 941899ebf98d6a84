"""Replaces layers of any built network. Needs only torch and its neighbors `layers.py`, `lrn.py` and `modules.py`."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd

from classicnets.models.layers import (
    LocalConv2d,
    RBFOutput,
    SameMapNorm,
    ScaledTanh,
    SelectedOutput,
    Subsampling,
    TableConv2d,
)
from classicnets.models.lrn import LRN
from classicnets.models.modules import copy_module

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

ACTIVATIONS = (
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
_MODULES_ONLY = "; functions that forward() calls cannot be replaced"


def vary(
    net: nn.Module,
    *,
    activation: str | None = None,
    pool: str | None = None,
    norm: str | None = None,
    dropout: float | None = None,
    output: str | int | None = None,
) -> nn.Module:
    """Return a copy of `net` with replaced layers. `net` does not change; the other layers keep weights and names.

    A layer that already has the requested type stays. Layers are ordered as they are registered. New layers can be
    inserted only into an nn.Sequential.

    Args:
        net: any module.
        activation: replaces every activation layer, including one after the last layer; see `CHOICES`.
        pool: "max" or "average" replaces every pooling layer and trainable subsampling, with the same window, stride,
            padding and rounding.
        norm: "none" removes every normalization. "batch" and "lrn" (with AlexNet's constants) replace those after
            convolutions. After dense layers, "batch" uses BatchNorm1d, and "lrn" keeps the layer. In a network without
            normalization, "batch" is inserted after every convolution.
        dropout: sets the probability of every dropout layer; 0 removes them. In a network without dropout, it is
            inserted after each dense layer except the last, behind its activation.
        output: selects the logits of a network whose forward() returns several outputs: an index of a tuple, a key of a
            dict, or an attribute. The parameters' names then begin with "net.".

    Raises:
        ValueError: an invalid value, or there is no layer to replace.
    """
    for key, value in (("activation", activation), ("pool", pool), ("norm", norm)):
        if value is not None and value not in CHOICES[key]:
            raise ValueError(f"{key} must be one of {', '.join(CHOICES[key])}; got {value!r}")
    if dropout is not None and not 0 <= dropout < 1:
        raise ValueError(f"dropout must be a probability of at least 0 and below 1; got {dropout}")
    root = nn.Module()  # gives the network itself a parent
    root.add_module("net", copy_module(net))
    if activation is not None:
        _replace_activations(root, activation)
    if pool is not None:
        _replace_pools(root, pool)
    if norm is not None:
        _replace_norms(root, norm)
    if dropout is not None:
        _set_dropout(root, dropout)
    varied = root.get_submodule("net")
    return varied if output is None else SelectedOutput(varied, str(output))


def _replace_activations(root: nn.Module, activation: str) -> None:
    new = _NEW_ACTIVATIONS[activation]
    layers = _find_layers(root, ACTIVATIONS)
    if not layers:
        raise ValueError(f"the network has no activation layer to replace{_MODULES_ONLY}")
    _replace(root, {path: layer if type(layer) is new else new() for path, layer in layers})


def _replace_pools(root: nn.Module, pool: str) -> None:
    layers = _find_layers(root, _POOLS)
    if not layers:
        raise ValueError(f"the network has no pooling layer to replace{_MODULES_ONLY}")
    _replace(root, {path: _new_pool(path, layer, pool) for path, layer in layers})


def _new_pool(path: str, old: nn.Module, pool: str) -> nn.Module:
    plain: Callable[..., nn.Module] = nn.MaxPool2d if pool == "max" else nn.AvgPool2d
    adaptive: Callable[..., nn.Module] = nn.AdaptiveMaxPool2d if pool == "max" else nn.AdaptiveAvgPool2d
    settings = vars(old)
    if isinstance(old, _POOLS_OF[pool]):
        return old
    if settings.get("return_indices") or settings.get("dilation", 1) not in (1, (1, 1)):
        raise ValueError(f"{_without_root(path)} = {old} has no average pooling counterpart")
    if "output_size" in settings:
        return adaptive(settings["output_size"])
    return plain(**{key: settings[key] for key in ("kernel_size", "stride", "padding", "ceil_mode") if key in settings})


def _replace_norms(root: nn.Module, norm: str) -> None:
    sources: dict[str, nn.Module] = {}  # the layer whose output is normalized, by the path of the normalization
    source: nn.Module = root
    for path, layer in root.named_modules(remove_duplicate=False):
        if isinstance(layer, (*_CONVOLUTIONS, nn.Linear)):
            source = layer
        elif isinstance(layer, _NORMS):
            sources[path] = source
    if norm == "batch" and not sources:
        convolutions = _find_layers(root, _CONVOLUTIONS)
        if not convolutions:
            raise ValueError(
                "the network has no normalization layer to replace, and no convolution to insert one after"
            )
        for path, layer in convolutions:
            _insert_after(root, path, nn.BatchNorm2d(vars(layer)["out_channels"]), "norm")
        return
    if not sources:
        raise ValueError(f"the network has no normalization layer to replace{_MODULES_ONLY}")
    _replace(root, {path: _new_norm(path, root.get_submodule(path), layer, norm) for path, layer in sources.items()})


def _new_norm(path: str, old: nn.Module, source: nn.Module, norm: str) -> nn.Module:
    if norm == "none":
        return nn.Identity()
    if isinstance(old, {"batch": _BatchNorm, "lrn": LRN}[norm]):
        return old
    if isinstance(source, nn.Linear):
        return old if norm == "lrn" else nn.BatchNorm1d(source.out_features)
    if norm == "lrn":
        return LRN()
    if not isinstance(source, _CONVOLUTIONS):
        raise ValueError(
            f"the number of channels of {_without_root(path)} is unknown: there is no convolution before it"
        )
    return nn.BatchNorm2d(vars(source)["out_channels"])


def _set_dropout(root: nn.Module, p: float) -> None:
    dropouts = _find_layers(root, (_DropoutNd,))
    if dropouts:
        for layer in root.modules():
            if isinstance(layer, _DropoutNd):
                layer.p = p
        if p == 0:
            _replace(root, {path: nn.Identity() for path, _ in dropouts})
        return
    if p == 0:
        raise ValueError("the network has no dropout layer to remove")
    hidden = _find_layers(root, _DENSE)[:-1]
    if not hidden:
        raise ValueError("the network has no dropout layer to set, and no hidden dense layer to insert one after")
    for path, _ in hidden:
        _insert_after(root, path, nn.Dropout(p), "dropout", skip=ACTIVATIONS + _NORMS)


def _find_layers(root: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[tuple[str, nn.Module]]:
    """Paths and layers of these types, in the order of registration; a layer that is registered twice appears twice."""
    layers: dict[tuple[nn.Module, str], tuple[str, nn.Module]] = {}
    for path, layer in root.named_modules(remove_duplicate=False):
        if isinstance(layer, kinds):
            parent, _, name = path.rpartition(".")
            layers.setdefault((root.get_submodule(parent), name), (path, layer))  # once for a block that is used twice
    return [*layers.values()]


def _replace(root: nn.Module, new: dict[str, nn.Module]) -> None:
    """Replace the layers at these paths; all places of a shared layer get the same new layer."""
    replacements: dict[nn.Module, nn.Module] = {}
    for path, layer in new.items():
        old = root.get_submodule(path)
        parent, _, name = path.rpartition(".")
        root.get_submodule(parent).add_module(name, replacements.setdefault(old, _match(root, layer, old)))


def _insert_after(
    root: nn.Module, path: str, new: nn.Module, suffix: str, *, skip: tuple[type[nn.Module], ...] = ()
) -> None:
    """Insert a new layer after the one at `path` and after the layers of the types `skip` that directly follow it.

    The other layers keep their names. Raises ValueError if the parent is not an nn.Sequential.
    """
    parent_path, _, name = path.rpartition(".")
    parent = root.get_submodule(parent_path)
    if type(parent).forward is not nn.Sequential.forward:
        container = type(parent).__name__ if parent_path else "the network"
        raise ValueError(
            f"no layer can be inserted after {name}: {container} is not an nn.Sequential, so only its forward() defines"
            " the order"
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
    for key in order:  # a dict keeps the order of insertion
        layers[key] = layers.pop(key)


def _match(root: nn.Module, new: nn.Module, old: nn.Module) -> nn.Module:
    """Return `new` with the device and dtype of the network and the mode (train or eval) of the old layer."""
    weight = next((p for p in root.parameters() if p.is_floating_point()), None)
    if weight is not None and new is not old:
        new.to(device=weight.device, dtype=weight.dtype)
    return new.train(old.training)


def _without_root(path: str) -> str:
    """A path without the added root."""
    return path.removeprefix("net").removeprefix(".") or "the network"
