"""split.csv of a run: what became of each image file."""

from __future__ import annotations

import csv
import io

from classicnets.datasets.types import ImageSplits
from classicnets.images import batches
from classicnets.training.plan import Plan


def table(splits: ImageSplits, plan: Plan) -> bytes:
    """Path, class and split (train, validation, test or skipped, then with the reason) of each file, as a CSV."""
    recipe, spec = plan.recipe, plan.spec
    share = recipe.validation if splits.validation is None else 0.0
    train, aside = batches.split_indices(splits.train.labels, share, spec.limit, spec.seed)
    trained, kept = set(train.tolist()), set(aside.tolist())
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(("path", "class", "split", "reason"))
    place = 0
    for file in splits.files:
        used, reason = file.split, file.reason
        if file.split == "train":
            if place in kept:
                used = "validation"
            elif place not in trained:
                used, reason = "skipped", f"--limit {spec.limit}"
            place += 1
        elif file.split == "validation" and not recipe.validation:
            used, reason = "skipped", "the recipe keeps no images aside"
        rows.writerow((file.path, file.label, used, reason))
    return written.getvalue().encode("utf-8", "surrogateescape")
