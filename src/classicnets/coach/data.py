"""The checks of images, labels and batch size, before the first epoch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from classicnets.coach.task import Finding, Sample, Task
from classicnets.text import _, command, join, plural

_LOW_CONTRAST = 0.01  # standard deviation of preprocessed pixels; Fashion-MNIST in 0..1 has 0.35
_LARGE_PIXEL = 10.0  # standardized images stay within 3
_OFFSET = 3.0  # standard deviations between 0 and the mean input; 0.8 for Fashion-MNIST without normalization
_COPIES = 0.5  # share of images that are copies of others; real data sets have less than 0.05
_FEW_STEPS = 50  # in a whole run; fine-tuning needs hundreds


def check_labels(task: Task) -> Finding | None:
    """All images of one class, classes without images, or more unbalanced classes than chance explains."""
    counts, n, class_count = task.counts, task.image_count, len(task.classes)
    largest, smallest = int(counts.argmax()), int(counts.argmin())
    most, fewest = int(counts[largest]), int(counts[smallest])
    if most == n and n > 1 and class_count > 1:
        message = _(
            "all {n:,} training images are of class {name!r}, so there is nothing to learn",
            n=n,
            name=task.classes[largest],
        )
        return Finding("one_class", message, task.data_check)
    if fewest == 0 and n >= 10 * class_count:  # with fewer images, a class may be missing by chance
        missing = [repr(name) for name, count in zip(task.classes, counts.tolist(), strict=True) if not count]
        message = plural(
            "none of the {images:,} training images is of class {names}, so the network cannot learn it",
            "none of the {images:,} training images is of the classes {names}, so the network cannot learn them",
            len(missing),
            images=n,
            names=join(missing),
        )
        return Finding("class_without_pictures", message, task.data_check)
    unbalanced = most > 10 * (fewest + 3 * math.sqrt(fewest)) or (class_count > 2 and most > n / 2)
    if unbalanced and task.recipe.class_weights == "none":
        message = _(
            "{most:,} training images are of class {largest!r} and {fewest:,} of {smallest!r}: always predicting the"
            " former gives an accuracy of {accuracy:.0%}",
            most=most,
            largest=task.classes[largest],
            fewest=fewest,
            smallest=task.classes[smallest],
            accuracy=most / n,
        )
        return Finding("classes_unequal", message, "--set class_weights=auto")
    return None


def check_images(task: Task, sample: Sample) -> Finding | None:
    """Images that are constant, all the same, mostly copies, of very low contrast, or whose mean does not fit."""
    x = sample.images
    if len(x) < 2:
        return None
    within = float((x.amax(dim=(1, 2, 3)) - x.amin(dim=(1, 2, 3))).max())
    between = float((x.amax(dim=0) - x.amin(dim=0)).max())
    if min(within, between) <= 1e-6 * max(float(x.abs().max()), 1.0):
        message = _("all images are the same") if between < within else _("each image has only one pixel value")
        return Finding("constant_pictures", message, task.data_check)
    return _check_normalization(sample) or _check_copies(task, sample)


def _check_normalization(sample: Sample) -> Finding | None:
    """A mean that no image can have, or a standard deviation that leaves hardly any contrast."""
    mean, x = sample.preprocess.mean, sample.images
    if min(mean) < 0 or max(mean) > 1:
        message = _(
            "mean={mean} does not fit the pixels, which are in 0..1: the inputs range from {low:.3g} to {high:.3g}",
            mean=",".join(f"{value:g}" for value in mean),
            low=float(x.min()),
            high=float(x.max()),
        )
        return Finding("pictures_out_of_range", message, fitting_normalization(sample))
    spread = float(x.std())
    if spread < _LOW_CONTRAST:
        message = _(
            "the standard deviation of the network's inputs is only {spread:.2g}: it can hardly see differences",
            spread=spread,
        )
        return Finding("pictures_out_of_range", message, fitting_normalization(sample))
    return None


def fitting_normalization(sample: Sample) -> str:
    """The setting that standardizes the images, as measured; it leaves a mean that fits as it is."""
    pixels = sample.pixels().transpose(0, 1).flatten(1).double()
    means, overall = pixels.mean(dim=1), float(pixels.std())
    deviations = [value if value > 0.1 * overall else overall for value in pixels.std(dim=1).tolist()]
    offset = max(
        abs(mean - value) / deviation
        for mean, value, deviation in zip(
            means.tolist(),
            sample.preprocess.mean * (len(means) // len(sample.preprocess.mean)),
            deviations,
            strict=True,
        )
    )
    std = "std=" + ",".join(f"{value:.3g}" for value in deviations)
    mean = ",".join(f"{value:.3g}" for value in means)
    return command("--set", std) if offset < _OFFSET else command("--set", f"mean={mean}", std)


def large_inputs(sample: Sample) -> bool:
    """Whether inputs are so far from 0 that only initial weights that are made for them can take them.

    Some recipes use 0..255 with weights to match, so it is a fault only by its effect.
    """
    return float(sample.images.abs().max()) > _LARGE_PIXEL


def _check_copies(task: Task, sample: Sample) -> Finding | None:
    """Images most of which are exact copies of others."""
    n = len(sample.images)
    distinct, which = torch.unique(sample.images.flatten(1), dim=0, return_inverse=True)
    share = 1 - len(distinct) / n
    if n < 2 * len(task.classes) or share <= _COPIES:
        return None
    contradictory = _contradictions(which, sample.labels.to(which.device))
    if contradictory:
        message = _(
            "{share:.0%} of the training images are copies of others, and {contradictory:.0%} have another class than"
            " their copy",
            share=share,
            contradictory=contradictory,
        )
    else:
        message = _("{share:.0%} of the training images are copies of others", share=share)
    return Finding("copied_pictures", message, task.data_check)


def _contradictions(which: Tensor, labels: Tensor) -> float:
    """The share of images with another label than most of their copies; `which` numbers the distinct images."""
    table = torch.zeros(int(which.max()) + 1, int(labels.max()) + 1)
    table.index_put_((which.cpu(), labels.cpu()), torch.ones(len(labels)), accumulate=True)
    return 1 - float(table.amax(dim=1).sum()) / len(labels)


def check_batch_size(task: Task) -> Finding | None:
    """A batch that is larger than the data, so that the whole run has only a few steps."""
    recipe, n = task.recipe, task.image_count
    # a single epoch is a trial, and trained weights need little
    if recipe.batch_size <= n or not 1 < recipe.epochs < _FEW_STEPS or n < 2 or task.trained:
        return None
    message = plural(
        "batch_size={batch_size} is larger than the {n:,} training image: an epoch has one step, and the run only"
        " {epochs}",
        "batch_size={batch_size} is larger than the {n:,} training images: an epoch has one step, and the run only"
        " {epochs}",
        n,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
    )
    return Finding(
        "few_steps", message, command("--set", f"batch_size={max(2, 2 ** int(math.log2(n / 8)) if n >= 16 else 2)}")
    )
