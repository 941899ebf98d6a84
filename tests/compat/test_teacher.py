"""What a learner is told whose network, batches or call is wrong: in `train_ch6`, `Trainer.fit` and `cn.train`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import classicnets as cn
from classicnets.compat import d2l
from classicnets.compat.batches import Batch, first_batch, is_sorted_by_class
from classicnets.compat.lesson import CHINESE
from classicnets.compat.pace import Pace
from classicnets.compat.teacher import Teacher
from classicnets.errors import ClassicnetsError

Loaders = Any
CLASSES = 10


@pytest.fixture(autouse=True)
def figures_are_closed() -> Iterator[None]:
    yield
    plt.close("all")


def data(n: int = 64) -> tuple[Tensor, Tensor]:
    """Learnable images [n, 1, 28, 28] in 0..1, each with a bar whose place is its class."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % CLASSES
    X = 0.2 * torch.rand(n, 1, 28, 28, generator=generator)
    for i, label in enumerate(y.tolist()):
        X[i, 0, 2 * label : 2 * label + 4] += 0.7
    return X, y


def loader(X: Tensor, y: Tensor, batch_size: int = 32) -> Loaders:
    return DataLoader(TensorDataset(X, y), batch_size=batch_size)


def lenet(**changes: nn.Module) -> nn.Sequential:
    """The book's LeNet with other layers, by their numbers: lenet(_7=nn.Linear(256, 120))."""
    layers: list[nn.Module] = [
        *(nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2)),
        *(nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10)),
    ]
    for name, layer in changes.items():
        layers[int(name[1:])] = layer
    return nn.Sequential(*layers)


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(784, CLASSES)


class ReturnsNothing(Base):
    def forward(self, x: Tensor) -> None:
        self.fc(x.flatten(1))


class ReturnsTwo(Base):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores: Tensor = self.fc(x.flatten(1))
        return scores, scores.softmax(1)


class ReturnsClasses(Base):
    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(x.flatten(1))
        return scores.argmax(1)


class FixedBatch(Base):
    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(x.view(32, 784))
        return scores


class InAList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Flatten(), nn.Linear(784, CLASSES)]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class WithoutGradient(Base):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            scores: Tensor = self.fc(x.flatten(1))
        return scores


class Unknown(Base):
    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.dense(x.flatten(1))  # type: ignore[operator]
        return scores


@dataclass(frozen=True)
class Wrong:
    """A network that cannot be trained, the code of the error, and words of it."""

    net: Callable[[], Any]
    code: str
    words: str


WRONG_NETWORKS = {
    "inputs of the dense layer": Wrong(lambda: lenet(_7=nn.Linear(256, 120)), "CN201", "net[7] = nn.Linear(400, 120)"),
    "padding forgotten": Wrong(lambda: lenet(_0=nn.Conv2d(1, 6, 5)), "CN201", "padding=2)"),
    "channels in between": Wrong(lambda: lenet(_3=nn.Conv2d(8, 16, 5)), "CN201", "net[3] = nn.Conv2d(6, 16"),
    "flatten forgotten": Wrong(lambda: lenet(_6=nn.Identity()), "CN201", "put nn.Flatten() before net[7]"),
    "color network": Wrong(lambda: lenet(_0=nn.Conv2d(3, 6, 5, padding=2)), "CN201", "net[0] = nn.Conv2d(1, 6"),
    "resize forgotten": Wrong(lambda: cn.create("alexnet_d2l"), "CN201", "224"),
    "pooled to nothing": Wrong(lambda: lenet(_5=nn.AvgPool2d(11)), "CN201", "net[5]"),
    "no flatten at the end": Wrong(
        lambda: nn.Sequential(nn.Conv2d(1, 10, 5), nn.AdaptiveAvgPool2d(1)), "CN306", "nn.Flatten()"
    ),
    "dense layer on the columns": Wrong(lambda: nn.Sequential(nn.Linear(28, 10)), "CN201|CN306", "nn.Flatten()"),
    "too few outputs": Wrong(lambda: lenet(_11=nn.Linear(84, 5)), "CN306|CN311", "net[11] = nn.Linear(84, 10)"),
    "nothing returned": Wrong(ReturnsNothing, "CN201", "return x"),
    "two outputs": Wrong(ReturnsTwo, "CN201|CN209", "tuple"),
    "classes returned": Wrong(ReturnsClasses, "CN201|CN209|CN306", "logit"),
    "fixed batch": Wrong(FixedBatch, "CN201", "x.flatten(1)"),
    "layers in a list": Wrong(InAList, "CN209", "nn.ModuleList"),
    "no gradient": Wrong(WithoutGradient, "CN209", "gradient"),
    "misspelled layer": Wrong(Unknown, "CN201", "what __init__ has defined: self.fc"),
    "class instead of object": Wrong(lambda: Base, "CN209|CN205", "Base"),
}


def train_ch6(net: Any, train: Loaders = None, test: Loaders = None, epochs: Any = 1, lr: Any = 0.1) -> None:
    train = loader(*data()) if train is None else train
    d2l.train_ch6(net, train, train if test is None else test, epochs, lr, "cpu")


class Model(d2l.Classifier):
    def __init__(self, net: nn.Module, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["net"])
        self.net = net


class Batches(d2l.DataModule):
    def __init__(self, train: Loaders) -> None:
        super().__init__()
        self.batches = train

    def get_dataloader(self, train: bool) -> Loaders:
        return self.batches


def fit(net: Any, train: Loaders = None, test: Loaders = None, epochs: Any = 1, lr: Any = 0.1) -> None:
    trainer = d2l.Trainer(max_epochs=epochs)
    trainer.fit(Model(net, lr), Batches(loader(*data()) if train is None else train))


def fails(train: Callable[[], None]) -> ClassicnetsError:
    """The error of a training: one of ours, with what to do."""
    with pytest.raises(ClassicnetsError) as caught:
        train()
    error = caught.value
    assert error.hints and all(error.hints), "no hint"
    assert "--set" not in str(error) and "--input" not in str(error), "options of the command line"
    return error


@pytest.mark.parametrize("name", WRONG_NETWORKS)
def test_wrong_networks_are_explained_in_all_three_loops(name: str, blobs: Path) -> None:
    """None of torch's messages: `train_ch6`, `Trainer.fit` and `cn.train` say the same."""
    wrong = WRONG_NETWORKS[name]
    errors = [fails(lambda: train_ch6(wrong.net()))]
    if name != "class instead of object":  # which torch refuses when it is assigned
        errors.append(fails(lambda: fit(wrong.net())))
        with pytest.raises(ClassicnetsError) as caught:
            cn.train(wrong.net(), data=str(blobs), quiet=True, epochs=1)
        errors.append(caught.value)
        assert str(errors[0]).replace("train_iter", "data.train_dataloader()") == str(errors[1])
    for error in errors:
        assert error.code in wrong.code.split("|"), error
        assert wrong.words in str(error), error


class OneWrongLabel(Dataset[tuple[Tensor, int]]):
    """Labels that are known only when they are read; one is too large."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        X, y = data()
        return X[index], int(y[index]) + (100 if index == 50 else 0)


class Endless(IterableDataset[tuple[Tensor, int]]):
    def __iter__(self) -> Any:
        X, y = data()
        yield from zip(X, y.tolist(), strict=True)


X, Y = data()
WRONG_BATCHES: dict[str, tuple[Callable[[], Loaders], str]] = {
    "one-hot": (lambda: loader(X, F.one_hot(Y, CLASSES).float()), "y = y.argmax(dim=1)"),
    "float labels": (lambda: loader(X, Y.float()), "y = y.long()"),
    "int32 labels": (lambda: loader(X, Y.int()), "y = y.long()"),
    "values": (lambda: loader(X, Y + 0.5), "nn.MSELoss"),
    "labels from 1": (lambda: loader(X, Y + 1), "y = y - 1"),
    "negative labels": (lambda: loader(X, Y - 1), "X[y >= 0], y[y >= 0]"),
    "too many classes": (lambda: loader(X, 2 * Y), "net[11] = nn.Linear(84, 19)"),
    "a late wrong label": (lambda: DataLoader(OneWrongLabel(), batch_size=32), "batch 2 of epoch 1"),
    "bytes": (lambda: loader((255 * X).to(torch.uint8), Y), "X = X.float() / 255"),
    "float64": (lambda: loader(X.double(), Y), "X = X.to(torch.float32)"),
    "not finite": (lambda: loader(X / 0, Y), "nan_to_num"),
    "channels last": (lambda: loader(X.permute(0, 2, 3, 1), Y), "X = X.permute(0, 3, 1, 2)"),
    "no channel axis": (lambda: loader(X[:, 0], Y), "X = X[:, None]"),
    "no batches": (lambda: loader(X[:0], Y[:0]), "drop_last=False"),
    "an empty list": (lambda: [], "drop_last=False"),
    "a generator": (lambda: (batch for batch in [(X, Y)]), "= list("),
    "a tensor": (lambda: X, "TensorDataset(X, y)"),
    "a data set": (lambda: TensorDataset(X, Y), "DataLoader(dataset"),
    "no length": (lambda: DataLoader(Endless(), batch_size=32), "= list("),
    "images only": (lambda: [X], "for X, y in"),
    "arrays": (lambda: [(X.numpy(), Y.numpy())], "X = torch.tensor(X)"),
    "numbers": (lambda: [(torch.tensor(1.0), torch.tensor(1))], "TensorDataset(X, y)"),
    "one label missing": (lambda: [(X, Y[1:])], "TensorDataset(X, y)"),
}


@pytest.mark.parametrize("name", WRONG_BATCHES)
@pytest.mark.parametrize("train", [train_ch6, fit])
def test_wrong_batches_are_explained(train: Callable[..., None], name: str) -> None:
    make, words = WRONG_BATCHES[name]
    if train is fit and words == "= list(":
        words = "return a list of the batches"  # data.train_dataloader() is no variable
    error = fails(lambda: train(lenet(), make()))
    assert error.code in ("CN201", "CN311") and words in str(error), error


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_explained(device: str) -> None:
    error = fails(lambda: d2l.train_ch6(lenet(), loader(X, Y), loader(X, Y), 1, 0.9, device))
    assert error.code == "CN402" and error.hints == ("d2l.try_gpu()",)


def test_the_chinese_edition_needs_test_batches() -> None:
    error = fails(lambda: d2l.train_ch6(lenet(), loader(X, Y), None, 1, 0.9, "cpu"))  # type: ignore[arg-type]
    assert error.code == "CN311" and "test_iter" in str(error)


def test_a_column_of_labels_is_for_the_english_edition_only() -> None:
    column = loader(X, Y[:, None])
    assert "y = y.flatten()" in str(fails(lambda: train_ch6(lenet(), column)))
    fit(lenet(), column)


@pytest.mark.parametrize(
    ("epochs", "lr", "words"),
    [(0.9, 10, "num_epochs=0.9"), (0, 0.9, "num_epochs=0"), (True, 0.9, "num_epochs=True")]
    + [(3, -0.1, "lr=-0.1"), (3, math.nan, "lr=nan"), (3, "0.9", "lr='0.9'")],
)
def test_wrong_arguments_are_explained(epochs: Any, lr: Any, words: str) -> None:
    error = fails(lambda: train_ch6(lenet(), epochs=epochs, lr=lr))
    assert (error.code, words in error.what) == ("CN204", True), error


# ----------------------------------------------------------------------------------------------------------- the coach

ADVICE: dict[str, tuple[Callable[[], nn.Module], Callable[[], Loaders], float, str, str]] = {
    "softmax at the end": (
        lambda: nn.Sequential(*lenet(), nn.Softmax(dim=1)),
        lambda: loader(X, Y),
        0.1,
        "ends with softmax",
        "remove the softmax",
    ),
    "values up to 255": (
        lambda: lenet(_1=nn.ReLU(), _4=nn.ReLU()),
        lambda: loader(255 * X, Y),
        0.01,
        "the values of the images are from",
        "X = X / 255",
    ),
    "1,000 outputs": (
        lambda: lenet(_11=nn.Linear(84, 1000)),
        lambda: loader(X, Y),
        0.1,
        "the network has 1,000 outputs, and the data 10 classes",
        "net[11] = nn.Linear(84, 10)",
    ),
    "sorted by class": (
        lenet,
        lambda: loader(X[Y.argsort()], Y.sort().values),
        0.1,
        "are sorted",
        "shuffle=True",
    ),
    "one class": (lenet, lambda: loader(X, torch.zeros_like(Y)), 0.1, "are of class '0'", "d2l.show_images(X[:18]"),
    "statistics that are not saved": (
        lambda: nn.Sequential(HomemadeNorm(), *lenet()),
        lambda: loader(X, Y),
        0.1,
        "do not hold its whole state",
        "register_buffer('mean'",
    ),
}


class HomemadeNorm(nn.Module):
    """Batch normalization as a reader writes it: the running mean is a plain tensor, and gradients tell the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.mean = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self.scale * (x - self.mean)
        mean = x.mean()
        self.mean = 0.9 * self.mean + 0.1 * mean.detach()
        return self.scale * (x - mean)


@pytest.mark.parametrize("name", ADVICE)
@pytest.mark.parametrize("train", [train_ch6, fit])
def test_the_coach_advises_once_and_the_training_goes_on(
    train: Callable[..., None], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    net, batches, lr, message, hint = ADVICE[name]
    train(net(), batches(), epochs=2, lr=lr)
    err = capsys.readouterr().err
    advice = [line for line in err.splitlines() if line.startswith("coach: ")]
    hints = [line for line in err.splitlines() if line.startswith("  hint: ")]
    assert sum(message in line for line in advice) == 1, err
    assert any(hint in line for line in hints), err
    assert "--set" not in err and "epoch 2: train" in err


@pytest.mark.parametrize("train", [train_ch6, fit])
def test_a_sound_training_gets_no_advice(train: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    train(lenet(), loader(X, Y), epochs=2)
    assert "coach" not in capsys.readouterr().err


@pytest.mark.parametrize("train", [train_ch6, fit])
def test_a_loss_that_is_not_finite_stops_the_training(train: Callable[..., None]) -> None:
    torch.manual_seed(0)
    error = fails(lambda: train(lenet(_1=nn.ReLU(), _4=nn.ReLU(), _8=nn.ReLU(), _10=nn.ReLU()), epochs=9, lr=1e9))
    assert error.code == "CN101" and "lr=0.1" in str(error)


def test_labels_that_are_not_in_memory_are_counted_in_the_first_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    class Read(Dataset[tuple[Tensor, int]]):
        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            return X[index], 3

    train_ch6(lenet(), DataLoader(Read(), batch_size=16), epochs=2)
    assert "all 64 training images are of class '3'" in capsys.readouterr().err


def test_checks_leave_the_network_and_the_random_generator_as_they_are() -> None:
    net = lenet()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    made = Teacher(net, loader(X, Y), loader(X, Y), epochs=1, lr=0.1, lesson=CHINESE)
    made.start(torch.device("cpu"))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training and not any(p.grad is not None for p in net.parameters())


def test_the_generator_of_a_loader_stays_as_it_is() -> None:
    """So that the order of the images is that of a loop without checks."""
    generator = torch.Generator().manual_seed(5)
    shuffled = DataLoader(TensorDataset(X, Y), batch_size=32, shuffle=True, generator=generator)
    first_batch(shuffled, "train_iter")
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(5).get_state())


def test_a_regression_is_trained_without_the_checks_of_a_classifier(capsys: pytest.CaptureFixture[str]) -> None:
    class Linear(d2l.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(2, 1)

        def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
            return F.mse_loss(y_hat, y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    inputs = torch.randn(40, 2)
    model = Linear()
    d2l.Trainer(max_epochs=8).fit(model, Batches(loader(inputs, inputs @ torch.tensor([[2.0], [-3.4]]), 10)))
    assert torch.allclose(next(model.parameters()), torch.tensor([[2.0, -3.4]]), atol=0.1)
    assert "coach" not in capsys.readouterr().err


def test_few_labels_are_not_taken_for_sorted_ones() -> None:
    batch = Batch(X, Y, "")
    assert not is_sorted_by_class(batch)
    assert is_sorted_by_class(batch._replace(labels=Y.sort().values))
    assert not is_sorted_by_class(batch._replace(labels=Y[:8]))  # 0 to 7 in order, by chance


# ------------------------------------------------------------------------------------------------- time, and a notebook


def test_a_long_training_says_how_long_and_what_is_faster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("classicnets.compat.pace.time.perf_counter", lambda: clock[0])
    long = Pace(10, 469, torch.device("cpu"), 224)
    for step in range(1, 6):
        clock[0] += 12.0
        long.step(1, step)
    assert capsys.readouterr().err.splitlines() == [
        "forecast: about 15 h 38 min for 10 x 469 steps of 12 s",
        '  faster: net = cn.create("alexnet_28")   # AlexNet for images of 28x28, loaded without resize',
        "  faster: net = cn.vary(net, width=0.25)   # a quarter of the channels and units",
        "epoch 1/10: step 4 of 469",
    ]
    short = Pace(1, 100, torch.device("cpu"), 28)
    for step in range(1, 101):
        clock[0] += 0.1
        short.step(1, step)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_notebook_shows_four_lines_and_keeps_the_debugger(
    blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    cells = [
        "import classicnets as cn\nfrom torch import nn\n"
        "net = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Flatten(), nn.Linear(100, 10))",
        f"cn.train(net, data={str(blobs)!r})",
        "import sys\nprint(type(sys.last_value).__name__, sys.last_traceback.tb_next is not None)",
        f"cn.train('lenet_d2l', data={str(blobs)!r}, lr=-1)",
        "from classicnets.compat import d2l\nd2l.train_ch6(net, [], [], 1, 0.1)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(
        notebook, kernel_name="python3", timeout=None, startup_timeout=600, iopub_timeout=600, allow_errors=True
    )
    client.execute(cwd=str(tmp_path))
    _, wrong, debug, setting, empty = (list(cell.outputs) for cell in notebook.cells)
    lines = "\n".join(wrong[-1].traceback).splitlines()
    assert lines[0].startswith("error[CN201]") and "  hint:  net[2] = nn.Linear(3456, 10)" in lines, lines
    assert len(lines) < 8 and "Traceback" not in "".join(lines)
    assert debug[0].text == "UsageError True\n"
    assert "--set" not in "\n".join(setting[-1].traceback) and "lr=" in "\n".join(setting[-1].traceback)
    assert "\n".join(empty[-1].traceback).startswith("error[CN311]: train_iter has no batches")
