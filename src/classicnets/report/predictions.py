"""Prints predictions as they come, as a table, CSV, JSON or JSON lines, and draws the first of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from classicnets.errors import DataError
from classicnets.evaluation.classify import Decoder, Prediction
from classicnets.evaluation.rejection import Calibration
from classicnets.files import write_whole
from classicnets.images.decode import read_image
from classicnets.images.inputs import Input
from classicnets.images.transforms import center_crop, scale
from classicnets.report import figures, output, sheet, tables
from classicnets.report.fonts import figure_texts
from classicnets.report.output import print
from classicnets.report.sheet import Pair
from classicnets.strict_json import dump
from classicnets.text import _, labeled, plural, visible
from classicnets.values import WHITE, Preprocess

MAX_DRAWN = 48  # images on the sheet
TABLE_ROWS = 1000  # rows printed as one table; further rows start a new one

_MAX_REASONS = 5  # unreadable images listed in the summary
_ORIGINAL_SIZE = 300  # pixels of the longer edge of an original on the sheet


@dataclass
class Tally:
    """Counts of predictions.

    Attributes:
        images: all images.
        unreadable: images that could not be read.
        labeled: images that were read and whose true class is known.
        correct: labeled images whose top prediction is the true class.
        rejected: images whose answer is unknown.
        rejected_labeled: those of them whose true class is known.
        accepted_correct: correct images whose answer is not unknown.
        reasons: the first unreadable images, each with its error.
    """

    images: int = 0
    unreadable: int = 0
    labeled: int = 0
    correct: int = 0
    rejected: int = 0
    rejected_labeled: int = 0
    accepted_correct: int = 0
    reasons: list[str] = field(default_factory=list)

    def add(self, prediction: Prediction) -> None:
        """Count one prediction."""
        self.images += 1
        self.labeled += prediction.right is not None
        self.correct += bool(prediction.right)
        self.rejected += prediction.rejected
        self.rejected_labeled += prediction.rejected and prediction.right is not None
        self.accepted_correct += bool(prediction.right) and not prediction.rejected
        self.unreadable += bool(prediction.error)
        if prediction.error and self.unreadable <= _MAX_REASONS:
            self.reasons.append(labeled(prediction.image, prediction.error))

    def why(self) -> str:
        """Return the first unreadable images with their errors, one per line, and the number of the others."""
        others = self.unreadable - len(self.reasons)
        return "\n".join([*self.reasons, *([_("and {n:,} more", n=others)] if others else [])])


class Writer(Protocol):
    """Writer that prints predictions as they come."""

    def show(self, prediction: Prediction) -> None:
        """Print a prediction, now or with later ones."""

    def end(self, tally: Tally, /) -> None:
        """Print what is left to print after the last prediction."""


def rejection_note(calibration: Calibration, min_confidence: float) -> str:
    """Return which answers are unknown, and what calibrates the probabilities, or why nothing does."""
    values = {"p": min_confidence, "temperature": calibration.temperature}
    if calibration.temperature is None:
        return _(
            "answers with a probability below {p:g} are unknown; probabilities are not calibrated: {reason}",
            reason=calibration.why_missing(),
            **values,
        )
    if calibration.images is None:
        return _(
            "answers with a probability below {p:g} are unknown; probabilities are calibrated with the temperature"
            " {temperature:.3f}, which was fitted on validation images, whose number is not recorded",
            **values,
        )
    return plural(
        "answers with a probability below {p:g} are unknown; probabilities are calibrated with the temperature"
        " {temperature:.3f}, which was fitted on {n} validation image",
        "answers with a probability below {p:g} are unknown; probabilities are calibrated with the temperature"
        " {temperature:.3f}, which was fitted on {n:,} validation images",
        calibration.images,
        **values,
    )


def writer(form: str, about: dict[str, Any], top: int, *, rejects: bool = False) -> Writer:
    """Return the writer of an output format.

    Args:
        form: "json", "jsonl", "csv" or "table".
        about: the first keys of the JSON document.
        top: number of classes per image.
        rejects: whether answers may be unknown; each image then also has its answer, and whether it is rejected.
    """
    if form == "json":
        return _JsonDocument(about, rejects)
    return _JsonLines(rejects) if form == "jsonl" else _Csv(top, rejects) if form == "csv" else _Table(top, rejects)


def draw(
    path: Path, predictions: list[tuple[Input, Prediction]], preprocess: Preprocess, total: int, decode: Decoder
) -> None:
    """Write a PNG of the images, each beside the preprocessed image and its prediction.

    Args:
        path: the PNG file.
        predictions: the images to draw.
        preprocess: the preprocessing of the network.
        total: number of all images; the title says so if only the first are drawn.
        decode: the decoder that the predictions were made with.

    Raises:
        MachineError: CN401 if the file cannot be written.
    """
    pairs = []
    for source, prediction in predictions:
        caption = prediction.error or f"{_answer(prediction)} {prediction.probabilities[0]:.2f}"
        if prediction.right is False:
            caption += f" ({prediction.truth})"
        original, preprocessed = _original(source), _preprocessed(source, preprocess, decode)
        pairs.append(Pair(prediction.image, original, preprocessed, caption, prediction.right))
    size = preprocess.image_size
    with figure_texts():
        title = _("original images beside the preprocessed {size}x{size} images, with predictions", size=size)
        if total > len(predictions):
            title += "\n" + _("the first {n} of {total:,} images", n=len(predictions), total=total)
        content = figures.png(sheet.draw_sheet(pairs, title))
    write_whole(path, content, option="--show")


def _original(source: Input) -> np.ndarray | None:
    """The image in color, uint8 [3, H, W], reduced for the sheet; None if it cannot be read."""
    try:
        pixels = read_image(source.file, 3, background=WHITE)
    except DataError:
        return None
    image = Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1)))
    image.thumbnail((_ORIGINAL_SIZE, _ORIGINAL_SIZE))
    return np.asarray(image).transpose(2, 0, 1)


def _preprocessed(source: Input, preprocess: Preprocess, decode: Decoder) -> np.ndarray | None:
    """The center view of the preprocessed image before normalization, uint8 [C, H, W]; None if it cannot be read."""
    try:
        image = decode(source.file, preprocess)
    except DataError:
        return None
    view = center_crop(scale(torch.tensor(image)[None], preprocess), preprocess.image_size)[0]
    return np.asarray(np.rint(view.numpy() * 255), dtype=np.uint8)


def _answer(prediction: Prediction) -> str:
    """The most probable class, or "unknown" if it is rejected; "" if the image cannot be read. Not translated."""
    if prediction.rejected:
        return "unknown"
    return prediction.classes[0] if prediction.classes else ""


class _Table:
    def __init__(self, top: int, rejects: bool):
        self.top, self.rejects = top, rejects
        self.predictions: list[Prediction] = []

    def show(self, prediction: Prediction) -> None:
        self.predictions.append(prediction)
        if len(self.predictions) == TABLE_ROWS:
            self._print()

    def end(self, _tally: Tally, /) -> None:
        if self.predictions:
            self._print()

    def _print(self) -> None:
        has_truth = any(prediction.truth for prediction in self.predictions)
        has_errors = any(prediction.error for prediction in self.predictions)
        rows = []
        for prediction in self.predictions:
            cells: list[str] = []
            for name, p in zip(prediction.classes, prediction.probabilities, strict=True):
                cells += [name, f"{p:.3f}"]
            cells += ["-"] * (2 * self.top - len(cells))
            truth = [_truth(prediction)] if has_truth else []
            answer = [self._marked_answer(prediction)] if self.rejects else []
            image = visible(prediction.image, one_line=True)
            error = [prediction.error] if has_errors else []
            rows.append([image, *truth, *answer, *cells, *error])
        probability = _("probability")
        columns = [_("image"), *([_("true class")] if has_truth else []), *([_("answer")] if self.rejects else [])]
        columns += [_("class"), probability] * self.top
        columns += [_("error")] if has_errors else []
        tables.console().print(tables.table(columns, rows, numbers=[probability]))
        self.predictions.clear()

    def _marked_answer(self, prediction: Prediction) -> str:
        """The answer; a class whose name is "unknown" is marked as a class."""
        if prediction.rejected:
            return _("unknown")
        answer = _answer(prediction)
        return _("{name} (a class)", name=answer) if answer == _("unknown") else answer or "-"


def _truth(prediction: Prediction) -> str:
    """The true class, marked if the prediction is wrong; "-" if it is unknown."""
    if prediction.right is False:
        return _("{name} (wrong)", name=prediction.truth)
    return prediction.truth or "-"


class _Csv:
    def __init__(self, top: int, rejects: bool):
        self.top, self.rejects = top, rejects
        ranked = [name for i in range(2, top + 1) for name in (f"predicted_{i}", f"probability_{i}")]
        answer = ["answer", "rejected"] if rejects else []
        output.print_csv_row(["picture", "predicted", "probability", *ranked, *answer, "truth", "error"])

    def show(self, prediction: Prediction) -> None:
        cells: list[object] = []
        for name, p in zip(prediction.classes, prediction.probabilities, strict=True):
            cells += [name, f"{p:.6g}"]
        cells += [""] * (2 * self.top - len(cells))
        if self.rejects:
            cells += [_answer(prediction), "" if prediction.error else str(prediction.rejected).lower()]
        output.print_csv_row([prediction.image, *cells, prediction.truth or "", prediction.error])

    def end(self, _tally: Tally, /) -> None:
        pass


class _JsonLines:
    def __init__(self, rejects: bool):
        self.rejects = rejects

    def show(self, prediction: Prediction) -> None:
        print(dump(_to_dict(prediction, rejects=self.rejects)), flush=True)

    def end(self, _tally: Tally, /) -> None:
        pass


class _JsonDocument:
    """One JSON document, whose predictions are printed as they come."""

    def __init__(self, about: dict[str, Any], rejects: bool):
        self.rejects = rejects
        # printed with the first prediction, so that an error before it is the whole document
        self.separator = dump(about)[:-1] + ', "predictions": [\n'

    def show(self, prediction: Prediction) -> None:
        print(self.separator, dump(_to_dict(prediction, rejects=self.rejects)), sep="", end="")
        self.separator = ",\n"

    def end(self, tally: Tally, /) -> None:
        counts = {
            "pictures": tally.images,
            "unread": tally.unreadable,
            "known": tally.labeled,
            "right": tally.correct,
        }
        counts |= {"rejected": tally.rejected} if self.rejects else {}
        print(self.separator.rstrip(",\n") if not tally.images else "", "\n], ", dump(counts)[1:], sep="")


def _to_dict(prediction: Prediction, *, rejects: bool) -> dict[str, Any]:
    """Plain values for JSON, without `truth` and `error` where there is none.

    Where answers may be unknown, `rejected` tells an unknown answer from a class whose name is "unknown".
    """
    values: dict[str, Any] = {
        "picture": prediction.image,
        "classes": prediction.classes,
        "probabilities": prediction.probabilities,
    }
    if rejects and not prediction.error:
        values |= {"answer": _answer(prediction), "rejected": prediction.rejected}
    values |= {"truth": prediction.truth, "right": prediction.right} if prediction.truth else {}
    return values | ({"error": prediction.error} if prediction.error else {})
