"""Fine-tuning: a net begins with weights it has learned elsewhere, and what is told of that is what happens."""

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

pytestmark = pytest.mark.usefixtures("undrawn")

BASE = "lenet_caffe"
CONVOLUTIONS = ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias")
HEAD = ("ip2.weight", "ip2.bias")
ADAPT = {"recipe": "fast", "epochs": 3, "batch_size": 16, "image_size": 28, "lr": 0.001, "quiet": True}


@pytest.fixture(scope="module")
def base(undrawn: None, blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ten classes of gray images that has learned them."""
    run = cn.train(
        BASE, data=str(blobs), recipe="fast", epochs=3, batch_size=16, quiet=True, runs=tmp_path_factory.mktemp("base")
    )
    assert run.result["test_accuracy"] > 0.9
    return run.path


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of gray images of three classes."""
    return make_image_folder(
        tmp_path_factory.mktemp("grey") / "signs", per_class=30, test_per_class=10, side=28, color=False, seed=5
    )


def last(run: cn.Run | Path | str) -> dict[str, torch.Tensor]:
    """The weights at the end of a run, by their names in the net."""
    path = run.path if isinstance(run, cn.Run) else Path(run)
    return {k.removeprefix("net/"): v for k, v in load_file(path / "last.safetensors").items() if k.startswith("net/")}


def told(text: str, what: str) -> set[str]:
    """The tensors of the line that is headed `what`."""
    (line,) = re.findall(rf"{re.escape(what)}: (.*)", text)
    return set(line.split(", "))


def test_a_run_goes_on_with_other_classes(base: Path, gray: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = cn.train(BASE, data=str(gray), weights=base, freeze="conv*", **{**ADAPT, "quiet": False})
    err = capsys.readouterr().err
    assert told(err, f"{base.resolve()}/best.safetensors: loaded") == {*CONVOLUTIONS, "ip1.weight", "ip1.bias"}
    assert told(err, "left in the file") == told(err, "new, to be trained") == set(HEAD)
    before = cn.Run(base).net.state_dict()
    after = last(run)
    assert all(torch.equal(before[name], after[name]) for name in CONVOLUTIONS)
    assert not torch.equal(before["ip1.weight"], after["ip1.weight"])
    assert after["ip2.weight"].shape == (3, 500)
    assert run.result["test_accuracy"] > 0.9
    assert run.facts["weights"] == str(base.resolve() / "best.safetensors")
    assert run.facts["recipe"]["freeze"] == ["conv*"]


def test_what_was_learned_before_helps(base: Path, blobs: Path) -> None:
    """One short pass over few images of the same classes, from there and from the first weights."""
    few = {**ADAPT, "epochs": 1, "limit": 32, "image_size": None}
    after, afresh = (cn.train(BASE, data=str(blobs), weights=w, **few).result["test_accuracy"] for w in (base, None))
    assert after > 0.9 and after - afresh > 0.1  # with seeds 0 to 4 it is 1.0 against 0.50 to 0.80


def test_without_a_change_of_classes_every_tensor_is_taken(
    base: Path, blobs: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "take_step", lambda *_: pytest.fail("enough"))
    with pytest.raises(pytest.fail.Exception):
        cli("train", BASE, "--recipe", "fast", "--data", blobs, "--weights", base)
    facts = json.loads(Path(f"runs/{BASE}-blobs-1/run.json").read_text())
    assert facts["weights"].endswith("best.safetensors") and facts["as_published"] is False


def test_color_weights_in_a_run_on_gray_images(gray: Path, folder: Path, tmp_path: Path, cli: CommandLine) -> None:
    color = cn.train(BASE, data=str(folder), **ADAPT)
    assert color.net.conv1.weight.shape == (20, 3, 5, 5)
    setting = ["--set", "epochs=1", "image_size=28", "freeze=conv*"]
    code, _, err = cli("train", BASE, "--recipe", "fast", "--data", gray, "--weights", color.path, *setting)
    assert code == 0, err
    assert "color folded into one channel: conv1.weight" in err and "new, to be trained: nothing" in err
    found = last("runs/lenet_caffe-signs-1")
    assert torch.equal(found["conv1.weight"], color.net.conv1.weight.detach().sum(dim=1, keepdim=True))
    assert torch.equal(found["conv2.weight"], color.net.conv2.weight)


def test_a_stranger_s_weights(gray: Path, tmp_path: Path, cli: CommandLine) -> None:
    """As torch.save(model.state_dict()) leaves them, after nn.DataParallel and with an optimizer beside them."""
    torch.manual_seed(3)
    theirs = NETS[BASE].load()(20)
    state = {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}
    torch.save({"epoch": 90, "state_dict": state, "optimizer": {"lr": 0.1}}, "theirs.pth")
    command = ["train", BASE, "--recipe", "fast", "--data", gray, "--weights", "theirs.pth"]
    code, _, err = cli(*command, "--set", "epochs=1", "image_size=28", "freeze=conv*,ip1")
    assert code == 0, err
    assert "new, to be trained: ip2.weight, ip2.bias" in err and "left in the file: module.ip2.weight" in err
    found = last("runs/lenet_caffe-signs-1")
    assert all(torch.equal(found[name], theirs.state_dict()[name]) for name in (*CONVOLUTIONS, "ip1.weight"))


def test_a_module_of_one_s_own_takes_weights_too(base: Path, blobs: Path) -> None:
    net = NETS[BASE].load()()
    run = cn.train(net, data=str(blobs), weights=base / "best.safetensors", freeze="conv*", epochs=1, quiet=True)
    assert run.net is net and torch.equal(net.conv1.weight, cn.Run(base).net.conv1.weight)


@pytest.mark.parametrize("given", ["nowhere.safetensors", "runs/none", "text.pth", "empty"])
def test_no_weights_there(given: str, gray: Path, cli: CommandLine) -> None:
    Path("text.pth").write_text("no weights")
    Path("empty").mkdir()
    code, _, err = cli("train", BASE, "--recipe", "fast", "--data", gray, "--weights", given, "--set", "image_size=28")
    kind = {"empty": (2, "CN207")}.get(given, (3, "CN305"))
    assert (code, f"error[{kind[1]}]" in err) == (kind[0], True), err
    assert given in err


def test_weights_that_do_not_fit_are_listed(base: Path, blobs: Path, tmp_path: Path, cli: CommandLine) -> None:
    code, _, err = cli("train", "lenet_d2l", "--data", blobs, "--weights", base, "--set", "epochs=1")
    assert code == 3 and "error[CN306]: these weights do not fit the net" in err
    assert "conv1.weight is 6x1x5x5 in the net and 20x1x5x5 in the file" in err
    assert "fc3.bias is 10 in the net and not in the file" in err or "more" in err
    assert f"hint:  classicnets weights identify {base.resolve()}/best.safetensors" in err.replace("\n", "")
    assert not list(Path().glob("runs/*")), "a run that never began"


def kill(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Has the process end before step `after` + 1, as if it was killed."""
    step, taken = loop.take_step, []

    def die(*arguments: Any) -> None:
        if len(taken) == after:
            raise SystemError("killed")
        taken.append(step(*arguments))

    monkeypatch.setattr(loop, "take_step", die)


@pytest.mark.parametrize("after", [3, 8], ids=["before the first save", "after it"])
def test_a_killed_run_goes_on_from_the_same_weights(
    base: Path, gray: Path, monkeypatch: pytest.MonkeyPatch, cli: CommandLine, after: int, tmp_path: Path
) -> None:
    theirs = tmp_path / "base.safetensors"
    save_file(load_file(base / "best.safetensors"), theirs)
    tune = {**ADAPT, "epochs": 2, "data": str(gray), "weights": theirs, "validation": 0, "monitor": "none"}
    whole = cn.train(BASE, **tune)  # six steps an epoch
    with monkeypatch.context() as patch, pytest.raises(SystemError):
        kill(patch, after)
        cn.train(BASE, **tune)
    assert Path("runs/lenet_caffe-signs-2/last.safetensors").exists() == (after == 8)
    if after == 8:
        theirs.unlink()  # what was saved is enough
    code, _, err = cli("train", "--resume", "runs/lenet_caffe-signs-2")
    assert code == 0, err
    assert ("loaded: conv1.weight" in err) == (after == 3)
    a, b = last(whole), last("runs/lenet_caffe-signs-2")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_resume_takes_no_weights(base: Path, cli: CommandLine) -> None:
    code, _, err = cli("train", "--resume", base, "--weights", base)
    assert code == 2 and "error[CN208]" in err and "--weights" in err


def test_a_recipe_s_first_weights_do_not_write_over_those_of_the_file(
    base: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch, cli: CommandLine
) -> None:
    """lenet_caffe's own recipe sets every layer; the file comes after it."""
    run = cn.train(BASE, data=str(blobs), weights=base, freeze="conv*", epochs=1, limit=64, quiet=True)
    assert run.facts["recipe"]["initialise"] == "caffe_xavier"
    before = cn.Run(base).net.state_dict()
    assert all(torch.equal(before[name], last(run)[name]) for name in CONVOLUTIONS)
    assert isinstance(run.net, nn.Module) and run.result["verdict"].startswith("no verdict")
