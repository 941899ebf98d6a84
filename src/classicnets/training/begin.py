"""What a run starts from: its images and their splits, its folder, and the facts of run.json."""

from __future__ import annotations

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
from classicnets.datasets.types import Description, ImageSplits, Split
from classicnets.files import write_whole
from classicnets.images import batches, loading, trained, transforms
from classicnets.images import survey as images_survey
from classicnets.images.cache import is_streamed
from classicnets.images.streamed import for_statistics
from classicnets.recipes import resolve
from classicnets.runs import folder
from classicnets.runs.folder import RunFolder
from classicnets.text import command, plural
from classicnets.training import data_rules, split
from classicnets.training.plan import Plan
from classicnets.values import AUTO, Preprocess, Recipe

Say = Callable[[str], None]


def survey(plan: Plan, say: Say) -> Plan:
    """Complete the plan with what depends on the contents of image files: groups of copies, and the background.

    Args:
        plan: the plan of a new run.
        say: receives notes.
    """
    found = survey_images(plan.data, plan.description, plan.recipe, plan.preprocess, say)
    return replace(plan, copies=found.copies, preprocess=replace(plan.preprocess, background=found.background))


def survey_images(
    data: str, description: Description, recipe: Recipe, preprocess: Preprocess, say: Say
) -> images_survey.Survey:
    """Find groups of copies and choose the background, as far as the recipe needs them; other data has neither.

    Args:
        data: name, folder or CSV.
        description: of that data.
        recipe: its `validation` and `background` say what is needed.
        preprocess: its background is returned if none is to be chosen.
        say: receives notes.
    """
    location = loading.image_location(data) if description.decoded else None
    if location is None:
        return images_survey.Survey((), preprocess.background)
    chooses_background = recipe.background == AUTO and description.has_transparency
    held_out = recipe.validation > 0 and not description.validation
    counts = description.train + description.validation + description.test
    sampled = is_streamed(counts, preprocess)
    found = images_survey.survey(location, held_out=held_out, transparent=chooses_background, say=say, sampled=sampled)
    return found if chooses_background else replace(found, background=preprocess.background)


def read(plan: Plan, say: Say) -> ImageSplits:
    """Load the images of the plan; `say` receives notes on them. Raises DataError."""
    splits = loading.load(plan.data, plan.preprocess, on_bad_image=plan.spec.on_bad_image, copies=plan.copies, say=say)
    if splits.validation is not None:
        count, share = len(splits.validation), plan.recipe.validation
        if share:
            message = plural(
                "{name}: its validation split ({n:,} image) replaces validation={share:g} of the recipe",
                "{name}: its validation split ({n:,} images) replaces validation={share:g} of the recipe",
                count,
                name=splits.name,
                share=share,
            )
        else:
            message = plural(
                "{name}: its validation split ({n:,} image) is not used, because the recipe has no validation set"
                " (to use it: --set validation=0.1 monitor=validation)",
                "{name}: its validation split ({n:,} images) is not used, because the recipe has no validation set"
                " (to use it: --set validation=0.1 monitor=validation)",
                count,
                name=splits.name,
            )
        say(message)
    indices, _validation = training_and_validation(splits, plan)
    for line in data_rules.notes(splits, indices, plan.recipe, plan.preprocess, plan.spec.limit):
        say(line)
    return splits


def training_and_validation(splits: ImageSplits, plan: Plan) -> tuple[np.ndarray, Split | None]:
    """Return the indices of the training images that are trained on, and the validation set, None if there is none."""
    spec = plan.spec
    return batches.hold_out(
        splits.train, plan.recipe.validation, spec.limit, spec.seed, splits.validation, splits.groups
    )


def record_images(run: RunFolder, splits: ImageSplits, plan: Plan) -> None:
    """Write which images the run is trained on, unless they are not in memory. Raises MachineError."""
    if splits.is_lazy:  # their pixels are not known before all of them are decoded
        return
    share = plan.recipe.validation
    held_out = share if splits.validation is None else 0.0
    parts = batches.split_indices(splits.train.labels, held_out, plan.spec.limit, plan.spec.seed, splits.groups)
    used = np.sort(np.concatenate(parts))
    run.write_trained_images(trained.record(splits, used, splits.validation if share else None))


def fill(path: Path, plan: Plan, facts: dict[str, Any], splits: ImageSplits) -> None:
    """Make `path` a run folder, with split.csv if the data has one file per image. Raises MachineError."""
    folder.fill(path, plan.net_spec, facts)
    record_images(RunFolder(path), splits, plan)
    if splits.files:
        write_whole(RunFolder(path).split, split.table(splits, plan))


def begin(plan: Plan, splits: ImageSplits, command: str, threads: int) -> tuple[Plan, dict[str, Any]]:
    """Complete the plan with what depends on the images: their mean, and whether they are the published data set.

    Returns:
        The plan, and the facts of run.json, from which `Session.resume` can start.
    """
    size = (len(splits.classes), len(splits.train), len(splits.test))
    own_validation = splits.validation is not None and plan.recipe.validation > 0
    if own_validation or resolve.PUBLISHED_SIZES.get(plan.recipe.data, size) != size:
        plan = replace(plan, as_published=False)
    if not plan.recipe.mean:
        indices, _validation = training_and_validation(splits, plan)
        chosen = torch.from_numpy(for_statistics(splits.train.images, indices))
        parts = (torch.from_numpy(splits.train.images[part.numpy()]) for part in chosen.split(500))
        mean = transforms.channel_means(parts, plan.preprocess)
        plan = replace(plan, preprocess=replace(plan.preprocess, mean=mean))
    return plan, {
        "command": command,
        "started_at": now(),
        **plan.to_dict(),
        "threads": threads,
        "data_source": splits.source,
        "fingerprint": splits.fingerprint,
        **({"size_fingerprint": splits.size_fingerprint} if splits.size_fingerprint else {}),
        "machine": machine.describe(),
    }


def choose_acceleration(plan: Plan, net: nn.Module, batch_threads: int | None = None) -> Acceleration:
    """Choose how `net` is accelerated in a run of the plan.

    Args:
        plan: the plan of the run.
        net: the network.
        batch_threads: the number of threads per batch with which a resumed run started.

    Raises:
        UsageError: CN204 if a batch cannot be split over the number of threads that the user has set.
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
    """Return the current time in UTC, in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command_line() -> str:
    """Return the command line of this process, for run.json."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    return command("classicnets" if program == "__main__.py" else program or "python", *sys.argv[1:])
