"""(split, seed, epoch, step) -> batch. Order and augmentation are pure functions, so that resuming needs no state."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from classicnets import machine
from classicnets.datasets.types import Split
from classicnets.images import transforms
from classicnets.values import Preprocess, Recipe
from classicnets.workers import ordered_map

Batch = tuple[Tensor, Tensor]


def generator(*key: object) -> torch.Generator:
    """A CPU generator that depends on the key alone."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def order(n: int, seed: int, epoch: int) -> Tensor:
    """In which order epoch `epoch` (from 1) takes the `n` images: int64 [n]."""
    return torch.randperm(n, generator=generator("order", seed, epoch))


def shares(n: int, validation: float, limit: int | None, own: int = 0) -> tuple[int, int]:
    """How many of `n` images are trained on, and how many kept aside: of them, or the data set's `own` ones."""
    aside = 0 if own else round(n * validation)
    return min(n - aside, limit or n), own if own and validation else aside


def divide(
    split: Split, validation: float, limit: int | None, seed: int, own: Split | None = None
) -> tuple[np.ndarray, Split | None]:
    """The rising indices of the images to train on, and the share `validation` that is kept aside (None if 0).

    Chosen by the seed. The data set's `own` validation split stands in for that share, if there is one. `limit` takes
    the first so many of the seed's order that are not kept aside; the part kept aside stays the same.
    """
    train, aside = division(split.labels, validation if own is None else 0.0, limit, seed)
    kept = Split(split.images[aside], split.labels[aside]) if len(aside) else None
    return train, own if own is not None and validation else kept


def division(labels: np.ndarray, validation: float, limit: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which images are trained on and which are kept aside: rising indices, for `labels` int64 [N].

    Of each class the share `validation` is kept aside, but for a part of an image; those parts are made up to the
    share of all by the classes that miss the most, and a class loses its last image only if no other can give one.
    """
    chosen = order(len(labels), seed, 0).numpy()
    alone, aside = shares(len(labels), validation, limit)
    ordered = labels[chosen]
    _, first, label, counts = np.unique(ordered, return_index=True, return_inverse=True, return_counts=True)
    given = np.floor(counts * validation).astype(np.int64)
    last = counts - given == 1
    willing = np.lexsort((first, given - counts * validation, last))
    given[willing[: aside - given.sum()]] += 1
    by_class = np.argsort(label, kind="stable")
    place = np.empty(len(labels), np.int64)  # of each image among those of its class
    place[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = place < given[label]
    return np.sort(chosen[~kept][:alone]), np.sort(chosen[kept])


class Batches:
    """The training batches of a split, prepared on the device: of the images `taken` (indices), or of all.

    The images kept `aside` come in after the recipe's `join_after` epochs. `threads` prepare batches ahead; they
    change nothing in them. The images are moved to the device if they fit there. Within the machine's memory
    they are copied only where others join them, as they may be a file that is mapped into it.
    """

    def __init__(
        self,
        split: Split,
        recipe: Recipe,
        preprocess: Preprocess,
        *,
        seed: int,
        device: torch.device,
        taken: np.ndarray | None = None,
        aside: Split | None = None,
        threads: int = 0,
    ):
        self.recipe, self.preprocess, self.seed, self.device, self.threads = recipe, preprocess, seed, device, threads
        images, labels = split.images, split.labels
        places = np.arange(len(labels)) if taken is None else taken
        self.alone = len(places)
        if recipe.join_after and aside is not None:
            places = np.concatenate([places, np.arange(len(labels), len(labels) + len(aside))])
            images, labels = np.concatenate([images, aside.images]), np.concatenate([labels, aside.labels])
        self._images = torch.from_numpy(images)
        if machine.fits_on_device(device, images.nbytes):
            self._images = self._images.to(device)
        self._places = torch.from_numpy(places)
        self.labels = torch.from_numpy(labels[places]).to(device)
        self.axes = (
            None
            if recipe.color_noise == "none"
            else transforms.color_axes(self.parts(), preprocess, recipe.color_noise)
        )

    def images(self, index: Tensor) -> Tensor:
        """The images with these numbers among those that are trained on, uint8 [B, C, H, W], on the device."""
        return self._images[self._places[index].to(self._images.device)].to(self.device)

    def parts(self) -> Iterator[Tensor]:
        """All images but those that join later, some hundreds at a time."""
        return map(self.images, torch.arange(self.alone).split(500))

    def image_count(self, epoch: int) -> int:
        """How many images epoch `epoch` (from 1) has."""
        return len(self.labels) if epoch > self.recipe.join_after else self.alone

    def steps(self, epoch: int) -> int:
        """Steps in epoch `epoch`; the last batch may be smaller."""
        return math.ceil(self.image_count(epoch) / self.recipe.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Images [B, C, S, S] float32 and labels [B] int64 of the epoch, from step `start` on."""
        n, size = self.image_count(epoch), self.recipe.batch_size
        taken = order(n, self.seed, epoch)
        augment = self._augmentation(epoch, n)

        def make(step: int) -> Batch:
            index = taken[step * size : (step + 1) * size]
            return augment(index), self.labels[index.to(self.device)]

        steps = range(start, self.steps(epoch))
        if not self.threads:
            return map(make, steps)
        return ordered_map(make, steps, threads=self.threads, ahead=self.threads)

    def _augmentation(self, epoch: int, n: int) -> Callable[[Tensor], Tensor]:
        """What makes of the indices of images what the net is given; all chance is drawn here."""
        recipe, preprocess = self.recipe, self.preprocess
        side, size = preprocess.side, preprocess.image_size

        def drawn(name: str) -> torch.Generator:
            return generator(name, self.seed, epoch)

        # One product for all images: a matrix product of another number of rows may round a row differently.
        noise = None
        if self.axes is not None:
            noise = torch.randn(n, preprocess.channels, generator=drawn("colour")) * 0.1 @ self.axes.cpu()
        boxes = _boxes(n, drawn("box")) if recipe.crop == "resized" else None
        corner = torch.randint(side - size + 1, (n, 2), generator=drawn("crop")) if recipe.crop == "random" else None
        mirrored = torch.rand(n, generator=drawn("flip")) < 0.5 if recipe.flip else None
        shift, erased = recipe.shift, recipe.erase
        moved = torch.randint(-shift, shift + 1, (n, 2), generator=drawn("shift")) if shift else None
        blank = torch.randint(-(erased // 2), size - erased // 2, (n, 2), generator=drawn("erase")) if erased else None

        # Images that need no scaling are cut out as bytes, a quarter of what they are as numbers; the outcome is one.
        as_bytes = self._images.shape[1:] == (preprocess.channels, side, side) and not preprocess.pad and boxes is None
        as_bytes = as_bytes and (corner is not None or mirrored is not None)
        middle = torch.full((1, 2), (side - size) // 2).expand(n, 2)
        corners = middle if corner is None else corner
        flips = torch.zeros(n, dtype=torch.bool) if mirrored is None else mirrored
        plain = noise is None and moved is None and blank is None

        def augment(index: Tensor) -> Tensor:
            def of(values: Tensor) -> Tensor:
                return values[index].to(self.device)

            if as_bytes:
                places = self._places[index]
                seen = transforms.cut(self._images, places, corners[index], flips[index], size).to(self.device)
                if plain:
                    return transforms.normalized(seen, preprocess)
                x = transforms.unit(seen)
            else:
                x = transforms.scale(self.images(index), preprocess)
            if noise is not None:
                x = x + of(noise)[:, :, None, None]
            if boxes is not None:
                x = transforms.part(x, of(boxes), size)
            elif not as_bytes and corner is not None:
                x = transforms.window(x, of(corner), size)
            elif not as_bytes:
                x = transforms.middle(x, size)
            if not as_bytes and mirrored is not None:
                x = transforms.mirror(x, of(mirrored))
            if moved is not None:
                x = transforms.move(x, of(moved))
            x = transforms.normalize(x, preprocess)
            if recipe.color_noise == "code":
                x = x / 1.1  # so that noisy images are as large as those of the test (cuda-convnet, convdata.py)
            return x if blank is None else transforms.erase(x, of(blank), erased)

        return augment


def _boxes(n: int, chance: torch.Generator) -> Tensor:
    """Parts of 8 % to all of the area with sides of 3:4 to 4:3, at any place: [n, 4], as `transforms.part` takes them.

    As torchvision's RandomResizedCrop draws them, but for those that would be larger than the image: these are cut
    down to it, where torchvision draws again.
    """
    area, ratio, row, column = torch.rand(4, n, generator=chance)
    area = 0.08 + 0.92 * area
    ratio = torch.exp((2 * ratio - 1) * math.log(4 / 3))
    height, width = (area / ratio).sqrt().clamp(max=1), (area * ratio).sqrt().clamp(max=1)
    return torch.stack([height / 2 + row * (1 - height), width / 2 + column * (1 - width), height, width], dim=1)
