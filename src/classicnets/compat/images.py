"""Fashion-MNIST in memory, and batches of it like those of the book's data loader."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset

from classicnets.datasets.catalog import DATASETS
from classicnets.errors import UsageError
from classicnets.images import loading
from classicnets.images.transforms import prepare
from classicnets.text import _
from classicnets.values import Preprocess

CLASSES = DATASETS["fashion_mnist"].classes


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """uint8 images [N, 1, H, W] and labels int64 [N] in memory.

    An item is (float32 image [1, size, size] in 0..1, label as int), as in torchvision's data sets.
    """

    classes = CLASSES

    def __init__(self, images: Tensor, labels: Tensor, size: int):
        self.images, self.labels = images, labels
        self.preprocess = Preprocess(channels=1, image_size=size)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return prepare(self.images[index][None], self.preprocess)[0], int(self.labels[index])

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return images [B, 1, size, size], resized together, and labels [B]."""
        return prepare(self.images[index], self.preprocess), self.labels[index]

    def to(self, device: torch.device) -> ImageDataset:
        """Return the same images on `device`."""
        return ImageDataset(self.images.to(device), self.labels.to(device), self.preprocess.image_size)


class ImageBatches:
    """(X, y) batches of an `ImageDataset`, on its device; the last batch may be smaller.

    With `shuffle`, each epoch has a new order from torch's global generator, so that `torch.manual_seed` determines it;
    the order is the same on all devices.
    """

    def __init__(self, dataset: ImageDataset, batch_size: int, shuffle: bool):
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(self.dataset)
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        for index in order.to(self.dataset.labels.device).split(self.batch_size):
            yield self.dataset.batch(index)

    def to(self, device: torch.device) -> ImageBatches:
        """Return the same batches, preprocessed on `device`."""
        return ImageBatches(self.dataset.to(device), self.batch_size, self.shuffle)


def fashion_mnist(resize: int | tuple[int, int] | None) -> tuple[ImageDataset, ImageDataset]:
    """Return the verified training and test images at `resize` pixels (None: 28).

    Raises:
        UsageError: CN204, the size is not square.
        DataError, MachineError: As in `loading.load`.
    """
    size = (28, 28) if resize is None else (resize, resize) if isinstance(resize, int) else tuple(resize)
    if len(size) != 2 or size[0] != size[1] or size[0] < 1:
        raise UsageError(
            "CN204",
            _("images can only be resized to squares"),
            where=f"resize={resize!r}",
            hint=f"resize={max(*size, 1)}",
        )
    splits = loading.load("fashion_mnist")
    train, test = (
        ImageDataset(torch.from_numpy(split.images), torch.from_numpy(split.labels), size[0])
        for split in (splits.train, splits.test)
    )
    return train, test
