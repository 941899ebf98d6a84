"""What real training steps and evaluations on images of noise cost on this machine. Nothing is written."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from classicnets import machine
from classicnets.datasets.types import ImageSplits, Split
from classicnets.events import Step
from classicnets.runs import checkpoint
from classicnets.runs.folder import RunFolder
from classicnets.training.loop import Scores, train
from classicnets.training.plan import Plan
from classicnets.training.session import Session

STEP_SECONDS, EVALUATION_SECONDS = 4.0, 1.0  # how long is measured, after one of each to warm up
_BATCHES = 4  # of noise; they are used again and again
_MACS = 5e10  # forward, in one measured step on the CPU: some seconds
_EVALUATION_MACS = 2e10


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What was measured: `steps` training steps of `images` each, which took `step_seconds` in the median.

    `evaluation_seconds` is for one image with all its views. `memory_bytes` is the most that was in use (of a CUDA
    device, else of this process so far; None where the system does not tell), `step_memory_bytes` what the steps added
    to it, `noise_bytes` the images of noise in it. `last_bytes` and `best_bytes` are sizes of checkpoints.
    """

    image_count: int
    steps: int
    step_seconds: float
    evaluation_seconds: float
    memory_bytes: int | None
    step_memory_bytes: int
    noise_bytes: int
    last_bytes: int
    best_bytes: int


def measure(plan: Plan, batch: int, most_steps: int) -> Trial:
    """Trains a copy of the plan's net on noise for some seconds, with `most_steps` steps of `batch` images at most.

    A step takes fewer images where so many would fill the memory or take a CPU too long. The random number generators
    are as before afterwards.
    """
    image_count = _at_once(plan, batch)
    with _set_up(plan, image_count) as training:
        first = _memory(training.device)
        step = _steps(training).__next__
        step()  # to warm up
        taken = _seconds(step, STEP_SECONDS, 2, most_steps)
        stepped = _memory(training.device)
        few = training.splits.train.images[: max(16, int(_EVALUATION_MACS / plan.preprocess.views / _macs(plan)))]
        training.watcher.probabilities(few)
        evaluated = _seconds(lambda: training.watcher.probabilities(few), EVALUATION_SECONDS, 1, 100)
        last, best = (len(checkpoint.content(*training.checkpoint(weights_only=alone))) for alone in (False, True))
        return Trial(
            image_count=image_count,
            steps=len(taken),
            step_seconds=statistics.median(taken),
            evaluation_seconds=statistics.median(evaluated) / len(few),
            memory_bytes=_memory(training.device),
            step_memory_bytes=(stepped or 0) - (first or 0),
            noise_bytes=training.splits.train.images.nbytes,
            last_bytes=last,
            best_bytes=best,
        )


def step_seconds(plan: Plan, image_count: int, steps: int, at_most: float) -> float:
    """Median seconds of so many steps; those of the first, to warm up, alone where it takes longer than `at_most`."""
    with _set_up(plan, image_count) as training:
        step = _steps(training).__next__
        [first] = _seconds(step, 0.0, 1, 1)
        return first if first > at_most else statistics.median(_seconds(step, 0.0, steps, steps))


@contextmanager
def _set_up(plan: Plan, image_count: int) -> Iterator[Session]:
    """A training of a copy of the net on noise, in batches of so many `images`, that goes on for ever."""
    chance = np.random.default_rng(plan.spec.seed)
    shape, classes = plan.description.loaded_shape(plan.preprocess), plan.description.classes
    noise = Split(
        chance.integers(0, 256, (_BATCHES * image_count, *shape), np.uint8),
        chance.integers(0, len(classes), _BATCHES * image_count),
    )
    plan = replace(
        plan,
        net=copy.deepcopy(plan.net),
        spec=replace(plan.spec, limit=None),
        recipe=replace(plan.recipe, batch_size=image_count, epochs=10**6, validation=0.0, join_after=0, patience=0),
        preprocess=plan.preprocess if plan.recipe.mean else replace(plan.preprocess, mean=(0.5,)),
    )
    device = torch.device(plan.device)
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []), machine.deterministic(plan.spec.deterministic):
        if cuda:
            torch.cuda.reset_peak_memory_stats(device)
        data = ImageSplits(plan.description.name, classes, noise, noise, fingerprint="0" * 16, source="noise")
        yield Session(plan, RunFolder(Path()), data, plan.build(lambda _: None))


def _steps(training: Session) -> Iterator[None]:
    """Takes one step each time it is asked to, and waits for the device."""
    recipe, loss, acceleration = training.plan.recipe, training.objective, training.acceleration
    for event in train(training.state, training.batches, recipe, loss, Scores, acceleration):
        if isinstance(event, Step):
            float(training.state.loss_sum)
            yield


def _seconds(work: Callable[[], object], budget: float, least: int, most: int) -> list[float]:
    """How long `work` takes each time, `least` times at least and then on for `budget` seconds."""
    taken: list[float] = []
    started = now = time.perf_counter()
    while len(taken) < least or (now - started < budget and len(taken) < most):
        before = now
        work()
        now = time.perf_counter()
        taken.append(now - before)
    return taken


def _at_once(plan: Plan, batch: int) -> int:
    """How many images of a batch a measured step takes."""
    device = torch.device(plan.device)
    most = [batch]
    if memory := machine.memory_bytes_of(device):
        most.append(memory // 4 // max(1, 2 * plan.table.activation_bytes))  # outputs and their gradients
    if device.type == "cpu":
        most.append(int(_MACS / _macs(plan)))
    return max(min(batch, 2), min(most))


def _macs(plan: Plan) -> int:
    return max(1, plan.table.macs)


def _memory(device: torch.device) -> int | None:
    """The most memory that was in use."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else machine.peak_memory_bytes()
