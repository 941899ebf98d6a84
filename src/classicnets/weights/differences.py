"""What distinguishes networks whose weights have the same shapes: other layers, and settings of layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any

from torch import nn

_WITHOUT_EFFECT = (nn.Flatten, nn.Identity)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first place where networks differ.

    Attributes:
        layer: name of the layer with weights at this place in the first network.
        is_after: whether that layer is the same in all networks, so that they differ after it.
        layers: what each network has there, in the order of computation, such as "ReLU, LRN(k=1), MaxPool2d". Settings
            are those in which layers of one type differ.
    """

    layer: str
    is_after: bool
    layers: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Block:
    """A layer with weights, with all that comes before it if it is the first one, and the layers that follow it."""

    name: str
    first: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers in the order of computation."""
        return *self.first, *self.others


def first_difference(nets: Mapping[str, nn.Module]) -> Difference | None:
    """Return the first difference of networks that have as many layers with weights; None if there is none."""
    for blocks in zip(*map(_blocks, nets.values()), strict=False):
        if len({block.layers for block in blocks}) > 1:
            is_after = len({block.first for block in blocks}) == 1
            texts = _short([block.others if is_after else block.layers for block in blocks])
            return Difference(layer=blocks[0].name, is_after=is_after, layers=dict(zip(nets, texts, strict=True)))
    return None


def similarity(net: nn.Module, other: nn.Module) -> tuple[float, float]:
    """Return how similar the layers of two networks are, 0..1: with their settings, and only by their types."""
    left, right = ([layer for block in _blocks(each) for layer in block.layers] for each in (net, other))
    types = [[layer.partition("(")[0] for layer in layers] for layers in (left, right)]
    return _ratio(left, right), _ratio(*types)


def _ratio(left: list[str], right: list[str]) -> float:
    return SequenceMatcher(None, left, right, autojunk=False).ratio()


def _blocks(net: nn.Module) -> list[_Block]:
    name, first, others = "", list[str](), list[str]()
    blocks = []
    for own_name, module in net.named_modules():
        if next(module.children(), None) is not None or isinstance(module, _WITHOUT_EFFECT):
            continue
        if not any(tensor is not None for tensor in module._parameters.values()):
            others.append(repr(module))
            continue
        if name:
            blocks.append(_Block(name, tuple(first), tuple(others)))
            others = []
        name, first, others = own_name, [*others, repr(module)], []
    return [*blocks, _Block(name, tuple(first), tuple(others))]


def _short(lists: Sequence[Sequence[str]]) -> list[str]:
    """Layers as text, each with the settings that not all layers of its type have."""
    settings: dict[str, list[set[str]]] = {}
    for layer in (layer for layers in lists for layer in layers):
        settings.setdefault(layer.partition("(")[0], []).append({*_settings(layer)})
    common = {kind: set.intersection(*each) for kind, each in settings.items()}

    def text(layer: str) -> str:
        kind = layer.partition("(")[0]
        own = [setting for setting in _settings(layer) if setting not in common[kind]]
        return f"{kind}({', '.join(own)})" if own else kind

    return [", ".join(map(text, layers)) for layers in lists]


def _settings(layer: str) -> list[str]:
    """The settings in the representation of a module, such as "kernel_size=(3, 3)"."""
    inner = layer.partition("(")[2].removesuffix(")")
    return re.split(r", (?![^(]*\))", inner) if inner else []
