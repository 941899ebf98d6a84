"""What `auto` means on a machine: the precision of the arithmetic, the number of threads; and how they are pinned."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets import machine
from classicnets.errors import UsageError
from classicnets.models.memory import put_channels_last
from classicnets.spec import run_spec
from classicnets.training.plan import plan


@pytest.fixture(params=["avx512_bf16", "amx_bf16", None])
def hardware(request, monkeypatch) -> bool:
    """A processor with these instructions; whether it multiplies bfloat16."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {request.param: True}, raising=False)
    return request.param is not None


def test_bfloat16_where_the_processor_multiplies_it_and_there_is_much_to_multiply(hardware):
    large = plan(*run_spec("alexnet_28", recipe="fast", device="cpu"))
    assert large.table.macs > 2_000_000 > plan(*run_spec("lenet_d2l", device="cpu")).table.macs
    assert large.recipe.precision == ("bfloat16" if hardware else "float32")
    assert (
        large.setting_sources["precision"] == "machine"
        and f", {large.recipe.precision} (auto), seed 0" in large.lines()[2]
    )
    assert plan(*run_spec("lenet_d2l", device="cpu")).recipe.precision == "float32"
    for pinned in ("float32", "bfloat16"):
        given = plan(*run_spec("alexnet_28", recipe="fast", settings={"precision": pinned}, device="cpu"))
        assert (given.recipe.precision, given.setting_sources["precision"]) == (pinned, "--set")
        assert f", {pinned}, seed 0" in given.lines()[2]
    assert large.as_published is plan(*run_spec("alexnet_28", recipe="fast", device="cpu")).as_published


def test_a_torch_that_does_not_tell_means_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert machine.choose_precision("cpu", 10**9) == "float32"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_on_cuda_from_ampere_on(monkeypatch, capability, expected):
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
def test_channels_lie_last_where_that_is_faster(device, macs, precision, last):
    assert machine.channels_last(device, macs, precision) is last


class Views(nn.Sequential):
    """Ends as many nets of one's own do."""

    def forward(self, x):
        x = super().forward(x)
        return x.view(len(x), -1)


@pytest.mark.parametrize(("kind", "last"), [(nn.Sequential, True), (Views, False)])
def test_weights_are_laid_out_for_channels_last_unless_the_net_needs_them_first(kind, last):
    net = kind(nn.Conv2d(1, 8, 3), nn.Dropout(), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3))
    net[2].eval()
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    assert put_channels_last(net, (1, 12, 12)) is last
    # a single channel could be read either way, so the strides say it
    assert (net[0].weight.stride() == (9, 1, 3, 1), net[3].weight.stride() == (72, 1, 24, 8)) == (last, last)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in net.parameters())
    assert torch.equal(torch.get_rng_state(), state) and net.training and not net[2].training
    with torch.no_grad():
        assert (
            nn.Sequential(*net[:3])(torch.rand(2, 1, 12, 12)).is_contiguous(memory_format=torch.channels_last) is last
        )
        net(torch.rand(5, 1, 12, 12))


def test_a_net_with_a_view_trains_and_predicts(hardware, blobs, tmp_path):
    net = Views(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.Conv2d(32, 5, 5, padding=2), nn.AdaptiveAvgPool2d((1, 2)))
    run = cn.train(net, data=str(blobs), recipe="fast", quiet=True, runs=tmp_path, epochs=1)
    assert run.facts["macs"] > 2_000_000 and run.evaluate().n


def test_a_plan_lays_its_net_out(hardware):
    for name, last in (("alexnet_28", True), ("lenet_d2l", False)):
        net = plan(*run_spec(name, recipe="fast", device="cpu")).build(print)
        weights = [weight for weight in net.parameters() if weight.dim() == 4 and weight.shape[1] > 1]
        assert weights and all(one.is_contiguous(memory_format=torch.channels_last) is last for one in weights)


def test_pictures_lie_on_the_gpu_if_they_take_no_more_than_half_of_what_is_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 5000))
    assert machine.has_room(torch.device("cuda"), 500) and not machine.has_room(torch.device("cuda"), 501)
    assert machine.has_room(torch.device("cpu"), 10**15)


def test_policies_are_pinned_on_the_command_line(cli, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    code, out, _ = cli("train", "lenet_d2l", "--dry-run", "--json", "--precision", "bfloat16", "--threads", "1")
    assert code == 0 and json.loads(out)["recipe"]["precision"] == "bfloat16" and 1 in asked
    asked.clear()
    assert cli("train", "lenet_d2l", "--dry-run", "--threads", "auto")[0] == 0 and not asked
    for wrong in ("0", "-1", "many"):
        assert cli("train", "lenet_d2l", "--threads", wrong)[0] == 2
    code, _, err = cli("train", "--resume", "runs/none", "--precision", "float32", "--threads", "2")
    assert code == 2 and "takes no --precision, --threads" in err


def test_precisions_are_named(hardware):
    with pytest.raises(UsageError, match="must be one of auto, float32, bfloat16") as caught:
        plan(*run_spec("lenet_d2l", settings={"precision": "float16"}))
    assert caught.value.code == "CN204"
