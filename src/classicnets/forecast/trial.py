"""Measures time and memory of real training steps and evaluations on images of noise. Writes nothing."""

from __future__ import annotations

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
from classicnets.models.modules import copy_module
from classicnets.runs import checkpoint
from classicnets.runs.folder import RunFolder
from classicnets.training.loop import Scores, train
from classicnets.training.plan import Plan
from classicnets.training.session import Session

STEP_SECONDS, EVALUATION_SECONDS = 4.0, 1.0  # duration of the measurements, after one call of each to warm up
_NOISE_BATCHES = 4  # reused in each epoch
_MAX_STEP_MACS = 5e10  # forward pass of a measured step on the CPU, which then takes a few seconds
_MAX_EVALUATION_MACS = 2e10


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The results of a measurement.

    Attributes:
        image_count: Number of images in a training step.
        steps: Number of training steps.
        step_seconds: Median time of a training step.
        evaluation_seconds: Median time of evaluating one image with all its views.
        memory_bytes: Peak memory of the CUDA device or else of this process; None if the system does not report it.
        step_memory_bytes: The part of `memory_bytes` that the steps added.
        noise_bytes: The part of `memory_bytes` that is images of noise.
        last_bytes: Size of a checkpoint for resuming.
        best_bytes: Size of a checkpoint with weights only.
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


def measure(plan: Plan, batch_size: int, most_steps: int) -> Trial:
    """Train a copy of the plan's network on noise for a few seconds.

    The random number generators are restored afterwards.

    Args:
        plan: The run to measure.
        batch_size: Number of images in a step; fewer are used if that would fill the memory or be too slow on a CPU.
        most_steps: Maximum number of steps.
    """
    image_count = _images_per_step(plan, batch_size)
    with _noise_session(plan, image_count) as session:
        memory_before = _peak_memory(session.device)
        step = _steps(session).__next__
        step()  # to warm up
        step_times = _times(step, STEP_SECONDS, 2, most_steps)
        memory_after = _peak_memory(session.device)
        evaluation_count = max(16, int(_MAX_EVALUATION_MACS / plan.preprocess.views / _macs(plan)))
        images = session.splits.train.images[:evaluation_count]
        session.epoch_predictor.probabilities(images)
        evaluation_times = _times(lambda: session.epoch_predictor.probabilities(images), EVALUATION_SECONDS, 1, 100)
        last, best = (len(checkpoint.content(*session.checkpoint(weights_only=only))) for only in (False, True))
        return Trial(
            image_count=image_count,
            steps=len(step_times),
            step_seconds=statistics.median(step_times),
            evaluation_seconds=statistics.median(evaluation_times) / len(images),
            memory_bytes=_peak_memory(session.device),
            step_memory_bytes=(memory_after or 0) - (memory_before or 0),
            noise_bytes=session.splits.train.images.nbytes,
            last_bytes=last,
            best_bytes=best,
        )


def step_seconds(plan: Plan, image_count: int, steps: int, at_most: float) -> float:
    """Return the median seconds of a step, or the seconds of the warm-up step if that takes longer than `at_most`."""
    with _noise_session(plan, image_count) as session:
        step = _steps(session).__next__
        [warm_up] = _times(step, 0.0, 1, 1)
        return warm_up if warm_up > at_most else statistics.median(_times(step, 0.0, steps, steps))


@contextmanager
def _noise_session(plan: Plan, image_count: int) -> Iterator[Session]:
    """Yield an endless training session of a copy of the network on noise, in batches of `image_count`."""
    generator = np.random.default_rng(plan.spec.seed)
    shape, classes = plan.description.loaded_shape(plan.preprocess), plan.description.classes
    noise = Split(
        generator.integers(0, 256, (_NOISE_BATCHES * image_count, *shape), np.uint8),
        generator.integers(0, len(classes), _NOISE_BATCHES * image_count),
    )
    plan = replace(
        plan,
        net=None if plan.net is None else copy_module(plan.net),
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


def _steps(session: Session) -> Iterator[None]:
    """Yield after each training step, when the device has finished it."""
    recipe, objective, acceleration = session.plan.recipe, session.objective, session.acceleration
    for event in train(session.state, session.batches, recipe, objective, Scores, acceleration):
        if isinstance(event, Step):
            float(session.state.loss_sum)  # waits for the device
            yield


def _times(work: Callable[[], object], seconds: float, least: int, most: int) -> list[float]:
    """Call `work` for `seconds`, but `least` to `most` times; return the seconds of each call."""
    times: list[float] = []
    started = now = time.perf_counter()
    while len(times) < least or (now - started < seconds and len(times) < most):
        before = now
        work()
        now = time.perf_counter()
        times.append(now - before)
    return times


def _images_per_step(plan: Plan, batch_size: int) -> int:
    """Number of images in a measured step: limited by memory and, on a CPU, by time."""
    device = torch.device(plan.device)
    limits = [batch_size]
    if memory := machine.memory_bytes_of(device):
        limits.append(memory // 4 // max(1, 2 * plan.table.activation_bytes))  # outputs and their gradients
    if device.type == "cpu":
        limits.append(int(_MAX_STEP_MACS / _macs(plan)))
    return max(min(batch_size, 2), min(limits))


def _macs(plan: Plan) -> int:
    return max(1, plan.table.macs)


def _peak_memory(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else machine.peak_memory_bytes()
