"""The checks before the first step and the coach during training, for a training loop of the book.

They are those of `classicnets train`: the same functions say the same of a network, its labels, its images and how it
learns. Hints are written as the code in the cell.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.coach.coach import Coach
from classicnets.coach.task import Sample, Task
from classicnets.compat.batches import (
    Batch,
    Loader,
    check_images,
    check_labels,
    exact_labels,
    first_batch,
    is_sorted_by_class,
)
from classicnets.compat.pace import Pace, tell
from classicnets.errors import CheckFailed, ClassicnetsError, UsageError
from classicnets.events import Advice, Epoch, Step
from classicnets.hints import as_python, options
from classicnets.inspection.classifier import IMAGES, check_classifier, check_output, check_registration
from classicnets.inspection.meta import Shape
from classicnets.inspection.output_errors import output_changes, wrong_output
from classicnets.inspection.remarks import Remark
from classicnets.inspection.shape_errors import check_input
from classicnets.inspection.shapes import Table
from classicnets.models.modules import complete, copy_module
from classicnets.report.lines import advice_lines
from classicnets.text import _
from classicnets.values import Preprocess, Recipe

_SAMPLE, _SAMPLE_OF_LARGE, _LARGE = 256, 32, 64  # images that the coach looks at, fewer of more than 64 pixels


@dataclass(frozen=True)
class Lesson:
    """What the code in the cell is like.

    Attributes:
        train, test: How errors name the batches.
        resize: How a batch of images of another size is made.
        initialize: The call that initializes the weights.
        initialized: Whether the loop does so itself.
        flattens_labels: Whether its loss accepts labels of shape [N, 1].
    """

    train: str
    test: str
    resize: Callable[[Shape], str]
    initialize: str
    initialized: bool
    flattens_labels: bool


def _load_resized(shape: Shape) -> str:
    return f"d2l.load_data_fashion_mnist(batch_size, resize={shape[-1]})"


def _module_resized(shape: Shape) -> str:
    return f"d2l.FashionMNIST(batch_size=128, resize={tuple(shape[-2:])})"


CHINESE = Lesson("train_iter", "test_iter", _load_resized, "net.apply(d2l.init_cnn)", True, False)
ENGLISH = Lesson(
    "data.train_dataloader()",
    "data.val_dataloader()",
    _module_resized,
    "model.apply_init([next(iter(data.train_dataloader()))[0]], d2l.init_cnn)",
    False,
    True,
)


def check_arguments(net: object, num_epochs: object, lr: object) -> None:
    """Check the arguments of a training function.

    Raises:
        UsageError: CN204, the number of epochs or the learning rate cannot be one; CN209, `net` is not a module.
    """
    if not isinstance(net, nn.Module):
        hint = f"net = {net.__name__}()" if isinstance(net, type) else "net = nn.Sequential(*net)"
        is_class = isinstance(net, type) and issubclass(net, nn.Module)
        raise UsageError(
            "CN209",
            _("net is a class, not a network")
            if is_class
            else _("net is a {kind}, not a network", kind=type(net).__name__),
            why=_("a network is an object of nn.Module, which has weights to train"),
            hint=hint if is_class or isinstance(net, list | tuple) else "net = nn.Sequential(...)",
        )
    call = "train_ch6(net, train_iter, test_iter, num_epochs=10, lr=0.9)"
    if isinstance(num_epochs, bool) or not isinstance(num_epochs, int) or num_epochs < 1:
        raise UsageError(
            "CN204", _("num_epochs={value!r} is not a positive whole number", value=num_epochs), hint=call
        )
    if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 < lr < math.inf:
        raise UsageError("CN204", _("lr={value!r} is not a positive number", value=lr), hint=call)


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


class Teacher(Observer):
    """Checks a network and its batches, then follows their training.

    Args:
        net: The network; checking does not change it.
        train: The training batches.
        test: The batches for the accuracy after each epoch, or None.
        epochs: The number of epochs.
        lr: The learning rate.
        lesson: What the code in the cell is like.

    Raises:
        DataError: CN306, the number of outputs is not the number of classes; CN311, the batches cannot be trained on.
        UsageError: CN201, the images do not fit the network; CN209, it is no classifier.
    """

    def __init__(
        self, net: nn.Module, train: Loader, test: Loader | None, *, epochs: int, lr: float, lesson: Lesson
    ) -> None:
        self.lesson, self.lr, self.net = lesson, lr, net
        self.first = first_batch(train, lesson.train)
        super().__init__(epochs, len(train), self.first.images.shape[-1])
        self.names = _class_names(train)
        self.exact = exact_labels(train)
        with self._in_words_of_the_cell():
            check_registration(net, name=_("the network"))
            self.table = self._check(self.first)
            if self.exact is not None:
                self._check_labels(self.first._replace(labels=self.exact, place=lesson.train), self.table)
            if test is not None:
                self._check(first_batch(test, lesson.test))
        self.classes = math.prod(self.table.output_shape)
        self.coach: Coach | None = None
        self.counts: Tensor | None = None  # of the labels of the first epoch, where they are not in memory

    def start(self, device: torch.device) -> None:
        """Check the network with its initial weights, on `device`, and say what is unusual about it."""
        with self._in_words_of_the_cell():
            remarks = self._remarks()
        self._tell([Advice(epoch=1, step=0, **remark._asdict()) for remark in remarks])
        super().start(device)
        if self.first.images.dim() != 4 or self.classes > self._present() > 0:
            return  # the coach knows images, and takes each output for a class
        labels = self.first.labels.flatten() if self.exact is None else self.exact.cpu()
        counts = torch.bincount(labels.cpu(), minlength=self.classes).double()
        if self.exact is None:
            counts *= self.steps  # an estimate
            self.counts = torch.zeros(self.classes)
        count = _SAMPLE if self.image_size <= _LARGE else _SAMPLE_OF_LARGE
        images = self.first.images[:count].to(device)
        preprocess = Preprocess(channels=images.shape[1], image_size=self.image_size)
        recipe = Recipe(
            source="d2l",
            net="",
            data="",
            epochs=self.epochs,
            batch_size=len(self.first.images),
            lr=float(self.lr),
            initialize="xavier_uniform" if self.lesson.initialized else "as_built",
            monitor="test",
        )
        task = Task(
            recipe=recipe,
            original=recipe,
            classes=(*self.names, *(str(i) for i in range(len(self.names), self.classes))),
            counts=counts,
            exact=self.exact is not None,
            in_python=True,
        )
        sample = Sample(images, self.first.labels.flatten()[:count].to(device), preprocess)
        topics = {remark.topic for remark in remarks}
        self.coach = Coach(task, sample, known_topics=topics)
        self._tell(self.coach.on_start(self.net))

    @contextmanager
    def step(self, epoch: int, step: int, batch: Sequence[Any]) -> Iterator[None]:
        """Explain what fails in a training step, and note that it has ended."""
        try:
            with super().step(epoch, step, batch):
                yield
        except ClassicnetsError:
            raise
        except Exception:
            place = _("batch {step:,} of epoch {epoch}", step=step, epoch=epoch)
            with self._in_words_of_the_cell():
                self._check(Batch(batch[0], batch[1], place))
            raise
        if self.counts is not None:
            self.counts += torch.bincount(batch[1].flatten().cpu(), minlength=self.classes)

    def record(self, epoch: int, step: int, images: int, seconds: float, loss: float, accuracy: float) -> None:
        """Let the coach look at the mean loss and accuracy of the epoch so far.

        Raises:
            CheckFailed: CN101, the loss is not finite.
        """
        advice = []
        if self.coach is not None:
            event = Step(
                epoch=epoch,
                step=step,
                steps=self.steps,
                images=images,
                seconds=seconds,
                loss=loss,
                accuracy=accuracy,
            )
            advice = self.coach.on_event(event, self.net)
        if not math.isfinite(loss):
            raise CheckFailed(
                "CN101",
                _("the loss is no longer finite; training stopped"),
                where=_(
                    "epoch {epoch}, before step {step} of {steps}, lr={lr:g}",
                    epoch=epoch,
                    step=step,
                    steps=self.steps,
                    lr=self.lr,
                ),
                why=_("the weights have diverged, usually because the learning rate is too high"),
                hint=tuple(self._adapted(each).hint for each in advice) or f"lr={self.lr / 10:g}",
            )
        self._tell(advice)

    def end_epoch(
        self, epoch: int, seconds: float, loss: float, accuracy: float, test_accuracy: float | None = None
    ) -> None:
        """Let the coach look at an epoch that has ended."""
        if self.coach is None:
            return
        advice = []
        if self.counts is not None:
            advice += self.coach.on_labels(self.counts)
            self.counts = None
        event = Epoch(
            epoch=epoch,
            epochs=self.epochs,
            loss=loss,
            accuracy=accuracy,
            validation_accuracy=None,
            test_accuracy=test_accuracy,
            lr=self.lr,
            seconds=seconds,
            evaluation_seconds=0.0,
            images_per_second=0.0,
            wait_share=0.0,
        )
        self._tell(advice + self.coach.on_event(event, self.net))

    def _check(self, batch: Batch) -> Table:
        """Check a batch and the network for it."""
        weights = next((p for p in self.net.parameters() if p.is_floating_point()), None)
        check_images(batch, torch.float32 if weights is None else weights.dtype)
        table = self._check_shape(batch)
        if math.prod(table.output_shape) == 0 or len(table.output_shape) != 1 or self._too_few(table):
            raise wrong_output(self.net, table, self._class_count(batch), name=_("the network"), data=batch.place)
        self._check_labels(batch, table)
        return table

    def _check_labels(self, batch: Batch, table: Table) -> None:
        flat = batch.labels.dim() == 2 and batch.labels.shape[1] == 1 and self.lesson.flattens_labels
        check_labels(
            batch._replace(labels=batch.labels.flatten()) if flat else batch,
            table.output_shape[0],
            lambda outputs: output_changes(self.net, table, outputs)[0],
        )

    def _check_shape(self, batch: Batch) -> Table:
        shape = tuple(batch.images.shape[1:])
        try:
            return check_input(self.net, shape, resize=self._resize)
        except UsageError as error:
            if len(shape) == 2 and self._fits((1, *shape)):
                error.hints = ("X = X[:, None]",)
            elif len(shape) == 3 and shape[-1] in (1, 3) and self._fits((shape[2], *shape[:2])):
                error.hints = ("X = X.permute(0, 3, 1, 2)",)
                error.why = _("torch expects images as channels x height x width")
            raise

    def _fits(self, shape: Shape) -> bool:
        try:
            check_input(self.net, shape)
        except UsageError:
            return False
        return True

    def _resize(self, shape: Shape) -> str:
        if self.names:
            return self.lesson.resize(shape)
        return f"X = torch.nn.functional.interpolate(X, size={tuple(shape[-2:])})"

    def _too_few(self, table: Table) -> bool:
        return bool(self.names) and table.output_shape[0] < len(self.names)

    def _class_count(self, batch: Batch) -> int:
        if self.names:
            return len(self.names)
        labels = batch.labels if self.exact is None else self.exact
        is_number = labels.dim() == 1 or (labels.dim() == 2 and labels.shape[1] == 1)
        return int(labels.max()) + 1 if is_number else labels.shape[1]

    def _present(self) -> int:
        """The number of classes of the data; 0 if it is not known."""
        return len(self.names) or (0 if self.exact is None else int(self.exact.max()) + 1)

    def _remarks(self) -> list[Remark]:
        """Remarks on the network and the batches. Raises UsageError CN209 if the network cannot be trained."""
        remarks, name = list[Remark](), self.lesson.train
        with torch.random.fork_rng(devices=[]):
            images = self.first.images[:IMAGES].cpu()
            if len(images) < IMAGES:
                images = torch.rand(IMAGES, *images.shape[1:], dtype=images.dtype)
            try:
                subject, again = copy_module(self.net, "cpu"), copy_module(self.net, "cpu")
            except Exception:  # a module with parts that cannot be copied; its training will show whether it works
                return remarks
            subject, again = (complete(each, images.shape[1:]) for each in (subject, again))
            check_output(subject, images, self.classes, name=_("the network"))
            try:
                remarks += check_classifier(subject, again, images, name=_("the network")).remarks
            except UsageError as error:
                if not _trains(subject, images):
                    raise
                remarks.append(Remark(error.code, error.what, error.hints[0] if error.hints else ""))
        if self.classes > self._present() > 0:
            message = _(
                "the network has {outputs:,} outputs, and the data {classes} classes",
                outputs=self.classes,
                classes=self._present(),
            )
            change = output_changes(self.net, self.table, self._present())[0]
            remarks.append(Remark("class_without_pictures", message, change))
        if is_sorted_by_class(self.first):
            message = _("the labels of {place} are sorted: {name} is not shuffled", place=self.first.place, name=name)
            remarks.append(Remark("not_shuffled", message, "DataLoader(dataset, batch_size=256, shuffle=True)"))
        return remarks

    @contextmanager
    def _in_words_of_the_cell(self) -> Iterator[None]:
        """Write the hints of an error as Python."""
        try:
            yield
        except ClassicnetsError as error:
            others = tuple(hint for hint in error.hints if not options(hint))
            error.hints = others or tuple(self._setting(hint) for hint in error.hints)
            raise

    def _adapted(self, advice: Advice) -> Advice:
        """The advice with its hint as code of the cell."""
        hint, lesson = self._setting(advice.hint), self.lesson
        if advice.topic == "pictures_out_of_range":
            hint = "X = X / 255" if float(self.first.images.abs().max()) > 10 else _("scale the images to 0..1")
        elif advice.topic == "classes_unequal":
            hint = _("weight the loss: nn.CrossEntropyLoss(weight=...), one weight for each class")
        elif advice.hint.startswith("classicnets data check"):
            hint = f"X, y = next(iter({lesson.train})); d2l.show_images(X[:18], 2, 9, titles=y[:18].tolist())"
        return replace(advice, hint=hint)

    def _setting(self, hint: str) -> str:
        changes = dict(options(hint) or ())
        if "initialize" in changes:
            return self.lesson.initialize
        if {"patience", "shift"} & changes.keys():
            return _("train for fewer epochs")
        return as_python(hint)

    def _tell(self, advice: Sequence[Advice]) -> None:
        for each in advice:
            tell(*advice_lines(self._adapted(each)))


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


def _trains(net: nn.Module, images: Tensor) -> bool:
    """Whether a training step of `net` works."""
    try:
        net.train()
        net.zero_grad()
        F.cross_entropy(net(images.clone()), torch.zeros(len(images), dtype=torch.int64)).backward()
    except Exception:
        return False
    return any(p.grad is not None for p in net.parameters())


def _class_names(batches: Any) -> tuple[str, ...]:
    """The class names of a data set; () if it has none."""
    names: Mapping[str, Any] | Sequence[str] = getattr(getattr(batches, "dataset", None), "classes", ())
    return tuple(map(str, names))
