"""Files of Caffe and MXNet at full size give what the engines calculate; their outputs are in tests/models/goldens."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import old_files
import parity
import pytest
import torch
from parity import CASES, MXNET, TOLERANCE

from classicnets.models.lrn import LRN
from classicnets.weights import caffe, caffe_write, mxnet_params


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_outputs_equal_those_of_the_engine(tmp_path: Path, name: str) -> None:
    """Built from the files, and the network of the registry with the same weights; both images differ."""
    case = CASES[name](name, tmp_path)
    for net in (case.net, *case.others.values()):
        assert parity.difference(net, case) < TOLERANCE
    assert case.expected.std(axis=0).mean() > 50 * TOLERANCE * np.ptp(case.expected)
    for path in tmp_path.iterdir():  # a quarter of a GB each
        path.unlink()
    layers = [layer for layer in case.net.modules() if isinstance(layer, LRN)]
    for layer in layers:  # the images would show another constant
        layer.k += 1.0
    assert not layers or parity.difference(case.net, case) > 10 * TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet_mxnet", "alexnet_gluon_structural"])
def test_written_weights_of_mxnet_are_its_own_bytes(tmp_path: Path, name: str) -> None:
    content = mxnet_params.load(parity.write_mxnet(name, tmp_path), data=True)
    prefix = "arg:" if next(iter(MXNET["files"][name]["shapes"])).startswith("arg:") else ""
    mxnet_params.write({f"{prefix}{n}": t for n, t in content.tensors.items()}, tmp_path / "again")
    with (tmp_path / "again").open("rb") as file:
        assert hashlib.file_digest(file, "sha1").hexdigest() == MXNET["files"][name]["sha1"]
    for path in tmp_path.iterdir():
        path.unlink()


@pytest.mark.parametrize("name", ["lenet_caffe", "kinds"])
def test_written_models_of_caffe_are_read_back_to_the_byte(tmp_path: Path, name: str) -> None:
    model, definition = parity.write_caffe(name, tmp_path)
    read, tensors = caffe.graph(definition), caffe.read(model, data=True)
    again = tmp_path / "again.caffemodel"
    caffe_write.write_model(read.nodes, tensors, again, name=read.name)
    first = again.read_bytes()
    assert caffe.graph(again).nodes == read.nodes
    copies = caffe.read(again, data=True)
    assert copies.keys() == tensors.keys() and all(torch.equal(copies[n], tensors[n]) for n in tensors)
    caffe_write.write_model(caffe.graph(again).nodes, copies, again, name=read.name)
    assert again.read_bytes() == first


def test_weights_are_the_same_on_every_machine() -> None:
    bias, matrix = old_files.weights([(5,), (2, 3)], last_gain=0.5)
    assert np.rint(bias / 0.1 * 2**15).tolist() == [-10085, 2276, -17820, 756, -14926]
    assert matrix.shape == (2, 3) and np.abs(matrix).max() < 0.5 * (6 / 3) ** 0.5
