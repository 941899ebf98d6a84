"""The answer to an answer: what was seen, what is missing, and where a common misunderstanding lies."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any

from classicnets.text import _, in_context


@dataclass(frozen=True, kw_only=True)
class Result:
    """What the check of an exercise has found.

    Attributes:
        id: ID of the exercise.
        passed: Whether the answer is right; None if a person must decide.
        seen: What the check saw, such as "conv1: kernel 5x5 -> 3x3".
        missing: What is missing or wrong; empty if `passed`.
        notes: What to know besides: misunderstandings, and what to do next.
        facts: The numbers behind the sentences, as plain values.
        files: Files that were written.
        text: The question, or the rubric of an essay, in lines; a result with it has nothing else.
    """

    id: str
    passed: bool | None
    seen: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    text: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The result in a line."""
        if self.passed is None:
            return _("{id}: for you to judge", id=self.id)
        return _("{id}: right", id=self.id) if self.passed else _("{id}: not yet", id=self.id)

    @property
    def parts(self) -> list[tuple[str, tuple[str, ...]]]:
        """The headings, each with its sentences, without empty ones."""
        parts = [
            (_("seen"), self.seen),
            (in_context("exercise", "missing"), self.missing),
            (_("note"), self.notes),
            (_("file"), self.files),
        ]
        return [(heading, sentences) for heading, sentences in parts if sentences]

    def lines(self) -> list[str]:
        """Return the result as text."""
        if self.text:
            return [*self.text]
        width = max((len(heading) for heading, _sentences in self.parts), default=0)
        rows = [f"{heading:{width}}  {sentence}" for heading, sentences in self.parts for sentence in sentences]
        return [self.headline, *rows]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        lists = {name: list(getattr(self, name)) for name in ("seen", "missing", "notes", "files", "text")}
        return {"id": self.id, "passed": self.passed, **lists, "facts": self.facts}

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        """The result for a notebook."""
        if self.text:
            return f"<pre>{html.escape(repr(self))}</pre>"
        items = "".join(
            f"<li><b>{html.escape(heading)}</b>: {html.escape(sentence)}</li>"
            for heading, sentences in self.parts
            for sentence in sentences
        )
        return f"<div><b>{html.escape(self.headline)}</b><ul>{items}</ul></div>"
