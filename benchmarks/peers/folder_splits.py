"""A copy of FOLDER/train and FOLDER/test as links, with a tenth of each training class in val/."""

from __future__ import annotations

import random
from pathlib import Path

SHARE = 0.1


def link_splits(folder: Path, target: Path, seed: int) -> Path:
    """Link the images of `folder` into `target` with train/, val/ and test/, and return it."""
    for split in ("train", "test"):
        for label in sorted(path for path in (folder / split).iterdir() if path.is_dir()):
            files = sorted(path for path in label.iterdir() if path.is_file())
            if split == "train":
                random.Random(seed).shuffle(files)
            held_out = round(len(files) * SHARE) if split == "train" else 0
            for i, file in enumerate(files):
                place = target / ("val" if i < held_out else split) / label.name
                place.mkdir(parents=True, exist_ok=True)
                (place / file.name).symlink_to(file.resolve())
    return target
