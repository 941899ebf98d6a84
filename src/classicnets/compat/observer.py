"""What follows a training loop of the book step by step: `Observer` for any network, and the sums of an epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from classicnets.compat.pace import Pace


class Observer:
    """Follows the training of any network: tells how long it will take.

    Args:
        epochs: The number of epochs.
        steps: The number of steps in an epoch.
        image_size: Height and width of the images in pixels; 0 for other data.
    """

    def __init__(self, epochs: int, steps: int, image_size: int = 0) -> None:
        self.epochs, self.steps, self.image_size = epochs, steps, image_size
        self.pace: Pace | None = None

    def start(self, device: torch.device) -> None:
        """Begin to measure the steps on `device`."""
        self.pace = Pace(self.epochs, self.steps, device, self.image_size)

    @contextmanager
    def step(self, epoch: int, step: int, batch: Sequence[Any]) -> Iterator[None]:
        """Note that a training step has ended.

        Args:
            epoch: The epoch, from 1.
            step: The step within the epoch, from 1.
            batch: The batch.
        """
        yield
        if self.pace is not None:
            self.pace.step(epoch, step)

    def record(self, epoch: int, step: int, images: int, seconds: float, loss: float, accuracy: float) -> None:
        """Take in the mean loss and accuracy of the epoch so far, five times an epoch."""

    def end_epoch(
        self, epoch: int, seconds: float, loss: float, accuracy: float, test_accuracy: float | None = None
    ) -> None:
        """Take in an epoch that has ended."""


class Meter:
    """Sums of the loss and the correct predictions of an epoch, for a loop whose steps return only the loss.

    Args:
        net: The network, whose outputs are read while this context is open.
    """

    def __init__(self, net: nn.Module) -> None:
        self.net, self.start = net, time.perf_counter()
        self.loss, self.correct, self.images = torch.zeros(()), torch.zeros(()), 0
        self._outputs: Any = None

    def __enter__(self) -> Meter:
        self._hook = self.net.register_forward_hook(self._keep)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _keep(self, _net: nn.Module, _inputs: Any, outputs: Any) -> None:
        self._outputs = outputs.detach() if isinstance(outputs, Tensor) else None

    def add(self, loss: Tensor, labels: Tensor) -> None:
        """Add a step."""
        self.images += len(labels)
        self.loss = self.loss.to(loss.device) + loss.detach() * len(labels)
        if self._outputs is not None and self._outputs.dim() == 2:
            hits = self._outputs.argmax(dim=1).flatten() == labels.flatten()[: len(self._outputs)]
            self.correct = self.correct.to(loss.device) + hits.sum()

    def values(self) -> tuple[int, float, float, float]:
        """Return the number of images, the seconds, the mean loss and the accuracy so far."""
        seconds = time.perf_counter() - self.start
        return self.images, seconds, float(self.loss) / self.images, float(self.correct) / self.images
