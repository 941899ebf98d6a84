"""Remarks on a network that can be trained: what limits or slows its learning, with the change to make."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from classicnets.inspection import backward
from classicnets.inspection.source_lines import find_line
from classicnets.text import _, plural

_SHOWN = 4  # names in a list
# The range of the last activation, by autograd's name of the operation.
_RANGES = {"Sigmoid": (0, 1), "Hardsigmoid": (0, 1), "Tanh": (-1, 1), "Hardtanh": (-1, 1)}


class Remark(NamedTuple):
    """Something unusual that does not prevent training: a stable `topic`, a `message`, and the change as `hint`."""

    topic: str
    message: str
    hint: str


def output_remarks(net: nn.Module, logits: Tensor, *, cross_entropy: bool) -> Iterator[Remark]:
    """Remarks on the graph of `logits` [N, classes], computed in evaluation mode with gradients.

    Args:
        net: the network.
        logits: its output.
        cross_entropy: whether the loss is cross-entropy, which applies softmax to the logits.
    """
    classes = logits[0].numel()
    if cross_entropy and classes > 1:
        remark = _activation_at_the_end(backward.last_operation(logits).name, classes)
        yield from [remark] if remark else []
    yield from _dense_layers_in_a_row(net, logits)


def gradient_remarks(net: nn.Module) -> Iterator[Remark]:
    """Remarks on the parameters, after one backward pass in training mode."""
    parameters = dict(net.named_parameters())
    if frozen := [path for path, p in parameters.items() if not p.requires_grad]:
        message = plural(
            "{n} parameter is frozen: {names}",
            "{n} parameters are frozen: {names}",
            len(frozen),
            names=name_list(frozen),
        )
        yield Remark("frozen_parameters", message, _("net.requires_grad_(True) trains them too"))
    if unused := [path for path, p in parameters.items() if p.requires_grad and p.grad is None]:
        message = plural(
            "{n} parameter gets no gradient, because forward() does not use it: {names}",
            "{n} parameters get no gradient, because forward() does not use them: {names}",
            len(unused),
            names=name_list(unused),
        )
        yield Remark("unused_parameters", message, _("use these layers in forward(), or remove them"))
    rounding = 1e-6 * max(float(p.grad.abs().max()) for p in parameters.values() if p.grad is not None)
    hidden = [path for path, p in parameters.items() if p.dim() > 1][:-1]  # the labels tell the units of the last apart
    if equal := [path.rpartition(".")[0] or path for path in hidden if _units_stay_equal(parameters[path], rounding)]:
        yield _equal_units(equal)


def remark_on_outputs(outputs: Tensor) -> Remark | None:
    """The remark on an activation at the end, of a network of which only outputs [N, classes] are known."""
    return _activation_at_the_end(_operation_before(outputs), outputs.shape[1])


def remark_on_weights(net: nn.Module, layers: Sequence[nn.Module]) -> Remark | None:
    """The remark on the first layer whose units have the same incoming weights, and the same outgoing ones.

    The last layer may start with zeros: its units differ after the first step.

    Args:
        net: the network.
        layers: its layers with weights, in the order in which they are called.
    """
    names = {layer: name for name, layer in net.named_modules()}
    layers = [layer for layer in layers if not any(is_lazy(p) for p in layer.parameters())]
    for layer, following in pairwise(layers):
        weight, bias = layer.weight, layer.bias
        assert isinstance(weight, Tensor)
        if _equal_rows(weight) and (not isinstance(bias, Tensor) or _equal_rows(bias)) and _equal_columns(following):
            return _equal_units([names[layer]])
    return None


def mode_remarks(net: nn.Module, images: Tensor) -> Iterator[Remark]:
    """Remarks on a train() without effect, and on a forward() that changes its input; changes the mode of `net`."""
    if not any(module.training for module in net.train().modules()):
        message = _("train() does not switch on the training mode: dropout and batch normalization stay off")
        yield Remark("never_trains", message, _("in your train(): call super().train(mode), and return self"))
    x = images.clone()
    with torch.no_grad():
        net.eval()(x)
    if not torch.equal(x, images):
        line = find_line(net, images.clone(), lambda operation, _args: operation.endswith("_"))
        message = _("forward() changes its input in place, so the same tensor gives other outputs the next time")
        if line:
            message = _("{message} ({line})", message=message, line=line)
        yield Remark("changes_input", message, _("for example x = x - 0.5 instead of x -= 0.5"))


def name_list(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return _("{names} and {n} more", names=", ".join(names[:_SHOWN]), n=len(names) - _SHOWN)


def _equal_units(layers: Sequence[str]) -> Remark:
    message = _(
        "all units of {names} start with the same weights and get the same gradient, so they always stay the same",
        names=name_list(layers),
    )
    return Remark("equal_units", message, "--set initialize=xavier_uniform")


def _operation_before(outputs: Tensor) -> str:
    """The last operation that outputs [N, classes] show, "Softmax" or "Relu"; "" if they show none."""
    if outputs.shape[1] < 2 or not outputs.isfinite().all():
        return ""
    low, high = float(outputs.min()), float(outputs.max())
    differ = float((outputs - outputs[:1]).abs().max()) > 1e-6
    if differ and low >= 0 and high <= 1 and float((outputs.sum(dim=1) - 1).abs().max()) < 1e-4:
        return "Softmax"
    with_zeros = float((outputs == 0).any(dim=1).float().mean())
    return "Relu" if low == 0 and high > 0 and with_zeros > 0.5 else ""


def _activation_at_the_end(operation: str, classes: int) -> Remark | None:
    """Logits that an activation limits. Log-softmax is harmless, because softmax of it is the softmax before it."""
    if operation == "Softmax":
        message = _(
            "forward() ends with softmax, and the loss and predict apply softmax again: no probability can exceed"
            " {limit:.2f}",
            limit=_highest_probability(0, 1, classes),
        )
        return Remark("softmax_output", message, _("remove the softmax at the end, so that forward() returns logits"))
    if operation in _RANGES:
        message = _(
            "forward() ends with {operation}, which limits the logits: no probability can exceed {limit:.2f}",
            operation=operation.lower(),
            limit=_highest_probability(*_RANGES[operation], classes),
        )
        return Remark("bounded_output", message, _("remove the activation after the last layer"))
    if operation in {"Relu", "Threshold"}:
        message = _(
            "forward() ends with ReLU: a negative logit becomes 0 and gets no gradient, so a class may never be learned"
        )
        return Remark("relu_output", message, _("remove the ReLU after the last layer"))
    return None


def _highest_probability(low: float, high: float, classes: int) -> float:
    """The softmax of one logit that is `high` while all others are `low`."""
    ratio = math.exp(high - low)
    return ratio / (ratio + classes - 1)


def _dense_layers_in_a_row(net: nn.Module, logits: Tensor) -> Iterator[Remark]:
    """Dense layers without an activation between them, except a bottleneck, as in a low-rank approximation."""
    names = {id(parameter): path.rpartition(".")[0] for path, parameter in net.named_parameters()}
    for first, second in backward.dense_pairs(logits):
        hidden, inputs = first.shape
        if hidden >= min(inputs, len(second)) and id(first) in names and id(second) in names:
            message = _(
                "there is no activation between {first} and {second}: together they compute what one dense layer can",
                first=names[id(first)],
                second=names[id(second)],
            )
            yield Remark("no_activation", message, _("put nn.ReLU() between them"))


def _units_stay_equal(weights: Tensor, rounding: float) -> bool:
    """Whether all rows are the same in the weights, and in their gradient up to rounding."""
    gradient = weights.grad
    if gradient is None or not _equal_rows(weights):
        return False
    return float((gradient - gradient[:1]).abs().max()) <= rounding


def _equal_rows(values: Tensor) -> bool:
    """Whether there are several rows, all equal."""
    return len(values) > 1 and bool((values == values[:1]).all())


def _equal_columns(layer: nn.Module) -> bool:
    """Whether each unit weights all its inputs alike, at each position of a kernel."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if weight.dim() < 2 or weight.shape[1] < 2:
        return False
    return bool((weight == weight[:, :1]).all())
