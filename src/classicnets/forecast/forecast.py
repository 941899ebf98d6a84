"""Estimates time, memory and disk use of a run on this machine, and suggests cheaper settings."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from classicnets import machine
from classicnets.datasets import sources
from classicnets.datasets.catalog import DATASETS
from classicnets.errors import ClassicnetsError
from classicnets.forecast import trial
from classicnets.forecast.trial import Trial
from classicnets.images import batches
from classicnets.recipes import resolve
from classicnets.text import _, byte_count, command, duration, plural
from classicnets.training.loop import REPORTS_PER_EPOCH
from classicnets.training.network_check import check_fit
from classicnets.training.plan import Plan

LONG_SECONDS = 600.0  # for a longer run, cheaper settings are suggested
MAX_MEMORY_SHARE = 0.8  # fraction of the memory of the machine or device
_MIN_FACTOR = 1.2  # a change that saves less time is not suggested
_MAX_CHOICES = 3
_STEP_LINE, _EPOCH_LINE = 145, 400  # bytes in the history
_REPORT_BYTES = {  # approximately
    "curves.png": 50_000,
    "confusion.png": 65_000,
    "calibration.png": 45_000,
    "contact_sheet.png": 170_000,
    "metrics.json": 2_500,
    "card.md": 1_200,
    "run.json": 4_000,
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A cheaper setting.

    Attributes:
        change: The options to add to the command.
        times: Factor by which the change reduces time or memory.
        of: "time" or "memory".
        basis: How the factor was found: measured or computed.
    """

    change: str
    times: float
    of: str
    basis: str

    def __str__(self) -> str:
        if self.of == "time":
            return _("{change}   {times:.1f} times faster, {basis}", **asdict(self))
        return _("{change}   {share:.0%} of the memory, {basis}", share=1 / self.times, **asdict(self))


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The estimated cost of a run.

    Attributes:
        steps: Number of measured steps.
        step_images: Number of images in a measured step.
        batch_images: Number of images in a step of the run.
        step_seconds: Median time of a measured step.
        epoch_seconds: Time of the first epoch with its evaluation.
        seconds: Time of all epochs and of the final evaluation, without startup and figures.
        at_most: Whether the recipe's `patience` can end the run earlier.
        memory_bytes: Peak memory of the CUDA device or else of the process; None if the system does not report it.
        memory_there_bytes: Memory of the device or machine; None if the system does not report it.
        disk_bytes: Size of each file of the run.
        disk_free_bytes: Free disk space.
        fetch_bytes: Size of the download before the run.
        cheaper: Suggestions; empty unless the run is long or does not fit into memory.
    """

    steps: int
    step_images: int
    batch_images: int
    step_seconds: float
    epoch_seconds: float
    seconds: float
    at_most: bool
    memory_bytes: int | None
    memory_there_bytes: int | None
    disk_bytes: dict[str, int]
    disk_free_bytes: int
    fetch_bytes: int
    cheaper: tuple[Choice, ...] = ()

    @property
    def is_long(self) -> bool:
        """Whether the run takes more than ten minutes."""
        return self.seconds > LONG_SECONDS

    @property
    def needs_most_memory(self) -> bool:
        """Whether the run needs more than 80% of the memory."""
        total = self.memory_there_bytes
        return total is not None and (self.memory_bytes or 0) > MAX_MEMORY_SHARE * total

    @property
    def exceeds_disk(self) -> bool:
        """Whether the files, and the temporary copy of one of them, do not fit on the disk."""
        return sum(self.disk_bytes.values()) + max(self.disk_bytes.values()) > self.disk_free_bytes

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self)
        for name in ("step", "batch"):  # the keys of version 0.1
            values[f"{name}_pictures"] = values.pop(f"{name}_images")
        return values

    def lines(self, *, is_shared: bool = False) -> list[str]:
        """Return the estimate and the suggestions, as text.

        Args:
            is_shared: whether several processes will share the run, so that the text says that this is for one.
        """
        values = {
            "duration": duration(self.seconds),
            "epoch": duration(self.epoch_seconds),
            "measured": self._measured_text(),
            "memory": self._memory_text(),
            "disk": self._disk_text(),
        }
        if self.at_most:
            time = _("forecast  at most {duration} ({epoch} an epoch; measured on {measured})", **values)
        else:
            time = _("forecast  {duration} ({epoch} an epoch; measured on {measured})", **values)
        estimate = _("{time}, memory {memory}, disk {disk}", time=time, **values)
        lines = [_("{estimate}; all of this for one process", estimate=estimate) if is_shared else estimate]
        if self.fetch_bytes:
            lines.append(_("download  about {size} of data first", size=byte_count(self.fetch_bytes)))
        return lines + [_("cheaper   {choice}", choice=choice) for choice in self.cheaper]

    def _measured_text(self) -> str:
        if self.step_images < self.batch_images:
            return plural(
                "{n} step of {images} images, not {batch}",
                "{n:,} steps of {images} images, not {batch}",
                self.steps,
                images=self.step_images,
                batch=self.batch_images,
            )
        return plural("{n} step", "{n:,} steps", self.steps)

    def _memory_text(self) -> str:
        needed = byte_count(self.memory_bytes)
        if not self.needs_most_memory:
            return needed
        return _("{needed} of {total}", needed=needed, total=byte_count(self.memory_there_bytes))

    def _disk_text(self) -> str:
        needed = byte_count(sum(self.disk_bytes.values()))
        if not self.exceeds_disk:
            return needed
        return _(
            "{needed}, but only {free} are free (--runs FOLDER uses another disk)",
            needed=needed,
            free=byte_count(self.disk_free_bytes),
        )


def forecast(plan: Plan, runs: Path = Path("runs")) -> Forecast:
    """Estimate the cost of a run in the folder `runs`. Takes a few seconds; writes and downloads nothing.

    Raises what training raises at its first step.
    """
    train_count = _image_counts(plan)[0]
    batch_size = min(plan.recipe.batch_size, train_count)
    trial_result = trial.measure(plan, batch_size, most_steps=plan.recipe.epochs * math.ceil(train_count / batch_size))
    epoch_seconds, seconds = _seconds(plan, trial_result)
    result = Forecast(
        steps=trial_result.steps,
        step_images=trial_result.image_count,
        batch_images=batch_size,
        step_seconds=trial_result.step_seconds,
        epoch_seconds=epoch_seconds,
        seconds=seconds,
        at_most=plan.recipe.patience > 0,
        memory_bytes=_memory(plan, trial_result, batch_size),
        memory_there_bytes=machine.memory_bytes_of(torch.device(plan.device)),
        disk_bytes=_disk(plan, trial_result, train_count, batch_size),
        disk_free_bytes=shutil.disk_usage(_existing_parent(runs)).free,
        fetch_bytes=_download_bytes(plan),
    )
    choices = (c for c in _cheaper(plan, trial_result, result) if c.of == "memory" or c.times > _MIN_FACTOR)
    return replace(result, cheaper=tuple(islice(choices, _MAX_CHOICES)))


def _existing_parent(folder: Path) -> Path:
    folder = folder.absolute()
    while not os.path.exists(folder):  # noqa: PTH110 - Path.exists fails where the permission is missing
        folder = folder.parent
    return folder


def _image_counts(plan: Plan) -> tuple[int, int]:
    """Numbers of training images and of validation images."""
    data = plan.description
    return batches.split_sizes(data.train, plan.recipe.validation, plan.spec.limit, data.validation)


def _seconds(plan: Plan, result: Trial) -> tuple[float, float]:
    """Seconds of the first epoch with its evaluation, and of the whole run with the final evaluation."""
    recipe, test_count = plan.recipe, plan.description.test
    train_count, validation_count = _image_counts(plan)
    image_seconds = result.step_seconds / result.image_count
    evaluated_count = {"validation": validation_count, "test": test_count, "none": 0}[recipe.monitor]
    epoch = train_count * image_seconds + evaluated_count * result.evaluation_seconds
    joined_epochs = max(0, recipe.epochs - recipe.join_after) if recipe.join_after else 0
    joined = joined_epochs * validation_count * image_seconds
    return epoch, recipe.epochs * epoch + joined + test_count * result.evaluation_seconds


def _memory(plan: Plan, result: Trial, batch_size: int) -> int | None:
    """The measured memory, extrapolated to a full batch and to the real images instead of noise."""
    if result.memory_bytes is None:
        return None
    full_batch = result.step_memory_bytes * (batch_size / result.image_count - 1)
    measured = result.memory_bytes - result.noise_bytes + full_batch
    validation_count, data = _image_counts(plan)[1], plan.description
    joins = plan.recipe.join_after > 0
    if torch.device(plan.device).type == "cuda":
        image_count = data.train + validation_count * joins
    else:
        # copies that `divide` and `Batches` make
        copied = validation_count * (not data.validation) + joins * (data.train + validation_count)
        image_count = data.train + data.validation + data.test + copied
    return round(measured + image_count * (math.prod(data.loaded_shape(plan.preprocess)) + 8))  # 8 bytes for a label


def _disk(plan: Plan, result: Trial, train_count: int, batch_size: int) -> dict[str, int]:
    """Bytes of each file of the run."""
    steps = math.ceil(train_count / batch_size)
    reports = math.ceil(steps / max(1, steps // REPORTS_PER_EPOCH))
    files = {"last.safetensors": result.last_bytes}
    if plan.recipe.monitor == "validation" and not plan.recipe.join_after:
        files["best.safetensors"] = result.best_bytes
    if plan.spec.keep_epochs:
        files |= {f"epochs/epoch-{n:04}.safetensors": result.best_bytes for n in range(1, plan.recipe.epochs + 1)}
    files["history.jsonl"] = plan.recipe.epochs * (reports * _STEP_LINE + _EPOCH_LINE)
    return files | _REPORT_BYTES


def _download_bytes(plan: Plan) -> int:
    """Size of the download before the run can start."""
    dataset = DATASETS.get(plan.data)
    return dataset.download_bytes if dataset and not sources.is_local(dataset) else 0


def _cheaper(plan: Plan, measured: Trial, estimate: Forecast) -> Iterator[Choice]:
    """Changes that make a long run faster, or one with too much memory smaller; the smallest change first."""
    if estimate.is_long:
        yield from _bfloat16(plan, measured)
        yield from _ten_minutes(plan, measured, estimate)
    if estimate.needs_most_memory:
        yield from _smaller_batches(measured, estimate)
    if estimate.is_long or estimate.needs_most_memory:
        yield from _smaller_images(plan)


def _bfloat16(plan: Plan, measured: Trial) -> Iterator[Choice]:
    if plan.recipe.precision != "float32" or torch.device(plan.device).type == "mps":
        return
    other = replace(plan, recipe=replace(plan.recipe, precision="bfloat16"))
    steps = 3
    seconds = trial.step_seconds(other, measured.image_count, steps, at_most=3 * measured.step_seconds)
    yield Choice(
        change="--set precision=bfloat16",
        times=measured.step_seconds / seconds,
        of="time",
        basis=_("measured on {n} steps", n=steps),
    )


def _ten_minutes(plan: Plan, measured: Trial, estimate: Forecast) -> Iterator[Choice]:
    """As many epochs as fit into ten minutes, at least one; or fewer images, for one epoch if necessary."""
    final_evaluation = plan.description.test * measured.evaluation_seconds
    epochs = max(1, int((LONG_SECONDS - final_evaluation) / estimate.epoch_seconds))
    if epochs < plan.recipe.epochs:
        shorter = replace(plan, recipe=replace(plan.recipe, epochs=epochs))
        yield _computed_choice(command("--set", f"epochs={epochs}"), estimate, _seconds(shorter, measured)[1])
    train_count = _image_counts(plan)[0]
    for epochs in (plan.recipe.epochs, 1):
        shorter = replace(plan, recipe=replace(plan.recipe, epochs=epochs))
        training = epochs * train_count * measured.step_seconds / measured.image_count
        evaluations = _seconds(shorter, measured)[1] - training
        limit = _round_down(train_count * (LONG_SECONDS - evaluations) / training)
        if limit >= plan.recipe.batch_size:
            change = command("--limit", str(limit), *["--set", f"epochs={epochs}"] * (epochs != plan.recipe.epochs))
            limited = replace(shorter, spec=replace(shorter.spec, limit=limit))
            yield _computed_choice(change, estimate, _seconds(limited, measured)[1])
            return


def _computed_choice(change: str, estimate: Forecast, seconds: float) -> Choice:
    basis = _("computed: {duration}", duration=duration(seconds))
    return Choice(change=change, times=estimate.seconds / seconds, of="time", basis=basis)


def _round_down(number: float) -> int:
    """Round down to two significant digits."""
    integer = max(0, int(number))
    unit = int(10 ** max(0, len(str(integer)) - 2))
    return integer // unit * unit


def _smaller_batches(measured: Trial, estimate: Forecast) -> Iterator[Choice]:
    """The largest power of two as batch size with which the run fits into memory."""
    needed, total = estimate.memory_bytes or 0, estimate.memory_there_bytes or 0
    image_bytes = measured.step_memory_bytes / measured.image_count
    available = MAX_MEMORY_SHARE * total - (needed - image_bytes * estimate.batch_images)
    if image_bytes <= 0 or available < image_bytes:
        return
    size = 2 ** int(math.log2(available / image_bytes))
    memory = needed - image_bytes * (estimate.batch_images - size)
    yield Choice(change=command("--set", f"batch_size={size}"), times=needed / memory, of="memory", basis=_("computed"))


def _smaller_images(plan: Plan) -> Iterator[Choice]:
    """Half the image size, if the network can take it."""
    changes = {"image_size": plan.preprocess.image_size // 2}
    if plan.recipe.resize:
        changes["resize"] = plan.recipe.resize // 2
    try:
        recipe = resolve.apply(plan.recipe, changes).recipe
        preprocess = recipe.preprocess(plan.preprocess.channels, changes["image_size"])
        spec = replace(plan.net_spec, image_size=preprocess.image_size)
        table = check_fit(spec, plan.net, preprocess, plan.description, recipe)
    except ClassicnetsError:
        return
    change = command("--set", *(f"{key}={value}" for key, value in changes.items()))
    times = plan.table.macs / max(1, table.macs)
    yield Choice(change=change, times=times, of="time", basis=_("computed from the MACs"))
