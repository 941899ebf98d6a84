"""The errors of the check of a network as a classifier: each names the cause, the line and the change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from classicnets.errors import UsageError
from classicnets.inspection import backward
from classicnets.inspection.meta import one_line
from classicnets.inspection.remarks import name_list
from classicnets.inspection.source_lines import find_line, line_of
from classicnets.inspection.unregistered import Unregistered, name_of
from classicnets.text import _, command, plural, shape

_RANDOM = ("bernoulli", "native_dropout", "rand", "normal", "uniform", "poisson", "multinomial", "exponential")


def unregistered_layers(found: Sequence[Unregistered], name: str) -> UsageError:
    """Layers or tensors in lists, dicts and other attributes that torch does not look into."""
    return UsageError(
        "CN209",
        plural(
            "{name} has layers that torch does not know of, in {n} attribute",
            "{name} has layers that torch does not know of, in {n} attributes",
            len(found),
            name=name,
        ),
        where=name_list([place.path for place in found]),
        why=_(
            "they are neither trained nor saved, because parameters() does not list what is in a plain list, dict or"
            " tensor"
        ),
        hint=tuple(place.cure for place in found[:4]),
    )


def no_parameters(net: nn.Module, name: str) -> UsageError:
    """A module without any parameter."""
    return UsageError(
        "CN209",
        _("{name} has no parameters, so there is nothing to train", name=name),
        where=_("the class is {kind}", kind=type(net).__name__),
        why=_("no layer is registered as an attribute of the module"),
        hint=_("self.layers = nn.ModuleList(layers) registers a list of layers"),
    )


def wrong_dtype(parameter: Tensor, path: str, name: str) -> UsageError:
    """Weights that are not in float32."""
    return UsageError(
        "CN209",
        _("the weights of {name} are {dtype}; they must be float32", name=name, dtype=_dtype(parameter)),
        where=path,
        why=_("images are float32; --precision bfloat16 computes in half precision with float32 weights"),
        hint=(_("net = net.float(), or leave out .double(), .half() and .bfloat16()"), "--precision float64"),
    )


def no_logits(output: Tensor, name: str) -> UsageError:
    """A tensor of integers, or a single number."""
    return UsageError(
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


def wrong_state_dict(error: Exception, name: str) -> UsageError:
    """A network that does not load what its own state_dict() returns."""
    return UsageError(
        "CN210",
        _("{name} does not load its own state dict", name=name),
        why=one_line(error),
        hint=_("layers must not be added or removed by forward(); leave state_dict() as it is"),
    )


def stuck_in_training(layers: Sequence[str], name: str) -> UsageError:
    """Layers that eval() does not switch."""
    return UsageError(
        "CN209",
        _("eval() leaves layers of {name} in training mode", name=name),
        where=name_list(layers),
        why=_("dropout stays on, and predictions differ from call to call"),
        hint=_("in your train(): call super().train(mode), and return self"),
    )


def trained_outside(net: nn.Module, tensors: Sequence[Tensor], name: str) -> UsageError:
    """Tensors that get a gradient and are not parameters of the network."""
    names = [name_of(net, tensor) or _("a tensor of shape {shape}", shape=shape(tensor.shape)) for tensor in tensors]
    return UsageError(
        "CN209",
        _("forward() of {name} uses trained tensors that are not parameters of the network", name=name),
        where=name_list(names),
        why=_("they are neither trained nor saved, because parameters() does not list them"),
        hint=_("make each layer an attribute of the module, a tensor an nn.Parameter"),
    )


def no_gradient(net: nn.Module, name: str) -> UsageError:
    """No parameter gets a gradient."""
    frozen = not any(p.requires_grad for p in net.parameters())
    return UsageError(
        "CN209",
        _("no parameter of {name} gets a gradient, so nothing can be learned", name=name),
        why=_("all parameters are frozen: requires_grad is False")
        if frozen
        else _("forward() cuts the gradient, with detach(), .data, torch.no_grad() or argmax()"),
        hint="net.requires_grad_(True)" if frozen else _("compute the logits from the layers' outputs directly"),
    )


def not_a_tensor(output: object, classes: int, name: str) -> UsageError:
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


def call_failed(net: nn.Module, x: Tensor, name: str, error: Exception) -> UsageError:
    """forward() raises an error."""
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
    mode = "train" if net.training else "eval"
    return UsageError(
        "CN209",
        what,
        where=line or line_of(error),
        why=f"{type(error).__name__}: {one_line(error)[:300]}",
        hint=_batch_cure(line)
        if line
        else _(
            "net.{mode}()(torch.rand({shape})) raises the same error", mode=mode, shape=", ".join(map(str, x.shape))
        ),
    )


def wrong_batch(net: nn.Module, x: Tensor, output: Tensor, name: str) -> UsageError:
    """An output whose first axis does not count the images."""
    line = find_line(net, x.clone(), _is_squeeze)
    return UsageError(
        "CN209",
        plural(
            "{name} returns an output of shape {shape} for {n} image",
            "{name} returns an output of shape {shape} for {n} images",
            len(x),
            name=name,
            shape=shape(output.shape) if output.dim() else "()",
        ),
        where=line,
        why=_("the first axis must count the images"),
        hint=_batch_cure(line),
    )


def random_answers(net: nn.Module, images: Tensor, name: str) -> UsageError:
    """Outputs that differ from call to call."""
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


def mixed_images(net: nn.Module, logits: Tensor, name: str) -> UsageError:
    """Outputs of an image that depend on the other images of the batch."""
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


def not_finite(net: nn.Module, images: Tensor, name: str) -> UsageError:
    """Outputs that are infinite or not a number."""
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


def _batch_cure(squeeze_line: str) -> str:
    if squeeze_line:
        return _("x = x.flatten(1) instead of x.squeeze(), which also removes the batch axis of a single image")
    return _("x = x.flatten(1) in forward() keeps the batch axis")


def _is_squeeze(operation: str, args: tuple[Any, ...]) -> bool:
    return operation == "squeeze" and len(args) == 1


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


def _entries(output: object) -> dict[str, Any]:
    if isinstance(output, Mapping):
        return {str(key): value for key, value in output.items()}
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return dict(zip(output._fields, output, strict=True))
    if isinstance(output, list | tuple):
        return {str(i): value for i, value in enumerate(output)}
    return dict(vars(output)) if hasattr(output, "__dict__") else {}


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
