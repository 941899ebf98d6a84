"""Layers from torch as Python source, with changed arguments."""

from __future__ import annotations

import re

from torch import nn

from classicnets.inspection.meta import one_line


def is_from_torch(layer: nn.Module | None) -> bool:
    """Whether the class of the layer is one of torch.nn, so that its source is known."""
    return getattr(nn, type(layer).__name__, None) is type(layer)


def class_and_arguments(layer: nn.Module) -> tuple[str, str]:
    """The class of a layer from torch, such as "nn.Conv2d", and its arguments, with (5, 5) as 5."""
    return f"nn.{type(layer).__name__}", re.sub(r"\((\d+)(?:, \1)+\)", r"\1", one_line(layer.extra_repr()))


def dense_source(path: str, layer: nn.Linear, inputs: int, outputs: int | None = None) -> str:
    """A dense layer with another number of inputs or outputs: "fc1 = nn.Linear(576, 120)"."""
    bias = "" if layer.bias is not None else ", bias=False"
    return f"{path} = nn.Linear({inputs}, {outputs or layer.out_features}{bias})"


def layer_source(
    path: str, layer: nn.Module, *, inputs: int | None = None, outputs: int | None = None, padding: object = None
) -> str:
    """A convolution from torch with other channels or padding: "conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)"."""
    kind, arguments = class_and_arguments(layer)
    old_inputs, old_outputs, *rest = arguments.split(", ", 2)
    options = f", {rest[0]}" if rest else ""
    if padding is not None:
        options = re.sub(r", padding=(\d+|\([^)]*\)|\w+)", "", options)
        before, separator, after = options.partition(", dilation=")
        options = f"{before}, padding={padding}{separator}{after}"
    if inputs is not None and inputs % int(getattr(layer, "groups", 1)):
        options = re.sub(r", groups=\d+", "", options)
    return f"{path} = {kind}({inputs or old_inputs}, {outputs or old_outputs}{options})"
