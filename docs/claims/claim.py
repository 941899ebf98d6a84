"""What a claim is: its text, its verdict, and the check or the source that settles it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch

Finding = tuple[str, str]  # the verdict and the evidence
Check = Callable[[], Finding]
MARKS = {"true": "true", "loose": "*loose*", "wrong": "**wrong**"}  # how the page shows each verdict


@dataclass(frozen=True)
class Claim:
    """One claim, in our words.

    `expected` is the verdict of the fact sheet. `check` computes the verdict and the evidence; a claim without one is
    settled by `source`.
    """

    topic: str
    id: str
    text: str
    expected: str
    check: Check | None = None
    source: str = ""

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

    def sourced(self, expected: str, id: str, text: str, source: str) -> None:
        """Adds a claim that cannot be computed."""
        self.claims.append(Claim(self.title, id, text, expected, source=source))


def judge(literal: bool, reading: bool = False) -> str:
    """The verdict: "true" if the claim holds literally, "loose" if it holds in some reading, otherwise "wrong"."""
    return "true" if literal else "loose" if reading else "wrong"


def number_of(n: int, noun: str) -> str:
    """A count with its noun: "no sigmoid" is "no sigmoids", one is "1 sigmoid"; abbreviations have no plural."""
    return f"{n or 'no'} {noun}{'' if n == 1 or noun.isupper() else 's'}"


def join(values: Iterable[object]) -> str:
    """The values, separated by commas; whole numbers with separators of thousands."""
    return ", ".join(f"{v:,}" if isinstance(v, int) else str(v) for v in values)


def gradient(function: Callable[[torch.Tensor], torch.Tensor], *points: float) -> list[float]:
    """The derivative of `function` at these points, by autograd."""
    x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
    slopes: list[float] = torch.autograd.grad(function(x).sum(), x)[0].tolist()
    return slopes
