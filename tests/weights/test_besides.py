"""What a checkpoint holds besides the weights that are used is listed, and nothing of it is run."""

from __future__ import annotations

import argparse
import pickle
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import classicnets as cn
from classicnets.errors import DataError
from classicnets.weights.besides import besides
from classicnets.weights.files import read, without_wrappers
from classicnets.weights.load import load_weights
from support.mutations import mutant_count, mutants

ZIP = pytest.mark.parametrize("in_zip", [True, False], ids=["zip", "stream"])


def lenet() -> dict[str, Tensor]:
    return cn.create("lenet_d2l").state_dict()


def optimizer_state() -> dict[str, Any]:
    net = nn.Linear(2, 2)
    sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    net(torch.ones(1, 2)).sum().backward()
    sgd.step()
    return sgd.state_dict()


def saved(path: Path, values: Any, *, in_zip: bool = True) -> Path:
    with warnings.catch_warnings(action="ignore"):
        torch.save(values, path, _use_new_zipfile_serialization=in_zip)
    return path


@ZIP
def test_entries_of_a_training_program_are_listed(tmp_path: Path, in_zip: bool) -> None:
    """As in PyTorch's example for ImageNet, with a few more."""
    values = {
        "epoch": 90,
        "arch": "alexnet",
        "state_dict": {f"module.{name}": tensor for name, tensor in lenet().items()},
        "best_acc1": torch.tensor(56.5),
        "optimizer": optimizer_state(),
        "scheduler": {"step_size": 30, "last_epoch": 90},
        "metric": np.float64(0.125),
        "args": argparse.Namespace(lr=0.1, data="images"),
        "history": [1.0, 2.0],
        "nothing": None,
        "empty": {},
    }
    assert besides(saved(tmp_path / "model.pth.tar", values, in_zip=in_zip)) == (
        "epoch: 90",
        "arch: 'alexnet'",
        "best_acc1: 56.5",
        "optimizer: 2 tensors, lr 0.01",
        "scheduler: 2 entries (step_size 30, last_epoch 90)",
        "metric: 0.125",
        "args: an object of the class argparse.Namespace (lr 0.1, data images)",
        "history: a list of 2 values",
    )


def test_entries_on_the_way_to_nested_weights_and_beside_them_are_listed(tmp_path: Path) -> None:
    values = {"checkpoint": {"model": {**lenet(), "version": 2}, "step": 7}, "optimizers": [optimizer_state()]}
    assert besides(saved(tmp_path / "w", values)) == (
        "optimizers: 2 tensors, lr 0.01",
        "checkpoint.step: 7",
        "checkpoint.model.version: 2",
    )


@pytest.mark.parametrize("average", ["ema", "state_dict_ema", "swa_state", "model_averaged"])
@pytest.mark.parametrize("is_first", [True, False])
def test_averages_of_weights_are_not_used_and_it_is_said(tmp_path: Path, average: str, is_first: bool) -> None:
    state = lenet()
    shifted = {name: tensor + 1 for name, tensor in state.items()} | {"n_averaged": torch.tensor(3)}
    values = {average: shifted, "model": state} if is_first else {"model": state, average: shifted}
    path = saved(tmp_path / "w", values)
    assert besides(path) == ("weights used: 10 tensors in 'model'", f"a second set of 11 weights in {average!r}")
    tensors = read(path, data=True)[0]
    assert all(torch.equal(tensors[name], tensor) for name, tensor in state.items()) and len(tensors) == 10


def test_more_weights_are_used_before_fewer(tmp_path: Path) -> None:
    values = {"head": nn.Linear(2, 2).state_dict(), "ema": {"net": lenet()}, "b": {"x": nn.Linear(1, 1).state_dict()}}
    assert besides(saved(tmp_path / "w", values))[:3] == (
        "weights used: 10 tensors in 'ema.net'",
        "a second set of 2 weights in 'head'",
        "another set of 2 weights in 'b.x'",
    )


@ZIP
def test_a_module_that_was_saved_as_a_whole_is_named(tmp_path: Path, in_zip: bool) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    name = "torch.nn.modules.container.Sequential"
    path = saved(tmp_path / "w", net, in_zip=in_zip)
    assert besides(path) == (f"the file: a module of the class {name}",)
    assert besides(saved(tmp_path / "w", {"net": net, "loss": 0.5})) == (
        "loss: 0.5",
        f"net: a module of the class {name}",
    )


def test_many_entries_are_counted_and_long_ones_shortened(tmp_path: Path) -> None:
    values = {"model": lenet(), "text": "x" * 1000, "a\nb": 1, **{f"loss{i}": float(i) for i in range(20)}}
    lines = besides(saved(tmp_path / "w", values))
    assert len(lines) == 10 and lines[-1] == "and 13 more"
    assert len(lines[0]) < 60 and lines[0].endswith("...") and lines[1] == r"'a\nb': 1"


def test_a_list_that_many_entries_share_takes_no_longer(tmp_path: Path) -> None:
    shared: list[Any] = [[[]] * 10 for _number in range(20_000)]
    path = saved(tmp_path / "w", {"model": lenet(), **{f"a{i}": shared for i in range(5_000)}})
    started = time.process_time()
    assert besides(path)[-1] == "and 4,991 more"
    assert time.process_time() - started < 60  # it would take an hour


def test_safetensors_have_metadata(tmp_path: Path) -> None:
    save_file(lenet(), tmp_path / "w.safetensors", metadata={"format": "pt", "note": "y" * 99})
    lines = besides(tmp_path / "w.safetensors")
    assert {line.partition(":")[0] for line in lines} == {"format", "note"} and "format: pt" in lines
    assert max(map(len, lines)) < 60


def test_plain_files_and_other_formats_hold_nothing_else(tmp_path: Path) -> None:
    goldens = Path(__file__).parents[1] / "models" / "goldens"
    save_file(lenet(), tmp_path / "w.safetensors")
    for path in (
        saved(tmp_path / "w.pth", lenet()),
        tmp_path / "w.safetensors",
        goldens / "mxnet_files" / "gluon.params",
        goldens / "keras_files" / "lenet_3.keras",
        goldens / "keras_files" / "lenet_2.h5",
    ):
        assert besides(path) == ()


def test_a_run_has_its_own_description(tmp_path: Path, blobs: Path) -> None:
    run = cn.train("lenet_d2l", data=blobs, settings={"epochs": 1}, limit=64, runs=tmp_path, seed=1)
    assert besides(Path(run.path) / "last.safetensors") == ()


def test_files_that_cannot_be_read_are_errors(tmp_path: Path) -> None:
    for name, content in {"a": b"\x80\x04damaged", "b": b"PK\3\4", "c": b"\x09\0\0\0\0\0\0\0{"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            besides(tmp_path / name)
        assert caught.value.code == "CN305"
    with pytest.raises(DataError, match="cannot be opened"):
        besides(tmp_path / "missing")


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run",)


def test_nothing_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = besides(saved(tmp_path / "w", {"model": lenet(), "extra": Hostile(), "scalar": [Hostile()]}))
    assert lines[0].startswith("extra: an object of the class") and capsys.readouterr().out == ""


def test_damaged_files_are_refused_or_described(tmp_path: Path) -> None:
    state = nn.Linear(2, 1).state_dict()
    values = {"epoch": 1, "model": state, "acc": torch.tensor(0.5), "metric": np.float32(1), "adam": optimizer_state()}
    for in_zip in (True, False):
        content = saved(tmp_path / "w", values, in_zip=in_zip).read_bytes()
        results = set()
        for mutant in mutants(content, 2 * mutant_count(), seed=3):
            (tmp_path / "m").write_bytes(mutant)
            try:
                lines = besides(tmp_path / "m")
                assert len(lines) <= 10 and all(len(line) < 300 and line.isprintable() for line in lines)
                results.add(True)
            except DataError as error:
                assert error.code == "CN305"
                results.add(False)
        assert results == {True, False}


# ------------------------------------------------------------------------------------- names and numbers that differ


@pytest.mark.parametrize(
    ("names", "plain"),
    [
        (["a.weight", "b.c"], ["a.weight", "b.c"]),
        (["module.a", "module.b"], ["a", "b"]),
        (["module._orig_mod.a.x", "module._orig_mod.b"], ["a.x", "b"]),
        (["features.module.0.weight", "classifier.1.weight"], ["features.0.weight", "classifier.1.weight"]),
        (["model._orig_mod.a", "model.module.b"], ["model.a", "model.b"]),
        (["module.weight", "other.weight"], ["module.weight", "other.weight"]),
        (["x.module.a", "x.a"], ["x.module.a", "x.a"]),  # they would become equal
        (["module", "module.a"], ["module", "module.a"]),
        ([], []),
    ],
)
def test_wrappers_are_left_out_of_names(names: list[str], plain: list[str]) -> None:
    assert [*without_wrappers(names).values()] == plain


def wrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As PyTorch's example for ImageNet wraps the convolutions of AlexNet and VGG: features.module.0.weight."""
    return {name.replace(".", ".module.", 1): tensor for name, tensor in state.items()}


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod."])
def test_loads_names_with_wrappers_in_between(tmp_path: Path, prefix: str) -> None:
    state = lenet()
    path = saved(tmp_path / "w", {prefix + name: tensor for name, tensor in wrapped(state).items()})
    net = cn.create("lenet_d2l")
    report = load_weights(path, net)
    assert report.loaded == tuple(state) and not report.unused
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())


def test_loads_into_a_network_that_is_wrapped(tmp_path: Path) -> None:
    state = lenet()
    for values in (state, {f"module.{name}": tensor for name, tensor in state.items()}, wrapped(state)):
        net = nn.DataParallel(cn.create("lenet_d2l"))
        assert len(load_weights(saved(tmp_path / "w", values), net).loaded) == 10
        assert torch.equal(net.state_dict()["module.conv1.weight"], state["conv1.weight"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_that_of_the_network(tmp_path: Path, dtype: torch.dtype) -> None:
    state = cn.create("lenet_d2l", in_channels=3).state_dict()
    path = saved(tmp_path / "w", {name: tensor.to(dtype) for name, tensor in state.items()})
    net = cn.create("lenet_d2l")
    report = load_weights(path, net)
    assert report.converted == ("conv1.weight",)
    for name, tensor in net.state_dict().items():
        rounded = state[name].to(dtype).float()
        expected = rounded.sum(1, keepdim=True) if name == "conv1.weight" else rounded  # summed after the conversion
        assert tensor.dtype == torch.float32 and torch.equal(tensor, expected)


def test_batch_normalization_of_old_files_has_no_counter(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    state = {name: tensor + 1 for name, tensor in net.state_dict().items() if "num_batches" not in name}
    report = load_weights(saved(tmp_path / "w", state), net)
    assert report.loaded == tuple(state) and not report.newly_initialized
    assert torch.equal(net.state_dict()["1.running_mean"], torch.ones(2))


@ZIP
def test_tensors_without_names_are_called_so(tmp_path: Path, in_zip: bool) -> None:
    path = saved(tmp_path / "w", [*cn.create("lenet_d2l").parameters()], in_zip=in_zip)
    with pytest.raises(DataError, match="no state dict") as caught:
        read(path, data=True)
    assert "no names" in caught.value.why and "net.state_dict()" in caught.value.hints[0]
    with pytest.raises(DataError, match="no tensors"):
        path.write_bytes(pickle.dumps([1, 2]))
        read(path, data=True)
