"""A torch network with its preprocessing and classes: turns images into probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from classicnets.acceleration.prepare import PLAIN, Acceleration, prepared
from classicnets.acceleration.threads import ComputeThreads
from classicnets.datasets.types import Images, LazyImages
from classicnets.images import transforms
from classicnets.models.modules import in_dtype_of
from classicnets.values import Preprocess

BATCH = 250  # images of 28x28; with larger batches, the first feature maps no longer fit into the CPU cache
_MIN_BATCH = 64  # for large images: weights are read, and for bfloat16 converted, once for each batch
_MIN_ACCELERATED = 16  # images; for fewer, preparing the network takes longer than it saves


class Predictor:
    """Classifier of images with `net`, in evaluation mode; the mode is restored afterwards.

    Args:
        net: Takes float [N, C, H, W] and returns logits [N, classes].
        preprocess: How uint8 images become the input of `net`.
        classes: Class names, in the order of the outputs.
        device: Where `net` is.
        precision: "bfloat16" for autocast; otherwise that of the network's weights.
        acceleration: Optimizations of `net` for the time of a call, and the number of batches in parallel.
    """

    def __init__(
        self,
        net: nn.Module,
        preprocess: Preprocess,
        classes: tuple[str, ...],
        device: torch.device,
        precision: str = "float32",
        acceleration: Acceleration = PLAIN,
    ):
        self.net, self.preprocess, self.classes, self.device = net, preprocess, classes, device
        self.precision, self.acceleration = precision, acceleration

    def probabilities(self, images: Images) -> np.ndarray:
        """Classify uint8 [N, C, H, W]; return float32 [N, classes], averaged over the views of each image.

        Images that are not in memory are decoded ahead of the batch in progress.

        Results are bit for bit the same for the same numbers of threads; other numbers may change the last digits.
        """
        was_training = self.net.training
        if any(layer.training for layer in self.net.modules()):
            self.net.eval()
        count, batches = self._batches(images)
        threads = ComputeThreads(min(self.acceleration.batch_threads, count))
        try:
            with prepared(self.net, self.acceleration) if len(images) >= _MIN_ACCELERATED else nullcontext(), threads:
                parts = []
                # images that are decoded ahead would otherwise wait in memory
                at_once = 2 * threads.count if isinstance(images, LazyImages) else count
                while group := [*islice(batches, at_once)]:
                    parts += threads.map(self._batch, group)
        finally:
            if was_training:
                self.net.train()
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).cpu().numpy()

    def _batches(self, images: Images) -> tuple[int, Iterator[Tensor]]:
        """The number of batches, and the batches; at least one, which may be empty."""
        size = batch_size(self.preprocess)
        if not isinstance(images, LazyImages) or not len(images):
            batches = torch.from_numpy(images[:]).split(size)
            return len(batches), iter(batches)
        rows = np.split(np.arange(len(images)), range(size, len(images), size))
        return len(rows), map(torch.from_numpy, images.batches(rows))

    def _batch(self, images: Tensor) -> Tensor:
        autocast = torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bfloat16" else nullcontext()
        with torch.inference_mode(), autocast:
            views = [in_dtype_of(self.net, view) for view in transforms.views(images.to(self.device), self.preprocess)]
            probabilities = [self.net(view).float().softmax(dim=1) for view in views]
            return torch.stack(probabilities).mean(dim=0) if len(probabilities) > 1 else probabilities[0]


def batch_size(preprocess: Preprocess) -> int:
    """Return the number of images in a batch: smaller for large images, to limit the memory of the first layers."""
    return max(_MIN_BATCH, BATCH * 28 * 28 // preprocess.side**2)
