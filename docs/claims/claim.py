"""What a claim is: its text, its verdict, and the check or the source that settles it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from classicnets.text import N_
from pages.texts import Text, _

Finding = tuple[str, Text]  # the verdict and the evidence
Check = Callable[[], Finding]
NO_SOURCE = Text("")
MARKS = {"true": N_("true"), "loose": N_("*loose*"), "wrong": N_("**wrong**")}  # how the page shows each verdict

# "{n} sigmoids" of `number_of`: for none, for one, and for more
_COUNTS = {
    "sigmoid": (N_("no sigmoids"), N_("{n} sigmoid"), N_("{n} sigmoids")),
    "max pooling": (N_("no max pooling layers"), N_("{n} max pooling layer"), N_("{n} max pooling layers")),
    "plain average pooling": (
        N_("no plain average pooling layers"),
        N_("{n} plain average pooling layer"),
        N_("{n} plain average pooling layers"),
    ),
    "grouped convolution": (
        N_("no grouped convolutions"),
        N_("{n} grouped convolution"),
        N_("{n} grouped convolutions"),
    ),
    "LRN": (N_("no LRN"), N_("{n} LRN"), N_("{n} LRN")),
}


@dataclass(frozen=True)
class Claim:
    """One claim, in our words, in English: the page translates it.

    `expected` is the verdict of the fact sheet. `check` computes the verdict and the evidence; a claim without one is
    settled by `source`.
    """

    topic: str
    id: str
    text: str
    expected: str
    check: Check | None = None
    source: Text = NO_SOURCE

    def finding(self) -> Finding:
        """The verdict and the evidence: computed now, or as the source has it."""
        return self.check() if self.check else (self.expected, self.source)


@dataclass
class Topic:
    """The claims under one heading, in the order of the page."""

    title: str
    claims: list[Claim] = field(default_factory=list)

    def computed(self, expected: str) -> Callable[[Check], Check]:
        """Decorator of a check: its name is the id of the claim, and its docstring is the claim."""

        def add(check: Check) -> Check:
            text = " ".join((check.__doc__ or "").split())
            self.claims.append(Claim(self.title, check.__name__, text, expected, check))
            return check

        return add

    def sourced(self, expected: str, id: str, text: str, source: str | Text) -> None:
        """Adds a claim that cannot be computed; a source without fields is a message."""
        source = source if isinstance(source, Text) else Text(source)
        self.claims.append(Claim(self.title, id, text, expected, source=source))


def judge(literal: bool, reading: bool = False) -> str:
    """The verdict: "true" if the claim holds literally, "loose" if it holds in some reading, otherwise "wrong"."""
    return "true" if literal else "loose" if reading else "wrong"


def number_of(n: int, noun: str) -> Text:
    """A count with its noun: "no sigmoids", "1 sigmoid", "4 sigmoids"."""
    return _(_COUNTS[noun][min(n, 2)], n=n)


def gradient(function: Callable[[torch.Tensor], torch.Tensor], *points: float) -> list[float]:
    """The derivative of `function` at these points, by autograd."""
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    slopes: list[float] = torch.autograd.grad(function(x).sum(), x)[0].tolist()
    return slopes
