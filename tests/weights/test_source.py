"""Weights with the network that a file beside them defines: which file is what, and whether they belong together."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import classicnets as cn
from classicnets.errors import DataError, UsageError
from classicnets.models.graph import Graph, Node, module_name
from classicnets.runs import graph_file
from classicnets.weights import caffe_write, mxnet_symbol, source
from support.graphs import chain, conv, lrn, pool, two_paths
from support.mutations import mutant_count, mutants
from support.protobuf import block, floats, number, varint

FILES = Path(__file__).parents[1] / "models" / "goldens" / "mxnet_files"
SMALL = chain("small", (3, 12, 12), conv("conv1", 4, 3, groups=1), pool("pool1", 2, 2), ("fc", "dense", {"out": 5}))
PATHS = Graph(  # Caffe's averages count the padding
    name="paths",
    input=two_paths().input,
    nodes=tuple(
        Node(
            **{**vars(node), "settings": {**node.settings, **({"count_padding": True} if node.kind == "pool" else {})}}
        )
        for node in two_paths().nodes
    ),
)
BATCH_NORM = chain("normed", (1, 6, 6), conv("c.1", 2, 3), ("bn", "batch_norm", {"scale": False}), ("s", "scale", {}))


def weights(graph: Graph) -> dict[str, Tensor]:
    """Random weights by node."""
    torch.manual_seed(0)
    state = graph.build().state_dict()
    names = {f"{module_name(node.name)}.": f"{node.name}." for node in graph.nodes}
    return {
        names[f"{name.rpartition('.')[0]}."] + name.rpartition(".")[2]: torch.rand(tensor.shape)
        for name, tensor in state.items()
        if tensor.dim()
    }


def caffemodel(folder: Path, graph: Graph, name: str = "net.caffemodel") -> Path:
    caffe_write.write_model(graph.nodes, weights(graph), folder / name, name=graph.name)
    return folder / name


def prototxt(folder: Path, graph: Graph, name: str = "deploy.prototxt") -> Path:
    (folder / name).write_text(caffe_write.write_prototxt(graph.nodes, graph.input, name=graph.name))
    return folder / name


def check(read: source.Source, graph: Graph) -> None:
    """The network computes what the graph computes, with the weights of the file."""
    assert read.input == graph.input
    expected = weights(graph)
    assert read.tensors.keys() == expected.keys()
    assert all(torch.equal(read.tensors[name], tensor) for name, tensor in expected.items())
    rebuilt = read.graph(graph.input).build()
    state = {f"{module_name(key.rpartition('.')[0])}.{key.rpartition('.')[2]}": t for key, t in expected.items()}
    for net in (rebuilt, built := graph.build()):
        net.load_state_dict(state, strict=False)
        net.eval()
    x = torch.rand(2, *graph.input)
    with torch.no_grad():
        assert torch.equal(rebuilt(x), built(x))


@pytest.mark.parametrize("graph", [SMALL, PATHS, BATCH_NORM], ids=["chain", "paths", "batch norm"])
def test_reads_weights_of_caffe_with_a_definition(tmp_path: Path, graph: Graph) -> None:
    path, definition = caffemodel(tmp_path, graph), prototxt(tmp_path, graph)
    read = source.read(path, definition, data=True)
    assert (read.path, read.format, read.graph_path, read.name) == (path, "caffe", definition, graph.name)
    check(read, graph)
    shapes = source.read(path, definition, data=False)
    assert all(tensor.is_meta for tensor in shapes.tensors.values()) and shapes.nodes == read.nodes


def test_a_caffemodel_has_its_own_definition(tmp_path: Path) -> None:
    path = caffemodel(tmp_path, SMALL)
    read = source.read(path, data=True)
    assert read.graph_path == path and [node.kind for node in read.nodes] == ["conv", "pool", "dense"]
    assert read.input is None and source.image_sizes(read) == range(11, 13)
    check(replace(read, input=SMALL.input), SMALL)


@pytest.mark.parametrize("kind", [b"Python", b"InnerProduct"], ids=["unknown layer", "only the layer with weights"])
def test_a_definition_inside_that_cannot_be_built_is_not_used(tmp_path: Path, kind: bytes) -> None:
    blobs = block(7, block(7, block(1, varint(2) + varint(3))) + block(5, floats(range(6))))
    layers = block(100, block(1, "fc") + block(2, "InnerProduct") + blobs)
    if kind == b"Python":
        layers += block(100, block(1, "x") + block(2, kind.decode()) + block(3, "fc") + block(4, "x"))
    (tmp_path / "net.caffemodel").write_bytes(block(1, "net") + layers)
    read = source.read(tmp_path / "net.caffemodel", data=True)
    assert read.nodes == () and read.graph_path is None and read.name == ""
    assert torch.equal(read.tensors["fc.weight"], torch.arange(6.0).reshape(2, 3))


def test_the_definition_for_training_tells_size_and_preprocessing(tmp_path: Path) -> None:
    """The size of its images is that of the crop; the number of channels is that of the weights."""
    path = caffemodel(tmp_path, SMALL)
    text = caffe_write.write_prototxt(SMALL.nodes, SMALL.input)
    layers = text[text.index('layer {\n  name: "conv1"') :]
    transform = "transform_param { crop_size: 12 mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.5 }"
    data = f'layer {{ name: "data" type: "Data" top: "data" top: "label" {transform} }}\n'
    loss = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n'
    (tmp_path / "train_val.prototxt").write_text(data + layers + loss)
    read = source.read(path, tmp_path / "train_val.prototxt", data=True)
    assert read.preprocessing == {"crop": 12, "mean_values": [104, 117, 123], "scale": 0.5}
    check(read, SMALL)


def test_a_network_reads_grayscale_after_layers_that_keep_the_channels() -> None:
    graph = chain("g", (2, 9, 9), lrn("norm"), conv("conv1", 4, 3, groups=2), ("fc", "dense", {"out": 5}))
    read = source.Source(
        path=Path("w"), format="caffe", tensors=weights(graph), graph_path=None, name="", nodes=graph.nodes
    )
    assert source.image_sizes(read) == range(9, 10)
    assert source.image_sizes(replace(read, nodes=graph.nodes[:2])) == range(0)


@pytest.mark.parametrize("name", ["layers", "branches", "gluon"])
def test_reads_weights_of_mxnet_with_the_graph_beside_them(tmp_path: Path, name: str) -> None:
    shutil.copyfile(FILES / f"{name}-symbol.json", tmp_path / f"{name}-symbol.json")
    for file in (f"{name}.params", f"{name}-0010.params"):
        shutil.copyfile(FILES / f"{name}.params", tmp_path / file)
        read = source.read(tmp_path / file, data=True)
        assert read.format == "mxnet" and read.graph_path == tmp_path / f"{name}-symbol.json"
        read.graph((2, 9, 9)).build().load_state_dict({**read.tensors}, strict=False)
    assert source.read(tmp_path / f"{name}.params", FILES / f"{name}-symbol.json", data=False).nodes == read.nodes
    if name == "gluon":
        assert source.image_sizes(read) == range(8, 10)


def test_arrays_of_numpy_take_a_graph_of_mxnet(tmp_path: Path) -> None:
    graph = json.loads((FILES / "gluon-symbol.json").read_text())
    (tmp_path / "net-symbol.json").write_text(json.dumps(graph))
    arrays = source.read(FILES / "gluon.params", data=True)
    names = mxnet_symbol.read(FILES / "gluon-symbol.json").parameters
    save: Any = np.savez
    save(tmp_path / "net", **{f"arg:{names[name]}": tensor.numpy() for name, tensor in arrays.tensors.items()})
    (tmp_path / "net.npz").rename(tmp_path / "net.params")
    read = source.read(tmp_path / "net.params", data=True)
    assert read.format == "numpy" and all(torch.equal(read.tensors[name], t) for name, t in arrays.tensors.items())


@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_of_torch_take_the_names_of_modules(tmp_path: Path, prefix: str) -> None:
    graph = two_paths()
    net = graph.build()
    state = {f"{prefix}{name}": torch.rand(t.shape) for name, t in net.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    graph_file.write(tmp_path / "n.graph.json", Graph(name="n", input=graph.input, nodes=graph.nodes))
    read = source.read(tmp_path / "w.pth", tmp_path / "n.graph.json", data=True)
    assert (read.format, read.name, read.input, read.nodes) == ("torch", "n", graph.input, graph.nodes)
    assert torch.equal(read.tensors["right.3x3.weight"], state[f"{prefix}right_3x3.weight"])


def test_a_checkpoint_gives_the_weights_that_are_evaluated(tmp_path: Path, blobs: Path) -> None:
    run = cn.train("lenet_d2l", data=str(blobs), epochs=1, limit=64, quiet=True)
    read = source.read(Path(run.weights_file), data=True)
    assert read.tensors.keys() == cn.create("lenet_d2l").state_dict().keys() and read.run["data_name"] == "blobs"
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "w.pth")
    assert source.read(tmp_path / "w.pth", data=True).run == {}


# ---------------------------------------------------------------------------------------------------------- wrong files


def test_weights_and_graph_must_fit(tmp_path: Path) -> None:
    path = caffemodel(tmp_path, SMALL)
    conv1, *others = SMALL.nodes
    wider = replace(conv1, settings={**conv1.settings, "out": 7})
    new = Node(name="conv2", kind="conv", inputs=("pool1",), settings={"out": 4, "kernel": [1, 1]})
    dense = replace(others[1], inputs=("conv2",))
    wrong = [
        ((wider, *others), ["conv1.weight is 4x3x3x3 in the file and 7x3x3x3 in 'conv1'", "conv1.bias is 4 in"]),
        ((conv1, others[0], new, dense), ["conv2.weight of 'conv2' is missing from the file"]),
    ]
    for nodes, texts in wrong:
        definition = prototxt(tmp_path, Graph(name="x", input=SMALL.input, nodes=nodes))
        with pytest.raises(DataError) as caught:
            source.read(path, definition, data=False)
        assert caught.value.code == "CN306" and caught.value.where == f"{path}, {definition}"
        assert all(text in caught.value.why for text in texts)
    definition = prototxt(tmp_path, Graph(name="x", input=(3, 20, 20), nodes=SMALL.nodes))
    with pytest.raises(DataError) as caught:
        source.read(path, definition, data=False)
    assert caught.value.why == "fc.weight is 5x100 in the file and 5x324 in 'fc'"


def test_the_graph_beside_the_weights_may_be_of_another_network(tmp_path: Path) -> None:
    shutil.copyfile(FILES / "branches-symbol.json", tmp_path / "x-symbol.json")
    shutil.copyfile(FILES / "gluon.params", tmp_path / "x-0001.params")
    with pytest.raises(DataError) as caught:
        source.read(tmp_path / "x-0001.params", data=False)
    assert caught.value.code == "CN306" and "x-0001.params, " in caught.value.where
    assert "rename x-symbol.json" in caught.value.hints[-1]


SOLVER = b'net: "train_val.prototxt"\nbase_lr: 0.01\n'
MEAN = number(1, 1) + number(2, 3) + number(3, 1) + number(4, 1) + block(5, floats([1, 2, 3]))


def other_files(folder: Path) -> dict[str, bytes]:
    torch.save(nn.Linear(2, 3).state_dict(), folder / "w.pth")
    torch.save(nn.Linear(2, 3).state_dict(), folder / "old.pth", _use_new_zipfile_serialization=False)
    save_file({"w": torch.ones(2)}, folder / "w.safetensors")
    return {name: (folder / name).read_bytes() for name in ("w.pth", "old.pth", "w.safetensors")}


GRAPHS: list[tuple[str | bytes, str, str]] = [
    (MEAN, "a mean image of Caffe", "--graph deploy.prototxt --mean "),
    (b"\x89PNG\r\n\x1a\n" + bytes(20), "an image", "classicnets predict RUN "),
    (SOLVER, "the Caffe file cannot be used", "net, train_net or test_net"),
    (b"<html>404", "a web page", "download"),
    ("w.pth", "has weights, and defines no network", "classicnets weights identify "),
    ("old.pth", "has weights, and defines no network", "classicnets weights identify "),
    ("w.safetensors", "has weights, and defines no network", "classicnets weights identify "),
    (b'{"a": 1}', "is text in JSON, and defines no network", ""),
    (b'{"a": ', "not a graph of MXNet", "again"),
    (bytes(range(256)), "the Caffe file cannot be used", ""),
    (b"", "the Caffe file cannot be used", ""),
]


@pytest.mark.parametrize(("content", "what", "hint"), GRAPHS)
def test_a_file_that_is_no_network_is_called_what_it_is(
    tmp_path: Path, content: str | bytes, what: str, hint: str
) -> None:
    others, path = other_files(tmp_path), tmp_path / "a graph"
    path.write_bytes(others[content] if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        source.read(caffemodel(tmp_path, SMALL), path, data=False)
    assert caught.value.code == "CN305" and what in caught.value.what and caught.value.where.startswith(str(path))
    assert hint in "".join(caught.value.hints)
    with pytest.raises(DataError, match="cannot be opened"):
        source.read(tmp_path / "net.caffemodel", tmp_path / "gone.prototxt", data=False)


GRAPH_JSON: dict[str, Any] = {"format": graph_file.FORMAT, "version": 1, **SMALL.to_json()}
WEIGHTS: list[tuple[bytes, str, str]] = [
    (MEAN, "a mean image of Caffe", "--mean '"),
    (b'name: "x"\nlayer {', "defines a network of Caffe (.prototxt)", "NAME.caffemodel --graph '"),
    (SOLVER, "(a solver)", "--graph deploy.prototxt"),
    (b"# 2014\nbase_lr: 0.1\n", "(a solver)", "--graph deploy.prototxt"),
    ((FILES / "gluon-symbol.json").read_bytes(), "defines a network of MXNet", "NAME.params --graph '"),
    (json.dumps(GRAPH_JSON).encode(), "defines a network (a graph file)", "FILE --graph '"),
]


@pytest.mark.parametrize(("content", "what", "hint"), WEIGHTS)
def test_a_file_without_weights_is_called_what_it_is(tmp_path: Path, content: bytes, what: str, hint: str) -> None:
    path = tmp_path / "a file"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        source.read(path, data=False)
    assert caught.value.code == "CN305" and what in caught.value.what and hint in caught.value.hints[0]
    assert f"'{path}'" in caught.value.hints[0] or "solver" in what


def test_a_graph_file_that_is_not_valid_names_the_node(tmp_path: Path) -> None:
    values = {**GRAPH_JSON, "nodes": [{**GRAPH_JSON["nodes"][0], "kind": "spell"}]}
    (tmp_path / "n.json").write_text(json.dumps(values))
    with pytest.raises(UsageError, match="not a network") as caught:
        source.read(caffemodel(tmp_path, SMALL), tmp_path / "n.json", data=False)
    assert caught.value.code == "CN205" and "conv1" in caught.value.why
    graph = Graph(name="x", input=(3, 2, 2), nodes=SMALL.nodes)  # the window is larger than the image
    with pytest.raises(DataError) as refused:
        source.read(tmp_path / "net.caffemodel", prototxt(tmp_path, graph), data=False)
    assert refused.value.code == "CN305" and "node 'conv1'" in refused.value.why


def test_damaged_definitions_are_refused_or_read(tmp_path: Path) -> None:
    path = caffemodel(tmp_path, SMALL)
    for original in (prototxt(tmp_path, SMALL).read_bytes(), json.dumps(GRAPH_JSON).encode()):
        refused = 0
        for content in mutants(original, mutant_count(), seed=1):
            (tmp_path / "changed").write_bytes(content)
            try:
                assert len(source.read(path, tmp_path / "changed", data=False).tensors) <= 4
            except (DataError, UsageError) as error:
                refused += error.code in {"CN305", "CN306", "CN205"}
        assert refused > 10
