"""What `weights identify` says of weights, definitions and mean images, alone and together."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import classicnets as cn
from classicnets import api
from classicnets.errors import ClassicnetsError, DataError
from classicnets.models.graph import Graph, Node
from classicnets.models.registry import NETS
from classicnets.runs import graph_file
from classicnets.weights import caffe_write, mxnet_params, mxnet_symbol_write
from classicnets.weights.differences import first_difference, similarity
from classicnets.weights.identify import identify, identify_files
from classicnets.weights.identity import Companion, Identity
from classicnets.weights.recognize import state_on_meta
from support.command_line import CommandLine
from support.graphs import chain, conv, lrn, of_caffe, pool
from support.mutations import mutant_count, mutants
from support.protobuf import block, floats, number, varint

FILES = Path(__file__).parents[1] / "models" / "goldens" / "mxnet_files"
LENET = of_caffe("lenet_caffe", 28)
MEAN = number(1, 1) + number(2, 3) + number(3, 1) + number(4, 2) + block(5, floats([104, 104, 117, 117, 122, 124]))
DATA_LAYER = 'layer {{ name: "mnist" type: "Data" top: "data" top: "label" transform_param {{ {} }} }}\n'
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }\n'


def weights(graph: Graph) -> dict[str, Tensor]:
    state = graph.build().state_dict()
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


def caffemodel(graph: Graph, path: str = "net.caffemodel") -> str:
    caffe_write.write_model(graph.nodes, weights(graph), Path(path))
    return path


def prototxt(graph: Graph, path: str = "deploy.prototxt", *, transform: str | None = None) -> str:
    """A definition for prediction, or for training with this preprocessing, which does not state the image size."""
    text = caffe_write.write_prototxt(graph.nodes, graph.input, name=graph.name)
    if transform is not None:
        text = DATA_LAYER.format(transform) + text[text.index(f'layer {{\n  name: "{graph.nodes[0].name}"') :] + LOSS
    Path(path).write_text(text)
    return path


def only_weights(state: Mapping[str, Tensor], path: str = "bare.caffemodel") -> str:
    """A .caffemodel without connections between its layers; the values, all 0, take no space on the disk."""

    def start(field: int, length: int) -> bytes:
        return varint(field << 3 | 2) + varint(length)

    def blob(shape: tuple[int, ...]) -> tuple[bytes, int]:
        byte_count = 4 * math.prod(shape)
        head = block(7, block(1, b"".join(map(varint, shape)))) + start(5, byte_count)
        return start(7, len(head) + byte_count) + head, byte_count

    with Path(path).open("wb") as file:
        for name in dict.fromkeys(key.rpartition(".")[0] for key in state):
            shapes = [tuple(state[f"{name}.{each}"].shape) for each in ("weight", "bias")]
            kind = "Convolution" if len(shapes[0]) == 4 else "InnerProduct"
            blobs, head = [blob(shape) for shape in shapes], block(1, name) + block(2, kind)
            file.write(start(100, len(head) + sum(len(own) + n for own, n in blobs)) + head)
            for own, byte_count in blobs:
                file.write(own)
                file.seek(byte_count, 1)
        file.truncate()
    return path


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def identity(*paths: str) -> Identity:
    (only,) = identify_files(paths)
    assert isinstance(only, Identity)
    return only


def companion(*paths: str) -> Companion:
    (only,) = identify_files(paths)
    assert isinstance(only, Companion)
    return only


# -------------------------------------------------------------------------------------------------------------- weights


def test_the_answer_is_in_the_first_two_lines() -> None:
    path = caffemodel(LENET)
    assert identify(path).lines() == [
        "net.caffemodel: weights of Caffe, 8 tensors with 431,080 elements",
        "lenet_caffe for 10 classes and 1x28x28 images: the definition in the file computes the same",
        "By Caffe's convention, not stated in a file, its images are 0 to 255, often scaled or minus a mean.",
        "The names of its 10 classes are not in the file: --classes FILE.txt gives them.",
        "next:  classicnets weights convert net.caffemodel -o net",
        "or:    classicnets train lenet_caffe --weights net.caffemodel --data FOLDER",
    ]


def test_weights_alone_fit_networks_that_differ_in_the_order_of_layers() -> None:
    """Those that were published for Caffe come first; what distinguishes them is said in layers."""
    found = identify(only_weights(state_on_meta("caffenet", (1000, 3, 227))))
    assert [match.net for match in found.matches[: found.likely]] == ["alexnet_caffe", "caffenet"]
    assert {match.net for match in found.matches[2:]} == {net for net in NETS if net.startswith("alexnet_2012")} - {
        "alexnet_2012_one_tower"
    }
    lines = found.lines()
    assert lines[:8] == [
        "bare.caffemodel: weights of Caffe, 16 tensors with 60,965,224 elements",
        "one of alexnet_caffe, caffenet, whose weights have the same shapes",
        "  same names and shapes as alexnet_caffe for 1000 classes and 3x227x227 images",
        "  same names and shapes as caffenet for 1000 classes and 3x227x227 images",
        "They differ first after conv1:",
        "  alexnet_caffe  ReLU, LRN, MaxPool2d",
        "  caffenet       ReLU, MaxPool2d, LRN",
        "It also fits networks of other sources: alexnet_2012, alexnet_2012_code, alexnet_2012_plain_pooling.",
    ]
    assert "In conv2, conv4, conv5, each of 2 groups reads its part of the channels." in lines
    assert any("BGR, from 0 to 255, minus a mean (--mean)" in line for line in lines)
    assert any("order have no tensors" in line for line in lines)
    convert = "classicnets weights convert bare.caffemodel"
    assert found.commands == (
        f"{convert} --graph deploy.prototxt -o bare",
        f"{convert} --net alexnet_caffe -o bare",
        f"{convert} --net caffenet -o bare",
    )
    Path("a.prototxt").touch()
    Path("b_deploy.prototxt").touch()
    Path("mean.binaryproto").touch()
    options = "--graph b_deploy.prototxt --mean mean.binaryproto"
    assert identify("bare.caffemodel").commands[0] == f"{convert} {options} -o bare"
    values = found.to_dict()
    assert values["likely"] == ["alexnet_caffe", "caffenet"] and values["difference"]["layer"] == "conv1"


def test_a_single_network_of_the_library_is_named_first() -> None:
    state = state_on_meta("lenet_d2l_v1", (10, 1, 28))
    names = dict(zip(dict.fromkeys(key.rpartition(".")[0] for key in state), "02456", strict=True))
    tensors = {f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": t for key, t in state.items()}
    mxnet_params.write({name: torch.zeros(tensor.shape) for name, tensor in tensors.items()}, Path("lenet.params"))
    lines = identify("lenet.params").lines()
    match = "same shapes as lenet_d2l_v1 for 10 classes and 1x28x28 images, under other names"
    assert lines[1] == f"{match}; it was published for MXNet"
    assert lines[2] == "It also fits networks of other sources: lenet_32, lenet_d2l."
    assert lines[3:7] == [
        "They differ first at conv1:",
        "  lenet_d2l_v1  Conv2d, Sigmoid, MaxPool2d",
        "  lenet_32      Conv2d, Sigmoid, AvgPool2d",
        "  lenet_d2l     Conv2d(padding=(2, 2)), Sigmoid, AvgPool2d",
    ]
    assert "next:  classicnets weights convert lenet.params --net lenet_d2l_v1 -o lenet" in lines
    assert any("RGB if in color" in line for line in lines)


def test_weights_that_training_takes_have_a_command_for_that() -> None:
    torch.save({name: torch.zeros(t.shape) for name, t in state_on_meta("lenet5_1998", (10, 1, 32)).items()}, "w")
    found = identify("w")
    assert found.format == "torch" and found.commands == (
        "classicnets weights convert w -o w-run",
        "classicnets train lenet5_1998 --weights w --data FOLDER",
    )


@pytest.mark.parametrize(
    ("transform", "stated"),
    [
        ("scale: 0.00390625", ["train.prototxt states: times 0.00390625."]),
        (
            'crop_size: 28 mean_file: "mean.binaryproto"',
            ["train.prototxt states: minus the mean image mean.binaryproto; cropped to 28 pixels."],
        ),
        (
            "mean_value: 104 mean_value: 117",
            ["train.prototxt states: minus the means 104, 117."],
        ),
    ],
)
def test_a_definition_tells_the_preprocessing(transform: str, stated: list[str]) -> None:
    found = identity(prototxt(LENET, "train.prototxt", transform=transform), caffemodel(LENET))
    assert found.lines()[1] == "lenet_caffe for 10 classes and 1x28x28 images: train.prototxt computes the same"
    assert list(found.notes[:-1]) == stated
    assert found.commands[0] == "classicnets weights convert net.caffemodel --graph train.prototxt -o net"


def test_a_color_network_of_caffe_expects_bgr() -> None:
    graph = replace(LENET, input=(3, 28, 28))
    paths = caffemodel(graph), prototxt(graph)
    Path("mean.binaryproto").write_bytes(MEAN)
    found, mean = identify_files([*paths, "mean.binaryproto"])
    assert isinstance(found, Identity) and isinstance(mean, Companion)
    assert any("BGR, from 0 to 255, minus a mean (--mean)" in note for note in found.notes)
    assert found.commands == (  # and not `train --weights`, which would take blue for red
        "classicnets weights convert net.caffemodel --graph deploy.prototxt --mean mean.binaryproto -o net",
    )
    assert mean.lines() == [
        "mean.binaryproto: a mean image of Caffe, 3x1x2",
        "The means of its channels are 104.0, 117.0, 123.0, in the order of the network's input.",
        "next:  classicnets weights convert NAME.caffemodel --graph deploy.prototxt --mean mean.binaryproto -o RUN",
    ]
    stated = identity(paths[0], prototxt(graph, transform="mean_value: 104"))
    assert any("BGR, from 0 to 255." in note for note in stated.notes)


def test_a_network_that_is_not_of_the_registry_is_compared_with_the_nearest() -> None:
    nodes = [replace(n, kind="sigmoid") if n.name == "relu1" else n for n in LENET.nodes]
    softmax = Node(name="prob", kind="softmax", inputs=("ip2",), settings={})
    graph = replace(LENET, name="mine", nodes=(*nodes, softmax))
    found = identity(caffemodel(LENET), prototxt(graph))
    assert found.lines()[1:6] == [
        "the network in deploy.prototxt: 'mine', 8 layers, 1x28x28 images, 10 outputs",
        "No network of the registry computes the same.",
        "The weights fit lenet_caffe, which differs first after ip1:",
        "  the file     Sigmoid",
        "  lenet_caffe  ReLU",
    ]
    assert found.to_dict()["network"]["nearest"] == "lenet_caffe"
    other = chain("other", (3, 9, 9), conv("c", 4, 3), pool("p", 2, 2), lrn("n"), ("f", "dense", {"out": 2}))
    found = identity(caffemodel(other, "other.caffemodel"), prototxt(other))
    assert found.lines()[2:4] == [
        "No network of the registry computes the same.",
        "Normalization (LRN) has k = 1, and comes after pooling.",
    ]
    assert not found.matches and found.to_dict()["nearest"] is None


def test_weights_of_mxnet_use_the_graph_beside_them() -> None:
    for name in ("gluon.params", "gluon-symbol.json"):
        Path(name).write_bytes((FILES / name).read_bytes())
    found = identify("gluon.params")
    assert found.lines()[1] == "the network in gluon-symbol.json: 6 layers, 2x8x8 images, 3 outputs"
    assert found.commands == ("classicnets weights convert gluon.params -o gluon",)
    assert identity("gluon-symbol.json", "gluon.params") == found
    Path("gluon.params").rename("other-0001.params")
    given = identity("gluon-symbol.json", "other-0001.params")
    assert given.commands == ("classicnets weights convert other-0001.params --graph gluon-symbol.json -o other",)


def test_a_checkpoint_names_the_network_of_its_run(blobs: Path) -> None:
    """Other networks have the same weights; with changed layers, it is none of the registry."""
    common: dict[str, Any] = {"data": str(blobs), "epochs": 1, "limit": 64, "quiet": True}
    found = identify(cn.train("lenet_d2l", **common).weights_file)
    assert [match.net for match in found.matches] == ["lenet_d2l", "lenet_32", "lenet_d2l_v1"]
    assert found.commands[0].startswith("classicnets train lenet_d2l --weights ") and not found.notes
    changed = identify(cn.train("lenet_d2l", variation={"pool": "max"}, **common).weights_file)
    assert "lenet_d2l with pool=max" in changed.lines()[1] and changed.commands == ()
    graph_file.write(Path("n.graph.json"), chain("mine", (1, 12, 12), conv("c", 4, 3), ("f", "dense", {"out": 10})))
    own = identify(cn.train("n.graph.json", **common).weights_file).lines()
    assert len(own) == 2 and own[1].startswith("written by classicnets: mine on blobs")
    metadata = {"classicnets.checkpoint": json.dumps({"net": 5})}
    save_file({"net/w": torch.zeros(2)}, "strange.safetensors", metadata)
    assert identify("strange.safetensors").lines()[-1] == "No network of the registry is similar."


def test_training_takes_only_files_with_the_names_of_the_network() -> None:
    """The names of the nodes of a graph are not those of the file."""
    nodes = [replace(node, settings=dict(node.settings)) for node in LENET.nodes]
    for node in nodes:
        node.settings.pop("ceil", None)  # of windows that divide their input
    Path("net-symbol.json").write_text(mxnet_symbol_write.write(nodes, LENET.input))
    tensors = mxnet_symbol_write.name_tensors(nodes, weights(LENET))
    mxnet_params.write(tensors, Path("net-0007.params"))
    found = identify("net-0007.params")
    assert "ip1_weight" in mxnet_params.read(Path("net-0007.params"), data=False)
    assert found.lines()[1] == "lenet_caffe for 10 classes and 1x28x28 images: net-symbol.json computes the same"
    assert found.commands == ("classicnets weights convert net-0007.params -o net",)


def test_weights_of_an_unknown_network_have_the_nearest_one() -> None:
    state = {name: torch.zeros(t.shape) for name, t in state_on_meta("lenet_d2l", (10, 1, 28)).items()}
    mxnet_params.write({**state, "fc2.weight": torch.zeros(3, 3)}, Path("w.params"))
    found = identify("w.params")
    assert found.nearest and "The most similar is lenet" in found.lines()[1] and not found.notes
    mxnet_params.write({"x_weight": torch.zeros(3, 3)}, Path("w.params"))
    assert identify("w.params").lines()[1:] == [
        "No network of the registry is similar.",
        "next:  classicnets weights convert w.params --graph w-symbol.json -o w",
    ]


# ------------------------------------------------------------------------------------------------ files without weights


def definitions() -> dict[str, Callable[[], str]]:
    def graph() -> str:
        graph_file.write(Path("n.graph.json"), LENET)
        return "n.graph.json"

    def symbol() -> str:
        Path("a-symbol.json").write_bytes((FILES / "layers-symbol.json").read_bytes())
        return "a-symbol.json"

    return {
        "deploy": lambda: prototxt(LENET),
        "train": lambda: prototxt(LENET, "train.prototxt", transform="scale: 0.5"),
        "graph": graph,
        "symbol": symbol,
    }


OF_LENET = "lenet_caffe for 10 classes and 1x28x28 images: the definition in the file computes the same"
EXPECTED = {
    "deploy": (
        "a network of Caffe: 'lenet_caffe', 7 layers, 1x28x28 images, 10 outputs",
        OF_LENET,
        "NAME.caffemodel --graph deploy.prototxt",
    ),
    "train": (
        "a network of Caffe: 7 layers",
        f"{OF_LENET} for this size, which it leaves open",
        "NAME.caffemodel --graph train.prototxt",
    ),
    "graph": (
        "a graph file: 'lenet_caffe', 7 layers, 1x28x28 images, 10 outputs",
        OF_LENET,
        "FILE --graph n.graph.json",
    ),
    "symbol": (
        "a network of MXNet: 13 layers",
        "No network of the registry computes the same.",
        "NAME.params --graph a-symbol.json",
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_definition_alone_is_described(name: str, cli: CommandLine) -> None:
    path = definitions()[name]()
    what, answer, command = EXPECTED[name]
    lines = companion(path).lines()
    assert lines[:2] == [f"{path}: {what}", answer]
    assert lines[-1] == f"next:  classicnets weights convert {command} -o RUN"
    code, out, _err = cli("weights", "identify", path, "--json")
    values = json.loads(out)
    assert code == 0 and values["kind"] == "network" and values["next"][0] in lines[-1]
    nets = [match["net"] for match in values["network"]["matches"]]
    assert nets == (["lenet_caffe"] if name != "symbol" else [])


def test_files_are_paired_in_any_order(cli: CommandLine) -> None:
    """Each definition is used for the weights that it fits; a definition that fits none is described by itself."""
    other = chain("other", (3, 9, 9), conv("c", 4, 3), ("f", "dense", {"out": 2}))
    paths = [
        prototxt(other, "other.prototxt"), caffemodel(LENET), prototxt(LENET), caffemodel(other, "other.caffemodel"),
    ]  # fmt: skip
    first, second = identify_files(paths)
    assert isinstance(first, Identity) and first.network and first.network.path == "deploy.prototxt"
    assert isinstance(second, Identity) and second.network and second.network.path == "other.prototxt"
    code, out, err = cli("weights", "identify", caffemodel(other, "wrong.caffemodel"), paths[2], "--json")
    assert code == 3 and "the weights do not fit the graph" in out + err
    code, out, _err = cli("weights", "identify", *paths, "--json")
    assert code == 0 and [each["path"] for each in json.loads(out)] == ["net.caffemodel", "other.caffemodel"]
    third = prototxt(chain("x", (1, 4, 4), ("f", "dense", {"out": 2})), "third.prototxt")
    code, out, _err = cli("weights", "identify", third, *paths[1:3])
    assert out.count("\n\n") == 1 and out.startswith("third.prototxt: ")


def test_a_network_that_cannot_be_built_is_an_error() -> None:
    small = prototxt(replace(LENET, input=(1, 5, 5)))
    with pytest.raises(DataError, match="not a network that can be built") as caught:
        identify_files([small])
    assert caught.value.code == "CN305" and caught.value.where == small and "'conv2'" in caught.value.why
    Path("solver.prototxt").write_text('net: "train.prototxt"\nbase_lr: 0.1\n')
    with pytest.raises(DataError, match="a solver"):
        identify_files(["solver.prototxt"])
    Path("mean.binaryproto").write_bytes(b"hello")
    with pytest.raises(DataError, match="the Caffe file cannot be used"):
        identify_files(["mean.binaryproto"])
    with pytest.raises(DataError, match="cannot be opened"):
        api.networks.identify_files(["gone.prototxt"])


def test_many_differences_are_counted() -> None:
    torch.save({f"layer{i}.weight": torch.zeros(6, 1, 5, 5) for i in range(30)}, "w.pth")
    lines = identify("w.pth").lines()
    assert lines[-1].startswith("  and ") and lines[-1].endswith(" more") and len(lines) < 12


def test_damaged_files_are_refused_or_identified() -> None:
    path, refused = caffemodel(chain("o", (3, 9, 9), conv("c", 4, 3), ("f", "dense", {"out": 2}))), 0
    content = Path(path).read_bytes()
    cases = [content[:end] for end in range(0, len(content), 7)] + [*mutants(content, mutant_count(), seed=2)]
    for case in cases:
        Path(path).write_bytes(case)
        try:
            assert identify(path).lines()
        except ClassicnetsError as error:
            refused += error.code in {"CN305", "CN306"}
    assert refused > len(cases) // 4


def test_a_network_of_very_many_layers_is_not_compared() -> None:
    graph = chain("o", (3, 9, 9), conv("c", 4, 3), *((f"r{i}", "relu", {}) for i in range(2000)))
    graph = replace(graph, nodes=(*graph.nodes, Node(name="f", kind="dense", inputs=("r1999",), settings={"out": 2})))
    path = caffemodel(graph)
    found = identity(path, prototxt(graph))
    assert "2,002 layers" in found.lines()[1] and found.network and found.network.nearest == ""
    assert found.network.input == (3, 9, 9) and identify(path).network == replace(
        found.network, path=path, name="", input=None, outputs=None
    )


# ---------------------------------------------------------------------------------------------------------- differences


def net(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


CONV: Any = nn.Conv2d(1, 2, 3)


def test_the_first_difference_has_only_settings_that_differ() -> None:
    nets = {
        "a": net(CONV, nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(), nn.Linear(2, 2), nn.Dropout(0.5)),
        "b": net(CONV, nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Linear(2, 2)),
        "c": net(CONV, nn.AvgPool2d(2), nn.Linear(2, 2)),
    }
    found = first_difference(nets)
    assert found and (found.layer, found.is_after) == ("0", True)
    assert found.layers == {
        "a": "ReLU, MaxPool2d(ceil_mode=False)",
        "b": "ReLU, MaxPool2d(ceil_mode=True)",
        "c": "AvgPool2d",
    }
    later = first_difference({"a": nets["a"], "d": net(*list(nets["a"])[:5])})
    assert later and (later.layer, later.layers) == ("4", {"a": "Dropout", "d": ""})
    assert first_difference({"a": nets["a"], "a again": nets["a"]}) is None
    padded = first_difference({"a": net(nn.ZeroPad2d(1), CONV), "b": net(nn.Conv2d(1, 2, 3, padding=1))})
    assert padded and padded.layers == {"a": "ZeroPad2d, Conv2d", "b": "Conv2d(padding=(1, 1))"}
    assert similarity(nets["a"], nets["a"]) == (1, 1)
    assert similarity(nets["a"], nets["b"]) > similarity(nets["a"], nets["c"])
