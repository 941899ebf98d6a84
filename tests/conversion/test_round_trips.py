"""A run, written for another library and converted back, is the same network with the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import classicnets as cn
from classicnets.api import weights
from classicnets.errors import UsageError
from support.command_line import CommandLine
from support.images import make_image_folder
from support.old_weights import make_files


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network of the registry for color images."""
    root = tmp_path_factory.mktemp("round")
    data = make_image_folder(root / "data", per_class=6, test_per_class=2, size=32)
    settings = {"epochs": 1, "image_size": 28, "fit": "stretch"}
    trained = cn.train("lenet_caffe", data=str(data), recipe="fast", quiet=True, runs=str(root), **settings)
    return Path(trained.path)


def same_weights(left: Path, right: Path) -> bool:
    (a, b) = (cn.Run(path, device="cpu").net.state_dict() for path in (left, right))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# target, the file to convert, its options
WAYS = [
    ("caffe", "net.caffemodel", ("--graph", "net.prototxt")),
    ("mxnet", "net-0000.params", ()),  # the graph lies beside it
    ("mxnet", "net-0000.params", ("--graph", "net-symbol.json")),
    ("gluon", "net.params", ("--net", "lenet_caffe")),
]


@pytest.mark.parametrize(("target", "file", "options"), WAYS)
def test_a_run_survives_the_file_of_another_library(
    run: Path,
    tmp_path: Path,
    cli: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    file: str,
    options: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("weights", "convert", run, "--to", target, "-o", "net")
    assert code == 0 and f"written  {file}" in out and "neither the preprocessing" in out, err
    code, out, err = cli("weights", "convert", file, "-o", "back", *options)
    assert code == 0 and "network  lenet_caffe of `classicnets list`" in out, err
    assert ("from BGR to RGB" in out) == (target == "caffe")
    assert same_weights(run, Path("back"))


def test_the_state_dict_of_torch_becomes_a_run(run: Path, tmp_path: Path, cli: CommandLine) -> None:
    state = {f"module.{name}": tensor.half() for name, tensor in cn.Run(run).net.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "net.pth.tar")
    code, out, err = cli("weights", "convert", tmp_path / "net.pth.tar", "-o", tmp_path / "back")
    assert code == 0 and "network  lenet_caffe of `classicnets list`" in out, err
    loaded = cn.Run(tmp_path / "back").net.state_dict()
    for name, tensor in cn.Run(run).net.state_dict().items():
        assert torch.equal(loaded[name], tensor.half().float())


def test_weights_that_fit_several_networks_need_a_name(run: Path, tmp_path: Path, cli: CommandLine) -> None:
    net = cn.create("lenet_d2l")
    torch.save(
        {name.replace("conv", "a").replace("fc", "b"): t for name, t in net.state_dict().items()}, tmp_path / "x"
    )
    code, _out, err = cli("weights", "convert", tmp_path / "x", "-o", tmp_path / "back")
    assert code == 2 and "error[CN206]: the tensors fit" in err and "--net lenet_d2l" in err
    code, out, err = cli("weights", "convert", tmp_path / "x", "-o", tmp_path / "back", "--net", "lenet_d2l")
    assert code == 0 and "network  lenet_d2l" in out, err
    code, _out, err = cli("weights", "convert", tmp_path / "x", "-o", tmp_path / "c", "--net", "alexnet_28")
    assert code == 2 and "the tensors do not fit alexnet_28" in err


def test_weights_of_no_known_network_need_a_graph(tmp_path: Path, cli: CommandLine) -> None:
    torch.save({"a.weight": torch.zeros(3, 4)}, tmp_path / "x.pth")
    code, _out, err = cli("weights", "convert", tmp_path / "x.pth", "-o", tmp_path / "back")
    assert code == 3 and "belong to no network" in err and "--graph" in err


def test_a_converted_graph_goes_back_to_caffe(tmp_path: Path, cli: CommandLine) -> None:
    files = make_files(tmp_path / "files")
    code, _out, err = cli("weights", "convert", files.model, "--graph", files.definition, "-o", tmp_path / "run")
    assert code == 0, err
    code, _out, err = cli("weights", "convert", tmp_path / "run", "--to", "caffe", "-o", tmp_path / "net")
    assert code == 0, err
    again = ("weights", "convert", tmp_path / "net.caffemodel", "--graph", tmp_path / "net.prototxt")
    code, _out, err = cli(*again, "-o", tmp_path / "again")
    assert code == 0 and same_weights(tmp_path / "run", tmp_path / "again"), err


def test_a_mean_image_has_no_place_in_other_libraries(tmp_path: Path) -> None:
    files = make_files(tmp_path / "files")
    weights.convert(files.model, tmp_path / "run", graph=str(files.definition), mean=str(files.mean_file))
    with pytest.raises(UsageError, match="mean_image"):
        weights.write_for(tmp_path / "run", "caffe", tmp_path / "net")


def test_a_run_of_ours_is_changed_as_other_weights_are(run: Path, tmp_path: Path, cli: CommandLine) -> None:
    code, out, err = cli("weights", "convert", run, "-o", tmp_path / "same.safetensors")
    assert code == 0 and "network  lenet_caffe" in out and "note" not in out, err
    assert same_weights(run, tmp_path / "same.safetensors")
    before, after = cn.Run(run), cn.Run(tmp_path / "same.safetensors")
    assert after.classes == before.classes == ("bird", "cat", "dog")
    assert after.predictor.preprocess == before.predictor.preprocess
    code, out, err = cli("weights", "convert", tmp_path / "same.safetensors", "-o", tmp_path / "gray", "--gray")
    assert code == 0 and "summed over the colors for gray images" in out, err
    assert cn.Run(tmp_path / "gray").predictor.preprocess.channels == 1
