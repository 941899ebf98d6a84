"""A user's network in a run: it is checked before data is read, completed, and saved as it lives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import classicnets as cn
from classicnets.datasets.types import Split
from classicnets.events import Advice, Epoch, Event
from classicnets.images import batches
from classicnets.models.modules import copy_module
from classicnets.recipes import resolve
from classicnets.runs import history
from classicnets.training import initialize, optim
from classicnets.training.freeze import freeze
from classicnets.training.loop import train_mode
from classicnets.training.session import Session
from classicnets.training.state import State
from support.command_line import CommandLine

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated")

HEADER = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(784, 10)
"""
# What a save does not hold: the rest of the class, the attribute in the message, and the cure.
NOT_SAVED = {
    "running mean": (
        """
        self.mean = torch.zeros(1, 784)
    def forward(self, x):
        x = x.flatten(1)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0, True).detach()
        return self.head(x - self.mean)
""",
        "mean",
        "self.register_buffer('mean', torch.zeros(1, 784))",
    ),
    "random tensor": (
        """
        self.projection = torch.randn(784, 784) / 28
    def forward(self, x):
        return self.head(x.flatten(1) @ self.projection)
""",
        "projection",
        "self.register_buffer('projection', ...)",
    ),
    "non-persistent buffer": (
        """
        self.register_buffer("scale", torch.ones(1), persistent=False)
    def forward(self, x):
        if self.training:
            self.scale = self.scale + x.mean().detach()
        return self.head(x.flatten(1)) * self.scale
""",
        "scale",
        "self.register_buffer('scale', torch.ones(1))",
    ),
    "counter": (
        """
        self.calls = 0
    def forward(self, x):
        self.calls += self.training
        return self.head(x.flatten(1)) / (1 + self.calls)
""",
        "calls",
        "self.register_buffer('calls', torch.tensor(0))",
    ),
    "tensors in a list": (
        """
        self.scales = [torch.rand(784), torch.rand(784)]
    def forward(self, x):
        return self.head(x.flatten(1) * self.scales[0] * self.scales[1])
""",
        "scales",
        "nn.ParameterList",
    ),
    "closure": (
        """
        weights = torch.randn(784)
        self.scale = lambda x: x * weights
    def forward(self, x):
        return self.head(self.scale(x.flatten(1)))
""",
        "neither parameters nor buffers",
        "self.register_buffer",
    ),
    "global": (
        """
        self.scale = 1
    def forward(self, x):
        return self.head(x.flatten(1) * SCALE)
SCALE = torch.rand(784)
""",
        "neither parameters nor buffers",
        "self.register_buffer",
    ),
}


def network_file(folder: Path, code: str, name: str = "own.py") -> str:
    path = folder / name
    path.write_text(HEADER + code)
    return f"{path}:Net"


@pytest.mark.parametrize("case", NOT_SAVED)
def test_state_that_a_save_does_not_hold_is_refused(blobs: Path, tmp_path: Path, case: str) -> None:
    code, text, cure = NOT_SAVED[case]
    with pytest.raises(cn.UsageError) as caught:
        cn.train(network_file(tmp_path, code), data=blobs, epochs=1)
    assert caught.value.code == "CN210" and text in str(caught.value)
    assert cure in "\n".join(caught.value.hints)
    assert not Path("runs").exists()


def test_following_the_cure_saves_the_state(blobs: Path, tmp_path: Path) -> None:
    code = NOT_SAVED["running mean"][0].replace("self.mean = torch.zeros", 'self.register_buffer("mean", torch.zeros')
    run = cn.train(network_file(tmp_path, code.replace("784)\n    def", "784))\n    def")), data=blobs, epochs=2)
    assert run.result and run.evaluate().accuracy == run.result["test_accuracy"]


LATE = """
        self.calls = 0
    def forward(self, x):
        self.calls += self.training
        return self.head(x.flatten(1)) * (2 if self.calls > 20 else 1)
"""


def test_state_that_appears_during_training_is_named_at_the_end(blobs: Path, tmp_path: Path) -> None:
    with pytest.raises(cn.UsageError) as caught:
        cn.train(network_file(tmp_path, LATE), data=blobs, epochs=8, batch_size=100)
    assert caught.value.code == "CN210" and "calls" in str(caught.value)
    [run] = Path("runs").iterdir()
    assert "result" not in json.loads((run / "run.json").read_text())


class Late(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head, self.calls = nn.Linear(784, 10), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        logits: Tensor = self.head(x.flatten(1))
        return logits * (2 if self.calls > 20 else 1)


def test_a_module_from_python_is_held_against_its_copy(blobs: Path) -> None:
    with pytest.raises(cn.UsageError, match="do not hold its whole state"):
        cn.train(Late(), data=blobs, epochs=8, batch_size=100)


def test_remarks_are_recorded_as_advice_once(blobs: Path, cli: CommandLine) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Softmax(dim=1))
    run = cn.train(net, data=blobs, epochs=1)
    advice = [event for event in history.read(run.folder.history) if isinstance(event, Advice)]
    assert [event.topic for event in advice].count("softmax_output") == 1


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.LazyLinear(16), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(10)],
        lambda: [nn.utils.weight_norm(nn.Linear(784, 16)), nn.ReLU(), nn.Linear(16, 10)],
        lambda: [nn.utils.parametrizations.weight_norm(nn.Linear(784, 16)), nn.ReLU(), nn.Linear(16, 10)],
        lambda: [nn.utils.parametrizations.spectral_norm(nn.Linear(784, 16)), nn.ReLU(), nn.Linear(16, 10)],
    ],
    ids=["lazy", "old weight norm", "weight norm", "spectral norm"],
)
@pytest.mark.parametrize("options", [{"ema": 0.9}, {"freeze": "1"}, {"weight_decays": "0.1,0.001"}, {}], ids=str)
def test_special_layers_are_trained_saved_and_loaded(
    blobs: Path, layers: Callable[[], list[nn.Module]], options: dict[str, object]
) -> None:
    net = nn.Sequential(nn.Flatten(), *layers())
    blank = copy_module(net)
    run = cn.train(copy_module(net), data=blobs, epochs=1, **options)
    loaded = cn.Run(run.path, net=blank)
    assert run.result and loaded.evaluate().accuracy == run.result["test_accuracy"]


def test_compiled_modules_are_trained_as_they_are_without_compilation(blobs: Path) -> None:
    layer = nn.Linear(784, 10)
    before = layer.weight.clone()
    compiled: nn.Module = torch.compile(nn.Sequential(nn.Flatten(), layer))  # type: ignore[assignment]
    run = cn.train(compiled, data=blobs, epochs=1)
    assert not torch.equal(layer.weight, before)
    assert cn.Run(run.path, net=nn.Sequential(nn.Flatten(), nn.Linear(784, 10))).evaluate().n == 100


@pytest.mark.parametrize("scheme", ["xavier_uniform", "normal", "lecun1998", "caffe_xavier"])
@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
def test_initialization_reaches_parametrized_layers(scheme: str, kind: str) -> None:
    plain = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10))
    parametrized = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10))
    wrap = getattr(nn.utils.parametrizations, kind)
    wrap(parametrized[0])
    for net in (plain, parametrized):
        torch.manual_seed(1)
        initialize.initialize(net, scheme)
    torch.testing.assert_close(parametrized[2].weight, plain[2].weight)
    if kind == "weight_norm":
        torch.testing.assert_close(parametrized[0].weight, plain[0].weight)
    else:  # the weight that is assigned is then divided by its largest singular value
        torch.testing.assert_close(parametrized.get_parameter("0.parametrizations.weight.original"), plain[0].weight)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.utils.weight_norm(nn.Linear(784, 10)),
        lambda: prune.l1_unstructured(nn.Linear(784, 10), "weight", amount=0.5),
    ],
    ids=["old weight norm", "pruning"],
)
def test_initialization_of_computed_weights_is_refused(layer: Callable[[], nn.Module]) -> None:
    net = nn.Sequential(nn.Flatten(), layer())
    with pytest.raises(cn.UsageError, match="initialize=normal does not fit") as caught:
        initialize.initialize(net, "normal")
    assert caught.value.code == "CN204" and caught.value.hints == ("--set initialize=as_built",)


def test_decay_and_bias_settings_reach_parametrized_layers() -> None:
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(784, 16)), nn.ReLU(), nn.Linear(16, 10))
    recipe = resolve.apply(
        resolve.find("fast", "x", registered=False),
        {"weight_decays": "0.1,0.01", "weight_decay": 0.0, "bias_decay": False},
    ).recipe
    groups = optim.make(net, recipe).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    names = {name: decays[id(p)] for name, p in net.named_parameters()}
    assert names == {
        "0.bias": 0.0,
        "0.parametrizations.weight.original0": 0.1,
        "0.parametrizations.weight.original1": 0.1,
        "2.weight": 0.01,
        "2.bias": 0.0,
    }


def test_freezing_reaches_parametrized_layers_and_only_them() -> None:
    net = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(784, 16)), nn.Dropout(), nn.Linear(16, 10))
    freeze(net, ["0"])
    train_mode(net)
    assert [name for name, p in net.named_parameters() if p.requires_grad] == ["2.weight", "2.bias"]
    assert not net[0].training and not net.get_submodule("0.parametrizations.weight.0").training
    assert net[1].training and net[2].training


def test_the_average_of_weight_normed_layers_follows_them() -> None:
    net = nn.Sequential(nn.utils.weight_norm(nn.Linear(8, 4)))
    recipe = resolve.apply(resolve.find("fast", "x", registered=False), {"ema": 0.5}).recipe
    state = State(net, recipe)
    assert state.average is not None
    state.average.update_parameters(net)
    x = torch.rand(3, 8)
    torch.testing.assert_close(state.evaluated_net(x), net(x))


# A last batch of one image, which batch normalization cannot be trained on


def numbered(n: int) -> Split:
    pixels = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 1, 28, 28)
    return Split(pixels.contiguous().numpy(), torch.zeros(n, dtype=torch.int64).numpy())


@pytest.mark.parametrize(
    ("n", "size", "expected"),
    [(9, 4, [4, 5]), (8, 4, [4, 4]), (10, 4, [4, 4, 2]), (5, 4, [5]), (1, 4, [1]), (4, 3, [4]), (3, 1, [1, 1, 1])],
)
def test_a_single_last_image_joins_the_batch_before_it(n: int, size: int, expected: list[int]) -> None:
    recipe = resolve.apply(resolve.find("fast", "x", registered=False), {"batch_size": size}).recipe
    loader = batches.Batches(
        numbered(n), recipe, recipe.preprocess(1, 28), seed=0, device=torch.device("cpu"), smallest=2 if size > 1 else 1
    )
    epoch = [*loader.epoch(1)]
    assert [len(y) for _, y in epoch] == expected and loader.steps(1) == len(expected)
    assert torch.cat([x for x, _ in epoch]).unique(dim=0).shape[0] == n
    resumed = [*loader.epoch(1, len(expected) - 1)]
    assert torch.equal(resumed[-1][0], epoch[-1][0])


NORMED = """
        self.norm = nn.BatchNorm1d(784)
    def forward(self, x):
        return self.head(self.norm(x.flatten(1)))
"""


def test_a_run_with_a_last_batch_of_one_ends_as_its_resumed_twin(
    blobs: Path, tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network_file(tmp_path, NORMED)
    options = ["--data", blobs, "--limit", 65, "--threads", 1, "--set", "epochs=2", "batch_size=32", "validation=0"]
    options += ["monitor=none"]
    code, _out, err = cli("train", net, *options, "--runs", "whole")
    assert code == 0 and "joins" in err
    monkeypatch.setattr(Session, "events", stop_after_one_epoch(Session.events))
    assert cli("train", net, *options, "--runs", "stopped")[0] == 130
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    [stopped], [whole] = Path("stopped").iterdir(), Path("whole").iterdir()
    code, _out, err = cli("train", "--resume", stopped)
    assert code == 0 and "joins" in err
    results = [json.loads((run / "run.json").read_text())["result"] for run in (whole, stopped)]
    assert results[0]["test_loss"] == results[1]["test_loss"]


def stop_after_one_epoch(events: Callable[[Session], Iterator[Event]]) -> Callable[[Session], Iterator[Event]]:
    def stopped(session: Session) -> Iterator[Event]:
        for event in events(session):
            yield event
            if isinstance(event, Epoch):
                raise KeyboardInterrupt

    return stopped


# Figures that are held against the run's


def test_evaluate_and_export_say_that_the_figure_is_another(blobs: Path, tmp_path: Path, cli: CommandLine) -> None:
    run = cn.train("lenet_d2l", data=blobs, epochs=1, quiet=True)
    facts = run.folder.read()
    assert "recorded" not in "".join(cli("evaluate", run.path)[1:])
    facts["result"]["test_accuracy"] = 1 - facts["result"]["test_accuracy"]
    run.folder.write(facts)
    assert "the run recorded" in cli("evaluate", run.path)[2]
    _code, out, err = cli("export", run.path, "-o", tmp_path / "net.onnx")
    assert "the run recorded" in out + err


# Double precision


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_float64_trains_saves_resumes_and_predicts(blobs: Path, dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10)).to(dtype)
    run = cn.train(net, data=blobs, epochs=2, precision="float64", class_weights="auto")
    assert {p.dtype for p in net.parameters()} == {torch.float64}
    assert run.result and run.evaluate().accuracy == run.result["test_accuracy"]


def test_float64_of_a_registry_network_equals_float32_up_to_rounding(blobs: Path, cli: CommandLine) -> None:
    options = ["--data", blobs, "--recipe", "fast", "--set", "epochs=1"]
    losses = []
    for precision in ("float32", "float64"):
        assert cli("train", "lenet_d2l", *options, "--precision", precision, "--runs", precision)[0] == 0
        [run] = Path(precision).iterdir()
        facts = json.loads((run / "run.json").read_text())
        losses.append(facts["result"]["test_loss"])
        assert cli("evaluate", run, "--precision", precision)[0] == 0
        assert cli("train", "lenet_d2l", *options, "--precision", precision, "--dry-run")[0] == 0
    assert losses[0] != losses[1] and abs(losses[0] - losses[1]) < 1e-3


def test_a_network_in_float64_needs_the_setting(blobs: Path) -> None:
    with pytest.raises(cn.UsageError, match="float64") as caught:
        cn.train(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).double(), data=blobs)
    assert "--precision float64" in caught.value.hints
