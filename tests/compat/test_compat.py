"""The d2l API: the book's listings run in this process, as a script without a display, and in a notebook."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F

from classicnets.compat import d2l, other_chapters
from classicnets.errors import UsageError
from classicnets.images import loading
from classicnets.images.transforms import prepare
from classicnets.values import Preprocess
from support.typed import layer_of, present

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("d2l_*.py"))
LOAD = loading.load
SMALL_DATA = """
from classicnets.images import loading
load = loading.load
loading.load = lambda name: load({folder!r})
"""  # runs before a listing in a new Python process
SHAPES = re.compile(r"^(\w+) output shape: ?\t torch\.Size\((\[.*\])\)$", re.M)

# The functions that the LeNet chapter itself defines; they call functions of the package.
CHAPTER_DEFINES = """
from classicnets.compat import d2l
import torch
from torch import nn

def evaluate_accuracy_gpu(net, data_iter, device=None):
    if isinstance(net, nn.Module):
        net.eval()
        if not device:
            device = next(iter(net.parameters())).device
    metric = d2l.Accumulator(2)
    with torch.no_grad():
        for X, y in data_iter:
            X, y = X.to(device), y.to(device)
            metric.add(d2l.accuracy(net(X), y), y.numel())
    return metric[0] / metric[1]

def train_ch6(net, train_iter, test_iter, num_epochs, lr, device):
    def init_weights(m):
        if type(m) == nn.Linear or type(m) == nn.Conv2d:
            nn.init.xavier_uniform_(m.weight)
    net.apply(init_weights)
    print('training on', device)
    net.to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    loss = nn.CrossEntropyLoss()
    animator = d2l.Animator(xlabel='epoch', xlim=[1, num_epochs],
                            legend=['train loss', 'train acc', 'test acc'])
    timer, num_batches = d2l.Timer(), len(train_iter)
    for epoch in range(num_epochs):
        metric = d2l.Accumulator(3)
        net.train()
        for i, (X, y) in enumerate(train_iter):
            timer.start()
            optimizer.zero_grad()
            X, y = X.to(device), y.to(device)
            y_hat = net(X)
            l = loss(y_hat, y)
            l.backward()
            optimizer.step()
            with torch.no_grad():
                metric.add(l * X.shape[0], d2l.accuracy(y_hat, y), X.shape[0])
            timer.stop()
            train_l = metric[0] / metric[2]
            train_acc = metric[1] / metric[2]
            if (i + 1) % (num_batches // 5) == 0 or i == num_batches - 1:
                animator.add(epoch + (i + 1) / num_batches, (train_l, train_acc, None))
        test_acc = evaluate_accuracy_gpu(net, test_iter)
        animator.add(epoch + 1, (None, None, test_acc))
    print(f'loss {train_l:.3f}, train acc {train_acc:.3f}, test acc {test_acc:.3f}')
    print(f'{metric[2] * num_epochs / timer.sum():.1f} examples/sec on {str(device)}')
    return animator
"""

LENET_SHAPES = [
    ("Conv2d", [1, 6, 28, 28]),
    ("Sigmoid", [1, 6, 28, 28]),
    ("AvgPool2d", [1, 6, 14, 14]),
    ("Conv2d", [1, 16, 10, 10]),
    ("Sigmoid", [1, 16, 10, 10]),
    ("AvgPool2d", [1, 16, 5, 5]),
    ("Flatten", [1, 400]),
    ("Linear", [1, 120]),
    ("Sigmoid", [1, 120]),
    ("Linear", [1, 84]),
    ("Sigmoid", [1, 84]),
    ("Linear", [1, 10]),
]
ALEXNET_SHAPES = [
    ("Conv2d", [1, 96, 54, 54]),
    ("ReLU", [1, 96, 54, 54]),
    ("MaxPool2d", [1, 96, 26, 26]),
    ("Conv2d", [1, 256, 26, 26]),
    ("ReLU", [1, 256, 26, 26]),
    ("MaxPool2d", [1, 256, 12, 12]),
    ("Conv2d", [1, 384, 12, 12]),
    ("ReLU", [1, 384, 12, 12]),
    ("Conv2d", [1, 384, 12, 12]),
    ("ReLU", [1, 384, 12, 12]),
    ("Conv2d", [1, 256, 12, 12]),
    ("ReLU", [1, 256, 12, 12]),
    ("MaxPool2d", [1, 256, 5, 5]),
    ("Flatten", [1, 6400]),
    ("Linear", [1, 4096]),
    ("ReLU", [1, 4096]),
    ("Dropout", [1, 4096]),
    ("Linear", [1, 4096]),
    ("ReLU", [1, 4096]),
    ("Dropout", [1, 4096]),
    ("Linear", [1, 10]),
]  # both as printed in the book


def small_net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, kernel_size=5, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 12 * 12, 10))


def shapes_in(out: str) -> list[tuple[str, list[int]]]:
    return [(name, [int(n) for n in re.findall(r"\d+", shape)]) for name, shape in SHAPES.findall(out)]


def execute(listing: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(listing, "listing", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def figures_are_closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture
def small(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 + 100 learnable images instead of Fashion-MNIST."""
    monkeypatch.setattr(loading, "load", lambda name: LOAD(str(blobs)))


# ------------------------------------------------------------------------------------------- listings, in this process


def test_runs_lenet_of_the_chinese_edition(small: None, capsys: pytest.CaptureFixture[str]) -> None:
    names = execute(EXAMPLES[1].read_text())
    out, err = capsys.readouterr()
    assert shapes_in(out) == LENET_SHAPES
    first, last, speed = out.splitlines()[-3:]
    assert first == "training on cpu"
    assert re.fullmatch(r"loss \d\.\d{3}, train acc [01]\.\d{3}, test acc [01]\.\d{3}", last)
    assert re.fullmatch(r"\d+\.\d examples/sec on cpu", speed) and float(speed.split()[0]) > 0
    assert "epoch 10: train loss" in err and "savefig" in err
    assert (len(names["train_iter"]), len(names["test_iter"])) == (2, 1)


def test_runs_lenet_of_the_english_edition(small: None, capsys: pytest.CaptureFixture[str]) -> None:
    names = execute(EXAMPLES[0].read_text())
    out, err = capsys.readouterr()
    assert shapes_in(out) == LENET_SHAPES
    model = names["model"]
    assert model.hparams == {"lr": 0.1, "num_classes": 10} and model.lr == 0.1
    assert set(model.board.data) == {"train_loss", "val_loss", "val_acc"}
    assert [x for x, _ in model.board.data["val_acc"]] == list(range(1, 11))
    assert len(model.board.data["train_loss"]) == 20  # two points an epoch
    (axes,) = model.board.fig.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(model.board.data)
    assert (axes.get_xlabel(), axes.get_xlim()) == ("epoch", (0, 10))
    assert "epoch 10: train_loss" in err


def test_functions_defined_in_the_chapter_give_the_same_results(
    small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    names = execute(CHAPTER_DEFINES)
    train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size=40)
    lines = []
    for train in (names["train_ch6"], d2l.train_ch6):
        torch.manual_seed(3)
        train(small_net(), train_iter, test_iter, 2, 0.05, torch.device("cpu"))
        lines.append(capsys.readouterr().out.splitlines())
    assert lines[0][:2] == lines[1][:2]


# --------------------------------------------------------------------------------------------- a script, a notebook


@pytest.mark.slow
def test_scripts_run_without_a_display_and_write_no_files(blobs: Path, tmp_path: Path) -> None:
    """Both in one process, which takes longer to start than they take to run."""
    work = tmp_path / "work"
    work.mkdir()
    runs = [f"runpy.run_path({str(example)!r}, run_name='__main__')" for example in EXAMPLES]
    code = "\n".join([SMALL_DATA.format(folder=str(blobs)), "import runpy", *runs])
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")}
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert shapes_in(process.stdout) == LENET_SHAPES * 2
    assert process.stderr.count('save them with d2l.plt.savefig("curves.png")') == 2
    assert "show()" not in process.stderr
    assert list(work.iterdir()) == []


@pytest.mark.slow
def test_notebook_shows_the_curves_once_and_keeps_the_output(
    blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each example, in a cell of its own."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    texts = (example.read_text() for example in EXAMPLES)
    # fewer epochs, each of which draws the curves several times
    fewer = [text.replace("max_epochs=10", "max_epochs=3").replace("0.9, 10", "0.9, 3") for text in texts]
    cells = [SMALL_DATA.format(folder=str(blobs)), *fewer]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(
        notebook, kernel_name="python3", timeout=None, startup_timeout=600, iopub_timeout=600
    )  # the machine may be slow
    client.execute(cwd=str(tmp_path))
    for cell in notebook.cells[1:]:
        printed, errors = (
            "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == name)
            for name in ("stdout", "stderr")
        )
        figures = [o.data["image/svg+xml"] for o in cell.outputs if o.output_type == "display_data"]
        assert shapes_in(printed) == LENET_SHAPES
        if "train_ch6" in cell.source:
            assert "training on cpu\n" in printed and re.search(r"^loss .*, test acc ", printed, re.M)
        assert errors == ""
        assert len(figures) == 1 and figures[0].count('<g id="line2d_') > 3  # the curves and the ticks
        assert re.search(r"<!-- (test acc|val_acc) -->", figures[0])


# ------------------------------------------------------------------------------------------------------------ numbers


def test_train_ch6_has_the_losses_of_a_plain_loop(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size=32)
    points: list[tuple[Any, ...]] = []
    monkeypatch.setattr(d2l.Animator, "add", lambda self, x, y: points.append((x, y)))
    net = small_net()
    nn.init.zeros_(layer_of(net, 0, nn.Conv2d).weight)
    nn.init.zeros_(layer_of(net, 3, nn.Linear).weight)
    before = {name: p.clone() for name, p in net.named_parameters()}
    torch.manual_seed(7)
    d2l.train_ch6(net, train_iter, test_iter, 2, 0.1, "cpu")

    splits = LOAD(str(Path(loading.load("").source.removeprefix("folder "))))
    X = torch.from_numpy(splits.train.images).float() / 255
    y = torch.from_numpy(splits.train.labels)
    plain = small_net()
    plain.load_state_dict(before)
    torch.manual_seed(7)
    nn.init.xavier_uniform_(layer_of(plain, 0, nn.Conv2d).weight)
    nn.init.xavier_uniform_(layer_of(plain, 3, nn.Linear).weight)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    expected, accuracies = [], []
    for _ in range(2):
        total = correct = 0.0
        order = torch.randperm(400)
        for i in range(13):
            index = order[32 * i : 32 * (i + 1)]
            scores = plain(X[index])
            loss = F.cross_entropy(scores, y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
            correct += (scores.argmax(1) == y[index]).sum().item()
        expected.append(total / 400)
        accuracies.append(correct / 400)
    ends = [y for x, y in points if y[2] is None and x in (1, 2)]
    assert [loss for loss, _, _ in ends] == pytest.approx(expected, rel=1e-5)
    assert [accuracy for _, accuracy, _ in ends] == accuracies
    for ours, theirs in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert expected[1] < expected[0]


def test_train_ch6_accepts_a_data_loader_and_lazy_layers(small: None) -> None:
    X, y = d2l.load_data_fashion_mnist(400)[0].dataset.batch(torch.arange(400))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, y), batch_size=50, shuffle=True)
    lazy = nn.Sequential(nn.LazyConv2d(4, kernel_size=5, stride=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
    torch.manual_seed(0)
    d2l.train_ch6(lazy, loader, loader, 3, 0.1, d2l.cpu())
    assert d2l.evaluate_accuracy(lazy, loader) > 0.9


def test_lazy_layers_get_xavier_weights_before_training(small: None) -> None:
    train_iter, test_iter = d2l.load_data_fashion_mnist(100)
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(1000))
    d2l.train_ch6(lazy, train_iter, test_iter, 1, 0.0)
    bound = (6 / (784 + 1000)) ** 0.5  # torch's default would be 1 / 28 = 0.036
    assert 0.99 * bound < float(layer_of(lazy, 1, nn.Linear).weight.detach().abs().max()) <= bound


def test_accuracy_equals_a_direct_count(small: None) -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Dropout(0.5), *small_net())
    _, test_iter = d2l.load_data_fashion_mnist(32)
    X, y = test_iter.dataset.batch(torch.arange(100))
    net.eval()
    correct = int((net(X).argmax(1) == y).sum())
    net.train()  # the call switches to evaluation mode
    assert d2l.evaluate_accuracy_gpu(net, test_iter) == correct / 100
    assert d2l.evaluate_accuracy_gpu(net, test_iter, d2l.cpu()) == correct / 100
    assert d2l.evaluate_accuracy(lambda x: net(x), test_iter) == correct / 100  # in chapter 3, networks are functions
    assert d2l.accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1])) == 1.0
    assert d2l.accuracy(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([2, 1, 1])) == 2.0


def test_apply_init_initializes_lazy_layers() -> None:
    torch.manual_seed(0)
    model = d2l.Classifier()
    model.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(1000))
    model.net.apply(d2l.init_cnn)  # has no effect without shapes, as in the book
    model.apply_init([torch.zeros(2, 1, 28, 28)], d2l.init_cnn)
    bound = (6 / (784 + 1000)) ** 0.5
    assert 0.99 * bound < float(layer_of(model.net, 1, nn.Linear).weight.detach().abs().max()) <= bound


@pytest.mark.parametrize(
    ("net", "shape", "shapes"),
    [(d2l.LeNet, (1, 1, 28, 28), LENET_SHAPES), (d2l.AlexNet, (1, 1, 224, 224), ALEXNET_SHAPES)],
)
def test_networks_have_the_shapes_of_the_book(
    net: type[d2l.LeNet | d2l.AlexNet],
    shape: tuple[int, ...],
    shapes: list[tuple[str, list[int]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = net(lr=0.3)
    model.layer_summary(shape)
    assert shapes_in(capsys.readouterr().out) == shapes
    assert model.configure_optimizers().param_groups[0]["lr"] == 0.3


def test_classifier_computes_accuracy_and_loss(small: None) -> None:
    model = d2l.LeNet()
    scores, y = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), torch.tensor([0, 0, 0])
    assert float(model.accuracy(scores, y)) == pytest.approx(2 / 3)
    assert model.accuracy(scores, y, averaged=False).tolist() == [1, 0, 1]
    torch.testing.assert_close(model.loss(scores, y), F.cross_entropy(scores, y))
    assert model.loss(scores, y, averaged=False).shape == (3,)


def test_trainer_equals_a_plain_loop(small: None) -> None:
    torch.manual_seed(0)
    model = d2l.Classifier()
    model.lr, model.net = 0.1, small_net()
    plain = small_net()
    plain.load_state_dict(model.net.state_dict())
    data = d2l.FashionMNIST(batch_size=50)
    torch.manual_seed(5)
    d2l.Trainer(max_epochs=2).fit(model, data)
    torch.manual_seed(5)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for _ in range(2):
        for X, y in data.train_dataloader():
            optimizer.zero_grad()
            F.cross_entropy(plain(X), y).backward()
            optimizer.step()
    for ours, theirs in zip(model.net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    X, y = data.val.batch(torch.arange(100))
    with torch.no_grad():
        assert model.board.data["val_acc"][-1][1] == pytest.approx(float((plain(X).argmax(1) == y).float().mean()))


def test_trainer_clips_gradients(small: None) -> None:
    model = d2l.Classifier()
    model.lr, model.net = 1.0, small_net()
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    data = d2l.FashionMNIST(batch_size=400)
    d2l.Trainer(max_epochs=1, gradient_clip_val=0.001).fit(model, data)
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert float((after - before).norm()) == pytest.approx(0.001, rel=0.01)


# --------------------------------------------------------------------------------------------------------------- data


def test_order_of_batches_comes_from_torchs_generator(small: None) -> None:
    train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size=64)
    splits = loading.load("")
    torch.manual_seed(2)
    first = [y for _, y in train_iter]
    second = [y for _, y in train_iter]
    torch.manual_seed(2)
    order = torch.randperm(400)
    assert torch.cat(first).tolist() == splits.train.labels[order.numpy()].tolist()
    assert torch.cat(first).tolist() != torch.cat(second).tolist()
    assert [len(y) for y in first] == [64] * 6 + [16] and len(train_iter) == 7
    X, y = next(iter(test_iter))
    assert (X.dtype, X.shape, y.dtype) == (torch.float32, (64, 1, 28, 28), torch.int64)
    assert torch.equal(X, torch.from_numpy(splits.test.images[:64]).float() / 255)
    assert train_iter.dataset.images.dtype == torch.uint8


@pytest.mark.parametrize("resize", [96, (96, 96)])
def test_batch_and_single_image_are_resized_equally(small: None, resize: int | tuple[int, int]) -> None:
    _, test_iter = d2l.load_data_fashion_mnist(10, resize=resize)
    X, y = next(iter(test_iter))
    images = torch.from_numpy(loading.load("").test.images[:10])
    assert torch.equal(X, prepare(images, Preprocess(channels=1, image_size=96)))
    image, label = test_iter.dataset[3]
    torch.testing.assert_close(image, X[3])
    assert label == y[3] and len(test_iter.dataset) == 100


def test_rejects_size_that_is_not_square(small: None) -> None:
    with pytest.raises(UsageError, match="squares") as caught:
        d2l.load_data_fashion_mnist(10, resize=(96, 64))
    assert caught.value.code == "CN204"


def test_fashion_mnist_of_the_english_edition(small: None) -> None:
    data = d2l.FashionMNIST(batch_size=30, resize=(32, 32))
    assert (len(data.train), len(data.val), data.batch_size) == (400, 100, 30)
    assert data.train[0][0].shape == (1, 32, 32)
    batch = next(iter(present(data.val_dataloader())))
    data.visualize(batch)
    assert [a.get_title() for a in plt.gcf().axes] == data.text_labels(batch[1][:8])
    assert d2l.get_fashion_mnist_labels([0, 9]) == ["t-shirt", "ankle boot"]


def test_data_module_from_tensors() -> None:
    class TensorData(d2l.DataModule):
        root: str
        num_workers: int

        def __init__(self, batch_size: int = 4) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.X, self.y = torch.arange(10.0).reshape(10, 1), torch.arange(10)

        def get_dataloader(self, train: bool) -> Any:
            return self.get_tensorloader((self.X, self.y), train, slice(0, 6) if train else slice(6, None))

    data = TensorData()
    assert [len(y) for _, y in data.train_dataloader()] == [4, 2]
    assert [y.tolist() for _, y in present(data.val_dataloader())] == [[6, 7, 8, 9]]
    assert (data.root, data.num_workers, data.hparams) == ("../data", 4, {"batch_size": 4})


# -------------------------------------------------------------------------------------------------- small parts, names


def test_timer_measures_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 12.0, 20.0, 23.0])
    monkeypatch.setattr("classicnets.compat.chapter6.time.perf_counter", lambda: next(clock))
    timer = d2l.Timer()
    timer.start()
    assert timer.stop() == 2.0
    timer.start()
    assert timer.stop() == 3.0
    assert (timer.sum(), timer.avg(), timer.cumsum()) == (5.0, 2.5, [2.0, 5.0])


def test_accumulator_adds_numbers() -> None:
    sums = d2l.Accumulator(2)
    sums.add(1, torch.tensor(2.5))
    sums.add(3.0, 4)
    assert (sums[0], sums[1], sums.data) == (4.0, 6.5, [4.0, 6.5])
    sums.reset()
    assert sums.data == [0.0, 0.0]


def test_animator_draws_the_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    animator = d2l.Animator(xlabel="epoch", xlim=[1, 2], ylim=[0, 3], legend=["loss", "acc"], figsize=(4, 3))
    animator.add(0.5, (2.0, None))
    animator.add(1, (1.0, torch.tensor(0.5)))
    animator.add([2, 2], np.array([0.5, 0.75]))
    axes = animator.axes[0]
    assert [np.asarray(line.get_xydata()).tolist() for line in axes.lines] == [
        [[0.5, 2.0], [1.0, 1.0], [2.0, 0.5]],
        [[1.0, 0.5], [2.0, 0.75]],
    ]
    assert [text.get_text() for text in present(axes.get_legend()).get_texts()] == ["loss", "acc"]
    assert (axes.get_xlabel(), axes.get_xlim(), axes.get_ylim()) == ("epoch", (1, 2), (0, 3))
    assert capsys.readouterr().err == "epoch 1: loss 1.000, acc 0.500\nepoch 2: loss 0.500, acc 0.750\n"
    d2l.plt.savefig(tmp_path / "curves.png")  # saves the current figure
    assert plt.gcf() is animator.fig and (tmp_path / "curves.png").stat().st_size > 1000
    grid = d2l.Animator(nrows=2, ncols=2, yscale="log")
    grid.add(1, 10.0)
    assert len(grid.axes) == 4 and grid.axes[0].get_yscale() == "log"


def test_progress_board_averages_every_n_points() -> None:
    board = d2l.ProgressBoard(xlabel="x", yscale="log")
    for x in range(6):
        board.draw(x, torch.tensor(float(x + 1), requires_grad=True), "a", every_n=2)
        board.draw(x, 10.0, "b", every_n=4)
    assert board.data == {"a": [(0.5, 1.5), (2.5, 3.5), (4.5, 5.5)], "b": [(1.5, 10.0)]}
    (axes,) = present(board.fig).axes
    assert [np.asarray(line.get_xydata()).tolist() for line in axes.lines] == [
        [[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]],
        [[1.5, 10.0]],
    ]
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    hidden = d2l.ProgressBoard(display=False)
    hidden.draw(1, 2, "a")
    assert hidden.fig is None and hidden.data == {"a": [(1.0, 2.0)]}


def test_show_images_draws_a_grid() -> None:
    axes = d2l.show_images(torch.rand(4, 1, 8, 8), 2, 2, titles=list("abcd"))
    assert [a.get_title() for a in axes] == list("abcd")
    assert len(d2l.show_images([np.zeros((4, 4))], 1, 1)) == 1


def test_add_to_class_extends_existing_objects() -> None:
    class Box(d2l.HyperParameters):
        total: Callable[[], Any]

        def __init__(self, a: Any, b: Any, c: Any, _d: int = 0) -> None:
            self.save_hyperparameters(ignore=["c"])

    box = Box(1, b=2, c=3)

    @d2l.add_to_class(Box)
    def total(self: Any) -> Any:
        return self.a + self.b

    assert box.total() == 3
    assert box.hparams == {"a": 1, "b": 2} and not hasattr(box, "c")


def test_devices_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(d) for d in d2l.try_all_gpus()] == ["cuda:0", "cuda:1"]
    assert (str(d2l.try_gpu()), str(d2l.try_gpu(1)), str(d2l.try_gpu(2))) == ("cuda:0", "cuda:1", "cpu")
    assert [str(d) for d in d2l.Trainer(1, num_gpus=1).gpus] == ["cuda:0"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert [str(d) for d in d2l.try_all_gpus()] == ["cpu"]
    assert d2l.Trainer(1, num_gpus=1).gpus == [] and d2l.num_gpus() == 0


def test_tensor_functions() -> None:
    x = torch.tensor([[1.0, 5.0], [4.0, 2.0]])
    assert d2l.size(x) == 4 and d2l.argmax(x, axis=1).tolist() == [1, 0]
    assert float(d2l.reduce_sum(x)) == 12 and float(d2l.reduce_mean(x)) == 3
    assert d2l.astype(x, torch.int64).dtype == torch.int64
    assert d2l.reshape(x, (4, 1)).shape == (4, 1) and d2l.numpy(d2l.to(x.requires_grad_(), d2l.cpu())).tolist()[0] == [
        1,
        5,
    ]
    assert d2l.randn(2, 3).shape == (2, 3)


def test_listed_names_exist_and_unknown_names_are_explained() -> None:
    assert len(set(d2l.__all__)) == len(d2l.__all__)
    for name in d2l.__all__:
        assert getattr(d2l, name) is not None
    with pytest.raises(AttributeError, match=r"no 'train_ch_6'\. Did you mean train_ch6\?"):
        d2l.train_ch_6  # noqa: B018
    with pytest.raises(AttributeError, match=r"no 'zzz'.*print\(d2l\.__all__\)"):
        d2l.zzz  # noqa: B018
    assert not hasattr(d2l, "zzz")


@pytest.mark.parametrize(
    ("name", "chapters", "packages"),
    [
        ("train_ch8", ["chapter 8 (recurrent networks) of the second Chinese edition"], ["d2l==0.17.6"]),
        ("RNNLM", ["chapter 9 (recurrent networks) of the English edition 1.0"], ["d2l==1.0.3"]),
        ("bleu", ["chapter 9 (modern recurrent networks) of", "chapter 10 (modern"], ["d2l==0.17.6", "d2l==1.0.3"]),
    ],
)
def test_names_of_later_chapters_are_referred_to_the_books_package(
    name: str, chapters: list[str], packages: list[str]
) -> None:
    with pytest.raises(AttributeError) as read:
        getattr(d2l, name)
    with pytest.raises(ImportError) as imported:
        exec(f"from classicnets.compat.d2l import {name}")
    assert str(read.value) == str(imported.value)
    assert all(part in str(read.value) for part in [*chapters, *(f"pip install {package}" for package in packages)])
    assert "Did you mean" not in str(read.value)


def test_table_of_later_chapters_has_no_name_that_is_here() -> None:
    names = other_chapters.other_names()
    assert not set(names) & set(d2l.__all__)
    for edition in (other_chapters.CHINESE, other_chapters.ENGLISH):
        listed = [name for chapter in edition.chapters.values() for name in chapter.names.split()]
        assert len(listed) == len(set(listed)) > 90
    assert all(chapter for name in names for chapter in other_chapters.chapters_of(name))


@pytest.mark.parametrize("page", ["d2l.md", "d2l.zh-CN.md"])
def test_page_lists_all_names(page: str) -> None:
    rows = [line for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert sorted(re.findall(r"`(\w+)`", "".join(row.split("|")[2] for row in rows))) == sorted(d2l.__all__)
