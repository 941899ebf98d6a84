"""The calculations of layers from what site.json says of them, in NumPy: what the web page shows, done once more."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray
Named = Callable[[str], Array]  # values of an output by its name


def recomputed(layer: dict[str, Any], x: Array, named: Named) -> Array | None:
    """The output of a layer for its input, without the batch axis; None for a layer without a formula."""
    formula = _FORMULAS.get(layer["type"])
    return None if formula is None else formula(layer, x, named)


def _conv(layer: dict[str, Any], x: Array, named: Named) -> Array:
    facts, weight = layer["facts"], named(layer["weight"])
    groups, per_group = facts["groups"], len(x) // facts["groups"]
    top, left, bottom, right = facts["padding"]
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)), constant_values=facts.get("pad_value", 0))
    y = np.zeros(layer["shape"], np.float64)
    (down, across), (rows, columns) = facts["dilation"], facts["kernel"]
    for place, row, column in _places(layer):
        window = padded[
            :, row : row + down * (rows - 1) + 1 : down, column : column + across * (columns - 1) + 1 : across
        ]
        for group in range(groups):
            part = slice(group * len(weight) // groups, (group + 1) * len(weight) // groups)
            channels = window[group * per_group : (group + 1) * per_group]
            y[(part, *place)] = np.tensordot(weight[part].astype(np.float64), channels, 3)
    if layer["bias"] is not None:
        bias = named(layer["bias"])
        y += bias.reshape(bias.shape if bias.ndim == 3 else (-1, 1, 1))
    return y


def _places(layer: dict[str, Any]) -> Iterator[tuple[tuple[int, int], int, int]]:
    """The places of the output, with the first row and column of the window of each in the padded input."""
    down, across = layer["facts"]["stride"]
    for i in range(layer["shape"][1]):
        for j in range(layer["shape"][2]):
            yield (i, j), i * down, j * across


def _pool(layer: dict[str, Any], x: Array, _named: Named) -> Array:
    facts, y = layer["facts"], np.zeros(layer["shape"], np.float64)
    if "windows" in facts:
        for i, (top, bottom) in enumerate(facts["windows"][0]):
            for j, (left, right) in enumerate(facts["windows"][1]):
                y[:, i, j] = x[:, top:bottom, left:right].mean((1, 2))
        return y
    top, left, bottom, right = facts["padding"]
    height, width = x.shape[1:]
    for (i, j), row, column in _places(layer):
        rows = [row - top + k * facts["dilation"][0] for k in range(facts["kernel"][0])]
        columns = [column - left + k * facts["dilation"][1] for k in range(facts["kernel"][1])]
        inside = x[:, [r for r in rows if 0 <= r < height]][:, :, [c for c in columns if 0 <= c < width]]
        if layer["type"] == "max_pool":
            y[:, i, j] = inside.max((1, 2))
            continue
        # with ceil, the last window may end beyond the padding, where nothing counts
        counted = sum(r < height + bottom for r in rows) * sum(c < width + right for c in columns)
        count = counted if facts["count_include_pad"] else inside[0].size
        y[:, i, j] = inside.sum((1, 2)) / (facts["divisor"] or count)
    return y


def _dense(layer: dict[str, Any], x: Array, named: Named) -> Array:
    y: Array = x.astype(np.float64) @ named(layer["weight"]).T
    return y if layer["bias"] is None else y + named(layer["bias"])


def _activation(layer: dict[str, Any], x: Array, _named: Named) -> Array | None:
    facts, a = layer["facts"], x.astype(np.float64)
    results: dict[str, Callable[[], Array]] = {
        "relu": lambda: np.maximum(a, 0),
        "relu6": lambda: np.clip(a, 0, 6),
        "tanh": lambda: np.tanh(a),
        "sigmoid": lambda: 1 / (1 + np.exp(-a)),
        "leaky_relu": lambda: np.where(a > 0, a, facts["negative_slope"] * a),
        "elu": lambda: np.where(a > 0, a, facts["alpha"] * np.expm1(a)),
        "silu": lambda: a / (1 + np.exp(-a)),
        "gelu": lambda: a / 2 * (1 + np.vectorize(math.erf)(a / math.sqrt(2))),
        "scaled_tanh": lambda: facts["amplitude"] * np.tanh(facts["slope"] * a),
    }
    return results[facts["function"]]() if facts["function"] in results else None


def _lrn(layer: dict[str, Any], x: Array, _named: Named) -> Array:
    facts, a = layer["facts"], x.astype(np.float64)
    size, per_group = facts["size"], len(a) // facts["groups"]
    y = np.zeros_like(a)
    for i in range(len(a)):
        start = i // per_group * per_group
        first = i - size // 2
        window = a[max(first, start) : min(first + size, start + per_group)]
        y[i] = a[i] / (facts["k"] + facts["alpha_per_term"] * (window**2).sum(0)) ** facts["beta"]
    return y


def _batch_norm(layer: dict[str, Any], x: Array, named: Named) -> Array:
    facts = layer["facts"]
    shape = (-1,) + (1,) * (x.ndim - 1)
    mean, variance, weight, bias = (
        None if facts[role] is None else named(facts[role]).astype(np.float64).reshape(shape)
        for role in ("mean", "variance", "weight", "bias")
    )
    assert mean is not None and variance is not None
    y: Array = (x - mean) / np.sqrt(variance + facts["eps"])
    return y * (1.0 if weight is None else weight) + (0.0 if bias is None else bias)


def _softmax(_layer: dict[str, Any], x: Array, _named: Named) -> Array:
    powers = np.exp(x.astype(np.float64) - x.max())
    result: Array = powers / powers.sum()
    return result


_FORMULAS: dict[str, Callable[[dict[str, Any], Array, Named], Array | None]] = {
    "conv": _conv,
    "max_pool": _pool,
    "average_pool": _pool,
    "dense": _dense,
    "activation": _activation,
    "lrn": _lrn,
    "batch_norm": _batch_norm,
    "softmax": _softmax,
    "flatten": lambda layer, x, _named: x.reshape(layer["shape"]),
    "dropout": lambda _layer, x, _named: x,
}
