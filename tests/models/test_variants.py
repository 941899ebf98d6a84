"""Variations: replaced layers of any network, reported and recorded by every run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.models.layers import ScaledTanh, Subsampling
from classicnets.models.lrn import LRN
from classicnets.models.registry import NETS
from classicnets.models.variants import CHOICES, vary
from classicnets.runs import formats, net_spec
from classicnets.schema import check
from classicnets.spec import run_spec
from support.command_line import CommandLine
from support.typed import layer_of, present

OWN_NETWORK = """
from torch import nn
net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Tanh(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(144, 20), nn.Tanh(),
                    nn.Linear(20, 10))
"""


def custom_network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        nn.Sequential(nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 6), nn.ELU()), nn.AvgPool2d((2, 1), (2, 1)), nn.Flatten(),
        nn.Linear(6 * 1 * 3, 8), nn.LayerNorm(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3),
    )  # fmt: skip


class OwnForward(nn.Module):
    """A network with its own forward() that uses one activation in several places."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3)
        self.activation = nn.Sigmoid()
        self.shared = self.activation
        self.hidden, self.out = nn.Linear(2 * 6 * 6, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.shared(self.conv2(self.activation(self.conv1(x))))
        x = self.out(self.activation(self.hidden(x.flatten(1))))
        return x


def kinds(net: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in net.modules() if not [*layer.children()]]


X = torch.rand(4, 1, 10, 10)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("relu", torch.relu),
        ("sigmoid", torch.sigmoid),
        ("tanh", torch.tanh),
        ("scaled_tanh", lambda x: 1.7159 * torch.tanh(2 / 3 * x)),
        ("leaky_relu", lambda x: torch.where(x > 0, x, 0.01 * x)),
        ("prelu", lambda x: torch.where(x > 0, x, 0.25 * x)),
        ("random_relu", lambda x: torch.where(x > 0, x, x * (1 / 8 + 1 / 3) / 2)),
        ("none", lambda x: x),
    ],
)
def test_replaces_every_activation(name: str, function: Callable[..., Any]) -> None:
    assert name in CHOICES["activation"]
    net = OwnForward().eval()
    varied = vary(net, activation=name)
    activation = varied.get_submodule("activation")
    assert activation is varied.shared and not activation.training
    x = function(net.conv2(function(net.conv1(X)))).flatten(1)
    torch.testing.assert_close(varied(X), net.out(function(net.hidden(x))))
    assert type(net.activation) is nn.Sigmoid
    assert not {"GELU", "ELU", "Tanh"} & set(kinds(vary(custom_network(), activation="sigmoid")))


def test_new_pool_keeps_its_window() -> None:
    net = custom_network().eval()
    for kind, layer_class in (("max", nn.MaxPool2d), ("average", nn.AvgPool2d)):
        varied = vary(net, pool=kind)
        first, second = layer_of(varied, 3, layer_class), layer_of(varied, 5, layer_class)
        assert type(first) is type(second) is layer_class
        assert (first.kernel_size, first.stride, first.padding, first.ceil_mode) == (3, 2, 1, True)
        assert (second.kernel_size, second.stride) == ((2, 1), (2, 1))
        assert varied(X).shape == net(X).shape
    subsampled = nn.Sequential(Subsampling(2), nn.AdaptiveAvgPool2d(3), nn.LPPool2d(2, 3))
    assert [str(layer) for layer in vary(subsampled, pool="max").children()] == [
        "MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=0, dilation=1, ceil_mode=False)",
        "AdaptiveMaxPool2d(output_size=3)",
        "MaxPool2d(kernel_size=3, stride=3, padding=0, dilation=1, ceil_mode=False)",
    ]
    with pytest.raises(ValueError, match=r"0 = MaxPool2d.* no average pooling counterpart"):
        vary(nn.Sequential(nn.MaxPool2d(2, dilation=2)), pool="average")


def test_removes_or_replaces_normalization() -> None:
    net = custom_network()
    none = vary(net, norm="none")
    assert [type(none.get_submodule(name)) for name in ("1", "4.1", "8")] == [nn.Identity] * 3
    assert not {"BatchNorm2d", "GroupNorm", "LayerNorm"} & set(kinds(none))
    batch = vary(net, norm="batch")
    assert str(batch.get_submodule("4.1")).startswith("BatchNorm2d(6,")
    assert str(batch.get_submodule("8")).startswith("BatchNorm1d(8,")
    assert torch.equal(*(layer_of(some, 1, nn.BatchNorm2d).weight for some in (batch, net)))  # an existing one stays
    lrn = vary(net, norm="lrn")
    assert [type(lrn.get_submodule(name)) for name in ("1", "4.1", "8")] == [LRN, LRN, nn.LayerNorm]
    for varied in (none, batch, lrn):
        assert varied(X).shape == (4, 3)


def test_inserts_batch_norm_after_every_convolution() -> None:
    net = cn.create("lenet_d2l")
    assert isinstance(net, nn.Sequential)
    varied = vary(net, norm="batch")
    names = [name for name, _ in varied.named_children()]
    assert names[:5] == ["conv1", "conv1_norm", "sigmoid1", "pool1", "conv2"]
    assert names[5] == "conv2_norm" and len(names) == len(net) + 2
    assert set(net.state_dict()) < set(varied.state_dict())
    assert all(torch.equal(tensor, varied.state_dict()[name]) for name, tensor in net.state_dict().items())
    assert varied(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    with pytest.raises(cn.UsageError):  # the guard is copied too
        varied(torch.rand(2, 1, 30, 30))


def order(net: nn.Module) -> str:
    """The kinds of layers in order, without dense layers and what follows them."""
    short = {"Conv2d": "conv", "BatchNorm2d": "norm", "MaxPool2d": "pool", "AvgPool2d": "pool", "ReLU": "relu"}
    return " ".join(short.get(kind, kind) for kind in kinds(net))


@pytest.mark.parametrize(
    ("layers", "batch", "after"),
    [
        ("conv relu conv relu", "conv norm relu conv norm relu", "conv relu norm conv relu norm"),
        ("conv pool relu conv", "conv norm pool relu conv norm", "conv pool relu norm conv norm"),  # no activation
        ("conv norm relu conv", "conv norm relu conv", "conv relu norm conv"),  # only existing ones, as with "batch"
        ("conv norm pool drop relu", "conv norm pool Dropout relu", "conv pool Dropout relu norm"),
        ("conv relu norm pool conv", "conv relu norm pool conv", "conv relu norm pool conv"),  # they are there already
        ("conv relu lrn pool", "conv relu norm pool", "conv relu norm pool"),
        ("conv lrn relu pool", "conv norm relu pool", "conv relu norm pool"),
    ],
)
def test_puts_batch_norm_before_or_after_the_activation(layers: str, batch: str, after: str) -> None:
    make: dict[str, Callable[[], nn.Module]] = {
        "conv": lambda: nn.Conv2d(2, 2, 1), "relu": nn.ReLU, "norm": lambda: nn.BatchNorm2d(2),
        "pool": lambda: nn.MaxPool2d(1), "lrn": LRN, "drop": nn.Dropout,
    }  # fmt: skip
    net = nn.Sequential(*(make[word]() for word in layers.split()))
    assert order(vary(net, norm="batch")) == batch and order(vary(net, norm="batch_after")) == after
    assert vary(net, norm="batch_after")(torch.rand(2, 2, 4, 4)).shape == (2, 2, 4, 4)


def test_batch_norm_keeps_its_name_and_weights_where_it_moves() -> None:
    net = vary(cn.create("lenet_d2l"), norm="batch")
    nn.init.uniform_(layer_of(net, "conv2_norm", nn.BatchNorm2d).weight)
    moved = vary(net, norm="batch_after")
    names = [name for name, _ in moved.named_children()]
    assert names[:7] == ["conv1", "sigmoid1", "conv1_norm", "pool1", "conv2", "sigmoid2", "conv2_norm"]
    assert {name: t.tolist() for name, t in moved.state_dict().items()} == {
        name: t.tolist() for name, t in net.state_dict().items()
    }
    assert [name for name, _ in net.named_children()][1] == "conv1_norm"


def test_width_reaches_every_command(cli: CommandLine, blobs: Path) -> None:
    narrow = cn.create("lenet_d2l", variation={"width": 0.5})
    assert layer_of(narrow, "fc1", nn.Linear).weight.shape == (60, 200)
    _, out, _ = cli("show", "lenet_d2l", "--set", "net.width=0.5", "--json")
    assert json.loads(out)["net"] == "lenet_d2l with width=0.5" and json.loads(out)["totals"]["parameters"] == 15738
    code, out, err = cli("show", "lenet5_1998", "--set", "net.width=2")
    assert (code, out) == (2, "") and "C3 is a TableConv2d" in err and "error[CN204]" in err


def test_sets_removes_and_inserts_dropout() -> None:
    assert layer_of(vary(custom_network(), dropout=0.1), 10, nn.Dropout).p == 0.1
    assert type(vary(custom_network(), dropout=0).get_submodule("10")) is nn.Identity
    names = [name for name, _ in vary(cn.create("lenet_d2l"), dropout=0.5).named_children()]
    assert names[7:] == ["fc1", "sigmoid3", "fc1_dropout", "fc2", "sigmoid4", "fc2_dropout", "fc3"]
    both = vary(cn.create("lenet_d2l").eval(), activation="relu", dropout=0.5)
    assert not any(layer.training for layer in both.modules())


@pytest.mark.parametrize(
    ("net", "settings", "words"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), {"activation": "relu"}, "no activation layer to replace"),
        (nn.Linear(4, 2), {"pool": "max"}, "no pooling layer to replace"),
        (nn.Linear(4, 2), {"norm": "none"}, "no normalization layer to replace"),
        (nn.Conv2d(1, 1, 1), {"norm": "lrn"}, "no normalization layer to replace"),
        (nn.Linear(4, 2), {"norm": "batch"}, "no normalization layer to replace, and no convolution"),
        (nn.Sequential(nn.BatchNorm2d(2), nn.LocalResponseNorm(3)), {"norm": "batch"}, "channels of 1 is unknown"),
        (nn.Linear(4, 2), {"dropout": 0.5}, "no dropout layer to set, and no hidden dense layer"),
        (nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2)), {"dropout": 0.0}, "no dropout layer to remove"),
        (nn.Dropout(), {"dropout": 1.0}, "at least 0 and below 1"),
        (nn.Dropout(), {"dropout": math.nan}, "at least 0 and below 1"),
        (nn.ReLU(), {"activation": "rleu"}, "must be one of relu, sigmoid"),
        (OwnForward(), {"norm": "batch"}, "inserted after conv1: OwnForward is not an nn.Sequential"),
        (OwnForward(), {"dropout": 0.5}, "inserted after hidden"),
        (nn.Conv2d(1, 1, 1), {"norm": "batch"}, "inserted after net"),
        (
            nn.Sequential(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)), nn.ReLU()),
            {"norm": "batch_after"},
            "0.1 cannot be moved behind 1, because they are in different",
        ),
        (nn.Sequential(nn.ModuleList([nn.BatchNorm2d(1)])), {"norm": "batch_after"}, "0.0 cannot be moved"),
    ],
)
def test_rejects_impossible_replacements(net: nn.Module, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        vary(net, **settings)


def test_varies_single_layers_shared_blocks_and_existing_names() -> None:
    assert type(vary(nn.ReLU(), activation="tanh")) is nn.Tanh
    block = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU())
    twice = vary(nn.Sequential(block, block), norm="batch", activation="tanh")
    assert isinstance(twice, nn.Sequential)
    assert twice[0] is twice[1] and kinds(twice[0]) == ["Conv2d", "BatchNorm2d", "Tanh"]
    blocks = nn.ModuleDict({"conv": nn.Conv2d(1, 1, 3), "conv_norm": nn.ReLU()})
    varied = vary(nn.Sequential(nn.Sequential(blocks["conv"], blocks["conv_norm"])), norm="batch")
    assert [*varied.get_submodule("0")._modules] == ["0", "0_norm", "1"]


def test_new_layers_have_the_device_and_dtype_of_the_network() -> None:
    varied = vary(cn.create("lenet_d2l").double(), activation="prelu", norm="batch")
    assert {p.dtype for p in varied.parameters()} == {torch.float64}
    with torch.device("meta"):
        net = cn.create("lenet_d2l")
    assert {p.device.type for p in vary(net, activation="prelu", norm="batch").parameters()} == {"meta"}


@pytest.mark.parametrize("name", NETS)
def test_varies_every_network_of_the_registry(name: str) -> None:
    entry = NETS[name]
    with torch.device("meta"):
        net = entry.load()(entry.classes, entry.input[0], entry.input[1])
        x = torch.rand(2, *entry.input)
        for activation in CHOICES["activation"]:
            assert vary(net, activation=activation)(x).shape == (2, entry.classes)
        for pool in CHOICES["pool"]:
            if any(kind in str(net) for kind in ("Pool", "Subsampling")):
                assert vary(net, pool=pool)(x).shape == (2, entry.classes)
        assert vary(net, norm="batch")(x).shape == (2, entry.classes)
        if "Norm" in str(net) or "LRN" in str(net):
            for norm in CHOICES["norm"]:
                assert vary(net, norm=norm)(x).shape == (2, entry.classes)


def test_variations_compute_different_outputs() -> None:
    net = cn.create("lenet_d2l")
    x = torch.rand(2, 1, 28, 28)
    outputs = [vary(net, pool=pool)(x) for pool in CHOICES["pool"]]
    assert torch.equal(outputs[1], net(x)) and not torch.allclose(*outputs)
    assert type(vary(net, activation="scaled_tanh").sigmoid1) is ScaledTanh


# ------------------------------------------------------------------------------------ reported and recorded by a run

RELU_MAX = {"activation": "relu", "pool": "max"}


def test_restores_the_variation_from_run_json() -> None:
    spec = net_spec.with_variation(net_spec.find("lenet_d2l"), {"activation": "relu", "dropout": "0.5"})
    assert spec.variation == {"activation": "relu", "dropout": 0.5}
    assert spec.label == "lenet_d2l-relu-dropout_0.5"
    assert spec.display_name == "lenet_d2l with activation=relu, dropout=0.5"
    restored = net_spec.NetSpec(**json.loads(json.dumps(spec.to_dict())))
    assert restored == spec
    assert net_spec.with_variation(restored, {"activation": "none"}).label == "lenet_d2l-activation_none-dropout_0.5"
    assert net_spec.NetSpec(kind="registry", name="lenet_d2l").display_name == "lenet_d2l"


def test_run_reports_its_variation_and_can_be_opened(cli: CommandLine, blobs: Path, tmp_path: Path) -> None:
    run = cn.train("lenet_d2l", data=str(blobs), variation=RELU_MAX, epochs=1, limit=64, lr=0.1, quiet=True)
    assert run.path.name == "lenet_d2l-relu-max-blobs-1"
    assert run.facts["net"]["variation"] == RELU_MAX and not run.facts["as_published"]
    assert "# lenet_d2l with activation=relu, pool=max on blobs" in (run.path / "card.md").read_text()
    assert "of the network without activation=relu, pool=max" in present(run.result)["verdict"]
    opened = cn.Run(run.path)
    assert kinds(opened.net).count("ReLU") == 4 and kinds(opened.net).count("MaxPool2d") == 2
    assert opened.evaluate().accuracy == present(run.result)["test_accuracy"]
    assert "lenet_d2l with activation=relu, pool=max (last" in cli("evaluate", run.path)[1]
    _, out, _ = cli("show", run.path)
    assert "lenet_d2l with activation=relu, pool=max for 1x28x28" in out and "MaxPool2d" in out


def test_initial_weights_do_not_depend_on_the_variation(blobs: Path) -> None:
    from classicnets.training.plan import plan

    plain, varied = (plan(*run_spec("lenet_d2l", data=str(blobs), variation=v)).build(print) for v in ({}, RELU_MAX))
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), varied.parameters(), strict=True))


def test_varies_your_own_network(cli: CommandLine, blobs: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_NETWORK)
    code, _, err = cli("train", "own.py:net", "--data", blobs, "--limit", 64, "--set", "epochs=1", "net.norm=batch")
    assert code == 0 and "own_net with norm=batch" in err
    assert cli("evaluate", "runs/own_net-batch-blobs-1")[0] == 0
    (tmp_path / "own.py").write_text("# moved")
    copied = "runs/own_net-batch-blobs-1/net.py:net"
    assert (
        cli("evaluate", "runs/own_net-batch-blobs-1", "--net", copied)[0] == 0
    )  # with the variation, so that the weights fit


def test_resumes_a_run_with_its_variation(cli: CommandLine, blobs: Path) -> None:
    from classicnets.training.plan import plan
    from classicnets.training.session import Session

    training_plan = plan(
        *run_spec("lenet_d2l", data=str(blobs), variation={"norm": "batch"}, settings={"epochs": 2}, limit=64)
    )
    started = Session.start(training_plan, lambda _: None)
    next(started.events())
    assert "conv1_norm.weight" in Session.resume(started.folder.path, lambda _: None).net.state_dict()


def test_train_show_and_create_accept_the_same_variations(cli: CommandLine, blobs: Path) -> None:
    code, out, _ = cli(
        "train", "lenet_d2l", "--data", blobs, "--set", "net.activation=relu", "net.pool=max", "--dry-run"
    )
    assert code == 0 and "lenet_d2l with activation=relu, pool=max: 61,706 parameters" in out
    assert "net.pool" in out and out.count("--set") >= 2
    code, out, _ = cli("show", "lenet_d2l", "--set", "net.pool=max", "--json")
    assert json.loads(out)["net"] == "lenet_d2l with pool=max"
    assert type(cn.create("lenet_d2l", variation={"pool": "max"}).pool1) is nn.MaxPool2d


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "lenet_d2l", "--set", "net.activaton=relu"], "hint:  --set net.activation=relu"),
        (["train", "lenet_d2l", "--set", "activation=relu"], "hint:  --set net.activation=relu"),
        (["train", "lenet_d2l", "--set", "net.activation=rleu"], "must be one of relu"),
        (["train", "lenet_d2l", "--set", "net.dropout=lots", "net.pool=min"], "net.dropout=lots: must be a number"),
        (["train", "lenet_d2l", "--set", "net.dropout=2"], "at least 0 and below 1"),
        (["train", "lenet_d2l", "--set", "net.width=wide"], "net.width=wide: must be a number"),
        (["train", "lenet_d2l", "--set", "net.width=0"], "net.width=0: must be a factor from 0.01 to 100"),
        (["train", "lenet_d2l", "--set", "net.dropconnect=1"], "at least 0 and below 1"),
        (["train", "lenet_d2l", "--set", "net.norm=none"], "no normalization layer to replace"),
        (["show", "lenet_d2l", "--set", "net.norm=none"], "error[CN204]"),
        (["show", "lenet_d2l", "--set", "lr=1"], "show takes only settings of the network, and 'lr' is not one"),
        (["show", "lenet_d2l", "--set", "net.widht=1"], "net.activation, net.pool, net.norm, net.dropout"),
    ],
)
def test_rejects_mistakes_before_reading_data(cli: CommandLine, blobs: Path, arguments: list[str], words: str) -> None:
    code, out, err = cli(*arguments, *(["--data", blobs] if arguments[0] == "train" else []))
    assert (code, out) == (2, "") and words in err


def test_train_rejects_a_variation_of_a_module(blobs: Path) -> None:
    with pytest.raises(cn.UsageError) as caught:
        cn.train(cn.create("lenet_d2l"), data=str(blobs), variation=RELU_MAX)
    assert caught.value.code == "CN204"
    assert caught.value.hints == ("net = cn.vary(net, activation='relu', pool='max')",)


@pytest.mark.parametrize("name", net_spec.VARIATIONS)
def test_every_variation_can_be_read_from_a_run_folder(name: str) -> None:
    value = CHOICES[name][0] if name in CHOICES else "sigmoid" if name == "output" else 0.5
    spec = net_spec.with_variation(net_spec.find("lenet_d2l"), {name: value})
    check(json.loads(json.dumps(asdict(spec))), formats.RUN.kinds["net"])
