"""Replaces layers of any built network. Needs only torch and its neighbors in this folder."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from classicnets.models.graph_layers import WideAvgPool2d, WideMaxPool2d
from classicnets.models.layers import DropConnect, ScaledTanh, SelectedOutput
from classicnets.models.messages import ModelError
from classicnets.models.modules import copy_module
from classicnets.models.normalization import replace_norms
from classicnets.models.replacing import (
    ACTIVATIONS,
    DENSE,
    NORMS,
    POOLS,
    POOLS_OF,
    find_layers,
    insert_after,
    replace,
    without_root,
)
from classicnets.models.widen import widen

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
    "norm": ("none", "batch", "batch_after", "lrn"),
}
PROBABILITIES = ("dropout", "dropconnect")  # at least 0 and below 1
MIN_WIDTH, MAX_WIDTH = 0.01, 100.0


def vary(
    net: nn.Module,
    *,
    activation: str | None = None,
    pool: str | None = None,
    norm: str | None = None,
    dropout: float | None = None,
    dropconnect: float | None = None,
    width: float | None = None,
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
            normalization, "batch" is inserted after every convolution. "batch_after" does the same as "batch"; then
            each batch normalization moves behind the next activation, if only pooling and dropout lie between them.
            It stays where no activation follows, such as behind an activation, and keeps its weights and its name.
        dropout: sets the probability of every dropout layer; 0 removes them. In a network without dropout, it is
            inserted after each dense layer except the last, behind its activation.
        dropconnect: sets the probability of every `DropConnect` layer; 0 makes them nn.Linear again. In a network
            without them, each nn.Linear except the last becomes one and keeps its weights.
        width: multiplies the outputs of every hidden convolution and dense layer of an nn.Sequential, after the other
            changes. Widths are rounded so that groups still divide them; normalizations, trainable subsampling and
            PReLU follow. Layers whose size changes get new weights. Layers of a fixed size, such as the tables of
            LeNet-5, are rejected.
        output: selects the logits of a network whose forward() returns several outputs: an index of a tuple, a key of a
            dict, or an attribute. The parameters' names then begin with "net.".

    Raises:
        ValueError: an invalid value, or there is no layer to replace.
    """
    for key, value in (("activation", activation), ("pool", pool), ("norm", norm)):
        if value is not None and value not in CHOICES[key]:
            raise ModelError(
                "{key} must be one of {names}; got {value!r}", key=key, names=", ".join(CHOICES[key]), value=value
            )
    for key, number in (("dropout", dropout), ("dropconnect", dropconnect)):
        if number is not None and not 0 <= number < 1:
            raise ModelError(
                "{key} must be a probability of at least 0 and below 1; got {number}", key=key, number=number
            )
    if width is not None and not MIN_WIDTH <= width <= MAX_WIDTH:
        raise ModelError(
            "width must be a factor from {min_width:g} to {max_width:g}; got {width}",
            min_width=MIN_WIDTH,
            max_width=MAX_WIDTH,
            width=width,
        )
    root = nn.Module()  # gives the network itself a parent
    root.add_module("net", copy_module(net))
    if activation is not None:
        _replace_activations(root, activation)
    if pool is not None:
        _replace_pools(root, pool)
    if norm is not None:
        replace_norms(root, norm)
    if dropout is not None:
        _set_dropout(root, dropout)
    if dropconnect is not None:
        _set_dropconnect(root, dropconnect)
    if width is not None:
        widen(root.get_submodule("net"), width)
    varied = root.get_submodule("net")
    return varied if output is None else SelectedOutput(varied, str(output))


def _replace_activations(root: nn.Module, activation: str) -> None:
    new = _NEW_ACTIVATIONS[activation]
    layers = find_layers(root, ACTIVATIONS)
    if not layers:
        raise ModelError(
            "the network has no activation layer to replace; functions that forward() calls cannot be replaced"
        )
    replace(root, {path: layer if type(layer) is new else new() for path, layer in layers})


def _replace_pools(root: nn.Module, pool: str) -> None:
    layers = find_layers(root, POOLS)
    if not layers:
        raise ModelError(
            "the network has no pooling layer to replace; functions that forward() calls cannot be replaced"
        )
    replace(root, {path: _new_pool(path, layer, pool) for path, layer in layers})


def _new_pool(path: str, old: nn.Module, pool: str) -> nn.Module:
    plain: Callable[..., nn.Module] = nn.MaxPool2d if pool == "max" else nn.AvgPool2d
    if isinstance(old, WideMaxPool2d | WideAvgPool2d):  # with a padding that torch's pooling refuses
        plain = WideMaxPool2d if pool == "max" else WideAvgPool2d
    adaptive: Callable[..., nn.Module] = nn.AdaptiveMaxPool2d if pool == "max" else nn.AdaptiveAvgPool2d
    settings = vars(old)
    if isinstance(old, POOLS_OF[pool]):
        return old
    if settings.get("return_indices") or settings.get("dilation", 1) not in (1, (1, 1)):
        raise ModelError("{path} = {old} has no average pooling counterpart", path=without_root(path), old=old)
    if "output_size" in settings:
        return adaptive(settings["output_size"])
    return plain(**{key: settings[key] for key in ("kernel_size", "stride", "padding", "ceil_mode") if key in settings})


def _set_dropout(root: nn.Module, p: float) -> None:
    dropouts = find_layers(root, (_DropoutNd,))
    if dropouts:
        for layer in root.modules():
            if isinstance(layer, _DropoutNd):
                layer.p = p
        if p == 0:
            replace(root, {path: nn.Identity() for path, _ in dropouts})
        return
    if p == 0:
        raise ModelError("the network has no dropout layer to remove")
    hidden = find_layers(root, DENSE)[:-1]
    if not hidden:
        raise ModelError("the network has no dropout layer to set, and no hidden dense layer to insert one after")
    for path, _ in hidden:
        insert_after(root, path, nn.Dropout(p), "dropout", skip=ACTIVATIONS + NORMS)


def _set_dropconnect(root: nn.Module, p: float) -> None:
    existing = find_layers(root, (DropConnect,))
    if not p and not existing:
        raise ModelError("the network has no DropConnect layer to remove")
    layers = existing or [place for place in find_layers(root, DENSE)[:-1] if type(place[1]) is nn.Linear]
    if not layers:
        raise ModelError("the network has no DropConnect layer to set, and no hidden nn.Linear to replace")
    for _path, layer in layers:  # only the class changes, so that the weights are those of the seed
        layer.__class__ = DropConnect if p else nn.Linear
        vars(layer).pop("p", None)
        if p:
            vars(layer)["p"] = p
