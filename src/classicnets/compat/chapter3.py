"""Chapters 3 and 4 of the second Chinese edition (d2l 0.17): linear regression, softmax regression and `train_ch3`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, TensorDataset

from classicnets.compat.batches import Loader
from classicnets.compat.chapter6 import Accumulator, accuracy, evaluate_accuracy
from classicnets.compat.drawing import Animator, get_fashion_mnist_labels, say_how_to_save, show_images
from classicnets.compat.images import ImageBatches, image_dataset
from classicnets.compat.lesson import CHINESE
from classicnets.compat.teacher import Teacher

Network = Callable[[Tensor], Tensor]  # a module, or a function as those that these chapters define
Loss = Callable[[Tensor, Tensor], Tensor]


def synthetic_data(w: Tensor, b: Tensor | float, num_examples: int) -> tuple[Tensor, Tensor]:
    """Return X [N, d] from N(0, 1) and y [N, 1] = X w + b + noise from N(0, 0.01), for w of shape [d] or [d, 1]."""
    X = torch.randn(num_examples, len(w))
    y = (X @ w.float() + b).reshape(-1, 1)
    return X, y + 0.01 * torch.randn(y.shape)


def linreg(X: Tensor, w: Tensor, b: Tensor | float) -> Tensor:
    """Return X w + b."""
    return X @ w + b


def squared_loss(y_hat: Tensor, y: Tensor) -> Tensor:
    """Return half of the squared error of each example, in the shape of `y_hat`."""
    return (y_hat - y.reshape(y_hat.shape)) ** 2 / 2


@torch.no_grad()
def sgd(params: Iterable[Tensor], lr: float, batch_size: int) -> None:
    """Take a step of SGD in place and clear the gradients, which are sums over the batch."""
    for param in params:
        if param.grad is not None:
            param.sub_(lr * param.grad / batch_size)
            param.grad.zero_()


def load_array(data_arrays: Sequence[Tensor], batch_size: int, is_train: bool = True) -> DataLoader[tuple[Tensor, ...]]:
    """Return batches of tensors in memory, shuffled in each epoch if `is_train`."""
    return DataLoader(TensorDataset(*data_arrays), batch_size, shuffle=is_train)


def get_dataloader_workers() -> int:
    """Return 4, the number of worker processes that the book's own data loaders use."""
    return 4


def load_data_mnist(batch_size: int, resize: int | tuple[int, int] | None = None) -> tuple[ImageBatches, ImageBatches]:
    """Return batches of MNIST as `load_data_fashion_mnist` does; the book has exercises on it, but no such function.

    Raises:
        UsageError: CN204, the size is not square.
        DataError, MachineError: The data is not available.
    """
    train, test = image_dataset("mnist", resize)
    return ImageBatches(train, batch_size, shuffle=True), ImageBatches(test, batch_size, shuffle=False)


def train_epoch_ch3(
    net: Network,
    train_iter: Iterable[Any],
    loss: Loss,
    updater: Optimizer | Callable[[int], object],
) -> tuple[float, float]:
    """Train `net` for one epoch and return the mean loss and the accuracy on its batches.

    Args:
        net: A module, or a function of X.
        train_iter: Batches (X, y).
        loss: Returns one loss for each example (`reduction="none"`).
        updater: An optimizer, whose step follows the mean loss; or a function of the batch size, called after the
            gradients of the summed loss.
    """
    if isinstance(net, nn.Module):
        net.train()
    sums = Accumulator(3)
    for X, y in train_iter:
        y_hat = net(X)
        losses = loss(y_hat, y)
        if isinstance(updater, Optimizer):
            updater.zero_grad()
            losses.mean().backward()
            updater.step()
        else:
            losses.sum().backward()
            updater(len(X))
        sums.add(losses.detach().sum(), accuracy(y_hat, y), y.numel())
    return sums[0] / sums[2], sums[1] / sums[2]


def train_ch3(
    net: Network,
    train_iter: Loader,
    test_iter: Loader,
    loss: Loss,
    num_epochs: int,
    updater: Optimizer | Callable[[int], object],
) -> None:
    """Train `net` and draw train loss, train accuracy and test accuracy of each epoch; arguments of `train_epoch_ch3`.

    The book's function also ends with an error if the loss is not below 0.5; this one does not.

    Raises:
        UsageError, DataError: Of a module that an optimizer trains with cross-entropy: as in `train_ch6`.
    """
    if isinstance(net, nn.Module) and isinstance(loss, nn.CrossEntropyLoss) and isinstance(updater, Optimizer):
        lr = float(updater.param_groups[0]["lr"])
        teacher = Teacher(net, train_iter, test_iter, epochs=num_epochs, lr=lr, lesson=CHINESE)
        teacher.start(torch.device("cpu"))
    legend = ["train loss", "train acc", "test acc"]
    animator = Animator(xlabel="epoch", xlim=[1, num_epochs], ylim=[0.3, 0.9], legend=legend)
    for epoch in range(1, num_epochs + 1):
        train_loss, train_acc = train_epoch_ch3(net, train_iter, loss, updater)
        animator.add(epoch, (train_loss, train_acc, evaluate_accuracy(net, test_iter)))
    say_how_to_save()


def predict_ch3(net: Network, test_iter: Iterable[Any], n: int = 6) -> None:
    """Show the first `n` images of the first batch, each below its class and the predicted one."""
    X, y = next(iter(test_iter))
    with torch.no_grad():
        predicted = net(X[:n]).argmax(dim=1)
    names = zip(get_fashion_mnist_labels(y[:n]), get_fashion_mnist_labels(predicted), strict=True)
    show_images(X[:n], 1, n, titles=["\n".join(pair) for pair in names])


def evaluate_loss(net: Network, data_iter: Iterable[Any], loss: Loss) -> float:
    """Return the mean of all values that `loss` returns for the batches of `data_iter`."""
    sums = Accumulator(2)
    with torch.no_grad():
        for X, y in data_iter:
            outputs = net(X)
            losses = loss(outputs, y.reshape(outputs.shape))
            sums.add(losses.sum(), losses.numel())
    return sums[0] / sums[1]
