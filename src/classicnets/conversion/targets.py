"""Writes a network of torch as the files of another library, so that old code can load it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from classicnets.conversion.layer_kinds import input_shapes, is_rounded_down, is_shortened
from classicnets.conversion.nodes import export_hint, nodes_of, refusal
from classicnets.conversion.published import GLUON, TORCHVISION, match
from classicnets.errors import MachineError, UsageError
from classicnets.files import cannot_write, check_target, move_into_place, temporary_file
from classicnets.models.graph import DATA, Graph, Node
from classicnets.models.messages import reason
from classicnets.models.modules import unwrap
from classicnets.spec import WEIGHT_TARGETS
from classicnets.text import _, nearest
from classicnets.weights import caffe_write, mxnet_params, mxnet_symbol_write

_COLORS = 3
_GLUON_NAMES = {"moving_mean": "running_mean", "moving_var": "running_var"}  # others are those of MXNet's symbols

_Writers = dict[Path, Callable[[Path], None]]  # for each file, what writes it


def write(
    net: nn.Module,
    target: str,
    path: Path,
    *,
    shape: tuple[int, int, int],
    name: str,
    bgr: bool = False,
) -> list[Path]:
    """Write the weights of a network, and the network itself where the library has files of networks.

    - "torchvision": FILE.pth, a state dict under the names of torchvision's model with the same layers.
    - "caffe": FILE.caffemodel and FILE.prototxt, the network for predictions. If it gives one row of logits for each
      image, a softmax "prob" follows, as in Caffe's own files.
    - "mxnet": FILE-symbol.json and FILE-0000.params, a checkpoint of MXNet 1.x. The network of a classifier ends in a
      SoftmaxOutput "softmax".
    - "gluon": FILE.params as `Block.save_parameters` writes it: under the names of Gluon's model zoo or of the book's
      chapters, if the layers are the same; else under those of a HybridSequential with a child for each layer of the
      network, as `nodes_of` lists them, such as "0.weight" and "3.weight". Activations, pooling, dropout and Flatten
      count. Gluon has no layer for some, such as LRN, for which a HybridLambda takes the place.

    Files that exist are replaced. Either all files are written or none. The preprocessing of the images and the names
    of the classes have no place in these files.

    Args:
        net: any module, as it predicts.
        target: one of `WEIGHT_TARGETS`.
        path: the file; its suffix may be left out. In a folder that exists, the file gets the name of the network.
        shape: channels, height and width of an image.
        name: the name of the network.
        bgr: whether the network of the file reads blue, green and red instead of red, green and blue.

    Returns:
        The files.

    Raises:
        UsageError: CN202 for an unknown target; CN219 if a layer has no equivalent there, or the library has no such
            network, with the layer.
        MachineError: CN401, a file cannot be written.
    """
    if target not in WEIGHT_TARGETS:
        raise UsageError("CN202", _("unknown target {target!r}", target=target), hint=nearest(target, WEIGHT_TARGETS))
    nodes, names = nodes_of(net, shape)
    state = unwrap(net).state_dict()
    tensors = {node_name: _compact(state[own]) for node_name, own in names.items()}
    if bgr and shape[0] == _COLORS:
        tensors |= _with_reversed_channels(nodes, tensors)
    graph = Graph(name=name, input=shape, nodes=tuple(nodes))
    try:
        writers = _TARGETS[target](graph, tensors, path / name if path.is_dir() else path)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError("CN219", reason(error, _), hint=export_hint()) from error
    _write_all(writers)
    return [*writers]


def _write_all(writers: _Writers) -> None:
    """Write all files before the first one is renamed."""
    for path in writers:
        check_target(path, option="-o")
    with ExitStack() as parts:
        written = {path: parts.enter_context(temporary_file(path)) for path in writers}
        for path, part in written.items():
            try:
                writers[path](part)
            except OSError as error:
                raise cannot_write(path, error, option="-o") from error
            except MachineError as error:  # that names the temporary file
                cause = error.__cause__
                raise cannot_write(path, cause, option="-o") if isinstance(cause, OSError) else error from error
        new = [path for path in written if not path.exists()]
        for path, part in written.items():
            try:
                move_into_place(part, path)
            except OSError as error:
                for other in new:
                    other.unlink(missing_ok=True)
                raise cannot_write(path, error, option="-o") from error


def _compact(tensor: Tensor) -> Tensor:
    """The tensor on the CPU, without the rest of a larger one that it may be a part of."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _with_reversed_channels(nodes: list[Node], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the convolutions that read the image, for channels in the opposite order."""
    reversed_weights = {}
    for node in nodes:
        if DATA in node.inputs:
            if node.kind != "conv" or node.settings["groups"] > 1:
                why = _("it reads the image, and only the weights of a convolution can reverse the colors")
                raise refusal(node.name, node.kind, why)
            reversed_weights[f"{node.name}.weight"] = tensors[f"{node.name}.weight"].flip(1)
    return reversed_weights


def _torchvision(graph: Graph, tensors: Mapping[str, Tensor], path: Path) -> _Writers:
    found = match(graph, TORCHVISION)
    if found.difference:
        what = _(
            "torchvision has no network with these layers; the most similar one is {name}", name=found.published.name
        )
        raise UsageError("CN219", what, why=found.difference, hint=export_hint())
    state = OrderedDict((f"{found.names[node]}.{key}", tensor) for (node, key), tensor in _by_node(tensors).items())

    def save(part: Path) -> None:
        with part.open("wb") as file:
            torch.save(state, file)

    suffix = path.suffix if path.suffix in {".pth", ".pt"} else ".pth"
    return {_with_ending(path, suffix, suffix): save}


def _caffe(graph: Graph, tensors: Mapping[str, Tensor], path: Path) -> _Writers:
    nodes = _rounded_up(graph)
    if len(graph.output_shape) == 1 and nodes[-1].kind != "softmax":
        taken, prob = {node.name for node in nodes}, "prob"
        while prob in taken:
            prob += "_"
        nodes.append(Node(name=prob, kind="softmax", inputs=(nodes[-1].name,), settings={"axis": 1}))
    text = caffe_write.write_prototxt(nodes, graph.input, name=graph.name)
    endings = (".caffemodel", ".prototxt")
    return {
        _with_ending(path, endings[0], *endings): lambda part: caffe_write.write_model(
            nodes, tensors, part, name=graph.name
        ),
        _with_ending(path, endings[1], *endings): lambda part: _write_text(part, text),
    }


def _mxnet(graph: Graph, tensors: Mapping[str, Tensor], path: Path) -> _Writers:
    nodes = _rounded_down(graph)
    text = mxnet_symbol_write.write(nodes, graph.input)
    named = mxnet_symbol_write.name_tensors(nodes, tensors)
    endings = ("-symbol.json", "-0000.params", ".params")
    return {
        _with_ending(path, endings[0], *endings): lambda part: _write_text(part, text),
        _with_ending(path, endings[1], *endings): lambda part: mxnet_params.write(named, part),
    }


def _gluon(graph: Graph, tensors: Mapping[str, Tensor], path: Path) -> _Writers:
    found = match(graph, GLUON)
    names = found.names or {node.name: str(i) for i, node in enumerate(graph.nodes)}
    named = {}
    for node in graph.nodes:
        if node.kind == "scale":
            raise refusal(node.name, node.kind, _("Gluon has no such layer"))
        for own, tensor in mxnet_symbol_write.weights_of(node, tensors).items():
            own_name = "alpha" if node.kind == "prelu" else _GLUON_NAMES.get(own, own)
            named[f"{names[node.name]}.{own_name}"] = tensor
    return {_with_ending(path, ".params", ".params"): lambda part: mxnet_params.write(named, part)}


def _rounded_up(graph: Graph) -> list[Node]:
    """The nodes with pooling rounded up where this gives the same windows: Caffe could only round up until 2018."""
    shapes = input_shapes(graph)
    return [
        _with_ceil(node, True)
        if _is_windowed(node)
        and is_rounded_down(shapes[node.name][1:], node.settings)
        and not is_shortened(shapes[node.name][1:], node.settings)
        else node
        for node in graph.nodes
    ]


def _rounded_down(graph: Graph) -> list[Node]:
    """The nodes with pooling rounded down where the last window may lie beyond the input, if both give the same."""
    shapes = input_shapes(graph)
    return [
        _with_ceil(node, False)
        if _is_windowed(node)
        and mxnet_symbol_write.may_read_nothing(node.settings)
        and is_rounded_down(shapes[node.name][1:], node.settings)
        else node
        for node in graph.nodes
    ]


def _is_windowed(node: Node) -> bool:
    return node.kind == "pool" and not node.settings.get("whole")


def _with_ceil(node: Node, ceil: bool) -> Node:
    return replace(node, settings={**node.settings, "ceil": ceil})


def _by_node(tensors: Mapping[str, Tensor]) -> dict[tuple[str, str], Tensor]:
    """Weights by the name of their node and their own, such as ("conv1", "weight")."""
    return {(name.rpartition(".")[0], name.rpartition(".")[2]): tensor for name, tensor in tensors.items()}


def _with_ending(path: Path, ending: str, *endings: str) -> Path:
    """The path with an ending, in place of one of `endings` if it has one."""
    old = next((each for each in endings if path.name.endswith(each) and path.name != each), "")
    return path.with_name(path.name.removesuffix(old) + ending)


def _write_text(part: Path, text: str) -> None:
    part.write_text(text, encoding="utf-8", newline="\n")


_TARGETS: dict[str, Callable[[Graph, Mapping[str, Tensor], Path], _Writers]] = {
    "torchvision": _torchvision,
    "caffe": _caffe,
    "mxnet": _mxnet,
    "gluon": _gluon,
}
