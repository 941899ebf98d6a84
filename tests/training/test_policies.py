"""The meaning of `auto` for precision and threads, and the options that set them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets import machine
from classicnets.acceleration import prepare
from classicnets.acceleration.memory_format import wants_channels_last
from classicnets.errors import UsageError
from classicnets.spec import run_spec
from classicnets.training.plan import plan
from support.command_line import CommandLine


@pytest.fixture(params=["avx512_bf16", "amx_bf16", None])
def hardware(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A processor with these instructions; returns whether it supports bfloat16."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {request.param: True}, raising=False)
    return request.param is not None


def test_auto_is_bfloat16_for_large_networks_on_hardware_that_supports_it(hardware: bool) -> None:
    large = plan(*run_spec("alexnet_28", recipe="fast", device="cpu"))
    assert large.table.macs > 2_000_000 > plan(*run_spec("lenet_d2l", device="cpu")).table.macs
    assert large.recipe.precision == ("bfloat16" if hardware else "float32")
    assert (
        large.setting_sources["precision"] == "machine"
        and f", {large.recipe.precision} (auto), seed 0" in large.lines()[2]
    )
    assert plan(*run_spec("lenet_d2l", device="cpu")).recipe.precision == "float32"
    for pinned in ("float32", "bfloat16"):
        explicit = plan(*run_spec("alexnet_28", recipe="fast", settings={"precision": pinned}, device="cpu"))
        assert (explicit.recipe.precision, explicit.setting_sources["precision"]) == (pinned, "--set")
        assert f", {pinned}, seed 0" in explicit.lines()[2]
    assert large.as_published is plan(*run_spec("alexnet_28", recipe="fast", device="cpu")).as_published


def test_auto_is_float32_if_torch_does_not_report_capabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert machine.choose_precision("cpu", 10**9) == "float32"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_auto_is_bfloat16_on_cuda_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, ...], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert machine.choose_precision("cuda", 10**9) == expected
    assert machine.choose_precision("cuda", 10**5) == machine.choose_precision("mps", 10**9) == "float32"


@pytest.mark.parametrize(
    ("device", "macs", "precision", "last"),
    [
        ("cpu", 10**7, "float32", True),
        ("cpu", 10**5, "float32", False),
        ("cpu", 10**5, "bfloat16", True),
        ("cuda", 10**7, "float32", False),
        ("cuda", 10**7, "bfloat16", True),
    ],
)
def test_channels_last_is_used_where_it_is_faster(device: str, macs: int, precision: str, last: bool) -> None:
    assert wants_channels_last(device, macs, precision) is last


class Views(nn.Sequential):
    """Ends with a view, as many custom networks do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self:
            x = layer(x)
        return x.view(len(x), -1)


def test_a_network_with_a_view_trains_and_predicts(hardware: bool, blobs: Path, tmp_path: Path) -> None:
    net = Views(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.Conv2d(32, 5, 5, padding=2), nn.AdaptiveAvgPool2d((1, 2)))
    run = cn.train(net, data=str(blobs), recipe="fast", quiet=True, runs=tmp_path, epochs=1)
    assert run.facts["macs"] > 2_000_000 and run.evaluate().n


def test_a_prepared_network_has_the_chosen_memory_format(hardware: bool) -> None:
    for name, last in (("alexnet_28", True), ("lenet_d2l", False)):
        planned = plan(*run_spec(name, recipe="fast", device="cpu"))
        net, shape = planned.build(print), planned.preprocess.shape
        precision, macs = planned.recipe.precision, planned.table.macs
        chosen = prepare.choose(net, shape, device="cpu", macs=macs, precision=precision, threads=1, batch_size=256)
        with prepare.prepared(net, chosen):
            weights = [weight for weight in net.parameters() if weight.dim() == 4 and weight.shape[1] > 1]
            assert weights
            assert all(weight.is_contiguous(memory_format=torch.channels_last) is last for weight in weights)


def test_images_stay_on_the_gpu_up_to_half_of_its_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 5000))
    assert machine.fits_on_device(torch.device("cuda"), 500) and not machine.fits_on_device(torch.device("cuda"), 501)
    assert machine.fits_on_device(torch.device("cpu"), 10**15)


def test_precision_and_threads_are_options(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    thread_counts: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", thread_counts.append)
    code, out, _ = cli("train", "lenet_d2l", "--dry-run", "--json", "--precision", "bfloat16", "--threads", "1")
    assert code == 0 and json.loads(out)["recipe"]["precision"] == "bfloat16" and 1 in thread_counts
    thread_counts.clear()
    command = ("train", "lenet_d2l", "--dry-run", "--threads", "auto", "--batch-threads", "1")
    assert cli(*command)[0] == 0 and not thread_counts
    for wrong in ("0", "-1", "many"):
        assert cli("train", "lenet_d2l", "--threads", wrong)[0] == 2
    code, _, err = cli("train", "--resume", "runs/none", "--precision", "float32", "--threads", "2")
    assert code == 2 and "takes no --precision, --threads" in err


def test_rejects_unknown_precision(hardware: bool) -> None:
    with pytest.raises(UsageError, match="must be one of auto, float32, bfloat16") as caught:
        plan(*run_spec("lenet_d2l", settings={"precision": "float16"}))
    assert caught.value.code == "CN204"


def test_only_the_command_changes_process_settings_and_reports_them(
    cli: CommandLine, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied: list[str] = []

    def keep_memory() -> bool:
        applied.append("memory")
        return True

    def share_cores() -> bool:
        applied.append("cores")
        return False

    monkeypatch.setattr(machine, "keep_memory", keep_memory)
    monkeypatch.setattr(machine, "share_cores", share_cores)
    monkeypatch.setattr(machine, "_process_settings", [])
    cn.train("lenet_d2l", data=str(blobs), recipe="fast", epochs=1, limit=32, quiet=True)
    assert not applied and not any("glibc" in line for line in plan(*run_spec("lenet_d2l")).lines())
    _, _, err = cli("train", "lenet_d2l", "--data", blobs, "--limit", "32", "--set", "epochs=1")
    assert applied == ["cores", "memory"]
    assert "memory  glibc keeps up to 512 MB of freed memory (CLASSICNETS_MALLOC=system turns this off)" in err


def test_environment_variables_turn_process_settings_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSICNETS_MALLOC", "system")
    assert machine.keep_memory() is False
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert machine.share_cores() is False


def test_reports_that_batches_are_split(cli: CommandLine, blobs: Path) -> None:
    before = torch.get_num_threads()
    try:
        _, _, err = cli("train", "lenet_d2l", "--data", blobs, "--limit", "80", "--threads", "2", "--set", "epochs=1")
    finally:
        torch.set_num_threads(before)
    assert "batches are split over 2 threads (--batch-threads 1 turns this off)" in err
