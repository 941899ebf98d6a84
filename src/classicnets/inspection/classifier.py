"""Checks what must hold of a network that is trained, evaluated and exported as a classifier, before data is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from classicnets.errors import ClassicnetsError
from classicnets.inspection import backward, classifier_errors
from classicnets.inspection.remarks import Remark, gradient_remarks, mode_remarks, output_remarks
from classicnets.inspection.saved_state import check_saved
from classicnets.inspection.unregistered import unregistered
from classicnets.text import _

IMAGES = 5  # that the check needs: batches of 1, 2 and 5
# Relative to the largest logit. Another number of images selects other kernels, which sum in another order: that moves
# the logits of the networks of the registry by 2.3e-7 at most, and standardizing the batch those of the book's LeNet by
# 9e-4 (two threads, AVX-512).
_BATCH_TOLERANCE = 1e-5
_TWICE_TOLERANCE = 1e-6  # the same call: the same kernels


@dataclass(frozen=True)
class Check:
    """The result: remarks, and whether a batch of one image cannot be trained on."""

    remarks: tuple[Remark, ...] = ()
    needs_two_images: bool = False


def check_registration(net: nn.Module, *, name: str) -> None:
    """Check that all weights are registered.

    Raises:
        UsageError: CN209.
    """
    if found := unregistered(net):
        raise classifier_errors.unregistered_layers(found, name)
    if not [*net.parameters()]:
        raise classifier_errors.no_parameters(net, name)


def check_dtype(net: nn.Module, *, name: str) -> None:
    """Check that all weights are in float32. Raises UsageError CN209."""
    for path, parameter in net.named_parameters():
        if parameter.dtype != torch.float32:
            raise classifier_errors.wrong_dtype(parameter, path, name)


def check_output(net: nn.Module, images: Tensor, classes: int, *, name: str) -> None:
    """Check that forward() returns one tensor of logits [N, ...] in both modes.

    Args:
        net: the network; a copy, since its running statistics change.
        images: five preprocessed images [5, C, H, W], which should differ in brightness.
        classes: the number of classes.
        name: how errors name the network.

    Raises:
        UsageError: CN209 if it returns something else, or fails.
    """
    for training in (False, True):
        net.train(training)
        with _isolated():
            output = _call(net, images[:2], name)
        if not isinstance(output, Tensor):
            raise classifier_errors.not_a_tensor(output, classes, name)
        if not output.is_floating_point() or output.dim() == 0:
            raise classifier_errors.no_logits(output, name)


def check_classifier(
    net: nn.Module, rebuilt: nn.Module, images: Tensor, *, name: str, cross_entropy: bool = True
) -> Check:
    """Check a network whose output has the right form: see `check_output`.

    In evaluation mode its logits must be finite, the same in every call, independent of the other images and of their
    number. A saved copy must give the same logits. Some parameter must get a gradient.

    Args:
        net: the network, with its initial weights; a copy, since its running statistics change.
        rebuilt: another build of the network.
        images: five preprocessed images [5, C, H, W], which should differ in brightness.
        name: how errors name the network.
        cross_entropy: whether the loss is cross-entropy, which applies softmax to the logits.

    Raises:
        UsageError: CN209 if the network does not fulfil this; CN210 if its state dict is not complete.
    """
    with _isolated():
        _check_switch(net, name)
        logits = _check_evaluation(net, images, name)
        remarks = [*output_remarks(net, logits, cross_entropy=cross_entropy)]
        _check_training(net, images[:2], name)
        remarks += [*gradient_remarks(net), *mode_remarks(net, images[:2])]
        try:
            rebuilt.load_state_dict(net.state_dict())
        except RuntimeError as error:
            raise classifier_errors.wrong_state_dict(error, name) from error
        check_saved(net, rebuilt, images[:2], name=name)
        needs_two = not _trains_on_one(net, images)  # last, since it may spoil running statistics
    return Check(tuple(remarks), needs_two)


def normalizes_over_batch(net: nn.Module) -> bool:
    """Whether a layer of `net` is batch normalization, which cannot be trained on a batch of one image."""
    return any(isinstance(module, _BatchNorm) for module in net.modules())


def _check_switch(net: nn.Module, name: str) -> None:
    net.eval()
    if stuck := [path or _("the network") for path, module in net.named_modules() if module.training]:
        raise classifier_errors.stuck_in_training(stuck, name)


def _check_evaluation(net: nn.Module, images: Tensor, name: str) -> Tensor:
    """The logits of two images in evaluation mode, which require a gradient if a parameter does."""
    net.eval()
    differentiable: Tensor = _call(net, images[:2], name)
    with torch.no_grad():  # as networks are evaluated; layers of users may ask torch.is_grad_enabled() for their mode
        logits, again, single, five = (_call(net, images[:n], name) for n in (2, 2, 1, IMAGES))
    largest = float(logits.abs().max())
    if not logits.isfinite().all():
        raise classifier_errors.not_finite(net, images[:2], name)
    if not _close(again, logits, _TWICE_TOLERANCE * largest):
        raise classifier_errors.random_answers(net, images[:2], name)
    for n, output in ((1, single), (IMAGES, five)):
        if output.shape != (n, *logits.shape[1:]):
            raise classifier_errors.wrong_batch(net, images[:n], output, name)
    largest = max(largest, float(five.abs().max()))
    if not (
        _close(single, logits[:1], _BATCH_TOLERANCE * largest) and _close(five[:2], logits, _BATCH_TOLERANCE * largest)
    ):
        raise classifier_errors.mixed_images(net, differentiable, name)
    return differentiable


def _check_training(net: nn.Module, images: Tensor, name: str) -> None:
    """Compute the gradients of one training step."""
    net.train()
    net.zero_grad()
    logits = _call(net, images, name)
    if any(p.requires_grad for p in net.parameters()) and logits.requires_grad:
        known = {id(p) for p in net.parameters()}
        if others := [leaf for leaf in backward.leaves(logits) if id(leaf) not in known]:
            raise classifier_errors.trained_outside(net, others, name)
        F.cross_entropy(logits.flatten(1).float(), torch.arange(len(logits)) % logits[0].numel()).backward()
    if not any(p.grad is not None for p in net.parameters()):
        raise classifier_errors.no_gradient(net, name)


def _trains_on_one(net: nn.Module, images: Tensor) -> bool:
    if normalizes_over_batch(net):
        return False
    net.train()
    try:
        with torch.no_grad():
            return bool(net(images[:1].clone()).isfinite().all())
    except Exception:
        return False


def _call(net: nn.Module, x: Tensor, name: str) -> Any:
    """The output of forward() for a batch, which must not fail."""
    try:
        return net(x.clone())
    except ClassicnetsError:
        raise
    except Exception as error:
        raise classifier_errors.call_failed(net, x, name, error) from error


@contextmanager
def _isolated() -> Iterator[None]:
    """Gradients on, and torch's generator restored at the end."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        yield


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return float((a.detach() - b.detach()).abs().max()) <= tolerance
