"""What a model answers, with the text and the HTML that a notebook cell shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from classicnets import report
from classicnets.evaluation.classify import Prediction
from classicnets.evaluation.evaluate import Evaluation as CoreEvaluation
from classicnets.text import plural


class Evaluation(CoreEvaluation):
    """The metrics of a classifier on a split; a notebook shows them with those of each class.

    `about` has the names that are shown: `model`, `data` and `device`; `classes` are those of the model.
    """

    about: dict[str, str]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, metrics: CoreEvaluation, classes: Sequence[str], **about: str) -> Evaluation:
        """Return metrics with what they are about. These names are no fields, and are not in the JSON."""
        values: dict[str, Any] = vars(metrics)
        evaluation = cls(**values)
        vars(evaluation).update(about=about, classes=tuple(classes))
        return evaluation

    def __repr__(self) -> str:
        return plural(
            "Evaluation({model} on {data}: accuracy {accuracy:.4f}, loss {loss:.4f} on {n:,} image)",
            "Evaluation({model} on {data}: accuracy {accuracy:.4f}, loss {loss:.4f} on {n:,} images)",
            self.n,
            model=self.about["model"],
            data=self.about["data"],
            accuracy=self.accuracy,
            loss=self.loss,
        )

    def _repr_html_(self) -> str:
        return report.result_cells.evaluation(self, self.classes, **self.about)


class Predictions(list[Prediction]):
    """The predictions of several images; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        return report.result_cells.predicted(self)
