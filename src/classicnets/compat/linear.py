"""Chapters 3 and 4 of the English edition 1.0: linear and softmax regression as classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from classicnets.compat.classes import Classifier, DataModule, HyperParameters, Module


class SyntheticRegressionData(DataModule):
    """X [N, d] from N(0, 1) and y [N, 1] = X w + b with noise; the first `num_train` rows are for training."""

    num_train: int
    num_val: int

    def __init__(
        self,
        w: Tensor,
        b: float,
        noise: float = 0.01,
        num_train: int = 1000,
        num_val: int = 1000,
        batch_size: int = 32,
    ):
        super().__init__()
        self.save_hyperparameters()
        count = num_train + num_val
        self.X = torch.randn(count, len(w))
        self.y = self.X @ w.float().reshape(-1, 1) + b + noise * torch.randn(count, 1)

    def get_dataloader(self, train: bool) -> Any:
        """Return training batches, shuffled in each epoch, or validation batches."""
        rows = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader((self.X, self.y), train, rows)


class SGD(HyperParameters):
    """Plain SGD, with the two methods of an optimizer that a `Trainer` calls."""

    params: list[Tensor]
    lr: float

    def __init__(self, params: Iterable[Tensor], lr: float):
        params = [*params]
        self.save_hyperparameters()

    @torch.no_grad()
    def step(self) -> None:
        """Subtract the gradients times the learning rate, in place."""
        for param in self.params:
            if param.grad is not None:
                param.sub_(self.lr * param.grad)

    def zero_grad(self) -> None:
        """Set the gradients to 0."""
        for param in self.params:
            if param.grad is not None:
                param.grad.zero_()


class LinearRegressionScratch(Module):
    """Linear regression with the tensors `w` [num_inputs, 1] and `b` [1], and half of the squared errors."""

    def __init__(self, num_inputs: int, lr: float, sigma: float = 0.01):
        super().__init__()
        self.save_hyperparameters()
        self.w = torch.normal(0, sigma, (num_inputs, 1), requires_grad=True)
        self.b = torch.zeros(1, requires_grad=True)

    def forward(self, X: Tensor) -> Tensor:
        """Return X w + b, [N, 1]."""
        return X @ self.w + self.b

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Return the mean of half the squared errors."""
        return ((y_hat - y) ** 2 / 2).mean()

    def configure_optimizers(self) -> Any:
        """Return `SGD` of `w` and `b`."""
        return SGD([self.w, self.b], self.lr)


class LinearRegression(Module):
    """Linear regression by a layer `net`, whose inputs are determined by the first batch, and mean squared errors.

    The weights have torch's initialization: in the book's class, too, that for N(0, 0.01) has no effect, because the
    layer has no weights yet.
    """

    def __init__(self, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.LazyLinear(1)

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Return the mean squared error."""
        return nn.functional.mse_loss(y_hat, y)

    def get_w_b(self) -> tuple[Tensor, Tensor]:
        """Return the weights [1, num_inputs] and the bias [1]."""
        assert isinstance(self.net, nn.Linear)
        return self.net.weight.data, self.net.bias.data


class SoftmaxRegression(Classifier):
    """One linear layer from all pixels to `num_outputs` scores."""

    def __init__(self, num_outputs: int, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(num_outputs))
