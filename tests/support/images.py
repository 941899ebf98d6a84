"""Small synthetic folders of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("bird", "cat", "dog")


def make_image_folder(
    root: Path,
    classes: Sequence[str] = CLASSES,
    per_class: int = 10,
    size: int = 16,
    color: bool = True,
    seed: int = 0,
    test_per_class: int = 0,
) -> Path:
    """Write PNG and JPEG files of a learnable data set into `root` (created if necessary) and return it.

    Each class is a fixed pattern of 4 x 4 fields plus noise. With `test_per_class` there are train/ and test/;
    otherwise `root` contains the class folders.
    """
    generator = np.random.default_rng(seed)
    channels = 3 if color else 1
    field = np.arange(size) * 4 // size
    for name in classes:
        pattern = generator.uniform(30, 220, (4, 4, channels))[field][:, field]
        for split, count in (("train", per_class), ("test", test_per_class)):
            folder = root / split / name if test_per_class else root / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                noisy = (pattern + generator.normal(0, 15, pattern.shape)).clip(0, 255).astype(np.uint8)
                save(folder / f"{split}_{i}.{'jpg' if i % 4 == 3 else 'png'}", noisy.squeeze())
            if not test_per_class:
                break
    return root


def make_imagenet(root: Path) -> Path:
    """Write two synsets of ImageNet, sorted into class folders, with one training and one validation image each."""
    for number, synset in enumerate(("n01440764", "n01443537"), 1):
        pixels = np.full((6, 8, 3), 40 * number, np.uint8)
        save(root / "train" / synset / f"{synset}_10026.JPEG", pixels)
        save(root / "val" / synset / f"ILSVRC2012_val_{number:08d}.JPEG", pixels)
    return root


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    """Write uint8 [H, W] or [H, W, 3] as an image file in the format of its suffix; its folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]
    return path
