"""Which layers are not trained."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from torch import nn

from classicnets.errors import UsageError
from classicnets.models.modules import layers_with_weights
from classicnets.text import _, command, nearest


def freeze(net: nn.Module, patterns: Sequence[str]) -> None:
    """Freeze all layers whose names match one of `patterns`, such as "conv*".

    Raises:
        UsageError: CN204 for a pattern that matches no layer with weights, and if all layers are frozen.
    """
    layers = layers_with_weights(net)
    for pattern in patterns:
        matching = fnmatch.filter(layers, pattern)
        if not matching:
            raise UsageError(
                "CN204",
                _("no layer with weights matches {pattern!r}", pattern=pattern),
                where=f"freeze={','.join(patterns)}",
                why=_("the layers with weights are {names}", names=", ".join(layers)),
                hint=command("--set", f"freeze={nearest(pattern, layers) or next(iter(layers), 'none')}"),
            )
        for name in matching:
            layers[name].requires_grad_(requires_grad=False)
    if patterns and not any(p.requires_grad for p in net.parameters()):
        raise UsageError(
            "CN204",
            _("all layers are frozen"),
            where=f"freeze={','.join(patterns)}",
            hint=command("--set", f"freeze={next(iter(layers)) if len(layers) > 1 else 'none'}"),
        )
