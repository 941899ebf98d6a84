"""What an exercise is: its numbers in the book, its text in our words, and what is checked, for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from classicnets.exercises.quantities import Quantity
from classicnets.exercises.traits import Traits
from classicnets.inspection.shapes import Table

Rule = Callable[[Traits, Traits], list[str]]  # the book's network and the student's; returns what is missing
TRIES_BEFORE_SOLUTION = 2
MNIST_SHAPE = (1, 28, 28)
CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """An exercise.

    Attributes:
        id: Name on the command line: the number of the Chinese edition, such as lenet-2a; that of the English one, such
            as lenet-en-5, if only this has it.
        zh, en: Numbers in the second Chinese edition and in the English edition 1.0; "" if it does not have it.
        title, question, solution: Text in English, which is translated when it is shown.
        hints: From a first idea to the change itself.
        reference: The network of the book, by its name in the registry.
    """

    kind: ClassVar[str]
    takes_network: ClassVar[bool] = False

    id: str
    zh: str = ""
    en: str = ""
    title: str
    question: str
    hints: tuple[str, ...]
    solution: str
    reference: str

    @property
    def chapter(self) -> str:
        """The first word of the ID: "lenet" or "alexnet"."""
        return self.id.partition("-")[0]

    @property
    def numbers(self) -> list[str]:
        """All names of the exercise: its ID first, then that with its number in the English edition."""
        return list(dict.fromkeys([self.id, *([f"{self.chapter}-en-{self.en}"] if self.en else [])]))


@dataclass(frozen=True, kw_only=True)
class Structure(Exercise):
    """The layers of the student's network are compared with those of the book's.

    Attributes:
        shape: Channels, height and width of the images that the network must take.
        needs: Aspects of `traits.ASPECTS` that must have changed.
        any_of: Aspects of which at least one must have changed.
        exact: Whether nothing else may have changed.
        rules: What else must hold of the network.
        data: Data set on which both networks are trained if that is requested.
        asks_for_training: Whether the question is about accuracy, so that the layers are only half of the answer.
    """

    kind = "structure"
    takes_network = True

    shape: tuple[int, int, int] = MNIST_SHAPE
    needs: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    exact: bool = False
    rules: tuple[Rule, ...] = ()
    data: str = "fashion_mnist"
    asks_for_training: bool = False


@dataclass(frozen=True, kw_only=True)
class Trained(Exercise):
    """The book's network is trained with the student's settings, and compared with the book's settings.

    Attributes:
        settings: Settings of the recipe that the answers may change.
        more: Settings that must be larger than the book's.
    """

    kind = "trained"

    settings: tuple[str, ...]
    more: tuple[str, ...] = ()
    data: str = "fashion_mnist"


@dataclass(frozen=True, kw_only=True)
class Numbers(Exercise):
    """Numbers or layers are asked for, and calculated from the layer table of the book's network.

    Attributes:
        quantities: What is asked, by the key of the answer.
        sweep: Batch sizes whose steps are measured if that is requested; () for none.
    """

    kind = "numbers"

    quantities: Mapping[str, Quantity]
    sweep: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Activations(Exercise):
    """The outputs of the first layers of a trained network are shown for several images.

    Attributes:
        classes: Classes of which the first test image is shown.
        noise: Whether images that are unlike the data are shown, too.
    """

    kind = "activations"
    takes_network = True

    classes: tuple[str, ...]
    noise: bool = False
    layers: int = 2


@dataclass(frozen=True, kw_only=True)
class Essay(Exercise):
    """An open question: what a good answer contains, and the facts to use. A machine gives no grade.

    Attributes:
        rubric: What a good answer says.
        facts: Sentences with numbers, calculated from the layer table of the book's network.
    """

    kind = "essay"

    rubric: tuple[str, ...]
    facts: Callable[[Table], list[str]]
