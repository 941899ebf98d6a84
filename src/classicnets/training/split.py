"""split.csv of a run: the split of each image file."""

from __future__ import annotations

from classicnets.datasets.types import ImageSplits
from classicnets.images import batches
from classicnets.text import _, command, csv_row
from classicnets.training.plan import Plan


def table(splits: ImageSplits, plan: Plan) -> bytes:
    """Return a CSV with path, class, split (train, validation, test or skipped) and reason of each file, as bytes."""
    recipe, spec = plan.recipe, plan.spec
    share = recipe.validation if splits.validation is None else 0.0
    train_indices, validation_indices = batches.split_indices(
        splits.train.labels, share, spec.limit, spec.seed, splits.groups
    )
    train, validation = set(train_indices.tolist()), set(validation_indices.tolist())
    rows = [csv_row(("path", "class", "split", "reason"))]
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
        rows.append(csv_row((file.path, file.label, used_as, reason)))
    return "".join(rows).encode("utf-8", "surrogateescape")
