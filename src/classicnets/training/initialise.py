"""First weights, as the sources set them; chosen by the recipe."""

from __future__ import annotations

from torch import nn


def initialise(net: nn.Module, how: str) -> None:
    """Sets the weights of every convolution and dense layer of `net` in place; draws from torch's global generator.

    "as_built" leaves them; "xavier_uniform" is U(-a, a) with a = sqrt(6 / (fan_in + fan_out)) and leaves the biases at
    torch's default (d2l `train_ch6`); "xavier_uniform_zero_bias" also zeroes them (Gluon's `init.Xavier()`).
    """
    if how == "as_built":
        return
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if how == "xavier_uniform_zero_bias" and layer.bias is not None:
                nn.init.zeros_(layer.bias)
