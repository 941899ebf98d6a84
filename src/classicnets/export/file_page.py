"""Writes a web page for an exported file: its answer and the outputs of its operations.

The calculations of layers, the epochs and the test images are those of a run, so that its own page has more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classicnets import machine
from classicnets.errors import CheckFailed
from classicnets.evaluation import exported
from classicnets.evaluation.onnx import INPUT, OnnxClassifier
from classicnets.export import graph, page_facts, web
from classicnets.text import _, byte_count
from classicnets.values import Preprocess

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_FILE = "networks/0.onnx"
_WEIGHT = ".weight"
_UNKNOWN = {"int8": False, "test_accuracy": None, "test_pictures": None, "min_confidence": None}  # where not stated
_STATED = ("net", "data_name", "licence", "parameters", "macs")  # what a page says of every network


def write_file_page(path: Path, folder: Path, *, trust: bool = False) -> None:
    """Write the page of an .onnx file into an empty folder.

    Args:
        path: an exported .onnx file.
        folder: where the page is written.
        trust: use a file that another program has changed.

    Raises:
        CheckFailed: CN107, a page cannot show the file: it takes images that are already resized, or is too large.
        DataError: CN308, the file is damaged or was not exported by classicnets.
        MachineError: CN403, the package onnx is not installed, or the page is not built.
        OSError: the folder cannot be written.
    """
    web.require_page()
    onnx = machine.require("onnx", extra="export")
    facts = exported.read_facts(path, trusted=trust)
    if OnnxClassifier.takes_floats(facts):
        raise CheckFailed(
            "CN107",
            _("a page shows files that take images of any size"),
            where=path.name,
            why=_("this file takes an image that is already resized"),
        )
    if missing := [name for name in _STATED if facts.get(name) is None]:
        raise CheckFailed(
            "CN107",
            _("a page shows files of `classicnets export`"),
            where=path.name,
            why=_("the metadata of this file has no {names}", names=", ".join(missing)),
        )
    if path.stat().st_size > web.MAX_BYTES:
        raise CheckFailed(
            "CN107",
            _("the network is too large for a web page"),
            where=path.name,
            why=_("a page may have {limit}", limit=byte_count(web.MAX_BYTES)),
        )
    model = onnx.load(path)
    if not {graph.PREPARED, graph.LOGITS} <= {name for node in model.graph.node for name in node.output}:
        raise CheckFailed(
            "CN107",
            _("a page shows files of `classicnets export`"),
            where=path.name,
            why=_("the graph of this file has no {names}", names=f"{graph.PREPARED}, {graph.LOGITS}"),
        )
    nodes = {} if facts.get("int8") else {node.output[0]: node for node in _operations(onnx, model)}
    names = [graph.PREPARED, graph.LOGITS, *(name for name in nodes if name != graph.LOGITS)]
    for name in names:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    for entry in [entry for entry in model.metadata_props if entry.key != exported.KEY]:
        model.metadata_props.remove(entry)  # the checksum
    (folder / _FILE).parent.mkdir()
    (folder / _FILE).write_bytes(exported.seal_onnx(model.SerializeToString()))
    entry = page_facts.network_entry(_UNKNOWN | facts, path.stem, _FILE)
    preprocess = Preprocess.from_dict(facts["preprocess"])
    shapes = _shapes(folder / _FILE, names, preprocess)
    layers = [*_layer_entries(model, nodes, shapes, preprocess.views)]
    sources = _sources(model, {layer["output"] for layer in layers})
    for layer in layers:
        layer["sources"] = sources[layer["output"]]
    last = [graph.LOGITS] if layers and layers[-1]["output"] == graph.LOGITS else sources[graph.LOGITS]
    entry |= {"layers": layers, "logits_sources": last, "epochs": []}
    web.write_page(folder, [entry])


def _operations(onnx: Any, model: ModelProto) -> Iterator[NodeProto]:
    """The operations from the prepared image to the logits whose outputs are floats."""
    values = onnx.shape_inference.infer_shapes(model).graph.value_info
    floats = {value.name for value in values if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    reached = {graph.PREPARED}
    for node in model.graph.node:  # in the order of their calculation
        if reached.isdisjoint(node.input):
            continue
        reached.update(node.output)
        if node.output[0] in floats or node.output[0] == graph.LOGITS:
            yield node
        if graph.LOGITS in node.output:
            return


def _shapes(path: Path, names: list[str], preprocess: Preprocess) -> dict[str, tuple[int, ...]]:
    """The shapes of outputs for one image."""
    image = np.zeros((1, preprocess.side, preprocess.side, 3), np.uint8)
    values = OnnxClassifier(path).session.run(names, {INPUT: image})
    return {name: np.shape(value) for name, value in zip(names, values, strict=True)}


def _layer_entries(
    model: ModelProto, nodes: dict[str, NodeProto], shapes: dict[str, tuple[int, ...]], views: int
) -> Iterator[dict[str, Any]]:
    """What site.json says of the operations whose output has numbers for each view of the image."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, node in nodes.items():
        shape = shapes[name]
        if len(shape) not in {2, 3, 4} or shape[0] != views:
            continue
        own = [weights[tensor] for tensor in node.input if tensor in weights]
        named = [tensor.name.removesuffix(_WEIGHT) for tensor in own if tensor.name.endswith(_WEIGHT)]
        yield {
            "name": named[0] if len(named) == 1 else name,
            "kind": node.op_type,
            "type": "other",
            "input": None,
            "output": name,
            "input_shape": [],
            "shape": [*shape[1:]],
            "weight": None,
            "bias": None,
            "parameters": sum(int(np.prod(tensor.dims)) for tensor in own if tensor.data_type == 1),
            "macs": 0,
            "size": "",
            "facts": {},
        }


def _sources(model: ModelProto, shown: set[str]) -> dict[str, list[str]]:
    """Which shown values, and the prepared image, each shown value and the logits are computed from."""
    passed_on, sources = {graph.PREPARED: [graph.PREPARED]}, dict[str, list[str]]()
    for node in model.graph.node:
        sources[node.output[0]] = list(dict.fromkeys(s for name in node.input for s in passed_on.get(name, ())))
        for name in node.output:
            own = [name] if name in shown else sources[node.output[0]]
            passed_on.setdefault(name, own)
    return sources
