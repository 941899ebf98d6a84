"""What a run will take on this machine, from a few measured steps, and what would be cheaper."""

from __future__ import annotations

import math
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
from classicnets.text import byte_count, count, duration
from classicnets.training.loop import REPORTS_PER_EPOCH
from classicnets.training.plan import Plan, check_fit

LONG_SECONDS = 600.0  # from here on cheaper choices are named
MUCH_MEMORY = 0.8  # of the machine's or the device's
_WORTH = 1.2  # times faster, or a choice is not named
_CHOICES = 3
_STEP_LINE, _EPOCH_LINE = 145, 400  # bytes in the history
_IMAGES = {  # about
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
    """What to add to the command, and how many `times` less `of` "time" or "memory" the run then takes."""

    change: str
    times: float
    of: str
    basis: str

    def __str__(self) -> str:
        return (
            f"{self.change}   {self.times:.1f} times {'faster' if self.of == 'time' else 'less memory'}, {self.basis}"
        )


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run will take: seconds, bytes in memory (of a CUDA device, else of the process), bytes of each file.

    `steps` of `step_images` images each were measured, `step_seconds` is their median; a run's steps have
    `batch_images`. `epoch_seconds` is the first epoch with its evaluation, `seconds` all epochs and the evaluation at
    the end, without start and drawings; `at_most` where the recipe's `patience` may end the run earlier. None stands
    for what the system does not tell. `fetch_bytes` is what has to be downloaded first. `cheaper` is empty unless the
    run is long or does not fit.
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
    def long(self) -> bool:
        """Whether the run takes more than ten minutes."""
        return self.seconds > LONG_SECONDS

    @property
    def crowded(self) -> bool:
        """Whether the run takes most of the memory there is."""
        there = self.memory_there_bytes
        return there is not None and (self.memory_bytes or 0) > MUCH_MEMORY * there

    @property
    def overfull(self) -> bool:
        """Whether the files do not fit on the disk, while one is replaced."""
        return sum(self.disk_bytes.values()) + max(self.disk_bytes.values()) > self.disk_free_bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        for name in ("step", "batch"):  # the keys of version 0.1
            values[f"{name}_pictures"] = values.pop(f"{name}_images")
        return values

    def lines(self) -> list[str]:
        """For people: what the run takes, what has to be fetched first, what would be cheaper."""
        part = f" of {self.step_images} images, not {self.batch_images}," * (self.step_images < self.batch_images)
        measured = f"{count(self.steps, 'step')}{part}".rstrip(",")
        memory = byte_count(self.memory_bytes) + (f" of {byte_count(self.memory_there_bytes)}" * self.crowded)
        free = f", but {byte_count(self.disk_free_bytes)} free: --runs FOLDER chooses another place" * self.overfull
        found = [
            f"forecast  {'at most ' * self.at_most}{duration(self.seconds)} ({duration(self.epoch_seconds)} an"
            f" epoch; measured on {measured}), memory {memory}, disk {byte_count(sum(self.disk_bytes.values()))}{free}"
        ]
        if self.fetch_bytes:
            found.append(f"fetch     about {byte_count(self.fetch_bytes)} of data first")
        return found + [f"cheaper   {choice}" for choice in self.cheaper]


def forecast(plan: Plan, runs: Path = Path("runs")) -> Forecast:
    """What the run would take whose folder is made in `runs`. Takes some seconds; writes and fetches nothing.

    Raises what training itself raises at its first step.
    """
    n, _ = _image_counts(plan)
    batch = min(plan.recipe.batch_size, n)
    tried = trial.measure(plan, batch, most_steps=plan.recipe.epochs * math.ceil(n / batch))
    epoch, whole = _seconds(plan, tried)
    free = runs.absolute()
    while not free.exists():
        free = free.parent
    device = torch.device(plan.device)
    found = Forecast(
        steps=tried.steps,
        step_images=tried.image_count,
        batch_images=batch,
        step_seconds=tried.step_seconds,
        epoch_seconds=epoch,
        seconds=whole,
        at_most=plan.recipe.patience > 0,
        memory_bytes=_memory(plan, tried, batch),
        memory_there_bytes=machine.memory_bytes_of(device),
        disk_bytes=_disk(plan, tried, n, batch),
        disk_free_bytes=shutil.disk_usage(free).free,
        fetch_bytes=_fetch(plan),
    )
    choices = (choice for choice in _cheaper(plan, tried, found) if choice.of == "memory" or choice.times > _WORTH)
    return replace(found, cheaper=tuple(islice(choices, _CHOICES)))


def _image_counts(plan: Plan) -> tuple[int, int]:
    """How many images are trained on, and how many kept aside."""
    there = plan.description
    return batches.split_sizes(there.train, plan.recipe.validation, plan.spec.limit, there.validation)


def _seconds(plan: Plan, tried: Trial) -> tuple[float, float]:
    """Of the first epoch with its evaluation, and of the run with its last one."""
    recipe, test = plan.recipe, plan.description.test
    n, aside = _image_counts(plan)
    image_seconds = tried.step_seconds / tried.image_count
    watched = {"validation": aside, "test": test, "none": 0}[recipe.monitor]
    epoch = n * image_seconds + watched * tried.evaluation_seconds
    joined = max(0, recipe.epochs - recipe.join_after) * aside if recipe.join_after else 0
    return epoch, recipe.epochs * epoch + joined * image_seconds + test * tried.evaluation_seconds


def _memory(plan: Plan, tried: Trial, batch: int) -> int | None:
    """What was measured, for a whole batch and with the real images."""
    if tried.memory_bytes is None:
        return None
    measured = tried.memory_bytes - tried.noise_bytes + tried.step_memory_bytes * (batch / tried.image_count - 1)
    (_, aside), there = _image_counts(plan), plan.description
    joining = plan.recipe.join_after > 0
    if torch.device(plan.device).type == "cuda":
        image_count = there.train + aside * joining
    else:
        copied = aside * (not there.validation) + joining * (there.train + aside)  # by `divide` and by `Batches`
        image_count = there.train + there.validation + there.test + copied
    return round(measured + image_count * (math.prod(there.loaded_shape(plan.preprocess)) + 8))  # 8 bytes are its label


def _disk(plan: Plan, tried: Trial, n: int, batch: int) -> dict[str, int]:
    """Bytes of each file of the run."""
    steps = math.ceil(n / batch)
    reports = math.ceil(steps / max(1, steps // REPORTS_PER_EPOCH))
    files = {"last.safetensors": tried.last_bytes}
    if plan.recipe.monitor == "validation" and not plan.recipe.join_after:
        files["best.safetensors"] = tried.best_bytes
    files["history.jsonl"] = plan.recipe.epochs * (reports * _STEP_LINE + _EPOCH_LINE)
    return files | _IMAGES


def _fetch(plan: Plan) -> int:
    """Bytes to download before the run can begin."""
    known = DATASETS.get(plan.data)
    return known.download_bytes if known and not sources.is_local(known) else 0


def _cheaper(plan: Plan, tried: Trial, found: Forecast) -> Iterator[Choice]:
    """What would make a run shorter or smaller that is long or does not fit; the least change first."""
    if found.long:
        yield from _in_bfloat16(plan, tried)
        yield from _in_ten_minutes(plan, tried, found)
    if found.crowded:
        yield from _in_smaller_batches(tried, found)
    if found.long or found.crowded:
        yield from _with_smaller_images(plan)


def _in_bfloat16(plan: Plan, tried: Trial) -> Iterator[Choice]:
    if plan.recipe.precision != "float32" or torch.device(plan.device).type == "mps":
        return
    other = replace(plan, recipe=replace(plan.recipe, precision="bfloat16"))
    steps = 3
    times = tried.step_seconds / trial.step_seconds(other, tried.image_count, steps, at_most=3 * tried.step_seconds)
    yield Choice(change="--set precision=bfloat16", times=times, of="time", basis=f"measured on {steps} steps")


def _in_ten_minutes(plan: Plan, tried: Trial, found: Forecast) -> Iterator[Choice]:
    """As many epochs as ten minutes allow, one at least; or fewer images, and then of one epoch if need be."""
    last = plan.description.test * tried.evaluation_seconds
    epochs = max(1, int((LONG_SECONDS - last) / found.epoch_seconds))
    if epochs < plan.recipe.epochs:
        shorter = replace(plan, recipe=replace(plan.recipe, epochs=epochs))
        yield _as_computed(f"--set epochs={epochs}", found, _seconds(shorter, tried)[1])
    for epochs in (plan.recipe.epochs, 1):
        n, _ = _image_counts(plan)
        once = replace(plan, recipe=replace(plan.recipe, epochs=epochs))
        training = epochs * n * tried.step_seconds / tried.image_count
        others = _seconds(once, tried)[1] - training
        limit = _rounded(n * (LONG_SECONDS - others) / training)
        if limit >= plan.recipe.batch_size:
            change = f"--limit {limit}" + f" --set epochs={epochs}" * (epochs != plan.recipe.epochs)
            yield _as_computed(change, found, _seconds(replace(once, spec=replace(once.spec, limit=limit)), tried)[1])
            return


def _as_computed(change: str, found: Forecast, seconds: float) -> Choice:
    return Choice(change=change, times=found.seconds / seconds, of="time", basis=f"computed: {duration(seconds)}")


def _rounded(n: float) -> int:
    """Down to two digits."""
    whole = max(0, int(n))
    unit = int(10 ** max(0, len(str(whole)) - 2))
    return whole // unit * unit


def _in_smaller_batches(tried: Trial, found: Forecast) -> Iterator[Choice]:
    """The largest power of two with which the steps fit beside the rest."""
    needed, there = found.memory_bytes or 0, found.memory_there_bytes or 0
    image_seconds = tried.step_memory_bytes / tried.image_count
    room = MUCH_MEMORY * there - (needed - image_seconds * found.batch_images)
    if image_seconds <= 0 or room < image_seconds:
        return
    size = 2 ** int(math.log2(room / image_seconds))
    memory = needed - image_seconds * (found.batch_images - size)
    yield Choice(change=f"--set batch_size={size}", times=needed / memory, of="memory", basis="computed")


def _with_smaller_images(plan: Plan) -> Iterator[Choice]:
    """Half the side, if the net can take that."""
    half = {"image_size": plan.preprocess.image_size // 2}
    if plan.recipe.resize:
        half["resize"] = plan.recipe.resize // 2
    try:
        recipe = resolve.apply(plan.recipe, half).recipe
        preprocess = recipe.preprocess(plan.preprocess.channels, half["image_size"])
        made = replace(plan.net_spec, image_size=preprocess.image_size)
        table = check_fit(made, plan.net, preprocess, plan.description, recipe)
    except ClassicnetsError:
        return
    change = "--set " + " ".join(f"{key}={value}" for key, value in half.items())
    yield Choice(change=change, times=plan.table.macs / max(1, table.macs), of="time", basis="computed from the MACs")
