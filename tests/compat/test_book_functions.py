"""Functions of the book's chapters on linear networks and perceptrons, compared with torch and with known values."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F

from classicnets.compat import d2l
from classicnets.errors import ClassicnetsError, DataError, UsageError


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_corr2d_equals_torchs_convolution(dtype: torch.dtype) -> None:
    X, K = torch.arange(20).reshape(4, 5).to(dtype), torch.tensor([[1, -2, 3], [0, 4, 1]]).to(dtype)
    expected = F.conv2d(X.float()[None, None], K.float()[None, None])[0, 0]
    assert torch.equal(d2l.corr2d(X, K), expected)


@pytest.mark.parametrize(("x", "k"), [((1, 1, 4, 4), (1, 1, 2, 2)), ((3,), (1,)), ((2, 2), (3, 1))])
def test_corr2d_says_which_shapes_do_not_fit(x: tuple[int, ...], k: tuple[int, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        d2l.corr2d(torch.zeros(x), torch.zeros(k))
    assert caught.value.code == "CN204" and "kernel" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "options", "shape"),
    [
        ((3, 6), {"use_1x1conv": True, "strides": 2}, (4, 6, 3, 3)),  # of the Chinese edition
        ((3, 3), {}, (4, 3, 6, 6)),
        ((3, 6, True, 2), {}, (4, 6, 3, 3)),
        ((), {"input_channels": 3, "num_channels": 6, "use_1x1conv": True}, (4, 6, 6, 6)),
        ((3,), {}, (4, 3, 6, 6)),  # of the English one
        ((6, True), {"strides": 2}, (4, 6, 3, 3)),
        ((), {"num_channels": 3}, (4, 3, 6, 6)),
    ],
)
def test_residual_accepts_the_arguments_of_both_editions(
    arguments: tuple[int, ...], options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    assert d2l.Residual(*arguments, **options)(torch.rand(4, 3, 6, 6)).shape == shape


@pytest.mark.parametrize("arguments", [(), (1, 2, 3), (3, 6, True, 2, 1)])
def test_residual_rejects_other_arguments(arguments: tuple[int, ...]) -> None:
    with pytest.raises(TypeError, match="input_channels, num_channels"):
        d2l.Residual(*arguments)


def test_sgd_takes_the_step_of_torchs_optimizer() -> None:
    torch.manual_seed(0)
    X, y = d2l.synthetic_data(torch.tensor([1.0, -2.0, 0.5]), 3.0, 12)
    w, b = torch.randn(3, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    ours = [w, b]
    theirs = [p.detach().clone().requires_grad_() for p in ours]
    d2l.squared_loss(d2l.linreg(X, *ours), y).sum().backward()
    d2l.sgd(ours, 0.1, 12)
    (F.mse_loss(X @ theirs[0] + theirs[1], y) / 2).backward()
    torch.optim.SGD(theirs, lr=0.1).step()
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q)
        assert p.grad is not None and not p.grad.any()


@pytest.mark.parametrize("own", [True, False])
def test_train_epoch_ch3_steps_after_the_mean_loss_and_counts(own: bool) -> None:
    torch.manual_seed(1)
    X, y = torch.randn(10, 4), torch.randint(3, (10,))
    net, plain = nn.Linear(4, 3), nn.Linear(4, 3)
    plain.load_state_dict(net.state_dict())
    loss = nn.CrossEntropyLoss(reduction="none")
    updater: Any = (lambda n: d2l.sgd(net.parameters(), 0.5, n)) if own else torch.optim.SGD(net.parameters(), lr=0.5)
    result = d2l.train_epoch_ch3(net, [(X, y)], loss, updater)
    scores = plain(X)
    F.cross_entropy(scores, y).backward()
    torch.optim.SGD(plain.parameters(), lr=0.5).step()
    torch.testing.assert_close(net.weight, plain.weight)
    assert result == pytest.approx(
        (float(F.cross_entropy(scores.detach(), y)), float((scores.argmax(1) == y).float().mean()))
    )


def test_evaluate_loss_is_the_mean_over_all_values() -> None:
    batches = [(torch.zeros(3, 1), torch.ones(3)), (torch.zeros(1, 1), torch.full((1, 1), 3.0))]
    assert d2l.evaluate_loss(lambda X: X, batches, d2l.squared_loss) == (3 * 0.5 + 4.5) / 4


@pytest.mark.parametrize(
    ("x", "y", "points"),
    [
        ([1, 2], None, [[(0, 1), (1, 2)]]),
        ([[3, 4], [5, 6]], None, [[(0, 3), (1, 4)], [(0, 5), (1, 6)]]),
        (np.array([1, 2]), [[3, 4], [5, 6]], [[(1, 3), (2, 4)], [(1, 5), (2, 6)]]),
        ([[1, 2], [3, 4]], [[5, 6], [7, 8]], [[(1, 5), (2, 6)], [(3, 7), (4, 8)]]),
        (torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0], requires_grad=True), [[(1, 3), (2, 4)]]),
        ([1, 2], [torch.tensor(3.0, requires_grad=True), torch.tensor(4.0)], [[(1, 3), (2, 4)]]),
        ([0, 1], [[i, i] for i in range(5)], [[(0, i), (1, i)] for i in range(5)]),  # more curves than formats
    ],
)
def test_plot_draws_the_points(x: Any, y: Any, points: list[list[tuple[int, int]]]) -> None:
    d2l.plot([9, 9], [9, 9])  # is replaced
    d2l.plot(x, y, "a", "b", legend=["c"], xlim=[0, 5], yscale="log")
    axes = plt.gca()
    assert [[tuple(p) for p in np.asarray(line.get_xydata())] for line in axes.lines] == points
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xlim(), axes.get_yscale()) == ("a", "b", (0, 5), "log")
    plt.close("all")


def test_plot_uses_the_axes_that_it_gets() -> None:
    figure, (left, right) = plt.subplots(1, 2)
    size = tuple(figure.get_size_inches())
    d2l.plot([1, 2], [3, 4], axes=left)
    assert len(left.lines) == 1 and not right.lines and tuple(figure.get_size_inches()) == size
    plt.close("all")


# -------------------------------------------------------------------------------------------------------------- files


def test_files_are_used_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(DataError, match="has not been downloaded") as missing:
        d2l.download("kaggle_house_train")
    assert missing.value.code == "CN302" and "curl --create-dirs -o ../data/kaggle" in str(missing.value)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "kaggle_house_pred_train.csv").write_text("Id,SalePrice\n")
    with pytest.raises(DataError, match="is not the file of the book") as other:
        d2l.download("kaggle_house_train")
    assert other.value.code == "CN303"
    digest = hashlib.sha1(b"Id,SalePrice\n").hexdigest()
    monkeypatch.setitem(d2l.DATA_HUB, "kaggle_house_train", (d2l.DATA_URL + "kaggle_house_pred_train.csv", digest))
    path = d2l.download("kaggle_house_train")
    assert Path(path).samefile(folder / "kaggle_house_pred_train.csv")
    # the English edition passes the address, and both name the folder
    for found in (
        d2l.download(d2l.DATA_URL + "kaggle_house_pred_train.csv", str(folder), sha1_hash=digest),
        d2l.download("kaggle_house_train", cache_dir="../data"),
    ):
        assert Path(found).samefile(path)
    with pytest.raises(UsageError, match="DATA_HUB has no 'time_machine'"):
        d2l.download("time_machine")
    with pytest.raises(ClassicnetsError, match=r"kaggle_house_pred_test\.csv has not been downloaded"):
        d2l.download_all()


def test_archives_are_extracted_beside_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "birds.zip", "w") as archive:
        archive.writestr("birds/names.txt", "wren")
    monkeypatch.setitem(d2l.DATA_HUB, "birds", (d2l.DATA_URL + "birds.zip", ""))
    (tmp_path / "data").mkdir()
    (tmp_path / "birds.zip").rename(tmp_path / "data" / "birds.zip")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert (Path(d2l.download_extract("birds")) / "names.txt").read_text() == "wren"
    with pytest.raises(UsageError, match="only"):
        d2l.extract(str(tmp_path / "data" / "birds" / "names.txt"))
