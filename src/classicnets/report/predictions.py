"""How predictions are printed and drawn, one at a time, however many there are."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from classicnets.errors import DataError
from classicnets.evaluation.classify import Decoder, Prediction
from classicnets.files import write_whole
from classicnets.images.decode import read_image
from classicnets.images.inputs import Input
from classicnets.images.transforms import center_crop, scale
from classicnets.report import figures, sheet, tables
from classicnets.report.sheet import Pair
from classicnets.values import Preprocess

ON_SHEET = 48  # so many images are drawn at most
TABLE = 1000  # rows of one table; more make the next

_NAMED = 5  # so many images that could not be read are named in the summary
_DRAWN = 300  # pixels of the longer side of an original on the sheet


@dataclass
class Tally:
    """How many images there were, could not be read, have a known class, and are right."""

    images: int = 0
    unread: int = 0
    known: int = 0
    right: int = 0
    reasons: list[str] = field(default_factory=list)

    def add(self, found: Prediction) -> None:
        """Counts one more."""
        self.images += 1
        self.known += found.right is not None
        self.right += bool(found.right)
        self.unread += bool(found.error)
        if found.error and self.unread <= _NAMED:
            self.reasons.append(f"{found.image}: {found.error}")

    def why(self) -> str:
        """The first images that could not be read, with their reasons, a line each."""
        more = self.unread - len(self.reasons)
        return "\n".join([*self.reasons, *([f"and {more:,} more"] if more else [])])


class Writer(Protocol):
    """Prints predictions as they come."""

    def show(self, found: Prediction) -> None:
        """Prints one, now or later."""

    def end(self, tally: Tally, /) -> None:
        """Prints what is left."""


def writer(form: str, about: dict[str, Any], top: int) -> Writer:
    """What prints predictions as "json", "jsonl", "csv" or "table"; `about` begins the JSON document."""
    if form == "json":
        return _Document(about)
    return _Lines() if form == "jsonl" else _Csv(top) if form == "csv" else _Table(top)


def draw(
    path: Path, shown: list[tuple[Input, Prediction]], preprocess: Preprocess, total: int, decode: Decoder
) -> None:
    """Writes a sheet of the images, each beside its preprocessed image. Raises MachineError CN401."""
    pairs = []
    for one, found in shown:
        said = found.error or f"{found.classes[0]} {found.probabilities[0]:.2f}"
        if found.right is False:
            said += f" ({found.truth})"
        pairs.append(Pair(found.image, _original(one), _seen(one, preprocess, decode), said, found.right))
    size = preprocess.image_size
    title = f"each image beside the {size}x{size} pixels that the net saw, and what it said"
    if total > len(shown):
        title += f"\nthe first {len(shown)} of {total:,} images"
    write_whole(path, figures.png(sheet.sheet(pairs, title)))


def _original(one: Input) -> np.ndarray | None:
    """The image in color, small enough for the sheet; None if it cannot be read."""
    try:
        pixels = read_image(one.file, 3, background=255)
    except DataError:
        return None
    whole = Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1)))
    whole.thumbnail((_DRAWN, _DRAWN))
    return np.asarray(whole).transpose(2, 0, 1)


def _seen(one: Input, preprocess: Preprocess, decode: Decoder) -> np.ndarray | None:
    """What the net was given in the middle view, before it was normalized; None if the image cannot be read."""
    try:
        image = decode(one.file, preprocess)
    except DataError:
        return None
    shown = center_crop(scale(torch.tensor(image)[None], preprocess), preprocess.image_size)[0]
    return np.asarray(np.rint(shown.numpy() * 255), dtype=np.uint8)


class _Table:
    def __init__(self, top: int):
        self.columns = ["class", "probability"] * top
        self.rows: list[Prediction] = []

    def show(self, found: Prediction) -> None:
        self.rows.append(found)
        if len(self.rows) == TABLE:
            self._print()

    def end(self, _: Tally, /) -> None:
        if self.rows:
            self._print()

    def _print(self) -> None:
        truth = ["true class"] if any(found.truth for found in self.rows) else []
        broken = ["not read"] if any(found.error for found in self.rows) else []
        rows = []
        for found in self.rows:
            cells: list[str] = []
            for name, p in zip(found.classes, found.probabilities, strict=True):
                cells += [name, f"{p:.3f}"]
            cells += ["-"] * (len(self.columns) - len(cells))
            wrong = " (wrong)" if found.right is False else ""
            known = [f"{found.truth or '-'}{wrong}"] if truth else []
            rows.append([found.image, *known, *cells, *([found.error] if broken else [])])
        columns = ["image", *truth, *self.columns, *broken]
        tables.console().print(tables.table(columns, rows, numbers=["probability"]))
        self.rows.clear()


class _Csv:
    def __init__(self, top: int):
        self.top = top
        numbered = [name for i in range(2, top + 1) for name in (f"predicted_{i}", f"probability_{i}")]
        self.file = csv.writer(sys.stdout, lineterminator="\n")
        self.file.writerow(["picture", "predicted", "probability", *numbered, "truth", "error"])

    def show(self, found: Prediction) -> None:
        cells: list[object] = []
        for name, p in zip(found.classes, found.probabilities, strict=True):
            cells += [name, f"{p:.6g}"]
        cells += [""] * (2 * self.top - len(cells))
        self.file.writerow([found.image, *cells, found.truth or "", found.error])

    def end(self, _: Tally, /) -> None:
        pass


class _Lines:
    def show(self, found: Prediction) -> None:
        print(json.dumps(_plain(found)), flush=True)

    def end(self, _: Tally, /) -> None:
        pass


class _Document:
    """One JSON document, whose predictions are printed as they come."""

    def __init__(self, about: dict[str, Any]):
        print(json.dumps(about)[:-1] + ', "predictions": [', end="")
        self.between = "\n"

    def show(self, found: Prediction) -> None:
        print(self.between + json.dumps(_plain(found)), end="")
        self.between = ",\n"

    def end(self, tally: Tally, /) -> None:
        counts = {"pictures": tally.images, "unread": tally.unread, "known": tally.known, "right": tally.right}
        print("\n], " + json.dumps(counts)[1:])


def _plain(found: Prediction) -> dict[str, Any]:
    """Plain values: truth and error where there are any."""
    values: dict[str, Any] = {"picture": found.image, "classes": found.classes, "probabilities": found.probabilities}
    values |= {"truth": found.truth, "right": found.right} if found.truth else {}
    return values | ({"error": found.error} if found.error else {})
