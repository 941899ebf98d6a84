"""The networks of the registry, at sizes that tests can afford."""

from __future__ import annotations

from classicnets.models.registry import NETS

# The networks for ImageNet are built for the smallest image they pass, which leaves every layer in place; torchvision's
# has layers that refuse images so small.
_SMALL = {name: 67 for name, entry in NETS.items() if entry.macs > 3e8 and entry.input[1] > 200}
_SMALL |= {"vgg16": 32, "alexnet_torchvision": 224}


def is_large(name: str) -> bool:
    """Whether the network takes seconds at its own size."""
    return name in _SMALL


def small_input(name: str) -> tuple[int, int, int]:
    """The shape of its input, [C, H, W], at the smallest image size if it is large."""
    channels, size, _ = NETS[name].input
    size = _SMALL.get(name, size)
    return channels, size, size
