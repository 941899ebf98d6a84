"""The model of cost: bytes against counts by hand, times against measured ones, choices, and what --dry-run prints."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets import api, machine
from classicnets.errors import UsageError
from classicnets.inspection.shapes import trace
from classicnets.machine import LARGE_MACS
from classicnets.models.registry import NETS, Entry
from classicnets.parallel import choice, cost, hardware, loopback
from classicnets.parallel.cost import Network, Prediction
from classicnets.parallel.hardware import Cluster, Link
from classicnets.spec import Output, run_spec
from classicnets.training.plan import Plan, plan
from classicnets.training.session import Session
from support.command_line import CommandLine

MB = 1e6
CONV, DENSE = 2_469_696, 58_631_144  # parameters of AlexNet of 2014, with biases
FEATURES = 2 * 9216 + 4 * 4096  # that an image exchanges in its dense layers, forward and backward
DIVIDED = ["classifier.1", "classifier.4", "classifier.6"]
# Two machines with 2 cores each and 200 Mbit/s: a step of 32 images for each took 2.0 s of computing (2026-11-22).
SLOW = Cluster(
    image_seconds=2.0 / 32,
    local=Link(title="loopback", rate=1e9, latency=0),
    network=Link(title="200 Mbit/s", rate=25e6, latency=0),
    host_size=1,
    overlaps=False,
)


@cache
def alexnet() -> Network:
    """AlexNet of 2014 for ImageNet, as torchvision has it."""
    with torch.device("meta"):
        net = cn.create("alexnet_torchvision")
    return Network(table=trace(net, (3, 224, 224)), chains={size: [DIVIDED] for size in (2, 4, 8, 16, 32, 64)})


@cache
def two_towers(classes: int = 1000) -> Network:
    """AlexNet of 2012."""
    with torch.device("meta"):
        net = cn.create("alexnet_2012", num_classes=classes)
    return Network(table=trace(net, (3, 224, 224)), crossings=("conv3", "fc6", "fc7", "fc8"))


def sent(network: Network, form: str, processes: int, model_size: int, rows: int) -> float:
    """Bytes that a process sends in a step of `rows` images for each process."""
    return sum(part.sent for part in cost.exchanges(network, form, processes, model_size, processes * rows))


# --- bytes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [2, 4, 8, 64])
def test_bytes_of_ddp_are_those_of_a_ring(processes: int) -> None:
    expected = 2 * (processes - 1) / processes * (CONV + DENSE) * 4
    assert sent(alexnet(), "ddp", processes, 1, 32) == pytest.approx(expected)
    assert sent(alexnet(), "ddp", processes, 1, 1024) == pytest.approx(expected)  # of any batch


@pytest.mark.parametrize("rows", [32, 128])
@pytest.mark.parametrize("processes", [2, 4, 8, 64])
def test_bytes_of_hybrid_are_features_and_gradients_of_convolutions(processes: int, rows: int) -> None:
    features = (processes - 1) * rows * FEATURES * 4
    logits = 2 * (processes - 1) / processes * rows * 1000 * 4
    gradients = 2 * (processes - 1) / processes * CONV * 4
    assert sent(alexnet(), "hybrid", processes, processes, rows) == pytest.approx(features + logits + gradients)


@pytest.mark.parametrize(("processes", "megabytes"), [(16, 174), (32, 189), (64, 196)])
def test_bytes_of_hybrid_in_groups(processes: int, megabytes: int) -> None:
    """In groups of 8, the sum of the gradients of an eighth of the dense layers comes on top."""
    groups = processes // 8
    own = 2 * (groups - 1) / groups * DENSE / 8 * 4
    expected = sent(alexnet(), "hybrid", 8, 8, 128) + own
    expected += (2 * (processes - 1) / processes - 2 * 7 / 8) * CONV * 4
    assert sent(alexnet(), "hybrid", processes, 8, 128) == pytest.approx(expected)
    assert round(expected / MB) == megabytes


def test_bytes_of_towers() -> None:
    inputs = 256 * 13 * 13 + 9216 + 4096 + 4096
    assert sent(two_towers(), "towers", 2, 2, 64) == 128 * 4 * (2 * inputs + 1000) / 2
    odd = 128 * 4 * (2 * inputs - 4096) / 2 + 4097 * 999 * 4  # both compute the last layer, and sum its gradient
    assert sent(two_towers(999), "towers", 2, 2, 64) == odd


def test_nothing_is_exchanged_by_one_process() -> None:
    assert sent(alexnet(), "ddp", 1, 1, 32) == 0


def test_gradient_of_the_image_is_not_exchanged() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(100, 40), nn.ReLU(), nn.Linear(40, 10))
    network = Network(table=trace(net, (1, 10, 10)), chains={2: [["1", "3"]]})
    assert sent(network, "hybrid", 2, 2, 8) == 8 * 4 * (100 + 2 * 40 + 10)  # forward, both, half of both


def test_moments_of_the_global_batch_and_frozen_layers() -> None:
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(6 * 36, 10))
    table = trace(net, (1, 8, 8))
    assert sent(Network(table=table), "ddp", 2, 1, 8) == 4 * (60 + 12 + 2170) + 4 * 4 * 6
    assert sent(Network(table=table, global_batch_norm=False), "ddp", 2, 1, 8) == 4 * (60 + 12 + 2170)
    net[0].requires_grad_(False)
    assert sent(Network(table=trace(net, (1, 8, 8))), "ddp", 2, 1, 8) == 4 * (12 + 2170) + 4 * 4 * 6


# --- seconds, memory, choices ----------------------------------------------------------------------------------------


def predict(form: str, processes: int, rows: int, cluster: Cluster, model_size: int | None = None) -> Prediction:
    size = {"ddp": 1, "towers": 2}.get(form, processes) if model_size is None else model_size
    return cost.predict(alexnet(), form, processes, size, processes * rows, cluster)


@pytest.mark.parametrize(("form", "measured"), [("ddp", 11.6), ("hybrid", 2.9)])
def test_times_on_a_slow_link_are_those_that_were_measured(form: str, measured: float) -> None:
    assert predict(form, 2, 32, SLOW).step_seconds == pytest.approx(measured, rel=0.15)


def test_exchange_of_gradients_is_hidden_behind_the_backward_pass() -> None:
    fast = replace(SLOW, overlaps=True, network=Link(title="", rate=1e12, latency=0))
    assert predict("ddp", 2, 32, fast).step_seconds == pytest.approx(2.0)
    assert predict("ddp", 2, 32, fast).weak_efficiency == pytest.approx(1)
    shown = predict("ddp", 2, 32, replace(SLOW, overlaps=True)).step_seconds
    assert shown == pytest.approx(2.0 / 3 + 4 * (CONV + DENSE) / 25e6)


def test_processes_that_share_cores_compute_no_faster() -> None:
    local = Cluster(image_seconds=0.01, local=Link(title="", rate=1e12, latency=0), host_size=2, shares_cores=True)
    assert predict("ddp", 2, 32, local).compute_seconds == pytest.approx(0.64)
    assert predict("ddp", 2, 32, local).strong_efficiency == pytest.approx(0.5)


@pytest.mark.parametrize("form", ["ddp", "hybrid"])
def test_cost_is_monotonous(form: str) -> None:
    rates = [replace(SLOW, network=Link(title="", rate=rate, latency=0)) for rate in (1e7, 1e8, 1e9)]
    times = [predict(form, 8, 32, cluster).step_seconds for cluster in rates]
    assert times == sorted(times, reverse=True)
    predictions = [predict(form, processes, 32, SLOW) for processes in (2, 4, 8, 16)]
    assert [p.sent for p in predictions] == sorted(p.sent for p in predictions)
    weak = [p.memory_bytes["weights"] for p in predictions]
    assert weak == sorted(weak, reverse=True) and (weak[0] > weak[-1]) == (form == "hybrid")
    assert all(0 < p.strong_efficiency <= 1 and 0 < p.weak_efficiency <= 1 for p in predictions)


def test_memory_of_a_process() -> None:
    ddp = predict("ddp", 8, 128, SLOW).memory_bytes
    assert ddp["weights"] == ddp["gradients"] == ddp["optimizer"] == 4 * (CONV + DENSE) and ddp["whole copy"] == 0
    hybrid = predict("hybrid", 8, 128, SLOW).memory_bytes
    assert hybrid["weights"] == hybrid["gradients"] == 4 * (CONV + DENSE / 8)
    assert hybrid["whole copy"] == 4 * (CONV + DENSE)  # to evaluate and to save
    gathered = 7 * 128 * (9216 + 4096 + 4096) * 4
    assert hybrid["activations"] - ddp["activations"] == gathered


def h200(network: str = "") -> Cluster:
    return hardware.gpu_cluster(
        hardware.gpu("h200"), {"bfloat16": 4.145e9}, hardware.link(network) if network else None
    )


@pytest.mark.parametrize(
    ("processes", "rows", "cluster", "chosen"),
    [
        (2, 32, SLOW, ("hybrid", 2)),
        (2, 8192, SLOW, ("ddp", 1)),  # features of so many images are more than the gradients
        (8, 1024, h200(), ("ddp", 1)),  # what NVLink carries in the time of the backward pass
        (8, 128, SLOW, ("hybrid", 4)),
        (64, 128, h200("400Gbit"), ("hybrid", 8)),  # groups within a host
        (64, 4096, h200("3200Gbit"), ("ddp", 1)),
        (2, 3360, SLOW, ("ddp", 1)),  # about where both exchange as much
    ],
)
def test_choice(processes: int, rows: int, cluster: Cluster, chosen: tuple[str, int]) -> None:
    best, reason = cost.choose(alexnet(), "auto", processes, processes * rows, cluster)
    assert (best.form, best.model_size) == chosen
    assert reason.startswith(f"{best.name} ")
    others = cost.candidates(alexnet(), "auto", processes)
    predictions = [cost.predict(alexnet(), form, processes, size, processes * rows, cluster) for form, size in others]
    assert best.step_seconds == min(prediction.step_seconds for prediction in predictions)
    for prediction in predictions:
        assert f"{prediction.name} {cost.milliseconds(prediction.step_seconds)} (" in reason
    second = sorted(prediction.step_seconds for prediction in predictions)[1]
    assert ("about equal" in reason) == (second < 1.02 * best.step_seconds)


def test_form_without_an_alternative_needs_no_reason() -> None:
    assert cost.choose(alexnet(), "ddp", 2, 64, SLOW)[1] == ""
    assert cost.choose(Network(table=alexnet().table), "auto", 2, 64, SLOW)[1] == "the network allows no other form"
    assert cost.choose(alexnet(), "hybrid", 1, 64, SLOW)[0].form == "ddp"  # what is left of it


def test_link_between_processes_is_that_of_their_hosts() -> None:
    cluster = h200("400Gbit")
    assert cluster.link(8) is cluster.local and cluster.link(16) is cluster.network
    assert h200().link(64).rate == 0.8 * 450e9


# --- hardware --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"), [("10Gbit", 1.25e9), ("200Mbit", 25e6), ("1.5 gbit/s", 187.5e6), ("64kbps", 8e3)]
)
def test_rates_of_networks(text: str, rate: float) -> None:
    assert hardware.link(text).rate == rate


@pytest.mark.parametrize("text", ["", "10", "Gbit", "10GB", "0Gbit", "-1Gbit", "10 Gbit fast", "1e3Gbit"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not the rate of a network") as refused:
        hardware.link(text)
    assert hardware.link(refused.value.hints[0].split()[-1]).rate > 0


def test_unknown_gpu_is_refused_with_the_nearest_name() -> None:
    assert hardware.gpu("H200").memory_bytes == 141e9
    with pytest.raises(UsageError, match="unknown GPU 'a10O'") as refused:
        hardware.gpu("a10O")
    assert refused.value.hints == ("--gpu a100",) and "l40s" in refused.value.why


@pytest.mark.parametrize("gpu", hardware.GPUS.values(), ids=hardware.GPUS)
def test_rates_fall_with_precision(gpu: hardware.Gpu) -> None:
    rates = [gpu.flops[precision] for precision in ("bfloat16", "tf32", "float32", "float64")]
    assert rates == sorted(rates, reverse=True) and gpu.source


def test_link_that_cannot_be_measured_is_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise subprocess.TimeoutExpired("python", 1)

    monkeypatch.setattr(subprocess, "run", fail)
    assert loopback.measure(2).rate == hardware.LOOPBACK_RATE


@pytest.mark.slow
def test_loopback_is_measured() -> None:
    link = loopback.measure(2)
    assert link.title == "this machine" and link.rate > 1e6 and 0 < link.latency < 10


# --- plans, and what --dry-run prints --------------------------------------------------------------------------------


@pytest.fixture
def no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """The link of this machine is not measured."""
    monkeypatch.setattr(loopback, "measure", lambda _: Link(title="this machine", rate=1e9, latency=0))


@pytest.fixture
def small_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks of `shared_nets` are in the registry."""
    facts: dict[str, Any] = {"title": "", "source": "", "year": None, "input": (1, 16, 16), "classes": 10}
    facts |= {"parameters": 1, "macs": 1, "units": 1}
    for name, crossings in (("one_tower", ()), ("two_towers", ("conv3", "fc6", "fc7"))):
        monkeypatch.setitem(NETS, name, Entry(builder=f"parallel.shared_nets:{name}", crossings=crossings, **facts))


def planned(net: str | nn.Module, data: Path, form: str) -> Plan:
    return plan(*run_spec(net, data=str(data), recipe="fast", settings={"precision": "float32"}, parallel=form))


def test_layers_of_a_plan(blobs: Path) -> None:
    network = choice.network_of(planned("lenet_d2l", blobs, "auto"), 12)
    assert network.chains[2] == [["fc1", "fc2", "fc3"]] and network.chains[3] == [["fc1", "fc2"]]
    assert sorted(network.chains) == [2, 3, 4, 6, 12] and network.crossings == ()
    assert choice.network_of(planned("lenet_d2l", blobs, "ddp"), 12).chains == {}


def test_towers_of_a_plan(folder: Path, small_nets: None) -> None:
    towers = planned("two_towers", folder, "auto")
    assert choice.network_of(towers, 2).crossings == ("conv3", "fc6", "fc7")
    assert choice.network_of(towers, 4).crossings == ()
    assert choice.network_of(planned("one_tower", folder, "auto"), 2).crossings == ()
    assert choice.choose(planned("two_towers", folder, "towers"), 2, SLOW).prediction.form == "towers"


@pytest.mark.parametrize(
    ("net", "form", "processes"), [("one_tower", "towers", 2), ("two_towers", "towers", 4), ("own", "hybrid", 2)]
)
def test_form_that_a_network_cannot_take_is_refused(
    folder: Path, small_nets: None, net: str, form: str, processes: int
) -> None:
    own = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 3))
    with pytest.raises(UsageError, match="CN216"):
        choice.choose(planned(own if net == "own" else net, folder, form), processes, SLOW)
    with pytest.raises(UsageError, match="CN216") as refused:
        choice.check(planned(own if net == "own" else net, folder, form), processes)
    assert refused.value.hints == (("--processes 2",) if processes > 2 else ("--parallel ddp",))


def test_batches_that_processes_cannot_share_are_refused(blobs: Path) -> None:
    small = plan(*run_spec("lenet_d2l", data=str(blobs), settings={"batch_size": 3}))
    assert choice.smallest_batch(small, 3) == 1
    with pytest.raises(UsageError, match="CN216") as refused:
        choice.check(small, 4)
    assert refused.value.hints == ("--set batch_size=4",)
    local = replace(
        small, spec=replace(small.spec, local_batch_norm=True), check=replace(small.check, needs_two_images=True)
    )
    with pytest.raises(UsageError, match="needs at least 2") as refused:
        choice.check(local, 2)
    assert refused.value.hints == ("--set batch_size=4",)


@pytest.mark.parametrize(
    ("processes", "rows", "cluster", "verdict"),
    [
        (2, 32, replace(SLOW, network=None, shares_cores=True, host_size=2), "uses all its cores already"),
        (2, 8, SLOW, "a batch of 16 images is too small for 2 processes"),
        (64, 1, SLOW, "--set batch_size=4096 reaches"),
        (2, 512, SLOW, ""),
    ],
)
def test_verdict(processes: int, rows: int, cluster: Cluster, verdict: str) -> None:
    prediction = predict("ddp", processes, rows, cluster)
    chosen = choice.Choice(
        prediction=prediction, reason="", epoch_steps=1, shares_cores=cluster.shares_cores and cluster.host_size > 1
    )
    assert verdict in chosen.verdict and bool(verdict) == bool(chosen.verdict)
    assert bool(verdict) == any(line.startswith("verdict ") for line in chosen.lines())
    assert chosen.to_dict()["verdict"] == chosen.verdict


def test_run_chooses_without_measuring(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "measure", None)
    assert choice.form_of_run(planned("lenet_d2l", blobs, "ddp"), 4, 1) == ("ddp", 1, "")
    form, size, reason = choice.form_of_run(planned("lenet_d2l", blobs, "auto"), 4, 1)
    assert (form, size) in cost.candidates(choice.network_of(planned("lenet_d2l", blobs, "auto"), 4), "auto", 4)
    assert "predicted" in reason
    assert choice.form_of_run(planned("lenet_d2l", blobs, "hybrid"), 4, 2)[0] == "hybrid"


def test_own_module_is_not_changed(blobs: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    choice.network_of(planned(net, blobs, "auto"), 2)
    assert type(net[1]) is nn.Linear and net[1].weight.shape == (64, 784)


def test_precision_that_this_machine_chose_is_not_that_of_a_gpu(folder: Path) -> None:
    chosen = plan(*run_spec("alexnet_28", data=str(folder), recipe="fast"))
    assert chosen.table.macs > LARGE_MACS and choice.gpu_precision(chosen) == "bfloat16"
    assert choice.gpu_precision(planned("alexnet_28", folder, "ddp")) == "float32"


def test_dry_run_predicts_several_processes(cli: CommandLine, blobs: Path, no_link: None) -> None:
    command = ("train", "lenet_d2l", "--data", blobs, "--dry-run", "--processes", 2, "--parallel", "auto")
    code, out, _ = cli(*command)
    assert code == 0
    for beginning in (
        "forecast  ",
        "processes 2, ",
        "exchange  ",
        "memory    ",
        "efficiency ",
        "chosen    ",
        "basis     ",
    ):
        assert sum(line.startswith(beginning) for line in out.splitlines()) >= 1, beginning
    assert "for one process" in out and "batch_size  " not in out
    assert out.splitlines()[-1] == f"next: classicnets train lenet_d2l --data {blobs} --processes 2 --parallel auto"
    result = json.loads(cli(*command, "--json")[1])["processes"]
    assert result["processes"] == 2 and result["batch_size"] == 256 and result["epoch_steps"] == 2
    assert 0 < result["compute_seconds"] < result["step_seconds"]
    assert result["sent_bytes_in_all"] == sum(result["sent_bytes"].values()) > 0


def test_dry_run_for_a_gpu_measures_nothing(cli: CommandLine, blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.training, "forecast", None)
    command = ("train", "lenet_d2l", "--data", blobs, "--dry-run", "--processes", 16, "--gpu", "h200")
    out = cli(*command, "--link", "400Gbit", "--parallel", "hybrid")[1]
    assert "\nforecast " not in out and "\nprocesses 16, hybrid in groups of " in out and "NVIDIA H200 SXM" in out
    assert "\ndevice " not in out and "thread" not in out
    last = out.splitlines()[-1]
    assert last.startswith("next, with such GPUs: ") and last.endswith("--processes 16 --parallel hybrid")


@pytest.mark.parametrize(
    ("options", "text", "hint"),
    [
        (["--processes", 2, "--parallel", "towers"], "CN216", "--parallel ddp"),
        (["--processes", 3, "--parallel", "hybrid", "--set", "net.activation=relu"], "", ""),
        (["--processes", 2, "--set", "batch_size=1"], "CN216", "--set batch_size=2"),
        (["--processes", 1000], "CN215", "--processes 2"),
    ],
)
def test_mistakes_are_refused_before_the_data_is_read(
    cli: CommandLine,
    blobs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[Any],
    text: str,
    hint: str,
) -> None:
    started: list[Plan] = []

    def start(resolved: Plan, *_: Any) -> None:
        started.append(resolved)
        raise UsageError("CN206", "started")

    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    monkeypatch.setattr(api.training, "start", start)
    code, _out, err = cli("train", "lenet_d2l", "--data", blobs, "--runs", tmp_path / "runs", *options)
    assert code == 2 and (text or "started") in err and hint in err
    assert bool(started) == (not text) and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "processes", "text"),
    [({"parallel": "towers"}, 2, "CN216"), ({}, 1000, "CN215"), ({}, 2, "resumed")],
)
def test_mistakes_are_refused_before_a_run_is_resumed(
    cli: CommandLine,
    blobs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    processes: int,
    text: str,
) -> None:
    session = Session.start(planned("lenet_d2l", blobs, "ddp"), lambda _: None, Output(runs=str(tmp_path)))
    session.lock.release()
    run = session.folder
    facts = run.read()
    run.write({**facts, "spec": {**facts["spec"], **changes}})

    def resume(*_: Any, **__: Any) -> None:
        raise UsageError("CN206", "resumed")

    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    monkeypatch.setattr(api.training, "resume_session", resume)
    code, _out, err = cli("train", "--resume", run.path, "--processes", processes)
    assert code == 2 and text in err


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--gpu", "h200", "--processes", 2], "CN206", "--gpu has no effect here"),
        (["--link", "1Gbit", "--dry-run"], "CN206", "--link has no effect here"),
        (["--gpu", "h2000", "--dry-run", "--processes", 2], "CN204", "unknown GPU 'h2000'"),
        (["--gpu", "h200", "--dry-run", "--processes", 2, "--link", "fast"], "CN204", "'fast' is not the rate"),
        (["--gpu", "h200", "--dry-run", "--processes", 16], "CN206", "16 GPUs are in several hosts"),
        (["--gpu", "h200", "--dry-run", "--processes", 2, "--device", "cpu"], "CN206", "contradict each other"),
        (
            ["--gpu", "h200", "--dry-run", "--processes", 2, "--parallel", "towers"],
            "CN216",
            "cannot be divided into two towers",
        ),
    ],
)
def test_predictions_that_cannot_be_made(
    cli: CommandLine, blobs: Path, options: list[str], code: str, text: str
) -> None:
    exit_code, out, err = cli("train", "lenet_d2l", "--data", blobs, *options)
    assert (exit_code, out) == (2, "") and f"error[{code}]" in err and text in err and "hint:" in err
