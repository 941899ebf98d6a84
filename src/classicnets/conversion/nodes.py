"""Networks of torch as nodes (`models.graph`), which the writers of other libraries' files take."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from classicnets.conversion.layer_kinds import NOTHING, Border, border, equivalent, is_known, with_border
from classicnets.errors import UsageError
from classicnets.models.graph import DATA, Node, build, module_name
from classicnets.models.graph_kinds import KINDS, Shape, with_defaults
from classicnets.models.graph_layers import Concat, Eltwise
from classicnets.models.messages import reason
from classicnets.models.modules import complete, restored_modes, unwrap
from classicnets.text import _, command

_TOLERANCE = 1e-4  # of the outputs' spread: rounding, if convolutions add in another order
_STORED_ELSEWHERE = "num_batches_tracked"  # counts batches while training; other libraries do not store it


def nodes_of(net: nn.Module, shape: tuple[int, int, int]) -> tuple[list[Node], dict[str, str]]:
    """Return the layers of a network as nodes, and the names of their weights.

    The network is followed by torch.fx: an nn.Sequential, also nested, a `GraphNet`, or any module whose forward()
    calls layers one after the other, joins or adds their outputs, and calls simple functions such as relu or flatten.
    Nodes are called as the layers. Layers that change nothing for this input are left out. Then the nodes are built,
    and their outputs compared with those of the network, unless its weights are on the meta device.

    Args:
        net: any module, as it predicts; its mode and its weights do not change.
        shape: channels, height and width of an image.

    Returns:
        the nodes in the order of computation, and for each of their weights, such as "conv1.weight", the name in the
        state dict of the network.

    Raises:
        UsageError: CN219 if a layer has no equivalent among the kinds of nodes, with its name and the reason, or if
            forward() cannot be followed.
    """
    net = complete(unwrap(net), shape)
    with restored_modes(net):
        net.eval()
        reader = _Reader(net, shape)
        try:
            graph = _Tracer().trace(net)
        except Exception as error:  # whatever forward() raises
            why = reason(error, _).strip().partition("\n")[0] or type(error).__name__
            raise _not_followed(net, why) from error
        reader.read(graph)
        if all(not tensor.is_meta for tensor in net.state_dict().values()):
            _check(net, shape, reader)
    return reader.nodes, reader.names


def refusal(name: str, kind: str, why: str) -> UsageError:
    """Return the error for a layer without equivalent.

    Args:
        name: of the layer.
        kind: its class, or the kind of its node.
        why: the reason.
    """
    return UsageError(
        "CN219",
        _("layer {name} has no equivalent in the file: {kind}", name=name, kind=kind),
        where=name,
        why=why,
        hint=export_hint(),
    )


class _Tracer(fx.Tracer):
    """Follows forward() into modules that consist of others; layers are single steps."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002
        is_empty = not any(True for _child in m.children())
        return is_known(m) or (is_empty and not isinstance(m, nn.Sequential))


class _Reader:
    """Turns a trace into nodes. All methods raise UsageError CN219 with the layer that has no equivalent."""

    def __init__(self, net: nn.Module, shape: tuple[int, int, int]) -> None:
        self.net, self.modules = net, dict(net.named_modules(remove_duplicate=False))
        self.nodes: list[Node] = []
        self.names: dict[str, str] = {}
        self.shapes: dict[str, Shape] = {DATA: shape}
        self.sources: dict[fx.Node, str] = {}  # the node that each step of the trace gives
        self.borders: dict[fx.Node, tuple[str, nn.Module, Border]] = {}  # steps that only add zeros

    def read(self, graph: fx.Graph) -> None:
        """Add the nodes of all steps that the output needs."""
        output = next(step for step in graph.nodes if step.op == "output").args[0]
        if not isinstance(output, fx.Node):
            raise _not_followed(self.net, _("forward() returns several outputs, or none"))
        needed = {output}
        for step in reversed(graph.nodes):
            if step in needed:
                needed.update(_inputs(step))
        images = [step for step in graph.nodes if step.op == "placeholder"]
        if not images:
            raise _not_followed(self.net, _("forward() takes no image"))
        self.sources[images[0]] = DATA
        for step in graph.nodes:
            if step in needed and step is not images[0]:
                self.add(step)
        if output in self.borders:
            name, layer, _around = self.borders[output]
            raise refusal(name, type(layer).__name__, _("it is the last layer"))
        if not self.nodes:
            raise _not_followed(self.net, _("it has no layers"))

    def add(self, step: fx.Node) -> None:
        """Add the node of one step."""
        name, layer = self.layer(step)
        inputs = _inputs(step)
        if missing := [each for each in inputs if each not in self.sources]:
            raise refusal(name, type(layer).__name__, _("it reads {name}, which is no image", name=missing[0]))
        sources = tuple(self.sources[each] for each in inputs)
        shapes = [self.shapes[source] for source in sources]
        if not shapes:
            raise refusal(name, type(layer).__name__, _("it reads no image"))
        around = border(layer)
        if around is not None and inputs[0] not in self.borders and len(shapes[0]) == 3:
            self.borders[step], self.sources[step] = (name, layer, around), sources[0]
            return
        try:
            kind, settings = equivalent(layer, self.bordered(inputs, shapes[0]))
        except ValueError as error:
            raise refusal(name, type(layer).__name__, reason(error, _)) from error
        settings = self.without_borders(inputs, kind, settings, shapes)
        if kind == NOTHING:
            self.sources[step] = sources[0]
            return
        try:
            self.shapes[name] = KINDS[kind].layer(with_defaults(kind, settings), shapes).shape
        except ValueError as error:
            raise refusal(name, type(layer).__name__, reason(error, _)) from error
        self.nodes.append(Node(name=name, kind=kind, inputs=sources, settings=settings))
        self.sources[step] = name
        path = step.target if step.op == "call_module" else ""
        self.names |= {f"{name}.{key}": f"{path}.{key}" for key in layer.state_dict() if key != _STORED_ELSEWHERE}

    def bordered(self, inputs: list[fx.Node], shape: Shape) -> Shape:
        """The shape of an input with the zeros around it."""
        if inputs[0] not in self.borders or len(shape) != 3:
            return shape
        around = self.borders[inputs[0]][2]
        return shape[0], shape[1] + around.top + around.bottom, shape[2] + around.left + around.right

    def without_borders(
        self, inputs: list[fx.Node], kind: str, settings: dict[str, Any], shapes: list[Shape]
    ) -> dict[str, Any]:
        """The settings of a step that takes over the zeros around its input."""
        for each, shape in zip(inputs, shapes, strict=True):
            if each in self.borders:
                name, layer, around = self.borders[each]
                if any(around) and kind != "conv":
                    raise refusal(name, type(layer).__name__, _("no convolution follows that could add its zeros"))
                try:
                    settings = with_border(settings, shape, around) if any(around) else settings
                except ValueError as error:
                    raise refusal(name, type(layer).__name__, reason(error, _)) from error
        return settings

    def layer(self, step: fx.Node) -> tuple[str, nn.Module]:
        """The layer of a step, and a name for its node."""
        if step.op == "call_module":
            path = str(step.target)
            layer = self.modules[path]
            if path in self.shapes and layer.state_dict():
                raise refusal(path, type(layer).__name__, _("forward() calls it several times with the same weights"))
            return self.free_name(path), layer
        within = [path for path, _kind in step.meta.get("nn_module_stack", {}).values()]
        place = ".".join(filter(None, [within[-1] if within else "", step.name]))
        used = _("forward() uses {name}", name=getattr(step.target, "__name__", step.target))
        make = _FUNCTIONS.get(step.target) if step.op in {"call_function", "call_method"} else None
        if make is None:
            raise refusal(place, used, _("only layers and simple functions have equivalents"))
        inputs = _inputs(step)
        try:
            layer = make(*step.args[len(inputs) if make is _add else 1 :], **step.kwargs)
        except (TypeError, ValueError) as error:
            raise refusal(place, used, reason(error, _)) from error
        sizes = [math.prod(self.shapes[self.sources[each]]) for each in inputs if each in self.sources]
        if make is _view and step.args[2] not in (-1, *sizes):
            raise refusal(place, used, _("it does not flatten each image as a whole"))
        return self.free_name(step.name), layer

    def free_name(self, name: str) -> str:
        """The name, with a number if there is such a node already, or if it is the name of the image."""
        number, free = 1, name
        while free in self.shapes or (number > 1 and free in self.modules):
            number += 1
            free = f"{name}_{number}"
        return free


def _inputs(step: fx.Node) -> list[fx.Node]:
    """The steps whose outputs a step computes with; numbers such as x.size(0) are none."""
    if step.op == "call_module":
        values: list[Any] = [*step.args, *step.kwargs.values()]
    elif _FUNCTIONS.get(step.target) is _cat and step.args:
        values = [*step.args[0]] if isinstance(step.args[0], list | tuple) else []
    else:
        values = [*step.args[: 2 if _FUNCTIONS.get(step.target) is _add else 1]]
    return [value for value in values if isinstance(value, fx.Node)]


def _check(net: nn.Module, shape: tuple[int, int, int], reader: _Reader) -> None:
    """Check that the nodes compute what the network does, which hooks and changes in place may prevent."""
    state = net.state_dict()
    modules = {node.name: module_name(node.name) for node in reader.nodes}
    weights = {}
    for name, own in reader.names.items():
        node, _dot, key = name.rpartition(".")
        weights[f"{modules[node]}.{key}"] = state[own]
    try:
        with torch.device("meta"):
            built = build(reader.nodes, shape).eval()
    except ValueError as error:
        raise _not_followed(net, reason(error, _)) from error
    image = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)) * 255 - 128
    try:
        with torch.no_grad():
            image = image.to(next((tensor for tensor in state.values() if tensor.is_floating_point()), image))
            expected = net(image)
            built.load_state_dict(weights, strict=False, assign=True)
            outputs = built(image)
    except UsageError:  # of a network that takes only images of its own size
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        raise _not_followed(net, reason(error, _).strip().partition("\n")[0]) from error
    is_equal = isinstance(expected, Tensor) and expected.shape == outputs.shape
    finite = expected[expected.isfinite()] if is_equal else image
    spread = float(finite.max() - finite.min()) if finite.numel() else 0.0
    if not is_equal or not torch.allclose(outputs, expected, _TOLERANCE, _TOLERANCE * spread, equal_nan=True):
        raise _not_followed(net, _("its layers alone give other outputs: a hook, or a change in place, adds to them"))


def _not_followed(net: nn.Module, why: str) -> UsageError:
    name = type(net).__name__
    what = _("the forward() of {name} cannot be followed layer by layer", name=name)
    return UsageError("CN219", what, where=name, why=why, hint=export_hint())


def export_hint() -> str:
    """Return what to do if a file of a library cannot be written."""
    return _("{command}   # ONNX has all layers", command=command("classicnets", "export", "RUN"))


def _add(*, alpha: float = 1) -> nn.Module:
    return Eltwise("sum", () if alpha == 1 else (1.0, float(alpha)))


def _cat(dim: int = 0) -> nn.Module:
    return Concat(dim)


def _view(*sizes: Any) -> nn.Module:
    if len(sizes) != 2 or not (sizes[0] == -1 or isinstance(sizes[0], fx.Node)):
        raise ValueError(_("it does not flatten each image as a whole"))
    return nn.Flatten()


def _flatten(start_dim: int = 0, end_dim: int = -1) -> nn.Module:
    return nn.Flatten(start_dim, end_dim)


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:  # noqa: ARG001
    return nn.Dropout(p)  # forward() passes self.training, which is False here


def _max_pool(
    kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> nn.Module:  # fmt: skip
    return nn.MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode)


def _function(kind: Callable[[], nn.Module]) -> Callable[..., nn.Module]:
    def make(inplace: bool = False) -> nn.Module:  # noqa: ARG001
        return kind()

    return make


_FUNCTIONS: dict[Any, Callable[..., nn.Module]] = {  # functions, and the names of methods
    **dict.fromkeys((F.relu, torch.relu, torch.relu_, "relu", "relu_"), _function(nn.ReLU)),
    **dict.fromkeys((F.sigmoid, torch.sigmoid, "sigmoid"), _function(nn.Sigmoid)),
    **dict.fromkeys((F.tanh, torch.tanh, "tanh"), _function(nn.Tanh)),
    **dict.fromkeys((torch.flatten, "flatten"), _flatten),
    **dict.fromkeys((torch.reshape, "view", "reshape"), _view),
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add"), _add),
    **dict.fromkeys((torch.cat, torch.concat), _cat),
    F.dropout: _dropout,
    F.max_pool2d: _max_pool,
    F.avg_pool2d: nn.AvgPool2d,
    F.softmax: lambda dim=None, **_options: nn.Softmax(dim),
}
