"""split.csv of a run: the split of each image file."""

from __future__ import annotations

import csv
import io

from classicnets.datasets.types import ImageSplits
from classicnets.images import batches
from classicnets.text import _, command
from classicnets.training.plan import Plan


def table(splits: ImageSplits, plan: Plan) -> bytes:
    """Return a CSV with path, class, split (train, validation, test or skipped) and reason of each file, as bytes."""
    recipe, spec = plan.recipe, plan.spec
    share = recipe.validation if splits.validation is None else 0.0
    train_indices, validation_indices = batches.split_indices(
        splits.train.labels, share, spec.limit, spec.seed, splits.groups
    )
    train, validation = set(train_indices.tolist()), set(validation_indices.tolist())
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "class", "split", "reason"))
    index = 0
    for file in splits.files:
        used_as, reason = file.split, file.reason
        if file.split == "train":
            if index in validation:
                used_as = "validation"
            elif index not in train:
                used_as, reason = "skipped", command("--limit", str(spec.limit))
            index += 1
        elif file.split == "validation" and not recipe.validation:
            used_as, reason = "skipped", _("the recipe has no validation set")
        rows.writerow((file.path, file.label, used_as, reason))
    return text.getvalue().encode("utf-8", "surrogateescape")
