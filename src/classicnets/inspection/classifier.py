"""Checks what must hold of a network that is trained, evaluated and exported as a classifier, before data is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from classicnets.errors import ClassicnetsError, UsageError
from classicnets.inspection import backward
from classicnets.inspection.meta import one_line
from classicnets.inspection.remarks import Remark, gradient_remarks, mode_remarks, name_list, output_remarks
from classicnets.inspection.saved_state import check_saved
from classicnets.inspection.source_lines import find_line, line_of
from classicnets.inspection.unregistered import name_of, unregistered
from classicnets.text import _, command, plural, shape

IMAGES = 5  # that the check needs: batches of 1, 2 and 5
# Relative to the largest logit. Another number of images selects other kernels, which sum in another order: 1e-5 in the
# deepest networks here. Normalization over the batch changes logits by 1e-3 and more.
_BATCH_TOLERANCE = 1e-4
_TWICE_TOLERANCE = 1e-6  # the same call: the same kernels
_RANDOM = ("bernoulli", "native_dropout", "rand", "normal", "uniform", "poisson", "multinomial", "exponential")


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
    found = unregistered(net)
    if found:
        raise UsageError(
            "CN209",
            plural(
                "{name} has layers that torch does not know of, in {n} attribute",
                "{name} has layers that torch does not know of, in {n} attributes",
                len(found),
                name=name,
            ),
            where=name_list([place.path for place in found]),
            why=_(
                "they are neither trained nor saved, because parameters() does not list what is in a plain list, dict"
                " or tensor"
            ),
            hint=tuple(place.cure for place in found[:4]),
        )
    if not any(True for _parameter in net.parameters()):
        raise UsageError(
            "CN209",
            _("{name} has no parameters, so there is nothing to train", name=name),
            where=_("the class is {kind}", kind=type(net).__name__),
            why=_("no layer is registered as an attribute of the module"),
            hint=_("self.layers = nn.ModuleList(layers) registers a list of layers"),
        )


def check_dtype(net: nn.Module, *, name: str) -> None:
    """Check that all weights are in float32. Raises UsageError CN209."""
    for key, parameter in net.named_parameters():
        if parameter.dtype != torch.float32:
            raise UsageError(
                "CN209",
                _("the weights of {name} are {dtype}; they must be float32", name=name, dtype=_dtype(parameter)),
                where=key,
                why=_("images are float32; --precision bfloat16 computes in half precision with float32 weights"),
                hint=(_("net = net.float(), or leave out .double(), .half() and .bfloat16()"), "--precision float64"),
            )


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
            raise _not_a_tensor(output, classes, name)
        if not output.is_floating_point() or output.dim() == 0:
            raise UsageError(
                "CN209",
                _(
                    "forward() of {name} returns {dtype} numbers of shape {shape}",
                    name=name,
                    dtype=_dtype(output),
                    shape=shape(output.shape) or "()",
                ),
                why=_("the output must be one floating-point number (logit) per class for each image"),
                hint=_("return the logits: leave out argmax() and mean() at the end of forward()"),
            )


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
            raise UsageError(
                "CN210",
                _("{name} does not load its own state dict", name=name),
                why=one_line(error),
                hint=_("layers must not be added or removed by forward(); leave state_dict() as it is"),
            ) from error
        check_saved(net, rebuilt, images[:2], name=name)
        needs_two = not _trains_on_one(net, images)  # last, since it may spoil running statistics
    return Check(tuple(remarks), needs_two)


def normalizes_over_batch(net: nn.Module) -> bool:
    """Whether a layer of `net` is batch normalization, which cannot be trained on a batch of one image."""
    return any(isinstance(module, _BatchNorm) for module in net.modules())


def _check_switch(net: nn.Module, name: str) -> None:
    net.eval()
    if stuck := [path or _("the network") for path, module in net.named_modules() if module.training]:
        raise UsageError(
            "CN209",
            _("eval() leaves layers of {name} in training mode", name=name),
            where=name_list(stuck),
            why=_("dropout stays on, and predictions differ from call to call"),
            hint=_("in your train(): call super().train(mode), and return self"),
        )


def _check_evaluation(net: nn.Module, images: Tensor, name: str) -> Tensor:
    """The logits of two images in evaluation mode, which require a gradient if a parameter does."""
    net.eval()
    logits: Tensor = _call(net, images[:2], name)
    largest = float(logits.detach().abs().max())
    if not logits.isfinite().all():
        raise _not_finite(net, images[:2], name)
    with torch.no_grad():
        again, single, five = (_call(net, images[:n], name) for n in (2, 1, IMAGES))
    if not _close(again, logits, _TWICE_TOLERANCE * largest):
        raise _random(net, images[:2], name)
    for n, output in ((1, single), (IMAGES, five)):
        if output.shape != (n, *logits.shape[1:]):
            raise _wrong_batch(net, images, n, output, name)
    largest = max(largest, float(five.abs().max()))
    if not (
        _close(single, logits[:1], _BATCH_TOLERANCE * largest) and _close(five[:2], logits, _BATCH_TOLERANCE * largest)
    ):
        raise _mixes_images(net, logits, name)
    return logits


def _check_training(net: nn.Module, images: Tensor, name: str) -> None:
    """Compute the gradients of one training step."""
    net.train()
    net.zero_grad()
    logits = _call(net, images, name)
    if any(p.requires_grad for p in net.parameters()) and logits.requires_grad:
        known = {id(p) for p in net.parameters()}
        others = [leaf for leaf in backward.leaves(logits) if id(leaf) not in known]
        if others:
            names = [name_of(net, leaf) or _("a tensor of shape {shape}", shape=shape(leaf.shape)) for leaf in others]
            raise UsageError(
                "CN209",
                _("forward() of {name} uses trained tensors that are not parameters of the network", name=name),
                where=name_list(names),
                why=_("they are neither trained nor saved, because parameters() does not list them"),
                hint=_("make each layer an attribute of the module, a tensor an nn.Parameter"),
            )
        F.cross_entropy(logits.flatten(1).float(), torch.arange(len(logits)) % logits[0].numel()).backward()
    if not any(p.grad is not None for p in net.parameters()):
        frozen = not any(p.requires_grad for p in net.parameters())
        raise UsageError(
            "CN209",
            _("no parameter of {name} gets a gradient, so nothing can be learned", name=name),
            why=_("all parameters are frozen: requires_grad is false")
            if frozen
            else _("forward() cuts the gradient, with detach(), .data, torch.no_grad() or argmax()"),
            hint="net.requires_grad_(True)" if frozen else _("compute the logits from the layers' outputs directly"),
        )


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
        raise _fails(net, x, name, error) from error


def _fails(net: nn.Module, x: Tensor, name: str, error: Exception) -> UsageError:
    if net.training:
        what = plural(
            "{name} fails on a batch of {n} image in training mode",
            "{name} fails on a batch of {n} images in training mode",
            len(x),
            name=name,
        )
    else:
        what = plural(
            "{name} fails on a batch of {n} image in evaluation mode",
            "{name} fails on a batch of {n} images in evaluation mode",
            len(x),
            name=name,
        )
    line = find_line(net, x.clone(), _is_squeeze)
    return UsageError(
        "CN209",
        what,
        where=line or line_of(error),
        why=f"{type(error).__name__}: {one_line(error)[:300]}",
        hint=_batch_cure(line),
    )


def _wrong_batch(net: nn.Module, images: Tensor, n: int, output: Tensor, name: str) -> UsageError:
    line = find_line(net, images[:n].clone(), _is_squeeze)
    return UsageError(
        "CN209",
        plural(
            "{name} returns an output of shape {shape} for {n} image",
            "{name} returns an output of shape {shape} for {n} images",
            n,
            name=name,
            shape=shape(output.shape) if output.dim() else "()",
        ),
        where=line,
        why=_("the first axis must count the images"),
        hint=_batch_cure(line),
    )


def _batch_cure(squeeze_line: str) -> str:
    if squeeze_line:
        return _("x = x.flatten(1) instead of x.squeeze(), which also removes the batch axis of a single image")
    return _("x = x.flatten(1) in forward() keeps the batch axis")


def _is_squeeze(operation: str, args: tuple[Any, ...]) -> bool:
    return operation == "squeeze" and len(args) == 1


def _random(net: nn.Module, images: Tensor, name: str) -> UsageError:
    line = find_line(net, images.clone(), lambda operation, _args: operation.startswith(_RANDOM))
    return UsageError(
        "CN209",
        _("{name} gives the same images other outputs in every call, in evaluation mode too", name=name),
        where=line,
        why=_("forward() draws random numbers in evaluation mode")
        if line
        else _("forward() keeps a state that changes from call to call"),
        hint=_("F.dropout(x, p, training=self.training), or nn.Dropout(p) as a layer")
        if line
        else _("change the state only if self.training"),
    )


def _mixes_images(net: nn.Module, logits: Tensor, name: str) -> UsageError:
    what = _(
        "the outputs of {name} for an image depend on the other images of the batch, in evaluation mode", name=name
    )
    operation = backward.last_operation(logits) if logits.requires_grad else backward.Operation("", None)
    norms = [
        path for path, layer in net.named_modules() if isinstance(layer, _BatchNorm) and layer.running_mean is None
    ]
    if operation.name in {"Softmax", "LogSoftmax"} and operation.axis in {0, -logits.dim()}:
        why = _("softmax is computed over the images of the batch, axis 0, instead of the classes")
        hint = _("leave out the softmax: forward() returns logits")
    elif norms:
        why = _(
            "{layers}: batch normalization without running statistics normalizes by the batch", layers=name_list(norms)
        )
        hint = _("leave out track_running_stats=False")
    else:
        why = _("forward() computes something over axis 0, such as a mean or a maximum over the batch")
        hint = _("compute means for each image: x.mean(dim=(1, 2, 3), keepdim=True); nn.BatchNorm2d for the batch")
    return UsageError("CN209", what, why=why, hint=hint)


def _not_finite(net: nn.Module, images: Tensor, name: str) -> UsageError:
    bad = [path for path, p in net.named_parameters() if not p.isfinite().all()]
    layer = bad[0] if bad else _first_layer_not_finite(net, images)
    return UsageError(
        "CN209",
        _("the outputs of {name} are not finite", name=name),
        where=layer,
        why=_("its weights are infinite or not a number")
        if bad
        else _("with its initial weights, on images of random pixels"),
        hint=_("--set initialize=xavier_uniform")
        if bad
        else _("avoid log(0), 0/0 and exp of large values in forward()"),
    )


def _first_layer_not_finite(net: nn.Module, images: Tensor) -> str:
    first: list[str] = []

    def record(path: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if any(isinstance(leaf, Tensor) and not leaf.isfinite().all() for leaf in tree_leaves(output)):
                first.append(path)

        return hook

    handles = [layer.register_forward_hook(record(path)) for path, layer in net.named_modules() if path]
    try:
        net(images.clone())
    finally:
        for handle in handles:
            handle.remove()
    return first[0] if first else ""


def _not_a_tensor(output: object, classes: int, name: str) -> UsageError:
    """The error for a tuple, dict, named tuple or object; names the entry that has the shape of logits."""
    entries = _entries(output)
    shapes = [f"{key}: {shape(value.shape)}" for key, value in entries.items() if isinstance(value, Tensor)]
    fitting = [key for key, value in entries.items() if isinstance(value, Tensor) and value.shape == (2, classes)]
    key = next((key for key in fitting if key == "logits"), fitting[0] if fitting else "")
    hints = [_("return only the logits at the end of forward()")]
    if key:
        hints = [command("--set", f"net.output={key}"), f"net = cn.vary(net, output={key!r})"]
    return UsageError(
        "CN209",
        _(
            "forward() of {name} returns a {kind}; one tensor of logits is needed",
            name=name,
            kind=type(output).__name__,
        ),
        where=_("for two images: {shapes}", shapes=", ".join(shapes)) if shapes else "",
        why=_("the loss and predict need one number (logit) per class for each image"),
        hint=tuple(hints),
    )


def _entries(output: object) -> dict[str, Any]:
    if isinstance(output, Mapping):
        return {str(key): value for key, value in output.items()}
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return dict(zip(output._fields, output, strict=True))
    if isinstance(output, list | tuple):
        return {str(i): value for i, value in enumerate(output)}
    return dict(vars(output)) if hasattr(output, "__dict__") else {}


@contextmanager
def _isolated() -> Iterator[None]:
    """Gradients on, and torch's generator restored at the end."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        yield


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return float((a.detach() - b.detach()).abs().max()) <= tolerance


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
