"""Training and evaluation of the second Chinese edition (d2l 0.17): `train_ch6` and the functions that it calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.acceleration.prepare import prepared
from classicnets.compat.batches import Loader, check_iterable
from classicnets.compat.drawing import Animator, say_how_to_save
from classicnets.compat.images import ImageBatches, fashion_mnist
from classicnets.compat.lesson import CHINESE
from classicnets.compat.teacher import Teacher, check_arguments
from classicnets.compat.tensors import try_gpu
from classicnets.errors import MachineError
from classicnets.machine import choose_device
from classicnets.models.modules import complete, has_lazy_layers
from classicnets.text import _


class Timer:
    """Timer of several runs; `stop` waits for CUDA to finish."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.start()

    def start(self) -> None:
        """Start a run."""
        self.tik = time.perf_counter()

    def stop(self) -> float:
        """Stop the run and return its seconds."""
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter() - self.tik)
        return self.times[-1]

    def avg(self) -> float:
        """Return the mean seconds of a run."""
        return sum(self.times) / len(self.times)

    def sum(self) -> float:
        """Return the total seconds of all runs."""
        return sum(self.times)

    def cumsum(self) -> list[float]:
        """Return the accumulated seconds after each run."""
        return [float(total) for total in np.cumsum(self.times)]


class Accumulator:
    """Accumulator of `n` sums."""

    def __init__(self, n: int):
        self.data = [0.0] * n

    def add(self, *args: Any) -> None:
        """Add one number to each sum."""
        numbers = [float(value.detach() if isinstance(value, Tensor) else value) for value in args]
        self.data = [total + number for total, number in zip(self.data, numbers, strict=True)]

    def reset(self) -> None:
        """Set all sums to 0."""
        self.data = [0.0] * len(self.data)

    def __getitem__(self, index: int) -> float:
        return self.data[index]


def load_data_fashion_mnist(
    batch_size: int, resize: int | tuple[int, int] | None = None
) -> tuple[ImageBatches, ImageBatches]:
    """Return training batches, shuffled in each epoch, and test batches: X [B, 1, S, S] in 0..1 and y [B].

    Raises:
        UsageError: CN204, the size is not square.
        DataError, MachineError: The data is not available.
    """
    train, test = fashion_mnist(resize)
    return ImageBatches(train, batch_size, shuffle=True), ImageBatches(test, batch_size, shuffle=False)


def accuracy(y_hat: Tensor, y: Tensor) -> float:
    """Count the correct predictions; `y_hat` has scores [N, classes] or class numbers [N]."""
    if y_hat.ndim > 1 and y_hat.shape[1] > 1:
        y_hat = y_hat.argmax(dim=1)
    return float((y_hat.to(y.dtype) == y).sum())


def evaluate_accuracy_gpu(
    net: Callable[[Tensor], Tensor], data_iter: Iterable[Any], device: torch.device | str | None = None
) -> float:
    """Return the accuracy on `data_iter`, computed on `device` (default: the device of the network).

    A module stays in evaluation mode, as in the book.
    """
    if isinstance(net, nn.Module):
        net.eval()
        device = device or next((p.device for p in net.parameters()), None)
    metric = Accumulator(2)
    with torch.no_grad(), prepared(net) if isinstance(net, nn.Module) else nullcontext():
        for X, y in _on_device(device, data_iter):
            metric.add(accuracy(net(X), y), len(y))
    return metric[0] / metric[1]


def evaluate_accuracy(net: Callable[[Tensor], Tensor], data_iter: Iterable[Any]) -> float:
    """Return the accuracy on `data_iter`."""
    return evaluate_accuracy_gpu(net, data_iter)


def _on_device(device: torch.device | str | None, batches: Iterable[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches on `device`; ImageBatches are preprocessed there."""
    if device is None:
        yield from batches
        return
    if isinstance(batches, ImageBatches):
        batches = batches.to(torch.device(device))
    for X, y in batches:
        yield X.to(device), y.to(device)


def _checked_device(device: torch.device | str) -> torch.device:
    """The device of that name. Raises MachineError CN402 if it is not available."""
    try:
        return choose_device(str(device))
    except MachineError as error:
        error.hints = ("d2l.try_gpu()",)
        raise


def init_cnn(module: nn.Module) -> None:
    """Initialize a Linear or Conv2d with Xavier-uniform weights and leave other layers, for `net.apply`."""
    if type(module) in (nn.Linear, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)  # type: ignore[arg-type]


def train_ch6(
    net: nn.Module,
    train_iter: Loader,
    test_iter: Loader,
    num_epochs: int,
    lr: float,
    device: torch.device | str | None = None,
) -> None:
    """Initialize and train `net`: Xavier-uniform weights, plain SGD, cross-entropy.

    Draws train loss, train accuracy and test accuracy. Prints their last values and the trained images per second; the
    time includes preparing the batches, but neither evaluation nor drawing.

    Args:
        net: The network, which is trained in place.
        train_iter: Training batches.
        test_iter: Batches for the test accuracy after each epoch.
        num_epochs: Number of epochs.
        lr: Learning rate.
        device: Device (default: `try_gpu()`).

    Raises:
        UsageError: CN201, the images do not fit the network; CN204, CN209, an argument is not valid, or the network is
            no classifier.
        DataError: CN306, the network has too few outputs; CN311, the batches cannot be trained on.
        CheckFailed: CN101, the loss is not finite.
        MachineError: CN402, the device is not available.
    """
    check_arguments(net, num_epochs, lr)
    check_iterable(test_iter, CHINESE.test)
    device = _checked_device(device) if device else try_gpu()
    teacher = Teacher(net, train_iter, test_iter, epochs=num_epochs, lr=lr, lesson=CHINESE)
    initialize_lazy_layers(net, teacher.first.images)
    net.apply(init_cnn)
    print(_("training on {device}", device=device))
    net.to(device)
    if isinstance(train_iter, ImageBatches):
        train_iter = train_iter.to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    animator = Animator(xlabel="epoch", xlim=[1, num_epochs], legend=["train loss", "train acc", "test acc"])
    teacher.start(device)
    timer, num_batches = Timer(), len(train_iter)
    with prepared(net):
        for epoch in range(num_epochs):
            net.train()
            loss_sum, correct, images = torch.zeros((), device=device), torch.zeros((), device=device), 0
            timer.start()
            for i, (X, y) in enumerate(_on_device(device, train_iter), start=1):
                with teacher.step(epoch + 1, i, (X, y)):
                    optimizer.zero_grad()
                    y_hat = net(X)
                    loss = F.cross_entropy(y_hat, y)
                    loss.backward()
                    optimizer.step()
                loss_sum += loss.detach() * len(y)  # sums stay on the device, so that steps do not wait for a transfer
                correct += (y_hat.argmax(dim=1) == y).sum()
                images += len(y)
                if i % max(1, num_batches // 5) == 0 or i == num_batches:
                    timer.stop()
                    train_loss, train_acc = float(loss_sum) / images, float(correct) / images
                    animator.add(epoch + i / num_batches, (train_loss, train_acc, None))
                    teacher.record(epoch + 1, i, images, timer.sum(), train_loss, train_acc)
                    timer.start()
            test_acc = evaluate_accuracy_gpu(net, test_iter, device)
            animator.add(epoch + 1, (None, None, test_acc))
            teacher.end_epoch(epoch + 1, timer.sum(), train_loss, train_acc, test_acc)
    results = {"loss": train_loss, "train": train_acc, "test": test_acc}
    print(_("loss {loss:.3f}, train acc {train:.3f}, test acc {test:.3f}", **results))
    print(_("{rate:.1f} examples/sec on {device}", rate=images * num_epochs / timer.sum(), device=device))
    say_how_to_save()


def initialize_lazy_layers(net: nn.Module, images: Tensor) -> None:
    """Give lazy layers their weights for a batch of images; the random number generator is restored."""
    if has_lazy_layers(net):
        with torch.random.fork_rng(devices=[]):
            complete(net, images.shape[1:])
