"""Our own recipe for a folder of images (or a CSV of image files): settings chosen by what the images look like.

    classicnets train convnet_64 --data FOLDER

`images/look.py` looks at the training images; `recipe` is a pure function of what it saw. docs/folders.md has the table
of kinds and how they were chosen: on validation images, never on a test split.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from classicnets.values import Recipe

SOURCE = "folder"

PHOTOS = "photos"  # many colors or gray levels
GRAPHICS = "graphics"  # icons, clip art, screenshots: mostly areas of one color
SYMBOLS = "symbols"  # letters, digits, signs: strokes of one color on another

_LARGE_SIZE = 100  # pixels; a network designed for larger images is trained at its own size
_SIZES = ((40, 32), (96, 48))  # image size up to a typical size of the images; 64 for larger ones
_LARGEST_SIZE = 64
_MAX_COMMON = 48  # images that all have a size up to this are trained at it
_CROP_AREA = 0.35  # the part of a photo or icon that still shows what it is
_FEW_IMAGES = 50  # a tenth of fewer images is too few to choose an epoch by


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the training images of a folder look like.

    Attributes:
        kind: PHOTOS, GRAPHICS or SYMBOLS.
        size: the typical length of the shorter side in pixels: the median of a sample.
        flips: whether an image that is mirrored left to right still belongs to its class.
    """

    kind: str
    size: int
    flips: bool


def image_size(look: Look, common_size: int = 0) -> int:
    """Return the height and width to train at.

    Args:
        look: what the images look like.
        common_size: height and width if all images have the same square size, else 0.
    """
    if 0 < common_size <= _MAX_COMMON:
        return common_size
    return next((size for largest, size in _SIZES if look.size <= largest), _LARGEST_SIZE)


def is_large(input_size: int) -> bool:
    """Whether a network that is designed for this height and width is trained at it, whatever the images."""
    return input_size >= _LARGE_SIZE


def recipe(net: str, look: Look, size: int | None, train_count: int, *, own_validation: bool = False) -> Recipe:
    """Return the recipe for a folder.

    Args:
        net: the name of the network.
        look: what the images look like.
        size: the image size; None keeps that of the images, and nothing is cropped.
        train_count: number of training images, with those that will be held out.
        own_validation: whether the folder has a validation split.
    """
    crops = size is not None and look.kind != SYMBOLS
    validates = own_validation or train_count >= _FEW_IMAGES
    return Recipe(
        source=SOURCE,
        net=net,
        data="",
        epochs=epochs(train_count),
        batch_size=32 if train_count < 2_000 else 64 if train_count < 10_000 else 128,
        lr=0.003,
        optimizer="adamw",
        weight_decay=0.01,
        schedule="one_cycle",
        label_smoothing=0.1,
        image_size=size,
        resize=round(size * 9 / 8) if crops and size is not None else None,
        crop="resized" if crops else "none",
        crop_area=_CROP_AREA,
        flip=look.flips,
        shift=max(1, size // 10) if look.kind == SYMBOLS and size is not None else 0,
        mean=(),
        std=(0.25,),
        views=2 if look.flips else 1,
        validation=0.1 if validates else 0.0,
        monitor="validation" if validates else "none",
    )


def epochs(train_count: int) -> int:
    """Return the number of epochs: the more images, the fewer, though more images are seen in all.

    About 200 up to 45 images, 42 for 1,000, 13 for 10,000 and 8 from 28,000 on.
    """
    return min(200, max(8, round(30 * math.sqrt(2_000 / max(1, train_count)))))
