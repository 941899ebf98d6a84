"""A net with its preprocessing and classes: images in, probabilities out."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from classicnets.acceleration.prepare import PLAIN, Acceleration, prepared
from classicnets.acceleration.threads import ComputeThreads
from classicnets.images import transforms
from classicnets.values import Preprocess

BATCH = 250  # images of 28x28: the first feature maps of many more would leave the cache
_LEAST = 64  # however large they are: weights are read, and for bfloat16 converted, once for each batch
_FEW = 16  # images; preparing the net for fewer takes longer than it saves


class Predictor:
    """Classifies images with `net`, which is put into evaluation mode while it works.

    It computes in float32, or with `precision` "bfloat16" in that. `acceleration` says how the net is made faster
    meanwhile, and how many threads take a batch each.
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

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, C, H, W] to float32 [N, classes]; the mean over the views of each image."""
        was_training = self.net.training
        if any(layer.training for layer in self.net.modules()):
            self.net.eval()
        batches = torch.from_numpy(images).split(self._size())
        threads = ComputeThreads(min(self.acceleration.batch_threads, len(batches)))
        try:
            with prepared(self.net, self.acceleration) if len(images) >= _FEW else nullcontext(), threads:
                parts = threads.map(self._batch, batches)
        finally:
            if was_training:
                self.net.train()
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).cpu().numpy()

    def _size(self) -> int:
        """Images in a batch: fewer when they are large, so that the first layers' outputs stay in memory."""
        return max(_LEAST, BATCH * 28 * 28 // self.preprocess.side**2)

    def _batch(self, images: Tensor) -> Tensor:
        low = torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bfloat16" else nullcontext()
        with torch.inference_mode(), low:
            views = transforms.views(images.to(self.device), self.preprocess)
            probabilities = [self.net(x).float().softmax(dim=1) for x in views]
            return torch.stack(probabilities).mean(dim=0) if len(views) > 1 else probabilities[0]
