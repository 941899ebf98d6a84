"""How far our outputs are from those of Caffe's and MXNet's engines, for files at full size, as a table:

    python tests/models/goldens/parity.py

The engines are not needed: `make_full_caffe.py` and `make_full_mxnet.py` have stored what they calculate. The files are
written again here (`old_files.py`), read by `classicnets.weights` and built by `classicnets.models.graph`; the networks
of the registry get the same weights.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import old_files
import torch
from golden_inputs import FOLDER, images
from numpy.typing import NDArray
from torch import Tensor, nn

import classicnets as cn
from classicnets.models.graph import Node, build
from classicnets.weights import caffe, files, mxnet_params, mxnet_symbol

FULL_SIZE = FOLDER / old_files.FOLDER
SMALL = FOLDER / "mxnet_files"
MXNET: dict[str, Any] = json.loads((FULL_SIZE / "mxnet.json").read_text())
NETS = {"lenet_caffe", "alexnet_caffe", "caffenet", "alexnet_mxnet"}  # of the registry, under their own names
TOLERANCE = 1e-4  # of the range of the outputs


class Case(NamedTuple):
    """A network from files, the images, and what the engine calculates for them.

    `others` are networks of the registry with the same weights, by name.
    """

    engine: str
    net: nn.Module
    others: dict[str, nn.Module]
    images: Tensor
    expected: NDArray[Any]


def difference(net: nn.Module, case: Case) -> float:
    """The largest difference to the engine's outputs, in units of their range."""
    with torch.no_grad():
        outputs = net.eval()(case.images).numpy()
    return float(np.abs(outputs - case.expected).max() / (case.expected.max() - case.expected.min()))


def write_caffe(name: str, folder: Path) -> tuple[Path, Path]:
    """Write the definition and the weights of a network of Caffe; return their paths."""
    model, definition = folder / f"{name}.caffemodel", folder / f"{name}.prototxt"
    with model.open("wb") as file:
        file.writelines(old_files.caffemodel(old_files.CAFFE[name]))
    definition.write_text(old_files.prototxt(old_files.CAFFE[name]))
    return model, definition


def write_mxnet(name: str, folder: Path) -> Path:
    """Write a file of weights of MXNet, whose checksum is that of the file that MXNet wrote; return its path."""
    path, facts = folder / f"{name}.params", MXNET["files"][name]
    arrays = old_files.weights([*facts["shapes"].values()], old_files.LOGITS_GAIN)
    with path.open("wb") as file:
        file.writelines(old_files.params(dict(zip(facts["shapes"], arrays, strict=True))))
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha1").hexdigest() == facts["sha1"]
    return path


def of_caffe(name: str, folder: Path) -> Case:
    """A network of `old_files.CAFFE`, from its .prototxt and its .caffemodel."""
    facts, (model, definition) = old_files.CAFFE[name], write_caffe(name, folder)
    read = caffe.graph(definition)
    nodes = _up_to(facts.logits, read.nodes)
    if facts.generation == "V1":  # the file of weights has the same layers, without the softmax
        assert caffe.graph(model).nodes == nodes
    assert read.input == facts.input
    tensors = files.read(model, data=True)[0]
    engine, expected = _stored("caffe", name)
    x = torch.from_numpy(images((len(expected), *facts.input), *facts.range))
    return Case(engine, _loaded(build(nodes, facts.input), tensors), _registered(name, tensors), x, expected)


def of_mxnet(name: str, folder: Path) -> Case:
    """A network of MXNet or of Gluon's `export`, from its -symbol.json and its .params."""
    symbol = mxnet_symbol.read(FULL_SIZE / f"{name}-symbol.json")
    tensors = symbol.name_tensors(files.read(write_mxnet(name, folder), data=True)[0])
    engine, expected = _stored("mxnet", name)
    _n, *shape = MXNET["input"]
    x = torch.from_numpy(images(tuple(MXNET["input"]), *MXNET["range"]))
    return Case(engine, _loaded(build(symbol.nodes, shape), tensors), _registered(name, tensors), x, expected)


def of_gluon(name: str, folder: Path) -> Case:
    """Gluon's AlexNet from `save_parameters`, whose file says nothing of the layers: torchvision's has the same."""
    tensors = files.read(write_mxnet(name, folder), data=True)[0]
    engine, expected = _stored("mxnet", name.removesuffix("_structural"))
    net = _in_order(cn.create("alexnet_torchvision"), tensors)
    return Case(engine, net, {}, torch.from_numpy(images(tuple(MXNET["input"]), *MXNET["range"])), expected)


def of_small_mxnet(name: str, _folder: Path) -> Case:
    """The small networks of MXNet, which have every operator together."""
    stored = json.loads((SMALL / "outputs.json").read_text())
    facts = stored["nets"][name]
    symbol = mxnet_symbol.read(SMALL / f"{name}-symbol.json")
    tensors = symbol.name_tensors(mxnet_params.read(SMALL / f"{name}.params", data=True))
    x = torch.from_numpy(images(tuple(facts["input"]), *facts["range"]))
    net = _loaded(build(symbol.nodes, facts["input"][1:]), tensors)
    return Case(stored["framework"], net, {}, x, np.asarray(facts["outputs"]))


FULL: dict[str, Callable[[str, Path], Case]] = {
    **dict.fromkeys(old_files.CAFFE, of_caffe),
    "alexnet_mxnet": of_mxnet,
    "alexnet_gluon": of_mxnet,
    "alexnet_gluon_structural": of_gluon,
}
CASES = {**FULL, **dict.fromkeys(("layers", "branches", "gluon"), of_small_mxnet)}


def _stored(engine: str, name: str) -> tuple[str, NDArray[Any]]:
    """The engine with its version, and its outputs."""
    with np.load(FULL_SIZE / f"{engine}.npz") as arrays:
        return str(arrays["engine"]), arrays[name]


def _up_to(name: str, nodes: list[Node]) -> list[Node]:
    """The nodes up to the one that writes the blob of this name, without what follows."""
    names = [node.name for node in nodes]
    return nodes[: names.index(name) + 1]


def _loaded(net: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    keys = net.load_state_dict(dict(tensors), strict=False)
    assert not keys.unexpected_keys and all(key.endswith("num_batches_tracked") for key in keys.missing_keys)
    return net


def _registered(name: str, tensors: Mapping[str, Tensor]) -> dict[str, nn.Module]:
    nets = {name} & NETS | ({"alexnet_torchvision"} if name == "alexnet_gluon" else set())
    return {each: _in_order(cn.create(each), tensors) for each in nets}


def _in_order(net: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """A network with tensors in the order of its own."""
    own = net.state_dict()
    net.load_state_dict(dict(zip(own, tensors.values(), strict=True)))
    return net


def rows() -> Iterator[tuple[str, ...]]:
    """The table."""
    yield "file", "engine", "outputs", "our network", "worst difference / range of the outputs"
    for name, make in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            case = make(name, Path(folder))
        first = "alexnet_torchvision" if make is of_gluon else "built from the file"
        size = " x ".join(map(str, case.expected.shape))
        for own, net in {first: case.net, **case.others}.items():
            yield name, case.engine, size, own, f"{difference(net, case):.1e}"


def main() -> None:
    """Print the table in Markdown."""
    for i, row in enumerate(rows()):
        print(f"| {' | '.join(row)} |", flush=True)
        if not i:
            print("|" + " --- |" * len(row))


if __name__ == "__main__":
    main()
