"""Writes networks as MXNet's `-symbol.json`, in the format of MXNet 1.x, and names their weights as MXNet does.

Source: dmlc/nnvm, src/pass/saveload_json.cc; the attributes are those of `mxnet_operators`, which reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from classicnets.models.graph import DATA, Graph, Node
from classicnets.models.graph_kinds import with_defaults
from classicnets.strict_json import dump
from classicnets.text import _

_VERSION = 10901  # of MXNet
_OUTPUTS = {"BatchNorm": 3, "Dropout": 2, "LRN": 2}  # of operators that give more than the next one reads
_ACTIVATIONS = {"sigmoid": "sigmoid", "tanh": "tanh", "softplus": "softrelu"}
_OPERATIONS = {"sum": "elemwise_add", "product": "elemwise_mul", "max": "_maximum"}
_NAMES = {"weight": "weight", "bias": "bias"}
_BATCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}
_AUXILIARY = ("moving_mean", "moving_var")


def write(nodes: Sequence[Node], shape: Sequence[int], *, name: str = "softmax") -> str:
    """Return a network as the text of a `-symbol.json` file.

    A network whose output is one row of values for each image ends in a SoftmaxOutput, as MXNet's classifiers do, in
    place of a softmax at the end. Its predictions are probabilities, and it can be trained there.

    Args:
        nodes: the layers in the order of computation.
        shape: channels, height and width of an image.
        name: of the last operator, whose label is called "NAME_label".

    Raises:
        ValueError: a node has no equivalent in MXNet, or the graph is not valid; the message names the node.
    """
    channels, height, width = shape
    graph = Graph(name="", input=(channels, height, width), nodes=tuple(nodes))
    is_classifier = len(graph.output_shape) == 1
    writer = _Writer(nodes, shape)
    last = nodes[-1]
    is_probability = is_classifier and last.kind == "softmax" and len(nodes) > 1
    for node in nodes[:-1] if is_probability else nodes:
        writer.node(node, with_defaults(node.kind, node.settings))
    if is_classifier:
        scores = last.inputs[0] if is_probability else last.name
        while name in writer.places:
            name += "_"
        label = writer.variable(f"{name}_label")
        writer.add("SoftmaxOutput", name, [writer.places[scores], label])
    return writer.text()


def name_tensors(nodes: Sequence[Node], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a network under MXNet's names, such as "arg:conv1_weight", as its checkpoints have them.

    A batch normalization without factors gets those that change nothing, because MXNet's always has factors.

    Args:
        nodes: the layers.
        tensors: weights by name, such as "conv1.weight" for the node "conv1".

    Raises:
        ValueError: weights are missing.
    """
    arguments: dict[str, Tensor] = {}
    auxiliary: dict[str, Tensor] = {}
    for node in nodes:
        for own, tensor in weights_of(node, tensors).items():
            name = f"{node.name}_{own}"
            (auxiliary if own in _AUXILIARY else arguments)[name] = tensor
    named = {f"arg:{name}": tensor for name, tensor in arguments.items()}
    return named | {f"aux:{name}": tensor for name, tensor in auxiliary.items()}


def weights_of(node: Node, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a node under MXNet's names without that of the node, such as "gamma"."""
    weights = {}
    for torch_name, own in _weights(node).items():
        name = f"{node.name}.{torch_name}"
        if name in tensors:
            weights[own] = tensors[name]
        elif own in {"gamma", "beta"} and node.kind == "batch_norm" and f"{node.name}.running_mean" in tensors:
            weights[own] = torch.full_like(tensors[f"{node.name}.running_mean"], own == "gamma")
        else:
            raise ValueError(_("the weights {name} are missing", name=name))
    return weights


def _weights(node: Node) -> dict[str, str]:
    """MXNet's names of the weights of a node, by those of torch, in MXNet's order."""
    if node.kind == "batch_norm":
        return _BATCH_NORM
    if node.kind == "prelu":
        return {"weight": "gamma"}
    if node.kind not in {"conv", "dense"}:
        return {}
    return _NAMES if node.settings.get("bias", True) else {"weight": "weight"}


def may_read_nothing(settings: Mapping[str, Any]) -> bool:
    """Return whether the last window of a pooling layer that rounds up may lie beyond the pixels of its input.

    All other libraries leave such a window out, and MXNet gives -3.4e38 or 0 for it.
    """
    windows = zip(settings["kernel"], settings["stride"], settings.get("padding") or (0, 0), strict=True)
    return any(kernel < stride + padding for kernel, stride, padding in windows)


class _Writer:
    """Collects the entries of a file. A node of the graph becomes one operator, or a few."""

    def __init__(self, nodes: Sequence[Node], shape: Sequence[int]) -> None:
        self.entries: list[dict[str, Any]] = []
        self.places: dict[str, int] = {}  # number of the entry that has the output of a node
        self.taken = {node.name for node in nodes}
        self.variable(DATA, __shape__=_tuple([0, *shape]))  # 0: any number of images

    def variable(self, name: str, **attributes: str) -> int:
        """Add an input or a parameter, and return its number."""
        return self.add("null", name, [], attributes)

    def add(self, operator: str, name: str, inputs: Sequence[int], attributes: Mapping[str, str] | None = None) -> int:
        """Add an operator that reads outputs of entries, and return its number."""
        references = [[number, 0, int(self.is_state(operator, i))] for i, number in enumerate(inputs)]
        entry: dict[str, Any] = {"op": operator, "name": name}
        entry |= {"attrs": dict(sorted(attributes.items()))} if attributes else {}
        self.entries.append({**entry, "inputs": references})
        self.places[name] = len(self.entries) - 1
        return self.places[name]

    def is_state(self, operator: str, place: int) -> bool:
        """Whether an operator changes this input while it is trained."""
        return operator == "BatchNorm" and place > 2  # data, gamma and beta come first

    def node(self, node: Node, s: Mapping[str, Any]) -> None:
        """Add the operators of a node with settings `s`."""
        inputs = [self.places[name] for name in node.inputs]
        if node.kind == "eltwise":
            self.eltwise(node, s, inputs)
        elif node.kind == "power":
            self.power(node, s, inputs[0])
        else:
            operator, attributes = _translate(node, s)
            shapes = {"__shape__": "(1,)"} if s.get("shared") else {}
            weights = [self.variable(f"{node.name}_{own}", **shapes) for own in _weights(node).values()]
            self.add(operator, node.name, [*inputs, *weights], attributes)

    def eltwise(self, node: Node, s: Mapping[str, Any], inputs: list[int]) -> None:
        """Add operators of two inputs each, or one for a sum of several; coefficients are multiplied before."""
        operation, coefficients = s["operation"], list(s["coefficients"] or [1.0] * len(inputs))
        if coefficients == [1, -1]:
            self.add("elemwise_sub", node.name, inputs)
            return
        for i, factor in enumerate(coefficients):
            if factor != 1:
                name = self.free_name(f"{node.name}_input{i}")
                inputs[i] = self.add("_mul_scalar", name, [inputs[i]], {"scalar": _number(factor)})
        if operation == "sum" and len(inputs) > 2:
            self.add("add_n", node.name, inputs, {"num_args": str(len(inputs))})
            return
        result = inputs[0]
        for i, other in enumerate(inputs[1:], 2):
            name = node.name if i == len(inputs) else self.free_name(f"{node.name}_{i}")
            result = self.add(_OPERATIONS[operation], name, [result, other])

    def power(self, node: Node, s: Mapping[str, Any], source: int) -> None:
        """Add a multiplication and an addition of numbers, of which one often suffices."""
        if s["power"] != 1:
            raise _no_equivalent(node, _("only a power of 1 can be written"))
        scale, shift = s["scale"], s["shift"]
        if scale == -1:
            self.add("_rminus_scalar", node.name, [source], {"scalar": _number(shift)})
        elif scale == 1:
            self.add("_plus_scalar", node.name, [source], {"scalar": _number(shift)})
        else:
            name = self.free_name(f"{node.name}_scale") if shift else node.name
            product = self.add("_mul_scalar", name, [source], {"scalar": _number(scale)})
            if shift:
                self.add("_plus_scalar", node.name, [product], {"scalar": _number(shift)})

    def free_name(self, name: str) -> str:
        """A name that no node has."""
        while name in self.taken or name in self.places:
            name += "_"
        return name

    def text(self) -> str:
        """The file, whose output is that of the last entry."""
        ends = [0]
        for entry in self.entries:
            is_max = entry["op"] == "Pooling" and entry["attrs"]["pool_type"] == "max"
            ends.append(ends[-1] + (2 if is_max else _OUTPUTS.get(entry["op"], 1)))
        values = {
            "arg_nodes": [i for i, entry in enumerate(self.entries) if entry["op"] == "null"],
            "node_row_ptr": ends,
            "heads": [[len(self.entries) - 1, 0, 0]],
            "attrs": {"mxnet_version": ["int", _VERSION]},
        }
        lines = [f'  "{key}": {dump(value)}' for key, value in values.items()]
        entries = ",\n    ".join(dump(entry) for entry in self.entries)  # one line each
        return ",\n".join([f'{{\n  "nodes": [\n    {entries}\n  ]', *lines]) + "\n}\n"


def _translate(node: Node, s: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The operator and its attributes for a node with weights or without."""
    match node.kind:
        case "conv":
            groups = {"num_group": str(s["groups"])} if s["groups"] != 1 else {}
            window = _window(s) | ({"dilate": _tuple(s["dilation"])} if list(s["dilation"]) != [1, 1] else {})
            return "Convolution", {"num_filter": str(s["out"]), **window, **groups, **_no_bias(s)}
        case "pool":
            return "Pooling", _pooling(node, s)
        case "lrn":
            if s["region"] == "within":
                raise _no_equivalent(node, _("MXNet normalizes across channels only"))
            values = {"alpha": s["alpha"], "beta": s["beta"], "knorm": s["k"]}
            return "LRN", {"nsize": str(s["size"]), **{name: _number(value) for name, value in values.items()}}
        case "dense":
            return "FullyConnected", {"num_hidden": str(s["out"]), **_no_bias(s)}
        case "relu" if s["slope"]:
            return "LeakyReLU", {"act_type": "leaky", "slope": _number(s["slope"])}
        case "relu":
            return "Activation", {"act_type": "relu"}
        case "elu":
            return "LeakyReLU", {"act_type": "elu", "slope": _number(s["alpha"])}
        case "prelu":
            return "LeakyReLU", {"act_type": "prelu"}
        case "sigmoid" | "tanh" | "softplus":
            return "Activation", {"act_type": _ACTIVATIONS[node.kind]}
        case "absolute":
            return "abs", {}
        case "dropout":
            if s["p"] == 1:
                raise _no_equivalent(node, _("p is 1, and MXNet allows less"))
            return "Dropout", {"p": _number(s["p"])}
        case "concat":
            return "Concat", {"num_args": str(len(node.inputs)), "dim": str(s["axis"])}
        case "softmax":
            return "softmax", {"axis": str(s["axis"])}
        case "flatten":
            return "Flatten", {}
        case "batch_norm":
            # MXNet's momentum is the share of the old statistics; with fix_gamma, gamma is 1
            values = {"eps": _number(s["eps"]), "momentum": _number(round(1 - s["momentum"], 12))}
            return "BatchNorm", {**values, "fix_gamma": str(not s["scale"])}
    raise _no_equivalent(node, _("there is no such operator"))


def _pooling(node: Node, s: Mapping[str, Any]) -> dict[str, str]:
    values = {"pool_type": "max" if s["mode"] == "max" else "avg"}
    if s["whole"]:
        return values | {"global_pool": "True", "kernel": "(1, 1)"}
    padding = s["padding"] or [0, 0]
    if s["ceil"] and may_read_nothing(s):
        raise _no_equivalent(node, _("its last window may have no pixel, for which MXNet gives no number"))
    values |= _window({**s, "padding": padding})
    values |= {"pooling_convention": "full"} if s["ceil"] else {}
    return values | ({"count_include_pad": "False"} if s["count_padding"] is False else {})


def _window(s: Mapping[str, Any]) -> dict[str, str]:
    """Window, and stride and padding if they are not 1 and 0."""
    values = {"kernel": _tuple(s["kernel"])}
    values |= {"stride": _tuple(s["stride"])} if list(s["stride"]) != [1, 1] else {}
    return values | ({"pad": _tuple(s["padding"])} if any(s["padding"]) else {})


def _no_bias(s: Mapping[str, Any]) -> dict[str, str]:
    return {} if s["bias"] else {"no_bias": "True"}


def _tuple(numbers: Sequence[int]) -> str:
    return f"({', '.join(map(str, numbers))})"


def _number(value: float) -> str:
    """A number as short as possible, which gives the same float when it is read."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _no_equivalent(node: Node, why: str) -> ValueError:
    fields = {"name": node.name, "kind": node.kind, "why": why}
    return ValueError(_("MXNet has no equivalent of node {name!r} ({kind}): {why}", **fields))
