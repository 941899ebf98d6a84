"""From a plan to what a run begins with: its data, how they are divided, and the facts of its run.json."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from classicnets import machine
from classicnets.acceleration.prepare import Acceleration, choose
from classicnets.datasets.types import ImageSplits, Split
from classicnets.files import write_whole
from classicnets.images import batches, loading, transforms
from classicnets.recipes import resolve
from classicnets.runs import folder
from classicnets.runs.folder import RunFolder
from classicnets.training import split
from classicnets.training.plan import Plan

Say = Callable[[str], None]

_NOTHING_ASIDE = " the recipe keeps no images aside (--set validation=0.1 monitor=validation would)"


def read(plan: Plan, say: Say) -> ImageSplits:
    """The images of the plan; `say` reports what its own validation split is used for. Raises DataError."""
    splits = loading.load(plan.data, plan.preprocess, on_bad_image=plan.spec.on_bad_image, say=say)
    if splits.validation is not None:
        count, share = len(splits.validation), plan.recipe.validation
        say(
            f"{splits.name}: its validation split, {count:,} images, "
            + (f"stands in for validation={share:g} of the recipe" if share else "is not used:" + _NOTHING_ASIDE)
        )
    return splits


def divided(splits: ImageSplits, plan: Plan) -> tuple[np.ndarray, Split | None]:
    """Which of the training images are trained on, as indices; and the validation set."""
    spec = plan.spec
    return batches.hold_out(splits.train, plan.recipe.validation, spec.limit, spec.seed, splits.validation)


def fill(path: Path, plan: Plan, facts: dict[str, Any], splits: ImageSplits) -> None:
    """Makes `path` the folder of a run, with split.csv if the data has a file for each image. Raises MachineError."""
    folder.fill(path, plan.net_spec, facts)
    if splits.files:
        write_whole(RunFolder(path).split, split.table(splits, plan))


def begin(plan: Plan, splits: ImageSplits, command: str, threads: int) -> tuple[Plan, dict[str, Any]]:
    """The plan with what only the images could tell, and its run.json, from which `resume` can start."""
    size = (len(splits.classes), len(splits.train), len(splits.test))
    own_validation = splits.validation is not None and plan.recipe.validation > 0
    if own_validation or resolve.SIZES.get(plan.recipe.data, size) != size:
        plan = replace(plan, as_published=False)
    if not plan.recipe.mean:
        taken, _ = divided(splits, plan)
        parts = (torch.from_numpy(splits.train.images[some.numpy()]) for some in torch.from_numpy(taken).split(500))
        mean = transforms.channel_means(parts, plan.preprocess)
        plan = replace(plan, preprocess=replace(plan.preprocess, mean=mean))
    return plan, {
        "command": command,
        "started_at": now(),
        **plan.to_dict(),
        "threads": threads,
        "data_source": splits.source,
        "fingerprint": splits.fingerprint,
        "machine": machine.describe(),
    }


def accelerated(plan: Plan, net: nn.Module, batch_threads: int | None = None) -> Acceleration:
    """How `net` is made faster in a run of the plan; `batch_threads` is the number that a resumed run began with.

    Raises UsageError CN204 if its batches cannot be divided among as many threads as were asked for.
    """
    return choose(
        net,
        plan.preprocess.shape,
        device=plan.device,
        macs=plan.table.macs,
        precision=plan.recipe.precision,
        threads=torch.get_num_threads(),
        batch_size=plan.recipe.batch_size,
        batch_threads=batch_threads or plan.spec.batch_threads,
    )


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command_line() -> str:
    """The command that started this process, for run.json."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    return shlex.join(["classicnets" if program == "__main__.py" else program or "python", *sys.argv[1:]])
