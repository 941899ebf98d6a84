"""The rules for settings that depend on the data, checked before the images are read, and notes on the images read.

The rules that depend on the recipe only are in `recipes/rules.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from classicnets import machine
from classicnets.datasets.types import Description, ImageSplits
from classicnets.errors import UsageError
from classicnets.images import batches, transforms
from classicnets.recipes import setting_values
from classicnets.spec import RunSpec
from classicnets.text import _, byte_count, command, plural
from classicnets.values import Preprocess, Recipe

_FLOAT_BYTES = 4
_SAMPLE = 500  # images whose mean is compared with that of the recipe
_FAR = 3.0  # standard deviations of the pixels from which on a mean is far from theirs


@dataclass(frozen=True)
class Problem:
    """A setting that does not fit the data: the reason, and the settings and options that correct it."""

    message: str
    settings: dict[str, Any] = field(default_factory=dict)
    options: str = ""


def check(spec: RunSpec, recipe: Recipe, preprocess: Preprocess, description: Description) -> None:
    """Raise UsageError CN204 if settings or options do not fit the data, with all problems and their corrections.

    Args:
        spec: what the user has specified.
        recipe: the recipe with the user's settings.
        preprocess: its preprocessing for this data.
        description: the data.
    """
    problems = [
        *_normalization(recipe, preprocess),
        *_augmentation(recipe, preprocess),
        *_memory(recipe, preprocess),
        *_counts(spec, recipe, description),
        *_bad_images(spec, description),
    ]
    if not problems:
        return
    settings = {key: value for problem in problems for key, value in problem.settings.items()}
    hint = [
        *([setting_values.hint(settings)] if settings else []),
        *(problem.options for problem in problems if problem.options),
    ]
    raise UsageError(
        "CN204",
        _("the settings do not fit the images of {name}", name=description.name),
        where=_("recipe {source}", source=recipe.source),
        why="\n".join(problem.message for problem in problems),
        hint=" ".join(hint),
    )


def _normalization(recipe: Recipe, preprocess: Preprocess) -> Iterator[Problem]:
    """`mean` and `std` need one value, or one for each channel."""
    for key in ("mean", "std"):
        values = getattr(recipe, key)
        if len(values) not in {0, 1, preprocess.channels}:
            message = plural(
                "{key}={value} has {count} values, and the images have {n} channel",
                "{key}={value} has {count} values, and the images have {n} channels",
                preprocess.channels,
                key=key,
                value=setting_values.typed(values),
                count=len(values),
            )
            yield Problem(message, {key: setting_values.average(values)})


def _augmentation(recipe: Recipe, preprocess: Preprocess) -> Iterator[Problem]:
    """A shift or a hole of the size of the image leaves nothing of it."""
    size = preprocess.image_size
    for key in ("shift", "erase"):
        value = getattr(recipe, key)
        if value >= size:
            message = _(
                "{key}={value}: must be smaller than the image, which has {size}x{size} pixels",
                key=key,
                value=value,
                size=size,
            )
            yield Problem(message, {key: size // 4})


def _memory(recipe: Recipe, preprocess: Preprocess) -> Iterator[Problem]:
    """A batch of images must fit into the memory of the machine, whatever the network."""
    memory = machine.total_memory_bytes()
    side = max(preprocess.padded, preprocess.image_size)
    image_bytes = _FLOAT_BYTES * preprocess.channels * side**2
    if memory is None or recipe.batch_size * image_bytes <= memory:
        return
    message = _(
        "a batch of {count:,} images of {side:,}x{side:,} pixels takes {needed}, and this machine has {memory}",
        count=recipe.batch_size,
        side=side,
        needed=byte_count(recipe.batch_size * image_bytes),
        memory=byte_count(memory),
    )
    if 16 * image_bytes <= memory:
        yield Problem(message, {"batch_size": min(recipe.batch_size // 2, memory // (8 * image_bytes))})
    else:
        yield Problem(message, {"image_size": None, "resize": None, "pad": 0, "crop": "none", "views": 1})


def _counts(spec: RunSpec, recipe: Recipe, description: Description) -> Iterator[Problem]:
    """There must be images to train on, of all classes, and to validate on; unknown numbers are not checked."""
    classes, limit = len(description.classes), spec.limit
    if limit is not None and limit < classes:
        message = _("--limit {n}: must be at least {classes}, the number of classes", n=limit, classes=classes)
        yield Problem(message, options=command("--limit", str(classes)))
    if not description.train or not recipe.validation or description.validation:
        return
    train_count, held_out_count = batches.split_sizes(description.train, recipe.validation, None)
    message = plural(
        "validation={value} holds out {count:,} of {n} training image",
        "validation={value} holds out {count:,} of {n:,} training images",
        description.train,
        value=recipe.validation,
        count=held_out_count,
    )
    needs_validation = recipe.monitor == "validation" or recipe.join_after
    if held_out_count == 0 and needs_validation:
        yield Problem(message, {"validation": _share(1, description.train)})
    elif train_count < min(classes, description.train):
        yield Problem(message, {"validation": _share(max(1, description.train // 5), description.train)})


def _share(count: int, total: int) -> float:
    """The fraction of `total` that holds out at least `count` images."""
    return min(0.5, -(-1000 * count // total) / 1000)


def _bad_images(spec: RunSpec, description: Description) -> Iterator[Problem]:
    """Only image files can be skipped."""
    if spec.on_bad_image != "fail" and not description.decoded:
        message = _("--on-bad-image {value} has no effect on data that are not image files", value=spec.on_bad_image)
        yield Problem(message, options="--on-bad-image fail")


def notes(
    splits: ImageSplits,
    train_indices: np.ndarray,
    recipe: Recipe,
    preprocess: Preprocess,
    limit: int | None = None,
) -> list[str]:
    """What a user should know about settings that fit the images, but not well; one line each.

    Args:
        splits: the images.
        train_indices: those of the training split that are trained on.
        recipe: the recipe.
        preprocess: its preprocessing; an all-zero `mean` is not compared, because nothing is subtracted.
        limit: the largest number of training images that the user has asked for.
    """
    lines = []
    if limit is not None and limit > len(train_indices):
        lines.append(
            plural(
                "--limit {limit} has no effect, because there is only {n} training image",
                "--limit {limit} has no effect, because there are only {n:,} training images",
                len(train_indices),
                limit=limit,
            )
        )
    if recipe.batch_size > len(train_indices):
        lines.append(
            plural(
                "batch_size={size} is larger than the {n} training image, so an epoch is a single step",
                "batch_size={size} is larger than the {n:,} training images, so an epoch is a single step",
                len(train_indices),
                size=recipe.batch_size,
            )
        )
    if not any(preprocess.mean) or not recipe.mean:
        return lines
    step = max(1, len(train_indices) // _SAMPLE)
    sample = torch.from_numpy(splits.train.images[train_indices[::step][:_SAMPLE]])
    pixels = torch.cat([transforms.scale(part, preprocess) for part in sample.split(100)]).double()
    pixels = pixels.transpose(0, 1).flatten(1)
    means, deviations = pixels.mean(dim=1).tolist(), pixels.std(dim=1).clamp(min=1 / 255).tolist()
    usual = preprocess.mean * (len(means) // len(preprocess.mean))
    if any(abs(a - b) > _FAR * sd for a, b, sd in zip(usual, means, deviations, strict=True)):
        measured = {
            "mean": tuple(round(value, 3) for value in means),
            "std": tuple(round(value, 3) for value in deviations),
        }
        lines.append(
            _(
                "mean={value} is far from that of the training images; measured: {option}",
                value=setting_values.typed(preprocess.mean),
                option=setting_values.hint(measured),
            )
        )
    return lines
