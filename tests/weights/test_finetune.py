"""Fine-tuning: training starts from weights of another run or file, and the report says which were loaded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import classicnets as cn
from classicnets.models.registry import NETS
from classicnets.training import loop
from support.command_line import CommandLine
from support.images import make_image_folder
from support.typed import layer_of, present

BASE = "lenet_caffe"
CONVOLUTIONS = ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias")
HEAD = ("ip2.weight", "ip2.bias")
ADAPT = {"recipe": "fast", "epochs": 3, "batch_size": 16, "image_size": 28, "lr": 0.001, "quiet": True}


@pytest.fixture(scope="module")
def base(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run on ten classes of grayscale images."""
    run = cn.train(
        BASE, data=str(blobs), recipe="fast", epochs=3, batch_size=16, quiet=True, runs=tmp_path_factory.mktemp("base")
    )
    assert present(run.result)["test_accuracy"] > 0.9
    path: Path = run.path
    return path


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of grayscale images in three classes."""
    return make_image_folder(
        tmp_path_factory.mktemp("gray") / "signs", per_class=30, test_per_class=10, size=28, color=False, seed=5
    )


def last(run: cn.Run | Path | str) -> dict[str, torch.Tensor]:
    """The weights at the end of a run, by their names in the net."""
    path = run.path if isinstance(run, cn.Run) else Path(run)
    return {k.removeprefix("net/"): v for k, v in load_file(path / "last.safetensors").items() if k.startswith("net/")}


def reported(text: str, heading: str) -> set[str]:
    """The tensors that the report lists after `heading`."""
    (line,) = re.findall(rf"{re.escape(heading)}: (.*)", text)
    return set(line.split(", "))


def test_fine_tunes_a_run_on_other_classes(base: Path, gray: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = cn.train(BASE, data=str(gray), weights=base, freeze="conv*", **{**ADAPT, "quiet": False})
    err = capsys.readouterr().err
    assert reported(err, f"{base.resolve()}/best.safetensors: loaded") == {*CONVOLUTIONS, "ip1.weight", "ip1.bias"}
    assert reported(err, "in the file, but not used") == reported(err, "newly initialized, to be trained") == set(HEAD)
    before = cn.Run(base).net.state_dict()
    after = last(run)
    assert all(torch.equal(before[name], after[name]) for name in CONVOLUTIONS)
    assert not torch.equal(before["ip1.weight"], after["ip1.weight"])
    assert after["ip2.weight"].shape == (3, 500)
    assert present(run.result)["test_accuracy"] > 0.9
    assert run.facts["weights"] == str(base.resolve() / "best.safetensors")
    assert run.facts["recipe"]["freeze"] == ["conv*"]


def test_loaded_weights_learn_faster_than_initial_weights(base: Path, blobs: Path) -> None:
    """One short epoch on few images of the same classes, with and without the weights of the base run."""
    settings = {**ADAPT, "epochs": 1, "limit": 32, "image_size": None}
    runs = (cn.train(BASE, data=str(blobs), weights=weights, **settings) for weights in (base, None))
    tuned, untuned = (present(run.result)["test_accuracy"] for run in runs)
    assert tuned > 0.9 and tuned - untuned > 0.1  # with seeds 0 to 4 it is 1.0 against 0.50 to 0.80


def test_records_the_weights_file_before_training(
    base: Path, blobs: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "take_step", lambda *_: pytest.fail("stop before the first step"))
    with pytest.raises(pytest.fail.Exception):
        cli("train", BASE, "--recipe", "fast", "--data", blobs, "--weights", base)
    facts = json.loads(Path(f"runs/{BASE}-blobs-1/run.json").read_text())
    assert facts["weights"].endswith("best.safetensors") and facts["as_published"] is False


def test_converts_color_weights_for_grayscale_images(
    gray: Path, folder: Path, tmp_path: Path, cli: CommandLine
) -> None:
    color = cn.train(BASE, data=str(folder), **ADAPT)
    assert color.net.get_parameter("conv1.weight").shape == (20, 3, 5, 5)
    setting = ["--set", "epochs=1", "image_size=28", "freeze=conv*"]
    code, _, err = cli("train", BASE, "--recipe", "fast", "--data", gray, "--weights", color.path, *setting)
    assert code == 0, err
    assert "converted from color to grayscale: conv1.weight" in err and "newly initialized, to be trained: none" in err
    weights = last("runs/lenet_caffe-signs-1")
    assert torch.equal(
        weights["conv1.weight"], color.net.get_parameter("conv1.weight").detach().sum(dim=1, keepdim=True)
    )
    assert torch.equal(weights["conv2.weight"], color.net.get_parameter("conv2.weight"))


def test_loads_a_checkpoint_of_another_program(gray: Path, tmp_path: Path, cli: CommandLine) -> None:
    """A checkpoint of torch.save with the prefix of nn.DataParallel and the state of an optimizer."""
    torch.manual_seed(3)
    other = NETS[BASE].load()(20)
    state = {f"module.{name}": tensor for name, tensor in other.state_dict().items()}
    torch.save({"epoch": 90, "state_dict": state, "optimizer": {"lr": 0.1}}, "other.pth")
    command = ["train", BASE, "--recipe", "fast", "--data", gray, "--weights", "other.pth"]
    code, _, err = cli(*command, "--set", "epochs=1", "image_size=28", "freeze=conv*,ip1")
    assert code == 0, err
    assert "newly initialized, to be trained: ip2.weight, ip2.bias" in err
    assert "in the file, but not used: module.ip2.weight" in err
    weights = last("runs/lenet_caffe-signs-1")
    assert all(torch.equal(weights[name], other.state_dict()[name]) for name in (*CONVOLUTIONS, "ip1.weight"))


def test_loads_weights_into_a_custom_module(base: Path, blobs: Path) -> None:
    net = NETS[BASE].load()()
    run = cn.train(net, data=str(blobs), weights=base / "best.safetensors", freeze="conv*", epochs=1, quiet=True)
    assert run.net is net
    assert torch.equal(*(layer_of(each, "conv1", nn.Conv2d).weight for each in (net, cn.Run(base).net)))


@pytest.mark.parametrize("path", ["nowhere.safetensors", "runs/none", "text.pth", "empty"])
def test_rejects_paths_without_weights(path: str, gray: Path, cli: CommandLine) -> None:
    Path("text.pth").write_text("no weights")
    Path("empty").mkdir()
    code, _, err = cli("train", BASE, "--recipe", "fast", "--data", gray, "--weights", path, "--set", "image_size=28")
    expected = {"empty": (2, "CN207")}.get(path, (3, "CN305"))
    assert (code, f"error[{expected[1]}]" in err) == (expected[0], True), err
    assert path in err


def test_lists_weights_that_do_not_fit(base: Path, blobs: Path, tmp_path: Path, cli: CommandLine) -> None:
    code, _, err = cli("train", "lenet_d2l", "--data", blobs, "--weights", base, "--set", "epochs=1")
    assert code == 3 and "error[CN306]: the weights do not fit the network" in err
    assert "conv1.weight is 6x1x5x5 in the network and 20x1x5x5 in the file" in err
    assert "fc3.bias is 10 in the network and not in the file" in err or "more" in err
    assert f"hint:  classicnets weights identify {base.resolve()}/best.safetensors" in err.replace("\n", "")
    assert not list(Path().glob("runs/*")), "the run folder was made too early"


def kill(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Ends training before step `after` + 1, as if the process were killed."""
    take_step = loop.take_step
    results: list[Any] = []

    def die(*arguments: Any) -> None:
        if len(results) == after:
            raise SystemError("killed")
        results.append(take_step(*arguments))

    monkeypatch.setattr(loop, "take_step", die)


@pytest.mark.parametrize("after", [3, 8], ids=["before the first checkpoint", "after it"])
def test_a_killed_run_resumes_with_the_same_weights(
    base: Path, gray: Path, monkeypatch: pytest.MonkeyPatch, cli: CommandLine, after: int, tmp_path: Path
) -> None:
    weights = tmp_path / "base.safetensors"
    save_file(load_file(base / "best.safetensors"), weights)
    tune = {**ADAPT, "epochs": 2, "data": str(gray), "weights": weights, "validation": 0, "monitor": "none"}
    uninterrupted = cn.train(BASE, **tune)  # six steps per epoch
    with monkeypatch.context() as patch, pytest.raises(SystemError):
        kill(patch, after)
        cn.train(BASE, **tune)
    assert Path("runs/lenet_caffe-signs-2/last.safetensors").exists() == (after == 8)
    if after == 8:
        weights.unlink()  # the checkpoint is enough
    code, _, err = cli("train", "--resume", "runs/lenet_caffe-signs-2")
    assert code == 0, err
    assert ("loaded: conv1.weight" in err) == (after == 3)
    a, b = last(uninterrupted), last("runs/lenet_caffe-signs-2")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_resume_rejects_weights(base: Path, cli: CommandLine) -> None:
    code, _, err = cli("train", "--resume", base, "--weights", base)
    assert code == 2 and "error[CN208]" in err and "--weights" in err


def test_loaded_weights_replace_the_initialization_of_the_recipe(
    base: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch, cli: CommandLine
) -> None:
    """The recipe of lenet_caffe initializes every layer; the file is loaded after that."""
    run = cn.train(BASE, data=str(blobs), weights=base, freeze="conv*", epochs=1, limit=64, quiet=True)
    assert run.facts["recipe"]["initialise"] == "caffe_xavier"
    before = cn.Run(base).net.state_dict()
    assert all(torch.equal(before[name], last(run)[name]) for name in CONVOLUTIONS)
    assert isinstance(run.net, nn.Module) and present(run.result)["verdict"].startswith("not compared")
