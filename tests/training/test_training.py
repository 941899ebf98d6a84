"""Training: it equals the training of the book, resumes bit for bit, and reports errors clearly."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import classicnets as cn
from classicnets.datasets.types import Split
from classicnets.events import Epoch, Event, Step
from classicnets.images import batches, loading
from classicnets.recipes import resolve
from classicnets.runs import history
from classicnets.training import objective, optim
from classicnets.training.loop import Scores, train
from classicnets.training.session import Session
from classicnets.training.state import State
from support.command_line import CommandLine
from support.typed import layer_of, present

OWN_NET = """
from torch import nn
net = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10))
"""


def split(n: int, seed: int = 0) -> Split:
    generator = np.random.default_rng(seed)
    return Split(
        generator.integers(0, 256, (n, 1, 28, 28), dtype=np.uint8), generator.integers(0, 10, n).astype(np.int64)
    )


def book_init(m: Any) -> None:
    if type(m) is nn.Linear or type(m) is nn.Conv2d:
        nn.init.xavier_uniform_(m.weight)


def test_losses_equal_a_plain_pytorch_loop() -> None:
    """A plain version of the book's `train_ch6`, with the same initial weights and order: an epoch, which ends with a
    smaller batch, and a part of the next one.
    """
    recipe = resolve.find("d2l", "lenet_d2l", registered=True)
    data, steps = split(5000), 32
    preprocess = recipe.preprocess(1, 28)
    torch.manual_seed(3)
    net, other = cn.create("lenet_d2l"), cn.create("lenet_d2l")
    net.apply(book_init)
    assert isinstance(other, nn.Sequential)
    plain = nn.Sequential(*other)
    plain.load_state_dict(dict(zip(plain.state_dict(), net.state_dict().values(), strict=True)))

    loader = batches.Batches(data, recipe, preprocess, seed=5, device=torch.device("cpu"))
    state = State(net, recipe)
    losses: list[float] = []
    for event in train(state, loader, recipe, objective.make(recipe, loader.labels, 10), Scores):
        if isinstance(event, Step):  # the sum is set back after each step, so that it is the loss of one step
            losses.append(float(state.loss_sum) / min(256, 5000 - 256 * (event.step - 1)))
            state.loss_sum = 0.0
        if len(losses) == steps:
            break

    images = torch.from_numpy(data.images).float() / 255
    labels = torch.from_numpy(data.labels)
    trainer, loss = torch.optim.SGD(plain.parameters(), lr=0.9), nn.CrossEntropyLoss()
    expected = []
    for epoch in (1, 2):
        for index in batches.order(5000, 5, epoch).split(256):
            trainer.zero_grad()
            value = loss(plain(images[index]), labels[index])
            value.backward()
            trainer.step()
            expected.append(value.item())
    assert len(losses) == steps
    assert np.abs(np.array(losses) - np.array(expected[:steps])).max() < 1e-5


def test_the_order_is_a_pure_function_and_a_permutation() -> None:
    assert torch.equal(batches.order(100, 1, 2), batches.order(100, 1, 2))
    assert sorted(batches.order(100, 1, 2).tolist()) == list(range(100))
    orders = {tuple(batches.order(100, s, e).tolist()) for s in (0, 1) for e in (0, 1, 2)}
    assert len(orders) == 6


def test_augmentation_depends_on_the_image_not_on_the_batch() -> None:
    """An image is augmented in the same way in an epoch, whatever the batch size."""
    recipe = resolve.apply(
        resolve.find("fast", "x", registered=False), {"flip": True, "shift": 2, "batch_size": 64}
    ).recipe
    augmented = []
    for size in (64, 7):
        changed = resolve.apply(recipe, {"batch_size": size}).recipe
        loader = batches.Batches(split(64), changed, changed.preprocess(1, 28), seed=0, device=torch.device("cpu"))
        augmented.append(torch.cat([x for x, _ in loader.epoch(1)]))
        assert not torch.equal(torch.cat([x for x, _ in loader.epoch(2)]), augmented[-1])
    assert torch.equal(*augmented)


def test_limit_does_not_change_the_validation_set() -> None:
    data = Split(np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1), np.arange(100))
    train, validation = batches.hold_out(data, 0.2, None, seed=4)
    limited, limited_validation = batches.hold_out(data, 0.2, 10, seed=4)
    assert validation is not None and limited_validation is not None
    assert (
        len(train) == 80 and len(validation) == 20 and not set(train) & set(validation.labels)
    )  # labels are places here
    assert set(limited_validation.labels) == set(validation.labels)
    assert set(limited) == set(batches.order(100, 4, 0)[20:30].tolist())
    everything, none = batches.hold_out(data, 0.0, None, seed=4)
    assert none is None and len(everything) == 100


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_the_learning_rate_depends_only_on_progress(schedule: str) -> None:
    recipe = resolve.apply(resolve.find("d2l", "lenet_d2l", registered=True), {"schedule": schedule}).recipe
    rates = [optim.rate(recipe, i / 100) for i in range(101)]
    assert max(rates) == pytest.approx(recipe.lr)
    if schedule == "one_cycle":
        assert rates[20] == pytest.approx(recipe.lr) and rates[-1] == pytest.approx(0) and rates[0] < rates[10]


def test_xavier_does_not_change_biases() -> None:
    from classicnets.training.initialize import initialize

    torch.manual_seed(0)
    net = cn.create("lenet_d2l")
    assert isinstance(net, nn.Sequential)
    layers: list[Any] = [layer for layer in net if hasattr(layer, "bias")]
    biases = [layer.bias.clone() for layer in layers]
    initialize(net, "xavier_uniform")
    assert all(torch.equal(bias, layer.bias) for bias, layer in zip(biases, layers, strict=True))
    bound = math.sqrt(6 / (400 + 120))
    assert 0.99 * bound < layer_of(net, "fc1", nn.Linear).weight.abs().max() <= bound
    initialize(net, "xavier_uniform_zero_bias")
    assert not any(layer.bias.any() for layer in layers)


def test_a_run_from_python(blobs: Path, tmp_path: Path, drawn: None) -> None:
    run = cn.train("lenet_d2l", data=str(blobs), epochs=2, batch_size=32, quiet=True, runs=tmp_path / "runs")
    assert run.path == tmp_path / "runs/lenet_d2l-blobs-1"
    names = {p.name for p in run.path.iterdir()}
    images = {"curves.png", "confusion.png", "calibration.png", "contact_sheet.png"}
    files = {"run.json", "history.jsonl", "metrics.json", "card.md", "last.safetensors", "trained_images.json"}
    assert names == files | images
    assert all((run.path / name).read_bytes().startswith(b"\x89PNG") for name in images)
    measured = json.loads(run.folder.metrics.read_text())
    assert measured["balanced_accuracy"] == present(run.result)["balanced_accuracy"] and len(measured["classes"]) == 10
    card = (run.path / "card.md").read_text()
    assert f"calibration error {measured['calibration_error']:.4f}" in card and all(name in card for name in images)
    assert run.evaluate().accuracy == present(run.result)["test_accuracy"]
    events = history.read(run.folder.history)
    assert [e.epoch for e in events if isinstance(e, Epoch)] == [1, 2]
    again = cn.Run(run.path)
    assert again.evaluate().accuracy == present(run.result)["test_accuracy"]
    assert "blobs" in repr(run) and repr(run) == repr(again)


def small() -> nn.Sequential:
    torch.manual_seed(11)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10))


def test_the_network_of_a_run_can_be_trained_anew(blobs: Path, tmp_path: Path, cli: CommandLine) -> None:
    (tmp_path / "own.py").write_text(OWN_NET)
    for spec in ("lenet_d2l", "own.py:net"):
        assert cli("train", spec, "--data", blobs, "--set", "epochs=1", "--limit", 64)[0] == 0
    for name in ("lenet_d2l", "own_net"):
        code, _, err = cli("train", f"runs/{name}-blobs-1", "--data", blobs, "--set", "epochs=1", "--limit", 64)
        assert code == 0, err
        a, b = (load_file(f"runs/{name}-blobs-{k}/last.safetensors") for k in (1, 2))
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_any_module_is_trained_in_place_and_learns(blobs: Path) -> None:
    net = small()
    run = cn.train(net, data=str(blobs), epochs=6, batch_size=32, flip=False, views=1, quiet=True)
    assert run.net is net
    assert present(run.result)["test_accuracy"] > 0.9  # ten patterns in little noise
    assert run.folder.best.exists() and run.weights_file.name == "best.safetensors"
    with pytest.raises(cn.UsageError) as caught:
        cn.Run(run.path)
    assert caught.value.code == "CN207"
    assert cn.Run(run.path, net=small()).evaluate().accuracy == present(run.result)["test_accuracy"]


def test_runs_never_overwrite_each_other(blobs: Path) -> None:
    first = cn.train("lenet_d2l", data=str(blobs), epochs=1, limit=64, quiet=True)
    before = (first.path / "last.safetensors").read_bytes()
    second = cn.train("lenet_d2l", data=str(blobs), epochs=1, limit=64, quiet=True)
    assert first.path.name.endswith("-1") and second.path.name.endswith("-2")
    assert (first.path / "last.safetensors").read_bytes() == before
    # the same seed gives the same weights: everything random is a function of it
    a, b = load_file(first.path / "last.safetensors"), load_file(second.path / "last.safetensors")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_different_seeds_give_different_weights(blobs: Path) -> None:
    runs = [cn.train("lenet_d2l", data=str(blobs), epochs=1, limit=64, quiet=True, seed=s) for s in (0, 1)]
    a, b = (load_file(run.path / "last.safetensors") for run in runs)
    assert not torch.equal(a["net/conv1.weight"], b["net/conv1.weight"])


def test_a_changed_recipe_is_not_compared(blobs: Path) -> None:
    run = cn.train("lenet_d2l", data=str(blobs), epochs=1, limit=64, quiet=True)
    assert present(run.result)["verdict"].startswith("not compared")


def test_a_loss_that_is_not_finite_stops_training(blobs: Path, cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_NET)
    command = ["train", "own.py:net", "--data", blobs, "--set", "optimizer=sgd", "schedule=constant", "epochs=3"]
    code, _, err = cli(*command, "lr=1e20")
    assert code == 1
    assert "error[CN101]: the loss is no longer finite" in err
    assert "hint:  --set lr=0.1\n" in err
    assert "no epoch was finished" in err
    assert not list(Path("runs").glob("*/last.safetensors"))


def test_the_last_finite_state_stays_saved(
    blobs: Path, cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(OWN_NET)
    rate = optim.rate
    monkeypatch.setattr(
        optim, "rate", lambda recipe, progress, drops: 1e20 if progress > 0.5 else rate(recipe, progress, drops)
    )
    code, _, err = cli("train", "own.py:net", "--data", blobs, "--set", "optimizer=sgd", "epochs=4", "lr=0.01")
    assert code == 1
    saved = Path("runs/own_net-blobs-1/last.safetensors")
    assert f"{saved} has the state after epoch 2" in err
    assert all(tensor.isfinite().all() for tensor in load_file(saved).values() if tensor.is_floating_point())
    assert cn.Run("runs/own_net-blobs-1").evaluate().n == 100


def test_rejects_resuming_a_complete_run(blobs: Path, cli: CommandLine) -> None:
    cn.train("lenet_d2l", data=str(blobs), epochs=1, limit=64, quiet=True)
    code, _, err = cli("train", "--resume", "runs/lenet_d2l-blobs-1")
    assert code == 2 and "error[CN208]: the run is complete" in err


def test_ctrl_c_saves_and_shows_how_to_resume(blobs: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after the last step of an epoch, before its evaluation."""
    from classicnets.training.session import Session

    uninterrupted = cn.train("lenet_d2l", data=str(blobs), epochs=2, limit=64, quiet=True)
    record = Session._record

    def interrupt(self: Session, event: Event) -> Any:
        advice = record(self, event)
        if isinstance(event, Step) and event.step == event.steps:
            signal.raise_signal(signal.SIGINT)
        return advice

    command = ["train", "lenet_d2l", "--data", blobs, "--set", "epochs=2", "--limit", 64]
    with monkeypatch.context() as patch:
        patch.setattr(Session, "_record", interrupt)
        code, _, err = cli(*command)
    assert code == 130
    assert "stopped after epoch 0 of 2, step 1; to resume: classicnets train --resume runs/lenet_d2l-blobs-2" in err
    code, _, err = cli("train", "--resume", "runs/lenet_d2l-blobs-2")
    assert code == 0 and "resuming runs/lenet_d2l-blobs-2 after epoch 0 of 2, step 1" in err, err
    a, b = load_file(uninterrupted.path / "last.safetensors"), load_file("runs/lenet_d2l-blobs-2/last.safetensors")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_resuming_restores_the_threads_and_rejects_changes(
    blobs: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # threads that share a batch set their numbers of intra-op threads as well
    cn.train("lenet_d2l", data=str(blobs), epochs=1, limit=64, batch_threads=1, quiet=True)
    path = Path("runs/lenet_d2l-blobs-1/run.json")
    facts = json.loads(path.read_text())
    del facts["result"]
    facts["threads"] = 2
    path.write_text(json.dumps(facts))
    for change in (["lenet_d2l"], ["--set", "lr=1"], ["--limit", "3"], ["--recipe", "fast"], ["--seed", "1"]):
        code, _, err = cli("train", *change, "--resume", "runs/lenet_d2l-blobs-1")
        assert code == 2 and "error[CN208]" in err
    thread_counts: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", thread_counts.append)
    assert cli("train", "--resume", "runs/lenet_d2l-blobs-1")[0] == 0
    assert thread_counts == [2]


def test_resuming_rejects_changed_data(blobs: Path, cli: CommandLine) -> None:
    cn.train("lenet_d2l", data=str(blobs), epochs=1, limit=64, quiet=True)
    path = Path("runs/lenet_d2l-blobs-1/run.json")
    facts = json.loads(path.read_text())
    del facts["result"]
    facts["fingerprint"] = "0" * 64
    path.write_text(json.dumps(facts))
    code, _, err = cli("train", "--resume", "runs/lenet_d2l-blobs-1")
    assert code == 3 and "error[CN306]" in err


def test_rejects_a_wrong_image_size_before_reading_data(
    blobs: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("data was read")

    monkeypatch.setattr(loading, "load", read)
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "net = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Sigmoid(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1176, 10))\n"
    )
    code, _, err = cli("train", "net.py:net", "--data", blobs)
    assert code == 2
    assert "mat1 and mat2" not in err
    assert "error[CN201]" in err and "864" in err and "1,176" in err.replace("1176", "1,176")
    assert err.count("hint:") == 1 and err.count("or:") >= 1
    assert not Path("runs").exists()


def test_rejects_a_wrong_number_of_outputs_before_reading_data(
    blobs: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loading, "load", lambda *_, **__: pytest.fail("data was read"))
    (tmp_path / "net.py").write_text("from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(784, 7))\n")
    code, _, err = cli("train", "net.py:net", "--data", blobs)
    assert code == 3 and "the output of net.py:net has shape 7" in err and "nn.Linear(784, 10)" in err


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="has neither modes of folders nor /proc")
def test_reports_a_full_disk_and_a_read_only_folder(blobs: Path, cli: CommandLine) -> None:
    if os.geteuid() == 0:
        target = "/proc/nowhere"
    else:
        Path("locked").mkdir(mode=0o500)
        target = "locked"
    code, _, err = cli("train", "lenet_d2l", "--data", blobs, "--runs", target)
    assert code == 4 and "error[CN401]" in err and target in err
