"""Remarks on a network and its first batch: nothing here prevents a training, but all of it limits the result."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.compat.batches import Batch, is_sorted_by_class
from classicnets.errors import UsageError
from classicnets.inspection.classifier import IMAGES, check_classifier, check_output
from classicnets.inspection.remarks import Remark
from classicnets.models.modules import complete, copy_module
from classicnets.text import _

_LARGE_PIXEL = 10.0  # bytes that were not divided by 255; standardized images stay within 3


def network_remarks(net: nn.Module, images: Tensor, classes: int) -> list[Remark]:
    """Check a network as `classicnets train` does. What a loop of the book can be run with is only a remark.

    Args:
        net: The network, which is copied.
        images: Some training images; of fewer than five, the check uses noise of the same shape.
        classes: The number of its outputs.

    Raises:
        UsageError: CN209, it cannot be trained.
    """
    with torch.random.fork_rng(devices=[]):
        images = images[:IMAGES].cpu()
        if len(images) < IMAGES:
            images = torch.rand(IMAGES, *images.shape[1:], dtype=images.dtype)
        try:
            copies = [copy_module(net, "cpu") for _copy in range(2)]
        except Exception:  # a module with parts that cannot be copied; its training will show whether it works
            return []
        subject, again = (complete(each, images.shape[1:]) for each in copies)
        check_output(subject, images, classes, name=_("the network"))
        try:
            return [*check_classifier(subject, again, images, name=_("the network")).remarks]
        except UsageError as error:
            if not _trains(subject, images):
                raise
            return [Remark(error.code, error.what, error.hints[0] if error.hints else "")]


def batch_remarks(batch: Batch, name: str, *, one_class: bool) -> list[Remark]:
    """Return remarks on images that were not divided by 255, and on batches that are not shuffled.

    Args:
        batch: The first training batch.
        name: The name of the batches in the code of the user.
        one_class: Whether all training images are of one class.
    """
    remarks = list[Remark]()
    low, high = float(batch.images.min()), float(batch.images.max())
    if low >= 0 and high > _LARGE_PIXEL:
        message = _(
            "the values of the images are from {low:.3g} to {high:.3g}; most networks expect 0..1", low=low, high=high
        )
        remarks.append(Remark("pictures_out_of_range", message, "X = X / 255"))
    if is_sorted_by_class(batch) and not one_class:
        message = _("the labels of {place} are sorted: {name} is not shuffled", place=batch.place, name=name)
        remarks.append(Remark("not_shuffled", message, "DataLoader(dataset, batch_size=256, shuffle=True)"))
    return remarks


def _trains(net: nn.Module, images: Tensor) -> bool:
    """Whether a training step of `net` works."""
    try:
        net.train()
        net.zero_grad()
        F.cross_entropy(net(images.clone()), torch.zeros(len(images), dtype=torch.int64)).backward()
    except Exception:
        return False
    return any(p.grad is not None for p in net.parameters())
