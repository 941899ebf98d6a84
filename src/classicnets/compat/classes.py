"""The classes of the English edition 1.0: `Module`, `DataModule`, `Trainer` and their subclasses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from classicnets.acceleration.prepare import prepared
from classicnets.compat.batches import Loader, check_iterable
from classicnets.compat.chapter6 import initialize_lazy_layers
from classicnets.compat.drawing import ProgressBoard, get_fashion_mnist_labels, say_how_to_save, show_images
from classicnets.compat.images import ImageBatches, fashion_mnist
from classicnets.compat.lesson import ENGLISH
from classicnets.compat.observer import Meter, Observer
from classicnets.compat.teacher import Teacher
from classicnets.compat.tensors import cpu, gpu, randn
from classicnets.compat.tensors import num_gpus as available_gpus
from classicnets.inspection.guard import guard
from classicnets.models.alexnet_ports import alexnet_d2l
from classicnets.models.lenet import lenet_d2l
from classicnets.text import _

_Definition = TypeVar("_Definition", bound=Any)


def add_to_class(Class: type) -> Callable[[_Definition], _Definition]:
    """Decorator that adds the function to `Class` as a method, also for existing objects."""

    def add(definition: _Definition) -> _Definition:
        setattr(Class, definition.__name__, definition)
        return definition

    return add


class HyperParameters:
    """Base class that saves the arguments of a constructor as attributes and in `hparams`."""

    hparams: dict[str, Any]

    def save_hyperparameters(self, ignore: Sequence[str] = ()) -> None:
        """Save the local variables of the calling function, except `self`, `_private` ones and those in `ignore`."""
        self.hparams = {
            name: value
            for name, value in sys._getframe(1).f_locals.items()
            if name != "self" and name not in ignore and not name.startswith("_")
        }
        for name, value in self.hparams.items():
            setattr(self, name, value)


class Module(nn.Module, HyperParameters):
    """A network (`self.net`) with its loss and optimizer; draws its progress on `board`."""

    net: nn.Module
    trainer: Trainer
    plot_train_per_epoch: int
    plot_valid_per_epoch: int

    def __init__(self, plot_train_per_epoch: int = 2, plot_valid_per_epoch: int = 1):
        super().__init__()
        self.save_hyperparameters()
        self.board = ProgressBoard()

    def loss(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """To be defined by a subclass."""
        raise NotImplementedError

    def forward(self, X: Tensor) -> Tensor:
        """Return the output of `self.net`."""
        assert hasattr(self, "net"), "the constructor must set self.net"
        outputs: Tensor = self.net(X)
        return outputs

    def plot(self, key: str, value: Any, train: bool) -> None:
        """Draw a point of train_<key> or val_<key> against epochs."""
        self.board.xlabel = "epoch"
        if train:
            x = self.trainer.train_batch_idx / self.trainer.num_train_batches
            every_n = self.trainer.num_train_batches / self.plot_train_per_epoch
        else:
            x = self.trainer.epoch + 1
            every_n = self.trainer.num_val_batches / self.plot_valid_per_epoch
        self.board.draw(x, value, ("train_" if train else "val_") + key, every_n=int(every_n))

    def training_step(self, batch: Sequence[Tensor]) -> Tensor:
        """Return and draw the loss of a batch (X, y)."""
        loss = self.loss(self(*batch[:-1]), batch[-1])
        self.plot("loss", loss, train=True)
        return loss

    def validation_step(self, batch: Sequence[Tensor]) -> None:
        """Draw the loss of a batch (X, y)."""
        self.plot("loss", self.loss(self(*batch[:-1]), batch[-1]), train=False)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """To be defined by a subclass."""
        raise NotImplementedError

    def apply_init(self, inputs: Sequence[Tensor], init: Callable[[nn.Module], None] | None = None) -> None:
        """Initialize lazy layers with `inputs`, then apply `init` to each layer of the network."""
        self.forward(*inputs)
        if init is not None:
            self.net.apply(init)


class Classifier(Module):
    """A network that returns one score for each class: cross-entropy, accuracy, plain SGD with `self.lr`."""

    lr: float

    def validation_step(self, batch: Sequence[Tensor]) -> None:
        """Draw loss and accuracy of a batch (X, y)."""
        Y_hat = self(*batch[:-1])
        self.plot("loss", self.loss(Y_hat, batch[-1]), train=False)
        self.plot("acc", self.accuracy(Y_hat, batch[-1]), train=False)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return plain SGD."""
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def accuracy(self, Y_hat: Tensor, Y: Tensor, averaged: bool = True) -> Tensor:
        """Return the accuracy, or 1 or 0 for each prediction."""
        correct = (Y_hat.reshape(-1, Y_hat.shape[-1]).argmax(dim=1) == Y.reshape(-1)).float()
        return correct.mean() if averaged else correct

    def loss(self, y_hat: Tensor, y: Tensor, averaged: bool = True) -> Tensor:
        """Return the cross-entropy: the mean, or one value for each image."""
        y_hat, y = y_hat.reshape(-1, y_hat.shape[-1]), y.reshape(-1)
        return F.cross_entropy(y_hat, y, reduction="mean" if averaged else "none")

    def layer_summary(self, X_shape: Sequence[int]) -> None:
        """Print the output shape of each layer of `self.net` for a random input of shape `X_shape` (with batch)."""
        X = randn(*X_shape)
        for layer in self.net.children():
            X = layer(X)
            print(layer.__class__.__name__, _("output shape:\t"), X.shape)


class LeNet(Classifier):
    """The book's LeNet for images of 28 x 28, the same network as `lenet_d2l` in the registry."""

    def __init__(self, lr: float = 0.1, num_classes: int = 10):
        super().__init__()
        self.save_hyperparameters()
        self.net = guard(lenet_d2l(num_classes), (1, 28, 28), name="lenet_d2l")


class AlexNet(Classifier):
    """The book's AlexNet for images of 224 x 224, the same network as `alexnet_d2l` in the registry."""

    def __init__(self, lr: float = 0.1, num_classes: int = 10):
        super().__init__()
        self.save_hyperparameters()
        self.net = guard(alexnet_d2l(num_classes), (1, 224, 224), name="alexnet_d2l")


class DataModule(HyperParameters):
    """Source of batches for a `Trainer`; `root` and `num_workers` are for your own data sets."""

    batch_size: int

    def __init__(self, root: str = "../data", num_workers: int = 4):
        self.save_hyperparameters()

    def get_dataloader(self, train: bool) -> Loader:
        """Return batches (X, y) for training or validation; to be defined by a subclass."""
        raise NotImplementedError

    def train_dataloader(self) -> Loader:
        """Return the training batches."""
        return self.get_dataloader(train=True)

    def val_dataloader(self) -> Loader | None:
        """Return the validation batches."""
        return self.get_dataloader(train=False)

    def get_tensorloader(
        self, tensors: Sequence[Tensor], train: bool, indices: slice = slice(0, None)
    ) -> DataLoader[tuple[Tensor, ...]]:
        """Return batches of tensors in memory."""
        return DataLoader(TensorDataset(*(x[indices] for x in tensors)), self.batch_size, shuffle=train)


class FashionMNIST(DataModule):
    """Fashion-MNIST at the size `resize`; `val` has the test images, as in the book.

    Raises:
        UsageError: CN204, the size is not square.
        DataError, MachineError: The data is not available.
    """

    def __init__(self, batch_size: int = 64, resize: tuple[int, int] = (28, 28)):
        super().__init__()
        self.save_hyperparameters()
        self.train, self.val = fashion_mnist(resize)

    def text_labels(self, indices: Iterable[Any]) -> list[str]:
        """Return the class names."""
        return get_fashion_mnist_labels(indices)

    def get_dataloader(self, train: bool) -> ImageBatches:
        """Return training batches, shuffled in each epoch, or validation batches."""
        return ImageBatches(self.train if train else self.val, self.batch_size, shuffle=train)

    def visualize(
        self, batch: tuple[Tensor, Tensor], nrows: int = 1, ncols: int = 8, labels: Sequence[str] = ()
    ) -> None:
        """Show the first images of a batch with their class names."""
        X, y = batch
        images = X[: nrows * ncols]
        show_images(images, nrows, ncols, titles=labels or self.text_labels(y[: len(images)]))


class Trainer(HyperParameters):
    """Training of a `Module` for `max_epochs`, on the first of `num_gpus` CUDA devices, or on the CPU without one."""

    max_epochs: int
    gradient_clip_val: float
    model: Module

    def __init__(self, max_epochs: int, num_gpus: int = 0, gradient_clip_val: float = 0):
        self.save_hyperparameters()
        self.gpus = [gpu(i) for i in range(min(num_gpus, available_gpus()))]

    def fit(self, model: Module, data: DataModule) -> None:
        """Train `model` in place and draw its curves on `model.board`.

        Raises:
            UsageError: Of a `Classifier` with the loss of this class: CN201, the images do not fit the network; CN209,
                it is no classifier.
            DataError: Of such a network: CN306, it has too few outputs; CN311, the batches cannot be trained on.
            CheckFailed: Of such a network: CN101, the loss is not finite.
        """
        self.prepare_data(data)
        self.observer = self._observe(model)  # before `model` refers to the data, because it is copied
        self.prepare_model(model)
        self.optim = model.configure_optimizers()
        self.observer.start(self.gpus[0] if self.gpus else cpu())
        self.train_batch_idx = self.val_batch_idx = 0
        for epoch in range(self.max_epochs):
            self.epoch = epoch
            self.fit_epoch()
            model.board.print_values(epoch + 1)
        say_how_to_save()

    def _observe(self, model: Module) -> Observer:
        """Check a classifier and its batches, and return what follows the training."""
        if not isinstance(model, Classifier) or type(model).loss is not Classifier.loss:
            return Observer(self.max_epochs, self.num_train_batches)
        plain = type(model).forward is Module.forward and hasattr(model, "net")
        net = model.net if plain else model
        lr = float(getattr(model, "lr", 0.1))
        teacher = Teacher(
            net, self.train_dataloader, self.val_dataloader, epochs=self.max_epochs, lr=lr, lesson=ENGLISH
        )
        initialize_lazy_layers(net, teacher.first.images)
        return teacher

    def prepare_data(self, data: DataModule) -> None:
        """Get the training and validation batches."""
        self.train_dataloader, self.val_dataloader = data.train_dataloader(), data.val_dataloader()
        check_iterable(self.train_dataloader, ENGLISH.train)
        self.num_train_batches = len(self.train_dataloader)
        self.num_val_batches = len(self.val_dataloader) if self.val_dataloader is not None else 0

    def prepare_model(self, model: Module) -> None:
        """Move the model to the device and set up its board."""
        model.trainer = self
        model.board.xlim = [0, self.max_epochs]
        model.board.start_figure()
        if self.gpus:
            model.to(self.gpus[0])
        self.model = model

    def prepare_batch(self, batch: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the batch on the device."""
        return [part.to(self.gpus[0]) for part in batch] if self.gpus else batch

    def fit_epoch(self) -> None:
        """Train and validates for one epoch."""
        with prepared(self.model):
            self._fit_epoch()

    def _fit_epoch(self) -> None:
        self.model.train()
        with Meter(self.model) as meter:
            batches = map(self.prepare_batch, self._batches_on_device(self.train_dataloader))
            for i, batch in enumerate(batches, start=1):
                with self.observer.step(self.epoch + 1, i, batch):
                    loss = self.model.training_step(batch)
                    self.optim.zero_grad()
                    loss.backward()
                    if self.gradient_clip_val > 0:
                        nn.utils.clip_grad_norm_(self.model.parameters(), self.gradient_clip_val)
                    self.optim.step()
                self.train_batch_idx += 1
                meter.add(loss, batch[-1])
                if i % max(1, self.num_train_batches // 5) == 0 or i == self.num_train_batches:
                    self.observer.record(self.epoch + 1, i, *meter.values())
        self.observer.end_epoch(self.epoch + 1, *meter.values()[1:])
        if self.val_dataloader is None:
            return
        self.model.eval()
        with torch.no_grad():
            for batch in self._batches_on_device(self.val_dataloader):
                self.model.validation_step(self.prepare_batch(batch))
                self.val_batch_idx += 1

    def _batches_on_device(self, batches: Loader) -> Loader:
        return batches.to(self.gpus[0]) if self.gpus and isinstance(batches, ImageBatches) else batches
