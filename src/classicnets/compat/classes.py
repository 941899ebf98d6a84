"""The classes of the English edition 1.0: a `Module` with its loss, a `DataModule` with its batches, a `Trainer`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from classicnets.acceleration.prepare import prepared
from classicnets.compat.chapter6 import Loader
from classicnets.compat.drawing import ProgressBoard, get_fashion_mnist_labels, say_how_to_keep, show_images
from classicnets.compat.images import ImageBatches, fashion_mnist
from classicnets.compat.tensors import gpu, randn
from classicnets.compat.tensors import num_gpus as gpus_here
from classicnets.inspection.guard import guard
from classicnets.models.alexnet_ports import alexnet_d2l
from classicnets.models.lenet import lenet_d2l

_Definition = TypeVar("_Definition", bound=Any)


def add_to_class(Class: type) -> Callable[[_Definition], _Definition]:
    """Decorator: the function becomes a method of `Class`, also of the objects that exist already."""

    def add(definition: _Definition) -> _Definition:
        setattr(Class, definition.__name__, definition)
        return definition

    return add


class HyperParameters:
    """Keeps the arguments of a constructor as attributes and in `hparams`."""

    hparams: dict[str, Any]

    def save_hyperparameters(self, ignore: Sequence[str] = ()) -> None:
        """Keeps the local variables of the calling function, but `self`, `_private` ones and those of `ignore`."""
        self.hparams = {
            name: value
            for name, value in sys._getframe(1).f_locals.items()
            if name != "self" and name not in ignore and not name.startswith("_")
        }
        for name, value in self.hparams.items():
            setattr(self, name, value)


class Module(nn.Module, HyperParameters):
    """A net in `self.net` with its loss and optimizer, which draws its progress on `board`."""

    net: nn.Module
    trainer: Trainer
    plot_train_per_epoch: int
    plot_valid_per_epoch: int

    def __init__(self, plot_train_per_epoch: int = 2, plot_valid_per_epoch: int = 1):
        super().__init__()
        self.save_hyperparameters()
        self.board = ProgressBoard()

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """For a subclass to define."""
        raise NotImplementedError

    def forward(self, X: Tensor) -> Tensor:
        """What `self.net` makes of `X`."""
        assert hasattr(self, "net"), "the constructor sets self.net"
        outputs: Tensor = self.net(X)
        return outputs

    def plot(self, key: str, value: Any, train: bool) -> None:
        """A point of train_<key> or val_<key> on the board, against epochs."""
        self.board.xlabel = "epoch"
        if train:
            x = self.trainer.train_batch_idx / self.trainer.num_train_batches
            every_n = self.trainer.num_train_batches / self.plot_train_per_epoch
        else:
            x = self.trainer.epoch + 1
            every_n = self.trainer.num_val_batches / self.plot_valid_per_epoch
        self.board.draw(x, value, ("train_" if train else "val_") + key, every_n=int(every_n))

    def training_step(self, batch: Sequence[Tensor]) -> Tensor:
        """The loss of a batch (X, y), drawn."""
        loss = self.loss(self(*batch[:-1]), batch[-1])
        self.plot("loss", loss, train=True)
        return loss

    def validation_step(self, batch: Sequence[Tensor]) -> None:
        """Draws the loss of a batch (X, y)."""
        self.plot("loss", self.loss(self(*batch[:-1]), batch[-1]), train=False)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """For a subclass to define."""
        raise NotImplementedError

    def apply_init(self, inputs: Sequence[Tensor], init: Callable[[nn.Module], None] | None = None) -> None:
        """Lazy layers get their shapes from `inputs`; then `init` is applied to every layer of the net."""
        self.forward(*inputs)
        if init is not None:
            self.net.apply(init)


class Classifier(Module):
    """A net that gives one score for each class: cross-entropy, accuracy, plain SGD with `self.lr`."""

    lr: float

    def validation_step(self, batch: Sequence[Tensor]) -> None:
        """Draws loss and accuracy of a batch (X, y)."""
        Y_hat = self(*batch[:-1])
        self.plot("loss", self.loss(Y_hat, batch[-1]), train=False)
        self.plot("acc", self.accuracy(Y_hat, batch[-1]), train=False)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain SGD."""
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def accuracy(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """The share of right predictions, or 1 and 0 for each."""
        right = (Y_hat.reshape(-1, Y_hat.shape[-1]).argmax(dim=1) == Y.reshape(-1)).float()
        return right.mean() if averaged else right

    def loss(self, y_hat: Tensor, y: Tensor, averaged: bool = True) -> Tensor:
        """Cross-entropy, the mean or one value for each image."""
        y_hat, y = y_hat.reshape(-1, y_hat.shape[-1]), y.reshape(-1)
        return F.cross_entropy(y_hat, y, reduction="mean" if averaged else "none")

    def layer_summary(self, X_shape: Sequence[int]) -> None:
        """Prints the shape that each layer of `self.net` gives for a random input of shape `X_shape` (with batch)."""
        X = randn(*X_shape)
        for layer in self.net.children():
            X = layer(X)
            print(layer.__class__.__name__, "output shape:\t", X.shape)


class LeNet(Classifier):
    """The book's LeNet, as `lenet_d2l` of the registry; it takes images of 28 x 28."""

    def __init__(self, lr: float = 0.1, num_classes: int = 10):
        super().__init__()
        self.save_hyperparameters()
        self.net = guard(lenet_d2l(num_classes), (1, 28, 28), name="lenet_d2l")


class AlexNet(Classifier):
    """The book's AlexNet, as `alexnet_d2l` of the registry; it takes images of 224 x 224."""

    def __init__(self, lr: float = 0.1, num_classes: int = 10):
        super().__init__()
        self.save_hyperparameters()
        self.net = guard(alexnet_d2l(num_classes), (1, 224, 224), name="alexnet_d2l")


class DataModule(HyperParameters):
    """Where the batches of a `Trainer` come from; `root` and `num_workers` are for data sets of your own."""

    batch_size: int

    def __init__(self, root: str = "../data", num_workers: int = 4):
        self.save_hyperparameters()

    def get_dataloader(self, train: bool) -> Loader:
        """For a subclass to define: batches (X, y) to train on or to validate by."""
        raise NotImplementedError

    def train_dataloader(self) -> Loader:
        """Batches to train on."""
        return self.get_dataloader(train=True)

    def val_dataloader(self) -> Loader | None:
        """Batches to validate by."""
        return self.get_dataloader(train=False)

    def get_tensorloader(
        self, tensors: Sequence[Tensor], train: bool, indices: slice = slice(0, None)
    ) -> DataLoader[tuple[Tensor, ...]]:
        """Batches of tensors in memory."""
        return DataLoader(TensorDataset(*(x[indices] for x in tensors)), self.batch_size, shuffle=train)


class FashionMNIST(DataModule):
    """Fashion-MNIST at `resize`: `train` holds its training images, `val` its test images, as the book has it.

    Raises UsageError CN204 for a size that is not square, DataError and MachineError where the data cannot be had.
    """

    def __init__(self, batch_size: int = 64, resize: tuple[int, int] = (28, 28)):
        super().__init__()
        self.save_hyperparameters()
        self.train, self.val = fashion_mnist(resize)

    def text_labels(self, indices: Iterable[Any]) -> list[str]:
        """The names of the classes."""
        return get_fashion_mnist_labels(indices)

    def get_dataloader(self, train: bool) -> ImageBatches:
        """Batches to train on, in a new order each time, or to validate by."""
        return ImageBatches(self.train if train else self.val, self.batch_size, shuffle=train)

    def visualize(
        self, batch: tuple[Tensor, Tensor], nrows: int = 1, ncols: int = 8, labels: Sequence[str] = ()
    ) -> None:
        """Shows the first images of a batch with their names."""
        X, y = batch
        shown = X[: nrows * ncols]
        show_images(shown, nrows, ncols, titles=labels or self.text_labels(y[: len(shown)]))


class Trainer(HyperParameters):
    """Trains a `Module` for `max_epochs` on the first of `num_gpus` CUDA devices, or on the CPU where there is none."""

    max_epochs: int
    gradient_clip_val: float
    model: Module

    def __init__(self, max_epochs: int, num_gpus: int = 0, gradient_clip_val: float = 0):
        self.save_hyperparameters()
        self.gpus = [gpu(i) for i in range(min(num_gpus, gpus_here()))]

    def fit(self, model: Module, data: DataModule) -> None:
        """Trains `model` in place; its curves are drawn on `model.board`."""
        self.prepare_data(data)
        self.prepare_model(model)
        self.optim = model.configure_optimizers()
        self.train_batch_idx = self.val_batch_idx = 0
        for epoch in range(self.max_epochs):
            self.epoch = epoch
            self.fit_epoch()
            model.board.tell(epoch + 1)
        say_how_to_keep()

    def prepare_data(self, data: DataModule) -> None:
        """Takes the batches; ours are prepared on the device of the training."""
        self.train_dataloader, self.val_dataloader = data.train_dataloader(), data.val_dataloader()
        self.num_train_batches = len(self.train_dataloader)
        self.num_val_batches = len(self.val_dataloader) if self.val_dataloader is not None else 0

    def prepare_model(self, model: Module) -> None:
        """Puts the model on the device of the training and gives its board this trainer's epochs."""
        model.trainer = self
        model.board.xlim = [0, self.max_epochs]
        model.board.here()
        if self.gpus:
            model.to(self.gpus[0])
        self.model = model

    def prepare_batch(self, batch: Sequence[Tensor]) -> Sequence[Tensor]:
        """The batch on the device of the training."""
        return [part.to(self.gpus[0]) for part in batch] if self.gpus else batch

    def fit_epoch(self) -> None:
        """One pass over the training batches, one over those of validation."""
        with prepared(self.model):
            self._fit_epoch()

    def _fit_epoch(self) -> None:
        self.model.train()
        for batch in self._prepared(self.train_dataloader):
            loss = self.model.training_step(self.prepare_batch(batch))
            self.optim.zero_grad()
            loss.backward()
            if self.gradient_clip_val > 0:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.gradient_clip_val)
            self.optim.step()
            self.train_batch_idx += 1
        if self.val_dataloader is None:
            return
        self.model.eval()
        with torch.no_grad():
            for batch in self._prepared(self.val_dataloader):
                self.model.validation_step(self.prepare_batch(batch))
                self.val_batch_idx += 1

    def _prepared(self, batches: Loader) -> Loader:
        return batches.to(self.gpus[0]) if self.gpus and isinstance(batches, ImageBatches) else batches
