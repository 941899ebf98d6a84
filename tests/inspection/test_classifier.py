"""The check of a user's network: what is refused, what is remarked on, and what is sound, each with its cure."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune

import classicnets as cn
from classicnets.inspection.classifier import IMAGES, Check, check_classifier, check_output, check_registration
from classicnets.models.modules import complete, copy_module, unwrap
from classicnets.models.registry import NETS
from classicnets.spec import run_spec
from classicnets.training.plan import plan
from support.networks import small_input


def check(net: nn.Module, **options: object) -> Check:
    """The check of `net` in the plan of a run on Fashion-MNIST, which reads no image."""
    return plan(*run_spec(net, data="fashion_mnist", **options)).check


def dense(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), *layers)


class Features(nn.Module):
    """A sound base: eight features and a head of ten logits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(8, 10)

    def features(self, x: Tensor) -> Tensor:
        features: Tensor = self.body(x).flatten(1)
        return features

    def forward(self, x: Tensor) -> object:
        return self.head(self.features(x))


class DropsAlways(Features):
    def forward(self, x: Tensor) -> object:
        return self.head(F.dropout(self.features(x), 0.5))


class AddsNoise(Features):
    def forward(self, x: Tensor) -> object:
        return self.head(self.features(x) + torch.randn(8))


class Counts(Features):
    calls = 0

    def forward(self, x: Tensor) -> object:
        self.calls += 1
        return self.head(self.features(x)) + self.calls


class Squeezes(Features):
    def forward(self, x: Tensor) -> object:
        return self.head(self.body(x).squeeze())


class SoftmaxOverBatch(Features):
    def forward(self, x: Tensor) -> object:
        return self.head(self.features(x)).softmax(0)


class StandardizesBatch(Features):
    def forward(self, x: Tensor) -> object:
        return self.head(self.features((x - x.mean()) / x.std()))


class StandardizesBatchOfLeNet(nn.Module):
    """The book's LeNet, whose sigmoids hide most of a change of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cn.create("lenet_d2l")

    def forward(self, x: Tensor) -> object:
        return self.net((x - x.mean()) / x.std())


class SubtractsBatchMaximum(Features):
    def forward(self, x: Tensor) -> object:
        features = self.features(x)
        return self.head(features - features.amax(dim=0))


class DependsOnCount(Features):
    def forward(self, x: Tensor) -> object:
        return self.head(self.features(x) * len(x))


class NeverEvaluates(Features):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout()

    def eval(self) -> NeverEvaluates:
        return self

    def train(self, mode: bool = True) -> NeverEvaluates:
        return super().train(True)


class NeverTrains(Features):
    def train(self, mode: bool = True) -> NeverTrains:
        return super().train(False)


class Returns(Features):
    """Returns what a function makes of the logits and the features."""

    def __init__(self, make: Callable[[Tensor, Tensor], object], *, only_in_training: bool = False) -> None:
        super().__init__()
        self.make, self.only_in_training = make, only_in_training

    def forward(self, x: Tensor) -> object:
        features = self.features(x)
        logits = self.head(features)
        return logits if self.only_in_training and not self.training else self.make(logits, features)


Named = namedtuple("Named", ["features", "logits"])


@dataclass
class Outputs:
    logits: Tensor
    features: Tensor


class InList(nn.Module):
    def __init__(self, layers: object) -> None:
        super().__init__()
        self.layers = layers
        self.last = nn.Linear(10, 10)

    def forward(self, x: Tensor) -> Tensor:
        layers: list[nn.Module] = [*self.layers.values()] if isinstance(self.layers, dict) else [*self.layers]  # type: ignore[misc]
        for layer in layers:
            x = layer(x)
        result: Tensor = self.last(x)
        return result


class Holder:
    def __init__(self) -> None:
        self.layer = nn.Linear(784, 10)


class InObject(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.holder, self.last = Holder(), nn.Linear(10, 10)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.holder.layer(x.flatten(1)))
        return result


class PlainTensor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(784, 10)
        self.scale = torch.ones(10, requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(x.flatten(1)) * self.scale
        return result


GLOBAL = nn.Linear(8, 10)


class UsesGlobal(Features):
    def forward(self, x: Tensor) -> object:
        features = self.features(x)
        return self.head(features) + GLOBAL(features)


class NoParameters(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :10]


class LogOfNegative(Features):
    def forward(self, x: Tensor) -> object:
        return torch.log(self.head(self.features(x)) - 100)


class FailsInTraining(Features):
    def forward(self, x: Tensor) -> object:
        if self.training:
            raise KeyError("auxiliary")
        return super().forward(x)


class ChangesInput(Features):
    def forward(self, x: Tensor) -> object:
        x -= 0.5
        return super().forward(x)


class UnusedLayer(Features):
    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Linear(3, 3)


def zeros(net: nn.Module) -> nn.Module:
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    return net


def constant(net: nn.Module) -> nn.Module:
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.01)
    return net


def zero_last() -> nn.Module:
    last = nn.Linear(16, 10)
    nn.init.zeros_(last.weight)
    return dense(nn.Linear(784, 16), nn.ReLU(), last)


def frozen() -> nn.Module:
    net = dense(nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))
    net[1].requires_grad_(False)
    return net


REFUSED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {  # network, in the message, in a hint
    "dropout function": (DropsAlways, "F.dropout(self.features(x), 0.5)", "training=self.training"),
    "noise": (AddsNoise, "torch.randn(8)", "training=self.training"),
    "state in every call": (Counts, "changes from call to call", "if self.training"),
    "squeeze": (Squeezes, "for 1 image", "x.flatten(1)"),
    "softmax over the batch": (SoftmaxOverBatch, "axis 0", "leave out the softmax"),
    "standardized batch": (StandardizesBatch, "other images", "for each image"),
    "standardized batch of sigmoids": (StandardizesBatchOfLeNet, "other images", "for each image"),
    "maximum of the batch": (SubtractsBatchMaximum, "other images", "for each image"),
    "scaled by the count": (DependsOnCount, "other images", "for each image"),
    "batch norm without statistics": (
        lambda: nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten(), nn.Linear(784, 10)),
        "without running statistics",
        "track_running_stats=False",
    ),
    "eval that does not switch": (NeverEvaluates, "in training mode", "super().train(mode)"),
    "tuple": (lambda: Returns(lambda y, h: (y, h)), "returns a tuple", "--set net.output=0"),
    "second of a tuple": (lambda: Returns(lambda y, h: (h, y)), "1: 2x10", "--set net.output=1"),
    "list": (lambda: Returns(lambda y, h: [y, h]), "returns a list", "--set net.output=0"),
    "tuple in training": (
        lambda: Returns(lambda y, h: (y, h), only_in_training=True),
        "returns a tuple",
        "--set net.output=0",
    ),
    "dict": (lambda: Returns(lambda y, h: {"features": h, "logits": y}), "logits: 2x10", "--set net.output=logits"),
    "named tuple": (lambda: Returns(lambda y, h: Named(h, y)), "returns a Named", "--set net.output=logits"),
    "dataclass": (lambda: Returns(lambda y, h: Outputs(y, h)), "returns a Outputs", "--set net.output=logits"),
    "none": (lambda: Returns(lambda y, h: None), "", ""),
    "classes instead of logits": (lambda: Returns(lambda y, h: y.argmax(1)), "int64", "argmax()"),
    "layers in a list": (lambda: InList([nn.Flatten(), nn.Linear(784, 10)]), "layers", "nn.ModuleList(self.layers)"),
    "layers in a tuple": (lambda: InList((nn.Flatten(), nn.Linear(784, 10))), "layers", "nn.ModuleList(self.layers)"),
    "layers in a dict": (
        lambda: InList({"a": nn.Flatten(), "b": nn.Linear(784, 10)}),
        "layers",
        "nn.ModuleDict(self.layers)",
    ),
    "dropout in a list": (
        lambda: InList([nn.Flatten(), nn.Dropout(), nn.AdaptiveAvgPool1d(10)]),
        "layers",
        "nn.ModuleList",
    ),
    "layers in an object": (InObject, "holder", "self.add_module"),
    "plain tensor": (PlainTensor, "scale", "nn.Parameter(self.scale)"),
    "global layer": (UsesGlobal, "10x8", "attribute of the module"),
    "no parameters": (NoParameters, "no parameters", "nn.ModuleList"),
    "detached": (lambda: Returns(lambda y, h: y.detach()), "cuts the gradient", "layers' outputs"),
    "all frozen": (lambda: dense(nn.Linear(784, 10)).requires_grad_(False), "frozen", "requires_grad_(True)"),
    "not finite": (LogOfNegative, "not finite", "log(0)"),
    "fails in training": (FailsInTraining, "KeyError: 'auxiliary'", ""),
    "double": (lambda: dense(nn.Linear(784, 10)).double(), "float64", ".double()"),
    "half": (lambda: dense(nn.Linear(784, 10)).half(), "float16", ".float()"),
    "bfloat16": (lambda: dense(nn.Linear(784, 10)).bfloat16(), "bfloat16", ".float()"),
    "one layer in double": (
        lambda: dense(nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10).double()),
        "3.weight",
        ".float()",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_what_is_no_classifier(case: str) -> None:
    make, text, hint = REFUSED[case]
    with pytest.raises(cn.UsageError) as caught:
        check(make())
    assert caught.value.code in {"CN201", "CN209"}
    assert text in str(caught.value), caught.value
    assert hint in "\n".join(caught.value.hints), caught.value


REMARKS: dict[str, tuple[Callable[[], nn.Module], str, str]] = {  # network, topic, in the message
    "softmax": (lambda: dense(nn.Linear(784, 10), nn.Softmax(dim=1)), "softmax_output", "0.23"),
    "softmax over the last axis": (lambda: dense(nn.Linear(784, 10), nn.Softmax(dim=-1)), "softmax_output", "0.23"),
    "softmax function": (lambda: Returns(lambda y, h: F.softmax(y, 1)), "softmax_output", "0.23"),
    "softmax of zero weights": (
        lambda: zeros(dense(nn.Linear(784, 10), nn.Softmax(dim=1))),
        "softmax_output",
        "0.23",
    ),
    "sigmoid": (lambda: dense(nn.Linear(784, 10), nn.Sigmoid()), "bounded_output", "sigmoid"),
    "tanh": (lambda: dense(nn.Linear(784, 10), nn.Tanh()), "bounded_output", "0.45"),
    "relu": (lambda: dense(nn.Linear(784, 10), nn.ReLU()), "relu_output", "ReLU"),
    "relu function": (lambda: Returns(lambda y, h: y.relu()), "relu_output", "ReLU"),
    "relu before a flatten": (
        lambda: nn.Sequential(nn.Conv2d(1, 10, 28), nn.ReLU(), nn.Flatten()),
        "relu_output",
        "ReLU",
    ),
    "two dense layers": (lambda: dense(nn.Linear(784, 64), nn.Linear(64, 10)), "no_activation", "between 1 and 2"),
    "with dropout and batch norm between": (
        lambda: dense(nn.Linear(784, 64, bias=False), nn.BatchNorm1d(64), nn.Dropout(), nn.Linear(64, 10)),
        "no_activation",
        "between 1 and 4",
    ),
    "zero weights": (
        lambda: zeros(dense(nn.Linear(784, 16), nn.Sigmoid(), nn.Linear(16, 10))),
        "equal_units",
        "of 1 start",
    ),
    "equal weights": (
        lambda: constant(dense(nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))),
        "equal_units",
        "1 start",
    ),
    "frozen layer": (frozen, "frozen_parameters", "1.weight, 1.bias"),
    "unused layer": (UnusedLayer, "unused_parameters", "extra.weight, extra.bias"),
    "train without effect": (NeverTrains, "never_trains", "training mode"),
    "input changed in place": (ChangesInput, "changes_input", "x -= 0.5"),
}


@pytest.mark.parametrize("case", REMARKS)
def test_remarks_on_what_limits_training(case: str) -> None:
    make, topic, text = REMARKS[case]
    [remark] = check(make(), initialize="as_built").remarks
    assert remark.topic == topic and text in remark.message and remark.hint


SOUND: dict[str, Callable[[], nn.Module]] = {
    "features": Features,
    "linear": lambda: dense(nn.Linear(784, 10)),
    "log-softmax": lambda: dense(nn.Linear(784, 10), nn.LogSoftmax(dim=1)),
    "bottleneck": lambda: dense(nn.Linear(784, 4), nn.Linear(4, 10)),
    "dense, relu, dense": lambda: dense(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)),
    "dropout as a layer": lambda: dense(nn.Linear(784, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 10)),
    "batch norm": lambda: nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(784, 10)),
    "group and layer norm": lambda: nn.Sequential(
        nn.Conv2d(1, 8, 5), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(), nn.LayerNorm(4608), nn.Linear(4608, 10)
    ),
    "zero-initialized last layer": zero_last,
    "linear with zero weights": lambda: zeros(dense(nn.Linear(784, 10))),
    "lazy": lambda: nn.Sequential(nn.LazyConv2d(8, 5), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(10)),
    "compiled": lambda: torch.compile(dense(nn.Linear(784, 10))),  # type: ignore[dict-item, return-value]
    "data parallel": lambda: nn.DataParallel(dense(nn.Linear(784, 10))),
    "weight norm": lambda: dense(nn.utils.parametrizations.weight_norm(nn.Linear(784, 10))),
    "spectral norm": lambda: dense(
        nn.utils.parametrizations.spectral_norm(nn.Linear(784, 32)), nn.ReLU(), nn.Linear(32, 10)
    ),
    "orthogonal": lambda: dense(nn.utils.parametrizations.orthogonal(nn.Linear(784, 32)), nn.ReLU(), nn.Linear(32, 10)),
    "pruned": lambda: dense(prune.l1_unstructured(nn.Linear(784, 10), "weight", amount=0.5)),
    "random in training mode only": lambda: dense(nn.Linear(784, 32), nn.RReLU(), nn.Linear(32, 10)),
    "tied weights": lambda: dense(
        nn.Linear(784, 32), *[nn.ReLU(), nn.Linear(32, 32)] * 2, nn.ReLU(), nn.Linear(32, 10)
    ),
    "registered layers in a list": lambda: Registered(),
}


class Registered(Features):
    def __init__(self) -> None:
        super().__init__()
        self.order = [self.body, self.head]


@pytest.mark.filterwarnings("ignore:.*is deprecated")  # torch.compile of torch
@pytest.mark.parametrize("case", SOUND)
def test_a_sound_network_gets_no_remark(case: str) -> None:
    net = SOUND[case]()
    state = {name: tensor for name, tensor in unwrap(net).state_dict().items() if not nn.parameter.is_lazy(tensor)}
    before = {name: tensor.clone() for name, tensor in state.items()}
    generator = torch.get_rng_state()
    assert check(net, initialize="as_built").remarks == ()
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.items())
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.parametrize(
    ("case", "output"),
    [
        ("tuple", "0"),
        ("second of a tuple", "1"),
        ("list", "0"),
        ("tuple in training", "0"),
        ("dict", "logits"),
        ("named tuple", "logits"),
        ("dataclass", "logits"),
    ],
)
def test_vary_selects_the_logits(case: str, output: str) -> None:
    net = REFUSED[case][0]()
    assert isinstance(net, Returns)
    assert check(cn.vary(net, output=output)).remarks == ()
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(cn.vary(net, output=output)(x), net.head(net.features(x)))


def test_an_output_that_is_not_there_is_named() -> None:
    with pytest.raises(cn.UsageError, match="cannot take") as caught:
        check(cn.vary(Returns(lambda y, h: {"a": y}), output="logits"))
    assert "without 'logits'" in str(caught.value)


def test_batch_norm_needs_two_images() -> None:
    assert check(SOUND["batch norm"]()).needs_two_images
    assert not check(SOUND["group and layer norm"]()).needs_two_images
    with pytest.raises(cn.UsageError, match="batch_size=1") as caught:
        check(SOUND["batch norm"](), batch_size=1)
    assert caught.value.hints == ("--set batch_size=2",)


@pytest.mark.filterwarnings("ignore:.*is deprecated")
@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel], ids=["compile", "DataParallel"])
def test_wrappers_are_taken_off(wrap: Callable[[nn.Module], nn.Module]) -> None:
    net = dense(nn.Linear(784, 10))
    assert unwrap(wrap(net)) is net and unwrap(net) is net


@pytest.mark.filterwarnings("ignore:.*is deprecated")
def test_a_copy_equals_its_network() -> None:
    layers: list[nn.Module] = [nn.utils.weight_norm(nn.Linear(784, 32)), nn.ReLU(), nn.BatchNorm1d(32)]
    layers += [nn.utils.parametrizations.weight_norm(nn.Linear(32, 10)), nn.Dropout().eval()]
    net = dense(*layers)
    copied, x = copy_module(net), torch.rand(3, 1, 28, 28)
    assert [m.training for m in copied.modules()] == [m.training for m in net.modules()]
    assert torch.equal(copied.eval()(x), net.eval()(x))
    with torch.no_grad():
        next(copied.parameters()).add_(1)
    assert not torch.equal(copied(x), net(x))


def test_completes_lazy_layers_and_keeps_modes() -> None:
    net = SOUND["lazy"]()
    assert complete(net, (1, 28, 28)) is net and net.training
    assert net(torch.rand(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_every_network_of_the_registry_is_sound(name: str) -> None:
    channels, size, _ = small_input(name)
    images = torch.rand(IMAGES, channels, size, size) * torch.linspace(0.3, 1, IMAGES)[:, None, None, None]
    net, rebuilt = (NETS[name].load()(10, channels, size) for _ in range(2))
    check_registration(net, name=name)
    check_output(net, images, 10, name=name)
    assert check_classifier(net, rebuilt, images, name=name).remarks == ()
