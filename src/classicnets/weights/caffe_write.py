"""Writes networks as files of Caffe: weights (.caffemodel) and definitions (.prototxt)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from classicnets.files import cannot_write, move_into_place, temporary_file
from classicnets.models.graph import DATA, Node
from classicnets.weights import prototxt, wire
from classicnets.weights.caffe_schema import NET

_PLAIN = {
    "absolute": "AbsVal", "flatten": "Flatten", "sigmoid": "Sigmoid", "softplus": "BNLL", "tanh": "TanH",
}  # fmt: skip
_WITH_BASE = {"exponential": ("Exp", "exp_param"), "logarithm": ("Log", "log_param")}
_OPERATIONS = {"sum": "SUM", "product": "PROD", "max": "MAX"}
_NAMES = {"batch_norm": ("running_mean", "running_var"), "prelu": ("weight",)}  # others: weight and bias

_Layer = dict[str, Any]


def write_model(nodes: Sequence[Node], tensors: Mapping[str, Tensor], path: Path, *, name: str = "") -> None:
    """Write a .caffemodel, which has the layers and their weights.

    Args:
        nodes: the layers in the order of computation.
        tensors: weights by name, such as "conv1.weight" for the node "conv1". float64 is written as such, all others
            as float32.
        path: the file.
        name: the name of the network.

    Raises:
        ValueError: a node has no equivalent in Caffe, or its weights are missing.
        MachineError: CN401, the file cannot be written.
    """
    layers = []
    for node in nodes:
        blobs = [_blobs(node, tensors)]
        if node.kind == "batch_norm" and node.settings.get("scale", True):
            blobs.append([_blob(tensors, f"{node.name}.{each}") for each in ("weight", "bias")])
        for layer, its_blobs in zip(_layers(node, {each.name for each in nodes}), blobs, strict=True):
            layers.append(layer | ({"blobs": its_blobs} if its_blobs else {}))
    values = {"name": name, "input": [DATA], "layer": layers}
    pieces = wire.encode(NET, values if name else {key: value for key, value in values.items() if key != "name"})
    try:
        with temporary_file(path) as part:
            with part.open("wb") as file:
                file.writelines(pieces)
            move_into_place(part, path)
    except OSError as error:
        raise cannot_write(path, error, option="-o") from error


def write_prototxt(nodes: Sequence[Node], shape: Sequence[int], *, name: str = "") -> str:
    """Return the definition of a network for prediction, as the text of a deploy.prototxt.

    Args:
        nodes: the layers in the order of computation.
        shape: channels, height and width of an image.
        name: the name of the network.

    Raises:
        ValueError: a node has no equivalent in Caffe.
    """
    data = {"name": DATA, "type": "Input", "top": [DATA], "input_param": {"shape": [{"dim": [1, *shape]}]}}
    names = {node.name for node in nodes}
    layers = [data, *(layer for node in nodes for layer in _layers(node, names))]
    return prototxt.encode(NET, ({"name": name} if name else {}) | {"layer": layers})


def _layers(node: Node, names: set[str]) -> list[_Layer]:
    """The layer of a node, and a second one for the factors of a batch normalization, which Caffe has separately."""
    kind, settings = _translate(node)
    layer = {"name": node.name, "type": kind, "bottom": list(node.inputs), "top": [node.name], **settings}
    if node.kind != "batch_norm" or not node.settings.get("scale", True):
        return [layer]
    name = f"{node.name}_scale"
    while name in names:
        name += "_"
    scale = {"name": name, "type": "Scale", "bottom": [node.name], "top": [node.name]}
    return [layer, {**scale, "scale_param": {"bias_term": True}}]


def _translate(node: Node) -> tuple[str, dict[str, Any]]:
    """The type and the settings of the layer for a node."""
    s = node.settings
    if node.kind in _PLAIN:
        return _PLAIN[node.kind], {}
    if node.kind in _WITH_BASE:
        kind, field = _WITH_BASE[node.kind]
        base = s.get("base")
        values = {"base": -1.0 if base is None else base, "scale": s.get("scale", 1.0), "shift": s.get("shift", 0.0)}
        return kind, {field: values}
    match node.kind:
        case "conv":
            values = {"num_output": s["out"], **({} if s.get("bias", True) else {"bias_term": False})}
            values |= _window(s) | ({"group": s["groups"]} if s.get("groups", 1) != 1 else {})
            dilation = list(s.get("dilation", (1, 1)))
            return "Convolution", {"convolution_param": values | ({"dilation": dilation} if dilation != [1, 1] else {})}
        case "pool":
            return "Pooling", {"pooling_param": _pooling(node)}
        case "lrn":
            is_within = s.get("region", "across") == "within"
            if is_within and s["k"] != 1:
                raise _no_equivalent(node, "within channels, k is always 1")
            values = {"local_size": s["size"], "alpha": s["alpha"], "beta": s["beta"]}
            return "LRN", {"lrn_param": values | ({"norm_region": "WITHIN_CHANNEL"} if is_within else {"k": s["k"]})}
        case "dense":
            values = {"num_output": s["out"], **({} if s.get("bias", True) else {"bias_term": False})}
            return "InnerProduct", {"inner_product_param": values}
        case "relu":
            slope = s.get("slope", 0.0)
            return "ReLU", {"relu_param": {"negative_slope": slope}} if slope else {}
        case "prelu":
            return "PReLU", {"prelu_param": {"channel_shared": s.get("shared", False)}}
        case "elu":
            return "ELU", {"elu_param": {"alpha": s.get("alpha", 1.0)}}
        case "power":
            values = {"power": s.get("power", 1.0), "scale": s.get("scale", 1.0), "shift": s.get("shift", 0.0)}
            return "Power", {"power_param": values}
        case "dropout":
            return "Dropout", {"dropout_param": {"dropout_ratio": s.get("p", 0.5)}}
        case "concat":
            return "Concat", {"concat_param": {"axis": s.get("axis", 1)}}
        case "softmax":
            return "Softmax", {"softmax_param": {"axis": s.get("axis", 1)}}
        case "eltwise":
            values = {"operation": _OPERATIONS[s.get("operation", "sum")], "coeff": list(s.get("coefficients") or [])}
            return "Eltwise", {"eltwise_param": values}
        case "batch_norm":
            fraction = round(1 - s.get("momentum", 0.1), 9)
            return "BatchNorm", {"batch_norm_param": {"moving_average_fraction": fraction, "eps": s.get("eps", 1e-5)}}
        case "scale":
            return "Scale", {"scale_param": {"axis": s.get("axis", 1), "bias_term": s.get("bias", False)}}
    raise _no_equivalent(node, "there is no such layer")


def _pooling(node: Node) -> dict[str, Any]:
    s = node.settings
    values: dict[str, Any] = {"pool": "MAX" if s["mode"] == "max" else "AVE"}
    if s.get("whole"):
        return values | {"global_pooling": True}
    is_padded = any(s.get("padding") or ())
    if s["mode"] == "average" and is_padded and not s.get("count_padding"):
        raise _no_equivalent(node, "averages always count the padding")
    values |= {name: each[0] if isinstance(each, list) else each for name, each in _window(s).items()}
    return values | ({} if s.get("ceil") else {"round_mode": "FLOOR"})


def _window(s: Mapping[str, Any]) -> dict[str, Any]:
    """Window, stride and padding: one number each for squares, else those of height and width."""
    values: dict[str, Any] = {}
    for key, name, stem, default in (("kernel", "kernel_size", "kernel", 0), ("stride", "stride", "stride", 1),
                                     ("padding", "pad", "pad", 0)):  # fmt: skip
        height, width = s.get(key) or (default, default)
        if height != width:
            values |= {f"{stem}_h": height, f"{stem}_w": width}
        elif height != default:
            values[name] = [height]
    return values


def _no_equivalent(node: Node, why: str) -> ValueError:
    return ValueError(f"Caffe has no equivalent of node {node.name!r} ({node.kind}): {why}")


def _blobs(node: Node, tensors: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """The blobs of a node's first layer."""
    if node.kind not in ("conv", "dense", "prelu", "batch_norm", "scale"):
        return []
    has_bias = node.settings.get("bias", node.kind != "scale")
    names = _NAMES.get(node.kind, ("weight", "bias") if has_bias else ("weight",))
    blobs = [_blob(tensors, f"{node.name}.{name}") for name in names]
    if node.kind == "batch_norm":
        blobs.append(_blob({"": torch.ones(1, dtype=tensors[f"{node.name}.running_mean"].dtype)}, ""))
    if node.kind == "prelu" and node.settings.get("shared"):
        blobs[0].pop("shape")  # a single number
    return blobs


def _blob(tensors: Mapping[str, Tensor], name: str) -> dict[str, Any]:
    if name not in tensors:
        raise ValueError(f"the weights {name} are missing")
    values = tensors[name].detach().cpu()
    is_double = values.dtype == torch.float64
    array = np.asarray(values if is_double else values.float())
    return {"shape": {"dim": list(values.shape)}, "double_data" if is_double else "data": array}
