"""How images are prepared for a network, in words."""

from __future__ import annotations

from collections.abc import Iterable

from classicnets.text import _, clauses, in_context, plural, shape
from classicnets.values import Preprocess


def rows(preprocess: Preprocess) -> Iterable[tuple[str, str]]:
    """Yield the name and the description of each step."""
    yield from _geometry(preprocess)
    yield in_context("heading", "color"), _("gray") if preprocess.channels == 1 else _("RGB")
    mean, std = (", ".join(f"{number:g}" for number in numbers) for numbers in (preprocess.mean, preprocess.std))
    yield _("normalization"), _("mean {mean}, standard deviation {std}, of values from 0 to 1", mean=mean, std=std)
    yield _("background"), _("{color}, behind transparent parts", color=preprocess.background)


def sentence(preprocess: Preprocess) -> str:
    """Return all steps but the background in one line."""
    *steps, _background = (text for _name, text in rows(preprocess))
    return clauses(steps)


def protocol(preprocess: Preprocess) -> str:
    """Return which parts of an image a prediction uses, in one line: what accuracies of other sources differ in."""
    return clauses(text for _name, text in _geometry(preprocess))


def _geometry(preprocess: Preprocess) -> Iterable[tuple[str, str]]:
    side = shape((preprocess.side, preprocess.side))
    fits = {
        "stretch": _("stretched or shrunk to {size} pixels", size=side),
        "crop": _("the center square, resized to {size} pixels", size=side),
        "letterbox": _("padded with black to a square, resized to {size} pixels", size=side),
    }
    yield _("size"), fits[preprocess.fit]
    if preprocess.pad:
        yield (
            _("padding"),
            plural("{n} black pixel on each side", "{n} black pixels on each side", preprocess.pad),
        )
    if preprocess.padded != preprocess.image_size or preprocess.views > 1:
        yield (
            _("crop"),
            plural(
                "{n} view of {size} pixels",
                "mean over {n} views of {size} pixels",
                preprocess.views,
                size=shape(preprocess.shape[1:]),
            ),
        )
