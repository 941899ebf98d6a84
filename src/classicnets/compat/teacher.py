"""The checks before the first step and the coach during training, for a training loop of the book.

They are those of `classicnets train`: the same functions say the same of a network, its labels, its images and how it
learns. Hints are written as the code in the cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from classicnets.coach.coach import Coach
from classicnets.coach.task import Sample, Task
from classicnets.compat.batches import (
    Batch,
    Loader,
    check_images,
    check_labels,
    exact_labels,
    first_batch,
)
from classicnets.compat.lesson import Lesson
from classicnets.compat.observer import Observer
from classicnets.compat.pace import tell
from classicnets.compat.remarks import batch_remarks, network_remarks
from classicnets.errors import CheckFailed, ClassicnetsError, UsageError
from classicnets.events import Advice, Epoch, Step
from classicnets.inspection.classifier import check_registration
from classicnets.inspection.meta import Shape
from classicnets.inspection.output_errors import output_changes, wrong_output
from classicnets.inspection.remarks import Remark
from classicnets.inspection.shape_errors import check_input
from classicnets.inspection.shapes import Table
from classicnets.report.lines import advice_lines
from classicnets.text import _
from classicnets.values import Preprocess, Recipe

_SAMPLE, _SAMPLE_OF_LARGE, _LARGE = 256, 32, 64  # images that the coach looks at, fewer of more than 64 pixels


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
        raise UsageError("CN204", _("num_epochs={value!r} is not a positive whole number", value=num_epochs), hint=call)
    if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 <= lr < math.inf:
        raise UsageError(
            "CN204", _("lr={value!r} is not a learning rate: a number, usually in 0.001..1", value=lr), hint=call
        )


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
        with self.lesson.hints():
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
        with self.lesson.hints():
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
            with self.lesson.hints():
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
                hint=tuple(self.lesson.adapted(each).hint for each in advice) or f"lr={self.lr / 10:g}",
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
            count = self._class_count(batch)
            raise wrong_output(self.net, table, count, name=_("the network"), data=self.lesson.train)
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
        highest = 0 if self.exact is None else int(self.exact.max())
        return len(self.names) or (highest + 1 if highest else 0)  # the coach speaks of a single class

    def _remarks(self) -> list[Remark]:
        """Remarks on the network and the batches. Raises UsageError CN209 if the network cannot be trained."""
        remarks = network_remarks(self.net, self.first.images, self.classes)
        if self.classes > self._present() > 0:
            message = _(
                "the network has {outputs:,} outputs, and the data {classes} classes",
                outputs=self.classes,
                classes=self._present(),
            )
            change = output_changes(self.net, self.table, self._present())[0]
            remarks.append(Remark("class_without_pictures", message, change))
        one_class = self.exact is not None and bool(self.exact.max() == self.exact.min())
        return remarks + batch_remarks(self.first, self.lesson.train, one_class=one_class)

    def _tell(self, advice: Sequence[Advice]) -> None:
        for each in advice:
            tell(*advice_lines(self.lesson.adapted(each)))


def _class_names(batches: Any) -> tuple[str, ...]:
    """The class names of a data set; () if it has none."""
    names: Mapping[str, Any] | Sequence[str] = getattr(getattr(batches, "dataset", None), "classes", ())
    return tuple(map(str, names))
