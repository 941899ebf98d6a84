"""Training batches and the validation split. Order and augmentation are pure functions of (seed, epoch, image), so a
run can resume at any step without saved state.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from classicnets import machine
from classicnets.datasets.types import Images, LazyImages, Split
from classicnets.images import transforms
from classicnets.images.streamed import for_statistics
from classicnets.values import Preprocess, Recipe
from classicnets.workers import ordered_map

Batch = tuple[Tensor, Tensor]

_MEAN_BATCH = 500  # images per part when statistics of all training images are computed


def generator(*key: object) -> torch.Generator:
    """Return a CPU generator whose seed is a hash of the key."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def order(n: int, seed: int, epoch: int) -> Tensor:
    """Return the permutation of the `n` training images in an epoch (from 1), int64 [n]."""
    return torch.randperm(n, generator=generator("order", seed, epoch))


def split_sizes(n: int, validation: float, limit: int | None, validation_count: int = 0) -> tuple[int, int]:
    """Return the number of training and of validation images.

    Args:
        n: Images in the training split.
        validation: Fraction of them that the recipe holds out.
        limit: Maximum number of training images; None for all.
        validation_count: Images in the data set's own validation split, which replaces the fraction; 0 if none.
    """
    held_out_count = 0 if validation_count else round(n * validation)
    return min(n - held_out_count, limit or n), validation_count if validation_count and validation else held_out_count


def hold_out(
    split: Split,
    validation: float,
    limit: int | None,
    seed: int,
    validation_split: Split | None = None,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, Split | None]:
    """Return the sorted indices of the training images, and the validation split (None if `validation` is 0).

    The data set's own `validation_split` replaces the held-out fraction. `limit` keeps the first images in the seed's
    order that are not held out, so it does not change the validation split. `groups` are as in `split_indices`.
    """
    share = validation if validation_split is None else 0.0
    train, held_out = split_indices(split.labels, share, limit, seed, groups)
    if validation_split is not None and validation:
        return train, validation_split
    return train, split.subset(held_out) if len(held_out) else None


def split_indices(
    labels: np.ndarray, validation: float, limit: int | None, seed: int, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted indices of the training images and of the held-out images, for `labels` int64 [N].

    Holds out the fraction `validation` of each class, rounded down; the remainder is distributed by largest remainder.
    A class loses its last training image only if no other class can give one. Images with equal numbers in `groups`,
    int64 [N], are copies and stay on one side, so that somewhat fewer may be held out; None: there are no copies.
    """
    shuffled = order(len(labels), seed, 0).numpy()
    _train_count, held_out_count = split_sizes(len(labels), validation, limit)
    shuffled_labels = labels[shuffled]
    _, first, label, class_counts = np.unique(
        shuffled_labels, return_index=True, return_inverse=True, return_counts=True
    )
    quotas = np.floor(class_counts * validation).astype(np.int64)
    keeps_only_one = class_counts - quotas == 1
    by_remainder = np.lexsort((first, quotas - class_counts * validation, keeps_only_one))
    quotas[by_remainder[: held_out_count - quotas.sum()]] += 1
    by_class = np.argsort(label, kind="stable")
    rank = np.empty(len(labels), np.int64)  # of each image within its class
    rank[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(class_counts) - class_counts, class_counts)
    is_held_out = rank < quotas[label]
    if groups is not None and is_held_out.any():
        together = _hold_out_together(label, groups[shuffled], quotas)
        is_held_out = together if together.any() else is_held_out
    return np.sort(shuffled[~is_held_out][:limit]), np.sort(shuffled[is_held_out])


def _hold_out_together(labels: np.ndarray, groups: np.ndarray, quotas: np.ndarray) -> np.ndarray:
    """Mask of the images to hold out, at most `quotas` of each class, in their order; copies are on one side."""
    members: dict[int, list[int]] = {}
    for i, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(i)
    remaining, mask = quotas.copy(), np.zeros(len(labels), bool)
    for indices in members.values():
        counts = np.bincount(labels[indices], minlength=len(quotas))
        if (counts <= remaining).all():
            remaining -= counts
            mask[indices] = True
    return mask


class Batches:
    """Training batches of a split, prepared on the device.

    Moves all images to the device if they fit there. In main memory the images are copied only if held-out images join
    them, because they may be memory-mapped from the image cache. Images that are not in memory are decoded ahead, in
    other processes.

    Args:
        split: Images and labels.
        recipe: Batch size and augmentation.
        preprocess: Size, channels and normalization.
        seed: Determines order and augmentation.
        device: Where batches are made.
        indices: Images to train on; None for all.
        held_out: Validation images, which join after `recipe.join_after` epochs.
        smallest: Smallest number of images in a batch; a last batch with fewer joins the batch before it.
        threads: Threads that prepare batches ahead, or processes that decode images; the batches do not depend on it.
        share: Returns the rows of a batch, by its number of images, that this process reads; None for all.
    """

    def __init__(
        self,
        split: Split,
        recipe: Recipe,
        preprocess: Preprocess,
        *,
        seed: int,
        device: torch.device,
        indices: np.ndarray | None = None,
        held_out: Split | None = None,
        smallest: int = 1,
        threads: int = 0,
        share: Callable[[int], range] | None = None,
    ):
        self.recipe, self.preprocess, self.seed, self.device, self.threads = recipe, preprocess, seed, device, threads
        self.smallest, self.share = smallest, share or range
        images, labels = split.images, split.labels
        rows = np.arange(len(labels)) if indices is None else indices
        self.train_count = len(rows)
        if recipe.join_after and held_out is not None:
            rows = np.concatenate([rows, np.arange(len(labels), len(labels) + len(held_out))])
            images, labels = _joined(images, held_out.images), np.concatenate([labels, held_out.labels])
        self._images: Tensor | LazyImages = images if isinstance(images, LazyImages) else torch.from_numpy(images)
        if isinstance(self._images, Tensor) and machine.fits_on_device(device, self._images.nbytes):
            self._images = self._images.to(device)
        self._rows = torch.from_numpy(rows)
        self.labels = torch.from_numpy(labels[rows]).to(device)
        self.axes = (
            None
            if recipe.color_noise == "none"
            else transforms.color_axes(self.parts(), preprocess, recipe.color_noise)
        )

    def images(self, index: Tensor) -> Tensor:
        """Return the training images at `index` [B] as uint8 [B, C, H, W] on the device."""
        rows = self._rows[index]
        if isinstance(self._images, LazyImages):
            return torch.from_numpy(self._images[rows.numpy()]).to(self.device)
        return self._images[rows.to(self._images.device)].to(self.device)

    def parts(self) -> Iterator[Tensor]:
        """Yield the training images for statistics, except those that join later, 500 at a time."""
        index = np.arange(self.train_count)
        if isinstance(self._images, LazyImages):
            index = for_statistics(self._images, index)
        return map(self.images, torch.from_numpy(index).split(_MEAN_BATCH))

    def image_count(self, epoch: int) -> int:
        """Return the number of images in an epoch (from 1)."""
        return len(self.labels) if epoch > self.recipe.join_after else self.train_count

    def steps(self, epoch: int) -> int:
        """Return the number of steps in an epoch; the last batch may be smaller, or larger: see `joins`."""
        return math.ceil(self.image_count(epoch) / self.recipe.batch_size) - self.joins(epoch)

    def joins(self, epoch: int) -> bool:
        """Return whether the last images of the epoch, too few for a batch of their own, join the batch before them."""
        n, size = self.image_count(epoch), self.recipe.batch_size
        return n > size and 0 < n % size < self.smallest

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, starting at step `start`: images float32 [B, C, S, S] and labels int64 [B].

        With `share`, the images are those of these rows only, and the labels those of the whole batch.
        """
        n, size = self.image_count(epoch), self.recipe.batch_size
        permutation = order(n, self.seed, epoch)
        augment = self._augmentation(epoch, n)

        steps, joins = self.steps(epoch), self.joins(epoch)

        def index_of(step: int) -> Tensor:
            return permutation[step * size : n if joins and step == steps - 1 else (step + 1) * size]

        def part(index: Tensor) -> Tensor:
            rows = self.share(len(index))
            return index[rows.start : rows.stop]

        def make(step: int, pixels: np.ndarray | None = None) -> Batch:
            index = index_of(step)
            return augment(part(index), pixels), self.labels[index.to(self.device)]

        if isinstance(self._images, LazyImages):
            rows = [self._rows[part(index_of(step))].numpy() for step in range(start, steps)]
            return map(make, range(start, steps), self._images.batches(rows, self.threads))
        if not self.threads:
            return map(make, range(start, steps))
        return ordered_map(make, range(start, steps), threads=self.threads, ahead=self.threads)

    def _augmentation(self, epoch: int, n: int) -> Callable[[Tensor, np.ndarray | None], Tensor]:
        """A function from image indices [B] to network input; all random numbers of the epoch are drawn here.

        Its second argument are the images, uint8 [B, C, H, W], if they are decoded already.
        """
        recipe, preprocess = self.recipe, self.preprocess
        side, size = preprocess.side, preprocess.image_size
        room = preprocess.padded - size  # for the corner of a crop, in pixels

        def random(name: str) -> torch.Generator:
            return generator(name, self.seed, epoch)

        # One matrix product for all images: with another number of rows, a product may round a row differently.
        noise = None
        if self.axes is not None:
            noise = torch.randn(n, preprocess.channels, generator=random("colour")) * 0.1 @ self.axes.cpu()
        boxes = _random_boxes(n, recipe.crop_area, random("box")) if recipe.crop == "resized" else None
        corner = torch.randint(room + 1, (n, 2), generator=random("crop")) if recipe.crop == "random" else None
        flips = torch.rand(n, generator=random("flip")) < 0.5 if recipe.flip else None
        max_shift, hole_size = recipe.shift, recipe.erase
        shifts = torch.randint(-max_shift, max_shift + 1, (n, 2), generator=random("shift")) if max_shift else None
        holes = None
        if hole_size:
            holes = torch.randint(-(hole_size // 2), size - hole_size // 2, (n, 2), generator=random("erase"))

        # Images that need no scaling are cropped as bytes, a quarter of the traffic of float32, with the same result.
        as_bytes = self._images.shape[1:] == (preprocess.channels, side, side) and not preprocess.pad and boxes is None
        as_bytes = as_bytes and (corner is not None or flips is not None)
        byte_corners = torch.full((1, 2), (side - size) // 2).expand(n, 2) if corner is None else corner
        byte_flips = torch.zeros(n, dtype=torch.bool) if flips is None else flips
        only_normalize = noise is None and shifts is None and holes is None

        def augment(index: Tensor, pixels: np.ndarray | None) -> Tensor:
            source, rows = self._images, self._rows[index]
            if pixels is not None:
                source, rows = torch.from_numpy(pixels), torch.arange(len(pixels))
            assert isinstance(source, Tensor)

            def rows_of(values: Tensor) -> Tensor:
                return values[index].to(self.device)

            if as_bytes:
                cropped = transforms.crop_and_flip(source, rows, byte_corners[index], byte_flips[index], size)
                cropped = cropped.to(self.device)
                if only_normalize:
                    return transforms.to_normalized(cropped, preprocess)
                x = transforms.to_float(cropped)
            else:
                x = transforms.scale(source[rows.to(source.device)].to(self.device), preprocess)
            if noise is not None:
                x = x + rows_of(noise)[:, :, None, None]
            if boxes is not None:
                x = transforms.resized_crop(x, rows_of(boxes), size)
            elif not as_bytes and corner is not None:
                x = transforms.crop(x, rows_of(corner), size)
            elif not as_bytes:
                x = transforms.center_crop(x, size)
            if not as_bytes and flips is not None:
                x = transforms.flip(x, rows_of(flips))
            if shifts is not None:
                x = transforms.shift(x, rows_of(shifts))
            x = transforms.normalize(x, preprocess)
            if recipe.color_noise == "code":
                x = x / 1.1  # brings noisy images to the scale of test images (cuda-convnet, convdata.py)
            return x if holes is None else transforms.erase(x, rows_of(holes), hole_size)

        return augment


def _joined(images: Images, others: Images) -> Images:
    """Images, followed by others of the same kind."""
    if isinstance(images, LazyImages) and isinstance(others, LazyImages):
        return images.joined(others)
    return np.concatenate([images[:], others[:]])


def _random_boxes(n: int, smallest: float, random: torch.Generator) -> Tensor:
    """Boxes [n, 4] for `transforms.resized_crop`: `smallest` to 1 of the area, and aspect ratios of 3:4 to 4:3.

    As torchvision's RandomResizedCrop, except for boxes larger than the image: these are cut to its size, whereas
    torchvision draws again.
    """
    area, ratio, row, column = torch.rand(4, n, generator=random)
    area = smallest + (1 - smallest) * area
    ratio = torch.exp((2 * ratio - 1) * math.log(4 / 3))
    height, width = (area / ratio).sqrt().clamp(max=1), (area * ratio).sqrt().clamp(max=1)
    return torch.stack([height / 2 + row * (1 - height), width / 2 + column * (1 - width), height, width], dim=1)
