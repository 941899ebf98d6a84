"""Runs of networks from graph files: everything that a run can do, without the file and without --trust."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import classicnets as cn
from classicnets import checksum
from classicnets.errors import ClassicnetsError, DataError, UsageError
from classicnets.models.graph import Graph, GraphNet
from classicnets.runs import graph_file, net_spec
from classicnets.runs.folder import RunFolder, find_net
from classicnets.runs.net_spec import NetSpec
from classicnets.spec import Output, run_spec
from classicnets.studies import definition as definitions
from classicnets.studies.arms import resolve
from classicnets.training.plan import Plan, plan
from classicnets.training.session import Session
from support.command_line import CommandLine
from support.graphs import chain, of_caffe, two_paths
from support.mutations import mutant_count, mutants

SETTINGS: dict[str, Any] = {"epochs": 1, "batch_size": 50, "validation": 0.1, "monitor": "validation"}


def written(path: Path, graph: Graph) -> Path:
    graph_file.write(path, graph)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("graphs") / "paths.graph.json", two_paths())


@pytest.fixture(scope="module")
def run(file: Path, blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, whose graph file does not exist any more."""
    folder = tmp_path_factory.mktemp("trained")
    gone = folder / "gone.graph.json"
    shutil.copy(file, gone)
    path: Path = cn.train(str(gone), data=str(blobs), runs=folder / "runs", quiet=True, device="cpu", **SETTINGS).path
    gone.unlink()
    return path


# --- the whole way ---------------------------------------------------------------------------------------------------


def test_a_run_has_its_graph_in_run_json(run: Path) -> None:
    assert run.name == "Two_.._paths-blobs-1"  # the name of the network is no path
    facts = RunFolder(run).read()
    assert facts["net"]["kind"] == "graph" and facts["net"]["name"] == "Two/../paths"
    spec = RunFolder(run).described_net()
    assert spec.read_graph() == two_paths() and spec.display_name == "Two/../paths"
    assert NetSpec(**json.loads(json.dumps(spec.to_dict()))) == spec


def test_load_predicts_and_evaluates_without_the_file(run: Path, tmp_path: Path, cli: CommandLine) -> None:
    loaded = cn.load(run, device="cpu")
    assert isinstance(loaded, cn.Run) and isinstance(loaded.net, GraphNet) and loaded.name == "Two/../paths"
    assert loaded.result is not None and loaded.evaluate().accuracy == loaded.result["test_accuracy"]
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)).save(tmp_path / "image.png")
    code, out, _error = cli("predict", run, tmp_path / "image.png", "--json")
    assert code == 0 and len(json.loads(out)) >= 1
    assert cli("evaluate", run)[0] == 0
    code, out, _error = cli("show", run)
    assert code == 0 and out.startswith("Two/../paths for 1x28x28 images") and "left/1x1" in out
    new = find_net(str(run)).build()  # with new weights, for `train RUN`
    assert isinstance(new, GraphNet)


def test_resumed_run_equals_an_uninterrupted_one(file: Path, blobs: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    weights = []
    for name in ("whole", "stopped"):
        copied = tmp_path / f"{name}.graph.json"
        shutil.copy(file, copied)
        values = {**SETTINGS, "epochs": 2}
        planned = plan(*run_spec(str(copied), data=str(blobs), settings=values, device="cpu", threads=1))
        session = Session.start(planned, lambda _: None, Output(runs=str(tmp_path / name)))
        if name == "stopped":
            for event in session.events():
                if type(event).__name__ == "Epoch":
                    break
            session.lock.release()
            copied.unlink()
            session = Session.resume(session.folder.path, lambda _: None)
        for _event in session.events():
            pass
        session.finish()
        weights.append(load_file(session.folder.last))
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(tensor, weights[1][key]) for key, tensor in weights[0].items() if key.startswith("net/"))


def test_exported_files_give_equal_outputs(run: Path, tmp_path: Path, quick_export: None) -> None:
    loaded = cn.load(run, device="cpu")
    assert isinstance(loaded, cn.Run)
    images = np.random.default_rng(0).integers(0, 256, (8, 1, 28, 28), np.uint8)
    expected = loaded.predictor.probabilities(images)
    loaded.export(tmp_path / "net.onnx")
    actual = cn.load(tmp_path / "net.onnx").predictor.probabilities(images)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)
    assert len({row.tobytes() for row in actual}) == len(images)
    loaded.export(tmp_path / "int8.onnx", int8=True, max_loss=100.0)
    assert np.abs(cn.load(tmp_path / "int8.onnx").predictor.probabilities(images) - expected).max() < 0.1


def test_a_chain_of_layers_is_changed_like_any_other_network(blobs: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "lenet.json", of_caffe("lenet_caffe", 28))
    values = {**SETTINGS, "limit": 100}
    variation = {"activation": "tanh", "pool": "average", "dropout": 0.5, "width": 0.5}
    run = cn.train(str(path), data=str(blobs), runs=tmp_path, quiet=True, device="cpu", variation=variation, **values)
    assert run.path.name == "lenet_caffe-tanh-average-dropout_0.5-width_0.5-blobs-1"
    kinds = [type(module) for module in run.net.children()]
    assert kinds.count(nn.Tanh) == 1 and kinds.count(nn.AvgPool2d) == 2 and kinds.count(nn.Dropout) == 1


def test_create_takes_a_graph_file(file: Path) -> None:
    net = cn.create(str(file), variation={"activation": "tanh"})
    assert net(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    assert cn.create(str(file), in_channels=1, image_size=28)(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    with pytest.raises(UsageError, match="was built for 1x28x28 images and got 1x20x20") as caught:
        net(torch.rand(2, 1, 20, 20))
    assert caught.value.code == "CN201" and not any("create" in hint for hint in caught.value.hints)
    wrong: list[dict[str, Any]] = [{"num_classes": 10}, {"in_channels": 3}, {"image_size": 32}]
    for numbers in wrong:
        with pytest.raises(UsageError, match="the input and the classes of a graph are those of its file") as caught:
            cn.create(str(file), **numbers)
        assert caught.value.code == "CN206"


def test_show_explains_draws_and_compares_graph_files(file: Path, tmp_path: Path, cli: CommandLine) -> None:
    lenet = written(tmp_path / "lenet.graph.json", of_caffe("lenet_caffe", 28))
    assert cli("show", lenet, "lenet_caffe")[1].rstrip().endswith("no difference: all 8 layers are equal")
    assert "multiplies each channel by a trained factor" in cli("show", file, "scale", "--why")[1]
    assert cli("show", file, "--svg", tmp_path / "net.svg")[0] == 0
    assert "<svg" in (tmp_path / "net.svg").read_text()


def test_the_name_of_a_graph_is_not_that_of_the_registry(tmp_path: Path) -> None:
    """A graph that is called like a network of the registry gets no recipe of that network."""
    path = written(tmp_path / "other.json", replace(two_paths(), name="lenet_d2l"))
    spec = net_spec.find(str(path))
    assert (spec.display_name, spec.spec, spec.argument) == ("lenet_d2l", "other.json", str(path))
    without_file = net_spec.from_graph(spec.read_graph())
    assert (without_file.spec, without_file.argument) == ("lenet_d2l.graph.json", "lenet_d2l.graph.json")
    assert (spec.own_size, spec.label) == (28, "lenet_d2l")
    assert net_spec.from_graph(replace(two_paths(), input=(1, 20, 28))).own_size is None
    for name, label in {"../..": "graph", "a/b": "a_b", "-x": "x", "网络": "网络"}.items():
        assert graph_file.label(name) == label


def test_a_study_finds_graph_files_beside_it(file: Path, blobs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    shutil.copy(file, folder / "net.graph.json")
    text = f"""
    name = "pools"
    question = "Which pooling?"
    seeds = 2
    [base]
    net = "net.graph.json"
    data = "{blobs}"
    settings = {{ epochs = 1 }}
    [arms.average]
    [arms.max]
    net.pool = "max"
    """
    (folder / "study.toml").write_text(text)
    arms = resolve(definitions.read(folder / "study.toml"))
    paths = {name: arm.plan.net_spec.path for name, arm in arms.items() if isinstance(arm.plan, Plan)}
    assert paths == dict.fromkeys(("average", "max"), str(folder / "net.graph.json"))


# --- what does not fit -----------------------------------------------------------------------------------------------


def test_other_numbers_of_classes_and_sizes_are_refused(blobs: Path, tmp_path: Path, cli: CommandLine) -> None:
    seven = written(tmp_path / "seven.graph.json", two_paths(classes=7))
    code, _out, error = cli("train", seven, "--data", blobs, "--dry-run")
    assert code == 3 and "the output of seven.graph.json has shape 7, and blobs has 10 classes" in error
    assert 'in the file of the graph, at fc2: "out": 10' in error
    layers: list[tuple[str, str, dict[str, Any]]]
    layers = [("conv", "conv", {"out": 10, "kernel": [3, 3]}), ("pool", "pool", {"mode": "average", "whole": True})]
    whole = written(tmp_path / "whole.graph.json", chain("whole", (1, 28, 28), *layers))
    code, _out, error = cli("train", whole, "--data", blobs, "--dry-run")
    assert code == 3 and "has shape 10x1x1" in error and "end it with a node of the kind flatten" in error
    large = written(tmp_path / "large.graph.json", two_paths(size=60))
    code, _out, error = cli("train", large, "--data", blobs, "--set", "image_size=28", "--dry-run")
    assert code == 2 and "CN201" in error and "fc1 gets 8 x 8 x 8 = 512 numbers and has weights for 2048" in error


def test_images_get_the_size_of_the_graph(blobs: Path, tmp_path: Path) -> None:
    large = written(tmp_path / "large.graph.json", two_paths(size=60))
    planned = plan(*run_spec(str(large), data=str(blobs), settings=SETTINGS, device="cpu"))
    assert planned.preprocess.shape == (1, 60, 60) and planned.table.input_shape == (1, 60, 60)
    assert (planned.recipe.image_size, planned.setting_sources["image_size"]) == (60, "network")


def test_a_softmax_at_the_end_is_reported(blobs: Path, tmp_path: Path, cli: CommandLine) -> None:
    layers: list[tuple[str, str, dict[str, Any]]]
    layers = [("fc", "dense", {"out": 10}), ("prob", "softmax", {})]
    path = written(tmp_path / "net.graph.json", chain("net", (1, 28, 28), *layers))
    code, out, error = cli("train", path, "--data", blobs, "--dry-run")
    assert code == 0 and "ends with softmax" in out + error
    broken = written(tmp_path / "log.graph.json", chain("net", (1, 28, 28), layers[0], ("log", "logarithm", {})))
    code, out, error = cli("train", broken, "--data", blobs, "--dry-run")
    assert code == 2 and "CN209" in error  # the logits are not finite


def content(**changes: Any) -> bytes:
    values = {"format": graph_file.FORMAT, "version": 1, **two_paths().to_json(), **changes}
    return json.dumps({key: value for key, value in values.items() if value is not None}).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is not JSON"),
        (b"[]", "the document is"),
        (b"\xff", "it is not UTF-8"),
        (b"{" * 1000, "it is not JSON"),
        (b'{"name": "a", "name": "b"}', 'the key "name" occurs twice'),
        (b" " * (16 * 2**20 + 1), "it has more than 16 MiB"),
        (content(format="onnx"), 'format is "onnx"; allowed is one of "classicnets graph"'),
        (content(version=2), "version is 2; allowed is one of 1"),
        (content(name=""), "name is"),
        (content(name=None), "name is missing"),
        (content(name="a\nb"), "characters that cannot be printed"),
        (content(input=[1, 28]), "input is"),
        (content(nodes=[]), "nodes is"),
        (content(code="import os"), "code is not known"),
        (content(nodes=[{"name": "a", "kind": "relu", "inputs": ["data"]}]), r"nodes[0].settings is missing"),
        (
            content(nodes=[{"name": "a", "kind": "eval", "inputs": ["data"], "settings": {}}]),
            "node 'a' (eval): there is",
        ),
        (content(input=[2, 1, 0]), "input[2] is 0"),
        (
            content(nodes=[{}] * 10_000),
            "nodes[1].name is missing; allowed is text of 0 to 200 characters\nand many more",
        ),
    ],
)
def test_invalid_files_are_refused_with_the_reason(data: bytes, reason: str, tmp_path: Path, cli: CommandLine) -> None:
    path = tmp_path / "net.graph.json"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        net_spec.find(str(path))
    assert caught.value.code == "CN205" and caught.value.where == str(path) and reason in caught.value.why
    code, _out, error = cli("show", path)
    assert code == 2 and "CN205" in error and "Traceback" not in error


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    for name in ("missing.json", "folder.json"):
        with pytest.raises(UsageError, match="cannot be read") as caught:
            net_spec.find(str(tmp_path / name))
        assert caught.value.code == "CN205"


# --- damage ----------------------------------------------------------------------------------------------------------


def is_refused_or_equal(read: Callable[[], Graph], content: bytes, intact: Graph) -> bool:
    """Whether a damaged file is refused; otherwise it is a network that can be built."""
    try:
        graph = read()
    except ClassicnetsError as error:
        assert error.code in {"CN205", "CN207"}
        return True
    if graph != intact:  # a name, or a number that is as valid as the one before
        with torch.device("meta"):
            graph.build()
    return False


def test_damaged_files_are_refused_or_networks(tmp_path: Path) -> None:
    path, graph = tmp_path / "net.graph.json", two_paths()
    graph_file.write(path, graph)
    intact = path.read_bytes()
    cuts = [intact[:end] for end in range(0, len(intact) - 2, 7)]
    for cut in cuts:
        path.write_bytes(cut)
        assert is_refused_or_equal(lambda: graph_file.read(path), cut, graph)
    refused = 0
    count = max(300, mutant_count())
    for mutant in mutants(intact, count, seed=0):
        path.write_bytes(mutant)
        refused += is_refused_or_equal(lambda: graph_file.read(path), mutant, graph)
    assert count // 2 < refused <= count


def test_a_changed_graph_in_a_run_is_refused(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    folder = RunFolder(copy)
    facts = folder.read()

    def changed(change: Callable[[dict[str, Any]], object]) -> None:
        values = json.loads(json.dumps(facts))
        change(values["net"])
        values.pop(checksum.KEY, None)
        folder.write(values)

    for change, reason in (
        (lambda net: net.pop("graph"), "net.graph belongs to a network of the kind graph"),
        (lambda net: net.update(kind="registry"), "net.graph belongs to a network of the kind graph"),
        (lambda net: net["graph"]["nodes"].pop(1), "net.graph is not a network: node 'forward' (concat): it reads"),
        (lambda net: net["graph"].update(code=""), "net.graph.code is not known"),
        (
            lambda net: net["graph"]["nodes"][0]["settings"].update(out=2**31),
            "net.graph is not a network: node 'conv1' (conv)",
        ),
    ):
        changed(change)
        with pytest.raises(UsageError) as caught:
            cn.load(copy)
        assert caught.value.code == "CN207" and reason in caught.value.why
    changed(lambda net: net["graph"]["nodes"][-1]["settings"].update(bias=False))  # valid, but not that of the weights
    with pytest.raises(DataError) as contradiction:
        cn.load(copy)
    assert contradiction.value.code == "CN306" and "net" in str(contradiction.value)
    changed(lambda net: net.update(path="/elsewhere/x.json"))  # a path is no part of the network
    assert isinstance(cn.load(copy), cn.Run)
