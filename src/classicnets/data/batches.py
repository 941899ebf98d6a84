"""(split, seed, epoch, step) -> batch. Order and augmentation are pure functions, so that resuming needs no state."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from classicnets.data.datasets import Split
from classicnets.data.transforms import augment, prepare
from classicnets.values import Preprocess, Recipe


def generator(*key: object) -> torch.Generator:
    """A CPU generator that depends on the key alone."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def order(n: int, seed: int, epoch: int) -> Tensor:
    """In which order epoch `epoch` (from 1) takes the `n` pictures: int64 [n]."""
    return torch.randperm(n, generator=generator("order", seed, epoch))


def divide(split: Split, validation: float, limit: int | None, seed: int) -> tuple[Split, Split | None]:
    """The pictures to train on and the share `validation` that is kept aside (None if 0), chosen by the seed.

    `limit` takes the first so many of the seed's order that are not kept aside; the part kept aside stays the same.
    """
    chosen = order(len(split), seed, 0).numpy()
    aside = round(len(split) * validation)
    kept, train = chosen[:aside], chosen[aside:][:limit]
    return _part(split, train), _part(split, kept) if aside else None


def _part(split: Split, index: np.ndarray) -> Split:
    if len(index) == len(split):
        return split  # all of them: spare the copy, the order of an epoch is drawn anyway
    index = np.sort(index)
    return Split(split.images[index], split.labels[index])


class Batches:
    """The training batches of a split, prepared on the device."""

    def __init__(self, split: Split, recipe: Recipe, preprocess: Preprocess, *, seed: int, device: torch.device):
        self.recipe, self.preprocess, self.seed, self.device = recipe, preprocess, seed, device
        self.images = torch.from_numpy(split.images).to(device)
        self.labels = torch.from_numpy(split.labels).to(device)
        # what a black pixel becomes: pictures that are moved show it at the border
        self.fill = -preprocess.mean[0] / preprocess.std[0]

    def __len__(self) -> int:
        """Steps in an epoch; the last batch may be smaller."""
        return math.ceil(len(self.labels) / self.recipe.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Pictures [B, C, S, S] float32 and labels [B] int64 of the epoch, from step `start` on."""
        n, size = len(self.labels), self.recipe.batch_size
        taken = order(n, self.seed, epoch).to(self.device)
        mirrored, moved = self._augmentation(epoch, n)
        for step in range(start, len(self)):
            index = taken[step * size : (step + 1) * size]
            x = prepare(self.images[index], self.preprocess)
            x = augment(
                x,
                None if mirrored is None else mirrored[index],
                None if moved is None else moved[index],
                self.fill,
            )
            yield x, self.labels[index]

    def _augmentation(self, epoch: int, n: int) -> tuple[Tensor | None, Tensor | None]:
        """For every picture: whether it is mirrored [n] and how far it is moved [n, 2] in this epoch."""
        flip, shift = self.recipe.flip, self.recipe.shift
        mirrored = torch.rand(n, generator=generator("flip", self.seed, epoch)) < 0.5 if flip else None
        moved = (
            torch.randint(-shift, shift + 1, (n, 2), generator=generator("shift", self.seed, epoch)) if shift else None
        )
        return (
            None if mirrored is None else mirrored.to(self.device),
            None if moved is None else moved.to(self.device),
        )
