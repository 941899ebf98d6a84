"""How the code in a cell is written in each edition, so that errors and advice can name its variables and calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from classicnets.errors import ClassicnetsError
from classicnets.events import Advice
from classicnets.hints import as_python, options
from classicnets.inspection.meta import Shape
from classicnets.text import _


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """The code in the cell.

    Attributes:
        train: How errors name the training batches.
        test: How errors name the batches for the accuracy.
        resize: Returns how Fashion-MNIST is loaded at the size of a shape.
        initialize: The call that initializes the weights.
        initialized: Whether the training function does so itself.
        flattens_labels: Whether its loss accepts labels of shape [N, 1].
    """

    train: str
    test: str
    resize: Callable[[Shape], str]
    initialize: str
    initialized: bool
    flattens_labels: bool

    def adapted(self, advice: Advice) -> Advice:
        """Return advice of the coach with its hint as code of the cell."""
        hint = self._in_python(advice.hint)
        if advice.topic == "pictures_out_of_range" and options(advice.hint):
            hint = _("scale the images to 0..1")
        elif advice.topic == "classes_unequal":
            hint = _("weight the loss: nn.CrossEntropyLoss(weight=...), one weight for each class")
        elif advice.hint.startswith("classicnets data check"):
            hint = f"X, y = next(iter({self.train})); d2l.show_images(X[:18], 2, 9, titles=y[:18].tolist())"
        return replace(advice, hint=hint)

    @contextmanager
    def hints(self) -> Iterator[None]:
        """Write the hints of errors as code of the cell, without those that only the command line can follow."""
        try:
            yield
        except ClassicnetsError as error:
            others = tuple(hint for hint in error.hints if not options(hint))
            error.hints = others or tuple(self._in_python(hint) for hint in error.hints)
            raise

    def _in_python(self, hint: str) -> str:
        changes = dict(options(hint) or ())
        if "initialize" in changes:
            return self.initialize
        if {"patience", "shift"} & changes.keys():
            return _("train for fewer epochs")
        return as_python(hint)


CHINESE = Lesson(
    train="train_iter",
    test="test_iter",
    resize=lambda shape: f"d2l.load_data_fashion_mnist(batch_size, resize={shape[-1]})",
    initialize="net.apply(d2l.init_cnn)",
    initialized=True,
    flattens_labels=False,
)
ENGLISH = Lesson(
    train="data.train_dataloader()",
    test="data.val_dataloader()",
    resize=lambda shape: f"d2l.FashionMNIST(batch_size=128, resize={tuple(shape[-2:])})",
    initialize="model.apply_init([next(iter(data.train_dataloader()))[0]], d2l.init_cnn)",
    initialized=False,
    flattens_labels=True,
)
